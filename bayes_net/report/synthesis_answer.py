"""The answer of a synthesis in sentences: what a clinician asks, and what each study contributes to it."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import pandas as pd

from bayes_net.estimands.summary import direction
from bayes_net.numbers import (
    capitalised,
    counted,
    evenly_rounded,
    format_posterior,
    format_ratio,
    listed_and,
    rounded,
    unbroken,
)
from bayes_net.report.evidence_tables import as_printed
from bayes_net.report.synthesis_words import (
    LEAST_MOVE,
    NUMBERED,
    PRIOR,
    STATUSES,
    Tables,
    comparison,
    judged,
    of_new_study,
    response_label,
    whole_failed,
    with_level,
)
from bayes_net.report.words import MOST_SENTENCES
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.schema import ARM, FROM_PATIENTS, NO_LIMIT, OBSERVED, PER_10_POINTS, PREDICTED, SAID, words

OF_ARMS = "arms, whole follow-up"
"""What the hazard ratios of the first screen are about where there are none of shrinkage."""
NEW_STUDY = "(new study)"


def answer(found: Tables) -> list[str]:
    """The answer: what a clinician asks, then the arms' hazard ratio and response in a new study."""
    if whole_failed(found):
        return ["Nothing is summarised, because the gate of the fit of all evidence failed."]
    return [
        *clinical_sentences(found),
        *(_arm_sentences(found) if "arms_and_studies" in found else ()),
        *(_response_sentences(found) if "responses" in found else ()),
    ]


def first_screen_rows(found: Tables) -> pd.DataFrame:
    """The hazard ratios that the first screen shows: of shrinkage, per 10 points, at true landmarks; where
    there are none, those of the arms, with the study in the place of the landmark."""
    rows = found.get("hazard_ratios", pd.DataFrame(columns=["measure", "landmark"]))
    no_limit = rows["landmark"].isin([NO_LIMIT, OBSERVED])
    slopes = rows[(rows["measure"] == PER_10_POINTS) & ~no_limit]
    if len(slopes) or "arms_and_studies" not in found:
        return slopes
    arms = found["arms_and_studies"]
    arms = arms[arms["estimand"] == ARM]
    status = arms["status"].mask(arms["study"] == NEW_STUDY, PREDICTED)
    return arms.assign(
        arm=comparison(arms), landmark=arms["study"].str.strip("()"), measure=OF_ARMS, status=status
    )


def question(found: Tables) -> str:
    """What the synthesis asks, in one line."""
    rows = first_screen_rows(found)
    if rows.empty:
        return "What do published numbers say together?"
    if _of_arms(rows):
        times = " or ".join(map(words, rows["endpoint"].unique()))
        return f"Is {times} longer or shorter in one of the arms ({comparison(rows)})?"
    return f"Does greater shrinkage go with longer {' or '.join(map(words, rows['endpoint'].unique()))}?"


def first_answer(found: Tables) -> list[str]:
    """The answer's first sentences: one per arm, or what comes first."""
    rows, sentences = first_screen_rows(found), answer(found)
    return sentences[: MOST_SENTENCES if rows.empty or _of_arms(rows) else rows["arm"].nunique()]


def _of_arms(rows: pd.DataFrame) -> bool:
    return bool((rows["estimand"] == ARM).all())


def rests_on(found: Tables) -> str:
    """On how many hazard ratios in print the answer rests, on how many statements, and what is predicted."""
    rows = first_screen_rows(found)
    if rows.empty or whole_failed(found):
        return ""
    silent = int((rows["contraction"] < LEAST_CONTRACTION).sum())
    prior = f"; for {silent} only the prior speaks" if silent else ""
    if _of_arms(rows):
        return f"Rests on {_sources_of_arms(found, rows)}{prior}."
    counts = {
        "with a number in print or from patients": rows["status"].isin(NUMBERED),
        "of which a paper says something without a number": rows["status"] == SAID,
        "of which no paper says anything": rows["status"] == PREDICTED,
    }
    parts = [f"{int(own.sum())} {what}" for what, own in counts.items() if own.any()]
    return f"Rests on {counted(len(rows), 'hazard ratio')} at landmarks: {listed_and(parts)}{prior}."


