"""Tables as people have them: dates, one column a visit, one endpoint, spreadsheets."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from cohort_tables import changed, people, read, sizes

from bayes_net.data.cohort import read_cohort
from bayes_net.data.landmarks import landmark
from bayes_net.errors import CohortError, InputError

ZERO = pd.to_datetime(["2019-03-01", "2019-06-30", "2020-02-28", "2020-12-31"])


def dated(times: pd.Series, zero) -> list[str]:
    return [str((z + timedelta(days=int(t))).date()) for t, z in zip(times, zero, strict=True)]


def with_dates() -> tuple[pd.DataFrame, pd.DataFrame]:
    patients, scans = people(), sizes()
    for name in ("pfs_time", "os_time"):
        patients[name] = dated(patients[name], ZERO)
    of = dict(zip(patients["patient"], ZERO, strict=True))
    scans["time"] = dated(scans["time"], [of[who] for who in scans["patient"]])
    return patients.assign(randomised=[str(day.date()) for day in ZERO]), scans


@pytest.mark.parametrize("unit", ["days", "weeks", "months"])
def test_dates_are_counted_from_time_zero(unit):
    patients, scans = with_dates()
    found = read(patients, scans, patient_columns={"time_zero": "randomised"}, time_unit=unit)
    assert found == read()
    said = [note.message for note in found.notes if note.code == "dates"]
    assert said[0] == "4 dates in pfs_time counted in days from time_zero"


def test_a_time_of_day_does_not_move_a_date():
    patients, scans = with_dates()
    patients["os_time"] += "T23:59:00"
    scans["time"] += " 08:15"
    assert read(patients, scans, patient_columns={"time_zero": "randomised"}) == read()


def test_datetimes_of_a_frame_are_dates():
    patients, scans = with_dates()
    for frame, names in ((patients, ["pfs_time", "os_time", "randomised"]), (scans, ["time"])):
        for name in names:
            frame[name] = pd.to_datetime(frame[name])
    assert read(patients, scans, patient_columns={"time_zero": "randomised"}) == read()


def test_dates_without_a_time_zero_are_refused_with_what_to_do():
    patients, scans = with_dates()
    with pytest.raises(
        CohortError, match=r"values of pfs_time that are not numbers.*column time_zero of dates"
    ):
        read(patients, scans)


def test_numbers_among_dates_are_refused():
    patients, scans = with_dates()
    patients = changed(patients, 2, pfs_time="400")
    with pytest.raises(
        CohortError, match=r"pfs_time that are no dates among dates.*row 2 \(patient 009: '400'\)"
    ):
        read(patients, scans, patient_columns={"time_zero": "randomised"})


def test_a_patient_without_time_zero_has_no_time():
    patients, scans = with_dates()
    patients = changed(patients, 2, randomised="2020-02")
    with pytest.raises(CohortError, match=r"missing values of pfs_time.*row 2 \(patient 009\)") as refused:
        read(patients, scans, patient_columns={"time_zero": "randomised"})
    reason = "time_zero is missing or no date that can be read one way; expected a date of every patient"
    assert f"{reason}. Found in row 2 (patient 009)" in str(refused.value)


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%d%b%Y", "%Y-%m-%dT08:30"])
def test_dates_may_be_written_in_every_way_that_is_read_one_way(form):
    patients, scans = with_dates()
    for table in (patients, scans):
        for column in {"randomised", "pfs_time", "os_time", "time"} & set(table):
            table[column] = pd.to_datetime(table[column]).dt.strftime(form)
    assert read(patients, scans, patient_columns={"time_zero": "randomised"}) == read()


def test_dates_with_slashes_are_refused_with_what_to_do():
    patients, scans = with_dates()
    patients["pfs_time"] = pd.to_datetime(patients["pfs_time"]).dt.strftime("%m/%d/%Y")
    with pytest.raises(CohortError, match=r"Dates are written as 2026-03-01 or 01\.03\.2026"):
        read(patients, scans, patient_columns={"time_zero": "randomised"})


WIDE = {"base": 0, "week12": 84, "week24": 168}


def wide() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient": ["007", "008", "009", "010"],
            "base": [100, 50, 80, 33],
            "week12": [70, 45, 60, np.nan],
            "week24": [80, np.nan, "", 30],
        }
    )


def long() -> pd.DataFrame:
    rows = [("007", 0, 100), ("007", 84, 70), ("007", 168, 80), ("008", 0, 50), ("008", 84, 45)]
    rows += [("009", 0, 80), ("009", 84, 60), ("010", 0, 33), ("010", 168, 30)]
    return pd.DataFrame(rows, columns=["patient", "time", "size"])


def test_a_column_for_each_visit_is_a_scan_for_each_value():
    how = {"time_unit": "days", "size_unit": "mm"}
    assert read_cohort(people(), wide(), scan_visits=WIDE, **how) == read_cohort(people(), long(), **how)


def test_visits_of_percent_changes(tmp_path):
    table = wide().set_index("patient").apply(pd.to_numeric, errors="coerce")
    change = (100 * table.div(table["base"], axis=0) - 100).reset_index()
    change.to_csv(tmp_path / "wide.csv", index=False)
    people().to_csv(tmp_path / "patients.csv", index=False)
    found = read_cohort(tmp_path / "patients.csv", tmp_path / "wide.csv", time_unit="days", scan_visits=WIDE)
    expected = read_cohort(people(), long(), time_unit="days", size_unit="mm")
    np.testing.assert_allclose(found.scans["pchg"], expected.scans["pchg"])
    assert "3 visits in columns read as 9 scans" in found.notes[0].message


def test_a_wrong_value_is_named_by_row_and_visit(tmp_path):
    wide().astype(object).pipe(changed, 2, week12="6o").to_csv(tmp_path / "wide.csv", index=False)
    with pytest.raises(CohortError, match=r"row 4, column week12 \(patient 009: '6o'\)"):
        read_cohort(people(), tmp_path / "wide.csv", time_unit="days", size_unit="mm", scan_visits=WIDE)
    with pytest.raises(CohortError, match="no column 'week36'"):
        read_cohort(people(), wide(), time_unit="days", size_unit="mm", scan_visits={"week36": 252})


def test_overall_survival_alone_is_enough():
    patients = people().drop(columns=["pfs_time", "pfs_event"])
    cohort = read(patients)
    assert cohort.endpoints == ("os",)
    assert "OS" in str(cohort)
    found = landmark(cohort, ["100d"], endpoint="os", population="alive").table
    both = landmark(read(), ["100d"], endpoint="os", population="alive").table
    pd.testing.assert_frame_equal(found, both)
    with pytest.raises(InputError, match="needs PFS, which this cohort does not have; expected 'alive'"):
        landmark(cohort, ["100d"], endpoint="os")
    with pytest.raises(InputError, match="endpoint 'pfs' is not in this cohort"):
        landmark(cohort, ["100d"])


def test_patients_without_any_endpoint_are_refused():
    with pytest.raises(CohortError, match="no column 'pfs_time'"):
        read(people().drop(columns=["pfs_time", "pfs_event", "os_time", "os_event"]))


def test_two_sheets_of_a_workbook(tmp_path):
    book = tmp_path / "study.xlsx"
    with pd.ExcelWriter(book) as writer:
        people().to_excel(writer, sheet_name="Patients", index=False, startrow=2)
        sizes().to_excel(writer, sheet_name="Scans", index=False)
        writer.sheets["Patients"]["A1"] = "Study X, listing of patients"
    how = {"time_unit": "days", "size_unit": "mm"}
    found = read_cohort(f"{book}#Patients", f"{book}#Scans", **how)
    assert found == read()
    assert "1 row above the header left out" in found.notes[0].message
    with pytest.raises(
        CohortError, match=r"sheets 'Patients', 'Scans' have values; expected one sheet.*#Patients"
    ):
        read_cohort(book, f"{book}#Scans", **how)
    with pytest.raises(CohortError, match="expected one sheet"):
        read_cohort(f"{book}#People", f"{book}#Scans", **how)


def test_a_row_of_a_workbook_is_counted_as_the_program_shows_it(tmp_path):
    book = tmp_path / "patients.xlsx"
    changed(people(), 2, pfs_time=-1).to_excel(book, index=False)
    with pytest.raises(CohortError, match=r"row 4 \(patient 009: '-1'\)"):
        read_cohort(book, sizes(), time_unit="days", size_unit="mm")


def test_dates_of_a_workbook_are_dates(tmp_path):
    patients, scans = with_dates()
    for name in ("pfs_time", "os_time", "randomised"):
        patients[name] = pd.to_datetime(patients[name])
    patients.to_excel(tmp_path / "patients.xlsx", index=False)
    how = {"time_unit": "days", "size_unit": "mm", "patient_columns": {"time_zero": "randomised"}}
    assert read_cohort(tmp_path / "patients.xlsx", scans, **how) == read()


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_every_separator_and_encoding(separator, encoding, tmp_path):
    patients = people().assign(arm=["contrôle", "contrôle", "traité", "traité"])
    for name, frame in (("patients.csv", patients), ("scans.txt", sizes())):
        text = frame.to_csv(index=False, sep=separator)
        (tmp_path / name).write_bytes(text.encode(encoding))
    found = read_cohort(tmp_path / "patients.csv", tmp_path / "scans.txt", time_unit="days", size_unit="mm")
    assert found == read(patients)


def test_decimal_commas_beside_points_are_refused(tmp_path):
    (tmp_path / "scans.csv").write_text("patient;time;size\n007;0;100,5\n007;84;70.25\n")
    with pytest.raises(CohortError, match=r"decimal commas \(100,5\) beside decimal points \(70.25\)"):
        read_cohort(people(), tmp_path / "scans.csv", time_unit="days", size_unit="mm")
