"""One log density with its gradient for every model: structure is data, so nothing is compiled anew.

    effect = (mean + unit * x / c) * sd,      c = sqrt(1 + sd^2 information)
    element = intercept + design @ effect

with sd one of the free standard deviations, or 1. Log hazards, slopes and logits are elements. Patients and
published numbers are terms of them, each an array of places in the vector of elements; a model without a
term has an empty array there. Gradients are accumulated backwards by hand: a term adds to those of its
elements, the design hands them to the effects, and these to the vector x, which the sampler has itself or
turned to where the density is about round.
"""

from __future__ import annotations

import math

from bayes_net.compiled import fields as f
from bayes_net.compiled.fields import compiled, count, multiply, multiply_back
from bayes_net.compiled.laws import associations, associations_back, ranges, shrinkages
from bayes_net.compiled.likelihood import cells, elements, pieces, responses, rows, windows
from bayes_net.compiled.uncertain import true_scores


@compiled
def uncertain_density(u, gradient, work, slots, values):
    """``turned_density``, and the term of patients whose score is known with error, if there are any."""
    total = turned_density(u, gradient, work, slots, values)
    if count(f.TRUE_SCORE, slots) == 0:
        return total
    for part, field in ((f.TO_ELEMENT, f.INTERCEPT), (f.TO_EFFECT, f.EFFECT_AT), (f.TO_SD, f.SD_AT)):
        for i in range(count(field, slots)):
            work[slots[part] + i] = 0.0
    # elements are still those of the point: the term adds to their derivatives, which go back as all others
    total += true_scores(work, slots, values)
    multiply_back(slots[f.TO_EFFECT], slots[f.TO_ELEMENT], f.DESIGN, work, slots, values)
    n = count(f.TURN_CENTRE, slots)
    if n == 0:
        _hand_back(gradient, work, slots, values)
        return total
    to_x = slots[f.TURNED] + 2 * n
    for i in range(2 * n):
        work[to_x + i] = 0.0
    _hand_back(work[to_x : to_x + n], work, slots, values)
    multiply_back(to_x + n, to_x, f.TURN, work, slots, values)
    for i in range(n):
        gradient[i] += work[to_x + n + i]
    return total


@compiled
def turned_density(u, gradient, work, slots, values):
    """Log density at the sampler's vector ``u``, of which x is ``u`` itself or a linear function; its
    gradient is written to ``gradient``."""
    n, x, to_x = count(f.TURN_CENTRE, slots), u, gradient
    own, turned = slots[f.TURNED], slots[f.TURNED] + n
    if n > 0:
        x, to_x = work[turned : turned + n], work[turned + n : turned + 2 * n]
    for i in range(n):
        work[own + i], work[turned + i] = u[i], values[slots[f.TURN_CENTRE] + i]
        work[turned + 2 * n + i] = 0.0
    multiply(turned, own, f.TURN, work, slots, values)
    total = log_density(x, to_x, work, slots, values)
    multiply_back(turned + 2 * n, turned + n, f.TURN, work, slots, values)
    for i in range(n):
        gradient[i] = work[turned + 2 * n + i]
    return total


@compiled
def log_density(x, gradient, work, slots, values):
    """Log density at ``x``; its gradient is written to ``gradient``."""
    for i in range(len(gradient)):
        gradient[i] = 0.0
    total = values[slots[f.CONSTANT]]
    total += _deviations(x, gradient, work, slots, values)
    _effects(x, work, slots, values)
    total += _prior(x, gradient, work, slots, values)
    total += _mixtures(gradient, work, slots, values)
    total += elements(work, slots, values)
    associations(work, slots, values)
    total += cells(work, slots, values)
    total += pieces(work, slots, values)
    total += windows(work, slots, values)
    total += rows(work, slots, values)
    total += responses(work, slots, values)
    total += shrinkages(work, slots, values)
    total += ranges(work, slots, values)
    associations_back(work, slots, values)
    multiply_back(slots[f.TO_EFFECT], slots[f.TO_ELEMENT], f.DESIGN, work, slots, values)
    _hand_back(gradient, work, slots, values)
    return total


# --- effects and their priors -------------------------------------------------------------------------------


