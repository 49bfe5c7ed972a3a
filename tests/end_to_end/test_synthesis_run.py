"""A whole synthesis, from specification to files: complete, true to its draws, and nothing half-written."""

import errno
import html
import io
import json
import os
import re
import shutil
import sys
import tomllib

import numpy as np
import pandas as pd
import pools
import pytest
import small_trial
import tomli_w
import xarray as xr
from arviz_stats.base import array_stats
from command_line import invoke, modules_after
from pools import ARMS
from rich.console import Console
from scipy import special, stats
from small_trial import EXCLUDED, MARKER
from test_output import everything_in, hashes

import bayes_net as bn
from bayes_net.checks.influence import REFITTED, WEIGHTED
from bayes_net.cli import terminal as cli
from bayes_net.cli.terminal import progress
from bayes_net.errors import InputError
from bayes_net.evidence.table import COLUMNS
from bayes_net.figures import style
from bayes_net.inference import synthesis
from bayes_net.inference.arrays import draw_prior
from bayes_net.labels import landmark_names, select
from bayes_net.numbers import evenly_rounded, format_ratio
from bayes_net.report.synthesis_answer import first_answer, question, rests_on
from bayes_net.report.synthesis_words import comparison
from bayes_net.results.columns import HAZARD_RATIO_COLUMNS, PARAMETER_KEYS, PRINTED_COLUMNS
from bayes_net.results.folder import read_result
from bayes_net.results.synthesis import arm_hazard_ratios, hazard_ratios
from bayes_net.schema import MOVED
from bayes_net.specification.read import read_specification
from bayes_net.specification.shipped import shipped_models
from bayes_net.specification.synthesis import SynthesisPlan
from bayes_net.tables.shipped import models_folder
from bayes_net.workflow import synthesis as synthesis_workflow
from bayes_net.workflow.analysis import prepare
from bayes_net.workflow.describe import synthesis_in_words
from bayes_net.workflow.synthesis import known_until

STUDY = "Süd [b]II[/b] & <1/2>"
"""Brackets, a slash and an ampersand mean something to a terminal, to a path and to a browser."""
SEED, LEVEL, TAIL = 2, 0.9, (0.05, 0.95)
CUT, DRAWN = 8.0, ("chain", "draw")
SYNTHESES = [
    name for name, path in shipped_models().items() if isinstance(read_specification(path), SynthesisPlan)
]
BOUNDS = {"prob_below_1": (0, 1), "prob_below_0.8": (0, 0.8), "prob_0.9_to_1.11": (0.9, 1.11)}

MEDIAN = pools.row("M1", "median", 9, lower=7, upper=11.5, n=110, arm="control", study=STUDY)
RATIO = pools.ratio("R1", np.log(0.4), 0.2, study=STUDY)
SLOPE = pools.slope("S1", -0.04, 0.015, "150d", study=STUDY)
SINGLE_ARM = pools.row("M2", "median", 29, lower=22, upper=38, n=60, study="B")
COUNT = pools.row("C1", "count", 30, n=60, endpoint="response", study="B")
CHECK = pools.row("K1", "survival", 0.6, lower=0.45, upper=0.72, time=12, use="check", study=STUDY)
RECORD = pools.row("X1", "hazard ratio", 0.5, lower=0.4, upper=0.7, use="record", study=STUDY)
ROWS = (MEDIAN, RATIO, SLOPE, SINGLE_ARM, COUNT, CHECK, RECORD)
IDS = ["M1", "R1", "S1", "M2", "C1"]

PUBLISHED = {
    "title": "Two studies in print",
    "evidence": {"files": ["rows.csv"]},
    "model": {"arms": list(ARMS), "reference": STUDY, "cuts": ["8mo"]},
    "slopes": {"landmarks": ["150d", "36w"]},
    "borrowing": {"level": {"kind": "commensurate", "weight": 0.9}, "response": {"kind": "full"}},
    "sampling": {"seed": 1, "draws": 500, "tune": 400, "target_accept": 0.9},
    "report": {"level": LEVEL, "predict_until": "20mo"},
}
BRIEF = {
    "sampling": {"draws": 100, "tune": 100, "chains": 2, "retry": False},
    "report": {"leave_one_out": False},
}
"""Over soon, and with fewer draws than the gate asks for."""
PATIENTS = {"patients": "patients.csv", "time_unit": "days", "arm_names": {"treated": "177Lu"}}


def written(folder, rows=ROWS, *, of=PUBLISHED, name="synthesis", **changes):
    """A specification in ``folder`` with its rows beside it; ``changes`` replace keys of its sections."""
    folder.mkdir(parents=True, exist_ok=True)
    if rows:
        pools.write(rows, folder)
    values = of | {
        section: of.get(section, {}) | value if isinstance(value, dict) else value
        for section, value in changes.items()
    }
    path = folder / f"{name}.toml"
    path.write_text(tomli_w.dumps(values), encoding="utf-8")
    return path


def with_patients(folder, rows=(), *, patients=None, scans=None, cohort=(), **changes):
    """The same of one cohort, "trial", whose tables are given; without ``scans`` it has none."""
    folder.mkdir(parents=True, exist_ok=True)
    (small_trial.tables()[0] if patients is None else patients).to_csv(folder / "patients.csv", index=False)
    section = {"study": "trial"} | PATIENTS | dict(cohort)
    if scans is not None:
        scans.to_csv(folder / "scans.csv", index=False)
        section |= {"scans": "scans.csv", "size_unit": "mm"}
    values = {name: value for name, value in PUBLISHED.items() if rows or name != "evidence"}
    values["model"] = PUBLISHED["model"] | {"reference": "trial"}
    return written(folder, rows, of=values | {"cohorts": [section]}, **changes)


def opened(out):
    with xr.open_datatree(out / "posterior.nc", engine="h5netcdf") as tree:
        return tree.load()


def csvs(out) -> dict[str, pd.DataFrame]:
    return {path.stem: pd.read_csv(path) for path in out.glob("*.csv")}


def manifest(out) -> dict:
    return json.loads((out / "manifest.json").read_text(encoding="utf-8"))


