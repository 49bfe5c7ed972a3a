"""From state to state: who is at risk of which transition, from when, until when, with which shrinkage."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from bayes_net.data import Covariate, Response, expose, landmark, read_cohort, transitions
from bayes_net.data.follow_up import DEATH_AFTER, DEATH_BEFORE, TO_PROGRESSION
from bayes_net.errors import InputError
from bayes_net.schema import ALIVE, AT_RISK

# months; at 5: "a" progresses at 12 and dies at 15, "b" dies without progression, "c" is censored for both,
# "d" has progressed at 4 and dies at 11, of "e" progression is not followed after 10; "f" progresses at 8 and
# dies the same day
PATIENTS = pd.DataFrame(
    {
        "patient": list("abcdef"),
        "arm": ["A", "A", "B", "B", "B", "A"],
        "pfs_time": [12.0, 9.0, 20.0, 4.0, 10.0, 8.0],
        "pfs_event": [1, 1, 0, 1, 0, 1],
        "os_time": [15.0, 9.0, 20.0, 11.0, 18.0, 8.0],
        "os_event": [1, 1, 0, 1, 1, 1],
        "age": [60.0, 50.0, 70.0, 40.0, 55.0, 65.0],
    }
)
SCANS = pd.DataFrame(
    [
        *((name, 3.0, -10.0 * (i + 1), 0) for i, name in enumerate("abcdef")),
        ("d", 4.0, -60.0, 1),  # target lesions shrank further, and there is a new lesion
    ],
    columns=["patient", "time", "pchg", "new_lesion"],
)


@pytest.fixture(scope="module")
def cohort():
    return read_cohort(PATIENTS, SCANS, time_unit="months", arms=["A", "B"], covariates=["age"])


def moves(cohort, *, population="pfs risk set", **how):
    landmarks = landmark(cohort, ["5mo", "11mo"], endpoint="os", population=population)
    return transitions(cohort, landmarks, how.pop("at", "5mo"), **how)


def rows(data) -> list[tuple]:
    """Arm, entry, end and event in months from the landmark, shrinkage in points."""
    entry = np.zeros(data.rows) if data.entry is None else data.entry
    columns = (data.arm, entry, data.time, data.event, 10 * data.score)
    return [tuple(round(float(x), 6) for x in row) for row in zip(*columns, strict=True)]


def test_patients_are_at_risk_of_death_after_progression_from_their_progression_on(cohort):
    found = moves(cohort, covariates=[Covariate("age", reference=50.0, scale=10.0)])
    assert rows(found[TO_PROGRESSION]) == [
        (0, 0, 7, 1, 10), (0, 0, 4, 0, 20), (1, 0, 15, 0, 30), (1, 0, 5, 0, 50), (0, 0, 3, 0, 60),
    ]  # fmt: skip
    assert rows(found[DEATH_BEFORE]) == [
        (0, 0, 7, 0, 10), (0, 0, 4, 1, 20), (1, 0, 15, 0, 30), (1, 0, 5, 0, 50), (0, 0, 3, 1, 60),
    ]  # fmt: skip
    assert rows(found[DEATH_AFTER]) == [(0, 7, 10, 1, 10)]
    assert found[DEATH_BEFORE].covariates.ravel().tolist() == [1.0, 0.0, 2.0, 0.5, 1.5]


def test_who_had_progressed_enters_among_the_living_by_shrinkage_until_then(cohort):
    found = moves(cohort, population=ALIVE)
    assert rows(found[DEATH_AFTER]) == [(0, 7, 10, 1, 10), (1, 0, 6, 1, 40)]
    assert found[TO_PROGRESSION].rows == 5
    later = moves(cohort, population=ALIVE, at="11mo")
    assert rows(later[DEATH_AFTER]) == [(0, 1, 4, 1, 10)]  # "d" has died on the day of this landmark


def test_who_progresses_on_the_day_of_the_landmark_has_progressed(cohort):
    landmarks = landmark(cohort, ["12mo"], endpoint="os", population=ALIVE)
    found = transitions(cohort, landmarks, "12mo")
    assert rows(found[DEATH_AFTER]) == [(0, 0, 3, 1, 10)]
    assert found[TO_PROGRESSION].rows == found[DEATH_BEFORE].rows == 1  # "c" alone is without progression


@pytest.mark.parametrize("population", [AT_RISK, ALIVE])
def test_without_progression_death_before_it_is_overall_survival(population):
    """Its exposure is that of the separate model, to the number."""
    people = PATIENTS.assign(pfs_time=PATIENTS["os_time"], pfs_event=PATIENTS["os_event"])
    scans = SCANS[SCANS["new_lesion"] == 0]
    how = {"time_unit": "months", "arms": ["A", "B"], "covariates": ["age"], "accept": ["pfs-is-os"]}
    cohort = read_cohort(people, scans, **how)
    landmarks = landmark(cohort, ["5mo"], endpoint="os", population=population)
    age = [Covariate("age", reference=50.0, scale=10.0)]
    cuts = {DEATH_BEFORE: [3.0]}
    found = transitions(cohort, landmarks, "5mo", covariates=age, cuts=cuts)
    separate = expose(landmarks, "5mo", covariates=age, cuts=[3.0])
    for field in fields(separate):
        one, other = getattr(found[DEATH_BEFORE], field.name), getattr(separate, field.name)
        np.testing.assert_array_equal(one, other, err_msg=field.name)
    assert separate.event.sum() == 5
    assert found[TO_PROGRESSION].event.sum() == found[DEATH_AFTER].rows == 0


def test_pfs_and_deaths_are_shared_out_over_the_transitions(cohort):
    found = moves(cohort)
    landmarks = landmark(cohort, ["5mo"])
    events = found[TO_PROGRESSION].event + found[DEATH_BEFORE].event
    np.testing.assert_array_equal(events, landmarks.at("5mo")["event"])
    np.testing.assert_array_equal(found[TO_PROGRESSION].time, landmarks.at("5mo")["time"])


def test_a_response_at_a_scan_that_is_progression_is_none(cohort):
    found = moves(cohort, population=ALIVE, measure=Response(30.0))
    assert found[DEATH_AFTER].score.tolist() == [0.0, 1.0]
    only = SCANS[~((SCANS["patient"] == "d") & (SCANS["time"] == 3.0))]
    cohort = read_cohort(PATIENTS, only, time_unit="months", arms=["A", "B"])
    assert rows(moves(cohort, population=ALIVE)[DEATH_AFTER]) == [(0, 7, 10, 1, 10)]
    assert moves(cohort, population=ALIVE, measure=Response(30.0))[DEATH_AFTER].score.tolist() == [0.0, 0.0]


def test_cuts_belong_to_their_transition(cohort):
    found = moves(cohort, cuts={DEATH_AFTER: [8.0]})
    assert [found[name].n_intervals for name in (TO_PROGRESSION, DEATH_BEFORE, DEATH_AFTER)] == [1, 1, 2]
    np.testing.assert_allclose(found[DEATH_AFTER].person_time, [[1, 2], [0, 0]])


def test_what_transitions_need_is_said(cohort):
    with pytest.raises(InputError, match="expected a cohort with PFS and OS"):
        transitions(cohort, landmark(cohort, ["5mo"]), "5mo")
    everyone = landmark(cohort, ["5mo"], endpoint="os", intention_to_treat=True)
    with pytest.raises(InputError, match="with a scan"):
        transitions(cohort, everyone, "5mo")
    alive = PATIENTS.assign(pfs_event=0, os_event=0)
    cohort = read_cohort(alive, SCANS, time_unit="months")
    with pytest.raises(InputError, match="neither progression nor death"):
        moves(cohort)
    with pytest.raises(InputError, match="not in this set; expected one of 5 mo, 11 mo"):
        moves(cohort, at="6mo")


def test_the_scan_that_shows_progression_can_be_left_out_among_the_living():
    growth = SCANS.assign(pchg=SCANS["pchg"].mask(SCANS["new_lesion"] == 1, 25.0), new_lesion=0)
    growth = growth[(growth["patient"] != "d") | (growth["pchg"] > 0)]
    how = {"endpoint": "os", "population": ALIVE}
    cohort = read_cohort(PATIENTS, growth, time_unit="months")
    counted = landmark(cohort, ["5mo"], **how).at("5mo").set_index("patient")["shrinkage"]
    left_out = landmark(cohort, ["5mo"], progression_scans=False, **how).at("5mo")
    assert counted["d"] == -25.0
    assert "d" not in set(left_out["patient"])
