"""Specifications as values: defaults, paths, priors, what the digest sees, what may be shown to others."""

import re
import tomllib
from pathlib import Path

import pytest
from cohort_tables import read
from plans import COMPANIONS, MINIMAL, OTHER_VALUES, SYNTHETIC, parse, values

from bayes_net.assumptions.priors import Flat, Normal, hazard_ratio_prior, slope_change_prior
from bayes_net.data.terms import Covariate, Response, Shrinkage
from bayes_net.errors import SpecificationError
from bayes_net.robustness.scenarios import plan
from bayes_net.schema import Duration
from bayes_net.specification.patients import PatientsPlan
from bayes_net.specification.read import read_specification


def test_a_minimal_specification_has_defaults_for_all_the_rest():
    specification = parse(values())
    assert specification.landmarks.times == ("150 d", "no limit")
    assert specification.landmarks.endpoints == ("pfs",)
    assert specification.baseline.cuts == (Duration(3, "mo"),)
    assert specification.landmarks.measures() == (Shrinkage(0.0),)
    assert specification.report.survival_times == tuple(Duration(n, "mo") for n in (6, 12, 24))
    assert parse(values(**SYNTHETIC)).data.synthetic


def test_data_paths_start_at_the_specification(tmp_path, monkeypatch):
    (tmp_path / "plan").mkdir()
    path = tmp_path / "plan" / "plan.toml"
    path.write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    relative = read_specification("plan/plan.toml").with_seed(3)
    monkeypatch.chdir("/")
    assert relative.folder / relative.data.patients == tmp_path / "plan" / "patients.csv"
    absolute = parse(values(data={"scans": "/data/scans.parquet"}))
    assert absolute.folder / absolute.data.scans == Path("/data/scans.parquet")


def test_changed_values_keep_all_else_and_are_checked():
    before = parse(values(priors={"hazard_ratio_arm": [0.2, 5]}))
    after = before.with_(title="another", priors={"median_months": (4, 40)})
    assert (after.title, after.priors.median_months) == ("another", (4.0, 40.0))
    assert after.priors.hazard_ratio_arm == before.priors.hazard_ratio_arm == (0.2, 5.0)
    assert before.priors.median_months == (2.0, 80.0)
    assert after.folder == before.folder
    assert after.landmarks == before.landmarks
    assert tomllib.loads(after.public_toml())["priors"]["median_months"] == [4.0, 40.0]
    with pytest.raises(SpecificationError, match=r"median_month.*did you mean") as refused:
        before.with_(priors={"median_month": [4, 40], "probability": 2})
    assert len(refused.value.problems) == 2


def test_another_seed_changes_the_seed_alone():
    specification = parse(values())
    other = specification.with_seed(99)
    assert other.sampling.seed == 99
    assert specification.sampling.seed == 1
    assert specification.with_seed(None) is specification
    assert other.with_seed(1).digest == specification.digest != other.digest


def test_order_and_comments_do_not_change_the_digest():
    lines = MINIMAL.strip().splitlines()
    sections = re.split(r"(?=^\[)", MINIMAL.strip(), flags=re.MULTILINE)
    shuffled = "\n# a comment\n".join([sections[0], *reversed(sections[1:])])
    assert shuffled.splitlines() != lines
    assert parse(tomllib.loads(shuffled)).digest == parse(values()).digest


def test_saying_a_default_does_not_change_the_digest():
    said = values(priors={"median_months": [2, 80]}, report={"horizon": "12mo", "profiles": [0, 30]})
    assert parse(said).digest == parse(values()).digest


SINGLE = [
    (section, key)
    for section, keys in OTHER_VALUES.items()
    for key in (keys if isinstance(keys, dict) and section != "grid" else [None])
]


def test_another_value_is_known_for_every_key():
    for name, section in PatientsPlan.sections().items():
        if name not in ("covariates", "scenarios"):
            assert set(OTHER_VALUES[name]) == set(section.model_fields)
    assert set(OTHER_VALUES) == set(PatientsPlan.model_fields)


