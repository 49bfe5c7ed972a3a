"""Slopes of several landmarks together, of patients whom they share: a composite likelihood.

Landmarks reuse patients, so that their likelihoods are no independent pieces of evidence. Each landmark's fit
is kept as it is; how its slope and those of the others move together from sample to sample is learnt from the
patients, by what each of them does to every slope (the infinitesimal jackknife). Around that stands a normal
model in which an arm's slopes share a mean. It is an approximation for large samples, and its interval is
that of a composite likelihood, not of a posterior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from bayes_net.assumptions.priors import Normal, Prior
from bayes_net.errors import InputError, listed
from bayes_net.schema import ARM, LANDMARK, PATIENT, PATIENTS, SAMPLE_DIMS, SLOPE

ACROSS = "all landmarks"
"""The mean of an arm's slopes, in the place of a landmark."""
SPREAD = 0.2
"""Scale of the half-normal prior of the standard deviation of an arm's slopes over landmarks: by it hazard
ratios of two landmarks are within a factor of 1.85 of each other with 95 %."""
_SPREADS = np.linspace(SPREAD / 10, 4 * SPREAD, 157)
"""From a standard deviation on with which landmarks of the same patients and scans are not told apart by
their Monte-Carlo errors, as they would be by ever larger weights of either sign."""
_CHAINS, _DRAWS = 4, 4000


class Across(NamedTuple):
    """``slopes``: draws (chain, draw, arm, landmark) of the slope at each landmark and, ``ACROSS``, of their
    mean; ``spread``: draws (chain, draw, arm) of their standard deviation; ``ratio`` (arm): the standard
    error of a common slope with every patient counted once, over that with the rows of all landmarks counted
    as patients of their own."""

    slopes: xr.DataArray
    spread: xr.DataArray
    ratio: xr.DataArray


def across_landmarks(
    fits: Mapping[str, xr.DataTree],
    patients: Mapping[str, Sequence[str]],
    prior: Prior,
    *,
    seed: int,
) -> Across:
    """An arm's slopes over landmarks, which share a mean and differ by a standard deviation.

    ``fits`` are those of true landmarks, with the log-likelihood of every patient, and ``patients`` who the
    patients of each are, in the order of its exposure. ``prior`` is that of the slopes in the fits: it is
    taken off each and holds of their mean; ``SPREAD`` is the scale of the half-normal prior of their
    standard deviation.

    Reference: of the influence of patients, Giordano and Broderick 2023, arXiv:2305.06466; of composite
    likelihoods, Varin, Reid and Firth 2011, Statistica Sinica 21:5-42.

    Raises
    ------
    InputError
        There are fewer than two landmarks, a fit lacks slopes or log-likelihoods, or patients are not those
        of the fits.
    """
    names = _checked(fits, patients)
    arms = fits[names[0]]["posterior"][ARM].values
    people = {who: i for i, who in enumerate(dict.fromkeys(who for name in names for who in patients[name]))}
    influence = np.zeros((len(people), len(arms), len(names)))
    mean, variance = np.zeros((2, len(arms), len(names)))
    for k, name in enumerate(names):
        slope = fits[name]["posterior"][SLOPE].transpose(*SAMPLE_DIMS, ARM).values.reshape(-1, len(arms))
        logs = fits[name]["log_likelihood"][PATIENTS].transpose(*SAMPLE_DIMS, PATIENT).values
        logs = logs.reshape(len(slope), -1)
        mean[:, k], variance[:, k] = slope.mean(axis=0), slope.var(axis=0, ddof=1)
        moved = (logs - logs.mean(axis=0)).T @ (slope - mean[:, k]) / (len(slope) - 1)
        influence[[people[who] for who in patients[name]], :, k] = moved
    # of the likelihood alone, without each landmark's own prior
    known = variance if not isinstance(prior, Normal) else 1 / np.maximum(1 / variance - prior.sd**-2, 1e-9)
    centre = 0.0 if not isinstance(prior, Normal) else prior.mean / prior.sd**2
    estimate = known * (mean / variance - centre)
    influence *= known / variance
    influence -= influence.mean(axis=0)
    n = len(people)
    rng = np.random.default_rng(seed)
    slopes, spreads, ratio = [], [], []
    for a in range(len(arms)):
        covariance = influence[:, a].T @ influence[:, a] * n / (n - 1)
        weight = (1 / known[a]) / (1 / known[a]).sum()
        ratio.append(np.sqrt(weight @ covariance @ weight * (1 / known[a]).sum()))
        own, spread = _drawn(estimate[a], covariance, prior, rng)
        slopes.append(own)
        spreads.append(spread)
    coords = {ARM: arms, LANDMARK: [ACROSS, *names]}
    dims = (ARM, *SAMPLE_DIMS)
    return Across(
        xr.DataArray(_in_chains(slopes), coords, (*dims, LANDMARK)).transpose(*SAMPLE_DIMS, ...),
        xr.DataArray(_in_chains(spreads), {ARM: arms}, dims).transpose(*SAMPLE_DIMS, ...),
        xr.DataArray(np.array(ratio), {ARM: arms}, (ARM,)),
    )


