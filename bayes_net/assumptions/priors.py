"""Priors stated on what a clinician can judge, and the distributions that follow from them.

All priors of baseline hazards are on the **log** hazard. A flat prior on the hazard itself adds
about one pseudo-event to every interval, shared by the arms, and so drags hazard ratios.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from scipy import optimize, special
from scipy.special import logit

from bayes_net.data.terms import Measure, Response
from bayes_net.errors import InputError
from bayes_net.schema import POINTS_PER_UNIT

__all__ = [
    "Borrowing",
    "Fixed",
    "Flat",
    "HalfCauchy",
    "HalfNormal",
    "Normal",
    "Priors",
    "contrast_prior",
    "hazard_change_prior",
    "hazard_ratio_prior",
    "median_survival_prior",
    "per_ten_points_prior",
    "probability_prior",
    "slope_change_prior",
]

LOG_2 = float(np.log(2.0))
LOG_2_PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class Normal:
    """Normal distribution; ``statement`` says in words where it came from."""

    mean: float
    sd: float
    statement: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and np.isfinite(self.sd) and self.sd > 0):
            raise InputError(
                f"Normal prior has mean {self.mean}, sd {self.sd}; expected finite values and sd > 0"
            )

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        """Log density at ``x``, elementwise."""
        return -0.5 * (np.square((x - self.mean) / self.sd) + LOG_2_PI) - np.log(self.sd)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Independent draws of the given shape."""
        return rng.normal(self.mean, self.sd, shape)


@dataclass(frozen=True)
class MedianSurvival(Normal):
    """The normal distribution of a log hazard that a statement about median survival means.

    It is about patients with the average score and covariates, so that it says nothing on what these do, and
    where arms share their baseline about the average over arms, so that it does not matter which arm comes
    first. A log hazard that is given as such is, as an intercept of a regression, that of the first arm at a
    score and covariates of 0.
    """


@dataclass(frozen=True)
class PerTenPoints(Normal):
    """The normal distribution of a log hazard ratio that a statement per 10 points of shrinkage means.

    It is one statement about shrinkage in whatever way that enters: of a model of response the prior of the
    log hazard ratio follows from it (``response_prior``).
    """


