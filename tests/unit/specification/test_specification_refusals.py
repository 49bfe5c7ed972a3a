"""What a specification refuses, and in which words."""

import re

import pytest
from plans import MINIMAL, SYNTHETIC, parse, values

from bayes_net.errors import SpecificationError
from bayes_net.specification.read import read_specification


def refusal(**changes) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        parse(values(**changes))
    first, *lines = str(caught.value).splitlines()
    assert first == "plan.toml: the specification is not usable"
    return [line.strip() for line in lines]


REFUSED = {
    "censoring.factor below nothing": (
        {"censoring": {"factor": -1}},
        "censoring.factor: expected a number greater than or equal to 0 (got -1)",
    ),
    "censoring.factor without end": (
        {"censoring": {"factor": float("inf")}},
        "censoring.factor: expected a finite number (got inf)",
    ),
    "censoring.imputations once": (
        {"censoring": {"imputations": 1}},
        "censoring.imputations: expected a number greater than or equal to 2 (got 1)",
    ),
    "censoring.arms twice": ({"censoring": {"arms": ["a", "a"]}}, "censoring: arms has a twice"),
    "censoring of nobody": (
        {"censoring": {"shrinkage_at_least": 30, "shrinkage_below": 30}},
        "censoring: no shrinkage is at least 30 and below 30; expected a lower shrinkage_at_least",
    ),
    "censoring.horizon without a unit": (
        {"censoring": {"horizon": 24}},
        "censoring.horizon: duration 24 is not understood; expected a number and a unit",
    ),
    "censoring unknown": ({"censoring": {"delta": 2}}, "censoring.delta: unknown key"),
    "landmarks.times without a unit": (
        {"landmarks": {"times": [150]}},
        "landmarks.times.1: duration 150 is not understood; expected a number and a unit",
    ),
    "landmarks.times of nothing": (
        {"landmarks": {"times": []}},
        "landmarks.times: expected at least one entry (got [])",
    ),
    "landmarks.times no list": (
        {"landmarks": {"times": "150d"}},
        "landmarks.times: expected a list in square brackets (got '150d')",
    ),
    "landmarks.times at zero": (
        {"landmarks": {"times": ["0d"]}},
        "specification: landmarks.times begins at time zero, when no scan is after the baseline",
    ),
    "landmarks.times twice": (
        {"landmarks": {"times": ["12mo", "1y"]}},
        "landmarks: landmarks are the same time",
    ),
    "endpoints": (
        {"landmarks": {"endpoints": ["dfs"]}},
        "landmarks.endpoints.1: expected 'pfs' or 'os' (got 'dfs')",
    ),
    "endpoints twice": ({"landmarks": {"endpoints": ["os", "os"]}}, "landmarks: endpoints has os twice"),
    "os_population": (
        {"landmarks": {"os_population": "all"}},
        "landmarks.os_population: expected 'pfs risk set' or 'alive' (got 'all')",
    ),
    "thresholds above all": (
        {"landmarks": {"thresholds": [30, 130]}},
        "landmarks.thresholds.2: expected a number less than or equal to 100 (got 130)",
    ),
    "thresholds twice": ({"landmarks": {"thresholds": [30, 30.0]}}, "landmarks: thresholds has 30 twice"),
    "thresholds of text": (
        {"landmarks": {"thresholds": ["30%"]}},
        "landmarks.thresholds.1: expected a number",
    ),
    "scan_window without shrinkage": (
        {"slopes": "none", "landmarks": {"times": ["0d"], "scan_window": "14d"}},
        "specification: landmarks.scan_window is about scans; remove it",
    ),
    "intention_to_treat alone": (
        {"landmarks": {"intention_to_treat": True}},
        "landmarks: intention_to_treat is about response: give thresholds too",
    ),
    "confirmed_after alone": (
        {"landmarks": {"confirmed_after": "4w"}},
        "landmarks: confirmed_after is about response: give thresholds too",
    ),
    "intention_to_treat text": (
        {"landmarks": {"intention_to_treat": "yes"}},
        "landmarks.intention_to_treat: expected true or false (got 'yes')",
    ),
    "shrinkage_reference": (
        {"landmarks": {"shrinkage_reference": float("nan")}},
        "landmarks.shrinkage_reference: expected a finite number (got nan)",
    ),
    "time_unit": (
        {"data": {"time_unit": "day"}},
        "data.time_unit: expected 'days', 'weeks', 'months' or 'years' (got 'day')",
    ),
    "time_unit missing": ({"data": {"time_unit": None}}, "data: missing: time_unit"),
    "exclude_patients": (
        {"data": {"exclude_patients": [101]}},
        "data.exclude_patients.1: expected text in quotes (got 101)",
    ),
    "a code of hundreds of digits": (
        {"data": {"missing_codes": {"age": [10**400]}}},
        "data.missing_codes.age: a number of hundreds of digits; expected values as the file has them",
    ),
    "scans_after_death": (
        {"data": {"scans_after_death": "ignore"}},
        "data.scans_after_death: expected 'refuse' or 'drop' (got 'ignore')",
    ),
    "baseline_window": (
        {"data": {"baseline_window": 14}},
        "data.baseline_window: duration 14 is not understood; expected a number and a unit",
    ),
    "patient_columns": (
        {"data": {"patient_columns": ["id"]}},
        "data.patient_columns: expected a table, such as {patient = \"id\"} (got ['id'])",
    ),
    "synthetic with files": (
        {"data": {"synthetic": True, "synthetic_seed": 1}},
        "data: synthetic = true generates its patients: remove patients, scans and time_unit",
    ),
    "synthetic without a seed": (
        {"data": SYNTHETIC["data"] | {"synthetic_seed": None}},
        "data: synthetic = true needs synthetic_seed, a whole number",
    ),
    "cuts without unit": (
        {"baseline": {"cuts": [90, 180]}},
        "baseline.cuts: duration 90 is not understood; expected a number and a unit",
    ),
    "cuts falling": (
        {"baseline": {"cuts": ["6mo", "90d"]}},
        "baseline.cuts: 90 d does not come after 6 mo; expected rising durations",
    ),
    "cuts of an unknown endpoint": (
        {"baseline": {"cuts": {"dfs": ["3mo"]}}},
        "baseline.cuts: unknown endpoint dfs; expected pfs or os",
    ),
    "cuts as one text": ({"baseline": {"cuts": "3mo"}}, "baseline.cuts: expected a list of durations"),
    "cuts not for every endpoint": (
        {"baseline": {"cuts": {"os": ["3mo"]}}},
        "specification: baseline.cuts has no cut-points for pfs",
    ),
    "two rules of intervals": (
        {"baseline": {"intervals": 4}},
        "baseline: give exactly one of cuts (a list of durations), intervals",
    ),
    "no rule of intervals": ({"baseline": {"cuts": None}}, "baseline: give exactly one of cuts"),
    "half a grid": (
        {"baseline": {"cuts": None, "grid_width": "3mo"}},
        "baseline: grid_width and grid_until belong together",
    ),
    "a grid wider than long": (
        {"baseline": {"cuts": None, "grid_width": "9mo", "grid_until": "6mo"}},
        "baseline: grid of width 9 mo until 6 mo has no cut-point",
    ),
    "too fine a grid": (
        {"baseline": {"cuts": None, "grid_width": "1d", "grid_until": "2y"}},
        "baseline: a grid of 1 d until 2 y has more than 50 intervals",
    ),
    "a grid finer than memory": (
        {"baseline": {"cuts": None, "grid_width": "0.0000001d", "grid_until": "2y"}},
        "baseline: a grid of 1e-07 d until 2 y has more than 50 intervals",
    ),
    "a grid without end": (
        {"baseline": {"cuts": None, "grid_width": "1d", "grid_until": "1000000000000y"}},
        "baseline.grid_until: duration '1000000000000y' is longer than 1000 years",
    ),
    "an infinite duration": (
        {"report": {"horizon": "9" * 400 + "y"}},
        f"report.horizon: duration '{'9' * 400}y' is longer than 1000 years",
    ),
    "too many intervals": (
        {"baseline": {"cuts": None, "intervals": 51}},
        "baseline.intervals: expected a number less than or equal to 50 (got 51)",
    ),
    "slopes": (
        {"slopes": "no"},
        "slopes: expected 'per arm', 'common', 'time-varying' or 'none' (got 'no')",
    ),
    "limits the wrong way round": (
        {"priors": {"hazard_ratio_arm": [2, 1]}},
        "priors.hazard_ratio_arm: expected two positive numbers, the smaller first, such as [0.5, 2], or",
    ),
    "limits of one": ({"priors": {"median_months": [5]}}, "priors.median_months: expected two positive"),
    "limits misspelt": ({"priors": {"median_months": "Flat"}}, "priors.median_months: expected two positive"),
    "probability in percent": (
        {"priors": {"probability": 95}},
        "priors.probability: expected a number less than or equal to 0.999 (got 95)",
    ),
    "hazard_change_per_year": (
        {"priors": {"hazard_change_per_year": 1}},
        "priors.hazard_change_per_year: expected a number greater than 1 (got 1)",
    ),
    "log_hazard": (
        {"priors": {"log_hazard": [-3, 0]}},
        "priors.log_hazard.2: expected a number greater than 0 (got 0)",
    ),
    "two statements about the level": (
        {"priors": {"log_hazard": [-3, 1], "median_months": [2, 80]}},
        "priors: median_months and log_hazard say the same thing in two ways",
    ),
    "seed missing": ({"sampling": {"seed": None, "draws": 100}}, "sampling.seed: missing; it has no default"),
    "seed as text": ({"sampling": {"seed": "1"}}, "sampling.seed: expected a whole number (got '1')"),
    "seed as a truth": ({"sampling": {"seed": True}}, "sampling.seed: expected a whole number (got True)"),
    "seed below 0": (
        {"sampling": {"seed": -1}},
        "sampling.seed: expected a number greater than or equal to 0 (got -1)",
    ),
    "a number that cannot be written": (
        {"report": {"level": 10**5000}},
        "report.level: expected a number (got a int too large to show)",
    ),
    "a grid of nothing": ({"grid": {"slopes": [[None]]}}, "grid.slopes: expected values, and no None"),
    "a seed of 21 digits": (
        {"sampling": {"seed": 10**20}},
        "sampling.seed: expected a number less than 9223372036854775808 (got 1",
    ),
    "a million million draws": (
        {"sampling": {"draws": 10**12}},
        "sampling.draws: expected a number less than or equal to 1000000",
    ),
    "a million chains": ({"sampling": {"chains": 10**6}}, "sampling.chains: expected a number less than or"),
    "draws": ({"sampling": {"draws": 10}}, "sampling.draws: expected a number greater than or equal to 100"),
    "chains": ({"sampling": {"chains": 1}}, "sampling.chains: expected a number greater than or equal to 2"),
    "target_accept": (
        {"sampling": {"target_accept": 1.0}},
        "sampling.target_accept: expected a number less than 1",
    ),
    "level": (
        {"report": {"level": 95}},
        "report.level: expected a number less than or equal to 0.999 (got 95)",
    ),
    "interval": (
        {"report": {"interval": "hpd"}},
        "report.interval: expected 'equal-tailed' or 'hdi' (got 'hpd')",
    ),
    "horizon": ({"report": {"horizon": "0mo"}}, "report.horizon: duration '0mo' is no time at all"),
    "survival_times twice": (
        {"report": {"survival_times": ["12mo", "1y"]}},
        "report: survival_times has 12 mo twice",
    ),
    "survival_times of none": (
        {"report": {"survival_times": []}},
        "report.survival_times: expected at least one",
    ),
    "profiles twice": ({"report": {"profiles": [0, 0.0]}}, "report: profiles has 0 twice"),
    "profiles beyond all": (
        {"report": {"profiles": [120]}},
        "report.profiles.1: expected a number less than or equal to 100 (got 120)",
    ),
    "missing and censoring": (
        {"missing": {}, "censoring": {}, "covariates": [{"name": "age", "reference": 60}]},
        "specification: [missing] completes the covariates of each landmark's patients",
    ),
    "missing and prediction": (
        {"missing": {}, "report": {"prediction": True}},
        "specification: [missing] completes the covariates of each landmark's patients",
    ),
    "missing.imputations once": (
        {"missing": {"imputations": 1}},
        "missing.imputations: expected a number greater than or equal to 2 (got 1)",
    ),
    "measurement without sd": ({"measurement": {}}, "measurement.sd: missing; it has no default"),
    "measurement in percent": (
        {"measurement": {"sd": 7}},
        "measurement.sd: expected a number less than or equal to 0.5 (got 7)",
    ),
    "measurement and response": (
        {"measurement": {"sd": 0.1}, "landmarks": {"thresholds": [30]}},
        "specification: [measurement] is about the best shrinkage of each patient as a number, at each "
        "landmark: remove it, or landmarks.thresholds",
    ),
    "measurement, censoring and prediction": (
        {"measurement": {"sd": 0.1}, "censoring": {}, "report": {"prediction": True}},
        "specification: [measurement] is about the best shrinkage of each patient as a number, at each "
        "landmark: remove it, or [censoring], report.prediction",
    ),
    "measurement beside all follow-up": (
        {"measurement": {"sd": 0.1}, "landmarks": {"times": ["150d", "36w"]}},
        "specification: [measurement] is about landmarks, and the model of all follow-up takes shrinkage as "
        'measured; expected landmarks.joint = "none" or "hierarchical"',
    ),
    "covariates in single brackets": (
        {"covariates": {"name": "age", "reference": 60}},
        "covariates: expected [[covariates]], with double brackets",
    ),
    "a covariate of both kinds": (
        {"covariates": [{"name": "age", "reference": 60, "levels": ["a", "b"]}]},
        "covariates.1: give either reference (numeric) or levels (categories, reference level first)",
    ),
    "a covariate of no kind": ({"covariates": [{"name": "age"}]}, "covariates.1: give either reference"),
    "one level": (
        {"covariates": [{"name": "sex", "levels": ["f"]}]},
        "covariates.1: levels needs at least two different levels",
    ),
    "a covariate twice": (
        {"covariates": [{"name": "age", "reference": 0}, {"name": "age", "reference": 1}]},
        "specification: covariates has age twice",
    ),
    "a section that is no table": ({"data": "patients.csv"}, "data: expected a section (got 'patients.csv')"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_value_is_refused_with_its_key_and_what_is_allowed(case):
    changes, expected = REFUSED[case]
    lines = refusal(**changes)
    assert len(lines) == 1, lines
    assert lines[0].startswith(expected)


UNKNOWN = {
    "a slip": (
        {"sampling": {"drws": 100}},
        "sampling.drws: unknown key; did you mean draws?; the keys here are",
    ),
    "of another section": (
        {"landmarks": {"seed": 3}},
        "landmarks.seed: unknown key; it belongs in [sampling]; the keys here are times, endpoints",
    ),
    "below a section, for the top": (
        {"report": {"slopes": "common"}},
        "report.slopes: unknown key; it belongs at the top of the file, before the first [section]",
    ),
    "at the top, for a section": (
        {"seed": 1},
        "seed: unknown key; it belongs in [sampling]; the keys here are title",
    ),
    "of a covariate": (
        {"covariates": [{"name": "age", "reference": 1, "level": []}]},
        "covariates.1.level: unknown key; did you mean levels?; the keys here are name, reference, scale",
    ),
    "like nothing": ({"priors": {"xyzzy": 1}}, "priors.xyzzy: unknown key; the keys here are probability"),
    "an unknown section": ({"prior": {"probability": 0.9}}, "prior: unknown key; did you mean priors?"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_an_unknown_key_is_refused_with_its_place_or_the_nearest_one(case):
    changes, expected = UNKNOWN[case]
    lines = refusal(**changes)
    assert len(lines) == 1, lines
    assert lines[0].startswith(expected)


def test_every_problem_is_told_at_once():
    lines = refusal(
        landmarks={"times": [], "endpoints": ["dfs"]}, sampling={"seed": "x", "chains": 1}, sedd=2
    )
    keys = [line.split(":")[0] for line in lines]
    assert keys == ["landmarks.times", "landmarks.endpoints.1", "sampling.seed", "sampling.chains", "sedd"]


def test_an_empty_file_names_what_is_needed(tmp_path):
    path = tmp_path / "empty.toml"
    path.write_text("")
    with pytest.raises(SpecificationError) as caught:
        read_specification(path)
    missing = re.findall(r"(\w+): missing", str(caught.value))
    assert missing == ["title", "data", "landmarks", "baseline", "sampling"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"title = 'x", "not valid TOML: .*end of document"),
        (b"title = 'x'\ntitle = 'y'", "not valid TOML"),
        (b"title = " + b"1" * 5000, "cannot be read .*4300 digits"),
        (b"x = " + b"[" * 400 + b"]" * 400, "tables or lists lie more than 20 deep"),
        (b"x = " + b"[" * 100_000, "tables or lists lie more than 20 deep"),
        (b"[" + b"a." * 100_000 + b"b]", "a key has a hundred dots"),
        (b"a." * 100_000 + b"b = 1", "a key has a hundred dots"),
        (b"#" * 11_000_000, "more than 10 MB"),
        (b"title = '\xe9'", r"not UTF-8 text \(.* at byte 9\)"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_specification_is_refused_by_name(tmp_path, content, said):
    path = tmp_path / "plan.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecificationError, match=rf"plan\.toml'?: {said}"):
        read_specification(path)


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(MINIMAL, encoding="utf-8-sig")
    assert read_specification(path).title == "A trial"


@pytest.mark.parametrize("name", ["plan\0.toml", "\ud800.toml", "x" * 5000, None, 3])
def test_what_no_file_can_be_called_is_refused(name):
    with pytest.raises(SpecificationError, match=r"cannot be read|no specification"):
        read_specification(name)


@pytest.mark.parametrize("text", ["\ud800", ["\ud800"], [{"\ud800": 1}]])
def test_text_that_cannot_be_written_is_refused(text):
    with pytest.raises(SpecificationError, match="is no text"):
        parse(values(title=text))


def test_a_paragraph_of_many_sentences_is_no_long_key(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(f"description = '{'A sentence. ' * 500}{'...' * 200}'\n{MINIMAL}")
    assert read_specification(path).title == "A trial"