def _sources_of_arms(found: Tables, rows: pd.DataFrame) -> str:
    """``7 published numbers of A and B; arms are compared within a study that has both``."""
    used = found.get("evidence", pd.DataFrame(columns=["use", "study", "endpoint"]))
    used = used[(used["use"] == "likelihood") & used["endpoint"].isin(rows["endpoint"])]
    used = used[used["study"].isin(rows["study"])]
    own = used if len(used) else rows[~rows["study"].str.startswith("(")]
    studies = listed_and(list(dict.fromkeys(own["study"])))
    numbers = counted(len(used), "published number") if len(used) else "what is known"
    return f"{numbers} of {studies}; arms are compared within a study that has both"


def clinical_sentences(found: Tables) -> list[str]:
    """Per arm, the treated one first, the hazard ratio at the first landmark and what it rests on; then what
    a mid-treatment response foretells, and what each study contributes to all of it."""
    if "answer" not in found:
        return []
    table = found["answer"].fillna({"without": "", "study": "", "of": ""})
    whole = table[table["without"] == ""]
    ratios = whole[whole["of"].str.startswith("per ")]
    sentences = [
        _of_an_arm(arm, own, judged(found, "hazard_ratios"))
        for arm, own in ratios.groupby("arm", sort=False)
        if "hazard_ratios" in found
    ]
    early = [_completion(whole), _early_progression(whole)]
    return [*sentences, *filter(None, early), *_contributions(table)]


def _of_an_arm(arm: str, rows: pd.DataFrame, hazard_ratios: pd.DataFrame) -> str:
    per_10, per_30 = rows.itertuples()
    own = hazard_ratios[(hazard_ratios["measure"] == PER_10_POINTS) & (hazard_ratios["arm"] == arm)]
    own = own[(own["endpoint"] == per_10.endpoint) & (own["landmark"] == per_10.landmark)]
    ratios = f"{_estimate(per_10)} per 10 points and {_estimate(per_30, level=False)} per 30"
    at = unbroken(per_10.landmark)
    basis = "".join(f" {_rests_on(row)}" for row in own.itertuples())
    return f"{arm}, {words(per_10.endpoint)} after {at}: hazard ratio of shrinkage {ratios}.{basis}"


def _rests_on(row: Any) -> str:
    """What a hazard ratio rests on: a number in print, patients, the paper's words, or the prior."""
    if row.contraction < LEAST_CONTRACTION:
        return f"It rests on the prior: {PRIOR}."
    if row.status == SAID:
        return f"It rests on what the paper says without printing a number: {row.said.replace(';', ',')}."
    if row.status in NUMBERED and pd.notna(row.printed):
        word, longer = direction(row.prob_below_1, row.tails)
        reading = f"{word} associated with {longer} {words(row.endpoint)}" if longer else "direction unclear"
        lead = "It is printed as" if row.status != FROM_PATIENTS else "Printed:"
        point = f"{rounded(row.printed**0.1, 3)} per point, {rounded(row.printed)} per 10"
        return f"{lead} {point}, and moves with what the papers say of the other landmarks: {reading}."
    return f"It is {STATUSES.get(row.status, row.status)}."


def _estimate(row: Any, *, level: bool = True) -> str:
    text = format_posterior(row, most=2)
    return with_level(text, row) if level else text


def _completion(whole: pd.DataFrame) -> str:
    rows = list(whole[whole["quantity"] == "response at completion"].itertuples())
    if not rows:
        return ""
    parts = [f"{_estimate(row, level=not i)} for {row.of}" for i, row in enumerate(rows)]
    first = rows[0]
    return f"Response at completion ({first.study}, {first.arm}): probability {' and '.join(parts)}."


def _early_progression(whole: pd.DataFrame) -> str:
    rows = whole[(whole["study"] != "") & whole["quantity"].isin(("hazard ratio", "PFS a year on"))]
    if rows.empty:
        return ""
    ratio, *later = rows.itertuples()
    survival = " and ".join(f"{_estimate(row, level=False)} for {row.of}" for row in later)
    return (
        f"{capitalised(ratio.of)} ({ratio.study}, {ratio.arm}): hazard ratio {_estimate(ratio)}; progression-"
        f"free a year after {unbroken(ratio.landmark)} {survival}. It follows from the hazard ratio of "
        "shrinkage above, and no paper has compared these groups."
    )


