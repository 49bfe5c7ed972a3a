"""The specification of an analysis of patients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator

from bayes_net.data.exposure import Response, Shrinkage
from bayes_net.model.assumptions import SLOPE_FORMS, Hazard
from bayes_net.specification import sections
from bayes_net.specification.base import Plan
from bayes_net.specification.fields import repeated


class PatientsPlan(Plan):
    """A whole analysis of patients."""

    data: sections.DataSection
    landmarks: sections.LandmarkSection
    slopes: Literal[tuple(SLOPE_FORMS)] = "per arm"
    """A slope of shrinkage in each arm, one that is common to all arms, or one in each arm that varies over
    the intervals after the landmark."""
    covariates: Annotated[tuple[sections.CovariateSection, ...], sections.listed_tables("covariates")] = ()
    baseline: sections.BaselineSection
    priors: sections.PriorSection = sections.PriorSection()
    censoring: sections.CensoringSection | None = None
    sampling: sections.SamplingSection
    report: sections.ReportSection = sections.ReportSection()

    @model_validator(mode="after")
    def _parts_agree(self) -> PatientsPlan:
        if twice := repeated(covariate.name for covariate in self.covariates):
            raise ValueError(f"covariates has {', '.join(twice)} twice")
        cuts = self.baseline.cuts
        without = [e for e in self.landmarks.endpoints if isinstance(cuts, dict) and e not in cuts]
        if without:
            raise ValueError(f"baseline.cuts has no cut-points for {', '.join(without)}")
        return self

    def hazard(self, measure: Shrinkage | Response) -> Hazard:
        """The hazard model for one way in which shrinkage enters."""
        return Hazard(
            baseline=self.baseline.arms,
            smoothing=self.baseline.smoothing,
            slopes=self.slopes,
            priors=self.priors.values(measure),
        )

    @property
    def _plain(self) -> dict[str, Any]:
        plain = super()._plain
        if "log_hazard" in plain["priors"]:  # it takes the place of the default median
            del plain["priors"]["median_months"]
        return plain
