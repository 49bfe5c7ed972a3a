"""The stored calibration of scans with error: intervals cover slopes of true shrinkage."""

import json

import numpy as np
import pytest
from calibration import measurement
from calibration.measurement import MEASURED, TAKEN_OFF, TRUE
from scipy.stats import binom

SURE = 0.001
"""How often a sound result may fail the checks of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    return json.loads(measurement.STORED.read_text(encoding="utf-8"))["rows"]


def of(rows, by, *names):
    return [row for row in rows if row["by"] == by and row["of"] in names]


def test_intervals_cover_slopes_of_true_shrinkage_and_how_they_differ_between_arms(stored):
    for by in (TRUE, TAKEN_OFF):
        rows = of(stored, by, *measurement.ARMS, "difference")
        assert len(rows) == 3 * len(measurement.LANDMARKS)
        slopes = of(rows, by, *measurement.ARMS)
        covered = sum(row["covered"] for row in slopes) / sum(row["trials"] for row in slopes)
        assert 0.92 <= covered <= 0.975, (by, covered)
        fewest, most = binom.ppf([SURE / 12, 1 - SURE / 12], measurement.TRIALS, 0.95)
        for row in rows:
            assert fewest <= row["covered"] <= most, row


@pytest.mark.parametrize("arm", measurement.ARMS)
def test_the_error_that_is_left_as_it_is_would_be_seen(stored, arm):
    """The planted error: by true shrinkage nothing is off but what the prior does; as measured slopes are
    drawn to 0, and of that at most half is left once the error is taken off: the prior draws a slope that is
    known less well by 0.01 more."""
    known, measured, left = (of(stored, by, arm)[0] for by in (TRUE, MEASURED, TAKEN_OFF))
    drawn = measured["bias"] - known["bias"]
    assert drawn > 3 * np.hypot(measured["bias_se"], known["bias_se"])
    assert abs(left["bias"] - known["bias"]) < drawn / 2
    assert measured["covered"] < left["covered"]


@pytest.mark.slow
def test_a_trial_computed_anew_is_one_of_the_stored_design(stored):
    rows = measurement.rows(0)
    key = ("landmark", "by", "of")
    assert [[row[name] for name in key] for row in rows] == [[row[name] for name in key] for row in stored]
    assert all(np.isfinite(row["mean"]) for row in rows)
