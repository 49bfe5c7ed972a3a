"""The reference: every public name with its docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import bayes_net as bn
from bayes_net.figures import plots
from live.markdown import first_line, table

_SOURCE = re.compile(r"(?P<name>doi:|arXiv:)(?P<id>[^\s,;)]*[^\s,;).])")
_ADDRESS = {"doi:": "https://doi.org/", "arXiv:": "https://arxiv.org/abs/"}


def public(*modules: str) -> str:
    """Every public name of these modules of the package, with its docstring."""
    return _rst(_entry(f"bayes_net.{name}", found) for name, found in _names(modules))


def figures() -> str:
    """The module ``bayes_net.plots`` and its functions."""
    entries = [_entry(f"bayes_net.plots.{name}", getattr(plots, name)) for name in plots.__all__]
    return _rst([".. py:module:: bayes_net.plots", *entries])


def overview(*modules: str) -> str:
    """A table of the public names of these modules, with what each is."""
    rows = [
        (f"{{py:obj}}`{name} <bayes_net.{name}>`", first_line(found.__doc__))
        for name, found in _names(modules)
    ]
    return table(("Name", "What it is"), rows)


@cache
def faces() -> dict[str, object]:
    """Every public name as it stands behind ``bayes_net.``: at the top, or in a folder if it is not there."""
    top = {name: getattr(bn, name) for name in bn.__all__}
    folders = {name: found for name, found in top.items() if inspect.ismodule(found)}
    found = {
        f"{folder}.{name}": getattr(folders[folder], name)
        for folder in folders.keys() - {"plots", "schema"}
        for name in folders[folder].__all__
    }
    there = {id(found) for found in top.values()}
    found = {name: what for name, what in found.items() if id(what) not in there}
    return dict(sorted(found.items())) | {name: top[name] for name in sorted(top.keys() - folders.keys())}


def names(mapping: str) -> str:
    """A table of names of ``bayes_net.schema``, with what each is, and the fields of a dim."""
    fields = bn.schema.FIELDS if mapping == "DIMS" else {}
    rows = [
        (f"`{name}`", meaning, ", ".join(f"`{name}_{field}`" for field in fields.get(name, ())))
        for name, meaning in getattr(bn.schema, mapping).items()
    ]
    wide = 2 + bool(fields)
    return table(("Name", "What it is", "Coordinates")[:wide], [row[:wide] for row in rows])


def _home(found: object) -> str:
    return found.__module__.removeprefix("bayes_net.")


def _names(modules: Iterable[str]) -> list[tuple[str, object]]:
    """The public names of modules, or of all modules of a folder, and what they are."""
    return [
        (name, found) for mark in modules for name, found in faces().items() if _covers(mark, _home(found))
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
    homes = {_home(found) for found in faces().values()}
    return sorted(home for home in homes if not any(_covers(mark, home) for mark in shown))


def link_sources(app, what, name, obj, options, lines: list[str]) -> None:
    """Make the sources in a docstring lead to the paper."""
    lines[:] = [_SOURCE.sub(lambda m: f"`{m[0]} <{_ADDRESS[m['name']]}{m['id']}>`__", line) for line in lines]


def readable(app, what, name, obj, options, signature, returns) -> tuple[str, str] | None:
    """Show a default that is made anew each time as "...": what Python shows cannot be parsed."""
    return (signature.replace("<factory>", "..."), returns) if signature else None
