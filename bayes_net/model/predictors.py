"""The synthesis model's equations. All its quantities are linear in one vector of effects.

An *effect* is a free normal variable on its own scale: mean + SD * z, times the heterogeneity it belongs
to. Log hazards of curves, log hazard ratios, slopes, logits and laws of shrinkage are sums of effects
(``derive``); only what a row makes of them is not linear. So the graph needs one matrix (``design``), read
off ``derive`` itself, and is small enough to compile quickly. ``Maths`` names the few operations in
which numpy (draws) and PyTensor (graph) differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayes_net.data.aggregated import AnyExposure
from bayes_net.evidence.kinds import KINDS
from bayes_net.evidence.statistics import Quantity, Values
from bayes_net.model.assumptions import COMMON, PER_ARM, SHARED, TIME_VARYING, Hazard, slope_intervals
from bayes_net.model.likelihoods import count_rows
from bayes_net.model.network import Network
from bayes_net.model.priors import (
    EXCHANGEABLE,
    FULL,
    INDEPENDENT,
    Borrowing,
    Fixed,
    HalfCauchy,
    HalfNormal,
    Normal,
    Prior,
)
from bayes_net.schema import (
    ARM,
    ARM_EFFECT,
    COVARIATE,
    COVARIATE_EFFECT,
    INTERVAL,
    LEVEL,
    NO_LIMIT,
    SLOPE,
    SLOPE_STEP_SD,
    STEP_SD,
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


def selection(labels: tuple[str, ...], wanted: list[str | None]) -> np.ndarray:
    """0/1 matrix (wanted, labels) that picks the label of each row; None picks nothing."""
    return np.array([[label == name for label in labels] for name in wanted], float).reshape(
        len(wanted), len(labels)
    )


def is_scale(prior) -> bool:
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
        found[name] = vector[..., start:end].reshape(*vector.shape[:-1], *shape)
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


def effect_labels(network: Network) -> list[str]:
    """A name for every element of the vector of effects."""
    return [label for name in effect_names(network) for label in _labels(name, network)]


def scale_labels(network: Network) -> list[str]:
    """A name for every standard deviation."""
    return [label for name in scale_names(network) for label in _labels(name, network)]


def _labels(name: str, network: Network) -> list[str]:
    labels = [""]
    for own in network.free[name].dims.values():
        labels = [f"{before}, {label}" if before else label for before in labels for label in own]
    return [f"{name}[{label}]" for label in labels]


def scaling(network: Network) -> np.ndarray:
    """0/1 matrix (effect, standard deviation): by which each effect is multiplied; a row of 0: by none."""
    columns, rows = scale_labels(network), []
    for name in effect_names(network):
        sd = SCALED_BY.get(name)
        own = network.free[name]
        shared = sd in network.free and list(network.free[sd].dims) == ["one"]
        for position in np.ndindex(*own.shape):
            row = np.zeros(len(columns))
            if sd in network.free:
                # a standard deviation is shared by all, or belongs to the label of the first dim
                labels = _labels(sd, network)
                at = 0 if shared else _owner(network, name, sd, position)
                row[columns.index(labels[at])] = 1.0
            rows.append(row)
    return np.array(rows).reshape(len(rows), len(columns))


def _owner(network: Network, name: str, sd: str, position: tuple[int, ...]) -> int:
    label = next(iter(network.free[name].dims.values()))[position[0]]
    owners = next(iter(network.free[sd].dims.values()))
    return owners.index(label) if label in owners else owners.index(label.split(" ")[0])


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


def derived_dims(network: Network) -> dict[str, dict[str, tuple[str, ...]]]:
    """Dims and labels of everything that ``derive`` can return."""
    a, intervals = network.assumptions, tuple(str(k) for k in range(network.n_intervals))
    strata = tuple(f"{c.study} {arm}" for c in network.landmark_cohorts for arm in a.arms)
    after = len(network.landmark_basis) if network.landmark_cohorts else 0
    later = tuple(str(k) for k in range(after))
    return {
        "log_hazard": {"curve": tuple(map(" ".join, network.curves)), "interval": intervals},
        "arm_effect": {"effect": network.effects},
        "study_level": {"level_of": network.levels},
        "slope": {"slope_of": network.slope_groups, "landmark": network.landmarks},
        "bias": {"bias_of": network.biased_groups},
        "response": {"response_group": network.groups("response")},
        "landmark_log_hazard": {"stratum": strata, "landmark_interval": later},
        "study_slope": {"stratum": strata},
    }


def _difference(effects: Values, name: str, borrowing: Borrowing):
    """Differences between studies; None where there are none."""
    if borrowing.kind == FULL:
        return None
    return effects.get(f"{name}_z" if borrowing.kind == EXCHANGEABLE else name)


def _curves(effects: Values, network: Network) -> dict[str, np.ndarray]:
    a, found = network.assumptions, {}
    if network.effects:
        of = [effect.split(" ")[0] for effect in network.effects]
        mean = effects["arm_effect_mean"] @ selection(network.effect_endpoints, of).T
        found["arm_effect"] = mean + _heterogeneous(effects, "arm_effect_z", a.arm_heterogeneity)
    level = _difference(effects, "study_level", a.study_level)
    if level is not None:
        found["study_level"] = level
    if not network.baselines:
        return found
    stands_on = [f"{e} {network.baseline_study(s)}" for e, s, _ in network.curves]
    log_hazard = selection(network.baselines, stands_on) @ _baselines(effects, network)
    if network.effects:
        treated = [network.effect_of(e, s) if arm != a.arms[0] else None for e, s, arm in network.curves]
        log_hazard = log_hazard + (found["arm_effect"] @ selection(network.effects, treated).T)[..., None]
    if level is not None:
        of = [f"{e} {s}" for e, s, _ in network.curves]
        log_hazard = log_hazard + (level @ selection(network.levels, of).T)[..., None]
    return found | {"log_hazard": log_hazard}


def _heterogeneous(effects: Values, name: str, prior):
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
    if not network.slope_groups:
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
    logits = 0.0
    if pooled.any():
        logits = effects["response_mean"] * pooled.astype(float)
        own = _difference(effects, "response_difference", network.assumptions.response)
        logits = logits if own is None else logits + own @ place[pooled]
    if (~pooled).any():
        logits = logits + effects["response_alone"] @ place[~pooled]
    return {"response": logits}


def _study_slopes(effects: Values, derived: Values, network: Network) -> np.ndarray:
    """Slopes of the patients' strata (study and arm) at their landmark, (..., stratum)."""
    columns = [
        derived["slope"][
            ..., network.slope_groups.index(f"{c.endpoint} {arm}"), network.landmarks.index(c.landmark)
        ]
        for c in network.landmark_cohorts
        for arm in network.assumptions.arms
    ]
    own = _heterogeneous(effects, "slope_study_z", network.assumptions.slopes.between_studies)
    return np.stack(columns, axis=-1) + own


