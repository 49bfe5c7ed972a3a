"""One log density with its gradient for every model: structure is data, so nothing is compiled anew.

    effect = (mean + unit * x / c) * sd,      c = sqrt(1 + sd^2 information)
    element = intercept + design @ effect

with sd one of the free standard deviations, or 1. Log hazards, slopes and logits are elements. Patients and
published numbers are terms of them, each an array of places in the vector of elements; a model without a
term has an empty array there. Gradients are accumulated backwards by hand: a term adds to those of its
elements, the design hands them to the effects, and these to the sampler's vector x.

Everything is in one block of memory, ``slots``: first the place of each of ``FIELDS``, then the fields, 8
bytes a number, whole or real as the field is. ``values`` is the same block, read as real numbers.
"""

from __future__ import annotations

import math

from numba import njit

FIELDS = (
    "effect_at",  # effects: place in x
    "effect_sd",  # which free standard deviation, -1: none
    "mean",
    "unit",
    "information",
    "prior_mean",
    "prior_root",  # root of the prior's precision, 0: flat
    "tied",  # where each effect's own entries of the two following begin: its prior mean moves with others
    "tied_to",
    "tied_by",
    "mixed",  # effects whose prior has two components
    "mixed_ratio",  # SD of the narrow over that of the wide one
    "mixed_weight",
    "sd_at",  # free standard deviations: place of the log in x
    "sd_scale",
    "sd_cauchy",
    "constant",
    "intercept",  # elements
    "design",
    "design_effect",
    "design_by",
    "hits",  # what each element is multiplied by in the part that is linear: events, and scores of events
    "cell_hazard",  # cells of compressed exposure: element of the log hazard, and further elements or -1
    "cell_offset",
    "cell_slope",
    "cell_nodes",
    "node_score",
    "node_months",
    "width",  # patients one by one: months of each interval and arm, the first elements being log hazards
    "first",  # whether an interval is an arm's first
    "piece_start",  # pieces of follow-up: the interval in which each begins, and that in which it ends
    "piece_end",
    "piece_slope",
    "piece_score",
    "piece_months",  # time in the last interval
    "covariate_element",
    "piece_covariates",
    "row_location",  # published numbers: elements of their location, and of the log factor on their errors
    "row_inflation",
    "row_value",
    "row_se",
    "row_power",
    "row_student",  # degrees of freedom of Student's t, 0: normal
    "row_curve",
    "curve_element",
    "curve_months",
    "root",
    "root_row",
    "root_by",
    "response",  # counts of response: element of the logit
    "response_counts",
    "shrinkage_location",  # counts of shrinkage: elements of the law's location and log spread
    "shrinkage_spread",
    "shrinkage_counts",
)
(
    EFFECT_AT, EFFECT_SD, MEAN, UNIT, INFORMATION, PRIOR_MEAN, PRIOR_ROOT, TIED, TIED_TO, TIED_BY,
    MIXED, MIXED_RATIO, MIXED_WEIGHT, SD_AT, SD_SCALE, SD_CAUCHY, CONSTANT,
    INTERCEPT, DESIGN, DESIGN_EFFECT, DESIGN_BY, HITS,
    CELL_HAZARD, CELL_OFFSET, CELL_SLOPE, CELL_NODES, NODE_SCORE, NODE_MONTHS,
    WIDTH, FIRST, PIECE_START, PIECE_END, PIECE_SLOPE, PIECE_SCORE, PIECE_MONTHS,
    COVARIATE_ELEMENT, PIECE_COVARIATES,
    ROW_LOCATION, ROW_INFLATION, ROW_VALUE, ROW_SE, ROW_POWER, ROW_STUDENT, ROW_CURVE, CURVE_ELEMENT,
    CURVE_MONTHS, ROOT, ROOT_ROW, ROOT_BY,
    RESPONSE, RESPONSE_COUNTS, SHRINKAGE_LOCATION, SHRINKAGE_SPREAD, SHRINKAGE_COUNTS,
) = range(len(FIELDS))  # fmt: skip

