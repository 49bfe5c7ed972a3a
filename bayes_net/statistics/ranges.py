"""Median, smallest and largest best shrinkage of n patients: the joint density of three order statistics."""

from __future__ import annotations

from math import isnan

import numpy as np

from bayes_net.statistics import base as statistics
from bayes_net.statistics.base import LIMITS, NUMPY, Array, Datum, Maths, Predicted, Row, Rule, Statistic
from bayes_net.statistics.counts import LARGEST_SHRINKAGE, SMALLEST_SHRINKAGE, log_between, place, points

POINTS, POINTS_PCHG = "points of shrinkage", "points of PCHG"
"""Units: of percentage change from baseline, shrinkage is negative."""
FEWEST = 3
"""Patients who can have a median between two others."""


def _shrinkages(row: Row) -> tuple[float, float, float]:
    """Smallest, median and largest shrinkage."""
    found = sorted((row.lower, row.value, row.upper))
    if row.unit == POINTS_PCHG:
        found = [-x for x in reversed(found)]
    return found[0], found[1], found[2]


def _impossible(row: Row) -> bool:
    """Growth by 20 % or more, or a tumour that shrank by more than its size."""
    if row.unit not in (POINTS, POINTS_PCHG) or isnan(row.value + row.lower + row.upper):
        return False
    smallest, _, largest = _shrinkages(row)
    return smallest <= SMALLEST_SHRINKAGE or largest >= LARGEST_SHRINKAGE


class MedianAndRange(Statistic):
    """Median, minimum and maximum of best shrinkage by a landmark among n patients at risk there.

    ``lower`` and ``upper`` are minimum and maximum, no limits of an interval.
    """

    name = "median and range"
    quantity = statistics.Quantity.RANGE
    endpoints = ("shrinkage",)
    likelihood = "median and range of shrinkage: joint density of the order statistics"
    axis = "linear"
    unit = "points of shrinkage"

    rules = (
        Rule(lambda r: isnan(r.value + r.lower + r.upper), "no median or no range",
             "value, lower (minimum) and upper (maximum)", LIMITS),
        Rule(lambda r: not r.lower < r.value < r.upper, "a median at an end of its range",
             "minimum < median < maximum", LIMITS),
        Rule(lambda r: not (r.n >= FEWEST and float(r.n).is_integer()), "an impossible number of patients",
             f"a whole number of at least {FEWEST}", ("n",)),
        Rule(lambda r: r.unit not in (POINTS, POINTS_PCHG), "an unknown unit",
             f'"{POINTS}" or "{POINTS_PCHG}"', ("unit",),
             "Say whether positive numbers are shrinkage or growth."),
        Rule(_impossible,
             "a best shrinkage that nobody can have",
             f"shrinkages between {SMALLEST_SHRINKAGE:g} and {LARGEST_SHRINKAGE:g} points, exclusive", LIMITS,
             "Best responses of growth by 20 % are progression; is the sign that of the unit?"),
    )  # fmt: skip

    def datum(self, row: Row) -> Datum:
        """Places of all three, as logits of the way from -20 to 100 points."""
        smallest, middle, largest = (float(place(np.array(x))) for x in _shrinkages(row))
        return Datum(row.id, "ordered", middle, n=int(row.n), extremes=(smallest, largest))

    def replicate(
        self, row: Row, predicted: Predicted, errors: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Medians of as many further groups of n patients, (draw,), as printed."""
        middle = replicated_range(*predicted.law(), int(row.n), rng)[..., 1]
        return -middle if row.unit == POINTS_PCHG else middle

    def as_printed(self, row: Row, text: str) -> str:
        """``-12.3 (-60.0 to 11.4), 66 patients``."""
        return f"{text}, {row.n:g} patients"


def replicated_range(
    location: np.ndarray, spread: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Smallest, median and largest shrinkage in points of n patients, one group a draw, (draw, 3)."""
    drawn = np.sort(points(location[:, None] + spread[:, None] * rng.normal(size=(len(location), n))))
    return np.stack([drawn[:, 0], np.median(drawn, axis=1), drawn[:, -1]], axis=-1)


def log_range_density(
    places: tuple[Array, Array, Array], n: Array, location: Array, log_spread: Array, maths: Maths = NUMPY
) -> Array:
    """Log density of the places of minimum, median and maximum of n patients, where that of one is normal.

    With F the probability below and f its derivative (David and Nagaraja 2003, doi:10.1002/0471722162, 2.2),

        n! / ((n - 3) / 2)!^2  f(a) [F(m) - F(a)]^((n - 3) / 2) f(m) [F(b) - F(m)]^((n - 3) / 2) f(b).

    It is exact of an odd n. The median of an even n is the mean of two neighbours; it is taken as the order
    statistic between them, with gamma functions for the factorials.
    """
    low, middle, high = ((x - location) / maths.exp(log_spread) for x in places)
    between = log_between(low, middle, maths) + log_between(middle, high, maths)
    density = -0.5 * (low**2 + middle**2 + high**2) - 3.0 * log_spread
    constant = maths.gammaln(n + 1.0) - 2.0 * maths.gammaln(0.5 * (n - 1.0)) - 1.5 * np.log(2.0 * np.pi)
    return constant + density + 0.5 * (n - 3.0) * between
