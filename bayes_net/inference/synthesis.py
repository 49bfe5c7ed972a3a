"""The posterior of a network of published numbers and patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_net.assumptions.network import Network
from bayes_net.engine.moved import Drawn, drawn, moved
from bayes_net.engine.synthesis import conditional_scale, hyperparameters, information, synthesis_posterior
from bayes_net.inference.arrays import draw_prior, named, published_log_likelihood, values_of
from bayes_net.inference.levels import of_first_stage, with_levels
from bayes_net.inference.sampling import (
    PRIOR_DRAWS,
    PYMC,
    Sampler,
    as_tree,
    compile_model,
    labelled,
    sample,
    sample_posterior,
)
from bayes_net.model.predictors import effect_names, factors, join, scale_names, split
from bayes_net.schema import COMPARISON, IMPORTANCE_ESS, INTERVAL, MOVED, PARETO_K, SAMPLE_DIMS

_DIMS = {"z": ("effect_label",), "scale": ("sd_label",)}
SAMPLER = Sampler(draws=1500, tune=600, target_accept=0.98)


def fit_synthesis(
    network: Network,
    *,
    seed: int,
    sampler: Sampler = SAMPLER,
    brief: bool = False,
    progress: bool = False,
) -> xr.DataTree:
    """The posterior of a network of published numbers, patients, or both.

    Groups: ``posterior`` (free variables, and derived from them log_hazard (curve, interval), arm_effect,
    study_level, slope (endpoint, arm, landmark), bias, response), ``prior`` (the same, drawn from the
    priors), ``sample_stats``, ``log_likelihood`` (variable ``published``, dims chain, draw, row: of each
    number given those it is correlated with), ``constant_data`` (start and end of each interval, months).
    What a curve is of stands in coordinates along it, ``curve_endpoint``, ``curve_study`` and ``curve_arm``;
    so it does along every dim of ``schema.FIELDS``. Variables are those of ``synthesis_model``. ``brief``
    leaves out log_likelihood.

    Without ``feedback`` in the assumptions ``network.first_stage`` is sampled, and given each of its draws
    the level of every single-arm study is drawn from its density given all else: what the curve of such a
    study prints moves nothing but its own level (a cut; Plummer 2015, doi:10.1007/s11222-014-9503-z).

    The ``sampler``'s engine "pymc" compiles that model and samples it; "numba" samples the same density and
    compiles nothing anew.
    """
    how: dict[str, Any] = {"seed": seed, "sampler": sampler, "progress": progress}
    first = network.first_stage
    if sampler.engine == PYMC:
        from bayes_net.model.synthesis import synthesis_model  # PyMC is imported where it is asked for

        tree = sample(compile_model(synthesis_model(first), derived=False), **how)
        free = values_of(tree["posterior"].to_dataset(), first)
    else:
        source = synthesis_posterior(first)
        tree = sample_posterior(source, dims=_DIMS, turned=True, **how)
        free = as_defined(tree["posterior"].to_dataset(), first)
    free = with_levels(free, network, seed=seed)
    posterior = named(free, network, {dim: tree["posterior"][dim] for dim in SAMPLE_DIMS})
    reference, *others = network.assumptions.arms
    groups = {
        "/": xr.Dataset(attrs=tree.attrs | {COMPARISON: f"{', '.join(others)} against {reference}"}),
        "posterior": posterior,
        "prior": draw_prior(network, draws=PRIOR_DRAWS * 4, seed=seed),
        "sample_stats": tree["sample_stats"].to_dataset(),
    }
    if network.curves:
        groups["constant_data"] = _intervals(network.assumptions.cuts, posterior[INTERVAL])
    if len(network.rows) and not brief:
        groups["log_likelihood"] = published_log_likelihood(posterior, network).to_dataset(name="published")
    return xr.DataTree.from_dict(groups, name="fit")


def shares_first_stage(one: Network, other: Network) -> bool:
    """Whether two weightings of one network differ in curves only that do not feed back."""
    first, second = one.first_stage, other.first_stage
    cohorts = [[cohort.weight for cohort in network.cohorts] for network in (first, second)]
    return bool(one.conditional) and np.array_equal(first.power, second.power) and cohorts[0] == cohorts[1]


def with_levels_of(fit: xr.DataTree, network: Network, *, seed: int) -> xr.DataTree:
    """A fit with the levels that ``network`` gives to single-arm studies, drawn anew given the same draws of
    the first stage: exact, and nothing is sampled, where both share that (``shares_first_stage``)."""
    draws = fit["posterior"].to_dataset()
    free = with_levels(of_first_stage(values_of(draws, network), network), network, seed=seed)
    posterior = named(free, network, {dim: draws[dim] for dim in SAMPLE_DIMS})
    groups = {"posterior": posterior, "sample_stats": fit["sample_stats"].to_dataset()}
    return as_tree(groups, fit.attrs)


def drawn_from(fit: xr.DataTree, network: Network) -> Drawn | None:
    """The draws of a ``fit`` of ``network`` as the engine has them, which ``moved_fit`` moves; None where
    its density has no mode to move them by."""
    values = values_of(fit["posterior"].to_dataset(), network)
    first = network.first_stage
    own = of_first_stage(values, network) if network.conditional else values
    return drawn(synthesis_posterior(first), as_sampled(own, first))


def moved_fit(
    known: Drawn, network: Network, smaller: Network, *, draws: int, seed: int
) -> xr.DataTree | None:
    """The posterior of ``smaller``, which is ``network`` with something left out, without sampling it: the
    draws of ``network`` are moved and weighted (``engine.moved``), and so many a chain resampled.

    Groups ``posterior`` and ``sample_stats``, with Pareto's k and the effective size of the weights, by which
    it is judged; None where the two have different variables, or there is no mode.
    """
    found = moved(known, synthesis_posterior(smaller.first_stage), draws=draws, seed=seed)
    if found is None:
        return None
    vector = labelled(known.posterior.named(found.draws), _DIMS, {})
    free = with_levels(as_defined(vector, network.first_stage), smaller, seed=seed)
    numbers = {dim: np.arange(n) for dim, n in zip(SAMPLE_DIMS, found.logp.shape, strict=True)}
    each = np.ones(len(found.draws))
    stats = {PARETO_K: found.pareto_k * each, IMPORTANCE_ESS: found.ess * each}
    sampled = xr.Dataset({name: (SAMPLE_DIMS[:1], value) for name, value in stats.items()}, numbers)
    groups = {"posterior": named(free, smaller, numbers), "sample_stats": sampled}
    return as_tree(groups, {"seed": seed, "method": MOVED})


def _intervals(cuts: Sequence[float], labels: xr.DataArray) -> xr.Dataset:
    edges = {"interval_start": (INTERVAL, [0.0, *cuts]), "interval_end": (INTERVAL, [*cuts, np.inf])}
    return xr.Dataset(edges, {INTERVAL: labels})


def as_defined(draws: xr.Dataset, network: Network) -> dict[str, np.ndarray]:
    """The free variables of ``synthesis_model``, (chain, draw, ...), from the vectors ``z`` and ``scale`` of
    the engine; effects with a standard deviation of their own stay standardised."""
    names, scales = effect_names(network), scale_names(network)
    mean, sd = hyperparameters(network)[:2]
    z, sds = draws["z"].transpose(*SAMPLE_DIMS, "effect_label").values, {}
    if scales:
        scale = draws["scale"].transpose(*SAMPLE_DIMS, "sd_label").values
        z = z / conditional_scale(factors(scale, network, otherwise=0.0), information(network))
        sds = split(scale, scales, network)
    return split(mean + sd * z, names, network) | sds


def as_sampled(values: Mapping[str, np.ndarray], network: Network) -> np.ndarray:
    """The engine's vector, (chain, draw, size), of these free variables: what ``as_defined`` undoes."""
    mean, sd = hyperparameters(network)[:2]
    scales = scale_names(network)
    z = (join(values, effect_names(network), network) - mean) / sd
    if not scales:
        return z
    scale = join(values, scales, network)
    z = z * conditional_scale(factors(scale, network, otherwise=0.0), information(network))
    return np.concatenate([z, np.log(scale)], axis=-1)
