"""The piecewise-exponential hazard model of one landmark, as it is defined.

    log h_i(t) = log_hazard[arm_i, k] + slope[arm_i] * score_i + covariates_i' log_hr_covariate

for t in interval k; a slope that varies over time is slope_by_interval[arm_i, k]. Given the hazard h, events
of each patient and interval have the likelihood of Poisson counts with mean exposure * h (Holford 1980,
doi:10.2307/2530747).
"""

from __future__ import annotations

import numpy as np

from bayes_net import schema
from bayes_net.assumptions import hazard as assumptions
from bayes_net.assumptions.hazard import (
    COMMON,
    SHARED,
    Hazard,
    centre,
    slope_intervals,
    slope_over_time,
    walk_basis,
    walks_of,
)
from bayes_net.assumptions.priors import INDEPENDENT, NONE
from bayes_net.data.aggregated import AggregatedExposure, AnyExposure
from bayes_net.data.exposure import Exposure, months_between, months_without
from bayes_net.data.gauss import UncertainExposure
from bayes_net.errors import InputError, listed
from bayes_net.model.backend import pm, pt, random_variable, random_walk
from bayes_net.model.likelihoods import log_likelihood_of_sums
from bayes_net.model.predictors import coordinates, log_hazard
from bayes_net.schema import ARM, ARM_EFFECT, COVARIATE, EVENTS, INTERVAL, PATIENT, PERSON_INTERVAL, SLOPE
from bayes_net.statistics.base import Array


def hazard_model(data: AnyExposure, hazard: Hazard | None = None) -> pm.Model:
    """The PyMC model of the patients of one landmark.

    Of several studies each has baselines of its own: they have a dim ``study`` before ``arm``.

    Free variables, each with its prior in ``hazard.priors``: of a random walk ``level`` (arm), the log hazard
    per month averaged over time, ``step_sd`` (arm), and ``step`` (arm, boundary), standard normal; of
    independent intervals ``log_baseline`` (arm, interval); all without arm where arms share their baseline
    (``centre``), and then ``log_hr_arm`` (contrast: every arm but the first). ``slope``
    (arm) or ``common_slope``, the log hazard ratio per unit of score; where it varies over time ``slope`` is
    its average, and its random walk over the intervals has ``slope_step_sd`` (arm) and ``slope_step`` (arm,
    boundary), standard normal. ``log_hr_covariate`` (covariate). Derived: ``log_hazard`` (arm, interval), at
    score and covariates 0, the ``slope`` that is common, and ``slope_by_interval`` (arm, interval).

    Observed: ``events`` (person_interval), 0 or 1 for every patient and interval entered. Their likelihood
    is that of the patients' times, multiplied by exposure at each event, in which there is no parameter. A
    replicate keeps the time at risk as it was, and goes on counting after an event: it stands for the events
    of an arm, an interval or a range of scores together, and not for a patient's survival. ``exposure``
    (person_interval), in months, ``score`` (patient) and ``covariates`` (patient, covariate) are ``pm.Data``.
    Follow-up of patients whose event lies between two assessments counts until the first of them, without an
    event; and ``progressed`` (progression), which is 1 of each, is whether there was one by the second.

    Of an ``AggregatedExposure`` sums alone are known: ``events`` is a potential, the log-likelihood of all
    patients, and has no replicate.

    Raises
    ------
    InputError
        A patient has no time at risk, or scores are known with error.
    """
    if isinstance(data, UncertainExposure):
        raise InputError("scores are measured with error here; expected hazard_model_with_error")
    return _model(data, hazard or Hazard())


def hazard_model_with_error(data: UncertainExposure, hazard: Hazard | None = None) -> pm.Model:
    """The PyMC model of patients whose score is known with error: that of ``hazard_model``, in which each
    patient's likelihood is its average over the nodes of the true score. ``events`` is a potential, the log
    of all averages, and has no replicate.

    log L_i = log sum_k w_ik exp(event_i log h(t_i | s_ik) - H(t_i | s_ik)), and of an event between two
    assessments log(S - S') in the place of what is in exp.
    """
    return _model(data, hazard or Hazard())


