"""Averages over patients: differences of arms in survival and in restricted means, and where patients are
from state to state.

Hazards of arms with baselines of their own have no single ratio; these differences are defined whatever the
hazards do (Royston and Parmar 2013, doi:10.1186/1471-2288-13-152).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_net import schema
from bayes_net.assumptions.hazard import slope_in_force
from bayes_net.data.exposure import Exposure, refuse_stretches, subset
from bayes_net.data.follow_up import TRANSITIONS
from bayes_net.data.gauss import refuse_error
from bayes_net.data.intervals import one_hot, person_time
from bayes_net.data.terms import in_arm
from bayes_net.errors import InputError, listed
from bayes_net.estimands.diagnostics import blocks
from bayes_net.estimands.ratios import scores_of
from bayes_net.estimands.survival import average_survival, standardised_survival, study_shares
from bayes_net.inference.closed_form import hazards_by_stratum, parameters
from bayes_net.model.predictors import log_hazard
from bayes_net.schema import (
    ARM,
    COVARIATE,
    COVARIATE_EFFECT,
    INTERVAL,
    LOG_HAZARD,
    SAMPLE_DIMS,
    STATE,
    STUDY,
    TIME,
)
from bayes_net.statistics.balance import balanced_again, balancing_weights, effective_number

STATES = ("alive without progression", "alive with progression", "dead")
"""States of an illness-death model."""


OWN_SHRINKAGE, SAME_SHRINKAGE, OWN_PATIENTS = "own shrinkage", "same shrinkage", "own patients"
OVER = (OWN_SHRINKAGE, SAME_SHRINKAGE, OWN_PATIENTS)
"""Whom an arm's survival is averaged over, where arms are compared."""


def arm_differences(
    fit: xr.DataTree,
    data: Exposure,
    times: Sequence[float] | np.ndarray,
    *,
    horizon: float,
    over: str = OWN_SHRINKAGE,
    seed: int | Sequence[int] | None = None,
) -> xr.Dataset:
    """Each later arm minus the first: ``survival`` (chain, draw, arm, time) at ``times`` and ``rmst`` (chain,
    draw, arm), in months, until ``horizon``; both in months after the landmark. What is compared:
    ``survival_later``, ``rmst_later`` of the later arm, ``survival_first``, ``rmst_first`` of the first; and
    ``n_later``, ``n_first``, how many patients with equal weights would tell as much.

    Standardised (g-computation: Robins 1986, doi:10.1016/0270-0255(86)90088-6) over the patients at risk at
    the landmark, of all arms together, in one of three ways (``over``):

    "own shrinkage": both arms with the covariates of all patients, and each with the shrinkage that its
    patients with such covariates have. Shrinkage follows treatment, so this is the whole difference after the
    landmark, what goes through shrinkage with the rest. Without shrinkage in the model every patient is put
    into each arm; with it an arm's own patients are weighted to the covariates' means over all patients
    (``balancing_weights``): exact for the levels of one category, else as far as means describe covariates.

    "same shrinkage": every patient, with covariates and shrinkage, is put into each arm: a controlled
    contrast, of what differs between arms at equal shrinkage. It is not the part of an effect that does not
    go through shrinkage, unless nothing else is behind both shrinkage and survival.

    "own patients": each arm over its own patients, as Kaplan-Meier curves are; covariates may differ.

    The averages are over these patients; with a ``seed`` over all patients such as these, who would have
    other covariates and other shrinkage: in every draw each patient counts as often as in a draw of the
    Bayesian bootstrap (Rubin 1981, doi:10.1214/aos/1176345338), and weights balance anew.
    After a landmark none is a randomised comparison: patients were selected by reaching it.

    Of several studies with baselines of their own, arms are compared within studies: over the studies that
    tell of both arms, each of which has its share of their patients (for "own patients", of those in both
    arms) in the average of either arm.

    Raises
    ------
    InputError
        There is one arm, no study tells of both arms, ``over`` is none of these, or no weights give an arm's
        patients the covariates of all.
    """
    if over not in OVER:
        raise InputError(f"over = {over!r} is unknown; expected one of {', '.join(OVER)}")
    if len(data.arms) == 1:
        raise InputError(f"the only arm is {data.arms[0]}; a difference of arms needs two")
    refuse_stretches(data, "survival of an arm")
    refuse_error(data, "survival of an arm")
    over, drawn = _over(fit, over), tuple(fit["posterior"].sizes[dim] for dim in SAMPLE_DIMS)
    counts = None if seed is None else np.random.default_rng(seed).standard_exponential((*drawn, data.n))
    found: dict[str, list] = {}
    worth: dict[str, list] = {}
    for later in range(1, len(data.arms)):
        both = _of_both(fit, data, later, over)
        own, often = subset(data, both), None if counts is None else counts[..., both]
        for side, a in {"first": 0, "later": later}.items():
            of, weights = _standing_for(own, a, (0, later), over)
            worth.setdefault(f"n_{side}", []).append(effective_number(weights[of.arm == a]))
            if often is not None:
                weights = _counted(own, a, (0, later), over, often)
            curves = standardised_survival(fit, of, times, weights=weights).isel({ARM: a}, drop=True)
            found.setdefault(f"survival_{side}", []).append(curves)
            found.setdefault(f"rmst_{side}", []).append(_standardised_rmst(fit, of, a, horizon, weights))
    arms = {ARM: list(data.arms[1:])}
    levels = {
        name: xr.concat(own, dim=ARM).assign_coords(arms).transpose(*SAMPLE_DIMS, ARM, ...)
        for name, own in found.items()
    }
    quantities = ("survival", "rmst")
    differences = {q: levels[f"{q}_later"] - levels[f"{q}_first"] for q in quantities}
    return xr.Dataset(differences | levels).assign({name: (ARM, own) for name, own in worth.items()})


