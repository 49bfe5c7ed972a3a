"""What a fit says about quantities that matter: labelled draws in, labelled draws out.

Every function takes a fit (a DataTree with ``posterior`` and ``constant_data``), of patients, with or without
a ``landmark`` dimension, or of a synthesis, and returns draws with dims (chain, draw, ...). In place of (arm,
shrinkage) a synthesis has curves: whole arms of studies from randomisation. Hazards are constant within
intervals, so integrals are exact. Beyond the last follow-up the open last interval extrapolates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_net import schema
from bayes_net.assumptions.hazard import slope_in_force
from bayes_net.data.exposure import Exposure, person_time, refuse_stretches
from bayes_net.data.follow_up import TRANSITIONS
from bayes_net.data.terms import covariates_of
from bayes_net.errors import InputError, listed
from bayes_net.estimands.ratios import (
    interval_edges,
    is_of_patients,
    need_whole_arms,
    scores_of,
)
from bayes_net.inference.closed_form import hazards_by_arm, parameters
from bayes_net.model.likelihoods import cumulative_hazard as accumulated
from bayes_net.model.predictors import log_hazard
from bayes_net.schema import ARM, COVARIATE_EFFECT, INTERVAL, LOG_HAZARD, STATE, TIME

STATES = ("alive without progression", "alive with progression", "dead")
"""States of an illness-death model."""


def baseline_hazard(fit: xr.DataTree) -> xr.DataArray:
    """Hazard per month at shrinkage reference and covariates 0, dims (..., arm, interval); of a synthesis
    that of each whole arm, dims (..., curve, interval).

    Raises
    ------
    InputError
        It is a synthesis without curves.
    """
    if LOG_HAZARD not in fit["posterior"]:
        raise InputError("this synthesis has no curves, so no hazard and no survival")
    return np.exp(fit["posterior"][LOG_HAZARD]).rename("hazard")


def cumulative_hazard(
    fit: xr.DataTree,
    times: Sequence[float] | np.ndarray,
    *,
    shrinkage: Sequence[float] | None = None,
    covariates: Mapping[str, float | str] | None = None,
) -> xr.DataArray:
    """Cumulative hazard by ``times`` (months after the landmark), dims (..., arm, shrinkage, time).

    Without ``shrinkage`` (points) it is that of patients whose tumours did not change, and in a synthesis
    that of whole arms from randomisation, dims (..., curve, time). ``covariates`` are values as the patient
    table has them, ``{"age": 70, "grade": "G2"}``; those that are not named are at their references. (Of an
    exposure that was not made by ``expose``, they are the values of its columns.)

    Raises
    ------
    InputError
        A synthesis is asked for a shrinkage or covariates, a covariate is not in the model, or a value is
        no number or level of it.
    """
    months = _by_interval(fit, np.asarray(times, float)).assign_coords({TIME: list(map(float, times))})
    return xr.dot(_hazard(fit, shrinkage, covariates), months, dim=INTERVAL).transpose(..., TIME)


def survival(
    fit: xr.DataTree,
    times: Sequence[float] | np.ndarray,
    *,
    shrinkage: Sequence[float] | None = None,
    covariates: Mapping[str, float | str] | None = None,
) -> xr.DataArray:
    """Probability of being free of the event at ``times``, dims and arguments of ``cumulative_hazard``."""
    return np.exp(-cumulative_hazard(fit, times, shrinkage=shrinkage, covariates=covariates)).rename(
        "survival"
    )


def conditional_survival(
    fit: xr.DataTree,
    times: Sequence[float] | np.ndarray,
    *,
    given: float,
    shrinkage: Sequence[float] | None = None,
    covariates: Mapping[str, float | str] | None = None,
) -> xr.DataArray:
    """Probability of being event-free ``times`` months after having been so for ``given`` months."""
    both = [given, *(given + t for t in times)]
    total = cumulative_hazard(fit, both, shrinkage=shrinkage, covariates=covariates)
    later = total.isel({TIME: slice(1, None)}) - total.isel({TIME: 0}, drop=True)
    return np.exp(-later).assign_coords({TIME: list(map(float, times))}).rename("conditional_survival")


def median_survival(
    fit: xr.DataTree,
    *,
    shrinkage: Sequence[float] | None = None,
    covariates: Mapping[str, float | str] | None = None,
) -> xr.DataArray:
    """Median survival in months after the landmark, dims (..., arm, shrinkage).

    The time at which the cumulative hazard reaches log 2. A median beyond the last follow-up is an
    extrapolation of the last interval's hazard.
    """
    hazard = _hazard(fit, shrinkage, covariates)
    start, end = interval_edges(fit)
    reached = (hazard * (end - start).where(np.isfinite(end), 0.0)).cumsum(INTERVAL)
    before = reached.shift({INTERVAL: 1}, fill_value=0.0)
    needed = np.log(2.0) - before
    crosses = (needed > 0) & ((reached >= np.log(2.0)) | ~np.isfinite(end))
    first = crosses & (crosses.cumsum(INTERVAL) == 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # no hazard at all: never reached, infinite
        reached_at = start + needed / hazard
    median = reached_at.where(first, 0.0).sum(INTERVAL)
    return median.where(hazard.sum(INTERVAL, skipna=False) >= 0).rename("median")


def rmst(
    fit: xr.DataTree,
    *,
    horizon: float,
    shrinkage: Sequence[float] | None = None,
    covariates: Mapping[str, float | str] | None = None,
) -> xr.DataArray:
    """Restricted mean survival time to ``horizon`` months after the landmark, dims (..., arm, shrinkage).

    The area under S(t), exact for piecewise-constant hazards. Royston and Parmar 2013,
    doi:10.1186/1471-2288-13-152.
    """
    hazard = _hazard(fit, shrinkage, covariates)
    months = _by_interval(fit, np.array([horizon])).isel({TIME: 0}, drop=True)
    pieces = hazard * months
    at_start = np.exp(-(pieces.cumsum(INTERVAL, skipna=False) - pieces))
    return (at_start * average_survival(pieces) * months).sum(INTERVAL, skipna=False).rename("rmst")


def average_survival(pieces: Any) -> Any:
    """Average probability of being free of the event over an interval with these cumulative hazards:
    (1 - exp(-H)) / H, which is 1 where there is no hazard."""
    pieces = np.maximum(pieces, np.finfo(float).tiny)
    return -np.expm1(-pieces) / pieces


def standardised_survival(
    fit: xr.DataTree, data: Exposure, times: Sequence[float] | np.ndarray
) -> xr.DataArray:
    """Survival averaged over each arm's own patients, as a Kaplan-Meier curve is.

    Dims (chain, draw, arm, time). For one landmark's fit and the exposure it was fitted to.
    """
    refuse_stretches(data, "survival of an arm")
    drawn, months = (
        parameters(fit["posterior"].to_dataset()),
        person_time(np.asarray(times, float), data.cuts),
    )
    curves = np.full((*drawn.baseline.shape[:3], len(months)), np.nan)
    for a, _, baseline, added in hazards_by_arm(drawn, data):
        hazard, relative = np.exp(baseline), np.exp(added)
        for j, passed in enumerate(months):
            curves[:, :, a, j] = np.exp(-accumulated(hazard, relative, passed[None, :])).mean(axis=-1)
    coords = {dim: fit["posterior"][dim].values for dim in schema.SAMPLE_DIMS}
    coords |= {ARM: list(data.arms), TIME: list(map(float, times))}
    return xr.DataArray(curves, dims=(*schema.SAMPLE_DIMS, ARM, TIME), coords=coords, name="survival")


def state_probabilities(
    fits: Mapping[str, xr.DataTree],
    data: Exposure,
    times: Sequence[float] | np.ndarray,
    *,
    shrinkage: Sequence[float],
) -> xr.DataArray:
    """Probability of each of the ``STATES`` of an illness-death model at ``times`` (months after the
    landmark), of patients who are without progression at the landmark: dims (chain, draw, state, arm,
    shrinkage, time).

    ``fits`` are of the exposures of ``transitions``, by the names of the transitions. ``data`` is that of
    progression, over whose covariates, of all arms together, is averaged (g-computation): arms and shrinkages
    are then compared in patients with the same covariates. The hazard of death after progression depends on
    the time since the landmark, not on that since progression (Markov). Exact for piecewise-constant hazards.
    Survival is the sum of the first two states.

    Reference: Andersen and Keiding 2002, doi:10.1191/0962280202sm276ra.

    Raises
    ------
    InputError
        A transition is missing.
    """
    if missing := [name for name in TRANSITIONS if name not in fits]:
        raise InputError(
            f"fits of {listed(fits)}; expected those of {listed(TRANSITIONS)}, without {missing[0]}"
        )
    grid, total = np.asarray(times, float), 0.0
    cuts = np.concatenate([fits[name]["constant_data"]["interval_start"].values for name in TRANSITIONS])
    edges = np.unique(np.concatenate([[0.0], cuts, grid]))
    edges = edges[edges <= grid.max(initial=0.0)]
    patterns, counts = np.unique(data.covariates, axis=0, return_counts=True)
    for row, count in zip(patterns, counts, strict=True):
        hazards = [_hazard_within(fits[name], edges[:-1], shrinkage, row) for name in TRANSITIONS]
        probability = _occupied(hazards[0], hazards[1], hazards[2], np.diff(edges))
        total = total + probability[..., np.searchsorted(edges, grid)] * count / data.n
    fit, arms = fits[TRANSITIONS[0]], list(data.arms)
    coords = {dim: fit["posterior"][dim].values for dim in schema.SAMPLE_DIMS}
    coords |= {STATE: list(STATES), ARM: arms, schema.SHRINKAGE: list(map(float, shrinkage))}
    dims = (STATE, *schema.SAMPLE_DIMS, ARM, schema.SHRINKAGE, TIME)
    found = xr.DataArray(total, {**coords, TIME: grid.tolist()}, dims, name="probability")
    return found.transpose(*schema.SAMPLE_DIMS, STATE, ...)


def _hazard_within(
    fit: xr.DataTree, starts: np.ndarray, shrinkage: Sequence[float], covariates: np.ndarray
) -> np.ndarray:
    """Hazard per month from each of ``starts`` on, of patients with these columns of covariates: (chain,
    draw, arm, shrinkage, start)."""
    posterior, scores = fit["posterior"].to_dataset(), scores_of(fit, shrinkage)
    effect = xr.zeros_like(scores)
    if len(covariates):
        effect = effect + (posterior[COVARIATE_EFFECT] * covariates).sum(schema.COVARIATE)
    log_h = log_hazard(posterior[LOG_HAZARD], slope_in_force(posterior), scores, effect)
    own = np.searchsorted(fit["constant_data"]["interval_start"].values, starts, side="right") - 1
    return np.exp(log_h).transpose(*schema.SAMPLE_DIMS, ARM, schema.SHRINKAGE, INTERVAL).values[..., own]


def _occupied(progress: np.ndarray, die: np.ndarray, die_after: np.ndarray, months: np.ndarray) -> np.ndarray:
    """Probability of each state, (state, ..., edge), from hazards that are constant between edges."""
    without, having = np.ones(progress.shape[:-1]), np.zeros(progress.shape[:-1])
    found = [(without, having)]
    for k, length in enumerate(months):
        left, after = (progress[..., k] + die[..., k]) * length, die_after[..., k] * length
        # who progresses within the interval, and lives until its end
        entering = progress[..., k] * length * np.exp(-np.minimum(left, after))
        having = having * np.exp(-after) + without * entering * average_survival(np.abs(left - after))
        without = without * np.exp(-left)
        found.append((without, having))
    alive = np.stack([np.stack(both) for both in found], axis=-1)
    return np.concatenate([alive, 1.0 - alive.sum(axis=0, keepdims=True)])


def _hazard(
    fit: xr.DataTree, shrinkage: Sequence[float] | None, covariates: Mapping[str, float | str] | None
) -> xr.DataArray:
    """Hazard per month by arm, ``shrinkage`` and interval, of a synthesis by curve and interval; 0 in
    intervals that only another landmark of a stacked fit has."""
    start, _ = interval_edges(fit)
    if not is_of_patients(fit):
        need_whole_arms(shrinkage, covariates)
        return baseline_hazard(fit).where(start >= 0, 0.0)
    posterior = fit["posterior"].to_dataset()
    scores = scores_of(fit, [0.0] if shrinkage is None else shrinkage)
    effect = xr.zeros_like(scores)
    for name, value in _coded(fit, covariates or {}).items():
        effect = effect + posterior[COVARIATE_EFFECT].sel({schema.COVARIATE: name}, drop=True) * value
    log_h = log_hazard(posterior[LOG_HAZARD], slope_in_force(posterior), scores, effect)
    return np.exp(log_h).where(start >= 0, 0.0)


def _coded(fit: xr.DataTree, covariates: Mapping[str, float | str]) -> dict[str, float]:
    """Values of covariates as the columns of the model have them."""
    terms = covariates_of(fit.attrs)
    posterior = fit["posterior"]
    columns = posterior[schema.COVARIATE].values.tolist() if COVARIATE_EFFECT in posterior else []
    known = list(terms) or columns
    found: dict[str, float] = {}
    for name, value in covariates.items():
        if name not in known:
            raise InputError(f"covariate {name!r} is not in the model; it has {', '.join(known) or 'none'}")
        found |= terms[name].coded(value) if terms else {name: float(value)}
    return found


def _by_interval(fit: xr.DataTree, times: np.ndarray) -> xr.DataArray:
    """Months of each time spent in each interval, dims ([landmark,] interval, time)."""
    start, end = interval_edges(fit)
    return (xr.DataArray(times, dims=TIME).clip(start, end) - start).fillna(0.0)
