"""Scenarios: validated before the first fit, refits equal to fresh ones, and nothing lost on the way."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import tomllib

import numpy as np
import pandas as pd
import pytest
import small_trial
import tomli_w
from test_cli import invoke
from test_synthesis_run import BRIEF
from test_synthesis_run import written as written_pool

import bayes_net as bn
from bayes_net.errors import InputError, SpecificationError
from bayes_net.figures.scenarios import draw_scenarios, heat_map, specification_curve, tornado
from bayes_net.report.scenarios import answer
from bayes_net.results.columns import hazard_ratio_columns
from bayes_net.results.scenarios import summary, summary_table, troubles
from bayes_net.robustness import scenarios
from bayes_net.robustness.scenarios import _fitted, _prepare_all, plan, run_scenarios
from bayes_net.schema import AS_SPECIFIED, PREDICTED, SAID
from bayes_net.workflow import loading as preparation
from bayes_net.workflow.patients import PreparedPatients

SLOPE = "priors.hazard_ratio_per_10_points"
QUICK = small_trial.QUICK | {"landmarks": {"times": ["120d"], "thresholds": None}}
NAMED = {"scenarios": [{"name": "sceptical", "change": {SLOPE: [0.8, 1.25]}}]}
GRID = {"grid": {SLOPE: [[0.5, 2.0], [0.9, 1.11]], "priors.median_months": [[2, 80], [4, 40]]}}


def written(folder, **changes):
    """The small trial's specification with brief chains and these scenarios."""
    path = small_trial.written(
        folder, **(QUICK | {k: v for k, v in changes.items() if k not in ("scenarios", "grid")})
    )
    extra = {k: v for k, v in changes.items() if k in ("scenarios", "grid")}
    path.write_text(tomli_w.dumps(tomllib.loads(path.read_text()) | extra))
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return written(tmp_path_factory.mktemp("trial"), **NAMED, **GRID)


@pytest.fixture(scope="module")
def planned(path):
    return plan(bn.read_specification(path))


@pytest.fixture(scope="module")
def table(planned, tmp_path_factory):
    return run_scenarios(planned, tmp_path_factory.mktemp("store"))


# --- the plan -----------------------------------------------------------------------------------------


def test_the_plan_is_the_specification_its_changes_and_every_combination(planned):
    assert [each.name for each in planned] == [
        AS_SPECIFIED,
        "sceptical",
        "hazard_ratio_per_10_points 0.5–2, median_months 2–80",
        "hazard_ratio_per_10_points 0.5–2, median_months 4–40",
        "hazard_ratio_per_10_points 0.9–1.11, median_months 2–80",
        "hazard_ratio_per_10_points 0.9–1.11, median_months 4–40",
    ]
    assert planned[1].specification.priors.hazard_ratio_per_10_points == (0.8, 1.25)
    assert planned[-1].specification.priors.median_months == (4, 40)
    assert all(not each.specification.scenarios and not each.specification.grid for each in planned)
    # what repeats the specification's own values is the same analysis
    assert planned[2].specification.priors == planned[0].specification.priors


def test_only_keeps_the_named_and_the_specification_itself(path):
    specification = bn.read_specification(path)
    assert [s.name for s in plan(specification, only=["sceptical"])] == [AS_SPECIFIED, "sceptical"]
    with pytest.raises(SpecificationError, match="no scenario optimistic; there are as specified, sceptical"):
        plan(specification, only=["optimistic"])


def test_a_seed_from_the_command_line_holds_in_every_scenario(path):
    made = plan(bn.read_specification(path).with_seed(77))
    assert {each.specification.sampling.seed for each in made} == {77}


