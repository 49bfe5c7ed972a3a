"""Any number of patients as sums: all that the likelihood needs of them, added up piece by piece.

Events enter the likelihood linearly, and exposure through sum_i e_i exp(slope * score_i) in each cell (a
pattern of arm and covariates, and an interval). So pieces of a registry are reduced one after another, or
on different machines, and added. A cell's exposure is held as the Gauss rule of its Chebyshev moments
(modified Chebyshev algorithm: Gautschi 1982, doi:10.1137/0903018). The Gauss rule of the sum of two such
rules is that of all patients together, because a rule of K nodes is determined by the first 2 K moments,
which it keeps: adding pieces costs no accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from bayes_net.data.exposure import Exposure, refuse_stretches
from bayes_net.data.gauss import NODES, Nodes, chebyshev, gauss_rule, rules_of_moments
from bayes_net.data.intervals import Baselines, one_hot
from bayes_net.data.terms import Covariate, Measure
from bayes_net.errors import InputError
from bayes_net.numbers import counted

SLOPES = np.log(4.0) * np.array([-1.0, -0.5, 0.5, 1.0])
"""Hazard ratios of 1/4 to 4 per 10 points: the sum of exp(slope * score) is kept exactly at these, to show
what the nodes make of it."""
MOST_PATTERNS = 500
_BLOCK = 16_384
"""Patients at a time: what is computed of them stays in the processor's cache."""
_SUMS = ("n_by_pattern", "scores", "hits", "score_hits", "score_hits_by_interval", "exact")
_MOMENT_ERROR = 1e-12
"""A rule that gives its moments, per month, back less well is made anew from the patients themselves."""


