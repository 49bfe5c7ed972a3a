"""How often 95 % intervals cover the truth when a synthesis sees nothing but a trial's printed numbers.

Every trial is simulated patient by patient, summarised as publications do (Kaplan-Meier median with and
without limits, survival at 20 months, Cox hazard ratios of the arms and per point of shrinkage, counts),
rounded to the digits that are printed, and given to the synthesis as evidence. Numbers of a second,
single-arm study come with no limits. From the root of the repository:

    python -m tests.calibration.published

About a second and a half a trial; the result is stored beside this file.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.utils import median_survival_times
from scipy.special import expit, logit

import bayes_net as bn
from bayes_net.assumptions.priors import Borrowing
from bayes_net.assumptions.synthesis import Assumptions
from bayes_net.data.landmarks import landmark_times
from bayes_net.evidence.table import COLUMNS
from bayes_net.labels import select

from . import runner

STORED = Path(__file__).with_name("published.json")
TRIALS, SEED = 200, 20250226
PATIENTS, SINGLE_ARM, ANALYSED = (113, 116), 96, 80
CUT, HAZARDS = 8.5, (0.082, 0.133)
TRUTH = {
    "arm": float(np.log(0.21)),
    "control S(8.5)": float(np.exp(-CUT * HAZARDS[0])),
    "control S(20)": float(np.exp(-CUT * HAZARDS[0] - (20 - CUT) * HAZARDS[1])),
    "slope per 10 points": -0.3,
    "response": 0.16,
    "level": 0.25,
}
"""Hazards per month as NETTER-1's control arm; the level is a log hazard ratio against the treated arm."""
MODULES = (
    "statistics.rounding",
    "statistics.base",
    "statistics.ratios",
    "statistics.curves",
    "statistics.counts",
    "evidence.pairs",
    "assumptions.priors",
    "assumptions.hazard",
    "assumptions.synthesis",
    "assumptions.variables",
    "assumptions.participants",
    "assumptions.combine",
    "assumptions.network",
    "model.predictors",
    "model.likelihoods",
    "inference.arrays",
    "compiled.density",
    "engine.posterior",
    "engine.synthesis",
    "inference.sampling",
    "inference.synthesis",
)


