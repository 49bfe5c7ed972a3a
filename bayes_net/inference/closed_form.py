"""The hazard model's log-likelihood, log-prior and prior draws in closed form, on labelled arrays.

They are computed from draws after sampling (no compiling), and are what the PyMC graph is tested
against.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayes_net.data.aggregated import AggregatedExposure
from bayes_net.data.exposure import Exposure, person_time
from bayes_net.errors import InputError
from bayes_net.model.assumptions import COMMON, SHARED, Hazard
from bayes_net.model.layout import AnyExposure, level_shift, step_information, walk_basis
from bayes_net.model.predictors import coordinates, free_variables
from bayes_net.model.priors import INDEPENDENT, Flat
from bayes_net.schema import (
    ARM,
    ARM_EFFECT,
    CHAIN,
    COVARIATE,
    COVARIATE_EFFECT,
    DRAW,
    INTERVAL,
    LEVEL,
    LEVEL_AT_EVENTS,
    LOG_HAZARD,
    PATIENT,
    SAMPLE_DIMS,
    SLOPE,
    STEP_SD,
)


def linear_predictor(posterior: xr.Dataset, data: Exposure) -> np.ndarray:
    """slope * score + covariates' effects, shape (chain, draw, patient)."""
    eta = np.zeros((posterior.sizes[CHAIN], posterior.sizes[DRAW], data.n))
    if SLOPE in posterior:
        eta += posterior[SLOPE].transpose(*SAMPLE_DIMS, ARM).values[..., data.arm] * data.score
    if COVARIATE_EFFECT in posterior:
        eta += posterior[COVARIATE_EFFECT].transpose(*SAMPLE_DIMS, COVARIATE).values @ data.covariates.T
    return eta


def log_likelihood(posterior: xr.Dataset, data: AnyExposure) -> xr.DataArray:
    """Log-likelihood of each patient, dims (chain, draw, patient): event * log h - H.

    ``patient`` is a row number, never an identifier. Of aggregated patients only the sum is known, dims
    (chain, draw).
    """
    if isinstance(data, AggregatedExposure):
        return _aggregated_log_likelihood(posterior, data)
    log_hazard = posterior[LOG_HAZARD].transpose(*SAMPLE_DIMS, ARM, INTERVAL).values
    eta = linear_predictor(posterior, data)
    months = person_time(data.time, data.cuts)
    hazard = np.exp(log_hazard)
    cumulative = np.empty_like(eta)
    for a in range(len(data.arms)):
        own = data.arm == a
        cumulative[..., own] = hazard[:, :, a, :] @ months[own].T
    values = data.event * (log_hazard[..., data.arm, data.interval] + eta) - np.exp(eta) * cumulative
    return xr.DataArray(
        values,
        dims=(*SAMPLE_DIMS, PATIENT),
        coords={CHAIN: posterior[CHAIN], DRAW: posterior[DRAW], PATIENT: np.arange(data.n)},
        name="patients",
    )


def _aggregated_log_likelihood(posterior: xr.Dataset, data: AggregatedExposure) -> xr.DataArray:
    log_hazard = posterior[LOG_HAZARD].transpose(*SAMPLE_DIMS, ARM, INTERVAL).values
    sizes = posterior.sizes[CHAIN], posterior.sizes[DRAW]
    slope, effects = np.zeros((*sizes, len(data.arms))), np.zeros((*sizes, len(data.covariate_names)))
    if SLOPE in posterior:
        slope = posterior[SLOPE].transpose(*SAMPLE_DIMS, ARM).values
    if COVARIATE_EFFECT in posterior:
        effects = posterior[COVARIATE_EFFECT].transpose(*SAMPLE_DIMS, COVARIATE).values
    values = (log_hazard * data.events).sum((-2, -1))
    values += (slope * data.score_events).sum(-1) + effects @ data.covariate_events
    for pattern, score, weight in zip(data.patterns, data.score, data.weight, strict=True):
        arm, covariates = int(pattern[0]), pattern[1:]
        risk = np.exp(slope[..., arm, None, None] * score)
        passed = (weight * risk).sum(-1)
        values -= (np.exp(log_hazard[..., arm, :]) * passed).sum(-1) * np.exp(effects @ covariates)
    coords = {dim: posterior[dim] for dim in SAMPLE_DIMS}
    return xr.DataArray(values, dims=SAMPLE_DIMS, coords=coords, name="patients")


