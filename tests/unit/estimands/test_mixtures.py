"""Mixtures as priors: against closed forms, numerical integration and known mixtures."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special, stats

from bayes_net.errors import InputError
from bayes_net.estimands.mixtures import (
    NormalMixture,
    binomial_information,
    elir,
    fit_mixture,
    robustify,
    update,
)

ONE = NormalMixture((1.0,), (-0.3,), (0.2,))
TWO = NormalMixture((0.6, 0.4), (0.0, 0.5), (0.1, 0.6))
APART = NormalMixture((0.3, 0.7), (-2.0, 3.0), (0.5, 1.0))
ROBUST = NormalMixture((0.8, 0.2), (-0.4, 0.0), (0.05, 10.0))
MIXTURES = pytest.mark.parametrize(
    "mixture", [ONE, TWO, APART, ROBUST], ids=["one", "two", "apart", "robust"]
)
DRAWS = 8000
Z = stats.norm.ppf(1 - 0.001 / 2 / 21)
"""Of 21 comparisons of a fit with its origin, one in a thousand sets of them fails by chance."""


def in_events(log_hazard):
    """Information that one expected event has on the log hazard: 1, so that sizes are in events."""
    return np.ones_like(log_hazard, dtype=float)


def mean_over(mixture, f):
    """Mean of f over the mixture, by adaptive quadrature of each component (relative error below 1e-9)."""
    total = 0.0
    for w, m, s in zip(mixture.weights, mixture.means, mixture.sds, strict=True):
        edges = [
            e for c, d in zip(mixture.means, mixture.sds, strict=True) for e in (c - 4 * d, c, c + 4 * d)
        ]
        edges = np.unique([e for e in edges if abs(e - m) < 30 * s] + [m - 30 * s, m + 30 * s])

        def integrand(x, m=m, s=s):
            return f(x) * stats.norm.pdf(x, m, s)

        total += w * sum(integrate.quad(integrand, *piece)[0] for piece in pairwise(edges))
    return total


@MIXTURES
def test_density_distribution_and_moments_are_those_of_the_components(mixture):
    parts = list(zip(mixture.weights, mixture.means, mixture.sds, strict=True))
    x = np.linspace(-6, 6, 25).reshape(5, 5)
    logs = special.logsumexp([np.log(w) + stats.norm.logpdf(x, m, s) for w, m, s in parts], axis=0)
    np.testing.assert_allclose(mixture.logpdf(x), logs, rtol=1e-10)
    np.testing.assert_allclose(mixture.pdf(x), np.exp(logs), rtol=1e-10)
    np.testing.assert_allclose(
        mixture.cdf(x), sum(w * stats.norm.cdf(x, m, s) for w, m, s in parts), rtol=1e-10
    )
    assert mixture.mean == pytest.approx(mean_over(mixture, lambda x: x), rel=1e-8)
    assert mixture.sd**2 == pytest.approx(mean_over(mixture, lambda x: (x - mixture.mean) ** 2), rel=1e-8)


@MIXTURES
def test_quantiles_undo_the_distribution(mixture):
    q = np.array([[1e-9, 0.025, 0.3], [0.5, 0.975, 1 - 1e-9]])
    np.testing.assert_allclose(mixture.cdf(mixture.quantile(q)), q, rtol=1e-10)
    assert mixture.quantile([0, 1]).tolist() == [-np.inf, np.inf]
    assert isinstance(mixture.quantile(0.5), float)


def test_draws_follow_the_mixture_and_its_seed():
    draws = APART.draw(np.random.default_rng(1), (40, 200))
    assert draws.shape == (40, 200)
    assert stats.kstest(draws.ravel(), APART.cdf).pvalue > 0.001
    assert (draws == APART.draw(np.random.default_rng(1), (40, 200))).all()


def test_one_component_has_the_mean_and_sd_of_the_draws():
    draws = np.random.default_rng(2).gamma(3.0, size=500)
    fitted = fit_mixture(draws, components=1, seed=1)
    assert fitted.mean == pytest.approx(draws.mean(), rel=1e-10)
    # two pseudo-draws of at most the draws' own variance among 500
    assert fitted.sd == pytest.approx(draws.std(), rel=2 / 500)


@pytest.mark.parametrize(("mixture", "k"), [(ONE, 1), (TWO, 2), (APART, 2)], ids=["one", "two", "apart"])
def test_em_recovers_a_known_mixture(mixture, k):
    draws = mixture.draw(np.random.default_rng(3), DRAWS)
    fitted = fit_mixture(draws, seed=1)
    assert len(fitted.weights) == k
    assert abs(fitted.mean - mixture.mean) < Z * mixture.sd / np.sqrt(DRAWS)
    # standard error of a standard deviation, by the fourth moment
    fourth = mean_over(mixture, lambda x: (x - mixture.mean) ** 4)
    se = np.sqrt((fourth - mixture.sd**4) / DRAWS) / (2 * mixture.sd)
    assert abs(fitted.sd - mixture.sd) < Z * se
    q = np.array([0.025, 0.1, 0.5, 0.9, 0.975])
    # a fitted quantile is at least as precise as that of the draws
    at = mixture.quantile(q)
    assert (np.abs(fitted.quantile(q) - at) < Z * np.sqrt(q * (1 - q) / DRAWS) / mixture.pdf(at)).all()


def test_the_fit_is_that_of_its_seed_and_moves_with_the_unit():
    draws = TWO.draw(np.random.default_rng(4), 1000)
    fitted = fit_mixture(draws, seed=1)
    assert fitted == fit_mixture(draws, seed=1)
    scaled = fit_mixture(5 - 100 * draws[::-1], seed=1)
    assert scaled.mean == pytest.approx(5 - 100 * fitted.mean, rel=1e-6)
    # other random starts end within the last gain of EM, 1e-3 in the log likelihood
    assert scaled.sd == pytest.approx(100 * fitted.sd, rel=1e-2)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_no_component_collapses_on_ties_or_outliers(k):
    rng = np.random.default_rng(5)
    draws = np.concatenate([rng.normal(size=400), np.full(50, 0.3), [8.0, 8.0, 1000.0]])
    fitted = fit_mixture(draws, components=k, seed=1)
    assert len(fitted.weights) == k
    assert list(fitted.weights) == sorted(fitted.weights, reverse=True)
    # the penalty's variance of 0.2² counts as two draws: with n draws the sd is at least 0.2 √(2/(n+2))
    least = 0.2 * np.sqrt(2 / (np.multiply(fitted.weights, len(draws)) + 2))
    assert (fitted.sds >= 0.99 * least * stats.iqr(draws, scale="normal")).all()


@pytest.mark.parametrize("sd", [0.001, 0.2, 1.0, 7.0, 50.0])
def test_a_normal_prior_is_worth_one_over_its_variance_in_events(sd):
    prior = NormalMixture((1.0,), (-3.0,), (sd,))
    assert elir(prior, in_events) == pytest.approx(1 / sd**2, rel=1e-10)
    assert elir(prior, lambda x: np.full_like(x, 0.25)) == pytest.approx(4 / sd**2, rel=1e-10)


@pytest.mark.parametrize("mean", [-2.0, 0.0, 1.5])
@pytest.mark.parametrize("sd", [0.01, 0.5, 3.0, 8.0])
def test_a_normal_prior_of_a_logit_is_worth_its_closed_form_in_patients(mean, sd):
    # E[1/(p(1-p))] = 2 + E[exp(x)] + E[exp(-x)]
    expected = (2 + 2 * np.cosh(mean) * np.exp(sd**2 / 2)) / sd**2
    assert elir(NormalMixture((1.0,), (mean,), (sd,)), binomial_information) == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize(
    "information",
    [
        lambda x: special.expit(x) * (1 - special.expit(x)),
        lambda x: special.expit(x) - special.expit(x) ** 2,
        lambda x: np.where(np.abs(x) < 30, binomial_information(x), np.nan),
    ],
    ids=["p (1 - p)", "p - p²", "unknown far out"],
)
def test_an_information_that_underflows_far_out_is_enough(information):
    """1 - p is 0 from a logit of 37 on, where a prior as wide as one patient's worth has nothing left."""
    prior = NormalMixture((0.8, 0.2), (-1.0, 0.5), (0.4, 1.5))
    assert elir(prior, information) == pytest.approx(elir(prior, binomial_information), rel=1e-9)
    with pytest.raises(InputError, match="take a narrower prior"):
        elir(NormalMixture((1.0,), (0.0,), (6.0,)), information)


