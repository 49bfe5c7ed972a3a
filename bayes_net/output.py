"""Writing a run's results so that nothing is lost: all of them appear at once, or none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from bayes_net import figures, plots
from bayes_net.analysis import Analysis, posterior_tree, provenance
from bayes_net.errors import InputError, listed
from bayes_net.report import ReportContent, illustrate, render
from bayes_net.results import diagnostics_table, prior_table
from bayes_net.schema import ENDPOINT_LABELS
from bayes_net.structure import INDEPENDENT, PER_ARM, Hazard

MANIFEST = "manifest.json"
GATE_FAILED_SUFFIX = "-gate-failed"


def check_destination(out: Path) -> None:
    """Refuse a folder that cannot take results, before any time is spent on sampling.

    Raises
    ------
    InputError
        ``out`` is a file, or a folder with files that no run wrote, or cannot be written to.
    """
    _restore(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; expected a folder for the results. Choose another --out")
    if out.is_dir() and any(out.iterdir()) and read_manifest(out) is None:
        found = sorted(item.name for item in out.iterdir())
        raise InputError(
            f"{out} holds files that are not a result of bayes-net ({listed(found)}); "
            "they would be lost. Choose another --out"
        )
    parent = out.resolve().parent
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK):
        raise InputError(f"{parent} cannot be written to; choose another --out")


def read_manifest(folder: Path) -> dict | None:
    """The manifest of a finished result, or None where there is none."""
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None


def write_analysis(analysis: Analysis, out: Path) -> Path:
    """Write all files of a run and return the folder they are in.

    A run whose gate failed never replaces a result whose gate passed: it goes to a folder of its own
    beside it, named with ``-gate-failed``.
    """
    earlier = read_manifest(out)
    if earlier and earlier.get("gate") == "passed" and not analysis.passed:
        out = out.with_name(out.name + GATE_FAILED_SUFFIX)
        check_destination(out)
    return publish(out, lambda folder: _write_files(analysis, folder))


def publish(out: Path, write: Callable[[Path], None]) -> Path:
    """Let ``write`` fill a temporary folder beside ``out``, then give it the name ``out``.

    An earlier folder ``out`` is kept aside until the new one has its name, and put back by the next run
    should the exchange itself be interrupted.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    try:
        write(staging)
        staging.chmod(0o755)
        previous = _aside(out)
        if out.exists():
            os.replace(out, previous)
        os.replace(staging, out)
        shutil.rmtree(previous, ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return out


def _aside(out: Path) -> Path:
    return out.with_name(f".{out.name}.previous")


def _restore(out: Path) -> None:
    """Put an earlier result back if a run died between taking it aside and naming the new one."""
    if _aside(out).exists() and not out.exists():
        os.replace(_aside(out), out)


def _write_files(analysis: Analysis, folder: Path) -> None:
    prepared = analysis.prepared
    label = (lambda t: t.assign(synthetic=True)) if prepared.cohort.synthetic else (lambda t: t)
    tables = {
        "hazard_ratios": analysis.hazard_ratios,
        "survival": analysis.survival,
        "attrition": prepared.attrition,
        "diagnostics": analysis.gate,
        "loo": analysis.loo,
    }
    for name, table in tables.items():
        label(table).to_csv(folder / f"{name}.csv", index=False)
    (folder / "specification.toml").write_text(prepared.specification.public_toml(), encoding="utf-8")
    _write_posterior(analysis, folder / "posterior.nc")
    content = report_content(analysis, folder / "figures")
    (folder / "report.html").write_text(render(content), encoding="utf-8")
    _write_manifest(analysis, folder)


def _write_posterior(analysis: Analysis, path: Path) -> None:
    tree = posterior_tree(analysis)
    squeezed = {"zlib": True, "complevel": 1, "shuffle": True}
    encoding = {
        node.path: {v: squeezed for v in node.data_vars if node[v].dtype.kind == "f"} for node in tree.subtree
    }
    tree.to_netcdf(path, engine="h5netcdf", encoding={k: v for k, v in encoding.items() if v})


def _write_manifest(analysis: Analysis, folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = provenance(analysis) | {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def report_content(analysis: Analysis, figure_folder: Path) -> ReportContent:
    """What the report shows; the figures are saved to ``figure_folder`` as SVG and PNG on the way."""
    prepared, specification = analysis.prepared, analysis.prepared.specification
    first = analysis.fits[0]
    hazard = specification.hazard(first.job.measure)
    figure_folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for figure in figures.draw(
        analysis.fits,
        hazard_ratios=analysis.hazard_ratios,
        attrition=prepared.attrition,
        slope_prior=hazard.priors.slope,
        level=specification.report.level,
        patient_level=specification.report.patient_level_figures,
    ):
        svg, _ = plots.save(figure.axes, figure_folder / figure.name)
        text = svg.read_text(encoding="utf-8")
        drawn[figure.name] = illustrate(figure.kind, text, *figure.plotted, subject=figure.subject)
    return ReportContent(
        title=specification.title,
        synthetic=prepared.cohort.synthetic,
        gate=analysis.gate,
        hazard_ratios=analysis.hazard_ratios,
        attrition=prepared.attrition,
        priors=prior_table(first, hazard),
        model=model_in_words(analysis, hazard),
        diagnostics=diagnostics_table(analysis.fits),
        specification_toml=specification.public_toml(),
        provenance={k: v for k, v in provenance(analysis).items() if k not in ("specification", "title")},
        notes=tuple((note.kind, note.message) for note in prepared.notes),
        survival=analysis.survival,
        loo=analysis.loo,
        ppc=_predictive(analysis),
        figures=drawn,
    )


def _predictive(analysis: Analysis) -> pd.DataFrame:
    report = analysis.prepared.specification.report
    times = [time.months for time in report.survival_times]
    table = figures.predictive_table(analysis.fits, times, level=report.level)
    columns = ["fit", "arm", "time", "observed", "estimate", "lower", "upper", "p_value"]
    return table[columns].rename(columns={"time": "months", "estimate": "replicated", "p_value": "p"})


def model_in_words(analysis: Analysis, hazard: Hazard) -> dict[str, str]:
    """The model by heading, for the report."""
    specification, data = analysis.prepared.specification, analysis.fits[0].job.data
    wanted = specification.landmarks
    endpoints = " and ".join(ENDPOINT_LABELS[endpoint] for endpoint in wanted.endpoints)
    baseline = (
        "each arm has a baseline of its own"
        if hazard.baseline == PER_ARM
        else "the arms share their baseline"
    )
    smoothing = (
        "independent from interval to interval"
        if hazard.smoothing == INDEPENDENT
        else "a random walk from interval to interval (steps scaled by the time between midpoints)"
    )
    slopes = "one slope per arm" if hazard.slopes == PER_ARM else "one slope for all arms"
    words = {
        "Endpoints": f"{endpoints}, from each landmark; “no limit” from randomisation.",
        "Shrinkage": (
            "Best percentage decrease of the sum of diameters by the landmark and before progression, in "
            f"units of 10 points from {wanted.shrinkage_reference:g}: above 0 the tumour is smaller."
        ),
        "Hazard": (
            f"Constant within {data.n_intervals} intervals; {baseline}; its logarithm is {smoothing}; "
            f"{slopes}. Every landmark has parameters of its own."
        ),
        "Equation": "log h(t) = α[arm, interval] + β[arm] · shrinkage / 10"
        + (" + γ · covariates" if data.covariate_names else ""),
        "Estimation": (
            f"No-U-Turn sampler, {specification.sampling.chains} chains of {specification.sampling.draws} "
            f"draws after {specification.sampling.tune} of tuning."
        ),
    }
    if data.covariate_names:
        words["Covariates"] = ", ".join(data.covariate_names)
    return words
