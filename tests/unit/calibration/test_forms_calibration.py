"""The stored calibration of every form of the hazard, and of landmarks where nothing goes with shrinkage."""

import json

import numpy as np
import pytest
from calibration import forms
from scipy.stats import binom

SURE = 0.001
"""How often a sound result may fail the checks of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    return json.loads(forms.STORED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("smoothing", forms.SMOOTHINGS)
@pytest.mark.parametrize("baseline", forms.BASELINES)
@pytest.mark.parametrize("intervals", forms.INTERVALS)
def test_intervals_cover_under_every_form(stored, smoothing, baseline, intervals):
    """Slopes of both arms together; and each of all hazard ratios as chance allows."""
    own = [
        row
        for row in stored["forms"]
        if (row["smoothing"], row["baseline"], row["intervals"]) == (smoothing, baseline, intervals)
    ]
    assert len(own) == 3 + (baseline == "shared")
    slopes = [row for row in own if row["of"].startswith("slope")]
    assert 0.92 <= sum(row["covered"] for row in slopes) / sum(row["trials"] for row in slopes) <= 0.975
    fewest, most = binom.ppf([SURE / 84, 1 - SURE / 84], forms.TRIALS, 0.95)
    for row in own:
        assert fewest <= row["covered"] <= most, row
        # the slope's own prior pulls the steeper one by a fifth of its SD
        assert abs(row["bias"]) < 0.4 * row["posterior_sd"], row


def test_independent_intervals_that_each_have_the_prior_of_one_level_would_be_seen(stored):
    """The planted error: their average is then all too sure, and pulls slopes."""
    far = [row["bias"] / row["posterior_sd"] for row in stored["unscaled"]]
    assert max(np.abs(far)) > 0.5


def test_without_an_association_intervals_of_true_landmarks_exclude_1_in_3_to_7_per_cent(stored):
    rows = stored["landmarks"]
    assert len(rows) == 2 * len(forms.LANDMARKS)
    for row in rows:
        assert row["trials"] == forms.WITHOUT == 1000
        assert 0.03 <= 1 - row["covered"] / row["trials"] <= 0.07, row
        assert abs(row["bias"]) / 10 < 0.003, row  # per point of shrinkage


@pytest.mark.slow
def test_a_trial_computed_anew_is_one_of_the_stored_design(stored):
    first = forms.rows(0, "rw1", "shared", 4)
    assert [row["of"] for row in first] == list(forms.TRUTH)
    assert {(row["landmark"], row["arm"]) for row in forms.without_association(0)} == {
        (row["landmark"], row["arm"]) for row in stored["landmarks"]
    }
