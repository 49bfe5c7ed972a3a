"""The definitions are ordinary PyMC models, with the density that the equations say.

Every term of a model, each prior and each kind of evidence, is compared with a density written anew from rows
and patients one by one. It is analytic but for its constants, so its gradient by the complex step has no
truncation error. Models are evaluated by Python's linker, which compiles nothing.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from equations import Equations, log_prior, walk
from exposures import patients
from pools import (
    MODELS,
    assumptions,
    direction,
    evidence,
    feeding_back,
    log_effect,
    prrt,
    ratio,
    row,
    slope,
    specification,
)
from pytensor.compile.mode import Mode
from scipy.stats import norm
from test_engine import COMBINATIONS, any_patients, any_priors
from test_likelihood import LAYOUTS, VARIANTS, around, of_rows, shape_of, shared_with

from bayes_net.assumptions.combine import combine_network
from bayes_net.assumptions.hazard import Hazard, free_variables
from bayes_net.assumptions.participants import Participants
from bayes_net.assumptions.priors import Borrowing, Fixed, HalfCauchy, MedianSurvival, Normal, Priors
from bayes_net.assumptions.synthesis import SlopePrior
from bayes_net.checks.power import study_log_likelihood
from bayes_net.data.aggregated import aggregate
from bayes_net.data.exposure import long_form
from bayes_net.data.landmarks import landmark_times
from bayes_net.data.terms import Response
from bayes_net.engine.layout import layout
from bayes_net.engine.patients import patients_posterior, sampled_variables
from bayes_net.engine.synthesis import information, synthesis_posterior
from bayes_net.errors import InputError
from bayes_net.inference import closed_form
from bayes_net.inference.arrays import with_derived
from bayes_net.inference.sampling import labelled
from bayes_net.inference.synthesis import as_defined
from bayes_net.labels import coordinates as labelled_coordinates
from bayes_net.labels import index_labels
from bayes_net.model.backend import random_variable
from bayes_net.model.hazard import hazard_model
from bayes_net.model.predictors import coordinates, factors, labels
from bayes_net.model.synthesis import synthesis_model
from bayes_net.specification.read import read_specification
from bayes_net.specification.synthesis import SynthesisPlan
from bayes_net.workflow.analysis import prepare

PYTHON, AS_WRITTEN = "FAST_COMPILE", Mode("py", optimizer="merge")
"""Python's linker; what is written is hardly rewritten first, which takes longer than a few evaluations."""


@pytest.fixture(autouse=True)
def _python():
    """No C++ compiler, no tens of seconds of numba for a few evaluations, no stack kept of every node."""
    with pytensor.config.change_flags(cxx="", traceback__limit=0):
        yield


class Evaluated:
    """A model as a function of its unconstrained variables: terms by name, derived values, gradient."""

    def __init__(self, model: pm.Model):
        self.model = model
        self.free = [v.name for v in model.free_RVs]
        self.terms = [*self.free, *(v.name for v in model.observed_RVs), *(v.name for v in model.potentials)]
        variables = [model[name] for name in self.terms]
        self.values = [v for v in model.unobserved_value_vars if not v.name.endswith("__")]
        # all variables at once: ``model.dlogp`` goes back through the whole graph for every one of them
        slopes = pytensor.grad(model.logp(), model.value_vars, disconnected_inputs="ignore")
        slopes = pt.concatenate([slope.ravel() for slope in slopes])
        outputs = [*model.logp(vars=variables, jacobian=False, sum=False), *self.values, slopes]
        self.function = model.compile_fn(outputs, on_unused_input="ignore", mode=AS_WRITTEN)
        self.start = model.initial_point()

    def __call__(self, point: dict):
        found = self.function(point)
        n = len(self.terms)
        terms = {name: float(np.sum(v)) for name, v in zip(self.terms, found[:n], strict=True)}
        values = {v.name: x for v, x in zip(self.values, found[n:-1], strict=True)}
        return terms, values, found[-1]

    def points(self, count=3) -> list[dict]:
        """Perturbed points, unconstrained."""
        rng = np.random.default_rng(7)
        return [{k: v + rng.normal(0, 0.4, np.shape(v)) for k, v in self.start.items()} for _ in range(count)]

    def natural(self, point: dict) -> dict:
        """The free variables of a point; standard deviations are sampled on the log scale."""
        logs = {name.removesuffix("_log__"): x for name, x in point.items() if name.endswith("_log__")}
        return {name: x for name, x in point.items() if not name.endswith("_log__")} | {
            name: np.exp(x) for name, x in logs.items()
        }

    def slope_along(self, along: np.ndarray, density, point: dict) -> float:
        """Of ``density`` (of the free variables) and the Jacobian, along a direction, by the complex step."""
        moved, start = {}, 0
        for variable in self.model.value_vars:
            value = np.asarray(point[variable.name])
            step = along[start : start + value.size].reshape(value.shape)
            moved[variable.name], start = value + 1e-30j * step, start + value.size
        jacobian = sum(x.sum() for name, x in moved.items() if name.endswith("_log__"))
        return (density(self.natural(moved)) + jacobian).imag / 1e-30


