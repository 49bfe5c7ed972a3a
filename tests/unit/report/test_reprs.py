"""What a notebook shows of objects: counts and results at a glance, escaped, and nothing of any patient."""

import re
import warnings

import cohort_tables
import lxml.html
import numpy as np
import pandas as pd
import pools
import pytest
import small_trial
from invented_fits import draws, invented, patients
from plans import parse, values

import bayes_net as bn
from bayes_net.assumptions.participants import Participants
from bayes_net.checks.gate import Gate
from bayes_net.data.gauss import compress
from bayes_net.data.landmarks import Landmark, attrition_table
from bayes_net.figures.style import Figure
from bayes_net.results.fits import Fitted, Job, hazard_ratio_table, reported_quantities
from bayes_net.tables.reading import Table
from bayes_net.workflow.patients import PreparedPatients

NASTY = '<script>alert(1)</script> & "quoted" 日本'


class Shown:
    """The parsed HTML of an object: its lines and its tables, as a reader sees them."""

    def __init__(self, thing):
        self.source = thing._repr_html_()
        self.root = lxml.html.fragment_fromstring(self.source)
        self.text = " ".join(self.root.itertext())
        self.lines = [line.strip() for p in self.root.iter("p") for line in p.itertext() if line.strip()]
        self.tables = [
            [[cell.text_content() for cell in row] for row in table.iter("tr")]
            for table in self.root.iter("table")
        ]
        self.folded = [s.text_content() for s in self.root.iter("summary")]


def read(people, scans, **options) -> bn.Cohort:
    """The cohort; that its tables call for judgement is what its notes are for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bn.CohortWarning)
        units = {"time_unit": "days", "size_unit": None if scans is None else "mm"}
        return bn.read_cohort(people, scans, **units, **options)


@pytest.fixture(scope="module")
def cohort() -> bn.Cohort:
    return read(*small_trial.tables(), covariates=("grade",))


@pytest.fixture(scope="module")
def landmarks(cohort) -> bn.data.LandmarkSet:
    return bn.landmark(cohort, ["120d", "no limit"])


def job(landmark="150 d", arms=("control", "treated")) -> Job:
    times = [3.171, 9.829, 14.353, 20.717, 30.919]
    data = patients(times, [1, 1, 0, 1, 0], arm=[0, 0, 0, 1, 1], arms=arms)
    months, limit = (0.0, np.inf) if landmark == "no limit" else (5.0, 5.0)
    return Job("pfs", "pfs risk set", Landmark(landmark, months, limit), data.measure, data)


def fitted(about: Job, **bad) -> Fitted:
    rng = np.random.default_rng(7)
    hazards = draws(rng, 2, 1, chains=4, n=400, mean=-3.2, sd=0.1)
    slopes = draws(rng, 2, chains=4, n=400, sd=0.1)
    fit = invented(hazards, slopes, arms=about.data.arms, last_follow_up=[14.3, 30.9])
    checks = bn.gate(fit, reported_quantities(fit)).table
    for check, worst in bad.items():
        checks.loc[checks["check"] == check.replace("_", "-"), ["worst", "passed"]] = [worst, False]
    return Fitted(about, fit, Gate(checks), {"elpd": -10.0})


def late_scan() -> pd.DataFrame:
    """Scans of the small table, and one after its patient's progression."""
    return cohort_tables.with_row(cohort_tables.sizes(), "010", 360, 30, 0, "SD")


def test_a_cohort_shows_counts_by_arm_units_and_notes():
    cohort = read(cohort_tables.people(), late_scan(), covariates=("age", "grade"))
    shown = Shown(cohort)
    assert shown.tables == [
        [
            ["Arm", "Patients", "PFS events", "OS events", "Scans"],
            ["control", "2", "1", "1", "5"],
            ["treated", "2", "1", "1", "5"],
        ]
    ]
    assert shown.lines[:4] == [
        "Cohort",
        "Study: study",
        "Units: time in months, sizes in mm",
        "Covariates: age, grade",
    ]
    assert shown.lines[4:] == ["Warning: 1 scan after PFS ended, kept but not used"]


