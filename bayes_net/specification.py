"""A specification: one TOML file that says in full what is analysed and how.

It is a value: validated before anything runs, hashed into the result, compared in review. It holds
no code. Unknown keys are refused.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, Field, PrivateAttr, ValidationError, model_validator

from bayes_net._complaints import complaints
from bayes_net._fields import repeated
from bayes_net._notebook import shown
from bayes_net._sections import (
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
    ScenarioSection,
    Section,
    listed_tables,
    without_empty,
    without_identifiers,
)
from bayes_net.errors import SpecificationError
from bayes_net.exposure import Response, Shrinkage
from bayes_net.pool_specification import PoolSpecification, parse_pool_specification
from bayes_net.structure import Hazard


class Specification(Section):
    """A whole analysis."""

    title: str
    description: str = ""
    data: DataSection
    landmarks: LandmarkSection
    slopes: Literal["per arm", "common"] = "per arm"
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
    def _parts_agree(self) -> Specification:
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

    def with_seed(self, seed: int | None) -> Specification:
        """The same analysis with another seed (None keeps its own)."""
        if seed is None:
            return self
        return self.model_copy(update={"sampling": self.sampling.model_copy(update={"seed": seed})})


SECTIONS: dict[str, type[BaseModel]] = {
    "data": DataSection,
    "landmarks": LandmarkSection,
    "covariates": CovariateSection,
    "baseline": BaselineSection,
    "priors": PriorSection,
    "censoring": CensoringSection,
    "sampling": SamplingSection,
    "report": ReportSection,
    "scenarios": ScenarioSection,
}
"""The tables of a specification by name; ``covariates`` may come several times."""


def read_specification(path: str | Path) -> Specification | PoolSpecification:
    """The validated specification in ``path``; data paths in it are relative to the file.

    A file with a section [model], [evidence] or [[cohorts]] specifies a synthesis.

    Raises
    ------
    SpecificationError
        The file is missing or no TOML, a key is unknown, or a value is not allowed: every problem is
        named with its key and what is allowed.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # a mark that some editors put first
    except OSError as problem:
        raise SpecificationError(f"{path}: cannot be read ({problem.strerror})") from problem
    except UnicodeDecodeError as problem:
        raise SpecificationError(
            f"{path}: not UTF-8 text ({problem.reason} at byte {problem.start})"
        ) from problem
    except tomllib.TOMLDecodeError as problem:
        raise SpecificationError(f"{path}: not valid TOML: {problem}") from problem
    if values.keys() & {"model", "evidence", "cohorts"}:
        return parse_pool_specification(values, where=path)
    return parse_specification(values, where=path)


def parse_specification(values: dict, *, where: Path) -> Specification:
    """The specification in plain ``values``, as read from the file ``where``."""
    try:
        specification = Specification.model_validate(values)
    except ValidationError as problem:
        lines = complaints(problem.errors(), top=Specification, sections=SECTIONS)
        raise SpecificationError(
            f"{where}: the specification is not usable\n  " + "\n  ".join(lines)
        ) from None
    specification._folder = where.resolve().parent
    return specification
