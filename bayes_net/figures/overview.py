"""The one figure of a report's first screen: hazard ratios by landmark and arm, small enough for a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from bayes_net import schema
from bayes_net.figures import style
from bayes_net.figures.forest import RATIO_LIMITS, forest_in_words
from bayes_net.figures.style import GREYS, MARKERS, STYLE, arm_colours, fitted
from bayes_net.report.tables import by_landmark
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.schema import words

_TICKS = (0.1, 0.2, 0.25, 0.4, 0.5, 0.8)
"""Where an axis may be marked below 1; above 1 at the reciprocals."""
_LINE, _BETWEEN, _LABEL, _HEAD = 0.085, 0.12, 0.16, 0.62
"""Inches: an interval, what is between landmarks, a direct label, and title and axis together."""


@rc_context(STYLE | {"lines.linewidth": 1.4})
def overview(hazard_ratios: pd.DataFrame, *, arms: Sequence[str] = ()) -> list[Axes]:
    """Hazard ratios with intervals, one panel per endpoint on one log axis, landmarks as rows.

    ``hazard_ratios`` holds one measure and estimand of each endpoint. In the first panel each arm has its
    name at its first interval, in its colour; there is no legend. "No limit" is marked as biased, shaded and
    hollow, and rows that only the prior decides have a dotted line. An interval beyond 0.1 or 10 is cut there
    and ends in an arrow; a row whose gate failed is not drawn. Of a synthesis, rows of which a paper says
    something and prints no number are hollow, and predicted ones have a dotted line.
    """
    by_endpoint = hazard_ratios.groupby("endpoint", sort=False)
    panels = {endpoint: by_landmark(rows).reset_index(drop=True) for endpoint, rows in by_endpoint}
    every = pd.concat(panels.values(), ignore_index=True)
    names, colours = style.present(every), arm_colours(every["arm"], arms)
    middles, heights, end = _places(list(every["landmark"].unique()), names)
    canvas = Canvas(figsize=(style.WIDTH, _HEAD + end), layout="constrained")
    canvas.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02)
    drawn = list(canvas.subplots(1, len(panels), sharey=True, squeeze=False)[0])
    passed = every[every["gate"] != schema.FAILED]
    low = max(RATIO_LIMITS[0], 0.97 * min(_TICKS[-1], passed["lower"].min()))
    high = min(RATIO_LIMITS[1], 1.03 * max(1 / _TICKS[-1], passed["upper"].max()))
    for ax, (endpoint, rows) in zip(drawn, panels.items(), strict=True):
        style.no_effect(ax)
        for row in rows.itertuples():
            y = heights[row.landmark, row.arm]
            if row.gate == schema.FAILED:
                _write(ax, low, y, "gate failed", color=GREYS[0], va="center")
            else:
                _draw_row(ax, row, y, colours, (low, high))
        _shade_biased(ax, rows, middles, end)
        ax.set(xscale="log", xlim=(low, high))
        ax.set_xlabel("\N{LEFTWARDS ARROW} longer · shorter \N{RIGHTWARDS ARROW}")
        ax.xaxis.set_major_locator(FixedLocator(_ticks(low, high)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.set_ylim(end, 0)
        ax.set_title(words(endpoint), weight="bold", loc="left", pad=3)
        ax.tick_params(length=2, pad=2)
        ax.xaxis.labelpad = 1
    first, top, most = drawn[0], next(iter(middles)), 28 if len(drawn) == 1 else 21
    for name in names:
        place = {"color": colours[name], "va": "bottom", "bbox": {"fc": "white", "lw": 0, "pad": 0.2}}
        _write(first, low, heights[top, name] - 0.06, fitted(name, most), **place)
    labels = [
        f"{fitted(name, 16)}\n(biased)" if name in _biased(every) else fitted(name, 16) for name in middles
    ]
    style.row_labels(first, list(middles.values()), labels)
    for ax in drawn[1:]:
        ax.tick_params(axis="y", left=False, labelleft=False)
        ax.spines["left"].set_visible(False)
    return drawn


def _places(landmarks: Sequence[str], arms: Sequence[str]) -> tuple[dict, dict, float]:
    """The middle of each landmark, the height of each of its arms, and where the last one ends, in inches;
    the first landmark has room for the names of the arms."""
    middles, heights, y = {}, {}, 0.0
    for i, landmark in enumerate(landmarks):
        y += _BETWEEN / 2
        start = y
        step = _LINE + _LABEL if i == 0 else max(_LINE, 0.26 / len(arms))
        for arm in arms:
            heights[landmark, arm] = y + (step / 2 if i and len(arms) == 1 else step - 0.5 * _LINE)
            y += step
        middles[landmark] = (start + y) / 2
        y += _BETWEEN / 2
    return middles, heights, y


def _ticks(low: float, high: float) -> list[float]:
    """1, and the outermost marks in view: more would touch in a panel of half the width."""
    return [min(t for t in _TICKS if t >= low), 1, max(1 / t for t in _TICKS if 1 / t <= high)]


def _biased(rows: pd.DataFrame) -> set[str]:
    return set(rows.loc[rows["biased"].astype(bool), "landmark"])


def _shade_biased(ax: Axes, rows: pd.DataFrame, middles: Mapping[str, float], end: float) -> None:
    """A grey ground from the first biased landmark on, which is sorted last."""
    biased, names = _biased(rows), list(middles)
    first = next((i for i, name in enumerate(names) if name in biased), None)
    if first is not None:
        top = 0.0 if first == 0 else (middles[names[first - 1]] + middles[names[first]]) / 2
        ax.axhspan(top, end, color="#eeeeee", zorder=0, gid="biased")


def _write(ax: Axes, x: float, y: float, text: str, **look: Any) -> None:
    ax.text(x, y, text, parse_math=False, clip_on=False, **look)


def _draw_row(ax: Axes, row: Any, y: float, colours: Mapping[str, str], limits: tuple[float, float]) -> None:
    colour, hollow = colours[row.arm], row.biased or row.status == schema.SAID
    dotted = row.contraction < LEAST_CONTRACTION or row.status == schema.PREDICTED
    look: dict[str, Any] = {"linestyle": ":" if dotted else "-", "color": colour, "markersize": 5}
    look |= {"marker": MARKERS[list(colours).index(row.arm) % len(MARKERS)]}
    style.draw_interval(ax, row, y, limits, arrow=4, markerfacecolor="white" if hollow else colour, **look)


def overview_in_words(hazard_ratios: pd.DataFrame) -> str:
    """What the figure shows, for those who cannot see it."""
    parts = [
        f"{words(endpoint)}, {forest_in_words(rows)}"
        for endpoint, rows in hazard_ratios.groupby("endpoint", sort=False)
    ]
    return " ".join(parts)
