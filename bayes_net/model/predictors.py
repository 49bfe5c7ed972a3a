"""The synthesis model's equations. All its quantities are linear in one vector of effects.

An *effect* is a free normal variable on its own scale: mean + SD * z, times the heterogeneity it belongs
to. Log hazards of curves, log hazard ratios, slopes, logits and laws of shrinkage are sums of effects
(``derive``); only what a row makes of them is not linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_net import schema
from bayes_net.assumptions.network import Network
from bayes_net.assumptions.priors import Fixed, HalfCauchy, HalfNormal, Heterogeneity
from bayes_net.assumptions.shrinkage import response_place
from bayes_net.data.aggregated import AnyExposure
from bayes_net.schema import ARM, BIASED_SLOPE, BORROWER, BOUNDARY, COVARIATE, CURVE, EFFECT, INTERVAL, STUDY
from bayes_net.statistics.association import log_odds_ratio
from bayes_net.statistics.base import Array, Values

SCALED_BY = {
    "step": "step_sd",
    "arm_effect_z": "arm_effect_sd",
    "study_level_z": "study_level_sd",
    "slope_z": "slope_sd",
    "response_difference_z": "response_difference_sd",
    "shrinkage_study_z": "shrinkage_study_sd",
    "landmark_step": "landmark_step_sd",
    "slope_study_z": "slope_between_sd",
}
"""Standardised effects, and the free standard deviation that each is multiplied by where there is one."""


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
        end = start + network.free[name].size
        found[name] = vector[..., start:end].reshape((*vector.shape[:-1], *shape))
        start = end
    return found


def length(names: list[str], network: Network) -> int:
    """How many numbers these variables are."""
    return sum(network.free[name].size for name in names)


def join(values: Values, names: list[str], network: Network) -> np.ndarray:
    """The variables as one vector, (..., element)."""
    parts = [np.asarray(values[name]) for name in names]
    flat = [
        x.reshape(*x.shape[: x.ndim - len(network.free[n].dims)], -1)
        for n, x in zip(names, parts, strict=True)
    ]
    return np.concatenate(flat, axis=-1)


def scaled_by(network: Network) -> np.ndarray:
    """For every effect the place of the standard deviation that it is multiplied by, (effect,); -1: none."""
    scales, found = scale_names(network), []
    at: Mapping = split(np.arange(length(scales, network)), scales, network)
    for name in effect_names(network):
        own, places = network.free[name], at.get(SCALED_BY.get(name), np.array(-1))
        if name == "arm_effect_z" and places.ndim:
            places = places[[network.effect_endpoints.index(endpoint) for endpoint, _ in network.effects]]
        # a standard deviation is shared by all, or belongs to the label of the first dims
        places = places.reshape(places.shape + (1,) * (len(own.shape) - places.ndim))
        found.append(np.broadcast_to(places, own.shape).ravel())
    return np.concatenate(found)


def factors(scale: np.ndarray, network: Network, *, otherwise: float) -> np.ndarray:
    """What each effect is multiplied by, (..., effect), of standard deviations (..., scale)."""
    by = scaled_by(network)
    return np.where(by < 0, otherwise, scale[..., by])


def scaled(free: Values, network: Network) -> dict[str, np.ndarray]:
    """The effects of draws of the free variables: standardised ones times their standard deviation."""
    names, scales = effect_names(network), scale_names(network)
    effects = join(free, names, network)
    if scales:
        effects = effects * factors(join(free, scales, network), network, otherwise=1.0)
    return split(effects, names, network)


# --- everything linear --------------------------------------------------------------------------------


def derive(effects: Values, network: Network) -> dict[str, np.ndarray]:
    """What rows and patients are about, from the effects; see ``derived_dims`` for names and dims."""
    found = _curves(effects, network) | _slopes(effects, network) | _responses(effects, network)
    found |= _shrinkage(effects, network)
    if network.landmark_cohorts:
        names = ("landmark_level", "landmark_step")
        found["landmark_log_hazard"] = _walk(effects, network.landmark_basis, names)
        found["study_slope"] = _study_slopes(effects, found, network)
    return found


def derived_dims(network: Network) -> dict[str, dict[str, tuple]]:
    """Dims and labels of everything that ``derive`` can return."""
    after = len(network.landmark_basis) if network.landmark_cohorts else 0
    strata, arms = {schema.STRATUM: network.strata}, network.assumptions.arms
    return {
        schema.LOG_HAZARD: {CURVE: network.curves, INTERVAL: tuple(range(network.n_intervals))},
        "arm_effect": {EFFECT: network.effects},
        "study_level": {BORROWER: network.borrowers},
        schema.SLOPE: {
            schema.ENDPOINT: network.slope_endpoints,
            ARM: arms,
            schema.LANDMARK: network.landmarks,
        },
        "bias": {BIASED_SLOPE: network.biased_slopes},
        "response": {schema.RESPONSE_GROUP: network.groups("response")},
        "shrinkage_location": {schema.SHRINKAGE_LAW: network.shrinkage.laws},
        "shrinkage_log_spread": {schema.SHRINKAGE_LAW: network.shrinkage.laws},
        "early_late_correlation": {},
        "completion": {schema.COMPLETION_OF: network.shrinkage.completions},
        "estimate": {schema.UNPRINTED: tuple(d.id for d in network.data if d.kind == "said")},
        "landmark_log_hazard": strata | {schema.LANDMARK_INTERVAL: tuple(range(after))},
        "study_slope": strata,
    }


def labels(network: Network) -> dict[str, tuple]:
    """The labels of every dim of a free or derived variable."""
    variables = [free.dims for free in network.free.values()] + list(derived_dims(network).values())
    return {dim: own for dims in variables for dim, own in dims.items()}


def _curves(effects: Values, network: Network) -> dict[str, np.ndarray]:
    a, found = network.assumptions, {}
    if network.effects:
        of = [network.effect_endpoints.index(endpoint) for endpoint, _ in network.effects]
        found["arm_effect"] = effects["arm_effect_mean"][..., of]
        found["arm_effect"] += _heterogeneous(effects, "arm_effect_z", a.arm_heterogeneity)
    level = effects.get("study_level_z", effects.get("study_level"))
    if level is not None:
        found["study_level"] = level
    if not network.baselines:
        return found
    baselines = effects.get("log_baseline")
    if baselines is None:
        baselines = _walk(effects, network.basis, ("level", "step"))
    stands_on = [network.baselines.index((e, network.baseline_study(s))) for e, s, _ in network.curves]
    log_hazard = baselines[..., stands_on, :]
    for i, (endpoint, study, arm) in enumerate(network.curves):
        if arm != a.arms[0]:
            own = network.effects.index(network.effect_of(endpoint, study))
            log_hazard[..., i, :] += found["arm_effect"][..., [own]]
        if level is not None and (endpoint, study) in network.borrowers:
            log_hazard[..., i, :] += level[..., [network.borrowers.index((endpoint, study))]]
    return found | {"log_hazard": log_hazard}


def _heterogeneous(effects: Values, name: str, prior: Heterogeneity) -> Array:
    """Deviations of studies from their mean: already scaled, or times a heterogeneity that is known."""
    if name not in effects:
        return 0.0
    return effects[name] * (prior.value if isinstance(prior, Fixed) else 1.0)


def _walk(effects: Values, basis: np.ndarray, names: tuple[str, str]) -> np.ndarray:
    """A random walk of the log hazard around its level, (..., group, interval)."""
    level, step = effects[names[0]], effects.get(names[1])
    flat = level[..., None] * np.ones(len(basis))
    return flat if step is None else flat + step @ basis.T


def _slopes(effects: Values, network: Network) -> dict[str, np.ndarray]:
    if not network.slope_endpoints:
        return {}
    if "slope_mean" in effects:
        slope = effects["slope_mean"][..., None] * network.slope_shares + effects["slope_z"]
    else:
        slope = network.assumptions.slopes.prior.mean + effects["slope_z"] @ network.slope_factor.T
    found = {"slope": slope}
    if "bias_z" in effects:
        found["bias"] = network.bias_prior[:, 0] + network.bias_prior[:, 1] * effects["bias_z"]
    return found


def _responses(effects: Values, network: Network) -> dict[str, np.ndarray]:
    """Logits of response by study and arm: exchangeable in the last arm, by itself elsewhere."""
    if not network.groups("response"):
        return {}
    pooled = network.pooled_responses
    logits: Array = 0.0
    if pooled.any():
        logits = effects["response_mean"][..., None] * pooled
        own = effects.get("response_difference_z", effects.get("response_difference"))
        if own is not None:
            logits[..., pooled] += own
    if (~pooled).any():
        alone = effects["response_alone"]
        logits = logits + np.zeros((*alone.shape[:-1], len(pooled)))
        logits[..., ~pooled] = alone
    return {"response": logits}


def _shrinkage(effects: Values, network: Network) -> dict[str, np.ndarray]:
    """Laws of best shrinkage; and, not linear, what the correlation of early with final shrinkage is, and the
    log odds ratio that it makes."""
    own, a = network.shrinkage, network.assumptions
    if not own.groups:
        return {}
    found = {}
    of = [own.arms.index(arm) for _, arm in own.groups]
    for name, prior in (("location", a.shrinkage_location), ("log_spread", a.shrinkage_log_spread)):
        by_arm = prior.mean + prior.sd * effects[f"shrinkage_{name}_z"] @ own.factor.T
        found[f"shrinkage_{name}"] = by_arm[..., of, :]
    if own.studies:
        at = [own.groups.index(group) for group in own.studies]
        found["shrinkage_location"][..., at, :] += effects["shrinkage_study_z"][..., None]
    found = {name: value.reshape(*value.shape[:-2], -1) for name, value in found.items()}
    if own.completions:
        found["early_late_correlation"] = np.tanh(effects["early_late"])
        starts = response_place(found["shrinkage_location"], found["shrinkage_log_spread"])
        early, late = (starts[..., list(at)] for at in zip(*map(own.pair, own.completions), strict=True))
        correlation = found["early_late_correlation"][..., None]
        found["completion"] = log_odds_ratio(early, late, correlation)
    return found


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
        **({STUDY: list(data.studies)} if data.studies else {}),
        "contrast": list(data.arms[1:]),
        INTERVAL: np.arange(data.n_intervals),
        BOUNDARY: np.arange(data.n_intervals - 1),
        COVARIATE: list(data.covariate_names),
    }