@dataclass(frozen=True)
class HalfNormal:
    """Half-normal distribution on the positive numbers."""

    sd: float
    statement: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.sd) and self.sd > 0):
            raise InputError(f"HalfNormal prior has sd {self.sd}; expected a finite value > 0")

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        """Log density at ``x``, elementwise."""
        from scipy import stats

        return stats.halfnorm.logpdf(x, scale=self.sd)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Independent draws of the given shape."""
        return np.abs(rng.normal(0.0, self.sd, shape))


@dataclass(frozen=True)
class Flat:
    """Improper uniform prior: for comparison with maximum likelihood; implies nothing in advance."""

    statement: str = field(default="flat (improper)", compare=False)

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        """Log density at ``x``, elementwise, up to an unknown constant."""
        return np.zeros_like(x)


Prior = Normal | HalfNormal | Flat


def _log_interval(lower: float, upper: float, ci_prob: float, what: str) -> tuple[float, float]:
    if not (0 < lower < upper and np.isfinite(upper) and 0 < ci_prob < 1):
        raise InputError(
            f"{what}: interval {lower:g} to {upper:g} with probability {ci_prob:g} is not usable; "
            "expected 0 < lower < upper and 0 < probability < 1"
        )
    z = special.ndtri((1 + ci_prob) / 2)
    return float(np.log(lower * upper) / 2), float(np.log(upper / lower) / (2 * z))


def hazard_ratio_prior(lower: float, upper: float, *, ci_prob: float = 0.95) -> Normal:
    """Normal prior of a log hazard ratio with ``ci_prob`` of hazard ratios between the limits."""
    mean, sd = _log_interval(lower, upper, ci_prob, "hazard ratio")
    return Normal(mean, sd, f"{100 * ci_prob:g} % of hazard ratios between {lower:g} and {upper:g}")


def contrast_prior(prior: Prior, units: float, *, over: str) -> Prior:
    """The prior of a log hazard ratio over so many ``units`` of score that ``prior`` of one unit means.

    In a model that is linear in the score, patients whose scores are ``units`` apart have a log hazard ratio
    of ``units`` times the slope, whose mean and SD are so many times the slope's. ``over`` says in words what
    is so far apart. With 1 / ``units`` it is the way back.
    """
    if not isinstance(prior, Normal):
        return prior
    return Normal(prior.mean * units, prior.sd * units, f"{prior.statement} {over}")


def per_ten_points_prior(lower: float, upper: float, *, ci_prob: float = 0.95) -> PerTenPoints:
    """Normal prior of the slope with ``ci_prob`` of hazard ratios per 10 points of shrinkage between the
    limits; of a ``Response`` the prior follows from it. A prior by ``hazard_ratio_prior`` is of the score as
    it is, be it of 10 points or of response."""
    own = hazard_ratio_prior(lower, upper, ci_prob=ci_prob)
    return PerTenPoints(own.mean, own.sd, own.statement)


ASSUMED_APART = 35.0
"""Points by which responders have shrunk more than others, where scans have no sizes to tell it from."""


def between_responses(apart: float | None) -> tuple[float, str]:
    """The points that lie between responders and others, assumed where they are not known, and in words."""
    points = ASSUMED_APART if apart is None else apart
    return points, f"{points:g} points{' (assumed)' if apart is None else ''} between responders and others"


def response_prior(prior: Prior, apart: float | None) -> Prior:
    """The prior of the log hazard ratio of response that ``prior`` of the slope per 10 points means, where
    responders have shrunk by ``apart`` points more than others (None: not known)."""
    points, between = between_responses(apart)
    over = f"per {POINTS_PER_UNIT:g} points, times {between}"
    return contrast_prior(prior, points / POINTS_PER_UNIT, over=over)


def median_survival_prior(lower: float, upper: float, *, ci_prob: float = 0.95) -> MedianSurvival:
    """Normal prior of the log hazard per month, from an interval of median survival in months.

    A constant hazard lambda has median log(2)/lambda.
    """
    mean, sd = _log_interval(lower, upper, ci_prob, "median survival")
    statement = f"{100 * ci_prob:g} % of median survivals between {lower:g} and {upper:g} months"
    return MedianSurvival(float(np.log(LOG_2)) - mean, sd, statement)


@lru_cache  # a numerical integration, a fifth of a second long
def hazard_change_prior(factor: float, *, ci_prob: float = 0.95) -> HalfNormal:
    """Half-normal prior of the random walk's standard deviation over a year.

    With ``ci_prob`` the hazards at two moments a year apart differ by less than ``factor``-fold. The
    change is the product of a half-normal and a normal, whose quantile scales the prior.
    """
    if not (factor > 1 and np.isfinite(factor) and 0 < ci_prob < 1):
        raise InputError(
            f"hazard change: factor {factor:g} with probability {ci_prob:g} is not usable; "
            "expected a finite factor > 1 and 0 < probability < 1"
        )

    def excess(q: float) -> float:
        # the product of two standard normals has density K0(|x|) / pi
        return 2 / np.pi * special.iti0k0(q)[1] - ci_prob

    scale = np.log(factor) / optimize.brentq(excess, 0.0, 50.0)
    return HalfNormal(float(scale), f"{100 * ci_prob:g} % of hazards a year apart within a factor {factor:g}")


def slope_change_prior(factor: float, *, ci_prob: float = 0.95) -> HalfNormal:
    """Half-normal prior of the standard deviation of a slope's change over a year.

    With ``ci_prob`` the hazard ratios per unit of score at two moments a year apart differ by less than
    ``factor``-fold, as hazards do under ``hazard_change_prior``.
    """
    statement = f"{100 * ci_prob:g} % of hazard ratios a year apart within a factor {factor:g}"
    return replace(hazard_change_prior(factor, ci_prob=ci_prob), statement=statement)


def shared_out(prior: Prior, intervals: int) -> Prior:
    """The prior of each interval's log hazard, of one that is stated of all intervals together."""
    if not isinstance(prior, Normal) or intervals == 1:
        return prior
    each = f"{prior.statement}; SD × √{intervals} in each interval"
    return replace(prior, sd=prior.sd * intervals**0.5, statement=each)


@dataclass(frozen=True)
class Priors:
    """The priors of a hazard model; every default is a statement about observable quantities.

    ``level`` is of the (time-averaged) log hazard per month at the reference (where arms share it, see
    ``MedianSurvival``), ``step_sd`` of the random walk's standard deviation over 12 months, ``slope`` of the
    log hazard ratio per unit of score (one that is stated per 10 points, as by default, means another of
    response: ``of_measure``), ``arm_effect`` of the arm's log hazard ratio, ``covariate`` of each
    covariate's. Of slopes that vary over time ``slope`` is the average over time, and ``slope_step_sd`` of
    the standard deviation of its random walk over 12 months.
    """

    level: Prior = field(default_factory=lambda: median_survival_prior(2.0, 80.0))
    step_sd: HalfNormal = field(default_factory=lambda: hazard_change_prior(4.0))
    slope: Prior = field(default_factory=lambda: per_ten_points_prior(0.5, 2.0))
    arm_effect: Prior = field(default_factory=lambda: hazard_ratio_prior(0.1, 10.0))
    covariate: Prior = field(default_factory=lambda: hazard_ratio_prior(0.25, 4.0))
    slope_step_sd: HalfNormal = field(default_factory=lambda: slope_change_prior(2.0))

    def __post_init__(self) -> None:
        for name in ("step_sd", "slope_step_sd"):
            if not isinstance(prior := getattr(self, name), HalfNormal):
                raise InputError(f"{name} has prior {prior}; expected a HalfNormal, for it is positive")

    def of_measure(self, measure: Measure) -> Priors:
        """What they are of a model in which shrinkage enters so."""
        if isinstance(measure, Response) and isinstance(self.slope, PerTenPoints):
            return replace(self, slope=response_prior(self.slope, measure.apart))
        return self


