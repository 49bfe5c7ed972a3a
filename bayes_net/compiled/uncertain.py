"""The log-likelihood of patients whose score is known with error, with its derivatives by elements.

The likelihood of a patient is the average, over nodes of its true score, of the likelihood there: parts, of
which each is exp of a height, and the highest is 0. A patient's follow-up is in runs of one slope; the
cumulative hazard of a run at a score is the mass that it has at 0, times a factor. All factors and all parts
are found at once, and what a node costs beside them are a few multiplications.
"""

from __future__ import annotations

import math

from bayes_net.compiled import fields as f
from bayes_net.compiled.exponentials import exp_each, expm1_each
from bayes_net.compiled.fields import compiled, count


@compiled
def true_scores(work, slots, values):
    """Log of each patient's average likelihood; of an event on a known day without the log of the baseline
    hazard and the effects of covariates, which are linear."""
    cells, n, total, windowed = count(f.TRUE_CELL, slots), count(f.TRUE_EVENT, slots), 0.0, 0
    rate, to_rate, factor = slots[f.REST], slots[f.REST] + cells, slots[f.REST] + 2 * cells
    part = factor + count(f.TRUE_SCORE, slots)
    window = part + count(f.TRUE_LOG_WEIGHT, slots)
    for c in range(cells):
        work[rate + c] = math.exp(work[slots[f.ELEMENT] + slots[slots[f.TRUE_CELL] + c]])
        work[to_rate + c] = 0.0
    for i in range(n):
        _exponents(i, factor, work, slots, values)
    exp_each(factor, count(f.TRUE_SCORE, slots), work)
    for i in range(n):
        total += _heights(i, factor, part, window + windowed, work, slots, values)
        windowed += _windowed(i, slots)
    exp_each(part, count(f.TRUE_LOG_WEIGHT, slots), work)
    expm1_each(window, windowed, work)
    windowed = 0
    for i in range(n):
        total += _averaged(i, factor, part, window + windowed, work, slots, values)
        windowed += _windowed(i, slots)
    for c in range(cells):
        work[slots[f.TO_ELEMENT] + slots[slots[f.TRUE_CELL] + c]] += work[to_rate + c] * work[rate + c]
    return total


@compiled
def _windowed(i, slots):
    """How many nodes a patient has whose event lies between two assessments; of others 0."""
    if slots[slots[f.TRUE_BETWEEN] + i] == slots[slots[f.TRUE_RUN] + i + 1]:
        return 0
    return slots[slots[f.TRUE] + i + 1] - slots[slots[f.TRUE] + i]


@compiled
def _exponents(i, factor, work, slots, values):
    """Logs of a patient's factors."""
    nodes, before = slots[slots[f.TRUE] + i + 1] - slots[slots[f.TRUE] + i], -1
    score = slots[f.TRUE_SCORE]
    for r in range(slots[slots[f.TRUE_RUN] + i], slots[slots[f.TRUE_RUN] + i + 1]):
        at, slope, by = slots[slots[f.TRUE_FACTOR] + r], slots[slots[f.TRUE_SLOPE] + r], 0.0
        if at == before:  # neighbours mostly have the same slope
            continue
        if slope >= 0:
            by = work[slots[f.ELEMENT] + slope]
        for k in range(nodes):
            work[factor + at + k] = by * values[score + at + k]
        before = at


@compiled
def _risk(i, work, slots, values):
    """Hazard ratio of a patient's covariates."""
    p, effect = count(f.COVARIATE_ELEMENT, slots), 0.0
    if p == 0:
        return 1.0
    for j in range(p):
        at = slots[f.ELEMENT] + slots[slots[f.COVARIATE_ELEMENT] + j]
        effect += work[at] * values[slots[f.TRUE_COVARIATES] + i * p + j]
    return math.exp(effect)


@compiled
def _mass(run, work, slots, values):
    """Cumulative hazard of a run at a score and covariates of 0."""
    mass, rate, months, hazard = 0.0, slots[f.REST], slots[f.TRUE_MONTHS], slots[f.TRUE_HAZARD]
    for k in range(slots[slots[f.TRUE_ENTRY] + run], slots[slots[f.TRUE_ENTRY] + run + 1]):
        mass += values[months + k] * work[rate + slots[hazard + k]]
    return mass