def test_the_counts_of_a_cohort_add_up_in_the_order_of_its_arms(cohort):
    (_, *rows) = Shown(cohort).tables[0]
    assert [row[0] for row in rows] == list(cohort.arms)
    by_arm = dict(tuple(cohort.patients.groupby("arm")))
    arm_of = dict(zip(cohort.patients["patient"], cohort.patients["arm"], strict=True))
    scans = [arm_of[patient] for patient in cohort.scans["patient"]]
    for arm, *counts in rows:
        own = by_arm[arm]
        expected = [len(own), own["pfs_event"].sum(), own["os_event"].sum(), scans.count(arm)]
        assert [int(count) for count in counts] == expected


def test_a_cohort_without_survival_scans_or_covariates_says_so():
    people = cohort_tables.people().drop(columns=["os_time", "os_event"])
    shown = Shown(read(people, None, arms=("treated", "control"), synthetic=True))
    assert shown.tables[0] == [
        ["Arm", "Patients", "PFS events", "Scans"],
        ["treated", "2", "1", "0"],
        ["control", "2", "1", "0"],
    ]
    assert shown.lines[0] == "Synthetic cohort"
    assert "Units: time in months, sizes as percent change from baseline" in shown.lines
    assert "Covariates: none" in shown.lines


def test_a_landmark_set_shows_who_is_at_risk_by_landmark_and_arm(landmarks):
    shown = Shown(landmarks)
    at_risk, flow = shown.tables
    assert at_risk[0] == ["Landmark", *landmarks.arms]
    assert [row[0] for row in at_risk[1:]] == ["120 d", "no limit (biased: conditions on the future)"]
    for row, label in zip(at_risk[1:], ("120 d", "no limit"), strict=True):
        own = landmarks.at(label)
        expected = [own.loc[own["arm"] == arm, "event"] for arm in landmarks.arms]
        assert row[1:] == [f"{len(events)} ({events.sum()})" for events in expected]
    expected = attrition_table(landmarks.attrition)
    assert flow == [list(expected), *expected.to_numpy().tolist()]
    assert "At risk and analysed (PFS events)" in shown.lines
    assert shown.lines[:2] == ["Landmark set", "Endpoint: PFS; population: pfs risk set"]
    assert not [line for line in shown.lines if "not responding" in line]


def test_a_landmark_at_which_an_arm_has_nobody_left_shows_none():
    people, scans = small_trial.tables(n=40)
    people = people.assign(pfs_time=people["pfs_time"].where(people["arm"] == "treated", 100))
    scans = scans[scans["time"] <= scans["patient"].map(people.set_index("patient")["pfs_time"])]
    cohort = read(people, scans, synthetic=True)
    shown = Shown(bn.landmark(cohort, ["120d"], endpoint="os", intention_to_treat=True))
    assert shown.tables[0][1][1] == "0 (0)"
    assert shown.lines[0] == "Synthetic landmark set"
    assert "Patients without a scan count as not responding" in shown.lines
    assert "At risk and analysed (OS events)" in shown.lines


def test_evidence_shows_counts_by_study_and_use_and_every_number_as_printed(tmp_path):
    rows = [
        pools.row("A1", "median", "10.50", study="Z", lower="8.0", upper="13.0", n="50"),
        pools.row("A2", "count", "5", n="20", endpoint="response", unit="patients", use="check"),
        pools.row("B1", "median", "", lower="18.4", study="B", cohort_id="B", use="record"),
        pools.row("B2", "survival", "0.40", study="B", cohort_id="B", use="record", time="20"),
    ]
    evidence = pools.evidence(rows, tmp_path)
    counts, numbers = Shown(evidence).tables
    assert counts == [
        ["Study", "Likelihood", "Check", "Record"],
        ["Z", "1", "0", "0"],
        ["A", "0", "1", "0"],
        ["B", "0", "0", "2"],
    ]
    printed = numbers[0].index("As printed")
    assert [row[printed] for row in numbers[1:]] == ["10.50 (8.0 to 13.0)", "5 of 20", "≥ 18.4", "0.40"]
    assert [row[0] for row in numbers[1:]] == ["A1", "A2", "B1", "B2"]
    assert Shown(evidence).lines == [str(evidence)]


