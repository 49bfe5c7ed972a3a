"""Differences of arms against sums over patients and numerical integration; nothing is sampled."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from invented_fits import draws, invented, patients

from bayes_net.errors import InputError
from bayes_net.estimands import arm_differences, hazard_ratio_under_frailty, standardised_survival
from bayes_net.estimands.arms import OVER

CUTS = (3.0, 7.5)
TIMES = [2.0, 3.0, 11.0]


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def exposure(rng, n=9):
    data = patients(rng.exponential(9, n), np.ones(n), score=rng.normal(1, 2, n), cuts=CUTS)
    return replace(data, arm=np.arange(n) % 2)


def with_slopes(rng):
    return invented(draws(rng, 2, 3, sd=0.4) - 2.5, cuts=CUTS, slope=draws(rng, 2, sd=0.3))


def test_survival_is_the_difference_of_standardised_curves(rng):
    fit, data = with_slopes(rng), exposure(rng)
    curves = standardised_survival(fit, data, TIMES)
    found = arm_differences(fit, data, TIMES, horizon=10.0)
    np.testing.assert_allclose(
        found["survival"].isel(arm=0), curves.isel(arm=1) - curves.isel(arm=0), rtol=1e-12
    )
    assert found["arm"].values.tolist() == [data.arms[1]]


@pytest.mark.parametrize("horizon", [2.0, 7.5, 13.0])
def test_the_restricted_mean_is_the_area_between_the_curves(rng, horizon):
    fit, data = with_slopes(rng), exposure(rng)
    found = arm_differences(fit, data, TIMES, horizon=horizon)["rmst"].isel(arm=0)
    edges = [0.0, *[cut for cut in CUTS if cut < horizon], horizon]
    area = 0.0
    for low, high in pairwise(edges):
        nodes, weights = np.polynomial.legendre.leggauss(20)
        at = (high - low) / 2 * nodes + (high + low) / 2
        curves = standardised_survival(fit, data, at)
        area = area + ((curves.isel(arm=1) - curves.isel(arm=0)) * weights).sum("time") * (high - low) / 2
    np.testing.assert_allclose(found, area, rtol=1e-9)


def test_what_is_compared_stands_beside_the_difference(rng):
    found = arm_differences(with_slopes(rng), exposure(rng), TIMES, horizon=10.0)
    for quantity in ("survival", "rmst"):
        first, later = found[f"{quantity}_first"], found[f"{quantity}_later"]
        np.testing.assert_allclose(later - first, found[quantity], rtol=1e-12)
    assert (found["n_first"].item(), found["n_later"].item()) == pytest.approx((5.0, 4.0))


def of_grades(rng, n=40):
    """Patients of two grades, which the arms have in other shares; who has which shrinks otherwise."""
    data, grade = exposure(rng, n), (rng.random(n) < np.where(np.arange(n) % 2, 0.7, 0.3)).astype(float)
    return replace(data, covariates=grade[:, None], covariate_names=("grade",), score=data.score + grade)


def with_slopes_and_grade(rng):
    log_hazard, slope = draws(rng, 2, 3, sd=0.4) - 2.5, draws(rng, 2, sd=0.3)
    return invented(log_hazard, cuts=CUTS, slope=slope, covariates={"grade": draws(rng, sd=0.5)})


def curve_of(fit, arm, score, grade):
    """Survival at 4 months, (chain, draw, patient), of patients put into an arm."""
    posterior = fit["posterior"]
    hazard = np.exp(posterior["log_hazard"].values[:, :, arm])
    slope, effect = posterior["slope"].values[:, :, arm, None], posterior["log_hr_covariate"].values
    spent = (hazard[..., 0] * 3 + hazard[..., 1] * 1)[..., None]
    return np.exp(-spent * np.exp(slope * score + effect * grade))


def test_each_arm_has_the_grades_of_all_and_the_shrinkage_of_its_own_patients_with_them(rng):
    """Of one category it is the mean of each level's mean, with the level's share of all (Robins 1986)."""
    fit, data = with_slopes_and_grade(rng), of_grades(rng)
    found, grade = arm_differences(fit, data, [4.0], horizon=6.0), data.covariates[:, 0]
    for side, a in (("first", 0), ("later", 1)):
        expected = 0.0
        for level in (0.0, 1.0):
            own = (data.arm == a) & (grade == level)
            mean = curve_of(fit, a, data.score[own], level).mean(axis=-1)
            expected = expected + mean * (grade == level).mean()
        np.testing.assert_allclose(found[f"survival_{side}"].values[..., 0, 0], expected, rtol=1e-9)
        assert found[f"n_{side}"].item() < (data.arm == a).sum()


def test_at_the_same_shrinkage_every_patient_is_put_into_each_arm(rng):
    fit, data = with_slopes_and_grade(rng), of_grades(rng)
    found = arm_differences(fit, data, [4.0], horizon=6.0, over="same shrinkage")["survival"]
    curves = [curve_of(fit, a, data.score, data.covariates[:, 0]).mean(axis=-1) for a in (0, 1)]
    np.testing.assert_allclose(found.values[..., 0, 0], curves[1] - curves[0], rtol=1e-12)
    as_they_are = arm_differences(fit, data, [4.0], horizon=6.0, over="own patients")["survival"]
    own = standardised_survival(fit, data, [4.0])
    np.testing.assert_allclose(as_they_are.isel(arm=0), own.isel(arm=1) - own.isel(arm=0), rtol=1e-12)


def test_everyone_is_given_to_each_arm_where_there_is_no_shrinkage(rng):
    fit = invented(draws(rng, 2, 3, sd=0.4) - 2.5, cuts=CUTS, covariates={"age": draws(rng, sd=0.3)})
    data = replace(exposure(rng), covariates=rng.normal(size=(9, 1)), covariate_names=("age",))
    found = arm_differences(fit, data, [4.0], horizon=6.0)["survival"]
    hazard = np.exp(fit["posterior"]["log_hazard"].values)
    relative = np.exp(fit["posterior"]["log_hr_covariate"].values * data.covariates[:, 0])
    spent = hazard[..., 0] * 3 + hazard[..., 1] * 1
    curves = np.exp(-spent[..., None] * relative[:, :, None, :]).mean(axis=-1)
    np.testing.assert_allclose(found.values[..., 0, 0], curves[..., 1] - curves[..., 0], rtol=1e-12)


def in_all_draws(found, index):
    """Every draw of the fit with the same parameters, so that only patients differ."""
    posterior = found["posterior"].to_dataset()
    same = posterior.isel(
        {"chain": [0] * posterior.sizes["chain"], "draw": [index] * posterior.sizes["draw"]}
    )
    return xr.DataTree.from_dict(
        {name: found[name].to_dataset() for name in found.children}
        | {"posterior": same.assign_coords(posterior.coords)}
    )


@pytest.mark.parametrize("over", OVER)
def test_with_a_seed_averages_are_over_other_patients_such_as_these(rng, over):
    """Each arm's levels are those of patients who count as often as exponential variates say, after Rubin."""
    fit, data = with_slopes_and_grade(rng), of_grades(rng)
    found = arm_differences(fit, data, [4.0], horizon=6.0, over=over, seed=3)
    counts = np.random.default_rng(3).standard_exponential((*found["rmst"].shape[:2], data.n))
    grade = data.covariates[:, 0]
    for side, a in (("first", 0), ("later", 1)):
        curve, weights = curve_of(fit, a, data.score, grade), counts * (data.arm == a)
        if over == "same shrinkage":
            weights = counts
        elif over == "own shrinkage":  # of one category: shares of all over shares of the arm
            for level in (0.0, 1.0):
                own = (data.arm == a) & (grade == level)
                share = counts[..., grade == level].sum(axis=-1) / counts[..., own].sum(axis=-1)
                weights[..., own] *= share[..., None]
        expected = (curve * weights).sum(axis=-1) / weights.sum(axis=-1)
        np.testing.assert_allclose(found[f"survival_{side}"].values[..., 0, 0], expected, rtol=1e-7)
    np.testing.assert_allclose(found["rmst_later"] - found["rmst_first"], found["rmst"], rtol=1e-12)
    plain = arm_differences(fit, data, [4.0], horizon=6.0, over=over)
    assert found["n_later"].item() == plain["n_later"].item()


