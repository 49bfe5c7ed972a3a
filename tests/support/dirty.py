"""A small invented trial that is right, and for each kind of dirt a way to soil it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

VISITS = np.arange(60, 900, 60)


def trial(n: int = 48, seed: int = 20260301) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients and scans in days and mm: exponential progression and death, scans until progression."""
    rng = np.random.default_rng(seed)
    who = [f"Q{i:03d}" for i in range(1, n + 1)]
    arm = np.where(np.arange(n) % 2, "lutetium", "control")
    progression, death = rng.exponential(420, n), rng.exponential(900, n)
    end = rng.integers(500, 980, n)
    os_time, pfs = np.minimum(death, end), np.minimum(progression, np.minimum(death, end))
    patients = pd.DataFrame(
        {
            "patient": who,
            "arm": arm,
            "pfs_time": np.floor(pfs).astype(int) + 20,
            "pfs_event": (np.minimum(progression, death) <= end).astype(int),
            "os_time": np.floor(os_time).astype(int) + 20 + (progression < np.minimum(death, end)),
            "os_event": (death <= end).astype(int),
            "age": rng.integers(40, 80, n),
            "grade": rng.integers(1, 4, n),
        }
    )
    scans = []
    for row in patients.itertuples():
        size, size0 = 40 + 80 * rng.random(), None
        drift = rng.normal(-0.06, 0.04)
        for day in (0, *VISITS[row.pfs_time > VISITS]):
            size0 = size if size0 is None else size0
            at = (
                size0
                * max(0.45, 1 + drift * min(day / 60, 4))
                * (1 + 0.01 * rng.standard_normal() * (day > 0))
            )
            scans.append((row.patient, int(day), round(at, 1)))
    return patients, pd.DataFrame(scans, columns=["patient", "time", "size"])


