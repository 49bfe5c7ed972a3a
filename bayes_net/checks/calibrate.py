"""Do intervals of this design keep their promise? Trials with known parameters, fitted as the real one.

The patients of a design (arms, shrinkage, covariates, censoring, visits) get event times from parameters that
are drawn from the priors, and are fitted: the rank of each truth among its posterior draws is then uniform
(Talts et al. 2018, arXiv:1804.06788), and intervals cover it as often as they say. With slopes of 0 instead,
it is counted how often an association is found where there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.assumptions.hazard import Hazard
from bayes_net.assumptions.priors import NONE, Flat
from bayes_net.checks.predictive import censoring_times, latent_times
from bayes_net.data.exposure import Exposure, refuse_stretches
from bayes_net.data.gauss import refuse_error
from bayes_net.engine.layout import layout
from bayes_net.errors import InputError
from bayes_net.inference.closed_form import draw_prior, with_derived
from bayes_net.inference.closed_form import parameters as parameters_of
from bayes_net.schema import ARM, CHAIN, COMMON_SLOPE, DRAW, SLOPE, SLOPE_STEP

if TYPE_CHECKING:
    from bayes_net.inference.sampling import Sampler

PRIOR, NO_ASSOCIATION = "drawn from the prior", "no association"
THINNED = 199
"""Draws among which a truth is ranked: few enough to be nearly independent."""


def calibrate(
    data: Exposure,
    hazard: Hazard | None = None,
    *,
    replicates: int = 100,
    seed: int,
    truth: str = PRIOR,
    sampler: Sampler | None = None,
    ci_prob: float = 0.95,
    advance: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Slopes of trials like ``data`` whose truth is known: one row a replicate and arm.

    Columns: replicate, arm, ``events``, ``truth`` (log hazard ratio per unit of score), posterior ``mean``,
    ``sd``, ``lower``, ``upper``, ``rank`` of the truth among ``THINNED`` draws, ``covered`` and
    ``prob_below_1``. ``truth`` is "drawn from the prior" or "no association", slopes of 0 while all else is
    drawn. ``advance`` is called after each fit. The interval is equal-tailed, at ``ci_prob``.

    Raises
    ------
    InputError
        The model has no slopes, or a prior is flat and cannot be drawn from.
    """
    from bayes_net.inference.patients import fit
    from bayes_net.inference.sampling import Sampler

    refuse_stretches(data, "trials of a design")
    refuse_error(data, "trials of a design")
    hazard, sampler = hazard or Hazard(), sampler or Sampler(draws=500, tune=500)
    if hazard.slopes == NONE or isinstance(hazard.priors.slope, Flat):
        raise InputError(
            f"slopes are {hazard.slopes!r} with prior {hazard.priors.slope}; expected slopes whose prior can "
            "be drawn from"
        )
    if truth not in (PRIOR, NO_ASSOCIATION):
        raise InputError(f"truth {truth!r} is unknown; expected {PRIOR!r} or {NO_ASSOCIATION!r}")
    drawn = _truths(hazard, data, replicates, truth, seed)
    rows, shape = [], layout([data])
    for i in range(replicates):
        one = drawn.isel({DRAW: [i]})
        trial = simulated(data, one, seed=seed + i)
        tree = fit(trial, hazard, seed=seed + i, sampler=sampler, shape=shape, brief=True)
        rows += _rows(i, trial, one, tree, ci_prob)
        advance()
    return pd.DataFrame(rows)


def _truths(hazard: Hazard, data: Exposure, replicates: int, truth: str, seed: int) -> xr.Dataset:
    drawn = draw_prior(hazard, data, draws=replicates, seed=seed)
    if truth == PRIOR:
        return drawn
    slopes = [name for name in (SLOPE, COMMON_SLOPE, SLOPE_STEP) if name in drawn]
    free = drawn.assign({name: 0.0 * drawn[name] for name in slopes}).drop_vars("log_hazard")
    return with_derived(free, hazard, data)


