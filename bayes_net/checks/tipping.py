"""How biased must censoring be to move the conclusion? Hazard ratios by factor, and where a word is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtri

from bayes_net.assumptions.hazard import Hazard
from bayes_net.checks.gate import gate
from bayes_net.data.exposure import Exposure
from bayes_net.errors import InputError
from bayes_net.estimands.ratios import hazard_ratio
from bayes_net.estimands.summary import STRENGTHS, direction, probability, summarise
from bayes_net.inference.imputation import Censoring, fit_imputed
from bayes_net.schema import ARM, PASSED

if TYPE_CHECKING:
    from bayes_net.inference.sampling import Sampler


FACTORS = (0.25, 0.4, 0.625, 1.0, 1.6, 2.5, 4.0)
"""Factors that are tried when none are named: steps of the same ratio in both directions."""
KEYS = ("endpoint", "population", "measure", "estimand", "landmark", ARM)
_MOST_CERTAIN = 1e-6
"""Draws do not tell a probability from 0 or 1 more closely than this."""


def censoring_curve(
    data: Exposure,
    fit: xr.DataTree,
    censoring: Censoring,
    hazard: Hazard | None = None,
    *,
    seed: int,
    factors: Sequence[float] = FACTORS,
    sampler: Sampler | None = None,
    ci_prob: float = 0.95,
) -> pd.DataFrame:
    """Hazard ratios of each arm with censoring as informative as each of ``factors`` says.

    ``fit`` is the ordinary fit of ``data``, whose rows come first (``as_specified``, factor 1); ``censoring``
    says whose follow-up is imputed, its own factor is not used. Columns: arm, factor, as_specified, hr,
    lower, upper, log_sd, prob_below_1, mcse_hr, gate, and ``holds``: whether the verbal
    conclusion of the ordinary fit still holds.
    """
    rows = [_rows(fit, 1.0, ci_prob).assign(as_specified=True)]
    for factor in factors:
        tree = fit_imputed(data, fit, replace(censoring, factor=factor), hazard, seed=seed, sampler=sampler)
        rows.append(_rows(tree, factor, ci_prob).assign(as_specified=False))
    return with_words(pd.concat(rows, ignore_index=True))


def _rows(fit: xr.DataTree, factor: float, ci_prob: float) -> pd.DataFrame:
    ratios = hazard_ratio(fit)
    table = summarise(ratios, ci_prob=ci_prob).rename(columns={"estimate": "hr", "mcse": "mcse_hr"})
    table = table[[ARM, "hr", "lower", "upper", "mcse_hr"]].assign(
        factor=float(factor),
        log_sd=np.log(ratios).std(("chain", "draw"), ddof=1).values,
        prob_below_1=probability(ratios, below=1).values,
    )
    return table.assign(gate=PASSED if gate(fit, {"hazard ratio": ratios}).passed else "failed")


def censoring_tipping(curve: pd.DataFrame) -> pd.DataFrame:
    """From which factor on each conclusion loses the band of probability whose word it has.

    ``curve``: as ``censoring_curve`` has it, or the same of several hazard ratios with columns that tell them
    apart. One row a hazard ratio: what it is about; ``factor`` as specified; ``prob``, ``band``, ``word``,
    ``time`` (longer or shorter) of its likelier direction; ``lowest`` and ``highest`` factor tried; and
    ``below`` and ``above``: going away from ``factor``, the first factors at which the probability of that
    direction is less than the band (interpolated between those tried: the normal quantile of the probability
    is taken as linear in the logarithm of the factor). Missing: not within the factors tried, or no word to
    lose. ``_nearest`` and ``_farthest`` are the same with every probability moved by its Monte-Carlo standard
    error to either side. A fit whose gate failed is left out, and so is what is biased.

    Raises
    ------
    InputError
        The curve has no row of the analysis as specified.
    """
    if not curve["as_specified"].any():
        raise InputError(
            "the curve has no analysis as specified; its tipping points have nothing to start at"
        )
    keys = [key for key in KEYS if key in curve]
    passed = curve[curve["gate"] == PASSED]
    if "biased" in passed:
        passed = passed[~passed["biased"].astype(bool)]
    rows = [
        dict(zip(keys, values, strict=True)) | _tipping(own)
        for values, own in passed.groupby(keys, sort=False, dropna=False)
        if own["as_specified"].any()
    ]
    columns = [*keys, "factor", "prob", "band", "word", "time", "lowest", "highest", *_ENDS]
    return pd.DataFrame(rows, columns=columns)


_ENDS = tuple(f"{side}{end}" for side in ("below", "above") for end in ("", "_nearest", "_farthest"))


def _tipping(own: pd.DataFrame) -> dict[str, object]:
    start = own[own["as_specified"]].head(1)
    base = start.iloc[0]
    word, time = direction(base["prob_below_1"])
    band = next((smallest for smallest, each in STRENGTHS if each == word), np.nan)
    tried = own[~own["as_specified"] & (own["factor"] != base["factor"])].sort_values("factor")
    path = pd.concat([start, tried])
    found = {
        "factor": float(base["factor"]),
        "prob": max(base["prob_below_1"], 1 - base["prob_below_1"]),
        "band": band,
        "word": word,
        "time": time,
        "lowest": float(path["factor"].min()),
        "highest": float(path["factor"].max()),
    } | dict.fromkeys(_ENDS, np.nan)
    if not time:
        return found
    outwards = {
        "below": path[path["factor"] <= base["factor"]].sort_values("factor", ascending=False),
        "above": path[path["factor"] >= base["factor"]].sort_values("factor"),
    }
    for side, steps in outwards.items():
        factors = steps["factor"].to_numpy(float)
        prob = steps["prob_below_1"].to_numpy(float)
        z = ndtri(np.clip(prob if time == "longer" else 1 - prob, _MOST_CERTAIN, 1 - _MOST_CERTAIN))
        error = (steps["mcse_hr"] / steps["hr"] / steps["log_sd"]).to_numpy(float)
        error[0] = 0.0  # at the analysis as specified the word holds, by the definition of the word
        needed = ndtri(band)
        found |= {
            side: _first_below(factors, z, needed),
            f"{side}_nearest": _first_below(factors, z - error, needed),
            f"{side}_farthest": _first_below(factors, z + error, needed),
        }
    return found


def with_words(curve: pd.DataFrame) -> pd.DataFrame:
    """The curve with ``holds``: whether the word of the analysis as specified holds at each factor.

    What is biased has no word.
    """
    keys = [key for key in KEYS if key in curve]
    base = curve.loc[curve["as_specified"], [*keys, "prob_below_1"]]
    first = curve[keys].merge(base, on=keys, how="left")["prob_below_1"]
    words = first.map(direction, na_action="ignore")
    bands = {word: smallest for smallest, word in STRENGTHS}
    holds = [
        isinstance(word, tuple)
        and word[1] != ""
        and (prob if word[1] == "longer" else 1 - prob) >= bands[word[0]]
        for word, prob in zip(words, curve["prob_below_1"], strict=True)
    ]
    biased = curve["biased"].to_numpy(bool) if "biased" in curve else np.zeros(len(curve), bool)
    return curve.assign(holds=np.array(holds, bool) & ~biased)


def _first_below(factors: np.ndarray, z: np.ndarray, needed: float) -> float:
    """The first factor at which ``z`` is less than ``needed``, interpolated from the one before."""
    lost = np.flatnonzero(z < needed)
    if not len(lost) or lost[0] == 0:
        return np.nan
    after, before = lost[0], lost[0] - 1
    share = (z[before] - needed) / (z[before] - z[after])
    if factors[after] == 0:  # it has no logarithm
        return float(factors[before] * (1 - share))
    return float(factors[before] * (factors[after] / factors[before]) ** share)
