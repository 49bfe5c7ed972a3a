"""The model's log-density and gradient equal a closed form written here from person-interval rows.

The closed form shares no code with the model but the rows of ``long_form`` (tested in
test_exposure.py) and the scale on which the walk is sampled. It is analytic, so its gradient by the
complex step Im F(x + ih) / h, h = 1e-30, has no truncation and no cancellation error.
"""

from functools import lru_cache

import numpy as np
import pytensor
import pytest
import xarray as xr
from exposures import patients
from pytensor.graph.traversal import ancestors

from bayes_net.data.aggregated import aggregate
from bayes_net.data.exposure import collapsed_form, long_form
from bayes_net.engine.layout import Layout, layout, model_data
from bayes_net.errors import InputError
from bayes_net.inference.closed_form import log_likelihood, log_prior
from bayes_net.inference.engine_patients import flat_hazard_model
from bayes_net.model.assumptions import Hazard, free_variables, step_information
from bayes_net.model.priors import Flat, HalfNormal, Normal, Priors

FLAT = Priors(level=Flat(), slope=Flat(), arm_effect=Flat(), covariate=Flat())
SHARP = Priors(
    Normal(-2.0, 0.3), HalfNormal(0.4), Normal(0.1, 0.2), Normal(-0.3, 0.5), Normal(0.2, 0.7), HalfNormal(0.3)
)
BOTH = ("grade: II", "age")
VARIANTS = {
    "default": (Hazard(), {}),
    "walk, shared, per arm, category": (Hazard(baseline="shared", priors=SHARP), {"covariates": BOTH[:1]}),
    "walk, shared, common, both": (Hazard(baseline="shared", slopes="common"), {"covariates": BOTH}),
    "walk, per arm, none, number": (Hazard(slopes="none", priors=SHARP), {"covariates": BOTH[1:]}),
    "independent, per arm, both": (Hazard(smoothing="independent", priors=SHARP), {"covariates": BOTH}),
    "independent, per arm, common": (Hazard(smoothing="independent", slopes="common"), {}),
    "independent, shared, none": (Hazard("shared", "independent", "none", SHARP), {"covariates": BOTH[:1]}),
    "flat": (Hazard("shared", "independent", "common", FLAT), {"covariates": BOTH}),
    "one interval": (Hazard(), {"cuts": ()}),
    "one arm": (Hazard(baseline="shared"), {"arms": ("only",), "covariates": BOTH[:1]}),
    "three arms": (Hazard("shared", "independent", "per arm"), {"arms": ("a", "b", "c"), "cuts": (4.0,)}),
    "one patient": (Hazard(), {"n": 1, "seed": 5}),
    "time-varying": (Hazard(slopes="time-varying"), {}),
    "time-varying, shared, both": (
        Hazard("shared", slopes="time-varying", priors=SHARP),
        {"covariates": BOTH, "arms": ("a", "b", "c")},
    ),
    "time-varying, independent, flat": (
        Hazard(smoothing="independent", slopes="time-varying", priors=FLAT),
        {"covariates": BOTH[1:]},
    ),
    "time-varying, one interval": (Hazard(slopes="time-varying"), {"cuts": ()}),
}
LAYOUTS = ("compressed", "patients")


def shape_of(data, kind) -> Layout:
    if kind == "compressed":
        rows = tuple(map(tuple, data.patterns.tolist()))
        return Layout(data.arms, data.covariate_names, data.n_intervals, patterns=rows)
    return Layout(data.arms, data.covariate_names, data.n_intervals, rows=data.n + 7)


@lru_cache
def compiled(variant: str, kind: str):
    """The data, the model, and one function of a point: log-density, gradient, its parts, the values."""
    hazard, options = VARIANTS[variant]
    data = patients(**options)
    model = flat_hazard_model(data, hazard, shape=shape_of(data, kind))
    outputs = [
        model.logp(),
        model.dlogp(),
        model.logp(vars=model.potentials),
        *model.logp(vars=model.free_RVs, jacobian=False, sum=False),
        *model.unobserved_value_vars,
    ]
    # Python's linker: no C++ compiler, and no 10 s of numba for a few evaluations
    with pytensor.config.change_flags(cxx=""):
        return data, model, model.compile_fn(outputs, mode="FAST_COMPILE", on_unused_input="ignore")


