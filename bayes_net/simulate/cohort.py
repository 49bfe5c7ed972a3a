"""Synthetic cohorts with the published margins of NETTER-1, and with slopes that are known.

What is published is a field of `SimulationPlan`; what the generator needs is solved from it by
`calibrate`. Sources: Pavel et al. 2025, Cancer Medicine (ad hoc analysis of NETTER-1); Strosberg et al.
2017, N Engl J Med 376:125 (primary analysis); Strosberg et al. 2021, Lancet Oncol 22:1752 (final survival).
"""

from __future__ import annotations

import os
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_net.data.cohort import Cohort, read_cohort
from bayes_net.data.exposure import inverse_cumulative
from bayes_net.data.notes import Note
from bayes_net.errors import CohortWarning
from bayes_net.simulate.margins import calibrate
from bayes_net.simulate.plan import (
    LARGEST_CLEAR,
    PROGRESSED_SIZE,
    ArmLaw,
    SimulationPlan,
    hazards,
    mean_readings,
    reading_sd,
    uncapped_deaths,
    visits,
)

PATIENT_COLUMNS = {"pfs_time": "pfs_months", "os_time": "os_months"}
SCAN_COLUMNS = {"time": "scan_months", "size": "sum_of_diameters_mm"}
"""How `write_cohort` names columns that carry a unit: pass both to `read_cohort` to read them back."""


def simulate_cohort(plan: SimulationPlan | None = None, *, seed: int) -> Cohort:
    """A cohort with the margins of ``plan``, labelled synthetic, that passed the checks of real data."""
    plan = SimulationPlan() if plan is None else plan
    rng = np.random.default_rng(seed)
    drawn = [_draw(plan, arm, law, rng) for arm, law in enumerate(calibrate(plan))]
    patients, scans, capped = zip(*drawn, strict=True)
    patients, scans = pd.concat(patients, ignore_index=True), pd.concat(scans, ignore_index=True)
    with warnings.catch_warnings():
        # Patients without a scan are in the plan; the note of them stays.
        warnings.simplefilter("ignore", CohortWarning)
        cohort = read_cohort(
            patients, scans, time_unit="months", size_unit="mm", arms=plan.arms, synthetic=True
        )
    return replace(cohort, notes=(*_synthetic_notes(len(patients), sum(capped)), *cohort.notes))


def _synthetic_notes(n: int, capped: int) -> tuple[Note, ...]:
    message = f"all {n} patients are synthetic: drawn from published margins, not observed"
    label = Note("handled", "synthetic", message, n)
    message = f"{capped} patients have a death hazard lowered to their PFS hazard, so os_slope is not exact"
    return (label, Note("handled", "capped-deaths", message, capped)) if capped else (label,)


def write_cohort(cohort: Cohort, folder: str | Path) -> tuple[Path, Path]:
    """Write two CSV files, patients and scans (times in months, sizes in mm), and return their paths.

    Synthetic cohorts carry it in the file names and in a column. Each file appears whole or not at all.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    units = {**PATIENT_COLUMNS, "time": "scan_months", "sld": SCAN_COLUMNS["size"], "pchg": "change_percent"}
    # With sizes in the file, the change is computed anew by whoever reads it; both would be one fact twice.
    scans = cohort.scans.drop(columns=["baseline"] + ["pchg"] * ("sld" in cohort.scans))
    prefix = "synthetic_" if cohort.synthetic else ""
    paths = folder / f"{prefix}patients.csv", folder / f"{prefix}scans.csv"
    for table, path in zip((cohort.patients, scans), paths, strict=True):
        label = {"synthetic": "true"} if cohort.synthetic else {}
        _write_atomically(table.rename(columns=units).assign(**label), path)
    return paths


def _write_atomically(table: pd.DataFrame, path: Path) -> None:
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            table.to_csv(file, index=False, lineterminator="\n")
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _draw(
    plan: SimulationPlan, arm: int, law: ArmLaw, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """The patient and scan tables of one arm, and how many of its patients' death hazards are capped."""
    n, at = plan.patients[arm], visits(plan)
    depth = law.depth(rng.standard_normal(n))
    progression, death, end = _courses(plan, arm, law, depth, rng)
    seen = progression if plan.progression_seen == "exact" else _next_visit(at, progression)
    leaves = np.minimum(end, _discontinuation(law, at[0], n, rng))
    pfs = np.minimum.reduce([seen, death, leaves])
    names = np.array([f"S{number:06d}" for number in range(n)], dtype=object) + f"-{arm + 1}"
    patients = pd.DataFrame(
        {
            "patient": names,
            "study": "NETTER-1-like, synthetic",
            "arm": plan.arms[arm],
            "pfs_time": pfs,
            "pfs_event": (np.minimum(seen, death) <= leaves).astype(int),
            "os_time": np.minimum(death, end),
            "os_event": (death <= end).astype(int),
        }
    )
    scanned = at <= pfs[:, None]
    progressed = scanned & (at == seen[:, None])
    readings = mean_readings(plan, arm, law, depth) + reading_sd(plan) * rng.standard_normal((n, len(at)))
    scans = _scan_table(plan, names, readings, scanned, progressed, rng)
    capped = uncapped_deaths(plan, arm, law, depth) > hazards(plan, arm, law, depth)[0]
    return patients, scans, int(capped.any(axis=1).sum())


