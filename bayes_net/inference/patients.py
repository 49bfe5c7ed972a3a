"""The posterior of a hazard model of patients, and fits of several data sets side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_net.assumptions.hazard import SHARED, Hazard, free_variables
from bayes_net.assumptions.priors import Flat
from bayes_net.data.aggregated import AggregatedExposure, AnyExposure
from bayes_net.data.exposure import Exposure, subset
from bayes_net.data.gauss import UncertainExposure
from bayes_net.data.terms import covariate_attrs, measure_attrs
from bayes_net.engine.layout import Layout
from bayes_net.engine.patients import patients_posterior, sampled_variables, uncertain_posterior
from bayes_net.inference import sampling
from bayes_net.inference.closed_form import as_defined, draw_prior, log_likelihood, log_prior, with_derived
from bayes_net.inference.sampling import PRIOR_DRAWS, PYMC, Sampler, as_tree, compile_model, sample
from bayes_net.inference.start import starting_points, starts_of_definition
from bayes_net.model.predictors import coordinates
from bayes_net.schema import ARM, INTERVAL, PATIENT, SAMPLE_DIMS, STUDY


def fit(
    data: AnyExposure,
    hazard: Hazard | None = None,
    *,
    seed: int,
    sampler: Sampler = Sampler(),
    shape: Layout | None = None,
    brief: bool = False,
    progress: bool = False,
) -> xr.DataTree:
    """The posterior of a hazard model of ``data``.

    Groups: ``posterior``, ``sample_stats``, ``log_prior`` (each free variable), ``log_likelihood``
    (variable ``patients``, dims chain, draw, patient: in memory, not for the file; of an
    ``AggregatedExposure`` only their sum, dims chain, draw), ``prior``
    (absent when a prior is flat), ``observed_data`` (events by arm and interval) and
    ``constant_data`` (intervals, exposure, numbers). Variables are those of ``hazard_model``. ``brief``
    leaves it at posterior, sample_stats and constant_data, which is what hazard ratios and their gate need.

    The ``sampler``'s engine "pymc" compiles that model and samples it; "numba" samples the same density with
    exposure as ``shape`` has it, and compiles nothing anew.

    Raises
    ------
    InputError
        ``data`` are of another ``shape``.
    """
    hazard = hazard or Hazard()
    sampled = _sample_definition if sampler.engine == PYMC else _sample_density
    tree = sampled(data, hazard, shape, seed=seed, sampler=sampler, progress=progress)
    return _groups(tree, data, hazard, log_likelihood, seed=seed, brief=brief)


def fit_with_error(
    data: UncertainExposure,
    hazard: Hazard | None = None,
    *,
    seed: int,
    sampler: Sampler = Sampler(),
    brief: bool = False,
    progress: bool = False,
) -> xr.DataTree:
    """The posterior of a hazard model of patients whose score is known with error: as ``fit``, with the
    likelihood of each patient averaged over what its score may be (``hazard_model_with_error``)."""
    hazard = hazard or Hazard()
    sampled = _sample_definition_with_error if sampler.engine == PYMC else _sample_density_with_error
    tree = sampled(data, hazard, seed=seed, sampler=sampler, progress=progress)
    return _groups(tree, data, hazard, log_likelihood_with_error, seed=seed, brief=brief)


def _groups(
    tree: xr.DataTree, data: AnyExposure, hazard: Hazard, likelihood: Callable, *, seed: int, brief: bool
) -> xr.DataTree:
    """The groups of a fit, from what was drawn; ``likelihood`` is each patient's, of draws and data."""
    posterior = with_derived(tree["posterior"].to_dataset().assign_coords(_coords(data)), hazard, data)
    groups = {
        "posterior": posterior,
        "sample_stats": tree["sample_stats"].to_dataset(),
        "constant_data": _constants(data, hazard),
    }
    if not brief:
        groups |= {
            "log_prior": log_prior(posterior, hazard, data),
            "log_likelihood": likelihood(posterior, data).to_dataset(),
            "observed_data": xr.Dataset({"events": ((ARM, INTERVAL), data.events)}, _coords(data)),
        }
        if not any(isinstance(free.prior, Flat) for free in free_variables(hazard, data).values()):
            groups["prior"] = draw_prior(hazard, data, draws=PRIOR_DRAWS, seed=seed)
    return as_tree(groups, tree.attrs | measure_attrs(data.measure) | covariate_attrs(data.terms))


