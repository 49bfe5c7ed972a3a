"""What holds for every kind of published number: a new kind adds its examples, and has all laws.

An example's ``location`` is what predicts it on its modelling scale, from the draws of a network; ``scale``
takes a number from the scale on which it is printed to that one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from pools import ARMS, Density, Graph, assumptions, evidence, log_effect, ratio, row, slope, z_of
from scipy import special, stats
from scipy.integrate import quad

from bayes_net.assumptions.combine import combine_network
from bayes_net.assumptions.shrinkage import NEVER
from bayes_net.data.landmarks import landmark_times
from bayes_net.errors import InputError
from bayes_net.estimands.synthesis import Prediction
from bayes_net.evidence.table import EvidenceError
from bayes_net.inference.arrays import draw_prior, published_log_likelihood
from bayes_net.labels import coordinates, select
from bayes_net.model.likelihoods import count_rows
from bayes_net.model.predictors import labels
from bayes_net.model.synthesis import synthesis_model
from bayes_net.report.evidence_tables import evidence_table
from bayes_net.report.synthesis_words import describe
from bayes_net.statistics.base import Quantity
from bayes_net.statistics.counts import count_log_likelihood
from bayes_net.statistics.kinds import KINDS
from bayes_net.workflow.describe import synthesis_in_words

CUTS = (8.0, 16.0)
DERIVED = (
    *("log_hazard", "arm_effect", "slope", "completion", "response"),
    *("shrinkage_location", "shrinkage_log_spread", "log_inflation"),
)
"""Of the model's parameters those that predict a number."""
EDGES = np.array([0.0, *CUTS, np.inf])
REPLICATES = 4000


def log_hazard(draws) -> np.ndarray:
    """Of the control arm, (draw, interval)."""
    return (
        select(draws["log_hazard"], curve=("pfs", "A", "control"))
        .transpose("chain", "draw", "interval")
        .values[0]
    )


def log_cumulative(month: float):
    """log H at a month."""
    spent = np.clip(month, EDGES[:-1], EDGES[1:]) - EDGES[:-1]
    return lambda draws: np.log(np.exp(log_hazard(draws)) @ spent)


def restricted_mean(horizon: float):
    """The integral of S up to a month, by Gauss-Legendre quadrature within the intervals."""
    x, weight = np.polynomial.legendre.leggauss(60)
    edges = [0.0, *CUTS, horizon]

    def area(draws):
        total = 0.0
        for start, end in pairwise(edges):
            for node, share in zip(x, weight, strict=True):
                month = start + (end - start) * (node + 1) / 2
                total = total + share * (end - start) / 2 * np.exp(-np.exp(log_cumulative(month)(draws)))
        return total

    return area


def of(name: str):
    """All draws of a variable with one element."""
    return lambda draws: draws[name].values.reshape(-1)


def law(draws) -> tuple[np.ndarray, np.ndarray]:
    """Location and spread of best shrinkage by the cut-off, (draw,)."""
    own = select(
        draws[["shrinkage_location", "shrinkage_log_spread"]], shrinkage_law=("A", ARMS[1], "no limit")
    )
    return own["shrinkage_location"].values.ravel(), np.exp(own["shrinkage_log_spread"].values.ravel())


def log_minus_log(s):
    return np.log(-np.log(s))


@dataclass(frozen=True)
class Example:
    """A row of one kind that breaks no rule, and what is known of it apart from the code."""

    row: dict
    location: Callable
    scale: Callable = np.asarray
    law: object = stats.norm
    inflation: float = 1.0
    """Root mean square of the factor on the standard error."""


def control(id, statistic, value="", **more) -> dict:
    return row(id, statistic, value, arm=ARMS[0], n="113", **more)


