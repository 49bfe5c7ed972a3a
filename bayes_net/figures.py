"""The figures of a run: the labelled tables behind them, and which are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import gaussian_kde

from bayes_net import estimands, plots, tables
from bayes_net.checks import kaplan_meier, posterior_predictive
from bayes_net.exposure import Exposure, Response
from bayes_net.priors import Flat, Prior
from bayes_net.results import Fitted, primary, profile_label
from bayes_net.schema import ARM, ENDPOINT_LABELS, INTERVAL, SLOPE, TIME

CURVE_POINTS = 60
LONG_NAMES = {"pfs": "Progression-free survival", "os": "Overall survival"}


@dataclass(frozen=True, eq=False)
class Figure:
    """A drawn figure: its file name, the function of ``plots`` that drew it, and the tables drawn."""

    name: str
    kind: str
    axes: Axes
    plotted: tuple[pd.DataFrame, ...]
    subject: str

    def __repr__(self) -> str:
        return f"<figure: {self.name}, {self.subject}>"


def subset(data: Exposure, keep: np.ndarray) -> Exposure:
    """The exposure of some of the patients."""
    rows = ("time", "event", "arm", "score", "covariates")
    return replace(data, **{name: getattr(data, name)[keep] for name in rows})


def bands(draws, *, level: float) -> pd.DataFrame:
    """Pointwise equal-tailed bands of draws: their other dims, estimate, lower, upper."""
    tail = ((1 - level) / 2, 0.5, (1 + level) / 2)
    quantiles = draws.quantile(tail, dim=("chain", "draw")).dropna(TIME, how="all")
    names = dict(zip(tail, ("lower", "estimate", "upper"), strict=True))
    table = quantiles.to_series().unstack("quantile").rename(columns=names).reset_index()
    return table.rename_axis(columns=None).dropna()


def survival_curves(fitted: Fitted, *, level: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Posterior bands and Kaplan-Meier steps by arm, or by response within the arms.

    The bands average over the group's own patients, as the Kaplan-Meier curve does.
    """
    curves, steps = [], []
    for group, arm, data in _groups(fitted):
        times = np.linspace(0, data.time.max(), CURVE_POINTS)
        draws = estimands.standardised_survival(fitted.fit, data, times).sel({ARM: [arm]})
        curves.append(bands(draws, level=level).assign(group=group))
        steps.append(kaplan_meier(data.time, data.event).assign(group=group))
    landmark = fitted.job.landmark
    origin = "randomisation" if landmark.biased else f"the landmark at {landmark.label}"
    label = LONG_NAMES[fitted.job.endpoint]
    return pd.concat(curves, ignore_index=True).assign(origin=origin, endpoint=label), pd.concat(
        steps, ignore_index=True
    )


def _groups(fitted: Fitted) -> Iterator[tuple[str, str, Exposure]]:
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


def hazard_steps(fitted: Fitted, *, level: float) -> pd.DataFrame:
    """Posterior hazard by arm and interval; the last interval ends with the arm's follow-up."""
    table = estimands.summarise(estimands.baseline_hazard(fitted.fit), prob=level)
    data = fitted.job.data
    follow_up = dict(zip(data.arms, fitted.fit["constant_data"]["last_follow_up"].values, strict=True))
    table["start"] = data.starts[table[INTERVAL].astype(int)]
    table["end"] = np.minimum(data.ends[table[INTERVAL].astype(int)], table[ARM].map(follow_up))
    return table[table["start"] < table["end"]].reset_index(drop=True)


def slope_densities(fitted: Fitted, prior: Prior) -> pd.DataFrame:
    """Prior and posterior density of the log hazard ratio of each arm."""
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


def predictive_table(fits: Sequence[Fitted], times: Sequence[float], *, level: float) -> pd.DataFrame:
    """Replicated against observed survival at ``times``, for every fit."""
    parts = [
        posterior_predictive(
            f.fit, f.job.data, np.asarray(times), seed=f.fit.attrs["seed"], prob=level
        ).assign(fit=f.job.label)
        for f in fits
    ]
    return pd.concat(parts, ignore_index=True)