def _model(data: AnyExposure, hazard: Hazard) -> pm.Model:
    priors, strata = hazard.priors.of_measure(data.measure), walks_of(hazard, data)
    slope = log_hr = None
    intervals = slope_intervals(hazard, data)
    with pm.Model(coords=coordinates(data)) as model:
        if hazard.smoothing == INDEPENDENT:
            baseline = random_variable(schema.LOG_BASELINE, priors.level, (*strata, INTERVAL))
        else:
            baseline = random_walk(priors.level, priors.step_sd, walk_basis(data.cuts), strata)
        if hazard.baseline == SHARED:
            baseline = _of_arms(data, hazard)[:, None] + baseline[..., None, :]
        if hazard.slopes == COMMON:
            common = random_variable(schema.COMMON_SLOPE, priors.slope)
            slope = pm.Deterministic(SLOPE, pt.repeat(common, len(data.arms)), dims=ARM)
        elif hazard.slopes != NONE:
            slope = random_variable(SLOPE, priors.slope, (ARM,))
        if intervals > 1:
            sd = random_variable(schema.SLOPE_STEP_SD, priors.slope_step_sd, (ARM,))
            step = pm.Normal(schema.SLOPE_STEP, 0.0, 1.0, dims=(ARM, schema.BOUNDARY))
            walk = slope_over_time(slope, sd, step, walk_basis(data.cuts))
            slope = pm.Deterministic(schema.SLOPE_BY_INTERVAL, walk, dims=(ARM, INTERVAL))
        elif slope is not None:
            slope = slope[:, None]
        if data.covariate_names:
            log_hr = random_variable(schema.COVARIATE_EFFECT, priors.covariate, (COVARIATE,))
        at = centre(hazard, data)
        of_slope = 0.0 if slope is None else at.score * slope
        of_covariates = 0.0 if log_hr is None else (at.covariates @ log_hr)[:, None]
        baseline = baseline - of_slope - of_covariates
        baseline = pm.Deterministic(schema.LOG_HAZARD, baseline, dims=(*data.strata_dims, INTERVAL))
        of_strata = baseline.reshape((-1, data.n_intervals))

        if isinstance(data, AggregatedExposure):
            pm.Potential(EVENTS, _log_likelihood_of_sums(data, of_strata, slope, log_hr, slopes=intervals))
        elif isinstance(data, UncertainExposure):
            pm.Potential(EVENTS, _log_of_averages(data, of_strata, slope, log_hr, slopes=intervals))
        else:
            _observe_events(model, data, of_strata, slope, log_hr, slopes=intervals)
    return model


def _of_arms(data: AnyExposure, hazard: Hazard) -> Array:
    """What every arm adds to the shared log hazard, (arm,)."""
    if len(data.arms) == 1:
        return np.zeros(1)
    effect = random_variable(ARM_EFFECT, hazard.priors.arm_effect, (schema.CONTRAST,))
    return centre(hazard, data).contrasts @ effect


def _observe_events(
    model: pm.Model,
    data: Exposure,
    baseline: pt.TensorVariable,
    slope: pt.TensorVariable | None,
    log_hr: pt.TensorVariable | None,
    *,
    slopes: int,
) -> None:
    """Events of every patient and interval entered, as Poisson counts; ``baseline`` is by stratum, ``slope``
    by arm and ``slopes`` intervals, which are one or all."""
    patient, interval, months, event = person_intervals(data)
    labels = person_interval_labels(patient, interval)
    model.add_coords({PATIENT: np.arange(data.rows), PERSON_INTERVAL: labels})
    score = effect = None
    if slope is not None:
        score = pm.Data(schema.SCORE, data.score, dims=PATIENT)
    if log_hr is not None:
        effect = pm.Data(schema.COVARIATES, data.covariates, dims=(PATIENT, COVARIATE)) @ log_hr

    def hazards(patient: np.ndarray, interval: np.ndarray) -> Array:
        arm = data.arm[patient]
        own = None if slope is None else slope[arm, interval if slopes > 1 else 0]
        added = (None if x is None else x[patient] for x in (score, effect))
        return pt.exp(log_hazard(baseline[data.stratum[patient], interval], own, *added))

    exposure = pm.Data(schema.EXPOSURE, months, dims=PERSON_INTERVAL)
    pm.Poisson(EVENTS, exposure * hazards(patient, interval), observed=event, dims=PERSON_INTERVAL)
    if data.between.any():
        own, months = np.flatnonzero(data.between), months_between(data)
        model.add_coords({schema.PROGRESSION: own})
        every = np.broadcast_arrays(own[:, None], np.arange(data.n_intervals))
        hazard = (months * hazards(*every)).sum(axis=-1)
        seen = np.ones(len(own), int)
        pm.Bernoulli(schema.PROGRESSED, -pt.expm1(-hazard), observed=seen, dims=schema.PROGRESSION)


