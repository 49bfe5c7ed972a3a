"""The tidy tables of a run, computed from its fits; these are the CSV files and the report's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net import estimands, tables
from bayes_net._notebook import shown
from bayes_net.checks import Gate, gate, loo
from bayes_net.closed_form import free_variables
from bayes_net.exposure import Exposure, Measure, Shrinkage
from bayes_net.landmarks import Landmark, LandmarkSet
from bayes_net.patient_influence import most_influential
from bayes_net.power import power_scaling, tipping_factor
from bayes_net.priors import Flat, HalfNormal, Prior
from bayes_net.schema import (
    ARM,
    ARM_EFFECT,
    COVARIATE,
    COVARIATE_EFFECT,
    EQUIVALENCE,
    LOG_HAZARD,
    PFS,
    POINTS_PER_UNIT,
)
from bayes_net.structure import Hazard

HAZARD_RATIO_BOUNDS = {"prob_below_1": (0, 1), "prob_below_0.8": (0, 0.8), "prob_0.9_to_1.11": EQUIVALENCE}


@dataclass(frozen=True, eq=False)
class Job:
    """One model to fit: an endpoint's patients at one landmark, and how shrinkage enters.

    ``concerned`` says whose follow-up after censoring is to be imputed (None: nobody's, the ordinary fit).
    """

    endpoint: str
    population: str
    landmark: Landmark
    measure: Measure
    data: Exposure
    concerned: np.ndarray | None = None

    @property
    def analysis(self) -> str:
        """Name of the endpoint and measure, fit for a file or a group: ``pfs_shrinkage``."""
        measure = (
            "shrinkage" if isinstance(self.measure, Shrinkage) else f"response_{self.measure.threshold:g}"
        )
        return f"{self.endpoint}_{measure}"

    @property
    def label(self) -> str:
        """What was fitted, in words: endpoint, measure, landmark."""
        return f"{self.endpoint.upper()}, {self.measure.label}, {self.landmark.label}"


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was fitted (``job``: endpoint, landmark, measure, patients), its posterior, gate and LOO."""

    job: Job
    fit: xr.DataTree
    gate: Gate
    loo: dict[str, float]

    def __repr__(self) -> str:
        gate = "gate passed" if self._sound else "GATE FAILED"
        return f"<fit: {self.job.label}, {self.job.data!r}, {gate}>"

    @property
    def _sound(self) -> bool:
        """Whether checks were made and every one of them passed."""
        return bool(len(self.gate.table) and self.gate.table["passed"].eq(True).all())

    def _repr_html_(self) -> str:
        ratios = hazard_ratio_table([self], level=0.95, interval="equal-tailed")
        ratios = ratios[ratios["measure"] != "shrinkage, per 1 point"]
        checks = self.gate.table
        failed = [f"{row.check} {row.worst:.4g}" for row in checks[~checks["passed"].eq(True)].itertuples()]
        unusable = f"Do not use these numbers: {', '.join(failed) or 'no checks'}"
        told = "Gate passed" if self._sound else unusable
        return shown(
            self.job.label if self._sound else f"GATE FAILED: {self.job.label}",
            [f"Population: {self.job.population}", told],
            tables={
                f"{measure}; {estimand}": tables.hazard_ratio_table(rows)
                for (measure, estimand), rows in ratios.groupby(["measure", "estimand"], sort=False)
            },
            folded={"All checks": tables.plain_table(checks, digits=4)},
        )


def fitted(landmarks: LandmarkSet, label: str, data: Exposure, fit: xr.DataTree) -> Fitted:
    """The fit of one landmark's exposure with its gate and leave-one-patient-out result, ready for tables."""
    at = next(landmark for landmark in landmarks.landmarks if landmark.label == label)
    return checked(Job(landmarks.endpoint, landmarks.population, at, data.measure, data), fit)


def checked(job: Job, fit: xr.DataTree, others: Mapping[str, xr.DataArray] | None = None) -> Fitted:
    """A job's fit with its gate and its LOO.

    ``others`` are draws that will be reported beside the hazard ratios and baseline hazards. A fit to
    imputed follow-up has no LOO: what it predicts is not what was observed.
    """
    known = loo(fit) if "log_likelihood" in fit.children else {}
    return Fitted(job, fit, gate(fit, reported_quantities(fit) | dict(others or {})), known)


def reported_quantities(fit: xr.DataTree) -> dict[str, xr.DataArray]:
    """The draws behind the hazard-ratio table and the baseline hazards."""
    named = {"hazard ratio": estimands.hazard_ratio(fit), "log hazard": fit["posterior"][LOG_HAZARD]}
    if _arms_differ(fit):
        named["ratio of hazard ratios"] = estimands.interaction(fit)
    if ARM_EFFECT in fit["posterior"]:
        named["arm hazard ratio"] = estimands.arm_hazard_ratio(fit)
    if COVARIATE_EFFECT in fit["posterior"]:
        named["covariate hazard ratio"] = estimands.covariate_hazard_ratio(fit)
    return named


def _arms_differ(fit: xr.DataTree) -> bool:
    """Whether arms have slopes of their own: with a common one their ratio is 1 by assumption."""
    return fit["posterior"].sizes[ARM] > 1 and "common_slope" not in fit["posterior"]


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
        power_scaling(f.fit).rename(columns={"label": ARM}).assign(**_about(f.job)).drop(columns="quantity")
        for f in fits
        if "slope" in f.fit["posterior"] and {"log_prior", "log_likelihood"} <= set(f.fit.children)
    ]
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    return table[[*_ABOUT, ARM, "component", "sensitivity", "shift", "reading"]]


