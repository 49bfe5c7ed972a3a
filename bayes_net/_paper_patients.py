"""Tables for a paper of a patient-level run: hazard ratios, flow of patients, survival, diagnostics."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bayes_net import schema, tables
from bayes_net._paper_parts import (
    BELOW_1,
    BIASED,
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
from bayes_net._pool_wording import failed_rows
from bayes_net._wording import ASSOCIATION

_CLOCK = "Months from the landmark; for no limit, from randomisation."
_TIMES = "RMST: restricted mean survival time. Extrapolated: beyond the arm’s last follow-up."


def of_patients(found: Tables) -> Iterator[Part]:
    """Every table of a patient-level run."""
    for make in (_hazard_ratios, _flow, _survival):
        yield from make(found)
    yield from worst_values(found["diagnostics"], "every fit")


def _hazard_ratios(found: Tables) -> Iterator[Part]:
    for keys, rows in grouped(found, "hazard_ratios", "endpoint", "population", "measure", "estimand"):
        endpoint, _, measure, estimand = keys
        associated = estimand == ASSOCIATION
        part = Part(
            name=file_name("hazard ratios", endpoint, measure, "" if associated else estimand),
            title=f"Hazard ratios: {caption(keys)}",
            frame=tables.hazard_ratio_table(rows),
            grouped_by="Landmark",
            notes=(
                estimate(rows, "HR"),
                MCSE,
                f"{NOT_EFFECT} {BELOW_1}" if associated else NOT_EFFECT,
                *bias(rows),
            ),
        )
        yield part.unless_passed(rows["landmark"][rows["gate"] != tables.PASSED])


def _flow(found: Tables) -> Iterator[Part]:
    for keys, rows in grouped(found, "attrition", "endpoint", "population"):
        title, frame = f"Flow of patients: {caption(keys)}", tables.attrition_table(rows)
        notes = (BIASED,) if (rows["landmark"] == schema.NO_LIMIT).any() else ()
        yield Part(file_name("attrition", keys[0]), title, frame, "Landmark", notes)


def _survival(found: Tables) -> Iterator[Part]:
    """Probabilities and times in tables of their own: together they would be too wide for a page."""
    for keys, rows in grouped(found, "survival", "endpoint", "population", "measure"):
        endpoint, _, measure = keys
        failed = _not_passed(rows, found["diagnostics"])
        is_probability = rows["quantity"] == "survival"
        for name, heading, wanted, more in (
            ("survival", "Survival", is_probability, ()),
            ("survival times", "Restricted mean and median survival time", ~is_probability, (_TIMES,)),
        ):
            if wanted.any():
                part = Part(
                    name=file_name(name, endpoint, measure),
                    title=f"{heading}: {caption(keys)}; posterior median ({label(rows)})",
                    frame=tables.survival_table(rows[wanted]),
                    grouped_by="Landmark",
                    notes=(estimate(rows, "Estimates"), _CLOCK, *more, *bias(rows)),
                )
                yield part.unless_passed(rows["landmark"][wanted & failed])


def _not_passed(survival: pd.DataFrame, diagnostics: pd.DataFrame) -> pd.Series:
    """Rows whose fit failed its gate or was never checked; fits are named as ``results.Job.label`` does."""
    columns = (survival[name] for name in ("endpoint", "measure", "landmark"))
    fits = [f"{endpoint.upper()}, {measure}, {at}" for endpoint, measure, at in zip(*columns, strict=True)]
    passed = set(diagnostics["fit"]) - set(failed_rows(diagnostics)["fit"])
    return pd.Series([fit not in passed for fit in fits], index=survival.index)