@MIXTURES
def test_the_size_in_events_is_the_mean_squared_slope_of_the_log_density(mixture):
    def slope(x):
        parts = zip(mixture.weights, mixture.means, mixture.sds, strict=True)
        return sum(w * stats.norm.pdf(x, m, s) * (m - x) / s**2 for w, m, s in parts) / mixture.pdf(x)

    # far out, where the density is 0 in double precision, nothing is left to add
    squared = mean_over(mixture, lambda x: slope(x) ** 2 if mixture.pdf(x) > 0 else 0.0)
    assert elir(mixture, in_events) == pytest.approx(squared, rel=1e-6)


def test_equal_components_are_worth_what_one_is():
    twice = NormalMixture((0.5, 0.2, 0.3, 0.0), (-0.3, -0.3, -0.3, 9.0), (0.2, 0.2, 0.2, 1.0))
    assert elir(twice, in_events) == pytest.approx(25.0, rel=1e-10)


@pytest.mark.parametrize("events", [1, 10, 200])
def test_events_add_their_number_to_a_normal_prior_exactly(events):
    after = update(ONE, 0.7, 1 / np.sqrt(events))
    assert elir(after, in_events) - events == pytest.approx(
        elir(ONE, in_events), rel=1e-10 * (25 + events) / 25
    )


