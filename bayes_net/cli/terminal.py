"""What all commands share: what they show on a terminal or write to a log, and how they end."""

from __future__ import annotations

import codecs
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from typer.core import TyperGroup

from bayes_net.errors import InputError, ReportWarning

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

    from bayes_net.robustness.sensitivity import Sensitivity
    from bayes_net.tables.notes import Note
    from bayes_net.workflow.analysis import Analysis, Prepared


Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="A specification file (.toml), or a shipped model's name.")
]


BAD_OUTPUT, BAD_INPUT, GATE_FAILED = 1, 2, 3
LOG_WIDTH = 160
"""Columns of a table in a file or pipe; a terminal has its own width."""
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    terminal = stream is not None and stream.isatty()  # a service may have closed it
    width = None if terminal else LOG_WIDTH
    return Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, width=width)


out_console, err_console = _console(stderr=False), _console(stderr=True)


_PLAIN = {
    "–": "-",
    "−": "-",
    "≥": ">=",
    "≤": "<=",
    "×": "x",
    "±": "+/-",
    "…": "...",
    "’": "'",
    "“": '"',
    "”": '"',
}


def _plainly(problem: UnicodeError) -> tuple[str, int]:
    """What stands in for characters that a terminal has not: plain ones, or their code."""
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    unknown = problem.object[problem.start : problem.end]
    plain = (_PLAIN.get(each) or each.encode("ascii", "backslashreplace").decode() for each in unknown)
    return "".join(plain), problem.end


codecs.register_error("plain", _plainly)


class Commands(TyperGroup):
    """Commands whose output ends in success or one clear error, whatever terminal, file or pipe takes it."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command: what the terminal has no characters for is shown by its code, and output that
        nothing takes is said on standard error."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="plain")
        try:
            found = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
            return found
        except OSError as problem:
            with suppress(OSError):
                err_console.print(f"[bold red]error:[/] the output cannot be written ({problem.strerror})")
            raise typer.Exit(BAD_OUTPUT) from None
        finally:
            _leave_nothing_unwritten()


def _leave_nothing_unwritten() -> None:
    """Output that nothing takes would be a traceback when Python ends: it goes nowhere."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def literal(text: object) -> str:
    """Text from files as it is: no markup in it is obeyed, and no control character reaches the terminal."""
    return escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text)))


def framed(frame: pd.DataFrame, title: str | None = None) -> Table:
    """A table that is text already."""
    title = None if title is None else literal(title)
    table = Table(*map(literal, frame.columns), box=None, title=title, title_justify="left")
    for row in frame.itertuples(index=False):
        table.add_row(*map(literal, row))
    return table


def show_scenarios(found: Sensitivity, ci_prob: float) -> None:
    """Every hazard ratio over the scenarios, and what an audit of priors found."""
    from bayes_net.numbers import percent
    from bayes_net.report.scenarios import audit_to_read
    from bayes_net.results.scenarios import summary_table

    out_console.print(framed(summary_table(found.summary, label=f"{percent(ci_prob)} CrI")), "")
    if len(found.audit):
        out_console.print(framed(audit_to_read(found.audit)), "")


def show_tipping(found: Sensitivity) -> None:
    """From which factor of informative censoring on each conclusion is lost."""
    from bayes_net.report.scenarios import tipping_to_read

    for caption, table in tipping_to_read(found.tipping):
        out_console.print("\n", framed(table, f"Factor at which the word is lost: {caption}"))


def show_prepared(prepared: Prepared, *, rows: bool = False) -> None:
    """What a plan rests on, and what calls for judgement, with the ``rows`` that it is about."""
    from bayes_net.workflow.describe import data_in_words

    for line in (prepared.plan.title, *data_in_words(prepared)):
        out_console.print(literal(line))
    show_notes(prepared.notes, rows=rows)
    if (n := len(prepared.models())) > 1:
        out_console.print(f"{n} models to fit")


def show_notes(notes: Iterable[Note], *, rows: bool) -> None:
    """What was noticed in the tables; with ``rows``, where, and the code that `accept` takes."""
    from bayes_net.tables.notes import WARNINGS

    for note in notes:
        colour = "yellow" if note.kind == "warning" else "default"
        out_console.print(f"  [{colour}]{note.kind}:[/] {literal(note.message)}")
        where = [f"in {', '.join(note.rows)}" + " …" * (note.count > len(note.rows))] if note.rows else []
        code = [note.code] if note.kind == "warning" and note.code in WARNINGS else []
        if rows and (where or code):
            out_console.print(f"    {literal('; '.join(code + where))}")


def show_entering(prepared: Prepared) -> None:
    """Who is at risk, or which published numbers enter."""
    from bayes_net.workflow.describe import entering

    table, lines = entering(prepared)
    out_console.print(framed(table))
    for line in lines:
        out_console.print(literal(line))


def show_found(analysis: Analysis, folder: Path) -> None:
    """The question of a run, its answer and what that rests on, and where the report and the rest are."""
    from bayes_net.numbers import counted
    from bayes_net.workflow.in_words import first_words

    question, answer, rests_on = first_words(analysis)
    out_console.print()
    out_console.print(f"[bold]{literal(question)}[/]", soft_wrap=False)
    for line in filter(None, [*answer, rests_on]):
        out_console.print(Padding(literal(line), (0, 0, 0, 2), expand=False), soft_wrap=False)
    show_report(folder)
    tables = counted(len(list(folder.glob("*.csv"))), "table")
    out_console.print(f"Beside it: {tables} (.csv), the figures, and the posterior (posterior.nc)")


def show_report(folder: Path | None) -> None:
    """Where the report of a written result is."""
    if folder is not None:
        out_console.print(f"\nReport: {literal(folder / 'report.html')}")


@contextmanager
def bad_input_exits() -> Iterator[None]:
    """Bad input is one message and exit code 2, never a traceback."""
    try:
        yield
    except InputError as problem:
        message = str(problem)
    except OSError as problem:
        message = f"{problem.filename}: {problem.strerror}" if problem.filename else str(problem)
    else:
        return
    err_console.print(f"[bold red]error:[/] {literal(message)}")
    raise typer.Exit(BAD_INPUT)


@contextmanager
def unmade_reports() -> Iterator[list[str]]:
    """Why reports could not be made, as messages; other warnings are shown as ever."""
    messages: list[str] = []
    with warnings.catch_warnings():
        ordinary = warnings.showwarning
        warnings.simplefilter("always", ReportWarning)

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, ReportWarning):
                messages.append(str(message))
            else:
                ordinary(message, category, *where, **more)

        warnings.showwarning = show
        yield messages


def finish(unmade: list[str], *, gate_passed: bool) -> None:
    """End with the exit code: 1 where a report could not be made, 3 where the gate failed."""
    for message in unmade:
        err_console.print(f"[bold red]error:[/] {literal(message)}")
    if unmade:
        raise typer.Exit(BAD_OUTPUT)
    if not gate_passed:
        raise typer.Exit(GATE_FAILED)


@contextmanager
def progress() -> Iterator:
    """A progress bar on a terminal, nothing in a log."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    left = (TextColumn("left:"), TimeRemainingColumn())
    with Progress(
        *columns, *left, console=err_console, disable=not err_console.is_terminal, transient=True
    ) as bar:
        task = bar.add_task("starting", total=None)

        def advance(label: str, done: int, total: int) -> None:
            bar.update(task, description=literal(label), completed=done, total=total)

        yield advance
