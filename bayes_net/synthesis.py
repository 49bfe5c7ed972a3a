"""The PyMC model of patients and published numbers together: one set of parameters, one likelihood.

    effect = (mean + sd * z) * scale,    eta = intercept + design @ effect

Each published number is a statistic of ``eta`` and has the likelihood of its kind; patients enter as
events and time at risk (the likelihood of ``hazard``). ``_pooled`` has the equations behind the design.
"""

from __future__ import annotations

import numpy as np

from bayes_net._backend import pm, pt
from bayes_net._pool_inputs import COUNTED
from bayes_net._pooled import (
    Maths,
    count_log_likelihood,
    count_rows,
    design,
    effect_labels,
    effect_names,
    inputs,
    scale_labels,
    scale_names,
    scaling,
    student_log_density,
    student_rows,
)
from bayes_net.assumptions import Borrowing, HalfCauchy
from bayes_net.pool import Pool
from bayes_net.published import CURVES

GRAPH = Maths(pt.exp, pt.log, pt.erf, pt.softplus)


def synthesis_model(pool: Pool) -> pm.Model:
    """The PyMC model of a pool.

    Variables: ``z`` (effect_label), standardised effects, and ``scale`` (sd_label), standard deviations
    between units; ``pooling.fit_pool`` gives both back under the names of ``pool.free``. ``pm.Data`` are the
    rows, their weights and precision, counts, patients, the design and all hyperparameters: one compiled
    model serves every scenario of the same shape.
    """
    coords = {"effect_label": effect_labels(pool), "sd_label": scale_labels(pool)}
    with pm.Model(coords=coords, check_bounds=False) as model:
        d = {name: pm.Data(name, value, shape=value.shape) for name, value in inputs(pool).items()}
        effects = _effects(pool, d)
        eta = d["intercept"] + pt.dot(d["design"], effects)
        parts = {name: eta[at] for name, at in design(pool).parts.items()}
        pm.Potential("log_likelihood", sum(_terms(parts, pool, d)))
    return model


def _effects(pool: Pool, d):
    """The vector of effects: a standard normal each, moved and scaled by its prior."""
    mean, sd, vague, weight = (d["hyperparameters"][i] for i in range(4))
    z = pm.Normal("z", 0.0, 1.0, dims="effect_label", initval=np.zeros(len(effect_labels(pool))))
    effects, mixes = mean + sd * z, _flags(pool, effect_names(pool), Borrowing)
    if mixes.any():
        # Where a prior has two components, their density takes the place of the normal one: relative to
        # the wider component, which is the last to underflow. Elsewhere both are one, and this is 0.
        excess = 0.5 * z**2 * (1.0 - (sd / vague) ** 2)
        narrow = weight * pt.exp(-excess)
        pm.Potential("two_components", pt.sum(pt.log(narrow + (1.0 - weight) * sd / vague) + excess))
    if "scale_sd" not in d:
        return effects
    by = scaling(pool)
    return effects * (pt.dot(by, _scales(pool, d["scale_sd"])) + (~by.any(axis=1)).astype(float))


def _scales(pool: Pool, prior_scale):
    """The free standard deviations; where the prior is half-Cauchy its density replaces the half-normal's."""
    cauchy = _flags(pool, scale_names(pool), HalfCauchy)
    scale = pm.HalfNormal("scale", prior_scale, dims="sd_label", initval=np.full(len(cauchy), 0.5))
    if cauchy.any():
        ratio = (scale / prior_scale) ** 2
        pm.Potential("half_cauchy", pt.sum(cauchy * (0.5 * ratio - pt.log(1.0 + ratio))))
    return scale


def _flags(pool: Pool, names: list[str], kind: type) -> np.ndarray:
    """1 for every element whose prior is of this kind."""
    each = [np.full(pool.free[name].shape, isinstance(pool.free[name].prior, kind)).ravel() for name in names]
    return np.concatenate(each).astype(float)


def _terms(parts, pool: Pool, d) -> list:
    """The log-likelihood of every kind of datum."""
    terms = []
    if "rows" in d:
        terms.append(_published(parts, pool, d))
    for endpoint in COUNTED:
        if f"{endpoint}_counts" in d:
            each = count_log_likelihood(parts, d[f"{endpoint}_counts"], endpoint, GRAPH)
            terms.append(pt.dot(d["rows"][2][count_rows(pool, endpoint).rows], each))
    if "curves" in parts:
        events, months = d["curve_patients"][0], d["curve_patients"][1]
        terms.append(pt.dot(events, parts["curves"]) - pt.dot(months, pt.exp(parts["curves"])))
    if "after" in parts:
        hazard, slope, nodes = parts["after"], parts["after_slope"], d["after_nodes"]
        intervals = np.kron(np.eye(slope.type.shape[0]), np.ones((len(pool.landmark_basis), 1)))
        at_nodes = hazard[:, None] + pt.dot(intervals, slope)[:, None] * nodes[1]
        terms.append(pt.dot(d["after_events"], hazard) + pt.dot(d["after_scores"], slope))
        terms.append(-pt.sum(nodes[0] * pt.exp(at_nodes)))
    return terms


def _published(parts, pool: Pool, d):
    """Normal rows, with their precision matrix, and Student-t rows, on standardised residuals."""
    location = parts["location"]
    if "curve_rows" in parts:
        place = np.eye(len(pool.rows))[pool.is_of(CURVES)].T
        location = location + pt.dot(place, pt.log(pt.dot(d["row_months"], pt.exp(parts["curve_rows"]))))
    value, se, power = (d["rows"][i] for i in range(3))
    z = (value - location) / (se * pt.exp(parts["log_inflation"]))
    total = -0.5 * pt.dot(z, pt.dot(d["precision"], z)) - pt.dot(power, parts["log_inflation"])
    if student_rows(pool).any():
        total += pt.dot(student_rows(pool) * power, student_log_density(z, GRAPH))
    return total
