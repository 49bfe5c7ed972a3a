"""Laws of best shrinkage as terms of a PyMC model, see ``assumptions.shrinkage``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bayes_net import schema
from bayes_net.assumptions.network import Network
from bayes_net.assumptions.shrinkage import NEVER, response_place, selected
from bayes_net.model.backend import GRAPH, pm, pt, random_variable
from bayes_net.model.likelihoods import range_values
from bayes_net.statistics.association import log_odds_ratio
from bayes_net.statistics.base import Array
from bayes_net.statistics.counts import LARGEST_SHRINKAGE, log_between, log_short, place
from bayes_net.statistics.ranges import log_range_density

Labelled = Callable[[str, np.ndarray], str]
"""Adds the dim of a term, whose labels are the ids of its rows."""


def best_shrinkage(network: Network) -> None:
    """Add location and log spread of every law, (shrinkage_law,); who is seen; and the correlation of early
    with final shrinkage with the log odds ratios that it makes, (completion_of,)."""
    own, a = network.shrinkage, network.assumptions
    of, laws = [own.arms.index(arm) for _, arm in own.groups], {}
    for name, prior in (("location", a.shrinkage_location), ("log_spread", a.shrinkage_log_spread)):
        z = free(network, f"shrinkage_{name}_z")
        laws[name] = (prior.mean + prior.sd * z @ own.factor.T)[of]
    if own.studies:
        difference = free(network, "shrinkage_study_sd") * free(network, "shrinkage_study_z")
        at = [own.groups.index(group) for group in own.studies]
        laws["location"] = laws["location"][at].inc(difference[:, None])
    location, log_spread = (
        pm.Deterministic(f"shrinkage_{name}", law.ravel(), dims=schema.SHRINKAGE_LAW)
        for name, law in laws.items()
    )
    for name in ("selection", "progression"):
        if name in network.free:
            free(network, name)
    if own.completions:
        correlation = pm.Deterministic("early_late_correlation", pt.tanh(free(network, "early_late")))
        starts = response_place(location, log_spread, GRAPH)
        early, late = (starts[list(at)] for at in zip(*map(own.pair, own.completions), strict=True))
        each = pt.broadcast_to(correlation, (len(own.completions),))
        odds = log_odds_ratio(early, late, each, GRAPH)
        pm.Deterministic("completion", odds, dims=schema.COMPLETION_OF)


def free(network: Network, name: str) -> pt.TensorVariable:
    """A free variable of the network, with its prior and dims."""
    own = network.free[name]
    return random_variable(name, own.prior, tuple(own.dims))


def _law(network: Network, rows: np.ndarray) -> tuple[Array, Array]:
    """Location and log spread among the patients of each row, (row,)."""
    model, own, at = pm.modelcontext(None), network.shrinkage.rows, _places(network, rows)
    location, log_spread = (model[f"shrinkage_{name}"][own.law[at]] for name in ("location", "log_spread"))
    if (own.selected[at] < 0).all():
        return location, log_spread
    correlation = pt.tanh(_where_given(model["selection"], own.selected[at], 0.0))
    return selected(location, log_spread, correlation, (own.shift[at], own.loss[at]), GRAPH)


def _places(network: Network, rows: np.ndarray) -> list[int]:
    """Where rows are among those about a law."""
    return [list(network.shrinkage.rows.rows).index(row) for row in rows]


def _where_given(values: Array, at: np.ndarray, otherwise: float) -> Array:
    """``values`` at these places, and ``otherwise`` at those below 0."""
    found = pt.as_tensor(np.full(len(at), otherwise))
    return found[np.flatnonzero(at >= 0)].set(values[at[at >= 0]])


def observe_counts(network: Network, rows: np.ndarray, labelled: Labelled) -> str:
    """Add counts of shrinkages of at least a threshold, the same patients at each: of those below the next
    higher threshold, or with progression, how many reach this one. The name of the term."""
    name, own = "published_shrinkage", network.shrinkage.rows
    at, law = np.array(_places(network, rows)), own.law[_places(network, rows)]
    k, n = (np.array([getattr(network.data[i], what) for i in rows]) for what in ("successes", "n"))
    threshold = network.rows["threshold"].to_numpy(float)[rows]
    # where the next higher threshold is in each array; -1: what is put at its end, nobody beyond 100 points
    above: list[Any] = [
        min(np.flatnonzero((law == of) & (threshold > t)), key=threshold.item, default=-1)
        for of, t in zip(law, threshold, strict=True)
    ]
    beyond, higher = np.append(k, 0)[above], np.append(threshold, LARGEST_SHRINKAGE)[above]
    location, log_spread = _law(network, rows)
    u, u_above = ((place(points) - location) / pt.exp(log_spread) for points in (threshold, higher))
    progression = pt.as_tensor(np.full(len(rows), NEVER))
    if "progression" in network.free:
        progression = _where_given(pm.modelcontext(None)["progression"], own.progressive[at], NEVER)
    whole = log_short(u_above, progression, GRAPH)
    reached = GRAPH.log_sigmoid(-progression) + log_between(u, u_above, GRAPH)
    chances = reached - whole, log_short(u, progression, GRAPH) - whole
    how = {"dist": _binomial, "logp": _binomial_log_density, "observed": k - beyond}
    pm.CustomDist(name, n - beyond, *chances, **how, dims=labelled(name, rows))
    return name


def _binomial(
    n: pt.TensorVariable, log_p: pt.TensorVariable, _log_q: pt.TensorVariable, size: pt.TensorVariable
) -> pt.TensorVariable:
    return pm.Binomial.dist(n, pt.exp(log_p), size=size)


def _binomial_log_density(
    k: pt.TensorVariable, n: pt.TensorVariable, log_p: pt.TensorVariable, log_q: pt.TensorVariable
) -> pt.TensorVariable:
    """From the logs of a chance and of its complement: ``pm.Binomial`` has none where either rounds to 0."""
    choose = pt.gammaln(n + 1) - pt.gammaln(k + 1) - pt.gammaln(n - k + 1)
    return choose + k * log_p + (n - k) * log_q


def observe_ranges(network: Network, rows: np.ndarray, labelled: Labelled) -> str:
    """Add medians with minimum and maximum, each a vector of three places. The name of the term."""
    name = "published_ranges"
    at = np.array(_places(network, rows)) - network.shrinkage.rows.n_counts
    *places, n = range_values(network)[:, at]
    model = pm.modelcontext(None)
    model.add_coord("order_statistic", ["minimum", "median", "maximum"])
    how = {"dist": _ordered, "logp": _ordered_log_density, "signature": "(),(),()->(k)"}
    dims = (labelled(name, rows), "order_statistic")
    pm.CustomDist(name, *_law(network, rows), n, **how, observed=np.stack(places, axis=-1), dims=dims)
    return name


def _ordered(
    location: pt.TensorVariable, log_spread: pt.TensorVariable, n: pt.TensorVariable, size: Any
) -> pt.TensorVariable:
    """Of n uniform numbers the shares of the whole below, between and above are those of gamma variables."""
    half = 0.5 * (n - 1.0)
    shape = pt.stack([pt.ones_like(half), half, half, pt.ones_like(half)], axis=-1)
    size = None if size is None or getattr(size, "data", 0) is None else (*tuple(size), 4)
    gaps = pm.Gamma.dist(shape, 1.0, size=size)
    share = pt.cumsum(gaps, axis=-1)[..., :3] / gaps.sum(axis=-1, keepdims=True)
    return location[..., None] - pt.exp(log_spread)[..., None] * np.sqrt(2.0) * pt.erfcinv(2.0 * share)


def _ordered_log_density(
    places: pt.TensorVariable,
    location: pt.TensorVariable,
    log_spread: pt.TensorVariable,
    n: pt.TensorVariable,
) -> pt.TensorVariable:
    low, middle, high = places[..., 0], places[..., 1], places[..., 2]
    return log_range_density((low, middle, high), n, location, log_spread, GRAPH)
