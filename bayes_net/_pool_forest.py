"""The forest plot of a synthesis: posterior hazard ratios with the printed ones beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayes_net import tables
from bayes_net._drawing import (
    GREYS,
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
from bayes_net._forest import RATIO_LIMITS
from bayes_net._pool_tables import by_landmark
from bayes_net.pooled_results import PREDICTED

PRINTED = {"marker": "D", "color": "black", "markerfacecolor": "white", "markersize": 5.5}
"""How a printed number is drawn in every figure: an open diamond."""
_POSTERIOR_AT, _PRINTED_AT = 92, 180
"""Right edges of the text columns, in points from the axes."""
_PREDICTED = "grey: predicted, no printed number"


@rc_context(STYLE)
def pooled_forest(hazard_ratios: pd.DataFrame, *, ax: Axes | None = None, arms: Sequence[str] = ()) -> Axes:
    """Posterior hazard ratios, landmarks by arms, with the printed one as an open diamond just below.

    ``hazard_ratios`` holds one endpoint and measure. Predicted rows are grey, "no limit" is set apart.
    """
    rows = by_landmark(hazard_ratios)
    colours = arm_colours(rows["arm"], arms)
    places = _places(rows)
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


def _places(rows: pd.DataFrame) -> list[float]:
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
    text = tables.format_interval(row.hr, row.lower, row.upper, row.mcse_hr, most=2)
    beside(ax, text, _POSTERIOR_AT, y, color=GREYS[0] if row.status == PREDICTED else "black")
    if pd.notna(row.printed):
        limits = [max(row.printed_lower, low), min(row.printed_upper, high)]
        ax.plot(limits, [y + 0.34] * 2, color="black", linewidth=1, gid="printed interval")
        ax.plot(row.printed, y + 0.34, gid="printed", **PRINTED)
        printed = tables.format_interval(row.printed, row.printed_lower, row.printed_upper, 0.0, most=2)
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
    as_printed = rows["biased"].astype(bool) & (rows["landmark"] != tables.WITHOUT_BIAS)
    biased = [y for y, flag in zip(places, as_printed, strict=True) if flag]
    if biased:
        ax.axhspan(min(biased) - 2.0, max(biased) + 0.8, color="#eeeeee", zorder=0)
        place = {"transform": ax.get_yaxis_transform(), "va": "center", "style": "italic", "fontsize": 9}
        ax.text(0.02, min(biased) - 1.2, tables.BIASED.replace(" on ", "\non "), **place)
