"""A synthesis as arrays: what its sampler reads, and what is computed from its draws without PyMC.

Everything that the likelihood reads is one affine map of the vector of effects (``design``), read off
``linear_parts`` at the unit vectors; ``inputs`` are the numbers that a compiled model takes anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from bayes_net.data.gauss import NODES, compress
from bayes_net.evidence.counts import COUNTED, count_log_likelihood
from bayes_net.evidence.statistics import STUDENT_DF, Array, Quantity
from bayes_net.labels import coordinates
from bayes_net.model.likelihoods import count_rows, curve_derivatives, linear_parts, row_location
from bayes_net.model.network import Network
from bayes_net.model.predictors import (
    derive,
    derived_dims,
    effect_labels,
    effect_names,
    scale_names,
    scaled,
    split,
)
from bayes_net.model.priors import Borrowing, HalfCauchy
from bayes_net.schema import CHAIN, DRAW, ROW, SAMPLE_DIMS


def information(
    jacobian: np.ndarray,
    parts: Mapping[str, slice],
    arrays: Mapping[str, np.ndarray],
    prior_sd: np.ndarray,
    network: Network,
) -> np.ndarray:
    """What rows and patients add to the precision of each effect, (effect,), with all others unknown, and all
    free standard deviations at 1.

    ``jacobian`` (element, effect) and ``parts`` are those of the design, ``arrays`` the model's inputs. It is
    Fisher's information at constant hazards and at the observed shares; any other value leaves the posterior
    as it is.
    """
    prior = np.diag(prior_sd**-2.0)
    seen = sum((j.T @ w @ j for j, w in _observations(jacobian, parts, arrays, network)), start=prior)
    return np.maximum(1.0 / np.diag(np.linalg.inv(seen)) - prior_sd**-2.0, 0.0)


def _observations(
    jacobian: np.ndarray, parts: Mapping[str, slice], arrays: Mapping[str, np.ndarray], network: Network
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What is seen as (its derivative by the effects, its precision matrix)."""
    if "rows" in arrays:
        _, se, power = arrays["rows"]
        own = jacobian[parts["location"]].copy()
        if "curve_rows" in parts:
            slopes = curve_derivatives(network)
            by_interval = jacobian[parts["curve_rows"]].reshape(*slopes.shape, -1)
            own[network.is_of(Quantity.CURVE)] = np.einsum("rk,rke->re", slopes, by_interval)
        student = np.array([d.kind == "student" for d in network.data])
        precision = arrays["root"].T @ arrays["root"] + np.diag(power * student)
        yield own / se[:, None], precision
    if "response" in parts:
        k, n, power = arrays["response_counts"]
        p = (k + 0.5) / (n + 1.0)
        yield jacobian[parts["response"]], np.diag(power * n * p * (1 - p))
    if "curves" in parts:
        yield jacobian[parts["curves"]], np.diag(arrays["curve_patients"][0])
    if "after" in parts:
        events, (weight, score) = arrays["after_events"], arrays["after_nodes"]
        share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
        hazard, slope = jacobian[parts["after"]], jacobian[parts["after_slope"]]
        slope = np.repeat(slope, len(hazard) // len(slope), axis=0)
        for node in range(weight.shape[1]):
            yield hazard + score[:, node, None] * slope, np.diag(events * share[:, node])


def conditional_scale(factor: Array, learned: Array, root: Callable[[Array], Array] = np.sqrt) -> Array:
    """SD of each standardised effect as it is sampled, sqrt(1 + sd^2 I): ``factor`` is the standard deviation
    sd between units that multiplies the effect (0 where none does), ``learned`` the ``information`` I on it
    at sd = 1. Weak evidence gives the non-centred form, strong evidence the centred one."""
    return root(1.0 + factor**2 * learned)


@dataclass(frozen=True, eq=False)
class Design:
    """``linear_parts`` as one affine map of the vector of effects: ``matrix`` (element, effect) and
    ``intercept``, and where each part is found in its result."""

    matrix: np.ndarray
    intercept: np.ndarray
    parts: Mapping[str, slice]


def design(network: Network) -> Design:
    """The affine map, read off ``linear_parts`` at the unit vectors."""
    names, size = effect_names(network), len(effect_labels(network))
    at = linear_parts(split(np.vstack([np.zeros(size), np.eye(size)]), names, network), network)
    ends = np.cumsum([value.shape[1] for value in at.values()])
    parts = {name: slice(int(end) - at[name].shape[1], int(end)) for name, end in zip(at, ends, strict=True)}
    whole = np.concatenate(list(at.values()), axis=1)
    return Design((whole[1:] - whole[0]).T.copy(), whole[0], parts)


# --- what the likelihood makes of it ------------------------------------------------------------------


def inputs(network: Network) -> dict[str, np.ndarray]:
    """The numbers that a compiled model takes anew: rows, weights, hyperparameters, patients."""
    linear = design(network)
    arrays = {
        "design": linear.matrix,
        "intercept": linear.intercept,
        "hyperparameters": hyperparameters(network),
    }
    if len(network.rows):
        located = [d.kind != "binomial" for d in network.data]
        arrays["rows"] = np.array(
            [
                [d.value if u else 0.0 for d, u in zip(network.data, located, strict=True)],
                [d.se if u else 1.0 for d, u in zip(network.data, located, strict=True)],
                network.power,
            ],
            float,
        )
        arrays["root"] = precision_root(network)
    for endpoint in COUNTED:
        if network.groups(endpoint):
            counts = count_rows(network, endpoint)
            arrays[f"{endpoint}_counts"] = np.vstack([counts.array, network.power[counts.rows]])
    if "curve_rows" in linear.parts:
        arrays["curve_months"] = network.curve_months
    arrays |= _patient_inputs(network)
    if scale_names(network):
        arrays["scale_sd"] = scale_hyperparameters(network)
        sd = arrays["hyperparameters"][1]
        arrays["information"] = information(linear.matrix, linear.parts, arrays, sd, network)
    return arrays


def precision_root(network: Network) -> np.ndarray:
    """Matrix R, (row, row), with R' R the precision of the rows' standardised residuals."""
    root, used = np.zeros_like(network.precision), np.diag(network.precision) > 0
    root[np.ix_(used, used)] = np.linalg.cholesky(network.precision[np.ix_(used, used)]).T
    return root


def hyperparameters(network: Network) -> np.ndarray:
    """Mean, SD, vague SD and weight of every effect, (4, effect); of one component: its SD twice and 1."""
    columns = []
    for name in effect_names(network):
        prior: Any = network.free[name].prior
        n = int(np.prod(network.free[name].shape))
        if isinstance(prior, Borrowing):
            columns += [(0.0, prior.sd, prior.vague_sd, prior.weight)] * n
        else:
            columns += [(prior.mean, prior.sd, prior.sd, 1.0)] * n
    return np.array(columns).T


def scale_hyperparameters(network: Network) -> np.ndarray:
    """Scale of the prior of every standard deviation."""
    values = []
    for name in scale_names(network):
        prior = network.free[name].prior
        scale = prior.scale if isinstance(prior, HalfCauchy) else prior.sd
        values += [scale] * int(np.prod(network.free[name].shape))
    return np.array(values)


def _patient_inputs(network: Network) -> dict[str, np.ndarray]:
    arrays = {}
    if network.has_curve_patients:
        curves = np.zeros((2, len(network.curves), network.n_intervals))
        for cohort in network.cohorts:
            for a, arm in enumerate(network.assumptions.arms):
                if cohort.person_time[a].any():
                    at = network.curves.index((cohort.endpoint, cohort.study, arm))
                    curves[:, at] = cohort.weight * np.stack([cohort.events[a], cohort.person_time[a]])
        arrays["curve_patients"] = curves.reshape(2, -1)
    if network.landmark_cohorts:
        arrays |= _landmark_inputs(network)
    return arrays


def _landmark_inputs(network: Network) -> dict[str, np.ndarray]:
    """Events, score of the events, and nodes of exposure, stratum by stratum (study, then arm)."""
    events, scores, nodes = [], [], []
    for cohort in network.landmark_cohorts:
        data, arms = cohort.exposure, np.arange(len(network.assumptions.arms))
        rule = compress(data, patterns=arms[:, None].astype(float))
        events.append(cohort.weight * data.events)
        scores.append(cohort.weight * data.score_events)
        nodes.append(np.stack([cohort.weight * rule.weight, rule.score]))
    return {
        "after_events": np.concatenate(events).ravel(),
        "after_scores": np.concatenate(scores),
        "after_nodes": np.concatenate(nodes, axis=1).reshape(2, -1, NODES),
    }


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
    value, se = inputs(network)["rows"][:2]
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
