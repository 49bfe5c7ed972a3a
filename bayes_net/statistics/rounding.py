"""What the printed digits of an estimate, its limits and its p-value leave open."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations
from math import inf, log

import numpy as np
from scipy.special import ndtri

Printed = str | float
"""A number as it is printed: as text, "0.60" says more than 0.6."""


def z_of_level(level: float) -> float:
    """The normal quantile of a two-sided interval: 1.96 for a level of 95 percent."""
    return float(ndtri(0.5 + level / 200))


def z_of_p(p: Printed) -> float:
    """The absolute z of a two-sided p-value."""
    return float(-ndtri(float(p) / 2))


def on_scale(number: float, logs: bool) -> float:
    """The number itself, or its log: minus infinity of what rounds to 0."""
    if logs:
        return -inf if number <= 0 else log(number)
    return float(number)


def empty(number: Printed) -> bool:
    """Whether nothing is printed."""
    return str(number) in ("", "nan")


def exact(p: Printed) -> bool:
    """Whether a p-value is printed as a number rather than as a bound, or not at all."""
    return not empty(p) and str(p)[0] not in "<>"


def rounded_range(number: Printed) -> tuple[float, float]:
    """What rounds to a printed number: half a unit of its last digit to either side."""
    half = 0.5 * 10.0 ** min(int(Decimal(str(number)).as_tuple().exponent), 0)
    return float(number) - half, float(number) + half


def rounding_share(lower: str, upper: str, logs: bool) -> float:
    """By which share of itself the distance of two limits may differ because they are rounded."""
    (a, b), (c, d) = ([on_scale(end, logs) for end in rounded_range(limit)] for limit in (lower, upper))
    return ((d - a) - (c - b)) / 2 / (on_scale(float(upper), logs) - on_scale(float(lower), logs))


def p_range(p: Printed) -> tuple[float, float]:
    """The p-values that a printed one stands for: ``"0.005"`` is 0.0045 to 0.0055, ``"<0.01"`` 0 to 0.01."""
    text = str(p).replace(" ", "")
    if empty(text):
        return 0.0, 1.0
    if text[0] in "<>":
        return (0.0, float(text[1:])) if text[0] == "<" else (float(text[1:]), 1.0)
    low, high = rounded_range(text)
    return max(low, 0.0), min(high, 1.0)


def feasible_regions(
    value: Printed, lower: Printed, upper: Printed, p: Printed, *, level: float, logs: bool
) -> list[np.ndarray]:
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
                bounds += [((-1.0, -step), -low)] if low > -inf else []
                bounds += [((1.0, step), high)]
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
