"""Diagnostics of many quantities at once are those of arviz_stats, quantity by quantity."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayes_net.estimands.diagnostics import (
    TAILS,
    diagnose,
    effective_size,
    quantile_error,
    smoothed_weights,
    split_chains,
)

ROUNDING = {"rtol": 1e-12, "atol": 1e-12}


def chains(seed, quantities, n):
    """Autoregressive chains from antithetic to sticky, (quantity, 4, n)."""
    rng = np.random.default_rng(seed)
    draws = rng.standard_normal((quantities, 4, n))
    correlation = np.linspace(-0.6, 0.97, quantities)[:, None]
    for t in range(1, n):
        draws[..., t] += correlation * draws[..., t - 1]
    return draws


def odd(draws):
    """Ties, chains that disagree, indicators, constants, draws that are not numbers."""
    draws[1] = np.round(draws[1])
    draws[2] += np.arange(4)[:, None]
    draws[3] = draws[3] > 1.5
    draws[4] = 2.0
    draws[5, 0, 0] = np.nan
    draws[6, 1, 1] = np.inf
    return draws


@pytest.mark.parametrize("n", [4, 5, 7, 333, 1000])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:divide by zero encountered:RuntimeWarning")
def test_convergence_is_that_of_arviz(n):
    draws = odd(chains(1, 40, n))
    rhat, bulk, tail = diagnose(draws)
    np.testing.assert_allclose(rhat, array_stats.rhat(draws), **ROUNDING)
    np.testing.assert_allclose(bulk, array_stats.ess(draws, method="bulk"), **ROUNDING)
    np.testing.assert_allclose(tail, array_stats.ess(draws, method="tail", prob=TAILS), **ROUNDING)


@pytest.mark.parametrize("prob", [0.025, 0.5, 0.9])
@pytest.mark.parametrize("n", [3, 4, 7, 1000])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_the_error_of_a_quantile_is_that_of_arviz(n, prob):
    draws = odd(chains(5, 40, n))
    expected = array_stats.mcse(draws, method="quantile", prob=prob)
    np.testing.assert_allclose(quantile_error(draws, prob), expected, **ROUNDING)


def test_the_size_for_the_mean_is_that_of_arviz():
    draws = chains(2, 30, 500)
    found = effective_size(split_chains(draws))
    np.testing.assert_allclose(found, array_stats.ess(draws, method="mean"), **ROUNDING)


def test_a_single_chain_has_sizes_but_no_rhat():
    draws = chains(3, 10, 400)[:, :1]
    rhat, bulk, _ = diagnose(draws)
    assert np.isnan(rhat).all()
    np.testing.assert_allclose(bulk, array_stats.ess(draws, method="bulk"), **ROUNDING)


@pytest.mark.parametrize(("samples", "efficiency"), [(4000, 0.6), (4000, 1.4), (400, 0.3), (100, 1.0)])
def test_weights_are_those_of_arviz(samples, efficiency):
    rng = np.random.default_rng(4)
    spread = np.geomspace(0.01, 8.0, 60)[:, None]
    likelihood = -spread * rng.standard_normal((60, samples)) ** 2 - rng.exponential(size=(60, 1))
    weights, k = smoothed_weights(likelihood, efficiency)
    assert k.min() < 0.3
    assert k.max() > 0.9
    expected, expected_k = array_stats.psislw(likelihood, r_eff=efficiency)
    np.testing.assert_allclose(k, expected_k, **ROUNDING)
    np.testing.assert_allclose(weights, expected, rtol=1e-10, atol=1e-10)


def test_rows_of_which_one_draw_has_all_the_weight_have_no_shape():
    likelihood = np.zeros((2, 400)) - np.arange(400) / 1e3
    likelihood[1, 7] = -1e4
    weights, k = smoothed_weights(likelihood)
    assert np.isfinite(k[0])
    assert not k[1] <= 0.7
    assert np.exp(weights[1, 7]) == pytest.approx(1.0)
