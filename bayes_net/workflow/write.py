"""Writing a run's results so that nothing is lost: all of them appear at once, or none."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import singledispatch
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from bayes_net.display import template
from bayes_net.errors import InputError, ReportWarning
from bayes_net.figures.patients import draw
from bayes_net.figures.style import Figure, illustrate
from bayes_net.figures.synthesis import draw_synthesis
from bayes_net.labels import QUICK, QUICK_LOOK
from bayes_net.report.patients import LANDMARKS, patients_page
from bayes_net.report.scenarios import (
    DESIGN,
    SCENARIOS,
    answer_of,
    design_page,
    scenario_page,
    summary_to_read,
)
from bayes_net.report.synthesis import SYNTHESIS, synthesis_page
from bayes_net.results.fits import at_landmarks
from bayes_net.results.folder import (
    CONTENT,
    POSTERIOR,
    REPORT,
    Illustration,
    ResultFolder,
    as_written,
    read_content,
    read_result,
    write_content,
    write_manifest,
)
from bayes_net.results.publishing import publish
from bayes_net.specification.base import Plan
from bayes_net.tables.notes import ORIGIN
from bayes_net.workflow.analysis import Analysis, Prepared, Progress, analyse, prepare
from bayes_net.workflow.describe import model_in_words
from bayes_net.workflow.patients import PreparedPatients
from bayes_net.workflow.synthesis import PreparedNetwork


def run(
    plan: Plan,
    out: Path | str | None = None,
    *,
    patients: pd.DataFrame | None = None,
    scans: pd.DataFrame | None = None,
    engine: str = "numba",
    progress: Progress | None = None,
) -> Analysis:
    """Fit and check every model of a plan, of patients or of a synthesis; with ``out`` the results are
    written there, and the analysis knows its ``folder`` (``write``). ``engine`` is that of its ``Sampler``.

    ``patients`` and ``scans`` are tables in the place of the files that a plan of patients names; its section
    ``[data]`` says how they are read. The report says that they were given.

    Raises
    ------
    InputError
        The plan's data break a rule, or there is no such engine.
    """
    analysis = analyse(
        replace(prepare(plan, patients=patients, scans=scans), engine=engine), progress=progress
    )
    return analysis if out is None else replace(analysis, folder=write(analysis, Path(out)))


def write(analysis: Analysis, out: Path | str) -> Path:
    """Write all files of a run and return the folder they are in.

    A run whose gate failed never replaces a result whose gate passed: it goes to a folder of its own
    beside it, named with ``-gate-failed``.
    """
    return publish(Path(out), lambda folder: _write_files(analysis, folder), gate_passed=analysis.passed)


def _write_files(analysis: Analysis, folder: Path) -> None:
    prepared, provenance = analysis.prepared, analysis.provenance
    tree = prepared.posterior(analysis.fits)
    tree.attrs = provenance
    write_netcdf(tree, folder / POSTERIOR)
    words = {
        "description": prepared.plan.description,
        "synthetic": prepared.synthetic,
        "model": model_in_words(prepared, analysis.fits),
        "level": prepared.plan.report.level,
        "notes": [(note.kind, note.message) for note in prepared.notes if note.code != ORIGIN],
        "origin": prepared.origin,
    }
    write_report(
        folder,
        prepared.plan,
        kind=prepared.kind,
        tables=analysis.tables,
        figures=_figures(prepared, analysis),
        words=words,
        provenance=provenance,
    )


def write_netcdf(tree: xr.DataTree, path: Path) -> None:
    """The tree as a compressed netCDF file."""
    squeezed = {"zlib": True, "complevel": 1, "shuffle": True}
    encoding = {
        node.path: {v: squeezed for v in node.data_vars if node[v].dtype.kind == "f"} for node in tree.subtree
    }
    tree.to_netcdf(path, engine="h5netcdf", encoding={k: v for k, v in encoding.items() if v})


def write_report(
    folder: Path,
    plan: Plan,
    *,
    kind: str,
    tables: Mapping[str, pd.DataFrame],
    figures: Iterable[Figure],
    words: Mapping[str, Any],
    provenance: Mapping[str, str],
) -> None:
    """Write tables, figures and words, the report that is made of them, and the manifest of the folder.

    What was computed outlives a figure or a page that cannot be made: of these a ``ReportWarning`` says why,
    and so does the report.
    """
    listed = {key: text for key, text in provenance.items() if key not in ("specification", "title")}
    if plan.title.startswith(QUICK_LOOK):
        tables = {name: table.assign(**{QUICK: True}) for name, table in tables.items()}
    drawn: dict[str, Illustration] = {}
    with _failure_is_noted("figures"):
        drawn = illustrate(figures, folder / "figures")
    result = write_content(
        folder,
        kind=kind,
        tables=tables,
        figures=drawn,
        words={"title": plan.title, **words, "provenance": listed},
        specification=plan.public_toml(),
    )
    page = template("unmade.html.j2").render(
        title=plan.title,
        tables=[f"{name}.csv" for name in tables],
        gate=provenance.get("gate"),
        synthetic=words.get("synthetic"),
    )
    with _failure_is_noted("report"):
        page = report_page(result)
    (folder / REPORT).write_text(page, encoding="utf-8")
    write_manifest(folder, provenance)


@contextmanager
def _failure_is_noted(what: str) -> Iterator[None]:
    """Go on without the ``what`` of a result, and say so; where the disk refuses nothing can go on."""
    try:
        yield
    except OSError:
        raise
    except Exception as failure:  # whatever it is, hours of sampling are worth more
        reason = f"{type(failure).__name__}: {failure}"
        message = (
            f"the {what} could not be made ({reason}). Tables and posterior are written; `bayes-net report` "
            "with their folder makes the page anew"
        )
        warnings.warn(message, ReportWarning, stacklevel=4)


@singledispatch
def _figures(prepared: Prepared, analysis: Analysis) -> Iterable[Figure]:
    raise NotImplementedError(type(prepared).__name__)


@_figures.register
def _patients_figures(prepared: PreparedPatients, analysis: Analysis) -> Iterable[Figure]:
    report, job = prepared.plan.report, analysis.fits[0].job
    return draw(
        at_landmarks(analysis.fits),
        hazard_ratios=analysis.tables["hazard_ratios"],
        attrition=prepared.attrition,
        slope_prior=prepared.hazard(job).priors.slope,
        ci_prob=report.level,
        patient_level=report.patient_level_figures,
        scores=analysis.tables.get("prediction"),
        transitions=[f for f in analysis.fits if f.job.transition],
        profiles=report.profiles,
    )


@_figures.register
def _network_figures(prepared: PreparedNetwork, analysis: Analysis) -> Iterable[Figure]:
    return draw_synthesis(analysis.tables)


_KINDS = {LANDMARKS: patients_page, SYNTHESIS: synthesis_page, SCENARIOS: scenario_page, DESIGN: design_page}


def report_page(result: ResultFolder) -> str:
    """The report of a stored result as one HTML page."""
    if result.kind not in _KINDS:
        raise InputError(f"the result is of kind {result.kind!r}; this version knows {', '.join(_KINDS)}")
    return _KINDS[result.kind](result)


def rebuild_report(folder: Path | str, *, scenarios: Path | str | None = None) -> Path:
    """Write ``report.html`` of a finished result anew, as this version words and draws it; returns its path.

    ``scenarios`` is the result of a grid of scenarios of the same specification: what it found becomes a
    section of the report, and its table and figures files of the result.

    Raises
    ------
    InputError
        A folder holds no result, or one whose files have changed; or the scenarios are of another
        specification.
    """
    result = read_result(folder)
    added = {}
    if scenarios is not None:
        grid = read_result(scenarios)
        with as_written(grid.path):
            added = _with_scenarios(result, grid)

    def write(fresh: Path) -> None:
        shutil.copytree(result.path, fresh, dirs_exist_ok=True)
        for name, content in added.items():
            (fresh / name).write_bytes(content)
        with as_written(result.path):
            page = report_page(read_content(fresh))
        (fresh / REPORT).write_text(page, encoding="utf-8")
        write_manifest(fresh, result.provenance)

    return publish(result.path, write, gate_passed=result.gate_passed) / REPORT


def _with_scenarios(result: ResultFolder, scenarios: ResultFolder) -> dict[str, bytes]:
    """The files by which the result tells of the scenarios: its content, a table, and figures."""
    if result.kind not in (LANDMARKS, SYNTHESIS) or scenarios.kind != SCENARIOS:
        raise InputError(
            f"expected the result of a run and of its scenarios; {result.path} is of kind {result.kind}, "
            f"{scenarios.path} of kind {scenarios.kind}"
        )
    if result.provenance["specification_sha256"] != scenarios.provenance["specification_sha256"]:
        raise InputError(
            f"{scenarios.path} holds scenarios of another specification than {result.path}; run both anew"
        )
    content = json.loads((result.path / CONTENT).read_text(encoding="utf-8"))
    table = summary_to_read(scenarios)
    content["tables"]["sensitivity"] = dict.fromkeys(table.columns, "str")
    content["words"]["sensitivity"] = answer_of(scenarios)
    changed = {"sensitivity.csv": table.to_csv(index=False).encode()}
    for name, figure in scenarios.figures.items():
        about = {"section": "sensitivity", "caption": figure.caption, "alt": figure.alt}
        content["figures"][f"scenarios_{name}"] = about
        for kind in ("svg", "png"):
            drawn = scenarios.path / "figures" / f"{name}.{kind}"
            changed[f"figures/scenarios_{name}.{kind}"] = drawn.read_bytes()
    return changed | {CONTENT: (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()}
