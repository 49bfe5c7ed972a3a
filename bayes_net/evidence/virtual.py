"""What rows of evidence take from virtual trials that resemble a printed one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import isnan, log

import pandas as pd

from bayes_net.data.landmarks import Landmark
from bayes_net.errors import InputError
from bayes_net.evidence.pairs import declared_correlations
from bayes_net.schema import NO_LIMIT, PFS, POINTS_PER_UNIT
from bayes_net.simulate.ensemble import VirtualArm, VirtualTrials
from bayes_net.statistics.base import Quantity
from bayes_net.statistics.kinds import names_of
from bayes_net.statistics.ratios import PER_POINT_PCHG

_TILT = 0.5
"""Slopes to either side of 0 between which the change of a standard error is taken."""


def completed(
    table: pd.DataFrame, virtual: VirtualTrials, *, se_factor: float = 1.0, correlated: bool = True
) -> pd.DataFrame:
    """An evidence table in which the PFS estimates per point of shrinkage that name the virtual trials have
    what no row gives: standard errors of what is not printed, times ``se_factor``, and correlations of rows
    of one arm (0, if not ``correlated``)."""
    own = table[(table["virtual_trials"] != "") & (table["endpoint"] == PFS) & (table["use"] != "record")]
    own = own[own["statistic"].isin(names_of(Quantity.SLOPE)) & own["arm"].isin(list(virtual.arms))]
    rows = [row for row in own.itertuples() if _known(virtual, row.arm, row.landmark)]
    table = table.copy()
    for row in rows:
        if isnan(row.se) and isnan(row.events):
            expected = virtual.arm(row.arm).standard_error
            unit = -POINTS_PER_UNIT if row.unit == PER_POINT_PCHG else POINTS_PER_UNIT
            se = expected(row.landmark)
            below, above = (expected(row.landmark, slope).median for slope in (-_TILT, _TILT))
            factor = se_factor if row.said else 1.0
            table.loc[row.Index, ["se", "se_log_sd"]] = factor * se.median / abs(unit), se.log_sd
            table.loc[row.Index, "se_tilt"] = unit * log(above / below) / (2 * _TILT)
    declared = {frozenset(pair[:2]) for pair in declared_correlations(table)}
    for a, b in combinations(rows, 2):
        if a.arm == b.arm and frozenset((a.id, b.id)) not in declared:
            value = virtual.arm(a.arm).correlation_of(a.landmark, b.landmark) if correlated else 0.0
            for column, new in (("correlated_with", a.id), ("correlation", repr(value))):
                old = table.loc[b.Index, column]
                table.loc[b.Index, column] = f"{old};{new}" if old else new
    return table


def _known(virtual: VirtualTrials, arm: str, landmark: str) -> bool:
    try:
        virtual.arm(arm).events(landmark)
    except InputError:  # what is no landmark is refused with the other rows
        return False
    return True


def biases(virtual: VirtualTrials) -> dict[str, tuple[float, float]]:
    """Mean and SD, by arm, of the guarantee-time bias of "no limit", per point of shrinkage."""
    found = {name: arm.bias for name, arm in virtual.arms.items()}
    return {name: (bias.value / POINTS_PER_UNIT, bias.sd / POINTS_PER_UNIT) for name, bias in found.items()}


def carried(virtual: VirtualTrials, landmarks: Sequence[Landmark]) -> dict[str, dict[str, float]]:
    """By how much the estimate at each landmark moves with the slope on final shrinkage, by arm and label of
    the landmark; landmarks that no virtual trial has are left out."""
    return {
        name: {
            mark.label: arm.carried(mark.label).value
            for mark in landmarks
            if _known(virtual, name, mark.label)
        }
        for name, arm in virtual.arms.items()
    }


SHARE, ERROR, BIAS = "share of the slope on final shrinkage", "standard error", "bias"
"""What a synthesis takes from virtual trials."""


def told_without(virtual: VirtualTrials, without: Mapping[str, VirtualTrials]) -> pd.DataFrame:
    """What a synthesis takes from virtual trials, and what they tell ``without`` each study, of the arms that
    its numbers inform.

    Columns: ``without`` (the study), ``arm``, ``landmark``, ``quantity`` (how much of the slope on final
    shrinkage an estimate carries; its expected standard error; the bias of "no limit"), ``value`` and
    ``sd`` (of a standard error, of its logarithm), ``value_without``, ``sd_without``. Log hazard ratios per
    10 points.
    """
    rows = []
    for study, other in without.items():
        for name, arm in other.arms.items():
            before, after = _told(virtual.arm(name)), _told(arm)
            for (label, quantity), (value, sd) in before.items() if before != after else ():
                row: dict[str, object] = {"without": study, "arm": name, "landmark": label}
                row |= {"quantity": quantity, "value": value, "sd": sd}
                rows.append(
                    row | dict(zip(("value_without", "sd_without"), after[label, quantity], strict=True))
                )
    return pd.DataFrame(rows)


def _told(arm: VirtualArm) -> dict[tuple[str, str], tuple[float, float]]:
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for label in map(str, arm.landmarks.index):
        found |= {(label, SHARE): arm.carried(label), (label, ERROR): arm.standard_error(label)}
    return found | {(NO_LIMIT, BIAS): arm.bias}
