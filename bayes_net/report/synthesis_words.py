"""Sentences written from the tables of a synthesis: its answer, what moved what, what its figures show.

No sentence says more than its probabilities (``STRENGTHS``). "no limit" is never summarised, a number that
nobody printed is called a prediction, and where the evidence did not narrow the prior the sentence says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import pandas as pd

from bayes_net.estimands.summary import direction
from bayes_net.numbers import (
    capitalised,
    format_interval,
    format_posterior,
    format_probability,
    format_ratio,
    listed_and,
    percent,
    rounded,
    unbroken,
)
from bayes_net.report.tables import with_signs
from bayes_net.report.words import direction_sentence, failed_rows
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.schema import (
    ARM,
    FAILED,
    FROM_PATIENTS,
    HELD_OUT,
    IN_PRINT,
    PASSED,
    PER_10_POINTS,
    PREDICTED,
    SAID,
    words,
)
from bayes_net.statistics.base import Quantity, Row
from bayes_net.statistics.kinds import kind_of, names_of

WHOLE = "all evidence"
"""The fit whose failed check makes every number unusable."""
LEAST_MOVE = 0.1
"""Posterior SDs from which on a mean has moved: two fits of the same evidence differ by as much."""
PRIOR = "no evidence narrows it, and what is shown is the prior"
_NUMBERED = (IN_PRINT, HELD_OUT, FROM_PATIENTS)
"""Statuses of rows with a number of their own."""
_STATUSES = {
    IN_PRINT: "in print",
    HELD_OUT: "in print but held out",
    FROM_PATIENTS: "from patients",
    SAID: "said without a number",
    PREDICTED: "predicted, no printed number",
}
Tables = Mapping[str, pd.DataFrame]


def whole_failed(found: Tables) -> bool:
    """Whether the fit of all evidence failed a check, or was never checked."""
    diagnostics = found["diagnostics"]
    return WHOLE not in set(diagnostics["fit"]) or WHOLE in set(failed_rows(diagnostics)["fit"])


def judged(found: Tables, name: str) -> pd.DataFrame:
    """A table of hazard ratios with the gate of the fit of all evidence."""
    return found[name].assign(gate=FAILED if whole_failed(found) else PASSED)


def answer(found: Tables) -> list[str]:
    """The answer: what a clinician asks, then the arms' hazard ratio and response in a new study."""
    if whole_failed(found):
        return ["Nothing is summarised, because the gate of the fit of all evidence failed."]
    return [
        *clinical_sentences(found),
        *(_arm_sentences(found["arms_and_studies"]) if "arms_and_studies" in found else ()),
        *(_response_sentences(found) if "responses" in found else ()),
    ]


