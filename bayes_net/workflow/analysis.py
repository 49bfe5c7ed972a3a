"""From a specification to results: samples and checks what was prepared, and tabulates it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.checks.gate import worst_of
from bayes_net.checks.influence import influence
from bayes_net.estimands.summary import STRENGTHS
from bayes_net.inference.imputation import fit_imputed
from bayes_net.model.layout import Layout, layout
from bayes_net.results.fits import Fitted, Job, checked, hazard_ratio_table
from bayes_net.results.patients import (
    gate_table,
    influence_table,
    loo_table,
    power_scaling_table,
    survival_quantities,
    survival_table,
    tipping_table,
)
from bayes_net.schema import SAMPLE_DIMS
from bayes_net.specification.patients import PatientsPlan
from bayes_net.workflow.patients import Prepared, censoring_of, prepare

MOST_REFITS = 3
"""Patients of one fit that an ordinary run leaves out by refitting, at about a second each."""


Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many fits are done, and how many there are."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """A finished run: the fits and the tables that are written out."""

    prepared: Prepared
    fits: tuple[Fitted, ...]
    hazard_ratios: pd.DataFrame
    survival: pd.DataFrame
    gate: pd.DataFrame
    loo: pd.DataFrame
    power_scaling: pd.DataFrame
    tipping: pd.DataFrame
    influence: pd.DataFrame

    @property
    def passed(self) -> bool:
        """Whether every fit passed its gate."""
        return bool(self.gate["passed"].all())


def run(specification: PatientsPlan, *, progress: Progress | None = None) -> Analysis:
    """Fit and check every model of a specification.

    One model is compiled for all landmarks, endpoints and measures that share a number of intervals.
    """
    return analyse(prepare(specification), progress=progress)


def analyse(prepared: Prepared, *, progress: Progress | None = None) -> Analysis:
    """Fit and check what was prepared."""
    report = prepared.specification.report
    fits = fit_jobs(prepared, progress=progress)
    return Analysis(
        prepared,
        fits,
        hazard_ratios=hazard_ratio_table(fits, level=report.level, interval=report.interval),
        survival=survival_table(
            fits, **survival_request(prepared), level=report.level, interval=report.interval
        ),
        gate=gate_table(fits),
        loo=loo_table(fits),
        power_scaling=power_scaling_table(fits),
        tipping=tipping_table(fits, [band for band, _ in STRENGTHS]),
        influence=influence_table(list(_influences(prepared, fits))),
    )


def _influences(prepared: Prepared, fits: Sequence[Fitted]) -> Iterator[tuple[Fitted, xr.Dataset]]:
    """What every patient does to each fit, by a few refits where importance sampling is not reliable; of fits
    to imputed follow-up, which are not those patients', nothing."""
    sampler, shapes = _sampler(prepared), _shapes(prepared.jobs)
    for f in fits:
        if "log_likelihood" in f.fit.children:
            how = {"shape": shapes[_shape_key(f.job)], "sampler": sampler, "most_refits": MOST_REFITS}
            yield f, influence(f.fit, f.job.data, prepared.specification.hazard(f.job.measure), **how)


def survival_request(prepared: Prepared) -> dict:
    """Times, horizon (months) and profiles (points) at which survival is reported."""
    report = prepared.specification.report
    times = [time.months for time in report.survival_times]
    return {"times": times, "horizon": report.horizon.months, "profiles": report.profiles}


Check = Callable[[Job, xr.DataTree], Fitted]


def fit_jobs(
    prepared: Prepared, *, progress: Progress | None = None, check: Check | None = None
) -> tuple[Fitted, ...]:
    """Sample and check every job, by ``check`` if it is given, or else everything that a run reports.

    Each has its own seed, derived from the run's seed and the job's name. A fit that fails its gate is
    sampled a second time, more carefully (``sampling.retry``), and that result stands. Where censoring is
    assumed to tell something, fits to completed follow-up take the place of the ordinary one, whose gate
    counts too.
    """
    from bayes_net.inference.patients import fit
    from bayes_net.inference.sampling import Sampler

    wanted = prepared.specification.sampling
    sampler, shapes = _sampler(prepared), _shapes(prepared.jobs)

    def judged(job: Job, tree: xr.DataTree) -> Fitted:
        if check is not None:
            return check(job, tree)
        return checked(job, tree, survival_quantities(job, tree, **survival_request(prepared)))

    def attempt(job: Job, number: int, how: Sampler) -> Fitted:
        tree = fit(
            job.data,
            prepared.specification.hazard(job.measure),
            seed=job_seed(wanted.seed, job, attempt=number),
            sampler=how,
            shape=shapes[_shape_key(job)],
        )
        tree.attrs["attempts"] = number
        return judged(job, tree)

    def imputed(job: Job, ordinary: Fitted) -> Fitted:
        tree = fit_imputed(
            job.data,
            ordinary.fit,
            censoring,
            prepared.specification.hazard(job.measure),
            seed=job_seed(wanted.seed, job),
            sampler=sampler,
            concerned=job.concerned,
            beside=[other.data for other in prepared.jobs if _shape_key(other) == _shape_key(job)],
            passes=(lambda each: judged(job, each).gate.passed) if wanted.retry else None,
        )
        found = judged(job, tree)
        return replace(found, gate=worst_of({"before imputation": ordinary.gate, "": found.gate}))

    censoring, fitted = censoring_of(prepared.specification), []
    for done, job in enumerate(prepared.jobs):
        if progress:
            progress(job.label, done, len(prepared.jobs))
        result = attempt(job, 1, sampler)
        if wanted.retry and not result.gate.passed:
            result = attempt(job, 2, sampler.more_careful())
        if censoring is not None:
            result = imputed(job, result)
        fitted.append(result)
    if progress:
        progress("tables", len(prepared.jobs), len(prepared.jobs))
    return tuple(fitted)


