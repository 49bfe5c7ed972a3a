"""Invented results, shaped as a run leaves them, for the tests of tables, plots and the report."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_net.data.follow_up import TRANSITIONS
from bayes_net.estimands.arms import STATES
from bayes_net.figures.captions import PATIENTS
from bayes_net.figures.style import svg
from bayes_net.report.patients import LANDMARKS as KIND
from bayes_net.results.columns import hazard_ratio_columns
from bayes_net.results.folder import Illustration, ResultFolder
from bayes_net.results.states import ALIVE, NOT_RANDOMISED, STANDARDISED

ARMS = ("octreotide LAR", "177Lu-Dotatate")
LANDMARKS = ("150 d", "180 d", "36 w", "48 w", "72 w", "no limit")
MEDIANS = {
    ARMS[0]: (0.874, 0.902, 0.941, 0.988, 1.042, 0.812),
    ARMS[1]: (0.702, 0.731, 0.794, 0.866, 0.921, 0.655),
}
BELOW_1 = {
    ARMS[0]: (0.962, 0.931, 0.81, 0.556, 0.31, 0.9999),
    ARMS[1]: (0.9991, 0.9972, 0.985, 0.913, 0.74, 1.0),
}


def hazard_ratios(arms=ARMS, landmarks=LANDMARKS, **changes) -> pd.DataFrame:
    """Twelve rows: PFS per 10 points of shrinkage; ``changes`` replaces whole columns."""
    rows = []
    for i, landmark in enumerate(landmarks):
        for arm, source in zip(arms, ARMS, strict=False):
            hr, spread = MEDIANS[source][i], 0.06 + 0.03 * i
            n = 100 - 11 * i if landmark != "no limit" else 101
            rows.append(
                {
                    "endpoint": "pfs",
                    "population": "pfs risk set",
                    "measure": "shrinkage, per 10 points",
                    "estimand": "association",
                    "landmark": landmark,
                    "biased": landmark == "no limit",
                    "arm": arm,
                    "n": n,
                    "events": n // 2,
                    "hr": hr,
                    "lower": hr * np.exp(-2 * spread),
                    "upper": hr * np.exp(2 * spread),
                    "level": 0.95,
                    "interval": "equal-tailed",
                    "prob_below_1": BELOW_1[source][i],
                    "prob_below_0.8": max(0.0, BELOW_1[source][i] - 0.4),
                    "prob_0.9_to_1.11": 0.2,
                    "mcse_hr": 0.0012,
                    "gate": "passed",
                }
            )
    return hazard_ratio_columns(pd.DataFrame(rows).assign(**changes))


def survival_quantities(arms=ARMS) -> pd.DataFrame:
    rows = []
    for landmark in ("150 d", "no limit"):
        for arm in arms:
            for profile, shift in (("unchanged", 0.0), ("10 points smaller", 0.05)):
                for quantity, time, value in (
                    ("survival", 12.0, 0.613),
                    ("survival", 24.0, 0.402),
                    ("median", np.nan, 17.24),
                    ("rmst", 24.0, 15.31),
                ):
                    rows.append(
                        (landmark, landmark == "no limit", arm, profile, quantity, time, value + shift)
                    )
    columns = ["landmark", "biased", "arm", "profile", "quantity", "time", "estimate"]
    table = pd.DataFrame(rows, columns=columns)
    table["lower"], table["upper"] = 0.8 * table["estimate"], 1.2 * table["estimate"]
    table.loc[table["quantity"] == "median", "upper"] = np.inf
    common = {
        "endpoint": "pfs",
        "population": "pfs risk set",
        "measure": "shrinkage, per 10 points",
        "level": 0.95,
        "interval": "equal-tailed",
    }
    return table.assign(mcse=0.002, **common)


def arm_differences(arms=ARMS) -> pd.DataFrame:
    """Later arms minus the first: survival at a year and the restricted mean."""
    rows = [
        (landmark, landmark == "no limit", arm, quantity, 12.0, value, value - 0.1, value + 0.1, 0.91)
        for landmark in ("150 d", "no limit")
        for arm in arms[1:]
        for quantity, value in (("survival", 0.052), ("rmst", 0.84))
    ]
    names = ["landmark", "biased", "arm", "quantity", "time", "estimate", "lower", "upper", "prob_above_0"]
    about = {"endpoint": "pfs", "population": "pfs risk set", "measure": "shrinkage", "against": arms[0]}
    about |= {"averaged_over": STANDARDISED, "level": 0.95, "interval": "equal-tailed"}
    about |= {"n_arm": 60.0, "n_against": 55.0, "note": NOT_RANDOMISED}
    table = pd.DataFrame(rows, columns=names).assign(**about, mcse=0.002, gate="passed")
    levels = {"of_against": table["estimate"] * 8, "of_arm": table["estimate"] * 9}
    ends = {f"{name}{end}": x for name, x in levels.items() for end in ("", "_lower", "_upper")}
    return table.assign(**ends)


REASONS = (
    "all patients",
    "no post-baseline scan",
    "best response is progression",
    "progressed or died before",
    "follow-up ended before",
    "analysed",
)


def attrition(arms=ARMS, landmarks=LANDMARKS) -> pd.DataFrame:
    rows = []
    for i, landmark in enumerate(landmarks):
        for arm in arms:
            out = (6, 4 + i, 10 + 4 * i, 2 + i) if landmark != "no limit" else (6, 9, 0, 0)
            counts = (116, *out, 116 - sum(out))
            rows += [(landmark, arm, reason, n) for reason, n in zip(REASONS, counts, strict=True)]
    table = pd.DataFrame(rows, columns=["landmark", "arm", "reason", "n"])
    return table.assign(endpoint="pfs", population="pfs risk set")


def power_scaling(arms=ARMS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What decides each hazard ratio, and what bias would take its word."""
    about = hazard_ratios(arms)[["endpoint", "population", "measure", "landmark", "biased", "arm"]]
    parts = {"likelihood": 0.11, "all priors": 0.03, "prior of slope": 0.03, "prior of level": 0.01}
    table = pd.concat([about.assign(component=part, sensitivity=value) for part, value in parts.items()])
    table = table.assign(shift=0.05, reading="little depends on the priors").reset_index(drop=True)
    return table, about.drop(columns="biased").assign(band=0.95, factor=1.08)


