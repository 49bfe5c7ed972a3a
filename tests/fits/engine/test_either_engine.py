"""The engine has the posterior of the models as they are defined: hazard ratios agree within their errors."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from exposures import patients
from pools import MODELS, assumptions, evidence, ratio, row, z_of

from bayes_net.assumptions.combine import combine_network
from bayes_net.estimands.summary import summarise
from bayes_net.inference.patients import fit
from bayes_net.inference.sampling import Sampler
from bayes_net.inference.synthesis import fit_synthesis
from bayes_net.specification.read import read_specification
from bayes_net.workflow.analysis import fit_models, prepare

ENGINES = ("numba", "pymc")


def assert_same(one, other) -> None:
    """Of two fits: medians of every element, all together within Monte-Carlo error."""
    z = []
    for name in one:
        a, b = summarise(one[name]), summarise(other[name])
        z.append((a["estimate"] - b["estimate"]) / np.hypot(a["mcse"], b["mcse"]))
    found = pd.concat(z, keys=list(one))
    assert (found.abs() < z_of(len(found))).all(), found


def test_patients_have_the_same_posterior_by_either_engine():
    samplers = [Sampler(draws=500, tune=400, target_accept=0.9, engine=engine) for engine in ENGINES]
    trees = [fit(patients(60), seed=5, sampler=sampler) for sampler in samplers]
    assert set(trees[0].children) == set(trees[1].children)
    one, other = (tree["posterior"].to_dataset() for tree in trees)
    assert {name: x.dims for name, x in one.items()} == {name: x.dims for name, x in other.items()}
    assert_same(one, other)


def test_a_synthesis_has_the_same_posterior_by_either_engine(tmp_path):
    rows = [
        ratio("R1", -1.5, 0.3),
        row("C1", "count", 9, n=31, endpoint="shrinkage", threshold=30),
        row("C2", "count", 20, n=31, endpoint="shrinkage", threshold=0),
    ]
    network = combine_network(evidence(rows, tmp_path), assumptions())
    samplers = [Sampler(draws=2000, tune=400, target_accept=0.9, engine=engine) for engine in ENGINES]
    one, other = (fit_synthesis(network, seed=5, sampler=how)["posterior"].to_dataset() for how in samplers)
    assert {name: x.dims for name, x in one.items()} == {name: x.dims for name, x in other.items()}
    assert_same(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(MODELS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_hazard_ratios_are_those_of_the_models_as_they_are_defined(path):
    tables = []
    for engine in ENGINES:
        prepared = replace(prepare(read_specification(path)), engine=engine)
        table = prepared.ratios(fit_models(prepared, brief=True))
        tables.append(table[table["hr"].notna()].reset_index(drop=True))
    one, other = tables
    labels = ["endpoint", "population", "study", "measure", "estimand", "landmark", "arm"]
    assert one[labels].equals(other[labels])
    error = np.hypot(one["mcse_hr"] / one["hr"], other["mcse_hr"] / other["hr"])
    z = np.log(one["hr"] / other["hr"]) / error
    assert (z.abs() < z_of(len(z))).all(), one[labels].assign(z=z)
