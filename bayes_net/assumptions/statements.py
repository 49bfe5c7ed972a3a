"""Estimates that a paper does not print, but says something of: unknowns that lie where it says.

The standardised errors of a cohort's estimates are normal with correlation L L'. In an order in which those
in print come first, each is the sum of L[k, j] w[j] over those before it, and L[k, k] w[k]. An estimate
without a number has w[k] = Q(alpha) with

    Q(e) = Phi^-1(Phi(alpha) + Phi(e) (Phi(beta) - Phi(alpha))),    e ~ N(0, 1),

alpha and beta being the limits of the interval in which it lies, and adds log(Phi(beta) - Phi(alpha)) to the
log density: Genz's transformation (1992, doi:10.1080/10618600.1992.10477010) with e sampled, so that
statements of any kind, also on each other, have a smooth density.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from bayes_net.evidence.pairs import correlation_matrix
from bayes_net.statistics.base import Datum
from bayes_net.statistics.counts import log_between

NOWHERE = -1
"""Stands for no row."""


class Whitening(NamedTuple):
    """How errors are made of independent standard normal ones: ``root`` (row, row), of the standardised
    residuals of numbers in print; ``before`` (said, row + said) and ``own`` (said,): what each unprinted
    estimate has of those before it, and of its own."""

    root: np.ndarray
    before: np.ndarray
    own: np.ndarray

    def precision(self, said: Statements) -> np.ndarray:
        """Precision matrix of the standardised errors of all rows, printed or not, (row, row)."""
        n, used = len(self.root), np.diag(self.root) > 0
        of = np.concatenate([np.flatnonzero(used), said.rows]).astype(int)
        p = int(used.sum())
        made = np.zeros((len(of), len(of)))
        made[:p, :p] = np.linalg.inv(self.root[np.ix_(used, used)])
        made[p:, :p], made[p:, p:] = self.before[:, :n][:, used], self.before[:, n:] + np.diag(self.own)
        made[p:] /= np.sqrt(said.power)[:, None]
        whole, inverse = np.zeros((n, n)), np.linalg.inv(made)
        whole[np.ix_(of, of)] = inverse.T @ inverse
        return whole


@dataclass(frozen=True, eq=False)
class Statements:
    """The statements of a network that have a power above 0, each after those that it is compared with.

    ``rows``: their places among all rows. ``limits``: lower and upper, and the same in standard errors,
    (4, said). ``others``: the places, in ``rows`` after all numbers in print, of the estimates that each lies
    above and below, (2, said).
    """

    rows: np.ndarray
    se: np.ndarray
    power: np.ndarray
    limits: np.ndarray
    others: np.ndarray

    def interval(self, i: int, se: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the i-th estimate lies, given its standard error (...) and the ``estimates``, (..., row +
        said), with which it may be compared."""
        lower, upper, lower_se, upper_se = self.limits[:, i]
        above, below = self.others[:, i]
        low, high = np.maximum(lower, lower_se * se), np.minimum(upper, upper_se * se)
        low = low if above == NOWHERE else np.maximum(low, estimates[..., above])
        return low, high if below == NOWHERE else np.minimum(high, estimates[..., below])


def statements(rows: pd.DataFrame, data: Sequence[Datum], power: np.ndarray) -> Statements:
    """The statements among ``data``; a comparison with a row that is left out says nothing."""
    used = {one.id: i for i, one in enumerate(data) if power[i] > 0}
    own: dict[str, Any] = {name: data[i].statement for name, i in used.items() if data[i].kind == "said"}
    graph = {name: [o for o in said.others if o in own] for name, said in own.items()}
    ordered = list(TopologicalSorter(graph).static_order())
    place = {name: i for name, i in used.items() if name not in own}
    place |= {name: len(data) + k for k, name in enumerate(ordered)}
    said = [own[name] for name in ordered]
    at = np.array([used[name] for name in ordered], int)
    return Statements(
        rows=at,
        se=np.array([data[i].se for i in at], float),
        power=power[at],
        limits=np.array([(s.lower, s.upper, s.lower_se, s.upper_se) for s in said], float).reshape(-1, 4).T,
        others=np.array([[place.get(o, NOWHERE) for o in (s.above, s.below)] for s in said], int)
        .reshape(-1, 2)
        .T,
    )


