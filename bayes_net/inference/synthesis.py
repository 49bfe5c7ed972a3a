"""The posterior of a network: compiled once, refitted with rows left out, each published number predicted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayes_net.engine.synthesis import synthesis_posterior
from bayes_net.inference.arrays import (
    conditional_scale,
    design,
    draw_prior,
    hyperparameters,
    inputs,
    named,
    published_log_likelihood,
)
from bayes_net.inference.sampling import (
    NUMBA,
    PRIOR_DRAWS,
    PYMC,
    Compiled,
    Sampler,
    check_engine,
    compile_model,
    sample,
    sample_posterior,
)
from bayes_net.model.network import Network
from bayes_net.model.predictors import effect_names, scale_names, scaling, split
from bayes_net.schema import CHAIN, DRAW, INTERVAL, SAMPLE_DIMS

SAMPLER = Sampler(draws=1500, tune=1000, target_accept=0.99)
_compiled: dict[tuple, Compiled] = {}


def fit_synthesis(
    network: Network,
    *,
    seed: int,
    sampler: Sampler = SAMPLER,
    engine: str = NUMBA,
    brief: bool = False,
    progress: bool = False,
) -> xr.DataTree:
    """The posterior of a network of published numbers, patients, or both.

    Groups: ``posterior`` (free variables, and derived from them log_hazard (curve, interval), arm_effect,
    study_level, slope (endpoint, arm, landmark), bias, response), ``prior`` (the same, drawn from the
    priors), ``sample_stats``, ``log_likelihood`` (variable ``published``, dims chain, draw, row: of each
    number given those it is correlated with), ``constant_data`` (start and end of each interval, months).
    What a curve is of stands in coordinates along it, ``curve_endpoint``, ``curve_study`` and ``curve_arm``;
    so it does along every dim of ``schema.FIELDS``. ``engine``: "numba" compiles nothing anew, "pymc" the
    PyMC model. ``brief`` leaves out log_likelihood.
    """
    check_engine(engine)
    data, how = inputs(network), {"seed": seed, "sampler": sampler, "progress": progress}
    if engine == PYMC:
        tree = sample(_compile_once(network), data=data, **how)
    else:
        source = synthesis_posterior(network, data, design(network).parts)
        tree = sample_posterior(source, dims={"z": ("effect_label",), "scale": ("sd_label",)}, **how)
    posterior = _rescaled(tree["posterior"].to_dataset(), network)
    groups = {
        "/": xr.Dataset(attrs=tree.attrs),
        "posterior": posterior,
        "prior": draw_prior(network, draws=PRIOR_DRAWS * 4, seed=seed),
        "sample_stats": tree["sample_stats"].to_dataset(),
    }
    if network.curves:
        groups["constant_data"] = _intervals(network.assumptions.cuts, posterior[INTERVAL])
    if len(network.rows) and not brief:
        groups["log_likelihood"] = published_log_likelihood(posterior, network).to_dataset(name="published")
    return xr.DataTree.from_dict(groups, name="fit")


def _intervals(cuts: Sequence[float], labels: xr.DataArray) -> xr.Dataset:
    edges = {"interval_start": (INTERVAL, [0.0, *cuts]), "interval_end": (INTERVAL, [*cuts, np.inf])}
    return xr.Dataset(edges, {INTERVAL: labels})


def _compile_once(network: Network) -> Compiled:
    # PyMC is imported where it is asked for
    from bayes_net.inference.engine_synthesis import flat_synthesis_model

    key = signature(network)
    if key not in _compiled:
        _compiled[key] = compile_model(flat_synthesis_model(network))
    return _compiled[key]


def signature(network: Network) -> tuple:
    """What a compiled model depends on besides its inputs; pools that agree in it share one."""
    columns = ["id", "study", "arm", "endpoint", "statistic", "landmark", "threshold"]
    rows = tuple(map(str, network.rows[columns].itertuples(index=False, name=None)))
    forms = tuple((d.kind, d.inflated) for d in network.data)
    kinds = tuple((name, type(v.prior).__name__, tuple(v.dims.items())) for name, v in network.free.items())
    shapes = tuple((name, value.shape) for name, value in inputs(network).items())
    return rows, forms, kinds, network.assumptions.cuts, scaling(network).tobytes(), shapes


def _rescaled(draws: xr.Dataset, network: Network) -> xr.Dataset:
    """The model's vectors ``z`` and ``scale`` as the variables of ``network.free``; effects with a standard
    deviation of their own stay standardised."""
    names, scales = effect_names(network), scale_names(network)
    mean, sd = hyperparameters(network)[:2]
    z, sds = draws["z"].transpose(*SAMPLE_DIMS, "effect_label").values, {}
    if scales:
        scale = draws["scale"].transpose(*SAMPLE_DIMS, "sd_label").values
        z = z / conditional_scale(scale @ scaling(network).T, inputs(network)["information"])
        sds = split(scale, scales, network)
    values = split(mean + sd * z, names, network) | sds
    return named(values, network, {CHAIN: draws[CHAIN], DRAW: draws[DRAW]})
