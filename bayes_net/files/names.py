"""What names of columns say: what a column holds, and in which unit it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

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
EVENTS = frozenset(
    "yes y true dead died deceased event progressed progression progress death relapse "  # noqa: SIM905
    "ja tot verstorben gestorben progredient oui si sí".split()
)
"""Values that mean an event, in small letters."""
REFERENCES = re.compile(r"control|placebo|standard|observation|octreotide|no treatment|best supportive", re.I)
"""How a reference arm is called."""


def tokens(column: str) -> list[str]:
    """The words of a name in small letters, apart at marks and at capitals: ``pfsDays`` is pfs, days."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column)
    return [token for token in re.split(r"[^a-z0-9]+", apart.lower()) if token] or [""]


def unit_of(column: str) -> str:
    """The unit of time that a name ends in, "" if it says none."""
    last = tokens(column)[-1]
    return next((unit for unit, names in UNITS.items() if last in names.split()), "")


def recognised(columns: Iterable[str], names: Mapping[str, str], timed: Iterable[str]) -> dict[str, str]:
    """The first column that has each canonical name, or one of its usual ones, with units or without."""
    columns = list(columns)
    found: dict[str, str] = {}
    for role, usual in names.items():
        for column in columns:
            words, bare = tokens(column), tokens(column)
            if role in timed and unit_of(column):
                bare = words[:-1] or ["time"]
            elif role == "size" and words[-1] in ("mm", "cm"):
                bare = words[:-1]
            names_of = {*usual.split(), role.replace("_", "")}
            if column not in found.values() and {"".join(words), "".join(bare)} & names_of:
                found[role] = column
                break
    return found


class Visits(NamedTuple):
    """Columns that hold one visit each: times of them by name, in ``unit``; sizes in ``size_unit``, or
    percent changes where it is None, or of no known unit where it is ""."""

    times: dict[str, float]
    unit: str
    size_unit: str | None


_BASELINE = ("baseline", "bl", "base", "screening", "pre")


def visits(columns: Iterable[str]) -> Visits | None:
    """The visits of a table with a column for each: ``sld_week8``, ``change_w16``, ``size_baseline``."""
    found: dict[str, tuple[str, str, float]] = {}
    for column in columns:
        words = [word for token in tokens(column) for word in re.findall(r"[a-z]+|\d+", token)]
        said = [word for word in words if word in ("mm", "cm")]
        words = [word for word in words if word not in said]
        if words and words[-1] in _BASELINE:
            measure, unit, time = words[:-1], "", 0.0
        elif len(words) > 1 and words[-1].isdecimal() and unit_of(words[-2]):
            measure, unit, time = words[:-2], unit_of(words[-2]), float(words[-1])
        else:
            continue
        role = next((r for r in ("size", "pchg") if "".join(measure) in [*SCAN_NAMES[r].split(), r]), "")
        if role:
            found[column] = (said[0] if said else "" if role == "size" else "percent", unit, time)
    units = {unit for _, unit, _ in found.values() if unit}
    measures = {measure for measure, _, _ in found.values()}
    times = {column: time for column, (_, _, time) in found.items()}
    if len(found) < 2 or len(units) != 1 or len(measures) != 1 or len(set(times.values())) < len(times):
        return None
    measure = measures.pop()
    return Visits(times, units.pop(), None if measure == "percent" else measure)
