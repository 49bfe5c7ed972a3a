"""Which published numbers tell the same thing, and what their declared correlations must keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from math import isnan, log

import numpy as np
import pandas as pd
from numpy.polynomial.legendre import leggauss
from scipy.special import expit

from bayes_net.schema import NO_LIMIT
from bayes_net.statistics.base import FLOOR_INFLATION, Datum, Quantity, Row
from bayes_net.statistics.kinds import datum, kind_of
from bayes_net.statistics.statements import compared_with
from bayes_net.tables.reading import problem

CURVE, ARMS = "curve", "arms"
"""Correlations that follow from the numbers themselves: of two points of one curve, and of the hazard ratio
of a trial's arms with a point of the curve of either."""
MOST_ALIKE = 0.99
"""Correlation of two points of a curve between which, as rounded, nothing happens."""
NODES = 16
"""Of the Gauss-Legendre rule for averages over the cumulative hazard."""


def correlation_problems(table: pd.DataFrame) -> list[str]:
    """What is wrong with declared correlations, and between rows of one cohort that tell the same."""
    found = _declaration_problems(table)
    if found:
        return found
    used = table[table["use"] == "likelihood"]
    ids = set(used["id"])
    pairs = {frozenset(pair[:2]): pair for pair in declared_correlations(used) if set(pair[:2]) <= ids}
    found = _repetitions(used, set(pairs)) + _missing_pairs(pairs)
    return found + _comparison_problems(table) + _publishing_problems(used, pairs)


def _declaration_problems(table: pd.DataFrame) -> list[str]:
    todo = 'Write ids in correlated_with and as many correlations, with ";" between several.'
    if single := uneven(table):
        return [problem("evidence", "correlations without a partner", "one for each id", todo, single)]
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
    expected = (
        f'a pair of rows once, with a number between -1 and 1, "{CURVE}" for two times of one curve, or '
        f'"{ARMS}" for the printed hazard ratio of arms and a point of the curve of one, each with its n'
    )
    return [problem("evidence", "impossible correlations", expected, todo, found)]


def uneven(table: pd.DataFrame) -> list[str]:
    """Ids of the rows that do not declare as many correlations as rows that they are with."""
    return [
        row.id
        for row in table.itertuples()
        if (row.correlated_with.count(";"), row.correlated_with == "")
        != (row.correlation.count(";"), row.correlation == "")
    ]


def _wrong_value(a: Row, b: Row, value: str) -> str:
    kinds = kind_of(a), kind_of(b)
    if {Quantity.SHARE, Quantity.RANGE} & {kind.quantity for kind in kinds}:
        return "patients who are counted or ordered have none"
    if value == ARMS:
        return "" if _ratio_and_point(a, b) else "they are not of the arms of one trial, each with its n"
    if value != CURVE:
        try:
            return "" if -1 < float(value) < 1 else f"{value} is out of range"
        except ValueError:
            return f"{value!r} is none of these"
    same = all(kind.by_increments for kind in kinds) and _curve(a) == _curve(b)
    return "" if same and kinds[0].month(a) != kinds[1].month(b) else "they are not of one curve"


def _curve(row: Row) -> tuple:
    return row.cohort_id, row.endpoint, row.arm, row.subgroup


def _ratio_and_point(a: Row, b: Row) -> tuple[Row, Row] | None:
    """The hazard ratio of a trial's arms, and the point of a curve of one of them; None: they are not."""
    ratio, point = (a, b) if kind_of(a).quantity is Quantity.ARM_EFFECT else (b, a)
    about = ("cohort_id", "endpoint", "subgroup")
    same = all(getattr(ratio, name) == getattr(point, name) for name in about)
    fit = kind_of(ratio).quantity is Quantity.ARM_EFFECT and kind_of(point).by_increments
    known = not isnan(ratio.value) and ratio.n > point.n > 0
    of_arm = point.arm in (ratio.arm, ratio.reference_arm)
    return (ratio, point) if same and fit and known and of_arm else None


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