@pytest.mark.parametrize(("section", "key"), SINGLE)
def test_any_other_value_changes_the_digest_and_survives_being_written_out(section, key):
    companions = COMPANIONS.get(key, {})
    alone = key in (
        "adam_parameters",
        "adam_where",
        "intention_to_treat",
        "confirmed_after",
        "progression_scans",
        "transitions",
        "synthetic_seed",
    )  # keys whose companions change something
    before = parse(values(**({section: companions} if alone else {})))
    changed = OTHER_VALUES[section] if key is None else companions | {key: OTHER_VALUES[section][key]}
    after = parse(values(**{section: changed}))
    assert after.digest != before.digest
    again = parse(tomllib.loads(after.public_toml()))
    if key != "exclude_patients":
        assert again.digest == after.digest
        assert again == after


@pytest.mark.parametrize("change", [{"name": "sex"}, {"reference": 61}, {"scale": 5}, {"levels": ["a", "c"]}])
def test_any_other_covariate_changes_the_digest(change):
    age = {"name": "age", "reference": 60}
    base = {"name": "age", "levels": ["a", "b"]} if "levels" in change else age
    digests = {parse(values(covariates=[c])).digest for c in (base, base | change)}
    assert len(digests) == 2


def test_excluded_patients_are_counted_and_never_written_out():
    specification = parse(values(data={"exclude_patients": ["ZQX-1", "ZQX-2"]}))
    public = specification.public_toml()
    assert "ZQX" not in public
    assert tomllib.loads(public)["data"]["exclude_patients"] == ["(2 identifiers withheld)"]
    hidden = {"exclude_patients": ["ZQX-1"]}
    changes = [{"data.exclude_patients": ["ZQX-1", "ZQX-2"]}, {"data": values()["data"] | hidden}]
    told = parse(
        values(
            scenarios=[{"name": f"{i}", "change": change} for i, change in enumerate(changes)],
            grid={"data.exclude_patients": [[], ["ZQX-1"], ["ZQX-1", "ZQX-2"]]},
        )
    )
    assert "ZQX" not in told.public_toml()
    assert all("ZQX" not in scenario.name + str(scenario.changes_in_words) for scenario in plan(told))
    one = parse(values(data={"exclude_patients": ["ZQX-1"]}))
    assert "(1 identifier withheld)" in one.public_toml()
    assert one.digest != specification.digest


def test_statements_become_the_priors_they_mean():
    specification = parse(
        values(
            landmarks={"thresholds": [30]},
            priors={
                "probability": 0.9,
                "log_hazard": [-3, 2],
                "hazard_ratio_per_10_points": [0.5, 2],
                "hazard_ratio_response": "flat",
            },
            baseline={"arms": "shared", "smoothing": "independent"},
        )
    )
    shrinkage, response = specification.landmarks.measures()
    hazard = specification.hazard(shrinkage, 3)
    assert (hazard.baseline, hazard.smoothing, hazard.slopes) == ("shared", "independent", "per arm")
    assert hazard.priors.level == Normal(-3.0, 2.0)
    assert hazard.priors.slope.mean == pytest.approx(0, abs=1e-12)
    assert hazard.priors.slope.sd == pytest.approx(0.6931471805599453 / 1.6448536269514722)
    assert response == Response(30.0)
    assert specification.hazard(response, 3).priors.slope == Flat()
    flat = parse(values(priors={"median_months": "flat"})).hazard(shrinkage, 7)
    assert flat.priors.level == Flat()


