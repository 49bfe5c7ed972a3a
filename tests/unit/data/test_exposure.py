"""Events and time at risk: what follow-up adds up to, and what must change nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cohort_tables import read
from exposures import CLASSIC, CUTS, classic, patients, reference

from bayes_net.data.exposure import collapsed_form, expose, long_form
from bayes_net.data.intervals import equal_event_cuts, grid_cuts, person_time
from bayes_net.data.landmarks import landmark
from bayes_net.data.terms import Covariate, Response, Shrinkage, measure_attrs, measure_of
from bayes_net.errors import InputError
from bayes_net.schema import DAYS_PER_MONTH, duration

COVARIATES = ("grade: II", "age")


def landmarks(**options):
    return landmark(read(covariates=("age", "grade")), ["100d"], **options)


def log_likelihood(rows: pd.DataFrame, log_hazard, slope: float) -> float:
    """sum d log h - h e over rows, with log hazards by arm and interval."""
    log_h = np.array([log_hazard[arm][k] for arm, k in zip(rows["arm"], rows["interval"], strict=True)])
    log_h = log_h + slope * rows["score"].to_numpy()
    return float((rows["event"] * log_h - rows["exposure"] * np.exp(log_h)).sum())


@pytest.mark.parametrize("cuts", [(), (2.0,), CUTS, (100.0, 200.0)])
def test_exposure_adds_up_to_follow_up(cuts):
    data = patients(cuts=cuts)
    # sums of about ten float64 terms
    np.testing.assert_allclose(person_time(data.time, data.cuts).sum(axis=1), data.time, rtol=1e-14)
    np.testing.assert_allclose(data.person_time.sum(), data.time.sum(), rtol=1e-14)
    np.testing.assert_allclose(data.starts[data.interval] + data.since_start, data.time, rtol=1e-14)
    assert data.events.sum() == data.event.sum()
    assert data.n_by_arm.sum() == data.n


def test_an_event_on_a_cut_point_belongs_to_the_interval_that_ends_there():
    data = replace(patients(3), time=np.array([2.0, 2.0 + 1e-9, 9.0]), event=np.ones(3), arm=np.zeros(3, int))
    assert data.interval.tolist() == [0, 1, 2]
    assert data.events[0].tolist() == [1, 1, 1, 0]
    assert data.person_time[0, 3] == 0


@pytest.mark.parametrize("name", CLASSIC)
def test_events_and_person_time_of_classic_trials_equal_the_reference(shared, name):
    answers = reference(shared, "classic_pem_reference")["datasets"][name]
    expected = answers["pem_glm"]
    data = classic(shared, name, cuts=expected["cuts"])
    assert (data.n, data.event.sum()) == (answers["n"], answers["events"])
    on_a_cut = np.isin(data.time, data.cuts) & (data.event == 1)
    assert on_a_cut.sum() == answers["events_on_a_cutpoint"]
    assert data.events.sum(axis=0).tolist() == expected["events_per_interval"]
    # the reference is printed with 15 digits
    np.testing.assert_allclose(data.person_time.sum(axis=0), expected["person_time_per_interval"], rtol=1e-9)


def test_the_long_form_has_a_row_for_every_interval_entered():
    data = patients(covariates=COVARIATES)
    rows = long_form(data)
    assert len(rows) == (data.interval + 1).sum()
    assert (rows["exposure"] > 0).all()
    np.testing.assert_allclose(rows.groupby("patient")["exposure"].sum(), data.time, rtol=1e-14)
    assert rows.groupby("patient")["event"].sum().tolist() == data.event.tolist()
    last = rows.groupby("patient").last()
    assert last["event"].tolist() == data.event.tolist()
    assert (rows["start"] == data.starts[rows["interval"]]).all()


def test_the_collapsed_form_has_the_totals_of_the_long_form_and_fewer_rows():
    data = patients(300, covariates=COVARIATES)
    data = replace(data, score=np.round(data.score / 5))
    rows, fewer = long_form(data), collapsed_form(data)
    assert len(fewer) < len(rows)
    assert not fewer.duplicated(["arm", "interval", "score", *COVARIATES]).any()
    totals = [part.groupby(["arm", "interval"])[["exposure", "event"]].sum() for part in (rows, fewer)]
    pd.testing.assert_frame_equal(*totals, rtol=1e-13)
    hazards = dict(zip(data.arms, np.random.default_rng(3).normal(-2.5, 0.5, (2, 4)), strict=True))
    # the same sum in another order
    assert log_likelihood(fewer, hazards, -0.2) == pytest.approx(
        log_likelihood(rows, hazards, -0.2), rel=1e-12
    )


@pytest.mark.parametrize("extra", [0.5, 2.0, 3.7, 9.5, 500.0])
def test_refining_cut_points_that_change_nothing_changes_nothing(extra):
    data = patients(80)
    finer = replace(data, cuts=np.unique([*CUTS, extra]))
    log_hazard = np.random.default_rng(4).normal(-2.5, 0.5, (2, 4))
    # every finer interval keeps the hazard of the interval that holds it
    parent = np.searchsorted(data.cuts, finer.starts, side="right")
    coarse = log_likelihood(long_form(data), dict(zip(data.arms, log_hazard, strict=True)), 0.1)
    fine = log_likelihood(long_form(finer), dict(zip(data.arms, log_hazard[:, parent], strict=True)), 0.1)
    assert fine == pytest.approx(coarse, rel=1e-12)


def test_shuffling_and_relabelling_patients_changes_nothing():
    cohort = read(covariates=("age", "grade"))
    names = {"007": "z", "008": "y", "009": "x", "010": "w"}
    shuffled = replace(
        cohort,
        patients=cohort.patients.assign(patient=cohort.patients["patient"].map(names))[::-1].reset_index(
            drop=True
        ),
        scans=cohort.scans.assign(patient=cohort.scans["patient"].map(names)),
    )
    options = {"cuts": [2.0, 7.0], "covariates": [Covariate("age", 60.0, 10.0)]}
    one, other = (expose(landmark(c, ["100d"]), "100 d", **options) for c in (cohort, shuffled))
    pd.testing.assert_frame_equal(collapsed_form(one), collapsed_form(other), rtol=1e-14)
    np.testing.assert_array_equal(one.events, other.events)
    np.testing.assert_allclose(one.person_time, other.person_time, rtol=1e-14)


def test_equal_event_cuts_are_those_that_sas_uses_for_the_rats(shared):
    target = reference(shared, "published_targets")["sas_phreg_rats"]
    rats = pd.read_csv(shared / "data" / "published" / "sas_phreg_rats.csv")
    cuts = equal_event_cuts(rats["days"], rats["status"], intervals=8)
    assert cuts.tolist() == target["cutpoints"]
    inside = np.searchsorted(cuts, rats["days"][rats["status"] == 1])
    assert np.bincount(inside).tolist() == target["events_per_interval"]
    entering = [(rats["days"] > start).sum() for start in [0, *cuts]]
    assert entering == target["n_entering"]


@pytest.mark.parametrize("intervals", [1, 2, 3, 5, 12])
def test_equal_event_cuts_share_untied_events_evenly(intervals):
    time, event = np.arange(1.0, 31.0), np.tile([1, 1, 0], 10)
    cuts = equal_event_cuts(time, event, intervals=intervals)
    share = np.bincount(np.searchsorted(cuts, time[event == 1]))
    assert share.tolist() == [len(part) for part in np.array_split(np.arange(20), intervals)]
    assert not np.isin(cuts, time[event == 1]).any()


@pytest.mark.parametrize(
    ("times", "intervals", "expected"),
    [
        ([4.0] * 10 + [1.0, 2.0, 3.0], 3, [2.5, 3.5]),
        ([1.0] * 10 + [2.0, 3.0, 4.0], 4, [1.5, 2.5, 3.5]),
        ([1.0, 1.0, 3.0], 5, [2.0]),
        ([7.0, 7.0], 4, []),
    ],
)
def test_ties_leave_an_event_in_every_interval(times, intervals, expected):
    assert equal_event_cuts(times, np.ones(len(times)), intervals=intervals).tolist() == expected


@pytest.mark.parametrize(("event", "intervals"), [([1, 1], 0), ([0, 0], 2)])
def test_equal_event_cuts_without_an_event_or_an_interval_are_refused(event, intervals):
    with pytest.raises(InputError, match="need >= 1 interval and an event"):
        equal_event_cuts([1.0, 2.0], event, intervals=intervals)


def test_a_grid_runs_up_to_and_including_its_end():
    assert grid_cuts(duration("3mo"), duration("12mo")).tolist() == [3, 6, 9, 12]
    assert grid_cuts(duration("5mo"), duration("12mo")).tolist() == [5, 10]
    for width, until in [("0d", "1y"), ("6mo", "3mo")]:
        with pytest.raises(InputError, match="expected 0 < width <= until"):
            grid_cuts(duration(width), duration(until))


def read_events_at(days, unit="days"):
    """A landmark set of patients with events that many ``unit`` after the landmark at 100 days."""
    per = {"days": 1.0, "months": DAYS_PER_MONTH}[unit]
    n = len(days)
    people = pd.DataFrame({"patient": [f"p{i}" for i in range(n)], "arm": ["a", "b"] * (n // 2)})
    people = people.assign(pfs_time=[100 / per + day for day in days], pfs_event=1)
    scans = pd.DataFrame(
        {"patient": np.repeat(people["patient"], 2), "time": [0, 50 / per] * n, "size": [10, 9] * n}
    )
    return landmark(read(people, scans, time_unit=unit), ["100d"])


@pytest.mark.parametrize("width", [7, 8, 11, 30])
def test_an_event_on_any_cut_of_a_grid_belongs_to_the_earlier_interval(width):
    days = np.arange(1, 41) * width
    cuts = grid_cuts(duration(f"{width}d"), duration(f"{40 * width}d"))
    data = expose(read_events_at(days), "100 d", cuts=cuts)
    assert sorted(data.interval) == list(range(40))


def test_an_event_on_a_cut_given_in_months_belongs_to_the_earlier_interval():
    months = np.arange(1, 101) / 10
    data = expose(
        read_events_at(months, "months"), "100 d", cuts=[duration(f"{month:g}mo") for month in months]
    )
    assert sorted(data.interval) == list(range(100))


@pytest.mark.parametrize("cuts", [[0.0], [-1.0], [3.0, 3.0], [5.0, 3.0], [np.nan], [3.0, np.inf]])
def test_cut_points_that_do_not_rise_from_zero_are_refused(cuts):
    with pytest.raises(InputError, match="expected positive, rising months"):
        expose(landmarks(), "100 d", cuts=cuts)


def test_scores_are_per_ten_points_from_the_reference_or_a_dichotomy():
    shrinkage = [-10.0, 0.0, 29.999, 30.0, 100.0]
    assert Shrinkage().score(shrinkage).tolist() == [-1, 0, 2.9999, 3, 10]
    assert Shrinkage(20.0).score(shrinkage) == pytest.approx([-3, -2, 0.9999, 1, 8])
    assert Response().score(shrinkage).tolist() == [0, 0, 0, 1, 1]
    assert Response(-10.0).score(shrinkage).tolist() == [1, 1, 1, 1, 1]
    for measure in (Shrinkage(5.0), Response(50.0)):
        assert measure_of(measure_attrs(measure)) == measure


def test_covariates_are_scaled_or_compared_with_the_first_level():
    data = expose(
        landmarks(),
        "100 d",
        cuts=[],
        covariates=[Covariate("age", 55.0, 10.0), Covariate("grade", levels=("II", "I", "III"))],
    )
    assert data.covariate_names == ("age", "grade: I", "grade: III")
    assert data.covariates.tolist() == [[0.6, 1, 0], [1.7, 0, 0], [0, 1, 0], [-0.7, 0, 1]]
    with pytest.raises(InputError, match="'grade' has levels III that are not declared; declared: I, II"):
        expose(landmarks(), "100 d", cuts=[], covariates=[Covariate("grade", levels=("I", "II"))])
    with pytest.raises(InputError, match="'sex' is not in the landmark set"):
        expose(landmarks(), "100 d", cuts=[], covariates=[Covariate("sex")])


def test_a_covariate_named_like_a_column_of_the_long_form_is_refused_there():
    data = replace(patients(5), covariate_names=("score",), covariates=np.ones((5, 1)))
    with pytest.raises(InputError, match="covariates are named score"):
        long_form(data)


def test_patients_without_a_shrinkage_need_a_response_measure():
    scans = read().scans
    cohort = replace(read(), scans=scans[(scans["patient"] != "010") | scans["baseline"]])
    kept = landmark(cohort, ["100d"], intention_to_treat=True)
    with pytest.raises(InputError, match="1 patients have no shrinkage"):
        expose(kept, "100 d", cuts=[])
    assert expose(kept, "100 d", cuts=[], measure=Response(20.0)).score.tolist() == [1, 0, 1, 0]


def test_a_landmark_without_an_event_is_refused():
    cohort = read()
    censored = replace(cohort, patients=cohort.patients.assign(pfs_event=0))
    with pytest.raises(InputError, match="4 patients at risk and no event"):
        expose(landmark(censored, ["100d"]), "100 d", cuts=[])
