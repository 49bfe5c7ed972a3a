"""Parts of pages that are made from the package itself whenever the pages are built, so none can go stale.

A comment ``<!-- generated: WHAT ARGUMENTS -->`` on a line of its own, with what stands between it and
``<!-- end of generated -->``, is replaced by Markdown. Between them stands, for whoever reads the Markdown,
the same (``stored``; a test keeps it so), or where the page has it.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.util import logging

from live import commands, house, keys, reference, shipped

logger = logging.getLogger(__name__)
END = "<!-- end of generated -->"
MARK = re.compile(rf"^<!-- generated: ([^\n]+?) -->$(?:\n(?:(?!^<!-- generated: ).)*?^{END}$)?", re.M | re.S)
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


_DOCSTRINGS = "In the built pages; in Python `help` of a name tells the same, as in `help(bn.read_cohort)`."
ELSEWHERE = {
    "public": _DOCSTRINGS,
    "figures": _DOCSTRINGS,
    "overview": _DOCSTRINGS,
    "house": "In the built pages: every folder of the package with what it is and imports.",
    "calibration": "In the built pages; the results are stored in `tests/calibration`.",
}
"""What stands in the Markdown of a page in the place of what only Sphinx can show, or is stored already."""


def stored(text: str) -> str:
    """The text of a page with what its generated parts are now, or where they are."""

    def made(match: re.Match) -> str:
        what, *arguments = match[1].split()
        content = f"*{ELSEWHERE[what]}*" if what in ELSEWHERE else MAKERS[what](*arguments).strip("\n")
        return f"<!-- generated: {match[1]} -->\n\n{content}\n\n{END}"

    return MARK.sub(made, text)


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
