"""What a synthesis predicts: survival of arms and of subgroups, and the printed numbers held out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from bayes_net.estimands.conditional import log_conditional
from bayes_net.evidence.statistics import FLOOR_INFLATION, SLOPES, datum
from bayes_net.model.likelihoods import below as share_below
from bayes_net.model.likelihoods import log_cumulative_hazard
from bayes_net.model.network import Curve, Network
from bayes_net.model.participants import LARGEST_SHRINKAGE, SMALLEST_SHRINKAGE
from bayes_net.schema import CHAIN, DRAW, NO_LIMIT, OBSERVED, SAMPLE_DIMS


def slopes_of(draws: xr.Dataset) -> xr.DataArray:
    """Log hazard ratios per 10 points, with "no limit" as observed beside it."""
    slope = draws["slope"].transpose(*SAMPLE_DIMS, "slope_of", "landmark")
    if NO_LIMIT not in slope["landmark"].values:
        return slope
    observed = slope.sel(landmark=[NO_LIMIT]).assign_coords(landmark=[OBSERVED])
    if "bias" in draws:
        bias = draws["bias"].rename(bias_of="slope_of").reindex(slope_of=slope["slope_of"], fill_value=0.0)
        observed = observed + bias
    return xr.concat([slope, observed], dim="landmark").transpose(*slope.dims)


def curve_log_hazard(draws: xr.Dataset, curve: Curve) -> np.ndarray:
    """Log hazard of a curve, (draw, interval), all chains after each other."""
    own = draws["log_hazard"].sel(curve=" ".join(curve)).transpose(*SAMPLE_DIMS, "interval").values
    return own.reshape(-1, own.shape[-1])


def flat(x: xr.DataArray) -> np.ndarray:
    """All draws of a scalar, all chains after each other."""
    return x.transpose(*SAMPLE_DIMS).values.ravel()


def log_hazards_of(draws: xr.Dataset, network: Network, row, times: np.ndarray) -> np.ndarray:
    """log cumulative hazard at ``times`` of the curve that a row is about, (draw, time): the whole arm's,
    or by quadrature over shrinkage that of a subgroup."""
    curve = (row.endpoint, row.study, row.arm)
    whole = log_cumulative_hazard(curve_log_hazard(draws, curve)[:, None, :], network.months(times))
    if row.subgroup == "all":
        return whole
    lower, upper = subgroup_bounds(row.subgroup)
    return log_conditional(whole, *shrinkage_law(draws, curve), above=lower, below=upper)


def subgroup_bounds(subgroup: str) -> tuple[float, float]:
    """The shrinkages of a subgroup ">=30" or "<30", in points."""
    if subgroup.startswith(">="):
        return float(subgroup[2:]), LARGEST_SHRINKAGE
    return SMALLEST_SHRINKAGE, float(subgroup[1:])


def shrinkage_law(draws: xr.Dataset, curve: Curve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observed slope of "no limit", and location and spread of best shrinkage, each (draw,)."""
    endpoint, study, arm = curve
    slope = slopes_of(draws).sel(slope_of=f"{endpoint} {arm}", landmark=OBSERVED)
    law = draws.sel(shrinkage_of=f"{study} {arm}")
    return flat(slope), flat(law["shrinkage_location"]), np.exp(flat(law["shrinkage_log_spread"]))


def checks(
    fit: xr.DataTree, network: Network, held_out: pd.DataFrame, *, level: float, seed: int
) -> pd.DataFrame:
    """Every held-out number beside its predictive interval, and how far out in it the number lies.

    Columns: row, study, arm, subgroup, endpoint, statistic, printed, printed_lower, printed_upper,
    predicted, lower, upper (what a replicated study would print), p_value: the smaller tail, doubled.
    """
    draws, tail = fit["posterior"].to_dataset(), (1 - level) / 2
    rng = np.random.default_rng(seed)
    table = []
    for row in held_out.itertuples():
        predicted = _replicated(draws, network, row, rng)
        if predicted is None:
            continue
        replicated, observed = predicted
        above = float((replicated > observed).mean() + 0.5 * (replicated == observed).mean())
        lower, middle, upper = np.quantile(replicated, (tail, 0.5, 1 - tail))
        entry = {
            name: getattr(row, name) for name in ("study", "arm", "subgroup", "endpoint", "statistic", "time")
        }
        entry |= {"row": row.id, "printed": observed, "printed_lower": row.lower, "printed_upper": row.upper}
        entry |= {"predicted": middle, "lower": lower, "upper": upper, "level": level}
        table.append(entry | {"p_value": 2 * min(above, 1 - above)})
    return pd.DataFrame(table)


