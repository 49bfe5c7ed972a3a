"""Synthetic cohorts are coherent, say that they are synthetic, and survive being written and read."""

import numpy as np
import pandas as pd
import pytest

from bayes_net.data.cohort import read_cohort
from bayes_net.data.landmarks import landmark
from bayes_net.errors import InputError
from bayes_net.simulate.cohort import PATIENT_COLUMNS, SCAN_COLUMNS, simulate_cohort, write_cohort
from bayes_net.simulate.ensemble import virtual_trials
from bayes_net.simulate.plan import SimulationPlan, printed_slopes

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
    patients = default.patients
    progressed = default.scans[default.scans["response"] == "PD"].merge(patients, on="patient")
    assert (progressed["time"] == progressed["pfs_time"]).all()
    assert (progressed["pfs_event"] == 1).all()
    at_end = default.scans.merge(patients, on="patient").query("time == pfs_time")
    assert len(at_end) == len(progressed)

    scans = default.scans
    nadir = scans.groupby("patient")["sld"].cummin().groupby(scans["patient"]).shift()
    grown = (scans["sld"] >= 1.2 * nadir) & (scans["sld"] >= nadir + 5)
    shows = grown | scans["new_lesion"]
    pd.testing.assert_series_equal(shows, scans["response"] == "PD", check_names=False)
    assert not (grown & scans["new_lesion"]).any()
    assert (scans["sld"] < 1.2 * nadir)[~shows & nadir.notna()].all()
    for arm, name in enumerate(default.arms):
        share, seen = (
            SimulationPlan().law(arm)["new_lesions"],
            progressed["new_lesion"][progressed["arm"] == name],
        )
        assert abs(seen.mean() - share) < 3.5 * np.sqrt(share * (1 - share) / len(seen))
    assert (patients["pfs_time"] <= patients["os_time"]).all()


def test_no_scan_is_after_the_end_of_pfs(default):
    ends = default.scans["patient"].map(default.patients.set_index("patient")["pfs_time"])
    assert (default.scans["time"] <= ends).all()


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


# Plans


def test_a_plan_takes_the_nearest_matched_parameters_unless_told_otherwise():
    plan = SimulationPlan(slope=(-0.3, 0.1), parameters={"noise": (1.0, 2.0)})
    for arm, name in enumerate(("control", "177Lu")):
        kept = virtual_trials().arm(name)
        assert (kept.parameters == kept.nearest).all(axis=1).sum() == 1
        assert SimulationPlan().law(arm) == kept.nearest | {"slope": printed_slopes()[arm]}
        assert plan.law(arm) == kept.nearest | {"slope": (-0.3, 0.1)[arm], "noise": (1.0, 2.0)[arm]}


def test_the_slope_of_the_control_arm_is_the_printed_one_without_its_bias():
    control = virtual_trials().arm("control")
    slope, none = printed_slopes()
    assert 10 * np.log(0.967) == pytest.approx(control.bias.value + control.carried("no limit").value * slope)
    assert -0.4 < slope < -0.05
    assert none == 0


def test_without_a_median_to_meet_death_has_one_hazard():
    plan = SimulationPlan(patients=(4000, 4000), os_medians=None, parameters={"death": (0.01, 0.02)})
    cohort = simulate_cohort(plan, seed=3)
    for name, hazard in zip(cohort.arms, (0.01, 0.02), strict=True):
        own = cohort.patients[cohort.patients["arm"] == name]
        deaths = own["os_event"].sum()
        assert abs(np.log(deaths / own["os_time"].sum() / hazard)) < 3.5 / np.sqrt(deaths)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patients": (0, 117)}, "expected two arms of at least one patient"),
        ({"arms": ("a", "a")}, "expected two arms"),
        ({"slope": (0.0, np.nan)}, r"slope is \(0.0, nan\); expected two finite numbers"),
        ({"slope": (0.0,)}, "expected two finite numbers"),
        ({"slope": 0.1}, "slope is 0.1; expected two finite numbers"),
        ({"parameters": {"noise": (-1.0, 3.0)}}, "noise is .* expected two numbers of 0 or more"),
        ({"parameters": {"missed": (0.1, 1.5)}}, "missed is .* expected two shares between 0 and 1"),
        ({"parameters": {"colour": (1, 1)}}, "unknown parameters colour; expected place, spread, months"),
        ({"parameters": {"slope": (0, 0)}}, "slope is an argument of its own"),
        ({"os_medians": (0.0, 48.0)}, "expected numbers above 0"),
        ({"os_medians": (2.0, 48.0)}, "control: no hazard of death after progression gives .* 2 months"),
        ({"parameters": {"death": (0.0, 0.5)}}, "177Lu-DOTATATE: no hazard of death after progression"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        simulate_cohort(SimulationPlan(**change), seed=1)
