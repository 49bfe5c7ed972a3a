"""A real trial: the risk sets and best changes of FFCD 2000-05 equal the reference answers."""

import json

import pytest

from bayes_net.data.cohort import read_cohort
from bayes_net.data.landmarks import landmark
from bayes_net.errors import CohortError, CohortWarning

LABELS = {"day122": "122 d", "no_limit": "no limit"}
SETS = {"pfs": "pfs", "os_pfsrisk": "os"}


def read(shared, **options):
    folder = shared / "data" / "ffcd"
    return read_cohort(
        folder / "ffcd_patients.csv",
        folder / "ffcd_tumour.csv",
        time_unit="days",
        size_unit="mm",
        patient_columns={"patient": "id", "pfs_time": "pfs_day", "os_time": "os_day"},
        scan_columns={"patient": "id", "time": "day", "size": "sld_mm"},
        arms=["S", "C"],
        **options,
    )


@pytest.fixture(scope="module")
def cohort(shared):
    with pytest.warns(CohortWarning, match="15 patients without a usable scan"):
        return read(shared, scans_after_death="drop")


@pytest.fixture(scope="module")
def reference(shared):
    return json.loads((shared / "reference" / "ffcd_landmark_reference.json").read_text())["landmarks"]


def summary(table) -> dict:
    return {"n": len(table), "events": table["event"].sum(), "person_months": table["time"].sum()}


def changes(table) -> dict:
    best = -table["shrinkage"]
    return {
        "best_pchg_min": best.min(),
        "best_pchg_median": best.median(),
        "best_pchg_max": best.max(),
    }


@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("when", LABELS)
def test_risk_sets_events_and_best_changes_equal_the_reference(cohort, reference, when, which):
    expected = reference[when][which]
    table = landmark(cohort, ["122d", "no limit"], endpoint=SETS[which]).at(LABELS[when])
    # the reference is printed with 12 to 15 digits
    assert summary(table) == pytest.approx({key: expected[key] for key in summary(table)}, rel=1e-9)
    assert set(expected["by_arm"]) == set(cohort.arms)
    for arm, numbers in expected["by_arm"].items():
        rows = table[table["arm"] == arm]
        assert summary(rows) | changes(rows) == pytest.approx(numbers, rel=1e-9)


def test_the_scan_after_death_is_refused_until_it_is_declared(shared):
    said = r"row 610 \(patient 101: scan at 534 days, death at 419 days\)"
    with pytest.raises(CohortError, match=said):
        read(shared)


def test_the_dropped_scan_and_the_judgement_calls_are_counted(cohort):
    counts = {note.code: (note.kind, note.count) for note in cohort.notes}
    assert counts == {
        "scans-after-death": ("handled", 1),
        "scans-after-pfs": ("warning", 280),
        "no-post-baseline-scan": ("warning", 15),
    }
    assert len(cohort.patients) == 150
    assert cohort.patients[["pfs_event", "os_event"]].sum().tolist() == [141, 121]


def test_excluding_the_patient_is_the_other_way_and_opens_the_flow(shared):
    with pytest.warns(CohortWarning):
        without = read(shared, exclude_patients=["101"])
    flow = landmark(without, ["122d"]).attrition.set_index(["arm", "reason"])["n"]
    assert flow["C", "excluded by the specification"] == 1
    assert flow["C", "all patients"] == 73
    assert flow["C"].iloc[1:].sum() == 73
