"""The landmark rule at its edges: ties, thresholds, empty sets, and what it refuses."""

import numpy as np
import pandas as pd
import pytest

from bayes_net.data.cohort import Cohort, read_cohort
from bayes_net.data.landmarks import Landmark, landmark, landmark_times, response
from bayes_net.errors import InputError
from bayes_net.tables.reading import months_on_grid

pytestmark = pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")


def one_patient(pfs_day=300, pfs_event=1, scans=((84, -10),), **columns) -> Cohort:
    patients = {"patient": ["1"], "arm": ["a"], "pfs_time": [pfs_day], "pfs_event": [pfs_event], **columns}
    rows = pd.DataFrame([("1", *scan) for scan in scans], columns=["patient", "time", "pchg"])
    return read_cohort(pd.DataFrame(patients), rows, time_unit="days")


@pytest.mark.parametrize(
    ("pfs_day", "scan_day", "analysed"),
    [
        (85, 84, 1),
        (84, 83, 0),  # progressed on the day of the landmark: no longer at risk
        (300, 84, 1),  # a scan on the day of the landmark counts
        (300, 85, 0),
    ],
)
def test_ties_of_follow_up_scans_and_the_landmark(pfs_day, scan_day, analysed):
    assert len(landmark(one_patient(pfs_day, scans=[(scan_day, -10)]), ["12w"]).table) == analysed


def test_a_scan_on_the_day_of_any_landmark_is_by_the_landmark():
    days = np.arange(1, 2001)
    cohort = one_patient(3000, scans=[(day, 0) for day in days])
    in_days = [item.months for item in landmark_times([f"{day}d" for day in days])]
    assert cohort.scans["time"].tolist() == in_days
    weeks = range(1, 286)
    in_weeks = [item.months for item in landmark_times([f"{week}w" for week in weeks])]
    assert in_weeks == [in_days[7 * week - 1] for week in weeks]
    # full-precision months, as another program would write the same days
    written = one_patient(3000, scans=[(day, 0) for day in days]).scans["time"]
    patients = pd.DataFrame({"patient": ["1"], "arm": ["a"], "pfs_time": [99], "pfs_event": [1]})
    scans = pd.DataFrame({"patient": "1", "time": [f"{time:.10f}" for time in written], "pchg": 0})
    assert read_cohort(patients, scans, time_unit="months").scans["time"].tolist() == in_days


def test_the_restarted_clock_counts_whole_days_exactly():
    days = np.arange(1, 2001)
    for limit in (84, 122, 183, 252, 365):
        restarted = months_on_grid(days / 30.4375 - limit / 30.4375)
        np.testing.assert_array_equal(restarted, (days - limit) / 30.4375)


@pytest.mark.parametrize(("unit", "scale"), [("mm", 10), ("cm", 1), ("cm", 0.1)])
def test_exactly_thirty_percent_is_a_response_and_exactly_twenty_is_progression(unit, scale):
    sizes = np.repeat(np.arange(1, 201), 4) * scale
    factors = np.tile([0.7, 0.7001, 1.2, 1.1999], 200)
    names = [f"{i:03d}" for i in range(800)]
    patients = pd.DataFrame({"patient": names, "arm": "a", "pfs_time": 300, "pfs_event": 1})
    scans = pd.DataFrame({"patient": names * 2, "time": np.repeat([0, 84], 800)})
    scans = scans.assign(size=np.concatenate([sizes, sizes * factors]))
    cohort = read_cohort(patients, scans, time_unit="days", size_unit=unit)
    everyone = landmark(cohort, ["100d"], intention_to_treat=True).table
    assert response(everyone, 30).tolist() == (factors == 0.7).astype(int).tolist()
    kept = landmark(cohort, ["100d"]).table["patient"]
    assert kept.tolist() == [name for name, factor in zip(names, factors, strict=True) if factor != 1.2]


def test_thresholds_take_an_unknown_shrinkage_as_no_response():
    table = pd.DataFrame({"shrinkage": [30.0, 29.999, np.nan, -5.0, 100.0, 30 - 1e-12]})
    assert response(table, 30).tolist() == [1, 0, 0, 0, 1, 1]
    assert response(table, -10).tolist() == [1, 1, 0, 1, 1, 1]
    assert response(table, 50).tolist() == [0, 0, 0, 0, 1, 0]
    with pytest.raises(InputError, match="response threshold is nan"):
        response(table, float("nan"))


def test_a_tumour_that_kept_its_size_has_shrunk_by_plain_zero():
    (value,) = landmark(one_patient(scans=[(84, 0)]), ["84d"]).table["shrinkage"]
    assert str(value) == "0.0"


