"""Draws of a posterior with something left out, from draws with it: moved to where it should lie, weighted.

What is left out of a small body of evidence says so much of some direction that draws with it are too narrow
there, and their importance weights have no variance. So each draw is moved first, as the Laplace
approximation of the one posterior moves to that of the other, and then by the weighted mean (moment matching;
Paananen et al. 2021, doi:10.1007/s11222-020-10020-6). The weights are exact,

    w = p(moved draw, without) / p(draw, with),

up to a constant, since the move is affine; they are Pareto-smoothed (Vehtari et al. 2024,
https://jmlr.org/papers/v25/19-556.html), and stand only where Pareto's k and their effective size prove them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayes_net.engine.laplace import Approximation, evaluate, mode_and_curvature, resampled
from bayes_net.engine.posterior import Posterior
from bayes_net.schema import MAX_PARETO_K, MIN_ESS

WIDER = 1.04
"""By how much moved draws lie further out than they should: tails as heavy as those they are weighted to."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws of a ``posterior`` and their log densities, (chain, draw); its mode, the root of its covariance
    there, the draws by these, (sample, size), and their effective share."""

    posterior: Posterior
    logp: np.ndarray
    mode: np.ndarray
    root: np.ndarray
    standard: np.ndarray
    efficiency: float


def drawn(posterior: Posterior, draws: np.ndarray) -> Drawn | None:
    """``draws`` (chain, draw, size) of the vector of ``posterior`` with what moving them needs; None where
    the density has no mode."""
    from arviz_stats.base import array_stats

    try:
        mode, curvature = mode_and_curvature(posterior, posterior.start)
        root = _steady(np.linalg.cholesky(np.linalg.inv(curvature)))
        vectors, mode = draws.reshape(-1, posterior.size), _steady(mode)
        standard = np.linalg.solve(root, (vectors - mode).T).T
    except np.linalg.LinAlgError:
        return None
    each = [array_stats.ess(own, method="bulk") for own in np.moveaxis(draws, -1, 0)]
    efficiency = min(float(np.mean(each)) / len(vectors), 1.0)
    logp = evaluate(posterior, vectors)[0].reshape(draws.shape[:2])
    return Drawn(posterior, logp, mode, root, standard, efficiency)


def moved(known: Drawn, posterior: Posterior, *, draws: int, seed: int) -> Approximation | None:
    """Draws of ``posterior``, which has the variables of the one that is ``known``, and what their weights
    are like; None where these do not prove them, or its density has no mode, or it has other variables.

    Its vector is that of the known posterior, however much each says of an effect (``conditional_scale``).
    """
    if dict(posterior.variables) != dict(known.posterior.variables):
        return None
    same = {"information": known.posterior.fields["information"]}
    posterior = replace(posterior, fields={**posterior.fields, **same})
    try:
        mode, curvature = mode_and_curvature(posterior, known.mode)
        size, axes = np.linalg.eigh(known.root.T @ curvature @ known.root)
    except np.linalg.LinAlgError:
        return None
    # In the known posterior's own directions: what the two have in common stays where it is. Nothing gets
    # narrower, as it may around modes of standard deviations: tails that draws miss no weights bring back.
    stretch = _steady(known.root @ ((axes / np.sqrt(np.minimum(size, 1.0))) @ axes.T))
    points = _steady(mode) + WIDER * known.standard @ stretch.T
    # the approximation knows no skewness: the weights tell where draws lie, and how far out
    points = _matched(points, np.exp(_weights(known, evaluate(posterior, points)[0])[0]))
    height = evaluate(posterior, points)[0]
    log_weight, k, ess = _weights(known, height)
    if not (k < MAX_PARETO_K and ess >= MIN_ESS):
        return None
    weight = np.exp(log_weight).reshape(known.logp.shape)
    kept = resampled(weight, draws, np.random.default_rng([seed, 4]))
    return Approximation(points[kept], height[kept], k, ess)


def _matched(points: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Points with the weighted mean of every variable, and its weighted SD where that is larger."""
    mean, centre = weight @ points, points.mean(axis=0)
    sd = np.sqrt(weight @ (points - mean) ** 2)
    return mean + np.maximum(sd / points.std(axis=0), 1.0) * (points - centre)


def _weights(known: Drawn, height: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Smoothed log weights of moved draws whose log densities are ``height``, which sum to 1, Pareto's k and
    the effective size, which allows for autocorrelation; where all are impossible equal weights, and k
    infinite."""
    from arviz_stats.base import array_stats

    ratio = height - known.logp.ravel()
    possible = np.isfinite(ratio)
    if not possible.any():
        return np.full(len(ratio), -np.log(len(ratio))), np.inf, 0.0
    log_weight = np.full(len(ratio), -np.inf)
    # ArviZ takes minus the log weight, as of a likelihood that is left out
    with np.errstate(divide="ignore", invalid="ignore"):  # hopeless weights give k = NaN
        log_weight[possible], k = array_stats.psislw(-ratio[possible], known.efficiency)
    log_weight -= np.logaddexp.reduce(log_weight)
    return log_weight, float(k), known.efficiency / float(np.sum(np.exp(2 * log_weight)))


def _steady(x: np.ndarray) -> np.ndarray:
    """Without the last digits, which hang on the number of threads that found them, and draws must not."""
    return x.astype(np.float32).astype(float)
