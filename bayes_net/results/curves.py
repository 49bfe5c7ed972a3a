"""The labelled tables behind the figures of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.assumptions.priors import Prior
from bayes_net.checks.predictive import posterior_predictive, survival_steps
from bayes_net.data.exposure import Exposure, subset
from bayes_net.data.terms import Response
from bayes_net.estimands.ratios import OverTime
from bayes_net.estimands.summary import summarise
from bayes_net.estimands.survival import standardised_survival
from bayes_net.results.fits import Fitted, profile_label
from bayes_net.schema import ARM, INTERVAL, SLOPE, TIME

CURVE_POINTS = 60
LONG_NAMES = {"pfs": "Progression-free survival", "os": "Overall survival"}


def bands(draws: xr.DataArray, *, ci_prob: float) -> pd.DataFrame:
    """Pointwise equal-tailed bands of draws: their other dims, estimate, lower, upper."""
    tail = ((1 - ci_prob) / 2, 0.5, (1 + ci_prob) / 2)
    quantiles = draws.quantile(tail, dim=("chain", "draw")).dropna(TIME, how="all")
    names = dict(zip(tail, ("lower", "estimate", "upper"), strict=True))
    table = quantiles.to_series().unstack("quantile").rename(columns=names).reset_index()
    return table.rename_axis(columns=None).dropna()


def survival_curves(fitted: Fitted, *, ci_prob: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Posterior bands and Kaplan-Meier steps (or Turnbull's, where progression lies between scans) by arm, or
    by response within the arms.

    The bands average over the group's own patients, as the Kaplan-Meier curve does.
    """
    curves, steps = [], []
    for group, arm, data in patient_groups(fitted):
        times = np.linspace(0, data.time.max(), CURVE_POINTS)
        draws = standardised_survival(fitted.fit, data, times).sel({ARM: [arm]})
        curves.append(bands(draws, ci_prob=ci_prob).assign(group=group))
        steps.append(survival_steps(data).assign(group=group))
    origin, label = origin_of(fitted), LONG_NAMES[fitted.job.endpoint]
    return pd.concat(curves, ignore_index=True).assign(origin=origin, endpoint=label), pd.concat(
        steps, ignore_index=True
    )


def origin_of(fitted: Fitted) -> str:
    """What the months of a fit count from."""
    landmark = fitted.job.landmark
    return "randomisation" if landmark.biased or fitted.job.joint else f"the landmark at {landmark.label}"


def patient_groups(fitted: Fitted) -> Iterator[tuple[str, str, Exposure]]:
    """Label, arm and exposure of the groups that a figure compares: arms, or responders in each."""
    data, measure = fitted.job.data, fitted.job.measure
    for a, arm in enumerate(data.arms):
        own = data.arm == a
        if isinstance(measure, Response):
            parts = [
                (f"{arm}, {profile_label(measure, measure.threshold * s)}", own & (data.score == s))
                for s in (1, 0)
            ]
        else:
            parts = [(arm, own)]
        yield from ((group, arm, subset(data, keep)) for group, keep in parts if keep.any())


def steps_over_time(
    quantity: OverTime, fitted: Fitted, *, ci_prob: float, interval: str = "equal-tailed"
) -> pd.DataFrame:
    """Posterior of a quantity by arm and interval, with the events and months of each interval, the last of
    which ends with the arm's follow-up."""
    data = fitted.job.data
    draws = quantity.by_interval(fitted.fit["posterior"].to_dataset())
    draws = draws.assign_coords({INTERVAL: np.arange(data.n_intervals)}).transpose(..., ARM, INTERVAL)
    table = summarise(draws, ci_prob=ci_prob, interval=interval).rename(columns={INTERVAL: "k"})
    follow_up = dict(zip(data.arms, fitted.fit["constant_data"]["last_follow_up"].values, strict=True))
    k = table["k"].to_numpy(int)
    table = table.assign(
        events=data.events.astype(int).ravel(),
        start=data.starts[k],
        end=np.minimum(data.ends[k], table[ARM].map(follow_up)),
        origin=origin_of(fitted),
    )
    return table[table["start"] < table["end"]].reset_index(drop=True)


def slope_densities(fitted: Fitted, prior: Prior) -> pd.DataFrame:
    """Prior and posterior density of the log hazard ratio of each arm."""
    from scipy.stats import gaussian_kde

    logs = fitted.fit["posterior"][SLOPE]
    reach = 4 * float(logs.std()) + float(np.abs(logs).max()) / 4
    grid = np.linspace(-max(reach, 0.2), max(reach, 0.2), 200) + float(logs.median())
    return pd.concat(
        [
            pd.DataFrame(
                {
                    ARM: arm,
                    "hr": np.exp(grid),
                    "prior": np.exp(prior.logpdf(grid)),
                    "posterior": gaussian_kde(logs.sel({ARM: arm}).values.ravel())(grid),
                }
            )
            for arm in logs[ARM].values
        ],
        ignore_index=True,
    )


def predictive_table(
    fits: Sequence[Fitted], times: Sequence[float] | np.ndarray, *, ci_prob: float
) -> pd.DataFrame:
    """Replicated against observed survival at ``times``, for every fit."""
    parts = [
        posterior_predictive(
            f.fit, f.job.data, np.asarray(times), seed=f.fit.attrs["seed"], ci_prob=ci_prob
        ).assign(fit=f.job.label)
        for f in fits
    ]
    return pd.concat(parts, ignore_index=True)
