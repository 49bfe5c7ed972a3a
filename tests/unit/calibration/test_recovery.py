"""The stored recovery by patients: pooled intervals hold the slopes that the patients themselves give."""

import json
from pathlib import Path
from shutil import copyfile

import numpy as np
import pandas as pd
import pytest
from calibration import recovery
from told import Arm, coverage

from bayes_net.data.landmarks import landmark_times
from bayes_net.evidence.table import read_evidence
from bayes_net.schema import NO_LIMIT
from bayes_net.simulate.ensemble import virtual_trials
from bayes_net.simulate.printed import PATIENTS
from bayes_net.simulate.trials import LABELS, NAMES, draw, summary
from bayes_net.specification.read import read_specification
from bayes_net.tables.shipped import models_folder

REFRESH = "run `python -m tests.calibration.recovery` for each structure and commit what it stores"


@pytest.fixture(scope="module", params=list(recovery.STORED))
def stored(request):
    path = recovery.STORED[request.param]
    if not path.exists():
        pytest.skip(f"not stored: {REFRESH}")
    return json.loads(path.read_text(encoding="utf-8"))


def of(stored, value, **keys):
    """The row of coverage with exactly these keys."""
    names = {"value", "intervals", "covered", "score", *keys}
    (found,) = [
        row
        for row in stored["coverage"]
        if row["value"] == value and set(row) == names and all(row[name] == key for name, key in keys.items())
    ]
    return found


@pytest.mark.parametrize("arm", recovery.ARMS)
def test_intervals_hold_the_slopes_of_many_patients(stored, arm):
    found = of(stored, "many patients", arm=arm)
    assert 0.92 <= found["covered"] / found["intervals"] <= 0.975


@pytest.fixture(scope="module")
def exact():
    """Shares that exact intervals hold where slopes are drawn from the prior of the pooled ones, and what is
    told of them as it is in the stored trials."""
    rng, counts = np.random.default_rng(20250228), {}
    slopes = read_specification("prrt_pooled").slopes.value()
    for name, arm in virtual_trials().arms.items():
        covariance, mean = slopes.covariance(landmark_times(LABELS)), np.zeros(len(LABELS))
        covariance[-1, -1] += arm.bias.sd**2
        mean[-1] = arm.bias.value
        se = np.array([arm.standard_error(label).median for label in LABELS])
        in_print = [i for i, label in enumerate(LABELS) if (name, label) in recovery.IN_PRINT]
        own = Arm(mean, covariance, se, arm.correlation.to_numpy())
        for value, found in coverage(own, in_print, slopes.prior.sd, 150, rng).items():
            counts.setdefault(value, []).append(found)
    return {value: np.sum(each, axis=0)[1] / np.sum(each, axis=0)[0] for value, each in counts.items()}


def test_exact_intervals_hold_what_they_should_and_what_the_patients_give_more_often(exact):
    """The patients' posterior mean given what is told varies less than the slope by the patients' posterior
    variance: it is held in 2 Phi(1.96 / sqrt(1 - v / V)) - 1 of all cases, which is more than 95 %."""
    assert exact["slope"] == pytest.approx(0.95, abs=0.02)
    assert exact["estimate"] == pytest.approx(0.95, abs=0.02)
    assert exact["patients"] == pytest.approx(0.99, abs=0.006)


def test_intervals_hold_the_slopes_that_patients_give_as_often_as_exact_ones(stored, exact):
    found = of(stored, "patients")
    assert found["covered"] / found["intervals"] == pytest.approx(exact["patients"], abs=0.012)


def test_intervals_hold_the_estimates_of_which_nothing_but_insignificance_is_said(stored):
    found = of(stored, "estimate", told="not significant")
    assert 0.92 <= found["covered"] / found["intervals"] <= 0.975


def test_intervals_hold_the_estimates_that_are_not_printed(stored):
    """All together; of those said to be significant, above all of the few above 1, fewer: slopes of the
    trials are not drawn from the prior."""

    def held(**keys):
        found = of(stored, "estimate", **keys)
        return found["covered"] / found["intervals"]

    assert 0.92 <= held() <= 0.975
    assert 0.70 <= held(told="significantly above 1") < 0.95


def test_neither_structure_is_better_for_the_slopes_that_patients_give():
    """Slopes that track are the better guess of the truth of these trials, which are drawn so."""
    both = [json.loads(path.read_text(encoding="utf-8")) for path in recovery.STORED.values()]
    process, tracking = ({value: of(each, value)["score"] for value in VALUES} for each in both)
    assert process["patients"] == pytest.approx(tracking["patients"], rel=0.02)
    assert 0.9 < tracking["many patients"] / process["many patients"] < 1
    assert 0.85 < tracking["estimate"] / process["estimate"] < 1


