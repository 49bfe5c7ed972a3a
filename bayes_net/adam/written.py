"""Data sets that ``write_adam`` wrote, read back: nothing in them has to be looked for or guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bayes_net.adam.datasets import Dataset
from bayes_net.adam.write import ENDPOINTS, RECONSTRUCTED, RESPONSE, SYNTHETIC, THERAPY, TUMOUR, WRITTEN, days
from bayes_net.data.cohort import Cohort, Origin, read_cohort
from bayes_net.errors import listed
from bayes_net.options import Scalar
from bayes_net.schema import Duration
from bayes_net.tables.notes import HANDLED, ORIGIN, Note
from bayes_net.tables.reading import NEW_THERAPY

MEANT = {
    "pfs": ("PFS",),
    "os": ("OS",),
    "new_therapy": (THERAPY,),
    "tumour": (TUMOUR,),
    "response": (RESPONSE,),
    "arm": ("TRT01P", "TRTP"),
    "population": ("ITTFL", ""),
    "analysis_flag": (),
    "time_unit": ("days",),
    "size_unit": ("mm",),
}
"""What may be asked for, which is what is there."""


def is_written(sets: Mapping[str, Dataset]) -> bool:
    """Whether the patients come from data sets that ``write_adam`` wrote."""
    adsl = sets["adsl"]
    flags = {name: adsl.values(name).eq("Y") for name in (WRITTEN, SYNTHETIC)}
    for name, flag in flags.items():
        if flag.any() and not flag.all():
            got = f"{int(flag.sum())} of {len(flag)} patients have {name} = Y"
            raise adsl.refuse(got, "all of them, or none", "Read them apart, each as what they are.")
    return bool(flags[WRITTEN].any())


def read_written(
    sets: Mapping[str, Dataset],
    asked: Mapping[str, str | None],
    *,
    arms: Sequence[Scalar] | None,
    covariates: Sequence[str],
    exclude_patients: str | Iterable[Scalar],
    **conventions: Any,
) -> Cohort:
    """The cohort that was written, of the patients who are in ADSL."""
    adsl, adtte = sets["adsl"], sets["adtte"]
    for option, value in asked.items():
        if value is not None and value not in MEANT[option]:
            got = f"{option} is {value!r} where the data sets were written from a cohort"
            expected = " or ".join(map(repr, MEANT[option])) or "nothing"
            raise adsl.refuse(got, expected, f"Leave out {option}.")
    several = [exclude_patients] if isinstance(exclude_patients, str) else exclude_patients
    excluded = {str(each) for each in several}
    patients = _patients(adsl, adtte, covariates)
    scans, seen = _scans(sets, set(patients["patient"])), None
    if scans is not None and len(scans):
        seen = scans.drop(columns=["baseline", "progression"], errors="ignore")
    if conventions.get("study") is not None:
        patients = patients.drop(columns="study")
    cohort = read_cohort(
        patients,
        seen,
        time_unit="days",
        size_unit="mm" if seen is not None and "size" in seen else None,
        arms=arms or _arms(adsl, excluded),
        covariates=covariates,
        exclude_patients=excluded,
        pfs_after_os="keep",
        synthetic=bool(adsl.values(SYNTHETIC).eq("Y").all()),
        **{"baseline_window": _window(scans)} | conventions,
    )
    return _completed(cohort, scans, _why(adtte), adsl.file)


def _patients(adsl: Dataset, adtte: Dataset, covariates: Sequence[str]) -> pd.DataFrame:
    if absent := [name for name in covariates if name.upper() not in adsl.frame]:
        there = listed(adsl.frame, limit=40)
        raise adsl.refuse(f"no variables {listed(absent)}", f"some of {there}", "Correct covariates.")
    fields = {"patient": "USUBJID", "study": "STUDYID", "arm": "TRT01P"}
    frame = pd.DataFrame({name: adsl.values(variable) for name, variable in fields.items()})
    frame = frame.assign(**{name: adsl.frame[name.upper()] for name in covariates})
    frame["reconstructed"] = adsl.values(RECONSTRUCTED).eq("Y").map({True: "true", False: "false"})
    for endpoint, (code, _) in ENDPOINTS.items():
        rows = adtte.one_a_patient(code)
        if rows.frame.empty:
            continue
        who, censored = rows.values("USUBJID"), rows.numbers("CNSR")
        event = (censored == 0).astype(float).where(censored.notna())
        frame[f"{endpoint}_time"] = frame["patient"].map(rows.numbers("AVAL").set_axis(who))
        frame[f"{endpoint}_event"] = frame["patient"].map(event.set_axis(who))
    rows = adtte.where(adtte.values("PARAMCD").eq(THERAPY))
    if len(rows.frame):
        frame[NEW_THERAPY] = frame["patient"].map(rows.numbers("AVAL").set_axis(rows.values("USUBJID")))
    return frame.set_axis(adsl.frame.index)


def _arms(adsl: Dataset, excluded: set[str]) -> tuple[str, ...] | None:
    """Arms in the order of TRT01PN, of those who stay."""
    there = adsl.where(~adsl.values("USUBJID").isin(excluded))
    order = there.numbers("TRT01PN").groupby(there.values("TRT01P")).first()
    return tuple(order.sort_values(kind="stable").index) if order.notna().all() and len(order) else None


def _scans(sets: Mapping[str, Dataset], who: set[str]) -> pd.DataFrame | None:
    """One row a scan, with what it is and shows; None of a study without scans."""
    if "adtr" not in sets and "adrs" not in sets:
        return None
    name, code = ("adtr", TUMOUR) if "adtr" in sets else ("adrs", RESPONSE)
    rows = sets[name].where(sets[name].values("PARAMCD").eq(code))
    rows = rows.where(rows.values("USUBJID").isin(who))
    columns = {"patient": rows.values("USUBJID"), "time": rows.numbers("ARELTM")}
    if name == "adtr":
        measured = "AVAL" if "AVAL" in rows.frame else "PCHG"
        columns |= {"size" if measured == "AVAL" else "pchg": rows.numbers(measured)}
    columns |= {"new_lesion": rows.values("NEWLFL").eq("Y").astype(int)}
    columns |= {"baseline": rows.values("ABLFL").eq("Y")}
    if "PROGFL" in rows.frame:
        columns["progression"] = rows.values("PROGFL").eq("Y")
    scans = pd.DataFrame(columns)
    if "adrs" not in sets:
        return scans
    adrs = sets["adrs"].where(sets["adrs"].values("PARAMCD").eq(RESPONSE))
    at = pd.MultiIndex.from_arrays([adrs.values("USUBJID"), adrs.numbers("ARELTM")])
    read = adrs.values("AVALC").set_axis(at)
    read = read[~read.index.duplicated()]
    return scans.assign(response=read.reindex(_patients_and_times(scans)).to_numpy(object))


def _patients_and_times(scans: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([scans["patient"], scans["time"]])


def _window(scans: pd.DataFrame | None) -> Duration:
    """Until when a scan was a baseline: the latest that is one."""
    latest = 0.0 if scans is None else scans["time"][scans["baseline"]].max()
    return Duration(max(float(latest), 0.0) if latest == latest else 0.0, "d")


def _why(adtte: Dataset) -> pd.DataFrame | None:
    """Why follow-up ended, where the data sets have it."""
    if "EVNTDESC" not in adtte.frame:
        return None
    columns = {}
    for endpoint, (code, _) in ENDPOINTS.items():
        rows = adtte.where(adtte.values("PARAMCD").eq(code))
        if len(rows.frame):
            why = rows.values("CNSDTDSC").fillna(rows.values("EVNTDESC"))
            columns[f"{endpoint}_reason"] = why.set_axis(rows.values("USUBJID"))
    return pd.DataFrame(columns).rename_axis("patient").reset_index()


def _completed(cohort: Cohort, scans: pd.DataFrame | None, reasons: pd.DataFrame | None, file: str) -> Cohort:
    """The cohort with what ``read_cohort`` does not know: progression, reasons, where it comes from."""
    table = cohort.scans
    if scans is not None and scans.empty and "size" in scans:
        table = table.assign(sld=pd.Series(dtype=float))
    if scans is not None and "progression" in scans:
        seen = scans["progression"].set_axis(_patients_and_times(scans))
        at = _patients_and_times(table.assign(time=days(table["time"])))
        table = table.assign(progression=seen[~seen.index.duplicated()].reindex(at).to_numpy(bool))
    if reasons is not None:
        there = reasons["patient"].isin(cohort.patients["patient"])
        reasons = reasons[there].sort_values("patient", ignore_index=True)
    note = Note(HANDLED, ORIGIN, f"read from ADaM that was written from a cohort ({file})", 1)
    origin = (Origin("all fields", file, WRITTEN, "written from a cohort"),)
    return replace(cohort, scans=table, reasons=reasons, notes=(note, *cohort.notes), origin=origin)
