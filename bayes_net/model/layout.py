"""What a hazard model assumes and the arrays that its likelihood takes; nothing here needs PyMC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayes_net.data.aggregated import SLOPES, AggregatedExposure
from bayes_net.data.exposure import Exposure, one_hot, person_time
from bayes_net.data.gauss import NODES, Nodes, compress, compression_error
from bayes_net.errors import InputError
from bayes_net.model.assumptions import PER_ARM, TIME_VARYING, Hazard
from bayes_net.model.priors import HalfNormal, Normal, Priors

MOST_COMPRESSION_ERROR = 1e-6
AnyExposure = Exposure | AggregatedExposure


@dataclass(frozen=True)
class Layout:
    """The shapes of a likelihood: exposures of one layout share one compiled model.

    With few distinct covariate patterns exposure is compressed to ``NODES`` nodes a pattern and
    interval, whatever the number of patients; otherwise every patient is a row, padded to ``rows``.
    """

    arms: tuple[str, ...]
    covariate_names: tuple[str, ...]
    n_intervals: int
    patterns: tuple[tuple[float, ...], ...] = ()
    rows: int = 0

    @property
    def compressed(self) -> bool:
        """Whether exposure enters as nodes, and not patient by patient."""
        return bool(self.patterns)


def layout(exposures: Sequence[AnyExposure]) -> Layout:
    """The layout that serves all ``exposures``, in the form that costs least to evaluate."""
    shapes = {(e.arms, e.covariate_names, e.n_intervals) for e in exposures}
    if len(shapes) != 1:
        raise InputError(f"exposures differ in arms, covariates or number of intervals: {sorted(shapes)}")
    arms, names, n_intervals = shapes.pop()
    patterns = np.unique(np.vstack([e.patterns for e in exposures]), axis=0)
    rows = max(e.n for e in exposures)
    if _as_nodes(exposures, patterns):
        return Layout(arms, names, n_intervals, patterns=tuple(map(tuple, patterns.tolist())))
    return Layout(arms, names, n_intervals, rows=rows)


def _as_nodes(exposures: Sequence[AnyExposure], patterns: np.ndarray) -> bool:
    """Whether nodes serve all exposures and cost less than rows; aggregated patients have nothing else."""
    aggregated = [e for e in exposures if isinstance(e, AggregatedExposure)]
    for data in aggregated:
        if data.error >= MOST_COMPRESSION_ERROR:
            raise InputError(
                f"aggregated exposure is off by {data.error:.1g} for hazard ratios up to 4 per 10 points, "
                f"expected below {MOST_COMPRESSION_ERROR:g}: scores from {data.score.min():.3g} to "
                f"{data.score.max():.3g} are too far apart; leave out, or cap, impossible shrinkages"
            )
    single = [e for e in exposures if isinstance(e, Exposure)]
    cells = len(patterns) * exposures[0].n_intervals
    small = cells * NODES <= max(4 * max((e.n for e in single), default=0), 1000)
    return bool(aggregated) or (small and all(_compresses(e, patterns) for e in single))


def _nodes(data: AnyExposure, patterns: np.ndarray) -> Nodes:
    if isinstance(data, AggregatedExposure):
        return data.nodes(patterns)
    return compress(data, patterns=patterns)


def _compresses(data: Exposure, patterns: np.ndarray) -> bool:
    """Whether nodes give the hazard of these patients to six digits, for hazard ratios up to 4 a unit."""
    return compression_error(data, compress(data, patterns=patterns), slopes=SLOPES) < MOST_COMPRESSION_ERROR


def _midpoint_distance(cuts: np.ndarray) -> np.ndarray:
    """Years between the midpoints of neighbouring intervals; the open last one counts as long as its
    predecessor."""
    widths = _widths(cuts)
    return (widths[:-1] + widths[1:]) / 2 / 12.0


def _widths(cuts: np.ndarray) -> np.ndarray:
    edges = np.concatenate([[0.0], cuts])
    return np.append(np.diff(edges), np.diff(edges)[-1])


def walk_basis(cuts: np.ndarray) -> np.ndarray:
    """Matrix from standard normal steps to a random walk over the intervals, (intervals, steps).

    A step's variance is the distance between interval midpoints in years; the walk is centred on its
    average over time, so that the level is the time-averaged log hazard.
    """
    if not len(cuts):
        return np.zeros((1, 0))
    widths, distance = _widths(cuts), _midpoint_distance(cuts)
    walk = np.tril(np.ones((len(widths), len(distance))), -1) * np.sqrt(distance)
    return walk - (widths / widths.sum()) @ walk


def level_shift(data: AnyExposure, hazard: Hazard) -> np.ndarray:
    """Average log hazard of the events minus average log hazard over time, for a standard deviation of 1 and
    one standardised step of 1, ([arm,] boundary).

    The average over events gives the prior's precision of the level a share, in which the walk is 0. It is
    what the model samples: late intervals may have no events, and the average over time is then a guess that
    a wide walk moves far, while the average over events stays where it is.
    """
    events = data.events if hazard.baseline == PER_ARM else data.events.sum(axis=0)
    prior = hazard.priors.level
    known = events.sum(axis=-1, keepdims=True) + (prior.sd**-2.0 if isinstance(prior, Normal) else 0.0)
    return events / np.maximum(known, 1.0e-9) @ walk_basis(data.cuts)


def step_information(data: AnyExposure, hazard: Hazard) -> np.ndarray:
    """About how much the events say about each step of the walk, ([arm,] boundary), for a unit step SD.

    The log hazard of an interval with d events is known to a variance of about 1/d. Given the walk's
    SD s, a standard normal step then has a posterior SD of about 1/sqrt(1 + s^2 I): sampling the step
    on that scale keeps the geometry even from few events (non-centred) to many (centred).
    """
    events = data.events if hazard.baseline == PER_ARM else data.events.sum(axis=0)
    before, after = events[..., :-1], events[..., 1:]
    harmonic = before * after / np.maximum(before + after, 1.0)
    return harmonic * _midpoint_distance(data.cuts) if len(data.cuts) else harmonic


def slope_intervals(hazard: Hazard, data: AnyExposure) -> int:
    """In how many intervals the slope differs: 1 where it is the same in all."""
    return data.n_intervals if hazard.slopes == TIME_VARYING else 1


def sums_at_events(data: AnyExposure, slope_intervals: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Events, (arm, interval); the sum of their scores, (arm, interval) or, with one slope for all intervals,
    (arm, 1); the sum of their covariates, (covariate,)."""
    scores = data.score_events[:, None] if slope_intervals == 1 else data.score_events_by_interval
    return data.events, scores, data.covariate_events


