"""Which values a key takes and which it has by default, in words, from its pydantic field."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from sphinx.util import logging

from bayes_net.schema import Duration, duration
from bayes_net.specification.fields import _cuts, _landmark, _later, _limits

logger = logging.getLogger(__name__)
_BY_VALIDATOR = {
    duration: "duration",
    _later: "duration above 0",
    _landmark: 'duration, or `"no limit"`',
    _cuts: "list of rising durations",
    _limits: 'two numbers above 0, the smaller first, or `"flat"`',
}
_BY_TYPE = {
    int: "whole number",
    float: "number",
    str: "text",
    Path: "file",
    Duration: "duration",
    Any: "value",
}
_LOWEST, _HIGHEST = {"ge": "from {}", "gt": "above {}"}, {"le": "to {}", "lt": "to below {}"}
_COUNTED = re.compile(r"^(duration|number|text|file|pair|value|list)\b")


def default_of(field: FieldInfo) -> str:
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


def values_of(field: FieldInfo) -> str:
    """In words, the values that a key takes."""
    return _words(field.annotation, field.metadata)


def _words(kind: Any, metadata: Sequence = ()) -> str:
    checked = [one.func for one in metadata if isinstance(one, BeforeValidator) and one.func in _BY_VALIDATOR]
    if checked:
        return _BY_VALIDATOR[checked[0]]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(inner[0], inner[1:])
    if origin is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(one, metadata) for one in inner if one is not type(None))
    if origin is tuple:
        return _words_of_list(inner)
    if origin is dict:
        return f"table of {_several(_words(inner[1]))}"
    return "`true`, `false`" if kind is bool else _words_of_value(kind, list(_flat(metadata)))


def _words_of_list(inner: tuple) -> str:
    if inner[-1] is Ellipsis:
        return f"list of {_several(_words(inner[0]))}"
    different = list(dict.fromkeys(map(_words, inner)))
    if len(different) == 1:
        return f"two {_several(different[0])}"
    return "pair: " + ", then ".join(different)


def _several(words: str) -> str:
    return _COUNTED.sub(lambda one: f"{one[0]}s", words)


def _words_of_value(kind: Any, limits: Sequence) -> str:
    if kind not in _BY_TYPE:
        logger.warning("a key takes %r; say in docs/live/values.py what that is in words", kind)
    lowest, highest = _bounds(limits, _LOWEST), _bounds(limits, _HIGHEST)
    if highest and not lowest:
        highest = [highest[0].replace("to", "up to", 1)]
    return " ".join([_BY_TYPE.get(kind, str(kind)), *lowest, *highest])


def _bounds(limits: Sequence, words: Mapping[str, str]) -> list[str]:
    return [
        said.format(f"{getattr(limit, name):g}")
        for limit in limits
        for name, said in words.items()
        if hasattr(limit, name)
    ]


def _flat(metadata: Sequence) -> Iterator[Any]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from _flat(one.metadata)
        else:
            yield one