def assert_terms(evaluated: Evaluated, expected) -> None:
    """Every term, and the gradient of their sum along a direction of each point's own, equals
    ``expected(free variables)``, values by name."""
    rng = np.random.default_rng(8)
    for point in evaluated.points():
        terms, _, slopes = evaluated(point)
        ours = expected(evaluated.natural(point))
        assert set(terms) == set(ours)
        for name, value in terms.items():
            # algebra in another order: sums of up to a few hundred terms
            assert value == pytest.approx(float(ours[name]), rel=1e-10, abs=1e-10), name
        along = direction(len(slopes), rng)
        exact = evaluated.slope_along(along, lambda free: sum(expected(free).values()), point)
        np.testing.assert_allclose(slopes @ along, exact, rtol=0, atol=1e-10 * np.abs(slopes).max())


def assert_engine_is(evaluated: Evaluated, posterior, free_of, log_scale, *, tolerance=1e-10) -> None:
    """The engine's density is that of the definition, up to a constant, and so is its gradient.

    ``free_of`` gives the definition's free variables at the engine's vector, and ``log_scale`` the sum of the
    logs of all that the engine multiplies standard normal variables by.
    """
    names, shapes = zip(*((name, np.shape(x)) for name, x in evaluated.start.items()), strict=True)
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    of_logs = np.repeat([name.endswith("_log__") for name in names], np.diff(ends))

    def vector(x) -> np.ndarray:
        free = free_of(x)
        logs = [np.log(free[n.removesuffix("_log__")]) if n.endswith("_log__") else free[n] for n in names]
        return np.concatenate([np.ravel(part) for part in logs])

    def both(x) -> np.ndarray:
        at = vector(x)
        return np.append(at, at[of_logs].sum() - log_scale(x))

    differences = []
    for x in around(posterior):
        value, slopes = posterior(x)
        *at, moved = both(x)
        parts = [np.reshape(at[a:b], shape) for a, b, shape in zip(ends, ends[1:], shapes, strict=False)]
        terms, _, of_definition = evaluated(dict(zip(names, parts, strict=True)))
        differences.append(value - sum(terms.values()) - moved)
        # by the complex step; the definition's gradient has the Jacobian of its own logs already
        by_x = np.array([both(x + 1e-30j * unit).imag / 1e-30 for unit in np.eye(len(x))])
        expected = by_x[:, :-1] @ (of_definition - of_logs) + by_x[:, -1]
        np.testing.assert_allclose(slopes, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
    np.testing.assert_allclose(differences, differences[0], rtol=0, atol=tolerance * max(1.0, abs(value)))


# --- patients -----------------------------------------------------------------------------------------


def of_patients(variant: str, aggregated: bool = False):
    return evaluated_patients(variant, aggregated)  # with and without a default are two keys of a cache


@lru_cache
def evaluated_patients(variant: str, aggregated: bool):
    hazard, options = VARIANTS[variant]
    data = patients(**options)
    return data, hazard, Evaluated(hazard_model(aggregate(data) if aggregated else data, hazard))


def log_hazard(free: dict, data, hazard) -> np.ndarray:
    """Log hazard by arm and interval."""
    if hazard.smoothing == "independent":
        alpha = free["log_baseline"]
    elif data.n_intervals == 1:
        alpha = free["level"][..., None]
    else:
        alpha = walk(free["level"], free["step_sd"], free["step"], data.cuts)
    if hazard.baseline == "shared":
        effects = np.concatenate([[0.0], free.get("log_hr_arm", [])])
        alpha = alpha[..., None, :] + (effects - shared_with(effects, hazard))[:, None]
    return alpha


def patients_terms(free: dict, data, hazard, rows, *, constant: float) -> dict:
    """Each prior, and events * log h - exposure * h of the rows of a Poisson regression, in which score and
    covariates are centred where the prior is about average patients."""
    arm = np.searchsorted(data.arms, rows["arm"])
    if isinstance(hazard.priors.level, MedianSurvival):
        averages = {"score": data.score.mean()} | dict(
            zip(data.covariate_names, data.covariates.mean(axis=0), strict=True)
        )
        rows = rows.assign(**{name: rows[name] - value for name, value in averages.items()})
    log_h = of_rows(log_hazard(free, data, hazard), data, rows)
    slopes = {"per arm": "slope", "common": "common_slope"}.get(hazard.slopes)
    if hazard.slopes == "time-varying":
        by_interval = free["slope"][:, None] * np.ones(data.n_intervals)
        if data.n_intervals > 1:
            by_interval = walk(free["slope"], free["slope_step_sd"], free["slope_step"], data.cuts)
        log_h = log_h + by_interval[arm, rows["interval"]] * rows["score"].to_numpy()
    if slopes:
        log_h = log_h + (free[slopes] * np.ones(len(data.arms)))[arm] * rows["score"].to_numpy()
    if data.covariate_names:
        log_h = log_h + rows[list(data.covariate_names)].to_numpy() @ free["log_hr_covariate"]
    declared = free_variables(hazard, data)
    assert set(free) == set(declared)
    priors = {name: log_prior(free[name], of.prior).sum() for name, of in declared.items()}
    each = rows["event"].to_numpy() * log_h - rows["exposure"].to_numpy() * np.exp(log_h)
    return priors | {"events": each.sum() + constant}


def log_exposure(data) -> float:
    """Sum of event * log exposure in the interval of the event: what a Poisson likelihood has more."""
    return float(data.event @ np.log(data.since_start))


SUMS = (
    "default",
    "walk, shared, common, both",
    "walk, per arm, none, number",
    "independent, shared, none",
    "one interval",
    "time-varying, shared, both",
    "studies",
    "studies, walk, shared",
)
"""Variants to evaluate for aggregated patients too."""


@pytest.mark.parametrize(
    ("variant", "aggregated"), [*((v, False) for v in VARIANTS), *((v, True) for v in SUMS)]
)
def test_every_term_of_the_hazard_model_is_what_the_equations_say(variant, aggregated):
    data, hazard, evaluated = of_patients(variant, aggregated)
    rows, constant = long_form(data), 0.0 if aggregated else log_exposure(data)
    assert_terms(evaluated, lambda free: patients_terms(free, data, hazard, rows, constant=constant))


def assert_engine_is_the_hazard_model(data, hazard, evaluated, kind):
    exposure = aggregate(data) if kind == "aggregated" else data
    shape = layout([exposure]) if kind == "aggregated" else shape_of(data, kind)
    assert_posterior_is(evaluated, patients_posterior(exposure, hazard, shape=shape), hazard, data)


def assert_posterior_is(evaluated: Evaluated, posterior, hazard, data) -> None:
    """``assert_engine_is`` of a model of patients."""
    dims = {name: own.dims for name, own in sampled_variables(hazard, data).items()}

    def sampled(x):
        return labelled(posterior.named(x[None, None]), dims, coordinates(data))

    def free_of(x):
        return {name: v.values[0, 0] for name, v in closed_form.as_defined(sampled(x), hazard, data).items()}

    def log_scale(x):
        at = sampled(x)
        return np.log(closed_form.step_scale(at, hazard, data)).values.sum() if "step" in at else 0.0

    assert_engine_is(evaluated, posterior, free_of, log_scale)


def test_a_prior_per_10_points_is_one_of_response_in_engine_and_definition():
    data, hazard = patients(30), Hazard(smoothing="independent")
    response = replace(data, score=(data.score > 2).astype(float), measure=Response(30.0, apart=34.0))
    stated = replace(hazard, priors=Priors(slope=Normal(0.0, 3.4 * np.log(2) / norm.ppf(0.975))))
    for one, other in ((hazard, stated), (stated, hazard)):
        evaluated = Evaluated(hazard_model(response, other))
        assert_engine_is_the_hazard_model(response, one, evaluated, "patients")


@pytest.mark.parametrize("kind", [*LAYOUTS, "aggregated"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_engine_has_the_density_and_gradient_of_the_hazard_model(variant, kind):
    data, hazard, evaluated = of_patients(variant)
    assert_engine_is_the_hazard_model(data, hazard, evaluated, kind)


@pytest.mark.parametrize("seed", range(4))
def test_the_engine_has_the_density_of_any_hazard_model(seed):
    """Of patients, assumptions and priors drawn at random."""
    rng = np.random.default_rng(seed)
    *assumed, _ = COMBINATIONS[rng.integers(len(COMBINATIONS))]
    data, hazard = any_patients(rng, seed), Hazard(*assumed, priors=any_priors(rng))
    evaluated = Evaluated(hazard_model(data, hazard))
    for kind in LAYOUTS:
        assert_engine_is_the_hazard_model(data, hazard, evaluated, kind)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_hazard_model_has_the_variables_and_likelihood_of_a_posterior(variant):
    """Names, dims and values of what ``fit`` gives."""
    data, hazard, evaluated = of_patients(variant)
    dims = evaluated.model.named_vars_to_dims
    labels = {dim: list(own) for dim, own in coordinates(data).items()}
    for point in evaluated.points():
        terms, values, _ = evaluated(point)
        given = as_posterior(values, {name: dims.get(name, ()) for name in values}, labels)
        free = given[evaluated.free].assign_coords({dim: labels[dim] for dim in ("arm", "interval")})
        derived = closed_form.with_derived(free, hazard, data)
        assert set(given.data_vars) == set(derived.data_vars)
        for name in given.data_vars:
            expected = derived[name].transpose(*given[name].dims)
            np.testing.assert_allclose(given[name].values, expected.values, rtol=1e-10, atol=1e-12)
        each = closed_form.log_likelihood(derived, data)
        assert float(each.sum()) + log_exposure(data) == pytest.approx(terms["events"], rel=1e-10)
        densities = closed_form.log_prior(derived, hazard, data)
        for name in evaluated.free:
            assert float(densities[name].sum()) == pytest.approx(terms[name], rel=1e-10, abs=1e-10)


def as_posterior(values: dict, dims: dict, labels: dict) -> xr.Dataset:
    """Values of variables as one draw of a posterior."""
    found = {n: (("chain", "draw", *dims[n]), np.asarray(v)[None, None]) for n, v in values.items()}
    used = {dim for own in dims.values() for dim in own}
    return xr.Dataset(
        found, {"chain": [0], "draw": [0]} | labelled_coordinates({dim: labels[dim] for dim in used})
    )


def test_patients_without_time_at_risk_are_refused():
    data = patients(5)
    data = replace(data, time=np.where(np.arange(5) == 3, 0.0, data.time))
    with pytest.raises(InputError, match="patients in rows 3 have no time at risk"):
        hazard_model(data)


# --- published numbers --------------------------------------------------------------------------------

LANDMARKS = landmark_times(["150d", "36w", "72w", "no limit"])
BIAS = {"control": (-0.022, 0.008), "177Lu": (-0.010, 0.005)}
SLOPES = [
    slope("S1", -0.0856, 0.0303, "150d", arm="control"),
    slope("S2", -0.0339, 0.0125, "no limit", arm="control", correlated_with="S1", correlation="0.58"),
    slope("S3", -0.010, 0.020, "36w"),
    slope("S4", 0.002, 0.0079, "no limit", correlated_with="S3", correlation="0.3"),
]
RATIOS = [log_effect(f"E{k}", e, 0.3, study=f"study {k}") for k, e in enumerate([-0.9, -0.3, 0.1])]
MEDIAN = row("M1", "median", 29, n=96)
ONE_TRIAL = [
    row("M1", "median", 8.4, n=113, arm="control"),
    row("M2", "survival", 0.11, n=113, lower=0.03, upper=0.23, time=20, arm="control",
        correlated_with="M1;R1", correlation="curve;-0.4"),
    ratio("R1", -1.5, 0.3, correlated_with="M1", correlation="-0.3"),
]  # fmt: skip
COUNTS = [
    row("C1", "count", 5, n=50, endpoint="shrinkage", threshold=30),
    row("C2", "count", 20, n=50, endpoint="shrinkage", threshold=0),
    row("C3", "count", 0, n=50, endpoint="shrinkage", threshold=60),
    row("C4", "count", 9, n=50, endpoint="response", arm="control"),
]
OVER_TIME = [
    row("R1", "median and range", "0", lower="-38.5", upper="19.2", n=99, unit="points of PCHG",
        endpoint="shrinkage", landmark="12w"),
    row("R2", "median and range", "12.3", lower="-11.4", upper="60.0", n=66, unit="points of shrinkage",
        endpoint="shrinkage", landmark="48w"),
    row("R3", "median and range", "2.9", lower="-54.6", upper="18.0", n=80, unit="points of PCHG",
        endpoint="shrinkage", landmark="12w", arm="control"),
    row("C1", "count", 18, n=102, endpoint="shrinkage", threshold=30),
    row("C2", "count", 78, n=102, endpoint="shrinkage", threshold=0),
    row("C3", "count", 15, n=96, endpoint="shrinkage", threshold=30, study="B"),
    row("C4", "count", 78, n=96, endpoint="shrinkage", threshold=-20, study="B"),
    row("C5", "count", 10, n=60, endpoint="shrinkage", threshold=30, landmark="48w", study="B"),
    row("O1", "odds ratio", 20.9, p="0.002", endpoint="completion", study="C"),
    ratio("O2", 2.5, 0.7, statistic="odds ratio", endpoint="completion", study="B", landmark="12w"),
]  # fmt: skip
BORROWED = [
    row("M1", "median", 8.4, n=113, arm="control"),
    ratio("R1", -1.5, 0.3),
    row("M2", "median", 29, n=96, study="B"),
    row("C1", "count", 4, n=96, endpoint="response", arm="control"),
    row("C2", "count", 20, n=98, endpoint="response"),
    row("C3", "count", 9, n=31, endpoint="response", study="B"),
]
COMPLETION = [
    row("O1", "odds ratio", 20.9, p="0.002", endpoint="completion"),
    ratio("O2", 2.5, 0.7, statistic="odds ratio", endpoint="completion", study="B"),
]
CARRIED = {
    arm: {mark.label: share * (1.5 - 0.1 * k) for k, mark in enumerate(LANDMARKS)}
    for arm, share in (("control", 1.2), ("177Lu", 1.0))
}
SMALL = {
    "one number": ([MEDIAN], {}),
    "one arm, a slope": ([slope("S1", -0.05, 0.02, "150d")], {"arms": ("177Lu",), "bias": {}}),
    "one ratio": ([ratio("R1", -0.5, 0.2)], {}),
    "one interval": ([MEDIAN], {"cuts": ()}),
    "one constant hazard": ([MEDIAN], {"cuts": (), "smoothing": "independent"}),
    "a median not reached": ([row("M1", "median", "", lower=18.4, n=116)], {"smoothing": "independent"}),
    "counts": (COUNTS, {}),
    "odds ratios": (COMPLETION, {}),
    "shrinkage over time": (OVER_TIME, {"shrinkage_level": 0.4, "shrinkage_length": 0.7}),
    "slopes": (SLOPES, {"slopes": SlopePrior(Normal(0.05, 0.5), length=0.8, level=0.4), "bias_scale": 1.5}),
    "slopes, exchangeable": (SLOPES, {"slopes": SlopePrior(Normal(0.05, 0.5), "exchangeable")}),
    "slopes, tracking": (SLOPES, {"slopes": SlopePrior(Normal(0.05, 0.5), "tracking", carried=CARRIED)}),
    "slopes, independent": (SLOPES, {"slopes": SlopePrior(Normal(0.05, 0.5), "independent"), "bias": {}}),
    "effects, half-Cauchy": (RATIOS, {"arm_heterogeneity": HalfCauchy(25.0)}),
    "effects, half-normal": (RATIOS, {}),
    "effects, known": (RATIOS, {"arm_heterogeneity": Fixed(0.3)}),
    "correlated kinds": (ONE_TRIAL, {}),
    **{
        f"{kind}, weight {weight:g}": (BORROWED, {"study_level": rule, "response": rule, "feedback": True})
        for kind, weight in (
            ("exchangeable", 0.5), ("commensurate", 0.8), ("commensurate", 1.0), ("robust mixture", 0.0),
            ("full", 0.5), ("none", 0.5),
        )
        for rule in [Borrowing(kind, sd=0.3, weight=weight, vague_sd=1.5)]
    },
}  # fmt: skip
WEIGHTS = {"N01": 0.5, "N02": 0.5, "N11": 0.25, "D04": 0.25, "H04": 0.5, "D01": 0.25, "N15": 0.5, "N16": 0.0}
TRIALS = {
    "evidence.files": ["data/mid_treatment.csv", "data/dosimetry.csv"],
    "evidence.use": {"D05": "record"},
    "model.own_baseline": ["second"],
    "cohorts": [
        {"study": study, "synthetic": True, "synthetic_seed": seed, "weight": weight, "landmark": "36w",
         "landmark_cuts": ["6mo", "12mo"], "arm_names": {"177Lu-DOTATATE": "177Lu"}}
        for seed, (study, weight) in enumerate([("NETTER-1", 1.0), ("second", 0.5)], start=1)
    ],
}  # fmt: skip


def trials_alone(feedback=True):
    """Patients of three trials from randomisation: one leans on another's baseline, and has one arm only."""
    rng = np.random.default_rng(4)
    months, events = rng.uniform(20, 90, (3, 2, 3)), rng.integers(0, 9, (3, 2, 3)).astype(float)
    months[2, 0] = events[2, 0] = 0.0
    cohorts = [Participants(s, "pfs", d, t) for s, d, t in zip("ABC", events, months, strict=True)]
    options = {"own_baseline": ("B",), "cuts": (6.0, 12.0), "smoothing": "independent", "feedback": feedback}
    return combine_network(None, assumptions(**options), cohorts=cohorts)


def restricted_means(folder):
    """Two kinds of numbers read off one curve, at months within, at and beyond the cut-points."""
    of = {"n": "113", "arm": "control"}
    rows = [
        row("Q", "restricted mean", "10.0", lower="9.0", upper="11.0", time="20", **of),
        row("R", "restricted mean", "6.5", lower="6.0", upper="7.0", time="8", endpoint="os", **of),
        row("S", "survival", "0.45", lower="0.35", upper="0.55", time="12", study="B", **of),
        row("M", "median", "11.0", endpoint="os", study="B", **of),
    ]
    return combine_network(evidence(rows, folder), assumptions(cuts=(8.0, 16.0)))


def shipped() -> dict:
    """The shipped specifications of a synthesis."""
    found = {path.stem: read_specification(path) for path in sorted(MODELS.glob("*.toml"))}
    return {name: given for name, given in found.items() if isinstance(given, SynthesisPlan)}


LARGEST = {"prrt_extended", "netter1_pfs", "weights"}
"""With the terms of prrt_pooled, and a minute each to compile."""
POOLS = {
    **{name: lambda _, given=given: prepare(given).network for name, given in shipped().items()},
    **{
        name: lambda folder, given=given: combine_network(
            evidence(given[0], folder), assumptions(**{"landmarks": LANDMARKS, "bias": BIAS} | given[1])
        )
        for name, given in SMALL.items()
    },
    "weights of shrinkage over time": lambda folder: combine_network(
        evidence(OVER_TIME, folder),
        assumptions(),
        power={"R1": 0.5, "R2": 0.0, "C4": 0.0, "C1": 0.3, "O1": 0.5, "O2": 0.5},
    ),
    "without statements": lambda _: feeding_back(
        prepare(specification({"evidence.statements": False})).network
    ),
    "weights": lambda _: feeding_back(prrt()).with_power(WEIGHTS),
    "the first of two stages": lambda _: trials_alone(feedback=False).first_stage,
    "nothing": lambda folder: combine_network(
        evidence(BORROWED, folder), assumptions(), power={"A": 0.0, "B": 0.0}
    ),
    "restricted means": restricted_means,
    "two trials": lambda _: prepare(specification(TRIALS)).network,
    "trials alone": lambda _: trials_alone(),
}


POOL_NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGEST)) for name in POOLS]


