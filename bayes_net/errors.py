"""Errors and warnings that bayes_net raises; each is also a built-in, so callers may catch either."""

from __future__ import annotations

from collections.abc import Iterable


class InputError(ValueError):
    """The input cannot be used: the message says what was got, what is expected and what to do."""


class CohortError(InputError):
    """A patient or scan table breaks a rule that no analysis can work around."""


class SpecificationError(InputError):
    """A specification has an unknown key, a value out of range, or parts that contradict each other."""


class CohortWarning(UserWarning):
    """Something in the tables calls for judgement; the analysis goes on and the count is reported."""


def listed(items: Iterable[object], *, limit: int = 5) -> str:
    """The first ``limit`` items, comma-separated, and how many more there are."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more
