"""What is refused, and what calls for judgement, when patients are laid out and nothing is sampled yet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayes_net.data.cohort import Cohort
from bayes_net.data.exposure import Shrinkage
from bayes_net.data.notes import Note
from bayes_net.errors import InputError, listed
from bayes_net.inference.imputation import Censoring, follow_up_ends
from bayes_net.model.assumptions import COMMON, PER_ARM, SHARED
from bayes_net.model.priors import INDEPENDENT, Flat
from bayes_net.numbers import format_count
from bayes_net.results.fits import Job
from bayes_net.schema import POINTS_PER_UNIT
from bayes_net.specification.patients import PatientsPlan

FAR_POINTS = 20.0
"""Points between the reference and the patients' median shrinkage from which a note is due."""


def thin_arms(jobs: Sequence[Job]) -> tuple[Note, ...]:
    """A note for every arm whose hazard ratio has next to nothing but the prior to go by."""
    uninformed = {}
    for job in jobs:
        for a, arm in enumerate(job.data.arms):
            where = f"{job.endpoint.upper()}, {job.landmark.label}, {arm}"
            if not job.data.events[a].sum():
                uninformed[where] = "no event: its hazard ratios rest on the prior and on time at risk alone"
            elif np.ptp(job.data.score[job.data.arm == a]) == 0:
                uninformed[f"{where}, {job.measure.label}"] = (
                    "all patients are alike: its hazard ratio is the prior's"
                )
    return tuple(
        Note("warning", "arm-without-information", f"{where}: {why}", 1)
        for where, why in sorted(uninformed.items())
    )


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
    return (Note("warning", "nobody-concerned", message, len(unchanged)),) if unchanged else ()


def refuse_improper(plan: PatientsPlan, jobs: Sequence[Job]) -> None:
    """Flat priors where the data say nothing leave no posterior at all."""
    for job in jobs:
        hazard, events = plan.hazard(job.measure), job.data.events
        priors, by_arm = hazard.priors, events.sum(axis=1)
        cells = events if hazard.baseline == PER_ARM else events.sum(axis=0)
        levels = cells if hazard.smoothing == INDEPENDENT else cells.sum(axis=-1)
        slopes = by_arm.sum() if hazard.slopes == COMMON else by_arm
        flat = {
            "median_months (an interval or arm)": isinstance(priors.level, Flat) and not np.all(levels),
            "hazard_ratio_per_10_points or hazard_ratio_response": isinstance(priors.slope, Flat)
            and not np.all(slopes),
            "hazard_ratio_arm": isinstance(priors.arm_effect, Flat)
            and hazard.baseline == SHARED
            and not np.all(by_arm),
        }
        for name, improper in flat.items():
            if improper:
                raise InputError(
                    f"{job.label}: prior {name} is flat where there is no event, so there is no posterior; "
                    "give limits instead of 'flat', fewer intervals, or leave this landmark out"
                )


def check_covariates(plan: PatientsPlan, cohort: Cohort) -> None:
    """A covariate with a reference has to be a number for every patient."""
    for covariate in plan.covariates:
        if covariate.reference is not None and cohort.patients[covariate.name].dtype.kind != "f":
            found = sorted(set(cohort.patients[covariate.name].astype(str)))
            raise InputError(
                f"covariate {covariate.name!r} has a reference, as numbers have, but its values are text "
                f"({listed(found)}); give levels instead"
            )


def far_reference(jobs: Sequence[Job]) -> tuple[Note, ...]:
    """A note if baseline hazards refer to a shrinkage far from the patients' own.

    Their prior then says something about the slope as well: the hazard that is observed at 40 points is the
    baseline at 0 times the slope's effect over 40 points.
    """
    continuous = [job for job in jobs if isinstance(job.measure, Shrinkage)]
    typical = {job.label: float(np.median(job.data.score)) * POINTS_PER_UNIT for job in continuous}
    worst = max(typical, key=lambda label: abs(typical[label]))
    if abs(typical[worst]) <= FAR_POINTS:
        return ()
    reference = next(job.measure.reference for job in jobs if isinstance(job.measure, Shrinkage))
    median = format_count(reference + typical[worst])
    message = (
        f"baseline hazards are those at a shrinkage of {reference:g} points, but the median at {worst} is "
        f"{median}: the prior of the baseline then bears on the slope. Consider "
        "landmarks.shrinkage_reference nearer to the patients' own"
    )
    return (Note("warning", "far-reference", message, 1),)