@pytest.fixture(scope="module")
def of_pool(tmp_path_factory):
    """The network of that name, of two stages the first, and its model evaluated."""

    @lru_cache
    def made(name: str):
        network = POOLS[name](tmp_path_factory.mktemp("rows")).first_stage
        return network, Evaluated(synthesis_model(network))

    return made


@pytest.mark.parametrize("name", POOL_NAMES)
def test_every_term_of_the_synthesis_is_what_the_equations_say(name, of_pool):
    network, evaluated = of_pool(name)
    assert_terms(evaluated, lambda free: Equations(network, free).terms(evaluated.terms))


def assert_engine_is_the_synthesis(evaluated: Evaluated, network, *, tolerance: float) -> None:
    posterior, learned = synthesis_posterior(network), information(network)
    dims = {"z": ("effect_label",), "scale": ("sd_label",)}

    def free_of(x):
        free = as_defined(labelled(posterior.named(x[None, None]), dims, {}), network)
        return {name: value[0, 0] for name, value in free.items()}

    def log_scale(x):
        scale = posterior.named(x).get("scale", np.zeros(1))
        return np.log(np.sqrt(1.0 + factors(scale, network, otherwise=0.0) ** 2 * learned)).sum()

    assert_engine_is(evaluated, posterior, free_of, log_scale, tolerance=tolerance)


