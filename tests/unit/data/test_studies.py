"""Patients of several studies: whose baselines are whose, and what must not change them."""

from dataclasses import replace

import numpy as np
import pytest
from cohort_tables import people, read, sizes
from exposures import patients

from bayes_net.data.aggregated import aggregate
from bayes_net.data.exposure import collapsed_form, expose, long_form, subset
from bayes_net.data.follow_up import time_dependent
from bayes_net.data.landmarks import landmark
from bayes_net.data.registry import expose_registry
from bayes_net.errors import InputError

TRIALS = ("A", "B")


def two_trials():
    return read(people().assign(study=["A", "B", "A", "B"]), sizes())


def test_each_of_several_studies_has_its_own_baselines():
    cohort = two_trials()
    data = expose(landmark(cohort, ["100d"]), "100d", cuts=[3.0])
    at_risk = landmark(cohort, ["100d"]).at("100d")
    assert data.studies == cohort.studies == TRIALS
    assert [TRIALS[s] for s in data.study] == at_risk["study"].tolist()
    joint = time_dependent(cohort, cuts=[3.0])
    of_patient = dict(zip(np.arange(4), ["A", "B", "A", "B"], strict=True))
    assert [TRIALS[s] for s in joint.study] == [of_patient[p] for p in joint.patient]


def test_studies_share_their_baselines_when_asked_and_one_study_has_no_dim():
    asked = expose(landmark(two_trials(), ["100d"]), "100d", cuts=[3.0], studies="shared")
    only = expose(landmark(read(), ["100d"]), "100d", cuts=[3.0])
    for data in (asked, only, time_dependent(two_trials(), cuts=[3.0], studies="shared")):
        assert (data.study, data.studies, data.strata) == (None, (), (2,))
    with pytest.raises(InputError, match="studies = 'both' is unknown"):
        expose(landmark(two_trials(), ["100d"]), "100d", cuts=[3.0], studies="both")


def test_counts_by_stratum_are_those_of_the_studies_patients():
    data = patients(200, studies=TRIALS, covariates=("age",))
    for s in range(2):
        own = subset(data, data.study == s)
        alone = replace(own, study=None, studies=())
        np.testing.assert_array_equal(data.events_by_stratum[s], alone.events)
        np.testing.assert_array_equal(data.n_by_stratum[s], alone.n_by_arm)
    np.testing.assert_array_equal(data.events_by_stratum.sum(axis=0), data.events)
    sums = aggregate(data)
    np.testing.assert_array_equal(sums.events_by_stratum, data.events_by_stratum)
    np.testing.assert_array_equal(sums.n_by_stratum, data.n_by_stratum)
    np.testing.assert_array_equal(sums.events, data.events)
    np.testing.assert_array_equal(sums.n_by_arm, data.n_by_arm)
    together = aggregate(subset(data, data.study == 0)) + aggregate(subset(data, data.study == 1))
    np.testing.assert_array_equal(together.events_by_stratum, data.events_by_stratum)


def test_rows_of_different_studies_are_not_added_up():
    data = replace(patients(200, studies=TRIALS), score=np.zeros(200))
    rows, fewer = long_form(data), collapsed_form(data)
    keys = ["study", "arm", "interval"]
    assert fewer.set_index(keys)["event"].to_dict() == rows.groupby(keys)["event"].sum().to_dict()


def test_a_registry_does_not_silently_take_several_studies_for_one():
    found = landmark(two_trials(), ["100d"])
    with pytest.raises(InputError, match="a landmark set is of the studies A, B"):
        expose_registry(found, arms=found.arms, cuts=[3.0], landmark="100 d")
    assert expose_registry(found.table, arms=found.arms, cuts=[3.0], landmark="100 d").n == len(found.table)
