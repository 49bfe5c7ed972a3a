"""What virtual trials that resemble NETTER-1 tell of estimates that no paper prints, as it is stored."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import exp, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayes_net import schema
from bayes_net.errors import InputError, listed
from bayes_net.tables.shipped import models_folder

SHORTEST = 1e-6
"""Months by which landmarks may differ and still be one."""


class Uncertain(NamedTuple):
    """A mean, or of numbers of patients a median, and the standard deviation."""

    value: float
    sd: float


class Positive(NamedTuple):
    """Median, and standard deviation of the logarithm, of what is about lognormal."""

    median: float
    log_sd: float


@dataclass(frozen=True, eq=False, repr=False)
class VirtualArm:
    """One arm of the virtual trials. Log hazard ratios and standard errors are per 10 points of shrinkage.

    A landmark may be written as durations are (``"36w"``, ``"252 d"``) or be ``"no limit"``; asking for one
    that no virtual trial was analysed at raises InputError.
    """

    name: str
    trials: int
    """How many resemble the printed one."""
    landmarks: pd.DataFrame
    """All that is stored of each landmark (row); ``simulate.match.quantities`` tells of the columns."""
    correlation: pd.DataFrame
    """R of the estimates in their standard errors, without association, (landmark, landmark): mean over the
    matched parameters."""
    correlation_sd: pd.DataFrame
    """Standard deviation of R between the matched parameters."""
    parameters: pd.DataFrame
    """Matched parameters, (draw, parameter): the columns are those of ``simulate.trials.PRIORS``."""
    nearest: dict[str, float]
    """The draw whose trials are on average the nearest to the printed numbers that are matched."""

    def __repr__(self) -> str:
        return f"<virtual trials of the arm {self.name}: {self.trials}, at {len(self.landmarks)} landmarks>"

    @property
    def bias(self) -> Uncertain:
        """Guarantee-time bias of "no limit": what it estimates where shrinkage and progression are not
        associated, over the matched parameters."""
        return self._uncertain("null", schema.NO_LIMIT)

    @property
    def bias_change(self) -> Uncertain:
        """Change of "no limit" with the slope on final shrinkage, less what tracking alone carries."""
        return self._uncertain("bias_change", schema.NO_LIMIT)

    def carried(self, landmark: str) -> Uncertain:
        """By how much the estimate at a landmark moves with the slope on final shrinkage."""
        return self._uncertain("carried", landmark)

    def tracking(self, landmark: str) -> Uncertain:
        """Cov(final shrinkage, s) / Var(s) among those at risk, s being the best shrinkage by then."""
        return self._uncertain("tracking", landmark)

    def correlation_of(self, one: str, other: str) -> float:
        """Of the estimates at two landmarks, in their standard errors."""
        return float(self.correlation.loc[self._label(one), self._label(other)])

    def at_risk(self, landmark: str) -> Uncertain:
        """Number of patients at risk: median and standard deviation over the trials."""
        return self._uncertain("at_risk", landmark)

    def events(self, landmark: str) -> Uncertain:
        """Number of events after a landmark: median and standard deviation over the trials."""
        return self._uncertain("events", landmark)

    def variance(self, landmark: str, slope: float = 0.0) -> Positive:
        """V in se² = 1 / (events · V): the variance of shrinkage in units of 10 points among those at risk,
        tilted by the log hazard ratio ``slope``."""
        return self._tilted("variance", landmark, slope)

    def standard_error(self, landmark: str, slope: float = 0.0, *, events: float | None = None) -> Positive:
        """Expected standard error of an estimate near the log hazard ratio ``slope``, 1 / sqrt(events · V).

        With ``events`` as given, or as many as the virtual trials have; in these the two go together, so that
        it is less uncertain than V alone.
        """
        if events is None:
            return self._tilted("expected_se", landmark, slope)
        v = self.variance(landmark, slope)
        return Positive(1 / sqrt(events * v.median), v.log_sd / 2)

    def _tilted(self, name: str, landmark: str, slope: float) -> Positive:
        """What is stored at several slopes, at another: its logarithm is a polynomial through them."""
        row = self.landmarks.loc[self._label(landmark)]
        of_medians = re.compile(rf"{name}_at_([^_]+)")
        tilts = [float(found[1]) for column in row.index if (found := of_medians.fullmatch(column))]
        median, log_sd = (
            np.array([row[f"{name}_at_{tilt:g}{what}"] for tilt in tilts]) for what in ("", "_log_sd")
        )
        log_median = np.polynomial.Polynomial.fit(tilts, np.log(median), len(tilts) - 1)
        return Positive(exp(log_median(slope)), float(np.interp(slope, tilts, log_sd)))

    def _label(self, landmark: str) -> str:
        labels = list(self.landmarks.index)
        if landmark in labels:
            return landmark
        try:
            months = schema.duration(landmark).months
        except InputError:
            months = float("nan")
        for label in labels:
            if label != schema.NO_LIMIT and abs(schema.duration(label).months - months) < SHORTEST:
                return str(label)
        raise InputError(
            f"no virtual trial has the landmark {landmark!r}; expected one of {listed(labels, limit=10)}"
        )

    def _uncertain(self, name: str, landmark: str) -> Uncertain:
        row = self.landmarks.loc[self._label(landmark)]
        return Uncertain(float(row[name]), float(row[f"{name}_sd"]))


@dataclass(frozen=True, eq=False, repr=False)
class VirtualTrials:
    """The ensemble of virtual trials that resemble NETTER-1."""

    date: str
    """When it was made."""
    seed: int
    arms: Mapping[str, VirtualArm]
    """By the names that the evidence gives them: "control" and "177Lu"."""
    margins: pd.DataFrame

    def __repr__(self) -> str:
        return f"<virtual trials of {self.date}: {listed(self.arms)}>"

    def arm(self, name: str) -> VirtualArm:
        """One arm; raises InputError where there is none of that name."""
        if name not in self.arms:
            raise InputError(f"no virtual trial has the arm {name!r}; expected one of {listed(self.arms)}")
        return self.arms[name]

    def matched(self) -> pd.DataFrame:
        """One row a printed number, whether or not the virtual trials are like it.

        Columns: ``arm``, ``margin``, ``printed``, the 90 % predictive interval ``lower``, ``median``,
        ``upper``, ``inside`` (whether the printed number lies within it), ``matched`` (whether parameters
        were chosen for it; the others are predicted), ``source``. Units are in the name of the margin or are
        numbers of patients, points of shrinkage and, for hazard ratios, logarithms per 10 points.
        """
        return self.margins.copy()


def virtual_trials(path: Path | None = None) -> VirtualTrials:
    """The stored ensemble of virtual trials: what it tells of each arm, and how well it is matched; the
    shipped one, unless ``path`` names another file.

    ``python -m tests.calibration.virtual_trials`` makes it anew; parameters are kept by approximate Bayesian
    computation (doi:10.1007/s11222-011-9271-y).

    Raises
    ------
    InputError
        The file is not there, or is no such file.
    """
    path = models_folder() / "data" / "virtual_trials.json" if path is None else path
    try:
        return _read(path)
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise InputError(
            f"{path} cannot be read as virtual trials ({reason}); expected the file that "
            "`python -m tests.calibration.virtual_trials` writes"
        ) from reason


def without_study(study: str, path: Path | None = None) -> VirtualTrials | None:
    """The ensemble as it is matched where the numbers of ``study`` are not looked at; None where it is
    matched to none of them. ``path`` as in ``virtual_trials``, and so are the errors."""
    whole = virtual_trials(path)
    path = models_folder() / "data" / "virtual_trials.json" if path is None else path
    found = _stored(path).get("without", {}).get(study)
    if found is None:
        return None
    anew = {name: _arm(name, arm) for name, arm in found.items()}
    margins = [pd.DataFrame(arm["margins"]).assign(arm=name) for name, arm in found.items()]
    kept = whole.margins[~whole.margins["arm"].isin(list(anew))]
    joined = pd.concat([kept, *margins], ignore_index=True)[list(whole.margins)]
    return replace(whole, arms=dict(whole.arms) | anew, margins=joined)


def _read(path: Path) -> VirtualTrials:
    stored = _stored(path)
    arms = {name: _arm(name, found) for name, found in stored["arms"].items()}
    columns = ["arm", "margin", "printed", "lower", "median", "upper", "inside", "matched", "source"]
    rows = [{"arm": name} | row for name, found in stored["arms"].items() for row in found["margins"]]
    return VirtualTrials(stored["date"], stored["design"]["seed"], arms, pd.DataFrame(rows)[columns])


@cache
def _stored(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _arm(name: str, found: Mapping[str, Any]) -> VirtualArm:
    landmarks = pd.DataFrame(found["landmarks"]).set_index("landmark")
    mean, sd = (
        pd.DataFrame(found["correlation"][part], landmarks.index, landmarks.index) for part in ("mean", "sd")
    )
    parameters = pd.DataFrame(found["parameters"])
    nearest = parameters.iloc[found["nearest"]].to_dict()
    return VirtualArm(name, found["trials"], landmarks, mean, sd, parameters, nearest)
