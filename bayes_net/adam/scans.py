"""Sizes and responses of scans from ADTR and ADRS, on the clock of ADTTE."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bayes_net.adam.datasets import ORIGINS, Dataset, coded, dates_of, elapsed_days
from bayes_net.data.cohort import Origin
from bayes_net.numbers import counted
from bayes_net.tables.notes import HANDLED, WARNING, Note

TUMOUR_CODES = ("SLDINV", "SUMDIAM", "SDIAM", "SUMDIA", "SLD", "SUMLD", "TSUMDIAM")
_TUMOUR = re.compile(r"\bsum\b.*\b(?:diameters?|longest|lesions?)\b|\bsum of\b.*\bdiam", re.IGNORECASE)
_RESPONSE = re.compile(r"^(?!.*\b(?:best|confirmed)\b).*\boverall response\b", re.IGNORECASE)


@dataclass
class Record:
    """What has been found out on the way: where fields come from, and notes."""

    origin: list[Origin] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def says(self, name: str, one: Dataset, variable: str, rule: str = "") -> None:
        """Note where a field comes from."""
        self.origin.append(Origin(name, one.file, variable, rule))

    def handled(self, code: str, n: int, what: str) -> None:
        """Note what was done with ``n`` patients, if there are any."""
        if n:
            self.notes.append(Note(HANDLED, code, f"{counted(n, 'patient')} {what}", n))


def read_scans(
    adtr: Dataset,
    code: str | None,
    flag: str | None,
    adtte: Dataset,
    first_day: float | None,
    size_unit: str | None,
    record: Record,
) -> tuple[pd.DataFrame, str]:
    """One row a scan, the baseline at time 0 or before, sizes in AVALU or mm."""
    code = coded(adtr, code, TUMOUR_CODES, _TUMOUR, "the sum of diameters", "tumour")
    rows = adtr.where(adtr.values("PARAMCD").eq(code) & adtr.values("DTYPE").isna())
    if flag is not None:
        rows = rows.where(rows.values(flag.upper()).eq("Y"))
    who, size, base = rows.values("USUBJID"), rows.numbers("AVAL"), rows.numbers("BASE")
    day, where = _days(rows, adtte, first_day)
    flagged = rows.values("ABLFL").eq("Y")
    baseline = size.where(flagged).groupby(who).first()
    baseline = baseline.fillna(base.groupby(who).first())
    start = day.where(flagged).groupby(who).first()
    zero = first_day or 0.0
    early = size.where((day <= zero) & baseline.reindex(who).isna().to_numpy())
    baseline = baseline.fillna(early.groupby(who).last())
    of = who.map(baseline)
    change = rows.numbers("PCHG").fillna(100 * (size / base.fillna(of) - 1))
    exact = (change - 100 * (size / of - 1)).abs() < 1e-6
    later = ~flagged & (day > zero) & change.notna() & of.notna()
    flagged_too = f" and {flag.upper()} is Y" if flag else ""
    record.says("scans", rows, f"AVAL, BASE and PCHG, PARAMCD {code}", f"DTYPE is empty{flagged_too}")
    record.says("time of scans", rows, "ADY", where)
    unknown = set(who) - set(baseline.dropna().index)
    record.handled("no-baseline", len(unknown), "without a baseline size, whose scans are left out")
    sizes = size.where(exact, of * (1 + change / 100))
    after = _one_a_day(pd.DataFrame({"patient": who, "time": day, "size": sizes})[later], record)
    first = pd.DataFrame({"size": baseline.dropna()}).rename_axis("patient").reset_index()
    first["time"] = np.minimum(first["patient"].map(start).fillna(0.0) - zero, 0.0)
    first.index = [f"baseline {i}" for i in range(1, len(first) + 1)]
    unit = size_unit or next(
        (u for u in ("mm", "cm") if u in {str(v).lower() for v in rows.values("AVALU")}), "mm"
    )
    return pd.concat([first, after])[["patient", "time", "size"]], unit


def _one_a_day(scans: pd.DataFrame, record: Record) -> pd.DataFrame:
    """The smallest size of each patient and day, which is what a best response is made of."""
    ordered = scans.sort_values(["patient", "time", "size"], kind="stable")
    again = ordered.duplicated(["patient", "time"])
    contradicting = again & (
        ordered["size"] != ordered.groupby(["patient", "time"])["size"].transform("first")
    )
    if n := int(contradicting.sum()):
        message = (
            f"{counted(n, 'scan')} on the day of a smaller one of the same patient, left out: choose rows by "
            "analysis_flag or where if another is meant"
        )
        rows = tuple(f"row {i}" for i in ordered.index[contradicting][:10])
        record.notes.append(Note(WARNING, "scans-of-one-day", message, n, rows=rows))
    return ordered[~again].sort_index()


def _days(rows: Dataset, adtte: Dataset, first_day: float | None) -> tuple[pd.Series, str]:
    """Days of rows on the clock of AVAL of ADTTE, and where they come from."""
    origins = dates_of(adtte, ORIGINS).groupby(adtte.values("USUBJID")).first()
    elapsed, given = elapsed_days(rows, origins), rows.numbers("ADY")
    known = (given - elapsed)[(given > 0) & elapsed.notna()]
    if (given == 0).any():
        own, says = 0.0, "has a day 0"
    elif len(known):
        own, says = float(np.round(known.median())), f"the first day is {np.round(known.median()):g}"
    else:
        own, says = 1.0, "has no day 0"
    on_line = given + (own if own else 0.0) * (given < 0)
    shift = 0.0 if first_day is None else first_day - own
    days = (on_line + shift).fillna(elapsed + (first_day or 0.0))
    moved = f", moved by {shift:g} to the clock of AVAL" if shift else ""
    dated = int((given.isna() & elapsed.notna()).sum())
    return days, f"{says}{moved}" + (f"; {dated} from dates" if dated else "")


def with_responses(
    scans: pd.DataFrame, adrs: Dataset, code: str | None, first_day: float | None, record: Record
) -> pd.DataFrame:
    """The scans with the overall response that was read on their day, where ADRS has it."""
    read = read_responses(adrs, code, first_day, record)
    if read is None:
        return scans
    joined = scans.merge(read, on=["patient", "time"], how="left").set_axis(scans.index)
    return joined.assign(response=joined["response"].where(joined["time"] > 0))


def read_responses(
    adrs: Dataset, code: str | None, first_day: float | None, record: Record
) -> pd.DataFrame | None:
    """The overall response of each patient and day, None where ADRS has none."""
    described = adrs.values("PARAM").fillna("").str.contains(_RESPONSE)
    if code is None and not described.any():
        return None
    code = coded(adrs, code, ("OVRINV", "OVRLRESP", "OVR"), _RESPONSE, "the overall response", "response")
    rows = adrs.where(adrs.values("PARAMCD").eq(code))
    day, _ = _days(rows, rows, first_day)
    record.says("response", adrs, f"AVALC, PARAMCD {code}", "on the day of the scan")
    read = pd.DataFrame({"patient": rows.values("USUBJID"), "time": day, "response": rows.values("AVALC")})
    return read.dropna().drop_duplicates(["patient", "time"])
