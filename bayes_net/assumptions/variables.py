"""The free variables of a synthesis: names, labels and priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_net import schema
from bayes_net.assumptions import priors
from bayes_net.assumptions.priors import (
    EXCHANGEABLE,
    FULL,
    Borrowing,
    Fixed,
    HalfNormal,
    Heterogeneity,
    Normal,
)
from bayes_net.assumptions.synthesis import Assumptions
from bayes_net.schema import ARM, INTERVAL
from bayes_net.statistics.base import FLOOR_INFLATION

INFLATION = Normal(*FLOOR_INFLATION, "SE of a median without CI: 0.8 to 1.7 times its floor")
"""Printed widths of ten curves of neuroendocrine tumours are 0.74 to 1.30 times the floor."""
STANDARD = Normal(0, 1)


@dataclass(frozen=True, eq=False)
class Free:
    """A free variable: its labels by dim (tuples where a dim has ``schema.FIELDS``), and its prior, with
    hyperparameters for every label."""

    dims: Mapping[str, tuple]
    prior: Normal | HalfNormal | priors.HalfCauchy | Borrowing

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every dim."""
        return tuple(map(len, self.dims.values()))

    @property
    def size(self) -> int:
        """How many numbers it is."""
        return int(np.prod(self.shape))


def network_variables(network: Any) -> dict[str, Free]:
    """Every free variable of a ``Network`` by name, in the order in which draws of the prior are made."""
    parts = (_of_curves, _of_slopes, _of_counts, _of_shrinkage, _of_statements, _of_landmarks)
    found = {name: variable for part in parts for name, variable in part(network).items()}
    return {name: variable for name, variable in found.items() if np.prod(variable.shape)}


def _of_curves(network: Any) -> dict[str, Free]:
    a, groups = network.assumptions, {schema.BASELINE: network.baselines}
    intervals = tuple(range(network.n_intervals))
    pooled = {schema.POOLED_ENDPOINT: network.effect_endpoints}
    if a.smoothing == priors.INDEPENDENT:
        free = {"log_baseline": Free(groups | {INTERVAL: intervals}, a.level)}
    else:
        free = _walk(groups, {schema.BOUNDARY: intervals[:-1]}, a)
    free["arm_effect_mean"] = Free(pooled, a.arm_effect)
    if network.pools_effects:
        free |= _heterogeneity("arm_effect", pooled, a.arm_heterogeneity)
        free["arm_effect_z"] = Free({schema.EFFECT: network.effects}, STANDARD)
    free |= _differences("study_level", {schema.BORROWER: network.borrowers}, a.study_level)
    inflated = tuple(d.id for d in network.data if d.inflated)
    return free | {"log_inflation": Free({schema.INFLATED: inflated}, INFLATION)}


def _of_slopes(network: Any) -> dict[str, Free]:
    a = network.assumptions
    prior, groups = a.slopes, {schema.ENDPOINT: network.slope_endpoints, ARM: a.arms}
    free = {"slope_z": Free(groups | {schema.LANDMARK: network.landmarks}, STANDARD)}
    if prior.has_mean:
        free["slope_mean"] = Free(groups, prior.prior)
        free["slope_sd"] = Free(groups, prior.heterogeneity)
    return free | {"bias_z": Free({schema.BIASED_SLOPE: network.biased_slopes}, STANDARD)}


def _of_counts(network: Any) -> dict[str, Free]:
    a = network.assumptions
    groups = tuple(zip(network.groups("response"), network.pooled_responses, strict=True))
    pooled = tuple(group for group, last in groups if last)
    separate = {schema.SEPARATE_GROUP: tuple(group for group, last in groups if not last)}
    free = {"response_mean": Free({}, a.response_probability)} if pooled else {}
    free["response_alone"] = Free(separate, a.response_probability)
    free |= _differences("response_difference", {schema.POOLED_GROUP: pooled}, a.response)
    return free


def _of_shrinkage(network: Any) -> dict[str, Free]:
    """Laws of best shrinkage: of arms over time, differences of studies, and who is seen."""
    a, own = network.assumptions, network.shrinkage
    dims = {schema.SHRINKAGE_ARM: own.arms, schema.SHRINKAGE_TIME: own.labels}
    free = {name: Free(dims, STANDARD) for name in ("shrinkage_location_z", "shrinkage_log_spread_z")}
    if own.studies:
        free["shrinkage_study_sd"] = Free({}, a.shrinkage_between)
        free["shrinkage_study_z"] = Free({schema.SHRINKAGE_STUDY: own.studies}, STANDARD)
    free["selection"] = Free({schema.SELECTED_ARM: own.selected_arms}, a.selection)
    free["progression"] = Free({schema.PROGRESSIVE: own.progressive}, a.progression)
    return free | ({"early_late": Free({}, a.early_late)} if own.completions else {})


def _of_statements(network: Any) -> dict[str, Free]:
    """Estimates that are not printed, and their standard errors where they are uncertain."""
    said = [d for d in network.data if d.kind == "said"]
    uncertain = tuple(d.id for d in said if d.log_se_sd > 0)
    return {
        "estimate_z": Free({schema.UNPRINTED: tuple(d.id for d in said)}, STANDARD),
        "se_z": Free({schema.UNKNOWN_SE: uncertain}, STANDARD),
    }


def _of_landmarks(network: Any) -> dict[str, Free]:
    """Baselines of the patients at their landmark, by stratum."""
    if not network.landmark_cohorts:
        return {}
    a, strata = network.assumptions, {schema.STRATUM: network.strata}
    boundaries = {schema.LANDMARK_BOUNDARY: tuple(range(network.landmark_basis.shape[1]))}
    free = {f"landmark_{name}": own for name, own in _walk(strata, boundaries, a).items()}
    if len(network.landmark_cohorts) > 1:
        free |= _heterogeneity("slope_between", {}, a.slopes.between_studies)
        free["slope_study_z"] = Free(strata, STANDARD)
    return free


def _walk(groups: dict, boundaries: dict, a: Assumptions) -> dict[str, Free]:
    """A random walk by group, in one interval or more."""
    free = {"level": Free(groups, a.level)}
    if all(boundaries.values()):
        free |= {"step_sd": Free(groups, a.step_sd), "step": Free(groups | boundaries, STANDARD)}
    return free


def _differences(name: str, dims: dict, borrowing: Borrowing) -> dict[str, Free]:
    """Differences between studies: exchangeable ones are sampled standardised."""
    if borrowing.kind == FULL or not all(dims.values()):
        return {}
    if borrowing.kind == EXCHANGEABLE:
        return {f"{name}_sd": Free({}, HalfNormal(borrowing.sd)), f"{name}_z": Free(dims, STANDARD)}
    return {name: Free(dims, borrowing if borrowing.mixes else Normal(0, borrowing.narrow_sd))}


def _heterogeneity(name: str, dims: dict, prior: Heterogeneity) -> dict[str, Free]:
    return {} if isinstance(prior, Fixed) else {f"{name}_sd": Free(dims, prior)}
