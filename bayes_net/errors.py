"""Errors and warnings that bayes_net raises; each is also a built-in, so callers may catch either."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class InputError(ValueError):
    """The input cannot be used: the message says what was got, what is expected and what to do.

    ``problems`` has every kind of problem by itself (``Problem`` where its parts are known), and ``notes``
    what else had been noticed by then.
    """

    def __init__(self, message: str, *, problems: Sequence[str] = (), notes: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)
        self.notes = tuple(notes)


class CohortError(InputError):
    """A patient or scan table breaks a rule that no analysis can work around."""


class SpecificationError(InputError):
    """A specification has an unknown key, a value out of range, or parts that contradict each other."""


class CohortWarning(UserWarning):
    """Something in the tables calls for judgement; the analysis goes on and the count is reported."""


class ReportWarning(UserWarning):
    """A report, or its figures, could not be made; everything else of the result is there."""


class Problem(str):
    """One kind of problem in words: where it is, what was got and expected, what to do, and in which rows."""

    __slots__ = ("expected", "got", "rows", "table", "todo")

    table: str
    got: str
    expected: str
    todo: str
    rows: tuple[str, ...]


def problem(table: str, got: str, expected: str, todo: str, rows: Iterable[str] = ()) -> str:
    """One kind of problem in words: what was got and expected, what to do, and the first rows."""
    rows = tuple(rows)
    found = f"Found in {listed(rows)}. " if rows else ""
    text = Problem(f"{table}: {got}; expected {expected}. {found}{todo}")
    text.table, text.got, text.expected, text.todo, text.rows = table, got, expected, todo, rows
    return text


class Gathered:
    """What several steps refuse, so that it can be said at once."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step whose refusal waits for those of the others."""
        try:
            yield
        except InputError as refused:
            self.problems += [each for each in refused.problems if each not in self.problems]


def refuse(
    problems: Sequence[str], *, kind: type[InputError], heading: str, notes: Sequence[Any] = ()
) -> None:
    """Raise one error with every problem, if there is any."""
    if problems:
        several = "\n- ".join([f"{len(problems)} {heading}:", *problems])
        message = problems[0] if len(problems) == 1 else several
        raise kind(str(message), problems=problems, notes=notes)


def listed(items: Iterable[object], *, limit: int = 5) -> str:
    """The first ``limit`` items, comma-separated, and how many more there are."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more
