"""Survival by shrinkage is of those whose shrinkage it is, in an arm of which a part is never assessed."""

import numpy as np
import pytest
import xarray as xr
from pools import ARMS, assumptions, evidence, row, slope
from scipy import special, stats

from bayes_net.assumptions.combine import combine_network
from bayes_net.data.landmarks import landmark_times
from bayes_net.estimands.synthesis import arm_curves, profiles
from bayes_net.inference.arrays import draw_prior

CURVE, LANDMARK = ("pfs", "A", ARMS[0]), landmark_times(["150d", "no limit"])
AT = LANDMARK[0].months
TIMES = np.append(np.arange(0.5, 24.5, 0.5), AT + np.arange(0.5, 20.0, 0.5))
HAZARD, SLOPE, LOCATION, SPREAD = 0.07, -0.3, -1.5, 0.6
"""Of patients of 0 points per month; per 10 points; the law of those who are assessed."""


@pytest.fixture(scope="module")
def arm(tmp_path_factory):
    """Network and fit of an arm in which a quarter progresses before the landmark, unassessed; hazards of the
    others are HAZARD exp(SLOPE x / 10) from the landmark on, so that its curve is a mixture."""
    rows = [
        slope("S1", -0.03, 0.02, "150d", arm=ARMS[0]),
        row("M1", "median", 8.5, n=113, arm=ARMS[0]),
        row("C1", "count", 7, n=86, endpoint="shrinkage", threshold=30, arm=ARMS[0]),
    ]
    cuts = np.unique(np.round(np.append(TIMES, AT), 9))
    options = {"cuts": tuple(cuts), "landmarks": LANDMARK}
    network = combine_network(evidence(rows, tmp_path_factory.mktemp("rows")), assumptions(**options))
    x = -20 + 120 * special.expit(LOCATION + SPREAD * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000))
    hazards = HAZARD * np.exp(SLOPE * x / 10)
    after = np.array([np.exp(-hazards * max(t - AT, 0.0)).mean() for t in cuts])
    log_s = np.log(after * np.interp(cuts, [0.0, AT], [1.0, 0.7]))
    steps = -np.diff(log_s, prepend=0.0) / np.diff(cuts, prepend=0.0)
    draws = draw_prior(network, draws=2, seed=1)
    draws["log_hazard"][:] = np.log(np.append(steps, steps[-1]))
    draws["slope"][:] = SLOPE
    draws["shrinkage_location"][:], draws["shrinkage_log_spread"][:] = LOCATION, np.log(SPREAD)
    return network, xr.DataTree.from_dict({"posterior": draws})


def predicted(function, arm, **how):
    network, fit = arm
    known = dict.fromkeys(network.curves, 20.0)
    return function(fit, network, times=np.arange(0.5, 24.5, 0.5), known_until=known, ci_prob=0.95, **how)


def test_profiles_are_of_those_at_risk_at_the_landmark(arm):
    """Their true survival, up to the quadrature over shrinkage, whatever became of others before."""
    table = predicted(profiles, arm, points=(0.0, 30.0))
    assert set(table["landmark"]) == {"150 d"}  # no limit is no landmark: it conditions on the future
    for points in (0.0, 30.0):
        own = table[table["profile"] == f"{points:g} points"]
        truth = np.exp(-HAZARD * np.exp(SLOPE * points / 10) * own["time"])
        np.testing.assert_allclose(own["estimate"], truth, atol=2e-4)
    assert table["time"].max() == 19.0  # 24 months are 19.1 after the landmark
    assert (table["beyond_data"] == (table["time"] > 20.0 - AT)).all()


def test_everybody_at_risk_is_the_arms_own_curve_from_the_landmark_on(arm):
    whole, after = predicted(arm_curves, arm), predicted(profiles, arm, points=(0.0,))
    own = after[after["profile"] == "all at risk"]
    assert (whole["time"].iloc[:8] == np.arange(0.5, 4.5, 0.5)).all()
    at = np.interp(AT + own["time"], whole["time"], np.log(whole["estimate"]))
    np.testing.assert_allclose(np.log(own["estimate"]), at - np.log(0.7), atol=2e-3)


def test_a_curve_without_counts_of_shrinkage_has_no_profiles(tmp_path):
    rows = [slope("S1", -0.03, 0.02, "150d", arm=ARMS[0]), row("M1", "median", 8.5, n=113, arm=ARMS[0])]
    network = combine_network(evidence(rows, tmp_path), assumptions(landmarks=LANDMARK))
    fit = xr.DataTree.from_dict({"posterior": draw_prior(network, draws=2, seed=1)})
    assert predicted(profiles, (network, fit), points=(0.0,)).empty
