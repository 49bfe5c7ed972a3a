"""From state to state: R's regressions, no association where there is none, survival as observed."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from calibration import any_time
from test_ffcd_landmarks import read
from test_reference_modes import FLAT, mode

import bayes_net as bn
from bayes_net.checks.predictive import kaplan_meier
from bayes_net.data import landmark, transitions
from bayes_net.data.exposure import subset
from bayes_net.data.follow_up import DEATH_AFTER, DEATH_BEFORE, TO_PROGRESSION, TRANSITIONS
from bayes_net.errors import CohortWarning
from bayes_net.estimands.arms import STATES, state_probabilities
from bayes_net.schema import ALIVE, AT_RISK

CUTS = (6.0, 12.0, 18.0, 30.0)
HAZARD = bn.Hazard("per arm", "independent", "per arm", FLAT)
# R 4.2: glm(event ~ x + offset(log(time - entry)), poisson) by arm at 122 d, from the tables of patients and
# best shrinkages alone: slope and standard error, patients, events
GLM = {
    (AT_RISK, TO_PROGRESSION): [(0.02397710715, 0.0866628612, 45, 36), (-0.051208843, 0.0612865991, 56, 44)],
    (AT_RISK, DEATH_BEFORE): [(-0.1761223069, 0.2284226778, 45, 7), (-0.02917820062, 0.1422591235, 56, 8)],
    (AT_RISK, DEATH_AFTER): [(-0.153948839, 0.09240880785, 36, 27), (-0.1255310209, 0.07993172928, 44, 34)],
    (ALIVE, DEATH_AFTER): [(-0.1551640655, 0.0864927278, 40, 31), (-0.1500085185, 0.07666891857, 49, 38)],
}


@pytest.mark.parametrize(("population", "transition"), GLM)
def test_with_flat_priors_it_is_regression_with_delayed_entry(shared, population, transition):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        cohort = read(shared, scans_after_death="drop")
    landmarks = landmark(cohort, ["122d"], endpoint="os", population=population)
    data = transitions(cohort, landmarks, "122d")[transition]
    values, places, curvature = mode(data, HAZARD)
    errors = np.sqrt(np.diag(np.linalg.inv(curvature)))
    found = [
        (values["slope"][a], errors[places["slope", a]], n, events)
        for a, (n, events) in enumerate(zip(data.n_by_arm, data.events.sum(axis=1), strict=True))
    ]
    np.testing.assert_allclose(found, GLM[population, transition], rtol=1e-6)


@cache
def trial(truth: str, n: int = 6000) -> bn.Cohort:
    """Visit-dated progression, after which deaths are six times as many; the scan that shows it shows growth.
    The hazards rise as powers of time, and follow shrinkage as ``truth`` says."""
    rng = np.random.default_rng(20261129)
    parts = [any_time.tables(arm, n, any_time.DESIGN["slopes"][truth], rng) for arm in any_time.ARMS]
    patients, scans = (pd.concat(part, ignore_index=True) for part in zip(*parts, strict=True))
    scans["pchg"] = scans["pchg"].mask(scans["new_lesion"] == 1, 30.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        return bn.read_cohort(patients, scans, time_unit="days", arms=any_time.ARMS)


def z(data) -> np.ndarray:
    """Slopes in standard errors, by arm."""
    values, places, curvature = mode(data, HAZARD)
    errors = np.sqrt(np.diag(np.linalg.inv(curvature)))
    return values["slope"] / [errors[places["slope", a]] for a in range(len(data.arms))]


@pytest.mark.parametrize("population", [AT_RISK, ALIVE])
@pytest.mark.parametrize("at", ["150d", "48w"])
def test_without_association_there_is_none(at, population):
    cohort = trial("none")
    landmarks = landmark(cohort, [at], endpoint="os", population=population)
    data = transitions(cohort, landmarks, at, cuts=dict.fromkeys(TRANSITIONS, CUTS))
    scores = np.concatenate([z(each) for each in data.values()])
    assert np.abs(scores).max() < 3.5, dict(zip(data, scores.reshape(3, 2), strict=True))
    if population == ALIVE:  # one hazard of all who are alive takes growth at progression for its cause
        assert z(bn.expose(landmarks, at, cuts=CUTS)).min() < -6


def test_survival_is_as_observed():
    """Averaged over the patients' own shrinkage, the model's survival is that of Kaplan and Meier, though the
    states are those that scans document."""
    cohort, at = trial("association"), "36w"
    landmarks = landmark(cohort, [at], endpoint="os")
    data = transitions(cohort, landmarks, at, cuts=dict.fromkeys(TRANSITIONS, (3.0, *CUTS)))
    sampler = bn.Sampler(200, 300, 2, 0.9)
    fits = {name: bn.fit(each, seed=1, sampler=sampler, brief=True) for name, each in data.items()}
    times = [6.0, 12.0, 24.0]
    table, first = landmarks.at(at), data[TO_PROGRESSION]
    for a, arm in enumerate(cohort.arms):
        own = table[table["arm"] == arm]
        shares = (np.arange(40) + 0.5) / 40
        points = np.quantile(10 * first.score[first.arm == a], shares)
        states = state_probabilities(fits, subset(first, first.arm == a), times, shrinkage=points)
        alive = states.sel(state=list(STATES[:2]), arm=arm).sum("state").mean(("chain", "draw", "shrinkage"))
        steps = kaplan_meier(own["time"].to_numpy(), own["event"].to_numpy())
        for time, expected in zip(times, alive.values, strict=True):
            before = steps[steps["time"] <= time].iloc[-1]
            error = np.sqrt(before["survival"] * (1 - before["survival"]) / before["at_risk"])
            assert expected == pytest.approx(before["survival"], abs=3.5 * error), (arm, time)
