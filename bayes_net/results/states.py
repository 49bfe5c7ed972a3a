"""Tables of what goes beyond one arm or landmark: differences of arms; of an illness-death model the steps
from state to state and where patients are by and by; and of several landmarks what they say together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.assumptions.hazard import Hazard
from bayes_net.checks.gate import by_imputation
from bayes_net.data.follow_up import TO_PROGRESSION
from bayes_net.data.landmarks import LandmarkSet
from bayes_net.data.terms import Response, WithoutShrinkage
from bayes_net.estimands.arms import (
    OWN_PATIENTS,
    OWN_SHRINKAGE,
    SAME_SHRINKAGE,
    STATES,
    arm_differences,
    comparable,
    state_probabilities,
)
from bayes_net.estimands.summary import probability, summarise
from bayes_net.inference.across_landmarks import across_landmarks
from bayes_net.results.curves import CURVE_POINTS, origin_of
from bayes_net.results.fits import Fitted, Job, hazard_ratio_table, profile_label, reported_scales
from bayes_net.results.patients import ABOUT, about_job, primary
from bayes_net.schema import (
    ARM,
    CHAIN,
    FAILED,
    IMPUTATION,
    LANDMARK,
    PASSED,
    SAMPLE_DIMS,
    SLOPE,
    STATE,
)

EVERYONE, ALIKE = "the covariates of all patients", "the shrinkage and covariates of all patients"
OWN, STANDARDISED = "each arm's own patients", "the covariates of all patients and each arm's own shrinkage"
"""Over whom an arm's survival is averaged, where arms are compared."""
NOT_RANDOMISED = "not a randomised comparison: patients were selected by reaching the landmark"


