"""One log density with its gradient for every model: structure is data, so nothing is compiled anew.

    effect = (mean + unit * x / c) * sd,      c = sqrt(1 + sd^2 information)
    element = intercept + design @ effect

with sd one of the free standard deviations, or 1. Log hazards, slopes and logits are elements. Patients and
published numbers are terms of them, each an array of places in the vector of elements; a model without a
term has an empty array there. Gradients are accumulated backwards by hand: a term adds to those of its
elements, the design hands them to the effects, and these to the sampler's vector x.

All that is given is in one block of memory, 8 bytes a number: the places of ``FIELDS`` and of ``WORK``, then
the fields, whole or real as each is. ``slots`` is the block read as whole numbers, ``values`` as real ones,
and ``work`` what is computed. Arrays are places in these three, not slices of them: slices take numba three
times as long to compile.
"""

from __future__ import annotations

import math

from numba import njit

from bayes_net.evidence.counts import TINY

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
    "row_mean",  # whether a row that is read off a curve is a restricted mean, else log cumulative hazard
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
    ROW_LOCATION, ROW_INFLATION, ROW_VALUE, ROW_SE, ROW_POWER, ROW_STUDENT, ROW_MEAN,
    ROW_CURVE, CURVE_ELEMENT, CURVE_MONTHS, ROOT, ROOT_ROW, ROOT_BY,
    RESPONSE, RESPONSE_COUNTS, SHRINKAGE_LOCATION, SHRINKAGE_SPREAD, SHRINKAGE_COUNTS,
) = range(len(FIELDS))  # fmt: skip

WORK = ("effect", "standard", "scale", "to_effect", "element", "to_element", "sd", "to_sd", "rest")
"""What is computed on the way, one array after the other: effects, x / c, c, and the derivatives by effects;
elements, the derivatives by them; free standard deviations, the derivatives by them; what one term needs."""

EFFECT, STANDARD, SCALE, TO_EFFECT, ELEMENT, TO_ELEMENT, SD, TO_SD, REST, WORK_SIZE = range(
    len(FIELDS) + 1, len(FIELDS) + 2 + len(WORK)
)

compiled = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


def sizes_of_work(size: dict[str, int]) -> dict[str, int]:
    """How many numbers each of ``WORK`` is, from the number of entries of each field."""
    n, m, s = size["effect_at"], size["intercept"], size["sd_at"]
    rest = max(4 * size["width"], 3 * size["row_value"])
    return dict(zip(WORK, (n, n, n, n, m, m, s, s, rest), strict=True))


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
    total += _elements(work, slots, values)
    total += _cells(work, slots, values)
    total += _pieces(work, slots, values)
    total += _rows(work, slots, values)
    total += _responses(work, slots, values)
    total += _shrinkages(work, slots, values)
    _multiply_back(slots[TO_EFFECT], slots[TO_ELEMENT], DESIGN, work, slots, values)
    _hand_back(gradient, work, slots, values)
    return total


@compiled
def _count(field, slots):
    return slots[field + 1] - slots[field]


# --- sparse matrices: three fields, where each row begins, columns, values ----------------------------------


@compiled
def _multiply(out, vector, matrix, work, slots, values):
    begin, column, by = slots[matrix], slots[matrix + 1], slots[matrix + 2]
    for i in range(_count(matrix, slots) - 1):
        for k in range(slots[begin + i], slots[begin + i + 1]):
            work[out + i] += values[by + k] * work[vector + slots[column + k]]


@compiled
def _multiply_back(out, vector, matrix, work, slots, values):
    begin, column, by = slots[matrix], slots[matrix + 1], slots[matrix + 2]
    for i in range(_count(matrix, slots) - 1):
        for k in range(slots[begin + i], slots[begin + i + 1]):
            work[out + slots[column + k]] += values[by + k] * work[vector + i]


# --- effects and their priors -------------------------------------------------------------------------------


@compiled
def _deviations(x, gradient, work, slots, values):
    """Free standard deviations, half-normal or half-Cauchy, sampled as their logs."""
    total = 0.0
    for k in range(_count(SD_AT, slots)):
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
    for i in range(_count(EFFECT_AT, slots)):
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
    for i in range(_count(EFFECT_AT, slots)):
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
    for k in range(_count(MIXED, slots)):
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
    for i in range(_count(EFFECT_AT, slots)):
        by, scale, sd = slots[slots[EFFECT_SD] + i], work[slots[SCALE] + i], 1.0
        unit, by_effect = values[slots[UNIT] + i], work[slots[TO_EFFECT] + i]
        if by >= 0:
            sd = work[slots[SD] + by]
            of_scale = unit * work[slots[STANDARD] + i] / (scale * scale)
            work[slots[TO_SD] + by] += by_effect * (values[slots[MEAN] + i] + of_scale)
        gradient[slots[slots[EFFECT_AT] + i]] += by_effect * unit * sd / scale
    for k in range(_count(SD_AT, slots)):
        gradient[slots[slots[SD_AT] + k]] += work[slots[TO_SD] + k] * work[slots[SD] + k]