def influence_table(found: Sequence[tuple[Fitted, xr.Dataset]]) -> pd.DataFrame:
    """The largest change that leaving out any one patient makes: one row a fit and arm.

    ``found`` are fits and what ``influence`` says of them. Columns: what it is about, and those of
    ``most_influential``.
    """
    if not found:
        return pd.DataFrame()
    parts = [most_influential(own).assign(**_about(f.job)) for f, own in found]
    table = pd.concat(parts, ignore_index=True)
    return table[[*_ABOUT, *(name for name in table if name not in _ABOUT)]]


def tipping_table(fits: Sequence[Fitted], bands: Sequence[float]) -> pd.DataFrame:
    """How biased each hazard ratio would have to be to lose the band its direction is in.

    Columns: what it is about, arm, ``band`` (the highest of ``bands`` that the probability of a direction
    reaches; missing where it reaches none) and ``factor`` (``power_scaling.tipping_factor``).
    """
    rows = []
    for f in fits:
        ratios = estimands.hazard_ratio(f.fit)
        below = estimands.probability(ratios, below=1)
        for arm in ratios[ARM].values:
            own = float(below.sel({ARM: arm}))
            band = next((band for band in bands if max(own, 1 - own) >= band), np.nan)
            known = not np.isnan(band)
            factor = float(tipping_factor(ratios.sel({ARM: arm}), band)) if known else np.nan
            rows.append(_about(f.job) | {ARM: arm, "band": band, "factor": factor})
    return pd.DataFrame(rows)


_ABOUT = ("endpoint", "population", "measure", "landmark", "biased")


def _about(job: Job) -> dict[str, object]:
    measure = next(_scales(job.measure))[0]
    return dict(
        zip(
            _ABOUT,
            (job.endpoint, job.population, measure, job.landmark.label, job.landmark.biased),
            strict=True,
        )
    )


def hazard_ratio_table(fits: Sequence[Fitted], *, level: float, interval: str) -> pd.DataFrame:
    """Posterior hazard ratios: one row an estimand, landmark and arm, with probabilities and errors."""
    rows = [
        _hazard_ratio_rows(f, measure, estimand, ratios, level, interval)
        for f in fits
        for measure, estimand, ratios in _ratios(f)
    ]
    return pd.concat(rows, ignore_index=True)


def _ratios(fitted: Fitted) -> Iterator[tuple[str, str, xr.DataArray]]:
    fit, measure = fitted.fit, fitted.job.measure
    scales = list(_scales(measure))
    for name, per in scales:
        yield name, "association", estimands.hazard_ratio(fit, per=per)
        if _arms_differ(fit):
            yield name, "interaction", estimands.interaction(fit, per=per)
    name = scales[0][0]
    if ARM_EFFECT in fit["posterior"]:
        yield _reference_label(measure), "arm", estimands.arm_hazard_ratio(fit).isel(shrinkage=0, drop=True)
    if COVARIATE_EFFECT in fit["posterior"]:
        yield name, "covariate", estimands.covariate_hazard_ratio(fit).rename({COVARIATE: ARM})


def _scales(measure: Measure) -> Iterator[tuple[str, float]]:
    """Names of the scales on which a hazard ratio is reported, and the points of each."""
    if isinstance(measure, Shrinkage):
        yield from (("shrinkage, per 10 points", 10.0), ("shrinkage, per 1 point", 1.0))
    else:
        yield measure.label.replace("response", "response,"), POINTS_PER_UNIT


def _reference_label(measure: Measure) -> str:
    """Whom the arms' hazard ratio is about: patients at the reference, for with slopes it varies."""
    if isinstance(measure, Shrinkage):
        return f"at {profile_label(measure, measure.reference)}"
    return f"without {measure.label.replace('response', 'response,')}"


