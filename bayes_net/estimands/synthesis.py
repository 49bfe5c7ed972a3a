"""What a synthesis predicts: survival of arms and of subgroups, and the printed numbers held out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special
from scipy.special import expit

from bayes_net import schema
from bayes_net.assumptions.network import Curve, Network
from bayes_net.assumptions.shrinkage import by, early, selected, selection
from bayes_net.data.landmarks import Landmark
from bayes_net.estimands.conditional import log_conditional
from bayes_net.labels import about, select
from bayes_net.schema import ARM, BIASED_SLOPE, CHAIN, ENDPOINT, LANDMARK, NO_LIMIT, OBSERVED, SAMPLE_DIMS
from bayes_net.statistics.base import Quantity, Row
from bayes_net.statistics.counts import LARGEST_SHRINKAGE, SMALLEST_SHRINKAGE
from bayes_net.statistics.counts import below as share_below
from bayes_net.statistics.curves import log_cumulative_hazard
from bayes_net.statistics.kinds import KINDS


def slopes_of(draws: xr.Dataset) -> xr.DataArray:
    """Log hazard ratios per 10 points, with "no limit" as observed beside it."""
    slope = draws[schema.SLOPE].transpose(*SAMPLE_DIMS, ENDPOINT, ARM, LANDMARK)
    if NO_LIMIT not in slope[LANDMARK].values:
        return slope
    observed = slope.sel({LANDMARK: [NO_LIMIT]}).assign_coords({LANDMARK: [OBSERVED]}).copy()
    if "bias" in draws:
        bias = draws["bias"].transpose(*SAMPLE_DIMS, BIASED_SLOPE)
        for i, row in enumerate(about(bias).itertuples()):
            observed.loc[{ENDPOINT: row.endpoint, ARM: row.arm, LANDMARK: OBSERVED}] += bias.values[..., i]
    return xr.concat([slope, observed], dim=LANDMARK).transpose(*slope.dims)


def curve_hazard(draws: xr.Dataset, curve: Curve) -> np.ndarray:
    """Hazard of a curve per month, (draw, interval), all chains after each other."""
    own = select(draws[schema.LOG_HAZARD], curve=curve).transpose(*SAMPLE_DIMS, schema.INTERVAL).values
    return np.exp(own).reshape(-1, own.shape[-1])


def flat(x: xr.DataArray) -> np.ndarray:
    """All draws of a scalar, all chains after each other."""
    return x.transpose(*SAMPLE_DIMS).values.ravel()


def log_hazards_of(draws: xr.Dataset, network: Network, row: Row, times: np.ndarray) -> np.ndarray:
    """log cumulative hazard at ``times`` of the curve that a row is about, (draw, time): the whole arm's,
    or by quadrature over shrinkage that of a subgroup."""
    curve = (row.endpoint, row.study, row.arm)
    whole = log_cumulative_hazard(curve_hazard(draws, curve)[:, None, :], network.months(times))
    if row.subgroup == "all":
        return whole
    lower, upper = subgroup_bounds(row.subgroup)
    return log_conditional(whole, *shrinkage_law(draws, curve), above=lower, below=upper)


def subgroup_bounds(subgroup: str) -> tuple[float, float]:
    """The shrinkages of a subgroup ">=30", "<30" or ">=-20,<30", in points."""
    bounds = {">=": SMALLEST_SHRINKAGE, "<": LARGEST_SHRINKAGE}
    for part in subgroup.split(","):
        sign = ">=" if part.startswith(">=") else "<"
        bounds[sign] = float(part.removeprefix(sign))
    return bounds[">="], bounds["<"]


def shrinkage_law(draws: xr.Dataset, curve: Curve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observed slope of "no limit", and location and spread of best shrinkage, each (draw,)."""
    endpoint, study, arm = curve
    slope = slopes_of(draws).sel({ENDPOINT: endpoint, ARM: arm, LANDMARK: OBSERVED})
    return flat(slope), *_location_and_spread(draws, (study, arm), NO_LIMIT)


