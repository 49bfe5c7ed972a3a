"""The patients and scans that a specification names: read, generated, or given as tables."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

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

    Raises
    ------
    InputError
        There are tables, and the section reads no such files; or the data break a rule.
    """
    if tables:
        return _read_given(data, folder, covariates, missing, tables)
    asked = repr(
        (data.model_dump(include=set(DataSection.model_fields)), sorted(covariates), folder, missing)
    )
    cohorts = {} if cohorts is None else cohorts
    if asked not in cohorts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CohortWarning)
            cohorts[asked] = _read(data, folder, covariates, missing)
    return cohorts[asked]


def _read_given(
    data: DataSection,
    folder: Path,
    covariates: Sequence[str],
    missing: str,
    tables: Mapping[str, pd.DataFrame],
) -> Cohort:
    if data.synthetic or data.adam is not None:
        how = "generates its patients" if data.synthetic else "reads ADaM data sets"
        raise InputError(
            f"{' and '.join(tables)} given as a table, but [data] {how}; expected a specification with "
            "patients, scans and time_unit, which says how the tables are read"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        cohort = _read(data, folder, covariates, missing, tables)
    message = (
        f"{' and '.join(tables)} given as a table, in the place of the file that the specification names"
    )
    note = Note(HANDLED, "given-as-table", message, sum(map(len, tables.values())))
    return replace(cohort, notes=(*cohort.notes, note))


def _read(
    data: DataSection,
    folder: Path,
    covariates: Sequence[str],
    missing: str,
    tables: Mapping[str, pd.DataFrame] = MappingProxyType({}),
) -> Cohort:
    if data.adam is not None:
        return read_adam(
            folder / data.adam,
            **data.adam_parameters,
            where=data.adam_where,
            time_unit=data.time_unit,
            size_unit=data.size_unit,
            arms=data.arms or None,
            covariates=tuple(covariates),
            exclude_patients=data.exclude_patients,
            scans_after_death="drop"
            if "scans_after_death" not in data.model_fields_set
            else data.scans_after_death,
            pfs_censored_at_death=data.pfs_censored_at_death,
            missing_codes=data.missing_codes,
            accept=data.accept,
            missing_covariates=missing,
        )
    if data.patients is None or data.time_unit is None:
        return simulate_cohort(seed=data.synthetic_seed or 0)
    return read_cohort(
        tables.get("patients", folder / data.patients),
        tables.get("scans", None if data.scans is None else folder / data.scans),
        time_unit=data.time_unit,
        patient_columns=data.patient_columns,
        scan_columns=data.scan_columns,
        size_unit=data.size_unit,
        arms=data.arms or None,
        covariates=tuple(covariates),
        baseline_window=data.baseline_window,
        scans_after_death=data.scans_after_death,
        exclude_patients=data.exclude_patients,
        study=data.study,
        scan_visits=data.scan_visits,
        event_is=data.event_is,
        missing_codes=data.missing_codes,
        change_unit=data.change_unit,
        pfs_censored_at_death=data.pfs_censored_at_death,
        accept=data.accept,
        synthetic=None,
        missing_covariates=missing,
    )


def read_patients(plan: object) -> Cohort:
    """The patients and scans of a specification, with the covariates that its models have.

    Raises
    ------
    InputError
        It is a synthesis, whose studies have their own tables.
    """
    if not isinstance(plan, PatientsPlan):
        raise InputError("this specification is a synthesis; expected one of patients, with a section [data]")
    names = [each.name for each in plan.covariates]
    return load_data(plan.data, plan.folder, covariates=names, missing=plan.missing_covariates)
