"""The log-likelihood of patients and of published numbers, from elements, with its derivatives by them."""

from __future__ import annotations

import math

from bayes_net.compiled import fields as f
from bayes_net.compiled.fields import compiled, count, multiply, multiply_back
from bayes_net.compiled.normal import log_printed, softplus
from bayes_net.compiled.unprinted import said


@compiled
def elements(work, slots, values):
    """Elements, and the part of the likelihood that is linear in them."""
    element, total = slots[f.ELEMENT], 0.0
    for j in range(count(f.INTERCEPT, slots)):
        work[element + j] = values[slots[f.INTERCEPT] + j]
    multiply(element, slots[f.EFFECT], f.DESIGN, work, slots, values)
    for j in range(count(f.INTERCEPT, slots)):
        hits = values[slots[f.HITS] + j]
        total += hits * work[element + j]
        work[slots[f.TO_ELEMENT] + j] = hits
    return total


# --- patients -----------------------------------------------------------------------------------------------


@compiled
def cells(work, slots, values):
    """Minus the cumulative hazard of compressed exposure: nodes of months at a score."""
    element, to_element, score, months = (
        slots[f.ELEMENT],
        slots[f.TO_ELEMENT],
        slots[f.NODE_SCORE],
        slots[f.NODE_MONTHS],
    )
    total = 0.0
    for c in range(count(f.CELL_HAZARD, slots)):
        hazard, offset = slots[slots[f.CELL_HAZARD] + c], slots[slots[f.CELL_OFFSET] + c]
        slope, by = slots[slots[f.CELL_SLOPE] + c], 0.0
        level, passed, weighted = work[element + hazard], 0.0, 0.0
        if offset >= 0:
            level += work[element + offset]
        if slope >= 0:
            by = work[element + slope]
        rate = math.exp(level)
        for k in range(slots[slots[f.CELL_NODES] + c], slots[slots[f.CELL_NODES] + c + 1]):
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
def pieces(work, slots, values):
    """Minus the cumulative hazard of patients one by one: of intervals passed, and the piece in the last."""
    n, p, total = count(f.WIDTH, slots), count(f.COVARIATE_ELEMENT, slots), 0.0
    element, to_element, width, first = slots[f.ELEMENT], slots[f.TO_ELEMENT], slots[f.WIDTH], slots[f.FIRST]
    rate, passed = slots[f.REST], slots[f.REST] + n
    to_rate, to_passed = slots[f.REST] + 2 * n, slots[f.REST] + 3 * n
    for c in range(n):
        work[rate + c], work[passed + c] = math.exp(work[element + c]), 0.0
        if not slots[first + c]:
            work[passed + c] = work[passed + c - 1] + work[rate + c - 1] * values[width + c - 1]
        work[to_rate + c] = work[to_passed + c] = 0.0
    for i in range(count(f.PIECE_START, slots)):
        start, end = slots[slots[f.PIECE_START] + i], slots[slots[f.PIECE_END] + i]
        slope, score, eta = slots[slots[f.PIECE_SLOPE] + i], values[slots[f.PIECE_SCORE] + i], 0.0
        months, covariates = values[slots[f.PIECE_MONTHS] + i], slots[f.PIECE_COVARIATES] + i * p
        if slope >= 0:
            eta = work[element + slope] * score
        for j in range(p):
            eta += work[element + slots[slots[f.COVARIATE_ELEMENT] + j]] * values[covariates + j]
        risk = math.exp(eta)
        hazard = risk * (work[passed + end] - work[passed + start] + months * work[rate + end])
        total -= hazard
        work[to_passed + end] -= risk
        work[to_passed + start] += risk
        work[to_rate + end] -= risk * months
        if slope >= 0:
            work[to_element + slope] -= hazard * score
        for j in range(p):
            work[to_element + slots[slots[f.COVARIATE_ELEMENT] + j]] -= hazard * values[covariates + j]
    for c in range(n - 1, -1, -1):
        if not slots[first + c]:
            work[to_passed + c - 1] += work[to_passed + c]
            work[to_rate + c - 1] += work[to_passed + c] * values[width + c - 1]
        work[to_element + c] += work[to_rate + c] * work[rate + c]
    return total


@compiled
def windows(work, slots, values):
    """Log probability of an event between two assessments, given none until the first of them: of hazard D
    between them log(1 - exp(-D))."""
    p, total = count(f.COVARIATE_ELEMENT, slots), 0.0
    element, to_element, months = slots[f.ELEMENT], slots[f.TO_ELEMENT], slots[f.WINDOW_MONTHS]
    for i in range(count(f.WINDOW_SCORE, slots)):
        begin, end = slots[slots[f.WINDOW] + i], slots[slots[f.WINDOW] + i + 1]
        score, covariates = values[slots[f.WINDOW_SCORE] + i], slots[f.WINDOW_COVARIATES] + i * p
        effect, hazard = 0.0, 0.0
        for j in range(p):
            effect += work[element + slots[slots[f.COVARIATE_ELEMENT] + j]] * values[covariates + j]
        for k in range(begin, end):
            hazard += values[months + k] * math.exp(_level(k, effect, score, work, slots))
        total += math.log(-math.expm1(-hazard))
        if hazard > 700.0:  # the event is certain, and says nothing
            continue
        by = 1.0 / math.expm1(hazard)
        for j in range(p):
            at = to_element + slots[slots[f.COVARIATE_ELEMENT] + j]
            work[at] += by * hazard * values[covariates + j]
        for k in range(begin, end):
            risk = by * values[months + k] * math.exp(_level(k, effect, score, work, slots))
            slope = slots[slots[f.WINDOW_SLOPE] + k]
            work[to_element + slots[slots[f.WINDOW_HAZARD] + k]] += risk
            if slope >= 0:
                work[to_element + slope] += risk * score
    return total


