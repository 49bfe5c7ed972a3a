"""The command line. It holds no statistics: every command calls the package and prints.

Exit codes: 0 done, 2 bad input, 3 done but the diagnostics gate failed (outputs are marked).
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bayes_net.cli.files import files
from bayes_net.cli.terminal import (
    BAD_INPUT,
    Commands,
    Spec,
    bad_input_exits,
    err_console,
    finish,
    framed,
    literal,
    out_console,
    progress,
    show_entering,
    show_found,
    show_notes,
    show_prepared,
    show_report,
    show_scenarios,
    show_tipping,
    unmade_reports,
)
from bayes_net.specification.shipped import find_specification, shipped_models

app = typer.Typer(
    cls=Commands,
    help="Bayesian landmark survival models for neuroendocrine tumours.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class _Engine(StrEnum):
    numba = "numba"
    pymc = "pymc"


Engine = Annotated[
    _Engine, typer.Option(help="numba: compiled once for all; pymc: the PyMC models, compiled one by one.")
]
Jobs = Annotated[int, typer.Option(min=1, help="Processes on this machine.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Overrides the seed in the specification.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"bayes-net {version('bayes-net')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Bayesian landmark survival models for neuroendocrine tumours."""
    if not sys.warnoptions:
        # What a user should know is in the notes; warnings of libraries speak to programmers.
        warnings.simplefilter("ignore")


@app.command()
def run(
    spec: Spec,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results.", show_default="results/NAME")
    ] = None,
    seed: Seed = None,
    engine: Engine = _Engine.numba,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Short chains, or no refits, for a first look; all that is written says so."
        ),
    ] = False,
    patients: Annotated[
        Path | None, typer.Option(help="Table of patients in the place of the specification's.")
    ] = None,
    scans: Annotated[
        Path | None, typer.Option(help="Table of scans in the place of the specification's.")
    ] = None,
) -> None:
    """Fit every model of a specification and write tables, figures, posterior and report."""
    from bayes_net.numbers import significant
    from bayes_net.results.publishing import check_destination
    from bayes_net.specification.read import read_specification
    from bayes_net.workflow.analysis import analyse, prepare
    from bayes_net.workflow.write import write

    with bad_input_exits(), unmade_reports() as unmade:
        path = find_specification(spec)
        out = out or Path("results") / f"{path.stem}{'-quick' * quick}"
        plan = read_specification(path).with_seed(seed)
        tables = {"patients": patients, "scans": scans}
        if given := {name: str(table.resolve()) for name, table in tables.items() if table is not None}:
            plan = plan.with_(data=given)
        if quick:
            plan = plan.quick()
        prepared = replace(prepare(plan), engine=engine.value)
        check_destination(out)
        show_prepared(prepared)
        with progress() as advance:
            analysis = analyse(prepared, progress=advance)
        folder = write(analysis, out)
    show_found(analysis, folder)
    if quick:
        err_console.print(
            "[bold]A quick look[/] with short chains or no refits: run it without --quick before it is used."
        )
    if not analysis.passed:
        failed = analysis.gate.loc[~analysis.gate["passed"]]
        err_console.print(
            f"[bold red]The diagnostics gate failed[/] ({len(failed)} checks); the outputs are marked:"
        )
        for row in failed.itertuples():
            err_console.print(
                f"  {literal(row.fit)}: {row.check} {significant(row.worst, 4)} at {literal(row.where)}, "
                f"threshold {row.threshold:g}"
            )
    finish(unmade, gate_passed=analysis.passed)


@app.command()
def check(
    spec: Spec,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything that was found, as JSON on standard output.")
    ] = False,
) -> None:
    """Validate a specification and its data, and show every problem and who is at risk, without sampling."""
    from bayes_net.cli.check import examine

    with bad_input_exits():
        found = examine(find_specification(spec))
    if as_json:
        print(found.as_json())
    elif found.prepared is None:
        show_notes(found.notes, rows=True)
        err_console.print(f"[bold red]error:[/] {literal(found.message)}")
    else:
        show_prepared(found.prepared, rows=True)
        show_entering(found.prepared)
        out_console.print("The specification and its data are usable.")
    if not found.usable:
        raise typer.Exit(BAD_INPUT)


@app.command()
def scenarios(
    spec: Spec,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results.", show_default="results/NAME-scenarios")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A scenario to fit; may come several times.", show_default="all")
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="Each prior weakened and moved, and each study left out, too.")
    ] = False,
    censoring: Annotated[
        bool, typer.Option("--censoring", help="Add factors of informative censoring, 0.25 to 4.")
    ] = False,
    engine: Engine = _Engine.numba,
    jobs: Jobs = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler whose workers do the fitting.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted grid.")] = False,
) -> None:
    """Would the answer change? Fit every scenario of a specification and show what they say together."""
    from bayes_net.results.publishing import check_destination
    from bayes_net.robustness.sensitivity import sensitivity
    from bayes_net.specification.read import read_specification

    with bad_input_exits(), unmade_reports() as unmade:
        path = find_specification(spec)
        out = out or Path("results") / f"{path.stem}-scenarios"
        specification = read_specification(path)
        check_destination(out)
        with progress() as advance:
            found = sensitivity(
                specification,
                out,
                only=only or (),
                audit=audit,
                censoring=censoring,
                engine=engine.value,
                jobs=jobs,
                scheduler=scheduler,
                resume=resume,
                progress=advance,
            )
    show_scenarios(found, specification.report.level)
    show_tipping(found)
    show_report(found.folder)
    for row in found.troubles.itertuples():
        err_console.print(f"[bold red]scenario {literal(row.Scenario)}:[/] {literal(row[2])}")
    finish(unmade, gate_passed=found.troubles.empty)


