"""What counts as a response: no scan that is progression and, where asked for, only what is confirmed."""

import numpy as np
import pandas as pd
import pytest

import bayes_net as bn
from bayes_net.data import Response, Shrinkage, read_cohort, time_dependent
from bayes_net.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")

# day, percent change, new lesion
SCANS = {
    "confirmed": [(56, -35, 0), (84, -32, 0)],
    "too soon": [(56, -35, 0), (83, -32, 0)],
    "lost": [(56, -35, 0), (84, -25, 0)],
    "regained": [(56, -35, 0), (84, -25, 0), (112, -31, 0)],
    "after the landmark": [(56, 0, 0), (112, -40, 0), (180, -50, 0)],
    "by a scan with a new lesion": [(56, -35, 0), (84, -40, 1)],
    "new lesion": [(56, -35, 1), (84, -25, 0)],
    "always new lesions": [(56, -35, 1), (84, -40, 1)],
    "stable": [(56, -5, 0), (84, -10, 0)],
}
BY_ONE_SCAN = {*SCANS} - {"new lesion", "always new lesions", "stable"}
CONFIRMED = {"confirmed", "regained"}


def cohort(scans=SCANS, *, responses=False) -> bn.Cohort:
    names = list(scans)
    patients = pd.DataFrame({"patient": names, "arm": "a", "pfs_time": 400, "pfs_event": 1})
    patients = patients.assign(os_time=500, os_event=1)
    rows = [(who, *scan) for who, own in scans.items() for scan in [(0, 0, 0), *own]]
    table = pd.DataFrame(rows, columns=["patient", "time", "pchg", "new_lesion"])
    if responses:
        table = table.assign(response=np.where(table["pchg"] <= -30, "PR", "SD")).drop(columns="pchg")
    return read_cohort(patients, table, time_unit="days")


def responders(read: bn.Cohort, **options) -> set[str]:
    landmarks = bn.landmark(read, ["150d"], **options)
    data = bn.expose(landmarks, "150d", cuts=[], measure=Response(30))
    return set(landmarks.at("150d")["patient"][data.score == 1])


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"intention_to_treat": True},
        {"endpoint": "os"},
        {"endpoint": "os", "population": "alive"},
        {"endpoint": "os", "population": "alive", "intention_to_treat": True},
    ],
)
def test_a_scan_with_a_new_lesion_is_no_response_whatever_the_sizes(options, responses):
    assert responders(cohort(responses=responses), **options) == BY_ONE_SCAN
    assert responders(cohort(responses=responses), confirmed_after="4w", **options) == CONFIRMED


def test_shrinkage_as_a_number_is_the_greatest_at_any_scan_as_published():
    at = bn.landmark(cohort(), ["150d"], confirmed_after="4w").at("150d").set_index("patient")["shrinkage"]
    assert at["new lesion"] == 35
    assert at["lost"] == 35
    assert "always new lesions" not in at  # the best response is progression


def test_the_time_between_two_scans_decides():
    assert responders(cohort(), confirmed_after="27d") == CONFIRMED | {"too soon"}
    assert responders(cohort(), confirmed_after="57d") == set()
    assert responders(cohort(), confirmed_after="56d") == {"regained"}


@pytest.mark.parametrize("threshold", [5, 25, 30, 31, 32, 35])
def test_confirmation_holds_for_every_threshold(threshold):
    """Against a search among all pairs of scans."""
    expected = {
        who
        for who, own in SCANS.items()
        if any(
            later - earlier >= 28 and -first >= threshold and -second >= threshold
            for earlier, first, bad in own
            for later, second, bad_too in own
            if not (bad or bad_too) and later <= 150
        )
    }
    landmarks = bn.landmark(cohort(), ["150d"], confirmed_after="4w")
    data = bn.expose(landmarks, "150d", cuts=[], measure=Response(threshold))
    assert set(landmarks.at("150d")["patient"][data.score == 1]) == expected


def test_any_pairs_of_scans_are_found():
    """Many patients with random scans, in any order, against a search among all pairs."""
    rng = np.random.default_rng(3)
    days = {
        f"p{i}": np.sort(rng.choice(np.arange(1, 149), rng.integers(0, 7), replace=False)) for i in range(300)
    }
    scans = {who: [(int(day), rng.uniform(-60, 15), 0) for day in own] for who, own in days.items()}
    shuffled = {who: scans[who] for who in rng.permutation(list(scans))}
    table = bn.landmark(cohort(shuffled), ["150d"], confirmed_after="4w").at("150d").set_index("patient")
    checked = 0
    for who, own in scans.items():
        regrown = any(100 + b >= 1.2 * min(100, *(100 + a for s, a, _ in own if s <= t)) for t, b, _ in own)
        if who in table.index and not regrown:
            pairs = [min(-a, -b) for s, a, _ in own for t, b, _ in own if t - s >= 28]
            assert table["responded"][who] == pytest.approx(max(pairs, default=np.nan), nan_ok=True)
            checked += 1
    assert checked > 50


def test_over_all_follow_up_a_response_counts_from_the_scan_that_confirms_it():
    read = cohort({name: SCANS[name] for name in ("confirmed", "lost", "regained")})
    data = time_dependent(read, cuts=[], measure=Response(30), confirmed_after="4w")
    begins = {
        read.patients["patient"][who]: round(entry * 30.4375)
        for who, entry, score in zip(data.patient, data.entry, data.score, strict=True)
        if score == 1
    }
    assert begins == {"confirmed": 84, "regained": 112}
    assert data.n == 3  # who has not responded is at risk all the same, from the first scan
    assert (np.round(data.entry[data.score == 0] * 30.4375) == 56).sum() == 3
    one = time_dependent(read, cuts=[], measure=Response(30))
    assert (np.round(one.entry[one.score == 1] * 30.4375) == 56).all()


def test_confirmation_is_about_response():
    with pytest.raises(InputError, match="shrinkage with confirmed_after: expected Shrinkage, or a Response"):
        time_dependent(cohort(), cuts=[], measure=Shrinkage(), confirmed_after="4w")


def test_what_comes_after_the_landmark_confirms_nothing():
    early = bn.landmark(cohort(), ["100d"], confirmed_after="4w").at("100d")
    later = {who: [(t, c if t <= 100 else -99, n) for t, c, n in own] for who, own in SCANS.items()}
    changed = bn.landmark(cohort(later), ["100d"], confirmed_after="4w").at("100d")
    pd.testing.assert_frame_equal(early, changed)