TINY = 1e-12
"""Added to probabilities of shrinkage, as the definition does."""

compiled = njit(error_model="numpy")


@compiled
def _field(slots, block, field):
    """A field of the block, whole or real as ``block`` is."""
    return block[slots[field] : slots[field + 1]]


@compiled
def workspace(slots):
    """How many numbers ``log_density`` needs to work on."""
    effects = slots[EFFECT_AT + 1] - slots[EFFECT_AT]
    elements = slots[INTERCEPT + 1] - slots[INTERCEPT]
    cells = slots[WIDTH + 1] - slots[WIDTH]
    rows = slots[ROW_VALUE + 1] - slots[ROW_VALUE]
    sds = slots[SD_AT + 1] - slots[SD_AT]
    return 4 * effects + 2 * elements + 4 * cells + 3 * rows + 2 * sds


@compiled
def log_density(x, gradient, work, slots, values):
    """Log density at ``x``; its gradient is written to ``gradient``."""
    n, m = slots[EFFECT_AT + 1] - slots[EFFECT_AT], slots[INTERCEPT + 1] - slots[INTERCEPT]
    s, end = slots[SD_AT + 1] - slots[SD_AT], 4 * n + 2 * m
    effect, standard, scale, to_effect = work[:n], work[n : 2 * n], work[2 * n : 3 * n], work[3 * n : 4 * n]
    element, to_element = work[4 * n : 4 * n + m], work[4 * n + m : end]
    sd, to_sd, rest = work[end : end + s], work[end + s : end + 2 * s], work[end + 2 * s :]
    gradient[:] = 0.0
    to_effect[:] = 0.0
    total = values[slots[CONSTANT]] + _deviations(x, gradient, sd, to_sd, slots, values)
    _effects(x, effect, standard, scale, sd, slots, values)
    total += _prior(x, gradient, effect, standard, scale, to_effect, sd, to_sd, slots, values)
    element[:] = _field(slots, values, INTERCEPT)
    _multiply(element, effect, DESIGN, slots, values)
    total += _linear(element, to_element, slots, values)
    total += _cells(element, to_element, slots, values)
    total += _pieces(element, to_element, rest, slots, values)
    total += _rows(element, to_element, rest, slots, values)
    total += _responses(element, to_element, slots, values)
    total += _shrinkages(element, to_element, slots, values)
    _multiply_back(to_effect, to_element, DESIGN, slots, values)
    _hand_back(gradient, standard, scale, to_effect, sd, to_sd, slots, values)
    return total


# --- sparse matrices: three fields, where each row begins, columns, values ------------------------------


@compiled
def _multiply(out, vector, matrix, slots, values):
    begin, column, by = (
        _field(slots, slots, matrix),
        _field(slots, slots, matrix + 1),
        _field(slots, values, matrix + 2),
    )
    for i in range(len(out)):
        total = 0.0
        for k in range(begin[i], begin[i + 1]):
            total += by[k] * vector[column[k]]
        out[i] += total


@compiled
def _multiply_back(out, vector, matrix, slots, values):
    begin, column, by = (
        _field(slots, slots, matrix),
        _field(slots, slots, matrix + 1),
        _field(slots, values, matrix + 2),
    )
    for i in range(len(vector)):
        for k in range(begin[i], begin[i + 1]):
            out[column[k]] += by[k] * vector[i]


# --- effects and their priors -----------------------------------------------------------------------------


@compiled
def _deviations(x, gradient, sd, to_sd, slots, values):
    """Free standard deviations, half-normal or half-Cauchy, sampled as their logs."""
    at, unit, cauchy = (
        _field(slots, slots, SD_AT),
        _field(slots, values, SD_SCALE),
        _field(slots, slots, SD_CAUCHY),
    )
    total = 0.0
    for k in range(len(sd)):
        sd[k] = math.exp(x[at[k]])
        ratio = sd[k] / unit[k]
        to_sd[k] = 0.0
        if cauchy[k]:
            total += x[at[k]] - math.log(1.0 + ratio * ratio)
            gradient[at[k]] = 1.0 - 2.0 * ratio * ratio / (1.0 + ratio * ratio)
        else:
            total += x[at[k]] - 0.5 * ratio * ratio
            gradient[at[k]] = 1.0 - ratio * ratio
    return total


