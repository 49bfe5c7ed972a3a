"""The report: one self-contained HTML file that answers first and then shows its doubts.

``render`` decides nothing about the statistics: it takes finished tables, puts them in order and
writes the sentences whose words follow the posterior probabilities (``tables.STRENGTHS``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd

from bayes_net import numbers, schema
from bayes_net.data.landmarks import attrition_table
from bayes_net.display import template
from bayes_net.errors import InputError
from bayes_net.estimands import summary
from bayes_net.numbers import format_probability, interval_label, listed_and
from bayes_net.report import tables
from bayes_net.report.checklists import checklists
from bayes_net.report.page import grouped, row_groups
from bayes_net.report.tables import hazard_ratio_table, influence_table, sensitivity_table
from bayes_net.report.words import answer, primary_rows
from bayes_net.results.folder import Illustration, ResultFolder
from bayes_net.schema import ASSOCIATION, PER_1_POINT, PER_10_POINTS, words

SECTIONS = {
    "answer": "Answer",
    "data": "Data and flow of patients",
    "model": "Model and priors",
    "hazard-ratios": "Hazard ratios",
    "probabilities": "Probabilities",
    "survival": "Survival",
    "baseline-hazard": "Baseline hazard",
    "waterfall": "Best change of each patient",
    "diagnostics": "Diagnostics",
    "ppc": "Posterior-predictive check",
    "loo": "Leave-one-out cross-validation",
    "sensitivity": "Sensitivity",
    "limitations": "Limitations",
    "provenance": "Provenance and specification",
    "checklists": "Reporting checklists",
}
"""Anchor and heading of every section, in the order of reading."""


KINDS = {
    "attrition_flow": ("data", "Analysed at each landmark (colour); who left before, and why (greys)."),
    "forest": (
        "hazard-ratios",
        "Posterior median hazard ratios with intervals by landmark and arm. Shaded: 0.9 to 1.11, too small "
        "to matter. Below 1: greater shrinkage goes with longer time to event. Hollow markers: no limit, "
        "biased.",
    ),
    "survival": (
        "survival",
        "Kaplan–Meier estimate (steps; ticks are censored patients) over the posterior median (thin "
        "line) and its interval (band). Numbers at risk beneath.",
    ),
    "baseline_hazard": (
        "baseline-hazard",
        "Posterior median hazard of each interval (line) and its interval (band), at the reference "
        "shrinkage and covariates.",
    ),
    "hazard_ratio_by_time": (
        "hazard-ratios",
        "Posterior median hazard ratio of each interval after the landmark (line) and its interval (band), "
        "among patients who are still at risk then. Line at 1: no association.",
    ),
    "waterfall": ("waterfall", "Best change from baseline, one bar a patient; lines at −30 % and +20 %."),
    "prior_posterior": ("model", "Prior (dashed grey) and posterior density of the hazard ratio."),
    "ppc": ("ppc", "Observed Kaplan–Meier curves over the bands of those that the model replicates."),
}
"""Section and caption of the figure that each function of ``plots`` draws."""


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Everything that the report shows, already computed.

    ``gate`` has the columns fit, check, worst, threshold, passed, where; an empty gate counts as
    failed, since nothing was checked. ``notes`` are pairs (kind, message). ``model`` explains the
    model by heading; a heading that begins with "Equation" is set as mathematics. ``figures`` are
    shown in the order given, by section. A table that is None leaves its section out.
    """

    title: str
    synthetic: bool
    gate: pd.DataFrame
    hazard_ratios: pd.DataFrame
    attrition: pd.DataFrame
    priors: pd.DataFrame
    model: Mapping[str, str]
    diagnostics: pd.DataFrame
    specification_toml: str
    provenance: Mapping[str, str]
    notes: tuple[tuple[str, str], ...] = ()
    over_time: pd.DataFrame | None = None
    survival: pd.DataFrame | None = None
    loo: pd.DataFrame | None = None
    ppc: pd.DataFrame | None = None
    power_scaling: pd.DataFrame | None = None
    tipping: pd.DataFrame | None = None
    influence: pd.DataFrame | None = None
    sensitivity: pd.DataFrame | None = None
    sensitivity_words: tuple[str, ...] = ()
    figures: Mapping[str, Illustration] = field(default_factory=dict)

    def __post_init__(self):
        astray = {figure.section for figure in self.figures.values()} - set(SECTIONS)
        if astray:
            raise InputError(f"no section {sorted(astray)} in the report; expected one of {list(SECTIONS)}")

    @property
    def failed_checks(self) -> pd.DataFrame:
        """The rows of the gate that did not pass; a check with an unknown result did not."""
        return self.gate[~self.gate["passed"].eq(True).fillna(False).astype(bool)]

    @property
    def gate_failed(self) -> bool:
        """True when a check failed or none was made."""
        return self.gate.empty or not self.failed_checks.empty


CENSORING = "Informative censoring"
"""Heading in ``model`` of what is assumed if censoring tells something."""


OVER_TIME = "Hazard ratio over time"
"""Heading in ``model`` of what hazard ratios mean where they vary over time."""


OVER_TIME_IN_WORDS = (
    "Hazards are not proportional in this model: the hazard ratio of shrinkage may change from interval to "
    "interval. Where one hazard ratio stands for an arm, it is the geometric mean over time (the open last "
    "interval counts as long as the one before it), and words and probabilities are about that mean. It may "
    "be 1 although shrinkage goes with fewer events early and with more late, or the other way round."
)


LANDMARKS = "landmarks"
"""Kind of the results that ``content_of`` knows."""


