"""What papers say of estimates that they do not print, as evidence: the density, and the posteriors."""

import json
import os
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from pools import assert_exact, assumptions, evidence, found, ratio, row, slope
from scipy import stats
from test_definitions import Evaluated, assert_engine_is_the_synthesis, assert_variables
from test_definitions import _python as _python

from bayes_net.assumptions.combine import combine_network
from bayes_net.assumptions.priors import Normal
from bayes_net.assumptions.synthesis import SlopePrior
from bayes_net.data.landmarks import landmark_times
from bayes_net.inference.sampling import Sampler
from bayes_net.inference.synthesis import fit_synthesis
from bayes_net.model.synthesis import synthesis_model

MARKS = ("150d", "180d", "36w", "48w", "72w", "no limit")
BIAS = {"control": (-0.022, 0.008), "177Lu": (-0.010, 0.005)}


def said(id, words, landmark, se, **more):
    """A statement on a hazard ratio per point; ``se`` is per 10 points."""
    more = {"se": se / 10 if se else "", "landmark": landmark, "unit": "per +1 point of shrinkage"} | more
    return row(id, "hazard ratio per point", said=words, level="", **more)


def correlated(rows, R):
    """The rows with the correlations ``R`` between all pairs."""
    found = [dict(one) for one in rows]
    for i, j in combinations(range(len(rows)), 2):
        one = found[j]
        for column, value in (("correlated_with", rows[i]["id"]), ("correlation", repr(float(R[i][j])))):
            one[column] = f"{one[column]};{value}" if one[column] else value
    return found


def network_of(rows, folder, **more):
    given = {"landmarks": landmark_times(list(MARKS)), "bias": BIAS, "cuts": ()} | more
    return combine_network(evidence(rows, folder), assumptions(**given))


