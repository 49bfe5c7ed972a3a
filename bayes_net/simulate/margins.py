"""The laws whose expected margins are those of a plan: integrated over depth, solved by root finding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq, root
from scipy.special import logit, ndtr, ndtri

from bayes_net import schema
from bayes_net.errors import InputError
from bayes_net.simulate.plan import (
    DETECTION,
    LARGEST,
    PATHS,
    SMALLEST,
    ArmLaw,
    SimulationPlan,
    hazards,
    mean_readings,
    months_spent,
    reading_sd,
    visits,
)

_NODES = ndtri((np.arange(601) + 0.5) / 601)
"""Depths are integrated over at the midpoints of equally likely slices."""


@lru_cache(maxsize=64)
def calibrate(plan: SimulationPlan) -> tuple[ArmLaw, ArmLaw]:
    """The laws of the two arms whose expected margins are those of the plan.

    What a cohort shows of the depths depends on how many scans each patient's hazard leaves time for and on
    noise (the best of several readings flatters), and the marginal survival depends on the depths, so both
    are solved together, integrating over depth. Raises InputError if no law has these margins.
    """
    _check(plan)
    return _solve(plan, 0), _solve(plan, 1)


def _check(plan: SimulationPlan) -> None:
    for name, allowed in (("progression_seen", DETECTION), ("path", PATHS)):
        if getattr(plan, name) not in allowed:
            raise InputError(
                f"{name} is {getattr(plan, name)!r}; expected one of {', '.join(map(repr, allowed))}"
            )
    for name in ("new_lesions", "independent_deaths"):
        if not 0 <= getattr(plan, name) <= 1:
            raise InputError(f"{name} is {getattr(plan, name)}; expected a share between 0 and 1")
    if len(set(plan.arms)) != 2 or len(plan.patients) != 2 or min(plan.patients) < 1:
        raise InputError(
            f"got arms {plan.arms} of {plan.patients} patients; expected two arms of at least one patient"
        )
    for arm, shrunk, deep in zip(plan.arms, plan.shrunk, plan.shrunk_30, strict=True):
        if not 0 < deep < shrunk < 1:
            raise InputError(
                f"{arm}: shrunk_30 is {deep:.3g}, shrunk {shrunk:.3g}; expected 0 < shrunk_30 < shrunk < 1"
            )


def _solve(plan: SimulationPlan, arm: int) -> ArmLaw:
    """The law of one arm, by root finding from the closed form for readings that are the depth itself."""
    above = ndtri([1 - plan.shrunk[arm], 1 - plan.shrunk_30[arm]])
    at = logit((np.array([0.0, 30.0]) - SMALLEST) / (LARGEST - SMALLEST))
    scale = (at[1] - at[0]) / (above[1] - above[0])
    unknowns = 3 if plan.path == "gradual" else 2

    def law(guess: Sequence[float]) -> ArmLaw:
        location, log_scale, growth = [*guess, 0.0][:3]
        return _law(plan, arm, location, math.exp(log_scale), growth)

    def misfit(guess: Sequence[float]) -> np.ndarray:
        return _misfit(plan, arm, law(guess))[:unknowns]

    found = root(misfit, [at[0] - scale * above[0], math.log(scale), 0.0][:unknowns])
    if not found.success or np.abs(found.fun).max() > 1e-6:
        raise InputError(
            f"{plan.arms[arm]}: no law of depth has the margins shrunk {plan.shrunk[arm]:.3g}, "
            f"shrunk_30 {plan.shrunk_30[arm]:.3g} and first_scan_median {plan.first_scan_median[arm]:g}; "
            "lower scan_noise or bring the margins nearer to the published ones"
        )
    return law(found.x)


def _misfit(plan: SimulationPlan, arm: int, law: ArmLaw) -> np.ndarray:
    """Expected less published shares: without shrinkage, below 30 points, below the week-12 median."""
    readings = mean_readings(plan, arm, law, law.depth(_NODES))
    # Without noise the share below a value is a step in depth; a quarter point makes its integral smooth.
    noise = max(reading_sd(plan), 0.25)
    clear = _clear_scans(plan, arm, law)
    exactly = -np.diff(clear, append=0.0)

    def best_below(value: float) -> float:
        return (np.cumprod(ndtr((value - readings) / noise), axis=1) * exactly).sum() / clear[:, 0].sum()

    first_below = (
        ndtr((plan.first_scan_median[arm] - readings[:, 0]) / noise) @ clear[:, 0] / clear[:, 0].sum()
    )
    return np.array(
        [best_below(0) - 1 + plan.shrunk[arm], best_below(30) - 1 + plan.shrunk_30[arm], first_below - 0.5]
    )


def _law(plan: SimulationPlan, arm: int, location: float, scale: float, growth: float) -> ArmLaw:
    """The law with this distribution of depths: hazards from the survival margins, then who leaves."""
    pfs_times, pfs_targets = np.array(plan.pfs_survival).T
    if arm == 1:
        pfs_targets = pfs_targets**plan.pfs_hazard_ratio
    # Proportional hazards through both medians fix both arms' survival at either time.
    os_times = np.sort(plan.os_medians)
    cuts = _last_seen(plan, pfs_times)[0], os_times[0]
    starts = np.unique([0.0, *cuts])
    law = ArmLaw(float(location), scale, float(growth), tuple(starts.tolist()), (), ())

    def deaths(*levels: float) -> tuple[float, ...]:
        return tuple(np.where(starts < cuts[1], *levels).tolist())

    def survival(*levels: float) -> np.ndarray:
        risk = np.exp(plan.os_slope[arm] * law.depth(_NODES) / 10)
        return np.exp(-np.outer(risk, months_spent(starts, os_times) @ deaths(*levels))).mean(0)

    law = replace(law, os_hazard=deaths(*_two_levels(survival, _os_targets(plan, arm))))

    def with_pfs(*levels: float) -> ArmLaw:
        return replace(law, pfs_hazard=tuple(np.where(starts < cuts[0], *levels).tolist()))

    law = with_pfs(
        *_two_levels(lambda *levels: _recorded_pfs(plan, arm, with_pfs(*levels), pfs_times), pfs_targets)
    )
    return _with_leavers(plan, arm, law)


def _two_levels(survival: Callable[[float, float], np.ndarray], targets: np.ndarray) -> tuple[float, float]:
    """The early and late hazard with ``survival(early, late)`` at two times equal to ``targets``."""
    try:
        early = brentq(lambda level: survival(level, level)[0] - targets[0], 1e-9, 20)
        if abs(survival(early, early)[1] - targets[1]) < 1e-9:
            return early, early
        return early, brentq(lambda level: survival(early, level)[1] - targets[1], 0, 20)
    except ValueError as reason:
        at = " and ".join(f"{target:.3g}" for target in targets)
        raise InputError(
            f"no hazards give survival {at} at the plan's two times; check its margins"
        ) from reason


def _os_targets(plan: SimulationPlan, arm: int) -> np.ndarray:
    """One arm's survival at the two medians, in order of time, if hazards are proportional."""
    if np.sign(plan.os_medians[1] - plan.os_medians[0]) != np.sign(1 - plan.os_hazard_ratio):
        raise InputError(
            f"os_medians {plan.os_medians} and os_hazard_ratio {plan.os_hazard_ratio:g} disagree; "
            "expected the longer median in the arm with the lower hazard"
        )
    ratio = plan.os_hazard_ratio if arm == 1 else 1 / plan.os_hazard_ratio
    other, own = 0.5**ratio, 0.5
    return np.array([own, other] if plan.os_medians[arm] == min(plan.os_medians) else [other, own])


