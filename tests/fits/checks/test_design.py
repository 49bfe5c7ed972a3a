"""Planned studies: assurance and power against closed forms, type I error, follow-up, and who decides."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from exposures import patients
from scipy.special import ndtri
from scipy.stats import norm

import bayes_net as bn
from bayes_net.assumptions.priors import Flat, Priors
from bayes_net.checks import design as module
from bayes_net.checks.calibrate import NO_ASSOCIATION
from bayes_net.checks.design import (
    EXCLUDES,
    NEAR,
    POSTERIOR,
    Design,
    design_summary,
    operating_characteristics,
    planned,
    success,
    with_slope,
)
from bayes_net.errors import InputError
from bayes_net.inference.closed_form import parameters

STUDIES, N = 600, 400
MEAN, SD = -0.2, 0.1
"""What is believed of the slope before the study."""
Z = norm.ppf(0.975)


@pytest.fixture(scope="module")
def one_arm():
    """Patients of one arm with scores of variance 1, to be drawn from."""
    score = norm.ppf((np.arange(500) + 0.5) / 500)
    alike = {"time": np.ones(500), "event": np.ones(500), "arm": np.zeros(500, int)}
    some = patients(2, arms=("a",), cuts=())
    return replace(some, score=score / score.std(), covariates=np.empty((500, 0)), **alike)


def believed(arms=("a",), *, mean=MEAN, sd=SD, level=-2.5, intervals=1, draws=4000):
    """A posterior of slopes N(mean, sd), the same in all arms, with a constant hazard."""
    slope = norm(mean, sd).ppf((np.arange(draws) + 0.5) / draws)[None, :, None] * np.ones(len(arms))
    hazard = np.full((1, draws, len(arms), intervals), level)
    dims = ("chain", "draw", "arm")
    posterior = xr.Dataset(
        {"slope": (dims, slope), "log_hazard": ((*dims, "interval"), hazard)},
        {"arm": list(arms), "interval": range(intervals)},
    )
    return xr.DataTree.from_dict({"posterior": posterior})


@pytest.fixture(scope="module")
def large(one_arm):
    """All patients are followed to their event: the slope's standard error is 1 / sqrt(n)."""
    flat = bn.Hazard(priors=Priors(slope=Flat()))
    design = Design(patients=N, accrual=0.0, follow_up=1e4)
    how = {"truths": (1.0, np.exp(-0.15)), "studies": STUDIES, "seed": 1}
    return operating_characteristics(believed(), one_arm, [design], flat, **how)


def test_assurance_and_power_are_those_of_the_closed_form(large):
    """O'Hagan, Stevens & Campbell 2005: the estimate is N(mean, sd^2 + se^2) before the study."""
    se = N**-0.5
    expected = {
        POSTERIOR: norm.cdf((-Z * se - MEAN) / np.hypot(SD, se)),  # 0.82
        NO_ASSOCIATION: 0.025,
        "HR 0.860708": norm.cdf((-Z * se + 0.15) / se),  # 0.85
    }
    table = design_summary(large).set_index("truth")
    assert list(table.index) == list(expected)
    for truth, exact in expected.items():
        mcse = np.sqrt(exact * (1 - exact) / STUDIES)
        assert table.loc[truth, "success"] == pytest.approx(exact, abs=3.5 * mcse), truth
    assert (table["events"] == N).all()
    # a success in the wrong direction: Pr(true slope > 0 and success), of which the closed form is 2e-4
    assert table.loc[POSTERIOR, "right"] > 0.99


def test_monte_carlo_errors_are_binomial(large):
    table = design_summary(large)
    share = table["success"].to_numpy()
    np.testing.assert_allclose(table["mcse"], np.sqrt(share * (1 - share) / STUDIES))
    none = design_summary(large.assign(success=False))
    np.testing.assert_allclose(none["mcse"], 1 / STUDIES)


