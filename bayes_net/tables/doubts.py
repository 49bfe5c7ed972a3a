"""What a check of patients and scans looks at, and how it says what it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bayes_net.schema import ENDPOINTS, TIME_UNITS, months_per
from bayes_net.tables.conventions import Conventions
from bayes_net.tables.notes import WARNING, Note
from bayes_net.tables.reading import Table

MONTHS_PER = {unit: months_per(unit) for unit in TIME_UNITS}
FEWEST = 5
"""Values from which a pattern is one."""
Found = Iterator[Note | str]


@dataclass(frozen=True)
class Tables:
    """Patients and scans as typed (times in months), and what was said of them."""

    people: Table
    visits: Table
    time_unit: str
    arms: Sequence[str] | None
    covariates: Sequence[str]
    how: Conventions
    size_unit: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def times(self, name: str) -> pd.Series:
        """Times of the patients as the file has them, in its unit."""
        return (self.people.frame[name] / MONTHS_PER[self.time_unit]).round(6)

    def events(self, endpoint: str) -> tuple[pd.Series, pd.Series]:
        """Months and 0/1 of the patients whose both are known."""
        known = self.people.frame[[f"{endpoint}_time", f"{endpoint}_event"]].dropna()
        return known.iloc[:, 0], known.iloc[:, 1]

    @property
    def endpoints(self) -> list[str]:
        """Those that the patients have."""
        return [name for name in ENDPOINTS if f"{name}_time" in self.people.frame]


def warn(code: str, table: Table, wrong: pd.Series, message: str) -> Found:
    """A warning of the rows that are ``wrong``, if there are any."""
    at = np.flatnonzero(wrong.to_numpy(bool))
    if len(at):
        rows = tuple(f"row {table.labels[i]}" for i in at[:10])
        yield Note(WARNING, code, message, len(at), rows=rows)
