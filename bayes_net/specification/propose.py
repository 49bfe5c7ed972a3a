"""A specification for the tables that a folder has. What they leave open stands in it as comments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_net.adam.read import read_adam
from bayes_net.errors import CohortError, InputError, listed
from bayes_net.files.formats import READERS
from bayes_net.files.names import (
    CENSORING,
    EVENTS,
    NAMES,
    REFERENCES,
    SCAN_NAMES,
    Visits,
    recognised,
    tokens,
    unit_of,
    visits,
)
from bayes_net.files.toml import inline
from bayes_net.numbers import counted, significant
from bayes_net.schema import ENDPOINTS, OS, PFS
from bayes_net.specification.shipped import TEMPLATES
from bayes_net.tables.reading import read_tables
from bayes_net.tables.values import iso_date, parsed, text

_COVARIATES = "# Columns of the patient table that could be covariates, where they are known at the baseline:"
MOST_LEVELS, MOST_COVARIATES = 6, 12
MOST_TWICE = 0.1
"""Share of rows that may repeat a patient's identifier in a table of patients."""


@dataclass
class Proposal:
    """The text of a specification, and what its reader has to decide before it can be used."""

    keys: dict[str, str] = field(default_factory=dict)
    """Lines of ``[data]`` by key."""
    endpoints: tuple[str, ...] = ()
    with_scans: bool = True
    several_arms: bool = True
    covariates: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def state(self, key: str, value: Any, doubt: str = "") -> None:
        """What the tables show for a key; with a ``doubt`` as a comment."""
        line = f"{key} = {inline(value)}"
        self.keys[key] = f"# {line}  # unsure: {doubt}" if doubt else line
        if doubt:
            self.doubts.append(f"{key}: {doubt}")

    def ask(self, about: str) -> None:
        """Something that is not clear and belongs to no key."""
        self.keys[f"# {len(self.keys)}"] = f"# unsure: {about}"
        self.doubts.append(about)

    def text(self, title: str) -> str:
        """The template, with what was found in the place of its examples."""
        whole = (TEMPLATES / "specification.toml").read_text("utf-8")
        top, data, rest = re.split(r"^\[data\]\n|^\[landmarks\]\n", whole, flags=re.MULTILINE)
        optional = data[data.index("# baseline_window") :]
        lines = [*self.keys.values(), *self._left(optional)]
        data = "\n".join(["# Paths start at this file's folder.", *lines]).rstrip()
        top = re.sub(r"^title = .*$", lambda _: f"title = {inline(title)}", top, flags=re.MULTILINE)
        top, rest = self._without_scans(top, rest)
        rest = re.sub(
            r"^endpoints = \S+( \S+\])?",
            f"endpoints = {inline(self.endpoints or ENDPOINTS)}",
            rest,
            flags=re.MULTILINE,
        )
        if self.endpoints == (OS,):
            rest = rest.replace('# os_population = "pfs risk set"', 'os_population = "alive"         ', 1)
        if self.covariates:
            own = "\n".join([_COVARIATES, *self.covariates])
            rest = rest.replace("\n\n[baseline]", f"\n\n{own}\n\n\n[baseline]", 1)
        return f"{top}[data]\n{data}\n\n\n[landmarks]\n{rest}"

    def _left(self, optional: str) -> Iterator[str]:
        """The template's lines for keys that the tables say nothing of."""
        for line in optional.splitlines():
            if not (match := re.match(r"# (\w+) = ", line)) or match[1] not in self.keys:
                yield line

    def _without_scans(self, top: str, rest: str) -> tuple[str, str]:
        if self.with_scans:
            return top, rest
        top = top.replace('# slopes = "per arm"', 'slopes = "none"', 1)
        rest = re.sub(r"^times = \[.*\]", 'times = ["0d"]', rest, flags=re.MULTILINE)
        rest = rest.replace("thresholds = [30]  ", "# thresholds = [30]", 1)
        if self.several_arms:
            rest = rest.replace('# arms = "per arm"     ', 'arms = "shared"        ', 1)
        return top, rest