def test_follow_up_is_that_of_the_plan(one_arm):
    """Uniform entry, administrative censoring and dropout against the exponential's closed form."""
    rate, dropout, accrual, after, landmark = 0.08, 0.03, 12.0, 9.0, 5.0
    true = parameters(believed(mean=0, sd=1e-9, level=np.log(rate), draws=1)["posterior"].to_dataset())
    plan = Design(20_000, accrual, after, landmark=landmark, entering=(0.6,), dropout=dropout)
    trial = planned(true, one_arm, plan, np.random.default_rng(1))
    ends = accrual + after - landmark - np.linspace(0, accrual, 100_001)
    both = rate + dropout
    seen = rate / both * np.mean(1 - np.exp(-both * np.clip(ends, 0, None)))
    n, events = 0.6 * plan.patients, 0.6 * plan.patients * seen
    assert trial.n == pytest.approx(n * np.mean(ends > 0), abs=4 * np.sqrt(n * 0.4))
    assert trial.event.sum() == pytest.approx(events, abs=4 * np.sqrt(events))
    assert trial.time.max() <= accrual + after - landmark
    late = replace(plan, accrual=2.0, follow_up=3.5)  # whoever enters last has half a month
    assert planned(true, one_arm, late, np.random.default_rng(1)).time.max() <= 0.5


def test_a_truth_leaves_the_hazard_at_the_mean_score(one_arm):
    data = patients(60, cuts=(4.0,))
    true = parameters(believed(data.arms, intervals=2, draws=1)["posterior"].to_dataset())
    moved = with_slope(true, 0.3, data)
    assert (moved.slope == 0.3).all()
    for a in range(2):
        mean = data.score[data.arm == a].mean()
        before, after = (p.baseline[0, 0, a] + p.slope[0, 0, a] * mean for p in (true, moved))
        np.testing.assert_allclose(after, before)


def test_an_interval_may_exclude_the_hazard_ratio_on_either_side():
    probs = np.array([0.99, 0.5, 0.01])
    plan = Design(100, 12, 12)
    assert success(probs, plan).tolist() == [True, False, False]
    assert success(probs, replace(plan, rule=EXCLUDES)).tolist() == [True, False, True]


@pytest.fixture(scope="module")
def two_arms():
    data = patients(120, cuts=(4.0, 9.0))
    return data, believed(data.arms, mean=-0.2, sd=0.1, intervals=3)


def studies(two_arms, **how):
    data, fit = two_arms
    return operating_characteristics(fit, data, [Design(120, 6, 12)], truths=(), **({"seed": 2} | how))


def test_mode_and_curvature_decide_only_where_the_engine_says_the_same(two_arms, monkeypatch):
    found = {}
    for near in (0.0, 99.0):
        monkeypatch.setattr(module, "NEAR", near)
        found[near] = studies(two_arms, studies=25)
    assert set(found[0.0]["method"]) == {"mode"}
    assert set(found[99.0]["method"]) <= {"laplace", "nuts"}
    plan = Design(120, 6, 12)
    quick, engine = (found[near]["prob"] for near in (0.0, 99.0))
    far = np.abs(ndtri(quick) - Z) > NEAR
    assert (success(quick, plan) == success(engine, plan))[far].all()
    close = np.abs(ndtri(engine.clip(0.002, 0.998)) - Z) < 0.7
    assert close.sum() > 5
    # of 0.4, the engine's 1,200 draws take up 0.08 at the bar, as a standard error
    assert np.abs(ndtri(quick) - ndtri(engine.clip(0.002, 0.998)))[close].max() < NEAR


def test_processes_change_nothing(two_arms):
    alone, together = (studies(two_arms, studies=6, jobs=jobs) for jobs in (1, 2))
    pd.testing.assert_frame_equal(alone, together)


def test_a_design_that_cannot_be_is_refused(two_arms):
    data, fit = two_arms
    with pytest.raises(InputError, match="before anybody has reached the landmark"):
        Design(100, 2, 3, landmark=8)
    with pytest.raises(InputError, match="a certainty between"):
        Design(100, 2, 3, certainty=95)
    with pytest.raises(InputError, match="at least 2 patients"):
        Design(1, 2, 3)
    with pytest.raises(InputError, match="expects 'per arm' or 'common'"):
        operating_characteristics(fit, data, [Design(100, 2, 3)], bn.Hazard(slopes="time-varying"), seed=1)