def _in_chains(of_arms: Sequence[np.ndarray]) -> np.ndarray:
    """Independent draws (draw, ...) of each arm as chains, (arm, chain, draw, ...)."""
    draws = np.stack(of_arms)
    return draws.reshape(len(draws), _CHAINS, -1, *draws.shape[2:])


def _checked(fits: Mapping[str, xr.DataTree], patients: Mapping[str, Sequence[str]]) -> list[str]:
    if len(fits) < 2:
        raise InputError(f"fits of {listed(fits) or 'no landmark'}; expected those of two or more")
    for name, fit in fits.items():
        if SLOPE not in fit["posterior"] or "log_likelihood" not in fit.children:
            raise InputError(
                f"the fit at {name} has no slope, or no log-likelihood of patients; fit it in full"
            )
        n = fit["log_likelihood"].sizes[PATIENT]
        if len(patients.get(name, ())) != n:
            raise InputError(
                f"{len(patients.get(name, ()))} patients given for {name}, and its fit has {n}; expected the "
                "patient of each row of its exposure"
            )
    return list(fits)


def _drawn(
    estimate: np.ndarray, covariance: np.ndarray, prior: Prior, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the mean and of the slope at every landmark, (draw, 1 + landmark), and of the spread, given
    normal estimates of these with a common covariance."""
    size, one = len(estimate), np.ones(len(estimate))
    at, precision = (prior.mean, prior.sd**-2) if isinstance(prior, Normal) else (0.0, 0.0)
    weights, parts = [], []
    for spread in _SPREADS:
        inverse = np.linalg.inv(covariance + spread**2 * np.eye(size))
        held = one @ inverse @ one + precision
        mean = (one @ inverse @ estimate + precision * at) / held
        off = estimate - mean
        height = -0.5 * (off @ inverse @ off + precision * (mean - at) ** 2) - 0.5 * (spread / SPREAD) ** 2
        weights.append(height + 0.5 * np.linalg.slogdet(inverse)[1] - 0.5 * np.log(held))
        parts.append((mean, held**-0.5, inverse))
    share = np.exp(np.array(weights) - max(weights))
    chosen = rng.choice(len(_SPREADS), _DRAWS, p=share / share.sum())
    found = np.empty((_DRAWS, 1 + size))
    for i in np.unique(chosen):
        which = np.flatnonzero(chosen == i)
        mean, sd, inverse = parts[i]
        common = rng.normal(mean, sd, len(which))
        gain = _SPREADS[i] ** 2 * inverse  # towards the landmark's own estimate
        left = _SPREADS[i] ** 2 * (np.eye(size) - gain)
        noise = rng.multivariate_normal(np.zeros(size), (left + left.T) / 2, len(which), method="eigh")
        found[which, 0] = common
        found[which, 1:] = common[:, None] + (estimate - common[:, None]) @ gain.T + noise
    return found, _SPREADS[chosen]
