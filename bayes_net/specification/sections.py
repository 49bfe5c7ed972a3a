"""The tables of a specification: their keys, defaults, and what contradicts what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from bayes_net.assumptions.priors import (
    Flat,
    Normal,
    Prior,
    Priors,
    hazard_change_prior,
    hazard_ratio_prior,
    median_survival_prior,
    slope_change_prior,
)
from bayes_net.data.assessments import BETWEEN_SCANS, PROGRESSION, VISIT
from bayes_net.data.exposure import grid_cuts
from bayes_net.data.landmarks import landmark_times
from bayes_net.data.terms import Covariate, Measure, Response, Shrinkage, WithoutShrinkage
from bayes_net.errors import InputError
from bayes_net.numbers import counted, significant
from bayes_net.schema import ALIVE, AT_RISK, OS, PFS, Duration
from bayes_net.specification.fields import (
    MOST_IMPUTATIONS,
    MOST_INTERVALS,
    Cuts,
    Flag,
    LandmarkOrZero,
    Length,
    Limits,
    Number,
    Positive,
    PositiveLength,
    Share,
    Whole,
    repeated,
)
from bayes_net.tables.conventions import as_event_values, as_texts
from bayes_net.tables.notes import WARNINGS


class Section(BaseModel):
    """A table whose keys are fixed: what it does not know is refused.

    The text below a key is its description: what the documentation says of it.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What ``repr`` and ``str`` show: every value, identifiers of patients withheld."""
        for name, value in super().__repr_args__():
            yield name, without_identifiers({name: value})[name]


class ScenarioSection(Section):
    """A named change of the specification: keys with dots, such as "priors.median_months", and new values."""

    name: Annotated[str, Field(min_length=1)]
    """Name of the scenario, in the table of results."""
    change: Annotated[dict[str, Any], Field(min_length=1)]
    """Keys with dots, such as `priors.median_months`, and their new values."""


def _without_none(value: Any) -> Any:
    """Refuses None, which no file can hold, anywhere within the values of a grid."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    if value is None:
        raise InputError("expected values, and no None")
    for each in inner:
        _without_none(each)
    return value


Grid = Annotated[
    dict[str, Annotated[tuple[Any, ...], Field(min_length=1), AfterValidator(_without_none)]],
    Field(description="Keys with dots, each with a list of values: every combination is a scenario."),
]


def listed_tables(name: str) -> BeforeValidator:
    """Refuses a single table where double brackets are wanted."""

    def check(value: object) -> object:
        if isinstance(value, dict):
            raise InputError(f"expected [[{name}]], with double brackets, once for each")
        return value

    return BeforeValidator(check)


def without_identifiers(value: Any) -> Any:
    """Plain values of a specification with identifiers of patients counted and withheld, wherever they are.

    They stand under ``exclude_patients``: in a table of data or, with the path to it, in scenarios.
    """
    if isinstance(value, dict):
        return {
            key: _withheld(part) if key.split(".")[-1] == "exclude_patients" else without_identifiers(part)
            for key, part in value.items()
        }
    return [without_identifiers(part) for part in value] if isinstance(value, list) else value


def _withheld(identifiers: Any) -> Any:
    """How many identifiers there are; of a grid, how many each list has."""
    if not isinstance(identifiers, list | tuple):
        return "(withheld)"
    if any(isinstance(part, list | tuple) for part in identifiers):
        return [_withheld(part) for part in identifiers]
    return [f"({counted(len(identifiers), 'identifier')} withheld)"] if identifiers else []


def without_empty(plain: dict[str, Any]) -> dict[str, Any]:
    """Keys and values of a specification, tables of scenarios last, or left out if there are none."""
    order = sorted(plain, key=lambda key: key in ALTERNATIVES and 1 + ALTERNATIVES.index(key))
    return {key: plain[key] for key in order if plain[key] or key not in ALTERNATIVES}