def _hazard_ratio_rows(
    fitted: Fitted, measure: str, estimand: str, ratios: xr.DataArray, level: float, interval: str
) -> pd.DataFrame:
    job, logs = fitted.job, np.log(ratios)
    table = estimands.summarise(ratios, prob=level, interval=interval)
    table = table.rename(columns={"estimate": "hr", "mcse": "mcse_hr", "interval_kind": "interval"})
    for name, (above, below) in HAZARD_RATIO_BOUNDS.items():
        table[name] = estimands.probability(ratios, above=above, below=below).values
    counts = {
        arm: (n, d)
        for arm, n, d in zip(job.data.arms, job.data.n_by_arm, job.data.events.sum(1), strict=True)
    }
    whole = (job.data.n, job.data.event.sum())
    table = table.assign(
        endpoint=job.endpoint,
        population=job.population,
        measure=measure,
        estimand=estimand,
        landmark=job.landmark.label,
        biased=job.landmark.biased,
        n=[(counts[a] if estimand == "association" else whole)[0] for a in table[ARM]],
        events=[int((counts[a] if estimand == "association" else whole)[1]) for a in table[ARM]],
        log_mean=logs.mean(("chain", "draw")).values,
        log_sd=logs.std(("chain", "draw"), ddof=1).values,
        gate="passed" if fitted.gate.passed else "failed",
    )
    columns = ["endpoint", "population", "measure", "estimand", "landmark", "biased", ARM, "n", "events"]
    columns += ["hr", "lower", "upper", "level", "interval", "log_mean", "log_sd", *HAZARD_RATIO_BOUNDS]
    columns += ["mcse_hr", "mcse_lower", "mcse_upper", "ess_bulk", "ess_tail", "rhat", "gate"]
    return table[columns]


def survival_table(
    fits: Sequence[Fitted],
    *,
    times: Sequence[float],
    horizon: float,
    profiles: Sequence[float],
    level: float,
    interval: str,
) -> pd.DataFrame:
    """Survival at times, medians and restricted means after the landmark, by arm and profile.

    Times beyond an arm's last follow-up are left out, and so is the restricted mean where follow-up
    ends before the horizon: they would be extrapolation. A median beyond it is kept and said to be so.
    """
    parts = [
        part.assign(
            endpoint=f.job.endpoint,
            population=f.job.population,
            measure=f.job.measure.label,
            landmark=f.job.landmark.label,
            biased=f.job.landmark.biased,
        )
        for f in fits
        for part in _survival_parts(f, times, horizon, profiles, level, interval)
    ]
    columns = ["endpoint", "population", "measure", "landmark", "biased", ARM, "profile", "quantity", "time"]
    columns += ["beyond_follow_up"]
    columns += ["estimate", "lower", "upper", "level", "interval", "mcse", "ess_bulk", "rhat"]
    return pd.concat(parts, ignore_index=True)[columns]


def _survival_parts(f: Fitted, times, horizon, profiles, level, interval) -> Iterator[pd.DataFrame]:
    follow_up = dict(zip(f.job.data.arms, f.fit["constant_data"]["last_follow_up"].values, strict=True))
    drawn = survival_quantities(f.job, f.fit, times=times, horizon=horizon, profiles=profiles)
    for quantity, draws in drawn.items():
        table = estimands.summarise(draws, prob=level, interval=interval, limits=False)
        table = table.rename(columns={"interval_kind": "interval"})
        if quantity != "survival":
            table["time"] = horizon if quantity == "rmst" else np.nan
        end = table[ARM].map(follow_up)
        reach = table["estimate"] if quantity == "median" else table["time"]
        table = table.assign(
            quantity=quantity,
            profile=[profile_label(f.job.measure, s) for s in table["shrinkage"]],
            beyond_follow_up=reach > end,
        )
        # an arm that has nobody left at this landmark would show nothing but its prior
        has_patients = table[ARM].map(dict(zip(f.job.data.arms, f.job.data.n_by_arm > 0, strict=True)))
        yield table[has_patients & ((quantity == "median") | ~table["beyond_follow_up"])]


def survival_quantities(
    job: Job, fit: xr.DataTree, *, times: Sequence[float], horizon: float, profiles: Sequence[float]
) -> dict[str, xr.DataArray]:
    """The draws behind the survival table: survival at times, restricted mean and median by profile."""
    points = profiles if isinstance(job.measure, Shrinkage) else (0.0, job.measure.threshold)
    return {
        "survival": estimands.survival(fit, times, shrinkage=points),
        "rmst": estimands.rmst(fit, horizon=horizon, shrinkage=points),
        "median": estimands.median_survival(fit, shrinkage=points),
    }


