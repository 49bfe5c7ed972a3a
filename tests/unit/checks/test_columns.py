"""Columns that are constant, empty or told by others are named before anything is fitted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from exposures import patients

from bayes_net.checks.columns import poor_column
from bayes_net.data.terms import Covariate

GRADE = Covariate("grade", levels=("G1", "G2", "G3"))


def with_terms(data, table, *terms):
    table = table.assign(arm=np.array(data.arms)[data.arm])
    return replace(
        data,
        covariates=np.hstack([each.values(table) for each in terms]),
        covariate_names=tuple(name for each in terms for name in each.columns),
        terms=terms,
    )


def found(data) -> dict[str, list[str]]:
    notes: dict[str, list[str]] = {}
    for j, name in enumerate(data.covariate_names):
        for code, message in poor_column(data, j, name):
            notes.setdefault(code, []).append(message)
    return notes


@pytest.fixture
def data():
    return patients(120, seed=4)


def grades(data, levels):
    return pd.DataFrame({"grade": np.resize(levels, data.n)})


def test_levels_that_patients_have_are_not_named(data):
    assert found(with_terms(data, grades(data, ["G1", "G2", "G3"]), GRADE)) == {}


def test_a_level_nobody_has_and_one_that_all_have_are_named(data):
    (message,) = found(with_terms(data, grades(data, ["G1", "G2"]), GRADE))["constant-covariate"]
    assert message == "grade: G3 is of no patient, so no hazard ratio of it is printed"
    messages = found(with_terms(data, grades(data, ["G2"]), GRADE))["constant-covariate"]
    assert messages[1:] == [
        "grade: G2 is of all patients, so no hazard ratio of it is printed",
        "grade: G3 is of no patient, so no hazard ratio of it is printed",
    ]


@pytest.mark.parametrize("arms", [(), ("control", "treated")])
def test_a_reference_nobody_has_is_named_once(data, arms):
    own = replace(GRADE, arms=arms)
    messages = found(with_terms(data, grades(data, ["G2", "G3"]), own))["constant-covariate"]
    assert len(messages) == 1
    assert messages[0].startswith("grade: no patient has G1, the level that others are compared with")


def test_a_covariate_that_is_the_study_follows_from_it(data):
    data = replace(data, study=np.arange(data.n) % 2, studies=("A", "B"))
    table = pd.DataFrame({"region": np.where(data.study == 0, "east", "west")})
    region = Covariate("region", levels=("east", "west"))
    (message,) = found(with_terms(data, table, region))["collinear-covariate"]
    assert message.startswith("region: west follows from study (100 % of its variance)")
    shared = replace(with_terms(data, table, region), study=None, studies=())
    assert "collinear-covariate" not in found(shared)


def test_a_spline_and_a_line_of_the_same_number_are_told_by_each_other(data):
    age = np.linspace(40, 80, data.n)
    table = pd.DataFrame({"age": age, "born": 2000 - age + np.tile([0.1, -0.1], data.n // 2)})
    spline = Covariate("age", 60.0, knots=3).with_knots(table["age"])
    notes = found(with_terms(data, table, spline, Covariate("born", 1940.0, 10.0)))
    assert any(text.startswith("born follows from") for text in notes["collinear-covariate"])
    assert found(with_terms(data, table, spline)) == {}  # its own columns do not tell each other
