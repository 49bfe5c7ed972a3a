"""The hazard model's log-likelihood, log-prior and prior draws in closed form, on labelled arrays.

They are computed from draws after sampling (no compiling), and are what the PyMC graph is tested
against.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayes_net import schema
from bayes_net.assumptions import hazard as assumptions
from bayes_net.assumptions.hazard import SHARED, Hazard, free_variables, level_shift, slope_in_force, walks_of
from bayes_net.assumptions.priors import INDEPENDENT, Flat
from bayes_net.data.aggregated import AggregatedExposure, AnyExposure
from bayes_net.data.exposure import Exposure, months_between, months_without
from bayes_net.data.intervals import inverse_cumulative, person_time
from bayes_net.errors import InputError
from bayes_net.model.likelihoods import cumulative_hazard, log_likelihood_of_sums
from bayes_net.model.predictors import coordinates, log_hazard
from bayes_net.schema import (
    ARM,
    CHAIN,
    DRAW,
    INTERVAL,
    LEVEL_AT_EVENTS,
    LOG_HAZARD,
    SAMPLE_DIMS,
    STEP_SD,
    STUDY,
)


class Parameters(NamedTuple):
    """Draws of what patients' hazards are made of as plain arrays, chain and draw first.

    ``baseline``: log hazard (stratum, interval) at score and covariates 0; ``slope`` (arm, interval, or 1
    where it is the same in all), 0 in a model without; ``log_hr`` (covariate).
    """

    baseline: np.ndarray
    slope: np.ndarray
    log_hr: np.ndarray


def parameters(draws: xr.Dataset) -> Parameters:
    """The parameters of ``draws``."""

    def values(name: str, *dims: str) -> np.ndarray:
        return draws[name].transpose(*SAMPLE_DIMS, *dims).values

    of_study = [STUDY] if STUDY in draws[LOG_HAZARD].dims else []
    baseline, slope = values(LOG_HAZARD, *of_study, ARM, INTERVAL), slope_in_force(draws)
    baseline = baseline.reshape(*baseline.shape[:2], -1, baseline.shape[-1])
    if slope is None:
        slope = xr.zeros_like(draws[LOG_HAZARD].isel({INTERVAL: 0, **dict.fromkeys(of_study, 0)}, drop=True))
    if INTERVAL not in slope.dims:
        slope = slope.expand_dims(INTERVAL)
    slope = slope.transpose(*SAMPLE_DIMS, ARM, INTERVAL).values
    return Parameters(
        baseline,
        slope,
        values(schema.COVARIATE_EFFECT, schema.COVARIATE)
        if schema.COVARIATE_EFFECT in draws
        else np.zeros((*baseline.shape[:2], 0)),
    )


def hazards_by_stratum(
    drawn: Parameters, data: Exposure
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Of every baseline with patients: the index of its arm, whose rows are its, its log hazard at score and
    covariates 0, (chain, draw, interval), and what each patient adds to it, (chain, draw, patient, interval
    or 1)."""
    stratum = data.stratum
    for s in np.unique(stratum):
        own, a = stratum == s, int(s) % len(data.arms)
        effect = (drawn.log_hr @ data.covariates[own].T)[..., None]
        added = log_hazard(0.0, drawn.slope[..., a, None, :], data.score[own][:, None], effect)
        yield a, own, drawn.baseline[..., s, :], added


