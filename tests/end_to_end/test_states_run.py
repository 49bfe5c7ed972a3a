"""A run that follows patients from state to state: its files, its part of the report, what it refuses."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import small_trial

import bayes_net as bn
from bayes_net.data.follow_up import TRANSITIONS
from bayes_net.errors import InputError
from bayes_net.estimands.arms import STATES
from bayes_net.workflow.analysis import prepare

OF_STATES = {
    "landmarks": {
        "times": ["120d", "180d", "no limit"],
        "endpoints": ["pfs", "os"],
        "joint": "hierarchical",
        "thresholds": None,
        "transitions": True,
    },
    "baseline": {"arms": "shared", "cuts": ["4mo", "9mo"]},
    "report": {"survival_times": ["6mo", "12mo"]},
}


def specification(folder, **changes):
    return bn.read_specification(small_trial.written(folder, **(OF_STATES | small_trial.QUICK | changes)))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    sampling = {"sampling": {"seed": 5, "draws": 400, "tune": 400}}  # enough to pass the gate
    return bn.run(specification(folder, **sampling), folder / "out").folder


def test_steps_and_states_are_files(out):
    steps, states = (pd.read_csv(out / f"{name}.csv") for name in ("transitions", "states"))
    assert list(steps["transition"].unique()) == list(TRANSITIONS)
    assert set(steps["landmark"]) == {"120 d", "180 d"}
    keys = ["landmark", "arm", "profile", "time"]
    wide = states.pivot(index=keys, columns="state", values="estimate")
    assert len(wide) == 2 * 2 * 2 * 2
    np.testing.assert_allclose(wide[list(STATES)].sum(axis=1), 1.0, atol=0.03)  # medians of each
    np.testing.assert_allclose(wide[list(STATES[:2])].sum(axis=1), wide["alive"], atol=0.03)
    assert set(states["profile"]) == {"size unchanged", "30 % smaller"}


def test_every_step_goes_through_the_gate_and_the_other_tables_know_none(out):
    gate = pd.read_csv(out / "diagnostics.csv")
    fits = {f"{name}, shrinkage, {at}" for name in TRANSITIONS for at in ("120 d", "180 d")}
    assert fits < set(gate["fit"])
    for name in ("hazard_ratios", "survival", "power_scaling", "influence"):
        table = pd.read_csv(out / f"{name}.csv")
        assert set(table["endpoint"]) == {"pfs", "os"}, name
        assert len(table[table["landmark"] == "120 d"].drop_duplicates(["endpoint", "arm"])) <= 6
    groups = bn.read_result(out).posterior().children
    assert {"progression_shrinkage", "death_after_progression_shrinkage", "os_shrinkage"} <= set(groups)


def test_the_report_says_of_100_patients_how_many_live(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="states"') :]
    text = " ".join(re.sub("<[^>]+>", " ", section[: section.index("</section>")]).split())
    said = r"(treated|control): of 100 patients without progression at 120 d, 12 months later \d+ \(\d+ to"
    assert re.findall(said, text) == ["treated", "control"]
    assert re.search(r"alive if the tumour was 30 % smaller, \d+ of them without progression\.", text)
    assert "not a randomised comparison" in text
    assert "Death after progression" in text
    figure = json.loads((out / "content.json").read_text(encoding="utf-8"))["figures"]["states"]
    assert "shares of patients in each state" in figure["alt"]
    assert "From state to state" in page
    assert "median survivals between 2 and 2000 months" in page


def test_landmarks_together_have_a_table_and_no_word(out):
    table = pd.read_csv(out / "across_landmarks.csv")
    assert set(table["landmark"]) == {"all landmarks", "120 d", "180 d"}
    assert (table["robust_to_naive"] > 1).all()
    assert table.groupby(["endpoint", "arm"]).size().eq(3).all()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Landmarks together" in page
    assert "no posterior" in page
    for name in ("hazard_ratios", "tipping_points"):
        assert "all landmarks" not in set(pd.read_csv(out / f"{name}.csv")["landmark"])


def test_scenarios_and_brief_fits_are_without_them(tmp_path):
    prepared = prepare(specification(tmp_path))
    assert len(prepared.models()) - len(prepared.models(brief=True)) == 2 * len(TRANSITIONS)


def test_responses_have_steps_too(tmp_path):
    patients, scans = small_trial.tables()
    first = scans.groupby("patient")["size"].transform("first")
    response = np.where(scans["size"] <= 0.7 * first, "PR", "SD")
    scans = scans.drop(columns="size").assign(response=response)
    changes = {
        "trial": (patients, scans[scans["time"] > 0]),
        "data": {"size_unit": None},
        "landmarks": {**OF_STATES["landmarks"], "times": ["180d"], "thresholds": [30]},
    }
    states = bn.analyse(prepare(specification(tmp_path, **changes))).tables["states"]
    assert set(states["profile"]) == {">= 30 % smaller", "< 30 % smaller"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"landmarks": {**OF_STATES["landmarks"], "endpoints": ["pfs"]}}, 'needs "os" among'),
        ({"censoring": {"factor": 2.0, "imputations": 5}}, r"no \[censoring\]"),
        (
            {
                "censoring": {"factor": 2.0, "imputations": 5},
                "landmarks": {**OF_STATES["landmarks"], "transitions": False},
            },
            "every patient as observed",
        ),
        (
            {
                "baseline": {"arms": "shared", "cuts": {"os": ["4mo"]}},
                "landmarks": {**OF_STATES["landmarks"], "endpoints": ["os"]},
            },
            "cut-points for pfs",
        ),
        (
            {"landmarks": {**OF_STATES["landmarks"], "progression_scans": False}},
            "progression_scans is about OS of all",
        ),
    ],
)
def test_what_it_needs_is_said(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        specification(tmp_path, **changes)
