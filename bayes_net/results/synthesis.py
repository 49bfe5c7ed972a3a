"""The tidy tables of a synthesis, computed from its draws: CSV files and the report's numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from bayes_net import schema
from bayes_net.assumptions.network import Network
from bayes_net.assumptions.priors import COMMENSURATE, EXCHANGEABLE, FULL, NONE, Borrowing
from bayes_net.assumptions.synthesis import Assumptions
from bayes_net.estimands.new_study import new_arm_effect, new_response
from bayes_net.estimands.summary import summarise
from bayes_net.estimands.synthesis import curve_hazard, slopes_of
from bayes_net.labels import about, select, texts
from bayes_net.numbers import format_range
from bayes_net.results.columns import PARAMETER_KEYS, PRINTED_COLUMNS, hazard_ratio_columns
from bayes_net.results.curves import densities
from bayes_net.results.fits import ratio_summary
from bayes_net.statistics.base import Quantity
from bayes_net.statistics.curves import log_cumulative_hazard
from bayes_net.statistics.kinds import names_of
from bayes_net.statistics.ratios import PER_POINT_PCHG

_PRINTED = PRINTED_COLUMNS[1:4]


def hazard_ratios(
    fit: xr.DataTree, network: Network, printed: pd.DataFrame, *, ci_prob: float
) -> pd.DataFrame:
    """Posterior hazard ratios of shrinkage by endpoint, arm and landmark, per 10 points and per 1, beside
    the printed ones.

    "no limit" comes twice: as observed, and with the guarantee-time bias taken off (status
    ``BIAS_TAKEN_OFF``, or ``schema.NO_BIAS_TERM`` where none is specified). ``printed`` are all rows of the
    evidence. ``contraction`` is 1 - posterior SD / prior SD of the log hazard ratio.
    """
    if not network.slope_endpoints:
        return pd.DataFrame()
    after, before = (slopes_of(fit[group].to_dataset()) for group in ("posterior", "prior"))
    parts = []
    for per, measure in ((10.0, schema.PER_10_POINTS), (1.0, schema.PER_1_POINT)):
        logs, prior = after * per / 10.0, before * per / 10.0
        part = ratio_summary(np.exp(logs), logs, ci_prob=ci_prob, prior=prior)
        parts.append(part.assign(measure=measure))
    table = pd.concat(parts, ignore_index=True)
    table["biased"] = table["landmark"].isin((schema.NO_LIMIT, schema.OBSERVED))
    table = pd.concat([table, _printed_values(table, printed, with_bias=network.biased_slopes)], axis=1)
    known = {
        (cohort.endpoint, cohort.landmark, arm)
        for cohort in network.landmark_cohorts
        for arm, n in zip(network.assumptions.arms, cohort.exposure.n_by_arm, strict=True)
        if n and cohort.weight
    }
    keys = zip(table["endpoint"], table["landmark"], table["arm"], strict=True)
    observed = np.array([key in known for key in keys])
    table.loc[observed & (table["status"] == schema.PREDICTED), "status"] = schema.FROM_PATIENTS
    return hazard_ratio_columns(table.assign(estimand=schema.ASSOCIATION), more=PRINTED_COLUMNS)


def contraction(before: xr.DataArray, after: xr.DataArray) -> dict[str, np.ndarray]:
    """Prior SD, posterior SD, and 1 - their ratio, in the order of ``summarise``'s rows."""
    sds = [np.ravel(x.std(schema.SAMPLE_DIMS, ddof=1).values) for x in (before, after)]
    return {"prior_sd": sds[0], "posterior_sd": sds[1], "contraction": 1 - sds[1] / sds[0]}


