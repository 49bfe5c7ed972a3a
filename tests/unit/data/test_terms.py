"""Columns of covariates: splines, arms of their own, and what users give stays raw."""

import numpy as np
import pandas as pd
import pytest
from cohort_tables import people, read, sizes

from bayes_net.data.exposure import expose
from bayes_net.data.landmarks import landmark
from bayes_net.data.terms import (
    QUANTILES,
    Covariate,
    cardinal_spline,
    covariate_attrs,
    covariates_of,
    in_arm,
    spline_knots,
)
from bayes_net.errors import InputError

KNOTS = (38.0, 56.6, 64.0, 70.2)
AGE = Covariate("age", reference=60.0, knots=KNOTS)
ARMS = ("control", "treated")


def test_a_spline_passes_through_its_knots_and_is_a_straight_line_beyond_them():
    knots = np.array(KNOTS)
    np.testing.assert_allclose(cardinal_spline(knots, knots), np.eye(4), atol=1e-12)
    for x in ([10.0, 20.0, 38.0], [70.2, 80.0, 99.0]):
        steps = np.diff(cardinal_spline(x, knots), axis=0) / np.diff(x)[:, None]
        np.testing.assert_allclose(steps[0], steps[1], rtol=1e-10)
    x = np.linspace(20, 90, 50)
    # it holds every straight line, and is smooth: second differences do not jump
    np.testing.assert_allclose(cardinal_spline(x, knots) @ (3 - 2 * knots), 3 - 2 * x, rtol=1e-10)
    fine = np.arange(30.0, 80.0, 1e-3)
    second = np.diff(cardinal_spline(fine, knots), n=2, axis=0) / 1e-6
    assert np.abs(np.diff(second, axis=0)).max() < 1e-3


def test_a_spline_is_nothing_at_the_reference_and_has_the_hazard_ratios_between_knots():
    assert AGE.columns == ("age: 38 against 56.6", "age: 64 against 56.6", "age: 70.2 against 56.6")
    assert list(AGE.coded(60.0).values()) == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    effects = np.array([0.4, -0.3, 0.9])
    at = [np.dot(list(AGE.coded(x).values()), effects) for x in KNOTS]
    assert [at[k] - at[1] for k in (0, 2, 3)] == pytest.approx(effects)


def test_knots_are_quantiles_of_the_patients():
    rng = np.random.default_rng(1)
    values = rng.normal(60, 10, 400)
    for count, probabilities in QUANTILES.items():
        assert len(probabilities) == count
        np.testing.assert_allclose(spline_knots(values, count), np.quantile(values, probabilities))
        np.testing.assert_allclose(np.array(probabilities) + probabilities[::-1], 1.0)
    with pytest.raises(InputError, match="of which some are the same; expected fewer knots"):
        spline_knots(np.repeat([1.0, 2.0], 50), 4)
    with pytest.raises(InputError, match="expected 3 to 7"):
        spline_knots(values, 2)


def test_an_exposure_places_the_knots_and_keeps_them():
    cohort = read(people(), sizes(), covariates=("age",))
    set_ = landmark(cohort, ["84d", "100d"])
    data = expose(set_, "100d", cuts=[3.0], covariates=[Covariate("age", 60, knots=3)])
    (term,) = data.terms
    everyone = set_.table.drop_duplicates("patient")["age"].to_numpy(float)
    assert term.knots == pytest.approx(np.quantile(everyone, (0.1, 0.5, 0.9)))
    assert data.covariate_names == term.columns
    (again,) = covariates_of(covariate_attrs(data.terms)).values()
    assert again == term
    graded = landmark(read(covariates=("grade",)), ["100d"])
    with pytest.raises(InputError, match="a spline is of numbers; give levels"):
        expose(graded, "100d", cuts=[3.0], covariates=[Covariate("grade", knots=3)])


@pytest.mark.parametrize(
    "term",
    [
        Covariate("age", 60.0, 10.0, arms=ARMS),
        Covariate("age", 60.0, knots=KNOTS, arms=ARMS),
        Covariate("grade", levels=("I", "II", "III"), arms=ARMS),
    ],
)
def test_columns_of_an_arm_are_those_of_its_patients(term):
    table = people()[["arm", "age", "grade"]].assign(age=people()["age"].astype(float))
    plain = Covariate(term.name, term.reference, term.scale, term.levels, term.knots)
    whole, found = plain.values(table), term.values(table)
    k = whole.shape[1]
    assert term.columns == tuple(f"{name}, {arm}" for arm in ARMS for name in plain.columns)
    for a, arm in enumerate(ARMS):
        expected = np.where((table["arm"] == arm).to_numpy()[:, None], whole, 0.0)
        np.testing.assert_array_equal(found[:, a * k : (a + 1) * k], expected)
        # everyone, as if in this arm
        moved = in_arm(found, [term], arm)
        np.testing.assert_allclose(moved[:, a * k : (a + 1) * k], whole)
        assert not np.delete(moved, np.s_[a * k : (a + 1) * k], axis=1).any()
    value = table[term.name].iloc[0]
    assert list(term.coded(value).values()) == pytest.approx([*whole[0], *whole[0]])
    assert list(term.arm_of.values()) == [arm for arm in ARMS for _ in range(k)]


def test_columns_without_arms_stay_where_they_are():
    x = np.arange(6.0).reshape(2, 3)
    terms = [Covariate("a"), Covariate("b", arms=ARMS)]
    np.testing.assert_array_equal(in_arm(x, terms, "treated"), [[0, 0, 3], [3, 0, 9]])
    np.testing.assert_array_equal(in_arm(x, (), "treated"), x)


def test_a_column_of_text_in_a_frame_is_read_by_its_levels():
    grade = Covariate("grade", levels=("I", "II"))
    assert grade.values(pd.DataFrame({"grade": ["II", "I"]})).tolist() == [[1.0], [0.0]]
