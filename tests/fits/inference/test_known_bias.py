"""A bias of "no limit" that is known is found in a trial whose landmarks tell the slope, and taken off."""

import numpy as np
import pytest
from pools import assumptions, evidence, slope
from test_simulate import cox_slope

from bayes_net.assumptions.combine import combine_network
from bayes_net.assumptions.priors import Normal
from bayes_net.assumptions.synthesis import SlopePrior
from bayes_net.data.landmarks import landmark, landmark_times
from bayes_net.inference.sampling import Sampler
from bayes_net.inference.synthesis import fit_synthesis
from bayes_net.simulate.cohort import simulate_cohort
from bayes_net.simulate.ensemble import virtual_trials
from bayes_net.simulate.plan import SimulationPlan
from bayes_net.simulate.trials import NAMES, draw, summary

N, PUT_IN = 6000, -0.25
ONE_SLOPE = SlopePrior(Normal(0.0, 0.5), level=1.0, no_limit_months=12.0)


def guarantee_time_bias():
    """Of trials without association, by the generator itself: mean over 100 trials of 1,000 patients."""
    law = SimulationPlan(slope=(0.0, 0.0)).law(0)
    many = {name: np.full((100, 1), value) for name, value in law.items()}
    found = summary(draw(many, 1000, np.random.default_rng(3)))[:, -1, NAMES.index("estimate")]
    return found.mean()


def printed(plan, added, folder):
    """The control arm's estimates at 36 weeks and "no limit", as evidence."""
    sets, rows = landmark(simulate_cohort(plan, seed=8), ["36w", "no limit"]), []
    for each, label, more in zip(sets.landmarks, ("36w", "no limit"), (0.0, added), strict=True):
        table = sets.at(each.label)
        beta, se = cox_slope(table[table["arm"] == plan.arms[0]])
        rows.append(slope(f"S{len(rows)}", (beta + more) / 10, se / 10, label, arm="control"))
    rows[1] |= {"correlated_with": "S0", "correlation": "0.6"}
    return evidence(rows, folder)


def fitted(table, bias):
    given = {"landmarks": landmark_times(["36w", "no limit"]), "slopes": ONE_SLOPE, "bias": bias, "cuts": ()}
    fit = fit_synthesis(combine_network(table, assumptions(**given)), seed=4, sampler=Sampler(draws=1000))
    return fit["posterior"]


def mean_and_sd(draws):
    return float(draws.mean()), float(draws.std())


def of_slope(posterior):
    return mean_and_sd(posterior["slope"].sel(endpoint="pfs", arm="control", landmark="36 w"))


@pytest.mark.parametrize("kind", ["put in", "guarantee time"])
def test_a_known_bias_is_recovered(kind, tmp_path):
    if kind == "put in":
        # all is seen at once, so that "no limit" has no bias but the one that is added
        plan, true, added = (
            SimulationPlan(patients=(N, 1), slope=(-0.3, 0.0), seen_at_once=True),
            -0.3,
            PUT_IN,
        )
        known = PUT_IN
    else:
        plan, true, added = SimulationPlan(patients=(N, 1), slope=(0.0, 0.0)), 0.0, 0.0
        known = guarantee_time_bias()
        own = virtual_trials().arm("control").bias
        assert abs(known - own.value) < 3 * own.sd
    table = printed(plan, added, tmp_path)

    posterior = fitted(table, {"control": (0.0, 0.05)})
    (bias, sd), (found, error) = mean_and_sd(posterior["bias"].isel(biased_slope=0)), of_slope(posterior)
    assert sd < 0.05 < abs(known) / 2
    assert abs(bias - known) < 3.3 * sd
    assert abs(found - true) < 3.3 * error

    # and without a bias term it goes into the slope
    found, error = of_slope(fitted(table, {}))
    assert abs(found - true) > 4 * error
