"""Log densities of published numbers and of patients, for numpy (draws) and PyTensor (graph) alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from bayes_net.evidence.statistics import CURVES, STUDENT_DF
from bayes_net.model.network import Network
from bayes_net.model.participants import LARGEST_SHRINKAGE, SMALLEST_SHRINKAGE

TINY = 1e-12
"""Keeps the log of a probability finite where a chain visits laws of shrinkage that exclude a group."""


FARTHEST = 1e3
"""Stands for the logit of 0 and 1."""


@dataclass(frozen=True)
class Maths:
    """The operations of one library."""

    exp: Callable
    log: Callable
    erf: Callable
    softplus: Callable


NUMPY = Maths(np.exp, np.log, special.erf, lambda x: np.logaddexp(0.0, x))


Values = Mapping[str, Any]


def row_months(network: Network) -> np.ndarray:
    """Matrix from hazards of ``curve_rows`` to cumulative hazards of all rows, (row, row and interval)."""
    n, k = network.curve_months.shape
    spread = np.zeros((len(network.rows), n, k))
    spread[np.flatnonzero(network.is_of(CURVES)), np.arange(n)] = network.curve_months
    return spread.reshape(len(network.rows), n * k)


def row_location(parts: Values, network: Network) -> np.ndarray:
    """What each row is expected to be, on its scale: (..., row)."""
    location = parts["location"].copy()
    if "curve_rows" in parts:
        own = network.is_of(CURVES)
        location[..., own] = np.log(np.exp(parts["curve_rows"]) @ row_months(network)[own].T)
    return location


def log_cumulative_hazard(log_hazard: np.ndarray, months: np.ndarray) -> np.ndarray:
    """log H of curves, (..., row), at times that spent ``months`` (row, interval) in each interval;
    ``log_hazard`` (..., row, interval)."""
    return np.log((np.exp(log_hazard) * months).sum(axis=-1))


def student_rows(network: Network) -> np.ndarray:
    """1 for rows with a Student-t likelihood, else 0."""
    return np.array([d.kind == "student" for d in network.data], float)


def student_log_density(z, maths: Maths = NUMPY):
    """Log density of Student's t with ``STUDENT_DF`` degrees of freedom, without its constant."""
    return -0.5 * (STUDENT_DF + 1) * maths.log(1.0 + z**2 / STUDENT_DF)


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of one endpoint: their places among all rows, the group of each, and ``array``: successes and
    numbers, (2, count), and of shrinkage the places of the threshold, the next higher and the next lower.

    Places are logits of the way from -20 to 100 points.
    """

    rows: np.ndarray
    group: np.ndarray
    array: np.ndarray


def count_rows(network: Network, endpoint: str, *, given_lower: bool = False) -> Counts:
    """The counts of ``endpoint``. Nested thresholds become successive ones: of those below the next higher
    threshold, how many reach the lower; a count of power 0 is passed over.

    ``given_lower`` conditions on the next lower count too: then each count is given all the others.
    """
    printed, higher, lower = _nested(network, endpoint)
    k, n, threshold = printed.array
    if endpoint != "shrinkage":
        return replace(printed, array=printed.array[:2])
    above, aside = _of_next(threshold, higher, LARGEST_SHRINKAGE), _of_next(k, higher, 0.0)
    under, whole = np.full(len(n), SMALLEST_SHRINKAGE), n
    if given_lower:
        under, whole = _of_next(threshold, lower, SMALLEST_SHRINKAGE), _of_next(k, lower, n)
    places = (_place(x) for x in (threshold, above, under))
    return replace(printed, array=np.stack([k - aside, whole - aside, *places]))


def _of_next(values: np.ndarray, following: list[int | None], otherwise) -> np.ndarray:
    """The value of each one's next count, or ``otherwise`` where it has none."""
    fallback = np.broadcast_to(otherwise, values.shape)
    return np.array([fallback[i] if j is None else values[j] for i, j in enumerate(following)], float)