def arm_difference_table(
    fits: Sequence[Fitted],
    *,
    times: Sequence[float],
    horizon: float,
    ci_prob: float,
    interval: str,
    over: str = OWN_SHRINKAGE,
) -> pd.DataFrame:
    """Each later arm minus the first, at times that both are followed for: differences of survival and of the
    restricted mean, by endpoint and landmark, averaged ``over`` patients as ``arm_differences`` has it.

    Where no weights give an arm the covariates of all, each is averaged over its own patients.

    Columns: what it is about, arm, against, averaged_over, quantity (survival, rmst), time (months),
    estimate, lower, upper, level, interval, prob_above_0, mcse, ess_bulk, rhat, gate; what is compared, of
    the arm and of the one it is compared with (``of_arm``, ``of_against``, each with lower and upper), and
    how many patients with equal weights would tell as much (``n_arm``, ``n_against``); and ``note``,
    ``NOT_RANDOMISED`` after a landmark that is not randomisation. Without several arms empty.
    """
    parts = []
    endpoints = dict.fromkeys(f.job.endpoint for f in fits if len(f.job.data.arms) > 1)
    how: dict[str, Any] = {"ci_prob": ci_prob, "interval": interval, "limits": False}
    for f in (f for endpoint in endpoints for f in primary(fits, endpoint)):
        data, chosen = f.job.data, _possible(f, over)
        if chosen is None:
            continue  # the report says which arms no study has together
        drawn = _differences(f, times, horizon=horizon, over=chosen)
        reach = dict(zip(data.arms, np.minimum(data.last_follow_up, data.last_follow_up[0]), strict=True))
        for quantity in ("survival", "rmst"):
            table = summarise(drawn[quantity], **how)
            table["prob_above_0"] = np.ravel(probability(drawn[quantity], above=0.0).values)
            for side, name in (("later", "of_arm"), ("first", "of_against")):
                level = summarise(drawn[f"{quantity}_{side}"].rename(quantity), **how)
                ends = {"estimate": name, "lower": f"{name}_lower", "upper": f"{name}_upper"}
                table[list(ends.values())] = level[list(ends)].to_numpy()
                table[name.replace("of", "n")] = table[ARM].map(drawn[f"n_{side}"].to_series())
            table = table.rename(columns={"interval_kind": "interval"}).assign(
                **about_job(f.job) | {"measure": f.job.measure.label},
                against=data.arms[0],
                averaged_over=_averaged_over(f, chosen),
                quantity=quantity,
                gate=PASSED if f.gate.passed else FAILED,
                note=NOT_RANDOMISED if f.job.landmark.months > 0 or f.job.landmark.biased else "",
            )
            if quantity == "rmst":
                table["time"] = horizon
            parts.append(table[table["time"] <= table[ARM].map(reach)])
    columns = [*ABOUT, ARM, "against", "averaged_over", "quantity", "time", "estimate", "lower", "upper"]
    columns += ["level", "interval", "prob_above_0", "mcse", "ess_bulk", "rhat", "gate"]
    columns += [f"{name}{end}" for name in ("of_arm", "of_against") for end in ("", "_lower", "_upper")]
    columns += ["n_arm", "n_against", "note"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _possible(f: Fitted, over: str) -> str | None:
    """``over``, or else each arm's own patients; None where no study has both arms."""
    every = f.job.completed or (f.job.data,)
    ways = dict.fromkeys((over, OWN_PATIENTS))
    return next((way for way in ways if all(comparable(f.fit, data, over=way) for data in every)), None)


def _averaged_over(f: Fitted, over: str) -> str:
    if isinstance(f.job.measure, WithoutShrinkage) and over != OWN_PATIENTS:
        return EVERYONE
    if not f.job.data.covariate_names and over == OWN_SHRINKAGE:
        return OWN  # there is nothing to standardise by
    return {OWN_SHRINKAGE: STANDARDISED, SAME_SHRINKAGE: ALIKE, OWN_PATIENTS: OWN}[over]


def _differences(f: Fitted, times: Sequence[float], **how: Any) -> xr.Dataset:
    """Differences of arms; where covariates are missing, of each imputation's patients by its own draws."""
    seed = f.fit.attrs["seed"]
    if not f.job.completed:
        return arm_differences(f.fit, f.job.data, times, seed=seed, **how)
    fits = [tree for tree, _ in by_imputation(f.fit, {}).values()]
    parts = [
        arm_differences(own, data, times, seed=[seed, number], **how)
        for number, (own, data) in enumerate(zip(fits, f.job.completed, strict=True))
    ]
    worth = {name: sum(part[name] for part in parts) / len(parts) for name in ("n_first", "n_later")}
    drawn = xr.concat([part.drop_vars(worth) for part in parts], dim=CHAIN)
    return drawn.assign(worth).assign_coords({IMPUTATION: f.fit["posterior"][IMPUTATION]})


ALIVE = "alive"
"""With progression or without: overall survival."""
FEWEST_EVENTS = 10
"""Of an arm at each landmark that is put together with others: what fewer patients do to a slope does not
tell its error, which comes out too small."""


def state_tables(
    fits: Sequence[Fitted], *, times: Sequence[float], profiles: Sequence[float], **how: Any
) -> dict[str, pd.DataFrame]:
    """``transition_table`` and ``state_table`` by the names of their files; none without fits of these."""
    fits = [f for f in fits if f.job.transition]
    if not fits:
        return {}
    states = state_table(fits, times=times, profiles=profiles, **how)
    return {"transitions": transition_table(fits, **how), "states": states}


def transition_table(fits: Sequence[Fitted], *, ci_prob: float, interval: str) -> pd.DataFrame:
    """Hazard ratios of each transition, as ``hazard_ratio_table`` has those of endpoints, with the column
    ``transition`` in the place of the endpoint."""
    parts = [
        hazard_ratio_table([f], ci_prob=ci_prob, interval=interval).assign(transition=f.job.transition)
        for f in fits
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["transition", *(name for name in table if name not in ("transition", "endpoint"))]]


def state_table(
    fits: Sequence[Fitted],
    *,
    times: Sequence[float],
    profiles: Sequence[float],
    ci_prob: float,
    interval: str,
) -> pd.DataFrame:
    """Where patients are who were without progression at the landmark, by arm, profile and months since.

    Columns: population, measure, landmark, arm, profile, time, state (the ``STATES``, and ``alive``),
    estimate, lower, upper, level, interval, mcse, ess_bulk, rhat, gate. Times beyond the last follow-up of an
    arm's patients are left out.
    """
    parts = []
    for own in by_landmark(fits):
        first = own[TO_PROGRESSION]
        job = first.job
        draws = probabilities(own, times=times, profiles=profiles)
        table = summarise(draws, ci_prob=ci_prob, interval=interval, limits=False)
        reach = dict(zip(job.data.arms, last_follow_up(own), strict=True))
        table = table.rename(columns={"interval_kind": "interval"}).assign(
            population=job.population,
            measure=job.measure.label,
            landmark=job.landmark.label,
            profile=[profile_label(job.measure, points) for points in table["shrinkage"]],
            gate=PASSED if all(f.gate.passed for f in own.values()) else FAILED,
        )
        parts.append(table[table["time"] <= table[ARM].map(reach)])
    columns = [
        "population",
        "measure",
        "landmark",
        ARM,
        "profile",
        "time",
        STATE,
        "estimate",
        "lower",
        "upper",
    ]
    columns += ["level", "interval", "mcse", "ess_bulk", "rhat", "gate"]
    return pd.concat(parts, ignore_index=True)[columns]


def state_curves(own: Mapping[str, Fitted], *, profiles: Sequence[float]) -> pd.DataFrame:
    """Posterior means of the probability of each state, which add up to 1, until the end of follow-up, for a
    figure: arm, profile, state, time, estimate and ``origin``."""
    first = own[TO_PROGRESSION]
    reach = dict(zip(first.job.data.arms, last_follow_up(own), strict=True))
    times = np.linspace(0.0, max(reach.values()), CURVE_POINTS)
    draws = probabilities(own, times=times.tolist(), profiles=profiles).sel({STATE: list(STATES)})
    table = draws.mean(SAMPLE_DIMS).rename("estimate").to_dataframe().reset_index()
    table = table[table["time"] <= table[ARM].map(reach)]
    return table.assign(
        profile=[profile_label(first.job.measure, points) for points in table["shrinkage"]],
        origin=origin_of(first),
    )


def by_landmark(fits: Sequence[Fitted]) -> Iterator[dict[str, Fitted]]:
    """The fits of each landmark by their transitions, where none was lost."""
    for at in dict.fromkeys(f.job.landmark for f in fits):
        own = {f.job.transition: f for f in fits if f.job.landmark == at}
        if len(own) == len(STATES):
            yield own


def probabilities(
    own: Mapping[str, Fitted], *, times: Sequence[float], profiles: Sequence[float]
) -> xr.DataArray:
    """Draws of the probability of each state, and of being alive, by arm, profile and time."""
    job = own[TO_PROGRESSION].job
    points: Any = (0.0, job.measure.threshold) if isinstance(job.measure, Response) else profiles
    found = state_probabilities({name: f.fit for name, f in own.items()}, job.data, times, shrinkage=points)
    alive = found.sel({STATE: list(STATES[:2])}).sum(STATE).expand_dims({STATE: [ALIVE]})
    return xr.concat([found, alive], dim=STATE)


def last_follow_up(own: Mapping[str, Fitted]) -> list[float]:
    """The longest follow-up of each arm over all transitions, in months."""
    return [max(each) for each in zip(*(f.job.data.last_follow_up for f in own.values()), strict=True)]


def across_table(
    fits: Sequence[Fitted],
    sets: Mapping[tuple[str, bool], LandmarkSet],
    hazard_of: Callable[[Job], Hazard],
    *,
    seed: int,
    ci_prob: float,
    interval: str,
) -> pd.DataFrame:
    """Hazard ratios of each arm at every true landmark and, ``ACROSS``, of their mean, by a composite
    likelihood (``across_landmarks``); by endpoint and measure. ``sets`` have the patients of the fits. An arm
    with less than ``FEWEST_EVENTS`` at a landmark, or one shrinkage, has no row.

    Columns: endpoint, population, measure, landmark, arm, hr, lower, upper, level, interval, prob_below_1,
    robust_to_naive (standard errors of a common slope), spread (posterior median of the standard deviation of
    log hazard ratios over landmarks), gate.
    """
    parts = []
    usable = [f for f in fits if SLOPE in f.fit["posterior"] and "log_likelihood" in f.fit.children]
    for own in _of_one_kind(f for f in usable if not f.job.landmark.biased):
        if len(own) < 2:
            continue
        by_label = {f.job.landmark.label: f for f in own}
        arms = [arm for a, arm in enumerate(own[0].job.data.arms) if all(_tells(f.job, a) for f in own)]
        found = across_landmarks(
            {label: f.fit for label, f in by_label.items()},
            {label: _patients(sets, f.job) for label, f in by_label.items()},
            hazard_of(own[0].job).priors.slope,
            seed=seed,
        )
        ratios = np.exp(found.slopes)
        table = summarise(ratios, ci_prob=ci_prob, interval=interval, limits=False)
        table = table.rename(columns={"estimate": "hr", "interval_kind": "interval"}).assign(
            endpoint=own[0].job.endpoint,
            population=own[0].job.population,
            measure=next(reported_scales(own[0].job.measure))[0],
            prob_below_1=np.ravel(probability(ratios, below=1.0).values),
            robust_to_naive=table[ARM].map(found.ratio.to_series()),
            spread=table[ARM].map(found.spread.median(SAMPLE_DIMS).to_series()),
            gate=PASSED if all(f.gate.passed for f in own) else FAILED,
        )
        parts.append(table[table[ARM].isin(arms)])
    if not sum(map(len, parts)):
        return pd.DataFrame()
    columns = [
        "endpoint",
        "population",
        "measure",
        LANDMARK,
        ARM,
        "hr",
        "lower",
        "upper",
        "level",
        "interval",
    ]
    columns += ["prob_below_1", "robust_to_naive", "spread", "gate"]
    return pd.concat(parts, ignore_index=True)[columns]


def _tells(job: Job, arm: int) -> bool:
    """Whether an arm has the events, and patients whose shrinkage differs, to tell of an association."""
    data = job.data
    scores = data.score[data.arm == arm]
    return bool(data.events[arm].sum() >= FEWEST_EVENTS and np.ptp(scores) > 0)


def _patients(sets: Mapping[tuple[str, bool], LandmarkSet], job: Job) -> list[str]:
    return sets[job.endpoint, job.intention_to_treat].at(job.landmark.label)["patient"].tolist()


def _of_one_kind(fits: Iterable[Fitted]) -> list[list[Fitted]]:
    found: dict[tuple, list[Fitted]] = {}
    for f in fits:
        found.setdefault((f.job.endpoint, f.job.population, f.job.measure), []).append(f)
    return list(found.values())
