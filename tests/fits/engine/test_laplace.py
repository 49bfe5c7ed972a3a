"""The Laplace approximation is the posterior that Markov chains find, or says that it is not."""

from dataclasses import replace

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy.stats import norm

import bayes_net as bn
from bayes_net.checks.gate import gate
from bayes_net.engine import laplace
from bayes_net.engine.laplace import approximate, evaluate
from bayes_net.engine.posterior import Posterior, Variable
from bayes_net.errors import InputError
from bayes_net.inference.patients import fit, stack
from bayes_net.inference.sampling import Sampler, sample_posterior
from bayes_net.results.fits import reported_quantities
from bayes_net.schema import LAPLACE, MAX_PARETO_K, NUTS
from bayes_net.specification.shipped import find_specification
from bayes_net.workflow.analysis import prepare

QUICK = Sampler(draws=500, tune=300, chains=2, method=LAPLACE)


@pytest.fixture(scope="module")
def jobs():
    """Models of the shipped synthetic analysis: each endpoint and measure, at the first or last landmark."""
    prepared = prepare(bn.read_specification(find_specification("netter1_synthetic")))
    chosen = {(job.analysis, at): job for at, job in enumerate(prepared.jobs) if at % 6 in (0, 5)}
    return [
        (job, prepared.plan.hazard(job.measure, job.data.n_intervals, job.apart)) for job in chosen.values()
    ]


def normal(sd: float, size: int = 2, **more) -> Posterior:
    """Independent normal variables; ``more`` are further fields of the engine's block."""
    fields = {"effect_at": np.arange(size), "effect_sd": np.full(size, -1), "mean": np.zeros(size)}
    fields |= {"unit": np.ones(size), "information": np.zeros(size), "prior_mean": np.zeros(size)}
    fields |= {"prior_root": np.full(size, 1 / sd), "tied": np.zeros(size + 1), "constant": [0.0]}
    return Posterior({"z": Variable((size,))}, np.zeros(size), fields | more)


def test_a_normal_posterior_is_found_exactly():
    found = approximate(normal(3.0), draws=4000, chains=4, seed=1)
    assert found.verdict == LAPLACE
    # of 32,000 proposals, whose tails are heavier
    assert 16000 < found.ess < 32000
    for x in np.moveaxis(found.draws, -1, 0):
        assert abs(x.mean()) < 4 * array_stats.mcse(x, method="mean")
        assert abs((x**2).mean() - 9) < 4 * array_stats.mcse(x**2, method="mean")
    np.testing.assert_allclose(
        found.logp, evaluate(normal(3.0), found.draws.reshape(-1, 2))[0].reshape(4, -1)
    )


def test_effective_sizes_of_the_resampled_are_those_of_the_weights(monkeypatch):
    """Means of many approximations vary as the ESS of one says, also where weights are very unequal."""
    monkeypatch.setattr(laplace, "DF_GIVEN_SCALES", 1.0)
    posterior = normal(1.0, size=30)
    runs = [approximate(posterior, draws=400, chains=2, seed=seed) for seed in range(200)]
    means = np.array([run.draws[..., 0].mean() for run in runs])
    told = np.median([array_stats.ess(run.draws[..., 0], method="mean") for run in runs])
    assert told < 400  # of 800 draws
    # the variance of 200 means is known to 10 %: four of them
    assert np.var(means) * told == pytest.approx(1.0, abs=0.4)


