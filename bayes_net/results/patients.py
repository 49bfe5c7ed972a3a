"""The tidy tables of a run, computed from its fits; these are the CSV files and the report's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.assumptions.hazard import Hazard, free_variables
from bayes_net.assumptions.priors import Flat, HalfNormal, Prior, Priors
from bayes_net.checks.influence import most_influential
from bayes_net.checks.power import power_scaling, tipping_factor
from bayes_net.checks.prediction import Prediction, prediction
from bayes_net.data.terms import Response, Shrinkage, WithoutShrinkage
from bayes_net.estimands.ratios import OVER_TIME, arm_hazard_ratio, covariate_hazard_ratio, hazard_ratio
from bayes_net.estimands.summary import probability, summarise
from bayes_net.estimands.survival import median_survival, rmst, survival
from bayes_net.numbers import format_range, significant
from bayes_net.results.curves import steps_over_time
from bayes_net.results.fits import Fitted, Job, before_data, profile_label, reported_scales
from bayes_net.schema import (
    ARM,
    ARM_EFFECT,
    COVARIATE,
    COVARIATE_EFFECT,
    FAILED,
    PASSED,
    PFS,
    SLOPE,
)

Drawn = dict[str, xr.DataArray]


def gate_table(fits: Sequence[Fitted]) -> pd.DataFrame:
    """All gates under each other: fit, check, worst, threshold, passed, where."""
    return pd.concat([f.gate.table.assign(fit=f.job.label) for f in fits], ignore_index=True)[
        ["fit", "check", "worst", "threshold", "passed", "where"]
    ]


def loo_table(fits: Sequence[Fitted]) -> pd.DataFrame:
    """Leave-one-patient-out results, one row a fit that has them."""
    return pd.DataFrame([{"fit": f.job.label} | f.loo for f in fits if f.loo])


def power_scaling_table(fits: Sequence[Fitted]) -> pd.DataFrame:
    """What decides each hazard ratio, priors or data: one row a fit, arm and component."""
    parts = [
        power_scaling(f.fit)
        .rename(columns={"label": ARM})
        .assign(**about_job(f.job))
        .drop(columns="quantity")
        for f in fits
        if SLOPE in f.fit["posterior"] and {"log_prior", "log_likelihood"} <= set(f.fit.children)
    ]
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    return table[[*ABOUT, ARM, "component", "sensitivity", "shift", "reading"]]


def influence_table(found: Sequence[tuple[Fitted, xr.Dataset]]) -> pd.DataFrame:
    """The largest change that leaving out any one patient makes: one row a fit and arm.

    ``found`` are fits and what ``influence`` says of them. Columns: what it is about, and those of
    ``most_influential``.
    """
    return about_fits((f, most_influential(own)) for f, own in found)


def about_fits(found: Iterable[tuple[Fitted, pd.DataFrame]]) -> pd.DataFrame:
    """Tables of fits under each other, each row with what its fit is about."""
    parts = [table.assign(**about_job(f.job)) for f, table in found]
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    return table[[*ABOUT, *(name for name in table if name not in ABOUT)]]


def prediction_tables(
    fits: Sequence[Fitted],
    hazard_of: Callable[[Job], Hazard],
    *,
    times: Sequence[float],
    seed: int,
    ci_prob: float,
) -> dict[str, Callable[[], pd.DataFrame]]:
    """How well patients are predicted who were left out, with shrinkage and without, at true landmarks: the
    scores and the calibration, each by a function, of which the first that is called does the work."""

    @cache
    def found() -> list[tuple[Fitted, Prediction]]:
        own = (f for f in fits if SLOPE in f.fit["posterior"] and not f.job.landmark.biased)
        how: dict[str, Any] = {"times": times, "seed": seed, "ci_prob": ci_prob}
        return [(f, prediction(f.job.data, hazard_of(f.job), **how)) for f in own]

    return {
        "prediction": lambda: about_fits((f, own.scores) for f, own in found()),
        "prediction_calibration": lambda: about_fits((f, own.calibration) for f, own in found()),
    }


def tipping_table(fits: Sequence[Fitted], bands: Sequence[float]) -> pd.DataFrame:
    """How biased each hazard ratio would have to be to lose the band its direction is in.

    Columns: what it is about, arm, ``band`` (the highest of ``bands`` that the probability of a direction
    reaches; missing where it reaches none) and ``factor`` (``power_scaling.tipping_factor``).
    """
    rows = []
    for f in (f for f in fits if SLOPE in f.fit["posterior"]):
        ratios = hazard_ratio(f.fit)
        below = probability(ratios, below=1)
        for arm in ratios[ARM].values:
            own = float(below.sel({ARM: arm}))
            band = next((band for band in bands if max(own, 1 - own) >= band), np.nan)
            known = not np.isnan(band)
            factor = float(tipping_factor(ratios.sel({ARM: arm}), band)) if known else np.nan
            rows.append(about_job(f.job) | {ARM: arm, "band": band, "factor": factor})
    return pd.DataFrame(rows)


ABOUT = ("endpoint", "population", "measure", "landmark", "biased")


def about_job(job: Job) -> dict[str, object]:
    """What a fit is about, by column."""
    measure, at = next(reported_scales(job.measure))[0], job.landmark
    return dict(zip(ABOUT, (job.endpoint, job.population, measure, at.label, at.biased), strict=True))


def over_time_tables(
    fits: Sequence[Fitted], *, ci_prob: float, interval: str
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and table of every quantity over time that has one, of the fits whose models use it.

    Columns: what it is about, arm, start and end (months), events, the estimate, lower, upper, level,
    interval, and the Monte-Carlo errors.
    """
    for quantity in OVER_TIME:
        if name := quantity.column:
            names = {"estimate": name, "mcse": f"mcse_{name}", "interval_kind": "interval"}
            parts = [
                steps_over_time(quantity, f, ci_prob=ci_prob, interval=interval)
                .rename(columns=names)
                .assign(**about_job(f.job), gate=PASSED if f.gate.passed else FAILED)
                for f in fits
                if quantity.used(f.fit["posterior"])
            ]
            columns = [*ABOUT, ARM, "start", "end", "events", name, "lower", "upper", "level", "interval"]
            columns += [f"mcse_{name}", "mcse_lower", "mcse_upper", "ess_bulk", "ess_tail", "rhat", "gate"]
            yield quantity.name, pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame()


