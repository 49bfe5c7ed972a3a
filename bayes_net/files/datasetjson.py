"""CDISC Dataset-JSON 1.1: one JSON object, one line a row (NDJSON), or either compressed (.dsjc).

The specification of the compressed form and its published examples disagree on zlib, gzip and bare deflate:
what a file is made of is told from its bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_net.errors import CohortError, problem

MOST_BYTES = 2 << 30
"""A compressed file that holds more than this is refused."""
_MOST_RATIO = 1032
"""The most that deflate can compress: whatever claims more is broken."""


def read_dataset_json(path: Path) -> pd.DataFrame:
    """The rows of a Dataset-JSON file under the names of its columns; null is missing."""
    content = _plain(path)
    try:
        head, rows = _parts(content)
        if not isinstance(head, dict) or not isinstance(rows, list):
            raise TypeError("columns and rows are not there")
        columns = [str(column["name"]) for column in head["columns"]]
    except (KeyError, TypeError, UnicodeDecodeError, ValueError, RecursionError) as reason:
        got = f"the file is no Dataset-JSON ({type(reason).__name__}: {reason})"
        expected = "an object with columns and rows, or a line of it and one for each row"
        raise CohortError(problem(path.name, got, expected, "Export it again.")) from reason
    wrong = [
        f"row {i}"
        for i, row in enumerate(rows, start=1)
        if not isinstance(row, list) or len(row) != len(columns)
    ]
    if wrong:
        got = f"{len(wrong)} rows do not have a value for each of the {len(columns)} columns"
        raise CohortError(problem(path.name, got, "a list of as many values", "Export it again.", wrong))
    records = head.get("records")
    if isinstance(records, int) and records != len(rows):
        got = f"{len(rows)} rows where the file says {records}"
        raise CohortError(problem(path.name, got, "as many rows as are said", "Is the file cut off?"))
    return pd.DataFrame(rows, columns=columns, index=range(1, len(rows) + 1))


def dataset_json(
    frame: pd.DataFrame,
    name: str,
    label: str,
    *,
    labels: Mapping[str, str],
    keys: Sequence[str],
    created: datetime,
) -> bytes:
    """A table as Dataset-JSON 1.1: whole numbers are integer, others double, all else string; NaN is null.

    ``labels`` are those of columns, by default their names; ``keys`` are columns that tell rows apart, in
    order. ``created`` is the first line after the bracket and the only thing that differs between two files
    of one table.
    """
    ordered = [key for key in keys if key in frame]
    columns = [_column(frame[each], name, labels.get(each, each), ordered) for each in frame]
    head = {
        "datasetJSONCreationDateTime": f"{created.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "datasetJSONVersion": "1.1.0",
        "sourceSystem": {"name": "bayes-net", "version": version("bayes-net")},
        "itemGroupOID": f"IG.{name}",
        "records": len(frame),
        "name": name,
        "label": label,
    }
    rows = zip(*(_values(frame[each]) for each in frame), strict=True)
    parts = [f"{json.dumps(key)}: {_dumped(value)}" for key, value in head.items()]
    parts.append(f'"columns": [\n{_lines(columns)}\n]')
    parts.append(f'"rows": [\n{_lines(rows)}\n]')
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def _column(values: pd.Series, table: str, label: str, keys: Sequence[str]) -> dict[str, Any]:
    """What Dataset-JSON says of a column."""
    name = str(values.name)
    kind = {"i": "integer", "u": "integer", "f": "double"}.get(values.dtype.kind, "string")
    column: dict[str, Any] = {
        "itemOID": f"IT.{table}.{name}",
        "name": name,
        "label": label,
        "dataType": kind,
    }
    if kind == "string":
        column["length"] = max((len(str(value)) for value in values), default=0) or 1
    return column | ({"keySequence": keys.index(name) + 1} if name in keys else {})


def _values(values: pd.Series) -> list[Any]:
    """Values as JSON has them."""
    return [None if pd.isna(value) else value for value in values.tolist()]


def _lines(values: Iterable[Any]) -> str:
    return ",\n".join(_dumped(value) for value in values)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _parts(content: bytes) -> tuple[dict[str, Any], list]:
    """What the file says of its columns, and its rows."""
    text = content.decode("utf-8-sig")
    try:
        whole = json.loads(text)
        if isinstance(whole, dict):
            return whole, whole.get("rows") or []
    except json.JSONDecodeError:
        pass  # more than one line of JSON
    first, *rest = (json.loads(line) for line in text.split("\n") if line.strip())
    return first, rest


def _plain(path: Path) -> bytes:
    """The bytes of a file, decompressed where they are compressed."""
    content = path.read_bytes()
    if path.suffix.lower() != ".dsjc" or content.lstrip()[:1] == b"{":
        return content
    for bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # zlib or gzip by their headers; or bare deflate
        tool = zlib.decompressobj(bits)
        try:
            plain = tool.decompress(content, min(MOST_BYTES, _MOST_RATIO * len(content) + 1))
        except zlib.error:
            continue
        if tool.unconsumed_tail:
            got = f"it holds more than {MOST_BYTES >> 30} GB"
            raise CohortError(problem(path.name, got, "a table that fits into memory", "Split the file."))
        if not tool.eof:
            raise CohortError(
                problem(path.name, "the compressed data end early", "a complete file", "Export it again.")
            )
        return plain
    return content
