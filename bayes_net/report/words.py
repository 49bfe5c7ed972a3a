"""Sentences written from results: the answer of a report and what its figures show.

No sentence says more than its probabilities: words follow ``bars``, what is biased or failed the gate is
never summarised, and shrinkage is associated with time to event, never its cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from bayes_net import schema
from bayes_net.estimands.summary import STRENGTHS, UNCLEAR, direction
from bayes_net.numbers import capitalised, counted, format_count, format_estimate, listed_and, unbroken
from bayes_net.results.columns import LEAST_CONTRACTION, TRUE_PER_10_POINTS, judged
from bayes_net.schema import ASSOCIATION, PER_10_POINTS, words


def failed_rows(diagnostics: pd.DataFrame) -> pd.DataFrame:
    """The checks that did not pass; a check with an unknown result did not."""
    return diagnostics[~diagnostics["passed"].eq(True).fillna(False).astype(bool)]


def primary_rows(hazard_ratios: pd.DataFrame, endpoint: str = schema.PFS) -> pd.DataFrame:
    """The rows that answer the question: of one endpoint, per 10 points of shrinkage, within the arms; first
    those of all follow-up, if there are any. Where the error of measured sums is taken off, those are it.
    ``tails``: see ``judged``.

    What was not analysed is replaced by what comes first in the table.
    """
    rows = hazard_ratios.assign(tails=judged(hazard_ratios))
    measure = TRUE_PER_10_POINTS if (rows["measure"] == TRUE_PER_10_POINTS).any() else PER_10_POINTS
    for column, wanted in (("estimand", ASSOCIATION), ("endpoint", endpoint), ("measure", measure)):
        rows = rows[rows[column] == (wanted if (rows[column] == wanted).any() else rows[column].iloc[0])]
    joint = rows["landmark"] == schema.ANY_TIME
    first = rows.loc[~joint, "population"].head(1)
    return pd.concat([rows[joint], rows[~joint & rows["population"].isin(first)]])


def analysed(hazard_ratios: pd.DataFrame) -> list[str]:
    """Every endpoint that was analysed, PFS before OS."""
    return [each for each in schema.ENDPOINTS if (hazard_ratios["endpoint"] == each).any()]


def answer(hazard_ratios: pd.DataFrame) -> list[str]:
    """The answer in sentences: for each endpoint one per arm for the direction, the reference arm last, and
    one for the size. Where there is a model of all follow-up the direction is its, and landmarks have sizes.

    Rows of ``no limit`` and rows whose gate failed are never summarised; the latter are named.
    """
    endpoints = analysed(hazard_ratios)
    return [
        sentence
        for endpoint in endpoints
        for sentence in (
            *_answer(primary_rows(hazard_ratios, endpoint), named=len(endpoints) > 1),
            *_as_measured(hazard_ratios, endpoint, named=len(endpoints) > 1),
        )
    ]


MOST_SENTENCES = 3
"""Of the answer on the first screen."""


def question(hazard_ratios: pd.DataFrame) -> str:
    """What the analysis asks, in one line."""
    about = primary_rows(hazard_ratios, analysed(hazard_ratios)[0]).iloc[0]
    times = " or ".join(map(words, analysed(hazard_ratios)))
    if about["estimand"] == ASSOCIATION:
        subject = _subject(about["arm"], about)
        if about["landmark"] == schema.ANY_TIME:
            return f"Does {subject} go with longer {times} from then on?"
        return f"Does {subject} by a landmark go with longer {times}?"
    between = "arms" if about["estimand"] == schema.ARM else "values of covariates"
    return f"Does {times} differ between {between}?"


def short_answer(hazard_ratios: pd.DataFrame) -> list[str]:
    """The answer in at most ``MOST_SENTENCES``: one per endpoint, treated arms first, and what failed.

    The same is never summarised as in ``answer``, which says it arm by arm.
    """
    endpoints = analysed(hazard_ratios)
    sentences, failures = [], []
    for endpoint in endpoints:
        primary = primary_rows(hazard_ratios, endpoint)
        if primary["estimand"].iloc[0] != ASSOCIATION:
            return answer(hazard_ratios)[:MOST_SENTENCES]
        passed = primary["gate"] == schema.PASSED
        usable = primary[passed & primary["tails"].notna()]
        failures += [words(endpoint)] * bool((~passed).any())
        if not usable.empty:
            sentences.append(_sentence_of_endpoint(usable))
        elif passed.all():
            sentences.append(f"{words(endpoint)}: only “no limit” was analysed, which is biased.")
    if failures:
        sentences.append(f"Estimates whose gate failed are not summarised ({listed_and(failures)}).")
    return sentences


def _sentence_of_endpoint(usable: pd.DataFrame) -> str:
    """``Greater shrinkage goes with longer PFS: probably in B (72 w); elsewhere …``"""
    first, *later = usable["arm"].unique()
    order = {arm: rank for rank, arm in enumerate([*later, first])}
    informed = usable[~_silent(usable)].sort_values("arm", key=lambda arms: arms.map(order), kind="stable")
    time, subject = words(usable["endpoint"].iloc[0]), _subject(first, usable.iloc[0])
    found = [direction(row.prob_below_1, row.tails) for row in informed.itertuples()]
    directed = informed.assign(word=[word for word, _ in found], longer=[longer for _, longer in found])
    clauses = []
    for longer in ("longer", "shorter"):
        strengths = [
            f"{word} in {_in_arms(rows)}"
            for _, word in STRENGTHS
            if len(rows := directed[(directed["longer"] == longer) & (directed["word"] == word)])
        ]
        if strengths:
            clauses.append(f"with {longer} {time}: {', '.join(strengths)}")
    if not clauses:
        one = usable["landmark"].iloc[0]
        where = " at every landmark" if len(set(usable["landmark"])) > 1 else f" at {unbroken(one)}"
        where = "" if one == schema.ANY_TIME else where
        return f"Whether {subject} goes with longer or shorter {time} is unclear{where}."
    unclear = (directed["longer"] == "").any() or len(directed) < len(usable)
    rest = "; elsewhere the direction is unclear" if unclear else ""
    return capitalised(f"{subject} goes {'; '.join(clauses)}{rest}.")


def _in_arms(rows: pd.DataFrame) -> str:
    """``B (150 d, 36 w) and A (72 w)``."""
    by_arm = rows.groupby("arm", sort=False)["landmark"]
    return listed_and([f"{arm}{_at(labels)}" for arm, labels in by_arm])


def _at(labels: Iterable[str]) -> str:
    """`` (150 d, 36 w)``; nothing of all follow-up."""
    places = [unbroken(label) for label in labels if label != schema.ANY_TIME]
    return f" ({', '.join(places)})" if places else ""


def rests_on(hazard_ratios: pd.DataFrame) -> str:
    """How many patients and events each endpoint's answer rests on, and where it rests on the prior alone."""
    parts, joint = [], False
    for endpoint in analysed(hazard_ratios):
        rows = primary_rows(hazard_ratios, endpoint)
        rows = rows[(rows["gate"] == schema.PASSED) & rows["tails"].notna()]
        joint = joint or (rows["landmark"] == schema.ANY_TIME).any()
        if rows.empty:
            continue
        patients, events = _span(rows["n"], "patient"), _span(rows["events"], "event")
        prior = [
            f"in {row.arm}" if row.landmark == schema.ANY_TIME else f"at {unbroken(row.landmark)} ({row.arm})"
            for row in rows[_silent(rows)].itertuples()
        ]
        alone = f", but the prior alone {listed_and(prior)}" if prior else ""
        parts.append(f"{patients} with {events} ({words(endpoint)}){alone}")
    if not parts:
        return "Rests on no estimate that can be used."
    where = " at each landmark" if len(set(hazard_ratios["landmark"])) > 1 and not joint else ""
    return f"Rests on, in each arm{where}: {'; '.join(parts)}."


