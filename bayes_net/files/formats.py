"""Files that hold a table, by their ending: what people export, with what was done to read it said.

A text file may be separated by commas, semicolons, tabs or bars, have titles above its header, decimal
commas, and be UTF-8, UTF-16 or Windows-1252. Excel needs openpyxl; SAS, Stata and SPSS need pyreadstat (extra
``adam``).
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bayes_net.errors import CohortError, InputError, listed, problem
from bayes_net.files.datasetjson import read_dataset_json
from bayes_net.files.layout import layout, refuse_grouped
from bayes_net.numbers import counted

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAMPLE = 200
"""Rows from which the separator and the header of a text file are told."""
MOST_BYTES = 1 << 30
"""A workbook that unpacks to more is refused."""
_MOST_SAID = 300
"""Characters of what a library says that are told."""
_SHEET = re.compile(r"(.*\.xlsx)#(.*)", re.IGNORECASE | re.DOTALL)
_DECIMAL_COMMA, _DECIMAL_POINT = re.compile(r"\s*[-+]?\d+,\d+\s*"), re.compile(r"\s*[-+]?\d+\.\d+\s*")


class Rows(NamedTuple):
    """A file open for reading: its columns; ``pieces(columns, most)``, frames of at most so many rows
    (None: all columns, all rows in one frame) whose index says by which number messages name a row; and
    what was done to read it, in words."""

    columns: Sequence[str]
    pieces: Callable[[Sequence[str] | None, int | None], Iterable[pd.DataFrame]]
    handled: tuple[str, ...] = ()


def in_memory(frame: pd.DataFrame, handled: tuple[str, ...] = ()) -> Rows:
    """The rows of a file that can only be read as a whole."""
    return Rows(
        list(frame), lambda columns, most: [frame if columns is None else frame[list(columns)]], handled
    )


def _encoding(path: Path) -> str:
    """The encoding by its mark, by the zeros of UTF-16, as UTF-8 if it is that, else Windows-1252."""
    with path.open("rb") as file:
        start = file.read(4096)
        marks = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
        for mark, name in marks.items():
            if start.startswith(mark):
                return name
        for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
            if len(zeros) > 1 and zeros.count(0) > 0.8 * len(zeros):
                return name
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(start)
            while chunk := file.read(1 << 20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def _separator(lines: Sequence[str]) -> str:
    """The separator that splits most rows into the same number of columns, and into many."""

    def columns(separator: str) -> float:
        try:
            widths = Counter(len(fields) for fields in csv.reader(lines, delimiter=separator) if any(fields))
        except csv.Error:
            return 0.0
        width, n = widths.most_common(1)[0] if widths else (0, 0)
        return width * n / max(widths.total(), 1)

    return max(SEPARATORS, key=columns)


def _text(path: Path) -> Rows:
    encoding = _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        sample = list(islice((line for line in file if line.strip()), _SAMPLE))
    separator = _separator(sample)

    def records() -> Iterator[tuple[int, list[str]]]:
        with path.open(encoding=encoding, newline="") as file:
            rows = enumerate(csv.reader(file, strict=True, delimiter=separator), start=1)
            yield from ((row, fields) for row, fields in rows if any(fields))

    first = [fields for _, fields in islice(records(), _SAMPLE)]
    if not first:
        todo = "Export it again."
        raise CohortError(problem(path.name, "the file is empty", "a header and data rows", todo))
    lies = layout(first)
    commas = separator != "," and _decimal_commas(path.name, first[lies.above + 1 :])
    handled = [
        f"read as {encoding}" * encoding.startswith(("utf-16", "cp1252")),
        f"columns separated by {SEPARATORS[separator]}" * (separator != ","),
        "decimal commas read as points" * commas,
        f"{counted(lies.above, 'row')} above the header left out" * bool(lies.above),
    ]

    def pieces(columns: Sequence[str] | None, most: int | None) -> Iterator[pd.DataFrame]:
        rest = islice(records(), lies.above + 1, None)
        while batch := list(islice(rest, most)):
            _refuse_ragged(path.name, batch, lies.header)
            rows, values = zip(*batch, strict=True)
            refuse_grouped(path.name, lies.header, zip(*values, strict=True))
            frame = pd.DataFrame(values, columns=lies.header, index=rows, dtype=object)
            frame = frame if columns is None else frame[list(columns)]
            yield frame.replace(r"^\s*([-+]?\d+),(\d+)\s*$", r"\1.\2", regex=True) if commas else frame

    return Rows(lies.header, pieces, tuple(filter(None, handled)))


def _decimal_commas(name: str, rows: Sequence[Sequence[str]]) -> bool:
    """Whether numbers have decimal commas: both kinds in one file could be thousands."""
    values = [value for fields in rows for value in fields]
    commas = [value for value in values if _DECIMAL_COMMA.fullmatch(value)]
    points = [value for value in values if _DECIMAL_POINT.fullmatch(value)]
    if commas and points:
        got = f"decimal commas ({listed(commas[:3])}) beside decimal points ({listed(points[:3])})"
        raise CohortError(problem(name, got, "one of them", "Write all numbers as 12.5."))
    return bool(commas)


def _refuse_ragged(name: str, batch: Sequence[tuple[int, list[str]]], header: Sequence[str]) -> None:
    wrong = [(row, len(fields)) for row, fields in batch if len(fields) != len(header)]
    if ragged := [f"row {row} ({number} values)" for row, number in wrong]:
        rows = "1 row does" if len(ragged) == 1 else f"{len(ragged)} rows do"
        got = f"{rows} not have a value for each of the {len(header)} columns"
        todo = "Check for a cut-off file and for commas inside values without quotes."
        raise CohortError(problem(name, got, "as many values as the header has", todo, ragged))


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


def sheet_of(path: Path) -> tuple[Path, str]:
    """A file, and the sheet that is named after it: ``study.xlsx#Scans``."""
    named = _SHEET.fullmatch(str(path))
    return (Path(named[1]), named[2]) if named else (path, "")