def whitening(rows: pd.DataFrame, data: Sequence[Datum], power: np.ndarray, said: Statements) -> Whitening:
    """The Cholesky factor of the correlations of all normal rows with a power, numbers in print first. A
    power a divides a standard error by its root."""
    n, k = len(data), len(said.rows)
    printed = np.array([one.kind == "normal" for one in data], bool) & (power > 0)
    order = np.concatenate([np.flatnonzero(printed), said.rows]).astype(int)
    kept = [data[i] for i in order]
    factor = np.linalg.cholesky(correlation_matrix(rows.iloc[order], kept)) if kept else np.zeros((0, 0))
    p = int(printed.sum())
    root, before = np.zeros((n, n)), np.zeros((k, n + k))
    scaled = np.linalg.inv(factor[:p, :p]) * np.sqrt(power[printed])
    root[np.ix_(printed, printed)] = scaled
    before[:, :n][:, printed] = factor[p:, :p]
    below = factor[p:, p:]
    before[:, n:] = below - np.diag(np.diag(below))
    return Whitening(root, before, np.diag(below).copy())


class Factors(NamedTuple):
    """The law of the logs of the factors on uncertain standard errors: ``rows``, their places among all rows;
    ``mean`` (factor,) and ``root`` (factor, factor) of their normal distribution."""

    rows: np.ndarray
    mean: np.ndarray
    root: np.ndarray


def se_factors(rows: pd.DataFrame, data: Sequence[Datum], power: np.ndarray) -> Factors:
    """The law of the factors on the standard errors of what is not printed, given the standard errors of the
    same patients' estimates that are: as fewer events or less variance of shrinkage widen all of an arm, the
    logs are correlated as the estimates are.
    """
    own = np.array([i for i, one in enumerate(data) if one.kind == "said" and one.log_se_sd > 0], int)
    known = [i for i, one in enumerate(data) if np.isfinite(one.se_excess) and power[i] > 0]
    known = [i for i in known if data[i].kind == "normal"] if len(own) else []
    order, p = [*known, *own], len(known)
    r = correlation_matrix(rows.iloc[order], [data[i] for i in order]) if len(own) else np.eye(0)
    weight = r[p:, :p] @ np.linalg.inv(r[:p, :p])
    sd = np.array([data[i].log_se_sd for i in own])
    mean = sd * (weight @ np.array([data[i].se_excess for i in known], float))
    return Factors(own, mean, sd[:, None] * np.linalg.cholesky(r[p:, p:] - weight @ r[:p, p:]))


class Unprinted(NamedTuple):
    """Estimates that are not printed, (..., said), and the log probability of what is said of each, given
    those before it."""

    estimate: np.ndarray
    log_mass: np.ndarray


def unprinted(
    said: Statements,
    white: Whitening,
    residual: np.ndarray,
    value: np.ndarray,
    location: np.ndarray,
    log_factor: np.ndarray,
    e: np.ndarray,
) -> Unprinted:
    """The estimates at standard normal ``e`` (..., said). ``residual`` (..., row): (value - location) / se
    of every row in print; ``value`` (row,); ``location`` and ``log_factor`` (..., said) are what each
    estimate is expected to be and the log of the factor on its standard error."""
    n, k = len(value), len(said.rows)
    w = np.concatenate([residual @ white.root.T, np.zeros((*e.shape[:-1], k))], axis=-1)
    known = np.broadcast_to(value, (*e.shape[:-1], n))
    known = np.concatenate([known, np.zeros((*e.shape[:-1], k))], axis=-1)
    mass = np.zeros(e.shape)
    for i in range(k):
        se = said.se[i] * np.exp(log_factor[..., i])
        scale = se / np.sqrt(said.power[i])
        low, high = said.interval(i, se, known)
        mean = w @ white.before[i]
        a, b = (((x - location[..., i]) / scale - mean) / white.own[i] for x in (low, high))
        mass[..., i], w[..., n + i] = truncated(a, b, e[..., i])
        known[..., n + i] = location[..., i] + scale * (mean + white.own[i] * w[..., n + i])
    return Unprinted(known[..., n:], mass)


def log_mass(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Log probability of a standard normal between ``a`` and ``b``, -inf where there is none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(a < b, log_between(a, b), -np.inf)


def truncated(a: np.ndarray, b: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``log_mass``, and the quantile in that interval of the probability that ``e`` has in the whole."""
    mass = log_mass(a, b)
    with np.errstate(invalid="ignore"):
        below = np.logaddexp(special.log_ndtr(a), special.log_ndtr(e) + mass)
        above = np.logaddexp(special.log_ndtr(-b), special.log_ndtr(-e) + mass)
        return mass, np.where(below < above, special.ndtri_exp(below), -special.ndtri_exp(above))
