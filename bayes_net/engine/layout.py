"""Shapes and arrays of the patients' likelihood: what fits of one shape share, and what each is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayes_net.data.aggregated import SLOPES, AggregatedExposure, AnyExposure
from bayes_net.data.exposure import Exposure, one_hot, person_time
from bayes_net.data.gauss import NODES, Nodes, compress, compression_error
from bayes_net.errors import InputError
from bayes_net.model.assumptions import (
    Hazard,
    level_shift,
    slope_intervals,
    step_information,
    sums_at_events,
    walk_basis,
)
from bayes_net.model.priors import HalfNormal, Normal, Priors
from bayes_net.numbers import significant

MOST_COMPRESSION_ERROR = 1e-6


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
                f"aggregated exposure is off by {significant(data.error, 1)} for hazard ratios up to 4 per "
                f"10 points, expected below {MOST_COMPRESSION_ERROR:g}: scores from "
                f"{significant(data.score.min())} to {significant(data.score.max())} are too far apart; "
                "leave out, or cap, impossible shrinkages"
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
