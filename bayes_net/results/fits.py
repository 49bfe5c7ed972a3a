"""A fit with its gate, and the hazard ratios that it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net import schema
from bayes_net.checks.gate import Gate, gate, loo
from bayes_net.data.exposure import Exposure
from bayes_net.data.gauss import UncertainExposure
from bayes_net.data.landmarks import Landmark, LandmarkSet
from bayes_net.data.terms import Measure, Shrinkage, TrueShrinkage, WithoutShrinkage
from bayes_net.display import notebook_html
from bayes_net.estimands.ratios import (
    arm_hazard_ratio,
    changing,
    covariate_hazard_ratio,
    covariate_interaction,
    hazard_ratio,
    interaction,
)
from bayes_net.estimands.summary import imputation_variances, probability, summarise
from bayes_net.labels import landmark_labels
from bayes_net.numbers import listed_and, plain_table, significant
from bayes_net.results.columns import HAZARD_RATIO_BOUNDS, TRUE_PER_10_POINTS, hazard_ratio_columns

AGAINST = "against "
"""How the measure of an arm's hazard ratio begins where it is the same at every shrinkage."""
_SHOWN = ("landmark", "arm", "n", "events", "hr", "lower", "upper", "gate")


def population_name(risk_set: str, intention_to_treat: bool) -> str:
    """How tables name a population: by intention to treat it has others in it than without."""
    return f"{risk_set}{', intention to treat' * intention_to_treat}"


@dataclass(frozen=True, eq=False)
class Job:
    """One model to fit: an endpoint's patients at one landmark, and how shrinkage enters.

    ``risk_set`` are those who are followed: a population of landmarks, or ``SCANNED``.
    ``concerned`` says whose follow-up after censoring is to be imputed (None: nobody's, the ordinary fit);
    responders have shrunk by ``apart`` points more than others (None: not known). ``transition`` is the step
    from state to state that it is about ("": it is about the endpoint itself). Where covariates are missing,
    ``completed`` has the exposure of each imputation, of which ``data`` is the first.
    """

    endpoint: str
    risk_set: str
    landmark: Landmark
    measure: Measure
    data: Exposure
    concerned: np.ndarray | None = None
    apart: float | None = None
    transition: str = ""
    completed: tuple[Exposure, ...] = ()
    intention_to_treat: bool = False

    @property
    def population(self) -> str:
        """The population as tables name it."""
        return population_name(self.risk_set, self.intention_to_treat)

    @property
    def joint(self) -> bool:
        """Whether it is about all follow-up, with shrinkage so far, and not about one landmark."""
        return self.landmark.label == schema.ANY_TIME

    @property
    def uncertain(self) -> bool:
        """Whether it is about true shrinkage, which scans measure with error."""
        return isinstance(self.data, UncertainExposure)

    @property
    def analysis(self) -> str:
        """Name of the endpoint and measure, fit for a file or a group: ``pfs_shrinkage``."""
        of = self.transition.replace(" ", "_") or self.endpoint
        return f"{of}_{self.measure.key}{'_any_time' * self.joint}"

    @property
    def label(self) -> str:
        """What was fitted, in words: endpoint, measure, landmark."""
        of = self.transition or self.endpoint.upper()
        return f"{of}, {self.measure.label}, {self.landmark.label}"


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was fitted (``job``: endpoint, landmark, measure, patients), its posterior, gate and LOO.

    ``survival`` are the draws of the survival table where the gate has looked at them already.
    """

    job: Job
    fit: xr.DataTree
    gate: Gate
    loo: dict[str, float]
    survival: Mapping[str, xr.DataArray] | None = None

    def __repr__(self) -> str:
        gate = "gate passed" if self._sound else "GATE FAILED"
        return f"<fit: {self.job.label}, {self.job.data!r}, {gate}>"

    @property
    def _sound(self) -> bool:
        """Whether checks were made and every one of them passed."""
        return bool(len(self.gate.table) and self.gate.table["passed"].eq(True).all())

    def _repr_html_(self) -> str:
        ratios = hazard_ratio_table([self], ci_prob=0.95, interval="equal-tailed")
        ratios = ratios[ratios["measure"] != schema.PER_1_POINT]
        checks = self.gate.table
        failed = [
            f"{row.check} {significant(row.worst, 4)}"
            for row in checks[~checks["passed"].eq(True)].itertuples()
        ]
        unusable = f"Do not use these numbers: {', '.join(failed) or 'no checks'}"
        verdict = "Gate passed" if self._sound else unusable
        return notebook_html(
            self.job.label if self._sound else f"GATE FAILED: {self.job.label}",
            [f"Population: {self.job.population}", verdict],
            tables={
                f"{measure}; {estimand}": plain_table(
                    rows.assign(landmark=landmark_labels(rows))[list(_SHOWN)]
                )
                for (measure, estimand), rows in ratios.groupby(["measure", "estimand"], sort=False)
            },
            folded={"All checks": plain_table(checks, digits=4)},
        )


def fitted(landmarks: LandmarkSet, label: str, data: Exposure, fit: xr.DataTree) -> Fitted:
    """The fit of one landmark's exposure with its gate and leave-one-patient-out result, ready for tables."""
    at = next(landmark for landmark in landmarks.landmarks if landmark.label == label)
    job = Job(landmarks.endpoint, landmarks.population, at, data.measure, data)
    # of imputed follow-up there is no LOO: what the fit predicts is not what was observed
    known = loo(fit) if "log_likelihood" in fit.children else {}
    return Fitted(job, fit, gate(fit, reported_quantities(fit)), known)


