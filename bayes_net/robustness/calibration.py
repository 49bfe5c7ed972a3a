"""The calibration of a specification's own design: its patients, models and priors, with known truths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import pandas as pd

from bayes_net.assumptions.priors import NONE
from bayes_net.checks.calibrate import NO_ASSOCIATION, PRIOR, calibrate, calibration_summary
from bayes_net.errors import InputError
from bayes_net.numbers import format_count, format_probability, percent, rounded, text_table
from bayes_net.results.fits import Job
from bayes_net.schema import ARM
from bayes_net.workflow.analysis import Prepared
from bayes_net.workflow.jobs import refuse_completed
from bayes_net.workflow.patients import PreparedPatients


def models_to_calibrate(prepared: Prepared) -> tuple[PreparedPatients, list[Job]]:
    """The analysis of patients, and its models of slopes of measured shrinkage at true landmarks.

    Raises
    ------
    InputError
        The specification is of published numbers, or has no slope at a true landmark.
    """
    if not isinstance(prepared, PreparedPatients):
        raise InputError(
            "this specification pools published numbers; calibrate expects an analysis of patients. What is "
            "stored of published numbers: tests/calibration/published.py"
        )
    jobs = [
        job
        for job in prepared.jobs
        if prepared.plan.slopes != NONE
        and not (job.landmark.biased or job.joint or job.transition or job.uncertain)
    ]
    if not jobs:
        raise InputError(
            'there is no slope of shrinkage at a true landmark; expected one, such as times = ["150d"]'
        )
    refuse_completed(jobs, "a calibration")
    return prepared, jobs


def calibration_of(
    prepared: Prepared, *, replicates: int, advance: Callable[[str, int, int], object] = lambda *_: None
) -> pd.DataFrame:
    """Every model at a true landmark, with truths drawn from the priors and without any association: the rows
    of ``checks.calibrate`` with ``fit``, the model, and ``truths``, how they came about.

    ``advance`` is called with a model, and how many fits of how many are done.
    """
    own, jobs = models_to_calibrate(prepared)
    done, total = count(1), 2 * replicates * len(jobs)
    parts = []
    for job in jobs:
        hazard = own.hazard(job)
        step = partial(_step, advance, job.label, done, total)
        for truth in (PRIOR, NO_ASSOCIATION):
            rows = calibrate(
                job.data,
                hazard,
                replicates=replicates,
                seed=own.plan.sampling.seed,
                truth=truth,
                ci_prob=own.plan.report.level,
                advance=step,
            )
            parts.append(rows.assign(fit=job.label, truths=truth))
    table = pd.concat(parts, ignore_index=True)
    return table[["fit", "truths", *(name for name in table if name not in ("fit", "truths"))]]


def _step(advance: Callable[[str, int, int], object], label: str, done: Iterator[int], total: int) -> None:
    advance(label, next(done), total)


def calibration_to_read(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a model and arm, as text: coverage, uniformity of ranks and bias over truths drawn from the
    priors, and how often a direction was found where there is no association."""
    found = []
    for fit, own in rows.groupby("fit", sort=False):
        sound, nothing = (calibration_summary(own[own["truths"] == t]) for t in (PRIOR, NO_ASSOCIATION))
        found.append(sound.merge(nothing, on=ARM, suffixes=("", "_none")).assign(fit=fit))
    return text_table(
        pd.concat(found, ignore_index=True),
        {
            "Model": ("fit", str),
            "Arm": (ARM, str),
            "Trials": ("replicates", format_count),
            "Covered": ("covered", percent),
            "Ranks p": ("ranks_p", format_probability),
            "Bias (SE)": lambda row: f"{rounded(row.bias, 3)} ({rounded(row.bias_se, 3)})",
            "No association: probably": ("probably_none", percent),
            "very probably": ("very_probably_none", percent),
        },
    )
