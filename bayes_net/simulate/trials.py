"""Virtual trials: many trials like NETTER-1 at once, their printed numbers and their Cox estimates.

Every array has the trial as its first axis and the patient as its second; parameters have shape (trial, 1).
Months from randomisation, points of the baseline sum of diameters, log hazard ratios per 10 points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf

import numpy as np
from scipy.special import expit, logit, ndtri

from bayes_net import schema
from bayes_net.data.intervals import inverse_cumulative

DAY, WEEK = 1 / schema.DAYS_PER_MONTH, 7 / schema.DAYS_PER_MONTH
SMALLEST, LARGEST = -schema.PROGRESSION_PCHG, 100.0
"""Best shrinkage lies between these: less would be progression, more cannot be."""
AT = np.array([150 * DAY, 180 * DAY, 36 * WEEK, 48 * WEEK, 72 * WEEK, 0.0])
"""Where the clock of each estimate starts; the last one is "no limit", which looks at all scans."""
LABELS = ("150d", "180d", "36w", "48w", "72w", schema.NO_LIMIT)
HAZARD_CHANGES = 36 * WEEK
PLAIN, LOG, LOGIT = "plain", "log", "logit"
PRIMARY = 65.9
"""Months from the primary cut-off, 24 July 2015, to the last one, 18 January 2021."""
FOLLOW_UP = (PRIMARY, 100.4)
"""Months to the last cut-off: enrolment began on 6 September 2012; all but two were in by the primary one."""
VISITS = np.array([*range(12, 73, 12), *range(98, 463, 26)]) * 7 / schema.DAYS_PER_MONTH
"""Scans every 12 weeks until week 72, then every six months (Pavel 2025, 2.3), beyond the last follow-up."""
TILTS = (-0.5, 0.0, 0.5)
"""Log hazard ratios at which the variance of shrinkage is given."""
VARIANCES = tuple(f"variance_at_{tilt:g}" for tilt in TILTS)
EXPECTED = tuple(f"expected_se_at_{tilt:g}" for tilt in TILTS)
NAMES = ("estimate", "se", "at_risk", "events", "tracking", *VARIANCES)
LARGEST_ESTIMATE = 4.0
"""Per 10 points: beyond it the likelihood is taken to have no maximum."""


@dataclass(frozen=True)
class Prior:
    """Normal on its scale, with 95 % between the limits."""

    lower: float
    upper: float
    scale: str = LOG

    def quantile(self, z: np.ndarray) -> np.ndarray:
        """The value at standard-normal ``z``."""
        forward, back = {PLAIN: (float, float), LOG: (np.log, np.exp), LOGIT: (logit, expit)}[self.scale]
        low, high = forward(self.lower), forward(self.upper)
        inner = (low + high) / 2 + (high - low) / (2 * ndtri(0.975)) * z
        return inner if self.scale == PLAIN else back(inner)


PRIORS: Mapping[str, Prior] = {
    "place": Prior(0.07, 0.42, LOGIT),  # of the median final shrinkage, as a part of -20 to 100 points
    "spread": Prior(0.3, 2.5),  # SD of final shrinkage between patients, on the logit of its place
    "months": Prior(1.5, 12),  # until 63 % of the final shrinkage, in the median patient
    "months_spread": Prior(0.1, 1.2),  # of these months' logarithm between patients
    "growth": Prior(0.5, 12),  # points by which growth under way holds early scans back at the most
    "noise": Prior(1.5, 9),  # SD of one reading, points
    "early": Prior(0.005, 0.2),  # hazard of progression per month until week 36, at shrinkage 0
    "late": Prior(0.25, 4),  # factor of that hazard after week 36
    "slope": Prior(-0.5, 0.5, PLAIN),  # log hazard ratio of progression per 10 points of final shrinkage
    "death": Prior(0.001, 0.02),  # hazard per month of death before progression
    "leaving": Prior(0.001, 0.05),  # hazard per month of leaving for another reason
    "unscanned": Prior(0.02, 0.25, LOGIT),  # share that leaves before the first scan
    "prompt": Prior(0.02, 0.6, LOGIT),  # share of progressions seen when they happen, not at the next visit
    "missed": Prior(0.01, 0.2, LOGIT),  # share of visits without a scan
    "jitter": Prior(3, 15),  # SD of a visit's day
    "new_lesions": Prior(0.2, 0.8, LOGIT),  # share of progressions by new lesions, not growth of targets
}
"""What a trial's patients are drawn from, before anything printed is looked at."""