def test_all_the_shipped_evidence_is_shown():
    evidence = bn.read_evidence(*sorted((pools.POOLED.parent / "data").glob("*.csv")))
    _, numbers = Shown(evidence).tables
    assert [row[0] for row in numbers[1:]] == list(evidence.table["id"])


def test_specifications_show_their_title_and_themselves_without_identifiers():
    excluded = {"exclude_patients": list(small_trial.EXCLUDED)}
    one = parse(values(data=excluded, title="A trial", description="What it is for."))
    shown = Shown(one)
    assert shown.lines == ["A trial", "What it is for."]
    assert shown.root.find(".//details/pre").text == one.public_toml()
    assert small_trial.MARKER not in shown.source
    assert "2 identifiers withheld" in shown.source
    cohort = {"patients": "p.csv", "time_unit": "days", "study": "A"} | excluded
    network = pools.specification({"title": "A synthesis", "cohorts": [cohort]})
    shown = Shown(network)
    assert shown.lines[0] == "A synthesis"
    assert shown.root.find(".//details/pre").text == network.public_toml()
    assert small_trial.MARKER not in shown.source
    assert "2 identifiers withheld" in shown.source


def test_a_fit_shows_its_hazard_ratios():
    fit = fitted(job())
    shown = Shown(fit)
    ratios = hazard_ratio_table([fit], ci_prob=0.95, interval="equal-tailed")
    per_10 = ratios[ratios["measure"] == "shrinkage, per 10 points"]
    for table, estimand in zip(shown.tables, ("association", "interaction"), strict=False):
        own = per_10[per_10["estimand"] == estimand]
        assert table[0] == ["Landmark", "Arm", "N", "Events", "Hr", "Lower", "Upper", "Gate"]
        for row, expected in zip(table[1:], own.itertuples(), strict=True):
            assert row[4:7] == [f"{x:.3g}" for x in (expected.hr, expected.lower, expected.upper)]
    assert shown.lines[:3] == ["PFS, shrinkage, 150 d", "Population: pfs risk set", "Gate passed"]
    assert shown.tables[2][0] == ["Check", "Worst", "Threshold", "Passed", "Where"]
    assert "per 1 point" not in shown.text


def test_a_fit_at_no_limit_is_labelled_biased():
    assert "biased: conditions on the future" in Shown(fitted(job("no limit"))).text


def test_a_fit_that_failed_its_gate_says_so_first():
    shown = Shown(fitted(job(), R_hat=1.23456))
    assert shown.lines[0] == "GATE FAILED: PFS, shrinkage, 150 d"
    assert "Do not use these numbers: R-hat 1.235" in shown.lines
    unchecked = fitted(job())
    unchecked = Shown(Fitted(unchecked.job, unchecked.fit, Gate(unchecked.gate.table[:0]), unchecked.loo))
    assert unchecked.lines[0].startswith("GATE FAILED")
    assert "Do not use these numbers: no checks" in unchecked.lines


def nasty_things(folder) -> list:
    people, scans = small_trial.tables(arms=("control", NASTY))
    cohort = read(people, scans, study=NASTY)
    about = bn.landmark(cohort, ["120d"])
    rows = [pools.row("A1", "median", "10.0", lower="8.0", upper="13.0", n="50", study=NASTY)]
    specification = parse(values(title=NASTY, description=NASTY))
    network = pools.specification({"title": NASTY})
    fit = fitted(job(arms=("control", NASTY)))
    return [cohort, about, pools.evidence(rows, folder), specification, network, fit]


def test_texts_are_escaped_and_the_theme_is_the_notebooks(tmp_path):
    for thing in nasty_things(tmp_path):
        shown = Shown(thing)
        assert NASTY in shown.text
        assert not list(shown.root.iter("script", "style", "link", "img"))
        assert not re.search(r"\b(style|class|color|bgcolor|id|on\w+|src|href)=", shown.source)
        assert len(shown.source) < 20_000


def test_nothing_of_a_patient_is_shown(cohort, landmarks):
    fit = fitted(job())
    ids = set(cohort.patients["patient"])
    levels = {f"{value:.2f}" for value in cohort.scans["sld"]} | {str(v) for v in landmarks.table["time"]}
    for thing in (cohort, landmarks, fit):
        shown = Shown(thing)
        assert not [name for name in ids if name in shown.source]
        assert small_trial.MARKER not in shown.source
        assert not [level for level in levels if level in shown.text]
    assert not [time for time in fit.job.data.time if str(time) in Shown(fit).text]


