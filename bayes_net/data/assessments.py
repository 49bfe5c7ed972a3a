"""Between which assessments a progression happened.

Progression is seen at a visit, after it has happened. What is known is that it lies between the last
assessment without it and the one that showed it: interval censoring. A death is known to the day.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_net.data.cohort import Cohort
from bayes_net.schema import OS, PFS, Duration
from bayes_net.tables.notes import READ, is_progression
from bayes_net.tables.reading import PFS_LEFT

BETWEEN_SCANS, AT_THE_SCAN = "between scans", "at the scan"
PROGRESSION = (BETWEEN_SCANS, AT_THE_SCAN)
"""When a progression is taken to have happened."""
VISIT = Duration(14, "d")
"""A scan dated so shortly before the progression, or after it, belongs to the visit that showed it."""


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
        progressed = event & ~((people["os_event"] == 1) & (people["os_time"] <= end)).to_numpy()
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