def propose(folder: Path) -> tuple[str, tuple[str, ...]]:
    """A commented specification for the tables in a folder, and what it is unsure of.

    The tables are ADaM data sets, or one with a row a patient and, where there is, one with a row a scan,
    whose columns are recognised by name. Units are taken from names of columns, never from the size of
    numbers.

    Raises
    ------
    InputError
        There is no table of patients in the folder, or a file cannot be read.
    """
    # names with a dot or ~ in front are hidden files and the locks of open workbooks
    files = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in READERS and path.name[0] not in ".~"
    )
    if not files:
        raise InputError(f"{folder} has no tables; expected files that end in {', '.join(READERS)}")
    stems = " ".join(path.stem.lower() for path in files)
    found = Proposal()
    if "adsl" in stems and "adtte" in stems:
        _of_adam(found, folder)
    else:
        _of_tables(found, files)
    title = f"{'Shrinkage and survival' if found.with_scans else 'Survival'}: {folder.resolve().name}"
    return found.text(title), tuple(found.doubts)


def _of_adam(found: Proposal, folder: Path) -> None:
    found.state("adam", ".")
    try:
        cohort = read_adam(folder)
    except CohortError as problem:
        found.endpoints = ENDPOINTS
        found.keys["refused"] = "\n".join(f"# unsure: {line}" for line in str(problem).splitlines())
        found.doubts.append(f"adam: {' '.join(str(problem).split())}")
        return
    found.endpoints, found.with_scans = cohort.endpoints, len(cohort.scans) > 0
    _state_arms(found, cohort.arms)


def _of_tables(found: Proposal, files: Iterable[Path]) -> None:
    tables, refused = read_tables(files)
    patients = {name: own for name, frame in tables.items() if (own := _patient_columns(frame))}
    scans = {name: own for name, frame in tables.items() if (own := _scan_columns(frame))}
    if not patients:
        todo = "Name them so, or in patient_columns of what bayes-net init FILE writes to be filled in"
        reasons = [*refused, *(_no_patients(name, frame) for name, frame in tables.items())]
        expected = "a patient's identifier, and pfs_time with pfs_event or os_time with os_event"
        raise InputError(
            "\n- ".join(["no table has one row a patient with columns that are recognised:", *reasons])
            + f"\nExpected {expected}. {todo}"
        )
    for reason in refused:
        found.ask(f"not read: {reason}")
    name, columns = _chosen(found, "patients", patients)
    frame = tables[name]
    found.state("patients", name)
    wide = {} if scans else {each: own for each in tables if (own := _visit_columns(tables[each]))}
    if left := [each for each in tables if each not in patients and each not in scans and each not in wide]:
        expected = "a patient's identifier several times, a time, and a size, a change or a response"
        found.ask(f"{listed(left)} is not read: no columns recognised as those of scans; expected {expected}")
    units = _units(columns, frame)
    taken = {*columns.values()}
    found.with_scans = bool(scans or wide)
    if scans:
        scan_name, scan_columns = _chosen(found, "scans", scans)
        found.state("scans", scan_name)
        _state_unit(found, units | _units(scan_columns, tables[scan_name]))
        if "size" in scan_columns:
            size = tokens(scan_columns["size"])[-1]
            _state_size_unit(found, size if size in ("mm", "cm") else "", scan_columns["size"])
    elif wide:
        scan_name = next(iter(wide))
        scan_columns, seen = wide[scan_name]
        found.state("scans", scan_name)
        taken |= {*seen.times}
        _state_visits(found, units, seen)
    else:
        _state_unit(found, units)
    _state_columns(found, "patient_columns", columns)
    if found.with_scans:
        _state_columns(found, "scan_columns", scan_columns)
    found.endpoints = tuple(each for each in ENDPOINTS if f"{each}_time" in columns)
    if PFS not in found.endpoints and found.with_scans:
        found.ask("there is no PFS, so scans after progression count as shrinkage like any other")
    _state_events(found, columns, frame)
    if "arm" in columns:
        _state_arms(found, text(frame[columns["arm"]]).dropna().unique())
    else:
        found.ask("no column is recognised as the arm; name it in patient_columns")
    found.covariates += _covariates(frame[[each for each in frame if each not in taken]])


