"""The model of published numbers and patients together, as it is defined: its parameters.

    log hazard of a curve = baseline + arm_effect (second arm) + study_level (study without a baseline)
    slope[endpoint and arm, landmark] = a Gaussian process over log landmark time, or around a mean

What is observed of them, published numbers and the events of patients, is in ``definition_evidence``.
"""

from __future__ import annotations

import numpy as np

from bayes_net.model.backend import pm, pt, random_variable, random_walk
from bayes_net.model.network import Network
from bayes_net.model.predictors import derived_dims
from bayes_net.model.priors import EXCHANGEABLE, FULL, INDEPENDENT, Borrowing, HalfNormal, Normal
from bayes_net.model.terms import observe_numbers, observe_patients
from bayes_net.schema import INTERVAL, LANDMARK, LOG_HAZARD, SLOPE


def synthesis_model(network: Network) -> pm.Model:
    """The PyMC model of a network.

    Free variables are those of ``network.free``: names, dims, labels and priors. Steps, and what ends in
    ``_z``, are standard normal and multiplied by the standard deviation of their name (``_sd``). Derived,
    all on the log scale or, of ``response``, the logit: ``arm_effect`` (effect); ``log_hazard`` (curve,
    interval), per month; ``study_level`` (level_of); ``slope`` (slope_of, landmark), per 10 points of
    shrinkage; ``bias`` (bias_of); ``response`` (response_group); of patients at a landmark
    ``landmark_log_hazard`` (stratum, landmark_interval) and ``study_slope`` (stratum).

    Observed, where the network has it, with the dim ``<name>_row`` and ids of rows as labels, on the scale of
    ``evidence.kinds.datum``: ``published_curves`` (what is read off curves), ``published_arm_effects``,
    ``published_slopes`` and ``published_completion`` (log ratios), normal; kinds between which a correlation
    is declared are one multivariate normal, ``<name>_and_<name>``. ``published_completion_by_p``, Student t
    with 4 degrees of freedom; ``published_responses``, binomial; ``published_shrinkage``, binomial: of the
    patients below the next higher threshold in print, those that reach this one. ``patients_of_curves``
    (curve_interval) and ``patients_after_landmark`` (landmark_person_interval): Poisson, as those of
    ``hazard_model``.

    A replicate of a number is what another study of this size could print. A power of 0 leaves a number out.
    Any other than 1 divides its standard error by the root, or multiplies its log-likelihood by a potential,
    ``<name>_power``, of which replicates know nothing.

    Raises
    ------
    InputError
        Events of a curve are not counted in whole numbers, or a patient has no time at risk.
    """
    with pm.Model(coords=_coordinates(network)) as model:
        arm_effect = _arm_effects(network) if network.effects else None
        if network.curves:
            _curves(network, arm_effect)
        if network.slope_groups:
            slope = _slopes(network)
        if network.landmark_cohorts:
            _after_landmark(network, slope)
        if network.groups("response"):
            _responses(network)
        for name in ("shrinkage_location", "shrinkage_log_spread", "completion", "log_inflation"):
            if name in network.free:
                random_variable(name, network.free[name].prior, tuple(network.free[name].dims))
        observe_numbers(model, network)
        observe_patients(model, network)
    return model


def _coordinates(network: Network) -> dict[str, tuple[str, ...]]:
    """The labels of every dim of a free or derived variable."""
    dims = [free.dims for free in network.free.values()] + list(derived_dims(network).values())
    return {dim: labels for each in dims for dim, labels in each.items()}


def _arm_effects(network: Network):
    """Log hazard ratio of the second arm, by endpoint and study, (effect,)."""
    a, endpoints = network.assumptions, ("effect_endpoint",)
    of = [network.effect_endpoints.index(effect.split(" ")[0]) for effect in network.effects]
    effect = random_variable("arm_effect_mean", a.arm_effect, endpoints)[of]
    if network.pools_effects:
        sd = random_variable("arm_effect_sd", a.arm_heterogeneity, endpoints)
        effect = effect + sd[of] * pm.Normal("arm_effect_z", 0.0, 1.0, dims="effect")
    return pm.Deterministic("arm_effect", effect, dims="effect")