def model_data(data: AnyExposure, shape: Layout, hazard: Hazard) -> dict[str, np.ndarray]:
    """The arrays that the compiled model of ``shape`` takes for ``data``.

    Raises
    ------
    InputError
        ``data`` has other arms, covariates or numbers of intervals than ``shape``, or more patients.
    """
    _check_shape(data, shape)
    shift = level_shift(data, hazard)
    events, score_events, covariate_events = sums_at_events(data, slope_intervals(hazard, data))
    arrays = {
        "events": events,
        "score_events": score_events,
        "covariate_events": covariate_events,
        "walk": walk_basis(data.cuts) - shift[..., None, :],
        "level_shift": shift,
        "step_information": step_information(data, hazard),
        "slope_walk": walk_basis(data.cuts),
    }
    if shape.compressed:
        nodes = _nodes(data, np.array(shape.patterns))
        arrays |= {"node_score": nodes.score, "node_weight": nodes.weight}
    else:
        spare = shape.rows - data.n
        padded = {
            "row_arm": one_hot(data.arm, len(data.arms)),
            "row_covariates": data.covariates,
            "row_score": data.score,
            "row_since_start": data.since_start,
            "row_months": person_time(data.time, data.cuts),
        }
        arrays |= {k: np.pad(v, [(0, spare)] + [(0, 0)] * (v.ndim - 1)) for k, v in padded.items()}
        cell = data.arm * data.n_intervals + data.interval
        arrays |= {"row_cell": np.pad(cell, (0, spare)), "widths": np.append(np.diff(data.starts), 0.0)}
    return arrays | _prior_data(hazard.priors)


def _check_shape(data: AnyExposure, shape: Layout) -> None:
    own = (data.arms, data.covariate_names, data.n_intervals)
    if own != (shape.arms, shape.covariate_names, shape.n_intervals):
        raise InputError(
            f"exposure with arms, covariates and intervals {own} does not fit a layout of "
            f"{(shape.arms, shape.covariate_names, shape.n_intervals)}; lay out all exposures together"
        )
    if not shape.compressed and data.n > shape.rows:
        raise InputError(
            f"{data.n} patients do not fit a layout of {shape.rows} rows; lay out all exposures together"
        )


PRIOR_ROWS = ("level", "step_sd", "slope", "arm_effect", "covariate", "slope_step_sd")
"""Which prior each row of the array ``hyperparameters`` belongs to."""


def _prior_data(priors: Priors) -> dict[str, np.ndarray]:
    """Hyperparameters are data too, so that another prior of the same kind needs no compiling.

    One array for all of them, mean and SD in a row each: every further input takes time to compile.
    """
    values = np.zeros((len(PRIOR_ROWS), 2))
    for row, name in zip(values, PRIOR_ROWS, strict=True):
        prior = getattr(priors, name)
        if isinstance(prior, Normal):
            row[:] = prior.mean, prior.sd
        elif isinstance(prior, HalfNormal):
            row[:] = 0.0, prior.sd
    return {"hyperparameters": values}