GAUSSIAN_PROCESS, INDEPENDENT, EXCHANGEABLE = "gaussian process", "independent", "exchangeable"
TRACKING = "tracking"
ROBUST, COMMENSURATE, FULL, NONE = "robust mixture", "commensurate", "full", "none"
BORROWING = (EXCHANGEABLE, ROBUST, COMMENSURATE, FULL, NONE)
VAGUE_SD = 2.0
"""SD of a log hazard ratio, or logit, between studies that have nothing to do with each other."""


@dataclass(frozen=True)
class HalfCauchy:
    """Half-Cauchy distribution on the positive numbers, for meta-analyses that specify one."""

    scale: float
    statement: str = field(default="", compare=False)

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        """Log density at ``x``, elementwise."""
        from scipy import stats

        return stats.halfcauchy.logpdf(x, scale=self.scale)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Independent draws of the given shape."""
        return np.abs(self.scale * rng.standard_cauchy(shape))


@dataclass(frozen=True)
class Fixed:
    """A heterogeneity that is known: 0 pools fully, a large one does not pool at all."""

    value: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.value) and self.value >= 0):
            raise InputError(f"a fixed heterogeneity of {self.value} is not usable; expected a number >= 0")


Heterogeneity = HalfNormal | HalfCauchy | Fixed


@dataclass(frozen=True)
class Borrowing:
    """How a study's parameter leans on the reference study's (Schmidli et al. 2014, doi:10.1111/biom.12242).

    ``exchangeable``: differences are normal with a half-normal heterogeneity of scale ``sd``;
    ``robust mixture``: N(0, sd) with probability ``weight``, else N(0, ``vague_sd``);
    ``commensurate``: the same with a spike of SD ``sd`` (weight 1 leaves the spike alone);
    ``full``: no difference; ``none``: N(0, vague_sd).
    """

    kind: str = EXCHANGEABLE
    sd: float = 0.5
    weight: float = 0.5
    vague_sd: float = VAGUE_SD

    def __post_init__(self) -> None:
        if self.kind not in BORROWING:
            raise InputError(f"borrowing {self.kind!r} is unknown; expected one of {', '.join(BORROWING)}")
        if not (self.sd > 0 and self.vague_sd > 0 and 0 <= self.weight <= 1):
            raise InputError(f"{self} is not usable; expected positive SDs and a weight from 0 to 1")
        if self.mixes and self.vague_sd < self.sd:
            raise InputError(f"{self} is not usable; expected vague_sd above sd")

    @property
    def mixes(self) -> bool:
        """Whether the difference has a prior of two components."""
        return self.kind in (ROBUST, COMMENSURATE) and self.weight < 1

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        """Log density of a difference at ``x``, elementwise; of exchangeable ones, given an SD of ``sd``."""
        if not self.mixes:
            return Normal(0.0, self.narrow_sd).logpdf(x)
        weights = special.xlogy(1.0, [self.weight, 1.0 - self.weight])  # -inf without a warning
        parts = zip(weights, (self.sd, self.vague_sd), strict=True)
        return np.logaddexp(*(w + Normal(0.0, sd).logpdf(x) for w, sd in parts))

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Independent draws of the given shape."""
        narrow = (rng.random(shape) < self.weight) | (not self.mixes)
        return rng.normal(size=shape) * np.where(narrow, self.narrow_sd, self.vague_sd)

    @property
    def narrow_sd(self) -> float:
        """SD of the informative component; of the whole prior where there is one component only."""
        return {FULL: 0.0, NONE: self.vague_sd}.get(self.kind, self.sd)


def probability_prior(lower: float, upper: float, *, ci_prob: float = 0.95) -> Normal:
    """Normal prior of a logit with ``ci_prob`` of probabilities between the limits."""
    if not 0 < lower < upper < 1:
        raise InputError(f"probabilities {lower:g} to {upper:g}: expected 0 < lower < upper < 1")
    low, high = logit([lower, upper])
    sd = (high - low) / (2 * special.ndtri((1 + ci_prob) / 2))
    statement = f"{100 * ci_prob:g} % of probabilities between {lower:g} and {upper:g}"
    return Normal(float(low + high) / 2, float(sd), statement)


def correlation_prior(lower: float, upper: float, *, ci_prob: float = 0.95) -> Normal:
    """Normal prior of the inverse hyperbolic tangent with ``ci_prob`` of correlations between the limits."""
    if not -1 < lower < upper < 1:
        raise InputError(f"correlations {lower:g} to {upper:g}: expected -1 < lower < upper < 1")
    low, high = np.arctanh([lower, upper])
    sd = (high - low) / (2 * special.ndtri((1 + ci_prob) / 2))
    statement = f"{100 * ci_prob:g} % of correlations between {lower:g} and {upper:g}"
    return Normal(float(low + high) / 2, float(sd), statement)