def _contributions(table: pd.DataFrame) -> list[str]:
    """How far the median of each of these numbers moves without each study, where it moves."""
    keys, clauses, silent = ["quantity", "endpoint", "arm", "study", "landmark", "of"], [], []
    rows = table[~table["of"].str.startswith("per 30")]
    whole = rows[rows["without"] == ""].set_index(keys)
    for study, own in rows[rows["without"] != ""].groupby("without", sort=False):
        without = own.set_index(keys)
        moved: dict[str, list[str]] = {}
        known = [key for key in whole.index if key in without.index]
        for key in known:
            before, after = whole.loc[key], without.loc[key]
            if abs(after["mean"] - before["mean"]) / before["sd"] >= LEAST_MOVE:
                change = f"{rounded(before['estimate'])} → {rounded(after['estimate'])}"
                moved.setdefault(_quantity(key), []).append(f"{change} ({_whose(key)})")
        gone = "; the rest cannot be told" * (len(known) < len(whole))
        if moved or gone:
            changes = [f"{name} {', '.join(each)}" for name, each in moved.items()]
            clauses.append(f"without {study}, {'; '.join(changes) or 'nothing else moves'}{gone}")
        else:
            silent.append(str(study))
    if silent:
        clauses.append(f"without {listed_and(silent)}, each by itself, nothing here moves")
    return [f"What each study contributes: {'. '.join(map(capitalised, clauses))}."] if clauses else []


def _quantity(key: tuple) -> str:
    return "hazard ratio per 10 points" if key[5].startswith("per 10") else key[0]


def _whose(key: tuple) -> str:
    """Arm of a hazard ratio of shrinkage, else the group of patients."""
    return key[2] if key[5].startswith("per 10") else key[5]


def _arm_sentences(found: Tables) -> list[str]:
    arms_and_studies = judged(found, "arms_and_studies")
    rows = evenly_rounded(arms_and_studies)  # as in their table
    rows = rows[rows["estimand"] == ARM]
    pooled = rows["study"].str.startswith("(")
    clauses: dict[str, list[str]] = {}
    for row in rows[pooled if pooled.any() else ~pooled].itertuples():
        endpoint = words(row.endpoint)
        of_endpoint = clauses.setdefault(endpoint, [])
        place = f"{endpoint} {row.study}" if row.study.startswith("(") else f"{endpoint} ({row.study})"
        if row.contraction < LEAST_CONTRACTION:
            of_endpoint.append(f"{place}: {PRIOR}")
            continue
        word, longer = direction(row.prob_below_1, row.tails)
        outcome = f"{word} {longer} {endpoint}" if longer else "direction unclear"
        ratio = with_level(format_ratio(row), row)
        of_endpoint.append(f"{place} hazard ratio {ratio}, {outcome}{_printed_of_arms(found, row)}")
    return [f"{comparison(arms_and_studies)}: {'; '.join(each)}." for each in clauses.values()]


def _printed_of_arms(found: Tables, row: Any) -> str:
    """What the study itself prints of its arms, where that is one number: the posterior is another."""
    rows = found.get("evidence", pd.DataFrame())
    if rows.empty:
        return ""
    of_it = (rows["statistic"] == "hazard ratio") & (rows["use"] == "likelihood") & rows["value"].notna()
    of_it &= (rows["study"] == row.study) & (rows["endpoint"] == row.endpoint)
    of_it &= rows["arm"] + " against " + rows["reference_arm"] == row.comparison
    if of_it.sum() != 1:
        return ""
    printed = as_printed(*rows.loc[of_it, ["value", "lower", "upper"]].iloc[0])
    return f" (the study prints {printed}, which the prior and its other numbers move)"


def _response_sentences(found: Tables) -> list[str]:
    """The prediction for a new study, beside the groups from which it comes."""
    responses = found["responses"]
    rows = list(responses.itertuples())
    if not any(map(of_new_study, rows)):
        return []
    row = next(filter(of_new_study, rows))
    if row.contraction < LEAST_CONTRACTION:
        return [f"Response in a new study: {PRIOR}."]
    predicted = with_level(format_posterior(row, most=2), row)
    separate = _separate(found)
    pooled = [r for r in rows if not of_new_study(r) and (r.study, r.arm) not in separate]
    ends = sorted(pooled, key=attrgetter("estimate"))
    groups = " to ".join(f"{rounded(end.estimate)} ({response_label(end)})" for end in (ends[0], ends[-1]))
    return [
        f"Response in a new study: predicted probability {predicted}; posterior medians of the {len(pooled)} "
        f"groups behind it run from {groups}."
    ]


def _separate(found: Tables) -> list[tuple[str, str]]:
    """Study and arm of groups whose response is not pooled with the others'."""
    parameters = found.get("parameters", pd.DataFrame(columns=["parameter", "study", "arm"]))
    own = parameters[parameters["parameter"] == "response_alone"]
    return list(own[["study", "arm"]].itertuples(index=False, name=None))