ALTERNATIVES = ("scenarios", "grid")
"""Keys of a specification that say how else it is fitted."""
Scenarios = Annotated[tuple[ScenarioSection, ...], listed_tables("scenarios")]


Codes = Annotated[tuple[str, ...], BeforeValidator(as_texts), WithJsonSchema({"format": "list of values"})]
EventValues = Annotated[
    dict[str, tuple[str, ...]],
    BeforeValidator(as_event_values),
    WithJsonSchema({"format": "value, list of values, or a table of them by endpoint"}),
]


ADAM_KEYS = ("pfs", "os", "tumour", "response", "arm", "population", "analysis_flag")


class DataSection(Section):
    """Where the patients come from: two tables, or the built-in generator of a synthetic cohort."""

    synthetic: Flag = False
    """Generate the patients instead of reading tables. Remove the other keys of `[data]` then."""
    synthetic_seed: Annotated[Whole, Field(ge=0)] | None = None
    """Seed of the generator. Required with `synthetic`."""
    patients: Path | None = None
    """One row a patient: text (`.csv`, `.tsv`, `.txt`), `.parquet`, `.xlsx` (`"study.xlsx#Patients"` names a
    sheet), SAS (`.xpt`, `.sas7bdat`) or Dataset-JSON (`.json`, `.ndjson`, `.dsjc`). Required, unless
    `synthetic`. Paths start at the folder of the specification."""
    scans: Path | None = None
    """One row a scan, in a file of the same kinds. Required, unless `synthetic` or `slopes = "none"`."""
    adam: Path | None = None
    """Folder of ADaM data sets (ADSL, ADTTE, and where there ADTR and ADRS), or a pattern of their files such
    as `"study/*.xpt"`, in the place of `patients` and `scans`. Units are read from it."""
    adam_parameters: dict[Literal[ADAM_KEYS], str] = {}
    """What is meant in ADaM where it is not the usual: PARAMCD of `pfs`, `os`, `tumour` and `response`,
    variable of the `arm`, flag of the `population` (`""`: everyone) and `analysis_flag` of tumour rows."""
    adam_where: dict[str, dict[str, str]] = {}
    """Rows that are kept, by data set: `{adtr = {PARCAT2 = "Investigator"}}`."""
    time_unit: Literal["days", "weeks", "months", "years"] | None = None
    """Unit of every time in both tables. Required, unless `synthetic` or `adam`."""
    size_unit: Literal["mm", "cm"] | None = None
    """Unit of the sum of diameters. Leave it out if scans have the percent change `pchg`."""
    patient_columns: dict[str, str] = {}
    """Your own names of the columns of the patient table, where they differ from `patient`, `arm`,
    `pfs_time`, `pfs_event`, `os_time`, `os_event` and `study`; and `time_zero`, the date from which dates
    count."""
    scan_columns: dict[str, str] = {}
    """The same for the scan table: `patient`, `time`, `size` or `pchg`, `new_lesion`, `response`."""
    arms: tuple[str, ...] = ()
    """Every arm, the reference first. `[]`: in alphabetical order."""
    baseline_window: Length = Duration(0.0, "d")
    """Scans until then are baseline candidates; the last of them is the baseline."""
    scans_after_death: Literal["refuse", "drop"] = "refuse"
    """Refuse the tables, or drop such scans and count them in the report."""
    exclude_patients: tuple[str, ...] = ()
    """Identifiers in quotes; counted in the report, never named in it."""
    study: str | None = None
    """Name of the study, if the patient table has no column of it."""
    scan_visits: dict[str, Number] = {}
    """Of a scan table with one row a patient and one column a visit: the time of each column, such as
    `{baseline = 0, week8 = 56}`. The columns hold sizes with `size_unit`, and percent changes without."""
    event_is: EventValues = {}
    """Values that mean an event, if they are not 1: `0` (of a column of censoring), `["yes", "dead"]`, or for
    each endpoint its own, such as `{pfs = 0, os = "dead"}`. All other values are censored."""
    missing_codes: dict[str, Codes] = {}
    """By column the values that stand for a missing one, such as `{age = [999, -9]}`; names of columns are
    those before `patient_columns` and `scan_columns`."""
    change_unit: Literal["percent", "fraction"] | None = None
    """Unit of `pchg`: a tumour that is 46 % smaller has -46, or the fraction -0.46."""
    pfs_censored_at_death: Literal["warn", "event", "censored"] = "warn"
    """PFS that is censored on the day of death: warn of it, count it as an event, or leave it censored."""
    accept: tuple[Literal[tuple(WARNINGS)], ...] = ()
    """Warnings that are meant so, by the code that `bayes-net check` shows; the report still counts them."""

    @property
    def lacks_scans(self) -> bool:
        """Whether no scan of these patients is given."""
        return self.scans is None and self.adam is None and not self.synthetic

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if self.adam is not None:
            tables: dict[str, Any] = {
                "patients": self.patients,
                "scans": self.scans,
                "synthetic": self.synthetic or None,
            }
            tables |= {
                "patient_columns": self.patient_columns or None,
                "scan_columns": self.scan_columns or None,
            }
            if given := [name for name, value in tables.items() if value is not None]:
                raise ValueError(f"adam has the patients and their scans: remove {', '.join(given)}")
            return self
        if self.adam_parameters or self.adam_where:
            raise ValueError("adam_parameters and adam_where are about adam, which is missing")
        needed = {"patients": self.patients, "time_unit": self.time_unit}
        missing = [name for name, value in needed.items() if value is None]
        if self.synthetic and (len(missing) < len(needed) or self.scans is not None):
            raise ValueError("synthetic = true generates its patients: remove patients, scans and time_unit")
        if self.synthetic and self.synthetic_seed is None:
            raise ValueError("synthetic = true needs synthetic_seed, a whole number")
        if not self.synthetic and missing:
            raise ValueError(f"missing: {', '.join(missing)}")
        return self


