"""What the figures of a synthesis show, in words: their alternative texts."""

from __future__ import annotations

import pandas as pd

from bayes_net import schema
from bayes_net.report.evidence_tables import interpretable
from bayes_net.report.synthesis_words import NOTHING, inside
from bayes_net.report.words import extremes
from bayes_net.results.synthesis import PREDICTED


def finding(kind: str, *plotted: pd.DataFrame) -> str:
    """What the figure that ``plots.<kind>(*plotted)`` draws shows, in words: its alternative text."""
    return _FINDINGS[kind](*plotted)


def _forest(table: pd.DataFrame) -> str:
    passed = table[table["gate"] == schema.PASSED]
    if passed.empty:
        return "forest plot without estimates, because the gate failed."
    counted = passed[~passed["biased"].astype(bool)]
    kind, counted = ("biased no-limit", passed) if counted.empty else ("landmark", counted)
    apart = int(((counted["lower"] > 1) | (counted["upper"] < 1)).sum())
    excluding = f"{apart} of {len(counted)} intervals exclude 1"
    return f"forest plot; {kind} hazard ratios run from {extremes(counted)}; {excluding}."


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


def _hazard_ratio_by_time(ratios: pd.DataFrame) -> str:
    texts = []
    for arm, steps in ratios.groupby("arm", sort=False):
        parts = [
            f"{row.estimate:.2f} from {row.start:.3g} to {row.end:.3g} months" for row in steps.itertuples()
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
    "hazard_ratio_by_time": _hazard_ratio_by_time,
    "waterfall": _waterfall,
    "attrition_flow": _attrition,
    "prior_posterior": _prior_posterior,
    "ppc": _ppc,
}


def synthesis_finding(kind: str, plotted: pd.DataFrame) -> str:
    """The finding of a figure of this kind that draws this table."""
    return _SYNTHESIS_FINDINGS[kind](plotted)


def _synthesis_forest(table: pd.DataFrame) -> str:
    rows = table[~table["biased"].astype(bool)]
    kind = "landmark" if len(rows) else "biased no-limit"
    rows = rows if len(rows) else table
    ends = [rows.loc[rows["hr"].idxmin()], rows.loc[rows["hr"].idxmax()]]
    extremes = " to ".join(f"{row['hr']:.2f} ({row['arm']}, {row['landmark']})" for row in ends)
    apart = int(((rows["lower"] > 1) | (rows["upper"] < 1)).sum())
    predicted, prior = (rows["status"] == PREDICTED).sum(), (rows["contraction"] < NOTHING).sum()
    return (
        f"forest plot; {kind} hazard ratios run from {extremes}; {apart} of {len(rows)} intervals exclude 1; "
        f"{predicted} of {len(rows)} are predicted without a printed number, and {prior} are the prior."
    )


def _response(table: pd.DataFrame) -> str:
    texts = [
        f"{row.response_group} {row.estimate:.2f} ({row.lower:.2f} to {row.upper:.2f})"
        for row in table.itertuples()
    ]
    return f"probabilities of response; {'; '.join(texts)}."


def _synthesis_survival(table: pd.DataFrame) -> str:
    texts = []
    whole = table[(table["profile"] == "whole arm") & ~table["beyond_data"].astype(bool)]
    for (study, arm), curve in whole.groupby(["study", "arm"], sort=False):
        end = curve.loc[curve["time"].idxmax()]
        texts.append(f"{study} {arm} {end['estimate']:.2f} at {end['time']:.3g} months")
    return f"survival curves; the posterior median at the last month with data is {'; '.join(texts)}."


def _contraction(table: pd.DataFrame) -> str:
    rows = interpretable(table)
    least = [
        f"{row.parameter.replace('_', ' ')} {row.label}"
        for row in rows[rows["contraction"] < NOTHING].itertuples()
    ]
    said = f"the prior speaks for {', '.join(least)}" if least else "the evidence narrows the prior of each"
    return f"prior against posterior standard deviations of {len(rows)} parameters; {said}."


def _checks(table: pd.DataFrame) -> str:
    within = inside(table)
    outside = f"; outside: {', '.join(table.loc[~within, 'row'])}" if not within.all() else ""
    count = f"{int(within.sum())} of {len(table)}"
    return f"held-out numbers; {count} lie inside their predictive interval{outside}."


_SYNTHESIS_FINDINGS = {
    "forest": _synthesis_forest,
    "response": _response,
    "survival": _synthesis_survival,
    "contraction": _contraction,
    "checks": _checks,
}
