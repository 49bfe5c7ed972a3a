"""Estimands against closed forms, numerical integration and sums over patients; nothing is sampled."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from invented_fits import ARMS, draws, invented, patients
from scipy import integrate

import bayes_net as bn
from bayes_net.data.terms import Response, Shrinkage, covariate_attrs
from bayes_net.errors import InputError
from bayes_net.estimands import survival as survival_
from bayes_net.estimands.ratios import (
    arm_hazard_ratio,
    covariate_hazard_ratio,
    hazard_ratio,
    hazard_ratio_by_time,
    interaction,
)
from bayes_net.estimands.summary import contrast, probability, summarise
from bayes_net.estimands.survival import (
    conditional_survival,
    cumulative_hazard,
    median_survival,
    rmst,
    standardised_survival,
)
from bayes_net.inference.closed_form import event_times, hazards_by_stratum, parameters
from bayes_net.labels import about, coordinates, texts

CUTS = (3.0, 7.5, 20.0)
EXACT = {"rtol": 1e-10, "atol": 1e-12}
SAMPLES = ("chain", "draw")


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture(params=["constant", "varying"])
def piecewise(rng, request):
    """Two arms, four intervals, slopes, constant or by interval, two covariates and an arm effect."""
    more = {"slope_by_interval": draws(rng, 2, 4, sd=0.3)} if request.param == "varying" else {}
    return invented(
        draws(rng, 2, 4, mean=-2.5, sd=0.6),
        draws(rng, 2, mean=-0.2, sd=0.1),
        cuts=CUTS,
        **more,
        covariates={"age": draws(rng, sd=0.3), "grade: II": draws(rng, sd=0.3)},
    )


def hazard_function(fit, *, chain, draw, arm, shrinkage, covariates):
    """The hazard of one draw by its definition: an event on a cut-point belongs to the earlier interval."""
    own = fit["posterior"].isel(chain=chain, draw=draw)
    ends = fit["constant_data"]["interval_end"].values
    eta = (
        own["slope_by_interval" if "slope_by_interval" in own else "slope"].sel(arm=arm).values
        * shrinkage
        / 10
    )
    eta = eta + sum(float(own["log_hr_covariate"].sel(covariate=name)) * x for name, x in covariates.items())
    rates = np.exp(own["log_hazard"].sel(arm=arm).values + eta)
    return lambda t: rates[np.searchsorted(ends, t, side="left")]


def exponential(rate, slope=0.0, **more) -> xr.DataTree:
    rate = np.asarray(rate, float)
    return invented(np.log(rate)[..., None], np.broadcast_to(slope, rate.shape), **more)


def test_an_exponential_has_its_closed_forms(rng):
    rate, slope = np.exp(draws(rng, 2, mean=-2.5, sd=0.4)), draws(rng, 2, sd=0.2)
    fit, times, points = exponential(rate, slope), [0.0, 1.0, 12.0, 80.0], [-20.0, 0.0, 35.0]
    own = rate[..., None] * np.exp(slope[..., None] * np.array(points) / 10)
    survival = survival_(fit, times, shrinkage=points)
    assert survival.dims == ("chain", "draw", "arm", "shrinkage", "time")
    assert survival["arm"].values.tolist() == list(ARMS)
    np.testing.assert_allclose(survival, np.exp(-own[..., None] * times), **EXACT)
    np.testing.assert_allclose(median_survival(fit, shrinkage=points), np.log(2) / own, **EXACT)
    mean = rmst(fit, horizon=18.0, shrinkage=points)
    assert mean.dims == ("chain", "draw", "arm", "shrinkage")
    np.testing.assert_allclose(mean, (1 - np.exp(-18 * own)) / own, **EXACT)
    # an exponential forgets how long it has lasted
    later = conditional_survival(fit, times, given=9.0, shrinkage=points)
    np.testing.assert_allclose(later, survival, **EXACT)
    assert later["time"].values.tolist() == times


def test_survival_and_its_restricted_mean_are_integrals_of_the_hazard(piecewise):
    horizon, covariates = 26.0, {"age": 1.5, "grade: II": 1.0}
    hazard = hazard_function(piecewise, chain=1, draw=2, arm="treated", shrinkage=25.0, covariates=covariates)

    def cumulative(t):
        inner = [c for c in CUTS if c < t]
        return integrate.quad(hazard, 0, t, points=inner, limit=200)[0] if t else 0.0

    def one(values):
        return values.isel(chain=1, draw=2).sel(arm="treated", shrinkage=25.0)

    times = [0.0, 1.0, 3.0, 7.4, 7.6, 20.0, 31.0]
    expected = [cumulative(t) for t in times]
    got = cumulative_hazard(piecewise, times, shrinkage=[25.0], covariates=covariates)
    np.testing.assert_allclose(one(got), expected, rtol=1e-8)
    curve = survival_(piecewise, times, shrinkage=[25.0], covariates=covariates)
    np.testing.assert_allclose(one(curve), np.exp(-np.array(expected)), rtol=1e-8)
    area = integrate.quad(lambda t: np.exp(-cumulative(t)), 0, horizon, points=CUTS, limit=200, epsabs=1e-10)[
        0
    ]
    mean = rmst(piecewise, horizon=horizon, shrinkage=[25.0], covariates=covariates)
    assert float(one(mean)) == pytest.approx(area, rel=1e-8)
    given = conditional_survival(piecewise, [5.0], given=6.0, shrinkage=[25.0], covariates=covariates)
    assert float(one(given)[0]) == pytest.approx(np.exp(cumulative(6.0) - cumulative(11.0)), rel=1e-8)


@pytest.mark.parametrize("scale", [40.0, 6.0, 1.0, 0.1, 1e-4])
def test_half_survive_the_median_wherever_it_falls(piecewise, scale):
    """Before the first cut-point, between, on the way past the last, far beyond it."""
    scaled = piecewise.copy()
    scaled["posterior"] = xr.DataTree(
        piecewise["posterior"].to_dataset().assign(log_hazard=lambda x: x["log_hazard"] + np.log(scale))
    )
    median = median_survival(scaled, shrinkage=[-10.0, 30.0])
    for place in np.ndindex(2, 5, 2, 2):
        at = float(median.values[place])
        own = survival_(scaled, [at], shrinkage=[-10.0, 30.0]).values[place]
        assert own[0] == pytest.approx(0.5, rel=1e-10), (place, at)
    intervals = np.searchsorted(CUTS, median.values.ravel())
    assert set(intervals) <= {40.0: {0}, 1e-4: {3}}.get(scale, {0, 1, 2, 3})


def test_a_median_exactly_on_a_cut_point_is_that_cut_point():
    rates = np.log(2) / np.array([6.0, 6.0, 1.0])
    fit = invented(np.log(np.broadcast_to(rates, (1, 3, 2, 3))), np.zeros((1, 3, 2)), cuts=(2.0, 6.0))
    np.testing.assert_allclose(median_survival(fit), 6.0, rtol=1e-12)


@pytest.mark.parametrize("tiny", [-30.0, -200.0, -800.0])
def test_a_hazard_of_next_to_nothing_is_no_event_and_no_error(tiny):
    """exp(-800) is 0 in floating point: survival stays 1, the mean is the horizon, the median is never."""
    fit = invented(np.full((1, 2, 2, 2), tiny), np.zeros((1, 2, 2)), cuts=(5.0,))
    np.testing.assert_allclose(survival_(fit, [12.0]), 1.0, rtol=1e-10)
    np.testing.assert_allclose(rmst(fit, horizon=12.0), 12.0, rtol=1e-10)
    assert (median_survival(fit) > 1e12).all()
    gone = invented(np.full((1, 2, 2, 2), [tiny, 0.0]), np.zeros((1, 2, 2)), cuts=(5.0,))
    np.testing.assert_allclose(median_survival(gone), 5.0 + np.log(2), rtol=1e-10)
    np.testing.assert_allclose(rmst(gone, horizon=12.0), 5.0 + 1 - np.exp(-7.0), rtol=1e-10)


def test_a_draw_that_is_not_a_number_stays_one():
    spoilt = np.full((1, 2, 2, 2), -2.0)
    spoilt[0, 1, 1, 0] = np.nan
    fit = invented(spoilt, np.zeros((1, 2, 2)), cuts=(5.0,))
    for values in (survival_(fit, [12.0]), rmst(fit, horizon=12.0), median_survival(fit)):
        missing = np.isnan(values.values).reshape(2, 2)
        assert missing.tolist() == [[False, False], [False, True]]


def side_by_side(rng):
    """Two landmarks, whose cut-points differ in number and in place, stacked as a run does."""
    from bayes_net.inference.patients import stack

    fits = {
        "36 w": invented(
            draws(rng, 2, 2, mean=-3), draws(rng, 2), cuts=(9.0,), slope_by_interval=draws(rng, 2, 2)
        ),
        "150 d": invented(
            draws(rng, 2, 4, mean=-3), draws(rng, 2), cuts=CUTS, slope_by_interval=draws(rng, 2, 4)
        ),
    }
    return fits, stack(fits, dim="landmark")


def test_landmarks_side_by_side_are_each_what_they_are_alone(rng):
    fits, stacked = side_by_side(rng)
    wanted = {
        "hazard ratio": hazard_ratio,
        "by time": lambda fit: hazard_ratio_by_time(fit, [0.0, 3.0, 8.0, 30.0]),
        "interaction": interaction,
        "survival": lambda fit: survival_(fit, [0.0, 2.0, 8.0, 30.0], shrinkage=[0.0, 20.0]),
        "conditional": lambda fit: conditional_survival(fit, [2.0, 30.0], given=4.0),
        "median": lambda fit: median_survival(fit, shrinkage=[0.0, 20.0]),
        "rmst": lambda fit: rmst(fit, horizon=14.0, shrinkage=[0.0, 20.0]),
    }
    for name, estimand in wanted.items():
        both = estimand(stacked)
        assert set(both.dims) >= {"landmark", "arm"}, name
        for label, alone in fits.items():
            own = estimand(alone)
            np.testing.assert_allclose(both.sel(landmark=label).transpose(*own.dims), own, **EXACT)


def test_the_first_landmark_given_stays_first(rng):
    _, stacked = side_by_side(rng)
    assert hazard_ratio(stacked)["landmark"].values.tolist() == ["36 w", "150 d"]


def test_covariates_multiply_the_hazard(piecewise):
    effects = piecewise["posterior"]["log_hr_covariate"]
    with_both = cumulative_hazard(piecewise, [10.0], covariates={"age": -2.0, "grade: II": 1.0})
    ratio = (with_both / cumulative_hazard(piecewise, [10.0])).isel(shrinkage=0, time=0)
    expected = np.exp(-2 * effects.sel(covariate="age") + effects.sel(covariate="grade: II"))
    np.testing.assert_allclose(ratio.sel(arm="treated"), expected, **EXACT)
    np.testing.assert_allclose(covariate_hazard_ratio(piecewise), np.exp(effects), **EXACT)
    with pytest.raises(InputError, match="covariate 'sex' is not in the model; it has age, grade: II"):
        survival_(piecewise, [1.0], covariates={"sex": 1})


def test_covariates_are_given_as_the_patient_table_has_them(piecewise):
    terms = (bn.Covariate("age", 60, 10), bn.Covariate("grade", levels=("I", "II")))
    fit = xr.DataTree(
        dataset=xr.Dataset(attrs=piecewise.attrs | covariate_attrs(terms)), children=dict(piecewise.children)
    )
    given = survival_(fit, [10.0], covariates={"age": 40, "grade": "II"})
    coded = survival_(piecewise, [10.0], covariates={"age": -2.0, "grade: II": 1.0})
    np.testing.assert_allclose(given, coded, **EXACT)
    reference = survival_(fit, [10.0], covariates={"age": 60, "grade": "I"})
    np.testing.assert_allclose(reference, survival_(piecewise, [10.0]), **EXACT)
    for wrong, message in (
        ({"grade: II": 1.0}, "'grade: II' is not in the model; it has age, grade"),
        ({"grade": "IV"}, "grade = 'IV'; expected one of I, II"),
        ({"age": "old"}, "age = 'old'; expected a number"),
    ):
        with pytest.raises(InputError, match=message):
            survival_(fit, [10.0], covariates=wrong)


def test_the_hazard_ratio_is_per_points_of_shrinkage(piecewise):
    slope = piecewise["posterior"]["slope"]
    np.testing.assert_allclose(hazard_ratio(piecewise), np.exp(slope), **EXACT)
    np.testing.assert_allclose(hazard_ratio(piecewise, per=1), np.exp(slope / 10), **EXACT)
    if "slope_by_interval" not in piecewise["posterior"]:
        hazards = cumulative_hazard(piecewise, [4.0], shrinkage=[20.0, 21.0]).isel(time=0)
        one_point = hazards.sel(shrinkage=21.0) / hazards.sel(shrinkage=20.0)
        np.testing.assert_allclose(one_point, hazard_ratio(piecewise, per=1), **EXACT)


def test_the_hazard_ratio_by_time_is_that_of_the_hazards_at_that_time(piecewise):
    """A time on a cut-point belongs to the interval that ends there, and 0 to the first."""
    times, before = (
        [0.0, 3.0, 3.1, 7.5, 14.0, 20.0, 21.0, 500.0],
        [0.0, 2.9, 3.05, 7.4, 13.0, 19.0, 20.5, 400.0],
    )
    after = [1.0, *times[1:]]
    total = {
        at: cumulative_hazard(piecewise, at, shrinkage=[5.0, 17.0]) for at in (tuple(before), tuple(after))
    }
    hazards = total[tuple(after)].values - total[tuple(before)].values
    found = hazard_ratio_by_time(piecewise, times, per=12)
    assert found.dims == ("chain", "draw", "arm", "time")
    assert found["time"].values.tolist() == times
    np.testing.assert_allclose(found, hazards[..., 1, :] / hazards[..., 0, :], rtol=1e-10)
    for wrong in ([-1.0], [np.inf], [np.nan]):
        with pytest.raises(InputError, match="expected finite months from 0"):
            hazard_ratio_by_time(piecewise, wrong)


def test_arms_are_compared_at_the_reference_alone_where_slopes_vary(rng):
    """There it is the geometric mean over time, the open last interval as long as the one before it."""
    own = {"slope_by_interval": draws(rng, 2, 4), "arm_effect": draws(rng, 1)}
    hazards = draws(rng, 2, 4)
    fit = invented(hazards, draws(rng, 2), cuts=CUTS, measure=Shrinkage(20.0), **own)
    logs = (hazards[..., 1, :] - hazards[..., 0, :]) @ np.array([3.0, 4.5, 12.5, 12.5]) / 32.5
    np.testing.assert_allclose(arm_hazard_ratio(fit)[..., 0, 0], np.exp(logs), **EXACT)
    with pytest.raises(InputError, match="a shrinkage of 20, 30; expected 20 alone, or compare survival"):
        arm_hazard_ratio(fit, shrinkage=[20.0, 30.0])


def test_events_happen_when_the_hazard_has_added_up(piecewise, rng):
    """Of one draw: until the event the patient's hazard adds up to the residual, divided by the factor."""
    n, factor = 30, 1.7
    data = patients(
        rng.exponential(8, n), np.zeros(n), arm=rng.integers(0, 2, n), score=rng.normal(1, 2, n),
        covariates=rng.normal(size=(n, 2)), names=("age", "grade: II"), cuts=CUTS,
    )  # fmt: skip
    residual, one = rng.exponential(size=n), piecewise["posterior"].to_dataset().isel(chain=[1], draw=[2])
    for _, own, baseline, added in hazards_by_stratum(parameters(one), data):
        at = {"since": data.time[own], "factor": factor}
        times = event_times(baseline[0, 0], added[0, 0], data.starts, residual[own], **at)
        for i, time in zip(np.flatnonzero(own), times, strict=True):
            total = cumulative_hazard(
                piecewise, [data.time[i], time], shrinkage=[10 * data.score[i]],
                covariates=dict(zip(data.covariate_names, data.covariates[i], strict=True)),
            ).isel(chain=1, draw=2, arm=data.arm[i], shrinkage=0)  # fmt: skip
            assert float(total[1] - total[0]) == pytest.approx(residual[i] / factor, rel=1e-10)