class CovariateSection(Section):
    """A further covariate: numeric (per ``scale``, from ``reference``) or with ``levels``."""

    name: str
    """Column of the patient table, or its name before `patient_columns`."""
    reference: Number | None = None
    """For numbers: the covariate enters as (value − reference) / scale."""
    scale: Positive = 1.0
    """For numbers: the hazard ratio is per so much."""
    levels: tuple[str, ...] = ()
    """For categories: all levels, the reference first. Every other level gets a hazard ratio."""

    @model_validator(mode="after")
    def _one_kind(self) -> CovariateSection:
        if bool(self.levels) == (self.reference is not None):
            raise ValueError("give either reference (numeric) or levels (categories, reference level first)")
        if self.levels and (len(self.levels) < 2 or len(set(self.levels)) < len(self.levels)):
            raise ValueError("levels needs at least two different levels")
        return self

    def value(self) -> Covariate:
        """The covariate as the exposure takes it."""
        return Covariate(self.name, self.reference or 0.0, self.scale, self.levels)


class LandmarkSection(Section):
    """Landmarks, endpoints and how shrinkage enters."""

    times: Annotated[tuple[LandmarkOrZero, ...], Field(min_length=1)]
    """Times from randomisation. `no limit` takes the best change of all follow-up; it is biased and labelled
    so. `0d`, randomisation itself, is for `slopes = "none"`."""
    endpoints: Annotated[tuple[Literal["pfs", "os"], ...], Field(min_length=1)] = (PFS,)
    """Endpoints to analyse."""
    os_population: Literal["pfs risk set", "alive"] = AT_RISK
    """Who enters the analysis of OS: the PFS risk set, or all who are alive."""
    shrinkage_reference: Number = 0.0
    """Shrinkage in points at which baseline hazards and arms are compared."""
    thresholds: tuple[Annotated[Number, Field(gt=0, le=100)], ...] = ()
    """Cut shrinkage in two at these percentages too, each in a model of its own."""
    intention_to_treat: Flag = False
    """For thresholds: no scan by the landmark counts as no response."""
    progression: Literal[PROGRESSION] = BETWEEN_SCANS
    """A progression that ends PFS happened at an unknown time between the last scan without it and the one
    that showed it, or (`at the scan`) on the very day that PFS has. A death is on its day in either case."""
    visit: PositiveLength = VISIT
    """A scan so shortly before the day that PFS has belongs to the visit that showed the progression."""

    @model_validator(mode="after")
    def _one_of_each(self) -> LandmarkSection:
        landmark_times(self.times)
        if twice := repeated(self.endpoints):
            raise ValueError(f"endpoints has {', '.join(twice)} twice")
        # files and tables name a threshold by its first six digits
        if twice := repeated(f"{threshold:g}" for threshold in self.thresholds):
            raise ValueError(f"thresholds has {', '.join(twice)} twice")
        if self.intention_to_treat and not self.thresholds:
            raise ValueError("intention_to_treat is about response: give thresholds too, such as [30]")
        return self

    def population(self, endpoint: str) -> str:
        """Whose follow-up an endpoint's landmark sets hold."""
        return ALIVE if endpoint == OS and self.os_population == ALIVE else AT_RISK

    def measures(self) -> tuple[Shrinkage | Response, ...]:
        """The ways in which shrinkage enters: as a number, and cut at each threshold."""
        return (Shrinkage(self.shrinkage_reference), *(Response(t) for t in self.thresholds))


