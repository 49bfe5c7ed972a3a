"""The rules that every row of published numbers must keep; ``Statistic.rules`` has those of each kind."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from bayes_net.statistics.base import LIMITS, Row, Rule
from bayes_net.statistics.kinds import KINDS
from bayes_net.tables.reading import problem

USES = ("likelihood", "check", "record")
ENDPOINTS = ("pfs", "os", "response", "shrinkage", "completion")
_NUMBER = r"-?\d+(\.\d+)?"
_SUBGROUP = re.compile(f"all|>={_NUMBER}|<{_NUMBER}|>={_NUMBER},<{_NUMBER}")


def _is_subgroup(text: str) -> bool:
    """Whether it is a subgroup, and has shrinkages."""
    if not _SUBGROUP.fullmatch(text):
        return False
    lower, _, upper = text.partition(",<")
    return not upper or float(lower.removeprefix(">=")) < float(upper)


_NOTHING_SAID = Rule(
    lambda r: True, "a statement on a number of this kind", "one on a hazard ratio or an odds ratio",
    ("statistic", "said"), "Keep it with use = record.",
)  # fmt: skip
_ALL = (
    Rule(lambda r: not (r.study and r.cohort_id and r.arm), "no study, cohort_id or arm",
         "all three in every row", ("study", "cohort_id", "arm"), "Say whose numbers these are."),
    Rule(lambda r: not (r.source and r.section), "no source or section", "both in every row",
         ("source", "section"), "Say which paper, and where in it, prints the number."),
    Rule(lambda r: r.use not in USES, "unknown use", f"one of {', '.join(USES)}", ("use",)),
    Rule(lambda r: r.endpoint not in ENDPOINTS, "unknown endpoint", f"one of {', '.join(ENDPOINTS)}",
         ("endpoint",)),
    Rule(lambda r: r.use != "record" and r.statistic not in KINDS, "unknown statistic",
         f"one of {', '.join(KINDS)}", ("statistic",), "Other numbers can be kept with use = record."),
    Rule(lambda r: not _is_subgroup(r.subgroup), "unknown subgroup",
         'all, or a shrinkage group such as ">=30", "<30" or ">=-20,<30"', ("subgroup",)),
    Rule(lambda r: r.lower >= r.upper, "limits out of order", "a lower limit below the upper one", LIMITS),
    Rule(lambda r: r.value < r.lower or r.value > r.upper, "the value lies outside its limits",
         "lower <= value <= upper", LIMITS),
)  # fmt: skip


def row_problems(table: pd.DataFrame, files: Sequence[str]) -> list[str]:
    """What is wrong with single rows, one problem a rule and file."""
    broken: dict[tuple[str, Rule], list[str]] = {}
    for file, row in zip(files, table.itertuples(), strict=True):
        for rule in (*_ALL, *_own_rules(row)):
            if rule.broken(row):
                broken.setdefault((file, rule), []).append(_values(row, rule.columns))
    return [problem(file, r.got, r.expected, r.todo, rows) for (file, r), rows in broken.items()]


def _own_rules(row: Row) -> tuple[Rule, ...]:
    """The rules of a row's kind; a record needs to keep none."""
    if row.use == "record" or row.statistic not in KINDS:
        return ()
    kind = KINDS[row.statistic]
    return (kind.rules_of_statements or (_NOTHING_SAID,)) if row.said else kind.rules


def _values(row: Row, columns: Sequence[str]) -> str:
    values = (getattr(row, f"printed_{name}", "") or getattr(row, name) for name in columns)
    texts = (
        f"{name} {'empty' if value in ('', None) or value != value else value}"
        for name, value in zip(columns, values, strict=True)
    )
    return f"{row.id} ({', '.join(texts)})"


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
