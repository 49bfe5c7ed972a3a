"""What is analysed, what was found, and the model in words: for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.assumptions.hazard import SLOPE_FORMS
from bayes_net.assumptions.network import Network
from bayes_net.assumptions.priors import Fixed, HalfCauchy, Heterogeneity
from bayes_net.data.assessments import AT_THE_SCAN, CENSORED_THERE
from bayes_net.data.gauss import UncertainExposure
from bayes_net.display import template
from bayes_net.numbers import (
    capitalised,
    counted,
    format_count,
    percent,
    rounded,
)
from bayes_net.report.patients import CENSORING, CHANGES
from bayes_net.results.fits import Fitted, at_landmarks
from bayes_net.results.synthesis import borrowing_in_words
from bayes_net.schema import (
    ENDPOINT_LABELS,
    PFS,
    POINTS_PER_UNIT,
    words,
)
from bayes_net.statistics.kinds import KINDS
from bayes_net.tables.reading import NEW_THERAPY
from bayes_net.workflow.analysis import Prepared
from bayes_net.workflow.jobs import censoring_of, missing_tables
from bayes_net.workflow.patients import PreparedPatients
from bayes_net.workflow.synthesis import PreparedNetwork


@singledispatch
def data_in_words(prepared: Prepared) -> list[str]:
    """What will be analysed, a line each."""
    raise NotImplementedError(type(prepared).__name__)


@data_in_words.register
def _patients_data(prepared: PreparedPatients) -> list[str]:
    return [str(prepared.cohort)]


@data_in_words.register
def _network_data(prepared: PreparedNetwork) -> list[str]:
    return [] if prepared.evidence is None else [str(prepared.evidence)]


@singledispatch
def entering(prepared: Prepared) -> tuple[pd.DataFrame, list[str]]:
    """What enters the models: a table of text, and lines below it."""
    raise NotImplementedError(type(prepared).__name__)


@entering.register
def _at_risk(prepared: PreparedPatients) -> tuple[pd.DataFrame, list[str]]:
    """Patients at risk and events of every landmark and arm."""
    rows = [
        (words(job.endpoint), job.landmark.label, arm, str(n), format_count(events))
        for job in prepared.jobs
        for arm, n, events in zip(job.data.arms, job.data.n_by_arm, job.data.events.sum(axis=1), strict=True)
    ]
    keys = ["endpoint", "landmark", "arm"]
    return pd.DataFrame(rows, columns=[*keys, "patients", "events"]).drop_duplicates(keys), []


@entering.register
def _in_print(prepared: PreparedNetwork) -> tuple[pd.DataFrame, list[str]]:
    """The published numbers that enter or are held out, and the patients."""
    columns = ["id", "study", "arm", "endpoint", "statistic", "use"]
    rows = prepared.printed.loc[prepared.printed["use"] != "record", columns].rename(columns={"id": "row"})
    lines = []
    for cohort in prepared.network.cohorts:
        events, months = format_count(cohort.events.sum()), format_count(cohort.person_time.sum())
        after = f"; {cohort.exposure.n} patients at {cohort.landmark}" if cohort.exposure is not None else ""
        n = f"{events} events in {months} months from randomisation{after}"
        lines.append(f"{cohort.study}, {words(cohort.endpoint)}: {n}")
    return rows, lines


@singledispatch
def model_in_words(prepared: Prepared, fits: Sequence) -> dict[str, str]:
    """The model by heading, for the report; a heading that begins with "Equation" is set as mathematics."""
    raise NotImplementedError(type(prepared).__name__)


@model_in_words.register
def _patients_model(prepared: PreparedPatients, fits: Sequence[Fitted]) -> dict[str, str]:
    plan, job, censoring = prepared.plan, fits[0].job, censoring_of(prepared.plan)
    return _sections(
        "patients_model.txt.j2",
        plan=plan,
        hazard=plan.hazard(job.measure, job.data.n_intervals, job.apart),
        steps=plan.hazard(job.measure, job.data.n_intervals, job.apart, transition=True),
        forms=SLOPE_FORMS,
        sized=prepared.cohort.sized,
        endpoints=" and ".join(ENDPOINT_LABELS[endpoint] for endpoint in plan.landmarks.endpoints),
        intervals=_intervals_in_words(fits),
        covariates=job.data.covariate_names,
        terms=job.data.terms,
        arms=job.data.arms,
        studies=job.data.studies,
        shared_by=() if job.data.studies or len(prepared.cohort.studies) == 1 else prepared.cohort.studies,
        between=_between_in_words(fits),
        dated=PFS in plan.landmarks.endpoints and plan.landmarks.progression == AT_THE_SCAN,
        new_therapies=_new_therapies(prepared),
        ends_there=plan.landmarks.new_therapy == CENSORED_THERE,
        joint=any(job.joint for job in prepared.jobs),
        errors=_errors_in_words(fits),
        **_gaps_in_words(prepared, fits),
        censoring=censoring,
        imputed=[_imputed_in_words(f) for f in fits] if censoring else [],
        CHANGES=CHANGES,
        CENSORING=CENSORING,
    )


def _sections(name: str, **context: Any) -> dict[str, str]:
    """The sections of a template by heading, without those that are empty; equations keep their lines."""
    found = {}
    for section in template(name).render(context).split("## ")[1:]:
        heading, *lines = filter(None, section.splitlines())
        if lines:
            found[heading] = ("\n" if heading.startswith("Equation") else " ").join(lines)
    return found


def _between_in_words(fits: Sequence[Fitted]) -> str:
    """At each landmark, how many events lie between two scans, and how far these are apart."""
    jobs = {f.job.landmark.label: f.job for f in fits if f.job.data.between.any()}
    if not jobs:
        return ""
    counts = [f"{label} {j.data.between.sum()} of {int(j.data.event.sum())}" for label, j in jobs.items()]
    first, data = next((label, j.data) for label, j in jobs.items())
    months = rounded(float(np.median((data.time - data.last_known)[data.between])), 1)
    return f"{', '.join(counts)} events. At {first} the median time between the two scans is {months} months"


def _errors_in_words(fits: Sequence[Fitted]) -> str:
    """At the first landmark, how far best shrinkage is off as it is measured."""
    job = next((f.job for f in fits if isinstance(f.job.data, UncertainExposure)), None)
    if job is None or not isinstance(job.data, UncertainExposure):
        return ""
    spread = (POINTS_PER_UNIT * each for each in job.data.spread)
    parts = [
        f"{arm} {rounded(float(measured), 1)} points as measured and {rounded(float(true), 1)} in truth"
        for arm, measured, true in zip(job.data.arms, *spread, strict=True)
    ]
    return f"SD of best shrinkage between patients at {job.landmark.label}: {', '.join(parts)}."


def _new_therapies(prepared: PreparedPatients) -> str:
    """How many patients of each endpoint began one during follow-up, where it is known."""
    people = prepared.cohort.patients
    if NEW_THERAPY not in people:
        return ""
    began = {name: people[NEW_THERAPY] < people[f"{name}_time"] for name in prepared.plan.landmarks.endpoints}
    return " and ".join(
        f"{counted(int(n.sum()), 'patient')} before the end of {name.upper()}" for name, n in began.items()
    )


def _gaps_in_words(prepared: PreparedPatients, fits: Sequence[Fitted]) -> dict[str, Any]:
    """What is missing at each landmark, by covariate and arm, and the largest share of information that a
    hazard ratio lacks for it."""
    tables = missing_tables(prepared.sets, at_landmarks(fits))
    known, found = tables["missing_information"], tables["missing"]
    by_place = found.groupby(["endpoint", "landmark", "covariate"], sort=False)
    gaps = []
    for (endpoint, label, name), rows in by_place:
        rows = rows.drop_duplicates("arm")
        shares = (f"{r.arm} {r.missing} of {r.n}" for r in rows.itertuples())
        gaps.append(f"{endpoint.upper()}, {label}, {name}: {', '.join(shares)}")
    return {"gaps": gaps, "unknown": percent(known["missing_information"].max()) if len(known) else ""}


def _imputed_in_words(fitted: Fitted) -> str:
    counts = fitted.fit["constant_data"].sum()
    whose, censored = float(counts["n_concerned"]), float(counts["n"] - counts["n_events"])
    imputed = rounded(float(counts["imputed_events"]), 1)
    return f"{fitted.job.label}: {format_count(whose)} of {format_count(censored)}, {imputed}"


def _intervals_in_words(fits: Sequence[Fitted]) -> str:
    numbers: dict[str, set[int]] = {}
    for f in fits:
        numbers.setdefault(ENDPOINT_LABELS[f.job.endpoint], set()).add(f.job.data.n_intervals)
    return ", ".join(
        f"{name} {min(found)}" + (f" to {max(found)}" if len(found) > 1 else "")
        for name, found in numbers.items()
    )


@model_in_words.register
def _network_model(prepared: PreparedNetwork, fits: Sequence) -> dict[str, str]:
    return synthesis_in_words(prepared.network)


def synthesis_in_words(network: Network) -> dict[str, str]:
    """The model of a network by heading."""
    statistics = set(network.rows["statistic"])
    found = dict.fromkeys(kind.likelihood for name, kind in KINDS.items() if name in statistics)
    return _sections(
        "synthesis_model.txt.j2",
        network=network,
        likelihoods=list(filter(None, found)),
        borrowed=borrowing_in_words,
        percent=percent,
        sentence=_sentence,
        spread=_spread,
    )


def _sentence(parts: Iterable[str]) -> str:
    text = "; ".join(parts)
    return f"{capitalised(text)}." if text else ""


def _spread(prior: Heterogeneity) -> str:
    if isinstance(prior, Fixed):
        return f"heterogeneity fixed at {prior.value:g}"
    if isinstance(prior, HalfCauchy):
        return f"half-Cauchy heterogeneity of scale {prior.scale:g}"
    return f"half-normal heterogeneity of scale {prior.sd:g}"
