"""What a synthesis assumes, for its report: the model in words, its equations, and what its priors imply."""

from __future__ import annotations

from collections.abc import Sequence

from bayes_net.evidence.statistics import CURVES, EFFECTS, SLOPES
from bayes_net.model.assumptions import COMMON, PER_ARM, TIME_VARYING, Hazard, SlopePrior
from bayes_net.model.network import Network
from bayes_net.model.priors import EXCHANGEABLE, GAUSSIAN_PROCESS, INDEPENDENT, Fixed, HalfCauchy
from bayes_net.report.patients import CENSORING, OVER_TIME, OVER_TIME_IN_WORDS
from bayes_net.results.synthesis import borrowing_in_words
from bayes_net.schema import ENDPOINT_LABELS
from bayes_net.workflow.analysis import Analysis
from bayes_net.workflow.patients import censoring_of

_PATIENTS_SLOPES = {
    PER_ARM: "one slope per arm",
    COMMON: "one slope for all arms",
    TIME_VARYING: "a slope in each arm and interval, a random walk over the intervals too",
}


def model_in_words(analysis: Analysis, hazard: Hazard) -> dict[str, str]:
    """The model by heading, for the report."""
    specification, data = analysis.prepared.specification, analysis.fits[0].job.data
    wanted, sampling = specification.landmarks, specification.sampling
    endpoints = " and ".join(ENDPOINT_LABELS[endpoint] for endpoint in wanted.endpoints)
    baseline = (
        "each arm has a baseline of its own"
        if hazard.baseline == PER_ARM
        else "the arms share their baseline"
    )
    smoothing = "a random walk from interval to interval (steps scaled by the time between midpoints)"
    if hazard.smoothing == INDEPENDENT:
        smoothing = "independent from interval to interval"
    words = {
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
            f"Constant within intervals ({_intervals_in_words(analysis)}); {baseline}; its logarithm is "
            f"{smoothing}; {_PATIENTS_SLOPES[hazard.slopes]}. Every landmark has parameters of its own."
        ),
        "Equation": _equation(hazard, wanted.shrinkage_reference, bool(data.covariate_names)),
        OVER_TIME: OVER_TIME_IN_WORDS if hazard.slopes == TIME_VARYING else "",
        "Covariates": ", ".join(data.covariate_names),
        CENSORING: _censoring_in_words(analysis),
        "Estimation": (
            f"No-U-Turn sampler, {sampling.chains} chains of {sampling.draws} draws "
            f"after {sampling.tune} of tuning."
        ),
    }
    return {heading: text for heading, text in words.items() if text}


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


def _censoring_in_words(analysis: Analysis) -> str:
    censoring = censoring_of(analysis.prepared.specification)
    if censoring is None:
        return ""
    counted = []
    for f in analysis.fits:
        known = f.fit["constant_data"].sum()
        open_ended = float(known["n"] - known["n_events"])
        imputed = f"{float(known['imputed_events']):.1f}"
        counted.append(f"{f.job.label}: {float(known['n_concerned']):.0f} of {open_ended:.0f}, {imputed}")
    return (
        f"{censoring.assumed(f'{censoring.factor:g}')} This is an assumption: no data can tell the factor. "
        f"Patients concerned of those censored, and events imputed on average: {'; '.join(counted)}. "
        "Everywhere else patients and events are counted, and Kaplan–Meier curves drawn, as observed. "
        "Replicated data, leave-one-out and power-scaling are left out: they compare with what was observed."
    )


def _intervals_in_words(analysis: Analysis) -> str:
    numbers: dict[str, set[int]] = {}
    for f in analysis.fits:
        numbers.setdefault(ENDPOINT_LABELS[f.job.endpoint], set()).add(f.job.data.n_intervals)
    return ", ".join(
        f"{name} {min(found)}" + (f" to {max(found)}" if len(found) > 1 else "")
        for name, found in numbers.items()
    )


def _equation(hazard: Hazard, reference: float, covariates: bool) -> str:
    score = f"(shrinkage − {reference:g})" if reference > 0 else f"(shrinkage + {-reference:g})"
    baseline = "α[arm, interval]" if hazard.baseline == PER_ARM else "α[interval] + θ[arm]"
    slope = {COMMON: "β", TIME_VARYING: "β[arm, interval]"}.get(hazard.slopes, "β[arm]")
    score = score if reference else "shrinkage"
    return f"log h(t) = {baseline} + {slope} · {score} / 10" + (" + γ · covariates" if covariates else "")


_LIKELIHOODS = (
    (CURVES, "points of a curve (survival at a time, medians): normal on the log cumulative hazard"),
    (EFFECTS, "hazard ratios of arms: normal on the log scale"),
    (SLOPES, "hazard ratios per point of shrinkage: normal on the log scale"),
    (("count",), "counts: binomial, thresholds of the same patients nested"),
)