def test_a_response_is_one_step_at_its_threshold(rng):
    slope = draws(rng, 2, sd=0.5)
    fit = exponential(np.full((2, 5, 2), 0.1), slope, measure=Response(30.0))
    np.testing.assert_allclose(hazard_ratio(fit, per=1), np.exp(slope), **EXACT)
    hazards = cumulative_hazard(fit, [1.0], shrinkage=[-15.0, 29.0, 30.0, 90.0]).isel(time=0)
    np.testing.assert_allclose(hazards.sel(shrinkage=[-15.0, 29.0]), 0.1, **EXACT)
    np.testing.assert_allclose(hazards.sel(shrinkage=30.0), 0.1 * np.exp(slope), **EXACT)
    np.testing.assert_allclose(hazards.sel(shrinkage=90.0), hazards.sel(shrinkage=30.0), **EXACT)


def test_a_reference_moves_the_score_and_no_hazard_ratio(rng):
    fit = exponential(np.full((2, 5, 2), 0.1), -0.3, measure=Shrinkage(20.0))
    hazards = cumulative_hazard(fit, [1.0], shrinkage=[20.0, 30.0]).isel(time=0)
    np.testing.assert_allclose(hazards.sel(shrinkage=20.0), 0.1, **EXACT)
    np.testing.assert_allclose(hazards.sel(shrinkage=30.0), 0.1 * np.exp(-0.3), **EXACT)
    np.testing.assert_allclose(hazard_ratio(fit), np.exp(-0.3), **EXACT)


