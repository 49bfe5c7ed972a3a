"""The odds ratio of two responses whose places are jointly normal: a correlation as a paper prints it."""

from __future__ import annotations

import numpy as np
from scipy import special

from bayes_net.statistics.base import NUMPY, Array, Maths

NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)
"""Gauss-Legendre quadrature; exact to 1e-13 for correlations up to 0.995."""
LEAST = 1e-6
"""Added to the probability of every cell: smaller ones are differences of larger ones, and are rounded."""


def log_odds_ratio(early: Array, late: Array, correlation: Array, maths: Maths = NUMPY) -> Array:
    """Log odds ratio of being above ``late`` given being above ``early``, of two standard normals.

    What the correlation adds to the probability of both is the integral over r from 0 to it of their joint
    density (Plackett 1954, doi:10.1093/biomet/41.3-4.351). The correlation that an odds ratio stands for is
    called tetrachoric.
    """
    joint = joint_excess(early, late, correlation, maths)
    above, below = (maths.exp(maths.log_ndtr(-early)), maths.exp(maths.log_ndtr(early)))
    above_late, below_late = (maths.exp(maths.log_ndtr(-late)), maths.exp(maths.log_ndtr(late)))
    alike = maths.log(above * above_late + joint + LEAST) + maths.log(below * below_late + joint + LEAST)
    unlike = maths.log(above * below_late - joint + LEAST) + maths.log(below * above_late - joint + LEAST)
    return alike - unlike


def joint_excess(early: Array, late: Array, correlation: Array, maths: Maths = NUMPY) -> Array:
    """Probability that both are above, less the product of those of each."""
    angle, early, late = (np.asarray(x)[..., None] if maths is NUMPY else x[..., None]
                          for x in (maths.arcsin(correlation), early, late))  # fmt: skip
    sine = maths.sin(0.5 * (NODES + 1.0) * angle)
    form = (early**2 + late**2 - 2.0 * early * late * sine) / (1.0 - sine**2)
    return (angle * WEIGHTS / (4.0 * np.pi) * maths.exp(-0.5 * form)).sum(axis=-1)


def chance_late(early: Array, late: Array, correlation: Array) -> tuple[Array, Array]:
    """Probability of being above ``late`` for those above ``early``, and for the others."""
    joint, above = joint_excess(early, late, correlation), special.ndtr(-early)
    both = above * special.ndtr(-late) + joint
    return both / above, (special.ndtr(-late) - both) / (1.0 - above)
