"""Writing a run's results so that nothing is lost: all of them appear at once, or none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.errors import InputError
from bayes_net.figures.captions import finding
from bayes_net.figures.patients import draw
from bayes_net.figures.style import save
from bayes_net.figures.synthesis import draw_synthesis
from bayes_net.model.assumptions import Hazard
from bayes_net.report.patients import KINDS, LANDMARKS, content_of, render
from bayes_net.report.scenarios import SCENARIOS, answer_of, scenario_page, summary_to_read
from bayes_net.report.synthesis import SYNTHESIS, render_synthesis, synthesis_content_of
from bayes_net.results.curves import predictive_table
from bayes_net.results.folder import (
    CONTENT,
    POSTERIOR,
    REPORT,
    Illustration,
    ResultFolder,
    read_content,
    read_result,
    write_content,
    write_manifest,
)
from bayes_net.results.patients import diagnostics_table, over_time_table, prior_table
from bayes_net.results.publishing import publish
from bayes_net.workflow.analysis import Analysis, posterior_tree, provenance
from bayes_net.workflow.describe import model_in_words, synthesis_in_words
from bayes_net.workflow.synthesis import SynthesisAnalysis


def write_analysis(analysis: Analysis, out: Path) -> Path:
    """Write all files of a run and return the folder they are in.

    A run whose gate failed never replaces a result whose gate passed: it goes to a folder of its own
    beside it, named with ``-gate-failed``.
    """
    return publish(out, lambda folder: _write_files(analysis, folder), gate_passed=analysis.passed)


def _write_files(analysis: Analysis, folder: Path) -> None:
    write_netcdf(posterior_tree(analysis), folder / POSTERIOR)
    content = content_of(write_parts(analysis, folder))
    (folder / REPORT).write_text(render(content), encoding="utf-8")
    write_manifest(folder, provenance(analysis))


def write_netcdf(tree: xr.DataTree, path: Path) -> None:
    """The tree as a compressed netCDF file."""
    squeezed = {"zlib": True, "complevel": 1, "shuffle": True}
    encoding = {
        node.path: {v: squeezed for v in node.data_vars if node[v].dtype.kind == "f"} for node in tree.subtree
    }
    tree.to_netcdf(path, engine="h5netcdf", encoding={k: v for k, v in encoding.items() if v})


def write_parts(analysis: Analysis, folder: Path) -> ResultFolder:
    """Write tables, figures and words, of which the report is made, and return them as they are read back."""
    prepared, specification = analysis.prepared, analysis.prepared.specification
    hazard = specification.hazard(analysis.fits[0].job.measure)
    tables = {
        "hazard_ratios": analysis.hazard_ratios,
        "hazard_ratio_by_time": over_time_table(analysis.fits, **_interval(analysis)),
        "survival": analysis.survival,
        "attrition": prepared.attrition,
        "priors": _priors(analysis),
        "diagnostics": analysis.gate,
        "sampling": diagnostics_table(analysis.fits),
        "predictive_check": _predictive(analysis),
        "loo": analysis.loo,
        "power_scaling": analysis.power_scaling,
        "tipping_points": analysis.tipping,
        "influence": analysis.influence,
    }
    tables = {name: table for name, table in tables.items() if len(table)}
    if specification.censoring is not None:
        told = {"censoring_factor": specification.censoring.factor}
        tables |= {
            name: tables[name].assign(**told)
            for name in ("hazard_ratios", "hazard_ratio_by_time", "survival")
            if name in tables
        }
    if prepared.cohort.synthetic:
        tables = {name: table.assign(synthetic=True) for name, table in tables.items()}
    return write_content(
        folder,
        kind=LANDMARKS,
        tables=tables,
        figures=_figures(analysis, hazard, folder / "figures"),
        words={
            "title": specification.title,
            "synthetic": prepared.cohort.synthetic,
            "model": model_in_words(analysis, hazard),
            "notes": [(note.kind, note.message) for note in prepared.notes],
            "provenance": {
                k: v for k, v in provenance(analysis).items() if k not in ("specification", "title")
            },
        },
        specification=specification.public_toml(),
    )


def _figures(analysis: Analysis, hazard: Hazard, folder: Path) -> dict[str, Illustration]:
    """The figures, saved to ``folder`` as SVG and PNG on the way."""
    folder.mkdir(parents=True, exist_ok=True)
    report, drawn = analysis.prepared.specification.report, {}
    for figure in draw(
        analysis.fits,
        hazard_ratios=analysis.hazard_ratios,
        attrition=analysis.prepared.attrition,
        slope_prior=hazard.priors.slope,
        level=report.level,
        patient_level=report.patient_level_figures,
    ):
        svg, _ = save(figure.axes, folder / figure.name)
        text = svg.read_text(encoding="utf-8")
        drawn[figure.name] = illustrate(figure.kind, text, *figure.plotted, subject=figure.subject)
    return drawn


def _priors(analysis: Analysis) -> pd.DataFrame:
    """The priors of every way in which shrinkage enters; what they share is said once."""
    first = {f.job.measure: f for f in reversed(analysis.fits)}
    tables = [
        prior_table(first[measure], analysis.prepared.specification.hazard(measure))
        for measure in dict.fromkeys(f.job.measure for f in analysis.fits)
    ]
    return pd.concat(tables, ignore_index=True).drop_duplicates("parameter", ignore_index=True)


def _interval(analysis: Analysis) -> dict:
    report = analysis.prepared.specification.report
    return {"level": report.level, "interval": report.interval}


def _predictive(analysis: Analysis) -> pd.DataFrame:
    report = analysis.prepared.specification.report
    if analysis.prepared.specification.censoring is not None:
        return pd.DataFrame()  # replicates would follow completed follow-up, which nobody observed
    times = [time.months for time in report.survival_times]
    table = predictive_table(analysis.fits, times, level=report.level)
    columns = ["fit", "arm", "time", "observed", "estimate", "lower", "upper", "p_value"]
    return table[columns].rename(columns={"time": "months", "estimate": "replicated", "p_value": "p"})


def illustrate(kind: str, svg: str, *plotted: pd.DataFrame, subject: str = "") -> Illustration:
    """The figure drawn by ``plots.<kind>(*plotted)``, with its caption and a text that states its finding.

    ``subject`` says what the figure is about, for example ``"PFS, landmark 180 d"``.
    """
    section, caption = KINDS[kind]
    about = f"{subject}: " if subject else ""
    return Illustration(section, svg, caption=about + caption, alt=about + finding(kind, *plotted))


def write_synthesis(analysis: SynthesisAnalysis, out: Path) -> Path:
    """Write all files of a synthesis and return the folder they are in.

    A run whose gate failed never replaces a result whose gate passed: it goes to a folder of its own
    beside it, named with ``-gate-failed``.
    """
    return publish(out, lambda folder: _write_synthesis_files(analysis, folder), gate_passed=analysis.passed)


def _write_synthesis_files(analysis: SynthesisAnalysis, folder: Path) -> None:
    prepared, told = analysis.prepared, synthesis_provenance(analysis)
    write_netcdf(synthesis_tree(analysis), folder / POSTERIOR)
    result = write_content(
        folder,
        kind=SYNTHESIS,
        tables={name: _marked(table, name, analysis) for name, table in analysis.tables.items()},
        figures=_synthesis_figures(analysis, folder / "figures"),
        words={
            "title": prepared.specification.title,
            "description": prepared.specification.description,
            "synthetic": prepared.synthetic,
            "model": synthesis_in_words(prepared.network),
            "level": prepared.specification.report.level,
            "notes": [(note.kind, f"{study}: {note.message}") for study, note in prepared.notes],
            "provenance": {k: v for k, v in told.items() if k not in ("specification", "title")},
        },
        specification=prepared.specification.public_toml(),
    )
    (folder / REPORT).write_text(render_synthesis(synthesis_content_of(result)), encoding="utf-8")
    write_manifest(folder, told)


def _marked(table: pd.DataFrame, name: str, analysis: SynthesisAnalysis) -> pd.DataFrame:
    """The table with what must travel with its numbers: whether the fit behind each row passed its gate, and
    whether patients are synthetic."""
    if name not in ("diagnostics", "evidence", "priors"):
        gate: object = "passed" if analysis.gate.passed else "failed"
        if "fit" in table and analysis.gate.passed:
            each = analysis.tables["diagnostics"].groupby("fit")["passed"].all()
            gate = np.where(table["fit"].map(each), "passed", "failed")
        table = table.assign(gate=gate)
    return table.assign(synthetic=True) if analysis.prepared.synthetic else table


def _synthesis_figures(analysis: SynthesisAnalysis, folder: Path) -> dict[str, Illustration]:
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name, section, axes, caption, alt in draw_synthesis(analysis.tables):
        svg, _ = save(axes, folder / name)
        drawn[name] = Illustration(section, svg.read_text(encoding="utf-8"), caption, alt)
    return drawn


def synthesis_tree(analysis: SynthesisAnalysis) -> xr.DataTree:
    """What ``posterior.nc`` holds: posterior, prior, sampler statistics, and of the published numbers'
    log-likelihood every row's; nothing of a single patient is in it."""
    tree = analysis.fit.copy()
    tree.attrs = synthesis_provenance(analysis)
    return tree