Result = Annotated[Path, typer.Argument(metavar="RESULT", help="Folder that a finished run wrote.")]


@app.command()
def calibrate(
    spec: Spec,
    replicates: Annotated[int, typer.Option(min=2, help="Trials for each model and kind of truth.")] = 100,
    csv: Annotated[Path | None, typer.Option(help="Write every trial's numbers to this file.")] = None,
    seed: Seed = None,
) -> None:
    """Do intervals of this design keep their promise? Fit trials of it whose truth is known."""
    from bayes_net.files.writing import write_whole
    from bayes_net.robustness.calibration import calibration_of, calibration_to_read
    from bayes_net.specification.read import read_specification
    from bayes_net.workflow.analysis import prepare

    with bad_input_exits():
        prepared = prepare(read_specification(find_specification(spec)).with_seed(seed))
        with progress() as advance:
            rows = calibration_of(prepared, replicates=replicates, advance=advance)
        if csv is not None:
            write_whole(csv, rows.to_csv(index=False, lineterminator="\n").encode())
    out_console.print(framed(calibration_to_read(rows)))
    out_console.print(
        "\nTruths are drawn from the priors. Ranks should be uniform: a p-value near 0 says they are not. "
        "Without association, flat priors would say “probably” in 40 % of trials and “very probably” in 10 %."
    )
    if csv is not None:
        out_console.print(f"Wrote {literal(str(csv))}")


@app.command()
def design(
    spec: Spec,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results.", show_default="results/NAME-design")
    ] = None,
    seed: Seed = None,
    jobs: Jobs = 1,
) -> None:
    """Will a planned study find it? Assurance, power and type I error of the [design] of a specification."""
    from bayes_net.report.scenarios import design_to_read
    from bayes_net.results.publishing import check_destination
    from bayes_net.robustness.design import design as planned
    from bayes_net.specification.read import read_specification

    with bad_input_exits(), unmade_reports() as unmade:
        path = find_specification(spec)
        out = out or Path("results") / f"{path.stem}-design"
        specification = read_specification(path).with_seed(seed)
        check_destination(out)
        with progress() as advance:
            found = planned(specification, out, jobs=jobs, progress=advance)
    out_console.print(framed(design_to_read(found.summary)), "")
    for sentence in found.sentences:
        out_console.print(literal(sentence))
    show_report(found.folder)
    finish(unmade, gate_passed=found.passed)


@app.command()
def report(
    result: Result,
    scenarios: Annotated[
        Path | None, typer.Option(help="Result of scenarios, to become a section of the report.")
    ] = None,
) -> None:
    """Make the report of a finished run anew from its folder, without data and without sampling."""
    from bayes_net.workflow.write import rebuild_report

    with bad_input_exits():
        path = rebuild_report(result, scenarios=scenarios)
    out_console.print(f"Report: {literal(str(path))}")


@app.command(name="tables")
def paper(
    result: Result,
    formats: Annotated[
        list[str], typer.Option("--format", help="html, tex, docx, rtf or csv; may come several times.")
    ] = ["html", "docx"],  # noqa: B006 (typer copies it)
    out: Annotated[
        Path | None, typer.Option(help="Folder for the tables.", show_default="RESULT-tables")
    ] = None,
) -> None:
    """Write the tables of a finished run for a paper, and the appendix for regulators."""
    from bayes_net.paper.content import tables
    from bayes_net.paper.regulators import appendix
    from bayes_net.paper.table import save_tables
    from bayes_net.results.folder import as_written, read_result

    with bad_input_exits():
        found = read_result(result)
        folder = out or result.with_name(f"{result.resolve().name}-tables")
        with as_written(result):
            chosen = tables(found.tables) | appendix(found)
        files = save_tables(chosen, folder, formats)
    out_console.print(f"Wrote {len(files)} files to {literal(str(folder))}")


@app.command()
def compare(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT_A RESULT_B …", help="Folders of runs.")],
    arm: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NAME", help="An arm, and its name in other results.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the comparison to this file, too.")] = None,
) -> None:
    """Put the hazard ratios of several runs side by side, with what differed in their specifications."""
    from bayes_net.errors import InputError
    from bayes_net.robustness.compare import compare as compared

    with bad_input_exits():
        if wrong := [each for each in arm or () if each.count("=") != 1]:
            raise InputError(f"--arm {wrong[0]!r}; expected two names, such as --arm PRRT=177Lu")
        found = compared(results, arms=dict(each.split("=") for each in arm or ()))
        if csv is not None:
            found.hazard_ratios.to_csv(csv, index=False)
    for table in found.to_read():
        out_console.print(framed(table, table.attrs["title"]), "")
    if csv is not None:
        out_console.print(f"Wrote {literal(str(csv))}")


@app.command()
def models() -> None:
    """List the shipped analyses."""
    from bayes_net.specification.read import read_specification

    table = Table("name", "what it does", box=None)
    for name, path in shipped_models().items():
        specification = read_specification(path)
        table.add_row(literal(name), literal(specification.title))
    out_console.print(table)


app.add_typer(files)

if __name__ == "__main__":
    app()