@pytest.mark.parametrize("mixture", [TWO, APART, robustify(TWO, weight=0.3, sd=2.0)])
@pytest.mark.parametrize("events", [2, 30])
def test_events_add_their_number_to_a_mixture_on_average(mixture, events):
    rng, se = np.random.default_rng(6), 1 / np.sqrt(events)
    estimates = rng.normal(mixture.draw(rng, 400), se)
    sizes = np.array([elir(update(mixture, y, se), in_events) for y in estimates]) - events
    # z for six comparisons at one in a thousand
    z = stats.norm.ppf(1 - 0.001 / 12)
    assert abs(sizes.mean() - elir(mixture, in_events)) < z * sizes.std(ddof=1) / np.sqrt(len(sizes))


def test_events_add_their_number_to_a_mixture_integrated_over_estimates():
    se = 0.5
    outer = NormalMixture(TWO.weights, TWO.means, tuple(np.hypot(TWO.sds, se).tolist()))
    # the trapezoid rule is exact to rounding for a smooth integrand that vanishes at both ends
    y = np.linspace(-8, 8, 401)
    sizes = np.array([elir(update(TWO, each, se), in_events) for each in y])
    average = np.sum(sizes * outer.pdf(y)) * (y[1] - y[0])
    assert average - 4 == pytest.approx(elir(TWO, in_events), rel=1e-8)


def test_robustify_gives_the_vague_component_its_weight():
    assert robustify(TWO, weight=0.25, mean=1.0, sd=3.0) == NormalMixture(
        (0.75 * 0.6, 0.75 * 0.4, 0.25), (0.0, 0.5, 1.0), (0.1, 0.6, 3.0)
    )
    x = np.linspace(-4, 4, 9)
    none, all_of_it = robustify(TWO, weight=0.0, sd=3.0), robustify(TWO, weight=1.0, sd=3.0)
    np.testing.assert_allclose(none.logpdf(x), TWO.logpdf(x), rtol=1e-12)
    np.testing.assert_allclose(all_of_it.logpdf(x), stats.norm.logpdf(x, 0, 3), rtol=1e-12)
    assert elir(none, in_events) == pytest.approx(elir(TWO, in_events), rel=1e-10)
    assert elir(all_of_it, in_events) == pytest.approx(1 / 9, rel=1e-10)
    assert none.quantile(0.9) == pytest.approx(TWO.quantile(0.9), rel=1e-10)
    assert update(all_of_it, 1.0, 0.5).weights == (0.0, 0.0, 1.0)


