"""What is refused, and what calls for judgement, when patients are laid out and nothing is sampled yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from bayes_net.assumptions.hazard import COMMON, PER_ARM, SHARED
from bayes_net.assumptions.priors import INDEPENDENT, NONE, Flat
from bayes_net.checks.columns import poor_column
from bayes_net.data.cohort import Cohort
from bayes_net.data.gauss import UncertainExposure
from bayes_net.data.intervals import PER_STUDY
from bayes_net.data.terms import Response, Shrinkage
from bayes_net.errors import InputError, listed
from bayes_net.inference.imputation import Censoring, follow_up_ends
from bayes_net.numbers import counted, format_count, significant
from bayes_net.results.fits import Job
from bayes_net.schema import ALIVE, OS, PFS, POINTS_PER_UNIT
from bayes_net.specification.patients import PatientsPlan
from bayes_net.tables.doubts import FEWEST, MONTHS_PER
from bayes_net.tables.notes import WARNING, Note

FAR_POINTS = 20.0
"""Points between the reference and the patients' median shrinkage from which a note is due."""
FAR_UNITS = 5.0
"""Units, and standard deviations, between a covariate's reference and its median from which a note is due."""
FEWEST_PATIENTS = 5
"""An arm of fewer patients at a landmark is named."""
MOST_COVARIATE = 1e6
"""Size of a covariate as it enters: no sampler starts beyond it."""
DAY = MONTHS_PER["days"]
GRID = 1e-6 * DAY
"""The grid that all times are on, in months."""
_PARTS = {
    "whole": 1.0, "half": 0.5, "quarters of": 0.25, "tenths of": 0.1, "hundredths of": 0.01,
    "thousandths of": 1e-3, "ten-thousandths of": 1e-4,
}  # fmt: skip
_UNITS = [(MONTHS_PER[unit], unit) for unit in ("years", "months", "weeks")]
STEPS = [(part * length, f"{how} {unit}") for length, unit in _UNITS for how, part in _PARTS.items()]
STEPS = sorted([(DAY, ""), *STEPS], reverse=True)
"""Steps of rounded times in months, the longest first, in words; among them a day."""


Finding = tuple[str, str, str]
"""Code and message of what calls for judgement, and where it does."""


def cautions(plan: PatientsPlan, cohort: Cohort, jobs: Sequence[Job]) -> tuple[Note, ...]:
    """Everything that calls for judgement where patients meet the models, by code."""
    return (
        *_notes(thin_arms(plan, jobs)),
        *several_studies(plan, cohort),
        *_notes(thin_studies(plan, jobs)),
        *_notes(empty_intervals(jobs)),
        *rounded_at_landmarks(cohort, jobs),
        *_notes(poor_covariates(plan, cohort, jobs)),
        *_notes(missing_of_arms(cohort)),
        *far_reference(plan, jobs),
        *contradicting_priors(plan, jobs),
        *_notes(large_errors(jobs)),
    )


def _where(job: Job) -> str:
    return f"{job.endpoint.upper()}, {job.landmark.label}"


def _notes(findings: Iterable[Finding]) -> Iterator[Note]:
    """A note for each message, code by code, with all the places that it is about."""
    found: dict[str, dict[str, list[str]]] = {}
    for code, message, where in findings:
        found.setdefault(code, {}).setdefault(message, []).append(where)
    for code, messages in found.items():
        for message, places in messages.items():
            places = list(dict.fromkeys(places))
            yield Note(WARNING, code, f"{listed(places)}: {message}", len(places))


def thin_arms(plan: PatientsPlan, jobs: Sequence[Job]) -> Iterator[Finding]:
    """Every arm that is small, or whose hazard ratio has next to nothing but priors to go by."""
    code = "arm-without-information"
    for job in jobs:
        data, events = job.data, job.data.events.sum(axis=1)
        for a, (arm, n) in enumerate(zip(data.arms, data.n_by_arm, strict=True)):
            where = f"{_where(job)}, {arm}"
            if n < FEWEST_PATIENTS:
                yield "small-cell", f"{counted(int(n), 'patient')} at risk", where
            if not n:
                yield code, "no patient: its hazard ratios are the priors'", where
            elif not events[a]:
                yield code, "no event: its hazard ratios rest on the prior and on time at risk alone", where
            elif np.ptp(data.score[data.arm == a]) == 0 and plan.slopes not in (COMMON, NONE):
                what = "shrinkage" if isinstance(job.measure, Shrinkage) else "response"
                message = (
                    f"all patients have one {what}, whose effect cannot be told from the baseline hazard: "
                    "the data inform the two together, and its hazard ratio rests on their priors"
                )
                yield code, message, f"{where}, {job.measure.label}"


