"""Pseudo-patients of a Kaplan-Meier curve that was read off a figure.

Between two printed numbers at risk the curve says how many had the event, and the numbers how many were
censored, which are spread evenly over that time; after the last number the total of events says it, where it
is printed (Guyot et al. 2012, doi:10.1186/1471-2288-12-9). What comes out has the curve, the numbers at risk
and the events. It has no covariates and no scans, and when patients were censored between two numbers at risk
is a guess.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bayes_net.errors import CohortWarning, InputError, listed
from bayes_net.files.formats import read_file
from bayes_net.files.writing import write_new
from bayes_net.numbers import counted
from bayes_net.options import refuse_types

READING_ERROR = 0.01
"""By how much survival may rise from one point to the next, as it does where a flat curve is read by hand."""
ROUNDING = 0.02
"""By how much of itself the total of events may be missed: each point's events are a whole number."""
_MOST_ROUNDS = 200


class _Walk(NamedTuple):
    """Follow-up along the points of one interval: events at each, and what is left at its end."""

    events: np.ndarray
    censored: np.ndarray
    at_risk: int
    survival: float


def reconstruct(points: pd.DataFrame, at_risk: pd.DataFrame, *, events: int | None = None) -> pd.DataFrame:
    """One row a pseudo-patient of the curve of one arm: time, event (1, or 0 for censored), in order of time.

    ``points`` are read off the curve: time and survival, a share from 1 downwards, dense where it falls.
    ``at_risk`` are the numbers under the figure: time and n, the first at time 0. ``events`` is the total of
    events where it is printed, and is warned of where it is missed by more than ``ROUNDING``; without it
    censoring goes on after the last number at risk as it was before.
    All times are in one unit, which is that of the result.

    Raises
    ------
    InputError
        A column is missing, a value is no time, no share or no number of patients, survival rises by more
        than ``READING_ERROR``, numbers at risk rise, or the points end before the last number at risk.
    """
    refuse_types(reconstruct, locals())
    points, at_risk = (
        table.apply(pd.to_numeric, errors="coerce") if len(table) else table for table in (points, at_risk)
    )
    _refuse(points, at_risk, events)
    curve = points.sort_values("time", kind="stable")
    time = np.concatenate([[0.0], curve["time"].to_numpy(float)])
    survival = np.minimum.accumulate(np.concatenate([[1.0], curve["survival"].to_numpy(float)]))
    # what a curve has lost by the time of a number at risk was lost before it
    before = np.isin(time, at_risk["time"]) & (time > 0)
    time[before] -= np.diff(time, prepend=0.0)[before] / 2
    starts, numbers = at_risk["time"].to_numpy(float), at_risk["n"].to_numpy(int)
    had = np.zeros(len(time), int)
    left: list[float] = []
    n, reached = int(numbers[0]), 1.0
    ends = np.append(starts[1:], np.inf)
    for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
        own = np.flatnonzero(((time > start) | (k == 0)) & (time <= end))
        last = k == len(starts) - 1
        until = max(float(time[-1]), start) if last else end
        stretch = _Stretch(time[own], survival[own], n, reached, (start, until))
        if not last:
            walked = stretch.to_number(int(numbers[k + 1]))
        elif events is None:
            as_before = round(len(left) / start * (until - start)) if start > 0 else 0
            walked = stretch.walk(min(as_before, n))
        else:
            walked = stretch.to_events(events - int(had.sum()))
        had[own] = walked.events
        left += list(walked.censored)
        n, reached = walked.at_risk, walked.survival
    times = np.concatenate([np.repeat(time, had), left, np.full(n, time[-1])])
    event = np.repeat([1, 0], [had.sum(), len(left) + n])
    if events is not None and abs(had.sum() - events) > max(1, ROUNDING * events):
        message = f"the curve and the numbers at risk give {had.sum()} events, and {events} are printed"
        warnings.warn(message, CohortWarning, stacklevel=2)
    table = pd.DataFrame({"time": times, "event": event})
    return table.sort_values(["time", "event"], ascending=[True, False], ignore_index=True)


def write_reconstruction(
    points: Path, at_risk: Path, out: Path, *, arm: str, endpoint: str, events: int | None = None
) -> pd.DataFrame:
    """Write the pseudo-patients of a curve as a patient table with ``endpoint`` "pfs" or "os", and return it.

    Both files may be of any kind that patient tables are. The column ``reconstructed`` says in every row what
    these patients are, and ``read_cohort`` notes it.

    Raises
    ------
    InputError
        As ``reconstruct``; ``out`` exists already, or is no .csv file.
    """
    if out.suffix != ".csv":
        raise InputError(f"{out} does not end in .csv; expected the name of a new .csv file")
    table = reconstruct(*(read_file(path)[1] for path in (points, at_risk)), events=events)
    names = [f"{arm} {number}" for number in range(1, len(table) + 1)]
    table = table.rename(columns={"time": f"{endpoint}_time", "event": f"{endpoint}_event"})
    table = table.assign(patient=names, arm=arm, reconstructed="true")
    table = table[["patient", "arm", f"{endpoint}_time", f"{endpoint}_event", "reconstructed"]].round(4)
    write_new({out: table.to_csv(index=False, lineterminator="\n").encode()})
    return table


