"""Every form of the patients' likelihood is that of a closed form written here from person-interval rows.

The closed form shares no code with the engine but the rows of ``long_form`` (tested in test_exposure.py) and
the scale on which the walk is sampled. It is analytic, so its gradient by the complex step
Im F(x + ih) / h, h = 1e-30, has no truncation and no cancellation error. test_engine.py compares both.
"""

import numpy as np
import pandas as pd
import pytest
from exposures import patients

from bayes_net.assumptions.hazard import Hazard, step_information
from bayes_net.assumptions.priors import Flat, HalfNormal, MedianSurvival, Normal, Priors
from bayes_net.data.aggregated import aggregate
from bayes_net.data.exposure import collapsed_form, long_form
from bayes_net.engine.layout import Layout, layout
from bayes_net.engine.patients import patients_posterior, sampled_variables
from bayes_net.errors import InputError
from bayes_net.inference.closed_form import as_defined, log_likelihood, with_derived
from bayes_net.inference.sampling import labelled
from bayes_net.model.predictors import coordinates

FLAT = Priors(level=Flat(), slope=Flat(), arm_effect=Flat(), covariate=Flat())
SHARP = Priors(
    Normal(-2.0, 0.3), HalfNormal(0.4), Normal(0.1, 0.2), Normal(-0.3, 0.5), Normal(0.2, 0.7), HalfNormal(0.3)
)
BOTH = ("grade: II", "age")
TRIALS = ("A", "B", "C")
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
    "studies": (Hazard(), {"studies": TRIALS, "covariates": BOTH}),
    "studies, walk, shared": (Hazard("shared", slopes="time-varying", priors=SHARP), {"studies": TRIALS}),
    "studies, independent": (Hazard(smoothing="independent", slopes="common"), {"studies": TRIALS}),
    "studies, shared, one interval": (
        Hazard("shared", slopes="none"),
        {"studies": TRIALS[:2], "cuts": (), "covariates": BOTH[:1]},
    ),
}
LAYOUTS = ("compressed", "patients")


def shape_of(data, kind) -> Layout:
    patterns = data.patterns.tolist() if kind == "compressed" else ()
    return Layout(
        data.arms, data.covariate_names, data.n_intervals, data.studies, tuple(map(tuple, patterns))
    )


def evaluated(variant: str, kind: str):
    """The data, what is assumed, and the engine's log density."""
    hazard, options = VARIANTS[variant]
    data = patients(**options)
    return data, hazard, patients_posterior(data, hazard, shape=shape_of(data, kind))


def around(posterior, count=3, seed=11, size=0.4) -> np.ndarray:
    """Perturbed points around where chains start."""
    return posterior.start + np.random.default_rng(seed).normal(0, size, (count, posterior.size))


def theta_of(posterior, x) -> dict:
    """The vector as the values of the sampled unconstrained variables."""
    theta, end = {}, 0
    for name, (shape, log) in posterior.variables.items():
        start, end = end, end + int(np.prod(shape))
        theta[f"{name}_log__" if log else name] = x[start:end].reshape(shape)
    return theta


def drawn_at(posterior, x, hazard, data):
    """The point as a posterior of one draw."""
    dims = {name: own.dims for name, own in sampled_variables(hazard, data).items()}
    sampled = labelled(posterior.named(x[None, None]), dims, coordinates(data))
    labels = {"arm": list(data.arms), "interval": list(range(data.n_intervals))}
    labels |= {"study": list(data.studies)} if data.studies else {}
    return with_derived(as_defined(sampled, hazard, data).assign_coords(labels), hazard, data)


def log_hazards(theta: dict, data, hazard) -> np.ndarray:
    """Log hazard by arm and interval, of several studies by study first, from the free variables."""
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
        alpha = alpha[..., None, :] + (effects - shared_with(effects, hazard))[:, None]
    return alpha - of_average_patients(theta, data, hazard)


def of_average_patients(theta: dict, data, hazard):
    """What the average score and covariates add, where the prior is about average patients."""
    if not isinstance(hazard.priors.level, MedianSurvival):
        return 0.0
    added = data.covariates.mean(axis=0) @ theta["log_hr_covariate"] if data.covariate_names else 0.0
    if hazard.slopes == "common":
        return added + data.score.mean() * theta["common_slope"]
    if hazard.slopes == "time-varying":
        return added + data.score.mean() * slopes_by_interval(theta, data)
    return added + (data.score.mean() * theta["slope"][:, None] if hazard.slopes == "per arm" else 0.0)


def shared_with(effects: np.ndarray, hazard) -> float:
    """Where among the arms' effects their shared baseline is: at their average, or at the first."""
    return effects.mean() if isinstance(hazard.priors.level, MedianSurvival) else 0.0


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
    events = counts_by_baseline(data)
    events = events if hazard.baseline == "per arm" else events.sum(axis=-2)
    return (events * walk).sum(axis=-1) / (events.sum(axis=-1) + hazard.priors.level.sd**-2.0)


def counts_by_baseline(data) -> np.ndarray:
    """Events of each baseline and interval, counted row by row."""
    rows = long_form(data)
    keys = [*(["study"] if data.studies else []), "arm", "interval"]
    levels = [data.studies, data.arms, range(data.n_intervals)][-len(keys) :]
    counts = rows.groupby(keys)["event"].sum()
    index = pd.MultiIndex.from_product(levels, names=keys)
    return counts.reindex(index, fill_value=0.0).to_numpy().reshape([len(each) for each in levels])


