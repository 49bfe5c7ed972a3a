"""What the figures of a synthesis show, in words: their alternative texts."""

from __future__ import annotations

import pandas as pd

from bayes_net._pool_tables import interpretable
from bayes_net._pool_wording import NOTHING, inside
from bayes_net.pooled_results import PREDICTED


def finding(kind: str, plotted: pd.DataFrame) -> str:
    """The finding of a figure of this kind that draws this table."""
    return _FINDINGS[kind](plotted)


def _forest(table: pd.DataFrame) -> str:
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


def _survival(table: pd.DataFrame) -> str:
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


_FINDINGS = {
    "forest": _forest,
    "response": _response,
    "survival": _survival,
    "contraction": _contraction,
    "checks": _checks,
}
