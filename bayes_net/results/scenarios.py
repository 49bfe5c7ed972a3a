"""What scenarios say together: how far each hazard ratio moves, and whether a conclusion changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.estimands.summary import direction
from bayes_net.labels import landmark_label, landmark_names
from bayes_net.numbers import MISSING, format_count, format_probability, format_ratio, rounded, text_table
from bayes_net.results.columns import KEYS, LEAST_CONTRACTION, judged
from bayes_net.schema import (
    ARM,
    AS_SPECIFIED,
    ASSOCIATION,
    ERROR,
    PASSED,
    PER_1_POINT,
    PREDICTED,
    SAID,
    words,
)


def usable(scenarios: pd.DataFrame) -> pd.DataFrame:
    """Rows with a number that passed its gate; of shrinkage, those per 10 points."""
    return scenarios[(scenarios["gate"] == PASSED) & (scenarios["measure"] != PER_1_POINT)]


def groups(scenarios: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """What a hazard ratio is about, and its row in every scenario that passed."""
    rows = usable(scenarios)
    rows = rows.assign(landmark=landmark_names(rows))
    for values, own in rows.groupby(KEYS, sort=False):
        yield dict(zip(KEYS, values, strict=True)), own


def summary(scenarios: pd.DataFrame) -> pd.DataFrame:
    """Per hazard ratio: as specified, the range over scenarios, and in how many the conclusion differs.

    Columns: the keys; ``hr``, ``lower``, ``upper``, ``mcse_hr``, ``prob_below_1`` as specified (missing when
    that failed); ``scenarios``; ``lowest``, ``highest`` (posterior medians) and the scenarios in which they
    are; ``lowest_prob``, ``highest_prob`` of HR < 1; ``other_conclusion``, scenarios whose word or direction
    (``summary.STRENGTHS``) is not that of the specification, missing where a report draws no conclusion.
    """
    rows, of_shrinkage = [], bool((scenarios["estimand"] == ASSOCIATION).any())
    tails = judged(scenarios[scenarios["scenario"] == AS_SPECIFIED])
    for about, own in groups(scenarios):
        base = own[own["scenario"] == AS_SPECIFIED]
        among = tails.loc[base.index[0]] if len(base) else np.nan
        conclusions = own["prob_below_1"].map(lambda p, among=among: " ".join(direction(p, among)).strip())
        drawn = pd.notna(among) and concludes(base.iloc[0], of_shrinkage=of_shrinkage)
        others = float((conclusions != conclusions[base.index[0]]).sum()) if drawn else np.nan
        first = base.iloc[0] if len(base) else pd.Series(dtype=float)
        low, high = own.loc[own["hr"].idxmin()], own.loc[own["hr"].idxmax()]
        rows.append(
            about
            | {name: first.get(name) for name in ("hr", "lower", "upper", "mcse_hr", "prob_below_1")}
            | {"scenarios": len(own), "lowest": low["hr"], "highest": high["hr"]}
            | {"lowest_in": low["scenario"], "highest_in": high["scenario"]}
            | {"lowest_prob": own["prob_below_1"].min(), "highest_prob": own["prob_below_1"].max()}
            | {"other_conclusion": others}
        )
    columns = [*KEYS, "hr", "lower", "upper", "mcse_hr", "prob_below_1", "scenarios"]
    columns += ["lowest", "highest", "lowest_in", "highest_in", "lowest_prob", "highest_prob"]
    return pd.DataFrame(rows, columns=[*columns, "other_conclusion"])


def concludes(row: pd.Series, *, of_shrinkage: bool) -> bool:
    """Whether a report puts this hazard ratio into words: not if it is biased, the prior's, about covariates
    beside shrinkage or an interaction, or rests on no number of its own."""
    known = not row["biased"] and not row["contraction"] < LEAST_CONTRACTION
    worded = row["estimand"] in (ASSOCIATION, ARM) or not of_shrinkage
    return bool(known and worded and row["status"] not in (SAID, PREDICTED))


def summary_table(found: pd.DataFrame, *, label: str) -> pd.DataFrame:
    """``summary`` as text."""
    return text_table(
        found,
        {
            "Endpoint": ("endpoint", words),
            "Of": subject,
            f"HR as specified ({label})": lambda row: "gate failed" if pd.isna(row.hr) else format_ratio(row),
            "Medians of scenarios": lambda row: (
                f"{rounded(row.lowest)} ({row.lowest_in}) to {rounded(row.highest)} ({row.highest_in})"
            ),
            "Pr(HR < 1)": lambda row: (
                f"{format_probability(row.lowest_prob)} to {format_probability(row.highest_prob)}"
            ),
            "Other conclusion": lambda row: (
                MISSING
                if pd.isna(row.other_conclusion)
                else f"{format_count(row.other_conclusion)} of {row.scenarios}"
            ),
        },
    )


def subject(row: Any) -> str:
    """What a hazard ratio is about, in words."""
    landmark = landmark_label(row.landmark) if row.landmark else ""
    parts = (row.estimand, row.measure, landmark, row.arm, row.study)
    return ", ".join(words(part) for part in parts if part)


def troubles(scenarios: pd.DataFrame) -> pd.DataFrame:
    """Scenarios that failed their gate or could not be fitted: scenario, what happened."""
    rows = []
    for name, own in scenarios.groupby("scenario", sort=False):
        if (own["gate"] == ERROR).any():
            rows.append((name, f"could not be fitted: {own['error'].iloc[0]}"))
        elif (failed := int((own["gate"] != PASSED).sum())) > 0:
            rows.append((name, f"gate failed for {failed} of {len(own)} hazard ratios"))
    return pd.DataFrame(rows, columns=["Scenario", "What happened"])


MODERATE, LARGE = 0.1, 0.5
"""From so many posterior SDs on a change is called moderate, or large; below, negligible."""
BIAS = "bias of no limit"


def strongest(audit: pd.DataFrame) -> pd.DataFrame:
    """The row of each block's hazard ratio that it changes most, the strongest block first.

    Levels of studies are not among them, nor, but for the prior of its bias, what is biased.
    """
    rows = audit[audit["estimand"] != "study against reference"]
    true = rows[~rows["biased"] | (rows["block"] == BIAS)]
    rows = true if len(true) else rows
    top = rows.assign(rank=rows["change"].fillna(np.inf)).sort_values("rank", ascending=False, kind="stable")
    return top.drop_duplicates("block").drop(columns="rank").reset_index(drop=True)
