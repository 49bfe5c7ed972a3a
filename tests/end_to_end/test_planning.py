"""A planned study from its section to its report, on the command line and in Python."""

import re

import pandas as pd
import pytest
from small_trial import planned_study as written
from typer.testing import CliRunner

import bayes_net as bn
from bayes_net.cli.app import app
from bayes_net.workflow.analysis import prepare


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
