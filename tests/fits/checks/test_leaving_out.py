"""Published numbers left out of a large synthesis: draws that were moved tell what a refit tells."""

from dataclasses import replace

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import stats

from bayes_net.checks.influence import left_out
from bayes_net.engine import moved as engine
from bayes_net.engine.moved import drawn, moved
from bayes_net.engine.posterior import Posterior, Variable
from bayes_net.engine.synthesis import synthesis_posterior
from bayes_net.inference.arrays import published_log_likelihood, values_of
from bayes_net.inference.levels import of_first_stage
from bayes_net.inference.sampling import Sampler, labelled
from bayes_net.inference.synthesis import (
    _DIMS,
    as_defined,
    as_sampled,
    drawn_from,
    fit_synthesis,
    moved_fit,
)
from bayes_net.specification.read import read_specification
from bayes_net.specification.shipped import find_specification
from bayes_net.workflow.analysis import prepare
from bayes_net.workflow.synthesis import refit_gate, reported

SOME = ["N16", "H12", "D07"]
"""A count of shrinkage, another of response, and one of a single-arm study: of prrt_pooled."""


@pytest.fixture(scope="module")
def network():
    return prepare(read_specification(find_specification("prrt_pooled"))).network


@pytest.fixture(scope="module")
def fit(network):
    return fit_synthesis(network, seed=11, sampler=Sampler(draws=1000, tune=600, target_accept=0.98))


@pytest.fixture(scope="module")
def known(fit, network):
    return drawn_from(fit, network)


def held_out(tree, network, name):
    """Density of the number at draws without it, (chain, draw)."""
    return np.exp(published_log_likelihood(tree["posterior"].to_dataset(), network).sel(row=name).values)


def assert_same(found, refit, network, name):
    """Every reported quantity, and the held-out density, within what Monte-Carlo error explains."""
    pairs = {"held-out density": (held_out(found, network, name), held_out(refit, network, name))}
    whole = reported(refit)
    for variable, draws in reported(found).items():
        ends = [x.transpose(..., "chain", "draw").values for x in (draws, whole[variable])]
        ends = [x.reshape(-1, *x.shape[-2:]) for x in ends]
        for at, (one, other) in enumerate(zip(*ends, strict=True)):
            pairs[f"{variable} {at}"] = one, other
    z = {}
    for what, (one, other) in pairs.items():
        # tails of spreads are heavy: their medians have errors that are known better
        by = "mean" if what == "held-out density" else "median"
        of = np.mean if by == "mean" else np.median
        error = np.hypot(*(array_stats.mcse(x, method=by) for x in (one, other)))
        z[what] = (of(one) - of(other)) / error if error else 0.0
    worst = max(z, key=lambda what: abs(z[what]))
    assert abs(z[worst]) < stats.norm.ppf(1 - 0.001 / (2 * len(z))), (name, worst, z[worst])


def compared(network, known, name):
    smaller = left_out(network, [name])
    found = moved_fit(known, network, smaller, draws=1000, seed=5)
    if found is None:
        return False
    assert refit_gate(found).passed
    how = Sampler(draws=1500, tune=400, target_accept=0.97)
    assert_same(found, fit_synthesis(smaller, seed=6, sampler=how, brief=True), network, name)
    return True


@pytest.mark.parametrize("name", SOME)
def test_moved_draws_tell_what_a_refit_tells(network, known, name):
    assert compared(network, known, name)


@pytest.mark.slow
def test_moved_draws_of_every_number_tell_what_a_refit_tells(network, known):
    fed_back = ~network.of_curves(network.conditional)
    told = [compared(network, known, name) for name in network.rows["id"][fed_back]]
    assert np.mean(told) > 0.7  # of the others refits tell


def test_the_engine_has_the_draws_that_the_fit_holds(network, fit, known):
    first = network.first_stage
    free = of_first_stage(values_of(fit["posterior"].to_dataset(), network), network)
    again = synthesis_posterior(first).named(as_sampled(free, first))
    logp = fit["sample_stats"]["logp"].values
    moves = known.logp - logp  # a constant: the sampler's vector is turned
    np.testing.assert_allclose(moves, moves[0, 0], atol=1e-6)
    for name, value in as_defined(labelled(again, _DIMS, {}), first).items():
        np.testing.assert_allclose(value, free[name], rtol=1e-9, atol=1e-12)


def test_the_same_seed_moves_the_same_draws(network, known):
    smaller = left_out(network, SOME[:1])
    one, other = (moved_fit(known, network, smaller, draws=200, seed=5) for _ in range(2))
    assert one.identical(other)


def normal(sds, centre=0.0) -> Posterior:
    """Independent normal variables."""
    size = len(sds)
    fields = {"effect_at": np.arange(size), "effect_sd": np.full(size, -1), "mean": np.zeros(size)}
    fields |= {"unit": np.ones(size), "information": np.zeros(size), "prior_mean": np.full(size, centre)}
    fields |= {"prior_root": 1 / np.asarray(sds), "tied": np.zeros(size + 1), "constant": [0.0]}
    return Posterior({"z": Variable((size,))}, np.zeros(size), fields)


def test_normal_draws_are_moved_to_another_normal_whose_tails_are_wider():
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(4, 1000, 3)) * [1.0, 2.0, 1.0]
    target = normal([3.0, 2.0, 1.0], centre=5.0)
    found = moved(drawn(normal([1.0, 2.0, 1.0]), draws), target, draws=500, seed=1)
    assert found.pareto_k < 0.5
    assert found.draws.shape == (4, 500, 3)
    own = found.draws.reshape(-1, 3)
    error = np.array([3.0, 2.0, 1.0]) / np.sqrt(2000)
    assert (np.abs(own.mean(axis=0) - 5.0) < 4 * error).all()
    np.testing.assert_allclose(own.std(axis=0), [3.0, 2.0, 1.0], rtol=0.08)


def test_what_is_not_proven_is_none(monkeypatch):
    draws = np.random.default_rng(2).normal(size=(4, 1000, 2))
    known = drawn(normal([1.0, 1.0]), draws)
    assert moved(known, normal([1.0, 1.0]), draws=10, seed=1) is not None
    assert moved(known, normal([1.0, 1.0, 1.0]), draws=10, seed=1) is None
    few = replace(known, logp=known.logp[:, :50], standard=known.standard[:200])
    assert moved(few, normal([1.0, 1.0]), draws=10, seed=1) is None  # fewer than the gate wants
    monkeypatch.setattr(engine, "WIDER", 0.5)  # weights without a variance, unless SDs are matched
    monkeypatch.setattr(engine, "_matched", lambda points, weight: points)
    assert moved(known, normal([1.0, 1.0]), draws=10, seed=1) is None
