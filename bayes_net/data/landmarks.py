"""Who is at risk at each landmark, the best shrinkage that was known by then, and who left on the way.

At a landmark the clock restarts for patients who are still at risk (``time > landmark``), with the best
percent change over their post-baseline scans up to the landmark and not after the end of PFS. Patients
without such a scan, or whose every such scan is progression, are left out (Pavel 2025, section 2.3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from bayes_net import schema
from bayes_net.data.assessments import VISIT, assessed_before, assessments, last_assessments, shown_scans
from bayes_net.data.cohort import Cohort
from bayes_net.display import notebook_html
from bayes_net.errors import InputError, listed
from bayes_net.labels import landmark_label
from bayes_net.tables.notes import EXCLUDED_PATIENTS, Note
from bayes_net.tables.reading import months_on_grid

ALL_PATIENTS = "all patients"
EXCLUDED = "excluded by the specification"
PROGRESSED = "progressed or died by the landmark"
DIED = "died by the landmark"
CENSORED = "censored by the landmark"
NO_SCAN = "no post-baseline scan by the landmark"
PROGRESSION_BEST = "best response is progression"
ANALYSED = "analysed"
AT_ONCE = schema.Duration(0.0, "d")
"""Scans belong to a landmark until its very day, as published."""


@dataclass(frozen=True)
class Landmark:
    """A time from which the clock restarts (``months``), with scans counted until ``limit`` months."""

    label: str
    months: float
    limit: float

    @property
    def biased(self) -> bool:
        """True for ``no limit``, which conditions on the future."""
        return self.label == schema.NO_LIMIT


@dataclass(frozen=True, eq=False)
class LandmarkSet:
    """The analysed patients of every landmark (``table``) and who left on the way (``attrition``).

    ``table`` has one row a landmark and patient: landmark, patient, study, arm, shrinkage (percentage points,
    positive when smaller; NaN only for intention to treat without a scan), responded (the shrinkage that a
    response is told from, at scans that are not progression and confirmed where that is asked for; NaN where
    there is none), time (months from the
    landmark), event (0/1), last_assessment (months from the landmark, negative before it, of the last
    assessment without progression; NaN for deaths), assessed_before (months from
    the last assessment without progression until the landmark to the landmark), covariates.
    Where responses alone were read (not ``sized``), shrinkage is 30 for a
    complete or partial response, and else 0. ``attrition`` has landmark, arm, reason and n, in the order of
    flow.
    """

    table: pd.DataFrame
    attrition: pd.DataFrame
    landmarks: tuple[Landmark, ...]
    arms: tuple[str, ...]
    covariates: tuple[str, ...]
    endpoint: str
    population: str
    intention_to_treat: bool = False
    synthetic: bool = False
    sized: bool = True
    notes: tuple[Note, ...] = ()
    studies: tuple[str, ...] = ()

    def landmark(self, label: str) -> Landmark:
        """The landmark of this label, or of any text that means it: "150 d", "150d"."""
        labels = {landmark.label: landmark for landmark in self.landmarks}
        label = label if label in labels else _label(label)
        if label not in labels:
            raise InputError(f"landmark {label!r} is not in this set; expected one of {', '.join(labels)}")
        return labels[label]

    def at(self, label: str) -> pd.DataFrame:
        """The analysed patients of one landmark, by its label or any text that means it: "150 d", "150d"."""
        return self.table[self.table["landmark"] == self.landmark(label).label].reset_index(drop=True)

    def __repr__(self) -> str:
        counts = self.table["landmark"].value_counts()
        sizes = ", ".join(f"{landmark.label} {counts.get(landmark.label, 0)}" for landmark in self.landmarks)
        kind = "synthetic landmark set" if self.synthetic else "landmark set"
        return f"<{kind}: {schema.ENDPOINT_LABELS[self.endpoint]}, patients analysed: {sizes}>"

    def _repr_html_(self) -> str:

        counts = self.table.groupby(["landmark", "arm"])["event"].agg(["size", "sum"])
        columns = [[landmark_label(landmark.label, landmark.biased) for landmark in self.landmarks]]
        for arm in self.arms:
            own = counts.reindex([(landmark.label, arm) for landmark in self.landmarks], fill_value=0)
            columns.append([f"{n} ({events})" for n, events in own.itertuples(index=False)])
        at_risk = pd.DataFrame(zip(*columns, strict=True), columns=["Landmark", *self.arms])
        endpoint = schema.ENDPOINT_LABELS[self.endpoint]
        facts = [
            f"Endpoint: {endpoint}; population: {self.population}",
            "Patients without a scan count as not responding" * self.intention_to_treat,
            f"Covariates: {', '.join(self.covariates) or 'none'}",
            *(f"{note.kind.capitalize()}: {note.message}" for note in self.notes),
        ]
        return notebook_html(
            "Synthetic landmark set" if self.synthetic else "Landmark set",
            filter(None, facts),
            tables={f"At risk and analysed ({endpoint} events)": at_risk},
            folded={"Who left, and why": attrition_table(self.attrition)},
        )


def landmark_times(
    items: Sequence[str | Landmark], *, scan_window: str | schema.Duration = AT_ONCE
) -> tuple[Landmark, ...]:
    """Landmarks of durations such as ``"150d"`` or ``"36w"`` and ``"no limit"``, in order of time.

    ``no limit`` comes last: its clock starts at randomisation, and its scans have no limit but PFS. The
    others lie ``scan_window`` later than they are called (``landmark``), but for time zero.
    """
    if isinstance(items, str) or not items:
        raise InputError(f'landmarks are {items!r}; expected a list such as ["150d", "36w", "no limit"]')
    later = schema.duration(scan_window).months
    times = sorted((_landmark(item, later) for item in items), key=lambda landmark: landmark.limit)
    twice = [later.label for earlier, later in pairwise(times) if earlier.limit == later.limit]
    if twice:
        raise InputError(f"landmarks are the same time twice: {listed(twice)}; expected each time once")
    return tuple(times)


def _landmark(item: str | Landmark, later: float) -> Landmark:
    if isinstance(item, Landmark):
        return item
    if item == schema.NO_LIMIT:
        return Landmark(schema.NO_LIMIT, 0.0, np.inf)
    length = schema.duration(item)
    months = float(months_on_grid(length.months + later * (length.months > 0)))
    return Landmark(str(length), months, months)


def _label(text: str) -> str:
    """The label of a landmark that is written otherwise, such as "18w"; other texts as they are."""
    try:
        return str(schema.duration(text))
    except InputError:
        return text


def landmark(
    cohort: Cohort,
    times: Sequence[str | Landmark],
    *,
    endpoint: str = schema.PFS,
    population: str = schema.AT_RISK,
    intention_to_treat: bool = False,
    visit: str | schema.Duration = VISIT,
    scan_window: str | schema.Duration = AT_ONCE,
    confirmed_after: str | schema.Duration | None = None,
    progression_scans: bool = True,
) -> LandmarkSet:
    """The landmark set of a cohort: risk sets, best shrinkage by each landmark, and the flow of patients.

    ``endpoint`` is pfs or os. The ``population`` of OS is the PFS risk set, or everyone alive at the
    landmark, progressed or not: there a best response of progression does not leave, since the patient is
    at risk of death. With ``intention_to_treat`` only those no longer at risk leave; who has no scan by
    the landmark, or none without progression, stays with an unknown shrinkage, which counts as no response.
    So does everyone at ``"0d"``, time zero, where only a model without shrinkage is possible. Scans within
    ``visit`` of the date of a progression belong to the visit that showed it (``last_assessments``).

    Scans up to ``scan_window`` after a landmark belong to its visit: with ``"14d"`` a scan of the visit of
    week 36 may be as late as day 266. The whole landmark then lies so much later, for everyone: risk sets are
    of those still at risk when the window closes, and the clock starts there. Were scans alone to count
    later, who progressed within the window would have had fewer chances to show shrinkage than who did not,
    and shrinkage would look like it protects (immortal time). A clock that starts at each patient's own scan
    would know nothing of the future either, but patients' hazards would then be compared at different times
    since randomisation.

    ``responded`` is what a ``Response`` is told from: a scan with a new lesion, or progression otherwise,
    shows none. With ``confirmed_after``, ``"4w"`` by RECIST 1.1, a response counts only if a scan so much
    later, and by the landmark as well, still shows it.

    ``progression_scans=False`` counts no size at a scan that is progression. With ``alive``, where patients
    stay after progression, the scan that shows it enters as growth otherwise: who progressed has shrunk less,
    and dies sooner, whatever shrinkage does.

    Reference: Anderson, Cain & Gelber 1983, doi:10.1200/JCO.1983.1.11.710; of response, Eisenhauer et al.
    2009, doi:10.1016/j.ejca.2008.10.026.
    """
    _check_choice(cohort, endpoint, population)
    landmarks = landmark_times(times, scan_window=scan_window)
    if not intention_to_treat and landmarks[0].limit == 0:
        raise InputError(
            f"landmark {landmarks[0].label!r} is at time zero, when no scan is after the baseline; expected "
            "later, or a model without shrinkage (intention_to_treat=True; in a specification slopes = "
            '"none")'
        )
    after = None if confirmed_after is None else schema.duration(confirmed_after)
    shown, seen = shown_scans(cohort, confirmed_after=after), None
    if not progression_scans:
        shown = shown[~shown["progression"]]
    if endpoint == schema.PFS:
        scans = assessments(cohort)
        seen = scans, last_assessments(cohort, scans, visit=schema.duration(visit))
    flows = [(at, _flow(cohort, shown, at, endpoint, population, intention_to_treat)) for at in landmarks]
    tables = [_analysed(flow, each, cohort, seen) for each, flow in flows]
    attrition = [_attrition(flow, each, cohort, population) for each, flow in flows]
    return LandmarkSet(
        table=pd.concat(tables, ignore_index=True),
        attrition=pd.concat(attrition, ignore_index=True),
        landmarks=landmarks,
        arms=cohort.arms,
        covariates=cohort.covariates,
        synthetic=cohort.synthetic,
        sized=cohort.sized,
        notes=cohort.notes,
        studies=cohort.studies,
        endpoint=endpoint,
        population=population,
        intention_to_treat=intention_to_treat,
    )


def _check_choice(cohort: Cohort, endpoint: str, population: str) -> None:
    if endpoint not in cohort.endpoints:
        raise InputError(
            f"endpoint {endpoint!r} is not in this cohort; expected one of {', '.join(cohort.endpoints)}"
        )
    if population not in schema.POPULATIONS:
        raise InputError(
            f"population {population!r} is unknown; expected one of {', '.join(schema.POPULATIONS)}"
        )
    if population == schema.AT_RISK and schema.PFS not in cohort.endpoints:
        raise InputError(
            f"population {population!r} needs PFS, which this cohort does not have; expected "
            f"{schema.ALIVE!r} (os_population in a specification)"
        )
    if population == schema.ALIVE and endpoint != schema.OS:
        raise InputError(
            f"population {population!r} goes with endpoint 'os'; got {endpoint!r}, for which "
            f"progressed patients are no longer at risk: expected {schema.AT_RISK!r}"
        )


def _flow(
    cohort: Cohort,
    shown: pd.DataFrame,
    landmark: Landmark,
    endpoint: str,
    population: str,
    intention_to_treat: bool,
) -> pd.DataFrame:
    """Every patient with its best shrinkage by the landmark and the one reason that decides on it."""
    patients = cohort.patients.assign(**_best(shown, landmark, len(cohort.patients)))
    risk = schema.OS if population == schema.ALIVE else schema.PFS
    gone = patients[f"{risk}_time"] <= landmark.months
    event = patients[f"{risk}_event"] == 1
    only_progression = patients["only_progression"].eq(True)
    if intention_to_treat:  # whatever the sizes at scans with a new lesion: progression is no response
        patients["shrinkage"] = patients["shrinkage"].mask(only_progression)
    best_is_progression = only_progression & (population == schema.AT_RISK)
    in_order = {
        (DIED if population == schema.ALIVE else PROGRESSED): gone & event,
        CENSORED: gone & ~event,
        NO_SCAN: patients["shrinkage"].isna() & (not intention_to_treat),
        PROGRESSION_BEST: best_is_progression & (not intention_to_treat),
    }
    # the first reason in the order of flow takes a patient to whom several apply
    reason = np.select([out.to_numpy() for out in in_order.values()], list(in_order), default=ANALYSED)
    time = months_on_grid(patients[f"{endpoint}_time"] - landmark.months)
    return patients.assign(reason=reason, time=time, event=patients[f"{endpoint}_event"])


def _best(shown: pd.DataFrame, landmark: Landmark, n: int) -> pd.DataFrame:
    """Best shrinkage of each of ``n`` patients in the window, the best that tells of a response, and whether
    all its scans are progression."""
    by_patient = shown[shown["time"] <= landmark.limit].groupby("place")
    best = by_patient.agg(
        shrinkage=("pchg", "min"), responded=("responded", "min"), only_progression=("progression", "all")
    ).reindex(range(n))
    # 0 - x and not -x: a tumour that kept its size has shrunk by 0, not by -0
    return best.assign(shrinkage=0.0 - best["shrinkage"], responded=0.0 - best["responded"])


def _analysed(
    flow: pd.DataFrame, landmark: Landmark, cohort: Cohort, seen: tuple[pd.DataFrame, np.ndarray] | None
) -> pd.DataFrame:
    """The analysed patients; ``seen`` are all assessments of progression, and the last of every patient."""
    last, before = np.full(len(flow), np.nan), np.zeros(len(flow))
    if seen is not None:
        last, before = seen[1] - landmark.months, assessed_before(*seen, landmark.months)
    known = {"last_assessment": months_on_grid(last), "assessed_before": months_on_grid(before)}
    table = flow.assign(landmark=landmark.label, **known)
    columns = ["landmark", "patient", "study", "arm", "shrinkage", "responded", "time", "event", *known]
    return table.loc[table["reason"] == ANALYSED, [*columns, *cohort.covariates]]


def _attrition(flow: pd.DataFrame, landmark: Landmark, cohort: Cohort, population: str) -> pd.DataFrame:
    """How many of each arm left for each reason; the reasons and the analysed add up to all patients."""
    excluded = {arm: n for note in cohort.notes if note.code == EXCLUDED_PATIENTS for arm, n in note.by_arm}
    leaving = (DIED if population == schema.ALIVE else PROGRESSED, CENSORED, NO_SCAN, PROGRESSION_BEST)
    rows = []
    for arm in cohort.arms:
        counts = flow["reason"][flow["arm"] == arm].value_counts()
        left = {EXCLUDED: excluded.get(arm, 0)} | {
            reason: counts.get(reason, 0) for reason in (*leaving, ANALYSED)
        }
        rows += [
            (landmark.label, arm, reason, int(n))
            for reason, n in ({ALL_PATIENTS: sum(left.values())} | left).items()
        ]
    return pd.DataFrame(rows, columns=["landmark", "arm", "reason", "n"])


def response(table: pd.DataFrame, threshold: float) -> pd.Series:
    """1 where the tumour shrank by ``threshold`` percentage points or more, else 0, also without a scan.

    A shrinkage of exactly the threshold counts: both are compared after rounding to 9 decimals, since
    10 to 7 and 0.33 to 0.231 are both 30 % although their floats are not.
    """
    if not np.isfinite(threshold):
        raise InputError(f"response threshold is {threshold!r}; expected percentage points, such as 30")
    reached = table["shrinkage"].round(9) >= round(float(threshold), 9)
    return reached.astype(int).rename("response")


def attrition_table(attrition: pd.DataFrame) -> pd.DataFrame:
    """Per arm one row per reason, in flow order, and one column of counts per landmark.

    Reasons for which nobody left, in any arm and at any landmark, are left out.
    """
    landmarks, arms = attrition["landmark"].unique(), attrition["arm"].unique()
    counts = attrition.set_index(["arm", "reason", "landmark"])["n"]
    totals = attrition.groupby("reason", sort=False)["n"].sum()
    happened = [reason for reason, n in totals.items() if n > 0 or reason in (ALL_PATIENTS, ANALYSED)]
    heads = [
        landmark_label(name, name == schema.NO_LIMIT).replace(schema.BIASED, "biased") for name in landmarks
    ]
    body = [
        [arm, reason, *(str(int(counts.get((arm, reason, name), 0))) for name in landmarks)]
        for arm in arms
        for reason in happened
    ]
    return pd.DataFrame(body, columns=["Arm", "Reason", *heads])
