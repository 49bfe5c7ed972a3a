"""Gauss rules of exposure: exact for polynomials, exact for few scores, and their error for exp."""

from dataclasses import replace

import numpy as np
import pytest
from exposures import patients

from bayes_net.data.exposure import Exposure
from bayes_net.data.gauss import NODES, compress, compression_error, gauss_rule
from bayes_net.data.intervals import person_time
from bayes_net.errors import InputError

LOG_4 = np.log(4.0)


def measures() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Scores (units of 10 points) over 100 points and weights, from even to extreme."""
    rng = np.random.default_rng(2)
    spread = np.linspace(-2.0, 8.0, 201)
    return {
        "even": (spread, np.ones(201)),
        "random": (rng.uniform(-2, 8, 400), rng.exponential(size=400)),
        "normal": (rng.normal(3, 1.5, 1000).clip(-2, 8), rng.exponential(size=1000)),
        "mostly at the ends": (3 - 5 * np.cos(np.pi * np.arange(201) / 200), np.ones(201)),
        "mass at one end": (spread, np.where(spread == 8, 1.0, 1e-9)),
        "two clusters": (np.concatenate([spread / 1e12, 5 + spread / 1e12]), np.ones(402)),
        "near-duplicates": (np.repeat(np.arange(-2.0, 5.0), 2) + np.tile([0, 1e-15], 7), np.ones(14)),
    }


MEASURES = measures()


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("nodes", [1, 2, 5, 12])
def test_a_rule_of_k_nodes_integrates_polynomials_up_to_degree_2k_minus_1_exactly(name, nodes):
    score, weight = MEASURES[name]
    at, mass = gauss_rule(score, weight, nodes=nodes)
    x, nodes_x = (score - 3) / 5, (at - 3) / 5
    for degree in range(2 * nodes):
        # |x| <= 1, so a moment is at most the total weight; about 50 roundings of the Lanczos steps
        assert abs(mass @ nodes_x**degree - weight @ x**degree) < 1e-13 * weight.sum()


@pytest.mark.parametrize("name", MEASURES)
def test_nodes_lie_within_the_scores_and_weights_are_positive_and_sum_to_the_exposure(name):
    score, weight = MEASURES[name]
    at, mass = gauss_rule(score, weight, nodes=NODES)
    assert len(at) <= NODES
    assert (mass > 0).all()
    assert mass.sum() == pytest.approx(weight.sum(), rel=1e-14)
    assert at.min() >= score.min() - 1e-12
    assert at.max() <= score.max() + 1e-12


def test_the_degree_after_the_last_is_not_integrated_exactly():
    score, weight = MEASURES["even"]
    at, mass = gauss_rule(score, weight, nodes=3)
    assert abs(mass @ ((at - 3) / 5) ** 6 - weight @ ((score - 3) / 5) ** 6) > 1e-3 * weight.sum()


@pytest.mark.parametrize("distinct", [1, 2, NODES])
def test_no_more_distinct_scores_than_nodes_come_back_as_they_are(distinct):
    rng = np.random.default_rng(5)
    score, weight = rng.integers(0, distinct, 500) / 3, rng.exponential(size=500)
    at, mass = gauss_rule(score, weight, nodes=NODES)
    np.testing.assert_array_equal(at, np.unique(score))
    np.testing.assert_allclose(mass, [weight[score == s].sum() for s in at], rtol=1e-13)


def test_scores_without_exposure_do_not_count():
    at, mass = gauss_rule(np.arange(50.0), np.where(np.arange(50) < 3, 2.0, 0.0), nodes=3)
    assert (at.tolist(), mass.tolist()) == ([0, 1, 2], [2, 2, 2])
    assert len(gauss_rule(np.arange(3.0), np.zeros(3), nodes=3)[0]) == 0


@pytest.mark.parametrize("name", MEASURES)
def test_the_error_for_a_hazard_ratio_of_4_per_10_points_over_100_points_is_below_1e_9(name):
    score, weight = MEASURES[name]
    at, mass = gauss_rule(score, weight, nodes=NODES)
    for slope in np.linspace(-LOG_4, LOG_4, 9):
        assert mass @ np.exp(slope * at) == pytest.approx(weight @ np.exp(slope * score), rel=1e-9)


def test_the_error_falls_faster_with_every_node():
    score, weight = MEASURES["even"]
    errors = []
    for nodes in range(2, 8):
        at, mass = gauss_rule(score, weight, nodes=nodes)
        errors.append(abs(mass @ np.exp(at / 2) / (weight @ np.exp(score / 2)) - 1))
    falls = np.array(errors[:-1]) / np.array(errors[1:])
    assert (np.diff(falls) > 0).all()
    assert falls[0] > 10


def exact_sums(data: Exposure, slope: float) -> np.ndarray:
    """sum of e_ik exp(slope s_i) by pattern of arm and covariates, and interval."""
    weighted = person_time(data.time, data.cuts) * np.exp(slope * data.score)[:, None]
    rows = np.column_stack([data.arm, data.covariates])
    return np.array([weighted[(rows == pattern).all(axis=1)].sum(axis=0) for pattern in data.patterns])


def test_every_cell_has_the_sums_of_its_own_patients():
    data = patients(400, covariates=("grade: II", "age"))
    nodes = compress(data)
    assert len(nodes.patterns) == 12
    for slope in (-0.5, 0.0, 0.7):
        sums = (nodes.weight * np.exp(slope * nodes.score)).sum(axis=2)
        np.testing.assert_allclose(sums, exact_sums(data, slope), rtol=1e-11)
    np.testing.assert_allclose(nodes.weight.sum(), data.time.sum(), rtol=1e-13)


def test_the_compression_error_is_the_largest_relative_error_of_a_cell():
    data, slopes = patients(400), np.array([-1.5, 0.3, 1.0])
    nodes = compress(data, nodes=3)
    errors = [
        np.abs((nodes.weight * np.exp(slope * nodes.score)).sum(axis=2) / exact_sums(data, slope) - 1).max()
        for slope in slopes
    ]
    assert compression_error(data, nodes, slopes=slopes) == pytest.approx(max(errors), rel=1e-10)
    assert max(errors) > 1e-3
    # a cell that is off by 1 % shows as such
    spoilt = replace(compress(data), weight=compress(data).weight * np.array([[1.0], [1.01], [1.0], [1.0]]))
    assert compression_error(data, spoilt, slopes=slopes) == pytest.approx(0.01, rel=1e-6)


def test_all_scores_equal_need_one_node():
    data = replace(patients(50), score=np.full(50, 1.7))
    nodes = compress(data)
    assert ((nodes.weight > 0).sum(axis=2) == 1).all()
    assert compression_error(data, nodes, slopes=np.array([-2.0, 2.0])) < 1e-14


def test_one_patient_is_its_own_node_in_each_interval_entered():
    data = replace(patients(1), time=np.array([6.0]), score=np.array([2.5]))
    nodes = compress(data)
    assert nodes.patterns.tolist() == [[0.0]]
    assert nodes.weight[0, :, 0].tolist() == [2, 3, 1, 0]
    assert nodes.score[0, :, 0].tolist() == [2.5, 2.5, 2.5, 0]
    assert (nodes.weight[0, :, 1:] == 0).all()


def test_an_empty_cell_weighs_nothing_and_has_no_error():
    data = patients(60, cuts=(2.0, 1000.0))
    nodes = compress(data, patterns=np.array([[0.0], [1.0], [2.0]]))
    assert (nodes.weight[2] == 0).all()
    assert (nodes.weight[:, 2] == 0).all()
    assert np.isfinite(nodes.score).all()
    assert compression_error(data, nodes, slopes=np.array([1.0])) < 1e-12


def test_patients_outside_the_patterns_are_refused_and_not_dropped():
    data = patients(60, covariates=("age",))
    with pytest.raises(InputError, match="patients' arm and covariates are not one of the 2 patterns"):
        compress(data, patterns=data.patterns[:2])
    with pytest.raises(InputError, match="exactly one"):
        compress(data, patterns=np.vstack([data.patterns, data.patterns[:1]]))


def test_a_hundred_thousand_patients_are_as_exact_as_a_hundred():
    data = patients(100_000)
    data = replace(data, score=np.random.default_rng(8).uniform(-2, 8, data.n))
    assert compression_error(data, compress(data), slopes=np.array([-LOG_4, LOG_4])) < 1e-9
