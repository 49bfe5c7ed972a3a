"""The forest plot: hazard ratios by landmark and arm, with their numbers beside them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes

from bayes_net import tables
from bayes_net._drawing import (
    GREYS,
    LINES,
    MARKERS,
    STYLE,
    add_legend,
    arm_colours,
    arm_marker,
    beside,
    new_axes,
    no_effect,
    present,
    ratio_axis,
    short,
)

RATIO_LIMITS = (0.1, 10.0)
"""An interval that reaches further is cut here and ends in an arrow."""
_HR_AT, _N_AT, _EVENTS_AT = 110, 136, 177
"""Right edges of the forest's text columns, in points from the axes."""


@rc_context(STYLE)
def forest(hazard_ratios: pd.DataFrame, *, ax: Axes | None = None, arms: Sequence[str] = ()) -> Axes:
    """Hazard ratios with intervals, landmarks by arms, on a log axis; ``no limit`` set apart and hollow.

    ``hazard_ratios`` holds one endpoint, measure and estimand. Text at the right: estimate and
    interval, patients, events. An interval beyond 0.1 or 10 is cut there and ends in an arrow.
    """
    colours = arm_colours(hazard_ratios["arm"], arms)
    places = _places(hazard_ratios)
    ax = new_axes(ax, height=1.3 + 0.27 * (max(places) + 1))
    low = max(RATIO_LIMITS[0], 0.97 * min(1, hazard_ratios["lower"].min()))
    high = min(RATIO_LIMITS[1], 1.03 * max(1, hazard_ratios["upper"].max()))
    for row, y in zip(hazard_ratios.itertuples(index=False), places, strict=True):
        _draw_row(ax, row, y, colours, limits=(low, high))
    no_effect(ax)
    ratio_axis(ax, low, high, f"Hazard ratio ({tables.interval_label(hazard_ratios)}), log scale")
    _labels(ax, hazard_ratios, places)
    ax.set_ylim(max(places) + 0.8, -1.6)
    ax.spines["left"].set_visible(False)
    add_legend(
        ax,
        [arm_marker(colours[arm], list(colours).index(arm)) for arm in present(hazard_ratios)],
        present(hazard_ratios),
    )
    return ax


def _places(table: pd.DataFrame) -> list[float]:
    """Height of each row: a landmark's arms together, and a wide gap before ``no limit``."""
    places, y, before = [], -1.5, None
    for landmark, biased in zip(table["landmark"], table["biased"], strict=True):
        y += 1 if landmark == before else (3.2 if biased and before is not None else 1.5)
        places.append(y)
        before = landmark
    return places


def _draw_row(ax: Axes, row, y: float, colours: dict[str, str], *, limits: tuple[float, float]) -> None:
    usable = row.gate == tables.PASSED
    ratio = tables.format_interval(row.hr, row.lower, row.upper, row.mcse_hr) if usable else "gate failed"
    texts = (ratio, tables.format_count(row.n), tables.format_count(row.events))
    for x, text in zip((_HR_AT, _N_AT, _EVENTS_AT), texts, strict=True):
        beside(ax, text, x, y)
    if usable:
        _draw_interval(ax, row, y, colours, limits=limits)


def _draw_interval(ax: Axes, row, y: float, colours: dict[str, str], *, limits: tuple[float, float]) -> None:
    colour, marker = colours[row.arm], MARKERS[list(colours).index(row.arm) % len(MARKERS)]
    low, high = limits
    ax.plot([max(row.lower, low), min(row.upper, high)], [y, y], color=colour, solid_capstyle="butt")
    if row.lower < low:
        ax.plot(low, y, marker="<", color=colour, markersize=6, clip_on=False)
    if row.upper > high:
        ax.plot(high, y, marker=">", color=colour, markersize=6, clip_on=False)
    if low <= row.hr <= high:
        fill = "white" if row.biased else colour
        ax.plot(row.hr, y, marker=marker, color=colour, markerfacecolor=fill, markersize=7, gid="estimate")


def _labels(ax: Axes, table: pd.DataFrame, places: list[float]) -> None:
    heights = pd.Series(places).groupby(table["landmark"].to_numpy(), sort=False)
    middle = heights.mean()
    ax.set_yticks(middle.to_numpy(), labels=[short(label) for label in middle.index], parse_math=False)
    ax.tick_params(axis="y", length=0)
    for x, text in ((_HR_AT, f"HR ({tables.interval_label(table)})"), (_N_AT, "n"), (_EVENTS_AT, "events")):
        beside(ax, text, x, -0.95, weight="bold")
    for label in table.loc[table["biased"].astype(bool), "landmark"].unique():
        top, bottom = heights.min()[label] - 1.9, heights.max()[label] + 0.8
        ax.axhspan(top, bottom, color="#eeeeee", zorder=0)
        ax.axhline(top, color=GREYS[1], linewidth=0.8, linestyle=LINES[1])
        ax.text(
            0.02,
            top + 0.75,
            tables.BIASED,
            transform=ax.get_yaxis_transform(),
            va="center",
            style="italic",
            fontsize=9,
        )
