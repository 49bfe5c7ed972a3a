"""Which published numbers tell the same thing, and what their declared correlations must keep."""

from __future__ import annotations

from itertools import combinations
from math import isnan

import numpy as np
import pandas as pd

from bayes_net.data.reading import problem
from bayes_net.evidence.statistics import CURVE, CURVES, correlation_matrix, datum, declared_correlations

ARM_EFFECTS = ("hazard ratio", "log effect")


SLOPE = "hazard ratio per point"


def correlation_problems(table: pd.DataFrame) -> list[str]:
    """What is wrong with declared correlations, and between rows of one cohort that tell the same."""
    found = _declaration_problems(table)
    if found:
        return found
    used = table[table["use"] == "likelihood"]
    ids = set(used["id"])
    pairs = {frozenset(pair[:2]): pair for pair in declared_correlations(used) if set(pair[:2]) <= ids}
    return _repetitions(used, set(pairs)) + _missing_pairs(pairs)


def _declaration_problems(table: pd.DataFrame) -> list[str]:
    todo = 'Write ids in correlated_with and as many correlations, with ";" between several.'
    uneven = [
        row.id
        for row in table.itertuples()
        if (row.correlated_with.count(";"), row.correlated_with == "")
        != (row.correlation.count(";"), row.correlation == "")
    ]
    if uneven:
        return [problem("evidence", "correlations without a partner", "one for each id", todo, uneven)]
    rows, found, seen = {row.id: row for row in table.itertuples()}, [], set()
    for a, b, value in declared_correlations(table):
        wrong = (
            f"{b!r} is no other row of the evidence" if b not in rows or b == a
            else "the pair is declared twice" if frozenset((a, b)) in seen
            else _wrong_value(rows[a], rows[b], value)
        )  # fmt: skip
        seen.add(frozenset((a, b)))
        found += [f"{a} with {b}: {wrong}"] if wrong else []
    if not found:
        return []
    expected = f'a pair of rows once, with a number between -1 and 1 or "{CURVE}" for two times of one curve'
    return [problem("evidence", "impossible correlations", expected, todo, found)]


def _wrong_value(a, b, value: str) -> str:
    if "count" in (a.statistic, b.statistic):
        return "counts are independent binomials and have none"
    if value != CURVE:
        try:
            return "" if -1 < float(value) < 1 else f"{value} is out of range"
        except ValueError:
            return f"{value!r} is neither"
    both = a.statistic in CURVES and b.statistic in CURVES
    return "" if both and _curve(a) == _curve(b) and _month(a) != _month(b) else "they are not of one curve"


def _curve(row) -> tuple:
    return row.cohort_id, row.endpoint, row.arm, row.subgroup


def _month(row) -> float:
    if row.statistic == "survival":
        return row.time
    return row.lower if isnan(row.value) else row.value


def _repetitions(used: pd.DataFrame, declared: set[frozenset]) -> list[str]:
    """Two rows of one cohort that inform one parameter, without a declared correlation."""
    todo = "Declare their correlation (correlated_with, correlation), or give one use = check or record."
    expected = "one row of a cohort for one parameter"
    found = []
    for cohort, group in used.groupby("cohort_id", sort=False):
        rows = list(group.itertuples())
        doubled = [(a, b, what) for a, b in combinations(rows, 2) if (what := _same_parameter(a, b))]
        doubled += _ratio_of_curves(rows)
        for a, b, what in doubled:
            if frozenset((a.id, b.id)) not in declared:
                got = f"{a.id} and {b.id} of {cohort} both tell {what}"
                found.append(problem("evidence", got, expected, todo))
    return found


def _same_parameter(a, b) -> str:
    """What two rows of one cohort both inform, or ""."""
    statistics = {a.statistic, b.statistic}
    if a.endpoint != b.endpoint:
        return ""
    if statistics <= set(ARM_EFFECTS):
        return f"the effect of the arm on {a.endpoint}"
    if statistics == {"odds ratio"}:
        return f"the odds ratio of {a.endpoint}"
    return _same_of_arm(a, b, statistics) if a.arm == b.arm else ""


def _same_of_arm(a, b, statistics: set[str]) -> str:
    if statistics == {SLOPE}:
        return f"the slope of {a.endpoint} on shrinkage in {a.arm}"
    if statistics <= set(CURVES):
        if a.subgroup == b.subgroup:
            return f"the {a.endpoint} curve of {a.arm}"
        return (
            f"the {a.endpoint} curve of {a.arm}, whole and in parts"
            if "all" in (a.subgroup, b.subgroup)
            else ""
        )
    if statistics == {"count"} and (a.threshold == b.threshold or isnan(a.threshold) or isnan(b.threshold)):
        return f"the same {a.endpoint} count of {a.arm}"
    if statistics == {"count"} and a.n != b.n:
        return f"shares of {a.endpoint} of {a.arm} among different numbers of patients ({a.n:g} and {b.n:g})"
    return ""


def _ratio_of_curves(rows: list) -> list[tuple]:
    """A hazard ratio with the treated arm's rows, where the curves of both its arms are there too."""
    curves = [row for row in rows if row.statistic in CURVES]
    return [
        (ratio, treated, f"the {ratio.endpoint} difference of the arms, as the control curve is there too")
        for ratio in rows
        if ratio.statistic in ARM_EFFECTS
        and any((c.arm, c.endpoint) == (ratio.reference_arm, ratio.endpoint) for c in curves)
        for treated in curves
        if (treated.arm, treated.endpoint) == (ratio.arm, ratio.endpoint)
    ]


def _groups(pairs) -> list[set[str]]:
    """Rows that are connected by correlations."""
    groups: list[set[str]] = []
    for pair in pairs:
        touched = [group for group in groups if group & pair]
        groups = [group for group in groups if not group & pair] + [set(pair).union(*touched)]
    return groups


def _missing_pairs(pairs: dict) -> list[str]:
    todo = "Give it in correlation of one of the two; 0 is a value too."
    expected = "a correlation of every pair within a group"
    return [
        problem("evidence", f"the correlation of {a} and {b} is missing", expected, todo)
        for group in _groups(pairs)
        for a, b in combinations(sorted(group), 2)
        if frozenset((a, b)) not in pairs
    ]


def matrix_problems(table: pd.DataFrame) -> list[str]:
    """Groups of correlated rows whose matrix is not positive definite."""
    used = table[table["use"] == "likelihood"]
    ids = set(used["id"])
    pairs = [frozenset(pair[:2]) for pair in declared_correlations(used) if set(pair[:2]) <= ids]
    todo, found = "Correct the correlations, or leave one of the rows out.", []
    for group in _groups(pairs):
        rows = used[used["id"].isin(group)]
        matrix = correlation_matrix(rows, [datum(row) for row in rows.itertuples()])
        if np.linalg.eigvalsh(matrix).min() <= 1e-8:
            got = f"the correlations of {', '.join(sorted(group))} contradict each other"
            found.append(problem("evidence", got, "a positive definite matrix", todo))
    return found
