"""What goes into a network, and the rules by which rows and patients fit its assumptions and each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.assumptions.priors import FULL
from bayes_net.assumptions.synthesis import Assumptions
from bayes_net.data.exposure import Exposure
from bayes_net.data.landmarks import landmark_times
from bayes_net.errors import InputError, listed
from bayes_net.schema import ENDPOINTS
from bayes_net.statistics.base import Quantity, Row
from bayes_net.statistics.counts import LARGEST_SHRINKAGE, SMALLEST_SHRINKAGE
from bayes_net.statistics.kinds import KINDS, names_of

_OF_SHRINKAGE = (Quantity.SHARE, Quantity.RANGE, Quantity.COMPLETION)


@dataclass(frozen=True, eq=False)
class Participants:
    """Patients of one study: survival of every patient from randomisation, by arm on the network's intervals
    (``events`` and ``person_time``, arm x interval), and the analysed patients of one landmark.

    ``longest`` is the longest follow-up in months, up to which their curves are known."""

    study: str
    endpoint: str
    events: np.ndarray
    person_time: np.ndarray
    landmark: str = ""
    exposure: Exposure | None = None
    weight: float = 1.0
    longest: float = np.inf

    def __repr__(self) -> str:
        after = f", {self.landmark}: {self.exposure!r}" if self.exposure else ""
        return f"<pooled cohort: {self.study}, {self.endpoint}, {self.events.sum():g} events{after}>"


def check_inputs(rows: pd.DataFrame, assumptions: Assumptions, cohorts: Sequence[Participants]) -> None:
    """Raises
    ------
    InputError
        A row or a cohort does not fit the assumptions, or rows and patients would count twice.
    """
    problems = [
        f"{row.id}: {message}" for row in rows.itertuples() for message in _misfits(row, assumptions, cohorts)
    ]
    problems += _ambiguous(rows, cohorts)
    problems += _nesting(rows)
    if problems:
        raise InputError("published numbers do not fit the model:\n  " + "\n  ".join(problems))
    _check_cohorts(cohorts, assumptions)


def _ambiguous(rows: pd.DataFrame, cohorts: Sequence[Participants]) -> list[str]:
    """Ids that are the name of a study with other rows or patients: leaving it out would mean either."""
    studies = [*zip(rows["study"], rows["id"], strict=True), *((c.study, "patients") for c in cohorts)]
    return [
        f"{name}: the id of a row is the name of a study too; expected different names"
        for name in rows["id"]
        if any(study == name != other for study, other in studies)
    ]


def _misfits(row: Row, assumptions: Assumptions, cohorts: Sequence[Participants]) -> list[str]:
    rules = (_wrong_endpoint, _wrong_arm, _wrong_landmark, _subgroup, _unreachable)
    found = (rule(row, assumptions) for rule in rules)
    return [message for message in (*found, _printed_twice(row, cohorts)) if message]


def _wrong_endpoint(row: Row, assumptions: Assumptions) -> str:
    expected = KINDS[row.statistic].endpoints
    if row.endpoint in expected:
        return ""
    return (
        f"{row.statistic} of {row.endpoint}; expected one of {', '.join(expected)}. Others can only "
        'be kept: use = "record"'
    )


def _wrong_arm(row: Row, assumptions: Assumptions) -> str:
    quantity = KINDS[row.statistic].quantity
    if row.arm not in assumptions.arms:
        return f"arm {row.arm!r}; expected one of {', '.join(assumptions.arms)}"
    if quantity is Quantity.ARM_EFFECT and (row.reference_arm, row.arm) != assumptions.arms[:2]:
        expected = " against ".join(assumptions.arms[1::-1])
        return f"{row.arm} against {row.reference_arm}; expected {expected}"
    return ""


def _wrong_landmark(row: Row, assumptions: Assumptions) -> str:
    if KINDS[row.statistic].quantity in _OF_SHRINKAGE and row.endpoint != "response" and row.landmark:
        try:
            landmark_times([row.landmark])
        except InputError as reason:
            return str(reason)
    labels = [landmark.label for landmark in assumptions.landmarks]
    if KINDS[row.statistic].quantity is not Quantity.SLOPE or row.landmark in labels:
        return ""
    return f"landmark {row.landmark!r}; expected one of {', '.join(labels)}"


def _subgroup(row: Row, assumptions: Assumptions) -> str:
    if row.subgroup == "all":
        return ""
    what = "curve" if KINDS[row.statistic].quantity is Quantity.CURVE else row.statistic
    return (
        f"the {what} of the subgroup {row.subgroup}; only whole arms are modelled. Give it "
        'use = "check", or make arms of the subgroups (model.subgroups_of)'
    )


def _unreachable(row: Row, assumptions: Assumptions) -> str:
    counted = row.endpoint == "shrinkage" and KINDS[row.statistic].quantity is Quantity.SHARE
    if not counted or SMALLEST_SHRINKAGE <= row.threshold < LARGEST_SHRINKAGE:
        return ""
    return (
        f"a count of shrinkages of at least {row.threshold:g} points; expected a threshold from "
        f"{SMALLEST_SHRINKAGE:g} (all without progression) to below {LARGEST_SHRINKAGE:g}"
    )


def _printed_twice(row: Row, cohorts: Sequence[Participants]) -> str:
    """Patients from randomisation say what curves and comparisons do, those at a landmark what slopes do."""
    quantity = KINDS[row.statistic].quantity
    for cohort in cohorts:
        same = (cohort.study, cohort.endpoint) == (row.study, row.endpoint)
        from_start = cohort.person_time.any() and quantity in (Quantity.CURVE, Quantity.ARM_EFFECT)
        from_landmark = cohort.exposure is not None and quantity is Quantity.SLOPE
        if same and (from_start or from_landmark):
            return (
                f"{row.statistic} of {row.endpoint} in {row.study}, whose patients are there too: every "
                'event would count twice. Give the row use = "check"'
            )
    return ""


def _nesting(rows: pd.DataFrame) -> list[str]:
    """Counts of one group at several thresholds: of the same patients, and no more at a higher one."""
    counts = rows[rows["statistic"].isin(names_of(Quantity.SHARE)) & (rows["endpoint"] == "shrinkage")]
    found = []
    for (study, arm, _), own in counts.groupby(["study", "arm", "landmark"], sort=False):
        own = own.sort_values("threshold")
        ids = listed(own["id"])
        if own["threshold"].duplicated().any():
            found.append(f"{ids}: two counts of {study}, {arm} at one threshold; expected one each")
        if (own["n"] != own["n"].iloc[0]).any():
            found.append(
                f"{ids}: counts of {study}, {arm} are of {listed(f'{n:g}' for n in own['n'])} patients; "
                "expected the same patients at every threshold"
            )
        if (own["value"].diff() > 0).any():
            found.append(
                f"{ids}: more patients of {study}, {arm} reach a higher threshold of shrinkage than a "
                "lower one; expected no more"
            )
    return found


def _check_cohorts(cohorts: Sequence[Participants], assumptions: Assumptions) -> None:
    shape = (len(assumptions.arms), len(assumptions.cuts) + 1)
    labels = [landmark.label for landmark in assumptions.landmarks]
    rules: tuple[tuple[Callable, Callable], ...] = (
        (
            lambda c: c.events.shape == c.person_time.shape == shape,
            lambda c: (
                f"events {c.events.shape} and person-time {c.person_time.shape}; expected {shape}, "
                "arm x interval"
            ),
        ),
        (lambda c: 0 <= c.weight <= 1, lambda c: f"weight {c.weight:g}; expected a weight from 0 to 1"),
        (lambda c: c.endpoint in ENDPOINTS, lambda c: f"expected one of {', '.join(ENDPOINTS)}"),
        (
            lambda c: c.exposure is None or c.landmark in labels,
            lambda c: (
                f"landmark {c.landmark!r}; expected one of {', '.join(labels) or 'none'}, the landmarks "
                "that have slopes"
            ),
        ),
    )
    for cohort in cohorts:
        for kept, message in rules:
            if not kept(cohort):
                raise InputError(f"patients of {cohort.study}, {cohort.endpoint}: {message(cohort)}")
    after = {c.exposure.n_intervals for c in cohorts if c.exposure is not None}
    if len(after) > 1:
        raise InputError(
            f"cohorts have {sorted(after)} intervals after the landmark; expected the same number in each"
        )
    names = [(c.study, c.endpoint) for c in cohorts]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(
            f"patients of {listed(' '.join(t) for t in twice)} are given twice: landmarks of one cohort "
            "share its patients, and would count every event several times. Choose one landmark"
        )


# --- what a single-arm study may move ---------------------------------------------------------------------


def conditional(network: Any) -> tuple[tuple[str, str], ...]:
    """Endpoint and study of every single-arm study on the baseline of a trial that compares the arms.

    Such a study has no control arm that would tell another treatment effect from other patients: its curve
    informs its level once the trial has spoken, and nothing else (a cut; Plummer 2015,
    doi:10.1007/s11222-014-9503-z). None where studies feed back, as where levels do not differ (``full``).
    """
    a, compared = network.assumptions, network.comparative
    if a.feedback or a.study_level.kind == FULL:
        return ()
    return tuple(
        (endpoint, study)
        for endpoint, study in network.borrowers
        if (endpoint, study) not in compared and (endpoint, network.baseline_study(study)) in compared
    )


def first_stage(network: Any) -> Any:
    """The network without the curves of these studies."""
    kept, pairs = ~network.of_curves(network.conditional), network.conditional
    _check_separate(network)
    cohorts = [_without_curve(c) if (c.endpoint, c.study) in pairs else c for c in network.cohorts]
    return replace(
        network,
        rows=network.rows[kept].reset_index(drop=True),
        data=tuple(one for one, stays in zip(network.data, kept, strict=True) if stays),
        power=network.power[kept],
        cohorts=tuple(c for c in cohorts if c.person_time.any() or c.exposure is not None),
    )


def _without_curve(cohort: Participants) -> Participants:
    return replace(cohort, events=0.0 * cohort.events, person_time=0.0 * cohort.person_time)


def _check_separate(network: Any) -> None:
    for pair in network.conditional:
        own = network.of_curves([pair])
        shared = network.precision[np.ix_(own, ~own)].any(axis=1)
        if shared.any():
            raise InputError(
                f"{listed(network.rows['id'][own][shared])} of {pair[1]} are correlated with numbers of "
                "another curve or study; expected none, as a single-arm study's level is drawn given all "
                "else. Leave the correlation out, or let studies feed back (borrowing.level.feedback = true)"
            )