def test_arms_may_be_named_like_a_column():
    about = bn.landmark(read(*small_trial.tables(arms=("Landmark", "Patients"))), ["120d"])
    at_risk = Shown(about).tables[0]
    assert at_risk[0] == ["Landmark", "Landmark", "Patients"]
    assert sum(int(cell.split()[0]) for cell in at_risk[1][1:]) == len(about.table)


# --- plain text: repr and str ---------------------------------------------------------------------------


def test_plain_reprs_say_counts(cohort, landmarks):
    fit = fitted(job())
    at = {label: len(landmarks.at(label)) for label in ("120 d", "no limit")}
    about = f"120 d {at['120 d']}, no limit {at['no limit']}"
    assert repr(landmarks) == f"<landmark set: PFS, patients analysed: {about}>"
    exposure = "<exposure: 5 patients (control 3, treated 2), 3 events, 1 interval, shrinkage>"
    assert repr(fit.job.data) == exposure
    assert repr(bn.data.aggregate(fit.job.data)) == "<aggregated " + exposure[1:].replace(
        ", sh", ", 2 patterns, sh"
    )
    assert repr(fit) == f"<fit: PFS, shrinkage, 150 d, {exposure}, gate passed>"
    unchecked = Fitted(fit.job, fit.fit, Gate(fit.gate.table[:0]), fit.loo)
    for failing in (fitted(job(), R_hat=1.2), unchecked):
        assert repr(failing).endswith("GATE FAILED>")


def test_nothing_of_a_patient_is_in_a_plain_repr(cohort, landmarks):
    about = bn.expose(landmarks, "120 d", cuts=[3.0])
    at = landmarks.landmarks[0]
    prepared = PreparedPatients(parse(values()), (), cohort, {("pfs", False): landmarks}, ())
    pooled = Participants("A", "pfs", np.ones((2, 1)), np.full((2, 1), 7.654321), "120 d", about)
    held = [
        cohort,
        landmarks,
        about,
        Job("pfs", "pfs risk set", at, about.measure, about),
        prepared,
        pooled,
        compress(about),
        bn.data.aggregate(about),
        Table("patients.csv", cohort.patients, cohort.patients.index),
        Figure("waterfall", "waterfall", None, "PFS: one bar a patient.", "PFS"),
        fitted(job()),
    ]
    numbers = [
        7.654321,
        *about.time,
        *about.score,
        *fitted(job()).job.data.time,
        *cohort.scans["sld"].dropna(),
    ]
    shown = {f"{number:.4g}" for number in numbers if number % 1} | {str(number) for number in numbers}
    for thing in held:
        for text in (repr(thing), str(thing)):
            assert small_trial.MARKER not in text
            assert not [number for number in shown if len(number) > 3 and number in text], text


def test_a_plain_repr_of_a_specification_withholds_identifiers():
    excluded = {"exclude_patients": list(small_trial.EXCLUDED)}
    scenario = {"name": "more out", "change": {"data.exclude_patients": list(small_trial.EXCLUDED)}}
    grid = {"data.exclude_patients": [[], list(small_trial.EXCLUDED)]}
    one = parse(values(data=excluded, title="A trial") | {"scenarios": [scenario], "grid": grid})
    cohort = {"patients": "p.csv", "time_unit": "days", "study": "A"} | excluded
    network = pools.specification({"title": "A synthesis", "cohorts": [cohort]})
    assert repr(one) == f"<specification: A trial, SHA-256 {one.digest[:12]}>"
    assert repr(network) == f"<specification of a synthesis: A synthesis, SHA-256 {network.digest[:12]}>"
    for thing in (one, one.data, one.scenarios[0], network, network.cohorts[0]):
        for text in (repr(thing), str(thing), f"{thing}", repr([thing])):
            assert small_trial.MARKER not in text
    assert "2 identifiers withheld" in repr(one.data)
    assert "synthetic=False" in repr(one.data)
