"""Weights against direct standardisation, their optimality condition, and a linear programme."""

import numpy as np
import pytest
from scipy.optimize import linprog

from bayes_net.statistics.balance import balanced_again, balancing_weights, effective_number


def test_of_one_category_they_are_shares_over_shares():
    level = np.array([0.0] * 6 + [1.0] * 2)[:, None]
    found = balancing_weights(level, np.array([0.6]))
    np.testing.assert_allclose(found, [0.4 / 6] * 6 + [0.6 / 2] * 2, rtol=1e-9)
    assert effective_number(found) == pytest.approx(1 / (0.4**2 / 6 + 0.6**2 / 2))


def test_means_are_the_targets_and_log_weights_are_linear_in_the_columns():
    rng = np.random.default_rng(1)
    plain, target = rng.normal(size=(40, 3)), np.array([0.4, -0.3, 0.2])
    found = balancing_weights(plain, target)
    np.testing.assert_allclose(found @ plain, target, atol=1e-9)
    design = np.column_stack([np.ones(40), plain])
    left = np.linalg.lstsq(design, np.log(found), rcond=None)[1]
    assert left.item() < 1e-16
    assert found.sum() == pytest.approx(1.0)
    # columns that follow from others, and constant ones, change nothing
    more = np.column_stack([plain, plain[:, 0] - plain[:, 1], np.full(40, 2.0)])
    again = balancing_weights(more, np.append(target, [0.7, 2.0]))
    np.testing.assert_allclose(again, found, rtol=1e-7)


def test_there_are_none_exactly_where_no_positive_weights_have_these_means():
    rng, kinds = np.random.default_rng(2), set()
    for _ in range(60):
        columns, target = rng.normal(size=(15, 5)), rng.normal(size=5) * 0.4
        found = balancing_weights(columns, target)
        means = np.vstack([columns.T, np.ones(15)])
        possible = linprog(np.zeros(15), A_eq=means, b_eq=np.append(target, 1.0), bounds=(1e-6, None))
        assert (found is not None) == (possible.status == 0)
        kinds.add(found is None)
    assert kinds == {True, False}
    assert balancing_weights(np.full((4, 1), 2.0), np.array([2.5])) is None
    twice = np.repeat(rng.normal(size=(9, 1)), 2, axis=1)
    assert balancing_weights(twice, np.array([0.1, 0.2])) is None


def test_without_columns_all_count_alike():
    assert balancing_weights(np.zeros((5, 0)), np.zeros(0)).tolist() == [0.2] * 5


def test_patients_who_count_several_times_are_balanced_as_if_they_were_there_so_often():
    rng = np.random.default_rng(6)
    columns = np.column_stack([rng.normal(3, 2, 30), np.arange(30) % 2, np.ones(30)])
    counts = rng.integers(1, 4, (5, 30))
    targets = np.column_stack([3 + rng.normal(0, 0.5, 5), np.linspace(0.3, 0.6, 5), np.ones(5)])
    found = balanced_again(columns, targets, counts.astype(float))
    for own, count, target in zip(found, counts, targets, strict=True):
        each = balancing_weights(np.repeat(columns, count, axis=0), target)
        np.testing.assert_allclose(own, np.bincount(np.repeat(np.arange(30), count), each), atol=1e-9)


def test_means_that_no_weights_have_are_come_near_to():
    columns, target = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [2.5]])
    found = balanced_again(columns, target, np.ones((2, 3)))
    np.testing.assert_allclose(found[0], 1 / 3, atol=1e-9)
    assert found[1] @ columns[:, 0] == pytest.approx(2.0, abs=0.01)