def parameters(z: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters (trial, 1) by name, from standard-normal ``z`` (trial, parameter)."""
    return {name: prior.quantile(z[:, [i]]) for i, (name, prior) in enumerate(PRIORS.items())}


@dataclass(frozen=True)
class Trials:
    """One arm of many trials: arrays (trial, patient), of scans (trial, patient, visit)."""

    depth: np.ndarray
    """Final shrinkage."""
    seen: np.ndarray
    """When progression is or would be seen."""
    death: np.ndarray
    """When the patient would die if the hazard stayed what it is before progression."""
    pfs: np.ndarray
    event: np.ndarray
    followed: np.ndarray
    """Until the last cut-off."""
    at: np.ndarray
    """When the scans are due."""
    reading: np.ndarray
    """Shrinkage at the scans that count towards the best; -inf at others."""
    clear: np.ndarray
    """Whether a scan was done and showed no progression."""

    def some(self, chosen: np.ndarray) -> Trials:
        """The trials where ``chosen``, (trial,), is true."""
        return Trials(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def best(self, months: np.ndarray | float) -> np.ndarray:
        """Best shrinkage by then, (..., trial, patient); -inf without a scan that is not progression."""
        within = self.at <= np.reshape(months, (*np.shape(months), 1, 1, 1))
        best = np.where(within, self.reading, -inf).max(-1)
        return np.where((within & self.clear).any(-1), best, -inf)


def draw(parameter: Mapping[str, np.ndarray], patients: int, rng: np.random.Generator) -> Trials:
    """One arm of as many trials as the parameters have rows.

    Shrinkage approaches its final depth, with growth under way at first; progression has a piecewise-constant
    hazard times exp(slope · depth / 10), so at slope 0 nothing links the two; it is seen at the next scan, at
    which target lesions have regrown by 20 % over the nadir and 5 mm, or new ones appear.
    """
    p, shape = parameter, (len(parameter["place"]), patients)
    normal, uniform, waiting = rng.standard_normal, rng.random, rng.standard_exponential
    depth = SMALLEST + (LARGEST - SMALLEST) * expit(logit(p["place"]) + p["spread"] * normal(shape))
    months = p["months"] * np.exp(p["months_spread"] * normal(shape))

    scans = (*shape, len(VISITS))
    at = VISITS + np.clip(normal(scans) * p["jitter"][..., None], -28, 28) * DAY
    reached = 1 - np.exp(-at / months[..., None])
    held_back = 4 * p["growth"][..., None] * reached * (1 - reached)
    reading = depth[..., None] * reached - held_back + p["noise"][..., None] * normal(scans)
    made = uniform(scans) >= p["missed"][..., None]

    risk = p["early"] * np.exp(p["slope"] * depth / 10)
    hazards = np.stack([risk, risk * p["late"]], -1).reshape(-1, 2)
    progression = inverse_cumulative(hazards, (0.0, HAZARD_CHANGES), waiting(risk.size)).reshape(shape)
    visited = np.where(made & (at >= progression[..., None]), at, inf).min(-1)
    seen = np.where(uniform(shape) < p["prompt"], progression, visited)
    death = waiting(shape) / p["death"]
    early = uniform(shape) < p["unscanned"]
    left = np.where(early, uniform(shape) * VISITS[0], waiting(shape) / p["leaving"])
    followed = rng.uniform(*FOLLOW_UP, shape)
    end = np.minimum(left, followed)
    pfs = np.minimum.reduce([seen, death, end])

    done = made & (at <= pfs[..., None])
    progressed = at == seen[..., None]
    new_lesion = uniform(shape) < p["new_lesions"]
    # A scan without progression is below +20 %; one with regrown target lesions is never the best.
    counts = done & (~progressed | new_lesion[..., None])
    reading = np.where(counts, np.clip(reading, SMALLEST + 0.1, LARGEST - 0.1), -inf)
    event = np.minimum(seen, death) <= end
    return Trials(depth, seen, death, pfs, event, followed, at, reading, done & ~progressed)


def risk_sets(trials: Trials) -> tuple[np.ndarray, np.ndarray]:
    """Best shrinkage and who is at risk at every landmark, (landmark, trial, patient)."""
    best = trials.best(np.where(AT > 0, AT, inf))
    return best, (trials.pfs > AT[:, None, None]) & (best > -inf)


def cox(
    shrinkage: np.ndarray, time: np.ndarray, event: np.ndarray, entered: np.ndarray, at: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Log hazard ratio per 10 points and its information, by partial likelihood with Breslow's ties.

    Arguments broadcast to (..., patient); with ``at`` that value is held and its information is what comes
    out. Where the likelihood has no maximum both are missing.
    """
    arrays = np.broadcast_arrays(shrinkage, time, event, entered)
    order = np.argsort(-arrays[1], axis=-1, kind="stable")
    x, time, event, entered = (np.take_along_axis(array, order, -1) for array in arrays)
    x = np.where(entered, x, 0) / 10
    event = event & entered
    # Whoever shares a time is in its risk set: sums run to the last of a tie.
    final = np.append(time[..., 1:] != time[..., :-1], np.ones((*time.shape[:-1], 1), bool), -1)
    last = np.where(final, np.arange(x.shape[-1]), x.shape[-1])
    last = np.minimum.accumulate(last[..., ::-1], -1)[..., ::-1]

    def derivatives(beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        risk = entered * np.exp(beta[..., None] * x)
        total, first, second = (
            np.take_along_axis(np.cumsum(risk * x**power, -1), last, -1) for power in range(3)
        )
        total = np.where(event, total, 1.0)
        mean = first / total
        score = np.where(event, x - mean, 0).sum(-1)
        return score, np.where(event, second / total - mean**2, 0).sum(-1)

    beta = np.full(x.shape[:-1], 0.0 if at is None else at)
    if at is not None:
        return beta, derivatives(beta)[1]
    for _ in range(25):
        score, information = derivatives(beta)
        step = np.clip(score / np.maximum(information, 1e-9), -0.7, 0.7)
        beta = np.clip(beta + step, -2 * LARGEST_ESTIMATE, 2 * LARGEST_ESTIMATE)
        if np.abs(step).max(initial=0) < 1e-6:
            break
    found = (np.abs(beta) < LARGEST_ESTIMATE) & (np.abs(step) < 1e-4) & (information > 1e-3)
    return np.where(found, beta, np.nan), np.where(found, information, np.nan)


def summary(trials: Trials) -> np.ndarray:
    """``NAMES`` at every landmark, (trial, landmark, quantity): the estimate and its standard error per 10
    points; numbers at risk and of events; the slope of the final depth on the best shrinkage among those at
    risk; and V in se² = 1 / (events · V) at the log hazard ratios ``TILTS``."""
    best, entered = risk_sets(trials)
    beta, information = cox(best, trials.pfs, trials.event, entered)
    n, events = entered.sum(-1), (entered & trials.event).sum(-1)
    x = np.where(entered, best, 0)
    apart = np.where(entered, x - (x.sum(-1) / np.maximum(n, 1))[..., None], 0)
    tracking = (apart * trials.depth).sum(-1) / np.maximum((apart**2).sum(-1), 1e-9)
    tilted = (cox(best, trials.pfs, trials.event, entered, at=tilt)[1] for tilt in TILTS)
    variances = (information / np.maximum(events, 1) for information in tilted)
    return np.stack([beta, information**-0.5, n, events, tracking, *variances], -1).swapaxes(0, 1)


def survival(time: np.ndarray, event: np.ndarray, at: float, members: np.ndarray) -> np.ndarray:
    """The Kaplan-Meier estimate at a time among the ``members``, (trial,)."""
    order = np.argsort(np.where(members, time, -1), -1)
    time, event, members = (np.take_along_axis(array, order, -1) for array in (time, event, members))
    left = time.shape[-1] - np.arange(time.shape[-1])
    return np.where(members & event & (time <= at), 1 - 1 / left, 1.0).prod(-1)


def odds_ratio(early: np.ndarray, late: np.ndarray, shares: tuple[float, float]) -> np.ndarray:
    """Log odds ratio of late given early response, (trial,), among patients with both values.

    Response is to be among the ``shares`` with the greatest shrinkage; 0.5 is added to each cell.
    """
    both = ~np.isnan(early + late)
    n = both.sum(-1)

    def responds(values: np.ndarray, share: float) -> np.ndarray:
        rank = np.argsort(np.argsort(np.where(both, -values, inf), -1), -1)
        return both & (rank < np.round(share * n)[:, None])

    first, second = responds(early, shares[0]), responds(late, shares[1])
    yes, lost, gained = (
        (a & b).sum(-1) + 0.5 for a, b in ((first, second), (first, ~second), (~first, second))
    )
    no = (both & ~first & ~second).sum(-1) + 0.5
    return np.log(yes * no / (lost * gained))
