"""Numbers that are read off a survival curve: survival at a month, medians, restricted means.

S(t) goes to log(-log S) = log cumulative hazard, where its limits are symmetric, and a median m to the
statement that the cumulative hazard at m is log 2.
"""

from __future__ import annotations

from dataclasses import replace
from math import isnan, log, sqrt

import numpy as np

from bayes_net.statistics import base as statistics
from bayes_net.statistics.base import LIMITS, NUMPY, Array, Datum, Maths, Predicted, Row, Rule
from bayes_net.statistics.rounding import rounded_range, z_of_level

MEDIAN_SHAPE = 1.25
"""k = m h(m) / H(m), which turns the SE of log median into that of log H(m): between 1 and 1.5."""
_MONTHS = np.concatenate([np.linspace(0.5, 60, 60), np.linspace(62, 240, 45)])
"""Where curves are evaluated to find their medians."""


def _all_or_nothing(row: Row) -> bool:
    """Whether the limits of S(t) are both at the edge, or at one that is not rounded to."""
    at_edge = {"lower": row.lower == 0, "upper": row.upper == 1}
    exact = [name for name, there in at_edge.items() if there and "." not in getattr(row, f"printed_{name}")]
    return all(at_edge.values()) or bool(exact)


def _half_step(printed: str) -> float:
    """Half a unit of the last digit that is printed; that of 1 or 0 alone is taken for two decimals."""
    low, high = rounded_range(printed)
    return min((high - low) / 2, 0.005)


def log_cumulative_hazard(hazard: Array, months: Array, maths: Maths = NUMPY) -> Array:
    """log H of curves, (..., row), at times that spent ``months`` (row, interval) in each interval;
    ``hazard`` (..., row, interval)."""
    return maths.log((hazard * months).sum(axis=-1))


def restricted_mean(hazard: Array, months: Array, maths: Maths = NUMPY) -> Array:
    """Mean survival time up to a horizon that spent ``months`` (row, interval) in each interval, (..., row).

    The integral of S(t), exact for hazards (..., row, interval) that are constant within intervals
    (Royston & Parmar 2013, doi:10.1186/1471-2288-13-152).
    """
    gained = hazard * months
    before = gained.cumsum(axis=-1) - gained
    return (maths.exp(-before) * -maths.expm1(-gained) / hazard).sum(axis=-1)


class CurvePoint(statistics.Statistic):
    """A number that is read off a curve: normal around what ``of_curve`` makes of the curve's hazards."""

    quantity = statistics.Quantity.CURVE
    likelihood = "points of a curve (survival at a time, medians): normal on the log cumulative hazard"
    of_curve = staticmethod(log_cumulative_hazard)
    """From hazards (..., row, interval) and months in each interval up to the row's time (row, interval)
    to what is expected of the row, (..., row); of numpy arrays, and of PyTensor's with their ``maths``."""

    @property
    def by_increments(self) -> bool:
        """Those that ``of_curve`` makes a log cumulative hazard do."""
        return self.of_curve is log_cumulative_hazard

    def month(self, row: Row) -> float:
        """The month up to which the curve is read."""
        return float(row.time)


