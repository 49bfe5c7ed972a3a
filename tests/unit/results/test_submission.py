"""What a run states for a regulator is what it found, and what it cannot know is the sponsor's to say."""

import tomllib
from dataclasses import replace

import fake_pool
import fake_results
import pytest
import tomli_w

from bayes_net.results.submission import (
    GUIDANCE,
    JUSTIFIED,
    NOT_STATED,
    estimand,
    statements,
    unjustified,
)
from bayes_net.specification.base import JustificationSection

RUNS = {"patients": fake_results, "synthesis": fake_pool}
PRIOR_SCENARIO = """
[[scenarios]]
name = "sceptical"
[scenarios.change.priors]
hazard_ratio_per_10_points = [0.8, 1.25]
[[scenarios]]
name = "later cuts"
[scenarios.change]
"baseline.intervals" = 4
"""


def said(result) -> dict[str, str]:
    """What is stated, by what is asked."""
    return {item.asks: item.states for item in statements(result)}


@pytest.mark.parametrize("kind", RUNS)
def test_what_no_program_knows_is_never_claimed(kind):
    found = statements(RUNS[kind].content())
    for asked in ("Why each prior", "The criterion", "Why that probability", "Error rates", "fixed before"):
        (item,) = (item for item in found if asked in item.asks)
        assert item.states.startswith(f"{NOT_STATED}: the sponsor has to "), asked
        assert not item.stated
    assert "January 2026, docket FDA-2025-D-3217" in GUIDANCE


@pytest.mark.parametrize("kind", RUNS)
def test_every_topic_is_there_and_no_item_twice(kind):
    found = statements(RUNS[kind].content())
    assert len({item.asks for item in found}) == len(found)
    topics = ["Priors", "Criterion of success", "Operating characteristics", "Borrowing", "Computation"]
    assert list(dict.fromkeys(item.topic for item in found)) == topics


def test_the_weight_of_priors_is_the_contraction_of_what_passed():
    ratios = fake_results.hazard_ratios().assign(contraction=0.5)
    ratios.loc[0, ["contraction", "gate"]] = (0.99, "failed")
    ratios.loc[1, "contraction"] = 0.04
    text = said(fake_results.content(found=fake_results.tables(hazard_ratios=ratios)))[
        "How much the priors weigh"
    ]
    assert "11 log hazard ratios are narrower than their priors by 4 % to 50 %" in text
    assert "; 1 by less than 10 %" in text
    alone = fake_results.tables(hazard_ratios=ratios.assign(gate="failed"))
    assert said(fake_results.content(found=alone))["How much the priors weigh"].startswith(NOT_STATED)


def test_readings_of_power_scaling_are_counted_once_a_hazard_ratio():
    text = said(fake_results.content())["Whether priors and data conflict"]
    assert "of 12 hazard ratios, 12 × “little depends on the priors”" in text
    absent = fake_results.tables(power_scaling=None)
    assert said(fake_results.content(found=absent))["Whether priors and data conflict"].startswith(NOT_STATED)


def test_only_scenarios_that_change_a_prior_count_and_only_once_they_were_run():
    asked = "Conclusions under other priors"
    result = fake_results.content()
    assert said(result)[asked].startswith(NOT_STATED)
    result = replace(result, specification=result.specification + PRIOR_SCENARIO)
    assert said(result)[asked].startswith("1 scenario with other priors or other borrowing: sceptical.")
    tables = {name: table for name, table in result.tables.items() if name != "sensitivity"}
    text = said(replace(result, tables=tables))[asked]
    assert text.startswith(NOT_STATED)
    assert "bayes-net scenarios" in text


def test_failed_and_absent_checks_are_not_called_passed():
    good, bad = (said(fake_results.content(found=fake_results.tables(failing=f))) for f in (False, True))
    assert good["Convergence"].startswith("All 30 checks of the chains passed.")
    assert bad["Convergence"].startswith("2 of 30 checks of the chains failed")
    none = fake_results.tables(diagnostics=fake_results.gate().iloc[:0])
    assert said(fake_results.content(found=none))["Convergence"].startswith(NOT_STATED)


