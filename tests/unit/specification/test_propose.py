"""What ``init`` writes for a folder of tables is usable where they say everything, and asks where not."""

import re
import tomllib

import adam_files
import pandas as pd
import pytest

import bayes_net as bn
from bayes_net.errors import InputError, SpecificationError
from bayes_net.simulate.cohort import simulate_cohort, write_cohort
from bayes_net.specification.propose import propose
from bayes_net.workflow.loading import read_patients

PATIENTS = {
    "Subject ID": [1, 2, 3],
    "Treatment": ["placebo", "Lu", "Lu"],
    "PFS (days)": [100, 200, 300],
    "PFS event": [1, 0, 1],
    "osDays": [200, 250, 350],
    "died": [1, 0, 0],
    "age": [50, 61, 70],
}
SCANS = {"Subject ID": [1, 1, 2, 2, 3], "day": [0, 50, 0, 60, 0], "SLD_mm": [50, 40, 30, 20, 10]}


def written(folder, **tables):
    folder.mkdir(exist_ok=True)
    for name, columns in tables.items():
        pd.DataFrame(columns).to_csv(folder / f"{name}.csv", index=False)
    return folder


def proposed(folder):
    """The proposal as it is read, its text, and its doubts."""
    text, doubts = propose(folder)
    (folder / "analysis.toml").write_text(text, encoding="utf-8")
    return tomllib.loads(text), text, doubts


def certain(text, *keys):
    """The text with the comments of these keys taken for granted."""
    for key in keys:
        text, n = re.subn(rf"^# ({key} = .*unsure.*)$", r"\1", text, flags=re.MULTILINE)
        assert n == 1, key
    return text


def test_tables_that_say_everything_need_no_edit(tmp_path):
    write_cohort(simulate_cohort(seed=2), tmp_path)
    found, _, doubts = proposed(tmp_path)
    assert not doubts
    prepared = bn.prepare(bn.read_specification(tmp_path / "analysis.toml"))
    assert prepared.cohort == simulate_cohort(seed=2)  # the control arm first, as the generator has it
    assert found["landmarks"]["endpoints"] == ["pfs", "os"]


def test_usual_names_are_recognised_with_their_units(tmp_path):
    found, text, doubts = proposed(written(tmp_path, people=PATIENTS, sizes=SCANS))
    assert not doubts
    assert found["data"] == {
        "patients": "people.csv",
        "scans": "sizes.csv",
        "time_unit": "days",
        "size_unit": "mm",
        "patient_columns": {
            "patient": "Subject ID",
            "arm": "Treatment",
            "pfs_time": "PFS (days)",
            "pfs_event": "PFS event",
            "os_time": "osDays",
            "os_event": "died",
        },
        "scan_columns": {"patient": "Subject ID", "time": "day", "size": "SLD_mm"},
        "arms": ["placebo", "Lu"],
    }
    assert '# name = "age"' in text
    assert "covariates" not in found
    assert len(bn.read_specification(tmp_path / "analysis.toml").data.arms) == 2


@pytest.mark.parametrize("name", ["study_day", "studyday", "Study Day", "visitDays", "ADY"])
def test_a_usual_name_of_a_time_may_end_in_a_unit_or_be_one(tmp_path, name):
    scans = {name if key == "day" else key: values for key, values in SCANS.items()}
    found, _, doubts = proposed(written(tmp_path, people=PATIENTS, sizes=scans))
    assert found["data"]["scan_columns"]["time"] == name
    assert not doubts


def test_a_table_that_is_not_read_is_a_doubt(tmp_path):
    scans = {"when" if key == "day" else key: values for key, values in SCANS.items()}
    found, text, doubts = proposed(written(tmp_path, people=PATIENTS, sizes=scans))
    assert "scans" not in found["data"]
    assert len(doubts) == 1
    assert doubts[0].startswith("sizes.csv is not read: no columns recognised as those of scans; expected")
    assert f"# unsure: {doubts[0]}" in text


def test_a_column_of_new_therapies_is_recognised(tmp_path):
    people = PATIENTS | {"next therapy (days)": [None] * len(next(iter(PATIENTS.values())))}
    found, _, _ = proposed(written(tmp_path, people=people, sizes=SCANS))
    assert found["data"]["patient_columns"]["new_therapy_time"] == "next therapy (days)"


