"""Sentences written from the tables of a synthesis: its answer, what moved what, what its figures show.

No sentence says more than its probabilities (``tables.STRENGTHS``). "no limit" is never summarised, a
number that nobody printed is called a prediction, and where the evidence did not narrow the prior it
is said that the prior speaks.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bayes_net.estimands.summary import direction
from bayes_net.evidence.kinds import kind_of, names_of
from bayes_net.evidence.statistics import Quantity
from bayes_net.numbers import format_interval, format_probability, listed_and, percent, rounded, unbroken
from bayes_net.report.tables import with_signs
from bayes_net.report.words import direction_sentence, failed_rows
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.results.synthesis import FROM_PATIENTS, HELD_OUT, IN_PRINT, PREDICTED
from bayes_net.schema import FAILED, PASSED, PER_10_POINTS, words

WHOLE = "all evidence"
"""The fit whose failed check makes every number unusable."""
LEAST_MOVE = 0.1
"""By fewer posterior SDs a mean is not said to move: two fits of the same evidence differ as much."""
PRIOR = "the evidence says nothing here: this is the prior"
UNPRINTED = "predicted, no printed number"
_STATUSES = {
    IN_PRINT: "in print",
    HELD_OUT: "in print but held out",
    FROM_PATIENTS: "from patients",
    PREDICTED: UNPRINTED,
}
Tables = Mapping[str, pd.DataFrame]


def whole_failed(found: Tables) -> bool:
    """Whether the fit of all evidence failed a check, or was never checked."""
    diagnostics = found["diagnostics"]
    return not (diagnostics["fit"] == WHOLE).any() or (failed_rows(diagnostics)["fit"] == WHOLE).any()


def judged(found: Tables, name: str) -> pd.DataFrame:
    """A table of hazard ratios with the gate of the fit of all evidence."""
    return found[name].assign(gate=FAILED if whole_failed(found) else PASSED)


def answer(found: Tables, *, ci_prob: float) -> list[str]:
    """The answer: a sentence per arm, then the arms' hazard ratio, response, and a held-out check."""
    if whole_failed(found):
        return ["Nothing is summarised, because the gate of the fit of all evidence failed."]
    sentences = slope_sentences(found["hazard_ratios"], ci_prob=ci_prob) if "hazard_ratios" in found else []
    if "arms_and_studies" in found:
        sentences += _arm_sentences(found, ci_prob=ci_prob)
    if "responses" in found:
        sentences += _response_sentences(found, ci_prob=ci_prob)
    return sentences + (_held_out_sentences(found["checks"]) if "checks" in found else [])


def slope_sentences(hazard_ratios: pd.DataFrame, *, ci_prob: float) -> list[str]:
    """Per endpoint and arm: what the printed landmarks say, and what is predicted at the others."""
    rows = hazard_ratios[hazard_ratios["measure"] == PER_10_POINTS]
    groups = rows.groupby(["endpoint", "arm"], sort=False)
    return [_slope_sentence(words(endpoint), arm, own, ci_prob) for (endpoint, arm), own in groups]


def _slope_sentence(endpoint: str, arm: str, rows: pd.DataFrame, ci_prob: float) -> str:
    usable = rows[~rows["biased"].astype(bool)]
    parts = [f"{arm}, {endpoint}."]
    if not (usable["status"] != PREDICTED).any():
        parts.append(_without_print(rows))
    for status, lead in _STATUSES.items():
        own = usable[usable["status"] == status]
        informed = own[own["contraction"] >= LEAST_CONTRACTION]
        if len(informed):
            parts.append(direction_sentence(lead[:1].upper() + lead[1:], informed))
            if status != PREDICTED:
                parts.append(_sizes(informed, ci_prob))
        silent = own[~own.index.isin(informed.index)]
        if len(silent):
            parts.append(f"{listed_and([unbroken(label) for label in silent['landmark']])}: {lead}; {PRIOR}.")
    return " ".join(parts)


