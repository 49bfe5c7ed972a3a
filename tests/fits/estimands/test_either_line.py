"""What both lines share: retries and seeds, and estimands that take a fit of either, by invented draws."""

import re

import numpy as np
import pytest
import xarray as xr
from invented_fits import draws, invented

import bayes_net as bn
from bayes_net.errors import InputError
from bayes_net.inference.sampling import careful, seed_of
from bayes_net.inference.synthesis import _intervals
from bayes_net.labels import coordinates, select
from bayes_net.schema import NO_LIMIT, OBSERVED
from bayes_net.specification.shipped import shipped_models

CUTS = (3.0, 8.0)
SAMPLES = ("chain", "draw")
ARMS = ["control", "177Lu"]
CURVES, EFFECTS = [("pfs", "A", arm) for arm in ARMS], [("pfs", "A")]
LANDMARKS = ["150 d", NO_LIMIT]


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def synthesis(rng, *, without=()) -> xr.DataTree:
    """Draws of two curves with a constant hazard each, a comparison of their arms, and slopes; that of "no
    limit" is biased in the second arm."""
    level = draws(rng, 2, mean=-2.5, sd=0.3)
    labels = {"curve": CURVES, "interval": [0, 1, 2], "effect": EFFECTS, "endpoint": ["pfs"], "arm": ARMS}
    coords = coordinates(labels | {"landmark": LANDMARKS, "biased_slope": [("pfs", "177Lu")]})
    coords |= {dim: np.arange(n) for dim, n in zip(SAMPLES, level.shape, strict=False)}
    variables = {
        "log_hazard": ((*SAMPLES, "curve", "interval"), np.repeat(level[..., None], 3, axis=-1)),
        "arm_effect": ((*SAMPLES, "effect"), draws(rng, 1, mean=-0.8, sd=0.2)),
        "slope": ((*SAMPLES, "endpoint", "arm", "landmark"), draws(rng, 1, 2, 2, mean=-0.2, sd=0.1)),
        "bias": ((*SAMPLES, "biased_slope"), draws(rng, 1, mean=-0.3, sd=0.05)),
    }
    posterior = xr.Dataset({name: v for name, v in variables.items() if name not in without}, coords)
    groups = {"posterior": posterior, "constant_data": _intervals(CUTS, posterior["interval"])}
    return xr.DataTree.from_dict(groups)


def test_the_slopes_of_a_synthesis_stand_with_and_without_their_bias(rng):
    fit = synthesis(rng)
    slope, bias = fit["posterior"]["slope"], select(fit["posterior"]["bias"], biased_slope=("pfs", "177Lu"))
    ratios = bn.hazard_ratio(fit, per=5)
    assert ratios.dims == (*SAMPLES, "endpoint", "arm", "landmark")
    assert list(ratios["landmark"].values) == [*LANDMARKS, OBSERVED]
    np.testing.assert_allclose(ratios.sel(landmark=LANDMARKS), np.exp(slope / 2))
    observed = np.exp((slope.sel(endpoint="pfs", arm="177Lu", landmark=NO_LIMIT) + bias) / 2)
    np.testing.assert_allclose(ratios.sel(endpoint="pfs", arm="177Lu", landmark=OBSERVED), observed)
    xr.testing.assert_allclose(
        ratios.sel(arm="control", landmark=OBSERVED).drop_vars("landmark"),
        ratios.sel(arm="control", landmark=NO_LIMIT).drop_vars("landmark"),
    )
    table = bn.summarise(ratios)
    assert list(table[["endpoint", "arm", "landmark"]].iloc[0]) == ["pfs", "control", "150 d"]


def test_exponential_curves_of_a_synthesis_have_their_closed_forms(rng):
    fit, times = synthesis(rng), [0.0, 2.0, 8.0, 30.0]
    rate = np.exp(fit["posterior"]["log_hazard"].isel(interval=0, drop=True))
    found = bn.survival(fit, times)
    assert found.dims == (*SAMPLES, "curve", "time")
    np.testing.assert_allclose(found, np.exp(-rate.values[..., None] * np.array(times)))
    np.testing.assert_allclose(bn.median_survival(fit), np.log(2) / rate)
    np.testing.assert_allclose(bn.rmst(fit, horizon=12.0), -np.expm1(-12 * rate) / rate)
    later = bn.estimands.conditional_survival(fit, [4.0], given=6.0)
    np.testing.assert_allclose(later.isel(time=0), np.exp(-4 * rate))
    np.testing.assert_allclose(bn.estimands.baseline_hazard(fit).isel(interval=-1), rate)


