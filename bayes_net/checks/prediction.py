"""Does knowing shrinkage predict better? Survival of patients who were left out, with it and without.

Every patient is predicted by a fit to the others (folds). The Brier score and the area under the ROC curve at
a time after the landmark weigh patients by the inverse probability of being followed so long (Graf et al.
1999, doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5; Uno et al. 2007,
doi:10.1198/016214507000000149).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.assumptions.hazard import Hazard
from bayes_net.assumptions.priors import NONE
from bayes_net.checks.predictive import kaplan_meier, step_values
from bayes_net.data.exposure import Exposure, refuse_stretches, subset
from bayes_net.data.gauss import refuse_error
from bayes_net.data.intervals import person_time
from bayes_net.engine.layout import layout
from bayes_net.errors import InputError
from bayes_net.inference.closed_form import hazards_by_stratum, parameters
from bayes_net.model.likelihoods import cumulative_hazard
from bayes_net.schema import AUC, BRIER, TIME

if TYPE_CHECKING:
    from bayes_net.inference.sampling import Sampler

FOLDS, RESAMPLES = 5, 1000
GROUPS = ("lowest third", "middle third", "highest third")
"""Patients by their predicted risk."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """How well patients who were left out are predicted.

    ``scores``: one row a time and score, with what the score is ``with_shrinkage`` and ``without``, their
    ``difference`` with limits from resampled patients (``lower``, ``upper``), ``n`` and ``events`` by then.
    Below 0 a difference of the Brier score, and above 0 one of the AUC, is an improvement. ``calibration``:
    one row a time and third of predicted risk, the mean ``predicted`` survival and the ``observed``
    (Kaplan-Meier).
    """

    scores: pd.DataFrame
    calibration: pd.DataFrame


def prediction(
    data: Exposure,
    hazard: Hazard | None = None,
    *,
    times: Sequence[float] = (6.0, 12.0),
    folds: int = FOLDS,
    seed: int,
    sampler: Sampler | None = None,
    ci_prob: float = 0.95,
) -> Prediction:
    """Cross-validated prediction of survival at ``times`` (months after the landmark) with shrinkage, and by
    a model that has the same arms, baselines and covariates and no shrinkage.

    Times beyond an arm's last follow-up are left out. Where progression lies between scans it counts on the
    day of the scan that showed it, in both models.

    Raises
    ------
    InputError
        The model has no slopes, or there are fewer patients than folds.
    """
    refuse_stretches(data, "predictions of survival")
    refuse_error(data, "predictions of survival")
    hazard = hazard or Hazard()
    if hazard.slopes == NONE or data.n < 2 * folds or folds < 2:
        raise InputError(
            f"{data.n} patients in {folds} folds and slopes = {hazard.slopes!r}; expected slopes, at least "
            "two folds, and at least two patients in each"
        )
    longest = min(data.last_follow_up[data.n_by_arm > 0])
    at = np.array([t for t in times if 0 < t <= longest], float)
    each = {
        name: out_of_sample(data, model, at, folds=folds, seed=seed, sampler=sampler)
        for name, model in (("with_shrinkage", hazard), ("without", replace(hazard, slopes=NONE)))
    }
    weights = _weights(data, at)
    rows = [
        row
        for j, t in enumerate(at)
        for row in _scores(data, [own[:, j] for own in each.values()], weights[:, j], t, seed, ci_prob)
    ]
    groups = [row for j, t in enumerate(at) for row in _calibration(data, each["with_shrinkage"][:, j], t)]
    columns = [TIME, "score", "n", "events", "with_shrinkage", "without", "difference", "lower", "upper"]
    return Prediction(
        pd.DataFrame(rows, columns=columns),
        pd.DataFrame(groups, columns=[TIME, "group", "n", "predicted", "observed"]),
    )


def out_of_sample(
    data: Exposure,
    hazard: Hazard,
    times: np.ndarray,
    *,
    folds: int = FOLDS,
    seed: int,
    sampler: Sampler | None = None,
) -> np.ndarray:
    """Posterior mean survival of each patient at ``times``, (patient, time), by a fit to the other folds."""
    from bayes_net.inference.patients import fit
    from bayes_net.inference.sampling import Sampler

    sampler = sampler or Sampler(draws=500, tune=500)
    fold, survival, shape = _folds(data, folds, seed), np.empty((data.n, len(times))), layout([data])
    for k in range(folds):
        held = fold == k
        tree = fit(subset(data, ~held), hazard, seed=seed + k, sampler=sampler, shape=shape, brief=True)
        survival[held] = predicted_survival(tree["posterior"].to_dataset(), subset(data, held), times)
    return survival


def predicted_survival(posterior: xr.Dataset, data: Exposure, times: np.ndarray) -> np.ndarray:
    """Posterior mean survival of these patients at ``times``, (patient, time)."""
    found, drawn = np.empty((data.n, len(times))), parameters(posterior)
    for _, own, baseline, added in hazards_by_stratum(drawn, data):
        for j, t in enumerate(times):
            months = np.broadcast_to(person_time(np.array([t]), data.cuts), (own.sum(), data.n_intervals))
            hazard = cumulative_hazard(np.exp(baseline), np.exp(added), months)
            found[own, j] = np.exp(-hazard).mean(axis=(0, 1))
    return found


def _folds(data: Exposure, folds: int, seed: int) -> np.ndarray:
    """The fold of each patient: as even as can be by arm and event."""
    order = np.random.default_rng(seed).permutation(data.n)
    order = order[np.lexsort((data.event[order], data.arm[order]))]
    fold = np.empty(data.n, int)
    fold[order] = np.arange(data.n) % folds
    return fold


def _weights(data: Exposure, times: np.ndarray) -> np.ndarray:
    """Inverse probability of being followed until an event, or until each time, (patient, time): 0 for who is
    censored before. Censoring is estimated in each arm."""
    weights = np.zeros((data.n, len(times)))
    for a in range(len(data.arms)):
        own = data.arm == a
        if not own.any():
            continue
        time, event = data.time[own], data.event[own]
        curve = kaplan_meier(time, 1 - event)
        # censorings on the day of an event come after it
        before = step_values(curve, np.nextafter(time, 0.0))
        for j, t in enumerate(times):
            followed = step_values(curve, np.array([t]))[0]
            weights[own, j] = np.where(
                (time <= t) & (event == 1), 1 / before, np.where(time > t, 1 / followed, 0.0)
            )
    return weights


def brier(status: np.ndarray, survival: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean square of what was predicted less what happened, by ``weights`` (..., patient); ``status`` is 1 of
    survivors."""
    return (weights * (status - survival) ** 2).sum(axis=-1) / weights.sum(axis=-1)


