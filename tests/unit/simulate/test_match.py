"""Matched trials resemble the printed one, and the stored result is sound and not stale."""

import json
from math import log

import numpy as np
import pandas as pd
import pytest
from calibration import virtual_trials
from calibration.fingerprint import stale
from scipy.stats import binom, norm, truncnorm

from bayes_net.simulate import match as matching
from bayes_net.simulate.printed import PATIENTS, PRINTED, margins
from bayes_net.simulate.trials import LABELS, NAMES, PRIORS, TILTS, draw, parameters, summary

REFRESH = "run `python -m tests.calibration.virtual_trials` and commit models/data/virtual_trials.json"
ARMS = list(PATIENTS)
TRUE_LANDMARKS = LABELS[:-1]
SURE = 0.001
"""How often a sound result may fail a check of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    return json.loads(virtual_trials.STORED.read_text(encoding="utf-8"))


def landmarks(stored, arm):
    return pd.DataFrame(stored["arms"][arm]["landmarks"]).set_index("landmark")


# The stored result


def test_the_stored_result_belongs_to_the_present_code(stored):
    changed = stale(stored["code"]["definitions"])
    assert not changed, f"{', '.join(changed)} changed since {stored['date']}: {REFRESH}"
    design = {"seed": virtual_trials.SEED, "particles": virtual_trials.PARTICLES}
    design |= {"first": virtual_trials.FIRST, "replicates": virtual_trials.REPLICATES}
    assert stored["design"] == design
    assert set(virtual_trials.code()) == set(stored["code"]["definitions"])


def test_printed_numbers_lie_inside_their_predictive_intervals_or_are_named(stored):
    named, matched = [], []
    for arm in ARMS:
        rows = stored["arms"][arm]["margins"]
        assert [row["margin"] for row in rows] == list(PRINTED[arm])
        for row in rows:
            assert np.isclose(row["printed"], PRINTED[arm][row["margin"]].value, rtol=1e-3)
            inside = row["lower"] <= row["printed"] <= row["upper"]
            named += [] if inside else [f"{arm}: {row['margin']}"]
            matched += [inside] if row["matched"] else []
    assert stored["outside"] == named
    assert matched.count(False) <= binom.ppf(1 - SURE, len(matched), 0.1)


def test_an_arm_that_another_study_informs_is_stored_without_its_numbers_too(stored):
    evidence = pd.read_csv(virtual_trials.STORED.with_name("mid_treatment.csv"))
    others = {
        (study, arm)
        for study in evidence["study"].unique()
        for arm in ARMS
        if any(number.matched and matching.of_study(number, study) for number in PRINTED[arm].values())
    }
    assert others == set(virtual_trials.OTHERS) == {("Halperin 2024", "177Lu")}
    for study, arm in others:
        whole, without = stored["arms"][arm], stored["without"][study][arm]
        assert [row["margin"] for row in without["margins"]] == list(PRINTED[arm])
        assert set(without) == set(whole)
        assert without["landmarks"] != whole["landmarks"]
        (odds,), (free,) = (
            [row for row in own["margins"] if row["source"].startswith(study)] for own in (whole, without)
        )
        # what is not looked at is less certain
        assert free["upper"] - free["lower"] > odds["upper"] - odds["lower"]


def test_what_a_study_printed_does_not_count_without_it():
    numbers = [number for number in PRINTED["177Lu"].values() if number.matched]
    near = np.array([[number.value for number in numbers]])
    off = near + [10.0 * matching.of_study(number, "Halperin 2024") for number in numbers]
    assert matching._distance(off, "177Lu", np.ones(len(numbers))) > 1
    assert matching._distance(off, "177Lu", np.ones(len(numbers)), "Halperin 2024") == 0
    assert matching._distance(near + 1, "177Lu", np.ones(len(numbers)), "Halperin 2024") == 1


@pytest.mark.parametrize("arm", ARMS)
def test_without_association_estimates_at_landmarks_average_0(stored, arm):
    rows = landmarks(stored, arm)
    at_landmarks = rows.loc[list(TRUE_LANDMARKS)]
    # partial likelihood of a few patients with skewed shrinkage is off by up to a twentieth of its error
    allowed = norm.ppf(1 - SURE / 20) * at_landmarks["null_mcse"] + at_landmarks["se"] / 20
    assert (at_landmarks["null"].abs() < allowed).all()
    assert rows["null"]["no limit"] < -10 * rows["null_mcse"]["no limit"]


@pytest.mark.parametrize("arm", ARMS)
def test_without_association_large_trials_with_matched_parameters_show_none(stored, arm):
    few = {name: np.array(values)[::8, None] for name, values in stored["arms"][arm]["parameters"].items()}
    trials = draw(few | {"slope": 0 * few["slope"]}, 2000, np.random.default_rng(9))
    found = summary(trials)[:, : len(TRUE_LANDMARKS), NAMES.index("estimate")]
    error = found.std(0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(found.mean(0)) < norm.ppf(1 - SURE / 20) * error).all()


@pytest.mark.parametrize("arm", ARMS)
def test_correlations_are_those_of_nested_risk_sets(stored, arm):
    correlation = np.array(stored["arms"][arm]["correlation"]["mean"])
    assert np.allclose(np.diag(correlation), 1)
    assert np.allclose(correlation, correlation.T)
    assert np.linalg.eigvalsh(correlation).min() > 0.01
    assert (np.diff(correlation[0, :5]) < 0).all()


@pytest.mark.parametrize("arm", ARMS)
def test_standard_errors_follow_from_events_and_variances(stored, arm):
    """Where estimates are near 0, se² is 1 / (events · V(0)), to the medians' own spread."""
    rows = landmarks(stored, arm)
    assert (np.diff(rows["events"].iloc[:5]) < 0).all()
    expected = (rows["events"] * rows["variance_at_0"]) ** -0.5
    assert (np.abs(np.log(rows["se"] / expected)) < 0.5 * rows["variance_at_0_log_sd"]).all()
    assert (np.diff(rows[[f"variance_at_{tilt:g}" for tilt in TILTS]].iloc[:5]) > 0).all()


