"""Virtual trials that resemble NETTER-1, by approximate Bayesian computation, and what they tell.

Parameters are drawn from their priors and moved by sequential Monte Carlo (Del Moral, Doucet and Jasra 2012,
doi:10.1007/s11222-011-9271-y) towards those whose trial would have printed nearly what was printed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayes_net.simulate.printed import PATIENTS, PRINTED, Printed, margins
from bayes_net.simulate.trials import (
    EXPECTED,
    LABELS,
    NAMES,
    PRIORS,
    VARIANCES,
    Trials,
    draw,
    parameters,
    summary,
)

CHUNK = 250
PILOTS, REPLICATES = 40, 50
SURVIVING, MOVES, LEAST_MOVED, LAST_MOVES = 0.75, 10, 0.03, 40
"""Of each generation: the part that comes nearer, steps of a particle, and the part of steps taken that ends
the generations; after which particles take some more."""
FAR = 10.0
"""Standard deviations beyond which it does not matter how far a margin is off."""
SLOPES = (-0.3, 0.3)
"""Log hazard ratios per 10 points between which the change of estimates with the slope is taken."""


@dataclass(frozen=True)
class Matched:
    """Parameters of an arm whose trials resemble the printed one, and one such trial of each."""

    arm: str
    z: np.ndarray
    """Standard-normal numbers, (particle, parameter), of ``trials.parameters``."""
    trials: np.ndarray
    """``NAMES`` of the trials, (particle, landmark, quantity)."""
    sd: np.ndarray
    """Of each matched margin's sampling."""
    limit: float
    """Of the distance: the root mean square of the margins' differences in standard deviations."""
    without: str = ""
    """The study whose margins were not looked at."""


def match(arm: str, rng: np.random.Generator, *, particles: int, first: int, without: str = "") -> Matched:
    """So many particles, from the nearest of the ``first`` draws from the priors; ``without`` a study, by
    what it did not print."""
    z = rng.standard_normal((first, len(PRIORS)))
    simulated = by_chunks(lambda part: margins(_trials(part, arm, rng), arm, rng), z)
    pilots = z[np.argsort(_distance(simulated, arm, np.nanstd(simulated, axis=0), without))[:PILOTS]]
    again = np.repeat(pilots, REPLICATES, axis=0)
    again = by_chunks(lambda part: margins(_trials(part, arm, rng), arm, rng), again)
    sd = np.sqrt(np.nanmean(np.nanvar(again.reshape(PILOTS, REPLICATES, -1), axis=1), axis=0))

    def simulate(z: np.ndarray, limit: float) -> np.ndarray:
        """The distance of each particle's trial, then what the trial is if within the limit."""
        trials = _trials(z, arm, rng)
        found = np.full((len(z), 1 + len(LABELS) * len(NAMES)), np.nan)
        found[:, 0] = _distance(margins(trials, arm, rng), arm, sd, without)
        near = found[:, 0] <= limit
        found[near, 1:] = summary(trials.some(near)).reshape(near.sum(), found.shape[1] - 1)
        return found

    apart = _distance(simulated, arm, sd, without)
    nearest = np.argsort(apart)[:particles]
    z, moved = z[nearest], 1.0
    found = np.full((particles, 1 + len(LABELS) * len(NAMES)), np.nan)
    found[:, 0] = apart[nearest]
    while moved > LEAST_MOVED:
        limit = float(np.quantile(found[:, 0], SURVIVING))
        alive = np.flatnonzero(found[:, 0] <= limit)
        chosen = np.concatenate([alive, rng.choice(alive, particles - len(alive))])
        z, found, moved = _moved(z[chosen], found[chosen], limit, simulate, MOVES, rng)
    z, found, _ = _moved(z, found, limit, simulate, LAST_MOVES, rng)
    trials = found[:, 1:].reshape(particles, len(LABELS), len(NAMES))
    return Matched(arm, z, trials, sd, limit, without)


