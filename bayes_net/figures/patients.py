"""The figures of a run: the labelled tables behind them, and which are drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.assumptions.priors import Flat, Prior
from bayes_net.checks.predictive import kaplan_meier
from bayes_net.data.follow_up import TO_PROGRESSION
from bayes_net.data.terms import Response, Shrinkage, WithoutShrinkage
from bayes_net.estimands.ratios import OVER_TIME, changing
from bayes_net.figures.captions import PATIENTS
from bayes_net.figures.prediction import PREDICTION
from bayes_net.figures.style import Figure
from bayes_net.labels import landmark_label
from bayes_net.numbers import capitalised
from bayes_net.report.words import analysed, primary_rows
from bayes_net.results import curves
from bayes_net.results.curves import CURVE_POINTS, LONG_NAMES, patient_groups, survival_curves
from bayes_net.results.fits import Fitted, reported_scales
from bayes_net.results.patients import primary
from bayes_net.results.states import by_landmark, state_curves
from bayes_net.schema import ARM, ASSOCIATION, ENDPOINT_LABELS, POINTS_PER_UNIT, SLOPE


def draw(
    fits: Sequence[Fitted],
    *,
    hazard_ratios: pd.DataFrame,
    attrition: pd.DataFrame,
    slope_prior: Prior,
    ci_prob: float,
    patient_level: bool,
    scores: pd.DataFrame | None = None,
    transitions: Sequence[Fitted] = (),
    profiles: Sequence[float] = (),
) -> Iterator[Figure]:
    """The figures of a run; curves are drawn at the earliest landmark, and by response at the last (at "no
    limit", which is biased, only where there is no other). Endpoints with one flow of patients share it.

    ``patient_level`` adds the waterfall, in which every bar is a patient, ``scores`` what knowing shrinkage
    adds to prediction, and ``transitions`` where patients with these ``profiles`` are by and by.
    """
    arms = fits[0].job.data.arms
    flows = {endpoint: _flow(attrition, endpoint) for endpoint in dict.fromkeys(f.job.endpoint for f in fits)}
    every = pd.concat([primary_rows(hazard_ratios, endpoint) for endpoint in analysed(hazard_ratios)])
    yield PATIENTS["overview"].figure(
        "overview", every, arms=arms, subject=capitalised(every["measure"].iloc[0])
    )
    for endpoint in flows:
        own = [f for f in fits if f.job.endpoint == endpoint]
        average = ", averaged over time" if changing(own[0].fit["posterior"]) else ""
        by_measure = {f.job.measure: [g for g in own if g.job.measure == f.job.measure] for f in own}
        for measure, alike in by_measure.items():
            if isinstance(measure, WithoutShrinkage):
                own_rows = hazard_ratios[hazard_ratios["endpoint"] == endpoint]
                for (estimand, about), rows in own_rows.groupby(["estimand", "measure"], sort=False):
                    subject, rows = f"{ENDPOINT_LABELS[endpoint]}, {about}", rows.reset_index(drop=True)
                    name = f"{alike[0].job.analysis}_{estimand}"
                    yield _figure("comparison", name, rows, arms=arms, subject=subject)
                continue
            scale = next(reported_scales(measure))[0]
            wanted = {"endpoint": endpoint, "measure": scale, "estimand": ASSOCIATION}
            chosen = hazard_ratios[list(wanted)].eq(pd.Series(wanted)).all(axis=1)
            rows = hazard_ratios[chosen].reset_index(drop=True)
            subject = f"{ENDPOINT_LABELS[endpoint]}, {scale}{average}"
            yield _figure("forest", alike[0].job.analysis, rows, arms=arms, subject=subject)
        sharing = [other for other, flow in flows.items() if flow.equals(flows[endpoint])]
        if sharing[0] == endpoint:
            shared = " and ".join(ENDPOINT_LABELS[other] for other in sharing)
            yield _figure("attrition", endpoint, flows[endpoint], arms=arms, subject=shared)
        yield from _curves(primary(fits, endpoint), slope_prior, arms=arms, ci_prob=ci_prob)
        for measure, alike in by_measure.items():
            if isinstance(measure, Response):
                last = next((f for f in reversed(alike) if not f.job.landmark.biased), alike[-1])
                plotted, about = survival_curves(last, ci_prob=ci_prob), _subject(last)
                yield _figure("survival", last.job.analysis, *plotted, arms=arms, subject=about)
    yield from _gains(scores)
    if first := next(by_landmark(transitions), None):
        job = first[TO_PROGRESSION].job
        about = landmark_label(f"{job.measure.label}, {job.landmark.label}", job.landmark.biased)
        curve = state_curves(first, profiles=profiles)
        yield PATIENTS["states"].figure("states", curve, arms=arms, subject=capitalised(about))
    if patient_level and isinstance(fits[0].job.measure, Shrinkage):
        last = primary(fits, fits[0].job.endpoint)[-1]
        data = last.job.data
        continuous: Any = last.job.measure
        shrinkage = data.score * POINTS_PER_UNIT + continuous.reference
        best = pd.DataFrame({ARM: np.array(arms)[data.arm], "shrinkage": shrinkage})
        yield PATIENTS["waterfall"].figure("waterfall", best, arms=arms, subject=_subject(last))


def _gains(scores: pd.DataFrame | None) -> Iterator[Figure]:
    if scores is None or scores.empty:
        return
    for (endpoint, about), rows in scores.groupby(["endpoint", "measure"], sort=False):
        name = re.sub(r"\W+", "_", f"prediction_{endpoint}_{about}").strip("_")
        subject = f"{ENDPOINT_LABELS[endpoint]}, {about}"
        yield PREDICTION.figure(name, rows.reset_index(drop=True), subject=subject)


def _figure(kind: str, of: str, *plotted: pd.DataFrame, arms: Sequence[str], subject: str) -> Figure:
    return PATIENTS[kind].figure(f"{kind}_{of}", *plotted, arms=arms, subject=subject)


def _flow(attrition: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    own = attrition[attrition["endpoint"] == endpoint]
    own = own[own["population"] == own["population"].iloc[0]]
    return own.drop(columns=["endpoint", "population"]).reset_index(drop=True)


def _subject(fitted: Fitted) -> str:
    """What was fitted; of "no limit", that it is biased."""
    return landmark_label(fitted.job.label, fitted.job.landmark.biased)


def _curves(
    fits: Sequence[Fitted], slope_prior: Prior, *, arms: tuple[str, ...], ci_prob: float
) -> Iterator[Figure]:
    """Curves of the first fit, and prior and posterior of the slopes of all."""
    fitted = fits[0]
    endpoint = fitted.job.endpoint
    about: dict[str, Any] = {"arms": arms, "subject": _subject(fitted)}
    yield _figure("survival", endpoint, *survival_curves(fitted, ci_prob=ci_prob), **about)
    for quantity in OVER_TIME:
        if quantity.used(fitted.fit["posterior"]):
            steps = curves.steps_over_time(quantity, fitted, ci_prob=ci_prob)
            yield _figure(quantity.name, endpoint, steps, **about)
    if not isinstance(slope_prior, Flat) and SLOPE in fitted.fit["posterior"]:
        densities = curves.slope_densities(fits, slope_prior)
        measure = f"{ENDPOINT_LABELS[endpoint]}, {next(reported_scales(fitted.job.measure))[0]}"
        yield _figure("prior_posterior", endpoint, densities, arms=arms, subject=measure)
    if fitted.job.concerned is not None or fitted.job.completed:
        return  # replicates would follow completed follow-up, or completed patients, which nobody observed
    times = np.linspace(0, fitted.job.data.time.max(), CURVE_POINTS)
    replicated = curves.predictive_table([fitted], times, ci_prob=ci_prob)
    observed = pd.concat(
        [kaplan_meier(data.time, data.event).assign(arm=arm) for _, arm, data in patient_groups(fitted)],
        ignore_index=True,
    )
    yield _figure("ppc", endpoint, replicated.assign(endpoint=LONG_NAMES[endpoint]), observed, **about)
