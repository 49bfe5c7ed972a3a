"""Synthetic cohorts: patients and scans of one virtual trial that resembles NETTER-1.

Sources of what is matched: Pavel et al. 2025, Cancer Medicine (ad hoc analysis of NETTER-1); Strosberg et al.
2017, doi:10.1056/NEJMoa1607427 (primary analysis); Strosberg et al. 2021, Lancet Oncol 22:1752 (final
survival).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from bayes_net.data.cohort import Cohort, read_cohort
from bayes_net.errors import CohortWarning, InputError
from bayes_net.files.writing import write_whole
from bayes_net.simulate.plan import SimulationPlan
from bayes_net.simulate.trials import Trials, draw
from bayes_net.tables.notes import Note
from bayes_net.tables.reading import RECONSTRUCTED

PATIENT_COLUMNS = {"pfs_time": "pfs_months", "os_time": "os_months"}
SCAN_COLUMNS = {"time": "scan_months", "size": "sum_of_diameters_mm"}
"""How `write_cohort` names columns that carry a unit: pass both to `read_cohort` to read them back."""
PROGRESSED_SIZE, PROGRESSED_MM, LARGEST_CLEAR = 1.2, 5.0, 1.2 - 1e-5
"""Size over nadir, and growth, that RECIST 1.1 calls progression, and what stays below it when rounded to a
nanometre."""
LIKE_ONE = 20_000
"""Patients over which overall survival is averaged."""
DEADLIEST = 20.0
"""Hazard per month beyond which none is looked for."""


def simulate_cohort(plan: SimulationPlan | None = None, *, seed: int) -> Cohort:
    """A cohort drawn from ``plan``, labelled synthetic, that passed the checks of real data.

    Raises InputError if no hazard of death after progression gives the plan's median overall survival.
    """
    plan = SimulationPlan() if plan is None else plan
    rng = np.random.default_rng(seed)
    patients, scans = zip(*(_arm(plan, arm, rng) for arm in range(len(plan.arms))), strict=True)
    patients, scans = pd.concat(patients, ignore_index=True), pd.concat(scans, ignore_index=True)
    with warnings.catch_warnings():
        # Patients without a scan are in the plan; the note of them stays.
        warnings.simplefilter("ignore", CohortWarning)
        cohort = read_cohort(
            patients, scans, time_unit="months", size_unit="mm", arms=plan.arms, synthetic=True
        )
    n = len(patients)
    message = f"all {n} patients are synthetic: drawn by a computer, not observed"
    return replace(cohort, notes=(Note("handled", "synthetic", message, n), *cohort.notes))


def write_cohort(cohort: Cohort, folder: str | Path) -> tuple[Path, Path]:
    """Write two CSV files, patients and scans (times in months, sizes in mm), and return their paths.

    Synthetic cohorts carry it in the file names and in a column, and patients who were made of a published
    curve in a column. Each file appears whole or not at all.
    """
    folder = Path(folder)
    units = {**PATIENT_COLUMNS, "time": "scan_months", "sld": SCAN_COLUMNS["size"], "pchg": "change_percent"}
    # With sizes in the file, the change is computed anew by whoever reads it; both would be one fact twice.
    scans = cohort.scans.drop(columns=["baseline"] + ["pchg"] * ("sld" in cohort.scans))
    prefix = "synthetic_" if cohort.synthetic else ""
    paths = folder / f"{prefix}patients.csv", folder / f"{prefix}scans.csv"
    patients = cohort.patients
    if cohort.reconstructed:
        made = patients["patient"].isin(cohort.reconstructed)
        patients = patients.assign(**{RECONSTRUCTED: made.map({True: "true", False: "false"})})
    for table, path in zip((patients, scans), paths, strict=True):
        label = {"synthetic": "true"} if cohort.synthetic else {}
        named = table.rename(columns=units).assign(**label)
        write_whole(path, named.to_csv(index=False, lineterminator="\n").encode())
    return paths


def _arm(plan: SimulationPlan, arm: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The patient and scan tables of one arm."""
    law, n = plan.law(arm), plan.patients[arm]
    trial = _drawn(law, n, rng)
    medians = plan.os_medians
    later = _death_after_progression(law, medians[arm], plan.arms[arm]) if medians else law["death"]
    death = _death(trial, later, rng)
    names = np.array([f"S{number:06d}-{arm + 1}" for number in range(n)], dtype=object)
    patients = pd.DataFrame(
        {
            "patient": names,
            "study": "NETTER-1-like, synthetic",
            "arm": plan.arms[arm],
            "pfs_time": trial.pfs[0],
            "pfs_event": trial.event[0].astype(int),
            "os_time": np.minimum(death, trial.followed[0]),
            "os_event": (death <= trial.followed[0]).astype(int),
        }
    )
    return patients, _scan_table(plan, names, trial, rng)


