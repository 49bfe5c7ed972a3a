"""From the specification of a synthesis to its results: reads, fits, checks, leaves out, tabulates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.checks.gate import Gate, gate
from bayes_net.checks.influence import study_influence
from bayes_net.checks.power import synthesis_power_scaling
from bayes_net.data.cohort import Cohort
from bayes_net.data.exposure import expose, person_time
from bayes_net.data.landmarks import landmark
from bayes_net.data.notes import Note
from bayes_net.errors import CohortWarning, InputError, listed
from bayes_net.estimands.new_study import new_study_priors
from bayes_net.estimands.synthesis import checks, profiles
from bayes_net.evidence.table import Evidence, read_evidence
from bayes_net.model.network import Curve, Network, combine_network, with_labels
from bayes_net.model.participants import Participants
from bayes_net.results.synthesis import arm_hazard_ratios, hazard_ratios, parameters, prior_table, responses
from bayes_net.schema import NO_LIMIT
from bayes_net.specification.synthesis import CohortSection, SynthesisPlan
from bayes_net.workflow.patients import load_data

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""


REFIT_RHAT, REFIT_ESS, REFIT_ACCEPT = 1.03, 100, 0.99
"""Enough to see by how much of its standard deviation a parameter moves; what fails is refitted as carefully
as the whole."""


@dataclass(frozen=True, eq=False)
class PreparedSynthesis:
    """A validated specification with its published numbers and patients: all that sampling needs."""

    specification: SynthesisPlan
    evidence: Evidence | None
    network: Network
    notes: tuple[tuple[str, Note], ...]
    synthetic: bool
    data_digests: Mapping[str, str]

    @property
    def printed(self) -> pd.DataFrame:
        """Every row of the evidence, whatever its use, and the counts of patients."""
        rows = self.network.rows
        if self.evidence is None:
            return rows
        own = with_labels(self.evidence.table)
        return pd.concat([own, rows[~rows["id"].isin(own["id"])]], ignore_index=True)


@dataclass(frozen=True, eq=False)
class SynthesisAnalysis:
    """A finished synthesis: its fit and the tables that are written out."""

    prepared: PreparedSynthesis
    fit: xr.DataTree
    gate: Gate
    attempts: int
    tables: Mapping[str, pd.DataFrame]

    @property
    def passed(self) -> bool:
        """Whether the fit, and every refit with something left out, passed its gate."""
        return bool(self.tables["diagnostics"]["passed"].all())


def prepare_synthesis(specification: SynthesisPlan) -> PreparedSynthesis:
    """Read and validate everything and lay the model out; nothing is sampled.

    Raises
    ------
    InputError
        A published number or a patient breaks a rule, or does not fit the model.
    """
    evidence = _evidence(specification)
    _check_studies(specification, evidence)
    assumptions = specification.assumptions()
    loaded = [(section, _patients(section, specification)) for section in specification.cohorts]
    cohorts = [_cohort(section, patients, specification) for section, patients in loaded]
    section = specification.evidence
    made = combine_network(
        evidence, assumptions, cohorts=cohorts, power=dict(section.power) if section else None
    )
    for section, patients in loaded:
        if counts := _counts(section, patients, specification):
            made = made.with_rows(pd.DataFrame(counts), power=section.weight)
    notes = tuple((section.study, note) for section, patients in loaded for note in patients.notes)
    digests = {section.study: patients.digest for section, patients in loaded}
    return PreparedSynthesis(
        specification, evidence, made, notes, any(p.synthetic for _, p in loaded), digests
    )


def _evidence(specification: SynthesisPlan) -> Evidence | None:
    section = specification.evidence
    if section is None:
        return None
    evidence = read_evidence(*(specification.file(path) for path in section.files))
    for pair, value in section.correlation.items():
        evidence = evidence.correlate(*pair.split(), value)
    if specification.model.subgroups_of:
        evidence = _subgroups_as_arms(evidence, specification.model.subgroups_of)
    uses = dict(section.use)
    if section.only:
        other = evidence.table[~evidence.table["endpoint"].isin(section.only)]
        uses = dict.fromkeys(other["id"], "record") | uses
    return evidence.choose(uses) if uses else evidence


def _check_studies(specification: SynthesisPlan, evidence: Evidence | None) -> None:
    known = [section.study for section in specification.cohorts]
    known += [] if evidence is None else list(dict.fromkeys(evidence.table["study"]))
    model = specification.model
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
    return Evidence(table)


def _patients(section: CohortSection, specification: SynthesisPlan) -> Cohort:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        return load_data(section, specification.folder)


def _arm(section: CohortSection, names: pd.Series) -> pd.Series:
    return names.replace(section.arm_names)


def _cohort(section: CohortSection, patients: Cohort, specification: SynthesisPlan) -> Participants:
    arms = specification.model.arms
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
    cuts = np.array([cut.months for cut in specification.model.cuts or ()])
    time = table[f"{section.endpoint}_time"].to_numpy(float)
    event = table[f"{section.endpoint}_event"].to_numpy(float)
    months, interval = person_time(time, cuts), np.searchsorted(cuts, time, side="left")
    events, exposure = np.zeros((2, len(arms), len(cuts) + 1))
    for a, arm in enumerate(arms if section.curve else ()):
        own = (table["arm"] == arm).to_numpy()
        exposure[a] = months[own].sum(axis=0)
        np.add.at(events[a], interval[own], event[own])
    made = Participants(
        section.study, section.endpoint, events, exposure, weight=section.weight, longest=float(time.max())
    )
    if section.landmark is None:
        return made
    chosen = landmark(patients, [section.landmark], endpoint=section.endpoint)
    at = chosen.landmarks[0].label
    data = expose(chosen, at, cuts=list(section.landmark_cuts))
    renamed = [dict(section.arm_names).get(arm, arm) for arm in data.arms]
    order = np.array([arms.index(arm) for arm in renamed])
    return replace(made, landmark=at, exposure=replace(data, arm=order[data.arm], arms=tuple(arms)))


def _counts(section: CohortSection, patients: Cohort, specification: SynthesisPlan) -> list[dict]:
    """Best shrinkage of patients as counts, by which they join the shrinkage law and the responses."""
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
        for threshold, k in ((30.0, int((seen >= 30).sum())), (0.0, int((seen > 0).sum()))):
            own_id = {"id": f"{section.study} {arm} >= {threshold:g}", "threshold": threshold}
            rows.append(common | own_id | {"endpoint": "shrinkage", "value": float(k), "n": float(len(seen))})
        k, n = float((seen >= 30).sum()), float(len(own))
        rows.append(
            common | {"id": f"{section.study} {arm} response", "endpoint": "response", "value": k, "n": n}
        )
    return rows


def analyse_synthesis(prepared: PreparedSynthesis, *, progress: Progress | None = None) -> SynthesisAnalysis:
    """Fit and check what was prepared; leave each source and each number out; tabulate."""
    made, report = prepared.network, prepared.specification.report
    steps = _Steps(progress, 2 + (len(_sources(made)) + 1) * report.leave_one_out)
    steps.next("all evidence")
    fit, passed, attempts = fit_whole(prepared)
    tables, without = {"diagnostics": [passed.table.assign(fit="all evidence")]}, {}
    if report.leave_one_out:
        loo, refits = _leave_out(prepared, fit, steps)
        gates = {name: refit_gate(tree, made) for name, tree in refits.items()}
        tables["diagnostics"] += [each.table.assign(fit=name) for name, each in gates.items()]
        tables["influence"] = [_moved(fit, tree, made).assign(fit=name) for name, tree in refits.items()]
        tables["loo"] = [loo]
        without = {name.removeprefix("without "): tree for name, tree in refits.items() if gates[name].passed}
    tables["study_influence"] = [study_influence(fit, made, level=report.level, refits=without)]
    steps.next("tables")
    joined = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items() if parts}
    columns = ["fit", "check", "worst", "threshold", "passed", "where"]
    joined["diagnostics"] = joined["diagnostics"][columns]
    joined |= tabulate(fit, prepared, level=report.level)
    steps.next("done")
    return SynthesisAnalysis(
        prepared, fit, passed, attempts, {name: t for name, t in joined.items() if len(t)}
    )


def fit_whole(prepared: PreparedSynthesis) -> tuple[xr.DataTree, Gate, int]:
    """The fit of all evidence, a second time and more carefully if the first fails its gate."""
    from bayes_net.inference.synthesis import fit_synthesis

    made, wanted = prepared.network, prepared.specification.sampling
    for attempt, how in enumerate((_sampler(prepared), _sampler(prepared).more_careful()), start=1):
        fit = fit_synthesis(made, seed=wanted.seed + attempt - 1, sampler=how)
        passed = gate(fit, reported(fit, made))
        if passed.passed or not wanted.retry:
            break
    return fit, passed, attempt


def _sampler(prepared: PreparedSynthesis):
    from bayes_net.inference.sampling import Sampler

    wanted = prepared.specification.sampling
    return Sampler(wanted.draws, wanted.tune, wanted.chains, wanted.target_accept)


def _leave_out(
    prepared: PreparedSynthesis, fit: xr.DataTree, steps: _Steps
) -> tuple[pd.DataFrame, dict[str, xr.DataTree]]:
    """Leave-one-number-out results, and the fits without a source or a number."""
    from bayes_net.checks.influence import leave_one_number_out, left_out
    from bayes_net.inference.synthesis import fit_synthesis

    made, whole = prepared.network, _sampler(prepared)
    brief = replace(whole, draws=max(whole.draws * 2 // 5, 100), tune=max(whole.tune * 2 // 5, 100))
    brief = replace(brief, target_accept=min(whole.target_accept, REFIT_ACCEPT))

    def refit(smaller: Network) -> xr.DataTree:
        retry = prepared.specification.sampling.retry
        for how in (brief, brief.more_careful()) if retry else (brief,):
            tree = fit_synthesis(smaller, seed=prepared.specification.sampling.seed, sampler=how)
            if refit_gate(tree, smaller).passed:
                break
        return tree

    refits = {}
    for source in _sources(made):
        steps.next(f"without {source}")
        refits[f"without {source}"] = refit(left_out(made, [source]))
    if not len(made.rows):
        return pd.DataFrame(), refits
    steps.next("each number left out")
    loo, exact = leave_one_number_out(fit, made, refit)
    return loo, refits | {f"without {name}": tree for name, tree in exact.items()}


def refit_gate(refit: xr.DataTree, made: Network) -> Gate:
    """The gate of a fit that only shows what moves: of reported parameters, and with fewer draws."""
    shown = xr.Dataset({str(name): draws for name, draws in reported(refit, made).items()})
    tree = xr.DataTree.from_dict({"posterior": shown, "sample_stats": refit["sample_stats"].to_dataset()})
    return gate(tree, max_rhat=REFIT_RHAT, min_ess=REFIT_ESS)


class _Steps:
    """Tells a progress display what is being done."""

    def __init__(self, tell, total: int) -> None:
        self.tell, self.total, self.done = tell, total, 0

    def next(self, label: str) -> None:
        """Say what comes next."""
        if self.tell:
            self.tell(label, min(self.done, self.total), self.total)
        self.done += 1


def tabulate(fit: xr.DataTree, prepared: PreparedSynthesis, *, level: float) -> dict[str, pd.DataFrame]:
    """Every table of the posterior, by file name."""
    specification, made = prepared.specification, prepared.network
    seed = specification.sampling.seed
    held_out = made.rows[:0] if prepared.evidence is None else with_labels(prepared.evidence.rows("check"))
    until = specification.report.predict_until.months
    times = np.linspace(0.0, until, 61)[1:]
    return {
        "hazard_ratios": hazard_ratios(fit, made, prepared.printed, level=level),
        "arms_and_studies": arm_hazard_ratios(fit, made, level=level, seed=seed),
        "responses": responses(fit, made, level=level, seed=seed),
        "new_study_priors": new_study_priors(fit, made, seed=seed),
        "priors": prior_table(fit, made),
        "parameters": parameters(fit, made, level=level),
        "power_scaling": synthesis_power_scaling(fit, made),
        "checks": checks(fit, made, held_out, level=level, seed=seed),
        "survival": profiles(
            fit,
            made,
            points=specification.report.profiles,
            times=times,
            known_until=known_until(made),
            level=level,
        ),
        "evidence": prepared.printed.drop(columns=[c for c in prepared.printed if c.startswith("printed_")]),
    }


def known_until(made: Network) -> dict[Curve, float]:
    """The last month at which each curve's evidence speaks: of the study's own rows or patients, of either
    arm; 0 for a study that has none."""
    own: dict[tuple[str, str], float] = {}
    for row, datum in zip(made.rows.itertuples(), made.data, strict=True):
        if np.isfinite(datum.time):
            own[row.endpoint, row.study] = max(own.get((row.endpoint, row.study), 0.0), datum.time)
    for cohort in made.cohorts:
        if cohort.person_time.any():
            key = (cohort.endpoint, cohort.study)
            own[key] = max(own.get(key, 0.0), cohort.longest)
    return {curve: own.get(curve[:2], 0.0) for curve in made.curves}


def reported(fit: xr.DataTree, made: Network) -> dict[str, xr.DataArray]:
    """The draws behind the tables, for the gate."""
    draws = fit["posterior"].to_dataset()
    names = ("log_hazard", "arm_effect", "arm_effect_mean", "study_level", "slope", "bias", "response")
    return {name: draws[name] for name in (*names, "completion") if name in draws}


def _sources(made: Network) -> list[str]:
    """Studies that can be left out, if there is another."""
    studies = list(dict.fromkeys([*made.rows["study"], *(c.study for c in made.cohorts)]))
    return studies if len(studies) > 1 else []


def _moved(fit: xr.DataTree, refit: xr.DataTree, made: Network) -> pd.DataFrame:
    """Mean and SD of every reported parameter before and after leaving something out."""
    whole, without = reported(fit, made), reported(refit, made)
    parts = []
    for name, draws in whole.items():
        labels = [d for d in draws.dims if d not in ("chain", "draw")]
        moments = xr.Dataset(
            {
                "mean": draws.mean(("chain", "draw")),
                "sd": draws.std(("chain", "draw")),
                "mean_without": without[name].mean(("chain", "draw")),
                "sd_without": without[name].std(("chain", "draw")),
            }
        )
        table = moments.to_dataframe().reset_index() if labels else moments.to_pandas().to_frame().T
        table["label"] = table[labels].astype(str).agg(", ".join, axis=1) if labels else ""
        parts.append(table.assign(parameter=name)[["parameter", "label", *moments.data_vars]])
    table = pd.concat(parts, ignore_index=True)
    return table.assign(moved_by_sd=(table["mean_without"] - table["mean"]) / table["sd"])
