"""Weights against direct standardisation, their optimality condition, and a linear programme."""

import numpy as np
import pytest
from scipy.optimize import linprog

from bayes_net.statistics.balance import balancing_weights, effective_number


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
