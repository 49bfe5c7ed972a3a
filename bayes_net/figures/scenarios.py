"""The figures of a grid of scenarios: each function draws one tidy table and returns the axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from bayes_net.figures import style
from bayes_net.figures.style import (
    GREYS,
    MARKERS,
    STYLE,
    WIDTH,
    Figure,
    arm_colours,
    beside,
    fitted,
    new_axes,
)
from bayes_net.numbers import rounded
from bayes_net.results.scenarios import groups, usable
from bayes_net.schema import AS_SPECIFIED, ASSOCIATION, NO_LIMIT, PASSED, words

MOST_BARS = 16
"""A tornado shows so many single changes, those that move the hazard ratio most."""


@rc_context(STYLE)
def specification_curve(
    scenarios: pd.DataFrame, changes: pd.DataFrame, *, arms: Sequence[str] = ()
) -> list[Axes]:
    """Hazard ratios of all scenarios sorted by the first arm's, with the choices of each beneath.

    ``scenarios``: scenario, arm, hr, lower, upper of one endpoint, measure and landmark; ``changes``:
    scenario, key, value. The filled marker is the analysis as specified. Two axes: ratios, choices.
    """
    colours = arm_colours(scenarios["arm"], arms)
    first = scenarios[scenarios["arm"] == scenarios["arm"].iloc[0]].sort_values("hr", kind="stable")
    place = {name: rank for rank, name in enumerate(first["scenario"])}
    choices = changes[changes["scenario"].isin(place)]
    keys = list(dict.fromkeys(choices["key"]))
    pairs = dict.fromkeys(zip(choices["key"], choices["value"], strict=True))
    rows = sorted(pairs, key=lambda pair: keys.index(pair[0]))
    labels = [fitted(f"{key.rpartition('.')[2]}: {value}", 26) for key, value in rows]
    heights = style.row_places(labels, 0.19)
    beneath = 0.19 * (heights[-1] + 1 if len(rows) else 1)
    figure = Canvas(figsize=(WIDTH, 2.8 + beneath), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2.4, beneath])
    step = 0.3 / max(len(colours), 1)
    for number, (arm, own) in enumerate(scenarios.groupby("arm", sort=False)):
        for row in own[own["scenario"].isin(place)].itertuples():
            x, kept = place[row.scenario] + number * step, row.scenario == AS_SPECIFIED
            above.plot([x, x], [row.lower, row.upper], color=colours[arm], linewidth=1, alpha=0.6)
            face = colours[arm] if kept else "white"
            above.plot(x, row.hr, "o", color=colours[arm], markerfacecolor=face, markersize=4, gid="hr")
    above.axhline(1, color="black", linewidth=0.8, zorder=1)
    above.set_yscale("log")
    above.yaxis.set_major_formatter("{x:g}")
    above.yaxis.set_minor_formatter("{x:g}")
    above.set_ylabel("Hazard ratio, log scale")
    for y, (key, value) in zip(heights, rows, strict=True):
        chosen = choices.loc[(choices["key"] == key) & (choices["value"] == value), "scenario"]
        below.plot([place[name] for name in chosen], [y] * len(chosen), "|", color="black", markersize=7)
    style.row_labels(below, heights, labels)
    below.set(
        ylim=(heights[-1] + 0.5 if len(rows) else 0.5, -0.5),
        xticks=[],
        xlabel=f"{len(place)} scenarios, sorted",
    )
    names = style.present(scenarios)
    style.add_legend(above, [Line2D([], [], color=colours[arm]) for arm in names], names)
    return [above, below]


@rc_context(STYLE)
def tornado(scenarios: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How single changes move one hazard ratio, the largest first.

    ``scenarios``: scenario, hr of one hazard ratio, the analysis as specified among them.
    """
    base = float(scenarios.loc[scenarios["scenario"] == AS_SPECIFIED, "hr"].iloc[0])
    rows = scenarios[scenarios["scenario"] != AS_SPECIFIED]
    rows = rows.iloc[np.argsort(-np.abs(np.log(rows["hr"] / base)), kind="stable")].head(MOST_BARS)
    labels = [fitted(name, 24) for name in rows["scenario"]]
    heights = style.row_places(labels, 0.27)
    ax = new_axes(ax, height=0.9 + 0.27 * (heights[-1] + 1))
    for y, row in zip(heights, rows.itertuples(), strict=True):
        ax.plot([base, row.hr], [y, y], color=GREYS[1], linewidth=6, solid_capstyle="butt", gid="bar")
        beside(ax, rounded(row.hr), 34, y)
    style.no_effect(ax)
    ax.axvline(base, color=GREYS[0], linewidth=0.8, linestyle="--")
    ends = [base, 1.0, *rows["hr"]]
    label = f"Hazard ratio (dashed: {rounded(base)}, as specified)"
    style.ratio_axis(ax, 0.95 * min(ends), 1.05 * max(ends), label)
    style.row_labels(ax, heights, labels)
    ax.set_ylim(heights[-1] + 0.6, -0.6)
    return ax