def reported_quantities(fit: xr.DataTree) -> dict[str, xr.DataArray]:
    """The draws behind the hazard-ratio table and the baseline hazards."""
    named = {"log hazard": fit["posterior"][schema.LOG_HAZARD]}
    if schema.SLOPE in fit["posterior"]:
        named["hazard ratio"] = hazard_ratio(fit)
    for quantity in changing(posterior := fit["posterior"].to_dataset()):
        named[f"log {quantity.in_words}"] = np.log(quantity.by_interval(posterior))
    if _arms_differ(fit):
        named["ratio of hazard ratios"] = interaction(fit)
    if schema.ARM_EFFECT in fit["posterior"]:
        named["arm hazard ratio"] = arm_hazard_ratio(fit)
    if schema.COVARIATE_EFFECT in fit["posterior"]:
        named["covariate hazard ratio"] = covariate_hazard_ratio(fit)
        if (between := covariate_interaction(fit)).size:
            named["ratio of covariate hazard ratios"] = between
    return named


def _arms_differ(fit: xr.DataTree) -> bool:
    """Whether arms have slopes of their own: with a common one their ratio is 1 by assumption."""
    several = fit["posterior"].sizes[schema.ARM] > 1 and schema.SLOPE in fit["posterior"]
    return several and "common_slope" not in fit["posterior"]


def hazard_ratio_table(fits: Sequence[Fitted], *, ci_prob: float, interval: str) -> pd.DataFrame:
    """Posterior hazard ratios: one row an estimand, landmark and arm, with probabilities and errors."""
    rows = pd.concat([_hazard_ratio_rows(f, ci_prob, interval) for f in fits], ignore_index=True)
    return hazard_ratio_columns(rows)


def _ratios(fitted: Fitted) -> Iterator[tuple[str, str, xr.DataArray]]:
    fit, measure = fitted.fit, fitted.job.measure
    scales = list(reported_scales(measure))
    for name, per in scales if schema.SLOPE in fit["posterior"] else ():
        yield name, schema.ASSOCIATION, hazard_ratio(fit, per=per)
        if _arms_differ(fit):
            yield name, "interaction", interaction(fit, per=per)
    name = scales[0][0]
    if schema.ARM_EFFECT in fit["posterior"]:
        yield _reference_label(fitted.job), "arm", arm_hazard_ratio(fit).isel(shrinkage=0, drop=True)
    # what is the same in all patients has the hazard ratio of the prior, which is no result
    varies = np.flatnonzero(np.ptp(fitted.job.data.covariates, axis=0) > 0)
    if schema.COVARIATE_EFFECT in fit["posterior"] and len(varies):
        ratios = covariate_hazard_ratio(fit).isel({schema.COVARIATE: varies})
        between = covariate_interaction(fit, among=ratios[schema.COVARIATE].values.tolist())
        for each in (ratios, between)[: 1 + bool(between.size)]:
            yield name, "covariate", each.rename({schema.COVARIATE: schema.ARM})


