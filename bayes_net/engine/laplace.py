"""A posterior drawn from its Laplace approximation, and what that costs, without a Markov chain.

Given the free standard deviations the other variables have a log density that is nearly quadratic; the
standard deviations themselves have not. So the approximation is nested (Rue, Martino and Chopin 2009,
doi:10.1111/j.1467-9868.2008.00700.x): Student's t of the log standard deviations, and of the others given
these, around their mode with the scale of its curvature. Mode and scale are found at a few points of the
standard deviations and are quadratic functions of them in between, so that proposals have a density in closed
form. Their importance weights are Pareto-smoothed (Vehtari et al. 2024, arXiv:1507.02646).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from itertools import combinations, product, takewhile

import numpy as np

from bayes_net.compiled.code import code
from bayes_net.engine.posterior import Posterior
from bayes_net.numbers import format_count, rounded
from bayes_net.schema import LAPLACE, MAX_PARETO_K, MIN_ESS, NUTS

DF_OF_SCALES, DF_GIVEN_SCALES = 3.0, 10.0
"""Degrees of freedom of Student's t: tails that are heavier than those of what they propose for."""
PROPOSALS = 2
"""Weighted proposals for every draw that is kept."""
START_SPREAD = 1.0
"""How many SDs of the approximation chains start from its centre: as far out as its draws lie."""
LEAST_CORRELATION = 0.05
_PILOT = 1000
"""Proposals from which the spread of the standard deviations is found."""
_REACH, _FARTHEST = 1.5, 2.5
"""Posterior SDs of the log standard deviations: of the points at which modes are found, and where they stop
to move."""
_DIFFERENCE, _CONVERGED, _ITERATIONS, _LONGEST_STEP, _LEAST_CURVATURE = 1e-4, 1e-6, 100, 2.0, 1e-2


@dataclass(frozen=True, eq=False)
class Approximation:
    """Draws (chain, draw, size) of the sampler's vector, resampled by importance, with their log density
    (chain, draw); Pareto's k of the weights, and the effective size of the weighted proposals.

    A chain is resampled from proposals of its own, and in their order: copies of one proposal are neighbours.
    What weights cost is then what autocorrelation costs, and R-hat, ESS and Monte-Carlo errors hold as for
    chains of a sampler.
    """

    draws: np.ndarray
    logp: np.ndarray
    pareto_k: float
    ess: float

    @property
    def verdict(self) -> str:
        """ "laplace" where it may stand for the posterior, or else what is sampled instead, and why."""
        if self.pareto_k < MAX_PARETO_K and self.ess > MIN_ESS:
            return LAPLACE
        if not len(self.draws):
            return f"{NUTS}: the density has no mode for an approximation"
        found = f"Pareto k {rounded(self.pareto_k)} and importance ESS {format_count(self.ess)}"
        return f"{NUTS}: the approximation has {found}"


def approximate(posterior: Posterior, *, draws: int, chains: int, seed: int) -> Approximation:
    """The approximation of ``posterior``, bit for bit the same with the same seed; without draws where the
    density has no mode with curvature in every direction."""
    rng = np.random.default_rng(seed)
    try:
        proposal = _nested(posterior)
        points, _, log_weight, _ = _weighted(posterior, proposal, _PILOT, rng)
        if proposal.scales.size:
            proposal = proposal.moved(points[:, proposal.scales], np.exp(log_weight))
        points, height, log_weight, k = _weighted(posterior, proposal, PROPOSALS * draws * chains, rng)
    except np.linalg.LinAlgError:
        return Approximation(np.empty((0, draws, posterior.size)), np.empty((0, draws)), np.inf, 0.0)
    weight = np.exp(log_weight).reshape(chains, -1)
    kept = np.stack([_systematic(own, draws, rng) for own in weight])
    kept += weight.shape[1] * np.arange(chains)[:, None]
    return Approximation(points[kept], height[kept], k, float(1 / np.sum(weight**2)))


def turned_to_mode(posterior: Posterior) -> Posterior:
    """``posterior`` of a vector in which its Laplace approximation is standard normal; itself where there is
    no mode with curvature in every direction.

    The density is the same; a sampler whose steps are as long in every direction then takes fewer of them.
    """
    try:
        mode, curvature = _mode(posterior, posterior.start, np.arange(posterior.size))
        root = np.linalg.cholesky(np.linalg.inv(_positive(curvature)))
    except np.linalg.LinAlgError:
        return posterior
    if not np.isfinite(root).all():
        return posterior
    # what is hardly correlated stays apart: fewer products at every step
    root[np.abs(root) < LEAST_CORRELATION * np.linalg.norm(root, axis=1, keepdims=True)] = 0.0
    # the last digits hang on the number of threads that found them, and draws must not
    centre, root = (x.astype(np.float32).astype(float) for x in (mode, root))
    return posterior.turned(centre, root, spread=START_SPREAD)