@pytest.mark.parametrize("name", POOL_NAMES)
def test_the_engine_has_the_density_and_gradient_of_the_synthesis(name, of_pool):
    network, evaluated = of_pool(name)
    # exposure at a landmark is compressed to Gauss nodes, with an error below 1e-9 of it
    tolerance = 1e-9 if network.landmark_cohorts else 1e-10
    assert_engine_is_the_synthesis(evaluated, network, tolerance=tolerance)


def assert_variables(network, evaluated: Evaluated) -> None:
    """Names, dims, labels and values of ``network.free`` and of what is derived; and the likelihood, without
    its constants."""
    model, differences = evaluated.model, []
    whole = labels(network)
    labelled = index_labels(whole)
    for point in evaluated.points():
        terms, values, _ = evaluated(point)
        free = {name: values[name] for name in network.free}
        expected = with_derived(
            as_posterior(free, {n: tuple(network.free[n].dims) for n in free}, whole), network
        )
        assert set(values) == set(expected.data_vars)
        for variable, value in values.items():
            dims = model.named_vars_to_dims.get(variable, ())
            assert dims == expected[variable].dims[2:]
            assert all(list(model.coords[dim]) == labelled[dim] for dim in dims)
            np.testing.assert_allclose(value, expected[variable][0, 0], rtol=1e-10, atol=1e-12)
        ours = sum(value for term, value in terms.items() if term not in network.free)
        differences.append(ours - float(study_log_likelihood(expected, network).sum()))
    # exposure at a landmark is compressed there
    np.testing.assert_allclose(differences, differences[0], atol=1e-7)


