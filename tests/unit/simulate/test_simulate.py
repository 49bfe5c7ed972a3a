"""Synthetic cohorts are virtual trials that resemble the printed one, with slopes that are known."""

import numpy as np
import pytest
from scipy.stats import norm

from bayes_net.data.landmarks import landmark
from bayes_net.simulate.cohort import simulate_cohort
from bayes_net.simulate.ensemble import virtual_trials
from bayes_net.simulate.plan import SimulationPlan
from bayes_net.simulate.printed import PATIENTS
from bayes_net.simulate.trials import HAZARD_CHANGES, LABELS, VISITS, draw, risk_sets

CONTROL, PRRT = SimulationPlan().arms
MANY = (12_000, 12_000)
KNOWN = SimulationPlan(patients=MANY, seen_at_once=True, slope=(-0.25, 0.1))


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
    return simulate_cohort(SimulationPlan(patients=MANY, slope=(0.0, 0.0)), seed=13)


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


# Margins


def test_the_landmarks_of_a_cohort_are_those_of_its_virtual_trial():
    """Tables that are read as a real trial's give the risk sets and best shrinkage that were drawn."""
    n, seed = 300, 5
    law = {name: np.array([[value]]) for name, value in SimulationPlan().law(0).items()}
    best, entered = risk_sets(draw(law, n, np.random.default_rng(seed)))
    sets = landmark(simulate_cohort(SimulationPlan(patients=(n, 1)), seed=seed), list(LABELS))
    for i, each in enumerate(sets.landmarks):
        rows = of_arm(sets, each.label, CONTROL).sort_values("patient")
        assert rows["patient"].str[1:7].astype(int).tolist() == np.flatnonzero(entered[i, 0]).tolist()
        # sizes are kept to a nanometre
        assert np.allclose(rows["shrinkage"], best[i, 0, entered[i, 0]], atol=1e-5)


def test_a_cohort_has_the_printed_counts_as_nearly_as_the_virtual_trials(default):
    table = virtual_trials().matched()
    counted = {"at risk, 72w": "72 w", "at risk, no limit": "no limit", "at risk, 150d": "150 d"}
    sets = landmark(default, ["150d", "72w", "no limit"])
    for name, (arm, n) in zip(default.arms, PATIENTS.items(), strict=True):
        margins = table[table["arm"] == arm].set_index("margin")
        best = of_arm(sets, "no limit", name)["shrinkage"]
        found = {margin: len(of_arm(sets, label, name)) for margin, label in counted.items()}
        found |= {"any shrinkage": (best > 0).sum(), "30 points or more": (best >= 30).sum()}
        for margin, count in found.items():
            if margin in margins.index:
                assert margins["lower"][margin] < count * n / MANY[0] < margins["upper"][margin], margin


def test_the_first_scan_has_the_printed_medians_as_nearly_as_the_virtual_trials(default):
    table = virtual_trials().matched().set_index(["arm", "margin"])
    first = default.scans[(default.scans["time"] > 0) & (default.scans["time"] < VISITS[:2].mean())]
    first = first[first["response"] != "PD"].merge(default.patients[["patient", "arm"]], on="patient")
    for name, arm in zip(default.arms, PATIENTS, strict=True):
        printed = table.loc[(arm, "median, week 12")]
        assert printed["lower"] < -first["pchg"][first["arm"] == name].median() < printed["upper"]


def test_scans_jitter_around_the_visits(default):
    scans = default.scans[default.scans["time"] > 0].merge(default.patients[["patient", "arm"]], on="patient")
    nearest = VISITS[np.abs(scans["time"].to_numpy()[:, None] - VISITS).argmin(1)]
    days = (scans["time"] - nearest) * 30.4375
    assert days.abs().max() <= 28 + 1e-9
    assert scans["time"].nunique() > 0.99 * len(scans)
    for arm, name in enumerate(default.arms):
        sd, own = SimulationPlan().law(arm)["jitter"], days[(scans["arm"] == name) & (nearest < VISITS[3])]
        # later scans before progression are a choice of the early ones
        assert own.std() == pytest.approx(sd, rel=0.1)


def test_overall_survival_has_the_published_medians(default, known):
    for cohort in (default, known):
        for name, median in zip(cohort.arms, (36.3, 48.0), strict=True):
            estimate, error = kaplan_meier(cohort.patients, "os", name, median)
            # the hazard is solved over 20,000 other patients
            assert abs(estimate - 0.5) < z_for(4) * np.hypot(error, 0.5 / np.sqrt(20_000)), name


# Slopes


def test_the_slope_is_the_truth_at_every_landmark_if_all_is_seen_at_once(known):
    landmarks = landmark(known, ["90d", "150d", "48w", "72w", "no limit"])
    for arm, name in enumerate(known.arms):
        for each in landmarks.landmarks:
            slope, error = cox_slope(of_arm(landmarks, each.label, name))
            assert abs(slope - KNOWN.slope[arm]) < z_for(10) * error, (name, each.label)
            assert error < 0.06


def test_the_hazard_is_the_baseline_times_the_slope(known):
    landmarks = landmark(known, ["150d", "72w"])
    for arm, name in enumerate(known.arms):
        law = KNOWN.law(arm)
        for label, stop, baseline in (
            ("150 d", HAZARD_CHANGES, law["early"]),
            ("72 w", np.inf, law["early"] * law["late"]),
        ):
            start = {each.label: each.months for each in landmarks.landmarks}[label]
            rows = of_arm(landmarks, label, name)
            events = rows["event"][rows["time"] <= stop - start].sum()
            relative = np.exp(KNOWN.slope[arm] * rows["shrinkage"] / 10)
            hazard = events / (relative * rows["time"].clip(upper=stop - start)).sum()
            assert abs(np.log(hazard / baseline)) < z_for(4) / np.sqrt(events)


def test_best_shrinkage_never_changes_if_all_is_seen_at_once(known):
    table = landmark(known, ["90d", "48w", "72w", "no limit"]).table
    spread = table.groupby("patient")["shrinkage"]
    assert (spread.max() - spread.min()).max() < 1e-9
    scans = known.scans.merge(known.patients, on="patient")
    assert not (scans["time"] == scans["pfs_time"]).any()


def test_without_association_true_landmarks_show_none_and_no_limit_does(unrelated):
    landmarks = landmark(unrelated, list(LABELS))
    for arm in unrelated.arms:
        for each in landmarks.landmarks:
            slope, error = cox_slope(of_arm(landmarks, each.label, arm))
            if each.biased:
                # guarantee-time bias: more scans in which to be best for those who stay on study longer
                assert slope < -z_for(12) * error
            else:
                assert abs(slope) < z_for(12) * error
