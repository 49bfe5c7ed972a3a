"""What comes with the package: analyses, columns of evidence, the gate, and the stored calibration."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

from sphinx.errors import ExtensionError

import bayes_net as bn
from bayes_net.checks.gate import MAX_RHAT, MIN_BFMI
from bayes_net.evidence.table import COLUMNS, REQUIRED, read_evidence
from bayes_net.schema import MIN_ESS
from bayes_net.specification.read import read_specification
from bayes_net.specification.shipped import shipped_models
from bayes_net.tables.shipped import models_folder
from live.markdown import table

EXAMPLE = "N10"
"""The row of NETTER-1's numbers that the columns are shown with."""


def models() -> str:
    """The shipped analyses."""
    rows = [(f"`{name}`", read_specification(path).title) for name, path in shipped_models().items()]
    return table(("Name", "What it does"), rows)


def columns() -> str:
    """The columns of a file of published numbers, each with what it has in one row."""
    told = tomllib.loads(Path(__file__).with_name("told.toml").read_text(encoding="utf-8"))["columns"]
    if list(told) != list(COLUMNS):
        raise ExtensionError(f"columns of evidence are {COLUMNS}; docs/live/told.toml tells of {list(told)}")
    numbers = read_evidence(models_folder() / "data" / "netter1.csv").table
    example = numbers[numbers["id"] == EXAMPLE].iloc[0]
    rows = [
        (f"`{name}`", "yes" if name in REQUIRED else "", words, _shown(example, name))
        for name, words in told.items()
    ]
    return table(("Column", "Required", "What it holds", "Example"), rows)


def _shown(row, name: str) -> str:
    if name == "note":
        return "free text"
    value = row.get(f"printed_{name}", row[name])
    if value == "" or value != value:
        return ""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def gate() -> str:
    """The diagnostics gate, with its thresholds."""
    rows = [
        ("R-hat (rank-normalised)", f"at most {MAX_RHAT:g}", "The chains agree."),
        ("bulk ESS", f"at least {MIN_ESS}", "Each reported estimate is known well enough."),
        ("tail ESS", f"at least {MIN_ESS}", "So are the limits of its interval."),
        ("divergences", "none", "The sampler noticed no part of the posterior that it could not follow."),
        ("E-BFMI", f"at least {MIN_BFMI:g}", "The sampler moved far enough to reach the tails."),
    ]
    return table(("Check", "Threshold", "What it says"), rows)


def calibration() -> str:
    """How often 95 % intervals held a known truth, from the stored simulations."""
    folder = Path(bn.__file__).parent.parent / "tests" / "calibration"
    patients = json.loads((folder / "coverage.json").read_text(encoding="utf-8"))
    published = json.loads((folder / "published.json").read_text(encoding="utf-8"))
    visits = json.loads((folder / "between_scans.json").read_text(encoding="utf-8"))
    joint = json.loads((folder / "any_time.json").read_text(encoding="utf-8"))
    errors = json.loads((folder / "measurement.json").read_text(encoding="utf-8"))
    rows = [
        (f"patients, {arm['arm']}", "slope", _share(arm["covered"], arm["intervals"]), _error(arm, patients))
        for arm in patients["by_arm"]
    ]
    rows += [
        ("published numbers", q["quantity"], _share(q["covered"], q["trials"]), f"{q['bias_in_sd']:+.2f}")
        for q in published["quantities"]
    ]
    rows += [
        (
            f"progression {row['progression']}, {row['landmark']}",
            "difference of the arms' slopes" if row["of"] == "difference" else f"slope, {row['of']} arm",
            _share(row["covered"], row["trials"]),
            f"{row['bias'] / row['posterior_sd']:+.2f}",
        )
        for row in visits["rows"]
    ]
    rows += [
        (
            f"all follow-up, {_truth(row['truth'])}",
            f"slope, {row['endpoint'].upper()}, {row['arm']} arm",
            _share(row["covered"], row["trials"]),
            f"{row['bias'] / row['posterior_sd']:+.2f}",
        )
        for row in joint["rows"]
    ]
    rows += [
        (
            f"scans with an error of {100 * errors['design']['sd']:g} %, {row['by']}",
            "difference of the arms' slopes" if row["of"] == "difference" else f"slope, {row['of']} arm",
            _share(row["covered"], row["trials"]),
            f"{row['bias'] / row['posterior_sd']:+.2f}",
        )
        for row in errors["rows"]
    ]
    rows += _families(folder)
    headings = ("Data", "Quantity", "Intervals that held the truth", "Mean error, posterior SDs")
    when = (
        f"Run on {patients['date']} (patients), {visits['date']} (progression), {joint['date']} (all "
        f"follow-up), {errors['date']} (scans with error) and {published['date']} (published numbers). "
        f"{_large(visits)} {_worded(joint)}"
    )
    return f"{table(headings, rows)}\n\n{when}"


