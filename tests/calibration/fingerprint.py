"""Hashes of what code computes: moving it, or rewording it, changes none of them; another number does."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import bayes_net

PACKAGE = Path(bayes_net.__file__).parent


def definitions(modules: Iterable[str]) -> dict[str, list[str]]:
    """Hash of every function, class and constant that stands at the top of bayes_net's ``modules``, by name.

    Comments, docstrings, imports, layout, hints of a function's types, the texts of exceptions and what an
    object shows of itself do not count: no stored number depends on them.
    """
    found: dict[str, set[str]] = {}
    for module in modules:
        source = (PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        for name, code in _defined(ast.parse(source)):
            found.setdefault(name, set()).add(_hash(code))
    return {name: sorted(hashes) for name, hashes in sorted(found.items())}


@cache
def everything() -> Mapping[str, list[str]]:
    """``definitions`` of the whole package."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return definitions(".".join(path.parts) for path in paths)


def stale(stored: Mapping[str, list[str]]) -> list[str]:
    """Names of stored definitions that nowhere in the package stand as they did."""
    now = everything()
    return [name for name, hashes in stored.items() if not set(hashes) <= set(now.get(name, ()))]


def canonical(source: str) -> str:
    """The syntax tree of ``source`` as text that is the same on every version of Python."""
    return _written(ast.parse(source))


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def _defined(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, _written(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from _assigned(target, node.value)


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, str]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its in zip(target.elts, value.elts, strict=True):
            yield from _assigned(one, its)
    else:
        yield ast.unparse(target), _written(value)


def _written(node: object) -> str:
    if isinstance(node, list):
        return "[" + ",".join(_written(item) for item in node if not _idle(item)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Raise):
        return "Raise"
    # Empty fields are left out, since newer versions of Python add fields that are empty in older code.
    hint = {ast.arg: "annotation", ast.FunctionDef: "returns"}.get(type(node))
    named = [(name, value) for name, value in ast.iter_fields(node) if name != hint]
    fields = [(name, value) for name, value in named if value not in (None, [])]
    return f"{type(node).__name__}({','.join(f'{name}={_written(value)}' for name, value in fields)})"


def _idle(node: object) -> bool:
    """Imports, docstrings of modules, functions, classes and attributes, and methods that only show."""
    if isinstance(node, ast.FunctionDef):
        return node.name in ("__repr__", "__str__", "_repr_html_")
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    return isinstance(node, ast.Import | ast.ImportFrom)
