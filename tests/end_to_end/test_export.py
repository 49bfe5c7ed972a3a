"""Patients of a specification, and synthetic ones, as ADaM data sets on the command line."""

import re
import tomllib

import pandas as pd
import pytest
import small_trial
import tomli_w
from command_line import invoke

import bayes_net as bn
from bayes_net.specification.shipped import find_specification


@pytest.mark.parametrize(("kind", "ending"), [("parquet", ".parquet"), ("dataset-json", ".json")])
def test_synthetic_patients_are_written_and_stay_so(tmp_path, kind, ending):
    out = tmp_path / "made up"
    code, shown, error = invoke("simulate", "--seed", 3, "--out", out, "--format", kind)
    assert (code, error) == (0, "")
    assert "SYNTHETIC data" in shown
    assert sorted(path.name for path in out.iterdir()) == [
        f"synthetic_{name}{ending}" for name in ("adrs", "adsl", "adtr", "adtte")
    ]
    assert bn.read_adam(out) == bn.simulate_cohort(seed=3)
    code, _, error = invoke("simulate", "--seed", 4, "--out", out, "--format", kind)
    assert code == 2
    assert "left as they are" in error
    assert bn.read_adam(out) == bn.simulate_cohort(seed=3)


def test_patients_of_a_specification_are_written_and_analysed_from_there(tmp_path):
    code, shown, error = invoke("export", "netter1_synthetic", "--out", tmp_path / "adam")
    assert (code, error) == (0, "")
    assert "SYNTHETIC data" in shown
    spec = tomllib.loads(find_specification("netter1_synthetic").read_text("utf-8"))
    (tmp_path / "two.toml").write_text(tomli_w.dumps(spec | {"data": {"adam": "adam"}}))
    code, shown, error = invoke("check", tmp_path / "two.toml")
    assert (code, error) == (0, "")
    assert "<synthetic cohort: 231 patients" in shown


def test_the_report_has_a_table_of_where_each_field_comes_from(tmp_path):
    path = small_trial.written(tmp_path, sampling={"seed": 5, "draws": 250, "tune": 250, "retry": False})
    code, _, error = invoke("export", path, "--out", tmp_path / "adam")
    assert (code, error) == (0, "")
    (adsl,) = (tmp_path / "adam").glob("*adsl.parquet")
    pd.read_parquet(adsl).drop(columns="COHORTFL").to_parquet(adsl)  # then it is any sponsor's
    spec = tomllib.loads(path.read_text("utf-8"))
    path.write_text(tomli_w.dumps(spec | {"data": {"adam": "adam"}}))
    code, _, _ = invoke("run", path, "--out", tmp_path / "found")
    assert code in (0, 3)
    page = next(tmp_path.glob("found*/report.html")).read_text("utf-8")
    table = page[page.index("Where each field of the patients comes from") :].partition("</table>")[0]
    cells = re.sub(r"\s*<[^>]*>\s*", "|", table)
    for field in ("pfs_time", "adtte.parquet", "AVAL, PARAMCD PFS", "days by AVALU", "PARAMCD SUMDIAM"):
        assert field in cells
    assert page.index("Where each field") > page.index('<section id="provenance"')
    assert "read from ADaM" not in page


def test_a_synthesis_has_no_patients_of_its_own(tmp_path):
    code, _, error = invoke("export", "prrt_pooled", "--out", tmp_path / "adam")
    assert code == 2
    assert "is a synthesis; expected one of patients" in error
    assert not (tmp_path / "adam").exists()
