"""The stored calibration of response: intervals cover, and a response read at less shrinkage shows."""

import json

import pytest
from calibration import responses
from scipy.stats import binom

SURE = 0.001
"""How often a sound result may fail the checks of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    if not responses.STORED.exists():
        pytest.skip("not stored: run `python -m tests.calibration.responses` and commit responses.json")
    return json.loads(responses.STORED.read_text(encoding="utf-8"))


def test_intervals_cover_the_hazard_ratio_of_response_of_both_endpoints(stored):
    rows = [row for row in stored["rows"] if row["threshold"] == "stated"]
    assert len(rows) == 2 * 2 * 2
    for endpoint in ("pfs", "os"):
        own = [row for row in rows if row["endpoint"] == endpoint]
        assert 0.92 <= sum(row["covered"] for row in own) / sum(row["trials"] for row in own) <= 0.975
    fewest, most = binom.ppf([SURE / 16, 1 - SURE / 16], responses.TRIALS, 0.95)
    for row in rows:
        assert fewest <= row["covered"] <= most, row


def test_a_response_that_is_read_at_less_shrinkage_would_be_seen(stored):
    """The planted error: hazard ratios go to 1, of both endpoints and in both arms."""
    planted = [row for row in stored["rows"] if row["threshold"] == "too low"]
    assert len(planted) == 4
    for row in planted:
        assert row["bias"] > 0.15 + 4 * row["bias_se"], row


@pytest.mark.slow
def test_a_trial_computed_anew_is_one_of_the_stored_design(stored):
    keys = ("truth", "threshold", "endpoint", "arm")
    rows = responses.rows(0, "none") + responses.rows(0, "association")
    known = {tuple(row[key] for key in keys) for row in stored["rows"]}
    assert {tuple(row[key] for key in keys) for row in rows} <= known