def draw(
    fits: Sequence[Fitted],
    *,
    hazard_ratios: pd.DataFrame,
    attrition: pd.DataFrame,
    slope_prior: Prior,
    level: float,
    patient_level: bool,
) -> Iterator[Figure]:
    """The figures of a run; curves are drawn at the earliest landmark, and by response at the last (at "no
    limit", which is biased, only where there is no other). Endpoints with one flow of patients share it.

    ``patient_level`` adds the waterfall, in which every bar is a patient.
    """
    arms = fits[0].job.data.arms
    endpoints = tuple(dict.fromkeys(f.job.endpoint for f in fits))
    flows = {endpoint: _flow(attrition, endpoint) for endpoint in endpoints}
    for endpoint in endpoints:
        own = [f for f in fits if f.job.endpoint == endpoint]
        name = ENDPOINT_LABELS[endpoint]
        for measure in dict.fromkeys(f.job.measure for f in own):
            scale = (
                "shrinkage, per 10 points"
                if measure == own[0].job.measure
                else measure.label.replace("response", "response,")
            )
            rows = hazard_ratios[
                (hazard_ratios["endpoint"] == endpoint)
                & (hazard_ratios["measure"] == scale)
                & (hazard_ratios["estimand"] == "association")
            ].reset_index(drop=True)
            stem = next(f.job.analysis for f in own if f.job.measure == measure)
            yield _figure(f"forest_{stem}", "forest", rows, arms=arms, subject=f"{name}, {scale}")
        sharing = [other for other, flow in flows.items() if flow.equals(flows[endpoint])]
        if sharing[0] == endpoint:
            shared = " and ".join(ENDPOINT_LABELS[other] for other in sharing)
            yield _figure(
                f"attrition_{endpoint}", "attrition_flow", flows[endpoint], arms=arms, subject=shared
            )
        yield from _curves(primary(fits, endpoint)[0], slope_prior, arms=arms, level=level)
        for threshold in dict.fromkeys(f.job.measure for f in own if isinstance(f.job.measure, Response)):
            cut = [f for f in own if f.job.measure == threshold]
            last = next((f for f in reversed(cut) if not f.job.landmark.biased), cut[-1])
            yield _figure(
                f"survival_{last.job.analysis}",
                "survival",
                *survival_curves(last, level=level),
                arms=arms,
                subject=_subject(last),
            )
    if patient_level:
        last = primary(fits, fits[0].job.endpoint)[-1]
        best = pd.DataFrame(
            {
                ARM: np.array(arms)[last.job.data.arm],
                "shrinkage": last.job.data.score * 10 + last.job.measure.reference,
            }
        )
        yield _figure("waterfall", "waterfall", best, arms=arms, subject=_subject(last))


def _flow(attrition: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    own = attrition[attrition["endpoint"] == endpoint]
    own = own[own["population"] == own["population"].iloc[0]]
    return own.drop(columns=["endpoint", "population"]).reset_index(drop=True)


def _subject(fitted: Fitted) -> str:
    """What was fitted; of "no limit", that it is biased."""
    return tables.landmark_label(fitted.job.label, fitted.job.landmark.biased)


def _curves(fitted: Fitted, slope_prior: Prior, *, arms: tuple[str, ...], level: float) -> Iterator[Figure]:
    endpoint, about = fitted.job.endpoint, {"arms": arms, "subject": _subject(fitted)}
    yield _figure(f"survival_{endpoint}", "survival", *survival_curves(fitted, level=level), **about)
    yield _figure(
        f"baseline_hazard_{endpoint}", "baseline_hazard", hazard_steps(fitted, level=level), **about
    )
    if not isinstance(slope_prior, Flat):
        densities = slope_densities(fitted, slope_prior)
        yield _figure(f"prior_posterior_{endpoint}", "prior_posterior", densities, **about)
    if fitted.job.concerned is not None:
        return  # replicates would follow completed follow-up, which nobody observed
    times = np.linspace(0, fitted.job.data.time.max(), CURVE_POINTS)
    replicated = predictive_table([fitted], times, level=level).assign(endpoint=LONG_NAMES[endpoint])
    observed = pd.concat(
        [kaplan_meier(data.time, data.event).assign(arm=arm) for _, arm, data in _groups(fitted)],
        ignore_index=True,
    )
    yield _figure(f"ppc_{endpoint}", "ppc", replicated, observed, **about)


def _figure(name: str, kind: str, *plotted: pd.DataFrame, arms: Sequence[str], subject: str) -> Figure:
    return Figure(name, kind, getattr(plots, kind)(*plotted, arms=arms), plotted, subject)