def points(model, data, count=3) -> list[dict]:
    """Perturbed points around a plausible one."""
    rng = np.random.default_rng(11)
    start = {"level": -2.5, "level_at_events": -2.5, "log_baseline": -2.5}
    start |= {"step_sd_log__": -0.5, "slope_step_sd_log__": -1.0}
    return [
        {name: np.asarray(start.get(name, 0.0) + rng.normal(0, 0.4, np.shape(value)))
         for name, value in model.initial_point().items()}
        for _ in range(count)
    ]  # fmt: skip


def log_hazards(theta: dict, data, hazard) -> np.ndarray:
    """Log hazard by arm and interval from the free variables."""
    if hazard.smoothing == "independent":
        alpha = theta["log_baseline"]
    else:
        if data.n_intervals == 1:
            alpha = theta["level"][..., None]
        else:
            edges = np.array([0.0, *data.cuts])
            widths = np.append(np.diff(edges), np.diff(edges)[-1])
            years = (widths[:-1] + widths[1:]) / 24
            sd = np.exp(theta["step_sd_log__"])[..., None]
            steps = sd * np.sqrt(years) * theta["step"] / step_scale(theta, data, hazard)
            walk = np.concatenate([np.zeros_like(steps[..., :1]), np.cumsum(steps, axis=-1)], axis=-1)
            walk = walk - (walk @ widths)[..., None] / widths.sum()
            alpha = (theta["level_at_events"] - over_events(walk, data, hazard))[..., None] + walk
    if hazard.baseline == "shared":
        effects = np.concatenate([[0.0], theta.get("log_hr_arm", [])])
        alpha = alpha[None, :] + effects[:, None]
    return alpha


def slopes_by_interval(theta: dict, data) -> np.ndarray:
    """Slope by arm and interval: the sum of steps whose variance is the time between midpoints in years,
    moved so that its average over time is ``slope``; the last interval is as long as its neighbour."""
    slopes = theta["slope"][:, None] * np.ones(data.n_intervals)
    if data.n_intervals == 1:
        return slopes
    edges = np.array([0.0, *data.cuts, 2 * data.cuts[-1] - ([0.0, *data.cuts])[-2]])
    years = np.diff((edges[:-1] + edges[1:]) / 2) / 12
    walk = np.zeros(slopes.shape, slopes.dtype)
    for k, each in enumerate(years):
        step = np.exp(theta["slope_step_sd_log__"]) * np.sqrt(each) * theta["slope_step"][:, k]
        walk = walk.astype(np.result_type(walk, step))
        walk[:, k + 1] = walk[:, k] + step
    return slopes + walk - (walk * np.diff(edges)).sum(axis=1, keepdims=True) / edges[-1]


def over_events(walk: np.ndarray, data, hazard) -> np.ndarray:
    """The average over the events, and over the prior's share of a walk whose average over time is 0."""
    events = data.events if hazard.baseline == "per arm" else data.events.sum(axis=0)
    return (events * walk).sum(axis=-1) / (events.sum(axis=-1) + hazard.priors.level.sd**-2.0)


def level(theta: dict, data, hazard) -> np.ndarray:
    """The log hazard of the first arm, or of each, averaged over time: what the prior is of."""
    widths = np.append(np.diff([0.0, *data.cuts]), np.diff([0.0, *data.cuts])[-1])
    alpha = log_hazards(theta, data, hazard)
    return (alpha if hazard.baseline == "per arm" else alpha[0]) @ widths / widths.sum()


def step_scale(theta: dict, data, hazard) -> np.ndarray:
    return np.sqrt(1 + np.exp(theta["step_sd_log__"])[..., None] ** 2 * step_information(data, hazard))


def likelihood(theta: dict, data, hazard, rows):
    """sum of event * log h - exposure * h over the rows."""
    arm = np.searchsorted(data.arms, rows["arm"])
    log_h = log_hazards(theta, data, hazard)[arm, rows["interval"]]
    if hazard.slopes == "per arm":
        log_h = log_h + theta["slope"][arm] * rows["score"].to_numpy()
    elif hazard.slopes == "time-varying":
        log_h = log_h + slopes_by_interval(theta, data)[arm, rows["interval"]] * rows["score"].to_numpy()
    elif hazard.slopes == "common":
        log_h = log_h + theta["common_slope"] * rows["score"].to_numpy()
    if data.covariate_names:
        log_h = log_h + rows[list(data.covariate_names)].to_numpy() @ theta["log_hr_covariate"]
    return (rows["event"].to_numpy() * log_h - rows["exposure"].to_numpy() * np.exp(log_h)).sum()