def _sampler(prepared: Prepared):
    from bayes_net.inference.sampling import Sampler

    wanted = prepared.specification.sampling
    return Sampler(wanted.draws, wanted.tune, wanted.chains, wanted.target_accept)


def _shapes(jobs: Sequence[Job]) -> dict[tuple, Layout]:
    """The layout that the jobs of each kind share."""
    return {
        key: layout([job.data for job in jobs if _shape_key(job) == key])
        for key in {_shape_key(job) for job in jobs}
    }


def _shape_key(job: Job) -> tuple:
    return job.data.arms, job.data.covariate_names, job.data.n_intervals


def job_seed(seed: int, job: Job, *, attempt: int = 1) -> int:
    """A seed of its own for every fit: adding a landmark leaves the others' draws as they were."""
    return int(np.random.SeedSequence([seed, zlib.crc32(job.label.encode()), attempt]).generate_state(1)[0])


def posterior_tree(analysis: Analysis) -> xr.DataTree:
    """What ``posterior.nc`` holds: a group for each endpoint and measure, landmarks side by side.

    Nothing in it belongs to a single patient: of the log-likelihood only the total per draw is kept, and
    of leave-one-patient-out only the sums.
    """
    from bayes_net.inference.patients import stack

    groups: dict[str, xr.DataTree] = {}
    for name in dict.fromkeys(f.job.analysis for f in analysis.fits):
        own = {f.job.landmark.label: f for f in analysis.fits if f.job.analysis == name}
        tree = stack({label: _compact(f.fit) for label, f in own.items()}, dim="landmark")
        if all(f.loo for f in own.values()):
            kept = pd.DataFrame([f.loo for f in own.values()], index=pd.Index(own, name="landmark"))
            tree["loo"] = xr.DataTree(xr.Dataset.from_dataframe(kept))
        tree["constant_data"] = xr.DataTree(
            tree["constant_data"]
            .to_dataset()
            .assign(
                biased=("landmark", [f.job.landmark.biased for f in own.values()]),
                gate_passed=("landmark", [f.gate.passed for f in own.values()]),
            )
        )
        tree.attrs |= {"endpoint": next(iter(own.values())).job.endpoint}
        groups[name] = tree
    tree = xr.DataTree(name="bayes_net", children=groups)
    tree.attrs = provenance(analysis)
    return tree


def _compact(fit: xr.DataTree) -> xr.DataTree:
    """The fit without what the rest determines: the walk's standardised steps (log_hazard has them), and
    of the log-prior all but each variable's sum."""
    groups = {name: node.to_dataset() for name, node in fit.children.items()}
    for name in ("posterior", "prior"):
        if name in groups:
            groups[name] = groups[name].drop_vars(["step", "log_baseline"], errors="ignore")
            groups[name] = groups[name].drop_dims("boundary", errors="ignore")
    if "log_prior" in groups:
        groups["log_prior"] = groups["log_prior"].map(
            lambda x: x.sum([dim for dim in x.dims if dim not in SAMPLE_DIMS])
        )
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=fit.attrs), **groups})


def provenance(analysis: Analysis) -> dict[str, str]:
    """Where a result comes from, as plain text attributes."""
    specification, versions = analysis.prepared.specification, analysis.fits[0].fit.attrs
    return {
        "title": specification.title,
        "synthetic": "yes: patients are simulated" if analysis.prepared.cohort.synthetic else "no",
        "specification_sha256": specification.digest,
        "data_sha256": analysis.prepared.cohort.digest,
        "seed": str(specification.sampling.seed),
        "gate": "passed" if analysis.passed else "failed",
        "specification": specification.public_toml(),
    } | {name: str(value) for name, value in versions.items() if name.startswith("version ")}
