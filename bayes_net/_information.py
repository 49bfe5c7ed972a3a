"""How much the evidence says about each effect: the scale on which the sampler should move.

The geometry of a standardised effect times a free standard deviation changes with that deviation: where the
evidence is strong it is a funnel. On its conditional scale (``structure.step_information``) it is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from bayes_net.pool import Pool
from bayes_net.published import CURVES


def information(
    jacobian: np.ndarray,
    parts: Mapping[str, slice],
    arrays: Mapping[str, np.ndarray],
    prior_sd: np.ndarray,
    pool: Pool,
) -> np.ndarray:
    """What rows and patients add to the precision of each effect, (effect,), with all others unknown, and all
    free standard deviations at 1.

    ``jacobian`` (element, effect) and ``parts`` are those of the design, ``arrays`` the model's inputs. It is
    Fisher's information at constant hazards and at the observed shares; any other value leaves the posterior
    as it is.
    """
    prior = np.diag(prior_sd**-2.0)
    seen = sum((j.T @ w @ j for j, w in _observations(jacobian, parts, arrays, pool)), start=prior)
    return np.maximum(1.0 / np.diag(np.linalg.inv(seen)) - prior_sd**-2.0, 0.0)


def _observations(jacobian, parts, arrays, pool: Pool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What is seen as (its derivative by the effects, its precision matrix)."""
    if "rows" in arrays:
        _, se, power, _ = arrays["rows"]
        own = jacobian[parts["location"]].copy()
        if "curve_rows" in parts:
            share = pool.curve_months / pool.curve_months.sum(axis=1, keepdims=True)
            by_interval = jacobian[parts["curve_rows"]].reshape(*share.shape, -1)
            own[pool.is_of(CURVES)] = np.einsum("rk,rke->re", share, by_interval)
        student = np.array([d.kind == "student" for d in pool.data])
        precision = arrays["root"].T @ arrays["root"] + np.diag(power * student)
        yield own / se[:, None], precision
    if "response" in parts:
        k, n, power = arrays["response_counts"]
        p = (k + 0.5) / (n + 1.0)
        yield jacobian[parts["response"]], np.diag(power * n * p * (1 - p))
    if "curves" in parts:
        yield jacobian[parts["curves"]], np.diag(arrays["curve_patients"][0])
    if "after" in parts:
        events, (weight, score) = arrays["after_events"], arrays["after_nodes"]
        share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
        hazard, slope = jacobian[parts["after"]], jacobian[parts["after_slope"]]
        slope = np.repeat(slope, len(hazard) // len(slope), axis=0)
        for node in range(weight.shape[1]):
            yield hazard + score[:, node, None] * slope, np.diag(events * share[:, node])
