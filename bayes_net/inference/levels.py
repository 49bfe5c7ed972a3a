"""Levels of single-arm studies, drawn given what the trials tell: the second stage of a cut.

The first stage samples the posterior of the network without the curves of these studies. For each of its
draws the level of a study then has the density

    p(level | all else)  ~  prior(level) x likelihood of the study's own curve,

which is one-dimensional. Of points of survival the likelihood is normal in the level and the density a
mixture of normals; with restricted means or patients it is drawn by inverting its distribution function. What
a study adds stays in the study: nothing of the first stage depends on it (Plummer 2015,
doi:10.1007/s11222-014-9503-z).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from bayes_net.assumptions.network import Network, Pair
from bayes_net.assumptions.participants import Participants
from bayes_net.assumptions.priors import EXCHANGEABLE, Borrowing, HalfNormal, Normal
from bayes_net.inference.arrays import draw_free
from bayes_net.model.likelihoods import linear_parts, printed
from bayes_net.model.predictors import derive, scaled
from bayes_net.statistics.curves import log_cumulative_hazard
from bayes_net.statistics.kinds import KINDS

_FAR = np.geomspace(1e-4, 30.0, 57)
COARSE = np.concatenate([-_FAR[::-1], [0.0], _FAR])
"""Where levels are looked for first: log hazard ratios at every scale, to 30 either way."""
QUANTILES = special.ndtr(np.linspace(-6.0, 6.0, 65))
ROUNDS = 4
"""How often nodes are added at the quantiles of what the nodes so far say."""
SPREADS = np.geomspace(1e-3, 6.0, 64)
"""Heterogeneities between studies that are looked at, in scales of their prior."""
_BLOCK = 2000

LogDensity = Callable[[np.ndarray], np.ndarray]
"""Of nodes (draw, node), up to a constant of each draw."""


@dataclass(frozen=True)
class _Likelihood:
    """Of the level x of each draw: exp(slope x - precision x^2 / 2), (draw,), times the ``rest``."""

    slope: np.ndarray
    precision: np.ndarray
    rest: tuple[LogDensity, ...] = ()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        total = x * (self.slope[:, None] - 0.5 * self.precision[:, None] * x)
        return total + sum(part(x) for part in self.rest)

    def log_marginal(self, sd: np.ndarray) -> np.ndarray:
        """Without a rest: log of its mean over levels that are normal with standard deviation ``sd``."""
        factor = 1.0 + self.precision[:, None] * sd**2
        return 0.5 * (self.slope[:, None] * sd) ** 2 / factor - 0.5 * np.log(factor)


def with_levels(first: Mapping[str, np.ndarray], network: Network, *, seed: int) -> dict[str, np.ndarray]:
    """The free variables of ``network``, (chain, draw, ...), from those of its ``first_stage``.

    What the first stage does not have is drawn from its prior, such as the factor on the standard error of a
    study's median, and the studies' levels given that.
    """
    if not network.conditional:
        return dict(first)
    rng, lead = np.random.default_rng([seed, 3]), next(iter(first.values())).shape[:2]
    values = draw_free(network, rng, lead)
    for name, at in _places(network).items():
        values[name][at] = first[name]
    draws = np.arange(lead[0] * lead[1])
    blocks = np.array_split(draws, -(-len(draws) // _BLOCK))
    flat = {name: value.reshape(len(draws), *value.shape[2:]) for name, value in values.items()}
    for block in blocks:
        own = {name: value[block] for name, value in flat.items()}
        _draw_levels(own, network, rng)
        for name in ("study_level", "study_level_z", "study_level_sd"):
            if name in own:
                flat[name][block] = own[name]
    return {name: value.reshape(values[name].shape) for name, value in flat.items()}


def of_first_stage(values: Mapping[str, np.ndarray], network: Network) -> dict[str, np.ndarray]:
    """The free variables of the ``first_stage`` among those of ``network``, (chain, draw, ...)."""
    return {name: values[name][at] for name, at in _places(network).items()}


def _places(network: Network) -> dict[str, Any]:
    """Where the first stage's elements of each free variable are among all."""
    found = {}
    for name, own in network.first_stage.free.items():
        dims = network.free[name].dims
        places = [[dims[dim].index(label) for label in labels] for dim, labels in own.dims.items()]
        found[name] = (..., *np.ix_(*places))
    return found


