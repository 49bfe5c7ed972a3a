"""What read_cohort makes of the tables it accepts, and what it warns of."""

import re

import numpy as np
import pandas as pd
import pytest
from cohort_tables import changed, changes, people, read, read_csv, sizes, with_row

from bayes_net.data.cohort import Cohort, read_cohort
from bayes_net.data.registry import expose_registry
from bayes_net.errors import CohortError, CohortWarning, InputError
from bayes_net.files.formats import READERS, in_memory
from bayes_net.tables.notes import Note


def test_a_cohort_holds_months_percent_change_and_the_arms_sorted():
    cohort = read(covariates=["age", "grade"])
    assert cohort.arms == ("control", "treated")
    assert list(cohort.patients) == [
        "patient", "study", "arm", "pfs_time", "pfs_event", "os_time", "os_event", "age", "grade",
    ]  # fmt: skip
    assert cohort.patients["pfs_time"].tolist() == [days / 30.4375 for days in (300, 200, 400, 350)]
    assert cohort.patients["age"].tolist() == [61.0, 72.0, 55.0, 48.0]
    assert cohort.patients["grade"].tolist() == ["I", "II", "I", "III"]
    assert list(cohort.scans) == ["patient", "time", "baseline", "pchg", "new_lesion", "response", "sld"]
    assert cohort.scans["pchg"].tolist() == [0, -30, -20, 0, -10, 0, -25, 0, 0]
    assert cohort.scans["baseline"].tolist() == [True, False, False, True, False, True, False, True, False]
    assert cohort.notes == ()
    assert cohort.endpoints == ("pfs", "os")
    assert isinstance(cohort.patients.index, pd.RangeIndex)
    assert isinstance(cohort.scans.index, pd.RangeIndex)


def test_the_text_of_a_cohort_counts_and_names_no_patient():
    assert repr(read(synthetic=True)) == (
        "<synthetic cohort: 4 patients (control 2, treated 2), 9 scans, PFS and OS>"
    )
    only_pfs = people().drop(columns=["os_time", "os_event"])
    assert read(only_pfs).endpoints == ("pfs",)
    assert repr(read(only_pfs)) == "<cohort: 4 patients (control 2, treated 2), 9 scans, PFS>"


def test_named_columns_are_read_and_arms_put_the_reference_first(tmp_path):
    patients = people().rename(columns={"patient": "id", "pfs_time": "pfs_day", "age": "AGE"})
    scans = sizes().rename(columns={"patient": "subject", "size": "sld_mm"}).assign(pchg=1)
    cohort = read(
        patients,
        scans,
        patient_columns={"patient": "id", "pfs_time": "pfs_day", "age": "AGE"},
        scan_columns={"patient": "subject", "size": "sld_mm"},
        size_unit="mm",
        arms=["treated", "control"],
        covariates=["age"],
    )
    plain = read(covariates=["age"])
    assert cohort.arms == ("treated", "control")
    assert cohort.digest == plain.digest
    assert cohort != plain  # the reference arm differs


@pytest.mark.parametrize("scans", [sizes(), changes()], ids=["size", "pchg"])
def test_csv_parquet_and_frames_give_equal_cohorts(tmp_path, scans):
    patients = people().astype({"pfs_time": float, "os_time": float, "age": int}).infer_objects()
    scans = scans.infer_objects()
    patients.to_parquet(tmp_path / "patients.parquet")
    scans.to_parquet(tmp_path / "scans.parquet")
    options = {"time_unit": "days", "covariates": ["age", "grade"]}
    options |= {"size_unit": "mm"} if "size" in scans else {}
    from_csv = read_csv(tmp_path, patients, scans, covariates=["age", "grade"])
    from_parquet = read_cohort(tmp_path / "patients.parquet", tmp_path / "scans.parquet", **options)
    from_frames = read(patients, scans, covariates=["age", "grade"])
    assert from_csv == from_parquet == from_frames
    assert len({from_csv, from_parquet, from_frames}) == 1
    pd.testing.assert_frame_equal(from_csv.patients, from_parquet.patients)
    pd.testing.assert_frame_equal(from_csv.scans, from_parquet.scans)


def test_size_and_percent_change_agree_and_so_do_units():
    from_size, from_change = read(), read(scans=changes())
    assert from_size.scans["pchg"].tolist() == from_change.scans["pchg"].tolist()
    in_cm = sizes().assign(size=sizes()["size"] / 10)
    assert read(scans=in_cm, size_unit="cm") == from_size
    # 1.005 * 10 is not the float 10.05
    small, small_cm = (changed(frame, 2, size=size) for frame, size in [(sizes(), 10.05), (in_cm, 1.005)])
    assert read(scans=small_cm, size_unit="cm") == read(scans=small)


def test_follow_up_may_end_on_the_first_day():
    patients = changed(people(), 1, pfs_time=0, os_time=0)
    with pytest.warns(CohortWarning, match="1 scan after PFS ended"):
        assert read(patients).patients["os_time"].tolist()[1] == 0


