"""What read_cohort refuses: each message has what was got, what is expected, the rows and what to do."""

import re

import pandas as pd
import pytest
from cohort_tables import changed, changes, people, read, read_csv, sizes, with_row

from bayes_net.data.cohort import read_cohort
from bayes_net.errors import CohortError, InputError

REFUSED = {
    "duplicate patient": (
        with_row(people(), *people().iloc[1]), sizes(),
        ["duplicate patients", "one row a patient", "row 3 (patient 008), row 6 (patient 008)"],
    ),
    "missing identifier": (
        changed(people(), 1, patient=None), sizes().query("patient != '008'"),
        ["missing values of patient", "row 3 (patient without an identifier)"],
    ),
    "scan of an unknown patient": (
        people(), with_row(sizes(), "7", 84, 70, 0, ""),
        ["scans of unknown patients", "patients that patients.csv has", "row 11 (patient 7)", "007 is not 7"],
    ),
    "scan of nobody": (
        people(), with_row(sizes(), None, 84, 70, 0, ""),
        ["scans.csv: missing values of patient", "row 11 (patient without an identifier)"],
    ),
    "follow-up as text": (
        changed(people(), 2, pfs_time="12,5"), sizes(),
        ["values of pfs_time that are not numbers", "numbers such as 12.5", "row 4 (patient 009: '12,5')"],
    ),
    "infinite follow-up": (
        changed(people(), 2, os_time="inf"), sizes(),
        ["values of os_time that are not numbers", "row 4 (patient 009: 'inf')"],
    ),
    "negative follow-up": (
        changed(people(), 2, pfs_time=-1), sizes(),
        ["negative values of pfs_time", "0 or more", "row 4 (patient 009: '-1')"],
    ),
    "missing follow-up": (
        changed(people(), 2, os_time="NA"), sizes(),
        ["missing values of os_time", "a value in every row", "row 4 (patient 009)"],
    ),
    "event 2": (
        changed(people(), 3, pfs_event=2), sizes(),
        ["values of pfs_event that are not 0 or 1", "event = (cause == 1)", "row 5 (patient 010: '2')"],
    ),
    "event as a word": (
        changed(people(), 3, os_event="dead"), sizes(),
        ["values of os_event that are not 0 or 1", "row 5 (patient 010: 'dead')"],
    ),
    "missing event": (
        changed(people(), 3, pfs_event=None), sizes(),
        ["missing values of pfs_event", "row 5 (patient 010)"],
    ),
    "PFS later than OS": (
        changed(people(), 2, pfs_time=401), sizes(),
        ["PFS later than OS", "of at most os_time", "row 4 (patient 009: PFS 401 days, OS 400 days)"],
    ),
    "missing arm": (
        changed(people(), 0, arm=" "), sizes(), ["missing values of arm", "row 2 (patient 007)"],
    ),
    "missing covariate": (
        changed(people(), 1, age=None), sizes(), ["missing values of age", "row 3 (patient 008)"],
    ),
    "missing covariate text": (
        changed(people(), 1, grade="NA"), sizes(), ["missing values of grade", "row 3 (patient 008)"],
    ),
    "no baseline": (
        people(), changed(sizes(), 5, time=1),
        ["scanned patients without a baseline scan", "before 0 d", "row 7 (patient 009)", "baseline_window"],
    ),
    "baseline of unknown size": (
        people(), changed(sizes(), 5, size=None),
        ["scanned patients without a baseline scan", "row 7 (patient 009)"],
    ),
    "baseline of size 0": (
        people(), changed(sizes(), 3, size=0),
        ["baseline scans of size 0", "size above 0", "row 5 (patient 008)"],
    ),
    "negative size": (
        people(), changed(sizes(), 4, size=-45),
        ["negative values of size", "values of 0 or more", "row 6 (patient 008: '-45')"],
    ),
    "size as text": (
        people(), changed(sizes(), 4, size="4x5"),
        ["values of size that are not numbers", "row 6 (patient 008: '4x5')"],
    ),
    "missing scan time": (
        people(), changed(sizes(), 4, time=None), ["missing values of time", "row 6 (patient 008)"],
    ),
    "percent change below -100": (
        people(), changed(changes(), 4, pchg=-100.5),
        ["percent changes below -100", "at least -100", "row 6 (patient 008: '-100.5')"],
    ),
    "changed baseline": (
        people(), changed(changes(), 3, pchg=-4),
        ["baseline scans with a percent change", "row 5 (patient 008: -4 %)"],
    ),
    "new lesion unclear": (
        people(), changed(sizes(), 4, new_lesion=3),
        ["values of new_lesion that are not yes or no", "true/false or yes/no", "row 6 (patient 008: '3')"],
    ),
    "response unclear": (
        people(), changed(sizes(), 4, response="stable"),
        ["values of response that are not known", "CR, PR, SD, PD", "row 6 (patient 008: 'stable')"],
    ),
    "scan after death": (
        people(), with_row(sizes(), "009", 401, 10, 0, ""),
        ["row 11 (patient 009: scan at 401 days, death at 400 days)", "scans after death", "after_death"],
    ),
    "contradicting scans": (
        people(), with_row(sizes(), "007", 84, 71, 0, "PR"),
        ["scans at the same time with different values", "row 3 (patient 007: at 84 days), row 11 (pat"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_values_are_refused_with_their_rows(case, tmp_path):
    patients, scans, said = REFUSED[case]
    with pytest.raises(CohortError) as refused:
        read_csv(tmp_path, patients, scans, covariates=["age", "grade"])
    message = str(refused.value)
    assert "kinds of problem" not in message
    for words in said:
        assert words in message


OPTIONS = {
    "unknown arm": ({"arms": ["control", "lutetium"]}, ["lutetium", "control, treated", "row 4 (pat"]),
    "arm left out": ({"arms": ["control"]}, ["control where the data have control, treated", "row 5"]),
    "arm named twice": ({"arms": ["control", "treated", "treated"]}, ["every arm of the data once"]),
    "absent exclusion": ({"exclude_patients": ["7"]}, ["to exclude that do not occur: 7", "Correct"]),
    "all excluded": ({"exclude_patients": ["007", "008", "009", "010"]}, ["every patient is excluded"]),
    "unknown covariate": ({"covariates": ["Ages"]}, ["no column 'Ages'", "did you mean 'age'", "pfs_time"]),
    "unknown column": (
        {"patient_columns": {"pfs_time": "pfs_tme"}},
        ["no column 'pfs_tme', asked for as pfs_time", "did you mean 'pfs_time'", "patient, arm, pfs_time"],
    ),
    "unknown scan column": ({"scan_columns": {"size": "sld"}}, ["no column 'sld', asked for as size"]),
    "unknown key": ({"scan_columns": {"sld": "size"}}, ["'sld' is no column that can be", "new_lesion"]),
    "no size unit": ({"size_unit": None}, ["size_unit is None with a column of size", "mm or cm"]),
    "half of OS": ({"patient_columns": {"os_event": "dead"}}, ["no column 'dead', asked for as os_event"]),
}  # fmt: skip


@pytest.mark.parametrize("case", OPTIONS)
def test_options_that_do_not_fit_the_tables_are_refused(case, tmp_path):
    options, said = OPTIONS[case]
    with pytest.raises(CohortError) as refused:
        read_csv(tmp_path, **options)
    for words in said:
        assert words in str(refused.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time_unit": "hours"}, "time unit 'hours' is unknown; expected one of days, weeks, months, years"),
        ({"size_unit": "inch"}, "size_unit is 'inch'; expected one of mm, cm"),
        ({"scans_after_death": "ignore"}, "scans_after_death is 'ignore'; expected 'refuse' or 'drop'"),
        ({"arms": "control"}, "arms is the text 'control'; expected a list"),
        ({"covariates": ["arm"]}, "covariates are arm; expected each once and none of the names"),
        ({"covariates": ["age", "age"]}, "covariates are age, age; expected each once"),
        ({"baseline_window": "7"}, "duration '7' is not understood"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, said):
    with pytest.raises(InputError, match=re.escape(said)):
        read(**options)


@pytest.mark.parametrize("missing", ["refuse", "keep"])
def test_a_covariate_that_nobody_has_is_left_out_and_not_imputed(missing):
    """Of some patients it may be imputed; with both columns at fault each has its own remedy."""
    with pytest.raises(CohortError, match=r"missing values of age.* nobody has cannot be imputed") as refused:
        read(people().assign(age=None), covariates=["age"], missing_covariates=missing)
    assert "[missing]" not in str(refused.value)
    both = changed(people().assign(age=None), 1, grade=None)
    with pytest.raises(CohortError) as refused:
        read(both, covariates=["age", "grade"])
    assert str(refused.value).count("[missing]") == str(refused.value).count("cannot be imputed") == 1


def test_both_size_and_percent_change_need_a_choice():
    both = sizes().assign(pchg=0)
    with pytest.raises(CohortError, match="both size and pchg"):
        read(scans=both)
    assert read(scans=both, scan_columns={"size": "size"}) == read()
    nothing = sizes().drop(columns=["size", "response"], errors="ignore")
    with pytest.raises(CohortError, match="neither size nor pchg, and no response, among patient, time"):
        read_cohort(people(), nothing, time_unit="days")
    with pytest.raises(CohortError, match="size_unit is 'mm' with a column of pchg"):
        read(scans=changes(), size_unit="mm")


def test_a_study_is_a_column_or_a_name_not_both():
    assert set(read(study="one").patients["study"]) == {"one"}
    assert set(read(people().assign(study="two")).patients["study"]) == {"two"}
    with pytest.raises(CohortError, match="the study is both a column and given as 'one'"):
        read(people().assign(study="two"), study="one")


def test_all_problems_are_said_in_one_error(tmp_path):
    patients = changed(changed(people(), 0, pfs_time=-5), 1, pfs_event=7)
    scans = with_row(changed(sizes(), 3, size=0), "x", 0, 5, 0, "")
    with pytest.raises(CohortError) as refused:
        read_csv(tmp_path, patients, scans, exclude_patients=["y"], arms=["control"])
    message = str(refused.value)
    assert message.startswith("6 kinds of problem in the tables:\n- ")
    for words in [
        "negative values of pfs_time",
        "not 0 or 1",
        "unknown patients",
        "size 0",
        "do not occur: y",
        "the same arms",
    ]:
        assert words in message


def test_missing_columns_of_both_tables_are_said_at_once():
    with pytest.raises(CohortError) as refused:
        read(people().drop(columns=["arm", "pfs_time"]), sizes().drop(columns="time"))
    for words in ["no column 'arm'", "no column 'pfs_time'", "no column 'time'", "2 kinds of problem"]:
        assert words in str(refused.value)


def test_only_the_first_five_rows_are_named_and_the_others_counted():
    patients = pd.concat([people()] * 3, ignore_index=True)
    with pytest.raises(CohortError, match=r"row 4 \(patient 007\) and 7 more\."):
        read(patients)
    many = pd.concat([sizes().assign(patient=f"x{n}") for n in range(3000)], ignore_index=True)
    with pytest.raises(CohortError, match=r"row 4 \(patient x0\) and 26995 more\."):
        read(scans=many)


def test_rows_of_a_frame_are_named_by_their_labels():
    patients = changed(people(), 2, pfs_time=-1)
    with pytest.raises(CohortError, match=r"the patient table: .* row 2 \(patient 009: '-1'\)"):
        read(patients)
    with pytest.raises(CohortError, match=r"row third \(patient 009: '-1'\)"):
        read(patients.set_axis(["first", "second", "third", "fourth"]))
    by_patient = read(people().set_index("patient"), sizes().set_index("patient"))
    assert by_patient == read()


def test_rows_of_a_file_are_counted_over_blank_lines(tmp_path):
    good = people().to_csv(index=False).splitlines()
    lines = [good[0], "", good[1], ",,,,,,,", *good[2:]]
    (tmp_path / "patients.csv").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    sizes().to_csv(tmp_path / "scans.csv", index=False)
    options = {"time_unit": "days", "size_unit": "mm"}
    assert read_cohort(tmp_path / "patients.csv", tmp_path / "scans.csv", **options) == read()
    (tmp_path / "patients.csv").write_text("\n".join(lines).replace("009,treated,400", "009,treated,-400"))
    with pytest.raises(CohortError, match=r"row 6 \(patient 009: '-400'\)"):
        read_cohort(tmp_path / "patients.csv", tmp_path / "scans.csv", **options)


FILES = {
    "absent.csv": (None, ["absent.csv: there is no such file", "Check the path"]),
    "table.docx": (b"x", ["the file ending is '.docx'; expected .csv, .tsv, .txt, .parquet,", "or .dsjc"]),
    "table.xlsx": (b"x", ["table.xlsx: the file cannot be read as xlsx"]),
    "table.xpt": (b"x", ["table.xpt: the file cannot be read as xpt"]),
    "table.sas7bdat": (b"x", ["table.sas7bdat: the file cannot be read as sas7bdat"]),
    "table.json": (b"{", ["the file is no Dataset-JSON", "Export it again"]),
    "table.ndjson": (b"[1]\n", ["the file is no Dataset-JSON"]),
    "table.dsjc": (b"\x78\x9c\x00", ["table.dsjc", "Export it again"]),
    "empty.csv": (b"", ["empty.csv: the file is empty; expected a header and data rows"]),
    "header.csv": (b"patient,arm\n", ["header.csv: there are no data rows", "one row a patient"]),
    "cut.csv": (b"patient,arm,pfs_time\n1,a,2\n2,a\n", ["a value for each of the 3", "row 3 (2 values)"]),
    "twice.csv": (b"patient,arm,arm\n1,a,b\n", ["columns occur twice: arm"]),
    "undefined.csv": (b"patient,arm\n1,\x81\xe9\n", ["cannot be read as csv", "Export it again"]),
    "quote.csv": (b'patient,arm\n1,"a\n', ["cannot be read as csv"]),
    "broken.parquet": (b"PAR1 no", ["broken.parquet: the file cannot be read as parquet"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_that_cannot_be_used_are_refused(name, tmp_path):
    content, said = FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CohortError) as refused:
        read_cohort(tmp_path / name, sizes(), time_unit="days", size_unit="mm")
    for words in said:
        assert words in str(refused.value)


def test_trailing_empty_columns_of_a_spreadsheet_are_ignored(tmp_path):
    lines = [line + ",," for line in people().to_csv(index=False).splitlines()]
    (tmp_path / "patients.csv").write_text("\n".join(lines))
    assert read_cohort(tmp_path / "patients.csv", sizes(), time_unit="days", size_unit="mm") == read()
