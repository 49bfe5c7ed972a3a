"""The piecewise-exponential hazard model of one landmark.

    log h_i(t) = log_hazard[arm_i, k] + slope[arm_i] * score_i + covariates_i' log_hr_covariate

for t in interval k, where log_hazard[a, k] = alpha[a, k], or alpha[k] + log_hr_arm[a] when the arms
share their baseline; slopes that vary over time are slope_by_interval[arm_i, k]. The likelihood is that
of the piecewise-exponential model, which equals a Poisson likelihood of person-interval rows up to a
constant (Holford 1980, doi:10.2307/2530747), but needs no such rows: events enter as sufficient
statistics, exposure as nodes or as one term a patient.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayes_net.data.aggregated import AnyExposure
from bayes_net.data.exposure import one_hot
from bayes_net.engine.layout import PRIOR_ROWS, Layout, layout, model_data
from bayes_net.model.assumptions import (
    COMMON,
    RW1,
    SHARED,
    SLOPE_BY_INTERVAL,
    SLOPE_STEP_SD,
    Hazard,
    free_variables,
    slope_intervals,
    slope_over_time,
)
from bayes_net.model.backend import pm, pt, times
from bayes_net.model.likelihoods import log_likelihood_of_sums
from bayes_net.model.predictors import coordinates, log_hazard
from bayes_net.model.priors import INDEPENDENT, NONE, Flat, HalfNormal, Prior
from bayes_net.schema import (
    ARM,
    ARM_EFFECT,
    COVARIATE,
    COVARIATE_EFFECT,
    INTERVAL,
    LEVEL,
    LEVEL_AT_EVENTS,
    LOG_HAZARD,
    SLOPE,
    STEP_SD,
)


def flat_hazard_model(
    data: AnyExposure, hazard: Hazard | None = None, *, shape: Layout | None = None
) -> pm.Model:
    """The PyMC model of ``data``.

    Variables: ``log_hazard`` (arm, interval), log hazard per month at score and covariates 0; ``level``
    (arm), its average over time, which with a random walk is sampled as ``level_at_events``, over events;
    ``slope`` (arm), log hazard ratio per unit of score; ``log_hr_arm`` (arm after the first) with a
    shared baseline; ``log_hr_covariate`` (covariate); ``step_sd`` with a random walk. Of slopes that vary
    over time ``slope`` is the average over time, weighted as that of the baseline, and
    ``slope_by_interval`` (arm, interval) what acts; ``slope_step_sd`` (arm) is that of their random walk.
    """
    hazard = hazard or Hazard()
    shape = shape or layout([data])
    arrays = model_data(data, shape, hazard)
    # Priors and exposures are checked before they come here: bounds in the graph cost compiling only.
    with pm.Model(coords=coordinates(data), check_bounds=False) as model:
        d = {
            name: pm.Data(name, value, shape=value.shape)
            for name, value in arrays.items()
            if _used(name, hazard, data)
        }
        baseline = pm.Deterministic(LOG_HAZARD, _baseline(d, hazard, data), dims=(ARM, INTERVAL))
        slope = _slope(d, hazard, data)
        gamma = (
            _prior_rv(COVARIATE_EFFECT, "covariate", hazard, d, (COVARIATE,))
            if data.covariate_names
            else None
        )
        gathered = (baseline, slope, gamma)
        expected = _expected_of_nodes(d, shape, *gathered) if shape.compressed else _expected(d, *gathered)
        by_interval = slope[:, None] if slope is not None and slope.ndim == 1 else slope
        events = (d["events"], d.get("score_events"), d.get("covariate_events"))
        pm.Potential("log_likelihood", log_likelihood_of_sums(expected, events, baseline, by_interval, gamma))
    return model


def _used(name: str, hazard: Hazard, data: AnyExposure) -> bool:
    """Whether the graph reads this array: nutpie refuses data that no variable depends on."""
    free = free_variables(hazard, data)
    needs = {
        "hyperparameters": any(
            not isinstance(each.prior, Flat) for name, each in free.items() if name != "step"
        ),
        "walk": hazard.smoothing == RW1 and data.n_intervals > 1,
        "level_shift": hazard.smoothing == RW1 and data.n_intervals > 1,
        "step_information": hazard.smoothing == RW1 and data.n_intervals > 1,
        "score_events": hazard.slopes != NONE,
        "node_score": hazard.slopes != NONE,
        "row_score": hazard.slopes != NONE,
        "row_arm": hazard.slopes != NONE,
        "covariate_events": bool(data.covariate_names),
        "row_covariates": bool(data.covariate_names),
        "slope_walk": slope_intervals(hazard, data) > 1,
        "row_months": slope_intervals(hazard, data) > 1,
        "row_since_start": slope_intervals(hazard, data) == 1,
        "row_cell": slope_intervals(hazard, data) == 1,
        "widths": data.n_intervals > 1 and slope_intervals(hazard, data) == 1,
    }
    return needs.get(name, True)


_START = {"level": -3.0, "step_sd": 0.5, "slope_step_sd": 0.2}
"""Where chains start: fixed, so that a compiled model gives the draws of a fresh one whatever the prior
it was first compiled with. Others start at 0."""


def _prior_rv(name: str, which: str, hazard: Hazard, d: Mapping, dims: tuple[str, ...], moved=0.0):
    """A free variable with its prior; ``moved`` is what it has over that of which the prior is."""
    prior: Prior = getattr(hazard.priors, which)
    start = np.full([len(pm.modelcontext(None).coords[dim]) for dim in dims], _START.get(which, 0.0))
    if isinstance(prior, Flat):
        return pm.Flat(name, dims=dims, initval=start)
    mean, sd = (d["hyperparameters"][PRIOR_ROWS.index(which), i] for i in (0, 1))
    if isinstance(prior, HalfNormal):
        return pm.HalfNormal(name, sigma=sd, dims=dims, initval=start)
    return pm.Normal(name, mu=mean + moved, sigma=sd, dims=dims, initval=start)


def _baseline(d: Mapping, hazard: Hazard, data: AnyExposure):
    strata = () if hazard.baseline == SHARED else (ARM,)
    if hazard.smoothing == INDEPENDENT:
        alpha = _prior_rv("log_baseline", "level", hazard, d, (*strata, INTERVAL))
    elif data.n_intervals == 1:
        alpha = _prior_rv(LEVEL, "level", hazard, d, strata)[..., None]
    else:
        sd = _prior_rv(STEP_SD, "step_sd", hazard, d, strata)
        # The prior is a standard normal step; it is sampled on its conditional scale.
        scale = pt.sqrt(1.0 + sd[..., None] ** 2 * d["step_information"])
        step = pm.Normal("step", 0.0, scale, dims=(*strata, "boundary")) / scale
        # The prior is that of the level over time; the level of the events is what they know, and sampled.
        shift = sd * pt.sum(d["level_shift"] * step, axis=-1)
        at_events = _prior_rv(LEVEL_AT_EVENTS, "level", hazard, d, strata, shift)
        pm.Deterministic(LEVEL, at_events - shift, dims=strata)
        alpha = at_events[..., None] + sd[..., None] * times(d["walk"], step)
    if hazard.baseline == SHARED:
        if len(data.arms) == 1:
            return alpha[None, :]
        effect = _prior_rv(ARM_EFFECT, "arm_effect", hazard, d, ("contrast",))
        # The first arm's effect is 0: a product with 0 compiles in no time, a concatenation in a second.
        alpha = alpha[None, :] + times(np.eye(len(data.arms))[:, 1:], effect)[:, None]
    return alpha


def _slope(d: Mapping, hazard: Hazard, data: AnyExposure):
    """Slopes by arm, or by arm and interval where they vary over time; None without slopes."""
    if hazard.slopes == NONE:
        return None
    if hazard.slopes == COMMON:
        common = _prior_rv("common_slope", "slope", hazard, d, ())
        return pm.Deterministic(SLOPE, common * np.ones(len(data.arms)), dims=(ARM,))
    slope = _prior_rv(SLOPE, "slope", hazard, d, (ARM,))
    if slope_intervals(hazard, data) == 1:
        return slope
    sd = _prior_rv(SLOPE_STEP_SD, "slope_step_sd", hazard, d, (ARM,))
    step = pm.Normal("slope_step", 0.0, 1.0, dims=(ARM, "boundary"))
    by_interval = slope_over_time(slope, sd, step, d["slope_walk"])
    return pm.Deterministic(SLOPE_BY_INTERVAL, by_interval, dims=(ARM, INTERVAL))


def _expected_of_nodes(d: Mapping, shape: Layout, baseline, slope, gamma):
    """Sum over patients of their cumulative hazard: of weight * hazard over patterns, intervals and nodes."""
    patterns = np.array(shape.patterns)
    own = _by_pattern(baseline, patterns, shape)
    effect = None if gamma is None else times(patterns[:, 1:], gamma)[:, None]
    if slope is None:
        return pt.sum(pt.sum(d["node_weight"], axis=2) * pt.exp(log_hazard(own, effect=effect)))
    slopes = _by_pattern(slope, patterns, shape)
    slopes = slopes[:, None, None] if slopes.ndim == 1 else slopes[:, :, None]
    effect = None if effect is None else effect[:, :, None]
    return pt.sum(d["node_weight"] * pt.exp(log_hazard(own[:, :, None], slopes, d["node_score"], effect)))


def _by_pattern(by_arm, patterns: np.ndarray, shape: Layout):
    """The rows of the patterns' arms; where the patterns are the arms themselves, nothing to compile."""
    if np.array_equal(patterns[:, 0], np.arange(len(shape.arms))):
        return by_arm
    chosen = one_hot(patterns[:, 0], len(shape.arms))
    return times(chosen, by_arm) if by_arm.ndim == 1 else times(by_arm.T, chosen)


def _expected(d: Mapping, baseline, slope, gamma):
    """Sum over patients of their cumulative hazard. A padding row has passed no time.

    Where hazards are proportional, that of an arm is gathered at each patient's last interval: of the
    intervals passed, and the piece within it. Otherwise there is a term for each patient and interval.
    """
    effect = None if gamma is None else times(d["row_covariates"], gamma)
    if "row_months" in d:
        own, slopes = times(baseline.T, d["row_arm"]), times(slope.T, d["row_arm"])
        effect = None if effect is None else effect[:, None]
        return pt.sum(d["row_months"] * pt.exp(log_hazard(own, slopes, d["row_score"][:, None], effect)))
    rate = pt.exp(baseline)
    total = d["row_since_start"] * rate.ravel()[d["row_cell"]]
    if "widths" in d:
        passed = pt.cumsum(rate * d["widths"], axis=1) - rate * d["widths"]
        total = total + passed.ravel()[d["row_cell"]]
    eta = log_hazard(
        0.0,
        None if slope is None else times(d["row_arm"], slope),
        d.get("row_score"),
        effect,
    )
    return pt.sum(pt.exp(eta) * total)