@compiled
def _elements(work, slots, values):
    """Elements, and the part of the likelihood that is linear in them."""
    element, total = slots[ELEMENT], 0.0
    for j in range(_count(INTERCEPT, slots)):
        work[element + j] = values[slots[INTERCEPT] + j]
    _multiply(element, slots[EFFECT], DESIGN, work, slots, values)
    for j in range(_count(INTERCEPT, slots)):
        hits = values[slots[HITS] + j]
        total += hits * work[element + j]
        work[slots[TO_ELEMENT] + j] = hits
    return total


# --- patients -----------------------------------------------------------------------------------------------


@compiled
def _cells(work, slots, values):
    """Minus the cumulative hazard of compressed exposure: nodes of months at a score."""
    element, to_element, score, months = (
        slots[ELEMENT],
        slots[TO_ELEMENT],
        slots[NODE_SCORE],
        slots[NODE_MONTHS],
    )
    total = 0.0
    for c in range(_count(CELL_HAZARD, slots)):
        hazard, offset = slots[slots[CELL_HAZARD] + c], slots[slots[CELL_OFFSET] + c]
        slope, by = slots[slots[CELL_SLOPE] + c], 0.0
        level, passed, weighted = work[element + hazard], 0.0, 0.0
        if offset >= 0:
            level += work[element + offset]
        if slope >= 0:
            by = work[element + slope]
        rate = math.exp(level)
        for k in range(slots[slots[CELL_NODES] + c], slots[slots[CELL_NODES] + c + 1]):
            risk = values[months + k] * math.exp(by * values[score + k])
            passed += risk
            weighted += risk * values[score + k]
        total -= rate * passed
        work[to_element + hazard] -= rate * passed
        if offset >= 0:
            work[to_element + offset] -= rate * passed
        if slope >= 0:
            work[to_element + slope] -= rate * weighted
    return total


@compiled
def _pieces(work, slots, values):
    """Minus the cumulative hazard of patients one by one: of intervals passed, and the piece in the last."""
    n, p, total = _count(WIDTH, slots), _count(COVARIATE_ELEMENT, slots), 0.0
    element, to_element, width, first = slots[ELEMENT], slots[TO_ELEMENT], slots[WIDTH], slots[FIRST]
    rate, passed = slots[REST], slots[REST] + n
    to_rate, to_passed = slots[REST] + 2 * n, slots[REST] + 3 * n
    for c in range(n):
        work[rate + c], work[passed + c] = math.exp(work[element + c]), 0.0
        if not slots[first + c]:
            work[passed + c] = work[passed + c - 1] + work[rate + c - 1] * values[width + c - 1]
        work[to_rate + c] = work[to_passed + c] = 0.0
    for i in range(_count(PIECE_START, slots)):
        start, end = slots[slots[PIECE_START] + i], slots[slots[PIECE_END] + i]
        slope, score, eta = slots[slots[PIECE_SLOPE] + i], values[slots[PIECE_SCORE] + i], 0.0
        months, covariates = values[slots[PIECE_MONTHS] + i], slots[PIECE_COVARIATES] + i * p
        if slope >= 0:
            eta = work[element + slope] * score
        for j in range(p):
            eta += work[element + slots[slots[COVARIATE_ELEMENT] + j]] * values[covariates + j]
        risk = math.exp(eta)
        hazard = risk * (work[passed + end] - work[passed + start] + months * work[rate + end])
        total -= hazard
        work[to_passed + end] -= risk
        work[to_passed + start] += risk
        work[to_rate + end] -= risk * months
        if slope >= 0:
            work[to_element + slope] -= hazard * score
        for j in range(p):
            work[to_element + slots[slots[COVARIATE_ELEMENT] + j]] -= hazard * values[covariates + j]
    for c in range(n - 1, -1, -1):
        if not slots[first + c]:
            work[to_passed + c - 1] += work[to_passed + c]
            work[to_rate + c - 1] += work[to_passed + c] * values[width + c - 1]
        work[to_element + c] += work[to_rate + c] * work[rate + c]
    return total


# --- published numbers --------------------------------------------------------------------------------------


@compiled
def _off_curve(row, work, slots, values):
    """What is read off the curve of a row: log cumulative hazard, or mean survival time up to a horizon; 0
    where there is no curve."""
    begin, end = slots[slots[ROW_CURVE] + row], slots[slots[ROW_CURVE] + row + 1]
    mean = slots[slots[ROW_MEAN] + row]
    cumulative, lived = 0.0, 0.0
    for k in range(begin, end):
        rate = math.exp(work[slots[ELEMENT] + slots[slots[CURVE_ELEMENT] + k]])
        gained = values[slots[CURVE_MONTHS] + k] * rate
        lived -= math.exp(-cumulative) * math.expm1(-gained) / rate
        cumulative += gained
    if begin == end or mean:
        return lived
    return math.log(cumulative)


