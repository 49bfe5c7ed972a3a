"""The models of a specification of patients: who enters each, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.assumptions.measurement import expose_with_error
from bayes_net.assumptions.priors import NONE
from bayes_net.data.assessments import RESPONSE_POINTS
from bayes_net.data.cohort import Cohort
from bayes_net.data.follow_up import NEVER_AT_RISK, TO_PROGRESSION, time_dependent, transitions
from bayes_net.data.intervals import checked_cuts, equal_event_cuts
from bayes_net.data.landmarks import (
    ALL_PATIENTS,
    ANALYSED,
    EXCLUDED,
    Landmark,
    LandmarkSet,
    landmark,
)
from bayes_net.data.terms import Covariate, Measure, Response, TrueShrinkage, points_apart
from bayes_net.errors import Gathered, InputError, listed
from bayes_net.inference.imputation import Censoring, concerned_patients
from bayes_net.inference.missing import Imputation, expose_imputed
from bayes_net.results.fits import Fitted, Job, missing_information_table, population_name
from bayes_net.schema import ALIVE, ANY_TIME, NO_LIMIT, OS, PFS, SCANNED
from bayes_net.specification.base import Plan
from bayes_net.specification.patients import PatientsPlan


def measures_of(plan: PatientsPlan, cohort: Cohort) -> tuple[Measure, ...]:
    """The ways in which shrinkage enters; where responses alone were read, whether it reached 30 points."""
    measures = plan.measures()
    if cohort.sized or plan.slopes == NONE:
        return measures
    if plan.measurement is not None:
        raise InputError("[measurement] is about sizes, and the scans have responses alone; remove it")
    if plan.landmarks.thresholds != (RESPONSE_POINTS,):
        raise InputError(
            f"landmarks.thresholds is {list(plan.landmarks.thresholds)}, and the scans have responses and no "
            f"sizes; expected [{RESPONSE_POINTS:g}], which CR and PR reach"
        )
    return tuple(measure for measure in measures if isinstance(measure, Response))


def landmark_sets(plan: PatientsPlan, cohort: Cohort) -> dict[tuple[str, bool], LandmarkSet]:
    """The landmark set of each endpoint, and with intention to treat another."""
    wanted = plan.landmarks
    if OS in wanted.endpoints and OS not in cohort.endpoints:
        raise InputError("landmarks.endpoints asks for OS, but the patient table has no os_time and os_event")
    return {
        (endpoint, itt): landmark(
            cohort,
            wanted.times,
            endpoint=endpoint,
            population=wanted.population(endpoint),
            intention_to_treat=itt or plan.slopes == NONE,
            visit=wanted.visit,
            scan_window=wanted.scan_window,
            confirmed_after=wanted.confirmed_after,
            progression_scans=wanted.progression_scans or endpoint == PFS,
        )
        for endpoint in wanted.endpoints
        for itt in ((False, True) if wanted.intention_to_treat and wanted.thresholds else (False,))
    }


def censoring_of(plan: Plan) -> Censoring | None:
    """What the plan assumes of patients after their censoring; None: that it tells nothing."""
    section = getattr(plan, "censoring", None)
    if section is None:
        return None
    horizon = None if section.horizon is None else section.horizon.months
    return Censoring(**section.model_dump(exclude={"horizon"}), horizon=horizon)


def imputation_of(plan: PatientsPlan) -> Imputation:
    """How the plan completes covariates."""
    return Imputation() if plan.missing is None else Imputation(**plan.missing.model_dump())


def covariates_missing(plan: PatientsPlan, cohort: Cohort) -> bool:
    """Whether a covariate of the plan is missing of somebody."""
    return bool(cohort.patients[[each.name for each in plan.covariates]].isna().any(axis=None))


def refuse_completed(jobs: Sequence[Job], what: str) -> None:
    """Raise an ``InputError`` where ``what`` would take imputed covariates for the patients' own."""
    if concerned := [job.label for job in jobs if job.completed]:
        raise InputError(
            f"covariates are missing in {listed(concerned)}, and {what} needs each patient's own; expected a "
            "model without them, or patients of whom all are known"
        )


def missing_tables(
    sets: Mapping[tuple[str, bool], LandmarkSet], fits: Sequence[Fitted]
) -> dict[str, pd.DataFrame]:
    """How much is missing, and what is not known for it, by name of the table."""
    return {"missing": missing_table(sets), "missing_information": missing_information_table(fits)}