CONTROL = {"arm": "control"}
SLOPES = correlated(
    [
        slope("S1", -0.0856, 0.0303, "150d", **CONTROL),
        said("S2", "not significant", "180d", 0.2, se_log_sd=0.25, **CONTROL),
        said("S3", "about 1.0; not significant", "36w", 0.17, **CONTROL),
        said("S4", "above S3", "48w", 0.15, **CONTROL),
        said("S5", "significantly below 1", "72w", None, events=20, sd=12, **CONTROL),
    ],
    [[0.7 ** abs(i - j) for j in range(5)] for i in range(5)],
)
APART = np.abs(np.subtract.outer(range(5), range(5)))
UNCERTAIN = correlated(
    [
        slope("S1", -0.0856, 0.0303, "150d", events=40, sd=12, se_log_sd=0.2, se_tilt=-5, **CONTROL),
        said("S2", "not significant", "180d", 0.2, se_log_sd=0.25, se_tilt=-7, **CONTROL),
        said("S3", "about 1.0; not significant", "36w", 0.17, se_log_sd=0.4, **CONTROL),
        slope("S4", -0.0336, 0.0125, "no limit", **CONTROL) | {"se": "0.012", "se_log_sd": "0.15"},
        said("S5", "significantly below 1", "72w", None, events=20, sd=12, **CONTROL),
    ],
    0.5 + 0.5 * 0.6**APART,
)
"""Standard errors of what is not printed, beside printed ones of which as much was expected."""
POOLS = {
    "slopes": SLOPES,
    "uncertain standard errors": UNCERTAIN,
    "percentage change": [
        said("S1", "significantly above 1", "150d", 0.3, unit="per +1 point of PCHG"),
        said("S2", "not significant", "no limit", 0.2, unit="per +1 point of PCHG", **CONTROL),
    ],
    "arms and odds": [
        row("R1", "hazard ratio", said="not significant", events=70),
        row("R2", "hazard ratio", said="below R3", events=70, study="B"),
        ratio("R3", -0.4, 0.2, study="C"),
        row("O1", "odds ratio", said="not significant", se=0.8, level=90, endpoint="completion"),
    ],
    "a publishing rule": [
        slope("S1", -0.0856, 0.0303, "150d", publishing="if significant", **CONTROL),
        ratio("R1", 0.9, 0.2, publishing="if significant"),
    ],
}
WEIGHTS = {"S2": 0.5, "S3": 0.0}
WEIGHTED = ["slopes, weights", "uncertain standard errors, weights"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    @lru_cache
    def made(name):
        rows = POOLS[name.removesuffix(", weights")]
        network = network_of(rows, tmp_path_factory.mktemp("rows"))
        network = network.with_power(WEIGHTS) if name.endswith("weights") else network
        return network, Evaluated(synthesis_model(network))

    return made


@pytest.mark.parametrize("name", [*POOLS, *WEIGHTED])
def test_the_engine_has_the_density_and_gradient_of_the_definition(name, pool):
    network, evaluated = pool(name)
    assert_engine_is_the_synthesis(evaluated, network, tolerance=1e-9)


@pytest.mark.parametrize("name", [*POOLS, *WEIGHTED])
def test_the_definition_has_the_variables_of_a_posterior_and_its_likelihood(name, pool):
    assert_variables(*pool(name))


# --- what a statement means ---------------------------------------------------------------------------

FLAT = SlopePrior(Normal(0.0, 0.5), "independent")
LONG = Sampler(draws=4000, tune=800, target_accept=0.9)


def fitted(rows, folder, **more):
    network = network_of(rows, folder, slopes=FLAT, bias={}, **more)
    fit = fit_synthesis(network, seed=3, sampler=LONG)
    return fit["posterior"], fit


def of(posterior, mark, arm="control"):
    return posterior["slope"].sel(endpoint="pfs", arm=arm, landmark=mark).values


def moments_of(log_density, low=-4.0, high=4.0):
    """Mean and SD of an unnormalised density on a grid."""
    x = np.linspace(low, high, 20001)
    weight = np.exp(log_density(x) - log_density(x).max())
    mean = (x * weight).sum() / weight.sum()
    return {"mean": mean, "sd": np.sqrt(((x - mean) ** 2 * weight).sum() / weight.sum())}


PRIOR = stats.norm(0, 0.5)
WIDE = 10 * np.log(1.05) / 0.2
MEANINGS = {
    "not significant": lambda b: stats.norm.cdf(1.96 - b / 0.2) - stats.norm.cdf(-1.96 - b / 0.2),
    "|z| < 1000": np.ones_like,
    "significantly above 1": lambda b: stats.norm.sf(1.96 - b / 0.2),
    "significantly below 1": lambda b: stats.norm.cdf(-1.96 - b / 0.2),
    "about 1 within 0.00001": lambda b: stats.norm.pdf(b / 0.2),
    "about 1.0": lambda b: stats.norm.cdf(WIDE - b / 0.2) - stats.norm.cdf(-WIDE - b / 0.2),
}


@pytest.mark.parametrize("words", MEANINGS)
def test_a_statement_is_the_probability_of_the_event_that_it_states(words, tmp_path):
    posterior, _ = fitted([said("S1", words, "150d", 0.2, arm="control")], tmp_path)
    expected = moments_of(lambda b: PRIOR.logpdf(b) + np.log(MEANINGS[words](b) + 1e-300))
    assert_exact({words: (of(posterior, "150 d"), expected)})


def test_a_statement_on_a_correlated_estimate_that_says_nothing_changes_nothing(tmp_path):
    """Not even where the numbers in print are correlated with it."""
    printed = slope("S1", -0.05, 0.03, "150d", **CONTROL)
    rows = [printed, said("S2", "|z| < 1000", "180d", 0.2, **CONTROL)]
    posterior, _ = fitted(correlated(rows, [[1, 0.9], [0.9, 1]]), tmp_path)
    gain = 0.25 / (0.25 + 0.09)
    expected = {"mean": -0.5 * gain, "sd": np.sqrt(0.25 * (1 - gain))}
    slopes, prior = [of(posterior, mark) for mark in ("150 d", "180 d")], {"mean": 0.0, "sd": 0.5}
    # where the other estimate lies is told by the correlation
    estimate = posterior["estimate"].sel(unprinted_estimate="S2").values
    error = estimate - slopes[1] - 0.6 * (-0.5 - slopes[0])
    assert_exact(
        {
            "printed": (slopes[0], expected),
            "other": (slopes[1], prior),
            "error": (error, {"mean": 0.0, "sd": 0.2 * np.sqrt(1 - 0.81)}),
        }
    )


def test_a_tiny_tolerance_pins_the_estimate_and_not_the_slope(tmp_path):
    posterior, _ = fitted([said("S1", "about 1 within 0.00001", "150d", 0.2, arm="control")], tmp_path)
    assert np.abs(posterior["estimate"].values).max() < 1.1e-4
    assert of(posterior, "150 d").std() > 0.15


def test_a_comparison_is_an_order_of_two_estimates(tmp_path):
    rows = [said("S1", "|z| < 1000", "150d", 0.2, **CONTROL), said("S2", "above S1", "180d", 0.2, **CONTROL)]
    posterior, _ = fitted(correlated(rows, [[1, 0.5], [0.5, 1]]), tmp_path)
    # slopes a, b; y_b - y_a has mean b - a and SD 0.2; the difference of slopes has SD 0.5 sqrt 2
    spread = np.sqrt(0.5)
    expected = moments_of(lambda d: stats.norm.logpdf(d, 0, spread) + stats.norm.logcdf(d / 0.2))
    assert_exact({"difference": (of(posterior, "180 d") - of(posterior, "150 d"), expected)})
    y = posterior["estimate"]
    assert (y.sel(unprinted_estimate="S2") > y.sel(unprinted_estimate="S1")).all()


def test_an_uncertain_standard_error_is_averaged_over(tmp_path):
    posterior, _ = fitted(
        [said("S1", "not significant", "150d", 0.2, se_log_sd=0.5, arm="control")], tmp_path
    )
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)

    def log_density(b):
        se = 0.2 * np.exp(0.5 * nodes)[:, None]
        chance = stats.norm.cdf(1.96 - b / se) - stats.norm.cdf(-1.96 - b / se)
        return PRIOR.logpdf(b) + np.log(weights @ chance)

    assert_exact({"slope": (of(posterior, "150 d"), moments_of(log_density))})


