"""A registry of N patients written, read and fitted: ``registry.py write|fit N FOLDER``, one process each.

The patients' law: a hazard that changes every five months, a hazard ratio of exp(-0.1) per 10 points of
shrinkage in one arm and of 1 in the other; every patient has a shrinkage of its own.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

CHUNK = 500_000
CUTS = 5.0 * np.arange(1, 10)
RATE = 0.05 * np.exp([0, 0.3, 0.5, 0.4, 0.2, 0, -0.2, -0.3, -0.4, -0.5])
ARMS = ("control", "treated")


def patients(n: int, seed: int) -> pd.DataFrame:
    """One row a patient: arm, time, event, shrinkage."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, 2, n)
    shrinkage = np.clip(rng.normal(15, 25, n), -20, 100)
    needed = rng.exponential(size=n) / np.exp(-0.01 * shrinkage * (arm == 0) - 0.6 * arm)
    passed = np.concatenate([[0.0], np.cumsum(RATE[:-1] * np.diff([0.0, *CUTS]))])
    k = np.searchsorted(passed, needed, side="right") - 1
    time_, end = np.array([0.0, *CUTS])[k] + (needed - passed[k]) / RATE[k], rng.uniform(2, 60, n)
    return pd.DataFrame(
        {
            "arm": pd.Categorical.from_codes(arm, categories=ARMS),
            "time": np.minimum(time_, end),
            "event": (time_ <= end).astype(np.int8),
            "shrinkage": shrinkage,
        }
    )


def write(n: int, folder: Path) -> None:
    """Parquet files of ``CHUNK`` patients."""
    for number, start in enumerate(range(0, n, CHUNK)):
        patients(min(CHUNK, n - start), seed=number).to_parquet(folder / f"part_{number:03}.parquet")


def fit(n: int, folder: Path) -> None:
    """Prints: n, seconds of reading and reducing the files, and a table in memory; seconds of compiling, of
    a second fit and of that fit per posterior of ``few``; ESS of the hazard ratio; peak memory in GB."""
    import bayes_net as bn

    many, reading = timed(lambda: bn.data.expose_registry(folder, arms=ARMS, cuts=CUTS))
    table = patients(min(n, 2_000_000), seed=1)
    _, reducing = timed(lambda: bn.data.expose_registry(table, arms=ARMS, cuts=CUTS))
    few = bn.data.expose_registry(patients(100, seed=1), arms=ARMS, cuts=CUTS)
    shape = bn.layout([many, few])
    _, first = timed(lambda: bn.fit(few, seed=1, shape=shape))
    times, fits = {"few": [], "many": []}, {}
    for seed in (1, 2, 3):
        for name, data in (("few", few), ("many", many)):
            fits[name], used = timed(lambda data=data, seed=seed: bn.fit(data, seed=seed, shape=shape))
            times[name].append(used)
    medians = {name: float(np.median(used)) for name, used in times.items()}
    ratios = bn.summarise(bn.hazard_ratio(fits["many"]))
    row = {
        "n": n,
        "read": reading,
        "read_rate": n / reading,
        "memory_rate": len(table) / reducing,
        "first": first,
        "few": medians["few"],
        "many": medians["many"],
        "ess": ratios["ess_bulk"].min(),
        "gate": bn.gate(fits["many"]).passed,
        "error": many.error,
        "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    pd.DataFrame([row]).to_csv(folder.with_suffix(".csv"), index=False)


def timed(call):
    start = time.perf_counter()
    value = call()
    return value, time.perf_counter() - start


if __name__ == "__main__":
    {"write": write, "fit": fit}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
