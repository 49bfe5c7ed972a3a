"""ADaM data sets become the cohort that they describe, whatever the format."""

import json
from itertools import pairwise

import adam_files
import numpy as np
import pandas as pd
import pytest

from bayes_net.adam.read import read_adam
from bayes_net.cli.check import examine
from bayes_net.data.exposure import expose
from bayes_net.data.landmarks import landmark
from bayes_net.errors import CohortError, InputError
from bayes_net.inference.imputation import Censoring, concerned_patients

pytestmark = pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")
FORMATS = ["xpt", "v5.xpt", "json", "ndjson", "dsjc", "gz.dsjc", "raw.dsjc", "csv", "parquet"]


def changed(name: str, **columns) -> dict[str, pd.DataFrame]:
    study = adam_files.study()
    study[name] = study[name].assign(**columns)
    return study


def test_fields_are_what_adam_says():
    cohort = read_adam(adam_files.study())
    assert cohort.patients["patient"].tolist() == ["S-01", "S-02", "S-03", "S-04", "S-05"]
    assert cohort.patients["arm"].tolist() == ["control"] * 3 + ["lutetium"] * 2
    assert (cohort.patients["pfs_time"] * 30.4375).round(6).tolist() == [200, 150, 300, 420, 380]
    assert cohort.patients["pfs_event"].tolist() == [1, 1, 0, 1, 0]  # CNSR = 2 is a censoring
    assert cohort.patients["os_event"].tolist() == [1, 1, 0, 0, 0]
    first = cohort.scans.query("patient == 'S-01'")
    assert (first["time"] * 30.4375).round(6).tolist() == [-5, 60, 120, 200]
    assert first["pchg"].round(9).tolist() == [0, -30, -20, 30]
    assert first["sld"].tolist() == [100, 70, 80, 130]
    second = cohort.scans.query("patient == 'S-02'")
    assert (second["time"] * 30.4375).round(6).tolist() == [0, 57]  # a baseline on the first day


def test_who_is_left_out_is_counted_and_origins_are_kept():
    cohort = read_adam(adam_files.study())
    said = {note.code: note.message for note in cohort.notes}
    assert said["screen-failures"] == "1 patient not randomised (screen failures), left out"
    assert said["outside-population"] == "1 patient with ITTFL other than Y, left out"
    assert ("pfs_time", "ADTTE", "AVAL, PARAMCD PFS", "days by PARAM") in cohort.origin
    assert ("arm", "ADSL", "TRT01P", "") in cohort.origin
    assert "pfs_time from AVAL, PARAMCD PFS of ADTTE (days by PARAM); " in said["origin"]
    assert [each.field for each in cohort.origin] == [
        "population", "arm", "pfs_time", "pfs_event", "os_time", "os_event", "scans", "time of scans",
    ]  # fmt: skip


def test_why_follow_up_ended_is_kept():
    reasons = read_adam(adam_files.study()).reasons.set_index("patient")
    assert reasons.loc["S-05", "pfs_reason"] == "Study Closure"
    assert reasons.loc["S-01", "pfs_reason"] == "Disease Progression"


def test_a_new_therapy_is_read_where_its_parameter_is_named():
    study = adam_files.study()
    new = study["adtte"].query("PARAMCD == 'OS'").assign(PARAMCD="TTNT", PARAM="Time to Next Therapy (days)")
    begins = {"S-01": (250.0, 0, "New therapy"), "S-02": (150.0, 0, "Death"), "S-03": (500.0, 1, "")}
    for name, column in (("AVAL", 0), ("CNSR", 1), ("EVNTDESC", 2)):
        new[name] = [begins.get(who, (90.0, 0, "Chemotherapy"))[column] for who in new["USUBJID"]]
    study["adtte"] = pd.concat([study["adtte"], new], ignore_index=True)
    cohort = read_adam(study, new_therapy="TTNT")
    days = (cohort.patients["new_therapy_time"] * 30.4375).round(6)
    np.testing.assert_array_equal(days, [250, np.nan, np.nan, 90, 90])  # a death is none
    assert "new_therapy_time" in {each.field for each in cohort.origin}
    assert "new_therapy_time" not in read_adam(study).patients
    with pytest.raises(CohortError, match="there is no PARAMCD 'TTST'"):
        read_adam(study, new_therapy="TTST")


