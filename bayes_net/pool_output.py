"""Writing the results of a synthesis so that nothing is lost: all of them appear at once, or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net import plots
from bayes_net._pool_model import model_in_words
from bayes_net._publishing import publish
from bayes_net.output import write_netcdf
from bayes_net.pool_analysis import PoolAnalysis
from bayes_net.pool_figures import draw_pool
from bayes_net.pool_report import SYNTHESIS, pool_content_of, render_pool
from bayes_net.result_folder import POSTERIOR, REPORT, Illustration, write_content, write_manifest


def write_pool(analysis: PoolAnalysis, out: Path) -> Path:
    """Write all files of a synthesis and return the folder they are in.

    A run whose gate failed never replaces a result whose gate passed: it goes to a folder of its own
    beside it, named with ``-gate-failed``.
    """
    return publish(out, lambda folder: _write_files(analysis, folder), gate_passed=analysis.passed)


def _write_files(analysis: PoolAnalysis, folder: Path) -> None:
    prepared, told = analysis.prepared, pool_provenance(analysis)
    write_netcdf(pool_tree(analysis), folder / POSTERIOR)
    result = write_content(
        folder,
        kind=SYNTHESIS,
        tables={name: _marked(table, name, analysis) for name, table in analysis.tables.items()},
        figures=_figures(analysis, folder / "figures"),
        words={
            "title": prepared.specification.title,
            "description": prepared.specification.description,
            "synthetic": prepared.synthetic,
            "model": model_in_words(prepared.pool),
            "level": prepared.specification.report.level,
            "notes": [(note.kind, f"{study}: {note.message}") for study, note in prepared.notes],
            "provenance": {k: v for k, v in told.items() if k not in ("specification", "title")},
        },
        specification=prepared.specification.public_toml(),
    )
    (folder / REPORT).write_text(render_pool(pool_content_of(result)), encoding="utf-8")
    write_manifest(folder, told)


def _marked(table: pd.DataFrame, name: str, analysis: PoolAnalysis) -> pd.DataFrame:
    """The table with what must travel with its numbers: whether the fit behind each row passed its gate, and
    whether patients are synthetic."""
    if name not in ("diagnostics", "evidence", "priors"):
        gate: object = "passed" if analysis.gate.passed else "failed"
        if "fit" in table and analysis.gate.passed:
            each = analysis.tables["diagnostics"].groupby("fit")["passed"].all()
            gate = np.where(table["fit"].map(each), "passed", "failed")
        table = table.assign(gate=gate)
    return table.assign(synthetic=True) if analysis.prepared.synthetic else table


def _figures(analysis: PoolAnalysis, folder: Path) -> dict[str, Illustration]:
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name, section, axes, caption, alt in draw_pool(analysis.tables):
        svg, _ = plots.save(axes, folder / name)
        drawn[name] = Illustration(section, svg.read_text(encoding="utf-8"), caption, alt)
    return drawn


def pool_tree(analysis: PoolAnalysis) -> xr.DataTree:
    """What ``posterior.nc`` holds: posterior, prior, sampler statistics, and of the published numbers'
    log-likelihood every row's; nothing of a single patient is in it."""
    tree = analysis.fit.copy()
    tree.attrs = pool_provenance(analysis)
    return tree


def pool_provenance(analysis: PoolAnalysis) -> dict[str, str]:
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
