"""Illness-death: how often 95 % intervals cover the slopes of its three transitions, and survival by states.

Trials come from a generator that is not the model: Weibull times of progression and of death, whose hazard is
a multiple after progression; progression is seen at visits that jitter and are missed, by a scan that shows
growth. States are those that scans document, and the true survival is that of so many patients, by the same
documents. Planted errors: deaths after progression without delayed entry (``no entry``), and one hazard of
all who are alive, whose progression is ignored (``ignored``). From the root of the repository:

    python -m tests.calibration.steps

About five minutes; the result is stored beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import bayes_net as bn
from bayes_net.assumptions.priors import median_survival_prior
from bayes_net.data.follow_up import DEATH_AFTER, TRANSITIONS, transitions
from bayes_net.data.landmarks import landmark_times
from bayes_net.estimands.arms import STATES, state_probabilities
from bayes_net.schema import ALIVE, AT_RISK, DAYS_PER_MONTH, OS
from bayes_net.specification.priors import RARE_MONTHS

from . import any_time, runner

STORED = Path(__file__).with_name("steps.json")
TRIALS, MANY, SEED = 400, 200_000, 20261204
LANDMARK, ARMS = "36w", ("slow", "fast")
SLOPES = {"none": 0.0, "association": -0.2}
DESIGN = {
    "patients": 115,
    "scale_months": {"slow": 30.0, "fast": 16.0},
    "shape": 1.2,
    "deaths": 0.25,
    "after_progression": 3.0,
    "visit_days": 84,
    "jitter_days": 10,
    "missed": 0.1,
    "followed_months": (24.0, 60.0),
    "shrinkage": (20.0, 20.0),
    "growth": 30.0,
    "cuts_months": (6.0, 12.0, 24.0),
    "horizon": 18.0,
    "points": 20.0,
}
"""Of each arm: patients, Weibull scale at a shrinkage of 0 and shape; share of the hazard that is of death,
and by what it is multiplied at progression; visits; mean and SD of shrinkage, and the growth that the scan of
progression shows. Survival is asked ``horizon`` months after the landmark at a shrinkage of ``points``."""
SAMPLER = bn.Sampler(draws=500, tune=400, chains=2, method="laplace")
PRIORS = bn.Priors(level=median_survival_prior(2.0, RARE_MONTHS))
MODULES = (*runner.PATIENTS, "data.follow_up", "estimands.arms", "engine.laplace")
"""Whatever changes in these may change the result, which is then stale."""


class Patients(NamedTuple):
    """Days of visits (patient, visit), infinite where one is missed, of progression and of death."""

    visits: np.ndarray
    progression: np.ndarray
    death: np.ndarray

    @property
    def documented(self) -> np.ndarray:
        """Day of the first scan after progression, before death; infinite without."""
        shows = (self.visits >= self.progression[:, None]) & (self.visits < self.death[:, None])
        return np.where(shows, self.visits, np.inf).min(axis=1)


def patients(arm: str, shrinkage: np.ndarray, slope: float, rng: np.random.Generator) -> Patients:
    """Patients of an arm with such shrinkages, of which all hazards have the slope."""
    d, n = DESIGN, len(shrinkage)
    rate = (np.exp(slope * shrinkage / 10) / d["scale_months"][arm] ** d["shape"])[:, None]
    zero = np.zeros((n, 1))
    progression = any_time.event_times(rng, zero, (1 - d["deaths"]) * rate, d["shape"], zero[:, 0])
    before = any_time.event_times(rng, zero, d["deaths"] * rate, d["shape"], zero[:, 0])
    late = d["after_progression"] * d["deaths"] * rate
    after = any_time.event_times(rng, zero, late, d["shape"], progression)
    death = np.where(before < progression, before, after)
    visits = np.arange(1, 40) * d["visit_days"] + rng.uniform(-1, 1, (n, 39)) * d["jitter_days"]
    visits = np.where(rng.random(visits.shape) > d["missed"], np.rint(visits), np.inf)
    return Patients(visits, progression * DAYS_PER_MONTH, np.ceil(death * DAYS_PER_MONTH))


def tables(arm: str, slope: float, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients and scans of an arm, times in days."""
    d = DESIGN
    shrinkage = np.clip(rng.normal(*d["shrinkage"], d["patients"]), -19.0, 95.0).round(1)
    people = patients(arm, shrinkage, slope, rng)
    closed = np.ceil(rng.uniform(*d["followed_months"], len(shrinkage)) * DAYS_PER_MONTH)
    os_time, os_event = np.minimum(people.death, closed), (people.death <= closed).astype(int)
    rows, scans = [], []
    for i, (first, end) in enumerate(zip(people.documented, os_time, strict=True)):
        days = people.visits[i][people.visits[i] < end]
        last = days[-1] if len(days) else 1.0
        seen = first < end
        pfs, event = (first, 1) if seen else (end, 1) if os_event[i] else (last, 0)
        rows.append((f"{arm}-{i}", arm, pfs, event, end, os_event[i]))
        scans.append((f"{arm}-{i}", 0.0, 0.0, 0))
        scans += [
            (f"{arm}-{i}", day, d["growth"] if day == first else -shrinkage[i], int(day == first))
            for day in days[days <= pfs]
        ]
    names = ["patient", "arm", "pfs_time", "pfs_event", "os_time", "os_event"]
    return pd.DataFrame(rows, columns=names), pd.DataFrame(
        scans, columns=["patient", "time", "pchg", "new_lesion"]
    )


