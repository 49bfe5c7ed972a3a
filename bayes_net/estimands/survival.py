"""What a fit says about quantities that matter: labelled draws in, labelled draws out.

Every function takes a fit (a DataTree with ``posterior`` and ``constant_data``), of patients, with or without
a ``landmark`` dimension, or of a synthesis, and returns draws with dims (chain, draw, ...). In place of (arm,
shrinkage) a synthesis has curves: whole arms of studies from randomisation. Hazards are constant within
intervals, so integrals are exact. Beyond the last follow-up the open last interval extrapolates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayes_net import schema
from bayes_net.assumptions.assumptions import slope_in_force, varies_over_time
from bayes_net.data.exposure import Exposure, person_time
from bayes_net.data.terms import Shrinkage, covariates_of, measure_of
from bayes_net.errors import InputError, listed
from bayes_net.estimands.synthesis import slopes_of
from bayes_net.inference.closed_form import hazards_by_arm, parameters
from bayes_net.model.likelihoods import cumulative_hazard as accumulated
from bayes_net.model.predictors import log_hazard
from bayes_net.schema import ARM, COVARIATE_EFFECT, INTERVAL, LOG_HAZARD, POINTS_PER_UNIT, SLOPE, TIME

EFFECT = "arm_effect"


def hazard_ratio(fit: xr.DataTree, *, per: float = POINTS_PER_UNIT) -> xr.DataArray:
    """Hazard ratio of each arm for ``per`` points more shrinkage, or of response against none.

    Below 1: shrinkage goes with longer survival. Dims (chain, draw, [landmark,] arm); of a synthesis (chain,
    draw, endpoint, arm, landmark), where "no limit" comes twice: without its bias, and as observed. With a
    slope that varies over time, the geometric mean over time of ``hazard_ratio_by_time``, in which the open
    last interval counts as long as the one before it: no patient has this ratio at all times.

    Raises
    ------
    InputError
        The model has no slope.
    """
    if SLOPE not in fit["posterior"]:
        raise InputError("this model has no slope, so no hazard ratio of shrinkage")
    of_patients = _is_of_patients(fit)
    slope = fit["posterior"][SLOPE] if of_patients else slopes_of(fit["posterior"].to_dataset())
    if not of_patients or isinstance(measure_of(fit.attrs), Shrinkage):
        slope = slope * (per / POINTS_PER_UNIT)
    return np.exp(slope).rename("hazard_ratio")


def hazard_ratio_by_time(
    fit: xr.DataTree, times: Sequence[float] | np.ndarray, *, per: float = POINTS_PER_UNIT
) -> xr.DataArray:
    """Hazard ratio of each arm for ``per`` points more shrinkage, or of response against none, at ``times``
    (months after the landmark), dims (chain, draw, [landmark,] arm, time).

    Between patients who are both still at risk then. A time on a cut-point belongs to the interval that ends
    there. Without a slope that varies over time, the same at all of them.

    Raises
    ------
    InputError
        The model has no slope, or a time is negative or not finite; or it is a synthesis.
    """
    _need_patients(fit, "hazard_ratio has one for every landmark, the same at all times")
    months = np.asarray(times, float)
    if not (np.isfinite(months) & (months >= 0)).all():
        raise InputError(f"times are {list(times)}; expected finite months from 0")
    slope, (start, end) = slope_in_force(fit["posterior"].to_dataset()), _edges(fit)
    if slope is None:
        raise InputError("this model has no slope (slopes = 'none'), so no hazard ratio of shrinkage")
    at = xr.DataArray(
        np.maximum(months, np.finfo(float).tiny), dims=TIME, coords={TIME: list(map(float, times))}
    )
    here = (at > start) & (at <= end)
    by_time = slope.where(here, 0.0).sum(INTERVAL, skipna=False)
    if isinstance(measure_of(fit.attrs), Shrinkage):
        by_time = by_time * (per / POINTS_PER_UNIT)
    return np.exp(by_time).transpose(..., ARM, TIME).rename("hazard_ratio")


def interaction(fit: xr.DataTree, *, per: float = POINTS_PER_UNIT) -> xr.DataArray:
    """Ratio of the hazard ratios of each later arm to the first arm's, dims (..., arm); of patients, and of
    their averages over time where slopes vary."""
    _need_patients(fit, "the slopes of its arms, by hazard_ratio, can be divided by each other")
    ratio = hazard_ratio(fit, per=per)
    return (ratio.isel({ARM: slice(1, None)}) / ratio.isel({ARM: 0}, drop=True)).rename(
        "ratio_of_hazard_ratios"
    )


def arm_hazard_ratio(fit: xr.DataTree, *, shrinkage: Sequence[float] | None = None) -> xr.DataArray:
    """Hazard ratio of each later arm to the first among patients of the given shrinkage (points).

    By default at the measure's reference, or without response: with a slope in each arm the ratio differs
    from one shrinkage to another. Dims (chain, draw, [landmark,] arm, shrinkage); of a synthesis, whose arms
    are compared as a whole, (chain, draw, effect), an endpoint and study each.

    Raises
    ------
    InputError
        There is one arm, or the arms have baselines of their own, or slopes that vary over time and
        ``shrinkage`` is not the reference: then their hazard ratio changes over time. Or no study of a
        synthesis compares arms, or its arms are asked about at a shrinkage.
    """
    posterior = fit["posterior"]
    if not _is_of_patients(fit):
        _need_whole_arms(shrinkage)
        if EFFECT not in posterior:
            raise InputError("no study of this synthesis compares its arms")
        return np.exp(posterior[EFFECT]).rename("arm_hazard_ratio")
    if posterior.sizes[ARM] == 1:
        raise InputError(f"the only arm is {posterior[ARM].values[0]}; a hazard ratio of arms needs two")
    if schema.ARM_EFFECT not in posterior:
        raise InputError(
            "arms with baselines of their own have no single hazard ratio; fit with baseline 'shared', "
            "or compare survival() or rmst() between arms"
        )
    effect = posterior[schema.ARM_EFFECT].rename(contrast=ARM)
    shrinkage = [reference_shrinkage(fit)] if shrinkage is None else shrinkage
    if SLOPE in posterior:
        slope = posterior[SLOPE]
        difference = slope.isel({ARM: slice(1, None)}) - slope.isel({ARM: 0}, drop=True)
        scores = _scores(fit, shrinkage)
        if varies_over_time(posterior) and scores.any():
            raise InputError(
                f"slopes vary over time, and with them the arms' hazard ratio at a shrinkage of "
                f"{listed(f'{points:g}' for points in shrinkage)}; expected {reference_shrinkage(fit):g} "
                "alone, or compare survival() or rmst() between arms"
            )
        effect = effect + difference * scores
    else:
        effect = effect.expand_dims({schema.SHRINKAGE: list(shrinkage)}, axis=-1)
    return np.exp(effect).rename("arm_hazard_ratio")


def reference_shrinkage(fit: xr.DataTree) -> float:
    """The shrinkage in points of a patient whose score is 0; for response, of one without it."""
    measure = measure_of(fit.attrs)
    return measure.reference if isinstance(measure, Shrinkage) else 0.0


def covariate_hazard_ratio(fit: xr.DataTree) -> xr.DataArray:
    """Hazard ratio of each covariate per its scale, dims (chain, draw, [landmark,] covariate).

    Raises
    ------
    InputError
        The model has no covariates; that of a synthesis never has.
    """
    if COVARIATE_EFFECT not in fit["posterior"]:
        raise InputError("this model has no covariates")
    return np.exp(fit["posterior"][COVARIATE_EFFECT]).rename("covariate_hazard_ratio")


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
    start, end = _edges(fit)
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


def _is_of_patients(fit: xr.DataTree) -> bool:
    """A fit of patients knows how shrinkage was measured; one of a synthesis is per 10 points always."""
    return "measure" in fit.attrs


def _need_patients(fit: xr.DataTree, instead: str) -> None:
    if not _is_of_patients(fit):
        raise InputError(f"expected a fit of patients, and this is one of a synthesis: {instead}")


def _need_whole_arms(shrinkage: Sequence[float] | None, covariates: Mapping | None = None) -> None:
    if shrinkage is not None or covariates:
        raise InputError(
            "curves and comparisons of a synthesis are of whole arms; expected neither shrinkage nor "
            "covariates (survival given shrinkage is in the table survival of its analysis)"
        )


def _scores(fit: xr.DataTree, shrinkage: Sequence[float]) -> xr.DataArray:
    points = list(map(float, shrinkage))
    return xr.DataArray(
        measure_of(fit.attrs).score(np.array(points)),
        dims=schema.SHRINKAGE,
        coords={schema.SHRINKAGE: points},
    )


def _hazard(
    fit: xr.DataTree, shrinkage: Sequence[float] | None, covariates: Mapping[str, float | str] | None
) -> xr.DataArray:
    """Hazard per month by arm, ``shrinkage`` and interval, of a synthesis by curve and interval; 0 in
    intervals that only another landmark of a stacked fit has."""
    start, _ = _edges(fit)
    if not _is_of_patients(fit):
        _need_whole_arms(shrinkage, covariates)
        return baseline_hazard(fit).where(start >= 0, 0.0)
    posterior = fit["posterior"].to_dataset()
    scores = _scores(fit, [0.0] if shrinkage is None else shrinkage)
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


def _edges(fit: xr.DataTree) -> tuple[xr.DataArray, xr.DataArray]:
    if "constant_data" not in fit.children:
        raise InputError(
            "the fit does not say where its intervals end, as those of earlier versions; fit anew"
        )
    return fit["constant_data"]["interval_start"], fit["constant_data"]["interval_end"]


def _by_interval(fit: xr.DataTree, times: np.ndarray) -> xr.DataArray:
    """Months of each time spent in each interval, dims ([landmark,] interval, time)."""
    start, end = _edges(fit)
    return (xr.DataArray(times, dims=TIME).clip(start, end) - start).fillna(0.0)


class OverTime(NamedTuple):
    """A quantity of each arm that is constant within the intervals after the landmark: tables, figures and
    sections of the report go through ``OVER_TIME``.

    ``name``: of its figure and its table; ``by_interval``: its draws (chain, draw, arm, interval), for a
    posterior in which it is ``used``; ``column``: of the estimates in its table, "" if it has none;
    ``step_sd``: the free variable whose prior says how much it changes, and ``at`` its draws at any months.
    """

    name: str
    by_interval: Callable[[xr.Dataset], xr.DataArray]
    used: Callable[[xr.Dataset], bool] = lambda posterior: True
    column: str = ""
    step_sd: str = ""
    at: Callable[[xr.DataTree, Sequence[float]], xr.DataArray] | None = None

    @property
    def in_words(self) -> str:
        """Its name as it is written."""
        return self.name.replace("_", " ")


OVER_TIME = (
    OverTime("baseline_hazard", lambda posterior: np.exp(posterior[LOG_HAZARD])),
    OverTime(
        "hazard_ratio_by_time",
        lambda posterior: np.exp(posterior[schema.SLOPE_BY_INTERVAL]),
        varies_over_time,
        column="hr",
        step_sd=schema.SLOPE_STEP_SD,
        at=hazard_ratio_by_time,
    ),
)