def survival_table(
    fits: Sequence[Fitted],
    *,
    times: Sequence[float],
    horizon: float,
    profiles: Sequence[float],
    ci_prob: float,
    interval: str,
) -> pd.DataFrame:
    """Survival at times, medians and restricted means after the landmark, by arm and profile.

    Times beyond an arm's last follow-up are left out, and so is the restricted mean where follow-up
    ends before the horizon: they would be extrapolation. A median beyond it is kept and said to be so.
    """
    parts = []
    for f in fits:
        data, measure = f.job.data, f.job.measure
        follow_up = dict(zip(data.arms, f.fit["constant_data"]["last_follow_up"].values, strict=True))
        drawn = f.survival
        if drawn is None:
            drawn = survival_quantities(f.job, f.fit, times=times, horizon=horizon, profiles=profiles)
        for quantity, draws in drawn.items():
            table = summarise(draws, ci_prob=ci_prob, interval=interval, limits=False)
            table = table.rename(columns={"interval_kind": "interval"})
            if quantity != "survival":
                table["time"] = horizon if quantity == "rmst" else np.nan
            reach = table["estimate"] if quantity == "median" else table["time"]
            table = table.assign(
                **about_job(f.job) | {"measure": measure.label},
                quantity=quantity,
                profile=[profile_label(measure, s) for s in table["shrinkage"]],
                beyond_follow_up=reach > table[ARM].map(follow_up),
            )
            # an arm that has nobody left at this landmark would show nothing but its prior
            has_patients = table[ARM].map(dict(zip(data.arms, data.n_by_arm > 0, strict=True)))
            parts.append(table[has_patients & ((quantity == "median") | ~table["beyond_follow_up"])])
    columns = [*ABOUT, ARM, "profile", "quantity", "time", "beyond_follow_up"]
    columns += ["estimate", "lower", "upper", "level", "interval", "mcse", "ess_bulk", "rhat"]
    return pd.concat(parts, ignore_index=True)[columns]


def survival_quantities(
    job: Job, fit: xr.DataTree, *, times: Sequence[float], horizon: float, profiles: Sequence[float]
) -> dict[str, xr.DataArray]:
    """The draws behind the survival table: survival at times, restricted mean and median by profile."""
    points = (0.0, job.measure.threshold) if isinstance(job.measure, Response) else profiles
    if isinstance(job.measure, WithoutShrinkage):
        points = (0.0,)
    return {
        "survival": survival(fit, times, shrinkage=points),
        "rmst": rmst(fit, horizon=horizon, shrinkage=points),
        "median": median_survival(fit, shrinkage=points),
    }


