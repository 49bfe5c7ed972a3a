"""What a run writes: complete, true to its draws, without a trace of any patient."""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.parse
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import small_trial
import xarray as xr
from small_trial import MARKER, tables, written
from typer.testing import CliRunner

import bayes_net as bn
from bayes_net.errors import InputError, ReportWarning
from bayes_net.estimands.ratios import arm_hazard_ratio, covariate_hazard_ratio, hazard_ratio, interaction
from bayes_net.estimands.survival import median_survival, rmst, survival
from bayes_net.report.patients import SECTIONS
from bayes_net.results.columns import HAZARD_RATIO_BOUNDS
from bayes_net.specification.read import read_specification
from bayes_net.specification.shipped import shipped_models
from bayes_net.workflow.analysis import prepare
from bayes_net.workflow.describe import model_in_words
from bayes_net.workflow.write import rebuild_report, run, write

RUN_AND_TELL = """
import sys
from bayes_net.inference import sampling
original = sampling.nutpie.sample
def telling(*args, **kwargs):
    print("sampling", flush=True)
    return original(*args, **kwargs)
sampling.nutpie.sample = telling
from bayes_net.cli.app import app
app(["run", sys.argv[1], "--out", sys.argv[2]])
"""


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Analysis, folder of results and progress of the small trial's run."""
    return small_trial.finished(tmp_path_factory.getbasetemp() / "small trial")


@pytest.fixture(scope="session")
def out(finished):
    return finished[1]


@pytest.fixture(scope="session")
def tree(out):
    with xr.open_datatree(out / "posterior.nc", engine="h5netcdf") as opened:
        return opened.load()


def hashes(folder) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def table(out, name) -> pd.DataFrame:
    return pd.read_csv(out / f"{name}.csv")


def test_all_files_are_there_and_the_manifest_tells_their_hashes(finished, out):
    manifest = json.loads((out / "manifest.json").read_text())
    found = hashes(out)
    del found["manifest.json"]
    assert manifest["files"] == found
    named = {
        "hazard_ratios.csv",
        "survival.csv",
        "attrition.csv",
        "diagnostics.csv",
        "loo.csv",
        "priors.csv",
        "sampling.csv",
        "predictive_check.csv",
        "power_scaling.csv",
        "prior_conflict.csv",
        "tipping_points.csv",
        "influence.csv",
        "content.json",
        "posterior.nc",
    }
    assert named | {"report.html", "specification.toml"} <= set(found)
    drawn = {name.split(".")[0] for name in found if name.startswith("figures/")}
    assert drawn == {
        f"figures/{name}"
        for name in (
            "attrition_pfs",
            "baseline_hazard_pfs",
            "forest_pfs_response_30",
            "forest_pfs_shrinkage",
            "overview",
            "ppc_pfs",
            "prior_posterior_pfs",
            "survival_pfs",
            "survival_pfs_response_30",
        )
    }
    assert all(f"{stem}.{kind}" in found for stem in drawn for kind in ("svg", "png"))
    analysis = finished[0]
    assert manifest["gate"] == "passed" if analysis.passed else "failed"
    assert manifest["specification_sha256"] == analysis.prepared.plan.digest
    assert manifest["data_sha256"] == analysis.prepared.cohort.digest
    assert manifest["seed"] == "5"
    assert manifest["version bayes-net"]


def test_the_small_trial_passes_its_gate(finished):
    """Else half of what is tested here would be about marked results."""
    analysis = finished[0]
    assert analysis.passed, analysis.gate[~analysis.gate["passed"]]


def test_progress_is_told_fit_by_fit(finished):
    analysis, _, told = finished
    assert [(label, done) for label, done, _ in told] == [
        (label, i) for i, label in enumerate([*(f.job.label for f in analysis.fits), "tables"])
    ]
    assert {total for *_, total in told} == {4}


