"""The figure of informative censoring: hazard ratios over the factor on the hazard after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from bayes_net._drawing import MARKERS, RATIO_TICKS, STYLE, WIDTH, arm_colours, arm_marker, short
from bayes_net._wording import words
from bayes_net.scenario_figures import Drawn
from bayes_net.scenarios import PASSED
from bayes_net.schema import NO_LIMIT

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
    columns = min(2, len(landmarks))
    height = -(-len(landmarks) // columns)
    figure = Figure(figsize=(WIDTH, 1.1 + 1.9 * height), layout="constrained")
    panels = figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, landmark in zip(panels, landmarks, strict=False):
        biased = landmark == NO_LIMIT
        title = f"{landmark}: biased" if biased else short(landmark, 24)
        panel.set_title(title, fontsize=10, loc="left", parse_math=False)
        panel.set_facecolor("#eeeeee" if biased else "white")
        panel.axhline(1, color="black", linewidth=0.8, zorder=1)
        for rank, (arm, colour) in enumerate(colours.items()):
            own = rows[(rows["landmark"] == landmark) & (rows["arm"] == arm)]
            _draw_arm(panel, own, colour, rank, beside=0.05 * (rank - (len(colours) - 1) / 2))
    for panel in panels[len(landmarks) :]:
        panel.remove()
    _factor_axes(panels[: len(landmarks)], rows)
    figure.supxlabel("Factor on the hazard after censoring, log scale", fontsize=10)
    figure.supylabel("Hazard ratio, log scale", fontsize=10)
    _legend(figure, colours)
    return list(panels[: len(landmarks)])


def _draw_arm(panel: Axes, rows: pd.DataFrame, colour: str, rank: int, *, beside: float) -> None:
    x = rows["factor"] * (1 + beside)
    panel.vlines(x, rows["lower"], rows["upper"], color=colour, linewidth=1.2, alpha=0.6)
    panel.plot(x, rows["hr"], color=colour, linewidth=1)
    for place, row in zip(x, rows.itertuples(), strict=True):
        style = {"color": colour, "markerfacecolor": colour if row.holds else "white"}
        size = 7 if row.as_specified else 5
        panel.plot(place, row.hr, MARKERS[rank % len(MARKERS)], markersize=size, gid="hr", **style)


def _legend(figure: Figure, colours: Mapping[str, str]) -> None:
    """One for all panels; texts are set afterwards, as matplotlib drops labels that begin with ``_``."""
    handles = [arm_marker(colour, rank) for rank, colour in enumerate(colours.values())]
    legend = figure.legend(
        handles, [" "] * len(handles), loc="outside upper left", ncols=min(2, len(handles))
    )
    for text, arm in zip(legend.get_texts(), colours, strict=True):
        text.set_parse_math(False)
        text.set_text(short(arm, 24))


def _factor_axes(panels: Sequence[Axes], rows: pd.DataFrame) -> None:
    """Log axes that all panels share: a tick at the factors, and at few hazard ratios."""
    factors = sorted(rows["factor"].unique())
    ends = factors[0], factors[-1]
    ticks = [t for t in FACTOR_TICKS if ends[0] <= t <= ends[1]] or list(ends)
    low, high = 0.97 * min(1, rows["lower"].min()), 1.03 * max(1, rows["upper"].max())
    shown = [[tick for tick in ticks if low <= tick <= high] for ticks in RATIO_TICKS]
    ratios = next((found for found in shown if 3 <= len(found) <= 6), [1])
    for panel in panels:
        panel.set(xscale="log", yscale="log", ylim=(low, high), xlim=(ends[0] / 1.15, ends[1] * 1.15))
        for axis, places in ((panel.xaxis, ticks), (panel.yaxis, ratios)):
            axis.set_major_locator(FixedLocator(places))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter("{x:.3g}")
        panel.tick_params(labelbottom=True)


def draw_censoring(curve: pd.DataFrame) -> Iterator[Drawn]:
    """Name, axes, caption and alternative text: for each endpoint, its first measure within the arms."""
    if not len(curve):
        return
    rows = curve[(curve["gate"] == PASSED) & (curve["estimand"] == "association")]
    for endpoint, own in rows.groupby("endpoint", sort=False):
        chosen = own[own["measure"] == own["measure"].iloc[0]]
        about = f"{words(endpoint)}, {chosen['measure'].iloc[0]}"
        held = chosen[~chosen["as_specified"] & (chosen["landmark"] != NO_LIMIT)]["holds"]
        yield (
            f"censoring_{endpoint}",
            censoring_curves(chosen)[0],
            f"{about}: posterior median hazard ratios with intervals over the factor on the hazard after "
            "censoring; at 1 censoring tells nothing. Large: as specified. Filled: its word holds; hollow: "
            "it is lost, or there is none.",
            f"{about}: hazard ratios over the factor run from {chosen['hr'].min():.2f} to "
            f"{chosen['hr'].max():.2f}; the word of the analysis as specified holds in {int(held.sum())} of "
            f"{len(held)} refits.",
        )
