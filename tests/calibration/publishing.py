"""Whether intervals keep their promise when a paper prints what is significant and describes the rest.

Slopes are drawn from the prior, or with a smaller spread around 0; a trial's estimates at six landmarks are
drawn around them, with standard errors that the analyst knows to a factor only; each is printed where it is
significant, and of the others the paper says that they are not. From the root of the repository:

    python -m tests.calibration.publishing

About three seconds of CPU a trial; the result is stored beside this file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import bayes_net as bn
from bayes_net.assumptions.priors import Normal
from bayes_net.assumptions.synthesis import Assumptions, SlopePrior
from bayes_net.data.landmarks import landmark_times
from bayes_net.evidence.table import COLUMNS
from bayes_net.evidence.virtual import biases
from bayes_net.simulate.ensemble import virtual_trials
from bayes_net.statistics.statements import SE_LOG_SD

from . import runner

STORED = Path(__file__).with_name("publishing.json")
ARM, SEED = "control", 20261127
MARKS = ("150d", "180d", "36w", "48w", "72w", "no limit")
PRIOR_SD = 0.5
DESIGNS = {"prior": (PRIOR_SD, 400), "SD 0.2": (0.2, 200), "SD 0.1": (0.1, 200)}
"""Spread of the true slopes around 0, and number of trials."""
MODULES = (
    "statistics.ratios",
    "statistics.statements",
    "statistics.base",
    "evidence.pairs",
    "assumptions.hazard",
    "assumptions.synthesis",
    "assumptions.variables",
    "assumptions.combine",
    "assumptions.network",
    "assumptions.statements",
    "model.likelihoods",
    "model.predictors",
    "inference.arrays",
    "compiled.density",
    "compiled.unprinted",
    "compiled.normal",
    "engine.synthesis",
    "inference.synthesis",
)


def prior(sd: float) -> SlopePrior:
    """Half of the variance is common to all landmarks."""
    return SlopePrior(Normal(0.0, sd), length=1.0, level=0.5)


def trial(rng: np.random.Generator, sd: float) -> tuple[np.ndarray, pd.DataFrame]:
    """True slopes, and what the paper has of their estimates, as an evidence table."""
    virtual = virtual_trials().arm(ARM)
    known, R = (
        np.array([virtual.standard_error(mark).median for mark in MARKS]),
        virtual.correlation.to_numpy(),
    )
    covariance = prior(sd).covariance(landmark_times(list(MARKS)))
    slope = rng.multivariate_normal(np.zeros(len(MARKS)), covariance)
    se = known * np.exp(SE_LOG_SD * rng.standard_normal(len(MARKS)))
    bias = rng.normal(*virtual.bias)
    expected = slope + bias * (np.array(MARKS) == "no limit")
    estimate = rng.multivariate_normal(expected, np.outer(se, se) * R)
    rows = []
    for i, mark in enumerate(MARKS):
        row = {"id": f"S{i}", "landmark": mark}
        if abs(estimate[i]) > 1.96 * se[i]:
            limits = np.exp((estimate[i] + np.array([0.0, -1.96, 1.96]) * se[i]) / 10)
            row |= dict(zip(("value", "lower", "upper"), limits, strict=True)) | {"level": 95}
        else:
            row |= {"said": "not significant", "se": known[i] / 10, "se_log_sd": SE_LOG_SD}
        row |= {"correlated_with": ";".join(f"S{j}" for j in range(i))}
        rows.append(row | {"correlation": ";".join(repr(float(R[i, j])) for j in range(i))})
    common = {"study": "trial", "cohort_id": "trial", "arm": ARM, "endpoint": "pfs", "subgroup": "all"}
    common |= {"statistic": "hazard ratio per point", "unit": "per +1 point of shrinkage"}
    common |= {"use": "likelihood", "source": "simulated", "section": "-"}
    return slope, pd.DataFrame([common | row for row in rows]).reindex(columns=list(COLUMNS))


def trial_rows(design: str, number: int, folder: Path) -> list[dict]:
    """Of every landmark the truth's rank among the draws, whether the 95 % interval covers it, whether its
    estimate is printed, and whether the interval lies on the wrong side of 0."""
    rng = np.random.default_rng([SEED, list(DESIGNS).index(design), number])
    slope, table = trial(rng, DESIGNS[design][0])
    path = folder / "evidence.csv"
    table.to_csv(path, index=False)
    assumptions = Assumptions(
        arms=(ARM,),
        reference="trial",
        cuts=(),
        landmarks=landmark_times(list(MARKS)),
        slopes=prior(PRIOR_SD),
        bias={ARM: biases(virtual_trials())[ARM]},
    )
    network = bn.combine_network(bn.read_evidence(path), assumptions)
    fit = bn.fit_synthesis(network, seed=number, sampler=bn.Sampler(500, 500, 2, 0.9))
    draws = (
        fit["posterior"]["slope"].sel(endpoint="pfs", arm=ARM).transpose("landmark", "chain", "draw").values
    )
    rows = []
    for i, (mark, values) in enumerate(zip(MARKS, draws.reshape(len(MARKS), -1), strict=True)):
        lower, upper = np.quantile(values, (0.025, 0.975))
        row = {"design": design, "trial": number, "landmark": mark, "printed": bool(table["said"].isna()[i])}
        row |= {"rank": float((values < slope[i]).mean()), "covered": bool(lower <= slope[i] <= upper)}
        rows.append(row | {"wrong": bool(lower > 0 > slope[i] or upper < 0 < slope[i])})
    return rows


def summary(rows: list[dict]) -> list[dict]:
    """By design and landmark: how often the interval covers the truth, in all trials and in those in which
    the estimate of some landmark, or of this one, is printed; ranks in tenths; and wrong directions."""
    table, found = pd.DataFrame(rows), []
    some = table.groupby(["design", "trial"])["printed"].transform("any")
    for (design, mark), part in table.groupby(["design", "landmark"], sort=False):
        any_printed, own = part[some[part.index]], part[part["printed"]]
        tenths = np.histogram(part["rank"], bins=np.linspace(0.0, 1.0, 11))[0]
        found.append(
            {
                "design": design,
                "landmark": mark,
                "trials": len(part),
                "covered": int(part["covered"].sum()),
                "trials_with_a_printed_one": len(any_printed),
                "covered_of_these": int(any_printed["covered"].sum()),
                "printed": len(own),
                "covered_of_printed": int(own["covered"].sum()),
                "wrong_direction": int(part["wrong"].sum()),
                "rank_tenths": tenths.tolist(),
            }
        )
    return found


def design() -> dict:
    """All that the result depends on but code and versions, as JSON has it."""
    return runner.plain({"seed": SEED, "designs": DESIGNS})


if __name__ == "__main__":
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (_, trials) in DESIGNS.items():
            for number in range(trials):
                rows += trial_rows(name, number, Path(folder))
    found = design() | {"landmarks": summary(rows)}
    runner.store(STORED, MODULES, found)
    print(pd.DataFrame(found["landmarks"]).drop(columns="rank_tenths").to_string(index=False))
