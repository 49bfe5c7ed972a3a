"""Sentences written from results: the answer of a report and what its figures show.

No sentence says more than its probabilities: words follow ``STRENGTHS``, what is biased or failed the gate is
never summarised, and shrinkage is associated with time to event, never its cause.
"""

from __future__ import annotations

import pandas as pd

from bayes_net import schema
from bayes_net.estimands.summary import STRENGTHS, UNCLEAR, direction
from bayes_net.numbers import format_estimate, listed_and, rounded, unbroken
from bayes_net.schema import ASSOCIATION, PER_10_POINTS, words


def failed_rows(diagnostics: pd.DataFrame) -> pd.DataFrame:
    """The checks that did not pass; a check with an unknown result did not."""
    return diagnostics[~diagnostics["passed"].eq(True).fillna(False).astype(bool)]


def primary_rows(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """The rows that answer the question: PFS, per 10 points of shrinkage, within the arms.

    What was not analysed is replaced by what comes first in the table.
    """
    rows = hazard_ratios
    for column, wanted in (("estimand", ASSOCIATION), ("endpoint", schema.PFS), ("measure", PER_10_POINTS)):
        rows = rows[rows[column] == (wanted if (rows[column] == wanted).any() else rows[column].iloc[0])]
    return rows[rows["population"] == rows["population"].iloc[0]]


def answer(hazard_ratios: pd.DataFrame) -> list[str]:
    """The answer in sentences: one per arm for the direction, one for the size.

    Rows of ``no limit`` and rows whose gate failed are never summarised; the latter are named.
    """
    primary = primary_rows(hazard_ratios)
    passed = primary["gate"] == schema.PASSED
    failed, usable = primary[~passed], primary[passed & ~primary["biased"].astype(bool)]
    sentences = [direction_sentence(arm, rows) for arm, rows in usable.groupby("arm", sort=False)]
    if not usable.empty:
        sentences.append(_size_sentence(usable))
    elif failed.empty:
        sentences.append("Only “no limit” was analysed, which is biased: it allows no conclusion.")
    if not failed.empty:
        pairs = ", ".join(f"{unbroken(row.landmark)} ({row.arm})" for row in failed.itertuples())
        sentences.append(f"Not summarised, because the gate failed: {pairs}.")
    return sentences


def direction_sentence(arm: str, rows: pd.DataFrame) -> str:
    """``B: greater shrinkage is very probably (150 d) associated with longer PFS; unclear at 48 w.``"""
    found: dict[str, dict[str, list[str]]] = {"longer": {}, "shorter": {}, "": {}}
    for label, probability in zip(rows["landmark"], rows["prob_below_1"], strict=True):
        word, longer = direction(probability)
        found[longer].setdefault(word, []).append(unbroken(label))
    subject, time = _subject(arm, rows.iloc[0]), words(rows["endpoint"].iloc[0])
    clauses = []
    for longer in ("longer", "shorter"):
        if found[longer]:
            strengths = listed_and(
                [f"{word} ({', '.join(labels)})" for word, labels in found[longer].items()]
            )
            clauses.append(f"{subject} is {strengths} associated with {longer} {time}")
    if unclear := found[""].get(UNCLEAR):
        clauses.append(f"the direction of the association is unclear at {listed_and(unclear)}")
    return f"{arm}: {'; '.join(clauses)}."


def _subject(arm: str, row: pd.Series) -> str:
    """What is associated with time to event: shrinkage, a response, an arm, or a covariate."""
    if row["estimand"] == schema.ARM:
        return f"this arm, {row['measure']},"
    if row["estimand"] == schema.COVARIATE:
        return "this level" if ": " in arm else "a higher value"
    shrinkage = row["measure"].startswith("shrinkage")
    return "greater shrinkage" if shrinkage else unbroken(row["measure"].replace(", ", " ", 1))


def _size_sentence(rows: pd.DataFrame) -> str:
    smallest = STRENGTHS[-1][0]
    strong = int((rows["prob_below_0.8"] >= smallest).sum())
    return (
        f"Posterior median hazard ratios ({rows['measure'].iloc[0]}) run from {extremes(rows)}; a hazard "
        f"ratio below 0.8 is at least probable ({rounded(smallest)} or more) in {strong} of {len(rows)} "
        "analyses."
    )


def extremes(rows: pd.DataFrame) -> str:
    """``0.70 (B, 150 d) to 1.04 (A, 72 w)``."""
    ends = [rows.loc[rows["hr"].idxmin()], rows.loc[rows["hr"].idxmax()]]
    return " to ".join(
        f"{format_estimate(row['hr'], row['mcse_hr'])} ({row['arm']}, {unbroken(row['landmark'])})"
        for row in ends
    )
