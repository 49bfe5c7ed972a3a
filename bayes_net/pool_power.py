"""What decides the hazard ratios of a synthesis: priors and studies power-scaled, and studies left out.

The log-likelihood of a study is the sum over its published numbers and its patients; a stated prior is a
block of free variables that one statement of the specification is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats
from scipy import special, stats

from bayes_net._pool_inputs import COUNTED
from bayes_net._pooled import (
    count_log_likelihood,
    count_rows,
    inputs,
    linear_parts,
    row_location,
    scaled,
    student_log_density,
    student_rows,
)
from bayes_net.assumptions import Borrowing
from bayes_net.patient_influence import left_out_weights, weighted_quantiles
from bayes_net.pool import Pool
from bayes_net.power import ALL_PRIORS, LIKELIHOOD, MEASURED, sensitivities
from bayes_net.predictions import slopes_of
from bayes_net.schema import ARM, BIAS_TAKEN_OFF, CHAIN, DRAW, NO_LIMIT, OBSERVED, SAMPLE_DIMS, STUDY

ABOUT = ("endpoint", "measure", "arm", "landmark", "biased", "status", "study")
"""What a hazard ratio of a synthesis is about."""
SHRINKAGE, POOLED = "shrinkage, per 10 points", "(pooled mean)"
BLOCKS = {
    "slope": ("slope_z", "slope_mean"),
    "slope heterogeneity": ("slope_sd",),
    "slope between studies": ("slope_between_sd",),
    "bias of no limit": ("bias_z",),
    "arm effect": ("arm_effect_mean",),
    "arm heterogeneity": ("arm_effect_sd",),
    "baseline": ("level", "log_baseline", "landmark_level"),
    "change over time": ("step_sd", "landmark_step_sd"),
    "level of studies": ("study_level", "study_level_sd"),
    "response": ("response_mean", "response_alone"),
    "response between studies": ("response_difference", "response_difference_sd"),
    "completion": ("completion",),
    "best shrinkage": ("shrinkage_location", "shrinkage_log_spread"),
    "width of bare medians": ("log_inflation",),
}
"""Every stated prior, and the free variables that it is about. What is not here is the model's own: steps of
a walk, and differences between studies given their standard deviation."""


def prior_blocks(pool: Pool) -> dict[str, tuple[str, ...]]:
    """The stated priors that a pool uses, each with its free variables."""
    given = {name for name in pool.free if name != "slope_z" or "slope_sd" not in pool.free}
    found = {block: tuple(name for name in names if name in given) for block, names in BLOCKS.items()}
    return {block: names for block, names in found.items() if names}


def pool_components(fit: xr.DataTree, pool: Pool) -> dict[str, np.ndarray]:
    """Log-density, (chain, draw), of each component of a synthesis: ``likelihood``, that of each study where
    there are several, ``all priors``, and each stated prior (``prior_blocks``)."""
    draws = fit["posterior"].to_dataset()
    by_study = study_log_likelihood(draws, pool)
    likelihood = {LIKELIHOOD: by_study.sum(STUDY).values}
    if by_study.sizes[STUDY] > 1:
        likelihood |= {
            f"{LIKELIHOOD} of {name}": by_study.sel({STUDY: name}).values for name in by_study[STUDY].values
        }
    priors = {
        f"prior of {block}": sum(_log_prior(draws, pool, name) for name in names)
        for block, names in prior_blocks(pool).items()
    }
    return likelihood | {ALL_PRIORS: sum(priors.values())} | priors


def _log_prior(draws: xr.Dataset, pool: Pool, name: str) -> np.ndarray:
    free = pool.free[name]
    values, prior = draws[name].transpose(*SAMPLE_DIMS, *free.dims).values, free.prior
    density = _mixture(values, prior) if isinstance(prior, Borrowing) else prior.logpdf(values)
    return density.reshape(*values.shape[:2], -1).sum(axis=-1)


def _mixture(values: np.ndarray, prior: Borrowing) -> np.ndarray:
    parts = [stats.norm.logpdf(values, scale=sd) for sd in (prior.sd, prior.vague_sd)]
    shares = np.reshape([prior.weight, 1 - prior.weight], (2, *[1] * values.ndim))
    return special.logsumexp(parts, axis=0, b=shares)


def study_log_likelihood(draws: xr.Dataset, pool: Pool) -> xr.DataArray:
    """Log-likelihood of everything that each study adds, dims (chain, draw, study), up to constants.

    Rows of different studies that are correlated share their common term in equal parts.
    """
    from bayes_net.pooling import values_of

    parts = linear_parts(scaled(values_of(draws, pool), pool), pool)
    terms = [*_rows(parts, pool), *_patients(parts, pool)]
    studies = list(dict.fromkeys(study for study, _ in terms))
    shape = draws.sizes[CHAIN], draws.sizes[DRAW]
    values = [sum((x for study, x in terms if study == name), start=np.zeros(shape)) for name in studies]
    coords = {STUDY: studies, CHAIN: draws[CHAIN], DRAW: draws[DRAW]}
    return xr.DataArray(values, dims=(STUDY, *SAMPLE_DIMS), coords=coords).transpose(*SAMPLE_DIMS, STUDY)


Terms = list[tuple[str, np.ndarray]]
"""Study and log-likelihood, (chain, draw)."""


def _rows(parts: Mapping[str, np.ndarray], pool: Pool) -> Terms:
    """Of each published number."""
    if not len(pool.rows):
        return []
    value, se, power, _ = inputs(pool)["rows"]
    z = (value - row_location(parts, pool)) / (se * np.exp(parts["log_inflation"]))
    each = -0.5 * z * (z @ pool.precision) - power * parts["log_inflation"]
    each += student_rows(pool) * power * student_log_density(z)
    for endpoint in COUNTED:
        if pool.groups(endpoint):
            counts = count_rows(pool, endpoint)
            each[..., counts.rows] += power[counts.rows] * count_log_likelihood(parts, counts.array, endpoint)
    return [(study, each[..., i]) for i, study in enumerate(pool.rows["study"])]


def _patients(parts: Mapping[str, np.ndarray], pool: Pool) -> Terms:
    """Of patients from randomisation, curve by curve, and after their landmark, stratum by stratum."""
    found, arrays = [], inputs(pool)
    if "curves" in parts:
        events, months = arrays["curve_patients"]
        each = events * parts["curves"] - months * np.exp(parts["curves"])
        each = each.reshape(*each.shape[:2], len(pool.curves), -1).sum(axis=-1)
        weighty = {c.study for c in pool.cohorts}
        found += [(c[1], each[..., i]) for i, c in enumerate(pool.curves) if c[1] in weighty]
    if "after" in parts:
        slope, weight, score = parts["after_slope"], *arrays["after_nodes"]
        n = slope.shape[-1]
        hazard = parts["after"].reshape(*slope.shape, -1)
        weight, score = (x.reshape(n, hazard.shape[-1], -1) for x in (weight, score))
        at_nodes = np.exp(hazard[..., None] + slope[..., None, None] * score)
        each = (arrays["after_events"].reshape(n, -1) * hazard).sum(axis=-1)
        each += arrays["after_scores"] * slope - (weight * at_nodes).sum(axis=(-2, -1))
        strata = [c.study for c in pool.landmark_cohorts for _ in pool.assumptions.arms]
        found += [(study, each[..., i]) for i, study in enumerate(strata)]
    return found


def reported_log_ratios(draws: xr.Dataset, pool: Pool) -> tuple[pd.DataFrame, xr.DataArray]:
    """The log hazard ratios that a synthesis reports: what each is about, and its draws, dims (quantity,
    chain, draw). Of shrinkage by endpoint, arm and landmark, per 10 points; of arms by endpoint and study.
    """
    about, values = [], []
    slopes = slopes_of(draws, pool) if pool.slope_groups else None
    for group in pool.slope_groups:
        endpoint, arm = group.split(" ", 1)
        for at in slopes["landmark"].values:
            status = BIAS_TAKEN_OFF if at == NO_LIMIT and group in pool.biased_groups else ""
            about.append((endpoint, SHRINKAGE, arm, at, at in (NO_LIMIT, OBSERVED), status, ""))
            values.append(slopes.sel(slope_of=group, landmark=at))
    for name in ("arm_effect", "arm_effect_mean"):
        if name in draws and (name == "arm_effect" or pool.pools_effects):
            effects = draws[name].transpose(..., *SAMPLE_DIMS)
            for effect, label in zip(effects, effects[effects.dims[0]].values, strict=True):
                endpoint, _, study = str(label).partition(" ")
                about.append((endpoint, ARM, "", "", False, "", study or POOLED))
                values.append(effect)
    arrays = [x.transpose(*SAMPLE_DIMS).values for x in values]
    shape = (len(arrays), draws.sizes[CHAIN], draws.sizes[DRAW])
    coords = {"quantity": range(len(arrays)), CHAIN: draws[CHAIN], DRAW: draws[DRAW]}
    drawn = xr.DataArray(np.reshape(arrays, shape), dims=("quantity", *SAMPLE_DIMS), coords=coords)
    return pd.DataFrame(about, columns=list(ABOUT)), drawn


def pooled_power_scaling(fit: xr.DataTree, pool: Pool) -> pd.DataFrame:
    """What decides each hazard ratio of a synthesis, priors or studies: one row a hazard ratio and component.

    Columns: endpoint, measure ("shrinkage, per 10 points" or "arm"), arm, landmark, biased, status, study,
    and component, sensitivity, shift and reading as in ``power_scaling``. Components: the likelihood, that of
    each study (its published numbers and its patients) where there are several, all priors together, and
    each stated prior (Kallioinen et al. 2024, doi:10.1007/s11222-023-10366-5).
    """
    about, draws = reported_log_ratios(fit["posterior"].to_dataset(), pool)
    found = sensitivities(draws, pool_components(fit, pool))
    return about.merge(found, left_index=True, right_on="quantity")[[*ABOUT, *MEASURED]].reset_index(
        drop=True
    )


def study_influence(
    fit: xr.DataTree, pool: Pool, *, level: float, refits: Mapping[str, xr.DataTree] = MappingProxyType({})
) -> pd.DataFrame:
    """What leaving out each study does to each hazard ratio: one row a hazard ratio and study.

    Columns: what the hazard ratio is about; ``without``, the study; hr, lower, upper and mcse_hr with all
    evidence; ``hr_without``, ``lower_without``, ``upper_without``; ``shift``, by how many posterior SDs the
    mean log hazard ratio moves; ``width``, the ratio of the posterior SDs; ``contraction`` and
    ``contraction_without``, 1 - posterior SD / prior SD; ``pareto_k``; ``refitted``; ``reliable``.

    Exact where ``refits`` has the fit without the study, by its name; else by Pareto-smoothed importance
    sampling (Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4) up to a Pareto k of 0.5. Above
    it what would be without the study is missing: only a refit can tell.
    """
    from bayes_net.pooling import SURE_PARETO_K

    posterior = fit["posterior"].to_dataset()
    by_study = study_log_likelihood(posterior, pool)
    about, whole = reported_log_ratios(posterior, pool)
    if by_study.sizes[STUDY] < 2 or about.empty:
        return pd.DataFrame()
    prior = reported_log_ratios(fit["prior"].to_dataset(), pool)[1].std(SAMPLE_DIMS, ddof=1).values
    with_all = _moments(whole, None, level)
    about[["hr", "lower", "upper"]] = np.exp(with_all["limits"])
    about["mcse_hr"] = [float(array_stats.mcse(np.exp(own), method="median")) for own in whole.values]
    about = about.assign(level=level, contraction=1 - with_all["sd"] / prior)
    parts = []
    for name in by_study[STUDY].values:
        weights, k = left_out_weights(by_study.sel({STUDY: name}).values)
        reliable, draws = name in refits or k <= SURE_PARETO_K, whole
        if name in refits:
            draws, weights = reported_log_ratios(refits[name]["posterior"].to_dataset(), pool)[1], None
        without = _moments(draws, weights, level)
        part = about.assign(without=name, pareto_k=k, refitted=name in refits, reliable=reliable)
        part[["hr_without", "lower_without", "upper_without"]] = np.exp(without["limits"])
        part["shift"] = (without["mean"] - with_all["mean"]) / with_all["sd"]
        part["width"] = without["sd"] / with_all["sd"]
        part["contraction_without"] = 1 - without["sd"] / prior
        if not reliable:
            part[[*(c for c in part if c.endswith("_without")), "shift", "width"]] = np.nan
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _moments(draws: xr.DataArray, weights: np.ndarray | None, level: float) -> dict[str, np.ndarray]:
    """Mean and SD, (quantity,), and median with limits, (quantity, 3), of weighted draws."""
    flat = draws.values.reshape(len(draws), -1)
    weights = np.full(flat.shape[1], 1 / flat.shape[1]) if weights is None else weights.ravel()
    mean = flat @ weights
    sd = np.sqrt(np.maximum((flat - mean[:, None]) ** 2 @ weights, 0.0))
    tails = (0.5, (1 - level) / 2, (1 + level) / 2)
    limits = np.array([weighted_quantiles(own, weights[None], tails)[0] for own in flat])
    return {"mean": mean, "sd": sd, "limits": limits}
