"""A planned study is the one of its section; what cannot be planned is refused."""

import sys

import pytest
from small_trial import STUDY
from small_trial import planned_study as written

import bayes_net as bn
from bayes_net.cli.check import examine
from bayes_net.data.landmarks import ALL_PATIENTS, ANALYSED, EXCLUDED
from bayes_net.errors import InputError
from bayes_net.robustness.design import designs_of
from bayes_net.specification.shipped import find_specification
from bayes_net.workflow.analysis import prepare


def test_the_decision_is_about_the_landmark_and_the_share_that_reached_it(tmp_path):
    prepared = prepare(bn.read_specification(written(tmp_path)))
    job = prepared.jobs[0]
    plan = designs_of(prepared, job, prepared.plan.design)[1]
    assert (plan.patients, plan.accrual, plan.follow_up) == (80, 12, 24)
    assert plan.landmark == pytest.approx(120 / 30.4375)
    flow = prepared.attrition.query("landmark == '120 d' and endpoint == @job.endpoint")
    assert flow.loc[flow["reason"] == EXCLUDED, "n"].sum() > 0  # they are nobody's patients
    for a, arm in enumerate(job.data.arms):
        n = flow[flow["arm"] == arm].set_index("reason")["n"]
        assert plan.entering[a] == pytest.approx(n[ANALYSED] / (n[ALL_PATIENTS] - n[EXCLUDED]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"design": None}, "there is no [design]"),
        ({"design": STUDY | {"landmark": "no limit"}}, "expected one of"),
        ({"design": STUDY | {"landmark": "72w"}}, "72 w, and there is no such model"),
        ({"design": STUDY | {"accrual": "1mo", "follow_up": "1mo"}}, "before anybody has reached"),
        ({"design": STUDY | {"endpoint": "os"}}, "about os at 120 d, and there is no such model"),
        ({"slopes": "time-varying"}, "slopes are 'time-varying'"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_anything_is_fitted(tmp_path, monkeypatch, changes, said):
    module = sys.modules[designs_of.__module__]
    monkeypatch.setattr(module, "fit_models", lambda *_, **__: pytest.fail("fitted"))
    path = written(tmp_path, **changes)
    with pytest.raises(InputError) as refused:
        bn.robustness.design(bn.read_specification(path))
    assert said in str(refused.value)
    assert "Design(" not in str(refused.value)
    if changes.get("design", STUDY) is not None:
        found = examine(path)
        assert not found.usable
        assert said in found.message


def test_what_is_expected_can_be_given(tmp_path):
    """A model of all follow-up is no landmark of a design."""
    found = examine(written(tmp_path, design=STUDY | {"landmark": "72w"}))
    assert found.message.endswith("landmarks.times: 120 d, 180 d")


@pytest.mark.parametrize("value", [0.001, 1e-300, 1e9])
@pytest.mark.parametrize("key", ["hazard_ratio", "truths"])
def test_a_hazard_ratio_that_no_study_is_about_is_refused(tmp_path, key, value):
    given = {key: [value] if key == "truths" else value}
    with pytest.raises(InputError, match=rf"design\.{key}.*expected a number (less|greater) than or equal"):
        bn.read_specification(written(tmp_path, design=STUDY | given))


def test_a_synthesis_has_no_patients_to_plan_with():
    with pytest.raises(InputError, match=r"there is no \[design\]"):
        bn.robustness.design(bn.read_specification(find_specification("prrt_pooled")))
