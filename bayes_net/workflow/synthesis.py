"""A synthesis: its published numbers and patients, its model, what is left out, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.assumptions.network import Curve, Network, combine_network, with_labels
from bayes_net.assumptions.participants import Participants
from bayes_net.checks.gate import Gate, gate
from bayes_net.checks.influence import leave_one_number_out, left_out, study_influence
from bayes_net.checks.power import synthesis_power_scaling
from bayes_net.data.cohort import Cohort, Origin
from bayes_net.data.exposure import expose, person_time
from bayes_net.data.landmarks import landmark
from bayes_net.errors import InputError, listed
from bayes_net.estimands.clinical import clinical_answer
from bayes_net.estimands.new_study import new_study_priors
from bayes_net.estimands.synthesis import arm_curves, checks, checks_together, profiles
from bayes_net.evidence.pairs import impossible_curves
from bayes_net.evidence.table import Evidence, read_evidence
from bayes_net.report.synthesis import SYNTHESIS
from bayes_net.results import synthesis as results
from bayes_net.results.columns import PARAMETER_KEYS
from bayes_net.schema import FAILED, NO_LIMIT, PASSED, SAMPLE_DIMS
from bayes_net.specification.fields import shared_months
from bayes_net.specification.synthesis import CohortSection, SynthesisPlan
from bayes_net.tables.notes import WARNING, Note
from bayes_net.workflow.analysis import DIAGNOSTICS, ModelToFit, Prepared, Steps, prepare, sampled
from bayes_net.workflow.patients import load_data

if TYPE_CHECKING:
    from bayes_net.inference.sampling import Sampler


REFIT_RHAT, REFIT_ESS, REFIT_ACCEPT = 1.03, 100, 0.97
REFIT_TUNE, REFIT_DRAWS = 200, 250
"""Enough to see by how much of its standard deviation a parameter moves; what fails is refitted as carefully
as the whole."""
WHOLE = "all evidence"
"""Name of the fit from which nothing is left out."""


Refits = dict[str, tuple[xr.DataTree, Gate]]
"""Posterior and gate by what is left out."""


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """The fit of all evidence, and its gate."""

    network: Network
    fit: xr.DataTree
    gate: Gate


@dataclass(frozen=True, eq=False)
class PreparedNetwork(Prepared[FittedNetwork]):
    """A validated plan of a synthesis with its published numbers and patients, and the network they make."""

    plan: SynthesisPlan
    evidence: Evidence | None
    network: Network
    cohorts: Mapping[str, Cohort]
    kind = SYNTHESIS

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the evidence, and of each study's patients."""
        evidence = {} if self.evidence is None else {"evidence_sha256": self.evidence.digest}
        return evidence | {f"data_sha256 {study}": own.digest for study, own in self.cohorts.items()}

    @property
    def origin(self) -> Sequence[Origin]:
        """Where each field of each study comes from, of cohorts from ADaM."""
        return [
            each._replace(field=f"{study}: {each.field}")
            for study, own in self.cohorts.items()
            for each in own.origin
        ]

    @property
    def synthetic(self) -> bool:
        """Whether patients of any study are simulated."""
        return any(cohort.synthetic for cohort in self.cohorts.values())

    @property
    def printed(self) -> pd.DataFrame:
        """Every row of the evidence, whatever its use, and the counts of patients."""
        rows = self.network.rows
        if self.evidence is None:
            return rows
        own = with_labels(self.evidence.table)
        return pd.concat([own, rows[~rows["id"].isin(own["id"])]], ignore_index=True)

    @property
    def sources(self) -> list[str]:
        """Studies that can be left out, if there is another."""
        studies = list(dict.fromkeys([*self.network.rows["study"], *(c.study for c in self.network.cohorts)]))
        return studies if len(studies) > 1 else []

    def models(self, *, brief: bool = False) -> tuple[ModelToFit, ...]:
        """The one model; its gate looks at the same parameters, ``brief`` or not."""
        network = self.network

        def fit(sampler: Sampler, seed: int) -> xr.DataTree:
            from bayes_net.inference.synthesis import fit_synthesis

            return fit_synthesis(network, seed=seed, sampler=sampler, brief=brief)

        key = (network.curves, network.landmarks, len(network.rows))
        return (ModelToFit(WHOLE, key, fit, reported, partial(FittedNetwork, network), alone=True),)

    @property
    def n_refits(self) -> int:
        """Each source, and then all single numbers."""
        return (len(self.sources) + 1) * self.plan.report.leave_one_out

    def tables(self, fits: Sequence[FittedNetwork], steps: Steps) -> dict[str, pd.DataFrame]:
        """Every table of the run; each source, and each number that asks for it, is left out by refitting."""
        (whole,), network, ci_prob = fits, self.network, self.plan.report.level
        tables, without = {DIAGNOSTICS: [whole.gate.table.assign(fit=WHOLE)]}, {}
        if self.plan.report.leave_one_out:
            loo, refits = self._leave_out(whole.fit, steps)
            named = {f"without {name}": refit for name, refit in refits.items()}
            tables[DIAGNOSTICS] += [own.table.assign(fit=name) for name, (_, own) in named.items()]
            tables["influence"] = [
                _moved(whole.fit, tree).assign(fit=name) for name, (tree, _) in named.items()
            ]
            tables["loo"] = [loo]
            without = {name: tree for name, (tree, own) in refits.items() if own.passed}
        answers = {"": whole.fit["posterior"].to_dataset()} | {
            name: tree["posterior"].to_dataset() for name, tree in without.items() if name in self.sources
        }
        tables["answer"] = [
            clinical_answer(draws, network, ci_prob=ci_prob).assign(without=name)
            for name, draws in answers.items()
        ]
        tables["study_influence"] = [study_influence(whole.fit, network, ci_prob=ci_prob, refits=without)]
        steps.next("tables")
        joined = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items() if parts}
        columns = ["fit", "check", "worst", "threshold", "passed", "where"]
        joined[DIAGNOSTICS] = joined[DIAGNOSTICS][columns]
        joined |= tabulate(whole.fit, self, ci_prob=ci_prob)
        return {name: _with_gate(table, name, whole, joined[DIAGNOSTICS]) for name, table in joined.items()}

    def _leave_out(self, fit: xr.DataTree, steps: Steps) -> tuple[pd.DataFrame, Refits]:
        """Leave-one-number-out results, and the posteriors without a source or a number."""
        from bayes_net.inference.synthesis import fit_synthesis, shares_first_stage, with_levels_of

        network, whole, wanted, gates = self.network, self.sampler, self.plan.sampling, []
        tune = max(whole.tune // 4, min(whole.tune, REFIT_TUNE))
        brief = replace(whole, tune=tune, target_accept=min(whole.target_accept, REFIT_ACCEPT))

        def refit(smaller: Network, share: float = 0.2) -> xr.DataTree:
            if shares_first_stage(network, smaller):
                tree = with_levels_of(fit, smaller, seed=wanted.seed)
                judged = refit_gate(tree)
            else:
                draws = max(round(share * whole.draws), min(whole.draws, REFIT_DRAWS))
                tree, judged = sampled(
                    lambda sampler, seed: fit_synthesis(smaller, seed=seed, sampler=sampler, brief=True),
                    refit_gate,
                    sampler=replace(brief, draws=draws),
                    seeds=[wanted.seed] * (1 + wanted.retry),
                )
            gates.append(judged)
            # of many refits at once there is room for no more
            return xr.DataTree.from_dict({"posterior": tree["posterior"].to_dataset()})

        refits, loo = {}, pd.DataFrame()
        for source in self.sources:
            steps.next(f"without {source}")
            refits[source] = refit(left_out(network, [source]), share=0.4)
        if len(network.rows):
            steps.next("each number left out")
            loo, exact = leave_one_number_out(fit, network, refit)
            refits |= exact
        return loo, {name: (tree, own) for (name, tree), own in zip(refits.items(), gates, strict=True)}

    def ratios(self, fits: Sequence[FittedNetwork]) -> pd.DataFrame:
        """Hazard ratios of shrinkage, then those of arms and studies."""
        (whole,), ci_prob, seed = fits, self.plan.report.level, self.plan.sampling.seed
        tables = [
            results.hazard_ratios(whole.fit, self.network, self.printed, ci_prob=ci_prob),
            results.arm_hazard_ratios(whole.fit, self.network, ci_prob=ci_prob, seed=seed),
        ]
        table = pd.concat([t for t in tables if len(t)], ignore_index=True)
        return table.assign(gate=PASSED if whole.gate.passed else FAILED)

    def posterior(self, fits: Sequence[FittedNetwork]) -> xr.DataTree:
        """Posterior, prior, sampler statistics, and of the published numbers' log-likelihood every row's."""
        return fits[0].fit.copy()


@prepare.register
def prepare_network(
    plan: SynthesisPlan,
    *,
    cohorts: dict[str, Cohort] | None = None,
    patients: pd.DataFrame | None = None,
    scans: pd.DataFrame | None = None,
) -> PreparedNetwork:
    """Published numbers and patients, and the network that they make.

    Raises
    ------
    InputError
        A published number or a patient breaks a rule, or does not fit the model.
    """
    if patients is not None or scans is not None:
        raise InputError(
            "patients or scans given as a table, but the specification is a synthesis, whose studies name "
            "their own files; expected a specification of patients, with a section [data]"
        )
    evidence = _evidence(plan)
    virtual = evidence.virtual if evidence else None
    _check_studies(plan, evidence)
    loaded = [(section, load_data(section, plan.folder, cohorts=cohorts)) for section in plan.cohorts]
    network = combine_network(
        evidence,
        plan.assumptions(virtual),
        cohorts=[_cohort(section, people, plan) for section, people in loaded],
        power=dict(plan.evidence.power) if plan.evidence else None,
    )
    for section, people in loaded:
        if counts := _counts(section, people):
            network = network.with_rows(pd.DataFrame(counts), power=section.weight)
    notes = tuple(
        replace(note, message=f"{section.study}: {note.message}")
        for section, people in loaded
        for note in people.notes
    )
    read = {str(section.study): people for section, people in loaded}
    return PreparedNetwork(plan, (*_reconciled(network), *notes), evidence, network, read)


def _evidence(plan: SynthesisPlan) -> Evidence | None:
    section = plan.evidence
    if section is None:
        return None
    evidence = read_evidence(
        *(plan.folder / path for path in section.files),
        use=section.use,
        correlation={(a, b): value for pair, value in section.correlation.items() for a, b in [pair.split()]},
        only=section.only,
        statements=section.statements,
        se_factor=plan.virtual_trials.se_factor,
        correlated=plan.virtual_trials.correlations == "mean",
    )
    arm = plan.model.subgroups_of
    return _subgroups_as_arms(evidence, arm) if arm else evidence


def _reconciled(network: Network) -> tuple[Note, ...]:
    """A note of pairs of points whose standard errors one curve cannot have."""
    pairs = impossible_curves(network.rows, network.data)
    message = (
        "the standard errors of {} fall with time, which those of one curve cannot; what the errors of two "
        "points have in common is then known from the later one, and both keep their standard errors"
    ).format(" and of ".join(f"{early} and {late}" for early, late in pairs))
    return (Note(WARNING, "impossible-curve", message, len(pairs)),) if pairs else ()


def _check_studies(plan: SynthesisPlan, evidence: Evidence | None) -> None:
    known = [section.study for section in plan.cohorts]
    known += [] if evidence is None else list(dict.fromkeys(evidence.table["study"]))
    model = plan.model
    if unknown := [name for name in (model.reference, *model.own_baseline) if name not in known]:
        raise InputError(
            f"model.reference and model.own_baseline name {listed(unknown)}; expected studies among "
            f"{listed(known, limit=20)}"
        )


def _subgroups_as_arms(evidence: Evidence, arm: str) -> Evidence:
    """Curves of the subgroups of an arm as arms of their own, named "ARM SUBGROUP"; other curves of that
    arm are kept for the record."""
    table = evidence.table.copy()
    own = (table["arm"] == arm) & (table["subgroup"] != "all")
    if not own.any():
        raise InputError(
            f"model.subgroups_of = {arm!r}, but the evidence has no row of a subgroup of that arm"
        )
    table.loc[own, "arm"] = table.loc[own, "arm"] + " " + table.loc[own, "subgroup"]
    table.loc[own, "subgroup"] = "all"
    return Evidence(table, evidence.virtual)


def _arm(section: CohortSection, names: pd.Series) -> pd.Series:
    return names.replace(section.arm_names)


def _cohort(section: CohortSection, patients: Cohort, plan: SynthesisPlan) -> Participants:
    arms = plan.model.arms
    table = patients.patients.assign(arm=_arm(section, patients.patients["arm"].astype(str)))
    unknown = sorted(set(table["arm"]) - set(arms))
    if unknown:
        raise InputError(
            f"patients of {section.study} have arms {', '.join(unknown)}; expected {', '.join(arms)}. "
            'Name them in arm_names, such as {"PRRT" = "177Lu"}'
        )
    if f"{section.endpoint}_time" not in table:
        raise InputError(
            f"patients of {section.study} have no {section.endpoint}_time and {section.endpoint}_event; "
            f"expected both for endpoint = {section.endpoint!r}. Name the columns in patient_columns"
        )
    cuts = np.array(shared_months(plan.model.cuts))
    time = table[f"{section.endpoint}_time"].to_numpy(float)
    event = table[f"{section.endpoint}_event"].to_numpy(float)
    months, interval = person_time(time, cuts), np.searchsorted(cuts, time, side="left")
    events, exposure = np.zeros((2, len(arms), len(cuts) + 1))
    for a, arm in enumerate(arms if section.curve else ()):
        own = (table["arm"] == arm).to_numpy()
        exposure[a] = months[own].sum(axis=0)
        np.add.at(events[a], interval[own], event[own])
    participants = Participants(
        str(section.study),
        section.endpoint,
        events,
        exposure,
        weight=section.weight,
        longest=float(time.max()),
    )
    if section.landmark is None:
        return participants
    chosen = landmark(patients, [section.landmark], endpoint=section.endpoint)
    at = chosen.landmarks[0].label
    data = expose(chosen, at, cuts=shared_months(section.landmark_cuts))
    renamed = [dict(section.arm_names).get(arm, arm) for arm in data.arms]
    order = np.array([arms.index(arm) for arm in renamed])
    return replace(participants, landmark=at, exposure=replace(data, arm=order[data.arm], arms=tuple(arms)))


def _counts(section: CohortSection, patients: Cohort) -> list[dict]:
    """Best shrinkage of patients as counts, by which they join the shrinkage law and the responses."""
    if section.counts and not patients.sized:
        raise InputError(
            f"the scans of {section.study} have responses and no sizes, so shrinkage cannot be counted; "
            "expected sizes, or counts = false"
        )
    if not section.counts or not len(patients.scans):
        return []
    best = landmark(patients, [NO_LIMIT], endpoint=section.endpoint, intention_to_treat=True).table
    best = best.assign(arm=_arm(section, best["arm"].astype(str)))
    rows = []
    for arm, own in best.groupby("arm", sort=False):
        seen = own["shrinkage"].dropna()
        if seen.empty:
            continue  # nobody was measured, which is no count of 0
        common = {"study": section.study, "cohort_id": section.study, "arm": arm, "statistic": "count"}
        common |= {"subgroup": "all", "use": "likelihood", "source": "patients", "unit": "patients"}
        for what, endpoint, threshold, counted, n in (
            (">= 30", "shrinkage", 30.0, seen >= 30, len(seen)),
            (">= 0", "shrinkage", 0.0, seen > 0, len(seen)),
            ("response", "response", np.nan, seen >= 30, len(own)),
        ):
            row = {"id": f"{section.study} {arm} {what}", "threshold": threshold, "endpoint": endpoint}
            rows.append(common | row | {"value": float(counted.sum()), "n": float(n)})
    return rows


def refit_gate(refit: xr.DataTree) -> Gate:
    """The gate of a fit that only shows what moves: of reported parameters, and with fewer draws."""
    moving = xr.Dataset({str(name): draws for name, draws in reported(refit).items()})
    tree = xr.DataTree.from_dict({"posterior": moving, "sample_stats": refit["sample_stats"].to_dataset()})
    return gate(tree, max_rhat=REFIT_RHAT, min_ess=REFIT_ESS)


def _with_gate(
    table: pd.DataFrame, name: str, whole: FittedNetwork, diagnostics: pd.DataFrame
) -> pd.DataFrame:
    """The table with whether the fit behind each row passed its gate, which must travel with its numbers."""
    if name in (DIAGNOSTICS, "evidence", "priors", "virtual_trials"):
        return table
    found: object = PASSED if whole.gate.passed else FAILED
    if "fit" in table and whole.gate.passed:
        each = diagnostics.groupby("fit")["passed"].all()
        found = np.where(table["fit"].map(each), PASSED, FAILED)
    return table.assign(gate=found)


def tabulate(fit: xr.DataTree, prepared: PreparedNetwork, *, ci_prob: float) -> dict[str, pd.DataFrame]:
    """Every table of the posterior, by file name."""
    plan, network = prepared.plan, prepared.network
    seed, virtual = plan.sampling.seed, prepared.evidence.virtual if prepared.evidence else None
    held_out = network.rows[:0] if prepared.evidence is None else with_labels(prepared.evidence.rows("check"))
    until = plan.report.predict_until.months
    over_time: dict[str, Any] = {"known_until": known_until(network), "ci_prob": ci_prob}
    over_time["times"] = np.linspace(0.0, until, 61)[1:]
    return {
        "hazard_ratios": results.hazard_ratios(fit, network, prepared.printed, ci_prob=ci_prob),
        "landmarks_together": results.landmarks_together(fit, network),
        "arms_and_studies": results.arm_hazard_ratios(fit, network, ci_prob=ci_prob, seed=seed),
        "responses": results.responses(fit, network, ci_prob=ci_prob, seed=seed),
        "new_study_priors": new_study_priors(fit, network, seed=seed),
        "priors": results.prior_table(fit, network),
        "parameters": results.parameters(fit, network, ci_prob=ci_prob),
        "power_scaling": synthesis_power_scaling(fit, network),
        "unprinted": results.unprinted(fit, network, ci_prob=ci_prob),
        "checks": checks(fit, network, held_out, ci_prob=ci_prob, seed=seed),
        "checks_together": checks_together(fit, network, held_out, seed=seed),
        "virtual_trials": pd.DataFrame() if virtual is None else virtual.matched(),
        "survival": arm_curves(fit, network, **over_time),
        "profiles": profiles(fit, network, points=plan.report.profiles, **over_time),
        "evidence": prepared.printed.drop(columns=[c for c in prepared.printed if c.startswith("printed_")]),
    }


def known_until(network: Network) -> dict[Curve, float]:
    """The last month at which each curve's evidence speaks: of the study's own rows or patients, of either
    arm; 0 for a study that has none."""
    own: dict[tuple[str, str], float] = {}
    for row, datum in zip(network.rows.itertuples(), network.data, strict=True):
        if np.isfinite(datum.time):
            own[row.endpoint, row.study] = max(own.get((row.endpoint, row.study), 0.0), datum.time)
    for cohort in network.cohorts:
        if cohort.person_time.any():
            key = (cohort.endpoint, cohort.study)
            own[key] = max(own.get(key, 0.0), cohort.longest)
    return {curve: own.get(curve[:2], 0.0) for curve in network.curves}


def reported(fit: xr.DataTree) -> dict[str, xr.DataArray]:
    """The draws behind the tables, for the gate."""
    draws = fit["posterior"].to_dataset()
    names = ("log_hazard", "arm_effect", "arm_effect_mean", "study_level", "slope", "bias", "response")
    return {name: draws[name] for name in (*names, "completion") if name in draws}


def _moved(fit: xr.DataTree, refit: xr.DataTree) -> pd.DataFrame:
    """Mean and SD of every reported parameter before and after leaving something out."""
    whole, without = reported(fit), reported(refit)
    parts = []
    for name, draws in whole.items():
        moments = {
            "mean": draws.mean(SAMPLE_DIMS),
            "sd": draws.std(SAMPLE_DIMS),
            "mean_without": without[name].mean(SAMPLE_DIMS),
            "sd_without": without[name].std(SAMPLE_DIMS),
        }
        values = {moment: x.values.ravel() for moment, x in moments.items()}
        parts.append(results.parameter_labels(draws)[PARAMETER_KEYS].assign(**values))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(moved_by_sd=(table["mean_without"] - table["mean"]) / table["sd"])