def missing_information_table(fits: Sequence[Fitted]) -> pd.DataFrame:
    """What is not known of each hazard ratio because covariates are missing, of the fits to imputed ones.

    Columns: what it is about, the SD of its logarithm ``within`` an imputation and ``between`` imputations,
    and ``missing_information``, the share of its variance that is from not knowing the missing values (Rubin
    1987, doi:10.1002/9780470316696).
    """
    rows = []
    for f in (f for f in fits if f.job.completed):
        job = f.job
        for measure, estimand, draws in _ratios(f):
            within, between = imputation_variances(np.log(draws))
            about = [job.endpoint, job.population, measure, estimand, job.landmark.label, job.landmark.biased]
            for arm in draws[schema.ARM].values:
                w, of_draws = float(within.sel({schema.ARM: arm})), float(between.sel({schema.ARM: arm}))
                m = len(job.completed)
                b = of_draws * (m - 1) / (m + 1)  # as it was before draws were widened
                rows.append([*about, arm, w**0.5, b**0.5, (1 + 1 / m) * b / (w + (1 + 1 / m) * b)])
    names = ["endpoint", "population", "measure", "estimand", "landmark", "biased", schema.ARM]
    return pd.DataFrame(rows, columns=[*names, "within", "between", "missing_information"])


def reported_scales(measure: Measure) -> Iterator[tuple[str, float]]:
    """Names of the scales on which a hazard ratio is reported, and the points of each."""
    if isinstance(measure, TrueShrinkage):
        yield TRUE_PER_10_POINTS, 10.0
    elif isinstance(measure, Shrinkage):
        yield from ((schema.PER_10_POINTS, 10.0), (schema.PER_1_POINT, 1.0))
    else:
        yield measure.label.replace("response >=", "response, >="), schema.POINTS_PER_UNIT


def _reference_label(job: Job) -> str:
    """Whom the arms' hazard ratio is about: patients at the reference, for with slopes it varies, and so it
    does with covariates whose hazard ratios are each arm's own; without any, which arm they are compared
    with."""
    measure, own = job.measure, [each.name for each in job.data.terms if each.arms]
    at = f", {listed_and(own)} at reference" if own else ""
    if isinstance(measure, WithoutShrinkage):
        return f"{AGAINST}{job.data.arms[0]}{at}"
    if isinstance(measure, Shrinkage):
        true = ", in truth" if isinstance(measure, TrueShrinkage) else ""
        return f"at {profile_label(measure, measure.reference)}{true}{at}"
    return f"without {measure.label.replace('response', 'response,')}{at}"


def before_data(fit: xr.DataTree) -> xr.DataTree | None:
    """The fit with draws of the prior in the place of the posterior's, of which estimands can be had; None
    where the prior was not drawn (it is improper, or the fit is brief)."""
    if "prior" not in fit.children:
        return None
    groups = {name: fit[name].to_dataset() for name in ("prior", "constant_data")}
    # a prior of hazards is judged by the survival that they would mean, whatever the data are
    groups["constant_data"] = groups["constant_data"].drop_vars("in_stretches", errors="ignore")
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs=fit.attrs),
            "posterior": groups["prior"],
            "constant_data": groups["constant_data"],
        }
    )


def _rows(parts: Sequence[tuple[str, str, xr.DataArray]]) -> xr.DataArray:
    """Hazard ratios of all parts under each other, dims (row, chain, draw)."""
    first = parts[0][2].drop_vars(schema.ARM).coords
    draws = np.concatenate([x.transpose(schema.ARM, *schema.SAMPLE_DIMS).values for _, _, x in parts])
    return xr.DataArray(draws, first, dims=("row", *schema.SAMPLE_DIMS))


