"""The specification of an analysis of patients."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bayes_net.assumptions.hazard import PER_ARM, SLOPE_FORMS, Hazard
from bayes_net.assumptions.priors import INDEPENDENT, NONE, shared_out
from bayes_net.data.follow_up import TIME_DEPENDENT
from bayes_net.data.landmarks import landmark_times
from bayes_net.data.terms import Measure, TrueShrinkage, WithoutShrinkage
from bayes_net.errors import listed
from bayes_net.schema import OS, PFS
from bayes_net.specification import sections
from bayes_net.specification.base import Plan
from bayes_net.specification.data import CovariateSection, DataSection
from bayes_net.specification.fields import LandmarkOrZero, Length, Number, Whole, repeated
from bayes_net.specification.priors import PriorSection

Ratio = Annotated[Number, Field(ge=0.01, le=100)]
"""A hazard ratio per 10 points that a study could be about."""


class DesignSection(sections.Section):
    """A planned study whose chances `bayes-net design` tells; a run takes no notice of it."""

    sample_sizes: Annotated[tuple[Annotated[Whole, Field(ge=10, le=100_000)], ...], Field(min_length=1)]
    """Patients who enter, of all arms together, as many in each; one study for each number."""
    accrual: Length
    """Time over which they enter, evenly."""
    follow_up: Length
    """From the last entry to the analysis."""
    endpoint: Literal["pfs", "os"] | None = None
    """The endpoint of the decision. Default: the first of `landmarks.endpoints`."""
    landmark: LandmarkOrZero | None = None
    """The landmark of the decision. Default: the first of `landmarks.times`."""
    rule: Literal["below", "interval excludes"] = "below"
    """The study succeeds where the hazard ratio is below `hazard_ratio` with a probability above `certainty`;
    by `"interval excludes"` also where it is above it with that probability."""
    hazard_ratio: Ratio = 1.0
    """The hazard ratio of the rule, per 10 points of shrinkage."""
    certainty: Annotated[Number, Field(gt=0.5, lt=1)] = 0.975
    """The probability of the rule."""
    truths: tuple[Ratio, ...] = (0.9, 0.8)
    """True hazard ratios whose power is told, beside 1, no association."""
    dropout_per_year: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Share of patients who are lost to follow-up in a year."""
    simulations: Annotated[Whole, Field(ge=10, le=1_000_000)] = 500
    """Simulated studies for each number of patients and each truth."""

    @model_validator(mode="after")
    def _one_of_each(self) -> DesignSection:
        for key, values in (("sample_sizes", self.sample_sizes), ("truths", self.truths)):
            if twice := repeated(f"{value:g}" for value in values):
                raise ValueError(f"{key} has {', '.join(twice)} twice")
        return self


class MeasurementSection(sections.Section):
    """Scans measure sums of diameters with error, which makes hazard ratios of shrinkage too close to 1;
    without this section the best shrinkage is taken as measured."""

    sd: Annotated[Number, Field(ge=0.001, le=0.5)]
    """Standard deviation of the logarithm of a sum at each scan, the baseline too: 0.07 is an error of 7 %.
    Two readers of the same scan differ by √2 times as much."""


