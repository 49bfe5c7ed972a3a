"""A real trial end to end by the command line, on a machine without a C++ compiler: FFCD 2000-05."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SPECIFICATION = Path(__file__).with_name("ffcd_pfs_os.toml")
LANDMARKS = {"day122": "122 d", "no_limit": "no limit"}
SETS = {"pfs": "pfs", "os_pfsrisk": "os"}
TABLES = ("ffcd_patients.csv", "ffcd_tumour.csv")
TOOLS = ("uname", "ldconfig", "sh", "bash", "env", "which", "file")
"""What libraries call besides compilers."""


def linked(shared, folder: Path, text: str) -> Path:
    for name in TABLES:
        (folder / name).symlink_to(shared / "data" / "ffcd" / name)
    path = folder / SPECIFICATION.name
    path.write_text(text, encoding="utf-8")
    return path


def bayes_net(*arguments, cwd, **environment) -> subprocess.CompletedProcess:
    program = "import sys; from bayes_net.cli.app import app; app(sys.argv[1:])"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def without_compilers(folder: Path) -> str:
    """A PATH with a few tools and no compiler."""
    folder.mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    assert not any(shutil.which(name, path=folder) for name in ("g++", "gcc", "c++", "cc", "clang"))
    return str(folder)


@pytest.fixture(scope="module")
def run(shared, tmp_path_factory):
    """The finished process and its folder of results."""
    folder = tmp_path_factory.mktemp("ffcd")
    path = linked(shared, folder, SPECIFICATION.read_text(encoding="utf-8"))
    tools = without_compilers(folder / "tools")
    return bayes_net("run", path, "--out", folder / "out", cwd=folder, PATH=tools), folder / "out"


@pytest.fixture(scope="module")
def rows(run):
    table = pd.read_csv(run[1] / "hazard_ratios.csv")
    own = (table["estimand"] == "association") & (table["measure"] == "shrinkage, per 10 points")
    return table[own].set_index(["endpoint", "landmark", "arm"])


@pytest.fixture(scope="module")
def reference(shared):
    return json.loads((shared / "reference" / "ffcd_landmark_reference.json").read_text())["landmarks"]


def test_a_scan_after_death_is_refused_before_any_sampling(shared, tmp_path):
    text = "\n".join(
        line for line in SPECIFICATION.read_text(encoding="utf-8").splitlines() if "after_death" not in line
    )
    path = linked(shared, tmp_path, text)
    done = bayes_net("run", path, "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "row 610 (patient 101: scan at 534 days, death at 419 days)" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_the_run_passes_its_gate_and_says_nothing_but_its_results(run):
    done, out = run
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 scan after death, dropped" in done.stdout
    assert "go with longer PFS or OS" in " ".join(done.stdout.split())
    assert f"Report: {out / 'report.html'}" in done.stdout
    assert json.loads((out / "manifest.json").read_text())["gate"] == "passed"


def test_every_landmark_and_arm_of_both_endpoints_is_there(rows):
    labels = ["122 d", "183 d", "274 d", "365 d", "no limit", "any time"]
    expected = {(endpoint, label, arm) for endpoint in ("pfs", "os") for label in labels for arm in "SC"}
    assert set(rows.index) == expected
    assert len(rows) == len(expected)
    assert set(rows.index[rows["biased"]].get_level_values("landmark")) == {"no limit"}


@pytest.mark.parametrize("arm", ["S", "C"])
@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("when", LANDMARKS)
def test_hazard_ratios_lie_near_cox(rows, reference, when, which, arm):
    """Two things part them. The reference itself has the difference between Cox and the piecewise-constant
    likelihood of these intervals. The priors do the rest: a slope of N(0, 0.5) and hazards of N(log 0.05, 2)
    hold little against 34 and more events, so that half a posterior standard deviation is ample. That the
    posterior is exactly right is tested elsewhere, against quadrature.
    """
    row = rows.loc[SETS[which], LANDMARKS[when], arm]
    model = reference[when][which]["models"][f"arm_{arm}: shrinkage"]
    cox, piecewise = (10 * model[kind]["coefficients"][0]["coef"] for kind in ("cox_efron", "pem_glm"))
    assert (row["n"], row["events"]) == (model["n"], model["events"])
    assert abs(row["log_mean"] - cox) < abs(piecewise - cox) + 0.5 * row["log_sd"]
    assert row["log_sd"] == pytest.approx(10 * model["cox_efron"]["coefficients"][0]["se"], rel=0.15)
    assert row["lower"] < row["hr"] < row["upper"]


def test_the_flow_of_patients_ends_with_those_analysed(run, rows):
    flow = pd.read_csv(run[1] / "attrition.csv")
    analysed = flow[flow["reason"] == "analysed"].set_index(["endpoint", "landmark", "arm"])["n"]
    assert analysed.sort_index().equals(rows["n"].sort_index())
    everyone = flow[flow["reason"] == "all patients"].groupby(["endpoint", "landmark"])["n"].sum()
    assert set(everyone) == {150}