def evaluate(posterior: Posterior, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log densities (n) and gradients (n, size) at ``points`` (n, size)."""
    points = np.ascontiguousarray(points, float)
    n, size = points.shape
    value, gradient = np.empty(n), np.empty((n, size))
    call, block = _CALL(code().log_density.address), posterior.block.ctypes.data
    x, g, v = points.ctypes.data, gradient.ctypes.data, value.ctypes.data
    for i in range(n):
        call(size, x + 8 * size * i, g + 8 * size * i, v + 8 * i, block)
    return value, gradient


_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *[ctypes.c_void_p] * 4)


@dataclass(frozen=True, eq=False)
class _Proposal:
    """Log standard deviations, places ``scales`` of the vector: Student's t around ``centre`` with ``root``.

    The others, places ``rest``: their mode, the log diagonal of their scale's Cholesky factor, and that
    factor with diagonal 1, each a quadratic function (coefficient, ...) of the scales less ``middle``, times
    ``unit``.
    """

    scales: np.ndarray
    rest: np.ndarray
    middle: np.ndarray
    unit: np.ndarray
    centre: np.ndarray
    root: np.ndarray
    mode: np.ndarray
    log_diagonal: np.ndarray
    factor: np.ndarray

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, size) and their log density up to a constant."""
        z, density = _student(n, len(self.scales), DF_OF_SCALES, rng)
        scales = self.centre + z @ self.root.T
        terms = _quadratic((scales - self.middle) @ self.unit)
        z, given = _student(n, len(self.rest), DF_GIVEN_SCALES, rng)
        turned = sum(
            term[:, None] * (z @ factor.T) for term, factor in zip(terms.T, self.factor, strict=True)
        )
        stretch = terms @ self.log_diagonal
        points = np.empty((n, len(self.scales) + len(self.rest)))
        points[:, self.scales] = scales
        points[:, self.rest] = terms @ self.mode + np.exp(stretch) * turned
        return points, density + given - stretch.sum(axis=1)

    def moved(self, scales: np.ndarray, weight: np.ndarray) -> _Proposal:
        """With the mean and the covariance of weighted ``scales`` in the place of its own."""
        centre = weight @ scales
        away = scales - centre
        root = np.linalg.cholesky((away * weight[:, None]).T @ away + 1e-12 * np.eye(len(centre)))
        return replace(self, centre=centre, root=root)


def _student(n: int, size: int, df: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws of a standard Student's t of so many dimensions, and their log density up to a constant."""
    z = rng.standard_normal((n, size)) / np.sqrt(rng.chisquare(df, (n, 1)) / df)
    return z, -(df + size) / 2 * np.log1p((z**2).sum(axis=1) / df)


def _quadratic(at: np.ndarray) -> np.ndarray:
    """Terms (n, coefficient) of a quadratic function at points (n, dimension), which end at ``_FARTHEST``."""
    at = np.clip(at, -_FARTHEST, _FARTHEST)
    pairs = [at[:, i] * at[:, j] for i, j in combinations(range(at.shape[1]), 2)]
    return np.column_stack([np.ones(len(at)), at, at**2, *pairs])


def _weighted(
    posterior: Posterior, proposal: _Proposal, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Proposals, their log densities, their Pareto-smoothed log weights, which sum to 1, and Pareto's k."""
    from arviz_stats.base import array_stats

    points, density = proposal.draw(n, rng)
    height = evaluate(posterior, points)[0]
    possible = np.isfinite(height)
    log_weight = np.full(n, -np.inf)
    if possible.any():
        # ArviZ takes minus the log weight, as of a likelihood that is left out
        with np.errstate(divide="ignore", invalid="ignore"):  # hopeless weights give k = NaN
            log_weight[possible], k = array_stats.psislw(density[possible] - height[possible])
    if not (possible.any() and np.isfinite(k)):
        raise np.linalg.LinAlgError("no proposal has weight")
    return points, height, log_weight - np.logaddexp.reduce(log_weight), float(k)


def resampled(weight: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Places (chain, draw) of so many draws of each chain among all points, by their ``weight`` (chain,
    point): those of a chain are its own, and in their order."""
    kept = np.stack([_systematic(own, draws, rng) for own in weight])
    return kept + weight.shape[1] * np.arange(len(weight))[:, None]


def _systematic(weight: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of ``n`` of the weighted, each as often as its weight says give or take one, in their order."""
    passed = np.cumsum(weight)
    return np.searchsorted(passed / passed[-1], (np.arange(n) + rng.random()) / n, side="right")


def mode_and_sd(posterior: Posterior, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """A variable at the mode of the whole density, and its standard deviation by the curvature there, without
    a draw; None where there is no curvature in every direction. Quick, and unproven near a bar."""
    mode, curvature = _mode(posterior, posterior.start, np.arange(posterior.size))
    try:
        covariance = np.linalg.inv(_positive(curvature))
    except np.linalg.LinAlgError:
        return None
    before = takewhile(lambda other: other != name, posterior.variables)
    first = sum(posterior.variables[other].size for other in before)
    own = slice(first, first + posterior.variables[name].size)
    return mode[own], np.sqrt(np.diag(covariance)[own])


# --- modes and their curvature ------------------------------------------------------------------------------


def _nested(posterior: Posterior) -> _Proposal:
    scales = np.concatenate(
        [np.full(variable.size, variable.log) for variable in posterior.variables.values()]
    ).nonzero()[0]
    rest = np.setdiff1d(np.arange(posterior.size), scales)
    mode, curvature = _mode(posterior, posterior.start, np.arange(posterior.size))
    covariance = np.linalg.inv(_positive(curvature))
    middle, root = mode[scales], np.linalg.cholesky(covariance[np.ix_(scales, scales)])
    corners = _REACH * np.array(_design(len(scales)))
    along = covariance[np.ix_(rest, scales)] @ np.linalg.inv(covariance[np.ix_(scales, scales)])
    modes, logs, factors = [], [], []
    for corner in corners @ root.T:
        at = mode.copy()
        at[scales] += corner
        at[rest] += along @ corner
        at, curvature = _mode(posterior, at, rest)
        factor = np.linalg.cholesky(np.linalg.inv(_positive(curvature)))
        modes.append(at[rest])
        logs.append(np.log(np.diag(factor)))
        factors.append(factor / np.diag(factor)[:, None])
    solve = np.linalg.pinv(_quadratic(corners))
    fitted = (np.tensordot(solve, np.array(part), axes=1) for part in (modes, logs, factors))
    return _Proposal(scales, rest, middle, np.linalg.inv(root).T, middle, root, *fitted)


def _design(size: int) -> list[tuple[float, ...]]:
    """Middle, ends of axes and corners of a cube: enough for a quadratic function."""
    axes = [tuple(sign * float(i == j) for j in range(size)) for i in range(size) for sign in (-1.0, 1.0)]
    pairs = [
        tuple(float({i: a, j: b}.get(k, 0.0)) for k in range(size))
        for i, j in combinations(range(size), 2)
        for a, b in product((-0.7, 0.7), repeat=2)
    ]
    return [(0.0,) * size, *axes, *pairs]


def _mode(posterior: Posterior, start: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mode in the directions ``free``, by Newton's method, and minus the curvature there."""
    at, height = start.astype(float), -np.inf
    for _ in range(_ITERATIONS):
        curvature = _curvature(posterior, at, free)
        value, gradient = evaluate(posterior, at[None])
        height, gradient = value[0], gradient[0, free]
        size, axes = np.linalg.eigh(curvature)
        # away from the mode the density may curve upwards: there the step only has to go up
        step = axes @ ((axes.T @ gradient) / np.maximum(np.abs(size), _LEAST_CURVATURE))
        gain, step = gradient @ step, step * min(1.0, _LONGEST_STEP / max(np.abs(step).max(), 1e-300))
        if gain < _CONVERGED:
            return at, curvature
        trial = np.repeat(at[None], 12, axis=0)
        trial[:, free] += step * 0.5 ** np.arange(12)[:, None]
        higher = np.flatnonzero(evaluate(posterior, trial)[0] >= height)
        if not len(higher):
            return at, curvature
        at = trial[higher[0]]
    return at, curvature


def mode_and_curvature(posterior: Posterior, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mode of the whole density, and minus the curvature there.

    Raises
    ------
    numpy.linalg.LinAlgError
        The density has no mode with curvature in every direction.
    """
    mode, curvature = _mode(posterior, start, np.arange(posterior.size))
    return mode, _positive(curvature)


def _curvature(posterior: Posterior, at: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Minus the second derivatives of the log density, by central differences of its gradient."""
    steps = np.zeros((2, len(free), len(at)))
    steps[:, np.arange(len(free)), free] = np.array([[_DIFFERENCE], [-_DIFFERENCE]])
    up, down = evaluate(posterior, (at + steps).reshape(-1, len(at)))[1].reshape(2, len(free), -1)[..., free]
    half = (down - up) / (2 * _DIFFERENCE)
    return (half + half.T) / 2


def _positive(curvature: np.ndarray) -> np.ndarray:
    np.linalg.cholesky(curvature)  # raises where a direction has no curvature
    return curvature