def test_standard_errors_of_what_is_not_printed_follow_the_printed_ones(tmp_path):
    """The law of their factors, given by how much the printed ones exceed what was expected of them."""
    own = network_of(UNCERTAIN, tmp_path).factors
    R = 0.5 + 0.5 * 0.6**APART
    at_print, expected = -0.0856, 1 / (12 * np.sqrt(40))
    excess = np.array([(np.log(0.0303 / expected) + 5 * at_print) / 0.2, np.log(0.0125 / 0.012) / 0.15])
    said_of, known, sd = [1, 2, 4], [0, 3], np.array([0.25, 0.4, 0.25])
    gain = np.linalg.solve(R[np.ix_(known, known)], R[np.ix_(known, said_of)]).T
    left = R[np.ix_(said_of, said_of)] - gain @ R[np.ix_(known, said_of)]
    np.testing.assert_allclose(own.mean, sd * (gain @ excess), rtol=2e-3)  # limits in print are rounded
    np.testing.assert_allclose(own.root @ own.root.T, np.outer(sd, sd) * left, rtol=1e-10)


def test_without_a_printed_standard_error_factors_have_the_law_of_the_rows(tmp_path):
    rows = [{**one, "se": "", "events": "", "sd": ""} if one["value"] else one for one in UNCERTAIN]
    network = network_of(rows, tmp_path)
    sd, apart = np.array([0.25, 0.4, 0.25]), APART[np.ix_([1, 2, 4], [1, 2, 4])]
    for own in (network.factors, network_of(UNCERTAIN, tmp_path).with_power({"S1": 0, "S4": 0}).factors):
        np.testing.assert_array_equal(own.mean, np.zeros(3))
        np.testing.assert_allclose(
            own.root @ own.root.T, np.outer(sd, sd) * (0.5 + 0.5 * 0.6**apart), rtol=1e-10
        )


