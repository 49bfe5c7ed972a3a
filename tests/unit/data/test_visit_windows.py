"""Scans of a landmark's visit that come late: they count, and no immortal time comes in with them."""

import numpy as np
import pandas as pd
import pytest

from bayes_net.data.cohort import Cohort, read_cohort
from bayes_net.data.landmarks import Landmark, LandmarkSet, landmark, landmark_times

pytestmark = pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")

WEEKS, WINDOW = 36, 56
DAY = 1 / 30.4375


def late_visit(pfs_day: int) -> Cohort:
    patients = pd.DataFrame({"patient": ["1"], "arm": ["a"], "pfs_time": [pfs_day], "pfs_event": [1]})
    scans = pd.DataFrame({"patient": "1", "time": [0, 84, 255], "pchg": [0, -10, -40]})
    return read_cohort(patients, scans, time_unit="days")


def test_a_scan_of_week_36_on_day_255_counts_within_its_window():
    cohort = late_visit(400)
    assert landmark(cohort, ["36w"]).at("36w")["shrinkage"].tolist() == [10]
    row = landmark(cohort, ["36w"], scan_window="3d").at("36w").iloc[0]
    assert row["shrinkage"] == 40
    assert row["time"] == pytest.approx((400 - 255) * DAY)  # and no longer from day 252
    assert landmark(cohort, ["36w"], scan_window="2d").at("36w")["shrinkage"].tolist() == [10]


def test_who_progresses_within_the_window_has_left():
    result = landmark(late_visit(254), ["36w"], scan_window="3d")
    assert result.table.empty
    left = result.attrition.set_index("reason")["n"]
    assert left["progressed or died by the landmark"] == 1
    assert len(landmark(late_visit(254), ["36w"]).table) == 1


def test_time_zero_and_no_limit_have_no_window():
    times = landmark_times(["0d", "36w", "no limit"], scan_window="14d")
    assert times == (
        Landmark("0 d", 0.0, 0.0),
        Landmark("36 w", 266 * DAY, 266 * DAY),
        Landmark("no limit", 0.0, np.inf),
    )


def unrelated(seed: int, n: int = 20_000) -> Cohort:
    """Patients whose shrinkage has nothing to do with when they progress; visits come early and late."""
    rng = np.random.default_rng(seed)
    names = [f"{i:05d}" for i in range(n)]
    patients = pd.DataFrame(
        {"patient": names, "arm": "a", "pfs_time": np.ceil(rng.exponential(400, n)), "pfs_event": 1}
    )
    parts = [pd.DataFrame({"patient": names, "time": 0, "pchg": 0.0})]
    for week in (12, 24, 36, 48):
        day = 7 * week + rng.integers(-WINDOW // 2, WINDOW, n)
        part = pd.DataFrame({"patient": names, "time": day, "pchg": rng.uniform(-80, 10, n)})
        part["response"] = "SD"
        parts.append(part[day < patients["pfs_time"]])
    return read_cohort(patients, pd.concat(parts), time_unit="days", synthetic=True)


def z_of_slope(found: LandmarkSet) -> float:
    """Of an exponential model: the score of the slope at 0, in its standard deviations."""
    table = found.table
    x = table["shrinkage"] - table["shrinkage"].mean()
    expected = table["time"] * table["event"].sum() / table["time"].sum()
    spread = (x**2 * expected).sum() - (x * expected).sum() ** 2 / expected.sum()
    return float((x * (table["event"] - expected)).sum() / np.sqrt(spread))


def test_no_immortal_time_enters_with_late_scans():
    """Without any association, 12 trials: the sum of z² is within its 99.9 % limit; were scans alone to count
    later than the risk set is told, shrinkage would seem to protect (its average z was -2.0)."""
    right, wrong = [], []
    late = Landmark("36 w", WEEKS * 7 * DAY, (WEEKS * 7 + WINDOW) * DAY)
    for seed in range(12):
        cohort = unrelated(seed)
        right.append(z_of_slope(landmark(cohort, ["36w"], scan_window=f"{WINDOW}d")))
        wrong.append(z_of_slope(landmark(cohort, [late])))
    assert np.square(right).sum() < 32.9  # chi-square of 12 degrees of freedom
    assert abs(np.mean(right)) < 3.29 / np.sqrt(12)
    assert np.mean(wrong) < -3.29 / np.sqrt(12)
