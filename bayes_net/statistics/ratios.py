"""Effects: hazard ratios of arms and per point of shrinkage, odds ratios, and log effects.

Ratios go to the log. Their standard error comes from the limits, or from a p-value printed as a number.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import isnan, nan

import numpy as np

from bayes_net.schema import POINTS_PER_UNIT
from bayes_net.statistics import rounding, statements
from bayes_net.statistics.base import LIMITS, NOT_POSITIVE, Datum, Quantity, Row, Rule, Statistic
from bayes_net.statistics.rounding import centre, exact, feasible_regions, on_scale, rounding_share, z_of_p

PER_POINT, PER_POINT_PCHG = "per +1 point of shrinkage", "per +1 point of PCHG"
MID_TREATMENT = "16 w"
"""When mid-treatment response is seen, where a row has no landmark: after two cycles eight weeks apart."""
COARSE = 0.15
"""Limits are coarse where their rounding alone leaves the SE open by more than this share."""
_ON_P = re.compile(r"\bp[- ]?values?\b", re.IGNORECASE)
"""What a note has to speak of to explain why limits and p-value differ."""
_ON_LIMITS = re.compile(r"\b(limits?|intervals?|CI|asymmetric|profile|exact|bootstrap)\b", re.IGNORECASE)
"""What a note has to speak of to explain why limits lie unevenly around their estimate."""
NOT_A_RATIO = 10.0
"""From here on a number without a unit is no hazard ratio but a percentage."""


def agrees(row: Row, *, logs: bool) -> bool:
    """Whether some estimate and SE give back the row's value, limits and p-value as printed; ``logs`` is true
    for ratios."""
    if isnan(row.lower) or not row.p:
        return True
    return bool(feasible_regions(*_texts(row), row.p, level=row.level, logs=logs))


def _texts(row: Row) -> tuple[str, str, str]:
    """Value and limits as printed, trailing zeros included where the table kept them."""

    def printed(name: str) -> str:
        return getattr(row, f"printed_{name}", "") or str(getattr(row, name))

    return printed("value"), printed("lower"), printed("upper")


def _contradictory(row: Row, logs: bool) -> bool:
    """Limits and p-value differ and no note speaks of the p-value; one on something else explains nothing.

    Rows that break other rules are left to those.
    """
    sound = 50 <= row.level < 100 and row.lower < row.upper
    positive = not logs or (row.value > 0 and row.lower >= 0)
    rounded_away = logs and row.lower == 0  # estimates so far out are not normal to three digits
    return sound and positive and not (_ON_P.search(row.note) or rounded_away or agrees(row, logs=logs))


def _lopsided(row: Row, logs: bool) -> bool:
    """Limits that no estimate and SE give back, rounded as they are, and no note says why."""
    sound = (
        50 <= row.level < 100 and row.lower < row.upper and (not logs or (row.value > 0 and row.lower >= 0))
    )
    if not sound or _ON_LIMITS.search(row.note):
        return False
    return not feasible_regions(*_texts(row), "", level=row.level, logs=logs)


def below_rounding(row: Row) -> bool:
    """Whether the lower limit is below 0, or 0 and not one that decimals round to 0."""
    return row.lower < 0 or (row.lower == 0 and "." not in row.printed_lower)


def _without_se(row: Row, logs: bool) -> bool:
    """Neither limits nor a p-value that gives one: no effect has p = 1 whatever its SE."""
    from_p = exact(row.p) and 0 < float(row.p) < 1 and row.value != (1 if logs else 0)
    return isnan(row.lower) and not from_p


def _insignificant(row: Row) -> bool:
    """Printed because it was significant, and it is not."""
    if row.publishing != statements.IF_SIGNIFICANT or isnan(row.lower) or row.lower <= 0:
        return False
    return row.lower <= 1 <= row.upper


_PUBLISHING = (
    Rule(lambda r: r.publishing not in ("", statements.IF_SIGNIFICANT), "an unknown publishing rule",
         f'"{statements.IF_SIGNIFICANT}", or nothing', ("publishing",)),
    Rule(_insignificant, "a number that was printed because it is significant, and is not",
         "limits on one side of 1", ("publishing", *LIMITS), "Compare the row with the paper."),
)  # fmt: skip


def _estimate_rules(*, logs: bool) -> tuple[Rule, ...]:
    contradictory = Rule(
        lambda r: _contradictory(r, logs), "limits and p-value contradict each other",
        "that some standard error gives back all printed digits", (*LIMITS, "p"),
        "Compare the row with the paper; if it is printed so, say in note how the p-value comes to "
        "differ, for example: the p-value is that of a stratified test.",
    )  # fmt: skip
    without_se = Rule(
        lambda r: _without_se(r, logs), "no standard error", "two limits, or a p-value printed as a number",
        (*LIMITS, "p"), "Without either it can only be kept with use = record.",
    )  # fmt: skip
    lopsided = Rule(
        lambda r: _lopsided(r, logs), "limits that lie unevenly around the value",
        f"limits as far from the value on {'the log scale' if logs else 'its scale'}, within rounding",
        LIMITS,
        "Compare the row with the paper for a mistyped digit; if it is printed so, say in note how limits "
        "were computed, for example: exact limits.",
    )  # fmt: skip
    # a lower limit that is printed as 0.00 is one that rounds to it
    positive = (replace(NOT_POSITIVE, broken=lambda r: min(r.value, 1) <= 0 or below_rounding(r)),)
    rules = (*Statistic.rules, contradictory, lopsided, *(positive if logs else ()), without_se)
    return *rules, *(_PUBLISHING if logs else ())


_NO_REFERENCE = Rule(
    lambda r: r.reference_arm in ("", r.arm), "a hazard ratio without a reference arm",
    "another arm in reference_arm", ("arm", "reference_arm"), "Say against which arm it is.",
)  # fmt: skip
_AS_PERCENT = (
    Rule(lambda r: r.unit not in ("", "hazard ratio"), "a hazard ratio in another unit",
         '"hazard ratio", or nothing',
         ("value", "unit"), "A reduction by 40 % is a hazard ratio of 0.60, and its limits change places."),
    Rule(lambda r: not r.unit and r.value >= NOT_A_RATIO, f"a hazard ratio of {NOT_A_RATIO:g} or more",
         "a ratio, such as 0.60 for a reduction by 40 %", LIMITS,
         'If the paper prints so large a ratio, say so: unit "hazard ratio".'),
)  # fmt: skip
_OF_A_SLOPE = (
    Rule(lambda r: not r.landmark, "a hazard ratio per point without its landmark",
         "the landmark up to which shrinkage was measured, such as 150d or no limit", ("landmark",)),
    Rule(lambda r: r.unit not in (PER_POINT, PER_POINT_PCHG), "an unclear sign or unit",
         f'unit "{PER_POINT}" or "{PER_POINT_PCHG}"', ("unit",),
         "Shrinkage is the percentage change from baseline (PCHG) with its sign reversed: a hazard ratio "
         "below 1 per point of shrinkage is one above 1 per point of PCHG. Find out which is meant."),
)  # fmt: skip


def _no_se(sd: float) -> Rule:
    """A statement without a standard error; ``sd`` is what is known of the covariate without the row."""
    return Rule(
        lambda r: isnan(statements.expected_se(r, sd)), "a statement without a standard error",
        "se, of the log ratio in the row's unit, or events" + (" and sd" if isnan(sd) else ""),
        ("se", "events", "sd"), "Without either the row can only be kept with use = record.",
    )  # fmt: skip


class Effect(Statistic):
    """An estimate with limits or a p-value: normal around the model's parameter. Of a ratio there may be a
    statement in place of the estimate.

    ``logs`` says that the model has the parameter on the log scale and the publication has not.
    """

    logs = True
    sd = nan
    """Standard deviation of the covariate that the effect is of, where no row needs to tell it."""
    rules = _estimate_rules(logs=True)

    def datum(self, row: Row) -> Datum:
        """The estimate and its SE, on the log scale if it is a ratio; or what is said of it."""
        unit = self._unit(row)
        if row.said:
            said = statements.statement(row.said, row.level, unit=abs(unit))
            return Datum(
                row.id,
                "said",
                nan,
                abs(unit) * statements.expected_se(row, self.sd),
                statement=said if unit > 0 else said.reversed(),
                log_se_sd=statements.se_log_sd(row),
                se_tilt=0.0 if isnan(row.se_tilt) else row.se_tilt / unit,
            )
        value, se = self._estimate(row)
        excess = statements.se_excess(row, value, se, self.sd)
        found = Datum(row.id, self._kind(row), unit * value, abs(unit) * se, se_excess=excess)
        if row.publishing != statements.IF_SIGNIFICANT:
            return found
        level = statements.LEVEL if isnan(row.level) else row.level
        return replace(found, published_z=rounding.z_of_level(level))

    def _unit(self, row: Row) -> float:
        """What a log ratio is multiplied by, to be on the modelling scale."""
        return 1.0

    def _kind(self, row: Row) -> str:
        return "normal"

    def _estimate(self, row: Row) -> tuple[float, float]:
        """Estimate and SE on the log scale: from the limits, unless they are coarse or the p-value objects.

        Then both are the mean over everything that gives back every printed digit. Where nothing does, coarse
        limits yield to the p-value, and others prevail.
        """
        value, lower, upper = (on_scale(x, self.logs) for x in (row.value, row.lower, row.upper))
        if isnan(lower):
            return value, abs(value) / z_of_p(row.p)
        if row.lower == 0 and self.logs:
            regions = feasible_regions(*_texts(row), "", level=row.level, logs=True)
            if regions:
                mean_value, mean_se = (float(number) for number in centre(regions))
                return mean_value, mean_se
            return value, (upper - value) / rounding.z_of_level(row.level)
        from_limits = (upper - lower) / (2 * rounding.z_of_level(row.level))
        if not exact(row.p):
            return value, from_limits
        printed = _texts(row)
        coarse = rounding_share(printed[1], printed[2], self.logs) > COARSE
        regions = feasible_regions(*printed, row.p, level=row.level, logs=self.logs)
        if not regions:
            return value, abs(value) / z_of_p(row.p) if coarse else from_limits
        low, high = np.vstack(regions).min(axis=0), np.vstack(regions).max(axis=0)
        mean_value, mean_se = (float(number) for number in centre(regions))
        se = mean_se if coarse or not low[1] <= from_limits <= high[1] else from_limits
        return value if low[0] <= value <= high[0] else mean_value, se

    def on_print(self, x: np.ndarray) -> np.ndarray:
        """The ratio, or the effect itself."""
        return np.exp(x) if self.logs else x


class HazardRatio(Effect):
    """The hazard ratio of an arm against the reference arm."""

    name = "hazard ratio"
    quantity = Quantity.ARM_EFFECT
    likelihood = "hazard ratios of arms: normal on the log scale"

    sd = 0.5
    rules = (*Effect.rules, _NO_REFERENCE, *_AS_PERCENT)
    rules_of_statements = (*statements.RULES, _no_se(sd), _NO_REFERENCE)


class LogEffect(Effect):
    """The log hazard ratio of an arm against the reference arm, printed as a log."""

    name = "log effect"
    quantity = Quantity.ARM_EFFECT
    likelihood = HazardRatio.likelihood
    logs = False
    rules = _estimate_rules(logs=False)


class LogEffectWithSE(Statistic):
    """The log hazard ratio of an arm against the reference arm, printed with its standard error.

    The standard error stands in ``unit``: "SE 0.21".
    """

    name = "log effect with SE"
    quantity = Quantity.ARM_EFFECT
    likelihood = HazardRatio.likelihood
    rules = (
        *Statistic.rules,
        Rule(lambda r: not _standard_error(r) > 0, "no standard error", 'one above 0, as unit "SE 0.21"',
             ("unit",)),
        Rule(lambda r: not isnan(r.lower), "limits beside a standard error", "the standard error alone",
             LIMITS, 'With limits the statistic is "log effect".'),
    )  # fmt: skip

    def datum(self, row: Row) -> Datum:
        """Both as they are printed."""
        return Datum(row.id, "normal", float(row.value), _standard_error(row))

    def as_printed(self, row: Row, text: str) -> str:
        """``-0.4 (SE 0.21)``."""
        return f"{text} ({row.unit})" if _standard_error(row) > 0 else text


def _standard_error(row: Row) -> float:
    """The number in a unit "SE 0.21"; NaN of any other."""
    found = re.fullmatch(r"SE (\d+(?:\.\d+)?)", str(row.unit))
    return float(found[1]) if found else nan


class HazardRatioPerPoint(Effect):
    """The hazard ratio per point of shrinkage at a landmark, also where it is one of percentage change.

    The datum is ten times its log, of shrinkage.
    """

    name = "hazard ratio per point"
    quantity = Quantity.SLOPE
    likelihood = "hazard ratios per point of shrinkage: normal on the log scale"

    rules = (*Effect.rules, *_OF_A_SLOPE)
    rules_of_statements = (*statements.RULES, _no_se(nan), *_OF_A_SLOPE)

    def _unit(self, row: Row) -> float:
        """Ten points of shrinkage: the sign of one of percentage change is turned round."""
        return -POINTS_PER_UNIT if row.unit == PER_POINT_PCHG else POINTS_PER_UNIT

    def on_print(self, x: np.ndarray) -> np.ndarray:
        """Per point of shrinkage, whichever the paper used."""
        return np.exp(x / POINTS_PER_UNIT)

    def compared(self, row: Row) -> float:
        """The hazard ratio per point of shrinkage."""
        return float(self.on_print(np.asarray(self.datum(row).value)))


class OddsRatio(Effect):
    """The odds ratio of response at completion given response at mid-treatment, at the row's landmark.

    What predicts it is the correlation of early with final shrinkage (``association``). Student's t where it
    is known by its p-value only: sparse data exaggerate.
    """

    name = "odds ratio"
    quantity = Quantity.COMPLETION
    endpoints = ("completion",)
    likelihood = "odds ratios: normal on the log scale, Student t where known by a p-value only"
    rules_of_statements = (*statements.RULES, _no_se(nan))

    def _kind(self, row: Row) -> str:
        return "student" if isnan(row.lower) else "normal"
