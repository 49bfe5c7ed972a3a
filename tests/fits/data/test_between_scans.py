"""Events between two assessments: the closed form, its limits, and R's answers on FFCD 2000-05."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from exposures import patients
from test_definitions import Evaluated, assert_engine_is_the_hazard_model
from test_engine import assert_equal
from test_ffcd_landmarks import read
from test_likelihood import (
    LAYOUTS,
    VARIANTS,
    around,
    drawn_at,
    log_hazards,
    prior_density,
    shape_of,
    slopes_by_interval,
    theta_of,
)
from test_reference_modes import FLAT, mode

import bayes_net as bn
from bayes_net.checks.predictive import step_values, survival_steps
from bayes_net.data.aggregated import aggregate
from bayes_net.data.exposure import known_days, months_between, months_without, subset
from bayes_net.data.intervals import person_time
from bayes_net.engine.patients import patients_posterior
from bayes_net.errors import CohortWarning, InputError
from bayes_net.inference.closed_form import log_likelihood
from bayes_net.model.hazard import hazard_model


def between(data, *, seed=2, share=0.7):
    """A share of the events some way after the last assessment, of some before the clock's start; all were
    assessed up to three months before that."""
    rng = np.random.default_rng(seed)
    before = np.where(rng.random(data.n) < 0.1, 0.0, rng.uniform(0.0, 3.0, data.n))
    last = np.where(rng.random(data.n) < 0.3, -before, data.time * rng.uniform(0.0, 0.98, data.n))
    last = np.where(rng.random(data.n) > share, np.nan, last)
    return replace(data, last_assessment=last, assessed_before=before)


def log_hazards_of_entries(theta: dict, average, data, hazard):
    """Log hazard of every entry of ``data`` and interval; ``average`` has the averages that a statement on
    median survival is about."""
    of = (data.arm,) if data.study is None else (data.study, data.arm)
    log_h = log_hazards(theta, average, hazard)[of]
    if hazard.slopes == "per arm":
        log_h = log_h + (theta["slope"][data.arm] * data.score)[:, None]
    elif hazard.slopes == "time-varying":
        log_h = log_h + slopes_by_interval(theta, data)[data.arm] * data.score[:, None]
    elif hazard.slopes == "common":
        log_h = log_h + (theta["common_slope"] * data.score)[:, None]
    if data.covariate_names:
        log_h = log_h + (data.covariates @ theta["log_hr_covariate"])[:, None]
    return log_h


def density(theta: dict, data, hazard):
    """sum of d log h - H of events on a known day and of the censored, log(S(L) - S(R)) of the others."""
    log_h = log_hazards_of_entries(theta, data, data, hazard)
    total = 0.0

    def cumulative(i: int, start: float, end: float):
        """Of a patient, from one time to another; what is before the clock's start at the first hazard."""
        months = [person_time(np.array([max(t, 0.0)]), data.cuts)[0] for t in (start, end)]
        months[1][0] += max(-start, 0.0) - max(-end, 0.0)
        return ((months[1] - months[0]) * np.exp(log_h[i])).sum()

    for i in range(data.n):
        start = 0.0 if data.assessed_before is None else -data.assessed_before[i]
        last = np.nan if data.last_assessment is None else data.last_assessment[i]
        until = cumulative(i, start, data.time[i])
        if np.isnan(last):
            total = total + data.event[i] * log_h[i, data.interval[i]] - until
        elif data.event[i] == 0:
            total = total - cumulative(i, start, last)
        else:
            total = total + np.log(np.exp(-cumulative(i, start, last)) - np.exp(-until))
    return total + prior_density(theta, data, hazard)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_density_and_gradient_equal_the_closed_form(variant, kind):
    hazard, options = VARIANTS[variant]
    data = between(patients(**options))
    posterior = patients_posterior(data, hazard, shape=shape_of(data, kind))
    assert_equal(posterior, lambda theta: density(theta, data, hazard))


@pytest.mark.parametrize("variant", VARIANTS)
def test_log_likelihoods_of_patients_add_up_to_it(variant):
    hazard, options = VARIANTS[variant]
    data = between(patients(**options))
    posterior = patients_posterior(data, hazard)
    for x in around(posterior):
        theta, values = theta_of(posterior, x), log_likelihood(drawn_at(posterior, x, hazard, data), data)
        expected = density(theta, data, hazard) - prior_density(theta, data, hazard)
        assert float(values.sum()) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    "variant", ["walk, shared, common, both", "time-varying", "independent, per arm, both", "one patient"]
)
def test_the_engine_has_the_density_of_the_definition(variant):
    hazard, options = VARIANTS[variant]
    data = between(patients(**options))
    evaluated = Evaluated(hazard_model(data, hazard))
    for kind in LAYOUTS:
        assert_engine_is_the_hazard_model(data, hazard, evaluated, kind)


