"""Modes with flat priors are the maximum-likelihood answers of R's Poisson glm."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from exposures import CLASSIC, ENDPOINTS, classic, ffcd, reference

import bayes_net as bn
from bayes_net.assumptions.hazard import Hazard
from bayes_net.assumptions.priors import Flat, Priors
from bayes_net.data import WithoutShrinkage
from bayes_net.data.exposure import Exposure, subset
from bayes_net.engine.patients import patients_posterior
from bayes_net.inference.closed_form import log_likelihood
from bayes_net.schema import DAYS_PER_MONTH, POINTS_PER_UNIT

FLAT = Priors(level=Flat(), slope=Flat(), arm_effect=Flat(), covariate=Flat())
LABELS = {"day122": "122 d", "no_limit": "no limit"}
FFCD_MODELS = {
    # the reference's name: what the hazard model assumes, and its terms as sums of our parameters
    "arm_S: shrinkage": ("per arm", "per arm", {"shrinkage": {("slope", 0): 0.1}}, 0),
    "arm_C: shrinkage": ("per arm", "per arm", {"shrinkage": {("slope", 1): 0.1}}, 1),
    "both: arm": ("shared", "none", {"arm": {("log_hr_arm", 0): 1}}, None),
    "both: arm + shrinkage": (
        "shared",
        "common",
        {"arm": {("log_hr_arm", 0): 1}, "shrinkage": {("common_slope", ()): 0.1}},
        None,
    ),
    "both: arm + shrinkage + arm:shrinkage": (
        "shared",
        "per arm",
        {
            "arm": {("log_hr_arm", 0): 1},
            "shrinkage": {("slope", 0): 0.1},
            "arm:shrinkage": {("slope", 0): -0.1, ("slope", 1): 0.1},
        },
        None,
    ),
}


def mode(data: Exposure, hazard: Hazard) -> tuple[dict, dict, np.ndarray]:
    """The mode of the engine's log-density by Newton steps, and minus its curvature there.

    Also the place of each parameter (variable, index) in the curvature.
    """
    posterior = patients_posterior(data, hazard)
    shapes = {name: variable.shape for name, variable in posterior.variables.items()}
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = dict(zip(shapes, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))

    def gradient(x):
        return posterior(x)[1]

    x = np.zeros(ends[-1])
    x[parts["log_baseline"]] = np.log(data.event.sum() / data.person_time.sum())
    for _ in range(40):
        curvature = np.column_stack([gradient(x - h) - gradient(x + h) for h in 1e-5 * np.eye(len(x))]) / 2e-5
        step = np.linalg.solve(curvature, gradient(x))
        x = x + step
        if np.abs(step).max() < 1e-11:
            break
    values = {name: x[part].reshape(shapes[name]) for name, part in parts.items()}
    places = {
        (name, i[0] if len(i) == 1 else i): place
        for name, part in parts.items()
        for i, place in zip(np.ndindex(shapes[name]), part, strict=True)
    }
    return values, places, curvature


def estimate(term: dict, values: dict, places: dict, curvature: np.ndarray) -> tuple[float, float]:
    """A weighted sum of parameters at the mode, and its standard error."""
    weights = np.zeros(len(curvature))
    for (name, index), weight in term.items():
        weights[places[name, index]] = weight
    known = np.diag(curvature) > 1e-8  # an interval without events has no finite log hazard
    covariance = np.linalg.inv(curvature[np.ix_(known, known)])
    total = sum(weight * values[name][index] for (name, index), weight in term.items())
    return float(total), float(np.sqrt(weights[known] @ covariance @ weights[known]))


def draw_of(values: dict, data: Exposure) -> xr.Dataset:
    """The mode as a posterior of one draw."""
    effects = np.append(0.0, values.get("log_hr_arm", np.zeros(0)))
    alpha = np.broadcast_to(values["log_baseline"], (len(data.arms), data.n_intervals))
    slope = values.get("slope", np.broadcast_to(values.get("common_slope", 0.0), len(data.arms)))
    draw = {
        "log_hazard": (("arm", "interval"), alpha + effects[: len(data.arms), None]),
        "slope": (("arm",), slope),
    }
    if data.covariate_names:
        draw["log_hr_covariate"] = (("covariate",), values["log_hr_covariate"])
    return xr.Dataset(draw).expand_dims(chain=1, draw=1)


def check_coefficients(expected: list, terms: dict, found: tuple) -> None:
    assert {row["term"] for row in expected} == set(terms)
    for row in expected:
        coef, se = estimate(terms[row["term"]], *found)
        # asked for: 1e-3; glm itself stops at a relative change of deviance of 1e-8 or less
        assert coef == pytest.approx(row["coef"], abs=1e-6), row["term"]
        assert se == pytest.approx(row["se"], rel=1e-5), row["term"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("when", LABELS)
@pytest.mark.parametrize("name", FFCD_MODELS)
def test_modes_with_flat_priors_are_the_poisson_glm_of_ffcd(shared, name, when, endpoint):
    answers = reference(shared, "ffcd_landmark_reference")["landmarks"][when][endpoint]
    expected = answers["models"][name]["pem_glm"]
    baseline, slopes, terms, arm = FFCD_MODELS[name]
    data = ffcd(shared, LABELS[when], ENDPOINTS[endpoint])
    assert data.measure.score(POINTS_PER_UNIT) == 1
    values, places, curvature = mode(data, Hazard(baseline, "independent", slopes, FLAT))
    check_coefficients(expected["coefficients"], terms, (values, places, curvature))
    own = slice(None) if arm is None else arm
    log_hazard = values["log_baseline"] if arm is None else values["log_baseline"][arm]
    for found, wanted in zip(log_hazard, expected["log_hazard_per_month"], strict=True):
        assert found < -20 if wanted is None else found == pytest.approx(wanted, abs=1e-6)
    assert data.events[own].reshape(-1, 4).sum(axis=0).tolist() == expected["events_per_interval"]
    each = log_likelihood(draw_of(values, data), data)
    total = float(each.sum() if arm is None else each.isel(patient=data.arm == arm).sum())
    assert total == pytest.approx(expected["loglik"], rel=1e-9)


@pytest.mark.parametrize("name", CLASSIC)
def test_modes_with_flat_priors_are_the_poisson_glm_of_classic_trials(shared, name):
    answers = reference(shared, "classic_pem_reference")["datasets"][name]
    hazard = Hazard("shared", "independent", "none", FLAT)
    for expected, cuts in (
        (answers["pem_glm"], answers["pem_glm"]["cuts"]),
        (answers["exponential"]["pem_one_interval"], []),
    ):
        data = classic(shared, name, cuts=cuts)
        values, places, curvature = mode(data, hazard)
        arm, *others = [row["term"] for row in expected["coefficients"]]
        terms = {term: {("log_hr_covariate", place_of(term, data)): 1} for term in others}
        terms[arm] = {("log_hr_arm", 0): 1}
        check_coefficients(expected["coefficients"], terms, (values, places, curvature))
        log_hazards = expected.get("log_hazard_per_unit", expected.get("log_hazard"))
        np.testing.assert_allclose(values["log_baseline"], np.atleast_1d(log_hazards), atol=1e-6)
        total = float(log_likelihood(draw_of(values, data), data).sum())
        assert total == pytest.approx(expected["loglik"], rel=1e-9)


@pytest.fixture(scope="module")
def random_study(shared):
    folder = shared / "data" / "adam" / "random_cdisc_data"
    return bn.read_adam({name: folder / f"c{name}.csv" for name in ("adsl", "adtte", "adtr", "adrs")})


@pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")
@pytest.mark.parametrize("when", ["day120", "day150", "day200", "no_limit"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_modes_with_flat_priors_are_the_poisson_glm_of_an_adam_study(when, endpoint, random_study, shared):
    answers = reference(shared, "adam_reference")["random_cdisc_data"]["landmarks"][when][endpoint]
    label = "no limit" if when == "no_limit" else f"{when.removeprefix('day')} d"
    sets = bn.landmark(random_study, [label], endpoint=ENDPOINTS[endpoint])
    data = bn.expose(sets, label, cuts=np.array([90, 180, 365]) / DAYS_PER_MONTH)
    for a, arm in enumerate(data.arms):
        expected = answers["models"][f"arm_{arm}: shrinkage"]["pem_glm"]
        assert data.events[a].tolist() == expected["events_per_interval"]
        own = subset(data, data.arm == a)
        # an interval that nobody enters has no hazard
        entered = data.cuts[data.cuts < own.time.max()]
        own = replace(own, arms=(arm,), arm=np.zeros(own.n, int), cuts=entered)
        found = mode(own, Hazard("shared", "independent", "common", FLAT))
        check_coefficients(expected["coefficients"], {"shrinkage": {("common_slope", ()): 0.1}}, found)


@pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")
def test_modes_without_shrinkage_are_the_poisson_glm_of_a_study_without_scans(shared):
    expected = reference(shared, "adam_reference")["cdisc_pilot_adtte"]["pem_glm"]
    files = str(shared / "data" / "adam" / "datasetjson" / "*.json")
    arms = ["Placebo", "Xanomeline Low Dose", "Xanomeline High Dose"]
    cohort = bn.read_adam(files, pfs="TTDE", arm="TRTA", arms=arms)
    sets = bn.landmark(cohort, ["0d"], intention_to_treat=True)
    cuts = np.array(expected["cuts_days"]) / DAYS_PER_MONTH
    data = bn.expose(sets, "0 d", cuts=cuts, measure=WithoutShrinkage())
    values, places, curvature = mode(data, Hazard("shared", "independent", "none", FLAT))
    terms = {name: {("log_hr_arm", a): 1} for a, name in enumerate(("low", "high"))}
    check_coefficients(expected["coefficients"], terms, (values, places, curvature))
    per_day = values["log_baseline"] - np.log(DAYS_PER_MONTH)
    np.testing.assert_allclose(per_day, expected["log_hazard_per_day"], atol=1e-6)


def place_of(term: str, data: Exposure) -> int:
    """The covariate column of a reference term: smallcell is the column "celltype: smallcell"."""
    plain = [
        name.replace(": ", "") if name.startswith("tgrade") else name.split(": ")[-1]
        for name in data.covariate_names
    ]
    return plain.index(term)
