"""Best shrinkage over time in a network: which laws there are, and which law each row is about.

The place of best shrinkage by a landmark, between -20 and 100 points, is logit-normal among the patients of
one study and arm who can be assessed. Location and log spread of an arm are Gaussian processes over log
time; studies that share an arm differ in location, exchangeably. Patients who are still at risk at a landmark
are some of them (``selected``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from bayes_net.assumptions.synthesis import Assumptions
from bayes_net.data.landmarks import Landmark, landmark_times
from bayes_net.schema import NO_LIMIT
from bayes_net.statistics.base import NUMPY, Array, Datum, Maths, Quantity
from bayes_net.statistics.counts import SMALLEST_SHRINKAGE, place
from bayes_net.statistics.kinds import KINDS
from bayes_net.statistics.ratios import MID_TREATMENT

Group = tuple[str, str]
"""Study and arm."""
Law = tuple[str, str, str]
"""Study, arm and landmark; ``no limit`` is best shrinkage by the cut-off."""
RESPONSE = 30.0
"""Points of shrinkage from which on a patient responds."""
JITTER = 1e-10
NEVER = -1e9
"""Logit of the probability of what cannot be, finite as gradients are."""


@dataclass(frozen=True, eq=False)
class LawRows:
    """The rows about a law of shrinkage, counts first: ``rows``, their places among all; ``law``, that of
    each one's law; ``selected``, the place of its arm among ``selected_arms``, -1 where its patients are all;
    ``shift`` and ``loss``, by how many spreads a correlation of 1 with staying at risk moves the location,
    and the share of the variance that it takes; ``progressive``, the place of its group among those of which
    progression is counted, -1: none. ``n_counts``: how many are counts."""

    rows: np.ndarray
    law: np.ndarray
    selected: np.ndarray
    shift: np.ndarray
    loss: np.ndarray
    progressive: np.ndarray
    n_counts: int


@dataclass(frozen=True, eq=False)
class Shrinkage:
    """The laws of best shrinkage of a network's ``rows``."""

    assumptions: Assumptions
    table: pd.DataFrame
    data: tuple[Datum, ...]

    @cached_property
    def _own(self) -> list[tuple[int, Any]]:
        """Places and rows about a law, counts first."""
        of_law = (Quantity.SHARE, Quantity.RANGE)
        own = [
            (i, row) for i, row in enumerate(self.table.itertuples())
            if row.endpoint == "shrinkage" and KINDS[row.statistic].quantity in of_law
        ]  # fmt: skip
        return sorted(own, key=lambda one: KINDS[one[1].statistic].quantity is Quantity.RANGE)

    @cached_property
    def completions(self) -> tuple[Law, ...]:
        """Study, arm and landmark of every early response that completion is compared with."""
        own = (row for row in self.table.itertuples() if _is_completion(row))
        return tuple(dict.fromkeys((row.study, row.arm, early(row)) for row in own))

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Study and arm of every law."""
        of_rows = [(row.study, row.arm) for _, row in self._own]
        return tuple(dict.fromkeys([*of_rows, *(law[:2] for law in self.completions)]))

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Arms that have a law."""
        return tuple(dict.fromkeys(arm for _, arm in self.groups))

    @cached_property
    def times(self) -> tuple[Landmark, ...]:
        """Landmarks of the laws, in order; the cut-off last."""
        if not self.groups:
            return ()
        labels = [by(row) for _, row in self._own] + [law[2] for law in self.completions]
        return landmark_times(list(dict.fromkeys([*labels, NO_LIMIT])))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Their labels."""
        return tuple(landmark.label for landmark in self.times)

    @cached_property
    def laws(self) -> tuple[Law, ...]:
        """Every law."""
        return tuple((*group, label) for group in self.groups for label in self.labels)

    @cached_property
    def studies(self) -> tuple[Group, ...]:
        """The groups whose arm several studies share."""
        of = [arm for _, arm in self.groups]
        return tuple(group for group in self.groups if of.count(group[1]) > 1)

    @cached_property
    def factor(self) -> np.ndarray:
        """Factor F of the correlation F F' of an arm's laws over time, (landmark, landmark)."""
        a = self.assumptions
        months = np.array([a.cutoff_months if one.biased else one.months for one in self.times])
        distance = (np.log(months)[:, None] - np.log(months)) / a.shrinkage_length
        kernel = a.shrinkage_level + (1 - a.shrinkage_level) * np.exp(-0.5 * distance**2)
        return np.linalg.cholesky((kernel + JITTER * np.eye(len(months))) / (1 + JITTER))

    def place(self, row: Any) -> int:
        """Which law a row is about; a ``ValueError`` where there is none."""
        return self.laws.index((row.study, row.arm, by(row)))

    # --- who is there ------------------------------------------------------------------------------------

    @cached_property
    def progressive(self) -> tuple[Law, ...]:
        """The laws beside which progression as best response is counted."""
        own = (row for _, row in self._own if row.threshold == SMALLEST_SHRINKAGE)
        return tuple(dict.fromkeys((row.study, row.arm, by(row)) for row in own))

    def _assessed(self, i: int, row: Any) -> int:
        """How many patients without progression a row is of."""
        known = {
            (own.study, own.arm, by(own)): self.data[at].successes
            for at, own in self._own if own.threshold == SMALLEST_SHRINKAGE
        }  # fmt: skip
        return known.get((row.study, row.arm, by(row)), self.data[i].n)

    @cached_property
    def _most(self) -> dict[Group, int]:
        """Patients of each group who can be assessed: the most that a row is of."""
        found: dict[Group, int] = {}
        for i, row in self._own:
            group = row.study, row.arm
            found[group] = max(found.get(group, 0), self._assessed(i, row))
        return found

    def share(self, row: Any, n: int) -> float:
        """Which share of all patients who can be assessed the ``n`` of a row are."""
        return min(1.0, n / self._most[row.study, row.arm])

    @cached_property
    def selected_arms(self) -> tuple[str, ...]:
        """Arms of which some rows are of patients still at risk only."""
        own = (row.arm for i, row in self._own if self.share(row, self._assessed(i, row)) < 1)
        return tuple(dict.fromkeys(own))

    @cached_property
    def rows(self) -> LawRows:
        """Which law each row is about, and what it is of."""
        shares = [self.share(row, self._assessed(i, row)) for i, row in self._own]
        arms, groups = self.selected_arms, self.progressive
        of = [(row.study, row.arm, by(row)) for _, row in self._own]
        pairs = np.array([selection(share) for share in shares]).reshape(-1, 2)
        own = [arms.index(row.arm) if p < 1 else -1 for p, (_, row) in zip(shares, self._own, strict=True)]
        return LawRows(
            rows=np.array([i for i, _ in self._own], int),
            law=np.array([self.laws.index(law) for law in of], int),
            selected=np.array(own, int),
            shift=pairs[:, 0],
            loss=pairs[:, 1],
            progressive=np.array([groups.index(law) if law in groups else -1 for law in of], int),
            n_counts=sum(self.data[i].kind == "binomial" for i, _ in self._own),
        )

    def pair(self, completion: Law) -> tuple[int, int]:
        """Places of the laws of early and final shrinkage."""
        return self.laws.index(completion), self.laws.index((*completion[:2], NO_LIMIT))


def _is_completion(row: Any) -> bool:
    return KINDS[row.statistic].quantity is Quantity.COMPLETION


def by(row: Any) -> str:
    """The landmark by which a row's best shrinkage is."""
    return row.landmark or NO_LIMIT