def test_other_patients_spread_restricted_means_by_their_standard_error(rng):
    data = of_grades(rng, 80)
    fit = in_all_draws(with_slopes_and_grade(rng), 3)
    found = arm_differences(fit, data, [4.0], horizon=2.0, over="own patients", seed=3)["rmst_first"]
    posterior, own = fit["posterior"], data.arm == 0
    rate = np.exp(
        posterior["log_hazard"].values[0, 0, 0, 0] + posterior["slope"].values[0, 0, 0] * data.score[own]
    )
    rate = rate * np.exp(posterior["log_hr_covariate"].values[0, 0, 0] * data.covariates[own, 0])
    each = -np.expm1(-2.0 * rate) / rate
    assert float(found.std()) == pytest.approx(
        each.std() / np.sqrt(len(each)), rel=4 / np.sqrt(2 * found.size)
    )
    assert float(found.mean()) == pytest.approx(each.mean(), abs=4 * float(found.std()) / np.sqrt(found.size))


def test_what_cannot_be_compared_is_refused(rng):
    fit, data = with_slopes(rng), exposure(rng)
    with pytest.raises(InputError, match="over = 'all' is unknown; expected one of own shrinkage"):
        arm_differences(fit, data, TIMES, horizon=6.0, over="all")
    apart = replace(of_grades(rng), covariates=(np.arange(40) % 2)[:, None].astype(float))
    with pytest.raises(InputError, match="no weights give the patients of control the covariates"):
        arm_differences(with_slopes_and_grade(rng), apart, TIMES, horizon=6.0)
    with pytest.raises(InputError, match="a difference of arms needs two"):
        arm_differences(fit, replace(data, arms=("A",), arm=np.zeros(9, int)), TIMES, horizon=6.0)


