"""The margins that a synthetic cohort reproduces, and the laws that its patients are drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from bayes_net import schema

DETECTION = ("next scan", "exact")
PATHS = ("gradual", "at first scan")
WEEK = 7 / schema.DAYS_PER_MONTH
SMALLEST, LARGEST = -schema.PROGRESSION_PCHG, 100.0
"""Best shrinkage lies between these: less would be progression, more cannot be."""
PROGRESSED_SIZE, LARGEST_CLEAR = 1.2, 1.2 - 1e-5
"""Size over nadir that RECIST 1.1 calls progression, and what stays below it when rounded to a nanometre."""


@dataclass(frozen=True)
class SimulationPlan:
    """The margins that a synthetic cohort reproduces; pairs are (control, 177Lu-DOTATATE).

    With ``progression_seen="exact"`` and ``path="at first scan"`` the PFS hazard is
    h0_arm(t) · exp(pfs_slope · s / 10) for the very s that every later landmark sees, so ``pfs_slope``
    is the truth of the landmark model; ``os_slope`` is so too if ``independent_deaths`` is 1.
    Defaults without a source are assumptions, and are called so.
    """

    arms: tuple[str, str] = ("control", "177Lu-DOTATATE")
    """The reference arm first."""
    patients: tuple[int, int] = (114, 117)
    """Randomised (Pavel 2025, 3.1)."""
    evaluable: tuple[float, float] = (86 / 114, 102 / 117)
    """Share with a post-baseline scan and a best response other than progression (Pavel 2025, figure 1)."""
    shrunk: tuple[float, float] = (34 / 86, 78 / 102)
    """Share of the evaluable with any shrinkage as best change (Pavel 2025, 3.2)."""
    shrunk_30: tuple[float, float] = (7 / 86, 18 / 102)
    """Share of the evaluable with shrinkage of at least 30 points (Pavel 2025, 3.2)."""
    first_scan_median: tuple[float, float] = (-2.9, 0.0)
    """Median shrinkage at week 12, in points, of those without progression by then (Pavel 2025, 3.2)."""
    months_to_depth: tuple[float, float] = (12.0, 12.0)
    """When 95 % of the depth is reached: best response may take up to a year (Pavel 2025, 4)."""
    scan_noise: float = 3.0
    """SD of one reading in points of the baseline sum (assumption; ``at first scan`` reads without noise).
    Above about 6 the best of several readings alone would give more shrinkage than the control arm showed."""
    baseline_mm: tuple[float, float] = (80.0, 0.5)
    """Median and log-SD of the lognormal baseline sum of diameters (assumption)."""
    visit_weeks: tuple[int, ...] = (12, 24, 36, 48, 60, 72)
    """Scans until week 72 (Pavel 2025, 2.3)."""
    later_visit_weeks: int = 26
    """Interval of the scans after that: six months (Pavel 2025, 2.3)."""
    pfs_survival: tuple[tuple[float, float], tuple[float, float]] = ((8.5, 0.5), (20.0, 0.108))
    """Two points (months, survival) of the control arm's recorded PFS curve (Strosberg 2017)."""
    pfs_hazard_ratio: float = 0.21
    """177Lu-DOTATATE v control: 0.21 (Strosberg 2017); Pavel 2025 prints 0.18."""
    os_medians: tuple[float, float] = (36.3, 48.0)
    """Median overall survival in months (Strosberg 2021)."""
    os_hazard_ratio: float = 0.84
    """177Lu-DOTATATE v control (Strosberg 2021)."""
    pfs_slope: tuple[float, float] = (10 * (math.log(0.967) + 0.022), 0.0)
    """Log PFS hazard per 10 points of depth: control "no limit" 0.967 per point less its guarantee-time bias
    (about -0.022 by simulation); 177Lu about 1.0 at every landmark (Pavel 2025, 3.3)."""
    os_slope: tuple[float, float] = (0.0, 0.0)
    """Log OS hazard per 10 points of depth: nothing numeric is published (assumption)."""
    independent_deaths: float = 0.3
    """Share of patients whose death ignores progression; in the others who progresses early dies early
    (assumption)."""
    at_risk_week_72: tuple[float, float] = (19 / 114, 52 / 117)
    """Share still at risk at week 72 (Pavel 2025, 3.2): what PFS does not explain is discontinuation."""
    follow_up: tuple[float, float] = (60.1, 100.4)
    """Months from the last and the first enrolment to the cut-off: 14 Jan 2016, 6 Sep 2012 and 18 Jan 2021
    (Pavel 2025, 2.1)."""
    new_lesions: float = 0.5
    """Share of progressions seen as a new lesion; the others are growth of 20 % over nadir (assumption)."""
    progression_seen: str = "next scan"
    """``"next scan"`` (recorded at the first scan at or after it happens; death exactly) or ``"exact"``."""
    path: str = "gradual"
    """``"gradual"`` (towards the depth over months) or ``"at first scan"`` (depth at once, never more)."""


