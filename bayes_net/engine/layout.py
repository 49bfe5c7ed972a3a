"""The form in which patients' exposure enters the engine's log density."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayes_net.data.aggregated import SLOPES, AggregatedExposure, AnyExposure
from bayes_net.data.exposure import Exposure
from bayes_net.data.gauss import NODES, Nodes, compress, compression_error
from bayes_net.errors import InputError
from bayes_net.numbers import significant

MOST_COMPRESSION_ERROR = 1e-6


@dataclass(frozen=True)
class Layout:
    """The form of a likelihood, which fits that are to be compared share.

    With few distinct covariate ``patterns`` exposure is compressed to ``NODES`` nodes a pattern and interval,
    whatever the number of patients; without, every patient has terms of its own.
    """

    arms: tuple[str, ...]
    covariate_names: tuple[str, ...]
    n_intervals: int
    studies: tuple[str, ...] = ()
    patterns: tuple[tuple[float, ...], ...] = ()

    @property
    def compressed(self) -> bool:
        """Whether exposure enters as nodes, and not patient by patient."""
        return bool(self.patterns)

    def nodes(self, data: AnyExposure) -> Nodes:
        """The exposure of ``data`` at nodes, (pattern, interval, node)."""
        patterns = np.array(self.patterns)
        return (
            data.nodes(patterns)
            if isinstance(data, AggregatedExposure)
            else compress(data, patterns=patterns)
        )

    def check(self, data: AnyExposure) -> None:
        """Raise an ``InputError`` where ``data`` are of another form."""
        own, ours = ((of.arms, of.covariate_names, of.n_intervals, of.studies) for of in (data, self))
        if own != ours:
            raise InputError(
                f"exposure with arms, covariates, intervals and studies {own} does not fit a layout of "
                f"{ours}; lay out all exposures together"
            )


def layout(exposures: Sequence[AnyExposure]) -> Layout:
    """The layout that serves all ``exposures``, in the form that costs least to evaluate."""
    shapes = {(e.arms, e.covariate_names, e.n_intervals, e.studies) for e in exposures}
    if len(shapes) != 1:
        raise InputError(
            f"exposures differ in arms, covariates, number of intervals or studies: {sorted(shapes)}"
        )
    patterns = np.unique(np.vstack([e.patterns for e in exposures]), axis=0)
    kept = patterns.tolist() if _as_nodes(exposures, patterns) else ()
    return Layout(*shapes.pop(), tuple(map(tuple, kept)))


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
    small = cells * NODES <= max(4 * max((e.rows for e in single), default=0), 1000)
    return bool(aggregated) or (small and all(_compresses(e, patterns) for e in single))


def _compresses(data: Exposure, patterns: np.ndarray) -> bool:
    """Whether nodes give the hazard of these patients to six digits, for hazard ratios up to 4 a unit."""
    return compression_error(data, compress(data, patterns=patterns), slopes=SLOPES) < MOST_COMPRESSION_ERROR
