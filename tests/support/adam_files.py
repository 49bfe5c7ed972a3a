"""A small invented study as ADaM, and ways to write it in every format."""

from __future__ import annotations

import json
import zlib
from datetime import timedelta
from pathlib import Path

import pandas as pd


def study() -> dict[str, pd.DataFrame]:
    """Six patients and a screen failure; the first day is day 1 and there is no day 0."""
    subjects = [
        ("S-01", "control", "Y", 61, "2020-01-10"),
        ("S-02", "control", "Y", 55, "2020-01-20"),
        ("S-03", "control", "Y", 70, "2020-02-01"),
        ("S-04", "lutetium", "Y", 58, "2020-02-11"),
        ("S-05", "lutetium", "Y", 63, "2020-03-01"),
        ("S-06", "lutetium", "N", 49, "2020-03-05"),
        ("S-07", "Screen Failure", "N", 66, ""),
    ]
    columns = ["USUBJID", "TRT01P", "ITTFL", "AGE", "TRTSDT"]
    adsl = pd.DataFrame(subjects, columns=columns).assign(STUDYID="X1", ARM=lambda t: t["TRT01P"])
    ends = [  # PFS day, CNSR, why; OS day, CNSR, why
        ("S-01", 200, 0, "Disease Progression", 400, 0, "Death"),
        ("S-02", 150, 0, "Death", 150, 0, "Death"),
        ("S-03", 300, 2, "Last Tumor Assessment", 500, 1, "Alive"),
        ("S-04", 420, 0, "Disease Progression", 600, 1, "Alive"),
        ("S-05", 380, 1, "Study Closure", 380, 1, "Study Closure"),
        ("S-06", 90, 0, "Disease Progression", 120, 0, "Death"),
    ]
    start = dict(zip(adsl["USUBJID"], adsl["TRTSDT"], strict=True))
    rows = []
    for who, pfs, cnsr, why, os_day, os_cnsr, os_why in ends:
        for code, day, flag, reason in (("PFS", pfs, cnsr, why), ("OS", os_day, os_cnsr, os_why)):
            date = pd.Timestamp(start[who]) + timedelta(days=day - 1)
            text = {"PFS": "Progression-Free Survival (days)", "OS": "Overall Survival (days)"}[code]
            rows.append((who, code, text, float(day), flag, start[who], str(date.date()), reason))
    names = ["USUBJID", "PARAMCD", "PARAM", "AVAL", "CNSR", "STARTDT", "ADT", "EVNTDESC"]
    adtte = pd.DataFrame(rows, columns=names).assign(STUDYID="X1")
    adtte["CNSDTDSC"] = adtte["EVNTDESC"].where(adtte["CNSR"] > 0, "")
    sizes = {
        "S-01": [(-5, 100), (60, 70), (120, 80), (200, 130)],
        "S-02": [(1, 50), (57, 45)],
        "S-03": [(-1, 80), (85, 60), (169, 30)],
        "S-04": [(-20, 90), (58, 72), (114, 54), (400, 63)],
        "S-05": [(-2, 40), (60, 38)],
        "S-06": [(-3, 66), (64, 60)],
    }
    tumour = []
    for who, scans in sizes.items():
        base = scans[0][1]
        for i, (day, size) in enumerate(scans):
            date = pd.Timestamp(start[who]) + timedelta(days=day - (day > 0))
            change = 100 * (size - base) / base
            tumour.append(
                (who, day, str(date.date()), "", float(size), float(base), "" if i else "Y", change)
            )
        least = min(scans[1:], key=lambda scan: scan[1])
        tumour.append((who, least[0], "", "MINIMUM", float(least[1]), float(base), "", -1.0))
    names = ["USUBJID", "ADY", "ADT", "DTYPE", "AVAL", "BASE", "ABLFL", "PCHG"]
    adtr = pd.DataFrame(tumour, columns=names).assign(
        STUDYID="X1", PARAMCD="SUMDIAM", PARAM="Sum of Diameters of Target Lesions (mm)", AVALU="mm"
    )
    adtr["ADY"] = adtr["ADY"].astype(float)
    return {"adsl": adsl, "adtte": adtte, "adtr": adtr}


def write(study: dict[str, pd.DataFrame], folder: Path, ending: str) -> Path:
    """The data sets in one format: xpt (SAS XPORT 8), v5.xpt, json, ndjson, dsjc, gz.dsjc, raw.dsjc, csv,
    parquet."""
    for name, frame in study.items():
        path = folder / f"{name}.{ending}"
        if ending.endswith("xpt"):
            import pyreadstat

            version = 5 if ending.startswith("v5") else 8
            pyreadstat.write_xport(frame, str(path), file_format_version=version, table_name=name.upper())
        elif ending == "csv":
            frame.to_csv(path, index=False)
        elif ending == "parquet":
            frame.to_parquet(path)
        else:
            path.write_bytes(_json(name, frame, ending))
    return folder


def _json(name: str, frame: pd.DataFrame, ending: str) -> bytes:
    columns = [
        {
            "itemOID": f"IT.{c}",
            "name": c,
            "label": c,
            "dataType": "string" if frame[c].dtype == object else "double",
        }
        for c in frame
    ]
    head = {"datasetJSONVersion": "1.1.0", "name": name.upper(), "records": len(frame), "columns": columns}
    rows = json.loads(frame.to_json(orient="values"))
    if ending == "json":
        return json.dumps(head | {"rows": rows}).encode()
    lines = "\n".join(json.dumps(each) for each in (head, *rows)).encode()
    bits = {
        "ndjson": None,
        "dsjc": zlib.MAX_WBITS,
        "gz.dsjc": zlib.MAX_WBITS | 16,
        "raw.dsjc": -zlib.MAX_WBITS,
    }
    if bits[ending] is None:
        return lines
    tool = zlib.compressobj(wbits=bits[ending])
    return tool.compress(lines) + tool.flush()