def _drawn(law: Mapping[str, float], n: int, rng: np.random.Generator) -> Trials:
    with np.errstate(divide="ignore"):  # a hazard of 0 is never
        return draw({name: np.array([[value]]) for name, value in law.items()}, n, rng)


def _death(trial: Trials, after: float, rng: np.random.Generator) -> np.ndarray:
    """When patients die: as drawn unless progression is seen first, when the hazard becomes ``after``."""
    first, seen = trial.death[0], trial.seen[0]
    with np.errstate(divide="ignore"):
        return np.where(first <= seen, first, seen + rng.standard_exponential(len(seen)) / np.float64(after))


def _death_after_progression(law: Mapping[str, float], median: float, arm: str) -> float:
    """Hazard per month of death once progression is seen that gives overall survival its median."""
    seen = _drawn(law, LIKE_ONE, np.random.default_rng(0)).seen[0]
    alone, after = np.minimum(seen, median), np.maximum(median - seen, 0)

    def misfit(hazard: float) -> float:
        return float(np.exp(-law["death"] * alone - hazard * after).mean()) - 0.5

    if misfit(0.0) < 0 or misfit(DEADLIEST) > 0:
        raise InputError(
            f"{arm}: no hazard of death after progression gives a median overall survival of {median:g} "
            "months; bring os_medians nearer to the published ones, or change the hazards before it"
        )
    return float(brentq(misfit, 0.0, DEADLIEST))


def _scan_table(
    plan: SimulationPlan, names: np.ndarray, trial: Trials, rng: np.random.Generator
) -> pd.DataFrame:
    """Scans with sizes, the baseline among them, of which only the recorded progression looks like one."""
    months, clear, reading = (array[0] for array in (trial.at, trial.clear, trial.reading))
    progressed = months == trial.pfs[0][:, None]
    new_lesion = progressed & (reading > -np.inf)
    median, log_sd = plan.baseline_mm
    baseline = median * np.exp(log_sd * rng.standard_normal(len(names)))
    grown = PROGRESSED_SIZE + 0.1 * rng.standard_exponential(len(names))
    size = baseline[:, None] * np.ones(months.shape[1] + 1)
    nadir = baseline.copy()
    for visit, read in enumerate(reading.T, start=1):
        counts = read > -np.inf
        unlike = np.minimum(baseline * (1 - np.where(counts, read, 0) / 100), LARGEST_CLEAR * nadir)
        regrown = np.maximum(grown * nadir, nadir + PROGRESSED_MM * grown)
        size[:, visit] = np.where(counts, unlike, regrown)
        nadir = np.where(counts, np.minimum(nadir, unlike), nadir)
    response = np.where(progressed, "PD", np.where(size[:, 1:] <= 0.7 * baseline[:, None], "PR", "SD"))
    done = np.pad(clear | progressed, ((0, 0), (1, 0)), constant_values=True)
    row = np.nonzero(done)[0]
    return pd.DataFrame(
        {
            "patient": names[row],
            "time": np.pad(months, ((0, 0), (1, 0)))[done],
            "size": size[done],
            "new_lesion": np.pad(new_lesion, ((0, 0), (1, 0)))[done].astype(int),
            "response": np.pad(response.astype(object), ((0, 0), (1, 0)), constant_values="")[done],
        }
    )