def missing_of_arms(cohort: Cohort) -> Iterator[Finding]:
    """Covariates that are to be imputed in an arm where nobody has a value."""
    for name in cohort.covariates:
        for arm, own in cohort.patients.groupby("arm", sort=False, observed=True):
            if own[name].isna().all():
                message = f"{name} is not known of any patient: its values there are imputed from other arms"
                yield "arm-without-information", message, str(arm)


def several_studies(plan: PatientsPlan, cohort: Cohort) -> Iterator[Note]:
    """A note where several studies are analysed as one."""
    if plan.baseline.studies != PER_STUDY and len(cohort.studies) > 1:
        counts = cohort.patients["study"].value_counts()
        message = (
            f"the patients are of {len(counts)} studies "
            f"({listed(f'{name} ({n})' for name, n in counts.items())}), which are analysed as one: what "
            f'differs between studies is taken to be chance. baseline.studies = "{PER_STUDY}" gives each '
            "baseline hazards of its own"
        )
        yield Note(WARNING, "several-studies", message, len(cohort.patients))


def thin_studies(plan: PatientsPlan, jobs: Sequence[Job]) -> Iterator[Finding]:
    """Studies whose baselines have no event to go by, and arms that no study compares."""
    for job in (job for job in jobs if job.data.studies):
        data, counts = job.data, job.data.n_by_stratum
        by_arm = plan.baseline.arms == PER_ARM
        events, n = (
            x if by_arm else x.sum(axis=1)[:, None] for x in (data.events_by_stratum.sum(-1), counts)
        )
        for s, a in np.argwhere((events == 0) & (n > 0)).tolist():
            who = f"{data.studies[s]}, {data.arms[a]}" if by_arm else data.studies[s]
            message = f"no event in {who}: its baseline hazard rests on the prior and on time at risk alone"
            yield "thin-study", message, _where(job)
        # arms that studies compare, directly or by way of others
        linked = np.linalg.matrix_power((counts.T @ counts > 0).astype(float), len(data.arms)) > 0
        for a, arm in enumerate(data.arms[1:], start=1):
            both = counts[:, [0, a]] > 0
            if both.any(axis=0).all() and not both.all(axis=1).any():
                alone = "" if by_arm or linked[0, a] else ", and their hazard ratio rests on its prior alone"
                message = (
                    f"no study has both {data.arms[0]} and {arm}, and every study has baselines of its own: "
                    f"their survival is not compared{alone}"
                )
                yield "thin-study", message, _where(job)


def empty_intervals(jobs: Sequence[Job]) -> Iterator[Finding]:
    """The cut-points that lie beyond all follow-up."""
    for job in jobs:
        last = float(job.data.time.max())
        if cuts := [significant(cut) for cut in job.data.cuts if cut >= last]:
            message = (
                f"cut-points at {listed(cuts)} months are beyond all follow-up (the longest is "
                f"{significant(last)} months): the hazard after them is the prior's"
            )
            yield "empty-interval", message, _where(job)


def rounded_at_landmarks(cohort: Cohort, jobs: Sequence[Job]) -> Iterator[Note]:
    """A note of the patients and scans that rounded times put to one side of a landmark or the other."""
    seen = set()
    for job in jobs:
        risk = OS if job.risk_set == ALIVE else PFS
        if job.landmark.biased or (risk, job.landmark.label) in seen:
            continue
        seen.add((risk, job.landmark.label))
        patients, name = _rounded_to(cohort.patients[f"{risk}_time"], job.landmark.months)
        scans, scan_name = _rounded_to(
            cohort.scans.loc[~cohort.scans["baseline"], "time"], job.landmark.months
        )
        found = []
        if n := int(patients.sum()):
            events = counted(int(cohort.patients.loc[patients, f"{risk}_event"].sum()), "event")
            found.append(f"times of follow-up are {name}, and those of {counted(n, 'patient')} ({events})")
        if m := int(scans.sum()):
            found.append(f"times of scans are {scan_name}, and those of {counted(m, 'scan')}")
        if found:
            message = (
                f"{risk.upper()}, {job.landmark.label}: {'; '.join(found)} round to the landmark: whether "
                "they are before or after it, rounding decides. Give times in days"
            )
            yield Note(WARNING, "rounded-at-landmark", message, n + m)


