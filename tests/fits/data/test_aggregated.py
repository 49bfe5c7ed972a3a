"""Any number of patients as sums: equal to the patients themselves, however they are divided."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from exposures import followed, patients

from bayes_net.assumptions.hazard import COMMON, SHARED, TIME_VARYING, Hazard, free_variables
from bayes_net.assumptions.priors import INDEPENDENT, NONE, Flat, Priors
from bayes_net.checks.gate import gate, loo
from bayes_net.data import aggregated
from bayes_net.data.aggregated import SLOPES, aggregate
from bayes_net.data.exposure import Exposure
from bayes_net.data.gauss import NODES, compress, compression_error
from bayes_net.data.terms import Response
from bayes_net.engine.layout import layout
from bayes_net.engine.patients import patients_posterior, sampled_variables
from bayes_net.errors import InputError
from bayes_net.estimands.summary import summarise
from bayes_net.inference.closed_form import (
    as_defined,
    draw_prior,
    log_likelihood,
    log_prior,
    step_scale,
    with_derived,
)
from bayes_net.inference.patients import fit
from bayes_net.inference.sampling import Sampler
from bayes_net.inference.start import SPREAD, starting_points, starts_of_definition
from bayes_net.model.predictors import coordinates

CUTS = 5.0 * np.arange(1, 10)
RATE = 0.05 * np.exp([0, 0.3, 0.5, 0.4, 0.2, 0, -0.2, -0.3, -0.4, -0.5])


def registry(n, *, seed=1, slope=(-0.1, 0.0)) -> Exposure:
    """Patients of a known law: the hazard ``RATE`` between ``CUTS``, 0.6 lower on the log scale in the second
    arm, a shrinkage of their own each, and a log hazard ratio per 10 points of it by arm."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, 2, n)
    score = np.clip(rng.normal(1.5, 2.5, n), -2, 10)
    needed = rng.exponential(size=n) / np.exp(np.array(slope)[arm] * score - 0.6 * arm)
    passed = np.concatenate([[0.0], np.cumsum(RATE[:-1] * np.diff([0.0, *CUTS]))])
    k = np.searchsorted(passed, needed, side="right") - 1
    time, end = np.array([0.0, *CUTS])[k] + (needed - passed[k]) / RATE[k], rng.uniform(2, 60, n)
    return followed(time, end, arm, score, CUTS)


def part(data: Exposure, rows) -> Exposure:
    arrays = ("time", "event", "arm", "score", "covariates")
    return replace(data, **{name: getattr(data, name)[rows] for name in arrays})


def integrals(data, *, slopes=SLOPES) -> np.ndarray:
    """Months, and sum of e_i exp(slope * score_i), by pattern, interval and slope (0 for months)."""
    return np.stack([(data.weight * np.exp(b * data.score)).sum(-1) for b in (0.0, *slopes)], axis=-1)


SHAPES = [(), ("grade: II",), ("grade: II", "age")]


