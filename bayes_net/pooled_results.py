"""The tidy tables of a synthesis, computed from its draws: CSV files and the report's numbers."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from bayes_net import estimands
from bayes_net.new_study import new_arm_effect, new_response
from bayes_net.pool import Pool
from bayes_net.predictions import slopes_of
from bayes_net.published import PER_POINT_PCHG, SLOPES
from bayes_net.results import HAZARD_RATIO_BOUNDS
from bayes_net.schema import BIAS_TAKEN_OFF, NO_LIMIT, OBSERVED, SAMPLE_DIMS

IN_PRINT, HELD_OUT, PREDICTED = "in print", "in print, held out", "not in print: predicted"
NO_BIAS_TERM = "no bias term"
FROM_PATIENTS = "from patients"

_PRINTED = ("printed", "printed_lower", "printed_upper")


def hazard_ratios(fit: xr.DataTree, pool: Pool, printed: pd.DataFrame, *, level: float) -> pd.DataFrame:
    """Posterior hazard ratios of shrinkage by endpoint, arm and landmark, per 10 points and per 1, beside
    the printed ones.

    "no limit" comes twice: as observed, and with the guarantee-time bias taken off (status
    ``BIAS_TAKEN_OFF``, or ``NO_BIAS_TERM`` where none is specified). ``printed`` are all rows of the
    evidence. ``contraction`` is 1 - posterior SD / prior SD of the log hazard ratio.
    """
    if not pool.slope_groups:
        return pd.DataFrame()
    after, before = (slopes_of(fit[group].to_dataset(), pool) for group in ("posterior", "prior"))
    parts = []
    for per, measure in ((10.0, "shrinkage, per 10 points"), (1.0, "shrinkage, per 1 point")):
        logs = (before * per / 10.0, after * per / 10.0)
        table = ratio_summary(np.exp(logs[1]), level=level).assign(measure=measure)
        parts.append(table.assign(**contraction(*logs)))
    table = pd.concat(parts, ignore_index=True)
    table[["endpoint", "arm"]] = table["slope_of"].str.split(" ", n=1, expand=True)
    table["biased"] = table["landmark"].isin((NO_LIMIT, OBSERVED))
    table = pd.concat([table, _beside(table, printed, with_bias=pool.biased_groups)], axis=1)
    known = {
        (cohort.endpoint, cohort.landmark, arm)
        for cohort in pool.landmark_cohorts
        for arm, n in zip(pool.assumptions.arms, cohort.exposure.n_by_arm, strict=True)
        if n and cohort.weight
    }
    keys = zip(table["endpoint"], table["landmark"], table["arm"], strict=True)
    observed = np.array([key in known for key in keys])
    table.loc[observed & (table["status"] == PREDICTED), "status"] = FROM_PATIENTS
    first = ["endpoint", "arm", "landmark", "measure", "biased", "hr", "lower", "upper", "level"]
    first += [*HAZARD_RATIO_BOUNDS, "status", "row", "printed", "printed_lower", "printed_upper"]
    first += ["prior_sd", "posterior_sd", "contraction"]
    return table[[*first, "mcse_hr", "mcse_lower", "mcse_upper", "ess_bulk", "ess_tail", "rhat"]]


def ratio_summary(ratios: xr.DataArray, *, level: float) -> pd.DataFrame:
    """Median, interval, region probabilities and errors of hazard ratios, one row each."""
    table = estimands.summarise(ratios, prob=level).rename(columns={"estimate": "hr", "mcse": "mcse_hr"})
    for name, (above, below) in HAZARD_RATIO_BOUNDS.items():
        table[name] = np.ravel(estimands.probability(ratios, above=above, below=below).values)
    return table


def contraction(before: xr.DataArray, after: xr.DataArray) -> dict[str, np.ndarray]:
    """Prior SD, posterior SD, and 1 - their ratio, in the order of ``summarise``'s rows."""
    sds = [np.ravel(x.std(SAMPLE_DIMS, ddof=1).values) for x in (before, after)]
    return {"prior_sd": sds[0], "posterior_sd": sds[1], "contraction": 1 - sds[1] / sds[0]}


def _beside(table: pd.DataFrame, printed: pd.DataFrame, *, with_bias: Collection[str]) -> pd.DataFrame:
    """The printed value of each row's endpoint, arm, landmark and unit, and whether it entered."""
    own = printed[printed["statistic"].isin(SLOPES) & (printed["use"] != "record")]
    own = own.sort_values("use", key=lambda use: use != "likelihood", kind="stable")
    found = []
    for row in table.itertuples():
        if row.landmark == NO_LIMIT:
            found.append({"status": BIAS_TAKEN_OFF if row.slope_of in with_bias else NO_BIAS_TERM, "row": ""})
            continue
        landmark = NO_LIMIT if row.landmark == OBSERVED else row.landmark
        match = own[
            (own["endpoint"] == row.endpoint) & (own["arm"] == row.arm) & (own["landmark"] == landmark)
        ]
        if not len(match):
            found.append({"status": PREDICTED, "row": ""})
            continue
        first, power = match.iloc[0], 10.0 if "10 points" in row.measure else 1.0
        values = [x**power for x in per_point_of_shrinkage(first)]
        status = IN_PRINT if first["use"] == "likelihood" else HELD_OUT
        found.append({"status": status, "row": first["id"]} | dict(zip(_PRINTED, values, strict=True)))
    return pd.DataFrame(found, index=table.index).reindex(columns=["status", "row", *_PRINTED])


