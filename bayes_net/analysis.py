"""From a specification to results: reads, takes landmarks, fits, checks and tabulates.

``prepare`` does everything that needs no sampling, so that bad input is refused before any; it does
not import PyMC.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.cohort import Cohort, Note, read_cohort
from bayes_net.errors import CohortWarning, InputError
from bayes_net.exposure import Measure, Response, equal_event_cuts, expose, grid_cuts
from bayes_net.landmarks import LandmarkSet, landmark
from bayes_net.results import (
    Fitted,
    Job,
    checked,
    gate_table,
    hazard_ratio_table,
    loo_table,
    survival_quantities,
    survival_table,
)
from bayes_net.schema import OS, SAMPLE_DIMS
from bayes_net.simulate import simulate_cohort
from bayes_net.specification import Specification
from bayes_net.structure import layout

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many fits are done, and how many there are."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A validated specification with its patients at every landmark: all that sampling needs."""

    specification: Specification
    cohort: Cohort
    sets: Mapping[tuple[str, bool], LandmarkSet]
    jobs: tuple[Job, ...]
    notes: tuple[Note, ...]

    @property
    def attrition(self) -> pd.DataFrame:
        """Who left, by endpoint, landmark, arm and reason."""
        parts = [
            s.attrition.assign(
                endpoint=endpoint, population=s.population + (", intention to treat" if itt else "")
            )
            for (endpoint, itt), s in self.sets.items()
        ]
        return pd.concat(parts, ignore_index=True)[
            ["endpoint", "population", "landmark", "arm", "reason", "n"]
        ]


@dataclass(frozen=True, eq=False)
class Analysis:
    """A finished run: the fits and the tables that are written out."""

    prepared: Prepared
    fits: tuple[Fitted, ...]
    hazard_ratios: pd.DataFrame
    survival: pd.DataFrame
    gate: pd.DataFrame
    loo: pd.DataFrame

    @property
    def passed(self) -> bool:
        """Whether every fit passed its gate."""
        return bool(self.gate["passed"].all())


def load_cohort(specification: Specification) -> Cohort:
    """The cohort that a specification names, read and validated, or generated."""
    data = specification.data
    if data.synthetic:
        return simulate_cohort(seed=data.synthetic_seed)
    return read_cohort(
        specification.path("patients"),
        specification.path("scans"),
        time_unit=data.time_unit,
        patient_columns=data.patient_columns,
        scan_columns=data.scan_columns,
        size_unit=data.size_unit,
        arms=data.arms or None,
        covariates=tuple(c.name for c in specification.covariates),
        baseline_window=data.baseline_window,
        scans_after_death=data.scans_after_death,
        exclude_patients=data.exclude_patients,
        study=data.study,
    )


def prepare(specification: Specification) -> Prepared:
    """Read and validate the data and lay out every model to fit; nothing is sampled.

    Raises
    ------
    InputError
        The data break a rule, or a landmark has no patient or no event.
    """
    with warnings.catch_warnings():
        # What calls for judgement is in the cohort's notes, which the caller shows once.
        warnings.simplefilter("ignore", CohortWarning)
        cohort = load_cohort(specification)
    wanted = specification.landmarks
    if OS in wanted.endpoints and OS not in cohort.endpoints:
        raise InputError("landmarks.endpoints asks for OS, but the patient table has no os_time and os_event")
    sets = {
        (endpoint, itt): landmark(
            cohort,
            wanted.times,
            endpoint=endpoint,
            population=wanted.population(endpoint),
            intention_to_treat=itt,
        )
        for endpoint in wanted.endpoints
        for itt in ((False, True) if wanted.intention_to_treat and wanted.thresholds else (False,))
    }
    jobs = tuple(
        _job(specification, sets, endpoint, measure, at)
        for endpoint in wanted.endpoints
        for measure in wanted.measures()
        for at in sets[endpoint, False].landmarks
    )
    return Prepared(specification, cohort, sets, jobs, cohort.notes + _thin_arms(jobs))


def _job(specification: Specification, sets: Mapping, endpoint: str, measure: Measure, at) -> Job:
    itt = specification.landmarks.intention_to_treat and isinstance(measure, Response)
    chosen = sets[endpoint, itt]
    rows = chosen.at(at.label)
    data = expose(
        chosen,
        at.label,
        cuts=_cuts(specification, endpoint, rows),
        measure=measure,
        covariates=[c.value() for c in specification.covariates],
    )
    return Job(endpoint, chosen.population, at, measure, data)