def synthesis_in_words(network: Network) -> dict[str, str]:
    """The model by heading; a heading that begins with "Equation" is set as mathematics."""
    assumed = network.assumptions
    words = {
        "Estimand": _estimand(network),
        "Curves": _curves(network) if network.curves else "",
        "Equation of a curve": _curve_equation(network) if network.curves else "",
        "Slopes": _slopes(assumed.slopes, network) if network.slope_groups else "",
        "Equation of a slope": _slope_equation(assumed.slopes, network) if network.slope_groups else "",
        "Response": _responses(network) if network.groups("response") else "",
        "Published numbers": _published(network),
        "Patients": _patients(network),
        "Not in the likelihood": "Numbers held out are predicted and compared; records are shown only.",
    }
    return {heading: text for heading, text in words.items() if text}


def _estimand(network: Network) -> str:
    parts = []
    if network.slope_groups:
        parts.append(
            "within an arm, among patients still at risk at a landmark, the hazard ratio of those with 10 "
            "points more shrinkage by then"
        )
    if network.effects:
        parts.append("the hazard ratio of whole arms from randomisation")
    if network.groups("response"):
        parts.append("the probability of response as each study defines it")
    said = "; ".join(parts)
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _curves(network: Network) -> str:
    assumed = network.assumptions
    smooth = "a random walk" if assumed.smoothing == "rw1" else "independent intervals"
    said = (
        "The survival of one arm of one study, averaged over shrinkage, from randomisation or start of "
        f"treatment. Its log hazard is constant within {network.n_intervals} intervals ({smooth}); the arms’ "
        "hazards are proportional."
    )
    if network.levels:
        said += (
            f" Studies without a baseline of their own have that of {assumed.reference} times a level; "
            f"levels are {borrowing_in_words(assumed.study_level)}."
        )
    if network.pools_effects:
        said += f" Arm effects of studies are exchangeable, {_spread(assumed.arm_heterogeneity)}."
    return said


def _curve_equation(network: Network) -> str:
    parts = ["α[baseline, interval]"]
    if network.effects:
        parts.append("θ[study] · (second arm)")
    if network.levels:
        parts.append("γ[study]")
    return "log h(t) = " + " + ".join(parts)


def _slopes(slopes: SlopePrior, network: Network) -> str:
    how = {
        GAUSSIAN_PROCESS: f"neighbouring landmarks have similar slopes (Gaussian process in log time, length "
        f"{slopes.length:g}; {100 * slopes.level:.3g} % of the variance is common to all landmarks)",
        EXCHANGEABLE: f"landmarks vary around a common mean, {_spread(slopes.heterogeneity)}",
    }.get(slopes.structure, "every landmark has a slope of its own")
    said = f"Log hazard ratio per 10 points of shrinkage, in each arm at each landmark: {how}."
    if network.biased_groups:
        said += (
            " “No limit” stands apart: what is printed is its slope plus a guarantee-time bias, whose prior "
            "comes from simulations of a trial without any association."
        )
    return said


def _slope_equation(slopes: SlopePrior, network: Network) -> str:
    if slopes.structure == GAUSSIAN_PROCESS:
        lines = ["cov{β(l), β(l′)} = τ² · [ℓ₀ + (1 − ℓ₀) · exp(−(log l − log l′)² / 2λ²)]"]
    elif slopes.structure == EXCHANGEABLE:
        lines = ["β(l) ~ normal(mean, heterogeneity)"]
    else:
        lines = ["β(l) ~ normal(0, τ)"]
    if network.biased_groups:
        lines.append("printed log HR of no limit, per 10 points = β(no limit) + δ")
    return "\n".join(lines)


def _responses(network: Network) -> str:
    if not network.pooled_responses.any():
        return "A probability of response in each study and arm, by itself."
    return (
        "Logits of response in the last arm share a mean; differences between studies are "
        f"{borrowing_in_words(network.assumptions.response)}."
    )


def _spread(prior) -> str:
    if isinstance(prior, Fixed):
        return f"heterogeneity fixed at {prior.value:g}"
    if isinstance(prior, HalfCauchy):
        return f"half-Cauchy heterogeneity of scale {prior.scale:g}"
    return f"half-normal heterogeneity of scale {prior.sd:g}"


def _published(network: Network) -> str:
    found = [
        text for statistics, text in _LIKELIHOODS if len(network.rows) and network.is_of(statistics).any()
    ]
    if not found:
        return ""
    found.append("standard errors come from the printed limits; numbers of the same patients are correlated")
    return "; ".join(found)[:1].upper() + "; ".join(found)[1:] + "."


def _patients(network: Network) -> str:
    studies = list(dict.fromkeys(cohort.study for cohort in network.cohorts))
    if not studies:
        return ""
    said = f"{', '.join(studies)}: events and time at risk of every patient inform the curves"
    if network.landmark_cohorts:
        at = ", ".join(dict.fromkeys(f"{c.study} at {c.landmark}" for c in network.landmark_cohorts))
        said += f"; those at risk at the landmark ({at}) inform the slopes"
    return said + "."
