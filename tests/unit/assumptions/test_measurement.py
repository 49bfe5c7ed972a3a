"""True best shrinkage given scans with error: a closed form of one scan, and what is not known to be off."""

import numpy as np
import pandas as pd
import pytest

import bayes_net as bn
from bayes_net.assumptions.measurement import EARLY, Changes, expose_with_error, law_of_changes
from bayes_net.data.terms import TrueShrinkage
from bayes_net.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")

DAY = 1 / 30.4375


def trial(n=60, *, seed=2, days=(56, 112), vanished=()) -> bn.Cohort:
    """Two arms; ``vanished`` patients have no tumour at their last scan."""
    rng = np.random.default_rng(seed)
    names = [f"p{i:03d}" for i in range(n)]
    time = rng.integers(160, 600, n)
    patients = pd.DataFrame({"patient": names, "arm": np.where(np.arange(n) % 2, "b", "a")})
    patients = patients.assign(os_time=time, os_event=(rng.random(n) < 0.8).astype(int))
    change = rng.normal(-0.3, 0.3, n)
    scans = [pd.DataFrame({"patient": names, "time": 0, "size": 80.0})]
    for k, day in enumerate(days):
        size = 80 * np.exp(change * (1 - np.exp(-day * DAY / EARLY)) + rng.normal(0, 0.1, n))
        if k == len(days) - 1:
            size[list(vanished)] = 0.0
        scans.append(pd.DataFrame({"patient": names, "time": day, "size": size}))
    return bn.read_cohort(patients, pd.concat(scans), time_unit="days", size_unit="mm")


def exposed(cohort, label="150 d", **how):
    sets = bn.landmark(cohort, [label], endpoint="os", population="alive")
    data = bn.expose(sets, label, cuts=[6.0], **how)
    return data, sets


def uncertain(cohort, *, sd, seed=1, **how):
    data, sets = exposed(cohort, **how)
    return expose_with_error(data, cohort, sets, "150 d", sd=sd, seed=seed)


def test_with_one_scan_the_true_change_is_normal_with_the_closed_forms_mean_and_variance():
    """Of log sums the error's variance is twice that of a scan: the baseline has one too."""
    cohort, sd = trial(days=(84,)), 0.1
    data, found = exposed(cohort)[0], uncertain(cohort, sd=sd)
    t = 84 * DAY
    for arm in (0, 1):
        own = data.arm == arm
        measured = np.log1p(-data.score[own] / 10)
        law = law_of_changes(np.full((own.sum(), 1), t), measured[:, None], sd=sd)
        basis = np.array([1 - np.exp(-t / EARLY), t / 12])
        true = (basis * law.sd[:2]) @ (basis * law.sd[:2]) + law.sd[2] ** 2 * t / 12
        gain = true / (true + 2 * sd**2)
        mean, variance = basis @ law.mean + gain * (measured - basis @ law.mean), gain * 2 * sd**2
        size = np.exp(mean + variance / 2)  # log-normal
        expected, spread = 10 * (1 - size), 10 * size * np.sqrt(np.expm1(variance))
        for each, closed in zip(found.moments, (expected, spread), strict=True):
            # 1000 pairs of draws: 4 Monte-Carlo errors of a mean of pairs and of an SD
            np.testing.assert_allclose(each[own], closed, atol=4 * spread.max() / np.sqrt(2 * 1000))


def test_the_law_of_changes_is_found_again():
    rng, n = np.random.default_rng(5), 3000
    months = np.sort(rng.uniform(1, 12, (n, 5)), axis=1)
    months[rng.random((n, 5)) < 0.2] = np.nan
    truth = Changes(np.array([-0.5, 0.1]), np.array([0.3, 0.2, 0.15]))
    t = np.nan_to_num(months)
    walk = np.cumsum(rng.normal(size=(n, 5)) * np.sqrt(np.diff(t, axis=1, prepend=0).clip(0) / 12), axis=1)
    # steps of a path with gaps are those between the scans that there are
    for i in range(n):
        own = ~np.isnan(months[i])
        steps = np.diff(months[i][own], prepend=0) / 12
        walk[i, own] = np.cumsum(rng.normal(size=own.sum()) * np.sqrt(steps))
    b = truth.mean + rng.normal(size=(n, 2)) * truth.sd[:2]
    true = b[:, :1] * (1 - np.exp(-months / EARLY)) + b[:, 1:] * months / 12 + truth.sd[2] * walk
    measured = true + 0.1 * (rng.normal(size=(n, 5)) - rng.normal(size=(n, 1)))
    found = law_of_changes(months, measured, sd=0.1)
    np.testing.assert_allclose(found.mean, truth.mean, atol=4 * 0.35 / np.sqrt(n))
    np.testing.assert_allclose(found.sd, truth.sd, rtol=0.15)


