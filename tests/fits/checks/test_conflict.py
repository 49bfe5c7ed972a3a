"""Box's p-value: exact for a normal mean, uniform where the prior is right, small where it is not."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from exposures import patients
from scipy.stats import kstest, norm

import bayes_net as bn
from bayes_net.assumptions.priors import Flat, Normal, Priors
from bayes_net.checks.calibrate import simulated
from bayes_net.checks.conflict import MEDIAN, OVER_TIME, RESPONSE, SLOPES, prior_conflict
from bayes_net.inference.closed_form import draw_prior

QUICK = bn.Sampler(draws=500, tune=200, chains=2, method="laplace")


def normal_fit(y, *, n, prior, draws=40_000):
    """Draws of the posterior of a normal mean, of n observations with an SD of 1 and a mean of y."""
    precision = n + prior.sd**-2
    mean, sd = (n * y + prior.mean * prior.sd**-2) / precision, precision**-0.5
    exact = norm(mean, sd).ppf((np.arange(draws) + 0.5) / draws).reshape(4, -1, 1)
    posterior = xr.Dataset({"slope": (("chain", "draw", "arm"), exact)}, {"arm": ["a"]})
    return xr.DataTree.from_dict({"posterior": posterior})


@pytest.mark.parametrize("y", [-1.9, 0.1, 0.4, 1.3])
@pytest.mark.parametrize("n", [1, 5, 50])
def test_the_p_value_of_a_normal_mean_is_that_of_its_prior_predictive(y, n):
    prior = Normal(0.1, 0.5)
    (found,) = prior_conflict(
        normal_fit(y, n=n, prior=prior), bn.Hazard(priors=Priors(slope=prior))
    ).itertuples()
    z = (y - prior.mean) / np.sqrt(prior.sd**2 + 1 / n)
    assert (found.statement, found.arm) == (SLOPES, "a")
    # the SD of 40,000 quantiles is 0.01 % short of the normal's
    assert found.z == pytest.approx(z, rel=1e-3, abs=1e-3)
    assert found.p == pytest.approx(2 * norm.sf(abs(z)), rel=1e-2)


def test_where_data_say_nothing_there_is_no_p_value():
    prior = Normal(0.1, 0.5)
    hazard = bn.Hazard(priors=Priors(slope=prior))
    (found,) = prior_conflict(normal_fit(3.0, n=0.1, prior=prior), hazard)["p"]
    assert np.isnan(found)
    assert prior_conflict(normal_fit(3.0, n=9, prior=prior), bn.Hazard(priors=Priors(slope=Flat()))).empty


def test_baselines_of_each_study_have_a_row():
    """In the order of their draws, whose dims may stand in any order."""
    prior = Normal(-3.0, 2.0)
    exact = prior.mean + np.array([[0.5, 1.0, 1.5], [-0.5, -1.0, -1.5]])
    draws = norm(exact, 0.1).ppf((np.arange(1000)[:, None, None] + 0.5) / 1000)[None]
    coords = {"study": ["S1", "S2"], "arm": ["a", "b", "c"]}
    level = xr.DataArray(draws, coords, ("chain", "draw", "study", "arm")).transpose("study", ...)
    fit = xr.DataTree.from_dict({"posterior": xr.Dataset({"level": level})})
    found = prior_conflict(fit, bn.Hazard(priors=Priors(level=prior))).set_index("arm")["mean"]
    expected = {f"{s} {a}": exact[i, j] for i, s in enumerate(("S1", "S2")) for j, a in enumerate("abc")}
    assert found.to_dict() == pytest.approx(expected)


@pytest.fixture(scope="module")
def design():
    return patients(120, cuts=(4.0, 9.0))


def of_response(design):
    """The same patients, of whom it is known who responded, 20 points apart from the others."""
    score = (design.score > 2).astype(float)
    return replace(design, score=score, measure=bn.Response(30.0, apart=20.0))


KINDS = {
    "walk": ({}, SLOPES),
    "independent": ({"smoothing": "independent"}, SLOPES),
    "time-varying": ({"slopes": "time-varying"}, SLOPES + OVER_TIME),
    "response": ({}, RESPONSE),
}


@pytest.mark.parametrize("kind", KINDS)
def test_p_values_are_uniform_where_the_prior_is_right_and_small_where_it_is_not(design, kind):
    """Known conflicts: a slope, or a baseline, four prior SDs away from what the prior expects."""
    options, slopes = KINDS[kind]
    hazard = bn.Hazard(**options, priors=Priors(step_sd=bn.HalfNormal(0.3)))
    design = of_response(design) if kind == "response" else design
    shape, replicates = bn.layout([design]), 60
    found = {slopes: [], MEDIAN: []}
    truths = draw_prior(hazard, design, draws=replicates, seed=3)
    for i in range(replicates):
        table = p_values(design, hazard, truths.isel(draw=[i]), shape, seed=i)
        for statement, own in found.items():
            own += list(table.loc[table["statement"] == statement, "p"].dropna())
    for statement, own in found.items():
        assert len(own) > replicates, statement
        assert kstest(own, "uniform").pvalue > 1e-3, statement
    one = draw_prior(hazard, design, draws=1, seed=5)
    sd = hazard.priors.of_measure(design.measure).slope.sd
    for statement, name, away in (
        (slopes, "slope", 4 * sd),
        (MEDIAN, "log_hazard", -3.8),
    ):
        every = [each for each in (name, f"{name}_by_interval") if each in one]
        start = one[name] if name == "slope" else 0.0
        moved = one.assign({each: one[each] - start + away for each in every})
        table = p_values(design, hazard, moved, shape, seed=1).set_index("statement")
        assert (table.loc[statement, "p"] < 0.01).all(), (statement, table)


def p_values(design, hazard, truth, shape, *, seed):
    trial = simulated(design, truth, seed=seed)
    return prior_conflict(bn.fit(trial, hazard, seed=seed, sampler=QUICK, shape=shape, brief=True), hazard)