def synthesis_provenance(analysis: SynthesisAnalysis) -> dict[str, str]:
    """Where a result comes from, as plain text attributes."""
    prepared, specification = analysis.prepared, analysis.prepared.specification
    told = {
        "title": specification.title,
        "synthetic": "yes: patients are simulated" if prepared.synthetic else "no",
        "specification_sha256": specification.digest,
        "seed": str(specification.sampling.seed),
        "attempts": str(analysis.attempts),
        "gate": "passed" if analysis.passed else "failed",
        "specification": specification.public_toml(),
    }
    if prepared.evidence is not None:
        told["evidence_sha256"] = prepared.evidence.digest
    told |= {f"data_sha256 {study}": digest for study, digest in prepared.data_digests.items()}
    versions = {name: str(v) for name, v in analysis.fit.attrs.items() if name.startswith("version ")}
    return told | versions


_KINDS = {
    LANDMARKS: lambda result: render(content_of(result)),
    SYNTHESIS: lambda result: render_synthesis(synthesis_content_of(result)),
    SCENARIOS: scenario_page,
}


def report_page(result: ResultFolder) -> str:
    """The report of a stored result as one HTML page.

    Raises
    ------
    InputError
        The result is of a kind that this version does not know.
    """
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
    added = {} if scenarios is None else _with_scenarios(result, read_result(scenarios))

    def write(fresh: Path) -> None:
        shutil.copytree(result.path, fresh, dirs_exist_ok=True)
        for name, content in added.items():
            (fresh / name).write_bytes(content)
        (fresh / REPORT).write_text(report_page(read_content(fresh)), encoding="utf-8")
        write_manifest(fresh, result.told)

    return publish(result.path, write, gate_passed=result.gate_passed) / REPORT


