"""TOML that is meant to be read: values on a line of their own, and comments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

import tomli_w

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SENTENCE_ENDS = re.compile(r"(?<=\.)\s+(?=[A-Z])")
_WIDTH = 110


def inline(value: Any) -> str:
    """A value on one line; a text with lines of its own keeps them."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key_text(key)} = {inline(each)}' for key, each in value.items())}}}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(inline, value))}]"
    return _scalar(value)


def assigned(key: str, value: Any) -> str:
    """``key = value``, where a text with lines of its own is written as such."""
    # with a carriage return, lines would not come back as they were
    in_lines = isinstance(value, str) and "\n" in value and "\r" not in value
    return f"{key_text(key)} = {_scalar(value, in_lines) if in_lines else inline(value)}"


def document(values: Mapping[str, Any], path: str = "") -> str:
    """Plain values as a file: a line for each, and tables where they hold too much for one."""
    lines, tables = [], []
    for key, value in values.items():
        several = isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value)
        long = len(assigned(key, value)) > _WIDTH
        name = f"{path}.{key_text(key)}" if path else key_text(key)
        if several and not path:
            tables += [f"[[{name}]]\n{document(each, name)}" for each in value]
        elif isinstance(value, Mapping) and (not path or long):
            tables.append(f"[{name}]\n{document(value, name)}")
        else:
            lines.append(f"{assigned(key, value)}\n")
    return "\n".join(filter(None, ["".join(lines), *tables]))


def comment(text: str | None) -> list[str]:
    """The first sentence of a key's documentation, as lines that are not read."""
    first = _SENTENCE_ENDS.split(" ".join((text or "").replace("``", "`").split()), maxsplit=1)[0]
    return [f"# {line}" for line in textwrap.wrap(first, _WIDTH, break_on_hyphens=False)]


def key_text(key: str) -> str:
    """A key as it is written, in quotes where it has other characters than TOML allows without."""
    return key if _BARE.fullmatch(key) else _scalar(key)


def _scalar(value: Any, in_lines: bool = False) -> str:
    return tomli_w.dumps({"x": value}, multiline_strings=in_lines).removeprefix("x = ").removesuffix("\n")