@dataclass(frozen=True, eq=False)
class AggregatedExposure(Baselines):
    """The patients of one landmark as sums, in the place of an ``Exposure`` with a row for each.

    Arrays by pattern (rows of ``patterns``: the stratum's number, then the covariates' values):
    ``n_by_pattern``, ``scores`` (their sum), ``score_hits`` (the sum of those with an event) and
    ``longest`` (follow-up, months); ``hits`` (events) and ``score_hits_by_interval`` by pattern and interval;
    ``score`` and ``weight`` (months) by pattern, interval and node; ``exact``, the exposure's sums of
    exp(slope * score) at ``SLOPES``, by pattern, interval and slope.
    """

    patterns: np.ndarray
    n_by_pattern: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    score_hits: np.ndarray
    score_hits_by_interval: np.ndarray
    longest: np.ndarray
    score: np.ndarray
    weight: np.ndarray
    exact: np.ndarray
    cuts: np.ndarray
    arms: tuple[str, ...]
    covariate_names: tuple[str, ...]
    measure: Measure
    terms: tuple[Covariate, ...] = ()
    studies: tuple[str, ...] = ()

    def __repr__(self) -> str:
        arms = ", ".join(f"{arm} {n}" for arm, n in zip(self.arms, self.n_by_arm, strict=True))
        return (
            f"<aggregated exposure: {counted(self.n, 'patient')} ({arms}), "
            f"{counted(int(self.hits.sum()), 'event')}, {counted(self.n_intervals, 'interval')}, "
            f"{counted(len(self.patterns), 'pattern')}, {self.measure.label}>"
        )

    @property
    def n(self) -> int:
        """Number of patients."""
        return int(self.n_by_pattern.sum())

    @property
    def _arm(self) -> np.ndarray:
        return one_hot(self.patterns[:, 0] % len(self.arms), len(self.arms)).T

    @property
    def _stratum(self) -> np.ndarray:
        return one_hot(self.patterns[:, 0], int(np.prod(self.strata))).T

    @property
    def n_by_arm(self) -> np.ndarray:
        """Number of patients in each arm."""
        return (self._arm @ self.n_by_pattern).astype(int)

    @property
    def events(self) -> np.ndarray:
        """Events by arm and interval."""
        return self._arm @ self.hits

    @property
    def events_by_stratum(self) -> np.ndarray:
        """Events of each baseline and interval, ([study,] arm, interval)."""
        return (self._stratum @ self.hits).reshape(*self.strata, -1)

    @property
    def n_by_stratum(self) -> np.ndarray:
        """Number of patients of each baseline, ([study,] arm)."""
        return (self._stratum @ self.n_by_pattern).astype(int).reshape(self.strata)

    @property
    def person_time(self) -> np.ndarray:
        """Months at risk by arm and interval."""
        return self._arm @ self.weight.sum(axis=2)

    @property
    def score_events(self) -> np.ndarray:
        """Sum of the scores of patients with an event, by arm."""
        return self._arm @ self.score_hits

    @property
    def score_events_by_interval(self) -> np.ndarray:
        """The same by arm and interval."""
        return self._arm @ self.score_hits_by_interval

    @property
    def covariate_events(self) -> np.ndarray:
        """Sum of each covariate over the patients with an event."""
        return self.patterns[:, 1:].T @ self.hits.sum(axis=1)

    @property
    def mean_score(self) -> float:
        """Average score of the patients."""
        return float(self.scores.sum() / self.n) if self.n else 0.0

    @property
    def mean_covariates(self) -> np.ndarray:
        """Average of each covariate over the patients."""
        return self.n_by_pattern @ self.patterns[:, 1:] / max(self.n, 1)

    @property
    def last_follow_up(self) -> np.ndarray:
        """The longest follow-up of each arm, in months; 0 without patients."""
        return np.where(self._arm > 0, self.longest, 0.0).max(axis=1)

    @property
    def error(self) -> float:
        """Largest relative error of a cell's sum of e_i exp(slope * score_i), for hazard ratios of 1/4 to 4
        per 10 points: measured against the sums over all patients."""
        held = self.exact > 0
        sums = [(self.weight * np.exp(slope * self.score)).sum(axis=-1) for slope in SLOPES]
        rule = np.stack(sums, axis=-1)
        return float(np.max(np.abs(rule / np.where(held, self.exact, 1.0) - 1.0)[held], initial=0.0))

    def nodes(self, patterns: np.ndarray) -> Nodes:
        """Exposure as nodes for each of ``patterns``, which must have all of these patients' in it."""
        aligned = self._for_patterns(patterns)
        return Nodes(patterns, aligned.score, aligned.weight)

    def __add__(self, other: AggregatedExposure) -> AggregatedExposure:
        """Both sets of patients together."""
        own, others = (
            (x.arms, x.studies, x.covariate_names, x.measure, tuple(map(float, x.cuts)))
            for x in (self, other)
        )
        if own != others:
            raise InputError(f"aggregated exposures of {own} and of {others} cannot be added")
        patterns = np.unique(np.vstack([self.patterns, other.patterns]), axis=0)
        _check_patterns(patterns)
        a, b = self._for_patterns(patterns), other._for_patterns(patterns)
        score, weight = np.zeros_like(a.score), np.zeros_like(a.weight)
        for cell in np.ndindex(score.shape[:2]):
            at, mass = (
                np.concatenate([x[cell], y[cell]]) for x, y in ((a.score, b.score), (a.weight, b.weight))
            )
            at, mass = gauss_rule(at, mass, nodes=NODES)
            score[cell][: len(at)], weight[cell][: len(at)] = at, mass
        sums = {name: getattr(a, name) + getattr(b, name) for name in _SUMS}
        return replace(a, **sums, longest=np.maximum(a.longest, b.longest), score=score, weight=weight)

    def _for_patterns(self, patterns: np.ndarray) -> AggregatedExposure:
        """With one row for each of ``patterns``; those without patients have zeros."""
        row = {tuple(pattern): i for i, pattern in enumerate(patterns.tolist())}
        try:
            where = [row[tuple(pattern)] for pattern in self.patterns.tolist()]
        except KeyError as missing:
            raise InputError(
                f"no pattern of {len(patterns)} has arm and covariates {missing}; lay out all exposures "
                "together"
            ) from missing

        placed: dict[str, Any] = {}
        for name in (*_SUMS, "longest", "score", "weight"):
            values = getattr(self, name)
            placed[name] = np.zeros((len(patterns), *values.shape[1:]))
            placed[name][where] = values
        return replace(self, patterns=patterns, **placed)


def _check_patterns(patterns: np.ndarray) -> None:
    if len(patterns) > MOST_PATTERNS:
        raise InputError(
            f"the arms and covariates of these patients make more than {MOST_PATTERNS} different patterns; "
            "cut continuous covariates into a few classes"
        )