def test_arms_of_a_synthesis_are_compared_as_a_whole(rng):
    fit = synthesis(rng)
    np.testing.assert_allclose(bn.arm_hazard_ratio(fit), np.exp(fit["posterior"]["arm_effect"]))
    with pytest.raises(InputError, match="are of whole arms"):
        bn.arm_hazard_ratio(fit, shrinkage=[0.0])


@pytest.mark.parametrize(
    ("missing", "asked", "said"),
    [
        (["slope", "bias"], bn.hazard_ratio, "this model has no slope"),
        (["log_hazard"], lambda fit: bn.survival(fit, [6.0]), "this synthesis has no curves"),
        (["arm_effect"], bn.arm_hazard_ratio, "no study of this synthesis compares its arms"),
        ([], bn.estimands.covariate_hazard_ratio, "has no covariates"),
        ([], bn.estimands.interaction, "expected a fit of patients, and this is one of a synthesis"),
        ([], lambda fit: bn.hazard_ratio_by_time(fit, [6.0]), "expected a fit of patients"),
        ([], lambda fit: bn.survival(fit, [6.0], shrinkage=[30.0]), "are of whole arms"),
        ([], lambda fit: bn.rmst(fit, horizon=6.0, covariates={"age": 1.0}), "are of whole arms"),
        ([], bn.checks.power_scaling, "and its network="),
        ([], bn.checks.loo, "has no log_likelihood"),
    ],
)
def test_what_a_synthesis_does_not_have_is_refused_in_a_sentence(rng, missing, asked, said):
    with pytest.raises(InputError, match=re.escape(said)):
        asked(synthesis(rng, without=missing))


def test_a_fit_that_does_not_know_its_intervals_is_refused(rng):
    fit = synthesis(rng)
    del fit["constant_data"]
    with pytest.raises(InputError, match="does not say where its intervals end"):
        bn.survival(fit, [6.0])


def test_patients_without_covariates_have_no_hazard_ratio_of_them(rng):
    fit = invented(draws(rng, 2, 3, mean=-2.5), draws(rng, 2), cuts=CUTS)
    with pytest.raises(InputError, match="has no covariates"):
        bn.estimands.covariate_hazard_ratio(fit)


def attempts(passing: int, seeds) -> tuple[xr.DataTree, list[tuple[bn.Sampler, int]]]:
    """What ``careful`` returns if the attempt ``passing`` is the first to pass, and what it asked for."""
    asked = []

    def fit(sampler, seed):
        asked.append((sampler, seed))
        return xr.DataTree()

    tree = careful(fit, lambda _: len(asked) == passing, sampler=bn.Sampler(draws=10), seeds=seeds)
    return tree, asked


@pytest.mark.parametrize(("passing", "made"), [(1, 1), (2, 2), (3, 2)])
def test_a_fit_that_fails_is_sampled_anew_with_its_next_seed_and_more_care(passing, made):
    tree, asked = attempts(passing, [4, 9])
    assert tree.attrs["attempts"] == made == len(asked)
    once = bn.Sampler(draws=10)
    assert asked == [(once, 4), (once.more_careful(), 9)][:made]


def test_a_fit_without_a_second_seed_stands_as_it_is():
    tree, asked = attempts(2, [4])
    assert (tree.attrs["attempts"], len(asked)) == (1, 1)


def test_a_model_alone_has_the_seed_of_its_run_and_models_side_by_side_their_own():
    assert [seed_of(7), seed_of(7, 2)] == [7, 8]
    label = "PFS, shrinkage, 120 d"
    found = [seed_of(5, attempt, label=label) for attempt in (1, 2)]
    assert found == [16460276, 621686291]  # stored results were drawn with these
    assert seed_of(5, label="PFS, shrinkage, 180 d") not in found


@pytest.mark.parametrize("name", shipped_models())
def test_every_shipped_analysis_is_prepared_in_one_way(name):
    """What a run does with it afterwards is asked of it alone, whatever it is of."""
    prepared = bn.prepare(bn.read_specification(shipped_models()[name]))
    models = prepared.models()
    assert models
    assert {model.label for model in models} == {model.label for model in prepared.models(brief=True)}
    assert len({prepared.key, prepared.shape, *prepared.digests.values()}) == 2 + len(prepared.digests)


def test_what_is_no_specification_is_refused():
    with pytest.raises(InputError, match="expected what read_specification gives"):
        bn.run("netter1_pfs")