def linear_parts(effects: Values, network: Network) -> dict[str, np.ndarray]:
    """What the likelihood reads, each (..., element).

    ``location`` and ``log_inflation`` of every row (0 where it has none), ``response`` (a logit),
    ``shrinkage_location`` and ``shrinkage_log_spread`` of every count, and flat over rows or curves and
    intervals the log hazards ``curve_rows`` and ``curves``; of patients after their landmark ``after_slope``
    (stratum) and ``after``.
    """
    derived, found = derive(effects, network), {}
    first = next(iter(effects))
    lead = effects[first].shape[: effects[first].ndim - len(network.free[first].dims)]
    if len(network.rows):
        found["location"] = np.zeros((*lead, len(network.rows))) + _locations(derived, effects, network)
        found["log_inflation"] = _log_inflation(effects, network, lead)
    if network.groups("response"):
        found["response"] = derived["response"][..., count_rows(network, "response").group]
    if network.groups("shrinkage"):
        own = count_rows(network, "shrinkage").group
        for name in ("shrinkage_location", "shrinkage_log_spread"):
            found[name] = effects[name][..., own]
    if network.curve_rows:
        found["curve_rows"] = derived["log_hazard"][
            ..., [network.curves.index(c) for c in network.curve_rows], :
        ]
    if network.has_curve_patients:
        found["curves"] = derived["log_hazard"]
    if network.landmark_cohorts:
        found["after_slope"], found["after"] = derived["study_slope"], derived["landmark_log_hazard"]
    return {name: value.reshape(*lead, -1) for name, value in found.items()}