def _no_patients(name: str, frame: pd.DataFrame) -> str:
    """Why a table is not one of patients."""
    found = _patient_roles(frame)
    several = text(frame[found["patient"]]).duplicated() if "patient" in found else pd.Series([False])
    if "patient" not in found:
        what = "no identifier"
    elif not any(f"{endpoint}_time" in found for endpoint in ENDPOINTS):
        what = "no time of PFS or OS with its event"
    else:
        return f"{name}: {counted(int(several.sum()), 'row')} repeat an identifier of {found['patient']}"
    return f"{name}: {what} among {listed(frame.columns, limit=12)}"


def _patient_roles(frame: pd.DataFrame) -> dict[str, str]:
    """Columns of patients by canonical name; an endpoint only where it has both of its columns."""
    found = recognised(frame, NAMES, [name for name in NAMES if name.endswith("_time")])
    for endpoint in ENDPOINTS:
        if f"{endpoint}_event" not in found:
            names = {part + word for word in CENSORING.split() for part in (endpoint, "")}
            own = [column for column in frame if "".join(tokens(column)) in names]
            found |= {f"{endpoint}_event": own[0]} if own else {}
        if not {f"{endpoint}_time", f"{endpoint}_event"} <= set(found):
            found.pop(f"{endpoint}_time", None)
            found.pop(f"{endpoint}_event", None)
    return found


def _patient_columns(frame: pd.DataFrame) -> dict[str, str]:
    """Columns by canonical name, of a table with one row a patient and an endpoint; else nothing. A patient
    or two who are there twice are for check to name."""
    found = _patient_roles(frame)
    known = any(f"{endpoint}_time" in found for endpoint in ENDPOINTS) and "patient" in found
    return found if known and text(frame[found["patient"]]).duplicated().mean() <= MOST_TWICE else {}


def _visit_columns(frame: pd.DataFrame) -> tuple[dict[str, str], Visits] | None:
    """The identifier and the visits of a table with one row a patient and one column a visit; else None."""
    found, seen = recognised(frame, {"patient": NAMES["patient"]}, ()), visits(frame)
    return (found, seen) if found and seen else None


def _scan_columns(frame: pd.DataFrame) -> dict[str, str]:
    """The same of a table with several rows a patient, a time and a size or change."""
    found = recognised(frame, SCAN_NAMES, ["time"])
    measured = {"size", "pchg", "response"} & set(found)
    if not (
        {"patient", "time"} <= set(found) and measured and text(frame[found["patient"]]).duplicated().any()
    ):
        return {}
    if {"size", "pchg"} <= measured:
        del found["pchg"]  # computed from the sizes
    return found


def _chosen(found: Proposal, role: str, tables: Mapping[str, dict[str, str]]) -> tuple[str, dict[str, str]]:
    """The table in which most columns are recognised."""
    name = max(tables, key=lambda each: len(tables[each]))
    if len(tables) > 1:
        others = [other for other in tables if other != name]
        found.doubts.append(f"{role}: {name} is taken; {listed(others)} could be meant too")
        found.keys[f"# {role}"] = f"# unsure: {listed(others)} could be the table of {role} too"
    return name, tables[name]


def _units(columns: Mapping[str, str], frame: pd.DataFrame) -> dict[str, str]:
    """The unit of each column of times: from its name, or days where it has dates."""
    times = [column for role, column in columns.items() if role == "time" or role.endswith("_time")]
    dated = {column: text(frame[column]).dropna().map(iso_date).notna().all() for column in times}
    return {column: "days" if dated[column] else unit_of(column) for column in times}


