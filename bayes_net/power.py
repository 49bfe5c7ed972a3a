"""How much a reported quantity hangs on the priors and on the data: power-scaling, and tipping points.

Nothing is refitted. Raising one prior, or the likelihood, to a power near 1 reweights the draws; how far a
quantity's distribution then moves is its sensitivity (Kallioinen et al. 2024,
doi:10.1007/s11222-023-10366-5).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from bayes_net.errors import InputError
from bayes_net.schema import SAMPLE_DIMS, SLOPE

ALPHAS = (0.99, 1.01)
SENSITIVE = 0.05
"""From here a quantity is said to depend on a component, and below it not to (Kallioinen et al. 2024)."""
LIKELIHOOD, ALL_PRIORS = "likelihood", "all priors"
MEASURED = ("component", "sensitivity", "shift", "reading")
_INNER = ("step",)
"""Variables whose distribution is part of the model, not a stated prior."""


def power_scaling(fit: xr.DataTree, quantities: Mapping[str, xr.DataArray] | None = None) -> pd.DataFrame:
    """Sensitivity of quantities to every prior and to the likelihood, one row a quantity and component.

    ``quantities`` are draws by name; by default the slopes (log hazard ratios). Columns: quantity, label (its
    other dims), component (likelihood, all priors, prior of VARIABLE), ``sensitivity`` (cumulative
    Jensen-Shannon distance per doubling of the power), ``shift`` (by how many of its SDs the mean moves per
    doubling of the power), and ``reading``. Of a synthesis: ``pooled_power_scaling``.

    Raises
    ------
    InputError
        The fit has no ``log_prior`` or ``log_likelihood``.
    """
    if missing := [name for name in ("log_prior", "log_likelihood") if name not in fit.children]:
        raise InputError(f"the fit has no group {', '.join(missing)}; expected one of bayes_net.fit")
    quantities = {"log hazard ratio": fit["posterior"][SLOPE]} if quantities is None else quantities
    parts, tables = components(fit), []
    for name, draws in quantities.items():
        own = sensitivities(draws, parts)
        labels = own.drop(columns=list(MEASURED)).astype(str).agg(", ".join, axis=1)
        tables.append(own.assign(quantity=name, label=labels if len(draws.dims) > 2 else ""))
    return pd.concat(tables, ignore_index=True)[["quantity", "label", *MEASURED]]


def sensitivities(draws: xr.DataArray, parts: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """How far every element of ``draws`` moves with each component: one row an element and component.

    ``parts`` are log-densities by component, (chain, draw). Columns: the other dims of ``draws``, component,
    sensitivity, shift, reading, as in ``power_scaling``.
    """
    ordered, weights = draws.transpose(..., *SAMPLE_DIMS), {name: _weights(x) for name, x in parts.items()}
    dims, rows = ordered.dims[:-2], []
    for at in np.ndindex(ordered.shape[:-2]):
        own = ordered.values[at]
        found = {name: _sensitivity(own, density, weights[name]) for name, density in parts.items()}
        about = [ordered[dim].values[i] for dim, i in zip(dims, at, strict=True)]
        reading = _reading(found)
        rows += [(*about, part, *pair, reading) for part, pair in found.items()]
    return pd.DataFrame(rows, columns=[*dims, *MEASURED])


def components(fit: xr.DataTree) -> dict[str, np.ndarray]:
    """Log-density of each component of the posterior, (chain, draw)."""

    def total(x: xr.DataArray) -> np.ndarray:
        return x.sum([dim for dim in x.dims if dim not in SAMPLE_DIMS]).transpose(*SAMPLE_DIMS).values

    likelihood = sum(total(x) for x in fit["log_likelihood"].data_vars.values())
    priors = {
        f"prior of {name}": total(x)
        for name, x in fit["log_prior"].data_vars.items()
        if name not in _INNER and float(np.ptp(x.values)) > 0
    }
    together = {ALL_PRIORS: sum(priors.values())} if priors else {}
    return {LIKELIHOOD: likelihood} | together | priors


def _weights(log_density: np.ndarray) -> list[np.ndarray]:
    """Weights of the draws with the component raised to each power, each summing to 1."""
    found = []
    for alpha in ALPHAS:
        logs = array_stats.power_scale_lw(log_density, alpha=alpha, axis=(-2, -1))
        weight = np.exp(logs - logs.max())
        found.append(weight / weight.sum())
    return found


def _sensitivity(
    draws: np.ndarray, log_density: np.ndarray, weights: list[np.ndarray]
) -> tuple[float, float]:
    if not np.ptp(draws):
        return 0.0, 0.0
    distance = float(array_stats.power_scale_sense(draws, *weights, *ALPHAS))
    # the derivative of a posterior mean to the log of a power is its covariance with the log density
    covariance = np.cov(draws.ravel(), log_density.ravel())[0, 1]
    return distance, float(np.log(2) * covariance / draws.std(ddof=1))


def _reading(found: Mapping[str, tuple[float, float]]) -> str:
    prior, data = (found.get(part, (0.0, 0.0))[0] >= SENSITIVE for part in (ALL_PRIORS, LIKELIHOOD))
    if prior:
        return "priors and data may disagree" if data else "priors are strong, or data weak"
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