def aggregate(data: Exposure) -> AggregatedExposure:
    """The sums of these patients.

    Raises
    ------
    InputError
        Arm and covariates take more than ``MOST_PATTERNS`` combinations of values, or an event lies between
        two assessments.
    """
    refuse_stretches(data, "sums of patients")
    if data.between.any() or data.assessed_before is not None:
        raise InputError(
            f"{counted(int(data.between.sum()), 'event')} between two assessments cannot be added up to "
            'sums; expected events on known days: progression="at the scan"'
        )
    pattern, patterns = _patterns(data)
    interval, since_start = data.interval, data.since_start
    cell = pattern * data.n_intervals + interval
    shape = (len(patterns), data.n_intervals)
    had_event = data.event > 0
    hit_scores = data.score[had_event]
    low, high = data.score.min(), data.score.max()
    levels, bounds = _few_distinct(data.score), ((low + high) / 2, (high - low) / 2)
    sums = _cell_sums(data.score, cell, since_start, shape, levels=levels, bounds=bounds)
    widths = np.append(np.diff(data.starts), 0.0)[:, None]
    # a patient spends the whole of every interval before the last one, and part of that
    later = np.concatenate(
        [sums[0][:, ::-1].cumsum(axis=1)[:, -2::-1], np.zeros_like(sums[0][:, :1])], axis=1
    )
    integrals = sums[1] + widths * later
    moments, exact = integrals[..., : -len(SLOPES)], integrals[..., -len(SLOPES) :]
    if levels is None:
        score, weight = rules_of_moments(moments, bounds)
        _mend(score, weight, moments, bounds, data, pattern)
    else:
        spare = [(0, 0), (0, 0), (0, NODES - len(levels))]
        weight = np.pad(moments, spare)
        score = np.where(weight > 0, np.pad(levels, (0, NODES - len(levels))), 0.0)
    longest = np.zeros(len(patterns))
    np.maximum.at(longest, pattern, data.time)
    return AggregatedExposure(
        patterns=patterns,
        n_by_pattern=np.bincount(pattern, minlength=len(patterns)),
        scores=np.bincount(pattern, data.score, minlength=len(patterns)),
        hits=np.bincount(cell[had_event], minlength=np.prod(shape)).reshape(shape).astype(float),
        score_hits=np.bincount(pattern[had_event], hit_scores, minlength=len(patterns)),
        score_hits_by_interval=np.bincount(cell[had_event], hit_scores, np.prod(shape)).reshape(shape),
        longest=longest,
        score=score,
        weight=weight,
        exact=exact,
        cuts=data.cuts,
        arms=data.arms,
        covariate_names=data.covariate_names,
        measure=data.measure,
        terms=data.terms,
        studies=data.studies,
    )


def _patterns(data: Exposure) -> tuple[np.ndarray, np.ndarray]:
    """Each patient's pattern by number, and the patterns."""
    code, found = pd.factorize(data.stratum)
    for column in data.covariates.T:
        own, values = pd.factorize(column)
        code, found = pd.factorize(code * len(values) + own)
        _check_patterns(found)
    example = np.zeros(len(found), int)
    example[code] = np.arange(data.n)
    patterns = np.column_stack([data.stratum[example], data.covariates[example]]).astype(float)
    order = np.lexsort(patterns.T[::-1])
    return np.argsort(order)[code], patterns[order]


def _few_distinct(score: np.ndarray) -> np.ndarray | None:
    """The distinct scores, if there are no more than nodes: then the sums are of the scores themselves."""
    if len(pd.unique(score[: 20 * NODES])) > NODES:
        return None
    found = pd.unique(score)
    return np.sort(found) if len(found) <= NODES else None


def _cell_sums(
    score: np.ndarray,
    cell: np.ndarray,
    since_start: np.ndarray,
    shape: tuple[int, int],
    *,
    levels: np.ndarray | None,
    bounds: tuple[float, float],
) -> np.ndarray:
    """Sums over the patients who end in each cell: of functions of their score, alone and times the months
    in the cell, (2, pattern, interval, function). Functions: indicators of ``levels``, or Chebyshev
    polynomials on ``bounds``; then exp at ``SLOPES``."""
    cells = int(np.prod(shape))
    total = 0.0
    for start in range(0, len(score), _BLOCK):
        block = slice(start, start + _BLOCK)
        own, size = score[block], len(score[block])
        basis = (
            chebyshev((own - bounds[0]) / bounds[1])
            if levels is None
            else (own == levels[:, None]).astype(float)
        )
        functions = np.concatenate([basis, np.exp(np.multiply.outer(SLOPES, own))])
        at = np.column_stack([cell[block], cell[block] + cells])
        with_months = np.column_stack([np.ones(size), since_start[block]])
        members = csr_array(
            (with_months.ravel(), at.ravel(), np.arange(0, 2 * size + 1, 2)), shape=(size, 2 * cells)
        )
        total = total + members.T @ np.ascontiguousarray(functions.T)
    return np.reshape(total, (2, *shape, -1))


def _mend(
    score: np.ndarray,
    weight: np.ndarray,
    moments: np.ndarray,
    bounds: tuple[float, float],
    data: Exposure,
    pattern: np.ndarray,
) -> None:
    """Make anew, from the patients, the rules that do not give their moments back (of few patients)."""
    basis = chebyshev(((score - bounds[0]) / bounds[1]).ravel()).reshape(-1, *score.shape)
    off = np.abs((weight * basis).sum(axis=-1) - np.moveaxis(moments, -1, 0)).max(axis=0)
    for p, k in np.argwhere(~(off <= _MOMENT_ERROR * moments[..., 0])):
        score[p, k], weight[p, k] = 0.0, 0.0
        if moments[p, k, 0] > 0:
            own = (pattern == p) & (data.time > data.starts[k])
            months = np.minimum(data.time[own], data.ends[k]) - data.starts[k]
            at, mass = gauss_rule(data.score[own], months, nodes=NODES)
            score[p, k, : len(at)], weight[p, k, : len(at)] = at, mass


AnyExposure = Exposure | AggregatedExposure
