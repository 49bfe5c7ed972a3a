"""The synthesis model's equations. All its quantities are linear in one vector of effects.

An *effect* is a free normal variable on its own scale: mean + SD * z, times the heterogeneity it belongs
to. Log hazards of curves, log hazard ratios, slopes, logits and laws of shrinkage are sums of effects
(``derive``); only what a row makes of them is not linear. So the graph needs one matrix (``design``), read
off ``derive`` itself, and is small enough to compile quickly. ``Maths`` names the few operations in
which numpy (draws) and PyTensor (graph) differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from bayes_net.data.aggregated import AnyExposure
from bayes_net.evidence.statistics import Array, Values
from bayes_net.model.network import Network
from bayes_net.model.priors import EXCHANGEABLE, FULL, Borrowing, Fixed, HalfCauchy, HalfNormal, Heterogeneity
from bayes_net.schema import (
    ARM,
    BIASED_SLOPE,
    BORROWER,
    BOUNDARY,
    COVARIATE,
    CURVE,
    EFFECT,
    ENDPOINT,
    INTERVAL,
    LANDMARK,
    LANDMARK_INTERVAL,
    LOG_HAZARD,
    RESPONSE_GROUP,
    SLOPE,
    STRATUM,
)

SCALED_BY = {
    "step": "step_sd",
    "arm_effect_z": "arm_effect_sd",
    "study_level_z": "study_level_sd",
    "slope_z": "slope_sd",
    "response_difference_z": "response_difference_sd",
    "landmark_step": "landmark_step_sd",
    "slope_study_z": "slope_between_sd",
}
"""Standardised effects, and the free standard deviation that each is multiplied by where there is one."""


def selection(labels: Sequence, wanted: Sequence) -> np.ndarray:
    """0/1 matrix (wanted, labels) that picks the label of each row; None picks nothing."""
    return np.array([[label == name for label in labels] for name in wanted], float).reshape(
        len(wanted), len(labels)
    )


def is_scale(prior: object) -> bool:
    """Whether a free variable is a standard deviation, and no effect."""
    return isinstance(prior, HalfNormal | HalfCauchy)


def effect_names(network: Network) -> list[str]:
    """Free variables that are effects, in the order of the vector."""
    return [name for name, variable in network.free.items() if not is_scale(variable.prior)]


def scale_names(network: Network) -> list[str]:
    """Free variables that are standard deviations, in the order of theirs."""
    return [name for name, variable in network.free.items() if is_scale(variable.prior)]


def split(vector: np.ndarray, names: list[str], network: Network) -> dict[str, np.ndarray]:
    """A vector (..., element) as the variables that it strings together."""
    found, start = {}, 0
    for name in names:
        shape = network.free[name].shape
        end = start + int(np.prod(shape))
        found[name] = vector[..., start:end].reshape((*vector.shape[:-1], *shape))
        start = end
    return found


def join(values: Values, names: list[str], network: Network) -> np.ndarray:
    """The variables as one vector, (..., element)."""
    parts = [np.asarray(values[name]) for name in names]
    flat = [
        x.reshape(*x.shape[: x.ndim - len(network.free[n].dims)], -1)
        for n, x in zip(names, parts, strict=True)
    ]
    return np.concatenate(flat, axis=-1)


def effect_labels(network: Network) -> list[tuple]:
    """Name and labels of every element of the vector of effects."""
    return [label for name in effect_names(network) for label in _labels(name, network)]


def scale_labels(network: Network) -> list[tuple]:
    """Name and labels of every standard deviation."""
    return [label for name in scale_names(network) for label in _labels(name, network)]


def _labels(name: str, network: Network) -> list[tuple]:
    return list(product([name], *network.free[name].dims.values()))


def scaling(network: Network) -> np.ndarray:
    """0/1 matrix (effect, standard deviation): by which each effect is multiplied; a row of 0: by none."""
    at = split(np.arange(len(scale_labels(network))), scale_names(network), network)
    picks = [_scaled_by(name, at, network) for name in effect_names(network)]
    return selection(range(len(scale_labels(network))), np.concatenate(picks).tolist())


def _scaled_by(name: str, at: Mapping, network: Network) -> np.ndarray:
    """For every element of an effect the place of its standard deviation in ``at``; -1 where it has none."""
    own, places = network.free[name], at.get(SCALED_BY.get(name), np.array(-1))
    if name == "arm_effect_z" and places.ndim:
        places = places[[network.effect_endpoints.index(endpoint) for endpoint, _ in network.effects]]
    # a standard deviation is shared by all, or belongs to the label of the first dims
    places = places.reshape(places.shape + (1,) * (len(own.shape) - places.ndim))
    return np.broadcast_to(places, own.shape).ravel()


def scaled(free: Values, network: Network) -> dict[str, np.ndarray]:
    """The effects of draws of the free variables: standardised ones times their standard deviation."""
    names, scales = effect_names(network), scale_names(network)
    effects = join(free, names, network)
    if scales:
        by = scaling(network)
        factor = join(free, scales, network) @ by.T
        effects = effects * np.where(by.any(axis=1), factor, 1.0)
    return split(effects, names, network)


# --- everything linear --------------------------------------------------------------------------------


def derive(effects: Values, network: Network) -> dict[str, np.ndarray]:
    """What rows and patients are about, from the effects; see ``derived_dims`` for names and dims."""
    found = _curves(effects, network) | _slopes(effects, network) | _responses(effects, network)
    if network.landmark_cohorts:
        names = ("landmark_level", "landmark_step")
        found["landmark_log_hazard"] = _walk(effects, network.landmark_basis, names)
        found["study_slope"] = _study_slopes(effects, found, network)
    return found


def derived_dims(network: Network) -> dict[str, dict[str, tuple]]:
    """Dims and labels of everything that ``derive`` can return."""
    after = len(network.landmark_basis) if network.landmark_cohorts else 0
    strata, arms = {STRATUM: network.strata}, network.assumptions.arms
    return {
        LOG_HAZARD: {CURVE: network.curves, INTERVAL: tuple(range(network.n_intervals))},
        "arm_effect": {EFFECT: network.effects},
        "study_level": {BORROWER: network.borrowers},
        SLOPE: {ENDPOINT: network.slope_endpoints, ARM: arms, LANDMARK: network.landmarks},
        "bias": {BIASED_SLOPE: network.biased_slopes},
        "response": {RESPONSE_GROUP: network.groups("response")},
        "landmark_log_hazard": strata | {LANDMARK_INTERVAL: tuple(range(after))},
        "study_slope": strata,
    }


def labels(network: Network) -> dict[str, tuple]:
    """The labels of every dim of a free or derived variable."""
    variables = [free.dims for free in network.free.values()] + list(derived_dims(network).values())
    return {dim: own for dims in variables for dim, own in dims.items()}


def _difference(effects: Values, name: str, borrowing: Borrowing) -> Array | None:
    """Differences between studies; None where there are none."""
    if borrowing.kind == FULL:
        return None
    return effects.get(f"{name}_z" if borrowing.kind == EXCHANGEABLE else name)


def _curves(effects: Values, network: Network) -> dict[str, np.ndarray]:
    a, found = network.assumptions, {}
    if network.effects:
        of = [endpoint for endpoint, _ in network.effects]
        mean = effects["arm_effect_mean"] @ selection(network.effect_endpoints, of).T
        found["arm_effect"] = mean + _heterogeneous(effects, "arm_effect_z", a.arm_heterogeneity)
    level = _difference(effects, "study_level", a.study_level)
    if level is not None:
        found["study_level"] = level
    if not network.baselines:
        return found
    stands_on = [(e, network.baseline_study(s)) for e, s, _ in network.curves]
    log_hazard = selection(network.baselines, stands_on) @ _baselines(effects, network)
    if network.effects:
        treated = [network.effect_of(e, s) if arm != a.arms[0] else None for e, s, arm in network.curves]
        log_hazard = log_hazard + (found["arm_effect"] @ selection(network.effects, treated).T)[..., None]
    if level is not None:
        of = [curve[:2] for curve in network.curves]
        log_hazard = log_hazard + (level @ selection(network.borrowers, of).T)[..., None]
    return found | {"log_hazard": log_hazard}


def _heterogeneous(effects: Values, name: str, prior: Heterogeneity) -> Array:
    """Deviations of studies from their mean: already scaled, or times a heterogeneity that is known."""
    if name not in effects:
        return 0.0
    return effects[name] * (prior.value if isinstance(prior, Fixed) else 1.0)


def _baselines(effects: Values, network: Network) -> np.ndarray:
    if "log_baseline" in effects:
        return effects["log_baseline"]
    return _walk(effects, network.basis, ("level", "step"))


def _walk(effects: Values, basis: np.ndarray, names: tuple[str, str]) -> np.ndarray:
    """A random walk of the log hazard around its level, (..., group, interval)."""
    level, step = effects[names[0]], effects.get(names[1])
    flat = level[..., None] * np.ones(len(basis))
    return flat if step is None else flat + step @ basis.T


def _slopes(effects: Values, network: Network) -> dict[str, np.ndarray]:
    if not network.slope_endpoints:
        return {}
    if "slope_mean" in effects:
        slope = effects["slope_mean"][..., None] + effects["slope_z"]
    else:
        slope = network.assumptions.slopes.prior.mean + effects["slope_z"] @ network.slope_factor.T
    found = {"slope": slope}
    if "bias_z" in effects:
        found["bias"] = network.bias_prior[:, 0] + network.bias_prior[:, 1] * effects["bias_z"]
    return found


def _responses(effects: Values, network: Network) -> dict[str, np.ndarray]:
    """Logits of response by study and arm: exchangeable in the last arm, by itself elsewhere."""
    groups = network.groups("response")
    if not groups:
        return {}
    pooled, place = network.pooled_responses, np.eye(len(groups))
    logits: Array = 0.0
    if pooled.any():
        logits = effects["response_mean"][..., None] * pooled
        own = _difference(effects, "response_difference", network.assumptions.response)
        logits = logits if own is None else logits + own @ place[pooled]
    if (~pooled).any():
        logits = logits + effects["response_alone"] @ place[~pooled]
    return {"response": logits}


def _study_slopes(effects: Values, derived: Values, network: Network) -> np.ndarray:
    """Slopes of the patients' strata (study and arm) at their landmark, (..., stratum)."""
    at = [
        network.slope_place(c.endpoint, arm, c.landmark)
        for c in network.landmark_cohorts
        for arm in network.assumptions.arms
    ]
    own = _heterogeneous(effects, "slope_study_z", network.assumptions.slopes.between_studies)
    return derived["slope"][..., *np.transpose(at)] + own


# --- patients -----------------------------------------------------------------------------------------


def log_hazard(
    baseline: Array, slope: Array | None = None, score: Array | None = None, effect: Array | None = None
) -> Array:
    """log h of patients = baseline + slope * score + effect: the one place where it is written.

    ``baseline`` and ``slope`` are those of each patient's arm in each interval, ``effect`` is
    ``covariates @ log_hr_covariate``; what the model has not is None. They may be plain arrays, labelled
    draws or parts of a graph, and are broadcast against each other.
    """
    fixed = baseline if effect is None else baseline + effect
    return fixed if slope is None else fixed + slope * score


def coordinates(data: AnyExposure) -> dict[str, Any]:
    """The labels of every dim that a free variable may have."""
    return {
        ARM: list(data.arms),
        "contrast": list(data.arms[1:]),
        INTERVAL: np.arange(data.n_intervals),
        BOUNDARY: np.arange(data.n_intervals - 1),
        COVARIATE: list(data.covariate_names),
    }
