"""Missing values drawn given others, on plain arrays: by regressions that know the outcome as predictors, and
by regressions that do not, times the likelihood of the outcome.

Every draw is with parameters that are drawn themselves, so that imputations differ by all that is not known
(Rubin 1987, doi:10.1002/9780470316696).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import softmax

DONORS = 5
"""Patients with the nearest predictions, one of whom lends its value (Morris et al. 2014,
doi:10.1186/1471-2288-14-75), among a bootstrap sample of all whose value is known (Rubin and Schenker 1986,
doi:10.1080/01621459.1986.10478280)."""
CANDIDATES = 20
"""Values of a number of which one is taken by its likelihood. One is the present value, so that with however
few the distribution that is wanted stays as it is (Andrieu, Lee and Vihola 2018, doi:10.3150/15-BEJ785)."""
PRIOR_SD = 2.5
"""Of the log odds of a level, and of a log hazard ratio, per standard deviation of a predictor: no level is
told by the others for certain (Gelman et al. 2008, doi:10.1214/08-AOAS191)."""

Line = tuple[np.ndarray, np.ndarray, float]


def drawn_regression(y: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> Line:
    """Least-squares coefficients, and coefficients and an SD drawn from their posterior with flat priors."""
    # a hardly noticeable ridge, for predictors that tell each other
    inverse = np.linalg.inv(x.T @ x + 1e-6 * len(y) * np.eye(x.shape[1]))
    best = inverse @ (x.T @ y)
    sd = float(np.sqrt(((y - x @ best) ** 2).sum() / rng.chisquare(len(y) - x.shape[1])))
    return best, best + sd * np.linalg.cholesky(inverse) @ rng.standard_normal(x.shape[1]), sd


def drawn_normal(y: np.ndarray, x: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Predictions with a normal error."""
    _, drawn, sd = drawn_regression(y.astype(float), x, rng)
    return where @ drawn + sd * rng.standard_normal(len(where))