@compiled
def _deviations(x, gradient, work, slots, values):
    """Free standard deviations, half-normal or half-Cauchy, sampled as their logs."""
    total = 0.0
    for k in range(count(f.SD_AT, slots)):
        at = slots[slots[f.SD_AT] + k]
        sd = math.exp(x[at])
        square = (sd / values[slots[f.SD_SCALE] + k]) ** 2
        work[slots[f.SD] + k], work[slots[f.TO_SD] + k] = sd, 0.0
        if slots[slots[f.SD_CAUCHY] + k]:
            total += x[at] - math.log(1.0 + square)
            gradient[at] = 1.0 - 2.0 * square / (1.0 + square)
        else:
            total += x[at] - 0.5 * square
            gradient[at] = 1.0 - square
    return total


@compiled
def _effects(x, work, slots, values):
    for i in range(count(f.EFFECT_AT, slots)):
        by, scale, sd = slots[slots[f.EFFECT_SD] + i], 1.0, 1.0
        if by >= 0:
            sd = work[slots[f.SD] + by]
            scale = math.sqrt(1.0 + sd * sd * values[slots[f.INFORMATION] + i])
        standard = x[slots[slots[f.EFFECT_AT] + i]] / scale
        work[slots[f.SCALE] + i], work[slots[f.STANDARD] + i] = scale, standard
        work[slots[f.EFFECT] + i] = (values[slots[f.MEAN] + i] + values[slots[f.UNIT] + i] * standard) * sd
        work[slots[f.TO_EFFECT] + i] = 0.0


@compiled
def _prior(x, gradient, work, slots, values):
    """Normal priors, each on its scale c."""
    total, tied_to, tied_by = 0.0, slots[f.TIED_TO], slots[f.TIED_BY]
    for i in range(count(f.EFFECT_AT, slots)):
        at, by, scale = slots[slots[f.EFFECT_AT] + i], slots[slots[f.EFFECT_SD] + i], work[slots[f.SCALE] + i]
        mean, root = values[slots[f.PRIOR_MEAN] + i], values[slots[f.PRIOR_ROOT] + i] / scale
        begin, end = slots[slots[f.TIED] + i], slots[slots[f.TIED] + i + 1]
        for k in range(begin, end):
            mean += values[tied_by + k] * work[slots[f.EFFECT] + slots[tied_to + k]]
        away = (x[at] - mean) * root
        total -= 0.5 * away * away
        gradient[at] -= away * root
        for k in range(begin, end):
            work[slots[f.TO_EFFECT] + slots[tied_to + k]] += away * root * values[tied_by + k]
        if by >= 0:
            total -= math.log(scale)
            sd, information = work[slots[f.SD] + by], values[slots[f.INFORMATION] + i]
            work[slots[f.TO_SD] + by] += (away * away - 1.0) * sd * information / (scale * scale)
    return total


@compiled
def _mixtures(gradient, work, slots, values):
    """Priors of two components, over the normal one; relative to the wider, the last to underflow. None of
    these effects has a free standard deviation, so that c is 1."""
    total = 0.0
    for k in range(count(f.MIXED, slots)):
        i, weight = slots[slots[f.MIXED] + k], values[slots[f.MIXED_WEIGHT] + k]
        ratio, z = values[slots[f.MIXED_RATIO] + k], work[slots[f.STANDARD] + i]
        excess = 0.5 * z * z * (1.0 - ratio * ratio)
        narrow, wide = weight * math.exp(-excess), (1.0 - weight) * ratio
        total += math.log(narrow + wide) + excess
        gradient[slots[slots[f.EFFECT_AT] + i]] += z * (1.0 - ratio * ratio) * wide / (narrow + wide)
    return total


@compiled
def _hand_back(gradient, work, slots, values):
    """From effects and standard deviations to the sampler's vector."""
    for i in range(count(f.EFFECT_AT, slots)):
        by, scale, sd = slots[slots[f.EFFECT_SD] + i], work[slots[f.SCALE] + i], 1.0
        unit, by_effect = values[slots[f.UNIT] + i], work[slots[f.TO_EFFECT] + i]
        if by >= 0:
            sd = work[slots[f.SD] + by]
            of_scale = unit * work[slots[f.STANDARD] + i] / (scale * scale)
            work[slots[f.TO_SD] + by] += by_effect * (values[slots[f.MEAN] + i] + of_scale)
        gradient[slots[slots[f.EFFECT_AT] + i]] += by_effect * unit * sd / scale
    for k in range(count(f.SD_AT, slots)):
        gradient[slots[slots[f.SD_AT] + k]] += work[slots[f.TO_SD] + k] * work[slots[f.SD] + k]