@compiled
def _first_score(i, slots):
    """Place of a patient's first score."""
    return slots[f.TRUE_SCORE] + slots[slots[f.TRUE_FACTOR] + slots[slots[f.TRUE_RUN] + i]]


@compiled
def _heights(i, factor, part, window, work, slots, values):
    """A patient's heights less the highest, which comes back, and minus the hazard between two
    assessments."""
    begin, end = slots[slots[f.TRUE_RUN] + i], slots[slots[f.TRUE_RUN] + i + 1]
    first, between, slope = slots[slots[f.TRUE] + i], slots[slots[f.TRUE_BETWEEN] + i], 0.0
    nodes, score = slots[slots[f.TRUE] + i + 1] - first, _first_score(i, slots)
    height, weight, highest = part + first, slots[f.TRUE_LOG_WEIGHT] + first, -math.inf
    if slots[slots[f.TRUE_EVENT] + i] >= 0:
        slope = work[slots[f.ELEMENT] + slots[slots[f.TRUE_EVENT] + i]]
    for k in range(nodes):
        work[height + k] = values[weight + k] + slope * values[score + k]
    risk = _risk(i, work, slots, values)
    for r in range(begin, end):
        mass, at = -risk * _mass(r, work, slots, values), factor + slots[slots[f.TRUE_FACTOR] + r]
        to = height if r < between else window
        if r == between:
            for k in range(nodes):
                work[to + k] = 0.0
        for k in range(nodes):
            work[to + k] += mass * work[at + k]
    for k in range(nodes):
        if work[height + k] > highest:
            highest = work[height + k]
    for k in range(nodes):
        work[height + k] -= highest
    return highest


@compiled
def _averaged(i, factor, part, window, work, slots, values):
    """Log of a patient's average of its parts; derivatives are handed on."""
    begin, end = slots[slots[f.TRUE_RUN] + i], slots[slots[f.TRUE_RUN] + i + 1]
    first, between, at_event = slots[slots[f.TRUE] + i], slots[slots[f.TRUE_BETWEEN] + i], slots[f.TRUE_EVENT]
    nodes, score, share = slots[slots[f.TRUE] + i + 1] - first, _first_score(i, slots), part + first
    whole, by_event, by_effect = 0.0, 0.0, 0.0
    for k in range(nodes if between < end else 0):
        # what is without an event until the first assessment is that with one by the second, and what is left
        own = work[share + k]
        work[share + k] = -own * work[window + k]
        work[window + k] = work[share + k] - own  # minus what is left
    for k in range(nodes):
        whole += work[share + k]
        by_event += work[share + k] * values[score + k]
    if slots[at_event + i] >= 0:
        work[slots[f.TO_ELEMENT] + slots[at_event + i]] += by_event / whole
    by = _risk(i, work, slots, values) / whole
    for r in range(begin, end):
        by_effect += _run_back(r, nodes, factor, share if r < between else window, by, work, slots, values)
    p = count(f.COVARIATE_ELEMENT, slots)
    for j in range(p):
        at = slots[f.TO_ELEMENT] + slots[slots[f.COVARIATE_ELEMENT] + j]
        work[at] += by_effect * values[slots[f.TRUE_COVARIATES] + i * p + j]
    return math.log(whole)


@compiled
def _run_back(run, nodes, factor, share, by, work, slots, values):
    """From the shares of nodes to slope and baseline hazards of a run; what comes back is the derivative by
    the effect of covariates."""
    at, slope, mass = slots[slots[f.TRUE_FACTOR] + run], slots[slots[f.TRUE_SLOPE] + run], 0.0
    by_mass, by_slope, score = 0.0, 0.0, slots[f.TRUE_SCORE] + at
    for k in range(nodes):
        own = work[share + k] * work[factor + at + k]
        by_mass -= own
        by_slope -= own * values[score + k]
    by_mass, mass = by_mass * by, _mass(run, work, slots, values)
    if slope >= 0:
        work[slots[f.TO_ELEMENT] + slope] += by_slope * by * mass
    to_rate, months, hazard = (
        slots[f.REST] + count(f.TRUE_CELL, slots),
        slots[f.TRUE_MONTHS],
        slots[f.TRUE_HAZARD],
    )
    for k in range(slots[slots[f.TRUE_ENTRY] + run], slots[slots[f.TRUE_ENTRY] + run + 1]):
        work[to_rate + slots[hazard + k]] += by_mass * values[months + k]
    return by_mass * mass
