"""Posterior draws by the No-U-Turn sampler: compile a model once, refit it with other data.

Compiling takes many times longer than sampling a landmark model, so a compiled model is kept for
the life of the process and serves every exposure of the same layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from inspect import signature
from numbers import Integral
from types import MappingProxyType

import numpy as np
import nutpie
import xarray as xr

from bayes_net._backend import pm
from bayes_net._start import starting_points
from bayes_net.aggregated import AggregatedExposure
from bayes_net.closed_form import draw_prior, free_variables, log_likelihood, log_prior, with_derived
from bayes_net.errors import InputError
from bayes_net.exposure import measure_attrs
from bayes_net.hazard import hazard_model
from bayes_net.priors import Flat
from bayes_net.schema import ARM, DRAW, INTERVAL, SAMPLE_DIMS
from bayes_net.structure import AnyExposure, Hazard, Layout, layout, model_data

PACKAGES = ("bayes-net", "pymc", "nutpie", "pytensor", "numba", "arviz-stats", "numpy", "xarray")
PRIOR_DRAWS = 1000
_KEPT_STATS = ("diverging", "energy", "logp", "n_steps", "step_size")
_compiled: dict[tuple, Compiled] = {}


@dataclass(frozen=True)
class Sampler:
    """How long and how carefully to sample; of every ``thin`` draws one is kept, ``draws`` in all."""

    draws: int = 1000
    tune: int = 500
    chains: int = 4
    target_accept: float = 0.98
    thin: int = 1

    def more_careful(self) -> Sampler:
        """Smaller steps (a quarter as much is rejected), longer tuning, twice the sampling for as many."""
        closer = 1.0 - (1.0 - self.target_accept) / 4
        return replace(self, tune=2 * self.tune, target_accept=closer, thin=2 * self.thin)

    def __post_init__(self) -> None:
        if min(self.draws, self.tune, self.chains, self.thin) < 1 or not 0.5 <= self.target_accept < 1:
            raise InputError(f"{self} is not usable; expected positive counts and 0.5 <= target_accept < 1")


@dataclass(frozen=True)
class Compiled:
    """A compiled log-density; ``inputs`` are the names of the data it can be given anew."""

    model: object
    inputs: frozenset[str]

    def starting_near(self, centre: np.ndarray, spread: np.ndarray) -> Compiled:
        """With chains that start at normal draws around ``centre``, SDs ``spread``: both of all unconstrained
        free variables one after another."""

        def point(seed: int) -> np.ndarray:
            return centre + spread * np.random.default_rng(seed).standard_normal(len(centre))

        return replace(self, model=replace(self.model, initial_point_func=point))


def compile_model(model: pm.Model, *, derived: bool = True) -> Compiled:
    """Compile ``model`` (numba backend; no C++ compiler needed).

    Without ``derived`` its deterministic variables are left out of the draws: a fifth less to compile.
    """
    names = frozenset(v.name for v in model.data_vars)
    wanted = None if derived else [v.name for v in model.free_RVs]
    return Compiled(nutpie.compile_pymc_model(model, backend="numba", var_names=wanted), names)


def sample(
    model: pm.Model | Compiled,
    *,
    seed: int,
    sampler: Sampler = Sampler(),
    data: Mapping[str, np.ndarray] = MappingProxyType({}),
    progress: bool = False,
) -> xr.DataTree:
    """Posterior draws, groups ``posterior`` and ``sample_stats`` with dims (chain, draw, ...).

    ``data`` replaces the values of ``pm.Data`` variables (others are left out). The same seed gives
    the same draws, bit for bit, on the same machine and versions.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**63:
        raise InputError(f"seed is {seed!r}; expected a whole number from 0 to 2**63 - 1")
    compiled = model if isinstance(model, Compiled) else compile_model(model)
    given = {name: value for name, value in data.items() if name in compiled.inputs}
    trace = nutpie.sample(
        compiled.model.with_data(**given) if given else compiled.model,
        draws=sampler.draws * sampler.thin,
        tune=sampler.tune,
        chains=sampler.chains,
        seed=int(seed),
        target_accept=sampler.target_accept,
        save_warmup=False,
        **_LOW_RANK,
        progress_bar=progress,
    )
    tree = _datatree(trace)
    posterior, stats = (
        _thinned(tree[name].to_dataset(), sampler.thin) for name in ("posterior", "sample_stats")
    )
    # Some nutpie versions keep the unconstrained twins (name_log__) of constrained variables.
    twins = [name for name in posterior.variables if "__" in str(name)]
    groups = {
        "posterior": posterior.drop_vars(twins).drop_attrs(),
        "sample_stats": stats[[name for name in _KEPT_STATS if name in stats]].drop_attrs(),
    }
    return _tree(groups, {"seed": int(seed)} | {f"version {name}": version(name) for name in PACKAGES})


