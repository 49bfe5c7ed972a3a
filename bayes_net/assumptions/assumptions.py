"""What a synthesis of patients and published numbers assumes, stated on observable quantities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayes_net import schema
from bayes_net.assumptions import priors
from bayes_net.assumptions.priors import (
    EXCHANGEABLE,
    INDEPENDENT,
    Borrowing,
    HalfNormal,
    Heterogeneity,
    Normal,
)
from bayes_net.data.aggregated import AnyExposure
from bayes_net.data.landmarks import Landmark
from bayes_net.errors import InputError, listed
from bayes_net.schema import ARM, INTERVAL, SAMPLE_DIMS, SLOPE, SLOPE_BY_INTERVAL, SLOPE_STEP, SLOPE_STEP_SD
from bayes_net.statistics.base import Array

SLOPE_STRUCTURES = (priors.GAUSSIAN_PROCESS, INDEPENDENT, EXCHANGEABLE, priors.TRACKING)


@dataclass(frozen=True)
class SlopePrior:
    """Slopes of shrinkage (log hazard ratio per 10 points) over landmark time, in each arm.

    ``gaussian process``: covariance sd^2 [level + (1 - level) exp(-(log t - log t')^2 / (2 length^2))];
    ``independent`` over landmarks; ``exchangeable``: N(mean, heterogeneity) with a mean N(0, sd);
    ``tracking``: N(A mean, heterogeneity), where the mean is the slope on final shrinkage and A, by arm and
    label of the landmark in ``carried``, how much of it shrinkage by then carries.
    ``no limit`` has a slope of its own unless ``no_limit_months`` gives it a place among the landmarks.
    """

    prior: Normal = field(default_factory=lambda: priors.hazard_ratio_prior(0.375, 1 / 0.375))
    structure: str = priors.GAUSSIAN_PROCESS
    length: float = 1.0
    level: float = 0.5
    heterogeneity: HalfNormal = HalfNormal(0.25)
    between_studies: Heterogeneity = HalfNormal(0.25)
    no_limit_months: float | None = None
    carried: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.structure not in SLOPE_STRUCTURES:
            raise InputError(
                f"slopes {self.structure!r} are unknown; expected one of {', '.join(SLOPE_STRUCTURES)}"
            )
        if not (self.length > 0 and 0 <= self.level <= 1):
            raise InputError(f"length {self.length} and level {self.level}: expected > 0, and from 0 to 1")

    @property
    def has_mean(self) -> bool:
        """Whether slopes of one arm have a mean, and a standard deviation around it, that are free."""
        return self.structure in (EXCHANGEABLE, priors.TRACKING)

    def shares(self, arms: Sequence[str], landmarks: Sequence[Landmark]) -> np.ndarray:
        """How much of the mean each slope has, (arm, landmark): 1 unless they are ``tracking``.

        Raises
        ------
        InputError
            ``carried`` has not every arm and landmark.
        """
        if self.structure != priors.TRACKING:
            return np.ones((len(arms), len(landmarks)))
        places = [(arm, mark.label) for arm in arms for mark in landmarks]
        if missing := [place for place in places if place[1] not in self.carried.get(place[0], {})]:
            raise InputError(
                f"tracking slopes need how much of the slope on final shrinkage each landmark carries; it is "
                f"missing for {listed(f'{arm}, {label}' for arm, label in missing)}: expected evidence whose "
                "rows name a file of virtual trials with these arms and landmarks, or another structure"
            )
        return np.reshape([self.carried[arm][label] for arm, label in places], (len(arms), -1))

    def covariance(self, landmarks: tuple[Landmark, ...]) -> np.ndarray:
        """Prior covariance of the slopes at ``landmarks`` given the mean, (landmark, landmark)."""
        months = np.array([self._place(landmark) for landmark in landmarks])
        if self.structure != priors.GAUSSIAN_PROCESS:
            return self.prior.sd**2 * np.eye(len(months))
        distance = np.log(months)[:, None] - np.log(months)
        kernel = self.level + (1 - self.level) * np.exp(-0.5 * (distance / self.length) ** 2)
        alone = np.isnan(months)
        kernel[alone, :] = kernel[:, alone] = 0.0
        return self.prior.sd**2 * (kernel + np.diag(alone.astype(float)))

    def _place(self, landmark: Landmark) -> float:
        if not landmark.biased:
            return landmark.months
        return np.nan if self.no_limit_months is None else self.no_limit_months


@dataclass(frozen=True)
class Assumptions:
    """The priors of a synthesis. ``arms``: the reference arm first; ``reference``: the study to whose
    baseline those of single-arm studies are tied; every study in ``own_baseline`` has one of its own.
    ``feedback``: the curves of single-arm studies inform that baseline and the comparison of the arms, and
    not only their own level (``study_level``).

    Of best shrinkage, ``shrinkage_level`` is the share of the prior variance of an arm's location and log
    spread that all times have in common, ``shrinkage_length`` the length of the rest in log time, and
    ``cutoff_months`` where best shrinkage by the cut-off stands in time.

    ``bias`` are mean and SD, per point of shrinkage, of the guarantee-time bias of "no limit" by arm,
    multiplied by ``bias_scale``.
    """

    arms: tuple[str, ...]
    reference: str
    cuts: tuple[float, ...]
    landmarks: tuple[Landmark, ...] = ()
    own_baseline: tuple[str, ...] = ()
    smoothing: str = "rw1"
    slopes: SlopePrior = SlopePrior()
    level: Normal = field(default_factory=lambda: priors.median_survival_prior(2.0, 80.0))
    step_sd: HalfNormal = field(default_factory=lambda: priors.hazard_change_prior(4.0))
    arm_effect: Normal = field(default_factory=lambda: priors.hazard_ratio_prior(0.05, 20.0))
    arm_heterogeneity: Heterogeneity = HalfNormal(0.5)
    study_level: Borrowing = Borrowing(priors.ROBUST, sd=0.4)
    feedback: bool = False
    response: Borrowing = Borrowing(EXCHANGEABLE, sd=1.0)
    response_probability: Normal = field(default_factory=lambda: priors.probability_prior(0.02, 0.75))
    early_late: Normal = field(default_factory=lambda: priors.correlation_prior(-0.4, 0.97))
    shrinkage_location: Normal = Normal(-1.2, 1.0, "95 % of median best shrinkages between -15 and 63 points")
    shrinkage_log_spread: Normal = Normal(float(np.log(0.8)), 0.5, "SD of its logit between 0.3 and 2.1")
    shrinkage_level: float = 0.75
    shrinkage_length: float = 1.0
    shrinkage_between: HalfNormal = HalfNormal(0.5)
    selection: Normal = Normal(0, 0.3, "95 % of correlations of shrinkage with staying at risk within 0.53")
    progression: Normal = field(default_factory=lambda: priors.probability_prior(0.01, 0.5))
    cutoff_months: float = 24.0
    bias: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    bias_scale: float = 1.0

    def __post_init__(self) -> None:
        if len(set(self.arms)) < len(self.arms) or not self.arms:
            raise InputError(f"arms {self.arms} are not usable; expected different arms, the reference first")
        if len(self.arms) > 2:
            raise InputError(
                f"arms {', '.join(self.arms)} are not usable; expected one or two, which one hazard ratio "
                "compares"
            )
        if not all(a < b for a, b in pairwise((0.0, *self.cuts))):
            raise InputError(f"cuts {self.cuts} are not usable; expected increasing months above 0")
        if self.smoothing not in ("rw1", "independent"):
            raise InputError(f"smoothing {self.smoothing!r} is unknown; expected rw1 or independent")
        unknown = [arm for arm in self.bias if arm not in self.arms]
        if unknown:
            raise InputError(f"bias is given for {unknown}; expected arms among {', '.join(self.arms)}")


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
    stratum, boundary = () if hazard.baseline == SHARED else (ARM,), "boundary"
    free: dict[str, FreeVariable] = {}

    def add(name: str, key: str, dims: tuple[str, ...], in_words: str, **more: Any) -> None:
        free[name] = FreeVariable(getattr(hazard.priors, key), dims, key, in_words, **more)

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


class Centre(NamedTuple):
    """Whose the baseline is that has the prior: ``score``, ``covariates`` (covariate,), and ``contrasts``,
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
        return Centre(0.0, np.zeros(len(data.covariate_names)), against_first)
    return Centre(data.mean_score, data.mean_covariates, against_first - against_first.mean(axis=0))


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
    one standardised step of 1, ([arm,] boundary).

    The average over events gives the prior's precision of the level a share, in which the walk is 0. It is
    what the model samples: late intervals may have no events, and the average over time is then a guess that
    a wide walk moves far, while the average over events stays where it is.
    """
    events = data.events if hazard.baseline == PER_ARM else data.events.sum(axis=0)
    prior = hazard.priors.level
    known = events.sum(axis=-1, keepdims=True) + (prior.sd**-2.0 if isinstance(prior, Normal) else 0.0)
    return events / np.maximum(known, 1.0e-9) @ walk_basis(data.cuts)


def step_information(data: AnyExposure, hazard: Hazard) -> np.ndarray:
    """About how much the events say about each step of the walk, ([arm,] boundary), for a unit step SD.

    The log hazard of an interval with d events is known to a variance of about 1/d. Given the walk's
    SD s, a standard normal step then has a posterior SD of about 1/sqrt(1 + s^2 I): sampling the step
    on that scale keeps the geometry even from few events (non-centred) to many (centred).
    """
    events = data.events if hazard.baseline == PER_ARM else data.events.sum(axis=0)
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
    """Events, (arm, interval); the sum of their scores, (arm, interval) or, with one slope for all intervals,
    (arm, 1); the sum of their covariates, (covariate,)."""
    scores = data.score_events[:, None] if slope_intervals == 1 else data.score_events_by_interval
    return data.events, scores, data.covariate_events