def test_stored_parameters_are_in_the_support_of_their_priors(stored):
    for arm in ARMS:
        kept = stored["arms"][arm]["parameters"]
        assert list(kept) == list(PRIORS)
        assert {len(values) for values in kept.values()} == {virtual_trials.PARTICLES}


# What is printed


@pytest.fixture(scope="module")
def evidence():
    return pd.read_csv(virtual_trials.STORED.with_name("netter1.csv"), index_col="id")


@pytest.mark.parametrize(
    ("arm", "margin", "row", "as_printed"),
    [
        ("control", "at risk, 150d", "N10", lambda row: row["n"]),
        ("control", "at risk, no limit", "N11", lambda row: row["n"]),
        ("control", "log hazard ratio, 150d", "N10", lambda row: 10 * log(row["value"])),
        ("control", "log hazard ratio, no limit", "N11", lambda row: 10 * log(row["value"])),
        ("control", "30 points or more", "N16", lambda row: row["value"]),
        ("control", "any shrinkage", "N17", lambda row: row["value"]),
        ("control", "S(20), central", "N02", lambda row: row["value"]),
        ("177Lu", "at risk, no limit", "N12", lambda row: row["n"]),
        ("177Lu", "log hazard ratio, no limit", "N12", lambda row: 10 * log(row["value"])),
        ("177Lu", "30 points or more", "N14", lambda row: row["value"]),
        ("177Lu", "any shrinkage", "N15", lambda row: row["value"]),
        ("177Lu", "S(20), central", "N05", lambda row: row["value"]),
    ],
)
def test_printed_numbers_are_those_of_the_evidence(evidence, arm, margin, row, as_printed):
    assert np.isclose(PRINTED[arm][margin].value, as_printed(evidence.loc[row]))


@pytest.mark.parametrize("row", [f"N{number}" for number in range(23, 29)])
def test_rows_of_best_change_are_those_of_the_evidence(evidence, row):
    printed = evidence.loc[row]
    expected = {"n": printed["n"], "median": -printed["value"]}
    expected |= {"greatest": -printed["lower"], "least": -printed["upper"]}
    for name, value in expected.items():
        week = printed["landmark"].removesuffix("w")
        assert PRINTED[printed["arm"]][f"{name}, week {week}"].value == value