@pytest.mark.parametrize("cuts", [(), (4.0,)])
def test_in_one_and_two_intervals_it_is_the_difference_of_survival(cuts):
    hazard = bn.Hazard(smoothing="independent", slopes="none")
    data = replace(patients(n=1, cuts=cuts, arms=("only",)), time=np.array([6.0]), event=np.array([1.0]))
    data = replace(data, last_assessment=np.array([2.5]))
    posterior = patients_posterior(data, hazard)
    rate = np.exp(posterior.start)
    at = [rate[0] * min(t, 4.0) + rate[1] * max(t - 4.0, 0.0) if cuts else rate[0] * t for t in (2.5, 6.0)]
    prior = prior_density(theta_of(posterior, posterior.start), data, hazard)
    expected = np.log(np.exp(-at[0]) - np.exp(-at[1])) + prior
    assert posterior(posterior.start)[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_assessments_close_together_are_an_event_on_that_day(kind):
    hazard, options = VARIANTS["walk, shared, common, both"]
    data = patients(**options)
    exact = patients_posterior(data, hazard, shape=shape_of(data, kind))
    own, width = data.event == 1, 1e-6
    close = replace(data, last_assessment=np.where(own, data.time - width, np.nan))
    grouped = patients_posterior(close, hazard, shape=shape_of(data, kind))
    for x in around(exact):
        (value, slope), (other, other_slope) = exact(x), grouped(x)
        assert other - own.sum() * np.log(width) == pytest.approx(value, abs=own.sum() * 1e-5)
        np.testing.assert_allclose(other_slope, slope, atol=1e-4)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_an_event_at_any_later_time_is_a_censored_patient(kind):
    hazard, options = VARIANTS["independent, per arm, both"]
    data = patients(**options)
    own = data.event == 1
    late = replace(data, time=np.where(own, 1e7, data.time), last_assessment=np.where(own, data.time, np.nan))
    censored = patients_posterior(replace(data, event=np.zeros(data.n)), hazard, shape=shape_of(data, kind))
    grouped = patients_posterior(late, hazard, shape=shape_of(data, kind))
    for x in around(censored):
        for one, other in zip(grouped(x), censored(x), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10)


def test_what_is_known_of_each_patient_is_split_at_the_last_assessment():
    data = replace(
        patients(n=5, cuts=(2.0,)),
        time=np.array([1.0, 3.0, 5.0, 4.0, 1.0]),
        event=np.array([1.0, 1.0, 1.0, 0.0, 1.0]),
        last_assessment=np.array([np.nan, 1.5, 5.0, 3.0, -0.5]),
        assessed_before=np.array([0.0, 1.0, 2.0, 5.0, 0.5]),
    )
    assert data.between.tolist() == [False, True, False, False, True]
    assert data.last_known.tolist() == [1.0, 1.5, 5.0, 3.0, -0.5]
    assert months_without(data).tolist() == [[1, 0], [2.5, 0], [4, 3], [7, 1], [0, 0]]
    assert months_between(data).tolist() == [[0.5, 1.0], [1.5, 0]]
    rows = known_days(data)
    assert rows.event.tolist()[:5] == [1, 0, 1, 0, 0]
    assert not rows.event[5:].any()
    np.testing.assert_allclose(rows.person_time.sum(axis=0), months_without(data).sum(axis=0))
    assert subset(data, data.between).last_assessment.tolist() == [1.5, -0.5]
    assert "2 of them between two assessments" in repr(data)
    assert data.events.sum() == 4


def test_sums_of_patients_have_no_events_between_assessments():
    with pytest.raises(InputError, match="expected events on known days"):
        aggregate(between(patients()))


SURVREG = {  # survival 3.5-3: survreg(Surv(l, r, type = "interval2") ~ x, dist = "exponential"), negated
    "S": ((-1.73171731569, -0.09663517524), (0.2308675358, 0.0514439084)),
    "C": ((-1.6164581368, -0.1090044276), (0.28630585326, 0.04641826209)),
}
SURVFIT = {3.0: 0.9693594086, 6.0: 0.5377531785, 12.0: 0.1044157926}
"""survfit of the same of arm S: Turnbull's estimate at these months."""


@pytest.fixture(scope="module")
def whole_follow_up(shared):
    """FFCD 2000-05 from randomisation, as R's survival takes it too: without time at risk before a clock."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        cohort = read(shared, scans_after_death="drop")
    sets = bn.landmark(cohort, ["no limit"])
    return bn.expose(sets, "no limit", cuts=[], progression="between scans")


def test_the_mode_with_flat_priors_is_that_of_r_survival(whole_follow_up):
    data = whole_follow_up
    assert (data.n, data.event.sum(), data.between.sum()) == (115, 107, 90)
    values, _, curvature = mode(data, bn.Hazard("per arm", "independent", "per arm", FLAT))
    errors = np.sqrt(np.diag(np.linalg.inv(curvature))).reshape(2, 2)
    for a, arm in enumerate(data.arms):
        (level, slope), wanted = SURVREG[arm]
        assert values["log_baseline"][a, 0] == pytest.approx(level, abs=1e-7)
        assert values["slope"][a] == pytest.approx(slope, abs=1e-7)
        np.testing.assert_allclose(errors[:, a], wanted, rtol=1e-5)


def test_survival_is_turnbulls_of_r_survival(whole_follow_up):
    own = subset(whole_follow_up, whole_follow_up.arm == 0)
    for months, expected in SURVFIT.items():
        assert step_values(survival_steps(own), np.array([months]))[0] == pytest.approx(expected, abs=1e-4)
