"""How a table lies among the rows of a text file or a sheet: its header, and numbers with two meanings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bayes_net.errors import CohortError, listed, problem

_NUMBER = re.compile(r"\s*[-+]?[\d.,]*\d[\d.,]*\s*")
_GROUPED = re.compile(r"[1-9]\d{0,2}([.,]\d{3})+")


class Layout(NamedTuple):
    """Where a table is: its header, and how many rows stand above the first row of data."""

    header: list[str]
    above: int
    """Rows above the header: titles, and names of groups of columns."""


def layout(rows: Sequence[Sequence[str]]) -> Layout:
    """Where the header is: the first row with a name in at least half of the columns; above it are titles,
    and names of groups of columns, which leave gaps over a whole row of names."""
    width = Counter(len(fields) for fields in rows).most_common(1)[0][0]
    least = max(2, (width + 1) // 2) if width > 1 else 1
    filled = [sum(bool(field.strip()) for field in fields) for fields in rows]
    above = next((i for i, n in enumerate(filled) if n >= least), 0)
    if filled[above] < width and _names_under_groups(rows[above + 1 :], width):
        above += 1
    return Layout([name.strip() for name in rows[above]], above)


def _names_under_groups(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether the first of the rows is one of names: each there and once, none a number, and none of them a
    value further down in its column."""
    names = [field.strip() for field in rows[0]] if rows else []
    if len(names) != width or "" in names or len(set(names)) < width or any(map(_NUMBER.fullmatch, names)):
        return False
    return not any(
        name == field.strip() for fields in rows[1:] for name, field in zip(names, fields, strict=False)
    )


def refuse_grouped(file: str, header: Sequence[str], columns: Iterable[Sequence[str]]) -> None:
    """Refuse whole numbers with thousands apart, which would be read as decimals: 1.169 days.

    They are told by their column: every number with a mark has three digits after it, none from 1000 on has
    no mark, and there are whole numbers of three digits beside them.
    """
    for name, values in zip(header, columns, strict=True):
        if found := _grouped(values):
            as_decimal = found[0].replace(",", ".")
            got = f"values of {name} such as {listed(found[:3])} among whole numbers below 1000"
            expected = "numbers without marks between thousands"
            whole = re.sub("[.,]", "", found[0])
            todo = f"Write {whole}; if {as_decimal} is meant, {as_decimal}0."
            raise CohortError(problem(file, got, expected, todo))


def _grouped(values: Sequence[str]) -> list[str]:
    """The values with marks between thousands, if the column is one of such whole numbers."""
    found, hundreds = [], False
    for value in dict.fromkeys(values):
        text = value.strip()
        if text.isdecimal():
            if len(text) > 3:
                return []
            hundreds |= len(text) == 3
        elif _GROUPED.fullmatch(text):
            found.append(text)
        elif text and text not in ("NA", "."):
            return []
    return found if hundreds else []
