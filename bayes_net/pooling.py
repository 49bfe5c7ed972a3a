"""The posterior of a pool: compiled once, refitted with rows left out, each published number predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats
from scipy import special, stats

from bayes_net._pool_inputs import COUNTED
from bayes_net._pooled import (
    conditional_scale,
    count_log_likelihood,
    count_rows,
    derive,
    derived_dims,
    effect_names,
    hyperparameters,
    inputs,
    linear_parts,
    row_location,
    scale_names,
    scaled,
    scaling,
    split,
)
from bayes_net.assumptions import Borrowing
from bayes_net.pool import Pool
from bayes_net.published import STUDENT_DF
from bayes_net.sampling import PRIOR_DRAWS, Compiled, Sampler, compile_model, sample
from bayes_net.schema import CHAIN, DRAW, SAMPLE_DIMS
from bayes_net.synthesis import synthesis_model

ROW = "row"
SAMPLER = Sampler(draws=1500, tune=1000, target_accept=0.99)
_compiled: dict[tuple, Compiled] = {}
SURE_PARETO_K = 0.5
"""Up to here a number may be left out by importance sampling. Few numbers carry a synthesis, so that the k of
most is near 1 and its estimate from draws is noisy: at the usual 0.7 an elpd can be wrong by half."""


def fit_pool(pool: Pool, *, seed: int, sampler: Sampler = SAMPLER, progress: bool = False) -> xr.DataTree:
    """The posterior of a pool of published numbers, patients, or both.

    Groups: ``posterior`` (free variables, and derived from them log_hazard (curve, interval), arm_effect,
    study_level, slope (slope_of, landmark), bias, response), ``prior`` (the same, drawn from the priors),
    ``sample_stats``, ``log_likelihood`` (variable ``published``, dims chain, draw, row: of each number given
    those it is correlated with).
    """
    data = inputs(pool)
    tree = sample(_compile_once(pool), seed=seed, sampler=sampler, data=data, progress=progress)
    posterior = named(tree["posterior"].to_dataset(), pool)
    groups = {
        "/": xr.Dataset(attrs=tree.attrs),
        "posterior": posterior,
        "prior": draw_prior(pool, draws=PRIOR_DRAWS * 4, seed=seed),
        "sample_stats": tree["sample_stats"].to_dataset(),
    }
    if len(pool.rows):
        groups["log_likelihood"] = published_log_likelihood(posterior, pool).to_dataset(name="published")
    return xr.DataTree.from_dict(groups, name="fit")


def _compile_once(pool: Pool) -> Compiled:
    key = signature(pool)
    if key not in _compiled:
        _compiled[key] = compile_model(synthesis_model(pool))
    return _compiled[key]


def signature(pool: Pool) -> tuple:
    """What a compiled model depends on besides its inputs; pools that agree in it share one."""
    columns = ["id", "study", "arm", "endpoint", "statistic", "landmark", "threshold"]
    rows = tuple(map(str, pool.rows[columns].itertuples(index=False, name=None)))
    forms = tuple((d.kind, d.inflated) for d in pool.data)
    kinds = tuple((name, type(v.prior).__name__, tuple(v.dims.items())) for name, v in pool.free.items())
    shapes = tuple((name, value.shape) for name, value in inputs(pool).items())
    return rows, forms, kinds, pool.assumptions.cuts, scaling(pool).tobytes(), shapes


def named(draws: xr.Dataset, pool: Pool) -> xr.Dataset:
    """The model's vectors ``z`` and ``scale`` as the variables of ``pool.free``; effects with a standard
    deviation of their own stay standardised."""
    names, scales = effect_names(pool), scale_names(pool)
    mean, sd = hyperparameters(pool)[:2]
    z, sds = draws["z"].transpose(*SAMPLE_DIMS, "effect_label").values, {}
    if scales:
        scale = draws["scale"].transpose(*SAMPLE_DIMS, "sd_label").values
        z = z / conditional_scale(scale @ scaling(pool).T, inputs(pool)["information"])
        sds = split(scale, scales, pool)
    values = split(mean + sd * z, names, pool) | sds
    coords = {CHAIN: draws[CHAIN], DRAW: draws[DRAW]}
    coords |= {dim: list(labels) for v in pool.free.values() for dim, labels in v.dims.items()}
    variables = {name: ((*SAMPLE_DIMS, *pool.free[name].dims), values[name]) for name in pool.free}
    return with_derived(xr.Dataset(variables, coords), pool)


def with_derived(free: xr.Dataset, pool: Pool) -> xr.Dataset:
    """Draws of the free variables together with what ``derive`` makes of them."""
    dims, derived = derived_dims(pool), derive(scaled(values_of(free, pool), pool), pool)
    coords = {d: list(labels) for name in derived for d, labels in dims[name].items()}
    found = {name: ((*SAMPLE_DIMS, *dims[name]), value) for name, value in derived.items()}
    return free.assign(found).assign_coords(coords)


def draw_prior(pool: Pool, *, draws: int, seed: int) -> xr.Dataset:
    """Draws from the prior, dims (chain = 1, draw, ...), with the variables of the posterior."""
    rng = np.random.default_rng(seed)
    coords = {CHAIN: [0], DRAW: np.arange(draws)}
    variables = {}
    for name, variable in pool.free.items():
        shape = (1, draws, *variable.shape)
        prior = variable.prior
        value = _draw_mixture(rng, prior, shape) if isinstance(prior, Borrowing) else prior.draw(rng, shape)
        variables[name] = ((*SAMPLE_DIMS, *variable.dims), value)
        coords |= {dim: list(labels) for dim, labels in variable.dims.items()}
    return with_derived(xr.Dataset(variables, coords), pool)


def _draw_mixture(rng: np.random.Generator, prior: Borrowing, shape: tuple[int, ...]) -> np.ndarray:
    narrow = rng.random(shape) < prior.weight
    return rng.normal(size=shape) * np.where(narrow, prior.sd, prior.vague_sd)


def values_of(draws: xr.Dataset, pool: Pool) -> dict[str, np.ndarray]:
    """The free variables of a dataset of draws as plain arrays, chain and draw first."""
    return {name: draws[name].transpose(*SAMPLE_DIMS, *v.dims).values for name, v in pool.free.items()}


def published_log_likelihood(draws: xr.Dataset, pool: Pool) -> xr.DataArray:
    """Log density of each published number given the parameters and the numbers it is correlated with,
    dims (chain, draw, row)."""
    parts = linear_parts(scaled(values_of(draws, pool), pool), pool)
    total = np.zeros((draws.sizes[CHAIN], draws.sizes[DRAW], len(pool.rows)))
    value, se = inputs(pool)["rows"][:2]
    log_se = np.log(se) + parts["log_inflation"]
    z = (value - row_location(parts, pool)) / np.exp(log_se)
    for kind, density in (
        ("normal", lambda: _conditional_normal(z, pool.precision)),
        ("student", lambda: stats.t.logpdf(z, STUDENT_DF)),
    ):
        own = np.array([d.kind == kind for d in pool.data])
        if own.any():
            total[..., own] = (density() - log_se)[..., own]
    for endpoint in COUNTED:
        if pool.groups(endpoint):
            counts = count_rows(pool, endpoint, given_lower=True)
            k, n = counts.array[:2]
            choose = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
            each = count_log_likelihood(parts, counts.array, endpoint)
            total[..., counts.rows] = choose + each
    coords = {CHAIN: draws[CHAIN], DRAW: draws[DRAW], ROW: list(pool.rows["id"])}
    return xr.DataArray(total, dims=(*SAMPLE_DIMS, ROW), coords=coords)


def _conditional_normal(z: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Log density of each standardised residual given the others, from their precision matrix."""
    diagonal = np.diag(precision).copy()
    known = diagonal > 0
    diagonal[~known] = 1.0
    shift = (z @ precision - z * np.diag(precision)) / diagonal  # minus the conditional mean
    return stats.norm.logpdf(z + shift, scale=1 / np.sqrt(diagonal))