def _courses(
    plan: SimulationPlan, arm: int, law: ArmLaw, depth: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When each patient progresses (infinite if death comes first), dies, and the study ends.

    Both ways to tie death to progression keep the PFS hazard and the death hazard as they are: independent
    causes that add up to the PFS hazard, or one and the same quantile of both laws.
    """
    pfs, death = hazards(plan, arm, law, depth)
    ignoring = rng.random(len(depth)) < plan.independent_deaths
    first, second = rng.standard_exponential((2, len(depth)))
    progresses = inverse_cumulative(np.where(ignoring[:, None], pfs - death, pfs), law.starts, first)
    dies = inverse_cumulative(death, law.starts, np.where(ignoring, second, first))
    return np.where(progresses < dies, progresses, np.inf), dies, rng.uniform(*plan.follow_up, len(depth))


def _next_visit(at: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.append(at, np.inf)[np.searchsorted(at, times)]


def _discontinuation(law: ArmLaw, first_scan: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """When patients leave for another reason; some before their first scan."""
    later = inverse_cumulative(np.full((n, 1), law.discontinuation), (0.0,), rng.standard_exponential(n))
    return np.where(rng.random(n) < law.unscanned, rng.uniform(0, first_scan, n), later)


def _scan_table(
    plan: SimulationPlan,
    names: np.ndarray,
    readings: np.ndarray,
    scanned: np.ndarray,
    progressed: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Scans with sizes, the baseline among them, of which only the recorded progression looks like one.

    Growth to progression begins after the last clear scan, so that no reading foretells it.
    """
    n = len(names)
    size, nadir = np.ones((n, readings.shape[1] + 1)), np.ones(n)
    new_lesion = progressed & (rng.random(n) < plan.new_lesions)[:, None]
    regrown = PROGRESSED_SIZE + 0.1 * rng.standard_exponential(n)
    for visit, reading in enumerate(1 - readings.T / 100, start=1):
        clear = np.clip(reading, 0.01, LARGEST_CLEAR * nadir)
        worse = np.where(new_lesion[:, visit - 1], np.maximum(clear, nadir), regrown * nadir)
        size[:, visit] = np.where(progressed[:, visit - 1], worse, clear)
        nadir = np.minimum(nadir, size[:, visit])
    median, log_sd = plan.baseline_mm
    millimetres = size * median * np.exp(log_sd * rng.standard_normal(n))[:, None]
    response = np.where(progressed, "PD", np.where(size[:, 1:] <= 0.7, "PR", "SD"))
    done = np.pad(scanned, ((0, 0), (1, 0)), constant_values=True)
    row, at = np.nonzero(done)
    return pd.DataFrame(
        {
            "patient": names[row],
            "time": np.array([0.0, *visits(plan)])[at],
            "size": millimetres[done],
            "new_lesion": np.pad(new_lesion, ((0, 0), (1, 0)))[done].astype(int),
            "response": np.pad(response.astype(object), ((0, 0), (1, 0)), constant_values="")[done],
        }
    )
