"""The engine's normal distribution against that of scipy."""

import numba
import numpy as np
from scipy import special

from bayes_net.compiled import normal


def test_quantiles_of_a_standard_normal_are_exact_far_out():
    """After two steps of Newton's method; after one they are up to 7e-8 off."""
    quantile, log_p = normal.quantile, -np.geomspace(np.log(2), 900.0, 60)

    @numba.njit
    def all_of(values):
        return np.array([quantile(value) for value in values])

    np.testing.assert_allclose(all_of(log_p), special.ndtri_exp(log_p), rtol=1e-13, atol=1e-15)
