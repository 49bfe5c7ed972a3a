"""Every kind of dirt in patients' tables is said, and nothing is said of clean ones."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from dirty import KINDS, clean

from bayes_net.checks.columns import straight_line
from bayes_net.cli.check import examine
from bayes_net.data.cohort import read_cohort
from bayes_net.data.landmarks import landmark_times
from bayes_net.errors import CohortWarning
from bayes_net.tables.notes import WARNING, WARNINGS
from bayes_net.tables.plausibility import alike_labels, sentinels
from bayes_net.tables.reading import months_on_grid
from bayes_net.workflow.cautions import rounded_at_landmarks, time_step, within_rounding

HARMLESS = {"no-post-baseline-scan", "far-reference", "scans-after-pfs", "unheeded-progression", "small-cell"}
"""What may be said of any trial."""


def said(found) -> str:
    return "\n".join([*map(str, found.problems), *(note.message for note in found.notes)])


def codes(found) -> set[str]:
    return {note.code for note in found.notes if note.kind == WARNING}


def judge(found, kind) -> None:
    assert found.usable is not kind.refused, said(found)
    for code in kind.codes:
        assert code in codes(found), (code, said(found))
    for words in kind.words:
        assert words in said(found), (words, said(found))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_dirt_is_said(name, tmp_path):
    study = clean()
    KINDS[name].soil(study)
    judge(examine(study.write(tmp_path)), KINDS[name])


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.shared])
def test_the_handed_over_case_of_the_kind_is_said(name, shared):
    (path,) = (shared / "cases").glob(f"{KINDS[name].shared}*/analysis.toml")
    judge(examine(path), KINDS[name])


@pytest.mark.parametrize(
    "how", [{"scale": 1e-12}, {"reference": 1e308}, {"scale": 1e-320}, {"reference": -1e9}]
)
def test_a_covariate_of_which_no_model_can_be_fitted_is_refused(how, tmp_path):
    study = clean()
    study.patients["age"] = range(50, 50 + len(study.patients))
    study.sections["covariates"] = [{"name": "age", "reference": 60, "scale": 1} | how]
    found = examine(study.write(tmp_path))
    assert not found.usable
    assert "expected at most 1e+06" in found.message
    assert "Give a reference and a scale near its values" in found.message


def test_a_clean_trial_is_left_alone(tmp_path):
    found = examine(clean().write(tmp_path))
    assert found.usable
    assert codes(found) <= {"no-post-baseline-scan"}


def test_the_handed_over_base_case_is_left_alone(shared):
    (path,) = (shared / "cases").glob("00*/analysis.toml")
    found = examine(path)
    assert [(note.code, note.count) for note in found.notes] == [("no-post-baseline-scan", 8)]


REMEDIES = {
    "censoring as events": {"event_is": {"pfs": 0}},
    "fractions": {"change_unit": "fraction"},
    "censored at death": {"pfs_censored_at_death": "event"},
    "sentinel in pchg": {"missing_codes": {"pchg": [-99]}},
    "yes and no": {"event_is": {"pfs": "yes"}},
}


@pytest.mark.parametrize("name", REMEDIES)
def test_what_is_meant_can_be_declared_and_warns_no_more(name, tmp_path):
    study = clean()
    KINDS[name].soil(study)
    study.data |= REMEDIES[name]
    found = examine(study.write(tmp_path))
    assert found.usable, said(found)
    assert not codes(found) & set(KINDS[name].codes), said(found)
    assert "declared" in said(found) or name == "fractions"


@pytest.mark.parametrize(
    "name", ["censoring as events", "fractions", "yes and no", "semicolons", "UTF-16", "titles"]
)
def test_a_declared_or_recognised_form_gives_the_clean_cohort(name, tmp_path):
    study = clean()
    if name == "fractions":
        study.as_change()
        study.scans["pchg"] = study.scans["pchg"].round(2)
    right = examine(study.write(tmp_path)).prepared.cohort
    study = clean()
    KINDS[name].soil(study)
    study.data |= REMEDIES.get(name, {})
    found = examine(study.write(tmp_path)).prepared.cohort
    pd.testing.assert_frame_equal(found.patients, right.patients)
    pd.testing.assert_frame_equal(found.scans, right.scans, atol=0.02)


def test_death_on_the_day_of_censoring_counts_where_it_is_declared(tmp_path):
    study = clean()
    KINDS["censored at death"].soil(study)
    study.data["pfs_censored_at_death"] = "event"
    patients = examine(study.write(tmp_path)).prepared.cohort.patients
    died = (patients["os_event"] == 1) & (patients["os_time"] == patients["pfs_time"])
    assert died.sum() > 3
    assert (patients["pfs_event"][died] == 1).all()


def test_everything_is_said_at_once_and_as_json(tmp_path):
    study = clean()
    for name in ("yes and no", "zero-width space", "Unicode minus", "sentinel in a covariate"):
        KINDS[name].soil(study)
    found = json.loads(examine(study.write(tmp_path)).as_json())
    assert not found["usable"]
    assert len(found["errors"]) >= 4
    first = next(each for each in found["errors"] if "not 0 or 1" in each["message"])
    assert first["count"] == 48
    assert len(first["rows"]) == 10
    assert first["rows"][0].startswith("row 2 (patient Q001")
    assert "event_is" in first["expected"]
    warned = {each["code"]: each for each in found["warnings"]}
    assert warned["missing-code"]["count"] > 0
    assert warned["missing-code"]["rows"][0].startswith("row ")


def test_several_studies_have_baselines_of_their_own_unless_they_are_to_share_them(tmp_path):
    study = clean()
    KINDS["two studies"].soil(study)
    found = examine(study.write(tmp_path))
    assert "several-studies" not in codes(found)
    assert {job.data.studies for job in found.prepared.jobs} == {("A", "B")}
    study.sections["baseline"] = {"studies": "shared"}
    found = examine(study.write(tmp_path))
    assert "the patients are of 2 studies (B (28), A (20)), which are analysed as one" in said(found)
    assert {job.data.studies for job in found.prepared.jobs} == {()}
    study.data["accept"] = ["several-studies"]
    assert "several-studies" not in codes(examine(study.write(tmp_path)))


@pytest.mark.parametrize(("arms", "alone"), [("shared", True), ("per arm", False)])
def test_arms_that_no_study_compares_are_said_with_what_becomes_of_their_hazard_ratio(arms, alone, tmp_path):
    study = clean()
    control = study.patients["arm"] == "control"
    study.patients["study"] = np.where(control, "A", "B")
    study.sections["baseline"] = {"arms": arms}
    found = said(examine(study.write(tmp_path)))
    assert "no study has both control and lutetium" in found
    assert ("their hazard ratio rests on its prior alone" in found) is alone
    # a few controls of the other study tell
    study.patients.loc[study.patients.index[control][:8], "study"] = "B"
    assert "no study has both" not in said(examine(study.write(tmp_path)))


def test_a_covariate_that_is_known_in_one_arm_alone_is_said_before_it_is_imputed(tmp_path):
    study = clean()
    known = study.patients["arm"] == "control"
    study.patients["marker"] = np.where(known, np.arange(len(study.patients)), np.nan)
    study.sections |= {"covariates": [{"name": "marker", "reference": 20, "scale": 10}], "missing": {}}
    found = said(examine(study.write(tmp_path)))
    assert "lutetium: marker is not known of any patient" in found
    assert "patient of control" not in found


def test_scenarios_that_cannot_be_planned_are_said_beside_what_is_wrong_with_the_tables(tmp_path):
    study = clean()
    study.sections["scenarios"] = [{"name": "x", "change": {"priors.hazrd": 1}}]
    found = examine(study.write(tmp_path))
    assert not found.usable
    assert "priors.hazrd: unknown key" in found.message
    KINDS["yes and no"].soil(study)
    found = examine(study.write(tmp_path))
    assert len(found.problems) == 2
    assert "priors.hazrd: unknown key" in found.message
    assert "not 0 or 1" in found.message


def test_a_usable_specification_as_json_says_who_enters(tmp_path):
    found = json.loads(examine(clean().write(tmp_path)).as_json())
    assert found["usable"]
    assert found["errors"] == []
    assert [row["arm"] for row in found["entering"]] == ["control", "lutetium"]


def test_no_message_of_a_note_names_a_patient(tmp_path):
    for name, kind in KINDS.items():
        study = clean()
        kind.soil(study)
        (folder := tmp_path / name).mkdir()
        notes = examine(study.write(folder)).notes
        assert not [note.message for note in notes if "Q0" in note.message + "".join(note.rows)]


def test_every_warning_has_a_code_that_can_be_accepted():
    used = {code for kind in KINDS.values() for code in kind.codes}
    assert used <= set(WARNINGS)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([38, 45, 61, 72, 78, 999, 999], [999]),
        ([38, 45, 61, 72, 78, -9], [-9]),
        ([1, 2, 3, 1, 2, 9], [9]),
        ([38, 45, 61, 72, 78, 99], []),  # somebody may be 99
        ([-60, -20, 0, 10, 45, -99, -99, -99], [-99]),
        ([-60, -20, 0, 10, 45, -99], []),
        ([-100, -99, -99, -99, 0, 10, 45, 3], []),
        ([10, 400, 800, 991, 999, 300], []),  # days of follow-up in the veterans' trial
        ([1, 2, 999], []),  # too few to tell
    ],
)
def test_codes_for_nothing_stand_apart(values, found):
    assert sentinels(pd.Series(values, dtype=float).to_numpy()) == found


def test_labels_that_differ_by_a_slip_are_grouped():
    labels = pd.Series(["PRRT"] * 3 + ["prrt", "P.R.R.T", "PRRT 2", "control"])
    assert alike_labels(labels) == [["PRRT", "prrt", "P.R.R.T"]]


@pytest.mark.parametrize(
    ("times", "name"),
    [
        ([1, 2, 3, 5, 8, 13], "whole months"),
        ([1.1, 2.3, 3.0, 5.7, 8.2], "tenths of months"),
        ([7 / 30.4375 * k for k in (1, 2, 3, 8, 11)], "whole weeks"),
        ([12.0, 24.0, 36.0, 48.0, 60.0], "whole years"),
        ([k / 30.4375 for k in (11, 52, 61, 99, 103)], ""),
        ([0.36, 1.71, 2.0, 3.25, 3.38], "hundredths of months"),
        ([k * 7 / 30.4375 for k in (1.6, 7.4, 8.7, 14.1, 14.7)], "tenths of weeks"),
        ([12 * k for k in (0.031, 0.142, 0.167, 0.271, 0.282)], "thousandths of years"),
        ([3.0, 6.0, 12.0, 18.0, 27.0], "quarters of years"),
        ([1, 2], ""),
    ],
)
def test_the_step_of_rounded_times(times, name):
    assert time_step(pd.Series(times, dtype=float).to_numpy())[1] == name


@pytest.mark.parametrize("decimals", [0, 1, 2, 3])
@pytest.mark.parametrize(("unit", "length"), [("weeks", 7.0), ("months", 30.4375), ("years", 365.25)])
@pytest.mark.parametrize("landmark", [150, 180, 252, 336, 504])
def test_whom_rounded_times_move_over_a_landmark_are_found(unit, length, decimals, landmark):
    """Every day around a landmark, written in a unit with so many digits: who comes to lie on its other side
    is among those that the warning counts, and these are no more than rounding can move."""
    day = np.arange(1, 3000)
    months = months_on_grid(np.round(day / length, decimals) * length / 30.4375)
    step, name = time_step(months)
    near = within_rounding(months, landmark / 30.4375, step) if step else np.zeros(len(day), bool)
    moved = (months > months_on_grid(landmark / 30.4375)) != (day > landmark)
    assert not (moved & ~near).any()
    widest = length * 10.0**-decimals
    assert not step or step * 30.4375 == pytest.approx(widest)
    assert (np.abs(day[near] - landmark) <= widest + 1e-6).all()
    assert name.endswith(unit) or not step


def test_times_in_days_are_not_rounded_at_landmarks():
    assert time_step(months_on_grid(np.arange(1, 1500) / 30.4375)) == (0.0, "")


def test_scans_dated_by_the_plan_are_named_where_follow_up_is_in_days():
    """Scans of planned weeks lie on the landmark's very day, wherever they really were."""
    weeks = [12, 24, 36, 48, 60]
    patients = pd.DataFrame({"patient": list("abcdef"), "arm": "a", "pfs_event": 1})
    patients["pfs_time"] = [301, 305, 312, 404, 500, 611]
    scans = pd.DataFrame([(who, 7 * week, -10) for who in "abcdef" for week in weeks])
    scans = scans.set_axis(["patient", "time", "pchg"], axis=1)
    jobs = [SimpleNamespace(risk_set="pfs risk set", landmark=at) for at in landmark_times(["36w"])]
    with pytest.warns(CohortWarning):
        cohort = read_cohort(patients, scans, time_unit="days")
    (note,) = rounded_at_landmarks(cohort, jobs)
    assert note.message.startswith(
        "PFS, 36 w: times of scans are whole weeks, and those of 6 scans round to the"
    )
    assert note.count == 6
    elsewhere = [SimpleNamespace(risk_set="pfs risk set", landmark=at) for at in landmark_times(["34w"])]
    assert not list(rounded_at_landmarks(cohort, elsewhere))


