"""PyMC, imported quietly on every machine and here only, and stated priors as its variables.

Sampling runs on PyTensor's numba backend, which needs neither a C++ compiler nor a BLAS of its own.
PyTensor would search for both, and warn that its C backend will be slow without: not true of anything
here. Its cache of compiled pieces on disk is left out as well: code that is partly read from there and
partly compiled rounds differently, and then one seed gives different draws. Whoever sets these flags
themselves, or imports PyTensor first, keeps what they chose.
"""

from __future__ import annotations

import os
import shutil
import sys
import warnings

import numpy as np

from bayes_net.assumptions import priors
from bayes_net.assumptions.priors import (
    Borrowing,
    Fixed,
    HalfCauchy,
    HalfNormal,
    Heterogeneity,
    Normal,
    Prior,
)
from bayes_net.statistics.base import Maths


def _quiet_flags() -> str:
    """PYTENSOR_FLAGS with what numba has no use for left out, and the cache that changes draws."""
    given = os.environ.get("PYTENSOR_FLAGS", "")
    flags = [given] if given else []
    if "blas__ldflags" not in given:
        flags.append("blas__ldflags=")
    if "numba__cache" not in given:
        flags.append("numba__cache=False")
    if "cxx" not in given and shutil.which("g++") is None:
        flags.append("cxx=")
    return ",".join(flags)


if "pytensor" not in sys.modules:
    os.environ["PYTENSOR_FLAGS"] = _quiet_flags()

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
    import pymc as pm
    import pytensor.tensor as pt


__all__ = ["pm", "pt"]


def log_ndtr(u):
    """Log probability of a standard normal below ``u``: the sum of what it is below 0, and above, of which
    one does not move; so that neither, nor a gradient, overflows."""
    left, right = pt.minimum(u, 0.0), pt.maximum(u, 0.0)
    tail = pt.log(pt.erfcx(-left / np.sqrt(2.0))) - 0.5 * left**2
    return tail + pt.log1p(-0.5 * pt.erfc(right / np.sqrt(2.0)))


def log_sigmoid(x):
    """Log of the logistic function."""
    return -pt.softplus(-x)


GRAPH = Maths(
    pt.exp, pt.log, pt.expm1, log_ndtr, pt.where, pt.logaddexp, log_sigmoid, pt.gammaln, pt.sin, pt.arcsin
)
"""The operations of PyTensor under the names that numpy's have in ``statistics.NUMPY``."""

Dims = tuple[str, ...]


def random_variable(name: str, prior: Prior | Heterogeneity | Borrowing, dims: Dims = ()):
    """The variable ``name`` of the model in whose context this is called, with its stated prior.

    A ``Borrowing`` of two components is weight * N(0, sd) + (1 - weight) * N(0, vague_sd), element by element
    (Schmidli et al. 2014, doi:10.1111/biom.12242). What is ``Fixed`` is no variable: its value comes back, an
    array of the same dims. ``Flat`` is improper: a model with one has a posterior, but no prior to draw from.
    """
    match prior:
        case Normal(mean, sd):
            return pm.Normal(name, _exact(mean), _exact(sd), dims=dims)
        case HalfNormal(sd):
            return pm.HalfNormal(name, _exact(sd), dims=dims)
        case HalfCauchy(scale):
            return pm.HalfCauchy(name, _exact(scale), dims=dims)
        case priors.Flat():
            return pm.Flat(name, dims=dims)
        case Borrowing(weight=weight, sd=sd, vague_sd=vague_sd):
            weights, sds = _exact([weight, 1.0 - weight]), _exact([sd, vague_sd])
            return pm.NormalMixture(name, w=weights, mu=0.0, sigma=sds, dims=dims)
        case Fixed(value):
            return np.full([len(pm.modelcontext(None).coords[dim]) for dim in dims], value)
    raise TypeError(
        f"prior of {name} is {prior!r}; expected Normal, HalfNormal, HalfCauchy, Flat, Fixed or Borrowing"
    )


def _exact(value) -> np.ndarray:
    """In double precision: of a bare number such as 0.5, which fits a shorter one, PyTensor would take the
    logarithm to seven digits only."""
    return np.asarray(value, np.float64)


def random_walk(level: Prior, step_sd: Prior, basis: np.ndarray, dims: Dims, *, prefix: str = ""):
    """A log hazard by interval, dims (*dims, interval): a random walk whose average over time is ``level``.

        log h[k] = level + step_sd * sum_b basis[k, b] * step[b],    step[b] ~ N(0, 1)

    ``basis``, (interval, boundary), is that of ``hazard.walk_basis``: ``step_sd`` is the SD over a year.
    Variables: ``level``, ``step_sd`` (dims) and ``step`` (dims, boundary), with ``prefix`` before each name;
    of a single interval ``level`` alone.
    """
    mean = random_variable(f"{prefix}level", level, dims)
    if not basis.shape[1]:
        return mean[..., None]
    sd = random_variable(f"{prefix}step_sd", step_sd, dims)
    step = pm.Normal(f"{prefix}step", 0.0, 1.0, dims=(*dims, f"{prefix}boundary"))
    return mean[..., None] + (sd[..., None] * step) @ basis.T
