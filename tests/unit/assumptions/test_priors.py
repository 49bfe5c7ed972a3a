"""Priors say what their statements say: by closed form and by simulation."""

import numpy as np
import pytest
import xarray as xr
from exposures import patients
from scipy import integrate, stats

from bayes_net.assumptions.hazard import Hazard
from bayes_net.assumptions.priors import (
    Flat,
    HalfNormal,
    Normal,
    Priors,
    hazard_change_prior,
    hazard_ratio_prior,
    median_survival_prior,
)
from bayes_net.errors import InputError
from bayes_net.inference.closed_form import draw_prior, log_prior

DRAWS = 40_000


def within(count: int, ci_prob: float, draws: int = DRAWS) -> bool:
    """Whether a count of draws inside agrees with ``ci_prob`` (4 binomial standard errors)."""
    return abs(count - draws * ci_prob) < 4 * np.sqrt(draws * ci_prob * (1 - ci_prob))


def product_cdf(q: float) -> float:
    """Pr(S |Z| < q) for a half-normal S and a normal Z, by integrating over S."""

    def within_given(s: float) -> float:
        return stats.halfnorm.pdf(s) * (2 * stats.norm.cdf(q / s) - 1)

    return integrate.quad(within_given, 0, 12, limit=200)[0]


@pytest.mark.parametrize(
    ("lower", "upper", "ci_prob"), [(0.5, 2.0, 0.95), (0.1, 10.0, 0.95), (0.6, 0.9, 0.8)]
)
def test_the_stated_share_of_hazard_ratios_lies_between_the_limits(lower, upper, ci_prob):
    prior = hazard_ratio_prior(lower, upper, ci_prob=ci_prob)
    tails = stats.norm.cdf(np.log([lower, upper]), prior.mean, prior.sd)
    assert tails == pytest.approx([(1 - ci_prob) / 2, (1 + ci_prob) / 2], rel=1e-12)
    ratios = np.exp(prior.draw(np.random.default_rng(1), (DRAWS,)))
    assert within(((ratios > lower) & (ratios < upper)).sum(), ci_prob)
    assert prior.statement == f"{100 * ci_prob:g} % of hazard ratios between {lower:g} and {upper:g}"


def test_the_stated_share_of_median_survivals_lies_between_the_limits():
    prior = median_survival_prior(5, 40, ci_prob=0.9)
    medians = np.log(2) / np.exp(prior.draw(np.random.default_rng(2), (DRAWS,)))
    assert within((medians < 5).sum(), 0.05)
    assert within((medians > 40).sum(), 0.05)
    # the middle of the interval on the log scale is the median of medians
    assert np.log(2) / np.exp(prior.mean) == pytest.approx(np.sqrt(5 * 40), rel=1e-12)
    assert prior.statement == "90 % of median survivals between 5 and 40 months"


@pytest.mark.parametrize(("factor", "ci_prob"), [(4.0, 0.95), (2.0, 0.5), (1.1, 0.99), (3.0, 0.01)])
def test_the_stated_share_of_hazards_a_year_apart_lies_within_the_factor(factor, ci_prob):
    prior = hazard_change_prior(factor, ci_prob=ci_prob)
    # the integral's own error is below 1e-9
    assert product_cdf(np.log(factor) / prior.sd) == pytest.approx(ci_prob, rel=1e-8)
    rng = np.random.default_rng(3)
    change = prior.draw(rng, (DRAWS,)) * rng.normal(size=DRAWS)
    assert within((np.abs(change) < np.log(factor)).sum(), ci_prob)
    assert prior.statement == f"{100 * ci_prob:g} % of hazards a year apart within a factor {factor:g}"


@pytest.mark.parametrize("baseline", ["per arm", "shared"])
@pytest.mark.parametrize("cuts", [(12.0, 24.0), (6.0, 18.0, 30.0), (3.0, 9.0, 15.0, 21.0)])
def test_the_walk_has_that_share_at_interval_midpoints_a_year_apart(baseline, cuts):
    hazard = Hazard(baseline=baseline, priors=Priors(step_sd=hazard_change_prior(3.0, ci_prob=0.8)))
    data = patients(200, cuts=cuts)
    draws = draw_prior(hazard, data, draws=DRAWS, seed=4)["log_hazard"].isel(chain=0, arm=0)
    edges = np.array([0.0, *cuts, 2 * cuts[-1] - (0.0, *cuts)[-2]])
    middle = (edges[:-1] + edges[1:]) / 2
    first, later = next((i, j) for i in range(len(middle)) for j in range(i) if middle[i] - middle[j] == 12)
    change = draws.isel(interval=later) - draws.isel(interval=first)
    assert within(int((np.abs(change) < np.log(3)).sum()), 0.8)


