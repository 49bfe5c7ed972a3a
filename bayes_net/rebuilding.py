"""The report of a finished result, made anew from its folder: no patients' data and no sampling."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bayes_net._publishing import publish
from bayes_net.errors import InputError
from bayes_net.pool_report import SYNTHESIS, pool_content_of, render_pool
from bayes_net.report import LANDMARKS, content_of, render
from bayes_net.result_folder import CONTENT, REPORT, ResultFolder, read_content, read_result, write_manifest
from bayes_net.scenario_report import SCENARIOS, answer_of, scenario_page, summary_to_read

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
        raise InputError(f"the result is of kind {result.kind!r}; this version knows {', '.join(_KINDS)}")
    return _KINDS[result.kind](result)


def rebuild_report(folder: Path | str, *, scenarios: Path | str | None = None) -> Path:
    """Write ``report.html`` of a finished result anew, as this version words and draws it; returns its path.

    ``scenarios`` is the result of a grid of scenarios of the same specification: what it found becomes a
    section of the report, and its table and figures files of the result.

    Raises
    ------
    InputError
        A folder holds no result, or one whose files have changed; or the scenarios are of another
        specification.
    """
    result = read_result(folder)
    added = {} if scenarios is None else _with_scenarios(result, read_result(scenarios))

    def write(fresh: Path) -> None:
        shutil.copytree(result.path, fresh, dirs_exist_ok=True)
        for name, content in added.items():
            (fresh / name).write_bytes(content)
        (fresh / REPORT).write_text(report_page(read_content(fresh)), encoding="utf-8")
        write_manifest(fresh, result.told)

    return publish(result.path, write, gate_passed=result.gate_passed) / REPORT


def _with_scenarios(result: ResultFolder, scenarios: ResultFolder) -> dict[str, bytes]:
    """The files by which the result tells of the scenarios: its content, a table, and figures."""
    if result.kind not in (LANDMARKS, SYNTHESIS) or scenarios.kind != SCENARIOS:
        raise InputError(
            f"expected the result of a run and of its scenarios; {result.path} is of kind {result.kind}, "
            f"{scenarios.path} of kind {scenarios.kind}"
        )
    if result.told["specification_sha256"] != scenarios.told["specification_sha256"]:
        raise InputError(
            f"{scenarios.path} holds scenarios of another specification than {result.path}; run both anew"
        )
    content = json.loads((result.path / CONTENT).read_text(encoding="utf-8"))
    table = summary_to_read(scenarios)
    content["tables"]["sensitivity"] = dict.fromkeys(table.columns, "str")
    content["words"]["sensitivity"] = answer_of(scenarios)
    changed = {"sensitivity.csv": table.to_csv(index=False).encode()}
    for name, figure in scenarios.figures.items():
        told = {"section": "sensitivity", "caption": figure.caption, "alt": figure.alt}
        content["figures"][f"scenarios_{name}"] = told
        for kind in ("svg", "png"):
            drawn = scenarios.path / "figures" / f"{name}.{kind}"
            changed[f"figures/scenarios_{name}.{kind}"] = drawn.read_bytes()
    return changed | {CONTENT: (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()}
