"""The stored calibration of progression between scans: intervals cover, and dating it at the scan shows."""

import json

import numpy as np
import pytest
from calibration import between_scans
from scipy.stats import binom, norm

from bayes_net.data.assessments import AT_THE_SCAN, BETWEEN_SCANS

SURE = 0.001
"""How often a sound result may fail the checks of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    return json.loads(between_scans.STORED.read_text(encoding="utf-8"))


def of(rows, progression):
    return [row for row in rows if row["progression"] == progression]


def test_intervals_cover_slopes_and_how_they_differ_between_arms(stored):
    rows = of(stored["rows"], BETWEEN_SCANS)
    assert len(rows) == 3 * len(between_scans.LANDMARKS)
    for name in ("slow", "fast", "difference"):
        own = [row for row in rows if row["of"] == name]
        covered = sum(row["covered"] for row in own) / sum(row["trials"] for row in own)
        assert 0.92 <= covered <= 0.975, (name, covered)
    fewest, most = binom.ppf([SURE / 12, 1 - SURE / 12], between_scans.TRIALS, 0.95)
    for row in rows:
        assert fewest <= row["covered"] <= most, row


def test_large_trials_show_no_bias(stored):
    rows = of(stored["large"], BETWEEN_SCANS)
    z = norm.ppf(1 - SURE / (2 * len(rows)))
    for row in rows:
        assert abs(row["bias"]) < z * row["sd_of_mean"], row


def test_progression_dated_at_the_scan_would_be_seen(stored):
    """The planted error: on the same trials the two differ where an arm progresses fast."""
    pairs = {(row["landmark"], row["of"]): row["bias"] for row in of(stored["large"], BETWEEN_SCANS)}
    apart = {
        key: row["bias"] - pairs[key]
        for row in of(stored["large"], AT_THE_SCAN)
        if (key := (row["landmark"], row["of"]))
    }
    assert apart["150 d", "fast"] < -0.01
    assert abs(apart["150 d", "slow"]) < 0.01


@pytest.mark.slow
def test_a_trial_computed_anew_is_one_of_the_stored_design(stored):
    rows = between_scans.rows(0)
    assert {(row["landmark"], row["progression"], row["of"]) for row in rows} == {
        (row["landmark"], row["progression"], row["of"]) for row in stored["rows"]
    }
    assert all(np.isfinite(row["mean"]) for row in rows)
