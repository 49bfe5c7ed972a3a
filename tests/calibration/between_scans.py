"""How often 95 % intervals cover slopes, and how arms differ, where progression is seen at scans.

Trials come from a generator that is not the model: Weibull times of progression and death with one slope, a
fast and a slow arm, visits that jitter around a 12-weekly grid, some of them missed, and tables of patients
and scans, from which intervals are read. Every trial is fitted with progression between scans and, to show
what it mends, at the scan. From the root of the repository:

    python -m tests.calibration.between_scans

Some trials of 6000 patients an arm show what is not of the priors' making. About ten minutes; the result is
stored beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayes_net as bn
from bayes_net.data.assessments import PROGRESSION

from . import runner

STORED = Path(__file__).with_name("between_scans.json")
TRIALS, LARGE, SEED = 200, 4, 20251128
LANDMARKS = ("150d", "36w")
ARMS = ("slow", "fast")
DESIGN = {
    "patients": 400,
    "patients_of_large": 6000,
    "slope": -0.4,
    "scale_months": {"slow": 22.0, "fast": 4.0},
    "shape": 1.2,
    "deaths": 0.1,
    "visit_days": 84,
    "jitter_days": 10,
    "missed": 0.1,
    "followed_months": (18.0, 48.0),
    "shrinkage": (20.0, 20.0),
    "cuts_months": (3.0, 6.0, 12.0, 18.0),
}
"""Of each arm: patients, log hazard ratio per 10 points, Weibull scale at a shrinkage of 0 and shape; share
of the hazard that is of death; visits; mean and SD of shrinkage, which every scan shows."""
MODULES = (*runner.PATIENTS, "assumptions.synthesis")
"""Whatever changes in these may change coverage, so that the stored result is then stale."""


def tables(
    arm: str, n: int, rng: np.random.Generator, *, d: Mapping[str, Any] = DESIGN
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients and scans of an arm: progression is a new lesion at the first scan after it. With a
    ``threshold`` the slope is that of response, a shrinkage of so many points."""
    shrinkage = np.clip(rng.normal(*d["shrinkage"], n), -19.0, 95.0).round(1)
    risk = np.exp(d["slope"] * (shrinkage >= d["threshold"] if "threshold" in d else shrinkage / 10))
    times = [
        d["scale_months"][arm] * (rng.exponential(size=n) / (risk * share)) ** (1 / d["shape"])
        for share in (1 - d["deaths"], d["deaths"])
    ]
    progression, death = (months * 30.4375 for months in times)
    closed = rng.uniform(*d["followed_months"], n) * 30.4375
    os_time, os_event = np.ceil(np.minimum(death, closed)), (death <= closed).astype(int)
    patients, scans = [], []
    for i in range(n):
        name, visits = f"{arm}-{i}", np.arange(1, 60) * d["visit_days"]
        days = np.rint(visits + rng.uniform(-d["jitter_days"], d["jitter_days"], len(visits)))
        days = days[(rng.random(len(days)) > d["missed"]) & (days < os_time[i])]
        later = days[days >= progression[i]]
        last = days[-1] if len(days) else 1.0
        pfs, event = (later[0], 1) if len(later) else (os_time[i], 1) if os_event[i] else (last, 0)
        shown = days[days <= pfs]
        patients.append((name, arm, pfs, event, os_time[i], os_event[i]))
        scans.append((name, 0.0, 0.0, 0))
        scans += [(name, day, -shrinkage[i], int(day >= progression[i])) for day in shown]
    names = ["patient", "arm", "pfs_time", "pfs_event", "os_time", "os_event"]
    return pd.DataFrame(patients, columns=names), pd.DataFrame(
        scans, columns=["patient", "time", "pchg", "new_lesion"]
    )


def trial(number: int, n: int) -> bn.Cohort:
    """A trial of so many patients an arm, read from its tables."""
    rng = np.random.default_rng([SEED, number])
    return runner.read_trial((tables(arm, n, rng) for arm in ARMS), ARMS)


def rows(number: int, n: int = DESIGN["patients"]) -> list[dict]:
    """Of one trial, a row for each landmark, way of dating and slope: those of the arms, and how the fast
    arm's differs from the slow one's."""
    sets, found = bn.landmark(trial(number, n), LANDMARKS), []
    sampler = bn.Sampler(400, 400, 4, 0.9)
    for each in sets.landmarks:
        for progression in PROGRESSION:
            data = bn.expose(sets, each.label, cuts=list(DESIGN["cuts_months"]), progression=progression)
            fit = bn.fit(data, seed=number, sampler=sampler, brief=True)
            slopes = fit["posterior"]["slope"].values.reshape(-1, 2)
            of = {"slow": slopes[:, 0], "fast": slopes[:, 1], "difference": slopes[:, 1] - slopes[:, 0]}
            for name, draws in of.items():
                truth = 0.0 if name == "difference" else DESIGN["slope"]
                found.append(
                    {"landmark": each.label, "progression": progression, "of": name, "truth": truth}
                    | runner.interval(draws, truth)
                    | {"events": int(data.event.sum()), "between": int(data.between.sum())}
                )
    return found


summary = partial(runner.summary, keys=("landmark", "progression", "of"))
"""Coverage and mean distance from the truth, with its standard error."""


def design() -> dict:
    """All that the result depends on but code and versions, as JSON has it."""
    return runner.plain({"trials": TRIALS, "large": LARGE, "seed": SEED, "landmarks": LANDMARKS, **DESIGN})


if __name__ == "__main__":
    asked = runner.arguments(__doc__, STORED, trials=TRIALS)
    many = [row for number in range(asked.trials) for row in rows(number)]
    large = [row for k in range(LARGE) for row in rows(asked.trials + k, DESIGN["patients_of_large"])]
    found = {"design": design(), "rows": summary(many), "large": summary(large)}
    runner.store(asked.out, MODULES, found, show=["rows", "large"])
