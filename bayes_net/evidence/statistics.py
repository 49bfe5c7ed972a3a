"""Printed numbers on the scale on which a model predicts them, with the standard error they deserve.

A publication prints a rounded estimate, limits and perhaps a p-value; a likelihood needs one number and
its standard error. Ratios go to the log, S(t) to log(-log S) = log cumulative hazard, where its limits
are symmetric, and a median m to the statement that the cumulative hazard at m is log 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from math import isnan, log, nan, sqrt

import numpy as np
import pandas as pd
from scipy.stats import norm

from bayes_net.errors import InputError
from bayes_net.schema import POINTS_PER_UNIT

RATIOS = ("hazard ratio", "hazard ratio per point", "odds ratio")


ESTIMATES = (*RATIOS, "log effect")


CURVES = ("survival", "median")


EFFECTS = ("hazard ratio", "log effect")


SLOPES = ("hazard ratio per point",)


PER_POINT, PER_POINT_PCHG = "per +1 point of shrinkage", "per +1 point of PCHG"


CURVE = "curve"
"""The correlation of two points of one curve, which follows from their own standard errors."""


COARSE = 0.15
"""Limits are coarse where their rounding alone leaves the SE open by more than this share."""


MEDIAN_SHAPE = 1.25
"""k = m h(m) / H(m), which turns the SE of log median into that of log H(m): between 1 and 1.5."""


FLOOR_INFLATION = (log(1.15), 0.2)
"""Mean and sd of the log of the factor by which the SE of a median without limits exceeds its floor."""


STUDENT_DF = 4.0
"""Degrees of freedom for an odds ratio known by its p-value only, where sparse data exaggerate."""


@dataclass(frozen=True)
class Datum:
    """One published number as a likelihood sees it.

    ``kind`` is "normal", "student" or "binomial"; ``value`` is on the modelling scale (k/n for a
    binomial) and ``se`` belongs to it. ``inflated`` says that ``se`` is a floor, to be multiplied by a
    lognormal factor (``FLOOR_INFLATION``). ``time`` is the month at which log H is read, NaN where no
    curve is. ``successes`` and ``n`` are 0 unless binomial.
    """

    id: str
    kind: str
    value: float
    se: float = nan
    inflated: bool = False
    time: float = nan
    successes: int = 0
    n: int = 0


def datum(row) -> Datum:
    """The datum of one row of an evidence table (a Series, or a tuple of ``itertuples``).

    log hazard ratio, log odds ratio or log effect; ten times the log hazard ratio per point, of
    shrinkage also where the paper used percentage change; log(-log S(t)); log log 2 at the median.

    Raises
    ------
    InputError
        The row's statistic has no place in a likelihood.
    """
    statistic = row.statistic
    if statistic == "count":
        k, n = int(row.value), int(row.n)
        return Datum(row.id, "binomial", k / n, successes=k, n=n)
    if statistic == "survival":
        low, mid, high = (log(-log(s)) for s in (row.upper, row.value, row.lower))
        return Datum(row.id, "normal", mid, (high - low) / (2 * z_of_level(row.level)), time=float(row.time))
    if statistic == "median":
        return _median(row)
    if statistic not in ESTIMATES:
        raise InputError(
            f"row {row.id}: statistic {statistic!r} has no likelihood; "
            f"expected one of {', '.join((*ESTIMATES, *CURVES, 'count'))}. Give it use = record."
        )
    value, se = _estimate(row)
    if statistic == "hazard ratio per point":
        sign = -1.0 if row.unit == PER_POINT_PCHG else 1.0
        value, se = sign * POINTS_PER_UNIT * value, POINTS_PER_UNIT * se
    student = statistic == "odds ratio" and isnan(row.lower)
    return Datum(row.id, "student" if student else "normal", value, se)


def _median(row) -> Datum:
    """log log 2 at the median, its SE from the limits but never below what n patients can tell."""
    floor, target = 1 / (log(2) * sqrt(row.n)), log(log(2))
    if isnan(row.value):
        # the lower limit of a log-log interval is where log H is z standard errors below log log 2
        return Datum(row.id, "normal", target - z_of_level(row.level) * floor, floor, time=float(row.lower))
    if isnan(row.lower):
        return Datum(row.id, "normal", target, floor, inflated=True, time=float(row.value))
    upper = row.value**2 / row.lower if isnan(row.upper) else row.upper
    se = MEDIAN_SHAPE * log(upper / row.lower) / (2 * z_of_level(row.level))
    return Datum(row.id, "normal", target, max(se, floor), time=float(row.value))


def _estimate(row) -> tuple[float, float]:
    """Estimate and SE on the log scale: from the limits, unless they are coarse or the p-value objects.

    Then both are the mean over everything that gives back every printed digit. Where nothing does, coarse
    limits yield to the p-value, and others prevail.
    """
    logs = row.statistic in RATIOS
    value, lower, upper = (on_scale(x, logs) for x in (row.value, row.lower, row.upper))
    if isnan(lower):
        return value, abs(value) / z_of_p(row.p)
    from_limits = (upper - lower) / (2 * z_of_level(row.level))
    if not exact(row.p):
        return value, from_limits
    texts = _texts(row)
    coarse = rounding_share(*texts[1:], logs) > COARSE
    regions = feasible_regions(*texts, row.p, level=row.level, logs=logs)
    if not regions:
        return value, abs(value) / z_of_p(row.p) if coarse else from_limits
    low, high = np.vstack(regions).min(axis=0), np.vstack(regions).max(axis=0)
    mean_value, mean_se = (float(number) for number in centre(regions))
    se = mean_se if coarse or not low[1] <= from_limits <= high[1] else from_limits
    return value if low[0] <= value <= high[0] else mean_value, se


def feasible_se(value, lower, upper, p, *, level: float = 95.0, logs: bool = True):
    """Smallest and largest SE for which every number rounds to its printed digits, or None.

    Numbers are given as printed (``"0.60"`` says more than ``0.6``); ``lower`` and ``upper`` may be ``""``
    where there is a p-value alone. ``logs`` is true for ratios.
    """
    regions = feasible_regions(value, lower, upper, p, level=level, logs=logs)
    if not regions:
        return None
    errors = np.vstack(regions)[:, 1]
    return float(errors.min()), float(errors.max())


def agrees(row) -> bool:
    """Whether some estimate and SE give back the row's value, limits and p-value as printed."""
    if row.statistic not in ESTIMATES or isnan(row.lower) or not row.p:
        return True
    return bool(feasible_regions(*_texts(row), row.p, level=row.level, logs=row.statistic in RATIOS))