def test_both_forms_of_landmark_models_agree(jobs):
    """Every free and derived quantity: mean and quantiles, within the Monte-Carlo error of so many."""
    away, taken = [], 0
    for job, hazard in jobs:
        chains, quick = (
            fit(job.data, hazard, seed=3, sampler=Sampler(draws=2000, chains=2, method=method))
            for method in (NUTS, LAPLACE)
        )
        taken += quick.attrs["method"] == LAPLACE
        for name, x in quick["posterior"].data_vars.items():
            pairs = (a.transpose(..., "chain", "draw").values for a in (x, chains["posterior"][name]))
            for both in zip(*(v.reshape(-1, *v.shape[-2:]) for v in pairs), strict=True):
                away += [(apart(*both, prob), job.label, name) for prob in (None, 0.05, 0.5, 0.95)]
    print(f"{taken} of {len(jobs)} approximated; of {len(away)} comparisons the largest is {max(away)}")
    assert taken >= len(jobs) - 1
    assert max(away)[0] < norm.isf(0.0005 / len(away))


def apart(x: np.ndarray, y: np.ndarray, prob: float | None) -> float:
    """Difference of two means, or quantiles, in their Monte-Carlo standard errors."""
    if prob is None:
        found = [(v.mean(), array_stats.mcse(v, method="mean")) for v in (x, y)]
    else:
        found = [(np.quantile(v, prob), array_stats.mcse(v, method="quantile", prob=prob)) for v in (x, y)]
    (a, b), errors = zip(*found, strict=True)
    return float(abs(a - b) / np.hypot(*errors))


def test_the_same_seed_gives_the_same_draws_whatever_was_fitted_before(jobs):
    (first, hazard), (other, others) = jobs[:2]

    def drawn(seed: int) -> np.ndarray:
        return fit(first.data, hazard, seed=seed, sampler=QUICK)["posterior"]["slope"].values

    before = drawn(4)
    fit(other.data, others, seed=4, sampler=QUICK)
    np.testing.assert_array_equal(drawn(4), before)
    assert not np.array_equal(drawn(5), before)


def test_a_bad_approximation_is_sampled_as_usual_and_says_so():
    # as much weight on an SD of 50 as on one of 1: the curvature of the mode knows only the latter
    posterior, dims = normal(1.0, mixed=[0], mixed_ratio=[0.02], mixed_weight=[0.5]), {"z": ("effect",)}
    found = approximate(posterior, draws=QUICK.draws, chains=QUICK.chains, seed=2)
    assert found.pareto_k >= MAX_PARETO_K
    asked = sample_posterior(posterior, dims=dims, seed=2, sampler=QUICK)
    usual = sample_posterior(posterior, dims=dims, seed=2, sampler=replace(QUICK, method=NUTS))
    np.testing.assert_array_equal(asked["posterior"]["z"], usual["posterior"]["z"])
    assert usual.attrs["method"] == NUTS
    assert asked.attrs["method"].startswith(f"{NUTS}: the approximation has Pareto k {found.pareto_k:.2f}")
    assert "Pareto k" not in set(gate(asked).table["check"])


def test_a_density_without_a_mode_is_sampled():
    found = approximate(normal(np.inf), draws=100, chains=2, seed=1)
    assert found.verdict == f"{NUTS}: the density has no mode for an approximation"


def test_the_gate_judges_weights_in_the_place_of_trajectories(jobs):
    job, hazard = jobs[0]
    tree = fit(job.data, hazard, seed=1, sampler=replace(QUICK, draws=2000))
    judged = gate(tree, reported_quantities(tree)).table.set_index("check")
    assert list(judged.index) == ["R-hat", "bulk ESS", "tail ESS", "Pareto k", "importance ESS"]
    assert judged["passed"].all()
    assert judged.loc["Pareto k", "worst"] == tree["sample_stats"]["pareto_k"][0]
    tree["sample_stats"]["pareto_k"][:] = 0.5001
    assert not gate(tree).passed
    sampled = fit(job.data, hazard, seed=1, sampler=replace(QUICK, method=NUTS))
    both = stack({"a": tree, "b": sampled}, dim="landmark")
    assert both.attrs["method"] == [LAPLACE, NUTS]


def test_retries_sample_and_unknown_methods_are_refused():
    assert QUICK.more_careful().method == NUTS
    with pytest.raises(InputError, match="method 'vi' is unknown; expected nuts or laplace"):
        Sampler(method="vi")
