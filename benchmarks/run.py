"""What a run costs, beside other tools on the same data and the same machine: see README.md.

    python benchmarks/run.py [end-to-end] [peers] [scaling] [refits] [grid] [laplace] [registry]
                             [--repeats 3] [--scenarios 200]
    python benchmarks/run.py --stored

Everything runs one after another in one process tree, and ratios are taken within a repeat, because a
shared machine is noisy. Prints Markdown tables, each number with the range of its repeats, and keeps them in
``results.json``, by part and stack; ``--stored`` prints what is there.
"""

from __future__ import annotations

import argparse
import json
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
from typing import NamedTuple

import datasets
import numpy as np
import pandas as pd
from arviz_stats.base import array_stats

HERE = Path(__file__).parent
SPECIFICATION = "netter1_synthetic"
OURS = ("ours", "laplace", "default", "rows")
PEERS = ("rstanarm", "rstan", "brms", "jags")
R_PACKAGES = {"jags": "rjags"}
SIZES = (100, 1_000, 10_000)
REGISTRY_SIZES = (100_000, 10_000_000)
JOBS = 2
RESULTS = HERE / "results.json"
SCALED_PEERS = ("rstanarm", "rstan", "brms")
"""JAGS, slowest by far at a hundred patients, is left out of more."""
REPEATED_UP_TO = 1_000
"""Above this many patients person-interval rows take minutes, so that one repeat has to do."""


class Table(NamedTuple):
    """A table of the results: its cells are texts, numbers, or the median, least and most of repeats."""

    title: str
    frame: pd.DataFrame


def spread(runs: pd.DataFrame, by: str) -> pd.DataFrame:
    """Median, least and most of every column, by the values of ``by`` in their order."""
    found = runs.groupby(by, sort=False).agg(lambda x: (float(x.median()), float(x.min()), float(x.max())))
    return found.reset_index()


