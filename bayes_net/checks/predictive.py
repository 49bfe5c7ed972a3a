"""Does the model bring forth the data? Kaplan-Meier curves observed, and replicated from the posterior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.data.exposure import Exposure
from bayes_net.inference.closed_form import Parameters, event_times, hazards_by_arm, parameters
from bayes_net.schema import ARM, TIME


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> pd.DataFrame:
    """The Kaplan-Meier curve as step points: time, survival, at_risk, n_censored (from time 0)."""
    from lifelines import KaplanMeierFitter  # a second to import, and reading results needs none of it

    fitter = KaplanMeierFitter().fit(time, event)
    table = fitter.event_table
    return pd.DataFrame(
        {
            TIME: table.index.to_numpy(float),
            "survival": fitter.survival_function_.iloc[:, 0].to_numpy(float),
            "at_risk": table["at_risk"].to_numpy(int),
            "n_censored": table["censored"].to_numpy(int),
        }
    )


def step_values(curve: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    """A step curve's survival at ``times``."""
    return curve["survival"].to_numpy()[np.searchsorted(curve[TIME].to_numpy(), times, side="right") - 1]


def replicate(fit: xr.DataTree, data: Exposure, *, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Follow-up of the same patients drawn anew from the posterior: times and events, (draws, patients).

    Censoring is respected: a censored patient keeps the time of censoring; for a patient with an
    event, who could have been followed longer, a censoring time beyond it is drawn from the arm's
    Kaplan-Meier curve of censoring (the longest follow-up where that curve ends).
    """
    rng = np.random.default_rng(seed)
    drawn = parameters(fit["posterior"].to_dataset())
    available = drawn.baseline.shape[0] * drawn.baseline.shape[1]
    chosen = rng.choice(available, size=min(draws, available), replace=False)
    residual = rng.exponential(size=(len(chosen), data.n))
    latent = np.empty_like(residual)
    drawn = Parameters(*(values.reshape(1, available, *values.shape[2:])[:, chosen] for values in drawn))
    for _, own, baseline, added in hazards_by_arm(drawn, data):
        for i in range(len(chosen)):
            latent[i, own] = event_times(baseline[0, i], added[0, i], data.starts, residual[i, own])
    censor = _censoring_times(data, len(chosen), rng)
    return np.minimum(latent, censor), (latent <= censor).astype(float)


def _censoring_times(data: Exposure, draws: int, rng: np.random.Generator) -> np.ndarray:
    times = np.tile(data.time, (draws, 1))
    for a in range(len(data.arms)):
        own = data.arm == a
        if not own.any():
            continue
        curve = kaplan_meier(data.time[own], 1 - data.event[own])
        for i in np.flatnonzero(own & (data.event == 1)):
            beyond = step_values(curve, data.time[i : i + 1])[0]
            level = beyond * rng.random(draws)
            # First time at which the censoring curve has fallen to the level; never: last follow-up.
            first = (curve["survival"].to_numpy()[None, :] <= level[:, None]).argmax(axis=1)
            fallen = curve["survival"].to_numpy()[-1] <= level
            times[:, i] = np.where(
                fallen, curve[TIME].to_numpy()[first], max(curve[TIME].iloc[-1], data.time[i])
            )
    return times


def posterior_predictive(
    fit: xr.DataTree,
    data: Exposure,
    times: Sequence[float],
    *,
    draws: int = 200,
    seed: int,
    ci_prob: float = 0.95,
) -> pd.DataFrame:
    """Replicated against observed Kaplan-Meier curves by arm, up to each arm's last follow-up.

    Columns: arm, time, observed, estimate (median replicate), lower, upper (pointwise, ``ci_prob``),
    p_value: probability that a replicate is at or above the observed curve (half for ties); values near
    0 or 1 are a misfit. Gelman, Meng and Stern 1996.
    """
    times = np.asarray(times, float)
    replicated, events = replicate(fit, data, draws=draws, seed=seed)
    tail = ((1 - ci_prob) / 2, 0.5, (1 + ci_prob) / 2)
    tables = []
    for a, arm in enumerate(data.arms):
        own = data.arm == a
        if not own.any():
            continue
        within = times[times <= data.time[own].max()]
        observed = step_values(kaplan_meier(data.time[own], data.event[own]), within)
        curves = np.array([_km_at(t[own], d[own], within) for t, d in zip(replicated, events, strict=True)])
        lower, middle, upper = np.quantile(curves, tail, axis=0)
        tied = np.isclose(curves, observed)  # equal curves differ by rounding
        p = ((curves > observed) & ~tied).mean(axis=0) + 0.5 * tied.mean(axis=0)
        columns = {
            ARM: arm,
            TIME: within,
            "observed": observed,
            "estimate": middle,
            "lower": lower,
            "upper": upper,
        }
        tables.append(pd.DataFrame(columns | {"p_value": p}))
    return pd.concat(tables, ignore_index=True)


def _km_at(time: np.ndarray, event: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Kaplan-Meier survival at ``at``, for many replicates where a fitted object each would be slow."""
    order = np.lexsort((-event, time))  # at ties the events come first: the censored are still at risk
    at_risk = np.arange(len(time), 0, -1)
    steps = np.concatenate([[1.0], np.cumprod(1.0 - event[order] / at_risk)])
    return steps[np.searchsorted(time[order], at, side="right")]
