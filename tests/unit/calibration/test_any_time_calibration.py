"""The stored calibration of the model of all follow-up: intervals cover, and words are rare without cause."""

import json

import numpy as np
import pytest
from calibration import any_time
from scipy.stats import binom, norm

from bayes_net.data.assessments import BETWEEN_SCANS

SURE = 0.001
"""How often a sound result may fail the checks of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    return json.loads(any_time.STORED.read_text(encoding="utf-8"))


def test_intervals_cover_with_an_association_and_without(stored):
    rows = stored["rows"]
    assert len(rows) == 8
    for row in rows:
        fewest, most = binom.ppf([SURE / 16, 1 - SURE / 16], row["trials"], 0.95)
        assert fewest <= row["covered"] <= most, row


def test_large_trials_show_no_bias_between_scans_where_there_is_no_association(stored):
    rows = [r for r in stored["large"] if r["truth"] == "none" and r["progression"] == BETWEEN_SCANS]
    assert len(rows) == 4
    z = norm.ppf(1 - SURE / (2 * len(rows)))
    for row in rows:
        assert abs(row["bias"]) < z * row["sd_of_mean"], row


def test_words_are_said_in_at_most_a_fifth_of_trials_without_an_association(stored):
    n = any_time.TRIALS["none"]
    for endpoints in ("pfs", "pfs and os"):
        assert stored["worded"][f"{endpoints}, together"] <= 0.2 * n
        # the planted error: each slope judged by itself
        assert stored["worded"][f"{endpoints}, each by itself"] > 0.4 * n


@pytest.mark.slow
def test_a_trial_computed_anew_is_one_of_the_stored_design(stored):
    rows = any_time.rows(0, "none")
    assert {(row["truth"], row["endpoint"], row["arm"]) for row in rows} == {
        (row["truth"], row["endpoint"], row["arm"]) for row in stored["rows"] if row["truth"] == "none"
    }
    assert all(np.isfinite(row["mean"]) for row in rows)
