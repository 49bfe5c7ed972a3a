"""Every kind of figure of patients: what draws it, its section, its caption, and what it shows in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayes_net.estimands.ratios import OVER_TIME
from bayes_net.figures.forest import TO_READ_A_RATIO, forest, forest_in_words
from bayes_net.figures.overview import overview, overview_in_words
from bayes_net.figures.plots import (
    attrition_flow,
    baseline_hazard,
    hazard_ratio_by_time,
    ppc,
    prior_posterior,
    states,
    survival,
    waterfall,
)
from bayes_net.figures.style import Kind
from bayes_net.numbers import format_count, percent, rounded, significant
from bayes_net.schema import FAILED


def _survival(bands: pd.DataFrame, *_observed: pd.DataFrame) -> str:
    ends = bands.loc[bands.groupby("group", sort=False)["time"].idxmax()]
    texts = [
        f"{row.group} {rounded(row.estimate)} at {significant(row.time)} months" for row in ends.itertuples()
    ]
    return f"survival curves; the posterior median ends at {'; '.join(texts)}."


def _baseline_hazard(hazards: pd.DataFrame) -> str:
    highest = hazards.loc[hazards.groupby("arm", sort=False)["estimate"].idxmax()]
    texts = [
        f"{row.arm} {significant(row.estimate, 2)} per month {_months(row)}" for row in highest.itertuples()
    ]
    return f"hazard by interval; the highest posterior median is {'; '.join(texts)}."


def _months(row: Any) -> str:
    return f"from {significant(row.start)} to {significant(row.end)} months"


def _hazard_ratio_by_time(ratios: pd.DataFrame) -> str:
    texts = []
    for arm, steps in ratios.groupby("arm", sort=False):
        parts = (f"{rounded(row.estimate)} {_months(row)}" for row in steps.itertuples())
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
    for (landmark, arm), n in attrition.groupby(["landmark", "arm"], sort=False)["n"]:
        texts.append(f"{landmark}, {arm}: {format_count(n.iloc[-1])} of {format_count(n.iloc[0])}")
    return f"bar chart of patients analysed out of all; {'; '.join(texts)}."


def prior_posterior_in_words(densities: pd.DataFrame) -> str:
    """Where the data move each hazard ratio and by how much they narrow it, or that they hardly do either."""
    moved, same = [], []
    known = densities[densities["gate"] != FAILED] if "gate" in densities else densities
    for keys, curve in known.groupby([name for name in ("arm", "landmark") if name in known], sort=False):
        name = ", ".join(keys)
        shares = curve[["prior", "posterior"]] / curve[["prior", "posterior"]].sum()
        (before, wide), (after, narrow) = (_quartiles(curve["hr"], shares[of]) for of in shares)
        if shares.min(axis=1).sum() > ALIKE:
            same.append(name)
        else:
            change = f", {percent(round(1 - narrow / wide, 2))} narrower" if narrow < wide else ""
            moved.append(f"{name}: {rounded(before)} to {rounded(after)}{change}")
    parts = [f"the median moves, {'; '.join(moved)}"] if moved else []
    parts += [f"the data hardly change the prior of {'; '.join(same)}"] if same else []
    return f"hazard ratio before and after the data; {'; '.join(parts) or 'the gate failed'}."


def _quartiles(ratios: pd.Series, shares: pd.Series) -> tuple[float, float]:
    """The median, and the distance of the quartiles on the log scale."""
    lower, middle, upper = np.interp((0.25, 0.5, 0.75), shares.cumsum() - shares / 2, np.log(ratios))
    return float(np.exp(middle)), upper - lower


def _states(probabilities: pd.DataFrame) -> str:
    last = probabilities[probabilities["time"] == probabilities["time"].max()]
    texts = [
        f"{arm}, {profile}: {', '.join(f'{row.state} {rounded(row.estimate)}' for row in rows.itertuples())}"
        for (arm, profile), rows in last.groupby(["arm", "profile"], sort=False)
    ]
    months = significant(probabilities["time"].max())
    return f"shares of patients in each state; at {months} months: {'; '.join(texts)}."


def _ppc(replicated: pd.DataFrame, observed: pd.DataFrame) -> str:
    texts = []
    for arm, steps in observed.groupby("arm", sort=False):
        band = replicated[replicated["arm"] == arm].set_index("time")[["lower", "upper"]]
        within = band.reindex(steps["time"], method="nearest")
        curve = steps["survival"].to_numpy()
        inside = (curve >= within["lower"]) & (curve <= within["upper"])
        texts.append(f"{arm}, {int(inside.sum())} of {len(steps)} steps")
    return f"observed against replicated curves; inside the replicated band are {'; '.join(texts)}."


ALIKE = 0.85
"""Share of a posterior that lies under its prior, from which on the data are said to change little."""
RIDGES = (
    "Prior (dashed) and posterior density of the hazard ratio by landmark and arm: where both are alike, the "
    "data say little. Each row has its own height. Line at 1: no association. Shaded: biased."
)
PATIENTS = {
    "attrition": Kind(
        attrition_flow,
        "data",
        "Analysed at each landmark (colour); who left before, and why (greys).",
        _attrition,
    ),
    "overview": Kind(
        overview,
        "answer",
        "Posterior median hazard ratios with intervals by landmark and arm, on a log axis. Dotted: only the "
        "prior. Shaded and hollow: biased, since it conditions on the future.",
        overview_in_words,
    ),
    "forest": Kind(
        forest,
        "hazard-ratios",
        f"Posterior median hazard ratios with intervals by landmark and arm. {TO_READ_A_RATIO} Hollow "
        "markers: no limit, biased.",
        forest_in_words,
    ),
    "comparison": Kind(
        forest,
        "hazard-ratios",
        "Posterior median hazard ratios with intervals by landmark, of arms or covariates. Shaded: 0.9 to "
        "1.11. Below 1: longer time to event.",
        forest_in_words,
    ),
    "survival": Kind(
        survival,
        "survival",
        "Kaplan–Meier estimate (steps; ticks are censored patients), or Turnbull’s where progression lies "
        "between scans, over the posterior median (thin line) and its interval (band). Numbers at risk "
        "beneath.",
        _survival,
    ),
    "baseline_hazard": Kind(
        baseline_hazard,
        "baseline-hazard",
        "Posterior median hazard of each interval (line) and its interval (band), at the reference "
        "shrinkage and covariates.",
        _baseline_hazard,
    ),
    "states": Kind(
        states,
        "states",
        "Posterior mean probabilities of being alive without progression, alive with it, and dead, of "
        "patients who were without progression at the landmark.",
        _states,
    ),
    "waterfall": Kind(
        waterfall,
        "waterfall",
        "Best change from baseline, one bar a patient; lines at −30 % and +20 %.",
        _waterfall,
    ),
    "prior_posterior": Kind(prior_posterior, "model", RIDGES, prior_posterior_in_words),
    "ppc": Kind(
        ppc, "ppc", "Observed Kaplan–Meier curves over the bands of those that the model replicates.", _ppc
    ),
}
"""Every kind of figure of patients, by the name of its files."""
PATIENTS |= {
    quantity.name: Kind(
        hazard_ratio_by_time,
        "hazard-ratios",
        "Posterior median hazard ratio of each interval after the landmark (line) and its interval (band), "
        "among patients who are still at risk then. Line at 1: no association.",
        _hazard_ratio_by_time,
    )
    for quantity in OVER_TIME
    if quantity.column
}
