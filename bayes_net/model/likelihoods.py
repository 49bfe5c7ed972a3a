"""What published numbers are expected to be, and counts in nested form: arrays of a network's rows. Below
them the likelihood of patients, of arrays and graphs alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from bayes_net.evidence.counts import LARGEST_SHRINKAGE, SMALLEST_SHRINKAGE, place
from bayes_net.evidence.kinds import KINDS
from bayes_net.evidence.statistics import Array, Quantity, Values
from bayes_net.model.network import Network
from bayes_net.model.predictors import derive
from bayes_net.model.statements import Unprinted, unprinted
from bayes_net.schema import NO_LIMIT


def linear_parts(effects: Values, network: Network) -> dict[str, np.ndarray]:
    """What the likelihood reads, each (..., element).

    ``location`` and ``log_inflation`` of every row (0 where it has none), ``response`` (a logit),
    ``shrinkage_location`` and ``shrinkage_log_spread`` of every count, ``estimate_z`` of every statement, and
    flat over rows or curves and
    intervals the log hazards ``curve_rows`` and ``curves``; of patients after their landmark ``after_slope``
    (stratum) and ``after``.
    """
    derived, found = derive(effects, network), {}
    first = next(iter(effects))
    lead = effects[first].shape[: effects[first].ndim - len(network.free[first].dims)]
    if len(network.rows):
        found["location"] = _locations(derived, effects, network, lead)
        tilt = np.array([d.se_tilt for d in network.data])
        found["log_inflation"] = _log_inflation(effects, network, lead) + tilt * found["location"]
    if len(said := np.flatnonzero(is_said(network))):
        found["estimate_z"] = effects["estimate_z"][..., np.searchsorted(said, network.statements.rows)]
    if network.groups("response"):
        found["response"] = derived["response"][..., count_rows(network, "response").group]
    if network.groups("shrinkage"):
        own = count_rows(network, "shrinkage").group
        for name in ("shrinkage_location", "shrinkage_log_spread"):
            found[name] = effects[name][..., own]
    if network.curve_rows:
        found["curve_rows"] = derived["log_hazard"][
            ..., [network.curves.index(c) for c in network.curve_rows], :
        ]
    if network.has_curve_patients:
        found["curves"] = derived["log_hazard"]
    if network.landmark_cohorts:
        found["after_slope"], found["after"] = derived["study_slope"], derived["landmark_log_hazard"]
    return {name: value.reshape(*lead, -1) for name, value in found.items()}


def _log_inflation(effects: Values, network: Network, lead: tuple[int, ...]) -> np.ndarray:
    """Log of the factor on each row's standard error."""
    found = np.zeros((*lead, len(network.rows)))
    if "log_inflation" in effects:
        found[..., [d.inflated for d in network.data]] = effects["log_inflation"]
    if "se_z" in effects:
        sds = np.array([d.log_se_sd if d.kind == "said" else 0.0 for d in network.data])
        found[..., sds > 0] = sds[sds > 0] * effects["se_z"]
    return found


def _locations(derived: Values, effects: Values, network: Network, lead: tuple[int, ...]) -> np.ndarray:
    """Model value of rows that are effects or slopes on the log scale, (..., row); 0 for the others."""
    found = np.zeros((*lead, len(network.rows)))
    for i, row in enumerate(network.rows.itertuples()):
        quantity = KINDS[row.statistic].quantity
        if quantity is Quantity.ARM_EFFECT:
            found[..., i] = derived["arm_effect"][..., network.effects.index((row.endpoint, row.study))]
        elif quantity is Quantity.SLOPE:
            found[..., i] = derived["slope"][..., *network.slope_place(row.endpoint, row.arm, row.landmark)]
            if row.landmark == NO_LIMIT and (row.endpoint, row.arm) in network.biased_slopes:
                found[..., i] += derived["bias"][..., network.biased_slopes.index((row.endpoint, row.arm))]
        elif quantity is Quantity.COMPLETION:
            found[..., i] = effects["completion"]
    return found


