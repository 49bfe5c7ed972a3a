"""How often 95 % intervals cover slopes that are known, over 200 synthetic cohorts.

Every cohort is as large as NETTER-1 and is fitted at every true landmark with the intervals and priors
of the shipped analysis. From the root of the repository, and again if it was interrupted:

    python -m tests.calibration.coverage

About a second a fit, so a quarter to half an hour; the result is stored beside this file. Chains are half
as long as the shipped ones: ends of intervals are then off by a few hundredths of a posterior SD, which
leaves coverage as it is, but the gate's effective sample sizes are missed more often than by a shipped run.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

import bayes_net as bn
from bayes_net.specification.patients import PatientsPlan
from bayes_net.specification.read import read_specification
from bayes_net.specification.shipped import shipped_models

from . import runner

STORED = Path(__file__).with_name("coverage.json")
COHORTS, KEPT_COHORTS, SEED = 200, 5, 20250225
LANDMARKS = ("150d", "180d", "36w", "48w", "72w")
PLAN = bn.SimulationPlan(seen_at_once=True, slope=(-0.3, -0.1))
"""Hazard ratios of 0.74 and 0.90 per 10 points. The slope is then the truth at every landmark."""
DRAWS = 500
MODULES = (
    *runner.PATIENTS,
    "simulate.trials",
    "simulate.plan",
    "simulate.cohort",
    "assumptions.synthesis",
    "model.likelihoods",
    "inference.closed_form",
)
"""Whatever changes in these may change coverage, so that the stored result is then stale."""


@cache
def shipped() -> PatientsPlan:
    """The shipped analysis, whose intervals and priors are on trial."""
    return read_specification(shipped_models()["netter1_synthetic"])


def sampler() -> bn.Sampler:
    """The shipped analysis' sampler with chains of half the length."""
    wanted = shipped().sampling
    return bn.Sampler(DRAWS, DRAWS, wanted.chains, wanted.target_accept)


def cuts() -> list[float]:
    """The shipped analysis' inner cut-points of PFS, in months from the landmark."""
    given = shipped().baseline.cuts
    return [cut.months for cut in (given["pfs"] if isinstance(given, dict) else given)]


def design(cohorts: int = COHORTS) -> dict:
    """All that the result depends on but code and versions, as JSON has it."""
    hazard = shipped().hazard(bn.Shrinkage(), 1)
    values = {
        "cohorts": cohorts,
        "seed": SEED,
        "landmarks": LANDMARKS,
        "plan": asdict(PLAN),
        "laws": [PLAN.law(arm) for arm in range(len(PLAN.arms))],
        "cuts_months": cuts(),
        "hazard": asdict(hazard, dict_factory=_numbers),
        "sampler": asdict(sampler()),
    }
    return runner.plain(values)


def _numbers(items: list[tuple[str, object]]) -> dict:
    """The fields without words; quantiles that SciPy solves for differ in the last digits by version."""
    plain = {name: value for name, value in items if name != "statement"}
    return {name: round(value, 9) if isinstance(value, float) else value for name, value in plain.items()}


def seed(*which: int) -> int:
    """The seed of a cohort, or of a cohort's fit: one of them computed alone is the same."""
    return int(np.random.SeedSequence([SEED, *which]).generate_state(1)[0])


def cohort_rows(number: int) -> list[dict]:
    """One row a landmark and arm of one cohort: posterior of the slope, and the checks that failed."""
    sets = bn.landmark(bn.simulate_cohort(PLAN, seed=seed(number)), LANDMARKS)
    exposures = {each.label: bn.expose(sets, each.label, cuts=cuts()) for each in sets.landmarks}
    shape = bn.layout(list(exposures.values()))
    return [
        row
        for position, (label, data) in enumerate(exposures.items(), start=1)
        for row in _fit_rows(number, label, data, shape, seed(number, position))
    ]


