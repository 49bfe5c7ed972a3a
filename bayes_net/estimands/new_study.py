"""What a network says about a study that is not in it, and the prior that it gives that study."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.assumptions.network import Curve, Network
from bayes_net.assumptions.priors import FULL, VAGUE_SD, Fixed
from bayes_net.estimands.mixtures import binomial_information, elir, fit_mixture, robustify
from bayes_net.estimands.synthesis import curve_hazard, flat
from bayes_net.labels import coordinates
from bayes_net.schema import NEW_STUDY, POOLED_ENDPOINT, RESPONSE_GROUP, SAMPLE_DIMS
from bayes_net.statistics.curves import log_cumulative_hazard

ROBUST_WEIGHT = 0.2
"""Weight of the vague component in a robust prior (Schmidli et al. 2014 use 0.1 to 0.5)."""
EVENT_INFORMATION = 0.25
"""Of an event on the log hazard ratio of two arms of equal size."""


def new_arm_effect(draws: xr.Dataset, network: Network, *, seed: int) -> xr.DataArray:
    """Draws of the arms' log hazard ratio in a study like those of the network, (..., pooled_endpoint)."""
    mean, prior = draws["arm_effect_mean"], network.assumptions.arm_heterogeneity
    sd = prior.value if isinstance(prior, Fixed) else draws["arm_effect_sd"]
    return mean + sd * mean.copy(data=np.random.default_rng(seed).normal(size=mean.shape))


def new_response(draws: xr.Dataset, network: Network, seed: int) -> xr.DataArray:
    """Draws of the logit of response of the last arm in a study like those of the network, (..., 1)."""
    mean = draws["response_mean"]
    borrowing, z = network.assumptions.response, np.random.default_rng(seed).normal(size=mean.shape)
    if borrowing.kind == FULL:
        difference = 0.0 * z
    elif "response_difference_sd" in draws:
        difference = z * draws["response_difference_sd"].transpose(*SAMPLE_DIMS).values
    else:
        wide = np.random.default_rng([seed, 1]).random(mean.shape) >= borrowing.weight
        narrow = borrowing.narrow_sd
        difference = z * (np.where(wide, borrowing.vague_sd, narrow) if borrowing.mixes else narrow)
    new = coordinates({RESPONSE_GROUP: [(NEW_STUDY, "")]})
    return (mean + difference).expand_dims(RESPONSE_GROUP).assign_coords(new)


def new_study_priors(fit: xr.DataTree, network: Network, *, seed: int) -> pd.DataFrame:
    """Priors that the network gives a new study: mixtures of normals fitted to its predictive distribution,
    made robust by a vague component, and what each is worth (ELIR effective sample size).

    Columns: parameter, scale, components (weight x N(mean, SD)), effective sample size before and after
    the vague component of weight ``ROBUST_WEIGHT``, and what it counts (patients or events).
    """
    draws = fit["posterior"].to_dataset()
    rows: list[tuple[str, str, np.ndarray, float | None]] = []
    if network.pooled_responses.any():
        response = flat(new_response(draws, network, seed).isel(response_group=0))
        rows.append(("response, last arm", "logit", response, None))
    for curve, levels in _new_levels(draws, network, seed):
        rows.append((f"hazard, {' '.join(curve)}", "log hazard per month, first year", levels, 1.0))
    if network.pools_effects:
        for logs in new_arm_effect(draws, network, seed=seed).transpose(POOLED_ENDPOINT, ...):
            name = f"arm, {logs[POOLED_ENDPOINT].item()}"
            rows.append((name, "log hazard ratio", flat(logs), EVENT_INFORMATION))
    return pd.DataFrame([_prior_row(*row, seed=seed) for row in rows])


def _new_levels(draws: xr.Dataset, network: Network, seed: int) -> Iterator[tuple[Curve, np.ndarray]]:
    """Log hazard over the first year of a new study of each arm that single-arm studies lean on."""
    borrowing, rng = network.assumptions.study_level, np.random.default_rng([seed, 2])
    for endpoint in dict.fromkeys(endpoint for endpoint, _ in network.borrowers):
        curve = (endpoint, network.assumptions.reference, network.assumptions.arms[-1])
        whole = log_cumulative_hazard(
            curve_hazard(draws, curve)[:, None, :], network.months(np.array([12.0]))
        )[:, 0]
        if borrowing.kind == FULL:
            own = 0.0
        elif "study_level_sd" in draws:
            own = rng.normal(size=len(whole)) * flat(draws["study_level_sd"])
        else:
            wide = (rng.random(len(whole)) >= borrowing.weight) & borrowing.mixes
            own = rng.normal(size=len(whole)) * np.where(wide, borrowing.vague_sd, borrowing.narrow_sd)
        yield curve, whole - np.log(12.0) + own


def _prior_row(name: str, scale: str, draws: np.ndarray, information: float | None, *, seed: int) -> dict:
    mixture = fit_mixture(draws, seed=seed)
    robust = robustify(mixture, weight=ROBUST_WEIGHT, mean=mixture.mean, sd=VAGUE_SD)
    unit = binomial_information if information is None else lambda x: np.full_like(x, information)
    parts = zip(mixture.weights, mixture.means, mixture.sds, strict=True)
    return {
        "parameter": name,
        "scale": scale,
        "components": " + ".join(f"{w:.2f} N({m:.2f}, {s:.2f})" for w, m, s in parts),
        "effective_n": elir(mixture, unit),
        "effective_n_robust": elir(robust, unit),
        "counts": "patients" if information is None else "events",
    }
