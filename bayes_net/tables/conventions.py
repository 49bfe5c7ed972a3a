"""How values of patients' tables are written, where it is not the usual way: declared, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.errors import InputError, listed, problem
from bayes_net.numbers import counted
from bayes_net.schema import ENDPOINTS
from bayes_net.tables.notes import HANDLED, WARNINGS, Note
from bayes_net.tables.reading import NEW_THERAPY, PFS_LEFT, Table
from bayes_net.tables.values import each_value, is_plain, iso_date, matching, text

CHANGE_UNITS = {"percent": 1.0, "fraction": 100.0}
"""Percent in each unit of a change from baseline."""
AT_DEATH = ("warn", "event", "censored")
"""What becomes of PFS that is censored on the day of death."""


@dataclass(frozen=True)
class Conventions:
    """What values mean. ``event_is`` has by endpoint the values that are events, all others being censored;
    ``missing_codes`` by column those that stand for nothing; ``accept`` the warnings that are meant so."""

    event_is: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing_codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    change_unit: str | None = None
    pfs_censored_at_death: str = "warn"
    pfs_after_os: str = "refuse"
    accept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("change_unit", self.change_unit, (None, *CHANGE_UNITS)),
            ("pfs_censored_at_death", self.pfs_censored_at_death, AT_DEATH),
            ("pfs_after_os", self.pfs_after_os, ("refuse", "keep")),
        ):
            if value not in allowed:
                raise InputError(f"{name} is {value!r}; expected one of {', '.join(map(str, allowed))}")
        if unknown := [code for code in self.accept if code not in WARNINGS]:
            raise InputError(f"accept names {listed(unknown)}; expected some of {', '.join(WARNINGS)}")


def as_event_values(given: Any) -> dict[str, tuple[str, ...]]:
    """By endpoint the values that are events: ``0``, ``["yes", "y"]`` or ``{"pfs": 0, "os": "dead"}``."""
    if given is None:
        return {}
    by_endpoint = given if isinstance(given, Mapping) else dict.fromkeys(ENDPOINTS, given)
    if unknown := [str(name) for name in by_endpoint if name not in ENDPOINTS]:
        raise InputError(f"event_is is about {listed(unknown)}; expected {' or '.join(ENDPOINTS)}")
    return {name: as_texts(values) for name, values in by_endpoint.items()}


def as_texts(given: Any) -> tuple[str, ...]:
    """One value or several as the texts that a file may have."""
    several = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if not all(is_plain(value) for value in several if isinstance(value, int)):
        raise InputError("a number of hundreds of digits; expected values as the file has them")
    return tuple(found for value in several if (found := text(pd.Series([value], dtype=object)).iloc[0]))


def conventional(table: Table, how: Conventions) -> tuple[Table, tuple[Note, ...], list[str]]:
    """The table with declared codes as what they mean, a note of each, and values that do not occur."""
    frame = table.frame.copy(deep=False)
    problems: list[str] = []
    notes: list[Note] = []
    for step in (_missing, _events):
        for found in step(table.name, frame, how):
            if isinstance(found, Note):
                notes.append(found)
            else:
                problems.append(found)
    return replace(table, frame=frame), tuple(notes), problems


def _missing(name: str, frame: pd.DataFrame, how: Conventions) -> Iterator[Note | str]:
    for column, codes in how.missing_codes.items():
        if column in frame:
            at = matching(frame[column], codes)
            frame[column] = frame[column].astype(object).mask(at)
            if n := int(at.sum()):
                message = (
                    f"{counted(n, 'value')} of {column} ({', '.join(codes)}) taken as missing, as declared"
                )
                yield Note(HANDLED, "missing-codes", message, n)


def _events(name: str, frame: pd.DataFrame, how: Conventions) -> Iterator[Note | str]:
    for endpoint, values in how.event_is.items():
        column = f"{endpoint}_event"
        if column not in frame:
            continue
        given = text(frame[column])
        event = matching(frame[column], values) & given.notna()
        if not event.any():
            got = f"no value of {column} is {listed(values)}, which event_is says is an event"
            yield problem(name, got, f"one of {listed(sorted(set(given.dropna())))}", "Correct event_is.")
            continue
        frame[column] = event.astype(int).astype(object).where(given.notna())
        others = sorted(set(given[~event].dropna()))
        message = (
            f"{column} is an event where it is {listed(values)} ({event.sum()}) and censored where it is "
            f"{listed(others) or 'anything else'} ({int((~event & given.notna()).sum())}), as declared"
        )
        yield Note(HANDLED, "event-values", message, int(event.sum()))


def counted_from_dates(
    people: Table, visits: Table, days_per_unit: float
) -> tuple[Table, Table, tuple[Note, ...], list[str]]:
    """Both tables with dates as times from each patient's ``time_zero``, a note of it, and what cannot be."""
    zero = pd.Series(dtype=float)
    if "time_zero" in people.frame:
        zero = _days(people.frame["time_zero"]).set_axis(text(people.frame["patient"]))
        unknown = zero.isna().to_numpy() & zero.notna().any()
        zero = zero[~zero.index.duplicated()]
    notes: list[Note] = []
    problems: list[str] = []
    if "time_zero" in people.frame and unknown.any():
        got = "time_zero is missing or no date that can be read one way"
        todo = "Write it in full, as 2026-03-01."
        problems.append(
            problem(people.name, got, "a date of every patient", todo, people.rows(unknown.nonzero()[0]))
        )
    found = []
    times = ("pfs_time", PFS_LEFT, "os_time", NEW_THERAPY)
    for table, names in ((people, times), (visits, ("time",))):
        frame = table.frame.copy(deep=False)
        for name in names:
            dates = _days(frame[name]) if name in frame else pd.Series(dtype=float)
            if not dates.notna().any():
                continue
            given = text(frame[name]).notna()
            if "time_zero" not in people.frame:
                continue  # refused as no number
            wrong = given & dates.isna()
            if wrong.any():
                got = f"values of {name} that are no dates among dates"
                todo = "Write every date in full, as 2026-03-01."
                rows = table.rows(wrong, partial(_quoted, name))
                problems.append(problem(table.name, got, "dates in all rows, or in none", todo, rows))
            days = dates - text(frame["patient"]).map(zero)
            counted_days = (days / days_per_unit).astype(object).where(days.notna(), None)
            frame[name] = counted_days.mask(wrong, frame[name])
            if not wrong.any():
                message = (
                    f"{counted(int(dates.notna().sum()), 'date')} in {name} counted in days from time_zero"
                )
                notes.append(Note(HANDLED, "dates", message, int(dates.notna().sum())))
        found.append(replace(table, frame=frame))
    kept = found[0].frame.drop(columns="time_zero", errors="ignore")
    return replace(found[0], frame=kept), found[1], tuple(notes), problems


def _quoted(name: str, row: pd.Series) -> str:
    return repr(str(row[name]))


def _days(values: pd.Series) -> pd.Series:
    """Days since 1970 of dates, with or without a time of day; NaN of anything else."""
    if values.dtype.kind in "fi":
        return pd.Series(np.nan, index=values.index)
    dates = each_value(values, lambda value: iso_date(str(value)))
    return (pd.to_datetime(dates, format="%Y-%m-%d", errors="coerce") - pd.Timestamp(0)).dt.days.astype(float)


def unknown_columns(how: Conventions, tables: Sequence[Table]) -> list[str]:
    """What is wrong with the columns that ``missing_codes`` names."""
    there = sorted({column for table in tables for column in table.frame})
    return [
        problem(
            "missing_codes", f"there is no column {column!r}", f"one of {', '.join(there)}", "Correct it."
        )
        for column in how.missing_codes
        if column not in there
    ]