def _location_and_spread(
    draws: xr.Dataset, group: tuple[str, str], by_then: str
) -> tuple[np.ndarray, np.ndarray]:
    law = (*group, by_then)
    own = select(draws[["shrinkage_location", "shrinkage_log_spread"]], shrinkage_law=law)
    return flat(own["shrinkage_location"]), np.exp(flat(own["shrinkage_log_spread"]))


def checks(
    fit: xr.DataTree, network: Network, held_out: pd.DataFrame, *, ci_prob: float, seed: int
) -> pd.DataFrame:
    """Every held-out number beside its predictive interval, and how far out in it the number lies.

    Columns: row, study, arm, subgroup, endpoint, statistic, printed, printed_lower, printed_upper,
    predicted, lower, upper (what a replicated study would print), p_value: the smaller tail, doubled.
    """
    tail, table = (1 - ci_prob) / 2, []
    for row, replicated in _replicates(fit, network, held_out, seed):
        observed = KINDS[row.statistic].compared(row)
        above = float((replicated > observed).mean() + 0.5 * (replicated == observed).mean())
        lower, middle, upper = np.quantile(replicated, (tail, 0.5, 1 - tail))
        entry = {
            name: getattr(row, name) for name in ("study", "arm", "subgroup", "endpoint", "statistic", "time")
        }
        entry |= {"row": row.id, "printed": observed, "printed_lower": row.lower, "printed_upper": row.upper}
        entry |= {"predicted": middle, "lower": lower, "upper": upper, "level": ci_prob}
        table.append(entry | {"p_value": 2 * min(above, 1 - above)})
    return pd.DataFrame(table)


def _replicates(
    fit: xr.DataTree, network: Network, held_out: pd.DataFrame, seed: int
) -> Iterator[tuple[Any, np.ndarray]]:
    """Every held-out number that the network can predict, and what replicated studies would print, (draw,):
    all of one draw are of one value of the parameters."""
    draws, rng = fit["posterior"].to_dataset(), np.random.default_rng(seed)
    for row in held_out[held_out["said"] == ""].itertuples():
        kind, predicted = KINDS[row.statistic], Prediction(draws, network, row)
        errors = kind.datum(row).errors(rng, draws.sizes[CHAIN] * draws.sizes[schema.DRAW])
        if predicted.known:
            yield row, kind.replicate(row, predicted, errors, rng)


