"""How often 95 % intervals cover where a covariate is missing of a fifth or of half of the patients.

Trials have Weibull times, which are not piecewise exponential; shrinkage goes with the covariate, and whether
that is missing depends on shrinkage and on the event (missing at random). Beside the model of the package,
with few imputations, stand patients with the covariate alone (``complete cases``) and, as planted errors,
imputations that do not know the outcome (``without outcome``) or that are pooled as if the values were known
(``one imputation``). From the root of the repository:

    python -m tests.calibration.imputed

About seven minutes; the result is stored beside this file.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd

import bayes_net as bn
from bayes_net.data.exposure import subset
from bayes_net.data.intervals import equal_event_cuts
from bayes_net.data.terms import Covariate
from bayes_net.inference import missing
from bayes_net.schema import COVARIATE_EFFECT, SLOPE

from . import runner

STORED = Path(__file__).with_name("imputed.json")
TRIALS, PLANTED, SEED = 200, 60, 20261205
SHARES = {0.2: -2.3, 0.5: -0.8}
"""About how many lack the covariate, with the log odds of one without an event and with average shrinkage."""
DESIGN = {
    "patients": 115,
    "slopes": (-0.2, -0.1),
    "covariate": 0.5,
    "with_shrinkage": 0.3,
    "scale_months": (14.0, 20.0),
    "shape": 1.3,
    "followed_months": (6.0, 40.0),
    "shrinkage": (2.5, 2.0),
    "missing_of_events": 1.2,
    "missing_by_shrinkage": -0.3,
    "intervals": 6,
    "imputations": 10,
}
"""Of each arm: patients, log hazard ratio per 10 points, Weibull scale and shape; log hazard ratio of the
covariate, which is normal, and by how much its mean rises with 10 points; log odds ratios of lacking it."""
ARMS, TERM = ("A", "B"), Covariate("x")
OURS, COMPLETE, BLIND, ONCE = "imputed", "complete cases", "without outcome", "one imputation"
MODULES = (*runner.PATIENTS, "inference.missing", "inference.imputation", "engine.imputation")
"""Whatever changes in these may change the result, which is then stale."""


def trial(number: int, share: float) -> tuple[bn.Exposure, pd.DataFrame]:
    """Two arms, and the covariate of their patients, missing of a ``share`` of them."""
    d, rng = DESIGN, np.random.default_rng([SEED, number, int(100 * share)])
    arm = np.repeat([0, 1], d["patients"])
    score = np.round(rng.normal(*d["shrinkage"], len(arm)), 2)
    x = rng.normal(size=len(arm)) + d["with_shrinkage"] * (score - d["shrinkage"][0])
    relative = np.exp(np.array(d["slopes"])[arm] * score + d["covariate"] * x)
    time = np.array(d["scale_months"])[arm] * (rng.exponential(size=len(arm)) / relative) ** (1 / d["shape"])
    end = rng.uniform(*d["followed_months"], len(arm))
    event, time = (time <= end).astype(float), np.maximum(np.minimum(time, end), 0.05)
    odds = SHARES[share] + d["missing_of_events"] * event
    odds += d["missing_by_shrinkage"] * (score - d["shrinkage"][0])
    lacks = rng.random(len(arm)) < 1 / (1 + np.exp(-odds))
    cuts = equal_event_cuts(time, event, intervals=d["intervals"])
    data = bn.Exposure(time, event, arm, score, np.empty((len(arm), 0)), cuts, ARMS)
    return data, pd.DataFrame({"x": pd.Series(x).mask(lacks)})


def rows(number: int, share: float, how: str = OURS) -> list[dict]:
    """Of one trial, a row for each slope and for the covariate's log hazard ratio."""
    (data, table), sampler = trial(number, share), bn.Sampler(200, 250, 2, 0.9)
    if how == COMPLETE:
        known = table["x"].notna().to_numpy()
        completed = [subset(_with(data, table.fillna(0.0)), known)]
    else:
        wanted = missing.Imputation(DESIGN["imputations"])
        predictors = _blind if how == BLIND else missing._predictors
        rounds = 0 if how == BLIND else missing.COMPATIBLE
        with patch.multiple(missing, _predictors=predictors, COMPATIBLE=rounds):
            tables = missing.impute_covariates(table, data, [TERM], wanted, seed=number)
        completed = [_with(data, own) for own in tables[: 1 if how == ONCE else None]]
    fit = missing.fit_completed(completed, seed=number, sampler=sampler, brief=True)["posterior"]
    drawn = {f"slope {arm}": fit[SLOPE].sel(arm=arm).values.ravel() for arm in ARMS}
    truth = dict(zip(drawn, DESIGN["slopes"], strict=True)) | {"covariate": DESIGN["covariate"]}
    drawn["covariate"] = fit[COVARIATE_EFFECT].values.ravel()
    about = {"missing": share, "how": how, "events": int(data.event.sum())}
    return [
        about | {"of": name, "truth": truth[name]} | runner.interval(own, truth[name])
        for name, own in drawn.items()
    ]


def _with(data: bn.Exposure, table: pd.DataFrame) -> bn.Exposure:
    return replace(data, covariates=TERM.values(table), covariate_names=TERM.columns, terms=(TERM,))


def _blind(data: bn.Exposure, *, by_arm: bool) -> np.ndarray:
    return data.score[:, None]


summary = partial(runner.summary, keys=("missing", "how", "of"))
"""Coverage and mean distance from the truth, with its standard error."""


def design() -> dict:
    """All that the result depends on but code and versions, as JSON has it."""
    counts = {"trials": TRIALS, "planted": PLANTED, "seed": SEED}
    return runner.plain(DESIGN | counts | {"shares": list(SHARES.items())})


if __name__ == "__main__":
    asked = runner.arguments(__doc__, STORED, share=1.0)
    many, planted = (range(int(asked.share * count)) for count in (TRIALS, PLANTED))
    found = [row for share in SHARES for number in many for row in rows(number, share)]
    found += [row for how in (COMPLETE, BLIND, ONCE) for number in planted for row in rows(number, 0.5, how)]
    runner.store(asked.out, MODULES, {"design": design(), "rows": summary(found)}, show=["rows"])