def _with_leavers(plan: SimulationPlan, arm: int, law: ArmLaw) -> ArmLaw:
    """The law with the discontinuation that leaves the published number at risk, and the unscanned share."""
    first, week_72 = visits(plan)[0], 72 * 7 / schema.DAYS_PER_MONTH
    still = _recorded_pfs(plan, arm, law, np.array([first, week_72]))
    kept = plan.evaluable[arm] * still[1] / still[0]
    # More at risk than the survival margins allow cannot be met: nobody leaves then.
    rate = max(0.0, math.log(kept / plan.at_risk_week_72[arm]) / (week_72 - first))
    unscanned = 1 - plan.evaluable[arm] / (still[0] * math.exp(-rate * first))
    if unscanned < 0:
        raise InputError(
            f"{plan.arms[arm]}: evaluable is {plan.evaluable[arm]:.3g}, but only {still[0]:.3g} are free of "
            "progression at the first scan; lower evaluable or the hazard"
        )
    return replace(law, discontinuation=float(rate), unscanned=float(unscanned))


def _recorded_pfs(plan: SimulationPlan, arm: int, law: ArmLaw, times: np.ndarray) -> np.ndarray:
    """Expected recorded PFS at ``times``: progression counts from its scan on, death from its own time."""
    pfs, death = hazards(plan, arm, law, law.depth(_NODES))
    seen, now = months_spent(law.starts, _last_seen(plan, times)), months_spent(law.starts, times)
    free = pfs @ seen.T
    ignoring = np.exp(-free - death @ (now - seen).T)
    following = np.exp(-np.maximum(free, death @ now.T))
    return (plan.independent_deaths * ignoring + (1 - plan.independent_deaths) * following).mean(0)


def _last_seen(plan: SimulationPlan, times: np.ndarray) -> np.ndarray:
    """Until when progression is on record at ``times``: the last scan, or the time itself."""
    if plan.progression_seen == "exact":
        return times
    scans = np.array([0.0, *visits(plan)])
    return scans[np.searchsorted(scans, times, side="right") - 1]


def _clear_scans(plan: SimulationPlan, arm: int, law: ArmLaw) -> np.ndarray:
    """Probability of a scan without progression, by depth and visit, for those who are scanned at all."""
    at, (shortest, longest) = visits(plan), plan.follow_up
    pfs, _ = hazards(plan, arm, law, law.depth(_NODES))
    followed = np.clip((longest - at) / (longest - shortest), 0, 1)
    return np.exp(-pfs @ months_spent(law.starts, at).T - law.discontinuation * at) * followed