def _same_parameter(a: Row, b: Row) -> str:
    """What two rows of one cohort both inform, or ""."""
    quantity = kind_of(a).quantity
    if a.endpoint == b.endpoint == "shrinkage" and _other_law(a, b):
        return ""
    if a.endpoint == b.endpoint and Quantity.RANGE in (quantity, kind_of(b).quantity):
        return f"best shrinkage of {a.arm} by one landmark"
    if a.endpoint != b.endpoint or kind_of(b).quantity is not quantity:
        return ""
    if quantity is Quantity.ARM_EFFECT:
        return f"the effect of the arm on {a.endpoint}"
    if quantity is Quantity.COMPLETION:
        return f"the odds ratio of {a.endpoint}"
    return _same_of_arm(a, b, quantity) if a.arm == b.arm else ""


def _other_law(a: Row, b: Row) -> bool:
    """Whether two rows are about best shrinkage of different arms, or by different landmarks."""
    by = [(row.landmark or NO_LIMIT).replace(" ", "") for row in (a, b)]
    return a.arm != b.arm or by[0] != by[1]


def _same_of_arm(a: Row, b: Row, quantity: Quantity | None) -> str:
    if quantity is Quantity.SLOPE:
        return f"the slope of {a.endpoint} on shrinkage in {a.arm}"
    if quantity is Quantity.CURVE:
        if a.subgroup == b.subgroup:
            return f"the {a.endpoint} curve of {a.arm}"
        return (
            f"the {a.endpoint} curve of {a.arm}, whole and in parts"
            if "all" in (a.subgroup, b.subgroup)
            else ""
        )
    if quantity is not Quantity.SHARE:
        return ""
    if a.threshold == b.threshold or isnan(a.threshold) or isnan(b.threshold):
        return f"the same {a.endpoint} count of {a.arm}"
    if a.n != b.n:
        return f"shares of {a.endpoint} of {a.arm} among different numbers of patients ({a.n:g} and {b.n:g})"
    return ""


def _ratio_of_curves(rows: list) -> list[tuple]:
    """A hazard ratio with the treated arm's rows, where the curves of both its arms are there too."""
    curves = [row for row in rows if kind_of(row).quantity is Quantity.CURVE]
    return [
        (ratio, treated, f"the {ratio.endpoint} difference of the arms, as the control curve is there too")
        for ratio in rows
        if kind_of(ratio).quantity is Quantity.ARM_EFFECT
        and any((c.arm, c.endpoint) == (ratio.reference_arm, ratio.endpoint) for c in curves)
        for treated in curves
        if (treated.arm, treated.endpoint) == (ratio.arm, ratio.endpoint)
    ]


def _comparison_problems(table: pd.DataFrame) -> list[str]:
    """Statements that compare an estimate with none, with one of another quantity, or in a circle."""
    rows = {row.id: row for row in table.itertuples()}
    compared = {row.id: compared_with(row.said) for row in rows.values()}
    alike = 'the id of a row with the same endpoint and statistic, and use = "likelihood"'
    wrong = [
        f"{name} ({rows[name].said})"
        for name, others in compared.items()
        if rows[name].use == "likelihood" and not all(_comparable(rows[name], rows.get(o)) for o in others)
    ]
    found = [problem("evidence", "comparisons with no such estimate", alike, "", wrong)] if wrong else []
    try:
        TopologicalSorter(compared).prepare()
    except CycleError as circle:
        got = f"comparisons in a circle: {', '.join(circle.args[1])}"
        found.append(problem("evidence", got, "each estimate compared with others once", "Leave one out."))
    return found


def _comparable(row: Row, other: Row | None) -> bool:
    if other is None or other.id == row.id or other.use != "likelihood":
        return False
    return (row.endpoint, row.statistic, row.unit) == (other.endpoint, other.statistic, other.unit)


def _publishing_problems(used: pd.DataFrame, pairs: dict) -> list[str]:
    """Numbers under a publishing rule beside others of the same patients: their errors are correlated, and
    what is known of the others corrects for the rule."""
    ruled = set(used["id"][used["publishing"] != ""])
    beside = [f"{a} with {b}" for a, b, value in pairs.values() if ruled & {a, b} and value != "0"]
    todo = "Leave publishing empty where the table has what the paper says of the other estimates."
    got, expected = "numbers under a publishing rule that are correlated", "the rule for a number by itself"
    return [problem("evidence", got, expected, todo, beside)] if beside else []


