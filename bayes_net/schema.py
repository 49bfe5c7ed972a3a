"""The names of every dimension and variable, and the one unit of time.

Time is in months everywhere inside the package (1 month = 30.4375 days, so 12 months are
365.25 days). Readers and specifications take durations with their unit and convert at the border.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bayes_net.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

CHAIN, DRAW = "chain", "draw"
SAMPLE_DIMS = (CHAIN, DRAW)
PATIENT, STUDY, ARM, ENDPOINT = "patient", "study", "arm", "endpoint"
LANDMARK, INTERVAL, COVARIATE, TIME = "landmark", "interval", "covariate", "time"
PROFILE = "profile"
CURVE, BASELINE, BORROWER = "curve", "baseline", "borrower"
EFFECT, POOLED_ENDPOINT, BIASED_SLOPE = "effect", "pooled_endpoint", "biased_slope"
RESPONSE_GROUP, POOLED_GROUP, SEPARATE_GROUP = "response_group", "pooled_group", "separate_group"
SHRINKAGE_GROUP, STRATUM = "shrinkage_group", "stratum"
LANDMARK_INTERVAL, LANDMARK_BOUNDARY, INFLATED = "landmark_interval", "landmark_boundary", "inflated"
BOUNDARY, ROW = "boundary", "row"
FIELDS = {
    CURVE: (ENDPOINT, STUDY, ARM),
    BASELINE: (ENDPOINT, STUDY),
    BORROWER: (ENDPOINT, STUDY),
    EFFECT: (ENDPOINT, STUDY),
    BIASED_SLOPE: (ENDPOINT, ARM),
    RESPONSE_GROUP: (STUDY, ARM),
    POOLED_GROUP: (STUDY, ARM),
    SEPARATE_GROUP: (STUDY, ARM),
    SHRINKAGE_GROUP: (STUDY, ARM),
    STRATUM: (ENDPOINT, STUDY, ARM),
}
"""What a place along these dims is of; each field is a coordinate, such as ``curve_endpoint``."""
IMPUTATION = "imputation"
"""Coordinate along ``chain`` of pooled fits: which completed data set a chain is of."""
PFS: Final = "pfs"
OS: Final = "os"
ENDPOINTS = (PFS, OS)
ENDPOINT_LABELS = {PFS: "PFS", OS: "OS"}
AT_RISK: Final = "pfs risk set"
ALIVE: Final = "alive"
POPULATIONS = (AT_RISK, ALIVE)
LOG_HAZARD = "log_hazard"
SLOPE = "slope"
SLOPE_STEP, SLOPE_STEP_SD, SLOPE_BY_INTERVAL = "slope_step", "slope_step_sd", "slope_by_interval"
"""Of slopes that vary over time: steps of their random walk, its scale, and the slope of each interval."""
ARM_EFFECT = "log_hr_arm"
COVARIATE_EFFECT = "log_hr_covariate"
LEVEL, LEVEL_AT_EVENTS = "level", "level_at_events"
STEP_SD = "step_sd"
NO_LIMIT = "no limit"
OBSERVED = f"{NO_LIMIT}, as observed"
"""Of a synthesis: "no limit" with its guarantee-time bias, which is what a publication prints."""
BIAS_TAKEN_OFF = "bias taken off"
"""Status of a synthesis's "no limit" from which an assumed guarantee-time bias was subtracted."""
NO_LIMIT_WARNING = (
    "conditions on the future (guarantee-time, or immortal-time, bias): patients who stay "
    "progression-free longer have more scans from which to take the best"
)
NEW_STUDY = "new study"
"""A study that is not in the evidence: what is predicted of one like those that are."""
AS_SPECIFIED = "as specified"
"""Name of the scenario that changes nothing."""
ERROR, FAILED, PASSED = "error", "failed", "passed"
"""What a gate, or a scenario, ended in."""
DAYS_PER_MONTH = 30.4375
POINTS_PER_UNIT = 10.0
"""A slope is the log hazard ratio per this many percentage points of shrinkage."""
PROGRESSION_PCHG = 20.0
"""Percentage change from baseline at or above which a scan counts as progression (RECIST 1.1)."""
_DAYS = {"d": 1.0, "w": 7.0, "mo": DAYS_PER_MONTH, "y": 12 * DAYS_PER_MONTH}
TIME_UNITS = {"days": "d", "weeks": "w", "months": "mo", "years": "y"}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(d|w|mo|y)\s*")
NUTS, LAPLACE = "nuts", "laplace"
"""How posterior draws are found: by Markov chains, or from an approximation where that is good enough."""
PARETO_K, IMPORTANCE_ESS = "pareto_k", "importance_ess"
"""Statistics of an approximation's weights, among those of a sampler, one value a chain."""
MIN_ESS, MAX_PARETO_K = 400, 0.5
"""Effective sample size that reported draws need, and Pareto's k of importance weights below which an
approximation may stand for a posterior."""
EQUIVALENCE = (0.9, 1.11)
"""Hazard ratios between these are practically 1: per 10 points, an association too small to matter."""