def auc(status: np.ndarray, survival: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probability that of a patient with an event and one without, the first had the lower predicted
    survival, by ``weights`` (..., patient); ties count half. NaN where all have events, or none has."""
    events, rest = status == 0, status == 1
    apart = survival[events][:, None] - survival[rest]
    of_events, of_rest = weights[..., events], weights[..., rest]
    right = ((of_events @ ((apart < 0) + 0.5 * (apart == 0))) * of_rest).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return right / (of_events.sum(axis=-1) * of_rest.sum(axis=-1))


def _scores(
    data: Exposure, survival: list[np.ndarray], weights: np.ndarray, t: float, seed: int, ci_prob: float
) -> Iterator[tuple]:
    """Both scores at one time, and how far resampled patients move their difference."""
    status = (data.time > t).astype(float)
    counts = np.random.default_rng(seed).multinomial(data.n, np.full(data.n, 1 / data.n), RESAMPLES)
    events = int((data.event[data.time <= t]).sum())
    tail = ((1 - ci_prob) / 2, (1 + ci_prob) / 2)
    for name, score in ((BRIER, brier), (AUC, auc)):
        own, without = (float(score(status, each, weights)) for each in survival)
        moved = score(status, survival[0], counts * weights) - score(status, survival[1], counts * weights)
        lower, upper = np.nanquantile(moved, tail) if np.isfinite(moved).any() else (np.nan, np.nan)
        yield t, name, data.n, events, own, without, own - without, float(lower), float(upper)


def _calibration(data: Exposure, survival: np.ndarray, t: float) -> Iterator[tuple]:
    """Predicted and observed survival at one time of three groups of patients."""
    third = np.argsort(np.argsort(-survival, kind="stable"), kind="stable") * len(GROUPS) // data.n
    for k, name in enumerate(GROUPS):
        own = third == k
        observed = np.nan
        if data.time[own].max() >= t:
            observed = step_values(kaplan_meier(data.time[own], data.event[own]), np.array([t]))[0]
        yield t, name, int(own.sum()), float(survival[own].mean()), float(observed)