@pytest.fixture(params=[0.0, 2.5])
def shared_baseline(rng, request):
    """Three arms that share their baseline, which is that of patients at a score of 0 or at the average one,
    with slopes of their own."""
    arms, effect, slope = ("A", "B", "C"), draws(rng, 2, sd=0.5), draws(rng, 3, sd=0.3)
    common = draws(rng, 1, 4, mean=-3)
    log_hazard = common + np.concatenate([np.zeros((2, 5, 1)), effect], axis=-1)[..., None]
    log_hazard = log_hazard - request.param * slope[..., None]
    return invented(log_hazard, slope, cuts=CUTS, arms=arms, arm_effect=effect, measure=Shrinkage(10.0))


def test_the_arm_hazard_ratio_is_the_ratio_of_hazards_at_the_same_shrinkage(shared_baseline):
    points = [-10.0, 0.0, 45.0]
    hazards = cumulative_hazard(shared_baseline, [6.0], shrinkage=points).isel(time=0)
    got = arm_hazard_ratio(shared_baseline, shrinkage=points)
    assert got.dims == ("chain", "draw", "arm", "shrinkage")
    assert got["arm"].values.tolist() == ["B", "C"]
    expected = hazards.sel(arm=["B", "C"]) / hazards.sel(arm="A", drop=True)
    np.testing.assert_allclose(got, expected.transpose(*got.dims), **EXACT)


