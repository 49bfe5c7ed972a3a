"""The one set of columns of a table of hazard ratios, of patients and of a synthesis alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayes_net.schema import ASSOCIATION, EQUIVALENCE, NEW_STUDY

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
PRINTED_COLUMNS = ("row", "printed", "printed_lower", "printed_upper")
"""What a table of a synthesis has besides: the row of the evidence, and what it prints."""
PARAMETER_KEYS = ["parameter", "endpoint", "study", "arm", "landmark", "label"]
"""What an element of a parameter of a synthesis is of; ``label`` is all of it in words."""
LEAST_CONTRACTION = 0.1
"""With a smaller contraction, 1 - posterior SD / prior SD, the evidence is taken to say nothing."""
_TEXTS = {*KEYS, "status", "interval", "gate"}


def hazard_ratio_columns(table: pd.DataFrame, *, more: Sequence[str] = ()) -> pd.DataFrame:
    """The table in ``HAZARD_RATIO_COLUMNS``, then ``more`` of its own.

    A column that does not apply is empty: "" for a text, False for ``biased``, NaN for a number.
    """
    empty = {name: "" if name in _TEXTS else np.nan for name in HAZARD_RATIO_COLUMNS} | {"biased": False}
    absent = {name: value for name, value in empty.items() if name not in table}
    return table.assign(**absent)[[*HAZARD_RATIO_COLUMNS, *more]]


def from_version_0_1(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """A stored table of this name in today's columns; whatever is there stays as it is.

    Version 0.1 had no column of what did not apply to a line, called ``log_sd`` of a synthesis
    ``posterior_sd``, and joined what a parameter or a response is of to one label.
    """
    if name in ("hazard_ratios", "arms_and_studies", "scenarios"):
        implied = {"estimand": ASSOCIATION, "interval": "equal-tailed"}
        table = table.rename(columns={"posterior_sd": "log_sd"})
        table = table.assign(**{key: value for key, value in implied.items() if key not in table})
        return hazard_ratio_columns(table, more=[key for key in table if key not in HAZARD_RATIO_COLUMNS])
    if name in ("summary", "audit"):
        return table.assign(**{key: "" for key in KEYS if key not in table})
    if name in ("parameters", "influence") and "label" in table and "study" not in table:
        return table.assign(**_split_labels(table))
    if name == "responses" and "response_group" in table:
        whole = table["response_group"]
        new = whole == NEW_STUDY
        parts = whole.str.rpartition(" ").mask(new, "")
        return table.drop(columns="response_group").assign(study=parts[0].mask(new, NEW_STUDY), arm=parts[2])
    return table


def _split_labels(table: pd.DataFrame) -> pd.DataFrame:
    """``PARAMETER_KEYS`` from labels such as ``pfs control, 150 d``, ``pfs STUDY`` and ``STUDY ARM``."""
    keys = pd.DataFrame("", index=table.index, columns=PARAMETER_KEYS[1:])
    keys["label"] = table["label"].mask(table["label"].isin(("completion", "pool")), "")
    keys[["who", "landmark"]] = (
        keys["label"].str.split(", ", n=1, expand=True).reindex(columns=[0, 1]).fillna("")
    )
    for parameters, first, second, split in (
        (("slope", "bias"), "endpoint", "arm", "partition"),
        (("arm_effect", "study_level", "arm_effect_mean"), "endpoint", "study", "partition"),
        (("response", "response_alone"), "study", "arm", "rpartition"),
    ):
        own = table["parameter"].isin(parameters)
        parts = getattr(keys.loc[own, "who"].str, split)(" ").reindex(columns=range(3))
        keys.loc[own, first], keys.loc[own, second] = parts[0], parts[2]
    return keys.drop(columns="who")
