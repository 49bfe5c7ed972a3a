"""The model of published numbers and patients together, as it is defined.

    log hazard of a curve = baseline + arm_effect (second arm) + study_level (study without a baseline)
    slope[endpoint, arm, landmark] = a Gaussian process over log landmark time, or around a mean

What is observed has one named term a kind of evidence; what its mean is made of is found in the model by
name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from bayes_net import schema
from bayes_net.assumptions.network import Network
from bayes_net.assumptions.priors import EXCHANGEABLE, INDEPENDENT
from bayes_net.assumptions.shrinkage import early
from bayes_net.errors import InputError, listed
from bayes_net.evidence.pairs import correlation_matrix
from bayes_net.labels import index_labels
from bayes_net.model.backend import GRAPH, pm, pt, random_variable, random_walk
from bayes_net.model.hazard import person_interval_labels, person_intervals
from bayes_net.model.laws import best_shrinkage, observe_counts, observe_ranges
from bayes_net.model.likelihoods import is_said, printed, publishing_thresholds
from bayes_net.model.predictors import labels
from bayes_net.model.unprinted import observe_statements, standard_error
from bayes_net.schema import ARM, BASELINE, BIASED_SLOPE, BORROWER, CURVE, EFFECT, LOG_HAZARD, STRATUM
from bayes_net.statistics.base import STUDENT_DF, Array, Quantity
from bayes_net.statistics.kinds import KINDS

NORMAL_TERMS = {
    Quantity.CURVE: "published_curves",
    Quantity.ARM_EFFECT: "published_arm_effects",
    Quantity.SLOPE: "published_slopes",
    Quantity.COMPLETION: "published_completion",
}
"""Names of what is observed and normal, by what it informs."""


def synthesis_model(network: Network) -> pm.Model:
    """The PyMC model of a network.

    Free variables are those of ``network.free``: names, dims, labels and priors. Steps, and what ends in
    ``_z``, are standard normal and multiplied by the standard deviation of their name (``_sd``). Derived,
    all on the log scale or, of ``response``, the logit: ``arm_effect`` (effect); ``log_hazard`` (curve,
    interval), per month; ``study_level`` (borrower); ``slope`` (endpoint, arm, landmark), per 10 points of
    shrinkage; ``bias`` (biased_slope); ``response`` (response_group); of patients at a landmark
    ``landmark_log_hazard`` (stratum, landmark_interval) and ``study_slope`` (stratum). Where a place is of
    several things (``schema.FIELDS``), such as a curve, its label is the tuple of them as Python writes it.

    Observed, where the network has it, with the dim ``<name>_row`` and ids of rows as labels, on the scale of
    ``statistics.kinds.datum``: ``published_curves`` (what is read off curves), ``published_arm_effects``,
    ``published_slopes`` and ``published_completion`` (log ratios), normal; kinds between which a correlation
    is declared are one multivariate normal, ``<name>_and_<name>``. ``published_completion_by_p``, Student t
    with 4 degrees of freedom; ``published_responses``, binomial; ``published_shrinkage``, binomial: of the
    patients below the next higher threshold in print, those that reach this one; ``published_ranges``, places
    of minimum, median and maximum. ``patients_of_curves``
    (curve_interval) and ``patients_after_landmark`` (landmark_person_interval): Poisson, as those of
    ``hazard_model``.

    Without ``feedback`` it is the model of ``network.first_stage``, which has no curves of single-arm
    studies; ``fit_synthesis`` draws their levels after it is sampled, whichever engine samples.

    A replicate of a number is what another study of this size could print. A power of 0 leaves a number out.
    Any other than 1 divides its standard error by the root, or multiplies its log-likelihood by a potential,
    ``<name>_power``, of which replicates know nothing.

    Raises
    ------
    InputError
        Events of a curve are not counted in whole numbers, or a patient has no time at risk.
    """
    network = network.first_stage
    with pm.Model(coords=index_labels(labels(network))) as model:
        arm_effect = _arm_effects(network) if network.effects else None
        if network.curves:
            _curves(network, arm_effect)
        if network.slope_endpoints:
            slope = _slopes(network)
        if network.landmark_cohorts:
            _after_landmark(network, slope)
        if network.groups("response"):
            _responses(network)
        if network.shrinkage.groups:
            best_shrinkage(network)
        if "log_inflation" in network.free:
            _free(network, "log_inflation")
        _observe_numbers(model, network)
        _observe_patients(model, network)
    return model


def _arm_effects(network: Network) -> pt.TensorVariable:
    """Log hazard ratio of the second arm, by endpoint and study, (effect,)."""
    a, endpoints = network.assumptions, (schema.POOLED_ENDPOINT,)
    of = [network.effect_endpoints.index(endpoint) for endpoint, _ in network.effects]
    effect = _free(network, "arm_effect_mean")[of]
    if network.pools_effects:
        sd = random_variable("arm_effect_sd", a.arm_heterogeneity, endpoints)
        effect = effect + sd[of] * _free(network, "arm_effect_z")
    return pm.Deterministic("arm_effect", effect, dims=EFFECT)


def _curves(network: Network, arm_effect: Array) -> None:
    """Log hazard of every arm of every study, (curve, interval)."""
    a = network.assumptions
    if a.smoothing == INDEPENDENT:
        baseline = _free(network, "log_baseline")
    else:
        baseline = random_walk(a.level, a.step_sd, network.basis, (BASELINE,))
    log_hazard = baseline[
        [network.baselines.index((e, network.baseline_study(s))) for e, s, _ in network.curves]
    ]
    treated = [i for i, (_, _, arm) in enumerate(network.curves) if arm != a.arms[0]]
    if treated:
        of = [network.effects.index(network.effect_of(*network.curves[i][:2])) for i in treated]
        log_hazard = log_hazard[treated].inc(arm_effect[of][:, None])
    level = _differences(network, "study_level")
    if level is not None:
        borrowing = [i for i, curve in enumerate(network.curves) if curve[:2] in network.borrowers]
        of = [network.borrowers.index(network.curves[i][:2]) for i in borrowing]
        if a.study_level.kind == EXCHANGEABLE:
            level = pm.Deterministic("study_level", level, dims=BORROWER)
        log_hazard = log_hazard[borrowing].inc(level[of][:, None])
    pm.Deterministic(LOG_HAZARD, log_hazard, dims=(CURVE, schema.INTERVAL))


def _free(network: Network, name: str) -> pt.TensorVariable:
    own = network.free[name]
    return random_variable(name, own.prior, tuple(own.dims))


def _differences(network: Network, name: str) -> pt.TensorVariable | None:
    """Differences of studies from what they share; None where they are pooled in full."""
    if f"{name}_z" in network.free:
        return _free(network, f"{name}_sd") * _free(network, f"{name}_z")
    return _free(network, name) if name in network.free else None


def _slopes(network: Network) -> pt.TensorVariable:
    """Log hazard ratio per 10 points of shrinkage, (endpoint, arm, landmark); beside it the guarantee-time
    bias of those printed for "no limit", (biased_slope,)."""
    prior, groups = network.assumptions.slopes, (schema.ENDPOINT, ARM)
    z = _free(network, "slope_z")
    if prior.has_mean:
        mean = _free(network, "slope_mean")
        slope = mean[..., None] * network.slope_shares + _free(network, "slope_sd")[..., None] * z
    else:
        slope = prior.prior.mean + pt.tensordot(z, network.slope_factor, axes=[[-1], [-1]])
    if network.biased_slopes:
        mean, sd = network.bias_prior.T
        pm.Deterministic("bias", mean + sd * _free(network, "bias_z"), dims=BIASED_SLOPE)
    return pm.Deterministic(schema.SLOPE, slope, dims=(*groups, schema.LANDMARK))


def _responses(network: Network) -> None:
    """Logit of response by study and arm, (response_group,): exchangeable in the last arm, else by itself."""
    pooled, logits = network.pooled_responses, pt.zeros(len(network.pooled_responses))
    if pooled.any():
        own, difference = _free(network, "response_mean"), _differences(network, "response_difference")
        own = own if difference is None else own + difference
        logits = logits[np.flatnonzero(pooled)].set(own)
    if not pooled.all():
        logits = logits[np.flatnonzero(~pooled)].set(_free(network, "response_alone"))
    pm.Deterministic("response", logits, dims=schema.RESPONSE_GROUP)


def _after_landmark(network: Network, slope: Array) -> None:
    """Of patients at their landmark, by study and arm: log hazard (stratum, landmark_interval) and slope
    (stratum,)."""
    a, strata = network.assumptions, (STRATUM,)
    log_hazard = random_walk(a.level, a.step_sd, network.landmark_basis, strata, prefix="landmark_")
    of = [(c.endpoint, arm, c.landmark) for c in network.landmark_cohorts for arm in a.arms]
    own = slope[*np.transpose([network.slope_place(*place) for place in of])]
    if len(network.landmark_cohorts) > 1:
        sd = random_variable("slope_between_sd", a.slopes.between_studies)
        own = own + sd * _free(network, "slope_study_z")
    pm.Deterministic("landmark_log_hazard", log_hazard, dims=(STRATUM, schema.LANDMARK_INTERVAL))
    pm.Deterministic("study_slope", own, dims=STRATUM)


# --- what is observed ---------------------------------------------------------------------------------


def _observe_numbers(model: pm.Model, network: Network) -> None:
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


def _observe_patients(model: pm.Model, network: Network) -> None:
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


# --- rows ---------------------------------------------------------------------------------------------


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


# --- what is normal on its scale ----------------------------------------------------------------------


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


# --- patients -----------------------------------------------------------------------------------------


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