def _printed_values(
    table: pd.DataFrame, printed: pd.DataFrame, *, with_bias: Collection[tuple[str, str]]
) -> pd.DataFrame:
    """The printed value of each row's endpoint, arm, landmark and unit, and whether it entered."""
    own = printed[printed["statistic"].isin(names_of(Quantity.SLOPE)) & (printed["use"] != "record")]
    own = own.sort_values("use", key=lambda use: use != "likelihood", kind="stable")
    found = []
    for row in table.itertuples():
        if row.landmark == schema.NO_LIMIT:
            biased = (row.endpoint, row.arm) in with_bias
            found.append({"status": schema.BIAS_TAKEN_OFF if biased else schema.NO_BIAS_TERM, "row": ""})
            continue
        landmark = schema.NO_LIMIT if row.landmark == schema.OBSERVED else row.landmark
        match = own[
            (own["endpoint"] == row.endpoint) & (own["arm"] == row.arm) & (own["landmark"] == landmark)
        ]
        if not len(match):
            found.append({"status": schema.PREDICTED, "row": ""})
            continue
        if match.iloc[0]["said"]:
            words = {"row": match.iloc[0]["id"], "said": match.iloc[0]["said"]}
            entered = match.iloc[0]["use"] == "likelihood"
            found.append({"status": schema.SAID if entered else schema.PREDICTED} | words)
            continue
        first, power = match.iloc[0], 10.0 if "10 points" in row.measure else 1.0
        values = [x**power for x in per_point_of_shrinkage(first)]
        status = schema.IN_PRINT if first["use"] == "likelihood" else schema.HELD_OUT
        found.append({"status": status, "row": first["id"]} | dict(zip(_PRINTED, values, strict=True)))
    columns = pd.DataFrame(found, index=table.index).reindex(columns=["status", "row", *_PRINTED, "said"])
    return columns.fillna({"row": "", "said": ""})


def slope_densities(fit: xr.DataTree, network: Network) -> pd.DataFrame:
    """Prior and posterior density of every hazard ratio of shrinkage, per 10 points, by endpoint, arm and
    landmark: columns ``hr``, ``prior``, ``posterior``."""
    from scipy.stats import gaussian_kde

    if not network.slope_endpoints:
        return pd.DataFrame()
    after, before = (slopes_of(fit[group].to_dataset()) for group in ("posterior", "prior"))
    rows = about(after.transpose(*schema.SAMPLE_DIMS, ...)).to_dict("records")
    of = [
        ({str(k): v for k, v in row.items()}, *(x.sel(row).values.ravel() for x in (after, before)))
        for row in rows
    ]
    table = densities([(row, draws, gaussian_kde(prior)) for row, draws, prior in of])
    return table.assign(biased=table["landmark"].isin((schema.NO_LIMIT, schema.OBSERVED)))


def landmarks_together(fit: xr.DataTree, network: Network) -> pd.DataFrame:
    """What holds at all landmarks of an arm at once, "no limit" aside: by endpoint and arm the number of
    ``landmarks``, and ``prob_all_below_1`` and ``prob_all_above_1`` of their hazard ratios of shrinkage."""
    if not network.slope_endpoints:
        return pd.DataFrame()
    slope = fit["posterior"]["slope"]
    own = slope.sel({schema.LANDMARK: [mark for mark in network.landmarks if mark != schema.NO_LIMIT]})
    if not own.sizes[schema.LANDMARK]:
        return pd.DataFrame()
    below = (own < 0).all(schema.LANDMARK).mean(schema.SAMPLE_DIMS)
    above = (own > 0).all(schema.LANDMARK).mean(schema.SAMPLE_DIMS)
    table = about(below).assign(landmarks=own.sizes[schema.LANDMARK])
    return table.assign(prob_all_below_1=below.values.ravel(), prob_all_above_1=above.values.ravel())