def test_frailty_draws_the_ratio_of_those_at_risk_towards_1():
    """Patients of both arms with gamma frailties, followed to a time at which their hazards are averaged."""
    rng, ratio, variance = np.random.default_rng(5), 0.21, 1.0
    frailty = rng.gamma(1 / variance, variance, (2, 400_000))
    hazard = 0.1 * np.array([1.0, ratio])[:, None] * frailty
    time = rng.exponential(1 / hazard)
    for t in (0.0, 5.0, 20.0):
        left = [own[when > t] for own, when in zip(hazard, time, strict=True)]
        observed = left[1].mean() / left[0].mean()
        error = observed * np.sqrt(sum((own.std() / own.mean()) ** 2 / len(own) for own in left))
        alive = (time[0] > t).mean()
        assert hazard_ratio_under_frailty(ratio, alive, variance=variance) == pytest.approx(
            observed, abs=4 * error
        )
    found = hazard_ratio_under_frailty(ratio, [1.0, 0.5, 0.1], variance=variance)
    assert found[0] == pytest.approx(ratio)
    assert (np.diff(found) > 0).all()
    assert hazard_ratio_under_frailty(ratio, 0.3, variance=0.0) == pytest.approx(ratio)


@pytest.mark.parametrize("wrong", [(-1.0, 0.5, 1.0), (0.5, 0.0, 1.0), (0.5, 1.1, 1.0), (0.5, 0.5, -0.1)])
def test_what_no_frailty_can_be_is_refused(wrong):
    with pytest.raises(InputError, match="expected a variance of at least 0"):
        hazard_ratio_under_frailty(*wrong[:2], variance=wrong[2])
