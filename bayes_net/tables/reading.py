"""Tables as they come (CSV, Parquet, DataFrame), with their columns renamed and their values parsed.

Every value is parsed one way whatever the file, so a CSV and a Parquet file of one study give equal
cohorts: identifiers and arms as stripped text, numbers by Python's own exact ``float``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from bayes_net import schema
from bayes_net.errors import CohortError, Gathered, InputError, listed, problem
from bayes_net.errors import refuse as refuse_as
from bayes_net.files.formats import read_file, tables_of
from bayes_net.numbers import counted
from bayes_net.tables.values import each_value, is_plain, text

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
    handled: tuple[str, ...] = ()
    """What was done to read it, in words."""

    def __repr__(self) -> str:
        return f"<table: {self.name}, {len(self.frame)} rows>"

    def where(self, keep: pd.Series) -> Table:
        """The rows where ``keep`` is true, which keep their labels."""
        if keep.all():
            return self
        at = np.flatnonzero(keep)
        return replace(self, frame=taken(self.frame, at), labels=self.labels[at])

    def having(self, **columns: Any) -> Table:
        """The table with these columns, new or in the place of its own; the others are not copied."""
        frame = self.frame.copy(deep=False)
        for name, values in columns.items():
            frame[name] = values
        return replace(self, frame=frame)

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


def taken(frame: pd.DataFrame, at: np.ndarray) -> pd.DataFrame:
    """The rows at these places, counted from 0; each column is copied once."""
    return pd.DataFrame({name: column.array.take(at) for name, column in frame.items()}, copy=False)


def in_order(who: np.ndarray, time: np.ndarray) -> np.ndarray:
    """The places of rows in the order of ``who`` and ``time``; rows that lie so already are not sorted."""
    next_one, later = np.diff(who), np.diff(time)
    if ((next_one > 0) | ((next_one == 0) & (later >= 0))).all():
        return np.arange(len(who))
    return np.lexsort((time, who))


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
    elif not isinstance(source, str | Path):
        got = f"{type(source).__name__} as the {role} table"
        raise CohortError(
            problem(f"the {role} table", got, "the name of a file, or a DataFrame", "Give one.")
        )
    else:
        path = Path(source)
        handled, frame = read_file(path)
        table = replace(_from_frame(frame, path.name), handled=handled)
    if table.frame.empty:
        todo = "Check that the file is complete."
        raise CohortError(problem(table.name, "there are no data rows", f"one row a {role}", todo))
    return table


def read_tables(files: Iterable[Path]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The tables of files by name, each sheet of a workbook by itself, and why others cannot be read."""
    tables: dict[str, pd.DataFrame] = {}
    refused = []
    for path in files:
        try:
            for name in tables_of(path):
                read = read_table(path.with_name(name), "patient or scan")
                tables[name] = read.frame.reset_index(drop=True)
        except InputError as problem:
            refused.append(str(problem))
    return tables, refused


def _from_frame(frame: pd.DataFrame, name: str) -> Table:
    if frame.columns.nlevels > 1:
        got = f"columns have names on {frame.columns.nlevels} levels"
        raise CohortError(problem(name, got, "one name a column", "Join the levels into one."))
    named = [level for level in frame.index.names if level is not None and level not in frame.columns]
    labels = frame.index if _are_labels(frame.index) else pd.RangeIndex(len(frame))
    flat = frame.reset_index(level=named) if named else frame
    flat = flat.copy(deep=False)
    flat.columns = pd.Index([_column_name(column) for column in flat.columns])
    if (flat.columns == "").any():
        flat = flat.loc[:, flat.columns != ""]
    flat.index = pd.RangeIndex(len(flat))
    twice = sorted(set(flat.columns[flat.columns.duplicated()]))
    if twice:
        got = f"columns occur twice: {', '.join(twice)}"
        raise CohortError(problem(name, got, "unique column names", "Rename or remove one."))
    return Table(name, flat, labels)


def _are_labels(index: pd.Index) -> bool:
    """Whether rows can be named by what stands in the index."""
    try:
        plain = index.dtype.kind != "O" or each_value(pd.Series(index, dtype=object), is_plain).all()
        return index.is_unique and not index.names[0] and bool(plain)
    except TypeError:  # a list among them
        return False


def _column_name(name: object) -> str:
    """The name of a column as text that can be written."""
    try:
        return str(name).encode(errors="backslashreplace").decode()
    except ValueError:  # a number of thousands of digits
        return type(name).__name__


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
    chosen = replace(table, frame=pd.DataFrame(present))
    refuse(cell_problems(chosen))
    return chosen


def cell_problems(table: Table) -> list[str]:
    """What is wrong with cells that hold anything but one text, number or date: lists and whole tables, and
    texts and numbers that cannot be written."""
    found = []
    for column in table.frame:
        values = table.frame[column]
        if values.dtype.kind == "O" and not (plain := each_value(values, is_plain).astype(bool)).all():
            rows = [f"row {label}" for label in table.labels[~plain.to_numpy()]]
            got = f"values of {column} that are no single text, number or date"
            todo = "Lists, tables and broken characters cannot be read."
            found.append(problem(table.name, got, "one plain value in each cell", todo, rows))
    return found


def _absence(name: str, column: str, existing: Iterable[str]) -> str:
    by_lower = {other.lower(): other for other in existing}
    close = [by_lower[match] for match in difflib.get_close_matches(column.lower(), by_lower)]
    hint = f" (did you mean {' or '.join(repr(match) for match in close)}?)" if close else ""
    asked = repr(column) if column == name else f"{column!r}, asked for as {name}"
    return f"there is no column {asked}{hint}"