def missing_table(sets: Mapping[tuple[str, bool], LandmarkSet]) -> pd.DataFrame:
    """How many patients of each landmark and arm lack each covariate that somebody lacks there: endpoint,
    population, landmark, covariate, arm, n, missing, share. Empty where nothing is missing."""
    rows = []
    for (endpoint, itt), chosen in sets.items():
        population = population_name(chosen.population, itt)
        for at in chosen.landmarks:
            own = chosen.at(at.label)
            for name in (name for name in chosen.covariates if own[name].isna().any()):
                lacks = own[name].isna().groupby(own["arm"])
                for arm in chosen.arms:
                    n, missing = int(lacks.size().get(arm, 0)), int(lacks.sum().get(arm, 0))
                    share = missing / n if n else np.nan
                    rows.append((endpoint, population, at.label, name, arm, n, missing, share))
    columns = ["endpoint", "population", "landmark", "covariate", "arm", "n", "missing", "share"]
    return pd.DataFrame(rows, columns=columns)


def apart_at(plan: PatientsPlan, sets: Mapping[tuple[str, bool], LandmarkSet]) -> float | None:
    """By how many points responders have shrunk more than others at the landmarks of the first endpoint, as
    ``points_apart`` has it. None: it is not known, or shrinkage is not in the models."""
    threshold = (*plan.landmarks.thresholds, RESPONSE_POINTS)[0]
    chosen = sets[plan.landmarks.endpoints[0], False]
    return None if plan.slopes == NONE else points_apart(chosen, Response(threshold))


def job_at(
    plan: PatientsPlan,
    sets: Mapping[tuple[str, bool], LandmarkSet],
    endpoint: str,
    measure: Measure,
    at: Landmark,
    reasons: pd.DataFrame | None,
    terms: Sequence[Covariate],
) -> Job:
    """The model of one endpoint, way in which shrinkage enters, and landmark; ``reasons`` say why follow-up
    ended, where that is known, and ``terms`` are the covariates."""
    itt = _by_intention_to_treat(plan, measure)
    chosen, seed = sets[endpoint, itt], plan.sampling.seed
    if plan.missing is not None:
        from bayes_net.inference.sampling import seed_of  # it imports samplers, which a check does not need

        seed = seed_of(seed, label=f"missing, {endpoint}, {measure.label}, {at.label}")
    rows = chosen.at(at.label)
    completed = expose_imputed(
        chosen,
        at.label,
        cuts=_cuts(plan, endpoint, rows["time"].to_numpy(), rows["event"].to_numpy()),
        measure=measure,
        covariates=terms,
        progression=plan.landmarks.progression,
        studies=plan.baseline.studies,
        seed=seed,
        how=imputation_of(plan),
    )
    censoring, concerned, why = censoring_of(plan), None, None
    if censoring is not None:
        if reasons is not None:
            why = rows["patient"].map(reasons.set_index("patient")[f"{endpoint}_reason"])
        concerned = concerned_patients(completed[0], censoring, shrinkage=rows["shrinkage"], reasons=why)
    how: dict[str, Any] = {"completed": completed if len(completed) > 1 else (), "intention_to_treat": itt}
    return Job(endpoint, chosen.population, at, measure, completed[0], concerned, **how)


def _by_intention_to_treat(plan: PatientsPlan, measure: Measure) -> bool:
    return plan.landmarks.intention_to_treat and isinstance(measure, Response)


def jobs_of(
    plan: PatientsPlan,
    cohort: Cohort,
    sets: Mapping[tuple[str, bool], LandmarkSet],
    terms: Sequence[Covariate],
    gathered: Gathered,
) -> list[Job]:
    """Every model of the plan; problems of one that cannot be are ``gathered``."""
    measures, jobs = measures_of(plan, cohort), []
    for endpoint in plan.landmarks.endpoints:
        for measure in measures:
            for at in sets[endpoint, False].landmarks:
                with gathered.step(), np.errstate(over="ignore"):  # check_covariates says of what is too far
                    job = job_at(plan, sets, endpoint, measure, at, cohort.reasons, terms)
                    jobs.append(with_error(plan, cohort, sets[endpoint, False], job))
            if plan.has_joint_model and not covariates_missing(plan, cohort):
                with gathered.step(), np.errstate(over="ignore"):
                    jobs.append(joint_job(plan, cohort, endpoint, measure, terms))
    if plan.landmarks.transitions:
        with gathered.step(), np.errstate(over="ignore"):
            jobs.extend(transition_jobs(plan, cohort, measures[0], terms))
    return jobs