def test_hazard_ratios_can_be_computed_anew_from_the_posterior(out, tree):
    rows = table(out, "hazard_ratios")
    assert tree.attrs["gate"] == "passed"
    seen = 0
    for name, fit in tree.children.items():
        shrinkage = name == "pfs_shrinkage"
        wanted = {"shrinkage, per 10 points": 10, "shrinkage, per 1 point": 1} if shrinkage else {}
        for measure, per in (wanted or {"response, >= 30 %": 10}).items():
            for estimand, ratios in (
                ("association", hazard_ratio(fit, per=per)),
                ("interaction", interaction(fit, per=per)),
            ):
                seen += compare(rows, measure, estimand, ratios)
        at = "at size unchanged" if shrinkage else "without response, >= 30 %"
        seen += compare(rows, at, "arm", arm_hazard_ratio(fit).isel(shrinkage=0, drop=True))
        ratios = covariate_hazard_ratio(fit).rename(covariate="arm")
        seen += compare(rows, next(iter(wanted), "response, >= 30 %"), "covariate", ratios)
    assert seen == len(rows)


def compare(rows, measure, estimand, ratios) -> int:
    """Every printed number of these rows against the draws; returns how many rows there were."""
    own = rows[(rows["measure"] == measure) & (rows["estimand"] == estimand)]
    for row in own.itertuples():
        x = ratios.sel(landmark=row.landmark, arm=row.arm).values
        expected = [np.median(x), *np.quantile(x, [0.025, 0.975]), np.log(x).mean(), np.log(x).std(ddof=1)]
        np.testing.assert_allclose(
            [row.hr, row.lower, row.upper, row.log_mean, row.log_sd], expected, rtol=1e-9
        )
        for name, (above, below) in HAZARD_RATIO_BOUNDS.items():
            told = own.loc[row.Index, name]
            assert told == pytest.approx(((x > above) & (x < below)).mean(), abs=1e-12)
    return len(own)


def test_the_tables_say_what_they_are_about(finished, out):
    rows = table(out, "hazard_ratios")
    assert set(rows["gate"]) == {"passed"}
    assert (rows["biased"] == (rows["landmark"] == "no limit")).all()
    first = finished[0].fits[0].job.data
    own = rows[(rows["estimand"] == "association") & (rows["landmark"] == "120 d")].drop_duplicates("arm")
    assert own["n"].tolist() == first.n_by_arm.tolist()
    assert own["events"].tolist() == first.events.sum(axis=1).tolist()
    others = rows[rows["estimand"] != "association"]
    assert set(others.loc[others["landmark"] == "120 d", "n"]) == {first.n}
    assert set(table(out, "attrition")["population"]) == {"pfs risk set"}


def test_survival_is_told_within_follow_up_only(finished, out):
    rows = table(out, "survival")
    assert set(rows["population"]) == {"pfs risk set"}
    ends = {
        (f.job.landmark.label, arm): f.job.data.time[f.job.data.arm == a].max()
        for f in finished[0].fits
        for a, arm in enumerate(f.job.data.arms)
    }
    reach = rows["time"].where(rows["quantity"] != "median", rows["estimate"])
    end = pd.Series([ends[place] for place in zip(rows["landmark"], rows["arm"], strict=True)])
    assert (rows["beyond_follow_up"] == (reach > end)).all()
    assert set(rows.loc[rows["beyond_follow_up"], "quantity"]) <= {"median"}
    assert rows["estimate"][rows["quantity"] == "survival"].between(0, 1).all()
    profiles = set(rows["profile"][rows["measure"] == "shrinkage"])
    assert profiles == {"size unchanged", "30 % smaller"}


def test_survival_can_be_computed_anew_from_the_posterior(out, tree):
    rows = table(out, "survival")
    rows = rows[(rows["measure"] == "shrinkage") & (rows["profile"] == "30 % smaller")]
    fit = tree["pfs_shrinkage"]
    for row in rows.itertuples():
        draws = {
            "survival": lambda r: survival(fit, [r.time], shrinkage=[30.0]).isel(time=0),
            "rmst": lambda r: rmst(fit, horizon=r.time, shrinkage=[30.0]),
            "median": lambda r: median_survival(fit, shrinkage=[30.0]),
        }[row.quantity](row)
        x = draws.sel(landmark=row.landmark, arm=row.arm, shrinkage=30.0).values
        expected = [np.median(x), *np.quantile(x, [0.025, 0.975])]
        np.testing.assert_allclose([row.estimate, row.lower, row.upper], expected, rtol=1e-9)


