"""Arithmetic of many numbers at once, which the compiler turns into that of vectors.

exp is three times as fast as one call after another, and right to the last digit or the one before: exp(x) =
2^n exp(r) with n = round(x / log 2), so that |r| <= log(2) / 2, where 13 terms of the series leave less than
1e-16.
"""

from __future__ import annotations

import math

import numpy as np

from bayes_net.compiled.fields import compiled

_PER_LOG_2 = 1.4426950408889634
_LOG_2, _LOG_2_REST = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""log 2 in two parts: the first has zeros at its end, so that whole multiples of it are exact."""
_ROUNDS = 1.5 * 2.0**52
"""Added to a number it leaves the nearest whole one in its last bits."""
_ROUNDS_BITS = 0x4338000000000000
_LEAST, _MOST = -708.0, 709.0


@compiled
def _parts(x):
    """2^n, and exp(r) - 1, which is exact where r is small."""
    shifted = x * _PER_LOG_2 + _ROUNDS
    n = shifted - _ROUNDS
    r = (x - n * _LOG_2) - n * _LOG_2_REST
    series = 1.0 / 6227020800.0
    series = series * r + 1.0 / 479001600.0
    series = series * r + 1.0 / 39916800.0
    series = series * r + 1.0 / 3628800.0
    series = series * r + 1.0 / 362880.0
    series = series * r + 1.0 / 40320.0
    series = series * r + 1.0 / 5040.0
    series = series * r + 1.0 / 720.0
    series = series * r + 1.0 / 120.0
    series = series * r + 1.0 / 24.0
    series = series * r + 1.0 / 6.0
    series = series * r + 0.5
    series = series * r + 1.0
    exponent = np.int64((np.float64(shifted).view(np.int64) - _ROUNDS_BITS + 1023) << 52)
    return exponent.view(np.float64), series * r


@compiled
def exp_each(numbers):
    """In the place of each number its exp; 0 below -708, infinite above 709."""
    for i in range(len(numbers)):
        x = numbers[i]
        scale, rest = _parts(x)
        found = scale * rest + scale
        found = 0.0 if x < _LEAST else found
        numbers[i] = math.inf if x > _MOST else found


@compiled
def expm1_each(numbers):
    """In the place of each number, at most 0, its exp less 1."""
    for i in range(len(numbers)):
        x = numbers[i]
        scale, rest = _parts(x)
        found = scale * rest + (scale - 1.0)
        numbers[i] = -1.0 if x < _LEAST else found
