"""A small patient table and its scans, and short ways to spoil and to read them."""

import pandas as pd

from bayes_net.data.cohort import Cohort, read_cohort


def people() -> pd.DataFrame:
    rows = [
        ("007", "control", 300, 1, 500, 1, 61, "I"),
        ("008", "control", 200, 0, 200, 0, 72, "II"),
        ("009", "treated", 400, 1, 400, 1, 55, "I"),
        ("010", "treated", 350, 0, 600, 0, 48, "III"),
    ]
    return pd.DataFrame(
        rows, columns=["patient", "arm", "pfs_time", "pfs_event", "os_time", "os_event", "age", "grade"]
    ).astype(object)


def sizes() -> pd.DataFrame:
    rows = [
        ("007", -14, 100, 0, ""),
        ("007", 84, 70, 0, "PR"),
        ("007", 168, 80, 0, "SD"),
        ("008", 0, 50, 0, ""),
        ("008", 84, 45, 0, "SD"),
        ("009", -3, 80, 0, ""),
        ("009", 90, 60, 0, "SD"),
        ("010", 0, 33, 0, ""),
        ("010", 85, 33, 0, "SD"),
    ]
    return pd.DataFrame(rows, columns=["patient", "time", "size", "new_lesion", "response"]).astype(object)


def changes() -> pd.DataFrame:
    scans = sizes()
    start = scans["patient"].map({"007": 100, "008": 50, "009": 80, "010": 33})
    return scans.assign(pchg=100 * (scans["size"] - start) / start).drop(columns="size")


def read(patients=None, scans=None, **options) -> Cohort:
    patients = people() if patients is None else patients
    scans = sizes() if scans is None else scans
    defaults = {"time_unit": "days"} | ({"size_unit": "mm"} if "size" in list(scans) else {})
    return read_cohort(patients, scans, **defaults | options)


def read_csv(folder, patients=None, scans=None, **options) -> Cohort:
    (people() if patients is None else patients).to_csv(folder / "patients.csv", index=False)
    scans = sizes() if scans is None else scans
    scans.to_csv(folder / "scans.csv", index=False)
    unit = {"size_unit": "mm"} if "size" in scans else {}
    return read_cohort(
        folder / "patients.csv", folder / "scans.csv", **{"time_unit": "days"} | unit | options
    )


def changed(frame: pd.DataFrame, row: int, **values) -> pd.DataFrame:
    frame = frame.copy()
    for column, value in values.items():
        frame.loc[row, column] = value
    return frame


def with_row(frame: pd.DataFrame, *values) -> pd.DataFrame:
    return pd.concat([frame, pd.DataFrame([values], columns=frame.columns)], ignore_index=True)