def _replicated(draws, network: Network, row, rng) -> tuple[np.ndarray, float] | None:
    """What studies like the row's would print, one a draw, and what it printed."""
    known = _is_curve(draws, network, row)
    d, n = datum(row), draws.sizes[CHAIN] * draws.sizes[DRAW]
    error = d.se * rng.normal(size=n) if np.isfinite(d.se) else np.zeros(n)
    if d.inflated:
        error = error * np.exp(rng.normal(*FLOOR_INFLATION, size=n))
    if row.statistic == "survival" and known:
        log_h = log_hazards_of(draws, network, row, np.array([d.time]))[:, 0]
        return np.exp(-np.exp(log_h + error)), float(row.value)
    if row.statistic == "median" and known:
        target = d.value + error
        return _time_at(draws, network, row, target), float(
            row.value if np.isfinite(row.value) else row.lower
        )
    if row.statistic == "hazard ratio" and f"{row.endpoint} {row.study}" in network.effects:
        of = draws["arm_effect"].sel(effect=f"{row.endpoint} {row.study}")
        return np.exp(flat(of) + error), float(row.value)
    sloped = f"{row.endpoint} {row.arm}" in network.slope_groups and row.landmark in network.landmarks
    if row.statistic in SLOPES and sloped:
        label = OBSERVED if row.landmark == NO_LIMIT else row.landmark
        slope = slopes_of(draws).sel(slope_of=f"{row.endpoint} {row.arm}", landmark=label)
        return np.exp((flat(slope) + error) / 10.0), float(np.exp(d.value / 10.0))
    if row.statistic == "count":
        return _replicated_counts(draws, network, row, rng)
    return None


def _is_curve(draws: xr.Dataset, network: Network, row) -> bool:
    """Whether the model has the row's curve; that of a subgroup needs slopes and a law of shrinkage too."""
    curve = (row.endpoint, row.study, row.arm)
    if curve not in network.curves:
        return False
    return row.subgroup == "all" or has_law(network, curve)


def has_law(network: Network, curve: Curve) -> bool:
    """Whether survival given shrinkage is known: a law of shrinkage, and a slope from randomisation."""
    endpoint, study, arm = curve
    known = f"{study} {arm}" in network.groups("shrinkage") and f"{endpoint} {arm}" in network.slope_groups
    return known and NO_LIMIT in network.landmarks


def _replicated_counts(draws, network: Network, row, rng) -> tuple[np.ndarray, float] | None:
    group = f"{row.study} {row.arm}"
    if row.endpoint == "response" and group in network.groups("response"):
        p = expit(flat(draws["response"].sel(response_group=group)))
    elif row.endpoint == "shrinkage" and group in network.groups("shrinkage"):
        law = draws.sel(shrinkage_of=group)
        location, spread = flat(law["shrinkage_location"]), np.exp(flat(law["shrinkage_log_spread"]))
        p = 1.0 - share_below(row.threshold, location, spread)
    else:
        return None
    return rng.binomial(int(row.n), p).astype(float), float(row.value)


def _time_at(draws, network: Network, row, target: np.ndarray) -> np.ndarray:
    """The month at which each draw's log cumulative hazard reaches its target (the grid's end if later)."""
    times = np.concatenate([np.linspace(0.5, 60, 60), np.linspace(62, 240, 45)])
    log_h = log_hazards_of(draws, network, row, times)
    return np.array([np.interp(t, h, times) for t, h in zip(target, log_h, strict=True)])


def profiles(
    fit: xr.DataTree,
    network: Network,
    *,
    points: Sequence[float],
    times: np.ndarray,
    known_until: Mapping[Curve, float],
    level: float,
) -> pd.DataFrame:
    """Predicted survival from randomisation by arm: of the whole arm, and by best shrinkage in points.

    ``known_until`` is the last month at which a curve's evidence speaks; beyond it ``beyond_data`` is true.
    The slope is that of "no limit" as observed: survival of patients who will turn out to have shrunk so.
    """
    draws, parts = fit["posterior"].to_dataset(), []
    for curve in network.curves:
        whole = log_cumulative_hazard(curve_log_hazard(draws, curve)[:, None, :], network.months(times))
        found = {"whole arm": whole}
        endpoint, study, arm = curve
        if has_law(network, curve):
            law = shrinkage_law(draws, curve)
            found |= {f"{s:g} points": log_conditional(whole, *law, above=s, below=s) for s in points}
        for profile, log_h in found.items():
            tail = ((1 - level) / 2, 0.5, (1 + level) / 2)
            lower, middle, upper = np.quantile(np.exp(-np.exp(log_h)), tail, axis=0)
            columns = {"endpoint": endpoint, "study": study, "arm": arm, "profile": profile, "time": times}
            columns |= {"estimate": middle, "lower": lower, "upper": upper, "level": level}
            columns["beyond_data"] = times > known_until.get(curve, 0.0)
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
