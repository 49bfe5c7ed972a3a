"""Survival by shrinkage: mixed again over shrinkage it is the survival of the whole arm."""

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from bayes_net.estimands.conditional import baseline, log_conditional, log_marginal, shrinkage_nodes

LOWEST, HIGHEST = -20.0, 100.0
LOCATION, SPREAD = np.array([-1.2, -0.4, -2.0]), np.array([0.8, 1.1, 0.4])
SLOPE = np.array([-0.35, 0.2, -1.0])
LOG_H = np.log(-np.log(np.array([[0.95, 0.6, 0.11], [0.99, 0.4, 0.02], [0.8, 0.5, 0.2]])))
WHOLE = {"above": LOWEST, "below": HIGHEST}


def survival(log_h):
    return np.exp(-np.exp(log_h))


def share(low, high):
    """P(low <= shrinkage < high), of each draw."""
    ends = []
    for points in (low, high):
        with np.errstate(divide="ignore"):
            at = special.logit((points - LOWEST) / (HIGHEST - LOWEST))
        ends.append(stats.norm.cdf(at, LOCATION, SPREAD))
    return ends[1] - ends[0]


def test_the_mixture_over_the_nodes_is_the_whole_arm():
    nodes, weight = shrinkage_nodes(LOCATION, SPREAD)
    assert weight.sum() == pytest.approx(1.0, rel=1e-14)
    whole = np.zeros_like(LOG_H)
    for k, w in enumerate(weight):
        for draw in range(3):
            at = nodes[draw, k]
            own = log_conditional(LOG_H, SLOPE, LOCATION, SPREAD, above=at, below=at)
            whole[draw] += w * survival(own)[draw]
    np.testing.assert_allclose(whole, survival(LOG_H), rtol=1e-10)
    x = baseline(LOG_H, SLOPE, nodes, weight)
    np.testing.assert_allclose(log_marginal(x, SLOPE, nodes, weight), LOG_H, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "bounds", [(0.0, 0.0), (30.0, 30.0), (30.0, HIGHEST), (LOWEST, 30.0), (LOWEST, HIGHEST)]
)
def test_without_a_slope_everybody_survives_as_the_whole_arm(bounds):
    above, below = bounds
    found = log_conditional(LOG_H, 0 * SLOPE, LOCATION, SPREAD, above=above, below=below)
    np.testing.assert_allclose(found, LOG_H, rtol=1e-10)


def test_the_whole_range_of_shrinkage_is_the_whole_arm():
    found = log_conditional(LOG_H, SLOPE, LOCATION, SPREAD, **WHOLE)
    np.testing.assert_allclose(found, LOG_H, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("threshold", [0.0, 30.0, 50.0])
def test_subgroups_mixed_by_their_shares_are_the_whole_arm(threshold):
    """Each of the three is a Gauss-Legendre sum of its own: equal up to the error of quadrature, which 16
    nodes on the probability scale of a slope of 1 per 10 points keep below 0.001 of survival."""
    high = log_conditional(LOG_H, SLOPE, LOCATION, SPREAD, above=threshold, below=HIGHEST)
    low = log_conditional(LOG_H, SLOPE, LOCATION, SPREAD, above=LOWEST, below=threshold)
    p = share(threshold, HIGHEST)[:, None]
    np.testing.assert_allclose(p * survival(high) + (1 - p) * survival(low), survival(LOG_H), atol=1e-3)


@pytest.mark.parametrize("draw", [0, 1])
def test_quadrature_of_the_density_of_shrinkage_gives_the_same(draw):
    """By brute force: the density of s itself, and a root for the baseline."""
    slope, at = SLOPE[draw], LOG_H[draw, 1]

    def density(s):
        place = (s - LOWEST) / (HIGHEST - LOWEST)
        jacobian = 1 / (place * (1 - place) * (HIGHEST - LOWEST))
        return stats.norm.pdf(special.logit(place), LOCATION[draw], SPREAD[draw]) * jacobian

    def mixed(x, low, high):
        def integrand(s):
            return density(s) * np.exp(-np.exp(x + slope * s / 10))

        return integrate.quad(integrand, low, high, epsabs=1e-12, limit=200)[0]

    # the density vanishes at the ends of its range: what is left out there is below 1e-12
    inner = LOWEST + 1e-6, HIGHEST - 1e-6
    x = optimize.brentq(lambda x: mixed(x, *inner) - np.exp(-np.exp(at)), -8, 6, xtol=1e-13)
    draws = slice(draw, draw + 1)
    law = SLOPE[draws], LOCATION[draws], SPREAD[draws]
    for s in (-5.0, 0.0, 30.0):
        found = log_conditional(LOG_H[draws], *law, above=s, below=s)[0, 1]
        assert survival(found) == pytest.approx(np.exp(-np.exp(x + slope * s / 10)), abs=2e-4)
    for low, high in ((30.0, inner[1]), (inner[0], 30.0)):
        p = integrate.quad(density, low, high, epsabs=1e-12, limit=200)[0]
        ends = (low if low == 30.0 else LOWEST, high if high == 30.0 else HIGHEST)
        found = log_conditional(LOG_H[draws], *law, above=ends[0], below=ends[1])[0, 1]
        assert survival(found) == pytest.approx(mixed(x, low, high) / p, abs=2e-4)


def test_nodes_lie_in_their_subgroup_and_have_the_laws_quantiles():
    nodes, weight = shrinkage_nodes(LOCATION, SPREAD, above=30.0, below=100.0)
    assert ((nodes >= 30.0) & (nodes < 100.0)).all()
    nodes, weight = shrinkage_nodes(LOCATION, SPREAD)
    # the mean of a logit-normal share, by quadrature
    for draw in range(3):
        z = np.linspace(-9, 9, 20001)
        expected = np.trapezoid(stats.norm.pdf(z) * special.expit(LOCATION[draw] + SPREAD[draw] * z), z)
        assert weight @ nodes[draw] == pytest.approx(LOWEST + 120 * expected, abs=0.02)


@pytest.mark.parametrize("slope", [-1.5, -0.5, 0.5, 1.5])
@pytest.mark.parametrize("hazard", [1e-6, 0.7, 7.0, 20.0, 60.0])
def test_the_baseline_is_found_for_steep_slopes_and_extreme_survival(slope, hazard):
    """A slope of 1.5 is a hazard ratio of 4.5 per 10 points; a cumulative hazard of 60 is what a curve has
    reached in 240 months, up to which medians are looked for."""
    nodes, weight = shrinkage_nodes(LOCATION, SPREAD)
    at, slopes = np.full((3, 1), np.log(hazard)), np.full(3, slope)
    found = log_marginal(baseline(at, slopes, nodes, weight), slopes, nodes, weight)
    np.testing.assert_allclose(found, at, atol=1e-8)


def test_shrinkage_of_those_who_shrink_more_goes_with_the_sign_of_the_slope():
    at_30, at_0 = (log_conditional(LOG_H, SLOPE, LOCATION, SPREAD, above=s, below=s) for s in (30.0, 0.0))
    np.testing.assert_allclose(at_30 - at_0, np.repeat(3 * SLOPE[:, None], 3, axis=1), rtol=1e-10)
    assert (survival(at_30)[SLOPE < 0] > survival(at_0)[SLOPE < 0]).all()