class Survival(CurvePoint):
    """Survival at ``time`` months."""

    name = "survival"
    axis = "probability"

    rules = (
        *CurvePoint.rules,
        Rule(lambda r: not 0 < r.value < 1 or r.lower < 0 or r.upper > 1 or _all_or_nothing(r),
             "no probability",
             "value and limits of S(t) between 0 and 1", LIMITS, "Divide percentages by 100."),
        Rule(lambda r: not r.time > 0, "no time", "the months at which S(t) is read", ("time",)),
        Rule(lambda r: isnan(r.lower), "S(t) without limits", "both limits", LIMITS,
             "Without them it can only be kept with use = record."),
    )  # fmt: skip

    def datum(self, row: Row) -> Datum:
        """log(-log S), its SE from the limits on that scale."""
        mid, z = log(-log(row.value)), z_of_level(row.level)
        # a limit that rounds to 0 or 1 is somewhere beyond the last one that does not
        low, high = (
            log(-log(s)) if 0 < s < 1 else log(-log(abs(s - _half_step(printed or str(s)))))
            for s, printed in ((row.upper, row.printed_upper), (row.lower, row.printed_lower))
        )
        se = (high - low) / (2 * z)
        if row.upper == 1:
            se = max(high - mid, mid - low) / z
        elif row.lower == 0:
            se = max(mid - low, high - mid) / z
        return Datum(row.id, "normal", mid, se, time=self.month(row))

    def replicate(
        self, row: Row, predicted: Predicted, errors: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """S(t) of as many further studies, (draw,)."""
        log_h = predicted.log_cumulative_hazard(np.array([self.month(row)]))[:, 0]
        return np.exp(-np.exp(log_h + errors))


class Median(CurvePoint):
    """The month at which half of the patients have had the event, or a lower limit of it."""

    name = "median"
    unit = "mo"

    rules = (
        replace(statistics.NO_VALUE, broken=lambda r: isnan(r.value) and isnan(r.lower)),
        replace(statistics.ONE_LIMIT, broken=lambda r: isnan(r.lower) and not isnan(r.upper)),
        statistics.UNKNOWN_LEVEL,
        statistics.NOT_POSITIVE,
        Rule(lambda r: not r.n > 0, "a median without its number of patients", "n", ("n",),
             "Its standard error has a floor that depends on n."),
        Rule(lambda r: r.unit != "months", "a median without a unit, or in another unit", "months",
             ("value", "unit"), 'Convert it, and say unit "months": units are stated, never guessed.'),
    )  # fmt: skip

    def month(self, row: Row) -> float:
        """The median, or where it is not reached its lower limit."""
        return float(row.lower if isnan(row.value) else row.value)

    def datum(self, row: Row) -> Datum:
        """log log 2 at the median, its SE from the limits but never below what n patients can tell."""
        floor, target = 1 / (log(2) * sqrt(row.n)), log(log(2))
        if isnan(row.value):
            # the lower limit of a log-log interval is where log H is z standard errors below log log 2
            target -= z_of_level(row.level) * floor
            return Datum(row.id, "normal", target, floor, time=self.month(row))
        if isnan(row.lower):
            return Datum(row.id, "normal", target, floor, inflated=True, time=self.month(row))
        upper = row.value**2 / row.lower if isnan(row.upper) else row.upper
        se = MEDIAN_SHAPE * log(upper / row.lower) / (2 * z_of_level(row.level))
        return Datum(row.id, "normal", target, max(se, floor), time=self.month(row))

    def replicate(
        self, row: Row, predicted: Predicted, errors: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """The month at which each log cumulative hazard reaches its target (the last one if later)."""
        log_h = predicted.log_cumulative_hazard(_MONTHS)
        targets = self.datum(row).value + errors
        return np.array([np.interp(t, h, _MONTHS) for t, h in zip(targets, log_h, strict=True)])

    def compared(self, row: Row) -> float:
        """The same month."""
        return self.month(row)


class RestrictedMean(CurvePoint):
    """Mean survival time up to a horizon of ``time`` months, the area under the curve until then."""

    name = "restricted mean"
    axis = "linear"
    unit = "mo"
    likelihood = "restricted mean survival times: normal, in months"
    of_curve = staticmethod(restricted_mean)
    rules = (
        *CurvePoint.rules,
        Rule(lambda r: not r.time > 0, "no horizon", "the months up to which survival is averaged",
             ("time",)),
        Rule(lambda r: not 0 < r.value < r.time, "no mean of survival up to its horizon",
             "a value between 0 and time", ("value", "time"), "Enter both in months."),
        Rule(lambda r: isnan(r.lower), "a restricted mean without limits", "both limits", LIMITS,
             "Without them it can only be kept with use = record."),
        Rule(lambda r: r.unit != "months", "a restricted mean without a unit, or in another unit", "months",
             ("value", "unit"), 'Convert it, and say unit "months": units are stated, never guessed.'),
    )  # fmt: skip

    def datum(self, row: Row) -> Datum:
        """The months as printed, their SE from the limits."""
        se = (row.upper - row.lower) / (2 * z_of_level(row.level))
        return Datum(row.id, "normal", float(row.value), se, time=self.month(row))

    def replicate(
        self, row: Row, predicted: Predicted, errors: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Restricted means of as many further studies, (draw,), by hazards in hundredths of the horizon."""
        months = np.union1d(np.linspace(0.0, self.month(row), 101), predicted.cuts)
        months = months[months <= self.month(row)]
        cumulative = np.exp(predicted.log_cumulative_hazard(months[1:]))
        spent = np.diff(months)
        return restricted_mean(np.diff(cumulative, axis=-1, prepend=0.0) / spent, spent) + errors

    def in_words(self, row: Row) -> str:
        """``restricted mean to 24 mo``."""
        return super().in_words(row).replace(" at ", " to ", 1)