class BaselineSection(Section):
    """Intervals of the piecewise-constant hazard, and how its levels hang together."""

    arms: Literal["per arm", "shared"] = "per arm"
    """A baseline hazard for each arm, or one that is shared: then the arms' hazards are proportional."""
    smoothing: Literal["rw1", "independent"] = "rw1"
    """Neighbouring intervals are alike (a random walk), or every interval stands by itself: then all of them
    together say what `median_months` states, each with √(number of intervals) times its SD."""
    cuts: Cuts = None
    """Cut-points after the landmark; `[]` is one interval. A table such as `{pfs = ["3mo"], os = ["6mo"]}`
    gives each endpoint its own. Give `cuts`, or `intervals`, or the grid."""
    intervals: Annotated[Whole, Field(ge=1, le=MOST_INTERVALS)] | None = None
    """So many intervals with equal numbers of events, at each landmark."""
    grid_width: PositiveLength | None = None
    """A cut-point every so much, up to `grid_until`."""
    grid_until: PositiveLength | None = None
    """The last cut-point of the grid."""

    @model_validator(mode="after")
    def _one_rule(self) -> BaselineSection:
        rules = [self.cuts is not None, self.intervals is not None, self.grid_width is not None]
        if sum(rules) != 1:
            raise ValueError(
                "give exactly one of cuts (a list of durations), intervals (so many with equal events) "
                "or grid_width with grid_until"
            )
        if (self.grid_width is None) != (self.grid_until is None):
            raise ValueError("grid_width and grid_until belong together")
        if self._cuts_of_grid >= MOST_INTERVALS:
            grid = f"a grid of {self.grid_width} until {self.grid_until}"
            raise ValueError(f"{grid} has more than {MOST_INTERVALS} intervals")
        self.grid()
        return self

    @property
    def _cuts_of_grid(self) -> float:
        """Number of cut-points of the grid, before there are so many that no memory holds them."""
        if self.grid_width is None or self.grid_until is None:
            return 0
        return self.grid_until.days / self.grid_width.days + 1e-9

    def grid(self) -> np.ndarray | None:
        """Cut-points of the grid in months, if it is given."""
        if self.grid_width is None or self.grid_until is None:
            return None
        return grid_cuts(self.grid_width, self.grid_until)


