"""From a TOML file, or from plain values, to a validated specification, and back."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bayes_net.errors import InputError, SpecificationError
from bayes_net.files.writing import write_new
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


def write_specification(specification: Plan, path: str | Path, *, defaults: bool = False) -> Path:
    """Write a specification as a TOML file with a comment above each key, and return where it is.

    Keys that have their default are left out, unless ``defaults``. Relative paths of data files start at the
    folder of the specification: in another folder they are written so that they lead to the same files.

    Raises
    ------
    InputError
        There is a file already, which is left as it is, or none can be written there.
    """
    path = Path(path)
    there = path.resolve().parent
    moved = specification
    if there != specification.folder:
        moved = specification.with_(**_moved(specification.said, specification.folder, there))
    write_new({path: moved.to_toml(defaults=defaults).encode()})
    return path


def _moved(plain: Mapping[str, Any], here: Path, there: Path) -> dict[str, Any]:
    """What names files, with paths that lead from another folder to the same ones."""

    def lead(value: Any) -> Any:
        if isinstance(value, list):
            return [lead(each) for each in value]
        target = Path(os.path.normpath(here / value))
        return target.relative_to(there).as_posix() if target.is_relative_to(there) else str(target)

    def led(key: str, value: Any) -> Any:
        """A value of a key with dots, such as stands in a scenario, or of a table of data."""
        found = _OF_FILES.fullmatch(key)
        if found and isinstance(value, Mapping) and not found["key"]:
            return {name: led(f"{key}.{name}", each) for name, each in value.items()}
        if found and isinstance(value, list) and not found["key"]:
            return [led(key, each) for each in value]
        return lead(value) if found and found["key"] in FILES else value

    changed = {key: led(key, value) for key, value in plain.items()}
    if "scenarios" in plain:
        changes = [
            {key: led(key, value) for key, value in each["change"].items()} for each in plain["scenarios"]
        ]
        named = zip(plain["scenarios"], changes, strict=True)
        changed["scenarios"] = [{"name": each["name"], "change": change} for each, change in named]
    if "grid" in plain:
        changed["grid"] = {key: [led(key, each) for each in values] for key, values in plain["grid"].items()}
    return changed


FILES = ("patients", "scans", "adam", "files")
_OF_FILES = re.compile(r"(data|evidence|cohorts(\.\d+)?)(\.(?P<key>\w+))?")
"""Tables that name files of data, alone or with one of their keys."""
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
