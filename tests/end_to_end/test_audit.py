"""The audit of priors: each change is what its name says, and what it finds is the closed form's answer."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pools
import pytest
from scipy import stats
from test_cli import invoke
from test_scenarios import invented
from test_scenarios import written as written_trial
from test_synthesis_run import page
from test_synthesis_run import written as written_pool

import bayes_net as bn
from bayes_net.checks.power import prior_blocks
from bayes_net.data.terms import Response, Shrinkage
from bayes_net.report.scenarios import audit_sentence, audit_to_read
from bayes_net.results.scenarios import strongest
from bayes_net.robustness.audit import LEFT_OUT, MOVED, NARROWED, WEAKENED, Step, audit_steps
from bayes_net.robustness.scenarios import Scenario, plan
from bayes_net.robustness.sensitivity import audit_table
from bayes_net.schema import AS_SPECIFIED
from bayes_net.workflow.analysis import prepare

READABLE = 1e-3
"""Values are stated with four digits."""

# --- every change is what it is called ----------------------------------------------------------------


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


# --- what it finds, in a synthesis whose answer is known ----------------------------------------------

LIMITS, DATUM, SE = (0.7, 1.43), -0.9, 0.4
"""A prior that is strong by intention, against one printed hazard ratio; a response cannot matter."""
LEVEL = 0.9
SPECIFICATION = {
    "title": "One printed hazard ratio",
    "evidence": {"files": ["rows.csv"]},
    "model": {"arms": list(pools.ARMS), "reference": "A", "cuts": ["8mo"]},
    "borrowing": {"response": {"kind": "full"}},
    "priors": {"hazard_ratio_arm": list(LIMITS)},
    "sampling": {"seed": 1, "draws": 2000, "tune": 600, "target_accept": 0.9},
    "report": {"level": LEVEL},
}


def exact(mean: float, sd: float, *, power: float = 1.0) -> tuple[float, float]:
    precision = sd**-2 + power * SE**-2
    return (mean / sd**2 + power * DATUM / SE**2) / precision, precision**-0.5


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Exit code, output and folder of an audit without any scenario."""
    folder = tmp_path_factory.mktemp("audit")
    rows = (pools.ratio("R1", DATUM, SE), pools.row("C1", "count", 30, n=60, endpoint="response", study="B"))
    path = written_pool(folder, rows, of=SPECIFICATION)
    code, shown, error = invoke("scenarios", path, "--audit", "--out", folder / "out")
    assert error == ""
    return code, shown, folder / "out"


@pytest.fixture(scope="module")
def found(run):
    return bn.read_result(run[2]).tables["audit"].set_index("block")


def test_shifts_and_widths_are_those_of_the_conjugate_posterior(found):
    mean, sd = np.log(LIMITS).mean(), np.log(LIMITS[1] / LIMITS[0]) / (2 * stats.norm.ppf(0.975))
    whole = exact(mean, sd)
    own = found.loc["arm effect"]
    cases = (
        (own["hr_weakened"], own["shift_weakened"], own["width_weakened"], exact(mean, 4 * sd)),
        (own["hr_other"], own["shift_other"], own["width_other"], exact(mean + sd, sd)),
    )
    left = found.loc["A"]
    cases += ((left["hr_weakened"], left["shift_weakened"], left["width_weakened"], (mean, sd)),)
    for hr, shift, width, (after, after_sd) in cases:
        # the error of a shift is told; a limit's is about twice a median's
        error = 4 * max(own["mcse_shift_weakened"], own["mcse_shift_other"], left["mcse_shift_weakened"])
        assert shift == pytest.approx((after - whole[0]) / whole[1], abs=error)
        assert width == pytest.approx(after_sd / whole[1], rel=2 * error)
        assert np.log(hr) == pytest.approx(after, abs=error * whole[1])
    assert own["other"] == MOVED
    assert left["kind"] == "study"
    assert np.isnan(left["hr_other"])


