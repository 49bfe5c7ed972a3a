"""Sentences written from results: the answer of a report and what its figures show.

No sentence says more than its probabilities: words follow ``tables.STRENGTHS``, what is biased or
failed the gate is never summarised, and shrinkage is associated with time to event, never its cause.
"""

from __future__ import annotations

import pandas as pd

from bayes_net import schema, tables

ASSOCIATION = "association"
PER_10_POINTS = "shrinkage, per 10 points"
PER_1_POINT = "shrinkage, per 1 point"
_WORDS = {
    **schema.ENDPOINT_LABELS,
    schema.AT_RISK: "event-free at the landmark",
    schema.ALIVE: "alive at the landmark",
    ASSOCIATION: "association within each arm",
    "arm": "arm against the first arm",
    "interaction": "ratio of the arm's hazard ratio to that of the first arm",
    "covariate": "covariates",
}


def words(key: str) -> str:
    """A key of the tables as it is written: ``PFS`` for ``pfs``."""
    return _WORDS.get(key, str(key))


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

    The words follow ``tables.STRENGTHS``. Rows of ``no limit`` and rows whose gate failed are never
    summarised; the latter are named.
    """
    primary = primary_rows(hazard_ratios)
    failed = primary[primary["gate"] != tables.PASSED]
    usable = primary[(primary["gate"] == tables.PASSED) & ~primary["biased"].astype(bool)]
    sentences = [direction_sentence(arm, rows) for arm, rows in usable.groupby("arm", sort=False)]
    if not usable.empty:
        sentences.append(_size_sentence(usable))
    elif failed.empty:
        sentences.append("Only “no limit” was analysed, which is biased: it allows no conclusion.")
    if not failed.empty:
        sentences.append(f"Not summarised, because the gate failed: {_pairs(failed)}.")
    return sentences


def direction_sentence(arm: str, rows: pd.DataFrame) -> str:
    """``B: greater shrinkage is very probably (150 d) associated with longer PFS; unclear at 48 w.``"""
    found: dict[str, dict[str, list[str]]] = {"longer": {}, "shorter": {}, "": {}}
    for label, probability in zip(rows["landmark"], rows["prob_below_1"], strict=True):
        word, longer = tables.direction(probability)
        found[longer].setdefault(word, []).append(unbroken(label))
    measure, time = rows["measure"].iloc[0], words(rows["endpoint"].iloc[0])
    subject = (
        "greater shrinkage" if measure.startswith("shrinkage") else unbroken(measure.replace(", ", " ", 1))
    )
    clauses = []
    for longer in ("longer", "shorter"):
        if found[longer]:
            strengths = listed_and(
                [f"{word} ({', '.join(labels)})" for word, labels in found[longer].items()]
            )
            clauses.append(f"{subject} is {strengths} associated with {longer} {time}")
    if unclear := found[""].get(tables.UNCLEAR):
        clauses.append(f"the direction of the association is unclear at {listed_and(unclear)}")
    return f"{arm}: {'; '.join(clauses)}."


def _size_sentence(rows: pd.DataFrame) -> str:
    smallest = tables.STRENGTHS[-1][0]
    strong = int((rows["prob_below_0.8"] >= smallest).sum())
    return (
        f"Posterior median hazard ratios ({rows['measure'].iloc[0]}) run from {_extremes(rows)}; a hazard "
        f"ratio below 0.8 is at least probable ({smallest:.2f} or more) in {strong} of {len(rows)} analyses."
    )


def _extremes(rows: pd.DataFrame) -> str:
    """``0.70 (B, 150 d) to 1.04 (A, 72 w)``."""
    ends = [rows.loc[rows["hr"].idxmin()], rows.loc[rows["hr"].idxmax()]]
    return " to ".join(f"{_ratio(row)} ({row['arm']}, {unbroken(row['landmark'])})" for row in ends)


def _ratio(row: pd.Series) -> str:
    return tables.format_estimate(row["hr"], row["mcse_hr"])


def _pairs(rows: pd.DataFrame) -> str:
    return ", ".join(f"{unbroken(row.landmark)} ({row.arm})" for row in rows.itertuples())


def unbroken(label: str) -> str:
    """The label with spaces at which a line does not break."""
    return label.replace(" ", "\N{NO-BREAK SPACE}")


def listed_and(labels: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))


def finding(kind: str, *plotted: pd.DataFrame) -> str:
    """What the figure that ``plots.<kind>(*plotted)`` draws shows, in words: its alternative text."""
    return _FINDINGS[kind](*plotted)


def _forest(table: pd.DataFrame) -> str:
    passed = table[table["gate"] == tables.PASSED]
    if passed.empty:
        return "forest plot without estimates, because the gate failed."
    counted = passed[~passed["biased"].astype(bool)]
    kind, counted = ("biased no-limit", passed) if counted.empty else ("landmark", counted)
    apart = int(((counted["lower"] > 1) | (counted["upper"] < 1)).sum())
    excluding = f"{apart} of {len(counted)} intervals exclude 1"
    return f"forest plot; {kind} hazard ratios run from {_extremes(counted)}; {excluding}."


def _survival(bands: pd.DataFrame, *_observed: pd.DataFrame) -> str:
    ends = bands.loc[bands.groupby("group", sort=False)["time"].idxmax()]
    texts = [f"{row.group} {row.estimate:.2f} at {row.time:.3g} months" for row in ends.itertuples()]
    return f"survival curves; the posterior median ends at {'; '.join(texts)}."


def _baseline_hazard(hazards: pd.DataFrame) -> str:
    texts = []
    for arm, steps in hazards.groupby("arm", sort=False):
        top = steps.loc[steps["estimate"].idxmax()]
        texts.append(
            f"{arm} {top['estimate']:.2g} per month from {top['start']:.3g} to {top['end']:.3g} months"
        )
    return f"hazard by interval; the highest posterior median is {'; '.join(texts)}."


def _waterfall(best: pd.DataFrame) -> str:
    texts = [
        f"{arm}, {int((values >= 30).sum())} of {len(values)} patients"
        for arm, values in best.groupby("arm", sort=False)["shrinkage"]
    ]
    return f"waterfall plot; shrinkage of at least 30 points in {'; '.join(texts)}."


def _attrition(attrition: pd.DataFrame) -> str:
    texts = []
    for (landmark, arm), steps in attrition.groupby(["landmark", "arm"], sort=False):
        texts.append(f"{landmark}, {arm}: {steps['n'].iloc[-1]:.0f} of {steps['n'].iloc[0]:.0f}")
    return f"bar chart of patients analysed out of all; {'; '.join(texts)}."


def _prior_posterior(densities: pd.DataFrame) -> str:
    texts = []
    for arm, curve in densities.groupby("arm", sort=False):
        prior, posterior = (curve["hr"].loc[curve[name].idxmax()] for name in ("prior", "posterior"))
        texts.append(f"{arm}, from {prior:.2f} before to {posterior:.2f} after the data")
    return f"densities of the hazard ratio; the peak moves in {'; '.join(texts)}."


def _ppc(replicated: pd.DataFrame, observed: pd.DataFrame) -> str:
    texts = []
    for arm, steps in observed.groupby("arm", sort=False):
        band = replicated[replicated["arm"] == arm].set_index("time")[["lower", "upper"]]
        within = band.reindex(steps["time"], method="nearest")
        curve = steps["survival"].to_numpy()
        inside = (curve >= within["lower"]) & (curve <= within["upper"])
        texts.append(f"{arm}, {int(inside.sum())} of {len(steps)} steps")
    return f"observed against replicated curves; inside the replicated band are {'; '.join(texts)}."


_FINDINGS = {
    "forest": _forest,
    "survival": _survival,
    "baseline_hazard": _baseline_hazard,
    "waterfall": _waterfall,
    "attrition_flow": _attrition,
    "prior_posterior": _prior_posterior,
    "ppc": _ppc,
}
