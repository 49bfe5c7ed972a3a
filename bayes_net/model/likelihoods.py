"""What published numbers are expected to be, and counts in nested form: arrays of a network's rows. Below
them the likelihood of patients, of arrays and graphs alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from bayes_net.assumptions.network import Network
from bayes_net.assumptions.shrinkage import NEVER, early, response_place, selected
from bayes_net.assumptions.statements import Unprinted, unprinted
from bayes_net.model.predictors import derive
from bayes_net.schema import NO_LIMIT
from bayes_net.statistics.association import log_odds_ratio
from bayes_net.statistics.base import Array, Quantity, Values
from bayes_net.statistics.counts import FARTHEST, LARGEST_SHRINKAGE, SMALLEST_SHRINKAGE, place
from bayes_net.statistics.kinds import KINDS
from bayes_net.statistics.ranges import log_range_density


def linear_parts(effects: Values, network: Network) -> dict[str, np.ndarray]:
    """What the likelihood reads, each (..., element).

    ``location`` and ``log_inflation`` of every row (0 where it has none), ``response`` (a logit),
    ``shrinkage_location``, ``shrinkage_log_spread``, ``selection`` and ``progression`` of every row of
    ``Shrinkage.rows``, ``completion_location`` and ``completion_log_spread`` of early and then of final
    shrinkage of every odds ratio of completion, and their ``early_late``, ``estimate_z`` of every statement,
    and flat over rows or curves and intervals the log hazards ``curve_rows`` and ``curves``; of patients
    after their landmark ``after_slope`` (stratum) and ``after``.
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
    found |= _laws(derived, effects, network, lead)
    if network.curve_rows:
        found["curve_rows"] = derived["log_hazard"][
            ..., [network.curves.index(c) for c in network.curve_rows], :
        ]
    if network.has_curve_patients:
        found["curves"] = derived["log_hazard"]
    if network.landmark_cohorts:
        found["after_slope"], found["after"] = derived["study_slope"], derived["landmark_log_hazard"]
    return {name: value.reshape(*lead, -1) for name, value in found.items()}


