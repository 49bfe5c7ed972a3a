"""A kind of published number: its rules, its datum and standard error, what predicts it, how it is named.

A publication prints a rounded estimate, limits and perhaps a p-value; a likelihood needs one number and its
standard error, on a scale on which errors are about normal. Every kind of number is one class of ``ratios``,
``curves`` or ``counts``; ``kinds`` lists them. Which parameter of a model predicts the number is said by its
``quantity``, so that a model knows the quantities and not the kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf, isnan, log, nan
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy import special

from bayes_net.schema import ENDPOINTS

FLOOR_INFLATION = (log(1.15), 0.2)
"""Mean and sd of the log of the factor by which the SE of a median without limits exceeds its floor."""
STUDENT_DF = 4.0
"""Degrees of freedom for an odds ratio known by its p-value only, where sparse data exaggerate."""
Values = Mapping[str, Any]
Array = Any
"""Arrays of numpy, or variables of PyTensor where ``maths`` are its own."""


class Row(Protocol):
    """One row of an evidence table: a Series, or a tuple of ``itertuples``."""

    id: str
    study: str
    cohort_id: str
    arm: str
    reference_arm: str
    subgroup: str
    endpoint: str
    statistic: str
    value: float
    lower: float
    upper: float
    level: float
    p: str
    n: float
    unit: str
    time: float
    landmark: str
    threshold: float
    correlated_with: str
    correlation: str
    said: str
    se: float
    se_log_sd: float
    se_tilt: float
    events: float
    sd: float
    publishing: str
    virtual_trials: str
    use: str
    source: str
    section: str
    note: str
    printed_value: str
    printed_lower: str
    printed_upper: str


class Quantity(Enum):
    """What a published number informs: the parameters of a model that predict it."""

    ARM_EFFECT = "log hazard ratio of the arms, by endpoint and study"
    SLOPE = "log hazard ratio per 10 points of shrinkage, by endpoint, arm and landmark"
    COMPLETION = "log odds ratio of response at completion, given response at mid-treatment"
    CURVE = "log hazard by interval, by endpoint, study and arm"
    SHARE = "share of patients who respond, or whose shrinkage reaches a threshold, by study and arm"
    RANGE = "law of best shrinkage, by study, arm and landmark"


@dataclass(frozen=True)
class Maths:
    """The operations of one library: those in which numpy (draws) and PyTensor (graph) differ."""

    exp: Callable[[Array], Array]
    log: Callable[[Array], Array]
    expm1: Callable[[Array], Array]
    log_ndtr: Callable[[Array], Array]
    where: Callable[[Array, Array, Array], Array]
    logaddexp: Callable[[Array, Array], Array]
    log_sigmoid: Callable[[Array], Array]
    gammaln: Callable[[Array], Array]
    sin: Callable[[Array], Array]
    arcsin: Callable[[Array], Array]


NUMPY = Maths(
    np.exp,
    np.log,
    np.expm1,
    special.log_ndtr,
    np.where,
    np.logaddexp,
    special.log_expit,
    special.gammaln,
    np.sin,
    np.arcsin,
)


@dataclass(frozen=True)
class Statement:
    """Where an estimate lies that is not printed, on its modelling scale: above ``lower`` and
    ``lower_se`` standard errors and the estimate of row ``above``, and the same below."""

    lower: float = -inf
    upper: float = inf
    lower_se: float = -inf
    upper_se: float = inf
    above: str = ""
    below: str = ""

    @property
    def others(self) -> tuple[str, ...]:
        """Ids of the rows that it is compared with."""
        return tuple(filter(None, (self.above, self.below)))

    def reversed(self) -> Statement:
        """What is said of the same number with its sign changed."""
        return Statement(
            -self.upper, -self.lower, -self.upper_se, -self.lower_se, above=self.below, below=self.above
        )


@dataclass(frozen=True)
class Datum:
    """One published number as a likelihood sees it.

    ``kind`` is "normal", "student", "binomial", "ordered" or "said"; ``value`` is on the modelling scale (k/n
    for a binomial, NaN where only a ``statement`` is made) and ``se`` belongs to it; ``log_se_sd`` is the SD
    of its log, and ``se_tilt`` how much that changes with what is estimated. ``se_excess``: by how many of
    such SDs the log of a printed standard error exceeds what is expected of it, NaN where nothing is.
    ``published_z``: from how many standard errors on the number was to be printed, 0 where it was in any
    case. ``inflated`` says that ``se`` is a floor, to be multiplied by a lognormal factor
    (``FLOOR_INFLATION``). ``time`` is the month up to which a curve is read, NaN where no curve is.
    ``successes`` and ``n`` are 0 unless binomial; "ordered" is a median of n with its ``extremes``.
    """

    id: str
    kind: str
    value: float
    se: float = nan
    inflated: bool = False
    time: float = nan
    successes: int = 0
    n: int = 0
    statement: Statement | None = None
    log_se_sd: float = 0.0
    se_tilt: float = 0.0
    se_excess: float = nan
    published_z: float = 0.0
    extremes: tuple[float, float] = (nan, nan)

    @property
    def sampled(self) -> bool:
        """Whether what it says is the law of the patients themselves: it has no standard error."""
        return self.kind in ("binomial", "ordered")

    def errors(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Estimation errors of as many further studies like this one; 0 where patients are counted."""
        if self.sampled:
            return np.zeros(size)
        drawn = rng.standard_t(STUDENT_DF, size) if self.kind == "student" else rng.normal(size=size)
        factor = rng.normal(*FLOOR_INFLATION, size=size) if self.inflated else 0.0
        if self.log_se_sd:
            factor = factor + rng.normal(0.0, self.log_se_sd, size=size)
        return self.se * drawn * np.exp(factor)


