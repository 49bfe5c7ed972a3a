"""The patients and scans that a specification names: read, generated, or given as tables."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from bayes_net.adam.read import read_adam
from bayes_net.data.cohort import Cohort, read_cohort
from bayes_net.errors import CohortWarning, InputError
from bayes_net.simulate.cohort import simulate_cohort
from bayes_net.specification.data import DataSection
from bayes_net.specification.patients import PatientsPlan
from bayes_net.tables.notes import HANDLED, Note


def load_data(
    data: DataSection,
    folder: Path,
    covariates: Sequence[str] = (),
    missing: str = "refuse",
    cohorts: dict[str, Cohort] | None = None,
    tables: Mapping[str, pd.DataFrame] = MappingProxyType({}),
) -> Cohort:
    """The cohort of one table of a plan whose relative paths start at ``folder``: from ``cohorts``, if it was
    read already, or else read and validated, or generated, and kept there.

    What calls for judgement is in its notes, and no warning besides. ``tables`` (patients, scans) take the
    place of the files of these names, and are not kept. ``missing`` says what becomes of missing covariates:
    "refuse" or "keep".
    """
    given = " and ".join(tables)
    if tables and (data.synthetic or data.adam is not None):
        how = "generates its patients" if data.synthetic else "reads ADaM data sets"
        raise InputError(
            f"{given} given as a table, but [data] {how}; expected a specification with patients, scans and "
            "time_unit, which says how the tables are read"
        )
    asked = repr(
        (data.model_dump(include=set(DataSection.model_fields)), sorted(covariates), folder, missing)
    )
    kept = {} if cohorts is None or tables else cohorts
    if asked not in kept:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CohortWarning)
            kept[asked] = _read(data, folder, covariates, missing, tables)
    if not tables:
        return kept[asked]
    message = f"{given} given as a table, in the place of the file that the specification names"
    note = Note(HANDLED, "given-as-table", message, sum(map(len, tables.values())))
    return replace(kept[asked], notes=(*kept[asked].notes, note))


_AS_SPECIFIED = (
    "time_unit",
    "size_unit",
    "exclude_patients",
    "pfs_censored_at_death",
    "missing_codes",
    "accept",
)
"""Keys that are options of ``read_adam`` and of ``read_cohort``."""
_OF_TABLES = (
    *("patient_columns", "scan_columns", "baseline_window", "scans_after_death", "study", "scan_visits"),
    *("event_is", "change_unit"),
)
"""Keys that are options of ``read_cohort`` alone."""


def _read(
    data: DataSection,
    folder: Path,
    covariates: Sequence[str],
    missing: str,
    tables: Mapping[str, pd.DataFrame],
) -> Cohort:
    how: dict[str, Any] = {name: getattr(data, name) for name in _AS_SPECIFIED}
    how |= {"arms": data.arms or None, "covariates": tuple(covariates), "missing_covariates": missing}
    if data.adam is not None:
        late = data.scans_after_death if "scans_after_death" in data.model_fields_set else "drop"
        how |= {"where": data.adam_where, "scans_after_death": late}
        how |= dict(data.adam_parameters)
        return read_adam(folder / data.adam, **how)
    if data.patients is None or data.time_unit is None:
        return simulate_cohort(seed=data.synthetic_seed or 0)
    patients = tables.get("patients", folder / data.patients)
    scans = tables.get("scans", None if data.scans is None else folder / data.scans)
    how |= {name: getattr(data, name) for name in _OF_TABLES}
    return read_cohort(patients, scans, synthetic=None, **how)


def read_patients(plan: object) -> Cohort:
    """The patients and scans of a specification, with the covariates that its models have."""
    if not isinstance(plan, PatientsPlan):
        raise InputError("this specification is a synthesis; expected one of patients, with a section [data]")
    names = [each.name for each in plan.covariates]
    return load_data(plan.data, plan.folder, covariates=names, missing=plan.missing_covariates)
