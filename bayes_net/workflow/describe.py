"""What is analysed, what was found, and the model in words: for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import singledispatch

import pandas as pd

from bayes_net.evidence.kinds import KINDS
from bayes_net.model.assumptions import PER_ARM, SLOPE_FORMS, Hazard, SlopePrior
from bayes_net.model.network import Network
from bayes_net.model.priors import (
    EXCHANGEABLE,
    GAUSSIAN_PROCESS,
    INDEPENDENT,
    Fixed,
    HalfCauchy,
    Heterogeneity,
)
from bayes_net.numbers import (
    Column,
    capitalised,
    format_count,
    format_probability,
    format_ratio,
    percent,
    rounded,
    text_table,
)
from bayes_net.report.patients import CENSORING, CHANGES
from bayes_net.report.tables import format_printed, hazard_ratio_table
from bayes_net.results.fits import Fitted
from bayes_net.results.synthesis import borrowing_in_words
from bayes_net.schema import ASSOCIATION, ENDPOINT_LABELS, PER_1_POINT, PER_10_POINTS, words
from bayes_net.specification.patients import PatientsPlan
from bayes_net.workflow.analysis import Analysis, Prepared
from bayes_net.workflow.patients import PreparedPatients, censoring_of
from bayes_net.workflow.synthesis import PreparedNetwork

Titled = tuple[str, pd.DataFrame]
"""A heading and a table of text."""


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


def found_in_words(analysis: Analysis) -> Iterator[Titled]:
    """The hazard ratios of a finished run, in tables of text."""
    return _found(analysis.prepared, analysis)


@singledispatch
def _found(prepared: Prepared, analysis: Analysis) -> Iterator[Titled]:
    raise NotImplementedError(type(prepared).__name__)


@_found.register
def _patients_found(prepared: PreparedPatients, analysis: Analysis) -> Iterator[Titled]:
    rows = analysis.tables["hazard_ratios"]
    rows = rows[(rows["estimand"] == ASSOCIATION) & (rows["measure"] != PER_1_POINT)]
    for (endpoint, measure), part in rows.groupby(["endpoint", "measure"], sort=False):
        yield f"{words(endpoint)}: {measure}", hazard_ratio_table(part)


@_found.register
def _network_found(prepared: PreparedNetwork, analysis: Analysis) -> Iterator[Titled]:
    mark = "" if analysis.fits[0].gate.passed else " (the gate failed: not to be used)"
    ratio: dict[str, Column] = {
        "HR ({interval})": format_ratio,
        "Pr(HR < 1)": ("prob_below_1", format_probability),
    }
    endpoint, arm = {"endpoint": ("endpoint", words)}, {"arm": ("arm", str), "landmark": ("landmark", str)}
    study, printed = {"estimand": ("estimand", str), "study": ("study", str)}, {"": ("status", str)}
    if "hazard_ratios" in analysis.tables:
        rows = analysis.tables["hazard_ratios"]
        rows = rows[rows["measure"] == PER_10_POINTS]
        columns = endpoint | arm | ratio | printed | {"printed": format_printed}
        yield f"Shrinkage, per 10 points{mark}", text_table(rows, columns)
    if "arms_and_studies" in analysis.tables:
        columns = endpoint | study | ratio
        yield f"Arms and studies{mark}", text_table(analysis.tables["arms_and_studies"], columns)


@singledispatch
def model_in_words(prepared: Prepared, fits: Sequence) -> dict[str, str]:
    """The model by heading, for the report; a heading that begins with "Equation" is set as mathematics."""
    raise NotImplementedError(type(prepared).__name__)


@model_in_words.register
def _patients_model(prepared: PreparedPatients, fits: Sequence[Fitted]) -> dict[str, str]:
    plan, job = prepared.plan, fits[0].job
    wanted, sampling, data, hazard = plan.landmarks, plan.sampling, job.data, plan.hazard(job.measure)
    endpoints = " and ".join(ENDPOINT_LABELS[endpoint] for endpoint in wanted.endpoints)
    baseline = "the arms share their baseline"
    if hazard.baseline == PER_ARM:
        baseline = "each arm has a baseline of its own"
    smoothing = "a random walk from interval to interval (steps scaled by the time between midpoints)"
    if hazard.smoothing == INDEPENDENT:
        smoothing = "independent from interval to interval"
    headings = {
        "Endpoints": f"{endpoints}, from each landmark; “no limit” from randomisation.",
        "Shrinkage": (
            "Best percentage decrease of the sum of diameters by the landmark and before progression, in "
            f"units of 10 points from {wanted.shrinkage_reference:g}: above 0 the tumour is smaller."
        ),
        "Estimand": (
            "Within an arm, among patients at risk and assessed at the landmark (event-free, unless the "
            "population of OS is all patients alive): the hazard ratio of those with 10 points more "
            "shrinkage by then, and survival, median and restricted mean after the landmark at a given "
            "shrinkage. Death is an event of PFS; treatment after the landmark is part of what follows."
        ),
        "Response": _response_in_words(wanted.thresholds, wanted.intention_to_treat),
        "Hazard": (
            f"Constant within intervals ({_intervals_in_words(fits)}); {baseline}; its logarithm is "
            f"{smoothing}; {SLOPE_FORMS[hazard.slopes].in_words}. Every landmark has parameters of its own."
        ),
        "Equation": _equation(hazard, wanted.shrinkage_reference, bool(data.covariate_names)),
        CHANGES: SLOPE_FORMS[hazard.slopes].over_time,
        "Covariates": ", ".join(data.covariate_names),
        CENSORING: _censoring_in_words(plan, fits),
        "Estimation": (
            f"No-U-Turn sampler, {sampling.chains} chains of {sampling.draws} draws "
            f"after {sampling.tune} of tuning."
        ),
    }
    return {heading: text for heading, text in headings.items() if text}


def _response_in_words(thresholds: Sequence[float], intention_to_treat: bool) -> str:
    if not thresholds:
        return ""
    rules = " and ".join(f"{threshold:g}" for threshold in thresholds)
    who = (
        "patients without a scan by the landmark, or with progression as their best response, count as "
        "not responding (intention to treat)"
        if intention_to_treat
        else "among the patients of the continuous analysis"
    )
    return f"Shrinkage of at least {rules} % against less, in models of their own; {who}."


def _censoring_in_words(plan: PatientsPlan, fits: Sequence[Fitted]) -> str:
    censoring = censoring_of(plan)
    if censoring is None:
        return ""
    numbers = []
    for f in fits:
        counts = f.fit["constant_data"].sum()
        whose, censored = float(counts["n_concerned"]), float(counts["n"] - counts["n_events"])
        imputed = rounded(float(counts["imputed_events"]), 1)
        numbers.append(f"{f.job.label}: {format_count(whose)} of {format_count(censored)}, {imputed}")
    return (
        f"{censoring.assumed(f'{censoring.factor:g}')} This is an assumption: no data can tell the factor. "
        f"Patients concerned of those censored, and events imputed on average: {'; '.join(numbers)}. "
        "Everywhere else patients and events are counted, and Kaplan–Meier curves drawn, as observed. "
        "Replicated data, leave-one-out and power-scaling are left out: they compare with what was observed."
    )


def _intervals_in_words(fits: Sequence[Fitted]) -> str:
    numbers: dict[str, set[int]] = {}
    for f in fits:
        numbers.setdefault(ENDPOINT_LABELS[f.job.endpoint], set()).add(f.job.data.n_intervals)
    return ", ".join(
        f"{name} {min(found)}" + (f" to {max(found)}" if len(found) > 1 else "")
        for name, found in numbers.items()
    )


def _equation(hazard: Hazard, reference: float, covariates: bool) -> str:
    score = f"(shrinkage − {reference:g})" if reference > 0 else f"(shrinkage + {-reference:g})"
    baseline = "α[arm, interval]" if hazard.baseline == PER_ARM else "α[interval] + θ[arm]"
    score = score if reference else "shrinkage"
    slope = f"{SLOPE_FORMS[hazard.slopes].symbol} · {score} / 10"
    return f"log h(t) = {baseline} + {slope}" + (" + γ · covariates" if covariates else "")


@model_in_words.register
def _network_model(prepared: PreparedNetwork, fits: Sequence) -> dict[str, str]:
    return synthesis_in_words(prepared.network)


def synthesis_in_words(network: Network) -> dict[str, str]:
    """The model of a network by heading."""
    assumed = network.assumptions
    headings = {
        "Estimand": _estimand(network),
        "Curves": _curves(network) if network.curves else "",
        "Equation of a curve": _curve_equation(network) if network.curves else "",
        "Slopes": _slopes(assumed.slopes, network) if network.slope_endpoints else "",
        "Equation of a slope": _slope_equation(assumed.slopes, network) if network.slope_endpoints else "",
        "Response": _responses(network) if network.groups("response") else "",
        "Published numbers": _published(network),
        "Patients": _patients(network),
        "Not in the likelihood": "Numbers held out are predicted and compared; records are shown only.",
    }
    return {heading: text for heading, text in headings.items() if text}


def _sentence(parts: Sequence[str]) -> str:
    return f"{capitalised('; '.join(parts))}." if parts else ""


def _estimand(network: Network) -> str:
    parts = {
        "within an arm, among patients still at risk at a landmark, the hazard ratio of those with 10 points "
        "more shrinkage by then": network.slope_endpoints,
        "the hazard ratio of whole arms from randomisation": network.effects,
        "the probability of response as each study defines it": network.groups("response"),
    }
    return _sentence([part for part, there in parts.items() if there])


def _curves(network: Network) -> str:
    assumed = network.assumptions
    smooth = "a random walk" if assumed.smoothing == "rw1" else "independent intervals"
    sentence = (
        "The survival of one arm of one study, averaged over shrinkage, from randomisation or start of "
        f"treatment. Its log hazard is constant within {network.n_intervals} intervals ({smooth}); the arms’ "
        "hazards are proportional."
    )
    if network.borrowers:
        sentence += (
            f" Studies without a baseline of their own have that of {assumed.reference} times a level; "
            f"levels are {borrowing_in_words(assumed.study_level)}."
        )
    if network.pools_effects:
        sentence += f" Arm effects of studies are exchangeable, {_spread(assumed.arm_heterogeneity)}."
    return sentence


def _curve_equation(network: Network) -> str:
    parts = ["α[baseline, interval]"]
    if network.effects:
        parts.append("θ[study] · (second arm)")
    if network.borrowers:
        parts.append("γ[study]")
    return "log h(t) = " + " + ".join(parts)


def _slopes(slopes: SlopePrior, network: Network) -> str:
    how = {
        GAUSSIAN_PROCESS: f"neighbouring landmarks have similar slopes (Gaussian process in log time, length "
        f"{slopes.length:g}; {percent(slopes.level)} of the variance is common to all landmarks)",
        EXCHANGEABLE: f"landmarks vary around a common mean, {_spread(slopes.heterogeneity)}",
    }.get(slopes.structure, "every landmark has a slope of its own")
    sentence = f"Log hazard ratio per 10 points of shrinkage, in each arm at each landmark: {how}."
    if network.biased_slopes:
        sentence += (
            " “No limit” stands apart: what is printed is its slope plus a guarantee-time bias, whose size "
            "is assumed."
        )
    return sentence


def _slope_equation(slopes: SlopePrior, network: Network) -> str:
    if slopes.structure == GAUSSIAN_PROCESS:
        lines = ["cov{β(l), β(l′)} = τ² · [ℓ₀ + (1 − ℓ₀) · exp(−(log l − log l′)² / 2λ²)]"]
    elif slopes.structure == EXCHANGEABLE:
        lines = ["β(l) ~ normal(mean, heterogeneity)"]
    else:
        lines = ["β(l) ~ normal(0, τ)"]
    if network.biased_slopes:
        lines.append("printed log HR of no limit, per 10 points = β(no limit) + δ")
    return "\n".join(lines)


def _responses(network: Network) -> str:
    if not network.pooled_responses.any():
        return "A probability of response in each study and arm, by itself."
    return (
        "Logits of response in the last arm share a mean; differences between studies are "
        f"{borrowing_in_words(network.assumptions.response)}."
    )


def _spread(prior: Heterogeneity) -> str:
    if isinstance(prior, Fixed):
        return f"heterogeneity fixed at {prior.value:g}"
    if isinstance(prior, HalfCauchy):
        return f"half-Cauchy heterogeneity of scale {prior.scale:g}"
    return f"half-normal heterogeneity of scale {prior.sd:g}"


def _published(network: Network) -> str:
    kinds = [kind for name, kind in KINDS.items() if (network.rows["statistic"] == name).any()]
    found = list(dict.fromkeys(kind.likelihood for kind in kinds if kind.likelihood))
    if not found:
        return ""
    found.append("standard errors come from the printed limits; numbers of the same patients are correlated")
    return _sentence(found)


def _patients(network: Network) -> str:
    studies = list(dict.fromkeys(cohort.study for cohort in network.cohorts))
    if not studies:
        return ""
    sentence = f"{', '.join(studies)}: events and time at risk of every patient inform the curves"
    if network.landmark_cohorts:
        at = ", ".join(dict.fromkeys(f"{c.study} at {c.landmark}" for c in network.landmark_cohorts))
        sentence += f"; those at risk at the landmark ({at}) inform the slopes"
    return sentence + "."
