"""Does the model bring forth the data? Kaplan-Meier curves observed, and replicated from the posterior."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.data.exposure import Exposure, refuse_stretches
from bayes_net.data.gauss import refuse_error
from bayes_net.errors import InputError
from bayes_net.estimands.diagnostics import blocks
from bayes_net.inference.closed_form import Parameters, event_times, hazards_by_stratum, parameters
from bayes_net.schema import ARM, PATIENT, SAMPLE_DIMS, TIME


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> pd.DataFrame:
    """The Kaplan-Meier curve as step points: time, survival, at_risk, n_censored (from time 0)."""
    at = np.unique(np.append(0.0, time))
    place = np.searchsorted(at, time)
    left, events = np.bincount(place, minlength=len(at)), np.bincount(place, event, minlength=len(at))
    at_risk = len(time) - np.append(0, left[:-1].cumsum())
    survival = np.cumprod(1 - events / at_risk)
    n_censored = left - events.astype(int)
    return pd.DataFrame({TIME: at, "survival": survival, "at_risk": at_risk, "n_censored": n_censored})


def survival_steps(data: Exposure) -> pd.DataFrame:
    """The survival of these patients as step points, as ``kaplan_meier`` has them.

    Where events lie between two assessments it is the non-parametric maximum-likelihood estimate, which says
    within which stretches survival falls; it is drawn as falling in their middle. Of a stretch that begins
    before the clock's start the part after it counts. Numbers at risk and censored are those of the days of
    the tables. Turnbull 1976, doi:10.1111/j.2517-6161.1976.tb01597.x.
    """
    refuse_stretches(data, "a curve of survival")
    curve = kaplan_meier(data.time, data.event)
    if not data.between.any():
        return curve
    begins, ends, mass = turnbull(data)
    within = np.isfinite(ends)
    length = np.where(within & (ends > begins), ends - begins, 1.0)
    after = np.where(within & (ends > begins), np.clip(ends / length, 0.0, 1.0), (ends > 0) * 1.0)
    mass = mass * after / (mass * after).sum()
    falls = np.where(within, (np.maximum(begins, 0.0) + ends) / 2, np.inf)
    at = np.unique(np.concatenate([curve[TIME], falls[(falls > 0) & (falls < data.time.max())]]))
    later = np.minimum(np.searchsorted(curve[TIME], at), len(curve) - 1)
    censored = curve.set_index(TIME)["n_censored"].reindex(at, fill_value=0).to_numpy()
    survival = 1.0 - (mass * (falls <= at[:, None])).sum(axis=1)
    at_risk = curve["at_risk"].to_numpy()[later]
    return pd.DataFrame({TIME: at, "survival": survival, "at_risk": at_risk, "n_censored": censored})


def turnbull(data: Exposure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stretches (begin, end] in which survival falls, and by how much in each, (stretch,) each; the last may
    end at infinity. An event on a known day has a stretch without length.

    Patients are followed from their last assessment before the clock's start. Self-consistency (EM) from even
    shares, until no share moves by 1e-9. Of many patients times are taken to the nearest of ``MOST_TIMES``.
    """
    entry = np.zeros(data.n) if data.assessed_before is None else -data.assessed_before
    left = np.maximum(data.last_known, entry)
    right = np.where(data.event == 1, data.time, np.inf)
    known = (data.event == 1) & ~data.between
    if data.n > MOST_TIMES:  # so many times that the estimate would take minutes: nearest of a few hundred
        step = data.time.max() / MOST_TIMES
        left, right = (np.round(x / step) * step for x in (left, right))
        right = np.where(data.between & (right <= left), left + step, right)
    # at one time: a known event begins, then stretches end, then those begin that are open on the left
    ends = [(r, 1, r) for r in np.unique(right)]
    starts = [(x, 0 if day else 2, x) for x, day in {*zip(left.tolist(), known.tolist(), strict=True)}]
    points = sorted(ends + starts)
    inner = [(a[2], b[2], a[1]) for a, b in pairwise(points) if a[1] != 1 and b[1] == 1]
    begin, end, kind = (np.array(column) for column in zip(*inner, strict=True))
    after = (begin > left[:, None]) | ((begin == left[:, None]) & ((kind == 2) | known[:, None]))
    possible, times = np.unique(after & (end <= right[:, None]), axis=0, return_counts=True)
    mass, moved = np.full(len(begin), 1 / len(begin)), np.inf
    for _ in range(MOST_STEPS):
        if moved < 1e-9:
            break
        share = possible * mass
        new = times @ (share / share.sum(axis=1, keepdims=True)) / data.n
        mass, moved = new, np.abs(new - mass).max()
    return begin, end, mass


MOST_STEPS, MOST_TIMES = 5_000, 400