def test_a_printed_standard_error_larger_than_expected_weakens_what_is_said_beside_it(tmp_path):
    printed = slope("S1", -0.05, 0.03, "150d", **CONTROL) | {"se": "0.02", "se_log_sd": "0.5"}
    rows = correlated(
        [printed, said("S2", "not significant", "180d", 0.2, se_log_sd=0.5, **CONTROL)], [[1, 0.8], [0.8, 1]]
    )
    posterior, _ = fitted(rows, tmp_path)
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    se = 0.2 * np.exp(0.8 * np.log(1.5) + 0.5 * np.sqrt(1 - 0.64) * nodes)
    x = np.linspace(-3, 3, 301)
    a, b = np.meshgrid(x, x, indexing="ij")
    at_a = (-0.5 - a) / 0.3
    chance = sum(
        w * np.diff(stats.norm.cdf(([-1.96 * s, 1.96 * s] - (b + 0.8 * s * at_a)[..., None]) / (0.6 * s)))
        for w, s in zip(weights, se, strict=True)
    )[..., 0]
    weight = PRIOR.pdf(a) * PRIOR.pdf(b) * stats.norm.pdf(at_a) * chance
    weight /= weight.sum()
    exact = {}
    for mark, value in (("150 d", a), ("180 d", b)):
        mean = (value * weight).sum()
        sd = np.sqrt(((value - mean) ** 2 * weight).sum())
        exact[mark] = (of(posterior, mark), {"mean": mean, "sd": sd})
    assert_exact(exact)


def test_a_number_printed_because_it_was_significant_has_a_truncated_likelihood(tmp_path):
    printed = slope("S1", -0.06, 0.025, "150d", publishing="if significant", **CONTROL)
    posterior, _ = fitted([printed], tmp_path)

    def log_density(b):
        chance = stats.norm.cdf(-1.96 - b / 0.25) + stats.norm.sf(1.96 - b / 0.25)
        return PRIOR.logpdf(b) + stats.norm.logpdf(-0.6, b, 0.25) - np.log(chance)

    assert_exact({"slope": (of(posterior, "150 d"), moments_of(log_density))})


def test_the_log_likelihood_is_that_of_each_row_given_the_others(tmp_path):
    """By numerical integration over one estimate of the joint density of all."""
    posterior, fit = fitted(SLOPES[:3], tmp_path)
    log_p = fit["log_likelihood"]["published"].isel(chain=0, draw=slice(0, 20))
    R = 0.7 ** np.abs(np.subtract.outer(range(3), range(3)))
    draw = posterior.isel(chain=0, draw=slice(0, 20))
    mean = draw["slope"].sel(endpoint="pfs", arm="control", landmark=["150 d", "180 d", "36 w"]).values
    y = draw["estimate"].sel(unprinted_estimate=["S2", "S3"]).values
    factor = np.exp(0.25 * draw["se_z"].values[:, 0])
    for i in range(20):
        se = np.array([0.303, 0.2 * factor[i], 0.17])
        joint = stats.multivariate_normal(mean[i], np.outer(se, se) * R)
        grid = stats.norm.isf(0.025) * se[1] * np.linspace(-1, 1, 4001)
        at = np.array([np.full(4001, -0.856), grid, np.full(4001, y[i, 1])]).T
        wide = np.linspace(-3, 3, 20001)
        whole = np.array([np.full(20001, -0.856), wide, np.full(20001, y[i, 1])]).T
        chance = np.trapezoid(joint.pdf(at), grid) / np.trapezoid(joint.pdf(whole), wide)
        assert float(log_p.sel(row="S2")[i]) == pytest.approx(np.log(chance), abs=1e-4)


