"""The forest plot: hazard ratios by landmark and arm, with their numbers beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayes_net import schema
from bayes_net.figures import style
from bayes_net.figures.style import GREYS, LINES, MARKERS, STYLE, add_legend, arm_colours, arm_marker, beside
from bayes_net.labels import WITHOUT_BIAS
from bayes_net.numbers import evenly_rounded, format_count, format_interval, format_ratio, interval_label
from bayes_net.report.tables import by_landmark
from bayes_net.report.words import extremes
from bayes_net.results.columns import LEAST_CONTRACTION, PRINTED_COLUMNS
from bayes_net.schema import BIASED, PREDICTED, SAID

RATIO_LIMITS = (0.1, 10.0)
"""An interval that reaches further is cut here and ends in an arrow."""
PRINTED = {"marker": "D", "color": "black", "markerfacecolor": "white", "markersize": 5.5}
"""How a printed number is drawn in every figure: an open diamond."""
_COUNTS_AT = {"ratio": 84, "events": 130}
_PRINTED_AT = {"ratio": 88}
"""Right edges of the text columns, in points from the axes."""
_BELOW = 0.4
"""How far above its row the posterior stands where a printed hazard ratio stands as far below it; the row is
higher by twice as much."""
_MARK = "\N{WHITE DIAMOND} "
"""Before a printed number: the marker it is drawn with."""
Limits = tuple[float, float]
TO_READ_A_RATIO = (
    "Shaded: 0.9 to 1.11 per 10 points, which is 0.73 to 1.37 per 30. Below 1: greater shrinkage goes with "
    "longer time to event."
)


@rc_context(STYLE)
def forest(hazard_ratios: pd.DataFrame, *, ax: Axes | None = None, arms: Sequence[str] = ()) -> Axes:
    """Hazard ratios with intervals, landmarks by arms, on a log axis; ``no limit`` set apart and hollow.

    ``hazard_ratios`` holds one endpoint, measure and estimand. Text at the right: estimate and interval; of
    patients events and number, of a synthesis the printed hazard ratio, which is an open diamond below the
    posterior's. Rows of which a paper says something but prints no number have a hollow marker,
    predicted rows are grey, and rows that only the prior decides have a dotted line. An interval beyond 0.1
    or 10 is cut there and ends in an arrow; a row whose gate failed is not drawn.
    """
    rows = by_landmark(evenly_rounded(hazard_ratios))
    rows = rows.reindex(columns=list(dict.fromkeys([*rows, *PRINTED_COLUMNS])))
    colours, places = arm_colours(rows["arm"], arms), _places(rows)
    counted = rows["n"].notna().any()
    ax = style.new_axes(ax, height=1.3 + 0.24 * (max(places) + 1))
    ends = rows[["lower", "upper", "printed_lower", "printed_upper"]]
    low = max(RATIO_LIMITS[0], 0.97 * min(1, ends.min(axis=None)))
    high = min(RATIO_LIMITS[1], 1.03 * max(1, ends.max(axis=None)))
    columns = _COUNTS_AT if counted else _PRINTED_AT
    for row, y in zip(rows.itertuples(index=False), places, strict=True):
        _write_row(ax, row, y, columns)
        if row.gate != schema.FAILED:
            _draw_row(ax, row, y, colours, (low, high))
    style.no_effect(ax)
    style.ratio_axis(ax, low, high, f"Hazard ratio ({interval_label(rows)}), log scale")
    _labels(ax, rows, places)
    _headings(ax, rows, columns)
    ax.set_ylim(max(places) + 0.8, -1.6)
    add_legend(ax, *_legend(rows, colours))
    return ax


def _places(rows: pd.DataFrame) -> list[float]:
    """Height of each row: a landmark's arms together, and a wide gap before what is biased."""
    places, y, before, biased = [], -1.5, None, False
    for row in rows.itertuples():
        gap = 3.6 if row.biased and not biased and before is not None else 1.5
        room = _BELOW * pd.notna(row.printed)
        y += (1 if row.landmark == before else gap) + room
        places.append(y)
        y, before, biased = y + room, row.landmark, row.biased
    return places


def _write_row(ax: Axes, row: Any, y: float, columns: Mapping[str, float]) -> None:
    most = {} if "events" in columns else {"most": 2}
    colour = GREYS[0] if row.status == PREDICTED else "black"
    ratio = format_ratio(row, **most)
    texts = {"ratio": "gate failed" if row.gate == schema.FAILED else ratio}
    texts |= {"events": f"{format_count(row.events)}/{format_count(row.n)}"}
    for name, x in columns.items():
        beside(ax, texts[name], x, y - _BELOW * pd.notna(row.printed), color=colour)
    if pd.notna(row.printed):
        printed = format_interval(row.printed, row.printed_lower, row.printed_upper, 0.0, most=2)
        beside(ax, _MARK + printed, columns["ratio"], y + _BELOW)