def curve_functionals(network: Network) -> Iterator[tuple[Callable[..., Array], np.ndarray]]:
    """What is read off curves: each function ``of_curve``, and which of ``curve_rows`` it is for."""
    own = network.rows["statistic"][network.is_of(Quantity.CURVE)]
    functions = [KINDS[name].of_curve for name in own]
    for function in dict.fromkeys(functions):
        yield function, np.flatnonzero([one is function for one in functions])


def curve_derivatives(network: Network) -> np.ndarray:
    """Derivatives of what is read off each of ``curve_rows`` by the log hazards of its curve, (curve row,
    interval), where these are all about the prior mean of their level; by the complex step."""
    months, step = network.curve_months, 2.0**-100
    # powers of two, so that neither the hazard nor the step rounds anything
    hazard = 2.0 ** np.round(network.assumptions.level.mean / np.log(2.0))
    moved = hazard * (1.0 + 1j * step * np.eye(months.shape[1]))
    found = np.zeros(months.shape)
    for function, own in curve_functionals(network):
        found[own] = function(moved[:, None, :], months[own]).imag.T / step
    return found


def row_location(parts: Values, network: Network) -> np.ndarray:
    """What each row is expected to be, on its scale: (..., row)."""
    location = parts["location"]
    if "curve_rows" in parts:
        months = network.curve_months
        hazard = np.exp(parts["curve_rows"]).reshape(*location.shape[:-1], *months.shape)
        rows, location = np.flatnonzero(network.is_of(Quantity.CURVE)), location.copy()
        for function, own in curve_functionals(network):
            location[..., rows[own]] += function(hazard[..., own, :], months[own])
    return location


