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
from bayes_net.files.toml import inline
from bayes_net.numbers import significant
from bayes_net.schema import ENDPOINTS, OS, PFS
from bayes_net.specification.shipped import TEMPLATES
from bayes_net.tables.reading import read_table
from bayes_net.tables.values import DATE, parsed, text

UNITS = {"days": "d day days studyday ady", "weeks": "w wk week weeks", "months": "m mo month months",
         "years": "y yr year years"}  # fmt: skip
"""What the name of a column of times may end in; a study day of ADaM is one of days."""
NAMES = {
    "patient": "patient patientid patid pid subject subjectid subjid usubjid subj id",
    "arm": "arm treatment trt trt01p treatmentarm armname allocation regimen group",
    "study": "study studyid trial",
    "time_zero": "timezero randomisation randomization randdt randdate randomisationdate startdate startdt",
    "pfs_time": "pfs pfstime timepfs",
    "pfs_event": "pfsevent pfsstatus pfsind eventpfs pfsevt progressed",
    "os_time": "os ostime timeos survival survivaltime",
    "new_therapy_time": "newtherapy newtreatment newanticancertherapy nexttherapy nexttreatment",
    "os_event": "osevent osstatus osind eventos osevt death died dead deceased",
}
"""Names that columns of patients have, in small letters, without marks and units."""
SCAN_NAMES = {
    "patient": NAMES["patient"],
    "time": "time scan scantime visit visittime ady studyday assessment",
    "size": "size sld sod sum sumofdiameters sumdiameters sumofdiams tumoursize tumorsize",
    "pchg": "pchg change changepercent percentchange pctchg bestchange",
    "new_lesion": "newlesion newlesions newl newlesionflag",
    "response": "response overallresponse recist ovrlresp",
}
"""The same of scans."""
CENSORING = "cnsr cens censor censored censoring"
REFERENCES = re.compile(r"control|placebo|standard|observation|octreotide|no treatment|best supportive", re.I)
"""How a reference arm is called."""
EVENTS = {"yes", "y", "true", "dead", "died", "event", "progressed", "progression", "death"}
_COVARIATES = "# Columns of the patient table that could be covariates, where they are known at the baseline:"
MOST_LEVELS, MOST_COVARIATES = 6, 12


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
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in READERS)
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
    tables = {path.name: read_table(path, "row").frame.reset_index(drop=True) for path in files}
    patients = {name: own for name, frame in tables.items() if (own := _patient_columns(frame))}
    scans = {name: own for name, frame in tables.items() if (own := _scan_columns(frame))}
    if not patients:
        expected = "a patient's identifier, and pfs_time with pfs_event or os_time with os_event"
        raise InputError(
            f"no table has one row a patient with columns that are recognised; got {listed(tables)}; "
            f"expected {expected}. bayes-net init FILE writes a specification to fill in"
        )
    if left := [name for name in tables if name not in patients and name not in scans]:
        expected = "a patient's identifier several times, a time, and a size, a change or a response"
        found.ask(f"{listed(left)} is not read: no columns recognised as those of scans; expected {expected}")
    name, columns = _chosen(found, "patients", patients)
    frame = tables[name]
    found.state("patients", name)
    units = _units(columns, frame)
    found.with_scans = bool(scans)
    if scans:
        scan_name, scan_columns = _chosen(found, "scans", scans)
        found.state("scans", scan_name)
        units |= _units(scan_columns, tables[scan_name])
    _state_unit(found, units)
    if scans and "size" in scan_columns:
        size = _tokens(scan_columns["size"])[-1]
        doubt = "" if size in ("mm", "cm") else f"the unit of {scan_columns['size']} is not in its name"
        found.state("size_unit", size if not doubt else "mm", doubt)
    _state_columns(found, "patient_columns", columns)
    if scans:
        _state_columns(found, "scan_columns", scan_columns)
    found.endpoints = tuple(each for each in ENDPOINTS if f"{each}_time" in columns)
    if PFS not in found.endpoints and scans:
        found.ask("there is no PFS, so scans after progression count as shrinkage like any other")
    _state_events(found, columns, frame)
    if "arm" in columns:
        _state_arms(found, text(frame[columns["arm"]]).dropna().unique())
    else:
        found.ask("no column is recognised as the arm; name it in patient_columns")
    taken = {*columns.values()}
    found.covariates += _covariates(frame[[each for each in frame if each not in taken]])


def _tokens(column: str) -> list[str]:
    """The words of a name in small letters, apart at marks and at capitals: ``pfsDays`` is pfs, days."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column)
    return [token for token in re.split(r"[^a-z0-9]+", apart.lower()) if token] or [""]


def _unit_of(column: str) -> str:
    """The unit of time that a name ends in, "" if it says none."""
    last = _tokens(column)[-1]
    return next((unit for unit, names in UNITS.items() if last in names.split()), "")


def _recognised(frame: pd.DataFrame, names: Mapping[str, str], timed: Iterable[str]) -> dict[str, str]:
    """The first column that has each canonical name, or one of its usual ones, with units or without."""
    found: dict[str, str] = {}
    for role, usual in names.items():
        for column in frame.columns:
            tokens, bare = _tokens(column), _tokens(column)
            if role in timed and _unit_of(column):
                bare = tokens[:-1] or ["time"]
            elif role == "size" and tokens[-1] in ("mm", "cm"):
                bare = tokens[:-1]
            names_of = {*usual.split(), role.replace("_", "")}
            if column not in found.values() and {"".join(tokens), "".join(bare)} & names_of:
                found[role] = column
                break
    return found


def _patient_columns(frame: pd.DataFrame) -> dict[str, str]:
    """Columns by canonical name, of a table with one row a patient and an endpoint; else nothing."""
    found = _recognised(frame, NAMES, [name for name in NAMES if name.endswith("_time")])
    for endpoint in ENDPOINTS:
        if f"{endpoint}_event" not in found:
            names = {part + word for word in CENSORING.split() for part in (endpoint, "")}
            own = [column for column in frame if "".join(_tokens(column)) in names]
            found |= {f"{endpoint}_event": own[0]} if own else {}
        if not {f"{endpoint}_time", f"{endpoint}_event"} <= set(found):
            found.pop(f"{endpoint}_time", None)
            found.pop(f"{endpoint}_event", None)
    known = any(f"{endpoint}_time" in found for endpoint in ENDPOINTS) and "patient" in found
    return found if known and not text(frame[found["patient"]]).duplicated().any() else {}


def _scan_columns(frame: pd.DataFrame) -> dict[str, str]:
    """The same of a table with several rows a patient, a time and a size or change."""
    found = _recognised(frame, SCAN_NAMES, ["time"])
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
    dated = {column: text(frame[column]).dropna().map(DATE.fullmatch).notna().all() for column in times}
    return {column: "days" if dated[column] else _unit_of(column) for column in times}


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
        if "".join(_tokens(column)).removeprefix(endpoint) in CENSORING.split():
            meant[endpoint] = "0"
            doubts.append(f"{column} sounds like censoring, where 0 is an event")
        elif not {value.lower() for value in values} <= {"0", "1", "true", "false"}:
            likely = [value for value in values if value.lower() in EVENTS] or values[-1:]
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