def test_entries_of_lists_of_tables_are_counted_from_one(tmp_path):
    change = {"covariates.1.levels": ["G2", "G1"]}
    made = plan(bn.read_specification(written(tmp_path, scenarios=[{"name": "turned", "change": change}])))
    assert made[1].specification.covariates[0].levels == ("G2", "G1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "has no scenarios"),
        ({"scenarios": [NAMED["scenarios"][0]] * 2}, "sceptical come twice"),
        (
            {"scenarios": [{"name": "x", "change": {"priors.hazrd": 1}}]},
            r"(?s)scenario 'x'.*priors.hazrd: unknown key",
        ),
        ({"scenarios": [{"name": "x", "change": {"baseline.cuts.pfs.x": 1}}]}, "x"),
        (
            {"scenarios": [{"name": "x", "change": {"covariates.2.name": "a"}}]},
            "'2' is no entry; expected 1 to 1",
        ),
        ({"scenarios": [{"name": "x", "change": {"covariates": 3}}]}, r"(?s)scenario 'x'.*covariates"),
        ({"scenarios": [{"name": "x", "change": {}}]}, "change: expected at least one entry"),
        ({"scenarios": {"name": "x"}}, "with double brackets"),
        ({"grid": {SLOPE: []}}, "expected at least one entry"),
        ({"grid": {f"priors.{i}": list(range(1000)) for i in range(4)}}, "the grid has 1e.12 scenarios"),
        ({"scenarios": [{"name": "x", "change": {"covariates.².name": "a"}}]}, "'²' is no entry"),
    ],
)
def test_what_cannot_be_planned_is_refused(tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        plan(bn.read_specification(written(tmp_path, **changes)))


@pytest.mark.parametrize("address", ["localhost", "nonsense://x:1", "127.0.0.1:x", "127.0.0.1:1", ""])
def test_an_address_without_a_scheduler_is_refused(tmp_path, path, address):
    scenarios = plan(bn.read_specification(path))
    with pytest.raises(InputError, match="cannot be reached"):
        run_scenarios(scenarios, tmp_path / "store", scheduler=address)


def test_every_problem_is_told_at_once_and_before_the_first_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(scenarios, "_fitted", None)
    bad = [
        {"name": "a", "change": {SLOPE: [2.0, 0.5]}},
        {"name": "b", "change": {"sampling.draws": -1}},
    ]
    with pytest.raises(SpecificationError, match=r"(?s)scenario 'a'.*scenario 'b'"):
        plan(bn.read_specification(written(tmp_path, scenarios=bad)))
    late = [{"name": "late", "change": {"landmarks.times": ["20y"]}}]
    made = plan(bn.read_specification(written(tmp_path, scenarios=late)))
    with pytest.raises(InputError, match="scenario 'late'"):
        run_scenarios(made, tmp_path / "store")


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


def test_processes_side_by_side_give_the_same(path, tmp_path):
    """By the command, in processes in which nothing but the package decides how PyTensor compiles."""
    found = []
    for jobs in ("1", "2"):
        subprocess.run([*command(path, tmp_path / jobs), "--jobs", jobs], capture_output=True, check=False)
        found.append(bn.read_result(tmp_path / jobs).tables["scenarios"])
    pd.testing.assert_frame_equal(*found, check_exact=True)


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


# --- what they say together ---------------------------------------------------------------------------


def invented(**changes) -> pd.DataFrame:
    """Three scenarios of two hazard ratios; the second flips the first arm's conclusion."""
    rows = []
    for name, hr, prob in ((AS_SPECIFIED, 0.7, 0.97), ("a", 1.2, 0.3), ("b", 0.6, 0.96)):
        for arm, shift in (("A", 1.0), ("B", 1.5)):
            rows.append((name, arm, hr * shift, prob if arm == "A" else 0.5))
    table = pd.DataFrame(rows, columns=["scenario", "arm", "hr", "prob_below_1"])
    table["lower"], table["upper"] = table["hr"] / 1.4, table["hr"] * 1.4
    common = {"endpoint": "pfs", "measure": "shrinkage, per 10 points", "landmark": "150 d", "mcse_hr": 0.002}
    table = table.assign(**(common | {"gate": "passed", "error": "", "estimand": "association"} | changes))
    own = [name for name in ("scenario", "error", "synthetic") if name in table]
    return hazard_ratio_columns(table, more=own)


CHANGES = pd.DataFrame(
    [("a", "p.x", "1"), ("a", "p.y", "1"), ("b", "p.x", "2"), ("b", "p.y", "1")],
    columns=["scenario", "key", "value"],
)


def test_the_summary_has_the_range_and_counts_other_conclusions():
    found = summary(invented()).set_index("arm")
    assert list(found.loc["A", ["hr", "lowest", "highest", "lowest_in", "highest_in"]]) == [
        0.7,
        0.6,
        1.2,
        "b",
        "a",
    ]
    assert (found.loc["A", "lowest_prob"], found.loc["A", "highest_prob"]) == (0.3, 0.97)
    assert (found.loc["A", "other_conclusion"], found.loc["B", "other_conclusion"]) == (1, 0)
    text = summary_table(summary(invented()), label="95 % CrI")
    assert text["Other conclusion"].tolist() == ["1 of 3", "0 of 3"]
    assert text["Medians of scenarios"][0] == "0.60 (b) to 1.20 (a)"


def test_failed_scenarios_are_left_out_of_the_summary_and_named():
    table = invented()
    table.loc[table["scenario"] == "a", "gate"] = "failed"
    assert summary(table)["scenarios"].tolist() == [2, 2]
    assert summary(table)["highest_in"].tolist() == [AS_SPECIFIED] * 2
    assert troubles(table)["Scenario"].tolist() == ["a"]
    said = answer({"summary": summary(table), "scenarios": table})
    assert said[-1] == "Without a usable result for some or all hazard ratios: 1 scenario."
    table.loc[table["scenario"] == AS_SPECIFIED, "gate"] = "failed"
    assert summary(table)["other_conclusion"].isna().all()
    assert "Nothing can be compared" in answer({"summary": summary(table), "scenarios": table})[1]


@pytest.mark.parametrize(
    "undrawn",
    [
        {"biased": True},
        {"contraction": 0.05},
        {"estimand": "interaction"},
        {"status": SAID},
        {"status": PREDICTED},
    ],
)
def test_what_a_report_does_not_put_into_words_is_no_conclusion_that_changes(undrawn):
    table = invented().astype({"biased": bool})
    for name, value in undrawn.items():
        table.loc[table["arm"] == "A", name] = value
    found = summary(table).set_index("arm")["other_conclusion"]
    assert found.isna().to_dict() == {"A": True, "B": False}
    assert (
        "None of the 1 verbal conclusions changes"
        in answer({"summary": summary(table), "scenarios": table})[1]
    )


def test_where_nothing_is_put_into_words_the_rest_is_still_said():
    table = invented().assign(contraction=0.05)
    said = answer({"summary": summary(table), "scenarios": table})
    assert said[1] == "No conclusion can change: no hazard ratio as specified is put into words."


def test_the_answer_says_whether_a_conclusion_changes():
    assert (
        "1 of 2 verbal conclusions change"
        in answer({"summary": summary(invented()), "scenarios": invented()})[1]
    )
    calm = invented(prob_below_1=0.97)
    assert (
        "None of the 2 verbal conclusions changes" in answer({"summary": summary(calm), "scenarios": calm})[1]
    )


def test_the_figures_draw_every_scenario():
    above, below = specification_curve(invented(), CHANGES)
    assert len([line for line in above.lines if line.get_gid() == "hr"]) == 6
    assert [text.get_text() for text in below.get_yticklabels()] == ["x: 1", "x: 2", "y: 1"]
    own = invented()[lambda t: t["arm"] == "A"]
    bars = [line.get_xdata() for line in tornado(own).lines if line.get_gid() == "bar"]
    np.testing.assert_allclose(bars, [[0.7, 1.2], [0.7, 0.6]])
    cells = pd.DataFrame([[0.8, np.nan], [1.2, 1.0]], index=["a", "b"], columns=["c", "d"])
    drawn = [text.get_text() for text in heat_map(cells).texts if text.get_gid() == "cell"]
    assert drawn == ["0.80", "–", "1.20", "1.00"]
    names = [name for name, *_ in draw_scenarios(invented(), CHANGES)]
    assert names == ["specification_curve_pfs", "heat_map_pfs_1", "heat_map_pfs_2"]
    single = CHANGES[CHANGES["key"] == "p.x"]
    assert "tornado_pfs_1" in [name for name, *_ in draw_scenarios(invented(), single)]


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


def test_scenarios_of_the_same_patients_read_them_once_and_others_their_own(tmp_path, monkeypatch):
    first = small_trial.tables()[0]["patient"][0]
    path = small_trial.written(
        tmp_path,
        scenarios=[
            {"name": "narrow", "change": {"priors.hazard_ratio_per_10_points": [0.9, 1.11]}},
            {"name": "one less", "change": {"data.exclude_patients": [first]}},
        ],
    )
    read, original = [], preparation._read
    monkeypatch.setattr(preparation, "_read", lambda *a: read.append(a) or original(*a))
    made = _prepare_all(plan(bn.read_specification(path)))
    assert len(read) == 2
    assert [len(each.cohort.patients) for each in made] == [138, 138, 139]  # the specification leaves two out
    assert made[0].cohort is made[1].cohort
