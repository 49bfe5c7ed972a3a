"""The keys of a specification: values and defaults from its models, meanings from its commented template."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.util import logging

from bayes_net.specification.patients import PatientsPlan
from bayes_net.specification.read import SECTIONS
from bayes_net.specification.shipped import TEMPLATES
from bayes_net.specification.synthesis import SYNTHESIS_SECTIONS, BorrowSections, SynthesisPlan
from live.markdown import first_line, table
from live.templates import comments_of
from live.values import default_of, values_of

logger = logging.getLogger(__name__)
TOLD = tomllib.loads(Path(__file__).with_name("told.toml").read_text(encoding="utf-8"))
_TEMPLATE_OF = {"landmark": "specification.toml", "synthesis": "synthesis.toml"}


def keys(kind: str) -> str:
    """Every key of a specification of this kind (landmark or synthesis), section by section."""
    top, sections = _models(kind)
    told = _told_of(kind)
    if kind == "synthesis":  # patients of a synthesis have the keys of [data]
        told["cohorts"] = _told_of("landmark")["data"] | told["cohorts"]
    own = {name: f for name, f in top.model_fields.items() if not _holds_models(f.annotation)}
    free = {name: own.pop(name) for name, f in list(own.items()) if get_origin(f.annotation) is dict}
    words = {name: told["top"].pop(name, "?") for name in free}
    parts = ["## At the top\n\nBefore the first section.", _table("top", own, told)]
    for name, model in sections.items():
        several = name in top.model_fields and get_origin(top.model_fields[name].annotation) is tuple
        shown = f"[[{name}]]" if several else f"[{name}]"
        parts += [f"## `{shown}`\n\n{first_line(model.__doc__)}", _table(name, model.model_fields, told)]
    # tables whose keys are the user's own
    parts += [f"## `[{name}]`\n\n{_sentence(words[name])} A {values_of(f)}." for name, f in free.items()]
    if unknown := set(told) - {"top", *sections, *free}:
        logger.warning("sections %s of a %s specification do not exist", unknown, kind)
    text = "\n\n".join(parts)
    # a parameter without data would have no posterior: a synthesis takes no flat prior
    return text.replace(', or `"flat"`', "") if kind == "synthesis" else text


def _models(kind: str) -> tuple[type[BaseModel], dict[str, type[BaseModel]]]:
    if kind == "landmark":
        return PatientsPlan, SECTIONS
    sections = {}
    for name, model in SYNTHESIS_SECTIONS.items():
        if model is BorrowSections:
            sections |= {f"{name}.{part}": f.annotation for part, f in model.model_fields.items()}
        else:
            sections[name] = model
    return SynthesisPlan, sections


def _holds_models(annotation: Any) -> bool:
    """Whether a key is a section, or a list of sections."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return any(_holds_models(inner) for inner in get_args(annotation))


def _told_of(kind: str) -> dict[str, dict[str, str]]:
    """What each key means: the template's comment, or what is told instead of it."""
    commented = comments_of(TEMPLATES / _TEMPLATE_OF[kind])
    return {name: commented.get(name, {}) | TOLD[kind].get(name, {}) for name in [*commented, *TOLD[kind]]}


def _table(name: str, fields: Mapping[str, FieldInfo], told: Mapping[str, Mapping[str, str]]) -> str:
    said = told.get(name, {})
    untold = [key for key in fields if not said.get(key)]
    unknown = [key for key in said if key not in fields]
    if untold or unknown:
        logger.warning(
            "keys of [%s]: nothing is told of %s, and %s do not exist; comment them in the template, or see "
            "docs/live/told.toml",
            *(name, untold, unknown),
        )
    rows = [
        (f"`{key}`", values_of(f), default_of(f), _sentence(said.get(key, "?"))) for key, f in fields.items()
    ]
    return table(("Key", "Values", "Default", "Meaning"), rows)


def _sentence(words: str) -> str:
    """A comment as a sentence; the default has a column of its own."""
    words = re.sub(r"\s*Default: [^.]*$", "", words)
    if not words.startswith("`"):
        words = words[:1].upper() + words[1:]
    return words if words.endswith(".") else f"{words}."
