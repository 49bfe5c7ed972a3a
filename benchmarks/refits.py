"""A grid of scenarios, and when each was done: ``refits.py SPECIFICATION.toml JOBS TIMES.csv``.

Seconds since the process started, and of its CPU: of one process that is what refits cost.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

STARTED = time.perf_counter()

if __name__ == "__main__":
    import pandas as pd

    import bayes_net as bn
    from bayes_net.inference import sampling, synthesis
    from bayes_net.schema import LAPLACE

    methods: list[str] = []
    original = sampling.sample_posterior

    def noted(*args, **kwargs):
        tree = original(*args, **kwargs)
        methods.append(tree.attrs["method"])
        return tree

    sampling.sample_posterior = synthesis.sample_posterior = noted
    done: list[tuple[float, float, int]] = []

    def note(name: str, number: int, of: int) -> None:
        wall, approximated = time.perf_counter() - STARTED, sum(each == LAPLACE for each in methods)
        done.append((wall, time.process_time(), approximated))
        methods.clear()

    found = bn.sensitivity(
        bn.read_specification(Path(sys.argv[1])),
        jobs=int(sys.argv[2]),
        progress=note,
    )
    gates = found.hazard_ratios.groupby("scenario", sort=False)["gate"].first()
    print(gates.value_counts().to_dict())
    times = pd.DataFrame(done, columns=["done", "cpu", "approximated"])
    times.assign(gate=gates.to_numpy()).to_csv(sys.argv[3], index=False)
