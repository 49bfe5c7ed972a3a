"""Where chains start when patients are so many that a fixed point would be thousands of SDs away.

With the walks' SDs at 1 the log-density of a hazard model is concave in everything else: Newton's method
finds its mode, and its curvature how far to spread the chains around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import xarray as xr

from bayes_net.assumptions.hazard import FreeVariable, Hazard, free_variables, sums_at_events
from bayes_net.assumptions.priors import Normal
from bayes_net.data.aggregated import AggregatedExposure
from bayes_net.engine.patients import patients_posterior, sampled_variables
from bayes_net.inference import closed_form
from bayes_net.inference.closed_form import as_defined, log_hazard_of_nodes, parameters, step_scale
from bayes_net.inference.sampling import labelled
from bayes_net.labels import Labels
from bayes_net.model.likelihoods import log_likelihood_of_sums
from bayes_net.model.predictors import coordinates
from bayes_net.schema import ARM, INTERVAL, SAMPLE_DIMS, STEP_SD

SPREAD = 2.0
"""Posterior SDs, as the mode's curvature has them, by which starting points differ."""
_LEAST_STEP_SD, _LOG_SD_SPREAD = 1e-3, 0.3
_RIDGE, _ITERATIONS, _CONVERGED = 1e-6, 100, 1e-8


def starting_points(hazard: Hazard, data: AggregatedExposure) -> tuple[np.ndarray, np.ndarray]:
    """Centre and SD of starting points, over the vector of ``patients_posterior``."""
    free = sampled_variables(hazard, data)
    coords = coordinates(data)
    shapes = {name: tuple(len(coords[dim]) for dim in each.dims) for name, each in free.items()}
    scales = {name: walk.steps for name, walk in free.items() if walk.steps}
    linear = {name: shape for name, shape in shapes.items() if name not in scales}
    units = _unit_vectors(linear, free, coords)
    size = units.sizes["draw"]
    one = units.assign(
        {name: ((*SAMPLE_DIMS, *free[name].dims), np.ones((1, size, *shapes[name]))) for name in scales}
    )
    derived = closed_form.with_derived(as_defined(one, hazard, data), hazard, data)
    mode, spread = _newton(_design(derived, data), *_prior(derived, hazard, data))
    found = {
        name: (mode[at].reshape(linear[name]), spread[at].reshape(linear[name]))
        for name, at in _slices(linear)
    }
    for sd, step in scales.items():
        if sd == STEP_SD:
            found |= _walk(found[step], one.isel(draw=0, chain=0), hazard, data)
        else:
            found |= dict(zip((step, sd), _standard_walk(*found[step]), strict=True))
    centre, around = (np.concatenate([found[name][i].ravel() for name in free]) for i in (0, 1))
    return centre, SPREAD * around


def starts_of_definition(
    hazard: Hazard, data: AggregatedExposure, names: Sequence[str]
) -> Callable[[int], np.ndarray]:
    """From a seed to a starting point of ``hazard_model`` with free variables ``names``, in this order."""
    posterior = patients_posterior(data, hazard).starting_near(*starting_points(hazard, data))
    variables = sampled_variables(hazard, data)
    dims = {name: own.dims for name, own in variables.items()}
    scales = [name for name, own in variables.items() if own.steps]

    def point(seed: int) -> np.ndarray:
        sampled = posterior.named(posterior.first_point(seed)[None, None])
        defined = as_defined(labelled(sampled, dims, coordinates(data)), hazard, data)
        unconstrained = defined.assign({name: np.log(defined[name]) for name in scales})
        return np.concatenate([unconstrained[name].values.ravel() for name in names])

    return point


def _slices(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, slice]]:
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + int(np.prod(shape))
        yield name, slice(start, end)


