"""Scores that are known with error: each patient's likelihood is its average over nodes of the true score."""

from dataclasses import replace

import numpy as np
import pytest
from exposures import patients
from test_definitions import Evaluated, _python, assert_posterior_is  # noqa: F401
from test_likelihood import VARIANTS, around, drawn_at, gradient, prior_density, theta_of

from bayes_net.assumptions.hazard import Hazard
from bayes_net.assumptions.priors import HalfNormal, Normal, Priors
from bayes_net.data.gauss import UncertainExposure, at_nodes
from bayes_net.engine.laplace import turned_to_mode
from bayes_net.engine.layout import Layout
from bayes_net.engine.patients import patients_posterior, uncertain_posterior
from bayes_net.errors import InputError
from bayes_net.inference.patients import fit, log_likelihood_with_error
from bayes_net.model.hazard import hazard_model, hazard_model_with_error

RTOL = 1e-10
CHOSEN = ("default", "walk, shared, common, both", "time-varying, shared, both", "studies", "one interval")


def between_scans(variant: str):
    """Patients of whom half the events lie between two assessments, who were seen before the landmark."""
    hazard, options = VARIANTS[variant]
    data, rng = patients(**options), np.random.default_rng(4)
    seen = (data.event == 1) & (rng.random(data.n) < 0.5)
    last = np.where(seen, data.time - rng.uniform(0.3, 4.0, data.n), np.nan)
    return hazard, replace(data, last_assessment=last, assessed_before=rng.random(data.n))


def uncertain(data, *, sd=1.0, nodes=7, seed=3) -> UncertainExposure:
    rng = np.random.default_rng(seed)
    return at_nodes(data, [score + sd * rng.standard_normal(300) for score in data.score], nodes=nodes)


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_without_error_have_the_density_and_gradient_of_measured_ones(variant):
    hazard, data = between_scans(variant)
    exact = uncertain_posterior(uncertain(data, sd=0.0), hazard)
    plain = Layout(data.arms, data.covariate_names, data.n_intervals, data.studies)
    measured = patients_posterior(data, hazard, shape=plain)
    for x in around(measured):
        for one, other in zip(exact(x), measured(x), strict=True):
            np.testing.assert_allclose(one, other, rtol=RTOL, atol=RTOL * np.abs(other).max())


@pytest.mark.parametrize("variant", CHOSEN)
def test_the_engine_has_the_density_and_gradient_of_the_definition(variant):
    hazard, data = between_scans(variant)
    data = uncertain(data)
    definition = Evaluated(hazard_model_with_error(data, hazard))
    assert_posterior_is(definition, uncertain_posterior(data, hazard), hazard, data)


@pytest.mark.parametrize("variant", CHOSEN)
def test_patients_log_likelihoods_add_up_to_the_engines_density(variant):
    hazard, data = between_scans(variant)
    data = uncertain(data)
    posterior = uncertain_posterior(data, hazard)
    for x in around(posterior):
        each = log_likelihood_with_error(drawn_at(posterior, x, hazard, data), data)
        assert each.dims == ("chain", "draw", "patient")
        prior = prior_density(theta_of(posterior, x), data, hazard)
        assert posterior(x)[0] == pytest.approx(float(each.sum()) + prior, rel=RTOL)


def one_patient(*, event=1.0, last=None) -> UncertainExposure:
    """One patient of one arm, 1.5 months in the second of two intervals, whose score is 1 or 3."""
    data = replace(patients(n=1, arms=("only",), cuts=(2.0,)), time=np.array([3.5]), event=np.array([event]))
    data = replace(data, score=np.array([1.5]), last_assessment=None if last is None else np.array([last]))
    return at_nodes(data, [np.array([1.0, 3.0, 3.0, 3.0])], nodes=2)


@pytest.mark.parametrize(("event", "last"), [(1.0, None), (0.0, None), (1.0, 2.5)])
def test_one_patient_has_the_likelihood_of_the_closed_form(event, last):
    """A quarter of it at a score of 1 and the rest at 3, with two hazards and one slope."""
    priors = Priors(level=Normal(-2.0, 1.0), step_sd=HalfNormal(1.0), slope=Normal(0.0, 0.5))
    data, hazard = one_patient(event=event, last=last), Hazard(smoothing="independent", priors=priors)
    posterior = uncertain_posterior(data, hazard)

    def density(theta):
        log_h, slope = theta["log_baseline"][0], theta["slope"][0]
        total = 0.0
        for weight, score in ((0.25, 1.0), (0.75, 3.0)):
            first, second = np.exp(log_h + slope * score)
            until, after = 2.0 * first + 0.5 * second, second
            if last is None:
                own = np.exp(-until - after) * (second if event else 1.0)
            else:
                own = np.exp(-until) - np.exp(-until - after)
            total = total + weight * own
        return np.log(total) + prior_density(theta, data, hazard)

    for point in (posterior, turned_to_mode(posterior)):
        for x in around(point):
            at = x if point is posterior else point.turn[0] + point.turn[1] @ x
            theta = theta_of(posterior, at)
            value, found = point(x)
            expected = gradient(density, theta)
            if point is not posterior:
                expected = expected @ point.turn[1]
            assert value == pytest.approx(density(theta), rel=RTOL)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_nodes_keep_the_mean_and_spread_of_what_may_be_true():
    values = np.random.default_rng(1).normal(2.0, 0.7, 500)
    data = at_nodes(patients(n=1), [values], nodes=5)
    mean, sd = data.moments
    assert mean[0] == pytest.approx(values.mean(), rel=RTOL)
    assert sd[0] == pytest.approx(values.std(), rel=RTOL)
    assert data.node_weight.sum() == pytest.approx(1.0, rel=RTOL)


def test_a_fit_of_measured_scores_does_not_take_uncertain_ones():
    data = uncertain(patients())
    with pytest.raises(InputError, match="fit_with_error"):
        fit(data, seed=1)
    with pytest.raises(InputError, match="hazard_model_with_error"):
        hazard_model(data)
    assert type(data.measured) is type(patients())
