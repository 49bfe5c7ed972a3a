"""What pages of reports share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

import pandas as pd

from bayes_net.schema import words

_GROUP = ["endpoint", "population", "measure", "estimand"]


def grouped(table: pd.DataFrame, *, by: list[str] = _GROUP) -> Iterator[tuple[str, pd.DataFrame]]:
    """Caption and rows of every part of a tidy table, in its own order; absent columns are passed over."""
    by = [name for name in by if name in table]
    for keys, rows in table.groupby(by, sort=False, dropna=False):
        yield "; ".join(map(words, keys)), rows


def row_groups(presentation: pd.DataFrame) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Rows of a presentation table that share their first cell: that cell, and the rest of each row."""
    rows = presentation.itertuples(index=False, name=None)
    return [(label, [row[1:] for row in same]) for label, same in groupby(rows, key=itemgetter(0))]
