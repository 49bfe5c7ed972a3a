"""The report of a synthesis of published numbers: its sections, with what is printed, what is predicted and
what is only the prior shown apart from each other."""

from __future__ import annotations

import pandas as pd

from bayes_net.errors import InputError
from bayes_net.report import evidence_tables
from bayes_net.report.page import Section, render
from bayes_net.report.synthesis_answer import answer, first_answer, question, rests_on
from bayes_net.report.synthesis_words import (
    WHOLE,
    Tables,
    contents,
    judged,
    movement_sentences,
    not_matched,
    slope_sentences,
    tails,
    together_sentences,
    unpredicted,
    virtual_without_sentences,
    whole_failed,
)
from bayes_net.report.words import failed_rows
from bayes_net.results.folder import ResultFolder
from bayes_net.schema import PER_10_POINTS

SYNTHESIS = "synthesis"
"""Kind of the results that ``synthesis_page`` knows."""
SECTIONS = (
    Section("answer", "Answer"),
    Section("hazard-ratios", "Hazard ratios of shrinkage", needs=("hazard_ratios",)),
    Section("probabilities", "Probabilities", needs=("hazard_ratios",)),
    Section("arms", "Arms and studies", needs=("arms_and_studies",)),
    Section("response", "Response", needs=("responses",)),
    Section("survival", "Predicted survival", needs=("survival",)),
    Section("model", "Model and priors", needs=("priors",), folded=True),
    Section("learnt", "What was learnt of each parameter", needs=("parameters",), folded=True),
    Section("left-out", "Leave one out", needs=("influence", "loo"), folded=True),
    Section("checks", "Held-out checks", needs=("checks",), folded=True),
    Section(
        "sensitivity", "Sensitivity", needs=("power_scaling", "study_influence", "sensitivity"), folded=True
    ),
    Section("evidence", "Evidence", needs=("evidence",), folded=True),
    Section("diagnostics", "Diagnostics", folded=True),
    Section("limitations", "Limitations"),
    Section("glossary", "Terms"),
    Section("provenance", "Provenance and specification", folded=True),
    Section("regulators", "For regulators", folded=True),
    Section("checklists", "Reporting checklists", folded=True),
)
"""Every section, in the order of reading."""


def synthesis_page(result: ResultFolder) -> str:
    """The whole report as one HTML page: no request to any address, no script."""
    found = result.tables
    if "diagnostics" not in found:
        raise InputError(
            f"tables has {', '.join(found) or 'nothing'}; expected diagnostics among them, since a "
            "report must say whether its numbers can be used"
        )
    there, fit_failed = contents(found), whole_failed(found)
    diagnostics, failed = found["diagnostics"], failed_rows(found["diagnostics"])
    refits = [fit for fit in failed["fit"].unique() if fit != WHOLE]
    return render(
        "synthesis",
        result,
        SECTIONS,
        heading=result.words["title"],
        specified=result.words["description"],
        signs=["GATE FAILED"] * fit_failed,
        synthetic="Some or all of the patients in this synthesis were" if result.words["synthetic"] else "",
        footer="Association, not effect." if there["slopes"] or there["response_arms"] else "",
        alarm=fit_failed or refits,
        whole=diagnostics[diagnostics["fit"] == WHOLE],
        whole_failed=fit_failed,
        failed_whole=failed[failed["fit"] == WHOLE],
        refits=refits,
        refitted_sources=_refitted_sources(found),
        contents=there,
        answer=answer,
        first_answer=first_answer,
        question=question,
        rests_on=rests_on,
        evidence=evidence_tables,
        judged=judged,
        tails=tails(found),
        slopes_per_10=_slopes_per_10,
        movement_sentences=movement_sentences,
        not_matched=not_matched,
        together_sentences=together_sentences,
        slope_sentences=slope_sentences,
        unpredicted=unpredicted,
        virtual_without_sentences=virtual_without_sentences,
    )


def _slopes_per_10(found: Tables) -> pd.DataFrame:
    ratios = judged(found, "hazard_ratios")
    return ratios[ratios["measure"] == PER_10_POINTS]


def _refitted_sources(found: Tables) -> list[str]:
    """Studies that were left out by refitting; single numbers have a table of their own."""
    numbers = set(found["loo"]["row"]) if "loo" in found else set()
    fits = found["influence"]["fit"].unique() if "influence" in found else []
    return [source for fit in fits if (source := fit.removeprefix("without ")) not in numbers]