def _without_print(rows: pd.DataFrame) -> str:
    lead = "No landmark’s hazard ratio is in print"
    biased = (rows["biased"].astype(bool) & rows["status"].isin((IN_PRINT, HELD_OUT))).any()
    return f"{lead}; that of “no limit” is, but it is biased and not summarised." if biased else f"{lead}."


def _sizes(rows: pd.DataFrame, ci_prob: float) -> str:
    found = [
        f"{ratio(row, ci_prob)} at {unbroken(row.landmark)}"
        + (f" (printed: {rounded(row.printed)})" if pd.notna(row.printed) else "")
        for row in rows.itertuples()
    ]
    return f"Posterior median hazard ratio per 10 points: {listed_and(found)}."


def ratio(row, ci_prob: float) -> str:
    """``0.53 (95 % CrI 0.32–0.90)``."""
    text = format_interval(row.hr, row.lower, row.upper, row.mcse_hr)
    return text.replace("(", f"({unbroken(percent(ci_prob))} CrI ", 1)


def comparison(found: Tables) -> str:
    """``177Lu against control``: the arms whose hazard ratios stand in ``arms_and_studies``."""
    rows = found["arms_and_studies"]
    named = rows.loc[rows["estimand"] == "arm", "comparison"]
    return with_signs(named.iloc[0]) if len(named) else "arm"


def _arm_sentences(found: Tables, *, ci_prob: float) -> list[str]:
    rows = found["arms_and_studies"]
    rows = rows[rows["estimand"] == "arm"]
    pooled = rows[rows["study"].str.startswith("(")]
    rows = pooled if len(pooled) else rows
    clauses = []
    for row in rows.itertuples():
        endpoint = words(row.endpoint)
        place = f"{endpoint} {row.study}" if row.study.startswith("(") else f"{endpoint} ({row.study})"
        if row.contraction < LEAST_CONTRACTION:
            clauses.append(f"{place}: {PRIOR}")
            continue
        word, longer = direction(row.prob_below_1)
        outcome = f"{word} {longer} {endpoint}" if longer else "direction unclear"
        clauses.append(f"{place} hazard ratio {ratio(row, ci_prob)}, {outcome}")
    return [f"{comparison(found)}: {'; '.join(clauses)}."] if clauses else []


def _response_sentences(found: Tables, *, ci_prob: float) -> list[str]:
    """The prediction for a new study, beside the groups from which it comes."""
    responses = found["responses"]
    new = responses["response_group"] == "new study"
    if not new.any():
        return []
    row = next(responses[new].itertuples())
    if row.contraction < LEAST_CONTRACTION:
        return [f"Response in a new study: {PRIOR}."]
    text = format_interval(row.estimate, row.lower, row.upper, row.mcse, most=2)
    text = text.replace("(", f"({unbroken(percent(ci_prob))} CrI ", 1)
    seen = responses[~new & ~responses["response_group"].isin(_alone(found))]
    ends = [seen.loc[seen["estimate"].idxmin()], seen.loc[seen["estimate"].idxmax()]]
    groups = " to ".join(f"{rounded(end['estimate'])} ({end['response_group']})" for end in ends)
    return [
        f"Response in a new study: predicted probability {text}; posterior medians of the {len(seen)} groups "
        f"behind it run from {groups}."
    ]


def _alone(found: Tables) -> list[str]:
    """Groups whose response is not pooled with the others'."""
    parameters = found.get("parameters", pd.DataFrame({"parameter": [], "label": []}))
    return list(parameters.loc[parameters["parameter"] == "response_alone", "label"])


def describe(row) -> str:
    """``PFS survival at 20 mo, NETTER-1 177Lu``: what a row of the evidence or of the checks is about."""
    who = [f"{row.study} {row.arm}"]
    if isinstance(row.subgroup, str) and row.subgroup not in ("", "all"):
        who.append(f"shrinkage {row.subgroup.replace('>=', '≥ ').replace('<', '< ')} points")
    text = f"{words(row.endpoint)} {kind_of(row).in_words(row)}"
    return ", ".join([text[:1].upper() + text[1:], *who])


