"""Curves that were read off a figure: pseudo-patients have the curve, the numbers at risk and the events."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_net.errors import CohortWarning, InputError
from bayes_net.files.curves import READING_ERROR, reconstruct
from bayes_net.simulate.trials import cox

SHARED = os.environ.get("BAYES_NET_SHARED")


def kaplan_meier(time, event, at):
    """Survival at times ``at``, from its definition."""
    steps = np.unique(time[event == 1])
    factors = np.array([1 - (event[time == t] == 1).sum() / (time >= t).sum() for t in steps])
    return np.array([factors[steps <= t].prod() for t in np.atleast_1d(at)])


def printed(time, event, marks, *, step, error=0.0, seed=0):
    """What a figure shows of these patients: points, numbers at risk and the total of events."""
    grid = np.arange(step, time.max() + step, step)
    read = kaplan_meier(time, event, grid) + np.random.default_rng(seed).uniform(-error, error, len(grid))
    points = pd.DataFrame({"time": grid, "survival": np.clip(read, 0, 1).round(4)})
    at_risk = pd.DataFrame({"time": marks, "n": [int((time >= mark).sum()) for mark in marks]})
    return points, at_risk, int(event.sum())


def trial(n, shape, scale, seed, *, ratio=1.0):
    """Weibull times, censored by an accrual of a year and drop-out."""
    rng = np.random.default_rng(seed)
    time = scale * ratio ** (-1 / shape) * rng.weibull(shape, n)
    end = np.minimum(rng.uniform(24, 36, n), rng.exponential(90, n))
    return np.minimum(time, end), (time <= end).astype(int)


def bent(n, seed):
    """Times of a hazard with three bends, censored likewise."""
    rng = np.random.default_rng(seed)
    cuts, hazard = np.array([0.0, 3.0, 9.0, 18.0]), np.array([0.03, 0.10, 0.06, 0.02])
    until = np.concatenate([[0.0], np.cumsum(np.diff(cuts) * hazard[:-1])])
    spent = rng.standard_exponential(n)
    piece = np.searchsorted(until, spent, side="right") - 1
    time = cuts[piece] + (spent - until[piece]) / hazard[piece]
    end = np.minimum(rng.uniform(24, 36, n), rng.exponential(90, n))
    return np.minimum(time, end), (time <= end).astype(int)


MARKS = [0, 6, 12, 18, 24]


@pytest.mark.parametrize("shape", [0.8, 1.0, 1.6])
@pytest.mark.parametrize("n", [60, 300])
def test_the_curve_the_numbers_at_risk_and_the_events_come_back(shape, n):
    for seed in range(5):
        time, event = trial(n, shape, 14.0, seed)
        points, at_risk, events = printed(time, event, MARKS, step=0.1)
        found = reconstruct(points, at_risk, events=events)
        assert len(found) == n
        assert abs(found["event"].sum() - events) <= 1
        again = kaplan_meier(found["time"].to_numpy(), found["event"].to_numpy(), points["time"])
        # by rounding, two steps of the curve at most, each of one patient; until five are left
        left = np.array([(time >= at).sum() for at in points["time"]])
        apart, step = np.abs(again - points["survival"]), points["survival"] / np.maximum(left, 1)
        assert (apart < 2 * step + 1e-3)[left >= 5].all()
        for mark, number in zip(MARKS, at_risk["n"], strict=True):
            assert (found["time"] >= mark).sum() == pytest.approx(number, abs=1)


@pytest.mark.filterwarnings("ignore:the curve and the numbers at risk give")
@pytest.mark.parametrize("error", [0.0, 0.002, 0.005])
@pytest.mark.parametrize("law", [lambda n, seed: trial(n, 1.1, 14.0, seed), bent], ids=["Weibull", "bent"])
def test_numbers_at_risk_are_exact_in_nearly_all_trials_and_events_to_within_two(law, error):
    """Over 36 trials of 60 to 300 patients: each point has a whole number of events, so some miss by one."""
    numbers, totals, apart = [], [], []
    for seed in range(12):
        for n in (60, 120, 300):
            time, event = law(n, seed)
            points, at_risk, events = printed(time, event, MARKS, step=0.25, error=error, seed=seed)
            found = reconstruct(points, at_risk, events=events)
            there = [(found["time"] >= mark).sum() for mark in MARKS]
            numbers.append(np.abs(there - at_risk["n"]).max())
            totals.append(abs(found["event"].sum() - events))
            at = points["time"][points["time"] <= MARKS[-1]]
            own = kaplan_meier(found["time"].to_numpy(), found["event"].to_numpy(), at)
            apart.append(np.abs(own - kaplan_meier(time, event, at)).max())
    assert np.mean(np.equal(numbers, 0)) > 0.9
    assert max(numbers) <= 1
    assert np.mean(np.equal(totals, 0)) > 0.55
    assert max(totals) <= 2
    # the error, and a step of one patient of the smallest trial
    assert max(apart) < error + 1 / 60


def test_reading_errors_move_the_curve_by_no_more_than_they_are():
    time, event = trial(200, 1.2, 14.0, 3)
    points, at_risk, events = printed(time, event, MARKS, step=0.5, error=0.004, seed=1)
    found = reconstruct(points, at_risk, events=events)
    true = kaplan_meier(time, event, points["time"])
    again = kaplan_meier(found["time"].to_numpy(), found["event"].to_numpy(), points["time"])
    assert np.abs(again - true).max() < 0.004 + 1.5 / at_risk["n"].iloc[-1]


def log_ratio(arms):
    """Cox estimate of the log hazard ratio of the second arm."""
    # ``cox`` is per 10 of its covariate
    arm = np.concatenate([np.full(len(time), 10.0 * k) for k, (time, _) in enumerate(arms)])
    time, event = (np.concatenate(parts) for parts in zip(*arms, strict=True))
    order = [part[None] for part in (arm, time, event.astype(bool), np.ones(len(arm), bool))]
    beta, information = cox(*order)
    return float(beta[0]), float(information[0] ** -0.5)


def rebuilt(time, event, step=0.25):
    points, at_risk, events = printed(time, event, MARKS, step=step, error=0.002)
    found = reconstruct(points, at_risk, events=events)
    return found["time"].to_numpy(), found["event"].to_numpy()


def test_the_hazard_ratio_of_two_reconstructed_arms_is_that_of_their_patients():
    """Over 20 trials of 120 patients an arm: no bias, and a fraction of a standard error in each."""
    apart = []
    for seed in range(20):
        arms = [trial(120, 1.1, 12.0, seed), trial(120, 1.1, 12.0, 100 + seed, ratio=0.6)]
        true, se = log_ratio(arms)
        again, _ = log_ratio([rebuilt(*arm) for arm in arms])
        apart.append((again - true) / se)
    assert np.abs(apart).max() < 0.4
    assert abs(np.mean(apart)) < 0.1


def test_without_the_total_of_events_censoring_goes_on_as_before():
    time, event = trial(300, 1.0, 14.0, 8)
    points, at_risk, events = printed(time, event, MARKS, step=0.1)
    found = reconstruct(points, at_risk)
    assert len(found) == 300
    assert found["event"].sum() == pytest.approx(events, abs=12)


@pytest.mark.filterwarnings("default")
def test_a_total_that_cannot_be_met_is_warned_of():
    points = pd.DataFrame({"time": [1.0, 2.0], "survival": [0.9, 0.8]})
    with pytest.warns(CohortWarning, match="give 2 events, and 9 are printed"):
        reconstruct(points, pd.DataFrame({"time": [0], "n": [10]}), events=9)


def test_nobody_is_censored_where_everybody_has_the_event():
    points = pd.DataFrame({"time": [1.0, 2.0, 3.0, 4.0], "survival": [0.75, 0.5, 0.25, 0.0]})
    at_risk = pd.DataFrame({"time": [0.0, 2.5], "n": [8, 4]})
    found = reconstruct(points, at_risk, events=8)
    assert found["time"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert found["event"].tolist() == [1] * 8


GOOD = {"time": [1.0, 5.0, 12.0], "survival": [0.9, 0.6, 0.3]}, {"time": [0, 6, 12], "n": [50, 30, 9]}
REFUSED = {
    "a column": ({"time": [1.0]}, {}, None, "points has no column survival"),
    "no number": ({"survival": [0.9, "x", 0.3]}, {}, None, r"1 row without a number \(row 1\)"),
    "percents": ({"survival": [90.0, 60.0, 30.0]}, {}, None, "expected shares from 0 to 1, not percents"),
    "a time before 0": ({"time": [-1.0, 5.0, 12.0]}, {}, None, "the time -1"),
    "a rise": ({"survival": [0.6, 0.9, 0.3]}, {}, None, "rises from 0.6 at 1 to 0.9 at 5"),
    "numbers that rise": ({}, {"n": [50, 55, 9]}, None, "numbers at risk are 50, 55, 9; .*never rise"),
    "half a patient": ({}, {"n": [50, 30.5, 9]}, None, "expected whole numbers"),
    "no time 0": ({}, {"time": [1, 6, 12]}, None, "are 1, 6, 12; expected 0 first"),
    "points that end": ({"time": [1.0, 5.0, 7.0]}, {}, None, "last point is at 7"),
    "too many events": ({}, {}, 51, "events is 51; expected a whole number from 0 to 50"),
}


@pytest.mark.parametrize(("points", "at_risk", "events", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_curve_is_refused(points, at_risk, events, message):
    good = [pd.DataFrame(part) for part in GOOD]
    given = (
        pd.DataFrame(points)
        if set(points) == {"time"} and len(points["time"]) == 1
        else good[0].assign(**points)
    )
    with pytest.raises(InputError, match=message):
        reconstruct(given, good[1].assign(**at_risk), events=events)


def test_small_rises_of_a_flat_curve_are_reading_error():
    points = pd.DataFrame({"time": [1.0, 2.0, 3.0], "survival": [0.5, 0.5 + READING_ERROR / 2, 0.5]})
    found = reconstruct(points, pd.DataFrame({"time": [0], "n": [10]}), events=5)
    assert found["event"].sum() == 5


@pytest.mark.skipif(not SHARED, reason="needs the reconstructed trial of the shared evidence")
@pytest.mark.filterwarnings("ignore:the curve and the numbers at risk give")
@pytest.mark.parametrize("figure", ["2A", "2C"])
def test_a_trial_of_everolimus_keeps_its_hazard_ratio(figure):
    """Many of one arm were censored in the first months, which nothing but the total of events could tell."""
    patients = pd.read_csv(Path(SHARED) / "evidence" / f"kmdata_RADIANT4_{figure}.csv")
    arms = [
        (own["time"].to_numpy(float), own["event"].to_numpy(int))
        for _, own in sorted(patients.groupby("arm"), key=lambda each: each[0] == "everolimus")
    ]
    true, se = log_ratio(arms)
    made = [rebuilt(*arm, step=0.1) for arm in arms]
    again, _ = log_ratio(made)
    assert abs(again - true) < 0.15 * se
