"""Which scans count, and notes of what was done to the tables or calls for judgement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayes_net import schema
from bayes_net.numbers import counted
from bayes_net.tables.reading import NEW_THERAPY, RECONSTRUCTED, in_order
from bayes_net.tables.values import TRUTH, parsed

WARNING, HANDLED = "warning", "handled"
RESPONSES = ("CR", "PR", "SD", "PD")
SHRUNK = ("CR", "PR")
"""Responses that mean shrinkage of at least 30 %; the others that are read mean less."""
READ = (*RESPONSES, "NON-CR/NON-PD")
"""Readings that say whether a tumour progressed."""
EXCLUDED_PATIENTS = "excluded-patients"
"""The code of the note whose ``by_arm`` the flow of patients begins with."""
ORIGIN = "origin"
"""The code of the note of where fields come from, of which a report has a table."""


@dataclass(frozen=True)
class Note:
    """Something that was found in the tables, in counts; its message never carries a patient identifier.

    ``kind`` is ``"warning"`` (a judgement call that the reader should know) or ``"handled"`` (done to
    the tables, by a declared rule). ``by_arm`` splits ``count`` over the arms where that is known. ``rows``
    are
    the first rows that it is about, for whoever has the tables; no report shows them.
    """

    kind: str
    code: str
    message: str
    count: int
    by_arm: tuple[tuple[str, int], ...] = ()
    rows: tuple[str, ...] = ()


WARNINGS = {
    "scans-after-pfs": "scans after PFS ended",
    "no-post-baseline-scan": "patients without a usable scan after the baseline",
    "unheeded-progression": "progression at a scan that PFS does not take as such",
    "responses-alone": "scans with responses and no sizes",
    "scans-after-os": "scans of living patients after OS follow-up ended",
    "mixed-covariate": "a covariate of numbers and texts",
    "long-follow-up": "follow-up of more than 30 years",
    "short-follow-up": "nobody is followed for two months",
    "scan-time-unit": "scans and PFS seem to have different units of time",
    "events-exchanged": "events look like censorings",
    "pfs-censored-at-death": "PFS is censored on the day of death",
    "scans-of-one-day": "several scans of a patient on one day, in ADaM",
    "pfs-later-than-os": "PFS ends later than OS",
    "pfs-is-os": "PFS and OS are the same",
    "missing-code": "values that look like codes for nothing",
    "sign-of-change": "responses with growth",
    "size-unit": "sums of diameters of an unlikely size",
    "labels-alike": "labels that differ in case, space or marks alone",
    "several-studies": "patients of several studies, analysed as one",
    "rounded-at-landmark": "times that are rounded to either side of a landmark",
    "arm-without-information": "an arm whose hazard ratio rests on priors",
    "thin-study": "a study whose baseline hazard has no event, or that compares no arms",
    "small-cell": "an arm of fewer than five patients at a landmark",
    "empty-interval": "cut-points beyond all follow-up",
    "constant-covariate": "a covariate that is the same in all patients at risk",
    "covariate-without-events": "a category without an event, or with nothing else",
    "collinear-covariate": "a covariate that follows from others",
    "far-covariate": "a covariate's reference far from its values",
    "far-reference": "a shrinkage of reference far from the patients' own",
    "contradicting-priors": "hazard ratios per 10 points and of response that do not agree",
    "nobody-concerned": "no follow-up to impute",
    "error-beyond-spread": "an error of measurement that explains most differences between patients",
}
"""The codes of warnings, and what each is about: `accept` takes them."""
UNIT_DOUBTS = ("long-follow-up", "short-follow-up", "scan-time-unit")
"""Warnings that explain why nobody is at risk."""


def reconstructed_note(n: int, of: int) -> tuple[Note, ...]:
    """That ``n`` of a cohort's patients are made of a published curve, unless none is."""
    if not n:
        return ()
    who = counted(n, "patient") + ("" if n == of else f" of {of}")
    message = (
        f"{who} reconstructed from a published curve (Guyot 2012): nobody's data, but as many, with the "
        "curve and the numbers at risk that were printed; no covariates and no scans"
    )
    return (Note(HANDLED, RECONSTRUCTED, message, n),)


def accepted(notes: Iterable[Note], accept: Sequence[str]) -> tuple[Note, ...]:
    """The notes, where those that are declared to be meant warn no more."""
    return tuple(
        replace(note, kind=HANDLED, message=f"{note.message} (declared to be meant)")
        if note.kind == WARNING and note.code in accept
        else note
        for note in notes
    )


def usable(scans: pd.DataFrame) -> pd.Series:
    """Which scans can show a best change: after time zero and the baseline, with a known percent change or,
    where sizes are not known at all, a response."""
    known = scans["pchg"].notna() if "pchg" in scans else scans["response"].isin(READ)
    return ~scans["baseline"] & (scans["time"] > 0) & known


