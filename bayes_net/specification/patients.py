"""A specification: one TOML file that says in full what is analysed and how.

It is a value: validated before anything runs, hashed into the result, compared in review. It holds
no code. Unknown keys are refused.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, PrivateAttr, model_validator

from bayes_net.data.exposure import Response, Shrinkage
from bayes_net.display import shown
from bayes_net.model.assumptions import Hazard
from bayes_net.specification.fields import repeated
from bayes_net.specification.sections import (
    BaselineSection,
    CensoringSection,
    CovariateSection,
    DataSection,
    Grid,
    LandmarkSection,
    PriorSection,
    ReportSection,
    SamplingSection,
    Scenarios,
    Section,
    listed_tables,
    without_empty,
    without_identifiers,
)


class PatientsPlan(Section):
    """A whole analysis."""

    title: str
    description: str = ""
    data: DataSection
    landmarks: LandmarkSection
    slopes: Literal["per arm", "common", "time-varying"] = "per arm"
    covariates: Annotated[tuple[CovariateSection, ...], listed_tables("covariates")] = ()
    baseline: BaselineSection
    priors: PriorSection = PriorSection()
    censoring: CensoringSection | None = None
    sampling: SamplingSection
    report: ReportSection = ReportSection()
    scenarios: Scenarios = ()
    grid: Grid = Field(default_factory=dict)
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _parts_agree(self) -> PatientsPlan:
        if twice := repeated(covariate.name for covariate in self.covariates):
            raise ValueError(f"covariates has {', '.join(twice)} twice")
        cuts = self.baseline.cuts
        without = [e for e in self.landmarks.endpoints if isinstance(cuts, dict) and e not in cuts]
        if without:
            raise ValueError(f"baseline.cuts has no cut-points for {', '.join(without)}")
        return self

    @property
    def folder(self) -> Path:
        """Where relative paths of data files start."""
        return self._folder

    @property
    def values(self) -> dict[str, Any]:
        """The analysis as plain values, defaults included, without its scenarios: what these change."""
        return {key: value for key, value in self._plain.items() if key not in ("scenarios", "grid")}

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
        """Every value that holds, defaults included, as TOML and JSON know values."""
        plain = without_empty(self.model_dump(mode="json", exclude_none=True))
        if "log_hazard" in plain["priors"]:  # it takes the place of the default median
            del plain["priors"]["median_months"]
        return plain

    @property
    def digest(self) -> str:
        """SHA-256 of the content: comments and order of keys do not change it."""
        return hashlib.sha256(json.dumps(self._plain, sort_keys=True).encode()).hexdigest()

    def public_toml(self) -> str:
        """The whole specification, defaults included, as TOML without patient identifiers."""
        return tomli_w.dumps(without_identifiers(self._plain))

    def __repr__(self) -> str:
        return f"<specification: {self.title}, SHA-256 {self.digest[:12]}>"

    def _repr_html_(self) -> str:
        facts = [self.description] if self.description else []
        return shown(self.title, facts, folded={"Specification (TOML)": self.public_toml()})

    def with_seed(self, seed: int | None) -> PatientsPlan:
        """The same analysis with another seed (None keeps its own)."""
        if seed is None:
            return self
        return self.model_copy(update={"sampling": self.sampling.model_copy(update={"seed": seed})})
