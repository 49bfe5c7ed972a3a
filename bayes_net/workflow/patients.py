"""An analysis of patients: its data at every landmark, its models, and the tables of their fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from bayes_net.assumptions.hazard import Hazard
from bayes_net.assumptions.priors import NONE
from bayes_net.checks.conflict import prior_conflict
from bayes_net.checks.gate import Gate, gate, worst_of
from bayes_net.checks.influence import influence
from bayes_net.data.assessments import CENSORED_THERE, censor_at_new_therapy
from bayes_net.data.cohort import Cohort, Origin
from bayes_net.data.exposure import Exposure
from bayes_net.data.landmarks import LandmarkSet
from bayes_net.data.terms import Covariate
from bayes_net.engine.layout import Layout, layout
from bayes_net.errors import Gathered, InputError, refuse
from bayes_net.estimands.ratios import OVER_TIME
from bayes_net.estimands.summary import bars
from bayes_net.inference.imputation import Censoring, fit_imputed
from bayes_net.inference.missing import fit_completed
from bayes_net.report.patients import LANDMARKS
from bayes_net.results import patients as results
from bayes_net.results.columns import tails_of_words
from bayes_net.results.curves import predictive_table
from bayes_net.results.fits import (
    Fitted,
    Job,
    at_landmarks,
    compact,
    hazard_ratio_table,
    of_endpoints,
    population_name,
    reported_quantities,
)
from bayes_net.results.states import across_table, arm_difference_table, state_tables
from bayes_net.schema import NUTS, SLOPE
from bayes_net.specification.patients import PatientsPlan
from bayes_net.tables.notes import UNIT_DOUBTS, accepted
from bayes_net.workflow.analysis import (
    DIAGNOSTICS,
    ModelToFit,
    Prepared,
    Steps,
    diagnosed_tables,
    laid_out,
    with_leave_one_out,
)
from bayes_net.workflow.cautions import (
    cautions,
    check_covariates,
    check_reasons,
    nobody_concerned,
    refuse_improper,
)
from bayes_net.workflow.jobs import (
    apart_at,
    censoring_of,
    jobs_of,
    landmark_sets,
    missing_tables,
    never_at_risk,
)
from bayes_net.workflow.loading import load_data

if TYPE_CHECKING:
    from bayes_net.inference.sampling import Sampler

MOST_REFITS = 3
"""Patients of one fit that an ordinary run leaves out by refitting, at about a second each."""


@dataclass(frozen=True, eq=False)
class PreparedPatients(Prepared[Fitted]):
    """A validated plan with its patients at every landmark, and a job for each of its models."""

    plan: PatientsPlan
    cohort: Cohort
    sets: Mapping[tuple[str, bool], LandmarkSet]
    jobs: tuple[Job, ...]
    kind = LANDMARKS

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the cohort."""
        return {"data_sha256": self.cohort.digest}

    @property
    def origin(self) -> Sequence[Origin]:
        """Where each field comes from, of a cohort from ADaM."""
        return self.cohort.origin

    @property
    def synthetic(self) -> bool:
        """Whether the patients are simulated."""
        return self.cohort.synthetic

    @property
    def attrition(self) -> pd.DataFrame:
        """Who left, by endpoint, landmark, arm and reason."""
        parts = [
            s.attrition.assign(endpoint=endpoint, population=population_name(s.population, itt))
            for (endpoint, itt), s in self.sets.items()
        ]
        parts += never_at_risk(self.jobs, next(iter(self.sets.values())).attrition)
        return pd.concat(parts, ignore_index=True)[
            ["endpoint", "population", "landmark", "arm", "reason", "n"]
        ]

    def hazard(self, job: Job) -> Hazard:
        """What the model of a job assumes."""
        intervals, transition = job.data.n_intervals, bool(job.transition)
        return self.plan.hazard(job.measure, intervals, job.apart, transition=transition)

    def models(self, *, brief: bool = False) -> tuple[ModelToFit, ...]:
        """A model for every job; one of each layout is compiled."""
        return tuple(self._model(job, brief) for job in self.jobs if not (brief and job.transition))

    def _model(self, job: Job, brief: bool) -> ModelToFit:
        hazard, alone = self.hazard(job), brief or job.joint or job.transition

        def sampled(sampler: Sampler, seed: int) -> xr.DataTree:
            from bayes_net.inference.patients import fit_any

            shape, ordinary = self._layouts[_shape_key(job)], job.concerned is None
            how: dict[str, Any] = {"seed": seed, "sampler": sampler, "shape": shape}
            if job.completed:
                return fit_completed(job.completed, hazard, brief=brief, passes=self._passes(reported), **how)
            return fit_any(job.data, hazard, brief=brief and ordinary, **how)

        survived = results.of_last(partial(results.survival_quantities, job, **self._survival))

        def reported(tree: xr.DataTree) -> dict[str, xr.DataArray]:
            return reported_quantities(tree) | ({} if alone else survived(tree))

        def finished(tree: xr.DataTree, judged: Gate) -> Fitted:
            if (censoring := censoring_of(self.plan)) is not None:
                tree, judged = self._imputed(job, censoring, tree, judged, reported)
            known = "log_likelihood" in tree.children and not brief
            loo, judged = with_leave_one_out(tree, judged) if known else ({}, judged)
            return Fitted(job, tree, judged, loo, None if alone else survived(tree))

        key = (*_shape_key(job), hazard.baseline, hazard.smoothing, hazard.slopes)
        return ModelToFit(job.label, key, sampled, reported, finished)

    @cached_property
    def _layouts(self) -> dict[tuple, Layout]:
        """The layout that all jobs of a kind share."""
        return {key: layout(self._beside(job)) for key, job in {_shape_key(j): j for j in self.jobs}.items()}

    def _beside(self, job: Job) -> list[Exposure]:
        alike = (j for j in self.jobs if _shape_key(j) == _shape_key(job) and not j.uncertain)
        return [data for j in alike for data in j.completed or (j.data,)]

    def _imputed(
        self, job: Job, censoring: Censoring, ordinary: xr.DataTree, judged: Gate, reported: Callable
    ) -> tuple[xr.DataTree, Gate]:
        """The fit to completed follow-up, in the place of the ordinary one, whose gate counts too."""
        from bayes_net.inference.sampling import seed_of

        tree = fit_imputed(
            job.data,
            ordinary,
            censoring,
            self.hazard(job),
            seed=seed_of(self.plan.sampling.seed, label=job.label),
            sampler=replace(self.sampler, method=NUTS),  # chains of all imputations have the same statistics
            concerned=job.concerned,
            beside=self._beside(job),
            passes=self._passes(reported),
        )
        return tree, worst_of({"before imputation": judged, "": gate(tree, reported(tree))})

    def _passes(self, reported: Callable) -> Callable[[xr.DataTree], bool] | None:
        return (lambda each: gate(each, reported(each)).passed) if self.plan.sampling.retry else None

    @property
    def _survival(self) -> dict[str, Any]:
        """Times, horizon (months) and profiles (points) at which survival is reported."""
        report = self.plan.report
        times = [time.months for time in report.survival_times]
        return {"times": times, "horizon": report.horizon.months, "profiles": report.profiles}

    def tables(self, fits: Sequence[Fitted], steps: Steps) -> dict[str, pd.DataFrame]:
        """Every table of the run; a few patients of each fit are left out by refitting."""
        steps.next("tables")
        how: dict[str, Any] = {"ci_prob": self.plan.report.level, "interval": self.plan.report.interval}
        every, fits = fits, of_endpoints(fits)
        separate, until = at_landmarks(fits), self._survival | {"over": self.plan.report.arms_over}
        until.pop("profiles")  # arms are compared by their patients, whatever their shrinkage
        ratios = hazard_ratio_table(fits, **how)
        tables = {
            "hazard_ratios": ratios,
            **dict(results.over_time_tables(fits, **how)),
            "survival": results.survival_table(separate, **self._survival, **how),
            "arms": arm_difference_table(separate, **until, **how),
            "attrition": self.attrition,
            **missing_tables(self.sets, separate),
            "priors": self._priors(fits),
            "sampling": results.diagnostics_table(every),
            "across_landmarks": self._together(separate, how),
            **state_tables(every, times=self._survival["times"], profiles=self.plan.report.profiles, **how),
        }
        bands = [band for band, _ in bars(tails_of_words(ratios))]
        diagnosed, failed = diagnosed_tables(
            {
                "predictive_check": lambda: self._predictive(separate),
                "loo": lambda: results.loo_table(fits),
                "power_scaling": lambda: results.power_scaling_table(fits),
                "prior_conflict": lambda: self._conflict(fits),
                "tipping_points": lambda: results.tipping_table(
                    [f for f in fits if f.job.joint] or fits, bands
                ),
                "influence": lambda: results.influence_table(list(self._influences(fits))),
                **self._predictions(separate),
            }
        )
        tables |= {
            DIAGNOSTICS: pd.concat([results.gate_table(every), *failed], ignore_index=True)
        } | diagnosed
        if self.plan.censoring is not None:
            for name in ("hazard_ratios", *(q.name for q in OVER_TIME if q.column), "survival"):
                tables[name] = tables[name].assign(censoring_factor=self.plan.censoring.factor)
        return tables

    def _priors(self, fits: Sequence[Fitted]) -> pd.DataFrame:
        """The priors of every way in which shrinkage enters; what they share is said once."""
        first: dict[tuple, Fitted] = {}
        for f in fits:
            first.setdefault((f.job.measure, f.job.data.covariate_names), f)
        tables = [results.prior_table(f, self.hazard(f.job)) for f in first.values()]
        return pd.concat(tables, ignore_index=True).drop_duplicates("parameter", ignore_index=True)

    def _together(self, fits: Sequence[Fitted], how: Mapping[str, Any]) -> pd.DataFrame:
        """What the landmarks say together of each arm's slopes, where the plan asks for it."""
        shared = fits if self.plan.shares_slopes else []
        return across_table(shared, self.sets, self.hazard, seed=self.plan.sampling.seed, **how)

    def _conflict(self, fits: Sequence[Fitted]) -> pd.DataFrame:
        """Whether the data lie where priors expected them; of fits to imputed follow-up, nothing."""
        observed = [f for f in fits if "log_likelihood" in f.fit.children]
        return results.about_fits((f, prior_conflict(f.fit, self.hazard(f.job))) for f in observed)

    def _predictive(self, fits: Sequence[Fitted]) -> pd.DataFrame:
        if not (fits := [f for f in fits if "log_likelihood" in f.fit.children and not f.job.uncertain]):
            return pd.DataFrame()  # replicates would be of completed data, which nobody observed
        table = predictive_table(fits, self._survival["times"], ci_prob=self.plan.report.level)
        columns = ["fit", "arm", "time", "observed", "estimate", "lower", "upper", "p_value"]
        return table[columns].rename(columns={"time": "months", "estimate": "replicated", "p_value": "p"})

    def _predictions(self, fits: Sequence[Fitted]) -> dict[str, Callable[[], pd.DataFrame]]:
        """How well patients are predicted who were left out, with shrinkage and without, where asked for."""
        if not self.plan.report.prediction or self.plan.censoring is not None:
            return {}
        how: dict[str, Any] = {"seed": self.plan.sampling.seed, "ci_prob": self.plan.report.level}
        return results.prediction_tables(fits, self.hazard, times=self._survival["times"], **how)

    def _influences(self, fits: Sequence[Fitted]) -> Iterator[tuple[Fitted, xr.Dataset]]:
        """What every patient does to each fit, by a few refits where importance sampling is not reliable; of
        fits to imputed follow-up, which are not those patients', nothing."""
        for f in fits:
            if "log_likelihood" in f.fit.children and SLOPE in f.fit["posterior"]:
                how: dict[str, Any] = {"sampler": self.sampler, "shape": self._layouts[_shape_key(f.job)]}
                refitted = () if f.job.uncertain else (f.job.data, self.hazard(f.job))
                yield f, influence(f.fit, *refitted, most_refits=MOST_REFITS, **how)

    def ratios(self, fits: Sequence[Fitted]) -> pd.DataFrame:
        """The hazard-ratio table of a run."""
        report = self.plan.report
        return hazard_ratio_table(fits, ci_prob=report.level, interval=report.interval)

    def posterior(self, fits: Sequence[Fitted]) -> xr.DataTree:
        """A group for each endpoint and measure, landmarks side by side.

        Nothing in it belongs to a single patient: of the log-likelihood only the total per draw is kept, and
        of leave-one-patient-out only the sums.
        """
        from bayes_net.inference.patients import stack

        groups: dict[str, xr.DataTree] = {}
        for name in dict.fromkeys(f.job.analysis for f in fits):
            own = {f.job.landmark.label: f for f in fits if f.job.analysis == name}
            tree = stack({label: compact(f.fit) for label, f in own.items()}, dim="landmark")
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
        return xr.DataTree(name="bayes_net", children=groups)