def child(command: list[str], *, caches: Path, good: tuple[int, ...] = (0,)) -> dict[str, float]:
    """Seconds and peak memory of a process; PyTensor, numba and matplotlib cache in the folder ``caches``."""
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    fresh = {
        "PYTENSOR_FLAGS": ",".join(filter(None, [flags, f"base_compiledir={caches / 'pytensor'}"])),
        "BAYES_NET_CACHE": str(caches / "bayes-net"),
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


def end_to_end(repeats: int) -> Iterator[Table]:
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
    table = spread(pd.DataFrame(runs), "caches").set_axis(["caches", "wall s", "CPU s", "peak GB"], axis=1)
    yield Table(f"`bayes-net run {SPECIFICATION}`", table)
    table = spread(pd.concat(stages, axis=1).T.assign(run="cold"), "run")
    yield Table("Stages of a cold run, seconds", table)


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
        return used | {
            "tool": tool,
            "compile": times["compile"].sum(),
            "sampling": sampling,
            "ess": ess,
            "rate": ess / sampling,
            "hr": float(np.exp(slopes[..., 0].mean())),
        }


def peers(repeats: int) -> Iterator[Table]:
    """Six landmarks of one cohort from process start to the last posterior, by every tool there is."""
    tools = [*OURS, *(tool for tool in PEERS if available(tool))]
    with scratch() as data:
        words = datasets.write_landmarks(data)
        runs = pd.DataFrame(
            [{"repeat": r} | fitted(tool, data) for r in range(repeats) for tool in tools]
        ).set_index(["repeat", "tool"])
    runs["slower"] = runs["wall"] / runs["wall"].xs("ours", level="tool")
    runs["fewer"] = runs["rate"].xs("ours", level="tool") / runs["rate"]
    names = {
        "wall": "start to six posteriors s",
        "cpu": "CPU s",
        "compile": "of it compiling s",
        "sampling": "sampling s",
        "ess": "ESS of the HR",
        "rate": "ESS per s",
        "hr": "HR",
        "slower": "time / ours",
        "fewer": "ours / ESS per s",
    }
    yield Table(
        f"Six landmarks: {words}", spread(runs.reset_index()[["tool", *names]], "tool").rename(columns=names)
    )


def scaling(repeats: int) -> Iterator[Table]:
    """One landmark with more and more patients: sampling alone, ours beside person-interval rows."""
    runs, tools = [], ["ours", "laplace", "rows", *(tool for tool in SCALED_PEERS if available(tool))]
    for n in SIZES:
        with scratch() as data:
            datasets.write_synthetic(data, n)
            for _ in range(repeats if n <= REPEATED_UP_TO else 1):
                runs += [{"n": f"{n:,}, {tool}"} | fitted(tool, data) for tool in tools]
    names = {
        "n": "n, tool",
        "wall": "start to posterior s",
        "cpu": "CPU s",
        "sampling": "sampling s",
        "rate": "ESS per s",
        "gb": "peak GB",
    }
    table = spread(pd.DataFrame(runs)[list(names)], "n").rename(columns=names)
    yield Table(f"More patients; above {REPEATED_UP_TO:,} patients one run", table)


def refits(repeats: int, scenarios: int) -> Iterator[Table]:
    """A grid of priors on one landmark of about 100 patients, sampled and approximated."""
    title = f"{scenarios} scenarios of one landmark of 95 patients"
    yield _scenarios(title, datasets.landmark_grid(scenarios), repeats)


def grid(repeats: int, scenarios: int) -> Iterator[Table]:
    """The pooled analysis under many assumptions; once, since it takes minutes."""
    yield _scenarios(f"{scenarios + 1} scenarios of `prrt_pooled`", datasets.pooled_grid(scenarios), 1)


def _scenarios(title: str, text: str, repeats: int) -> Table:
    """One process, whose CPU time is that of its refits, and then ``JOBS`` side by side."""
    runs = []
    for _ in range(repeats):
        for method in ("nuts", "laplace"):
            with scratch() as folder:
                (folder / "grid.toml").write_text(datasets.sampled_by(method, text), encoding="utf-8")
                found = {}
                for jobs in (1, JOBS):
                    worker = [sys.executable, str(HERE / "refits.py"), str(folder / "grid.toml"), str(jobs)]
                    used = child([*worker, str(folder / "times.csv")], caches=folder / "caches")
                    found[jobs] = used, pd.read_csv(folder / "times.csv")
                # compiled code is in its folder from the first process on
                (_, alone), (used, done) = found[1], found[JOBS]
                # from the second result of each process on, nothing is loaded
                each = alone["cpu"].iloc[2:].diff().mean()
                warm = done["done"].iloc[min(2 * JOBS, len(done) - 2) :]
                runs.append(
                    {
                        "draws from": method,
                        "first result, CPU s": alone["cpu"].iloc[0],
                        "CPU s a refit, warm": each,
                        f"a minute on {JOBS} free cores": 60 * JOBS / each,
                        f"first result of {JOBS} processes s": done["done"].iloc[0],
                        "all s": used["wall"],
                        "refits a minute, warm": 60 * (len(warm) - 1) / (warm.iloc[-1] - warm.iloc[0]),
                        "passed the gate": int((done["gate"] == "passed").sum()),
                        "approximated": int(alone["approximated"].sum()),
                        "peak GB": used["gb"],
                    }
                )
    return Table(title, spread(pd.DataFrame(runs), "draws from"))


def laplace(repeats: int) -> Iterator[Table]:
    """What the Laplace form is off by, against the same models sampled for long."""
    with scratch() as folder:
        child([sys.executable, str(HERE / "approximation.py"), str(folder / "error.csv")], caches=folder)
        found = pd.read_csv(folder / "error.csv")
    names = [
        "mean off, posterior SDs",
        "of it Monte-Carlo error",
        "SD / exact SD",
        "k",
        "importance ESS",
        "CPU s",
    ]
    table = spread(found.drop(columns="model"), "parameter").set_axis(["parameter", *names], axis=1)
    models = found["model"].nunique()
    yield Table(
        f"Laplace form of {models} landmark models of `{SPECIFICATION}`; median and range over these", table
    )


def registry(repeats: int) -> Iterator[Table]:
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
    table = pd.DataFrame(rows)
    table = table.assign(n=[f"{n:,.0f}" for n in table["n"]], ratio=table["many"] / table["few"])
    yield Table("A registry", spread(table[list(columns)], "n").rename(columns=columns))


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
    return f"{datetime.now(UTC).date()}, {os.cpu_count()} cores; " + ", ".join(here)


def stack() -> str:
    return f"Python {sys.version_info[0]}.{sys.version_info[1]}, pymc {version('pymc')}"


def keep(part: str, repeats: int, tables: list[Table]) -> None:
    """Put the tables of a part and this stack in ``RESULTS``, in the place of those that were there."""
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    stored.setdefault(part, {})[stack()] = {
        "versions": versions(),
        "repeats": repeats,
        "tables": [{"title": t.title, **t.frame.to_dict(orient="split", index=False)} for t in tables],
    }
    RESULTS.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def stored() -> Iterator[str]:
    """All stored tables as Markdown."""
    for part, stacks in json.loads(RESULTS.read_text(encoding="utf-8")).items():
        for name, found in stacks.items():
            for table in found["tables"]:
                frame = pd.DataFrame(table["data"], columns=table["columns"])
                yield f"{table['title']}; {name}, median of {found['repeats']} (`{part}`)\n"
                yield markdown(frame) + f"\n\n{found['versions']}\n"


def markdown(table: pd.DataFrame) -> str:
    rows = [list(table.columns), ["---"] * len(table.columns)]
    rows += [[_shown(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        middle, least, most = map(_shown, value)
        return middle if least == most else f"{middle} ({least} to {most})"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


PARTS = {
    "end-to-end": end_to_end,
    "peers": peers,
    "scaling": scaling,
    "refits": refits,
    "grid": grid,
    "laplace": laplace,
    "registry": registry,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure bayes-net beside other tools.")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which to run (default: all)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scenarios", type=int, default=200, help="of refits and grid (default: 200)")
    parser.add_argument("--stored", action="store_true", help="print what is stored, and run nothing")
    asked = parser.parse_args()
    if asked.stored:
        print("\n".join(stored()))
        sys.exit()
    print(versions())
    for part in asked.parts or PARTS:
        more = {"scenarios": asked.scenarios} if part in ("refits", "grid") else {}
        tables = list(PARTS[part](asked.repeats, **more))
        for table in tables:
            print(f"### {table.title}; median of {asked.repeats}\n\n{markdown(table.frame)}\n", flush=True)
        keep(part, asked.repeats, tables)