# --- posteriors against answers computed independently ------------------------------------------------

SHARED = Path(os.environ.get("BAYES_NET_SHARED", ""))
NO_LIMIT = {"control": (-0.339, 0.125), "177Lu": (0.020, 0.079)}


def of_reference(name, given):
    """The rows of a configuration of the reference: values and standard errors are per 10 points."""
    arm = name.split(",")[0]
    rows, more = [], {"arm": arm, "cohort_id": "NETTER-1"}
    for i, (mark, se) in enumerate(zip(MARKS, given["se"], strict=True)):
        if mark == "no limit":
            value, se = NO_LIMIT[arm]
            rows.append(slope(f"S{i}", value / 10, se / 10, mark, **more))
        elif arm == "control" and mark == "150d":
            rows.append(slope(f"S{i}", np.log(0.918), se / 10, mark, **more))
        elif "no rule" not in name:
            words = "about 1.0" if "words" in name else "not significant"
            rows.append(said(f"S{i}", words, mark, se, **more))
    at = [int(one["id"][1:]) for one in rows]
    return arm, correlated(rows, np.array(given["R"])[np.ix_(at, at)])


@pytest.mark.skipif(not SHARED.name, reason="needs the reference answers")
@pytest.mark.parametrize("name", ["control, rule", "control, no rule", "177Lu, rule", "177Lu, words only"])
def test_posteriors_are_those_of_weighted_prior_draws(name, tmp_path):
    """Six to twenty million draws of the prior, weighted by the likelihood, without any of our code."""
    reference = json.loads((SHARED / "reference" / "reporting_rule_reference.json").read_text())
    sources = {"control, no rule": "control, rule", "177Lu, words only": "177Lu, rule"}
    given = reference["configurations"][sources.get(name, name)]
    arm, rows = of_reference(name, given)
    mean, sd = given["bias"]
    prior = SlopePrior(Normal(0.0, 0.5), length=1.0, level=0.5)
    network = network_of(rows, tmp_path, bias={arm: (mean / 10, sd / 10)}, slopes=prior)
    fit = fit_synthesis(network, seed=11, sampler=Sampler(draws=5000, tune=1000, target_accept=0.95))
    slopes = fit["posterior"]["slope"].sel(endpoint="pfs", arm=arm)
    draws = {
        mark: slopes.sel(landmark=m.label) for mark, m in zip(MARKS, landmark_times(list(MARKS)), strict=True)
    }
    draws["bias"] = fit["posterior"]["bias"].isel(biased_slope=0)
    answer = reference["posterior"][name]
    worst = {}
    for own, expected in zip(answer["names"], answer["post"], strict=True):
        x, error = draws[own].values, expected["sd"] / np.sqrt(answer["ess"])
        known = found(x, dict.fromkeys(("mean", "sd", 0.025, 0.25, 0.5, 0.75, 0.975)))
        quantiles = dict(zip((0.025, 0.25, 0.5, 0.75, 0.975), expected["q"], strict=True))
        for statistic, value in {"mean": expected["mean"], "sd": expected["sd"], **quantiles}.items():
            ours, mcse = known[statistic]
            # the error of a weighted quantile is that of the mean, over the density there
            factor = {0.025: 2.6, 0.975: 2.6, 0.25: 1.4, 0.75: 1.4, 0.5: 1.3}.get(statistic, 1.0)
            worst[own, statistic] = abs(ours - value) / np.hypot(mcse, factor * error)
    assert max(worst.values()) < 4.0, sorted(worst.items(), key=lambda one: -one[1])[:3]
