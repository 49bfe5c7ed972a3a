"""The analyses that come with the package, and how to find them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ValidationError

from bayes_net.errors import SpecificationError
from bayes_net.specification.fields import complaints
from bayes_net.specification.patients import PatientsPlan
from bayes_net.specification.sections import (
    BaselineSection,
    CensoringSection,
    CovariateSection,
    DataSection,
    LandmarkSection,
    PriorSection,
    ReportSection,
    SamplingSection,
    ScenarioSection,
)
from bayes_net.specification.synthesis import SynthesisPlan, parse_synthesis

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


def read_specification(path: str | Path) -> PatientsPlan | SynthesisPlan:
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
        return parse_synthesis(values, where=path)
    return parse_specification(values, where=path)


def parse_specification(values: dict, *, where: Path) -> PatientsPlan:
    """The specification in plain ``values``, as read from the file ``where``."""
    try:
        specification = PatientsPlan.model_validate(values)
    except ValidationError as problem:
        lines = complaints(problem.errors(), top=PatientsPlan, sections=SECTIONS)
        raise SpecificationError(
            f"{where}: the specification is not usable\n  " + "\n  ".join(lines)
        ) from None
    specification._folder = where.resolve().parent
    return specification
