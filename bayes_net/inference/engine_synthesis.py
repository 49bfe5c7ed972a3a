"""The PyMC model of patients and published numbers together: one set of parameters, one likelihood.

    effect = (mean + sd * z / c) * scale,    eta = intercept + design @ effect

with c = sqrt(1 + scale^2 information) where the scale is free: z is normal with SD c, and z / c standard.
Each published number is a statistic of ``eta`` and has the likelihood of its kind; patients enter as
events and time at risk (the likelihood of ``hazard``). ``_pooled`` has the equations behind the design.
"""

from __future__ import annotations

import numpy as np

from bayes_net.evidence.counts import COUNTED, count_log_likelihood
from bayes_net.evidence.statistics import student_log_density
from bayes_net.inference.arrays import conditional_scale, design, inputs
from bayes_net.model.backend import GRAPH, pm, pt, times
from bayes_net.model.likelihoods import curve_location, student_rows
from bayes_net.model.network import Network
from bayes_net.model.predictors import effect_labels, effect_names, scale_labels, scale_names, scaling
from bayes_net.model.priors import Borrowing, HalfCauchy


def flat_synthesis_model(network: Network) -> pm.Model:
    """The PyMC model of a network.

    Variables: ``z`` (effect_label), effects on the sampler's scale, and ``scale`` (sd_label), standard
    deviations between units; ``pooling.fit_synthesis`` gives both back under the names of ``network.free``.
    ``pm.Data`` are the rows, their weights and precision, counts, patients, the design and all
    hyperparameters: one compiled model serves every scenario of the same shape.
    """
    labels = {"effect_label": effect_labels(network), "sd_label": scale_labels(network)}
    coords = {dim: list(map(repr, own)) for dim, own in labels.items()}
    with pm.Model(coords=coords, check_bounds=False) as model:
        d = {name: pm.Data(name, value, shape=value.shape) for name, value in inputs(network).items()}
        effects = _effects(network, d)
        eta = d["intercept"] + times(d["design"], effects)
        parts = {name: eta[at] for name, at in design(network).parts.items()}
        pm.Potential("log_likelihood", sum(_terms(parts, network, d)))
    return model


def _effects(network: Network, d):
    """The vector of effects: a standard normal each, moved and scaled by its prior."""
    mean, sd, vague, weight = (d["hyperparameters"][i] for i in range(4))
    n, factor, on_scale = len(effect_labels(network)), 1.0, 1.0
    if "scale_sd" in d:
        by = scaling(network)
        by_sd = times(by, _scales(network, d["scale_sd"]))
        factor = by_sd + (~by.any(axis=1)).astype(float)
        on_scale = conditional_scale(by_sd, d["information"], pt.sqrt)
    z = pm.Normal("z", 0.0, on_scale, dims="effect_label", initval=np.zeros(n)) / on_scale
    effects, mixes = mean + sd * z, _flags(network, effect_names(network), Borrowing)
    if mixes.any():
        # Where a prior has two components, their density takes the place of the normal one: relative to
        # the wider component, which is the last to underflow. Elsewhere both are one, and this is 0.
        excess = 0.5 * z**2 * (1.0 - (sd / vague) ** 2)
        narrow = weight * pt.exp(-excess)
        pm.Potential("two_components", pt.sum(pt.log(narrow + (1.0 - weight) * sd / vague) + excess))
    return effects * factor


def _scales(network: Network, prior_scale):
    """The free standard deviations; where the prior is half-Cauchy its density replaces the half-normal's."""
    cauchy = _flags(network, scale_names(network), HalfCauchy)
    scale = pm.HalfNormal("scale", prior_scale, dims="sd_label", initval=np.full(len(cauchy), 0.5))
    if cauchy.any():
        ratio = (scale / prior_scale) ** 2
        pm.Potential("half_cauchy", pt.sum(cauchy * (0.5 * ratio - pt.log(1.0 + ratio))))
    return scale


def _flags(network: Network, names: list[str], kind: type) -> np.ndarray:
    """1 for every element whose prior is of this kind."""
    each = [
        np.full(network.free[name].shape, isinstance(network.free[name].prior, kind)).ravel()
        for name in names
    ]
    return np.concatenate(each).astype(float)


def _terms(parts, network: Network, d) -> list:
    """The log-likelihood of every kind of datum."""
    terms = []
    if "rows" in d:
        terms.append(_published(parts, network, d))
    for endpoint in COUNTED:
        if f"{endpoint}_counts" in d:
            counts = d[f"{endpoint}_counts"]
            terms.append(pt.sum(counts[-1] * count_log_likelihood(parts, counts, endpoint, GRAPH)))
    if "curves" in parts:
        events, months = d["curve_patients"][0], d["curve_patients"][1]
        terms.append(pt.sum(events * parts["curves"] - months * pt.exp(parts["curves"])))
    if "after" in parts:
        hazard, slope, nodes = parts["after"], parts["after_slope"], d["after_nodes"]
        intervals = np.kron(np.eye(slope.type.shape[0]), np.ones((len(network.landmark_basis), 1)))
        at_nodes = hazard[:, None] + times(intervals, slope)[:, None] * nodes[1]
        terms.append(pt.sum(d["after_events"] * hazard) + pt.sum(d["after_scores"] * slope))
        terms.append(-pt.sum(nodes[0] * pt.exp(at_nodes)))
    return terms


def _published(parts, network: Network, d):
    """Normal rows, with their precision matrix, and Student-t rows, on standardised residuals."""
    value, se, power = (d["rows"][i] for i in range(3))
    location = parts["location"]
    if "curve_rows" in parts:
        hazard = pt.exp(parts["curve_rows"]).reshape(network.curve_months.shape)
        location = location + curve_location(hazard, d["curve_months"], network, GRAPH)
    z = (value - location) / (se * pt.exp(parts["log_inflation"]))
    each = -0.5 * times(d["root"], z) ** 2 - power * parts["log_inflation"]
    if student_rows(network).any():
        each = each + student_rows(network) * power * student_log_density(z, GRAPH)
    return pt.sum(each)
