"""Tables for a paper of a synthesis: hazard ratios beside the printed ones, responses, checks, evidence."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pandas as pd

from bayes_net import _pool_tables as rows_to_read
from bayes_net import schema, tables
from bayes_net._paper_parts import (
    BELOW_1,
    BIASED,
    DO_NOT_USE,
    FAILED,
    MCSE,
    NOT_EFFECT,
    Part,
    Tables,
    bias,
    caption,
    estimate,
    file_name,
    grouped,
    label,
    worst_values,
)
from bayes_net._pool_wording import NOTHING, WHOLE, comparison, unpredicted, whole_failed
from bayes_net._wording import listed_and, words

OWN = {"arms_and_studies", "responses", "parameters", "checks", "evidence"}
"""Tables that only a synthesis has."""
_FAILED_BECAUSE = f"the fit of all evidence did not pass its checks; {DO_NOT_USE}"
_PRINTED = "Printed: a publication has it per point; per 10 points it is the tenth power of that."
_CONTRACTION = (
    f"Contraction: 1 − posterior SD / prior SD; below {NOTHING} the evidence says nothing and the prior "
    "speaks."
)
_BIAS_OFF = (
    "“As observed” is what a publication prints of no limit; “bias taken off” subtracts a guarantee-time "
    "bias whose size comes from simulation."
)
_LEVELS = (
    "Arms are compared within a study that has both. A study’s level against the reference mixes case mix, "
    "time zero and selection, and is no comparison of treatments."
)
_PROFILES = (
    "Profiles in points are patients who will turn out to have shrunk so at best, with the slope of no limit "
    f"as observed, which is biased: it {schema.NO_LIMIT_WARNING}."
)
_RESPONDERS = (
    "Subgroups by shrinkage are known only afterwards: who shrank had to live without progression until "
    "then, which favours them (guarantee-time bias)."
)


def of_synthesis(found: Tables) -> Iterator[Part]:
    """Every table of a synthesis; if the fit of all evidence failed its gate, all of them say so."""
    failed, diagnostics = whole_failed(found), found["diagnostics"]
    makers = (_ratios, _arms, _responses, _predicted, _checks, _evidence, _gate)
    for part in chain.from_iterable(make(found) for make in makers):
        yield part.marked(FAILED, _FAILED_BECAUSE) if failed else part
    yield from worst_values(diagnostics[diagnostics["fit"] != WHOLE], "every refit")


def _ratios(found: Tables) -> Iterator[Part]:
    for keys, rows in grouped(found, "hazard_ratios", "endpoint", "measure"):
        unbiasing = [f"{text} {_BIAS_OFF}" for text in bias(rows)]
        yield Part(
            name=file_name("hazard ratios", *keys),
            title=f"Posterior hazard ratios beside the printed ones: {caption(keys)}",
            frame=rows_to_read.ratio_table(rows, label=label(rows)),
            grouped_by="Landmark",
            notes=(
                estimate(rows, "HR"),
                _PRINTED,
                _CONTRACTION,
                MCSE,
                f"{NOT_EFFECT} {BELOW_1}",
                *unbiasing,
            ),
        )


def _arms(found: Tables) -> Iterator[Part]:
    if "arms_and_studies" in found:
        rows = found["arms_and_studies"]
        told = {"comparison": comparison(found), "failed": whole_failed(found)}
        yield Part(
            name="arms_and_studies",
            title="Hazard ratios between arms, and hazard levels between studies",
            frame=rows_to_read.arm_table(rows, label=label(rows), **told),
            grouped_by="Endpoint",
            notes=(estimate(rows, "HR"), _LEVELS, _CONTRACTION),
        )


def _responses(found: Tables) -> Iterator[Part]:
    if "responses" in found:
        rows = found["responses"]
        frame = rows_to_read.response_table(rows, label=label(rows))
        notes = (estimate(rows, "Probability"), "Response as each study defines it.", _CONTRACTION)
        yield Part("responses", "Probability of response", frame, notes=notes)


def _predicted(found: Tables) -> Iterator[Part]:
    for (endpoint,), rows in grouped(found, "survival", "endpoint"):
        origin = f"{words(endpoint)} from randomisation or start of treatment"
        conditioning = (_PROFILES,) if (rows["profile"] != "whole arm").any() else ()
        yield Part(
            name=file_name("survival", endpoint),
            title=f"Predicted survival: {origin}; posterior median ({label(rows)})",
            frame=rows_to_read.survival_table(rows),
            grouped_by="Study and arm",
            notes=(estimate(rows, "Survival"), *conditioning),
        )


def _checks(found: Tables) -> Iterator[Part]:
    if "checks" in found:
        rows, evidence = found["checks"], found.get("evidence", pd.DataFrame({"id": []}))
        notes = ["In print but kept out of the fit. p: the smaller tail of the predictions, doubled."]
        if absent := unpredicted(found):
            notes.append(f"Held out, but without a prediction: {listed_and(absent)}.")
        notes += _conditioning(evidence[evidence["id"].isin(rows["row"])])
        title = "Held-out numbers against their predictions"
        yield Part("checks", title, rows_to_read.check_table(rows), notes=tuple(notes))


def _evidence(found: Tables) -> Iterator[Part]:
    if "evidence" in found:
        rows = found["evidence"]
        frame, notes = rows_to_read.evidence_table(rows), tuple(_conditioning(rows))
        yield Part("evidence", "Evidence: every printed number", frame, notes=notes)


def _conditioning(evidence: pd.DataFrame) -> Iterator[str]:
    """What to say of printed numbers that condition on the future."""
    if len(evidence) and (evidence["landmark"] == schema.NO_LIMIT).any():
        yield BIASED
    if len(evidence) and evidence["subgroup"].astype(str).str.contains("[<>]").any():
        yield _RESPONDERS


def _gate(found: Tables) -> Iterator[Part]:
    whole = found["diagnostics"]
    whole = whole[whole["fit"] == WHOLE].drop(columns=["fit", "synthetic"], errors="ignore")
    if len(whole):
        yield Part("diagnostics", "Gate of the fit of all evidence", tables.plain_table(whole, digits=4))
