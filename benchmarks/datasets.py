"""The same survival data for every tool: one row a patient, and one row a patient and interval."""

from __future__ import annotations

import os
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import tomli_w

import bayes_net as bn
from bayes_net.specification.shipped import find_specification

INTERVALS = 10
_LEVEL = bn.Priors().level
PRIORS = bn.Priors(level=bn.Normal(_LEVEL.mean, _LEVEL.sd))
"""Of the log hazard at score 0, as rows have it; a statement about median survival is of average patients."""
HAZARD = bn.Hazard(baseline="shared", smoothing="independent", slopes="per arm", priors=PRIORS)
"""The model that every tool can express: a Poisson regression with intervals, arm and a slope in each arm."""
FFCD_LANDMARKS = ("122d", "91d", "183d", "274d", "365d", "no limit")
SYNTHETIC_LANDMARKS = ("150d", "180d", "36w", "48w", "72w", "no limit")


def write_landmarks(folder: Path) -> str:
    """What was put in ``folder``, in words: six landmarks of a cohort, that of about 100 patients first."""
    shared = os.environ.get("BAYES_NET_SHARED") or Path(__file__).resolve().parents[2] / "shared"
    ffcd = Path(shared) / "data" / "ffcd"
    if ffcd.is_dir():
        name, landmarks, first = "FFCD 2000-05", bn.landmark(_ffcd(ffcd), FFCD_LANDMARKS), "122 d"
    else:
        cohort = bn.simulate_cohort(bn.SimulationPlan(patients=(70, 70)), seed=1)
        name, landmarks, first = "synthetic cohort", bn.landmark(cohort, SYNTHETIC_LANDMARKS), "150 d"
    labels = sorted((each.label for each in landmarks.landmarks), key=lambda label: label != first)
    for number, label in enumerate(labels, start=1):
        _write(folder, number, landmarks.at(label), landmarks.arms)
    return f"{name}, {first} (n = {len(landmarks.at(first))}) and {len(labels) - 1} other landmarks"


def write_synthetic(folder: Path, n: int) -> None:
    """``n`` synthetic patients at 150 days in ``folder``, each with a shrinkage of its own."""
    cohort = bn.simulate_cohort(bn.SimulationPlan(patients=(n, n)), seed=n)
    table = bn.landmark(cohort, ["150d"]).at("150 d")
    _write(folder, 1, table.sample(n, random_state=n), cohort.arms)


def _ffcd(folder: Path) -> bn.Cohort:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bn.CohortWarning)
        return bn.read_cohort(
            folder / "ffcd_patients.csv",
            folder / "ffcd_tumour.csv",
            time_unit="days",
            size_unit="mm",
            patient_columns={"patient": "id", "pfs_time": "pfs_day", "os_time": "os_day"},
            scan_columns={"patient": "id", "time": "day", "size": "sld_mm"},
            arms=["S", "C"],
            scans_after_death="drop",
        )


def _write(folder: Path, number: int, table: pd.DataFrame, arms: tuple[str, ...]) -> None:
    rows = pd.DataFrame(
        {
            "time": table["time"],
            "event": table["event"],
            "arm": pd.Categorical(table["arm"], categories=arms).codes,
            "score": bn.Shrinkage().score(table["shrinkage"].to_numpy()),
        }
    )
    rows.to_csv(folder / f"patients_{number}.csv", index=False)
    long = bn.long_form(read(folder, number))
    second = (long["arm"] == "1").astype(int)
    long = pd.DataFrame(
        {
            "interval": long["interval"] + 1,
            "arm": second,
            "score_1": long["score"] * (1 - second),
            "score_2": long["score"] * second,
            "exposure": long["exposure"],
            "event": long["event"].astype(int),
        }
    )
    long.to_csv(folder / f"rows_{number}.csv", index=False)
    level, arm, slope = PRIORS.level, PRIORS.arm_effect, PRIORS.slope
    priors = [(f"interval{k}", level.mean, level.sd) for k in range(1, INTERVALS + 1)]
    priors += [
        ("arm", arm.mean, arm.sd),
        ("score_1", slope.mean, slope.sd),
        ("score_2", slope.mean, slope.sd),
    ]
    pd.DataFrame(priors, columns=["term", "mean", "sd"]).to_csv(folder / "priors.csv", index=False)


def landmark_grid(scenarios: int) -> str:
    """A specification of one landmark of about 100 patients with so many priors of its slope."""
    widths = [round(1.2 + 0.01 * i, 2) for i in range(scenarios - 1)]
    values = {
        "title": "One landmark under many priors",
        "data": {"synthetic": True, "synthetic_seed": 1},
        "landmarks": {"times": ["48w"], "endpoints": ["pfs"]},
        "baseline": {"arms": "per arm", "smoothing": "rw1", "cuts": ["3mo", "6mo", "12mo", "18mo", "30mo"]},
        "sampling": {"seed": 1},
        "grid": {"priors.hazard_ratio_per_10_points": [[1 / width, width] for width in widths]},
    }
    return tomli_w.dumps(values)


def sampled_by(method: str, text: str) -> str:
    """The specification ``text`` with its draws from this method."""
    values = tomllib.loads(text)
    values["sampling"]["method"] = method
    return tomli_w.dumps(values)


def pooled_grid(scenarios: int) -> str:
    """The shipped pooled analysis with combinations of its assumptions: 200, or fewer."""
    path = find_specification("prrt_pooled")
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    values["evidence"]["files"] = [str(path.parent / name) for name in values["evidence"]["files"]]
    del values["scenarios"]
    values["grid"] = {
        "bias.scale": [0.0, 0.5, 1.0, 1.5, 2.0],
        "borrowing.level.weight": [0.1, 0.3, 0.5, 0.7, 0.9],
        "borrowing.level.sd": [0.2, 0.4, 0.6, 0.8],
        "priors.hazard_ratio_arm": [[0.05, 20], [0.1, 10]],
    }
    while np.prod([len(each) for each in values["grid"].values()]) > scenarios:
        longest = max(values["grid"].values(), key=len)
        longest.pop()
    return tomli_w.dumps(values)


def numbers(folder: Path) -> list[int]:
    """The numbers of the data sets in ``folder``."""
    return sorted(int(path.stem.split("_")[1]) for path in folder.glob("patients_*.csv"))


def read(folder: Path, number: int) -> bn.Exposure:
    """A data set as bayes_net has it, with ten intervals of about equal numbers of events."""
    table = pd.read_csv(folder / f"patients_{number}.csv")
    time, event = table["time"].to_numpy(), table["event"].to_numpy(float)
    return bn.Exposure(
        time=time,
        event=event,
        arm=table["arm"].to_numpy(),
        score=table["score"].to_numpy(),
        covariates=table[[]].to_numpy(float),
        cuts=bn.data.equal_event_cuts(time, event, intervals=INTERVALS),
        arms=("0", "1"),
    )
