"""Best shrinkage in the log-likelihood, with derivatives: counts, medians with their range, and odds ratios
of completion; ``assumptions.shrinkage`` and ``statistics.association`` have the equations."""

from __future__ import annotations

import math

from bayes_net.compiled import fields as f
from bayes_net.compiled.fields import compiled, count
from bayes_net.compiled.normal import log_below, log_between, log_sum, ratio, softplus
from bayes_net.statistics import association

NODES, WEIGHTS, LEAST = 0.5 * (association.NODES + 1.0), association.WEIGHTS, association.LEAST


# --- laws of rows -------------------------------------------------------------------------------------------


@compiled
def _law(i, work, slots, values):
    """Location and spread of the law of row ``i``, among those who stay where some do not."""
    location = work[slots[f.ELEMENT] + slots[slots[f.LAW_LOCATION] + i]]
    spread = math.exp(work[slots[f.ELEMENT] + slots[slots[f.LAW_SPREAD] + i]])
    shift = values[slots[f.LAW_SHIFT] + i]
    if shift > 0.0:
        rho = math.tanh(work[slots[f.ELEMENT] + slots[slots[f.LAW_SELECTION] + i]])
        location += rho * shift * spread
        spread *= math.sqrt(1.0 - rho * rho * values[slots[f.LAW_LOSS] + i])
    return location, spread


@compiled
def _law_back(i, by_location, by_log_spread, work, slots, values):
    """From the location and log spread of ``_law`` to their elements."""
    to_element, of_spread = slots[f.TO_ELEMENT], slots[slots[f.LAW_SPREAD] + i]
    shift, loss = values[slots[f.LAW_SHIFT] + i], values[slots[f.LAW_LOSS] + i]
    if shift > 0.0:
        selection = slots[slots[f.LAW_SELECTION] + i]
        rho = math.tanh(work[slots[f.ELEMENT] + selection])
        moved = shift * math.exp(work[slots[f.ELEMENT] + of_spread])
        by_rho = by_location * moved - by_log_spread * rho * loss / (1.0 - rho * rho * loss)
        work[to_element + selection] += by_rho * (1.0 - rho * rho)
        work[to_element + of_spread] += by_location * rho * moved
    work[to_element + slots[slots[f.LAW_LOCATION] + i]] += by_location
    work[to_element + of_spread] += by_log_spread


@compiled
def shrinkages(work, slots, values):
    """Binomial counts beyond a place of those below the next higher one, or with progression: successes,
    numbers, places, next higher places and powers one after another."""
    n, counts, total = count(f.SHRINKAGE_PROGRESSION, slots), slots[f.SHRINKAGE_COUNTS], 0.0
    for i in range(n):
        location, spread = _law(i, work, slots, values)
        logit = work[slots[f.ELEMENT] + slots[slots[f.SHRINKAGE_PROGRESSION] + i]]
        log_worse, log_others = -softplus(-logit), -softplus(logit)
        k, size, power = values[counts + i], values[counts + n + i], values[counts + 4 * n + i]
        own = (values[counts + 2 * n + i] - location) / spread
        upper = (values[counts + 3 * n + i] - location) / spread
        reach = log_between(own, upper)
        short = log_sum(log_worse, log_others + log_below(own))
        whole = log_sum(log_worse, log_others + log_below(upper))
        total += power * (k * (log_others + reach) + (size - k) * short - size * whole)
        by_own = (size - k) * ratio(own, short - log_others) - k * ratio(own, reach)
        by_upper = k * ratio(upper, reach) - size * ratio(upper, whole - log_others)
        both = log_worse + log_others
        by_logit = (size - k) * math.exp(both + log_below(-own) - short)
        by_logit -= size * math.exp(both + log_below(-upper) - whole) + k * math.exp(log_worse)
        by_location, by_log_spread = -(by_own + by_upper) / spread, -(by_own * own + by_upper * upper)
        _law_back(i, power * by_location, power * by_log_spread, work, slots, values)
        work[slots[f.TO_ELEMENT] + slots[slots[f.SHRINKAGE_PROGRESSION] + i]] += power * by_logit
    return total


