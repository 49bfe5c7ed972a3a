"""Scans of which the category of response alone is known: a use of its own, from a table and from ADaM."""

import adam_files
import numpy as np
import pandas as pd
import pytest
import tomli_w
from command_line import invoke

import bayes_net as bn
from bayes_net.errors import CohortError, InputError
from bayes_net.tables.notes import is_progression

pytestmark = pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")


@pytest.fixture(scope="module")
def sized():
    return bn.simulate_cohort(seed=4)


@pytest.fixture(scope="module")
def tables(sized):
    """Patients, and scans of the sized cohort with the category that RECIST makes of each."""
    scans = sized.scans[~sized.scans["baseline"]]
    named = [is_progression(scans), scans["pchg"] <= -99.9, scans["pchg"] <= -30]
    response = np.select(named, ["PD", "CR", "PR"], "SD")
    return sized.patients, scans[["patient", "time"]].assign(response=response)


def test_response_is_that_of_the_sizes(sized, tables):
    cohort = bn.read_cohort(*tables, time_unit="months", arms=sized.arms)
    assert not cohort.sized
    (note,) = [note for note in cohort.notes if note.code == "responses-alone"]
    assert note.count == len(tables[1])
    assert "responses without sizes" in cohort._repr_html_()
    times = ["150d", "48w", "no limit"]
    found, wanted = (bn.landmark(c, times, intention_to_treat=True) for c in (cohort, sized))
    for label in ("150 d", "48 w", "no limit"):
        one, other = (
            bn.expose(each, label, cuts=[6.0], measure=bn.Response(30.0)) for each in (found, wanted)
        )
        assert one.score.tolist() == other.score.tolist()
        assert 0 < one.score.sum() < one.n
        assert one.time.tolist() == other.time.tolist()


@pytest.mark.parametrize("measure", [bn.Shrinkage(), bn.Response(20.0)])
def test_what_categories_do_not_say_is_refused(tables, measure):
    sets = bn.landmark(bn.read_cohort(*tables, time_unit="months"), ["150d"])
    with pytest.raises(InputError, match="responses and no sizes"):
        bn.expose(sets, "150 d", cuts=[6.0], measure=measure)


def test_best_response_of_progression_leaves_and_what_was_not_evaluable_says_nothing():
    patients = {"patient": list("abcd"), "arm": ["A"] * 4, "pfs_time": [400] * 4, "pfs_event": [1] * 4}
    scans = {
        "patient": list("aabbcd"),
        "time": [50, 90] * 3,
        "response": ["SD", "PR", "PD", "PD", "NE", "NON-CR/NON-PD"],
    }
    cohort = bn.read_cohort(pd.DataFrame(patients), pd.DataFrame(scans), time_unit="days")
    sets = bn.landmark(cohort, ["150d"])
    assert sets.table.set_index("patient")["shrinkage"].to_dict() == {"a": 30.0, "d": 0.0}
    left = sets.attrition.set_index("reason")["n"]
    assert left["best response is progression"] == 1
    assert left["no post-baseline scan by the landmark"] == 1


def test_a_table_of_neither_sizes_nor_responses_is_refused(tables):
    with pytest.raises(CohortError, match="neither size nor pchg, and no response, among"):
        bn.read_cohort(tables[0], tables[1][["patient", "time"]], time_unit="months")


def test_adrs_without_adtr_is_read_and_written(tmp_path):
    study = adam_files.study()
    who = study["adsl"]["USUBJID"].iloc[:3]
    adrs = pd.DataFrame({"USUBJID": who, "PARAMCD": "OVRLRESP", "PARAM": "Overall Response by Investigator"})
    adrs = adrs.assign(ADY=[57, 58, 56], AVALC=["PR", "SD", "NE"])
    cohort = bn.read_adam({"adsl": study["adsl"], "adtte": study["adtte"], "adrs": adrs})
    assert not cohort.sized
    assert cohort.scans["response"].tolist() == ["PR", "SD", "NE"]
    bn.write_adam(cohort, tmp_path)
    assert bn.read_adam(tmp_path) == cohort


def test_a_run_speaks_of_response(tmp_path, tables):
    for name, table in zip(("patients", "scans"), tables, strict=True):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    code, _, error = invoke("init", tmp_path)
    assert (code, error) == (0, "")
    spec = {
        "title": "Responses",
        "data": {"patients": "patients.csv", "scans": "scans.csv", "time_unit": "months"},
        "landmarks": {"times": ["150d"], "endpoints": ["pfs"]},
        "baseline": {"cuts": ["6mo"]},
        "sampling": {"seed": 1},
    }
    path = tmp_path / "spec.toml"
    path.write_text(tomli_w.dumps(spec))
    code, _, error = invoke("check", path)
    assert code == 2
    assert "expected [30], which CR and PR reach" in " ".join(error.split())
    spec["landmarks"]["thresholds"] = [30]
    path.write_text(tomli_w.dumps(spec))
    code, shown, error = invoke("run", path, "--out", tmp_path / "found")
    assert (code, error) == (0, "")
    assert "Does response >= 30 % by a landmark go with longer PFS?" in " ".join(shown.split())
    page = (tmp_path / "found" / "report.html").read_text("utf-8")
    assert "sizes were not given" in page
    assert "per 10 points" not in page.split("What the words mean")[0]
