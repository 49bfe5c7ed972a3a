"""Monte-Carlo errors of draws that are a mixture over imputations.

Imputations are independent, chains of one imputation are not: so an average over imputations has the variance
of its values in each of them, divided by their number. That holds the error between imputations and that of
the sampler within them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from bayes_net.errors import InputError
from bayes_net.estimands.diagnostics import diagnose, quantile_error
from bayes_net.estimands.ratios import (
    EFFECT,
    OVER_TIME,
    arm_hazard_ratio,
    covariate_hazard_ratio,
    hazard_ratio,
)
from bayes_net.estimands.survival import baseline_hazard
from bayes_net.labels import about, texts
from bayes_net.schema import ARM_EFFECT, COVARIATE_EFFECT, IMPUTATION, LOG_HAZARD, SAMPLE_DIMS, SLOPE


def mixture_errors(x: np.ndarray, imputation: np.ndarray, tail: tuple[float, float]) -> dict[str, float]:
    """Errors of the median and of the quantiles ``tail``, effective sizes, and the worst R-hat within.

    ``x`` has shape (chain, draw), ``imputation`` one label a chain, as many chains of each. The error of a
    quantile is half the distance of the quantiles one standard error of its probability to either side.
    Effective sizes are those of independent draws with the same error, at most the number of draws.
    """
    from arviz_stats.base import array_stats

    parts = [x[imputation == number] for number in np.unique(imputation)]
    each = np.array([part.ravel() for part in parts])

    def share_error(at: float) -> float:
        return _error(np.mean(each <= at, axis=1))

    def quantile_error(p: float) -> float:
        error = share_error(np.quantile(x, p))
        low, high = np.quantile(x, np.clip([p - error, p + error], 0, 1))
        return float(high - low) / 2

    tails = [_effective(p * (1 - p), share_error(np.quantile(x, p)), x.size) for p in tail]
    return {
        "mcse": quantile_error(0.5),
        "ess_bulk": _effective(x.var(), _error(each.mean(axis=1)), x.size),
        "ess_tail": min(tails),
        "rhat": max(float(array_stats.rhat(part)) for part in parts),
        "mcse_lower": quantile_error(tail[0]),
        "mcse_upper": quantile_error(tail[1]),
    }


def imputation_variances(draws: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Variance within imputations (their mean) and between them (of their means), of pooled draws."""
    groups = draws.groupby(IMPUTATION)
    within, means = groups.var(SAMPLE_DIMS, ddof=1), groups.mean(SAMPLE_DIMS)
    return within.mean(IMPUTATION), means.var(IMPUTATION, ddof=1)


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _effective(variance: float, error: float, most: int) -> float:
    return float(min(variance / error**2, most)) if error > 0 else float(most)


def contrast(values: xr.DataArray, *, dim: str, reference: str | float) -> xr.DataArray:
    """Differences of draws from those at ``reference`` along ``dim`` (the reference itself left out)."""
    return values.drop_sel({dim: reference}) - values.sel({dim: reference}, drop=True)


def probability(values: xr.DataArray, *, above: float = -np.inf, below: float = np.inf) -> xr.DataArray:
    """Posterior probability that a quantity lies strictly between the limits."""
    inside = (values.values > above) & (values.values < below)
    return values.copy(data=inside).mean(SAMPLE_DIMS)


_NATURAL_SCALES: dict[str, tuple[str, Callable]] = {
    "arm_effect_mean": ("arm hazard ratio, pooled mean", np.exp),
    "study_level": ("study hazard ratio against the reference", np.exp),
    "response": ("response probability", expit),
    "completion": ("response at completion, odds ratio", np.exp),
}
"""Parameters that no function of ``estimands.survival`` gives: what they are on the scale of a reader."""


def _quantities(fit: xr.DataTree) -> dict[str, xr.DataArray]:
    """Hazard ratios, hazards and what else a fit of either line says, by name."""
    posterior = fit["posterior"].to_dataset()
    estimands: dict[str, tuple[str, Callable[[xr.DataTree], xr.DataArray]]] = {
        "hazard ratio": (SLOPE, hazard_ratio),
        "arm hazard ratio": (ARM_EFFECT if ARM_EFFECT in posterior else EFFECT, arm_hazard_ratio),
        "covariate hazard ratio": (COVARIATE_EFFECT, covariate_hazard_ratio),
        "baseline hazard": (LOG_HAZARD, baseline_hazard),
    }
    found = {name: of(fit) for name, (variable, of) in estimands.items() if variable in posterior}
    found |= {q.in_words: q.by_interval(posterior) for q in OVER_TIME if q.column and q.used(posterior)}
    return found | {
        name: scale(posterior[variable])
        for variable, (name, scale) in _NATURAL_SCALES.items()
        if variable in posterior
    }