def per_point_of_shrinkage(row) -> tuple[float, float, float]:
    """A printed hazard ratio and its limits; per point of percentage change they are turned round."""
    value, lower, upper = (float(row[name]) for name in ("value", "lower", "upper"))
    return (1 / value, 1 / upper, 1 / lower) if row["unit"] == PER_POINT_PCHG else (value, lower, upper)


def arm_hazard_ratios(fit: xr.DataTree, pool: Pool, *, level: float, seed: int) -> pd.DataFrame:
    """Hazard ratio of the second arm against the first by endpoint and study, the pooled one and that of a
    new study where several studies compare the arms, and hazard levels of studies against the reference."""
    draws, prior = fit["posterior"].to_dataset(), fit["prior"].to_dataset()
    parts = []
    for name, what in (("arm_effect", "arm"), ("study_level", "study against reference")):
        if name in draws:
            dim = "effect" if name == "arm_effect" else "level_of"
            part = ratio_summary(np.exp(draws[name]), level=level).rename(columns={dim: "of"})
            parts.append(part.assign(estimand=what, **contraction(prior[name], draws[name])))
    if pool.pools_effects:
        parts += _pooled_effects(draws, prior, pool, level, seed)
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    table[["endpoint", "study"]] = table["of"].str.split(" ", n=1, expand=True)
    reference, *others = pool.assumptions.arms
    told = f"{', '.join(others)} against {reference}"
    table["comparison"] = np.where(table["estimand"] == "arm", told, "")
    first = [
        "endpoint",
        "estimand",
        "comparison",
        "study",
        "hr",
        "lower",
        "upper",
        "level",
        *HAZARD_RATIO_BOUNDS,
    ]
    first += ["prior_sd", "posterior_sd", "contraction"]
    return table[[*first, "mcse_hr", "mcse_lower", "mcse_upper", "ess_bulk", "ess_tail", "rhat"]]


def _pooled_effects(draws, prior, pool: Pool, level: float, seed: int) -> list[pd.DataFrame]:
    parts = []
    for label, with_new in (("pooled mean", False), ("new study", True)):
        logs = [
            new_arm_effect(d, pool, seed=seed) if with_new else d["arm_effect_mean"] for d in (prior, draws)
        ]
        part = ratio_summary(np.exp(logs[1]), level=level)
        part["of"] = part.pop("effect_endpoint") + f" ({label})"
        parts.append(part.assign(estimand="arm", **contraction(*logs)))
    return parts


def responses(fit: xr.DataTree, pool: Pool, *, level: float, seed: int) -> pd.DataFrame:
    """Probability of response by study and arm, and in a new study of the last arm."""
    groups = pool.groups("response")
    if not groups:
        return pd.DataFrame()
    logits = {"prior": fit["prior"]["response"], "posterior": fit["posterior"]["response"]}
    if pool.pooled_responses.any():
        logits = {
            name: xr.concat([x, new_response(fit[name].to_dataset(), pool, seed)], dim="response_group")
            for name, x in logits.items()
        }
    table = estimands.summarise(expit(logits["posterior"]), prob=level)
    return table.assign(**contraction(logits["prior"], logits["posterior"]))


def parameters(fit: xr.DataTree, pool: Pool, *, level: float) -> pd.DataFrame:
    """What the evidence says about what: prior SD and posterior SD of every parameter on its modelling
    scale, and the contraction 1 - posterior SD / prior SD."""
    before, after = fit["prior"].to_dataset(), fit["posterior"].to_dataset()
    parts = []
    for name in after.data_vars:
        if str(name).endswith("_z") or name in ("step", "landmark_step"):
            continue  # standardised: what is derived from them says it
        table = estimands.summarise(after[name], prob=level, limits=False)
        labels = [d for d in after[name].dims if d not in SAMPLE_DIMS]
        table["label"] = table[labels].astype(str).agg(", ".join, axis=1) if labels else ""
        shrunk = contraction(before[name], after[name].transpose(*before[name].dims))
        parts.append(table.assign(parameter=name, **shrunk))
    columns = ["parameter", "label", "mean", "sd", "estimate", "lower", "upper", "level"]
    columns += ["prior_sd", "contraction"]
    return pd.concat(parts, ignore_index=True)[[*columns, "ess_bulk", "rhat"]]
