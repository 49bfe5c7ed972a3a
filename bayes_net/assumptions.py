"""What a synthesis of patients and published numbers assumes, stated on observable quantities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy import stats
from scipy.special import logit

from bayes_net.errors import InputError
from bayes_net.landmarks import Landmark
from bayes_net.priors import (
    HalfNormal,
    Normal,
    hazard_change_prior,
    hazard_ratio_prior,
    median_survival_prior,
)

GAUSSIAN_PROCESS, INDEPENDENT, EXCHANGEABLE = "gaussian process", "independent", "exchangeable"
SLOPE_STRUCTURES = (GAUSSIAN_PROCESS, INDEPENDENT, EXCHANGEABLE)
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

    @property
    def narrow_sd(self) -> float:
        """SD of the informative component; of the whole prior where there is one component only."""
        return {FULL: 0.0, NONE: self.vague_sd}.get(self.kind, self.sd)


@dataclass(frozen=True)
class SlopePrior:
    """Slopes of shrinkage (log hazard ratio per 10 points) over landmark time, in each arm.

    ``gaussian process``: covariance sd^2 [level + (1 - level) exp(-(log t - log t')^2 / (2 length^2))];
    ``independent`` over landmarks; ``exchangeable``: N(mean, heterogeneity) with a mean N(0, sd).
    ``no limit`` has a slope of its own unless ``no_limit_months`` gives it a place among the landmarks.
    """

    prior: Normal = field(default_factory=lambda: hazard_ratio_prior(0.375, 1 / 0.375))
    structure: str = GAUSSIAN_PROCESS
    length: float = 1.0
    level: float = 0.5
    heterogeneity: HalfNormal = HalfNormal(0.25)
    between_studies: Heterogeneity = HalfNormal(0.25)
    no_limit_months: float | None = None

    def __post_init__(self) -> None:
        if self.structure not in SLOPE_STRUCTURES:
            raise InputError(
                f"slopes {self.structure!r} are unknown; expected one of {', '.join(SLOPE_STRUCTURES)}"
            )
        if not (self.length > 0 and 0 <= self.level <= 1):
            raise InputError(f"length {self.length} and level {self.level}: expected > 0, and from 0 to 1")

    def covariance(self, landmarks: tuple[Landmark, ...]) -> np.ndarray:
        """Prior covariance of the slopes at ``landmarks`` given the mean, (landmark, landmark)."""
        months = np.array([self._place(landmark) for landmark in landmarks])
        if self.structure != GAUSSIAN_PROCESS:
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


def probability_prior(lower: float, upper: float, *, prob: float = 0.95) -> Normal:
    """Normal prior of a logit with ``prob`` of probabilities between the limits."""
    if not 0 < lower < upper < 1:
        raise InputError(f"probabilities {lower:g} to {upper:g}: expected 0 < lower < upper < 1")
    low, high = logit([lower, upper])
    sd = (high - low) / (2 * stats.norm.ppf((1 + prob) / 2))
    statement = f"{100 * prob:g} % of probabilities between {lower:g} and {upper:g}"
    return Normal(float(low + high) / 2, float(sd), statement)


@dataclass(frozen=True)
class Assumptions:
    """The priors of a synthesis. ``arms``: the reference arm first; ``reference``: the study to whose
    baseline those of single-arm studies are tied; every study in ``own_baseline`` has one of its own.

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
    level: Normal = field(default_factory=lambda: median_survival_prior(2.0, 80.0))
    step_sd: HalfNormal = field(default_factory=lambda: hazard_change_prior(4.0))
    arm_effect: Normal = field(default_factory=lambda: hazard_ratio_prior(0.05, 20.0))
    arm_heterogeneity: Heterogeneity = HalfNormal(0.5)
    study_level: Borrowing = Borrowing(ROBUST, sd=0.4)
    response: Borrowing = Borrowing(EXCHANGEABLE, sd=1.0)
    response_probability: Normal = field(default_factory=lambda: probability_prior(0.02, 0.75))
    completion: Normal = field(default_factory=lambda: hazard_ratio_prior(1 / 150, 150.0))
    shrinkage_location: Normal = Normal(-1.2, 1.0, "95 % of median best shrinkages between -15 and 63 points")
    shrinkage_log_spread: Normal = Normal(float(np.log(0.8)), 0.5, "SD of its logit between 0.3 and 2.1")
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
