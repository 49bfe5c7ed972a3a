"""The stored calibration of missing covariates: intervals cover, and imputing wrongly shows."""

import json

import pytest
from calibration import imputed
from scipy.stats import binom

SURE = 0.001
"""How often a sound result may fail the checks of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    if not imputed.STORED.exists():
        pytest.skip("not stored: run `python -m tests.calibration.imputed` and commit imputed.json")
    return json.loads(imputed.STORED.read_text(encoding="utf-8"))


def of(stored, how):
    return [row for row in stored["rows"] if row["how"] == how]


@pytest.mark.parametrize("share", imputed.SHARES)
def test_intervals_cover_slopes_and_the_covariates_hazard_ratio(stored, share):
    rows = [row for row in of(stored, imputed.OURS) if row["missing"] == share]
    assert [row["of"] for row in rows] == ["slope A", "slope B", "covariate"]
    assert 0.92 <= sum(row["covered"] for row in rows) / sum(row["trials"] for row in rows) <= 0.975
    fewest, most = binom.ppf([SURE / 12, 1 - SURE / 12], imputed.TRIALS, 0.95)
    for row in rows:
        assert fewest <= row["covered"] <= most, row


def test_imputations_that_do_not_know_the_outcome_would_be_seen(stored):
    """The planted error: the covariate's hazard ratio goes to 1."""
    (row,) = [row for row in of(stored, imputed.BLIND) if row["of"] == "covariate"]
    assert row["bias"] < -0.15
    assert row["covered"] / row["trials"] < 0.8, row


def test_one_imputation_taken_for_what_was_measured_would_be_seen(stored):
    (row,) = [row for row in of(stored, imputed.ONCE) if row["of"] == "covariate"]
    assert row["covered"] / row["trials"] < 0.88, row


@pytest.mark.slow
@pytest.mark.parametrize("how", [imputed.OURS, imputed.COMPLETE, imputed.BLIND, imputed.ONCE])
def test_a_trial_computed_anew_is_one_of_the_stored_design(stored, how):
    known = {(row["missing"], row["how"], row["of"]) for row in stored["rows"]}
    assert {(row["missing"], row["how"], row["of"]) for row in imputed.rows(0, 0.5, how)} <= known
