"""One log density with its gradient for every model: structure is data, so nothing is compiled anew.

    effect = (mean + unit * x / c) * sd,      c = sqrt(1 + sd^2 information)
    element = intercept + design @ effect

with sd one of the free standard deviations, or 1. Log hazards, slopes and logits are elements. Patients and
published numbers are terms of them, each an array of places in the vector of elements; a model without a
term has an empty array there. Gradients are accumulated backwards by hand: a term adds to those of its
elements, the design hands them to the effects, and these to the sampler's vector x.
"""

from __future__ import annotations

import math

from bayes_net.engine.fields import (
    CONSTANT,
    DESIGN,
    EFFECT,
    EFFECT_AT,
    EFFECT_SD,
    INFORMATION,
    MEAN,
    MIXED,
    MIXED_RATIO,
    MIXED_WEIGHT,
    PRIOR_MEAN,
    PRIOR_ROOT,
    SCALE,
    SD,
    SD_AT,
    SD_CAUCHY,
    SD_SCALE,
    STANDARD,
    TIED,
    TIED_BY,
    TIED_TO,
    TO_EFFECT,
    TO_ELEMENT,
    TO_SD,
    UNIT,
    compiled,
    count,
    multiply_back,
)
from bayes_net.engine.likelihood import (
    cells,
    elements,
    pieces,
    responses,
    rows,
    shrinkages,
)


@compiled
def log_density(x, gradient, work, slots, values):
    """Log density at ``x``; its gradient is written to ``gradient``."""
    for i in range(len(gradient)):
        gradient[i] = 0.0
    total = values[slots[CONSTANT]]
    total += _deviations(x, gradient, work, slots, values)
    _effects(x, work, slots, values)
    total += _prior(x, gradient, work, slots, values)
    total += _mixtures(gradient, work, slots, values)
    total += elements(work, slots, values)
    total += cells(work, slots, values)
    total += pieces(work, slots, values)
    total += rows(work, slots, values)
    total += responses(work, slots, values)
    total += shrinkages(work, slots, values)
    multiply_back(slots[TO_EFFECT], slots[TO_ELEMENT], DESIGN, work, slots, values)
    _hand_back(gradient, work, slots, values)
    return total


# --- effects and their priors -------------------------------------------------------------------------------


@compiled
def _deviations(x, gradient, work, slots, values):
    """Free standard deviations, half-normal or half-Cauchy, sampled as their logs."""
    total = 0.0
    for k in range(count(SD_AT, slots)):
        at = slots[slots[SD_AT] + k]
        sd = math.exp(x[at])
        square = (sd / values[slots[SD_SCALE] + k]) ** 2
        work[slots[SD] + k], work[slots[TO_SD] + k] = sd, 0.0
        if slots[slots[SD_CAUCHY] + k]:
            total += x[at] - math.log(1.0 + square)
            gradient[at] = 1.0 - 2.0 * square / (1.0 + square)
        else:
            total += x[at] - 0.5 * square
            gradient[at] = 1.0 - square
    return total


@compiled
def _effects(x, work, slots, values):
    for i in range(count(EFFECT_AT, slots)):
        by, scale, sd = slots[slots[EFFECT_SD] + i], 1.0, 1.0
        if by >= 0:
            sd = work[slots[SD] + by]
            scale = math.sqrt(1.0 + sd * sd * values[slots[INFORMATION] + i])
        standard = x[slots[slots[EFFECT_AT] + i]] / scale
        work[slots[SCALE] + i], work[slots[STANDARD] + i] = scale, standard
        work[slots[EFFECT] + i] = (values[slots[MEAN] + i] + values[slots[UNIT] + i] * standard) * sd
        work[slots[TO_EFFECT] + i] = 0.0


@compiled
def _prior(x, gradient, work, slots, values):
    """Normal priors, each on its scale c."""
    total, tied_to, tied_by = 0.0, slots[TIED_TO], slots[TIED_BY]
    for i in range(count(EFFECT_AT, slots)):
        at, by, scale = slots[slots[EFFECT_AT] + i], slots[slots[EFFECT_SD] + i], work[slots[SCALE] + i]
        mean, root = values[slots[PRIOR_MEAN] + i], values[slots[PRIOR_ROOT] + i] / scale
        begin, end = slots[slots[TIED] + i], slots[slots[TIED] + i + 1]
        for k in range(begin, end):
            mean += values[tied_by + k] * work[slots[EFFECT] + slots[tied_to + k]]
        away = (x[at] - mean) * root
        total -= 0.5 * away * away
        gradient[at] -= away * root
        for k in range(begin, end):
            work[slots[TO_EFFECT] + slots[tied_to + k]] += away * root * values[tied_by + k]
        if by >= 0:
            total -= math.log(scale)
            sd, information = work[slots[SD] + by], values[slots[INFORMATION] + i]
            work[slots[TO_SD] + by] += (away * away - 1.0) * sd * information / (scale * scale)
    return total


@compiled
def _mixtures(gradient, work, slots, values):
    """Priors of two components, over the normal one; relative to the wider, the last to underflow. None of
    these effects has a free standard deviation, so that c is 1."""
    total = 0.0
    for k in range(count(MIXED, slots)):
        i, weight = slots[slots[MIXED] + k], values[slots[MIXED_WEIGHT] + k]
        ratio, z = values[slots[MIXED_RATIO] + k], work[slots[STANDARD] + i]
        excess = 0.5 * z * z * (1.0 - ratio * ratio)
        narrow, wide = weight * math.exp(-excess), (1.0 - weight) * ratio
        total += math.log(narrow + wide) + excess
        gradient[slots[slots[EFFECT_AT] + i]] += z * (1.0 - ratio * ratio) * wide / (narrow + wide)
    return total


@compiled
def _hand_back(gradient, work, slots, values):
    """From effects and standard deviations to the sampler's vector."""
    for i in range(count(EFFECT_AT, slots)):
        by, scale, sd = slots[slots[EFFECT_SD] + i], work[slots[SCALE] + i], 1.0
        unit, by_effect = values[slots[UNIT] + i], work[slots[TO_EFFECT] + i]
        if by >= 0:
            sd = work[slots[SD] + by]
            of_scale = unit * work[slots[STANDARD] + i] / (scale * scale)
            work[slots[TO_SD] + by] += by_effect * (values[slots[MEAN] + i] + of_scale)
        gradient[slots[slots[EFFECT_AT] + i]] += by_effect * unit * sd / scale
    for k in range(count(SD_AT, slots)):
        gradient[slots[slots[SD_AT] + k]] += work[slots[TO_SD] + k] * work[slots[SD] + k]