def _nested(network: Network, endpoint: str) -> tuple[Counts, list[int | None], list[int | None]]:
    """The counts as printed (successes, numbers, thresholds), and the place of each one's next higher and
    next lower count of the same patients."""
    own = np.flatnonzero(
        ((network.rows["endpoint"] == endpoint) & (network.rows["statistic"] == "count")).to_numpy()
    )
    labels, table = network.groups(endpoint), network.rows.iloc[own]
    group = np.array([labels.index(f"{row.study} {row.arm}") for row in table.itertuples()], int)
    k = np.array([network.data[i].successes for i in own], float)
    n = np.array([network.data[i].n for i in own], float)
    threshold = table["threshold"].to_numpy(float)
    known = network.power[own] > 0

    def nearest(i: int, step: float) -> int | None:
        beyond = (group == group[i]) & known & (step * (threshold - threshold[i]) > 0)
        return min(np.flatnonzero(beyond), key=lambda j: step * threshold[j], default=None)

    nested = endpoint == "shrinkage"
    higher, lower = ([nearest(i, step) if nested else None for i in range(len(own))] for step in (1.0, -1.0))
    return Counts(own, group, np.stack([k, n, threshold])), higher, lower


def _place(shrinkage: np.ndarray) -> np.ndarray:
    """Logit of the way from the smallest to the largest shrinkage."""
    with np.errstate(divide="ignore"):
        way = np.clip((shrinkage - SMALLEST_SHRINKAGE) / (LARGEST_SHRINKAGE - SMALLEST_SHRINKAGE), 0.0, 1.0)
        return np.clip(special.logit(way), -FARTHEST, FARTHEST)


def below(shrinkage: np.ndarray, location, spread, maths: Maths = NUMPY):
    """Probability of a best shrinkage below ``shrinkage`` points, whose place between -20 and 100 points is
    logit-normal."""
    return _below(_place(shrinkage), location, spread, maths)


def _below(place, location, spread, maths: Maths):
    return 0.5 * (1.0 + maths.erf((place - location) / (spread * np.sqrt(2.0))))


def count_log_likelihood(parts: Values, counted, endpoint: str, maths: Maths = NUMPY):
    """Binomial log-likelihood of each count of ``endpoint``, without the binomial coefficient.

    ``parts`` are those of ``linear_parts``; ``counted`` begins with the array of ``count_rows``.
    """
    k, n = counted[0], counted[1]
    if endpoint == "response":
        logit = parts["response"]
        return -k * maths.softplus(-logit) - (n - k) * maths.softplus(logit)
    location, spread = parts["shrinkage_location"], maths.exp(parts["shrinkage_log_spread"])
    at, upper, lower = (_below(counted[i], location, spread, maths) for i in (2, 3, 4))
    return (
        k * maths.log(upper - at + TINY)
        + (n - k) * maths.log(at - lower + TINY)
        - n * maths.log(upper - lower + TINY)
    )


def log_likelihood_of_sums(expected, events, baseline, slope=None, log_hr=None):
    """Sum over patients of event * log h - H, (...,).

    ``expected`` is the sum of H; ``events`` (events, scores and covariates at events) are summed by arm and
    interval, arm and interval or 1, and covariate. So are ``baseline`` and ``slope``, and ``log_hr``.
    """
    number, scores, covariates = events
    total = (number * baseline).sum(axis=(-2, -1)) - expected
    if slope is not None:
        total = total + (slope * scores).sum(axis=(-2, -1))
    if log_hr is not None:
        total = total + (log_hr * covariates).sum(axis=-1)
    return total


def cumulative_hazard(hazard: np.ndarray, relative: np.ndarray, months: np.ndarray) -> np.ndarray:
    """H of patients of one arm, (..., patient): the sum over intervals of ``hazard`` (..., interval) times
    each one's ``relative`` hazard (..., patient, interval or 1) times ``months`` (patient or 1, interval)."""
    if relative.shape[-1] == 1:  # proportional hazards need no array over patients and intervals
        return relative[..., 0] * (hazard @ months.T)
    return (hazard[..., None, :] * relative * months).sum(axis=-1)