def fit_any(data: Exposure, hazard: Hazard, *, shape: Layout | None, **how: Any) -> xr.DataTree:
    """``fit``, or where scores are known with error ``fit_with_error``."""
    if isinstance(data, UncertainExposure):
        return fit_with_error(data, hazard, **how)
    return fit(data, hazard, shape=shape, **how)


def log_likelihood_with_error(posterior: xr.Dataset, data: UncertainExposure) -> xr.DataArray:
    """``log_likelihood`` of each patient, averaged over the nodes of its true score."""
    coords = {dim: posterior[dim] for dim in SAMPLE_DIMS} | {PATIENT: np.arange(data.n)}
    whole = np.full([len(each) for each in coords.values()], -np.inf)
    for score, log_weight in zip(data.node_score.T, data.log_weight.T, strict=True):
        own = np.isfinite(log_weight)
        at_node = replace(subset(data.measured, own), score=score[own])
        part = log_likelihood(posterior, at_node).values + log_weight[own]
        whole[..., own] = np.logaddexp(whole[..., own], part)
    return xr.DataArray(whole, dims=(*SAMPLE_DIMS, PATIENT), coords=coords, name="patients")


def _sample_density_with_error(data: UncertainExposure, hazard: Hazard, **how: Any) -> xr.DataTree:
    dims = {name: own.dims for name, own in sampled_variables(hazard, data).items()}
    posterior = uncertain_posterior(data, hazard)
    tree = sampling.sample_posterior(posterior, dims=dims, coords=coordinates(data), **how)
    tree["posterior"] = xr.DataTree(as_defined(tree["posterior"].to_dataset(), hazard, data))
    return tree


def _sample_definition_with_error(data: UncertainExposure, hazard: Hazard, **how: Any) -> xr.DataTree:
    from bayes_net.model.hazard import hazard_model_with_error

    return sample(compile_model(hazard_model_with_error(data, hazard), derived=False), **how)


def _sample_density(data: AnyExposure, hazard: Hazard, shape: Layout | None, **how: Any) -> xr.DataTree:
    """Draws of the engine's log density, by the names of ``hazard_model``."""
    posterior = patients_posterior(data, hazard, shape=shape)
    if isinstance(data, AggregatedExposure):
        posterior = posterior.starting_near(*starting_points(hazard, data))
    dims = {name: own.dims for name, own in sampled_variables(hazard, data).items()}
    tree = sampling.sample_posterior(posterior, dims=dims, coords=coordinates(data), **how)
    tree["posterior"] = xr.DataTree(as_defined(tree["posterior"].to_dataset(), hazard, data))
    return tree


def _sample_definition(data: AnyExposure, hazard: Hazard, _shape: Layout | None, **how: Any) -> xr.DataTree:
    from bayes_net.model.hazard import hazard_model  # PyMC is imported where it is asked for

    model = hazard_model(data, hazard)
    compiled = compile_model(model, derived=False)
    if isinstance(data, AggregatedExposure):
        names = [variable.name for variable in model.free_RVs]
        compiled = compiled.starting_at(starts_of_definition(hazard, data, names))
    return sample(compiled, **how)


def _coords(data: AnyExposure) -> dict[str, list]:
    of_studies = {STUDY: list(data.studies)} if data.studies else {}
    return {ARM: list(data.arms), **of_studies, INTERVAL: list(range(data.n_intervals))}


def _constants(data: AnyExposure, hazard: Hazard) -> xr.Dataset:
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
            "in_stretches": ((), getattr(data, "patient", None) is not None),
            **({"study_share": (data.strata_dims, _shares(data, hazard))} if data.studies else {}),
        },
        _coords(data),
    )


def _shares(data: AnyExposure, hazard: Hazard) -> np.ndarray:
    """The share of each study in an arm's averages, (study, arm): of its patients in all arms among those of
    the studies that tell of the arm, by patients of it or by proportional hazards."""
    counts = data.n_by_stratum
    whole = np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape)
    known = np.where((whole if hazard.baseline == SHARED else counts) > 0, whole, 0)
    return known / np.maximum(known.sum(axis=0), 1)


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
