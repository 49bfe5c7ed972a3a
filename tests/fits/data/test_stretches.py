"""Follow-up in stretches with delayed entry: closed form, all forms of the model, R's Cox regressions."""

import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from exposures import patients
from test_between_scans import log_hazards_of_entries
from test_definitions import Evaluated, assert_engine_is_the_hazard_model
from test_engine import assert_equal
from test_ffcd_landmarks import read
from test_likelihood import (
    LAYOUTS,
    VARIANTS,
    around,
    drawn_at,
    prior_density,
    shape_of,
    theta_of,
)
from test_reference_modes import FLAT, mode

import bayes_net as bn
from bayes_net.checks.influence import influence
from bayes_net.data.aggregated import aggregate
from bayes_net.data.exposure import subset
from bayes_net.data.follow_up import time_dependent
from bayes_net.data.intervals import person_time
from bayes_net.engine.layout import layout
from bayes_net.engine.patients import patients_posterior
from bayes_net.errors import CohortWarning, InputError
from bayes_net.inference.closed_form import log_likelihood
from bayes_net.inference.imputation import impute_censored
from bayes_net.model.hazard import hazard_model
from bayes_net.results.fits import before_data


def stretches(data, *, seed=4):
    """Every patient enters late, and the follow-up of some is two stretches of different scores; some events
    lie between two assessments, of which the first is in the last stretch."""
    rng = np.random.default_rng(seed)
    entry = data.time * rng.choice([0.0, 0.3, 0.6], data.n)
    middle = entry + (data.time - entry) * rng.choice([0.5, 1.0], data.n)
    changes = middle < data.time
    begins = np.where(changes, middle, entry)
    last = begins + (data.time - begins) * rng.uniform(0.0, 0.98, data.n)
    last = np.where(rng.random(data.n) < 0.5, np.nan, last)
    whole = np.arange(data.n)
    first = replace(
        data,
        time=middle,
        event=np.where(changes, 0.0, data.event),
        last_assessment=np.where(changes, np.nan, last),
        entry=entry,
        patient=whole,
    )
    later = replace(data, score=data.score + 1.5, last_assessment=last, entry=middle, patient=whole)
    later = subset(later, changes)
    both = {
        name: np.concatenate([getattr(first, name), getattr(later, name)])
        for name in ("time", "event", "arm", "score", "covariates", "last_assessment", "entry", "patient")
    }
    if data.study is not None:
        both["study"] = np.concatenate([first.study, later.study])
    return replace(data, **both)


def density(theta: dict, data, hazard):
    """Each stretch given that its patient entered it without an event; the baseline is that of averages over
    time at risk, of which the equations of whole follow-up know nothing."""
    months = (data.time - data.entry) / (data.time - data.entry).mean()
    average = replace(data, score=months * data.score, covariates=months[:, None] * data.covariates)
    log_h = log_hazards_of_entries(theta, average, data, hazard)

    def cumulative(i: int, start: float, end: float):
        months = person_time(np.array([start, end]), data.cuts)
        return ((months[1] - months[0]) * np.exp(log_h[i])).sum()

    total = 0.0
    for i in range(data.rows):
        last, until = data.last_assessment[i], cumulative(i, data.entry[i], data.time[i])
        if np.isnan(last):
            total = total + data.event[i] * log_h[i, data.interval[i]] - until
        elif data.event[i] == 0:
            total = total - cumulative(i, data.entry[i], last)
        else:
            total = total + np.log(np.exp(-cumulative(i, data.entry[i], last)) - np.exp(-until))
    return total + prior_density(theta, data, hazard)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_density_and_gradient_equal_the_closed_form(variant, kind):
    hazard, options = VARIANTS[variant]
    data = stretches(patients(**options))
    posterior = patients_posterior(data, hazard, shape=shape_of(data, kind))
    assert_equal(posterior, lambda theta: density(theta, data, hazard))


@pytest.mark.parametrize("variant", VARIANTS)
def test_log_likelihoods_of_patients_add_up_to_it(variant):
    hazard, options = VARIANTS[variant]
    whole = patients(**options)
    data = stretches(whole)
    posterior = patients_posterior(data, hazard)
    for x in around(posterior):
        theta, values = theta_of(posterior, x), log_likelihood(drawn_at(posterior, x, hazard, data), data)
        assert values.sizes["patient"] == whole.n
        expected = density(theta, data, hazard) - prior_density(theta, data, hazard)
        assert float(values.sum()) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("variant", ["walk, shared, common, both", "time-varying", "one patient"])
