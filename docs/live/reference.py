"""The reference: every public name with its docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path

import bayes_net as bn
from bayes_net.figures import plots
from live.markdown import first_line, table

_SOURCE = re.compile(r"(?P<name>doi:|arXiv:)(?P<id>[^\s,;)]*[^\s,;).])")
_ADDRESS = {"doi:": "https://doi.org/", "arXiv:": "https://arxiv.org/abs/"}


def public(*modules: str) -> str:
    """Every public name of these modules of the package, with its docstring."""
    return _rst(_entry(f"bayes_net.{name}", getattr(bn, name)) for name in _names(modules))


def figures() -> str:
    """The module ``bayes_net.plots`` and its functions."""
    entries = [_entry(f"bayes_net.plots.{name}", getattr(plots, name)) for name in plots.__all__]
    return _rst([".. py:module:: bayes_net.plots", *entries])


def overview(*modules: str) -> str:
    """A table of the public names of these modules, with what each is."""
    rows = [
        (f"{{py:obj}}`~bayes_net.{name}`", first_line(getattr(bn, name).__doc__)) for name in _names(modules)
    ]
    return table(("Name", "What it is"), rows)


def _names(modules: Iterable[str]) -> list[str]:
    """The public names of modules, or of all modules of a folder."""
    return [
        name for mark in modules for home, names in bn._HOMES.items() if _covers(mark, home) for name in names
    ]


def _covers(mark: str, module: str) -> bool:
    return module == mark or module.startswith(f"{mark}.")


def _rst(entries) -> str:
    return "```{eval-rst}\n" + "\n\n".join(entries) + "\n```"


def _entry(name: str, obj: object) -> str:
    if not inspect.isclass(obj):
        return f".. autofunction:: {name}"
    if issubclass(obj, Exception):
        return f".. autoexception:: {name}\n   :show-inheritance:"
    return f".. autoclass:: {name}\n   :members:"


def untold(reference: Path) -> list[str]:
    """Modules whose public names are on no page: none has ``<!-- generated: public MODULE -->``."""
    texts = [path.read_text(encoding="utf-8") for path in reference.glob("*.md")]
    marks = [mark for text in texts for mark in re.findall(r"^<!-- generated: public (.+) -->$", text, re.M)]
    shown = [mark for each in marks for mark in each.split()]
    return sorted(home for home in bn._HOMES if not any(_covers(mark, home) for mark in shown))


def link_sources(app, what, name, obj, options, lines: list[str]) -> None:
    """Make the sources in a docstring lead to the paper."""
    lines[:] = [_SOURCE.sub(lambda m: f"`{m[0]} <{_ADDRESS[m['name']]}{m['id']}>`__", line) for line in lines]


def readable(app, what, name, obj, options, signature, returns) -> tuple[str, str] | None:
    """Show a default that is made anew each time as "...": what Python shows cannot be parsed."""
    return (signature.replace("<factory>", "..."), returns) if signature else None