def _cuts(specification: Specification, endpoint: str, rows: pd.DataFrame) -> np.ndarray:
    baseline = specification.baseline
    if not rows["event"].sum():
        return np.array([])  # the exposure refuses it, with a better message than any rule of cut-points
    if baseline.intervals is not None:
        return equal_event_cuts(
            rows["time"].to_numpy(), rows["event"].to_numpy(), intervals=baseline.intervals
        )
    if baseline.grid_width is not None:
        return grid_cuts(baseline.grid_width, baseline.grid_until)
    cuts = baseline.cuts
    if isinstance(cuts, dict):
        if endpoint not in cuts:
            raise InputError(f"baseline.cuts has no cut-points for {endpoint}; it has {', '.join(cuts)}")
        cuts = cuts[endpoint]
    return np.array([cut.months for cut in cuts])


def _thin_arms(jobs: Sequence[Job]) -> tuple[Note, ...]:
    """A note for every arm that has no event at a landmark: its hazard ratio is then the prior's."""
    bare = {
        f"{job.endpoint.upper()}, {job.landmark.label}, {arm}"
        for job in jobs
        for arm, events in zip(job.data.arms, job.data.events.sum(axis=1), strict=True)
        if events == 0
    }
    return tuple(
        Note(
            "warning",
            "arm-without-events",
            f"{where}: no event, so its hazard ratios are the prior's alone",
            1,
        )
        for where in sorted(bare)
    )


def run(specification: Specification, *, progress: Progress | None = None) -> Analysis:
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
    )


def survival_request(prepared: Prepared) -> dict:
    """Times, horizon (months) and profiles (points) at which survival is reported."""
    report = prepared.specification.report
    times = [time.months for time in report.survival_times]
    return {"times": times, "horizon": report.horizon.months, "profiles": report.profiles}


def fit_jobs(prepared: Prepared, *, progress: Progress | None = None) -> tuple[Fitted, ...]:
    """Sample and check every job.

    Each has its own seed, derived from the run's seed and the job's name. A fit that fails its gate is
    sampled a second time, more carefully (``sampling.retry``), and that result stands.
    """
    from bayes_net.sampling import Sampler, fit

    wanted = prepared.specification.sampling
    sampler = Sampler(wanted.draws, wanted.tune, wanted.chains, wanted.target_accept)
    shapes = {
        key: layout([job.data for job in prepared.jobs if _shape_key(job) == key])
        for key in {_shape_key(job) for job in prepared.jobs}
    }

    def attempt(job: Job, number: int, how: Sampler) -> Fitted:
        tree = fit(
            job.data,
            prepared.specification.hazard(job.measure),
            seed=job_seed(wanted.seed, job, attempt=number),
            sampler=how,
            shape=shapes[_shape_key(job)],
        )
        tree.attrs["attempts"] = number
        return checked(job, tree, survival_quantities(job, tree, **survival_request(prepared)))

    fitted = []
    for done, job in enumerate(prepared.jobs):
        if progress:
            progress(job.label, done, len(prepared.jobs))
        result = attempt(job, 1, sampler)
        if wanted.retry and not result.gate.passed:
            result = attempt(job, 2, sampler.more_careful())
        fitted.append(result)
    if progress:
        progress("tables", len(prepared.jobs), len(prepared.jobs))
    return tuple(fitted)


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
    from bayes_net.sampling import stack

    groups: dict[str, xr.DataTree] = {}
    for name in dict.fromkeys(f.job.analysis for f in analysis.fits):
        own = {f.job.landmark.label: f for f in analysis.fits if f.job.analysis == name}
        tree = stack({label: _compact(f.fit) for label, f in own.items()}, dim="landmark")
        tree["loo"] = xr.DataTree(
            xr.Dataset.from_dataframe(
                pd.DataFrame([f.loo for f in own.values()], index=pd.Index(own, name="landmark"))
            )
        )
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
    densities = groups["log_prior"]
    groups["log_prior"] = densities.map(lambda x: x.sum([dim for dim in x.dims if dim not in SAMPLE_DIMS]))
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