def prior_conflict(arms=ARMS) -> pd.DataFrame:
    """Box's p-value of the slope of each arm: the data are where the prior expects them."""
    about = hazard_ratios(arms)[["endpoint", "population", "measure", "landmark", "biased", "arm"]]
    table = about.assign(statement="hazard ratio of shrinkage", prior_mean=0.0, prior_sd=0.35)
    return table.assign(mean=-0.11, sd=0.12, z=-0.33, p=0.74)


def influence(arms=ARMS) -> pd.DataFrame:
    """What one patient does to each hazard ratio: towards 1 in the first landmark, across it elsewhere."""
    about = hazard_ratios(arms)[["endpoint", "population", "measure", "landmark", "biased", "arm"]]
    table = about.assign(hr=0.9, hr_without=0.94, prob_below_1=0.97, prob_below_1_without=0.9, pareto_k=0.31)
    table.loc[table["landmark"] != "150 d", "hr_without"] = 1.02
    return table.assign(refitted=False, n_unreliable=0)


def prediction(arms=ARMS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores with shrinkage and without, better at the first landmark, and calibration by thirds."""
    about = hazard_ratios(arms)[["endpoint", "population", "measure", "landmark", "biased"]].drop_duplicates()
    about = about[~about["biased"]]
    scores = about.merge(pd.DataFrame({"time": [6.0, 12.0]}), how="cross").merge(
        pd.DataFrame({"score": ["Brier score", "AUC"], "difference": [-0.012, 0.08]}), how="cross"
    )
    scores = scores.assign(n=80, events=20, with_shrinkage=0.21, without=0.222)
    scores["lower"], scores["upper"] = scores["difference"] - 0.008, scores["difference"] + 0.008
    scores.loc[scores["landmark"] != "150 d", ["lower", "upper"]] = (-0.03, 0.1)
    thirds = pd.DataFrame({"group": ["lowest third", "highest third"], "predicted": [0.8, 0.4]})
    found = about.merge(thirds, how="cross").assign(time=12.0, n=27, observed=[0.78, 0.41] * len(about))
    return scores, found


def transitions(arms=ARMS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hazard ratios of the steps from state to state, and where patients are 12 months after 150 d."""
    ratios = hazard_ratios(arms)
    ratios = ratios[~ratios["biased"]].drop(columns="endpoint")
    states = pd.DataFrame({"state": [*STATES, ALIVE], "estimate": [0.55, 0.25, 0.2, 0.8]})
    states = states.merge(pd.DataFrame({"arm": arms}), how="cross").assign(
        population="pfs risk set", measure="shrinkage", landmark="150 d", profile="30 % smaller", time=12.0
    )
    states = states.assign(lower=states["estimate"] - 0.1, upper=states["estimate"] + 0.1, level=0.95)
    states = states.assign(interval="equal-tailed", mcse=0.001, ess_bulk=3000.0, rhat=1.0, gate="passed")
    return pd.concat([ratios.assign(transition=name) for name in TRANSITIONS], ignore_index=True), states


def curves(arms=ARMS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Posterior bands and Kaplan–Meier steps of each arm, per the contract of ``plots.survival``."""
    bands, steps = [], []
    for i, arm in enumerate(arms):
        rate, time = 0.11 / (1 + 2 * i), np.linspace(0, 33, 45)
        mid = np.exp(-rate * time)
        width = 0.05 + 0.002 * time
        bands.append(
            pd.DataFrame(
                {"group": arm, "time": time, "estimate": mid, "lower": mid - width, "upper": mid + width}
            )
        )
        when = np.arange(0, 33, 1.5)
        seen = np.exp(-rate * when + 0.04 * np.sin(when))
        seen[0] = 1
        at_risk = np.round(80 * seen * (1 - when / 40)).astype(int)
        censored = np.where(np.arange(len(when)) % 4 == 3, 2, 0)
        steps.append(
            pd.DataFrame(
                {"group": arm, "time": when, "survival": seen, "at_risk": at_risk, "n_censored": censored}
            )
        )
    shared = {"origin": "the 150 d landmark", "endpoint": "Progression-free survival"}
    bands = pd.concat(bands, ignore_index=True)
    return bands.assign(
        lower=bands["lower"].clip(0), upper=bands["upper"].clip(upper=1), **shared
    ), pd.concat(steps, ignore_index=True)


def replicates(arms=ARMS) -> tuple[pd.DataFrame, pd.DataFrame]:
    bands, steps = curves(arms)
    return bands.rename(columns={"group": "arm"}), steps.rename(columns={"group": "arm"})


def baseline(arms=ARMS) -> pd.DataFrame:
    rows = []
    for i, arm in enumerate(arms):
        for k, (start, end) in enumerate(((0, 3), (3, 6), (6, 12), (12, 20), (20, 33.4))):
            hazard = 0.1 / (1 + 2 * i) * (1 + 0.3 * np.sin(k))
            rows.append((arm, start, end, hazard, hazard / 1.6, hazard * 1.6))
    return pd.DataFrame(rows, columns=["arm", "start", "end", "estimate", "lower", "upper"])


def ratios_by_time(arms=ARMS) -> pd.DataFrame:
    """Hazard ratios below 1 that become larger, per the contract of ``plots.hazard_ratio_by_time``."""
    table = baseline(arms).assign(estimate=lambda x: 0.7 + 0.02 * x["start"])
    return table.assign(lower=table["estimate"] / 1.3, upper=table["estimate"] * 1.3)


def over_time(arms=ARMS) -> pd.DataFrame:
    """The same as a table of a run."""
    table = ratios_by_time(arms).rename(columns={"estimate": "hr"})
    about = {"endpoint": "pfs", "population": "pfs risk set", "measure": "shrinkage, per 10 points"}
    about |= {"landmark": "150 d", "biased": False, "level": 0.95, "interval": "equal-tailed"}
    return table.assign(events=12, mcse_hr=0.002, gate="passed", **about)


def best_change(arms=ARMS) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    return pd.DataFrame(
        {"arm": np.repeat(arms, 60), "shrinkage": rng.normal(12, 25, 60 * len(arms)).clip(-70, 100)}
    )


def densities(arms=ARMS) -> pd.DataFrame:
    """Of three landmarks, of which the second says little in the first arm and the last is biased."""
    hr = np.exp(np.linspace(np.log(0.4), np.log(2.5), 120))
    parts = []
    for landmark, told in (("150 d", 1), ("72 w", 0), ("no limit", 1)):
        for i, arm in enumerate(arms):
            after = (-0.14 - 0.2 * i, 0.09) if told or i else (0.01, 0.34)
            normal = [np.exp(-0.5 * ((np.log(hr) - m) / s) ** 2) / s for m, s in ((0, 0.35), after)]
            about = {"landmark": landmark, "biased": landmark == "no limit", "arm": arm, "gate": "passed"}
            parts.append(pd.DataFrame(about | {"hr": hr, "prior": normal[0], "posterior": normal[1]}))
    return pd.concat(parts, ignore_index=True)


def gate(*, failing: bool = False) -> pd.DataFrame:
    rows = []
    for landmark in LANDMARKS:
        bad = failing and landmark == "48 w"
        rows += [
            (f"pfs, {landmark}", "R-hat", 1.0313 if bad else 1.0021, 1.01, not bad, "slope[octreotide LAR]"),
            (f"pfs, {landmark}", "bulk ESS", 1874.3, 400.0, True, "log_hazard[3]"),
            (f"pfs, {landmark}", "tail ESS", 1612.9, 400.0, True, "log_hazard[3]"),
            (f"pfs, {landmark}", "divergences", 7.0 if bad else 0.0, 0.0, not bad, ""),
            (f"pfs, {landmark}", "E-BFMI", 0.91, 0.3, True, "chain 2"),
        ]
    return pd.DataFrame(rows, columns=["fit", "check", "worst", "threshold", "passed", "where"])


SPECIFICATION = """\
# Which patients, which landmarks, which model.
title = "Shrinkage and PFS"

[data]
patients = "patients.csv"
scans = "scans.csv"
time_unit = "days"

[landmarks]
times = ["150d", "180d", "36w", "48w", "72w", "no limit"]

[priors]
hazard_ratio_per_10_points = { level = 0.95, lower = 0.5, upper = 2.0 }
"""


@functools.cache
def drawn(arms=ARMS) -> dict:
    """All figures; drawn once for all tests of a process."""
    ratios, flow, risk, bands = hazard_ratios(arms), attrition(arms), baseline(arms), curves(arms)
    over = ratios_by_time(arms)
    plotted = {
        "overview": (ratios,),
        "attrition": (flow,),
        "prior_posterior": (densities(arms),),
        "forest": (ratios,),
        "survival": bands,
        "baseline_hazard": (risk,),
        "hazard_ratio_by_time": (over,),
        "waterfall": (best_change(arms),),
        "ppc": replicates(arms),
    }
    found = [PATIENTS[kind].figure(kind, *own, subject="PFS", arms=arms) for kind, own in plotted.items()]
    return {each.name: Illustration(each.section, svg(each.axes), each.caption, each.alt) for each in found}


def tables(arms=ARMS, *, failing: bool = False, **changes) -> dict[str, pd.DataFrame]:
    """All of a run; ``failing`` fails the gate of one landmark, ``changes`` replaces a table, and None leaves
    it out."""
    ratios = hazard_ratios(arms)
    if failing:
        ratios = ratios.assign(gate=np.where(ratios["landmark"] == "48 w", "failed", "passed"))
    found = {
        "hazard_ratios": ratios,
        "survival": survival_quantities(arms),
        "arms": arm_differences(arms),
        "attrition": attrition(arms),
        "priors": pd.DataFrame(
            {
                "parameter": ["slope", "log hazard, first interval", "step between intervals"],
                "statement": [
                    "95 % of hazard ratios per 10 points between 0.5 and 2",
                    "median survival 5 to 40 months",
                    "hazard changes at most threefold between intervals (95 %)",
                ],
                "implied": ["HR 0.50–2.00", "S(12 mo) 0.19–0.81", "ratio 0.33–3.0"],
            }
        ),
        "diagnostics": gate(failing=failing),
        "sampling": pd.DataFrame(
            {
                "fit": [f"pfs, {name}" for name in LANDMARKS],
                "draws": 4000,
                "worst R-hat": 1.0021,
                "seconds": 1.31,
            }
        ),
        "loo": pd.DataFrame(
            {"fit": ["pfs, 150 d"], "elpd": [-212.31], "elpd_se": [11.9], "p_loo": [5.2], "n": [116]}
            | {"worst_pareto_k": [0.41], "n_high_pareto_k": [0]}
        ),
        "power_scaling": power_scaling(arms)[0],
        "tipping_points": power_scaling(arms)[1],
        "prior_conflict": prior_conflict(arms),
        "influence": influence(arms),
        "transitions": transitions(arms)[0],
        "states": transitions(arms)[1],
        "prediction": prediction(arms)[0],
        "prediction_calibration": prediction(arms)[1],
        "sensitivity": pd.DataFrame({"Of": ["PFS, 150 d"], "Medians of scenarios": ["0.60 (b) to 1.20 (a)"]}),
        "predictive_check": pd.DataFrame(
            {"fit": "pfs, 150 d", "arm": list(arms), "months": 12.0, "observed": 0.61, "replicated": 0.584}
            | {"lower": 0.47, "upper": 0.69, "p": 0.44}
        ),
    }
    return {name: table for name, table in (found | changes).items() if table is not None}


def content(
    arms=ARMS,
    *,
    draw: bool = False,
    found: dict | None = None,
    figures: dict | None = None,
    specification: str = SPECIFICATION,
    **words,
) -> ResultFolder:
    """A whole result of these tables; ``words`` replaces what else its report says."""
    said = {
        "title": "Tumour shrinkage and progression-free survival",
        "synthetic": False,
        "model": {
            "In words": "A piecewise-exponential model per landmark: a constant hazard within intervals.",
            "Equation": "log hᵢ(t) = α[arm, k] + β[arm] · (sᵢ − s_ref) / 10,   t in interval k",
            "Baseline": "one per arm, random walk on the log hazard",
        },
        "sensitivity": ["2 scenarios beside the analysis as specified."],
        "provenance": {
            "specification": "sha256 " + "0f" * 32,
            "data": "sha256 " + "a3" * 32,
            "seed": "20250101",
            "versions": "bayes_net 0.1.0, pymc 6.1.0",
        },
        "notes": [
            ("handled", "3 scans after death were dropped, as the specification says."),
            ("warning", "6 patients have no post-baseline scan."),
        ],
    }
    return ResultFolder(
        path=Path("invented"),
        kind=KIND,
        tables=tables(arms) if found is None else found,
        figures=figures or (dict(drawn(tuple(arms))) if draw else {}),
        words=said | words,
        specification=specification,
    )
