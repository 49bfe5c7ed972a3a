"""The analyses that the package brings with it, and templates to begin with."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from bayes_net.errors import SpecificationError, listed
from bayes_net.tables.shipped import models_folder

EXAMPLES = ("N01", "N02", "N03", "N10")
"""Median and S(t) of a control arm, hazard ratio of the arms, hazard ratio per point of shrinkage."""
TEMPLATES = Path(__file__).parent


def shipped_models() -> dict[str, Path]:
    """Name and file of every shipped specification."""
    return {path.stem: path for path in sorted(models_folder().glob("*.toml"))}


def example_evidence() -> str:
    """A file of published numbers to begin with: its columns, and a few of NETTER-1's rows."""
    header, *rows = (models_folder() / "data" / "netter1.csv").read_text("utf-8").splitlines(keepends=True)
    own = [row.replace("virtual_trials.json", "") for row in rows if row.split(",", 1)[0] in EXAMPLES]
    return "".join([header, *own])


def find_specification(name: str) -> Path:
    """The file of a specification given as a path or as the name of a shipped one."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = shipped_models()
    if name in shipped:
        return shipped[name]
    if path.is_dir():
        raise SpecificationError(f"{name!r} is a folder; expected a specification file (.toml) in it")
    close = get_close_matches(path.stem, shipped, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else "."
    known = listed(shipped, limit=20)
    raise SpecificationError(f"{name!r} is neither a file nor a shipped model{hint} Shipped models: {known}")