def page(out) -> str:
    return (out / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return written(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def run(path):
    """Exit code, output, errors and folder of a run by the command line."""
    out = path.parent / "out"
    return *invoke("run", path, "--out", out, "--seed", SEED), out


@pytest.fixture(scope="module")
def out(run):
    return run[-1]


@pytest.fixture(scope="module")
def tree(out):
    return opened(out)


@pytest.fixture(scope="module")
def found(out):
    return csvs(out)


@pytest.fixture(scope="module")
def again(path, run):
    """Analysis, folder and progress of the same synthesis without the command line."""
    told = []
    plan = read_specification(path).with_seed(SEED)
    analysis = bn.run(plan, path.parent / "again", progress=lambda *about: told.append(about))
    return analysis, analysis.folder, told


@pytest.fixture
def good(tmp_path, out):
    """A good result of an earlier run, and its hashes."""
    folder = tmp_path / "results" / "out"
    shutil.copytree(out, folder)
    return folder, hashes(folder)


@pytest.fixture
def unsampled(monkeypatch):
    """Whoever samples fails the test."""
    for name in ("fit_synthesis", "compile_model"):
        monkeypatch.setattr(synthesis, name, lambda *_, **__: pytest.fail("sampled"))


# --- a run of published numbers -----------------------------------------------------------------------


def test_a_run_that_passes_its_gate_ends_with_0_and_says_where_the_report_is(run):
    code, shown, error, out = run
    assert (code, error) == (0, "")
    assert f"Report: {out / 'report.html'}" in shown
    assert STUDY in shown
    assert manifest(out)["gate"] == "passed"
    assert os.listdir(out.parent).count("out") == 1
    assert not [name for name in os.listdir(out.parent) if name.startswith(".")]


def test_all_files_are_there_and_the_manifest_tells_their_hashes(out):
    told, files = manifest(out), hashes(out)
    del files["manifest.json"]
    assert told["files"] == files
    names = "arms_and_studies checks diagnostics evidence hazard_ratios influence loo new_study_priors"
    names = {*names.split(), "parameters", "priors", "responses", "survival"}
    names |= {"power_scaling", "study_influence", "answer", "landmarks_together", "slope_densities"}
    assert {name for name in files if "/" not in name} == {f"{name}.csv" for name in names} | {
        "content.json",
        "report.html",
        "specification.toml",
        "posterior.nc",
    }
    drawn = {name.split(".")[0] for name in files if name.startswith("figures/")}
    assert drawn == {
        f"figures/{name}"
        for name in ("overview", "forest_pfs", "response", "survival_pfs", "contraction", "checks")
    } | {"figures/prior_posterior_pfs"}
    assert all(f"{stem}.{kind}" in files for stem in drawn for kind in ("svg", "png"))
    assert told["seed"] == str(SEED)
    assert told["synthetic"] == "no"
    assert told["version bayes-net"]


def test_the_tables_have_the_columns_that_are_documented(found):
    assert list(found["diagnostics"]) == ["fit", "check", "worst", "threshold", "passed", "where"]
    assert list(found["loo"]) == ["row", "elpd", "pareto_k", "how", "gate"]
    assert list(found["evidence"]) == list(COLUMNS)
    documented = {
        "checks": "row study arm subgroup endpoint statistic printed printed_lower printed_upper predicted "
        "lower upper p_value",
        "hazard_ratios": "endpoint arm landmark measure biased hr lower upper level status row printed "
        "printed_lower printed_upper prior_sd log_sd contraction mcse_hr",
        "arms_and_studies": "endpoint estimand study hr lower upper level prior_sd log_sd contraction",
        "influence": "fit parameter label mean sd mean_without sd_without moved_by_sd",
        "new_study_priors": "parameter scale components effective_n effective_n_robust counts",
        "parameters": "parameter label mean sd estimate lower upper prior_sd contraction ess_bulk rhat",
        "responses": "study arm estimate lower upper level mcse",
        "survival": "endpoint study arm time estimate lower upper level beyond_data",
    }
    for name, columns in documented.items():
        assert set(columns.split()) <= set(found[name].columns), name
    assert list(found["hazard_ratios"]) == [*HAZARD_RATIO_COLUMNS, *PRINTED_COLUMNS]
    assert list(found["arms_and_studies"]) == [*HAZARD_RATIO_COLUMNS, "comparison"]
    for table in found.values():
        assert "synthetic" not in table


def assert_ratio(row, draws, before, *, unlike=()) -> None:
    """Every number of a row of hazard ratios, but those ``unlike``, against draws (chain, draw) of the log
    and of its prior."""
    x, log, prior = np.exp(draws.values), draws.values, before.values
    sds = prior.std(ddof=1), log.std(ddof=1)
    expected = {
        "hr": np.median(x),
        "lower": np.quantile(x, TAIL[0]),
        "upper": np.quantile(x, TAIL[1]),
        "level": LEVEL,
        "prior_sd": sds[0],
        "log_sd": sds[1],
        "contraction": 1 - sds[1] / sds[0],
        "mcse_hr": array_stats.mcse(x, method="median"),
        "mcse_lower": array_stats.mcse(x, method="quantile", prob=TAIL[0]),
        "mcse_upper": array_stats.mcse(x, method="quantile", prob=TAIL[1]),
        "ess_bulk": array_stats.ess(x, method="bulk"),
        "ess_tail": array_stats.ess(x, method="tail", prob=TAIL),
        "rhat": array_stats.rhat(x),
    }
    expected |= {name: ((x > above) & (x < below)).mean() for name, (above, below) in BOUNDS.items()}
    for name in expected.keys() - set(unlike):
        # diagnostics go by ranks, and a last bit may swap two neighbours
        ranked = name.startswith(("mcse", "ess", "rhat"))
        assert row[name] == pytest.approx(expected[name], rel=1e-3 if ranked else 1e-9), (row, name)


def test_hazard_ratios_of_shrinkage_can_be_computed_anew(found, tree):
    rows = found["hazard_ratios"]
    assert len(rows) == 2 * 2 * 2  # arms, landmarks, and per 10 points or per 1
    for _, row in rows.iterrows():
        assert_ratio(row, *slopes_per(row, tree), unlike=("prior_sd", "log_sd"))


def slopes_per(row, tree):
    """Log hazard ratios of a row in its own unit, (chain, draw): posterior and prior."""
    unit = {"shrinkage, per 10 points": 1.0, "shrinkage, per 1 point": 0.1}[row["measure"]]
    place = {"endpoint": "pfs", "arm": row["arm"], "landmark": row["landmark"]}
    return [tree[group]["slope"].sel(place).transpose(*DRAWN) * unit for group in ("posterior", "prior")]


def test_the_printed_hazard_ratio_stands_beside_its_own_landmark_alone(found):
    rows = found["hazard_ratios"]
    printed = rows[rows["row"] == "S1"]
    assert printed[["arm", "landmark"]].drop_duplicates().to_numpy().tolist() == [["177Lu", "150 d"]]
    for row in printed.itertuples():
        power = 10 if "10 points" in row.measure else 1
        z = stats.norm.ppf(0.975)
        expected = np.exp(power * (-0.04 + 0.015 * z * np.array([0, -1, 1])))
        np.testing.assert_allclose([row.printed, row.printed_lower, row.printed_upper], expected, rtol=1e-9)
    assert set(printed["status"]) == {"in print"}
    others = rows[rows["row"].isna()]
    assert set(others["status"]) == {"not in print: predicted"}
    assert others["printed"].isna().all()
    assert not rows["biased"].any()


def test_hazard_ratios_of_arms_and_studies_can_be_computed_anew(found, tree):
    rows = found["arms_and_studies"].set_index("estimand", drop=False)
    assert rows[["endpoint", "study"]].to_numpy().tolist() == [["pfs", STUDY], ["pfs", "B"]]
    for estimand, name, place in (
        ("arm", "arm_effect", {"effect": ("pfs", STUDY)}),
        ("study against reference", "study_level", {"borrower": ("pfs", "B")}),
    ):
        draws = [select(tree[group][name], **place).transpose(*DRAWN) for group in ("posterior", "prior")]
        assert_ratio(rows.loc[estimand], *draws)


def test_responses_can_be_computed_anew_and_a_new_study_is_like_the_others(found, tree):
    rows = found["responses"].fillna({"arm": ""}).set_index(["study", "arm"])
    x = special.expit(select(tree["posterior"]["response"], response_group=("B", "177Lu")).values)
    for group in (("B", "177Lu"), ("new study", "")):  # borrowing is full: a new study does not differ
        got = rows.loc[group, ["estimate", "lower", "upper"]].to_numpy(float)
        np.testing.assert_allclose(got, [np.median(x), *np.quantile(x, TAIL)], rtol=1e-9)


def log_cumulative(tree, curve, months):
    """log H of a curve after the cut-point, (chain, draw)."""
    hazard = np.exp(select(tree["posterior"]["log_hazard"], curve=curve).transpose(*DRAWN, "interval").values)
    return np.log(hazard @ [min(months, CUT), max(months - CUT, 0)])


def test_survival_of_whole_arms_can_be_computed_anew(found, tree):
    rows = found["survival"]
    assert set(zip(rows["study"], rows["arm"], strict=True)) == {(STUDY, a) for a in ARMS} | {
        ("B", a) for a in ("177Lu",)
    }
    for row in rows.itertuples():
        x = np.exp(-np.exp(log_cumulative(tree, ("pfs", row.study, row.arm), row.time)))
        expected = [np.median(x), *np.quantile(x, TAIL)]
        np.testing.assert_allclose([row.estimate, row.lower, row.upper], expected, rtol=1e-9)
    last = rows[~rows["beyond_data"]].groupby("study")["time"].max()
    assert last[STUDY] == 9.0  # the median of control
    assert last["B"] == 20.0  # its median of 29 lies beyond what is predicted


def test_the_number_held_out_lies_in_its_predictive_distribution_where_the_table_says(found, tree):
    """The exact predictive distribution given the draws is a mixture of normals of log H."""
    row = found["checks"].set_index("row").loc["K1"]
    low, high = (np.log(-np.log(limit)) for limit in (0.72, 0.45))
    se, log_h = (high - low) / (2 * stats.norm.ppf(0.975)), log_cumulative(tree, ("pfs", STUDY, "177Lu"), 12)

    def below(survival):
        return stats.norm.sf((np.log(-np.log(survival)) - log_h) / se).mean()

    z = pools.z_of(4)
    for name, p in (("lower", TAIL[0]), ("predicted", 0.5), ("upper", TAIL[1])):
        error = np.sqrt(p * (1 - p) / log_h.size)
        assert below(row[name]) == pytest.approx(p, abs=z * error + 1 / log_h.size), name
    p = below(0.6)
    error = 2 * np.sqrt(p * (1 - p) / log_h.size)
    assert row["p_value"] == pytest.approx(2 * min(p, 1 - p), abs=z * error)
    assert row[["printed", "printed_lower", "printed_upper"]].tolist() == [0.6, 0.45, 0.72]


def test_the_evidence_is_written_as_it_was_read(found):
    rows = found["evidence"].set_index("id")
    assert list(rows.index) == [row["id"] for row in ROWS]
    assert rows["use"].tolist() == [row["use"] for row in ROWS]
    assert rows["value"].tolist() == [float(row["value"]) for row in ROWS]


def test_report_and_terminal_tell_the_hazard_ratios_of_the_tables(run, found):
    shown, report = run[1], html.unescape(re.sub(r"</?span[^>]*>", "", page(run[-1])))
    slopes = found["hazard_ratios"].query("measure == 'shrinkage, per 10 points'")
    for table in (slopes, found["arms_and_studies"]):
        for row in evenly_rounded(table).itertuples():
            assert format_ratio(row) in report
    said, tables = " ".join(shown.split()), read_result(run[-1]).tables
    for sentence in (question(tables), *first_answer(tables), rests_on(tables)):
        assert " ".join(sentence.split()) in said
    assert f"{100 * LEVEL:g} % CrI" in report
    assert "95 % CrI" not in report


def test_the_report_is_whole_and_asks_for_nothing_from_outside(out):
    report = page(out)
    for section in ("answer", "hazard-ratios", "arms", "response", "left-out", "checks", "evidence"):
        assert f'<section id="{section}"' in report, section
    assert html.escape(STUDY, quote=False).replace("&#39;", "'") in report
    assert STUDY not in report
    assert "<script" not in report
    assert not re.search(r'(src|href)="https?:', report)
    assert "GATE FAILED" not in report
    assert "SYNTHETIC" not in report


def test_the_stored_specification_is_the_one_that_was_run(path, out, tree):
    given = read_specification(path).with_seed(SEED)
    stored = read_specification(out / "specification.toml")
    assert isinstance(stored, SynthesisPlan)
    assert stored.sampling.seed == SEED
    told = {stored.digest, given.digest, manifest(out)["specification_sha256"]}
    assert told == {tree.attrs["specification_sha256"]}
    assert tree.attrs["specification"] == (out / "specification.toml").read_text(encoding="utf-8")
    assert tree.attrs["evidence_sha256"] == prepare(given).evidence.digest


def test_the_posterior_file_holds_draws_prior_and_the_likelihood_of_every_number(tree):
    groups = {"posterior", "prior", "sample_stats", "log_likelihood", "constant_data"}
    assert set(tree.children) == groups
    ends = tree["constant_data"]["interval_end"].values
    np.testing.assert_array_equal(ends, [CUT, np.inf])
    assert tree["posterior"].sizes["draw"] == 500
    assert tree["log_likelihood"]["published"]["row"].values.tolist() == IDS
    for group in ("posterior", "log_likelihood"):
        assert all(np.isfinite(x).all() for x in tree[group].data_vars.values())


def test_what_a_study_does_to_a_hazard_ratio_is_what_its_refit_moves(found):
    """The refits without each source are there already; the hazard ratios come from them."""
    told = found["study_influence"]
    assert told["refitted"].all()
    assert set(told["without"]) == {STUDY, "B"}
    moved = found["influence"].set_index(["fit", "parameter", "label"])["moved_by_sd"]
    for row in told.itertuples():
        parameter, label = ("slope", f"{row.endpoint} {row.arm}, {row.landmark}")
        if row.measure == "arm":
            parameter, label = ("arm_effect", f"{row.endpoint} {row.study}")
        assert row.shift == pytest.approx(moved[f"without {row.without}", parameter, label], rel=1e-6)
    whole = found["hazard_ratios"]
    whole = whole[whole["measure"] == "shrinkage, per 10 points"].set_index(["arm", "landmark"])["hr"]
    for row in told[told["measure"] != "arm"].itertuples():
        assert row.hr == pytest.approx(whole[row.arm, row.landmark], rel=1e-3)


def test_the_same_seed_gives_the_same_tables_bit_for_bit(out, again):
    first, second = (
        {name: digest for name, digest in hashes(folder).items() if name.endswith((".csv", ".toml"))}
        for folder in (out, again[1])
    )
    assert len(first) == 18
    assert first == second
    xr.testing.assert_identical(
        opened(again[1])["posterior"].to_dataset(), opened(out)["posterior"].to_dataset()
    )


def test_progress_is_told_step_by_step(again):
    labels, done, total = zip(*again[2], strict=True)
    assert labels[1:3] == (f"without {STUDY}", "without B")
    assert labels[-1] == "tables"
    assert list(done) == sorted(done)
    assert done[-1] == total[-1]
    assert len(set(total)) == 1


def test_estimands_of_the_stored_fit_are_those_of_the_tables(tree, found):
    rows = found["hazard_ratios"]
    rows = rows[rows["measure"] == "shrinkage, per 10 points"]
    told = bn.summarise(bn.hazard_ratio(tree), ci_prob=LEVEL)
    keys = ["endpoint", "arm", "landmark"]
    assert told[keys].to_numpy().tolist() == rows[keys].to_numpy().tolist()
    np.testing.assert_allclose(told["estimate"], rows["hr"], rtol=1e-9)
    curves = found["survival"]
    for (study, arm), own in curves.groupby(["study", "arm"]):
        own = own.iloc[[0, -1]]
        of = select(bn.survival(tree, own["time"]), curve=("pfs", study, arm))
        np.testing.assert_allclose(of.median(DRAWN), own["estimate"], rtol=1e-9)
    arms = found["arms_and_studies"].query("estimand == 'arm'")
    np.testing.assert_allclose(bn.arm_hazard_ratio(tree).median(DRAWN), arms["hr"], rtol=1e-9)


def test_checks_take_the_fit_of_a_synthesis(again, found):
    analysis, *_ = again
    fit, network = analysis.fits[0].fit, analysis.prepared.network
    columns = ["component", "sensitivity", "shift", "reading"]
    pd.testing.assert_frame_equal(
        bn.checks.power_scaling(fit, network=network)[columns], analysis.tables["power_scaling"][columns]
    )
    slopes = bn.checks.power_scaling(fit, {"log hazard ratio": fit["posterior"]["slope"]}, network=network)
    assert set(slopes["label"]) == {f"pfs {arm}, {at}" for arm in ARMS for at in ("150 d", "36 w")}
    one = analysis.tables["power_scaling"].query("arm == '177Lu' and landmark == '150 d'")
    np.testing.assert_allclose(slopes[slopes["label"] == "pfs 177Lu, 150 d"]["shift"], one["shift"])
    told, each = bn.checks.loo(fit), found["loo"]
    assert told["n"] == len(IDS)
    assert told["worst_pareto_k"] == pytest.approx(
        each["pareto_k"].max(), abs=0.15
    )  # tails of another length
    published = fit["log_likelihood"]["published"]
    assert told["elpd"] < float(
        (np.log(np.exp(published).mean(DRAWN))).sum()
    )  # in-sample it is predicted better


# --- leave one out ------------------------------------------------------------------------------------


def test_every_number_of_the_likelihood_is_left_out(found):
    assert found["loo"]["row"].tolist() == IDS
    assert np.isfinite(found["loo"]["elpd"]).all()
    assert set(found["loo"]["how"]) == {MOVED, REFITTED}  # else one of them is not tested here
    assert ((found["loo"]["pareto_k"] <= 0.5) == (found["loo"]["how"] == WEIGHTED)).all()


def test_every_refit_is_among_the_diagnostics_and_the_movements(found):
    exact = [f"without {row.row}" for row in found["loo"].itertuples() if row.how != WEIGHTED]
    refits = [f"without {STUDY}", "without B", *exact]
    assert list(found["diagnostics"]["fit"].unique()) == ["all evidence", *refits]
    assert (found["diagnostics"].groupby("fit").size() == 5).all()
    assert found["diagnostics"]["passed"].all()
    assert list(found["influence"]["fit"].unique()) == refits
    parameters = [list(own["parameter"] + own["label"]) for _, own in found["influence"].groupby("fit")]
    assert all(names == parameters[0] for names in parameters)
    of = found["influence"].columns.difference(PARAMETER_KEYS)  # what does not apply is empty
    assert not found["influence"][of].isna().any(axis=None)


def test_movements_are_those_of_the_draws(found, tree):
    rows = found["influence"]
    np.testing.assert_allclose(
        rows["moved_by_sd"], (rows["mean_without"] - rows["mean"]) / rows["sd"], rtol=1e-9
    )
    own = rows[(rows["parameter"] == "slope") & (rows["label"] == "pfs 177Lu, 150 d")]
    x = tree["posterior"]["slope"].sel(endpoint="pfs", arm="177Lu", landmark="150 d").values
    np.testing.assert_allclose(own["mean"], x.mean(), rtol=1e-9)
    np.testing.assert_allclose(own["sd"], x.std(), rtol=1e-9)


def test_without_the_only_study_with_a_slope_its_prior_comes_back(found):
    """An SD from at least 100 effective draws is within 1 / sqrt(200) of the true one, for each z."""
    rows = found["influence"].set_index(["fit", "parameter", "label"])
    own = rows.loc[(f"without {STUDY}", "slope", "pfs 177Lu, 150 d")]
    prior = np.log(2.667 / 0.375) / (2 * stats.norm.ppf(0.975))
    assert own["sd_without"] == pytest.approx(prior, rel=pools.z_of(1) / np.sqrt(2 * 100))
    assert own["sd"] < prior / 2
    kept = rows.loc[("without B", "slope", "pfs 177Lu, 150 d")]
    assert abs(kept["moved_by_sd"]) < pools.z_of(1) * np.sqrt(1 / 100 + 1 / 400)


def test_a_refit_that_fails_its_gate_marks_the_run(monkeypatch, path, good):
    """The fit of all evidence passed: what fails is named, and the earlier result stays."""
    monkeypatch.setattr(synthesis_workflow, "REFIT_ESS", 10**9)
    # no refits without single numbers
    monkeypatch.setattr(sys.modules["bayes_net.checks.influence"], "SURE_PARETO_K", np.inf)
    folder, before = good
    code, shown, error = invoke("run", path, "--out", folder, "--seed", SEED)
    beside = folder.with_name("out-gate-failed")
    assert code == 3
    assert hashes(folder) == before
    rows = pd.read_csv(beside / "diagnostics.csv").set_index("fit")
    assert rows.loc["all evidence", "passed"].all()
    for fit in (f"without {STUDY}", "without B"):
        assert not rows.loc[fit, "passed"].all()
        assert f"{fit}: bulk ESS" in error
    assert "all evidence:" not in error
    assert f"Report: {beside / 'report.html'}" in shown
    assert manifest(beside)["gate"] == opened(beside).attrs["gate"] == "failed"
    assert "REFITS FAILED" in page(beside)
    assert "gate failed" in html.unescape(page(beside))  # in place of movements


# --- a gate that fails --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def failing(path, out):
    """Two brief runs of different seeds, the first to the place of a good result."""
    brief = written(path.parent, name="brief", **{k: PUBLISHED[k] | v for k, v in BRIEF.items()})
    folder = path.parent / "failing" / "out"
    shutil.copytree(out, folder)
    before = hashes(folder)
    first = invoke("run", brief, "--out", folder, "--seed", 7)
    second = invoke("run", brief, "--out", path.parent / "other", "--seed", 8)
    return first, second, folder, before


def test_a_failed_gate_is_exit_code_3_and_names_its_checks(failing):
    code, _, error = failing[0]
    assert code == 3
    assert error.startswith("The diagnostics gate failed (")
    rows = pd.read_csv(failing[2].with_name("out-gate-failed") / "diagnostics.csv")
    failed = rows[~rows["passed"]]
    assert f"({len(failed)} checks)" in error
    for row in failed.itertuples():
        assert (
            f"  all evidence: {row.check} {row.worst:.4g} at {row.where}, threshold {row.threshold:g}"
            in error
        )
    assert "bulk ESS" in error  # 200 draws hold no 400 independent ones


def test_a_failed_run_goes_beside_a_good_result_which_stays_as_it_was(failing):
    first, second, folder, before = failing
    assert hashes(folder) == before
    assert sorted(os.listdir(folder.parent)) == ["out", "out-gate-failed"]
    assert f"Report: {folder.with_name('out-gate-failed') / 'report.html'}" in first[1]
    # where there is nothing to protect, it takes the name it was given
    assert second[0] == 3
    assert manifest(folder.parents[1] / "other")["gate"] == "failed"


def test_a_failed_run_is_marked_and_summarises_nothing(failing):
    out = failing[2].with_name("out-gate-failed")
    report = page(out)
    assert manifest(out)["gate"] == opened(out).attrs["gate"] == "failed"
    assert "<title>GATE FAILED: " in report
    assert "do not use these numbers" in report
    assert "Nothing is summarised" in report
    assert not re.search(
        "almost certainly|very probably", report.partition('id="answer"')[2].partition("</ul>")[0]
    )
    assert "<figure>" not in report
    assert not [name for name in hashes(out) if name.endswith((".svg", ".png"))]


def test_another_seed_gives_other_draws(failing):
    folder = failing[2]
    one, other = (opened(out) for out in (folder.with_name("out-gate-failed"), folder.parents[1] / "other"))
    assert (one.attrs["seed"], other.attrs["seed"]) == ("7", "8")
    assert not np.isin(one["posterior"]["slope"].values, other["posterior"]["slope"].values).any()


# --- bad input ----------------------------------------------------------------------------------------


def spoilt_file(folder):
    path = written(folder)
    (folder / "rows.csv").write_bytes(b"id,study\n\xff\xfe\x00")
    return path


def folder_for_a_file(folder):
    path = written(folder)
    (folder / "rows.csv").unlink()
    (folder / "rows.csv").mkdir()
    return path


WRONG_LIMITS = RATIO | {"value": "0.9"}
BAD = {
    "a use of an unknown row": (
        lambda f: written(f, evidence={"use": {"R9": "check"}}),
        "rows R9 are not in the evidence; it has M1, R1, S1",
    ),
    "a correlation of an unknown row": (
        lambda f: written(f, evidence={"correlation": {"R1 R9": 0.5}}),
        "rows R9 are not in the evidence",
    ),
    "a power of an unknown row": (
        lambda f: written(f, evidence={"power": {"R9": 0.5}}),
        "rows R9 are not in",
    ),
    "no evidence file": (
        lambda f: written(f, evidence={"files": ["none.csv"]}),
        r"none\.csv: there is no such file",
    ),
    "a folder for a file": (folder_for_a_file, r"rows\.csv"),
    "a file that is no text": (spoilt_file, r"rows\.csv"),
    "limits without their value": (
        lambda f: written(f, [MEDIAN, WRONG_LIMITS]),
        r"outside its limits.* R1 \(lower 0\.27\d*, value 0\.9, upper 0\.59\d*\)",
    ),
    "a row of an arm by another name": (
        lambda f: written(f, [MEDIAN, RATIO | {"arm": "Lutathera"}]),
        r"R1: arm 'Lutathera'; expected one of control, 177Lu",
    ),
    "arms the wrong way round": (
        lambda f: written(f, [RATIO | {"arm": "control", "reference_arm": "177Lu"}]),
        "R1: control against 177Lu; expected 177Lu against control",
    ),
    "patients of an arm by another name": (
        lambda f: with_patients(f, cohort={"arm_names": {}}),
        "patients of trial have arms treated; expected control, 177Lu",
    ),
    "no patient file": (
        lambda f: with_patients(f, cohort={"patients": "none.csv"}),
        r"none\.csv: there is no such file",
    ),
    "an unknown key": (lambda f: written(f, evidence={"fils": ["rows.csv"]}), "evidence.fils.*files"),
    "an unknown landmark": (lambda f: written(f, slopes={"landmarks": ["36w"]}), r"S1: landmark '150 d'"),
    "nothing in use": (
        lambda f: written(f, evidence={"use": dict.fromkeys(IDS, "record")}),
        "neither a published number",
    ),
}


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(("make", "said"), BAD.values(), ids=BAD)
@pytest.mark.usefixtures("unsampled")
def test_bad_input_is_one_clear_message_and_changes_nothing(make, said, command, tmp_path, good):
    folder, before = good
    where = ["--out", folder] if command == "run" else []
    code, shown, error = invoke(command, make(tmp_path / "bad"), *where)
    assert (code, shown) == (2, "")
    assert error.startswith("error: ")
    assert error.count("error: ") == 1
    assert re.search(said, error, re.DOTALL), error
    assert hashes(folder) == before
    assert os.listdir(folder.parent) == ["out"]


@pytest.mark.usefixtures("unsampled")
def test_a_folder_with_other_files_is_refused_before_sampling(path, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    code, _, error = invoke("run", path, "--out", tmp_path)
    assert code == 2
    assert "mine.txt" in error
    assert os.listdir(tmp_path) == ["mine.txt"]


# --- interruption -------------------------------------------------------------------------------------


def interruptions():
    """What stops the second figure, what reaches the caller, and its message."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return {
        "Ctrl-C": (KeyboardInterrupt(), KeyboardInterrupt, None),
        "a full disk": (full, InputError, "No space left.*nothing there was changed"),
    }


@pytest.mark.parametrize(("raised", "reaches", "said"), interruptions().values(), ids=interruptions())
@pytest.mark.parametrize("earlier", [True, False])
def test_a_run_that_is_interrupted_while_it_draws_leaves_everything_as_it_was(
    raised, reaches, said, earlier, monkeypatch, again, good
):
    folder, before = good
    if not earlier:
        shutil.rmtree(folder)
    saved = []

    def save(axes, path):
        if saved:
            raise raised
        saved.append(path)
        return plots_save(axes, path)

    plots_save = style.save
    monkeypatch.setattr(style, "save", save)
    with pytest.raises(reaches, match=said):
        bn.write(again[0], folder)
    assert saved
    assert saved[0].parents[1] != folder  # it had begun, elsewhere
    assert os.listdir(folder.parent) == (["out"] if earlier else [])
    assert not earlier or hashes(folder) == before


# --- what is shipped ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYNTHESES)
@pytest.mark.usefixtures("unsampled")
def test_every_shipped_synthesis_can_be_checked(name):
    code, shown, error = invoke("check", name)
    assert (code, error) == (0, "")
    specification = read_specification(shipped_models()[name])
    lines = [re.split(r"  +", line.strip()) for line in shown.splitlines()]
    for row in prepare(specification).printed.itertuples():
        listed = [line for line in lines if line[:1] == [row.id]]
        assert len(listed) == (row.use != "record"), row.id
        if listed:
            assert listed[0][-1] == row.use
    for cohort in specification.cohorts:
        assert f"{cohort.study}, {cohort.endpoint.upper()}: " in shown
    assert "The specification and its data are usable." in shown


def test_no_synthesis_is_forgotten_and_all_are_listed():
    assert len(SYNTHESES) >= 5
    assert {path.stem for path in models_folder().glob("*.toml")} == {*SYNTHESES, "netter1_synthetic"}
    code, shown, _ = invoke("models")
    assert code == 0
    for name in SYNTHESES:
        title = read_specification(shipped_models()[name]).title
        assert any(line.split()[:1] == [name] and title in line for line in shown.splitlines()), name


def test_checking_a_synthesis_imports_no_sampler():
    text, end = modules_after("check", "prrt_pooled")
    assert end.startswith("0 []")
    assert "are usable" in text


# --- synthetic patients with published numbers -------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A run of synthetic patients at a landmark, two of them excluded, with a published count."""
    patients, scans = small_trial.tables()
    path = with_patients(
        tmp_path_factory.mktemp("mixed"),
        [COUNT],
        patients=patients.assign(synthetic=True),
        scans=scans,
        cohort={"landmark": "36w", "landmark_cuts": ["6mo"], "exclude_patients": list(EXCLUDED)},
        slopes={"landmarks": ["36w"]},
        sampling={"draws": 600},
        report={"leave_one_out": False},
    )
    out = path.parent / "out"
    return *invoke("run", path, "--out", out), out, patients


def test_a_run_with_synthetic_patients_says_so_everywhere(mixed):
    code, _, _, out, _ = mixed
    told = manifest(out)
    assert code == {"passed": 0, "failed": 3}[told["gate"]]
    tree = opened(out)
    for attributes in (told, tree.attrs):
        assert attributes["synthetic"] == "yes: patients are simulated"
    found = csvs(out)
    assert {"hazard_ratios", "arms_and_studies", "survival", "responses", "evidence"} <= set(found)
    for name, table in found.items():
        assert len(table), name
        assert table["synthetic"].eq(True).all(), name
    report = page(out)
    assert re.search("<title>.*SYNTHETIC: ", report)
    assert "SYNTHETIC DATA." in report
    assert "Some patients are synthetic" in report
    assert tree.attrs["data_sha256 trial"] == told["data_sha256 trial"]


def test_slopes_at_a_landmark_with_patients_say_that_they_come_from_them(mixed):
    rows = csvs(mixed[3])["hazard_ratios"]
    assert set(rows["landmark"]) == {"36 w"}
    assert set(rows["status"]) == {"from patients"}


def test_no_output_names_a_patient(mixed):
    _, shown, error, out, _ = mixed
    assert MARKER not in shown + error
    assert MARKER not in everything_in(opened(out))
    for file in out.rglob("*"):
        assert MARKER not in file.name
        if file.is_file():
            assert MARKER.encode() not in file.read_bytes(), file


def test_no_output_has_a_row_for_every_patient(mixed):
    _, _, _, out, patients = mixed
    kept = patients[~patients["patient"].isin(EXCLUDED)]
    sizes = {len(patients), len(kept), *kept["arm"].value_counts()}
    prepared = prepare(read_specification(out.parent / "synthesis.toml"))
    sizes |= {prepared.network.cohorts[0].exposure.n, *prepared.network.cohorts[0].exposure.n_by_arm}
    for node in opened(out).subtree:
        assert sizes.isdisjoint(node.sizes.values()), node.path
        assert "patient" not in node.dims
    months = set((kept["pfs_time"] / 30.4375).round(6)) | set(kept["pfs_time"])
    for name, table in csvs(out).items():
        assert len(table) not in sizes, name
        assert len(months & set(table.select_dtypes("number").round(6).to_numpy().ravel())) < 5, name


def test_excluded_patients_are_counted_and_withheld(mixed):
    _, shown, _, out, _ = mixed
    report = page(out)
    for text in (shown, report):
        assert "2 patients excluded as the specification says" in text
    assert "(2 identifiers withheld)" in report
    stored = tomllib.loads((out / "specification.toml").read_text(encoding="utf-8"))
    assert stored["cohorts"][0]["exclude_patients"] == ["(2 identifiers withheld)"]
    restored = read_specification(out / "specification.toml").model_copy(
        update={"cohorts": read_specification(out.parent / "synthesis.toml").cohorts}
    )
    assert restored.digest == manifest(out)["specification_sha256"]


def test_generated_patients_are_synthetic_too_and_one_such_cohort_marks_all(tmp_path):
    patients = small_trial.tables()[0]
    made_up = {"study": "made up", "synthetic": True, "synthetic_seed": 1}
    made_up |= {"arm_names": {"177Lu-DOTATATE": "177Lu"}}
    real = {"study": "trial"} | PATIENTS
    for cohorts, synthetic in (([real], False), ([made_up], True), ([real, made_up], True)):
        path = with_patients(tmp_path, patients=patients)
        values = tomllib.loads(path.read_text(encoding="utf-8")) | {"cohorts": cohorts}
        values["model"]["reference"] = cohorts[0]["study"]
        path.write_text(tomli_w.dumps(values), encoding="utf-8")
        assert prepare(read_specification(path)).synthetic == synthetic


# --- patients alone -----------------------------------------------------------------------------------

TRIALS = ("trial 1/2", "trial [2]")
LEFT_OUT = f"{MARKER}0003-MARKER"


def followed(n, *, seed, median, ratio):
    """Patients of one study without scans: exponential times in days, censored uniformly."""
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % 2
    time = rng.exponential(median / np.log(2) / np.where(arm == 1, ratio, 1.0))
    end = rng.uniform(12, 40, n)
    names = {
        "patient": [f"{MARKER}{i:04d}-MARKER" for i in range(n)],
        "arm": np.array(["placebo", "drug"])[arm],
    }
    days = np.ceil(np.minimum(time, end) * 30.4375).astype(int)
    return pd.DataFrame(names | {"pfs_time": days, "pfs_event": (time <= end).astype(int)})


@pytest.fixture(scope="module")
def patients_alone(tmp_path_factory):
    folder, cohorts = tmp_path_factory.mktemp("patients alone"), []
    for k, study in enumerate(TRIALS):
        followed(120, seed=k, median=14 - 4 * k, ratio=0.6).to_csv(folder / f"{k}.csv", index=False)
        section = {"study": study, "patients": f"{k}.csv", "time_unit": "days"}
        names = {"placebo": "control", "drug": "177Lu"}
        cohorts.append(section | {"arm_names": names, "exclude_patients": [LEFT_OUT]})
    values = {
        "title": "Two trials with patients",
        "cohorts": cohorts,
        "model": {"arms": list(ARMS), "reference": TRIALS[0], "own_baseline": [TRIALS[1]], "cuts": ["8mo"]},
        "sampling": {"seed": 3, "draws": 700, "tune": 400, "target_accept": 0.95},
        "report": {"predict_until": "24mo"},
    }
    path = written(folder, (), of=values)
    return *invoke("run", path, "--out", folder / "out"), folder / "out"


def test_patients_alone_have_baselines_of_their_own_and_no_table_of_numbers(patients_alone):
    code, shown, _, out = patients_alone
    assert code == {"passed": 0, "failed": 3}[manifest(out)["gate"]]
    found, tree = csvs(out), opened(out)
    assert tree["posterior"]["baseline_study"].values.tolist() == list(TRIALS)
    assert "study_level" not in tree["posterior"]
    assert "log_likelihood" not in tree.children
    names = {"arms_and_studies", "diagnostics", "influence", "new_study_priors", "parameters", "priors"}
    assert set(found) == names | {"survival", "power_scaling", "study_influence"}
    assert all("synthetic" not in table for table in found.values())
    assert "SYNTHETIC" not in page(out)
    assert set(found["influence"]["fit"]) == {f"without {study}" for study in TRIALS}
    for study in TRIALS:
        assert f"{study}: 1 patient excluded as the specification says" in shown
        assert len(manifest(out)[f"data_sha256 {study}"]) == 64


def test_a_study_without_scans_is_followed_by_its_events_and_time(patients_alone):
    """Nearly everything is learnt from 120 patients: each arm's events are what its hazards expect."""
    out = patients_alone[-1]
    draws = opened(out)["posterior"]["log_hazard"]
    for k, study in enumerate(TRIALS):
        table = pd.read_csv(out.parent / f"{k}.csv")
        table = table[table["patient"] != LEFT_OUT]
        for name, arm in (("placebo", "control"), ("drug", "177Lu")):
            own = table[table["arm"] == name]
            months = own["pfs_time"] / 30.4375
            spent = [months.clip(upper=CUT).sum(), (months - CUT).clip(lower=0).sum()]
            hazard = np.exp(select(draws, curve=("pfs", study, arm)).transpose(*DRAWN, "interval").values)
            # the priors are wide: an arm's events stay within what their Poisson error lets them move
            events = own["pfs_event"].sum()
            assert (hazard @ spent).mean() == pytest.approx(events, abs=2 * np.sqrt(events))


def test_a_new_study_is_predicted_by_the_heterogeneity_of_those_seen(patients_alone):
    """Given the draws its log hazard ratio is a mixture of normals, whose quantiles the table has."""
    out = patients_alone[-1]
    rows = csvs(out)["arms_and_studies"].set_index("study")
    assert list(rows.index) == [*TRIALS, "(pooled mean)", "(new study)"]
    draws = opened(out)["posterior"]
    mean, sd = (draws[name].values.ravel() for name in ("arm_effect_mean", "arm_effect_sd"))
    pooled, new = rows.loc["(pooled mean)"], rows.loc["(new study)"]
    got = pooled[["hr", "lower", "upper"]].to_numpy(float)
    np.testing.assert_allclose(got, np.quantile(np.exp(mean), [0.5, 0.025, 0.975]), rtol=1e-9)
    for name, p in (("hr", 0.5), ("lower", 0.025), ("upper", 0.975)):
        below = stats.norm.cdf((np.log(new[name]) - mean) / sd).mean()
        error = pools.z_of(3) * np.sqrt(p * (1 - p) / mean.size)
        assert below == pytest.approx(p, abs=error + 1 / mean.size), name
    assert new["log_sd"] > pooled["log_sd"]


def test_a_new_study_gets_a_prior_with_the_mean_of_its_prediction(patients_alone):
    out = patients_alone[-1]
    row = csvs(out)["new_study_priors"].set_index("parameter").loc["arm, pfs"]
    parts = re.findall(r"([\d.]+) N\((-?[\d.]+), ([\d.]+)\)", row["components"])
    weights, means, sds = np.array(parts, float).T
    assert weights.sum() == pytest.approx(1, abs=0.005 * len(parts))
    new = csvs(out)["arms_and_studies"].set_index("study").loc["(new study)"]
    draws = opened(out)["posterior"]["arm_effect_mean"]
    rounding = 0.005 * (1 + np.abs(means).sum())
    error = rounding + pools.z_of(1) * new["log_sd"] / np.sqrt(draws.size)
    assert weights @ means == pytest.approx(float(draws.mean()), abs=error)
    assert 0 < row["effective_n_robust"] < row["effective_n"]
    assert row["counts"] == "events"
    assert (sds > 0).all()


def test_no_patient_is_named_where_patients_are_alone(patients_alone):
    _, shown, error, out = patients_alone
    assert MARKER not in shown + error + everything_in(opened(out))
    for file in out.rglob("*"):
        if file.is_file():
            assert MARKER.encode() not in file.read_bytes(), file
    assert page(out).count("(1 identifier withheld)") == len(TRIALS)


# --- what a run must not get wrong at its edges -----------------------------------------------------------


def from_the_prior(network):
    """A fit that has seen nothing."""
    draws = draw_prior(network, draws=400, seed=1)
    return xr.DataTree.from_dict({"posterior": draws, "prior": draws})


def test_the_terminal_tells_the_level_of_its_intervals(run):
    assert "90 % CrI" in " ".join(run[1].split())
    assert "95 % CrI" not in run[1]


@pytest.mark.parametrize("measure", ["shrinkage, per 10 points", "shrinkage, per 1 point"])
def test_standard_deviations_of_a_hazard_ratio_are_in_its_own_unit(measure, found, tree):
    rows = found["hazard_ratios"]
    for _, row in rows[rows["measure"] == measure].iterrows():
        assert_ratio(row, *slopes_per(row, tree))


def test_limits_of_parameters_have_the_level_of_the_report(found, tree):
    row = found["parameters"].set_index(["parameter", "label"]).loc[("arm_effect", f"pfs {STUDY}")]
    x = tree["posterior"]["arm_effect"].values
    np.testing.assert_allclose(row[["lower", "upper"]].to_numpy(float), np.quantile(x, TAIL), rtol=1e-9)


@pytest.mark.parametrize("name", ["hazard_ratios", "arms_and_studies", "responses", "survival"])
def test_every_table_of_a_failed_run_is_marked(failing, name):
    rows = pd.read_csv(failing[2].with_name("out-gate-failed") / f"{name}.csv")
    assert "gate" in rows.columns
    assert set(rows["gate"]) == {"failed"}


def test_the_terminal_marks_the_hazard_ratios_of_a_failed_run(failing):
    """Errors may go elsewhere: what is printed must not look like a result."""
    assert "failed" in failing[0][1].partition("Report:")[0]


def test_progress_says_what_is_fitted_and_nothing_of_compiling(monkeypatch, again):
    text = io.StringIO()
    monkeypatch.setattr(cli, "err_console", Console(file=text, force_terminal=True, width=200))
    label, done, total = again[2][0]
    with progress() as advance:
        advance(label, done, total)
    assert label in text.getvalue()
    assert "compiling" not in text.getvalue()


def test_an_endpoint_that_a_cohort_lacks_is_refused(tmp_path):
    patients = small_trial.tables()[0].drop(columns=["os_time", "os_event"])
    code, _, error = invoke("check", with_patients(tmp_path, patients=patients, cohort={"endpoint": "os"}))
    assert code == 2
    assert "os_time" in error


def test_an_arm_without_usable_scans_is_no_crash(tmp_path):
    """Nobody was counted: either there is no count, or a message says what is missing."""
    patients, scans = small_trial.tables()
    treated = patients.loc[patients["arm"] == "treated", "patient"]
    path = with_patients(tmp_path, patients=patients, scans=scans[scans["patient"].isin(treated)])
    code, _, error = invoke("check", path)
    assert code == 0 or error.startswith("error: ")


def test_a_slope_of_an_arm_without_patients_does_not_come_from_them(tmp_path):
    patients, scans = small_trial.tables()
    patients = patients[patients["arm"] == "treated"]
    path = with_patients(
        tmp_path,
        patients=patients,
        scans=scans[scans["patient"].isin(patients["patient"])],
        cohort={"landmark": "36w", "landmark_cuts": ["6mo"]},
        slopes={"landmarks": ["36w"]},
    )
    prepared = prepare(read_specification(path))
    rows = hazard_ratios(from_the_prior(prepared.network), prepared.network, prepared.printed, ci_prob=0.95)
    assert set(rows.loc[rows["arm"] == "177Lu", "status"]) == {"from patients"}
    assert set(rows.loc[rows["arm"] == "control", "status"]) == {"not in print: predicted"}


def test_the_arms_that_are_compared_are_those_of_the_model():
    """Of responders: the evidence also records another comparison, which is not this one."""
    prepared = prepare(read_specification(shipped_models()["netter1_response30"]))
    fit = from_the_prior(prepared.network)
    table = arm_hazard_ratios(fit, prepared.network, ci_prob=0.95, seed=1)
    assert set(table["comparison"]) == {"177Lu >=30 against 177Lu <30"}
    assert comparison(table) == "177Lu ≥ 30 against 177Lu < 30"


def test_a_bias_is_taken_off_only_where_one_is_specified(tmp_path):
    rows = [MEDIAN, RATIO, pools.slope("S9", -0.02, 0.02, "no limit", study=STUDY)]
    for bias, status, name in (
        ({}, "no bias term", "no limit"),
        ({"177Lu": [-0.01, 0.005]}, "bias taken off", "no limit, bias taken off"),
    ):
        path = written(tmp_path, rows, slopes={"landmarks": ["150d", "no limit"]}, bias={"by_arm": bias})
        prepared = prepare(read_specification(path))
        table = hazard_ratios(
            from_the_prior(prepared.network), prepared.network, prepared.printed, ci_prob=0.95
        )
        own = table[(table["arm"] == "177Lu") & (table["landmark"] == "no limit")]
        assert set(own["status"]) == {status}
        assert set(landmark_names(own)) == {name}


@pytest.mark.parametrize("first", ["the one held out", "the one in the fit"])
def test_a_number_held_out_does_not_hide_the_one_in_the_fit(first, tmp_path):
    """Two reviews of one landmark: the one in the likelihood is what the posterior rests on."""
    other = pools.slope("S0", -0.05, 0.02, "150d", study=STUDY, use="check", review="investigator")
    rows = [other, SLOPE] if first == "the one held out" else [SLOPE, other]
    prepared = prepare(read_specification(written(tmp_path, rows)))
    table = hazard_ratios(from_the_prior(prepared.network), prepared.network, prepared.printed, ci_prob=0.95)
    table = table[(table["arm"] == "177Lu") & (table["landmark"] == "150 d")]
    assert set(table["row"]) == {"S1"}
    assert set(table["status"]) == {"in print"}


def test_a_specification_settles_what_its_files_leave_open(tmp_path):
    """Rows that tell the same thing twice are usable where the specification says how."""
    other = pools.slope("S2", -0.03, 0.01, "36w", study=STUDY)
    again = pools.ratio("R2", np.log(0.5), 0.2, study=STUDY)
    options = {"use": {"R2": "check"}, "correlation": {"S1 S2": 0.58}}
    with pytest.raises(InputError, match=r"R1 and R2 of .* both tell the effect of the arm"):
        prepare(read_specification(written(tmp_path, [*ROWS, other, again])))
    prepared = prepare(read_specification(written(tmp_path, [*ROWS, other, again], evidence=options)))
    assert list(prepared.network.rows["id"]) == [*IDS, "S2"]
    correlated = np.linalg.inv(prepared.network.precision[np.ix_([2, 5], [2, 5])])
    assert correlated == pytest.approx(np.array([[1, 0.58], [0.58, 1]]))


@pytest.mark.parametrize("heterogeneity", [0, 0.5])
def test_studies_share_one_hazard_ratio_where_their_heterogeneity_is_none(heterogeneity, tmp_path):
    rows = [MEDIAN, RATIO, pools.ratio("R2", np.log(0.7), 0.3, study="B")]
    path = written(tmp_path, rows, priors={"arm_heterogeneity": heterogeneity})
    prepared = prepare(read_specification(path))
    prior = from_the_prior(prepared.network)["prior"]
    first, second = prior["arm_effect"].transpose("effect", ...).values
    assert (first == second).all() == (heterogeneity == 0)
    assert ("arm_effect_sd" in prior) == (heterogeneity > 0)
    statement = "heterogeneity fixed at 0" if heterogeneity == 0 else "half-normal heterogeneity of scale 0.5"
    assert statement in " ".join(synthesis_in_words(prepared.network).values())


@pytest.mark.parametrize("wide", [True, False])
def test_a_pair_of_points_that_no_curve_can_have_is_used_and_noted(wide, tmp_path):
    median = MEDIAN | ({"lower": "5", "upper": "16"} if wide else {})
    point = pools.row("P1", "survival", 0.4, lower=0.28, upper=0.52, time=12, arm="control", study=STUDY)
    path = written(tmp_path, [median, point], evidence={"correlation": {"M1 P1": "curve"}})
    status, output, _ = invoke("check", path)
    assert status == 0
    assert ("the standard errors of M1 and P1 fall with time" in output) == wide
    notes = prepare(read_specification(path)).notes
    assert [note.code for note in notes] == ["impossible-curve"] * wide


@pytest.mark.parametrize("weight", [0.0, 0.25])
def test_the_weight_of_a_cohort_is_that_of_its_counts_too(weight, tmp_path):
    """At weight 0 patients inform nothing, their responses included."""
    patients, scans = small_trial.tables()
    path = with_patients(tmp_path, patients=patients, scans=scans, cohort={"weight": weight})
    made = prepare(read_specification(path)).network
    assert made.cohorts[0].weight == weight
    assert len(made.rows) == 6
    assert made.power.tolist() == [weight] * 6


@pytest.mark.parametrize("cuts", [["8mo"], ["8mo", "60mo"]])
def test_curves_are_beyond_the_data_from_the_last_follow_up(cuts, tmp_path):
    patients = small_trial.tables()[0].drop(columns=["os_time", "os_event"])
    patients["pfs_event"] = patients["pfs_event"].where(patients["pfs_time"] <= 290, 0)
    patients["pfs_time"] = patients["pfs_time"].clip(upper=290)
    made = prepare(
        read_specification(with_patients(tmp_path, patients=patients, model={"cuts": cuts}))
    ).network
    longest = patients["pfs_time"].max() / 30.4375
    assert known_until(made) == {("pfs", "trial", arm): pytest.approx(longest) for arm in ARMS}
