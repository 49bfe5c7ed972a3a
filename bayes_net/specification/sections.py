"""The tables of a specification: their keys, defaults, and what contradicts what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bayes_net.data.assessments import BETWEEN_SCANS, NEW_THERAPIES, PROGRESSION, TREATMENT_POLICY, VISIT
from bayes_net.data.follow_up import JOINT, TIME_DEPENDENT
from bayes_net.data.intervals import PER_STUDY, STUDIES, grid_cuts
from bayes_net.data.landmarks import AT_ONCE, landmark_times
from bayes_net.data.terms import Response, Shrinkage
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
    Number,
    PositiveLength,
    Share,
    Whole,
    repeated,
)


class Section(BaseModel):
    """A table whose keys are fixed: what it does not know is refused.

    The text below a key is its description: what the documentation says of it.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True
    )

    @property
    def telling(self) -> tuple[str, ...]:
        """Keys that, left out, say something else than by their default stated."""
        return ()

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
    order = sorted(plain, key=lambda key: key in _LAST and 1 + _LAST.index(key))
    return {key: plain[key] for key in order if plain[key] or key not in ALTERNATIVES}


ALTERNATIVES = ("scenarios", "grid")
"""Keys of a specification that say how else it is fitted."""
_LAST = ("justification", *ALTERNATIVES)
Scenarios = Annotated[tuple[ScenarioSection, ...], listed_tables("scenarios")]


HIERARCHICAL = "hierarchical"
"""Beside the landmarks, a mean of an arm's slopes by a composite likelihood."""


class LandmarkSection(Section):
    """Landmarks, endpoints and how shrinkage enters."""

    times: Annotated[tuple[LandmarkOrZero, ...], Field(min_length=1)]
    """Times from randomisation. `no limit` takes the best change of all follow-up; it is biased and labelled
    so. `0d`, randomisation itself, is for `slopes = "none"`."""
    endpoints: Annotated[tuple[Literal["pfs", "os"], ...], Field(min_length=1)] = (PFS,)
    """Endpoints to analyse."""
    os_population: Literal["pfs risk set", "alive"] = AT_RISK
    """Who enters the analysis of OS: the PFS risk set, or all who are alive."""
    progression_scans: Flag = True
    """Of `alive`: sizes at scans that are progression count, as growth. `false`: shrinkage is that until
    then, and who has no other scan is left out."""
    shrinkage_reference: Number = 0.0
    """Shrinkage in points at which baseline hazards and arms are compared."""
    thresholds: tuple[Annotated[Number, Field(gt=0, le=100)], ...] = ()
    """Cut shrinkage in two at these percentages too, each in a model of its own."""
    intention_to_treat: Flag = False
    """For thresholds: no scan by the landmark counts as no response."""
    confirmed_after: PositiveLength | None = None
    """For thresholds: a response counts only if a scan so much later, and by the landmark as well, still
    shows it, such as `"4w"` by RECIST 1.1. Left out: one scan is enough."""
    progression: Literal[PROGRESSION] = BETWEEN_SCANS
    """A progression that ends PFS happened at an unknown time between the last scan without it and the one
    that showed it, or (`at the scan`) on the very day that PFS has. A death is on its day in either case."""
    visit: PositiveLength = VISIT
    """A scan so shortly before the day that PFS has belongs to the visit that showed the progression."""
    scan_window: Length = AT_ONCE
    """Scans up to so long after a landmark belong to its visit: with `"14d"` one of week 36 may be as late as
    day 266. So that nothing is known ahead of time, the whole landmark, with its risk set and the start of
    follow-up, then lies so much later."""
    new_therapy: Literal[NEW_THERAPIES] = TREATMENT_POLICY
    """What a new anticancer therapy is to follow-up: a part of it like any other, or its end (`censored`), as
    if no such therapy were given. Scans after it show no shrinkage in either case. `censored` needs the
    column `new_therapy_time` of the patients."""
    joint: Literal[*JOINT, HIERARCHICAL] = TIME_DEPENDENT
    """Beside two or more landmarks, one model of all follow-up, in which shrinkage is the best so far: it is
    what the answer in words is about, and landmarks are shown for comparison. `hierarchical`: slopes of an
    arm's landmarks share a mean, by a composite likelihood in a table beside them. With it, and with `none`,
    each landmark is judged by itself, and words need the more certainty the more landmarks there are."""
    transitions: Flag = False
    """Follow the patients of OS from state to state, by an illness-death model: to progression, to death
    before it, and to death after it. Three more fits a landmark."""

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
        if self.confirmed_after is not None and not self.thresholds:
            raise ValueError("confirmed_after is about response: give thresholds too, such as [30]")
        if not self.progression_scans and not (OS in self.endpoints and self.os_population == ALIVE):
            raise ValueError(
                'progression_scans is about OS of all who are alive: give endpoints with "os" and '
                f'os_population = "{ALIVE}" too'
            )
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
    studies: Literal[STUDIES] = PER_STUDY
    """Where the patient table has a column `study` with more than one study: baseline hazards of each study,
    so that patients are compared within studies, or `shared` ones, as if all patients were of one study."""
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


class MissingSection(Section):
    """Covariates that are missing of some patients are imputed; without this section they are refused."""

    imputations: Annotated[Whole, Field(ge=2, le=MOST_IMPUTATIONS)] = 20
    """How often the table of patients is completed at each landmark; each takes a fit."""
    numbers: Literal["matching", "normal"] = "matching"
    """How a number is imputed: as a value that occurs, the nearest to the prediction with another patient's
    error; or as the prediction and a normal error."""


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
    arms_over: Literal["own shrinkage", "same shrinkage", "own patients"] = "own shrinkage"
    """Over whom arms are averaged to compare them: the covariates of all and each arm's own shrinkage, the
    covariates and shrinkage of all in each arm, or each arm's own patients as they are."""
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