def comparable(fit: xr.DataTree, data: Exposure, *, over: str = OWN_SHRINKAGE) -> bool:
    """Whether each later arm can be compared with the first, over these patients and within studies."""
    over = _over(fit, over)
    for later in range(1, len(data.arms)):
        if not _shared(fit, data, later, over).any():
            return False
        if over == OWN_SHRINKAGE:
            own = subset(data, _of_both(fit, data, later, over))
            if any(_balanced(own, a) is None for a in (0, later)):
                return False
    return True


def _over(fit: xr.DataTree, over: str) -> str:
    """Without shrinkage in the model all have the same."""
    return SAME_SHRINKAGE if over == OWN_SHRINKAGE and schema.SLOPE not in fit["posterior"] else over


def _shared(fit: xr.DataTree, data: Exposure, later: int, over: str) -> np.ndarray:
    """Which studies, of one all patients, tell of the first arm and a later one: have patients of both or,
    where each patient is put into both arms, baselines of both."""
    if not data.studies:
        return np.ones(1, bool)
    everyone = over == SAME_SHRINKAGE
    known = study_shares(fit).transpose(STUDY, ARM).values if everyone else data.n_by_stratum
    return np.all(known[:, [0, later]] > 0, axis=1)


def _of_both(fit: xr.DataTree, data: Exposure, later: int, over: str) -> np.ndarray:
    """Which patients are of a study that tells of the first arm and a later one."""
    shared = _shared(fit, data, later, over)
    if not shared.any():
        raise InputError(
            f"no study has patients of both {data.arms[0]} and {data.arms[later]}, and each has a baseline "
            "of its own; expected a study with both arms, or baselines that studies share"
        )
    return np.ones(data.n, bool) if data.study is None else shared[data.study]


def _standing_for(data: Exposure, arm: int, arms: tuple[int, int], over: str) -> tuple[Exposure, np.ndarray]:
    """The patients, and their weights, whose average is that of an ``arm``."""
    if over == SAME_SHRINKAGE:
        there = in_arm(data.covariates, data.terms, data.arms[arm])
        return replace(data, arm=np.full(data.n, arm), covariates=there), np.ones(data.n)
    if over == OWN_PATIENTS:
        return data, _as_studies(data, arms)
    weights = _balanced(data, arm)
    if weights is None:
        raise InputError(
            f"no weights give the patients of {data.arms[arm]} the covariates that all patients have: "
            f'expected arms whose covariates overlap; take over="{OWN_PATIENTS}" or "{SAME_SHRINKAGE}", or '
            "leave out a covariate whose values are of one arm"
        )
    return data, weights


