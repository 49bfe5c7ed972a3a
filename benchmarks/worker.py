"""One process that fits every data set in a folder, and leaves draws and times there.

``worker.py ours FOLDER``: bayes_net's engine; ``laplace``: its approximation of the same posterior;
``default``: bayes_net as shipped (random walk, a baseline per arm); ``rows``: the same posterior as ``ours``
from a Poisson likelihood of one row a patient and interval, as survival tutorials write it in PyMC.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from datasets import HAZARD, INTERVALS, PRIORS, numbers, read

import bayes_net as bn

SAMPLER = bn.Sampler()


def ours(folder: Path, hazard: bn.Hazard, sampler: bn.Sampler = SAMPLER) -> list[dict]:
    """The engine's code read, or compiled, once, and a fit of each data set."""
    from bayes_net.compiled.code import code

    _, compiling = timed(code)
    exposures = {number: read(folder, number) for number in numbers(folder)}
    shape = bn.layout(list(exposures.values()))
    done = []
    for number, data in exposures.items():
        how = {"seed": number, "sampler": sampler, "shape": shape, "brief": True}
        fit, sampling = timed(lambda data=data, how=how: bn.fit(data, hazard, **how))
        keep(folder, number, fit["posterior"]["slope"])
        done.append({"number": number, "compile": compiling, "sampling": sampling})
        compiling = 0.0
    return done


def rows(folder: Path) -> list[dict]:
    """A Poisson row for every patient and interval entered, compiled for each data set."""
    done = []
    for number in numbers(folder):
        table = pd.read_csv(folder / f"rows_{number}.csv")
        compiled, compiling = timed(lambda table=table: bn.compile_model(person_interval_model(table)))
        fit, sampling = timed(
            lambda compiled=compiled, number=number: bn.sample(compiled, seed=number, sampler=SAMPLER)
        )
        keep(folder, number, fit["posterior"]["slope"])
        done.append({"number": number, "compile": compiling, "sampling": sampling})
    return done


def person_interval_model(table: pd.DataFrame):
    """Poisson regression of events on interval, arm and shrinkage with an offset of log exposure."""
    import pymc as pm

    level, arm, slope = PRIORS.level, PRIORS.arm_effect, PRIORS.slope
    interval, second = table["interval"].to_numpy() - 1, table["arm"].to_numpy()
    with pm.Model(coords={"arm": ["0", "1"], "interval": range(INTERVALS)}) as model:
        alpha = pm.Normal("alpha", level.mean, level.sd, dims="interval")
        effect = pm.Normal("effect", arm.mean, arm.sd)
        beta = pm.Normal("slope", slope.mean, slope.sd, dims="arm")
        eta = alpha[interval] + effect * second
        eta += beta[0] * table["score_1"].to_numpy() + beta[1] * table["score_2"].to_numpy()
        mu = table["exposure"].to_numpy() * pm.math.exp(eta)
        pm.Poisson("event", mu, observed=table["event"].to_numpy())
    return model


def timed(call):
    start = time.perf_counter()
    value = call()
    return value, time.perf_counter() - start


def keep(folder: Path, number: int, slope: xr.DataArray) -> None:
    draws = slope.transpose("chain", "draw", "arm").values
    chain = np.repeat(np.arange(draws.shape[0]), draws.shape[1])
    table = pd.DataFrame(draws.reshape(-1, 2), columns=["score_1", "score_2"]).assign(chain=chain)
    table.to_csv(folder / f"draws_{number}.csv", index=False)


if __name__ == "__main__":
    which, place = sys.argv[1], Path(sys.argv[2])
    done = {
        "ours": lambda: ours(place, HAZARD),
        "laplace": lambda: ours(place, HAZARD, replace(SAMPLER, method="laplace")),
        "default": lambda: ours(place, bn.Hazard()),
        "rows": lambda: rows(place),
    }[which]()
    pd.DataFrame(done).to_csv(place / "times.csv", index=False)
