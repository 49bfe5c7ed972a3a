"""A synthesis: its published numbers and patients, its model, what is left out, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.assumptions.combine import with_labels
from bayes_net.assumptions.network import Curve, Network
from bayes_net.checks.gate import Gate, gate
from bayes_net.checks.influence import WEIGHTED, leave_one_number_out, left_out, study_influence
from bayes_net.checks.power import synthesis_power_scaling
from bayes_net.data.cohort import Cohort, Origin
from bayes_net.errors import InputError
from bayes_net.estimands.clinical import clinical_answer
from bayes_net.estimands.new_study import new_study_priors
from bayes_net.estimands.synthesis import arm_curves, checks, checks_together, profiles
from bayes_net.evidence.table import Evidence
from bayes_net.evidence.virtual import told_without
from bayes_net.report.synthesis import SYNTHESIS
from bayes_net.results import synthesis as results
from bayes_net.results.columns import PARAMETER_KEYS
from bayes_net.schema import FAILED, NUTS, PASSED, ROW, SAMPLE_DIMS
from bayes_net.specification.synthesis import SynthesisPlan
from bayes_net.workflow.analysis import DIAGNOSTICS, ModelToFit, Prepared, Steps, laid_out, sampled
from bayes_net.workflow.loading import load_data
from bayes_net.workflow.network import evidence_of, network_of, reconciled

if TYPE_CHECKING:
    from bayes_net.engine.moved import Drawn
    from bayes_net.inference.sampling import Sampler


REFIT_RHAT, REFIT_ESS, REFIT_ACCEPT = 1.03, 100, 0.97
REFIT_TUNE, REFIT_DRAWS = 200, 250
"""Enough to see by how much of its standard deviation a parameter moves; what fails is refitted as carefully
as the whole."""
WHOLE = "all evidence"
"""Name of the fit from which nothing is left out."""


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """The fit of all evidence, and its gate."""

    network: Network
    fit: xr.DataTree
    gate: Gate


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What leaving out tells: each number as the others predict it, posteriors by the source that they are
    without, of those whose gate passed, and by what is left out its gate and what it moves. Of so many fits
    at once there is room for no more."""

    loo: pd.DataFrame
    posteriors: Mapping[str, xr.DataTree]
    told: Mapping[str, tuple[Gate, pd.DataFrame]]


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

    @cached_property
    def virtual_without(self) -> dict[str, Evidence]:
        """By source the evidence with what virtual trials tell that are matched without its numbers, of those
        sources to whose numbers they are matched."""
        if self.evidence is None or self.evidence.virtual is None:
            return {}
        each = {source: evidence_of(self.plan, virtual_without=source) for source in self.sources}
        whole = _from_virtual(self.evidence)
        return {name: own for name, own in each.items() if own and not whole.equals(_from_virtual(own))}

    def _without(self, source: str) -> Network:
        """The network without a source, nor what virtual trials know from it."""
        if source not in self.virtual_without:
            return left_out(self.network, [source])
        loaded = [(section, self.cohorts[str(section.study)]) for section in self.plan.cohorts]
        return left_out(network_of(self.plan, self.virtual_without[source], loaded), [source])

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
        """Every table of the run, what is told without each source and each number among them."""
        (whole,), network, ci_prob = fits, self.network, self.plan.report.level
        tables = {DIAGNOSTICS: [whole.gate.table.assign(fit=WHOLE)]}
        without: Mapping[str, xr.DataTree] = {}
        if self.plan.report.leave_one_out:
            left = self._leave_out(whole, steps)
            tables[DIAGNOSTICS] += [own.table.assign(fit=name) for name, (own, _) in left.told.items()]
            tables["influence"] = [moved.assign(fit=name) for name, (_, moved) in left.told.items()]
            tables["loo"], without = [left.loo], left.posteriors
        tables["answer"] = [
            clinical_answer(tree["posterior"].to_dataset(), network, ci_prob=ci_prob).assign(without=name)
            for name, tree in {"": whole.fit, **without}.items()
        ]
        tables["study_influence"] = [study_influence(whole.fit, network, ci_prob=ci_prob, refits=without)]
        steps.next("tables")
        joined = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items() if parts}
        columns = ["fit", "check", "worst", "threshold", "passed", "where"]
        joined[DIAGNOSTICS] = joined[DIAGNOSTICS][columns]
        joined |= tabulate(whole.fit, self, ci_prob=ci_prob)
        return {name: _with_gate(table, name, whole, joined[DIAGNOSTICS]) for name, table in joined.items()}

    def _leave_out(self, whole: FittedNetwork, steps: Steps) -> LeftOut:
        """What each source, and each number, moves and tells when it is left out."""
        told: list[tuple[Gate, pd.DataFrame]] = []

        def without(smaller: Network, share: float = 0.2, known: Drawn | None = None) -> xr.DataTree:
            tree, judged = self._fit_without(whole.fit, smaller, share, known)
            told.append((judged, _moved(whole.fit, tree)))
            return tree

        posteriors, left, loo = {}, list(self.sources), pd.DataFrame()
        for source in self.sources:
            steps.next(f"without {source}")
            tree = without(self._without(source), share=0.4)
            if told[-1][0].passed:
                posteriors[source] = xr.DataTree.from_dict({"posterior": tree["posterior"].to_dataset()})
        if len(self.network.rows):
            steps.next("each number left out")
            known = self._drawn(whole)
            loo = leave_one_number_out(whole.fit, self.network, partial(without, known=known))
            left += list(loo.loc[loo["how"] != WEIGHTED, ROW])
        labels = [f"without {name}" for name in left]
        return LeftOut(loo, posteriors, dict(zip(labels, told, strict=True)))

    def _drawn(self, whole: FittedNetwork) -> Drawn | None:
        """Draws that may be moved: the engine's, of Markov chains that passed their gate."""
        from bayes_net.inference.sampling import NUMBA
        from bayes_net.inference.synthesis import drawn_from

        chains = self.engine == NUMBA and whole.fit.attrs["method"] == NUTS
        return drawn_from(whole.fit, self.network) if chains and whole.gate.passed else None

    def _fit_without(
        self, fit: xr.DataTree, smaller: Network, share: float, known: Drawn | None
    ) -> tuple[xr.DataTree, Gate]:
        """The posterior of a smaller network and its gate: of draws that are ``known``, moved where that is
        proven, or else sampled with a ``share`` of the draws of the whole."""
        from bayes_net.inference.synthesis import fit_synthesis, moved_fit, shares_first_stage, with_levels_of

        network, whole, wanted = self.network, self.sampler, self.plan.sampling
        if smaller.assumptions is network.assumptions and shares_first_stage(network, smaller):
            tree = with_levels_of(fit, smaller, seed=wanted.seed)
            return tree, refit_gate(tree)
        draws = max(round(share * whole.draws), min(whole.draws, REFIT_DRAWS))
        if known:
            moved = moved_fit(known, network, smaller, draws=draws, seed=wanted.seed)
            if moved and (judged := refit_gate(moved)).passed:
                return moved, judged
        tune = max(whole.tune // 4, min(whole.tune, REFIT_TUNE))
        brief = replace(whole, tune=tune, target_accept=min(whole.target_accept, REFIT_ACCEPT), draws=draws)
        return sampled(
            lambda sampler, seed: fit_synthesis(smaller, seed=seed, sampler=sampler, brief=True),
            refit_gate,
            sampler=brief,
            seeds=[wanted.seed] * (1 + wanted.retry),
        )

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


@laid_out.register
def prepare_network(
    plan: SynthesisPlan, cohorts: dict[str, Cohort], tables: Mapping[str, pd.DataFrame]
) -> PreparedNetwork:
    """Published numbers and patients, and the network that they make."""
    if tables:
        raise InputError(
            "patients or scans given as a table, but the specification is a synthesis, whose studies name "
            "their own files; expected a specification of patients, with a section [data]"
        )
    evidence = evidence_of(plan)
    loaded = [(section, load_data(section, plan.folder, cohorts=cohorts)) for section in plan.cohorts]
    network = network_of(plan, evidence, loaded)
    notes = tuple(
        replace(note, message=f"{section.study}: {note.message}")
        for section, people in loaded
        for note in people.notes
    )
    read = {str(section.study): people for section, people in loaded}
    return PreparedNetwork(plan, (*reconciled(network), *notes), evidence, network, read)


def refit_gate(refit: xr.DataTree) -> Gate:
    """The gate of a fit that only shows what moves: of reported parameters, and with fewer draws."""
    moving = xr.Dataset({str(name): draws for name, draws in reported(refit).items()})
    tree = xr.DataTree.from_dict({"posterior": moving, "sample_stats": refit["sample_stats"].to_dataset()})
    return gate(tree, max_rhat=REFIT_RHAT, min_ess=REFIT_ESS)


def _with_gate(
    table: pd.DataFrame, name: str, whole: FittedNetwork, diagnostics: pd.DataFrame
) -> pd.DataFrame:
    """The table with whether the fit behind each row passed its gate, which must travel with its numbers."""
    if name in (DIAGNOSTICS, "evidence", "priors", "virtual_trials", "virtual_without"):
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
        "slope_densities": results.slope_densities(fit, network),
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
        "virtual_without": _told_without(prepared),
        "survival": arm_curves(fit, network, **over_time),
        "profiles": profiles(fit, network, points=plan.report.profiles, **over_time),
        "evidence": prepared.printed.drop(columns=[c for c in prepared.printed if c.startswith("printed_")]),
    }


def _told_without(prepared: PreparedNetwork) -> pd.DataFrame:
    """What virtual trials tell, and what without each study that they are matched to."""
    virtual = prepared.evidence.virtual if prepared.evidence else None
    others = {name: own.virtual for name, own in prepared.virtual_without.items() if own.virtual}
    return told_without(virtual, others) if virtual else pd.DataFrame()


def _from_virtual(evidence: Evidence) -> pd.DataFrame:
    """All that virtual trials tell, as one table."""
    arms = evidence.virtual.arms if evidence.virtual else {}
    return pd.concat([arm.landmarks.assign(arm=name) for name, arm in arms.items()])


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