def test_arms_may_be_numbers_and_options_tuples():
    patients = people().assign(arm=[1, 1, 2, 2])
    cohort = read(patients, arms=(2, 1), covariates=("age", "grade"), exclude_patients=("010",))
    assert cohort.arms == ("2", "1")
    assert cohort.covariates == ("age", "grade")


def test_identifiers_stay_text_and_are_stripped(tmp_path):
    patients = changed(people(), 0, patient=" 007 ")
    assert read_csv(tmp_path, patients) == read()
    assert read_csv(tmp_path).patients["patient"].tolist() == ["007", "008", "009", "010"]
    # whole numbers that pandas made floats are still the same identifiers
    as_floats = people().assign(patient=[7.0, 8.0, 9.0, 10.0])
    as_text = sizes().assign(patient=sizes()["patient"].str.lstrip("0"))
    assert read(as_floats, as_text).patients["patient"].tolist() == ["10", "7", "8", "9"]


@pytest.mark.parametrize("event", [(True, False), ("TRUE", "False"), (1.0, 0.0), ("1", "0.0")])
def test_events_may_be_true_and_false(event):
    flags = people()["pfs_event"].map({1: event[0], 0: event[1]})
    assert read(people().assign(pfs_event=flags)) == read()


@pytest.mark.parametrize("yes", [True, "Y", "yes", "1"])
def test_new_lesions_may_be_yes_and_empty(yes):
    with pytest.warns(CohortWarning, match="1 patient with"):
        cohort = read(scans=sizes().assign(new_lesion=[None, yes, *[None] * 7]))
    assert cohort.scans["new_lesion"].tolist() == [False, True] + [False] * 7


def test_the_digest_ignores_row_order_and_sees_every_value():
    cohort = read(covariates=["age"])
    shuffled = read(people().sample(frac=1, random_state=1), sizes().sample(frac=1, random_state=2))
    assert read().digest == shuffled.digest
    assert len(cohort.digest) == 64
    seen = {cohort.digest}
    for name, row, value in [
        ("age", 1, 73),
        ("pfs_time", 1, 199),
        ("pfs_event", 0, 0),
        ("arm", 1, "treated"),
    ]:
        seen.add(read(changed(people(), row, **{name: value}), covariates=["age"]).digest)
    for name, value in {"time": 85, "size": 71, "response": "SD"}.items():
        seen.add(read(scans=changed(sizes(), 1, **{name: value}), covariates=["age"]).digest)
    seen.add(read(covariates=["age"], study="another").digest)
    assert len(seen) == 9


def test_tables_built_in_another_order_have_the_same_digest():
    cohort = read()
    turned = Cohort(cohort.patients.iloc[::-1, ::-1], cohort.scans.iloc[::-1, ::-1], cohort.arms)
    assert turned == cohort
    assert hash(turned) == hash(cohort)
    assert cohort != "cohort"


def test_the_baseline_is_the_last_candidate_and_earlier_ones_are_left_out():
    scans = with_row(with_row(sizes(), "007", -60, 140, 0, ""), "007", -2, None, 0, "")
    cohort = read(scans=scans)
    assert cohort == read()  # neither the earlier one nor the one of unknown size is used
    assert cohort.notes == (
        Note("handled", "earlier-baseline-scans",
             "2 scans until the baseline window other than the baseline, left out", 2),
    )  # fmt: skip


def test_a_wider_baseline_window_takes_a_later_baseline():
    scans = with_row(sizes(), "009", 7, 40, 0, "")
    with pytest.warns(CohortWarning, match="1 patient with"):
        assert read(scans=scans).scans.query("patient == '009'")["pchg"].tolist() == [0, -50, -25]
    with pytest.warns(CohortWarning, match="1 patient with"):
        cohort = read(scans=scans, baseline_window="1w")
    late = cohort.scans.query("patient == '009'")
    assert late["time"].tolist() == [7 / 30.4375, 90 / 30.4375]
    assert late["pchg"].tolist() == [0, 50]


def test_percent_change_needs_no_baseline_scan():
    scans = changes()
    cohort = read(scans=scans[scans["time"] > 0])
    assert not cohort.scans["baseline"].any()
    assert cohort.scans["pchg"].tolist() == [-30, -20, -10, -25, 0]
    empty_baseline = changed(scans, 0, pchg=None)
    assert read(scans=empty_baseline) == read(scans=scans)


def test_repeated_scans_count_once_and_are_noted():
    cohort = read(scans=with_row(sizes(), "007", 84, 70, 0, "PR"))
    assert cohort == read()
    assert [(note.kind, note.code, note.count) for note in cohort.notes] == [("handled", "repeated-scans", 1)]


def test_scans_after_death_are_dropped_only_on_request():
    scans = with_row(sizes(), "009", 401, 10, 0, "")
    with pytest.raises(CohortError, match=r"row 9 \(patient 009: scan at 401 days, death at 400 days\)"):
        read(scans=scans)
    cohort = read(scans=scans, scans_after_death="drop")
    assert cohort == read()
    assert cohort.notes == (Note("handled", "scans-after-death", "1 scan after death, dropped", 1),)
    # a scan on the day of death is not after it
    assert read(scans=with_row(sizes(), "009", 400, 80, 0, "")).notes == ()


