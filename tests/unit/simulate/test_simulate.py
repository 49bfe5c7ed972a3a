"""Synthetic cohorts have the published margins, and slopes that are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from bayes_net.data.landmarks import landmark
from bayes_net.simulate.cohort import simulate_cohort
from bayes_net.simulate.margins import calibrate
from bayes_net.simulate.plan import SimulationPlan, visits

CONTROL, PRRT = SimulationPlan().arms
MANY = (12_000, 12_000)
KNOWN = SimulationPlan(
    patients=MANY,
    progression_seen="exact",
    path="at first scan",
    pfs_slope=(-0.25, 0.1),
    os_slope=(-0.2, 0.1),
    independent_deaths=1.0,
)


def z_for(comparisons: int) -> float:
    """The normal quantile that one run in a thousand exceeds somewhere among the comparisons."""
    return norm.ppf(1 - 0.001 / (2 * comparisons))


@pytest.fixture(scope="module")
def default():
    return simulate_cohort(SimulationPlan(patients=MANY), seed=11)


@pytest.fixture(scope="module")
def known():
    return simulate_cohort(KNOWN, seed=12)


@pytest.fixture(scope="module")
def unrelated():
    return simulate_cohort(SimulationPlan(patients=MANY, pfs_slope=(0.0, 0.0)), seed=13)


def kaplan_meier(patients, endpoint, arm, at):
    """Survival at one time and its Greenwood standard error."""
    rows = patients[patients["arm"] == arm].assign(censored=1 - patients[f"{endpoint}_event"])
    # at a tie, events come before the censored
    rows = rows.sort_values([f"{endpoint}_time", "censored"])
    counts = (rows[f"{endpoint}_time"] <= at) & (rows["censored"] == 0)
    at_risk = np.arange(len(rows), 0, -1)[counts.to_numpy()]
    survival = np.prod(1 - 1 / at_risk)
    return survival, survival * np.sqrt(np.sum(1 / (at_risk * np.maximum(at_risk - 1, 1))))


def cox_slope(rows):
    """Log hazard ratio per 10 points of shrinkage (Breslow ties) and its standard error, by Newton steps."""
    rows = rows.sort_values("time", ascending=False)
    x, time, event = (rows[name].to_numpy(dtype=float) for name in ("shrinkage", "time", "event"))
    x = x / 10
    last = np.searchsorted(-time, -time, side="right") - 1
    slope = 0.0
    for _ in range(30):
        weight = np.exp(slope * x)
        total, first, second = (np.cumsum(weight * x**power)[last] for power in range(3))
        score = np.sum(event * (x - first / total))
        information = np.sum(event * (second / total - (first / total) ** 2))
        slope += score / information
    assert abs(score) < 1e-6 * len(x)
    return slope, 1 / np.sqrt(information)


def of_arm(landmarks, label, arm):
    rows = landmarks.at(label)
    return rows[rows["arm"] == arm]


def share_z(hits, expected):
    """Standard errors between a share and its expectation."""
    return (np.mean(hits) - expected) / np.sqrt(expected * (1 - expected) / len(hits))


# Margins


@pytest.mark.parametrize("mode", ["default", "known"])
def test_best_shrinkage_has_the_published_counts(request, mode):
    cohort = request.getfixturevalue(mode)
    best = landmark(cohort, ["no limit"])
    for arm, name in enumerate(cohort.arms):
        rows = of_arm(best, "no limit", name)
        evaluable = np.arange(MANY[arm]) < len(rows)
        assert abs(share_z(evaluable, SimulationPlan().evaluable[arm])) < z_for(6)
        assert abs(share_z(rows["shrinkage"] > 0, SimulationPlan().shrunk[arm])) < z_for(6)
        assert abs(share_z(rows["shrinkage"] >= 30, SimulationPlan().shrunk_30[arm])) < z_for(6)
        assert rows["shrinkage"].between(-20, 100, inclusive="neither").all()


def test_the_first_scan_has_the_published_medians(default):
    first = default.scans[
        (default.scans["time"] == visits(SimulationPlan())[0]) & (default.scans["response"] != "PD")
    ]
    first = first.merge(default.patients[["patient", "arm"]], on="patient")
    for arm, median in zip(default.arms, (-2.9, 0.0), strict=True):
        assert abs(share_z(-first["pchg"][first["arm"] == arm] > median, 0.5)) < z_for(2)


@pytest.mark.parametrize("mode", ["default", "known"])
def test_survival_has_the_published_margins(request, mode):
    patients = request.getfixturevalue(mode).patients
    expected = {
        ("pfs", CONTROL): {8.5: 0.5, 20.0: 0.108},
        ("pfs", PRRT): {8.5: 0.5**0.21, 20.0: 0.108**0.21},
        ("os", CONTROL): {36.3: 0.5, 48.0: 0.5 ** (1 / 0.84)},
        ("os", PRRT): {36.3: 0.5**0.84, 48.0: 0.5},
    }
    for (endpoint, arm), curve in expected.items():
        for at, survival in curve.items():
            estimate, error = kaplan_meier(patients, endpoint, arm, at)
            assert abs(estimate - survival) < z_for(8) * error, (endpoint, arm, at)


@pytest.mark.parametrize("ratio", [0.21, 0.18])
def test_the_arms_have_the_hazard_ratio_asked_for(ratio):
    plan = replace(KNOWN, pfs_slope=(0.0, 0.0), os_slope=(0.0, 0.0), pfs_hazard_ratio=ratio)
    patients = simulate_cohort(replace(plan, patients=(6000, 6000)), seed=15).patients
    for start, stop in ((0, 8.5), (8.5, np.inf)):
        time = patients["pfs_time"].clip(start, stop) - start
        event = patients["pfs_event"] * patients["pfs_time"].between(start, stop, inclusive="right")
        per_arm = pd.DataFrame({"arm": patients["arm"], "time": time, "event": event}).groupby("arm").sum()
        rate, error = per_arm["event"] / per_arm["time"], np.sqrt((1 / per_arm["event"]).sum())
        assert abs(np.log(rate[PRRT] / rate[CONTROL] / ratio)) < z_for(4) * error


def test_risk_sets_are_the_published_ones_where_the_survival_margins_allow(default):
    counts = landmark(default, ["48w", "72w"]).table.groupby(["landmark", "arm"]).size() / MANY[0]
    # Pavel 2025, 3.2; week 72 is a margin of the plan under 177Lu, the others are predictions
    sampling = z_for(3) * np.sqrt(0.25 / MANY[0])
    assert abs(counts["72 w", PRRT] - 52 / 117) < sampling
    for at, arm, n, randomised in (("48 w", CONTROL, 31, 114), ("48 w", PRRT, 66, 117)):
        assert abs(counts[at, arm] * randomised - n) < 1.96 * np.sqrt(n * (1 - n / randomised))
    # 19/114 at week 72 is more than S(20) = 0.108 leaves: then nobody discontinues, and fewer are at risk
    assert calibrate(SimulationPlan())[0].discontinuation == 0
    assert counts["72 w", CONTROL] < 0.108 + sampling


# Slopes


def test_the_slope_is_the_truth_at_every_landmark_after_the_first_scan(known):
    labels = ["90d", "150d", "48w", "72w"]
    for options in ({}, {"endpoint": "os"}, {"endpoint": "os", "population": "alive"}):
        landmarks = landmark(known, labels, **options)
        truth = KNOWN.os_slope if options else KNOWN.pfs_slope
        for arm, name in enumerate(known.arms):
            for each in landmarks.landmarks:
                slope, error = cox_slope(of_arm(landmarks, each.label, name))
                assert abs(slope - truth[arm]) < 3.5 * error, (options, name, each.label)
                assert error < 0.05
    assert "capped-deaths" not in {note.code for note in known.notes}


def test_the_hazard_is_the_baseline_times_the_slope(known):
    landmarks = landmark(known, ["150d", "72w"])
    for arm, law in enumerate(calibrate(KNOWN)):
        for label, piece in (("150 d", 0), ("72 w", 1)):
            start = {each.label: each.months for each in landmarks.landmarks}[label]
            stop = {0: 8.5, 1: np.inf}[piece] - start
            rows = of_arm(landmarks, label, known.arms[arm])
            events = rows["event"][rows["time"] <= stop].sum()
            relative = np.exp(KNOWN.pfs_slope[arm] * rows["shrinkage"] / 10)
            hazard = events / (relative * rows["time"].clip(upper=stop)).sum()
            assert abs(np.log(hazard / law.pfs_hazard[piece])) < 3.5 / np.sqrt(events)


def test_best_shrinkage_at_first_scan_never_changes(known):
    table = landmark(known, ["90d", "48w", "72w", "no limit"]).table
    assert table.groupby("patient")["shrinkage"].nunique().max() == 1
    assert not np.isin(known.patients["pfs_time"], known.scans["time"]).any()


def test_without_association_true_landmarks_show_none_and_no_limit_does(unrelated):
    labels = ["150d", "180d", "36w", "48w", "72w", "no limit"]
    landmarks = landmark(unrelated, labels)
    for arm in unrelated.arms:
        for each in landmarks.landmarks:
            slope, error = cox_slope(of_arm(landmarks, each.label, arm))
            if each.biased:
                # guarantee-time bias: more scans in which to be best for those who stay on study longer
                assert slope < -z_for(12) * error
            else:
                assert abs(slope) < z_for(12) * error


def test_a_death_hazard_above_the_pfs_hazard_is_capped_and_counted():
    plan = SimulationPlan(pfs_slope=(-0.3, -0.3), os_slope=(0.3, 0.3), progression_seen="exact")
    cohort = simulate_cohort(plan, seed=1)
    note = next(note for note in cohort.notes if note.code == "capped-deaths")
    assert 0 < note.count < 231
    assert (cohort.patients["pfs_time"] <= cohort.patients["os_time"]).all()