def tables_of(path: Path) -> list[str]:
    """The names by which the tables of a file are read: its own, or one for each sheet with values."""
    if path.suffix.lower() != ".xlsx":
        return [path.name]
    sheets = list(_readable(path, lambda: _filled_sheets(path)))
    return [f"{path.name}#{sheet}" for sheet in sheets] if len(sheets) > 1 else [path.name]


def _excel(path: Path) -> Rows:
    """The one sheet with values of a workbook, or the one that is named: ``study.xlsx#Scans``."""
    file, sheet = sheet_of(path)
    filled = _filled_sheets(file, sheet)
    if len(filled) != 1 or (sheet and sheet not in filled):
        got = f"sheets {listed(map(repr, filled))} have values" if filled else "no sheet has values"
        todo = f"Name one after the file: {file.name}#{next(iter(filled), 'Sheet1')}."
        raise CohortError(problem(file.name, got, "one sheet", todo))
    numbers, rows = zip(*next(iter(filled.values())), strict=True)
    lies = layout([["" if value is None else str(value) for value in row] for row in rows[:_SAMPLE]])
    frame = pd.DataFrame(
        rows[lies.above + 1 :], columns=lies.header, index=numbers[lies.above + 1 :], dtype=object
    )
    titles = f"{counted(lies.above, 'row')} above the header left out"
    return in_memory(frame, (titles,) * bool(lies.above))


def _workbook(file: Path) -> Any:
    """A workbook, open for reading."""
    needed("openpyxl", file.name)
    from zipfile import BadZipFile, ZipFile

    import openpyxl

    try:
        with ZipFile(file) as packed:
            unpacked = sum(each.file_size for each in packed.infolist())
        if unpacked > MOST_BYTES:
            got = f"it unpacks to {unpacked >> 20} MB"
            todo = "Export it as CSV or Parquet."
            raise CohortError(problem(file.name, got, f"at most {MOST_BYTES >> 20} MB", todo))
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except (BadZipFile, KeyError) as reason:
        raise ValueError(f"no workbook: {reason}") from reason
    return book


def _filled_sheets(file: Path, only: str = "") -> dict[str, list[tuple[int, tuple]]]:
    """Rows with values of the sheets that have any, of the one that is named, or of all."""
    with closing(_workbook(file)) as book:
        names = [only] if only in book.sheetnames else book.sheetnames
        found = {name: _sheet(book[name]) for name in names}
    return {name: rows for name, rows in found.items() if rows}


def _sheet(sheet: object) -> list[tuple[int, tuple]]:
    """The rows of a sheet that have values, with their numbers."""
    rows = enumerate(sheet.iter_rows(values_only=True), start=1)  # type: ignore[attr-defined]
    return [(number, row) for number, row in rows if any(value not in (None, "") for value in row)]


