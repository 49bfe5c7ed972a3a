"""The model of published numbers and patients together, as it is defined.

    log hazard of a curve = baseline + arm_effect (second arm) + study_level (study without a baseline)
    slope[endpoint, arm, landmark] = a Gaussian process over log landmark time, or around a mean

What is observed has one named term a kind of evidence; what its mean is made of is found in the model by
name.
"""

from __future__ import annotations

import numpy as np

from bayes_net import schema
from bayes_net.assumptions.network import Network
from bayes_net.assumptions.priors import EXCHANGEABLE, INDEPENDENT
from bayes_net.labels import index_labels
from bayes_net.model.backend import pm, pt, random_variable, random_walk
from bayes_net.model.laws import best_shrinkage, free
from bayes_net.model.observed import observe_numbers, observe_patients
from bayes_net.model.predictors import labels
from bayes_net.schema import ARM, BASELINE, BIASED_SLOPE, BORROWER, CURVE, EFFECT, LOG_HAZARD, STRATUM
from bayes_net.statistics.base import Array


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
            free(network, "log_inflation")
        observe_numbers(model, network)
        observe_patients(model, network)
    return model


def _arm_effects(network: Network) -> pt.TensorVariable:
    """Log hazard ratio of the second arm, by endpoint and study, (effect,)."""
    a, endpoints = network.assumptions, (schema.POOLED_ENDPOINT,)
    of = [network.effect_endpoints.index(endpoint) for endpoint, _ in network.effects]
    effect = free(network, "arm_effect_mean")[of]
    if network.pools_effects:
        sd = random_variable("arm_effect_sd", a.arm_heterogeneity, endpoints)
        effect = effect + sd[of] * free(network, "arm_effect_z")
    return pm.Deterministic("arm_effect", effect, dims=EFFECT)


def _curves(network: Network, arm_effect: Array) -> None:
    """Log hazard of every arm of every study, (curve, interval)."""
    a = network.assumptions
    if a.smoothing == INDEPENDENT:
        baseline = free(network, "log_baseline")
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


def _differences(network: Network, name: str) -> pt.TensorVariable | None:
    """Differences of studies from what they share; None where they are pooled in full."""
    if f"{name}_z" in network.free:
        return free(network, f"{name}_sd") * free(network, f"{name}_z")
    return free(network, name) if name in network.free else None


def _slopes(network: Network) -> pt.TensorVariable:
    """Log hazard ratio per 10 points of shrinkage, (endpoint, arm, landmark); beside it the guarantee-time
    bias of those printed for "no limit", (biased_slope,)."""
    prior, groups = network.assumptions.slopes, (schema.ENDPOINT, ARM)
    z = free(network, "slope_z")
    if prior.has_mean:
        mean = free(network, "slope_mean")
        slope = mean[..., None] * network.slope_shares + free(network, "slope_sd")[..., None] * z
    else:
        slope = prior.prior.mean + pt.tensordot(z, network.slope_factor, axes=[[-1], [-1]])
    if network.biased_slopes:
        mean, sd = network.bias_prior.T
        pm.Deterministic("bias", mean + sd * free(network, "bias_z"), dims=BIASED_SLOPE)
    return pm.Deterministic(schema.SLOPE, slope, dims=(*groups, schema.LANDMARK))


def _responses(network: Network) -> None:
    """Logit of response by study and arm, (response_group,): exchangeable in the last arm, else by itself."""
    pooled, logits = network.pooled_responses, pt.zeros(len(network.pooled_responses))
    if pooled.any():
        own, difference = (
            free(network, "response_mean"),
            _differences(network, "response_difference"),
        )
        own = own if difference is None else own + difference
        logits = logits[np.flatnonzero(pooled)].set(own)
    if not pooled.all():
        logits = logits[np.flatnonzero(~pooled)].set(free(network, "response_alone"))
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
        own = own + sd * free(network, "slope_study_z")
    pm.Deterministic("landmark_log_hazard", log_hazard, dims=(STRATUM, schema.LANDMARK_INTERVAL))
    pm.Deterministic("study_slope", own, dims=STRATUM)


# --- what is observed ---------------------------------------------------------------------------------


# --- rows ---------------------------------------------------------------------------------------------


# --- what is normal on its scale ----------------------------------------------------------------------


# --- patients -----------------------------------------------------------------------------------------
