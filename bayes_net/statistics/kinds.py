"""The kinds of published numbers that can be in a likelihood, by name: a new one is registered here."""

from __future__ import annotations

from bayes_net.errors import InputError
from bayes_net.statistics.base import Datum, Quantity, Row, Statistic
from bayes_net.statistics.counts import Count
from bayes_net.statistics.curves import Median, RestrictedMean, Survival
from bayes_net.statistics.ranges import MedianAndRange
from bayes_net.statistics.ratios import (
    HazardRatio,
    HazardRatioPerPoint,
    LogEffect,
    LogEffectWithSE,
    OddsRatio,
)

KINDS: dict[str, Statistic] = {
    kind.name: kind
    for kind in (
        Survival(),
        Median(),
        RestrictedMean(),
        HazardRatio(),
        LogEffect(),
        LogEffectWithSE(),
        HazardRatioPerPoint(),
        OddsRatio(),
        Count(),
        MedianAndRange(),
    )
}
RECORD = Statistic()
"""Stands for every number that can only be kept."""


def kind_of(row: Row) -> Statistic:
    """The kind of a row of an evidence table (a Series, or a tuple of ``itertuples``)."""
    return KINDS.get(row.statistic, RECORD)


def names_of(quantity: Quantity) -> tuple[str, ...]:
    """Names of the kinds that inform ``quantity``."""
    return tuple(name for name, kind in KINDS.items() if kind.quantity is quantity)


def datum(row: Row) -> Datum:
    """The datum of one row of an evidence table."""
    if row.statistic not in KINDS:
        raise InputError(
            f"row {row.id}: statistic {row.statistic!r} has no likelihood; "
            f"expected one of {', '.join(KINDS)}. Give it use = record."
        )
    return KINDS[row.statistic].datum(row)