def _laws(derived: Values, effects: Values, network: Network, lead: tuple[int, ...]) -> Values:
    """Laws of best shrinkage, of rows about them and of both responses of an odds ratio of completion."""
    found: dict[str, np.ndarray] = {}
    of, own = network.shrinkage.rows, completion_laws(network)
    for name in ("location", "log_spread"):
        law = derived.get(f"shrinkage_{name}", np.zeros((*lead, 0)))
        found |= {f"shrinkage_{name}": law[..., of.law], f"completion_{name}": law[..., own]}
    for name, at, none in (("selection", of.selected, 0.0), ("progression", of.progressive, NEVER)):
        found[name] = np.full((*lead, len(of.law)), none)
        if (at >= 0).any():
            found[name][..., at >= 0] = effects[name][..., at[at >= 0]]
    if len(own):
        each = effects["early_late"][..., None]
        found["early_late"] = np.broadcast_to(each, (*lead, len(own) // 2))
    return found


def completion_laws(network: Network) -> np.ndarray:
    """Places of the laws of early shrinkage of every odds ratio of completion, then of final shrinkage."""
    own = network.shrinkage
    pairs = [own.pair((row.study, row.arm, early(row))) for row in network.about(Quantity.COMPLETION)]
    return np.array(pairs, int).reshape(-1, 2).T.ravel()


def completion_location(parts: Values) -> np.ndarray:
    """The log odds ratios of completion, (..., odds ratio)."""
    starts = response_place(parts["completion_location"], parts["completion_log_spread"])
    n = starts.shape[-1] // 2
    return log_odds_ratio(starts[..., :n], starts[..., n:], np.tanh(parts["early_late"]))


def shrinkage_law(parts: Values, network: Network, *, counts: bool) -> dict[str, np.ndarray]:
    """``location`` and ``log_spread`` among the patients of every count of shrinkage, or of every median and
    range, and ``progression``, each (..., row)."""
    own = network.shrinkage.rows
    at = slice(None, own.n_counts) if counts else slice(own.n_counts, None)
    names = ("shrinkage_location", "shrinkage_log_spread", "selection", "progression")
    location, log_spread, selection, progression = (parts[name][..., at] for name in names)
    of = own.shift[at], own.loss[at]
    location, log_spread = selected(location, log_spread, np.tanh(selection), of)
    return {"location": location, "log_spread": log_spread, "progression": progression}


def range_rows(network: Network) -> np.ndarray:
    """The places of medians with their ranges among all rows."""
    own = network.shrinkage.rows
    return own.rows[own.n_counts :]


def range_values(network: Network) -> np.ndarray:
    """Places of minimum, median and maximum, and number of patients, (4, range)."""
    own = [network.data[i] for i in range_rows(network)]
    return np.array([(d.extremes[0], d.value, d.extremes[1], d.n) for d in own], float).reshape(-1, 4).T


def range_log_likelihood(parts: Values, network: Network) -> np.ndarray:
    """Log density of each median with its range, (..., range)."""
    law, (low, middle, high, n) = shrinkage_law(parts, network, counts=False), range_values(network)
    return log_range_density((low, middle, high), n, law["location"], law["log_spread"])


def _log_inflation(effects: Values, network: Network, lead: tuple[int, ...]) -> np.ndarray:
    """Log of the factor on each row's standard error."""
    found = np.zeros((*lead, len(network.rows)))
    if "log_inflation" in effects:
        found[..., [d.inflated for d in network.data]] = effects["log_inflation"]
    if "se_z" in effects:
        of = network.factors
        found[..., of.rows] = of.mean + effects["se_z"] @ of.root.T
    return found


def _locations(derived: Values, effects: Values, network: Network, lead: tuple[int, ...]) -> np.ndarray:
    """Model value of rows that are effects or slopes on the log scale, (..., row); 0 for the others."""
    found = np.zeros((*lead, len(network.rows)))
    for i, row in enumerate(network.records):
        quantity = KINDS[row.statistic].quantity
        if quantity is Quantity.ARM_EFFECT:
            found[..., i] = derived["arm_effect"][..., network.effects.index((row.endpoint, row.study))]
        elif quantity is Quantity.SLOPE:
            found[..., i] = derived["slope"][..., *network.slope_place(row.endpoint, row.arm, row.landmark)]
            if row.landmark == NO_LIMIT and (row.endpoint, row.arm) in network.biased_slopes:
                found[..., i] += derived["bias"][..., network.biased_slopes.index((row.endpoint, row.arm))]
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
    if "early_late" in parts:
        location = location.copy()
        location[..., network.is_of(Quantity.COMPLETION)] = completion_location(parts)
    return location


def printed(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Value and standard error of every row on its scale, (row,) each; 0 and 1 where patients are counted, 0
    of what is only said."""
    counted = [d.sampled for d in network.data]
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
    numbers, (2, count), and of shrinkage the places of the threshold, the next higher and the next lower, and
    whether there is a next lower one: else patients with progression are among those below.

    Places are logits of the way from -20 to 100 points. ``group`` is of shrinkage the place of the law.
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
    under, whole, given = np.full(len(n), -2 * FARTHEST), n, np.zeros(len(n))
    if given_lower:
        given = np.array([j is not None for j in lower], float)
        under = np.where(given > 0, place(_of_next(threshold, lower, SMALLEST_SHRINKAGE)), under)
        whole = _of_next(k, lower, n)
    return replace(
        printed, array=np.stack([k - aside, whole - aside, place(threshold), place(above), under, given])
    )


def _of_next(values: np.ndarray, following: Following, otherwise: float | np.ndarray) -> np.ndarray:
    """The value of each one's next count, or ``otherwise`` where it has none."""
    fallback = np.broadcast_to(otherwise, values.shape)
    return np.array([fallback[i] if j is None else values[j] for i, j in enumerate(following)], float)


def _nested(network: Network, endpoint: str) -> tuple[Counts, Following, Following]:
    """The counts as printed (successes, numbers, thresholds), and the place of each one's next higher and
    next lower count of the same patients."""
    own = np.flatnonzero(network.is_of(Quantity.SHARE) & (network.rows["endpoint"] == endpoint).to_numpy())
    labels, table = network.groups(endpoint), [network.records[i] for i in own]
    if nested := endpoint == "shrinkage":
        group = np.array([network.shrinkage.place(row) for row in table], int)
    else:
        group = np.array([labels.index((row.study, row.arm)) for row in table], int)
    k = np.array([network.data[i].successes for i in own], float)
    n = np.array([network.data[i].n for i in own], float)
    threshold = np.array([row.threshold for row in table], float)
    known = network.power[own] > 0

    def nearest(i: int, step: float) -> np.intp | None:
        beyond = (group == group[i]) & known & (step * (threshold - threshold[i]) > 0)
        return min(np.flatnonzero(beyond), key=lambda j: step * threshold[j], default=None)

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

    ``expected`` is the sum of H; ``events`` (events, scores and covariates at events) are summed by stratum
    and interval, arm and interval or 1, and covariate. So are ``baseline`` and ``slope``, and ``log_hr``.
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