@pytest.mark.parametrize("name", POOL_NAMES)
def test_the_synthesis_has_the_variables_of_a_posterior_and_its_likelihood(name, of_pool):
    assert_variables(*of_pool(name))


def test_kinds_of_numbers_between_which_a_correlation_is_declared_are_one_term(of_pool):
    named = [v.name for v in of_pool("correlated kinds")[1].model.observed_RVs]
    assert named == ["published_curves_and_published_arm_effects"]
    assert "published_slopes" in of_pool("prrt_pooled")[1].terms


def test_a_prior_of_no_known_kind_is_refused():
    with pm.Model(), pytest.raises(TypeError, match=r"prior of x is 3\.0; expected Normal"):
        random_variable("x", 3.0)


def test_events_that_are_no_counts_are_refused():
    made = trials_alone()
    half = replace(made.cohorts[1], events=made.cohorts[1].events + 0.5)
    with pytest.raises(InputError, match=r"pfs B control, interval 0, .* are no whole numbers"):
        synthesis_model(replace(made, cohorts=(made.cohorts[0], half)))


# --- what PyMC does with them -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(of_pool) -> dict[str, pm.Model]:
    """A model of patients, and that of the shipped synthesis."""
    return {"patients": of_patients("default")[2].model, "pool": of_pool("without statements")[1].model}