@dataclass(frozen=True)
class ArmLaw:
    """What one arm is drawn from: depth = -20 + 120 · expit(location + scale · z) points, z ~ Normal(0, 1).

    Hazards are per month at depth 0, in the intervals that begin at ``starts``.
    """

    location: float
    scale: float
    early_growth: float
    """Points by which growth under way at randomisation holds early scans back, at its largest; if negative,
    early scans are better than the later ones."""
    starts: tuple[float, ...]
    pfs_hazard: tuple[float, ...]
    os_hazard: tuple[float, ...]
    discontinuation: float = 0.0
    """Hazard per month of leaving for a reason other than progression or death."""
    unscanned: float = 0.0
    """Share that leaves before the first scan."""

    def depth(self, z: np.ndarray) -> np.ndarray:
        """The shrinkage in points, at its greatest, of patients at standard-normal quantiles ``z``."""
        return SMALLEST + (LARGEST - SMALLEST) * expit(self.location + self.scale * z)


def visits(plan: SimulationPlan) -> np.ndarray:
    """The months of the scheduled scans, to beyond the longest follow-up."""
    step = plan.later_visit_weeks
    later = np.arange(plan.visit_weeks[-1] + step, plan.follow_up[1] / WEEK + step, step)
    return np.array([*plan.visit_weeks, *later]) * 7 / schema.DAYS_PER_MONTH


def hazards(plan: SimulationPlan, arm: int, law: ArmLaw, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hazards of PFS and of death, by depth and interval.

    Death ends PFS too, so its hazard cannot be the larger: it is capped, and the PFS hazard stays exact.
    """
    pfs = np.outer(np.exp(plan.pfs_slope[arm] * depth / 10), law.pfs_hazard)
    return pfs, np.minimum(uncapped_deaths(plan, arm, law, depth), pfs)


def uncapped_deaths(plan: SimulationPlan, arm: int, law: ArmLaw, depth: np.ndarray) -> np.ndarray:
    """The hazard of death that ``os_slope`` asks for, by depth and interval."""
    return np.outer(np.exp(plan.os_slope[arm] * depth / 10), law.os_hazard)


def months_spent(starts: npt.ArrayLike, times: np.ndarray) -> np.ndarray:
    """Months spent by ``times`` in each interval that begins at ``starts``."""
    return np.clip(np.asarray(times)[:, None] - np.asarray(starts), 0, np.diff(starts, append=np.inf))


def reading_sd(plan: SimulationPlan) -> float:
    """The noise of one reading, in points."""
    return plan.scan_noise if plan.path == "gradual" else 0.0


def mean_readings(plan: SimulationPlan, arm: int, law: ArmLaw, depth: np.ndarray) -> np.ndarray:
    """Shrinkage in points without noise, by patient and visit."""
    if plan.path == "at first scan":
        return np.repeat(depth[:, None], len(visits(plan)), axis=1)
    reached = 1 - 0.05 ** (visits(plan) / plan.months_to_depth[arm])
    return np.outer(depth, reached) - law.early_growth * 4 * reached * (1 - reached)
