"""Virtual trials that resemble NETTER-1: matched parameters, printed margins, and what no paper prints.

From the root of the repository, in a few minutes on two cores:

    python -m tests.calibration.virtual_trials

The result is stored as ``models/data/virtual_trials.json``: under ``arms`` what all numbers make it, and
under ``without`` the arms as they are matched without the numbers of a study.
"""

from __future__ import annotations

import argparse
import json
import re
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bayes_net.simulate.match import match, predictive, quantities
from bayes_net.simulate.printed import PATIENTS
from bayes_net.simulate.trials import parameters

from .fingerprint import definitions

STORED = Path(__file__).parents[2] / "models" / "data" / "virtual_trials.json"
SEED = 20250225
PARTICLES, FIRST, REPLICATES = 400, 20_000, 40
MODULES = ("simulate.trials", "simulate.printed", "simulate.match")
OTHERS = (("Halperin 2024", "177Lu"),)
"""Studies beside NETTER-1 to whose numbers an arm is matched, named as in the evidence."""
USED = {"data.intervals": ("inverse_cumulative",)}
"""What those modules take from others."""


def code() -> dict[str, list[str]]:
    """The definitions that the stored numbers depend on."""
    used = {name: definitions([module])[name] for module, names in USED.items() for name in names}
    return definitions(MODULES) | used


def one_arm(job: tuple[str, str, int, int, int]) -> dict:
    """Everything that is stored of an arm, ``without`` a study if one is named."""
    arm, without, particles, first, replicates = job
    rng = np.random.default_rng([SEED, list(PATIENTS).index(arm), *without.encode()])
    matched = match(arm, rng, particles=particles, first=first, without=without)
    return {
        "limit": matched.limit,
        **predictive(matched, rng, replicates=replicates),
        **quantities(matched, rng, replicates=replicates),
        "parameters": {name: values[:, 0] for name, values in parameters(matched.z).items()},
    }


def run(particles: int = PARTICLES, first: int = FIRST, replicates: int = REPLICATES) -> dict:
    """Both arms at once, then those that other studies inform, without these."""
    used, size = code(), (particles, first, replicates)
    names = [(arm, "") for arm in PATIENTS] + [(arm, study) for study, arm in OTHERS]
    with ProcessPoolExecutor(2) as pool:
        made = list(pool.map(one_arm, ((*name, *size) for name in names)))
    arms = made[: len(PATIENTS)]
    without: dict[str, dict] = {}
    for (study, arm), found in zip(OTHERS, made[len(PATIENTS) :], strict=True):
        without.setdefault(study, {})[arm] = found
    design = {"seed": SEED, "particles": particles, "first": first, "replicates": replicates}
    outside = [
        f"{name}: {row['margin']}"
        for name, arm in zip(PATIENTS, arms, strict=True)
        for row in arm["margins"]
        if not row["inside"]
    ]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "code": {"definitions": used},
        "design": design,
        "outside": outside,
        "arms": dict(zip(PATIENTS, arms, strict=True)),
        "without": without,
    }


def plain(value: object) -> object:
    """Numbers with four digits, for JSON."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.4g}")
    return value.item() if isinstance(value, np.generic) else value


def written(result: dict) -> str:
    """JSON in which a list of numbers takes one line."""
    text = json.dumps(plain(result), indent=1)
    return re.sub(r"\[[-+.,\de\s]+\]", lambda numbers: " ".join(numbers[0].split()), text) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Virtual trials that resemble NETTER-1.")
    parser.add_argument("--particles", type=int, default=PARTICLES)
    parser.add_argument("--first", type=int, default=FIRST)
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--out", type=Path, default=STORED)
    asked = parser.parse_args()
    result = run(asked.particles, asked.first, asked.replicates)
    asked.out.write_text(written(result), encoding="utf-8")
    print("outside their predictive intervals:", ", ".join(result["outside"]) or "none")
