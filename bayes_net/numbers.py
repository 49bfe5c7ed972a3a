"""How a number is printed, and nowhere else: with the digits that its Monte-Carlo error supports."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bayes_net.errors import InputError

Column = Callable[[Any], str] | tuple[str, Callable[[Any], str]]
"""What stands under a heading: a text of a whole row, or a column and what prints its values."""

MOST_DECIMALS = 3
MONTH_DECIMALS = 1
"""A tenth of a month is three days, finer than any visit schedule."""
NOT_REACHED = "not reached"
MISSING = "–"


def decimals(value: float, mcse: float, *, most: int = MOST_DECIMALS) -> int:
    """How many decimals to print: all whose half unit is at least the MCSE, and never less than two digits.

    d = floor(−log10(2·MCSE)), raised to two significant digits of ``value`` and at most ``most``. An
    unknown error (NaN) supports nothing beyond the two significant digits.
    """
    two_digits = float(f"{abs(value):.1e}")  # 0.998 is 1.0, and not 1.00
    significant = 1 - math.floor(math.log10(two_digits)) if value else 2
    return max(0, min(most, max(_supported(mcse, most), significant)))


def _supported(mcse: float, most: int) -> int:
    """The decimals that an error supports."""
    if math.isnan(mcse):
        return 0
    # 2 × 0.005 must give 2, not 1.9999
    return most if mcse <= 0 else math.floor(-math.log10(2 * mcse) + 1e-9)


def alike(errors: pd.Series) -> pd.Series:
    """The errors by which a column is rounded, so that its rows have the digits of the median one.

    A row whose own error exceeds a whole unit of the last digit that this gives keeps its own.
    """
    if errors.isna().all():
        return errors
    typical = errors.median()
    return errors.where(errors > 10.0 ** -_supported(typical, MOST_DECIMALS), typical)


def evenly_rounded(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """The table with what ``format_ratio`` rounds by in a column ``rounding``: its rows look ``alike``."""
    errors = hazard_ratios.reindex(columns=["mcse_hr", "mcse_lower", "mcse_upper"]).astype(float)
    return hazard_ratios.assign(rounding=list(errors.apply(alike).itertuples(index=False, name=None)))


def format_estimate(value: float, mcse: float) -> str:
    """``value`` with the decimals that its Monte-Carlo standard error supports; see ``decimals``."""
    return _fixed(value, decimals(value, mcse) if math.isfinite(value) else 0)


def format_interval(
    estimate: float,
    lower: float,
    upper: float,
    mcse: float,
    *,
    of_limits: tuple[float, float] = (math.nan, math.nan),
    most: int = MOST_DECIMALS,
) -> str:
    """``0.85 (0.72–1.01)``: estimate and limits, each with the decimals that its own error supports.

    A limit may be off by a whole unit of its last digit, and the estimate by half. Where the error of a limit
    is unknown it has the decimals of the estimate.
    """
    places = decimals(estimate, mcse, most=most) if math.isfinite(estimate) else 1

    def limit(value: float, error: float) -> str:
        if math.isnan(error) or not math.isfinite(value):
            return _fixed(value, places)
        return _fixed(value, min(decimals(value, error / 2, most=most), max(places, 2)))

    dash = " to " if lower < 0 else "–"  # a dash before a minus sign is misread
    return f"{_fixed(estimate, places)} ({limit(lower, of_limits[0])}{dash}{limit(upper, of_limits[1])})"


def format_ratio(row: Any, *, most: int = MOST_DECIMALS) -> str:
    """``0.85 (0.72–1.01)``: the hazard ratio of a row of a table of hazard ratios, with its limits.

    Rows of an ``evenly_rounded`` table look alike.
    """
    of_hr, *of_limits = getattr(row, "rounding", (row.mcse_hr, *_errors_of_limits(row)))
    return format_interval(row.hr, row.lower, row.upper, of_hr, of_limits=tuple(of_limits), most=most)


def format_posterior(row: Any, *, most: int = MOST_DECIMALS) -> str:
    """The same of a row with ``estimate``, ``lower``, ``upper`` and ``mcse``."""
    errors = _errors_of_limits(row)
    return format_interval(row.estimate, row.lower, row.upper, row.mcse, of_limits=errors, most=most)


def _errors_of_limits(row: Any) -> tuple[float, float]:
    return getattr(row, "mcse_lower", math.nan), getattr(row, "mcse_upper", math.nan)


def format_probability(probability: float) -> str:
    """Two decimals; a finite number of draws never shows a probability of 0 or 1."""
    if math.isnan(probability):
        return MISSING
    return {"0.00": "< 0.01", "1.00": "> 0.99"}.get(f"{probability:.2f}", f"{probability:.2f}")


def rounded(value: float, places: int = 2, *, sign: str = "") -> str:
    """So many decimals, of a number whose Monte-Carlo error is unknown; a dash where there is none, and no
    minus sign before a zero. With ``sign`` "+" what is positive has its sign too."""
    if pd.isna(value):
        return MISSING
    return f"{round(value, places) + 0.0:{sign}.{places}f}".replace("-", "−")


def significant(value: float, digits: int = 3) -> str:
    """So many significant digits, of a number whose Monte-Carlo error is unknown."""
    return MISSING if pd.isna(value) else f"{value:.{digits}g}"


def percent(share: float) -> str:
    """``95 %`` for 0.95."""
    return f"{significant(100 * share)} %"


def format_plainly(value: float) -> str:
    """Two significant digits without an exponent; of less than 0.001 only that."""
    return "< 0.001" if 0 <= value < 0.001 else f"{float(f'{value:.2g}'):g}"


def format_range(values: npt.ArrayLike) -> str:
    """``0.5 to 2 (95 %)``: between which limits the central 95 % of draws lie."""
    lower, upper = np.quantile(np.asarray(values), (0.025, 0.975))
    return f"{format_plainly(lower)} to {format_plainly(upper)} (95 %)"


def format_count(count: float) -> str:
    """A whole number, or a dash where there is none."""
    return MISSING if pd.isna(count) else f"{count:.0f}"


def interval_label(table: pd.DataFrame) -> str:
    """``95 % CrI`` (equal-tailed, as where there is no column ``interval``) or ``95 % HDI``."""
    kinds = {"equal-tailed": "CrI", "hdi": "HDI"}
    table = table if "interval" in table else table.assign(interval="equal-tailed")
    pairs = table[["level", "interval"]].drop_duplicates().itertuples(index=False, name=None)
    return " / ".join(f"{percent(level)} {kinds.get(kind, kind)}" for level, kind in pairs)


def text_table(table: pd.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
    """A table to read, in the order of the rows; ``{interval}`` in a heading is the label of the limits."""
    table = evenly_rounded(table) if "mcse_hr" in table else table
    rows, label = list(table.itertuples(index=False)), interval_label(table) if "level" in table else ""
    return pd.DataFrame(
        {
            heading.format(interval=label): list(
                map(cell, rows) if callable(cell) else map(cell[1], table[cell[0]])
            )
            for heading, cell in columns.items()
        }
    )


def plain_table(table: pd.DataFrame, *, digits: int = 3) -> pd.DataFrame:
    """Any table as text: ``digits`` significant digits, yes and no, a dash where there is nothing."""
    return pd.DataFrame(
        {
            capitalised(name.replace("_", " ")): [plain(value, digits) for value in table[name]]
            for name in table.columns
        }
    )


def capitalised(text: str) -> str:
    """The text with a capital first letter, and all others as they are."""
    return text[:1].upper() + text[1:]


def error_text(mcse: float) -> str:
    """A Monte-Carlo standard error, to one significant digit."""
    if not math.isfinite(mcse):
        return MISSING
    return np.format_float_positional(mcse, precision=1, fractional=False, trim="-")


def _fixed(value: float, places: int) -> str:
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return NOT_REACHED
    text = f"{value:.{places}f}"
    if value and float(text) == 0:
        return f"<{10**-places:.{places}f}" if value > 0 else f"{0:.{places}f}"
    return text


def plain(value: Any, digits: int = 3) -> str:
    """Any value of a table as text; see ``plain_table``."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    return f"{value:.{digits}g}" if isinstance(value, float | np.floating) else str(value)


def counted(n: int, noun: str) -> str:
    """``"1 scan"``, ``"2 scans"``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def unbroken(label: str) -> str:
    """The label with spaces at which a line does not break."""
    return label.replace(" ", "\N{NO-BREAK SPACE}")


def listed_and(labels: list[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))


Cell = tuple[Mapping[str, str], str, str]
"""What heads a row, by column; the heading of a further column; and the text where they meet."""


def cross_table(cells: Iterable[Cell]) -> pd.DataFrame:
    """Rows and columns in the order of their first cell, a dash where there is none."""
    body: dict[tuple[str, ...], dict[str, str]] = {}
    columns: dict[str, None] = {}
    for row, column, cell in cells:
        columns |= dict.fromkeys([*row, column])
        line = body.setdefault(tuple(row.values()), dict(row))
        if column in line:
            raise InputError(
                f"two rows for {column}, {', '.join(row.values())}; expected one analysis per table"
            )
        line[column] = cell
    return pd.DataFrame(body.values(), columns=list(columns)).fillna(MISSING)
