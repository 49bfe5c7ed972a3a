"""The log-likelihood of patients whose score is known with error, with its derivatives by elements.

The likelihood of a patient is the average, over nodes of its true score, of the likelihood there: parts, of
which each is exp of a height, and the highest is 0. In a stretch of intervals with one slope the cumulative
hazard at a score is a mass, that at a score of 0, times a factor. Everything is arithmetic of long arrays,
which compilers turn into that of vectors: of patients, and of nodes, which are in levels. The first level has
a node of every patient, the next one of each of the first so many patients, who have a second, and so on.
"""

from __future__ import annotations

import math

from bayes_net.compiled import fields as f
from bayes_net.compiled.fields import compiled, count
from bayes_net.compiled.vectors import exp_each, expm1_each


@compiled
def true_scores(work, slots, values):
    """Log of each patient's average likelihood; of an event on a known day without the log of the baseline
    hazard and the effects of covariates, which are linear."""
    n, nodes, each = count(f.TRUE_EVENT, slots), count(f.TRUE_SCORE, slots), count(f.TRUE_SLOPE, slots)
    levels, windows = count(f.TRUE, slots) - 1, count(f.TRUE_WINDOW, slots)
    part, window, factor = _of_nodes(slots)
    _masses(work, slots, values)
    _slopes(work, slots)
    for level in range(levels):
        _exponents(level, work, slots, values)
    exp_each(work[factor : factor + each // n * nodes])
    for level in range(levels):
        _heights(level, work, slots, values)
    for level in range(levels):
        _below_highest(level, work, slots)
    exp_each(work[part : part + nodes])
    if windows > 0:
        expm1_each(work[window : window + nodes])
    for level in range(levels):
        _shares(level, work, slots, values)
    return _handed_back(work, slots, values)


# --- places -------------------------------------------------------------------------------------------------


@compiled
def _of_nodes(slots):
    """Heights, then parts; of events between two assessments minus the hazard there, then minus what is left
    after it; and factors, by stretch."""
    part, nodes = slots[f.REST] + 2 * count(f.TRUE_STRETCH, slots), count(f.TRUE_SCORE, slots)
    return part, part + nodes, part + 2 * nodes


@compiled
def _of_patients(slots):
    """Highest height; average; hazard ratio of covariates; slope at the event, and the derivative by it."""
    n, stretches = count(f.TRUE_EVENT, slots), count(f.TRUE_SLOPE, slots) // count(f.TRUE_EVENT, slots)
    highest = _of_nodes(slots)[2] + stretches * count(f.TRUE_SCORE, slots)
    return highest, highest + n, highest + 2 * n, highest + 3 * n, highest + 4 * n


@compiled
def _of_stretches(slots):
    """By stretch and patient slopes, and derivatives by them; masses until the event or the first of two
    assessments, then those between them; and derivatives by these."""
    slope, each = _of_patients(slots)[4] + count(f.TRUE_EVENT, slots), count(f.TRUE_SLOPE, slots)
    return slope, slope + each, slope + 2 * each, slope + 4 * each


@compiled
def _level(level, slots):
    """Where a level begins and ends."""
    return slots[slots[f.TRUE] + level], slots[slots[f.TRUE] + level + 1]


# --- forward ------------------------------------------------------------------------------------------------


@compiled
def _masses(work, slots, values):
    """Baseline hazards, hazard ratios of covariates, and masses; all derivatives are 0 as yet."""
    n, p, each = count(f.TRUE_EVENT, slots), count(f.COVARIATE_ELEMENT, slots), count(f.TRUE_SLOPE, slots)
    cells, rate, (_, by_slope, mass, _) = count(f.TRUE_STRETCH, slots), slots[f.REST], _of_stretches(slots)
    risk, covariates = _of_patients(slots)[2], slots[f.TRUE_COVARIATES]
    for c in range(cells):
        work[rate + c], work[rate + cells + c] = math.exp(work[slots[f.ELEMENT] + c]), 0.0
    for k in range(5 * each):
        work[by_slope + k] = 0.0
    for i in range(n):
        work[risk + i] = 0.0
        for j in range(p):
            at = slots[f.ELEMENT] + slots[slots[f.COVARIATE_ELEMENT] + j]
            work[risk + i] += work[at] * values[covariates + i * p + j]
    if p > 0:
        exp_each(work[risk : risk + n])
    for i in range(n if p == 0 else 0):
        work[risk + i] = 1.0
    _add_masses(0, mass, work, slots, values)
    if count(f.TRUE_WINDOW, slots) > 0:
        _add_masses(count(f.TRUE_EVENT, slots), mass + each, work, slots, values)


@compiled
def _add_masses(row, mass, work, slots, values):
    """Masses of months that begin at a row of the table of months by interval."""
    n, intervals, risk = count(f.TRUE_EVENT, slots), slots[slots[f.TRUE_INTERVALS]], _of_patients(slots)[2]
    rate, stretch, first = slots[f.REST], slots[f.TRUE_STRETCH], slots[f.TRUE_FIRST]
    for i in range(n):
        by, cell, months = work[risk + i], slots[first + i], slots[f.TRUE_MONTHS] + (row + i) * intervals
        now, passed = slots[stretch + cell], 0.0
        for k in range(intervals):
            if slots[stretch + cell + k] != now:
                work[mass + now * n + i], passed, now = by * passed, 0.0, slots[stretch + cell + k]
            passed += values[months + k] * work[rate + cell + k]
        work[mass + now * n + i] = by * passed


@compiled
def _slopes(work, slots):
    """Slopes of patients, and what the averages begin with."""
    (highest, whole, _, at_event, by_event), slope = _of_patients(slots), _of_stretches(slots)[0]
    for k in range(count(f.TRUE_SLOPE, slots)):
        of = slots[slots[f.TRUE_SLOPE] + k]
        work[slope + k] = work[slots[f.ELEMENT] + of] if of >= 0 else 0.0
    for i in range(count(f.TRUE_EVENT, slots)):
        of = slots[slots[f.TRUE_EVENT] + i]
        work[at_event + i] = work[slots[f.ELEMENT] + of] if of >= 0 else 0.0
        work[highest + i], work[whole + i], work[by_event + i] = -math.inf, 0.0, 0.0


@compiled
def _exponents(level, work, slots, values):
    """Logs of factors."""
    n, nodes, (begin, end) = count(f.TRUE_EVENT, slots), count(f.TRUE_SCORE, slots), _level(level, slots)
    score = values[slots[f.TRUE_SCORE] + begin : slots[f.TRUE_SCORE] + end]
    for q in range(count(f.TRUE_SLOPE, slots) // n):
        at, slopes = _of_nodes(slots)[2] + q * nodes, _of_stretches(slots)[0] + q * n
        found, slope = work[at + begin : at + end], work[slopes : slopes + n]
        for i in range(len(score)):
            found[i] = slope[i] * score[i]


@compiled
def _heights(level, work, slots, values):
    """Heights, the highest of them so far, and minus the hazard between two assessments."""
    n, nodes, (begin, end) = count(f.TRUE_EVENT, slots), count(f.TRUE_SCORE, slots), _level(level, slots)
    part, window, factors = _of_nodes(slots)
    first, _, _, at_event, _ = _of_patients(slots)
    height, between, highest = (
        work[part + begin : part + end],
        work[window + begin : window + end],
        work[first : first + n],
    )
    slope, score = (
        work[at_event : at_event + n],
        values[slots[f.TRUE_SCORE] + begin : slots[f.TRUE_SCORE] + end],
    )
    weight = values[slots[f.TRUE_LOG_WEIGHT] + begin : slots[f.TRUE_LOG_WEIGHT] + end]
    for i in range(len(height)):
        height[i] = weight[i] + slope[i] * score[i]
    windows, each = count(f.TRUE_WINDOW, slots), count(f.TRUE_SLOPE, slots)
    if windows > 0:
        certain = values[slots[f.TRUE_WINDOW] : slots[f.TRUE_WINDOW] + n]
        for i in range(len(between)):
            between[i] = certain[i]
    for q in range(each // n):
        at = _of_stretches(slots)[2] + q * n
        until, factor = work[at : at + n], work[factors + q * nodes + begin : factors + q * nodes + end]
        for i in range(len(height)):
            height[i] -= until[i] * factor[i]
        if windows > 0:
            later = work[at + each : at + each + n]
            for i in range(len(between)):
                between[i] -= later[i] * factor[i]
    for i in range(len(height)):
        highest[i] = height[i] if height[i] > highest[i] else highest[i]


@compiled
def _below_highest(level, work, slots):
    (begin, end), part, first = _level(level, slots), _of_nodes(slots)[0], _of_patients(slots)[0]
    height, highest = work[part + begin : part + end], work[first : first + count(f.TRUE_EVENT, slots)]
    for i in range(len(height)):
        height[i] -= highest[i]


# --- back ---------------------------------------------------------------------------------------------------


@compiled
def _shares(level, work, slots, values):
    """Adds a level's parts to averages, and to the derivatives, by all that is known of each patient."""
    n, nodes, (begin, end) = count(f.TRUE_EVENT, slots), count(f.TRUE_SCORE, slots), _level(level, slots)
    (first, window, factors), (_, average, _, _, event) = _of_nodes(slots), _of_patients(slots)
    part, left = work[first + begin : first + end], work[window + begin : window + end]
    whole, by_event = work[average : average + n], work[event : event + n]
    score = values[slots[f.TRUE_SCORE] + begin : slots[f.TRUE_SCORE] + end]
    windows, each = count(f.TRUE_WINDOW, slots), count(f.TRUE_SLOPE, slots)
    if windows > 0:
        # what is without an event until the first assessment: with one by the second, and left after it
        for i in range(len(part)):
            seen = -part[i] * left[i]
            left[i] = seen - part[i]
            part[i] = seen
    for i in range(len(part)):
        whole[i] += part[i]
        by_event[i] += part[i] * score[i]
    for q in range(each // n):
        factor = work[factors + q * nodes + begin : factors + q * nodes + end]
        _stretch_shares(q, part, factor, score, 0, work, slots)
        if windows > 0:
            _stretch_shares(q, left, factor, score, each, work, slots)


@compiled
def _stretch_shares(q, share, factor, score, kind, work, slots):
    """Takes shares of a level from the derivatives by masses, of a ``kind``, and by slopes."""
    n, (_, slope, mass, at) = count(f.TRUE_EVENT, slots), _of_stretches(slots)
    by_slope, by_mass = (
        work[slope + q * n : slope + q * n + n],
        work[at + kind + q * n : at + kind + q * n + n],
    )
    masses = work[mass + kind + q * n : mass + kind + q * n + n]
    for i in range(len(share)):
        own = share[i] * factor[i]
        by_mass[i] -= own
        by_slope[i] -= own * score[i] * masses[i]


@compiled
def _handed_back(work, slots, values):
    """Sum of the logs of averages; derivatives of all patients go to elements."""
    n, p, each = count(f.TRUE_EVENT, slots), count(f.COVARIATE_ELEMENT, slots), count(f.TRUE_SLOPE, slots)
    highest, whole, risk, _, by_event = _of_patients(slots)
    _, by_slope, mass, by_mass = _of_stretches(slots)
    to_element, total = slots[f.TO_ELEMENT], 0.0
    event, slope, covariates = slots[f.TRUE_EVENT], slots[f.TRUE_SLOPE], slots[f.TRUE_COVARIATES]
    for i in range(n):
        by, effect = 1.0 / work[whole + i], 0.0
        total += work[highest + i] + math.log(work[whole + i])
        if slots[event + i] >= 0:
            work[to_element + slots[event + i]] += by * work[by_event + i]
        for q in range(i, each, n):
            if slots[slope + q] >= 0:
                work[to_element + slots[slope + q]] += by * work[by_slope + q]
            effect += work[by_mass + q] * work[mass + q] + work[by_mass + each + q] * work[mass + each + q]
        for j in range(p):
            at = to_element + slots[slots[f.COVARIATE_ELEMENT] + j]
            work[at] += by * effect * values[covariates + i * p + j]
        work[risk + i] *= by
    _masses_back(0, by_mass, work, slots, values)
    if count(f.TRUE_WINDOW, slots) > 0:
        _masses_back(n, by_mass + each, work, slots, values)
    rate, cells = slots[f.REST], count(f.TRUE_STRETCH, slots)
    for c in range(cells):
        work[to_element + c] += work[rate + cells + c] * work[rate + c]
    return total


@compiled
def _masses_back(row, by_mass, work, slots, values):
    """From derivatives by masses to those by baseline hazards; risks are divided by averages now."""
    n, intervals, risk = count(f.TRUE_EVENT, slots), slots[slots[f.TRUE_INTERVALS]], _of_patients(slots)[2]
    to_rate, stretch, first = (
        slots[f.REST] + count(f.TRUE_STRETCH, slots),
        slots[f.TRUE_STRETCH],
        slots[f.TRUE_FIRST],
    )
    for i in range(n):
        by, cell, months = work[risk + i], slots[first + i], slots[f.TRUE_MONTHS] + (row + i) * intervals
        now, own = slots[stretch + cell], by * work[by_mass + slots[stretch + cell] * n + i]
        for k in range(intervals):
            if slots[stretch + cell + k] != now:
                now = slots[stretch + cell + k]
                own = by * work[by_mass + now * n + i]
            work[to_rate + cell + k] += own * values[months + k]
