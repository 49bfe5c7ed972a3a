"""A planned study from its section to its report, on the command line and in Python."""

import re

import pandas as pd
import pytest
import small_trial
from typer.testing import CliRunner

import bayes_net as bn
from bayes_net.cli.app import app
from bayes_net.data.landmarks import ALL_PATIENTS, ANALYSED, EXCLUDED
from bayes_net.errors import InputError
from bayes_net.robustness.design import designs_of
from bayes_net.workflow.analysis import prepare

PLANNED = {
    "sample_sizes": [40, 80],
    "accrual": "12mo",
    "follow_up": "24mo",
    "truths": [0.5],
    "simulations": 12,
}
LANDMARKS = {"times": ["120d", "180d", "no limit"], "thresholds": None}


def written(folder, **changes):
    return small_trial.written(folder, **({"design": PLANNED, "landmarks": LANDMARKS} | changes))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("design")
    path = written(folder)
    command = ["design", str(path), "--out", str(folder / "out")]
    return CliRunner().invoke(app, command), folder / "out", path


def test_the_command_writes_table_figure_and_a_sentence_an_arm(done):
    ran, out, path = done
    assert ran.exit_code == 0, ran.output
    table, studies = (pd.read_csv(out / f"{name}.csv") for name in ("operating_characteristics", "studies"))
    arms = list(prepare(bn.read_specification(path)).jobs[0].data.arms)
    assert list(table["truth"].unique()) == ["posterior", "no association", "HR 0.5"]
    assert len(table) == 3 * 2 * len(arms)
    assert len(studies) == 12 * len(table)
    assert {p.name for p in (out / "figures").iterdir()} >= {"design_1.svg", "design_1.png"}
    page = " ".join((out / "report.html").read_text(encoding="utf-8").split())
    for arm in arms:
        said = f"{arm}: a study of 80 patients succeeds, that is the probability of a hazard ratio below 1"
        assert said in page
        assert said in " ".join(ran.output.split())
    share = table.query("patients == 80 and truth == 'HR 0.5'")["success"].iloc[0]
    assert re.search(rf"{100 * share:.3g}\s%", page)
    assert "FDA-2025-D-3217" in page
    assert "e+" not in "".join(found_errors := re.findall(r"\(± ([^)]*)\)", page))
    assert found_errors


def test_the_report_can_be_made_anew(done):
    _, out, _ = done
    page = (out / "report.html").read_bytes()
    assert CliRunner().invoke(app, ["report", str(out)]).exit_code == 0
    assert (out / "report.html").read_bytes() == page


def test_the_decision_is_about_the_landmark_and_the_share_that_reached_it(done):
    _, _, path = done
    prepared = prepare(bn.read_specification(path))
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
        ({"design": PLANNED | {"landmark": "no limit"}}, "expected one of"),
        ({"design": PLANNED | {"landmark": "72w"}}, "72 w, and there is no such model"),
        ({"design": PLANNED | {"accrual": "1mo", "follow_up": "1mo"}}, "before anybody has reached"),
    ],
)
def test_what_cannot_be_planned_is_refused(tmp_path, changes, said):
    path = written(tmp_path, **changes)
    with pytest.raises(InputError) as refused:
        bn.robustness.design(bn.read_specification(path))
    assert said in str(refused.value)


def test_a_synthesis_has_no_patients_to_plan_with():
    from bayes_net.specification.shipped import find_specification

    with pytest.raises(InputError, match=r"there is no \[design\]"):
        bn.robustness.design(bn.read_specification(find_specification("prrt_pooled")))