def log_hazard_of_nodes(drawn: Parameters, patterns: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Log hazard at nodes with these scores (pattern, interval, node), (chain, draw, pattern, interval,
    node)."""
    stratum, effect = patterns[:, 0].astype(int), drawn.log_hr @ patterns[:, 1:].T
    arm = stratum % drawn.slope.shape[-2]
    baseline, slope = drawn.baseline[..., stratum, :, None], drawn.slope[..., arm, :, None]
    return log_hazard(baseline, slope, score, effect[..., None, None])


def event_times(
    log_baseline: np.ndarray,
    added: np.ndarray,
    starts: np.ndarray,
    residual: np.ndarray,
    *,
    since: np.ndarray | float = 0.0,
    factor: float = 1.0,
) -> np.ndarray:
    """When the cumulative hazard of each patient of a stratum, times ``factor``, has grown by ``residual``
    since ``since`` months; infinite if it never does.

    ``log_baseline`` (interval,) is the stratum's, or (patient, interval) that of each patient's draw;
    ``added`` (patient, interval or 1) each patient's.
    """
    relative = np.exp(added)
    hazard = np.exp(log_baseline) * (relative / relative[:, :1])
    months = person_time(np.broadcast_to(since, residual.shape), starts[1:])
    with np.errstate(divide="ignore", over="ignore"):  # a factor of 0 has no event, at any time
        target = (hazard * months).sum(axis=1) + residual / (factor * relative[:, 0])
    return inverse_cumulative(hazard, starts, target)


def log_likelihood(posterior: xr.Dataset, data: AnyExposure) -> xr.DataArray:
    """Log-likelihood of each patient, dims (chain, draw, patient): event * log h - H, or, of an event between
    two assessments, log(S at the first - S at the second).

    ``patient`` is a row number, never an identifier. Of aggregated patients only the sum is known, dims
    (chain, draw).
    """
    drawn = parameters(posterior)
    if isinstance(data, AggregatedExposure):
        coords = {dim: posterior[dim] for dim in SAMPLE_DIMS}
        return xr.DataArray(_sum_of(drawn, data), dims=SAMPLE_DIMS, coords=coords, name="patients")
    months, between = months_without(data), np.zeros((data.rows, data.n_intervals))
    between[data.between] = months_between(data)
    values = np.empty((*drawn.baseline.shape[:2], data.rows))
    for _, own, baseline, added in hazards_by_stratum(drawn, data):
        k = data.interval[own]
        by_interval = np.broadcast_to(added, (*added.shape[:-1], data.n_intervals))
        at_event = baseline[..., k] + by_interval[..., np.arange(len(k)), k]
        expected = cumulative_hazard(np.exp(baseline), np.exp(added), months[own])
        seen = data.between[own]
        values[..., own] = np.where(seen, 0.0, data.event[own]) * at_event - expected
        if seen.any():
            hazard = cumulative_hazard(np.exp(baseline), np.exp(added[..., seen, :]), between[own][seen])
            values[..., np.flatnonzero(own)[seen]] += np.log(-np.expm1(-hazard))
    if data.patient is not None:
        order = np.argsort(data.patient, kind="stable")
        first = np.unique(data.patient[order], return_index=True)[1]
        values = np.add.reduceat(values[..., order], first, axis=-1)
    return xr.DataArray(
        values,
        dims=(*SAMPLE_DIMS, schema.PATIENT),
        coords={CHAIN: posterior[CHAIN], DRAW: posterior[DRAW], schema.PATIENT: np.arange(data.n)},
        name="patients",
    )


def _sum_of(drawn: Parameters, data: AggregatedExposure) -> np.ndarray:
    """The sum over patients, (chain, draw)."""
    expected = 0.0
    for p in range(len(data.patterns)):  # one by one: all patterns of all draws may be gigabytes
        log_h = log_hazard_of_nodes(drawn, data.patterns[p : p + 1], data.score[p])
        expected = expected + (data.weight[p] * np.exp(log_h)).sum(axis=(-3, -2, -1))
    return log_likelihood_of_sums(expected, assumptions.sums_at_events(data, drawn.slope.shape[-1]), *drawn)


def log_prior(posterior: xr.Dataset, hazard: Hazard, data: AnyExposure) -> xr.Dataset:
    """Log prior density of each free variable, with the variable's own dims."""
    free = {name: (posterior[name], own.prior) for name, own in free_variables(hazard, data).items()}
    return xr.Dataset({name: x.copy(data=prior.logpdf(x.values)) for name, (x, prior) in free.items()})


def as_defined(sampled: xr.Dataset, hazard: Hazard, data: AnyExposure) -> xr.Dataset:
    """The free variables of ``hazard_model`` from those that the engine samples (``patients_posterior``)."""
    if LEVEL_AT_EVENTS not in sampled:
        return sampled
    strata = walks_of(hazard, data)
    step = sampled["step"] / step_scale(sampled, hazard, data)
    shift = xr.DataArray(level_shift(data, hazard), dims=(*strata, "boundary"))
    level = sampled[LEVEL_AT_EVENTS] - (sampled[STEP_SD] * step * shift).sum("boundary")
    defined = {
        schema.LEVEL: level.transpose(*SAMPLE_DIMS, *strata),
        "step": step.transpose(*SAMPLE_DIMS, *strata, "boundary"),
    }
    return sampled.drop_vars(LEVEL_AT_EVENTS).assign(defined)


def step_scale(draws: xr.Dataset, hazard: Hazard, data: AnyExposure) -> xr.DataArray:
    """What the engine multiplies the walk's standard normal steps by to sample them evenly."""
    strata = walks_of(hazard, data)
    information = xr.DataArray(assumptions.step_information(data, hazard), dims=(*strata, "boundary"))
    return np.sqrt(1.0 + draws[STEP_SD] ** 2 * information)


def draw_prior(hazard: Hazard, data: AnyExposure, *, draws: int, seed: int) -> xr.Dataset:
    """Draws of the prior, dims (chain = 1, draw, ...), with the variables of the posterior."""
    rng = np.random.default_rng(seed)
    coords: dict[str, Any] = {CHAIN: [0], DRAW: np.arange(draws)} | coordinates(data)
    variables = {}
    for name, free in free_variables(hazard, data).items():
        if isinstance(free.prior, Flat):
            raise InputError(f"the prior of {name} is flat, so there is nothing to draw from")
        shape = (1, draws, *(len(coords[dim]) for dim in free.dims))
        variables[name] = ((*SAMPLE_DIMS, *free.dims), free.prior.draw(rng, shape))
    used = {dim for dims, _ in variables.values() for dim in dims} | {ARM, INTERVAL}
    return with_derived(xr.Dataset(variables, {dim: coords[dim] for dim in used}), hazard, data)


def with_derived(draws: xr.Dataset, hazard: Hazard, data: AnyExposure) -> xr.Dataset:
    """Add what ``hazard_model`` derives from its free variables: log_hazard, slope when common, and its
    values by interval when they vary over time."""
    at = assumptions.centre(hazard, data)
    if hazard.smoothing == INDEPENDENT:
        alpha = draws["log_baseline"]
    else:
        alpha = draws[schema.LEVEL].expand_dims({INTERVAL: draws[INTERVAL]}, axis=-1)
        if data.n_intervals > 1:
            basis = xr.DataArray(assumptions.walk_basis(data.cuts), dims=(INTERVAL, "boundary"))
            alpha = alpha + (draws[STEP_SD] * draws["step"] * basis).sum("boundary")
    if hazard.baseline == SHARED:
        alpha = alpha.expand_dims({ARM: draws[ARM]})
        if len(data.arms) > 1:
            contrasts = xr.DataArray(
                at.contrasts,
                dims=(ARM, schema.CONTRAST),
                coords={ARM: list(data.arms), schema.CONTRAST: list(data.arms[1:])},
            )
            alpha = alpha + (contrasts * draws[schema.ARM_EFFECT]).sum(schema.CONTRAST)
    found = assumptions.with_slopes(draws, hazard, data)
    if (slope := slope_in_force(found)) is not None:
        alpha = alpha - at.score * slope
    if data.covariate_names:
        effect = found[schema.COVARIATE_EFFECT]
        average = xr.DataArray(at.covariates, {ARM: draws[ARM]}, (ARM, schema.COVARIATE))
        alpha = alpha - (effect * average).sum(schema.COVARIATE)
    return found.assign({LOG_HAZARD: alpha.transpose(*SAMPLE_DIMS, *data.strata_dims, INTERVAL)})