def test_a_line_is_told_by_the_fewest_columns():
    columns = pd.DataFrame({"arm": [0, 1, 0, 1, 0, 1], "age": [3, 1, 4, 1, 5, 9]}).to_numpy(float)
    share, by = straight_line(columns, ["arm", "age"], columns[:, 0] * 2 + 1)
    assert share == pytest.approx(1)
    assert by == "arm"


REAL = {
    "veteran": (
        "classic/r_survival_veteran.csv",
        {"arm": "trt", "pfs_time": "time", "pfs_event": "status"},
        "days",
    ),
    "gbsg2": (
        "classic/lifelines_gbsg2.csv",
        {"arm": "horTh", "pfs_time": "time", "pfs_event": "cens"},
        "days",
    ),
    "rossi": (
        "classic/lifelines_rossi.csv",
        {"arm": "fin", "pfs_time": "week", "pfs_event": "arrest"},
        "weeks",
    ),
    "lung": (
        "classic/r_survival_lung.csv",
        {"arm": "sex", "pfs_time": "time", "pfs_event": "status"},
        "days",
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_nothing_is_said_of_the_classic_trials(name, shared):
    file, columns, unit = REAL[name]
    table = pd.read_csv(shared / "data" / file)
    table["patient"] = range(len(table))
    covariates = [c for c in table if c not in (*columns.values(), "patient") and table[c].notna().all()]
    how = {"event_is": 2} if name == "lung" else {}
    cohort = read_cohort(
        table, None, time_unit=unit, patient_columns=columns, covariates=set(covariates) - {"time"}, **how
    )
    assert [note.code for note in cohort.notes if note.kind == WARNING] == []


def test_of_a_real_trial_is_said_what_holds_of_it(shared):
    folder = shared / "data" / "ffcd"
    with pytest.warns(CohortWarning):
        cohort = read_cohort(
            folder / "ffcd_patients.csv",
            folder / "ffcd_tumour.csv",
            time_unit="days",
            size_unit="mm",
            patient_columns={"patient": "id", "pfs_time": "pfs_day", "os_time": "os_day"},
            scan_columns={"patient": "id", "time": "day", "size": "sld_mm"},
            scans_after_death="drop",
        )
    assert [note.code for note in cohort.notes] == [
        "scans-after-death",
        "scans-after-pfs",
        "no-post-baseline-scan",
    ]
