"""ADaM data sets out of a cohort: ADSL, ADTTE and, where there are scans, ADTR and ADRS.

They have the shape of ADaM, not its traceability: a cohort has times from time zero and no dates, so times of
scans are ARELTM, which may be parts of days, beside the whole ADY without a day 0.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_net.data.cohort import Cohort
from bayes_net.errors import InputError, listed
from bayes_net.files.datasetjson import dataset_json
from bayes_net.files.formats import READERS
from bayes_net.files.writing import write_new
from bayes_net.options import refuse_types
from bayes_net.schema import DAYS_PER_MONTH
from bayes_net.tables.reading import NEW_THERAPY

FORMATS = {"parquet": ".parquet", "dataset-json": ".json"}
"""What data sets are written as, and how their files end."""
WRITTEN, SYNTHETIC, RECONSTRUCTED = "COHORTFL", "SYNTHFL", "RECONFL"
"""Flags of ADSL: of data sets that were written from a cohort, and of patients who are nobody's data."""
TUMOUR, RESPONSE, THERAPY = "SUMDIAM", "OVRLRESP", "NEWTHER"
ENDPOINTS = {"pfs": ("PFS", "Progression-Free Survival"), "os": ("OS", "Overall Survival")}
LABELS = {
    "STUDYID": "Study Identifier",
    "USUBJID": "Unique Subject Identifier",
    "TRT01P": "Planned Treatment for Period 01",
    "TRT01PN": "Planned Treatment for Period 01 (N)",
    "ITTFL": "Intent-To-Treat Population Flag",
    WRITTEN: "Written from a Cohort of bayes-net Flag",
    SYNTHETIC: "Synthetic Patient Flag",
    RECONSTRUCTED: "Reconstructed from a Curve Flag",
    "TRTP": "Planned Treatment",
    "PARAM": "Parameter",
    "PARAMCD": "Parameter Code",
    "AVAL": "Analysis Value",
    "AVALC": "Analysis Value (C)",
    "AVALU": "Analysis Value Unit",
    "CNSR": "Censor",
    "EVNTDESC": "Event or Censoring Description",
    "CNSDTDSC": "Censor Date Description",
    "ADY": "Analysis Relative Day",
    "ARELTM": "Analysis Relative Time",
    "ARELTMU": "Analysis Relative Time Unit",
    "ABLFL": "Baseline Record Flag",
    "BASE": "Baseline Value",
    "PCHG": "Percent Change from Baseline",
    "NEWLFL": "New Lesion Flag",
    "PROGFL": "Progression Flag",
}
_TITLES = {
    "adsl": "Subject-Level Analysis Dataset",
    "adtte": "Time-to-Event Analysis Dataset",
    "adtr": "Tumor Results Analysis Dataset",
    "adrs": "Response Analysis Dataset",
}
_KEYS = ("STUDYID", "USUBJID", "PARAMCD", "ARELTM")


def write_adam(
    cohort: Cohort, folder: str | Path, *, format: str = "parquet", created: datetime | None = None
) -> tuple[Path, ...]:
    """Write a cohort as ADaM-shaped data sets and return the paths of their files.

    ``format`` is "parquet" or "dataset-json" (CDISC Dataset-JSON 1.1). ``read_adam`` of the folder, with the
    cohort's ``covariates`` asked for, gives an equal cohort. Its ``reasons`` are kept, its notes and
    ``origin`` are not: they are about the tables it came from.

    ADSL has one row a patient, with the covariates under their names in capitals; ADTTE one row a patient and
    endpoint, AVAL in days, and one on the new anticancer therapy where that is known (censored without AVAL:
    none began); ADTR one row a scan, sizes in mm, or without AVAL where percent changes alone are known; ADRS
    the responses, where there are some. ARELTM is days from time zero. Synthetic and reconstructed patients
    are flagged in ADSL (SYNTHFL, RECONFL), and the names of the files begin with what all of them are. The
    same cohort gives the same bytes, but for the time of creation that Dataset-JSON must have: now, or
    ``created``.

    Raises
    ------
    InputError
        The format is unknown, two covariates or one and a variable have the same name in capitals, the folder
        has data sets already, or it cannot be written to; nothing was changed then.
    """
    refuse_types(write_adam, locals())
    if format not in FORMATS:
        raise InputError(f"format is {format!r}; expected {' or '.join(map(repr, FORMATS))}")
    folder = Path(folder)
    if there := _data_sets_of(folder):
        raise InputError(
            f"{folder} has {listed(there)} already, which are left as they are; expected a folder without "
            "ADaM data sets"
        )
    labels, mark = LABELS | {name.upper(): name for name in cohort.covariates}, _synthetic_mark(cohort)
    files = {}
    for name, frame in adam_datasets(cohort).items():
        path = folder / f"{mark and mark.lower() + '_'}{name}{FORMATS[format]}"
        title = f"{mark and mark + ': '}{_TITLES[name]}"
        files[path] = _parquet(frame) if format == "parquet" else _json(frame, name, title, labels, created)
    write_new(files)
    return tuple(files)


