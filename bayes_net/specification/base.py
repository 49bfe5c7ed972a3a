"""What every specification can do, whatever it is of: patients, or a synthesis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

from pydantic import Field, PrivateAttr, ValidationError

from bayes_net.display import notebook_html
from bayes_net.errors import InputError, SpecificationError
from bayes_net.files.toml import assigned, comment, document
from bayes_net.labels import QUICK_LOOK
from bayes_net.specification.fields import complaints
from bayes_net.specification.sections import (
    ALTERNATIVES,
    Grid,
    SamplingSection,
    Scenarios,
    Section,
    without_empty,
    without_identifiers,
)


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that a field is, or has several of, or may leave out."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


class JustificationSection(Section):
    """Reasons that no program knows, in your words: the report's part for regulators has each in place."""

    priors: str = ""
    """Why each prior was chosen, and on which data or whose judgement it is based."""
    conflict: str = ""
    """What is done where priors and data conflict, fixed before the data were seen."""
    success: str = ""
    """The criterion of success, the posterior probability that it needs, and why that one."""
    operating_characteristics: str = ""
    """Error rates of that criterion in simulated trials, or why there are none."""
    comparability: str = ""
    """Why information from outside the trial may be compared with it: who, when, measured how."""
    fixed: str = ""
    """When and where this specification was fixed."""


