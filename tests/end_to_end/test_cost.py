"""What whole runs cost besides time, which machines differ in: steps of the sampler, and what is compiled."""

import json
import os
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import small_trial
import tomli_w
import xarray as xr
from command_line import invoke

RUNS = """
import json, sys
from numba.core import event
from bayes_net.cli.app import app

compiled, codes = [], []
for command in json.loads(sys.argv[1]):
    with event.install_recorder("numba:compile") as recorder:
        try:
            app(command)
        except SystemExit as end:
            codes.append(end.code)
    compiled.append(sum(what.is_start for _, what in recorder.buffer))
heavy = sorted({"pymc", "pytensor"} & set(sys.modules))
print("END", json.dumps({"compiled": compiled, "codes": codes, "heavy": heavy}))
"""
COMPILED = 71
"""Functions that numba compiles in a first run, of either line; a few more or less of them are its own."""
STEPS = {"patients": 6.4, "synthesis": 18.1}
"""Leapfrog steps of a draw after tuning, on average over the chains of the runs below."""
MARGIN = 0.2
"""Versions of nutpie and of numpy's random numbers move the steps by less, between stacks as well."""


def commands(folder) -> list[list[str]]:
    """A run of each line, and a scenario."""
    trial = small_trial.written(
        folder, sampling={"seed": 5, "draws": 250, "tune": 250, "retry": False},
        scenarios=[{"name": "wider", "change": {"priors.hazard_ratio_per_10_points": [0.2, 5.0]}}],
    )  # fmt: skip
    path = folder / "synthesis.toml"
    invoke("init", path, "--synthesis")
    plan = tomllib.loads(path.read_text("utf-8"))
    plan["sampling"] = {"seed": 5, "draws": 250, "tune": 250, "retry": False}
    plan.pop("scenarios", None)
    path.write_text(tomli_w.dumps(plan), "utf-8")
    return [
        ["run", str(trial), "--out", str(folder / "patients")],
        ["run", str(path), "--out", str(folder / "synthesis")],
        ["scenarios", str(trial), "--only", "wider", "--out", str(folder / "scenarios")],
    ]


def run(asked, cache) -> dict:
    """What a process of its own tells of these commands."""
    done = subprocess.run(
        [sys.executable, "-c", RUNS, json.dumps(asked)],
        env=os.environ | {"BAYES_NET_CACHE": str(cache)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.rpartition("END ")[2])


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cost")
    asked = commands(folder)
    again = [*asked[0][:-1], str(folder / "again")]
    return folder, run(asked, folder / "cache"), run([again], folder / "cache")


def test_a_first_run_compiles_a_few_functions_and_no_other_run_any(told):
    _, first, later = told
    assert first["compiled"] == [pytest.approx(COMPILED, abs=4), 0, 0]
    assert later["compiled"] == [0]


def test_code_that_is_read_from_its_folder_draws_what_it_drew_when_it_was_compiled(told):
    first, again = (
        xr.open_datatree(told[0] / name / "posterior.nc", engine="h5netcdf") for name in ("patients", "again")
    )
    fits = [name for name in first.children if "posterior" in first[name].children]
    assert fits
    for name in fits:
        xr.testing.assert_equal(first[name]["posterior"].to_dataset(), again[name]["posterior"].to_dataset())


def test_no_run_of_either_line_and_no_scenario_imports_pymc(told):
    _, first, _ = told
    assert first["heavy"] == []
    assert set(first["codes"]) <= {0, 3}
    assert len(first["codes"]) == 3


@pytest.mark.parametrize("line", STEPS)
def test_a_draw_takes_as_many_steps_as_ever(told, line):
    tree = xr.open_datatree(told[0] / line / "posterior.nc", engine="h5netcdf")
    steps = [node["n_steps"].mean() for node in tree.subtree if "n_steps" in node]
    assert np.mean(steps) == pytest.approx(STEPS[line], rel=MARGIN)
