"""Single-arm studies: their levels have their exact conditional density, and move nothing else."""

from dataclasses import replace
from functools import lru_cache
from itertools import product

import numpy as np
import pytest
from equations import Equations, log_prior
from pools import ARMS, Graph, assumptions, evidence, feeding_back, prrt, ratio, row
from scipy import stats

from bayes_net.assumptions.combine import combine_network
from bayes_net.assumptions.participants import Participants
from bayes_net.assumptions.priors import Borrowing, Normal
from bayes_net.checks.influence import left_out
from bayes_net.checks.power import prior_blocks, study_log_likelihood
from bayes_net.errors import InputError
from bayes_net.inference.arrays import draw_free, draw_prior
from bayes_net.inference.levels import _draw, with_levels
from bayes_net.inference.sampling import Sampler
from bayes_net.inference.synthesis import fit_synthesis, shares_first_stage, with_levels_of

TRIAL = [
    row("M", "median", 8.5, n=113, arm=ARMS[0]),
    row("S", "survival", 0.11, lower=0.04, upper=0.23, n=113, time=20, arm=ARMS[0], correlated_with="M",
        correlation="curve"),
    ratio("R", -1.7, 0.25, n=229, correlated_with="M;S", correlation="arms;arms"),
]  # fmt: skip
ALONE = {
    "two points of one curve": [
        row("B1", "median", 29, lower=22, upper=38, n=96, study="B"),
        row("B2", "survival", 0.4, lower=0.3, upper=0.5, time=33, study="B", correlated_with="B1",
            correlation="curve"),
    ],
    "a median without limits": [row("B1", "median", 29, n=96, study="B")],
    "a restricted mean": [row("B1", "restricted mean", 20, lower=17, upper=23, time=36, study="B")],
}  # fmt: skip
RULES = {
    "robust": Borrowing("robust mixture", sd=0.4),
    "a spike": Borrowing("commensurate", sd=0.02, weight=0.7),
    "one component": Borrowing("commensurate", sd=0.4, weight=1.0),
    "none": Borrowing("none"),
    "exchangeable": Borrowing("exchangeable", sd=0.4),
}
DRAWS = 300


def made(rows, folder, **options):
    return combine_network(evidence([*TRIAL, *rows], folder), assumptions(cuts=(8.0, 24.0), **options))


def two_stages(network, draws=DRAWS, seed=1):
    """Draws of the first stage's prior, and the levels given them."""
    first = draw_free(network.first_stage, np.random.default_rng(seed), (1, draws))
    return with_levels(first, network, seed=seed)


def density_of(network, values, draw):
    """Log density of the level of study B given all else, as a function of an array of levels: from its rows
    and patients, by the equations."""
    free = {name: value[0, draw].copy() for name, value in values.items()}
    at, sd = network.borrowers.index(("pfs", "B")), free.get("study_level_sd")
    free["study_level" if sd is None else "study_level_z"][at] = 0.0
    equations, arm = Equations(feeding_back(network), free), ARMS[1]
    base = equations.log_hazard("pfs", "B", arm)
    own = [one for one in equations.rows if one[0].study == "B"]
    precision = np.linalg.inv(equations.correlation(own))

    def log_density(x):
        rule = network.assumptions.study_level
        total = log_prior(x, rule if rule.mixes else Normal(0.0, rule.narrow_sd if sd is None else float(sd)))
        read = [
            equations.restricted_mean(d.time, np.exp(base[:, None] + x))
            if r.statistic == "restricted mean"
            else equations.location(r, d) + x
            for r, d, _ in own
        ]
        z = np.reshape(
            [(d.value - mean) / equations.se(d) for (_, d, _), mean in zip(own, read, strict=True)],
            (-1, len(x)),
        )
        total = total - 0.5 * (z * (precision @ z)).sum(axis=0)
        for cohort in network.cohorts:
            expected = np.exp(base) @ cohort.person_time[1] * np.exp(x)
            total = total + cohort.weight * (cohort.events[1].sum() * x - expected)
        return total

    return log_density


def assert_uniform(ranks):
    assert stats.kstest(ranks, "uniform").pvalue > 0.001


