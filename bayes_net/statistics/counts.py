"""Counts: how many of how many patients respond, or reach a threshold of shrinkage."""

from __future__ import annotations

from math import isnan

import numpy as np
import pandas as pd
from scipy import special

from bayes_net.statistics import base as statistics
from bayes_net.statistics.base import NUMPY, Array, Datum, Maths, Predicted, Row, Rule, Statistic

SMALLEST_SHRINKAGE, LARGEST_SHRINKAGE = -20.0, 100.0
"""Best responses of growth by 20 % are progression and not analysed; a tumour cannot shrink by more than
its size."""
COUNTED = ("response", "shrinkage")
"""Endpoints that have counts."""
FARTHEST = 1e3
"""Stands for the logit of 1, and its negative for that of 0: finite, as gradients are there."""
_WHOLE = ("value", "n", "unit")


def _percentage(row: Row) -> bool:
    unit = row.unit.lower()
    return "%" in unit or "percent" in unit or unit == "proportion" or 0 < row.value < 1


def _not_count(row: Row) -> bool:
    return not (row.value.is_integer() and row.n.is_integer() and 0 <= row.value <= row.n and row.n > 0)


class Count(Statistic):
    """k of n patients: binomial. Thresholds of the same patients are nested (``count_log_likelihood``)."""

    name = "count"
    quantity = statistics.Quantity.SHARE
    endpoints = COUNTED
    likelihood = "counts: binomial, thresholds of the same patients nested"
    axis = "linear"

    rules = (
        *Statistic.rules,
        Rule(_percentage, "a percentage or proportion", "a count: enter k of n, unit patients",
             _WHOLE, "Work out from the paper how many of how many patients it is."),
        Rule(lambda r: not _percentage(r) and _not_count(r), "an impossible count",
             "whole numbers 0 <= value <= n", _WHOLE),
        Rule(lambda r: r.endpoint == "shrinkage" and isnan(r.threshold), "a count without its threshold",
             "the points of shrinkage that were reached, 0 for any", ("threshold",)),
    )  # fmt: skip

    def datum(self, row: Row) -> Datum:
        """The share, with its successes and number of patients."""
        k, n = int(row.value), int(row.n)
        return Datum(row.id, "binomial", k / n, successes=k, n=n)

    def replicate(
        self, row: Row, predicted: Predicted, errors: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Counts of as many further groups of n patients, (draw,)."""
        return rng.binomial(int(row.n), predicted.value()).astype(float)

    def as_printed(self, row: Row, text: str) -> str:
        """``18 of 117``."""
        return f"{text} of {row.n:g}" if pd.notna(row.n) else text


def place(shrinkage: np.ndarray) -> np.ndarray:
    """Logit of the way from the smallest to the largest shrinkage."""
    with np.errstate(divide="ignore"):
        way = np.clip((shrinkage - SMALLEST_SHRINKAGE) / (LARGEST_SHRINKAGE - SMALLEST_SHRINKAGE), 0.0, 1.0)
        return np.clip(special.logit(way), -FARTHEST, FARTHEST)


def points(place: np.ndarray) -> np.ndarray:
    """The shrinkage in points at such a place."""
    return SMALLEST_SHRINKAGE + (LARGEST_SHRINKAGE - SMALLEST_SHRINKAGE) * special.expit(place)


def below(shrinkage: np.ndarray, location: Array, spread: Array) -> Array:
    """Probability of a best shrinkage below ``shrinkage`` points, whose place between -20 and 100 points is
    logit-normal."""
    return special.ndtr((place(shrinkage) - location) / spread)


def log_between(lower: Array, upper: Array, maths: Maths = NUMPY) -> Array:
    """Log probability of a standard normal between ``lower`` and ``upper``: from the nearer tail, so that it
    is exact however far out both are."""
    right = lower + upper > 0
    near, far = maths.where(right, -lower, upper), maths.where(right, -upper, lower)
    whole = maths.log_ndtr(near)
    return whole + maths.log(-maths.expm1(maths.log_ndtr(far) - whole))


def log_short(u: Array, progression: Array, maths: Maths = NUMPY) -> Array:
    """Log probability of progression, whose logit is given, or of a place below ``u`` without it."""
    either = maths.log_sigmoid(progression), maths.log_sigmoid(-progression) + maths.log_ndtr(u)
    return maths.logaddexp(*either)


def count_log_likelihood(parts: statistics.Values, counted: Array, endpoint: str) -> Array:
    """Binomial log-likelihood of each count of ``endpoint``, without the binomial coefficient, (..., count).

    ``parts`` are those of ``linear_parts``, of shrinkage those of ``shrinkage_law``; ``counted`` begins with
    the array of ``count_rows``.
    """
    k, n = counted[0], counted[1]
    if endpoint == "response":
        logit = parts["response"]
        return -k * np.logaddexp(0.0, -logit) - (n - k) * np.logaddexp(0.0, logit)
    progression, given = parts["progression"], counted[5] > 0
    at, upper, lower = ((counted[i] - parts["location"]) / np.exp(parts["log_spread"]) for i in (2, 3, 4))
    others = NUMPY.log_sigmoid(-progression)
    reached = others + log_between(at, upper)
    short, whole = (
        np.where(given, others + log_between(np.minimum(lower, u - 1e-300), u), log_short(u, progression))
        for u in (at, upper)
    )
    return k * reached + (n - k) * short - n * whole