@compiled
def _level(entry, effect, score, work, slots):
    """Log hazard of a patient in an entry of a window."""
    level = work[slots[f.ELEMENT] + slots[slots[f.WINDOW_HAZARD] + entry]] + effect
    slope = slots[slots[f.WINDOW_SLOPE] + entry]
    return level + work[slots[f.ELEMENT] + slope] * score if slope >= 0 else level


# --- published numbers --------------------------------------------------------------------------------------


@compiled
def _off_curve(row, work, slots, values):
    """What is read off the curve of a row: log cumulative hazard, or mean survival time up to a horizon; 0
    where there is no curve."""
    begin, end = slots[slots[f.ROW_CURVE] + row], slots[slots[f.ROW_CURVE] + row + 1]
    mean = slots[slots[f.ROW_MEAN] + row]
    cumulative, lived = 0.0, 0.0
    for k in range(begin, end):
        rate = math.exp(work[slots[f.ELEMENT] + slots[slots[f.CURVE_ELEMENT] + k]])
        gained = values[slots[f.CURVE_MONTHS] + k] * rate
        lived -= math.exp(-cumulative) * math.expm1(-gained) / rate
        cumulative += gained
    if begin == end or mean:
        return lived
    return math.log(cumulative)


@compiled
def _back_to_curve(row, read, by_location, work, slots, values):
    """From what was ``read`` off a curve to the log hazards."""
    begin, end = slots[slots[f.ROW_CURVE] + row], slots[slots[f.ROW_CURVE] + row + 1]
    cumulative, left = 0.0, read
    for k in range(begin, end):
        of, months = slots[slots[f.CURVE_ELEMENT] + k], values[slots[f.CURVE_MONTHS] + k]
        rate = math.exp(work[slots[f.ELEMENT] + of])
        gained = months * rate
        if slots[slots[f.ROW_MEAN] + row]:
            alive, within = math.exp(-cumulative), -math.expm1(-gained) / rate
            left -= alive * within
            by_log_rate = alive * (months * math.exp(-gained) - within) - gained * left
        else:
            by_log_rate = gained / math.exp(read)
        work[slots[f.TO_ELEMENT] + of] += by_location * by_log_rate
        cumulative += gained


@compiled
def rows(work, slots, values):
    """Normal numbers, with the root of their precision matrix, and Student's t, on standardised residuals;
    then what is said of estimates that are not printed."""
    n, element, to_element, total = count(f.ROW_VALUE, slots), slots[f.ELEMENT], slots[f.TO_ELEMENT], 0.0
    z, to_z, root_z = slots[f.REST], slots[f.REST] + n, slots[f.REST] + 2 * n
    to_root = root_z + n + count(f.SAID_SE, slots)
    for i in range(n):
        location, inflation = slots[slots[f.ROW_LOCATION] + i], slots[slots[f.ROW_INFLATION] + i]
        at = work[element + location] + _off_curve(i, work, slots, values)
        se = values[slots[f.ROW_SE] + i] * math.exp(work[element + inflation])
        work[z + i] = (values[slots[f.ROW_VALUE] + i] - at) / se
        work[root_z + i] = work[to_z + i] = 0.0
    multiply(root_z, z, f.ROOT, work, slots, values)
    for i in range(n):
        total -= 0.5 * work[root_z + i] ** 2
        work[to_root + i] = -work[root_z + i]
    total += said(root_z, to_root, work, slots, values)
    multiply_back(to_z, to_root, f.ROOT, work, slots, values)
    for i in range(n):
        location, inflation = slots[slots[f.ROW_LOCATION] + i], slots[slots[f.ROW_INFLATION] + i]
        residual, by_z = work[z + i], work[to_z + i]
        df, power = values[slots[f.ROW_STUDENT] + i], values[slots[f.ROW_POWER] + i]
        if df > 0.0:
            total -= power * 0.5 * (df + 1.0) * math.log(1.0 + residual * residual / df)
            by_z -= power * (df + 1.0) * residual / (df + residual * residual)
        total -= power * work[element + inflation]
        se = values[slots[f.ROW_SE] + i] * math.exp(work[element + inflation])
        by_location = -by_z / se
        work[to_element + inflation] -= by_z * residual + power
        if values[slots[f.ROW_PUBLISHED] + i] > 0.0:
            standard = values[slots[f.ROW_VALUE] + i] / se - residual
            chance, by_standard = log_printed(standard, values[slots[f.ROW_PUBLISHED] + i])
            total -= power * chance
            by_location -= power * by_standard / se
            work[to_element + inflation] += power * by_standard * standard
        work[to_element + location] += by_location
        _back_to_curve(i, _off_curve(i, work, slots, values), by_location, work, slots, values)
    return total


@compiled
def responses(work, slots, values):
    """Binomial counts of a logit: successes, numbers and powers one after another."""
    n, counts, total = count(f.RESPONSE, slots), slots[f.RESPONSE_COUNTS], 0.0
    for i in range(n):
        of, k, size = slots[slots[f.RESPONSE] + i], values[counts + i], values[counts + n + i]
        power, logit = values[counts + 2 * n + i], work[slots[f.ELEMENT] + of]
        total -= power * (k * softplus(-logit) + (size - k) * softplus(logit))
        work[slots[f.TO_ELEMENT] + of] += power * (k - size / (1.0 + math.exp(-logit)))
    return total