def checks_together(fit: xr.DataTree, network: Network, held_out: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """How far out the held-out numbers of an endpoint and arm lie together, where there are several.

    Columns: endpoint, arm, rows (their ids) and p_value: the share of replicates that are at least as far
    from all others as the printed numbers are, by Mahalanobis' distance of normal scores. Numbers that each
    lie inside their interval may be unlikely together.
    """
    from scipy.stats import rankdata

    found: dict[tuple[str, str], list] = {}
    for row, replicated in _replicates(fit, network, held_out, seed):
        observed = KINDS[row.statistic].compared(row)
        found.setdefault((row.endpoint, row.arm), []).append((row.id, np.append(replicated, observed)))
    table = []
    for (endpoint, arm), own in found.items():
        if len(own) > 1:
            ids, values = zip(*own, strict=True)
            ranks = rankdata(values, axis=1)
            scores = special.ndtri(ranks / (ranks.shape[1] + 1))
            inverse = np.linalg.pinv(np.corrcoef(scores[:, :-1]))
            distance = np.einsum("in,ij,jn->n", scores, inverse, scores)
            p = float((distance[:-1] >= distance[-1]).mean())
            table.append({"endpoint": endpoint, "arm": arm, "rows": ", ".join(ids), "p_value": p})
    return pd.DataFrame(table)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the draws of a network say of the quantity that a row informs, where it is ``known``."""

    draws: xr.Dataset
    network: Network
    row: Any

    @property
    def cuts(self) -> np.ndarray:
        """Months at which hazards may change."""
        return np.array(self.network.assumptions.cuts)

    @property
    def known(self) -> bool:
        """Whether the network has that quantity."""
        row, network = self.row, self.network
        known: dict[Quantity | None, bool] = {
            Quantity.ARM_EFFECT: (row.endpoint, row.study) in network.effects,
            Quantity.SLOPE: _has_slope(network, row.endpoint, row.arm, row.landmark),
            Quantity.COMPLETION: (row.study, row.arm, early(row)) in network.shrinkage.completions,
            Quantity.CURVE: _is_curve(network, row),
            Quantity.SHARE: self._is_counted,
            Quantity.RANGE: (row.study, row.arm, by(row)) in network.shrinkage.laws,
        }
        return known[KINDS[row.statistic].quantity]

    def value(self) -> np.ndarray:
        """The log hazard ratio, slope as observed, log odds ratio or probability, (draw,)."""
        row, draws = self.row, self.draws
        quantity = KINDS[row.statistic].quantity
        if quantity is Quantity.ARM_EFFECT:
            return flat(select(draws["arm_effect"], effect=(row.endpoint, row.study)))
        if quantity is Quantity.SLOPE:
            label = OBSERVED if row.landmark == NO_LIMIT else row.landmark
            return flat(slopes_of(draws).sel({ENDPOINT: row.endpoint, ARM: row.arm, LANDMARK: label}))
        if quantity is Quantity.COMPLETION:
            return flat(select(draws["completion"], completion_of=(row.study, row.arm, early(row))))
        group = (row.study, row.arm)
        if row.endpoint == "response":
            return expit(flat(select(draws["response"], response_group=group)))
        law, reached = (*group, by(row)), 1.0 - share_below(row.threshold, *self.law())
        if law in self.network.shrinkage.progressive:
            reached = reached * expit(-flat(select(draws["progression"], progressive_group=law)))
        return reached

    def law(self) -> tuple[np.ndarray, np.ndarray]:
        """Location and spread of best shrinkage among the row's patients, (draw,) each."""
        row, draws, own = self.row, self.draws, self.network.shrinkage
        law = (row.study, row.arm, by(row))
        names = ("shrinkage_location", "shrinkage_log_spread")
        location, log_spread = (flat(select(draws[name], shrinkage_law=law)) for name in names)
        if row.arm in own.selected_arms and (share := own.share(row, int(row.n))) < 1:
            correlation = np.tanh(flat(draws["selection"].sel({schema.SELECTED_ARM: row.arm})))
            location, log_spread = selected(location, log_spread, correlation, selection(share))
        return location, np.exp(log_spread)

    @property
    def _is_counted(self) -> bool:
        row, network = self.row, self.network
        if row.endpoint == "shrinkage":
            return (row.study, row.arm, by(row)) in network.shrinkage.laws
        return (row.study, row.arm) in network.groups(row.endpoint)

    def log_cumulative_hazard(self, months: np.ndarray) -> np.ndarray:
        """log H of the row's curve at these months, (draw, month)."""
        return log_hazards_of(self.draws, self.network, self.row, months)


def _is_curve(network: Network, row: Row) -> bool:
    """Whether the model has the row's curve; that of a subgroup needs a law of shrinkage in that study, and a
    slope from randomisation in that arm, of whichever study."""
    if (row.endpoint, row.study, row.arm) not in network.curves:
        return False
    law = (row.study, row.arm) in network.groups("shrinkage")
    return row.subgroup == "all" or (law and _has_slope(network, row.endpoint, row.arm, NO_LIMIT))


def _has_law(network: Network, curve: Curve, landmark: str) -> bool:
    """Whether a curve's study has a law of shrinkage, and a slope at this landmark."""
    endpoint, study, arm = curve
    known = (study, arm) in network.groups("shrinkage") and _has_slope(network, endpoint, arm, landmark)
    return known and (endpoint, study) in network.slope_studies


def _has_slope(network: Network, endpoint: str, arm: str, landmark: str) -> bool:
    known = (network.slope_endpoints, network.assumptions.arms, network.landmarks)
    return all(label in labels for label, labels in zip((endpoint, arm, landmark), known, strict=True))


def arm_curves(
    fit: xr.DataTree,
    network: Network,
    *,
    times: np.ndarray,
    known_until: Mapping[Curve, float],
    ci_prob: float,
) -> pd.DataFrame:
    """Predicted survival of every whole arm from randomisation, at ``times`` in months.

    ``known_until`` is the last month at which a curve's evidence speaks; beyond it ``beyond_data`` is true.
    Columns: endpoint, study, arm, time, estimate (posterior median), lower, upper, level, beyond_data.
    """
    draws, parts = fit["posterior"].to_dataset(), []
    for curve in network.curves:
        log_h = log_cumulative_hazard(curve_hazard(draws, curve)[:, None, :], network.months(times))
        parts.append(_survival(log_h, curve, times, ci_prob).assign(beyond_data=times > known_until[curve]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def profiles(
    fit: xr.DataTree,
    network: Network,
    *,
    points: Sequence[float],
    times: np.ndarray,
    known_until: Mapping[Curve, float],
    ci_prob: float,
) -> pd.DataFrame:
    """Predicted survival after each landmark of patients still at risk there, by arm: of all of them, and by
    best shrinkage in points.

    Columns as those of ``arm_curves``, and ``landmark`` and ``profile``; ``time`` counts from the landmark,
    and what lies beyond the last of ``times`` (from randomisation) is left out. The curve, the slope and the
    law of shrinkage are of one population: S(l + u) / S(l) is mixed over the law with the slope at l, as
    whoever is at risk at l has been scanned and has not progressed. From randomisation no such statement can
    be made: a part of the arm progresses before its shrinkage is known. The law is that of the last time up
    to l at which the evidence has one, else that of the cut-off.
    """
    draws, parts = fit["posterior"].to_dataset(), []
    slope = slopes_of(draws) if network.slope_endpoints else None
    for curve, landmark in product(network.curves, network.assumptions.landmarks):
        endpoint, study, arm = curve
        if landmark.biased or slope is None or not _has_law(network, curve, landmark.label):
            continue
        after = times[times <= times[-1] - landmark.months]
        if not len(after):
            continue
        months = network.months(landmark.months + np.append(0.0, after))
        cumulative = np.exp(log_cumulative_hazard(curve_hazard(draws, curve)[:, None, :], months))
        whole = np.log(cumulative[:, 1:] - cumulative[:, :1])
        at = {ENDPOINT: endpoint, ARM: arm, LANDMARK: landmark.label}
        law = flat(slope.sel(at)), *_location_and_spread(draws, (study, arm), _known_by(network, landmark))
        found = {"all at risk": whole}
        found |= {f"{s:g} points": log_conditional(whole, *law, above=s, below=s) for s in points}
        beyond = landmark.months + after > known_until[curve]
        parts += [
            _survival(log_h, curve, after, ci_prob).assign(
                landmark=landmark.label, profile=profile, beyond_data=beyond
            )
            for profile, log_h in found.items()
        ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _known_by(network: Network, landmark: Landmark) -> str:
    """The last time up to ``landmark`` at which best shrinkage has a law; before all of them the cut-off."""
    times = [one for one in network.shrinkage.times if not one.biased and one.months <= landmark.months]
    return max(times, key=lambda one: one.months).label if times else NO_LIMIT


def _survival(log_h: np.ndarray, curve: Curve, times: np.ndarray, ci_prob: float) -> pd.DataFrame:
    """Median and interval of S at ``times`` of one curve from log H (draw, time)."""
    tail = ((1 - ci_prob) / 2, 0.5, (1 + ci_prob) / 2)
    lower, middle, upper = np.quantile(np.exp(-np.exp(log_h)), tail, axis=0)
    about = dict(zip((ENDPOINT, schema.STUDY, ARM), curve, strict=True))
    return pd.DataFrame(
        about | {"time": times, "estimate": middle, "lower": lower, "upper": upper, "level": ci_prob}
    )
