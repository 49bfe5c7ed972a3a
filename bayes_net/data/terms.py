"""What enters the linear predictor of patients: shrinkage, in one of three ways, and covariates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.interpolate import CubicSpline

from bayes_net.data.assessments import RESPONSE_POINTS
from bayes_net.data.landmarks import LandmarkSet, response
from bayes_net.errors import InputError, listed
from bayes_net.schema import ARM, POINTS_PER_UNIT
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
class TrueShrinkage(Shrinkage):
    """The same of the tumour itself, where scans measure the log of its sum of diameters with an error of SD
    ``sd`` each: what is measured is not exact, and the likelihood is averaged over what may be true."""

    sd: float = 0.07

    @property
    def label(self) -> str:
        """Name in tables."""
        return "true shrinkage"

    @property
    def key(self) -> str:
        """Name in file groups."""
        return "true_shrinkage"


@dataclass(frozen=True)
class Response:
    """Best shrinkage cut in two: 1 for at least ``threshold`` points, else 0."""

    threshold: float = 30.0
    apart: float | None = field(default=None, compare=False)
    """By how many points responders have shrunk more than others, by which a prior per 10 points becomes one
    of response; ``expose`` takes it from its landmark set. None: not known."""

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


def points_apart(landmarks: LandmarkSet, measure: Response) -> float | None:
    """By how many points responders have shrunk more than others, to the point: the difference of mean best
    shrinkage at each true landmark, averaged over responders. None: scans have no sizes, or no landmark has
    both.

    It is taken from shrinkage alone, never from what followed, so that a prior may rest on it.
    """
    if not landmarks.sized:
        return None
    true, found, weights = [at for at in landmarks.landmarks if not at.biased] or landmarks.landmarks, [], []
    for at in true:
        shrinkage = landmarks.at(at.label)["shrinkage"].dropna().to_numpy(float)
        responded = measure.score(shrinkage) == 1
        if responded.any() and not responded.all():
            found.append(shrinkage[responded].mean() - shrinkage[~responded].mean())
            weights.append(responded.sum())
    return float(np.round(np.average(found, weights=weights))) if found else None


def of_landmarks(measure: Measure, landmarks: LandmarkSet) -> Measure:
    """The measure; a response that is not told how far apart responders and others are learns it here."""
    if not isinstance(measure, Response) or measure.apart is not None:
        return measure
    return replace(measure, apart=points_apart(landmarks, measure))


def measure_attrs(measure: Measure) -> dict[str, str | float]:
    """The measure as plain attributes of a posterior file; ``measure_of`` reads them back."""
    known = {name: value for name, value in asdict(measure).items() if value is not None}
    return {"measure": type(measure).__name__.lower()} | known


def measure_of(attrs: dict) -> Measure:
    """The measure that ``measure_attrs`` wrote."""
    if attrs["measure"] == "response":
        return Response(float(attrs["threshold"]), attrs.get("apart"))
    if attrs["measure"] == "withoutshrinkage":
        return WithoutShrinkage()
    if attrs["measure"] == "trueshrinkage":
        return TrueShrinkage(float(attrs["reference"]), float(attrs["sd"]))
    return Shrinkage(float(attrs["reference"]))


def covariate_attrs(terms: Sequence[Covariate]) -> dict[str, str]:
    """The covariates as a plain attribute of a posterior file; ``covariates_of`` reads them back."""
    return {"covariates": json.dumps([asdict(each) for each in terms])} if terms else {}


def covariates_of(attrs: dict) -> dict[str, Covariate]:
    """The covariates that ``covariate_attrs`` wrote, by name."""
    found = json.loads(attrs.get("covariates", "[]"))
    return {own["name"]: Covariate(**{name: _plain(x) for name, x in own.items()}) for own in found}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Covariate:
    """A column of the patient table in the linear predictor.

    Numeric columns enter as (value - reference) / scale; for categories give ``levels`` with the
    reference level first, and every other level gets a 0/1 column.

    With ``knots`` a number has a natural cubic spline f, which is linear beyond the outer knots: a column for
    every knot but the one nearest to the reference, whose coefficient is the log hazard ratio of patients at
    that knot against patients at the nearest one; f is 0 at the reference. A whole number of knots asks for
    quantiles of the patients (``spline_knots``). With ``arms`` each of them has coefficients of its own.
    """

    name: str
    reference: float = 0.0
    scale: float = 1.0
    levels: tuple[str, ...] = ()
    knots: tuple[float, ...] | int = ()
    arms: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that enter the linear predictor, those of the first arm first."""
        return tuple(f"{name}, {arm}" for arm in self.arms for name in self._of_value) or self._of_value

    @property
    def _of_value(self) -> tuple[str, ...]:
        """Names of what a value becomes."""
        if self.levels:
            return tuple(f"{self.name}: {level}" for level in self.levels[1:])
        if not self.knots:
            return (self.name,)
        knots, nearest = self._knots
        return tuple(f"{self.name}: {at:g} against {knots[nearest]:g}" for at in np.delete(knots, nearest))

    @property
    def _knots(self) -> tuple[np.ndarray, int]:
        if isinstance(self.knots, int):
            raise InputError(
                f"covariate {self.name!r} has {self.knots} knots and no patients to place them; expected "
                "their values, as spline_knots gives them"
            )
        knots = np.asarray(self.knots, float)
        if len(knots) < 3 or not (np.isfinite(knots).all() and (np.diff(knots) > 0).all()):
            raise InputError(f"covariate {self.name!r} has knots {listed(knots)}; expected 3 or more, rising")
        return knots, int(np.abs(knots - self.reference).argmin())

    def with_knots(self, values: pd.Series | None) -> Covariate:
        """The same with its knots at quantiles of the patients' ``values``, where they are asked for so."""
        if not isinstance(self.knots, int) or values is None:
            return self
        if values.dtype.kind not in "fiu":
            raise InputError(
                f"covariate {self.name!r} is not of numbers, and a spline is of numbers; give levels"
            )
        return replace(self, knots=spline_knots(values.to_numpy(float), self.knots, name=self.name))

    def coded(self, value: object) -> dict[str, float]:
        """What a patient with this value, a number or one of the levels, has in the columns; of columns of an
        arm in that arm.

        Raises
        ------
        InputError
            It is no number, or none of the levels.
        """
        if self.levels:
            (level,) = as_levels([value])
            if level not in as_levels(self.levels):
                raise InputError(f"{self.name} = {value!r}; expected one of {', '.join(self.levels)}")
        elif (
            isinstance(value, bool)
            or not isinstance(value, int | float | np.number)
            or not np.isfinite(value)
        ):
            raise InputError(f"{self.name} = {value!r}; expected a number")
        coded = self._code(pd.Series([value]))[0].tolist()
        return dict(zip(self.columns, coded * max(len(self.arms), 1), strict=True))

    @property
    def against_first(self) -> dict[str, tuple[str, str]]:
        """The columns of each later arm and of the first, by what their difference is called."""
        return {
            f"{name}, {arm} against {self.arms[0]}": (f"{name}, {arm}", f"{name}, {self.arms[0]}")
            for arm in self.arms[1:]
            for name in self._of_value
        }

    @property
    def arm_of(self) -> dict[str, str]:
        """The arm of each column that is of one."""
        return {f"{name}, {arm}": arm for arm in self.arms for name in self._of_value}

    def values(self, table: pd.DataFrame) -> np.ndarray:
        """The columns for the rows of ``table``, shape (rows, columns)."""
        if self.name not in table:
            raise InputError(
                f"covariate {self.name!r} is not in the landmark set; read it with "
                f"read_cohort(..., covariates=[{self.name!r}])"
            )
        if missing := int(table[self.name].isna().sum()):
            raise InputError(
                f"covariate {self.name!r} is missing of {missing} patients; expected a value of each, or "
                "expose_imputed, which completes them"
            )
        coded = self._code(table[self.name])
        if not self.arms:
            return coded
        return np.hstack([coded * (table[ARM].to_numpy() == arm)[:, None] for arm in self.arms])

    def _code(self, column: pd.Series) -> np.ndarray:
        """What values become, (rows, columns of an arm)."""
        if not self.levels:
            x = column.to_numpy(float)
            if not self.knots:
                return ((x - self.reference) / self.scale)[:, None]
            knots, nearest = self._knots
            from_reference = cardinal_spline(x, knots) - cardinal_spline([self.reference], knots)
            return np.delete(from_reference, nearest, axis=1)
        found, declared = np.array(as_levels(column), dtype=object), as_levels(self.levels)
        if unknown := sorted(set(found) - set(declared)):
            raise InputError(
                f"covariate {self.name!r} has levels {listed(unknown)} that are not declared; "
                f"declared: {', '.join(self.levels)}"
            )
        return (found[:, None] == np.array(declared[1:], dtype=object)).astype(float)


