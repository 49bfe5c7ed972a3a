"""Missing covariates. Values are imputed several times, given everything else that is known of a patient.

Predictors are arm, study, shrinkage, the event, the Nelson-Aalen cumulative hazard at the end of follow-up,
that times shrinkage, and the other covariates; several covariates with missing values are imputed in turn
(chained equations). As that knows the outcome to first order only, values are then drawn again and again,
given all but the outcome, times the likelihood of the outcome under hazards that are drawn given the values:
with the slope of each arm and the columns of the covariates, as the analysis has them. Taken to be missing at
random: whether a value is missing may depend on all of these, and not on the value itself.
White & Royston 2009, doi:10.1002/sim.3618; van Buuren 2007, doi:10.1177/0962280206074463; Bartlett et al.
2015, doi:10.1177/0962280214521348.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.assumptions.hazard import Hazard
from bayes_net.data.exposure import Exposure, expose
from bayes_net.data.intervals import equal_event_cuts, one_hot
from bayes_net.data.landmarks import LandmarkSet
from bayes_net.data.terms import Covariate
from bayes_net.engine.imputation import (
    DONORS,
    FollowUp,
    candidates,
    chances,
    chosen,
    drawn_hazards,
    drawn_levels,
    drawn_match,
    drawn_normal,
)
from bayes_net.engine.layout import Layout, layout
from bayes_net.errors import InputError
from bayes_net.inference.imputation import brief_fit, pooled, seeds_of
from bayes_net.schema import (
    IMPUTATION,
    NUTS,
    PATIENT,
    SAMPLE_DIMS,
)
from bayes_net.tables.values import as_levels

if TYPE_CHECKING:
    from bayes_net.inference.sampling import Sampler

MATCHING, NORMAL = "matching", "normal"
NUMBERS = (MATCHING, NORMAL)
"""How a number is imputed: as a value that occurs, near to the prediction with another patient's error, or as
the prediction and a normal error."""
CYCLES, COMPATIBLE = 10, 5
"""Rounds in which each of several covariates is imputed given the others, with the outcome as a predictor;
and rounds after these, in which the hazards themselves tell of it."""
INTERVALS = 20
"""Of baseline hazards while values are imputed, with as many events each."""


@dataclass(frozen=True)
class Imputation:
    """How often covariates are completed, and how their numbers are drawn (one of ``NUMBERS``)."""

    imputations: int = 20
    numbers: str = MATCHING

    def __post_init__(self) -> None:
        whole = isinstance(self.imputations, Integral) and not isinstance(self.imputations, bool)
        if not whole or self.imputations < 2:
            raise InputError(f"imputations is {self.imputations!r}; expected a whole number from 2")
        if self.numbers not in NUMBERS:
            raise InputError(f"numbers is {self.numbers!r}; expected one of {', '.join(NUMBERS)}")


def expose_imputed(
    landmarks: LandmarkSet,
    label: str,
    *,
    covariates: Sequence[Covariate],
    seed: int,
    how: Imputation = Imputation(),
    **exposed: Any,
) -> tuple[Exposure, ...]:
    """The exposure of the patients at the landmark ``label`` with completed covariates, once for each
    imputation; one alone if nothing is missing there.

    Values are imputed among the patients of this landmark, and columns, of splines and of arms too, are
    computed of completed values. ``exposed`` are the other arguments of ``expose``.

    Raises
    ------
    InputError
        Hardly a value of a covariate is known at the landmark.
    """
    table = landmarks.at(label)
    gaps = [each.name for each in covariates if each.name in table and table[each.name].isna().any()]
    if not gaps:
        return (expose(landmarks, label, covariates=covariates, **exposed),)
    everyone = landmarks.table.drop_duplicates(PATIENT)
    terms = tuple(each.with_knots(everyone.get(each.name)) for each in covariates)
    data = expose(landmarks, label, **exposed)
    names = tuple(name for each in terms for name in each.columns)
    completed = []
    for own in impute_covariates(table, data, terms, how, seed=seed, label=label):
        columns = np.hstack([each.values(own) for each in terms])
        completed.append(replace(data, covariates=columns, covariate_names=names, terms=terms))
    return tuple(completed)


def impute_covariates(
    table: pd.DataFrame,
    data: Exposure,
    terms: Sequence[Covariate],
    how: Imputation,
    *,
    seed: int,
    label: str = "",
) -> list[pd.DataFrame]:
    """``table`` with no covariate missing, once for each imputation; the same ``seed`` gives the same values.

    Its rows are the patients of ``data``, whose arm, study, score, event and time predict.
    """
    ordered = sorted(terms, key=lambda each: table[each.name].isna().sum())
    gaps = [each for each in ordered if table[each.name].isna().any()]
    fixed, plain = _predictors(data, by_arm=any(each.arms for each in terms)), _before_outcome(data)
    follow_up = _follow_up(data)
    for each in gaps:
        _refuse_unknown(table[each.name].notna().sum(), each, fixed.shape[1], label)
    completed = []
    for number in range(1, how.imputations + 1):
        rng = np.random.default_rng([seed, number])
        now = {each.name: _started(table[each.name], each, rng) for each in terms}

        def beside(each: Covariate, known: np.ndarray, now: dict = now) -> np.ndarray:
            others = [_dummy_coded(now[other.name], other) for other in terms if other.name != each.name]
            return np.column_stack([known, *others])

        for _ in range(CYCLES if len(gaps) > 1 else 1):
            for each in gaps:
                known = table[each.name].notna().to_numpy()
                now[each.name] = _drawn_values(now[each.name], known, beside(each, fixed), each, how, rng)
        for _ in range(COMPATIBLE):
            for each in gaps:
                known, x = table[each.name].notna().to_numpy(), beside(each, plain)
                current = table.assign(**now)
                now[each.name] = _given_outcome(current, known, x, data, follow_up, terms, each, how, rng)
        completed.append(table.assign(**{each.name: now[each.name] for each in gaps}))
    return completed


def nelson_aalen(data: Exposure) -> np.ndarray:
    """The cumulative hazard of each patient's arm at the end of its follow-up; an event between two
    assessments counts at the later one."""
    found = np.zeros(data.n)
    for arm in range(len(data.arms)):
        own = data.arm == arm
        times = np.sort(data.time[own])
        at, events = np.unique(data.time[own & (data.event == 1)], return_counts=True)
        steps = np.cumsum(events / (len(times) - np.searchsorted(times, at, side="left")))
        found[own] = np.concatenate([[0.0], steps])[np.searchsorted(at, data.time[own], side="right")]
    return found


def _predictors(data: Exposure, *, by_arm: bool) -> np.ndarray:
    """What predicts a missing value beside the other covariates, (patient, predictor); where hazard ratios
    are of each arm, follow-up predicts in each arm otherwise."""
    hazard, plain = nelson_aalen(data), _before_outcome(data)
    follow_up, arms = np.column_stack([data.event, hazard]), plain[:, 1 : len(data.arms)]
    crossed = [follow_up * arms[:, [a]] for a in range(arms.shape[1])] if by_arm else []
    # where shrinkage changes the hazard, time at risk tells of the covariate the more the higher it is
    return np.column_stack([plain, data.score * hazard, follow_up, *crossed])


def _before_outcome(data: Exposure) -> np.ndarray:
    """Shrinkage, arms and studies, (patient, predictor)."""
    arms = one_hot(data.arm, len(data.arms))[:, 1:]
    studies = [] if data.study is None else [one_hot(data.study, len(data.studies))[:, 1:]]
    return np.column_stack([data.score, arms, *studies])


def _refuse_unknown(known: int, covariate: Covariate, predictors: int, label: str) -> None:
    if known < predictors + DONORS:
        where = f"landmark {label!r}: " if label else ""
        raise InputError(
            f"{where}covariate {covariate.name!r} is known of {known} patients; expected at least "
            f"{predictors + DONORS}, to impute those of the others. Leave the covariate or the landmark out"
        )


def _started(column: pd.Series, covariate: Covariate, rng: np.random.Generator) -> np.ndarray:
    """The column with known values, drawn at random, in the place of those that are missing."""
    known = column.notna().to_numpy()
    if covariate.levels:
        spelled = dict(zip(as_levels(covariate.levels), covariate.levels, strict=True))
        values = np.array([spelled.get(x, x) for x in as_levels(column)], dtype=object)
    else:
        values = column.to_numpy(float).copy()
    values[~known] = rng.choice(values[known], (~known).sum())
    return values


def _dummy_coded(values: np.ndarray, covariate: Covariate) -> np.ndarray:
    """A completed covariate as a predictor of others: a number, or a column for each level but the first."""
    if not covariate.levels:
        return values.astype(float)[:, None]
    return (values[:, None] == np.array(covariate.levels[1:], dtype=object)).astype(float)


def _drawn_values(
    values: np.ndarray,
    known: np.ndarray,
    predictors: np.ndarray,
    covariate: Covariate,
    how: Imputation,
    rng: np.random.Generator,
) -> np.ndarray:
    """``values`` with those that are not ``known`` drawn anew, given the predictors."""
    x = _standardised(predictors, known)
    draw = drawn_levels if covariate.levels else drawn_match if how.numbers == MATCHING else drawn_normal
    found = values.copy()
    found[~known] = draw(values[known], x[known], x[~known], rng)
    return found


def _given_outcome(
    table: pd.DataFrame,
    known: np.ndarray,
    predictors: np.ndarray,
    data: Exposure,
    follow_up: FollowUp,
    terms: Sequence[Covariate],
    covariate: Covariate,
    how: Imputation,
    rng: np.random.Generator,
) -> np.ndarray:
    """The completed values of a covariate of ``table``, with those that are not ``known`` drawn anew: given
    the predictors, of which the outcome is none, times the likelihood of the outcome."""
    x, values = _standardised(predictors, np.ones(len(table), bool)), table[covariate.name].to_numpy()
    if covariate.levels:
        levels, chance = chances(values, x, x[~known], rng)
        may_be, log_weight = np.broadcast_to(levels, chance.shape), np.log(chance + 1e-300)
    else:
        may_be, log_weight = candidates(values, x, known, rng, matched=how.numbers == MATCHING), 0.0
    of = np.flatnonzero(~known)
    hazards = drawn_hazards(follow_up, _columns(table, data, terms, np.arange(len(table))), rng)
    each = np.repeat(of, may_be.shape[1])
    there = table.iloc[each].assign(**{covariate.name: may_be.ravel()})
    columns = _columns(there, data, terms, each).reshape(*may_be.shape, -1)
    found = values.copy()
    which = chosen(log_weight + hazards.log_likelihood(data.event, of, columns), rng)
    found[of] = may_be[np.arange(len(of)), which]
    return found


def _follow_up(data: Exposure) -> FollowUp:
    """Follow-up in intervals of its own: of a baseline that is too plain the covariate would make up."""
    fine = replace(data, cuts=equal_event_cuts(data.time, data.event, intervals=INTERVALS))
    return FollowUp(fine.event, fine.interval, fine.months, fine.stratum)


def _columns(table: pd.DataFrame, data: Exposure, terms: Sequence[Covariate], of: np.ndarray) -> np.ndarray:
    """What hazards follow, (row, column): shrinkage in each arm, and the columns of covariates."""
    shrinkage = one_hot(data.arm[of], len(data.arms)) * data.score[of, None]
    return np.hstack([shrinkage, *[each.values(table) for each in terms]])


def _standardised(predictors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """1, and predictors that vary in ``rows``, with mean 0 and SD 1 there."""
    spread = predictors[rows].std(axis=0)
    varies = spread > 0
    x = (predictors[:, varies] - predictors[rows][:, varies].mean(axis=0)) / spread[varies]
    return np.column_stack([np.ones(len(x)), x])


def fit_completed(
    completed: Sequence[Exposure],
    hazard: Hazard | None = None,
    *,
    seed: int,
    sampler: Sampler | None = None,
    shape: Layout | None = None,
    passes: Callable[[xr.DataTree], bool] | None = None,
    brief: bool = False,
) -> xr.DataTree:
    """The posterior where covariates are missing: the mixture of fits to completed data sets, ``widened``.

    Draws of all imputations stand side by side along ``chain``, as many of each, with a coordinate
    ``imputation`` by which ``gate`` and ``summarise`` keep them apart. Groups are those of a ``brief`` fit
    and, unless it is one, ``prior`` and ``observed_data``; there is no ``log_likelihood``, which of completed
    patients tells nothing. A single exposure has its ordinary fit. One that does not satisfy ``passes`` is
    sampled once more, more carefully.
    """
    from bayes_net.inference.patients import fit
    from bayes_net.inference.sampling import Sampler, careful

    sampler = sampler or Sampler()
    if len(completed) == 1:
        return fit(completed[0], hazard, seed=seed, sampler=sampler, shape=shape, brief=brief)
    sampler = replace(sampler, method=NUTS)  # chains of all imputations have the same statistics
    shape, trees, whole = shape or layout(completed), [], {}
    for number, (own, own_seed) in enumerate(zip(completed, seeds_of(seed, len(completed)), strict=True)):

        def sampled(how: Sampler, seed: int, own: Exposure = own, number: int = number) -> xr.DataTree:
            all_of_it = number == 0 and not brief
            tree = fit(own, hazard, seed=seed, sampler=how, shape=shape, brief=not all_of_it)
            if all_of_it:
                kept = [name for name in ("prior", "observed_data") if name in tree.children]
                whole.update({name: tree[name].to_dataset() for name in kept})
            return brief_fit(tree)

        seeds = [own_seed] if passes is None else [own_seed, seeds_of(own_seed, 2)[0]]
        trees.append(careful(sampled, passes or (lambda _: True), sampler=sampler, seeds=seeds))
    groups = pooled(trees) | whole | {"constant_data": trees[0]["constant_data"].to_dataset()}
    groups["posterior"] = widened(groups["posterior"])
    most = max(tree.attrs["attempts"] for tree in trees)
    attrs = trees[0].attrs | {"seed": seed, "attempts": most, "imputations": len(trees)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **groups}, name="fit")


def widened(posterior: xr.Dataset) -> xr.Dataset:
    """Draws of so many imputations, M, with the variance of Rubin's rules: W within and (1 + 1/M) B between.

    Imputations whose means have the sample variance B are a mixture with (1 - 1/M) B, which of few of them is
    too little (Zhou and Reiter 2010, doi:10.1198/tast.2010.09109). Each imputation's draws of log hazards and
    their ratios are moved away from the mean of all, so that B is (M + 1) / (M - 1) times what it was.
    """
    moved = {}
    # standard deviations are above 0 and add to no log hazard by themselves
    for name in (name for name in posterior.data_vars if not str(name).endswith("_sd")):
        means = posterior[name].groupby(IMPUTATION).mean(SAMPLE_DIMS)
        count = means.sizes[IMPUTATION]
        away = (np.sqrt((count + 1) / (count - 1)) - 1) * (means - means.mean(IMPUTATION))
        own = away.sel({IMPUTATION: posterior[IMPUTATION]})
        moved[name] = (posterior[name] + own).transpose(*posterior[name].dims)
    return posterior.assign(moved)