def profile_label(measure: Measure, shrinkage: float) -> str:
    """In words, a patient with ``shrinkage`` points at the landmark."""
    if not isinstance(measure, Shrinkage):
        return (
            f">= {measure.threshold:g} % smaller"
            if shrinkage >= measure.threshold
            else f"< {measure.threshold:g} % smaller"
        )
    if shrinkage == 0:
        return "size unchanged"
    return f"{abs(shrinkage):g} % {'smaller' if shrinkage > 0 else 'larger'}"


def primary(fits: Sequence[Fitted], endpoint: str = PFS) -> list[Fitted]:
    """The fits of one endpoint with shrinkage as a continuous score, true landmarks first."""
    own = [f for f in fits if f.job.endpoint == endpoint and isinstance(f.job.measure, Shrinkage)]
    return sorted(own, key=lambda f: f.job.landmark.biased)


def prior_table(fitted: Fitted, hazard: Hazard) -> pd.DataFrame:
    """Every prior: parameter, what was stated, the distribution, and what it implies by simulation."""
    implied = _implications(fitted)
    rows, free = [], free_variables(hazard, fitted.job.data)
    for name, words in _PARAMETERS.items():
        if name in free:
            prior = free[name][0]
            if not isinstance(fitted.job.measure, Shrinkage):
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


_PARAMETERS = {
    "level": "time-averaged log hazard per month",
    "log_baseline": "log hazard per month of each interval",
    "step_sd": "SD of the log hazard's change over a year",
    "slope": "log hazard ratio of shrinkage, each arm",
    "common_slope": "log hazard ratio of shrinkage, all arms",
    ARM_EFFECT: "log hazard ratio of the arm",
    COVARIATE_EFFECT: "log hazard ratio of each covariate",
}


def _distribution(prior: Prior) -> str:
    if isinstance(prior, Flat):
        return "flat, improper"
    if isinstance(prior, HalfNormal):
        return f"half-normal, SD {prior.sd:.3g}"
    return f"normal, mean {prior.mean:.3g}, SD {prior.sd:.3g}"


def _implications(fitted: Fitted) -> dict[str, str]:
    """Central 95 % prior intervals of what a reader can judge; nothing for improper priors."""
    if "prior" not in fitted.fit.children:
        return {}
    before = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs=fitted.fit.attrs),
            "posterior": fitted.fit["prior"].to_dataset(),
            "constant_data": fitted.fit["constant_data"].to_dataset(),
        }
    )
    first = {ARM: 0}
    median = estimands.median_survival(before).isel(first)
    year = estimands.survival(before, [12.0]).isel(first)
    ratio, unit = estimands.hazard_ratio(before).isel(first), "per 10 points"
    if not isinstance(fitted.job.measure, Shrinkage):
        unit = "of response against none"
    slope = f"hazard ratio {unit}: {_range(ratio)}"
    if isinstance(fitted.job.measure, Shrinkage):
        slope += f"; per 30 points: {_range(ratio**3)}"
    implied = dict.fromkeys(("level", "log_baseline"), f"median survival: {_range(median)} months")
    implied |= {"step_sd": f"survival at 12 months: {_range(year)}"} | dict.fromkeys(
        ("slope", "common_slope"), slope
    )
    if ARM_EFFECT in before["posterior"]:
        implied[ARM_EFFECT] = f"arm hazard ratio: {_range(estimands.arm_hazard_ratio(before).isel(first))}"
    if COVARIATE_EFFECT in before["posterior"]:
        ratios = estimands.covariate_hazard_ratio(before).isel({COVARIATE: 0})
        implied[COVARIATE_EFFECT] = f"hazard ratio: {_range(ratios)}"
    return implied


def _range(values: xr.DataArray) -> str:
    lower, upper = np.quantile(values, (0.025, 0.975))
    return f"{tables.format_plainly(lower)} to {tables.format_plainly(upper)} (95 %)"


def diagnostics_table(fits: Sequence[Fitted]) -> pd.DataFrame:
    """One row a fit: the worst value of each check, and whether the gate was passed."""
    table = gate_table(fits).pivot(index="fit", columns="check", values="worst")
    order = list(dict.fromkeys(fits[0].gate.table["check"]))
    passed = {f.job.label: "passed" if f.gate.passed else "FAILED" for f in fits}
    attempts = {f.job.label: f.fit.attrs.get("attempts", 1) for f in fits}
    table = table.loc[list(passed), order].assign(attempts=attempts, gate=passed)
    return table.rename_axis(columns=None).reset_index()