def adam_datasets(cohort: Cohort) -> dict[str, pd.DataFrame]:
    """The data sets that ``write_adam`` writes, by name: adsl, adtte and, where there are, adtr and adrs.

    Raises
    ------
    InputError
        Two covariates, or one and a variable of ADSL, have the same name in capitals.
    """
    sets = {"adsl": _adsl(cohort), "adtte": _adtte(cohort)}
    if cohort.sized and ("sld" in cohort.scans or len(cohort.scans)):
        sets["adtr"] = _adtr(cohort)
    read = cohort.scans[(cohort.scans["response"] != "") | (not cohort.sized)]
    if len(read):
        sets["adrs"] = _adrs(cohort, read)
    return sets


def _adrs(cohort: Cohort, read: pd.DataFrame) -> pd.DataFrame:
    """Responses; where there are no sizes, with what else is known of a scan."""
    rows = _of_patients(cohort, read["patient"])
    rows = rows.assign(PARAM="Overall Response by Visit", PARAMCD=RESPONSE, **_times(read))
    rows = rows.assign(AVALC=read["response"].to_numpy(object))
    return rows if cohort.sized else rows.assign(**_flags(read))


def days(months: pd.Series) -> np.ndarray:
    """Days to a millionth, which is the grid that a cohort's times are on."""
    return np.round(months.to_numpy(float) * DAYS_PER_MONTH, 6) + 0.0


def _synthetic_mark(cohort: Cohort) -> str:
    """What all patients are, where they are nobody's data."""
    if cohort.synthetic:
        return "SYNTHETIC"
    return "RECONSTRUCTED" if len(cohort.reconstructed) == len(cohort.patients) else ""


def _data_sets_of(folder: Path) -> list[str]:
    """Files that ``read_adam`` would take for data sets."""
    if not folder.is_dir():
        return []
    files = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in READERS)
    return [path.name for path in files if any(name in path.stem.lower() for name in _TITLES)]


def _adsl(cohort: Cohort) -> pd.DataFrame:
    patients = cohort.patients
    order = {arm: number for number, arm in enumerate(cohort.arms, start=1)}
    frame = pd.DataFrame(
        {
            "STUDYID": patients["study"].to_numpy(object),
            "USUBJID": patients["patient"].to_numpy(object),
            "TRT01P": patients["arm"].to_numpy(object),
            "TRT01PN": patients["arm"].map(order).to_numpy(int),
            "ITTFL": "Y",
            WRITTEN: "Y",
        }
    )
    if cohort.synthetic:
        frame[SYNTHETIC] = "Y"
    if cohort.reconstructed:
        frame[RECONSTRUCTED] = _flag(patients["patient"].isin(cohort.reconstructed))
    for name in cohort.covariates:
        if name.strip().upper() != name.upper() or name.upper() in {*frame, SYNTHETIC, RECONSTRUCTED}:
            raise InputError(
                f"covariates are {listed(cohort.covariates)}; expected names that stay different in "
                f"capitals, without space around them, and none of {listed(LABELS, limit=8)}: rename {name!r}"
            )
        values = patients[name]
        frame[name.upper()] = values.to_numpy(float if values.dtype.kind == "f" else object)
    return frame


