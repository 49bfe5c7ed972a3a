"""What published numbers are expected to be, and counts in nested form: arrays of a network's rows. Below
them the likelihood of patients, of arrays and graphs alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bayes_net.evidence.counts import LARGEST_SHRINKAGE, SMALLEST_SHRINKAGE, place
from bayes_net.evidence.kinds import KINDS
from bayes_net.evidence.statistics import NUMPY, Maths, Quantity, Values
from bayes_net.model.network import Network


def curve_functionals(network: Network) -> Iterator[tuple]:
    """What is read off curves: each function ``of_curve``, and which of ``curve_rows`` it is for."""
    own = network.rows["statistic"][network.is_of(Quantity.CURVE)]
    functions = [KINDS[name].of_curve for name in own]
    for function in dict.fromkeys(functions):
        yield function, np.flatnonzero([one is function for one in functions])


def curve_location(hazard, months, network: Network, maths: Maths = NUMPY):
    """What rows that are read off curves are expected to be, (..., row), 0 for the others, from
    ``hazard`` (..., curve row, interval) and ``months`` (curve row, interval)."""
    rows, total = np.flatnonzero(network.is_of(Quantity.CURVE)), 0.0
    for function, own in curve_functionals(network):
        at = own if len(own) < len(rows) else slice(None)
        value = function(hazard[..., at, :], months[at], maths)
        total = total + (np.eye(len(network.rows))[:, rows[own]] * value[..., None, :]).sum(axis=-1)
    return total


def curve_derivatives(network: Network) -> np.ndarray:
    """Derivatives of what is read off each of ``curve_rows`` by the log hazards of its curve, (curve row,
    interval), where these are all about the prior mean of their level; by the complex step."""
    months, step = network.curve_months, 2.0**-100
    # powers of two, so that neither the hazard nor the step rounds anything
    hazard = 2.0 ** np.round(network.assumptions.level.mean / np.log(2.0))
    moved = hazard * (1.0 + 1j * step * np.eye(months.shape[1]))
    found = np.zeros(months.shape)
    for function, own in curve_functionals(network):
        found[own] = function(moved[:, None, :], months[own]).imag.T / step
    return found


def row_location(parts: Values, network: Network) -> np.ndarray:
    """What each row is expected to be, on its scale: (..., row)."""
    location = parts["location"]
    if "curve_rows" in parts:
        months = network.curve_months
        hazard = np.exp(parts["curve_rows"]).reshape(*location.shape[:-1], *months.shape)
        location = location + curve_location(hazard, months, network)
    return location


def student_rows(network: Network) -> np.ndarray:
    """1 for rows with a Student-t likelihood, else 0."""
    return np.array([d.kind == "student" for d in network.data], float)


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
    places = (place(x) for x in (threshold, above, under))
    return replace(printed, array=np.stack([k - aside, whole - aside, *places]))


def _of_next(values: np.ndarray, following: list[int | None], otherwise) -> np.ndarray:
    """The value of each one's next count, or ``otherwise`` where it has none."""
    fallback = np.broadcast_to(otherwise, values.shape)
    return np.array([fallback[i] if j is None else values[j] for i, j in enumerate(following)], float)


def _nested(network: Network, endpoint: str) -> tuple[Counts, list[int | None], list[int | None]]:
    """The counts as printed (successes, numbers, thresholds), and the place of each one's next higher and
    next lower count of the same patients."""
    own = np.flatnonzero(network.is_of(Quantity.SHARE) & (network.rows["endpoint"] == endpoint).to_numpy())
    labels, table = network.groups(endpoint), network.rows.iloc[own]
    group = np.array([labels.index((row.study, row.arm)) for row in table.itertuples()], int)
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