def ranks(network, values):
    """The distribution function of every level by quadrature of its density, where it was drawn."""
    found, sd = [], values.get("study_level_sd", np.ones((1, DRAWS)))
    name = "study_level_z" if "study_level_z" in values else "study_level"
    for draw in range(DRAWS):
        at = values[name][0, draw, network.borrowers.index(("pfs", "B"))] * sd[0, draw]
        # fine where it was drawn and around 0, where a prior may have a spike, and coarse to far away
        near = np.concatenate([np.linspace(-1, 1, 401), np.linspace(-0.1, 0.1, 101), np.linspace(-8, 8, 65)])
        x = np.unique(np.concatenate([near, near + at]))
        density = density_of(network, values, draw)(x)
        mass = np.exp(density - density.max())
        steps = 0.5 * (mass[1:] + mass[:-1]) * np.diff(x)
        found.append(steps[x[1:] <= at].sum() / steps.sum())
    return np.array(found)


CASES = [(next(iter(ALONE)), rule) for rule in RULES] + list(
    product(list(ALONE)[1:], ("robust", "exchangeable"))
)


@pytest.mark.parametrize(("rows", "rule"), CASES)
def test_levels_have_their_density_given_all_else(rows, rule, tmp_path):
    network = made(ALONE[rows], tmp_path, study_level=RULES[rule])
    values = two_stages(network)
    assert_uniform(ranks(network, values))


def test_levels_of_patients_have_their_density_given_all_else(tmp_path):
    events, months = np.array([[0, 0, 0], [3.0, 5.0, 2.0]]), np.array([[0, 0, 0], [90.0, 120.0, 40.0]])
    trial = evidence(TRIAL, tmp_path)
    patients = Participants("B", "pfs", events, months, weight=0.5)
    network = combine_network(trial, assumptions(cuts=(8.0, 24.0)), cohorts=[patients])
    assert network.conditional == (("pfs", "B"),)
    assert not network.first_stage.cohorts
    assert_uniform(ranks(network, two_stages(network)))


def test_the_sd_of_exchangeable_levels_has_its_density_given_all_else(tmp_path):
    """With likelihoods N(m, s^2) of two levels, that is a half-normal times N(m; 0, s^2 + sd^2) of each."""
    rows = [
        row(f"{study}1", "survival", value, lower=value - 0.1, upper=value + 0.1, time=12, study=study)
        for study, value in (("B", 0.6), ("C", 0.8))
    ]
    network = made(rows, tmp_path, study_level=RULES["exchangeable"])
    values, found = two_stages(network, draws=400), []
    x = np.linspace(1e-4, 3.0, 3000)
    for draw in range(400):
        free = {name: value[0, draw].copy() for name, value in values.items()}
        free["study_level_z"][:] = 0.0
        equations = Equations(feeding_back(network), free)
        density = stats.halfnorm.pdf(x, scale=0.4)
        for own, d, _ in equations.rows:
            if own.study in ("B", "C"):
                residual = d.value - equations.location(own, d)
                density = density * stats.norm.pdf(residual, 0, np.hypot(d.se, x))
        found.append(density[x <= values["study_level_sd"][0, draw]].sum() / density.sum())
    assert_uniform(found)


FAR = [(0.2, 0.15, "robust"), (7.0, 0.005, "robust"), (-9.0, 0.15, "one component"), (1.5, 0.5, "a spike")]


@pytest.mark.parametrize(("mean", "se", "rule"), FAR)
def test_draws_by_inversion_are_those_of_the_closed_form(mean, se, rule):
    """A normal likelihood and a mixture: the distribution function of the posterior at its own quantiles.
    Densities that are linear between nodes cost 0.002 at most."""
    prior, u = RULES[rule], (np.arange(400) + 0.5) / 400
    found = _draw(lambda x: prior.logpdf(x) - 0.5 * ((x - mean) / se) ** 2, u)
    sds = np.array([prior.sd, prior.vague_sd])
    weight = np.array([prior.weight, 1 - prior.weight]) * stats.norm.pdf(mean, 0, np.hypot(sds, se))
    spread = np.hypot(sds, se)
    parts = stats.norm.cdf(found[:, None], mean * (sds / spread) ** 2, sds * se / spread)
    np.testing.assert_allclose(parts @ (weight / weight.sum()), u, atol=0.002)


def test_the_log_density_of_a_mixture_is_that_of_its_components():
    x = np.linspace(-3, 3, 13)
    for rule in RULES.values():
        expected = stats.norm.pdf(x, 0, rule.narrow_sd)
        if rule.mixes:
            expected = rule.weight * expected + (1 - rule.weight) * stats.norm.pdf(x, 0, rule.vague_sd)
        np.testing.assert_allclose(rule.logpdf(x), np.log(expected), rtol=1e-12)


# --- what moves ------------------------------------------------------------------------------------------


