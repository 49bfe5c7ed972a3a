"""What one patient does to a hazard ratio: the posterior without that patient, by importance sampling.

Leaving patient i out divides the posterior by that patient's likelihood, so the draws get weights
proportional to 1 / L_i, Pareto-smoothed (Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special

from bayes_net.assumptions.hazard import Hazard
from bayes_net.assumptions.network import Network
from bayes_net.checks.gate import HIGH_PARETO_K, MIN_SPREAD, gate, leave_one_out, relative_efficiency
from bayes_net.checks.power import reported_log_ratios, study_log_likelihood
from bayes_net.data.exposure import Exposure, subset
from bayes_net.engine.layout import layout
from bayes_net.errors import InputError
from bayes_net.estimands.diagnostics import blocks, smoothed_weights
from bayes_net.inference.arrays import published_log_likelihood
from bayes_net.schema import ARM, MOVED, PATIENT, ROW, SAMPLE_DIMS, SLOPE, STUDY


def influence(
    fit: xr.DataTree,
    data: Exposure | None = None,
    hazard: Hazard | None = None,
    *,
    most_refits: int | None = None,
    **how: Any,
) -> xr.Dataset:
    """Each arm's hazard ratio of shrinkage without each patient in turn.

    ``hr`` and ``prob_below_1`` (arm): posterior median, and Pr(HR < 1), of all patients; ``hr_without`` and
    ``prob_below_1_without`` (patient, arm); ``pareto_k`` (patient); ``refitted`` and ``reliable`` (patient).
    ``patient`` is a row number, never an identifier. Where Pareto k is above 0.7 importance sampling is not
    reliable. Given the ``data`` and ``hazard`` of the fit such patients are left out by refitting, those of
    the highest k first and at most ``most_refits``; ``how`` goes to ``bayes_net.fit`` (``shape``,
    ``sampler``), and with the shape of the fit nothing is compiled anew.

    Raises
    ------
    InputError
        The fit has no slopes or no log-likelihood of patients, or ``data`` has other patients.
    """
    from bayes_net.inference.patients import fit as fitted

    if SLOPE not in fit["posterior"] or "log_likelihood" not in fit.children:
        raise InputError(
            "the fit has no slope or no log_likelihood; expected one of bayes_net.fit with slopes"
        )
    likelihood = fit["log_likelihood"]["patients"].transpose(PATIENT, *SAMPLE_DIMS).values
    if data is not None and data.n != len(likelihood):
        raise InputError(f"data has {data.n} patients, the fit {len(likelihood)}; expected those of the fit")
    efficiency = relative_efficiency(fit["posterior"].to_dataset())
    slopes, n = _by_arm(fit), len(likelihood)
    ordered = [(arm[order], order) for arm, order in zip(slopes, slopes.argsort(axis=1), strict=True)]
    without, below, k = np.empty((n, len(slopes))), np.empty((n, len(slopes))), np.empty(n)
    for rows in blocks(likelihood):  # the weights of all would be as large as the draws
        weights, k[rows] = left_out_weights(likelihood[rows], efficiency)
        weights = weights.reshape(len(weights), -1)
        # by arm, sorted once for all patients
        without[rows] = np.transpose(
            [[_quantiles(*arm, own, [0.5])[0] for own in weights] for arm in ordered]
        )
        below[rows] = weights @ (slopes < 0).T
    refitted = np.zeros(n, bool)
    high = [i for i in np.argsort(-np.nan_to_num(k, nan=np.inf)) if not k[i] <= HIGH_PARETO_K]
    if data is not None:
        default: dict[str, Any] = {
            "seed": int(fit.attrs["seed"]),
            "shape": layout([data]),
            "brief": True,
        }
        whose = np.arange(n) if data.patient is None else np.unique(data.patient, return_inverse=True)[1]
        for i in high[:most_refits]:
            tree = fitted(subset(data, whose != i), hazard, **default | how)
            own = _by_arm(tree)
            without[i], below[i] = np.median(own, axis=1), (own < 0).mean(axis=1)
            refitted[i] = gate(tree, {"log hazard ratio": tree["posterior"][SLOPE]}).passed
    return xr.Dataset(
        {
            "hr": (ARM, np.exp(np.median(slopes, axis=1))),
            "prob_below_1": (ARM, (slopes < 0).mean(axis=1)),
            "hr_without": ((PATIENT, ARM), np.exp(without)),
            "prob_below_1_without": ((PATIENT, ARM), below),
            "pareto_k": (PATIENT, k),
            "refitted": (PATIENT, refitted),
            "reliable": (PATIENT, refitted | (k <= HIGH_PARETO_K)),
        },
        {PATIENT: np.arange(len(k)), ARM: fit["posterior"][ARM].values},
    )


def most_influential(found: xr.Dataset) -> pd.DataFrame:
    """The largest change of each arm's hazard ratio that leaving out any one patient makes: one row an arm.

    Columns: arm, hr, ``hr_without``, prob_below_1, ``prob_below_1_without``, ``pareto_k`` and ``refitted`` of
    that patient, and ``n_unreliable``, how many patients' own changes are not known.
    """
    rows = []
    for arm in found[ARM].values:
        own = found.sel({ARM: arm}, drop=True).to_dataframe()
        own = own[own["reliable"]].assign(change=lambda x: np.abs(np.log(x["hr_without"] / x["hr"])))
        row = own.loc[own["change"].idxmax()] if len(own) else pd.Series(dtype=float)
        rows.append({ARM: arm} | {name: row.get(name, np.nan) for name in _TOLD})
    return pd.DataFrame(rows).assign(n_unreliable=int((~found["reliable"]).sum()))


_TOLD = ("hr", "hr_without", "prob_below_1", "prob_below_1_without", "pareto_k", "refitted")


def _by_arm(fit: xr.DataTree) -> np.ndarray:
    """Draws of the slopes, (arm, sample)."""
    slopes = fit["posterior"][SLOPE].transpose(ARM, *SAMPLE_DIMS).values
    return slopes.reshape(len(slopes), -1)


def left_out_weights(log_likelihood: np.ndarray, efficiency: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the draws, (..., chain, draw), without what ``log_likelihood`` is of, and their Pareto k.

    A likelihood that hardly varies (a patient censored at once) leaves the weights even.
    """
    *rows, chains, draws = log_likelihood.shape
    flat = log_likelihood.reshape(-1, chains * draws)
    weights, k = np.full(flat.shape, 1 / flat.shape[1]), np.zeros(len(flat))
    varies = np.ptp(flat, axis=1) > MIN_SPREAD
    logs, k[varies] = smoothed_weights(flat[varies], efficiency)
    weights[varies] = np.exp(logs)
    return weights.reshape(log_likelihood.shape), k.reshape(rows)