@compiled
def _effects(x, effect, standard, scale, sd, slots, values):
    at, by = _field(slots, slots, EFFECT_AT), _field(slots, slots, EFFECT_SD)
    mean, unit = _field(slots, values, MEAN), _field(slots, values, UNIT)
    information = _field(slots, values, INFORMATION)
    for i in range(len(effect)):
        scale[i], factor = 1.0, 1.0
        if by[i] >= 0:
            factor = sd[by[i]]
            scale[i] = math.sqrt(1.0 + factor * factor * information[i])
        standard[i] = x[at[i]] / scale[i]
        effect[i] = (mean[i] + unit[i] * standard[i]) * factor


@compiled
def _prior(x, gradient, effect, standard, scale, to_effect, sd, to_sd, slots, values):
    """Normal priors on the scale c of each; that of the mixtures relative to their wider component."""
    at, by = _field(slots, slots, EFFECT_AT), _field(slots, slots, EFFECT_SD)
    mean, root = _field(slots, values, PRIOR_MEAN), _field(slots, values, PRIOR_ROOT)
    information = _field(slots, values, INFORMATION)
    begin, tied_to, tied_by = (
        _field(slots, slots, TIED),
        _field(slots, slots, TIED_TO),
        _field(slots, values, TIED_BY),
    )
    total = 0.0
    for i in range(len(effect)):
        moved = mean[i]
        for k in range(begin[i], begin[i + 1]):
            moved += tied_by[k] * effect[tied_to[k]]
        away = (x[at[i]] - moved) * root[i] / scale[i]
        total -= 0.5 * away * away
        pull = away * root[i] / scale[i]
        gradient[at[i]] -= pull
        for k in range(begin[i], begin[i + 1]):
            to_effect[tied_to[k]] += pull * tied_by[k]
        if by[i] >= 0:
            total -= math.log(scale[i])
            to_sd[by[i]] += (away * away - 1.0) * sd[by[i]] * information[i] / (scale[i] * scale[i])
    mixed, ratio, weight = (
        _field(slots, slots, MIXED),
        _field(slots, values, MIXED_RATIO),
        _field(slots, values, MIXED_WEIGHT),
    )
    for k in range(len(mixed)):
        i = mixed[k]
        spread = 1.0 - ratio[k] * ratio[k]
        excess = 0.5 * standard[i] * standard[i] * spread
        narrow, wide = weight[k] * math.exp(-excess), (1.0 - weight[k]) * ratio[k]
        total += math.log(narrow + wide) + excess
        # no effect of two components has a free standard deviation, so its scale is 1
        gradient[at[i]] += standard[i] * spread * wide / (narrow + wide)
    return total


@compiled
def _hand_back(gradient, standard, scale, to_effect, sd, to_sd, slots, values):
    """From effects and standard deviations to the sampler's vector."""
    at, by = _field(slots, slots, EFFECT_AT), _field(slots, slots, EFFECT_SD)
    mean, unit = _field(slots, values, MEAN), _field(slots, values, UNIT)
    for i in range(len(standard)):
        factor = 1.0
        if by[i] >= 0:
            factor = sd[by[i]]
            of_scale = unit[i] * standard[i] / (scale[i] * scale[i])
            to_sd[by[i]] += to_effect[i] * (mean[i] + of_scale)
        gradient[at[i]] += to_effect[i] * unit[i] * factor / scale[i]
    sd_at = _field(slots, slots, SD_AT)
    for k in range(len(sd)):
        gradient[sd_at[k]] += to_sd[k] * sd[k]


# --- patients ------------------------------------------------------------------------------------------------


@compiled
def _linear(element, to_element, slots, values):
    hits, total = _field(slots, values, HITS), 0.0
    for j in range(len(element)):
        total += hits[j] * element[j]
        to_element[j] = hits[j]
    return total


