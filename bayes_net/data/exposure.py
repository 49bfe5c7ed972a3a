"""Time at risk and events against a piecewise-constant hazard.

Intervals are (c_k, c_{k+1}] from the landmark: an event on a cut-point is in the one that ends there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.data.assessments import AT_THE_SCAN, BETWEEN_SCANS, PROGRESSION
from bayes_net.data.intervals import PER_STUDY, STUDIES, Baselines, checked_cuts, one_hot, person_time
from bayes_net.data.landmarks import LandmarkSet
from bayes_net.data.terms import Covariate, Measure, Response, Shrinkage, check_measure, of_landmarks
from bayes_net.errors import InputError, listed
from bayes_net.numbers import counted
from bayes_net.schema import ARM, INTERVAL, PATIENT, STUDY, Duration


@dataclass(frozen=True)
class Exposure(Baselines):
    """One landmark's patients against one set of intervals; what a hazard model is fitted to.

    Arrays have one entry a patient: ``time`` (months), ``event`` (0/1), ``arm`` (index into
    ``arms``), ``score`` and ``covariates`` (patients x columns). ``cuts`` are the inner cut-points. Where
    scores change during follow-up (``patient``) there is an entry for each stretch of a patient's follow-up.
    """

    time: np.ndarray
    event: np.ndarray
    arm: np.ndarray
    score: np.ndarray
    covariates: np.ndarray
    cuts: np.ndarray
    arms: tuple[str, ...]
    covariate_names: tuple[str, ...] = ()
    measure: Measure = field(default_factory=Shrinkage)
    terms: tuple[Covariate, ...] = ()
    """Of what the columns of covariates were made."""
    last_assessment: np.ndarray | None = None
    """Months of the last assessment without progression: an event is somewhere between it and ``time``, and a
    censored patient is known to be without one until then. Negative: before the clock's start. NaN, and None
    for all, where the end of follow-up is known to the day."""
    assessed_before: np.ndarray | None = None
    """Months from each patient's last assessment before the clock's start to that start. Until then, and no
    longer, patients are known to be without an event: they are at risk from then on, with the hazard of the
    first interval. None: of all it is known at the start itself."""
    entry: np.ndarray | None = None
    """Months at which each stretch of follow-up begins, from which on it is at risk (delayed entry). None: at
    the clock's start."""
    patient: np.ndarray | None = None
    """Whose follow-up each stretch is, by number. None: each a patient's whole follow-up."""
    study: np.ndarray | None = None
    """Index into ``studies``, each of which has baselines of its own. None: they are of all patients."""
    studies: tuple[str, ...] = ()

    def __repr__(self) -> str:
        arms = ", ".join(f"{arm} {n}" for arm, n in zip(self.arms, self.n_by_arm, strict=True))
        return (
            f"<exposure: {counted(self.n, 'patient')} ({arms}), {counted(int(self.event.sum()), 'event')}"
            + (f" ({self.between.sum()} of them between two assessments)" if self.between.any() else "")
            + f", {counted(self.n_intervals, 'interval')}, {self.measure.label}>"
        )

    @property
    def n(self) -> int:
        """Number of patients."""
        return self.rows if self.patient is None else len(np.unique(self.patient))

    @property
    def rows(self) -> int:
        """Number of entries: of patients, or of their stretches of follow-up."""
        return len(self.time)

    @property
    def months(self) -> np.ndarray:
        """Months at risk by entry and interval."""
        months = person_time(self.time, self.cuts)
        return months if self.entry is None else months - person_time(self.entry, self.cuts)

    @property
    def interval(self) -> np.ndarray:
        """The interval in which each patient's follow-up ends."""
        return np.searchsorted(self.cuts, self.time, side="left")

    @property
    def since_start(self) -> np.ndarray:
        """Months spent in the interval in which follow-up ends."""
        return self.time - self.starts[self.interval]

    @property
    def between(self) -> np.ndarray:
        """Whether each patient's event is only known to lie between two assessments."""
        if self.last_assessment is None:
            return np.zeros(self.rows, bool)
        return (self.event == 1) & (self.last_assessment < self.time)

    @property
    def last_known(self) -> np.ndarray:
        """Months at which each patient was last known to be without an event: at the end of follow-up, or at
        the last assessment before it. Negative: before the clock's start."""
        return self.time if self.last_assessment is None else np.fmin(self.last_assessment, self.time)

    @property
    def stratum(self) -> np.ndarray:
        """The number of each entry's baseline: of its arm, or its study and arm."""
        return self.arm if self.study is None else self.study * len(self.arms) + self.arm

    @property
    def patterns(self) -> np.ndarray:
        """The distinct combinations of stratum and covariate values, one a row."""
        return np.unique(np.column_stack([self.stratum, self.covariates]), axis=0)

    @property
    def events(self) -> np.ndarray:
        """Events by arm and interval."""
        counts = self.events_by_stratum
        return counts.sum(axis=0) if self.studies else counts

    @property
    def events_by_stratum(self) -> np.ndarray:
        """Events of each baseline and interval, ([study,] arm, interval)."""
        counts = np.zeros((int(np.prod(self.strata)), self.n_intervals))
        np.add.at(counts, (self.stratum, self.interval), self.event)
        return counts.reshape(*self.strata, self.n_intervals)

    @property
    def person_time(self) -> np.ndarray:
        """Months at risk by arm and interval."""
        return one_hot(self.arm, len(self.arms)).T @ self.months

    @property
    def n_by_arm(self) -> np.ndarray:
        """Number of patients in each arm."""
        return self.n_by_stratum.reshape(-1, len(self.arms)).sum(axis=0)

    @property
    def n_by_stratum(self) -> np.ndarray:
        """Number of patients of each baseline, ([study,] arm)."""
        first = slice(None) if self.patient is None else np.unique(self.patient, return_index=True)[1]
        return np.bincount(self.stratum[first], minlength=int(np.prod(self.strata))).reshape(self.strata)

    @property
    def score_events(self) -> np.ndarray:
        """Sum of the scores of patients with an event, by arm."""
        return one_hot(self.arm, len(self.arms)).T @ (self.event * self.score)

    @property
    def score_events_by_interval(self) -> np.ndarray:
        """The same by arm and interval."""
        sums = np.zeros((len(self.arms), self.n_intervals))
        np.add.at(sums, (self.arm, self.interval), self.event * self.score)
        return sums

    @property
    def covariate_events(self) -> np.ndarray:
        """Sum of each covariate over the patients with an event."""
        return self.covariates.T @ self.event

    @property
    def mean_score(self) -> float:
        """Average score of the patients; of stretches of follow-up, over time at risk."""
        return float(self._average(self.score)) if self.n else 0.0

    @property
    def mean_covariates(self) -> np.ndarray:
        """Average of each covariate over the patients; of stretches of follow-up, over time at risk."""
        if not self.n:
            return np.zeros(len(self.covariate_names))
        return self._average(self.covariates)

    def _average(self, values: np.ndarray) -> np.ndarray:
        if self.patient is None:
            return values.mean(axis=0)
        months = self.months.sum(axis=1)
        return months @ values / months.sum()

    @property
    def last_follow_up(self) -> np.ndarray:
        """The longest follow-up of each arm, in months; 0 without patients."""
        return np.array([self.time[self.arm == a].max(initial=0.0) for a in range(len(self.arms))])