EXAMPLES = {
    "survival": Example(
        control("S", "survival", "0.45", lower="0.35", upper="0.55", time="12"),
        log_cumulative(12),
        log_minus_log,
    ),
    "median": Example(control("M", "median", "25.0", lower="20", upper="31"), log_cumulative(25)),
    "median without limits": Example(
        control("F", "median", "25.0"), log_cumulative(25), inflation=1.15 * np.exp(0.2**2)
    ),
    "restricted mean": Example(
        control("Q", "restricted mean", "10.0", lower="9.0", upper="11.0", time="20"), restricted_mean(20)
    ),
    "hazard ratio": Example(ratio("H", -0.9, 0.2), of("arm_effect"), np.log),
    "log effect": Example(log_effect("E", -0.9, 0.2), of("arm_effect")),
    "log effect with SE": Example(
        row("W", "log effect with SE", "-0.9", unit="SE 0.2", reference_arm=ARMS[0]), of("arm_effect")
    ),
    "hazard ratio per point": Example(
        slope("P", -0.03, 0.01, "150d", arm=ARMS[0]),
        lambda draws: draws["slope"].sel(endpoint="pfs", arm="control", landmark="150 d").values[0],
        lambda hr: 10 * np.log(hr),
    ),
    "odds ratio": Example(
        ratio("O", 1.2, 0.4, statistic="odds ratio", endpoint="completion"), of("completion"), np.log
    ),
    "odds ratio by its p-value": Example(
        row("B", "odds ratio", "20.9", p="0.002", endpoint="completion"), of("completion"), np.log, stats.t(4)
    ),
    "count of response": Example(
        row("R", "count", "18", n="117", endpoint="response"),
        lambda draws: special.expit(of("response")(draws)),
    ),
    "count of shrinkage": Example(
        row("K", "count", "34", n="102", endpoint="shrinkage", threshold="30"),
        lambda draws: stats.norm.sf(special.logit(50 / 120), *law(draws)),
    ),
    "median and range": Example(
        row("Y", "median and range", "-12.3", lower="-60.0", upper="11.4", n="65", unit="points of PCHG",
            endpoint="shrinkage"),
        lambda draws: law(draws)[0],
        lambda pchg: special.logit((20 - pchg) / 120),
    ),
}  # fmt: skip
LOCATED = [name for name in EXAMPLES if not name.startswith(("count", "median and range"))]
each = pytest.mark.parametrize("name", EXAMPLES)
located = pytest.mark.parametrize("name", LOCATED)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """The network of one example alone."""

    @cache
    def make(name):
        folder = tmp_path_factory.mktemp("rows")
        assumed = assumptions(cuts=CUTS, landmarks=landmark_times(["150d"]))
        return combine_network(evidence([EXAMPLES[name].row], folder), assumed)

    return make


@pytest.fixture(scope="module")
def drawn(networks):
    """A network, draws of its prior, and what is expected of its row in each, (draw,)."""

    @lru_cache
    def make(name):
        network = networks(name)
        draws = draw_prior(network, draws=40, seed=8)
        return network, draws, EXAMPLES[name].location(draws)

    return make


def kind_of(name):
    return KINDS[EXAMPLES[name].row["statistic"]]


def test_every_kind_has_an_example():
    assert {example.row["statistic"] for example in EXAMPLES.values()} == set(KINDS)
    assert all(name == kind.name for name, kind in KINDS.items())


@each
def test_a_number_that_is_missing_is_refused(name, tmp_path):
    """The example itself is accepted: every other test reads it."""
    with pytest.raises(EvidenceError, match=EXAMPLES[name].row["id"]):
        evidence([EXAMPLES[name].row | {"value": "", "lower": "", "upper": ""}], tmp_path)


def test_an_unknown_kind_is_refused_with_the_list_of_kinds(tmp_path):
    with pytest.raises(EvidenceError, match="unknown statistic.*" + ", ".join(KINDS)):
        evidence([row("X", "difference of medians", "3")], tmp_path)


@each
def test_another_endpoint_is_refused(name, tmp_path):
    kind, other = kind_of(name), "completion" if kind_of(name).quantity is not Quantity.COMPLETION else "pfs"
    assert other not in kind.endpoints
    assumed = assumptions(landmarks=landmark_times(["150d"]))
    with pytest.raises(
        InputError, match=f"{kind.name} of {other}; expected one of {', '.join(kind.endpoints)}"
    ):
        combine_network(evidence([EXAMPLES[name].row | {"endpoint": other}], tmp_path), assumed)


@each
def test_a_datum_has_a_standard_error_or_a_size(name, networks):
    (made,) = networks(name).data
    assert made.id == EXAMPLES[name].row["id"]
    assert (made.kind == "binomial") == (kind_of(name).quantity is Quantity.SHARE)
    if made.kind == "binomial":
        assert made.value == made.successes / made.n
    elif made.kind == "ordered":
        assert made.extremes[0] < made.value < made.extremes[1]
        assert made.n == 65
    else:
        assert 0 < made.se < np.inf
        assert np.isfinite(made.value)


def order_statistics(made, location, spread) -> np.ndarray:
    """Of an odd number: that of the median, times those of the extremes of either half given it."""
    half, law = (made.n - 1) // 2, stats.norm(location, spread)
    low, high = made.extremes
    of_median = stats.beta(half + 1, half + 1).logpdf(law.cdf(made.value)) + law.logpdf(made.value)
    # of a half of m patients below the median, the smallest exceeds x with probability (1 - F(x)/F(median))^m
    smallest = law.logpdf(low) - law.logcdf(made.value) + np.log(half)
    largest = law.logpdf(high) - law.logsf(made.value) + np.log(half)
    smallest += (half - 1) * np.log1p(-np.exp(law.logcdf(low) - law.logcdf(made.value)))
    largest += (half - 1) * np.log1p(-np.exp(law.logsf(high) - law.logsf(made.value)))
    return of_median + smallest + largest


