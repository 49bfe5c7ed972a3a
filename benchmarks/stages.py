"""One run of the command line with a clock on its stages: ``stages.py TIMES.csv run SPEC --out DIR``."""

from __future__ import annotations

import importlib
import sys
import time
from collections import defaultdict

STARTED = time.perf_counter()
STAGES = {
    "prepare": ["analysis.prepare"],
    "compile": ["sampling.hazard_model", "sampling.compile_model"],
    "sampling": ["sampling.sample"],
    "diagnostics": [
        "results.gate",
        "results.loo",
        "sampling.log_likelihood",
        "sampling.log_prior",
        "sampling.draw_prior",
    ],
    "tables": ["analysis.hazard_ratio_table", "analysis.survival_table", "results.estimands.summarise"],
    "influence": ["analysis.influence", "analysis.power_scaling_table"],
    "figures": ["figures.draw", "plots.save", "figures.predictive_table"],
    "write": ["output.write_analysis"],
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
    from bayes_net.cli import app

    for stage, places in STAGES.items():
        for place in places:
            module, name = place.rsplit(".", 1)
            module = _module(module)
            setattr(module, name, clocked(stage, getattr(module, name)))
    seconds["import"] = time.perf_counter() - STARTED
    try:
        app(command)
    finally:
        seconds["other"] = time.perf_counter() - STARTED - sum(seconds.values())
        with open(times, "w") as file:
            file.writelines(f"{stage},{value}\n" for stage, value in seconds.items())


def _module(path: str):
    """A module of bayes_net, or one that a module of it calls by name."""
    first, *rest = path.split(".")
    module = importlib.import_module(f"bayes_net.{first}")
    for name in rest:
        module = getattr(module, name)
    return module


if __name__ == "__main__":
    main()
