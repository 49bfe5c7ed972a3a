"""The posterior of a hazard model of patients, and fits of several data sets side by side."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from bayes_net.data.aggregated import AggregatedExposure, AnyExposure
from bayes_net.data.exposure import measure_attrs
from bayes_net.engine.layout import Layout, layout, model_data
from bayes_net.engine.patients import patients_posterior, sampled_variables
from bayes_net.inference.closed_form import draw_prior, log_likelihood, log_prior, with_derived
from bayes_net.inference.sampling import (
    NUMBA,
    PRIOR_DRAWS,
    PYMC,
    Compiled,
    Sampler,
    as_tree,
    check_engine,
    compile_model,
    sample,
    sample_posterior,
)
from bayes_net.inference.start import starting_points
from bayes_net.model.assumptions import Hazard, free_variables
from bayes_net.model.predictors import coordinates
from bayes_net.model.priors import Flat
from bayes_net.schema import ARM, INTERVAL, SAMPLE_DIMS

_compiled: dict[tuple, Compiled] = {}


def fit(
    data: AnyExposure,
    hazard: Hazard | None = None,
    *,
    seed: int,
    sampler: Sampler = Sampler(),
    shape: Layout | None = None,
    engine: str = NUMBA,
    brief: bool = False,
    progress: bool = False,
) -> xr.DataTree:
    """The posterior of a hazard model of ``data``.

    Groups: ``posterior``, ``sample_stats``, ``log_prior`` (each free variable), ``log_likelihood``
    (variable ``patients``, dims chain, draw, patient: in memory, not for the file; of an
    ``AggregatedExposure`` only their sum, dims chain, draw), ``prior``
    (absent when a prior is flat), ``observed_data`` (events by arm and interval) and
    ``constant_data`` (intervals, exposure, numbers). ``engine``: "numba" compiles nothing anew, "pymc"
    compiles the PyMC model, once for all exposures of the same ``shape``. ``brief`` leaves it at posterior,
    sample_stats and constant_data, which is what hazard ratios and their gate need.
    """
    check_engine(engine)
    hazard = hazard or Hazard()
    shape = shape or layout([data])
    if engine == PYMC:
        source = _compile_once(data, hazard, shape)
    else:
        source = patients_posterior(data, hazard, shape=shape)
    if isinstance(data, AggregatedExposure):
        source = source.starting_near(*starting_points(hazard, data))
    how = {"seed": seed, "sampler": sampler, "progress": progress}
    if engine == PYMC:
        tree = sample(source, data=model_data(data, shape, hazard), **how)
    else:
        dims = {name: free.dims for name, free in sampled_variables(hazard, data).items()}
        tree = sample_posterior(source, dims=dims, coords=coordinates(data), **how)
    drawn = tree["posterior"].to_dataset().assign_coords(_coords(data))
    posterior = with_derived(drawn, hazard, data)
    groups = {
        "posterior": posterior,
        "sample_stats": tree["sample_stats"].to_dataset(),
        "constant_data": _constants(data),
    }
    if not brief:
        groups |= {
            "log_prior": log_prior(posterior, hazard, data),
            "log_likelihood": log_likelihood(posterior, data).to_dataset(),
            "observed_data": xr.Dataset({"events": ((ARM, INTERVAL), data.events)}, _coords(data)),
        }
        if not any(isinstance(free.prior, Flat) for free in free_variables(hazard, data).values()):
            groups["prior"] = draw_prior(hazard, data, draws=PRIOR_DRAWS, seed=seed)
    return as_tree(groups, tree.attrs | measure_attrs(data.measure))


def _compile_once(data: AnyExposure, hazard: Hazard, shape: Layout) -> Compiled:
    # PyMC is imported where it is asked for
    from bayes_net.inference.engine_patients import flat_hazard_model

    kinds = tuple((name, type(v.prior), v.dims) for name, v in free_variables(hazard, data).items())
    key = (shape, kinds)
    if key not in _compiled:
        _compiled[key] = compile_model(flat_hazard_model(data, hazard, shape=shape), derived=False)
    return _compiled[key]


def _coords(data: AnyExposure) -> dict[str, list]:
    return {ARM: list(data.arms), INTERVAL: list(range(data.n_intervals))}


def _constants(data: AnyExposure) -> xr.Dataset:
    """What estimands need besides the draws; totals by arm, nothing of a single patient but the
    longest follow-up."""
    return xr.Dataset(
        {
            "interval_start": (INTERVAL, data.starts),
            "interval_end": (INTERVAL, data.ends),
            "person_time": ((ARM, INTERVAL), data.person_time),
            "n": (ARM, data.n_by_arm),
            "n_events": (ARM, data.events.sum(axis=1)),
            "last_follow_up": (ARM, data.last_follow_up),
        },
        _coords(data),
    )


def stack(fits: Mapping[str, xr.DataTree], *, dim: str) -> xr.DataTree:
    """Fits of one model to several data sets side by side along ``dim`` (labels are the keys).

    Per-patient log-likelihoods differ in length, so their group keeps the total per draw only.
    """
    names = [
        name
        for name in next(iter(fits.values())).children
        if all(name in tree.children for tree in fits.values())
    ]
    groups = {}
    for name in names:
        parts = [tree[name].to_dataset() for tree in fits.values()]
        if name == "log_likelihood":
            parts = [part.sum([d for d in part.dims if d not in SAMPLE_DIMS]) for part in parts]
        groups[name] = xr.concat(
            parts, dim=dim, join="outer", coords="minimal", compat="override"
        ).assign_coords({dim: list(fits)})
    attrs = next(iter(fits.values())).attrs
    of_each = [name for name in ("seed", "attempts", "method") if name in attrs]
    each = {name: [tree.attrs[name] for tree in fits.values()] for name in of_each}
    return as_tree(groups, attrs | each)
