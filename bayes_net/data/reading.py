"""Tables as they come (CSV, Parquet, DataFrame), with their columns renamed and their values parsed.

Every value is parsed one way whatever the file, so a CSV and a Parquet file of one study give equal
cohorts: identifiers and arms as stripped text, numbers by Python's own exact ``float``.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from bayes_net import schema
from bayes_net.errors import CohortError, InputError, listed

MISSING = frozenset({"", "NA", "NaN", "nan", "."})
"""Texts that mean a missing value, as R, pandas and SAS write it."""
TRUTH = {"true": 1.0, "false": 0.0}
YES_NO = TRUTH | {"yes": 1.0, "y": 1.0, "no": 0.0, "n": 0.0}

Source: TypeAlias = str | Path | pd.DataFrame
"""A file, or a table that is read already."""


@dataclass(frozen=True)
class Table:
    """A table, the name that messages give it, and the row labels that its owner knows.

    A row of a CSV file is counted with the header as row 1; a row of Parquet or of a DataFrame is
    named by its index label.
    """

    name: str
    frame: pd.DataFrame
    labels: pd.Index

    def __repr__(self) -> str:
        return f"<table: {self.name}, {len(self.frame)} rows>"

    def where(self, keep: pd.Series) -> Table:
        """The rows where ``keep`` is true, which keep their labels."""
        return replace(
            self, frame=self.frame[keep].reset_index(drop=True), labels=self.labels[keep.to_numpy()]
        )

    def rows(
        self, at: pd.Series | Sequence[int], detail: Callable[[pd.Series], str] | None = None
    ) -> list[str]:
        """Rows as messages name them: ``"row 7 (patient 12)"``, with a ``detail`` after the patient."""
        if isinstance(at, pd.Series):
            at = np.flatnonzero(at.to_numpy(dtype=bool))
        # only the first few are read by anyone; a hundred thousand bad rows must not take minutes
        return [self._row(position, detail) for position in at[:10]] + [str(self.labels[i]) for i in at[10:]]

    def _row(self, position: int, detail: Callable[[pd.Series], str] | None) -> str:
        row = self.frame.iloc[position]
        patient = "without an identifier" if pd.isna(row["patient"]) else row["patient"]
        return f"row {self.labels[position]} (patient {patient}{': ' + detail(row) if detail else ''})"


def problem(table: str, got: str, expected: str, todo: str, rows: Iterable[str] = ()) -> str:
    """One kind of problem in words: what was got and expected, what to do, and the first rows."""
    named = listed(rows)
    return f"{table}: {got}; expected {expected}. {'Found in ' + named + '. ' if named else ''}{todo}"


def refuse(problems: Sequence[str]) -> None:
    """Raise one CohortError with every problem, if there is any."""
    if len(problems) == 1:
        raise CohortError(problems[0])
    if problems:
        raise CohortError("\n- ".join([f"{len(problems)} kinds of problem in the tables:", *problems]))


def months_on_grid(months: Any) -> Any:
    """Times in months, put on a grid of a millionth of a day.

    Two times that are one day are then one float whichever unit they came in, and a difference of two
    times too, so that ``>`` and ``<=`` decide ties between scans, landmarks and follow-up exactly.
    """
    return np.round(months * schema.DAYS_PER_MONTH, 6) / schema.DAYS_PER_MONTH


def read_table(source: Source, role: str) -> Table:
    """The table of a file (``READERS``; all columns of a CSV file as text) or of a DataFrame."""
    if isinstance(source, pd.DataFrame):
        table = _from_frame(source, f"the {role} table")
    else:
        path = Path(source)
        table = _from_frame(next(file_pieces(path), pd.DataFrame()), path.name)
    if table.frame.empty:
        todo = "Check that the file is complete."
        raise CohortError(problem(table.name, "there are no data rows", f"one row a {role}", todo))
    return table


class Rows(NamedTuple):
    """A file open for reading: its columns, and ``pieces(columns, most)``, frames of at most so many rows
    (None: all columns, all rows in one frame) whose index says by which number messages name a row."""

    columns: Sequence[str]
    pieces: Callable[[Sequence[str] | None, int | None], Iterable[pd.DataFrame]]


def in_memory(frame: pd.DataFrame) -> Rows:
    """The rows of a file that can only be read as a whole."""
    return Rows(list(frame), lambda columns, most: [frame if columns is None else frame[list(columns)]])


def _csv(path: Path) -> Rows:
    def records() -> Iterator[tuple[int, list[str]]]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = enumerate(csv.reader(file, strict=True), start=1)
            yield from ((row, fields) for row, fields in rows if any(fields))

    first = next(records(), None)
    if first is None:
        raise CohortError(
            problem(path.name, "the file is empty", "a header and data rows", "Export it again.")
        )
    header = [name.strip() for name in first[1]]

    def pieces(columns: Sequence[str] | None, most: int | None) -> Iterator[pd.DataFrame]:
        rest = islice(records(), 1, None)
        while batch := list(islice(rest, most)):
            wrong = [(row, len(fields)) for row, fields in batch if len(fields) != len(header)]
            if ragged := [f"row {row} ({number} values)" for row, number in wrong]:
                got = f"{len(ragged)} rows do not have a value for each of the {len(header)} columns"
                todo = "Check for a cut-off file and for commas inside values without quotes."
                raise CohortError(problem(path.name, got, "as many values as the header has", todo, ragged))
            rows, values = zip(*batch, strict=True)
            frame = pd.DataFrame(values, columns=header, index=rows, dtype=object)
            yield frame if columns is None else frame[list(columns)]

    return Rows(header, pieces)


def _parquet(path: Path) -> Rows:
    """A Parquet file, or a folder of them."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    dataset = ds.dataset(path, format="parquet")

    def pieces(columns: Sequence[str] | None, most: int | None) -> Iterator[pd.DataFrame]:
        if most is None:
            yield pd.read_parquet(path, columns=columns)
            return
        waiting: list[pa.RecordBatch] = []
        for batch in dataset.to_batches(columns=columns, batch_size=most, batch_readahead=2):
            waiting.append(batch)
            if sum(len(each) for each in waiting) >= most:
                yield pa.Table.from_batches(waiting).to_pandas()
                waiting = []
        if waiting:
            yield pa.Table.from_batches(waiting).to_pandas()

    return Rows(dataset.schema.names, pieces)