def subset(data: Exposure, keep: np.ndarray) -> Exposure:
    """The exposure of some of the entries; arms and covariates keep their columns."""
    rows = ["time", "event", "arm", "score", "covariates", "last_assessment", "assessed_before"]
    rows = [name for name in (*rows, "entry", "patient", "study") if getattr(data, name) is not None]
    return replace(data, **{name: getattr(data, name)[keep] for name in rows})


def refuse_stretches(data: Exposure, what: str) -> None:
    """Raise an ``InputError`` where scores change during follow-up, of which ``what`` knows nothing."""
    if data.patient is not None:
        raise InputError(
            f"stretches of follow-up, as of time_dependent, given for {what}; expected each patient's whole "
            "follow-up, as expose has it from a landmark on"
        )


def months_without(data: Exposure) -> np.ndarray:
    """Months of each interval in which a patient is known to be without an event, (patient, interval); what
    lies before the clock's start counts with the first."""
    months = person_time(data.last_known, data.cuts)
    if data.entry is not None:  # nothing lies before the clock's start
        return np.maximum(months - person_time(data.entry, data.cuts), 0.0)
    if data.assessed_before is not None:
        months[:, 0] += np.maximum(data.assessed_before + np.minimum(data.last_known, 0.0), 0.0)
    return months