BOTH = pytest.mark.parametrize("which", ["patients", "pool"])
REPLICATES = 500


def groups(drawn) -> xr.DataTree:
    """Draws as PyMC 6 hands them back."""
    return drawn if isinstance(drawn, xr.DataTree) else drawn.to_datatree()


def at_one_point(model: pm.Model, draws: int) -> xr.Dataset:
    """A posterior that is the same point at every draw."""
    values = {v.name: np.full(v.shape.eval(), 0.5 if v.name.endswith("sd") else 0.1) for v in model.free_RVs}
    dims = {name: ("chain", "draw", *model.named_vars_to_dims.get(name, ())) for name in values}
    # PyMC draws anew what lies along other labels than its own
    coords = {"chain": [0]} | {dim: list(model.coords[dim]) for own in dims.values() for dim in own[2:]}
    one = xr.Dataset({name: (dims[name], value[None, None]) for name, value in values.items()}, coords)
    return xr.concat([one] * draws, "draw").assign_coords(draw=np.arange(draws))


def log_density(model: pm.Model, point: dict, names=None) -> float:
    """Of the whole model, or of these variables."""
    variables = None if names is None else [model[name] for name in names]
    outputs, options = model.logp(vars=variables), {"on_unused_input": "ignore", "mode": PYTHON}
    return float(model.compile_fn(outputs, inputs=model.value_vars, **options)(point))


