"""What enters the linear predictor of patients: shrinkage, in one of three ways, and covariates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from bayes_net.data.assessments import RESPONSE_POINTS
from bayes_net.data.landmarks import response
from bayes_net.errors import InputError, listed
from bayes_net.schema import POINTS_PER_UNIT
from bayes_net.tables.values import as_levels


@dataclass(frozen=True)
class Shrinkage:
    """Best shrinkage as a continuous score: units of 10 points away from ``reference`` points."""

    reference: float = 0.0

    @property
    def label(self) -> str:
        """Name in tables."""
        return "shrinkage"

    @property
    def key(self) -> str:
        """Name in file groups."""
        return "shrinkage"

    def score(self, shrinkage: np.ndarray) -> np.ndarray:
        """Score of best shrinkages in percentage points."""
        return (np.asarray(shrinkage, float) - self.reference) / POINTS_PER_UNIT


@dataclass(frozen=True)
class Response:
    """Best shrinkage cut in two: 1 for at least ``threshold`` points, else 0."""

    threshold: float = 30.0

    @property
    def label(self) -> str:
        """Name in tables, with the threshold."""
        return f"response >= {self.threshold:g} %"

    @property
    def key(self) -> str:
        """Name in file groups."""
        return f"response_{self.threshold:g}"

    def score(self, shrinkage: np.ndarray) -> np.ndarray:
        """1 or 0 for best shrinkages in percentage points."""
        return response(pd.DataFrame({"shrinkage": np.asarray(shrinkage, float)}), self.threshold).to_numpy(
            float
        )


@dataclass(frozen=True)
class WithoutShrinkage:
    """No shrinkage in the model: arms and covariates of everyone at risk, with scans or without."""

    @property
    def label(self) -> str:
        """Name in tables."""
        return "without shrinkage"

    @property
    def key(self) -> str:
        """Name in file groups."""
        return "without_shrinkage"

    def score(self, shrinkage: np.ndarray) -> np.ndarray:
        """0, whatever the shrinkage."""
        return np.zeros(np.shape(shrinkage))


Measure = Shrinkage | Response | WithoutShrinkage


def check_measure(measure: Measure, *, sized: bool) -> None:
    """Raise an ``InputError`` where scans without sizes do not say what the measure asks for."""
    if not sized and measure not in (Response(RESPONSE_POINTS), WithoutShrinkage()):
        raise InputError(
            f"the scans have responses and no sizes, so {measure.label} is not known; expected "
            f"Response({RESPONSE_POINTS:g}), which CR and PR are, or WithoutShrinkage()"
        )


def measure_attrs(measure: Measure) -> dict[str, str | float]:
    """The measure as plain attributes of a posterior file; ``measure_of`` reads them back."""
    return {"measure": type(measure).__name__.lower()} | asdict(measure)


def measure_of(attrs: dict) -> Measure:
    """The measure that ``measure_attrs`` wrote."""
    if attrs["measure"] == "response":
        return Response(float(attrs["threshold"]))
    if attrs["measure"] == "withoutshrinkage":
        return WithoutShrinkage()
    return Shrinkage(float(attrs["reference"]))


def covariate_attrs(terms: Sequence[Covariate]) -> dict[str, str]:
    """The covariates as a plain attribute of a posterior file; ``covariates_of`` reads them back."""
    return {"covariates": json.dumps([asdict(each) for each in terms])} if terms else {}


def covariates_of(attrs: dict) -> dict[str, Covariate]:
    """The covariates that ``covariate_attrs`` wrote, by name."""
    found = json.loads(attrs.get("covariates", "[]"))
    return {own["name"]: Covariate(**own | {"levels": tuple(own["levels"])}) for own in found}


@dataclass(frozen=True)
class Covariate:
    """A column of the patient table in the linear predictor.

    Numeric columns enter as (value - reference) / scale; for categories give ``levels`` with the
    reference level first, and every other level gets a 0/1 column.
    """

    name: str
    reference: float = 0.0
    scale: float = 1.0
    levels: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that enter the linear predictor."""
        return tuple(f"{self.name}: {level}" for level in self.levels[1:]) if self.levels else (self.name,)

    def coded(self, value: object) -> dict[str, float]:
        """What the columns hold for a patient with this value: a number, or one of the levels.

        Raises
        ------
        InputError
            It is no number, or none of the levels.
        """
        if self.levels:
            (level,) = as_levels([value])
            declared = as_levels(self.levels)
            if level not in declared:
                raise InputError(f"{self.name} = {value!r}; expected one of {', '.join(self.levels)}")
            return {name: float(level == own) for name, own in zip(self.columns, declared[1:], strict=True)}
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float | np.number)
            or not np.isfinite(value)
        ):
            raise InputError(f"{self.name} = {value!r}; expected a number")
        return {self.name: (float(value) - self.reference) / self.scale}

    def values(self, table: pd.DataFrame) -> np.ndarray:
        """The columns for the rows of ``table``, shape (rows, columns)."""
        if self.name not in table:
            raise InputError(
                f"covariate {self.name!r} is not in the landmark set; read it with "
                f"read_cohort(..., covariates=[{self.name!r}])"
            )
        column = table[self.name]
        if not self.levels:
            return ((column.to_numpy(float) - self.reference) / self.scale)[:, None]
        found, declared = np.array(as_levels(column), dtype=object), as_levels(self.levels)
        if unknown := sorted(set(found) - set(declared)):
            raise InputError(
                f"covariate {self.name!r} has levels {listed(unknown)} that are not declared; "
                f"declared: {', '.join(self.levels)}"
            )
        return (found[:, None] == np.array(declared[1:], dtype=object)).astype(float)
