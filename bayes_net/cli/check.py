"""Everything that is wrong or odd with a specification and its data, without sampling."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_net.errors import InputError, Problem
from bayes_net.robustness.design import planned_studies
from bayes_net.robustness.scenarios import plan as scenarios
from bayes_net.specification.read import read_specification
from bayes_net.tables.notes import WARNING, Note
from bayes_net.workflow.analysis import Prepared, prepare
from bayes_net.workflow.describe import entering
from bayes_net.workflow.patients import PreparedPatients

MOST_ROWS = 10
"""Rows of a problem that are named."""


@dataclass(frozen=True, eq=False)
class Findings:
    """What a check found: ``problems`` that forbid a run, ``notes``, and else what was ``prepared``."""

    title: str
    problems: tuple[str, ...]
    notes: tuple[Note, ...]
    message: str = ""
    prepared: Prepared | None = None

    @property
    def usable(self) -> bool:
        """Whether the analysis can be run."""
        return self.prepared is not None

    def as_json(self) -> str:
        """Errors, warnings and what was handled, each with its number of rows and the first of them, and
        who or what enters the models."""
        found = {
            "specification": self.title,
            "usable": self.usable,
            "errors": [_error(each) for each in self.problems],
            "warnings": [_note(note) for note in self.notes if note.kind == WARNING],
            "handled": [_note(note) for note in self.notes if note.kind != WARNING],
            "entering": [] if self.prepared is None else entering(self.prepared)[0].to_dict("records"),
        }
        return json.dumps(found, indent=2)


def _error(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {"message": str(text)}
    if isinstance(text, Problem):
        found |= {name: getattr(text, name) for name in ("table", "got", "expected", "todo")}
        found |= {"count": len(text.rows), "rows": list(text.rows[:MOST_ROWS])}
    return found


def _note(note: Note) -> dict[str, Any]:
    return {"code": note.code, "message": note.message, "count": note.count, "rows": list(note.rows)}


def examine(path: Path) -> Findings:
    """Everything that is wrong or odd with the specification in ``path`` and its data."""
    try:
        plan = read_specification(path)
    except InputError as refused:
        return Findings(str(path), refused.problems, refused.notes, str(refused))
    refusals = []
    try:
        if plan.scenarios or plan.grid:
            scenarios(plan)
    except InputError as refused:
        refusals.append(refused)
    try:
        prepared = prepare(plan)
        if isinstance(prepared, PreparedPatients) and prepared.plan.design is not None:
            planned_studies(prepared, prepared.plan.design)
    except InputError as refused:
        refusals.append(refused)
    if refusals:
        problems = tuple(each for refused in refusals for each in refused.problems)
        notes = tuple(each for refused in refusals for each in refused.notes)
        return Findings(plan.title, problems, notes, "\n".join(map(str, refusals)))
    return Findings(plan.title, (), prepared.notes, prepared=prepared)
