"""Published numbers and patients combined to a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayes_net.assumptions.network import Network
from bayes_net.assumptions.participants import Participants, check_inputs
from bayes_net.assumptions.synthesis import Assumptions
from bayes_net.data.landmarks import landmark_times
from bayes_net.errors import InputError
from bayes_net.evidence.table import COLUMNS, Evidence
from bayes_net.statistics.kinds import datum


def combine_network(
    evidence: Evidence | None,
    assumptions: Assumptions,
    *,
    cohorts: Sequence[Participants] = (),
    power: Mapping[str, float] | None = None,
) -> Network:
    """The network of the rows of ``evidence`` that have ``use`` "likelihood" (None: patients alone).

    ``power`` maps row ids, or studies, to weights between 0 and 1.

    Raises
    ------
    InputError
        A row is about an arm, landmark or subgroup that the assumptions do not know, nothing informs
        anything, or slopes track what is not known of a landmark.
    """
    none = pd.DataFrame(columns=list(COLUMNS))
    rows = none if evidence is None else with_labels(evidence.rows("likelihood"))
    if not len(rows) and not cohorts:
        raise InputError("there is neither a published number with use = likelihood nor a cohort of patients")
    check_inputs(rows, assumptions, cohorts)
    network = Network(
        assumptions, rows, tuple(datum(row) for row in rows.itertuples()), np.ones(len(rows)), tuple(cohorts)
    )
    if network.slope_endpoints:
        assumptions.slopes.shares(assumptions.arms, assumptions.landmarks)
    weights: dict[str, float] = {}
    for name, value in (power or {}).items():
        of_study = list(rows.loc[rows["study"] == name, "id"])
        weights |= dict.fromkeys(of_study or [name], value)
    return network.with_power(weights)


def with_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with their landmarks named as landmark sets name them: "150d" becomes "150 d"."""

    def label(text: str) -> str:
        try:
            return landmark_times([text])[0].label
        except InputError:
            return text

    return rows.assign(landmark=[label(text) if text else "" for text in rows["landmark"]])
