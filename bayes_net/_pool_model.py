"""What a synthesis assumes, for its report: the model in words, its equations, and what its priors imply."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from bayes_net import tables
from bayes_net._pooled import log_cumulative_hazard
from bayes_net.assumptions import (
    COMMENSURATE,
    EXCHANGEABLE,
    FULL,
    GAUSSIAN_PROCESS,
    NONE,
    Assumptions,
    Borrowing,
    Fixed,
    HalfCauchy,
    SlopePrior,
)
from bayes_net.pool import Pool
from bayes_net.predictions import curve_log_hazard
from bayes_net.published import CURVES, EFFECTS, SLOPES
from bayes_net.schema import ENDPOINT_LABELS, SAMPLE_DIMS

YEAR = 12.0
_LIKELIHOODS = (
    (CURVES, "points of a curve (survival at a time, medians): normal on the log cumulative hazard"),
    (EFFECTS, "hazard ratios of arms: normal on the log scale"),
    (SLOPES, "hazard ratios per point of shrinkage: normal on the log scale"),
    (("count",), "counts: binomial, thresholds of the same patients nested"),
)


def model_in_words(pool: Pool) -> dict[str, str]:
    """The model by heading; a heading that begins with "Equation" is set as mathematics."""
    assumed = pool.assumptions
    words = {
        "Estimand": _estimand(pool),
        "Curves": _curves(pool) if pool.curves else "",
        "Equation of a curve": _curve_equation(pool) if pool.curves else "",
        "Slopes": _slopes(assumed.slopes, pool) if pool.slope_groups else "",
        "Equation of a slope": _slope_equation(assumed.slopes, pool) if pool.slope_groups else "",
        "Response": _responses(pool) if pool.groups("response") else "",
        "Published numbers": _published(pool),
        "Patients": _patients(pool),
        "Not in the likelihood": "Numbers held out are predicted and compared; records are shown only.",
    }
    return {heading: text for heading, text in words.items() if text}


def _estimand(pool: Pool) -> str:
    parts = []
    if pool.slope_groups:
        parts.append(
            "within an arm, among patients still at risk at a landmark, the hazard ratio of those with 10 "
            "points more shrinkage by then"
        )
    if pool.effects:
        parts.append("the hazard ratio of whole arms from randomisation")
    if pool.groups("response"):
        parts.append("the probability of response as each study defines it")
    said = "; ".join(parts)
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _curves(pool: Pool) -> str:
    assumed = pool.assumptions
    smooth = "a random walk" if assumed.smoothing == "rw1" else "independent intervals"
    said = (
        "The survival of one arm of one study, averaged over shrinkage, from randomisation or start of "
        f"treatment. Its log hazard is constant within {pool.n_intervals} intervals ({smooth}); the arms’ "
        "hazards are proportional."
    )
    if pool.levels:
        said += (
            f" Studies without a baseline of their own have that of {assumed.reference} times a level; "
            f"levels are {_borrowed(assumed.study_level)}."
        )
    if pool.pools_effects:
        said += f" Arm effects of studies are exchangeable, {_spread(assumed.arm_heterogeneity)}."
    return said


def _curve_equation(pool: Pool) -> str:
    parts = ["α[baseline, interval]"]
    if pool.effects:
        parts.append("θ[study] · (second arm)")
    if pool.levels:
        parts.append("γ[study]")
    return "log h(t) = " + " + ".join(parts)


def _slopes(slopes: SlopePrior, pool: Pool) -> str:
    how = {
        GAUSSIAN_PROCESS: f"neighbouring landmarks have similar slopes (Gaussian process in log time, length "
        f"{slopes.length:g}; {100 * slopes.level:.3g} % of the variance is common to all landmarks)",
        EXCHANGEABLE: f"landmarks vary around a common mean, {_spread(slopes.heterogeneity)}",
    }.get(slopes.structure, "every landmark has a slope of its own")
    said = f"Log hazard ratio per 10 points of shrinkage, in each arm at each landmark: {how}."
    if pool.biased_groups:
        said += (
            " “No limit” stands apart: what is printed is its slope plus a guarantee-time bias, whose prior "
            "comes from simulations of a trial without any association."
        )
    return said


def _slope_equation(slopes: SlopePrior, pool: Pool) -> str:
    if slopes.structure == GAUSSIAN_PROCESS:
        lines = ["cov{β(l), β(l′)} = τ² · [ℓ₀ + (1 − ℓ₀) · exp(−(log l − log l′)² / 2λ²)]"]
    elif slopes.structure == EXCHANGEABLE:
        lines = ["β(l) ~ normal(mean, heterogeneity)"]
    else:
        lines = ["β(l) ~ normal(0, τ)"]
    if pool.biased_groups:
        lines.append("printed log HR of no limit, per 10 points = β(no limit) + δ")
    return "\n".join(lines)


def _responses(pool: Pool) -> str:
    if not pool.pooled_responses.any():
        return "A probability of response in each study and arm, by itself."
    return (
        "Logits of response in the last arm share a mean; differences between studies are "
        f"{_borrowed(pool.assumptions.response)}."
    )


def _borrowed(rule: Borrowing) -> str:
    if rule.kind == FULL:
        return "taken as none (full pooling)"
    if rule.kind == NONE:
        return f"not pooled (SD {rule.vague_sd:g})"
    if rule.kind == EXCHANGEABLE:
        return f"exchangeable (half-normal heterogeneity of scale {rule.sd:g})"
    name = "spike and slab" if rule.kind == COMMENSURATE else "a robust mixture"
    return (
        f"{name}: normal with SD {rule.sd:g} with probability {rule.weight:g}, else with SD {rule.vague_sd:g}"
    )


def _spread(prior) -> str:
    if isinstance(prior, Fixed):
        return f"heterogeneity fixed at {prior.value:g}"
    if isinstance(prior, HalfCauchy):
        return f"half-Cauchy heterogeneity of scale {prior.scale:g}"
    return f"half-normal heterogeneity of scale {prior.sd:g}"


def _published(pool: Pool) -> str:
    found = [text for statistics, text in _LIKELIHOODS if len(pool.rows) and pool.is_of(statistics).any()]
    if not found:
        return ""
    found.append("standard errors come from the printed limits; numbers of the same patients are correlated")
    return "; ".join(found)[:1].upper() + "; ".join(found)[1:] + "."


def _patients(pool: Pool) -> str:
    studies = list(dict.fromkeys(cohort.study for cohort in pool.cohorts))
    if not studies:
        return ""
    said = f"{', '.join(studies)}: events and time at risk of every patient inform the curves"
    if pool.landmark_cohorts:
        at = ", ".join(dict.fromkeys(f"{c.study} at {c.landmark}" for c in pool.landmark_cohorts))
        said += f"; those at risk at the landmark ({at}) inform the slopes"
    return said + "."


def prior_table(fit: xr.DataTree, pool: Pool) -> pd.DataFrame:
    """Every prior: parameter, what was stated, and what it implies by simulation (95 %)."""
    rows = list(_prior_rows(fit["prior"].to_dataset(), pool))
    return pd.DataFrame(rows, columns=["parameter", "statement", "implies"])


def _prior_rows(draws: xr.Dataset, pool: Pool) -> Iterator[tuple[str, str, str]]:
    assumed = pool.assumptions
    if pool.curves:
        at_a_year = np.exp(-np.exp(_log_hazard_at(draws, pool, YEAR)))
        survival = f"survival at 12 months: {_range(at_a_year)}"
        yield "hazard of a baseline, averaged over time", assumed.level.statement, survival
        yield "change of the log hazard over time", assumed.step_sd.statement, "–"
    if "arm_effect" in draws:
        yield _ratio_row("hazard ratio of the arms", assumed.arm_effect.statement, draws["arm_effect"])
    if "study_level" in draws:
        said = f"levels are {_borrowed(assumed.study_level)}"
        yield _ratio_row("hazard of a study against the reference", said, draws["study_level"])
    if "slope" in draws:
        name, said = "hazard ratio per 10 points of shrinkage", assumed.slopes.prior.statement
        yield _ratio_row(name, said, draws["slope"])
    if "bias" in draws:
        yield from _bias_rows(draws["bias"], assumed)
    if "response" in draws:
        implied = f"probability: {_range(expit(draws['response'].isel(response_group=-1)))}"
        yield "probability of response", assumed.response_probability.statement, implied
    if "completion" in draws:
        said = assumed.completion.statement.replace("hazard ratios", "odds ratios")
        name = "odds ratio of response at completion"
        yield _ratio_row(name, said, draws["completion"])


def _bias_rows(bias: xr.DataArray, assumed: Assumptions) -> Iterator[tuple[str, str, str]]:
    for group in bias["bias_of"].values:
        endpoint, arm = str(group).split(" ", 1)
        mean, sd = assumed.bias[arm]
        said = f"normal, mean {mean:g}, SD {sd:g} per point, times {assumed.bias_scale:g}"
        name = f"guarantee-time bias of no limit, {ENDPOINT_LABELS.get(endpoint, endpoint)}, {arm}"
        implied = f"factor on the hazard ratio per 10 points: {_range(np.exp(bias.sel(bias_of=group)))}"
        yield name, said, implied


def _ratio_row(name: str, statement: str, logs: xr.DataArray) -> tuple[str, str, str]:
    one = logs.isel({dim: 0 for dim in logs.dims if dim not in SAMPLE_DIMS})
    return name, statement or "–", f"ratio: {_range(np.exp(one))}"


def _log_hazard_at(draws: xr.Dataset, pool: Pool, month: float) -> np.ndarray:
    first = curve_log_hazard(draws, pool.curves[0])
    return log_cumulative_hazard(first[:, None, :], pool.months(np.array([month])))


def _range(values) -> str:
    lower, upper = np.quantile(np.asarray(values), (0.025, 0.975))
    return f"{tables.format_plainly(lower)} to {tables.format_plainly(upper)} (95 %)"