def _shape_key(job: Job) -> tuple:
    return job.data.arms, job.data.covariate_names, job.data.n_intervals, job.data.studies


@laid_out.register
def prepare_patients(
    plan: PatientsPlan, cohorts: dict[str, Cohort], tables: Mapping[str, pd.DataFrame]
) -> PreparedPatients:
    """Patients at every landmark, and a job for every endpoint, measure and landmark."""
    covariates = [covariate.name for covariate in plan.covariates]
    as_read = load_data(plan.data, plan.folder, covariates, plan.missing_covariates, cohorts, tables)
    ends = plan.landmarks.new_therapy == CENSORED_THERE
    cohort = censor_at_new_therapy(as_read) if ends else as_read
    gathered = Gathered()
    with gathered.step():
        check_covariates(plan, cohort)
    with gathered.step():
        check_reasons(plan, cohort)
    if plan.slopes == NONE and len(cohort.arms) == 1 and not covariates:
        raise InputError(
            'slopes = "none" with one arm and no covariate leaves no hazard ratio; give covariates'
        )
    terms: list[Covariate] = []
    with gathered.step():
        terms = [covariate.value(cohort) for covariate in plan.covariates]
    sets = landmark_sets(plan, cohort)
    jobs = jobs_of(plan, cohort, sets, terms, gathered)
    _refuse(gathered.problems, cohort)
    apart = apart_at(plan, sets)
    jobs = [replace(job, apart=apart) for job in jobs]
    refuse_improper(plan, jobs)
    # the joint models and the steps from state to state are of the same patients
    separate = [job for job in jobs if not job.joint and not job.transition]
    found = cautions(plan, cohort, separate) + nobody_concerned(censoring_of(plan), separate)
    notes = cohort.notes + accepted(found, plan.data.accept)
    return PreparedPatients(plan, notes, as_read, sets, tuple(jobs))


def _refuse(problems: Sequence[str], cohort: Cohort) -> None:
    """Everything that keeps patients from the models, with the units that may be behind it."""
    doubts = [f"possible cause: {note.message}" for note in cohort.notes if note.code in UNIT_DOUBTS]
    refuse([*problems, *doubts] if problems else [], kind=InputError, heading="problems", notes=cohort.notes)