@each
def test_the_log_density_is_that_of_the_law(name, drawn):
    """Against scipy, at draws of the prior; a floor of a standard error is multiplied by its draw."""
    (network, draws, location), example = drawn(name), EXAMPLES[name]
    (made,) = network.data
    if made.kind == "binomial":
        expected = stats.binom.logpmf(made.successes, made.n, location)
    elif made.kind == "ordered":
        expected = order_statistics(made, *law(draws))
    else:
        se = made.se * np.exp(of("log_inflation")(draws) if made.inflated else 0.0)
        expected = example.law.logpdf((made.value - location) / se) - np.log(se)
    found = published_log_likelihood(draws, network).values.ravel()
    # of a share close to 1, scipy's density is as exact as 1 less the share is
    lost = (
        np.finfo(float).eps * made.n / np.maximum(1.0 - location, 1e-300) if made.kind == "binomial" else 0.0
    )
    assert (np.abs(found - expected) <= 1e-10 * np.abs(expected) + 10 * lost).all()


@located
def test_no_number_is_likelier_than_the_predicted_one(name, drawn):
    network, draws, location = drawn(name)
    (made,), first = network.data, draws.isel(draw=[0])

    def density(value):
        return float(
            published_log_likelihood(first, replace(network, data=(replace(made, value=value),))).item()
        )

    best = density(location[0])
    assert all(density(location[0] + step * made.se) < best for step in (-1.0, -1e-3, 1e-3, 1.0))


@each
def test_the_sampled_form_has_the_density_and_gradient_of_the_equations(name, networks):
    assert_sampled_form_is_the_equations(networks(name))


