"""Between which assessments a progression happened, and from which on a patient is at risk."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayes_net as bn
from bayes_net.data.assessments import assessed_before, assessments, last_assessments
from bayes_net.data.cohort import read_cohort
from bayes_net.errors import CohortError, CohortWarning, InputError
from bayes_net.schema import DAYS_PER_MONTH, duration

VISITS = {  # days of scans, and percent change at each; the baseline is at 0
    "progressed": {84: -10, 168: -20, 252: 25},
    "missed a visit": {84: -10, 252: 30},
    "scan some days before": {84: -10, 160: 30},
    "grew unheeded": {84: -10, 120: 40, 168: -20, 252: 30},
    "no scan after": {},
    "died": {84: -10, 168: -15},
    "censored": {84: -10, 168: -15},
}
PFS = {"progressed": 252, "missed a visit": 252, "scan some days before": 168, "grew unheeded": 252,
       "no scan after": 90, "died": 200, "censored": 250}  # fmt: skip
LAST = {"progressed": 168, "missed a visit": 84, "scan some days before": 84, "grew unheeded": 168,
        "no scan after": 0, "censored": 168}  # fmt: skip


def cohort(*, overall: bool = True, change=None, **more) -> bn.Cohort:
    names = list(VISITS)
    patients = pd.DataFrame(
        {"patient": names, "arm": ["a", "b"] * 3 + ["a"], "pfs_time": [PFS[n] for n in names]}
    )
    patients["pfs_event"] = [int(n != "censored") for n in names]
    if overall:
        patients["os_time"] = [PFS[n] + (0 if n in ("died", "censored") else 400) for n in names]
        patients["os_event"] = [int(n == "died") for n in names]
    scans = [(n, t, c) for n, own in VISITS.items() for t, c in {0: 0, **own}.items()]
    table = pd.DataFrame(scans, columns=["patient", "time", "pchg"])
    if change is not None:
        patients, table = change(patients, table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)  # of small and odd tables
        return read_cohort(patients, table, time_unit="days", **more)


def last_of(read, **more) -> np.ndarray:
    return last_assessments(read, assessments(read), **more)


def by_name(cohort: bn.Cohort, values: np.ndarray) -> dict[str, float]:
    days = dict(zip(cohort.patients["patient"], np.round(values * DAYS_PER_MONTH, 6), strict=True))
    return {name: day for name, day in days.items() if not np.isnan(day)}


def test_a_progression_lies_after_the_last_scan_that_did_not_show_it():
    read = cohort()
    assert by_name(read, last_of(read)) == LAST


def test_scans_shortly_before_belong_to_the_visit_that_showed_it():
    read = cohort()
    strict = by_name(read, last_of(read, visit=duration("7d")))
    assert strict == LAST  # the scan 8 days before is progression itself
    wide = by_name(read, last_of(read, visit=duration("90d")))
    assert wide["progressed"] == 84


def test_without_overall_survival_a_scan_at_its_end_tells_that_pfs_ended_by_progression():
    read = cohort(overall=False)
    expected = {name: day for name, day in LAST.items() if name != "no scan after"}
    assert by_name(read, last_of(read)) == expected


def test_given_bounds_come_before_scans():
    def bounds(patients, scans):
        return patients.assign(pfs_left=[150, np.nan, np.nan, np.nan, np.nan, np.nan, 99]), scans

    read = cohort(change=bounds)
    assert by_name(read, last_of(read)) == LAST | {"progressed": 150, "censored": 99}


def test_bounds_after_the_end_are_refused():
    def bounds(patients, scans):
        return patients.assign(pfs_left=300), scans

    with pytest.raises(CohortError, match=r"pfs_left later than the end of PFS"):
        cohort(change=bounds)


def test_responses_alone_are_assessments_too():
    def responses(patients, scans):
        scans = scans[scans["time"] > 0]
        read = np.where(scans["pchg"] >= 20, "PD", "SD")
        return patients, scans.assign(response=read).drop(columns="pchg")

    read = cohort(change=responses)
    assert by_name(read, last_of(read)) == LAST


def test_who_is_at_risk_at_a_landmark_is_known_to_be_so_since_the_last_scan_before_it():
    read = cohort()
    before = by_name(read, assessed_before(assessments(read), last_of(read), 150 / DAYS_PER_MONTH))
    assert before["progressed"] == 150 - 84
    assert before["censored"] == 150 - 84
    assert before["died"] == 150 - 84
    assert before["grew unheeded"] == 150 - 84  # a scan with growth does not show that there is none


def test_landmark_sets_and_exposures_carry_both():
    read = cohort()
    sets = bn.landmark(read, ["150d", "no limit"], endpoint="pfs")
    own = sets.at("150 d").set_index("patient")
    assert own.loc["progressed", "last_assessment"] * DAYS_PER_MONTH == pytest.approx(168 - 150)
    assert own.loc["missed a visit", "last_assessment"] * DAYS_PER_MONTH == pytest.approx(84 - 150)
    assert own.loc["missed a visit", "assessed_before"] * DAYS_PER_MONTH == pytest.approx(150 - 84)
    assert np.isnan(own.loc["died", "last_assessment"])
    whole = sets.at("no limit").set_index("patient")
    assert not whole["assessed_before"].any()
    data = bn.expose(sets, "150 d", cuts=[3], progression="between scans")
    assert data.between.sum() == own["last_assessment"].notna().sum() - 1
    assert data.last_known[own.index.get_loc("censored")] * DAYS_PER_MONTH == pytest.approx(168 - 150)
    exact = bn.expose(sets, "150 d", cuts=[3])
    assert exact.last_assessment is None
    assert exact.assessed_before is None
    survival = bn.landmark(read, ["150d"], endpoint="os")
    assert survival.table["last_assessment"].isna().all()
    assert bn.expose(survival, "150 d", cuts=[3], progression="between scans").last_assessment is None
    with pytest.raises(InputError, match="expected one of between scans, at the scan"):
        bn.expose(sets, "150 d", cuts=[3], progression="exact")
