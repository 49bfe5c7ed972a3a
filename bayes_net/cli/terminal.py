"""What the command line shows on a terminal, or writes to a log."""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd


LOG_WIDTH = 160
"""Columns of a table in a file or pipe; a terminal has its own width."""


_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def _console(*, stderr: bool) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if terminal else LOG_WIDTH
    return Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, width=width)


out_console, err_console = _console(stderr=False), _console(stderr=True)


def literal(text: object) -> str:
    """Text from files as it is: no markup in it is obeyed, and no control character reaches the terminal."""
    return escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text)))


def framed(frame: pd.DataFrame, title: str | None = None) -> Table:
    """A table that is text already."""
    title = None if title is None else literal(title)
    table = Table(*map(literal, frame.columns), box=None, title=title, title_justify="left")
    for row in frame.itertuples(index=False):
        table.add_row(*map(literal, row))
    return table


def show_scenarios(found, level: float) -> None:
    """Every hazard ratio over the scenarios, and what an audit of priors found."""
    from bayes_net.report.scenarios import audit_to_read
    from bayes_net.results.scenarios import summary_table

    out_console.print(framed(summary_table(found.summary, label=f"{100 * level:.3g} % CrI")), "")
    if len(found.audit):
        out_console.print(framed(audit_to_read(found.audit)), "")


def show_tipping(found) -> None:
    """From which factor of informative censoring on each conclusion is lost."""
    from bayes_net.report.scenarios import tipping_to_read

    for caption, shown in tipping_to_read(found.tipping):
        out_console.print("\n", framed(shown, f"Factor at which the word is lost: {caption}"))


def show_prepared(prepared) -> None:
    """What a specification of patients will fit, and what calls for judgement."""
    out_console.print(f"{literal(prepared.specification.title)}\n{literal(str(prepared.cohort))}")
    for note in prepared.notes:
        colour = "yellow" if note.kind == "warning" else "default"
        out_console.print(f"  [{colour}]{note.kind}:[/] {literal(note.message)}")
    out_console.print(f"{len(prepared.jobs)} models to fit")


def show_prepared_synthesis(prepared) -> None:
    """What a synthesis rests on, and what calls for judgement."""
    out_console.print(literal(prepared.specification.title))
    if prepared.evidence is not None:
        out_console.print(literal(str(prepared.evidence)))
    for study, note in prepared.notes:
        colour = "yellow" if note.kind == "warning" else "default"
        out_console.print(f"  [{colour}]{note.kind}:[/] {literal(f'{study}: {note.message}')}")


def show_rows(prepared) -> None:
    """The published numbers that enter or are held out, and the patients."""
    table = Table("row", "study", "arm", "endpoint", "statistic", "use", box=None)
    for row in prepared.printed.itertuples():
        if row.use != "record":
            table.add_row(
                *(literal(x) for x in (row.id, row.study, row.arm, row.endpoint, row.statistic, row.use))
            )
    out_console.print(table)
    for cohort in prepared.network.cohorts:
        n = f"{cohort.events.sum():.0f} events in {cohort.person_time.sum():.0f} months from randomisation"
        after = f"; {cohort.exposure.n} patients at {cohort.landmark}" if cohort.exposure is not None else ""
        out_console.print(literal(f"{cohort.study}, {cohort.endpoint.upper()}: {n}{after}"))


def show_synthesis(analysis) -> None:
    """The hazard ratios of a synthesis."""
    from bayes_net.numbers import format_interval, format_probability

    interval_name = f"HR ({100 * analysis.prepared.specification.report.level:.3g} % CrI)"
    mark = "" if analysis.gate.passed else " (the gate failed: not to be used)"

    def estimate(row) -> tuple[str, str]:
        interval = format_interval(row.hr, row.lower, row.upper, row.mcse_hr)
        return interval, format_probability(row.prob_below_1)

    shown = analysis.tables.get("hazard_ratios")
    if shown is not None:
        columns = ("endpoint", "arm", "landmark", interval_name, "Pr(HR < 1)", "", "printed")
        table = Table(*columns, box=None, title=f"Shrinkage, per 10 points{mark}", title_justify="left")
        for row in shown[shown["measure"] == "shrinkage, per 10 points"].itertuples():
            limits = f"{row.printed:.2f} ({row.printed_lower:.2f}–{row.printed_upper:.2f})"
            known = "" if math.isnan(row.printed) else limits
            cells = (row.endpoint.upper(), row.arm, row.landmark, *estimate(row), row.status, known)
            table.add_row(*map(literal, cells))
        out_console.print("\n", table)
    shown = analysis.tables.get("arms_and_studies")
    if shown is not None:
        columns = ("endpoint", "estimand", "study", interval_name, "Pr(HR < 1)")
        table = Table(*columns, box=None, title=f"Arms and studies{mark}", title_justify="left")
        for row in shown.itertuples():
            table.add_row(*map(literal, (row.endpoint.upper(), row.estimand, row.study, *estimate(row))))
        out_console.print("\n", table)


def show_risk_sets(prepared) -> None:
    """Patients at risk and events of every landmark and arm."""
    table = Table("endpoint", "landmark", "arm", "patients", "events", box=None)
    for key in dict.fromkeys((job.endpoint, job.landmark.label) for job in prepared.jobs):
        job = next(job for job in prepared.jobs if (job.endpoint, job.landmark.label) == key)
        for arm, n, events in zip(job.data.arms, job.data.n_by_arm, job.data.events.sum(axis=1), strict=True):
            table.add_row(job.endpoint.upper(), job.landmark.label, literal(arm), str(n), f"{events:.0f}")
    out_console.print(table)


def show_hazard_ratios(analysis) -> None:
    """The hazard ratios of shrinkage of a run."""
    from bayes_net.report.tables import hazard_ratio_table

    rows = analysis.hazard_ratios
    rows = rows[(rows["estimand"] == "association") & (rows["measure"] != "shrinkage, per 1 point")]
    for (endpoint, measure), part in rows.groupby(["endpoint", "measure"], sort=False):
        out_console.print()
        out_console.print(framed(hazard_ratio_table(part), f"{endpoint.upper()}: {measure}"))