@rc_context(STYLE)
def heat_map(cells: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """One hazard ratio over two keys: blue below 1, red above, the number in each cell.

    ``cells`` is the table of hazard ratios, rows and columns named by the keys' values.
    """
    ax = new_axes(ax, height=1.2 + 0.4 * len(cells))
    logs = np.log(cells.to_numpy(float))
    reach = max(float(np.nanmax(np.abs(logs))), 0.1)
    ax.imshow(logs, cmap="RdBu_r", norm=TwoSlopeNorm(0.0, -reach, reach), aspect="auto")
    for i, j in np.ndindex(logs.shape):
        strong = abs(logs[i, j]) > 0.7 * reach
        text = rounded(np.exp(logs[i, j]))
        ax.text(j, i, text, ha="center", va="center", color="white" if strong else "black", gid="cell")
    for axis, names, title in (
        (ax.xaxis, cells.columns, cells.columns.name),
        (ax.yaxis, cells.index, cells.index.name),
    ):
        axis.set_ticks(range(len(names)), labels=[fitted(str(n), 18) for n in names], parse_math=False)
        axis.set_label_text(fitted(str(title), 40), parse_math=False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def draw_scenarios(scenarios: pd.DataFrame, changes: pd.DataFrame) -> Iterator[Figure]:
    """Every figure, of each endpoint's first true landmark."""
    rows = usable(scenarios)
    if not (rows["scenario"] == AS_SPECIFIED).any():
        return
    rows = rows[(rows["landmark"] != "") & (rows["estimand"] == ASSOCIATION)]
    true = rows[~rows["landmark"].isin([NO_LIMIT])]
    rows = true if len(true) else rows
    for endpoint, own in rows.groupby("endpoint", sort=False):
        first = own.iloc[0]
        chosen = own[(own["landmark"] == first["landmark"]) & (own["measure"] == first["measure"])]
        about = f"{words(endpoint)}, {first['landmark']}"
        ends = " to ".join(rounded(end) for end in (chosen["hr"].min(), chosen["hr"].max()))
        yield Figure(
            f"specification_curve_{endpoint}",
            "figures",
            specification_curve(chosen, changes)[0],
            f"{about}: hazard ratios of all scenarios with intervals, sorted, and beneath the choices of "
            "each. Filled: as specified.",
            f"{about}: specification curve; posterior medians run from {ends}.",
        )
        yield from _single_and_pairs(chosen, changes, endpoint, about)


def _single_and_pairs(
    chosen: pd.DataFrame, changes: pd.DataFrame, endpoint: str, about: str
) -> Iterator[Figure]:
    counts = changes.groupby("scenario")["key"].nunique()
    single = {AS_SPECIFIED, *counts[counts == 1].index}
    for number, (key, own) in enumerate(groups(chosen), start=1):
        who = f"{about}, {key['arm']}"
        rows = own[own["scenario"].isin(single)]
        if len(rows) > 1 and (rows["scenario"] == AS_SPECIFIED).any():
            ends = rows["hr"].min(), rows["hr"].max()
            yield Figure(
                f"tornado_{endpoint}_{number}",
                "figures",
                tornado(rows),
                f"{who}: what single changes do to the hazard ratio, the largest first.",
                f"{who}: tornado of {len(rows) - 1} single changes; they move the hazard ratio to between "
                f"{rounded(ends[0])} and {rounded(ends[1])}.",
            )
        cells = _cells(own, changes)
        if cells is not None:
            yield Figure(
                f"heat_map_{endpoint}_{number}",
                "figures",
                heat_map(cells),
                f"{who}: hazard ratio over {cells.index.name} and {cells.columns.name}.",
                f"{who}: heat map of {cells.size} hazard ratios from {rounded(cells.min(axis=None))} to "
                f"{rounded(cells.max(axis=None))}.",
            )


def _cells(own: pd.DataFrame, changes: pd.DataFrame) -> pd.DataFrame | None:
    """The hazard ratio over the two keys of a grid; None when the scenarios are no grid of two keys."""
    counts = changes.groupby("scenario")["key"].nunique()
    pairs = changes[changes["scenario"].isin(counts[counts == 2].index)]
    keys = list(dict.fromkeys(pairs["key"]))
    if len(keys) != 2 or len(pairs[["key", "value"]].drop_duplicates()) < 3:
        return None
    values = pairs.pivot(index="scenario", columns="key", values="value")
    table = values.join(own.set_index("scenario")["hr"], how="left")
    cells = table.pivot(index=keys[0], columns=keys[1], values="hr")
    order = [list(dict.fromkeys(pairs.loc[pairs["key"] == key, "value"])) for key in keys]
    cells = cells.reindex(index=order[0], columns=order[1])
    return cells.rename_axis(index=keys[0], columns=keys[1])


FACTOR_TICKS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 10, 20, 50, 100)


@rc_context(STYLE)
def censoring_curves(curve: pd.DataFrame) -> list[Axes]:
    """Hazard ratios with intervals over the factor on the hazard after censoring, landmark by landmark.

    ``curve``: landmark, arm, factor, as_specified, hr, lower, upper, holds; the analysis as specified is
    drawn in place of the same factor imputed. Filled markers: its word holds.
    """
    colours = arm_colours(curve["arm"], ())
    rows = curve[curve["factor"] > 0].sort_values("as_specified", ascending=False, kind="stable")
    rows = rows.drop_duplicates(["landmark", "arm", "factor"]).sort_values("factor", kind="stable")
    landmarks = list(dict.fromkeys(curve["landmark"]))
    figure, panels = style.panels(len(landmarks), inches=(1.1, 1.9), sharex=True, sharey=True)
    for panel, landmark in zip(panels, landmarks, strict=True):
        biased = landmark == NO_LIMIT
        title = f"{landmark}: biased" if biased else fitted(landmark, 24)
        panel.set_title(title, loc="left", parse_math=False)
        panel.set_facecolor("#eeeeee" if biased else "white")
        panel.axhline(1, color="black", linewidth=0.8, zorder=1)
        for rank, (arm, colour) in enumerate(colours.items()):
            own = rows[(rows["landmark"] == landmark) & (rows["arm"] == arm)]
            _draw_arm(panel, own, colour, rank, beside=0.05 * (rank - (len(colours) - 1) / 2))
    _factor_axes(panels, rows)
    figure.supxlabel("Factor on the hazard after censoring, log scale")
    figure.supylabel("Hazard ratio, log scale")
    handles = [style.arm_marker(colour, rank) for rank, colour in enumerate(colours.values())]
    style.figure_legend(figure, handles, [fitted(arm, 24) for arm in colours], columns=min(2, len(handles)))
    return panels


def _draw_arm(panel: Axes, rows: pd.DataFrame, colour: str, rank: int, *, beside: float) -> None:
    x = rows["factor"] * (1 + beside)
    panel.vlines(x, rows["lower"], rows["upper"], color=colour, linewidth=1.2, alpha=0.6)
    panel.plot(x, rows["hr"], color=colour, linewidth=1)
    for place, row in zip(x, rows.itertuples(), strict=True):
        look = {"color": colour, "markerfacecolor": colour if row.holds else "white"}
        size = 7 if row.as_specified else 5
        panel.plot(place, row.hr, MARKERS[rank % len(MARKERS)], markersize=size, gid="hr", **look)


def _factor_axes(panels: Sequence[Axes], rows: pd.DataFrame) -> None:
    """Log axes that all panels share: a tick at the factors, and at few hazard ratios."""
    factors = sorted(rows["factor"].unique())
    ends = factors[0], factors[-1]
    ticks = [t for t in FACTOR_TICKS if ends[0] <= t <= ends[1]] or list(ends)
    low, high = 0.97 * min(1, rows["lower"].min()), 1.03 * max(1, rows["upper"].max())
    ratios = style.ratio_ticks(low, high, otherwise=[1])
    for panel in panels:
        panel.set(xscale="log", yscale="log", ylim=(low, high), xlim=(ends[0] / 1.15, ends[1] * 1.15))
        for axis, places in ((panel.xaxis, ticks), (panel.yaxis, ratios)):
            axis.set_major_locator(FixedLocator(places))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter("{x:.3g}")
        panel.tick_params(labelbottom=True)


def draw_censoring(curve: pd.DataFrame) -> Iterator[Figure]:
    """A figure of each endpoint: its first measure within the arms."""
    if not len(curve):
        return
    rows = curve[(curve["gate"] == PASSED) & (curve["estimand"] == ASSOCIATION)]
    for endpoint, own in rows.groupby("endpoint", sort=False):
        chosen = own[own["measure"] == own["measure"].iloc[0]]
        about = f"{words(endpoint)}, {chosen['measure'].iloc[0]}"
        ends = " to ".join(rounded(end) for end in (chosen["hr"].min(), chosen["hr"].max()))
        held = chosen[~chosen["as_specified"] & (chosen["landmark"] != NO_LIMIT)]["holds"]
        yield Figure(
            f"censoring_{endpoint}",
            "censoring",
            censoring_curves(chosen)[0],
            f"{about}: posterior median hazard ratios with intervals over the factor on the hazard after "
            "censoring; at 1 censoring tells nothing. Large: as specified. Filled: its word holds; hollow: "
            "it is lost, or there is none.",
            f"{about}: hazard ratios over the factor run from {ends}; the word of the analysis as specified "
            f"holds in {int(held.sum())} of {len(held)} refits.",
        )