READERS: dict[str, Callable[[Path], Rows]] = {".csv": _csv, ".parquet": _parquet}
"""How a file is read, by its ending: patients, scans and registries take every format that stands here."""


def file_pieces(
    path: Path,
    select: Callable[[Sequence[str]], Sequence[str] | None] = lambda columns: None,
    most: int | None = None,
) -> Iterator[pd.DataFrame]:
    """The rows of a file in frames of at most ``most``, or in one frame, with the columns that ``select``
    chooses from those of the file (None: all of them). A folder is one of Parquet files.

    Raises
    ------
    CohortError
        There is no such file, or it cannot be read.
    """
    ending = ".parquet" if path.is_dir() else path.suffix.lower()
    endings = " or ".join(READERS)
    if ending not in READERS:
        got = f"the file ending is {path.suffix!r}"
        raise CohortError(problem(str(path), got, endings, "Convert the file."))
    if not path.exists():
        expected, todo = f"a {endings} file", "Check the path and its folder."
        raise CohortError(problem(str(path), "there is no such file", expected, todo))
    try:
        rows = READERS[ending](path)
        yield from rows.pieces(select(rows.columns), most)
    except InputError:
        raise
    except (OSError, ValueError, csv.Error) as reason:
        got = f"the file cannot be read as {ending[1:]} ({reason})"
        expected = f"a complete {ending[1:]} file"
        raise CohortError(problem(path.name, got, expected, "Export it again.")) from reason


def _from_frame(frame: pd.DataFrame, name: str) -> Table:
    named = [level for level in frame.index.names if level is not None and level not in frame.columns]
    labels = frame.index if frame.index.is_unique and not frame.index.names[0] else pd.RangeIndex(len(frame))
    flat = frame.reset_index(level=named) if named else frame
    flat = flat.rename(columns=str).reset_index(drop=True)
    flat = flat.loc[:, flat.columns != ""]
    twice = sorted(set(flat.columns[flat.columns.duplicated()]))
    if twice:
        got = f"columns occur twice: {', '.join(twice)}"
        raise CohortError(problem(name, got, "unique column names", "Rename or remove one."))
    return Table(name, flat, labels)


def select(
    table: Table, mapping: Mapping[str, str], required: Sequence[str], optional: Sequence[str]
) -> Table:
    """The table with only the asked columns, under their canonical names.

    A canonical name without an entry in ``mapping`` is looked for under its own name; an optional column
    may be absent unless ``mapping`` asks for it.
    """
    columns = {name: mapping.get(name, name) for name in (*required, *optional)}
    absent = [
        name
        for name, column in columns.items()
        if column not in table.frame.columns and (name in required or name in mapping)
    ]
    unknown = [f"{name!r} is no column that can be named" for name in mapping if name not in columns]
    if absent or unknown:
        got = "; ".join([_absence(name, columns[name], table.frame.columns) for name in absent] + unknown)
        todo = f"Say which column of the file holds each of: {', '.join(columns)}."
        expected = f"columns of this table, which has {listed(table.frame.columns, limit=40)}"
        raise CohortError(problem(table.name, got, expected, todo))
    present = {name: table.frame[column] for name, column in columns.items() if column in table.frame.columns}
    return replace(table, frame=pd.DataFrame(present))


def _absence(name: str, column: str, existing: Iterable[str]) -> str:
    by_lower = {other.lower(): other for other in existing}
    close = [by_lower[match] for match in difflib.get_close_matches(column.lower(), by_lower)]
    hint = f" (did you mean {' or '.join(repr(match) for match in close)}?)" if close else ""
    asked = repr(column) if column == name else f"{column!r}, asked for as {name}"
    return f"there is no column {asked}{hint}"


