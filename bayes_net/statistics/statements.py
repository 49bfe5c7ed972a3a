"""What a paper says of an estimate that it does not print: "not significant", "about 1.0", "below N10".

The estimate was computed, so that it is an unknown with a standard error; what is said of it is an interval
in which it lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import inf, isnan, log, nan, sqrt

from bayes_net.statistics.base import Row, Rule, Statement
from bayes_net.statistics.rounding import rounded_range, z_of_level

SEPARATOR = ";"
IF_SIGNIFICANT = "if significant"
"""The rule by which a number was printed: it was significant, and would else be missing."""
LEVEL = 95.0
"""Of a two-sided test, in percent, where none is stated."""
SE_LOG_SD = 0.25
"""SD of the log of a standard error that is computed from events: the factor is between 0.6 and 1.6."""
_ABOUT = re.compile(r"about (\d+(?:\.\d+)?)(?: within (\d*\.?\d+))?")
_WITHIN = re.compile(r"\|z\| < (\d+(?:\.\d+)?)")
_COMPARED = re.compile(r"(below|above) (\S+)")
_SIGNIFICANT = {"below": "significantly below 1", "above": "significantly above 1"}
NOT_SIGNIFICANT = "not significant"
EXPECTED = (
    f'"{NOT_SIGNIFICANT}", "significantly below 1", "significantly above 1", "about 1.0" (what rounds to it),'
    ' "about 1 within 0.05", "|z| < 1.64", or "below" or "above" with the id of another row, with '
    f'"{SEPARATOR}" between several'
)


def statement(said: str, level: float, *, unit: float = 1.0) -> Statement:
    """The statement in words as one; ``unit`` is by what a log ratio is multiplied."""
    z, found = z_of_level(LEVEL if isnan(level) else level), Statement()
    for part in _parts(said):
        about, compared, within = (form.fullmatch(part) for form in (_ABOUT, _COMPARED, _WITHIN))
        if part == NOT_SIGNIFICANT:
            own = Statement(lower_se=-z, upper_se=z)
        elif part == _SIGNIFICANT["below"]:
            own = Statement(upper_se=-z)
        elif part == _SIGNIFICANT["above"]:
            own = Statement(lower_se=z)
        elif about and float(about[1]) > 0:
            own = _about(about[1], about[2], unit)
        elif within and float(within[1]) > 0:
            own = Statement(lower_se=-float(within[1]), upper_se=float(within[1]))
        elif compared:
            id = compared[2]
            own = Statement(above=id) if compared[1] == "above" else Statement(below=id)
        else:
            raise ValueError(part)
        found = _both(found, own)
    return found


def _about(printed: str, within: str | None, unit: float) -> Statement:
    """What rounds to a ratio, or is within so much of it: as far below it on the log scale as above."""
    centre = log(float(printed))
    half = log(float(printed) + float(within) if within else rounded_range(printed)[1]) - centre
    return Statement(unit * (centre - half), unit * (centre + half))


def _both(a: Statement, b: Statement) -> Statement:
    return Statement(
        max(a.lower, b.lower), min(a.upper, b.upper), max(a.lower_se, b.lower_se),
        min(a.upper_se, b.upper_se), a.above or b.above, a.below or b.below,
    )  # fmt: skip


def _parts(said: str) -> Iterator[str]:
    return (" ".join(part.split()) for part in said.split(SEPARATOR))


def compared_with(said: str) -> tuple[str, ...]:
    """Ids of the rows that a statement is compared with; none of what cannot be read."""
    return tuple(match[2] for part in _parts(said) if (match := _COMPARED.fullmatch(part)))


def expected_se(row: Row, sd: float = nan) -> float:
    """Standard error of the log ratio that a row is about: as given, or 1 / (sd sqrt(events)).

    That is the Cox model's for a covariate whose standard deviation among those at risk is ``sd`` (column
    ``sd``, or the argument), with so many events (Hsieh & Lavori 2000, doi:10.1016/S0197-2456(00)00104-5).
    NaN where the row has neither.
    """
    sd = sd if isnan(row.sd) else row.sd
    if not isnan(row.se) or isnan(row.events) or isnan(sd):
        return row.se
    return 1.0 / (sd * sqrt(row.events))


def se_log_sd(row: Row) -> float:
    """SD of the log of that standard error: as given; else 0 of one that is given, ``SE_LOG_SD`` of one that
    is computed."""
    return row.se_log_sd if not isnan(row.se_log_sd) else SE_LOG_SD if isnan(row.se) else 0.0


def se_excess(row: Row, value: float, se: float, sd: float = nan) -> float:
    """By how many SDs of its log a printed standard error exceeds what the row lets expect of it, near the
    printed log ratio ``value``; NaN where the row expects none, or one that is certain."""
    expected, log_sd = expected_se(row, sd), se_log_sd(row)
    if isnan(expected) or not log_sd:
        return nan
    tilt = 0.0 if isnan(row.se_tilt) else row.se_tilt
    return (log(se / expected) - tilt * value) / log_sd


def _unreadable(row: Row) -> bool:
    try:
        statement(row.said, LEVEL)
    except ValueError:
        return True
    return False


def _contradictory(row: Row) -> bool:
    if _unreadable(row):
        return False
    one = statement(row.said, LEVEL)
    low, high = (0.0 if bound else inf for bound in (one.lower_se > 0, one.upper_se < 0))
    bounds = max(one.lower, low if low == 0.0 else -inf), min(one.upper, high)
    return one.lower_se >= one.upper_se or bounds[0] >= bounds[1] or (one.above == one.below != "")


RULES = (
    Rule(lambda r: not (isnan(r.value) and isnan(r.lower) and isnan(r.upper)), "a number beside a statement",
         "an empty value and empty limits where said has what is said of them", ("said", "value"),
         "What is printed needs no statement."),
    Rule(_unreadable, "an unknown statement", EXPECTED, ("said",)),
    Rule(_contradictory, "statements that contradict each other", "an interval that all of them leave",
         ("said",), "Compare the row with the paper."),
    Rule(lambda r: not isnan(r.level) and not 50 <= r.level < 100, "a test of an unknown level",
         "a level in percent, such as 95, or nothing", ("level",)),
    Rule(lambda r: r.se <= 0 or r.sd <= 0 or r.events <= 0 or r.se_log_sd < 0, "an impossible standard error",
         "se, sd and events above 0, se_log_sd of 0 or more", ("se", "se_log_sd", "events", "sd")),
)  # fmt: skip
"""What a row must keep that has a statement in place of a number."""
