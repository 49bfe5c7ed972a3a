"""The log-likelihood of patients whose score is known with error, with its derivatives by elements.

The likelihood of a patient is the average, over nodes of its true score, of the likelihood there. Months at
risk times the baseline hazard are the same at every node, and are found once a patient.
"""

from __future__ import annotations

import math

from bayes_net.compiled import fields as f
from bayes_net.compiled.fields import compiled, count


@compiled
def true_scores(work, slots, values):
    """Log of each patient's average likelihood; of an event on a known day without the log of the baseline
    hazard and the effects of covariates, which are linear."""
    p, m, total = count(f.COVARIATE_ELEMENT, slots), count(f.TRUE_MONTHS, slots), 0.0
    element, to_element, mass = slots[f.ELEMENT], slots[f.TO_ELEMENT], slots[f.REST]
    for i in range(count(f.TRUE_EVENT, slots)):
        begin, end = slots[slots[f.TRUE_AT_RISK] + i], slots[slots[f.TRUE_AT_RISK] + i + 1]
        covariates, effect = slots[f.TRUE_COVARIATES] + i * p, 0.0
        for j in range(p):
            effect += work[element + slots[slots[f.COVARIATE_ELEMENT] + j]] * values[covariates + j]
        for k in range(begin, end):
            level = work[element + slots[slots[f.TRUE_HAZARD] + k]] + effect
            work[mass + k], work[mass + m + k] = values[slots[f.TRUE_MONTHS] + k] * math.exp(level), 0.0
        whole = _averaged(i, work, slots, values)
        total += whole
        _averaged_back(i, whole, work, slots, values)
        effect = 0.0
        for k in range(begin, end):
            risk = work[mass + m + k] * work[mass + k]
            work[to_element + slots[slots[f.TRUE_HAZARD] + k]] += risk
            effect += risk
        for j in range(p):
            work[to_element + slots[slots[f.COVARIATE_ELEMENT] + j]] += effect * values[covariates + j]
    return total


@compiled
def _averaged(i, work, slots, values):
    """Log of the average likelihood of a patient; the logs of its parts are kept behind the masses."""
    begin, end = slots[slots[f.TRUE_AT_RISK] + i], slots[slots[f.TRUE_AT_RISK] + i + 1]
    first, last = slots[slots[f.TRUE] + i], slots[slots[f.TRUE] + i + 1]
    at_event, between = slots[slots[f.TRUE_EVENT] + i], slots[slots[f.TRUE_BETWEEN] + i]
    height, best, whole = slots[f.REST] + 2 * count(f.TRUE_MONTHS, slots), -math.inf, 0.0
    for j in range(first, last):
        score = values[slots[f.TRUE_SCORE] + j]
        own = values[slots[f.TRUE_LOG_WEIGHT] + j] - _passed(begin, between, score, work, slots)
        if at_event >= 0:
            own += work[slots[f.ELEMENT] + at_event] * score
        if between < end:
            own += math.log(-math.expm1(-_passed(between, end, score, work, slots)))
        work[height + j] = own
        best = max(best, own)
    for j in range(first, last):
        whole += math.exp(work[height + j] - best)
    return best + math.log(whole)


@compiled
def _averaged_back(i, whole, work, slots, values):
    """From the log of a patient's average likelihood to masses and slopes: each part has its share."""
    begin, end = slots[slots[f.TRUE_AT_RISK] + i], slots[slots[f.TRUE_AT_RISK] + i + 1]
    at_event, between = slots[slots[f.TRUE_EVENT] + i], slots[slots[f.TRUE_BETWEEN] + i]
    height = slots[f.REST] + 2 * count(f.TRUE_MONTHS, slots)
    for j in range(slots[slots[f.TRUE] + i], slots[slots[f.TRUE] + i + 1]):
        share, score = math.exp(work[height + j] - whole), values[slots[f.TRUE_SCORE] + j]
        if at_event >= 0:
            work[slots[f.TO_ELEMENT] + at_event] += share * score
        _passed_back(begin, between, score, -share, work, slots)
        if between < end:
            hazard = _passed(between, end, score, work, slots)
            if hazard <= 700.0:  # else the event is certain, and says nothing
                _passed_back(between, end, score, share / math.expm1(hazard), work, slots)


@compiled
def _passed(begin, end, score, work, slots):
    """Cumulative hazard of entries at a score; neighbours mostly have the same slope."""
    mass, before, factor, total = slots[f.REST], -2, 1.0, 0.0
    for k in range(begin, end):
        slope = slots[slots[f.TRUE_SLOPE] + k]
        if slope != before:
            factor = math.exp(work[slots[f.ELEMENT] + slope] * score) if slope >= 0 else 1.0
        before = slope
        total += work[mass + k] * factor
    return total


@compiled
def _passed_back(begin, end, score, by, work, slots):
    """From a cumulative hazard, by which the derivative is ``by``, to what it is made of."""
    mass, before, factor = slots[f.REST], -2, 1.0
    to_mass = mass + count(f.TRUE_MONTHS, slots)
    for k in range(begin, end):
        slope = slots[slots[f.TRUE_SLOPE] + k]
        if slope != before:
            factor = math.exp(work[slots[f.ELEMENT] + slope] * score) if slope >= 0 else 1.0
        before = slope
        work[to_mass + k] += by * factor
        if slope >= 0:
            work[slots[f.TO_ELEMENT] + slope] += by * factor * work[mass + k] * score
