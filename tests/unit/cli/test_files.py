"""The files that an analysis begins with are written once, and can be used as they are."""

import pandas as pd
from command_line import invoke
from small_trial import written

from bayes_net.specification.read import read_specification


def test_init_writes_a_template_that_can_be_read_and_never_overwrites(tmp_path):
    path = tmp_path / "my [analysis].toml"
    code, shown, _ = invoke("init", path)
    assert code == 0
    assert "my [analysis].toml" in shown
    assert read_specification(path).sampling.seed >= 0
    path.write_text("mine")
    code, _, error = invoke("init", path)
    assert code == 2
    assert "exists already" in error
    assert path.read_text() == "mine"


def test_init_of_a_folder_writes_into_it_what_its_tables_say(tmp_path):
    assert invoke("simulate", "--seed", 1, "--out", tmp_path / "trial")[0] == 0
    code, shown, error = invoke("init", tmp_path / "trial")
    assert (code, error) == (0, "")
    assert "unsure" not in shown
    code, shown, error = invoke("check", tmp_path / "trial" / "analysis.toml")
    assert (code, error) == (0, "")
    assert "are usable" in shown
    before = (tmp_path / "trial" / "analysis.toml").read_bytes()
    code, _, error = invoke("init", tmp_path / "trial")
    assert code == 2
    assert "exists already and is left as it is" in error
    assert (tmp_path / "trial" / "analysis.toml").read_bytes() == before


def test_init_of_a_synthesis_writes_its_example_evidence_and_never_overwrites(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke("init", "--synthesis")[0] == 0
    code, shown, _ = invoke("check", "synthesis.toml")
    assert code == 0
    assert "N10" in shown
    (tmp_path / "synthesis.toml").unlink()
    (tmp_path / "evidence.csv").write_text("mine")
    code, _, error = invoke("init", "--synthesis")
    assert code == 2
    assert "evidence.csv exists already" in error
    assert not (tmp_path / "synthesis.toml").exists()


def test_simulated_files_are_labelled_and_can_be_analysed(tmp_path):
    code, shown, _ = invoke("simulate", "--seed", 3, "--out", tmp_path / "made up")
    assert code == 0
    assert "SYNTHETIC" in shown
    files = sorted((tmp_path / "made up").iterdir())
    assert [file.name for file in files] == ["synthetic_patients.csv", "synthetic_scans.csv"]
    assert all(pd.read_csv(file)["synthetic"].all() for file in files)
    path = written(
        tmp_path,
        data={
            "patients": "made up/synthetic_patients.csv",
            "scans": "made up/synthetic_scans.csv",
            "time_unit": "months",
            "arms": ["control", "177Lu-DOTATATE"],
            "exclude_patients": None,
            "patient_columns": {"pfs_time": "pfs_months", "os_time": "os_months"},
            "scan_columns": {"time": "scan_months", "size": "sum_of_diameters_mm"},
        },
        covariates=None,
    )
    code, shown, _ = invoke("check", path)
    assert code == 0
    assert "231 patients (control 114, 177Lu-DOTATATE 117)" in shown
    assert invoke("simulate", "--out", tmp_path)[0] == 2  # a seed has to be given
