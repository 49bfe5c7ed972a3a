"""How much a reported quantity hangs on the priors and on the data: power-scaling, and tipping points.

Nothing is refitted. Raising one prior, or the likelihood, to a power near 1 reweights the draws; how far a
quantity's distribution then moves is its sensitivity (Kallioinen et al. 2024,
doi:10.1007/s11222-023-10366-5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.assumptions.network import Network
from bayes_net.errors import InputError
from bayes_net.estimands.synthesis import slopes_of
from bayes_net.labels import about, texts
from bayes_net.model.likelihoods import (
    count_rows,
    is_said,
    linear_parts,
    log_printed,
    printed,
    range_log_likelihood,
    range_rows,
    row_location,
    shrinkage_law,
    student_rows,
    unprinted_estimates,
)
from bayes_net.model.predictors import scaled
from bayes_net.schema import ARM, BIAS_TAKEN_OFF, CHAIN, DRAW, NO_LIMIT, OBSERVED, SAMPLE_DIMS, SLOPE, STUDY
from bayes_net.statistics.base import student_log_density
from bayes_net.statistics.counts import COUNTED, count_log_likelihood

ALPHAS = (0.99, 1.01)
SENSITIVE = 0.05
"""From here a quantity is said to depend on a component, and below it not to (Kallioinen et al. 2024)."""
LIKELIHOOD, ALL_PRIORS = "likelihood", "all priors"
MEASURED = ("component", "sensitivity", "shift", "reading")
_INNER = ("step",)
"""Variables whose distribution is part of the model, not a stated prior."""


def power_scaling(
    fit: xr.DataTree,
    quantities: Mapping[str, xr.DataArray] | None = None,
    *,
    network: Network | None = None,
) -> pd.DataFrame:
    """Sensitivity of quantities to every prior and to the likelihood, one row a quantity and component.

    ``quantities`` are draws by name; by default the slopes (log hazard ratios). Columns: quantity, label (its
    other dims), component (likelihood, all priors, prior of VARIABLE), ``sensitivity`` (cumulative
    Jensen-Shannon distance per doubling of the power), ``shift`` (by how many of its SDs the mean moves per
    doubling of the power), and ``reading``. A fit of a synthesis needs its ``network``, since a study's
    likelihood and a stated prior are of several variables; by default the table is then that of
    ``synthesis_power_scaling``.

    Raises
    ------
    InputError
        The fit has no ``log_prior`` or ``log_likelihood``, and no network is given.
    """
    if network is not None and quantities is None:
        return synthesis_power_scaling(fit, network)
    missing = [name for name in ("log_prior", "log_likelihood") if name not in fit.children]
    if network is None and missing:
        raise InputError(
            f"the fit has no group {', '.join(missing)}; expected one of bayes_net.fit, or one of "
            "bayes_net.fit_synthesis and its network="
        )
    quantities = {"log hazard ratio": fit["posterior"][SLOPE]} if quantities is None else quantities
    parts, tables = components(fit) if network is None else synthesis_components(fit, network), []
    for name, draws in quantities.items():
        own = sensitivities(draws, parts)
        tables.append(own.assign(quantity=name, label=texts(own.drop(columns=list(MEASURED)))))
    return pd.concat(tables, ignore_index=True)[["quantity", "label", *MEASURED]]


def sensitivities(draws: xr.DataArray, parts: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """How far every element of ``draws`` moves with each component: one row an element and component.

    ``parts`` are log-densities by component, (chain, draw). Columns: the other dims of ``draws``, component,
    sensitivity, shift, reading, as in ``power_scaling``.
    """
    ordered, weights = draws.transpose(..., *SAMPLE_DIMS), {name: _weights(x) for name, x in parts.items()}
    elements, rows = about(draws), []
    for at, of in zip(np.ndindex(ordered.shape[:-2]), elements.to_numpy(object), strict=True):
        own = ordered.values[at]
        found = {name: _sensitivity(own, density, weights[name]) for name, density in parts.items()}
        reading = _reading(found)
        rows += [(*of, part, *pair, reading) for part, pair in found.items()]
    return pd.DataFrame(rows, columns=[*elements, *MEASURED])


def _sum(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.sum(list(parts), axis=0)


def components(fit: xr.DataTree) -> dict[str, np.ndarray]:
    """Log-density of each component of the posterior, (chain, draw)."""

    def total(x: xr.DataArray) -> np.ndarray:
        return x.sum([dim for dim in x.dims if dim not in SAMPLE_DIMS]).transpose(*SAMPLE_DIMS).values

    likelihood = _sum(total(x) for x in fit["log_likelihood"].data_vars.values())
    priors = {
        f"prior of {name}": total(x)
        for name, x in fit["log_prior"].data_vars.items()
        if name not in _INNER and float(np.ptp(x.values)) > 0
    }
    together = {ALL_PRIORS: _sum(priors.values())} if priors else {}
    return {LIKELIHOOD: likelihood} | together | priors


def _weights(log_density: np.ndarray) -> list[np.ndarray]:
    """Weights of the draws with the component raised to each power, each summing to 1."""
    from arviz_stats.base import array_stats

    found = []
    for alpha in ALPHAS:
        logs = array_stats.power_scale_lw(log_density, alpha=alpha, axis=(-2, -1))
        weight = np.exp(logs - logs.max())
        found.append(weight / weight.sum())
    return found


def _sensitivity(
    draws: np.ndarray, log_density: np.ndarray, weights: list[np.ndarray]
) -> tuple[float, float]:
    from arviz_stats.base import array_stats

    if not np.ptp(draws):
        return 0.0, 0.0
    distance = float(array_stats.power_scale_sense(draws, *weights, *ALPHAS))
    # the derivative of a posterior mean to the log of a power is its covariance with the log density
    covariance = np.cov(draws.ravel(), log_density.ravel())[0, 1]
    return distance, float(np.log(2) * covariance / draws.std(ddof=1))


def _reading(found: Mapping[str, tuple[float, float]]) -> str:
    prior, data = (found.get(part, (0.0, 0.0))[0] >= SENSITIVE for part in (ALL_PRIORS, LIKELIHOOD))
    if prior:
        return "priors and data both move it" if data else "priors are strong, or data weak"
    return "little depends on the priors" if data else "neither matters much"


def tipping_factor(ratios: xr.DataArray, probability: float) -> xr.DataArray:
    """The factor by which a hazard ratio would have to be biased for its direction to lose ``probability``.

    ``ratios``: draws. If Pr(HR < 1) >= ``probability``, the factor is above 1: true hazard ratios so many
    times larger than these would just reach it. If Pr(HR > 1) >= ``probability`` it is below 1. NaN where
    neither direction has that probability: there is nothing to lose.
    """
    below = (ratios < 1).mean(SAMPLE_DIMS)
    high, low = (
        ratios.quantile(p, SAMPLE_DIMS).drop_vars("quantile") for p in (probability, 1 - probability)
    )
    return xr.where(below >= probability, 1 / high, xr.where(1 - below >= probability, 1 / low, np.nan))


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
    "early and final shrinkage": ("early_late",),
    "best shrinkage": ("shrinkage_location_z", "shrinkage_log_spread_z"),
    "best shrinkage between studies": ("shrinkage_study_sd",),
    "staying at risk": ("selection",),
    "progression as best response": ("progression",),
    "width of bare medians": ("log_inflation",),
    "width of what is not printed": ("se_z",),
}
"""Every stated prior, and the free variables that it is about. What is not here is the model's own: steps of
a walk, and differences between studies given their standard deviation."""


def prior_blocks(network: Network) -> dict[str, tuple[str, ...]]:
    """The stated priors that a network uses, each with its free variables; that of levels which are drawn
    after all else moves nothing else."""
    given = {name for name in network.free if name != "slope_z" or "slope_sd" not in network.free}
    if set(network.borrowers) <= set(network.conditional):
        given -= set(BLOCKS["level of studies"])
    found = {block: tuple(name for name in names if name in given) for block, names in BLOCKS.items()}
    return {block: names for block, names in found.items() if names}


def synthesis_components(fit: xr.DataTree, network: Network) -> dict[str, np.ndarray]:
    """Log-density, (chain, draw), of each component of a synthesis: ``likelihood``, that of each study where
    there are several, ``all priors``, and each stated prior (``prior_blocks``)."""
    draws = fit["posterior"].to_dataset()
    by_study = study_log_likelihood(draws, network)
    likelihood = {LIKELIHOOD: by_study.sum(STUDY).values}
    if by_study.sizes[STUDY] > 1:
        each = {
            f"{LIKELIHOOD} of {name}": by_study.sel({STUDY: name}).values for name in by_study[STUDY].values
        }
        likelihood |= {name: own for name, own in each.items() if np.ptp(own) > 0}  # none: it moves nothing
    priors = {
        f"prior of {block}": _sum(_log_prior(draws, network, name) for name in names)
        for block, names in prior_blocks(network).items()
    }
    return likelihood | {ALL_PRIORS: _sum(priors.values())} | priors


def _log_prior(draws: xr.Dataset, network: Network, name: str) -> np.ndarray:
    free = network.free[name]
    values, prior = draws[name].transpose(*SAMPLE_DIMS, *free.dims).values, free.prior
    return prior.logpdf(values).reshape(*values.shape[:2], -1).sum(axis=-1)


def study_log_likelihood(draws: xr.Dataset, network: Network) -> xr.DataArray:
    """Log-likelihood of everything that each study adds, dims (chain, draw, study), up to constants.

    Rows of different studies that are correlated share their common term in equal parts. Curves that do not
    feed back (``network.conditional``) add nothing: their weight must not move what is sampled without them.
    """
    from bayes_net.inference.arrays import values_of

    parts = linear_parts(scaled(values_of(draws, network), network), network)
    terms = [*_rows(parts, network), *_patients(parts, network)]
    studies = list(dict.fromkeys(study for study, _ in terms))
    shape = draws.sizes[CHAIN], draws.sizes[DRAW]
    values = [sum((x for study, x in terms if study == name), start=np.zeros(shape)) for name in studies]
    coords = {STUDY: studies, CHAIN: draws[CHAIN], DRAW: draws[DRAW]}
    return xr.DataArray(values, dims=(STUDY, *SAMPLE_DIMS), coords=coords).transpose(*SAMPLE_DIMS, STUDY)


Terms = list[tuple[str, np.ndarray]]
"""Study and log-likelihood, (chain, draw)."""


def _rows(parts: Mapping[str, np.ndarray], network: Network) -> Terms:
    """Of each published number."""
    if not len(network.rows):
        return []
    (value, se), power = printed(network), network.power
    location, error = row_location(parts, network), se * np.exp(parts["log_inflation"])
    z = (value - location) / error
    each = -0.5 * z * (z @ network.precision) - power * parts["log_inflation"] * ~is_said(network)
    each -= power * log_printed(location / error, network)
    if len(unprinted := network.statements.rows):
        each[..., unprinted] += unprinted_estimates(parts, network).log_mass
    each += student_rows(network) * power * student_log_density(z)
    for endpoint in COUNTED:
        if network.groups(endpoint):
            counts = count_rows(network, endpoint)
            law = shrinkage_law(parts, network, counts=True) if endpoint == "shrinkage" else parts
            each[..., counts.rows] += power[counts.rows] * count_log_likelihood(law, counts.array, endpoint)
    if len(ranges := range_rows(network)):
        each[..., ranges] += power[ranges] * range_log_likelihood(parts, network)
    each[..., network.of_curves(network.conditional)] = 0.0
    return [(study, each[..., i]) for i, study in enumerate(network.rows["study"])]


def _patients(parts: Mapping[str, np.ndarray], network: Network) -> Terms:
    """Of patients from randomisation, curve by curve, and after their landmark, stratum by stratum."""
    from bayes_net.engine.synthesis import curve_patients, landmark_patients  # loads numba

    found = []
    if "curves" in parts:
        events, months = curve_patients(network)
        each = events * parts["curves"] - months * np.exp(parts["curves"])
        each = each.reshape(*each.shape[:2], len(network.curves), -1).sum(axis=-1)
        each[..., [curve[:2] in network.conditional for curve in network.curves]] = 0.0
        weighty = {c.study for c in network.cohorts}
        found += [(c[1], each[..., i]) for i, c in enumerate(network.curves) if c[1] in weighty]
    if "after" in parts:
        slope, (events, scores, (weight, score)) = parts["after_slope"], landmark_patients(network)
        n = slope.shape[-1]
        hazard = parts["after"].reshape(*slope.shape, -1)
        weight, score = (x.reshape(n, hazard.shape[-1], -1) for x in (weight, score))
        at_nodes = np.exp(hazard[..., None] + slope[..., None, None] * score)
        each = (events.reshape(n, -1) * hazard).sum(axis=-1)
        each += scores * slope - (weight * at_nodes).sum(axis=(-2, -1))
        strata = [c.study for c in network.landmark_cohorts for _ in network.assumptions.arms]
        found += [(study, each[..., i]) for i, study in enumerate(strata)]
    return found


def reported_log_ratios(draws: xr.Dataset, network: Network) -> tuple[pd.DataFrame, xr.DataArray]:
    """The log hazard ratios that a synthesis reports: what each is about, and its draws, dims (quantity,
    chain, draw). Of shrinkage by endpoint, arm and landmark, per 10 points; of arms by endpoint and study.
    """
    rows, shape = [], (-1, draws.sizes[CHAIN], draws.sizes[DRAW])
    values = [np.empty((0, *shape[1:]))]
    if network.slope_endpoints:
        slopes = slopes_of(draws)
        for endpoint, arm, at in about(slopes).itertuples(index=False):
            taken_off = at == NO_LIMIT and (endpoint, arm) in network.biased_slopes
            status = BIAS_TAKEN_OFF if taken_off else ""
            rows.append((endpoint, SHRINKAGE, arm, at, at in (NO_LIMIT, OBSERVED), status, ""))
        values.append(slopes.transpose(..., *SAMPLE_DIMS).values.reshape(shape))
    for name in ("arm_effect", "arm_effect_mean"):
        if name in draws and (name == "arm_effect" or network.pools_effects):
            for endpoint, *study in about(draws[name]).itertuples(index=False):
                rows.append((endpoint, ARM, "", "", False, "", *(study or [POOLED])))
            values.append(draws[name].transpose(..., *SAMPLE_DIMS).values)
    coords = {"quantity": range(len(rows)), CHAIN: draws[CHAIN], DRAW: draws[DRAW]}
    drawn = xr.DataArray(np.concatenate(values), dims=("quantity", *SAMPLE_DIMS), coords=coords)
    return pd.DataFrame(rows, columns=list(ABOUT)), drawn


def synthesis_power_scaling(fit: xr.DataTree, network: Network) -> pd.DataFrame:
    """What decides each hazard ratio of a synthesis, priors or studies: one row a hazard ratio and component.

    Columns: endpoint, measure ("shrinkage, per 10 points" or "arm"), arm, landmark, biased, status, study,
    and component, sensitivity, shift and reading as in ``power_scaling``. Components: the likelihood, that of
    each study (its published numbers and its patients) where there are several, all priors together, and
    each stated prior (Kallioinen et al. 2024, doi:10.1007/s11222-023-10366-5).
    """
    reported, draws = reported_log_ratios(fit["posterior"].to_dataset(), network)
    found = sensitivities(draws, synthesis_components(fit, network))
    return reported.merge(found, left_index=True, right_on="quantity")[[*ABOUT, *MEASURED]].reset_index(
        drop=True
    )