def _rounded_to(times: pd.Series, landmark: float) -> tuple[np.ndarray, str]:
    """Which times round to either side of the landmark, and what they are rounded to."""
    months = times.to_numpy(float)
    step, name = time_step(months)
    return within_rounding(months, landmark, step) if step else np.zeros(len(months), bool), name


def poor_covariates(plan: PatientsPlan, cohort: Cohort, jobs: Sequence[Job]) -> Iterator[Finding]:
    """Covariates that are constant, told by the others, without an event, or far from their reference."""
    for job in jobs:
        for j, name in enumerate(job.data.covariate_names):
            yield from ((*poor, _where(job)) for poor in poor_column(job.data, j, name))
    for covariate in plan.covariates:
        if covariate.reference is not None and jobs:
            known = cohort.patients[covariate.name].to_numpy(float)
            values = (known - covariate.reference) / covariate.scale
            values = values[np.isfinite(values)]
            away, sd = abs(float(np.median(values))), float(values.std())
            if away > FAR_UNITS and away > FAR_UNITS * sd > 0:
                median = covariate.reference + float(np.median(values)) * covariate.scale
                message = (
                    f"baseline hazards are reported at {covariate.name} = {covariate.reference:g}, but its "
                    f"median is {median:g}: they are those of nobody. Give a reference near the median"
                )
                yield "far-covariate", message, _where(jobs[0])


def nobody_concerned(censoring: Censoring | None, jobs: Sequence[Job]) -> tuple[Note, ...]:
    """A note for every model in which no follow-up can be imputed; without any other, a refusal."""
    if censoring is None:
        return ()
    unchanged = [
        job.label
        for job in jobs
        if not (job.data.time < follow_up_ends(job.data, censoring))[job.concerned].any()
    ]
    if len(unchanged) == len(jobs):
        raise InputError(
            f"[censoring] is about {censoring.whose}, and there is none with follow-up left to impute; "
            "expected some in at least one model"
        )
    message = (
        f"no follow-up to impute in {listed(unchanged)}: the factor of [censoring] changes nothing there"
    )
    return (Note(WARNING, "nobody-concerned", message, len(unchanged)),) if unchanged else ()


def refuse_improper(plan: PatientsPlan, jobs: Sequence[Job]) -> None:
    """Flat priors where the data say nothing leave no posterior at all."""
    for job in jobs:
        hazard = plan.hazard(job.measure, job.data.n_intervals, job.apart)
        events, by_arm = job.data.events_by_stratum, job.data.events.sum(axis=1)
        priors = hazard.priors
        cells = events if hazard.baseline == PER_ARM else events.sum(axis=-2)
        levels = cells if hazard.smoothing == INDEPENDENT else cells.sum(axis=-1)
        slopes = by_arm.sum() if hazard.slopes == COMMON else by_arm
        flat = {
            "median_months (an interval, arm or study)": isinstance(priors.level, Flat)
            and not np.all(levels),
            "hazard_ratio_per_10_points or hazard_ratio_response": isinstance(priors.slope, Flat)
            and hazard.slopes != NONE
            and not np.all(slopes),
            "hazard_ratio_arm": isinstance(priors.arm_effect, Flat)
            and hazard.baseline == SHARED
            and not np.all(by_arm),
        }
        for name, improper in flat.items():
            if improper:
                leave_out = 'landmarks.joint = "none"' if job.joint else "leave this landmark out"
                raise InputError(
                    f"{job.label}: prior {name} is flat where there is no event, so there is no posterior; "
                    f"give limits instead of 'flat', fewer intervals, or {leave_out}"
                )


