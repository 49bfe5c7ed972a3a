"""Monte-Carlo errors of draws that are a mixture over imputations.

Imputations are independent, chains of one imputation are not: so an average over imputations has the variance
of its values in each of them, divided by their number. That holds the error between imputations and that of
the sampler within them.
"""

from __future__ import annotations

import numpy as np
from arviz_stats.base import array_stats


def mixture_errors(x: np.ndarray, imputation: np.ndarray, tail: tuple[float, float]) -> dict[str, float]:
    """Errors of the median and of the quantiles ``tail``, effective sizes, and the worst R-hat within.

    ``x`` has shape (chain, draw), ``imputation`` one label a chain, as many chains of each. The error of a
    quantile is half the distance of the quantiles one standard error of its probability to either side.
    Effective sizes are those of independent draws with the same error, at most the number of draws.
    """
    parts = [x[imputation == number] for number in np.unique(imputation)]
    each = np.array([part.ravel() for part in parts])

    def share_error(at: float) -> float:
        return _error(np.mean(each <= at, axis=1))

    def quantile_error(p: float) -> float:
        error = share_error(np.quantile(x, p))
        low, high = np.quantile(x, np.clip([p - error, p + error], 0, 1))
        return float(high - low) / 2

    tails = [_effective(p * (1 - p), share_error(np.quantile(x, p)), x.size) for p in tail]
    return {
        "mcse": quantile_error(0.5),
        "ess_bulk": _effective(x.var(), _error(each.mean(axis=1)), x.size),
        "ess_tail": min(tails),
        "rhat": max(float(array_stats.rhat(part)) for part in parts),
        "mcse_lower": quantile_error(tail[0]),
        "mcse_upper": quantile_error(tail[1]),
    }


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _effective(variance: float, error: float, most: int) -> float:
    return float(min(variance / error**2, most)) if error > 0 else float(most)
