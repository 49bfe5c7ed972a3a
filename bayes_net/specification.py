"""A specification: one TOML file that says in full what is analysed and how.

It is a value: validated before anything runs, hashed into the result, compared in review. It holds
no code. Unknown keys are refused.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from bayes_net.errors import SpecificationError
from bayes_net.exposure import Covariate, Response, Shrinkage
from bayes_net.priors import (
    Flat,
    Normal,
    Priors,
    hazard_change_prior,
    hazard_ratio_prior,
    median_survival_prior,
)
from bayes_net.schema import ALIVE, AT_RISK, NO_LIMIT, OS, PFS, Duration, duration
from bayes_net.structure import Hazard


def _as_duration(value: object) -> Duration:
    try:
        return duration(value)
    except ValueError as problem:
        raise ValueError(str(problem)) from None


def _as_landmark(value: object) -> str:
    return value if value == NO_LIMIT else str(_as_duration(value))


Length = Annotated[Duration, BeforeValidator(_as_duration), PlainSerializer(str)]
LandmarkText = Annotated[str, BeforeValidator(_as_landmark)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Interval = tuple[Positive, Positive]
Probability = Annotated[float, Field(gt=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class DataSection(_Section):
    """Where the patients come from: two tables, or the built-in generator of a synthetic cohort."""

    synthetic: bool = False
    synthetic_seed: int | None = None
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

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        needed = {"patients": self.patients, "scans": self.scans, "time_unit": self.time_unit}
        missing = [name for name, value in needed.items() if value is None]
        if self.synthetic and len(missing) < len(needed):
            raise ValueError("synthetic = true generates its patients: remove patients, scans and time_unit")
        if self.synthetic and self.synthetic_seed is None:
            raise ValueError("synthetic = true needs synthetic_seed, a whole number")
        if not self.synthetic and missing:
            raise ValueError(f"missing: {', '.join(missing)}")
        return self


class CovariateSection(_Section):
    """A further covariate: numeric (per ``scale``, from ``reference``) or with ``levels``."""

    name: str
    reference: float | None = None
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


class LandmarkSection(_Section):
    """Landmarks, endpoints and how shrinkage enters."""

    times: Annotated[tuple[LandmarkText, ...], Field(min_length=1)]
    endpoints: Annotated[tuple[Literal["pfs", "os"], ...], Field(min_length=1)] = (PFS,)
    os_population: Literal["pfs risk set", "alive"] = AT_RISK
    shrinkage_reference: float = 0.0
    thresholds: tuple[Annotated[float, Field(gt=0, le=100)], ...] = ()
    intention_to_treat: bool = False

    @model_validator(mode="after")
    def _no_repeats(self) -> LandmarkSection:
        for name in ("times", "endpoints", "thresholds"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names something twice: {', '.join(map(str, values))}")
        return self

    def population(self, endpoint: str) -> str:
        """Whose follow-up an endpoint's landmark sets hold."""
        return ALIVE if endpoint == OS and self.os_population == ALIVE else AT_RISK

    def measures(self) -> tuple[Shrinkage | Response, ...]:
        """The ways in which shrinkage enters: as a number, and cut at each threshold."""
        return (Shrinkage(self.shrinkage_reference), *(Response(t) for t in self.thresholds))


class BaselineSection(_Section):
    """Intervals of the piecewise-constant hazard, and how its levels hang together."""

    arms: Literal["per arm", "shared"] = "per arm"
    smoothing: Literal["rw1", "independent"] = "rw1"
    cuts: dict[Literal["pfs", "os"], tuple[Length, ...]] | tuple[Length, ...] | None = None
    intervals: Annotated[int, Field(ge=1, le=50)] | None = None
    grid_width: Length | None = None
    grid_until: Length | None = None

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
        return self


class PriorSection(_Section):
    """Priors as statements about observable quantities; each pair holds with ``probability``."""

    probability: Probability = 0.95
    median_months: Interval | Literal["flat"] = (2.0, 80.0)
    hazard_change_per_year: Annotated[float, Field(gt=1)] = 4.0
    log_hazard: tuple[float, Positive] | None = None
    hazard_ratio_per_10_points: Interval | Literal["flat"] = (0.5, 2.0)
    hazard_ratio_response: Interval | Literal["flat"] = (0.2, 5.0)
    hazard_ratio_arm: Interval | Literal["flat"] = (0.1, 10.0)
    hazard_ratio_covariate: Interval | Literal["flat"] = (0.25, 4.0)

    @model_validator(mode="after")
    def _rising(self) -> PriorSection:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name != "log_hazard" and isinstance(value, tuple) and not value[0] < value[1]:
                raise ValueError(
                    f"{name} = [{value[0]:g}, {value[1]:g}]: the first number must be the smaller"
                )
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
            step_sd=hazard_change_prior(self.hazard_change_per_year, prob=self.probability),
            slope=self._ratio(slope),
            arm_effect=self._ratio(self.hazard_ratio_arm),
            covariate=self._ratio(self.hazard_ratio_covariate),
        )

    def _ratio(self, limits: Interval | str) -> Normal | Flat:
        return Flat() if limits == "flat" else hazard_ratio_prior(*limits, prob=self.probability)


