"""What a clinician asks of a synthesis: the hazard ratio at the first landmark, and what a mid-treatment
response foretells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net import schema
from bayes_net.assumptions.network import Network
from bayes_net.assumptions.shrinkage import RESPONSE, response_place
from bayes_net.estimands.conditional import log_conditional, shrinkage_nodes
from bayes_net.estimands.summary import summarise
from bayes_net.estimands.synthesis import curve_hazard, flat
from bayes_net.labels import select
from bayes_net.schema import ARM, ENDPOINT, LANDMARK, NO_LIMIT, PFS, SAMPLE_DIMS
from bayes_net.statistics.association import chance_late
from bayes_net.statistics.counts import LARGEST_SHRINKAGE, SMALLEST_SHRINKAGE
from bayes_net.statistics.curves import log_cumulative_hazard

LATER = 12.0
"""Months after the landmark at which survival is given."""
RESPONDERS, OTHERS = "mid-treatment responders", "others"
HAZARD_RATIO, COMPLETION, SURVIVAL = "hazard ratio", "response at completion", "PFS a year on"
LABELS = ("quantity", "endpoint", "arm", "study", "landmark", "of")
Labelled = tuple[dict[str, Any], np.ndarray]


def clinical_answer(draws: xr.Dataset, network: Network, *, ci_prob: float) -> pd.DataFrame:
    """The numbers that answer the question, the last arm first.

    Columns: ``quantity`` ("hazard ratio", "response at completion", "PFS a year on"), ``endpoint``, ``arm``,
    ``study``, ``landmark``, ``of`` (what is compared, or whose number it is), and those of ``summarise``.
    Hazard ratios of shrinkage are those of the first landmark. Responders are patients with 30 points of
    shrinkage by the time at which a paper took the early response; whether they respond at completion follows
    from the correlation of early with final shrinkage, their hazard ratio from the slope at the first
    landmark and the mean shrinkage of both groups, and their survival ``LATER`` months after the landmark
    from the curve of the whole arm among those still at risk.
    """
    found = [*_slopes(draws, network), *_early_response(draws, network)]
    if not found:
        return pd.DataFrame()
    labels, values = zip(*found, strict=True)
    shape = draws.sizes[schema.CHAIN], draws.sizes[schema.DRAW]
    stacked = xr.DataArray(
        np.stack(values).reshape(-1, *shape), dims=("row", *SAMPLE_DIMS), coords={"row": range(len(values))}
    )
    table = summarise(stacked, ci_prob=ci_prob).drop(columns="row")
    return pd.DataFrame(labels, columns=list(LABELS)).fillna("").join(table)


def first_landmark(network: Network) -> str:
    """The first landmark that has slopes, "" where there is none but "no limit"."""
    return next((mark for mark in network.landmarks if mark != NO_LIMIT), "")


def _slope(draws: xr.Dataset, arm: str, landmark: str) -> np.ndarray:
    return flat(draws[schema.SLOPE].sel({ENDPOINT: PFS, ARM: arm, LANDMARK: landmark}))


def _slopes(draws: xr.Dataset, network: Network) -> Iterator[Labelled]:
    mark = first_landmark(network)
    if PFS not in network.slope_endpoints or not mark:
        return
    for arm in network.assumptions.arms[::-1]:
        for points in (10, 30):
            label = {"quantity": HAZARD_RATIO, "endpoint": PFS, "arm": arm, "landmark": mark}
            ratio = np.exp(_slope(draws, arm, mark) * points / schema.POINTS_PER_UNIT)
            yield label | {"of": f"per {points} points of shrinkage"}, ratio


def _early_response(draws: xr.Dataset, network: Network) -> Iterator[Labelled]:
    for study, arm, by in network.shrinkage.completions:
        laws = [_law(draws, (study, arm, mark)) for mark in (by, NO_LIMIT)]
        starts = [response_place(location, log_spread) for location, log_spread in laws]
        chances = chance_late(starts[0], starts[1], flat(draws["early_late_correlation"]))
        label = {"quantity": COMPLETION, "arm": arm, "study": study, "landmark": by}
        for who, chance in zip((RESPONDERS, OTHERS), chances, strict=True):
            yield label | {"of": who}, chance
        yield from _their_progression(draws, network, arm, by)


def _law(draws: xr.Dataset, law: tuple[str, str, str]) -> tuple[np.ndarray, np.ndarray]:
    location, log_spread = (
        flat(select(draws[name], shrinkage_law=law))
        for name in ("shrinkage_location", "shrinkage_log_spread")
    )
    return location, log_spread


def _their_progression(draws: xr.Dataset, network: Network, arm: str, by: str) -> Iterator[Labelled]:
    """Hazard ratio and survival in the reference study, whose curve and law of shrinkage are known."""
    study, mark = network.assumptions.reference, first_landmark(network)
    law, curve = (study, arm, by), (PFS, study, arm)
    if law not in network.shrinkage.laws or curve not in network.curves or not mark:
        return
    if PFS not in network.slope_endpoints:
        return
    location, log_spread = _law(draws, law)
    spread, slope = np.exp(log_spread), _slope(draws, arm, mark)
    groups = {RESPONDERS: (RESPONSE, LARGEST_SHRINKAGE), OTHERS: (SMALLEST_SHRINKAGE, RESPONSE)}
    means = {}
    for who, (above, below) in groups.items():
        nodes, weight = shrinkage_nodes(location, spread, above=above, below=below)
        means[who] = nodes @ weight
    label = {"endpoint": PFS, "arm": arm, "study": study, "landmark": mark}
    apart = (means[RESPONDERS] - means[OTHERS]) / schema.POINTS_PER_UNIT
    yield label | {"quantity": HAZARD_RATIO, "of": f"{RESPONDERS} against {OTHERS}"}, np.exp(slope * apart)
    start = next(own.months for own in network.assumptions.landmarks if own.label == mark)
    months = network.months(np.array([start, start + LATER]))
    at = np.exp(log_cumulative_hazard(curve_hazard(draws, curve)[:, None, :], months))
    whole = np.log(at[:, 1:] - at[:, :1])
    for who, (above, below) in groups.items():
        log_h = log_conditional(whole, slope, location, spread, above=above, below=below)
        yield label | {"quantity": SURVIVAL, "of": who}, np.exp(-np.exp(log_h[:, 0]))
