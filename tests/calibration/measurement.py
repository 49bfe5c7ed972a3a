"""How often 95 % intervals cover slopes of true shrinkage, where scans measure sums with error.

Trials come from the generator of between_scans, with slower arms: Weibull times, visits that jitter and are
missed, progression that is seen at visits. A tumour has shrunk by the same true percentage at every
visit, which hazards follow; what tables have is each sum, the baseline too, times exp of an error of its own.
The truth is the generator's log hazard ratio per 10 points of that true percentage: hazards are proportional,
so it is the same from every landmark on. Every trial is fitted by true shrinkage, which nobody knows; as
measured, which is the planted error; and with the error taken off. From the root of the repository:

    python -m tests.calibration.measurement

About five minutes; the result is stored beside this file.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import bayes_net as bn
from bayes_net.assumptions.measurement import expose_with_error
from bayes_net.data.assessments import BETWEEN_SCANS
from bayes_net.inference.patients import fit_with_error

from . import between_scans, runner

STORED = Path(__file__).with_name("measurement.json")
TRIALS, SEED = 300, 20261203
LANDMARKS = ("36w",)
ARMS = ("slow", "fast")
TRUE, MEASURED, TAKEN_OFF = "true shrinkage", "as measured", "error taken off"
DESIGN = between_scans.DESIGN | {
    "patients": 115,
    "slope": -0.3,
    "scale_months": {"slow": 48.0, "fast": 24.0},
    "cuts_months": (6.0, 12.0),
    "sd": 0.1,
    "sum_mm": (70.0, 0.5),
}
"""``sd`` is that of the log of a measured sum; sums at baseline have this median and SD of the log."""
SAMPLER = bn.Sampler(draws=500, tune=400, chains=2, method="laplace")
MODULES = (
    *between_scans.MODULES,
    "assumptions.measurement",
    "compiled.uncertain",
    "compiled.vectors",
    "engine.laplace",
)
"""Whatever changes in these may change the result, which is then stale."""


def tables(arm: str, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients and scans of an arm, with the sum that was measured at each."""
    patients, scans = between_scans.tables(arm, DESIGN["patients"], rng, d=DESIGN)
    median, spread = DESIGN["sum_mm"]
    base = pd.Series(median * np.exp(spread * rng.normal(size=len(patients))), patients["patient"])
    true = base.loc[scans["patient"]].to_numpy() * (1 + scans["pchg"] / 100)
    return patients, scans.assign(size=true * np.exp(DESIGN["sd"] * rng.normal(size=len(scans))))


def trial(number: int) -> tuple[bn.Cohort, pd.Series]:
    """A trial read from its tables, which have no true percentage; and that, by patient."""
    rng = np.random.default_rng([SEED, number])
    parts = [tables(arm, rng) for arm in ARMS]
    shown = pd.concat(scans[scans["time"] > 0] for _, scans in parts)
    read = [(patients, scans.drop(columns="pchg")) for patients, scans in parts]
    return runner.read_trial(read, ARMS, size_unit="mm"), -shown.groupby("patient")["pchg"].first()


def rows(number: int) -> list[dict]:
    """Of one trial, a row for each landmark, kind of score and slope: those of the arms, and how the fast
    arm's differs from the slow one's."""
    cohort, true = trial(number)
    sets, found = bn.landmark(cohort, LANDMARKS), []
    for at in sets.landmarks:
        data = bn.expose(sets, at.label, cuts=list(DESIGN["cuts_months"]), progression=BETWEEN_SCANS)
        known = replace(data, score=true.loc[sets.at(at.label)["patient"]].to_numpy() / 10)
        uncertain = expose_with_error(data, cohort, sets, at.label, sd=DESIGN["sd"], seed=number)
        how = {"seed": number, "sampler": SAMPLER, "brief": True}
        fits = {
            TRUE: bn.fit(known, **how),
            MEASURED: bn.fit(data, **how),
            TAKEN_OFF: fit_with_error(uncertain, **how),
        }
        for by, fit in fits.items():
            slopes = fit["posterior"]["slope"].values.reshape(-1, 2)
            of = {"slow": slopes[:, 0], "fast": slopes[:, 1], "difference": slopes[:, 1] - slopes[:, 0]}
            for name, draws in of.items():
                truth = 0.0 if name == "difference" else DESIGN["slope"]
                found.append(
                    {"landmark": at.label, "by": by, "of": name, "truth": truth}
                    | runner.interval(draws, truth)
                    | {"events": int(data.event.sum())}
                )
    return found


summary = partial(runner.summary, keys=("landmark", "by", "of"))
"""Coverage and mean distance from the truth, with its standard error."""


def design() -> dict:
    """All that the result depends on but code and versions, as JSON has it."""
    return runner.plain({"trials": TRIALS, "seed": SEED, "landmarks": LANDMARKS, **DESIGN})


if __name__ == "__main__":
    asked = runner.arguments(__doc__, STORED, trials=TRIALS)
    many = [row for number in range(asked.trials) for row in rows(number)]
    runner.store(asked.out, MODULES, {"design": design(), "rows": summary(many)}, show=["rows"])
