"""Several studies with baselines of their own: against fits of each, sums over draws, and a known truth."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from exposures import patients

from bayes_net.assumptions.hazard import Hazard
from bayes_net.assumptions.priors import Normal, Priors
from bayes_net.data.exposure import Exposure, subset
from bayes_net.errors import InputError
from bayes_net.estimands import (
    arm_differences,
    arm_hazard_ratio,
    conditional_survival,
    cumulative_hazard,
    median_survival,
    rmst,
    standardised_survival,
    survival,
)
from bayes_net.inference.patients import fit
from bayes_net.inference.sampling import Sampler

BRIEF = Sampler(draws=100, tune=100, chains=2)
TIMES = [1.0, 4.0, 11.0]


@pytest.fixture(scope="module")
def three():
    """Trials A and B have both arms, C has the treated alone."""
    data = patients(240, seed=3, studies=("A", "B", "C"))
    return replace(data, arm=np.where(data.study == 2, 1, data.arm))


@pytest.fixture(scope="module")
def fitted(three):
    return fit(three, seed=1, sampler=BRIEF)


def shares(data, arm):
    counts = np.bincount(data.study, minlength=3).astype(float)
    counts[[not (data.arm[data.study == s] == arm).any() for s in range(3)]] = 0.0
    return counts / counts.sum()


def by_study(of, fitted, **how):
    return [of(fitted, study=name, **how) for name in ("A", "B", "C")]


@pytest.mark.parametrize("of", ["survival", "rmst"])
def test_averages_over_studies_have_the_shares_of_the_patients_in_every_arm_alike(of, three, fitted):
    of, how = {"survival": (survival, {"times": TIMES}), "rmst": (rmst, {"horizon": 9.0})}[of]
    each, found = by_study(of, fitted, shrinkage=[0, 30], **how), of(fitted, shrinkage=[0, 30], **how)
    assert "study" not in found.dims
    for a, arm in enumerate(three.arms):
        parts = [x.sel(arm=arm).fillna(0.0) * w for x, w in zip(each, shares(three, a), strict=True)]
        np.testing.assert_allclose(found.sel(arm=arm), sum(parts), rtol=1e-10)
    assert each[2].sel(arm="control").isnull().all()
    assert not found.isnull().any()


def test_arms_that_share_their_baselines_are_averaged_over_every_study(three):
    """The control arm of C too, of which proportional hazards tell."""
    fitted = fit(three, Hazard("shared"), seed=1, sampler=BRIEF)
    each, found = by_study(survival, fitted, times=TIMES), survival(fitted, TIMES)
    counts = np.bincount(three.study)
    expected = sum(x * n for x, n in zip(each, counts, strict=True)) / three.n
    np.testing.assert_allclose(found, expected.transpose(*found.dims), rtol=1e-10)
    ratio = arm_hazard_ratio(fitted, shrinkage=[0.0, 30.0])
    of_study = cumulative_hazard(fitted, [6.0], shrinkage=[0.0, 30.0], study="B").isel(time=0)
    hazards = of_study.sel(arm=["treated"]) / of_study.sel(arm="control", drop=True)
    np.testing.assert_allclose(ratio, hazards.transpose(*ratio.dims), rtol=1e-10)


def test_the_median_and_later_survival_are_those_of_the_average(fitted):
    median = median_survival(fitted, shrinkage=[0, 30])
    for arm in median["arm"].values:
        for points in (0, 30):
            for draw in (0, 57):
                at = {"chain": 1, "draw": draw}
                months = float(median.isel(at).sel(arm=arm, shrinkage=points))
                there = survival(fitted, [months], shrinkage=[points]).isel(at).sel(arm=arm)
                assert float(there.squeeze()) == pytest.approx(0.5, abs=1e-9)
    later = conditional_survival(fitted, [3.0], given=2.0).isel(time=0)
    both = survival(fitted, [2.0, 5.0])
    np.testing.assert_allclose(later, both.isel(time=1) / both.isel(time=0), rtol=1e-9)


def test_patients_have_the_baselines_of_their_own_study(three, fitted):
    found = standardised_survival(fitted, three, [4.0]).isel(time=0)
    for a, arm in enumerate(three.arms):
        total = 0.0
        for s, name in enumerate(three.studies):
            own = subset(three, (three.study == s) & (three.arm == a))
            if own.rows:
                curves = survival(fitted, [4.0], shrinkage=own.score * 10, study=name)
                total = total + curves.isel(time=0).sel(arm=arm).sum("shrinkage")
        np.testing.assert_allclose(found.sel(arm=arm), total / (three.arm == a).sum(), rtol=1e-9)


def test_arms_are_compared_within_the_studies_that_have_both(three, fitted):
    found, expected, shared = arm_differences(fitted, three, [4.0], horizon=6.0), 0.0, three.study < 2
    for s in range(2):
        own = subset(three, three.study == s)
        both = standardised_survival(fitted, own, [4.0]).isel(time=0)
        expected = expected + (both.isel(arm=1) - both.isel(arm=0)) * (own.n / shared.sum())
    np.testing.assert_allclose(found["survival"].squeeze(), expected, rtol=1e-9)
    apart = subset(three, (three.study == 2) | (three.arm == 0))
    with pytest.raises(InputError, match="no study has patients of both control and treated"):
        arm_differences(fitted, apart, [4.0], horizon=6.0)


def test_an_unknown_study_is_refused(fitted):
    with pytest.raises(InputError, match="study 'D' has no baseline of its own; those that have are A, B, C"):
        survival(fitted, [1.0], study="D")
    alone = fit(patients(30), seed=1, sampler=BRIEF)
    with pytest.raises(InputError, match="none: all patients share their baselines"):
        survival(alone, [1.0], study="A")


def test_the_order_and_the_names_of_studies_change_nothing(three):
    """The density is that of the same patients, with the baselines exchanged."""
    from bayes_net.engine.patients import patients_posterior

    turned = replace(three, study=(three.study + 1) % 3, studies=("X", "Y", "Z"))
    first, second = (patients_posterior(data) for data in (three, turned))
    x = first.start + np.random.default_rng(5).normal(0, 0.4, first.size)
    y, end = x.copy(), 0
    for shape, _ in first.variables.values():
        start, end = end, end + int(np.prod(shape))
        if shape[:1] == (3,):
            y[start:end] = np.roll(x[start:end].reshape(shape), 1, axis=0).ravel()
    assert first(x)[0] == pytest.approx(second(y)[0], rel=1e-12)


def simulated(seed: int, n: int = 1200) -> tuple[Exposure, float]:
    """Two trials; in the second hazards are four times as high and shrinkage is 40 points deeper. Within each
    the log hazard ratio per 10 points is -0.2."""
    rng, slope = np.random.default_rng(seed), -0.2
    study, arm = np.repeat([0, 1], n // 2), rng.integers(0, 2, n)
    score = rng.normal(0.0, 1.5, n) + 4.0 * study
    rate = np.array([0.04, 0.16])[study] * np.exp(slope * (score - 4.0 * study))
    event, end = rng.exponential(1 / rate), rng.uniform(6.0, 40.0, n)
    return Exposure(
        time=np.minimum(event, end),
        event=(event <= end).astype(float),
        arm=arm,
        score=score,
        covariates=np.empty((n, 0)),
        cuts=np.array([6.0, 12.0]),
        arms=("control", "treated"),
        study=study,
        studies=("A", "B"),
    ), slope


def test_a_difference_between_trials_is_no_association_within_them():
    data, slope = simulated(1)
    hazard = Hazard(slopes="common", priors=Priors(slope=Normal(0.0, 1.0)))
    own, pooled = (
        fit(each, hazard, seed=2, sampler=Sampler(draws=300, tune=300, chains=2))["posterior"]["common_slope"]
        for each in (data, replace(data, study=None, studies=()))
    )
    within = float(own.mean()), float(own.std())
    assert abs(within[0] - slope) < 3 * within[1]
    # one baseline for both: patients with more shrinkage come from the trial with the higher hazard
    assert float(pooled.quantile(0.01)) > 0.05


def test_one_study_with_a_dim_of_its_own_is_the_model_without(three):
    """A study by itself has the likelihood of its patients: the sum over studies is that of all."""
    from bayes_net.inference.closed_form import log_likelihood

    fitted = fit(three, seed=1, sampler=BRIEF)["posterior"].to_dataset().isel(draw=slice(0, 3))
    whole = log_likelihood(fitted, three)
    for s, name in enumerate(three.studies):
        own = three.study == s
        alone = replace(subset(three, own), study=None, studies=())
        part = log_likelihood(fitted.sel(study=name, drop=True), alone)
        np.testing.assert_allclose(whole.values[..., own], part.values, rtol=1e-12)
    assert isinstance(whole, xr.DataArray)
