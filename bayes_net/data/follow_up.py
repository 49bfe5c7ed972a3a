"""Follow-up that is more than one time from a landmark: with the best shrinkage so far, every patient's time
at risk once, in stretches of one value; and from state to state, with progression on the way to death."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayes_net.data.assessments import (
    AT_THE_SCAN,
    BETWEEN_SCANS,
    VISIT,
    assessments,
    ended_by_progression,
    last_assessments,
    shown_scans,
)
from bayes_net.data.cohort import Cohort
from bayes_net.data.exposure import Exposure, checked_progression, of_studies
from bayes_net.data.intervals import PER_STUDY, checked_cuts
from bayes_net.data.landmarks import LandmarkSet
from bayes_net.data.terms import (
    Covariate,
    Measure,
    Response,
    Shrinkage,
    WithoutShrinkage,
    check_measure,
    of_landmarks,
)
from bayes_net.errors import InputError, listed
from bayes_net.schema import ALIVE, ARM, OS, PFS, STUDY, Duration, duration
from bayes_net.tables.reading import months_on_grid

TIME_DEPENDENT, NO_JOINT_MODEL = "time-dependent", "none"
JOINT = (TIME_DEPENDENT, NO_JOINT_MODEL)
"""What stands beside the models of the landmarks."""
NEVER_AT_RISK = "no scan without progression before follow-up ended"
"""Why patients do not enter."""
PROGRESSED = "progressed"
"""The covariate of OS that is 1 from progression on."""
TO_PROGRESSION, DEATH_BEFORE, DEATH_AFTER = (
    "progression",
    "death before progression",
    "death after progression",
)
TRANSITIONS = (TO_PROGRESSION, DEATH_BEFORE, DEATH_AFTER)
"""Steps between the states of an illness-death model: without progression, with it, dead."""


def time_dependent(
    cohort: Cohort,
    *,
    endpoint: str = PFS,
    cuts: Sequence[float | Duration] | np.ndarray,
    measure: Measure = Shrinkage(),
    covariates: Sequence[Covariate] = (),
    progression: str = AT_THE_SCAN,
    visit: str | Duration = VISIT,
    intention_to_treat: bool = False,
    confirmed_after: str | Duration | None = None,
    studies: str = PER_STUDY,
) -> Exposure:
    """All follow-up, with the best shrinkage until then as a covariate that depends on time.

    The clock starts at randomisation. Patients are at risk from their first scan without progression on
    (delayed entry), and their follow-up is one stretch for every value that the best shrinkage so far takes:
    a value counts from the scan that shows it, and never before. Every month at risk is counted once, where
    landmarks count it again and again. With ``intention_to_treat``, for a ``Response``, patients are at risk
    from randomisation, as not responding until a scan shows that they do.

    With ``confirmed_after`` a ``Response`` counts only if a scan so much later still shows it, and from that
    scan on (``landmark``).

    ``progression`` and ``studies`` are those of ``expose``, ``visit`` that of ``landmark``. OS has the
    covariate ``progressed`` where PFS is known: tumours are not followed after progression, so that who
    progressed early has shown little shrinkage, and without it this would look like an association. ``cuts``
    are inner cut-points in months (or durations) from randomisation.

    Reference: Andersen and Gill 1982, doi:10.1214/aos/1176345976; of a response, Mantel and Byar 1974,
    doi:10.1080/01621459.1974.10480131.

    Raises
    ------
    InputError
        There is no event after a first scan, the measure is without shrinkage or not known, or the cut-points
        are not positive and rising.
    """
    if endpoint not in cohort.endpoints:
        raise InputError(
            f"endpoint {endpoint!r} is not in this cohort; expected one of {', '.join(cohort.endpoints)}"
        )
    asked = {"intention_to_treat": intention_to_treat, "confirmed_after": confirmed_after is not None}
    given = [name for name, value in asked.items() if value]
    if isinstance(measure, WithoutShrinkage) or (given and not isinstance(measure, Response)):
        raise InputError(
            f"{measure.label}{f' with {listed(given)}' if given else ''}: expected Shrinkage, or a Response, "
            "which alone may be by intention to treat or confirmed"
        )
    check_measure(measure, sized=cohort.sized)
    checked_progression(progression)
    after = None if confirmed_after is None else duration(confirmed_after)
    table = _stretches(cohort, endpoint, progression, visit, intention_to_treat, after)
    if not table["event"].sum():
        raise InputError(
            f"{endpoint.upper()} over all follow-up: {table['place'].nunique()} patients at risk after a "
            "scan and no event; a hazard cannot be learnt"
        )
    terms = (*covariates, *([Covariate(PROGRESSED)] if PROGRESSED in table else []))
    terms = tuple(each.with_knots(cohort.patients.get(each.name)) for each in terms)
    columns = [covariate.values(table) for covariate in terms]
    last = table["last_assessment"].to_numpy(float)
    return Exposure(
        time=table["time"].to_numpy(float),
        event=table["event"].to_numpy(float),
        arm=pd.Categorical(table[ARM], categories=cohort.arms).codes.astype(int),
        score=measure.score(table["shrinkage"].to_numpy(float)),
        covariates=np.hstack(columns) if columns else np.empty((len(table), 0)),
        cuts=checked_cuts(cuts),
        arms=cohort.arms,
        covariate_names=tuple(name for covariate in terms for name in covariate.columns),
        measure=measure,
        terms=terms,
        last_assessment=None if np.isnan(last).all() else last,
        entry=table["entry"].to_numpy(float),
        patient=np.unique(table["place"], return_inverse=True)[1],
        **of_studies(table, cohort.studies, studies),
    )


def _stretches(
    cohort: Cohort,
    endpoint: str,
    progression: str,
    visit: str | Duration,
    intention_to_treat: bool,
    confirmed_after: Duration | None,
) -> pd.DataFrame:
    """A row for every stretch: place of the patient, shrinkage, entry, time, event, last_assessment, what is
    known of the patient and, of OS, whether after progression."""
    people, n = cohort.patients, len(cohort.patients)
    end, event = people[f"{endpoint}_time"].to_numpy(float), people[f"{endpoint}_event"].to_numpy(float)
    last = np.full(n, np.nan)
    if endpoint == PFS and progression == BETWEEN_SCANS:
        last = last_assessments(cohort, assessments(cohort), visit=duration(visit))
    changes = _improvements(cohort, np.fmin(end, np.where(event == 1, last, np.nan)), confirmed_after)
    if intention_to_treat:
        start = pd.DataFrame({"place": np.arange(n), "entry": 0.0, "shrinkage": np.nan})
        changes = pd.concat([start, changes], ignore_index=True)
    progressed = _progressed(cohort) if endpoint == OS and PFS in cohort.endpoints else None
    if progressed is not None:
        who = np.flatnonzero(np.isin(np.arange(n), changes["place"]) & (progressed < end))
        later = pd.DataFrame({"place": who, "entry": progressed[who]})
        changes = pd.concat([changes, later], ignore_index=True)
    changes = changes.sort_values(["place", "entry"], kind="stable").drop_duplicates(["place", "entry"])
    changes = changes[changes["entry"] < end[changes["place"]]]
    changes["shrinkage"] = changes.groupby("place")["shrinkage"].ffill()
    place = changes["place"].to_numpy()
    following = changes.groupby("place")["entry"].shift(-1).to_numpy()
    final = np.isnan(following)
    found = changes.assign(
        time=months_on_grid(np.where(final, end[place], following)),
        event=np.where(final, event[place], 0.0),
        last_assessment=np.where(final, last[place], np.nan),
    )
    if progressed is not None:
        found[PROGRESSED] = (found["entry"].to_numpy() >= progressed[place]).astype(float)
        if PROGRESSED in cohort.covariates:
            raise InputError(f"a covariate is named {PROGRESSED!r}, as that of progression; rename it")
    known = people.iloc[place][[STUDY, ARM, *cohort.covariates]].reset_index(drop=True)
    return pd.concat([found.reset_index(drop=True), known], axis=1)


def _improvements(cohort: Cohort, until: np.ndarray, confirmed_after: Duration | None) -> pd.DataFrame:
    """The scans that show more shrinkage than any before, of each patient, until these months: place, entry
    and shrinkage. Scans that are progression show none; none is known where it is not confirmed."""
    scans = shown_scans(cohort, confirmed_after=confirmed_after)
    scans = scans[~scans["progression"] & (scans["time"] <= until[scans["place"]])]
    scans = scans.assign(shrinkage=(0.0 - scans["responded"]).fillna(-np.inf)).sort_values(
        ["place", "time", "shrinkage"], ascending=[True, True, False], kind="stable"
    )
    before = scans.groupby("place")["shrinkage"].cummax().groupby(scans["place"]).shift(1)
    better = scans[before.isna() | (scans["shrinkage"] > before)]
    better = better[["place", "time", "shrinkage"]].rename(columns={"time": "entry"})
    return better.replace({"shrinkage": {-np.inf: np.nan}}).reset_index(drop=True)


def _progressed(cohort: Cohort) -> np.ndarray:
    """Months of each patient's progression, as PFS has it; infinite where PFS ended otherwise."""
    return np.where(ended_by_progression(cohort), cohort.patients["pfs_time"].to_numpy(float), np.inf)


