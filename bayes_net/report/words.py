"""Sentences written from results: the answer of a report and what its figures show.

No sentence says more than its probabilities: words follow ``STRENGTHS``, what is biased or failed the gate is
never summarised, and shrinkage is associated with time to event, never its cause.
"""

from __future__ import annotations

import pandas as pd

from bayes_net import schema
from bayes_net.estimands.summary import UNCLEAR, direction
from bayes_net.numbers import format_count, format_estimate, listed_and, unbroken
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.schema import ASSOCIATION, PER_10_POINTS, words


def failed_rows(diagnostics: pd.DataFrame) -> pd.DataFrame:
    """The checks that did not pass; a check with an unknown result did not."""
    return diagnostics[~diagnostics["passed"].eq(True).fillna(False).astype(bool)]


def primary_rows(hazard_ratios: pd.DataFrame, endpoint: str = schema.PFS) -> pd.DataFrame:
    """The rows that answer the question: of one endpoint, per 10 points of shrinkage, within the arms.

    What was not analysed is replaced by what comes first in the table.
    """
    rows = hazard_ratios
    for column, wanted in (("estimand", ASSOCIATION), ("endpoint", endpoint), ("measure", PER_10_POINTS)):
        rows = rows[rows[column] == (wanted if (rows[column] == wanted).any() else rows[column].iloc[0])]
    return rows[rows["population"] == rows["population"].iloc[0]]


def analysed(hazard_ratios: pd.DataFrame) -> list[str]:
    """Every endpoint that was analysed, PFS before OS."""
    return [each for each in schema.ENDPOINTS if (hazard_ratios["endpoint"] == each).any()]


def answer(hazard_ratios: pd.DataFrame) -> list[str]:
    """The answer in sentences: for each endpoint one per arm for the direction, the reference arm last, and
    one for the size.

    Rows of ``no limit`` and rows whose gate failed are never summarised; the latter are named.
    """
    endpoints = analysed(hazard_ratios)
    return [
        sentence
        for endpoint in endpoints
        for sentence in _answer(primary_rows(hazard_ratios, endpoint), named=len(endpoints) > 1)
    ]


def _answer(primary: pd.DataFrame, *, named: bool) -> list[str]:
    """The same of one endpoint, which is ``named`` where there are others."""
    about = f"{words(primary['endpoint'].iloc[0])}: " if named else ""
    passed = primary["gate"] == schema.PASSED
    failed, usable = primary[~passed], primary[passed & ~primary["biased"].astype(bool)]
    by_arm = dict(list(usable.groupby("arm", sort=False)))
    first, *later = by_arm or [""]
    sentences = [direction_sentence(arm, by_arm[arm]) for arm in [*later, first] if arm in by_arm]
    if not usable.empty:
        sentences.append(_size_sentence(usable, about))
    elif failed.empty:
        sentences.append(f"{about}Only “no limit” was analysed, which is biased: it allows no conclusion.")
    if not failed.empty:
        pairs = ", ".join(f"{unbroken(row.landmark)} ({row.arm})" for row in failed.itertuples())
        sentences.append(f"{about}Not summarised, because the gate failed: {pairs}.")
    return sentences


def direction_sentence(arm: str, rows: pd.DataFrame) -> str:
    """``B: greater shrinkage is very probably (150 d) associated with longer PFS; unclear at 48 w.``"""
    found: dict[str, dict[str, list[str]]] = {"longer": {}, "shorter": {}, "": {}}
    silent = rows["contraction"] < LEAST_CONTRACTION
    informed = rows[~silent]
    for label, probability in zip(informed["landmark"], informed["prob_below_1"], strict=True):
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
    if silent.any():
        places = listed_and(list(map(unbroken, rows["landmark"][silent])))
        clauses.append(f"the data say next to nothing at {places}, where the hazard ratio is the prior’s")
    return f"{arm}: {'; '.join(clauses)}."


def _subject(arm: str, row: pd.Series) -> str:
    """What is associated with time to event: shrinkage, a response, an arm, or a covariate."""
    if row["estimand"] == schema.ARM:
        return f"this arm, {row['measure']},"
    if row["estimand"] == schema.COVARIATE:
        return "this level" if ": " in arm else "a higher value"
    shrinkage = row["measure"].startswith("shrinkage")
    return "greater shrinkage" if shrinkage else unbroken(row["measure"].replace(", ", " ", 1))


def _size_sentence(rows: pd.DataFrame, about: str) -> str:
    fewest, most = (format_count(n) for n in (rows["events"].min(), rows["events"].max()))
    counts = fewest if fewest == most else f"{fewest} to {most}"
    return (
        f"{about}Posterior median hazard ratios ({rows['measure'].iloc[0]}) run from {extremes(rows)}, each "
        f"from {counts} events."
    )


def extremes(rows: pd.DataFrame) -> str:
    """``0.70 (B, 150 d) to 1.04 (A, 72 w)``."""
    ends = [rows.loc[rows["hr"].idxmin()], rows.loc[rows["hr"].idxmax()]]
    return " to ".join(
        f"{format_estimate(row['hr'], row['mcse_hr'])} ({row['arm']}, {unbroken(row['landmark'])})"
        for row in ends
    )