def _fit_rows(number: int, label: str, data: bn.Exposure, shape, fit_seed: int) -> list[dict]:
    hazard = shipped().hazard(bn.Shrinkage(), 1)
    fit = bn.fit(data, hazard, seed=fit_seed, sampler=sampler(), shape=shape)
    reported = {"hazard ratio": bn.hazard_ratio(fit), "interaction": bn.estimands.interaction(fit)}
    checks = bn.gate(fit, reported).table
    failed = checks["check"][~checks["passed"]].tolist()
    table = bn.summarise(fit["posterior"]["slope"], ci_prob=0.95)
    columns = ["mean", "sd", "estimate", "mcse", "lower", "upper", "ess_bulk", "ess_tail", "rhat"]
    numbers = table[columns].round(6).to_dict("records")
    return [
        {"cohort": number, "landmark": label, "arm": arm, "truth": truth, "n": int(n), "events": int(events)}
        | values
        | {"failed": failed}
        for arm, truth, n, events, values in zip(
            data.arms, PLAN.slope, data.n_by_arm, data.events.sum(axis=1), numbers, strict=True
        )
    ]


def summary(rows: list[dict]) -> dict:
    """Coverage by arm and landmark, bias, width and failed gates: what is stored and checked."""
    table = pd.DataFrame(rows)
    table["covered"] = (table["lower"] <= table["truth"]) & (table["truth"] <= table["upper"])
    fits = table.drop_duplicates(["cohort", "landmark"])
    failures = fits["failed"].explode().value_counts()
    return {
        "fits": len(fits),
        "gate_failed": int((fits["failed"].str.len() > 0).sum()),
        "failed_checks": {name: int(n) for name, n in failures.sort_index().items()},
        "worst_of_slopes": {
            "rhat": table["rhat"].max(),
            "ess_bulk": table["ess_bulk"].min(),
            "ess_tail": table["ess_tail"].min(),
        },
        "by_arm": [_pooled(arm, part) for arm, part in table.groupby("arm", sort=False)],
        "by_landmark": [
            {"arm": arm, "landmark": label} | _performance(part)
            for (arm, label), part in table.groupby(["arm", "landmark"], sort=False)
        ],
    }


def _pooled(arm: str, part: pd.DataFrame) -> dict:
    """One arm over landmarks; these share patients, so the error is that of the cohorts' means."""
    by_cohort = part.groupby("cohort")["covered"].mean()
    error = by_cohort.std() / np.sqrt(len(by_cohort)) if len(by_cohort) > 1 else np.nan
    counts = {"covered": int(part["covered"].sum()), "intervals": len(part)}
    return {"arm": arm} | counts | {"coverage": part["covered"].mean(), "coverage_se": round(float(error), 5)}


def _performance(part: pd.DataFrame) -> dict:
    truth = float(part["truth"].iloc[0])
    return {
        "truth": truth,
        "fits": len(part),
        "covered": int(part["covered"].sum()),
        "all_below_truth": int((part["upper"] < truth).sum()),
        "all_above_truth": int((part["lower"] > truth).sum()),
        "mean_n": round(part["n"].mean(), 1),
        "mean_events": round(part["events"].mean(), 1),
        "posterior_mean": round(part["mean"].mean(), 5),
        "bias": round(part["mean"].mean() - truth, 5),
        "sd_of_posterior_means": round(part["mean"].std(), 5),
        "posterior_sd": round(part["sd"].mean(), 5),
        "width": round((part["upper"] - part["lower"]).mean(), 5),
    }


if __name__ == "__main__":
    asked = runner.arguments(__doc__, STORED, cohorts=COHORTS)
    wanted = {"versions": runner.versions(), "code": runner.code(MODULES), "design": design(asked.cohorts)}
    partial = asked.out.with_name(f".{asked.out.stem}.partial.jsonl")
    rows = [row for each in runner.trials(asked.cohorts, cohort_rows, partial, wanted) for row in each]
    kept = {"first_cohorts": [row for row in rows if row["cohort"] < KEPT_COHORTS]}
    found = {"design": wanted["design"], **summary(rows), **kept}
    runner.store(asked.out, MODULES, found, show=["by_landmark", "by_arm"])
    partial.unlink()
    print(f"gate failed in {found['gate_failed']} of {found['fits']} fits: {found['failed_checks']}")