def test_the_arm_hazard_ratio_is_by_default_at_the_reference(shared_baseline):
    got = arm_hazard_ratio(shared_baseline)
    assert got["shrinkage"].values.tolist() == [10.0]
    np.testing.assert_allclose(got, arm_hazard_ratio(shared_baseline, shrinkage=[10.0]), **EXACT)


def test_without_slopes_the_arm_hazard_ratio_is_the_same_for_everyone(rng):
    fit = invented(draws(rng, 2, 1), arm_effect=draws(rng, 1))
    ratio = arm_hazard_ratio(fit, shrinkage=[0.0, 50.0])
    np.testing.assert_allclose(ratio.sel(shrinkage=0.0), ratio.sel(shrinkage=50.0), **EXACT)
    at_0, reference = survival_(fit, [3.0], shrinkage=[0.0]), survival_(fit, [3.0])
    np.testing.assert_allclose(at_0, reference, **EXACT)
    with pytest.raises(InputError, match="no slope"):
        hazard_ratio(fit)


def test_the_interaction_is_the_ratio_of_the_arms_hazard_ratios(shared_baseline):
    ratio = interaction(shared_baseline)
    own = hazard_ratio(shared_baseline)
    assert ratio["arm"].values.tolist() == ["B", "C"]
    np.testing.assert_allclose(ratio.sel(arm="C"), own.sel(arm="C") / own.sel(arm="A"), **EXACT)


