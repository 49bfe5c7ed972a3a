"""The chances of the study that a specification plans, from the posterior of its own patients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.assumptions.priors import NONE
from bayes_net.checks.design import Design, design_summary, operating_characteristics, refuse_unplannable
from bayes_net.data.landmarks import ALL_PATIENTS, EXCLUDED
from bayes_net.errors import InputError
from bayes_net.figures.prediction import draw_design
from bayes_net.numbers import percent
from bayes_net.report.scenarios import DESIGN, design_sentences
from bayes_net.results.fits import Job
from bayes_net.results.publishing import publish
from bayes_net.schema import ANY_TIME, ARM, FAILED, PASSED
from bayes_net.specification.base import Plan
from bayes_net.specification.patients import DesignSection
from bayes_net.workflow.analysis import Progress, fit_models, prepare
from bayes_net.workflow.jobs import refuse_completed
from bayes_net.workflow.patients import PreparedPatients
from bayes_net.workflow.write import write_report


@dataclass(frozen=True, eq=False)
class Planned:
    """The chances of a planned study: ``studies``, one row a simulated study and arm; ``summary`` of them
    (``checks.design_summary``); ``sentences`` that say it; whether the ``passed`` fit is of use; ``folder``,
    where it was written, if anywhere."""

    studies: pd.DataFrame
    summary: pd.DataFrame
    sentences: tuple[str, ...]
    passed: bool
    folder: Path | None = None


def design(
    specification: Plan, out: Path | str | None = None, *, jobs: int = 1, progress: Progress | None = None
) -> Planned:
    """Assurance, power and type I error of the study in [design]; with ``out`` a report is written there.

    The model of its endpoint and landmark is fitted; planned studies have that posterior's hazards and
    patients like those of the landmark, and are analysed with the priors of the specification. ``jobs``
    processes give the same.

    Raises
    ------
    InputError
        There is no [design], or its endpoint and landmark have no slope of shrinkage.
    """
    section = getattr(specification, "design", None)
    if section is None:
        raise InputError(
            "there is no [design] in the specification; expected one with sample_sizes, accrual and follow_up"
        )
    prepared = prepare(specification)
    if not isinstance(prepared, PreparedPatients):
        raise InputError("[design] expects an analysis of patients, from whom planned ones are drawn")
    job, designs = planned_studies(prepared, section)  # refused before anything is fitted
    (fitted,) = fit_models(replace(prepared, jobs=(job,)), brief=True)
    truths = tuple(dict.fromkeys((1.0, *section.truths)))
    total, done = section.simulations * len(section.sample_sizes) * (1 + len(truths)), count(1)
    studies = operating_characteristics(
        fitted.fit,
        job.data,
        designs,
        prepared.hazard(job),
        truths=truths,
        studies=section.simulations,
        seed=specification.sampling.seed,
        jobs=jobs,
        advance=partial(_step, progress, done, total),
    )
    summary = design_summary(studies)
    about = {"rule": section.rule, "hazard_ratio": section.hazard_ratio, "certainty": section.certainty}
    about |= {"what": f"{job.label}"}
    found = Planned(studies, summary, tuple(design_sentences(summary, about)), fitted.gate.passed)
    if out is None:
        return found
    folder = publish(
        Path(out),
        lambda folder: _write(found, prepared, job, section, about, folder),
        gate_passed=found.passed,
    )
    return replace(found, folder=folder)


def planned_studies(prepared: PreparedPatients, section: DesignSection) -> tuple[Job, list[Design]]:
    """The model that the decision is about, and the study of each number of patients."""
    job = _job(prepared, section)
    refuse_unplannable(job.data, prepared.hazard(job))
    return job, designs_of(prepared, job, section)


def _step(progress: Progress | None, done: Any, total: int) -> None:
    n = next(done)
    if progress:
        progress("studies", n, total)


def _job(prepared: PreparedPatients, section: DesignSection) -> Job:
    """The model that the decision is about."""
    plan = prepared.plan
    if plan.slopes == NONE:
        raise InputError('[design] is about the hazard ratio of shrinkage; remove slopes = "none"')
    endpoint = section.endpoint or plan.landmarks.endpoints[0]
    landmark = section.landmark or plan.landmarks.times[0]
    for job in prepared.jobs:
        if (job.endpoint, job.landmark.label) == (endpoint, landmark) and not job.landmark.biased:
            refuse_completed([job], "a planned study")
            return job
    labels = [j.landmark.label for j in prepared.jobs if not j.landmark.biased]
    known = ", ".join(dict.fromkeys(label for label in labels if label != ANY_TIME))
    raise InputError(
        f"[design] is about {endpoint} at {landmark}, and there is no such model; expected one of "
        f"{', '.join(plan.landmarks.endpoints)} at a true landmark of landmarks.times: {known}"
    )


def designs_of(prepared: PreparedPatients, job: Job, section: DesignSection) -> list[Design]:
    """The study of each number of patients; at the landmark is the share of an arm that was there before."""
    flow = prepared.attrition
    flow = flow[
        (flow["endpoint"] == job.endpoint)
        & (flow["population"] == job.population)
        & (flow["landmark"] == job.landmark.label)
    ]
    n = flow.pivot_table(index=ARM, columns="reason", values="n", aggfunc="sum", fill_value=0)
    n = n.reindex(job.data.arms).reindex(columns=[ALL_PATIENTS, EXCLUDED], fill_value=0)
    shares = job.data.n_by_arm / (n[ALL_PATIENTS] - n[EXCLUDED]).to_numpy()
    return [
        Design(
            patients=patients,
            accrual=section.accrual.months,
            follow_up=section.follow_up.months,
            landmark=job.landmark.months,
            entering=tuple(map(float, shares)),
            dropout=float(-np.log1p(-section.dropout_per_year) / 12),
            rule=section.rule,
            hazard_ratio=section.hazard_ratio,
            certainty=section.certainty,
        )
        for patients in section.sample_sizes
    ]


def _write(
    found: Planned,
    prepared: PreparedPatients,
    job: Job,
    section: DesignSection,
    about: dict[str, Any],
    folder: Path,
) -> None:
    plan, shares = prepared.plan, designs_of(prepared, job, section)[0].entering
    entering = ", ".join(f"{arm} {percent(share)}" for arm, share in zip(job.data.arms, shares, strict=True))
    write_report(
        folder,
        plan,
        kind=DESIGN,
        tables={"operating_characteristics": found.summary, "studies": found.studies},
        figures=draw_design(found.summary, section.certainty),
        words=about
        | {
            "synthetic": prepared.synthetic,
            "sentences": list(found.sentences),
            "entering": entering,
            "accrual": str(section.accrual),
            "follow_up": str(section.follow_up),
            "dropout": section.dropout_per_year,
            "priors": prepared.hazard(job).priors.slope.statement,
        },
        provenance={
            "title": plan.title,
            "specification_sha256": plan.digest,
            **prepared.digests,
            "seed": str(plan.sampling.seed),
            "gate": PASSED if found.passed else FAILED,
        },
    )