def assert_sampled_form_is_the_equations(network):
    graph = Graph(network)
    density, points = Density(network, graph), graph.points(4)
    ours, theirs = zip(*map(graph, points), strict=True), [density(x) for x in points]
    values, slopes = map(np.array, ours)
    np.testing.assert_allclose(values - values[0], np.array(theirs) - theirs[0], rtol=1e-10, atol=1e-10)
    expected = np.array([density.gradient(x) for x in points])
    np.testing.assert_allclose(slopes, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


def test_all_kinds_together_have_the_density_and_gradient_of_the_equations(tmp_path):
    """Rows that are read off curves in different ways share a model, in whichever order they come."""
    rows = [EXAMPLES[name].row | {"cohort_id": name} for name in ("restricted mean", *reversed(EXAMPLES))]
    rows[0] |= {"id": "first", "cohort_id": "first", "time": "12.5"}
    assumed = assumptions(cuts=CUTS, landmarks=landmark_times(["150d"]))
    assert_sampled_form_is_the_equations(combine_network(evidence(rows, tmp_path), assumed))


@each
def test_power_zero_leaves_the_prior(name, networks):
    network = networks(name)
    graph = Graph(network.with_power({EXAMPLES[name].row["id"]: 0.0}))
    density = Density(network.with_power({EXAMPLES[name].row["id"]: 0.0}), graph)
    density.normal_rows = density.other_rows = lambda: 0.0
    for x in graph.points(3):
        expected = density.gradient(x)
        np.testing.assert_allclose(graph(x)[1], expected, atol=1e-10 * np.abs(expected).max())


@each
def test_replicates_have_the_mean_and_spread_of_the_law(name, drawn):
    """What further studies would print, at one draw."""
    network, draws, location = drawn(name)
    example, (made,), kind = EXAMPLES[name], network.data, kind_of(name)
    same = draws.isel(draw=np.zeros(REPLICATES, int)).assign_coords(draw=np.arange(REPLICATES))
    (printed,) = network.rows.itertuples()
    predicted, rng = Prediction(same, network, printed), np.random.default_rng(4)
    assert predicted.known
    errors = made.errors(rng, REPLICATES)
    found, expected = kind.replicate(printed, predicted, errors, rng), location[0]
    if kind.name == "median":
        # a replicated median is where the curve reaches log 2, up to the error of its log cumulative hazard
        found, expected = np.array([log_cumulative(m)(draws)[0] for m in found]), made.value
    else:
        found = example.scale(found)
    if made.kind == "binomial":
        mean, sd = made.n * expected, np.sqrt(made.n * expected * (1 - expected))
    elif made.kind == "ordered":  # a median of 65 has mean and variance of its order statistic
        u = (np.arange(200_000) + 0.5) / 200_000
        middle = stats.norm.ppf(stats.beta(33, 33).ppf(u))
        mean, sd = expected, law(draws)[1][0] * middle.std()
    else:
        mean, sd = expected, made.se * example.inflation * example.law.std()
    assert abs(found.mean() - mean) < z_of(2 * len(EXAMPLES)) * sd / np.sqrt(REPLICATES)
    if made.kind == "student":  # its fourth moment is infinite, and the SD of a sample says little
        assert stats.kstest((found - mean) / made.se, example.law.cdf).pvalue > 0.0005
    else:
        kurtosis = stats.kurtosis(found, fisher=False)
        error = sd * np.sqrt((kurtosis - 1) / (4 * REPLICATES))
        assert abs(found.std() - sd) < z_of(2 * len(EXAMPLES)) * error


def test_a_restricted_mean_of_a_curve_that_bends_is_its_area():
    """Of subgroups hazards are not constant within intervals: Weibull curves, one a draw."""
    scale = np.array([10.0, 30.0])
    predicted = SimpleNamespace(
        cuts=np.array([8.0, 30.0]), log_cumulative_hazard=lambda t: 1.5 * np.log(t / scale[:, None])
    )
    found = KINDS["restricted mean"].replicate(SimpleNamespace(time=24.0), predicted, np.zeros(2), None)
    exact = [quad(lambda t, s=s: np.exp(-((t / s) ** 1.5)), 0, 24)[0] for s in scale]
    np.testing.assert_allclose(found, exact, rtol=1e-4)


@each
def test_the_number_itself_is_compared_with_its_replicates(name, networks):
    """What is compared lies on the printed scale: at the datum, a replicate without error is that number."""
    (printed,), (made,), kind = networks(name).rows.itertuples(), networks(name).data, kind_of(name)
    found = kind.compared(printed)
    assert found == pytest.approx(float(EXAMPLES[name].row["value"]))
    if not made.sampled and kind.name != "median":
        assert EXAMPLES[name].scale(found) == pytest.approx(made.value, rel=1e-6)


@each
def test_a_row_is_described_in_words(name, networks):
    network = networks(name)
    (printed,) = network.rows.itertuples()
    words = describe(printed)
    assert kind_of(name).name in words
    assert words.endswith(f"A {printed.arm}")
    (line,) = evidence_table(network.rows).itertuples()
    assert words in line.What
    assert kind_of(name).likelihood
    assert kind_of(name).likelihood.lower() in synthesis_in_words(network)["Published numbers"].lower()


def test_what_belongs_to_a_number_is_printed_with_it(networks):
    """How many patients a count is of, and the standard error that stands for limits."""
    expected = {"count of response": "18 of 117", "log effect with SE": "-0.9 (SE 0.2)"}
    for name, text in expected.items():
        (line,) = evidence_table(networks(name).rows)["Value (limits)"]
        assert line == text


def test_kinds_that_are_only_kept_are_described_too():
    kept = SimpleNamespace(
        study="A", arm="control", subgroup="all", endpoint="os", statistic="rate", time=np.nan
    )
    assert describe(kept) == "OS rate, A control"
    assert describe(pd.Series(vars(kept) | {"time": 6.0})) == "OS rate at 6 mo, A control"


def test_a_held_out_number_without_its_parameter_is_not_predicted(networks):
    """A network of responses has no parameter of the other kinds."""
    network = networks("count of response")
    draws = draw_prior(network, draws=3, seed=1)
    for name in set(EXAMPLES) - {"count of response"}:
        (other,) = networks(name).rows.itertuples()
        assert not Prediction(draws, network, other).known


@each
def test_the_definition_has_the_density_of_the_law(name, networks):
    """The one observed term of the PyMC model, given the model's own parameters at perturbed points."""
    network, example = networks(name), EXAMPLES[name]
    (made,), model = network.data, synthesis_model(network)
    (term,), names = model.observed_RVs, [n for n in DERIVED if n in model.named_vars]
    outputs = [*model.replace_rvs_by_values([model[n] for n in names]), model.logp(vars=[term])]
    evaluate = model.compile_fn(outputs, mode="FAST_COMPILE", on_unused_input="ignore")
    start, rng = model.initial_point(), np.random.default_rng(3)
    for _ in range(4):
        *values, found = evaluate({n: rng.normal(x, 0.4) for n, x in start.items()})
        dims = {n: ("chain", "draw", *model.named_vars_to_dims.get(n, ())) for n in names}
        variables = {n: (dims[n], np.asarray(x)[None, None]) for n, x in zip(names, values, strict=True)}
        coords = {d: labels(network)[d] for own in dims.values() for d in own[2:]}
        draws = xr.Dataset(variables, coordinates(coords))
        location = example.location(draws)[0]
        if made.kind == "binomial":
            expected = stats.binom.logpmf(made.successes, made.n, location)
        elif made.kind == "ordered":
            expected = order_statistics(made, *(x[0] for x in law(draws)))
        else:
            se = made.se * (np.exp(of("log_inflation")(draws)[0]) if made.inflated else 1.0)
            expected = example.law.logpdf((made.value - location) / se) - np.log(se)
        assert found == pytest.approx(expected, rel=1e-10)


# --- laws of shrinkage that all but exclude what was counted ------------------------------------------------

NESTED = (("K1", 30, 4), ("K2", 0, 20))
FAR = [(location, log_spread) for location in (-3.0, 0.0, 2.0) for log_spread in (-2.2, -1.0, 0.5)]
"""Laws up to 28 SDs away from the thresholds, on either side."""


@pytest.fixture(scope="module")
def nested(tmp_path_factory):
    rows = [
        row(id, "count", str(k), n="50", endpoint="shrinkage", threshold=str(points))
        for id, points, k in NESTED
    ]
    return combine_network(evidence(rows, tmp_path_factory.mktemp("nested")), assumptions())


def nested_log_likelihood(location, log_spread):
    """Of 4 who reach 30 points, 16 who reach 0, and 30 who do not, of 50; by scipy's logs of either tail."""
    places = [special.logit((points + 20) / 120) for points in (30, 0)]
    most, none = ((at - location) / np.exp(log_spread) for at in places)
    # P(0 to 30 points), from the tail in which the smaller of both probabilities lies
    tail, at = (stats.norm.logsf, (none, most)) if none + most > 0 else (stats.norm.logcdf, (most, none))
    between = tail(at[0]) + np.log1p(-np.exp(tail(at[1]) - tail(at[0])))
    return 4 * stats.norm.logsf(most) + 16 * between + 30 * stats.norm.logcdf(none)


def test_the_density_of_draws_is_exact_in_the_tails(nested):
    for location, log_spread in FAR:
        parts = {"location": np.full(2, location), "log_spread": np.full(2, log_spread)}
        parts["progression"] = np.full(2, NEVER)
        found = count_log_likelihood(parts, count_rows(nested, "shrinkage").array, "shrinkage").sum()
        assert found == pytest.approx(nested_log_likelihood(location, log_spread), rel=1e-12)


def test_the_engine_is_exact_in_the_tails(nested):
    graph = Graph(nested)
    priors = nested.assumptions.shrinkage_location, nested.assumptions.shrinkage_log_spread
    assert [label[0] for label in graph.effects] == ["shrinkage_location_z", "shrinkage_log_spread_z"]
    standard = [
        np.array([(x - prior.mean) / prior.sd for x, prior in zip(law, priors, strict=True)]) for law in FAR
    ]
    found = np.array([graph(z)[0] + 0.5 * z @ z for z in standard])
    expected = np.array([nested_log_likelihood(*law) for law in FAR])
    np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-12)
    for z in standard:
        steps = 1e-6 * np.eye(2)
        slopes = [(graph(z + step)[0] - graph(z - step)[0]) / 2e-6 for step in steps]
        np.testing.assert_allclose(graph(z)[1], slopes, rtol=1e-6, atol=1e-6 * np.abs(slopes).max())


def test_the_definition_is_exact_in_the_tails(nested):
    model = synthesis_model(nested)
    (term,) = model.observed_RVs
    with pytensor.config.change_flags(cxx=""):
        outputs = [model.logp(vars=[term]), model.dlogp()]
        evaluate = model.compile_fn(outputs, mode="FAST_COMPILE", on_unused_input="ignore")
    counted = [stats.binom.logpmf(k, n, 0.5) + n * np.log(2.0) for k, n in ((4, 50), (16, 46))]
    priors = nested.assumptions.shrinkage_location, nested.assumptions.shrinkage_log_spread
    for location, log_spread in FAR:
        z = [(x - prior.mean) / prior.sd for x, prior in zip((location, log_spread), priors, strict=True)]
        names = ("shrinkage_location_z", "shrinkage_log_spread_z")
        found, slopes = evaluate({name: np.array([[x]]) for name, x in zip(names, z, strict=True)})
        assert found == pytest.approx(nested_log_likelihood(location, log_spread) + sum(counted), rel=1e-10)
        assert np.isfinite(slopes).all()