@dataclass(frozen=True)
class Duration:
    """A length of time with the unit it was given in; ``months`` is what calculations use."""

    value: float
    unit: str

    @property
    def days(self) -> float:
        """The length in days."""
        return self.value * _DAYS[self.unit]

    @property
    def months(self) -> float:
        """The length in months of 30.4375 days."""
        return self.days / DAYS_PER_MONTH

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}"


def duration(text: str | Duration) -> Duration:
    """The duration written as a number and a unit: ``"150d"``, ``"36w"``, ``"8.5mo"``, ``"2y"``.

    Raises
    ------
    InputError
        The unit is missing or unknown: a bare number is never guessed at.
    """
    if isinstance(text, Duration):
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InputError(
            f"duration {text!r} is not understood; expected a number and a unit, "
            'd, w, mo or y, for example "150d", "36w", "8.5mo" or "2y"'
        )
    return Duration(float(match[1]), match[2])


def months_per(time_unit: str) -> float:
    """How many months one ``time_unit`` is: days, weeks, months or years."""
    if time_unit not in TIME_UNITS:
        raise InputError(f"time unit {time_unit!r} is unknown; expected one of {', '.join(TIME_UNITS)}")
    return _DAYS[TIME_UNITS[time_unit]] / DAYS_PER_MONTH


BIASED = "biased: conditions on the future"
WITHOUT_BIAS = f"{NO_LIMIT}, {BIAS_TAKEN_OFF}"
BIAS_ASSUMED = "the size of the bias is assumed"


def landmark_names(hazard_ratios: pd.DataFrame) -> pd.Series:
    """Each row's landmark; ``no limit`` of a synthesis says so where its bias was taken off."""
    return hazard_ratios["landmark"].mask(hazard_ratios["status"] == BIAS_TAKEN_OFF, WITHOUT_BIAS)


def landmark_label(label: str, biased: bool | None = None) -> str:
    """The landmark's name, which for ``no limit`` always says that it is biased, or that a bias of assumed
    size was taken off; ``biased`` is seen from the name where it is not given."""
    if label == WITHOUT_BIAS:
        return f"{label} ({BIAS_ASSUMED})"
    if biased is None:
        biased = label in (NO_LIMIT, OBSERVED)
    return f"{label} ({BIASED})" if biased else label


ASSOCIATION = "association"
PER_10_POINTS = "shrinkage, per 10 points"
PER_1_POINT = "shrinkage, per 1 point"
_WORDS = {
    **ENDPOINT_LABELS,
    AT_RISK: "event-free at the landmark",
    ALIVE: "alive at the landmark",
    ASSOCIATION: "association within each arm",
    "arm": "arm against the first arm",
    "interaction": "ratio of the arm's hazard ratio to that of the first arm",
    "covariate": "covariates",
}


def words(key: str) -> str:
    """A key of the tables as it is written: ``PFS`` for ``pfs``."""
    return _WORDS.get(key, str(key))


def landmark_labels(table: pd.DataFrame) -> list[str]:
    """``landmark_label`` of every row of a table with columns ``landmark`` and ``biased``."""
    return [landmark_label(*row) for row in zip(table["landmark"], table["biased"], strict=True)]