@pytest.mark.parametrize("cuts", [(), (4.0,), (2.0, 5.0, 30.0)])
def test_the_level_is_the_time_averaged_log_hazard(cuts):
    draws = draw_prior(Hazard(), patients(cuts=cuts), draws=50, seed=5)
    widths = np.diff([0.0, *cuts])
    widths = np.append(widths, widths[-1]) if cuts else np.ones(1)
    average = draws["log_hazard"].weighted(xr.DataArray(widths, dims="interval")).mean("interval")
    # of patients with the average score
    average = average + draws["slope"] * patients(cuts=cuts).score.mean()
    xr.testing.assert_allclose(average, draws["level"].transpose(*average.dims), rtol=1e-13)


def test_prior_draws_follow_the_statements_of_every_variable():
    data = patients(covariates=("age",))
    hazard = Hazard(baseline="shared", smoothing="independent", slopes="common")
    draws = draw_prior(hazard, data, draws=DRAWS, seed=6)
    medians = np.log(2) / np.exp(draws["log_baseline"].isel(interval=2))
    assert within(int(((medians > 2) & (medians < 80)).sum()), 0.95)
    for name, limit in (("slope", 2.0), ("log_hr_arm", 10.0), ("log_hr_covariate", 4.0)):
        first = draws[name].isel({dim: 0 for dim in draws[name].dims if dim not in ("chain", "draw")})
        assert within(int((np.abs(first) < np.log(limit)).sum()), 0.95), name
    gap = draws["log_hazard"].diff("arm").isel(arm=0) - draws["log_hr_arm"].isel(contrast=0)
    assert float(np.abs(gap).max()) < 1e-12
    assert float(np.abs(draws["slope"].diff("arm")).max()) == 0


def test_the_same_seed_draws_the_same_prior():
    one, same, other = (draw_prior(Hazard(), patients(), draws=20, seed=seed) for seed in (1, 1, 2))
    assert one.identical(same)
    assert not one.identical(other)


def test_a_flat_prior_adds_nothing_and_has_no_draws():
    hazard = Hazard(smoothing="independent", priors=Priors(level=Flat(), slope=Normal(0.0, 1.0)))
    posterior = xr.Dataset(
        {
            "log_baseline": (("chain", "draw", "arm", "interval"), np.ones((1, 1, 2, 4))),
            "slope": (("chain", "draw", "arm"), np.zeros((1, 1, 2))),
        }
    )
    densities = log_prior(posterior, hazard, patients())
    assert float(np.abs(densities["log_baseline"]).max()) == 0
    assert densities["slope"].values.tolist() == [[[stats.norm.logpdf(0)] * 2]]
    with pytest.raises(InputError, match="prior of log_baseline is flat"):
        draw_prior(hazard, patients(), draws=5, seed=1)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: hazard_ratio_prior(2.0, 0.5), "hazard ratio: interval 2 to 0.5"),
        (lambda: hazard_ratio_prior(0.0, 2.0), "expected 0 < lower < upper"),
        (lambda: hazard_ratio_prior(0.5, np.inf), "expected 0 < lower < upper"),
        (lambda: hazard_ratio_prior(0.5, 2.0, ci_prob=95), "0 < probability < 1"),
        (lambda: median_survival_prior(-5.0, 40.0), "median survival: interval -5 to 40"),
        (lambda: median_survival_prior(np.nan, 40.0), "expected 0 < lower < upper"),
        (lambda: hazard_change_prior(1.0), "factor 1 with probability 0.95 is not usable"),
        (lambda: hazard_change_prior(np.nan), "expected a finite factor > 1"),
        (lambda: hazard_change_prior(4.0, ci_prob=1.0), "factor 4 with probability 1 is not usable"),
        (lambda: Normal(0.0, 0.0), "sd > 0"),
        (lambda: Normal(np.nan, 1.0), "expected finite values"),
        (lambda: HalfNormal(-1.0), "expected a finite value > 0"),
        (lambda: Priors(step_sd=Flat()), "step_sd has prior Flat"),
        (lambda: Priors(step_sd=Normal(0.0, 1.0)), "expected a HalfNormal"),
    ],
)
def test_priors_that_cannot_be_are_refused(build, said):
    with pytest.raises(InputError, match=said):
        build()


def test_statements_do_not_tell_priors_apart():
    assert hazard_ratio_prior(0.5, 2.0) == Normal(0.0, hazard_ratio_prior(0.5, 2.0).sd)


def test_log_densities_are_those_of_scipy():
    x = np.array([0.1, 0.7, 2.0])
    np.testing.assert_allclose(Normal(0.3, 0.5).logpdf(x), stats.norm(0.3, 0.5).logpdf(x), rtol=1e-14)
    np.testing.assert_allclose(
        HalfNormal(0.5).logpdf(x), np.log(2) + stats.norm(0, 0.5).logpdf(x), rtol=1e-12
    )