@BOTH
def test_the_prior_is_drawn_and_what_it_predicts(which, models):
    with models[which] as model:
        drawn = groups(pm.sample_prior_predictive(300, random_seed=1, compile_kwargs={"mode": PYTHON}))
    assert set(drawn["prior_predictive"].data_vars) == {v.name for v in model.observed_RVs}
    assert {v.name for v in (*model.free_RVs, *model.deterministics)} <= set(drawn["prior"].data_vars)
    assert all(np.isfinite(x).all() for x in drawn["prior"].data_vars.values())


@BOTH
def test_replicates_have_the_distribution_of_the_likelihood(which, models):
    """Mean and variance of every replicate; the log density is another graph, and tested above."""
    with models[which] as model:
        drawn = pm.sample_posterior_predictive(
            at_one_point(model, REPLICATES), random_seed=1, progressbar=False, compile_kwargs={"mode": PYTHON}
        )
    replicates = groups(drawn)["posterior_predictive"].isel(chain=0)
    assert set(replicates.data_vars) == {v.name for v in model.observed_RVs}
    free = {name: value.values[0, 0] for name, value in at_one_point(model, 1).data_vars.items()}
    for name, (mean, variance) in moments(which, free).items():
        found = replicates[name].values
        z = (found.mean(axis=0) - mean) / np.sqrt(variance / REPLICATES)
        assert np.abs(z).max() < 4.5, name  # of some 200 that are compared, once in a thousand times
        # the variance of REPLICATES draws has a relative SD of sqrt(2 / REPLICATES), 0.06
        np.testing.assert_allclose(found.var(axis=0), variance, rtol=0.25)