def drawn_match(y: np.ndarray, x: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values of patients whose predictions, by the best coefficients, are near to those that are drawn."""
    best, drawn, _ = drawn_regression(y.astype(float), x, rng)
    lenders = donors(len(y), rng)
    apart = np.abs((where @ drawn)[:, None] - (x @ best)[lenders])
    nearest = np.argpartition(apart, DONORS - 1, axis=1)[:, :DONORS]
    return y[lenders[nearest[np.arange(len(where)), rng.integers(DONORS, size=len(where))]]]


def donors(n: int, rng: np.random.Generator) -> np.ndarray:
    """Who may lend a value in this imputation. Of the same donors in all, who stand for everyone with such
    predictions, imputations would differ too little."""
    return rng.integers(n, size=n)


def drawn_levels(y: np.ndarray, x: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Levels drawn with their ``chances``."""
    levels, chance = chances(y, x, where, rng)
    reached = chance.cumsum(axis=1) < rng.random(len(where))[:, None]
    return levels[np.minimum(reached.sum(axis=1), len(levels) - 1)]


def chances(
    y: np.ndarray, x: np.ndarray, where: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The levels that occur, and their chances (patient, level), by a multinomial logit with coefficients
    that are drawn from the normal approximation of their posterior."""
    levels = np.array(sorted(set(y)), dtype=object)  # one that no known patient has is nobody's
    if len(levels) == 1:
        return levels, np.ones((len(where), 1))
    target = (y[:, None] == levels).astype(float)
    m, p = len(levels) - 1, x.shape[1]
    precision = np.tile(np.r_[1e-4, np.full(p - 1, PRIOR_SD**-2)], m)

    def given(flat: np.ndarray, at: np.ndarray) -> np.ndarray:
        return softmax(np.column_stack([np.zeros(len(at)), at @ flat.reshape(m, p).T]), axis=1)

    def height(flat: np.ndarray) -> float:
        return float((target * np.log(given(flat, x) + 1e-300)).sum() - 0.5 * (precision * flat**2).sum())

    flat = np.zeros(m * p)
    for _ in range(100):
        q = given(flat, x)[:, 1:]
        gradient = ((target[:, 1:] - q).T @ x).ravel() - precision * flat
        weights = np.einsum("ia,ab->iab", q, np.eye(m)) - q[:, :, None] * q[:, None, :]
        information = np.einsum("iab,ip,iq->apbq", weights, x, x).reshape(m * p, m * p) + np.diag(precision)
        step = np.linalg.solve(information, gradient)
        while height(flat + step) < height(flat) - 1e-9:
            step = step / 2
        flat = flat + step
        if np.abs(step).max() < 1e-8:
            break
    upper = np.linalg.cholesky(information).T
    return levels, given(flat + np.linalg.solve(upper, rng.standard_normal(m * p)), where)


class FollowUp(NamedTuple):
    """What is known of each patient's follow-up: whether it ends in an event, in which interval, months in
    each, (patient, interval), and the number of its baseline."""

    event: np.ndarray
    interval: np.ndarray
    months: np.ndarray
    stratum: np.ndarray


class Hazards(NamedTuple):
    """Log hazard ratios of columns, and the cumulative hazard of each patient's baseline at its time, which
    is that of columns in the ``middle``."""

    log_hr: np.ndarray
    middle: np.ndarray
    cumulative: np.ndarray

    def log_likelihood(self, event: np.ndarray, of: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(patient, candidate), up to a constant of each patient, of patients ``of`` whose ``event`` is known
        if they had these ``columns``, (patient, candidate, column)."""
        added = (columns - self.middle) @ self.log_hr
        return event[of, None] * added - self.cumulative[of, None] * np.exp(added)


def drawn_hazards(follow_up: FollowUp, columns: np.ndarray, rng: np.random.Generator) -> Hazards:
    """Piecewise-constant hazards drawn from their posterior given everyone's ``columns``: log hazard ratios,
    with the prior of ``PRIOR_SD``, from its normal approximation, and given these levels with flat priors."""
    event, interval, months, stratum = follow_up
    middle, spread = columns.mean(axis=0), columns.std(axis=0)
    x, (n, p) = columns - middle, columns.shape
    strata = np.unique(stratum)
    events = np.zeros((strata.max() + 1, months.shape[1]))
    np.add.at(events, (stratum, interval), event)
    precision = np.diag(PRIOR_SD**-2 * np.maximum(spread, 1e-6) ** 2)
    products = np.concatenate([np.ones((n, 1)), x, (x[:, :, None] * x[:, None, :]).reshape(n, -1)], axis=1)

    def at_risk(b: np.ndarray) -> list[np.ndarray]:
        """Of each stratum, months times hazard ratio, and times columns and their products, by interval."""
        weighted = np.exp(np.clip(x @ b, -50, 50))[:, None] * products
        return [months[stratum == s].T @ weighted[stratum == s] for s in strata]

    b = np.zeros(p)
    for _ in range(50):
        gradient, information = event @ x - precision @ b, precision.copy()
        for s, sums in zip(strata, at_risk(b), strict=True):
            there = events[s] > 0
            means = sums[there, 1:] / sums[there, :1]
            gradient = gradient - events[s, there] @ means[:, :p]
            second = (events[s, there] @ means[:, p:]).reshape(p, p)
            information += second - (events[s, there, None] * means[:, :p]).T @ means[:, :p]
        step = np.linalg.solve(information, gradient)
        b = b + step / max(1.0, np.abs(x @ step).max())  # no step changes a hazard more than e-fold
        if np.abs(step).max() < 1e-6:
            break
    b = b + np.linalg.solve(np.linalg.cholesky(information).T, rng.standard_normal(p))
    cumulative = np.zeros(n)
    for s, sums in zip(strata, at_risk(b), strict=True):
        rates = rng.gamma(events[s]) / np.where(events[s] > 0, sums[:, 0], 1.0)
        cumulative[stratum == s] = months[stratum == s] @ rates
    return Hazards(b, middle, cumulative)


def candidates(
    y: np.ndarray, x: np.ndarray, known: np.ndarray, rng: np.random.Generator, *, matched: bool
) -> np.ndarray:
    """What values that are not ``known`` may be, (patient, candidate): what they are now, and draws from a
    regression of all values. If ``matched``, errors are those of patients, and values those that occur."""
    best, drawn, sd = drawn_regression(y, x, rng)
    shape = (int((~known).sum()), CANDIDATES - 1)
    errors = y - x @ best
    scaled = errors / np.sqrt((errors**2).sum() / (len(y) - x.shape[1]))
    error = rng.choice(scaled, shape) if matched else rng.standard_normal(shape)
    fresh = (x[~known] @ drawn)[:, None] + sd * error
    if matched:
        occur = np.unique(y[known])
        above = np.clip(np.searchsorted(occur, fresh), 1, max(len(occur) - 1, 1))
        pair = occur[np.minimum(np.stack([above - 1, above]), len(occur) - 1)]
        fresh = np.where(np.abs(fresh - pair[0]) <= np.abs(fresh - pair[1]), pair[0], pair[1])
    return np.column_stack([y[~known], fresh])


def chosen(log_weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The number of a candidate of each patient, drawn with these weights, (patient, candidate)."""
    return np.argmax(log_weight + rng.gumbel(size=log_weight.shape), axis=1)