def test_units_are_never_guessed_and_nor_is_the_reference(tmp_path):
    plain = {"patient": ["a", "b"], "arm": ["X", "Y"], "pfs_time": [100, 200], "pfs_event": [1, 0]}
    sizes = {"patient": ["a", "a", "b"], "time": [0, 50, 0], "size": [50, 40, 30]}
    found, text, doubts = proposed(written(tmp_path, patients=plain, scans=sizes))
    assert set(found["data"]) == {"patients", "scans"}
    assert [doubt.split(":")[0] for doubt in doubts] == ["time_unit", "size_unit", "arms"]
    with pytest.raises(SpecificationError, match="missing: time_unit"):
        bn.read_specification(tmp_path / "analysis.toml")
    (tmp_path / "analysis.toml").write_text(certain(text, "time_unit", "size_unit", "arms"))
    assert bn.read_specification(tmp_path / "analysis.toml").data.arms == ("X", "Y")


def test_two_units_of_time_are_a_doubt(tmp_path):
    sizes = {name.replace("day", "week"): values for name, values in SCANS.items()}
    _, text, doubts = proposed(written(tmp_path, people=PATIENTS, sizes=sizes))
    assert len(doubts) == 1
    assert "columns have several: PFS (days) (days), osDays (days), week (weeks)" in doubts[0]
    assert re.search("^# time_unit = ", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("column", "values", "meant"),
    [
        ("PFS event", ["Yes", "No", "Yes"], 'pfs = "Yes"'),
        ("PFS event", ["1", "2", "2"], 'pfs = "2"'),
        ("PFS cnsr", [0, 1, 0], 'pfs = "0"'),
        ("CNSR", [0, 1, 0], 'pfs = "0"'),
    ],
)
def test_what_an_event_is_called_is_a_doubt(tmp_path, column, values, meant):
    people = {name: each for name, each in PATIENTS.items() if name != "PFS event"} | {column: values}
    found, text, doubts = proposed(written(tmp_path, people=people, sizes=SCANS))
    assert "event_is" not in found["data"]
    assert [doubt.split(":")[0] for doubt in doubts] == ["event_is"]
    assert (
        tomllib.loads(certain(text, "event_is"))["data"]["event_is"] == tomllib.loads(f"x = {{{meant}}}")["x"]
    )


def test_without_scans_arms_are_compared(tmp_path):
    alone = {name: values for name, values in PATIENTS.items() if "PFS" not in name}
    found, _, doubts = proposed(written(tmp_path, people=alone))
    assert not doubts
    assert found["slopes"] == "none"
    assert found["landmarks"] == {"times": ["0d"], "endpoints": ["os"], "os_population": "alive"}
    assert found["baseline"]["arms"] == "shared"
    prepared = bn.prepare(bn.read_specification(tmp_path / "analysis.toml"))
    assert prepared.jobs[0].data.n == 3


def test_adam_data_sets_are_taken_as_they_are(tmp_path):
    for name, frame in adam_files.study().items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    found, _, _ = proposed(tmp_path)
    assert found["data"]["adam"] == "."
    assert found["landmarks"]["endpoints"] == ["pfs", "os"]
    cohort = bn.read_adam(adam_files.study())
    prepared = bn.read_specification(tmp_path / "analysis.toml")
    assert set(prepared.data.arms) <= set(cohort.arms)


def test_adam_that_cannot_be_read_yet_says_why(tmp_path):
    sets = adam_files.study()
    sets["adtte"]["PARAMCD"] = sets["adtte"]["PARAMCD"].replace("PFS", "TTDE")
    for name, frame in sets.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    _, text, doubts = proposed(tmp_path)
    assert len(doubts) == 1
    assert "expected one parameter PFS" in doubts[0]
    assert "# unsure: " in text


def test_two_tables_of_one_kind_are_a_doubt(tmp_path):
    other = {name: values for name, values in SCANS.items() if name != "day"} | {"week": SCANS["day"]}
    folder = written(tmp_path, people=PATIENTS, sizes=SCANS | {"response": [""] * 5}, old=other)
    found, _, doubts = proposed(folder)
    assert found["data"]["scans"] == "sizes.csv"
    assert doubts == ("scans: sizes.csv is taken; old.csv could be meant too",)