def unprinted(fit: xr.DataTree, network: Network, *, ci_prob: float) -> pd.DataFrame:
    """Where each estimate can lie that is not printed: what is ``said`` of it, its posterior as a ratio (of
    shrinkage per 10 points)."""
    if "estimate" not in fit["posterior"]:
        return pd.DataFrame()
    rows = network.rows[[d.kind == "said" for d in network.data]].reset_index(drop=True)
    table = summarise(np.exp(fit["posterior"]["estimate"]), ci_prob=ci_prob)
    about_it = rows[["id", "endpoint", "study", "arm", "landmark", "statistic", "said"]]
    about_it = about_it.rename(columns={"id": "row"})
    return about_it.join(table[["estimate", "lower", "upper", "level", "mcse", "ess_bulk", "rhat"]])


def per_point_of_shrinkage(row: pd.Series) -> tuple[float, float, float]:
    """A printed hazard ratio and its limits; per point of percentage change they are turned round."""
    value, lower, upper = (float(row[name]) for name in ("value", "lower", "upper"))
    return (1 / value, 1 / upper, 1 / lower) if row["unit"] == PER_POINT_PCHG else (value, lower, upper)


def arm_hazard_ratios(fit: xr.DataTree, network: Network, *, ci_prob: float, seed: int) -> pd.DataFrame:
    """Hazard ratio of the second arm against the first by endpoint and study, the pooled one and that of a
    new study where several studies compare the arms, and hazard levels of studies against the reference."""
    draws, prior = fit["posterior"].to_dataset(), fit["prior"].to_dataset()
    parts = []
    for name, what in (("arm_effect", "arm"), ("study_level", "study against reference")):
        if name in draws:
            part = ratio_summary(np.exp(draws[name]), draws[name], ci_prob=ci_prob, prior=prior[name])
            parts.append(part.assign(estimand=what))
    if network.pools_effects:
        parts += _pooled_effects(draws, prior, network, ci_prob, seed)
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    reference, *others = network.assumptions.arms
    against = f"{', '.join(others)} against {reference}"
    table["comparison"] = np.where(table["estimand"] == "arm", against, "")
    return hazard_ratio_columns(table, more=["comparison"])


def _pooled_effects(
    draws: xr.Dataset, prior: xr.Dataset, network: Network, ci_prob: float, seed: int
) -> list[pd.DataFrame]:
    parts = []
    for label, with_new in (("pooled mean", False), ("new study", True)):
        before, after = (
            new_arm_effect(d, network, seed=seed) if with_new else d["arm_effect_mean"]
            for d in (prior, draws)
        )
        part = ratio_summary(np.exp(after), after, ci_prob=ci_prob, prior=before)
        part = part.rename(columns={schema.POOLED_ENDPOINT: schema.ENDPOINT})
        parts.append(part.assign(study=f"({label})", estimand="arm"))
    return parts


def responses(fit: xr.DataTree, network: Network, *, ci_prob: float, seed: int) -> pd.DataFrame:
    """Probability of response by study and arm, and of the last arm in a new study, its arm left empty."""
    if not network.groups("response"):
        return pd.DataFrame()
    logits = {"prior": fit["prior"]["response"], "posterior": fit["posterior"]["response"]}
    if network.pooled_responses.any():
        logits = {
            name: xr.concat(
                [x, new_response(fit[name].to_dataset(), network, seed)], dim=schema.RESPONSE_GROUP
            )
            for name, x in logits.items()
        }
    table = summarise(expit(logits["posterior"]), ci_prob=ci_prob)
    return table.assign(**contraction(logits["prior"], logits["posterior"]))


def parameters(fit: xr.DataTree, network: Network, *, ci_prob: float) -> pd.DataFrame:
    """What was learnt of each parameter: prior SD and posterior SD of every parameter on its modelling
    scale, and the contraction 1 - posterior SD / prior SD."""
    before, after = fit["prior"].to_dataset(), fit["posterior"].to_dataset()
    parts = []
    for name in after.data_vars:
        if str(name).endswith("_z") or name in ("step", "landmark_step"):
            continue  # standardised: what is derived from them says it
        table = summarise(after[name], ci_prob=ci_prob, limits=False)
        shrunk = contraction(before[name], after[name].transpose(*before[name].dims))
        parts.append(table.assign(**parameter_labels(after[name]), **shrunk))
    columns = [*PARAMETER_KEYS, "mean", "sd", "estimate", "lower", "upper", "level"]
    columns += ["prior_sd", "contraction"]
    return pd.concat(parts, ignore_index=True)[[*columns, "ess_bulk", "rhat"]]