def log_prior(posterior: xr.Dataset, hazard: Hazard, data: AnyExposure) -> xr.Dataset:
    """Log prior density of each free variable, with the variable's own dims."""
    densities = {}
    for name, (prior, _) in free_variables(hazard, data).items():
        scale = step_scale(posterior, hazard, data) if name == "step" else xr.ones_like(posterior[name])
        standard = (posterior[name] / scale).transpose(*posterior[name].dims)
        densities[name] = standard.copy(data=prior.logpdf(standard.values)) - np.log(scale)
    return xr.Dataset(densities)


def step_scale(draws: xr.Dataset, hazard: Hazard, data: AnyExposure) -> xr.DataArray:
    """What the model multiplies the walk's standard normal steps by to sample them evenly."""
    strata = () if hazard.baseline == SHARED else (ARM,)
    information = xr.DataArray(step_information(data, hazard), dims=(*strata, "boundary"))
    return np.sqrt(1.0 + draws[STEP_SD] ** 2 * information)


def draw_prior(hazard: Hazard, data: AnyExposure, *, draws: int, seed: int) -> xr.Dataset:
    """Draws of the prior, dims (chain = 1, draw, ...), with the variables of the posterior.

    Raises
    ------
    InputError
        A prior is flat: an improper prior has no draws.
    """
    rng = np.random.default_rng(seed)
    coords = {CHAIN: [0], DRAW: np.arange(draws)} | coordinates(data)
    variables = {}
    for name, (prior, dims) in free_variables(hazard, data).items():
        if isinstance(prior, Flat):
            raise InputError(f"the prior of {name} is flat, so there is nothing to draw from")
        shape = (1, draws, *(len(coords[dim]) for dim in dims))
        variables[name] = ((*SAMPLE_DIMS, *dims), prior.draw(rng, shape))
    used = {dim for dims, _ in variables.values() for dim in dims} | {ARM, INTERVAL}
    drawn = xr.Dataset(variables, coords={dim: coords[dim] for dim in used})
    if "step" in drawn:
        drawn["step"] = (drawn["step"] * step_scale(drawn, hazard, data)).transpose(*drawn["step"].dims)
    return with_derived(drawn, hazard, data)


def with_derived(draws: xr.Dataset, hazard: Hazard, data: AnyExposure) -> xr.Dataset:
    """Add what the model derives from its free variables: log_hazard, slope when common, and the level over
    time in place of that over events."""
    if hazard.smoothing == INDEPENDENT:
        alpha = draws["log_baseline"]
    else:
        steps = 0.0
        if data.n_intervals > 1:
            steps = draws[STEP_SD] * draws["step"] / step_scale(draws, hazard, data)
        if LEVEL_AT_EVENTS in draws:
            strata = () if hazard.baseline == SHARED else (ARM,)
            shift = xr.DataArray(level_shift(data, hazard), dims=(*strata, "boundary"))
            level = draws[LEVEL_AT_EVENTS] - (steps * shift).sum("boundary")
            draws = draws.assign({LEVEL: level.transpose(*SAMPLE_DIMS, *strata)}).drop_vars(LEVEL_AT_EVENTS)
        alpha = draws[LEVEL].expand_dims({INTERVAL: draws[INTERVAL]}, axis=-1)
        if data.n_intervals > 1:
            basis = xr.DataArray(walk_basis(data.cuts), dims=(INTERVAL, "boundary"))
            alpha = alpha + (steps * basis).sum("boundary")
    if hazard.baseline == SHARED:
        alpha = alpha.expand_dims({ARM: draws[ARM]})
        if len(data.arms) > 1:
            effect = draws[ARM_EFFECT].rename(contrast=ARM).reindex({ARM: list(data.arms)}, fill_value=0.0)
            alpha = alpha + effect
    draws = draws.assign({LOG_HAZARD: alpha.transpose(*SAMPLE_DIMS, ARM, INTERVAL)})
    if hazard.slopes == COMMON:
        draws[SLOPE] = draws["common_slope"].expand_dims({ARM: draws[ARM]}, axis=-1)
    return draws
