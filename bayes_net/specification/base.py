"""What every specification can do, whatever it is of: patients, or a synthesis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

import tomli_w
from pydantic import Field, PrivateAttr, ValidationError

from bayes_net.display import notebook_html
from bayes_net.errors import InputError, SpecificationError
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
    def digest(self) -> str:
        """SHA-256 of the content: comments and order of keys do not change it."""
        return hashlib.sha256(json.dumps(self._plain, sort_keys=True).encode()).hexdigest()

    def public_toml(self) -> str:
        """The whole specification, defaults included, as TOML without patient identifiers."""
        return tomli_w.dumps(without_identifiers(self._plain))

    def __repr__(self) -> str:
        return f"<{self._name}: {self.title}, SHA-256 {self.digest[:12]}>"

    def _repr_html_(self) -> str:
        facts = [self.description] if self.description else []
        return notebook_html(self.title, facts, folded={"Specification (TOML)": self.public_toml()})

    def with_(self, **changes: Any) -> Self:
        """The same analysis with other values: ``with_(title="x", priors={"median_months": (4, 40)})`` keeps
        what else is in ``[priors]``.

        Raises
        ------
        SpecificationError
            A key is unknown, or a value is not allowed: every problem is named.
        """
        try:
            plan = type(self).model_validate(_merged(self._plain, changes))
            plan._folder = self._folder
            plan.check()
        except (ValidationError, InputError) as problem:
            lines = [str(problem)]
            if isinstance(problem, ValidationError):
                lines = complaints(problem.errors(), top=type(self), sections=self.sections())
            message = "the changed specification is not usable\n  " + "\n  ".join(lines)
            raise SpecificationError(message, problems=lines) from None
        return plan

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
    return {**values, **changes, **tables}