class Plan(Section):
    """A whole analysis: one TOML file that says in full what is analysed and how.

    It is a value: validated before anything runs, hashed into the result, compared in review. It holds no
    code, and unknown keys are refused.
    """

    title: str
    """Title of the report."""
    description: str = ""
    """Text for the report's reader."""
    grid: Grid = Field(default_factory=dict)
    scenarios: Scenarios = ()
    justification: JustificationSection | None = None
    _folder: Path = PrivateAttr(default=Path())
    _name: ClassVar[str] = "specification"

    if TYPE_CHECKING:  # fields of every kind of plan, which keep their places in the file
        sampling: SamplingSection
        report: Any

    @classmethod
    def sections(cls) -> dict[str, type[Section]]:
        """The tables of a specification by name; some may come several times."""
        found = {name: _section_in(info.annotation) for name, info in cls.model_fields.items()}
        return without_empty({name: section for name, section in found.items() if section})

    def check(self) -> None:
        """Refuse values that are each allowed but together make no model."""

    @property
    def folder(self) -> Path:
        """Where relative paths of data files start."""
        return self._folder

    @property
    def _plain(self) -> dict[str, Any]:
        """Every value that holds, defaults included, as TOML and JSON know values."""
        return without_empty(self.model_dump(mode="json", exclude_none=True))

    @property
    def values(self) -> dict[str, Any]:
        """The analysis as plain values, defaults included, without its scenarios: what these change."""
        return {key: value for key, value in self._plain.items() if key not in ALTERNATIVES}

    @property
    def said(self) -> dict[str, Any]:
        """What is stated, as plain values: without the defaults of all else."""
        return without_empty(self.model_dump(mode="json", exclude_none=True, exclude_unset=True))

    @property
    def digest(self) -> str:
        """SHA-256 of the content: comments and order of keys do not change it."""
        return hashlib.sha256(json.dumps(self._plain, sort_keys=True).encode()).hexdigest()

    def public_toml(self) -> str:
        """The whole specification, defaults included, as TOML without patient identifiers."""
        return document(without_identifiers(self._plain))

    def to_toml(self, *, defaults: bool = False) -> str:
        """The specification as a TOML file to read and to edit: above each key what it is.

        Keys that have their default are left out, unless ``defaults``. Patients to exclude stand in it by
        their identifiers, as in the file it was read from.
        """
        note = "every key" if defaults else "keys that have their default are left out"
        lines = [f"# A specification of bayes-net, written by it; {note}.", ""]
        lines += _lines(self, self._plain, "", defaults, set())
        return "\n".join(lines).rstrip() + "\n"

    def __repr__(self) -> str:
        return f"<{self._name}: {self.title}, SHA-256 {self.digest[:12]}>"

    def _repr_html_(self) -> str:
        facts = [self.description] if self.description else []
        return notebook_html(self.title, facts, folded={"Specification (TOML)": self.public_toml()})

    def with_(self, **changes: Any) -> Self:
        """The same analysis with other values: ``with_(title="x", priors={"median_months": (4, 40)})`` keeps
        what else is in ``[priors]``; None takes a key out.

        Raises
        ------
        SpecificationError
            A key is unknown, or a value is not allowed: every problem is named.
        """
        try:
            plan = type(self).model_validate(_merged(self.said, changes))
            plan._folder = self._folder
            plan.check()
        except (ValidationError, InputError) as problem:
            lines = [str(problem)]
            if isinstance(problem, ValidationError):
                lines = complaints(problem.errors(), top=type(self), sections=self.sections())
            message = "the changed specification is not usable\n  " + "\n  ".join(lines)
            raise SpecificationError(message, problems=lines) from None
        return plan

    _quick: ClassVar[dict[str, Any]] = {"sampling": {"draws": 500, "tune": 500, "retry": False}}
    """What a quick look changes. With a quarter of the usual draws most models miss the gate, and nothing of
    them is summarised; with half of them few do."""

    def quick(self) -> Self:
        """The analysis for a first look, which says so in its title."""
        return self.with_(title=f"{QUICK_LOOK}: {self.title}", **self._quick)

    def with_seed(self, seed: int | None) -> Self:
        """The same analysis with another seed (None keeps its own)."""
        if seed is None:
            return self
        return self.model_copy(update={"sampling": self.sampling.model_copy(update={"seed": seed})})


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the changes in their places, table by table."""
    tables = {
        key: _merged(values[key], new)
        for key, new in changes.items()
        if isinstance(new, Mapping) and isinstance(values.get(key), Mapping)
    }
    return {key: value for key, value in {**values, **changes, **tables}.items() if value is not None}


def _lines(
    section: Section, plain: Mapping[str, Any], path: str, defaults: bool, told: set[str]
) -> Iterator[str]:
    """A section's keys with their comments, then the tables in it; keys in ``told`` had their comment in an
    earlier table of the same list."""
    tables = [key for key in plain if isinstance(getattr(section, key), Section) or key in _SEVERAL]
    for key, info in type(section).model_fields.items():
        if key in plain and key not in tables and (defaults or _differs(section, key)):
            yield from () if key in told else comment(info.description)
            yield assigned(key, plain[key])
            told.add(key)
    for key in tables:
        value, name = getattr(section, key), f"{path}.{key}" if path else key
        if isinstance(value, Section):
            yield from _table(section, key, plain[key], name, defaults)
        else:
            known: set[str] = set()
            for each, own in zip(value, plain[key], strict=True):
                yield from ["", *([] if known else comment(type(each).__doc__)), f"[[{name}]]"]
                yield from _lines(each, own, name, defaults, known)


def _table(section: Section, key: str, plain: Mapping[str, Any], name: str, defaults: bool) -> Iterator[str]:
    """A table within a section, with its heading unless it holds tables alone, or nothing is said in it."""
    value, info = getattr(section, key), type(section).model_fields[key]
    lines = list(_lines(value, plain, name, defaults, set()))
    of_tables = any(isinstance(part, Section) for part in value.__dict__.values())
    if not of_tables and (lines or info.is_required() or value != info.default):
        yield from ["", "", *comment(type(value).__doc__), f"[{name}]"]
    yield from lines


_SEVERAL = ("covariates", "cohorts", "scenarios")
"""Sections that may come several times."""


def _differs(section: Section, key: str) -> bool:
    """Whether a key says something that leaving it out would not say."""
    info = type(section).model_fields[key]
    stated = key in section.telling and key in section.model_fields_set
    return (
        stated or info.is_required() or getattr(section, key) != info.get_default(call_default_factory=True)
    )