def printed(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Value and standard error of every row on its scale, (row,) each; 0 and 1 of counts, 0 of what is only
    said."""
    counted = [d.kind == "binomial" for d in network.data]
    said = [d.kind == "said" for d in network.data]
    value, se = np.array([(d.value, d.se) for d in network.data], float).T
    return np.where(np.logical_or(counted, said), 0.0, value), np.where(counted, 1.0, se)


def unprinted_estimates(parts: Values, network: Network) -> Unprinted:
    """The estimates that are not printed, in the order of ``network.statements``, from what ``linear_parts``
    found."""
    said, (value, se) = network.statements, printed(network)
    location, log_factor = row_location(parts, network), parts["log_inflation"]
    residual = (value - location) / (se * np.exp(log_factor))
    own = (location[..., said.rows], log_factor[..., said.rows], parts["estimate_z"])
    return unprinted(said, network.whitening, residual, value, *own)


def is_said(network: Network) -> np.ndarray:
    """Which rows are estimates that are not printed, (row,)."""
    return np.array([d.kind == "said" for d in network.data], bool)


def all_estimates(effects: Values, network: Network) -> np.ndarray:
    """Every estimate that is not printed, in the order of the rows, (..., unprinted estimate): of a power
    of 0 as if nothing was said of it."""
    parts, rows = linear_parts(effects, network), np.flatnonzero(is_said(network))
    scale = printed(network)[1] * np.exp(parts["log_inflation"])
    free = (row_location(parts, network)[..., rows] + scale[..., rows] * effects["estimate_z"]).copy()
    used = np.searchsorted(rows, network.statements.rows)
    free[..., used] = unprinted_estimates(parts, network).estimate
    return free


def publishing_thresholds(network: Network) -> np.ndarray:
    """How many standard errors from 0 each number had to be, to be printed, (row,); 0: printed in any
    case."""
    return np.array([d.published_z for d in network.data], float)


def log_printed(standardised: np.ndarray, network: Network) -> np.ndarray:
    """Log probability that a number is printed, (..., row): 0 where it is in any case. ``standardised`` is
    what it is expected to be in standard errors."""
    z = publishing_thresholds(network)
    tails = np.logaddexp(special.log_ndtr(standardised - z), special.log_ndtr(-standardised - z))
    return np.where(z > 0, tails, 0.0)


def student_rows(network: Network) -> np.ndarray:
    """1 for rows with a Student-t likelihood, else 0."""
    return np.array([d.kind == "student" for d in network.data], float)


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of one endpoint: their places among all rows, the group of each, and ``array``: successes and
    numbers, (2, count), and of shrinkage the places of the threshold, the next higher and the next lower.

    Places are logits of the way from -20 to 100 points.
    """

    rows: np.ndarray
    group: np.ndarray
    array: np.ndarray


Following = Sequence[np.intp | None]
"""The place of the next count of the same patients, None where there is none."""


def count_rows(network: Network, endpoint: str, *, given_lower: bool = False) -> Counts:
    """The counts of ``endpoint``. Nested thresholds become successive ones: of those below the next higher
    threshold, how many reach the lower; a count of power 0 is passed over.

    ``given_lower`` conditions on the next lower count too: then each count is given all the others.
    """
    printed, higher, lower = _nested(network, endpoint)
    k, n, threshold = printed.array
    if endpoint != "shrinkage":
        return replace(printed, array=printed.array[:2])
    above, aside = _of_next(threshold, higher, LARGEST_SHRINKAGE), _of_next(k, higher, 0.0)
    under, whole = np.full(len(n), SMALLEST_SHRINKAGE), n
    if given_lower:
        under, whole = _of_next(threshold, lower, SMALLEST_SHRINKAGE), _of_next(k, lower, n)
    places = (place(x) for x in (threshold, above, under))
    return replace(printed, array=np.stack([k - aside, whole - aside, *places]))


def _of_next(values: np.ndarray, following: Following, otherwise: float | np.ndarray) -> np.ndarray:
    """The value of each one's next count, or ``otherwise`` where it has none."""
    fallback = np.broadcast_to(otherwise, values.shape)
    return np.array([fallback[i] if j is None else values[j] for i, j in enumerate(following)], float)


def _nested(network: Network, endpoint: str) -> tuple[Counts, Following, Following]:
    """The counts as printed (successes, numbers, thresholds), and the place of each one's next higher and
    next lower count of the same patients."""
    own = np.flatnonzero(network.is_of(Quantity.SHARE) & (network.rows["endpoint"] == endpoint).to_numpy())
    labels, table = network.groups(endpoint), network.rows.iloc[own]
    group = np.array([labels.index((row.study, row.arm)) for row in table.itertuples()], int)
    k = np.array([network.data[i].successes for i in own], float)
    n = np.array([network.data[i].n for i in own], float)
    threshold = table["threshold"].to_numpy(float)
    known = network.power[own] > 0

    def nearest(i: int, step: float) -> np.intp | None:
        beyond = (group == group[i]) & known & (step * (threshold - threshold[i]) > 0)
        return min(np.flatnonzero(beyond), key=lambda j: step * threshold[j], default=None)

    nested = endpoint == "shrinkage"
    higher, lower = ([nearest(i, step) if nested else None for i in range(len(own))] for step in (1.0, -1.0))
    return Counts(own, group, np.stack([k, n, threshold])), higher, lower


def log_likelihood_of_sums(
    expected: Array,
    events: tuple[np.ndarray, np.ndarray, np.ndarray],
    baseline: Array,
    slope: Array | None = None,
    log_hr: Array | None = None,
) -> Array:
    """Sum over patients of event * log h - H, (...,).

    ``expected`` is the sum of H; ``events`` (events, scores and covariates at events) are summed by arm and
    interval, arm and interval or 1, and covariate. So are ``baseline`` and ``slope``, and ``log_hr``.
    """
    number, scores, covariates = events
    total = (number * baseline).sum(axis=(-2, -1)) - expected
    if slope is not None:
        total = total + (slope * scores).sum(axis=(-2, -1))
    if log_hr is not None:
        total = total + (log_hr * covariates).sum(axis=-1)
    return total


def cumulative_hazard(hazard: np.ndarray, relative: np.ndarray, months: np.ndarray) -> np.ndarray:
    """H of patients of one arm, (..., patient): the sum over intervals of ``hazard`` (..., interval) times
    each one's ``relative`` hazard (..., patient, interval or 1) times ``months`` (patient or 1, interval)."""
    if relative.shape[-1] == 1:  # proportional hazards need no array over patients and intervals
        return relative[..., 0] * (hazard @ months.T)
    return (hazard[..., None, :] * relative * months).sum(axis=-1)
