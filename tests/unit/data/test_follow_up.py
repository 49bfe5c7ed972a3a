"""Best shrinkage so far: which stretches of follow-up it makes, of patients known by heart."""

import numpy as np
import pandas as pd
import pytest

from bayes_net.data import Covariate, Response, Shrinkage, WithoutShrinkage, read_cohort
from bayes_net.data.follow_up import time_dependent
from bayes_net.errors import CohortWarning, InputError

# months; "a" shrinks twice and progresses at 12, "b" is censored, "c" dies without progression, "d"
# progresses at the first scan, "e" has no scan
PATIENTS = pd.DataFrame(
    {
        "patient": list("abcde"),
        "arm": ["A", "A", "B", "B", "B"],
        "pfs_time": [12.0, 9.0, 7.0, 3.0, 5.0],
        "pfs_event": [1, 0, 1, 1, 0],
        "os_time": [20.0, 9.5, 7.0, 8.0, 5.0],
        "os_event": [1, 0, 1, 1, 0],
        "age": [60.0, 50.0, 70.0, 40.0, 55.0],
    }
)
SCANS = pd.DataFrame(
    [
        ("a", 3.0, -10.0, 0), ("a", 6.0, -5.0, 0), ("a", 9.0, -30.0, 0), ("a", 12.0, -40.0, 1),
        ("b", 3.0, 5.0, 0), ("b", 6.0, 5.0, 0),
        ("c", 2.0, -20.0, 0), ("c", 6.9, -25.0, 0),
        ("d", 3.0, 25.0, 1), ("d", 6.0, -50.0, 0),
    ],
    columns=["patient", "time", "pchg", "new_lesion"],
)  # fmt: skip


@pytest.fixture(scope="module")
def cohort():
    with pytest.warns(CohortWarning, match="without a usable scan"):
        return read_cohort(PATIENTS, SCANS, time_unit="months", arms=["A", "B"], covariates=["age"])


def rows(data) -> list[tuple]:
    """Patient, entry, end, event and shrinkage in points."""
    columns = (data.patient, data.entry, data.time, data.event, 10 * data.score)
    return [tuple(round(float(x), 6) for x in row) for row in zip(*columns, strict=True)]


def test_a_value_counts_from_the_scan_that_shows_it_until_a_better_one(cohort):
    data = time_dependent(cohort, cuts=[6.0])
    assert rows(data) == [
        (0, 3, 9, 0, 10),  # a: less shrinkage at 6 months changes nothing
        (0, 9, 12, 1, 30),  # the scan that shows progression does not count
        (1, 3, 9, 0, -5),
        (2, 2, 6.9, 0, 20),
        (2, 6.9, 7, 1, 25),
    ]
    assert (data.n, data.rows) == (3, 5)
    assert data.n_by_arm.tolist() == [2, 1]
    np.testing.assert_allclose(data.months.sum(axis=1), [6, 3, 6, 4.9, 0.1], atol=1e-6)
    np.testing.assert_allclose(data.person_time, [[6, 9], [4, 1]], atol=1e-6)
    assert "3 patients (A 2, B 1)" in repr(data)


def test_progression_lies_between_its_scan_and_the_one_before(cohort):
    data = time_dependent(cohort, cuts=[6.0], progression="between scans")
    assert rows(data)[:3] == [(0, 3, 9, 0, 10), (0, 9, 12, 1, 30), (1, 3, 9, 0, -5)]
    assert data.between.tolist() == [False, True, False, False, False]
    np.testing.assert_allclose(
        data.last_known, [9, 9, 6, 6.9, 7], atol=1e-6
    )  # b is followed to its last scan
    wide = time_dependent(cohort, cuts=[6.0], progression="between scans", visit="4mo")
    # the scan at 9 months belongs to the visit that showed progression: nothing of it is known before
    assert rows(wide)[0] == (0, 3, 12, 1, 10)
    assert wide.last_known[0] == pytest.approx(6.0, abs=1e-6)


def test_after_progression_death_has_a_hazard_of_its_own(cohort):
    data = time_dependent(cohort, endpoint="os", cuts=[], covariates=[Covariate("age", 50, 10)])
    assert data.covariate_names == ("age", "progressed")
    assert rows(data) == [
        (0, 3, 9, 0, 10),
        (0, 9, 12, 0, 30),
        (0, 12, 20, 1, 30),  # progressed: as much shrinkage as before
        (1, 3, 9.5, 0, -5),
        (2, 2, 6.9, 0, 20),
        (2, 6.9, 7, 1, 25),  # died without progression
    ]
    assert data.covariates.tolist() == [[1, 0], [1, 0], [1, 1], [0, 0], [2, 0], [2, 0]]
    assert data.last_assessment is None


def test_by_intention_to_treat_everyone_is_at_risk_from_randomisation(cohort):
    data = time_dependent(cohort, cuts=[], measure=Response(20), intention_to_treat=True)
    assert data.n == 5
    assert data.person_time.sum() == pytest.approx(PATIENTS["pfs_time"].sum())
    assert data.event.sum() == PATIENTS["pfs_event"].sum()
    of_c = [(entry, end, score / 10) for patient, entry, end, _, score in rows(data) if patient == 2]
    assert of_c == [(0, 2, 0), (2, 6.9, 1), (6.9, 7, 1)]


def test_order_of_rows_and_units_change_nothing(cohort):
    days = PATIENTS.assign(**{c: PATIENTS[c] * 30.4375 for c in ("pfs_time", "os_time")})
    scans = SCANS.assign(time=SCANS["time"] * 30.4375).iloc[::-1]
    with pytest.warns(CohortWarning, match="without a usable scan"):
        other = read_cohort(days, scans, time_unit="days", arms=["A", "B"], covariates=["age"])
    assert rows(time_dependent(other, cuts=[])) == rows(time_dependent(cohort, cuts=[]))


def test_what_is_not_known_or_asked_for_is_refused(cohort):
    with pytest.raises(InputError, match="expected Shrinkage, or a Response"):
        time_dependent(cohort, cuts=[], measure=WithoutShrinkage())
    with pytest.raises(InputError, match="which alone may be by intention to treat"):
        time_dependent(cohort, cuts=[], measure=Shrinkage(), intention_to_treat=True)
    with pytest.raises(InputError, match="endpoint 'dfs' is not in this cohort"):
        time_dependent(cohort, endpoint="dfs", cuts=[])
    with pytest.raises(InputError, match="progression 'sometime' is unknown"):
        time_dependent(cohort, cuts=[], progression="sometime")
    nobody = PATIENTS.assign(pfs_event=0, os_event=0)
    with pytest.warns(CohortWarning, match="without a usable scan"):
        quiet = read_cohort(nobody, SCANS, time_unit="months", arms=["A", "B"])
    with pytest.raises(InputError, match="3 patients at risk after a scan and no event"):
        time_dependent(quiet, cuts=[])
