"""Writing a run's results so that nothing is lost: all of them appear at once, or none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import xarray as xr

from bayes_net import figures, plots
from bayes_net._publishing import check_destination, publish
from bayes_net.analysis import Analysis, posterior_tree, provenance
from bayes_net.preparation import censoring_of
from bayes_net.report import CENSORING, LANDMARKS, content_of, illustrate, render
from bayes_net.result_folder import (
    POSTERIOR,
    REPORT,
    Illustration,
    ResultFolder,
    write_content,
    write_manifest,
)
from bayes_net.results import diagnostics_table, prior_table
from bayes_net.schema import ENDPOINT_LABELS
from bayes_net.structure import INDEPENDENT, PER_ARM, Hazard

__all__ = ["check_destination", "model_in_words", "write_analysis", "write_parts"]


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
            name: tables[name].assign(**told) for name in ("hazard_ratios", "survival") if name in tables
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
    for figure in figures.draw(
        analysis.fits,
        hazard_ratios=analysis.hazard_ratios,
        attrition=analysis.prepared.attrition,
        slope_prior=hazard.priors.slope,
        level=report.level,
        patient_level=report.patient_level_figures,
    ):
        svg, _ = plots.save(figure.axes, folder / figure.name)
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


def _predictive(analysis: Analysis) -> pd.DataFrame:
    report = analysis.prepared.specification.report
    if analysis.prepared.specification.censoring is not None:
        return pd.DataFrame()  # replicates would follow completed follow-up, which nobody observed
    times = [time.months for time in report.survival_times]
    table = figures.predictive_table(analysis.fits, times, level=report.level)
    columns = ["fit", "arm", "time", "observed", "estimate", "lower", "upper", "p_value"]
    return table[columns].rename(columns={"time": "months", "estimate": "replicated", "p_value": "p"})


def model_in_words(analysis: Analysis, hazard: Hazard) -> dict[str, str]:
    """The model by heading, for the report."""
    specification, data = analysis.prepared.specification, analysis.fits[0].job.data
    wanted, sampling = specification.landmarks, specification.sampling
    endpoints = " and ".join(ENDPOINT_LABELS[endpoint] for endpoint in wanted.endpoints)
    baseline = (
        "each arm has a baseline of its own"
        if hazard.baseline == PER_ARM
        else "the arms share their baseline"
    )
    smoothing = "a random walk from interval to interval (steps scaled by the time between midpoints)"
    if hazard.smoothing == INDEPENDENT:
        smoothing = "independent from interval to interval"
    slopes = "one slope per arm" if hazard.slopes == PER_ARM else "one slope for all arms"
    words = {
        "Endpoints": f"{endpoints}, from each landmark; “no limit” from randomisation.",
        "Shrinkage": (
            "Best percentage decrease of the sum of diameters by the landmark and before progression, in "
            f"units of 10 points from {wanted.shrinkage_reference:g}: above 0 the tumour is smaller."
        ),
        "Estimand": (
            "Within an arm, among patients at risk and assessed at the landmark (event-free, unless the "
            "population of OS is all patients alive): the hazard ratio of those with 10 points more "
            "shrinkage by then, and survival, median and restricted mean after the landmark at a given "
            "shrinkage. Death is an event of PFS; treatment after the landmark is part of what follows."
        ),
        "Response": _response_in_words(wanted.thresholds, wanted.intention_to_treat),
        "Hazard": (
            f"Constant within intervals ({_intervals_in_words(analysis)}); {baseline}; its logarithm is "
            f"{smoothing}; {slopes}. Every landmark has parameters of its own."
        ),
        "Equation": _equation(hazard, wanted.shrinkage_reference, bool(data.covariate_names)),
        "Covariates": ", ".join(data.covariate_names),
        CENSORING: _censoring_in_words(analysis),
        "Estimation": (
            f"No-U-Turn sampler, {sampling.chains} chains of {sampling.draws} draws "
            f"after {sampling.tune} of tuning."
        ),
    }
    return {heading: text for heading, text in words.items() if text}


def _response_in_words(thresholds: Sequence[float], intention_to_treat: bool) -> str:
    if not thresholds:
        return ""
    rules = " and ".join(f"{threshold:g}" for threshold in thresholds)
    who = (
        "patients without a scan by the landmark, or with progression as their best response, count as "
        "not responding (intention to treat)"
        if intention_to_treat
        else "among the patients of the continuous analysis"
    )
    return f"Shrinkage of at least {rules} % against less, in models of their own; {who}."


def _censoring_in_words(analysis: Analysis) -> str:
    censoring = censoring_of(analysis.prepared.specification)
    if censoring is None:
        return ""
    counted = []
    for f in analysis.fits:
        known = f.fit["constant_data"].sum()
        open_ended = float(known["n"] - known["n_events"])
        imputed = f"{float(known['imputed_events']):.1f}"
        counted.append(f"{f.job.label}: {float(known['n_concerned']):.0f} of {open_ended:.0f}, {imputed}")
    return (
        f"{censoring.assumed(f'{censoring.factor:g}')} This is an assumption: no data can tell the factor. "
        f"Patients concerned of those censored, and events imputed on average: {'; '.join(counted)}. "
        "Everywhere else patients and events are counted, and Kaplan–Meier curves drawn, as observed. "
        "Replicated data, leave-one-out and power-scaling are left out: they compare with what was observed."
    )


def _intervals_in_words(analysis: Analysis) -> str:
    numbers: dict[str, set[int]] = {}
    for f in analysis.fits:
        numbers.setdefault(ENDPOINT_LABELS[f.job.endpoint], set()).add(f.job.data.n_intervals)
    return ", ".join(
        f"{name} {min(found)}" + (f" to {max(found)}" if len(found) > 1 else "")
        for name, found in numbers.items()
    )


def _equation(hazard: Hazard, reference: float, covariates: bool) -> str:
    score = f"(shrinkage − {reference:g})" if reference > 0 else f"(shrinkage + {-reference:g})"
    baseline = "α[arm, interval]" if hazard.baseline == PER_ARM else "α[interval] + θ[arm]"
    slope = "β[arm]" if hazard.slopes == PER_ARM else "β"
    score = score if reference else "shrinkage"
    return f"log h(t) = {baseline} + {slope} · {score} / 10" + (" + γ · covariates" if covariates else "")
