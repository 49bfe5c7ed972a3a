"""Parts of pages that are made from the package itself whenever the pages are built, so none can go stale.

A comment ``<!-- generated: WHAT ARGUMENTS -->`` on a line of its own is replaced by Markdown.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.util import logging

from live import commands, house, keys, reference, shipped

logger = logging.getLogger(__name__)
MARK = re.compile(r"^<!-- generated: (.+?) -->$", re.M)
MAKERS = {
    "public": reference.public,
    "figures": reference.figures,
    "overview": reference.overview,
    "names": reference.names,
    "commands": commands.commands,
    "house": house.house,
    "keys": keys.keys,
    "models": shipped.models,
    "columns": shipped.columns,
    "gate": shipped.gate,
    "calibration": shipped.calibration,
}


def _replace(app, docname: str, source: list[str]) -> None:
    def made(match: re.Match) -> str:
        what, *arguments = match[1].split()
        return MAKERS[what](*arguments)

    source[0] = MARK.sub(made, source[0])


def _check_reference(app) -> None:
    if missing := reference.untold(Path(app.srcdir) / "reference"):
        logger.warning(
            "no page of the reference has %s; add <!-- generated: public MODULE --> to one",
            ", ".join(missing),
        )


def _always_anew(app, env, added, changed, removed) -> list[str]:
    """Pages with generated parts: the package may have changed although the page did not."""
    return [name for name in env.found_docs if MARK.search(Path(env.doc2path(name)).read_text("utf-8"))]


def setup(app) -> dict:
    """Replace the comments when pages are read."""
    app.connect("builder-inited", _check_reference)
    app.connect("source-read", _replace)
    app.connect("env-get-outdated", _always_anew)
    app.connect("autodoc-process-docstring", reference.link_sources)
    app.connect("autodoc-process-signature", reference.readable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