def test_the_posterior_file_says_where_it_comes_from(finished, tree):
    analysis = finished[0]
    attrs = tree.attrs
    assert attrs["specification_sha256"] == analysis.prepared.plan.digest
    assert attrs["synthetic"] == "no"
    # the whole specification but the excluded patients
    inside = tomllib.loads(attrs["specification"])
    assert inside["sampling"]["seed"] == 5
    groups = {"posterior", "sample_stats", "log_prior", "log_likelihood", "prior", "constant_data", "loo"}
    for name in ("pfs_shrinkage", "pfs_response_30"):
        assert groups <= set(tree[name].children)
        assert tree[name]["posterior"]["landmark"].values.tolist() == ["120 d", "no limit"]
        assert tree[name]["constant_data"]["gate_passed"].values.tolist() == [True, True]
        assert tree[name]["constant_data"]["biased"].values.tolist() == [False, True]


def test_the_written_specification_repeats_the_run(finished, out):
    again = read_specification(out / "specification.toml")
    original = finished[0].prepared.plan
    restored = again.model_copy(update={"data": original.data})
    assert restored.digest == original.digest


# Privacy.


def everything_in(tree) -> str:
    """All names, values and attributes of the posterior file, as text."""
    parts = [repr(tree.attrs)]
    for node in tree.subtree:
        parts.append(repr(node.attrs))
        for name, values in node.variables.items():
            parts += [str(name), repr(values.attrs), repr(values.dims)]
            if values.dtype.kind not in "fiub":
                parts.append(repr(values.values.tolist()))
    return "\n".join(parts)


def test_no_output_names_a_patient(out, tree):
    assert MARKER not in everything_in(tree)
    for path in out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert MARKER.encode() not in content, path
            assert MARKER not in urllib.parse.unquote(content.decode("utf-8", "ignore")), path
            assert MARKER not in path.name


