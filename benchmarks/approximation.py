"""The Laplace form of landmark models beside long chains: ``approximation.py ERRORS.csv``."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
from arviz_stats.base import array_stats

import bayes_net as bn
from bayes_net.schema import IMPORTANCE_ESS, PARETO_K
from bayes_net.specification.shipped import find_specification

EVERY = 5
"""Of the analysis's models one in so many."""
LONG = bn.Sampler(draws=5000, tune=1000)

if __name__ == "__main__":
    prepared = bn.prepare(bn.read_specification(find_specification("netter1_synthetic")))
    rows = []
    for job in prepared.jobs[::EVERY]:
        hazard = prepared.plan.hazard(job.measure)
        exact = bn.fit(job.data, hazard, seed=1, sampler=LONG)["posterior"]
        start = time.process_time()
        tree = bn.fit(
            job.data, hazard, seed=2, sampler=replace(prepared.sampler, method="laplace"), brief=True
        )
        used = time.process_time() - start
        if tree.attrs["method"] != "laplace":
            print(f"{job.label}: {tree.attrs['method']}")
            continue
        k, size = (float(tree["sample_stats"][name][0]) for name in (PARETO_K, IMPORTANCE_ESS))
        for name, draws in tree["posterior"].data_vars.items():
            both = (x.transpose(..., "chain", "draw").values for x in (draws, exact[name]))
            for x, y in zip(*(v.reshape(-1, *v.shape[-2:]) for v in both), strict=True):
                error = np.hypot(*(array_stats.mcse(v, method="mean") for v in (x, y)))
                rows.append(
                    {
                        "model": job.label,
                        "parameter": name,
                        "off": abs(x.mean() - y.mean()) / y.std(),
                        "error": error / y.std(),
                        "ratio": x.std() / y.std(),
                        "k": k,
                        "ess": size,
                        "cpu": used,
                    }
                )
    pd.DataFrame(rows).to_csv(sys.argv[1], index=False)
