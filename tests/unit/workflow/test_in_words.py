"""What was found and assumed, in words: of results, of runs and of fits."""

from dataclasses import replace

import fake_pool
import fake_results
import numpy as np
import pytest
import small_trial

import bayes_net as bn
from bayes_net.errors import InputError
from bayes_net.report.words import answer
from bayes_net.workflow.analysis import prepare
from bayes_net.workflow.in_words import Explanation


def test_a_result_of_patients_says_what_its_report_says():
    result = fake_results.content()
    found = bn.explain(result)
    assert found.sections["Found"] == tuple(answer(result.tables["hazard_ratios"]))
    assert found.sections["Question"] == ("Does greater shrinkage by a landmark go with longer PFS?",)
    assert found.sections["Rests on"][0].startswith("In each arm at each landmark: ")
    assert found.sections["Checks"] == ("Every convergence check was passed.",)
    assert str(found).startswith(result.words["title"])
    failing = bn.explain(replace(result, tables=fake_results.tables(failing=True)))
    assert "did not pass" in failing.sections["Checks"][0]
    assert "do not use those numbers" in failing.sections["Checks"][0]


def test_a_result_of_a_synthesis_says_what_its_report_says():
    found = bn.explain(fake_pool.content())
    assert found.sections["Question"] == ("Does greater shrinkage go with longer PFS?",)
    assert found.sections["Found"][0].startswith("177Lu, PFS after 150")
    assert "hazard ratios at landmarks" in found.sections["Rests on"][0]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = small_trial.written(tmp_path_factory.mktemp("trial"))
    return prepare(bn.read_specification(path)).jobs[0].data


def test_a_fit_has_its_hazard_ratios_and_words_that_know_of_its_arms(data):
    fit = bn.fit(data, seed=1, sampler=bn.Sampler(500, 500, 4, 0.95))
    text = str(bn.explain(fit))
    for arm, n in zip(data.arms, data.n_by_arm, strict=True):
        assert f"{arm}: hazard ratio of 10 points of shrinkage" in text
        assert f"{n} patients" in text
    certain = fit.copy()
    slope = certain["posterior"]["slope"]
    certain["posterior"]["slope"] = slope.copy(data=np.abs(slope.values) + 0.1)
    assert str(bn.explain(certain)).count("almost certainly associated with shorter time to event") == 2


def test_what_cannot_be_explained_is_refused():
    with pytest.raises(InputError, match="DataFrame given; expected an Analysis"):
        bn.explain(fake_results.hazard_ratios())
    with pytest.raises(InputError, match="expected one of a run of patients"):
        bn.explain(replace(fake_results.content(), kind="scenarios"))


def test_in_a_notebook_names_are_text():
    html = Explanation("<b>", {"Found": ("<script>",)})._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<script>" not in html