def test_the_strong_prior_is_found_first_and_what_cannot_matter_does_not(found):
    order = list(dict.fromkeys(found.index))
    assert order[:2] == ["arm effect", "A"]
    assert set(order[2:]) == {"response", "B"}
    for block in ("response", "B"):
        own = found.loc[block]
        ends = ("weakened", "other") if block == "response" else ("weakened",)
        assert all(abs(own[f"shift_{end}"]) < 4 * own[f"mcse_shift_{end}"] for end in ends)
        assert abs(np.log(own["width_weakened"])) < 0.1


def test_the_audit_needs_no_scenarios_compiles_no_model_and_is_told_everywhere(run):
    code, shown, out = run
    assert code == 0
    result = bn.read_result(out)
    names = [AS_SPECIFIED, "arm effect, SD x 4", "arm effect, mean + 1 SD"]
    names += ["response, SD x 4", "response, mean + 1 SD", "without A", "without B"]
    assert list(result.tables["scenarios"]["scenario"].unique()) == names
    before, text = page(out), audit_to_read(result.tables["audit"])
    assert list(text["Prior, or study"]) == [
        "arm effect",
        "without A",
        *(n for n in text["Prior, or study"][2:]),
    ]
    assert list(text["Effect on the hazard ratio"][:2]) == ["large", "large"]
    assert set(text["Effect on the hazard ratio"][2:]) == {"negligible"}
    assert 'id="audit"' in before
    for said in ("arm effect", "negligible"):
        assert said in before
        assert said in shown
    assert (
        "Of 2 stated priors, one at a time, these have more than a negligible effect: arm effect; of 2 "
        "studies, one at a time, these have more than a negligible effect: A." in before
    )
    bn.workflow.rebuild_report(out)
    assert page(out) == before


# --- the table ----------------------------------------------------------------------------------------


def made(*steps) -> list[Scenario]:
    named = [Scenario(step.name, step.change, None, step) for step in steps]
    return [Scenario(AS_SPECIFIED, {}, None), *named]


STEPS = (Step("a", "slope", WEAKENED, {}), Step("b", "slope", MOVED, {}))


def test_a_failed_scenario_is_not_known_and_no_audit_is_no_table():
    table = invented(log_sd=0.2, biased=False)
    found = audit_table(made(*STEPS), table)
    own = found.set_index("arm").loc["A"]
    assert own["shift_weakened"] == pytest.approx(np.log(1.2 / 0.7) / 0.2)
    assert own["shift_other"] == pytest.approx(np.log(0.6 / 0.7) / 0.2)
    table.loc[table["scenario"] != AS_SPECIFIED, "gate"] = "failed"
    failed = audit_to_read(audit_table(made(*STEPS), table))
    assert (
        failed.iloc[0][["Effect on the hazard ratio", "Weakened, or left out", "Moved, or narrowed"]].tolist()
        == ["not known"] * 3
    )
    assert audit_table(made(), invented(log_sd=0.2)).empty


def test_what_is_biased_is_told_of_its_own_prior_only():
    table = invented(log_sd=0.2)
    table["biased"] = table["arm"] == "A"
    assert strongest(audit_table(made(*STEPS), table))["arm"].tolist() == ["B"]
    own = (Step("a", "bias of no limit", WEAKENED, {}),)
    table.loc[(table["scenario"] == "a") & (table["arm"] == "B"), "hr"] = 1.05
    found = audit_table(made(*own), table)
    assert strongest(found)["arm"].tolist() == ["A"]
    assert "bias of no limit" in audit_sentence(found)


def test_levels_of_studies_do_not_stand_for_a_hazard_ratio():
    table = invented(log_sd=0.2, biased=False)
    table.loc[table["arm"] == "B", "estimand"] = "study against reference"
    assert strongest(audit_table(made(*STEPS), table))["arm"].tolist() == ["A"]


def test_a_scenario_may_have_a_slash_in_its_name(tmp_path):
    path = written_trial(tmp_path, scenarios=[{"name": "2/3", "change": {"sampling.seed": 3}}])
    each = plan(bn.read_specification(path))[1]
    assert each.specification.folder == path.parent
    assert isinstance(bn.prepare(each.specification).attrition, pd.DataFrame)