def simulated(data: Exposure, parameters: xr.Dataset, *, seed: int) -> Exposure:
    """The same patients with event times of one draw of parameters, censored as theirs may have been.

    Where progression lies between scans, each event lies at random between two that are as far apart as those
    of an event of the arm, and no later than the patient's censoring would be. All are known to be at risk at
    the clock's start itself.
    """
    rng, known = np.random.default_rng(seed), replace(data, last_assessment=None, assessed_before=None)
    (latent,), (censor,) = latent_times(parameters_of(parameters), data, rng), censoring_times(data, 1, rng)
    return seen(known, latent, censor, rng, like=data)


def seen(
    known: Exposure, latent: np.ndarray, censor: np.ndarray, rng: np.random.Generator, *, like: Exposure
) -> Exposure:
    """The patients of ``known`` with events at ``latent`` months, as far as they are seen by those of
    ``censor``: to the day, or between scans as far apart as those of the arm's events in ``like``."""
    event, width, share = latent <= censor, np.zeros(known.n), rng.random(known.n)
    if like.last_assessment is None:
        return replace(known, time=np.minimum(latent, censor), event=event.astype(float))
    apart = like.time - like.last_known
    for a in range(len(known.arms)):
        own = known.arm == a
        if len(widths := apart[(like.arm == a) & (like.event == 1)]):
            width[own] = rng.choice(widths, own.sum())
    end = np.minimum(latent + share * width, censor)
    last = np.where(event, np.maximum(latent - (1 - share) * width, 0.0), end)
    return replace(known, time=end, event=event.astype(float), last_assessment=last)


def _rows(i: int, trial: Exposure, one: xr.Dataset, tree: xr.DataTree, ci_prob: float) -> list[dict]:
    slopes = tree["posterior"][SLOPE].transpose(CHAIN, DRAW, ARM).values.reshape(-1, len(trial.arms))
    events = trial.events.sum(axis=1)
    found = []
    for a, arm in enumerate(trial.arms):
        draws, truth = slopes[:, a], float(one[SLOPE].values[0, 0, a])
        lower, upper = np.quantile(draws, [(1 - ci_prob) / 2, (1 + ci_prob) / 2])
        thinned = draws[np.linspace(0, len(draws) - 1, THINNED).astype(int)]
        found.append(
            {"replicate": i, ARM: arm, "events": int(events[a]), "truth": truth, "mean": draws.mean()}
            | {"sd": draws.std(), "lower": lower, "upper": upper, "rank": int((thinned < truth).sum())}
            | {"covered": bool(lower <= truth <= upper), "prob_below_1": float((draws < 0).mean())}
        )
    return found


def calibration_summary(rows: pd.DataFrame) -> pd.DataFrame:
    """What ``calibrate`` found, one row an arm: ``replicates``, ``covered`` (share), ``ranks_p`` (p-value of
    uniform ranks, chi-square in tenths), ``bias`` (mean of posterior mean less truth) and its standard error
    ``bias_se``, and ``probably`` and ``very_probably``: the shares of trials in which a direction has a
    posterior probability of at least 0.8 and 0.95."""
    from scipy.stats import chisquare

    found = []
    for arm, own in rows.groupby(ARM, sort=False):
        off, sure = own["mean"] - own["truth"], np.maximum(own["prob_below_1"], 1 - own["prob_below_1"])
        tenths = np.bincount(own["rank"].to_numpy() * 10 // (THINNED + 1), minlength=10)
        found.append(
            {ARM: arm, "replicates": len(own), "covered": own["covered"].mean()}
            | {"ranks_p": float(chisquare(tenths).pvalue), "bias": off.mean()}
            | {"bias_se": off.std() / np.sqrt(len(own)), "probably": (sure >= 0.8).mean()}
            | {"very_probably": (sure >= 0.95).mean()}
        )
    return pd.DataFrame(found)