def weighted_quantiles(draws: np.ndarray, weights: np.ndarray, probabilities: Sequence[float]) -> np.ndarray:
    """Quantiles of the same ``draws`` (sample,) under each row of ``weights`` (row, sample): (row, quantile).

    Between draws the distribution function is linear, through the middle of each draw's step.
    """
    order = np.argsort(draws)
    return np.array([_quantiles(draws[order], order, own, probabilities) for own in weights])


def _quantiles(
    ordered: np.ndarray, order: np.ndarray, weights: np.ndarray, probabilities: Sequence[float]
) -> np.ndarray:
    shares = weights[order]
    return np.interp(probabilities, shares.cumsum() - 0.5 * shares, ordered)


def study_influence(
    fit: xr.DataTree,
    network: Network,
    *,
    ci_prob: float,
    refits: Mapping[str, xr.DataTree] = MappingProxyType({}),
) -> pd.DataFrame:
    """What leaving out each study does to each hazard ratio: one row a hazard ratio and study.

    Columns: what the hazard ratio is about; ``without``, the study; hr, lower, upper and mcse_hr with all
    evidence; ``hr_without``, ``lower_without``, ``upper_without``; ``shift``, by how many posterior SDs the
    mean log hazard ratio moves; ``width``, the ratio of the posterior SDs; ``contraction`` and
    ``contraction_without``, 1 - posterior SD / prior SD; ``pareto_k``; ``refitted``; ``reliable``.

    Exact where ``refits`` has the fit without the study, by its name; else by Pareto-smoothed importance
    sampling (Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4) up to a Pareto k of 0.5. Above
    it what would be without the study is missing: only a refit can tell.
    """
    from arviz_stats.base import array_stats

    posterior = fit["posterior"].to_dataset()
    by_study = study_log_likelihood(posterior, network)
    about, whole = reported_log_ratios(posterior, network)
    if by_study.sizes[STUDY] < 2 or about.empty:
        return pd.DataFrame()
    prior = reported_log_ratios(fit["prior"].to_dataset(), network)[1].std(SAMPLE_DIMS, ddof=1).values
    with_all = _moments(whole, None, ci_prob)
    about[["hr", "lower", "upper"]] = np.exp(with_all["limits"])
    about["mcse_hr"] = [float(array_stats.mcse(np.exp(own), method="median")) for own in whole.values]
    about = about.assign(level=ci_prob, contraction=1 - with_all["sd"] / prior)
    parts = []
    for name in by_study[STUDY].values:
        weights, k = left_out_weights(by_study.sel({STUDY: name}).values)
        reliable = name in refits or k <= SURE_PARETO_K
        if name in refits:
            refitted = reported_log_ratios(refits[name]["posterior"].to_dataset(), network)[1]
            without = _moments(refitted, None, ci_prob)
        else:
            without = _moments(whole, weights, ci_prob)
        part = about.assign(without=name, pareto_k=k, refitted=name in refits, reliable=reliable)
        part[["hr_without", "lower_without", "upper_without"]] = np.exp(without["limits"])
        part["shift"] = (without["mean"] - with_all["mean"]) / with_all["sd"]
        part["width"] = without["sd"] / with_all["sd"]
        part["contraction_without"] = 1 - without["sd"] / prior
        if not reliable:
            part[[*(c for c in part if c.endswith("_without")), "shift", "width"]] = np.nan
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _moments(draws: xr.DataArray, weights: np.ndarray | None, ci_prob: float) -> dict[str, np.ndarray]:
    """Mean and SD, (quantity,), and median with limits, (quantity, 3), of weighted draws."""
    flat = draws.values.reshape(len(draws), -1)
    weights = np.full(flat.shape[1], 1 / flat.shape[1]) if weights is None else weights.ravel()
    mean = flat @ weights
    sd = np.sqrt(np.maximum((flat - mean[:, None]) ** 2 @ weights, 0.0))
    tails = (0.5, (1 - ci_prob) / 2, (1 + ci_prob) / 2)
    limits = np.array([weighted_quantiles(own, weights[None], tails)[0] for own in flat])
    return {"mean": mean, "sd": sd, "limits": limits}


