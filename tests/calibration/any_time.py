"""The model of all follow-up: how often intervals cover, and how often words are said without association.

Trials come from a generator that is not the model: tumours shrink towards a depth of their own, by scans that
jitter around a 12-weekly grid; hazards rise as a power of time, follow the best shrinkage that the last scan
showed, and multiply at progression, which is seen at the next scan; tables of patients and scans are read as
a user's are. Of each trial PFS and OS are fitted, as a run does. From the root of the repository:

    python -m tests.calibration.any_time

About twenty minutes (``--share`` of the trials for a first look); the result is stored beside this file.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import bayes_net as bn
from bayes_net.data.assessments import PROGRESSION
from bayes_net.data.follow_up import time_dependent
from bayes_net.estimands.summary import UNCLEAR, direction
from bayes_net.schema import DAYS_PER_MONTH, ENDPOINTS

from . import runner

STORED = Path(__file__).with_name("any_time.json")
TRIALS, LARGE, SEED = {"none": 500, "association": 200}, 4, 20261128
ARMS = ("slow", "fast")
DESIGN = {
    "patients": 115,
    "patients_of_large": 6000,
    "slopes": {"none": 0.0, "association": -0.3},
    "scale_months": {"slow": 40.0, "fast": 18.0},
    "shape": 1.2,
    "deaths": 0.1,
    "after_progression": 6.0,
    "depth": (4.0, 6.0),
    "months_to_shrink": 4.0,
    "noise": 2.0,
    "visit_days": 84,
    "jitter_days": 7,
    "followed_months": (24.0, 60.0),
    "cuts_months": (6.0, 12.0, 18.0, 30.0),
}
"""Of each arm: patients, log hazard ratio per 10 points of both endpoints, Weibull scale at a shrinkage of 0
and shape; share of the hazard that is of death, and by what it is multiplied at progression; shape and scale
(points) of the gamma law of depths, and SD of a scan's error; visits; follow-up."""
MODULES = (*runner.PATIENTS, "data.follow_up", "estimands.summary")
"""Whatever changes in these may change the result, which is then stale."""


def event_times(
    rng: np.random.Generator, changes: np.ndarray, hazard: np.ndarray, shape: float, since: np.ndarray
) -> np.ndarray:
    """Months of an event whose hazard is shape * t^(shape - 1) times ``hazard`` (patient, stretch), which
    changes at ``changes`` (patient, stretch), of who is without one ``since`` these months."""
    begins = np.maximum(changes, since[:, None])
    ends = np.maximum(np.column_stack([changes[:, 1:], np.full(len(changes), np.inf)]), since[:, None])
    left, time = rng.exponential(size=len(changes)), np.full(len(changes), np.inf)
    for k in range(changes.shape[1]):
        grown = hazard[:, k] * (ends[:, k] ** shape - begins[:, k] ** shape)
        own = np.isinf(time) & (left < grown)
        reached = begins[:, k] ** shape + left / np.where(own, hazard[:, k], 1.0)
        time[own] = reached[own] ** (1 / shape)
        left -= np.where(np.isinf(time), np.nan_to_num(grown, posinf=0.0), 0.0)
    return time


