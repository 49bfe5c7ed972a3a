"""A synthesis as arrays: what is computed from its draws, and from those of its prior, without PyMC."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from scipy import special

from bayes_net.assumptions.network import Network
from bayes_net.assumptions.statements import log_mass
from bayes_net.labels import coordinates
from bayes_net.model.likelihoods import (
    all_estimates,
    count_rows,
    linear_parts,
    log_printed,
    printed,
    range_log_likelihood,
    range_rows,
    row_location,
    shrinkage_law,
    unprinted_estimates,
)
from bayes_net.model.predictors import derive, derived_dims, scaled
from bayes_net.schema import CHAIN, DRAW, ROW, SAMPLE_DIMS
from bayes_net.statistics.base import STUDENT_DF
from bayes_net.statistics.counts import COUNTED, count_log_likelihood


def named(values: Mapping[str, np.ndarray], network: Network, coords: Mapping) -> xr.Dataset:
    """Draws of the free variables, (chain, draw, ...), with their dims and coordinates, and what is derived
    from them; ``coords`` are those of chain and draw."""
    variables = {name: ((*SAMPLE_DIMS, *own.dims), values[name]) for name, own in network.free.items()}
    labels = {dim: own for variable in network.free.values() for dim, own in variable.dims.items()}
    return with_derived(xr.Dataset(variables, {**coords, **coordinates(labels)}), network)


def with_derived(free: xr.Dataset, network: Network) -> xr.Dataset:
    """Draws of the free variables together with what ``derive`` makes of them."""
    dims, effects = derived_dims(network), scaled(values_of(free, network), network)
    derived = derive(effects, network)
    if "estimate_z" in network.free:
        derived["estimate"] = all_estimates(effects, network)
    found = {name: ((*SAMPLE_DIMS, *dims[name]), value) for name, value in derived.items()}
    labels = {dim: own for name in derived for dim, own in dims[name].items()}
    return free.assign(found).assign_coords(coordinates(labels))


def draw_prior(network: Network, *, draws: int, seed: int) -> xr.Dataset:
    """Draws from the prior, dims (chain = 1, draw, ...), with the variables of the posterior."""
    variables = draw_free(network, np.random.default_rng(seed), (1, draws))
    return named(variables, network, {CHAIN: [0], DRAW: np.arange(draws)})


def draw_free(network: Network, rng: np.random.Generator, lead: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Draws of the free variables from their priors, (*lead, ...)."""
    return {name: own.prior.draw(rng, (*lead, *own.shape)) for name, own in network.free.items()}


def values_of(draws: xr.Dataset, network: Network) -> dict[str, np.ndarray]:
    """The free variables of a dataset of draws as plain arrays, chain and draw first."""
    return {name: draws[name].transpose(*SAMPLE_DIMS, *v.dims).values for name, v in network.free.items()}


def published_log_likelihood(draws: xr.Dataset, network: Network) -> xr.DataArray:
    """Log density of each published number given the parameters and the numbers it is correlated with,
    dims (chain, draw, row)."""
    from scipy import stats

    parts = linear_parts(scaled(values_of(draws, network), network), network)
    total = np.zeros((draws.sizes[CHAIN], draws.sizes[DRAW], len(network.rows)))
    value, se = printed(network)
    log_se, location = np.log(se) + parts["log_inflation"], row_location(parts, network)
    z, said = (value - location) / np.exp(log_se), network.statements
    total -= log_printed(location / np.exp(log_se), network)
    if len(said.rows):
        estimate = unprinted_estimates(parts, network).estimate
        z[..., said.rows] = (estimate - location[..., said.rows]) / np.exp(log_se[..., said.rows])
    conditional = _conditional(z, network.whitening.precision(said))
    if len(said.rows):
        total[..., said.rows] = _log_said(estimate, location, np.exp(log_se), conditional, network)
    for kind, density in (
        ("normal", lambda: stats.norm.logpdf(z, *conditional)),
        ("student", lambda: stats.t.logpdf(z, STUDENT_DF)),
    ):
        own = np.array([d.kind == kind for d in network.data])
        if own.any():
            total[..., own] = (density() - log_se)[..., own]
    for endpoint in COUNTED:
        if network.groups(endpoint):
            counts = count_rows(network, endpoint, given_lower=True)
            k, n = counts.array[:2]
            choose = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
            law = shrinkage_law(parts, network, counts=True) if endpoint == "shrinkage" else parts
            total[..., counts.rows] = choose + count_log_likelihood(law, counts.array, endpoint)
    if len(ranges := range_rows(network)):
        total[..., ranges] = range_log_likelihood(parts, network)
    coords = {CHAIN: draws[CHAIN], DRAW: draws[DRAW], ROW: list(network.rows["id"])}
    return xr.DataArray(total, dims=(*SAMPLE_DIMS, ROW), coords=coords)


def _conditional(z: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (..., row) and SD (row,) of each standardised residual given the others."""
    diagonal = np.where(np.diag(precision) > 0, np.diag(precision), 1.0)
    return (z * np.diag(precision) - z @ precision) / diagonal, 1 / np.sqrt(diagonal)


def _log_said(
    estimate: np.ndarray,
    location: np.ndarray,
    se: np.ndarray,
    conditional: tuple[np.ndarray, np.ndarray],
    network: Network,
) -> np.ndarray:
    """Log probability of each statement given all other estimates, (..., said)."""
    said, (value, _), (mean, sd) = network.statements, printed(network), conditional
    known = np.concatenate([np.broadcast_to(value, (*estimate.shape[:-1], len(value))), estimate], axis=-1)
    found = np.empty(estimate.shape)
    for k, row in enumerate(said.rows):
        limits = said.interval(k, se[..., row], known)
        a, b = (((x - location[..., row]) / se[..., row] - mean[..., row]) / sd[row] for x in limits)
        found[..., k] = log_mass(a, b)
    return found
