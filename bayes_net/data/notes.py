"""Which scans count, and notes of what was done to the tables or calls for judgement."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bayes_net import schema
from bayes_net.data.reading import TRUTH, parsed
from bayes_net.numbers import counted

WARNING, HANDLED = "warning", "handled"
EXCLUDED_PATIENTS = "excluded-patients"
"""The code of the note whose ``by_arm`` the flow of patients begins with."""


@dataclass(frozen=True)
class Note:
    """Something that was found in the tables, in counts; it never carries a patient identifier.

    ``kind`` is ``"warning"`` (a judgement call that the reader should know) or ``"handled"`` (done to
    the tables, by a declared rule). ``by_arm`` splits ``count`` over the arms where that is known.
    """

    kind: str
    code: str
    message: str
    count: int
    by_arm: tuple[tuple[str, int], ...] = ()


def usable(scans: pd.DataFrame) -> pd.Series:
    """Which scans can show a best change: after time zero and the baseline, with a known percent change."""
    return ~scans["baseline"] & (scans["time"] > 0) & scans["pchg"].notna()


def is_progression(scans: pd.DataFrame) -> pd.Series:
    """Which scans are progression by themselves: a new lesion, +20 % or more from baseline, or read as PD."""
    # 120/100 and 6/5 of a baseline are both +20 %, although their floats differ in the last digits
    grown = scans["pchg"].round(9) >= schema.PROGRESSION_PCHG
    return scans["new_lesion"] | grown | (scans["response"] == "PD")


def handled_scans(code: str, n: int, what: str) -> tuple[Note, ...]:
    """A note of scans that were handled, unless there were none."""
    return (Note(HANDLED, code, f"{counted(n, 'scan')} {what}", n),) if n else ()


def judgement_calls(
    patients: pd.DataFrame, scans: pd.DataFrame, covariates: tuple[str, ...]
) -> tuple[Note, ...]:
    """A warning note for each thing that a reader of the results should know about the tables."""
    follow_up = [name for name in ("pfs_time", "os_time", "os_event") if name in patients]
    known = scans.merge(patients[["patient", *follow_up]], on="patient", how="left")
    post = ~known["baseline"] & (known["time"] > 0)
    unheeded = known["patient"][post & is_progression(known) & (known["time"] < known["pfs_time"])].nunique()
    without = int((~patients["patient"].isin(known["patient"][usable(known)])).sum())
    after_pfs = int((known["time"] > known["pfs_time"]).sum())
    progression = f"+{schema.PROGRESSION_PCHG:g} % or more, a new lesion or PD at a scan"
    unheeded_means = f"with {progression} before PFS ended, which the endpoint does not take as progression"
    found = [
        ("scans-after-pfs", after_pfs, "scan", "after PFS ended, kept but not used"),
        ("no-post-baseline-scan", without, "patient", "without a usable scan after the baseline"),
        ("unheeded-progression", unheeded, "patient", unheeded_means),
    ]
    if "os_time" in known:
        # of living patients: a scan after death is refused, or dropped, before
        after_os = int((known["time"] > known["os_time"]).sum())
        found.append(("scans-after-os", after_os, "scan", "of living patients after OS follow-up ended"))
    notes = [Note(WARNING, code, f"{counted(n, noun)} {what}", n) for code, n, noun, what in found]
    notes += [_mixed(name, patients[name]) for name in covariates if patients[name].dtype.kind != "f"]
    return tuple(note for note in notes if note.count)


def _mixed(name: str, values: pd.Series) -> Note:
    """A covariate of categories, some of which are numbers: a mistyped number would look like this."""
    numeric = int((~parsed(values, TRUTH)[1]).sum())
    message = (
        f"{numeric} of {len(values)} values of {name} are numbers and the others text, so all are categories"
    )
    return Note(WARNING, "mixed-covariate", message, numeric)
