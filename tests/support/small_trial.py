"""An invented trial with identifiers that are easy to search for, a specification of it, and its results."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import tomli_w

MARKER = "ZQX-"
EXCLUDED = (f"{MARKER}0003-MARKER", f"{MARKER}0005-MARKER")
"""Two identifiers of patients to exclude."""

SPECIFICATION = {
    "title": "A small trial",
    "data": {
        "patients": "patients.csv",
        "scans": "scans.csv",
        "time_unit": "days",
        "size_unit": "mm",
        "arms": ["control", "treated"],
        "exclude_patients": list(EXCLUDED),
    },
    "landmarks": {"times": ["120d", "no limit"], "thresholds": [30]},
    "covariates": [{"name": "grade", "levels": ["G1", "G2"]}],
    "baseline": {"arms": "shared", "cuts": ["4mo", "9mo"], "smoothing": "independent"},
    "sampling": {"seed": 5, "draws": 500, "tune": 500, "target_accept": 0.9},
}
QUICK = {"sampling": {"seed": 5, "draws": 100, "tune": 100, "chains": 2, "retry": False}}
"""A run that is over soon; it has too few draws to pass its gate."""


def tables(n=140, *, seed=2, arms=("control", "treated")) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients and scans, times in whole days and sizes in mm; shrinkage goes with longer PFS and OS."""
    rng = np.random.default_rng(seed)
    arm, depth = np.arange(n) % len(arms), rng.normal(20, 18, n).clip(-15, 90)
    risk = np.exp(-0.02 * depth - 0.3 * arm)
    progression = rng.exponential(400 / risk)
    death, end = progression + rng.exponential(500, n), rng.uniform(300, 1400, n)
    patients = pd.DataFrame(
        {
            "patient": [f"{MARKER}{i:04d}-MARKER" for i in range(n)],
            "arm": np.array(arms)[arm],
            "pfs_time": np.ceil(np.minimum(progression, end)),
            "pfs_event": (progression <= end).astype(int),
            "os_time": np.ceil(np.minimum(death, end)),
            "os_event": (death <= end).astype(int),
            "grade": rng.choice(["G1", "G2"], n),
        }
    )
    start = rng.uniform(40, 120, n)
    scans = [(patients["patient"][i], 0, start[i].round(1)) for i in range(n)]
    for i in range(n):
        for day in range(55, int(patients["pfs_time"][i]) + 1, 60):
            size = start[i] * (1 - depth[i] / 100 * min(1, day / 110)) * np.exp(0.02 * rng.normal())
            scans.append((patients["patient"][i], day, round(size, 1)))
    return patients, pd.DataFrame(scans, columns=["patient", "time", "size"])


def written(folder: Path, *, trial=None, **changes) -> Path:
    """The trial's two tables and a specification in ``folder``; ``changes`` replace keys of its sections."""
    folder.mkdir(parents=True, exist_ok=True)
    patients, scans = trial or tables()
    patients.to_csv(folder / "patients.csv", index=False)
    scans.to_csv(folder / "scans.csv", index=False)
    values = {name: value for name, value in SPECIFICATION.items() if changes.get(name, 0) is not None}
    for name, value in changes.items():
        if isinstance(value, dict):
            merged = values.get(name, {}) | value
            values[name] = {key: item for key, item in merged.items() if item is not None}
        elif value is not None:
            values[name] = value
    path = folder / "trial.toml"
    path.write_text(tomli_w.dumps(values))
    return path


@functools.lru_cache(maxsize=1)
def finished(folder: Path):
    """The trial's analysis, the folder of its results and the progress that it told of; once a session."""
    from bayes_net.specification.read import read_specification
    from bayes_net.workflow.write import run

    path, told = written(folder), []
    analysis = run(read_specification(path), folder / "out", progress=lambda *about: told.append(about))
    return analysis, analysis.folder, told


STUDY = {
    "sample_sizes": [40, 80],
    "accrual": "12mo",
    "follow_up": "24mo",
    "truths": [0.5],
    "simulations": 12,
}
LANDMARKS = {"times": ["120d", "180d", "no limit"], "thresholds": None}


def planned_study(folder: Path, **changes) -> Path:
    """The trial, and a study planned from it."""
    return written(folder, **({"design": STUDY, "landmarks": LANDMARKS} | changes))
