"""What decides a synthesis, against conjugate posteriors and against the model written anew."""

import numpy as np
import pools
import pytest
import xarray as xr
from scipy import stats
from test_power import distance
from test_synthesis import with_patients  # noqa: F401 (a fixture)

from bayes_net.assumptions.combine import combine_network
from bayes_net.assumptions.priors import Fixed, Normal
from bayes_net.checks.influence import study_influence
from bayes_net.checks.power import (
    ALPHAS,
    prior_blocks,
    reported_log_ratios,
    study_log_likelihood,
    synthesis_components,
    synthesis_power_scaling,
)
from bayes_net.inference.arrays import draw_prior, with_derived
from bayes_net.inference.synthesis import as_defined, named
from bayes_net.labels import coordinates
from bayes_net.model.predictors import effect_names, length, scale_names
from bayes_net.schema import STUDY

PRIOR = Normal(0.3, 0.6)
DRAWS = 40_000


def conjugate(folder, numbers, *, draws=DRAWS, given=None):
    """A pool of printed log hazard ratios {study: (value, SE)} of one effect, with independent draws of its
    posterior, of all numbers or of those ``given``: normal in, normal out."""
    rows = [
        pools.ratio(f"R{i}", value, se, study=study) for i, (study, (value, se)) in enumerate(numbers.items())
    ]
    assumed = pools.assumptions(arm_effect=PRIOR, arm_heterogeneity=Fixed(0.0))
    network = combine_network(pools.evidence(rows, folder), assumed)
    mean, sd = posterior(given or numbers)
    rng = np.random.default_rng(4)
    coords = {"chain": range(4), "draw": range(draws // 4)}
    coords |= coordinates({dim: own for v in network.free.values() for dim, own in v.dims.items()})
    free = xr.Dataset(
        {
            name: (
                ("chain", "draw", *v.dims),
                rng.normal(*((mean, sd) if name == "arm_effect_mean" else (0, 1)), (4, draws // 4, *v.shape)),
            )
            for name, v in network.free.items()
        },
        coords,
    )
    groups = {"posterior": with_derived(free, network), "prior": draw_prior(network, draws=draws, seed=1)}
    return xr.DataTree.from_dict(groups), network


def posterior(numbers, *, prior_power=1.0, power=None):
    """Mean and SD of the effect, with the prior and some studies raised to powers."""
    precision, moment = prior_power / PRIOR.sd**2, prior_power * PRIOR.mean / PRIOR.sd**2
    for study, (value, se) in numbers.items():
        weight = (power or {}).get(study, 1.0) / se**2
        precision, moment = precision + weight, moment + weight * value
    return moment / precision, precision**-0.5


ONE, TWO = {"A": (-0.9, 0.4)}, {"A": (-0.9, 0.4), "B": (-0.2, 0.9)}
SCALED = [
    (ONE, "prior of arm effect", lambda a: {"prior_power": a}),
    (ONE, "all priors", lambda a: {"prior_power": a}),
    (ONE, "likelihood", lambda a: {"power": {"A": a}}),
    (TWO, "likelihood", lambda a: {"power": {"A": a, "B": a}}),
    (TWO, "likelihood of A", lambda a: {"power": {"A": a}}),
    (TWO, "likelihood of B", lambda a: {"power": {"B": a}}),
]


@pytest.mark.parametrize(("numbers", "component", "powers"), SCALED)
def test_power_scaling_of_a_synthesis_is_that_of_the_conjugate_posterior(
    tmp_path, numbers, component, powers
):
    fit, network = conjugate(tmp_path, numbers)
    found = synthesis_power_scaling(fit, network)
    own = found[(found["component"] == component) & (found["study"] == "A")].iloc[0]
    mean, sd = posterior(numbers)
    step = 1e-4
    ends = [posterior(numbers, **powers(2.0**side))[0] for side in (-step, step)]
    shift = (ends[1] - ends[0]) / (2 * step) / sd
    # a covariance of so many independent draws errs by SD(log density) / sqrt(draws), times at most sqrt 2
    density = synthesis_components(fit, network)[component]
    error = np.log(2) * np.sqrt(2 / DRAWS) * density.std()
    assert own["shift"] == pytest.approx(shift, abs=4 * error)
    drawn = fit["posterior"]["arm_effect_mean"]
    moved = [
        distance(
            stats.norm(mean, sd),
            stats.norm(*posterior(numbers, **powers(alpha))),
            drawn.min().item(),
            drawn.max().item(),
        )
        for alpha in ALPHAS
    ]
    exact = np.mean([m / abs(np.log2(alpha)) for m, alpha in zip(moved, ALPHAS, strict=True)])
    # test_power found an SD of 1.5 % with half as many draws
    assert own["sensitivity"] == pytest.approx(exact, rel=0.06, abs=0.003)


def test_a_single_study_is_not_told_twice(tmp_path):
    fit, network = conjugate(tmp_path, ONE, draws=400)
    names = list(synthesis_power_scaling(fit, network)["component"].unique())
    assert names == ["likelihood", "all priors", "prior of arm effect"]
    assert study_influence(fit, network, ci_prob=0.9).empty


# --- the components are those of the model ------------------------------------------------------------


def at_points(network, points):
    """The posterior's variables at these vectors of the model, as draws of one chain."""
    n = length(effect_names(network), network)
    groups = {"z": (("chain", "draw", "effect_label"), points[None, :, :n])}
    if points.shape[1] > n:
        groups["scale"] = (("chain", "draw", "sd_label"), np.exp(points[None, :, n:]))
    coords = {"chain": [0], "draw": range(len(points))}
    free = as_defined(xr.Dataset(groups, coords), network)
    return xr.DataTree.from_dict({"posterior": named(free, network, coords)})


def vectors(network, count=6, size=0.4):
    n = length(effect_names(network), network) + length(scale_names(network), network)
    return np.random.default_rng(8).normal(0.0, size, (count, n))


def same_up_to_a_constant(found, expected):
    """Sums of a hundred terms."""
    np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-8, atol=1e-7)
    assert np.ptp(expected) > 0.01


def likelihood(density, x) -> float:
    density(x)
    numbers = density.normal_rows() + density.said() + density.other_rows()
    return numbers + density.followed() + density.landmarked()


def check_components(network, people):
    network = pools.feeding_back(network)
    graph = pools.Graph(network)
    points = vectors(network)
    fit = at_points(network, points)
    found = {name: x[0] for name, x in synthesis_components(fit, network).items()}
    whole = pools.Density(network, graph, **people)
    same_up_to_a_constant(found["likelihood"], np.array([likelihood(whole, x) for x in points]))
    studies = study_log_likelihood(fit["posterior"].to_dataset(), network)[STUDY].values
    for name in studies:
        others = dict.fromkeys(network.rows.loc[network.rows["study"] != name, "id"], 0.0)
        own = {
            kind: [(*one[:-2], one[-2] * (one[0] == name), one[-1]) for one in ones]
            for kind, ones in people.items()
        }
        density = pools.Density(network.with_power(others), graph, **own)
        density.information = whole.information  # the scale on which the vectors are, whatever is left out
        expected = np.array([likelihood(density, x) for x in points])
        same_up_to_a_constant(found[f"likelihood of {name}"], expected)
    stated = {variable for names in prior_blocks(network).values() for variable in names}
    expected = []
    for x in points:
        whole(x)
        inner = [z for label, z in whole.z.items() if label[0] not in stated]
        jacobian = x[len(graph.effects) :].sum() - np.log(whole.c).sum()
        expected.append(whole.prior() - jacobian + 0.5 * np.sum(np.square(inner)))
    same_up_to_a_constant(found["all priors"], np.array(expected))


@pytest.mark.parametrize("power", [{}, {"N02": 0.5, "N11": 0.25, "H04": 0.5, "D01": 0.25, "N20": 0.0}])
def test_studies_and_priors_add_up_to_the_model_of_published_numbers(power):
    check_components(pools.feeding_back(pools.prrt()).with_power(power), {})


def test_studies_and_priors_add_up_where_a_mixture_is_lopsided():
    lopsided = pools.specification({"borrowing.level": {"kind": "robust mixture", "sd": 0.4, "weight": 0.8}})
    check_components(pools.feeding_back(pools.prepare(lopsided).network), {})


def test_studies_and_priors_add_up_to_the_model_with_patients(with_patients):  # noqa: F811
    check_components(*with_patients)


def test_every_free_variable_is_a_stated_prior_or_the_models_own():
    network = pools.feeding_back(pools.prrt())
    stated = [variable for names in prior_blocks(network).values() for variable in names]
    assert len(stated) == len(set(stated))
    assert set(network.free) - set(stated) == {
        *("step", "response_difference_z", "shrinkage_study_z", "estimate_z")
    }
    exchangeable = pools.prepare(pools.specification({"slopes.structure": "exchangeable"})).network
    assert prior_blocks(exchangeable)["slope"] == ("slope_mean",)
    assert prior_blocks(exchangeable)["slope heterogeneity"] == ("slope_sd",)


# --- without a study ----------------------------------------------------------------------------------


def test_without_a_study_the_posterior_is_the_conjugate_one(tmp_path):
    fit, network = conjugate(tmp_path, TWO)
    found = study_influence(fit, network, ci_prob=0.9).set_index(["study", "without"])
    for study in ("A", "B", "(pooled mean)"):
        own = found.loc[study, "B"]
        mean, sd = posterior(TWO)
        exact, exact_sd = posterior({"A": TWO["A"]})
        assert own["reliable"]
        assert not own["refitted"]
        # errors of importance sampling and of a median of so many draws
        error = 4 * 1.5 / np.sqrt(DRAWS)
        assert own["shift"] == pytest.approx((exact - mean) / sd, abs=error)
        assert own["width"] == pytest.approx(exact_sd / sd, abs=error)
        expected = exact + exact_sd * stats.norm.ppf([0.5, 0.05, 0.95])
        told = own[["hr_without", "lower_without", "upper_without"]].to_numpy(float)
        np.testing.assert_allclose(np.log(told), expected, atol=2.5 * error * sd)
        assert own["contraction_without"] == pytest.approx(1 - exact_sd / PRIOR.sd, abs=2 * error)


def test_what_importance_sampling_cannot_tell_is_missing_and_a_refit_tells_it(tmp_path):
    sharp = {"A": (-1.5, 0.1), "B": (-0.2, 0.9)}
    fit, network = conjugate(tmp_path, sharp, draws=4000)
    own = study_influence(fit, network, ci_prob=0.9).set_index(["study", "without"]).loc["A", "A"]
    assert own["pareto_k"] > 0.5
    assert not own["reliable"]
    assert np.isnan(own[["hr_without", "shift", "width"]].astype(float)).all()
    refit, _ = conjugate(tmp_path, sharp, draws=4000, given={"B": sharp["B"]})
    own = study_influence(fit, network, ci_prob=0.9, refits={"A": refit}).set_index(["study", "without"])
    own = own.loc["(pooled mean)", "A"]
    exact = posterior({"B": sharp["B"]})
    assert own["refitted"]
    assert own["reliable"]
    assert np.log(own["hr_without"]) == pytest.approx(exact[0], abs=4 * 1.25 * exact[1] / np.sqrt(4000))


def test_reported_ratios_are_those_of_the_tables():
    network = pools.prrt()
    about, draws = reported_log_ratios(draw_prior(network, draws=50, seed=1), network)
    assert draws.dims == ("quantity", "chain", "draw")
    assert len(about) == len(draws) == 2 * 7 + 2
    assert about["biased"].sum() == 4
    assert (about["status"] == "bias taken off").sum() == 2
    assert set(about.loc[about["measure"] == "arm", "study"]) == {"NETTER-1"}