@lru_cache
def fitted(network):
    return fit_synthesis(network, seed=3, sampler=Sampler(draws=200, tune=200))["posterior"].to_dataset()


def test_a_curve_of_one_arm_moves_its_own_level_and_nothing_else(tmp_path):
    network = made(ALONE["a median without limits"], tmp_path)
    whole, without = fitted(network), fitted(left_out(network, ["B"]))
    for name in ("arm_effect", "level", "step", "step_sd"):
        assert np.array_equal(whole[name], without[name]), name
    assert not np.array_equal(whole["study_level"], without["study_level"])
    assert whole["study_level"].std() < 0.5 * without["study_level"].std()
    assert list(whole["borrower"].values) == list(draw_prior(network, draws=2, seed=1)["borrower"].values)


def test_without_a_curve_of_one_arm_its_level_is_drawn_and_nothing_is_sampled(tmp_path):
    network = made(ALONE["two points of one curve"], tmp_path)
    whole, smaller = (
        fit_synthesis(network, seed=3, sampler=Sampler(draws=200, tune=200)),
        left_out(network, ["B"]),
    )
    assert shares_first_stage(network, smaller)
    assert not shares_first_stage(network, left_out(network, ["M"]))
    assert not shares_first_stage(feeding_back(network), feeding_back(smaller))
    found, sampled = with_levels_of(whole, smaller, seed=3)["posterior"], fitted(smaller)
    assert set(found) == set(sampled)
    for name in sampled:
        np.testing.assert_allclose(found[name], sampled[name], rtol=1e-12, err_msg=name)


def test_the_shipped_trial_is_the_same_without_the_single_arm_study():
    """The gradient of the sampled density by all that is not a response of ILUMINET is the same number for
    number without it, and was not with feedback."""
    for network, moves in ((prrt(), False), (feeding_back(prrt()), True)):
        whole, without = (Graph(one.first_stage) for one in (network, left_out(network, ["ILUMINET"])))
        trial = [
            i for i, label in enumerate(whole.effects) if label[0] in ("arm_effect_mean", "level", "step")
        ]
        for x in whole.points():
            same = np.array_equal(whole(x)[1][trial], without(x)[1][trial])
            assert same is not moves


def test_what_may_feed_back_is_asked_for(tmp_path):
    network = made(ALONE["two points of one curve"], tmp_path)
    assert network.conditional == (("pfs", "B"),)
    assert list(network.first_stage.rows["id"]) == ["M", "S", "R"]
    assert network.first_stage.borrowers == ()
    assert network.first_stage.first_stage is network.first_stage
    assert feeding_back(network).first_stage.borrowers == network.borrowers
    full = replace(network, assumptions=replace(network.assumptions, study_level=Borrowing("full")))
    assert full.first_stage is full


def test_studies_that_compare_arms_and_studies_without_a_trial_keep_their_say(tmp_path):
    compared = made([ratio("B0", -0.5, 0.2, study="B"), *ALONE["a median without limits"]], tmp_path)
    assert compared.conditional == ()
    rows = [TRIAL[0], *ALONE["a median without limits"]]
    alone = combine_network(evidence(rows, tmp_path), assumptions())
    assert alone.conditional == ()


def test_correlations_across_stages_are_refused(tmp_path):
    other = row("B3", "median", 47, n=96, study="B", endpoint="os", correlated_with="B1", correlation="0.4")
    trial = [{**one, "id": f"O{one['id']}", "endpoint": "os", "correlated_with": "", "correlation": ""}
             for one in TRIAL[1:]]  # fmt: skip
    network = made([*ALONE["a median without limits"], other, *trial], tmp_path)
    with pytest.raises(InputError, match="B1 of B are correlated with numbers of another curve"):
        fit_synthesis(network, seed=1)
    assert len(feeding_back(network).first_stage.rows) == 7


def test_weights_know_nothing_of_what_does_not_feed_back():
    draws = draw_prior(prrt(), draws=20, seed=1)
    own = prrt().of_curves([("pfs", "ILUMINET"), ("os", "ILUMINET")])
    silent = prrt().with_power(dict.fromkeys(prrt().rows["id"][own], 0.0))
    one, other = (study_log_likelihood(draws, network) for network in (prrt(), silent))
    np.testing.assert_array_equal(one, other)
    assert "ILUMINET" in one["study"].values
    assert "level of studies" not in prior_blocks(prrt())
    assert "level of studies" in prior_blocks(feeding_back(prrt()))