class States(NamedTuple):
    """What a key of [priors] states: a field of ``Priors``, as a distribution of its value and a probability;
    its name in an audit; and the measures of shrinkage that it is about."""

    prior: str
    distribution: Callable[..., Prior]
    block: str
    measures: tuple[type, ...] = (Shrinkage, Response, WithoutShrinkage)


def _or_flat(distribution: Callable[..., Prior]) -> Callable[..., Prior]:
    return lambda limits, ci_prob: Flat() if limits == "flat" else distribution(*limits, ci_prob=ci_prob)


_ratio, _median = _or_flat(hazard_ratio_prior), _or_flat(median_survival_prior)
MOST_CHANGE = 1000.0
Change = Annotated[Number, Field(gt=1, le=MOST_CHANGE)]
"""A factor within which hazards, or hazard ratios, a year apart are."""


class PriorSection(Section):
    """Priors as statements about observable quantities; each pair holds with ``probability``."""

    probability: Share = 0.95
    """With this probability each pair of limits below holds."""
    median_months: Annotated[Limits, States("level", _median, "baseline")] = (2.0, 80.0)
    """Median survival after the landmark in months."""
    hazard_change_per_year: Annotated[Change, States("step_sd", hazard_change_prior, "change over time")] = (
        4.0
    )
    """Hazards a year apart are within this factor (`rw1`)."""
    log_hazard: tuple[Number, Positive] | None = None
    """Instead of the median: mean and SD of the log hazard per month (of each interval, where they are
    `independent`)."""
    hazard_ratio_per_10_points: Annotated[Limits, States("slope", _ratio, "slope", (Shrinkage,))] = (0.5, 2.0)
    """Hazard ratio per 10 points of shrinkage."""
    hazard_ratio_response: Annotated[Limits, States("slope", _ratio, "slope of response", (Response,))] = (
        0.2,
        5.0,
    )
    """Hazard ratio of response against none."""
    hazard_ratio_arm: Annotated[Limits, States("arm_effect", _ratio, "arm effect")] = (0.1, 10.0)
    """Hazard ratio of an arm against the first (`shared` baseline)."""
    hazard_ratio_covariate: Annotated[Limits, States("covariate", _ratio, "covariates")] = (0.25, 4.0)
    """Hazard ratio of each covariate."""
    hazard_ratio_change_per_year: Annotated[
        Change,
        States("slope_step_sd", slope_change_prior, "change of the slope over time"),
    ] = 2.0
    """Of slopes that vary over time: hazard ratios a year apart (per 10 points, or of response) are within
    this factor."""

    @model_validator(mode="after")
    def _one_level(self) -> PriorSection:
        if {"median_months", "log_hazard"} <= self.model_fields_set:
            raise ValueError("median_months and log_hazard say the same thing in two ways: give one of them")
        return self

    def statements(self) -> Iterator[tuple[str, States]]:
        """Each key that states a prior."""
        for key, info in type(self).model_fields.items():
            yield from ((key, states) for states in info.metadata if isinstance(states, States))

    def values(self, measure: Measure) -> Priors:
        """The distributions that the statements mean, for one way in which shrinkage enters."""
        priors: dict[str, Any] = {
            states.prior: states.distribution(getattr(self, key), ci_prob=self.probability)
            for key, states in self.statements()
            if isinstance(measure, states.measures)
        }
        if self.log_hazard is not None:
            mean, sd = self.log_hazard
            priors["level"] = Normal(mean, sd, f"log hazard per month N({mean:g}, {sd:g})")
        return Priors(**priors)


