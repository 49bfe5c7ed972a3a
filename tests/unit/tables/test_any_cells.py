"""Whatever stands in the cells of patients and scans, they are a cohort or refused in words."""

import warnings

import pandas as pd
from cohort_tables import people, read, sizes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayes_net.data.cohort import Cohort
from bayes_net.errors import CohortError

FEW = settings(deadline=5000, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
TEXTS = st.text(st.characters(), max_size=6) | st.sampled_from(
    ["9" * 4000, "inf", "1_0", "٣", "NA", "2026-01-01", "1e400"]
)
CELLS = (
    TEXTS
    | st.sampled_from(
        ["\ud800", 10**400, [1], {"a": 1}, b"x", 1j, pd.NA, pd.NaT, pd.Timestamp("2026-01-01"), 1e308]
    )
    | st.floats()
    | st.integers()
    | st.booleans()
    | st.none()
    | st.decimals(allow_nan=True)
    | st.lists(st.integers(), max_size=2)
)


@FEW
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7), CELLS), max_size=3), CELLS, st.integers(0, 4))
def test_any_cell_of_patients_and_scans_is_a_cohort_or_refused(changes, cell, column):
    patients, scans = people(), sizes()
    for row, at, value in changes:
        own = list(patients.iloc[:, at])
        own[row] = value
        patients[patients.columns[at]] = pd.Series(own, dtype=object)
    own = [cell, *scans.iloc[1:, column]]
    scans[scans.columns[column]] = pd.Series(own, dtype=object)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = read(patients, scans, covariates=["age", "grade"])
        except CohortError:
            return
        assert isinstance(found, Cohort)
        assert len(found.digest) == 64