@pytest.mark.parametrize(("row", "label"), [("N10", "150d"), ("N11", "no limit")])
def test_printed_standard_errors_are_those_of_the_limits(evidence, row, label):
    printed = evidence.loc[row]
    se = 10 * log(printed["upper"] / printed["lower"]) / (2 * norm.ppf(0.975))
    # limits to three digits, and a p-value that moves "no limit" within them
    assert PRINTED["control"][f"se at the printed slope, {label}"].value == pytest.approx(se, abs=0.003)


# Matching


def test_margins_of_a_trial_are_counted_as_a_reader_would():
    trials = draw(parameters(np.zeros((1, len(PRIORS)))), 60, np.random.default_rng(1))
    names = list(PRINTED["177Lu"])
    found = dict(
        zip(names, margins(trials, "177Lu", np.random.default_rng(2), matched=False)[0], strict=True)
    )
    best, week_12 = [], []
    arrays = (array[0] for array in (trials.reading, trials.clear, trials.at, trials.pfs))
    for reading, clear, months, pfs in zip(*arrays, strict=True):
        best += [max(reading[months <= pfs])] if clear.any() else []
        week_12 += [reading[0]] if clear[0] and pfs > months[0] else []
    expected = {
        "at risk, no limit": len(best),
        "any shrinkage": sum(shrinkage > 0 for shrinkage in best),
        "30 points or more": sum(shrinkage >= 30 for shrinkage in best),
        "n, week 12": len(week_12),
        "median, week 12": np.median(week_12),
        "greatest, week 12": max(week_12),
        "least, week 12": min(week_12),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_moves_leave_the_prior_within_the_limit_as_it_is():
    """Distance |z| with limit 1.5: what is to stay is a truncated normal."""
    rng, n = np.random.default_rng(1), 20_000
    law = truncnorm(-1.5, 1.5)
    z = np.column_stack([law.rvs(n, random_state=rng), rng.standard_normal(n)])
    z, found, taken = matching._moved(z, np.abs(z[:, :1]), 1.5, lambda z, _: np.abs(z[:, :1]), 5, rng)
    assert 0.3 < taken < 0.9
    assert (found == np.abs(z[:, :1])).all()
    far = norm.ppf(1 - SURE / 8)
    for column, variance in zip(z.T, (law.var(), 1.0), strict=True):
        kurtosis = np.mean(column**4) / variance**2
        assert abs(column.mean()) < far * np.sqrt(variance / n)
        assert abs(column.var() / variance - 1) < far * np.sqrt((kurtosis - 1) / n)


def test_a_known_bias_and_its_spread_come_back():
    """Replicates scatter eight times as much as particles do."""
    rng, n, far = np.random.default_rng(2), 400, norm.ppf(1 - SURE / 4)
    true = rng.normal(-0.2, 0.05, (n, 1))
    found = matching._between("bias", true + rng.normal(0, 0.4, (n, 10)))
    variance = 0.05**2 + 0.4**2 / 10
    assert abs(found["bias"] + 0.2) < far * np.sqrt(variance / n)
    assert found["bias_mcse"] ** 2 == pytest.approx(variance / n, rel=far * np.sqrt(2 / n))
    assert found["bias_sd"] ** 2 == pytest.approx(0.05**2, abs=far * variance * np.sqrt(2 / n))


def test_matched_trials_are_nearer_than_the_priors_and_a_seed_repeats_them(monkeypatch):
    for name, value in {"MOVES": 2, "LAST_MOVES": 2, "LEAST_MOVED": 0.25, "PILOTS": 10}.items():
        monkeypatch.setattr(matching, name, value)
    once, again = (
        matching.match("control", np.random.default_rng(3), particles=50, first=500) for _ in range(2)
    )
    assert np.array_equal(once.z, again.z)
    assert once.trials.shape == (50, 6, 8)
    rng = np.random.default_rng(4)
    from_priors = matching._distance(
        margins(draw(parameters(rng.standard_normal((500, len(PRIORS)))), 114, rng), "control", rng),
        "control",
        once.sd,
    )
    assert once.limit < np.quantile(from_priors, 0.05)
    rows = matching.quantities(once, rng, replicates=4)["landmarks"]
    assert [row["landmark"] for row in rows] == list(LABELS)
