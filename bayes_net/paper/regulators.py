"""The appendix for regulators as tables: what the FDA's draft guidance asks, the estimand, the checklists."""

from __future__ import annotations

import pandas as pd

from bayes_net.numbers import counted, listed_and
from bayes_net.paper.content import DO_NOT_USE, FAILED, with_marks
from bayes_net.paper.table import PaperTable
from bayes_net.report import patients, synthesis
from bayes_net.report.checklists import E9, checklists
from bayes_net.report.words import failed_rows
from bayes_net.results.folder import ResultFolder
from bayes_net.results.submission import GUIDANCE, SOURCES, estimand, justified, statements, unjustified

_SECTIONS = {patients.LANDMARKS: patients.SECTIONS, synthesis.SYNTHESIS: synthesis.SECTIONS}


def appendix(result: ResultFolder) -> dict[str, PaperTable]:
    """The tables ``regulators``, ``estimand`` and ``checklists`` of a finished run, of patients or of a
    synthesis; none of other results.

    What the run does not state is said so, with what its sponsor has to do. Tables of a run with a failed
    gate or with synthetic patients say it, as all its tables do.
    """
    if result.kind not in _SECTIONS:
        return {}
    headings = {each.key: each.heading for each in _SECTIONS[result.kind] if each.stands(result)}
    made = {"regulators": _guidance(result, headings)}
    if attributes := estimand(result.words):
        frame = pd.DataFrame(attributes.items(), columns=["Attribute", "In this analysis"])
        made["estimand"] = PaperTable(f"Estimand: attributes of {E9}", frame)
    rows = [
        (name, asks, listed_and([headings[key] for key in keys]) if keys else otherwise)
        for name, items in checklists(headings, justified(result))
        for asks, keys, otherwise in items
    ]
    frame = pd.DataFrame(rows, columns=["Guideline", "Item", "Section of the report"])
    made["checklists"] = PaperTable("Reporting checklists", frame, grouped_by="Guideline")
    made = with_marks(made, result.tables)
    checks = result.tables["diagnostics"]
    if checks.empty or len(failed_rows(checks)):
        n = counted(len(failed_rows(checks)), "convergence check")
        reason = f"{'no convergence check was made' if checks.empty else f'{n} did not pass'}; {DO_NOT_USE}"
        made = {name: table.marked(FAILED, reason) for name, table in made.items()}
    return made


def _guidance(result: ResultFolder, headings: dict[str, str]) -> PaperTable:
    rows = []
    for item in statements(result):
        there = [headings[key] for key in item.sections if key in headings and item.stated]
        shown = f" Shown in: {listed_and(there)}." if there else ""
        rows.append((item.topic, item.asks, f"{item.states}{shown}"))
    frame = pd.DataFrame(rows, columns=["Topic", "Asked for", "This run states"])
    left = listed_and(unjustified(result))
    missing = f"Not justified by this run: {left}. Their place is [justification] of the specification."
    notes = (missing, SOURCES) if left else (SOURCES,)
    return PaperTable(f"For regulators: {GUIDANCE}", frame, grouped_by="Topic", notes=notes)
