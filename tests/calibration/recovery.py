"""Whether what a paper prints and says gives back the slopes of its patients, over 200 virtual trials.

Every trial has patients drawn with a matched set of parameters, slopes among them. It is summarised as the
paper was: of the twelve estimates (two arms, five landmarks and "no limit") three are printed if they are
significant, control at 150 days and both arms at "no limit"; of all others it is said that they are not
significant, or in which direction they are. These numbers and sentences are pooled as in the shipped
synthesis, with standard errors, correlations and bias from the virtual trials: slopes over landmarks are a
Gaussian process, or track the slope on final shrinkage (``--structure``). What comes out is held against

* ``patients``: the slopes that the patients themselves give, posterior means of a patient-level model at
  every landmark on all rows;
* ``many patients``: the Cox estimate of a trial with the same parameters and 20,000 patients in an arm;
* ``estimate``: where an estimate is not printed, the Cox estimate that the paper's authors had, against the
  interval of that estimate, not of the slope.

From the root of the repository, and again if it was interrupted:

    python -m tests.calibration.recovery

About three seconds a trial; results are stored beside this file, a file a structure. Beside how often
intervals hold a value stands their mean interval score (Gneiting & Raftery 2007,
doi:10.1198/016214506000001437): their width, and 40 times the distance of a value that they miss.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from shutil import copyfile

import numpy as np
import pandas as pd

import bayes_net as bn
from bayes_net.assumptions.synthesis import Assumptions
from bayes_net.data.landmarks import landmark_times
from bayes_net.evidence.table import COLUMNS
from bayes_net.schema import NO_LIMIT
from bayes_net.simulate.ensemble import virtual_trials
from bayes_net.simulate.trials import LABELS, NAMES, cox, draw, summary
from bayes_net.specification.read import read_specification
from bayes_net.tables.shipped import models_folder

from . import runner
from .published import MODULES as POOLING

STORED = {
    structure: Path(__file__).with_name(f"recovery_{structure.replace(' ', '_')}.json")
    for structure in ("gaussian process", "tracking")
}
TRIALS, SEED, MANY = 200, 20250227, 20_000
ARMS = ("control", "177Lu")
IN_PRINT = {("control", "150d"), ("control", NO_LIMIT), ("177Lu", NO_LIMIT)}
"""What the paper prints, if it is significant."""
SPELT = dict(zip(LABELS, (each.label for each in landmark_times(LABELS)), strict=True))
"""Landmarks as a fit has them."""
VIRTUAL = "virtual.json"
CRITICAL = 1.959963984540054
CUTS = (3.0, 6.0, 12.0, 18.0, 30.0)
MODULES = (
    *POOLING,
    "simulate.trials",
    "simulate.printed",
    "simulate.ensemble",
    "simulate.plan",
    "simulate.cohort",
    "data.landmarks",
    "data.exposure",
    "data.intervals",
    "statistics.statements",
    "evidence.virtual",
    "assumptions.statements",
    "compiled.unprinted",
    "engine.patients",
    "engine.laplace",
)
POOLED = bn.Sampler(draws=400, tune=200, chains=4, target_accept=0.95)
PATIENTS = bn.Sampler(draws=500, tune=500, chains=2, method="laplace")


# --- the trial, and what is printed and said of it ------------------------------------------------------


def plan_of(number: int) -> bn.SimulationPlan:
    """A trial whose arms have a matched set of parameters each."""
    rng, arms = np.random.default_rng([SEED, number]), virtual_trials().arms.values()
    drawn = [arm.parameters.iloc[rng.integers(len(arm.parameters))] for arm in arms]
    pairs = {name: tuple(float(own[name]) for own in drawn) for name in drawn[0].index}
    return bn.SimulationPlan(slope=pairs.pop("slope"), parameters=pairs, os_medians=None)


def estimates(landmarks: bn.data.LandmarkSet) -> pd.DataFrame:
    """Cox estimates per 10 points and their standard errors, by arm and landmark; missing where the
    likelihood has no maximum."""
    rows = []
    for each, label in zip(landmarks.landmarks, LABELS, strict=True):
        table = landmarks.at(each.label)
        for i, arm in enumerate(ARMS):
            own = table[table["arm"] == landmarks.arms[i]]
            x, time, event = (own[column].to_numpy()[None] for column in ("shrinkage", "time", "event"))
            beta, information = cox(x, time, event.astype(bool), np.ones_like(event, bool))
            row = {"arm": arm, "landmark": label, "n": len(own)}
            rows.append(row | {"estimate": beta[0], "se": information[0] ** -0.5})
    return pd.DataFrame(rows)


def as_published(found: pd.DataFrame) -> pd.DataFrame:
    """The evidence table of one trial: numbers to three digits where they are printed, else what is said.

    ``found``: columns arm, landmark, n, estimate, se. What has no estimate is not told of.
    """
    rows = [_told(row) for row in found.dropna(subset="estimate").to_dict("records")]
    common = {"study": "trial", "cohort_id": "trial", "endpoint": "pfs", "subgroup": "all"}
    common |= {"statistic": "hazard ratio per point", "unit": "per +1 point of shrinkage"}
    common |= {"use": "likelihood", "source": "simulated", "section": "-"}
    common["virtual_trials"] = VIRTUAL
    return pd.DataFrame([common | row for row in rows]).reindex(columns=list(COLUMNS))


def _told(row: Mapping[str, object]) -> dict[str, object]:
    beta, se, label, arm = float(row["estimate"]), float(row["se"]), str(row["landmark"]), str(row["arm"])
    told = {"id": f"{arm} {label}".replace(" ", "_"), "arm": arm, "landmark": label, "n": row["n"]}
    significant = abs(beta) > CRITICAL * se
    if significant and (arm, label) in IN_PRINT:
        lower, value, upper = np.exp((beta + np.array([-1, 0, 1]) * CRITICAL * se) / 10).round(3)
        return told | {"value": value, "lower": lower, "upper": upper, "level": 95}
    said = f"significantly {'below' if beta < 0 else 'above'} 1" if significant else "not significant"
    return told | {"said": said}


# --- what is made of it ---------------------------------------------------------------------------------


@cache
def assumptions(structure: str) -> Assumptions:
    """Those of the shipped synthesis with slopes of this structure, and what the virtual trials tell."""
    shipped = read_specification("prrt_pooled")
    slopes = shipped.slopes.model_copy(update={"structure": structure})
    given = shipped.model_copy(update={"slopes": slopes}).assumptions(virtual_trials())
    return replace(given, arms=ARMS, reference="trial", cuts=(), bias_scale=1.0)


def trial_rows(number: int, structure: str) -> list[dict]:
    """One row an arm and landmark of one trial: what is told, the pooled intervals, and the values held
    against them."""
    plan = plan_of(number)
    landmarks = bn.landmark(bn.simulate_cohort(plan, seed=SEED + number), list(LABELS))
    found = estimates(landmarks)
    told = as_published(found)
    with tempfile.TemporaryDirectory() as folder:
        told.to_csv(Path(folder) / "evidence.csv", index=False)
        copyfile(models_folder() / "data" / "virtual_trials.json", Path(folder) / VIRTUAL)
        network = bn.combine_network(bn.read_evidence(Path(folder) / "evidence.csv"), assumptions(structure))
    fit = bn.fit_synthesis(network, seed=number, sampler=POOLED, brief=True)["posterior"].to_dataset()
    of_patients, many = _patients(landmarks, number), _many(plan, number)
    rows = []
    for row in found.dropna(subset="estimate").to_dict("records"):
        arm, label = row["arm"], row["landmark"]
        one = told.set_index(["arm", "landmark"]).loc[(arm, label)]
        kind = one["said"] if isinstance(one["said"], str) else "printed"
        slope = _slope(fit, arm, label)
        kept = {"trial": number, "arm": arm, "landmark": label, "told": kind, "estimate": row["estimate"]}
        kept |= {"patients": of_patients[arm, label], "many patients": many[arm, label]}
        kept |= _limits("slope", slope)
        if kind != "printed":
            kept |= _limits("estimate", fit["estimate"].sel(unprinted_estimate=one["id"]).values)
        rows.append({name: round(x, 5) if isinstance(x, float) else x for name, x in kept.items()})
    return rows


def _slope(fit, arm: str, label: str) -> np.ndarray:
    """Draws of a slope; at "no limit" with its bias, as patients show it."""
    names = {"endpoint": "pfs", "arm": arm, "landmark": SPELT[label]}
    slope = fit["slope"].sel(names).values
    if label != NO_LIMIT:
        return slope
    biased = (fit["biased_slope_arm"] == arm).values
    return slope + fit["bias"].values[..., np.flatnonzero(biased)[0]]


def _limits(name: str, draws: np.ndarray) -> dict[str, float]:
    lower, upper = np.quantile(draws, [0.025, 0.975])
    return {f"{name}_lower": float(lower), f"{name}_upper": float(upper)}


def _patients(landmarks: bn.data.LandmarkSet, number: int) -> dict[tuple[str, str], float]:
    """Posterior means of the patient-level model's slopes, with the synthesis' prior of a slope."""
    hazard = bn.Hazard(priors=bn.Priors(slope=assumptions("gaussian process").slopes.prior))
    means = {}
    for each, label in zip(landmarks.landmarks, LABELS, strict=True):
        data = bn.expose(landmarks, each.label, cuts=list(CUTS))
        fit = bn.fit(data, hazard, seed=number, sampler=PATIENTS, brief=True)
        mean = fit["posterior"]["slope"].mean(("chain", "draw"))
        means |= {(arm, label): float(mean[i]) for i, arm in enumerate(ARMS)}
    return means


def _many(plan: bn.SimulationPlan, number: int) -> dict[tuple[str, str], float]:
    """Cox estimates of as many patients as make chance small."""
    means = {}
    for i, arm in enumerate(ARMS):
        law = {name: np.array([[value]]) for name, value in plan.law(i).items()}
        found = summary(draw(law, MANY, np.random.default_rng([SEED, number, i])))[0]
        means |= {
            (arm, label): float(x) for label, x in zip(LABELS, found[:, NAMES.index("estimate")], strict=True)
        }
    return means


# --- what is stored -------------------------------------------------------------------------------------


def coverage(rows: Sequence[dict]) -> list[dict]:
    """How often intervals hold each kind of value, by what is told, and in all."""
    table, found = pd.DataFrame(rows), []
    table["place"] = np.where(table["landmark"] == NO_LIMIT, NO_LIMIT, "landmarks")
    for value, interval in (("patients", "slope"), ("many patients", "slope"), ("estimate", "estimate")):
        own = table.dropna(subset=f"{interval}_lower").copy()
        lower, upper = (own[f"{interval}_{end}"] for end in ("lower", "upper"))
        own["inside"] = own[value].between(lower, upper)
        missed = np.maximum(lower - own[value], 0) + np.maximum(own[value] - upper, 0)
        own["score"] = upper - lower + 40 * missed
        for keys in ([], ["told"], ["arm"], ["place"], ["arm", "landmark"]):
            for names, part in own.groupby(keys, sort=True) if keys else [((), own)]:
                of = dict(zip(keys, names if isinstance(names, tuple) else (names,), strict=True))
                counts = {"intervals": len(part), "covered": int(part["inside"].sum())}
                found.append(
                    {"value": value} | of | counts | {"score": round(float(part["score"].mean()), 4)}
                )
    return found


def design(structure: str) -> dict:
    """All that the result depends on but code."""
    ensemble = {
        name: [arm.parameters.to_json(), arm.landmarks.to_json()]
        for name, arm in virtual_trials().arms.items()
    }
    digest = hashlib.sha256(json.dumps(ensemble).encode()).hexdigest()[:16]
    return {
        "structure": structure,
        "trials": TRIALS,
        "seed": SEED,
        "many": MANY,
        "virtual_trials": digest,
    }


def run(trials: int, structure: str, stored: Path) -> None:
    """Simulate, summarise, pool, store."""
    about = design(structure) | {"trials": trials}
    beside, wanted = stored.with_suffix(".partial.jsonl"), {"code": runner.code(MODULES), "design": about}
    rows = runner.trials(trials, partial(trial_rows, structure=structure), beside, wanted)
    flat = [row for trial in rows for row in trial]
    found = {"design": about, "coverage": coverage(flat), "first_trial": rows[0]}
    runner.store(stored, MODULES, found)
    beside.unlink()
    print(*found["coverage"], sep="\n")


if __name__ == "__main__":
    asked = runner.arguments(__doc__, None, trials=TRIALS, structure="gaussian process")
    run(asked.trials, asked.structure, asked.out or STORED[asked.structure])
