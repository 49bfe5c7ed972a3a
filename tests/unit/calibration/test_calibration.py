"""The stored calibration: 95 % intervals cover slopes that are known, and the result is not stale."""

import json

import numpy as np
import pytest
from calibration import coverage
from calibration.fingerprint import canonical, definitions, everything, stale
from scipy.stats import binom, norm

SURE = 0.001
"""How often a sound result may fail the checks of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    return json.loads(coverage.STORED.read_text(encoding="utf-8"))


def test_intervals_cover_known_slopes_in_each_arm(stored):
    assert stored["fits"] == coverage.COHORTS * len(coverage.LANDMARKS)
    assert [each["arm"] for each in stored["by_arm"]] == list(coverage.PLAN.arms)
    for each in stored["by_arm"]:
        assert each["intervals"] == stored["fits"]
        assert 0.92 <= each["covered"] / each["intervals"] <= 0.975, each


def test_intervals_cover_known_slopes_at_each_landmark(stored):
    rows = stored["by_landmark"]
    assert len(rows) == len(coverage.LANDMARKS) * len(coverage.PLAN.arms)
    fewest, most = binom.ppf([SURE / (2 * len(rows)), 1 - SURE / (2 * len(rows))], coverage.COHORTS, 0.95)
    for row in rows:
        assert fewest <= row["covered"] <= most, row
        assert row["covered"] + row["all_below_truth"] + row["all_above_truth"] == row["fits"]


def test_bias_is_what_the_prior_explains(stored):
    """With a normal prior the posterior mean lies nearer to the prior's by the share sd² / prior sd²."""
    rows, prior = stored["by_landmark"], stored["design"]["hazard"]["priors"]["slope"]
    z = norm.ppf(1 - SURE / (2 * len(rows)))
    for row in rows:
        pulled = (prior["mean"] - row["truth"]) * (row["posterior_sd"] / prior["sd"]) ** 2
        assert abs(row["bias"] - pulled) < z * row["sd_of_posterior_means"] / np.sqrt(row["fits"]), row


@pytest.mark.slow
def test_the_first_cohorts_computed_anew_agree_with_the_stored(stored):
    kept = stored["first_cohorts"]
    anew = [row for number in range(coverage.KEPT_COHORTS) for row in coverage.cohort_rows(number)]
    z = norm.ppf(1 - SURE / (2 * len(kept)))
    for old, new in zip(kept, anew, strict=True):
        for same in ("cohort", "landmark", "arm", "truth", "n", "events"):
            assert old[same] == new[same]
        assert abs(old["estimate"] - new["estimate"]) < z * np.hypot(old["mcse"], new["mcse"]), (old, new)


def test_rewording_does_not_change_the_fingerprint():
    code = (
        'import os\ndef f(x):\n    """Says."""\n    if x < 0:\n        raise OSError("no")\n    return x + 1'
    )
    same = 'def f(x: int) -> int:  # why\n    if x < 0:\n        raise OSError("never")\n    return (x +\n 1)'
    assert canonical(code) == canonical(same)
    for change in (("+ 1", "+ 2"), ("< 0", "<= 0"), ("return", "yield"), ("def f", "def g")):
        assert canonical(code) != canonical(code.replace(*change))


def test_a_definition_that_moves_stays_fresh_and_one_that_changes_does_not():
    stored = definitions(["data.exposure"])
    assert not stale(stored)
    assert "long_form" in stored
    assert stale(stored | {"long_form": ["0" * 16], "never_was": ["0" * 16]}) == [
        "long_form",
        "never_was",
    ]
    assert set(stored) <= set(everything())