SIZE_UNITS = {"mm": 1.0, "cm": 10.0}
"""Millimetres in each unit of size."""
PFS_LEFT = "pfs_left"
"""The last assessment without progression, of a patient whose PFS ended by progression."""
NEW_THERAPY = "new_therapy_time"
"""When a new anticancer therapy began, of a patient who had one."""
PATIENT_COLUMNS = (
    *("patient", "study", "arm", "pfs_time", "pfs_event", PFS_LEFT, "os_time", "os_event"),
    NEW_THERAPY,
)
RECONSTRUCTED, SYNTHETIC = "reconstructed", "synthetic"
"""Columns that mark patients who were made of a published curve, or drawn by a computer."""
_TAKEN = (*PATIENT_COLUMNS, "time_zero", "landmark", "shrinkage", "response", "time", "event")


def refuse(problems: Sequence[str], notes: Sequence[Any] = ()) -> None:
    """Raise one CohortError with every problem, if there is any, and with what was noticed besides."""
    refuse_as(problems, kind=CohortError, heading="kinds of problem in the tables", notes=notes)


def check_options(size_unit: str | None, covariates: Sequence[str], scans_after_death: str) -> None:
    """Refuse options that mean nothing, before any file is read."""
    if scans_after_death not in ("refuse", "drop"):
        raise InputError(f"scans_after_death is {scans_after_death!r}; expected 'refuse' or 'drop'")
    if size_unit not in (None, *SIZE_UNITS):
        raise InputError(f"size_unit is {size_unit!r}; expected one of {', '.join(SIZE_UNITS)}")
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
    scan_visits: Mapping[str, float] | None = None,
) -> tuple[Table, Table]:
    """Both tables with canonical columns only; what is wrong with either is said together."""
    tables, gathered = [], Gathered()
    for reader, arguments in (
        (_patients, (patients, patient_columns or {}, covariates, study)),
        (_scans, (scans, scan_columns or {}, size_unit, scan_visits or {})),
    ):
        with gathered.step():
            tables.append(reader(*arguments))
    refuse(gathered.problems)
    read_patients, read_scans = tables
    return read_patients, read_scans


def _patients(
    source: Source, mapping: Mapping[str, str], covariates: Sequence[str], study: str | None
) -> Table:
    table = read_table(source, "patient")
    survival = ("os_time", "os_event")
    progression = ("pfs_time", "pfs_event")

    def there(names: Sequence[str]) -> bool:
        return any(name in mapping or name in table.frame.columns for name in names)

    known = [*(progression if there(progression) or not there(survival) else ())]
    known += survival if there(survival) else ()
    absent = [name for name in (*progression, *survival) if name not in known]
    others = ("study", "time_zero", PFS_LEFT, NEW_THERAPY, RECONSTRUCTED, SYNTHETIC, *absent)
    selected = select(table, mapping, ("patient", "arm", *known, *covariates), others)
    if study is not None and "study" in selected.frame:
        got = f"the study is both a column and given as {study!r}"
        raise CohortError(problem(table.name, got, "one of them", "Leave out study, or rename the column."))
    return selected


def _scans(
    source: Source | None, mapping: Mapping[str, str], size_unit: str | None, visits: Mapping[str, float]
) -> Table:
    if source is None:
        return Table(
            "no scans", pd.DataFrame(columns=["patient", "time", "pchg"], dtype=str), pd.RangeIndex(0)
        )
    table = read_table(source, "scan")
    if visits:
        return _from_visits(table, mapping, "pchg" if size_unit is None else "size", visits)
    measures = ("size", "pchg")
    found = [name for name in measures if name in mapping] or [
        name for name in measures if name in table.frame
    ]
    if not found and size_unit is None and ("response" in mapping or "response" in table.frame):
        return select(table, mapping, ("patient", "time", "response"), ("new_lesion",))
    if len(found) != 1:
        number = "both size and pchg" if found else "neither size nor pchg"
        got = f"{number}, and no response, among {listed(table.frame, limit=40)}"
        if found or "response" in table.frame:
            got = f"{number} among {listed(table.frame, limit=40)}"
        todo = (
            'Name the column of one of them in scan_columns, for example {"pchg": "change"}; a table with a '
            "column for each visit is read by scan_visits."
        )
        raise CohortError(problem(table.name, got, "one measure of the tumour", todo))
    if (found == ["size"]) != (size_unit is not None):
        got = f"size_unit is {size_unit!r} with a column of {found[0]}"
        raise CohortError(
            problem(table.name, got, "mm or cm with size, none with pchg", "Correct size_unit.")
        )
    return select(table, mapping, ("patient", "time", *found), ("new_lesion", "response"))


def _from_visits(
    table: Table, mapping: Mapping[str, str], measure: str, visits: Mapping[str, float]
) -> Table:
    """One row a scan, from a table with one row a patient and one column a visit; empty cells are no scan."""
    wide = select(
        table,
        {"patient": mapping.get("patient", "patient")} | {v: v for v in visits},
        ("patient", *visits),
        (),
    )
    parts = [
        pd.DataFrame({"patient": wide.frame["patient"], "time": time, measure: wide.frame[visit]}).set_axis(
            [f"{label}, column {visit}" for label in wide.labels]
        )
        for visit, time in visits.items()
    ]
    long = pd.concat(parts)
    long = long[text(long[measure]).notna()]
    handled = f"{counted(len(visits), 'visit')} in columns read as {counted(len(long), 'scan')}"
    return Table(table.name, long.reset_index(drop=True), long.index, (*table.handled, handled))
