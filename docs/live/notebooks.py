"""The repository's notebooks beside the pages, where Sphinx finds them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)\s]+)\)")


def copy_notebooks(source: Path, target: Path) -> None:
    """Copy every notebook of ``source`` to ``target``, and remove copies of those that are gone.

    Links out of the folder lead nowhere in the built pages: their text stays.
    """
    found = sorted(source.glob("*.ipynb"))
    for copy in set(target.glob("*.ipynb")) - {target / path.name for path in found}:
        copy.unlink(missing_ok=True)
    for path in found:
        text = _for_pages(path, {other.name for other in found})
        copy = target / path.name
        if not copy.exists() or copy.read_text(encoding="utf-8") != text:
            beside = copy.with_suffix(f".{os.getpid()}")
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, copy)


def _for_pages(path: Path, names: set[str]) -> str:
    notebook = json.loads(path.read_text(encoding="utf-8"))

    def link(match: re.Match) -> str:
        return match[0] if match[2] in names else match[1]

    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = _LINK.sub(link, "".join(cell["source"]))
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
