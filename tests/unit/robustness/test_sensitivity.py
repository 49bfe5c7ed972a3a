"""The table of an audit: how far each change moves a hazard ratio, and what counts."""

import numpy as np
import pytest
from scenario_plans import invented

from bayes_net.report.scenarios import audit_sentence, audit_to_read
from bayes_net.results.scenarios import strongest
from bayes_net.robustness.audit import MOVED, WEAKENED, Step
from bayes_net.robustness.scenarios import Scenario
from bayes_net.robustness.sensitivity import audit_table
from bayes_net.schema import AS_SPECIFIED


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