def test_a_workbook_gives_each_of_its_sheets(tmp_path):
    with pd.ExcelWriter(tmp_path / "study.xlsx") as book:
        pd.DataFrame(PATIENTS).to_excel(book, sheet_name="People", index=False)
        pd.DataFrame(SCANS).to_excel(book, sheet_name="CT", index=False)
    found, _, doubts = proposed(tmp_path)
    assert not doubts
    assert (found["data"]["patients"], found["data"]["scans"]) == ("study.xlsx#People", "study.xlsx#CT")
    assert bn.read_specification(tmp_path / "analysis.toml").data.arms == ("placebo", "Lu")


VISITS = {"SLD mm baseline": [50, 30, 10], "SLD mm week 8": [40, 20, ""], "SLD mm week 16": [35, "", ""]}


@pytest.mark.parametrize("together", [False, True])
def test_a_column_for_each_visit_is_recognised(tmp_path, together):
    identifiers = {"Subject ID": PATIENTS["Subject ID"]}
    tables = {"people": PATIENTS | VISITS} if together else {"people": PATIENTS, "wide": identifiers | VISITS}
    found, text, doubts = proposed(written(tmp_path, **tables))
    assert not doubts
    assert found["data"]["scan_visits"] == {
        "SLD mm baseline": 0, "SLD mm week 8": 56, "SLD mm week 16": 112,
    }  # fmt: skip
    assert (found["data"]["time_unit"], found["data"]["size_unit"]) == ("days", "mm")
    assert text.count('"SLD mm week 8"') == 1  # and it is no covariate
    cohort = read_patients(bn.read_specification(tmp_path / "analysis.toml"))
    assert (cohort.scans.groupby("patient").size().to_list()) == [3, 2, 1]


def test_visits_in_another_unit_than_the_times_are_a_doubt(tmp_path):
    months = {name.replace("days", "months").replace("Days", "Months"): v for name, v in PATIENTS.items()}
    _, _, doubts = proposed(written(tmp_path, people=months | VISITS))
    assert len(doubts) == 1
    assert "scan_visits (weeks)" in doubts[0]


def test_hidden_files_and_locks_are_passed_over(tmp_path):
    folder = written(tmp_path, people=PATIENTS, sizes=SCANS)
    (folder / "~$people.xlsx").write_bytes(b"lock")
    (folder / ".people.csv").write_text("")
    assert proposed(folder)[2] == ()


def test_a_file_that_cannot_be_read_is_a_doubt_beside_tables_that_can(tmp_path):
    folder = written(tmp_path, people=PATIENTS, sizes=SCANS)
    (folder / "notes.txt").write_text("Dear all,\nhere are the data.\n")
    found, _, doubts = proposed(folder)
    assert found["data"]["patients"] == "people.csv"
    assert len(doubts) == 1
    assert doubts[0].startswith("not read: notes.txt: 1 row does not have a value for each of the 2 columns")


def test_a_patient_who_is_there_twice_is_for_check_to_name(tmp_path):
    people = {name: [*values * 6, values[0]] for name, values in PATIENTS.items()}
    people["Subject ID"] = [*range(18), 3]
    found, _, doubts = proposed(written(tmp_path, people=people))
    assert found["data"]["patients"] == "people.csv"
    with pytest.raises(InputError, match=r"duplicate patients.*row 5 \(patient 3\), row 20 \(patient 3\)"):
        bn.prepare(bn.read_specification(tmp_path / "analysis.toml"))
    assert not doubts


def test_an_event_that_has_no_name_of_one_is_not_guessed(tmp_path):
    people = PATIENTS | {"PFS event": ["ja", "nein", "ja"], "died": ["x", "z", "x"]}
    _, text, _ = proposed(written(tmp_path, people=people, sizes=SCANS))
    assert 'event_is = {pfs = "ja", os = "?"}' in text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PFS (days)": "time", "osDays": "time2"}, "no time of PFS or OS with its event among Subject ID, "),
        ({"Subject ID": "who"}, "people.csv: no identifier among who, Treatment"),
        ({}, "people.csv: 3 rows repeat an identifier of Subject ID"),
    ],
)
def test_why_a_table_is_none_of_patients_is_said(tmp_path, changes, reason):
    people = {changes.get(name, name): values * (1 if changes else 2) for name, values in PATIENTS.items()}
    with pytest.raises(InputError, match="no table has one row a patient") as refused:
        propose(written(tmp_path, people=people))
    assert reason in str(refused.value)


def test_a_folder_without_patients_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no tables; expected files that end in \.csv"):
        propose(tmp_path)
    with pytest.raises(InputError, match="no table has one row a patient"):
        propose(written(tmp_path, sizes=SCANS))