def test_only_censoring_for_a_reason_may_be_in_question():
    """S-03 was censored at an assessment and S-05 when the study closed, which is no drop-out."""
    cohort = read_adam(adam_files.study())
    patients = landmark(cohort, ["100d"])
    rows = patients.at("100 d")
    data = expose(patients, "100 d", cuts=[])
    why = rows["patient"].map(cohort.reasons.set_index("patient")["pfs_reason"])
    asked = Censoring(2.0, reasons=("Last Tumor Assessment",))
    assert rows["patient"][concerned_patients(data, asked, reasons=why)].tolist() == ["S-03"]
    assert rows["patient"][concerned_patients(data, Censoring(2.0), reasons=why)].tolist() == ["S-03", "S-05"]
    with pytest.raises(InputError, match="read the patients from ADaM"):
        concerned_patients(data, asked)


def test_progression_is_the_endpoints_own():
    """S-01 progressed on day 200 and had a scan then; growth over the nadir before it was no progression."""
    scans = read_adam(adam_files.study()).scans
    assert scans.query("progression")["patient"].tolist() == ["S-01"]


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_same_cohort(ending, tmp_path):
    study = adam_files.study()
    folder = adam_files.write(study, tmp_path, ending)
    cohort = read_adam(folder, covariates=["AGE"])
    expected = read_adam(study, covariates=["AGE"])
    assert cohort == expected
    pd.testing.assert_frame_equal(cohort.reasons, expected.reasons)


def test_a_pattern_chooses_among_formats(tmp_path):
    for ending in ("csv", "json"):
        adam_files.write(adam_files.study(), tmp_path, ending)
    with pytest.raises(CohortError, match=r"ADSL could be adsl\.csv, adsl\.json; expected one file"):
        read_adam(tmp_path)
    assert read_adam(str(tmp_path / "*.json")) == read_adam(adam_files.study())


def test_a_day_0_is_taken_as_it_is():
    """The same study on a clock with a day 0: everything is a day earlier."""
    study = adam_files.study()
    study["adtte"]["AVAL"] -= 1
    study["adtr"]["ADY"] -= study["adtr"]["ADY"] > 0
    moved, plain = read_adam(study), read_adam(adam_files.study())
    later = plain.scans["time"] > 0
    shift = (plain.scans["time"] - moved.scans["time"])[later] * 30.4375
    assert shift.round(6).unique().tolist() == [1]
    assert ((plain.patients["pfs_time"] - moved.patients["pfs_time"]) * 30.4375).round(
        6
    ).unique().tolist() == [1]


def test_scans_are_put_on_the_clock_of_the_endpoint():
    """AVAL counts elapsed days and ADY calls the first day 1: scans are moved by a day."""
    study = adam_files.study()
    study["adtte"]["AVAL"] -= 1
    cohort = read_adam(study)
    scan = cohort.scans.query("patient == 'S-01'")["time"] * 30.4375
    assert scan.round(6).tolist() == [-5, 59, 119, 199]
    assert "moved by -1" in {each.field: each.rule for each in cohort.origin}["time of scans"]


def test_days_without_ady_come_from_dates():
    study = adam_files.study()
    study["adtr"].loc[[1, 2], "ADY"] = np.nan
    cohort = read_adam(study)
    assert cohort == read_adam(adam_files.study())
    assert "2 from dates" in {each.field: each.rule for each in cohort.origin}["time of scans"]


@pytest.mark.parametrize(("unit", "days"), [("MONTHS", 30.4375), ("WEEKS", 7.0), ("YEARS", 365.25)])
@pytest.mark.parametrize("said", ["AVALU", "PARAM", "dates"])
def test_units_are_told_by_avalu_param_or_dates(unit, days, said):
    study = adam_files.study()
    tte = study["adtte"]
    tte["AVAL"] /= days
    tte["PARAM"] = tte["PARAMCD"] + (f" ({unit.title()})" if said == "PARAM" else "")
    if said == "AVALU":
        tte["AVALU"] = unit
    cohort = read_adam(study)
    pd.testing.assert_frame_equal(cohort.patients, read_adam(adam_files.study()).patients)


def test_a_unit_that_nothing_tells_is_refused():
    study = adam_files.study()
    study["adtte"] = study["adtte"].assign(PARAM="PFS").drop(columns=["STARTDT", "ADT"])
    study["adsl"] = study["adsl"].drop(columns="TRTSDT")
    with pytest.raises(CohortError, match=r"no unit of time in AVALU or PARAM.*time_unit"):
        read_adam(study)
    assert len(read_adam(study, time_unit="days").patients) == 5


def test_the_baseline_is_flagged_or_base():
    """Rows of the baseline without AVAL, as some sponsors have them, and none flagged."""
    study = adam_files.study()
    study["adtr"].loc[study["adtr"]["ABLFL"] == "Y", "AVAL"] = np.nan
    assert read_adam(study) == read_adam(adam_files.study())
    study = adam_files.study()
    study["adtr"] = study["adtr"].drop(columns="ABLFL")
    found = read_adam(study).scans
    expected = read_adam(adam_files.study()).scans
    assert found.query("~baseline")["pchg"].tolist() == expected.query("~baseline")["pchg"].tolist()


