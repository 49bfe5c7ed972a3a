"""The stored calibration of illness-death: intervals cover, and what planted errors do is seen."""

import json

import pytest
from calibration import steps
from scipy.stats import binom

from bayes_net.data.follow_up import TRANSITIONS
from bayes_net.schema import ALIVE, AT_RISK

SURE = 0.001
"""How often a sound result may fail the checks of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    if not steps.STORED.exists():
        pytest.skip("not stored: run `python -m tests.calibration.steps` and commit steps.json")
    return json.loads(steps.STORED.read_text(encoding="utf-8"))


def of(stored, **keys):
    return [row for row in stored["rows"] if keys.items() <= row.items()]


def test_intervals_cover_slopes_of_all_transitions_and_survival_by_states(stored):
    sound = [row for row in stored["rows"] if row["population"] in (AT_RISK, ALIVE)]
    assert len(sound) == 2 * 2 * (len(TRANSITIONS) + 1 + 1)
    for truth in steps.SLOPES:
        slopes = [row for row in sound if row["association"] == truth and row["of"] in TRANSITIONS]
        covered = sum(row["covered"] for row in slopes) / sum(row["trials"] for row in slopes)
        assert 0.92 <= covered <= 0.975, (truth, covered)
    # survival depends on what the prior says of rare steps: more intervals may hold it than ought to
    fewest = binom.ppf(SURE / len(sound), steps.TRIALS, 0.95)
    for row in sound:
        assert row["covered"] >= fewest, row


def test_without_association_no_transition_has_one(stored):
    for row in of(stored, association="none"):
        if row["of"] in TRANSITIONS:
            assert abs(row["bias"]) < 4 * row["bias_se"], row


def test_deaths_after_progression_without_delayed_entry_would_be_seen(stored):
    """The planted error: time before progression counts as time at risk after it, and too many live."""
    for truth in steps.SLOPES:
        for row in of(stored, association=truth, population="no entry"):
            assert row["bias"] > 0.015
            assert row["covered"] / row["trials"] < 0.9, row


def test_progression_that_is_ignored_would_be_seen(stored):
    """The planted error: growth that shows progression is taken for its cause, and an association is found
    where there is none."""
    for row in of(stored, association="none", population="ignored"):
        assert row["bias"] < min(-0.015, -4 * row["bias_se"]), row


@pytest.mark.slow
def test_a_trial_computed_anew_is_one_of_the_stored_design(stored):
    keys = ("association", "population", "of", "arm")
    rows = steps.rows(0, "none") + steps.rows(0, "association")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        tuple(row[key] for key in keys) for row in stored["rows"]
    ]