def p_from_interval(value: float, lower: float, upper: float, *, level: float = 95.0, logs: bool = True):
    """The two-sided Wald p-value that an estimate and its limits imply."""
    mid, low, high = (on_scale(x, logs) for x in (value, lower, upper))
    return float(2 * norm.sf(abs(mid) * 2 * z_of_level(level) / (high - low)))


def _texts(row) -> list[str]:
    """Value and limits as printed, trailing zeros included where the table kept them."""
    names = ("value", "lower", "upper")
    return [getattr(row, f"printed_{name}", "") or str(getattr(row, name)) for name in names]


def declared_correlations(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Each declared pair of ids with its correlation as text; a row with several has them after ";"."""
    return [
        (row.id, other.strip(), value.strip())
        for row in rows.itertuples()
        if row.correlated_with
        for other, value in zip(row.correlated_with.split(";"), row.correlation.split(";"), strict=True)
    ]


def correlation_matrix(rows: pd.DataFrame, data: Sequence[Datum]) -> np.ndarray:
    """Correlations of the estimation errors of the normal data among ``data``, in their order.

    Cumulative hazards grow by independent increments, so of one curve with V(t) = (SE(log H(t)) H(t))^2
    the correlation of two points s < t is sqrt(V(s) / V(t)).
    """
    normal = [one for one in data if one.kind == "normal"]
    place = {one.id: i for i, one in enumerate(normal)}
    matrix = np.eye(len(normal))
    for a, b, value in declared_correlations(rows):
        if a in place and b in place:
            i, j = place[a], place[b]
            number = _of_one_curve(normal[i], normal[j]) if value == CURVE else float(value)
            matrix[i, j] = matrix[j, i] = number
    return matrix


def _of_one_curve(a: Datum, b: Datum) -> float:
    early, late = sorted((a, b), key=lambda point: point.time)
    return early.se * np.exp(early.value) / (late.se * np.exp(late.value))


def z_of_level(level: float) -> float:
    """The normal quantile of a two-sided interval: 1.96 for a level of 95 percent."""
    return float(norm.ppf(0.5 + level / 200))


def z_of_p(p: str | float) -> float:
    """The absolute z of a two-sided p-value."""
    return float(norm.isf(float(p) / 2))


def on_scale(number: float, logs: bool) -> float:
    """The number itself, or its log."""
    return log(number) if logs else float(number)


def empty(number: str | float) -> bool:
    """Whether nothing is printed."""
    return str(number) in ("", "nan")


def exact(p: str | float) -> bool:
    """Whether a p-value is printed as a number rather than as a bound, or not at all."""
    return not empty(p) and str(p)[0] not in "<>"


def rounded_range(number: str | float) -> tuple[float, float]:
    """What rounds to a printed number: half a unit of its last digit to either side."""
    half = 0.5 * 10.0 ** min(Decimal(str(number)).as_tuple().exponent, 0)
    return float(number) - half, float(number) + half


def rounding_share(lower: str, upper: str, logs: bool) -> float:
    """By which share of itself the distance of two limits may differ because they are rounded."""
    (a, b), (c, d) = ([on_scale(end, logs) for end in rounded_range(limit)] for limit in (lower, upper))
    return ((d - a) - (c - b)) / 2 / (on_scale(float(upper), logs) - on_scale(float(lower), logs))


def p_range(p: str | float) -> tuple[float, float]:
    """The p-values that a printed one stands for: ``"0.005"`` is 0.0045 to 0.0055, ``"<0.01"`` 0 to 0.01."""
    text = str(p).replace(" ", "")
    if empty(text):
        return 0.0, 1.0
    if text[0] in "<>":
        return (0.0, float(text[1:])) if text[0] == "<" else (float(text[1:]), 1.0)
    low, high = rounded_range(text)
    return max(low, 0.0), min(high, 1.0)


def feasible_regions(value, lower, upper, p, *, level: float, logs: bool) -> list[np.ndarray]:
    """Regions of (estimate, SE) in which every number rounds as printed, each by its corners in order.

    There is at most one region for estimates above 0 and one below; an empty list means that no estimate
    and SE give back what is printed.
    """
    smallest, largest = (z_of_p(limit) for limit in reversed(p_range(p)))
    z, regions = z_of_level(level), []
    for sign in (1.0, -1.0):
        bounds = [((0.0, -1.0), 0.0), ((-sign, smallest), 0.0)]
        bounds += [((sign, -largest), 0.0)] if np.isfinite(largest) else []
        for number, step in ((value, 0.0), (lower, -z), (upper, z)):
            if not empty(number):
                low, high = (on_scale(limit, logs) for limit in rounded_range(number))
                bounds += [((-1.0, -step), -low), ((1.0, step), high)]
        corners = _corners(*(np.array(side) for side in zip(*bounds, strict=True)))
        regions += [corners] if len(corners) else []
    return regions


def _corners(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Corners of the region A x <= b of the plane, anticlockwise."""
    pairs = [list(pair) for pair in combinations(range(len(b)), 2)]
    points = [np.linalg.solve(A[i], b[i]) for i in pairs if abs(np.linalg.det(A[i])) > 1e-12]
    inside = np.array([point for point in points if (A @ point <= b + 1e-12).all()]).reshape(-1, 2)
    around = inside - inside.mean(axis=0) if len(inside) else inside
    return inside[np.argsort(np.arctan2(around[:, 1], around[:, 0]))]


def centre(regions: list[np.ndarray]) -> np.ndarray:
    """The mean (estimate, SE) over the regions, all their points weighing the same."""
    areas, moments = 0.0, np.zeros(2)
    for corners in regions:
        # triangles with the first corner: small numbers far from the origin lose no digits
        a, b = corners[:-1] - corners[0], corners[1:] - corners[0]
        area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
        areas += area.sum()
        moments += (area[:, None] * (corners[0] + (a + b) / 3)).sum(axis=0)
    return moments / areas if areas > 0 else np.vstack(regions).mean(axis=0)
