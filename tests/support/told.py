"""What a paper tells of the estimates of one arm, pooled exactly, without any code of the package.

Slopes are normal around their prior mean, estimates around slopes; an estimate is printed if it is
significant and one of those that the paper would print, and of all others it is said that they are not
significant, or in which direction they are. The posterior is by rejection, given what is printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CRITICAL = 1.959963984540054
MOST, WANTED, FEWEST = 200_000, 800, 250


class Arm(NamedTuple):
    """Slopes' prior mean (landmark,) and covariance, standard errors of estimates and their correlation."""

    mean: np.ndarray
    covariance: np.ndarray
    se: np.ndarray
    correlation: np.ndarray

    @property
    def joint(self) -> tuple[np.ndarray, np.ndarray]:
        """Of slopes and estimates, one after the other."""
        errors = np.outer(self.se, self.se) * self.correlation
        of_both = np.block([[self.covariance] * 2, [self.covariance, self.covariance + errors]])
        return np.tile(self.mean, 2), of_both


def told(arm: Arm, estimate: np.ndarray) -> np.ndarray:
    """-1, 0 or 1: significantly below, not significant, significantly above."""
    return np.sign(estimate) * (np.abs(estimate) > CRITICAL * arm.se)


def pooled(arm: Arm, estimate: np.ndarray, in_print: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draws of slopes, then of estimates (printed ones are themselves), given what is told of them."""
    k, said = len(estimate), told(arm, estimate)
    printed = [k + i for i in in_print if said[i]]
    others = [i for i in range(2 * k) if i not in printed]
    mean, covariance = arm.joint
    by = covariance[np.ix_(others, printed)] @ np.linalg.inv(covariance[np.ix_(printed, printed)])
    centre = mean[others] + by @ (np.tile(estimate, 2)[printed] - mean[printed])
    left = covariance[np.ix_(others, others)] - by @ covariance[np.ix_(printed, others)]
    root, kept, made = np.linalg.cholesky(left + 1e-12 * np.eye(len(others))), [], 0
    while made < MOST and sum(map(len, kept)) < WANTED:
        draws = np.tile(estimate, (20_000, 2))
        draws[:, others] = centre + rng.standard_normal((20_000, len(others))) @ root.T
        kept.append(
            draws[(told(arm, draws[:, k:]) == said)[:, [i for i in range(k) if k + i in others]].all(1)]
        )
        made += 20_000
    return np.concatenate(kept)


def coverage(
    arm: Arm, in_print: Sequence[int], patients: float, trials: int, rng: np.random.Generator
) -> dict:
    """How often exact 95 % intervals hold the slope, the posterior mean that the patients themselves give
    with a prior N(0, ``patients``²), and the estimate that is not printed: counts by value."""
    held = {"slope": [], "patients": [], "estimate": []}
    k = len(arm.mean)
    for truth in rng.multivariate_normal(*arm.joint, size=trials):
        estimate = truth[k:]
        draws = pooled(arm, estimate, in_print, rng)
        if len(draws) < FEWEST:  # what is told of six estimates may be as unlikely as that
            continue
        lower, upper = np.quantile(draws, [0.025, 0.975], axis=0)
        theirs = estimate * patients**2 / (patients**2 + arm.se**2)
        hidden = [i for i in range(k) if lower[k + i] < upper[k + i]]
        inside = (lower < truth) & (truth < upper)
        held["slope"] += [*inside[:k]]
        held["patients"] += [*((lower[:k] < theirs) & (theirs < upper[:k]))]
        held["estimate"] += [*inside[k:][hidden]]
    return {name: (len(each), int(np.sum(each))) for name, each in held.items()}
