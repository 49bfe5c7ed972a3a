"""Scenarios are validated and prepared before the first fit, and read patients once."""

import pytest
import small_trial
from scenario_plans import GRID, NAMED, SLOPE, written

import bayes_net as bn
from bayes_net.errors import InputError, SpecificationError
from bayes_net.robustness import scenarios
from bayes_net.robustness.scenarios import _prepare_all, plan, run_scenarios
from bayes_net.schema import AS_SPECIFIED
from bayes_net.workflow import loading as preparation


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return written(tmp_path_factory.mktemp("trial"), **NAMED, **GRID)


@pytest.fixture(scope="module")
def planned(path):
    return plan(bn.read_specification(path))


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
