"""Options of the wrong type are refused in words, all at once, before any file is read."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import numpy as np

from bayes_net.errors import InputError

Scalar: TypeAlias = bool | int | float | str
"""One value as it stands in a cell."""
Values: TypeAlias = Scalar | Iterable[Scalar]
"""One value or several."""
_NUMBERS: dict[type, tuple[type, ...]] = {
    bool: (bool, np.bool_),
    int: (int, np.integer),
    float: (int, float, np.integer, np.floating),
}
_NAMES: dict[Any, tuple[str, str]] = {
    str: ("a text", '"a"'),
    bool: ("True or False", "True"),
    int: ("a whole number", "1"),
    float: ("a number", "1.5"),
    Path: ("a path", 'Path("a")'),
    type(None): ("None", "None"),
}
_QUOTED = Repr()
_QUOTED.maxother = _QUOTED.maxstring = 60


def refuse_types(reader: Callable, given: Mapping[str, Any], *others: Callable) -> None:
    """Refuse what is ``given`` to a ``reader`` (its ``locals()``) and is not of the type that it says, or
    that ``others`` say, to which it passes options on."""
    hints = {name: hint for each in (*others, reader) for name, hint in _hints(each).items()}
    known = {name: (value, hints[name]) for name, value in given.items() if name in hints}
    wrong = [
        f"{name} is {_got(value)}; expected {_expected(hint)}, such as {name} = {_example(hint)}"
        for name, (value, hint) in known.items()
        if not _fits(value, hint)
    ]
    if wrong:
        raise InputError(". ".join(wrong))


@cache
def _hints(reader: Callable) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(reader).items() if name != "return"}


def _choices(hint: Any) -> tuple[Any, ...]:
    """The types among which there is a choice."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fits(value: object, hint: Any) -> bool:
    """Whether a value is of a type; numbers of numpy are numbers, and a text is no list of letters."""
    choices = _choices(hint)
    if len(choices) > 1:
        return any(_fits(value, choice) for choice in choices)
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return True
    if kind in _NUMBERS:  # True is 1 to Python, and hardly to who wrote it
        return isinstance(value, _NUMBERS[kind]) and isinstance(value, _NUMBERS[bool]) == (kind is bool)
    if kind is tuple:
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
    if kind is Mapping:
        each = value.items() if isinstance(value, Mapping) else ()
        return isinstance(value, Mapping) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in each)
    if kind in (Sequence, Iterable):
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            return False
        # what can be gone through only once is left to whom it is for
        flat = getattr(value, "ndim", 1) == 1
        return not hasattr(value, "__len__") or (flat and all(_fits(each, inner[0]) for each in value))
    return isinstance(value, kind)


def _got(value: object) -> str:
    kind = "the text" if isinstance(value, str) else f"{type(value).__name__}"
    return f"{kind} {_QUOTED.repr(value)}"


def _expected(hint: Any) -> str:
    return " or ".join(dict.fromkeys(map(_name, _choices(hint))))


def _name(hint: Any) -> str:
    kind = get_origin(hint) or hint
    if kind is Mapping:
        return "a dictionary"
    if kind in (Sequence, Iterable):
        return "a list"
    return _NAMES[kind][0] if kind in _NAMES else f"a {kind.__name__}"


def _example(hint: Any) -> str:
    """How the last of the types that are no None is written."""
    choices = [choice for choice in _choices(hint) if choice is not type(None)]
    last, inner = choices[-1], get_args(choices[-1])
    kind = get_origin(last) or last
    if kind is Mapping:
        return f"{{{_example(inner[0])}: {_example(inner[1])}}}"
    if kind in (Sequence, Iterable):
        return f"[{_example(inner[0])}]"
    if kind is tuple:
        return f"({', '.join(map(_example, inner))})"
    return _NAMES[kind][1] if kind in _NAMES else f"{kind.__name__}(…)"
