"""The texts of figures: where in a report each belongs, its caption, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
from matplotlib.axes import Axes

from bayes_net import schema
from bayes_net.figures.style import Figure
from bayes_net.numbers import format_count, rounded, significant
from bayes_net.report.evidence_tables import interpretable
from bayes_net.report.synthesis_words import inside, response_labels
from bayes_net.report.words import extremes
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.schema import PREDICTED


def _forest(table: pd.DataFrame) -> str:
    passed = table[table["gate"] != schema.FAILED]
    if passed.empty:
        return "forest plot without estimates, because the gate failed."
    counted = passed[~passed["biased"].astype(bool)]
    kind, counted = ("biased no-limit", passed) if counted.empty else ("landmark", counted)
    apart = int(((counted["lower"] > 1) | (counted["upper"] < 1)).sum())
    excluding = f"{apart} of {len(counted)} intervals exclude 1"
    text = f"forest plot; {kind} hazard ratios run from {extremes(counted)}; {excluding}"
    if not (table["status"] != "").any():
        return f"{text}."
    predicted, prior = (
        (counted["status"] == PREDICTED).sum(),
        (counted["contraction"] < LEAST_CONTRACTION).sum(),
    )
    return (
        f"{text}; {predicted} of {len(counted)} are predicted without a printed number, and {prior} are the "
        "prior."
    )


def _survival(bands: pd.DataFrame, *_observed: pd.DataFrame) -> str:
    ends = bands.loc[bands.groupby("group", sort=False)["time"].idxmax()]
    texts = [
        f"{row.group} {rounded(row.estimate)} at {significant(row.time)} months" for row in ends.itertuples()
    ]
    return f"survival curves; the posterior median ends at {'; '.join(texts)}."


def _baseline_hazard(hazards: pd.DataFrame) -> str:
    texts = []
    for arm, steps in hazards.groupby("arm", sort=False):
        top = steps.loc[steps["estimate"].idxmax()]
        texts.append(
            f"{arm} {significant(top['estimate'], 2)} per month from {significant(top['start'])} to "
            f"{significant(top['end'])} months"
        )
    return f"hazard by interval; the highest posterior median is {'; '.join(texts)}."


def _hazard_ratio_by_time(ratios: pd.DataFrame) -> str:
    texts = []
    for arm, steps in ratios.groupby("arm", sort=False):
        parts = [
            f"{rounded(row.estimate)} from {significant(row.start)} to {significant(row.end)} months"
            for row in steps.itertuples()
        ]
        texts.append(f"{arm}, {', '.join(parts)}")
    return f"hazard ratio of shrinkage by time; posterior medians are {'; '.join(texts)}."


def _waterfall(best: pd.DataFrame) -> str:
    texts = [
        f"{arm}, {int((values >= 30).sum())} of {len(values)} patients"
        for arm, values in best.groupby("arm", sort=False)["shrinkage"]
    ]
    return f"waterfall plot; shrinkage of at least 30 points in {'; '.join(texts)}."


def _attrition(attrition: pd.DataFrame) -> str:
    texts = []
    for (landmark, arm), steps in attrition.groupby(["landmark", "arm"], sort=False):
        texts.append(
            f"{landmark}, {arm}: {format_count(steps['n'].iloc[-1])} of {format_count(steps['n'].iloc[0])}"
        )
    return f"bar chart of patients analysed out of all; {'; '.join(texts)}."


def _prior_posterior(densities: pd.DataFrame) -> str:
    texts = []
    for arm, curve in densities.groupby("arm", sort=False):
        prior, posterior = (curve["hr"].loc[curve[name].idxmax()] for name in ("prior", "posterior"))
        texts.append(f"{arm}, from {rounded(prior)} before to {rounded(posterior)} after the data")
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


def _response(table: pd.DataFrame) -> str:
    texts = [
        f"{label} {rounded(row.estimate)} ({rounded(row.lower)} to {rounded(row.upper)})"
        for label, row in zip(response_labels(table), table.itertuples(), strict=True)
    ]
    return f"probabilities of response; {'; '.join(texts)}."


def _synthesis_survival(table: pd.DataFrame) -> str:
    texts = []
    whole = table[(table["profile"] == "whole arm") & ~table["beyond_data"].astype(bool)]
    for (study, arm), curve in whole.groupby(["study", "arm"], sort=False):
        end = curve.loc[curve["time"].idxmax()]
        texts.append(f"{study} {arm} {rounded(end['estimate'])} at {significant(end['time'])} months")
    return f"survival curves; the posterior median at the last month with data is {'; '.join(texts)}."


def _contraction(table: pd.DataFrame) -> str:
    rows = interpretable(table)
    least = [
        f"{row.parameter.replace('_', ' ')} {row.label}"
        for row in rows[rows["contraction"] < LEAST_CONTRACTION].itertuples()
    ]
    finding = (
        f"the prior speaks for {', '.join(least)}" if least else "the evidence narrows the prior of each"
    )
    return f"prior against posterior standard deviations of {len(rows)} parameters; {finding}."


def _checks(table: pd.DataFrame) -> str:
    within = inside(table)
    outside = f"; outside: {', '.join(table.loc[~within, 'row'])}" if not within.all() else ""
    count = f"{int(within.sum())} of {len(table)}"
    return f"held-out numbers; {count} lie inside their predictive interval{outside}."


Kinds = Mapping[str, tuple[str, str, Callable[..., str]]]
"""Section, caption and finding of every kind of figure."""
_TO_READ_A_RATIO = (
    "Shaded: 0.9 to 1.11, too small to matter. Below 1: greater shrinkage goes with longer time to event."
)
PATIENTS: Kinds = {
    "attrition_flow": (
        "data",
        "Analysed at each landmark (colour); who left before, and why (greys).",
        _attrition,
    ),
    "forest": (
        "hazard-ratios",
        f"Posterior median hazard ratios with intervals by landmark and arm. {_TO_READ_A_RATIO} Hollow "
        "markers: no limit, biased.",
        _forest,
    ),
    "survival": (
        "survival",
        "Kaplan–Meier estimate (steps; ticks are censored patients) over the posterior median (thin "
        "line) and its interval (band). Numbers at risk beneath.",
        _survival,
    ),
    "baseline_hazard": (
        "baseline-hazard",
        "Posterior median hazard of each interval (line) and its interval (band), at the reference "
        "shrinkage and covariates.",
        _baseline_hazard,
    ),
    "hazard_ratio_by_time": (
        "hazard-ratios",
        "Posterior median hazard ratio of each interval after the landmark (line) and its interval (band), "
        "among patients who are still at risk then. Line at 1: no association.",
        _hazard_ratio_by_time,
    ),
    "waterfall": (
        "waterfall",
        "Best change from baseline, one bar a patient; lines at −30 % and +20 %.",
        _waterfall,
    ),
    "prior_posterior": (
        "model",
        "Prior (dashed grey) and posterior density of the hazard ratio.",
        _prior_posterior,
    ),
    "ppc": ("ppc", "Observed Kaplan–Meier curves over the bands of those that the model replicates.", _ppc),
}
SYNTHESIS: Kinds = {
    "forest": (
        "hazard-ratios",
        "Posterior median hazard ratios with intervals by landmark and arm (hollow: no limit); printed ones "
        f"are open diamonds just below. Grey markers: predicted, no printed number. {_TO_READ_A_RATIO}",
        _forest,
    ),
    "response": (
        "response",
        "Probability of response: posterior median and interval. Grey: prediction for a new study.",
        _response,
    ),
    "survival": (
        "survival",
        "Predicted survival of whole arms: posterior median (line) and interval (band). Grey and dashed: "
        "beyond the data.",
        _synthesis_survival,
    ),
    "contraction": (
        "learnt",
        "How far the evidence narrows the prior: from 1 (nothing learnt) to the dot. Grey: the prior speaks.",
        _contraction,
    ),
    "checks": (
        "checks",
        "Held-out numbers (diamonds, with their printed limits) on what the model predicts (bars; the stroke "
        "is the median), each on its own scale.",
        _checks,
    ),
}


def described(
    kinds: Kinds, kind: str, name: str, axes: Axes, plotted: tuple[pd.DataFrame, ...], *, subject: str = ""
) -> Figure:
    """The figure of this kind that draws the tables ``plotted``, with its texts.

    ``subject`` says what the figure is about, for example ``"PFS, landmark 180 d"``.
    """
    section, caption, finding = kinds[kind]
    about = f"{subject}: " if subject else ""
    return Figure(name, section, axes, caption=about + caption, alt=about + finding(*plotted))
