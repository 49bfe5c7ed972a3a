"""The table [priors] of a specification: statements about observable quantities, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from bayes_net.assumptions.priors import (
    Flat,
    Normal,
    Prior,
    Priors,
    between_responses,
    contrast_prior,
    hazard_change_prior,
    hazard_ratio_prior,
    median_survival_prior,
    response_prior,
    slope_change_prior,
)
from bayes_net.data.terms import Measure, Response, Shrinkage, WithoutShrinkage
from bayes_net.numbers import significant
from bayes_net.schema import POINTS_PER_UNIT
from bayes_net.specification.fields import Limits, Number, Positive, Share
from bayes_net.specification.sections import Section


class States(NamedTuple):
    """What a key of [priors] states: a field of ``Priors``, as a distribution of its value and a probability;
    its name in an audit; and the measures of shrinkage that it is about."""

    prior: str
    distribution: Callable[..., Prior]
    block: str
    measures: tuple[type, ...] = (Shrinkage, Response, WithoutShrinkage)


def _or_flat(distribution: Callable[..., Prior]) -> Callable[..., Prior]:
    return lambda limits, ci_prob: Flat() if limits == "flat" else distribution(*limits, ci_prob=ci_prob)


_ratio, _median = _or_flat(hazard_ratio_prior), _or_flat(median_survival_prior)


MOST_CHANGE = 1000.0
RARE_MONTHS = 2000.0
"""Longest median time to a step from state to state that its prior holds for likely."""
CONTRADICTION = 0.25
"""Share of a derived prior's half width, on the log scale, by which a stated limit may be away from its."""


Change = Annotated[Number, Field(gt=1, le=MOST_CHANGE)]
"""A factor within which hazards, or hazard ratios, a year apart are."""


class PriorSection(Section):
    """Priors as statements about observable quantities; each pair holds with ``probability``."""

    probability: Share = 0.95
    """With this probability each pair of limits below holds."""
    median_months: Annotated[Limits, States("level", _median, "baseline")] = (2.0, 80.0)
    """Median survival after the landmark in months."""
    hazard_change_per_year: Annotated[Change, States("step_sd", hazard_change_prior, "change over time")] = (
        4.0
    )
    """Hazards a year apart are within this factor (`rw1`)."""
    log_hazard: tuple[Number, Positive] | None = None
    """Instead of the median: mean and SD of the log hazard per month (of each interval, where they are
    `independent`)."""
    hazard_ratio_per_10_points: Annotated[Limits, States("slope", _ratio, "slope", (Shrinkage,))] = (0.5, 2.0)
    """Hazard ratio per 10 points of shrinkage; where only that of response is stated, it follows from
    it."""
    hazard_ratio_response: Annotated[
        Limits | None, States("slope", _ratio, "slope of response", (Response,))
    ] = None
    """Hazard ratio of response against none; left out, it follows from that per 10 points and the points
    that lie between responders and others."""
    hazard_ratio_arm: Annotated[Limits, States("arm_effect", _ratio, "arm effect")] = (0.1, 10.0)
    """Hazard ratio of an arm against the first (`shared` baseline)."""
    hazard_ratio_covariate: Annotated[Limits, States("covariate", _ratio, "covariates")] = (0.25, 4.0)
    """Hazard ratio of each covariate."""
    hazard_ratio_change_per_year: Annotated[
        Change,
        States("slope_step_sd", slope_change_prior, "change of the slope over time"),
    ] = 2.0
    """Of slopes that vary over time: hazard ratios a year apart (per 10 points, or of response) are within
    this factor."""

    @model_validator(mode="after")
    def _one_level(self) -> PriorSection:
        if {"median_months", "log_hazard"} <= self.model_fields_set:
            raise ValueError("median_months and log_hazard say the same thing in two ways: give one of them")
        return self

    @property
    def telling(self) -> tuple[str, ...]:
        """Beside a hazard ratio of response, that per 10 points follows from it where it is left out."""
        return () if self.hazard_ratio_response is None else ("hazard_ratio_per_10_points",)

    @property
    def of_transitions(self) -> PriorSection:
        """The statements about steps from state to state: the median time to one may be as long as
        ``RARE_MONTHS``, since few die before progression."""
        if "log_hazard" in self.model_fields_set or self.median_months == "flat":
            return self
        lower, upper = self.median_months
        return self.model_copy(update={"median_months": (lower, max(upper, RARE_MONTHS))})

    @property
    def derived(self) -> str | None:
        """Which of the two hazard ratios of shrinkage follows from the other; None: both are stated."""
        if self.hazard_ratio_response is None:
            return "hazard_ratio_response"
        return None if "hazard_ratio_per_10_points" in self.model_fields_set else "hazard_ratio_per_10_points"

    def statements(self) -> Iterator[tuple[str, States]]:
        """Each key that states a prior; of shrinkage, one may state that of all its measures."""
        derived = self.derived
        for key, info in type(self).model_fields.items():
            for states in info.metadata:
                if isinstance(states, States) and key != derived:
                    both = derived is not None and states.prior == "slope"
                    yield key, states._replace(measures=(Shrinkage, Response)) if both else states

    def contradiction(self, apart: float | None) -> str:
        """What is wrong where hazard ratios per 10 points and of response are both stated, and a limit of the
        one is far from what follows from the other; else nothing."""
        given, per_ten = self.hazard_ratio_response, self.hazard_ratio_per_10_points
        if self.derived is not None or "flat" in (given, per_ten):
            return ""
        points, _ = between_responses(apart)
        stated, ten = np.log(np.array([given, per_ten], float))
        follows = ten * points / POINTS_PER_UNIT
        if np.abs(stated - follows).max() <= CONTRADICTION * np.ptp(follows) / 2:
            return ""
        pairs = (" to ".join(significant(x, 2) for x in np.exp(pair)) for pair in (stated, ten, follows))
        said, per, implied = pairs
        return (
            f"priors.hazard_ratio_response is {said}, but hazard ratios of {per} per 10 points mean "
            f"{implied} over the {points:g} points between responders and others: the two priors contradict "
            "each other. Leave one of them out, and it follows from the other"
        )

    def values(self, measure: Measure, apart: float | None = None) -> Priors:
        """The distributions that the statements mean, for one way in which shrinkage enters.

        Responders have shrunk by ``apart`` points more than others (None: not known, then ``ASSUMED_APART``).
        """
        priors: dict[str, Any] = {
            states.prior: states.distribution(getattr(self, key), ci_prob=self.probability)
            for key, states in self.statements()
            if isinstance(measure, states.measures)
        }
        if isinstance(measure, Response) and self.derived == "hazard_ratio_response":
            priors["slope"] = response_prior(priors["slope"], apart)
        if isinstance(measure, Shrinkage) and self.derived == "hazard_ratio_per_10_points":
            points, between = between_responses(apart)
            over = f"of response, shared out over {between}"
            priors["slope"] = contrast_prior(priors["slope"], POINTS_PER_UNIT / points, over=over)
        if self.log_hazard is not None:
            mean, sd = self.log_hazard
            priors["level"] = Normal(mean, sd, f"log hazard per month N({mean:g}, {sd:g})")
        return Priors(**priors)