def _span(counts: pd.Series, noun: str) -> str:
    fewest, most = int(counts.min()), int(counts.max())
    return f"{fewest} to {counted(most, noun)}" if fewest < most else counted(most, noun)


def _silent(rows: pd.DataFrame) -> pd.Series:
    """The rows that only the prior decides."""
    return rows["contraction"] < LEAST_CONTRACTION


def _answer(primary: pd.DataFrame, *, named: bool) -> list[str]:
    """The same of one endpoint, which is ``named`` where there are others."""
    about = f"{words(primary['endpoint'].iloc[0])}: " if named else ""
    passed = primary["gate"] == schema.PASSED
    failed, usable = primary[~passed], primary[passed & ~primary["biased"].astype(bool)]
    by_arm = dict(list(usable[usable["tails"].notna()].groupby("arm", sort=False)))
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


def _as_measured(hazard_ratios: pd.DataFrame, endpoint: str, *, named: bool) -> Iterator[str]:
    """What taking the error of measured sums off did to hazard ratios, where it was done and they are not
    the prior's."""
    keys = ["landmark", "arm"]
    usable = hazard_ratios["estimand"].eq(ASSOCIATION) & hazard_ratios["endpoint"].eq(endpoint)
    usable &= hazard_ratios["gate"].eq(schema.PASSED) & ~hazard_ratios["biased"].astype(bool)
    true, measured = (
        hazard_ratios[usable & hazard_ratios["measure"].eq(measure)]
        for measure in (TRUE_PER_10_POINTS, PER_10_POINTS)
    )
    both = true[~_silent(true)].merge(measured, on=keys, suffixes=("", "_measured"))
    if both.empty:
        return
    row = both.loc[(both["log_mean"] - both["log_mean_measured"]).abs().idxmax()]
    about = f"{words(endpoint)}: " if named else ""
    farthest = ", the farthest of all" if len(both) > 1 else ""
    yield (
        f"{about}These are hazard ratios of true shrinkage, from which the error of measured sums is taken "
        f"off: with shrinkage as measured that of {row['arm']} at {unbroken(row['landmark'])} is "
        f"{format_estimate(row['hr_measured'], row['mcse_hr_measured'])} and not "
        f"{format_estimate(row['hr'], row['mcse_hr'])}{farthest}."
    )


