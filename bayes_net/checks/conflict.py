"""Do the data lie where the prior expected them? Box's prior predictive p-value of each stated prior.

Before the data are seen, the posterior mean of a parameter with prior N(m0, s0^2) has mean m0 and variance
s0^2 less the posterior variance s^2 that is expected: Var(E[b | y]) = Var(b) - E[Var(b | y)]. The p-value is
the prior predictive probability of a posterior mean at least as far out (Box 1980, doi:10.2307/2982063), here
of what is sufficient for the parameter (Evans & Moshonov 2006, doi:10.1214/06-BA129), with the expected
variance taken to be the one found. For a normal mean with a known variance it is exact,
|y - m0| / sqrt(s0^2 + sigma^2 / n); elsewhere it is as good as the posterior is normal.

It is given for what has a normal prior: the hazard ratio of shrinkage or of response, of slopes that vary
over time their average, and the baseline; not for how much hazards and slopes change over time, whose
standard deviations are half-normal and whose posterior is far from normal, nor where a prior is flat.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtr

from bayes_net.assumptions.hazard import Hazard, varies_over_time
from bayes_net.assumptions.priors import Normal
from bayes_net.data.terms import Response, measure_of
from bayes_net.labels import about, texts
from bayes_net.schema import ARM, COMMON_SLOPE, INTERVAL, LEVEL, LOG_BASELINE, SAMPLE_DIMS, SLOPE

SLOPES, MEDIAN = "hazard ratio of shrinkage", "median survival"
RESPONSE = "hazard ratio of response"
OVER_TIME = ", averaged over time"
"""What is added to the statement where slopes vary over time: the prior is of their average."""
SAYS_LITTLE = 0.95
"""Share of the prior's SD from which that of the posterior leaves nothing to compare."""


def prior_conflict(fit: xr.DataTree, hazard: Hazard) -> pd.DataFrame:
    """Where slopes, and the baseline that the statement about median survival is about, lie in what their
    priors expected: one row a statement and arm.

    Columns: ``statement``, ``arm`` (with its study, where each has baselines of its own, and empty where
    arms share it), ``prior_mean`` and ``prior_sd``, ``mean`` and
    ``sd`` of the posterior, all of log hazard ratios or log hazards per month, ``z``, positive where the data
    lie above the prior, and ``p``. Both are missing where the data say next to nothing. A prior that is not
    normal has no row.
    """
    posterior, priors, rows = fit["posterior"].to_dataset(), hazard.priors, []
    slopes = SLOPES
    if "measure" in fit.attrs:
        measure = measure_of(fit.attrs)
        priors, slopes = priors.of_measure(measure), RESPONSE if isinstance(measure, Response) else SLOPES
    if varies_over_time(posterior):
        slopes += OVER_TIME
    for statement, prior, names in (
        (slopes, priors.slope, (COMMON_SLOPE, SLOPE)),
        (MEDIAN, priors.level, (LEVEL, LOG_BASELINE)),
    ):
        name = next((name for name in names if name in posterior), None)
        if name is None or not isinstance(prior, Normal):
            continue
        draws, sd = posterior[name], prior.sd
        if name == LOG_BASELINE:  # a prior each, which together are about their average
            sd, draws = sd / np.sqrt(draws.sizes[INTERVAL]), draws.mean(INTERVAL)
        labels = texts(about(draws))
        columns = draws.transpose(*SAMPLE_DIMS, ...).values.reshape(-1, len(labels)).T
        for arm, own in zip(labels, columns, strict=True):
            z = _away(own.mean(), own.std(ddof=1), prior.mean, sd)
            rows.append(
                {"statement": statement, ARM: arm, "prior_mean": prior.mean, "prior_sd": sd}
                | {"mean": own.mean(), "sd": own.std(ddof=1), "z": z, "p": 2 * ndtr(-abs(z))}
            )
    return pd.DataFrame(rows)


def _away(mean: float, sd: float, prior_mean: float, prior_sd: float) -> float:
    """Standard deviations of the prior predictive between the posterior mean and the prior's."""
    if sd > SAYS_LITTLE * prior_sd:
        return np.nan
    return float((mean - prior_mean) / np.sqrt(prior_sd**2 - sd**2))