def trial(number: int, truth: str) -> bn.Cohort:
    """A trial read from its tables."""
    rng = np.random.default_rng([SEED, number, *truth.encode()])
    return runner.read_trial((tables(arm, SLOPES[truth], rng) for arm in ARMS), ARMS)


@cache
def survival(arm: str, truth: str) -> float:
    """Of ``MANY`` patients without documented progression at the landmark, and with a scan by then, the share
    that lives at the horizon."""
    rng = np.random.default_rng([SEED, *arm.encode(), *truth.encode()])
    people = patients(arm, np.full(MANY, DESIGN["points"]), SLOPES[truth], rng)
    start = landmark_times([LANDMARK])[0].months * DAYS_PER_MONTH
    own = (np.minimum(people.documented, people.death) > start) & (people.visits <= start).any(axis=1)
    return float((people.death[own] > start + DESIGN["horizon"] * DAYS_PER_MONTH).mean())


def rows(number: int, truth: str) -> list[dict]:
    """Of one trial, a row for each slope of each population, and for survival; and under planted errors."""
    cohort, hazard, slope = trial(number, truth), bn.Hazard(priors=PRIORS), SLOPES[truth]
    cuts = dict.fromkeys(TRANSITIONS, DESIGN["cuts_months"])

    def fitted(data: bn.Exposure) -> Any:
        return bn.fit(data, hazard, seed=number, sampler=SAMPLER, brief=True)

    sets = {each: bn.landmark(cohort, [LANDMARK], endpoint=OS, population=each) for each in (AT_RISK, ALIVE)}
    data = {each: transitions(cohort, own, LANDMARK, cuts=cuts) for each, own in sets.items()}
    fits = {name: fitted(own) for name, own in data[AT_RISK].items()}
    found = [row for name, own in fits.items() for row in _slopes(AT_RISK, name, own, slope)]
    # of all who are alive, those who had progressed are at risk of one transition more
    found += _slopes(ALIVE, DEATH_AFTER, fitted(data[ALIVE][DEATH_AFTER]), slope)
    whole = bn.expose(sets[ALIVE], LANDMARK, cuts=list(DESIGN["cuts_months"]), progression="at the scan")
    found += _slopes("ignored", "death", fitted(whole), slope)
    without = fits | {DEATH_AFTER: fitted(replace(data[AT_RISK][DEATH_AFTER], entry=None))}
    for name, own in {AT_RISK: fits, "no entry": without}.items():
        found += _survival(name, own, next(iter(data[AT_RISK].values())), truth)
    return [{"association": truth} | row for row in found]


def _slopes(population: str, name: str, fit: Any, slope: float) -> list[dict]:
    draws, events = fit["posterior"]["slope"].values.reshape(-1, len(ARMS)), fit["constant_data"]["n_events"]
    return [
        {"population": population, "of": name, "arm": arm, "truth": slope, "events": int(events[a])}
        | runner.interval(draws[:, a], slope)
        for a, arm in enumerate(ARMS)
    ]


def _survival(population: str, fits: Mapping, data: bn.Exposure, truth: str) -> list[dict]:
    states = state_probabilities(fits, data, [DESIGN["horizon"]], shrinkage=[DESIGN["points"]])
    alive, found = states.sel(state=list(STATES[:2])).sum("state"), []
    for arm in ARMS:
        true = survival(arm, truth)
        about = {"population": population, "of": "survival", "arm": arm, "truth": true, "events": 0}
        found.append(about | runner.interval(alive.sel(arm=arm).values.ravel(), true))
    return found


summary = partial(runner.summary, keys=("association", "population", "of", "arm"))
"""Coverage and mean distance from the truth, with its standard error."""


def design() -> dict:
    """All that the result depends on but code and versions, as JSON has it."""
    counts = {"trials": TRIALS, "many": MANY, "seed": SEED, "landmark": LANDMARK}
    return runner.plain(DESIGN | counts | {"slopes": SLOPES})


if __name__ == "__main__":
    asked = runner.arguments(__doc__, STORED, share=1.0)
    many = range(int(asked.share * TRIALS))
    found = [row for truth in SLOPES for number in many for row in rows(number, truth)]
    runner.store(asked.out, MODULES, {"design": design(), "rows": summary(found)}, show=["rows"])