def summarise(
    values: xr.DataArray | xr.DataTree,
    *,
    ci_prob: float = 0.95,
    interval: str = "equal-tailed",
    limits: bool = True,
) -> pd.DataFrame:
    """A tidy table, one row a quantity, with Monte-Carlo error beside each number.

    Columns: the dims of ``values`` but chain and draw, or what they are of (of a curve endpoint, study and
    arm); estimate (posterior median), lower, upper,
    mean, sd, mcse (of the median), ess_bulk, ess_tail, rhat, level and interval_kind; with ``limits``
    also mcse_lower and mcse_upper, the errors of equal-tailed limits (unknown for highest-density ones).
    Of draws pooled over imputations the errors hold the variance between these.

    A fit, of patients or of a synthesis, gives its hazard ratios (of shrinkage per 10 points or of response,
    of arms, of covariates), its baseline hazards per month, and of a synthesis probabilities of response and
    hazard ratios between studies. In place of the dims, ``quantity`` names what a row is and ``label`` has
    its place along them.

    Raises
    ------
    InputError
        The interval is of an unknown kind, or ``ci_prob`` is not between 0 and 1.
    """
    if interval not in ("equal-tailed", "hdi") or not 0 < ci_prob < 1:
        raise InputError(
            f"interval {interval!r}, ci_prob {ci_prob}: expected 'equal-tailed' or 'hdi', and 0 < ci_prob < 1"
        )
    if isinstance(values, xr.DataTree):
        tables = []
        for quantity, draws in _quantities(values).items():
            table = summarise(draws, ci_prob=ci_prob, interval=interval, limits=limits)
            labels = about(draws)
            named = pd.DataFrame({"quantity": quantity, "label": texts(labels)})
            tables.append(named.join(table.drop(columns=labels.columns)))
        return pd.concat(tables, ignore_index=True)
    from arviz_stats.base import array_stats

    flat = values.transpose(..., *SAMPLE_DIMS)
    draws = flat.values.reshape(-1, *flat.shape[-2:])
    pooled = values[IMPUTATION].values if IMPUTATION in values.coords else None
    rows, tail = draws.reshape(len(draws), -1), ((1 - ci_prob) / 2, (1 + ci_prob) / 2)
    if interval == "equal-tailed":
        lower, upper = np.quantile(rows, tail, axis=1)
    else:
        lower, upper = np.array([array_stats.hdi(x, ci_prob) for x in rows]).T
    found = {"estimate": np.median(rows, axis=1), "lower": lower, "upper": upper}
    found |= {"mean": rows.mean(axis=1), "sd": rows.std(axis=1, ddof=1)}
    # What does not vary (survival at time 0) has no error, and nothing to diagnose.
    varies = np.ptp(rows, axis=1) != 0
    errors = {name: np.full(len(rows), np.nan) for name in _ERRORS[: None if limits else -2]}
    errors["mcse"][~varies] = 0.0
    for name, x in _errors(draws[varies], tail, pooled).items():
        # The ends of a highest-density interval are no quantiles, and wander more than these.
        if name in errors and not (interval == "hdi" and name in _ERRORS[-2:]):
            errors[name][varies] = x
    table = pd.concat([about(values), pd.DataFrame(found | errors)], axis=1)
    return table.assign(level=ci_prob, interval_kind=interval)


_ERRORS = ("mcse", "ess_bulk", "ess_tail", "rhat", "mcse_lower", "mcse_upper")


def _errors(draws: np.ndarray, tail: tuple[float, float], imputation: np.ndarray | None) -> dict:
    """``_ERRORS`` of draws (quantity, chain, draw), of one distribution or one an imputation."""
    if imputation is not None:
        each = pd.DataFrame([mixture_errors(x, imputation, tail) for x in draws], columns=_ERRORS)
        return {name: each[name] for name in _ERRORS}
    rhat, bulk, ends = diagnose(draws, tail)
    median, lower, upper = (quantile_error(draws, prob) for prob in (0.5, *tail))
    return dict(zip(_ERRORS, (median, bulk, ends, rhat, lower, upper), strict=True))


STRENGTHS = ((0.99, "almost certainly"), (0.95, "very probably"), (0.80, "probably"))
"""Smallest posterior probability of a direction that earns each word; below the last it is unclear."""
UNCLEAR = "unclear"


def bars(tails: float = 1) -> tuple[tuple[float, str], ...]:
    """``STRENGTHS`` where the likeliest of so many directions stand out.

    Of hazard ratios that are all 1, one of many is far from 1 by chance. The probability that is left for the
    other direction is shared out over all (Bonferroni): of m hazard ratios, with 2 m directions, none earns
    "probably" in four of five trials, if the posterior is about as wide as the estimate is uncertain.
    """
    return tuple((1 - (1 - smallest) / tails, word) for smallest, word in STRENGTHS)


def direction(prob_below_1: float, tails: float = 1) -> tuple[str, str]:
    """The word for the probability of the likelier direction, and that direction of time to event.

    A hazard ratio below 1 goes with ``"longer"`` time. ``(UNCLEAR, "")`` when neither direction
    reaches the lowest band of ``bars``. The unrounded probability decides.
    """
    for smallest, word in bars(tails):
        if prob_below_1 >= smallest:
            return word, "longer"
        if 1 - prob_below_1 >= smallest:
            return word, "shorter"
    return UNCLEAR, ""