def tables(arm: str, n: int, slope: float, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients and scans of an arm, times in days."""
    d, visits = DESIGN, 40
    days = np.rint(
        np.arange(1, visits + 1) * d["visit_days"]
        + rng.uniform(-d["jitter_days"], d["jitter_days"], (n, visits))
    )
    at = days / DAYS_PER_MONTH
    depth = rng.gamma(*d["depth"], (n, 1))
    size = -depth * (1 - np.exp(-at / d["months_to_shrink"])) + rng.normal(0, d["noise"], at.shape)
    # growth of a fifth over the smallest size would be progression, which has an event of its own
    smallest = np.minimum.accumulate(100 + size, axis=1)
    size = np.round(np.clip(np.minimum(100 + size, 1.15 * smallest) - 100, -95.0, 15.0), 1)
    best = np.maximum.accumulate(-size, axis=1)
    changes = np.column_stack([np.zeros(n), at])
    relative = np.exp(slope * np.column_stack([np.zeros(n), best]) / 10)
    rate = relative / d["scale_months"][arm] ** d["shape"]
    start = np.zeros(n)
    progression = event_times(rng, changes, (1 - d["deaths"]) * rate, d["shape"], start)
    before = event_times(rng, changes, d["deaths"] * rate, d["shape"], start)
    # after progression nothing more is measured: the best stays what it was
    reached = np.minimum((at <= progression[:, None]).sum(axis=1), visits)
    late = (
        d["after_progression"] * d["deaths"] * np.repeat(rate[np.arange(n), reached][:, None], visits + 1, 1)
    )
    after = event_times(rng, changes, late, d["shape"], np.minimum(progression, 1e6))
    death = np.where(before < progression, before, after) * DAYS_PER_MONTH
    closed = rng.uniform(*d["followed_months"], n) * DAYS_PER_MONTH
    os_time, os_event = np.ceil(np.minimum(death, closed)), (death <= closed).astype(int)
    patients, scans = [], []
    for i in range(n):
        own = days[i] < os_time[i]
        shown, sizes = days[i][own], size[i][own]
        later = shown >= progression[i] * DAYS_PER_MONTH
        last = shown[-1] if len(shown) else 1.0
        pfs, event = (shown[later][0], 1) if later.any() else (os_time[i], 1) if os_event[i] else (last, 0)
        patients.append((f"{arm}-{i}", arm, pfs, event, os_time[i], os_event[i]))
        use = shown <= pfs
        scans += [
            (f"{arm}-{i}", *row) for row in zip(shown[use], sizes[use], later[use].astype(int), strict=True)
        ]
    names = ["patient", "arm", "pfs_time", "pfs_event", "os_time", "os_event"]
    return pd.DataFrame(patients, columns=names), pd.DataFrame(
        scans, columns=["patient", "time", "pchg", "new_lesion"]
    )


def trial(number: int, n: int, truth: str) -> bn.Cohort:
    """A trial of so many patients an arm, read from its tables."""
    rng = np.random.default_rng([SEED, number, *truth.encode()])
    return runner.read_trial((tables(arm, n, DESIGN["slopes"][truth], rng) for arm in ARMS), ARMS)


def rows(number: int, truth: str, n: int = DESIGN["patients"]) -> list[dict]:
    """Of one trial, a row for each endpoint, way of dating progression (PFS) and arm."""
    cohort, found = trial(number, n, truth), []
    sampler = bn.Sampler(400, 400, 4, 0.9)
    for endpoint in ENDPOINTS:
        for progression in PROGRESSION[: 2 if endpoint == "pfs" and n > DESIGN["patients"] else 1]:
            data = time_dependent(
                cohort, endpoint=endpoint, cuts=list(DESIGN["cuts_months"]), progression=progression
            )
            fit = bn.fit(data, seed=number, sampler=sampler, brief=True)
            slopes = fit["posterior"]["slope"].values.reshape(-1, len(ARMS))
            for arm, draws in zip(ARMS, slopes.T, strict=True):
                slope = DESIGN["slopes"][truth]
                found.append(
                    {"trial": number, "truth": truth, "endpoint": endpoint, "progression": progression}
                    | {"arm": arm, "slope": slope, **runner.interval(draws, slope)}
                    | {"longer": float((draws < 0).mean()), "events": int(data.event.sum())}
                )
    return found


summary = partial(runner.summary, keys=("truth", "endpoint", "progression", "arm"), truth="slope")
"""Coverage and mean distance from the truth, with its standard error."""


def worded(found: list[dict]) -> dict[str, int]:
    """In how many trials without any association a word is said of some slope: of PFS alone, and of both
    endpoints; and as it would be if each slope were judged by itself."""
    table = pd.DataFrame(found)
    table = table[table["truth"] == "none"]
    counts = {}
    for name, own in (("pfs", table[table["endpoint"] == "pfs"]), ("pfs and os", table)):
        slopes = len(own) // own["trial"].nunique()
        for how, tails in (("together", 2.0 * slopes), ("each by itself", 1.0)):
            said = own["longer"].map(lambda p, tails=tails: direction(p, tails)[0] != UNCLEAR)
            counts[f"{name}, {how}"] = int(said.groupby(own["trial"]).any().sum())
    return counts


def design() -> dict:
    """All that the result depends on but code and versions, as JSON has it."""
    return runner.plain({"trials": TRIALS, "large": LARGE, "seed": SEED, **DESIGN})


if __name__ == "__main__":
    asked = runner.arguments(__doc__, STORED, share=1.0)
    many = [
        row
        for truth, count in TRIALS.items()
        for k in range(int(asked.share * count))
        for row in rows(k, truth)
    ]
    large = [
        row
        for truth in TRIALS
        for k in range(max(1, int(asked.share * LARGE)))
        for row in rows(10_000 + k, truth, DESIGN["patients_of_large"])
    ]
    found = {"rows": summary(many), "large": summary(large), "worded": worded(many)}
    runner.store(asked.out, MODULES, {"design": design(), **found}, show=["rows", "large"])
    print(found["worded"])
