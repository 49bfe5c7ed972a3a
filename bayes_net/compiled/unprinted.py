"""Estimates that are not printed in the log-likelihood, with derivatives; ``assumptions.statements`` has the
equations."""

from __future__ import annotations

import math

from bayes_net.compiled import fields as f
from bayes_net.compiled.fields import compiled, count
from bayes_net.compiled.normal import log_below, log_between, ratio, within


@compiled
def said(w, to_w, work, slots, values):
    """Estimates that are not printed: where each lies within what is said of it, one after the other, and
    the log probability of that. ``w`` and ``to_w`` are the places of the independent errors of rows and of
    these, and of the derivatives by them."""
    n, k, total = count(f.ROW_VALUE, slots), count(f.SAID_SE, slots), 0.0
    lower = to_w + n + k
    upper, mass, estimate, to_estimate = lower + k, lower + 2 * k, lower + 3 * k, lower + 4 * k
    for i in range(k):
        location, mean, se, scale = _scale(i, w, work, slots, values)
        low, high, _, _ = _limits(i, se, estimate, work, slots, values)
        own = values[slots[f.SAID_OWN] + i]
        work[lower + i] = ((low - location) / scale - mean) / own
        work[upper + i] = ((high - location) / scale - mean) / own
        if work[lower + i] >= work[upper + i]:
            return -math.inf
        work[mass + i] = log_between(work[lower + i], work[upper + i])
        at = slots[f.ELEMENT] + slots[slots[f.SAID_Z] + i]
        error = within(work[lower + i], work[upper + i], work[mass + i], work[at])
        work[w + n + i], work[to_w + n + i] = error, 0.0
        work[estimate + i], work[to_estimate + i] = location + scale * (mean + own * error), 0.0
        total += work[mass + i]
    for i in range(k - 1, -1, -1):
        _back(i, w, to_w, work, slots, values)
    return total


@compiled
def _scale(i, w, work, slots, values):
    """Location, mean of the standardised error given those before, standard error as stated, and as it
    counts."""
    begin, mean = slots[f.SAID_BEFORE], 0.0
    for j in range(slots[begin + i], slots[begin + i + 1]):
        mean += values[slots[f.BEFORE_BY] + j] * work[w + slots[slots[f.BEFORE_ROW] + j]]
    location = work[slots[f.ELEMENT] + slots[slots[f.SAID_LOCATION] + i]]
    se = values[slots[f.SAID_SE] + i] * math.exp(work[slots[f.ELEMENT] + slots[slots[f.SAID_INFLATION] + i]])
    return location, mean, se, se / values[slots[f.SAID_ROOT_POWER] + i]


@compiled
def _limits(i, se, estimate, work, slots, values):
    """Lower and upper limit, and what each is: -1 a number, -2 standard errors, or the place of a row."""
    n, k, limits = count(f.ROW_VALUE, slots), count(f.SAID_SE, slots), slots[f.SAID_LIMITS]
    low, high, from_low, from_high = values[limits + i], values[limits + k + i], -1, -1
    if values[limits + 2 * k + i] * se > low:
        low, from_low = values[limits + 2 * k + i] * se, -2
    if values[limits + 3 * k + i] * se < high:
        high, from_high = values[limits + 3 * k + i] * se, -2
    above, below = slots[slots[f.SAID_ABOVE] + i], slots[slots[f.SAID_BELOW] + i]
    if above >= 0:
        other = values[slots[f.ROW_VALUE] + above] if above < n else work[estimate + above - n]
        if other > low:
            low, from_low = other, above
    if below >= 0:
        other = values[slots[f.ROW_VALUE] + below] if below < n else work[estimate + below - n]
        if other < high:
            high, from_high = other, below
    return low, high, from_low, from_high


@compiled
def _back(i, w, to_w, work, slots, values):
    """Derivatives of the i-th estimate, handed to what it is made of."""
    n, k, to_element = count(f.ROW_VALUE, slots), count(f.SAID_SE, slots), slots[f.TO_ELEMENT]
    lower = to_w + n + k
    estimate, to_estimate = lower + 3 * k, lower + 4 * k
    location, mean, se, scale = _scale(i, w, work, slots, values)
    low, high, from_low, from_high = _limits(i, se, estimate, work, slots, values)
    own, by = values[slots[f.SAID_OWN] + i], work[to_estimate + i]
    a, b, mass, error = work[lower + i], work[lower + k + i], work[lower + 2 * k + i], work[w + n + i]
    at = slots[slots[f.SAID_Z] + i]
    e = work[slots[f.ELEMENT] + at]
    by_error = work[to_w + n + i] + by * scale * own
    work[to_element + at] += by_error * math.exp(mass + 0.5 * (error * error - e * e))
    by_a = by_error * math.exp(log_below(-e) + 0.5 * (error * error - a * a)) - ratio(a, mass)
    by_b = by_error * math.exp(log_below(e) + 0.5 * (error * error - b * b)) + ratio(b, mass)
    by_low, by_high = by_a / (scale * own), by_b / (scale * own)
    by_mean = by * scale - (by_a + by_b) / own
    by_scale, by_se = by * (mean + own * error), 0.0
    if from_low >= -2 and by_a != 0.0:
        by_scale -= by_low * (low - location) / scale
    if from_high >= -2 and by_b != 0.0:
        by_scale -= by_high * (high - location) / scale
    if from_low == -2:
        by_se += by_low * values[slots[f.SAID_LIMITS] + 2 * k + i]
    if from_high == -2:
        by_se += by_high * values[slots[f.SAID_LIMITS] + 3 * k + i]
    if from_low >= n:
        work[to_estimate + from_low - n] += by_low
    if from_high >= n:
        work[to_estimate + from_high - n] += by_high
    by_se += by_scale / values[slots[f.SAID_ROOT_POWER] + i]
    work[to_element + slots[slots[f.SAID_LOCATION] + i]] += by - by_low - by_high
    work[to_element + slots[slots[f.SAID_INFLATION] + i]] += by_se * se
    begin = slots[f.SAID_BEFORE]
    for j in range(slots[begin + i], slots[begin + i + 1]):
        work[to_w + slots[slots[f.BEFORE_ROW] + j]] += values[slots[f.BEFORE_BY] + j] * by_mean
