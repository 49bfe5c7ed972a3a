"""Posterior draws by the No-U-Turn sampler, of the engine's log density or of a PyMC model."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from numbers import Integral
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_net.engine.laplace import approximate, turned_to_mode
from bayes_net.engine.nuts import VECTOR, columns, nutpie, nuts_model
from bayes_net.engine.posterior import Posterior
from bayes_net.errors import InputError
from bayes_net.schema import DRAW, IMPORTANCE_ESS, LAPLACE, NUTS, PARETO_K, SAMPLE_DIMS

if TYPE_CHECKING:
    import pymc as pm

NUMBA, PYMC = "numba", "pymc"

PACKAGES = ("bayes-net", "pymc", "nutpie", "pytensor", "numba", "arviz-stats", "numpy", "xarray")
PRIOR_DRAWS = 1000
_KEPT_STATS = ("diverging", "energy", "logp", "n_steps", "step_size")


@dataclass(frozen=True)
class Sampler:
    """How long and how carefully to sample; of every ``thin`` draws one is kept, ``draws`` in all.

    ``engine`` is what is sampled where ``fit`` and ``fit_synthesis`` have both: "numba", a density that is
    compiled once for every model, or "pymc", the PyMC model that defines it, compiled for each fit.
    ``method`` "laplace" draws from a Laplace approximation where that is good enough, and samples elsewhere
    (``engine.laplace``); a PyMC model is always sampled.
    """

    draws: int = 1000
    tune: int = 500
    chains: int = 4
    target_accept: float = 0.98
    thin: int = 1
    engine: str = NUMBA
    method: str = NUTS

    def more_careful(self) -> Sampler:
        """Smaller steps (a quarter as much is rejected), longer tuning, twice the sampling for as many; and
        no approximation."""
        closer = 1.0 - (1.0 - self.target_accept) / 4
        return replace(self, tune=2 * self.tune, target_accept=closer, thin=2 * self.thin, method=NUTS)

    def __post_init__(self) -> None:
        if min(self.draws, self.tune, self.chains, self.thin) < 1 or not 0.5 <= self.target_accept < 1:
            raise InputError(f"{self} is not usable; expected positive counts and 0.5 <= target_accept < 1")
        for name, known in (("engine", (NUMBA, PYMC)), ("method", (NUTS, LAPLACE))):
            if (value := getattr(self, name)) not in known:
                raise InputError(f"{name} {value!r} is unknown; expected {' or '.join(known)}")


@dataclass(frozen=True)
class Compiled:
    """A compiled log-density; ``inputs`` are the names of the data it can be given anew."""

    model: Any
    inputs: frozenset[str]

    def starting_at(self, point: Callable[[int], np.ndarray]) -> Compiled:
        """With chains that start where ``point`` of a seed is: all unconstrained free variables one after
        another."""
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
    compiled = model if isinstance(model, Compiled) else compile_model(model)
    given = {name: value for name, value in data.items() if name in compiled.inputs}
    return _draws(compiled.model.with_data(**given) if given else compiled.model, seed, sampler, progress)


def sample_posterior(
    posterior: Posterior,
    *,
    dims: Mapping[str, tuple[str, ...]],
    coords: Mapping[str, Sequence] = MappingProxyType({}),
    seed: int,
    sampler: Sampler = Sampler(),
    progress: bool = False,
    turned: bool = False,
) -> xr.DataTree:
    """The same of the engine's log density; ``dims`` are those of its variables, with their labels. Where it
    is ``turned`` it is sampled in the directions of its Laplace approximation: fewer and longer steps where
    variables are correlated.

    The attribute ``method`` says what the draws are from, and why an approximation that was asked for was not
    taken. Of one that was, ``sample_stats`` has logp, pareto_k and importance_ess.
    """
    settings, method, found = _settings(seed, sampler, progress), NUTS, None
    if sampler.method == LAPLACE:
        found = approximate(posterior, draws=sampler.draws, chains=sampler.chains, seed=seed)
        method = found.verdict
    if found and method == LAPLACE:
        vector, thin = found.draws, 1
        each = np.ones(len(vector))
        stats = {"logp": found.logp, PARETO_K: found.pareto_k * each, IMPORTANCE_ESS: found.ess * each}
    else:
        posterior = turned_to_mode(posterior) if turned else posterior
        stats = columns(
            nutpie.sample(nuts_model(posterior), **settings, return_raw_trace=True), [VECTOR, *_KEPT_STATS]
        )
        vector, thin = stats.pop(VECTOR), sampler.thin
    numbers = {dim: np.arange(n) for dim, n in zip(SAMPLE_DIMS, vector.shape, strict=False)}
    sampled = xr.Dataset({name: (SAMPLE_DIMS[: x.ndim], x) for name, x in stats.items()}, numbers)
    sampled = _thinned(sampled, thin)
    values = {name: value[:, ::thin] for name, value in posterior.named(vector).items()}
    drawn = labelled(values, dims, coords).assign_coords(sampled.coords)
    return as_tree({"posterior": drawn, "sample_stats": sampled}, _attrs(seed) | {"method": method})


def labelled(
    values: Mapping[str, np.ndarray], dims: Mapping[str, tuple[str, ...]], coords: Mapping[str, Sequence]
) -> xr.Dataset:
    """Draws of variables, chain and draw first, with their ``dims`` and of these the labels in ``coords``."""
    variables = {name: ((*SAMPLE_DIMS, *dims[name]), value) for name, value in values.items()}
    used = {dim for name in values for dim in dims[name]} & set(coords)
    return xr.Dataset(variables, {dim: coords[dim] for dim in used})


def _draws(model: Any, seed: int, sampler: Sampler, progress: bool) -> xr.DataTree:
    tree = _datatree(nutpie.sample(model, **_settings(seed, sampler, progress)))
    posterior, stats = (
        _thinned(tree[name].to_dataset(), sampler.thin) for name in ("posterior", "sample_stats")
    )
    # Some nutpie versions keep the unconstrained twins (name_log__) of constrained variables.
    twins = [name for name in posterior.variables if "__" in str(name)]
    groups = {
        "posterior": posterior.drop_vars(twins).drop_attrs(),
        "sample_stats": stats[[name for name in _KEPT_STATS if name in stats]].drop_attrs(),
    }
    return as_tree(groups, _attrs(seed) | {"method": NUTS})


def _settings(seed: int, sampler: Sampler, progress: bool) -> dict:
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**63:
        raise InputError(f"seed is {seed!r}; expected a whole number from 0 to 2**63 - 1")
    return {
        "draws": sampler.draws * sampler.thin,
        "tune": sampler.tune,
        "chains": sampler.chains,
        "seed": int(seed),
        "target_accept": sampler.target_accept,
        "save_warmup": False,
        "progress_bar": progress,
    }


def _attrs(seed: int) -> dict:
    return {"seed": int(seed)} | _versions()


@cache
def _versions() -> dict[str, str]:
    return {f"version {name}": version(name) for name in PACKAGES}


def seed_of(seed: int, attempt: int = 1, *, label: str | None = None) -> int:
    """The seed of one attempt at a model of a run whose seed is ``seed``.

    Models side by side in a run have labels, and each a seed of its own derived from its label: adding a
    landmark leaves the others' draws as they were. A model that is alone in its run, a synthesis, has no
    label and the run's own seed (the next for a second attempt), so that ``fit_synthesis`` with that seed
    repeats its draws.
    """
    if label is None:
        return seed + attempt - 1
    return int(np.random.SeedSequence([seed, zlib.crc32(label.encode()), attempt]).generate_state(1)[0])


def careful(
    fit: Callable[[Sampler, int], xr.DataTree],
    passes: Callable[[xr.DataTree], bool],
    *,
    sampler: Sampler,
    seeds: Sequence[int],
) -> xr.DataTree:
    """The first fit that ``passes``, in as many attempts as there are ``seeds``, each more careful than the
    one before (``Sampler.more_careful``); else the last. Its attribute ``attempts`` counts them."""
    for number, seed in enumerate(seeds, start=1):
        tree = fit(sampler, seed)
        tree.attrs["attempts"] = number
        if passes(tree):
            break
        sampler = sampler.more_careful()
    return tree


def _thinned(draws: xr.Dataset, thin: int) -> xr.Dataset:
    """Every ``thin``-th draw, renumbered; a divergence at any of the draws left out stays on record."""
    if thin == 1:
        return draws
    kept = draws.isel({DRAW: slice(None, None, thin)})
    if "diverging" in draws:
        kept["diverging"] = draws["diverging"].coarsen({DRAW: thin}).max().assign_coords({DRAW: kept[DRAW]})
    return kept.assign_coords({DRAW: np.arange(kept.sizes[DRAW])})


def as_tree(groups: Mapping[str, xr.Dataset], attrs: Mapping) -> xr.DataTree:
    """Groups and attributes as the tree of a fit."""
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=dict(attrs)), **groups}, name="fit")


def _datatree(trace: Any) -> xr.DataTree:
    """ArviZ 0.x hands back InferenceData, 1.x a DataTree."""
    return trace if isinstance(trace, xr.DataTree) else trace.to_datatree()