class PatientsPlan(Plan):
    """A whole analysis of patients."""

    data: DataSection
    landmarks: sections.LandmarkSection
    slopes: Literal[tuple(SLOPE_FORMS)] = "per arm"
    """A slope of shrinkage in each arm, one that is common to all arms, or one in each arm that varies over
    the intervals after the landmark. `"none"`: a model of arms and covariates alone, which needs no scans and
    takes everyone at risk, from randomisation with the landmark `0d`."""
    covariates: Annotated[tuple[CovariateSection, ...], sections.listed_tables("covariates")] = ()
    baseline: sections.BaselineSection
    priors: PriorSection = PriorSection()
    missing: sections.MissingSection | None = None
    measurement: MeasurementSection | None = None
    censoring: sections.CensoringSection | None = None
    sampling: sections.SamplingSection
    report: sections.ReportSection = sections.ReportSection()
    design: DesignSection | None = None

    @model_validator(mode="after")
    def _parts_agree(self) -> PatientsPlan:
        if twice := repeated(covariate.name for covariate in self.covariates):
            raise ValueError(f"covariates has {', '.join(twice)} twice")
        cuts = self.baseline.cuts
        without = [e for e in self.landmarks.endpoints if isinstance(cuts, dict) and e not in cuts]
        if without:
            raise ValueError(f"baseline.cuts has no cut-points for {', '.join(without)}")
        if self.landmarks.transitions:
            self._of_states()
        if self.landmarks.joint == sections.HIERARCHICAL and self.censoring is not None:
            raise ValueError(
                'landmarks.joint = "hierarchical" needs the likelihood of every patient as observed; remove '
                "[censoring], which completes follow-up"
            )
        if self.missing is not None:
            self._completed()
        if self.measurement is not None:
            self._with_error()
        if self.slopes == NONE:
            self._without_shrinkage()
        elif self.data.lacks_scans:
            raise ValueError(
                'data is missing: scans; without any, slopes = "none" asks for arms and covariates alone'
            )
        elif landmark_times(self.landmarks.times)[0].limit == 0:
            raise ValueError(
                "landmarks.times begins at time zero, when no scan is after the baseline; expected later "
                'times, or slopes = "none"'
            )
        return self

    def _of_states(self) -> None:
        """What follows patients from state to state needs both endpoints, and follow-up as it was."""
        if OS not in self.landmarks.endpoints or self.slopes == NONE or self.censoring is not None:
            raise ValueError(
                'landmarks.transitions is about the patients of OS and their shrinkage: it needs "os" among '
                'landmarks.endpoints, slopes other than "none", and no [censoring]'
            )
        if isinstance(self.baseline.cuts, dict) and PFS not in self.baseline.cuts:
            raise ValueError("landmarks.transitions needs cut-points for pfs too in baseline.cuts")

    def _completed(self) -> None:
        """What needs each patient's own covariates, and what would be imputed at once with them."""
        together = self.landmarks.joint == sections.HIERARCHICAL
        if self.censoring is not None or self.landmarks.transitions or self.report.prediction or together:
            raise ValueError(
                "[missing] completes the covariates of each landmark's patients for its own models alone: "
                'remove it, or [censoring], landmarks.transitions, landmarks.joint = "hierarchical" and '
                "report.prediction"
            )

    def _with_error(self) -> None:
        """Nothing that is asked for takes best shrinkage to be exact."""
        asked = {
            'slopes = "none"': self.slopes == NONE,
            "landmarks.thresholds": bool(self.landmarks.thresholds),
            "landmarks.transitions": self.landmarks.transitions,
            "[missing]": self.missing is not None,
            "[censoring]": self.censoring is not None,
            "report.prediction": self.report.prediction,
        }
        if given := [key for key, there in asked.items() if there]:
            raise ValueError(
                "[measurement] is about the best shrinkage of each patient as a number, at each landmark: "
                f"remove it, or {listed(given)}"
            )
        if self.has_joint_model:
            raise ValueError(
                "[measurement] is about landmarks, and the model of all follow-up takes shrinkage as "
                'measured; expected landmarks.joint = "none" or "hierarchical"'
            )

    @property
    def missing_covariates(self) -> str:
        """What becomes of covariates that are missing of some patients."""
        return "refuse" if self.missing is None else "keep"

    def _without_shrinkage(self) -> None:
        """Nothing that is asked for is about shrinkage."""
        if landmark_times(self.landmarks.times)[-1].biased:
            raise ValueError(
                'landmarks.times has "no limit", which is about shrinkage; with slopes = "none" expected '
                'durations, such as "0d", randomisation'
            )
        if self.landmarks.scan_window.days:
            raise ValueError('landmarks.scan_window is about scans; remove it with slopes = "none"')
        if self.landmarks.thresholds:
            raise ValueError('landmarks.thresholds are about shrinkage; remove them with slopes = "none"')
        if self.baseline.arms == PER_ARM and not self.covariates:
            raise ValueError(
                'slopes = "none" leaves no hazard ratio where arms have baselines of their own; expected '
                'baseline.arms = "shared", or covariates'
            )

    @property
    def has_joint_model(self) -> bool:
        """Whether a model of all follow-up stands beside those of the landmarks, of which there are several.
        With [censoring] there is none: follow-up is then completed from each landmark on."""
        return self._beside_landmarks(TIME_DEPENDENT) and self.censoring is None

    @property
    def shares_slopes(self) -> bool:
        """Whether an arm's slopes at several landmarks share a mean, by a composite likelihood."""
        return self._beside_landmarks(sections.HIERARCHICAL)

    def _beside_landmarks(self, joint: str) -> bool:
        """Whether this is asked for, and there are slopes at several true landmarks."""
        several = sum(not at.biased for at in landmark_times(self.landmarks.times)) > 1
        return self.landmarks.joint == joint and several and self.slopes != NONE

    def measures(self) -> tuple[Measure, ...]:
        """The ways in which shrinkage enters, each a model of its own."""
        if self.slopes == NONE:
            return (WithoutShrinkage(),)
        as_measured = self.landmarks.measures()
        if self.measurement is None:
            return as_measured
        return (*as_measured, TrueShrinkage(self.landmarks.shrinkage_reference, self.measurement.sd))

    def hazard(
        self, measure: Measure, intervals: int, apart: float | None = None, *, transition: bool = False
    ) -> Hazard:
        """The hazard model for one way in which shrinkage enters, with so many intervals, where responders
        have shrunk by ``apart`` points more than others (None: not known); of a ``transition`` from state to
        state median times may be longer, some of which are rare.

        Independent intervals have a prior each. A statement about median survival is about all of them: each
        has the square root of their number times its standard deviation, so that together they say as much,
        and do not pull slopes the more the more intervals there are.
        """
        priors = (self.priors.of_transitions if transition else self.priors).values(measure, apart)
        if self.baseline.smoothing == INDEPENDENT and "log_hazard" not in self.priors.model_fields_set:
            priors = replace(priors, level=shared_out(priors.level, intervals))
        return Hazard(
            baseline=self.baseline.arms, smoothing=self.baseline.smoothing, slopes=self.slopes, priors=priors
        )

    @property
    def _plain(self) -> dict[str, Any]:
        plain = super()._plain
        if "log_hazard" in plain["priors"]:  # it takes the place of the default median
            del plain["priors"]["median_months"]
        if (derived := self.priors.derived) is not None:  # written down, it would be a statement
            plain["priors"].pop(derived, None)
        return plain
