"""A synthesis as arrays: what is computed from its draws, and from those of its prior, without PyMC."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from scipy import special

from bayes_net.evidence.counts import COUNTED, count_log_likelihood
from bayes_net.evidence.statistics import STUDENT_DF
from bayes_net.labels import coordinates
from bayes_net.model.likelihoods import count_rows, linear_parts, printed, row_location
from bayes_net.model.network import Network
from bayes_net.model.predictors import derive, derived_dims, scaled
from bayes_net.model.priors import Borrowing
from bayes_net.schema import CHAIN, DRAW, ROW, SAMPLE_DIMS


def named(values: Mapping[str, np.ndarray], network: Network, coords: Mapping) -> xr.Dataset:
    """Draws of the free variables, (chain, draw, ...), with their dims and coordinates, and what is derived
    from them; ``coords`` are those of chain and draw."""
    variables = {name: ((*SAMPLE_DIMS, *own.dims), values[name]) for name, own in network.free.items()}
    labels = {dim: own for variable in network.free.values() for dim, own in variable.dims.items()}
    return with_derived(xr.Dataset(variables, {**coords, **coordinates(labels)}), network)


def with_derived(free: xr.Dataset, network: Network) -> xr.Dataset:
    """Draws of the free variables together with what ``derive`` makes of them."""
    dims, derived = derived_dims(network), derive(scaled(values_of(free, network), network), network)
    found = {name: ((*SAMPLE_DIMS, *dims[name]), value) for name, value in derived.items()}
    labels = {dim: own for name in derived for dim, own in dims[name].items()}
    return free.assign(found).assign_coords(coordinates(labels))


def draw_prior(network: Network, *, draws: int, seed: int) -> xr.Dataset:
    """Draws from the prior, dims (chain = 1, draw, ...), with the variables of the posterior."""
    rng = np.random.default_rng(seed)
    variables = {}
    for name, variable in network.free.items():
        shape = (1, draws, *variable.shape)
        prior = variable.prior
        value = _draw_mixture(rng, prior, shape) if isinstance(prior, Borrowing) else prior.draw(rng, shape)
        variables[name] = value
    return named(variables, network, {CHAIN: [0], DRAW: np.arange(draws)})


def _draw_mixture(rng: np.random.Generator, prior: Borrowing, shape: tuple[int, ...]) -> np.ndarray:
    narrow = rng.random(shape) < prior.weight
    return rng.normal(size=shape) * np.where(narrow, prior.sd, prior.vague_sd)


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
    log_se = np.log(se) + parts["log_inflation"]
    z = (value - row_location(parts, network)) / np.exp(log_se)
    for kind, density in (
        ("normal", lambda: _conditional_normal(z, network.precision)),
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
            each = count_log_likelihood(parts, counts.array, endpoint)
            total[..., counts.rows] = choose + each
    coords = {CHAIN: draws[CHAIN], DRAW: draws[DRAW], ROW: list(network.rows["id"])}
    return xr.DataArray(total, dims=(*SAMPLE_DIMS, ROW), coords=coords)


def _conditional_normal(z: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Log density of each standardised residual given the others, from their precision matrix."""
    from scipy import stats

    diagonal = np.diag(precision).copy()
    known = diagonal > 0
    diagonal[~known] = 1.0
    shift = (z @ precision - z * np.diag(precision)) / diagonal  # minus the conditional mean
    return stats.norm.logpdf(z + shift, scale=1 / np.sqrt(diagonal))
