"""R-hat, effective sample sizes and Pareto-smoothed weights of many quantities at once.

The formulas are those of ``arviz_stats``, which goes through quantities one by one and so takes several times
as long; ``tests/unit/estimands/test_diagnostics.py`` holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from scipy.special import betaincinv, logsumexp, ndtri

TAILS = (0.025, 0.975)
"""Quantiles whose effective sample sizes are the tail's."""
_BLOCK = 2**17
"""Numbers that are worked on at a time: few enough to stay in a processor's cache."""


def blocks(rows: np.ndarray) -> Iterator[slice]:
    """Slices of the first axis, of about ``_BLOCK`` numbers each."""
    step = max(1, _BLOCK // max(1, rows[:1].size))
    return (slice(start, start + step) for start in range(0, len(rows), step))


def split_chains(draws: np.ndarray) -> np.ndarray:
    """The halves of chains, (quantity, 2 * chain, draw // 2), as chains of their own."""
    half = draws.shape[-1] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=-2)


def diagnose(
    draws: np.ndarray, tails: tuple[float, float] = TAILS, *, sized: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank-normalised R-hat, bulk ESS and tail ESS of ``draws``, (quantity, chain, draw): (quantity,) each.

    NaN where a draw is. ``sized`` (quantity,) are those whose ESS is wanted; it is NaN for the others.
    Vehtari et al. 2021, doi:10.1214/20-BA1221.
    """
    found = np.full((3, len(draws)), np.nan)
    sized = np.ones(len(draws), bool) if sized is None else sized
    for rows in blocks(draws):
        own = draws[rows]
        usable = ~np.isnan(own).any(axis=(1, 2))
        if own.shape[-1] < 4 or not usable.any():
            continue
        own = own[usable]
        halves = split_chains(own)
        scores = _normal_scores(halves)
        folded = _normal_scores(np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True)))
        rhat = np.maximum(_rhat(scores), _rhat(folded)) if own.shape[1] > 1 else np.full(len(own), np.nan)
        found[0, rows][usable] = rhat
        wanted, own, scores = usable & sized[rows], own[sized[rows][usable]], scores[sized[rows][usable]]
        if len(own):
            below = (own <= limit[:, None, None] for limit in np.quantile(own, tails, axis=(1, 2)))
            tail = np.min([effective_size(split_chains(each)) for each in below], axis=0)
            found[1:, rows][:, wanted] = effective_size(scores), tail
    return found[0], found[1], found[2]


def quantile_error(draws: np.ndarray, prob: float) -> np.ndarray:
    """Monte-Carlo standard error of a quantile of ``draws``, (quantity, chain, draw): (quantity,).

    Half the distance of the quantiles one standard error of ``prob`` to either side; NaN where a draw is.
    """
    found = np.full(len(draws), np.nan)
    for rows in blocks(draws):
        own, flat = draws[rows], np.sort(draws[rows].reshape(len(draws[rows]), -1), axis=1)
        usable = ~np.isnan(flat[:, -1])
        if own.shape[-1] < 4 or not usable.any():
            continue
        own, flat, count = own[usable], flat[usable], flat.shape[1]
        below = own <= np.quantile(own, prob, axis=(1, 2))[:, None, None]
        size = effective_size(split_chains(below))
        ends = betaincinv(size * prob + 1, size * (1 - prob) + 1, [[0.1586553], [0.8413447]]) * count - 1
        ends = np.clip([np.floor(ends[0]), np.ceil(ends[1])], 0, count - 1).astype(int)
        low, high = np.take_along_axis(flat, ends.T, axis=1).T
        found[rows][usable] = (high - low) / 2
    return found


def _normal_scores(draws: np.ndarray) -> np.ndarray:
    flat = draws.reshape(len(draws), -1)
    order, place = flat.argsort(axis=1), np.arange(flat.shape[1])
    ordered = np.take_along_axis(flat, order, axis=1)
    begins, ends = np.ones((2, *flat.shape), bool)  # of runs of ties
    begins[:, 1:] = ends[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, place, place[-1])[:, ::-1], axis=1)[:, ::-1]
    scores = np.empty(flat.shape)
    np.put_along_axis(scores, order, _scores_of_ranks(len(place))[first + last], axis=1)
    return scores.reshape(draws.shape)


@lru_cache(maxsize=8)
def _scores_of_ranks(n: int) -> np.ndarray:
    """Normal scores by the sum of the first and the last place of a run of ties, whose mean rank it has."""
    return ndtri((np.arange(2 * n - 1) / 2 + 1 - 3 / 8) / (n + 1 / 4))


def _rhat(chains: np.ndarray) -> np.ndarray:
    n = chains.shape[-1]
    between = n * chains.mean(axis=-1).var(axis=-1, ddof=1)
    within = chains.var(axis=-1, ddof=1).mean(axis=-1)
    return np.sqrt((between / within + n - 1) / n)


def effective_size(chains: np.ndarray) -> np.ndarray:
    """Effective number of the draws of ``chains``, (quantity, chain, draw), for the mean: (quantity,).

    Autocorrelations are summed in pairs, up to the first pair that is not positive, and none larger than the
    one before (Geyer 1992, doi:10.1214/ss/1177011137). What does not vary has as many as there are draws.
    """
    from arviz_stats.base import array_stats

    chains = np.asarray(chains, float)
    count, n = chains.shape[1] * chains.shape[2], chains.shape[2]
    covariance = array_stats.autocov(chains, axis=-1).mean(axis=1)
    within = covariance[:, :1] * n / (n - 1)
    total = covariance[:, :1] + (
        chains.mean(axis=-1).var(axis=-1, ddof=1)[:, None] if len(chains[0]) > 1 else 0
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # of what does not vary
        correlation = 1 - (within - covariance) / total
    correlation[:, 0] = 1.0
    last = max(0, (n - 3) // 2)  # the pair before the last is the last to be looked at
    even = correlation[:, : 2 * last + 1 : 2]
    pairs = even + correlation[:, 1 : 2 * last + 2 : 2]
    ends = pairs <= 0
    end = np.where(ends.any(axis=1), ends.argmax(axis=1), last)
    falling = np.minimum.accumulate(pairs, axis=1)
    kept = np.where(np.arange(last + 1) < end[:, None], falling, 0.0).sum(axis=1)
    at_end = np.take_along_axis(even, end[:, None], axis=1)[:, 0]
    beyond = np.where((at_end > 0) | ~ends.any(axis=1), at_end, 0.0)
    time = np.maximum(2 * kept + beyond - 1, 1 / np.log10(count))
    return np.where(np.ptp(chains, axis=(1, 2)) < np.finfo(float).resolution, count, count / time)


def smoothed_weights(log_likelihood: np.ndarray, efficiency: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the draws' weights without each row of ``log_likelihood`` (row, sample), and its Pareto k
    (row,); the weights of a row sum to 1.

    ``efficiency`` is the effective share of the draws. Where k is NaN, the largest weights have no
    distribution to be smoothed by. Vehtari et al. 2024, https://jmlr.org/papers/v25/19-556.html.
    """
    n = log_likelihood.shape[1]
    tail = int(3 * np.sqrt(n / efficiency)) if n * efficiency > 225 else n // 5
    logs = -log_likelihood
    logs -= logs.max(axis=1, keepdims=True)
    largest = np.argpartition(logs, n - tail - 1, axis=1)[:, n - tail - 1 :]
    order = np.take_along_axis(logs, largest, axis=1).argsort(axis=1)
    largest = np.take_along_axis(largest, order, axis=1)
    top = np.take_along_axis(logs, largest, axis=1)
    cutoff = np.exp(top[:, :1])
    with np.errstate(divide="ignore", invalid="ignore"):  # hopeless weights give k = NaN
        k, scale = _generalised_pareto(np.exp(top[:, 1:]) - cutoff)
        below = -np.log1p(-np.arange(0.5, tail) / tail)
        excess = np.where(k[:, None] == 0, below, np.expm1(k[:, None] * below) / k[:, None])
        smooth = np.log(cutoff + scale[:, None] * excess)
    smooth = np.minimum(smooth, top[:, -1:])
    np.put_along_axis(logs, largest[:, 1:], np.where(np.isfinite(k)[:, None], smooth, top[:, 1:]), axis=1)
    return logs - logsumexp(logs, axis=1, keepdims=True), k


def _generalised_pareto(excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape and scale of excesses over a threshold, (row, ordered excess): (row,) each; an empirical Bayes
    estimate (Zhang and Stephens 2009, doi:10.1198/tech.2009.08017) that is drawn a little towards 0.5."""
    n = excess.shape[1]
    number = 30 + int(n**0.5)
    points = 1 - np.sqrt(number / (np.arange(1, number + 1) - 0.5))
    rates = points / (3 * excess[:, int(n / 4 + 0.5) - 1, None]) + 1 / excess[:, -1:]
    shapes = np.stack([np.log1p(-rate[:, None] * excess).mean(axis=1) for rate in rates.T], axis=1)
    profile = n * (np.log(-rates / shapes) - shapes - 1)
    weights = np.exp(profile - logsumexp(profile, axis=1, keepdims=True))
    weights[weights < 10 * np.finfo(float).eps] = 0.0
    rate = (rates * weights).sum(axis=1) / weights.sum(axis=1)
    shape = np.log1p(-rate[:, None] * excess).mean(axis=1)
    return (n * shape + 5) / (n + 10), -shape / rate