def test_standard_errors_of_a_trial_are_correlated_as_its_estimates_are():
    """Their logarithms, without what the slope does to them."""
    for name, arm in virtual_trials().arms.items():
        law = {each: np.repeat(values.to_numpy()[:, None], 4, 0) for each, values in arm.parameters.items()}
        trials = summary(draw(law, PATIENTS[name], np.random.default_rng(4)))
        marks = arm.landmarks
        tilt = np.log(marks["expected_se_at_0.5"] / marks["expected_se_at_-0.5"]).to_numpy()
        logs = np.log(trials[..., NAMES.index("se")]) - tilt * law["slope"] * marks["carried"].to_numpy()
        found = np.corrcoef(logs[~np.isnan(logs).any(1)].T)
        assert np.abs(found - arm.correlation.to_numpy()).max() < 0.15


VALUES = ("patients", "many patients", "estimate")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("many patients", "the slope of 20,000 patients"),
        ("estimate", "the estimate that was not printed"),
        ("patients", "the slope that the trial's patients give"),
    ],
)
def test_the_methods_tell_what_is_stored(value, named):
    told = [named]
    for path in recovery.STORED.values():
        found = of(json.loads(path.read_text(encoding="utf-8")), value)
        share = 100 * found["covered"] / found["intervals"]
        told.append(f"{share:.1f} %, score {found['score']:.2f}")
    methods = Path(__file__).parents[3] / "docs" / "methods" / "synthesis.md"
    assert f"| {' | '.join(told)} |" in methods.read_text(encoding="utf-8")


def made_up(estimate, se=0.15):
    rows = [
        {"arm": arm, "landmark": label, "n": 60, "estimate": estimate, "se": se}
        for arm in recovery.ARMS
        for label in LABELS
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("estimate", "printed", "said"),
    [
        (0.0, set(), "not significant"),
        (-0.29, set(), "not significant"),
        (-0.30, recovery.IN_PRINT, "significantly below 1"),
        (0.60, recovery.IN_PRINT, "significantly above 1"),
    ],
)
def test_a_paper_prints_three_of_twelve_if_significant_and_says_the_rest(estimate, printed, said):
    told = recovery.as_published(made_up(estimate))
    assert len(told) == 12
    numbers = told[told["said"].isna()]
    assert set(zip(numbers["arm"], numbers["landmark"], strict=True)) == printed
    assert np.allclose(numbers["value"], np.exp(estimate / 10), atol=0.0005)
    assert np.allclose(numbers["upper"], np.exp((estimate + 1.96 * 0.15) / 10), atol=0.0006)
    assert set(told["said"].dropna()) == {said}


def test_the_table_is_read_with_standard_errors_and_correlations_of_the_virtual_trials(tmp_path):
    path = tmp_path / "evidence.csv"
    missing = made_up(0.0)
    missing.loc[3, "estimate"] = np.nan  # no maximum: nothing is told of it
    recovery.as_published(missing).to_csv(path, index=False)
    copyfile(models_folder() / "data" / "virtual_trials.json", tmp_path / recovery.VIRTUAL)
    table = read_evidence(path).table
    assert len(table) == 11
    pairs = table["correlated_with"].str.split(";").map(lambda names: len([n for n in names if n]))
    assert pairs.groupby(table["arm"]).sum().to_dict() == {"control": 10, "177Lu": 15}
    for row in table.itertuples():
        expected = virtual_trials().arm(row.arm).standard_error(row.landmark)
        assert (10 * row.se, row.se_log_sd) == pytest.approx(expected)


def test_a_trial_has_a_matched_set_of_parameters_in_each_arm():
    plan = recovery.plan_of(3)
    assert plan == recovery.plan_of(3)
    assert plan != recovery.plan_of(4)
    for i, arm in enumerate(virtual_trials().arms.values()):
        assert (arm.parameters == pd.Series(plan.law(i))).all(axis=1).any()


def test_coverage_is_counted_by_what_is_told():
    row = {"trial": 0, "arm": "control", "landmark": "150d", "told": "printed", "estimate": 0.5}
    row |= {"patients": 0.1, "many patients": 0.9, "slope_lower": 0.0, "slope_upper": 0.8}
    said = row | {
        "told": "not significant",
        "landmark": NO_LIMIT,
        "estimate_lower": 0.0,
        "estimate_upper": 0.4,
    }
    stored = {"coverage": recovery.coverage([row, said])}
    assert of(stored, "patients")["covered"] == 2
    assert of(stored, "many patients")["covered"] == 0
    assert of(stored, "estimate") == {"value": "estimate", "intervals": 1, "covered": 0, "score": 4.4}
    assert of(stored, "patients", told="printed")["intervals"] == 1
    assert of(stored, "patients", place=NO_LIMIT)["intervals"] == 1