def drawn(rng: np.random.Generator, log_ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times and events by log hazard ratio: two pieces, censored between 18 and 40 months."""
    target = rng.exponential(size=len(log_ratio)) / np.exp(log_ratio)
    early = target / HAZARDS[0]
    time = np.where(early <= CUT, early, CUT + (target - CUT * HAZARDS[0]) / HAZARDS[1])
    end = rng.uniform(18, 40, len(time))
    return np.minimum(time, end), (time <= end).astype(float)


def trial(number: int) -> pd.DataFrame:
    """The printed numbers of one simulated trial and one single-arm study, as an evidence table."""
    rng = np.random.default_rng([SEED, number])
    arm = np.repeat([0, 1], PATIENTS)
    time, event = drawn(rng, TRUTH["arm"] * arm)
    control = _kaplan_meier(time[arm == 0], event[arm == 0])
    single = _kaplan_meier(*drawn(rng, np.full(SINGLE_ARM, TRUTH["arm"] + TRUTH["level"])))
    score = rng.normal(0.5, 1.2, ANALYSED)
    after, hit = drawn(rng, TRUTH["slope per 10 points"] * score)
    rows = [
        {"id": "M", "arm": "control", "statistic": "median", "n": PATIENTS[0], "unit": "months"}
        | _median(control),
        {"id": "S", "arm": "control", "statistic": "survival", "time": 20.0, "n": PATIENTS[0]}
        | _survival(control)
        | {"correlated_with": "M", "correlation": "curve"},
        {"id": "H", "arm": "treated", "reference_arm": "control", "statistic": "hazard ratio"}
        | _cox(time, event, arm, digits=2),
        {"id": "B", "arm": "control", "statistic": "hazard ratio per point", "landmark": "150d"}
        | {"unit": "per +1 point of shrinkage"}
        | _cox(after, hit, 10 * score, digits=3),
        {"id": "R", "arm": "treated", "endpoint": "response", "statistic": "count", "n": PATIENTS[1]}
        | {"value": rng.binomial(PATIENTS[1], TRUTH["response"])},
        {
            "id": "L",
            "study": "single",
            "arm": "treated",
            "statistic": "median",
            "n": SINGLE_ARM,
            "unit": "months",
        }
        | {"value": round(_months(single), 1)},
    ]
    common = {"study": "trial", "endpoint": "pfs", "subgroup": "all", "use": "likelihood"}
    table = pd.DataFrame(
        [common | {"source": "simulated", "section": "-", "level": 95} | row for row in rows]
    )
    table["cohort_id"] = table["study"]
    return table.reindex(columns=list(COLUMNS))


def _kaplan_meier(time: np.ndarray, event: np.ndarray) -> KaplanMeierFitter:
    return KaplanMeierFitter().fit(time, event)


def _months(curve: KaplanMeierFitter) -> float:
    """The median, or where it is not reached the last month, which such a study would call its bound."""
    median = float(curve.median_survival_time_)
    return median if np.isfinite(median) else float(curve.timeline[-1])


def _median(curve: KaplanMeierFitter) -> dict:
    lower, upper = median_survival_times(curve.confidence_interval_).to_numpy().ravel()
    limits = {"lower": round(float(lower), 1)} | (
        {"upper": round(float(upper), 1)} if np.isfinite(upper) else {}
    )
    return {"value": round(_months(curve), 1)} | limits


def _survival(curve: KaplanMeierFitter) -> dict:
    value = float(curve.predict(20.0))
    table = curve.confidence_interval_
    lower, upper = table[table.index <= 20.0].iloc[-1]
    return {"value": round(value, 3), "lower": round(float(lower), 3), "upper": round(float(upper), 3)}


def _cox(time: np.ndarray, event: np.ndarray, x: np.ndarray, *, digits: int) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = CoxPHFitter().fit(pd.DataFrame({"time": time, "event": event, "x": x}), "time", "event")
    beta, se = float(fit.params_["x"]), float(fit.standard_errors_["x"])
    value, lower, upper = np.exp(beta + np.array([0.0, -1.96, 1.96]) * se)
    return {"value": round(value, digits), "lower": round(lower, digits), "upper": round(upper, digits)}


def assumptions() -> Assumptions:
    """The shipped priors, with levels of studies as good as unrelated, so that only the data speak."""
    return Assumptions(
        arms=("control", "treated"),
        reference="trial",
        cuts=(CUT, 20.0),
        landmarks=landmark_times(["150d"]),
        study_level=Borrowing("none"),
    )


def trial_rows(number: int, folder: Path) -> list[dict]:
    """Posterior intervals of what was simulated, one row a quantity."""
    path = folder / "evidence.csv"
    trial(number).to_csv(path, index=False)
    network = bn.combine_network(bn.read_evidence(path), assumptions())
    fit = bn.fit_synthesis(network, seed=number, sampler=bn.Sampler(500, 500, 4, 0.98))
    draws = fit["posterior"].to_dataset()
    control = select(draws["log_hazard"], curve=("pfs", "trial", "control"))
    hazard = np.exp(control.transpose("chain", "draw", "interval").values)
    until = np.cumsum(hazard[..., :2] * np.diff([0.0, CUT, 20.0]), axis=-1)
    found = {
        "arm": draws["arm_effect"].values,
        "control S(8.5)": np.exp(-until[..., 0]),
        "control S(20)": np.exp(-until[..., 1]),
        "slope per 10 points": draws["slope"].sel(endpoint="pfs", arm="control").values,
        "response": expit(draws["response"].values),
        "level": draws["study_level"].values,
    }
    rows = []
    for name, values in found.items():
        lower, middle, upper = np.quantile(values, (0.025, 0.5, 0.975))
        rows.append({"trial": number, "quantity": name, "lower": lower, "estimate": middle, "upper": upper})
    return rows


def summary(rows: list[dict]) -> list[dict]:
    """How often each truth was covered, and how far the medians are from it on the scale of the intervals."""
    table, found = pd.DataFrame(rows), []
    for name, part in table.groupby("quantity", sort=False):
        scale = logit if "S(" in name or name == "response" else np.asarray
        truth = TRUTH[name]
        low, middle, high = (scale(part[c].to_numpy()) for c in ("lower", "estimate", "upper"))
        bias = (middle - scale(np.array(truth))) / ((high - low) / 3.92)
        inside = (part["lower"] <= truth) & (truth <= part["upper"])
        found.append(
            {
                "quantity": name,
                "truth": round(truth, 5),
                "trials": len(part),
                "covered": int(inside.sum()),
                "bias_in_sd": round(float(bias.mean()), 3),
                "bias_se": round(float(bias.std() / np.sqrt(len(part))), 3),
            }
        )
    return found


def design() -> dict:
    """All that the result depends on but code and versions."""
    return {"trials": TRIALS, "seed": SEED}


if __name__ == "__main__":
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(TRIALS):
            rows += trial_rows(number, Path(folder))
    runner.store(STORED, MODULES, design() | {"quantities": summary(rows)}, show=["quantities"])