def test_a_synthesis_names_what_is_in_its_likelihood_and_what_is_lighter():
    asked = "Information from outside the trial, and where it is from"
    result = fake_pool.content()
    assert "2 published numbers (Trial and Series), each with its source" in said(result)[asked]
    assert "sponsor has to say" in said(result)[asked]
    assert "Every number counts in full." in said(result)["How it is discounted"]
    powers = '[[cohorts]]\nstudy = "Own"\nweight = 0.5\n[evidence.power]\nSeries = 0.25\nTrial = 1.0\n'
    lighter = replace(result, specification=powers)
    text = said(lighter)["How it is discounted"]
    assert "Likelihood of Series to the power 0.25 and Own to the power 0.5." in text
    assert "patients of Own" in said(lighter)[asked]


def test_software_and_seed_are_those_of_the_run_or_not_stated():
    result = fake_pool.content(provenance={"seed": "7", "method": "nuts (1 of 1)", "version pymc": "5.1"})
    text = said(result)
    assert text["Software and versions"] == "pymc 5.1."
    assert text["Algorithm and seed"] == "Fitted by nuts (1 of 1); seed 7."
    assert said(fake_pool.content(provenance={}))["Software and versions"].startswith(NOT_STATED)


def test_attributes_of_the_estimand_are_the_models_words():
    model = {"Estimand: population": "Those\nat risk.", "Hazard": "Constant."}
    assert estimand({"model": model}) == {"Population": "Those at risk."}


def test_a_comparison_of_priors_with_data_is_told_by_its_smallest_p():
    asked = "Whether priors and data conflict"
    known = fake_results.tables()["prior_conflict"]["p"].dropna()
    assert f"Of {len(known)} comparisons of a prior with the data" in said(fake_results.content())[asked]
    without = fake_results.content(found=fake_results.tables(prior_conflict=None))
    assert said(without)[asked].startswith("No test of conflict.")


def test_the_criterion_of_a_planned_study_is_that_of_the_specification():
    design = '[design]\nsample_sizes = [200]\naccrual = "12mo"\nfollow_up = "6mo"\ncertainty = 0.95\n'
    result = fake_results.content(specification=fake_results.SPECIFICATION + design)
    text = said(result)
    criterion = text["The criterion, and the posterior probability that it needs"]
    assert "a hazard ratio below 1 with a probability above 0.95" in criterion
    (rates,) = (states for asks, states in text.items() if asks.startswith("Error rates"))
    assert rates.startswith(NOT_STATED)
    assert "still to be run (bayes-net design)" in rates


REASONS = """
[justification]
priors = "From the registry of 2019."
conflict = "The priors are weakened."
success = "HR below 1 with 0.975: type I error 2.5 %."
operating_characteristics = "Simulated, see appendix 2."
comparability = "The same centres and scanners."
fixed = "Protocol 1.2, 3 March 2026."
"""


@pytest.mark.parametrize("kind", RUNS)
def test_what_the_specification_justifies_stands_in_its_place_and_the_rest_is_named(kind):
    result = RUNS[kind].content()
    plain = tomllib.loads(result.specification)
    assert unjustified(result) == [*JUSTIFIED.values()]
    whole = replace(result, specification=f"{result.specification}\n{REASONS}")
    for key, text in tomllib.loads(REASONS)["justification"].items():
        once = replace(result, specification=tomli_w.dumps(plain | {"justification": {key: text}}))
        assert unjustified(once) == [what for other, what in JUSTIFIED.items() if other != key]
        telling = [item for item in statements(whole) if text in item.states]
        assert len(telling) == 1, key
        assert telling[0].states == f"In the specification’s words: {text}"
        assert telling[0].stated
    assert unjustified(whole) == []
    blank = replace(result, specification=tomli_w.dumps(plain | {"justification": {"priors": "  "}}))
    assert unjustified(blank) == [*JUSTIFIED.values()]


def test_every_key_of_justification_has_its_place():
    assert set(JUSTIFIED) == set(JustificationSection.model_fields)


def test_beside_a_planned_study_the_reason_for_its_probability_is_the_sponsors():
    design = '[design]\nsample_sizes = [100]\naccrual = "1y"\nfollow_up = "1y"\n'
    result = fake_results.content()
    whole = replace(result, specification=f"{result.specification}\n{design}{REASONS}")
    found = {item.asks: item.states for item in statements(whole) if item.topic == "Criterion of success"}
    assert [text.split(":")[0] for text in found.values()] == [
        "Of the planned study ([design] of the specification)", "In the specification’s words"
    ]  # fmt: skip
    assert said(whole)[
        "Error rates, or other measures agreed upon, of the criterion in simulated trials"
    ] == ("In the specification’s words: Simulated, see appendix 2.")
