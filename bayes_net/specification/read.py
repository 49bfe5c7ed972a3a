"""From a TOML file, or from plain values, to a validated specification."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from bayes_net.errors import InputError, SpecificationError
from bayes_net.specification.base import Plan
from bayes_net.specification.fields import complaints
from bayes_net.specification.patients import PatientsPlan
from bayes_net.specification.shipped import shipped_models
from bayes_net.specification.synthesis import SynthesisPlan


def read_specification(path: str | Path) -> Plan:
    """The validated specification in ``path``, or of the shipped analysis of that name; data paths in it are
    relative to the file.

    A file with a section [model], [evidence] or [[cohorts]] specifies a synthesis.

    Raises
    ------
    SpecificationError
        The file is missing or no TOML, a key is unknown, or a value is not allowed: every problem is
        named with its key and what is allowed.
    """
    path = Path(path)
    if not path.is_file():
        path = shipped_models().get(str(path), path)
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
    return parse_specification(values, where=path)


def parse_specification(values: dict, *, where: Path) -> Plan:
    """The specification in plain ``values``, as read from the file ``where``: of a synthesis if it has a key
    model, evidence or cohorts."""
    of_synthesis = bool(values.keys() & {"model", "evidence", "cohorts"})
    kind = SynthesisPlan if of_synthesis else PatientsPlan
    try:
        plan = kind.model_validate(values)
        plan._folder = where.resolve().parent
        plan.check()
    except (ValidationError, InputError) as problem:
        lines = [str(problem)]
        if isinstance(problem, ValidationError):
            lines = complaints(problem.errors(), top=kind, sections=kind.sections())
        message = f"{where}: the specification is not usable\n  " + "\n  ".join(lines)
        raise SpecificationError(message, problems=lines) from None
    return plan
