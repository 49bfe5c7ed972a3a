"""The model of published numbers and patients together as a posterior for the engine.

Everything that the likelihood reads is one affine map of the vector of effects (``design``), read off
``linear_parts`` at the unit vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bayes_net.assumptions.network import Network
from bayes_net.assumptions.priors import Borrowing, HalfCauchy
from bayes_net.assumptions.shrinkage import RESPONSE
from bayes_net.assumptions.statements import NOWHERE
from bayes_net.data.gauss import NODES, compress
from bayes_net.engine.posterior import Posterior, Variable, matrix
from bayes_net.errors import InputError
from bayes_net.model import likelihoods
from bayes_net.model.likelihoods import (
    count_rows,
    curve_derivatives,
    printed,
    publishing_thresholds,
    range_rows,
    range_values,
    student_rows,
)
from bayes_net.model.predictors import effect_names, length, scale_names, scaled_by, split
from bayes_net.statistics.base import STUDENT_DF, Quantity
from bayes_net.statistics.counts import COUNTED, place
from bayes_net.statistics.curves import log_cumulative_hazard, restricted_mean

_START_SD = 0.5


def synthesis_posterior(network: Network) -> Posterior:
    """The posterior of ``network``. Variables: ``z`` (effect) and ``scale`` (standard deviation)."""
    linear, (scale, _) = design(network), _scales(network)
    n, s = linear.matrix.shape[1], len(scale)
    variables = {"z": Variable((n,))} | ({"scale": Variable((s,), log=True)} if s else {})
    start = np.concatenate([np.zeros(n), np.full(s, np.log(_START_SD))])
    hits, cells = _patients(network, linear)
    fields = {
        "intercept": linear.intercept,
        **matrix("design", linear.matrix, "design_effect", "design_by"),
        "hits": hits,
        **cells,
        **(_rows(network, linear) if len(network.rows) else {}),
        **_counts(network, linear.parts),
        **_effects(network, linear),
    }
    return Posterior(variables, start, fields)


class Design(NamedTuple):
    """``linear_parts`` as one affine map of the vector of effects: ``matrix`` (element, effect) and
    ``intercept``, and the places of each part in its result."""

    matrix: np.ndarray
    intercept: np.ndarray
    parts: Mapping[str, np.ndarray]


def design(network: Network) -> Design:
    """The affine map, read off ``linear_parts`` at the unit vectors."""
    names = effect_names(network)
    size = length(names, network)
    at = likelihoods.linear_parts(split(np.vstack([np.zeros(size), np.eye(size)]), names, network), network)
    ends = np.cumsum([value.shape[1] for value in at.values()])
    parts = {name: np.arange(end - at[name].shape[1], end) for name, end in zip(at, ends, strict=True)}
    whole = np.concatenate(list(at.values()), axis=1)
    return Design((whole[1:] - whole[0]).T.copy(), whole[0], parts)


# --- effects and standard deviations ------------------------------------------------------------------


def hyperparameters(network: Network) -> np.ndarray:
    """Mean, SD, vague SD and weight of every effect, (4, effect); of one component: its SD twice and 1."""
    columns = []
    for name in effect_names(network):
        variable = network.free[name]
        prior: Any = variable.prior
        if isinstance(prior, Borrowing):
            columns += [(0.0, prior.sd, prior.vague_sd, prior.weight)] * variable.size
        else:
            columns += [(prior.mean, prior.sd, prior.sd, 1.0)] * variable.size
    return np.array(columns).T


def _scales(network: Network) -> np.ndarray:
    """Scale of the prior of every standard deviation, and whether it is half-Cauchy, (2, scale)."""
    columns = []
    for name in scale_names(network):
        variable = network.free[name]
        prior: Any = variable.prior
        cauchy = isinstance(prior, HalfCauchy)
        columns += [(prior.scale if cauchy else prior.sd, cauchy)] * variable.size
    return np.array(columns, float).reshape(-1, 2).T


def conditional_scale(factor: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """SD of each standardised effect as it is sampled, sqrt(1 + sd^2 I): ``factor`` is the standard deviation
    sd between units that multiplies the effect (0 where none does), ``learned`` the ``information`` I on it
    at sd = 1. Weak evidence gives the non-centred form, strong evidence the centred one."""
    return np.sqrt(1.0 + factor**2 * learned)


def information(network: Network, linear: Design | None = None) -> np.ndarray:
    """What rows and patients add to the precision of each effect, (effect,), with all others unknown, and all
    free standard deviations at 1; 0 where there are none of these.

    It is Fisher's information at constant hazards and at the observed shares; any other value leaves the
    posterior as it is. ``linear`` is ``design(network)``.
    """
    sd = hyperparameters(network)[1]
    if not scale_names(network):
        return np.zeros(len(sd))
    seen = (j.T @ w @ j for j, w in _observations(network, linear or design(network)))
    return np.maximum(1.0 / np.diag(np.linalg.inv(sum(seen, start=np.diag(sd**-2.0)))) - sd**-2.0, 0.0)


def _observations(network: Network, linear: Design) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What is seen as (its derivative by the effects, its precision matrix)."""
    jacobian, parts = linear.matrix, linear.parts
    if "location" in parts:
        own = jacobian[parts["location"]]
        if "curve_rows" in parts:
            slopes = curve_derivatives(network)
            by_interval = jacobian[parts["curve_rows"]].reshape(*slopes.shape, -1)
            own[network.is_of(Quantity.CURVE)] = np.einsum("rk,rke->re", slopes, by_interval)
        student = np.diag(network.power * student_rows(network))
        yield own / printed(network)[1][:, None], network.precision + student
    if "response" in parts:
        k, n, power = _counted(network, "response")
        p = (k + 0.5) / (n + 1.0)
        yield jacobian[parts["response"]], np.diag(power * n * p * (1 - p))
    if len(own := network.shrinkage.rows.rows):
        spread = np.exp(network.assumptions.shrinkage_log_spread.mean)
        n = np.array([network.data[i].n for i in own])
        # a median knows a location to pi / 2 squared spreads a patient, a count about as well
        yield jacobian[parts["shrinkage_location"]], np.diag(network.power[own] * n / (spread**2 * np.pi / 2))
    if "curves" in parts:
        yield jacobian[parts["curves"]], np.diag(curve_patients(network)[0])
    if "after" in parts:
        events, _, (weight, score) = landmark_patients(network)
        share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
        hazard, slope = jacobian[parts["after"]], jacobian[parts["after_slope"]]
        slope = np.repeat(slope, len(hazard) // len(slope), axis=0)
        for node in range(weight.shape[1]):
            yield hazard + score[:, node, None] * slope, np.diag(events * share[:, node])


def _effects(network: Network, linear: Design) -> dict:
    mean, sd, vague, weight = hyperparameters(network)
    scale, cauchy = _scales(network)
    n, s, mixed = len(mean), len(scale), np.flatnonzero(weight < 1)
    return {
        "effect_at": np.arange(n),
        "effect_sd": scaled_by(network),
        "mean": mean,
        "unit": sd,
        "information": information(network, linear),
        "prior_mean": np.zeros(n),
        "prior_root": np.ones(n),
        "tied": np.zeros(n + 1),
        "mixed": mixed,
        "mixed_ratio": (sd / vague)[mixed],
        "mixed_weight": weight[mixed],
        "sd_at": n + np.arange(s),
        "sd_scale": scale,
        "sd_cauchy": cauchy,
        "constant": [s * 0.5 * np.log(2 / np.pi) - np.log(scale).sum() - n * 0.5 * np.log(2 * np.pi)],
    }


# --- patients -----------------------------------------------------------------------------------------


def curve_patients(network: Network) -> np.ndarray:
    """Events and months at risk from randomisation, weighted, (2, curve and interval)."""
    found = np.zeros((2, len(network.curves), network.n_intervals))
    for cohort in network.cohorts:
        for a, arm in enumerate(network.assumptions.arms):
            if cohort.person_time[a].any():
                at = network.curves.index((cohort.endpoint, cohort.study, arm))
                found[:, at] = cohort.weight * np.stack([cohort.events[a], cohort.person_time[a]])
    return found.reshape(2, -1)


def landmark_patients(network: Network) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of patients after their landmark, weighted: events (stratum and interval), the sum of their scores
    (stratum), and months at risk and scores of nodes of exposure (2, stratum and interval, node)."""
    events, scores, nodes = [], [], []
    for cohort in network.landmark_cohorts:
        data, arms = cohort.exposure, np.arange(len(network.assumptions.arms))
        rule = compress(data, patterns=arms[:, None].astype(float))
        events.append(cohort.weight * data.events)
        scores.append(cohort.weight * data.score_events)
        nodes.append(np.stack([cohort.weight * rule.weight, rule.score]))
    nodes = np.concatenate(nodes, axis=1).reshape(2, -1, NODES)
    return np.concatenate(events).ravel(), np.concatenate(scores), nodes


def _patients(network: Network, linear: Design) -> tuple[np.ndarray, dict]:
    """Events by element, and exposure: of curves without a score, after a landmark at nodes of it."""
    hits, cells, where = np.zeros(len(linear.intercept)), [], linear.parts
    if "curves" in where:
        hits[where["curves"]], months = curve_patients(network)
        cells += [(at, -1, [0.0], [m]) for at, m in zip(where["curves"], months, strict=True) if m > 0]
    if "after" in where:
        hits[where["after"]], hits[where["after_slope"]], (months, score) = landmark_patients(network)
        slopes = np.repeat(where["after_slope"], len(where["after"]) // len(where["after_slope"]))
        cells += [
            (at, slope, at_score[held], m[held])
            for at, slope, at_score, m in zip(where["after"], slopes, score, months, strict=True)
            if (held := m > 0).any()
        ]
    if not cells:
        return hits, {}
    hazard, slope, scores, months = zip(*cells, strict=True)
    return hits, {
        "cell_hazard": hazard,
        "cell_offset": np.full(len(hazard), -1),
        "cell_slope": slope,
        "cell_nodes": np.cumsum([0, *map(len, months)]),
        "node_score": np.concatenate(scores),
        "node_months": np.concatenate(months),
    }


# --- published numbers --------------------------------------------------------------------------------


def _rows(network: Network, linear: Design) -> dict:
    """Rows that are normal or Student's t and of a power above 0; the others add nothing."""
    where, power, (value, se) = linear.parts, network.power, printed(network)
    student, root = student_rows(network), network.whitening.root
    used = np.flatnonzero((root != 0).any(axis=0) | (student * power > 0))
    months, mean = np.zeros((len(value), len(linear.intercept))), np.zeros(len(value))
    if "curve_rows" in where:
        own = np.flatnonzero(network.is_of(Quantity.CURVE))
        months[own[:, None], where["curve_rows"].reshape(network.curve_months.shape)] = network.curve_months
        for function, at in likelihoods.curve_functionals(network):
            mean[own[at]] = _is_mean(function)
    return {
        "row_location": where["location"][used],
        "row_inflation": where["log_inflation"][used],
        "row_value": value[used],
        "row_se": se[used],
        "row_power": power[used],
        "row_student": STUDENT_DF * student[used],
        "row_published": publishing_thresholds(network)[used],
        "row_mean": mean[used],
        **matrix("row_curve", months[used], "curve_element", "curve_months"),
        **matrix("root", root[np.ix_(used, used)], "root_row", "root_by"),
        **_statements(network, linear, used),
    }


def _statements(network: Network, linear: Design, used: np.ndarray) -> dict:
    """Estimates that are not printed; places among the rows ``used``, and then these."""
    said, white, where = network.statements, network.whitening, linear.parts
    if not len(said.rows):
        return {}
    kept = np.concatenate([used, len(network.rows) + np.arange(len(said.rows))])
    place = np.full(len(network.rows) + len(said.rows) + 1, NOWHERE)  # the last is that of no row
    place[kept] = np.arange(len(kept))
    return {
        "said_location": where["location"][said.rows],
        "said_inflation": where["log_inflation"][said.rows],
        "said_z": where["estimate_z"],
        "said_se": said.se,
        "said_root_power": np.sqrt(said.power),
        "said_limits": said.limits,
        "said_above": place[said.others[0]],
        "said_below": place[said.others[1]],
        "said_own": white.own,
        **matrix("said_before", white.before[:, kept], "before_row", "before_by"),
    }


def _is_mean(function: Callable) -> bool:
    if function not in (log_cumulative_hazard, restricted_mean):
        raise InputError(
            f"the engine cannot read {function.__name__} off a curve; expected log_cumulative_hazard or "
            'restricted_mean: fit with engine = "pymc"'
        )
    return function is restricted_mean


def _counted(network: Network, endpoint: str) -> np.ndarray:
    """The array of counts of ``endpoint``, without a next lower threshold, and their powers below it."""
    counts = count_rows(network, endpoint)
    return np.vstack([counts.array[:4], network.power[counts.rows]])


def _counts(network: Network, where: Mapping) -> dict:
    found = {f"{name}_counts": _counted(network, name) for name in COUNTED if network.groups(name)}
    if "response" in where:
        found["response"] = where["response"]
    return found | _laws(network, where)


def _laws(network: Network, where: Mapping) -> dict:
    """Counts of shrinkage and medians with ranges; and odds ratios of completion, which are elements that
    are not linear."""
    own, selection = network.shrinkage.rows, where["selection"]
    found = {
        "law_location": where["shrinkage_location"],
        "law_spread": where["shrinkage_log_spread"],
        "law_selection": np.where(own.selected < 0, -1, selection),
        "law_shift": own.shift,
        "law_loss": own.loss,
        "shrinkage_progression": where["progression"][: own.n_counts],
        "ranges": np.vstack([range_values(network), network.power[range_rows(network)]]),
    }
    if "early_late" in where:
        laws = (where[f"completion_{name}"] for name in ("location", "log_spread"))
        completion = network.is_of(Quantity.COMPLETION)
        found["pair_element"] = where["location"][completion]
        found["pair_laws"] = np.concatenate([*laws, where["early_late"]])
        found["pair_start"] = np.full(completion.sum(), place(np.array(RESPONSE)))
    return found