def test_with_hardly_any_error_true_shrinkage_is_the_measured_one():
    cohort = trial()
    data, found = exposed(cohort)[0], uncertain(cohort, sd=1e-4)
    mean, sd = found.moments
    np.testing.assert_allclose(mean, data.score, atol=5e-3)
    assert sd.max() < 5e-3
    np.testing.assert_array_equal(found.score, data.score)
    np.testing.assert_allclose(found.spread[0], found.spread[1], atol=5e-3)


def test_the_best_of_several_scans_is_more_than_the_tumour_shrank():
    """Of scans around one size the best measured is the one with the luckiest error."""
    rng, n = np.random.default_rng(3), 200
    names = [f"p{i}" for i in range(n)]
    patients = pd.DataFrame({"patient": names, "arm": "a", "os_time": 300, "os_event": 1})
    scans = [
        pd.DataFrame({"patient": names, "time": day, "size": 80 * np.exp(0.15 * rng.normal(size=n))})
        for day in (0, 28, 56, 84, 112, 140)
    ]
    cohort = bn.read_cohort(patients, pd.concat(scans), time_unit="days", size_unit="mm")
    data, found = exposed(cohort)[0], uncertain(cohort, sd=0.15)
    assert data.score.mean() > 1.5
    assert abs(found.moments[0].mean()) < 0.5


def test_a_tumour_that_has_disappeared_has_no_error():
    cohort = trial(vanished=(3, 8))
    found = uncertain(cohort, sd=0.05)
    mean, sd = found.moments
    gone = found.score >= 9.999
    assert gone.sum() == 2
    np.testing.assert_allclose(mean[gone], 10.0)
    np.testing.assert_allclose(sd[gone], 0.0, atol=1e-12)
    assert (sd[~gone] > 0.1).all()


def test_the_same_seed_gives_the_same_nodes_and_the_measure_says_what_was_assumed():
    cohort = trial()
    one, again, other = (uncertain(cohort, sd=0.1, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.node_score, again.node_score)
    assert (one.node_score != other.node_score).any()
    assert one.measure == TrueShrinkage(0.0, 0.1)
    assert uncertain(cohort, sd=0.1, measure=bn.Shrinkage(20)).moments[0].mean() == pytest.approx(
        one.moments[0].mean() - 2, abs=1e-9
    )


def averages(score, weight, slope, centre):
    """Likelihoods of no event, of one, and of one between two assessments, averaged over nodes, at several
    cumulative hazards at the centre."""
    factor = np.exp(slope * (score - centre))
    none = np.exp(-np.array([0.1, 0.5, 1.0, 2.0, 4.0])[:, None] * factor)
    return np.concatenate([none, none * factor, -none * np.expm1(-factor / 2)]) @ weight


@pytest.mark.parametrize("sd", [0.05, 0.1, 0.15])
def test_as_many_nodes_as_are_enough(sd, monkeypatch):
    cohort = trial(n=40, vanished=(3,))
    found = uncertain(cohort, sd=sd)
    monkeypatch.setattr("bayes_net.assumptions.measurement.nodes_of", lambda score: 20)
    many = uncertain(cohort, sd=sd)
    assert found.node_weight.shape[1] < 10
    np.testing.assert_allclose(found.moments, many.moments, atol=1e-9)
    worst = [
        np.abs(
            averages(found.node_score[i], found.node_weight[i], slope, found.moments[0][i])
            / averages(many.node_score[i], many.node_weight[i], slope, found.moments[0][i])
            - 1
        ).max()
        for i in range(found.n)
        for slope in (-np.log(2), np.log(2))
    ]
    assert np.median(worst) < 5e-5
    assert max(worst) < 5e-4
    assert (found.node_weight > 0).sum(axis=1).min() == 1  # a tumour that has disappeared


@pytest.mark.parametrize("sd", [0.0, -0.1, 7.0, np.nan])
def test_an_error_in_percent_or_none_is_refused(sd):
    with pytest.raises(InputError, match=r"such as 0\.07 for 7 %"):
        uncertain(trial(), sd=sd)


def test_a_response_is_refused():
    with pytest.raises(InputError, match="expected the exposure of their shrinkage"):
        uncertain(trial(), sd=0.1, measure=bn.Response(30))