def _draw_levels(values: dict[str, np.ndarray], network: Network, rng: np.random.Generator) -> None:
    """Replace the levels of the single-arm studies, and where levels are exchangeable their SD."""
    prior = network.assumptions.study_level
    exchangeable = prior.kind == EXCHANGEABLE
    name, sd = ("study_level_z", values["study_level_sd"]) if exchangeable else ("study_level", np.ones(1))
    level = values[name] * sd[:, None]
    at = [network.borrowers.index(pair) for pair in network.conditional]
    level[:, at] = 0.0
    likelihoods = _likelihoods(values | {name: level / sd[:, None]}, network)
    if exchangeable:
        others = np.delete(level, at, axis=1)
        sd = _draw_spread(HalfNormal(prior.sd), others, likelihoods, rng)
        values["study_level_sd"] = sd
    for place, likelihood in zip(at, likelihoods, strict=True):
        own = sd[:, None] if exchangeable else prior
        level[:, place] = _draw_level(likelihood, own, rng)
    values[name] = level / sd[:, None]


def _draw_level(
    likelihood: _Likelihood, prior: np.ndarray | Borrowing, rng: np.random.Generator
) -> np.ndarray:
    """A level of each draw, with this borrowing, or normal with this SD of each draw, (draw, 1)."""
    u = rng.random(len(likelihood.slope))
    if likelihood.rest:
        return _draw(_posterior(likelihood, prior), u)
    if not isinstance(prior, Borrowing):
        sd = prior[:, 0]
    elif prior.mixes:
        weights = special.xlogy(1.0, [prior.weight, 1.0 - prior.weight])
        logs = weights + likelihood.log_marginal(np.array([prior.sd, prior.vague_sd]))
        sd = np.where(u < special.expit(logs[:, 0] - logs[:, 1]), prior.sd, prior.vague_sd)
    else:
        sd = np.full(len(u), prior.narrow_sd)
    precision = likelihood.precision + sd**-2.0
    return likelihood.slope / precision + rng.standard_normal(len(u)) / np.sqrt(precision)


def _posterior(likelihood: LogDensity, prior: np.ndarray | Borrowing) -> LogDensity:
    """Of a level with this borrowing, or normal with this SD of each draw, (draw, 1)."""
    if isinstance(prior, Borrowing):
        return lambda x: likelihood(x) + prior.logpdf(x)
    return lambda x: likelihood(x) - 0.5 * (x / prior) ** 2


def _likelihoods(values: Mapping[str, np.ndarray], network: Network) -> list[_Likelihood]:
    """Of each single-arm study's curve, as functions of its level; ``values`` (draw, ...) have it at 0."""
    effects = scaled(values, network)
    hazard = np.exp(derive(effects, network)["log_hazard"])
    factor = np.exp(linear_parts(effects, network).get("log_inflation", np.zeros((len(hazard), 0))))
    return [_likelihood(network, pair, hazard, factor) for pair in network.conditional]


def _likelihood(network: Network, pair: Pair, hazard: np.ndarray, factor: np.ndarray) -> _Likelihood:
    rows = np.flatnonzero(network.of_curves([pair]) & (network.power > 0))
    table, (value, se) = network.rows.iloc[rows], printed(network)
    precision = network.precision[np.ix_(rows, rows)]
    months = network.months(np.array([network.data[i].time for i in rows]))
    curves = [network.curves.index((*pair, arm)) for arm in table["arm"]]
    read = [KINDS[statistic].of_curve for statistic in table["statistic"]]
    error = se[rows] * factor[:, rows]

    def residuals(ratio: np.ndarray) -> np.ndarray:
        """In standard errors, (draw, ..., row), with hazards so many times (draw, ...) as high."""
        z = np.empty((*ratio.shape, len(rows)))
        for k, curve in enumerate(curves):
            z[..., k] = value[rows[k]] - read[k](hazard[:, None, curve] * ratio[..., None], months[k])
        return z / error[:, None]

    def of_rows(x: np.ndarray) -> np.ndarray:
        z = residuals(np.exp(x))
        return -0.5 * (z * (z @ precision)).sum(axis=-1)

    rest: list[LogDensity] = []
    slope, own_precision = np.zeros((2, len(hazard)))
    if all(function is log_cumulative_hazard for function in read):
        # a log cumulative hazard rises by the level: the residual at x is that at 0 less x / error
        at_0 = residuals(np.ones((len(hazard), 1)))[:, 0]
        slope = (at_0 @ precision / error).sum(axis=1)
        own_precision = (1.0 / error @ precision / error).sum(axis=1)
    else:
        rest.append(of_rows)
    for cohort in network.cohorts:
        if (cohort.endpoint, cohort.study) == pair and cohort.weight > 0:
            rest += _of_patients(cohort, network, hazard)
    return _Likelihood(slope, own_precision, tuple(rest))


