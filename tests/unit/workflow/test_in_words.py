"""What was found and assumed, in words: of results, of runs and of fits."""

from dataclasses import replace

import fake_pool
import fake_results
import numpy as np
import pools
import pytest
import small_trial
import xarray as xr

import bayes_net as bn
from bayes_net.errors import InputError
from bayes_net.report.words import answer
from bayes_net.workflow.analysis import prepare
from bayes_net.workflow.in_words import Explanation

ARMS_ONLY = """
title = "Arms only"
[evidence]
files = ["evidence.csv"]
[model]
arms = ["control", "177Lu"]
reference = "A"
own_baseline = ["B"]
cuts = ["6mo"]
[sampling]
seed = 1
"""


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


@pytest.fixture(scope="module")
def arms_only(tmp_path_factory):
    """A fit of two studies that compare arms, of which the first is about OS too."""
    folder = tmp_path_factory.mktemp("arms")
    rows = [
        pools.ratio("A1", -1.2, 0.1, study="A"),
        pools.ratio("B1", -1.0, 0.1, study="B"),
        pools.ratio("A2", 0.0, 0.2, study="A", endpoint="os"),
    ]
    known = {"arm": "control", "time": 12, "lower": 0.4, "upper": 0.6}
    rows = [pools.row("T", "survival", 0.8, study="C", time=12, lower=0.7, upper=0.9), *rows]
    rows += [
        pools.row(f"S{i}", "survival", 0.5, study=study, endpoint=endpoint, **known)
        for i, (study, endpoint) in enumerate((("A", "pfs"), ("B", "pfs"), ("A", "os")))
    ]
    pools.write(rows, folder, "evidence.csv")
    (folder / "arms.toml").write_text(ARMS_ONLY)
    network = prepare(bn.read_specification(folder / "arms.toml")).network
    return bn.fit_synthesis(network, seed=1)


def test_a_fit_of_published_numbers_has_the_hazard_ratios_between_its_arms(arms_only):
    found = bn.explain(arms_only)
    said = found.sections["Found"]
    assert len(said) == 5  # of PFS two studies and their mean, of OS one and the mean
    assert said[0].startswith("PFS, mean over the studies: hazard ratio of 177Lu against control 0.3")
    ratio = np.median(np.exp(arms_only["posterior"]["arm_effect"].values[..., 0]))
    (of_a,) = (line for line in said if line.startswith("PFS, A: "))
    assert f"177Lu against control {ratio:.2f} (" in of_a
    assert of_a.endswith("almost certainly longer PFS.")
    assert arms_only["posterior"]["curve_arm"].values[0] == "177Lu"  # and yet it is no reference
    (of_os,) = (line for line in said if line.startswith("OS, A: "))
    assert of_os.endswith("the direction is unclear.")
    assert found.sections["Rests on"] == ("Comparisons of the arms within 2 studies.",)
    assert found.sections["Checks"] == ("Every convergence check was passed.",)
    assert "Hazard ratios of the studies are exchangeable: they share a mean." in found.sections["Assumed"]


def test_a_fit_of_published_numbers_that_failed_has_no_finding(arms_only):
    posterior = arms_only["posterior"].to_dataset()
    posterior["arm_effect"] = posterior["arm_effect"] + 5.0 * posterior["chain"]
    groups = {name: arms_only[name].to_dataset() for name in ("sample_stats", "constant_data")}
    tree = xr.DataTree.from_dict(groups | {"posterior": posterior})
    tree.attrs = arms_only.attrs
    found = bn.explain(tree)
    assert "Found" not in found.sections
    assert found.sections["Checks"] == ("Convergence checks did not pass: do not use these numbers.",)


def test_what_cannot_be_explained_is_refused():
    with pytest.raises(InputError, match="DataFrame given; expected an Analysis"):
        bn.explain(fake_results.hazard_ratios())
    with pytest.raises(InputError, match="expected one of a run of patients"):
        bn.explain(replace(fake_results.content(), kind="scenarios"))


def test_in_a_notebook_names_are_text():
    html = Explanation("<b>", {"Found": ("<script>",)})._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<script>" not in html
