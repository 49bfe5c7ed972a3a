"""The keys of a specification: what its models say of each key, its values and its default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bayes_net.specification.patients import PatientsPlan
from bayes_net.specification.synthesis import BorrowSections, SynthesisPlan
from live.markdown import first_line, table

SEVERAL = ("covariates", "cohorts", "scenarios")
"""Sections that may come several times."""
PLANS = {"landmark": PatientsPlan, "synthesis": SynthesisPlan}


def keys(kind: str) -> str:
    """Every key of a specification of this kind (landmark or synthesis), section by section."""
    plan, sections = PLANS[kind], PLANS[kind].sections()
    own = [name for name in plan.model_fields if name not in sections and name != "grid"]
    parts = ["## At the top\n\nBefore the first section.", _table(plan, own)]
    for name, model in _tables(sections):
        heading = f"[[{name}]]" if name in SEVERAL else f"[{name}]"
        parts += [f"## `{heading}`\n\n{first_line(model.__doc__)}", _table(model, model.model_fields)]
    grid = plan.model_json_schema()["properties"]["grid"]
    parts += [f"## `[grid]`\n\n{grid['description']} A {values_of(grid)}."]
    text = "\n\n".join(parts)
    # a parameter without data would have no posterior: a synthesis takes no flat prior
    return text.replace(', or `"flat"`', "") if kind == "synthesis" else text


def _tables(sections: Mapping[str, type[BaseModel]]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, model in sections.items():
        if model is BorrowSections:
            yield from ((f"{name}.{part}", field.annotation) for part, field in model.model_fields.items())
        else:
            yield name, model


def _table(model: type[BaseModel], names: Sequence[str]) -> str:
    schema = model.model_json_schema()["properties"]
    rows = [
        (
            f"`{name}`",
            values_of(schema[name]),
            _default(model.model_fields[name]),
            schema[name]["description"],
        )
        for name in names
    ]
    return table(("Key", "Values", "Default", "Meaning"), rows)


def _default(field: FieldInfo) -> str:
    """A key's default as it would be written in the file."""
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    return "none" if value is None else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"'


_WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true`, `false`",
    "path": "file",
}
_LIMITS = {
    "minimum": "from {:g}",
    "exclusiveMinimum": "above {:g}",
    "maximum": "to {:g}",
    "exclusiveMaximum": "to below {:g}",
}
_COUNTED = re.compile(r"^((whole )?number|duration|text|file|pair|value|list)\b")


def values_of(schema: Mapping[str, Any]) -> str:
    """In words, the values that a JSON schema allows."""
    match schema:
        case {"enum": values}:
            return ", ".join(f"`{_toml(value)}`" for value in values)
        case {"anyOf": kinds}:
            return " or ".join(values_of(kind) for kind in kinds if kind != {"type": "null"})
        case {"prefixItems": [first, second]} if first == second:
            return f"two {_several(first)}"
        case {"prefixItems": kinds}:
            return f"pair: {', then '.join(map(values_of, kinds))}"
        case {"items": kind}:
            return f"list of {_several(kind)}"
        case {"additionalProperties": kind}:
            return f"table of {_several(kind if kind is not True else {})}"
    return f"`{_toml(schema['const'])}`" if "const" in schema else _single(schema)


def _several(schema: Mapping[str, Any]) -> str:
    return _COUNTED.sub(lambda one: f"{one[0]}s", values_of(schema))


def _single(schema: Mapping[str, Any]) -> str:
    kind = schema.get("format", schema.get("type", "value"))
    # a whole number is below what TOML can hold: no limit that anybody meets
    known = {name: x for name, x in schema.items() if not (name in _LIMITS and abs(x) >= 2**63)}
    if "maximum" in known:
        known.pop("exclusiveMaximum", None)
    limits = [limit.format(known[name]) for name, limit in _LIMITS.items() if name in known]
    if limits and limits[0].startswith("to"):
        limits[0] = f"up {limits[0]}"
    return " ".join([_WORDS.get(kind, kind), *limits])
