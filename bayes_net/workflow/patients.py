"""From a specification to patients at every landmark: all that can be done, and refused, before sampling."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_net.data.cohort import Cohort, read_cohort
from bayes_net.data.exposure import Measure, Response, Shrinkage, equal_event_cuts, expose, grid_cuts
from bayes_net.data.landmarks import LandmarkSet, landmark
from bayes_net.data.notes import Note
from bayes_net.data.reading import read_table
from bayes_net.errors import CohortWarning, InputError, listed
from bayes_net.inference.imputation import Censoring, concerned_patients, follow_up_ends
from bayes_net.model.assumptions import COMMON, PER_ARM, SHARED
from bayes_net.model.priors import INDEPENDENT, Flat
from bayes_net.results.fits import Job
from bayes_net.schema import OS, POINTS_PER_UNIT
from bayes_net.simulate.cohort import simulate_cohort
from bayes_net.specification.patients import PatientsPlan
from bayes_net.specification.sections import DataSection

FAR_POINTS = 20.0
"""Points between the reference and the patients' median shrinkage from which a note is due."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A validated specification with its patients at every landmark: all that sampling needs."""

    specification: PatientsPlan
    cohort: Cohort
    sets: Mapping[tuple[str, bool], LandmarkSet]
    jobs: tuple[Job, ...]
    notes: tuple[Note, ...]

    @property
    def attrition(self) -> pd.DataFrame:
        """Who left, by endpoint, landmark, arm and reason."""
        parts = [
            s.attrition.assign(
                endpoint=endpoint, population=s.population + (", intention to treat" if itt else "")
            )
            for (endpoint, itt), s in self.sets.items()
        ]
        return pd.concat(parts, ignore_index=True)[
            ["endpoint", "population", "landmark", "arm", "reason", "n"]
        ]


def load_cohort(specification: PatientsPlan) -> Cohort:
    """The cohort that a specification names, read and validated, or generated."""
    covariates = tuple(c.name for c in specification.covariates)
    return load_data(specification.data, specification.folder, covariates=covariates)


def load_data(data: DataSection, folder: Path, *, covariates: Sequence[str] = ()) -> Cohort:
    """The cohort of one table of a specification whose relative paths start at ``folder``."""
    if data.synthetic:
        return simulate_cohort(seed=data.synthetic_seed)
    patients = folder / data.patients
    return read_cohort(
        patients,
        None if data.scans is None else folder / data.scans,
        time_unit=data.time_unit,
        patient_columns=data.patient_columns,
        scan_columns=data.scan_columns,
        size_unit=data.size_unit,
        arms=data.arms or None,
        covariates=tuple(covariates),
        baseline_window=data.baseline_window,
        scans_after_death=data.scans_after_death,
        exclude_patients=data.exclude_patients,
        study=data.study,
        synthetic=_says_synthetic(patients),
    )


def _says_synthetic(patients: Path) -> bool:
    """Whether the patient table calls itself synthetic, as those written by ``write_cohort`` do."""
    frame = read_table(patients, "patient").frame
    return "synthetic" in frame and bool((frame["synthetic"].astype(str).str.lower() == "true").all())


def prepare(specification: PatientsPlan, *, cohort: Cohort | None = None) -> Prepared:
    """Read and validate the data and lay out every model to fit; nothing is sampled.

    ``cohort`` is what ``load_cohort`` gives, where it has been read already.

    Raises
    ------
    InputError
        The data break a rule, or a landmark has no patient or no event.
    """
    with warnings.catch_warnings():
        # What calls for judgement is in the cohort's notes, which the caller shows once.
        warnings.simplefilter("ignore", CohortWarning)
        cohort = load_cohort(specification) if cohort is None else cohort
    _check_covariates(specification, cohort)
    wanted = specification.landmarks
    if OS in wanted.endpoints and OS not in cohort.endpoints:
        raise InputError("landmarks.endpoints asks for OS, but the patient table has no os_time and os_event")
    sets = {
        (endpoint, itt): landmark(
            cohort,
            wanted.times,
            endpoint=endpoint,
            population=wanted.population(endpoint),
            intention_to_treat=itt,
        )
        for endpoint in wanted.endpoints
        for itt in ((False, True) if wanted.intention_to_treat and wanted.thresholds else (False,))
    }
    jobs = tuple(
        _job(specification, sets, endpoint, measure, at)
        for endpoint in wanted.endpoints
        for measure in wanted.measures()
        for at in sets[endpoint, False].landmarks
    )
    _refuse_improper(specification, jobs)
    notes = cohort.notes + _thin_arms(jobs) + _far_reference(jobs) + _nobody_concerned(specification, jobs)
    return Prepared(specification, cohort, sets, jobs, notes)


def censoring_of(specification: PatientsPlan) -> Censoring | None:
    """What the specification assumes of patients after their censoring; None: that it tells nothing."""
    section = specification.censoring
    if section is None:
        return None
    horizon = None if section.horizon is None else section.horizon.months
    return Censoring(**section.model_dump(exclude={"horizon"}), horizon=horizon)