def is_progression(scans: pd.DataFrame, again: pd.Series | None = None) -> pd.Series:
    """Which scans are progression: a new lesion, +20 % or more from baseline, read as PD or, where no
    response was read, regrown from the smallest size until then as RECIST 1.1 has it (``again``, if that is
    known already). Where the endpoint says which scans are (``progression``), it is those."""
    if "progression" in scans:
        return scans["progression"]
    if "pchg" not in scans:
        return scans["new_lesion"] | (scans["response"] == "PD")
    # 120/100 and 6/5 of a baseline are both +20 %, although their floats differ in the last digits
    grown = scans["pchg"].round(9) >= schema.PROGRESSION_PCHG
    unread = ~scans["response"].isin(RESPONSES)
    return (
        scans["new_lesion"]
        | grown
        | (scans["response"] == "PD")
        | (unread & (regrown(scans) if again is None else again))
    )


def regrown(scans: pd.DataFrame) -> pd.Series:
    """Which scans are +20 % or more over the smallest size of their patient until then, the baseline among
    them, and by 5 mm or more where sizes are known (Eisenhauer et al. 2009,
    doi:10.1016/j.ejca.2008.10.026)."""
    if "pchg" not in scans:
        return pd.Series(False, index=scans.index)
    # numbers in the place of identifiers: texts are slow to sort and to group by
    who = pd.factorize(scans["patient"])[0]
    order = in_order(who, scans["time"].to_numpy(float))
    who, share = who[order], 100 + scans["pchg"].to_numpy(float)[order]
    least = pd.Series(share).fillna(np.inf).groupby(who).cummin().to_numpy()
    before = np.where(np.diff(who, prepend=-1) == 0, np.concatenate([[np.inf], least])[: len(who)], np.inf)
    nadir = np.minimum(before, 100.0)
    grown = (share > nadir) & (np.round(share - nadir * (1 + schema.PROGRESSION_PCHG / 100), 9) >= 0)
    if "sld" in scans:
        at = np.isin(who, who[grown])
        baseline = scans["sld"].to_numpy(float)[order][at] / np.where(share > 0, share, np.nan)[at] * 100
        unit = pd.Series(baseline).groupby(who[at]).transform("median").to_numpy()
        grown[at] &= np.round((share - nadir)[at] * unit / 100, 6) >= schema.PROGRESSION_MM
    found = np.empty(len(order), dtype=bool)
    found[order] = grown
    return pd.Series(found, index=scans.index)


def handled_scans(code: str, n: int, what: str) -> tuple[Note, ...]:
    """A note of scans that were handled, unless there were none."""
    return (Note(HANDLED, code, f"{counted(n, 'scan')} {what}", n),) if n else ()


def after_new_therapy(patients: pd.DataFrame, scans: pd.DataFrame) -> pd.Series:
    """Which scans are later than the day on which their patient began a new anticancer therapy."""
    if NEW_THERAPY not in patients:
        return pd.Series(False, index=scans.index)
    began = scans["patient"].map(patients.set_index("patient")[NEW_THERAPY]).astype(float)
    return scans["time"] > began


def new_therapy_note(patients: pd.DataFrame, scans: pd.DataFrame) -> tuple[Note, ...]:
    """That scans after a new therapy show no shrinkage, unless there are none."""
    later = after_new_therapy(patients, scans)
    of = counted(scans["patient"][later].nunique(), "patient")
    what = f"of {of} after a new anticancer therapy, not counted to the best shrinkage"
    return handled_scans("scans-after-new-therapy", int(later.sum()), what)


def judgement_calls(
    patients: pd.DataFrame, scans: pd.DataFrame, covariates: tuple[str, ...]
) -> tuple[Note, ...]:
    """A warning note for each thing that a reader of the results should know about the tables."""
    follow_up = patients.set_index("patient")
    end = {
        name: scans["patient"].map(follow_up[name]).astype(float)
        for name in ("pfs_time", "os_time")
        if name in follow_up
    }
    post = ~scans["baseline"] & (scans["time"] > 0)
    again = regrown(scans)
    progressed = is_progression(scans, again) | again
    ended = end.get("pfs_time", pd.Series(np.nan, index=scans.index))
    unheeded = scans["patient"][post & progressed & (scans["time"] < ended)].nunique()
    shows = scans["patient"][usable(scans) & ~after_new_therapy(patients, scans)].unique()
    without = int((~patients["patient"].isin(shows)).sum())
    after_pfs = int((scans["time"] > ended).sum())
    progression = (
        f"+{schema.PROGRESSION_PCHG:g} % or more over baseline or nadir, a new lesion or PD at a scan"
    )
    unheeded_means = f"with {progression} before PFS ended, which the endpoint does not take as progression"
    found = [
        ("scans-after-pfs", after_pfs, "scan", "after PFS ended, kept but not used"),
        ("no-post-baseline-scan", without, "patient", "without a usable scan after the baseline"),
        ("unheeded-progression", unheeded, "patient", unheeded_means),
    ]
    if "os_time" in end:
        # of living patients: a scan after death is refused, or dropped, before
        after_os = int((scans["time"] > end["os_time"]).sum())
        found.append(("scans-after-os", after_os, "scan", "of living patients after OS follow-up ended"))
    if "pchg" not in scans:
        what = "with responses and no sizes: only whether shrinkage reached 30 % is known (CR, PR)"
        found.append(("responses-alone", len(scans), "scan", what))
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