def _counted(data: Exposure, arm: int, arms: tuple[int, int], over: str, counts: np.ndarray) -> np.ndarray:
    """The weights of ``_standing_for``, (chain, draw, patient), if each patient counts so often."""
    if over == SAME_SHRINKAGE:
        return counts
    if over == OWN_PATIENTS:
        return counts * _as_studies(data, arms, counts)
    own, values, weights = data.arm == arm, _to_balance(data), counts.copy()
    if own.any() and values.shape[1]:
        target = (counts @ values / counts.sum(axis=-1, keepdims=True)).reshape(-1, values.shape[1])
        often = counts[..., own].reshape(-1, own.sum())
        found = [balanced_again(values[own], target[rows], often[rows]) for rows in blocks(often)]
        weights[..., own] = np.concatenate(found).reshape(*counts.shape[:2], -1)
    return weights


def _to_balance(data: Exposure) -> np.ndarray:
    """What both arms are to share: covariates of the same patients, whatever their arm, and studies."""
    values = in_arm(data.covariates, data.terms, data.arms[0])
    studies = [] if data.study is None else [one_hot(data.study, len(data.studies))]
    return np.column_stack([values, *studies])


def _balanced(data: Exposure, arm: int) -> np.ndarray | None:
    """Weights with which an arm's patients have the covariates, and studies, of all in their means; 1 for
    patients of other arms."""
    values = _to_balance(data)
    own, weights = data.arm == arm, np.ones(data.n)
    if not own.any():
        return weights
    found = balancing_weights(values[own], values.mean(axis=0))
    if found is None:
        return None
    weights[own] = found
    return weights


def _as_studies(data: Exposure, arms: tuple[int, int], counts: np.ndarray | None = None) -> np.ndarray:
    """Weights with which each arm has its patients' studies in the shares that they have in ``arms``
    together; of patients who each count so often, (..., patient)."""
    if data.study is None:
        return np.ones(data.n)
    each = np.ones(data.n) if counts is None else counts
    of_stratum = each @ one_hot(data.stratum, len(data.studies) * len(data.arms))
    table = of_stratum.reshape(*each.shape[:-1], len(data.studies), len(data.arms))
    return table[..., arms].sum(axis=-1)[..., data.study] / table[..., data.study, data.arm]


def _standardised_rmst(
    fit: xr.DataTree, data: Exposure, arm: int, horizon: float, weights: np.ndarray
) -> xr.DataArray:
    """Restricted mean survival time averaged over an arm's patients, (chain, draw); missing without any."""
    drawn = parameters(fit["posterior"].to_dataset())
    months = person_time(np.array([horizon]), data.cuts)[0]
    sums, whole = np.zeros(drawn.baseline.shape[:2]), weights[..., data.arm == arm].sum(axis=-1)
    for a, own, baseline, added in hazards_by_stratum(drawn, data):
        if a != arm:
            continue
        relative, weight = np.moveaxis(added, 2, 0), weights[..., own]
        for rows in blocks(relative):  # the hazards of all would be as large as the draws
            pieces = np.exp(baseline + relative[rows]) * months
            at_start = np.exp(pieces - pieces.cumsum(axis=-1))
            each = (at_start * average_survival(pieces) * months).sum(axis=-1)
            sums += np.einsum("...i,i...", weight[..., rows], each)
    total = sums / whole if data.n_by_arm[arm] else np.full(sums.shape, np.nan)
    coords = {dim: fit["posterior"][dim].values for dim in SAMPLE_DIMS}
    return xr.DataArray(total, coords, SAMPLE_DIMS)