def step_values(curve: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    """A step curve's survival at ``times``."""
    return curve["survival"].to_numpy()[np.searchsorted(curve[TIME].to_numpy(), times, side="right") - 1]


def replicate(
    fit: xr.DataTree, data: Exposure, *, draws: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Follow-up of the same patients drawn anew from the posterior: times and events, (draws, patients).

    ``draws`` of the posterior's draws are used, chosen at random; None: all of them, in their order.
    Censoring is respected: a censored patient keeps the time of censoring; for a patient with an
    event, who could have been followed longer, a censoring time beyond it is drawn from the arm's
    Kaplan-Meier curve of censoring (the longest follow-up where that curve ends). Where events lie between
    two assessments, a replicated event too is seen as much later as an event of the arm may have been: an
    even share of the time between the two assessments of one of them, chosen at random.
    """
    refuse_stretches(data, "replicates")
    refuse_error(data, "replicates")
    rng = np.random.default_rng(seed)
    drawn = parameters(fit["posterior"].to_dataset())
    available = drawn.baseline.shape[0] * drawn.baseline.shape[1]
    chosen = np.arange(available)
    if draws is not None:
        chosen = rng.choice(available, size=min(draws, available), replace=False)
    drawn = Parameters(*(values.reshape(1, available, *values.shape[2:])[:, chosen] for values in drawn))
    latent = latent_times(drawn, data, rng)
    if data.between.any():
        latent += _delays(data, len(chosen), rng)
    censor = censoring_times(data, len(chosen), rng)
    return np.minimum(latent, censor), (latent <= censor).astype(float)


def _delays(data: Exposure, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Months from events to the assessments that show them, (draws, patients)."""
    delays, months = np.zeros((draws, data.n)), data.time - data.last_known
    for a in range(len(data.arms)):
        own, widths = data.arm == a, months[(data.arm == a) & (data.event == 1)]
        if len(widths):
            shape = (draws, own.sum())
            delays[:, own] = rng.choice(widths, shape) * rng.random(shape)
    return delays


def latent_times(drawn: Parameters, data: Exposure, rng: np.random.Generator) -> np.ndarray:
    """When each patient has the event by each of one chain's draws, whether it is seen or not, (draws,
    patients)."""
    residual = rng.exponential(size=(drawn.baseline.shape[1], data.n))
    latent = np.empty_like(residual)
    for _, own, baseline, added in hazards_by_stratum(drawn, data):
        mine = residual[:, own]
        times = np.empty_like(mine)
        for some in blocks(np.broadcast_to(mine[..., None], (*mine.shape, data.n_intervals))):
            rows = baseline[0, some].repeat(mine.shape[1], axis=0)  # a row a draw and patient
            each = added[0, some].reshape(len(rows), -1)
            found = event_times(rows, each, data.starts, mine[some].ravel())
            times[some] = found.reshape(-1, mine.shape[1])
        latent[:, own] = times
    return latent


def censoring_times(data: Exposure, draws: int, rng: np.random.Generator) -> np.ndarray:
    """When each patient would have been censored, (draws, patients): when it was, or, of a patient with an
    event, a time beyond it from the arm's curve of censoring."""
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
    times: Sequence[float] | np.ndarray,
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
    at = np.asarray(times, float)
    replicated, events = replicate(fit, data, draws=draws, seed=seed)
    tail = ((1 - ci_prob) / 2, 0.5, (1 + ci_prob) / 2)
    tables = []
    for a, arm in enumerate(data.arms):
        own = data.arm == a
        if not own.any():
            continue
        within = at[at <= data.time[own].max()]
        observed = step_values(kaplan_meier(data.time[own], data.event[own]), within)
        curves = survival_at(replicated[:, own], events[:, own], within)
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


def for_loo_pit(fit: xr.DataTree, data: Exposure, *, seed: int) -> xr.DataTree:
    """The fit of ``data`` as ``arviz_stats.loo_pit`` takes it: with the follow-up of each patient.

    Months of follow-up are ``patients``, like the log-likelihood: in ``observed_data``, dim patient, and
    drawn anew in ``posterior_predictive``, dims chain, draw, patient. Replicates that are event-free at the
    end of follow-up, a censored patient's or an arm's, are censored there and tie with what was observed;
    ``loo_pit`` breaks ties at random, so that its values are uniform where the model holds. For memory, not
    for a file. Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4.

    Raises
    ------
    InputError
        The fit has no log-likelihood of each patient of ``data``.
    """
    each = fit["log_likelihood"].get("patients") if "log_likelihood" in fit.children else None
    if each is None or each.sizes.get(PATIENT) != data.n:
        raise InputError(f"expected a fit of these {data.n} patients, with a log-likelihood of each")
    each = each.transpose(*SAMPLE_DIMS, PATIENT)
    times, _ = replicate(fit, data, draws=None, seed=seed)
    tree = fit.copy()
    tree["observed_data"] = xr.DataTree(each[0, 0].copy(data=data.time).drop_vars(SAMPLE_DIMS).to_dataset())
    tree["posterior_predictive"] = xr.DataTree(each.copy(data=times.reshape(each.shape)).to_dataset())
    return tree


def survival_at(time: np.ndarray, event: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Kaplan-Meier survival at ``at`` of every replicate, (replicate, time)."""
    order = np.lexsort((-event, time))  # at ties the events come first: the censored are still at risk
    time, event = (np.take_along_axis(x, order, axis=1) for x in (time, event))
    steps = np.cumprod(1 - event / np.arange(time.shape[1], 0, -1), axis=1)
    steps = np.pad(steps, ((0, 0), (1, 0)), constant_values=1.0)
    return np.take_along_axis(steps, (time[:, :, None] <= at).sum(axis=1), axis=1)
