"""Pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = [[cell.replace("|", r"\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def first_line(docstring: str | None) -> str:
    """What a docstring says first; code stays code."""
    said = (docstring or "").strip().split("\n\n")[0]
    return re.sub(r"\s+", " ", said).replace("``", "`")