def test_excluded_patients_leave_with_their_faults_and_are_counted_by_arm():
    patients = changed(people(), 0, pfs_time="unknown")
    patients = with_row(patients, *patients.iloc[0])
    cohort = read(patients, exclude_patients=["007", "010"])
    assert cohort.patients["patient"].tolist() == ["008", "009"]
    assert set(cohort.scans["patient"]) == {"008", "009"}
    assert cohort.notes == (
        Note("handled", "excluded-patients", "2 patients excluded as the specification says", 2,
             (("control", 1), ("treated", 1))),
    )  # fmt: skip


WARNINGS = {
    "scans-after-pfs": (people(), with_row(sizes(), "007", 301, 90, 0, ""), 1),
    "scans-after-os": (
        changed(people(), 1, pfs_time=80, os_time=80), with_row(sizes(), "008", 90, 90, 0, ""), 2,
    ),
    "no-post-baseline-scan": (people(), sizes().query("patient != '009' or time < 0"), 1),
    "unheeded-progression": (people(), changed(sizes(), 4, size=60), 1),
}  # fmt: skip


@pytest.mark.parametrize("code", WARNINGS)
def test_a_judgement_call_is_one_warning_that_counts_and_names_nobody(code):
    patients, scans, count = WARNINGS[code]
    with pytest.warns(CohortWarning) as caught:
        cohort = read(patients, scans)
    (note,) = [note for note in cohort.notes if note.code == code]
    assert (note.kind, note.count) == ("warning", count)
    assert re.match(rf"{count} (scans?|patients?) ", note.message)
    assert len(caught) == 1
    assert note.message in str(caught[0].message)
    assert caught[0].filename.endswith("cohort_tables.py")  # where read_cohort is called
    assert not re.search("00[789]|010", " ".join(note.message for note in cohort.notes))


@pytest.mark.parametrize(
    ("change", "heeded"),
    [
        ({"size": 83.9}, False),
        ({"size": 84}, True),  # +20 % of 70, the smallest until then, though not of the baseline
        ({"size": 84, "response": ""}, True),
        ({"size": 119.9}, True),
        ({"size": 120}, True),
        ({"new_lesion": 1}, True),
        ({"response": "PD"}, True),
        ({"time": 300, "size": 130}, False),  # progression at the end of PFS is the endpoint's own
    ],
)
def test_progression_before_the_end_of_pfs_is_counted(change, heeded):
    scans = changed(sizes(), 2, **change)
    if heeded:
        with pytest.warns(
            CohortWarning, match="1 patient with [+]20 % or more over baseline or nadir, a new lesion or PD"
        ):
            read(scans=scans)
    else:
        assert read(scans=scans).notes == ()


def test_a_number_mistyped_among_a_covariate_is_warned_of():
    with pytest.warns(CohortWarning, match="3 of 4 values of age are numbers"):
        cohort = read(changed(people(), 0, age="6l"), covariates=["age"])
    assert cohort.patients["age"].tolist() == ["6l", "72", "55", "48"]


def test_reading_leaves_the_callers_frames_alone():
    patients, scans = people(), sizes()
    read(patients, scans, covariates=["age"])
    pd.testing.assert_frame_equal(patients, people())
    pd.testing.assert_frame_equal(scans, sizes())


def test_a_percent_change_that_misses_minus_100_by_rounding_is_accepted():
    scans = changed(changes(), 4, pchg=-100.00000000001)
    assert read(scans=scans).scans["pchg"].min() == pytest.approx(-100, abs=1e-9)


def test_a_further_format_is_one_entry(tmp_path, monkeypatch):
    """Patients, scans and a registry are read by the reader of their file's ending."""
    monkeypatch.setitem(READERS, ".json", lambda path: in_memory(pd.read_json(path, dtype=False)))
    people().to_json(tmp_path / "patients.json")
    sizes().to_json(tmp_path / "scans.json")
    options = {"time_unit": "days", "size_unit": "mm"}
    assert read_cohort(tmp_path / "patients.json", tmp_path / "scans.json", **options) == read()
    columns = {"arm": ["a", "b"] * 4, "time": np.arange(1.0, 9.0)}
    registry = pd.DataFrame(columns | {"event": [1, 0] * 4, "shrinkage": [10.0, 30.0] * 4})
    registry.to_json(tmp_path / "registry.json")
    registry.to_csv(tmp_path / "registry.csv", index=False)
    expected = expose_registry(registry, arms=("a", "b"), cuts=(4.0,))
    for name in ("registry.json", "registry.csv"):
        found = expose_registry(tmp_path / name, arms=("a", "b"), cuts=(4.0,))
        np.testing.assert_array_equal(found.weight, expected.weight)
        np.testing.assert_array_equal(found.events, expected.events)


@pytest.mark.parametrize("choice", ["impute", ""])
def test_an_unknown_choice_on_missing_covariates_is_refused(choice):
    with pytest.raises(InputError, match=f"missing_covariates is '{choice}'; expected one of refuse, keep"):
        read_cohort("none.csv", "none.csv", time_unit="days", missing_covariates=choice)