def parameter_labels(draws: xr.DataArray) -> pd.DataFrame:
    """``PARAMETER_KEYS`` of every element of a parameter, in the order of ``summarise``'s rows; what does not
    apply is empty."""
    of = about(draws).rename(columns={schema.POOLED_ENDPOINT: schema.ENDPOINT})
    given = {name: of.get(name, "") for name in PARAMETER_KEYS}
    return pd.DataFrame(given | {"parameter": draws.name, "label": texts(of)}, index=of.index)


def borrowing_in_words(rule: Borrowing) -> str:
    """How differences between studies are borrowed across, with the sizes that are assumed."""
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


def prior_table(fit: xr.DataTree, network: Network) -> pd.DataFrame:
    """Every prior: parameter, what was stated, and what it implies by simulation (95 %)."""
    rows = list(_prior_rows(fit["prior"].to_dataset(), network))
    return pd.DataFrame(rows, columns=["parameter", "statement", "implies"])


def _prior_rows(draws: xr.Dataset, network: Network) -> Iterator[tuple[str, str, str]]:
    assumed = network.assumptions
    if network.curves:
        first, a_year = curve_hazard(draws, network.curves[0]), network.months(np.array([12.0]))
        at_a_year = np.exp(-np.exp(log_cumulative_hazard(first[:, None, :], a_year)))
        survival = f"survival at 12 months: {format_range(at_a_year)}"
        yield "hazard of a baseline, averaged over time", assumed.level.statement, survival
        yield "change of the log hazard over time", assumed.step_sd.statement, "–"
    if "arm_effect" in draws:
        yield _ratio_row("hazard ratio of the arms", assumed.arm_effect.statement, draws["arm_effect"])
    if "study_level" in draws:
        statement = f"levels are {borrowing_in_words(assumed.study_level)}"
        yield _ratio_row("hazard of a study against the reference", statement, draws["study_level"])
    if "slope" in draws:
        name, statement = "hazard ratio per 10 points of shrinkage", assumed.slopes.prior.statement
        yield _ratio_row(name, statement, draws["slope"])
    if "bias" in draws:
        yield from _bias_rows(draws["bias"], assumed)
    if "response" in draws:
        implied = f"probability: {format_range(expit(draws['response'].isel({schema.RESPONSE_GROUP: -1})))}"
        yield "probability of response", assumed.response_probability.statement, implied
    if "completion" in draws:
        name, statement = "correlation of early with final shrinkage", assumed.early_late.statement
        yield _ratio_row(name, statement, draws["completion"], "odds ratio of response at completion")


def _bias_rows(bias: xr.DataArray, assumed: Assumptions) -> Iterator[tuple[str, str, str]]:
    for endpoint, arm in about(bias).itertuples(index=False):
        mean, sd = assumed.bias[arm]
        statement = f"normal, mean {mean:g}, SD {sd:g} per point, times {assumed.bias_scale:g}"
        name = f"guarantee-time bias of no limit, {schema.ENDPOINT_LABELS.get(endpoint, endpoint)}, {arm}"
        factor = np.exp(select(bias, biased_slope=(endpoint, arm)))
        implied = f"factor on the hazard ratio per 10 points: {format_range(factor)}"
        yield name, statement, implied


def _ratio_row(name: str, statement: str, logs: xr.DataArray, what: str = "ratio") -> tuple[str, str, str]:
    one = logs.isel({dim: 0 for dim in logs.dims if dim not in schema.SAMPLE_DIMS})
    return name, statement or "–", f"{what}: {format_range(np.exp(one))}"
