"""What assessments show: shrinkage, and between which of them a progression happened.

Progression is seen at a visit, after it has happened. What is known is that it lies between the last
assessment without it and the one that showed it: interval censoring. A death is known to the day.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from bayes_net.data.cohort import Cohort
from bayes_net.errors import InputError
from bayes_net.numbers import counted
from bayes_net.schema import DAYS_PER_MONTH, OS, PFS, Duration
from bayes_net.tables.notes import HANDLED, READ, SHRUNK, Note, after_new_therapy, is_progression, usable
from bayes_net.tables.reading import NEW_THERAPY, PFS_LEFT

BETWEEN_SCANS, AT_THE_SCAN = "between scans", "at the scan"
PROGRESSION = (BETWEEN_SCANS, AT_THE_SCAN)
"""When a progression is taken to have happened."""
VISIT = Duration(14, "d")
"""A scan dated so shortly before the progression, or after it, belongs to the visit that showed it."""
RESPONSE_POINTS = 30.0
"""Shrinkage in points from which a tumour has responded (RECIST 1.1)."""
TREATMENT_POLICY, CENSORED_THERE = "treatment policy", "censored"
NEW_THERAPIES = (TREATMENT_POLICY, CENSORED_THERE)
"""What a new anticancer therapy is to follow-up: a part of it, or its end."""
NEW_THERAPY_REASON = "new anticancer therapy"
"""Why follow-up ended, of patients who are censored there."""


def assessments(cohort: Cohort) -> pd.DataFrame:
    """Scans with the ``place`` of their patient, ``time``, and whether they are ``clear``: assessments, by
    size or reading, that did not show progression."""
    scans = cohort.scans
    seen = scans["response"].isin(READ)
    if cohort.sized:
        seen |= scans["pchg"].notna()
    place = pd.Index(cohort.patients["patient"]).get_indexer(scans["patient"])
    clear = (seen & ~is_progression(scans)).to_numpy(bool)
    return pd.DataFrame({"place": place, "time": scans["time"].to_numpy(float), "clear": clear})


def ended_by_progression(cohort: Cohort) -> np.ndarray:
    """Which patients' PFS ended by progression, (patient,), where OS tells it from death: PFS that ends with
    OS is a death."""
    people = cohort.patients
    died = (people["os_event"] == 1) & (people["os_time"] <= people["pfs_time"])
    return ((people["pfs_event"] == 1) & ~died).to_numpy(bool)


def last_assessments(cohort: Cohort, scans: pd.DataFrame, *, visit: Duration = VISIT) -> np.ndarray:
    """Months of the last assessment at which each patient, (patient,), was free of progression: before the
    one that showed it, or before censoring. 0 where there was none after randomisation; NaN where PFS ended
    by death, or it is not known.

    From the column ``pfs_left`` of the patients where it is given, else from their ``scans``
    (``assessments``): the last that is not progression and, if PFS ended by progression, more than ``visit``
    before that. A visit that was missed, or is not in the table, widens the interval. PFS that ends with OS
    is a death. Where OS is not known, PFS ended by progression if there is a scan within ``visit`` of its
    end, and else on a day that is taken as known.
    """
    people = cohort.patients
    if PFS not in cohort.endpoints:
        return np.full(len(people), np.nan)
    end, event = people["pfs_time"].to_numpy(float), people["pfs_event"].to_numpy() == 1
    before = end[scans["place"]] - scans["time"]
    if OS in cohort.endpoints:
        progressed = ended_by_progression(cohort)
    else:
        at_end = scans["place"][np.abs(before) <= visit.months]
        progressed = event & np.isin(np.arange(len(people)), at_end)
    last = np.full(len(people), np.nan)
    if len(scans):
        in_time = np.where(progressed[scans["place"]], before > visit.months, before >= 0)
        known = _latest(scans[scans["clear"] & in_time], len(people))
        last = np.where(progressed | ~event, known, np.nan)
    given = people[PFS_LEFT].to_numpy(float) if PFS_LEFT in people else last
    return np.where(np.isnan(given), last, given)


def assessed_before(scans: pd.DataFrame, last: np.ndarray, months: float) -> np.ndarray:
    """Months from each patient's last assessment without progression until ``months``, to ``months``.

    Until that assessment, and no longer, who is at risk at ``months`` is known to be free of progression.
    ``scans`` are the ``assessments``, ``last`` the ``last_assessments``. 0 where no scan tells.
    """
    if not len(scans):
        return np.zeros(len(last))
    until = np.fmin(months, np.where(np.isnan(last), np.inf, last))
    known = _latest(scans[scans["clear"] & (scans["time"] <= until[scans["place"]])], len(last))
    return months - np.where(last <= months, last, known)


def _latest(scans: pd.DataFrame, n: int) -> np.ndarray:
    """The latest time of each patient, (patient,), at least 0, randomisation."""
    latest = np.zeros(n)
    np.maximum.at(latest, scans["place"].to_numpy(), scans["time"].to_numpy())
    return latest


def shown_scans(cohort: Cohort, *, confirmed_after: Duration | None = None) -> pd.DataFrame:
    """Scans that can show shrinkage: usable ones until the end of PFS, or of OS where that alone is known,
    and until a new anticancer therapy, to which later changes may belong. The place of their patient, the
    time, the change, whether they are progression, and the change that a response may be told from
    (``responded``): none at a scan that is progression, which by RECIST 1.1 a new lesion makes it whatever
    the sum of target lesions; of others their own or, with ``confirmed_after``, the part of it that an
    earlier scan had shown so long before."""
    scans = cohort.scans[usable(cohort.scans) & ~after_new_therapy(cohort.patients, cohort.scans)]
    place = pd.Index(cohort.patients["patient"]).get_indexer(scans["patient"])
    end = cohort.patients[f"{cohort.endpoints[0]}_time"].to_numpy()[place]
    change = scans["pchg"] if cohort.sized else scans["response"].isin(SHRUNK) * -RESPONSE_POINTS
    shown = scans[["time"]].assign(pchg=change, place=place, progression=is_progression(scans))
    shown = shown[shown["time"] <= end]
    clear = shown[~shown["progression"]]
    told = clear["pchg"] if confirmed_after is None else _confirmed(clear, confirmed_after)
    return shown.assign(responded=told.reindex(shown.index))


def _confirmed(clear: pd.DataFrame, after: Duration) -> pd.Series:
    """The smaller of a scan's shrinkage and the greatest of the scans at least ``after`` before it, as a
    change; NaN without such a scan."""
    in_order = clear.sort_values(["place", "time"], kind="stable")
    place = in_order["place"].to_numpy()
    best = in_order.groupby("place")["pchg"].cummin().to_numpy()
    # in whole millionths of a day, the grid of times, patients one after the other
    time = np.round(in_order["time"].to_numpy() * DAYS_PER_MONTH * 1e6).astype(np.int64)
    at = place * (time.max(initial=0) + 1) + time
    earlier = np.searchsorted(at, at - round(after.days * 1e6), side="right") - 1
    there = (earlier >= 0) & (place[earlier] == place)
    found = np.where(there, np.maximum(in_order["pchg"].to_numpy(float), best[earlier]), np.nan)
    return pd.Series(found, index=in_order.index)


def censor_at_new_therapy(cohort: Cohort) -> Cohort:
    """The cohort with PFS and OS censored on the day on which a new anticancer therapy began; an event on
    that very day counts.

    Without it follow-up goes on: treatment policy. With it the estimand is hypothetical, as if no such
    therapy were given, under the assumption that who began one would have fared like others with the same
    shrinkage and covariates: in doubt above all for OS, since new therapies begin because tumours progress.
    ``reasons`` then say of those patients that their follow-up ended by "new anticancer therapy".

    Reference: ICH E9(R1), 2019, A.3.2.

    Raises
    ------
    InputError
        The patients have no column new_therapy_time.
    """
    people = cohort.patients
    if NEW_THERAPY not in people:
        raise InputError(
            f"follow-up is to be censored at new therapies, but patients have no {NEW_THERAPY}; expected that"
            f' column of the patient table, or landmarks.new_therapy = "{TREATMENT_POLICY}"'
        )
    began = people[NEW_THERAPY].to_numpy(float)
    columns, said = {}, []
    reasons = people[["patient"]] if cohort.reasons is None else cohort.reasons
    for endpoint in cohort.endpoints:
        time = people[f"{endpoint}_time"].to_numpy(float)
        later = began < time
        columns[f"{endpoint}_time"] = np.where(later, began, time)
        columns[f"{endpoint}_event"] = np.where(later, 0, people[f"{endpoint}_event"])
        name = f"{endpoint}_reason"
        known = reasons[name] if name in reasons else pd.Series(None, index=reasons.index, dtype=object)
        there = reasons["patient"].isin(people["patient"][later])
        reasons = reasons.assign(**{name: known.astype(object).mask(there, NEW_THERAPY_REASON)})
        said.append(f"{endpoint.upper()} of {counted(int(later.sum()), 'patient')}")
    if PFS_LEFT in people:  # of an assessment that is not part of follow-up any more nothing is known
        left = people[PFS_LEFT].to_numpy(float)
        columns[PFS_LEFT] = np.where(left > columns[f"{PFS}_time"], np.nan, left)
    n = int((began < people[f"{cohort.endpoints[-1]}_time"]).sum())
    note = Note(
        HANDLED, "censored-at-new-therapy", f"{' and '.join(said)} censored at a new anticancer therapy", n
    )
    notes = (*cohort.notes, note)
    return replace(cohort, patients=people.assign(**columns), reasons=reasons, notes=notes)
