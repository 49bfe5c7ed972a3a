"""Under every smoothing and baseline, exchanged arms give the reciprocal of what compares them."""

from dataclasses import replace

import numpy as np
import pytest
from arviz_stats.base import array_stats
from calibration.forms import assumed, trial

import bayes_net as bn

SAMPLER = bn.Sampler(draws=1000, tune=500, target_accept=0.9)


def compared(data: bn.Exposure, hazard: bn.Hazard, seed: int) -> np.ndarray:
    """Draws (chain, draw) of a log hazard ratio: of the arms where they share a baseline, and else of how
    their slopes differ, in which they have no common hazard ratio."""
    fit = bn.fit(data, hazard, seed=seed, sampler=SAMPLER, brief=True)
    of = bn.arm_hazard_ratio(fit) if hazard.baseline == "shared" else bn.estimands.interaction(fit)
    return np.log(of.squeeze(drop=True)).values


@pytest.mark.parametrize("smoothing", ["rw1", "independent"])
@pytest.mark.parametrize("baseline", ["shared", "per arm"])
@pytest.mark.parametrize("intervals", [4, 8, 20])
def test_exchanged_arms_give_the_reciprocal_hazard_ratio(smoothing, baseline, intervals):
    data = trial(np.random.default_rng(3), intervals)
    hazard = assumed(smoothing, baseline, "per arm", data)
    logs = [compared(each, hazard, seed) for seed, each in enumerate((data, replace(data, arm=1 - data.arm)))]
    error = np.hypot(*(array_stats.mcse(x, method="mean") for x in logs))
    assert abs(logs[0].mean() + logs[1].mean()) < 4 * error
