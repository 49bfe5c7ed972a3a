"""The tables of a specification: their keys, defaults, and what contradicts what."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bayes_net.data.exposure import Covariate, Response, Shrinkage, grid_cuts
from bayes_net.data.landmarks import landmark_times
from bayes_net.errors import InputError
from bayes_net.model.priors import (
    Flat,
    HalfNormal,
    Normal,
    Priors,
    hazard_change_prior,
    hazard_ratio_prior,
    median_survival_prior,
    slope_change_prior,
)
from bayes_net.numbers import counted
from bayes_net.schema import ALIVE, AT_RISK, OS, PFS, Duration
from bayes_net.specification.fields import (
    MOST_IMPUTATIONS,
    MOST_INTERVALS,
    Cuts,
    Flag,
    LandmarkText,
    Length,
    Limits,
    Number,
    Positive,
    PositiveLength,
    Share,
    Whole,
    repeated,
)


class Section(BaseModel):
    """A table whose keys are fixed: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What ``repr`` and ``str`` show: every value, identifiers of patients withheld."""
        for name, value in super().__repr_args__():
            yield name, without_identifiers({name: value})[name]


class ScenarioSection(Section):
    """A named change of the specification: keys with dots, such as "priors.median_months", and new values."""

    name: Annotated[str, Field(min_length=1)]
    change: Annotated[dict[str, Any], Field(min_length=1)]


Grid = dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]]
"""Keys with dots and the values that each takes in turn: every combination is a scenario."""


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
    """A specification as plain values, without the tables of scenarios if there are none."""
    return {key: value for key, value in plain.items() if value or key not in ("scenarios", "grid")}


Scenarios = Annotated[tuple[ScenarioSection, ...], listed_tables("scenarios")]


class DataSection(Section):
    """Where the patients come from: two tables, or the built-in generator of a synthetic cohort."""

    synthetic: Flag = False
    synthetic_seed: Annotated[Whole, Field(ge=0)] | None = None
    patients: Path | None = None
    scans: Path | None = None
    time_unit: Literal["days", "weeks", "months", "years"] | None = None
    size_unit: Literal["mm", "cm"] | None = None
    patient_columns: dict[str, str] = {}
    scan_columns: dict[str, str] = {}
    arms: tuple[str, ...] = ()
    baseline_window: Length = Duration(0.0, "d")
    scans_after_death: Literal["refuse", "drop"] = "refuse"
    exclude_patients: tuple[str, ...] = ()
    study: str | None = None

    @property
    def needs_scans(self) -> bool:
        """Whether an analysis of these patients reads their scans."""
        return True

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        needed = {"patients": self.patients, "time_unit": self.time_unit}
        if self.needs_scans:
            needed["scans"] = self.scans
        missing = [name for name, value in needed.items() if value is None]
        if self.synthetic and len(missing) < len(needed):
            raise ValueError("synthetic = true generates its patients: remove patients, scans and time_unit")
        if self.synthetic and self.synthetic_seed is None:
            raise ValueError("synthetic = true needs synthetic_seed, a whole number")
        if not self.synthetic and missing:
            raise ValueError(f"missing: {', '.join(missing)}")
        return self


class CovariateSection(Section):
    """A further covariate: numeric (per ``scale``, from ``reference``) or with ``levels``."""

    name: str
    reference: Number | None = None
    scale: Positive = 1.0
    levels: tuple[str, ...] = ()

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

    times: Annotated[tuple[LandmarkText, ...], Field(min_length=1)]
    endpoints: Annotated[tuple[Literal["pfs", "os"], ...], Field(min_length=1)] = (PFS,)
    os_population: Literal["pfs risk set", "alive"] = AT_RISK
    shrinkage_reference: Number = 0.0
    thresholds: tuple[Annotated[Number, Field(gt=0, le=100)], ...] = ()
    intention_to_treat: Flag = False

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
    smoothing: Literal["rw1", "independent"] = "rw1"
    cuts: Cuts = None
    intervals: Annotated[Whole, Field(ge=1, le=MOST_INTERVALS)] | None = None
    grid_width: PositiveLength | None = None
    grid_until: PositiveLength | None = None

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
        if self.grid_width is not None and len(grid_cuts(self.grid_width, self.grid_until)) >= MOST_INTERVALS:
            grid = f"a grid of {self.grid_width} until {self.grid_until}"
            raise ValueError(f"{grid} has more than {MOST_INTERVALS} intervals")
        return self


@lru_cache
def hazard_change(factor: float, probability: float) -> HalfNormal:
    """``hazard_change_prior``, kept: it is solved by numerical integration, a fifth of a second long."""
    return hazard_change_prior(factor, prob=probability)


@lru_cache
def slope_change(factor: float, probability: float) -> HalfNormal:
    """``slope_change_prior``, kept for the same reason."""
    return slope_change_prior(factor, prob=probability)


class PriorSection(Section):
    """Priors as statements about observable quantities; each pair holds with ``probability``."""

    probability: Share = 0.95
    median_months: Limits = (2.0, 80.0)
    hazard_change_per_year: Annotated[Number, Field(gt=1, le=1000)] = 4.0
    log_hazard: tuple[Number, Positive] | None = None
    hazard_ratio_per_10_points: Limits = (0.5, 2.0)
    hazard_ratio_response: Limits = (0.2, 5.0)
    hazard_ratio_arm: Limits = (0.1, 10.0)
    hazard_ratio_covariate: Limits = (0.25, 4.0)
    hazard_ratio_change_per_year: Annotated[Number, Field(gt=1, le=1000)] = 2.0

    @model_validator(mode="after")
    def _one_level(self) -> PriorSection:
        if {"median_months", "log_hazard"} <= self.model_fields_set:
            raise ValueError("median_months and log_hazard say the same thing in two ways: give one of them")
        return self

    def values(self, measure: Shrinkage | Response) -> Priors:
        """The distributions that the statements mean, for one way in which shrinkage enters."""
        slope = (
            self.hazard_ratio_response if isinstance(measure, Response) else self.hazard_ratio_per_10_points
        )
        if self.log_hazard is not None:
            level = Normal(
                *self.log_hazard,
                statement=f"log hazard per month N({self.log_hazard[0]:g}, {self.log_hazard[1]:g})",
            )
        else:
            level = (
                Flat()
                if self.median_months == "flat"
                else median_survival_prior(*self.median_months, prob=self.probability)
            )
        return Priors(
            level=level,
            step_sd=hazard_change(self.hazard_change_per_year, self.probability),
            slope=self._ratio(slope),
            arm_effect=self._ratio(self.hazard_ratio_arm),
            covariate=self._ratio(self.hazard_ratio_covariate),
            slope_step_sd=slope_change(self.hazard_ratio_change_per_year, self.probability),
        )

    def _ratio(self, limits: tuple[float, float] | str) -> Normal | Flat:
        return Flat() if limits == "flat" else hazard_ratio_prior(*limits, prob=self.probability)


class CensoringSection(Section):
    """What is assumed of patients after their censoring, if it is not what the model says of all others."""

    factor: Annotated[Number, Field(ge=0)] = 1.0
    imputations: Annotated[Whole, Field(ge=2, le=MOST_IMPUTATIONS)] = 20
    arms: tuple[str, ...] = ()
    shrinkage_at_least: Annotated[Number, Field(le=100)] | None = None
    shrinkage_below: Annotated[Number, Field(le=100)] | None = None
    horizon: PositiveLength | None = None

    @model_validator(mode="after")
    def _somebody(self) -> CensoringSection:
        if twice := repeated(self.arms):
            raise ValueError(f"arms has {', '.join(twice)} twice")
        limits = self.shrinkage_at_least, self.shrinkage_below
        if None not in limits and not limits[0] < limits[1]:
            raise ValueError(
                f"no shrinkage is at least {limits[0]:g} and below {limits[1]:g}; expected a lower "
                "shrinkage_at_least than shrinkage_below"
            )
        return self


class SamplingSection(Section):
    """Length of the chains; the seed makes the draws repeatable."""

    seed: Annotated[Whole, Field(ge=0)]
    draws: Annotated[Whole, Field(ge=100)] = 1000
    tune: Annotated[Whole, Field(ge=100)] = 500
    chains: Annotated[Whole, Field(ge=2)] = 4
    target_accept: Annotated[Number, Field(ge=0.5, lt=1)] = 0.98
    retry: Flag = True


class ReportSection(Section):
    """What is written out beside the hazard ratios."""

    level: Share = 0.95
    interval: Literal["equal-tailed", "hdi"] = "equal-tailed"
    survival_times: Annotated[tuple[PositiveLength, ...], Field(min_length=1)] = (
        Duration(6, "mo"),
        Duration(12, "mo"),
        Duration(24, "mo"),
    )
    horizon: PositiveLength = Duration(12, "mo")
    profiles: Annotated[tuple[Annotated[Number, Field(le=100)], ...], Field(min_length=1)] = (0.0, 30.0)
    patient_level_figures: Flag = False

    @model_validator(mode="after")
    def _one_of_each(self) -> ReportSection:
        # tables name a time by three digits, and a profile by six
        if twice := repeated(f"{time.months:.3g} mo" for time in self.survival_times):
            raise ValueError(f"survival_times has {', '.join(twice)} twice")
        if twice := repeated(f"{points:g}" for points in self.profiles):
            raise ValueError(f"profiles has {', '.join(twice)} twice")
        return self
