"""The landmark rule: against a plain recount in whole days, and by its laws."""

import numpy as np
import pandas as pd
import pytest

from bayes_net.data.cohort import Cohort, read_cohort
from bayes_net.data.landmarks import ANALYSED, landmark

pytestmark = pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")

LIMITS = {"84 d": 84, "24 w": 168, "252 d": 252, "no limit": None}
TIMES = ["84d", "24w", "252d", "no limit"]
CHOICES = [
    (endpoint, population, itt)
    for endpoint, population in [("pfs", "pfs risk set"), ("os", "pfs risk set"), ("os", "alive")]
    for itt in (False, True)
]


def drawn_tables(n: int = 120, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Random patients in whole days, with visits, follow-up and landmarks often on the same day."""
    rng = np.random.default_rng(seed)
    patients, scans = [], []
    for i in range(n):
        os_day = int(rng.choice([1, 83, 84, 85, 168, 169, 252, 300, 400]))
        pfs_day = min(os_day, int(rng.choice([42, 84, 85, 168, 252, 300])))
        arm = rng.choice(["a", "b"])
        patients.append((f"p{i}", arm, pfs_day, rng.integers(2), os_day, rng.integers(2), rng.normal()))
        if rng.random() < 0.1:
            continue
        scans.append((f"p{i}", 0, 0.0, 0, ""))
        for day in (42, 84, 126, 168, 210, 252):
            if rng.random() < 0.7 and day <= os_day:
                change = rng.choice([-100, -30, 0, 19.5, 20, 45, np.nan])
                seen = rng.choice(["", "", "SD", "PD"])
                scans.append((f"p{i}", day, change, int(rng.random() < 0.2), seen))
    columns = ["patient", "arm", "pfs_time", "pfs_event", "os_time", "os_event", "age"]
    return (
        pd.DataFrame(patients, columns=columns),
        pd.DataFrame(scans, columns=["patient", "time", "pchg", "new_lesion", "response"]),
    )


def cohort_of(patients: pd.DataFrame, scans: pd.DataFrame, time_unit: str = "days") -> Cohort:
    return read_cohort(patients, scans, time_unit=time_unit, covariates=["age"])


def recount(patients, scans, day, endpoint, population, itt):
    """The rule in whole days, one patient after the other: reasons, and (shrinkage, what tells of a response,
    days, event)."""
    reasons, analysed = {}, {}
    for p in patients.itertuples():
        risk_day, risk_event = (p.os_time, p.os_event) if population == "alive" else (p.pfs_time, p.pfs_event)
        until = p.pfs_time if day is None else min(day, p.pfs_time)
        seen = [s for s in scans.itertuples() if s.patient == p.patient and 0 < s.time <= until]
        seen = [s for s in seen if not np.isnan(s.pchg)]
        left = [min([100, *(100 + earlier.pchg for earlier in seen[:i])]) for i in range(len(seen))]
        regrown = [
            100 + s.pchg >= 1.2 * nadir and 100 + s.pchg > nadir for s, nadir in zip(seen, left, strict=True)
        ]
        bad = [
            s.new_lesion == 1 or s.pchg >= 20 or s.response == "PD" or (s.response == "" and again)
            for s, again in zip(seen, regrown, strict=True)
        ]
        if risk_day <= (day or 0):
            died = "died" if population == "alive" else "progressed or died"
            reasons[p.patient] = f"{died} by the landmark" if risk_event else "censored by the landmark"
        elif not seen and not itt:
            reasons[p.patient] = "no post-baseline scan by the landmark"
        elif seen and all(bad) and population != "alive" and not itt:
            reasons[p.patient] = "best response is progression"
        else:
            reasons[p.patient] = "analysed"
            time, event = (p.pfs_time, p.pfs_event) if endpoint == "pfs" else (p.os_time, p.os_event)
            best = max((-s.pchg for s in seen), default=np.nan)
            best = np.nan if itt and seen and all(bad) else best
            # progression is no response
            told = max((-s.pchg for s, no in zip(seen, bad, strict=True) if not no), default=np.nan)
            analysed[p.patient] = (best, told, (time - (day or 0)) / 30.4375, event)
    return reasons, analysed


@pytest.mark.parametrize(("endpoint", "population", "itt"), CHOICES)
@pytest.mark.parametrize("label", LIMITS)
def test_the_rule_equals_a_recount_in_whole_days(label, endpoint, population, itt):
    patients, scans = drawn_tables()
    options = {"endpoint": endpoint, "population": population, "intention_to_treat": itt}
    result = landmark(cohort_of(patients, scans), TIMES, **options)
    reasons, analysed = recount(patients, scans, LIMITS[label], endpoint, population, itt)

    table = result.at(label).set_index("patient")
    expected = pd.DataFrame.from_dict(
        analysed, orient="index", columns=["shrinkage", "responded", "time", "event"]
    )
    pd.testing.assert_frame_equal(
        table[["shrinkage", "responded", "time", "event"]].sort_index(),
        expected.sort_index(),
        check_exact=True,
        check_names=False,
        check_index_type=False,
    )
    arm_of = patients.set_index("patient")["arm"]
    counts = pd.Series(reasons).groupby([arm_of, pd.Series(reasons)]).size()
    flow = result.attrition.query("landmark == @label and reason != 'all patients' and n > 0")
    assert flow.set_index(["arm", "reason"])["n"].to_dict() == counts.to_dict()


@pytest.mark.parametrize(("endpoint", "population", "itt"), CHOICES)
def test_every_patient_is_in_exactly_one_row_of_the_flow(endpoint, population, itt):
    patients, scans = drawn_tables(seed=2)
    cohort = cohort_of(patients, scans)
    result = landmark(cohort, TIMES, endpoint=endpoint, population=population, intention_to_treat=itt)
    flow = result.attrition
    lost = "died by the landmark" if population == "alive" else "progressed or died by the landmark"
    order = [
        "all patients",
        "excluded by the specification",
        lost,
        "censored by the landmark",
        "no post-baseline scan by the landmark",
        "best response is progression",
        "analysed",
    ]
    for (_, arm), rows in flow.groupby(["landmark", "arm"]):
        assert rows["reason"].tolist() == order  # zero counts are kept
        assert rows["n"].iloc[0] == rows["n"].iloc[1:].sum() == (patients["arm"] == arm).sum()
    analysed = flow[flow["reason"] == ANALYSED].set_index(["landmark", "arm"])["n"]
    assert result.table.groupby(["landmark", "arm"]).size().to_dict() == analysed.to_dict()
    assert not result.table.duplicated(["landmark", "patient"]).any()
    if itt:
        assert (flow.loc[flow["reason"].isin(order[4:6]), "n"] == 0).all()


def test_excluded_patients_open_the_flow():
    patients, scans = drawn_tables()
    out = patients[patients["arm"] == "a"]["patient"].iloc[:3].tolist()
    cohort = read_cohort(patients, scans, time_unit="days", exclude_patients=out)
    flow = landmark(cohort, ["84d"]).attrition.set_index(["arm", "reason"])["n"]
    assert flow["a", "excluded by the specification"] == 3
    assert flow["b", "excluded by the specification"] == 0
    assert flow["a", "all patients"] == (patients["arm"] == "a").sum()
    assert flow["a"].iloc[1:].sum() == flow["a", "all patients"]


def test_relabelling_and_shuffling_change_nothing():
    patients, scans = drawn_tables()
    names = {name: f"{len(patients) - i:04d}" for i, name in enumerate(patients["patient"])}
    plain = landmark(cohort_of(patients, scans), TIMES)
    renamed = [
        frame.assign(patient=frame["patient"].map(names)).sample(frac=1, random_state=3)
        for frame in (patients, scans)
    ]
    other = landmark(cohort_of(*renamed), TIMES)
    pd.testing.assert_frame_equal(plain.attrition, other.attrition)
    back = {new: old for old, new in names.items()}
    relabelled = other.table.assign(patient=other.table["patient"].map(back))
    by = ["landmark", "patient"]
    pd.testing.assert_frame_equal(
        plain.table.sort_values(by, ignore_index=True),
        relabelled.sort_values(by, ignore_index=True),
        check_exact=True,
    )


@pytest.mark.parametrize(("unit", "days"), [("weeks", 7), ("months", 30.4375), ("years", 365.25)])
def test_the_unit_of_time_changes_nothing(unit, days):
    patients, scans = drawn_tables()
    plain = landmark(cohort_of(patients, scans), TIMES)
    patients = patients.assign(pfs_time=patients["pfs_time"] / days, os_time=patients["os_time"] / days)
    other = landmark(cohort_of(patients, scans.assign(time=scans["time"] / days), unit), TIMES)
    pd.testing.assert_frame_equal(plain.table, other.table, check_exact=True)
    pd.testing.assert_frame_equal(plain.attrition, other.attrition)


@pytest.mark.parametrize("population", ["pfs risk set", "alive"])
def test_scans_after_the_landmark_change_nothing_at_it(population):
    patients, scans = drawn_tables()
    later = patients.loc[patients["os_time"] > 169, "patient"]
    extra = pd.DataFrame({"patient": later, "time": 168.5, "pchg": -99.0, "new_lesion": 0, "response": "CR"})
    more = cohort_of(patients, pd.concat([scans, extra]))
    options = {"endpoint": "os", "population": population}
    before = landmark(cohort_of(patients, scans), TIMES, **options)
    after = landmark(more, TIMES, **options)
    for label in ("84 d", "24 w"):
        pd.testing.assert_frame_equal(before.at(label), after.at(label))
    assert not before.at("252 d").equals(after.at("252 d"))


def test_the_set_carries_what_it_is():
    patients, scans = drawn_tables()
    cohort = read_cohort(patients, scans, time_unit="days", covariates=["age"], synthetic=True)
    result = landmark(cohort, ["no limit", "24w"], endpoint="os", population="alive")
    assert (result.endpoint, result.population, result.intention_to_treat) == ("os", "alive", False)
    assert (result.arms, result.covariates, result.synthetic) == (("a", "b"), ("age",), True)
    assert result.notes == cohort.notes
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
    assert list(result.table) == [*columns, "age"]
    assert result.at("24 w").index.equals(pd.RangeIndex(len(result.at("24 w"))))
    assert [(item.label, item.biased) for item in result.landmarks] == [("24 w", False), ("no limit", True)]