def _log_of_averages(
    data: UncertainExposure,
    baseline: pt.TensorVariable,
    slope: pt.TensorVariable | None,
    log_hr: pt.TensorVariable | None,
    *,
    slopes: int,
) -> pt.TensorVariable:
    """Of all patients: the log hazard of each at every node in every interval, (patient, node, interval)."""
    every, between = np.arange(data.rows), np.flatnonzero(data.between)
    own = None if slope is None else slope[data.arm][:, None, :]
    effect = None if log_hr is None else (np.asarray(data.covariates) @ log_hr)[:, None, None]
    log_h = log_hazard(baseline[data.stratum][:, None, :], own, data.node_score[..., None], effect)
    log_h = pt.broadcast_to(log_h, (data.rows, data.node_score.shape[1], data.n_intervals))
    known = np.where(data.between, 0.0, data.event)[:, None]
    height = data.log_weight - (months_without(data)[:, None, :] * pt.exp(log_h)).sum(axis=-1)
    height = height + known * log_h[every, :, data.interval]
    if len(between):
        hazard = (months_between(data)[:, None, :] * pt.exp(log_h[between])).sum(axis=-1)
        height = height[between].inc(pt.log(-pt.expm1(-hazard)))
    return pm.math.logsumexp(height, axis=1).sum()


def _log_likelihood_of_sums(
    data: AggregatedExposure,
    baseline: pt.TensorVariable,
    slope: pt.TensorVariable | None,
    log_hr: pt.TensorVariable | None,
    *,
    slopes: int,
) -> pt.TensorVariable:
    """sum of event * log h - H over all patients: the first is linear in the parameters, and time at risk is
    the ``weight``, in months, of nodes at ``score``, both (pattern, interval, node)."""
    stratum = data.patterns[:, 0].astype(int)
    arm = stratum % len(data.arms)
    own = None if slope is None else slope[arm][..., None]
    effect = None if log_hr is None else (data.patterns[:, 1:] @ log_hr)[:, None, None]
    log_h = log_hazard(baseline[stratum][..., None], own, data.score, effect)
    expected, sums = pt.sum(data.weight * pt.exp(log_h)), assumptions.sums_at_events(data, slopes)
    return log_likelihood_of_sums(expected, sums, baseline, slope, log_hr)


def person_intervals(data: Exposure) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every patient and interval entered, (person_interval,) each: the patient's row, the interval, months at
    risk, and events, 0 or 1; where the event lies between two assessments, until the first of them."""
    if not (data.time > 0).all():
        raise InputError(
            f"patients in rows {listed(map(str, np.flatnonzero(~(data.time > 0))))} have no time at risk; "
            "expected follow-up of more than 0 months: leave them out"
        )
    months = months_without(data)
    patient, interval = np.nonzero(months)
    event = np.where(data.between, 0.0, data.event)[patient] * (interval == data.interval[patient])
    return patient, interval, months[patient, interval], event.astype(int)


def person_interval_labels(patient: np.ndarray, interval: np.ndarray) -> list[str]:
    """A label for each, by row number: never an identifier."""
    return [f"patient {i}, interval {k}" for i, k in zip(patient, interval, strict=True)]