def inside(checks: pd.DataFrame) -> pd.Series:
    """Whether each printed number lies in its predictive interval."""
    return (checks["printed"] >= checks["lower"]) & (checks["printed"] <= checks["upper"])


def _held_out_sentences(checks: pd.DataFrame) -> list[str]:
    clauses = [
        f"{describe(row)}: printed {rounded(row.printed)}, predicted {rounded(row.predicted)} "
        f"({percent(row.level)} predictive interval {rounded(row.lower)}–{rounded(row.upper)}, "
        f"p = {format_probability(row.p_value)})"
        for row in checks.itertuples()
        if kind_of(row).axis == "probability"
    ]
    count = f"{int(inside(checks).sum())} of {len(checks)} held-out numbers lie inside their intervals"
    return [f"Held out and then predicted: {'; '.join([*clauses, count])}."]


def contents(found: Tables) -> dict[str, bool]:
    """What a synthesis has in it that a limitation is about."""
    slopes, evidence = (found.get(name, pd.DataFrame()) for name in ("hazard_ratios", "evidence"))
    used = evidence[evidence["use"] == "likelihood"] if len(evidence) else evidence
    medians = used[used["statistic"] == "median"] if len(used) else used
    arms = used["arm"].astype(str) if len(used) else pd.Series(dtype=str)
    return {
        "slopes": bool(len(slopes)),
        "no_limit": bool(len(slopes) and slopes["biased"].astype(bool).any()),
        "predicted": bool(len(slopes) and (slopes["status"] == PREDICTED).any()),
        "printed_slopes": bool(len(used) and used["statistic"].isin(names_of(Quantity.SLOPE)).any()),
        "correlated": bool(len(used) and (used["correlated_with"].fillna("") != "").any()),
        "bare_medians": bool(len(medians) and medians["lower"].isna().any()),
        "response_arms": bool(arms.str.contains(">=", regex=False).any()),
        "single_arm": bool(single_arm_studies(found)),
        "responses": "responses" in found,
        "survival": "survival" in found,
    }


def unpredicted(found: Tables) -> list[str]:
    """Held-out rows of the evidence that the model has no prediction for."""
    if "evidence" not in found:
        return []
    evidence, checks = found["evidence"], found.get("checks")
    held_out = evidence.loc[evidence["use"] == "check", "id"]
    return list(held_out if checks is None else held_out[~held_out.isin(checks["row"])])


def single_arm_studies(found: Tables) -> list[str]:
    """Studies of which one arm only is in the evidence."""
    parts = [found[name][["study", "arm"]] for name in ("evidence", "survival") if name in found]
    if not parts:
        return []
    arms = pd.concat(parts).drop_duplicates().groupby("study", sort=False)["arm"].nunique()
    return list(arms.index[arms == 1])


def movement_sentences(found: Tables) -> list[str]:
    """Whether leaving out a single-arm study moved the slopes, and by how much; not of failed refits."""
    influence, failed = found["influence"], set(failed_rows(found["diagnostics"])["fit"])
    slopes = influence[(influence["parameter"] == "slope") & ~influence["fit"].isin(failed)]
    sentences = []
    for study in single_arm_studies(found):
        own = slopes[slopes["fit"] == f"without {study}"]
        if own.empty:
            continue
        top = own.loc[own["moved_by_sd"].abs().idxmax()]
        moved = "did not move the slopes" if abs(top["moved_by_sd"]) < LEAST_MOVE else "moved the slopes"
        sentences.append(
            f"Leaving out {study}, a single-arm study, {moved}: the largest movement is "
            f"{rounded(abs(top['moved_by_sd']))} posterior SD ({slope_label(top['label'])})."
        )
    return sentences


def slope_label(label: str) -> str:
    """``PFS control, 150 d`` for ``pfs control, 150 d``."""
    first, _, rest = str(label).partition(" ")
    return f"{words(first)} {rest}".strip()
