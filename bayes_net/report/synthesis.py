"""The report of a synthesis of published numbers: one self-contained HTML file, answer first.

``render_synthesis`` decides nothing about the statistics: it takes finished tables, puts them in order and
shows what is printed, what is predicted and what is only the prior apart from each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd

from bayes_net import numbers, schema
from bayes_net.display import template
from bayes_net.errors import InputError
from bayes_net.estimands import summary
from bayes_net.numbers import listed_and, plain_table
from bayes_net.report import synthesis_words, tables
from bayes_net.report.checklists import checklists
from bayes_net.report.evidence_tables import (
    arm_table,
    check_table,
    decided_table,
    evidence_table,
    movement_table,
    number_table,
    parameter_table,
    probability_table,
    ratio_table,
    refit_table,
    response_table,
    survival_table,
    without_table,
)
from bayes_net.report.page import row_groups
from bayes_net.report.synthesis_words import (
    NOTHING,
    WHOLE,
    answer,
    comparison,
    contents,
    failed_rows,
    movement_sentences,
    unpredicted,
)
from bayes_net.results.folder import Illustration, ResultFolder
from bayes_net.schema import PER_10_POINTS, words

SECTIONS = {
    "answer": "Answer",
    "hazard-ratios": "Hazard ratios of shrinkage",
    "probabilities": "Probabilities",
    "arms": "Arms and studies",
    "response": "Response",
    "survival": "Predicted survival",
    "model": "Model and priors",
    "learnt": "What the evidence says about what",
    "left-out": "Leave one out",
    "checks": "Held-out checks",
    "sensitivity": "Sensitivity",
    "evidence": "Evidence",
    "diagnostics": "Diagnostics",
    "limitations": "Limitations",
    "provenance": "Provenance and specification",
    "checklists": "Reporting checklists",
}
"""Anchor and heading of every section, in the order of reading."""


_NEEDS = {
    "hazard-ratios": ("hazard_ratios",),
    "probabilities": ("hazard_ratios",),
    "arms": ("arms_and_studies",),
    "response": ("responses",),
    "survival": ("survival",),
    "model": ("priors",),
    "learnt": ("parameters",),
    "left-out": ("influence", "loo"),
    "checks": ("checks",),
    "sensitivity": ("power_scaling", "study_influence", "sensitivity"),
    "evidence": ("evidence",),
}
"""The tables without any of which a section is left out."""


Part = tuple[str, pd.DataFrame]
"""Caption and presentation table."""


@dataclass(frozen=True, eq=False)
class SynthesisReport:
    """Everything that the report of a synthesis shows, already computed.

    ``tables`` are those of ``SynthesisAnalysis``; only ``diagnostics`` must be there, and a section whose
    table is absent is left out. ``model`` explains the model by heading; a heading that begins with
    "Equation" is set as mathematics. ``notes`` are pairs (kind, message). ``level`` is that of the intervals.
    """

    title: str
    tables: Mapping[str, pd.DataFrame]
    specification_toml: str
    provenance: Mapping[str, str]
    model: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    synthetic: bool = False
    notes: tuple[tuple[str, str], ...] = ()
    figures: Mapping[str, Illustration] = field(default_factory=dict)
    level: float = 0.95
    sensitivity_words: tuple[str, ...] = ()

    def __post_init__(self):
        astray = {figure.section for figure in self.figures.values()} - set(SECTIONS)
        if astray:
            raise InputError(f"no section {sorted(astray)} in the report; expected one of {list(SECTIONS)}")
        if "diagnostics" not in self.tables:
            raise InputError(
                f"tables has {', '.join(self.tables) or 'nothing'}; expected diagnostics among them, since a "
                "report must say whether its numbers can be used"
            )

    @property
    def label(self) -> str:
        """``95 % CrI``."""
        return f"{100 * self.level:.3g} % CrI"

    @property
    def whole_failed(self) -> bool:
        """True when the fit of all evidence failed a check or was never checked."""
        return synthesis_words.whole_failed(self.tables)

    @property
    def failed_checks(self) -> pd.DataFrame:
        """Failed checks of the fit of all evidence."""
        failed = failed_rows(self.tables["diagnostics"])
        return failed[failed["fit"] == WHOLE]

    @property
    def failed_refits(self) -> list[str]:
        """Names of the refits that failed a check."""
        failed = failed_rows(self.tables["diagnostics"])["fit"]
        return [name for name in dict.fromkeys(failed) if name != WHOLE]


SYNTHESIS = "synthesis"
"""Kind of the results that ``synthesis_content_of`` knows."""


def synthesis_content_of(result: ResultFolder) -> SynthesisReport:
    """What the report of a stored synthesis shows."""
    words = result.words
    return SynthesisReport(
        title=words["title"],
        description=words["description"],
        synthetic=words["synthetic"],
        tables=result.tables,
        notes=tuple((kind, message) for kind, message in words["notes"]),
        specification_toml=result.specification,
        provenance=words["provenance"],
        model=words["model"],
        figures=result.figures,
        level=words["level"],
        sensitivity_words=tuple(words.get("sensitivity", ())),
    )


def render_synthesis(content: SynthesisReport) -> str:
    """The whole report as one HTML page: no request to any address, no script."""
    filled = [
        key for key in SECTIONS if key not in _NEEDS or any(name in content.tables for name in _NEEDS[key])
    ]
    return template("pool_report.html.j2").render(
        content=content,
        numbers=numbers,
        schema=schema,
        tables=tables,
        summary=summary,
        sections={key: SECTIONS[key] for key in filled},
        checklists=checklists(filled),
        figures={key: [f for f in content.figures.values() if f.section == key] for key in SECTIONS},
        parts={key: list(_PARTS[key](content)) for key in filled if key in _PARTS},
        answer=answer(content.tables, level=content.level),
        moved=movement_sentences(content.tables) if "influence" in content.tables else [],
        unpredicted=unpredicted(content.tables),
        row_groups=row_groups,
        and_=listed_and,
        nothing=NOTHING,
        no_limit_warning=schema.NO_LIMIT_WARNING,
        about=contents(content.tables),
    )


def _hazard_ratios(content: SynthesisReport) -> Iterator[Part]:
    for (endpoint, measure), rows in content.tables["hazard_ratios"].groupby(
        ["endpoint", "measure"], sort=False
    ):
        yield f"{words(endpoint)}; {measure}", ratio_table(rows, label=content.label)


def _probabilities(content: SynthesisReport) -> Iterator[Part]:
    table = content.tables["hazard_ratios"]
    for endpoint, rows in table[table["measure"] == PER_10_POINTS].groupby("endpoint", sort=False):
        caption = f"Posterior probabilities: {words(endpoint)}; {PER_10_POINTS}"
        yield caption, probability_table(rows, failed=content.whole_failed)


def _arms(content: SynthesisReport) -> Iterator[Part]:
    table = arm_table(
        content.tables["arms_and_studies"],
        label=content.label,
        comparison=comparison(content.tables),
        failed=content.whole_failed,
    )
    yield "Hazard ratios between arms, and hazard levels between studies", table


def _response(content: SynthesisReport) -> Iterator[Part]:
    table = response_table(content.tables["responses"], label=content.label)
    yield "Probability of response", table


def _survival(content: SynthesisReport) -> Iterator[Part]:
    for endpoint, rows in content.tables["survival"].groupby("endpoint", sort=False):
        caption = f"{words(endpoint)} from randomisation or start of treatment: posterior median"
        yield f"{caption} ({content.label})", survival_table(rows)


def _model(content: SynthesisReport) -> Iterator[Part]:
    priors = content.tables["priors"][["parameter", "statement", "implies"]]
    yield "Priors, and what they imply", plain_table(priors)


def _learnt(content: SynthesisReport) -> Iterator[Part]:
    yield (
        "Prior and posterior standard deviations",
        parameter_table(content.tables["parameters"]),
    )


def _left_out(content: SynthesisReport) -> Iterator[Part]:
    influence, loo = content.tables.get("influence"), content.tables.get("loo")
    numbers = set() if loo is None else set(loo["row"])
    made = [] if influence is None else influence["fit"].unique()
    fits = [name.removeprefix("without ") for name in made]
    sources = [name for name in fits if name not in numbers]
    if sources:
        moved = movement_table(influence, sources=sources, failed=set(content.failed_refits))
        yield "Movement of posterior means without a source, in posterior SDs", moved
    if loo is not None:
        table = number_table(loo, content.tables.get("evidence"))
        yield "Each number predicted from all others", table


def _checks(content: SynthesisReport) -> Iterator[Part]:
    yield "Held-out numbers against their predictions", check_table(content.tables["checks"])


def _sensitivity(content: SynthesisReport) -> Iterator[Part]:
    found = content.tables
    if "power_scaling" in found:
        yield "What decides each hazard ratio", decided_table(found["power_scaling"])
    if "study_influence" in found:
        table = without_table(found["study_influence"])
        if len(table):
            yield "Each hazard ratio without each study", table


def _evidence(content: SynthesisReport) -> Iterator[Part]:
    yield "Every printed number", evidence_table(content.tables["evidence"])


def _diagnostics(content: SynthesisReport) -> Iterator[Part]:
    diagnostics = content.tables["diagnostics"].drop(columns="synthetic", errors="ignore")
    whole = diagnostics[diagnostics["fit"] == WHOLE]
    yield "Gate of the fit of all evidence", plain_table(whole, digits=4)
    if len(whole) < len(diagnostics):
        yield "Worst value of each check in every refit", refit_table(diagnostics)


_PARTS = {
    "hazard-ratios": _hazard_ratios,
    "probabilities": _probabilities,
    "arms": _arms,
    "response": _response,
    "survival": _survival,
    "model": _model,
    "learnt": _learnt,
    "left-out": _left_out,
    "checks": _checks,
    "sensitivity": _sensitivity,
    "evidence": _evidence,
    "diagnostics": _diagnostics,
}
