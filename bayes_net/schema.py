"""Names: every dim, group, variable and status of a fit of either line; and the one unit of time.

Time is in months everywhere inside the package (1 month = 30.4375 days, so 12 months are
365.25 days). Readers and specifications take durations with their unit and convert at the border.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bayes_net.errors import InputError

# --- dims: of draws, of data, and of what is observed in a model --------------------------------------

CHAIN, DRAW = "chain", "draw"
SAMPLE_DIMS = (CHAIN, DRAW)
PATIENT, STUDY, ARM, ENDPOINT, LANDMARK = "patient", "study", "arm", "endpoint", "landmark"
INTERVAL, BOUNDARY, COVARIATE, CONTRAST, TIME = "interval", "boundary", "covariate", "contrast", "time"
PERSON_INTERVAL, SHRINKAGE, STATE, PROGRESSION = "person_interval", "shrinkage", "state", "progression"
CURVE, BASELINE, BORROWER = "curve", "baseline", "borrower"
EFFECT, POOLED_ENDPOINT, BIASED_SLOPE = "effect", "pooled_endpoint", "biased_slope"
RESPONSE_GROUP, POOLED_GROUP, SEPARATE_GROUP = "response_group", "pooled_group", "separate_group"
SHRINKAGE_LAW, SHRINKAGE_STUDY, PROGRESSIVE = "shrinkage_law", "shrinkage_study", "progressive_group"
SHRINKAGE_ARM, SHRINKAGE_TIME, SELECTED_ARM = "shrinkage_arm", "shrinkage_time", "selected_arm"
COMPLETION_OF, STRATUM, INFLATED, ROW = "completion_of", "stratum", "inflated", "row"
UNPRINTED, UNKNOWN_SE = "unprinted_estimate", "unknown_se"
LANDMARK_INTERVAL, LANDMARK_BOUNDARY = "landmark_interval", "landmark_boundary"
CURVE_INTERVAL, LANDMARK_PERSON_INTERVAL = "curve_interval", "landmark_person_interval"
DIMS = {
    CHAIN: "chain of the sampler",
    DRAW: "draw of a chain",
    ARM: "arm of treatment, the reference first",
    STUDY: "study with baseline hazards of its own",
    LANDMARK: "landmark, such as 150 d",
    INTERVAL: "interval of constant hazard, from 0",
    BOUNDARY: "step of a random walk, from one interval to the next",
    CONTRAST: "arm but the first",
    COVARIATE: "covariate, or a level of it",
    PATIENT: "row of a patient, never an identifier",
    PERSON_INTERVAL: "patient and interval entered",
    PROGRESSION: "patient, by row, whose event lies between two assessments",
    SHRINKAGE: "shrinkage in points at which an estimand is asked for",
    TIME: "months at which an estimand is asked for",
    STATE: "state of an illness-death model",
    ENDPOINT: "endpoint that has slopes of shrinkage",
    CURVE: "survival curve of an arm of a study",
    BASELINE: "baseline hazard of a study",
    BORROWER: "study that stands on the baseline of another",
    EFFECT: "comparison of the arms by a study",
    POOLED_ENDPOINT: "endpoint for which arms are compared",
    BIASED_SLOPE: "slope whose printed “no limit” has a bias",
    RESPONSE_GROUP: "group of which responses are counted",
    POOLED_GROUP: "group of the last arm, whose response is pooled with the others’",
    SEPARATE_GROUP: "group of another arm, whose response stands by itself",
    SHRINKAGE_LAW: "law of best shrinkage of a study’s arm by a landmark",
    SHRINKAGE_ARM: "arm that has laws of best shrinkage",
    SHRINKAGE_TIME: "landmark by which shrinkage is best",
    SHRINKAGE_STUDY: "study’s arm whose law differs from those of other studies",
    SELECTED_ARM: "arm of which shrinkage is printed for those still at risk",
    PROGRESSIVE: "law beside which progression as best response is counted",
    COMPLETION_OF: "early response with which that at completion is compared",
    STRATUM: "patients of a study and arm at their landmark",
    LANDMARK_INTERVAL: "interval after the landmark",
    LANDMARK_BOUNDARY: "step between intervals after the landmark",
    INFLATED: "published median without limits, by its id",
    UNPRINTED: "estimate of which a paper says something but prints no number, by its id",
    UNKNOWN_SE: "such an estimate whose standard error is uncertain",
    ROW: "published number, by its id",
    CURVE_INTERVAL: "curve and interval with patients at risk",
    LANDMARK_PERSON_INTERVAL: "patient after the landmark and interval entered",
}
"""Every dim of a fit, of an estimand and of what is observed in a model; published numbers that are observed
in a model have a dim of their own each, named after their term (``OBSERVED_TERMS``) and ``_row``."""
FIELDS = {
    CURVE: (ENDPOINT, STUDY, ARM),
    STRATUM: (ENDPOINT, STUDY, ARM),
    BIASED_SLOPE: (ENDPOINT, ARM),
    **dict.fromkeys((BASELINE, BORROWER, EFFECT), (ENDPOINT, STUDY)),
    **dict.fromkeys((RESPONSE_GROUP, POOLED_GROUP, SEPARATE_GROUP, SHRINKAGE_STUDY), (STUDY, ARM)),
    **dict.fromkeys((SHRINKAGE_LAW, PROGRESSIVE, COMPLETION_OF), (STUDY, ARM, LANDMARK)),
}
"""What a place along these dims is of: coordinates along it, such as ``curve_endpoint``."""
IMPUTATION = "imputation"
"""Coordinate along ``chain`` of pooled fits: which completed data set a chain is of."""

# --- groups of a fit ----------------------------------------------------------------------------------

POSTERIOR, PRIOR, SAMPLE_STATS = "posterior", "prior", "sample_stats"
LOG_PRIOR, LOG_LIKELIHOOD = "log_prior", "log_likelihood"
OBSERVED_DATA, CONSTANT_DATA = "observed_data", "constant_data"
GROUPS = {
    POSTERIOR: "draws of free and derived variables",
    PRIOR: "the same, drawn from their priors; absent where one is flat",
    SAMPLE_STATS: "what the sampler says of each draw",
    LOG_PRIOR: "log density of each free variable; of patients",
    LOG_LIKELIHOOD: "log density of each patient; of each published number given those correlated with it",
    OBSERVED_DATA: "events by arm and interval; of patients",
    CONSTANT_DATA: "intervals, follow-up and numbers of patients",
}
"""The groups of a fit of either line."""

BRIER, AUC = "Brier score", "AUC"
"""Scores of predictions."""

# --- variables ----------------------------------------------------------------------------------------

LOG_HAZARD, LOG_BASELINE, SLOPE = "log_hazard", "log_baseline", "slope"
SLOPE_BY_INTERVAL, SLOPE_STEP, SLOPE_STEP_SD = "slope_by_interval", "slope_step", "slope_step_sd"
COMMON_SLOPE, ARM_EFFECT, COVARIATE_EFFECT = "common_slope", "log_hr_arm", "log_hr_covariate"
LEVEL, LEVEL_AT_EVENTS, STEP, STEP_SD = "level", "level_at_events", "step", "step_sd"
PATIENTS_VARIABLES = {
    LOG_HAZARD: "log hazard per month at score and covariates 0",
    LOG_BASELINE: "the same, where intervals are independent",
    LEVEL: "its average over time",
    LEVEL_AT_EVENTS: "its average over the events, which is what is sampled",
    STEP_SD: "SD over a year of its random walk",
    STEP: "steps of that walk, standard normal",
    ARM_EFFECT: "log hazard ratio of an arm on the first, average patients if the level's prior is of these",
    COVARIATE_EFFECT: "log hazard ratio of a covariate per its scale",
    SLOPE: "log hazard ratio per 10 points of shrinkage, or of response; over time its average",
    COMMON_SLOPE: "the same for all arms",
    SLOPE_BY_INTERVAL: "the slope that is in force in an interval",
    SLOPE_STEP_SD: "SD over a year of its random walk",
    SLOPE_STEP: "steps of that walk, standard normal",
}
"""Free and derived variables of patients."""
SYNTHESIS_VARIABLES = {
    LOG_HAZARD: "log hazard per month of a curve",
    LOG_BASELINE: "log hazard of a baseline, where intervals are independent",
    LEVEL: "its average over time",
    STEP_SD: "SD over a year of its random walk",
    STEP: "steps of that walk, standard normal",
    "arm_effect": "log hazard ratio of the second arm in a study",
    "arm_effect_mean": "its mean over studies",
    "arm_effect_sd": "its SD between studies",
    "arm_effect_z": "deviation of a study, standard normal",
    "study_level": "log hazard of a study against that whose baseline it stands on",
    "study_level_sd": "its SD between studies",
    "study_level_z": "deviation of a study, standard normal",
    SLOPE: "log hazard ratio per 10 points of shrinkage",
    "slope_z": "the same, standardised",
    "slope_mean": "its mean over landmarks",
    "slope_sd": "its SD over landmarks",
    "bias": "guarantee-time bias of “no limit”, per 10 points",
    "bias_z": "the same, standardised",
    "response": "logit of response",
    "response_mean": "its mean over pooled groups",
    "response_alone": "logit of response of a separate group",
    "response_difference": "difference of a pooled group from the mean",
    "response_difference_sd": "its SD between studies",
    "response_difference_z": "the same, standardised",
    "completion": "log odds ratio of response at completion of treatment",
    "early_late": "inverse hyperbolic tangent of the correlation of early with final shrinkage",
    "early_late_correlation": "correlation of early with final shrinkage, on the scale of their laws",
    "shrinkage_location": "mean of the logit of best shrinkage, between -20 and 100 points",
    "shrinkage_location_z": "the same of an arm, standardised",
    "shrinkage_log_spread": "log SD of that logit",
    "shrinkage_log_spread_z": "the same of an arm, standardised",
    "shrinkage_study_sd": "SD of its mean between studies",
    "shrinkage_study_z": "deviation of a study, standard normal",
    "selection": "inverse hyperbolic tangent of the correlation of shrinkage with staying at risk",
    "progression": "logit of progression as best response",
    "log_inflation": "log factor on the standard error of a median without limits",
    "estimate": "estimate that is not printed, on the scale of its parameter",
    "estimate_z": "where it lies in the interval that is said, standard normal",
    "se_z": "log factors on their standard errors, made independent and standardised",
    "landmark_log_hazard": "log hazard of patients after their landmark, at score 0",
    "landmark_level": "its average over time",
    "landmark_step_sd": "SD over a year of its random walk",
    "landmark_step": "steps of that walk, standard normal",
    "study_slope": "slope of the patients of a stratum",
    "slope_between_sd": "its SD between studies",
    "slope_study_z": "deviation of a stratum, standard normal",
}
"""Free and derived variables of a synthesis; what ends in ``_z`` is multiplied by its SD."""
EVENTS, EXPOSURE, SCORE, COVARIATES = "events", "exposure", "score", "covariates"
PROGRESSED: Final = "progressed"
PATIENTS_OF_CURVES, PATIENTS_AFTER_LANDMARK = "patients_of_curves", "patients_after_landmark"
OBSERVED_TERMS = {
    EVENTS: "events of every patient and interval entered",
    PROGRESSED: "that an event between two assessments had happened by the second",
    PATIENTS_OF_CURVES: "events of patients followed from randomisation",
    PATIENTS_AFTER_LANDMARK: "events of patients after their landmark",
    "published_curves": "published numbers that are read off curves",
    "published_arm_effects": "published log hazard ratios of arms",
    "published_slopes": "published log hazard ratios of shrinkage",
    "published_completion": "published log odds ratios of response at completion",
    "published_completion_by_p": "the same, known by their p-value",
    "published_responses": "published counts of response",
    "published_shrinkage": "published counts of shrinkage",
    "published_ranges": "published medians and ranges of shrinkage",
    "statements": "what is said of estimates that are not printed",
}
"""What is observed in the PyMC models; kinds that are correlated are one term, ``NAME_and_NAME``. A weight
other than 1 adds ``NAME_power``, and a publishing rule ``NAME_printed``; with ``statements`` these are
potentials."""
PATIENTS, PUBLISHED = "patients", "published"
DATA_VARIABLES = {
    PATIENTS: "log-likelihood of a patient",
    PUBLISHED: "log-likelihood of a published number",
    EVENTS: "events by arm and interval",
    "interval_start": "months at which an interval starts",
    "interval_end": "months at which it ends",
    "person_time": "months at risk",
    "n": "number of patients",
    "n_events": "number of events",
    "last_follow_up": "longest follow-up in months",
    "study_share": "share of each study in the averages of an arm",
    "n_concerned": "patients whose follow-up after censoring is imputed",
    "imputed_events": "events among them, the mean over imputations",
}
"""Variables of ``log_likelihood``, ``observed_data`` and ``constant_data``."""

# --- labels and statuses ------------------------------------------------------------------------------

PFS: Final = "pfs"
OS: Final = "os"
ENDPOINTS = (PFS, OS)
ENDPOINT_LABELS = {PFS: "PFS", OS: "OS"}
AT_RISK: Final = "pfs risk set"
ALIVE: Final = "alive"
POPULATIONS = (AT_RISK, ALIVE)
"""Those of a landmark."""
SCANNED: Final = "scanned"
"""The population of a model of all follow-up."""
NO_LIMIT = "no limit"
OBSERVED = f"{NO_LIMIT}, as observed"
"""Of a synthesis: "no limit" with its guarantee-time bias, which is what a publication prints."""
ANY_TIME = "any time"
"""The model of all follow-up, with the best shrinkage so far, in the place of a landmark."""
BIASED = "biased: conditions on the future"
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
IN_PRINT, HELD_OUT, PREDICTED = "in print", "in print, held out", "not in print: predicted"
NO_BIAS_TERM, FROM_PATIENTS = "no bias term", "from patients"
SAID = "not in print, but said"
ERROR, FAILED, PASSED = "error", "failed", "passed"
STATUSES = {
    IN_PRINT: "the hazard ratio is printed, and entered the fit",
    HELD_OUT: "it is printed, and did not enter",
    SAID: "a paper says something of it and prints no number",
    PREDICTED: "no paper prints it or says anything of it",
    FROM_PATIENTS: "patients at that landmark entered the fit",
    BIAS_TAKEN_OFF: "an assumed guarantee-time bias is subtracted",
    NO_BIAS_TERM: "“no limit” of an arm without an assumed bias",
    PASSED: "of a gate: every check was passed",
    FAILED: "of a gate: a check was not passed",
    ERROR: "of a scenario: it could not be run",
}
"""Every status of a row of a table."""

# --- time ---------------------------------------------------------------------------------------------

DAYS_PER_MONTH = 30.4375
POINTS_PER_UNIT = 10.0
"""A slope is the log hazard ratio per this many percentage points of shrinkage."""
PROGRESSION_PCHG = 20.0
"""Percentage change from baseline, or from the smallest size until then, at or above which a scan counts as
progression (RECIST 1.1)."""
PROGRESSION_MM = 5.0
"""Growth from the smallest size that progression needs besides, in mm."""
_DAYS = {"d": 1.0, "w": 7.0, "mo": DAYS_PER_MONTH, "y": 12 * DAYS_PER_MONTH}
TIME_UNITS = {"days": "d", "weeks": "w", "months": "mo", "years": "y"}
MOST_YEARS = 1000
MOST_DAYS = MOST_YEARS * _DAYS["y"]
"""Nobody is followed for so long: such a time is a slip, and intervals until then would fill any memory."""
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(d|w|mo|y)\s*")
COMPARISON = "comparison"
"""Attribute of a fit of published numbers: the arms of its hazard ratios, as ``B against A``."""
NUTS, LAPLACE, MOVED = "nuts", "laplace", "moved draws"
"""How posterior draws are found: by Markov chains, or, where that is good enough, from an approximation or
from draws of a posterior near by."""
PARETO_K, IMPORTANCE_ESS = "pareto_k", "importance_ess"
"""Statistics of an approximation's weights, among those of a sampler, one value a chain."""
MIN_ESS, MAX_PARETO_K = 400, 0.5
"""Effective sample size that reported draws need, and Pareto's k of importance weights below which an
approximation may stand for a posterior."""
EQUIVALENCE = (0.9, 1.11)
"""The region around 1 whose probability is reported; per 10 points of shrinkage it is 0.73 to 1.37 per 30.
Whether an association within it is too small to matter is not for a program to say."""


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
    length = Duration(float(match[1]), match[2])
    if length.days > MOST_DAYS:
        raise InputError(f"duration {text!r} is longer than {MOST_YEARS} years; expected one of a study")
    return length


def months_per(time_unit: str) -> float:
    """How many months one ``time_unit`` is: days, weeks, months or years."""
    if time_unit not in TIME_UNITS:
        raise InputError(f"time unit {time_unit!r} is unknown; expected one of {', '.join(TIME_UNITS)}")
    return _DAYS[TIME_UNITS[time_unit]] / DAYS_PER_MONTH


ASSOCIATION = "association"
PER_10_POINTS = "shrinkage, per 10 points"
PER_1_POINT = "shrinkage, per 1 point"
_WORDS = {
    **ENDPOINT_LABELS,
    AT_RISK: "event-free at the landmark",
    ALIVE: "alive at the landmark",
    SCANNED: "all follow-up from the first scan without progression",
    ASSOCIATION: "association within each arm",
    "arm": "arm against the first arm",
    "interaction": "ratio of the arm's hazard ratio to that of the first arm",
    "covariate": "covariates",
}


def words(key: str) -> str:
    """A key of the tables as it is written: ``PFS`` for ``pfs``."""
    return _WORDS.get(key, str(key))
