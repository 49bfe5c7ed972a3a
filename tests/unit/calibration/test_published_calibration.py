"""The stored calibration of published numbers: intervals cover the truth, and the result is not stale."""

import json

import pytest
from calibration import published
from scipy.stats import binom

SURE = 0.001
"""How often a sound result may fail a check of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    return json.loads(published.STORED.read_text(encoding="utf-8"))


def test_intervals_from_printed_numbers_cover_the_truth(stored):
    rows = {row["quantity"]: row for row in stored["quantities"]}
    assert {name: round(value, 5) for name, value in published.TRUTH.items()} == {
        name: row["truth"] for name, row in rows.items()
    }
    tail = SURE / (2 * len(rows))
    fewest, most = binom.ppf([tail, 1 - tail], published.TRIALS, 0.95)
    for name, row in rows.items():
        assert fewest <= row["covered"], row
        # the standard error of a median without limits is meant to be on the safe side
        assert row["covered"] <= (published.TRIALS if name == "level" else most), row


def test_what_stands_by_itself_is_unbiased(stored):
    """Hazard ratios, slopes and counts; curves are drawn towards a constant hazard by their random walk."""
    for row in stored["quantities"]:
        if row["quantity"] in ("arm", "slope per 10 points", "response"):
            assert abs(row["bias_in_sd"]) < 3.3 * row["bias_se"] + 0.05, row


@pytest.mark.slow
def test_a_trial_computed_anew_agrees_with_its_truths(tmp_path):
    rows = [row for number in range(5) for row in published.trial_rows(number, tmp_path)]
    inside = sum(row["lower"] <= published.TRUTH[row["quantity"]] <= row["upper"] for row in rows)
    assert inside >= binom.ppf(SURE, len(rows), 0.95)