def moments(which, free) -> dict:
    """Mean and variance of replicates."""
    if which == "patients":
        data, hazard, _ = of_patients("default")
        rows = long_form(data)
        arm = np.searchsorted(data.arms, rows["arm"])
        score = rows["score"] - data.score.mean()
        log_h = log_hazard(free, data, hazard)[arm, rows["interval"]] + free["slope"][arm] * score
        mean = (rows["exposure"] * np.exp(log_h)).to_numpy()
        return {"events": (mean, mean)}
    equations = Equations(POOLS["without statements"](None), free)
    found = {}
    for name in ("published_curves_and_published_arm_effects", "published_slopes"):
        rows = [equations.rows[i] for part in name.split("_and_") for i in equations.used(part)]
        factor = [np.exp(equations.of("log_inflation", d.id)) if d.inflated else 1.0 for _, d, _ in rows]
        mean = np.array([equations.location(r, d) for r, d, _ in rows])
        found[name] = mean, (np.array([d.se for _, d, _ in rows]) * factor) ** 2
    counts = [equations.rows[i][:2] for i in equations.used("published_responses")]
    chance, n = np.array([equations.response(r)[0] for r, _ in counts]), np.array([d.n for _, d in counts])
    return found | {"published_responses": (n * chance, n * chance * (1 - chance))}


@BOTH
def test_a_variable_can_be_set_and_another_observed(which, of_pool):
    """do takes the prior of a variable away, observe keeps it: both leave the density of the rest."""
    model, name = {
        "patients": lambda: (of_patients("default")[2].model, "slope"),
        "pool": lambda: (of_pool("commensurate, weight 0.8")[1].model, "arm_effect_mean"),
    }[which]()
    value = np.array([0.3, -0.2])
    point = model.initial_point() | {name: value}
    prior, whole = log_density(model, point, [name]), log_density(model, point)
    rest = {key: x for key, x in point.items() if key != name}
    done, observed = pm.do(model, {name: value}), pm.observe(model, {name: value})
    assert log_density(done, rest) == pytest.approx(whole - prior, rel=1e-10)
    assert log_density(observed, rest) == pytest.approx(whole, rel=1e-10)
    assert all(name not in [v.name for v in changed.free_RVs] for changed in (done, observed))


def test_a_score_that_is_set_for_everybody_predicts_what_would_have_been(models):
    data = of_patients("default")[0]
    model = pm.do(models["patients"], {"score": np.full(data.n, data.score.mean())})
    point = model.initial_point()
    found = [log_density(model, point | {"slope": np.full(2, slope)}, ["events"]) for slope in (5.0, 0.0)]
    assert found[0] == pytest.approx(found[1], rel=1e-12)


@BOTH
def test_a_graph_shows_every_variable(which, models):
    model = models[which]
    drawn = pm.model_to_mermaid(model)
    assert all(v.name in drawn for v in (*model.basic_RVs, *model.deterministics, *model.data_vars))


@BOTH
def test_graphviz_draws_them(which, models):
    pytest.importorskip("graphviz", reason="pm.model_to_graphviz needs the Python package graphviz")
    source = pm.model_to_graphviz(models[which]).source
    assert all(v.name in source for v in models[which].basic_RVs)


def test_a_term_of_ones_own_is_added_to_the_density():
    data = patients()
    model = hazard_model(data)
    before = log_density(model, model.initial_point())
    with model:
        pm.Normal("alike", model["slope"][1] - model["slope"][0], 0.2, observed=0.1)
    own = -0.5 * 0.5**2 - np.log(0.2) - 0.5 * np.log(2 * np.pi)
    assert log_density(model, model.initial_point()) == pytest.approx(before + own, rel=1e-10)


@pytest.mark.filterwarnings("ignore:.*effective sample size|.*rhat:UserWarning")
@BOTH
def test_the_models_are_sampled(which, of_pool):
    model = of_patients("one interval")[2].model if which == "patients" else of_pool("slopes")[1].model
    options = {"draws": 10, "tune": 10, "chains": 1, "cores": 1, "random_seed": 1, "progressbar": False}
    with model:
        fit = groups(pm.sample(**options, compute_convergence_checks=False, compile_kwargs={"mode": PYTHON}))
    posterior = fit["posterior"].to_dataset()
    assert set(posterior.data_vars) == {v.name for v in (*model.free_RVs, *model.deterministics)}
    assert all(np.isfinite(x).all() for x in posterior.data_vars.values())
