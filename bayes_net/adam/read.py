"""Cohorts from ADaM: ADSL, ADTTE and, where there, ADTR and ADRS (CDISC ADaM 2.1, ADTTE 1.0), as sponsors
export them.

One row of ADTTE is one patient and parameter: an event where CNSR is 0, a censoring where it is anything
above. Times stay as AVAL has them. Analysis days of scans are put on the same clock: without a day 0 the
day before the first is 0 here, and they are moved by a day where AVAL counts the first day otherwise than
ADY does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.adam.datasets import Dataset, datasets, elapsed_days, parameter, unit_in_days, unit_name
from bayes_net.adam.scans import Record, read_responses, read_scans, with_responses
from bayes_net.adam.written import MEANT, is_written, read_written
from bayes_net.data.cohort import Cohort, read_cohort
from bayes_net.errors import listed
from bayes_net.options import Scalar, refuse_types
from bayes_net.schema import OS, PFS
from bayes_net.tables.notes import HANDLED, ORIGIN, Note
from bayes_net.tables.reading import NEW_THERAPY

POPULATIONS = ("ITTFL", "FASFL")
ARM_VARIABLES = ("TRT01P", "TRTP", "ARM", "TRT01A", "TRTA")
_SCREENED_OUT = re.compile(r"screen\w* fail|not (?:assigned|treated|randomi[sz]ed)", re.IGNORECASE)
_DEATH = re.compile(r"\b(?:death|dead|died)\b", re.IGNORECASE)


def read_adam(
    source: str | Path | Mapping[str, str | Path | pd.DataFrame] | Iterable[str | Path],
    *,
    pfs: str | None = None,
    os: str | None = None,
    new_therapy: str | None = None,
    tumour: str | None = None,
    response: str | None = None,
    arm: str | None = None,
    population: str | None = None,
    analysis_flag: str | None = None,
    where: Mapping[str, Mapping[str, Scalar]] | None = None,
    time_unit: str | None = None,
    size_unit: str | None = None,
    arms: Sequence[Scalar] | None = None,
    covariates: Sequence[str] = (),
    exclude_patients: str | Iterable[Scalar] = (),
    scans_after_death: str = "drop",
    accept: str | Sequence[str] = (),
    **conventions: Any,
) -> Cohort:
    """The cohort of a study's ADaM data sets.

    ``source`` is a folder (or a pattern such as ``"study/*.xpt"``), files, or by name (adsl, adtte, adtr,
    adrs) a file or DataFrame. XPORT (5 and 8), sas7bdat, Dataset-JSON, CSV and Parquet are read.

    ``pfs``, ``os``, ``tumour`` and ``response`` are the PARAMCD of time to progression or death and of
    death (ADTTE), of the sum of diameters (ADTR) and of the overall response at a visit (ADRS);
    ``new_therapy`` that of time to a new anticancer therapy (ADTTE), which is read only if it is named, and
    whose events that are deaths are none; ``arm`` the variable of treatment, by default TRT01P;
    ``population`` the flag that is "Y" of who is analysed, by default ITTFL or FASFL where there, "" for
    everyone; ``analysis_flag`` that of tumour rows, by default none. ``where`` keeps rows by other variables:
    ``{"adtr": {"PARCAT2": "Investigator"}}``. What is not given is looked for, and refused if several
    parameters could be meant. Units are those of AVALU or PARAM, or follow from dates; ``time_unit`` and
    ``size_unit`` (mm where nothing is said) override. Rows with a DTYPE are left out. ``covariates`` are
    variables of ADSL. The other options are those of ``read_cohort``.

    The cohort's ``origin`` says where each field comes from, and ``reasons`` why follow-up ended (EVNTDESC,
    and CNSDTDSC of the censored). A scan is progression where ADTTE says that progression ended PFS by
    then.

    Data sets that ``write_adam`` wrote give the cohort that was written: its arms in their order, its
    studies, and progression, new lesions and responses as each scan has them. Parameters and units are then
    what was written, and no others may be asked for.

    Raises
    ------
    InputError
        An option is of a wrong type, or is none of its values.
    CohortError
        A data set or parameter is missing or ambiguous, or the tables break a rule of ``read_cohort``.
    """
    options = dict(locals())
    refuse_types(read_adam, options | conventions, read_cohort)
    how: dict[str, Any] = {"arms": arms, "covariates": covariates, "exclude_patients": exclude_patients}
    how |= {"scans_after_death": scans_after_death, "accept": accept, **conventions}
    record, sets = Record(), datasets(source, where or {})
    if is_written(sets):
        asked = {name: value for name, value in options.items() if name in MEANT}
        return read_written(sets, asked, **how)
    adsl = _population(sets, population, record)
    arm_of = _arms(adsl, sets["adtte"], arm, record)
    adtte = sets["adtte"].where(sets["adtte"].values("USUBJID").isin(set(arm_of.index)))
    codes = {PFS: parameter(adtte, pfs, "PFS"), OS: parameter(adtte, os, "OS", required=False)}
    patients, reasons, first_day = _patients(adtte, codes, arm_of, time_unit, record)
    patients = _with_covariates(patients, adsl, covariates, record)
    if new_therapy is not None:
        code = parameter(adtte, new_therapy, "") or new_therapy
        patients = _with_new_therapy(patients, adtte, code, time_unit, record)
    record.handled(
        "no-endpoint", len(arm_of) - len(patients), "of ADSL without a row of the endpoint, left out"
    )
    scans, unit = None, None
    if "adtr" in sets:
        tumours = sets["adtr"].where(sets["adtr"].values("USUBJID").isin(set(patients["patient"])))
        scans, unit = read_scans(tumours, tumour, analysis_flag, adtte, first_day, size_unit, record)
        if "adrs" in sets:
            scans = with_responses(scans, sets["adrs"], response, first_day, record)
    elif "adrs" in sets:
        read = sets["adrs"].where(sets["adrs"].values("USUBJID").isin(set(patients["patient"])))
        scans = read_responses(read, response, first_day, record)
    cohort = read_cohort(patients, scans, time_unit="days", size_unit=unit, pfs_after_os="keep", **how)
    return _completed(cohort, reasons, record)


def _completed(cohort: Cohort, reasons: pd.DataFrame, record: Record) -> Cohort:
    """The cohort with its origin, reasons, notes, and progression as ADTTE has it."""
    ended = cohort.patients.merge(reasons, on="patient", how="left")
    progressed = (ended["pfs_event"] == 1) & ~ended["pfs_reason"].fillna("").str.contains(_DEATH)
    day = ended["pfs_time"].where(progressed).set_axis(ended["patient"])
    scans = cohort.scans.assign(progression=cohort.scans["time"] >= cohort.scans["patient"].map(day))
    where = (
        f"{o.field} from {o.variable} of {o.data_set}{f' ({o.rule})' * bool(o.rule)}" for o in record.origin
    )
    message = "; ".join(where)
    notes = [Note(HANDLED, ORIGIN, f"read from ADaM: {message}", len(record.origin)), *record.notes]
    known = reasons[reasons["patient"].isin(cohort.patients["patient"])]
    known, origin = known.sort_values("patient", ignore_index=True), tuple(record.origin)
    return replace(cohort, scans=scans, notes=(*notes, *cohort.notes), origin=origin, reasons=known)


def _population(sets: Mapping[str, Dataset], flag: str | None, record: Record) -> Dataset:
    """ADSL of those who are analysed."""
    adsl = sets["adsl"]
    twice = adsl.values("USUBJID").duplicated()
    if twice.any():
        raise adsl.refuse(f"{int(twice.sum())} patients occur twice", "one row a patient", "Is it ADSL?")
    failed = pd.Series(False, index=adsl.frame.index)
    for name in ("ARM", "TRT01P", "ACTARM"):
        failed |= adsl.values(name).fillna("").str.contains(_SCREENED_OUT)
    record.handled("screen-failures", int(failed.sum()), "not randomised (screen failures), left out")
    adsl = adsl.where(~failed)
    if flag is None:
        flag = next((name for name in POPULATIONS if name in adsl.frame), "")
    if flag:
        if flag.upper() not in adsl.frame:
            raise adsl.refuse(
                f"there is no variable {flag}", "the flag of a population", "Correct population."
            )
        inside = adsl.values(flag.upper()).eq("Y")
        record.handled(
            "outside-population", int((~inside).sum()), f"with {flag.upper()} other than Y, left out"
        )
        record.says("population", adsl, flag.upper(), "is Y")
        adsl = adsl.where(inside)
    if adsl.frame.empty:
        raise adsl.refuse("nobody is in the population", "patients to analyse", "Correct population.")
    return adsl


def _arms(adsl: Dataset, adtte: Dataset, asked: str | None, record: Record) -> pd.Series:
    """The arm of each patient, by USUBJID."""
    for one in (adsl, adtte):
        for name in [asked.upper()] if asked else ARM_VARIABLES:
            if name in one.frame and one.values(name).notna().all():
                record.says("arm", one, name)
                arm_of = one.values(name).set_axis(one.values("USUBJID"))
                arm_of = arm_of[~arm_of.index.duplicated()]
                return arm_of[arm_of.index.isin(set(adsl.values("USUBJID")))]
    expected = asked or ", ".join(ARM_VARIABLES)
    raise adsl.refuse("no variable of treatment that is filled", expected, "Name the variable: arm.")


def _patients(
    adtte: Dataset, codes: Mapping[str, str | None], arm_of: pd.Series, time_unit: str | None, record: Record
) -> tuple[pd.DataFrame, pd.DataFrame, float | None]:
    """Patients in days, why their follow-up ended, and what AVAL calls the first day (0, 1, or None:
    unknown)."""
    patients, reasons, firsts = arm_of.rename("arm").rename_axis("patient").to_frame(), {}, []
    for endpoint, code in codes.items():
        if code is None:
            continue
        rows = adtte.one_a_patient(code)
        who, elapsed = rows.values("USUBJID"), elapsed_days(rows)
        days, source = unit_in_days(rows, time_unit, elapsed)
        time, censored = rows.numbers("AVAL") * days, rows.numbers("CNSR")
        record.says(f"{endpoint}_time", rows, f"AVAL, PARAMCD {code}", f"{unit_name(days)} by {source}")
        record.says(f"{endpoint}_event", rows, f"CNSR, PARAMCD {code}", "0 is an event")
        event = (censored == 0).astype(float).where(censored.notna())
        reason = rows.values("CNSDTDSC").where(event == 0).fillna(rows.values("EVNTDESC"))
        own = pd.DataFrame(
            {f"{endpoint}_time": time.to_numpy(), f"{endpoint}_event": event.to_numpy()}, index=who
        )
        patients = patients.join(own, how="inner" if endpoint == PFS else "left")
        reasons[f"{endpoint}_reason"] = reason.set_axis(who)
        firsts.append(time - elapsed)
    started = pd.concat(firsts).dropna()
    first_day = float(np.round(started.median())) if len(started) and abs(started.median()) < 1.5 else None
    table = pd.DataFrame(reasons).rename_axis("patient").reset_index()
    return patients.rename_axis("patient").reset_index(), table, first_day


def _with_new_therapy(
    patients: pd.DataFrame, adtte: Dataset, code: str, time_unit: str | None, record: Record
) -> pd.DataFrame:
    """Patients with the days until their new anticancer therapy; it may be counted with death as an event."""
    rows = adtte.one_a_patient(code)
    days, source = unit_in_days(rows, time_unit, elapsed_days(rows))
    began = rows.numbers("CNSR").eq(0) & ~rows.values("EVNTDESC").fillna("").str.contains(_DEATH)
    record.says(
        NEW_THERAPY, rows, f"AVAL, PARAMCD {code}", f"{unit_name(days)} by {source}; CNSR is 0, no death"
    )
    time = (rows.numbers("AVAL") * days).where(began).set_axis(rows.values("USUBJID"))
    return patients.assign(**{NEW_THERAPY: patients["patient"].map(time)})


def _with_covariates(
    patients: pd.DataFrame, adsl: Dataset, covariates: Sequence[str], record: Record
) -> pd.DataFrame:
    own = adsl.frame.set_axis(adsl.values("USUBJID"), axis=0)
    if absent := [name for name in covariates if name.upper() not in own]:
        raise adsl.refuse(
            f"no variables {listed(absent)}", f"some of {listed(own, limit=40)}", "Correct covariates."
        )
    for name in covariates:
        record.says(name, adsl, name.upper())
        patients[name] = patients["patient"].map(own[name.upper()])
    return patients