def _hazard_ratio_rows(fitted: Fitted, ci_prob: float, interval: str) -> pd.DataFrame:
    job, parts, before = fitted.job, list(_ratios(fitted)), before_data(fitted.fit)
    labels = [(measure, estimand, arm) for measure, estimand, x in parts for arm in x[schema.ARM].values]
    ratios = _rows(parts)
    prior = None if before is None else np.log(_rows(list(_ratios(replace(fitted, fit=before)))))
    table = ratio_summary(ratios, np.log(ratios), ci_prob=ci_prob, interval=interval, prior=prior)
    about = pd.DataFrame(labels, columns=["measure", "estimand", schema.ARM])
    counts = {
        arm: (n, int(d))
        for arm, n, d in zip(job.data.arms, job.data.n_by_arm, job.data.events.sum(1), strict=True)
    }
    whole = (job.data.n, int(job.data.event.sum()))
    patients = [counts[arm] if estimand == schema.ASSOCIATION else whole for _, estimand, arm in labels]
    about[["n", "events"]] = patients
    common = {
        "endpoint": job.endpoint,
        "population": job.population,
        "landmark": job.landmark.label,
        "biased": job.landmark.biased,
        "gate": schema.PASSED if fitted.gate.passed else schema.FAILED,
    }
    return pd.concat([about, table.drop(columns="row")], axis=1).assign(**common)


def ratio_summary(
    ratios: xr.DataArray,
    logs: xr.DataArray,
    *,
    ci_prob: float,
    interval: str = "equal-tailed",
    prior: xr.DataArray | None = None,
) -> pd.DataFrame:
    """Median, interval, region probabilities and errors of hazard ratios, one row each, with the moments of
    their logarithms ``logs``; with draws of the logarithms' ``prior`` also its SD and the contraction."""
    table = summarise(ratios, ci_prob=ci_prob, interval=interval)
    more = {
        name: probability(ratios, above=above, below=below)
        for name, (above, below) in HAZARD_RATIO_BOUNDS.items()
    }
    more |= {"log_mean": logs.mean(schema.SAMPLE_DIMS), "log_sd": logs.std(schema.SAMPLE_DIMS, ddof=1)}
    if prior is not None:
        more["prior_sd"] = prior.std(schema.SAMPLE_DIMS, ddof=1)
        more["contraction"] = 1 - more["log_sd"] / more["prior_sd"]
    table = table.rename(columns={"estimate": "hr", "mcse": "mcse_hr", "interval_kind": "interval"})
    return table.assign(**{name: np.ravel(values.values) for name, values in more.items()})


def profile_label(measure: Measure, shrinkage: float) -> str:
    """In words, a patient with ``shrinkage`` points at the landmark."""
    if isinstance(measure, WithoutShrinkage):
        return "reference"
    if not isinstance(measure, Shrinkage):
        return (
            f">= {measure.threshold:g} % smaller"
            if shrinkage >= measure.threshold
            else f"< {measure.threshold:g} % smaller"
        )
    if shrinkage == 0:
        return "size unchanged"
    return f"{abs(shrinkage):g} % {'smaller' if shrinkage > 0 else 'larger'}"


def compact(fit: xr.DataTree) -> xr.DataTree:
    """The fit without what the rest determines: the walk's standardised steps (log_hazard has them), and
    of the log-prior all but each variable's sum."""
    groups = {name: node.to_dataset() for name, node in fit.children.items()}
    for name in ("posterior", "prior"):
        if name in groups:
            groups[name] = groups[name].drop_vars(["step", "log_baseline"], errors="ignore")
            groups[name] = groups[name].drop_dims("boundary", errors="ignore")
    if "log_prior" in groups:
        groups["log_prior"] = groups["log_prior"].map(
            lambda x: x.sum([dim for dim in x.dims if dim not in schema.SAMPLE_DIMS])
        )
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=fit.attrs), **groups})


def at_landmarks(fits: Sequence[Fitted]) -> list[Fitted]:
    """The fits of single landmarks, of whose patients survival can be told: shrinkage is known at the start
    of their clock."""
    return [f for f in fits if not f.job.joint and not f.job.transition]


def of_endpoints(fits: Sequence[Fitted]) -> list[Fitted]:
    """The fits of endpoints, without those of the steps from state to state."""
    return [f for f in fits if not f.job.transition]
