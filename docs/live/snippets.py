"""The code in the pages: which blocks there are, what they print, and how to put that into the pages anew.

A comment on the line above a block says what it is: ``<!-- executed -->``, ``<!-- output -->`` (of the
executed block before it) or ``<!-- file: NAME -->``. ``python docs/live/snippets.py`` writes what is printed
now into the pages.
"""

from __future__ import annotations

import io
import re
import shlex
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^>]*) -->\n)?^```(?P<language>[a-z]+)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: what the comment above it says, its language and text, and where it is."""

    page: Path
    line: int
    mark: str
    language: str
    text: str
    start: int
    end: int

    @property
    def where(self) -> str:
        """File and line, for messages."""
        return f"{self.page.relative_to(DOCS)}:{self.line}"


def pages() -> list[Path]:
    """Every page that is written by hand."""
    return sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("text")) + 1,
            found["mark"] or "",
            found["language"],
            found["text"],
            found.start("text"),
            found.end("text"),
        )
        for found in _BLOCK.finditer(text)
    ]


def run(page: Path, *, sampling: bool = False) -> Iterator[tuple[Block, str]]:
    """Run a page's blocks in order, in an empty folder; every output block with what is printed now.

    With ``sampling`` Python that is not marked as executed runs as well.
    """
    names: dict = {"__name__": "page"}
    printed = ""
    with tempfile.TemporaryDirectory() as folder, chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in blocks(page):
            if block.mark.startswith("file: "):
                Path(block.mark.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
            elif block.mark == "output":
                yield block, _tidy(printed)
            elif block.language == "python" and (sampling or block.mark == "executed"):
                out = io.StringIO()
                with redirect_stdout(out):
                    exec(compile(block.text, block.where, "exec"), names)
                printed = out.getvalue()
            elif block.language == "console" and block.mark == "executed":
                printed = _commands(block)


def _commands(block: Block) -> str:
    from typer.testing import CliRunner

    from bayes_net.cli.app import app

    printed = ""
    for command in re.findall(r"^\$ bayes-net (.*)$", block.text, re.M):
        result = CliRunner().invoke(app, shlex.split(command))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        printed += result.output
    return printed


def _tidy(printed: str) -> str:
    """Without spaces at the ends of lines, nor empty lines around."""
    return "\n".join(line.rstrip() for line in printed.strip("\n").splitlines()) + "\n"


def _write_anew() -> None:
    for page in pages():
        text, found = page.read_text(encoding="utf-8"), list(run(page))
        for block, printed in reversed(found):
            text = text[: block.start] + printed + text[block.end :]
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _write_anew()
