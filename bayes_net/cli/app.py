"""The command line. It holds no statistics: every command calls the package and prints.

Exit codes: 0 done, 2 bad input, 3 done but the diagnostics gate failed (outputs are marked).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from bayes_net.cli.terminal import (
    err_console,
    framed,
    literal,
    out_console,
    show_entering,
    show_found,
    show_notes,
    show_prepared,
    show_scenarios,
    show_tipping,
)
from bayes_net.errors import InputError
from bayes_net.specification.shipped import TEMPLATES, example_evidence, find_specification, shipped_models

BAD_INPUT, GATE_FAILED = 2, 3
app = typer.Typer(
    help="Bayesian landmark survival models for neuroendocrine tumours.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="A specification file (.toml), or a shipped model's name.")
]


class _Engine(StrEnum):
    numba = "numba"
    pymc = "pymc"


class _Endpoint(StrEnum):
    pfs = "pfs"
    os = "os"


Engine = Annotated[
    _Engine, typer.Option(help="numba: compiled once for all; pymc: the PyMC models, compiled one by one.")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Overrides the seed in the specification.")]


@contextmanager
def _bad_input_exits() -> Iterator[None]:
    """Bad input is one message and exit code 2, never a traceback."""
    try:
        yield
    except InputError as problem:
        message = str(problem)
    except OSError as problem:
        message = f"{problem.filename}: {problem.strerror}" if problem.filename else str(problem)
    else:
        return
    err_console.print(f"[bold red]error:[/] {literal(message)}")
    raise typer.Exit(BAD_INPUT)


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
) -> None:
    """Fit every model of a specification and write tables, figures, posterior and report."""
    from bayes_net.numbers import significant
    from bayes_net.results.publishing import check_destination
    from bayes_net.specification.read import read_specification
    from bayes_net.workflow.analysis import analyse, prepare
    from bayes_net.workflow.write import write

    with _bad_input_exits():
        path = find_specification(spec)
        out = out or Path("results") / path.stem
        prepared = replace(prepare(read_specification(path).with_seed(seed)), engine=engine.value)
        check_destination(out)
        show_prepared(prepared)
        with _progress() as advance:
            analysis = analyse(prepared, progress=advance)
        folder = write(analysis, out)
    show_found(analysis)
    out_console.print(f"\nReport: {literal(str(folder / 'report.html'))}")
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
        raise typer.Exit(GATE_FAILED)


@app.command()
def check(
    spec: Spec,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything that was found, as JSON on standard output.")
    ] = False,
) -> None:
    """Validate a specification and its data, and show every problem and who is at risk, without sampling."""
    from bayes_net.workflow.check import examine

    with _bad_input_exits():
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
    jobs: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler whose workers do the fitting.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted grid.")] = False,
) -> None:
    """Would the answer change? Fit every scenario of a specification and show what they say together."""
    from bayes_net.results.publishing import check_destination
    from bayes_net.specification.read import read_specification
    from bayes_net.workflow.sensitivity import sensitivity

    with _bad_input_exits():
        path = find_specification(spec)
        out = out or Path("results") / f"{path.stem}-scenarios"
        specification = read_specification(path)
        check_destination(out)
        with _progress() as advance:
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
    out_console.print(f"\nReport: {literal(str(Path(str(found.folder)) / 'report.html'))}")
    for row in found.troubles.itertuples():
        err_console.print(f"[bold red]scenario {literal(row.Scenario)}:[/] {literal(row[2])}")
    if not found.troubles.empty:
        raise typer.Exit(GATE_FAILED)


Result = Annotated[Path, typer.Argument(metavar="RESULT", help="Folder that a finished run wrote.")]


@app.command()
def report(
    result: Result,
    scenarios: Annotated[
        Path | None, typer.Option(help="Result of scenarios, to become a section of the report.")
    ] = None,
) -> None:
    """Make the report of a finished run anew from its folder, without data and without sampling."""
    from bayes_net.workflow.write import rebuild_report

    with _bad_input_exits():
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
    """Write the tables of a finished run for a paper or a submission."""
    from bayes_net.paper.content import tables
    from bayes_net.paper.table import save_tables
    from bayes_net.results.folder import read_result

    with _bad_input_exits():
        found = read_result(result)
        folder = out or result.with_name(f"{result.resolve().name}-tables")
        files = save_tables(tables(found.tables), folder, formats)
    out_console.print(f"Wrote {len(files)} files to {literal(str(folder))}")


@app.command()
def compare(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT_A RESULT_B …", help="Folders of runs.")],
    csv: Annotated[Path | None, typer.Option(help="Write the comparison to this file, too.")] = None,
) -> None:
    """Put the hazard ratios of several runs side by side, with what differed in their specifications."""
    from bayes_net.workflow.compare import compare as compared

    with _bad_input_exits():
        found = compared(results)
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


@app.command()
def init(
    path: Annotated[
        Path | None,
        typer.Argument(help="The file to write.", show_default="analysis.toml, or synthesis.toml"),
    ] = None,
    synthesis: Annotated[
        bool, typer.Option("--synthesis", help="For published numbers, with a table of examples beside it.")
    ] = False,
) -> None:
    """Write a commented specification for your own data."""
    path = path or Path("synthesis.toml" if synthesis else "analysis.toml")
    files = {path: (TEMPLATES / f"{'synthesis' if synthesis else 'specification'}.toml").read_text("utf-8")}
    if synthesis:
        files[path.with_name("evidence.csv")] = example_evidence()
    with _bad_input_exits():
        if there := [file for file in files if file.exists()]:
            raise InputError(f"{there[0]} exists already and is left as it is; give another file name")
        if not path.resolve().parent.is_dir():
            raise InputError(f"there is no folder {path.resolve().parent}; make it first")
        for file, text in files.items():
            file.write_text(text, encoding="utf-8")
    names = literal(" and ".join(map(str, files)))
    out_console.print(f"Wrote {names}. Edit, then: bayes-net check {literal(str(path))}")


@app.command()
def simulate(
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generator.")],
    out: Annotated[Path, typer.Option(help="Folder for the two tables.")] = Path("synthetic"),
) -> None:
    """Write a synthetic cohort that resembles NETTER-1 (nobody's data)."""
    from bayes_net.simulate.cohort import simulate_cohort, write_cohort

    with _bad_input_exits():
        cohort = simulate_cohort(seed=seed)
        files = write_cohort(cohort, out)
    names = ", ".join(map(str, files))
    out_console.print(literal(f"{cohort}\nSYNTHETIC data, generated by a computer: {names}"))


@app.command()
def reconstruct(
    points: Annotated[Path, typer.Argument(help="Points read off a Kaplan-Meier curve: time, survival.")],
    at_risk: Annotated[Path, typer.Argument(help="Numbers at risk under the figure: time, n.")],
    arm: Annotated[str, typer.Option(help="Name of the arm.")],
    out: Annotated[Path, typer.Option(help="The patient table to write, a new .csv file.")],
    events: Annotated[int | None, typer.Option(min=0, help="Total of events, where it is printed.")] = None,
    endpoint: Annotated[_Endpoint, typer.Option(help="What the curve is of.")] = _Endpoint.pfs,
) -> None:
    """Write pseudo-patients of a published Kaplan-Meier curve (Guyot 2012), marked as reconstructed."""
    from bayes_net.files.curves import write_reconstruction

    with _bad_input_exits():
        table = write_reconstruction(points, at_risk, out, arm=arm, endpoint=endpoint.value, events=events)
    had = int(table[f"{endpoint.value}_event"].sum())
    printed = "" if events in (None, had) else f" ({events} are printed: read the end of the curve again)"
    found = f"{len(table)} pseudo-patients, {had} events{printed}, RECONSTRUCTED from a published curve"
    out_console.print(literal(f"{out}: {found}"))


@contextmanager
def _progress() -> Iterator:
    """A progress bar on a terminal, nothing in a log."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    left = (TextColumn("left:"), TimeRemainingColumn())
    with Progress(
        *columns, *left, console=err_console, disable=not err_console.is_terminal, transient=True
    ) as bar:
        task = bar.add_task("starting", total=None)

        def advance(label: str, done: int, total: int) -> None:
            bar.update(task, description=literal(label), completed=done, total=total)

        yield advance


if __name__ == "__main__":
    app()