class _Stretch(NamedTuple):
    """Points between two numbers at risk, and how many patients and how high a curve come to its start."""

    time: np.ndarray
    survival: np.ndarray
    n: int
    reached: float
    span: tuple[float, float]

    def walk(self, lost: int) -> _Walk:
        """With so many censored, even over the time: events at every point, as many as bring the curve from
        where it was to where it is read."""
        start, end = self.span
        lost_at = start + (end - start) * (np.arange(lost) + 0.5) / max(lost, 1)
        n, reached = self.n, self.reached
        events, left = np.zeros(len(self.time), int), 0
        for k, at in enumerate(self.time):
            out = min(int(np.searchsorted(lost_at, at)) - left, n)
            n, left = n - out, left + out
            if n and self.survival[k] < reached:
                events[k] = min(round(n * (1.0 - self.survival[k] / reached)), n)
                reached *= 1.0 - events[k] / n
                n -= events[k]
        out = min(lost - left, n)
        return _Walk(events, lost_at[: left + out], n - out, reached)

    def to_number(self, printed: int) -> _Walk:
        """With as many censored as leave the ``printed`` number at risk, or as near as the curve allows."""
        found, lost = [], max(self.n - printed, 0)
        for _ in range(_MOST_ROUNDS):
            found.append(self.walk(lost))
            over = found[-1].at_risk - printed
            if over == 0 or (over < 0 and lost == 0):
                break
            lost = min(max(lost + over, 0), self.n)
        return min(found, key=lambda each: abs(each.at_risk - printed))

    def to_events(self, wanted: int) -> _Walk:
        """With the fewest censored that leave the ``wanted`` events, or as near as can be."""
        tried = (self.walk(lost) for lost in range(self.n + 1))
        return min(tried, key=lambda each: abs(int(each.events.sum()) - wanted))


# --- what cannot be a curve ---------------------------------------------------------------------------------


def _refuse(points: pd.DataFrame, at_risk: pd.DataFrame, events: int | None) -> None:
    problems = [*_column_problems(points, ("time", "survival"), "points")]
    problems += _column_problems(at_risk, ("time", "n"), "at_risk")
    if not problems:
        problems = [*_point_problems(points), *_number_problems(at_risk, points, events)]
    if problems:
        raise InputError("; ".join(problems))


def _column_problems(table: pd.DataFrame, names: tuple[str, ...], what: str) -> list[str]:
    if missing := [name for name in names if name not in table]:
        return [f"{what} has no column {', '.join(missing)}; expected {' and '.join(names)}"]
    bad = ~np.isfinite(table[list(names)].astype(float)).all(axis=1)
    if bad.any() or not len(table):
        return [f"{what} has {_rows(table, bad) if len(table) else 'no rows'}; expected numbers"]
    return []


def _rows(table: pd.DataFrame, bad: pd.Series) -> str:
    return f"{counted(int(bad.sum()), 'row')} without a number (row {listed(table.index[bad], limit=5)})"


def _point_problems(points: pd.DataFrame) -> list[str]:
    curve = points.sort_values("time", kind="stable")
    time, survival = curve["time"].to_numpy(float), curve["survival"].to_numpy(float)
    problems = []
    if (time < 0).any():
        problems.append(f"points has the time {time.min():g}; expected times from 0")
    if ((survival < 0) | (survival > 1)).any():
        worst = survival[(survival < 0) | (survival > 1)][0]
        problems.append(f"points has the survival {worst:g}; expected shares from 0 to 1, not percents")
    rises = np.diff(survival) > READING_ERROR
    if rises.any():
        at = np.flatnonzero(rises)[0]
        rise = f"{survival[at]:g} at {time[at]:g} to {survival[at + 1]:g} at {time[at + 1]:g}"
        expected = f"expected no rise above {READING_ERROR:g}: read these points again"
        problems.append(f"survival rises from {rise}; {expected}")
    return problems


def _number_problems(at_risk: pd.DataFrame, points: pd.DataFrame, events: int | None) -> list[str]:
    time, n = at_risk["time"].to_numpy(float), at_risk["n"].to_numpy(float)
    problems = []
    if time[0] != 0 or (np.diff(time) <= 0).any():
        found = listed((f"{each:g}" for each in time), limit=10)
        problems.append(f"times of numbers at risk are {found}; expected 0 first, then later ones")
    if (n != np.round(n)).any() or (n < 0).any() or n[0] < 1 or (np.diff(n) > 0).any():
        found = listed((f"{each:g}" for each in n), limit=10)
        problems.append(f"numbers at risk are {found}; expected whole numbers that never rise")
    if time[-1] > points["time"].max():
        problems.append(
            f"the last point is at {points['time'].max():g}, the last number at risk at {time[-1]:g}; "
            "expected points until then, if need be one on the flat end of the curve"
        )
    if events is not None and not (float(events).is_integer() and 0 <= events <= n[0]):
        problems.append(
            f"events is {events!r}; expected a whole number from 0 to {n[0]:g}, all patients at risk"
        )
    return problems
