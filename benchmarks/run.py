"""What a run costs, beside other tools on the same data and the same machine: see README.md.

    python benchmarks/run.py [end-to-end] [peers] [scaling] [refits] [grid] [registry] [--repeats 3]

Everything runs one after another in one process tree, and ratios are taken within a repeat, because a
shared machine is noisy. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
from arviz_stats.base import array_stats

HERE = Path(__file__).parent
SPECIFICATION = "netter1_synthetic"
PEERS = ("rstanarm", "rstan", "brms", "jags")
R_PACKAGES = {"jags": "rjags"}
SIZES = (100, 1_000, 10_000)
REGISTRY_SIZES = (100_000, 10_000_000)
REFITS, JOBS = 200, 2
SCALED_PEERS = ("rstanarm", "rstan", "brms")
"""JAGS, slowest by far at a hundred patients, is left out of more."""
REPEATED_UP_TO = 1_000
"""Above this many patients person-interval rows take minutes, so that one repeat has to do."""


def child(command: list[str], *, caches: Path, good: tuple[int, ...] = (0,)) -> dict[str, float]:
    """Seconds and peak memory of a process; PyTensor, numba and matplotlib cache in the folder ``caches``."""
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    fresh = {
        "PYTENSOR_FLAGS": ",".join(filter(None, [flags, f"base_compiledir={caches / 'pytensor'}"])),
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "MPLCONFIGDIR": str(caches / "matplotlib"),
    }
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | fresh)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in good:
            log.seek(0)
            raise SystemExit(f"{command[:3]} ended with {process.returncode}:\n{log.read().decode()[-2000:]}")
    # Linux counts ru_maxrss in KiB.
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "gb": used.ru_maxrss / 2**20}


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bayes-net-benchmark-") as folder:
        yield Path(folder)


def end_to_end(repeats: int) -> Iterator[str]:
    """The shipped synthetic analysis by its command, first with empty and then with filled caches."""
    command = str(Path(sys.executable).with_name("bayes-net"))
    runs, stages = [], []
    for _ in range(repeats):
        with scratch() as folder:
            for kind in ("cold", "warm"):
                out = ["run", SPECIFICATION, "--out", str(folder / kind)]
                # 3: the gate failed, which the table of a run shows and its cost does not change
                used = child([command, *out], caches=folder / "caches", good=(0, 3))
                runs.append({"caches": kind} | used)
        with scratch() as folder:
            out = ["run", SPECIFICATION, "--out", str(folder / "out")]
            stage_file = str(folder / "stages.csv")
            child([sys.executable, str(HERE / "stages.py"), stage_file, *out], caches=folder, good=(0, 3))
            stages.append(pd.read_csv(stage_file, index_col=0, header=None)[1])
    table = pd.DataFrame(runs).groupby("caches", sort=False).median().reset_index()
    yield f"### `bayes-net run {SPECIFICATION}`, median of {repeats}\n"
    yield markdown(table.set_axis(["caches", "wall s", "CPU s", "peak GB"], axis=1))
    yield "\nStages of a cold run, seconds:\n"
    yield markdown(pd.concat(stages, axis=1).median(axis=1).to_frame().T)


def fitted(tool: str, data: Path) -> dict[str, float]:
    """What one tool costs on the data sets in ``data``, and what the first set of draws is worth."""
    with scratch() as folder:
        shutil.copytree(data, folder / "data")
        worker = (
            ["Rscript", str(HERE / "peers.R")] if tool in PEERS else [sys.executable, str(HERE / "worker.py")]
        )
        used = child([*worker, tool, str(folder / "data")], caches=folder / "caches")
        times = pd.read_csv(folder / "data" / "times.csv")
        draws = pd.read_csv(folder / "data" / "draws_1.csv")
        slopes = np.stack([part[["score_1", "score_2"]].to_numpy() for _, part in draws.groupby("chain")])
        ess = min(float(array_stats.ess(slopes[..., arm], method="bulk")) for arm in (0, 1))
        sampling = times["sampling"][0]
        mean, sd = slopes.mean((0, 1)), slopes.std((0, 1))
        return used | {
            "tool": tool,
            "compile": times["compile"].sum(),
            "sampling": sampling,
            "ess": ess,
            "rate": ess / sampling,
            "hr": float(np.exp(mean[0])),
            "z": (mean[0], sd[0]),
        }


def peers(repeats: int) -> Iterator[str]:
    """Six landmarks of one cohort from process start to the last posterior, by every tool there is."""
    tools = ["ours", "default", "rows", *(tool for tool in PEERS if available(tool))]
    with scratch() as data:
        words = datasets.write_landmarks(data)
        runs = pd.DataFrame(
            [{"repeat": r} | fitted(tool, data) for r in range(repeats) for tool in tools]
        ).set_index(["repeat", "tool"])
    yield f"### Six landmarks: {words}; median of {repeats}\n"
    ratio = pd.DataFrame(
        {
            "time": runs["wall"] / runs["wall"].xs("ours", level="tool"),
            "rate": runs["rate"].xs("ours", level="tool") / runs["rate"],
        }
    )
    middle, ratio = (each.groupby("tool").median().loc[tools] for each in (runs.drop(columns="z"), ratio))
    table = middle[["wall", "compile", "sampling", "ess", "rate", "hr"]].assign(
        slower=ratio["time"], fewer=ratio["rate"]
    )
    names = [
        "start to six posteriors s",
        "of it compiling s",
        "sampling s",
        "ESS of the HR",
        "ESS per s",
        "HR",
    ]
    names += ["time / ours", "ours / ESS per s"]
    yield markdown(table.set_axis(names, axis=1).rename_axis("tool").reset_index())


def scaling(repeats: int) -> Iterator[str]:
    """One landmark with more and more patients: sampling alone, ours beside person-interval rows."""
    runs, tools = [], ["ours", "rows", *(tool for tool in SCALED_PEERS if available(tool))]
    for n in SIZES:
        with scratch() as data:
            datasets.write_synthetic(data, n)
            for repeat in range(repeats if n <= REPEATED_UP_TO else 1):
                runs += [{"n": n, "repeat": repeat} | fitted(tool, data) for tool in tools]
    table = pd.DataFrame(runs).groupby(["n", "tool"], sort=False)[["wall", "sampling", "rate", "gb"]].median()
    yield f"### More patients; median of {repeats}, above {REPEATED_UP_TO:,} patients one run\n"
    columns = ["start to posterior s", "sampling s", "ESS per s", "peak GB"]
    yield markdown(table.set_axis(columns, axis=1).reset_index())


def refits(repeats: int) -> Iterator[str]:
    """A grid of priors on one landmark of about 100 patients, in two processes."""
    yield f"### {REFITS} scenarios of one landmark, {JOBS} processes; median of {repeats}\n"
    yield from _scenarios(datasets.landmark_grid(REFITS), repeats)


def grid(repeats: int) -> Iterator[str]:
    """The pooled analysis under many assumptions, in two processes; once, since it takes minutes."""
    yield f"### 201 scenarios of `prrt_pooled`, {JOBS} processes; one run\n"
    yield from _scenarios(datasets.pooled_grid(), 1)


def _scenarios(text: str, repeats: int) -> Iterator[str]:
    runs = []
    for _ in range(repeats):
        with scratch() as folder:
            (folder / "grid.toml").write_text(text, encoding="utf-8")
            times = str(folder / "times.csv")
            worker = [sys.executable, str(HERE / "refits.py"), str(folder / "grid.toml"), str(JOBS), times]
            used = child(worker, caches=folder / "caches")
            done = pd.read_csv(times)
            # from the second result of each process on, nothing is compiled
            warm = done["done"].iloc[2 * JOBS :]
            rate = 60 * (len(warm) - 1) / (warm.iloc[-1] - warm.iloc[0])
            passed = int((done["gate"] == "passed").sum())
            runs.append((done["done"].iloc[0], used["wall"], rate, len(done), passed, used["gb"]))
    names = ["first result s", "all s", "refits a minute, warm", "scenarios", "passed the gate", "peak GB"]
    yield markdown(pd.DataFrame([np.median(runs, axis=0)], columns=names))


def registry(repeats: int) -> Iterator[str]:
    """Patients in Parquet files, read in pieces and fitted beside a hundred."""
    rows = []
    for n in REGISTRY_SIZES:
        with scratch() as folder:
            (folder / "files").mkdir()
            worker = [sys.executable, str(HERE / "registry.py")]
            child([*worker, "write", str(n), str(folder / "files")], caches=folder / "caches")
            for _ in range(repeats):
                child([*worker, "fit", str(n), str(folder / "files")], caches=folder / "caches")
                rows.append(pd.read_csv(folder / "files.csv").iloc[0])
    table = pd.DataFrame(rows).groupby("n", sort=False).median(numeric_only=True).reset_index()
    table = table.assign(n=[f"{n:,.0f}" for n in table["n"]], ratio=table["many"] / table["few"])
    yield f"### A registry; median of {repeats}\n"
    columns = {
        "n": "n",
        "read": "read and reduced s",
        "read_rate": "patients/s from files",
        "memory_rate": "patients/s in memory",
        "many": "posterior s",
        "few": "posterior of 100 s",
        "ratio": "posterior of n / of 100",
        "ess": "ESS of the HR",
        "gb": "peak GB",
    }
    yield markdown(table[list(columns)].set_axis(list(columns.values()), axis=1))


def available(tool: str) -> bool:
    package = R_PACKAGES.get(tool, tool)
    question = f"quit(status = !requireNamespace('{package}', quietly = TRUE))"
    there = (
        shutil.which("Rscript")
        and not subprocess.run(["Rscript", "-e", question], capture_output=True, check=False).returncode
    )
    if not there:
        print(f"{tool}: left out, because R's package {package} is not installed\n")
    return bool(there)


def versions() -> str:
    names = ["bayes-net", "pymc", "nutpie", "pytensor", "numba", "numpy"]
    here = [f"Python {sys.version.split()[0]}", *(f"{name} {version(name)}" for name in names)]
    if shutil.which("Rscript"):
        wanted = ", ".join(f"'{R_PACKAGES.get(tool, tool)}'" for tool in PEERS)
        code = f"for (p in intersect(c({wanted}), rownames(installed.packages()))) "
        code += "cat(p, as.character(packageVersion(p)), '\\n')"
        found = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=True).stdout
        here += [" ".join(line.split()) for line in found.splitlines()]
    return f"{datetime.now(UTC).date()}, {os.cpu_count()} cores; " + ", ".join(here) + "\n"


def markdown(table: pd.DataFrame) -> str:
    rows = [list(table.columns), ["---"] * len(table.columns)]
    rows += [[_shown(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


PARTS = {
    "end-to-end": end_to_end,
    "peers": peers,
    "scaling": scaling,
    "refits": refits,
    "grid": grid,
    "registry": registry,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure bayes-net beside other tools.")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which to run (default: all)")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    print(versions())
    for part in asked.parts or PARTS:
        for text in PARTS[part](asked.repeats):
            print(text, flush=True)
        print()
