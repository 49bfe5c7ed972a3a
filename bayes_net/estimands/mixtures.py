"""What earlier studies say about a new one: mixtures of normals as informative priors.

The predictive distribution of a new study's parameter becomes a mixture of normals, which is made
robust against conflict, weighed in patients or events, and updated with the new study's estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special

from bayes_net.errors import InputError

if TYPE_CHECKING:
    from scipy import stats

MOST_COMPONENTS, FEWEST_DRAWS, STEPS = 4, 100, 1000
NEGLIGIBLE = 1e-10
"""Share of an integral that its tails may lack."""
PENALTY = 6.0
"""Of each parameter in the AIC: RBesT's default, not 2, for draws of a chain are not independent."""


@dataclass(frozen=True)
class NormalMixture:
    """Mixture of normals; the weights add up to 1, and a component may have weight 0."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...]

    def __post_init__(self) -> None:
        parts = (self.weights, self.means, self.sds)
        usable = all(isinstance(part, tuple) and len(part) == len(self.weights) > 0 for part in parts)
        usable = usable and bool(np.isfinite(parts).all()) and min(self.sds) > 0 and min(self.weights) >= 0
        if not (usable and abs(sum(self.weights) - 1) < 1e-12):
            raise InputError(
                f"mixture has weights {self.weights}, means {self.means} and sds {self.sds}; expected three "
                "tuples of one length and finite values, weights >= 0 with sum 1 and sds > 0"
            )

    @cached_property
    def _scipy(self) -> stats.Mixture:
        """SciPy's mixture, without components of weight 0: it would take the logarithm of their weight."""
        from scipy import stats

        parts = [part for part in zip(self.weights, self.means, self.sds, strict=True) if part[0] > 0]
        return stats.Mixture(
            [stats.Normal(mu=m, sigma=s) for _, m, s in parts], weights=[w for w, _, _ in parts]
        )

    @property
    def mean(self) -> float:
        """Mean of the mixture."""
        return float(self._scipy.mean())

    @property
    def sd(self) -> float:
        """Standard deviation of the mixture: variance within components and between them."""
        return float(self._scipy.standard_deviation())

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        """Log density at ``x``, elementwise."""
        return self._scipy.logpdf(x)

    def pdf(self, x: np.ndarray) -> np.ndarray:
        """Density at ``x``, elementwise."""
        return self._scipy.pdf(x)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Probability of at most ``x``, elementwise."""
        return self._scipy.cdf(x)

    def quantile(self, q: np.ndarray) -> np.ndarray:
        """Value below which the mixture has probability ``q``, elementwise."""
        if not ((np.asarray(q) >= 0) & (np.asarray(q) <= 1)).all():
            raise InputError(f"quantiles are asked at {q}; expected probabilities, 0 to 1")
        # SciPy's bracket is finite: the ends are those of a normal
        return np.where(np.isin(q, (0, 1)), special.ndtri(q), self._scipy.icdf(q))[()]

    def draw(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> np.ndarray:
        """Independent draws of the given size."""
        return self._scipy.sample(size, rng=rng)


def _mixture(weights: npt.ArrayLike, means: npt.ArrayLike, sds: npt.ArrayLike) -> NormalMixture:
    return NormalMixture(*(tuple(np.asarray(part, float).tolist()) for part in (weights, means, sds)))


def _log_terms(mixture: NormalMixture, x: npt.ArrayLike) -> np.ndarray:
    """Log of each component's weight times its density at ``x``; the components are the last axis."""
    z = (np.asarray(x, float)[..., None] - mixture.means) / mixture.sds
    # xlogy(1, 0) is -inf without a warning
    return special.xlogy(1.0, mixture.weights) - np.log(mixture.sds) - (z**2 + np.log(2 * np.pi)) / 2


def _climb(mixture: NormalMixture, draws: np.ndarray) -> tuple[NormalMixture, float]:
    """The mixture where EM gains no more, and its log likelihood, of standardised draws.

    No component collapses: each one's variance is taken as if two more draws had one of 0.2².
    Ciuperca, Ridolfi and Idier 2003, doi:10.1111/1467-9469.00317.
    """
    weights, means, sds = (np.array(part)[:, None] for part in (mixture.weights, mixture.means, mixture.sds))
    last = -np.inf
    for _ in range(STEPS):
        terms = special.xlogy(1.0, weights) - np.log(sds) - ((draws - means) / sds) ** 2 / 2
        peak = terms.max(axis=0)
        shares = np.exp(terms - peak)
        total = shares.sum(axis=0)
        gain, last = np.sum(peak + np.log(total)) - last, np.sum(peak + np.log(total))
        if gain < 1e-3:
            break
        shares /= total
        size = shares.sum(axis=1, keepdims=True)
        means = (shares @ draws)[:, None] / np.maximum(size, 1e-300)
        squares = (shares * (draws - means) ** 2).sum(axis=1, keepdims=True)
        weights, sds = size / size.sum(), np.sqrt((squares + 2 * 0.2**2) / (size + 2))
    return _mixture(weights.ravel(), means.ravel(), sds.ravel()), float(last)


def _fit(draws: np.ndarray, k: int, rng: np.random.Generator) -> tuple[NormalMixture, float]:
    """Best of EM's ends from neighbouring groups, from one centre with several widths, and at random."""
    thin = rng.permutation(draws)[:1000]
    groups = np.array_split(np.sort(thin), k)
    starts = [
        (np.array([g.mean() for g in groups]), np.array([g.std() + 0.1 for g in groups])),
        (np.zeros(k), np.geomspace(0.5, 2.0, k)),
        *((rng.choice(thin, k), np.ones(k)) for _ in range(2)),
    ]
    ends = [
        _climb(_mixture(np.full(k, 1 / k), means, sds), thin) for means, sds in starts[: 4 if k > 1 else 1]
    ]
    return _climb(max(ends, key=lambda end: end[1])[0], draws)


