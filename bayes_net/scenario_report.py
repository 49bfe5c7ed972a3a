"""The report of a grid of scenarios: would the answer change?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bayes_net import tables
from bayes_net._audit_table import audit_sentence, audit_to_read
from bayes_net._censoring_scenarios import said_of_tipping, tipping_to_read
from bayes_net._judgement import counted
from bayes_net._pages import template
from bayes_net._scenario_tables import summary_table, troubles
from bayes_net.report import row_groups
from bayes_net.result_folder import ResultFolder
from bayes_net.scenarios import AS_SPECIFIED

SCENARIOS = "scenarios"
"""Kind of the results that ``scenario_page`` knows."""
SECTIONS = {
    "answer": "Answer",
    "audit": "What each prior does by itself",
    "summary": "Every hazard ratio over the scenarios",
    "censoring": "Informative censoring",
    "figures": "Figures",
    "changes": "Scenarios",
    "provenance": "Provenance and specification",
}


def scenario_page(result: ResultFolder) -> str:
    """The whole report as one HTML page: no request to any address, no script."""
    found = result.tables
    drawn = {key: [f for f in result.figures.values() if f.section == key] for key in SECTIONS}
    filled = {"figures": drawn["figures"], "censoring": result.words.get("censoring", "")}
    filled["audit"] = "audit" in found
    sections = {key: name for key, name in SECTIONS.items() if filled.get(key, True)}
    return template("scenarios.html.j2").render(
        title=result.words["title"],
        words=result.words,
        sections=sections,
        tables=tables,
        answer=answer_of(result),
        audit=audit_to_read(found["audit"]) if "audit" in found else None,
        tipping=list(tipping_to_read(found.get("censoring_tipping", pd.DataFrame()))),
        troubles=troubles(found["scenarios"]),
        summary=summary_to_read(result),
        changes=_changes(found["changes"]),
        figures=drawn,
        row_groups=row_groups,
        specification_toml=result.specification,
    )


def summary_to_read(result: ResultFolder) -> pd.DataFrame:
    """Every hazard ratio as specified and over the scenarios, as text."""
    label = f"{100 * result.words['level']:.3g} % CrI"
    return summary_table(result.tables["summary"], label=label)


def answer_of(result: ResultFolder) -> list[str]:
    """What a finished grid says, in sentences; of informative censoring also what was assumed."""
    found, assumed = result.tables, result.words.get("censoring", "")
    said = answer(found) + said_of_tipping(found.get("censoring_tipping", pd.DataFrame()))
    return [*said, assumed] if assumed else said


def answer(found: Mapping[str, pd.DataFrame]) -> list[str]:
    """How many scenarios there are, whether any conclusion depends on them, and which priors do something."""
    summary, scenarios = found["summary"], found["scenarios"]
    names = scenarios["scenario"].nunique()
    said = [f"{counted(names - 1, 'scenario')} beside the analysis as specified."]
    known = summary[summary["other_conclusion"].notna()] if len(summary) else summary
    if known.empty:
        return [*said, "Nothing can be compared: the analysis as specified has no hazard ratio that passed."]
    moved = known[known["other_conclusion"].astype(float) > 0]
    if moved.empty:
        said.append(f"None of the {len(known)} verbal conclusions changes in any of them.")
    else:
        said.append(
            f"{len(moved)} of {len(known)} verbal conclusions change in at least one of them; the table "
            "below says which, and in how many."
        )
    if "audit" in found:
        said.append(audit_sentence(found["audit"]))
    failed = troubles(scenarios)
    if len(failed):
        said.append(
            f"Without a usable result for some or all hazard ratios: {counted(len(failed), 'scenario')}."
        )
    return said


def _changes(changes: pd.DataFrame) -> pd.DataFrame:
    rows = changes.rename(columns={"scenario": "Scenario", "key": "Key", "value": "Value"})
    first = pd.DataFrame([(AS_SPECIFIED, tables.MISSING, tables.MISSING)], columns=rows.columns)
    return pd.concat([first, rows], ignore_index=True)
