"""What a hazard model of patients assumes, its free variables, and the walks of its log hazard and slope."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayes_net import schema
from bayes_net.assumptions import priors
from bayes_net.assumptions.priors import INDEPENDENT, Normal
from bayes_net.data.aggregated import AnyExposure
from bayes_net.data.terms import in_arm
from bayes_net.errors import InputError
from bayes_net.schema import ARM, INTERVAL, SAMPLE_DIMS, SLOPE, SLOPE_BY_INTERVAL, SLOPE_STEP, SLOPE_STEP_SD
from bayes_net.statistics.base import Array

SHARED, PER_ARM, COMMON = "shared", "per arm", "common"


TIME_VARYING = "time-varying"


RW1 = "rw1"


@dataclass(frozen=True)
class SlopeForm:
    """How the slope of the score differs between arms and intervals, in words and in the equation of the log
    hazard; where it varies over time, what a hazard ratio of an arm then is."""

    in_words: str
    symbol: str
    over_time: str = ""


SLOPE_FORMS = {
    PER_ARM: SlopeForm("one slope per arm", "β[arm]"),
    COMMON: SlopeForm("one slope for all arms", "β"),
    TIME_VARYING: SlopeForm(
        "a slope in each arm and interval, a random walk over the intervals too",
        "β[arm, interval]",
        "Hazards are not proportional in this model: the hazard ratio of shrinkage may change from interval "
        "to interval. Where one hazard ratio stands for an arm, it is the geometric mean over time (the open "
        "last interval counts as long as the one before it), and words and probabilities are about that "
        "mean. It may be 1 although shrinkage goes with fewer events early and with more late, or the other "
        "way round.",
    ),
    priors.NONE: SlopeForm("shrinkage is not in the model", ""),
}
"""Every form of slopes, by its name in ``Hazard`` and in specifications."""


@dataclass(frozen=True)
class Hazard:
    """What a hazard model assumes.

    ``baseline``: "per arm" (stratified) or "shared" (then the arms' hazards are proportional);
    ``smoothing``: "rw1" (random walk of the log hazard over time) or "independent" intervals;
    ``slopes``: of the score, "per arm", "common" to all arms, "time-varying" (per arm, a random walk over the
    intervals: hazards are not proportional), or "none" (``SLOPE_FORMS``).
    """

    baseline: str = PER_ARM
    smoothing: str = RW1
    slopes: str = PER_ARM
    priors: priors.Priors = field(default_factory=priors.Priors)

    def __post_init__(self) -> None:
        for name, allowed in (
            ("baseline", (PER_ARM, SHARED)),
            ("smoothing", (RW1, INDEPENDENT)),
            ("slopes", tuple(SLOPE_FORMS)),
        ):
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name} = {getattr(self, name)!r} is unknown; expected one of {', '.join(allowed)}"
                )


class FreeVariable(NamedTuple):
    """A free variable of the patients' model.

    ``key``: the field of ``Priors`` that ``prior`` is, "" for a standard normal; ``in_words``: its name in a
    table of priors; ``start``: where chains start, on the sampler's scale; ``steps``: of a random walk's
    standard deviation, the standard normal steps that it multiplies.
    """

    prior: priors.Prior
    dims: tuple[str, ...]
    key: str = ""
    in_words: str = ""
    start: float = 0.0
    steps: str = ""


def free_variables(hazard: Hazard, data: AnyExposure) -> dict[str, FreeVariable]:
    """Each free variable of the model by name, in its order.

    The prior of ``step`` is that of the step divided by ``step_scale``. The model samples ``level`` as
    ``level_at_events``, where it has steps.
    """
    stratum, boundary = walks_of(hazard, data), "boundary"
    stated = hazard.priors.of_measure(data.measure)
    free: dict[str, FreeVariable] = {}

    def add(name: str, key: str, dims: tuple[str, ...], in_words: str, **more: Any) -> None:
        free[name] = FreeVariable(getattr(stated, key), dims, key, in_words, **more)

    if hazard.smoothing == INDEPENDENT:
        dims = (*stratum, INTERVAL)
        add("log_baseline", "level", dims, "log hazard per month of each interval", start=-3.0)
    else:
        if data.n_intervals > 1:
            words, start = "SD of the log hazard's change over a year", float(np.log(0.5))
            add(schema.STEP_SD, "step_sd", stratum, words, start=start, steps="step")
            free["step"] = FreeVariable(Normal(0.0, 1.0), (*stratum, boundary))
        add(schema.LEVEL, "level", stratum, "time-averaged log hazard per month", start=-3.0)
    if hazard.baseline == SHARED and len(data.arms) > 1:
        add(schema.ARM_EFFECT, "arm_effect", ("contrast",), "log hazard ratio of the arm")
    if hazard.slopes in (PER_ARM, TIME_VARYING):
        add(SLOPE, "slope", (ARM,), "log hazard ratio of shrinkage, each arm")
    if slope_intervals(hazard, data) > 1:
        words = "SD of the change over a year of the log hazard ratio of shrinkage, each arm"
        add(SLOPE_STEP_SD, "slope_step_sd", (ARM,), words, start=float(np.log(0.2)), steps=SLOPE_STEP)
        free[SLOPE_STEP] = FreeVariable(Normal(0.0, 1.0), (ARM, boundary))
    if hazard.slopes == COMMON:
        add("common_slope", "slope", (), "log hazard ratio of shrinkage, all arms")
    if data.covariate_names:
        add(schema.COVARIATE_EFFECT, "covariate", (schema.COVARIATE,), "log hazard ratio of each covariate")
    return free


def walks_of(hazard: Hazard, data: AnyExposure) -> tuple[str, ...]:
    """The dims of the baselines' walks: of every study, if there are several, and arm, if arms share none."""
    return tuple(dim for dim in data.strata_dims if dim != ARM or hazard.baseline == PER_ARM)


class Centre(NamedTuple):
    """Whose the baseline is that has the prior: ``score``, ``covariates`` (arm, covariate) and ``contrasts``,
    the matrix from log hazard ratios of arms against the first to what each arm adds, (arm, contrast)."""

    score: float
    covariates: np.ndarray
    contrasts: np.ndarray


def centre(hazard: Hazard, data: AnyExposure) -> Centre:
    """Of a statement about median survival: average patients, and the average of arms that share a baseline.
    Else patients at score and covariates 0, of the first arm.

    The log hazard at score and covariates 0 is that baseline less slope * score and covariates' effects.
    """
    against_first = np.eye(len(data.arms))[:, 1:]
    if not isinstance(hazard.priors.level, priors.MedianSurvival):
        return Centre(0.0, np.zeros((len(data.arms), len(data.covariate_names))), against_first)
    averages = np.array([in_arm(data.mean_covariates, data.terms, arm) for arm in data.arms])
    return Centre(data.mean_score, averages, against_first - against_first.mean(axis=0))


def _midpoint_distance(cuts: np.ndarray) -> np.ndarray:
    """Years between the midpoints of neighbouring intervals; the open last one counts as long as its
    predecessor."""
    widths = _widths(cuts)
    return (widths[:-1] + widths[1:]) / 2 / 12.0


def _widths(cuts: np.ndarray) -> np.ndarray:
    edges = np.concatenate([[0.0], cuts])
    return np.append(np.diff(edges), np.diff(edges)[-1])


def walk_basis(cuts: np.ndarray) -> np.ndarray:
    """Matrix from standard normal steps to a random walk over the intervals, (intervals, steps).

    A step's variance is the distance between interval midpoints in years; the walk is centred on its
    average over time, so that the level is the time-averaged log hazard.
    """
    if not len(cuts):
        return np.zeros((1, 0))
    widths, distance = _widths(cuts), _midpoint_distance(cuts)
    walk = np.tril(np.ones((len(widths), len(distance))), -1) * np.sqrt(distance)
    return walk - (widths / widths.sum()) @ walk


def level_shift(data: AnyExposure, hazard: Hazard) -> np.ndarray:
    """Average log hazard of the events minus average log hazard over time, for a standard deviation of 1 and
    one standardised step of 1, ([study, arm,] boundary).

    The average over events gives the prior's precision of the level a share, in which the walk is 0. It is
    what the model samples: late intervals may have no events, and the average over time is then a guess that
    a wide walk moves far, while the average over events stays where it is.
    """
    events = _events_of_walks(data, hazard)
    prior = hazard.priors.level
    known = events.sum(axis=-1, keepdims=True) + (prior.sd**-2.0 if isinstance(prior, Normal) else 0.0)
    return events / np.maximum(known, 1.0e-9) @ walk_basis(data.cuts)


def _events_of_walks(data: AnyExposure, hazard: Hazard) -> np.ndarray:
    """Events of each walk and interval, ([study, arm,] interval)."""
    events = data.events_by_stratum
    return events if hazard.baseline == PER_ARM else events.sum(axis=-2)


def step_information(data: AnyExposure, hazard: Hazard) -> np.ndarray:
    """About how much the events say about each step of the walk, ([study, arm,] boundary), for a step SD
    of 1.

    The log hazard of an interval with d events is known to a variance of about 1/d. Given the walk's
    SD s, a standard normal step then has a posterior SD of about 1/sqrt(1 + s^2 I): sampling the step
    on that scale keeps the geometry even from few events (non-centred) to many (centred).
    """
    events = _events_of_walks(data, hazard)
    before, after = events[..., :-1], events[..., 1:]
    harmonic = before * after / np.maximum(before + after, 1.0)
    return harmonic * _midpoint_distance(data.cuts) if len(data.cuts) else harmonic


def slope_over_time(average: Array, step_sd: Array, step: Array, basis: Array) -> Array:
    """Slope by arm and interval: a random walk around its average over time, (..., arm, interval).

    ``average`` and ``step_sd`` (..., arm), standard normal ``step`` (..., arm, boundary), and the basis of
    ``walk_basis`` (interval, boundary): plain arrays or parts of a graph.
    """
    return average[..., None] + step_sd[..., None] * (basis * step[..., None, :]).sum(axis=-1)


def with_slopes(draws: xr.Dataset, hazard: Hazard, data: AnyExposure) -> xr.Dataset:
    """The draws with what follows from their slopes: ``slope`` of every arm where it is common, and the slope
    of every interval where it varies over time."""
    if hazard.slopes == COMMON:
        return draws.assign({SLOPE: draws["common_slope"].expand_dims({ARM: draws[ARM]}, axis=-1)})
    if slope_intervals(hazard, data) == 1:
        return draws
    names = ((SLOPE, (ARM,)), (SLOPE_STEP_SD, (ARM,)), (SLOPE_STEP, (ARM, "boundary")))
    average, step_sd, step = (draws[name].transpose(*SAMPLE_DIMS, *dims).values for name, dims in names)
    walk = slope_over_time(average, step_sd, step, walk_basis(data.cuts))
    return draws.assign({SLOPE_BY_INTERVAL: ((*SAMPLE_DIMS, ARM, INTERVAL), walk)})


def slope_in_force(posterior: xr.Dataset) -> xr.DataArray | None:
    """The slopes that act, by arm, with a dim ``interval`` where they vary over time; None where there are
    none."""
    return posterior.get(SLOPE_BY_INTERVAL, posterior.get(SLOPE))


def varies_over_time(posterior: xr.Dataset) -> bool:
    """Whether the slope differs between intervals."""
    return INTERVAL in getattr(slope_in_force(posterior), "dims", ())


def slope_intervals(hazard: Hazard, data: AnyExposure) -> int:
    """In how many intervals the slope differs: 1 where it is the same in all."""
    return data.n_intervals if hazard.slopes == TIME_VARYING else 1


def sums_at_events(data: AnyExposure, slope_intervals: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Events, (stratum, interval); the sum of their scores, (arm, interval) or, with one slope for all
    intervals, (arm, 1); the sum of their covariates, (covariate,)."""
    scores = data.score_events[:, None] if slope_intervals == 1 else data.score_events_by_interval
    return data.events_by_stratum.reshape(-1, data.n_intervals), scores, data.covariate_events