def _draw_row(ax: Axes, row: Any, y: float, colours: Mapping[str, str], limits: Limits) -> None:
    low, high = limits
    printed = y + _BELOW
    y -= _BELOW * pd.notna(row.printed)
    colour = GREYS[1] if row.status == PREDICTED else colours[row.arm]
    marker = MARKERS[list(colours).index(row.arm) % len(MARKERS)]
    look = {"linestyle": ":" if row.contraction < LEAST_CONTRACTION else "-", "color": colour}
    look |= {"marker": marker, "markerfacecolor": "white" if row.biased or row.status == SAID else colour}
    style.draw_interval(ax, row, y, limits, arrow=6, markersize=7, **look)
    if pd.notna(row.printed):
        ends = [max(row.printed_lower, low), min(row.printed_upper, high)]
        ax.plot(ends, [printed] * 2, color="black", linewidth=1, gid="printed interval")
        ax.plot(row.printed, printed, gid="printed", **PRINTED)


def _labels(ax: Axes, rows: pd.DataFrame, places: list[float]) -> None:
    heights = pd.Series(places).groupby(rows["landmark"].to_numpy(), sort=False)
    middle = heights.mean()
    labels = [style.fitted(label).replace(", ", ",\n", 1) for label in middle.index]
    style.row_labels(ax, middle.to_numpy(), labels)
    observed = rows["biased"].astype(bool) & (rows["landmark"] != WITHOUT_BIAS)
    biased = [y for y, flag in zip(places, observed, strict=True) if flag]
    if biased:
        top = min(biased) - 2.3
        ax.axhspan(top, max(biased) + 0.8, color="#eeeeee", zorder=0)
        ax.axhline(top, color=GREYS[1], linewidth=0.8, linestyle=LINES[1])
        place = {"transform": ax.get_yaxis_transform(), "va": "center", "style": "italic"}
        ax.text(0.02, top + 0.75, BIASED.replace(" on ", "\non "), **place)


def _headings(ax: Axes, rows: pd.DataFrame, columns: Mapping[str, float]) -> None:
    names = {"ratio": f"HR ({interval_label(rows)})", "events": "events/n"}
    for name, x in columns.items():
        beside(ax, names[name], x, -0.95, weight="bold")


def _legend(rows: pd.DataFrame, colours: Mapping[str, str]) -> tuple[list[Line2D], list[str]]:
    names = style.present(rows)
    handles = [arm_marker(colours[arm], list(colours).index(arm)) for arm in names]
    if rows["printed"].notna().any():
        handles, names = [*handles, Line2D([], [], **PRINTED)], [*names, "printed"]
    if (rows["status"] == SAID).any():
        hollow = Line2D([], [], color="black", marker="o", markerfacecolor="white")
        handles, names = [*handles, hollow], [*names, "hollow: said, no printed number"]
    if (rows["contraction"] < LEAST_CONTRACTION).any():
        dotted = Line2D([], [], color="black", linestyle=":")
        handles, names = [*handles, dotted], [*names, "dotted: only the prior"]
    if (rows["status"] == PREDICTED).any():
        grey = Line2D([], [], color=GREYS[1], marker="o")
        handles, names = [*handles, grey], [*names, "grey: predicted, no printed number"]
    return handles, names


def forest_in_words(table: pd.DataFrame) -> str:
    """What a forest plot shows, for those who cannot see it."""
    passed = table[table["gate"] != schema.FAILED]
    if passed.empty:
        return "forest plot without estimates, because the gate failed."
    counted = passed[~passed["biased"].astype(bool)]
    kind, counted = ("biased no-limit", passed) if counted.empty else ("landmark", counted)
    apart = int(((counted["lower"] > 1) | (counted["upper"] < 1)).sum())
    excluding = f"{apart} of {len(counted)} intervals exclude 1"
    text = f"forest plot; {kind} hazard ratios run from {extremes(counted)}; {excluding}"
    if not (table["status"] != "").any():
        return f"{text}."
    said, predicted, prior = (
        (counted["status"] == SAID).sum(),
        (counted["status"] == PREDICTED).sum(),
        (counted["contraction"] < LEAST_CONTRACTION).sum(),
    )
    return (
        f"{text}; of {len(counted)}, {said} rest on what a paper says without a number, {predicted} are "
        f"predicted, and {prior} are the prior."
    )
