"""The network of a plan of a synthesis: its published numbers and its patients, read and put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bayes_net.assumptions.combine import combine_network
from bayes_net.assumptions.network import Network
from bayes_net.assumptions.participants import Participants
from bayes_net.data.cohort import Cohort
from bayes_net.data.exposure import expose
from bayes_net.data.intervals import person_time
from bayes_net.data.landmarks import landmark
from bayes_net.errors import InputError, listed
from bayes_net.evidence.pairs import impossible_curves
from bayes_net.evidence.table import Evidence, read_evidence
from bayes_net.schema import NO_LIMIT
from bayes_net.specification.fields import shared_months
from bayes_net.specification.synthesis import CohortSection, SynthesisPlan
from bayes_net.tables.notes import WARNING, Note


def network_of(
    plan: SynthesisPlan, evidence: Evidence | None, loaded: Sequence[tuple[CohortSection, Cohort]]
) -> Network:
    """The network of these published numbers and patients, whose shrinkage counts where a section says so."""
    network = combine_network(
        evidence,
        plan.assumptions(evidence.virtual if evidence else None),
        cohorts=[_cohort(section, people, plan) for section, people in loaded],
        power=dict(plan.evidence.power) if plan.evidence else None,
    )
    for section, people in loaded:
        if counts := _counts(section, people):
            network = network.with_rows(pd.DataFrame(counts), power=section.weight)
    return network


def evidence_of(plan: SynthesisPlan, *, virtual_without: str = "") -> Evidence | None:
    """The published numbers of a plan, if it has any, among whose studies are those that the model names;
    what they take from virtual trials is that of trials which are not matched to the numbers of the study
    ``virtual_without``."""
    evidence = _read(plan, virtual_without)
    _check_studies(plan, evidence)
    return evidence


def _read(plan: SynthesisPlan, virtual_without: str) -> Evidence | None:
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
        virtual_without=virtual_without,
    )
    arm = plan.model.subgroups_of
    return _subgroups_as_arms(evidence, arm) if arm else evidence


def reconciled(network: Network) -> tuple[Note, ...]:
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
            ("response", "response", np.nan, own["responded"] >= 30, len(own)),
        ):
            row = {"id": f"{section.study} {arm} {what}", "threshold": threshold, "endpoint": endpoint}
            rows.append(common | row | {"value": float(counted.sum()), "n": float(n)})
    return rows