SURE_PARETO_K = 0.5
"""Up to here a number may be left out by importance sampling. Few numbers carry a synthesis, so that the k of
most is near 1 and its estimate from draws is noisy: at the usual 0.7 an elpd can be wrong by half."""


def left_out(network: Network, names: Sequence[str]) -> Network:
    """The network without the rows or studies of these names; its shapes stay, so nothing is compiled."""
    weights: dict[str, float] = {}
    for name in names:
        of_study = list(network.rows.loc[network.rows["study"] == name, "id"])
        alone = [] if any(cohort.study == name for cohort in network.cohorts) else [name]
        weights |= dict.fromkeys(of_study or alone, 0.0)
    cohorts = tuple(replace(c, weight=0.0) if c.study in names else c for c in network.cohorts)
    return replace(network.with_power(weights), cohorts=cohorts)


WEIGHTED, REFITTED = "importance sampling", "refitted"
"""How a number was left out; what ``refit`` gives may say otherwise (its attribute ``method``)."""


def leave_one_number_out(
    fit: xr.DataTree, network: Network, refit: Callable[[Network], xr.DataTree]
) -> pd.DataFrame:
    """How well every published number is predicted by the others: one row a number.

    Columns: row, elpd, pareto_k, how. Of the k of weights 1 / likelihood at the draws as they are. Up to
    ``SURE_PARETO_K`` these are what is used: PSIS-LOO (Vehtari, Gelman and Gabry 2017,
    doi:10.1007/s11222-016-9696-4). Else, and of points of curves that do not feed back, ``refit`` gives the
    posterior of the network without the number, in the order of rows, and by its attribute ``method`` how:
    MOVED for draws that were moved and weighted (``engine.moved``), or else it is REFITTED.
    """
    values = fit["log_likelihood"]["published"].transpose(ROW, *SAMPLE_DIMS)
    elpd, k, _ = leave_one_out(values.values)
    names, how = values[ROW].values, np.full(len(k), WEIGHTED, object)
    # what does not feed back has no weights: given all else, only its own level depends on it
    for i in np.flatnonzero(~(k <= SURE_PARETO_K) | network.of_curves(network.conditional)):
        without = refit(left_out(network, [names[i]]))
        how[i] = MOVED if without.attrs.get("method") == MOVED else REFITTED
        draws = without["posterior"].to_dataset()
        held = published_log_likelihood(draws, network).sel({ROW: names[i]}).values
        elpd[i] = special.logsumexp(held) - np.log(held.size)
    return pd.DataFrame({ROW: names, "elpd": elpd, "pareto_k": k, "how": how})
