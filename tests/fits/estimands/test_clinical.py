"""What a clinician asks, against simulation: responders by the law of shrinkage, and mixtures of survival."""

import numpy as np
import pytest
import xarray as xr
from pools import prrt
from scipy.special import expit

from bayes_net.estimands.clinical import (
    COMPLETION,
    HAZARD_RATIO,
    LATER,
    OTHERS,
    RESPONDERS,
    SURVIVAL,
    clinical_answer,
    first_landmark,
)
from bayes_net.inference.arrays import draw_prior

N = 400_000


@pytest.fixture(scope="module")
def draws() -> xr.Dataset:
    """One draw of the prior, four times: everything is known."""
    one = draw_prior(prrt(), draws=1, seed=6)
    return xr.concat([one.assign_coords(draw=[i]) for i in range(4)], dim="draw")


@pytest.fixture(scope="module")
def answer(draws):
    return clinical_answer(draws, prrt(), ci_prob=0.95)


def one(table, **labels) -> float:
    for column, value in labels.items():
        table = table[table[column] == value]
    (row,) = table.itertuples()
    return row.estimate


def law(draws, study, mark):
    at = prrt().shrinkage.laws.index((study, "177Lu", mark))
    names = ("shrinkage_location", "shrinkage_log_spread")
    location, log_spread = (float(draws[name].isel(chain=0, draw=0, shrinkage_law=at)) for name in names)
    return location, np.exp(log_spread)


def points(location, spread, z):
    return -20 + 120 * expit(location + spread * z)


def test_hazard_ratios_are_those_of_the_first_landmark_and_the_treated_arm_comes_first(draws, answer):
    rows = answer[answer["of"].str.startswith("per ")]
    assert list(rows["arm"]) == ["177Lu", "177Lu", "control", "control"]
    assert first_landmark(prrt()) == "150 d"
    for arm in ("177Lu", "control"):
        slope = float(draws["slope"].sel(endpoint="pfs", arm=arm, landmark="150 d")[0, 0])
        for points_ in (10, 30):
            of = f"per {points_} points of shrinkage"
            assert one(rows, arm=arm, of=of) == pytest.approx(np.exp(slope * points_ / 10))


def test_response_at_completion_is_that_of_two_correlated_shrinkages(draws, answer):
    rng, rho = np.random.default_rng(3), float(draws["early_late_correlation"][0, 0])
    early = rng.standard_normal(N)
    late = rho * early + np.sqrt(1 - rho**2) * rng.standard_normal(N)
    first = points(*law(draws, "Halperin 2024", "16 w"), early) >= 30
    last = points(*law(draws, "Halperin 2024", "no limit"), late) >= 30
    for who, own in ((RESPONDERS, first), (OTHERS, ~first)):
        share = last[own].mean()
        error = np.sqrt(share * (1 - share) / own.sum()) + 1e-9
        assert abs(one(answer, quantity=COMPLETION, of=who) - share) < 4.5 * error


def test_groups_of_responders_make_up_the_whole_arm(draws, answer):
    rng = np.random.default_rng(4)
    shrinkage = points(*law(draws, "NETTER-1", "16 w"), rng.standard_normal(N))
    responds = shrinkage >= 30
    slope = float(draws["slope"].sel(endpoint="pfs", arm="177Lu", landmark="150 d")[0, 0])
    apart = (shrinkage[responds].mean() - shrinkage[~responds].mean()) / 10
    ratio = one(answer, quantity=HAZARD_RATIO, of=f"{RESPONDERS} against {OTHERS}")
    error = abs(slope) * shrinkage.std() / 10 / np.sqrt(responds.sum())
    assert abs(np.log(ratio) - slope * apart) < 4.5 * error + 1e-6
    network = prrt()
    at = network.curves.index(("pfs", "NETTER-1", "177Lu"))
    start = next(mark.months for mark in network.assumptions.landmarks if mark.label == "150 d")
    hazard = np.exp(draws["log_hazard"].isel(chain=0, draw=0, curve=at).values)
    spent = network.months(np.array([start, start + LATER]))
    whole = np.exp(-np.diff(spent @ hazard))[0]
    share = responds.mean()
    mixed = share * one(answer, quantity=SURVIVAL, of=RESPONDERS)
    mixed += (1 - share) * one(answer, quantity=SURVIVAL, of=OTHERS)
    assert mixed == pytest.approx(whole, abs=4.5 * np.sqrt(share * (1 - share) / N) + 1e-6)
