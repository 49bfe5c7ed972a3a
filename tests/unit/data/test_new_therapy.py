"""What a new anticancer therapy does to shrinkage, and to follow-up that is censored there."""

import pandas as pd
import pytest

import bayes_net as bn
from bayes_net.data import censor_at_new_therapy, read_cohort, time_dependent
from bayes_net.data.assessments import assessments, last_assessments
from bayes_net.errors import CohortError, InputError

pytestmark = pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")
DAYS = 30.4375

# "before": none; "later": begins on day 100, and the tumour shrinks after it; "same day": on that of the scan
# of day 84, which counts; "after": after progression; "event": on the day of progression
PATIENTS = pd.DataFrame(
    {
        "patient": ["none", "later", "same day", "after", "event"],
        "arm": ["A", "A", "A", "B", "B"],
        "pfs_time": [400, 400, 400, 300, 300],
        "pfs_event": [1, 1, 0, 1, 1],
        "os_time": [600, 600, 400, 700, 500],
        "os_event": [1, 1, 0, 0, 1],
        "new_therapy_time": [None, 100, 84, 350, 300],
    }
)
SCANS = pd.DataFrame(
    [(who, day, change) for who in PATIENTS["patient"] for day, change in ((0, 0), (84, -10), (168, -40))],
    columns=["patient", "time", "pchg"],
)


def cohort(patients=PATIENTS, scans=SCANS, **more) -> bn.Cohort:
    return read_cohort(patients, scans, time_unit="days", **more)


def days(frame: pd.DataFrame, column: str) -> list[float]:
    return (frame[column] * DAYS).round(6).tolist()


def test_scans_after_a_new_therapy_show_no_shrinkage():
    at = bn.landmark(cohort(), ["24w"]).at("24w").set_index("patient")["shrinkage"]
    assert at.to_dict() == {"none": 40, "later": 10, "same day": 10, "after": 40, "event": 40}
    without = cohort(PATIENTS.drop(columns="new_therapy_time"))
    assert (bn.landmark(without, ["24w"]).at("24w")["shrinkage"] == 40).all()


def test_they_show_none_in_the_model_of_all_follow_up_either():
    data = time_dependent(cohort(), cuts=[])
    assert sorted(10 * data.score) == [10] * 5 + [40] * 3


def test_a_patient_whose_scans_are_all_later_has_none():
    early = cohort(PATIENTS.assign(new_therapy_time=[None, 80, 84, 350, 300]))
    flow = bn.landmark(early, ["24w"]).attrition.query("arm == 'A'").set_index("reason")["n"]
    assert flow["no post-baseline scan by the landmark"] == 1
    said = {note.code: note for note in early.notes}
    assert said["no-post-baseline-scan"].count == 1


def test_they_are_counted_in_a_note():
    (note,) = [note for note in cohort().notes if note.code == "scans-after-new-therapy"]
    assert (
        note.message
        == "2 scans of 2 patients after a new anticancer therapy, not counted to the best shrinkage"
    )
    assert note.kind == "handled"
    plain = cohort(PATIENTS.assign(new_therapy_time=None))
    assert not [note for note in plain.notes if note.code == "scans-after-new-therapy"]


def test_follow_up_goes_on_after_a_new_therapy_by_treatment_policy():
    assert days(bn.landmark(cohort(), ["84d"]).at("84d"), "time") == [216, 216, 316, 316, 316]


def test_follow_up_that_is_censored_there_ends_there():
    found = censor_at_new_therapy(cohort()).patients.set_index("patient")
    order = ["none", "later", "same day", "after", "event"]
    found = found.loc[order]
    assert days(found, "pfs_time") == [400, 100, 84, 300, 300]
    assert found["pfs_event"].tolist() == [1, 0, 0, 1, 1]  # an event on that very day counts
    assert days(found, "os_time") == [600, 100, 84, 350, 300]
    assert found["os_event"].tolist() == [1, 0, 0, 0, 0]


def test_who_is_censored_there_leaves_a_later_landmark_as_censored():
    ended = censor_at_new_therapy(cohort())
    for options in ({}, {"endpoint": "os"}, {"endpoint": "os", "population": "alive"}):
        result = bn.landmark(ended, ["24w"], **options)
        flow = result.attrition.set_index(["arm", "reason"])["n"]
        assert flow["A", "censored by the landmark"] == 2
        assert result.at("24w")["patient"].tolist() == ["after", "event", "none"]


def test_progression_is_known_not_to_have_happened_until_the_last_scan_before_it():
    bounds = PATIENTS.assign(pfs_left=[None, 168, None, None, None])
    ended = censor_at_new_therapy(cohort(bounds))
    last = pd.Series(last_assessments(ended, assessments(ended)), index=ended.patients["patient"])
    assert round(last["later"] * DAYS, 6) == 84  # what was given lies after the end of follow-up
    assert round(last["none"] * DAYS, 6) == 168


def test_why_their_follow_up_ended_is_told_and_may_be_in_question():
    ended = censor_at_new_therapy(cohort())
    reasons = ended.reasons.set_index("patient")
    assert set(reasons.index[reasons["pfs_reason"] == "new anticancer therapy"]) == {"later", "same day"}
    assert set(reasons.index[reasons["os_reason"].notna()]) == {"later", "same day", "after", "event"}
    (note,) = [note for note in ended.notes if note.code == "censored-at-new-therapy"]
    assert note.message == "PFS of 2 patients and OS of 4 patients censored at a new anticancer therapy"


def test_dates_are_counted_from_time_zero():
    dated = PATIENTS.assign(time_zero="2020-01-01")
    for name in ("pfs_time", "os_time", "new_therapy_time"):
        at = pd.Timestamp("2020-01-01") + pd.to_timedelta(dated[name].astype(float), unit="D")
        dated[name] = at.dt.strftime("%Y-%m-%d")
    pd.testing.assert_frame_equal(cohort(dated).patients, cohort().patients)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([None, -1, 84, 350, 300], "negative values of new_therapy_time"),
        (
            [None, 601, 84, 350, 300],
            r"new therapies after death.*row 1 \(patient later: new therapy 601 days",
        ),
        ([None, "soon", 84, 350, 300], "values of new_therapy_time that are not numbers"),
    ],
)
def test_impossible_times_are_refused(times, said):
    with pytest.raises(CohortError, match=said):
        cohort(PATIENTS.assign(new_therapy_time=times))


def test_without_the_column_nothing_can_be_censored_there():
    with pytest.raises(InputError, match="patients have no new_therapy_time; expected that column"):
        censor_at_new_therapy(cohort(PATIENTS.drop(columns="new_therapy_time")))