def test_a_normal_is_updated_by_the_conjugate_formula():
    after, precision = update(ONE, 0.1, 0.3), 1 / 0.04 + 1 / 0.09
    assert after.weights == (1.0,)
    assert after.mean == pytest.approx((-0.3 / 0.04 + 0.1 / 0.09) / precision, rel=1e-12)
    assert after.sd == pytest.approx(precision**-0.5, rel=1e-12)


@MIXTURES
@pytest.mark.parametrize(("estimate", "se"), [(0.2, 0.3), (-1.0, 1.0), (2.5, 4.0)])
def test_update_equals_numerical_integration(mixture, estimate, se):
    def likelihood(x):
        return stats.norm.pdf(estimate, x, se)

    after, evidence = update(mixture, estimate, se), mean_over(mixture, likelihood)
    x = np.linspace(-1.5, 1.5, 7)
    np.testing.assert_allclose(after.pdf(x), mixture.pdf(x) * likelihood(x) / evidence, rtol=1e-7)
    assert after.mean == pytest.approx(mean_over(mixture, lambda x: x * likelihood(x)) / evidence, rel=1e-7)
    assert sum(after.weights) == pytest.approx(1, rel=1e-12)


def test_under_conflict_the_informative_component_is_discarded():
    prior = robustify(ONE, weight=0.1, sd=2.0)
    agreeing, conflicting = update(prior, -0.3, 0.2), update(prior, 3.0, 0.2)
    assert agreeing.weights[0] > 0.98
    assert conflicting.weights[0] < 1e-20
    vague = update(NormalMixture((1.0,), (0.0,), (2.0,)), 3.0, 0.2)
    assert conflicting.mean == pytest.approx(vague.mean, rel=1e-10)
    # densities that underflow on both sides still leave a posterior
    assert update(prior, 1e4, 0.2).weights == (0.0, 1.0)


def test_an_estimate_without_weight_changes_nothing():
    assert update(TWO, 0.9, np.inf) == TWO


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: NormalMixture((0.5, 0.4), (0.0, 0.0), (1.0, 1.0)), "weights >= 0 with sum 1"),
        (lambda: NormalMixture((1.5, -0.5), (0.0, 0.0), (1.0, 1.0)), "weights >= 0 with sum 1"),
        (lambda: NormalMixture((1.0,), (0.0,), (0.0,)), "sds > 0"),
        (lambda: NormalMixture((1.0,), (np.nan,), (1.0,)), "finite values"),
        (lambda: NormalMixture((1.0,), (0.0, 1.0), (1.0,)), "three tuples of one length"),
        (lambda: NormalMixture((), (), ()), "three tuples of one length"),
        (lambda: NormalMixture(np.ones(1), np.ones(1), np.ones(1)), "three tuples of one length"),
        (lambda: ONE.quantile(1.1), "expected probabilities, 0 to 1"),
        (lambda: ONE.quantile(np.nan), "expected probabilities, 0 to 1"),
        (lambda: fit_mixture(np.zeros(99), seed=1), "at least 100 draws"),
        (lambda: fit_mixture(np.zeros(200), seed=1), "not all equal"),
        (lambda: fit_mixture(np.zeros((2, 200)), seed=1), "one dimension"),
        (lambda: fit_mixture(np.append(np.zeros(200), np.nan), seed=1), "200 finite values"),
        (lambda: fit_mixture(np.arange(200.0), seed=1, components=5), "components is 5; expected 1 to 4"),
        (lambda: fit_mixture(np.arange(200.0), seed=1, components=0), "components is 0; expected 1 to 4"),
        (lambda: robustify(ONE, weight=20, sd=1.0), "weight 20; expected 0 to 1"),
        (lambda: robustify(ONE, weight=0.2, sd=0.0), "sds > 0"),
        (lambda: update(ONE, np.nan, 1.0), "expected a finite estimate and se > 0"),
        (lambda: update(ONE, 0.0, 0.0), "expected a finite estimate and se > 0"),
        (lambda: elir(ONE, np.zeros_like), "unit information is as low as 0"),
        (lambda: elir(NormalMixture((1.0,), (0.0,), (40.0,)), binomial_information), "take a narrower prior"),
    ],
)
def test_what_cannot_be_is_refused(build, said):
    with pytest.raises(InputError, match=said):
        build()
