"""Registries of any size, read in pieces and reduced to sums: memory is that of a piece.

The table has one row a patient at risk at a landmark, as ``LandmarkSet.table`` has: arm, time (from the
landmark), event, shrinkage (percentage points) and covariates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.data.aggregated import AggregatedExposure, aggregate
from bayes_net.data.exposure import Exposure
from bayes_net.data.intervals import checked_cuts
from bayes_net.data.landmarks import LandmarkSet
from bayes_net.data.terms import Covariate, Measure, Shrinkage
from bayes_net.errors import InputError, listed
from bayes_net.files.formats import file_pieces
from bayes_net.schema import ARM, LANDMARK, TIME, Duration, months_per
from bayes_net.tables.reading import months_on_grid

PIECE = 500_000
"""Rows that are reduced at a time."""
EVENT, SHRINKAGE = "event", "shrinkage"
AS_SHRINKAGE = Shrinkage()


def expose_registry(
    source: Any,
    *,
    arms: Sequence[str],
    cuts: Sequence[float | Duration],
    landmark: str | None = None,
    measure: Measure = AS_SHRINKAGE,
    covariates: Sequence[Covariate] = (),
    time_unit: str = "months",
    columns: Mapping[str, str] = MappingProxyType({}),
) -> AggregatedExposure:
    """The exposure of any number of patients, for ``bayes_net.fit``: read once, and never held at once.

    ``source`` is a DataFrame of pandas or dask, a Parquet or CSV file, a folder of Parquet files, or an
    iterable of DataFrames or ``LandmarkSet``s (each patient in one of them). ``arms`` names the arms, the
    reference first; ``landmark`` keeps the rows of one landmark, where ``source`` has a column of that name;
    ``columns`` maps this package's names to those of ``source``. ``cuts`` are inner cut-points in months (or
    durations).
    The partitions of a dask DataFrame are reduced where they are, and only their sums brought together.

    The sums are exact, but for scores that differ within a cell, which 12 nodes stand for: ``error`` of the
    result says how closely, measured over all patients. Up to 12 distinct scores are kept as they are.

    Raises
    ------
    InputError
        A column is missing, a value cannot be used (its rows are given by number), covariates make too many
        patterns, or nobody has an event.
    """
    piece = _Piece(
        {ours: columns.get(ours, ours) for ours in (ARM, TIME, EVENT, SHRINKAGE, LANDMARK)},
        tuple(arms),
        checked_cuts(cuts),
        landmark,
        measure,
        tuple(covariates),
        months_per(time_unit),
    )
    by_dask = hasattr(source, "to_delayed")
    sums = _by_dask(source, piece) if by_dask else _one_by_one(_frames(source, piece.wanted), piece)
    total = next(sums, None)
    if total is None or not (total := reduce(add, sums, total)).events.any():
        at = "" if landmark is None else f" at landmark {landmark!r}"
        raise InputError(f"the table has no event{at}, so a hazard cannot be learnt; check what was read")
    return total


@dataclass(frozen=True)
class _Piece:
    """How a piece of the table becomes sums; ``names`` are the table's names of our columns."""

    names: Mapping[str, str]
    arms: tuple[str, ...]
    cuts: np.ndarray
    landmark: str | None
    measure: Measure
    covariates: tuple[Covariate, ...]
    months: float

    @property
    def wanted(self) -> list[str]:
        """The columns to read."""
        ours = [ARM, TIME, EVENT, SHRINKAGE] + ([LANDMARK] if self.landmark is not None else [])
        return [*(self.names[name] for name in ours), *(each.name for each in self.covariates)]

    def sums(self, frame: pd.DataFrame, first_row: int = 0) -> AggregatedExposure | None:
        """The sums of the rows of ``frame``, whose first is number ``first_row``; None if none is wanted."""
        rows = np.arange(len(frame))
        if self.landmark is not None:
            rows = np.flatnonzero(frame[self.names[LANDMARK]].astype(str) == self.landmark)
            frame = frame.iloc[rows]
        if frame.empty:
            return None
        rows = rows + first_row + 1
        arm = pd.Categorical(frame[self.names[ARM]], categories=self.arms).codes.astype(int)
        self._check(ARM, arm < 0, rows, f"one of {', '.join(self.arms)}")
        time = self._numbers(frame, TIME, rows, lambda x: (x >= 0) & np.isfinite(x), "0 or more")
        event = self._numbers(frame, EVENT, rows, lambda x: (x == 0) | (x == 1), "0 (censored) or 1 (event)")
        # without a scan there is no response, but no shrinkage either
        unknown = not isinstance(self.measure, Shrinkage)
        shrinkage = self._numbers(
            frame,
            SHRINKAGE,
            rows,
            lambda x: (np.isfinite(x) & (x <= 100 + 1e-9)) | (np.isnan(x) & unknown),
            "percentage points of at most 100, positive when smaller",
        )
        table = frame.assign(**{ARM: np.array(self.arms)[arm]})
        known = table[[each.name for each in self.covariates]].notna().all(axis=1).to_numpy()
        self._check("covariates", ~known, rows, "a value in every row")
        values = [each.values(table) for each in self.covariates]
        covariates = np.hstack(values) if values else np.empty((len(frame), 0))
        names = tuple(column for each in self.covariates for column in each.columns)
        self._check("covariates", ~np.all(np.isfinite(covariates), axis=1), rows, "a number in every row")
        return aggregate(
            Exposure(
                time=months_on_grid(time * self.months),
                event=event,
                arm=arm,
                score=self.measure.score(shrinkage),
                covariates=covariates,
                cuts=self.cuts,
                arms=self.arms,
                covariate_names=names,
                measure=self.measure,
            )
        )

    def _numbers(
        self, frame: pd.DataFrame, name: str, rows: np.ndarray, good: Callable, expected: str
    ) -> np.ndarray:
        numbers = pd.to_numeric(frame[self.names[name]], errors="coerce").to_numpy(float, na_value=np.nan)
        self._check(name, ~good(numbers), rows, expected)
        return numbers

    def _check(self, name: str, wrong: np.ndarray, rows: np.ndarray, expected: str) -> None:
        if wrong.any():
            raise InputError(
                f"column {self.names.get(name, name)!r} cannot be used in {wrong.sum():,} rows, counted from "
                f"1 within the table or its partition: {listed(rows[wrong])}; expected {expected}"
            )


