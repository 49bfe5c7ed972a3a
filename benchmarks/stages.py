"""One run of the command line with a clock on its stages: ``stages.py TIMES.csv run SPEC --out DIR``."""

from __future__ import annotations

import importlib
import sys
import time
from collections import defaultdict

STARTED = time.perf_counter()
STAGES = {
    "prepare": ["workflow.analysis:prepare"],
    "compile": ["engine.nuts:code"],
    "sampling": ["inference.sampling:sample_posterior"],
    "diagnostics": [
        "workflow.analysis:gate",
        "workflow.analysis:loo",
        "inference.patients:log_likelihood",
        "inference.patients:log_prior",
        "inference.patients:draw_prior",
    ],
    "tables": ["workflow.patients:hazard_ratio_table", "results.patients:survival_table"],
    "influence": ["workflow.patients:influence", "results.patients:power_scaling_table"],
    "figures": ["workflow.write:draw", "workflow.write:illustrate", "workflow.patients:predictive_table"],
    "write": ["workflow.write:write"],
}
seconds: defaultdict[str, float] = defaultdict(float)
running: list[list[float]] = []


def clocked(stage: str, function):
    """``function`` with its time, less that of clocked functions it calls, added to ``stage``."""

    def wrapper(*args, **kwargs):
        running.append([0.0])
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            whole = time.perf_counter() - start
            seconds[stage] += whole - running.pop()[0]
            if running:
                running[-1][0] += whole

    return wrapper


def main() -> None:
    times, *command = sys.argv[1:]
    from bayes_net.cli.app import app

    for stage, places in STAGES.items():
        for place in places:
            path, _, name = place.partition(":")
            module = importlib.import_module(f"bayes_net.{path}")
            setattr(module, name, clocked(stage, getattr(module, name)))
    seconds["import"] = time.perf_counter() - STARTED
    try:
        app(command)
    finally:
        seconds["other"] = time.perf_counter() - STARTED - sum(seconds.values())
        with open(times, "w") as file:
            file.writelines(f"{stage},{value}\n" for stage, value in seconds.items())


if __name__ == "__main__":
    main()