def content_of(result: ResultFolder) -> ReportContent:
    """What the report of a stored result of landmark models shows."""
    words = result.words
    found = {name: table.drop(columns="synthetic", errors="ignore") for name, table in result.tables.items()}
    return ReportContent(
        title=words["title"],
        synthetic=words["synthetic"],
        gate=found["diagnostics"],
        hazard_ratios=found["hazard_ratios"],
        attrition=found["attrition"],
        priors=found["priors"],
        model=words["model"],
        diagnostics=found["sampling"],
        specification_toml=result.specification,
        provenance=words["provenance"],
        notes=tuple((kind, message) for kind, message in words["notes"]),
        over_time=found.get("hazard_ratio_by_time"),
        survival=found.get("survival"),
        loo=found.get("loo"),
        ppc=found.get("predictive_check"),
        power_scaling=found.get("power_scaling"),
        tipping=found.get("tipping_points"),
        influence=found.get("influence"),
        sensitivity=found.get("sensitivity"),
        sensitivity_words=tuple(words.get("sensitivity", ())),
        figures=result.figures,
    )


def render(content: ReportContent) -> str:
    """The whole report as one HTML page: no request to any address, no script."""
    primary = primary_rows(content.hazard_ratios)
    survival = (
        ()
        if content.survival is None
        else grouped(content.survival, by=["endpoint", "population", "measure"])
    )
    sections = {key: heading for key, heading in SECTIONS.items() if _is_filled(content, key)}
    return template("report.html.j2").render(
        content=content,
        numbers=numbers,
        schema=schema,
        tables=tables,
        summary=summary,
        sections=sections,
        checklists=checklists(sections),
        figures={key: [f for f in content.figures.values() if f.section == key] for key in SECTIONS},
        primary=primary,
        answer=answer(content.hazard_ratios),
        answer_rows=list(answer_rows(primary)),
        hazard_ratio_groups=list(grouped(_without_repeats(content.hazard_ratios))),
        probability_groups=list(grouped(_with_words(content.hazard_ratios))),
        attrition_groups=_flows(content.attrition),
        thresholds=content.gate.drop_duplicates("check")[["check", "threshold"]].to_dict("records"),
        survival_groups=list(survival),
        decided_groups=list(_decided(content)),
        influence_groups=list(_one_patient(content)),
        row_groups=row_groups,
        words=words,
        no_limit_warning=schema.NO_LIMIT_WARNING,
        censoring=content.model.get(CENSORING, ""),
        over_time=content.model.get(OVER_TIME, ""),
        over_time_groups=[]
        if content.over_time is None
        else list(grouped(content.over_time, by=["endpoint", "population", "measure"])),
    )


def _decided(content: ReportContent) -> Iterator[tuple[str, pd.DataFrame]]:
    """Caption and presentation of what decides the hazard ratios of each analysis."""
    if content.power_scaling is None:
        return
    by = ["endpoint", "population", "measure"]
    for caption, rows in grouped(content.power_scaling, by=by):
        yield caption, sensitivity_table(rows, content.tipping)


def _one_patient(content: ReportContent) -> Iterator[tuple[str, pd.DataFrame]]:
    """Caption and presentation of what one patient does to the hazard ratios of each analysis."""
    if content.influence is not None:
        for caption, rows in grouped(content.influence, by=["endpoint", "population", "measure"]):
            yield caption, influence_table(rows)


def _flows(attrition: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Caption and table of every flow of patients; endpoints with the same flow share one."""
    found: dict[tuple[str, str], tuple[pd.DataFrame, list[str]]] = {}
    for (endpoint, population), rows in attrition.groupby(["endpoint", "population"], sort=False):
        table = attrition_table(rows)
        same = found.setdefault((population, table.to_csv()), (table, []))
        same[1].append(words(endpoint))
    return [
        (f"{listed_and(endpoints)}; {words(population)}", table)
        for (population, _), (table, endpoints) in found.items()
    ]


def _without_repeats(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Per 1 point only what publications print: the associations. Ratios of them are there per 10 points."""
    association, per_1 = hazard_ratios["estimand"] == ASSOCIATION, hazard_ratios["measure"] == PER_1_POINT
    return hazard_ratios[association | ~per_1 | ~(hazard_ratios["measure"] == PER_10_POINTS).any()]


def _with_words(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Associations on the scale on which the regions 0.8 and 0.9 to 1.11 were chosen."""
    wanted = (hazard_ratios["estimand"] == ASSOCIATION) & (hazard_ratios["measure"] != PER_1_POINT)
    return hazard_ratios[wanted]


def _is_filled(content: ReportContent, section: str) -> bool:
    optional = {"survival": content.survival, "loo": content.loo, "ppc": content.ppc}
    decided = (content.power_scaling, content.influence, content.sensitivity)
    optional["sensitivity"] = next((table for table in decided if table is not None), None)
    drawn = any(figure.section == section for figure in content.figures.values())
    if section in ("baseline-hazard", "waterfall"):
        return drawn
    return drawn or section not in optional or optional[section] is not None


def answer_rows(primary: pd.DataFrame) -> Iterator[tuple[str, bool, dict[str, dict[str, str]]]]:
    """Per landmark: its label, whether it is biased, and per arm the texts of one cell."""
    texts = hazard_ratio_table(primary)
    interval = f"HR ({interval_label(primary)})"
    landmarks = primary["landmark"].to_numpy()
    for label in dict.fromkeys(landmarks):
        here = landmarks == label
        cells = {
            row.arm: {
                "hr": text[interval],
                "probability": format_probability(row.prob_below_1),
                "counts": f"{text['Patients']} patients, {text['Events']} events",
                "gate": row.gate,
            }
            for row, (_, text) in zip(primary[here].itertuples(), texts[here].iterrows(), strict=True)
        }
        yield label, bool(primary["biased"].to_numpy()[here].any()), cells