def test_hazard_ratios_of_arms_that_do_not_exist_are_refused(piecewise, rng):
    with pytest.raises(InputError, match=r"baselines of their own.*baseline 'shared'"):
        arm_hazard_ratio(piecewise)
    with pytest.raises(InputError, match="the only arm is A"):
        arm_hazard_ratio(invented(draws(rng, 1, 1), draws(rng, 1), arms=("A",)))


def test_standardised_survival_is_the_mean_over_an_arms_own_patients(piecewise):
    data = patients(
        [1, 5, 9, 30, 2, 8],
        [1, 0, 1, 0, 1, 1],
        arm=[0, 0, 1, 1, 1, 0],
        score=[-1.0, 2.0, 0.5, 6.0, 3.0, 0.0],
        covariates=[[0, 1], [1, 0], [0.5, 1], [2, 0], [-1, 1], [0, 0]],
        names=("age", "grade: II"),
        cuts=CUTS,
    )
    times = [0.0, 3.0, 11.0, 40.0]
    got = standardised_survival(piecewise, data, times)
    assert got.dims == ("chain", "draw", "arm", "time")
    for a, arm in enumerate(ARMS):
        each = [
            survival_(
                piecewise,
                times,
                shrinkage=[10 * data.score[i]],
                covariates=dict(zip(("age", "grade: II"), data.covariates[i], strict=True)),
            ).sel(arm=arm, shrinkage=10 * data.score[i])
            for i in np.flatnonzero(data.arm == a)
        ]
        np.testing.assert_allclose(got.sel(arm=arm), np.mean(each, axis=0), **EXACT)


