"""What one patient does to a hazard ratio: against exact refits, and nothing said that is not known."""

import numpy as np
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from invented_fits import patients
from scipy import stats

import bayes_net as bn
from bayes_net.checks.gate import HIGH_PARETO_K
from bayes_net.checks.influence import left_out_weights, most_influential, weighted_quantiles
from bayes_net.data.exposure import subset
from bayes_net.errors import InputError
from bayes_net.inference import patients as patients_fit
from bayes_net.report.tables import influence_table

SAMPLER = bn.Sampler(draws=1500, tune=500, target_accept=0.9)
N = 40


def trial(outlier: float = 0.0):
    """Forty patients of two arms, and one of the first who lived longest and whose score is an outlier."""
    rng = np.random.default_rng(5)
    time, score = rng.exponential(8.0, N), rng.normal(1.0, 1.0, N)
    time[0], score[0] = 30.0, outlier
    return patients(time, rng.random(N) < 0.8, arm=np.arange(N) % 2, score=score, cuts=(6.0,))


@pytest.fixture(scope="module")
def data():
    return trial(outlier=6.0)


@pytest.fixture(scope="module")
def fit(data):
    return bn.fit(data, seed=3, sampler=SAMPLER)


@pytest.fixture(scope="module")
def found(fit):
    return bn.checks.influence(fit)


@pytest.fixture
def uncompiled(monkeypatch, fit):
    """Whoever compiles from here on fails the test."""
    monkeypatch.setattr(patients_fit, "compile_model", lambda *_, **__: pytest.fail("compiled"))


def test_leaving_a_patient_out_is_what_a_refit_without_the_patient_gives(data, fit, found, uncompiled):
    change = abs(np.log(found["hr_without"] / found["hr"])).max("arm")
    known = found["reliable"].values
    top = [int(i) for i in np.argsort(-change.values) if known[i]][:3]
    z = stats.norm.isf(0.001 / (2 * 2 * len(top)))
    for i in top:
        exact = bn.fit(
            subset(data, np.arange(data.n) != i), seed=11 + i, sampler=SAMPLER, shape=bn.layout([data])
        )
        for a, arm in enumerate(data.arms):
            ends = [tree["posterior"]["slope"].sel(arm=arm).values for tree in (fit, exact)]
            # importance weights leave fewer effective draws than there are: at k < 0.7 still a third
            errors = [array_stats.mcse(x, method="median") for x in ends]
            error = np.hypot(np.sqrt(3) * errors[0], errors[1])
            told = float(np.log(found["hr_without"][i, a]))
            assert told == pytest.approx(np.median(ends[1]), abs=z * error)
            below = float(found["prob_below_1_without"][i, a])
            assert below == pytest.approx((ends[1] < 0).mean(), abs=0.05)
    assert float(change[top[0]]) > 0.05


def test_a_patient_moves_the_own_arm_most(data, found):
    change = abs(np.log(found["hr_without"] / found["hr"])).values
    own = change[np.arange(N), data.arm]
    other = change[np.arange(N), 1 - data.arm]
    assert np.median(own) > 3 * np.median(other)


def test_where_importance_sampling_fails_the_patient_is_left_out_by_refitting(uncompiled, data, fit, found):
    high = np.flatnonzero(found["pareto_k"].values > HIGH_PARETO_K)
    assert list(high) == [0]
    assert not found["reliable"].values[0]
    assert not found["refitted"].values.any()
    again = bn.checks.influence(fit, data, sampler=SAMPLER)
    assert list(np.flatnonzero(again["refitted"].values)) == [0]
    assert again["reliable"].values.all()
    exact = bn.fit(subset(data, np.arange(data.n) != 0), seed=3, sampler=SAMPLER, shape=bn.layout([data]))
    expected = np.exp(
        np.median(exact["posterior"]["slope"].transpose("arm", ...).values.reshape(2, -1), axis=1)
    )
    np.testing.assert_allclose(again["hr_without"].values[0], expected)
    rest = {"patient": slice(1, None)}
    xr.testing.assert_equal(again.isel(rest), found.isel(rest))
    xr.testing.assert_equal(bn.checks.influence(fit, data, sampler=SAMPLER, most_refits=0), found)