def student_log_density(z: Array) -> Array:
    """Log density of Student's t with ``STUDENT_DF`` degrees of freedom, without its constant."""
    return -0.5 * (STUDENT_DF + 1) * np.log1p(z**2 / STUDENT_DF)


class Predicted(Protocol):
    """What draws of a fitted model say of the quantity that one row informs."""

    @property
    def cuts(self) -> np.ndarray:
        """Months at which hazards may change."""

    def value(self) -> np.ndarray:
        """The log hazard ratio, slope as observed, log odds ratio or probability, (draw,)."""

    def log_cumulative_hazard(self, months: np.ndarray) -> np.ndarray:
        """log H of the row's curve at these months, (draw, month)."""

    def law(self) -> tuple[np.ndarray, np.ndarray]:
        """Location and spread of best shrinkage among the row's patients, (draw,) each."""


@dataclass(frozen=True)
class Rule:
    """What breaks the rule and how to say so; ``columns`` are those whose values explain it."""

    broken: Callable[[Row], bool] = field(compare=False)
    got: str
    expected: str
    columns: tuple[str, ...]
    todo: str = "Compare the row with the paper."


LIMITS = ("lower", "value", "upper")
NO_VALUE = Rule(
    lambda r: isnan(r.value), "no value", "a number", ("value",),
    "A median that is not reached needs its lower limit.",
)  # fmt: skip
ONE_LIMIT = Rule(
    lambda r: isnan(r.lower) != isnan(r.upper), "one limit without the other", "both limits, or none", LIMITS,
    "Only a median may have a lower limit alone.",
)  # fmt: skip
UNKNOWN_LEVEL = Rule(
    lambda r: not isnan(r.lower) and not 50 <= r.level < 100, "limits of an unknown level",
    "a level in percent, such as 95", ("level",),
)  # fmt: skip
NOT_POSITIVE = Rule(
    lambda r: min(r.value, 1) <= 0 or min(r.lower, 1) <= 0, "a value or limit of 0 or less",
    "ratios and medians above 0", LIMITS, "Enter them as printed. A log hazard ratio has statistics of its "
    'own: "log effect" with limits, or "log effect with SE" with its standard error as unit "SE 0.21".',
)  # fmt: skip


class Statistic:
    """A kind of published number, by the name that it has in the column ``statistic``.

    ``quantity`` is what predicts it, ``endpoints`` those of which it can be in a likelihood; ``likelihood``
    says in a report what it becomes; ``axis`` ("ratio", "probability" or "linear") and ``unit`` are those of
    a figure. This class itself stands for numbers that can only be kept (use = record).
    """

    name: str = ""
    quantity: Quantity | None = None
    endpoints: tuple[str, ...] = ENDPOINTS
    likelihood: str = ""
    axis: str = "ratio"
    unit: str = ""
    rules: tuple[Rule, ...] = (NO_VALUE, ONE_LIMIT, UNKNOWN_LEVEL)
    """What a printed number of this kind must keep, besides the rules for all rows."""
    rules_of_statements: tuple[Rule, ...] = ()
    """The same of a row with a statement in place of a number; none: only numbers have a likelihood."""
    of_curve: Callable[..., Array]
    """Of numbers that are read off a curve: what is expected of them, from its hazards (``CurvePoint``)."""

    @property
    def by_increments(self) -> bool:
        """Whether the datum is a log cumulative hazard: two of one curve correlate by its increments."""
        return False

    def month(self, row: Row) -> float:
        """The month up to which a curve is read, NaN where none is."""
        return nan

    def datum(self, row: Row) -> Datum:
        """The number on its modelling scale, with its standard error."""
        raise NotImplementedError

    def replicate(
        self, row: Row, predicted: Predicted, errors: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """What studies like the row's would print, (draw,), given their estimation ``errors``."""
        return self.on_print(predicted.value() + errors)

    def on_print(self, x: np.ndarray) -> np.ndarray:
        """A number of the modelling scale as it would be printed."""
        return x

    def compared(self, row: Row) -> float:
        """What the replicates are compared with: the number as printed."""
        return float(row.value)

    def in_words(self, row: Row) -> str:
        """``survival at 20 mo``."""
        time = getattr(row, "time", nan)
        return row.statistic + (f" at {time:g} mo" if pd.notna(time) else "")

    def as_printed(self, row: Row, text: str) -> str:
        """``text``, value and limits as printed, with what else belongs to the number."""
        return text