def early(row: Any) -> str:
    """When the earlier response of an odds ratio of completion was seen."""
    return row.landmark or MID_TREATMENT


def selection(share: float) -> tuple[float, float]:
    """Mean and loss of variance of a standard normal of which the upper ``share`` is kept."""
    if share >= 1:
        return 0.0, 0.0
    at = float(special.ndtri(1 - share))
    mean = np.exp(-0.5 * at * at) / np.sqrt(2 * np.pi) / share
    return mean, mean * (mean - at)


def selected(
    location: Array, log_spread: Array, correlation: Array, of: tuple[Array, Array], maths: Maths = NUMPY
) -> tuple[Array, Array]:
    """Location and log spread among those who stay: ``correlation`` is that of place and staying at risk,
    ``of`` the pair of ``selection``.

    Mean and variance are exact for a jointly normal pair (Heckman 1979, doi:10.2307/1912352); the law is
    taken as normal again.
    """
    shift, loss = of
    moved = location + correlation * shift * maths.exp(log_spread)
    return moved, log_spread + 0.5 * maths.log(1.0 - correlation**2 * loss)


def response_place(location: Array, log_spread: Array, maths: Maths = NUMPY) -> Array:
    """Where response begins, in spreads from the location."""
    return (float(place(np.array(RESPONSE))) - location) / maths.exp(log_spread)