def _thinned(draws: xr.Dataset, thin: int) -> xr.Dataset:
    """Every ``thin``-th draw, renumbered; a divergence at any of the draws left out stays on record."""
    if thin == 1:
        return draws
    kept = draws.isel({DRAW: slice(None, None, thin)})
    if "diverging" in draws:
        kept["diverging"] = draws["diverging"].coarsen({DRAW: thin}).max().assign_coords({DRAW: kept[DRAW]})
    return kept.assign_coords({DRAW: np.arange(kept.sizes[DRAW])})


def _tree(groups: Mapping[str, xr.Dataset], attrs: Mapping) -> xr.DataTree:
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=dict(attrs)), **groups}, name="fit")


# The one place that knows the stacks apart. A mass matrix that learns correlations goes by two names:
_LOW_RANK: Mapping[str, object] = (
    {"adaptation": "low_rank"}
    if "adaptation" in signature(nutpie.sample).parameters
    else {"low_rank_modified_mass_matrix": True}
)


def _datatree(trace) -> xr.DataTree:
    """ArviZ 0.x hands back InferenceData, 1.x a DataTree."""
    return trace if isinstance(trace, xr.DataTree) else trace.to_datatree()


def fit(
    data: AnyExposure,
    hazard: Hazard | None = None,
    *,
    seed: int,
    sampler: Sampler = Sampler(),
    shape: Layout | None = None,
    progress: bool = False,
) -> xr.DataTree:
    """The posterior of a hazard model of ``data``.

    Groups: ``posterior``, ``sample_stats``, ``log_prior`` (each free variable), ``log_likelihood``
    (variable ``patients``, dims chain, draw, patient: in memory, not for the file; of an
    ``AggregatedExposure`` only their sum, dims chain, draw), ``prior``
    (absent when a prior is flat), ``observed_data`` (events by arm and interval) and
    ``constant_data`` (intervals, exposure, numbers). Exposures fitted with the same ``shape`` share
    one compiled model.
    """
    hazard = hazard or Hazard()
    shape = shape or layout([data])
    compiled = _compile_once(data, hazard, shape)
    if isinstance(data, AggregatedExposure):
        compiled = compiled.starting_near(*starting_points(hazard, data))
    tree = sample(
        compiled, seed=seed, sampler=sampler, data=model_data(data, shape, hazard), progress=progress
    )
    drawn = tree["posterior"].to_dataset().assign_coords(_coords(data))
    posterior = with_derived(drawn, hazard, data)
    groups = {
        "posterior": posterior,
        "sample_stats": tree["sample_stats"].to_dataset(),
        "log_prior": log_prior(posterior, hazard, data),
        "log_likelihood": log_likelihood(posterior, data).to_dataset(),
        "observed_data": xr.Dataset({"events": ((ARM, INTERVAL), data.events)}, _coords(data)),
        "constant_data": _constants(data),
    }
    if not any(isinstance(prior, Flat) for prior, _ in free_variables(hazard, data).values()):
        groups["prior"] = draw_prior(hazard, data, draws=PRIOR_DRAWS, seed=seed)
    return _tree(groups, tree.attrs | measure_attrs(data.measure))


def _compile_once(data: AnyExposure, hazard: Hazard, shape: Layout) -> Compiled:
    kinds = tuple((name, type(prior), dims) for name, (prior, dims) in free_variables(hazard, data).items())
    key = (shape, kinds)
    if key not in _compiled:
        _compiled[key] = compile_model(hazard_model(data, hazard, shape=shape), derived=False)
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
    each = {
        name: [tree.attrs[name] for tree in fits.values()] for name in ("seed", "attempts") if name in attrs
    }
    return _tree(groups, attrs | each)
