"""The rules that patients and scans must keep; each returns the problems it found, in words.

A value that breaks one rule is NaN or is left as it is for the others, so that all rules can speak at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bayes_net.errors import listed, problem
from bayes_net.tables.reading import NEW_THERAPY, PFS_LEFT, Table, months_on_grid
from bayes_net.tables.values import TRUTH, YES_NO, each_value, iso_date, parsed, quoted, text

Wrong = Mapping[str, tuple[str, pd.Series]]
"""By column, the name of the rule and which values could not be parsed."""
Detail = Callable[[pd.Series], str]
"""What a message says of a row."""
Rules = dict[str, Callable[[pd.Series], pd.Series]]
"""The rules of a column by name, each with which values break it; a missing value breaks none but MISSING."""

FOLLOW_UP = ("pfs_time", "os_time")
EVENTS = ("pfs_event", "os_event")
RESPONSES = ("CR", "PR", "SD", "PD", "NE", "ND", "NED", "NON-CR/NON-PD")
_PATIENT_REMEDY = "Correct the table, or exclude these patients (exclude_patients)."
_COVARIATE_REMEDY = (
    "Correct the table, exclude these patients (exclude_patients), or have their values imputed: by a "
    'section [missing] of the specification (in Python, missing_covariates = "keep" and expose_imputed).'
)
_NOBODY_REMEDY = "Correct the table, or leave the covariate out: values that nobody has cannot be imputed."
_SCAN_REMEDY = "Correct the table, or leave these scans out of it."
MISSING, DUPLICATE = "missing", "duplicate"
_RULES = {
    MISSING: ("missing values of {column}", "a value in every row"),
    DUPLICATE: ("duplicate patients", "one row a patient"),
    "not a number": ("values of {column} that are not numbers", "plain numbers such as 12.5"),
    "negative": ("negative values of {column}", "values of 0 or more"),
    "not 0/1": (
        "values of {column} that are not 0 or 1",
        "0 (censored) or 1 (event); other values that mean an event are declared by event_is, and of several "
        "causes one is chosen before, for example event = (cause == 1)",
    ),
    "below -100": (
        "percent changes below -100",
        "100 * (size - baseline) / baseline, which is at least -100",
    ),
    "not a flag": ("values of {column} that are not yes or no", "0/1, true/false or yes/no"),
    "unknown response": ("values of {column} that are not known", f"one of {', '.join(RESPONSES)}, or empty"),
}
_FILLED: Rules = {MISSING: pd.Series.isna}
_NOT_NEGATIVE: Rules = {"negative": lambda values: values < 0}
_PATIENT_RULES: dict[str, Rules] = {
    "patient": _FILLED | {DUPLICATE: lambda values: values.duplicated(keep=False) & values.notna()},
    **dict.fromkeys(("arm", "study"), _FILLED),
    **dict.fromkeys(FOLLOW_UP, _FILLED | _NOT_NEGATIVE),
    **dict.fromkeys((PFS_LEFT, NEW_THERAPY), _NOT_NEGATIVE),
    **dict.fromkeys(EVENTS, _FILLED | {"not 0/1": lambda values: values.notna() & ~values.isin([0, 1])}),
}
_SCAN_RULES: dict[str, Rules] = {
    "patient": _FILLED,
    "time": _FILLED,
    "size": _NOT_NEGATIVE,
    # -100 computed elsewhere may miss by a rounding error, which is no shrinkage of more than all
    "pchg": {"below -100": lambda values: values < -100 - 1e-9},
    "new_lesion": {"not a flag": lambda values: values.notna() & ~values.isin([0, 1])},
    "response": {"unknown response": lambda values: ~values.isin(["", *RESPONSES])},
}


def typed_patients(
    table: Table, covariates: Sequence[str], per_unit: float, *, keep_missing: bool = False
) -> tuple[Table, list[str]]:
    """Patients as text, months and 0/1, and what is wrong with single columns; with ``keep_missing``
    covariates may be missing of some patients."""
    frame, wrong, found = table.frame.copy(), {}, []
    for column in frame.columns.difference(covariates):
        frame[column] = text(frame[column])
    identified = replace(table, frame=frame)
    for column in (*FOLLOW_UP, PFS_LEFT, NEW_THERAPY, *EVENTS):
        if column in frame:
            numbers, bad = parsed(frame[column], TRUTH if column in EVENTS else None)
            wrong[column] = "not 0/1" if column in EVENTS else "not a number", bad
            frame = frame.assign(
                **{column: numbers if column in EVENTS else months_on_grid(numbers * per_unit)}
            )
    for column in covariates:
        frame = frame.assign(**{column: _covariate(frame[column])})
    found = _column_problems(identified, frame, _PATIENT_RULES, wrong, _PATIENT_REMEDY)
    unknown = [column for column in covariates if frame[column].isna().all()]
    partly = [column for column in covariates if column not in unknown and not keep_missing]
    for columns, todo in ((unknown, _NOBODY_REMEDY), (partly, _COVARIATE_REMEDY)):
        found += _column_problems(identified, frame, dict.fromkeys(columns, _FILLED), {}, todo)
    return replace(table, frame=frame), found


def typed_scans(table: Table, per_unit: float, percent: float = 1.0) -> tuple[Table, list[str]]:
    """Scans as text, months, numbers and flags, and what is wrong with single columns; a unit of change is
    ``percent``. Patients and responses are categories: each has many scans."""
    given = table.frame.copy(deep=False)
    for column in given:
        if column == "patient" or given[column].dtype.kind not in "fi":
            given[column] = text(given[column])
    given["patient"] = given["patient"].astype("category")
    frame, wrong = given.copy(deep=False), {}
    for column in frame.columns.intersection(["time", "size", "pchg"]):
        frame[column], bad = parsed(given[column])
        wrong[column] = "not a number", bad
    frame["time"] = months_on_grid(frame["time"] * per_unit)
    if "pchg" in frame and percent != 1:
        frame["pchg"] = (frame["pchg"] * percent).round(9)
    flags, bad = parsed(given["new_lesion"], YES_NO) if "new_lesion" in given else (0.0, None)
    frame["new_lesion"] = flags
    if bad is not None:
        wrong["new_lesion"] = "not a flag", bad
    read = given["response"] if "response" in given else pd.Series(None, index=given.index, dtype=object)
    upper = each_value(read, lambda value: value.upper() if isinstance(value, str) else "")
    frame["response"] = upper.astype("category")
    found = _column_problems(replace(table, frame=given), frame, _SCAN_RULES, wrong, _SCAN_REMEDY)
    return replace(table, frame=frame), found


def _covariate(values: pd.Series) -> pd.Series:
    """Floats where every value is a number or true/false, else text."""
    numbers, bad = parsed(values, TRUTH)
    return text(values) if bad.any() else numbers


def _column_problems(
    given: Table, frame: pd.DataFrame, rules: Mapping[str, Rules], wrong: Wrong, todo: str
) -> list[str]:
    """One problem a column and rule: the values that could not be parsed, and those that break a rule."""
    broken = {(column, rule): bad.to_numpy(bool) for column, (rule, bad) in wrong.items()}
    for column in [name for name in rules if name in frame]:
        for rule, breaks in rules[column].items():
            at = breaks(frame[column]).to_numpy(bool)
            if rule == MISSING and column in wrong:  # a value that could not be parsed is not a missing value
                at &= ~wrong[column][1].to_numpy(bool)
            broken[column, rule] = at | broken.get((column, rule), False)
    return [_broken(given, *key, np.flatnonzero(at), todo) for key, at in broken.items() if at.any()]


def _broken(given: Table, column: str, rule: str, at: np.ndarray, todo: str) -> str:
    got, expected = _RULES[rule]
    valued = rule not in (MISSING, DUPLICATE)
    if rule == "not a number":
        todo = _of_dates(given.frame[column].iloc[at].astype(str)) + todo
    rows = given.rows(
        at, (lambda row: quoted(text(pd.Series([row[column]], dtype=object)).iloc[0])) if valued else None
    )
    return problem(given.name, got.format(column=column), expected, todo, rows)


def _of_dates(values: pd.Series) -> str:
    """What to do about dates among values that should be numbers, "" if there are none."""
    if values.map(iso_date).notna().any():
        return "Dates are times where patients have a column time_zero of dates. "
    if values.str.fullmatch(r"\s*\d{1,4}([./-])\d{1,2}\1\d{1,4}\s*").any():
        return "Dates are written as 2026-03-01 or 01.03.2026, as others can be read two ways. "
    return ""


def _rows_that_break(
    table: Table, wrong: pd.Series, got: str, expected: str, todo: str, detail: Detail | None = None
) -> Iterator[str]:
    """The problem of the rows that are ``wrong``, if there are any."""
    if wrong.any():
        yield problem(table.name, got, expected, todo, table.rows(wrong, detail))


def patient_problems(
    patients: Table, arms: Sequence[str] | None, in_unit: Callable[[float], str], pfs_after_os: str = "refuse"
) -> list[str]:
    """What is wrong between the columns of the patient table; times are written by ``in_unit``."""
    found: list[str] = []
    frame = patients.frame
    if {"pfs_time", "os_time"} <= set(frame) and pfs_after_os == "refuse":

        def times(row: pd.Series) -> str:
            return f"PFS {in_unit(row['pfs_time'])}, OS {in_unit(row['os_time'])}"

        later = frame["pfs_time"] > frame["os_time"]
        expected = "pfs_time of at most os_time"
        found += _rows_that_break(patients, later, "PFS later than OS", expected, _PATIENT_REMEDY, times)
    if {PFS_LEFT, "pfs_time", "pfs_event"} <= set(frame):

        def bounds(row: pd.Series) -> str:
            return f"{PFS_LEFT} {in_unit(row[PFS_LEFT])}, PFS {in_unit(row['pfs_time'])}"

        wrong = (frame["pfs_event"] == 1) & (frame[PFS_LEFT] > frame["pfs_time"])
        got, expected = f"{PFS_LEFT} later than the end of PFS", f"{PFS_LEFT} of at most pfs_time"
        found += _rows_that_break(patients, wrong, got, expected, _PATIENT_REMEDY, bounds)
    if {NEW_THERAPY, "os_time", "os_event"} <= set(frame):

        def therapy(row: pd.Series) -> str:
            return f"new therapy {in_unit(row[NEW_THERAPY])}, death {in_unit(row['os_time'])}"

        wrong = (frame["os_event"] == 1) & (frame[NEW_THERAPY] > frame["os_time"])
        got, expected = "new therapies after death", f"{NEW_THERAPY} of at most os_time"
        found += _rows_that_break(patients, wrong, got, expected, _PATIENT_REMEDY, therapy)
    return found if arms is None else found + _arm_problems(patients, arms)


def _arm_problems(patients: Table, arms: Sequence[str]) -> list[str]:
    there = sorted(set(patients.frame["arm"].dropna()))
    unnamed = ~patients.frame["arm"].isin(arms) & patients.frame["arm"].notna()
    if set(arms) == set(there) and len(set(arms)) == len(arms):
        return []
    got = f"arms named are {listed(arms)} where the data have {listed(there)}"
    todo = "Name every arm of the data once, the reference first; to leave an arm out, exclude its patients."
    return [problem(patients.name, got, "the same arms", todo, patients.rows(unnamed))]


def scan_problems(
    scans: Table, patients: Table, window: str, in_unit: Callable[[float], str]
) -> Iterator[str]:
    """What is wrong between scans, and between scans and patients.

    ``scans`` carries the patients' os_time and os_event where known, ``candidate`` (a baseline may be
    taken from this scan) and ``is_baseline``; times are written by ``in_unit``.
    """
    frame, patient = scans.frame, scans.frame["patient"]
    identified = patient.notna()
    yield from _rows_that_break(
        scans,
        ~patient.isin(patients.frame["patient"]) & identified,
        "scans of unknown patients",
        f"patients that {patients.name} has",
        "Check that both tables write identifiers alike (007 is not 7), or leave these scans out.",
    )
    yield from _rows_that_break(
        scans,
        frame.duplicated(["patient", "time"], keep=False) & identified & frame["time"].notna(),
        "scans at the same time with different values",
        "one scan of a patient at a time",
        "If each lesion has a row, give the sum of their diameters at each scan. " + _SCAN_REMEDY,
        lambda row: f"at {in_unit(row['time'])}",
    )
    yield from _rows_that_break(
        scans,
        after_death(frame),
        "scans after death",
        "scans until os_time",
        'Correct the times, or have such scans dropped and counted with scans_after_death = "drop".',
        lambda row: f"scan at {in_unit(row['time'])}, death at {in_unit(row['os_time'])}",
    )
    if "size" in frame or "pchg" in frame:
        yield from (_size_problems if "size" in frame else _change_problems)(scans, patients, window)


def after_death(scans: pd.DataFrame) -> pd.Series:
    """Which scans are later than their patient's death."""
    if "os_time" not in scans:
        return pd.Series(False, index=scans.index)
    return (scans["os_event"] == 1) & (scans["time"] > scans["os_time"])


def _size_problems(scans: Table, patients: Table, window: str) -> Iterator[str]:
    frame, patient = scans.frame, scans.frame["patient"]
    first = patient.isin(patients.frame["patient"].dropna()) & ~patient.duplicated()
    yield from _rows_that_break(
        scans,
        first & ~patient.isin(patient[frame["is_baseline"]]),
        "scanned patients without a baseline scan",
        f"a scan with a known size at or before {window} of every scanned patient",
        "Add it, widen baseline_window, or exclude these patients (exclude_patients).",
    )
    yield from _rows_that_break(
        scans,
        frame["is_baseline"] & (frame["size"] == 0),
        "baseline scans of size 0",
        "a size above 0, from which a percent change can be counted",
        _PATIENT_REMEDY,
    )


def _change_problems(scans: Table, patients: Table, window: str) -> Iterator[str]:
    yield from _rows_that_break(
        scans,
        scans.frame["is_baseline"] & (scans.frame["pchg"].fillna(0).round(9) != 0),
        "baseline scans with a percent change",
        "a change of 0 % at the baseline scan itself",
        f"The baseline is the last scan at or before {window}: check the times and baseline_window.",
        lambda row: f"{row['pchg']:g} %",
    )
