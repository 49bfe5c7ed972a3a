"""The command line. It holds no statistics: every command calls the package and prints.

Exit codes: 0 done, 2 bad input, 3 done but the diagnostics gate failed (outputs are marked).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bayes_net.errors import InputError
from bayes_net.shipped import TEMPLATES, find_specification, shipped_models

BAD_INPUT, GATE_FAILED = 2, 3

app = typer.Typer(
    help="Bayesian landmark survival models for neuroendocrine tumours.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out_console = Console(highlight=False, soft_wrap=True)
err_console = Console(stderr=True, highlight=False, soft_wrap=True)

Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="A specification file (.toml), or a shipped model's name.")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Overrides the seed in the specification.")]


@contextmanager
def _bad_input_exits() -> Iterator[None]:
    """Bad input is one message and exit code 2, never a traceback."""
    try:
        yield
    except InputError as problem:
        err_console.print(f"[bold red]error:[/] {escape(str(problem))}")
        raise typer.Exit(BAD_INPUT) from None


@app.command()
def run(
    spec: Spec,
    out: Annotated[Path | None, typer.Option(help="Folder for the results [default: results/NAME].")] = None,
    seed: Seed = None,
) -> None:
    """Fit every model of a specification and write tables, figures, posterior and report."""
    from bayes_net.analysis import analyse, prepare
    from bayes_net.output import check_destination, write_analysis
    from bayes_net.specification import read_specification

    with _bad_input_exits():
        path = find_specification(spec)
        out = out or Path("results") / path.stem
        prepared = prepare(read_specification(path).with_seed(seed))
        check_destination(out)
        _show_prepared(prepared)
        with _progress() as advance:
            analysis = analyse(prepared, progress=advance)
        folder = write_analysis(analysis, out)
    _show_hazard_ratios(analysis)
    out_console.print(f"\nReport: {escape(str(folder / 'report.html'))}")
    if not analysis.passed:
        failed = analysis.gate.loc[~analysis.gate["passed"]]
        err_console.print(
            f"[bold red]The diagnostics gate failed[/] ({len(failed)} checks); the outputs are marked:"
        )
        for row in failed.itertuples():
            err_console.print(
                f"  {escape(row.fit)}: {row.check} {row.worst:.4g}, threshold {row.threshold:g}"
            )
        raise typer.Exit(GATE_FAILED)


@app.command()
def check(spec: Spec) -> None:
    """Validate a specification and its data, and show who is at risk, without sampling."""
    from bayes_net.analysis import prepare
    from bayes_net.specification import read_specification

    with _bad_input_exits():
        prepared = prepare(read_specification(find_specification(spec)))
    _show_prepared(prepared)
    out_console.print(_risk_sets(prepared))
    out_console.print("The specification and its data are usable.")


@app.command()
def models() -> None:
    """List the shipped analyses."""
    from bayes_net.specification import read_specification

    table = Table("name", "what it does", box=None)
    for name, path in shipped_models().items():
        specification = read_specification(path)
        table.add_row(name, escape(specification.title))
    out_console.print(table)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("analysis.toml"),
) -> None:
    """Write a commented specification for your own data."""
    with _bad_input_exits():
        if path.exists():
            raise InputError(f"{path} exists already and is left as it is; give another file name")
        if not path.resolve().parent.is_dir():
            raise InputError(f"there is no folder {path.resolve().parent}; make it first")
        path.write_text((TEMPLATES / "specification.toml").read_text(encoding="utf-8"), encoding="utf-8")
    out_console.print(f"Wrote {escape(str(path))}. Edit it, then: bayes-net check {escape(str(path))}")


@app.command()
def simulate(
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generator.")],
    out: Annotated[Path, typer.Option(help="Folder for the two tables.")] = Path("synthetic"),
) -> None:
    """Write a synthetic cohort with NETTER-1's published margins (nobody's data)."""
    from bayes_net.simulate import simulate_cohort, write_cohort

    with _bad_input_exits():
        cohort = simulate_cohort(seed=seed)
        files = write_cohort(cohort, out)
    out_console.print(f"{cohort}\nSYNTHETIC data, generated by a computer: " + ", ".join(map(str, files)))


@contextmanager
def _progress() -> Iterator:
    """A progress bar on a terminal, nothing in a log."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err_console, disable=not err_console.is_terminal, transient=True) as bar:
        task = bar.add_task("compiling", total=None)

        def advance(label: str, done: int, total: int) -> None:
            words = f"{label} (compiling the model first)" if done == 0 else label
            bar.update(task, description=escape(words), completed=done, total=total)

        yield advance


def _show_prepared(prepared) -> None:
    out_console.print(f"{escape(prepared.specification.title)}\n{escape(str(prepared.cohort))}")
    for note in prepared.notes:
        colour = "yellow" if note.kind == "warning" else "default"
        out_console.print(f"  [{colour}]{note.kind}:[/] {escape(note.message)}")
    out_console.print(f"{len(prepared.jobs)} models to fit")


def _risk_sets(prepared) -> Table:
    table = Table("endpoint", "landmark", "arm", "patients", "events", box=None)
    for key in dict.fromkeys((job.endpoint, job.landmark.label) for job in prepared.jobs):
        job = next(job for job in prepared.jobs if (job.endpoint, job.landmark.label) == key)
        for arm, n, events in zip(job.data.arms, job.data.n_by_arm, job.data.events.sum(axis=1), strict=True):
            table.add_row(job.endpoint.upper(), job.landmark.label, escape(arm), str(n), f"{events:.0f}")
    return table


def _show_hazard_ratios(analysis) -> None:
    from bayes_net.tables import hazard_ratio_table

    rows = analysis.hazard_ratios
    rows = rows[(rows["estimand"] == "association") & (rows["measure"] != "shrinkage, per 1 point")]
    for (endpoint, measure), part in rows.groupby(["endpoint", "measure"], sort=False):
        shown = hazard_ratio_table(part)
        table = Table(*shown.columns, box=None, title=f"{endpoint.upper()}: {measure}", title_justify="left")
        for values in shown.itertuples(index=False):
            table.add_row(*(escape(str(value)) for value in values))
        out_console.print()
        out_console.print(table)
