"""Survival given shrinkage, from the survival of a whole arm: the mixture over shrinkage inverted.

A Kaplan-Meier curve averages over patients: S(t) = E_s[exp(-H0(t) exp(slope (s - ref) / 10))]. Given S,
the slope and the distribution of best shrinkage, H0 follows by Newton's method on the complementary
log-log scale, where the equation is nearly linear; sums over shrinkage are Gauss-Legendre quadrature on
its probability scale (the idea of ML-NMR turned round: Phillippo et al. 2020, doi:10.1111/rssa.12579).
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import expit, ndtri

from bayes_net.schema import POINTS_PER_UNIT
from bayes_net.statistics.counts import LARGEST_SHRINKAGE, SMALLEST_SHRINKAGE
from bayes_net.statistics.counts import below as shares_below

NODES = 16
ITERATIONS, TOLERANCE = 60, 1e-12
_BLOCK = 2**17
"""Hazards at nodes that are worked on at a time: few enough to stay in a processor's cache."""


def shrinkage_nodes(
    location: np.ndarray,
    spread: np.ndarray,
    *,
    above: float = SMALLEST_SHRINKAGE,
    below: float = LARGEST_SHRINKAGE,
) -> tuple[np.ndarray, np.ndarray]:
    """Equally meaningful nodes (..., node) of best shrinkage between ``above`` and ``below`` points, and
    their weights (node), which add up to 1: logit-normal between -20 and 100 points."""
    u, weight = leggauss(NODES)
    at_low, at_high = (shares_below(np.asarray(x), location, spread)[..., None] for x in (above, below))
    logits = location[..., None] + spread[..., None] * ndtri(at_low + (at_high - at_low) * (u + 1) / 2)
    return SMALLEST_SHRINKAGE + (LARGEST_SHRINKAGE - SMALLEST_SHRINKAGE) * expit(logits), weight / 2


def log_marginal(
    log_baseline: np.ndarray, slope: np.ndarray, nodes: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """log of the marginal cumulative hazard, (..., time), of a baseline log H0 (..., time)."""
    scores = (slope[..., None] * nodes / POINTS_PER_UNIT)[..., None, :]
    return np.log(_marginal(log_baseline, scores, weight)[0])


def _marginal(x: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Marginal cumulative hazard, and its derivative by log H0; no survival is too small for it."""
    shape = np.broadcast_shapes(x.shape[:-1], scores.shape[:-2])
    draws = np.broadcast_to(x, (*shape, x.shape[-1])).reshape(-1, x.shape[-1])
    nodes = np.broadcast_to(scores, (*shape, 1, len(weight))).reshape(-1, 1, len(weight))
    total, derivative = np.empty((2, *draws.shape))
    step = max(1, _BLOCK // max(1, draws.shape[1] * len(weight)))
    for start in range(0, len(draws), step):
        rows = slice(start, start + step)
        hazard = np.exp(draws[rows, :, None] + nodes[rows])
        least = np.minimum(hazard[..., :1], hazard[..., -1:])  # hazards rise or fall along the nodes
        survival = np.exp(least - hazard)  # over that of the longest survivors
        mean = survival @ weight
        total[rows] = least[..., 0] - np.log(mean)
        derivative[rows] = (hazard * survival) @ weight / mean
    return total.reshape(*shape, -1), derivative.reshape(*shape, -1)


def baseline(
    log_marginal_hazard: np.ndarray, slope: np.ndarray, nodes: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """log H0 at shrinkage 0, (..., time), whose mixture has the given log cumulative hazard.

    log H is concave in log H0, and the start, from the mean hazard ratio, lies below the solution: so
    Newton's steps rise towards it and cannot overshoot.
    """
    scores = (slope[..., None] * nodes / POINTS_PER_UNIT)[..., None, :]
    x = log_marginal_hazard - np.log(np.exp(scores) @ weight)
    for _ in range(ITERATIONS):
        marginal, derivative = _marginal(x, scores, weight)
        step = (log_marginal_hazard - np.log(marginal)) * marginal / derivative
        x = x + step
        if np.abs(step).max(initial=0.0) < TOLERANCE:
            break
    return x


def log_conditional(
    log_marginal_hazard: np.ndarray,
    slope: np.ndarray,
    location: np.ndarray,
    spread: np.ndarray,
    *,
    above: float,
    below: float,
) -> np.ndarray:
    """log cumulative hazard, (..., time), of patients whose best shrinkage is between ``above`` and
    ``below`` points (equal: of that shrinkage), in an arm whose whole has ``log_marginal_hazard``."""
    x = baseline(log_marginal_hazard, slope, *shrinkage_nodes(location, spread))
    if above == below:
        return x + (slope * above / POINTS_PER_UNIT)[..., None]
    return log_marginal(x, slope, *shrinkage_nodes(location, spread, above=above, below=below))