def months_between(data: Exposure) -> np.ndarray:
    """Months of each interval that lie between the last assessment and the event, (patient, interval), of
    the patients whose event lies there; what lies before the clock's start counts with the first."""
    own = data.between
    months = person_time(data.time[own], data.cuts) - person_time(data.last_known[own], data.cuts)
    months[:, 0] += np.maximum(-data.last_known[own], 0.0)
    return months


def known_days(data: Exposure) -> Exposure:
    """What is known day by day, as rows of follow-up: each patient's, without an event where that lies
    between two assessments, and the time at risk before the clock's start as rows of its own."""
    if data.last_assessment is None and data.assessed_before is None:
        return data
    own = replace(data, last_assessment=None, assessed_before=None)
    until = np.maximum(data.last_known, 0.0 if data.entry is None else data.entry)
    rows = replace(own, time=until, event=np.where(data.between, 0.0, data.event))
    if data.assessed_before is None:
        return rows
    before = months_without(data)[:, 0] - person_time(data.last_known, data.cuts)[:, 0]
    longest = float(before.max(initial=0.0))
    # in parts that end within the first interval
    parts = int(np.ceil(longest / data.cuts[0])) if len(data.cuts) else int(longest > 0)
    who = np.tile(np.flatnonzero(before > 0), parts)
    early = replace(subset(own, who), time=before[who] / max(parts, 1), event=np.zeros(len(who)))
    together: dict[str, Any] = {
        name: np.concatenate([getattr(rows, name), getattr(early, name)])
        for name in ("time", "event", "arm", "score", "covariates", *(["study"] if own.studies else []))
    }
    return replace(own, **together)


def expose(
    landmarks: LandmarkSet,
    label: str,
    *,
    cuts: Sequence[float | Duration] | np.ndarray,
    measure: Measure = Shrinkage(),
    covariates: Sequence[Covariate] = (),
    progression: str = AT_THE_SCAN,
    studies: str = PER_STUDY,
) -> Exposure:
    """The exposure of the patients at the landmark ``label``.

    ``cuts`` are inner cut-points in months (or durations) from the landmark's clock. ``progression`` is "at
    the scan", on the day that PFS has, or "between scans": known to lie between the last assessment without
    it and that day, while a censored patient is known to be free of it until the last assessment. Patients
    are then at risk from their last assessment before the landmark on, until which they are known to be free
    of progression. ``studies`` are "per study", where there are several: each has baseline hazards of its
    own, so that patients are compared within studies; or their baselines are "shared", as if all patients
    were of one.

    Raises
    ------
    InputError
        The landmark has no patient or no event, or the cut-points are not positive and rising.
    """
    checked_progression(progression)
    table = landmarks.at(label)
    if not table["event"].sum():
        raise InputError(
            f"landmark {label!r}, {landmarks.endpoint.upper()}: {len(table)} patients at risk and no event; "
            "a hazard cannot be learnt. Leave this landmark out"
        )
    check_measure(measure, sized=landmarks.sized)
    measure = of_landmarks(measure, landmarks)
    missing = table["shrinkage"].isna()
    if isinstance(measure, Shrinkage) and missing.any():
        raise InputError(
            f"landmark {label!r}: {missing.sum()} patients have no shrinkage "
            "(intention to treat keeps them); use a Response measure, or landmark without intention_to_treat"
        )
    points = table["responded" if isinstance(measure, Response) else "shrinkage"]
    covariates = [c.with_knots(landmarks.table.drop_duplicates(PATIENT).get(c.name)) for c in covariates]
    columns = [covariate.values(table) for covariate in covariates]
    return Exposure(
        time=table["time"].to_numpy(float),
        event=table["event"].to_numpy(float),
        arm=pd.Categorical(table[ARM], categories=landmarks.arms).codes.astype(int),
        score=measure.score(points.to_numpy(float)),
        covariates=np.hstack(columns) if columns else np.empty((len(table), 0)),
        cuts=checked_cuts(cuts),
        arms=landmarks.arms,
        covariate_names=tuple(name for covariate in covariates for name in covariate.columns),
        measure=measure,
        terms=tuple(covariates),
        **(_assessments(table) if progression == BETWEEN_SCANS else {}),
        **of_studies(table, landmarks.studies, studies),
    )