def check_covariates(plan: PatientsPlan, cohort: Cohort) -> None:
    """A covariate with a reference has to be a number for every patient, on a scale that can be fitted."""
    for covariate in plan.covariates:
        if covariate.reference is None:
            continue
        values = cohort.patients[covariate.name]
        if values.dtype.kind != "f":
            found = sorted(set(values.dropna().astype(str)))
            raise InputError(
                f"covariate {covariate.name!r} has a reference, as numbers have, but its values are text "
                f"({listed(found)}); give levels instead"
            )
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            largest = np.abs((values.dropna().to_numpy(float) - covariate.reference) / covariate.scale).max()
        if not largest <= MOST_COVARIATE:
            raise InputError(
                f"covariate {covariate.name!r} enters as (value - {covariate.reference:g}) / "
                f"{covariate.scale:g}, up to {significant(largest, 2)}; expected at most {MOST_COVARIATE:g}, "
                "more than any model can be fitted to. Give a reference and a scale near its values"
            )


def check_reasons(plan: PatientsPlan, cohort: Cohort) -> None:
    """The reasons of [censoring] have to be some for which follow-up ended."""
    asked = () if plan.censoring is None else plan.censoring.reasons
    if not asked or cohort.reasons is None:
        return  # whoever counts those concerned says so
    known = sorted({str(x) for x in cohort.reasons.drop(columns="patient").to_numpy().ravel() if pd.notna(x)})
    if unknown := [reason for reason in asked if reason not in known]:
        ended = listed(known, limit=20)
        raise InputError(f"censoring.reasons has {listed(map(repr, unknown))}; follow-up ended by {ended}")


def far_reference(plan: PatientsPlan, jobs: Sequence[Job]) -> tuple[Note, ...]:
    """A note if the prior is of log hazards at a shrinkage far from the patients' own.

    It then says something about the slope as well: the hazard that is observed at 40 points is the baseline
    at 0 times the slope's effect over 40 points.
    """
    if plan.priors.log_hazard is None:
        return ()  # a statement about median survival is about average patients
    continuous = [job for job in jobs if isinstance(job.measure, Shrinkage)]
    typical = {job.label: float(np.median(job.data.score)) * POINTS_PER_UNIT for job in continuous}
    if not typical:
        return ()
    worst = max(typical, key=lambda label: abs(typical[label]))
    if abs(typical[worst]) <= FAR_POINTS:
        return ()
    reference = next(job.measure.reference for job in jobs if isinstance(job.measure, Shrinkage))
    median = format_count(reference + typical[worst])
    message = (
        f"priors.log_hazard is about a shrinkage of {reference:g} points, but the median at {worst} is "
        f"{median}: it then bears on the slope. Consider landmarks.shrinkage_reference nearer to the "
        "patients' own, or median_months"
    )
    return (Note(WARNING, "far-reference", message, 1),)


def contradicting_priors(plan: PatientsPlan, jobs: Sequence[Job]) -> Iterator[Note]:
    """A note if hazard ratios per 10 points and of response are stated and do not follow from each other."""
    stated = [job for job in jobs if isinstance(job.measure, Response)]
    if stated and (message := plan.priors.contradiction(stated[0].apart)):
        yield Note(WARNING, "contradicting-priors", message, 1)


def large_errors(jobs: Sequence[Job]) -> Iterator[Finding]:
    """Arms in which scans differ hardly more than the stated error of measurement makes them."""
    for job in jobs:
        if isinstance(job.data, UncertainExposure):
            message = (
                f"measurement.sd = {significant(getattr(job.measure, 'sd', 0.0))} explains most of what best "
                "shrinkage differs by between patients: hardly anything is known of true differences, and "
                "the hazard ratio of true shrinkage rests on its prior. Is the error so large?"
            )
            for arm, measured, true in zip(job.data.arms, *job.data.spread, strict=True):
                if true < measured / 2:
                    yield "error-beyond-spread", message, f"{_where(job)}, {arm}"


def time_step(months: np.ndarray) -> tuple[float, str]:
    """The longest step on which all times lie, in months and words; 0 if that is a day, on which nothing is
    rounded. Steps below a day move those of the very day of a landmark: day 252 is 8.28 months, and 36 weeks
    are 8.2793."""
    months = months[np.isfinite(months) & (months > 0)]
    if len(np.unique(months)) < FEWEST:
        return 0.0, ""
    for step, name in STEPS:
        off = np.abs(months / step - np.round(months / step)).max()
        if off <= max(1e-5, GRID / step):
            return (step, name) if step != DAY else (0.0, "")
    return 0.0, ""


def within_rounding(months: np.ndarray, landmark: float, step: float) -> np.ndarray:
    """Which times round to either side of the landmark."""
    return np.abs(np.asarray(months, float) - landmark) <= step / 2 + GRID