@pytest.mark.parametrize("covariates", SHAPES)
def test_sums_are_those_of_the_patients(covariates):
    data = patients(400, covariates=covariates)
    sums = aggregate(data)
    assert (sums.n, sums.arms, sums.covariate_names) == (400, data.arms, data.covariate_names)
    np.testing.assert_array_equal(sums.patterns, data.patterns)
    for name in ("n_by_arm", "events", "last_follow_up", "starts", "ends"):
        np.testing.assert_array_equal(getattr(sums, name), getattr(data, name))
    for name in ("person_time", "score_events", "score_events_by_interval", "covariate_events"):
        np.testing.assert_allclose(getattr(sums, name), getattr(data, name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "data",
    [patients(30, covariates=("age",)), patients(400), registry(5_000), registry(70_000)],
    ids=["few", "rounded scores", "thousands", "several blocks"],
)
def test_nodes_are_the_gauss_rules_of_the_patients(data):
    sums, rules = aggregate(data), compress(data)
    np.testing.assert_allclose(integrals(sums), integrals(rules), rtol=1e-11)
    # at slopes at which nothing was kept, with both rules' own errors
    slopes = np.array([-1.1, -0.2, 0.1, 1.2])
    assert compression_error(data, sums.nodes(data.patterns), slopes=slopes) < 1e-9
    assert sums.error == pytest.approx(compression_error(data, rules, slopes=SLOPES), rel=1e-2, abs=1e-13)


def test_few_distinct_scores_are_kept_as_they_are():
    rng = np.random.default_rng(3)
    data = registry(5_000)
    for values in ([0.0, 1.0], np.linspace(-2, 10, NODES)):
        own = replace(data, score=rng.choice(values, data.n), measure=Response())
        sums = aggregate(own)
        assert set(sums.score[sums.weight > 0]) <= set(values)
        np.testing.assert_allclose(integrals(sums), integrals(compress(own)), rtol=1e-12)
        assert sums.error < 1e-13


def test_one_score_more_than_nodes_in_a_cell_is_compressed():
    data = registry(5_000)
    data = replace(data, score=np.random.default_rng(3).choice(np.linspace(-2, 10, NODES + 1), data.n))
    sums = aggregate(data)
    np.testing.assert_allclose(integrals(sums), integrals(compress(data)), rtol=1e-11)


@pytest.mark.parametrize("pieces", [2, 40])
@pytest.mark.parametrize("covariates", SHAPES)
def test_pieces_add_up_to_the_whole(pieces, covariates):
    data = patients(400, covariates=covariates)
    # by arm first, so that pieces differ in patterns, and some have one arm only
    rows = np.array_split(np.argsort(data.arm, kind="stable"), pieces)
    total = sum((aggregate(part(data, own)) for own in rows[1:]), start=aggregate(part(data, rows[0])))
    whole = aggregate(data)
    for name in ("patterns", "n_by_pattern", "hits", "longest"):
        np.testing.assert_array_equal(getattr(total, name), getattr(whole, name))
    for name in ("score_hits", "score_hits_by_interval", "exact"):
        np.testing.assert_allclose(getattr(total, name), getattr(whole, name), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(integrals(total), integrals(whole), rtol=1e-11)
    assert total.error < 1e-9


def test_adding_twenty_pieces_costs_no_accuracy():
    pieces = [registry(5_000, seed=seed) for seed in range(20)]
    whole = Exposure(
        **{
            name: np.concatenate([getattr(p, name) for p in pieces])
            for name in ("time", "event", "arm", "score", "covariates")
        },
        cuts=CUTS,
        arms=pieces[0].arms,
    )
    total = sum((aggregate(piece) for piece in pieces[1:]), start=aggregate(pieces[0]))
    np.testing.assert_allclose(integrals(total), integrals(aggregate(whole)), rtol=1e-11)
    assert total.error == pytest.approx(aggregate(whole).error, rel=1e-2)


def test_a_million_patients_compressed_and_not_agree_to_nine_digits():
    data = registry(1_000_000)
    points = draw_prior(Hazard(), data, draws=4, seed=2)
    each = log_likelihood(points, data).sum("patient")
    together = log_likelihood(points, aggregate(data))
    assert together.dims == ("chain", "draw")
    assert float(each.std()) > 1e3  # these are points of quite different height
    np.testing.assert_allclose(together, each, rtol=1e-9)


@pytest.mark.parametrize(
    "hazard",
    [
        Hazard(),
        Hazard(baseline=SHARED, slopes=COMMON),
        Hazard(smoothing=INDEPENDENT, slopes=NONE),
        Hazard(slopes=TIME_VARYING),
    ],
    ids=["default", "shared, common", "independent, no slope", "slopes over time"],
)
@pytest.mark.parametrize("covariates", SHAPES)
def test_the_log_likelihood_of_sums_is_the_sum_of_log_likelihoods(hazard, covariates):
    data = patients(200, covariates=covariates)
    points = draw_prior(hazard, data, draws=6, seed=2)
    each = log_likelihood(points, data).sum("patient")
    np.testing.assert_allclose(log_likelihood(points, aggregate(data)), each, rtol=1e-9)


def test_the_density_of_sums_is_that_of_the_patients():
    data = registry(5_000)
    sums, shape = aggregate(data), layout([data])
    assert layout([sums]) == layout([data, sums]) == shape
    # nodes of few patients are known less well than what they are there for
    rules = [shape.nodes(each) for each in (data, sums)]
    sums_of_exp = [[(rule.weight * np.exp(b * rule.score)).sum(-1) for b in SLOPES] for rule in rules]
    np.testing.assert_allclose(*sums_of_exp, rtol=1e-11)
    one, other = (patients_posterior(each, shape=shape) for each in (data, sums))
    for x in one.start + np.random.default_rng(1).normal(0, 0.3, (3, one.size)):
        for found, expected in zip(other(x), one(x), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


VARIANTS = {
    "default": Hazard(),
    "shared baseline, common slope": Hazard(baseline=SHARED, slopes=COMMON),
    "independent, no slope": Hazard(smoothing=INDEPENDENT, slopes=NONE),
    "slopes over time": Hazard(slopes=TIME_VARYING),
    "flat": Hazard(
        smoothing=INDEPENDENT, priors=Priors(level=Flat(), slope=Flat(), arm_effect=Flat(), covariate=Flat())
    ),
}


def placed(vectors, hazard, data) -> xr.Dataset:
    """Rows of unconstrained free variables of the model as draws."""
    labels, values, end = coordinates(data), {}, 0
    for name, dims in ((name, own.dims) for name, own in sampled_variables(hazard, data).items()):
        shape = tuple(len(labels[dim]) for dim in dims)
        start, end = end, end + int(np.prod(shape))
        own = np.exp(vectors[:, start:end]) if name.endswith("step_sd") else vectors[:, start:end]
        values[name] = xr.DataArray(own.reshape(1, -1, *shape), dims=("chain", "draw", *dims))
    assert end == vectors.shape[1]
    drawn = xr.Dataset(values).assign_coords(chain=[0], draw=np.arange(len(vectors)))
    return drawn.assign_coords({dim: labels[dim] for dim in {"arm", "interval", *drawn.dims} & set(labels)})


def flat(drawn, hazard, data) -> np.ndarray:
    """The one draw of ``drawn`` as unconstrained free variables."""
    names = sampled_variables(hazard, data)
    return np.concatenate(
        [(np.log if n.endswith("step_sd") else np.array)(drawn[n].values).ravel() for n in names]
    )


def heights(vectors, hazard, data) -> np.ndarray:
    """Log-likelihood and log-prior at each row of unconstrained free variables."""
    drawn = with_derived(as_defined(placed(vectors, hazard, data), hazard, data), hazard, data)
    prior = sum(x.sum(set(x.dims) - {"chain", "draw"}) for x in log_prior(drawn, hazard, data).values())
    return (log_likelihood(drawn, data) + prior).values[0]


def at_unit_step_sd(centre, spread, hazard, data):
    """The same hazard for a walk whose SD is 1, at which the mode was sought; and what is not that SD."""
    names, here = list(sampled_variables(hazard, data)), placed(centre[None], hazard, data)
    there = with_derived(as_defined(here, hazard, data), hazard, data)
    parts = np.concatenate([np.repeat(name, here[name].size) for name in names])
    if "step_sd" in names:
        one = there.assign(step_sd=xr.ones_like(there["step_sd"]))
        one["step"] = (there["step"] * there["step_sd"]).transpose(*there["step"].dims)
        xr.testing.assert_allclose(with_derived(one, hazard, data)["log_hazard"], there["log_hazard"])
        step = (one["step"] * step_scale(one, hazard, data)).transpose(*here["step"].dims)
        moved = here.assign(step_sd=one["step_sd"], step=step)
        spread = spread.copy()
        spread[parts == "step"] *= (moved["step"] / here["step"]).values.ravel()
        # the level over events is that of the same hazard, whatever the SD
        xr.testing.assert_allclose(as_defined(moved, hazard, data)["level"], there["level"])
        if "slope_step_sd" in names:
            sd = there["slope_step_sd"]
            moved = moved.assign(slope_step=there["slope_step"] * sd, slope_step_sd=xr.ones_like(sd))
            same = with_derived(as_defined(moved, hazard, data), hazard, data)["slope_by_interval"]
            xr.testing.assert_allclose(same, there["slope_by_interval"])
            spread[parts == "slope_step"] *= np.repeat(sd.values.ravel(), data.n_intervals - 1)
        centre = flat(moved, hazard, data)
    return centre, spread, ~np.isin(parts, ["step_sd", "slope_step_sd"])


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("covariates", SHAPES)
@pytest.mark.parametrize("n", [60, 3_000])
def test_chains_start_around_the_mode_and_as_far_apart_as_the_posterior_is_wide(name, covariates, n):
    hazard, data = VARIANTS[name], aggregate(patients(n, covariates=covariates))
    centre, spread, linear = at_unit_step_sd(*starting_points(hazard, data), hazard, data)
    away = np.diag(spread / SPREAD)[linear]
    top, up, down = (heights(x, hazard, data) for x in (centre[None], centre + away, centre - away))
    # an SD away on its own, the others where they are, the height falls by a half or more
    assert (top - (up + down) / 2 > 0.49).all()
    near = away / 100
    slope = (heights(centre + near, hazard, data) - heights(centre - near, hazard, data)) * 50
    assert (np.abs(slope) < 0.01).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_chains_of_the_definition_start_where_the_engines_do(name):
    """At the same hazard, whatever the order of its variables."""
    hazard, data = VARIANTS[name], aggregate(patients(3_000, covariates=SHAPES[-1]))
    posterior = patients_posterior(data, hazard).starting_near(*starting_points(hazard, data))
    free, labels = free_variables(hazard, data), coordinates(data)
    names = sorted(free)
    sizes = [int(np.prod([len(labels[dim]) for dim in free[name].dims])) for name in names]
    points = starts_of_definition(hazard, data, names)
    for seed in (1, 2):
        parts = np.split(points(seed), np.cumsum(sizes)[:-1])
        expected = as_defined(placed(posterior.first_point(seed)[None], hazard, data), hazard, data)
        for own, found in zip(names, parts, strict=True):
            values = np.exp(found) if own.endswith("step_sd") else found
            np.testing.assert_allclose(values, expected[own].values.ravel(), rtol=1e-12)


def test_rules_of_many_patients_come_from_their_moments_alone(monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("the patients were gone back to")

    monkeypatch.setattr(aggregated, "gauss_rule", never)
    assert aggregate(registry(70_000)).error < 1e-9


def test_thousands_of_times_the_patients_cost_no_more_steps_an_effective_draw_and_pass_the_gate():
    small, large = (
        registry(100),
        sum((aggregate(registry(100_000, seed=s)) for s in (2, 3)), start=aggregate(registry(100_000))),
    )
    shape = layout([small, large])
    fits = {n: fit(data, seed=4, shape=shape) for n, data in (("100", small), ("300,000", large))}
    cost = {
        n: float(each["sample_stats"]["n_steps"].sum())
        / summarise(each["posterior"]["slope"])["ess_bulk"].min()
        for n, each in fits.items()
    }
    assert cost["300,000"] < 1.5 * cost["100"], cost
    assert gate(fits["300,000"]).passed
    slope = fits["300,000"]["posterior"]["slope"]
    error = (slope.mean(("chain", "draw")) - [-0.1, 0.0]) / slope.std(("chain", "draw"))
    assert (np.abs(error) < 4).all()
    again = fit(large, seed=4, shape=shape, sampler=Sampler())
    xr.testing.assert_identical(again["posterior"].to_dataset(), fits["300,000"]["posterior"].to_dataset())
    with pytest.raises(InputError, match="a row a patient"):
        loo(fits["300,000"])


def test_what_cannot_be_added_or_compressed_is_refused():
    data = patients(50)
    with pytest.raises(InputError, match="cannot be added"):
        aggregate(data) + aggregate(replace(data, cuts=data.cuts + 1))
    with pytest.raises(InputError, match="more than 500 different patterns"):
        aggregate(
            replace(
                data,
                covariates=np.arange(600.0)[:, None],
                covariate_names=("age",),
                **{name: np.resize(getattr(data, name), 600) for name in ("time", "event", "arm", "score")},
            )
        )
    wide = registry(5_000)
    wide = aggregate(replace(wide, score=wide.score * 10))
    assert wide.error > 1e-6
    with pytest.raises(InputError, match="too far apart"):
        layout([wide])
    one = aggregate(part(data, data.arm == 0))
    with pytest.raises(InputError, match="lay out all exposures together"):
        one.nodes(np.array([[1.0]]))
