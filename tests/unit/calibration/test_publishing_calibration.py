"""The stored calibration of what is printed because it was significant, and said where it was not."""

import json

import pandas as pd
import pytest
from calibration import publishing
from scipy.stats import binom, chisquare

SURE = 0.001
"""How often a sound result may fail a check of this file by chance."""


@pytest.fixture(scope="module")
def stored():
    return json.loads(publishing.STORED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows(stored):
    return pd.DataFrame(stored["landmarks"])


def test_intervals_cover_slopes_that_are_drawn_from_the_prior(rows):
    """Of all trials, and of those in which something significant was printed: 92 to 97.5 % of all landmarks
    together, and at each of them what chance allows."""
    own = rows[rows["design"] == "prior"]
    for covered, trials in (("covered", "trials"), ("covered_of_these", "trials_with_a_printed_one")):
        assert 0.92 <= own[covered].sum() / own[trials].sum() <= 0.975
        tail = SURE / (2 * 2 * len(own))
        fewest, most = (binom.ppf(p, own[trials], 0.95) for p in (tail, 1 - tail))
        assert ((own[covered] >= fewest) & (own[covered] <= most)).all()


def test_ranks_of_slopes_that_are_drawn_from_the_prior_are_uniform(rows):
    own = rows[rows["design"] == "prior"]
    for row in own.itertuples():
        assert sum(row.rank_tenths) == row.trials
        assert chisquare(row.rank_tenths).pvalue > SURE / len(own)


def test_smaller_slopes_than_the_prior_expects_are_covered_too(rows):
    own = rows[rows["design"] != "prior"]
    assert (own["covered"] >= binom.ppf(SURE / len(own), own["trials"], 0.95)).all()


def test_what_is_printed_rarely_has_the_wrong_direction(rows):
    assert (rows["wrong_direction"].sum() / rows["printed"].sum()) < 0.02
