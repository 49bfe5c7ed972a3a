"""Synthetic cohorts are coherent, say that they are synthetic, and survive being written and read."""

import numpy as np
import pandas as pd
import pytest

from bayes_net.data.cohort import read_cohort
from bayes_net.data.landmarks import landmark
from bayes_net.errors import InputError
from bayes_net.simulate.cohort import PATIENT_COLUMNS, SCAN_COLUMNS, simulate_cohort, write_cohort
from bayes_net.simulate.margins import calibrate
from bayes_net.simulate.plan import SimulationPlan, visits

CONTROL, PRRT = SimulationPlan().arms


@pytest.fixture(scope="module")
def default():
    return simulate_cohort(SimulationPlan(patients=(4000, 4000)), seed=11)


@pytest.fixture(scope="module")
def small():
    return simulate_cohort(seed=14)


def test_the_default_cohort_is_as_large_as_the_trial(small):
    assert small.patients["arm"].value_counts().to_dict() == {CONTROL: 114, PRRT: 117}
    assert small.arms == (CONTROL, PRRT)
    assert small.endpoints == ("pfs", "os")


def test_a_seed_gives_the_same_cohort_and_another_seed_another(small):
    assert simulate_cohort(seed=14) == small
    assert simulate_cohort(seed=15).digest != small.digest
    with pytest.raises(TypeError, match="seed"):
        simulate_cohort()


@pytest.mark.filterwarnings("error")
def test_a_cohort_says_that_it_is_synthetic(small):
    assert small.synthetic
    assert small.notes[0].code == "synthetic"
    assert small.patients["study"].str.contains("synthetic").all()
    assert landmark(small, ["150d"]).synthetic


def test_progression_is_seen_at_a_scan_that_shows_it_and_at_no_scan_before(default):
    grid = visits(SimulationPlan())
    patients = default.patients
    progressed = default.scans[default.scans["response"] == "PD"].merge(patients, on="patient")
    assert (progressed["time"] == progressed["pfs_time"]).all()
    assert (progressed["pfs_event"] == 1).all()
    other = patients[(patients["pfs_event"] == 1) & ~patients["patient"].isin(progressed["patient"])]
    assert (other["pfs_time"] == other["os_time"]).all()
    assert not np.isin(other["pfs_time"], grid).any()

    scans = default.scans
    nadir = scans.groupby("patient")["sld"].cummin().groupby(scans["patient"]).shift()
    grown = scans["sld"] >= 1.2 * nadir
    shows = grown | scans["new_lesion"]
    pd.testing.assert_series_equal(shows, scans["response"] == "PD", check_names=False)
    assert 0.4 < scans["new_lesion"][shows].mean() < 0.6
    assert not (scans["sld"] < nadir)[shows].any()


def test_scans_follow_the_visit_grid_until_pfs_ends(default):
    grid = visits(SimulationPlan())
    assert np.isin(default.scans["time"], [0.0, *grid]).all()
    ends = default.patients.set_index("patient")["pfs_time"]
    due = pd.Series(np.searchsorted(grid, ends, side="right") + 1, index=ends.index)
    pd.testing.assert_series_equal(default.scans.groupby("patient").size(), due, check_names=False)
    assert np.allclose(np.diff(grid)[:5], 84 / 30.4375)
    assert np.allclose(np.diff(grid)[5:], 182 / 30.4375)


# Files


@pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")
def test_a_written_cohort_reads_back_equal(small, tmp_path):
    paths = write_cohort(small, tmp_path / "new")
    assert [path.name for path in paths] == ["synthetic_patients.csv", "synthetic_scans.csv"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    for path in paths:
        assert pd.read_csv(path)["synthetic"].all()
    back = read_cohort(
        *paths,
        time_unit="months",
        size_unit="mm",
        arms=small.arms,
        patient_columns=PATIENT_COLUMNS,
        scan_columns=SCAN_COLUMNS,
        synthetic=True,
    )
    assert back == small


def test_a_real_cohort_without_sizes_or_survival_is_written_without_the_label(tmp_path):
    patients = pd.DataFrame(
        {"patient": ["1", "2"], "arm": ["a", "b"], "pfs_time": [100, 231], "pfs_event": [1, 0]}
    )
    scans = pd.DataFrame({"patient": ["1", "2"] * 2, "time": [0, 0, 77, 80], "pchg": [0, 0, -7.3, 100 / 3]})
    cohort = read_cohort(patients.assign(pfs_time=[100, 80]), scans, time_unit="days")
    paths = write_cohort(cohort, tmp_path)
    assert [path.name for path in paths] == ["patients.csv", "scans.csv"]
    assert all("synthetic" not in pd.read_csv(path) for path in paths)
    columns = {
        "patient_columns": {"pfs_time": "pfs_months"},
        "scan_columns": {"time": "scan_months", "pchg": "change_percent"},
    }
    assert read_cohort(*paths, time_unit="months", **columns) == cohort


def test_a_failed_write_leaves_the_earlier_file(small, tmp_path, monkeypatch):
    paths = write_cohort(small, tmp_path)
    before = [path.read_bytes() for path in paths]

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="no space"):
        write_cohort(simulate_cohort(seed=99), tmp_path)
    assert [path.read_bytes() for path in paths] == before
    assert len(list(tmp_path.iterdir())) == 2


# Plans that cannot be


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "sudden"}, "path is 'sudden'; expected one of 'gradual', 'at first scan'"),
        ({"progression_seen": "late"}, "expected one of 'next scan', 'exact'"),
        ({"new_lesions": 1.5}, "new_lesions is 1.5; expected a share between 0 and 1"),
        ({"patients": (0, 117)}, "expected two arms of at least one patient"),
        ({"arms": ("a", "a")}, "expected two arms"),
        ({"shrunk": (0.05, 0.7)}, "expected 0 < shrunk_30 < shrunk < 1"),
        ({"scan_noise": 12.0}, "control: no law of depth has the margins"),
        ({"os_hazard_ratio": 1.2}, "disagree; expected the longer median in the arm with the lower hazard"),
        ({"evaluable": (0.95, 0.87)}, "free of progression at the first scan"),
        ({"pfs_survival": ((8.5, 0.5), (20.0, 0.6))}, "no hazards give survival 0.5 and 0.6"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        simulate_cohort(SimulationPlan(**change), seed=1)


def test_equal_survival_of_the_arms_can_be_asked_for():
    plan = SimulationPlan(os_medians=(40.0, 40.0), os_hazard_ratio=1.0)
    for law in calibrate(plan):
        assert np.allclose(law.os_hazard, np.log(2) / 40, rtol=1e-6)
