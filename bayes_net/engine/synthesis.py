"""The model of published numbers and patients together as a posterior for the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bayes_net.engine.posterior import Posterior, Variable, matrix, packed
from bayes_net.errors import InputError
from bayes_net.evidence.curves import log_cumulative_hazard, restricted_mean
from bayes_net.evidence.statistics import STUDENT_DF, Quantity
from bayes_net.model.likelihoods import curve_functionals, student_rows
from bayes_net.model.network import Network
from bayes_net.model.predictors import effect_names, scale_names, scaling
from bayes_net.model.priors import Borrowing, HalfCauchy

_START_SD = 0.5


def synthesis_posterior(
    network: Network, arrays: Mapping[str, np.ndarray], parts: Mapping[str, slice]
) -> Posterior:
    """The posterior of ``network``, of which ``arrays`` are ``inputs(network)`` and ``parts`` those of
    ``design(network)``. Variables: ``z`` (effect) and ``scale`` (standard deviation)."""
    n, s = arrays["design"].shape[1], len(arrays.get("scale_sd", ()))
    variables = {"z": Variable((n,))} | ({"scale": Variable((s,), log=True)} if s else {})
    start = np.concatenate([np.zeros(n), np.full(s, np.log(_START_SD))])
    fields = _effects(network, arrays, n, s) | {
        "intercept": arrays["intercept"],
        **matrix("design", arrays["design"], "design_effect", "design_by"),
    }
    where = {name: np.arange(at.start, at.stop) for name, at in parts.items()}
    hits, cells = _patients(arrays, where)
    fields |= {"hits": hits} | cells
    if "rows" in arrays:
        fields |= _rows(network, arrays, where)
    return Posterior(variables, start, packed(fields | _counts(arrays, where)))


def _effects(network: Network, arrays: Mapping, n: int, s: int) -> dict:
    mean, sd, vague, weight = arrays["hyperparameters"]
    by = scaling(network)
    mixed = np.flatnonzero(_flags(network, effect_names(network), Borrowing))
    mixed = mixed[(weight[mixed] < 1) | (vague[mixed] != sd[mixed])]
    scale = arrays.get("scale_sd", np.zeros(0))
    return {
        "effect_at": np.arange(n),
        "effect_sd": np.where(by.any(axis=1), by.argmax(axis=1), -1) if s else np.full(n, -1),
        "mean": mean,
        "unit": sd,
        "information": arrays.get("information", np.zeros(n)),
        "prior_mean": np.zeros(n),
        "prior_root": np.ones(n),
        "tied": np.zeros(n + 1),
        "mixed": mixed,
        "mixed_ratio": (sd / vague)[mixed],
        "mixed_weight": weight[mixed],
        "sd_at": n + np.arange(s),
        "sd_scale": scale,
        "sd_cauchy": _flags(network, scale_names(network), HalfCauchy) if s else np.zeros(0),
        "constant": [s * 0.5 * np.log(2 / np.pi) - np.log(scale).sum() - n * 0.5 * np.log(2 * np.pi)],
    }


def _flags(network: Network, names: list[str], kind: type) -> np.ndarray:
    """1 for every element whose prior is of this kind."""
    each = [
        np.full(network.free[name].shape, isinstance(network.free[name].prior, kind)).ravel()
        for name in names
    ]
    return np.concatenate(each).astype(float)


def _patients(arrays: Mapping, where: Mapping) -> tuple[np.ndarray, dict]:
    """Events by element, and exposure: of curves without a score, after a landmark at nodes of it."""
    hits, cells = np.zeros(len(arrays["intercept"])), []
    if "curves" in where:
        events, months = arrays["curve_patients"]
        hits[where["curves"]] = events
        cells += [(at, -1, [0.0], [m]) for at, m in zip(where["curves"], months, strict=True) if m > 0]
    if "after" in where:
        hits[where["after"]], hits[where["after_slope"]] = arrays["after_events"], arrays["after_scores"]
        slopes = np.repeat(where["after_slope"], len(where["after"]) // len(where["after_slope"]))
        months, score = arrays["after_nodes"]
        cells += [
            (at, slope, at_score[held], m[held])
            for at, slope, at_score, m in zip(where["after"], slopes, score, months, strict=True)
            if (held := m > 0).any()
        ]
    if not cells:
        return hits, {}
    hazard, slope, scores, months = zip(*cells, strict=True)
    return hits, {
        "cell_hazard": hazard,
        "cell_offset": np.full(len(hazard), -1),
        "cell_slope": slope,
        "cell_nodes": np.cumsum([0, *map(len, months)]),
        "node_score": np.concatenate(scores),
        "node_months": np.concatenate(months),
    }


def _rows(network: Network, arrays: Mapping, where: Mapping) -> dict:
    """Rows that are normal or Student's t and of a power above 0; the others add nothing."""
    value, se, power = arrays["rows"]
    student, root = student_rows(network), arrays["root"]
    used = np.flatnonzero((root != 0).any(axis=0) | (student * power > 0))
    months, mean = np.zeros((len(value), len(arrays["intercept"]))), np.zeros(len(value))
    if "curve_rows" in where:
        own = np.flatnonzero(network.is_of(Quantity.CURVE))
        elements = where["curve_rows"].reshape(arrays["curve_months"].shape)
        months[own[:, None], elements] = arrays["curve_months"]
        for function, at in curve_functionals(network):
            mean[own[at]] = _is_mean(function)
    return {
        "row_location": where["location"][used],
        "row_inflation": where["log_inflation"][used],
        "row_value": value[used],
        "row_se": se[used],
        "row_power": power[used],
        "row_student": STUDENT_DF * student[used],
        "row_mean": mean[used],
        **matrix("row_curve", months[used], "curve_element", "curve_months"),
        **matrix("root", root[np.ix_(used, used)], "root_row", "root_by"),
    }


def _is_mean(function: Callable) -> bool:
    if function not in (log_cumulative_hazard, restricted_mean):
        raise InputError(
            f"the engine cannot read {function.__name__} off a curve; expected log_cumulative_hazard or "
            'restricted_mean: fit with engine = "pymc"'
        )
    return function is restricted_mean


def _counts(arrays: Mapping, where: Mapping) -> dict:
    found: dict[str, np.ndarray] = {}
    if "response_counts" in arrays:
        found |= {"response": where["response"], "response_counts": arrays["response_counts"]}
    if "shrinkage_counts" in arrays:
        found |= {
            "shrinkage_location": where["shrinkage_location"],
            "shrinkage_spread": where["shrinkage_log_spread"],
            # of patients below the next higher threshold, without a next lower one
            "shrinkage_counts": np.delete(arrays["shrinkage_counts"], 4, axis=0),
        }
    return found
