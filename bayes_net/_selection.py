"""Which columns of the two tables are read, decided from the caller's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bayes_net._reading import Table, problem, read_table, refuse, select
from bayes_net.errors import CohortError, InputError, listed

SIZE_UNITS = {"mm": 1.0, "cm": 10.0}
"""Millimetres in each unit of size."""

PATIENT_COLUMNS = ("patient", "study", "arm", "pfs_time", "pfs_event", "os_time", "os_event")
_TAKEN = (*PATIENT_COLUMNS, "landmark", "shrinkage", "response", "time", "event")


def check_options(size_unit, arms, covariates, scans_after_death) -> None:
    """Refuse options that mean nothing, before any file is read."""
    if scans_after_death not in ("refuse", "drop"):
        raise InputError(f"scans_after_death is {scans_after_death!r}; expected 'refuse' or 'drop'")
    if size_unit not in (None, *SIZE_UNITS):
        raise InputError(f"size_unit is {size_unit!r}; expected one of {', '.join(SIZE_UNITS)}")
    for name, values in {"arms": arms, "covariates": covariates}.items():
        if isinstance(values, str):
            raise InputError(f"{name} is the text {values!r}; expected a list of names, such as [{values!r}]")
    if any(name in _TAKEN for name in covariates) or len(set(covariates)) < len(covariates):
        raise InputError(
            f"covariates are {listed(covariates)}; expected each once and none of the names that the tables "
            f"use: {', '.join(_TAKEN)}. Give the column another name by patient_columns"
        )


def selected_tables(patients, scans, patient_columns, scan_columns, covariates, size_unit, study):
    """Both tables with canonical columns only; what is wrong with either is said together."""
    tables, problems = [], []
    for reader, arguments in (
        (_patients, (patients, patient_columns or {}, covariates, study)),
        (_scans, (scans, scan_columns or {}, size_unit)),
    ):
        try:
            tables.append(reader(*arguments))
        except CohortError as reason:
            problems.append(str(reason))
    refuse(problems)
    return tuple(tables)


def _patients(source, mapping: Mapping[str, str], covariates: Sequence[str], study: str | None) -> Table:
    table = read_table(source, "patient")
    survival = ("os_time", "os_event")
    known = any(name in mapping or name in table.frame.columns for name in survival)
    required = ("patient", "arm", "pfs_time", "pfs_event", *(survival if known else ()), *covariates)
    selected = select(table, mapping, required, ("study",) if known else ("study", *survival))
    if study is not None and "study" in selected.frame:
        got = f"the study is both a column and given as {study!r}"
        raise CohortError(problem(table.name, got, "one of them", "Leave out study, or rename the column."))
    return selected


def _scans(source, mapping: Mapping[str, str], size_unit: str | None) -> Table:
    if source is None:
        return Table(
            "no scans", pd.DataFrame(columns=["patient", "time", "pchg"], dtype=str), pd.RangeIndex(0)
        )
    table = read_table(source, "scan")
    measures = ("size", "pchg")
    found = [name for name in measures if name in mapping] or [
        name for name in measures if name in table.frame
    ]
    if len(found) != 1:
        number = "both size and pchg" if found else "neither size nor pchg"
        got = f"{number} among {listed(table.frame, limit=40)}"
        todo = 'Name the column of one of them in scan_columns, for example {"pchg": "change"}.'
        raise CohortError(problem(table.name, got, "one measure of the tumour", todo))
    if (found == ["size"]) != (size_unit is not None):
        got = f"size_unit is {size_unit!r} with a column of {found[0]}"
        raise CohortError(
            problem(table.name, got, "mm or cm with size, none with pchg", "Correct size_unit.")
        )
    return select(table, mapping, ("patient", "time", *found), ("new_lesion", "response"))
