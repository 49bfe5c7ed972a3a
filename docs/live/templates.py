"""What the commented specifications say about each key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

_HEADING = re.compile(r"(?:# )?\[+([\w.]+)\]+$")
_KEY = re.compile(r"(?:# )?(\w+) = ")


def comments_of(path: Path) -> dict[str, dict[str, str]]:
    """The comment of every key by section ("top" before the first): that behind it, or the lines above."""
    found: dict[str, dict[str, str]] = {"top": {}}
    section, above, in_comment = "top", "", False
    for line in path.read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.match(line):
            section, above, in_comment = heading[1], "", False
            found.setdefault(section, {})
        elif key := _KEY.match(line):
            said = _behind(line.removeprefix("# ")) or above
            found[section].setdefault(key[1], "")
            found[section][key[1]] = found[section][key[1]] or said
            in_comment = False
        elif line.startswith("# "):
            above = f"{above} {line[2:]}" if in_comment else line[2:]
            in_comment = True
        else:
            above, in_comment = "", False
    return found


def _behind(line: str) -> str:
    """The comment behind a value, which may hold a # itself."""
    for value, comment in _splits(line):
        try:
            tomllib.loads(value)
        except tomllib.TOMLDecodeError:
            continue
        return comment.strip()
    return ""


def _splits(line: str) -> Iterator[tuple[str, str]]:
    for at, character in enumerate(line):
        if character == "#":
            yield line[:at], line[at + 1 :]
