"""The report of a finished result, made anew from its folder: no patients' data and no sampling."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from bayes_net._publishing import MANIFEST
from bayes_net.errors import InputError
from bayes_net.pool_report import SYNTHESIS, pool_content_of, render_pool
from bayes_net.report import LANDMARKS, content_of, render
from bayes_net.result_folder import REPORT, ResultFolder, read_result
from bayes_net.scenario_report import SCENARIOS, scenario_page

_KINDS = {
    LANDMARKS: lambda result: render(content_of(result)),
    SYNTHESIS: lambda result: render_pool(pool_content_of(result)),
    SCENARIOS: scenario_page,
}


def report_page(result: ResultFolder) -> str:
    """The report of a stored result as one HTML page.

    Raises
    ------
    InputError
        The result is of a kind that this version does not know.
    """
    if result.kind not in _KINDS:
        raise InputError(
            f"{result.path} holds a result of kind {result.kind!r}; this version knows {', '.join(_KINDS)}"
        )
    return _KINDS[result.kind](result)


def rebuild_report(folder: Path | str) -> Path:
    """Write ``report.html`` of a finished result anew, as this version words and draws it; returns its path.

    Raises
    ------
    InputError
        The folder holds no result, or one whose files have changed.
    """
    result = read_result(folder)
    page = report_page(result).encode()
    manifest = json.loads((result.path / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][REPORT] = hashlib.sha256(page).hexdigest()
    _replace(result.path / REPORT, page)
    _replace(result.path / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    return result.path / REPORT


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    os.replace(beside, path)