def _adtte(cohort: Cohort) -> pd.DataFrame:
    parts = []
    for endpoint in cohort.endpoints:
        code, text = ENDPOINTS[endpoint]
        event = cohort.patients[f"{endpoint}_event"].to_numpy(int)
        rows = _of_patients(cohort, cohort.patients["patient"]).assign(PARAM=f"{text} (days)", PARAMCD=code)
        rows = rows.assign(AVAL=days(cohort.patients[f"{endpoint}_time"]), AVALU="DAYS", CNSR=1 - event)
        parts.append(rows.assign(**_reasons(cohort, endpoint, event == 1)))
    if NEW_THERAPY in cohort.patients:
        began = cohort.patients[NEW_THERAPY]
        rows = _of_patients(cohort, cohort.patients["patient"])
        rows = rows.assign(PARAM="Time to New Anticancer Therapy (days)", PARAMCD=THERAPY)
        rows = rows.assign(AVAL=days(began), AVALU="DAYS", CNSR=began.isna().astype(int).to_numpy())
        parts.append(rows.assign(**{name: "" for name in ("EVNTDESC", "CNSDTDSC") if name in parts[0]}))
    return pd.concat(parts, ignore_index=True)


def _reasons(cohort: Cohort, endpoint: str, event: np.ndarray) -> dict[str, np.ndarray]:
    """Why follow-up ended, of a cohort that knows it."""
    if cohort.reasons is None:
        return {}
    known = cohort.reasons.set_index("patient").get(f"{endpoint}_reason", pd.Series(dtype=object))
    why = cohort.patients["patient"].map(known).fillna("").to_numpy(object)
    return {"EVNTDESC": np.where(event, why, ""), "CNSDTDSC": np.where(event, "", why)}


def _adtr(cohort: Cohort) -> pd.DataFrame:
    scans = cohort.scans
    rows = _of_patients(cohort, scans["patient"])
    rows = rows.assign(PARAM="Sum of Diameters of Target Lesions", PARAMCD=TUMOUR, **_times(scans))
    if "sld" in scans:
        first = scans[scans["baseline"]].set_index("patient")["sld"]
        rows = rows.assign(AVAL=scans["sld"].to_numpy(float), AVALU="mm")
        rows["BASE"] = scans["patient"].map(first).to_numpy(float)
    return rows.assign(PCHG=scans["pchg"].to_numpy(float), **_flags(scans))


def _flags(scans: pd.DataFrame) -> dict[str, np.ndarray]:
    """What else is known of a scan."""
    names = {"baseline": "ABLFL", "new_lesion": "NEWLFL", "progression": "PROGFL"}
    return {flag: _flag(scans[name]) for name, flag in names.items() if name in scans}


def _of_patients(cohort: Cohort, who: pd.Series) -> pd.DataFrame:
    """Rows that say of whom they are."""
    own = cohort.patients.set_index("patient")
    columns = {"STUDYID": who.map(own["study"]), "USUBJID": who, "TRTP": who.map(own["arm"])}
    return pd.DataFrame({name: values.to_numpy(object) for name, values in columns.items()})


def _times(scans: pd.DataFrame) -> dict[str, np.ndarray | str]:
    at = days(scans["time"])
    whole = np.floor(at)
    return {"ADY": (whole + (whole >= 0)).astype(int), "ARELTM": at, "ARELTMU": "DAYS"}


def _flag(values: pd.Series) -> np.ndarray:
    return np.where(values.to_numpy(bool), "Y", "").astype(object)


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _json(
    frame: pd.DataFrame, name: str, title: str, labels: Mapping[str, str], created: datetime | None
) -> bytes:
    created = created or datetime.now(UTC)
    return dataset_json(frame, name.upper(), title, labels=labels, keys=_KEYS, created=created)