def _families(folder: Path) -> list[tuple[str, str, str, str]]:
    """The rows of response, illness-death and imputed covariates, without planted errors, as stored."""
    found = []
    for name, label in FAMILIES.items():
        path = folder / f"{name}.json"
        stored = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
        for row in stored:
            if (words := label(row)) is not None:
                off = f"{row['bias'] / row['posterior_sd']:+.2f}"
                found.append((*words, _share(row["covered"], row["trials"]), off))
    return found


def _response(row: dict) -> tuple[str, str] | None:
    if row["threshold"] != "stated":
        return None
    return f"response, {_truth(row['truth'])}", f"slope, {row['endpoint'].upper()}, {row['arm']} arm"


def _step(row: dict) -> tuple[str, str] | None:
    if row["population"] in ("ignored", "no entry"):
        return None
    what = row["of"] if row["of"] == "survival" else f"slope, {row['of']}"
    return f"illness-death ({row['population']}), {_truth(row['association'])}", f"{what}, {row['arm']} arm"


def _imputed(row: dict) -> tuple[str, str] | None:
    return (f"{100 * row['missing']:.0f} % missing, imputed", row["of"]) if row["how"] == "imputed" else None


def _truth(name: str) -> str:
    return "no association" if name == "none" else name


FAMILIES: dict[str, Callable[[dict], tuple[str, str] | None]] = {
    "responses": _response,
    "steps": _step,
    "imputed": _imputed,
}
"""By stored result, how its rows are called; None for those with a planted error."""


def _large(visits: dict) -> str:
    """What dating progression at the scan does where priors do not matter."""
    design = visits["design"]
    found = {
        (row["landmark"], row["progression"]): f"{design['slope'] + row['bias']:.3f}"
        for row in visits["large"]
        if row["of"] == "fast"
    }
    each = (
        f"at {label} {mean} between scans and {found[label, 'at the scan']} at the scan"
        for (label, how), mean in found.items()
        if how == "between scans"
    )
    large = f"{design['patients_of_large']} patients an arm, whose slope is {design['slope']:g}"
    return f"In trials of {large}, the mean slope of the fast arm is {'; '.join(each)}."


def _worded(joint: dict) -> str:
    """How often a word is said where there is nothing to say, and how far large trials are off."""
    n, said, design = joint["design"]["trials"]["none"], joint["worded"], joint["design"]
    together, alone = (100 * said[f"pfs and os, {how}"] / n for how in ("together", "each by itself"))
    off = {
        (row["truth"], row["endpoint"], row["progression"]): f"{row['bias']:+.3f}"
        for row in joint["large"]
        if row["arm"] == "fast"
    }
    each = "; ".join(
        f"{design['slopes'][truth]:g}: PFS {off[truth, 'pfs', 'between scans']} between scans and "
        f"{off[truth, 'pfs', 'at the scan']} at the scan, OS {off[truth, 'os', 'between scans']}"
        for truth in design["slopes"]
    )
    return (
        f"In {n} trials of two arms without any association, {together:.0f} % of runs of PFS and OS say at "
        f"least “probably” of a hazard ratio of all follow-up; {alone:.0f} % would if each were judged by "
        f"itself. In trials of {design['patients_of_large']} patients an arm its mean error in the fast arm "
        f"is, by the true slope, {each}."
    )


def _share(covered: int, trials: int) -> str:
    return f"{covered} of {trials}: {100 * covered / trials:.1f} %"


def _error(arm: dict, patients: dict) -> str:
    """The mean over landmarks of the mean error in posterior SDs."""
    each = [x["bias"] / x["posterior_sd"] for x in patients["by_landmark"] if x["arm"] == arm["arm"]]
    return f"{sum(each) / len(each):+.2f}"
