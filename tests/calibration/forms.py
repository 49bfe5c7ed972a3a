"""How often 95 % intervals cover under every form of the hazard, and exclude 1 without an association.

``forms``: trials of two arms with Weibull times, fitted with every smoothing, baseline and number of
intervals; what is covered are the slopes, how they differ between the arms, and, where arms share a
baseline, their hazard ratio. ``unscaled`` is the planted error: independent intervals that each have the
prior of one level, whose average is then all too sure. ``landmarks``: trials of ``across``, whose
progression is seen at visits and in which nothing goes with shrinkage, at true landmarks. From the root of
the repository:

    python -m tests.calibration.forms

About a quarter of an hour; the result is stored beside this file.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

import bayes_net as bn
from bayes_net.assumptions.priors import shared_out
from bayes_net.data.intervals import equal_event_cuts

from . import across, runner

STORED = Path(__file__).with_name("forms.json")
TRIALS, UNSCALED, WITHOUT, SEED = 300, 100, 1000, 20261201
SMOOTHINGS, BASELINES, INTERVALS = ("rw1", "independent"), ("shared", "per arm"), (4, 8, 20)
LANDMARKS = ("150d", "48w")
SLOPES, SHAPE, SCALES = np.array([-0.3, -0.1]), 1.3, np.array([16.0, 26.0])
TRUTH = {
    "slope A": SLOPES[0],
    "slope B": SLOPES[1],
    "difference of slopes": SLOPES[1] - SLOPES[0],
    "arm": -SHAPE * np.log(SCALES[1] / SCALES[0]),
}
"""Log hazard ratios; the arm's is of patients without shrinkage."""
SAMPLER = bn.Sampler(draws=500, tune=400, chains=2, method="laplace")
MODULES = (*across.MODULES, "engine.laplace")
"""Whatever changes in these may change the result, which is then stale."""


def trial(rng: np.random.Generator, intervals: int) -> bn.Exposure:
    """Two arms of 60 with Weibull times, which are not piecewise exponential, and uniform censoring."""
    arm, score = np.repeat([0, 1], 60), np.round(rng.normal(2.5, 2, 120), 2)
    scale = SCALES[arm] * np.exp(-SLOPES[arm] * score / SHAPE)
    time, end = scale * rng.weibull(SHAPE, 120), rng.uniform(6, 40, 120)
    event = (time <= end).astype(float)
    time = np.maximum(np.minimum(time, end), 0.05)
    cuts = equal_event_cuts(time, event, intervals=intervals)
    return bn.Exposure(time, event, arm, score, np.empty((120, 0)), cuts, ("A", "B"))


def assumed(
    smoothing: str, baseline: str, slopes: str, data: bn.Exposure, *, scaled: bool = True
) -> bn.Hazard:
    """The default priors, as a specification has them."""
    priors = bn.Priors()
    if smoothing == "independent" and scaled:
        priors = replace(priors, level=shared_out(priors.level, data.n_intervals))
    return bn.Hazard(baseline, smoothing, slopes, priors)


def rows(number: int, smoothing: str, baseline: str, intervals: int, *, scaled: bool = True) -> list[dict]:
    """Of one trial and form, a row for each log hazard ratio."""
    data = trial(np.random.default_rng([SEED, number]), intervals)
    hazard = assumed(smoothing, baseline, "per arm", data, scaled=scaled)
    fit = bn.fit(data, hazard, seed=number, sampler=SAMPLER, brief=True)
    slopes = fit["posterior"]["slope"].values.reshape(-1, 2)
    draws = {"slope A": slopes[:, 0], "slope B": slopes[:, 1], "difference of slopes": slopes @ [-1, 1]}
    if baseline == "shared":
        draws["arm"] = np.log(bn.arm_hazard_ratio(fit)).values.ravel()
    form = {"smoothing": smoothing, "baseline": baseline, "intervals": intervals}
    return [form | {"of": name} | _judged(own, TRUTH[name], data) for name, own in draws.items()]


def without_association(number: int) -> list[dict]:
    """Of one trial in which nothing goes with shrinkage, a row for each landmark and arm."""
    sets, found = bn.landmark(across.trial(number, "none"), LANDMARKS), []
    for at in sets.landmarks:
        cuts = list(across.DESIGN["cuts_months"])
        data = bn.expose(sets, at.label, cuts=cuts, progression="between scans")
        slopes = bn.fit(data, seed=number, sampler=SAMPLER, brief=True)["posterior"]["slope"].values
        found += [
            {"landmark": at.label, "arm": arm} | _judged(own, 0.0, data)
            for arm, own in zip(data.arms, slopes.reshape(-1, 2).T, strict=True)
        ]
    return found


def _judged(draws: np.ndarray, truth: float, data: bn.Exposure) -> dict:
    return {"truth": float(truth)} | runner.interval(draws, truth) | {"events": int(data.event.sum())}


summary = partial(runner.summary, keys=("smoothing", "baseline", "intervals", "of"))
"""Coverage and mean distance from the truth, with its standard error, of every form."""


def design() -> dict:
    """All that the result depends on but code and versions, as JSON has it."""
    counts = {"trials": TRIALS, "unscaled": UNSCALED, "without": WITHOUT, "seed": SEED}
    truth = {name: round(float(x), 9) for name, x in TRUTH.items()}
    return runner.plain(counts | {"landmarks": LANDMARKS, "truth": truth, "generator": across.DESIGN})


if __name__ == "__main__":
    asked = runner.arguments(__doc__, STORED, share=1.0)
    many, planted, without = (range(int(asked.share * n)) for n in (TRIALS, UNSCALED, WITHOUT))
    forms = product(SMOOTHINGS, BASELINES, INTERVALS)
    found = {
        "design": design(),
        "forms": summary([row for form in forms for number in many for row in rows(number, *form)]),
        "unscaled": summary(
            [row for number in planted for row in rows(number, "independent", "per arm", 20, scaled=False)]
        ),
        "landmarks": runner.summary(
            [row for number in without for row in without_association(number)], keys=("landmark", "arm")
        ),
    }
    runner.store(asked.out, MODULES, found, show=["forms", "unscaled", "landmarks"])
