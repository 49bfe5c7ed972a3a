"""Scenarios: refits equal to fresh ones, and nothing lost on the way."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import small_trial
from command_line import invoke
from scenario_plans import GRID, NAMED, QUICK, written
from test_synthesis_run import BRIEF
from test_synthesis_run import written as written_pool

import bayes_net as bn
from bayes_net.errors import InputError
from bayes_net.robustness import scenarios
from bayes_net.robustness.scenarios import _fitted, plan, run_scenarios
from bayes_net.schema import AS_SPECIFIED
from bayes_net.workflow.patients import PreparedPatients


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return written(tmp_path_factory.mktemp("trial"), **NAMED, **GRID)


@pytest.fixture(scope="module")
def planned(path):
    return plan(bn.read_specification(path))


@pytest.fixture(scope="module")
def table(planned, tmp_path_factory):
    return run_scenarios(planned, tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("address", ["localhost", "nonsense://x:1", "127.0.0.1:x", "127.0.0.1:1", ""])
def test_an_address_without_a_scheduler_is_refused(tmp_path, path, address):
    scenarios = plan(bn.read_specification(path))
    with pytest.raises(InputError, match="cannot be reached"):
        run_scenarios(scenarios, tmp_path / "store", scheduler=address)


def command(path, out) -> list[str]:
    """The command line of a process of its own that fits the scenarios."""
    program = "from bayes_net.cli.app import app; app()"
    return [sys.executable, "-c", program, "scenarios", str(path), "--out", str(out)]


# --- refits -------------------------------------------------------------------------------------------


def test_the_specification_itself_gives_what_a_run_gives(path, table):
    specification = bn.read_specification(path)
    expected = bn.run(specification).tables["hazard_ratios"]
    own = table[table["scenario"] == AS_SPECIFIED].reset_index(drop=True)
    # a scenario draws nothing of the prior, and its gate looks at less
    columns = [name for name in expected if name not in ("gate", "prior_sd", "contraction")]
    pd.testing.assert_frame_equal(own[columns], expected[columns])
    same = table[table["scenario"] == "hazard_ratio_per_10_points 0.5–2, median_months 2–80"]
    pd.testing.assert_frame_equal(same[columns].reset_index(drop=True), expected[columns])


@pytest.mark.parametrize("kind", ["patients", "synthesis"])
def test_a_scenario_is_the_same_after_another_and_alone(tmp_path, kind):
    if kind == "patients":
        made = plan(bn.read_specification(written(tmp_path, **NAMED)))
    else:
        wide = {"scenarios": [{"name": "wide", "change": {"priors.hazard_ratio_arm": [0.01, 100]}}]}
        made = plan(bn.read_specification(written_pool(tmp_path, **BRIEF, **wide)))
    warm = run_scenarios(made, tmp_path / "warm")
    fresh = run_scenarios(made[1:], tmp_path / "fresh")
    pd.testing.assert_frame_equal(
        warm[warm["scenario"] == made[1].name].reset_index(drop=True), fresh, check_exact=True
    )
    first = warm[warm["scenario"] == AS_SPECIFIED].reset_index(drop=True)
    assert not np.allclose(first["hr"], fresh["hr"])


def test_a_narrow_prior_draws_the_hazard_ratio_to_one(table):
    of = table[(table["estimand"] == "association") & (table["measure"] == "shrinkage, per 10 points")]
    logs = np.log(of.set_index(["scenario", "arm"])["hr"]).unstack("arm").abs()
    narrow = [name for name in logs.index if "0.9–1.11" in name]
    assert len(narrow) == 2
    assert (logs.loc[narrow].max() < logs.loc[AS_SPECIFIED]).all()


def test_processes_side_by_side_give_the_same(path, table, tmp_path):
    subprocess.run([*command(path, tmp_path / "out"), "--jobs", "2"], capture_output=True, check=False)
    found = bn.read_result(tmp_path / "out").tables["scenarios"]
    columns = ["scenario", "endpoint", "measure", "landmark", "arm", "hr", "lower", "upper", "log_sd", "gate"]
    pd.testing.assert_frame_equal(found[columns], table[columns], check_exact=True)


def test_approximated_scenarios_say_so_and_do_not_depend_on_their_order(tmp_path):
    sampling = QUICK["sampling"] | {"draws": 800, "method": "laplace"}
    specification = bn.read_specification(written(tmp_path, sampling=sampling, **NAMED))
    made = plan(specification)
    found = [run_scenarios(order, tmp_path / name) for name, order in (("a", made), ("b", made[::-1]))]
    first, again = (table.sort_values(["scenario", "measure", "estimand", "arm"]) for table in found)
    pd.testing.assert_frame_equal(
        first.reset_index(drop=True), again.reset_index(drop=True), check_exact=True
    )
    assert bn.analyse(bn.prepare(specification)).provenance["method"].startswith("laplace (")


# --- nothing is lost ----------------------------------------------------------------------------------


def test_what_is_stored_is_not_fitted_again(planned, table, tmp_path, monkeypatch):
    run_scenarios(planned[:3], tmp_path)
    assert len(list(tmp_path.glob("*.parquet"))) == 2  # the third repeats the first
    fitted, original = [], _fitted
    monkeypatch.setattr(
        scenarios, "_fitted", lambda name, ready: (fitted.append(name), original(name, ready))[1]
    )
    told = []
    again = run_scenarios(planned, tmp_path, progress=lambda *about: told.append(about))
    assert set(fitted) == {each.name for each in planned[3:]}
    assert [done for _, done, _ in told] == [4, 5, 6]
    pd.testing.assert_frame_equal(again, table, check_exact=True)


def test_other_data_are_fitted_anew(planned, table, tmp_path):
    run_scenarios(planned[:1], tmp_path / "store")
    folder = tmp_path / "moved"
    patients, scans = small_trial.tables(seed=3)
    moved = plan(bn.read_specification(written(folder, trial=(patients, scans), **NAMED)))
    other = run_scenarios(moved[:1], tmp_path / "store")
    assert not np.allclose(other["hr"], table[table["scenario"] == AS_SPECIFIED]["hr"])


def test_one_that_errs_is_shown_and_the_rest_stands(path, tmp_path, monkeypatch):
    original = PreparedPatients.ratios

    def fail(prepared, fits):
        if prepared.plan.priors.hazard_ratio_per_10_points == (0.8, 1.25):
            raise RuntimeError("the chain fell off")
        return original(prepared, fits).assign(gate="passed")

    monkeypatch.setattr(PreparedPatients, "ratios", fail)
    code, _, told = invoke("scenarios", path, "--out", tmp_path / "out")
    assert code == 3
    assert "scenario sceptical: could not be fitted: RuntimeError: the chain fell off" in told
    page = (tmp_path / "out" / "report.html").read_text()
    assert "SOME SCENARIOS FAILED" in page
    assert "the chain fell off" in page
    # the others are kept, and only the one that erred is fitted by --resume
    code, _, told = invoke("scenarios", path, "--out", tmp_path / "out")
    assert code == 2
    assert "--resume" in told
    fitted = []
    monkeypatch.setattr(
        PreparedPatients,
        "ratios",
        lambda ready, fits: (fitted.append(1), original(ready, fits).assign(gate="passed"))[1],
    )
    code, _, _ = invoke("scenarios", path, "--out", tmp_path / "out", "--resume")
    assert (code, len(fitted)) == (0, 1)
    assert not (tmp_path / "out.unfinished").exists()
    assert "SOME SCENARIOS FAILED" not in (tmp_path / "out" / "report.html").read_text()


def test_a_gate_that_failed_is_never_a_silent_row(path, tmp_path):
    code, _, told = invoke("scenarios", path, "--out", tmp_path / "out")
    assert code == 3  # a hundred draws are too few
    assert "scenario as specified: gate failed" in told
    rows = pd.read_csv(tmp_path / "out" / "scenarios.csv")
    assert set(rows["gate"]) == {"failed"}
    assert bn.read_result(tmp_path / "out").kind == "scenarios"
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert not any(small_trial.MARKER.encode() in file.read_bytes() for file in files)  # no patient is named
    before = (tmp_path / "out" / "report.html").read_bytes()
    assert invoke("report", tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "report.html").read_bytes() == before


def test_a_killed_grid_goes_on_where_it_stood(path, table, tmp_path):
    store = tmp_path / "out.unfinished"
    process = subprocess.Popen(
        command(path, tmp_path / "out"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and len(list(store.glob("*.parquet"))) < 2:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {file.name: file.stat().st_mtime_ns for file in store.glob("*.parquet")}
    assert 2 <= len(kept) < 5
    assert os.listdir(tmp_path) == ["out.unfinished"]
    assert invoke("scenarios", path, "--out", tmp_path / "out", "--resume")[0] == 3
    found = bn.read_result(tmp_path / "out").tables["scenarios"]
    pd.testing.assert_frame_equal(found[["scenario", "hr", "lower"]], table[["scenario", "hr", "lower"]])


# --- a cluster ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same(planned, table, tmp_path):
    """A scheduler and two workers as processes of their own on loopback; one is killed midway."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    start += ["--no-dashboard", "--scheduler-file", str(tmp_path / "scheduler.json")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(start, **quiet)]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard"]
    worker += ["--scheduler-file", str(tmp_path / "scheduler.json"), "--local-directory", str(tmp_path)]
    try:
        while not (tmp_path / "scheduler.json").exists():
            time.sleep(0.1)
        running += [subprocess.Popen(worker, **quiet) for _ in range(2)]
        address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
        killed = []

        def kill_one(*_):
            if not killed:
                running[1].kill()
                killed.append(running[1].wait())

        found = run_scenarios(planned, tmp_path / "store", scheduler=address, progress=kill_one)
        assert killed
        # workers compile as the package does, this process as the tests that imported PyTensor first do
        pd.testing.assert_frame_equal(found, table, rtol=1e-6)
    finally:
        for each in reversed(running):
            each.kill()
            each.wait()
    assert multiprocessing.active_children() == []
