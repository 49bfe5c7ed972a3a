"""Splines and hazard ratios in each arm: R's answers, predictions from raw values, the prior's average."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_definitions import Evaluated, assert_engine_is_the_hazard_model
from test_likelihood import LAYOUTS
from test_reference_modes import FLAT, mode

from bayes_net.assumptions.hazard import Hazard, centre
from bayes_net.data import WithoutShrinkage
from bayes_net.data.exposure import Exposure
from bayes_net.data.terms import Covariate, in_arm, spline_knots
from bayes_net.estimands import arm_differences, rmst, survival
from bayes_net.estimands.ratios import covariate_hazard_ratio, covariate_interaction
from bayes_net.inference.patients import fit
from bayes_net.inference.sampling import Sampler
from bayes_net.model.hazard import hazard_model

CUTS = (30.0, 60.0, 90.0, 180.0, 365.0)
ARMS = ("standard", "test")
FORM = Hazard("shared", "independent", "none", FLAT)
# R 4.2.2: glm(status ~ factor(interval) + arm + ns(age, knots = quantile(age, c(.35, .65)), Boundary.knots =
# quantile(age, c(.05, .95))) + karno + offset(log(exposure)), poisson) of the veterans' trial; log hazard
# ratios against age 60 of ages at the quantiles and of 30 and 85
BY_AGE = {38.0: 0.4927369632471, 56.6: -0.2339640415470, 64.0: 0.2251739883942, 70.2: 0.0863736267733,
          30.0: 1.1746752119109, 85.0: -0.5917634360363}  # fmt: skip
# arm * I(karno - 60) + arm * I(celltype == "large")
BY_ARM = {"arm": -0.0809285843690, "karno": -0.0196238111389, "large": -0.5104511617892,
          "arm:karno": -0.0200953289879, "arm:large": 0.6179111856049}  # fmt: skip


def veterans(shared, terms) -> Exposure:
    table = pd.read_csv(shared / "data" / "classic" / "r_survival_veteran.csv").astype({"age": float})
    table["large"] = np.where(table["celltype"] == "large", "yes", "no")
    table["arm"] = np.array(ARMS)[(table["trt"] == 2).astype(int)]
    terms = [each.with_knots(table[each.name]) for each in terms]
    return Exposure(
        time=table["time"].to_numpy(float),
        event=table["status"].to_numpy(float),
        arm=(table["trt"] == 2).to_numpy(int),
        score=np.zeros(len(table)),
        covariates=np.hstack([each.values(table) for each in terms]),
        cuts=np.array(CUTS),
        arms=ARMS,
        covariate_names=tuple(name for each in terms for name in each.columns),
        measure=WithoutShrinkage(),
        terms=tuple(terms),
    )


def test_a_spline_with_flat_priors_is_that_of_r(shared):
    age = Covariate("age", reference=60.0, knots=4)
    data = veterans(shared, [age, Covariate("karno")])
    values, _, _ = mode(data, FORM)
    effects = dict(zip(data.covariate_names, values["log_hr_covariate"], strict=True))
    (placed, _) = data.terms
    assert placed.knots == pytest.approx((38.0, 56.6, 64.0, 70.2))
    for years, expected in BY_AGE.items():
        found = sum(effects[name] * x for name, x in placed.coded(years).items())
        # R's glm stops at a relative change of the deviance of 1e-14
        assert found == pytest.approx(expected, abs=1e-7), years
    assert effects["karno"] == pytest.approx(-0.0336159037568, abs=1e-8)
    assert values["log_hr_arm"][0] == pytest.approx(0.2108432492737, abs=1e-7)


def test_hazard_ratios_in_each_arm_are_those_of_rs_interactions(shared):
    data = veterans(
        shared,
        [Covariate("karno", 60.0, arms=ARMS), Covariate("large", levels=("no", "yes"), arms=ARMS)],
    )
    values, _, _ = mode(data, FORM)
    karno, karno_test, large, large_test = values["log_hr_covariate"]
    found = {"arm": values["log_hr_arm"][0], "karno": karno, "large": large}
    found |= {"arm:karno": karno_test - karno, "arm:large": large_test - large}
    assert found == pytest.approx(BY_ARM, abs=1e-7)


BOTH = [Covariate("age", 60.0, knots=4, arms=ARMS), Covariate("karno", 50.0, 10.0, arms=ARMS)]


@pytest.mark.parametrize("baseline", ["shared", "per arm"])
def test_the_engine_has_the_density_of_the_definition_with_columns_of_arms(shared, baseline):
    data, hazard = veterans(shared, BOTH), Hazard(baseline=baseline, slopes="none")
    evaluated = Evaluated(hazard_model(data, hazard))
    for kind in LAYOUTS[1:]:
        assert_engine_is_the_hazard_model(data, hazard, evaluated, kind)


def test_the_prior_of_an_arms_baseline_is_about_the_average_patient_in_that_arm(shared):
    data = veterans(shared, BOTH)
    at = centre(Hazard(slopes="none"), data)
    plain = veterans(shared, [replace(each, arms=()) for each in BOTH])
    averages = plain.covariates.mean(axis=0)
    for a in range(2):
        own = [name.endswith(ARMS[a]) for name in data.covariate_names]
        np.testing.assert_allclose(at.covariates[a, own], averages)
        assert not at.covariates[a, np.invert(own)].any()


@pytest.fixture(scope="module")
def fitted(shared):
    data = veterans(shared, BOTH)
    return data, fit(data, Hazard(slopes="none"), seed=1, sampler=Sampler(draws=100, tune=100, chains=2))


def test_predictions_take_raw_values_and_each_arms_own_hazard_ratios(fitted):
    data, tree = fitted
    found = survival(tree, [100.0], covariates={"age": 70, "karno": 40}).isel(shrinkage=0, time=0)
    posterior = tree["posterior"].to_dataset()
    months = np.diff(np.clip([0.0, *CUTS, np.inf], 0.0, 100.0))
    for a, arm in enumerate(ARMS):
        effect = 0.0
        for term in data.terms:
            for name, x in term.coded({"age": 70, "karno": 40}[term.name]).items():
                if name.endswith(f", {arm}"):
                    effect = effect + posterior["log_hr_covariate"].sel(covariate=name, drop=True) * x
        log_h = posterior["log_hazard"].isel(arm=a, drop=True) + effect
        expected = np.exp(-(np.exp(log_h) * xr_months(months)).sum("interval"))
        np.testing.assert_allclose(found.sel(arm=arm), expected, rtol=1e-10)
    assert rmst(tree, horizon=200.0, covariates={"age": 55.5}).shape[-2:] == (2, 1)


def xr_months(months):
    import xarray as xr

    return xr.DataArray(months, dims="interval")


def test_everyone_in_an_arm_has_its_hazard_ratios(fitted):
    data, tree = fitted
    found = arm_differences(tree, data, [100.0], horizon=100.0, over="same shrinkage")["survival"].squeeze()
    each = []
    for arm in ARMS:
        total = 0.0
        moved = in_arm(data.covariates, data.terms, arm)
        posterior = tree["posterior"].to_dataset()
        log_h = posterior["log_hazard"].sel(arm=arm, drop=True).values
        months = np.diff(np.clip([0.0, *CUTS, np.inf], 0.0, 100.0))
        relative = np.exp(posterior["log_hr_covariate"].values @ moved.T)
        total = np.exp(-(np.exp(log_h) @ months)[..., None] * relative).mean(axis=-1)
        each.append(total)
    np.testing.assert_allclose(found, each[1] - each[0], rtol=1e-9)


def test_the_arms_hazard_ratios_are_compared(fitted):
    tree = fitted[1]
    ratios, between = covariate_hazard_ratio(tree), covariate_interaction(tree)
    assert "karno, test against standard" in between["covariate"].values
    assert between.sizes["covariate"] == 4
    of = {arm: ratios.sel(covariate=f"karno, {arm}", drop=True) for arm in ARMS}
    found = between.sel(covariate="karno, test against standard", drop=True)
    np.testing.assert_allclose(found, of["test"] / of["standard"], rtol=1e-12)
    some = covariate_interaction(tree, among=["karno, test", "karno, standard", "age: 38 against 56.6, test"])
    assert some["covariate"].values.tolist() == ["karno, test against standard"]


def test_more_knots_than_a_line_needs_leave_a_line():
    """Where the truth is straight, so is the spline: at flat priors and many patients."""
    rng, n = np.random.default_rng(3), 8000
    age = rng.uniform(40, 80, n)
    time = rng.exponential(1 / (0.05 * np.exp(0.03 * (age - 60))))
    term = Covariate("age", 60.0, knots=spline_knots(age, 5))
    data = Exposure(
        time=np.minimum(time, 40.0), event=(time <= 40).astype(float),
        arm=np.zeros(n, int), score=np.zeros(n),
        covariates=term.values(pd.DataFrame({"age": age})), cuts=np.array([10.0]), arms=("only",),
        covariate_names=term.columns, measure=WithoutShrinkage(), terms=(term,),
    )  # fmt: skip
    values, places, curvature = mode(data, FORM)
    at = [places["log_hr_covariate", i] for i in range(4)]
    sd = np.sqrt(np.diag(np.linalg.inv(curvature))[at])
    knots = np.array(term.knots)
    nearest = np.abs(knots - 60).argmin()
    expected = 0.03 * (np.delete(knots, nearest) - knots[nearest])
    assert np.abs((values["log_hr_covariate"] - expected) / sd).max() < 3
