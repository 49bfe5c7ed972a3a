"""Where patients are of an illness-death model: against matrix exponentials, and what must follow from it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from invented_fits import draws, invented, patients
from scipy.linalg import expm

from bayes_net.data import Covariate
from bayes_net.data.follow_up import TRANSITIONS
from bayes_net.errors import InputError
from bayes_net.estimands import state_probabilities, survival
from bayes_net.estimands.arms import STATES

CUTS = {"progression": (3.0, 9.0), "death before progression": (6.0,), "death after progression": (3.0, 7.5)}
TIMES = [0.0, 2.0, 6.0, 12.0, 24.0]


def fits(*, slopes=0.2, covariates=False, same_death=False, seed=3):
    rng = np.random.default_rng(seed)
    found = {}
    for name in TRANSITIONS:
        log_hazard = draws(rng, 2, len(CUTS[name]) + 1, mean=-3.0, sd=0.7)
        more = {"covariates": {"age": draws(rng, sd=0.3), "sex": draws(rng, sd=0.3)}} if covariates else {}
        found[name] = invented(log_hazard, draws(rng, 2, sd=slopes), cuts=CUTS[name], **more)
    if same_death:
        found[TRANSITIONS[2]] = found[TRANSITIONS[1]]
    return found


def everyone(covariates=None, names=()):
    n = 4 if covariates is None else len(covariates)
    return patients(np.ones(n), np.ones(n), covariates=covariates, names=names)


def hazard(fit, chain, draw, arm, points, month, effect=0.0):
    posterior, start = fit["posterior"], fit["constant_data"]["interval_start"].values
    k = np.flatnonzero(start <= month)[-1]
    at = {"chain": chain, "draw": draw, "arm": arm}
    log_h = posterior["log_hazard"].isel(at | {"interval": k}) + posterior["slope"].isel(at) * points / 10
    return float(np.exp(log_h + effect))


def by_exponentials(found, chain, draw, arm, points, until, effects=(0.0, 0.0, 0.0)):
    """Probabilities of the states, multiplied up over the stretches on which no hazard changes."""
    cuts = {cut for own in CUTS.values() for cut in own if cut < until}
    edges = [0.0, *sorted(cuts), until]
    state = np.array([1.0, 0.0, 0.0])
    for start, end in pairwise(edges):
        a, b, c = (
            hazard(found[name], chain, draw, arm, points, start, effect)
            for name, effect in zip(TRANSITIONS, effects, strict=True)
        )
        state = state @ expm(np.array([[-a - b, a, b], [0, -c, c], [0, 0, 0]]) * (end - start))
    return state


def test_probabilities_are_products_of_matrix_exponentials():
    found = fits()
    table = state_probabilities(found, everyone(), TIMES, shrinkage=[0.0, 30.0])
    assert table.dims == ("chain", "draw", "state", "arm", "shrinkage", "time")
    assert table["state"].values.tolist() == list(STATES)
    for chain, draw, arm, points in [(0, 0, 0, 0.0), (1, 4, 1, 30.0), (0, 2, 1, 0.0)]:
        for t in TIMES:
            own = table.isel(chain=chain, draw=draw, arm=arm).sel(shrinkage=points, time=t)
            expected = by_exponentials(found, chain, draw, arm, points, t)
            np.testing.assert_allclose(own.values, expected, rtol=0, atol=1e-12)


def test_equal_hazards_of_leaving_and_of_dying_afterwards_are_no_exception():
    log_hazard = np.log(np.full((1, 1, 2, 1), 0.05))
    found = {
        name: invented(log_hazard + shift) for name, shift in zip(TRANSITIONS, np.log([1, 1, 2]), strict=True)
    }
    table = state_probabilities(found, everyone(), [12.0], shrinkage=[0.0])
    having = 0.05 * 12 * np.exp(-0.1 * 12)
    np.testing.assert_allclose(table.sel(state=STATES[1]).values, having, rtol=1e-12)


def test_survival_is_that_of_one_hazard_where_progression_changes_nothing():
    found = fits(same_death=True)
    table = state_probabilities(found, everyone(), TIMES, shrinkage=[0.0, 30.0])
    alive = table.sel(state=list(STATES[:2])).sum("state")
    expected = survival(found[TRANSITIONS[1]], TIMES, shrinkage=[0.0, 30.0])
    np.testing.assert_allclose(alive.transpose(*expected.dims), expected, rtol=1e-12)


def test_survival_is_that_of_death_before_progression_where_nobody_progresses():
    found = fits()
    log_hazard = np.full((2, 5, 2, 3), -60.0)
    found[TRANSITIONS[0]] = invented(log_hazard, np.zeros((2, 5, 2)), cuts=CUTS[TRANSITIONS[0]])
    table = state_probabilities(found, everyone(), TIMES, shrinkage=[0.0, 30.0])
    alive = table.sel(state=list(STATES[:2])).sum("state")
    expected = survival(found[TRANSITIONS[1]], TIMES, shrinkage=[0.0, 30.0])
    np.testing.assert_allclose(alive.transpose(*expected.dims), expected, rtol=1e-12)


def test_states_add_up_to_one_and_nobody_comes_back():
    table = state_probabilities(fits(), everyone(), TIMES, shrinkage=[-20.0, 50.0])
    np.testing.assert_allclose(table.sum("state"), 1.0, rtol=1e-12)
    assert (table.sel(state=STATES[0]).diff("time") <= 0).all()
    assert (table.sel(state="dead").diff("time") >= 0).all()
    np.testing.assert_allclose(table.sel(time=0.0, state=STATES[0]), 1.0)


def test_probabilities_are_averaged_over_the_covariates_of_all_patients():
    found, columns = fits(covariates=True), np.array([[1.0, 0.0], [1.0, 0.0], [-0.5, 1.0]])
    table = state_probabilities(found, everyone(columns, ("age", "sex")), [10.0], shrinkage=[10.0])
    effects = [
        [
            float((found[name]["posterior"]["log_hr_covariate"].isel(chain=1, draw=3) * row).sum())
            for name in TRANSITIONS
        ]
        for row in columns
    ]
    each = [by_exponentials(found, 1, 3, 0, 10.0, 10.0, own) for own in effects]
    own = table.isel(chain=1, draw=3, arm=0, shrinkage=0, time=0)
    np.testing.assert_allclose(own.values, np.mean(each, axis=0), rtol=1e-12)


def test_all_transitions_are_needed():
    found = fits()
    del found[TRANSITIONS[1]]
    with pytest.raises(InputError, match="without death before progression"):
        state_probabilities(found, everyone(), [12.0], shrinkage=[0.0])


def test_studies_are_averaged_with_their_shares_of_each_arm():
    one, other = fits(seed=3), fits(seed=4)
    share = xr.DataArray([[0.25, 1.0], [0.75, 0.0]], {"study": ["A", "B"]}, ("study", "arm"))
    both = {}
    for name, fit in one.items():
        parts = [each[name]["posterior"]["log_hazard"] for each in (one, other)]
        hazards = xr.concat(parts, dim="study").assign_coords(study=["A", "B"])
        groups = {key: node.to_dataset() for key, node in fit.children.items()}
        groups["posterior"] = groups["posterior"].drop_vars("log_hazard").assign(log_hazard=hazards)
        groups["constant_data"] = groups["constant_data"].assign(study_share=share)
        other[name]["posterior"]["slope"] = fit["posterior"]["slope"]
        both[name] = xr.DataTree.from_dict({"/": xr.Dataset(attrs=fit.attrs), **groups})
    data = replace(everyone(), study=np.array([0, 1, 1, 1]), studies=("A", "B"))
    found = state_probabilities(both, data, TIMES, shrinkage=[0.0, 20.0])
    parts = [state_probabilities(each, everyone(), TIMES, shrinkage=[0.0, 20.0]) for each in (one, other)]
    expected = sum(part * share.sel(study=s, drop=True) for part, s in zip(parts, "AB", strict=True))
    np.testing.assert_allclose(found, expected.transpose(*found.dims), rtol=1e-12)


def test_covariates_with_ratios_in_each_arm_are_those_of_the_arm():
    found, age = fits(covariates=True), np.array([2.0, -1.0, 0.5])
    columns = np.array(
        [[2.0, 0.0], [0.0, -1.0], [0.5, 0.0]]
    )  # of patients of the first arm, the second, the first
    data = everyone(columns, ("age", "sex"))
    data = replace(data, arm=np.array([0, 1, 0]), terms=(Covariate("age", arms=data.arms),))
    table = state_probabilities(found, data, [10.0], shrinkage=[10.0])
    for arm, column in ((0, "age"), (1, "sex")):
        each = []
        for value in age:  # all patients, as if in this arm
            effects = [
                float(
                    found[name]["posterior"]["log_hr_covariate"].sel(covariate=column).isel(chain=1, draw=3)
                )
                for name in TRANSITIONS
            ]
            each.append(by_exponentials(found, 1, 3, arm, 10.0, 10.0, value * np.array(effects)))
        own = table.isel(chain=1, draw=3, arm=arm, shrinkage=0, time=0)
        np.testing.assert_allclose(own.values, np.mean(each, axis=0), rtol=1e-12)
