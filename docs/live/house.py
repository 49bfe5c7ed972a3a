"""The folders of the package and what each imports, read off its modules."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import bayes_net
from live.markdown import first_line, table

PACKAGE = Path(bayes_net.__file__).parent


def imports() -> dict[str, set[str]]:
    """Every folder, or module that stands alone, and those that its modules import."""
    places = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.name[0] != "_"}
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if place not in places:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}".split(".") for alias in node.names]
                own = {name[1] for name in names if name[0] == "bayes_net"}
                found.setdefault(place, set()).update(own & places - {place})
    return found


def house() -> str:
    """A row for each folder, ground first, with a dot under every folder that it imports: none stands right
    of its own place. Raises a ``CycleError`` where two import each other."""
    graph = imports()
    order = list(TopologicalSorter({place: sorted(of) for place, of in sorted(graph.items())}).static_order())
    rows = []
    for i, place in enumerate(order):
        path = PACKAGE / place / "__init__.py"
        source = path if path.exists() else PACKAGE / f"{place}.py"
        meaning = first_line(ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))))
        dots = ["■" if other == place else "●" * (other in graph[place]) for other in order]
        rows.append([str(i + 1), f"`{place}`", meaning, *dots])
    return table(["", "Folder", "What it is", *map(str, range(1, len(order) + 1))], rows)
