"""How often 95 % intervals of several landmarks together cover, and those that count patients at each anew.

Trials come from the generator of between_scans, with slower arms: Weibull times, visits that jitter and are
missed, one slope at all landmarks. From the root of the repository:

    python -m tests.calibration.across

About ten minutes; the result is stored beside this file.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

import bayes_net as bn
from bayes_net.inference.across_landmarks import across_landmarks

from . import between_scans, runner

STORED = Path(__file__).with_name("across.json")
TRIALS, SEED = 100, 20261130
LANDMARKS = ("150d", "180d", "36w", "48w", "72w")
ARMS = ("slow", "fast")
SLOPES = {"none": 0.0, "association": -0.2}
DESIGN = between_scans.DESIGN | {
    "patients": 115,
    "scale_months": {"slow": 36.0, "fast": 18.0},
    "cuts_months": (6.0, 12.0),
}
MODULES = (*between_scans.MODULES, "inference.across_landmarks")
"""Whatever changes in these may change coverage, so that the stored result is then stale."""


def trial(number: int, truth: str) -> bn.Cohort:
    """A trial read from its tables."""
    rng = np.random.default_rng([SEED, number, *truth.encode()])
    d = DESIGN | {"slope": SLOPES[truth]}
    return runner.read_trial((between_scans.tables(arm, d["patients"], rng, d=d) for arm in ARMS), ARMS)


def rows(number: int, truth: str) -> list[dict]:
    """Of one trial, a row for each arm and landmark, and for the mean of the landmarks; of that also as it
    would be if every row were another patient."""
    sets, prior = bn.landmark(trial(number, truth), LANDMARKS), bn.Priors().slope
    fits, patients = {}, {}
    for at in sets.landmarks:
        data = bn.expose(sets, at.label, cuts=list(DESIGN["cuts_months"]), progression="between scans")
        fits[at.label] = bn.fit(data, seed=number, sampler=bn.Sampler(300, 400, 4, 0.9))
        patients[at.label] = sets.at(at.label)["patient"].tolist()
    together = across_landmarks(fits, patients, prior, seed=number)
    found = []
    for arm in ARMS:
        for label in together.slopes["landmark"].values:
            draws = together.slopes.sel(arm=arm, landmark=label).values.ravel()
            common = {"truth": truth, "arm": arm, "landmark": str(label), "slope": SLOPES[truth]}
            events = {"events": float(together.ratio.sel(arm=arm))}
            found.append(common | runner.interval(draws, SLOPES[truth]) | events)
        moments = [(fit["posterior"]["slope"].sel(arm=arm)) for fit in fits.values()]
        weight = np.array([1 / float(each.var()) for each in moments])
        mean, sd = (weight @ [float(each.mean()) for each in moments]) / weight.sum(), weight.sum() ** -0.5
        naive = {"truth": truth, "arm": arm, "landmark": "naive", "slope": SLOPES[truth], "events": 1.0}
        found.append(
            naive | {"mean": mean, "sd": sd, "covered": bool(abs(mean - SLOPES[truth]) <= 1.96 * sd)}
        )
    return found


summary = partial(runner.summary, keys=("truth", "arm", "landmark"), truth="slope")
"""Coverage and mean distance from the truth; in the place of events the ratio of robust to naive errors."""


def design() -> dict:
    """All that the result depends on but code and versions, as JSON has it."""
    return runner.plain({"trials": TRIALS, "seed": SEED, "landmarks": LANDMARKS, "slopes": SLOPES, **DESIGN})


if __name__ == "__main__":
    asked = runner.arguments(__doc__, STORED, trials=TRIALS)
    many = [row for truth in SLOPES for number in range(asked.trials) for row in rows(number, truth)]
    runner.store(asked.out, MODULES, {"design": design(), "rows": summary(many)}, show=["rows"])
