"""The audit of priors: each change is what its name says."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pools
import pytest
from scenario_plans import written as written_trial

import bayes_net as bn
from bayes_net.checks.power import prior_blocks
from bayes_net.data.terms import Response, Shrinkage
from bayes_net.robustness.audit import LEFT_OUT, MOVED, NARROWED, WEAKENED, audit_steps
from bayes_net.robustness.scenarios import plan
from bayes_net.workflow.analysis import prepare

READABLE = 1e-3
"""Values are stated with four digits."""


def spread(prior) -> tuple[float, float]:
    """Mean and SD of a prior; of one of a standard deviation, and of a difference, its scale."""
    return getattr(prior, "mean", 0.0), prior.sd


def assert_changed(how, before, after, *, block):
    (mean, sd), (later, wider) = spread(before), spread(after)
    up = -1 if block == "baseline" else 1  # a longer median is a smaller hazard
    expected = {
        WEAKENED: (mean, 4 * sd),
        MOVED: (mean + up * sd, sd),
        NARROWED: (mean, sd / 4),
    }[how]
    np.testing.assert_allclose((later, wider), expected, rtol=READABLE, atol=READABLE * sd)


def differing(before, after) -> list[str]:
    return [f.name for f in fields(before) if getattr(before, f.name) != getattr(after, f.name)]


def test_one_prior_of_patients_changes_at_a_time_and_as_it_is_called(tmp_path):
    rule = {"cuts": ["4mo", "9mo"], "smoothing": "rw1"}
    path = written_trial(tmp_path, baseline=rule, landmarks={"times": ["120d"], "thresholds": [30]})
    made = plan(bn.read_specification(path), audit=True)
    measures, seen = (Shrinkage(), Response(30)), []
    for each in made[1:]:
        pairs = [[s.specification.hazard(m, 1).priors for s in (made[0], each)] for m in measures]
        names = {name for pair in pairs for name in differing(*pair)}
        assert len(names) == 1, each.name
        for pair in pairs:
            for name in differing(*pair):
                own = (getattr(priors, name) for priors in pair)
                assert_changed(each.step.how, *own, block=each.step.block)
        seen.append((each.step.block, names.pop(), each.step.how))
    blocks = {"baseline": "level", "slope": "slope"}  # that of response follows from it
    blocks |= {"arm effect": "arm_effect", "covariates": "covariate"}
    expected = [(block, name, how) for block, name in blocks.items() for how in (WEAKENED, MOVED)]
    assert seen == [*expected, *(("change over time", "step_sd", how) for how in (WEAKENED, NARROWED))]


def test_priors_that_the_model_does_not_use_are_passed_over(tmp_path):
    path = written_trial(tmp_path, baseline={"arms": "per arm", "cuts": ["4mo"]}, covariates=None)
    assert {step.block for step in audit_steps(bn.read_specification(path))} == {"baseline", "slope"}
    flat = written_trial(tmp_path / "flat", priors={"hazard_ratio_per_10_points": "flat"})
    assert "slope" not in {step.block for step in audit_steps(bn.read_specification(flat))}
    level = written_trial(tmp_path / "level", priors={"log_hazard": [-3.0, 0.5]})
    changes = {s.how: s.change for s in audit_steps(bn.read_specification(level)) if s.block == "baseline"}
    assert changes[WEAKENED] == {"priors.log_hazard": [-3.0, 2.0]}
    assert changes[MOVED] == {"priors.log_hazard": [-2.5, 0.5]}


FIELDS = {
    "slope": "slopes",
    "slope heterogeneity": "slopes",
    "bias of no limit": "bias",
    "arm effect": "arm_effect",
    "baseline": "level",
    "change over time": "step_sd",
    "level of studies": "study_level",
    "response": "response_probability",
    "response between studies": "response",
    "early and final shrinkage": "early_late",
}


WITHOUT_KEY = {
    "best shrinkage",
    "best shrinkage between studies",
    "staying at risk",
    "progression as best response",
    "width of bare medians",
    "width of what is not printed",
}


@pytest.mark.parametrize("structure", ["gaussian process", "exchangeable", "tracking"])
def test_one_prior_of_a_synthesis_changes_at_a_time_and_as_it_is_called(structure):
    specification = pools.specification({"slopes.structure": structure})
    made = [each for each in plan(specification, audit=True) if each.step and each.step.how != LEFT_OUT]
    before = specification.assumptions()
    for each in made:
        after, block, how = each.specification.assumptions(), each.step.block, each.step.how
        assert differing(before, after) == [FIELDS[block]], each.name
        pair = [getattr(assumed, FIELDS[block]) for assumed in (before, after)]
        if block == "bias of no limit":
            for arm, (mean, sd) in pair[0].items():
                expected = {WEAKENED: (mean, 4 * sd), MOVED: (mean + sd, sd)}[how]
                np.testing.assert_allclose(pair[1][arm], expected, rtol=READABLE)
        elif "slope" in block:
            name = "prior" if block == "slope" else "heterogeneity"
            assert differing(*pair) == [name]
            assert_changed(how, *(getattr(slopes, name) for slopes in pair), block=block)
        else:
            assert_changed(how, *pair, block=block)
        if block in ("level of studies", "response between studies"):
            assert pair[1].vague_sd / pair[0].vague_sd == pytest.approx(pair[1].sd / pair[0].sd)
    used = set(prior_blocks(prepare(specification).network))
    # what has no key in a specification cannot be changed by one
    assert {each.step.block for each in made} == used - WITHOUT_KEY


def test_a_prior_is_not_made_wider_than_a_specification_may_say():
    steps = audit_steps(pools.specification({"priors.hazard_change_per_year": 10.0}))
    own = {step.how: step for step in steps if step.block == "change over time"}
    assert own[WEAKENED].name == "change over time, SD x 3"
    assert own[WEAKENED].change == {"priors.hazard_change_per_year": 1000.0}
    steps = audit_steps(pools.specification({"priors.hazard_change_per_year": 1000.0}))
    assert [step.how for step in steps if step.block == "change over time"] == [NARROWED]


def test_leaving_a_study_out_has_the_last_word_on_its_rows_and_patients():
    specification = pools.specification({"evidence.power": {"Halperin 2024": 0.5, "H04": 0.5}})
    made = {each.name: each for each in plan(specification, audit=True)}
    network = prepare(made["without Halperin 2024"].specification).network
    own = (network.rows["study"] == "Halperin 2024").to_numpy()
    assert own.any()
    assert not network.power[own].any()
    assert (network.power[~own] == 1).all()
    both = {"study": "NETTER-1", "synthetic": True, "synthetic_seed": 1, "curve": True, "counts": False}
    both |= {"arm_names": {"177Lu-DOTATATE": "177Lu"}, "endpoint": "os"}
    use = {"evidence.only": ["pfs", "response"], "cohorts": [both]}
    made = {each.name: each for each in plan(pools.specification(use), audit=True)}
    network = prepare(made["without NETTER-1"].specification).network
    assert [cohort.weight for cohort in network.cohorts] == [0.0]
    assert not network.power[(network.rows["study"] == "NETTER-1").to_numpy()].any()


def test_a_single_study_is_not_left_out():
    one = pools.specification({"evidence.files": ["data/netter1.csv"]})
    assert LEFT_OUT not in {step.how for step in audit_steps(one)}


def test_a_scenario_may_have_a_slash_in_its_name(tmp_path):
    path = written_trial(tmp_path, scenarios=[{"name": "2/3", "change": {"sampling.seed": 3}}])
    each = plan(bn.read_specification(path))[1]
    assert each.specification.folder == path.parent
    assert isinstance(bn.prepare(each.specification).attrition, pd.DataFrame)