def test_the_search_for_patients_would_find_one(tmp_path, tree):
    """A marker in a compressed string variable of a group is found."""
    planted = tree.copy()
    planted["pfs_shrinkage/loo"] = xr.DataTree(xr.Dataset({"x": ("row", [f"{MARKER}1"])}))
    planted.to_netcdf(tmp_path / "planted.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "planted.nc", engine="h5netcdf") as opened:
        assert MARKER in everything_in(opened)


def test_nothing_in_the_posterior_file_has_a_row_for_every_patient(finished, tree):
    analysis = finished[0]
    numbers = {f.job.data.n for f in analysis.fits} | {len(analysis.prepared.cohort.patients)}
    numbers |= {int(n) for f in analysis.fits for n in f.job.data.n_by_arm}
    for node in tree.subtree:
        assert "patient" not in node.dims
        assert numbers.isdisjoint(node.sizes.values()), node.path
    for name in ("pfs_shrinkage", "pfs_response_30"):
        assert tree[name]["log_likelihood"]["patients"].dims == ("landmark", "chain", "draw")


def test_no_table_has_a_row_for_every_patient(finished, out):
    patients = finished[0].prepared.cohort.patients
    times = set(patients["pfs_time"].round(6)) | set(patients["os_time"].round(6))
    for path in out.glob("*.csv"):
        rows = pd.read_csv(path)
        assert "patient" not in rows.columns
        numbers = rows.select_dtypes("number").round(6).to_numpy().ravel()
        assert len(times & set(numbers)) < 5, path


def test_the_excluded_patients_are_counted_in_report_and_flow(out):
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "2 patients excluded as the specification says" in report
    assert "(2 identifiers withheld)" in report
    flow = table(out, "attrition")
    excluded = flow[flow["reason"] == "excluded by the specification"]
    assert excluded.groupby("landmark")["n"].sum().tolist() == [2, 2]


# The report.


def test_the_report_tells_the_model_that_was_fitted(out):
    report = (out / "report.html").read_text(encoding="utf-8")
    for section in {section.key for section in SECTIONS} - {"waterfall", "prediction", "states"}:
        assert f'id="{section}"' in report, section
    text = re.sub(r"<[^>]+>", " ", report)
    assert "α[interval] + θ[arm] + β[arm] · shrinkage / 10 + γ · covariates" in text
    assert "the arms share their baseline" in text
    assert "independent from interval to interval" in text
    assert "Shrinkage of at least 30 % against less" in text
    # the priors of both measures, and what they share once
    assert text.count("log hazard ratio of shrinkage, each arm") == 1
    assert text.count("log hazard ratio of response against none, each arm") == 1
    assert text.count("log hazard per month of each interval") == 1


@pytest.mark.parametrize(
    ("changes", "equation"),
    [
        ({}, "α[interval] + θ[arm] + β[arm] · shrinkage / 10 + γ · covariates"),
        ({"slopes": "common"}, "α[interval] + θ[arm] + β · shrinkage / 10 + γ · covariates"),
        ({"baseline": {"arms": "per arm"}, "covariates": []}, "α[arm, interval] + β[arm] · shrinkage / 10"),
        ({"landmarks": {"shrinkage_reference": 15}}, "β[arm] · (shrinkage − 15) / 10"),
        ({"landmarks": {"shrinkage_reference": -5}}, "β[arm] · (shrinkage + 5) / 10"),
    ],
)
def test_the_equation_is_that_of_the_specification(tmp_path, changes, equation):
    prepared = prepare(read_specification(written(tmp_path, **changes)))
    words = model_in_words(prepared, [SimpleNamespace(job=job) for job in prepared.jobs])
    assert equation in words["Equation"]


def test_the_report_says_that_landmarks_with_a_window_lie_later(tmp_path):
    prepared = prepare(read_specification(written(tmp_path, landmarks={"scan_window": "14d"})))
    words = model_in_words(prepared, [SimpleNamespace(job=job) for job in prepared.jobs])
    assert "a landmark lies 14 d later than it is called" in words["Visits"]
    plain = prepare(read_specification(written(tmp_path)))
    assert "Visits" not in model_in_words(plain, [SimpleNamespace(job=job) for job in plain.jobs])
    at = {job.landmark.label: job.landmark.months for job in prepared.jobs if not job.joint}
    without = {job.landmark.label: job.landmark.months for job in plain.jobs if not job.joint}
    assert {label: round((months - without[label]) * 30.4375, 6) for label, months in at.items()} == {
        label: 0 if label == "no limit" else 14 for label in without
    }


def test_the_report_says_what_a_new_therapy_is_to_the_estimand(tmp_path):
    def told(trial, **wanted) -> tuple:
        prepared = prepare(read_specification(written(tmp_path, trial=trial, landmarks=wanted)))
        words = model_in_words(prepared, [SimpleNamespace(job=job) for job in prepared.jobs])
        return words["Estimand: intercurrent events"], words["Shrinkage"], prepared

    patients, scans = tables()
    unknown, shrinkage, plain = told((patients, scans))
    assert "(treatment policy)" in unknown
    assert "new anticancer therapy" not in unknown + shrinkage
    began = patients["pfs_time"].where(patients.index < 10) / 2
    known = patients.assign(new_therapy_time=began), scans
    n = int(began[~patients["patient"].isin(small_trial.EXCLUDED)].notna().sum())
    policy, shrinkage, _ = told(known)
    assert (
        f"A new anticancer therapy was begun by {n} patients before the end of PFS; scans after it" in policy
    )
    assert "before progression or a new anticancer therapy" in shrinkage
    ended, _, censored = told(known, new_therapy="censored")
    assert f"censored there as if none were given (hypothetical): {n} patients before the end of PFS" in ended
    assert {note.code for note in censored.notes} >= {"censored-at-new-therapy"}
    assert sum(job.data.event.sum() for job in censored.jobs) < sum(
        job.data.event.sum() for job in plain.jobs
    )


@pytest.mark.parametrize("after", [None, "6w"])
def test_the_report_says_what_a_response_is(tmp_path, after):
    wanted = {"times": ["100d", "150d"], "confirmed_after": after}
    prepared = prepare(read_specification(written(tmp_path, landmarks=wanted)))
    words = model_in_words(prepared, [SimpleNamespace(job=job) for job in prepared.jobs])
    assert "a new lesion, is no response, whatever the sizes" in words["Response"]
    confirmed = (
        "counts only if a scan at least 6 w later, by the landmark as well, still shows it (confirmed)"
    )
    assert (confirmed in words["Response"]) == (after is not None)
    assert ("a response from the one that confirms it" in words["All follow-up"]) == (after is not None)
    responders = {
        job.landmark.label: job.data.score.sum()
        for job in prepared.jobs
        if job.measure == bn.Response(30) and not job.joint
    }
    plain = bn.landmark(prepared.cohort, ["100d", "150d"], confirmed_after=after)
    for label, n in responders.items():
        assert n == (plain.at(label)["responded"] >= 30).sum()


# A run that is killed, and one that fails.


@pytest.fixture
def earlier(tmp_path, out):
    """A good result of an earlier run, and its hashes."""
    folder = tmp_path / "results" / "out"
    shutil.copytree(out, folder)
    return folder, hashes(folder)


def test_a_run_killed_while_sampling_leaves_the_earlier_result_as_it_was(tmp_path, earlier):
    folder, before = earlier
    path = written(tmp_path / "trial", sampling={"seed": 1, "draws": 1_000_000})
    command = [sys.executable, "-c", RUN_AND_TELL, str(path), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert any(line == "sampling\n" for line in process.stdout)
        process.kill()
    assert process.returncode == -9
    assert hashes(folder) == before
    assert os.listdir(folder.parent) == ["out"]


def quickly(monkeypatch, passed_gate):
    """Let ``write`` write a manifest alone."""

    def write_manifest(analysis, folder):
        gate = "passed" if analysis.passed else "failed"
        content = {"specification_sha256": "x", "gate": gate, "files": {}}
        (folder / "manifest.json").write_text(json.dumps(content))

    monkeypatch.setattr(sys.modules["bayes_net.workflow.write"], "_write_files", write_manifest)
    return passed_gate


def test_a_run_whose_gate_failed_goes_beside_a_result_whose_gate_passed(monkeypatch, finished, earlier):
    folder, before = earlier
    quickly(monkeypatch, passed_gate=False)
    analysis = finished[0]
    diagnostics = analysis.gate.assign(passed=False)
    failing = dataclasses.replace(analysis, tables=analysis.tables | {"diagnostics": diagnostics})
    beside = write(failing, folder)
    assert beside == folder.with_name("out-gate-failed")
    assert hashes(folder) == before
    assert json.loads((beside / "manifest.json").read_text())["gate"] == "failed"
    # a good run takes the place of either
    assert write(analysis, folder) == folder
    assert hashes(folder) != before
    shutil.rmtree(folder)
    assert write(failing, folder) == folder
    assert write(analysis, folder) == folder


def test_a_run_that_fails_while_writing_leaves_the_earlier_result_as_it_was(monkeypatch, finished, earlier):
    folder, before = earlier

    def fail(*_, **__):
        raise RuntimeError("the tables fell over")

    monkeypatch.setattr(sys.modules["bayes_net.workflow.write"], "write_content", fail)
    with pytest.raises(RuntimeError, match="fell over"):
        write(finished[0], folder)
    assert hashes(folder) == before
    assert os.listdir(folder.parent) == ["out"]


@pytest.mark.parametrize("part", ["report_page", "illustrate"])
def test_what_was_computed_outlives_a_page_or_figure_that_cannot_be_made(
    monkeypatch, finished, tmp_path, part
):
    def fail(*_):
        raise ZeroDivisionError("the plot fell over")

    monkeypatch.setattr(sys.modules["bayes_net.workflow.write"], part, fail)
    with pytest.warns(ReportWarning, match=r"could not be made \(ZeroDivisionError: the plot fell over\)"):
        folder = write(finished[0], tmp_path / "out")
    monkeypatch.undo()
    result = bn.read_result(folder)
    pd.testing.assert_frame_equal(
        result.tables["hazard_ratios"], finished[0].tables["hazard_ratios"], check_dtype=False
    )
    assert result.gate_passed
    assert (folder / "posterior.nc").stat().st_size > 10_000
    page = (folder / "report.html").read_text()
    assert ("could not be made" in page) == (part == "report_page")
    made = rebuild_report(folder).read_text()  # as it says
    assert "could not be made" not in made
    assert 'id="hazard-ratios"' in made
    assert ("<figure" in made) == (part == "report_page")


def test_a_full_disk_is_no_page_that_cannot_be_made(monkeypatch, finished, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys.modules["bayes_net.workflow.write"], "report_page", full)
    with pytest.raises(InputError, match="No space left on device"):
        write(finished[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_ends_with_one_message_where_the_report_cannot_be_made(monkeypatch, finished, tmp_path):
    from bayes_net.cli.app import app

    def fail(*_):
        raise ZeroDivisionError("the page fell over")

    monkeypatch.setattr(sys.modules["bayes_net.workflow.write"], "report_page", fail)
    monkeypatch.setattr(sys.modules["bayes_net.workflow.analysis"], "analyse", lambda *_, **__: finished[0])
    done = CliRunner().invoke(app, ["run", str(written(tmp_path)), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "the page fell over" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "hazard_ratios.csv").exists()


def test_tables_take_the_place_of_the_files_of_a_specification(tmp_path):
    patients, scans = small_trial.tables()
    plan = read_specification(written(tmp_path, trial=(patients, scans)))
    from_files = prepare(plan)
    (tmp_path / "patients.csv").unlink()
    (tmp_path / "scans.csv").unlink()
    given = prepare(plan, patients=patients, scans=scans)
    pd.testing.assert_frame_equal(
        given.cohort.patients, from_files.cohort.patients, check_dtype=False, check_index_type=False
    )
    assert given.attrition.equals(from_files.attrition)
    assert [note.message for note in given.notes if note.code == "given-as-table"] == [
        "patients and scans given as a table, in the place of the file that the specification names"
    ]
    # of each call its own tables: nothing is kept from the last one
    fewer = prepare(plan, patients=patients.iloc[:100], scans=scans[scans["patient"] < "ZQX-0100"])
    assert fewer.attrition["n"].max() < given.attrition["n"].max()


def test_a_run_takes_tables_and_its_report_says_so(tmp_path):
    patients, scans = small_trial.tables()
    how = small_trial.QUICK | {"landmarks": {"times": ["120d"], "thresholds": None}}
    plan = read_specification(written(tmp_path, trial=(patients, scans), **how))
    (tmp_path / "patients.csv").unlink()
    run(plan, tmp_path / "out", patients=patients)
    report = next(tmp_path.glob("out*")) / "report.html"
    assert "patients given as a table, in the place of the file" in report.read_text(encoding="utf-8")


def test_tables_are_refused_where_the_specification_reads_none(tmp_path):
    patients, scans = small_trial.tables()
    synthetic = read_specification(shipped_models()["netter1_synthetic"])
    with pytest.raises(InputError, match=r"patients and scans given as a table, but \[data\] generates"):
        prepare(synthetic, patients=patients, scans=scans)
    with pytest.raises(InputError, match="the specification is a synthesis"):
        prepare(read_specification(shipped_models()["netter1_os"]), patients=patients)