def transitions(
    cohort: Cohort,
    landmarks: LandmarkSet,
    label: str,
    *,
    cuts: Mapping[str, Sequence[float | Duration] | np.ndarray] | None = None,
    measure: Measure = Shrinkage(),
    covariates: Sequence[Covariate] = (),
    studies: str = PER_STUDY,
) -> dict[str, Exposure]:
    """The patients at the landmark ``label`` in each of the ``TRANSITIONS`` of an illness-death model.

    ``landmarks`` are those of overall survival, of ``cohort``. Its patients who are without progression at
    the landmark are at risk of progression and of death before it, from the landmark on. From the day of
    their progression they are at risk of death after it (delayed entry), all on one clock that starts at the
    landmark; so are, where the population is ``alive``, those who had progressed before the landmark, by
    their shrinkage until then. States are those that are documented: progression is on the day that PFS has.
    Where PFS is censored before OS, the state is not known from then on, and follow-up ends.

    ``studies`` are those of ``expose``. ``cuts`` are inner cut-points of each transition in months from the
    landmark; without, a hazard is constant. A transition may be without events: its hazard is then the
    prior's, pulled down by the time at risk.

    Reference: Andersen and Keiding 2002, doi:10.1191/0962280202sm276ra.

    Raises
    ------
    InputError
        The cohort lacks PFS or OS, the landmarks are of another endpoint or keep patients without a scan,
        nobody has an event, or the cut-points are not positive and rising.
    """
    if cohort.endpoints != (PFS, OS) or landmarks.endpoint != OS:
        raise InputError(
            f"transitions of {' and '.join(cohort.endpoints)} at landmarks of {landmarks.endpoint}; expected "
            "a cohort with PFS and OS, and its landmarks for OS"
        )
    if landmarks.intention_to_treat:
        raise InputError("transitions are of patients with a scan; landmark without intention_to_treat")
    check_measure(measure, sized=landmarks.sized)
    measure = of_landmarks(measure, landmarks)
    table, people = landmarks.at(label), cohort.patients
    place = pd.Index(people["patient"]).get_indexer(table["patient"])
    start = landmarks.landmark(label).months

    def since(months: np.ndarray) -> np.ndarray:
        return np.asarray(months_on_grid(months[place] - start))

    left = since(people[f"{PFS}_time"].to_numpy(float))
    progressed = since(_progressed(cohort))
    ended, died = since(people[f"{OS}_time"].to_numpy(float)), people[f"{OS}_event"].to_numpy(float)[place]
    without = left > 0  # progression at the landmark's very day has happened
    after = (
        np.isfinite(progressed) & (progressed < ended) & ((progressed > 0) | (landmarks.population == ALIVE))
    )
    dies_without = (people[f"{PFS}_event"].to_numpy(float)[place] == 1) & ~np.isfinite(progressed)
    rows = {
        TO_PROGRESSION: (without, np.isfinite(progressed), left),
        DEATH_BEFORE: (without, dies_without, left),
        DEATH_AFTER: (after, died == 1, ended),
    }
    # who had progressed is known by what shrank until then: the scan that shows progression shows growth
    of_response = isinstance(measure, Response)
    points = table["responded"] if of_response else table["shrinkage"].where(without, table["responded"])
    entry = np.maximum(np.where(np.isfinite(progressed), progressed, 0.0), 0.0)
    columns = [covariate.values(table) for covariate in covariates]
    every = np.hstack(columns) if columns else np.empty((len(table), 0))
    arm = pd.Categorical(table[ARM], categories=landmarks.arms).codes.astype(int)
    found = {}
    for name, (at_risk, event, time) in rows.items():
        keep = at_risk & (of_response | points.notna().to_numpy())
        found[name] = Exposure(
            time=time[keep],
            event=event[keep].astype(float),
            arm=arm[keep],
            score=measure.score(points.to_numpy(float)[keep]),
            covariates=every[keep],
            cuts=checked_cuts((cuts or {}).get(name, ())),
            arms=landmarks.arms,
            covariate_names=tuple(column for covariate in covariates for column in covariate.columns),
            measure=measure,
            terms=tuple(covariates),
            entry=entry[keep] if name == DEATH_AFTER else None,
            **of_studies(table[keep], landmarks.studies, studies),
        )
    if not sum(data.event.sum() for data in found.values()):
        raise InputError(
            f"landmark {label!r}: {len(table)} patients and neither progression nor death after it; hazards "
            "cannot be learnt. Leave this landmark out"
        )
    return found