@dataclass
class Study:
    """Both tables and ``[data]`` and other sections of a specification, to be soiled in place."""

    patients: pd.DataFrame
    scans: pd.DataFrame
    data: dict[str, Any] = field(
        default_factory=lambda: {"time_unit": "days", "size_unit": "mm", "arms": ["control", "lutetium"]}
    )
    sections: dict[str, Any] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Both tables and the specification; its path."""
        for name, frame in (("patients", self.patients), ("scans", self.scans)):
            file = self.text.get("above", "") + frame.to_csv(index=False, sep=self.text.get("sep", ","))
            if self.text.get("sep") == ";":
                file = file.replace(".", ",")
            (folder / f"{name}.csv").write_bytes(file.encode(self.text.get("encoding", "utf-8")))
        whole = {
            "title": "dirty",
            "data": {"patients": "patients.csv", "scans": "scans.csv"} | self.data,
            "landmarks": {"times": ["120d"], "endpoints": ["pfs"]},
            "baseline": {"cuts": ["3mo", "9mo"]},
            "sampling": {"seed": 1},
        }
        for name, section in self.sections.items():
            whole[name] = whole.get(name, {}) | section if isinstance(section, dict) else section
        path = folder / "analysis.toml"
        path.write_text(tomli_w.dumps(whole), encoding="utf-8")
        return path

    def as_change(self, unit: float = 1.0) -> None:
        """Scans with percent changes in the place of sizes."""
        first = self.scans.groupby("patient")["size"].transform("first")
        self.scans["pchg"] = (unit * 100 * (self.scans.pop("size") / first - 1)).round(4)
        self.data.pop("size_unit")


def clean() -> Study:
    return Study(*trial())


def _set(frame: pd.DataFrame, rows: object, column: str, value: object) -> None:
    frame[column] = frame[column].astype(object)
    frame.loc[rows, column] = value


def cnsr(s: Study) -> None:
    s.patients["CNSR"] = 1 - s.patients.pop("pfs_event")
    s.data["patient_columns"] = {"pfs_event": "CNSR"}


def exchanged(s: Study) -> None:
    s.patients["pfs_event"] = 1 - s.patients["pfs_event"]


def fractions(s: Study) -> None:
    s.as_change(0.01)


def weeks_beside_days(s: Study) -> None:
    s.scans["time"] = s.scans["time"] / 7


def days_as_months(s: Study) -> None:
    s.data["time_unit"] = "months"


def censored_at_death(s: Study) -> None:
    died = (s.patients["os_event"] == 1) & (s.patients.index % 3 == 0)
    s.patients.loc[died, "pfs_time"] = s.patients.loc[died, "os_time"]
    s.patients.loc[died, "pfs_event"] = 0


def arm_typos(s: Study) -> None:
    del s.data["arms"]
    _set(s.patients, [1, 3], "arm", ["Lutetium", "lute tium*"])


def two_studies(s: Study) -> None:
    s.patients["study"] = np.where(s.patients.index < 20, "A", "B")


def numeric_levels(s: Study) -> None:
    s.sections["covariates"] = [{"name": "grade", "levels": ["1", "2", "3"]}]


def boolean_levels(s: Study) -> None:
    s.patients["avid"] = np.where(s.patients["grade"] > 1, "TRUE", "FALSE")
    s.sections["covariates"] = [{"name": "avid", "levels": ["FALSE", "TRUE"]}]


def covariate_is_arm(s: Study) -> None:
    s.patients["cycles"] = np.where(s.patients["arm"] == "control", 0, 4)
    s.sections |= {"covariates": [{"name": "cycles", "reference": 0}], "baseline": {"arms": "shared"}}


def sentinel_age(s: Study) -> None:
    s.patients.loc[[2, 5], "age"] = 999
    s.sections["covariates"] = [{"name": "age", "reference": 60, "scale": 10}]


def birth_year(s: Study) -> None:
    s.patients["birth"] = 2019 - s.patients["age"]
    s.sections["covariates"] = [{"name": "birth", "reference": 0}]


def sentinel_change(s: Study) -> None:
    s.as_change()
    s.scans.loc[(s.scans["time"] > 0) & (s.scans.index % 9 == 0), "pchg"] = -99.0


def yes_no(s: Study) -> None:
    s.patients["pfs_event"] = np.where(s.patients["pfs_event"] == 1, "Yes", "No")


def semicolons(s: Study) -> None:
    s.text = {"sep": ";"}


def utf16(s: Study) -> None:
    s.text = {"sep": "\t", "encoding": "utf-16"}


def latin1(s: Study) -> None:
    s.patients["arm"] = s.patients["arm"].replace("control", "contrôle")
    s.data["arms"] = ["contrôle", "lutetium"]
    s.text = {"encoding": "latin-1"}


def titles(s: Study) -> None:
    s.text = {"above": "Listing 16.2\nmade on 2026-03-01,,,\n\n"}


def unicode_minus(s: Study) -> None:
    _set(s.scans, 0, "time", "\u22123")


def zero_width(s: Study) -> None:
    _set(s.patients, 2, "patient", s.patients.loc[2, "patient"] + "\u200b")


def excel_dates(s: Study) -> None:
    for name in ("pfs_time", "os_time"):
        s.patients[name] += 43500


def one_each(s: Study) -> None:
    known = s.scans[s.scans["time"] == 120]["patient"]
    kept = s.patients[(s.patients["patient"].isin(known)) & (s.patients["pfs_event"] == 1)]
    s.patients = kept.groupby("arm").head(1).reset_index(drop=True)
    s.scans = s.scans[s.scans["patient"].isin(s.patients["patient"])]


def late_cuts(s: Study) -> None:
    s.sections["baseline"] = {"cuts": ["3mo", "8y"]}


def rounded_months(s: Study) -> None:
    s.patients.loc[[0, 1, 2], ["pfs_time", "os_time"]] = [[119, 500], [121, 500], [122, 500]]
    for name in ("pfs_time", "os_time"):
        s.patients[name] = (s.patients[name] / 30.4375).round(1)
    s.scans = s.scans[s.scans["time"] <= 60].assign(time=lambda t: (t["time"] / 30.4375).round(1))
    s.data["time_unit"] = "months"


def constant(s: Study) -> None:
    s.patients["ecog"] = 0
    s.sections["covariates"] = [{"name": "ecog", "reference": 0}]


def regrowth(s: Study) -> None:
    many = s.patients["pfs_time"] > 250
    who = s.patients["patient"][many].iloc[0]
    at = s.scans["patient"] == who
    s.scans.loc[at, "size"] = [80.0, 40.0, 38.0, 70.0, *[72.0] * (at.sum() - 4)]


@dataclass(frozen=True)
class Kind:
    """A kind of dirt: how a trial gets it, what a check says (codes of warnings, words of errors), and where
    such
    a case is in the shared folder."""

    soil: Callable[[Study], None]
    codes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    refused: bool = False
    shared: str = ""


KINDS = {
    "censoring as events": Kind(cnsr, ("events-exchanged",), ("CNSR", "event_is"), shared="01"),
    "events exchanged": Kind(exchanged, ("events-exchanged",)),
    "fractions": Kind(fractions, (), ("below 1.5", "change_unit"), refused=True, shared="02"),
    "weeks beside days": Kind(
        weeks_beside_days, ("scan-time-unit",), ("factor 7", "weeks beside days"), shared="03"
    ),
    "days as months": Kind(
        days_as_months,
        ("long-follow-up",),
        ("0 patients at risk", "time_unit = 'days'"),
        refused=True,
        shared="04",
    ),
    "censored at death": Kind(
        censored_at_death, ("pfs-censored-at-death",), ("pfs_censored_at_death",), shared="05"
    ),
    "arm typos": Kind(
        arm_typos, (), ("arms that differ only in case, space or marks",), refused=True, shared="06"
    ),
    "two studies": Kind(two_studies, shared="07"),
    "numeric levels": Kind(numeric_levels, shared="08"),
    "boolean levels": Kind(boolean_levels, shared="09"),
    "covariate is the arm": Kind(
        covariate_is_arm, ("collinear-covariate",), ("cycles follows from arm",), shared="10"
    ),
    "sentinel in a covariate": Kind(sentinel_age, ("missing-code",), ("999", "missing_codes"), shared="12-"),
    "birth year from 0": Kind(birth_year, ("far-covariate",), ("birth = 0",), shared="12d"),
    "sentinel in pchg": Kind(sentinel_change, ("missing-code",), ("-99",), shared="13"),
    "yes and no": Kind(yes_no, (), ("not 0 or 1", "event_is"), refused=True, shared="15"),
    "semicolons": Kind(semicolons, (), ("semicolons", "decimal commas"), shared="17"),
    "UTF-16": Kind(utf16, (), ("utf-16", "tabs"), shared="18"),
    "latin-1": Kind(latin1, (), ("cp1252",)),
    "titles": Kind(titles, (), ("2 rows above the header",), shared="20"),
    "Unicode minus": Kind(unicode_minus, (), ("U+2212 MINUS SIGN",), refused=True, shared="21"),
    "zero-width space": Kind(zero_width, (), ("U+200B ZERO WIDTH SPACE",), refused=True, shared="22"),
    "Excel dates": Kind(excel_dates, (), ("110 years", "Excel"), refused=True, shared="26b"),
    "one patient each": Kind(one_each, ("small-cell",), ("1 patient at risk",), shared="29"),
    "cuts beyond follow-up": Kind(late_cuts, ("empty-interval",), ("beyond all follow-up",), shared="30"),
    "rounded months": Kind(rounded_months, ("rounded-at-landmark",), ("tenths of months",), shared="37"),
    "constant covariate": Kind(
        constant, ("constant-covariate",), ("no hazard ratio of it is printed",), shared="41"
    ),
    "regrowth": Kind(regrowth, ("unheeded-progression",), ("over baseline or nadir",), shared="80"),
}
