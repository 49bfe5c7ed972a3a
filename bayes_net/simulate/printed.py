"""What NETTER-1 printed of each arm, and what a virtual trial would have printed in its place.

Sources: Pavel et al. 2025, Cancer Medicine; Strosberg et al. 2017, doi:10.1056/NEJMoa1607427; Halperin et al.
2024, doi:10.1200/OP.23.00789.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log

import numpy as np

from bayes_net.simulate.trials import (
    LABELS,
    NAMES,
    PRIMARY,
    Trials,
    cox,
    odds_ratio,
    risk_sets,
    summary,
    survival,
)

PATIENTS = {"control": 114, "177Lu": 117}
"""Randomised (Pavel 2025, 3.1)."""
ROWS = {"week 12": 0, "week 48": 3, "week 72": 5}
"""Visits with printed rows of best change."""
REVIEW_SD = 0.2
"""Between central and local review, of the log cumulative hazard (assumption)."""
SECOND_CYCLE, FOURTH_CYCLE = 0, 2
"""The visits after them: weeks 12 and 36."""
SHARES = (19 / 51, 21 / 47)
"""Of the mid-treatment cohort with response after two cycles and at completion. It responded more often than
NETTER-1's patients, so its odds ratio is compared at these shares, not at 30 points."""


@dataclass(frozen=True)
class Printed:
    """A number in print, where it stands, and whether parameters are matched to it."""

    value: float
    source: str
    matched: bool = True


def _row(week: str, n: int, median: float, greatest: float, least: float) -> dict[str, Printed]:
    """A row of best shrinkage: the printed change with its sign turned."""
    values = {"n": n, "median": median, "greatest": greatest, "least": least}
    return {f"{name}, {week}": Printed(value, "Pavel 2025, 3.2") for name, value in values.items()}


PRINTED: Mapping[str, Mapping[str, Printed]] = {
    "control": {
        "at risk, 150d": Printed(64, "Pavel 2025, 3.3"),
        "at risk, 72w": Printed(19, "Pavel 2025, 3.2"),
        "at risk, no limit": Printed(86, "Pavel 2025, figure 1"),
        **_row("week 12", 80, -2.9, 54.6, -18.0),
        **_row("week 48", 31, 0.0, 46.4, -8.5),
        **_row("week 72", 14, 10.6, 46.4, -5.0),
        "any shrinkage": Printed(34, "Pavel 2025, 3.2"),
        "30 points or more": Printed(7, "Pavel 2025, 3.2"),
        "S(8.5), central": Printed(0.5, "Pavel 2025, 1, as median"),
        "S(20), central": Printed(0.108, "Strosberg 2017, abstract"),
        "se at the printed slope, 150d": Printed(0.303, "Pavel 2025, 3.3, from limits"),
        "se at the printed slope, no limit": Printed(0.125, "Pavel 2025, 3.3, from limits and p-value"),
        "log hazard ratio, 150d": Printed(10 * log(0.918), "Pavel 2025, 3.3", matched=False),
        "log hazard ratio, no limit": Printed(10 * log(0.967), "Pavel 2025, 3.3", matched=False),
    },
    "177Lu": {
        "at risk, 72w": Printed(52, "Pavel 2025, 3.2"),
        "at risk, no limit": Printed(102, "Pavel 2025, figure 1"),
        **_row("week 12", 99, 0.0, 38.5, -19.2),
        **_row("week 48", 66, 12.3, 60.0, -11.4),
        **_row("week 72", 49, 10.8, 64.0, -11.4),
        "any shrinkage": Printed(78, "Pavel 2025, 3.2"),
        "30 points or more": Printed(18, "Pavel 2025, 3.2 and 3.4"),
        "S(20), central": Printed(0.652, "Strosberg 2017, abstract"),
        "S(25), below 30 points": Printed(0.5, "Pavel 2025, 3.4, as median"),
        "se at the printed slope, no limit": Printed(0.079, "Pavel 2025, abstract, from limits"),
        "log odds ratio, early to late": Printed(log(20.9), "Halperin 2024, abstract"),
        "S(17.6), 30 points or more": Printed(0.5, "Pavel 2025, 3.4, as median", matched=False),
        "log hazard ratio, no limit": Printed(10 * log(1.002), "Pavel 2025, abstract", matched=False),
    },
}
"""Numbers of patients, points of shrinkage, shares, and log hazard ratios and standard errors per 10 points.

What tells of slopes is not matched: a synthesis reads it as data. Standard errors are those of the partial
likelihood at the printed slope, whatever the trial's own estimate is. Numbers at 6 months of follow-up, and
until fewer than 10 % remain, are left out: they count by a rule that is not printed.
"""


def margins(trials: Trials, arm: str, rng: np.random.Generator, *, matched: bool = True) -> np.ndarray:
    """What each trial would have printed, (trial, margin), in the order of ``PRINTED``; only what is matched,
    or all of it. Missing where nobody was there."""
    best, entered = risk_sets(trials)
    deep = entered[-1] & (best[-1] >= 30)
    found = dict(zip((f"at risk, {label}" for label in LABELS), entered.sum(-1), strict=True))
    for week, visit in ROWS.items():
        by_then = trials.reading[..., : visit + 1].max(-1)
        row = _range(by_then, trials.clear[..., visit])
        found |= {f"{name}, {week}": value for name, value in row.items()}
    found["any shrinkage"] = (entered[-1] & (best[-1] > 0)).sum(-1)
    found["30 points or more"] = deep.sum(-1)

    primary = np.minimum(trials.pfs, trials.followed - PRIMARY)
    shift = np.exp(REVIEW_SD * rng.standard_normal(len(primary)))
    for at in (8.5, 20.0):
        curve = survival(primary, trials.event & (primary == trials.pfs), at, np.ones_like(deep))
        found[f"S({at:g}), central"] = curve**shift
    found["S(25), below 30 points"] = survival(trials.pfs, trials.event, 25.0, ~deep)
    found["S(17.6), 30 points or more"] = survival(trials.pfs, trials.event, 17.6, deep)

    readings = np.where(trials.reading > -inf, trials.reading, np.nan)
    found["log odds ratio, early to late"] = odds_ratio(
        readings[..., SECOND_CYCLE], readings[..., FOURTH_CYCLE], SHARES
    )
    for i, label in enumerate(LABELS):
        if slope := PRINTED[arm].get(f"log hazard ratio, {label}"):
            _, information = cox(best[i], trials.pfs, trials.event, entered[i], at=slope.value)
            found[f"se at the printed slope, {label}"] = np.maximum(information, 1e-3) ** -0.5
    if not matched:
        slopes = summary(trials)[..., NAMES.index("estimate")]
        found |= dict(zip((f"log hazard ratio, {label}" for label in LABELS), slopes.T, strict=True))
    names = [name for name, number in PRINTED[arm].items() if number.matched or not matched]
    return np.stack([found[name] for name in names], -1).astype(float)


def _range(values: np.ndarray, members: np.ndarray) -> dict[str, np.ndarray]:
    """Number, median, maximum and minimum of the members' values, (trial,)."""
    n = members.sum(-1)
    ordered = np.sort(np.where(members, values, inf), -1)

    def at(rank: np.ndarray) -> np.ndarray:
        ranked = np.take_along_axis(ordered, np.maximum(rank, 0)[:, None], -1)[:, 0]
        return np.where(n > 0, ranked, np.nan)

    return {"n": n, "median": (at((n - 1) // 2) + at(n // 2)) / 2, "greatest": at(n - 1), "least": at(0 * n)}
