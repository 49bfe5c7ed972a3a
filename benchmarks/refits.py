"""A grid of scenarios, and when each was done: ``refits.py SPECIFICATION.toml JOBS TIMES.csv``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

STARTED = time.perf_counter()

if __name__ == "__main__":
    import pandas as pd

    import bayes_net as bn

    done: list[float] = []
    found = bn.sensitivity(
        bn.read_specification(Path(sys.argv[1])),
        jobs=int(sys.argv[2]),
        progress=lambda name, number, of: done.append(time.perf_counter() - STARTED),
    )
    gates = found.hazard_ratios.groupby("scenario", sort=False)["gate"].first()
    print(gates.value_counts().to_dict())
    pd.DataFrame({"done": done, "gate": gates.to_numpy()}).to_csv(sys.argv[3], index=False)