def _log_inflation(effects: Values, network: Network, lead: tuple[int, ...]) -> np.ndarray:
    """Log of the factor on each row's standard error."""
    if "log_inflation" not in effects:
        return np.zeros((*lead, len(network.rows)))
    inflated = [d.inflated for d in network.data]
    return effects["log_inflation"] @ np.eye(len(network.rows))[inflated]


def _locations(derived: Values, effects: Values, network: Network):
    """Model value of rows that are effects or slopes on the log scale, (..., row); 0 for the others."""
    total = 0.0
    for i, row in enumerate(network.rows.itertuples()):
        place = np.eye(len(network.rows))[i]
        quantity = KINDS[row.statistic].quantity
        if quantity is Quantity.ARM_EFFECT:
            value = derived["arm_effect"][..., network.effects.index(f"{row.endpoint} {row.study}")]
        elif quantity is Quantity.SLOPE:
            group = f"{row.endpoint} {row.arm}"
            value = derived["slope"][
                ..., network.slope_groups.index(group), network.landmarks.index(row.landmark)
            ]
            if row.landmark == NO_LIMIT and group in network.biased_groups:
                value = value + derived["bias"][..., network.biased_groups.index(group)]
        elif quantity is Quantity.COMPLETION:
            value = effects["completion"][..., 0]
        else:
            continue
        total = total + value[..., None] * place
    return total


# --- patients -----------------------------------------------------------------------------------------


def log_hazard(baseline, slope=None, score=None, effect=None):
    """log h of patients = baseline + slope * score + effect: the one place where it is written.

    ``baseline`` and ``slope`` are those of each patient's arm in each interval, ``effect`` is
    ``covariates @ log_hr_covariate``; what the model has not is None. They may be plain arrays, labelled
    draws or parts of a graph, and are broadcast against each other.
    """
    fixed = baseline if effect is None else baseline + effect
    return fixed if slope is None else fixed + slope * score


def slope_over_time(average, step_sd, step, basis):
    """Slope by arm and interval: a random walk around its average over time, (..., arm, interval).

    ``average`` and ``step_sd`` (..., arm), standard normal ``step`` (..., arm, boundary), and the basis of
    ``walk_basis`` (interval, boundary): plain arrays or parts of a graph.
    """
    return average[..., None] + step_sd[..., None] * (basis * step[..., None, :]).sum(axis=-1)


def free_variables(hazard: Hazard, data: AnyExposure) -> dict[str, tuple[Prior, tuple[str, ...]]]:
    """Each free variable of ``hazard_model`` with its prior and its dims."""
    priors, strata = hazard.priors, () if hazard.baseline == SHARED else (ARM,)
    free: dict[str, tuple[Prior, tuple[str, ...]]] = {}
    if hazard.smoothing == INDEPENDENT:
        free["log_baseline"] = (priors.level, (*strata, INTERVAL))
    else:
        if data.n_intervals > 1:
            free[STEP_SD] = (priors.step_sd, strata)
            free["step"] = (Normal(0.0, 1.0), (*strata, "boundary"))
        free[LEVEL] = (priors.level, strata)
    if hazard.baseline == SHARED and len(data.arms) > 1:
        free[ARM_EFFECT] = (priors.arm_effect, ("contrast",))
    if hazard.slopes in (PER_ARM, TIME_VARYING):
        free[SLOPE] = (priors.slope, (ARM,))
        if slope_intervals(hazard, data) > 1:
            free[SLOPE_STEP_SD] = (priors.slope_step_sd, (ARM,))
            free["slope_step"] = (Normal(0.0, 1.0), (ARM, "boundary"))
    elif hazard.slopes == COMMON:
        free["common_slope"] = (priors.slope, ())
    if data.covariate_names:
        free[COVARIATE_EFFECT] = (priors.covariate, (COVARIATE,))
    return free


def coordinates(data: AnyExposure) -> dict[str, Sequence]:
    """The labels of every dim that a free variable may have."""
    return {
        ARM: list(data.arms),
        "contrast": list(data.arms[1:]),
        INTERVAL: np.arange(data.n_intervals),
        "boundary": np.arange(data.n_intervals - 1),
        COVARIATE: list(data.covariate_names),
    }
