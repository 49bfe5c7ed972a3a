"""What a synthesis of patients and published numbers assumes, stated on observable quantities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from bayes_net.assumptions import priors
from bayes_net.assumptions.priors import (
    EXCHANGEABLE,
    INDEPENDENT,
    Borrowing,
    HalfNormal,
    Heterogeneity,
    Normal,
)
from bayes_net.data.landmarks import Landmark
from bayes_net.errors import InputError, listed

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
        """How much of the mean each slope has, (arm, landmark): 1 unless they are ``tracking``."""
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
