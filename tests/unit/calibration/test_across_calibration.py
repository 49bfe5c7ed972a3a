"""The stored calibration of landmarks together: intervals cover, those that count patients anew do not."""

import json

import numpy as np
import pytest
from calibration import across
from scipy.stats import binom

from bayes_net.inference.across_landmarks import ACROSS

SURE = 0.001
"""How often a sound result may fail the checks of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    return json.loads(across.STORED.read_text(encoding="utf-8"))


def test_intervals_of_landmarks_together_cover(stored):
    rows = [row for row in stored["rows"] if row["landmark"] != "naive"]
    assert len(rows) == 2 * 2 * (1 + len(across.LANDMARKS))
    trials = across.TRIALS
    fewest = binom.ppf(SURE / len(rows), trials, 0.95)
    assert all(row["covered"] >= fewest for row in rows), rows
    mean = [row["covered"] / row["trials"] for row in rows if row["landmark"] == ACROSS]
    assert 0.92 <= np.mean(mean) <= 0.985, mean


def test_counting_patients_at_each_landmark_anew_would_be_seen(stored):
    """The planted error: a likelihood of stacked rows."""
    naive = [row for row in stored["rows"] if row["landmark"] == "naive"]
    assert all(row["covered"] / row["trials"] < 0.85 for row in naive), naive


@pytest.mark.slow
def test_a_trial_computed_anew_is_one_of_the_stored_design(stored):
    rows = across.rows(0, "none")
    assert {(row["arm"], row["landmark"]) for row in rows} == {
        (row["arm"], row["landmark"]) for row in stored["rows"]
    }