class SamplingSection(_Section):
    """Length of the chains; the seed makes the draws repeatable."""

    seed: Annotated[int, Field(ge=0)]
    draws: Annotated[int, Field(ge=100)] = 1000
    tune: Annotated[int, Field(ge=100)] = 1000
    chains: Annotated[int, Field(ge=2)] = 4
    target_accept: Annotated[float, Field(ge=0.5, lt=1)] = 0.98


class ReportSection(_Section):
    """What is written out beside the hazard ratios."""

    level: Probability = 0.95
    interval: Literal["equal-tailed", "hdi"] = "equal-tailed"
    survival_times: tuple[Length, ...] = (Duration(6, "mo"), Duration(12, "mo"), Duration(24, "mo"))
    horizon: Length = Duration(12, "mo")
    profiles: Annotated[tuple[float, ...], Field(min_length=1)] = (0.0, 30.0)
    patient_level_figures: bool = False


class Specification(_Section):
    """A whole analysis."""

    title: str
    description: str = ""
    data: DataSection
    landmarks: LandmarkSection
    slopes: Literal["per arm", "common"] = "per arm"
    covariates: tuple[CovariateSection, ...] = ()
    baseline: BaselineSection
    priors: PriorSection = PriorSection()
    sampling: SamplingSection
    report: ReportSection = ReportSection()
    _folder: Path = PrivateAttr(default=Path())

    def path(self, name: Literal["patients", "scans"]) -> Path:
        """A data file; relative paths start at the specification's own folder."""
        return self._folder / getattr(self.data, name)

    def hazard(self, measure: Shrinkage | Response) -> Hazard:
        """The hazard model for one way in which shrinkage enters."""
        return Hazard(
            baseline=self.baseline.arms,
            smoothing=self.baseline.smoothing,
            slopes=self.slopes,
            priors=self.priors.values(measure),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the content: comments and order of keys do not change it."""
        plain = self.model_dump(mode="json", exclude_none=True)
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def public_toml(self) -> str:
        """The whole specification, defaults included, as TOML without patient identifiers."""
        plain = self.model_dump(mode="json", exclude_none=True)
        excluded = len(self.data.exclude_patients)
        if excluded:
            plain["data"]["exclude_patients"] = [f"({excluded} identifiers withheld)"]
        return tomli_w.dumps(plain)

    def with_seed(self, seed: int | None) -> Specification:
        """The same analysis with another seed (None keeps its own)."""
        if seed is None:
            return self
        return self.model_copy(update={"sampling": self.sampling.model_copy(update={"seed": seed})})


def read_specification(path: str | Path) -> Specification:
    """The validated specification in ``path``; data paths in it are relative to the file.

    Raises
    ------
    SpecificationError
        The file is missing or no TOML, a key is unknown, or a value is not allowed: every problem is
        named with its key and what is allowed.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise SpecificationError(f"{path}: cannot be read ({problem.strerror})") from problem
    except UnicodeDecodeError as problem:
        raise SpecificationError(
            f"{path}: not UTF-8 text ({problem.reason} at byte {problem.start})"
        ) from problem
    except tomllib.TOMLDecodeError as problem:
        raise SpecificationError(f"{path}: not valid TOML: {problem}") from problem
    return parse_specification(values, where=path)


def parse_specification(values: dict, *, where: Path) -> Specification:
    """The specification in plain ``values``, as read from the file ``where``."""
    try:
        specification = Specification.model_validate(values)
    except ValidationError as problem:
        lines = [f"  {_key(error)}: {_complaint(error)}" for error in problem.errors()]
        raise SpecificationError(f"{where}: the specification is not usable\n" + "\n".join(lines)) from None
    specification._folder = where.resolve().parent
    return specification


def _key(error: dict) -> str:
    return ".".join(str(part) for part in error["loc"]) or "specification"


def _complaint(error: dict) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key; see models/README.md for the keys that exist"
    message = error["msg"].removeprefix("Value error, ")
    got = error.get("input")
    shown = "" if isinstance(got, dict) or error["type"] in ("missing", "value_error") else f" (got {got!r})"
    return message + shown