def state_probabilities(
    fits: Mapping[str, xr.DataTree],
    data: Exposure,
    times: Sequence[float] | np.ndarray,
    *,
    shrinkage: Sequence[float],
) -> xr.DataArray:
    """Probability of each of the ``STATES`` of an illness-death model at ``times`` (months after the
    landmark), of patients who are without progression at the landmark: dims (chain, draw, state, arm,
    shrinkage, time).

    ``fits`` are of the exposures of ``transitions``, by the names of the transitions. ``data`` is that of
    progression, over whose covariates, of all arms together, is averaged (g-computation): arms and shrinkages
    are then compared in patients with the same covariates; over studies as ``survival`` is. The hazard of
    death after progression depends on the time since the landmark, not on that since progression (Markov).
    Exact for piecewise-constant hazards. Survival is the sum of the first two states.

    Reference: Andersen and Keiding 2002, doi:10.1191/0962280202sm276ra.

    Raises
    ------
    InputError
        A transition is missing.
    """
    if missing := [name for name in TRANSITIONS if name not in fits]:
        raise InputError(
            f"fits of {listed(fits)}; expected those of {listed(TRANSITIONS)}, without {missing[0]}"
        )
    grid, total = np.asarray(times, float), 0.0
    cuts = np.concatenate([fits[name]["constant_data"]["interval_start"].values for name in TRANSITIONS])
    edges = np.unique(np.concatenate([[0.0], cuts, grid]))
    edges = edges[edges <= grid.max(initial=0.0)]
    studies: tuple[str | None, ...] = data.studies or (None,)
    values = in_arm(data.covariates, data.terms, data.arms[0])  # of the same patients, whatever their arm
    for number, study in enumerate(studies):
        own = values if study is None else values[data.study == number]
        share = 1.0 if study is None else _share_by_arm(fits[TRANSITIONS[0]], study)
        for row, count in zip(*np.unique(own, axis=0, return_counts=True), strict=True):
            by_arm = xr.DataArray([in_arm(row, data.terms, arm) for arm in data.arms], dims=(ARM, COVARIATE))
            rates = [_rates(fits[name], edges[:-1], shrinkage, by_arm, study) for name in TRANSITIONS]
            probability = _occupied(rates[0], rates[1], rates[2], np.diff(edges)) * share
            total = total + probability[..., np.searchsorted(edges, grid)] * count / len(own)
    fit, arms = fits[TRANSITIONS[0]], list(data.arms)
    coords = {dim: fit["posterior"][dim].values for dim in SAMPLE_DIMS}
    coords |= {STATE: list(STATES), ARM: arms, schema.SHRINKAGE: list(map(float, shrinkage))}
    dims = (STATE, *SAMPLE_DIMS, ARM, schema.SHRINKAGE, TIME)
    found = xr.DataArray(total, {**coords, TIME: grid.tolist()}, dims, name="probability")
    return found.transpose(*SAMPLE_DIMS, STATE, ...)


def _share_by_arm(fit: xr.DataTree, study: str) -> np.ndarray:
    """The share of a study in the averages of each arm, (arm, shrinkage, time)."""
    return study_shares(fit).sel({STUDY: study}).values[:, None, None]


def _rates(
    fit: xr.DataTree,
    starts: np.ndarray,
    shrinkage: Sequence[float],
    covariates: xr.DataArray,
    study: str | None,
) -> np.ndarray:
    """Hazard per month from each of ``starts`` on, of patients with these columns of covariates (arm,
    covariate): (chain, draw, arm, shrinkage, start)."""
    posterior, scores = fit["posterior"].to_dataset(), scores_of(fit, shrinkage)
    if study is not None:
        posterior = posterior.sel({STUDY: study})
    effect = xr.zeros_like(scores)
    if covariates.sizes[COVARIATE]:
        values = covariates.assign_coords({ARM: posterior[ARM]})
        effect = effect + (posterior[COVARIATE_EFFECT] * values).sum(COVARIATE)
    log_h = log_hazard(posterior[LOG_HAZARD], slope_in_force(posterior), scores, effect)
    own = np.searchsorted(fit["constant_data"]["interval_start"].values, starts, side="right") - 1
    return np.exp(log_h).transpose(*SAMPLE_DIMS, ARM, schema.SHRINKAGE, INTERVAL).values[..., own]


def _occupied(progress: np.ndarray, die: np.ndarray, die_after: np.ndarray, months: np.ndarray) -> np.ndarray:
    """Probability of each state, (state, ..., edge), from hazards that are constant between edges."""
    without, having = np.ones(progress.shape[:-1]), np.zeros(progress.shape[:-1])
    found = [(without, having)]
    for k, length in enumerate(months):
        left, after = (progress[..., k] + die[..., k]) * length, die_after[..., k] * length
        # who progresses within the interval, and lives until its end
        entering = progress[..., k] * length * np.exp(-np.minimum(left, after))
        having = having * np.exp(-after) + without * entering * average_survival(np.abs(left - after))
        without = without * np.exp(-left)
        found.append((without, having))
    alive = np.stack([np.stack(both) for both in found], axis=-1)
    return np.concatenate([alive, 1.0 - alive.sum(axis=0, keepdims=True)])
