"""The rules that each published number must keep, and what breaks them in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan

import pandas as pd

from bayes_net.data.reading import problem
from bayes_net.evidence.statistics import CURVES, ESTIMATES, PER_POINT, PER_POINT_PCHG, RATIOS, agrees, exact

USES = ("likelihood", "check", "record")


ENDPOINTS = ("pfs", "os", "response", "shrinkage", "completion")


STATISTICS = (*ESTIMATES, *CURVES, "count")


SLOPE = "hazard ratio per point"


_SUBGROUP = re.compile(r"all|(>=|<)-?\d+(\.\d+)?")


_CORRECT = "Compare the row with the paper."


_ON_P = re.compile(r"\bp[- ]?values?\b", re.IGNORECASE)
"""What a note has to speak of to explain why limits and p-value differ."""


@dataclass(frozen=True)
class Rule:
    """What breaks the rule and how to say so; ``shown`` are the columns whose values explain it."""

    broken: Callable
    got: str
    expected: str
    shown: tuple[str, ...]
    todo: str = _CORRECT


def _percentage(row) -> bool:
    unit = row.unit.lower()
    return "%" in unit or "percent" in unit or unit == "proportion" or 0 < row.value < 1


def _not_count(row) -> bool:
    return not (row.value.is_integer() and row.n.is_integer() and 0 <= row.value <= row.n and row.n > 0)


def _without_se(row) -> bool:
    from_p = exact(row.p) and 0 < float(row.p) < 1 and row.value != (row.statistic in RATIOS)
    return isnan(row.lower) and not from_p


def _one_limit(row) -> bool:
    median = row.statistic == "median" and isnan(row.upper)
    return isnan(row.lower) != isnan(row.upper) and not median


def _contradictory(row) -> bool:
    """Limits and p-value differ and no note speaks of the p-value; one on something else explains nothing.

    Rows that break other rules are left to those.
    """
    sound = 50 <= row.level < 100 and row.lower < row.upper
    positive = row.statistic not in RATIOS or min(row.lower, row.value) > 0
    return not _ON_P.search(row.note) and sound and positive and not agrees(row)


_LIMITS, _WHOLE = ("lower", "value", "upper"), ("value", "n", "unit")


_ALL = (
    Rule(lambda r: not (r.study and r.cohort_id and r.arm), "no study, cohort_id or arm",
         "all three in every row", ("study", "cohort_id", "arm"), "Say whose numbers these are."),
    Rule(lambda r: not (r.source and r.section), "no source or section", "both in every row",
         ("source", "section"), "Say which paper, and where in it, prints the number."),
    Rule(lambda r: r.use not in USES, "unknown use", f"one of {', '.join(USES)}", ("use",)),
    Rule(lambda r: r.endpoint not in ENDPOINTS, "unknown endpoint", f"one of {', '.join(ENDPOINTS)}",
         ("endpoint",)),
    Rule(lambda r: r.use != "record" and r.statistic not in STATISTICS, "unknown statistic",
         f"one of {', '.join(STATISTICS)}", ("statistic",), "Other numbers can be kept with use = record."),
    Rule(lambda r: not _SUBGROUP.fullmatch(r.subgroup), "unknown subgroup",
         'all, or a shrinkage group such as ">=30" or "<30"', ("subgroup",)),
    Rule(lambda r: r.lower >= r.upper, "limits out of order", "a lower limit below the upper one", _LIMITS),
    Rule(lambda r: r.value < r.lower or r.value > r.upper, "the value lies outside its limits",
         "lower <= value <= upper", _LIMITS),
)  # fmt: skip


_BY_STATISTIC = {
    STATISTICS: (
        Rule(lambda r: isnan(r.value) and (r.statistic != "median" or isnan(r.lower)), "no value", "a number",
             ("value",), "A median that is not reached needs its lower limit."),
        Rule(_one_limit, "one limit without the other", "both limits, or none", _LIMITS,
             "Only a median may have a lower limit alone."),
        Rule(lambda r: not isnan(r.lower) and not 50 <= r.level < 100, "limits of an unknown level",
             "a level in percent, such as 95", ("level",)),
        Rule(_contradictory, "limits and p-value contradict each other",
             "that some standard error gives back all printed digits", (*_LIMITS, "p"),
             "Compare the row with the paper; if it is printed so, say in note how the p-value comes to "
             "differ, for example: the p-value is that of a stratified test."),
    ),
    (*RATIOS, "median"): (
        Rule(lambda r: min(r.value, 1) <= 0 or min(r.lower, 1) <= 0, "a value or limit of 0 or less",
             "ratios and medians above 0", _LIMITS, "Enter them as printed, not as logs."),
    ),
    ESTIMATES: (
        Rule(_without_se, "no standard error", "two limits, or a p-value printed as a number",
             (*_LIMITS, "p"), "Without either it can only be kept with use = record."),
    ),
    ("hazard ratio",): (
        Rule(lambda r: r.reference_arm in ("", r.arm), "a hazard ratio without a reference arm",
             "another arm in reference_arm", ("arm", "reference_arm"), "Say against which arm it is."),
    ),
    (SLOPE,): (
        Rule(lambda r: not r.landmark, "a hazard ratio per point without its landmark",
             "the landmark up to which shrinkage was measured, such as 150d or no limit", ("landmark",)),
        Rule(lambda r: r.unit not in (PER_POINT, PER_POINT_PCHG), "an unclear sign or unit",
             f'unit "{PER_POINT}" or "{PER_POINT_PCHG}"', ("unit",),
             "Shrinkage is the percentage change from baseline (PCHG) with its sign reversed: a hazard ratio "
             "below 1 per point of shrinkage is one above 1 per point of PCHG. Find out which is meant."),
    ),
    ("survival",): (
        Rule(lambda r: not 0 < r.value < 1 or r.lower <= 0 or r.upper >= 1, "no probability",
             "value and limits of S(t) between 0 and 1", _LIMITS, "Divide percentages by 100."),
        Rule(lambda r: not r.time > 0, "no time", "the months at which S(t) is read", ("time",)),
        Rule(lambda r: isnan(r.lower), "S(t) without limits", "both limits", _LIMITS,
             "Without them it can only be kept with use = record."),
    ),
    ("median",): (
        Rule(lambda r: not r.n > 0, "a median without its number of patients", "n", ("n",),
             "Its standard error has a floor that depends on n."),
        Rule(lambda r: r.unit not in ("", "months"), "a median in another unit", "months", ("unit",)),
    ),
    ("count",): (
        Rule(_percentage, "a percentage or proportion", "a count: enter k of n, unit patients", _WHOLE,
             "Work out from the paper how many of how many patients it is."),
        Rule(lambda r: not _percentage(r) and _not_count(r), "an impossible count",
             "whole numbers 0 <= value <= n", _WHOLE),
        Rule(lambda r: r.endpoint == "shrinkage" and isnan(r.threshold), "a count without its threshold",
             "the points of shrinkage that were reached, 0 for any", ("threshold",)),
    ),
}  # fmt: skip


def row_problems(table: pd.DataFrame, files: Sequence[str]) -> list[str]:
    """What is wrong with single rows, one problem a rule and file."""
    broken: dict[tuple[str, Rule], list[str]] = {}
    for file, row in zip(files, table.itertuples(), strict=True):
        rules = list(_ALL)
        for statistics, more in _BY_STATISTIC.items():
            rules += more if row.use != "record" and row.statistic in statistics else ()
        for rule in rules:
            if rule.broken(row):
                broken.setdefault((file, rule), []).append(_told(row, rule.shown))
    return [problem(file, r.got, r.expected, r.todo, rows) for (file, r), rows in broken.items()]


def _told(row, columns: Sequence[str]) -> str:
    values = (getattr(row, f"printed_{name}", "") or getattr(row, name) for name in columns)
    shown = (
        f"{name} {'empty' if value in ('', None) or value != value else value}"
        for name, value in zip(columns, values, strict=True)
    )
    return f"{row.id} ({', '.join(shown)})"


def identity_problems(table: pd.DataFrame, files: Sequence[str]) -> list[str]:
    """Identifiers that are missing or that occur twice."""
    missing = [file for file, name in zip(files, table["id"], strict=True) if not name]
    found = [
        problem(file, f"{missing.count(file)} rows without an id", "an id in every row", "Name them.")
        for file in dict.fromkeys(missing)
    ]
    twice = sorted(set(table["id"][table["id"].duplicated()]) - {""})
    where = [
        f"{name} ({', '.join(file for file, other in zip(files, table['id'], strict=True) if other == name)})"
        for name in twice
    ]
    todo = "Rename one, or read the file once."
    return found + ([problem("evidence", "ids occur twice", "one row an id", todo, where)] if twice else [])
