"""The reports of a grid of scenarios, would the answer change, and of a planned study, will it find it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.checks.calibrate import NO_ASSOCIATION
from bayes_net.checks.design import BELOW, POSTERIOR, named
from bayes_net.checks.tipping import KEYS
from bayes_net.numbers import (
    MISSING,
    Column,
    capitalised,
    counted,
    format_count,
    format_probability,
    format_ratio,
    listed_and,
    percent,
    rounded,
    significant,
    text_table,
)
from bayes_net.report.page import NOTHING_BUT_FIGURES, Section, grouped, render
from bayes_net.results.folder import ResultFolder
from bayes_net.results.scenarios import LARGE, MODERATE, strongest, subject, summary_table, troubles
from bayes_net.schema import AS_SPECIFIED, PASSED, words

SCENARIOS = "scenarios"
"""Kind of the results that ``scenario_page`` knows."""
SECTIONS = (
    Section("answer", "Answer"),
    Section("audit", "What each prior does by itself", needs=("audit",)),
    Section("summary", "Every hazard ratio over the scenarios"),
    Section("censoring", "Informative censoring", needs=("censoring", "censoring_tipping")),
    Section("figures", "Figures", needs=NOTHING_BUT_FIGURES),
    Section("changes", "Scenarios"),
    Section("provenance", "Provenance and specification"),
)
"""Every section, in the order of reading."""


def scenario_page(result: ResultFolder) -> str:
    """The whole report as one HTML page: no request to any address, no script."""
    found, failed = result.tables, troubles(result.tables["scenarios"])
    as_specified = pd.DataFrame([(AS_SPECIFIED, MISSING, MISSING)], columns=["Scenario", "Key", "Value"])
    changes = found["changes"].set_axis(as_specified.columns, axis=1)
    return render(
        "scenarios",
        result,
        SECTIONS,
        heading=f"Would the answer change? {result.words['title']}",
        signs=["SOME SCENARIOS FAILED"] * (len(failed) > 0),
        synthetic="Some or all of the patients were" if result.words["synthetic"] else "",
        footer="Association, not effect.",
        alarm=len(failed) > 0,
        failed=failed,
        answer=answer_of(result),
        summary=summary_to_read(result),
        audit_to_read=audit_to_read,
        lost=list(tipping_to_read(found.get("censoring_tipping", pd.DataFrame()))),
        changes=pd.concat([as_specified, changes], ignore_index=True),
    )


DESIGN = "design"
"""Kind of the results that ``design_page`` knows."""
DESIGN_SECTIONS = (
    Section("answer", "Answer"),
    Section("operating-characteristics", "Operating characteristics"),
    Section("design", "Design"),
    Section("provenance", "Provenance and specification"),
)


def design_page(result: ResultFolder) -> str:
    """The report of a planned study."""
    failed = result.words["provenance"]["gate"] != PASSED
    return render(
        "design",
        result,
        DESIGN_SECTIONS,
        heading=f"Will a planned study find it? {result.words['title']}",
        signs=["GATE FAILED"] * failed,
        synthetic="The patients behind the posterior were" if result.words["synthetic"] else "",
        footer="Association, not effect.",
        alarm=failed,
        rule=rule_in_words(result.words),
        characteristics=design_to_read(result.tables["operating_characteristics"]),
    )


def rule_in_words(about: Mapping[str, Any]) -> str:
    """When a planned study succeeds."""
    ratio, certainty = f"{about['hazard_ratio']:g}", f"{about['certainty']:g}"
    if about["rule"] == BELOW:
        return f"the probability of a hazard ratio below {ratio} exceeds {certainty}"
    return f"the probability of a hazard ratio below {ratio}, or that of one above it, exceeds {certainty}"


def design_sentences(summary: pd.DataFrame, about: Mapping[str, Any]) -> Iterator[str]:
    """Of each arm, the chances of a study of the largest size: assurance, type I error and power."""
    for arm, rows in summary.groupby("arm", sort=False):
        own = rows[rows["patients"] == rows["patients"].max()].set_index("truth")
        parts = [
            f"{percent(row.success)} ({_mcse(row)}) {_under_truth(truth)}"
            for truth, row in zip(own.index, own.itertuples(), strict=True)
        ]
        yield (
            f"{arm}: a study of {format_count(own['patients'].iloc[0])} patients succeeds, that is "
            f"{rule_in_words(about)}, in {listed_and(parts)}."
        )


def _mcse(row: Any) -> str:
    return f"± {rounded(100 * row.mcse, 1)}"


def _under_truth(truth: str) -> str:
    named = {
        POSTERIOR: "of studies, averaged over what is believed today (assurance)",
        NO_ASSOCIATION: "if there is no association (type I error)",
    }
    return named.get(truth, f"with a true {truth} (power)")


def design_to_read(summary: pd.DataFrame) -> pd.DataFrame:
    """Operating characteristics as text."""
    return text_table(
        summary,
        {
            "Arm": ("arm", str),
            "Truth": ("truth", named),
            "Patients": ("patients", format_count),
            "At the landmark": ("analysed", format_count),
            "Events": ("events", format_count),
            "Succeed": lambda row: f"{percent(row.success)} ({_mcse(row)})",
            "Successes that are right": lambda row: MISSING if pd.isna(row.right) else percent(row.right),
            "Studies": ("studies", format_count),
        },
    )


def summary_to_read(result: ResultFolder) -> pd.DataFrame:
    """Every hazard ratio as specified and over the scenarios, as text."""
    label = f"{percent(result.words['level'])} CrI"
    return summary_table(result.tables["summary"], label=label)


def answer_of(result: ResultFolder) -> list[str]:
    """What a finished grid says, in sentences; of informative censoring also what was assumed."""
    found, assumed = result.tables, result.words.get("censoring", "")
    sentences = answer(found) + tipping_sentences(found.get("censoring_tipping", pd.DataFrame()))
    return [*sentences, assumed] if assumed else sentences


def answer(found: Mapping[str, pd.DataFrame]) -> list[str]:
    """How many scenarios there are, whether any conclusion depends on them, and which priors matter."""
    summary, scenarios = found["summary"], found["scenarios"]
    first = f"{counted(scenarios['scenario'].nunique() - 1, 'scenario')} beside the analysis as specified."
    compared = summary[summary["other_conclusion"].notna()]
    if not summary["hr"].notna().any():
        return [first, "Nothing can be compared: the analysis as specified has no hazard ratio that passed."]
    if compared.empty:
        second = "No conclusion can change: no hazard ratio as specified is put into words."
    elif moved := int((compared["other_conclusion"].astype(float) > 0).sum()):
        second = (
            f"{moved} of {len(compared)} verbal conclusions change in at least one of them; the table below "
            "says which, and in how many."
        )
    else:
        second = f"None of the {len(compared)} verbal conclusions changes in any of them."
    sentences = [first, second]
    if "audit" in found:
        sentences.append(audit_sentence(found["audit"]))
    if failed := len(troubles(scenarios)):
        sentences.append(
            f"Without a usable result for some or all hazard ratios: {counted(failed, 'scenario')}."
        )
    return sentences


def audit_to_read(audit: pd.DataFrame) -> pd.DataFrame:
    """The strongest row of each block as text."""
    return text_table(
        strongest(audit),
        {
            "Prior, or study": lambda row: "without " * (row.kind == "study") + row.block,
            "Effect on the hazard ratio": ("change", _size_of_effect),
            "Hazard ratio most affected": lambda row: f"{words(row.endpoint)}, {subject(row)}",
            "HR as specified": format_ratio,
            "Weakened, or left out": lambda row: _hr_and_shift(row.hr_weakened, row.shift_weakened),
            "Interval": lambda row: (
                MISSING if np.isnan(row.width_weakened) else f"× {rounded(row.width_weakened)}"
            ),
            "Moved, or narrowed": lambda row: (
                _hr_and_shift(row.hr_other, row.shift_other) if row.other else MISSING
            ),
            "± MCSE": lambda row: rounded(np.fmax(row.mcse_shift_weakened, row.mcse_shift_other)),
        },
    )


def _size_of_effect(change: float) -> str:
    if np.isnan(change):
        return "not known"
    return "large" if change >= LARGE else "moderate" if change >= MODERATE else "negligible"


def _hr_and_shift(hr: float, shift: float) -> str:
    """``0.61 (+0.25 SD)``."""
    return "not known" if np.isnan(hr) else f"{rounded(hr)} ({rounded(shift, sign='+')} SD)"


def audit_sentence(audit: pd.DataFrame) -> str:
    """Which priors, and which studies, have more than a negligible effect."""
    top, clauses = strongest(audit), []
    for kind, several in (("prior", "stated priors"), ("study", "studies")):
        blocks = top[top["kind"] == kind]
        names = list(blocks.loc[blocks["change"] >= MODERATE, "block"])
        if len(blocks):
            clauses.append(
                f"of {len(blocks)} {several}, one at a time, these have more than a negligible effect: "
                f"{listed_and(names) if names else 'none'}"
            )
    return f"{capitalised('; '.join(clauses))}."


def _but_covariates(tipping: pd.DataFrame) -> pd.DataFrame:
    """Rows about shrinkage and the arms; those of covariates are for the file."""
    tipping = tipping if len(tipping) else tipping.reindex(columns=[*KEYS, "time"])
    return tipping[tipping["estimand"] != "covariate"]


def tipping_to_read(tipping: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """``censoring_tipping`` as text: caption and table by endpoint, measure and estimand but covariates."""
    columns: dict[str, Column] = {
        "Landmark": ("landmark", str),
        "Arm": ("arm", str),
        "As specified": lambda row: (
            f"{row.word} {row.time} ({format_probability(row.prob)})" if row.time else row.word
        ),
        "Lost below": lambda row: _factor_where_lost(row, "below", row.lowest),
        "Lost above": lambda row: _factor_where_lost(row, "above", row.highest),
    }
    for caption, rows in grouped(_but_covariates(tipping)):
        yield caption, text_table(rows, columns)


def _factor_where_lost(row: Any, side: str, tried: float) -> str:
    if not row.time:
        return MISSING
    at, nearest, farthest = (getattr(row, f"{side}{end}") for end in ("", "_nearest", "_farthest"))
    if pd.isna(at):
        perhaps = "" if pd.isna(nearest) else f" (or lost at {significant(nearest, 2)})"
        return f"holds to × {significant(tried)}{perhaps}"
    far = f"beyond {significant(tried)}" if pd.isna(farthest) else significant(farthest, 2)
    return f"× {significant(at, 2)} ({significant(nearest, 2)} to {far})"


def tipping_sentences(tipping: pd.DataFrame) -> list[str]:
    """How many words are lost within the factors tried, and which is lost soonest."""
    rows = _but_covariates(tipping)
    rows = rows[rows["time"] != ""]
    if rows.empty:
        return []
    sides = ["below", "above"]
    away = np.abs(np.log(rows[sides].div(rows["factor"], axis=0)).to_numpy(float))
    tried = f"{significant(rows['lowest'].min())} to {significant(rows['highest'].max())}"
    lost = int((~np.isnan(away)).any(axis=1).sum())
    lead = f"Informative censoring: of {counted(len(rows), 'verbal conclusion')},"
    if not lost:
        return [f"{lead} none is lost at factors from {tried}."]
    row, side = np.unravel_index(np.nanargmin(away), away.shape)
    soonest = rows.iloc[row]
    where = ", ".join(words(part) for part in (soonest["endpoint"], soonest["landmark"], soonest["arm"]))
    return [
        f"{lead} {lost} would be lost at some factor from {tried}; the soonest "
        f"({where}, {soonest['measure']}) at × {significant(soonest[sides[side]], 2)}."
    ]
