"""Statements on estimates that are not printed as terms of a PyMC model, see ``assumptions.statements``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from bayes_net import schema
from bayes_net.assumptions.network import Network
from bayes_net.assumptions.statements import NOWHERE, Statements
from bayes_net.assumptions.variables import STANDARD
from bayes_net.model.backend import GRAPH, pm, pt, random_variable
from bayes_net.model.likelihoods import is_said, printed
from bayes_net.statistics.base import Array
from bayes_net.statistics.counts import FARTHEST, log_between

ZERO = pt.as_tensor(0.0)


def standard_error(network: Network, rows: np.ndarray) -> Array:
    """Standard error of rows, (row,), as stated; of a median without limits it is a floor."""
    log_se = pt.as_tensor(np.log(printed(network)[1]))
    if "log_inflation" in network.free:
        inflated = np.flatnonzero([d.inflated for d in network.data])
        log_se = log_se[inflated].inc(pm.modelcontext(None)["log_inflation"])
    return pt.exp(log_se[rows])


def observe_statements(network: Network, in_print: Sequence[tuple], location: Array) -> None:
    """Add ``estimate``, each where it lies given those before it, and the log probability of all that is
    said, ``statements``.

    ``in_print``: places and means of the normal numbers; ``location``: what each estimate is expected to be,
    (unprinted_estimate,).
    """
    said, white, value = network.statements, network.whitening, printed(network)[0]
    rows, z = np.flatnonzero(is_said(network)), pt.zeros(len(value))
    for own, expected in in_print:
        z = z[own].set((value[own] - expected) / standard_error(network, own))
    e = random_variable("estimate_z", STANDARD, (schema.UNPRINTED,))
    log_factor = np.array([network.data[i].se_tilt for i in rows]) * location
    if "se_z" in network.free:
        of, z_of_se = network.factors, random_variable("se_z", STANDARD, (schema.UNKNOWN_SE,))
        log_factor = log_factor[np.searchsorted(rows, of.rows)].inc(of.mean + pt.dot(of.root, z_of_se))
    own_se = standard_error(network, rows) * pt.exp(log_factor)
    w, known = list(white.root @ z), list(map(pt.as_tensor, value))
    estimate, total = list(location + own_se * e), ZERO
    for i, row in enumerate(said.rows):
        at = int(np.searchsorted(rows, row))
        low, high = _limits(said, i, own_se[at], known)
        scale = own_se[at] / np.sqrt(said.power[i])
        mean = sum((by * w[j] for j, by in enumerate(white.before[i]) if by), start=ZERO)
        a, b = (((x - location[at]) / scale - mean) / white.own[i] for x in (low, high))
        mass = log_between(a, b, GRAPH)
        w.append(_quantile_between(a, b, mass, e[at]))
        estimate[at] = location[at] + scale * (mean + white.own[i] * w[-1])
        known.append(estimate[at])
        total = total + mass
    pm.Deterministic("estimate", pt.stack(estimate), dims=schema.UNPRINTED)
    pm.Potential("statements", total)


def _limits(said: Statements, i: int, se: Array, known: Sequence[Array]) -> tuple[Array, Array]:
    lower, upper, lower_se, upper_se = said.limits[:, i]
    low = [x for x, given in ((lower, lower), (lower_se * se, lower_se)) if np.isfinite(given)]
    high = [x for x, given in ((upper, upper), (upper_se * se, upper_se)) if np.isfinite(given)]
    for limits, other in zip((low, high), said.others[:, i], strict=True):
        limits += [known[other]] if other != NOWHERE else []
    # so far out that nothing lies beyond, and finite, as gradients are
    return reduce(pt.maximum, low, -FARTHEST), reduce(pt.minimum, high, FARTHEST)


def _quantile_between(a: Array, b: Array, mass: Array, e: Array) -> pt.TensorVariable:
    """The quantile of a standard normal between ``a`` and ``b`` of the probability of ``e`` in the whole."""
    below = pt.logaddexp(GRAPH.log_ndtr(a), GRAPH.log_ndtr(e) + mass)
    above = pt.logaddexp(GRAPH.log_ndtr(-b), GRAPH.log_ndtr(-e) + mass)
    tail = np.sqrt(2.0) * pt.erfcinv(2.0 * pt.exp(pt.minimum(below, above)))
    return pt.where(below < above, -tail, tail)