def _groups(pairs: Iterable[frozenset[str]]) -> list[set[str]]:
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


def declared_correlations(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Each declared pair of ids with its correlation as text; a row with several has them after ";"."""
    return [
        (row.id, other.strip(), value.strip())
        for row in rows.itertuples()
        if row.correlated_with
        for other, value in zip(row.correlated_with.split(";"), row.correlation.split(";"), strict=True)
    ]


def correlation_matrix(rows: pd.DataFrame, data: Sequence[Datum]) -> np.ndarray:
    """Correlations of the estimation errors of the normal data, printed or not, among ``data``, in their
    order.

    Cumulative hazards grow by independent increments, so that two points s < t of one curve have the
    covariance V(s) / (H(s) H(t)) on the log. Both standard errors tell of V: without censoring
    n V(s) = exp(H(s)) - 1, and censoring makes n smaller with time, so that V(s) is that of the larger n.
    Groups of points keep a positive definite matrix, and no point gets a weight below 0.

    A log hazard ratio of variance V has with log H(t) of the control curve the covariance -V p, p being the
    treated arm's share of the hazard of all at risk, averaged over H up to t; with that of the treated curve
    V (1 - p).
    """
    of_row = {row.id: row for row in rows.itertuples()}
    normal = [one for one in data if one.kind in ("normal", "said")]
    place = {one.id: i for i, one in enumerate(normal)}
    matrix = np.eye(len(normal))
    for a, b, value in declared_correlations(rows):
        if a in place and b in place:
            i, j = place[a], place[b]
            if value == ARMS:
                number = _of_arms(of_row[a], of_row[b], {a: normal[i], b: normal[j]})
            else:
                number = _of_one_curve(normal[i], normal[j]) if value == CURVE else float(value)
            matrix[i, j] = matrix[j, i] = number
    return matrix


def _of_arms(a: Row, b: Row, data: Mapping[str, Datum]) -> float:
    """Of the log hazard ratio of arms and log H of a curve, if censoring takes from both arms alike."""
    ratio, point = _ratio_and_point(a, b) or (a, b)
    effect, of_curve, control = data[ratio.id], data[point.id], point.arm == ratio.reference_arm
    odds = log((ratio.n - point.n) / point.n) * (1 if control else -1)
    hazard = np.exp(of_curve.value - (0.0 if control else effect.value))
    u, weight = leggauss(NODES)
    at_risk = effect.value + odds + (1 - np.exp(effect.value)) * hazard * (u + 1) / 2
    share = expit(at_risk) @ weight / 2
    se = of_curve.se * (np.exp(FLOOR_INFLATION[0]) if of_curve.inflated else 1.0)
    number = effect.se / se * (-share if control else 1 - share)
    return float(np.clip(number, -MOST_ALIKE, MOST_ALIKE))


def _of_one_curve(a: Datum, b: Datum) -> float:
    variance = np.array([_variance(a), _variance(b)])
    without_censoring = np.expm1(np.exp([a.value, b.value]))
    earlier = without_censoring.min() / (without_censoring / variance).max()
    return min(float(earlier / np.sqrt(variance.prod())), MOST_ALIKE)


def _variance(point: Datum) -> float:
    """Of the cumulative hazard at a point of a curve whose datum is its log."""
    return float((point.se * np.exp(point.value)) ** 2)


def impossible_curves(rows: pd.DataFrame, data: Sequence[Datum]) -> list[tuple[str, str]]:
    """Ids of two points of one curve, the earlier first, of which the later is known no worse: the standard
    errors of their cumulative hazards fall with time, which those of one curve cannot."""
    points = {one.id: one for one in data}
    pairs = [
        sorted((points[a], points[b]), key=lambda point: point.time)
        for a, b, value in declared_correlations(rows)
        if value == CURVE and a in points and b in points
    ]
    return [(early.id, late.id) for early, late in pairs if _variance(early) >= _variance(late)]