def of_last(function: Callable[[xr.DataTree], Drawn]) -> Callable[[xr.DataTree], Drawn]:
    """``function``, worked out once for the last fit that it is asked of: gate and table look at one fit."""
    last: list[tuple[xr.DataTree, Drawn]] = []

    def found(fit: xr.DataTree) -> Drawn:
        if not last or last[0][0] is not fit:
            last[:] = [(fit, function(fit))]
        return last[0][1]

    return found


def primary(fits: Sequence[Fitted], endpoint: str = PFS) -> list[Fitted]:
    """The fits of one endpoint with shrinkage as a continuous score, or, if there are none, of the first way
    in which it enters; true landmarks first."""
    own = [f for f in fits if f.job.endpoint == endpoint]
    first = next((f.job.measure for f in own if isinstance(f.job.measure, Shrinkage)), own[0].job.measure)
    own = [f for f in own if f.job.measure == first]
    return sorted(own, key=lambda f: f.job.landmark.biased)


def prior_table(fitted: Fitted, hazard: Hazard) -> pd.DataFrame:
    """Every prior: parameter, what was stated, the distribution, and what it implies by simulation."""
    implied, rows = _implications(fitted), []
    order = [field.name for field in fields(Priors)]
    free = {name: each for name, each in free_variables(hazard, fitted.job.data).items() if each.key}
    for name, (prior, _, _, words, *_) in sorted(free.items(), key=lambda item: order.index(item[1].key)):
        if isinstance(fitted.job.measure, Response):
            words = words.replace("of shrinkage", "of response against none")
        rows.append(
            {
                "parameter": words,
                "statement": prior.statement or "-",
                "distribution": _distribution(prior),
                "implies": implied.get(name, "nothing by itself" if isinstance(prior, Flat) else "-"),
            }
        )
    return pd.DataFrame(rows)


def _distribution(prior: Prior) -> str:
    if isinstance(prior, Flat):
        return "flat, improper"
    if isinstance(prior, HalfNormal):
        return f"half-normal, SD {significant(prior.sd)}"
    return f"normal, mean {significant(prior.mean)}, SD {significant(prior.sd)}"


def _implications(fitted: Fitted) -> dict[str, str]:
    """Central 95 % prior intervals of what a reader can judge; nothing for improper priors."""
    before = before_data(fitted.fit)
    if before is None:
        return {}
    first = {ARM: 0}
    median = median_survival(before).isel(first)
    year = survival(before, [12.0]).isel(first)
    implied = dict.fromkeys(("level", "log_baseline"), f"median survival: {format_range(median)} months")
    implied |= {"step_sd": f"survival at 12 months: {format_range(year)}"}
    if SLOPE in before["posterior"]:
        ratio = hazard_ratio(before).isel(first)
        slope = f"hazard ratio per 10 points: {format_range(ratio)}; per 30 points: {format_range(ratio**3)}"
        if isinstance(fitted.job.measure, Response):
            slope = f"hazard ratio of response against none: {format_range(ratio)}"
        implied |= dict.fromkeys((SLOPE, "common_slope"), slope)
    if ARM_EFFECT in before["posterior"]:
        implied[ARM_EFFECT] = f"arm hazard ratio: {format_range(arm_hazard_ratio(before).isel(first))}"
    for quantity in OVER_TIME:
        if quantity.at and quantity.step_sd and quantity.used(before["posterior"]):
            late, early = quantity.at(before, [24.0, 12.0]).isel(first).transpose("time", ...)
            change = f"hazard ratio at 24 months over that at 12: {format_range(late / early)}"
            implied[quantity.step_sd] = change
    if COVARIATE_EFFECT in before["posterior"]:
        ratios = covariate_hazard_ratio(before).isel({COVARIATE: 0})
        implied[COVARIATE_EFFECT] = f"hazard ratio: {format_range(ratios)}"
    return implied


def diagnostics_table(fits: Sequence[Fitted]) -> pd.DataFrame:
    """One row a fit: the worst value of each check, and whether the gate was passed."""
    table = gate_table(fits).pivot(index="fit", columns="check", values="worst")
    order = list(dict.fromkeys(check for f in fits for check in f.gate.table["check"]))
    passed = {f.job.label: "passed" if f.gate.passed else "FAILED" for f in fits}
    attempts = {f.job.label: f.fit.attrs.get("attempts", 1) for f in fits}
    table = table.loc[list(passed), order].assign(attempts=attempts, gate=passed)
    return table.rename_axis(columns=None).reset_index()