def test_an_arm_without_patients_has_no_standardised_survival(piecewise):
    data = patients([4, 5], [1, 1], covariates=[[0, 0], [0, 0]], names=("age", "grade: II"), cuts=CUTS)
    got = standardised_survival(piecewise, data, [1.0])
    assert np.isfinite(got.sel(arm="control")).all()
    assert np.isnan(got.sel(arm="treated")).all()


def test_a_contrast_is_a_difference_from_the_reference(piecewise):
    means = rmst(piecewise, horizon=12.0, shrinkage=[0.0, 30.0])
    gain = contrast(means, dim="shrinkage", reference=0.0)
    assert gain["shrinkage"].values.tolist() == [30.0]
    expected = means.sel(shrinkage=30.0) - means.sel(shrinkage=0.0)
    np.testing.assert_allclose(gain.sel(shrinkage=30.0), expected, **EXACT)


def test_a_probability_is_the_share_of_draws_strictly_between_the_limits():
    values = xr.DataArray([[0.8, 0.9], [1.0, 1.2]], dims=SAMPLES)
    assert probability(values, below=1.0) == 0.5
    assert probability(values, above=0.8, below=1.2) == 0.5
    assert probability(values, above=0.8) == 0.75


@pytest.fixture
def many():
    rng = np.random.default_rng(5)
    skewed = rng.gamma(2.0, size=(4, 500, 2, 3)) + np.arange(6).reshape(2, 3)
    coords = {"arm": list(ARMS), "time": [6.0, 12.0, 24.0]}
    return xr.DataArray(skewed, dims=(*SAMPLES, "arm", "time"), coords=coords)


def test_a_summary_agrees_with_numpy_and_arviz_row_by_row(many):
    table = summarise(many, ci_prob=0.9)
    assert list(zip(table["arm"], table["time"], strict=True)) == [(a, t) for a in ARMS for t in (6, 12, 24)]
    for row in table.itertuples():
        x = many.sel(arm=row.arm, time=row.time).values
        expected = [np.median(x), *np.quantile(x, [0.05, 0.95]), x.mean(), x.std(ddof=1)]
        got = [row.estimate, row.lower, row.upper, row.mean, row.sd]
        np.testing.assert_allclose(got, expected, rtol=1e-12)
        assert row.mcse == pytest.approx(array_stats.mcse(x, method="median"))
        assert row.mcse_lower == pytest.approx(array_stats.mcse(x, method="quantile", prob=0.05))
        assert row.mcse_upper == pytest.approx(array_stats.mcse(x, method="quantile", prob=0.95))
        assert row.ess_bulk == pytest.approx(array_stats.ess(x, method="bulk"))
        assert row.ess_tail == pytest.approx(array_stats.ess(x, method="tail", prob=(0.05, 0.95)))
        assert row.rhat == pytest.approx(array_stats.rhat(x))
    assert set(table["level"]) == {0.9}
    assert set(table["interval_kind"]) == {"equal-tailed"}


def test_a_highest_density_interval_is_the_shortest_and_claims_no_error_of_its_ends(many):
    equal, shortest = summarise(many), summarise(many, interval="hdi")
    assert ((shortest["upper"] - shortest["lower"]) < (equal["upper"] - equal["lower"])).all()
    assert (shortest["lower"] < equal["lower"]).all()  # a gamma's mode is left of its middle
    pd.testing.assert_series_equal(shortest["estimate"], equal["estimate"])
    assert shortest[["mcse_lower", "mcse_upper"]].isna().all(axis=None)
    x = many.isel(arm=0, time=0)
    inside = ((x >= shortest["lower"][0]) & (x <= shortest["upper"][0])).mean()
    assert float(inside) == pytest.approx(0.95, abs=1.5 / 2000)  # an interval of draws ends on draws