def of_studies(table: pd.DataFrame, known: Sequence[str], studies: str) -> dict[str, Any]:
    """The study of each row, among the ``known``, where each of several has baselines of its own."""
    if studies not in STUDIES:
        raise InputError(f"studies = {studies!r} is unknown; expected one of {', '.join(STUDIES)}")
    if studies != PER_STUDY or len(known) < 2:
        return {}
    index = pd.Categorical(table[STUDY], categories=list(known)).codes.astype(int)
    return {"study": index, "studies": tuple(known)}


def checked_progression(progression: str) -> None:
    """Raise an ``InputError`` unless it says when a progression is taken to have happened."""
    if progression not in PROGRESSION:
        raise InputError(f"progression {progression!r} is unknown; expected one of {', '.join(PROGRESSION)}")


def _assessments(table: pd.DataFrame) -> dict[str, Any]:
    """As the landmark set has them; none where every event is on a known day."""
    names = ("last_assessment", "assessed_before")
    if table["last_assessment"].isna().all():
        return {}
    return {name: table[name].to_numpy(float) for name in names}


def long_form(data: Exposure) -> pd.DataFrame:
    """One row for every patient and interval entered: the rows that a Poisson GLM would take.

    Columns: patient (row number), arm, interval, start (months), exposure (months), event, score,
    study where there are several, and the covariates.
    """
    every, months = np.arange(data.n_intervals), data.months
    entered = 0 if data.entry is None else np.searchsorted(data.cuts, data.entry, side="right")[:, None]
    who, k = np.nonzero((every <= data.interval[:, None]) & (every >= entered))
    entry = np.zeros(data.rows) if data.entry is None else data.entry
    rows = {
        PATIENT: who if data.patient is None else data.patient[who],
        ARM: np.array(data.arms)[data.arm[who]],
        INTERVAL: k,
        "start": np.maximum(data.starts[k], entry[who]),
        "exposure": months[who, k],
        "event": data.event[who] * (data.interval[who] == k),
        "score": data.score[who],
    }
    if data.study is not None:
        rows[STUDY] = np.array(data.studies)[data.study[who]]
    taken = [name for name in data.covariate_names if name in rows]
    if taken:
        raise InputError(f"covariates are named {listed(taken)}, as the long form's own columns; rename them")
    return pd.DataFrame(rows | {name: data.covariates[who, j] for j, name in enumerate(data.covariate_names)})


def collapsed_form(data: Exposure) -> pd.DataFrame:
    """The long form with identical covariate patterns added up: exposure and events are additive."""
    keys = [*data.strata_dims, INTERVAL, "score", *data.covariate_names]
    return long_form(data).groupby(keys, as_index=False, sort=True)[["exposure", "event"]].sum()