def _one_by_one(frames: Iterable[pd.DataFrame], piece: _Piece) -> Iterator[AggregatedExposure]:
    first_row = 0
    for frame in frames:
        if (found := piece.sums(frame, first_row)) is not None:
            yield found
        first_row += len(frame)


def _by_dask(source: Any, piece: _Piece) -> Iterator[AggregatedExposure]:
    """The sums of every partition, by dask's scheduler or the cluster that it is connected to."""
    import dask

    _check_columns(source.columns, piece.wanted)
    parts = source[piece.wanted].to_delayed()
    found = dask.compute(*(dask.delayed(piece.sums)(part) for part in parts))
    yield from (each for each in found if each is not None)


def _frames(source: Any, wanted: Sequence[str]) -> Iterator[pd.DataFrame]:
    if isinstance(source, str | Path):
        yield from file_pieces(Path(source), lambda columns: _check_columns(columns, wanted), PIECE)
        return
    pieces = [source] if isinstance(source, pd.DataFrame | LandmarkSet) else source
    if not isinstance(pieces, Iterable):
        raise InputError(
            f"got a {type(source).__name__}; expected a DataFrame, a file, a folder of Parquet files, or an "
            "iterable of DataFrames or LandmarkSets"
        )
    for each in pieces:
        if isinstance(each, LandmarkSet) and len(each.studies) > 1:
            raise InputError(
                f"a landmark set is of the studies {listed(each.studies)}, and patients of a registry share "
                "their baselines; expected one study, or its table, to take them for one. expose and "
                "aggregate give each study its own"
            )
        frame = each.table if isinstance(each, LandmarkSet) else each
        if not isinstance(frame, pd.DataFrame):
            raise InputError(f"a piece is a {type(each).__name__}; expected a DataFrame or a LandmarkSet")
        _check_columns(frame.columns, wanted)
        for start in range(0, len(frame), PIECE):
            yield frame[list(wanted)].iloc[start : start + PIECE]


def _check_columns(existing: Iterable[str], wanted: Sequence[str]) -> Sequence[str]:
    if missing := [name for name in wanted if name not in list(existing)]:
        raise InputError(
            f"the table has no column {listed(missing)}; it has {listed(existing, limit=20)}: "
            "map this package's names to yours with columns={...}"
        )
    return wanted