def with_error(plan: PatientsPlan, cohort: Cohort, chosen: LandmarkSet, job: Job) -> Job:
    """``job`` with what the true shrinkage of each patient may be, where that is what it is about."""
    if not isinstance(job.measure, TrueShrinkage):
        return job
    counted = chosen.population != ALIVE or plan.landmarks.progression_scans
    how: dict[str, Any] = {"sd": job.measure.sd, "seed": plan.sampling.seed, "progression_scans": counted}
    return replace(job, data=expose_with_error(job.data, cohort, chosen, job.landmark.label, **how))


def joint_job(
    plan: PatientsPlan, cohort: Cohort, endpoint: str, measure: Measure, terms: Sequence[Covariate]
) -> Job:
    """The model of all follow-up; an interval before the first scan, in which nobody is at risk, is none."""
    wanted = plan.landmarks
    itt = _by_intention_to_treat(plan, measure)
    data = time_dependent(
        cohort,
        endpoint=endpoint,
        cuts=(),
        measure=measure,
        covariates=terms,
        progression=wanted.progression,
        studies=plan.baseline.studies,
        visit=wanted.visit,
        intention_to_treat=itt,
        confirmed_after=wanted.confirmed_after if isinstance(measure, Response) else None,
    )
    cuts = checked_cuts(_cuts(plan, endpoint, data.time, data.event))
    first = 0.0 if data.entry is None else data.entry.min()
    data = replace(data, cuts=cuts[cuts > first])
    return Job(endpoint, SCANNED, Landmark(ANY_TIME, 0.0, np.inf), measure, data, intention_to_treat=itt)


def transition_jobs(
    plan: PatientsPlan, cohort: Cohort, measure: Measure, terms: Sequence[Covariate]
) -> Iterator[Job]:
    """The steps from state to state of the patients of OS, at every true landmark."""
    wanted, of_response = plan.landmarks, isinstance(measure, Response)
    chosen = landmark(
        cohort,
        [at for at in wanted.times if at != NO_LIMIT],
        endpoint=OS,
        population=wanted.population(OS),
        visit=wanted.visit,
        scan_window=wanted.scan_window,
        confirmed_after=wanted.confirmed_after if of_response else None,
        progression_scans=wanted.progression_scans,
    )
    for at in chosen.landmarks:
        how: dict[str, Any] = {"covariates": terms, "studies": plan.baseline.studies}
        found = transitions(cohort, chosen, at.label, measure=measure, **how)
        for name, data in found.items():
            endpoint = PFS if name == TO_PROGRESSION else OS
            cuts = checked_cuts(_cuts(plan, endpoint, data.time, data.event))
            yield Job(OS, chosen.population, at, measure, replace(data, cuts=cuts), transition=name)


def _cuts(plan: PatientsPlan, endpoint: str, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    baseline = plan.baseline
    if not event.sum():
        return np.array([])  # the exposure refuses it, with a better message than any rule of cut-points
    if baseline.intervals is not None:
        return equal_event_cuts(time, event, intervals=baseline.intervals)
    if (grid := baseline.grid()) is not None:
        return grid
    cuts = baseline.cuts or ()
    return np.array([cut.months for cut in (cuts[endpoint] if isinstance(cuts, dict) else cuts)])


def never_at_risk(jobs: Sequence[Job], everyone: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Of each model of all follow-up, who does not enter it; it is the same for all measures of a
    population. ``everyone`` is the flow of a landmark set."""
    for job in {(j.endpoint, j.population): j for j in jobs if j.joint}.values():
        own = everyone[everyone["landmark"] == everyone["landmark"].iloc[0]].set_index(["reason", "arm"])
        rows = []
        for arm, n in zip(job.data.arms, job.data.n_by_arm, strict=True):
            total, excluded = (int(own.loc[(reason, arm), "n"]) for reason in (ALL_PATIENTS, EXCLUDED))
            never = total - excluded - int(n)
            counts = {ALL_PATIENTS: total, EXCLUDED: excluded, NEVER_AT_RISK: never, ANALYSED: int(n)}
            rows += [(job.landmark.label, arm, *item) for item in counts.items()]
        table = pd.DataFrame(rows, columns=["landmark", "arm", "reason", "n"])
        yield table.assign(endpoint=job.endpoint, population=job.population)