def test_pfs_later_than_os_is_warned_of():
    study = adam_files.study()
    study["adtte"].loc[study["adtte"]["PARAMCD"] == "OS", "AVAL"] -= 130
    notes = {note.code: note.count for note in read_adam(study).notes}
    assert notes["pfs-later-than-os"] == 2


REFUSED = {
    "no PFS": (changed("adtte", PARAMCD="TTP"), {}, "PARAMCD is TTP; expected one parameter PFS"),
    "two PFS": (
        changed("adtte", PARAMCD=["PFSINV", "PFSIRC"] * 6),
        {},
        "PFS could be PFSINV, PFSIRC; expected one parameter PFS. Name it: pfs = …",
    ),
    "unknown PFS": ({}, {"pfs": "PFSX"}, "there is no PARAMCD 'PFSX'; expected one of OS, PFS"),
    "no tumour": (
        changed("adtr", PARAMCD="LDIAM1", PARAM="Diameter of lesion 1"),
        {},
        "one parameter of the sum of diameters",
    ),
    "no population": ({}, {"population": "PPROTFL"}, "there is no variable PPROTFL"),
    "no arm": ({}, {"arm": "TRT02P"}, "no variable of treatment that is filled; expected TRT02P"),
    "no covariate": ({}, {"covariates": ["ECOG"]}, "no variables ECOG"),
    "CNSR empty": (changed("adtte", CNSR=np.nan), {}, "missing values of pfs_event"),
    "patients twice": (
        {**adam_files.study(), "adsl": pd.concat([adam_files.study()["adsl"]] * 2)},
        {},
        "patients occur twice",
    ),
    "no USUBJID": ({**adam_files.study(), "adsl": pd.DataFrame({"ID": [1]})}, {}, "it has ID; expected "
    "USUBJID"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_missing_or_ambiguous_is_refused_in_words(case):
    study, options, said = REFUSED[case]
    with pytest.raises(CohortError) as refused:
        read_adam(study or adam_files.study(), **options)
    assert said in str(refused.value)


def test_a_folder_without_adtte_is_refused(tmp_path):
    adam_files.write({"adsl": adam_files.study()["adsl"]}, tmp_path, "csv")
    with pytest.raises(CohortError, match="no ADTTE; expected ADSL and ADTTE"):
        read_adam(tmp_path)


def test_a_reason_that_nobody_has_is_refused(tmp_path):
    adam_files.write(adam_files.study(), tmp_path, "csv")
    text = """
        title = "ADaM"
        [data]
        adam = "."
        [landmarks]
        times = ["100d"]
        [baseline]
        cuts = []
        [censoring]
        reasons = ["Lost"]
        [sampling]
        seed = 1
        """
    (tmp_path / "analysis.toml").write_text(text)
    (problem,) = examine(tmp_path / "analysis.toml").problems
    assert "'Lost'; follow-up ended by Alive, Death" in problem
    (tmp_path / "analysis.toml").write_text(text.replace("Lost", "Study Closure"))
    found = examine(tmp_path / "analysis.toml")
    assert found.prepared.jobs[0].concerned.sum() == 1


def test_a_specification_names_the_folder(tmp_path):
    (tmp_path / "study").mkdir()
    adam_files.write(adam_files.study(), tmp_path / "study", "xpt")
    (tmp_path / "analysis.toml").write_text(
        """
        title = "ADaM"
        [data]
        adam = "study"
        adam_parameters = {population = "", tumour = "SUMDIAM"}
        arms = ["control", "lutetium"]
        [landmarks]
        times = ["100d"]
        [baseline]
        cuts = []
        [sampling]
        seed = 1
        """
    )
    found = examine(tmp_path / "analysis.toml")
    assert found.usable, found.problems
    assert len(found.prepared.cohort.patients) == 6
    assert any("read from ADaM" in note.message for note in found.notes)


# --- handed-over studies and their reference ---------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(shared):
    return json.loads((shared / "reference" / "adam_reference.json").read_text())


@pytest.fixture(scope="module")
def random_study(shared):
    folder = shared / "data" / "adam" / "random_cdisc_data"
    return read_adam({name: folder / f"c{name}.csv" for name in ("adsl", "adtte", "adtr", "adrs")})


@pytest.mark.parametrize("label", ["day120", "day150", "day200", "no_limit"])
@pytest.mark.parametrize("endpoint", ["pfs", "os"])
def test_landmark_sets_of_the_random_study(label, endpoint, random_study, reference):
    time = "no limit" if label == "no_limit" else f"{label.removeprefix('day')}d"
    table = landmark(random_study, [time], endpoint=endpoint).table
    wanted = reference["random_cdisc_data"]["landmarks"][label][{"pfs": "pfs", "os": "os_pfsrisk"}[endpoint]]
    assert len(table) == wanted["n"]
    assert table["event"].sum() == wanted["events"]
    assert table["time"].sum() == pytest.approx(wanted["person_months"], rel=1e-8)
    for arm, own in wanted["by_arm"].items():
        changes = -table.loc[table["arm"] == arm, "shrinkage"]
        found = [len(changes), changes.min(), changes.median(), changes.max()]
        names = ("n", "best_pchg_min", "best_pchg_median", "best_pchg_max")
        # sizes lie on a grid of a nanometre
        assert found == pytest.approx([own[name] for name in names], rel=1e-6)


@pytest.mark.parametrize("label", ["day120", "no_limit"])
def test_hazard_ratios_of_the_random_study(label, random_study, reference):
    from lifelines import CoxPHFitter

    time = "no limit" if label == "no_limit" else f"{label.removeprefix('day')}d"
    table = landmark(random_study, [time]).table
    models = reference["random_cdisc_data"]["landmarks"][label]["pfs"]["models"]
    for name, wanted in models.items():
        arm = name.removeprefix("arm_").removesuffix(": shrinkage")
        if name.startswith("arm_"):
            own = table[table["arm"] == arm]
            cox = CoxPHFitter().fit(own[["time", "event", "shrinkage"]], "time", "event")
            (expected,) = wanted["cox_efron"]["coefficients"]
            assert cox.params_["shrinkage"] == pytest.approx(expected["coef"], abs=1e-6)
            assert cox.standard_errors_["shrinkage"] == pytest.approx(expected["se"], rel=1e-4)


def test_the_pharmaverse_study(shared, reference):
    cohort = read_adam(shared / "data" / "adam" / "pharmaverseadam")
    patients = cohort.patients.set_index("patient")
    for who, wanted in reference["pharmaverseadam"]["subjects"].items():
        scans = cohort.scans.query("patient == @who and not baseline")
        until = scans[scans["time"] <= patients.loc[who, "pfs_time"]]
        assert scans["pchg"].min() == pytest.approx(wanted["best_pchg_all"], rel=1e-7)
        assert until["pchg"].min() == pytest.approx(wanted["best_pchg_until_pfs"], rel=1e-7)
        assert patients.loc[who, "arm"] == wanted["arm"]
        for endpoint in ("pfs", "os"):
            days = patients.loc[who, f"{endpoint}_time"] * 30.4375
            assert days == pytest.approx(wanted[f"{endpoint}_aval"])
            assert patients.loc[who, f"{endpoint}_event"] == (wanted[f"{endpoint}_cnsr"] == 0)
    assert {note.code: note.count for note in cohort.notes}["screen-failures"] == 52


@pytest.mark.parametrize("ending", ["xpt", "json", "ndjson"])
def test_the_pilot_study_in_three_formats(ending, shared, reference):
    wanted = reference["cdisc_pilot_adtte"]
    folder = shared / "data" / "adam" / "datasetjson"
    cohort = read_adam(str(folder / f"*.{ending}"), pfs="TTDE", arm="TRTA")
    by_arm = cohort.patients.groupby("arm")["pfs_event"].agg(["size", "sum"])
    assert by_arm["size"].to_dict() == wanted["n_by_arm"]
    assert by_arm["sum"].to_dict() == wanted["events_by_arm"]
    days = (cohort.patients["pfs_time"] * 30.4375).round(6)
    cuts = [0, *wanted["pem_glm"]["cuts_days"], np.inf]
    spent = [np.clip(days, low, high).sum() - low * len(days) for low, high in pairwise(cuts)]
    assert spent == pytest.approx(wanted["pem_glm"]["person_days_per_interval"])
    if ending != "xpt":
        assert cohort == read_adam(str(folder / "*.xpt"), pfs="TTDE", arm="TRTA")


def test_zeros_of_a_transport_file_are_zeros(shared):
    """pandas reads them as 5.4e-79."""
    from bayes_net.tables.reading import read_table
    from bayes_net.tables.values import parsed

    (folder,) = (shared / "cases").glob("96*")
    frame = read_table(folder / "adtr.xpt", "scan").frame
    assert (frame["NEWLES"] == 0).any()
    by_pandas = pd.read_sas(folder / "adtr.xpt")["NEWLES"]
    assert 0 < by_pandas.min() < 1e-70
    assert parsed(by_pandas)[0].isin([0, 1]).all()
