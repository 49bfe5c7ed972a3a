"""A hash of what code computes: rewording it does not change the hash, another number does."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

import bayes_net


def fingerprint(modules: Iterable[str]) -> str:
    """SHA-256 of the code of bayes_net's ``modules``, whatever its comments, docstrings and layout.

    Imports, the texts of exceptions and what an object shows of itself do not count either: no stored
    number depends on them.
    """
    folder = Path(bayes_net.__file__).parent
    texts = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in sorted(modules)}
    return hashlib.sha256(repr({name: canonical(text) for name, text in texts.items()}).encode()).hexdigest()


def canonical(source: str) -> str:
    """The syntax tree of ``source`` as text that is the same on every version of Python."""
    return _written(ast.parse(source))


def _written(node: object) -> str:
    if isinstance(node, list):
        return "[" + ",".join(_written(item) for item in node if not _idle(item)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Raise):
        return "Raise"
    # Empty fields are left out, since newer versions of Python add fields that are empty in older code.
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    return f"{type(node).__name__}({','.join(f'{name}={_written(value)}' for name, value in fields)})"


def _idle(node: object) -> bool:
    """Imports, docstrings of modules, functions, classes and attributes, and methods that only show."""
    if isinstance(node, ast.FunctionDef):
        return node.name in ("__repr__", "__str__", "_repr_html_")
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    return isinstance(node, ast.Import | ast.ImportFrom)
