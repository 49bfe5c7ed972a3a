"""What a fit says about quantities that matter: labelled draws in, labelled draws out.

Every function takes a fit (a DataTree with ``posterior`` and ``constant_data``), of patients, with or without
a ``landmark`` dimension, or of a synthesis, and returns draws with dims (chain, draw, ...). In place of (arm,
shrinkage) a synthesis has curves: whole arms of studies from randomisation. Hazards are constant within
intervals, so integrals are exact. Beyond the last follow-up the open last interval extrapolates.

Of several studies each has a baseline hazard of its own. Survival is then the average over the studies, as of
patients who come from them in the proportions in which all analysed patients do, in every arm the same; with
``study`` it is that of one of them. Studies without an arm, of which nothing is known, are left out of its
average, but for arms whose hazards are proportional.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_net import schema
from bayes_net.assumptions.hazard import slope_in_force
from bayes_net.data.exposure import Exposure, refuse_stretches
from bayes_net.data.intervals import person_time
from bayes_net.data.terms import covariates_of
from bayes_net.errors import InputError, listed
from bayes_net.estimands.ratios import interval_edges, is_of_patients, need_whole_arms, scores_of
from bayes_net.inference.closed_form import hazards_by_stratum, parameters
from bayes_net.model.likelihoods import cumulative_hazard as accumulated
from bayes_net.model.predictors import log_hazard
from bayes_net.schema import ARM, COVARIATE_EFFECT, INTERVAL, LOG_HAZARD, STUDY, TIME


def baseline_hazard(fit: xr.DataTree) -> xr.DataArray:
    """Hazard per month at shrinkage reference and covariates 0, dims (..., arm, interval); of a synthesis
    that of each whole arm, dims (..., curve, interval); of several studies dims (..., study, arm, interval),
    which is the prior's where a study has no patient of an arm.

    Raises
    ------
    InputError
        It is a synthesis without curves.
    """
    if LOG_HAZARD not in fit["posterior"]:
        raise InputError("this synthesis has no curves, so no hazard and no survival")
    return np.exp(fit["posterior"][LOG_HAZARD]).rename("hazard")


def study_shares(fit: xr.DataTree) -> xr.DataArray:
    """The share of each study in the averages of each arm, dims ([landmark,] study, arm)."""
    return fit["constant_data"]["study_share"]


def cumulative_hazard(
    fit: xr.DataTree,
    times: Sequence[float] | np.ndarray,
    *,
    shrinkage: Sequence[float] | None = None,
    covariates: Mapping[str, float | str] | None = None,
    study: str | None = None,
) -> xr.DataArray:
    """Cumulative hazard by ``times`` (months after the landmark), dims (..., arm, shrinkage, time).

    Without ``shrinkage`` (points) it is that of patients whose tumours did not change, and in a synthesis
    that of whole arms from randomisation, dims (..., curve, time). ``covariates`` are values as the patient
    table has them, ``{"age": 70, "grade": "G2"}``; those that are not named are at their references. (Of an
    exposure that was not made by ``expose``, they are the values of its columns.)

    Raises
    ------
    InputError
        A synthesis is asked for a shrinkage or covariates, there is no such ``study``, a covariate is not in
        the model, or a value is no number or level of it.
    """
    months = _by_interval(fit, np.asarray(times, float)).assign_coords({TIME: list(map(float, times))})
    hazard = _hazard(fit, shrinkage, covariates, study)
    return _accumulated(fit, hazard, months).transpose(..., TIME)


def survival(
    fit: xr.DataTree,
    times: Sequence[float] | np.ndarray,
    *,
    shrinkage: Sequence[float] | None = None,
    covariates: Mapping[str, float | str] | None = None,
    study: str | None = None,
) -> xr.DataArray:
    """Probability of being free of the event at ``times``, dims and arguments of ``cumulative_hazard``.

    Raises
    ------
    InputError
        As of ``cumulative_hazard``; or the fit is of all follow-up in stretches (``time_dependent``), with
        the shrinkage that each patient had so far. Hazards at one shrinkage then add up to no probability of
        survival: shrinkage is measured only of who is still followed (Kalbfleisch and Prentice 2002,
        doi:10.1002/9781118032985, section 6.3).
    """
    _refuse_so_far(fit, "survival")
    found = cumulative_hazard(fit, times, shrinkage=shrinkage, covariates=covariates, study=study)
    return np.exp(-found).rename("survival")


def conditional_survival(
    fit: xr.DataTree,
    times: Sequence[float] | np.ndarray,
    *,
    given: float,
    shrinkage: Sequence[float] | None = None,
    covariates: Mapping[str, float | str] | None = None,
    study: str | None = None,
) -> xr.DataArray:
    """Probability of being event-free ``times`` months after having been so for ``given`` months."""
    _refuse_so_far(fit, "conditional survival")
    both = [given, *(given + t for t in times)]
    total = cumulative_hazard(fit, both, shrinkage=shrinkage, covariates=covariates, study=study)
    later = total.isel({TIME: slice(1, None)}) - total.isel({TIME: 0}, drop=True)
    return np.exp(-later).assign_coords({TIME: list(map(float, times))}).rename("conditional_survival")


def median_survival(
    fit: xr.DataTree,
    *,
    shrinkage: Sequence[float] | None = None,
    covariates: Mapping[str, float | str] | None = None,
    study: str | None = None,
) -> xr.DataArray:
    """Median survival in months after the landmark, dims (..., arm, shrinkage).

    The time at which the cumulative hazard reaches log 2. A median beyond the last follow-up is an
    extrapolation of the last interval's hazard.
    """
    _refuse_so_far(fit, "median survival")
    hazard = _hazard(fit, shrinkage, covariates, study)
    own = _median(fit, hazard)
    if STUDY not in hazard.dims:
        return own.rename("median")
    own = own.where(study_shares(fit) > 0)
    low, high = (np.log(own.min(STUDY)), np.log(own.max(STUDY)))  # the average's is between the studies'
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        passed = _accumulated(fit, hazard, _months_in(fit, np.exp(middle))) < np.log(2.0)
        low, high = xr.where(passed, middle, low), xr.where(passed, high, middle)
    return np.exp((low + high) / 2).transpose(*own.isel({STUDY: 0}, drop=True).dims).rename("median")


_HALVINGS = 52
"""Of the logarithm of the median of an average over studies: beyond them floats do not differ."""


def _accumulated(fit: xr.DataTree, hazard: xr.DataArray, months: xr.DataArray) -> xr.DataArray:
    """Cumulative hazard after ``months`` of each interval, of several studies that of their average."""
    each = xr.dot(hazard, months, dim=INTERVAL)
    if STUDY not in hazard.dims:
        return each
    return -np.log(_average(fit, np.exp(-each)))


def _average(fit: xr.DataTree, of_studies: xr.DataArray) -> xr.DataArray:
    return (of_studies * study_shares(fit)).sum(STUDY, skipna=False)


def _median(fit: xr.DataTree, hazard: xr.DataArray) -> xr.DataArray:
    """When the cumulative hazard of each reaches log 2."""
    start, end = interval_edges(fit)
    reached = (hazard * (end - start).where(np.isfinite(end), 0.0)).cumsum(INTERVAL)
    before = reached.shift({INTERVAL: 1}, fill_value=0.0)
    needed = np.log(2.0) - before
    crosses = (needed > 0) & ((reached >= np.log(2.0)) | ~np.isfinite(end))
    first = crosses & (crosses.cumsum(INTERVAL) == 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # no hazard at all: never reached, infinite
        reached_at = start + needed / hazard
    median = reached_at.where(first, 0.0).sum(INTERVAL)
    return median.where(hazard.sum(INTERVAL, skipna=False) >= 0)


def rmst(
    fit: xr.DataTree,
    *,
    horizon: float,
    shrinkage: Sequence[float] | None = None,
    covariates: Mapping[str, float | str] | None = None,
    study: str | None = None,
) -> xr.DataArray:
    """Restricted mean survival time to ``horizon`` months after the landmark, dims (..., arm, shrinkage).

    The area under S(t), exact for piecewise-constant hazards. Royston and Parmar 2013,
    doi:10.1186/1471-2288-13-152.
    """
    _refuse_so_far(fit, "the restricted mean")
    hazard = _hazard(fit, shrinkage, covariates, study)
    months = _by_interval(fit, np.array([horizon])).isel({TIME: 0}, drop=True)
    pieces = hazard * months
    at_start = np.exp(-(pieces.cumsum(INTERVAL, skipna=False) - pieces))
    found = (at_start * average_survival(pieces) * months).sum(INTERVAL, skipna=False)
    return (_average(fit, found) if STUDY in found.dims else found).rename("rmst")


def _refuse_so_far(fit: xr.DataTree, what: str) -> None:
    """Raise an ``InputError`` for a fit of follow-up in stretches, whose shrinkage is that so far."""
    if "constant_data" in fit.children and bool(
        fit["constant_data"].get("in_stretches", xr.DataArray(False)).any()
    ):
        raise InputError(
            f"{what} is asked of a fit of all follow-up, with the shrinkage that each patient had so far; "
            "nobody has one shrinkage from the start to death, and its hazards mean no survival. Expected "
            "a fit from a landmark on, as of expose; cumulative_hazard adds up hazards at one shrinkage"
        )


def average_survival(pieces: Any) -> Any:
    """Average probability of being free of the event over an interval with these cumulative hazards:
    (1 - exp(-H)) / H, which is 1 where there is no hazard."""
    pieces = np.maximum(pieces, np.finfo(float).tiny)
    return -np.expm1(-pieces) / pieces


def standardised_survival(
    fit: xr.DataTree,
    data: Exposure,
    times: Sequence[float] | np.ndarray,
    *,
    weights: np.ndarray | None = None,
) -> xr.DataArray:
    """Survival averaged over each arm's own patients, as a Kaplan-Meier curve is, with their ``weights``,
    (patient,), or (chain, draw, patient) where each draw has its own.

    Dims (chain, draw, arm, time). For one landmark's fit and the exposure it was fitted to; each patient has
    the baseline of its own study.
    """
    refuse_stretches(data, "survival of an arm")
    drawn, months = (
        parameters(fit["posterior"].to_dataset()),
        person_time(np.asarray(times, float), data.cuts),
    )
    weight = np.ones(data.n) if weights is None else weights
    total = np.stack([weight[..., data.arm == a].sum(axis=-1) for a in range(len(data.arms))], axis=-1)
    curves = np.zeros((*drawn.baseline.shape[:2], len(data.arms), len(months)))
    curves[:, :, data.n_by_arm == 0] = np.nan
    for a, own, baseline, added in hazards_by_stratum(drawn, data):
        hazard, relative = np.exp(baseline), np.exp(added)
        for j, passed in enumerate(months):
            alive = np.exp(-accumulated(hazard, relative, passed[None, :]))
            curves[:, :, a, j] += np.einsum("...i,...i", alive, weight[..., own]) / total[..., a]
    coords = {dim: fit["posterior"][dim].values for dim in schema.SAMPLE_DIMS}
    coords |= {ARM: list(data.arms), TIME: list(map(float, times))}
    return xr.DataArray(curves, dims=(*schema.SAMPLE_DIMS, ARM, TIME), coords=coords, name="survival")


def _hazard(
    fit: xr.DataTree,
    shrinkage: Sequence[float] | None,
    covariates: Mapping[str, float | str] | None,
    study: str | None = None,
) -> xr.DataArray:
    """Hazard per month by arm, ``shrinkage`` and interval, of a synthesis by curve and interval, of several
    studies by study too, or of one ``study``; 0 in intervals that only another landmark of a stacked fit
    has."""
    start, _ = interval_edges(fit)
    if not is_of_patients(fit):
        need_whole_arms(shrinkage, covariates)
        if study is not None:
            raise InputError("every curve of a synthesis is of one study; expected no study")
        return baseline_hazard(fit).where(start >= 0, 0.0)
    posterior = fit["posterior"].to_dataset()
    scores = scores_of(fit, [0.0] if shrinkage is None else shrinkage)
    effect = xr.zeros_like(scores)
    for name, value in _coded(fit, covariates or {}).items():
        effect = effect + posterior[COVARIATE_EFFECT].sel({schema.COVARIATE: name}, drop=True) * value
    log_h = log_hazard(posterior[LOG_HAZARD], slope_in_force(posterior), scores, effect)
    hazard = np.exp(log_h).where(start >= 0, 0.0)
    if study is None:
        return hazard
    studies = posterior[STUDY].values.tolist() if STUDY in posterior.dims else []
    if study not in studies:
        known = listed(studies) or "none: all patients share their baselines"
        raise InputError(f"study {study!r} has no baseline of its own; those that have are {known}")
    return hazard.sel({STUDY: study}, drop=True).where(study_shares(fit).sel({STUDY: study}, drop=True) > 0)


def _coded(fit: xr.DataTree, covariates: Mapping[str, float | str]) -> dict[str, float | xr.DataArray]:
    """Values of covariates as the columns of the model have them; columns of one arm, by arm."""
    terms = covariates_of(fit.attrs)
    posterior = fit["posterior"]
    columns = posterior[schema.COVARIATE].values.tolist() if COVARIATE_EFFECT in posterior else []
    known = list(terms) or columns
    found: dict[str, float | xr.DataArray] = {}
    for name, value in covariates.items():
        if name not in known:
            raise InputError(f"covariate {name!r} is not in the model; it has {', '.join(known) or 'none'}")
        found |= terms[name].coded(value) if terms else {name: float(value)}
        of_arms = terms[name].arm_of if terms else {}
        found |= {column: found[column] * (posterior[ARM] == arm) for column, arm in of_arms.items()}
    return found


def _by_interval(fit: xr.DataTree, times: np.ndarray) -> xr.DataArray:
    """Months of each time spent in each interval, dims ([landmark,] interval, time)."""
    return _months_in(fit, xr.DataArray(times, dims=TIME))


def _months_in(fit: xr.DataTree, times: xr.DataArray) -> xr.DataArray:
    start, end = interval_edges(fit)
    return (times.clip(start, end) - start).where(start >= 0, 0.0)