@compiled
def _cells(element, to_element, slots, values):
    """Minus the cumulative hazard of compressed exposure: nodes of months at a score."""
    hazard, offset, slope = (
        _field(slots, slots, CELL_HAZARD),
        _field(slots, slots, CELL_OFFSET),
        _field(slots, slots, CELL_SLOPE),
    )
    begin = _field(slots, slots, CELL_NODES)
    score, months = _field(slots, values, NODE_SCORE), _field(slots, values, NODE_MONTHS)
    total = 0.0
    for c in range(len(hazard)):
        level = element[hazard[c]]
        if offset[c] >= 0:
            level += element[offset[c]]
        rate, passed, weighted = math.exp(level), 0.0, 0.0
        if slope[c] >= 0:
            by = element[slope[c]]
            for k in range(begin[c], begin[c + 1]):
                risk = months[k] * math.exp(by * score[k])
                passed += risk
                weighted += risk * score[k]
            to_element[slope[c]] -= rate * weighted
        else:
            for k in range(begin[c], begin[c + 1]):
                passed += months[k]
        total -= rate * passed
        to_element[hazard[c]] -= rate * passed
        if offset[c] >= 0:
            to_element[offset[c]] -= rate * passed
    return total


@compiled
def _pieces(element, to_element, work, slots, values):
    """Minus the cumulative hazard of patients one by one: of intervals passed, and the piece in the last."""
    width, first = _field(slots, values, WIDTH), _field(slots, slots, FIRST)
    start, end, slope = (
        _field(slots, slots, PIECE_START),
        _field(slots, slots, PIECE_END),
        _field(slots, slots, PIECE_SLOPE),
    )
    score, months = _field(slots, values, PIECE_SCORE), _field(slots, values, PIECE_MONTHS)
    covariate, covariates = (
        _field(slots, slots, COVARIATE_ELEMENT),
        _field(slots, values, PIECE_COVARIATES),
    )
    n, p, total = len(width), len(covariate), 0.0
    rate, passed = work[:n], work[n : 2 * n]
    to_rate, to_passed = work[2 * n : 3 * n], work[3 * n : 4 * n]
    for c in range(n):
        rate[c] = math.exp(element[c])
        passed[c] = 0.0 if first[c] else passed[c - 1] + rate[c - 1] * width[c - 1]
        to_rate[c] = to_passed[c] = 0.0
    for i in range(len(start)):
        eta = 0.0
        if slope[i] >= 0:
            eta = element[slope[i]] * score[i]
        for j in range(p):
            eta += element[covariate[j]] * covariates[i * p + j]
        risk = math.exp(eta)
        hazard = risk * (passed[end[i]] - passed[start[i]] + months[i] * rate[end[i]])
        total -= hazard
        to_passed[end[i]] -= risk
        to_passed[start[i]] += risk
        to_rate[end[i]] -= risk * months[i]
        if slope[i] >= 0:
            to_element[slope[i]] -= hazard * score[i]
        for j in range(p):
            to_element[covariate[j]] -= hazard * covariates[i * p + j]
    for c in range(n - 1, -1, -1):
        if not first[c]:
            to_passed[c - 1] += to_passed[c]
            to_rate[c - 1] += to_passed[c] * width[c - 1]
        to_element[c] += to_rate[c] * rate[c]
    return total


# --- published numbers ---------------------------------------------------------------------------------------