def _of_patients(cohort: Participants, network: Network, hazard: np.ndarray) -> Iterator[LogDensity]:
    for arm, events, time in zip(network.assumptions.arms, cohort.events, cohort.person_time, strict=True):
        if time.any():
            expected = hazard[:, network.curves.index((cohort.endpoint, cohort.study, arm))] @ time
            yield partial(_followed, events=cohort.weight * events.sum(), expected=cohort.weight * expected)


def _followed(x: np.ndarray, *, events: float, expected: np.ndarray) -> np.ndarray:
    """Of patients with so many ``events``, of whom ``expected`` (draw,) were expected at level 0."""
    return events * x - expected[:, None] * np.exp(x)


def _draw_spread(
    prior: HalfNormal, others: np.ndarray, likelihoods: list[_Likelihood], rng: np.random.Generator
) -> np.ndarray:
    """The SD of exchangeable levels, (draw,), with the levels of the single-arm studies integrated out and
    the ``others`` (draw, study) known."""
    sd = prior.sd * SPREADS
    logs = prior.logpdf(sd) + Normal(0.0, 1.0).logpdf(others[..., None] / sd).sum(axis=1)
    logs = logs - others.shape[1] * np.log(sd)
    for likelihood in likelihoods:
        closed = not likelihood.rest
        own = likelihood.log_marginal(sd) if closed else _integrated(likelihood, sd, 3.0 * prior.sd)
        logs = logs + own
    nodes = np.broadcast_to(sd, logs.shape)
    return _quantiles(nodes, logs, rng.random((len(logs), 1)))[:, 0]


def _integrated(likelihood: _Likelihood, sd: np.ndarray, reach: float) -> np.ndarray:
    """``log_marginal`` by quadrature, (draw, sd), with nodes for levels that are as far out as ``reach``."""
    n = len(likelihood.slope)
    x = _nodes(_posterior(likelihood, np.full((n, 1), reach)), n)
    width = np.diff(x, axis=1)
    weight = 0.5 * (np.pad(width, ((0, 0), (1, 0))) + np.pad(width, ((0, 0), (0, 1))))
    with np.errstate(divide="ignore"):
        known = likelihood(x) + np.log(weight)
    density = -0.5 * (x[..., None] / sd) ** 2 - np.log(sd)
    return special.logsumexp(known[..., None] + density, axis=1)


def _draw(log_density: LogDensity, u: np.ndarray) -> np.ndarray:
    """Where each draw's distribution function is ``u``, (draw,)."""
    x = _nodes(log_density, len(u))
    return _quantiles(x, log_density(x), u[:, None])[:, 0]


def _nodes(log_density: LogDensity, n: int) -> np.ndarray:
    """Where each draw's density is known well enough to be taken as linear in between, (draw, node)."""
    coarse = np.broadcast_to(COARSE, (n, len(COARSE)))
    x, levels = coarse, np.broadcast_to(QUANTILES, (n, len(QUANTILES)))
    for _ in range(ROUNDS):
        x = np.sort(np.concatenate([coarse, _quantiles(x, log_density(x), levels)], axis=1), axis=1)
    return x


def _quantiles(x: np.ndarray, log_density: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Quantiles (draw, quantile) of densities that are linear between their nodes ``x`` (draw, node)."""
    p = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    mass = 0.5 * (p[:, 1:] + p[:, :-1]) * np.diff(x, axis=1)
    ends = np.pad(mass.cumsum(axis=1), ((0, 0), (1, 0)))
    ends /= ends[:, -1:]
    inner = zip(ends[:, 1:-1], at, strict=True)
    cell = np.stack([np.searchsorted(known, wanted, side="right") for known, wanted in inner])
    low, high = (np.take_along_axis(ends, cell + k, axis=1) for k in (0, 1))
    left, right = (np.take_along_axis(p, cell + k, axis=1) for k in (0, 1))
    share = np.clip((at - low) / (high - low), 0.0, 1.0)
    step = share * (left + right) / (left + np.sqrt(left**2 + share * (right**2 - left**2)))
    start, end = (np.take_along_axis(x, cell + k, axis=1) for k in (0, 1))
    return start + step * (end - start)
