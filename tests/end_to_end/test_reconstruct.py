"""A published curve on the command line: pseudo-patients that stay marked in whatever is made of them."""

import pandas as pd
import pools
import pytest
import tomli_w
from command_line import invoke

import bayes_net as bn


@pytest.fixture
def curve(tmp_path):
    points = pd.DataFrame({"time": [3.0, 6.0, 9.0, 12.0, 15.0], "survival": [0.9, 0.75, 0.6, 0.5, 0.5]})
    at_risk = pd.DataFrame({"time": [0, 6, 12], "n": [40, 30, 16]})
    points.to_csv(tmp_path / "points.csv", index=False)
    at_risk.to_csv(tmp_path / "at_risk.csv", index=False)
    return tmp_path


def reconstruct(folder, *more, out="patients.csv"):
    given = [folder / "points.csv", folder / "at_risk.csv", "--arm", "177Lu", "--out", folder / out]
    return invoke("reconstruct", *given, *more)


def test_pseudo_patients_of_a_curve_are_marked_wherever_they_go(curve):
    code, shown, error = reconstruct(curve, "--events", 19)
    assert (code, error) == (0, "")
    assert "40 pseudo-patients, 19 events, RECONSTRUCTED" in " ".join(shown.split())
    cohort = bn.read_cohort(curve / "patients.csv", None, time_unit="months")
    assert [note.code for note in cohort.notes if note.code == "reconstructed"] == ["reconstructed"]
    rows = [
        pools.row("M1", "median", 9, lower=7, upper=11.5, n=110, arm="control"),
        pools.ratio("R1", -0.9, 0.2),
    ]
    pools.write(rows, curve)
    plan = {
        "title": "A curve that was read off a figure",
        "evidence": {"files": ["rows.csv"]},
        "model": {"arms": ["control", "177Lu"], "reference": "A", "cuts": ["8mo"]},
        "cohorts": [{"study": "B", "patients": "patients.csv", "time_unit": "months"}],
        "sampling": {"seed": 1},
    }
    (curve / "plan.toml").write_text(tomli_w.dumps(plan))
    code, shown, error = invoke("check", curve / "plan.toml")
    assert (code, error) == (0, "")
    assert "B: 40 patients reconstructed from a published curve" in " ".join(shown.split())


def test_nothing_is_overwritten_and_bad_points_are_refused(curve):
    assert reconstruct(curve)[0] == 0
    before = (curve / "patients.csv").read_bytes()
    code, _, error = reconstruct(curve, "--endpoint", "os")
    assert code == 2
    assert "exists already" in " ".join(error.split())
    assert (curve / "patients.csv").read_bytes() == before
    assert reconstruct(curve, "--endpoint", "os", out="os.csv")[0] == 0
    assert {"os_time", "os_event"} <= set(pd.read_csv(curve / "os.csv"))
    (curve / "points.csv").write_text("time,survival\n3,90\n6,x\n")
    code, _, error = reconstruct(curve, out="new.csv")
    assert code == 2
    assert "1 row without a number" in " ".join(error.split())
    assert not (curve / "new.csv").exists()


def test_a_total_of_events_that_the_curve_does_not_have_is_said(curve):
    code, shown, _ = reconstruct(curve, "--events", 25)
    assert code == 0
    assert "19 events (25 are printed: read the end of the curve again)" in " ".join(shown.split())


def test_one_reconstructed_arm_among_patients_stays_marked(curve):
    """And stays so when the cohort is written anew."""
    assert reconstruct(curve)[0] == 0
    made = pd.read_csv(curve / "patients.csv", dtype=str)
    others = made.assign(patient=lambda t: "P" + t["patient"], arm="control").drop(columns="reconstructed")
    pd.concat([others, made]).to_csv(curve / "both.csv", index=False)
    cohort = bn.read_cohort(curve / "both.csv", None, time_unit="months", exclude_patients=["177Lu 1"])
    assert set(cohort.reconstructed) == set(made["patient"]) - {"177Lu 1"}
    assert "39 patients of 79 reconstructed from a published curve" in cohort.notes[-1].message
    assert repr(cohort).startswith("<partly reconstructed cohort: 79 patients")
    files = bn.simulate.write_cohort(cohort, curve / "anew")
    again = bn.read_cohort(files[0], None, time_unit="months", patient_columns={"pfs_time": "pfs_months"})
    assert again == cohort
    assert again.reconstructed == cohort.reconstructed