@compiled
def _rows(element, to_element, work, slots, values):
    """Normal numbers, with the root of their precision matrix, and Student's t, on standardised residuals."""
    value, se, power = (
        _field(slots, values, ROW_VALUE),
        _field(slots, values, ROW_SE),
        _field(slots, values, ROW_POWER),
    )
    location, inflation = _field(slots, slots, ROW_LOCATION), _field(slots, slots, ROW_INFLATION)
    begin, of, months = (
        _field(slots, slots, ROW_CURVE),
        _field(slots, slots, CURVE_ELEMENT),
        _field(slots, values, CURVE_MONTHS),
    )
    df, n, total = _field(slots, values, ROW_STUDENT), len(value), 0.0
    z, root_z, to_z = work[:n], work[n : 2 * n], work[2 * n : 3 * n]
    for i in range(n):
        at = element[location[i]]
        if begin[i + 1] > begin[i]:
            cumulative = 0.0
            for k in range(begin[i], begin[i + 1]):
                cumulative += months[k] * math.exp(element[of[k]])
            at += math.log(cumulative)
        z[i] = (value[i] - at) / (se[i] * math.exp(element[inflation[i]]))
        root_z[i] = to_z[i] = 0.0
    _multiply(root_z, z, ROOT, slots, values)
    for i in range(n):
        total -= 0.5 * root_z[i] * root_z[i] + power[i] * element[inflation[i]]
        root_z[i] = -root_z[i]
    _multiply_back(to_z, root_z, ROOT, slots, values)
    for i in range(n):
        if df[i] > 0.0:
            total -= power[i] * 0.5 * (df[i] + 1.0) * math.log(1.0 + z[i] * z[i] / df[i])
            to_z[i] -= power[i] * (df[i] + 1.0) * z[i] / (df[i] + z[i] * z[i])
        to_location = -to_z[i] / (se[i] * math.exp(element[inflation[i]]))
        to_element[location[i]] += to_location
        to_element[inflation[i]] -= to_z[i] * z[i] + power[i]
        cumulative = 0.0
        for k in range(begin[i], begin[i + 1]):
            cumulative += months[k] * math.exp(element[of[k]])
        for k in range(begin[i], begin[i + 1]):
            to_element[of[k]] += to_location * months[k] * math.exp(element[of[k]]) / cumulative
    return total


@compiled
def _softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@compiled
def _responses(element, to_element, slots, values):
    """Binomial counts of a logit: successes, numbers and powers one after another."""
    of, counts = _field(slots, slots, RESPONSE), _field(slots, values, RESPONSE_COUNTS)
    n, total = len(of), 0.0
    for i in range(n):
        k, size, power, logit = counts[i], counts[n + i], counts[2 * n + i], element[of[i]]
        total -= power * (k * _softplus(-logit) + (size - k) * _softplus(logit))
        to_element[of[i]] += power * (k - size / (1.0 + math.exp(-logit)))
    return total


@compiled
def _shrinkages(element, to_element, slots, values):
    """Binomial counts beyond a place of those below the next higher (and above the next lower) one."""
    at, of = _field(slots, slots, SHRINKAGE_LOCATION), _field(slots, slots, SHRINKAGE_SPREAD)
    counts = _field(slots, values, SHRINKAGE_COUNTS)
    n, total = len(at), 0.0
    for i in range(n):
        k, size, power = counts[i], counts[n + i], counts[5 * n + i]
        location, spread = element[at[i]], math.exp(element[of[i]])
        own, upper, lower = (
            (counts[2 * n + i] - location) / spread,
            (counts[3 * n + i] - location) / spread,
            (counts[4 * n + i] - location) / spread,
        )
        p, p_upper, p_lower = _below(own), _below(upper), _below(lower)
        beyond, short, whole = p_upper - p + TINY, p - p_lower + TINY, p_upper - p_lower + TINY
        total += power * (k * math.log(beyond) + (size - k) * math.log(short) - size * math.log(whole))
        to_p = power * ((size - k) / short - k / beyond) * _normal(own)
        to_upper = power * (k / beyond - size / whole) * _normal(upper)
        to_lower = power * (size / whole - (size - k) / short) * _normal(lower)
        to_element[at[i]] -= (to_p + to_upper + to_lower) / spread
        to_element[of[i]] -= to_p * own + to_upper * upper + to_lower * lower
    return total


@compiled
def _below(u):
    return 0.5 * (1.0 + math.erf(u / math.sqrt(2.0)))


@compiled
def _normal(u):
    return math.exp(-0.5 * u * u) / math.sqrt(2.0 * math.pi)
