"""What virtual trials that resemble a printed one tell of its estimates: a stored file, read.

The file is made by ``python -m tests.calibration.virtual_trials`` (``simulate.match``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_net.data.landmarks import landmark_times
from bayes_net.errors import InputError
from bayes_net.evidence.kinds import names_of
from bayes_net.evidence.pairs import declared_correlations
from bayes_net.evidence.ratios import PER_POINT_PCHG
from bayes_net.evidence.statistics import Quantity
from bayes_net.schema import NO_LIMIT, PFS, POINTS_PER_UNIT

_TILTS = ("-0.5", "0.5")
"""Slopes between which the file has the variance of shrinkage among those at risk."""


@dataclass(frozen=True, eq=False)
class VirtualTrials:
    """By arm, what trials that resemble a printed one tell of their log hazard ratios per 10 points of
    shrinkage.

    ``landmarks``: one row a landmark, by its label, with ``null`` and ``null_sd`` (mean estimate without any
    association, which is the guarantee-time bias of "no limit"), ``at_risk`` and ``events``, ``se`` and
    ``se_log_sd`` of the estimate, ``se_tilt`` (change of its log with the slope), and ``carried`` and
    ``carried_sd`` (change of the estimate with the slope of the final depth). ``correlations``: of the
    estimates, (landmark, landmark). ``margins``: one row a printed number, with its 90 % predictive interval
    and whether it lies ``inside``.
    """

    path: Path
    landmarks: Mapping[str, pd.DataFrame] = field(repr=False)
    correlations: Mapping[str, pd.DataFrame] = field(repr=False)
    margins: pd.DataFrame = field(repr=False)

    @property
    def bias(self) -> dict[str, tuple[float, float]]:
        """Mean and SD, by arm, of the guarantee-time bias of "no limit", per point of shrinkage."""
        found = {arm: table.loc[NO_LIMIT, ["null", "null_sd"]] for arm, table in self.landmarks.items()}
        return {arm: (mean / POINTS_PER_UNIT, sd / POINTS_PER_UNIT) for arm, (mean, sd) in found.items()}

    @property
    def not_matched(self) -> pd.DataFrame:
        """The printed numbers that virtual trials would hardly print: outside their predictive interval."""
        return self.margins[~self.margins["inside"]].reset_index(drop=True)

    def scaled(self, se_factor: float = 1.0, *, correlated: bool = True) -> VirtualTrials:
        """The same with standard errors ``se_factor`` times as large, and estimates uncorrelated if so
        wanted."""
        landmarks = {arm: t.assign(se=se_factor * t["se"]) for arm, t in self.landmarks.items()}
        whole = {arm: R if correlated else R * np.eye(len(R)) for arm, R in self.correlations.items()}
        return replace(self, landmarks=landmarks, correlations=whole)

    def complete(self, table: pd.DataFrame) -> pd.DataFrame:
        """An evidence table in which the PFS estimates per point of shrinkage that name these trials have
        what no row gives: standard errors of what is not printed, and correlations of rows of one arm."""
        own = table[(table["virtual_trials"] == self.path.name) & (table["endpoint"] == PFS)]
        own = own[own["use"] != "record"]
        own = own[own["statistic"].isin(names_of(Quantity.SLOPE)) & own["arm"].isin(list(self.landmarks))]
        rows = [row for row in own.itertuples() if _label(row.landmark) in self.landmarks[row.arm].index]
        table = table.copy()
        for row in rows:
            if row.said and isnan(row.se) and isnan(row.events):
                found = self.landmarks[row.arm].loc[_label(row.landmark)]
                unit = -POINTS_PER_UNIT if row.unit == PER_POINT_PCHG else POINTS_PER_UNIT
                table.loc[row.Index, ["se", "se_log_sd"]] = found["se"] / abs(unit), found["se_log_sd"]
                table.loc[row.Index, "se_tilt"] = unit * found["se_tilt"]
        declared = {frozenset(pair[:2]) for pair in declared_correlations(table)}
        for a, b in combinations(rows, 2):
            if a.arm == b.arm and frozenset((a.id, b.id)) not in declared:
                value = self.correlations[a.arm].loc[_label(a.landmark), _label(b.landmark)]
                for column, new in (("correlated_with", a.id), ("correlation", repr(float(value)))):
                    old = table.loc[b.Index, column]
                    table.loc[b.Index, column] = f"{old};{new}" if old else new
        return table


def _label(landmark: str) -> str:
    try:
        return landmark_times([landmark])[0].label
    except InputError:  # what is no landmark is refused with the other rows
        return ""


def read_virtual_trials(path: str | Path) -> VirtualTrials:
    """The stored file of virtual trials.

    Raises
    ------
    InputError
        The file is not there, or is no such file.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        arms = stored["arms"]
        landmarks = {arm: _landmarks(found["landmarks"]) for arm, found in arms.items()}
        correlations = {
            arm: pd.DataFrame(found["correlation"]["mean"], landmarks[arm].index, landmarks[arm].index)
            for arm, found in arms.items()
        }
        margins = [{"arm": arm} | row for arm, found in arms.items() for row in found["margins"]]
        return VirtualTrials(Path(path), landmarks, correlations, pd.DataFrame(margins))
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise InputError(
            f"{path} cannot be read as virtual trials ({reason}); expected the file that "
            "`python -m tests.calibration.virtual_trials` writes"
        ) from reason


def _landmarks(rows: list[dict]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    labels = [landmark_times([text])[0].label for text in table["landmark"]]
    low, high = (table[f"variance_at_{tilt}"] for tilt in _TILTS)
    # se² = 1 / (events · variance), and the variance is that of shrinkage tilted by the slope
    tilt = -0.5 * np.log(high / low) / (float(_TILTS[1]) - float(_TILTS[0]))
    return table.assign(se_tilt=tilt).set_index(pd.Index(labels, name="landmark")).drop(columns="landmark")
