"""The tables of a cohort, made of columns that are read and checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayes_net.tables import reading, rules
from bayes_net.tables.notes import Note, handled_scans


def prepared_scans(
    visits: reading.Table, people: reading.Table, window: float, *, drop_late: bool
) -> tuple[reading.Table, tuple[Note, ...]]:
    """Scans with their patient's OS and baseline marked; repeats and, if asked, scans after death dropped."""
    frame, once = visits.frame, people.frame.dropna(subset="patient").drop_duplicates("patient")
    at_once = frame.duplicated(["patient", "time"], keep=False) & frame["patient"].notna()
    repeated = frame[at_once].duplicated().reindex(frame.index, fill_value=False)
    known = once.set_index("patient")[[name for name in ("os_time", "os_event") if name in once]]
    visits = visits.having(**{name: frame["patient"].map(known[name]).astype(float) for name in known})
    late = rules.after_death(visits.frame) & ~repeated & drop_late
    visits = visits.where(~(repeated | late))
    candidate = visits.frame["time"] <= window
    is_baseline = _last_candidate(visits.frame[candidate], visits.frame)
    earlier = int((candidate & ~is_baseline).sum())
    notes = (
        *handled_scans("repeated-scans", int(repeated.sum()), "repeated with the same values, counted once"),
        *handled_scans("scans-after-death", int(late.sum()), "after death, dropped"),
        *handled_scans(
            "earlier-baseline-scans", earlier, "until the baseline window other than the baseline, left out"
        ),
    )
    return visits.having(candidate=candidate, is_baseline=is_baseline), notes


def _last_candidate(candidates: pd.DataFrame, frame: pd.DataFrame) -> pd.Series:
    """Which scans are the last candidate of their patient, with a known size where sizes are read."""
    usable = candidates[candidates["size"].notna()] if "size" in candidates else candidates
    last = usable.sort_values("time", kind="stable").drop_duplicates("patient", keep="last")
    return pd.Series(frame.index.isin(last.index), index=frame.index)


def patient_table(frame: pd.DataFrame, covariates: Sequence[str], study: str | None) -> pd.DataFrame:
    """The patients in the order of their names, with the columns of a cohort."""
    columns = [name for name in reading.PATIENT_COLUMNS if name in frame or name == "study"]
    table = frame if "study" in frame else frame.assign(study=study or "study")
    numbers = {name: int for name in rules.EVENTS if name in frame}
    table = table[[*columns, *covariates]].astype({"patient": str, "study": str, "arm": str} | numbers)
    return table.sort_values("patient", ignore_index=True)


def scan_table(frame: pd.DataFrame, size_unit: str | None) -> pd.DataFrame:
    """The scans that count in the order of patients and time; patients and responses are categories here."""
    kept = np.flatnonzero(frame["is_baseline"] | ~frame["candidate"])
    who, time = frame["patient"].cat.codes.to_numpy(), frame["time"].to_numpy()
    order = kept[reading.in_order(who[kept], time[kept])]
    own = dict(reading.taken(frame, order))
    baseline, patient = own["is_baseline"], own["patient"]
    table = {"patient": patient, "time": own["time"], "baseline": baseline}
    if size_unit:
        sld = (own["size"] * reading.SIZE_UNITS[size_unit]).round(6)  # 17.2 cm and 172 mm are one size
        start = patient.map(sld[baseline].set_axis(patient[baseline].astype(object))).astype(float)
        own |= {"sld": sld, "pchg": 100 * (sld - start) / start}
    if "pchg" in own:
        table["pchg"] = own["pchg"].mask(baseline, 0.0)
    table |= {"new_lesion": own["new_lesion"] == 1, "response": own["response"]}
    return pd.DataFrame(table | ({"sld": own["sld"]} if size_unit else {}), copy=False)
