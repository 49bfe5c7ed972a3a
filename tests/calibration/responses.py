"""How often 95 % intervals cover the hazard ratio of response, of PFS and of OS after a landmark.

Trials come from the generator of between_scans, in which now nothing counts but whether a patient responds:
Weibull times of progression, which is seen at visits that jitter and are missed, and of death. ``threshold``
is the planted error: a response that is read at less shrinkage. From the root of the repository:

    python -m tests.calibration.responses

About three minutes; the result is stored beside this file.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

import bayes_net as bn
from bayes_net.assumptions.priors import response_prior
from bayes_net.data.terms import points_apart
from bayes_net.schema import ENDPOINTS, OS

from . import between_scans, runner

STORED = Path(__file__).with_name("responses.json")
TRIALS, PLANTED, SEED = 400, 100, 20261203
LANDMARK, ARMS = "36w", ("slow", "fast")
SLOPES = {"none": 0.0, "association": -0.7}
THRESHOLDS = {"stated": 30.0, "too low": 10.0}
DESIGN = between_scans.DESIGN | {
    "patients": 115,
    "threshold": THRESHOLDS["stated"],
    "scale_months": {"slow": 26.0, "fast": 16.0},
    "deaths": 0.4,
    "followed_months": (24.0, 60.0),
    "cuts_months": (6.0, 12.0, 24.0),
}
SAMPLER = bn.Sampler(draws=500, tune=400, chains=2, method="laplace")
MODULES = (*between_scans.MODULES, "engine.laplace")
"""Whatever changes in these may change coverage, so that the stored result is then stale."""


def trial(number: int, truth: str) -> bn.Cohort:
    """A trial read from its tables."""
    rng = np.random.default_rng([SEED, number, *truth.encode()])
    d = DESIGN | {"slope": SLOPES[truth]}
    return runner.read_trial((between_scans.tables(arm, d["patients"], rng, d=d) for arm in ARMS), ARMS)


def rows(number: int, truth: str, threshold: str = "stated") -> list[dict]:
    """Of one trial, a row for each endpoint and arm."""
    cohort, measure, found = trial(number, truth), bn.Response(THRESHOLDS[threshold]), []
    for endpoint in ENDPOINTS:
        sets = bn.landmark(cohort, [LANDMARK], endpoint=endpoint)
        progression = "at the scan" if endpoint == OS else "between scans"
        how = {"cuts": list(DESIGN["cuts_months"]), "measure": measure, "progression": progression}
        data, priors = bn.expose(sets, LANDMARK, **how), bn.Priors()
        slope = response_prior(priors.slope, points_apart(sets, measure))
        hazard = bn.Hazard(priors=replace(priors, slope=slope))
        slopes = bn.fit(data, hazard, seed=number, sampler=SAMPLER, brief=True)["posterior"]["slope"].values
        found += [
            {"truth": truth, "threshold": threshold, "endpoint": endpoint, "arm": arm}
            | {"slope": SLOPES[truth], **runner.interval(own, SLOPES[truth])}
            | {"events": int(data.events.sum(axis=1)[a])}
            for a, (arm, own) in enumerate(zip(data.arms, slopes.reshape(-1, 2).T, strict=True))
        ]
    return found


summary = partial(runner.summary, keys=("truth", "threshold", "endpoint", "arm"), truth="slope")
"""Coverage and mean distance from the truth, with its standard error."""


def design() -> dict:
    """All that the result depends on but code and versions, as JSON has it."""
    counts = {"trials": TRIALS, "planted": PLANTED, "seed": SEED, "landmark": LANDMARK}
    return runner.plain(DESIGN | counts | {"slopes": SLOPES, "thresholds": THRESHOLDS})


if __name__ == "__main__":
    asked = runner.arguments(__doc__, STORED, share=1.0)
    many, planted = (range(int(asked.share * count)) for count in (TRIALS, PLANTED))
    found = [row for truth in SLOPES for number in many for row in rows(number, truth)]
    found += [row for number in planted for row in rows(number, "association", "too low")]
    runner.store(asked.out, MODULES, {"design": design(), "rows": summary(found)}, show=["rows"])