@compiled
def _back_to_curve(row, read, by_location, work, slots, values):
    """From what was ``read`` off a curve to the log hazards."""
    begin, end = slots[slots[ROW_CURVE] + row], slots[slots[ROW_CURVE] + row + 1]
    cumulative, left = 0.0, read
    for k in range(begin, end):
        of, months = slots[slots[CURVE_ELEMENT] + k], values[slots[CURVE_MONTHS] + k]
        rate = math.exp(work[slots[ELEMENT] + of])
        gained = months * rate
        if slots[slots[ROW_MEAN] + row]:
            alive, within = math.exp(-cumulative), -math.expm1(-gained) / rate
            left -= alive * within
            by_log_rate = alive * (months * math.exp(-gained) - within) - gained * left
        else:
            by_log_rate = gained / math.exp(read)
        work[slots[TO_ELEMENT] + of] += by_location * by_log_rate
        cumulative += gained


@compiled
def _rows(work, slots, values):
    """Normal numbers, with the root of their precision matrix, and Student's t, on standardised residuals."""
    n, element, to_element, total = _count(ROW_VALUE, slots), slots[ELEMENT], slots[TO_ELEMENT], 0.0
    z, root_z, to_z = slots[REST], slots[REST] + n, slots[REST] + 2 * n
    for i in range(n):
        location, inflation = slots[slots[ROW_LOCATION] + i], slots[slots[ROW_INFLATION] + i]
        at = work[element + location] + _off_curve(i, work, slots, values)
        se = values[slots[ROW_SE] + i] * math.exp(work[element + inflation])
        work[z + i] = (values[slots[ROW_VALUE] + i] - at) / se
        work[root_z + i] = work[to_z + i] = 0.0
    _multiply(root_z, z, ROOT, work, slots, values)
    for i in range(n):
        total -= 0.5 * work[root_z + i] ** 2
    _multiply_back(to_z, root_z, ROOT, work, slots, values)
    for i in range(n):
        location, inflation = slots[slots[ROW_LOCATION] + i], slots[slots[ROW_INFLATION] + i]
        residual, by_z = work[z + i], -work[to_z + i]
        df, power = values[slots[ROW_STUDENT] + i], values[slots[ROW_POWER] + i]
        if df > 0.0:
            total -= power * 0.5 * (df + 1.0) * math.log(1.0 + residual * residual / df)
            by_z -= power * (df + 1.0) * residual / (df + residual * residual)
        total -= power * work[element + inflation]
        by_location = -by_z / (values[slots[ROW_SE] + i] * math.exp(work[element + inflation]))
        work[to_element + location] += by_location
        work[to_element + inflation] -= by_z * residual + power
        _back_to_curve(i, _off_curve(i, work, slots, values), by_location, work, slots, values)
    return total


@compiled
def _softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@compiled
def _responses(work, slots, values):
    """Binomial counts of a logit: successes, numbers and powers one after another."""
    n, counts, total = _count(RESPONSE, slots), slots[RESPONSE_COUNTS], 0.0
    for i in range(n):
        of, k, size = slots[slots[RESPONSE] + i], values[counts + i], values[counts + n + i]
        power, logit = values[counts + 2 * n + i], work[slots[ELEMENT] + of]
        total -= power * (k * _softplus(-logit) + (size - k) * _softplus(logit))
        work[slots[TO_ELEMENT] + of] += power * (k - size / (1.0 + math.exp(-logit)))
    return total


@compiled
def _shrinkages(work, slots, values):
    """Binomial counts beyond a place of those below the next higher (and above the next lower) one."""
    n, counts, total = _count(SHRINKAGE_LOCATION, slots), slots[SHRINKAGE_COUNTS], 0.0
    for i in range(n):
        at, of = slots[slots[SHRINKAGE_LOCATION] + i], slots[slots[SHRINKAGE_SPREAD] + i]
        location, spread = work[slots[ELEMENT] + at], math.exp(work[slots[ELEMENT] + of])
        k, size, power = values[counts + i], values[counts + n + i], values[counts + 5 * n + i]
        own = (values[counts + 2 * n + i] - location) / spread
        upper = (values[counts + 3 * n + i] - location) / spread
        lower = (values[counts + 4 * n + i] - location) / spread
        beyond, short = _below(upper) - _below(own) + TINY, _below(own) - _below(lower) + TINY
        whole = _below(upper) - _below(lower) + TINY
        total += power * (k * math.log(beyond) + (size - k) * math.log(short) - size * math.log(whole))
        by_own = power * ((size - k) / short - k / beyond) * _normal(own)
        by_upper = power * (k / beyond - size / whole) * _normal(upper)
        by_lower = power * (size / whole - (size - k) / short) * _normal(lower)
        work[slots[TO_ELEMENT] + at] -= (by_own + by_upper + by_lower) / spread
        work[slots[TO_ELEMENT] + of] -= by_own * own + by_upper * upper + by_lower * lower
    return total


@compiled
def _below(u):
    return 0.5 * (1.0 + math.erf(u / math.sqrt(2.0)))


@compiled
def _normal(u):
    return math.exp(-0.5 * u * u) / math.sqrt(2.0 * math.pi)
