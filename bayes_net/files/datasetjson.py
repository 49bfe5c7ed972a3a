"""CDISC Dataset-JSON 1.1: one JSON object, one line a row (NDJSON), or either compressed (.dsjc).

The specification of the compressed form and its published examples disagree on zlib, gzip and bare deflate:
what a file is made of is told from its bytes.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_net.errors import CohortError, problem

MOST_BYTES = 8 << 30
"""A compressed file that holds more than this is refused."""
_MOST_RATIO = 1032
"""The most that deflate can compress: whatever claims more is broken."""


def read_dataset_json(path: Path) -> pd.DataFrame:
    """The rows of a Dataset-JSON file under the names of its columns; null is missing.

    Raises
    ------
    CohortError
        The file is no Dataset-JSON, or its rows do not have a value for each column.
    """
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