def test_a_single_quantity_is_a_table_of_one_row(many):
    table = summarise(many.isel(arm=0, time=0, drop=True))
    assert len(table) == 1
    assert {"arm", "time"}.isdisjoint(table.columns)


def test_what_does_not_vary_is_summarised_without_a_warning():
    """Survival at time 0 is 1 in every draw."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = summarise(xr.DataArray(np.ones((4, 100)), dims=SAMPLES)).iloc[0]
    assert [row["estimate"], row["lower"], row["upper"], row["sd"]] == [1, 1, 1, 0]


@pytest.mark.parametrize("wrong", [{"interval": "central"}, {"ci_prob": 95}, {"ci_prob": 0.0}])
def test_a_summary_that_means_nothing_is_refused(many, wrong):
    with pytest.raises(InputError, match="expected 'equal-tailed' or 'hdi', and 0 < ci_prob < 1"):
        summarise(many, **wrong)


# --- a whole fit ---------------------------------------------------------------------------------------


def invented_synthesis(rng) -> xr.DataTree:
    """A fit of a synthesis: slopes with a bias in one arm, an arm effect, curves and responses."""
    variables = {
        "slope": {"endpoint": ["pfs"], "arm": ["A", "B"], "landmark": ["150 d", "no limit"]},
        "bias": {"biased_slope": [("pfs", "A")]},
        "arm_effect": {"effect": [("pfs", "Trial")]},
        "log_hazard": {"curve": [("pfs", "Trial", "A"), ("pfs", "Trial", "B")], "interval": [0, 1, 2]},
        "response": {"response_group": [("Trial", "A"), ("Series", "A")]},
        "step_sd": {"baseline": [("pfs", "Trial")]},
    }
    posterior = {
        name: xr.DataArray(
            draws(rng, *map(len, labels.values())),
            dims=(*SAMPLES, *labels),
            coords=coordinates(labels) | {"chain": range(2), "draw": range(5)},
        )
        for name, labels in variables.items()
    }
    return xr.DataTree.from_dict({"posterior": xr.Dataset(posterior)})


def assert_summarised(table: pd.DataFrame, quantity: str, values: xr.DataArray):
    rows = table[table["quantity"] == quantity].drop(columns="quantity").reset_index(drop=True)
    expected, labels = summarise(values, ci_prob=0.9), about(values)
    assert rows["label"].tolist() == texts(labels)
    assert not rows["label"].duplicated().any()
    pd.testing.assert_frame_equal(rows.drop(columns="label"), expected.drop(columns=labels.columns))


def test_a_fit_of_patients_is_summarised_by_what_its_functions_give(rng):
    fit = invented(
        draws(rng, 2, 4, mean=-2.5, sd=0.6),
        draws(rng, 2, mean=-0.2, sd=0.1),
        cuts=CUTS,
        arm_effect=draws(rng, 1, sd=0.3),
        slope_by_interval=draws(rng, 2, 4, sd=0.3),
        covariates={"age": draws(rng, sd=0.3)},
    )
    table = summarise(fit, ci_prob=0.9)
    expected = {
        "hazard ratio": hazard_ratio(fit),
        "arm hazard ratio": arm_hazard_ratio(fit),
        "covariate hazard ratio": covariate_hazard_ratio(fit),
        "baseline hazard": np.exp(fit["posterior"]["log_hazard"]),
        "hazard ratio by time": np.exp(fit["posterior"]["slope_by_interval"]),
    }
    assert table["quantity"].unique().tolist() == list(expected)
    for quantity, values in expected.items():
        assert_summarised(table, quantity, values)


def test_a_fit_of_a_synthesis_is_summarised_in_the_same_columns(rng, piecewise):
    fit = invented_synthesis(rng)
    table, posterior = summarise(fit, ci_prob=0.9), fit["posterior"]
    expected = {
        "hazard ratio": hazard_ratio(fit),
        "arm hazard ratio": np.exp(posterior["arm_effect"]),
        "baseline hazard": np.exp(posterior["log_hazard"]),
        "response probability": 1 / (1 + np.exp(-posterior["response"])),
    }
    assert table["quantity"].unique().tolist() == list(expected)
    for quantity, values in expected.items():
        assert_summarised(table, quantity, values)
    assert "pfs A, no limit, as observed" in set(table["label"])
    assert list(table) == list(summarise(piecewise))
