"""What every calibration shares: how trials are read, counted, resumed where cut off, and stored."""

from __future__ import annotations

import argparse
import json
import os
import platform
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayes_net as bn
from bayes_net.errors import CohortWarning

from .fingerprint import definitions

PATIENTS = (
    "data.assessments",
    "data.exposure",
    "data.intervals",
    "data.gauss",
    "data.landmarks",
    "data.terms",
    "assumptions.priors",
    "assumptions.hazard",
    "model.predictors",
    "engine.layout",
    "compiled.likelihood",
    "compiled.density",
    "engine.posterior",
    "engine.patients",
    "inference.sampling",
    "inference.patients",
)
"""The modules that every fit of patients rests on."""
PACKAGES = ("bayes-net", "pymc", "nutpie", "numpy", "pandas", "scipy")


def plain(values: Any) -> Any:
    """Values as JSON has them: lists in the place of tuples."""
    return json.loads(json.dumps(values))


def code(modules: Iterable[str]) -> dict[str, dict]:
    """The definitions that a stored result depends on: whatever changes in these modules may change it."""
    return {"definitions": definitions(modules)}


def versions() -> dict[str, str]:
    """Those of Python and of what computes fits."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def read_trial(
    parts: Iterable[tuple[pd.DataFrame, pd.DataFrame]], arms: Sequence[str], **how: str
) -> bn.Cohort:
    """A trial read from the tables of its arms, patients and scans with times in days, as a user's are."""
    patients, scans = (pd.concat(part, ignore_index=True) for part in zip(*parts, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        return bn.read_cohort(patients, scans, time_unit="days", arms=arms, **how)


def interval(draws: np.ndarray, truth: float) -> dict[str, Any]:
    """Mean and SD of a posterior, and whether its 95 % interval covers the truth."""
    lower, upper = np.quantile(draws, [0.025, 0.975])
    return {"mean": draws.mean(), "sd": draws.std(), "covered": bool(lower <= truth <= upper)}


def summary(found: list[dict], keys: Sequence[str], *, truth: str = "truth") -> list[dict]:
    """Coverage and mean distance from the truth, with its standard error, by ``keys``."""
    table = pd.DataFrame(found)
    table["off"] = table["mean"] - table[truth]
    return [
        dict(zip(keys, key, strict=True))
        | {
            "trials": len(part),
            "covered": int(part["covered"].sum()),
            "bias": round(part["off"].mean(), 5),
            "bias_se": round(part["off"].std() / np.sqrt(len(part)), 5),
            "posterior_sd": round(part["sd"].mean(), 5),
            "sd_of_mean": round(float(np.sqrt((part["sd"] ** 2).sum()) / len(part)), 5),
            "events": round(part["events"].mean(), 1),
        }
        for key, part in table.groupby(list(keys), sort=False)
    ]


def arguments(doc: str | None, stored: Path | None, **given: float | str) -> argparse.Namespace:
    """What the command line asks for: ``--out``, and values by name, of which the defaults are given."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=stored)
    for name, value in given.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args()


def store(
    path: Path, modules: Iterable[str], content: Mapping[str, Any], *, show: Sequence[str] = ()
) -> None:
    """Write a result with its date, versions and code, and print the tables to ``show``."""
    about = {"date": datetime.now(UTC).date().isoformat(), "versions": versions(), "code": code(modules)}
    _replace(path, (json.dumps(about | dict(content), indent=1, default=np.generic.item) + "\n").encode())
    for name in show:
        print(pd.DataFrame(content[name]).to_string(index=False))


def trials(count: int, rows: Callable[[int], list[dict]], partial: Path, wanted: Mapping) -> list[list[dict]]:
    """The rows of every trial; those that ``partial`` has of the same ``wanted`` are not computed again."""
    done = resumed(partial, wanted)
    with partial.open("a", encoding="utf-8") as file:
        for number in range(len(done), count):
            done.append(rows(number))
            file.write(json.dumps(done[-1]) + "\n")
            file.flush()
            print(f"{number + 1} of {count}", flush=True)
    return done


def resumed(partial: Path, wanted: Mapping) -> list[list[dict]]:
    """The trials in ``partial``, if they belong to ``wanted``; what was half-written is cut off."""
    lines = partial.read_bytes().splitlines(keepends=True) if partial.exists() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    if not whole or json.loads(whole[0]) != wanted:
        whole = [(json.dumps(wanted) + "\n").encode()]
    _replace(partial, b"".join(whole))
    return [json.loads(line) for line in whole[1:]]


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    os.replace(beside, path)