def test_the_engine_has_the_density_of_the_definition(variant):
    hazard, options = VARIANTS[variant]
    data = stretches(patients(**options))
    evaluated = Evaluated(hazard_model(data, hazard))
    for kind in LAYOUTS:
        assert_engine_is_the_hazard_model(data, hazard, evaluated, kind)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_follow_up_cut_into_stretches_of_one_score_is_whole_follow_up(kind):
    hazard, options = VARIANTS["walk, shared, common, both"]
    # a statement on median survival is about averages, which are over time at risk where there are stretches
    hazard = replace(hazard, priors=replace(hazard.priors, level=bn.Normal(-3.0, 2.0)))
    data = patients(**options)
    middle = data.time * 0.4
    cut = replace(
        data,
        time=np.concatenate([middle, data.time]),
        event=np.concatenate([np.zeros(data.n), data.event]),
        entry=np.concatenate([np.zeros(data.n), middle]),
        patient=np.tile(np.arange(data.n), 2),
        **{name: np.concatenate([getattr(data, name)] * 2) for name in ("arm", "score", "covariates")},
    )
    whole, parts = (patients_posterior(each, hazard, shape=shape_of(each, kind)) for each in (data, cut))
    for x in around(whole):
        for one, other in zip(parts(x), whole(x), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    assert cut.n == data.n
    np.testing.assert_allclose(cut.person_time, data.person_time)
    assert cut.n_by_arm.tolist() == data.n_by_arm.tolist()


def test_averages_are_over_time_at_risk():
    data = stretches(patients(covariates=("age",)))
    months = data.time - data.entry
    assert data.mean_score == pytest.approx((months * data.score).sum() / months.sum())
    assert data.mean_covariates == pytest.approx((months @ data.covariates) / months.sum())


def test_a_patient_is_left_out_with_all_stretches():
    data = stretches(patients(n=40, seed=3))
    hazard = bn.Hazard()
    fit = bn.fit(data, hazard, seed=1, sampler=bn.Sampler(300, 300, 2, 0.9))
    assert fit["log_likelihood"].sizes["patient"] == 40
    found = influence(fit, data, hazard, most_refits=1)
    assert found.sizes["patient"] == 40
    assert np.isfinite(found["hr_without"]).all()


def test_a_refit_without_a_patient_is_without_all_stretches_of_it(monkeypatch):
    module = sys.modules["bayes_net.checks.influence"]
    monkeypatch.setattr(module, "HIGH_PARETO_K", -np.inf)  # so that one is refitted
    data, hazard = stretches(patients(n=40, seed=3)), bn.Hazard()
    how = {"sampler": bn.Sampler(200, 200, 2, 0.9), "shape": layout([data])}
    fit = bn.fit(data, hazard, seed=1, **how)
    k = influence(fit)["pareto_k"].values
    worst = int(np.argmax(k))
    found = influence(fit, data, hazard, most_refits=1, **how)
    without = bn.fit(subset(data, data.patient != worst), hazard, seed=1, **how)
    expected = np.exp(without["posterior"]["slope"].median(("chain", "draw")))
    np.testing.assert_allclose(found["hr_without"].sel(patient=worst), expected, rtol=1e-12)


NOT_OF_STRETCHES = {
    "sums of patients": lambda data, fit: aggregate(data),
    "a curve of survival": lambda data, fit: bn.checks.predictive.survival_steps(data),
    "replicates": lambda data, fit: bn.checks.posterior_predictive(fit, data, [6.0], seed=1),
    "predictions of survival": lambda data, fit: bn.checks.prediction(data, seed=1, times=[6.0]),
    "trials of a design": lambda data, fit: bn.checks.calibrate(data, seed=1),
    "survival of an arm": lambda data, fit: bn.estimands.arm_differences(fit, data, [6.0], horizon=6.0),
    "imputed follow-up": lambda data, fit: impute_censored(data, fit, bn.Censoring(factor=2.0), seed=1),
}


@pytest.mark.parametrize("what", NOT_OF_STRETCHES)
def test_what_takes_a_patient_for_an_entry_refuses_stretches(what):
    data = replace(stretches(patients()), last_assessment=None)
    with pytest.raises(InputError, match=f"given for {what}; expected each patient's whole follow-up"):
        NOT_OF_STRETCHES[what](data, None)


@pytest.fixture(scope="module")
def so_far():
    return bn.fit(stretches(patients(n=60, seed=4)), seed=1, sampler=bn.Sampler(100, 100, 2, 0.9))


@pytest.mark.parametrize(
    ("what", "asked"),
    {
        "survival": lambda fit: bn.survival(fit, [6.0], shrinkage=[0, 30]),
        "conditional survival": lambda fit: bn.estimands.conditional_survival(fit, [6.0], given=3.0),
        "median survival": lambda fit: bn.median_survival(fit),
        "the restricted mean": lambda fit: bn.rmst(fit, horizon=6.0),
    }.items(),
)
def test_hazards_of_the_shrinkage_so_far_mean_no_survival(so_far, what, asked):
    with pytest.raises(InputError, match=f"^{what} is asked of a fit of all follow-up"):
        asked(so_far)
    landmark = bn.fit(patients(n=60), seed=1, sampler=bn.Sampler(100, 100, 2, 0.9))
    assert np.isfinite(asked(landmark)).all()
    beside = bn.inference.stack({"36 w": landmark, "any time": so_far}, dim="landmark")
    with pytest.raises(InputError, match=f"^{what} is asked of"):
        asked(beside)
    assert np.isfinite(asked(beside.sel(landmark=["36 w"]))).all()


def test_hazards_at_one_shrinkage_can_still_be_added_up_and_the_prior_judged(so_far):
    posterior = so_far["posterior"]
    found = bn.estimands.cumulative_hazard(so_far, [1.0], shrinkage=[20.0]).squeeze()
    first = posterior["log_hazard"].isel(interval=0) + 2 * posterior["slope"]
    np.testing.assert_allclose(found, np.exp(first), rtol=1e-12)
    assert np.isfinite(bn.survival(before_data(so_far), [12.0])).all()


COX = {  # survival 3.5-3: coxph(Surv(entry, time, event) ~ x [+ progressed], ties = "breslow"), by arm
    ("pfs", "S"): [-0.09495622171],
    ("pfs", "C"): [-0.07097987712],
    ("os", "S"): [-0.1860750791, 0.2877043143],
    ("os", "C"): [-0.188187199, 1.192988006],
}


@pytest.mark.parametrize(("endpoint", "arm"), COX)
def test_with_flat_priors_it_is_cox_regression_of_counting_processes(shared, endpoint, arm):
    """Who is at risk when: with a unit of time at each event, and a hazard of its own, it is Breslow's
    likelihood."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        cohort = read(shared, scans_after_death="drop")
    data = time_dependent(cohort, endpoint=endpoint, cuts=())
    own = subset(data, data.arm == data.arms.index(arm))
    own = replace(own, arm=np.zeros(own.rows, int), arms=(arm,))
    times = np.unique(own.time[own.event == 1])
    at_risk = [subset(own, (own.entry < t) & (own.time >= t)) for t in times]
    sets = [
        replace(s, entry=np.full(s.rows, k), event=s.event * (s.time == t), time=np.full(s.rows, k + 1.0))
        for k, (s, t) in enumerate(zip(at_risk, times, strict=True))
    ]
    names = ("time", "event", "arm", "score", "covariates", "entry", "patient")
    together = {name: np.concatenate([getattr(s, name) for s in sets]) for name in names}
    units = replace(own, **together, cuts=np.arange(1.0, len(times)))
    values, _, _ = mode(units, bn.Hazard("per arm", "independent", "per arm", FLAT))
    found = [values["slope"][0], *values.get("log_hr_covariate", [])]
    np.testing.assert_allclose(found, COX[endpoint, arm], atol=1e-5)
    # with all months at risk, and a hazard for every event, the answer is near
    fine = replace(own, cuts=(times[:-1] + times[1:]) / 2)
    values, _, _ = mode(fine, bn.Hazard("per arm", "independent", "per arm", FLAT))
    assert values["slope"][0] == pytest.approx(COX[endpoint, arm][0], abs=0.01)