def of_rows(log_hazard: np.ndarray, data, rows) -> np.ndarray:
    """The log hazard of the study, if there are several, arm and interval of each row."""
    named = {"study": data.studies, "arm": data.arms}
    of = [[labels.index(x) for x in rows[name]] for name, labels in named.items() if labels]
    return log_hazard[*of, rows["interval"]]


def level(theta: dict, data, hazard) -> np.ndarray:
    """The log hazard that arms share, or of each, averaged over time: what the prior is of."""
    widths = np.append(np.diff([0.0, *data.cuts]), np.diff([0.0, *data.cuts])[-1])
    alpha = log_hazards(theta, data, hazard) + of_average_patients(theta, data, hazard)
    averages = isinstance(hazard.priors.level, MedianSurvival)
    shared = alpha.mean(axis=-2) if averages else alpha[..., 0, :]
    return (alpha if hazard.baseline == "per arm" else shared) @ widths / widths.sum()


def step_scale(theta: dict, data, hazard) -> np.ndarray:
    return np.sqrt(1 + np.exp(theta["step_sd_log__"])[..., None] ** 2 * step_information(data, hazard))


def likelihood(theta: dict, data, hazard, rows):
    """sum of event * log h - exposure * h over the rows."""
    arm = np.searchsorted(data.arms, rows["arm"])
    log_h = of_rows(log_hazards(theta, data, hazard), data, rows)
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


def slope_along(density, theta: dict, along: np.ndarray) -> float:
    """The same along a direction."""
    steps = np.split(along, np.cumsum([value.size for value in theta.values()])[:-1])
    moved = {
        name: value + 1e-30j * np.reshape(step, value.shape)
        for (name, value), step in zip(theta.items(), steps, strict=True)
    }
    return density(moved).imag / 1e-30


@pytest.mark.parametrize("variant", VARIANTS)
def test_long_collapsed_compressed_and_patients_forms_agree(variant):
    (data, hazard, compressed), (_, _, by_patient) = (evaluated(variant, kind) for kind in LAYOUTS)
    for x in around(compressed):
        theta = theta_of(compressed, x)
        forms = [likelihood(theta, data, hazard, form(data)) for form in (long_form, collapsed_form)]
        forms += [
            posterior(x)[0] - prior_density(theta, data, hazard) for posterior in (compressed, by_patient)
        ]
        np.testing.assert_allclose(forms, forms[0], rtol=1e-10)


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_patients_log_likelihood_adds_up_to_that_of_the_rows(variant):
    data, hazard, posterior = evaluated(variant, "compressed")
    for x in around(posterior):
        theta, draw = theta_of(posterior, x), drawn_at(posterior, x, hazard, data)
        expected, values = likelihood(theta, data, hazard, long_form(data)), log_likelihood(draw, data)
        assert dict(values.sizes) == {"chain": 1, "draw": 1, "patient": data.n}
        assert float(values.sum()) == pytest.approx(expected, rel=1e-10)
        assert float(log_likelihood(draw, aggregate(data)).sum()) == pytest.approx(expected, rel=1e-10)
        assert draw["log_hazard"].values[0, 0] == pytest.approx(log_hazards(theta, data, hazard))
        if "slope_by_interval" in draw:
            assert draw["slope_by_interval"].values[0, 0] == pytest.approx(slopes_by_interval(theta, data))


@pytest.mark.parametrize("kind", LAYOUTS)
def test_slopes_that_vary_in_one_interval_are_those_of_each_arm(kind):
    (_, _, varying), (_, _, per_arm) = (
        evaluated(name, kind) for name in ("time-varying, one interval", "one interval")
    )
    for x in around(varying):
        for one, other in zip(varying(x), per_arm(x), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_slopes_that_hardly_vary_are_those_of_each_arm(kind):
    """Of the likelihood alone: the prior is of other variables."""
    data, hazard, varying = evaluated("time-varying", kind)
    _, constant, per_arm = evaluated("default", kind)

    def of(posterior, theta, assumed):
        x = np.concatenate([value.ravel() for value in theta.values()])
        return posterior(x)[0] - prior_density(theta, data, assumed)

    for x in around(varying):
        theta = theta_of(varying, x)
        same = {name: theta[name] for name in theta_of(per_arm, per_arm.start)}
        still = theta | {"slope_step_sd_log__": np.full(2, np.log(1e-13))}
        expected = of(per_arm, same, constant)
        assert of(varying, still, hazard) == pytest.approx(expected, rel=1e-10)
        assert of(varying, theta, hazard) != pytest.approx(expected, rel=1e-4)


def test_a_layout_is_compressed_when_that_is_the_smaller_form():
    few, many = (patients(n, covariates=BOTH, cuts=range(1, 12)) for n in (2000, 60))
    assert layout([few]).compressed
    assert len(layout([few]).patterns) == 12
    assert not layout([many]).compressed


def test_one_layout_serves_patterns_and_patients_of_every_exposure():
    some, others = patients(40, covariates=BOTH[:1], seed=2), patients(90, covariates=BOTH[:1], seed=3)
    shape = layout([some, others])
    for data in (some, others):
        weight = shape.nodes(data).weight
        assert weight.shape == (4, 4, 12)
        assert weight.sum() == pytest.approx(data.time.sum(), rel=1e-13)
    with pytest.raises(InputError, match="differ in arms, covariates, number of intervals or studies"):
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