def test_a_refit_that_fails_its_gate_settles_nothing(data, fit):
    brief = bn.Sampler(draws=50, tune=50, chains=2)
    again = bn.checks.influence(fit, data, sampler=brief)
    assert not again["refitted"].values.any()
    assert not again["reliable"].values[0]


def test_the_summary_tells_the_largest_change_that_is_known(found):
    told = most_influential(found)
    assert list(told["arm"]) == list(found["arm"].values)
    assert set(told["n_unreliable"]) == {1}
    for row in told.itertuples():
        change = abs(np.log(found["hr_without"].sel(arm=row.arm) / found["hr"].sel(arm=row.arm)))
        assert abs(np.log(row.hr_without / row.hr)) == float(change[1:].max())
    none = most_influential(found.assign(reliable=found["reliable"] & False))
    assert none["hr_without"].isna().all()
    assert set(none["n_unreliable"]) == {N}


def test_the_summary_holds_nothing_that_tells_who_it_is(found):
    assert not {"patient", "row", "index"} & set(most_influential(found).columns)


@pytest.mark.parametrize(
    ("hr", "without", "said"),
    [(0.9, 0.94, "towards 1"), (1.2, 1.1, "towards 1"), (0.9, 0.8, "away from 1"), (0.97, 1.02, "across 1")],
)
def test_the_direction_is_told(found, hr, without, said):
    row = most_influential(found).head(1).assign(landmark="150 d", biased=False, hr=hr, hr_without=without)
    assert list(influence_table(row)["Moved"]) == [said]


def test_a_likelihood_that_does_not_vary_leaves_the_weights_even():
    weights, k = left_out_weights(np.full((4, 100), -0.3))
    assert k == 0
    np.testing.assert_allclose(weights, 1 / 400)


def test_weights_are_those_of_the_conjugate_posterior_without_a_datum():
    """Twelve observations N(theta, 1), flat prior: without one whose value is 1 above the mean of all."""
    theta = np.random.default_rng(2).normal(0.0, 12**-0.5, (4, 25_000))
    weights, k = left_out_weights(-0.5 * (1.0 - theta) ** 2)
    assert k < 0.5
    flat = theta.ravel()
    mean = weights.ravel() @ flat
    assert mean == pytest.approx(-1 / 11, abs=4 * 1.2 * 12**-0.5 / np.sqrt(100_000))
    assert weights.ravel() @ (flat - mean) ** 2 == pytest.approx(1 / 11, rel=0.03)


def test_weighted_quantiles_are_those_of_the_weighted_distribution():
    draws, levels = np.random.default_rng(1).normal(size=400), [0.05, 0.5, 0.9]
    even = weighted_quantiles(draws, np.full((1, 400), 1 / 400), levels)[0]
    np.testing.assert_allclose(even, np.quantile(draws, levels, method="hazen"))
    shares = np.random.default_rng(2).dirichlet(np.ones(400), 3)
    for own, told in zip(shares, weighted_quantiles(draws, shares, levels), strict=True):
        below = np.array([own[draws < q].sum() for q in told])
        assert (abs(below - levels) <= own.max()).all()


def test_what_does_not_belong_together_is_refused(fit, data):
    with pytest.raises(InputError, match="data has 39 patients, the fit 40"):
        bn.checks.influence(fit, subset(data, np.arange(data.n) != 3))
    bare = xr.DataTree.from_dict({"posterior": fit["posterior"].to_dataset()})
    with pytest.raises(InputError, match="no slope or no log_likelihood"):
        bn.checks.influence(bare)