def text(values: pd.Series) -> pd.Series:
    """The values as stripped text, None where missing; a whole number has no decimal point."""
    return pd.Series([_text(value) for value in values], index=values.index, dtype=object)


def _text(value: object) -> str | None:
    if pd.isna(value):
        return None
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return str(int(value)) if float(value).is_integer() else str(value)
    stripped = str(value).strip()
    return None if stripped in MISSING else stripped


def parsed(values: pd.Series, words: Mapping[str, float] | None = None) -> tuple[pd.Series, pd.Series]:
    """The values as floats (NaN where missing or not a number), and which are not numbers."""
    results = [_number(_text(value), words or {}) for value in values]
    floats = [math.nan if number is None else number for number in results]
    wrong = [number is None for number in results]
    return pd.Series(floats, index=values.index, dtype=float), pd.Series(
        wrong, index=values.index, dtype=bool
    )


def _number(value: str | None, words: Mapping[str, float]) -> float | None:
    if value is None:
        return math.nan
    if value.lower() in words:
        return words[value.lower()]
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in value else None


SIZE_UNITS = {"mm": 1.0, "cm": 10.0}
"""Millimetres in each unit of size."""
PATIENT_COLUMNS = ("patient", "study", "arm", "pfs_time", "pfs_event", "os_time", "os_event")
_TAKEN = (*PATIENT_COLUMNS, "landmark", "shrinkage", "response", "time", "event")


def check_options(
    size_unit: str | None, arms: Sequence[str] | None, covariates: Sequence[str], scans_after_death: str
) -> None:
    """Refuse options that mean nothing, before any file is read."""
    if scans_after_death not in ("refuse", "drop"):
        raise InputError(f"scans_after_death is {scans_after_death!r}; expected 'refuse' or 'drop'")
    if size_unit not in (None, *SIZE_UNITS):
        raise InputError(f"size_unit is {size_unit!r}; expected one of {', '.join(SIZE_UNITS)}")
    for name, values in {"arms": arms, "covariates": covariates}.items():
        if isinstance(values, str):
            raise InputError(f"{name} is the text {values!r}; expected a list of names, such as [{values!r}]")
    if any(name in _TAKEN for name in covariates) or len(set(covariates)) < len(covariates):
        raise InputError(
            f"covariates are {listed(covariates)}; expected each once and none of the names that the tables "
            f"use: {', '.join(_TAKEN)}. Give the column another name by patient_columns"
        )


def selected_tables(
    patients: Source,
    scans: Source | None,
    patient_columns: Mapping[str, str] | None,
    scan_columns: Mapping[str, str] | None,
    covariates: Sequence[str],
    size_unit: str | None,
    study: str | None,
) -> tuple[Table, Table]:
    """Both tables with canonical columns only; what is wrong with either is said together."""
    tables, problems = [], []
    for reader, arguments in (
        (_patients, (patients, patient_columns or {}, covariates, study)),
        (_scans, (scans, scan_columns or {}, size_unit)),
    ):
        try:
            tables.append(reader(*arguments))
        except CohortError as reason:
            problems.append(str(reason))
    refuse(problems)
    read_patients, read_scans = tables
    return read_patients, read_scans


def _patients(
    source: Source, mapping: Mapping[str, str], covariates: Sequence[str], study: str | None
) -> Table:
    table = read_table(source, "patient")
    survival = ("os_time", "os_event")
    known = any(name in mapping or name in table.frame.columns for name in survival)
    required = ("patient", "arm", "pfs_time", "pfs_event", *(survival if known else ()), *covariates)
    selected = select(table, mapping, required, ("study",) if known else ("study", *survival))
    if study is not None and "study" in selected.frame:
        got = f"the study is both a column and given as {study!r}"
        raise CohortError(problem(table.name, got, "one of them", "Leave out study, or rename the column."))
    return selected


def _scans(source: Source | None, mapping: Mapping[str, str], size_unit: str | None) -> Table:
    if source is None:
        return Table(
            "no scans", pd.DataFrame(columns=["patient", "time", "pchg"], dtype=str), pd.RangeIndex(0)
        )
    table = read_table(source, "scan")
    measures = ("size", "pchg")
    found = [name for name in measures if name in mapping] or [
        name for name in measures if name in table.frame
    ]
    if len(found) != 1:
        number = "both size and pchg" if found else "neither size nor pchg"
        got = f"{number} among {listed(table.frame, limit=40)}"
        todo = 'Name the column of one of them in scan_columns, for example {"pchg": "change"}.'
        raise CohortError(problem(table.name, got, "one measure of the tumour", todo))
    if (found == ["size"]) != (size_unit is not None):
        got = f"size_unit is {size_unit!r} with a column of {found[0]}"
        raise CohortError(
            problem(table.name, got, "mm or cm with size, none with pchg", "Correct size_unit.")
        )
    return select(table, mapping, ("patient", "time", *found), ("new_lesion", "response"))
