"""What does each prior do by itself: every stated prior weakened and moved, every study left out, in turn.

These are changes of a specification, fitted as scenarios are; ``sensitivity`` says what they find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, singledispatch
from operator import attrgetter
from typing import Any

import numpy as np
from scipy.special import expit, logit, ndtri

from bayes_net.assumptions.hazard import free_variables
from bayes_net.checks.power import prior_blocks
from bayes_net.numbers import significant
from bayes_net.specification.base import Plan
from bayes_net.specification.priors import MOST_CHANGE
from bayes_net.workflow.analysis import Prepared, prepare
from bayes_net.workflow.patients import PreparedPatients
from bayes_net.workflow.synthesis import PreparedNetwork

WIDER = 4.0
"""A weakened prior has so many times its SD, and so a sixteenth of its precision."""
WEAKENED, MOVED, NARROWED, LEFT_OUT = "weakened", "moved", "narrowed", "left out"
Variants = tuple[tuple[str, str, Any], ...]
"""What is done, in which words, and the value that a key then has."""
Rule = Callable[[Any], Variants]
"""The variants of a value of the specification."""


@dataclass(frozen=True, eq=False)
class Step:
    """One change of the audit: its name, what it is about (a prior, or a study), how, and the keys."""

    name: str
    block: str
    how: str
    change: Mapping[str, Any]


def audit_steps(plan: Plan) -> tuple[Step, ...]:
    """Every change of the audit of a specification.

    A prior of a location becomes ``WIDER`` times as wide, or its mean moves up by one SD; a prior of a
    standard deviation becomes ``WIDER`` times as wide, or as narrow. Priors that the model does not use, and
    flat ones, are passed over. Of several studies in a synthesis each is left out by power 0.
    """
    return tuple(_steps(prepare(plan)))


# --- one prior weakened, moved or narrowed ------------------------------------------------------------

_WIDE, _UP, _NARROW = f"SD x {WIDER:g}", "mean + 1 SD", f"SD / {WIDER:g}"


def _rounded(value: float) -> float:
    """A value that can be read; four digits change no prior."""
    return float(significant(value, 4))


def _ratio(log: float) -> float:
    return _rounded(float(np.exp(log)))


def _share(log_odds: float) -> float:
    """A probability whose distance from the nearer end has four digits."""
    near = _rounded(float(expit(-abs(log_odds))))
    return near if log_odds < 0 else round(1.0 - near, 12)


def _correlation(z: float) -> float:
    """A correlation whose distance from the nearer end of its range has four digits."""
    return float(np.sign(z)) * (1.0 - _rounded(1.0 - float(np.tanh(abs(z)))))


def _limits(
    limits: tuple[float, float] | str,
    *,
    probability: float = 0.95,
    scale: Callable = np.log,
    inverse: Callable = _ratio,
) -> Variants:
    """Of limits between which values lie with this probability, normal on the ``scale``."""
    if limits == "flat":
        return ()
    low, high = (float(scale(limit)) for limit in limits)
    middle, half = (low + high) / 2, (high - low) / 2
    sd = half / float(ndtri((1 + probability) / 2))

    def stated(centre: float, reach: float) -> list[float]:
        return [inverse(centre - reach), inverse(centre + reach)]

    return ((WEAKENED, _WIDE, stated(middle, WIDER * half)), (MOVED, _UP, stated(middle + sd, half)))


def _normal(mean_sd: tuple[float, float]) -> Variants:
    mean, sd = mean_sd
    return ((WEAKENED, _WIDE, [mean, WIDER * sd]), (MOVED, _UP, [mean + sd, sd]))


def _by_arm(by_arm: Mapping[str, tuple[float, float]]) -> Variants:
    """Of a mean and an SD in every arm, all changed together."""
    if not by_arm:
        return ()
    variants = {arm: _normal(pair) for arm, pair in by_arm.items()}
    return tuple(
        (how, label, {arm: [_rounded(x) for x in changed[i][2]] for arm, changed in variants.items()})
        for i, (how, label, _) in enumerate(next(iter(variants.values())))
    )


def _scale(sd: float) -> Variants:
    return ((WEAKENED, _WIDE, _rounded(WIDER * sd)), (NARROWED, _NARROW, _rounded(sd / WIDER)))


def _factor_variants(factor: float) -> Variants:
    """Of a factor whose logarithm is proportional to the scale of a half-normal prior."""
    wider = min(WIDER, float(np.log(MOST_CHANGE) / np.log(factor)))
    weakened = ((WEAKENED, f"SD x {significant(wider, 2)}", _rounded(factor**wider)),) if wider > 1.1 else ()
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


# --- every prior that is stated, and every study ------------------------------------------------------

_SYNTHESIS: dict[str, tuple[str, Rule]] = {
    "slope": ("slopes.hazard_ratio_per_10_points", _limits),
    "slope heterogeneity": ("slopes.heterogeneity", _scale),
    "slope between studies": ("slopes.between_studies", _scale),
    "bias of no limit": ("bias.by_arm", _by_arm),
    "arm effect": ("priors.hazard_ratio_arm", _limits),
    "arm heterogeneity": ("priors.arm_heterogeneity", _scale),
    "baseline": ("priors.median_months", _limits),
    "change over time": ("priors.hazard_change_per_year", _factor_variants),
    "level of studies": ("borrowing.level", _borrowed),
    "response": ("priors.response_probability", partial(_limits, scale=logit, inverse=_share)),
    "response between studies": ("borrowing.response", _borrowed),
    "early and final shrinkage": (
        "priors.early_late_correlation",
        partial(_limits, scale=np.arctanh, inverse=_correlation),
    ),
}


def _priors(
    plan: Plan, stated: Mapping[str, tuple[str, Rule]], values: Mapping[str, Any] | None = None
) -> Iterator[Step]:
    """The steps of priors by block: the key of each, and the rule by which its value is varied.

    ``values`` by key are those of priors that the specification leaves to the data.
    """
    for block, (key, rule) in stated.items():
        for how, label, value in rule((values or {}).get(key, attrgetter(key)(plan))):
            yield Step(f"{block}, {label}", block, how, {key: value})


@singledispatch
def _steps(prepared: Prepared) -> Iterator[Step]:
    raise NotImplementedError(type(prepared).__name__)


@_steps.register
def _of_patients(prepared: PreparedPatients) -> Iterator[Step]:
    plan, priors = prepared.plan, prepared.plan.priors
    used = {
        (free.key, type(job.measure))
        for job in prepared.jobs
        for free in free_variables(prepared.hazard(job), job.data).values()
    }
    limits = partial(_limits, probability=priors.probability)
    stated: dict[str, tuple[str, Rule]] = {}
    for key, states in priors.statements():
        if used & {(states.prior, measure) for measure in states.measures}:
            rule = _factor_variants if isinstance(getattr(priors, key), float) else limits
            stated[states.block] = (f"priors.{key}", rule)
    if priors.log_hazard is not None:
        stated["baseline"] = ("priors.log_hazard", _normal)
    # factors of change come after limits, as they always did: the order is that of the fits
    return _priors(plan, dict(sorted(stated.items(), key=lambda item: item[1][1] is _factor_variants)))


@_steps.register
def _of_network(prepared: PreparedNetwork) -> Iterator[Step]:
    used = prior_blocks(prepared.network)
    stated = {block: rule for block, rule in _SYNTHESIS.items() if block in used}
    yield from _priors(prepared.plan, stated, {"bias.by_arm": prepared.network.assumptions.bias})
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
