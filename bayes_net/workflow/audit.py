"""What does each prior do by itself: every stated prior weakened and moved, every study left out, in turn.

Nothing is said here of what comes out; these are changes of a specification, fitted as scenarios are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from bayes_net.checks.power import prior_blocks
from bayes_net.data.exposure import Response
from bayes_net.model.predictors import free_variables
from bayes_net.schema import ARM_EFFECT, COVARIATE_EFFECT, SLOPE_STEP_SD
from bayes_net.specification.base import Plan
from bayes_net.workflow.analysis import Prepared, prepare
from bayes_net.workflow.patients import PreparedPatients
from bayes_net.workflow.synthesis import PreparedNetwork

WIDER = 4.0
"""A weakened prior has so many times its SD, and so a sixteenth of its precision."""
LARGEST_CHANGE = 1000.0
"""The largest ``hazard_change_per_year`` that a specification may state."""
DIGITS = 4
WEAKENED, MOVED, NARROWED, LEFT_OUT = "weakened", "moved", "narrowed", "left out"
Limits = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Step:
    """One change of the audit: its name, what it is about (a prior, or a study), how, and the keys."""

    name: str
    block: str
    how: str
    change: Mapping[str, Any]


def audit_steps(plan: Plan) -> tuple[Step, ...]:
    """Every change of the audit of a specification.

    A prior of a location is made ``WIDER`` times as wide, and its mean is moved up by one SD; a prior of a
    standard deviation is made ``WIDER`` times as wide, and as narrow. Priors that the model does not use, and
    flat ones, are passed over. Of several studies in a synthesis each is left out by power 0.

    Raises
    ------
    InputError
        The specification's data are not usable.
    """
    return tuple(_steps(prepare(plan)))


@singledispatch
def _steps(prepared: Prepared) -> Iterator[Step]:
    raise NotImplementedError(type(prepared).__name__)


@_steps.register
def _of_patients(prepared: PreparedPatients) -> Iterator[Step]:
    return _priors(_patients_priors(prepared))


@_steps.register
def _of_network(prepared: PreparedNetwork) -> Iterator[Step]:
    yield from _priors(_network_priors(prepared))
    yield from _studies(prepared)


Variants = tuple[tuple[str, str, Any], ...]
"""What is done, in which words, and the value that a key then has."""
Stated = Iterator[tuple[str, str, Variants]]
"""Block, key of the specification, and the variants of its value."""


def _priors(stated: Stated) -> Iterator[Step]:
    for block, key, variants in stated:
        for how, label, value in variants:
            yield Step(f"{block}, {label}", block, how, {key: value})


def _patients_priors(prepared: PreparedPatients) -> Stated:
    priors, used = prepared.plan.priors, set()
    for job in prepared.jobs:
        names = free_variables(prepared.plan.hazard(job.measure), job.data)
        response = "response" if isinstance(job.measure, Response) else "shrinkage"
        used |= {f"{response} slope" if name in ("slope", "common_slope") else name for name in names}
    z = float(stats.norm.ppf((1 + priors.probability) / 2))
    if priors.log_hazard is not None:
        yield "baseline", "priors.log_hazard", _normal(*priors.log_hazard)
    else:
        yield "baseline", "priors.median_months", _limits(priors.median_months, z)
    for block, key, variable in (
        ("slope", "hazard_ratio_per_10_points", "shrinkage slope"),
        ("slope of response", "hazard_ratio_response", "response slope"),
        ("arm effect", "hazard_ratio_arm", ARM_EFFECT),
        ("covariates", "hazard_ratio_covariate", COVARIATE_EFFECT),
    ):
        if variable in used:
            yield block, f"priors.{key}", _limits(getattr(priors, key), z)
    if "step_sd" in used:
        key = "priors.hazard_change_per_year"
        yield "change over time", key, _factor(priors.hazard_change_per_year)
    if SLOPE_STEP_SD in used:
        key = "priors.hazard_ratio_change_per_year"
        yield "change of the slope over time", key, _factor(priors.hazard_ratio_change_per_year)


def _network_priors(prepared: PreparedNetwork) -> Stated:
    plan, z = prepared.plan, float(stats.norm.ppf(0.975))
    priors, slopes, borrowing, by_arm = plan.priors, plan.slopes, plan.borrowing, plan.bias.by_arm
    stated: dict[str, tuple[str, Callable[[], Variants]]] = {
        "slope": (
            "slopes.hazard_ratio_per_10_points",
            lambda: _limits(slopes.hazard_ratio_per_10_points, z),
        ),
        "slope heterogeneity": ("slopes.heterogeneity", lambda: _scale(slopes.heterogeneity)),
        "slope between studies": ("slopes.between_studies", lambda: _scale(slopes.between_studies)),
        "bias of no limit": ("bias.by_arm", lambda: _by_arm(by_arm)),
        "arm effect": ("priors.hazard_ratio_arm", lambda: _limits(priors.hazard_ratio_arm, z)),
        "arm heterogeneity": ("priors.arm_heterogeneity", lambda: _scale(priors.arm_heterogeneity)),
        "baseline": ("priors.median_months", lambda: _limits(priors.median_months, z)),
        "change over time": (
            "priors.hazard_change_per_year",
            lambda: _factor(priors.hazard_change_per_year),
        ),
        "level of studies": ("borrowing.level", lambda: _borrowed(borrowing.level)),
        "response": (
            "priors.response_probability",
            lambda: _limits(priors.response_probability, z, logit, _share),
        ),
        "response between studies": ("borrowing.response", lambda: _borrowed(borrowing.response)),
        "completion": (
            "priors.odds_ratio_completion",
            lambda: _limits(priors.odds_ratio_completion, z),
        ),
    }
    used = prior_blocks(prepared.network)
    for block, (key, variants) in stated.items():
        if block in used:
            yield block, key, variants()


def _studies(prepared: PreparedNetwork) -> Iterator[Step]:
    evidence = prepared.plan.evidence
    printed = set() if prepared.evidence is None else set(prepared.evidence.rows("likelihood")["study"])
    for study in prepared.sources:
        change: dict[str, Any] = {}
        if evidence is not None and study in printed:
            others = {name: power for name, power in evidence.power.items() if name != study}
            change["evidence.power"] = others | {study: 0.0}  # the last word on each row of the study
        for number, cohort in enumerate(prepared.plan.cohorts, start=1):
            if cohort.study == study:
                change[f"cohorts.{number}.weight"] = 0.0
        yield Step(f"without {study}", study, LEFT_OUT, change)


# --- one prior weakened, moved or narrowed ------------------------------------------------------------

_WIDE, _UP, _NARROW = f"SD x {WIDER:g}", "mean + 1 SD", f"SD / {WIDER:g}"


def _rounded(value: float) -> float:
    """A value that can be read; four digits change no prior."""
    return float(f"{value:.{DIGITS}g}")


def _ratio(log: float) -> float:
    return _rounded(float(np.exp(log)))


def _share(log_odds: float) -> float:
    """A probability whose distance from the nearer end has four digits."""
    near = _rounded(float(expit(-abs(log_odds))))
    return near if log_odds < 0 else round(1.0 - near, 12)


def _limits(limits: Limits | str, z: float, onto: Callable = np.log, back: Callable = _ratio) -> Variants:
    """Of limits between which a share of values lies, normal on the scale ``onto``."""
    if limits == "flat":
        return ()
    low, high = (float(onto(limit)) for limit in limits)
    middle, half = (low + high) / 2, (high - low) / 2

    def stated(centre: float, reach: float) -> list[float]:
        return [back(centre + side * reach) for side in (-1, 1)]

    return ((WEAKENED, _WIDE, stated(middle, WIDER * half)), (MOVED, _UP, stated(middle + half / z, half)))


def _normal(mean: float, sd: float) -> Variants:
    return ((WEAKENED, _WIDE, [mean, WIDER * sd]), (MOVED, _UP, [mean + sd, sd]))


def _by_arm(by_arm: Mapping[str, tuple[float, float]]) -> Variants:
    """Of a mean and an SD in every arm, all changed together."""
    each = {arm: _normal(*pair) for arm, pair in by_arm.items()}
    first = next(iter(each.values()))
    return tuple(
        (how, label, {arm: [_rounded(x) for x in own[i][2]] for arm, own in each.items()})
        for i, (how, label, _) in enumerate(first)
    )


def _scale(sd: float) -> Variants:
    return ((WEAKENED, _WIDE, _rounded(WIDER * sd)), (NARROWED, _NARROW, _rounded(sd / WIDER)))


def _factor(factor: float) -> Variants:
    """Of a factor whose logarithm is proportional to the scale of a half-normal prior."""
    wider = min(WIDER, float(np.log(LARGEST_CHANGE) / np.log(factor)))
    weakened = ((WEAKENED, f"SD x {wider:.2g}", _rounded(factor**wider)),) if wider > 1.1 else ()
    return (*weakened, (NARROWED, _NARROW, _rounded(factor ** (1 / WIDER))))


def _borrowed(section: Any) -> Variants:
    """Of differences between studies: all SDs of the rule together; full pooling has none."""
    if section.kind == "full":
        return ()
    plain = section.model_dump(mode="json")
    return tuple(
        (how, label, plain | {name: _rounded(by * plain[name]) for name in ("sd", "vague_sd")})
        for how, label, by in ((WEAKENED, _WIDE, WIDER), (NARROWED, _NARROW, 1 / WIDER))
    )
