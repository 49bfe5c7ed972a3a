"""From a TOML file, or from plain values, to a validated specification."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bayes_net.errors import InputError, SpecificationError
from bayes_net.specification.base import Plan
from bayes_net.specification.fields import complaints
from bayes_net.specification.patients import PatientsPlan
from bayes_net.specification.shipped import shipped_models
from bayes_net.specification.synthesis import SynthesisPlan

MOST_BYTES, MOST_DEPTH = 10_000_000, 20
"""Bytes of a file, and tables or lists within one another, beyond which nobody meant a specification."""
_LONG_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){100}""")
"""A key with a hundred dots, with which a parser takes minutes."""


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
    if not isinstance(path, str | Path):
        raise SpecificationError(
            f"{path!r} is no specification; expected the name of a file or of an analysis"
        )
    path = Path(path)
    try:
        if not path.is_file():
            path = shipped_models().get(str(path), path)
        values = _parsed(path)
    except OSError as problem:
        raise SpecificationError(f"{path}: cannot be read ({problem.strerror})") from problem
    except UnicodeDecodeError as problem:
        raise SpecificationError(
            f"{path}: not UTF-8 text ({problem.reason} at byte {problem.start})"
        ) from problem
    except tomllib.TOMLDecodeError as problem:
        raise SpecificationError(f"{path}: not valid TOML: {problem}") from problem
    except InputError:
        raise
    except ValueError as problem:  # names that no file can have, and numbers that no machine holds
        raise SpecificationError(f"{str(path)!r}: cannot be read ({problem})") from problem
    except RecursionError as problem:
        raise SpecificationError(f"{path}: {_TOO_DEEP}") from problem
    return parse_specification(values, where=path)


def parse_specification(values: dict, *, where: Path) -> Plan:
    """The specification in plain ``values``, as read from the file ``where``: of a synthesis if it has a key
    model, evidence or cohorts."""
    _refuse_unwritable(values, where)
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


_TOO_DEEP = f"tables or lists lie more than {MOST_DEPTH} deep in one another; expected sections with keys"


def _parsed(path: Path) -> dict[str, Any]:
    """The plain values of a file that is not too large to be one."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise SpecificationError(
            f"{path}: more than {MOST_BYTES / 1e6:g} MB; expected a specification, which names its data files"
        )
    text = content.decode("utf-8-sig")  # a mark that some editors put first
    if _LONG_KEY.search(text):
        raise SpecificationError(f"{path}: a key has a hundred dots; expected section.key")
    return tomllib.loads(text.replace("\r\n", "\n"))


def _refuse_unwritable(values: Mapping[str, Any], where: Path) -> None:
    """Refuse values of which no file could be written, whoever made them."""
    level: list[Any] = [values]
    for _ in range(MOST_DEPTH):
        level = [part for each in level for part in _parts(each)]
    if level:
        raise SpecificationError(f"{where}: {_TOO_DEEP}")


def _parts(value: Any) -> Iterator[Any]:
    """What a table or list consists of, keys too; texts are looked at, and have no parts."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as problem:
            raise SpecificationError(f"{value!r} is no text: {problem.reason}; expected UTF-8") from problem
    elif isinstance(value, Mapping):
        yield from value
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value
