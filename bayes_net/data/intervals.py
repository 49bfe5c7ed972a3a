"""Intervals of the piecewise-constant hazard, (start, end] after the clock's start, and their cut-points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bayes_net.errors import InputError, listed
from bayes_net.schema import ARM, STUDY, Duration
from bayes_net.tables.reading import months_on_grid


class Intervals:
    """Intervals between inner cut-points (months); the last one is open."""

    cuts: np.ndarray

    @property
    def n_intervals(self) -> int:
        """Number of intervals, one more than inner cut-points."""
        return len(self.cuts) + 1

    @property
    def starts(self) -> np.ndarray:
        """Where each interval begins, in months."""
        return np.concatenate([[0.0], self.cuts])

    @property
    def ends(self) -> np.ndarray:
        """Where each interval ends; the last is open (inf)."""
        return np.concatenate([self.cuts, [np.inf]])


PER_STUDY = "per study"
STUDIES = (PER_STUDY, "shared")
"""Whose the baseline hazards are, where patients come from several studies."""


class Baselines(Intervals):
    """Intervals of the baseline hazards: one for each arm or, of several studies, for each arm of each study.

    These are the strata, numbered study by study; ``studies`` is empty where all patients share theirs.
    """

    arms: tuple[str, ...]
    studies: tuple[str, ...]

    @property
    def strata(self) -> tuple[int, ...]:
        """How many baselines there are: (arm,), or (study, arm)."""
        return (*([len(self.studies)] if self.studies else []), len(self.arms))

    @property
    def strata_dims(self) -> tuple[str, ...]:
        """Names of the dims of ``strata``."""
        return (*([STUDY] if self.studies else []), ARM)


def checked_cuts(cuts: Sequence[float | Duration] | np.ndarray) -> np.ndarray:
    """The cut-points in months, on the grid of follow-up times, so that a tie with an event is one."""
    months = np.array([cut.months if isinstance(cut, Duration) else float(cut) for cut in cuts], dtype=float)
    months = months_on_grid(months)
    if len(months) and not (np.isfinite(months).all() and months[0] > 0 and (np.diff(months) > 0).all()):
        raise InputError(
            f"cut-points {listed(months)} are not usable; expected positive, rising months after the landmark"
        )
    return months


def equal_event_cuts(time: np.ndarray, event: np.ndarray, *, intervals: int) -> np.ndarray:
    """Inner cut-points that share the events out as evenly as ties allow, the larger shares first.

    A cut lies midway between two neighbouring distinct event times, so no event sits on it and every
    interval has one. With fewer distinct event times than ``intervals`` there are that many intervals.
    """
    times, counts = np.unique(np.asarray(time)[np.asarray(event) == 1], return_counts=True)
    if intervals < 1 or not len(times):
        raise InputError(
            f"equal-event cut-points need >= 1 interval and an event; got {intervals} and {len(times)}"
        )
    done, intervals = np.cumsum(counts), min(intervals, len(times))
    shares = np.cumsum([len(part) for part in np.array_split(np.arange(done[-1]), intervals)])
    last, after = -1, []
    for share, left in zip(shares[:-1], range(intervals - 1, 0, -1), strict=True):
        # the cuts still to place each need a later gap between event times
        free = np.arange(last + 1, len(times) - left)
        last = free[np.abs(done[free] - share).argmin()]
        after.append(last)
    return np.array([(times[i] + times[i + 1]) / 2 for i in after])


def grid_cuts(width: Duration, until: Duration) -> np.ndarray:
    """Inner cut-points every ``width`` up to and including ``until``, in months."""
    if width.months <= 0 or until.months < width.months:
        raise InputError(f"grid of width {width} until {until} has no cut-point; expected 0 < width <= until")
    return months_on_grid(np.arange(1, int(until.months / width.months + 1e-9) + 1) * width.months)


def person_time(time: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Months that each follow-up time spends in each interval, shape (patients, intervals)."""
    starts, ends = np.concatenate([[0.0], cuts]), np.concatenate([cuts, [np.inf]])
    return np.clip(np.asarray(time)[:, None], starts, ends) - starts


def inverse_cumulative(hazard: np.ndarray, starts: npt.ArrayLike, target: np.ndarray) -> np.ndarray:
    """The time at which each patient's piecewise-constant ``hazard`` (patient, interval) has accumulated
    ``target`` (patient,); infinite if it never does."""
    at_start = np.pad(np.cumsum(hazard[:, :-1] * np.diff(starts), axis=1), ((0, 0), (1, 0)))
    k = (at_start <= target[:, None]).sum(axis=1) - 1
    rows = np.arange(len(hazard))
    left, rate = target - at_start[rows, k], hazard[rows, k]
    return np.asarray(starts)[k] + np.divide(left, rate, out=np.full(len(left), np.inf), where=rate > 0)


def one_hot(index: np.ndarray, size: int) -> np.ndarray:
    """A 0/1 matrix with a single 1 in each row, in the column of the index."""
    return np.eye(size)[np.asarray(index, int)]