def _unit_vectors(
    linear: Mapping[str, tuple[int, ...]], free: Mapping[str, FreeVariable], coords: Labels
) -> xr.Dataset:
    """One draw for every linear parameter, in which it is 1 and the others 0."""
    size = sum(int(np.prod(shape)) for shape in linear.values())
    identity = np.eye(size)[None]
    values = {
        name: ((*SAMPLE_DIMS, *free[name].dims), identity[..., at].reshape(1, size, *linear[name]))
        for name, at in _slices(linear)
    }
    used = {dim for name in linear for dim in free[name].dims} | {ARM, INTERVAL}
    return xr.Dataset(values, {dim: coords[dim] for dim in used})


def _prior(units: xr.Dataset, hazard: Hazard, data: AggregatedExposure) -> tuple[np.ndarray, np.ndarray]:
    """Mean and precision matrix of the linear parameters, of which ``units`` has one a draw, with the walk's
    SD at 1."""
    mean, precision = 0.0, _RIDGE * np.eye(units.sizes["draw"])
    for name, (prior, dims, *_) in free_variables(hazard, data).items():
        if isinstance(prior, Normal):
            rows = units[name].isel(chain=0).transpose("draw", *dims).values
            weighted = rows.reshape(len(rows), -1) / prior.sd**2
            precision = precision + weighted @ rows.reshape(len(rows), -1).T
            mean = mean + weighted.sum(axis=1) * prior.mean
    return np.linalg.solve(precision, np.broadcast_to(mean, len(precision))), precision


def _design(units: xr.Dataset, data: AggregatedExposure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By linear parameter: its part in the log hazard of every node, and in the events' sum of log hazards;
    and the nodes' months."""
    drawn, held = parameters(units), data.weight > 0
    hits = log_likelihood_of_sums(0.0, sums_at_events(data, drawn.slope.shape[-1]), *drawn)
    return log_hazard_of_nodes(drawn, data.patterns, data.score)[0][:, held], hits[0], data.weight[held]


def _newton(
    design: tuple[np.ndarray, np.ndarray, np.ndarray], mean: np.ndarray, precision: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The mode, and the SD of each parameter given the others' uncertainty."""
    nodes, hits, months = design

    def height(at: np.ndarray) -> float:
        with np.errstate(over="ignore"):
            return hits @ at - months @ np.exp(at @ nodes) - (at - mean) @ precision @ (at - mean) / 2

    at = mean.copy()
    for _ in range(_ITERATIONS):
        risk = months * np.exp(at @ nodes)
        gradient = hits - nodes @ risk - precision @ (at - mean)
        curvature = (nodes * risk) @ nodes.T + precision
        step = np.linalg.solve(curvature, gradient)
        gain = gradient @ step
        while not height(at + step) >= height(at) and np.abs(step).max() > _CONVERGED**2:
            step = step / 2
        at = at + step
        if gain < _CONVERGED:
            break
    return at, np.sqrt(np.diag(np.linalg.inv(curvature)))


def _walk(
    step: tuple[np.ndarray, np.ndarray], one: xr.Dataset, hazard: Hazard, data: AggregatedExposure
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Start of the walk's SD, which is that of the steps found, and of the steps on its scale."""
    before = step_scale(one, hazard, data)
    standard = before.copy(data=step[0] / before.values)
    sd = np.sqrt((standard**2).mean("boundary")).clip(min=_LEAST_STEP_SD)
    after = step_scale(one.assign({STEP_SD: sd}), hazard, data)
    factor = (after / (sd * before)).transpose(*before.dims).values
    spread = np.full(sd.shape, _LOG_SD_SPREAD)
    return {"step": (step[0] * factor, step[1] * factor), STEP_SD: (np.log(sd.values), spread)}


def _standard_walk(step: np.ndarray, spread: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same of a walk whose standard normal steps (arm, boundary) are sampled as they are. What is not
    known of a step counts towards its size."""
    sd = np.sqrt((step**2 + spread**2).mean(axis=-1)).clip(min=_LEAST_STEP_SD)
    yield step / sd[:, None], spread / sd[:, None]
    yield np.log(sd), np.full(sd.shape, _LOG_SD_SPREAD)
