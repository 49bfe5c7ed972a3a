"""The one set of columns of a table of hazard ratios, of patients and of a synthesis alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayes_net.schema import (
    ANY_TIME,
    ARM,
    ASSOCIATION,
    EQUIVALENCE,
    PER_1_POINT,
    PREDICTED,
    SAID,
)

HAZARD_RATIO_BOUNDS = {"prob_below_1": (0, 1), "prob_below_0.8": (0, 0.8), "prob_0.9_to_1.11": EQUIVALENCE}
"""Between which limits a hazard ratio lies with the probability in this column."""
KEYS = ["endpoint", "population", "measure", "estimand", "landmark", "arm", "study"]
"""The columns that say what a hazard ratio is about."""
HAZARD_RATIO_COLUMNS = (
    *("endpoint", "population", "study", "measure", "estimand", "landmark", "arm", "status", "biased"),
    *("n", "events", "hr", "lower", "upper", "level", "interval", "log_mean", "log_sd"),
    *("prior_sd", "contraction", *HAZARD_RATIO_BOUNDS),
    *("mcse_hr", "mcse_lower", "mcse_upper", "ess_bulk", "ess_tail", "rhat", "gate"),
)
"""Columns of every table of hazard ratios, in order. ``log_mean`` and ``log_sd`` are of the posterior log
hazard ratio, ``prior_sd`` is the SD of its prior and ``contraction`` 1 - log_sd / prior_sd."""
PRINTED_COLUMNS = ("row", "printed", "printed_lower", "printed_upper", "said")
"""What a table of a synthesis has besides: the row of the evidence, what it prints, and what it says where it
prints no number."""
PARAMETER_KEYS = ["parameter", "endpoint", "study", "arm", "landmark", "label"]
"""What an element of a parameter of a synthesis is of; ``label`` is all of it in words."""
TRUE_PER_10_POINTS = "true shrinkage, per 10 points"
"""The measure of hazard ratios from which the error of measured sums is taken off."""
LEAST_CONTRACTION = 0.1
"""With a smaller contraction, 1 - posterior SD / prior SD, the evidence is taken to say nothing."""
_TEXTS = {*KEYS, "status", "interval", "gate"}


def judged(hazard_ratios: pd.DataFrame) -> pd.Series:
    """Among how many directions of hazard ratios each row's is judged (``estimands.summary.bars``); NaN where
    a report puts the row into no word.

    Of patients, two for every hazard ratio that the answer is about: those of the models of all follow-up, or
    without these those of the landmarks; ratios that are one by assumption count once. Landmarks beside a
    model of all follow-up, and what is biased, are not put into words. Of a synthesis, which has no
    population, two for every hazard ratio that gets a word: of shrinkage where it has a number of its own,
    and between arms.
    """
    rows = hazard_ratios[~hazard_ratios["biased"].astype(bool)]
    if (hazard_ratios["population"] == "").all():
        rows = rows[rows["estimand"].isin((ASSOCIATION, ARM)) & ~rows["status"].isin((SAID, PREDICTED))]
        worded = _distinct(rows[rows["measure"] != PER_1_POINT])
        return pd.Series(max(2.0 * worded, 1.0), hazard_ratios.index)
    if (rows["landmark"] == ANY_TIME).any():
        rows = rows[rows["landmark"] == ANY_TIME]
    main = rows[rows["estimand"] == (ASSOCIATION if (rows["estimand"] == ASSOCIATION).any() else ARM)]
    main = main if len(main) else rows
    first = main.groupby("endpoint")["measure"].transform("first")
    m = _distinct(main[main["measure"] == first])
    return pd.Series(2.0 * m, rows.index).reindex(hazard_ratios.index)


def _distinct(rows: pd.DataFrame) -> int:
    return len(rows.drop_duplicates(["endpoint", "landmark", "estimand", "hr", "lower", "upper"]))


def tails_of_words(*tables: pd.DataFrame) -> float:
    """Among how many directions the words of a report choose, whose hazard ratios these are; 1 where it puts
    nothing into words."""
    if not tables:
        return 1.0
    return max(1.0, float(judged(pd.concat(tables, ignore_index=True)).fillna(1.0).max()))


def hazard_ratio_columns(table: pd.DataFrame, *, more: Sequence[str] = ()) -> pd.DataFrame:
    """The table in ``HAZARD_RATIO_COLUMNS``, then ``more`` of its own.

    A column that does not apply is empty: "" for a text, False for ``biased``, NaN for a number.
    """
    empty = {name: "" if name in _TEXTS else np.nan for name in HAZARD_RATIO_COLUMNS} | {"biased": False}
    absent = {name: value for name, value in empty.items() if name not in table}
    return table.assign(**absent)[[*HAZARD_RATIO_COLUMNS, *more]]