def _trials(z: np.ndarray, arm: str, rng: np.random.Generator, slope: float | None = None) -> Trials:
    """A trial of each particle, with its own slope or with this one."""
    p = parameters(z)
    return draw(p if slope is None else p | {"slope": np.full_like(p["slope"], slope)}, PATIENTS[arm], rng)


def _distance(simulated: np.ndarray, arm: str, sd: np.ndarray, without: str = "") -> np.ndarray:
    matched = [number for number in PRINTED[arm].values() if number.matched]
    apart = np.nan_to_num(np.abs(simulated - [number.value for number in matched]) / sd, nan=FAR)
    counted = [not of_study(number, without) for number in matched]
    return np.sqrt((np.minimum(apart, FAR)[:, counted] ** 2).mean(-1))


def of_study(number: Printed, study: str) -> bool:
    """Whether it is a study, named as its papers are, that printed the number."""
    return bool(study) and number.source.startswith(f"{study},")


def _moved(
    z: np.ndarray,
    found: np.ndarray,
    limit: float,
    simulate: Callable[[np.ndarray, float], np.ndarray],
    moves: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Particles after Metropolis steps within the limit, their trials, and the part of steps taken."""
    k, taken = z.shape[1], 0
    step = np.linalg.cholesky(np.cov(z.T) + 1e-6 * np.eye(k)).T / np.sqrt(k)
    for _ in range(moves):
        there = z + rng.standard_normal(z.shape) @ step
        then = by_chunks(lambda part: simulate(part, limit), there)
        log_prior = ((z**2).sum(-1) - (there**2).sum(-1)) / 2
        accept = (then[:, 0] <= limit) & (np.log(rng.random(len(z))) < log_prior)
        z, found = (np.where(accept[:, None], new, old) for new, old in ((there, z), (then, found)))
        taken += accept.sum()
    return z, found, taken / (moves * len(z))


def by_chunks(function: Callable[[np.ndarray], np.ndarray], z: np.ndarray) -> np.ndarray:
    """What ``function`` gives for the rows of ``z``, few at a time."""
    return np.concatenate([function(z[i : i + CHUNK]) for i in range(0, len(z), CHUNK)])


def predictive(matched: Matched, rng: np.random.Generator, *, replicates: int) -> dict:
    """``margins``: one row a printed number, with its 90 % predictive interval, whether it lies inside, and
    where it is matched the standard deviation of its sampling. ``nearest``: the particle whose trials are on
    average the nearest to what is matched."""
    arm, z = matched.arm, np.repeat(matched.z, replicates, axis=0)
    simulated = by_chunks(lambda part: margins(_trials(part, arm, rng), arm, rng, matched=False), z)
    rows, scales = [], iter(matched.sd)
    for (name, number), values in zip(PRINTED[arm].items(), simulated.T, strict=True):
        lower, median, upper = np.nanquantile(values, [0.05, 0.5, 0.95])
        row = {"margin": name, "printed": number.value, "source": number.source, "matched": number.matched}
        scale = {"sd": next(scales)} if number.matched else {}
        row |= {"lower": lower, "median": median, "upper": upper} | scale
        rows.append(row | {"inside": bool(lower <= number.value <= upper)})
    mean = np.nanmean(simulated.reshape(len(matched.z), replicates, -1), axis=1)
    apart = _distance(
        mean[:, [number.matched for number in PRINTED[arm].values()]], arm, matched.sd, matched.without
    )
    return {"margins": rows, "nearest": int(np.argmin(apart))}


def quantities(matched: Matched, rng: np.random.Generator, *, replicates: int) -> dict:
    """What the matched trials tell of the estimates at the six landmarks, log hazard ratios per 10 points.

    ``landmarks`` has one row each. From trials without association: ``null``, the mean estimate, which is 0
    but for the guarantee-time bias of "no limit"; and ``tracking``, Cov(final depth, s)/Var(s) among those at
    risk. From trials with one: ``carried``, the change of the mean estimate with the slope of the final depth
    (less than the tracking, since hazards average over what s does not see), and ``bias_change``, how much
    less. From the trials that resemble the printed one: numbers ``at_risk`` and ``events``, ``variance`` at
    ``TILTS`` (se² = 1 / (events · V)), the standard errors that follow, ``expected_se``, and the trials' own,
    ``se``. ``correlation`` is that of the estimates in their standard
    errors, without association. ``trials`` counts those that resemble the printed one.

    ``_sd`` is the standard deviation between matched parameters, or between the trials that resemble the
    printed one (``_log_sd``: of the logarithm); ``_mcse`` is the Monte-Carlo error of a mean.
    """
    z = np.repeat(matched.z, replicates, axis=0)

    def simulated(slope: float) -> dict[str, np.ndarray]:
        found = by_chunks(lambda part: summary(_trials(part, matched.arm, rng, slope)), z)
        return _by_name(found.reshape(-1, replicates, len(LABELS), len(NAMES)))

    null, low, high = (simulated(slope) for slope in (0.0, *SLOPES))
    change = SLOPES[1] - SLOPES[0]
    carried = (high["estimate"] - low["estimate"]) / change
    tracked = (SLOPES[1] * high["tracking"] - SLOPES[0] * low["tracking"]) / change
    columns = (
        _between("null", null["estimate"])
        | _between("tracking", null["tracking"])
        | _between("carried", carried)
        | _between("bias_change", carried - tracked)
        | _resembling(_by_name(matched.trials))
    )
    rows = [
        {"landmark": label} | {name: column[i] for name, column in columns.items()}
        for i, label in enumerate(LABELS)
    ]
    resembling = int((matched.trials[:, 0, NAMES.index("at_risk")] > 0).sum())
    correlation = _correlations(null["estimate"] / null["se"])
    return {"trials": resembling, "landmarks": rows, "correlation": correlation}


def _by_name(found: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(NAMES, np.moveaxis(found, -1, 0), strict=True))


def _resembling(trials: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Medians over the particles' trials, and standard deviations: of the logarithm but for numbers."""
    columns: dict[str, np.ndarray] = {}
    for name in ("at_risk", "events"):
        columns |= {name: np.nanmedian(trials[name], axis=0), f"{name}_sd": np.nanstd(trials[name], axis=0)}
    logs = {name: _log(trials[name]) for name in ("se", *VARIANCES)}
    events = _log(trials["events"])
    logs |= {name: -(events + logs[of]) / 2 for name, of in zip(EXPECTED, VARIANCES, strict=True)}
    for name, values in logs.items():
        columns |= {name: np.exp(np.nanmedian(values, axis=0)), f"{name}_log_sd": np.nanstd(values, axis=0)}
    return columns


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(values, out=np.full_like(values, np.nan), where=values > 0)


def _between(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Mean over particles and replicates, its Monte-Carlo error, and the standard deviation between
    particles, from which that of replicates is taken off."""
    means, count = np.nanmean(values, axis=1), (~np.isnan(values)).sum(1)
    sampling = (np.nanvar(values, axis=1, ddof=1) / count).mean(0)
    sd = np.sqrt(np.maximum(means.var(0, ddof=1) - sampling, 0))
    return {name: means.mean(0), f"{name}_mcse": means.std(0, ddof=1) / np.sqrt(len(means)), f"{name}_sd": sd}


def _correlations(values: np.ndarray) -> dict[str, np.ndarray]:
    """Within particles, of replicates with all estimates: mean, its error, spread between particles."""
    whole = ~np.isnan(values).any(-1)
    enough = whole.sum(1) > values.shape[1] / 2
    within = [np.corrcoef(v[w].T) for v, w in zip(values[enough], whole[enough], strict=True)]
    mean, spread = np.mean(within, axis=0), np.var(within, axis=0, ddof=1)
    sampling = (1 - mean**2) ** 2 / (whole[enough].sum(1).mean() - 1)
    return {
        "mean": mean,
        "mcse": np.sqrt(spread / len(within)),
        "sd": np.sqrt(np.maximum(spread - sampling, 0)).round(6),
    }