@compiled
def ranges(work, slots, values):
    """Minimum, median and maximum, their places one array after the other, numbers of patients and powers."""
    n, first = count(f.RANGES, slots) // 5, count(f.SHRINKAGE_PROGRESSION, slots)
    at, total = slots[f.RANGES], 0.0
    for i in range(n):
        location, spread = _law(first + i, work, slots, values)
        a, b = (values[at + i] - location) / spread, (values[at + n + i] - location) / spread
        c = (values[at + 2 * n + i] - location) / spread
        half, power = 0.5 * (values[at + 3 * n + i] - 3.0), values[at + 4 * n + i]
        below, above = log_between(a, b), log_between(b, c)
        square = a * a + b * b + c * c
        total += power * (half * (below + above) - 0.5 * square - 3.0 * math.log(spread))
        by_a = -a - half * ratio(a, below)
        by_b = -b + half * (ratio(b, below) - ratio(b, above))
        by_c = -c + half * ratio(c, above)
        by_log_spread = -(by_a * a + by_b * b + by_c * c) - 3.0
        by_location = -(by_a + by_b + by_c) / spread
        _law_back(first + i, power * by_location, power * by_log_spread, work, slots, values)
    return total


# --- odds ratios of completion ------------------------------------------------------------------------------


@compiled
def _starts(i, work, slots, values):
    """Where response begins early and at the end, in spreads from the location, both spreads, and the
    correlation."""
    n, laws, element = count(f.PAIR_ELEMENT, slots), slots[f.PAIR_LAWS], slots[f.ELEMENT]
    spread = math.exp(work[element + slots[laws + 2 * n + i]])
    late_spread = math.exp(work[element + slots[laws + 3 * n + i]])
    start = values[slots[f.PAIR_START] + i]
    early = (start - work[element + slots[laws + i]]) / spread
    late = (start - work[element + slots[laws + n + i]]) / late_spread
    return early, late, spread, late_spread, math.tanh(work[element + slots[laws + 4 * n + i]])


@compiled
def _cells(early, late, rho):
    """Probabilities of a response both times, never, early only and late only."""
    angle, joint = math.asin(rho), 0.0
    for k in range(len(NODES)):
        sine = math.sin(angle * NODES[k])
        form = (early * early + late * late - 2.0 * early * late * sine) / (1.0 - sine * sine)
        joint += angle * WEIGHTS[k] / (4.0 * math.pi) * math.exp(-0.5 * form)
    above, below = math.exp(log_below(-early)), math.exp(log_below(early))
    above_late, below_late = math.exp(log_below(-late)), math.exp(log_below(late))
    return (
        above * above_late + joint + LEAST,
        below * below_late + joint + LEAST,
        above * below_late - joint + LEAST,
        below * above_late - joint + LEAST,
    )


@compiled
def associations(work, slots, values):
    """Add the log odds ratio of two responses to the element of each such row."""
    for i in range(count(f.PAIR_ELEMENT, slots)):
        early, late, _, _, rho = _starts(i, work, slots, values)
        both, never, first, last = _cells(early, late, rho)
        found = math.log(both) + math.log(never) - math.log(first) - math.log(last)
        work[slots[f.ELEMENT] + slots[slots[f.PAIR_ELEMENT] + i]] += found


@compiled
def associations_back(work, slots, values):
    """From these elements to those of the laws and of the correlation."""
    n, laws, to_element = count(f.PAIR_ELEMENT, slots), slots[f.PAIR_LAWS], slots[f.TO_ELEMENT]
    for i in range(n):
        early, late, spread, late_spread, rho = _starts(i, work, slots, values)
        both, never, first, last = _cells(early, late, rho)
        by = work[to_element + slots[slots[f.PAIR_ELEMENT] + i]]
        rest = math.sqrt(1.0 - rho * rho)
        given, given_late = (late - rho * early) / rest, (early - rho * late) / rest
        density = ratio(early, 0.0)
        early_below, early_above = (
            density * math.exp(log_below(given)),
            density * math.exp(log_below(-given)),
        )
        late_density = ratio(late, 0.0)
        late_below = late_density * math.exp(log_below(given_late))
        late_above = late_density * math.exp(log_below(-given_late))
        by_early = early_below * (1.0 / never + 1.0 / first) - early_above * (1.0 / both + 1.0 / last)
        by_late = late_below * (1.0 / never + 1.0 / last) - late_above * (1.0 / both + 1.0 / first)
        joint_density = density * ratio(given, 0.0) / rest
        by_rho = joint_density * (1.0 / both + 1.0 / never + 1.0 / first + 1.0 / last)
        work[to_element + slots[laws + i]] -= by * by_early / spread
        work[to_element + slots[laws + n + i]] -= by * by_late / late_spread
        work[to_element + slots[laws + 2 * n + i]] -= by * by_early * early
        work[to_element + slots[laws + 3 * n + i]] -= by * by_late * late
        work[to_element + slots[laws + 4 * n + i]] += by * by_rho * (1.0 - rho * rho)
