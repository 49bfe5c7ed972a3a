"""Hazard ratios of a fit of either line: of shrinkage, arms and covariates; and what varies over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from bayes_net import schema
from bayes_net.assumptions.hazard import slope_in_force, varies_over_time
from bayes_net.data.terms import Shrinkage, covariates_of, measure_of
from bayes_net.errors import InputError, listed
from bayes_net.estimands.synthesis import slopes_of
from bayes_net.schema import (
    ARM,
    COVARIATE,
    COVARIATE_EFFECT,
    INTERVAL,
    LOG_HAZARD,
    POINTS_PER_UNIT,
    SLOPE,
    TIME,
)

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
    of_patients = is_of_patients(fit)
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
    slope, (start, end) = slope_in_force(fit["posterior"].to_dataset()), interval_edges(fit)
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
    from one shrinkage to another. Covariates are 0, as in ``log_hazard``; with slopes that vary over time it
    is the geometric mean over time, as in ``hazard_ratio``. Dims (chain, draw, [landmark,] arm, shrinkage);
    of a synthesis, whose arms are compared as a whole, (chain, draw, effect), an endpoint and study each.

    Raises
    ------
    InputError
        There is one arm, or the arms have baselines of their own, or slopes that vary over time and
        ``shrinkage`` is not the reference: then their hazard ratio changes over time. Or no study of a
        synthesis compares arms, or its arms are asked about at a shrinkage.
    """
    posterior = fit["posterior"]
    if not is_of_patients(fit):
        need_whole_arms(shrinkage)
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
    # of the hazards: the model's own contrast may be that of average patients (assumptions.hazard.centre)
    hazards = posterior[LOG_HAZARD]
    effect = hazards.isel({ARM: slice(1, None)}) - hazards.isel({ARM: 0}, drop=True)
    if varies_over_time(posterior):
        effect = effect.weighted(_interval_weights(fit))
    effect = effect.mean([dim for dim in (schema.STUDY, INTERVAL) if dim in hazards.dims])
    shrinkage = [reference_shrinkage(fit)] if shrinkage is None else shrinkage
    if SLOPE in posterior:
        slope = posterior[SLOPE]
        difference = slope.isel({ARM: slice(1, None)}) - slope.isel({ARM: 0}, drop=True)
        scores = scores_of(fit, shrinkage)
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


def covariate_interaction(fit: xr.DataTree, *, among: Sequence[str] | None = None) -> xr.DataArray:
    """Ratio of each covariate's hazard ratio in each later arm to that in the first, dims (chain, draw,
    [landmark,] covariate).

    Of covariates that have hazard ratios in each arm; without any, empty. ``among`` are the columns that are
    compared, by default all.
    """
    effects = fit["posterior"][COVARIATE_EFFECT].to_dataset(dim=COVARIATE)
    known = effects if among is None else among
    pairs = {k: v for each in covariates_of(fit.attrs).values() for k, v in each.against_first.items()}
    pairs = {name: pair for name, pair in pairs.items() if set(pair) <= set(known)}
    if not pairs:
        return fit["posterior"][COVARIATE_EFFECT].isel({COVARIATE: slice(0)})
    found = [np.exp(effects[later] - effects[first]) for later, first in pairs.values()]
    return xr.concat(found, dim=COVARIATE).assign_coords({COVARIATE: list(pairs)}).transpose(..., COVARIATE)


def is_of_patients(fit: xr.DataTree) -> bool:
    """A fit of patients knows how shrinkage was measured; one of a synthesis is per 10 points always."""
    return "measure" in fit.attrs


def _need_patients(fit: xr.DataTree, instead: str) -> None:
    if not is_of_patients(fit):
        raise InputError(f"expected a fit of patients, and this is one of a synthesis: {instead}")


def need_whole_arms(shrinkage: Sequence[float] | None, covariates: Mapping | None = None) -> None:
    """Refuse to ask a synthesis about anything but whole arms."""
    if shrinkage is not None or covariates:
        raise InputError(
            "curves and comparisons of a synthesis are of whole arms; expected neither shrinkage nor "
            "covariates (survival given shrinkage is in the table survival of its analysis)"
        )


def scores_of(fit: xr.DataTree, shrinkage: Sequence[float]) -> xr.DataArray:
    """What shrinkage in points is on the scale of the slope, (shrinkage,)."""
    points = list(map(float, shrinkage))
    return xr.DataArray(
        measure_of(fit.attrs).score(np.array(points)),
        dims=schema.SHRINKAGE,
        coords={schema.SHRINKAGE: points},
    )


def _interval_weights(fit: xr.DataTree) -> xr.DataArray:
    """Lengths of the intervals; the open last one is as long as the one before it, and 0 one that another
    landmark has."""
    start, end = interval_edges(fit)
    length = (end - start).where(np.isfinite(end))
    return length.fillna(length.shift({INTERVAL: 1})).fillna(1.0).where(start.notnull(), 0.0)


def interval_edges(fit: xr.DataTree) -> tuple[xr.DataArray, xr.DataArray]:
    """Months at which each interval starts and ends; NaN for one that another landmark has."""
    if "constant_data" not in fit.children:
        raise InputError(
            "the fit does not say where its intervals end, as those of earlier versions; fit anew"
        )
    return fit["constant_data"]["interval_start"], fit["constant_data"]["interval_end"]


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


def changing(posterior: xr.Dataset | xr.DataTree) -> list[OverTime]:
    """The hazard ratios that change over time in a posterior, where one of an arm is their average."""
    return [quantity for quantity in OVER_TIME if quantity.column and quantity.used(posterior)]


def hazard_ratio_under_frailty(
    hazard_ratio: npt.ArrayLike, survival: npt.ArrayLike, *, variance: float
) -> np.ndarray:
    """The hazard ratio of an arm among those who are still at risk, if patients differ by an unseen frailty.

    ``hazard_ratio`` is that of the arm against the first for one and the same patient, at all times, and so
    that of the randomised arms at their start; ``survival`` that of the first arm at the time, or the
    landmark, that is asked about. The frail leave first, and the sooner in the arm with the higher hazard:
    those who are left are less and less alike, and the ratio goes towards 1 though the effect on every
    patient stays. The frailty multiplies the hazard and follows a gamma law with mean 1 and this
    ``variance``. The arguments are broadcast.

    Reference: Aalen, Cook and Roysland 2015, doi:10.1007/s10985-015-9335-y.

    Raises
    ------
    InputError
        The variance is negative, a ratio is not positive, or survival is not above 0 and at most 1.
    """
    ratio, alive = np.asarray(hazard_ratio, float), np.asarray(survival, float)
    if not (variance >= 0 and (ratio > 0).all() and ((alive > 0) & (alive <= 1)).all()):
        raise InputError(
            f"variance {variance}, hazard ratio {ratio} and survival {alive}; expected a variance "
            "of at least 0, ratios above 0, and survival above 0 and at most 1"
        )
    thinned = alive**-variance  # 1 + variance times the cumulative hazard of a patient of average frailty
    return ratio * thinned / (1 + ratio * (thinned - 1))
