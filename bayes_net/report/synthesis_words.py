"""Sentences written from the tables of a synthesis: its answer, what moved what, what its figures show.

No sentence says more than its probabilities (``bars``). "no limit" is never summarised, a number that
nobody printed is called a prediction, and where the evidence did not narrow the prior the sentence says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bayes_net.evidence.virtual import SHARE
from bayes_net.numbers import (
    capitalised,
    format_interval,
    format_probability,
    format_ratio,
    listed_and,
    percent,
    rounded,
    unbroken,
)
from bayes_net.report.tables import with_signs
from bayes_net.report.words import direction_sentence, failed_rows
from bayes_net.results.columns import LEAST_CONTRACTION, tails_of_words
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
NUMBERED = (IN_PRINT, HELD_OUT, FROM_PATIENTS)
"""Statuses of rows with a number of their own."""
STATUSES = {
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
    """A table of hazard ratios with the gate of the fit of all evidence, and ``tails``, among how many
    directions the words choose."""
    return found[name].assign(gate=FAILED if whole_failed(found) else PASSED, tails=tails(found))


def tails(found: Tables) -> float:
    """Among how many directions of hazard ratios, of shrinkage and between arms, the words choose."""
    return tails_of_words(*(found[name] for name in ("hazard_ratios", "arms_and_studies") if name in found))


def slope_sentences(hazard_ratios: pd.DataFrame, together: pd.DataFrame | None = None) -> list[str]:
    """Per endpoint and arm, the treated one first: what is in print, what is said without a number, what is
    predicted, and what holds at all landmarks ``together``. Only a row with a number of its own gets a word
    for its direction; others get no more than the paper says of them. ``tails``, a column of
    ``hazard_ratios``: see ``judged``."""
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
    if not usable["status"].isin(NUMBERED).any():
        parts.append(_without_print(rows))
    for status, lead in STATUSES.items():
        of_status = usable[usable["status"] == status]
        informed = of_status[of_status["contraction"] >= LEAST_CONTRACTION]
        for said, own in informed.groupby(informed["said"].fillna(""), sort=False):
            parts += _informed(status, lead, str(said), own)
        silent = of_status[of_status["contraction"] < LEAST_CONTRACTION]
        if len(silent):
            parts.append(f"{listed_and(list(map(unbroken, silent['landmark'])))}: {lead}; {PRIOR}.")
    return parts


def _informed(status: str, lead: str, said: str, rows: pd.DataFrame) -> list[str]:
    if status in NUMBERED:
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
        f"{with_level(format_ratio(row), row)} at {unbroken(row.landmark)}"
        + (f", printed {rounded(row.printed)}" if pd.notna(row.printed) else "")
        + f", per 30 points {per_30(row)}"
        for row in ends.itertuples()
    ]
    joined = (" to " if len(rows) > 2 else " and ").join(found)
    return f"{lead}: posterior median hazard ratio per 10 points {joined}."


def per_30(row: Any) -> str:
    """Hazard ratio per 30 points with its interval, from that per 10: its third power."""
    return format_interval(row.hr**3, row.lower**3, row.upper**3, 3 * row.hr**2 * row.mcse_hr, most=2)


def with_level(interval: str, row: Any) -> str:
    """``0.53 (95 % CrI 0.32–0.90)``."""
    return interval.replace("(", f"({unbroken(percent(row.level))} CrI ", 1)


def comparison(arms_and_studies: pd.DataFrame) -> str:
    """``177Lu against control``: the arms whose hazard ratios these are."""
    arms = arms_and_studies.loc[arms_and_studies["estimand"] == ARM, "comparison"]
    return with_signs(arms.iloc[0]) if len(arms) else "arm"


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


def virtual_without_sentences(virtual_without: pd.DataFrame) -> list[str]:
    """How much of the slope on final shrinkage a landmark carries, with each study and without it: of the
    landmark at which that differs most."""
    shares = virtual_without[virtual_without["quantity"] == SHARE]
    sentences = []
    for study, own in shares.groupby("without", sort=False):
        apart = (own["value_without"] - own["value"]).abs()
        row = next(own.loc[[apart.idxmax()]].itertuples())
        sentences.append(
            f"The virtual trials are matched to {study} too: how much of the slope on final shrinkage an "
            f"estimate carries goes, without its numbers, from {rounded(row.value)} to "
            f"{rounded(row.value_without)} at {unbroken(row.landmark)} ({row.arm}), and by less elsewhere."
        )
    return sentences


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