def clinical_sentences(found: Tables) -> list[str]:
    """Per arm, the treated one first, the hazard ratio at the first landmark and what it rests on; then what
    a mid-treatment response foretells, and what each study contributes to all of it."""
    if "answer" not in found:
        return []
    table = found["answer"].fillna({"without": "", "study": "", "of": ""})
    whole = table[table["without"] == ""]
    ratios = whole[whole["of"].str.startswith("per ")]
    sentences = [
        _of_an_arm(arm, own, found["hazard_ratios"])
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
    if row.status in _NUMBERED and pd.notna(row.printed):
        word, longer = direction(row.prob_below_1)
        reading = f"{word} associated with {longer} {words(row.endpoint)}" if longer else "direction unclear"
        lead = "It is printed as" if row.status != FROM_PATIENTS else "Printed:"
        point = f"{rounded(row.printed**0.1, 3)} per point, {rounded(row.printed)} per 10"
        return f"{lead} {point}, and moves with what the papers say of the other landmarks: {reading}."
    return f"It is {_STATUSES.get(row.status, row.status)}."


def _estimate(row: Any, *, level: bool = True) -> str:
    text = format_posterior(row, most=2)
    return _with_level(text, row) if level else text


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


def slope_sentences(hazard_ratios: pd.DataFrame, together: pd.DataFrame | None = None) -> list[str]:
    """Per endpoint and arm, the treated one first: what is in print, what is said without a number, what is
    predicted, and what holds at all landmarks ``together``. Only a row with a number of its own gets a word
    for its direction; others get no more than the paper says of them."""
    rows = hazard_ratios[hazard_ratios["measure"] == PER_10_POINTS]
    arms = list(rows["arm"].unique())[::-1]
    return [
        " ".join(_of_arm(words(endpoint), arm, own) + _of_all(together, words(endpoint), arm))
        for endpoint, of_endpoint in rows.groupby("endpoint", sort=False)
        for arm in arms
        if len(own := of_endpoint[of_endpoint["arm"] == arm])
    ]


def _of_arm(endpoint: str, arm: str, rows: pd.DataFrame) -> list[str]:
    usable = rows[~rows["biased"].astype(bool)]
    parts = [f"{arm}, {endpoint}."]
    if not usable["status"].isin(_NUMBERED).any():
        parts.append(_without_print(rows))
    for status, lead in _STATUSES.items():
        of_status = usable[usable["status"] == status]
        informed = of_status[of_status["contraction"] >= LEAST_CONTRACTION]
        for said, own in informed.groupby(informed["said"].fillna(""), sort=False):
            parts += _informed(status, lead, str(said), own)
        silent = of_status[of_status["contraction"] < LEAST_CONTRACTION]
        if len(silent):
            parts.append(f"{listed_and(list(map(unbroken, silent['landmark'])))}: {lead}; {PRIOR}.")
    return parts


def _informed(status: str, lead: str, said: str, rows: pd.DataFrame) -> list[str]:
    if status in _NUMBERED:
        return [_sizes(capitalised(lead), rows), direction_sentence("In words", rows)]
    marks = listed_and(list(map(unbroken, rows["landmark"])))
    if status == SAID:
        return [
            f"At {marks} the paper prints no number and says: {said.replace(';', ',')}.",
            _sizes("From that", rows),
        ]
    return [_sizes(capitalised(lead), rows)]


def _of_all(together: pd.DataFrame | None, endpoint: str, arm: str) -> list[str]:
    """What holds at all landmarks at once: one that stands out among several may do so by chance."""
    if together is None or together.empty:
        return []
    own = together[
        (together["endpoint"].map(words) == endpoint) & (together["arm"] == arm) & (together["landmarks"] > 1)
    ]
    return [
        f"All {row.landmarks} landmarks together: the hazard ratio is below 1 at each of them with "
        f"probability {format_probability(row.prob_all_below_1)}, above 1 at each with "
        f"{format_probability(row.prob_all_above_1)}. The more landmarks are looked at, the likelier it is "
        "that one of them stands out by chance."
        for row in own.itertuples()
    ]


def _without_print(rows: pd.DataFrame) -> str:
    lead = "No landmark’s hazard ratio is in print"
    biased = (rows["biased"].astype(bool) & rows["status"].isin((IN_PRINT, HELD_OUT))).any()
    return f"{lead}; that of “no limit” is, but it is biased and not summarised." if biased else f"{lead}."


def _sizes(lead: str, rows: pd.DataFrame) -> str:
    """``In print: posterior median hazard ratio per 10 points 0.60 (95 % CrI 0.30–1.15) at 150 d, printed
    0.43; per 30 points 0.21 (0.03–1.52).``: the smallest and the largest where there are more than two."""
    ends = rows if len(rows) <= 2 else rows.loc[[rows["hr"].idxmin(), rows["hr"].idxmax()]]
    found = [
        f"{_with_level(format_ratio(row), row)} at {unbroken(row.landmark)}"
        + (f", printed {rounded(row.printed)}" if pd.notna(row.printed) else "")
        + f", per 30 points {per_30(row)}"
        for row in ends.itertuples()
    ]
    joined = (" to " if len(rows) > 2 else " and ").join(found)
    return f"{lead}: posterior median hazard ratio per 10 points {joined}."


def per_30(row: Any) -> str:
    """Hazard ratio per 30 points with its interval, from that per 10: its third power."""
    return format_interval(row.hr**3, row.lower**3, row.upper**3, 3 * row.hr**2 * row.mcse_hr, most=2)


def _with_level(interval: str, row: Any) -> str:
    """``0.53 (95 % CrI 0.32–0.90)``."""
    return interval.replace("(", f"({unbroken(percent(row.level))} CrI ", 1)


def comparison(arms_and_studies: pd.DataFrame) -> str:
    """``177Lu against control``: the arms whose hazard ratios these are."""
    arms = arms_and_studies.loc[arms_and_studies["estimand"] == ARM, "comparison"]
    return with_signs(arms.iloc[0]) if len(arms) else "arm"


def _arm_sentences(arms_and_studies: pd.DataFrame) -> list[str]:
    rows = arms_and_studies[arms_and_studies["estimand"] == ARM]
    pooled = rows["study"].str.startswith("(")
    clauses = []
    for row in rows[pooled if pooled.any() else ~pooled].itertuples():
        endpoint = words(row.endpoint)
        place = f"{endpoint} {row.study}" if row.study.startswith("(") else f"{endpoint} ({row.study})"
        if row.contraction < LEAST_CONTRACTION:
            clauses.append(f"{place}: {PRIOR}")
            continue
        word, longer = direction(row.prob_below_1)
        outcome = f"{word} {longer} {endpoint}" if longer else "direction unclear"
        clauses.append(f"{place} hazard ratio {_with_level(format_ratio(row), row)}, {outcome}")
    return [f"{comparison(arms_and_studies)}: {'; '.join(clauses)}."] if clauses else []


def _response_sentences(found: Tables) -> list[str]:
    """The prediction for a new study, beside the groups from which it comes."""
    responses = found["responses"]
    rows = list(responses.itertuples())
    if not any(map(of_new_study, rows)):
        return []
    row = next(filter(of_new_study, rows))
    if row.contraction < LEAST_CONTRACTION:
        return [f"Response in a new study: {PRIOR}."]
    predicted = _with_level(format_posterior(row, most=2), row)
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


def describe(row: Row) -> str:
    """``PFS survival at 20 mo, NETTER-1 177Lu``: what a row of the evidence or of the checks is about."""
    who = [f"{row.study} {row.arm}"]
    if isinstance(row.subgroup, str) and row.subgroup not in ("", "all"):
        who.append(f"shrinkage {with_signs(row.subgroup)} points")
    return ", ".join([capitalised(f"{words(row.endpoint)} {kind_of(row).in_words(row)}"), *who])


def inside(checks: pd.DataFrame) -> pd.Series:
    """Whether each printed number lies in its predictive interval."""
    return (checks["printed"] >= checks["lower"]) & (checks["printed"] <= checks["upper"])


def together_sentences(together: pd.DataFrame) -> list[str]:
    """How far out the held-out numbers of an arm lie together."""
    return [
        f"{row.rows} together ({words(row.endpoint)}, {row.arm}): {format_probability(row.p_value)} of "
        "replicated studies lie as far out."
        for row in together.itertuples()
    ]


def contents(found: Tables) -> dict[str, bool]:
    """What a synthesis has in it that a limitation is about."""
    slopes = found.get("hazard_ratios", pd.DataFrame(columns=["biased", "status"]))
    columns = ["use", "statistic", "arm", "lower", "correlated_with"]
    evidence = found.get("evidence", pd.DataFrame(columns=columns))
    used = evidence[evidence["use"] == "likelihood"]
    there = {
        "slopes": len(slopes),
        "no_limit": slopes["biased"].astype(bool).any(),
        "predicted": (slopes["status"] == PREDICTED).any(),
        "said": (slopes["status"] == SAID).any(),
        "virtual": "virtual_trials" in found,
        "printed_slopes": used["statistic"].isin(names_of(Quantity.SLOPE)).any(),
        "correlated": (used["correlated_with"].fillna("") != "").any(),
        "bare_medians": used.loc[used["statistic"] == "median", "lower"].isna().any(),
        "response_arms": used["arm"].astype(str).str.contains(">=", regex=False).any(),
        "single_arm": single_arm_studies(found),
        "responses": "responses" in found,
        "survival": "survival" in found,
    }
    return {name: bool(value) for name, value in there.items()}


def unpredicted(found: Tables) -> list[str]:
    """Held-out rows of the evidence that the model has no prediction for."""
    if "evidence" not in found:
        return []
    evidence, checks = found["evidence"], found.get("checks")
    held_out = evidence.loc[evidence["use"] == "check", "id"]
    return list(held_out if checks is None else held_out[~held_out.isin(checks["row"])])


def not_matched(virtual_trials: pd.DataFrame) -> list[str]:
    """``control, greatest, week 12``: the printed numbers that virtual trials would hardly print."""
    off = virtual_trials[~virtual_trials["inside"].astype(bool)]
    return [f"{row.margin} ({row.arm})" for row in off.itertuples()]


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
        without = slopes[slopes["fit"] == f"without {study}"]
        if without.empty:
            continue
        top = without.loc[without["moved_by_sd"].abs().idxmax()]
        moved = "did not move the slopes" if abs(top["moved_by_sd"]) < LEAST_MOVE else "moved the slopes"
        sentences.append(
            f"Leaving out {study}, a single-arm study, {moved}: the largest movement is "
            f"{rounded(abs(top['moved_by_sd']))} posterior SD ({parameter_label(top)})."
        )
    return sentences


def parameter_label(row: Any) -> str:
    """``PFS control, 150 d``: what an element of a parameter is of; nothing of a scalar."""
    return ", ".join(_given([" ".join(_given([words(row.endpoint), row.study, row.arm])), row.landmark]))


def response_label(row: Any) -> str:
    """``NETTER-1 177Lu``, or ``new study``."""
    return " ".join(_given([row.study, row.arm]))


def of_new_study(row: Any) -> bool:
    """Whether a row of the responses is of a study that is not in the evidence: it has no arm."""
    return not _given([row.arm])


def _given(texts: Sequence) -> list[str]:
    return [text for text in texts if isinstance(text, str) and text]
