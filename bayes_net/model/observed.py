"""What is observed in the model of a synthesis: a named term a kind of published number, and of patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from bayes_net import schema
from bayes_net.assumptions.network import Network
from bayes_net.assumptions.shrinkage import early
from bayes_net.errors import InputError, listed
from bayes_net.evidence.pairs import correlation_matrix
from bayes_net.model.backend import GRAPH, pm, pt
from bayes_net.model.hazard import person_interval_labels, person_intervals
from bayes_net.model.laws import observe_counts, observe_ranges
from bayes_net.model.likelihoods import is_said, printed, publishing_thresholds
from bayes_net.model.unprinted import observe_statements, standard_error
from bayes_net.schema import LOG_HAZARD
from bayes_net.statistics.base import STUDENT_DF, Quantity
from bayes_net.statistics.kinds import KINDS

NORMAL_TERMS = {
    Quantity.CURVE: "published_curves",
    Quantity.ARM_EFFECT: "published_arm_effects",
    Quantity.SLOPE: "published_slopes",
    Quantity.COMPLETION: "published_completion",
}
"""Names of what is observed and normal, by what it informs."""


def observe_numbers(model: pm.Model, network: Network) -> None:
    """Add a term for every kind of published number in the network that has a power above 0."""
    means = {}
    for quantity, name in NORMAL_TERMS.items():
        if len(rows := _rows(network, quantity, "normal")):
            means[name] = rows, _expected(model, network, quantity, rows)
    for names in _correlated_kinds(network, {name: rows for name, (rows, _) in means.items()}):
        _normal(model, network, "_and_".join(names), *zip(*(means[name] for name in names), strict=True))
    if "estimate_z" in network.free:
        said = np.flatnonzero(is_said(network))
        quantities: list[Any] = [KINDS[name].quantity for name in network.rows["statistic"].iloc[said]]
        own = [_expected(model, network, q, said[[i]])[0] for i, q in enumerate(quantities)]
        observe_statements(network, list(means.values()), pt.stack(own))

    if len(rows := _rows(network, Quantity.COMPLETION, "student")):
        name, value, se = "published_completion_by_p", *_printed(network, rows, "value", "se")
        mean, nu = _expected(model, network, Quantity.COMPLETION, rows), np.asarray(STUDENT_DF)
        pm.StudentT(name, nu, mu=mean, sigma=se, observed=value, dims=_labelled(model, network, name, rows))
        _weigh(model, name, network.power[rows])
    if len(rows := _rows(network, Quantity.SHARE, "binomial", "response")):
        name, k, n = "published_responses", *_printed(network, rows, "successes", "n")
        logits = model["response"][_group(network, rows)]
        pm.Binomial(name, n, logit_p=logits, observed=k, dims=_labelled(model, network, name, rows))
        _weigh(model, name, network.power[rows])
    for observe, quantity in ((observe_counts, Quantity.SHARE), (observe_ranges, Quantity.RANGE)):
        if len(rows := _rows(network, quantity, "", "shrinkage")):
            name = observe(network, rows, partial(_labelled, model, network))
            _weigh(model, name, network.power[rows])


def observe_patients(model: pm.Model, network: Network) -> None:
    """Add events of patients whose weight is above 0: from randomisation, by curve and interval, and after
    their landmark, by patient and interval entered."""
    if cells := list(_cells_of_curves(network)):
        name, dim = schema.PATIENTS_OF_CURVES, schema.CURVE_INTERVAL
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
        name, dim = schema.PATIENTS_AFTER_LANDMARK, schema.LANDMARK_PERSON_INTERVAL
        labels, stratum, interval, months, events, score, weight = map(
            np.concatenate, zip(*cells, strict=True)
        )
        model.add_coord(dim, list(labels))
        log_h = model["landmark_log_hazard"][stratum, interval] + model["study_slope"][stratum] * score
        pm.Poisson(name, months * pt.exp(log_h), observed=events, dims=dim)
        _weigh(model, name, weight)


def _rows(network: Network, quantity: Quantity, kind: str, endpoint: str = "") -> np.ndarray:
    """The places of the rows that inform ``quantity``, have a power, and a likelihood of this kind (any)."""
    of_kind = np.array([kind in ("", d.kind) for d in network.data], bool)
    own = network.is_of(quantity) & (network.power > 0) & of_kind
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


def _expected(model: pm.Model, network: Network, quantity: Quantity, rows: np.ndarray) -> pt.TensorVariable:
    """What each row is expected to be, (row,)."""
    match quantity:
        case Quantity.CURVE:
            return _read_off_curves(model, network, rows)
        case Quantity.SLOPE:
            return _printed_slopes(model, network, rows)
        case Quantity.COMPLETION:
            own = [(row.study, row.arm, early(row)) for row in _each(network, rows)]
            return model["completion"][[network.shrinkage.completions.index(law) for law in own]]
    return model["arm_effect"][[network.effects.index((r.endpoint, r.study)) for r in _each(network, rows)]]


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
    slope = model[schema.SLOPE][*np.transpose(at)]
    printed = [(row.endpoint, row.arm) if row.landmark == schema.NO_LIMIT else None for row in own]
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
    value, inflated = _printed(network, rows, "value", "inflated")
    power, correlation = network.power[rows], _correlation(network, rows)
    error, dim = standard_error(network, rows) / np.sqrt(power), _labelled(model, network, name, rows)
    if inflated.any() and (power[inflated] != 1).any():
        factor = pt.log(error) - np.log(printed(network)[1][rows] / np.sqrt(power))
        pm.Potential(f"{name}_power", pt.sum(((1.0 - power) * factor)[np.flatnonzero(inflated)]))
    if (threshold := publishing_thresholds(network)[rows]).any():
        away = mean / error
        tails = pt.logaddexp(GRAPH.log_ndtr(away - threshold), GRAPH.log_ndtr(-away - threshold))
        pm.Potential(f"{name}_printed", -pt.sum(power * tails * (threshold > 0)))
    if np.array_equal(correlation, np.eye(len(rows))):
        pm.Normal(name, mean, error, observed=value, dims=dim)
    else:
        root = error[:, None] * np.linalg.cholesky(correlation)
        pm.MvNormal(name, mean, chol=root, observed=value, dims=dim)


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
