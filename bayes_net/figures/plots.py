"""Figures: each function draws one tidy table and returns the axes; nothing is computed here.

``arms``, in the cohort's order, fixes which colour an arm has, so that it keeps it in every figure.
Saving and SVG text: ``svg`` and ``save``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from bayes_net.figures import style
from bayes_net.figures.forest import forest
from bayes_net.figures.style import (
    GREYS,
    STYLE,
    add_legend,
    arm_colours,
    fitted,
    new_axes,
    present,
    save,
    svg,
)
from bayes_net.figures.timeline import timeline
from bayes_net.numbers import format_count
from bayes_net.schema import FAILED

__all__ = [
    "attrition_flow",
    "baseline_hazard",
    "forest",
    "hazard_ratio_by_time",
    "ppc",
    "prior_posterior",
    "save",
    "states",
    "survival",
    "svg",
    "timeline",
    "waterfall",
]


@rc_context(STYLE)
def survival(
    bands: pd.DataFrame,
    observed: pd.DataFrame,
    at_risk: pd.DataFrame | None = None,
    *,
    ax: Axes | None = None,
    arms: Sequence[str] = (),
) -> Axes:
    """Kaplan–Meier steps over posterior bands, one colour per arm, numbers at risk beneath.

    ``bands``: group, time, estimate, lower, upper; optional arm (when groups split an arm, so that
    they share its colour), ``origin`` (what months count from) and ``endpoint``. ``observed``: group,
    time, survival, at_risk, optional n_censored: a row at time 0 and at every distinct time.
    ``at_risk``: group, time, n; without it the numbers are looked up in ``observed``.
    """
    colours, lines = style.group_styles(bands, arms)
    ax = new_axes(ax, height=3.2 + 0.36 * len(colours))
    for group, band in bands.groupby("group", sort=False):
        ax.fill_between(
            band["time"], band["lower"], band["upper"], color=colours[group], alpha=0.2, linewidth=0
        )
        ax.plot(band["time"], band["estimate"], color=colours[group], linewidth=0.9, linestyle=lines[group])
    for group, steps in observed.groupby("group", sort=False):
        ax.step(steps["time"], steps["survival"], where="post", color=colours[group], linestyle=lines[group])
        if "n_censored" in steps:
            ticks = steps[steps["n_censored"] > 0]
            ax.plot(
                ticks["time"], ticks["survival"], "|", color=colours[group], markersize=6, markeredgewidth=0.8
            )
    end = max(bands["time"].max(), observed["time"].max())
    ax.set(xlim=(0, end), ylim=(0, 1.02), xticks=style.month_ticks(end), yticks=np.linspace(0, 1, 6))
    origin = f"Months from {bands['origin'].iloc[0]}" if "origin" in bands else "Months"
    ax.set_xlabel(fitted(origin, 60), parse_math=False)
    ax.set_ylabel(style.endpoint(bands), parse_math=False)
    _numbers_at_risk(ax, _at_ticks(observed, style.month_ticks(end)) if at_risk is None else at_risk, colours)
    handles = [Line2D([], [], color=colours[group], linestyle=lines[group]) for group in colours]
    add_legend(ax, handles, list(colours))
    return ax


def _at_ticks(observed: pd.DataFrame, ticks: list[float]) -> pd.DataFrame:
    """The number at risk just before each tick: that of the first row at or after it."""
    rows = []
    for group, steps in observed.groupby("group", sort=False):
        for tick in ticks:
            later = steps.loc[steps["time"] >= tick, "at_risk"]
            rows.append((group, tick, later.iloc[0] if len(later) else 0))
    return pd.DataFrame(rows, columns=["group", "time", "n"])


def _numbers_at_risk(ax: Axes, at_risk: pd.DataFrame, colours: dict[str, str]) -> None:
    """Two lines of text per group under the axis: its name, then the numbers below their ticks."""
    below = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points", "annotation_clip": False}
    y = -52
    for group, numbers in at_risk.groupby("group", sort=False):
        name = fitted(f"At risk: {group}", 42)
        ax.annotate("■", (0, 0), (-4, y), color=colours[group], **below)
        y -= 12 * name.count("\n")
        ax.annotate(name, (0, 0), (8, y), parse_math=False, **below)
        for row in numbers.itertuples(index=False):
            ax.annotate(format_count(row.n), (row.time, 0), (0, y - 12), ha="center", gid="at risk", **below)
        y -= 27


@rc_context(STYLE)
def baseline_hazard(hazards: pd.DataFrame, *, ax: Axes | None = None, arms: Sequence[str] = ()) -> Axes:
    """Posterior hazard per interval as steps with its interval band, on a log axis.

    ``hazards``: arm, start, end, estimate, lower, upper; the last end is the last follow-up.
    """
    ax = _over_intervals(hazards, ax, arms)
    ax.set(yscale="log", xlabel="Months", ylabel="Hazard per month, log scale")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    return ax


@rc_context(STYLE)
def hazard_ratio_by_time(ratios: pd.DataFrame, *, ax: Axes | None = None, arms: Sequence[str] = ()) -> Axes:
    """Posterior hazard ratio of shrinkage per interval after the landmark as steps with its interval band, on
    a log axis with a line at 1.

    ``ratios``: arm, start, end, estimate, lower, upper, optional ``origin`` (what months count from); the
    last end is the last follow-up.
    """
    ax = _over_intervals(ratios, ax, arms)
    low, high = min(0.9, ratios["lower"].min()), max(1.1, ratios["upper"].max())
    style.ratio_axis(ax, low, high, "Hazard ratio, log scale", vertical=True)
    ax.axhline(1, color="black", linewidth=0.8, zorder=1)
    origin = ratios["origin"].iloc[0] if "origin" in ratios else "the landmark"
    ax.set_xlabel(fitted(f"Months from {origin}", 60), parse_math=False)
    return ax


def _over_intervals(table: pd.DataFrame, ax: Axes | None, arms: Sequence[str]) -> Axes:
    colours = arm_colours(table["arm"], arms)
    ax = new_axes(ax, height=2.8)
    for arm, steps in table.groupby("arm", sort=False):
        edges = [steps["start"].iloc[0], *steps["end"]]
        band = {"color": colours[arm], "alpha": 0.2, "linewidth": 0}
        ax.stairs(steps["upper"], edges, baseline=steps["lower"].to_numpy(), fill=True, **band)
        ax.stairs(steps["estimate"], edges, baseline=None, color=colours[arm], linewidth=1.6)
    ax.set(xlim=(0, table["end"].max()), xticks=style.month_ticks(table["end"].max()))
    add_legend(ax, [Line2D([], [], color=colours[arm]) for arm in present(table)], present(table))
    return ax


@rc_context(STYLE)
def waterfall(best: pd.DataFrame, *, ax: Axes | None = None, arms: Sequence[str] = ()) -> Axes:
    """Best change from baseline, one bar a patient, largest shrinkage at the right; drawn only on request.

    ``best``: arm, shrinkage (percentage points). Bars show the percentage change, so shrinkage points
    down; lines at −30 % and +20 %.
    """
    colours = arm_colours(best["arm"], arms)
    ax = new_axes(ax, height=2.8)
    ordered = best.sort_values("shrinkage", kind="stable")
    ax.bar(
        np.arange(len(ordered)), -ordered["shrinkage"], width=0.9, color=ordered["arm"].map(colours).tolist()
    )
    for level in (-30, 20):
        ax.axhline(level, color="black", linewidth=0.8, linestyle=style.LINES[1])
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(xlim=(-0.6, len(best) - 0.4), xticks=[])
    ax.set(xlabel=f"{len(best)} patients, one bar each", ylabel="Best change from baseline, %")
    add_legend(ax, [Patch(color=colours[arm]) for arm in present(best)], present(best))
    return ax


@rc_context(STYLE)
def attrition_flow(attrition: pd.DataFrame, *, ax: Axes | None = None, arms: Sequence[str] = ()) -> Axes:
    """One bar per landmark and arm: the analysed in the arm's colour, then who left and why, in greys.

    ``attrition``: landmark, arm, reason, n; the first reason is the total, the last the analysed.
    """
    colours = arm_colours(attrition["arm"], arms)
    first, last = attrition["reason"].iloc[0], attrition["reason"].iloc[-1]
    happened = attrition.loc[attrition["n"] > 0, "reason"].unique()
    left = [reason for reason in happened if reason not in (first, last)]
    greys = dict(zip(left, style.spread(GREYS, len(left)), strict=True))
    bars = attrition[["landmark", "arm"]].drop_duplicates()
    ax = new_axes(ax, height=1.2 + 0.32 * len(bars) + 0.22 * (len(left) + len(colours)))
    total = attrition.loc[attrition["reason"] == first, "n"].max()
    places = _flow_places(bars)
    for (landmark, arm), y in places.items():
        own = (attrition["landmark"] == landmark) & (attrition["arm"] == arm)
        bar = attrition[own].set_index("reason")["n"]
        start = 0.0
        for reason, colour in {last: colours[arm], **greys}.items():
            start += _segment(ax, y, start, bar.get(reason, 0), colour, total=total)
    landmarks = pd.Series(places.values()).groupby([landmark for landmark, _ in places], sort=False).mean()
    style.row_labels(ax, landmarks.to_numpy(), [fitted(label, 18) for label in landmarks.index])
    ax.set(xlim=(0, total), xlabel="Patients", ylim=(max(places.values()) + 0.7, -0.7))
    names = [f"{fitted(arm, 26)}: {last}" for arm in present(attrition)] + [*left]
    shades = [colours[arm] for arm in present(attrition)] + [greys[reason] for reason in left]
    add_legend(ax, [Patch(color=shade) for shade in shades], names)
    return ax


def _flow_places(bars: pd.DataFrame) -> dict[tuple[str, str], float]:
    places, y, before = {}, -1.4, None
    for landmark, arm in bars.itertuples(index=False, name=None):
        y += 0.9 if landmark == before else 1.4
        places[landmark, arm] = y
        before = landmark
    return places


def _segment(ax: Axes, y: float, start: float, count: float, colour: str, *, total: float) -> float:
    if count:
        ax.barh(y, count, left=start, height=0.8, color=colour, edgecolor="white", linewidth=0.6)
    if count >= 0.045 * total:  # a narrower piece has no room for its number, which the table gives
        place = {"ha": "center", "va": "center", "color": style.ink(colour)}
        ax.text(start + count / 2, y, format_count(count), **place)
    return count


RIDGE, RIDGE_HEAD = 0.3, 0.75
"""Inches of a ridge, and of axis and margins together."""


@rc_context(STYLE)
def prior_posterior(densities: pd.DataFrame, *, ax: Axes | None = None, arms: Sequence[str] = ()) -> Axes:
    """Prior (dashed, grey) and posterior density (the arm's colour) of the hazard ratio, a ridge per landmark
    and arm, on a log axis.

    ``densities``: arm, hr, prior, posterior, of hazard ratios on one grid; optional landmark, biased, gate.
    Every ridge has a height of its own, so that its posterior can be compared with its prior and not with
    other ridges. Biased landmarks are shaded; a fit whose gate failed is not drawn.
    """
    table = densities.assign(**{name: "" for name in ("landmark", "gate") if name not in densities})
    table = table if "biased" in table else table.assign(biased=False)
    colours, ridges = arm_colours(table["arm"], arms), list(table.groupby(["landmark", "arm"], sort=False))
    first = ~pd.Series([arm for (_, arm), _ in ridges]).duplicated()
    places = (1 + 0.6 * first).cumsum()
    if ax is None:
        size = (style.WIDTH, RIDGE_HEAD + RIDGE * places.max())
        ax = Canvas(figsize=size, layout="constrained").add_subplot()
    for y, named, ((_, arm), curve) in zip(places, first, ridges, strict=True):
        if curve["biased"].iloc[0]:
            ax.axhspan(y - 1 - 0.6 * named, y, color="#eeeeee", linewidth=0, zorder=0, gid="biased")
        if curve["gate"].iloc[0] == FAILED:
            ax.text(0.5, y - 0.3, "gate failed", transform=ax.get_yaxis_transform(), color=GREYS[0])
        else:
            _ridge(ax, curve, y, colours[arm])
        if named:
            place = {"transform": ax.get_yaxis_transform(), "color": colours[arm], "parse_math": False}
            ax.text(0, y - 1.05, fitted(arm), va="bottom", **place)
    ax.axvline(1, color="black", linewidth=0.8, zorder=1)
    low, high = table["hr"].min(), table["hr"].max()
    style.ratio_axis(ax, low, max(high, 1.01 * low), "Hazard ratio, log scale")
    heights = places.groupby([at for (at, _), _ in ridges], sort=False).mean()
    labels = [fitted(at).replace(", ", ",\n", 1) for at in heights.index]
    style.row_labels(ax, heights.to_numpy() - 0.45, labels)
    ax.set_ylim(places.max() + 0.05, 0)
    return ax


def _ridge(ax: Axes, curve: pd.DataFrame, y: float, colour: str) -> None:
    """One hazard ratio: its densities upwards from height ``y``."""
    tallest = curve[["prior", "posterior"]].max(axis=None)
    prior, posterior = (y - curve[name] / tallest for name in ("prior", "posterior"))
    ax.fill_between(curve["hr"], posterior, y, color=colour, alpha=0.25, linewidth=0, gid="posterior")
    ax.plot(curve["hr"], posterior, color=colour, linewidth=1.2, gid="posterior")
    ax.plot(curve["hr"], prior, color=GREYS[0], linestyle=style.LINES[1], linewidth=1, gid="prior")


@rc_context(STYLE)
def states(probabilities: pd.DataFrame, *, arms: Sequence[str] = ()) -> list[Axes]:
    """Where patients are by and by: probabilities of the states on top of each other, a panel for each arm
    (row) and profile (column).

    ``probabilities``: arm, profile, state, time, estimate, optional ``origin`` (what months count from).
    """
    names, rows = list(probabilities["state"].unique()), present(probabilities)
    columns, end = list(probabilities["profile"].unique()), probabilities["time"].max()
    figure = Canvas(figsize=(style.WIDTH, 1.0 + 2.0 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    shades = dict(zip(names, (style.ARM_COLOURS[0], style.ARM_COLOURS[5], GREYS[4]), strict=True))
    for (i, arm), (j, profile) in product(enumerate(rows), enumerate(columns)):
        own = probabilities[(probabilities["arm"] == arm) & (probabilities["profile"] == profile)]
        wide, ax = own.pivot(index="time", columns="state", values="estimate")[names], panels[i, j]
        ax.stackplot(wide.index, wide.to_numpy().T, colors=list(shades.values()))
        ax.set_title(f"{fitted(arm, 24)}\n{fitted(profile, 24)}", loc="left", parse_math=False)
        ax.set(xlim=(0, end), ylim=(0, 1), xticks=style.month_ticks(end), yticks=np.linspace(0, 1, 5))
    origin = f"Months from {probabilities['origin'].iloc[0]}" if "origin" in probabilities else "Months"
    figure.supxlabel(fitted(origin, 60), parse_math=False)
    figure.supylabel("Share of patients")
    style.figure_legend(figure, [Patch(color=shade) for shade in shades.values()], names, columns=1)
    return list(panels.ravel())


@rc_context(STYLE)
def ppc(
    replicated: pd.DataFrame, observed: pd.DataFrame, *, ax: Axes | None = None, arms: Sequence[str] = ()
) -> Axes:
    """Observed Kaplan–Meier curves (colour) over the bands of curves replicated by the model (grey).

    ``replicated``: arm, time, estimate, lower, upper. ``observed``: arm, time, survival.
    """
    colours = arm_colours(replicated["arm"], arms)
    ax = new_axes(ax, height=2.9)
    for _, band in replicated.groupby("arm", sort=False):
        ax.fill_between(band["time"], band["lower"], band["upper"], color=GREYS[2], alpha=0.45, linewidth=0)
        ax.plot(band["time"], band["estimate"], color=GREYS[0], linewidth=0.9, linestyle=style.LINES[1])
    for arm, steps in observed.groupby("arm", sort=False):
        ax.step(steps["time"], steps["survival"], where="post", color=colours[arm])
    end = replicated["time"].max()
    ax.set(xlim=(0, end), ylim=(0, 1.02), xticks=style.month_ticks(end), xlabel="Months")
    ax.set_ylabel(style.endpoint(replicated), parse_math=False)
    handles = [Line2D([], [], color=colours[arm]) for arm in present(observed)]
    names = [f"{fitted(arm, 26)}: observed" for arm in present(observed)]
    grey = Patch(color=GREYS[2], alpha=0.45)
    add_legend(ax, [*handles, grey], [*names, "replicated by the model"])
    return ax