def normal(x, mean, sd):
    return (-0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)).sum()


def prior_density(theta: dict, data, hazard):
    """Log prior of the unconstrained variables: with the Jacobian log sd of sampling log sd."""
    homes = {
        "level": "level",
        "log_baseline": "level",
        "slope": "slope",
        "common_slope": "slope",
        "log_hr_arm": "arm_effect",
        "log_hr_covariate": "covariate",
    }
    total = 0.0
    for name, value in theta.items():
        if name == "step":
            total = total + normal(value, 0.0, step_scale(theta, data, hazard))
        elif name == "level_at_events":
            prior = hazard.priors.level
            total = total + normal(level(theta, data, hazard), prior.mean, prior.sd)
        elif name == "slope_step":
            total = total + normal(value, 0.0, 1.0)
        elif name in ("step_sd_log__", "slope_step_sd_log__"):
            sd, prior = np.exp(value), getattr(hazard.priors, name.removesuffix("_log__"))
            total = total + normal(sd, 0.0, prior.sd) + (np.log(2.0) + value).sum()
        elif not isinstance(prior := getattr(hazard.priors, homes[name]), Flat):
            total = total + normal(value, prior.mean, prior.sd)
    return total


def gradient(density, theta: dict) -> np.ndarray:
    """The gradient by the complex step, in the order of the variables."""
    slopes = []
    for name, value in theta.items():
        for i in np.ndindex(value.shape):
            moved = value.astype(complex)
            moved[i] += 1e-30j
            slopes.append(density(theta | {name: moved}).imag / 1e-30)
    return np.array(slopes)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_log_density_and_gradient_equal_the_closed_form(variant, kind):
    data, model, evaluate = compiled(variant, kind)
    hazard, rows = VARIANTS[variant][0], long_form(data)

    def density(theta):
        return likelihood(theta, data, hazard, rows) + prior_density(theta, data, hazard)

    assert {v.name for v in model.value_vars} == set(model.initial_point())
    for theta in points(model, data):
        value, slopes, potential, *_ = evaluate(theta)
        theta = {v.name: theta[v.name] for v in model.value_vars}
        # algebra in another order: 1e-10 covers the rounding of sums of a few hundred terms
        assert float(value) == pytest.approx(density(theta), rel=1e-10)
        assert float(potential) == pytest.approx(likelihood(theta, data, hazard, rows), rel=1e-10)
        expected = gradient(density, theta)
        np.testing.assert_allclose(slopes, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("variant", VARIANTS)
def test_long_collapsed_compressed_and_patients_forms_agree(variant):
    hazard = VARIANTS[variant][0]
    (data, model, compressed), (_, _, by_patient) = (compiled(variant, kind) for kind in LAYOUTS)
    for theta in points(model, data):
        forms = [
            likelihood(theta, data, hazard, long_form(data)),
            likelihood(theta, data, hazard, collapsed_form(data)),
            float(compressed(theta)[2]),
            float(by_patient(theta)[2]),
        ]
        np.testing.assert_allclose(forms, forms[0], rtol=1e-10)


def one_draw(variant: str, kind: str, theta: dict) -> tuple[xr.Dataset, list, float]:
    """The point as a posterior of one draw, the log prior of each variable, and the likelihood."""
    _, model, evaluate = compiled(variant, kind)
    _, _, potential, *rest = evaluate(theta)
    priors, values = rest[: len(model.free_RVs)], rest[len(model.free_RVs) :]
    names = [v.name for v in model.unobserved_value_vars]
    posterior = {
        name: (("chain", "draw", *model.named_vars_to_dims.get(name, ())), np.asarray(value)[None, None])
        for name, value in zip(names, values, strict=True)
        if not name.endswith("__")
    }
    return (
        xr.Dataset(posterior),
        dict(zip([v.name for v in model.free_RVs], priors, strict=True)),
        float(potential),
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_patients_log_likelihood_adds_up_to_the_potential(variant):
    data, model, _ = compiled(variant, "compressed")
    for theta in points(model, data):
        posterior, _, potential = one_draw(variant, "compressed", theta)
        values = log_likelihood(posterior, data)
        assert dict(values.sizes) == {"chain": 1, "draw": 1, "patient": data.n}
        assert float(values.sum()) == pytest.approx(potential, rel=1e-10)
        assert posterior["log_hazard"].values[0, 0] == pytest.approx(
            log_hazards(theta, data, VARIANTS[variant][0])
        )
        if "slope_by_interval" in posterior:
            assert posterior["slope_by_interval"].values[0, 0] == pytest.approx(
                slopes_by_interval(theta, data)
            )
        sums = log_likelihood(posterior, aggregate(data))
        assert float(sums.sum()) == pytest.approx(potential, rel=1e-10)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_log_prior_of_each_variable_is_pymcs(variant):
    hazard = VARIANTS[variant][0]
    data, model, _ = compiled(variant, "patients")
    for theta in points(model, data):
        posterior, expected, _ = one_draw(variant, "patients", theta)
        densities = log_prior(posterior, hazard, data)
        # what is sampled differs from the level by what the steps alone decide: as dense
        expected = {name.removesuffix("_at_events"): value for name, value in expected.items()}
        assert set(densities) == set(expected) == set(free_variables(hazard, data))
        for name, free in free_variables(hazard, data).items():
            assert densities[name].dims == ("chain", "draw", *free.dims)
            np.testing.assert_allclose(densities[name].values[0, 0], expected[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_model_reads_all_the_data_that_it_holds(variant, kind):
    # nutpie refuses data that no variable depends on
    _, model, _ = compiled(variant, kind)
    read = set(ancestors([model.logp(), *model.deterministics]))
    assert [v.name for v in model.data_vars if v not in read] == []


@pytest.mark.parametrize("kind", LAYOUTS)
def test_slopes_that_vary_in_one_interval_are_those_of_each_arm(kind):
    (data, model, varying), (_, _, per_arm) = (
        compiled(name, kind) for name in ("time-varying, one interval", "one interval")
    )
    for theta in points(model, data):
        for one, other in zip(varying(theta), per_arm(theta), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_slopes_that_hardly_vary_are_those_of_each_arm(kind):
    data, model, varying = compiled("time-varying", kind)
    _, constant, per_arm = compiled("default", kind)
    for theta in points(model, data):
        still = theta | {"slope_step_sd_log__": np.full(2, np.log(1e-13))}
        same = {name: theta[name] for name in constant.initial_point()}
        assert float(varying(still)[2]) == pytest.approx(float(per_arm(same)[2]), rel=1e-10)
        assert float(varying(theta)[2]) != pytest.approx(float(per_arm(same)[2]), rel=1e-4)


def test_a_layout_is_compressed_when_that_is_the_smaller_form():
    few, many = (patients(n, covariates=BOTH, cuts=range(1, 12)) for n in (2000, 60))
    assert layout([few]).compressed
    assert len(layout([few]).patterns) == 12
    assert not layout([many]).compressed
    assert layout([many, patients(75, covariates=BOTH, cuts=range(2, 13))]).rows == 75


def test_one_layout_serves_patterns_and_patients_of_every_exposure():
    some, others = patients(40, covariates=BOTH[:1], seed=2), patients(90, covariates=BOTH[:1], seed=3)
    shape = layout([some, others])
    for data in (some, others):
        arrays = model_data(data, shape, Hazard())
        assert arrays["node_weight"].shape == (4, 4, 12)
        assert arrays["node_weight"].sum() == pytest.approx(data.time.sum(), rel=1e-13)
    with pytest.raises(InputError, match="differ in arms, covariates or number of intervals"):
        layout([some, patients(40, cuts=(3.0,), covariates=BOTH[:1])])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"baseline": "pooled"}, r"baseline = 'pooled' is unknown; expected one of per arm, shared"),
        ({"smoothing": "rw2"}, r"smoothing = 'rw2' is unknown; expected one of rw1, independent"),
        (
            {"slopes": "each"},
            r"slopes = 'each' is unknown; expected one of per arm, common, time-varying, none",
        ),
    ],
)
def test_unknown_options_of_a_hazard_are_refused(option, said):
    with pytest.raises(InputError, match=said):
        Hazard(**option)
