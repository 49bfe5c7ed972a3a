"""The labelled tables behind the figures of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

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
from bayes_net.schema import ARM, FAILED, INTERVAL, LANDMARK, PASSED, SLOPE, STUDY, TIME

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
    of_studies = [STUDY] if STUDY in draws.dims else []
    draws = draws.assign_coords({INTERVAL: np.arange(data.n_intervals)})
    draws = draws.transpose(..., *of_studies, ARM, INTERVAL)
    table = summarise(draws, ci_prob=ci_prob, interval=interval).rename(columns={INTERVAL: "k"})
    follow_up = dict(zip(data.arms, fitted.fit["constant_data"]["last_follow_up"].values, strict=True))
    k = table["k"].to_numpy(int)
    events = data.events_by_stratum if of_studies else data.events
    table = table.assign(
        events=events.astype(int).ravel(),
        start=data.starts[k],
        end=np.minimum(data.ends[k], table[ARM].map(follow_up)),
        origin=origin_of(fitted),
    )
    if of_studies:
        known = np.repeat(data.n_by_stratum.ravel() > 0, data.n_intervals)
        table = table.assign(**{ARM: table[ARM] + ", " + table[STUDY]})[known]
    return table[table["start"] < table["end"]].reset_index(drop=True)


DENSITY_POINTS = 121
_WIDEST, _VISIBLE = np.log((0.05, 20.0)), 0.03
"""A grid of hazard ratios goes no further, and so far as a prior has this share of its greatest density."""
Density = Callable[[np.ndarray], np.ndarray]


def densities(ratios: Sequence[tuple[Mapping[str, object], np.ndarray, Density]]) -> pd.DataFrame:
    """Prior and posterior density of log hazard ratios on one grid of ``hr``: what each is of, its draws, and
    its prior density."""
    from scipy.stats import gaussian_kde

    if not ratios:
        return pd.DataFrame()
    wide = np.linspace(_WIDEST[0], _WIDEST[1], 5 * DENSITY_POINTS)
    priors = [prior(wide) for _, _, prior in ratios]
    ends = [np.quantile(draws, (0.001, 0.999)) for _, draws, _ in ratios]
    ends += [wide[before > _VISIBLE * before.max()][[0, -1]] for before in priors]
    low, high = np.clip([min(ends, key=min)[0], max(ends, key=max)[1]], *_WIDEST)
    grid = np.linspace(low, high, DENSITY_POINTS)
    parts = [
        pd.DataFrame(
            dict(about) | {"hr": np.exp(grid), "prior": prior(grid), "posterior": gaussian_kde(draws)(grid)}
        )
        for about, draws, prior in ratios
    ]
    return pd.concat(parts, ignore_index=True)


def slope_densities(fits: Sequence[Fitted], prior: Prior) -> pd.DataFrame:
    """Prior and posterior density of the hazard ratio of each arm at each landmark, and whether it is biased
    and passed its gate."""
    return densities(
        [
            (
                {
                    LANDMARK: f.job.landmark.label,
                    "biased": f.job.landmark.biased,
                    ARM: arm,
                    "gate": PASSED if f.gate.passed else FAILED,
                },
                f.fit["posterior"][SLOPE].sel({ARM: arm}).values.ravel(),
                lambda logs: np.exp(prior.logpdf(logs)),
            )
            for f in fits
            for arm in f.fit["posterior"][SLOPE][ARM].values
        ]
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