def test_one_scan_without_progression_is_enough_to_stay():
    patients = pd.DataFrame({"patient": ["1"], "arm": ["a"], "pfs_time": [300], "pfs_event": [1]})
    scans = pd.DataFrame(
        {"patient": "1", "time": [42, 84], "pchg": [-40, 5], "new_lesion": [1, 0], "response": ["PD", "SD"]}
    )
    cohort = read_cohort(patients, scans, time_unit="days")
    assert landmark(cohort, ["42d"]).table.empty
    assert landmark(cohort, ["84d"]).table["shrinkage"].tolist() == [40]


@pytest.mark.parametrize("population", ["pfs risk set", "alive"])
def test_by_intention_to_treat_progression_with_smaller_target_lesions_is_no_response(population):
    patients = pd.DataFrame({"patient": ["1"], "arm": ["a"], "pfs_time": [90], "pfs_event": [1]})
    scans = pd.DataFrame({"patient": "1", "time": [42], "pchg": [-40], "new_lesion": [1]})
    cohort = read_cohort(patients.assign(os_time=200, os_event=1), scans, time_unit="days")
    (row,) = landmark(
        cohort, ["84d"], endpoint="os", population=population, intention_to_treat=True
    ).table.itertuples()
    assert response(pd.DataFrame([row]), 30).tolist() == [0]


def test_a_scan_before_time_zero_or_the_baseline_is_no_response():
    cohort = one_patient(scans=[(-10, 0), (84, 5)])
    tampered = Cohort(cohort.patients, cohort.scans.assign(baseline=False, pchg=[-50.0, 5.0]), cohort.arms)
    assert landmark(tampered, ["84d"]).table["shrinkage"].tolist() == [-5]
    patients = pd.DataFrame({"patient": ["1"], "arm": ["a"], "pfs_time": [300], "pfs_event": [1]})
    scans = pd.DataFrame({"patient": "1", "time": [3, 84], "size": [100, 105]})
    late = read_cohort(patients, scans, time_unit="days", size_unit="mm", baseline_window="1w")
    assert landmark(late, ["84d"]).table["shrinkage"].tolist() == [-5]


def test_a_cohort_without_any_later_scan_leaves_nobody():
    cohort = one_patient(scans=[(0, 0)])
    result = landmark(cohort, ["84d", "no limit"])
    assert result.table.empty
    columns = [
        "landmark",
        "patient",
        "study",
        "arm",
        "shrinkage",
        "responded",
        "time",
        "event",
        "last_assessment",
        "assessed_before",
    ]
    assert list(result.table) == columns
    stays = landmark(cohort, ["84d", "no limit"], intention_to_treat=True).table
    assert stays["shrinkage"].isna().all()
    assert stays["time"].tolist() == [(300 - 84) / 30.4375, 300 / 30.4375]


def test_landmark_times_are_in_order_with_no_limit_last():
    times = landmark_times(["no limit", "36w", "150d", "8.5mo"])
    assert [item.label for item in times] == ["150 d", "36 w", "8.5 mo", "no limit"]
    assert times[0] == Landmark("150 d", 150 / 30.4375, 150 / 30.4375)
    assert times[-1] == Landmark("no limit", 0.0, np.inf)
    assert landmark_times(times) == times


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], r"landmarks are \[\]; expected a list"),
        ("150d", "landmarks are '150d'; expected a list"),
        (["150"], "duration '150' is not understood"),
        (["36w", "252d"], "the same time twice: 252 d; expected each time once"),
        (["no limit", "no limit"], "the same time twice: no limit"),
        (["-3d"], "duration '-3d' is not understood"),
    ],
)
def test_landmark_times_that_make_no_sense_are_refused(items, said):
    with pytest.raises(InputError, match=said):
        landmark_times(items)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": "os"}, "endpoint 'os' is not in this cohort; expected one of pfs"),
        ({"population": "everyone"}, "population 'everyone' is unknown; expected one of pfs risk set, alive"),
        ({"population": "alive"}, "population 'alive' goes with endpoint 'os'; got 'pfs'"),
    ],
)
def test_choices_that_the_cohort_cannot_answer_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        landmark(one_patient(), ["84d"], **options)


def test_an_unknown_label_names_the_known_ones():
    result = landmark(one_patient(), ["84d", "no limit"])
    with pytest.raises(
        InputError, match="landmark '85 d' is not in this set; expected one of 84 d, no limit"
    ):
        result.at("85d")
    assert result.at("84d").equals(result.at("84 d"))