def _with_scenarios(result: ResultFolder, scenarios: ResultFolder) -> dict[str, bytes]:
    """The files by which the result tells of the scenarios: its content, a table, and figures."""
    if result.kind not in (LANDMARKS, SYNTHESIS) or scenarios.kind != SCENARIOS:
        raise InputError(
            f"expected the result of a run and of its scenarios; {result.path} is of kind {result.kind}, "
            f"{scenarios.path} of kind {scenarios.kind}"
        )
    if result.told["specification_sha256"] != scenarios.told["specification_sha256"]:
        raise InputError(
            f"{scenarios.path} holds scenarios of another specification than {result.path}; run both anew"
        )
    content = json.loads((result.path / CONTENT).read_text(encoding="utf-8"))
    table = summary_to_read(scenarios)
    content["tables"]["sensitivity"] = dict.fromkeys(table.columns, "str")
    content["words"]["sensitivity"] = answer_of(scenarios)
    changed = {"sensitivity.csv": table.to_csv(index=False).encode()}
    for name, figure in scenarios.figures.items():
        told = {"section": "sensitivity", "caption": figure.caption, "alt": figure.alt}
        content["figures"][f"scenarios_{name}"] = told
        for kind in ("svg", "png"):
            drawn = scenarios.path / "figures" / f"{name}.{kind}"
            changed[f"figures/scenarios_{name}.{kind}"] = drawn.read_bytes()
    return changed | {CONTENT: (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()}