def test_one_statement_gives_the_prior_of_slope_and_of_response():
    shrinkage, response = Shrinkage(), Response(30.0)
    default = parse(values())
    slope, of_response = (default.hazard(m, 3, 34.0).priors.slope for m in (shrinkage, response))
    assert slope == hazard_ratio_prior(0.5, 2)
    assert of_response.sd == pytest.approx(3.4 * slope.sd)
    assert "0.5 and 2 per 10 points, times 34 points" in of_response.statement
    moved = parse(values(priors={"hazard_ratio_per_10_points": [0.7, 1]})).hazard(response, 3, 20.0).priors
    assert moved.slope.mean == pytest.approx(2 * hazard_ratio_prior(0.7, 1).mean)
    assert "35 points (assumed)" in default.hazard(response, 3).priors.slope.statement
    alone = parse(values(priors={"hazard_ratio_response": [0.2, 5]}))
    slope, of_response = (alone.hazard(m, 3, 40.0).priors.slope for m in (shrinkage, response))
    assert of_response == hazard_ratio_prior(0.2, 5)
    assert slope.sd == pytest.approx(of_response.sd / 4)
    again = read_again(alone)
    assert again.hazard(shrinkage, 3, 40.0) == alone.hazard(shrinkage, 3, 40.0)  # nothing derived is stated
    assert again.digest == alone.digest
    flat = parse(values(priors={"hazard_ratio_per_10_points": "flat"}))
    assert flat.hazard(response, 3, 40.0).priors.slope == Flat()


def read_again(specification):
    return PatientsPlan.model_validate(tomllib.loads(specification.public_toml()))


def test_two_statements_hold_as_they_are_and_are_told_apart():
    both = {"hazard_ratio_per_10_points": [0.5, 2], "hazard_ratio_response": [0.2, 5]}
    plan = parse(values(priors=both))
    slope, response = (plan.hazard(m, 3, 35.0).priors.slope for m in (Shrinkage(), Response(30.0)))
    assert (slope, response) == (hazard_ratio_prior(0.5, 2), hazard_ratio_prior(0.2, 5))
    told = plan.priors.contradiction(35.0)
    assert "is 0.2 to 5, but hazard ratios of 0.5 to 2 per 10 points mean 0.088 to 11 over the 35" in told
    assert not plan.priors.contradiction(24.0)  # 0.19 to 5.3
    assert not parse(values(priors=both | {"hazard_ratio_response": "flat"})).priors.contradiction(35.0)
    assert not parse(values()).priors.contradiction(35.0)


def test_independent_intervals_say_together_what_is_stated_of_median_survival():
    shrinkage, *_ = parse(values()).landmarks.measures()
    alone = parse(values(baseline={"smoothing": "independent"}))
    one, nine = (alone.hazard(shrinkage, intervals).priors.level for intervals in (1, 9))
    assert nine.mean == one.mean
    assert 9 * nine.sd**-2 == pytest.approx(one.sd**-2)  # precisions add up
    assert "SD × √9 in each interval" in nine.statement
    assert parse(values()).hazard(shrinkage, 9).priors.level == one  # a random walk has one level
    stated = parse(values(baseline={"smoothing": "independent"}, priors={"log_hazard": [-3, 2]}))
    assert stated.hazard(shrinkage, 9).priors.level == Normal(-3.0, 2.0)


@pytest.mark.parametrize("probability", [0.5, 0.999])
@pytest.mark.parametrize("factor", [1.001, 1000])
def test_every_statement_that_is_allowed_can_be_turned_into_a_prior(probability, factor):
    """Else a run would stop after its data were read, or later."""
    changes = {"hazard_change_per_year": factor, "hazard_ratio_change_per_year": factor}
    priors = parse(values(priors={"probability": probability} | changes)).priors.values(Shrinkage())
    assert 0 < priors.step_sd.sd < 1e4
    assert priors.slope_step_sd.sd == priors.step_sd.sd


def test_slopes_may_vary_over_time():
    plan = parse(values(slopes="time-varying", priors={"hazard_ratio_change_per_year": 3}))
    hazard = plan.hazard(Shrinkage(), 3)
    assert hazard.slopes == "time-varying"
    assert hazard.priors.slope_step_sd == slope_change_prior(3)
    assert hazard.priors.slope_step_sd.statement == "95 % of hazard ratios a year apart within a factor 3"


def test_covariates_become_columns_of_the_exposure():
    age, grade = parse(
        values(
            covariates=[
                {"name": "age", "reference": 60, "scale": 10},
                {"name": "grade", "levels": ["G1", "G2"]},
            ]
        )
    ).covariates
    cohort = read(covariates=("age", "grade"))
    assert age.value(cohort) == Covariate("age", 60.0, 10.0)
    assert grade.value(cohort) == Covariate("grade", levels=("G1", "G2"))