def _job(specification: PatientsPlan, sets: Mapping, endpoint: str, measure: Measure, at) -> Job:
    itt = specification.landmarks.intention_to_treat and isinstance(measure, Response)
    chosen = sets[endpoint, itt]
    rows = chosen.at(at.label)
    data = expose(
        chosen,
        at.label,
        cuts=_cuts(specification, endpoint, rows),
        measure=measure,
        covariates=[c.value() for c in specification.covariates],
    )
    population = chosen.population + (", intention to treat" if itt else "")
    censoring, concerned = censoring_of(specification), None
    if censoring is not None:
        concerned = concerned_patients(data, censoring, shrinkage=rows["shrinkage"])
    return Job(endpoint, population, at, measure, data, concerned)


def _cuts(specification: PatientsPlan, endpoint: str, rows: pd.DataFrame) -> np.ndarray:
    baseline = specification.baseline
    if not rows["event"].sum():
        return np.array([])  # the exposure refuses it, with a better message than any rule of cut-points
    if baseline.intervals is not None:
        return equal_event_cuts(
            rows["time"].to_numpy(), rows["event"].to_numpy(), intervals=baseline.intervals
        )
    if baseline.grid_width is not None:
        return grid_cuts(baseline.grid_width, baseline.grid_until)
    cuts = baseline.cuts
    if isinstance(cuts, dict):
        if endpoint not in cuts:
            raise InputError(f"baseline.cuts has no cut-points for {endpoint}; it has {', '.join(cuts)}")
        cuts = cuts[endpoint]
    return np.array([cut.months for cut in cuts])


def _thin_arms(jobs: Sequence[Job]) -> tuple[Note, ...]:
    """A note for every arm whose hazard ratio has next to nothing but the prior to go by."""
    bare = {}
    for job in jobs:
        for a, arm in enumerate(job.data.arms):
            where = f"{job.endpoint.upper()}, {job.landmark.label}, {arm}"
            if not job.data.events[a].sum():
                bare[where] = "no event: its hazard ratios rest on the prior and on time at risk alone"
            elif np.ptp(job.data.score[job.data.arm == a]) == 0:
                bare[f"{where}, {job.measure.label}"] = (
                    "all patients are alike: its hazard ratio is the prior's"
                )
    return tuple(
        Note("warning", "arm-without-information", f"{where}: {why}", 1)
        for where, why in sorted(bare.items())
    )


def _nobody_concerned(specification: PatientsPlan, jobs: Sequence[Job]) -> tuple[Note, ...]:
    """A note for every model in which no follow-up can be imputed; without any other, a refusal."""
    censoring = censoring_of(specification)
    if censoring is None:
        return ()
    idle = [
        job.label
        for job in jobs
        if not (job.concerned & (job.data.time < follow_up_ends(job.data, censoring))).any()
    ]
    if len(idle) == len(jobs):
        raise InputError(
            f"[censoring] is about {censoring.whose}, and there is none with follow-up left to impute; "
            "expected some in at least one model"
        )
    message = f"no follow-up to impute in {listed(idle)}: the factor of [censoring] changes nothing there"
    return (Note("warning", "nobody-concerned", message, len(idle)),) if idle else ()


def _refuse_improper(specification: PatientsPlan, jobs: Sequence[Job]) -> None:
    """Flat priors where the data say nothing leave no posterior at all."""
    for job in jobs:
        hazard, events = specification.hazard(job.measure), job.data.events
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


def _check_covariates(specification: PatientsPlan, cohort: Cohort) -> None:
    """A covariate with a reference has to be a number for every patient."""
    for covariate in specification.covariates:
        if covariate.reference is not None and cohort.patients[covariate.name].dtype.kind != "f":
            found = sorted(set(cohort.patients[covariate.name].astype(str)))
            raise InputError(
                f"covariate {covariate.name!r} has a reference, as numbers have, but its values are text "
                f"({listed(found)}); give levels instead"
            )


def _far_reference(jobs: Sequence[Job]) -> tuple[Note, ...]:
    """A note if baseline hazards refer to a shrinkage far from the patients' own.

    Their prior then says something about the slope as well: the hazard that is observed at 40 points is the
    baseline at 0 times the slope's effect over 40 points.
    """
    continuous = [job for job in jobs if isinstance(job.measure, Shrinkage)]
    typical = {job.label: float(np.median(job.data.score)) * POINTS_PER_UNIT for job in continuous}
    worst = max(typical, key=lambda label: abs(typical[label]))
    if abs(typical[worst]) <= FAR_POINTS:
        return ()
    reference = continuous[0].measure.reference
    message = (
        f"baseline hazards are those at a shrinkage of {reference:g} points, but the median at {worst} is "
        f"{reference + typical[worst]:.0f}: the prior of the baseline then bears on the slope. Consider "
        "landmarks.shrinkage_reference nearer to the patients' own"
    )
    return (Note("warning", "far-reference", message, 1),)