def direction_sentence(arm: str, rows: pd.DataFrame) -> str:
    """``B: greater shrinkage is very probably (150 d) associated with longer PFS; unclear at 48 w.``"""
    found: dict[str, dict[str, list[str]]] = {"longer": {}, "shorter": {}, "": {}}
    silent = _silent(rows)
    informed = rows[~silent]
    for row in informed.itertuples():
        word, longer = direction(row.prob_below_1, getattr(row, "tails", 1.0))
        found[longer].setdefault(word, []).append(row.landmark)
    subject, time = _subject(arm, rows.iloc[0]), words(rows["endpoint"].iloc[0])
    clauses = []
    for longer in ("longer", "shorter"):
        if found[longer]:
            strengths = listed_and([f"{word}{_at(labels)}" for word, labels in found[longer].items()])
            clauses.append(f"{subject} is {strengths} associated with {longer} {time}")
    if unclear := found[""].get(UNCLEAR):
        clauses.append(f"the direction of the association with {time} is unclear{_among(unclear)}")
    if silent.any():
        places = _among(rows["landmark"][silent])
        clauses.append(
            f"the data say next to nothing{places}, {'where' if places else 'and'} the hazard ratio is the "
            "prior’s"
        )
    return f"{arm}: {'; '.join(clauses)}."


def _among(labels: Iterable[str]) -> str:
    """`` at 150 d and 36 w``; nothing of all follow-up."""
    places = [unbroken(label) for label in labels if label != schema.ANY_TIME]
    return f" at {listed_and(places)}" if places else ""


def _subject(arm: str, row: pd.Series) -> str:
    """What is associated with time to event: shrinkage, a response, an arm, or a covariate."""
    if row["estimand"] == schema.ARM:
        return f"this arm, {row['measure']},"
    if row["estimand"] == schema.COVARIATE:
        return "this level" if ": " in arm else "a higher value"
    shrinkage = row["measure"].startswith(("shrinkage", "true shrinkage"))
    return "greater shrinkage" if shrinkage else unbroken(row["measure"].replace(", ", " ", 1))


def _size_sentence(rows: pd.DataFrame, about: str) -> str:
    fewest, most = (format_count(n) for n in (rows["events"].min(), rows["events"].max()))
    counts = fewest if fewest == most else f"{fewest} to {most}"
    of = f"({rows['measure'].iloc[0]})"
    if len(rows) == 1:
        one = extremes(rows).partition(" to ")[0]
        return f"{about}The posterior median hazard ratio {of} is {one}, from {counts} events."
    return f"{about}Posterior median hazard ratios {of} run from {extremes(rows)}, each from {counts} events."


def extremes(rows: pd.DataFrame) -> str:
    """``0.70 (B, 150 d) to 1.04 (A, 72 w)``."""
    ends = [rows.loc[rows["hr"].idxmin()], rows.loc[rows["hr"].idxmax()]]
    return " to ".join(
        f"{format_estimate(row['hr'], row['mcse_hr'])} ({row['arm']}, {unbroken(row['landmark'])})"
        for row in ends
    )
