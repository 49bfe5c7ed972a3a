"""The figures of a run: the labelled tables behind them, and which are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bayes_net.checks.predictive import kaplan_meier
from bayes_net.data.exposure import Response
from bayes_net.figures import plots
from bayes_net.figures.captions import PATIENTS, described
from bayes_net.figures.style import Figure
from bayes_net.model.priors import Flat, Prior
from bayes_net.results.curves import (
    CURVE_POINTS,
    LONG_NAMES,
    hazard_ratio_steps,
    hazard_steps,
    origin_of,
    patient_groups,
    predictive_table,
    slope_densities,
    survival_curves,
)
from bayes_net.results.fits import Fitted
from bayes_net.results.patients import primary
from bayes_net.schema import ARM, ENDPOINT_LABELS, SLOPE_BY_INTERVAL, landmark_label


def draw(
    fits: Sequence[Fitted],
    *,
    hazard_ratios: pd.DataFrame,
    attrition: pd.DataFrame,
    slope_prior: Prior,
    ci_prob: float,
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
            average = ", averaged over time" if SLOPE_BY_INTERVAL in own[0].fit["posterior"] else ""
            subject = f"{name}, {scale}{average}"
            yield _figure(f"forest_{stem}", "forest", rows, arms=arms, subject=subject)
        sharing = [other for other, flow in flows.items() if flow.equals(flows[endpoint])]
        if sharing[0] == endpoint:
            shared = " and ".join(ENDPOINT_LABELS[other] for other in sharing)
            yield _figure(
                f"attrition_{endpoint}", "attrition_flow", flows[endpoint], arms=arms, subject=shared
            )
        yield from _curves(primary(fits, endpoint)[0], slope_prior, arms=arms, ci_prob=ci_prob)
        for threshold in dict.fromkeys(f.job.measure for f in own if isinstance(f.job.measure, Response)):
            cut = [f for f in own if f.job.measure == threshold]
            last = next((f for f in reversed(cut) if not f.job.landmark.biased), cut[-1])
            yield _figure(
                f"survival_{last.job.analysis}",
                "survival",
                *survival_curves(last, ci_prob=ci_prob),
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
    return landmark_label(fitted.job.label, fitted.job.landmark.biased)


def _curves(fitted: Fitted, slope_prior: Prior, *, arms: tuple[str, ...], ci_prob: float) -> Iterator[Figure]:
    endpoint, about = fitted.job.endpoint, {"arms": arms, "subject": _subject(fitted)}
    yield _figure(f"survival_{endpoint}", "survival", *survival_curves(fitted, ci_prob=ci_prob), **about)
    yield _figure(
        f"baseline_hazard_{endpoint}", "baseline_hazard", hazard_steps(fitted, ci_prob=ci_prob), **about
    )
    if SLOPE_BY_INTERVAL in fitted.fit["posterior"]:
        ratios = hazard_ratio_steps(fitted, ci_prob=ci_prob).assign(origin=origin_of(fitted))
        yield _figure(f"hazard_ratio_by_time_{endpoint}", "hazard_ratio_by_time", ratios, **about)
    if not isinstance(slope_prior, Flat):
        densities = slope_densities(fitted, slope_prior)
        yield _figure(f"prior_posterior_{endpoint}", "prior_posterior", densities, **about)
    if fitted.job.concerned is not None:
        return  # replicates would follow completed follow-up, which nobody observed
    times = np.linspace(0, fitted.job.data.time.max(), CURVE_POINTS)
    replicated = predictive_table([fitted], times, ci_prob=ci_prob).assign(endpoint=LONG_NAMES[endpoint])
    observed = pd.concat(
        [kaplan_meier(data.time, data.event).assign(arm=arm) for _, arm, data in patient_groups(fitted)],
        ignore_index=True,
    )
    yield _figure(f"ppc_{endpoint}", "ppc", replicated, observed, **about)


def _figure(name: str, kind: str, *plotted: pd.DataFrame, arms: Sequence[str], subject: str) -> Figure:
    axes = getattr(plots, kind)(*plotted, arms=arms)
    return described(PATIENTS, kind, name, axes, plotted, subject=subject)