def in_arm(covariates: np.ndarray, terms: Sequence[Covariate], arm: str) -> np.ndarray:
    """The columns (..., covariate) of ``terms`` as patients with the same values have them in ``arm``."""
    moved, end = covariates.copy(), 0
    for each in terms:
        start, end = end, end + len(each.columns)
        if each.arms:
            by_arm = covariates[..., start:end].reshape(*covariates.shape[:-1], len(each.arms), -1)
            there = np.array([own == arm for own in each.arms])[:, None] * by_arm.sum(axis=-2, keepdims=True)
            moved[..., start:end] = there.reshape(*covariates.shape[:-1], -1)
    return moved


QUANTILES = {
    3: (0.1, 0.5, 0.9),
    4: (0.05, 0.35, 0.65, 0.95),
    5: (0.05, 0.275, 0.5, 0.725, 0.95),
    6: (0.05, 0.23, 0.41, 0.59, 0.77, 0.95),
    7: (0.025, 0.1833, 0.3417, 0.5, 0.6583, 0.8167, 0.975),
}
"""Where knots of a spline are among the patients' values: Harrell 2015, Regression Modeling Strategies,
section 2.4.6, doi:10.1007/978-3-319-19425-7."""


def spline_knots(values: np.ndarray, knots: int, *, name: str = "the covariate") -> tuple[float, ...]:
    """So many ``knots`` at quantiles of the patients' values.

    Raises
    ------
    InputError
        There are no quantiles for this number, or values are so often the same that knots would coincide.
    """
    if knots not in QUANTILES:
        raise InputError(f"{name}: {knots} knots; expected {min(QUANTILES)} to {max(QUANTILES)}")
    found = np.nanquantile(np.asarray(values, float), QUANTILES[knots])
    if not (np.diff(found) > 0).all():
        raise InputError(
            f"{name}: {knots} knots are at {listed(f'{at:g}' for at in found)}, of which some are the same; "
            "expected fewer knots, or levels for a number with few values"
        )
    return tuple(map(float, found))


def cardinal_spline(x: npt.ArrayLike, knots: np.ndarray) -> np.ndarray:
    """Natural cubic splines that are 1 at one knot and 0 at the others, (value, knot); linear beyond the
    outer knots."""
    x = np.asarray(x, float)
    spline, within = (
        CubicSpline(knots, np.eye(len(knots)), bc_type="natural"),
        np.clip(x, knots[0], knots[-1]),
    )
    return spline(within) + spline(within, 1) * (x - within)[:, None]