def _state_unit(found: Proposal, units: Mapping[str, str]) -> None:
    said = {unit for unit in units.values() if unit}
    without = [column for column, unit in units.items() if not unit]
    doubt = ""
    if len(said) > 1:
        pairs = (f"{column} ({unit})" for column, unit in units.items() if unit)
        doubt = f"one unit is needed for all times, and columns have several: {listed(pairs)}"
    elif without:
        doubt = f"the unit of {listed(without)} is not in the name"
    found.state("time_unit", min(said, default="days"), doubt)


def _state_size_unit(found: Proposal, unit: str, column: str) -> None:
    found.state("size_unit", unit or "mm", "" if unit else f"the unit of {column} is not in its name")


def _state_visits(found: Proposal, units: dict[str, str], seen: Visits) -> None:
    """Times of visits in the unit of the patients' times, where weeks are whole days."""
    in_days = seen.unit == "weeks" and set(units.values()) == {"days"}
    times = {column: time * 7 if in_days else time for column, time in seen.times.items()}
    found.state(
        "scan_visits", {column: int(t) if float(t).is_integer() else t for column, t in times.items()}
    )
    _state_unit(found, units | {"scan_visits": "days" if in_days else seen.unit})
    if seen.size_unit is not None:
        _state_size_unit(found, seen.size_unit, next(iter(seen.times)))


def _state_columns(found: Proposal, key: str, columns: Mapping[str, str]) -> None:
    if other := {role: column for role, column in columns.items() if role != column}:
        found.state(key, other)


def _state_events(found: Proposal, columns: Mapping[str, str], frame: pd.DataFrame) -> None:
    """Which values are events, where they are not 1."""
    meant: dict[str, str | list[str]] = {}
    doubts = []
    for endpoint in found.endpoints:
        column = columns[f"{endpoint}_event"]
        values = sorted({value.removesuffix(".0") for value in text(frame[column]).dropna()})
        if "".join(tokens(column)).removeprefix(endpoint) in CENSORING.split():
            meant[endpoint] = "0"
            doubts.append(f"{column} sounds like censoring, where 0 is an event")
        elif not {value.lower() for value in values} <= {"0", "1", "true", "false"}:
            likely = [value for value in values if value.lower() in EVENTS]
            likely = likely or (values[-1:] if all(value.isdecimal() for value in values) else ["?"])
            meant[endpoint] = likely[0] if len(likely) == 1 else likely
            doubts.append(f"{column} has {listed(values)}")
    if meant:
        found.state("event_is", meant, "; ".join(doubts))


def _state_arms(found: Proposal, arms: Iterable[str]) -> None:
    there = sorted(arms)
    found.several_arms = len(there) > 1
    references = [arm for arm in there if REFERENCES.search(arm)]
    ordered = references + [arm for arm in there if arm not in references]
    doubt = "" if len(references) == 1 or len(there) == 1 else "the reference arm has to come first"
    if len(there) > MOST_LEVELS:
        doubt = f"{len(there)} arms are many"
    found.state("arms", ordered, doubt)


def _covariates(frame: pd.DataFrame) -> Iterator[str]:
    """Commented sections for columns that could be covariates."""
    lines: list[list[str]] = []
    for name in frame.columns:
        values = text(frame[name]).dropna()
        numbers, _ = parsed(frame[name])
        levels = sorted(values.unique())
        if 2 <= len(levels) <= MOST_LEVELS:
            lines.append([f"name = {inline(name)}", f"levels = {inline(levels)}"])
        elif len(levels) > MOST_LEVELS and numbers[values.index].notna().all():
            middle, spread = numbers.median(), numbers.std()
            lines.append(
                [
                    f"name = {inline(name)}",
                    f"reference = {significant(middle, 2)}",
                    f"scale = {significant(spread, 1)}",
                ]
            )
    for own in lines[:MOST_COVARIATES]:
        yield "\n".join(f"# {line}" for line in ["[[covariates]]", *own])