def fit_mixture(draws: np.ndarray, *, seed: int, components: int | None = None) -> NormalMixture:
    """Mixture of normals closest to the draws of a distribution, heaviest component first.

    EM from several starts; the number of components, if not given, is that of 1 to 4 with the smallest
    AIC (``PENALTY``; fewer if equal). Weber et al. 2021, doi:10.18637/jss.v100.i19.
    """
    draws, options = np.asarray(draws, float), range(1, MOST_COMPONENTS + 1)
    if draws.ndim != 1 or len(draws) < FEWEST_DRAWS or not np.isfinite(draws).all() or np.ptp(draws) == 0:
        raise InputError(
            f"draws have shape {draws.shape} and {np.isfinite(draws).sum()} finite values; expected one "
            f"dimension, at least {FEWEST_DRAWS} draws, all finite and not all equal"
        )
    if components is not None and components not in options:
        raise InputError(f"components is {components}; expected 1 to {MOST_COMPONENTS}, or None to choose")
    from scipy import stats

    centre, scale = np.median(draws), stats.iqr(draws, scale="normal") or draws.std()
    rng = np.random.default_rng(seed)
    fits = [_fit((draws - centre) / scale, k, rng) for k in ([components] if components else options)]
    best, _ = min(fits, key=lambda fit: PENALTY * (3 * len(fit[0].weights) - 1) - 2 * fit[1])
    parts = sorted(zip(best.weights, best.means, best.sds, strict=True), reverse=True)
    weights, means, sds = np.array(parts).T
    return _mixture(weights, centre + scale * means, scale * sds)


def robustify(mixture: NormalMixture, *, weight: float, mean: float = 0.0, sd: float) -> NormalMixture:
    """The mixture with a vague component N(mean, sd) of the given weight put last; others share the rest.

    Schmidli et al. 2014, doi:10.1111/biom.12242.
    """
    if not 0 <= weight <= 1:
        raise InputError(f"vague component has weight {weight}; expected 0 to 1, e.g. 0.2")
    weights = (*((1 - weight) * w for w in mixture.weights), weight)
    return NormalMixture(weights, (*mixture.means, mean), (*mixture.sds, sd))


def update(prior: NormalMixture, estimate: float, se: float) -> NormalMixture:
    """Posterior after a normal estimate with standard error ``se``; an infinite one changes nothing.

    Each weight is multiplied by the density its component gave to the estimate, so that under conflict
    the vague component takes over. Schmidli et al. 2014, doi:10.1111/biom.12242.
    """
    if np.isposinf(se):
        return prior
    if not (np.isfinite(estimate) and np.isfinite(se) and se > 0):
        raise InputError(f"estimate is {estimate}, its se {se}; expected a finite estimate and se > 0")
    predictive = _mixture(prior.weights, prior.means, np.hypot(prior.sds, se))
    weights = special.softmax(_log_terms(predictive, estimate))
    ratio = np.divide(prior.sds, predictive.sds)
    return _mixture(weights, prior.means + ratio**2 * np.subtract(estimate, prior.means), ratio * se)


def binomial_information(logit: np.ndarray) -> np.ndarray:
    """Information that one patient has on the logit of a probability, p (1 - p): sizes in patients."""
    return special.expit(logit) * special.expit(np.negative(logit))


def _local_information(mixture: NormalMixture, x: np.ndarray) -> np.ndarray:
    """Minus the second derivative of the log density: mean precision less the slopes' variance."""
    shares, precision = special.softmax(_log_terms(mixture, x), axis=-1), 1 / np.square(mixture.sds)
    slopes = np.subtract(mixture.means, np.asarray(x, float)[..., None]) * precision
    mean_slope = (shares * slopes).sum(axis=-1, keepdims=True)
    return (shares * (precision - (slopes - mean_slope) ** 2)).sum(axis=-1)


def _quadrature(mixture: NormalMixture) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre points and weights: panels of half an sd to where every component's density is 0."""
    edges = np.unique(np.array(mixture.means) + np.outer(np.arange(-39, 39.5, 0.5), mixture.sds))
    node, weight = np.polynomial.legendre.leggauss(10)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + node)).ravel(), (half * weight).ravel()


def elir(prior: NormalMixture, unit_information: Callable[[np.ndarray], np.ndarray]) -> float:
    """Expected local-information-ratio effective sample size, the prior mean of i(x) / i_F(x).

    i is minus the second derivative of the log prior density, i_F the Fisher information of one unit. A
    normal prior is worth 1 / sd² events; N events more are expected to add N. Neuenschwander et al.
    2020, doi:10.1111/biom.13252.
    """
    x, weight = _quadrature(prior)
    density = prior.pdf(x)
    x, mass = x[density > 0], (weight * density)[density > 0]
    information = np.asarray(unit_information(x), float)
    usable, terms = information > 0, np.zeros_like(x)
    terms[usable] = (mass * _local_information(prior, x))[usable] / information[usable]
    # far out a formula of the information may underflow: it is not missed where nothing is left to add
    ends = usable & (np.convolve(~usable, [1, 1, 1], mode="same") > 0)
    if not usable.any() or np.abs(terms[ends]).sum() > NEGLIGIBLE * np.abs(terms).sum():
        raise InputError(
            f"unit information is as low as {information.min():g} where the prior has mass; expected > 0: "
            "take a narrower prior, or the information of another scale"
        )
    return float(terms.sum())