def _sas(path: Path) -> Rows:
    """A SAS transport file (version 5 or 8) or a SAS data set."""
    needed("pyreadstat", path.name)
    import pyreadstat

    read = pyreadstat.read_xport if path.suffix.lower() == ".xpt" else pyreadstat.read_sas7bdat
    try:
        try:
            frame, _ = read(str(path))
        except UnicodeDecodeError:
            frame, _ = read(str(path), encoding="WINDOWS-1252")
            return in_memory(frame, ("read as cp1252",))
    except pyreadstat.ReadstatError as reason:
        raise ValueError(str(reason)) from reason
    return in_memory(frame)


def _labelled(path: Path) -> Rows:
    """A file of Stata or SPSS; a value that has a label there is that label."""
    needed("pyreadstat", path.name)
    import pyreadstat

    read = pyreadstat.read_dta if path.suffix.lower() == ".dta" else pyreadstat.read_sav
    try:
        frame, about = read(str(path), apply_value_formats=True, formats_as_category=False)
    except pyreadstat.ReadstatError as reason:
        raise ValueError(str(reason)) from reason
    labelled = [name for name in frame if name in about.variable_value_labels]
    return in_memory(frame, (f"values of {listed(labelled)} read by their labels",) * bool(labelled))


def needed(package: str, file: str) -> None:
    """Refuse a file whose reader is not installed."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise InputError(f"{file}: reading it needs {package}; pip install {package}")


def _dataset_json(path: Path) -> Rows:
    return in_memory(read_dataset_json(path))


READERS: dict[str, Callable[[Path], Rows]] = {
    ".csv": _text,
    ".tsv": _text,
    ".txt": _text,
    ".parquet": _parquet,
    ".xlsx": _excel,
    ".xpt": _sas,
    ".sas7bdat": _sas,
    ".dta": _labelled,
    ".sav": _labelled,
    ".json": _dataset_json,
    ".ndjson": _dataset_json,
    ".dsjc": _dataset_json,
}
"""How a file is read, by its ending: patients, scans and registries take every format that stands here."""


def open_rows(path: Path) -> Rows:
    """The rows of a file, or of a folder of Parquet files, not yet read where the format allows it."""
    file, _ = sheet_of(path)
    try:
        folder, there = path.is_dir(), file.is_file()
    except OSError as reason:  # a name that no file can have
        raise CohortError(
            problem(file.name[:80], f"no such file ({reason.strerror})", "a file", "Check the path.")
        ) from reason
    ending = ".parquet" if folder else file.suffix.lower()
    endings = f"{', '.join(list(READERS)[:-1])} or {list(READERS)[-1]}"
    if ending not in READERS:
        got = f"the file ending is {path.suffix!r}"
        raise CohortError(problem(str(path), got, endings, "Convert the file."))
    if not (there or folder):
        expected, todo = f"a {endings} file", "Check the path and its folder."
        raise CohortError(problem(str(path), "there is no such file", expected, todo))
    return _readable(file, lambda: READERS[ending](path))


def _readable(path: Path, read: Callable) -> Any:
    """What ``read`` gives; a file that is not what its ending says is refused in words."""
    try:
        return read()
    except InputError:
        raise
    except Exception as reason:  # libraries raise whatever they stumble over in a damaged file
        kind = path.suffix.lower()[1:] or "parquet"
        got = f"the file cannot be read as {kind} ({str(reason)[:_MOST_SAID] or type(reason).__name__})"
        raise CohortError(problem(path.name, got, f"a complete {kind} file", "Export it again.")) from reason


def file_pieces(
    path: Path,
    select: Callable[[Sequence[str]], Sequence[str] | None] = lambda columns: None,
    most: int | None = None,
) -> Iterator[pd.DataFrame]:
    """The rows of a file in frames of at most ``most``, or in one frame, with the columns that ``select``
    chooses from those of the file (None: all of them). A folder is one of Parquet files."""
    rows = open_rows(path)
    pieces = iter(rows.pieces(select(rows.columns), most))
    end = object()
    while (piece := _readable(path, lambda: next(pieces, end))) is not end:
        yield piece


def read_file(path: Path) -> tuple[tuple[str, ...], pd.DataFrame]:
    """What was done to read a file, in words, and all of its rows."""
    rows = open_rows(path)
    pieces = iter(rows.pieces(None, None))
    return rows.handled, _readable(path, lambda: next(pieces, pd.DataFrame()))
