"""The standard normal distribution in compiled code, on the log scale, so that it is exact far out."""

from __future__ import annotations

import math

from bayes_net.compiled.fields import compiled


@compiled
def log_below(u):
    """Log probability of a standard normal below ``u``; far out by its asymptotic series."""
    if u > 0.0:
        return math.log1p(-0.5 * math.erfc(u / math.sqrt(2.0)))
    if u > -30.0:
        return math.log(0.5 * math.erfc(-u / math.sqrt(2.0)))
    s = 1.0 / (u * u)
    series = -s * (1.0 - 3.0 * s * (1.0 - 5.0 * s * (1.0 - 7.0 * s * (1.0 - 9.0 * s))))
    return math.log1p(series) - 0.5 * u * u - math.log(-u * math.sqrt(2.0 * math.pi))


@compiled
def log_between(lower, upper):
    """``counts.log_between``, of two numbers."""
    near, far = upper, lower
    if lower + upper > 0.0:
        near, far = -lower, -upper
    whole = log_below(near)
    return whole + math.log(-math.expm1(log_below(far) - whole))


@compiled
def softplus(x):
    """log(1 + exp(x))."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@compiled
def ratio(u, log_probability):
    """Standard normal density at ``u`` over a probability."""
    return math.exp(-0.5 * u * u - 0.5 * math.log(2.0 * math.pi) - log_probability)


@compiled
def within(a, b, mass, e):
    """The quantile, of a standard normal between ``a`` and ``b``, of the probability that ``e`` has in the
    whole; ``mass`` is the log probability of that interval."""
    below = log_sum(log_below(a), log_below(e) + mass)
    if below < -math.log(2.0):
        return quantile(below)
    return -quantile(log_sum(log_below(-b), log_below(-e) + mass))


@compiled
def log_sum(a, b):
    """log(exp(a) + exp(b)), of which one is finite."""
    larger = max(a, b)
    return larger + math.log1p(math.exp(min(a, b) - larger))


@compiled
def quantile(log_p):
    """Where a standard normal has log probability ``log_p`` below, at most log 1/2: Newton's method from the
    approximation of Abramowitz & Stegun, 26.2.23, whose error is below 4.5e-4."""
    t = math.sqrt(-2.0 * log_p)
    u = (2.515517 + t * (0.802853 + t * 0.010328)) / (
        1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    ) - t
    for _ in range(2):
        at = log_below(u)
        u -= (at - log_p) / ratio(u, at)
    return u


@compiled
def log_printed(standard, threshold):
    """Log probability that an estimate is further from 0 than ``threshold``, in standard errors, and its
    derivative by where it is expected, ``standard``."""
    above, below = log_below(standard - threshold), log_below(-standard - threshold)
    larger = max(above, below)
    total = larger + math.log(math.exp(above - larger) + math.exp(below - larger))
    return total, ratio(standard - threshold, total) - ratio(-standard - threshold, total)