def _curves(network: Network, arm_effect) -> None:
    """Log hazard of every arm of every study, (curve, interval)."""
    a = network.assumptions
    if a.smoothing == INDEPENDENT:
        baseline = random_variable("log_baseline", a.level, ("baseline", INTERVAL))
    else:
        baseline = random_walk(a.level, a.step_sd, network.basis, ("baseline",))
    log_hazard = baseline[
        [network.baselines.index(f"{e} {network.baseline_study(s)}") for e, s, _ in network.curves]
    ]
    # an arm that no number and no patient is about stands as the first
    effects = [network.effect_of(e, s) if arm != a.arms[0] else "" for e, s, arm in network.curves]
    treated = [i for i, effect in enumerate(effects) if effect in network.effects]
    if treated:
        of = [network.effects.index(effects[i]) for i in treated]
        log_hazard = log_hazard[treated].inc(arm_effect[of][:, None])
    level = _differences("study_level", a.study_level, "level_of") if network.levels else None
    if level is not None:
        leaning = [i for i, (e, s, _) in enumerate(network.curves) if f"{e} {s}" in network.levels]
        of = [network.levels.index(" ".join(network.curves[i][:2])) for i in leaning]
        if a.study_level.kind == EXCHANGEABLE:
            level = pm.Deterministic("study_level", level, dims="level_of")
        log_hazard = log_hazard[leaning].inc(level[of][:, None])
    pm.Deterministic(LOG_HAZARD, log_hazard, dims=("curve", INTERVAL))


def _differences(name: str, borrowing: Borrowing, dim: str):
    """Differences of studies from what they share, (dim,); None where they are pooled in full."""
    if borrowing.kind == FULL:
        return None
    if borrowing.kind == EXCHANGEABLE:
        sd = random_variable(f"{name}_sd", HalfNormal(borrowing.sd), ("one",))
        return sd[0] * pm.Normal(f"{name}_z", 0.0, 1.0, dims=dim)
    prior = borrowing if borrowing.mixes else Normal(0.0, borrowing.narrow_sd)
    return random_variable(name, prior, (dim,))


def _slopes(network: Network):
    """Log hazard ratio per 10 points of shrinkage, (slope_of, landmark); beside it the guarantee-time bias of
    those printed for "no limit", (bias_of,)."""
    prior, groups = network.assumptions.slopes, ("slope_of",)
    z = pm.Normal("slope_z", 0.0, 1.0, dims=("slope_of", LANDMARK))
    if prior.structure == EXCHANGEABLE:
        mean = random_variable("slope_mean", prior.prior, groups)
        slope = mean[:, None] + random_variable("slope_sd", prior.heterogeneity, groups)[:, None] * z
    else:
        slope = prior.prior.mean + z @ network.slope_factor.T
    if network.biased_groups:
        mean, sd = network.bias_prior.T
        bias_z = pm.Normal("bias_z", 0.0, 1.0, dims="bias_of")
        pm.Deterministic("bias", mean + sd * bias_z, dims="bias_of")
    return pm.Deterministic(SLOPE, slope, dims=("slope_of", LANDMARK))


def _responses(network: Network) -> None:
    """Logit of response by study and arm, (response_group,): exchangeable in the last arm, else by itself."""
    a, pooled, logits = network.assumptions, network.pooled_responses, pt.zeros(len(network.pooled_responses))
    if pooled.any():
        own = random_variable("response_mean", a.response_probability, ("one",))[0]
        difference = _differences("response_difference", a.response, "response_of")
        own = own if difference is None else own + difference
        logits = logits[np.flatnonzero(pooled)].set(own)
    if not pooled.all():
        alone = random_variable("response_alone", a.response_probability, ("response_alone_of",))
        logits = logits[np.flatnonzero(~pooled)].set(alone)
    pm.Deterministic("response", logits, dims="response_group")


def _after_landmark(network: Network, slope) -> None:
    """Of patients at their landmark, by study and arm: log hazard (stratum, landmark_interval) and slope
    (stratum,)."""
    a, strata = network.assumptions, ("stratum",)
    log_hazard = random_walk(a.level, a.step_sd, network.landmark_basis, strata, prefix="landmark_")
    of = [(f"{c.endpoint} {arm}", c.landmark) for c in network.landmark_cohorts for arm in a.arms]
    own = slope[[network.slope_groups.index(g) for g, _ in of], [network.landmarks.index(at) for _, at in of]]
    if len(network.landmark_cohorts) > 1:
        sd = random_variable("slope_between_sd", a.slopes.between_studies, ("one",))
        own = own + sd[0] * pm.Normal("slope_study_z", 0.0, 1.0, dims="stratum")
    pm.Deterministic("landmark_log_hazard", log_hazard, dims=("stratum", "landmark_interval"))
    pm.Deterministic("study_slope", own, dims="stratum")