def left_out(pool: Pool, names: Sequence[str]) -> Pool:
    """The pool without the rows or studies of these names; its shapes stay, so nothing is compiled."""
    weights: dict[str, float] = {}
    for name in names:
        of_study = list(pool.rows.loc[pool.rows["study"] == name, "id"])
        weights |= dict.fromkeys(of_study or ([] if _is_cohort(pool, name) else [name]), 0.0)
    cohorts = tuple(replace(c, weight=0.0) if c.study in names else c for c in pool.cohorts)
    return replace(pool.with_power(weights), cohorts=cohorts)


def _is_cohort(pool: Pool, name: str) -> bool:
    return any(cohort.study == name for cohort in pool.cohorts)


def leave_one_number_out(
    fit: xr.DataTree, pool: Pool, refit: Callable[[Pool], xr.DataTree]
) -> tuple[pd.DataFrame, Mapping[str, xr.DataTree]]:
    """How well every published number is predicted by the others: one row a number, and the exact refits.

    Columns: row, elpd, pareto_k, exact. PSIS-LOO (Vehtari, Gelman and Gabry 2017,
    doi:10.1007/s11222-016-9696-4) where its Pareto k is at most
    ``SURE_PARETO_K``; else ``refit`` fits the pool without the number.
    """
    table, refits = [], {}
    for name in fit["log_likelihood"][ROW].values:
        values = fit["log_likelihood"]["published"].sel({ROW: name}).transpose(*SAMPLE_DIMS).values
        with np.errstate(divide="ignore", invalid="ignore"):
            elpd, k, _ = (float(v) for v in array_stats.loo(values))
        exact = not k <= SURE_PARETO_K
        if exact:
            refits[name] = refit(left_out(pool, [name]))
            draws = refits[name]["posterior"].to_dataset()
            held = published_log_likelihood(draws, pool).sel({ROW: name}).values
            elpd = float(special.logsumexp(held) - np.log(held.size))
        table.append({ROW: name, "elpd": elpd, "pareto_k": k, "exact": exact})
    return pd.DataFrame(table), refits
