"""Tables as they come (CSV, Parquet, DataFrame), with their columns renamed and their values parsed.

Every value is parsed one way whatever the file, so a CSV and a Parquet file of one study give equal
cohorts: identifiers and arms as stripped text, numbers by Python's own exact ``float``.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

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
    """The table of a CSV file (all columns as text), a Parquet file or a DataFrame."""
    if isinstance(source, pd.DataFrame):
        table = _from_frame(source, f"the {role} table")
    else:
        table = _from_file(Path(source))
    if table.frame.empty:
        raise CohortError(
            problem(
                table.name, "there are no data rows", f"one row a {role}", "Check that the file is complete."
            )
        )
    return table


def _from_file(path: Path) -> Table:
    readers = {".csv": _from_csv, ".parquet": _from_parquet}
    if path.suffix.lower() not in readers:
        raise CohortError(
            problem(str(path), f"the file ending is {path.suffix!r}", ".csv or .parquet", "Convert the file.")
        )
    if not path.is_file():
        raise CohortError(
            problem(
                str(path),
                "there is no such file",
                "a .csv or .parquet file",
                "Check the path and its folder.",
            )
        )
    try:
        return readers[path.suffix.lower()](path)
    except (OSError, ValueError, csv.Error) as reason:
        if isinstance(reason, CohortError):
            raise
        kind = path.suffix[1:]
        got = f"the file cannot be read as {kind} ({reason})"
        raise CohortError(problem(path.name, got, f"a complete {kind} file", "Export it again.")) from reason


def _from_csv(path: Path) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        records = [
            (row, fields) for row, fields in enumerate(csv.reader(file, strict=True), start=1) if any(fields)
        ]
    if not records:
        raise CohortError(
            problem(path.name, "the file is empty", "a header and data rows", "Export it again.")
        )
    header = [name.strip() for name in records[0][1]]
    ragged = [f"row {row} ({len(fields)} values)" for row, fields in records if len(fields) != len(header)]
    if ragged:
        got = f"{len(ragged)} rows do not have a value for each of the {len(header)} columns"
        todo = "Check for a cut-off file and for commas inside values without quotes."
        raise CohortError(problem(path.name, got, "as many values as the header has", todo, ragged))
    frame = pd.DataFrame([fields for _, fields in records[1:]], columns=header, dtype=object)
    return Table(path.name, _unique_columns(frame, path.name), pd.Index([row for row, _ in records[1:]]))


def _from_parquet(path: Path) -> Table:
    return _from_frame(pd.read_parquet(path), path.name)


def _from_frame(frame: pd.DataFrame, name: str) -> Table:
    named = [level for level in frame.index.names if level is not None and level not in frame.columns]
    labels = frame.index if frame.index.is_unique and not frame.index.names[0] else pd.RangeIndex(len(frame))
    flat = frame.reset_index(level=named) if named else frame
    flat = flat.rename(columns=str).reset_index(drop=True)
    return Table(name, _unique_columns(flat, name), labels)


def _unique_columns(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    frame = frame.loc[:, [column != "" for column in frame.columns]]
    twice = sorted(set(frame.columns[frame.columns.duplicated()]))
    if twice:
        raise CohortError(
            problem(
                name,
                f"columns occur twice: {', '.join(twice)}",
                "unique column names",
                "Rename or remove one.",
            )
        )
    return frame


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