class CensoringSection(Section):
    """What is assumed of patients after their censoring, if it is not what the model says of all others."""

    factor: Annotated[Number, Field(ge=0)] = 1.0
    """From its censoring on, a patient's hazard is the model's times this. 1: no departure; above 1 the
    censored would have had their events sooner, below 1 later."""
    imputations: Annotated[Whole, Field(ge=2, le=MOST_IMPUTATIONS)] = 20
    """How often follow-up is completed; each takes a fit."""
    arms: tuple[str, ...] = ()
    """Whose censoring it is about. `[]`: that of all arms."""
    shrinkage_at_least: Annotated[Number, Field(le=100)] | None = None
    """Only of patients with so much shrinkage, in points."""
    shrinkage_below: Annotated[Number, Field(le=100)] | None = None
    """Only of patients with less shrinkage, in points; one that is not known counts as less."""
    reasons: tuple[str, ...] = ()
    """Only of patients who were censored for one of these, as ADaM calls them in CNSDTDSC or EVNTDESC: the
    closure of a study is no drop-out. `[]`: whatever the reason."""
    horizon: PositiveLength | None = None
    """Follow-up is imputed until then after the landmark, and never beyond the arm's longest follow-up, which
    is the default."""

    @model_validator(mode="after")
    def _somebody(self) -> CensoringSection:
        if twice := repeated(self.arms):
            raise ValueError(f"arms has {', '.join(twice)} twice")
        least, below = self.shrinkage_at_least, self.shrinkage_below
        if least is not None and below is not None and not least < below:
            raise ValueError(
                f"no shrinkage is at least {least:g} and below {below:g}; expected a lower "
                "shrinkage_at_least than shrinkage_below"
            )
        return self


MOST_DRAWS, MOST_CHAINS = 1_000_000, 1000
Draws = Annotated[Whole, Field(ge=100, le=MOST_DRAWS, description="Draws of each chain that are kept.")]
Tune = Annotated[Whole, Field(ge=100, le=MOST_DRAWS, description="Draws of each chain before these.")]
TargetAccept = Annotated[Number, Field(ge=0.5, lt=1, description="Nearer to 1 is slower and more careful.")]


class SamplingSection(Section):
    """Length of the chains; the seed makes the draws repeatable."""

    seed: Annotated[Whole, Field(ge=0)]
    """Any whole number from 0; the same seed gives the same draws."""
    draws: Draws = 1000
    tune: Tune = 500
    chains: Annotated[Whole, Field(ge=2, le=MOST_CHAINS)] = 4
    """Number of chains."""
    target_accept: TargetAccept = 0.98
    retry: Flag = True
    """Sample a fit that fails its gate once more, more carefully."""
    method: Literal["nuts", "laplace"] = "nuts"
    """How draws are found: "laplace" takes a Laplace approximation where it is good enough, and samples
    elsewhere."""


class ReportSection(Section):
    """What is written out beside the hazard ratios."""

    level: Share = 0.95
    """Level of the intervals."""
    interval: Literal["equal-tailed", "hdi"] = "equal-tailed"
    """Kind of interval: equal tails, or highest density."""
    survival_times: Annotated[tuple[PositiveLength, ...], Field(min_length=1)] = (
        Duration(6, "mo"),
        Duration(12, "mo"),
        Duration(24, "mo"),
    )
    """Times after the landmark at which survival is reported."""
    horizon: PositiveLength = Duration(12, "mo")
    """Until when the restricted mean survival time counts, after the landmark."""
    profiles: Annotated[tuple[Annotated[Number, Field(le=100)], ...], Field(min_length=1)] = (0.0, 30.0)
    """Shrinkage in points of the patients whose survival is shown; below 0 is growth."""
    patient_level_figures: Flag = False
    """Add the waterfall plot, in which every bar is a patient."""
    prediction: Flag = False
    """Does knowing shrinkage predict better? Patients are left out by fifths: ten more fits a landmark."""

    @model_validator(mode="after")
    def _one_of_each(self) -> ReportSection:
        # tables name a time by three digits, and a profile by six
        if twice := repeated(f"{significant(time.months)} mo" for time in self.survival_times):
            raise ValueError(f"survival_times has {', '.join(twice)} twice")
        if twice := repeated(f"{points:g}" for points in self.profiles):
            raise ValueError(f"profiles has {', '.join(twice)} twice")
        return self
