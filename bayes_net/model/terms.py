"""The model of published numbers and patients together, as it is defined: what is observed of its parameters.

One named term a kind of evidence. What its mean is made of is found in the model by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from bayes_net.errors import InputError, listed
from bayes_net.evidence.counts import LARGEST_SHRINKAGE, log_between, place
from bayes_net.evidence.kinds import KINDS
from bayes_net.evidence.pairs import correlation_matrix
from bayes_net.evidence.statistics import STUDENT_DF, Quantity
from bayes_net.model.backend import GRAPH, pm, pt
from bayes_net.model.hazard import person_interval_labels, person_intervals
from bayes_net.model.network import Network
from bayes_net.schema import (
    CURVE_INTERVAL,
    INFLATED,
    LANDMARK_PERSON_INTERVAL,
    LOG_HAZARD,
    NO_LIMIT,
    PATIENTS_AFTER_LANDMARK,
    PATIENTS_OF_CURVES,
    SLOPE,
)


def observe_numbers(model: pm.Model, network: Network) -> None:
    """Add a term for every kind of published number in the network that has a power above 0."""
    means = {}
    if len(rows := _rows(network, Quantity.CURVE, "normal")):
        means["published_curves"] = rows, _read_off_curves(model, network, rows)
    if len(rows := _rows(network, Quantity.ARM_EFFECT, "normal")):
        of = [network.effects.index((row.endpoint, row.study)) for row in _each(network, rows)]
        means["published_arm_effects"] = rows, model["arm_effect"][of]
    if len(rows := _rows(network, Quantity.SLOPE, "normal")):
        means["published_slopes"] = rows, _printed_slopes(model, network, rows)
    if len(rows := _rows(network, Quantity.COMPLETION, "normal")):
        means["published_completion"] = rows, pt.broadcast_to(model["completion"], (len(rows),))
    for names in _correlated_kinds(network, {name: rows for name, (rows, _) in means.items()}):
        _normal(model, network, "_and_".join(names), *zip(*(means[name] for name in names), strict=True))

    if len(rows := _rows(network, Quantity.COMPLETION, "student")):
        name, value, se = "published_completion_by_p", *_printed(network, rows, "value", "se")
        mean, nu = pt.broadcast_to(model["completion"], (len(rows),)), np.asarray(STUDENT_DF)
        pm.StudentT(name, nu, mu=mean, sigma=se, observed=value, dims=_labelled(model, network, name, rows))
        _weigh(model, name, network.power[rows])
    if len(rows := _rows(network, Quantity.SHARE, "binomial", "response")):
        name, k, n = "published_responses", *_printed(network, rows, "successes", "n")
        logits = model["response"][_group(network, rows)]
        pm.Binomial(name, n, logit_p=logits, observed=k, dims=_labelled(model, network, name, rows))
        _weigh(model, name, network.power[rows])
    if len(rows := _rows(network, Quantity.SHARE, "binomial", "shrinkage")):
        _shrinkage(model, network, rows)


def observe_patients(model: pm.Model, network: Network) -> None:
    """Add events of patients whose weight is above 0: from randomisation, by curve and interval, and after
    their landmark, by patient and interval entered.

    Raises
    ------
    InputError
        Events of a curve are not counted in whole numbers, or a patient has no time at risk.
    """
    if cells := list(_cells_of_curves(network)):
        name, dim = PATIENTS_OF_CURVES, CURVE_INTERVAL
        curve, interval, months, events, weight = map(np.array, zip(*cells, strict=True))
        labels = [(*network.curves[c], k) for c, k in zip(curve, interval.tolist(), strict=True)]
        model.add_coord(dim, list(map(repr, labels)))
        if partial := [label for label, n in zip(labels, events, strict=True) if n % 1]:
            where = listed(f"{' '.join(of)}, interval {k}" for *of, k in partial)
            raise InputError(f"events of {where} are no whole numbers; expected counts")
        mean = months * pt.exp(model[LOG_HAZARD][curve, interval])
        pm.Poisson(name, mean, observed=events, dims=dim)
        _weigh(model, name, weight)
    if cells := list(_cells_after_landmark(network)):
        name, dim = PATIENTS_AFTER_LANDMARK, LANDMARK_PERSON_INTERVAL
        labels, stratum, interval, months, events, score, weight = map(
            np.concatenate, zip(*cells, strict=True)
        )
        model.add_coord(dim, list(labels))
        log_h = model["landmark_log_hazard"][stratum, interval] + model["study_slope"][stratum] * score
        pm.Poisson(name, months * pt.exp(log_h), observed=events, dims=dim)
        _weigh(model, name, weight)


# --- rows ---------------------------------------------------------------------------------------------


def _rows(network: Network, quantity: Quantity, kind: str, endpoint: str = "") -> np.ndarray:
    """The places of the rows that inform ``quantity``, have a power, and a likelihood of this kind."""
    own = (
        network.is_of(quantity) & (network.power > 0) & np.array([d.kind == kind for d in network.data], bool)
    )
    return np.flatnonzero(own & (network.rows["endpoint"] == endpoint).to_numpy() if endpoint else own)


def _each(network: Network, rows: np.ndarray) -> Iterator:
    return network.rows.iloc[rows].itertuples()


def _printed(network: Network, rows: np.ndarray, *names: str) -> list[np.ndarray]:
    return [np.array([getattr(network.data[i], name) for i in rows]) for name in names]


def _group(network: Network, rows: np.ndarray) -> list[int]:
    """Which study and arm each count is of."""
    return [network.groups(row.endpoint).index((row.study, row.arm)) for row in _each(network, rows)]


def _labelled(model: pm.Model, network: Network, name: str, rows: np.ndarray) -> str:
    """The dim of a term, whose labels are the ids of its rows."""
    model.add_coord(f"{name}_row", list(network.rows["id"].iloc[rows]))
    return f"{name}_row"


def _weigh(model: pm.Model, name: str, power: np.ndarray) -> None:
    """Count each log-likelihood of a term ``power`` times: a potential adds what is missing."""
    if (power != 1).any():
        each = pm.logp(model[name], model.rvs_to_values[model[name]])
        pm.Potential(f"{name}_power", pt.sum((power - 1.0) * each))


# --- what is normal on its scale ----------------------------------------------------------------------


def _read_off_curves(model: pm.Model, network: Network, rows: np.ndarray) -> pt.TensorVariable:
    """What each row reads off its curve at its month, such as log H, (row,)."""
    own = list(_each(network, rows))
    hazard = pt.exp(model[LOG_HAZARD][[network.curves.index((r.endpoint, r.study, r.arm)) for r in own]])
    months = network.months(_printed(network, rows, "time")[0])
    each = [KINDS[row.statistic].of_curve(hazard[[i]], months[[i]], GRAPH)[0] for i, row in enumerate(own)]
    return pt.stack(each)


def _printed_slopes(model: pm.Model, network: Network, rows: np.ndarray) -> pt.TensorVariable:
    """Log hazard ratio per 10 points, (row,): that of "no limit" with its bias, as it is printed."""
    own, biases = list(_each(network, rows)), network.biased_slopes
    at = [network.slope_place(row.endpoint, row.arm, row.landmark) for row in own]
    slope = model[SLOPE][*np.transpose(at)]
    printed = [(row.endpoint, row.arm) if row.landmark == NO_LIMIT else None for row in own]
    biased = [i for i, pair in enumerate(printed) if pair in biases]
    if biased:
        slope = slope[biased].inc(model["bias"][[biases.index(printed[i]) for i in biased]])
    return slope


def _correlated_kinds(network: Network, rows: dict[str, np.ndarray]) -> list[list[str]]:
    """The names of kinds, those together between whose rows a correlation is declared."""

    def linked(one: np.ndarray, other: np.ndarray) -> np.bool:
        return _correlation(network, np.concatenate([one, other]))[: len(one), len(one) :].any()

    links = np.array([[linked(a, b) for b in rows.values()] for a in rows.values()], bool)
    _, label = connected_components(links.reshape(len(rows), len(rows)), directed=False)
    return [[name for name, own in zip(rows, label, strict=True) if own == k] for k in np.unique(label)]


def _correlation(network: Network, rows: np.ndarray) -> np.ndarray:
    return correlation_matrix(network.rows.iloc[rows], [network.data[i] for i in rows])


def _normal(
    model: pm.Model, network: Network, name: str, rows: Sequence, means: Sequence[pt.TensorVariable]
) -> None:
    """Numbers with their standard errors; a power a divides a standard error by sqrt(a)."""
    rows, mean = np.concatenate(rows), pt.concatenate(means)
    value, se, inflated = _printed(network, rows, "value", "se", "inflated")
    power, correlation = network.power[rows], _correlation(network, rows)
    log_se = pt.as_tensor(np.log(se / np.sqrt(power)))
    if inflated.any():
        # the standard error of a median without limits is a floor
        ids = list(network.free["log_inflation"].dims[INFLATED])
        factor = model["log_inflation"][[ids.index(network.data[i].id) for i in rows[inflated]]]
        log_se = log_se[np.flatnonzero(inflated)].inc(factor)
        if (power[inflated] != 1).any():
            pm.Potential(f"{name}_power", pt.sum((1.0 - power[inflated]) * factor))
    error, dim = pt.exp(log_se), _labelled(model, network, name, rows)
    if np.array_equal(correlation, np.eye(len(rows))):
        pm.Normal(name, mean, error, observed=value, dims=dim)
    else:
        root = error[:, None] * np.linalg.cholesky(correlation)
        pm.MvNormal(name, mean, chol=root, observed=value, dims=dim)


# --- counts -------------------------------------------------------------------------------------------


def _shrinkage(model: pm.Model, network: Network, rows: np.ndarray) -> None:
    """Counts of shrinkages of at least a threshold, the same patients at each: of those below the next higher
    threshold, how many reach this one. The place between -20 and 100 points is logit-normal."""
    name, group = "published_shrinkage", np.array(_group(network, rows))
    k, n = _printed(network, rows, "successes", "n")
    threshold = network.rows["threshold"].to_numpy(float)[rows]
    # where the next higher threshold is in each array; -1: what is put at its end, nobody beyond 100 points
    above: list[Any] = [
        min(np.flatnonzero((group == g) & (threshold > t)), key=threshold.item, default=-1)
        for g, t in zip(group, threshold, strict=True)
    ]
    beyond, higher = np.append(k, 0)[above], np.append(threshold, LARGEST_SHRINKAGE)[above]
    location, spread = model["shrinkage_location"][group], pt.exp(model["shrinkage_log_spread"][group])
    u, u_above = ((place(points) - location) / spread for points in (threshold, higher))
    whole = GRAPH.log_ndtr(u_above)
    chances = log_between(u, u_above, GRAPH) - whole, GRAPH.log_ndtr(u) - whole
    how = {"dist": _binomial, "logp": _binomial_log_density, "observed": k - beyond}
    pm.CustomDist(name, n - beyond, *chances, **how, dims=_labelled(model, network, name, rows))
    _weigh(model, name, network.power[rows])


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


def _cells_of_curves(network: Network) -> Iterator[tuple]:
    """Curve, interval, months at risk, events and weight, wherever patients were at risk."""
    for cohort in network.cohorts:
        for a, k in zip(*np.nonzero(cohort.person_time * cohort.weight), strict=True):
            curve = (cohort.endpoint, cohort.study, network.assumptions.arms[a])
            months, events = cohort.person_time[a, k], cohort.events[a, k]
            yield network.curves.index(curve), k, months, events, cohort.weight


def _cells_after_landmark(network: Network) -> Iterator[tuple]:
    """Of each cohort's patients and intervals entered after the landmark: label, stratum (study, then arm),
    interval, months at risk, events, score and weight."""
    for c, cohort in enumerate(network.landmark_cohorts):
        if cohort.weight > 0:
            data = cohort.exposure
            patient, interval, months, events = person_intervals(data)
            of = (cohort.endpoint, cohort.study)
            labels = [repr((*of, label)) for label in person_interval_labels(patient, interval)]
            stratum = len(network.assumptions.arms) * c + data.arm[patient]
            weight = np.full(len(patient), cohort.weight)
            yield labels, stratum, interval, months, events, data.score[patient], weight
