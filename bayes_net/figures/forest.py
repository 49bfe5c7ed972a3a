"""The forest plot: hazard ratios by landmark and arm, with their numbers beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayes_net import schema
from bayes_net.figures.style import (
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
from bayes_net.numbers import format_count, format_interval, interval_label
from bayes_net.report.evidence_tables import by_landmark
from bayes_net.results.synthesis import PREDICTED
from bayes_net.schema import BIASED, WITHOUT_BIAS

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
    ratio_axis(ax, low, high, f"Hazard ratio ({interval_label(hazard_ratios)}), log scale")
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
    usable = row.gate == schema.PASSED
    ratio = format_interval(row.hr, row.lower, row.upper, row.mcse_hr) if usable else "gate failed"
    texts = (ratio, format_count(row.n), format_count(row.events))
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
    for x, text in ((_HR_AT, f"HR ({interval_label(table)})"), (_N_AT, "n"), (_EVENTS_AT, "events")):
        beside(ax, text, x, -0.95, weight="bold")
    for label in table.loc[table["biased"].astype(bool), "landmark"].unique():
        top, bottom = heights.min()[label] - 1.9, heights.max()[label] + 0.8
        ax.axhspan(top, bottom, color="#eeeeee", zorder=0)
        ax.axhline(top, color=GREYS[1], linewidth=0.8, linestyle=LINES[1])
        ax.text(
            0.02,
            top + 0.75,
            BIASED,
            transform=ax.get_yaxis_transform(),
            va="center",
            style="italic",
            fontsize=9,
        )


PRINTED = {"marker": "D", "color": "black", "markerfacecolor": "white", "markersize": 5.5}
"""How a printed number is drawn in every figure: an open diamond."""


_POSTERIOR_AT, _PRINTED_AT = 92, 180
"""Right edges of the text columns, in points from the axes."""


_PREDICTED = "grey: predicted, no printed number"


@rc_context(STYLE)
def synthesis_forest(
    hazard_ratios: pd.DataFrame, *, ax: Axes | None = None, arms: Sequence[str] = ()
) -> Axes:
    """Posterior hazard ratios, landmarks by arms, with the printed one as an open diamond just below.

    ``hazard_ratios`` holds one endpoint and measure. Predicted rows are grey, "no limit" is set apart.
    """
    rows = by_landmark(hazard_ratios)
    colours = arm_colours(rows["arm"], arms)
    places = _synthesis_places(rows)
    ax = new_axes(ax, height=1.5 + 0.34 * (max(places) + 1))
    limits = rows[["lower", "upper", "printed_lower", "printed_upper"]]
    low = max(RATIO_LIMITS[0], 0.97 * min(1, limits.min(axis=None)))
    high = min(RATIO_LIMITS[1], 1.03 * max(1, limits.max(axis=None)))
    for row, y in zip(rows.itertuples(index=False), places, strict=True):
        _forest_row(ax, row, y, colours, (low, high))
    no_effect(ax)
    ratio_axis(ax, low, high, f"Hazard ratio ({100 * rows['level'].iloc[0]:.3g} % interval), log scale")
    _forest_labels(ax, rows, places)
    ax.set_ylim(max(places) + 0.8, -1.4)
    ax.spines["left"].set_visible(False)
    handles = [arm_marker(colours[arm], list(colours).index(arm)) for arm in present(rows)]
    names = present(rows)
    if rows["printed"].notna().any():
        handles, names = [*handles, Line2D([], [], **PRINTED)], [*names, "printed"]
    if (rows["status"] == PREDICTED).any():
        handles, names = [*handles, Line2D([], [], color=GREYS[1], marker="o")], [*names, _PREDICTED]
    add_legend(ax, handles, names)
    return ax


def _synthesis_places(rows: pd.DataFrame) -> list[float]:
    places, y, before, biased = [], -1.4, None, False
    for row in rows.itertuples():
        gap = 3.0 if row.biased and not biased and before is not None else 1.4
        y += 1 if row.landmark == before else gap
        places.append(y)
        before, biased = row.landmark, row.biased
    return places


def _forest_row(ax: Axes, row, y: float, colours: Mapping[str, str], limits: tuple[float, float]) -> None:
    low, high = limits
    colour = GREYS[1] if row.status == PREDICTED else colours[row.arm]
    marker = MARKERS[list(colours).index(row.arm) % len(MARKERS)]
    ax.plot([max(row.lower, low), min(row.upper, high)], [y, y], color=colour, gid="interval")
    fill = "white" if row.biased else colour
    ax.plot(row.hr, y, marker=marker, color=colour, markerfacecolor=fill, markersize=7, gid="estimate")
    text = format_interval(row.hr, row.lower, row.upper, row.mcse_hr, most=2)
    beside(ax, text, _POSTERIOR_AT, y, color=GREYS[0] if row.status == PREDICTED else "black")
    if pd.notna(row.printed):
        limits = [max(row.printed_lower, low), min(row.printed_upper, high)]
        ax.plot(limits, [y + 0.34] * 2, color="black", linewidth=1, gid="printed interval")
        ax.plot(row.printed, y + 0.34, gid="printed", **PRINTED)
        printed = format_interval(row.printed, row.printed_lower, row.printed_upper, 0.0, most=2)
        beside(ax, printed, _PRINTED_AT, y)


def _forest_labels(ax: Axes, rows: pd.DataFrame, places: list[float]) -> None:
    heights = pd.Series(places).groupby(rows["landmark"].to_numpy(), sort=False)
    middle = heights.mean()
    labels = [short(label).replace(", ", ",\n", 1) for label in middle.index]
    ax.set_yticks(middle.to_numpy(), labels=labels, parse_math=False)
    ax.tick_params(axis="y", length=0)
    beside(ax, "posterior", _POSTERIOR_AT, -0.85, weight="bold")
    if rows["printed"].notna().any():
        beside(ax, "printed", _PRINTED_AT, -0.85, weight="bold")
    as_printed = rows["biased"].astype(bool) & (rows["landmark"] != WITHOUT_BIAS)
    biased = [y for y, flag in zip(places, as_printed, strict=True) if flag]
    if biased:
        ax.axhspan(min(biased) - 2.0, max(biased) + 0.8, color="#eeeeee", zorder=0)
        place = {"transform": ax.get_yaxis_transform(), "va": "center", "style": "italic", "fontsize": 9}
        ax.text(0.02, min(biased) - 1.2, BIASED.replace(" on ", "\non "), **place)
