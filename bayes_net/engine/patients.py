"""The patients' model of one landmark as a posterior for the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bayes_net.assumptions import hazard as assumptions
from bayes_net.assumptions.hazard import COMMON, PER_ARM, RW1, FreeVariable, Hazard, level_shift, walk_basis
from bayes_net.assumptions.priors import INDEPENDENT, NONE, HalfNormal, Normal
from bayes_net.data.aggregated import AnyExposure
from bayes_net.data.exposure import Exposure, known_days, months_between, months_without
from bayes_net.data.gauss import Nodes, UncertainExposure
from bayes_net.engine.layout import Layout, layout
from bayes_net.engine.posterior import Posterior, Variable, matrix
from bayes_net.model.predictors import coordinates
from bayes_net.schema import ARM_EFFECT, COVARIATE_EFFECT, LEVEL, LEVEL_AT_EVENTS, SLOPE, STEP_SD


def patients_posterior(
    data: AnyExposure, hazard: Hazard | None = None, *, shape: Layout | None = None
) -> Posterior:
    """The posterior of ``data``.

    Variables are the free ones of ``hazard_model``: ``step`` is what the walk's standard normal steps are
    multiplied by ``step_scale`` to be, and ``level`` is sampled as ``level_at_events`` where there are steps.
    """
    hazard, shape = hazard or Hazard(), shape or layout([data])
    shape.check(data)
    free, coords = sampled_variables(hazard, data), coordinates(data)
    variables = {
        name: Variable(tuple(len(coords[dim]) for dim in each.dims), log=isinstance(each.prior, HalfNormal))
        for name, each in free.items()
    }
    start = np.concatenate([np.full(v.size, free[name].start) for name, v in variables.items()])
    place = _places({name: v for name, v in variables.items() if not v.log})
    fields = _effects(variables, free, place)
    if STEP_SD in variables:
        fields |= _walk(data, hazard, place, len(fields["effect_at"]))
    fields |= _elements(data, hazard, shape, place)
    return Posterior(variables, start, fields)


def sampled_variables(hazard: Hazard, data: AnyExposure) -> dict[str, FreeVariable]:
    """The free variables by the names under which they are sampled."""
    free = assumptions.free_variables(hazard, data)
    if STEP_SD not in free:
        return free
    return {LEVEL_AT_EVENTS if name == LEVEL else name: each for name, each in free.items()}


def _places(variables: Mapping[str, Variable]) -> dict[str, np.ndarray]:
    """The place of each number of each variable, in its shape, in the vector that strings them together."""
    ends = np.cumsum([0, *(v.size for v in variables.values())])
    return {
        name: np.arange(ends[i], ends[i + 1]).reshape(v.shape)
        for i, (name, v) in enumerate(variables.items())
    }


def _effects(variables: Mapping[str, Variable], free: Mapping[str, FreeVariable], place: Mapping) -> dict:
    at, n = _places(variables), sum(p.size for p in place.values())
    sd, mean, root, constant = np.full(n, -1), np.zeros(n), np.zeros(n), 0.0
    for name, own in place.items():
        if isinstance(prior := free[name].prior, Normal):
            mean[own], root[own] = prior.mean, 1.0 / prior.sd
            constant -= own.size * (np.log(prior.sd) + 0.5 * np.log(2 * np.pi))
    fields, found = {}, []
    scales: list[float] = []
    for name, walk in free.items():
        if not isinstance(walk.prior, HalfNormal):
            continue
        own = at[name]
        sd[place[walk.steps]] = (len(scales) + np.arange(own.size).reshape(own.shape))[..., None]
        found.append(own.ravel())
        scales += [walk.prior.sd] * own.size
        constant += own.size * (0.5 * np.log(2 / np.pi) - np.log(walk.prior.sd))
    if scales:
        fields = {"sd_at": np.concatenate(found), "sd_scale": np.array(scales)}
        fields["sd_cauchy"] = np.zeros(len(scales))
    return fields | {
        "effect_at": np.concatenate([at[name].ravel() for name in place]),
        "effect_sd": sd,
        "mean": np.zeros(n),
        "unit": np.ones(n),
        "information": np.zeros(n),
        "prior_mean": mean,
        "prior_root": root,
        "tied": np.zeros(n + 1),
        "constant": [constant],
    }


def _walk(data: AnyExposure, hazard: Hazard, place: Mapping, n: int) -> dict:
    """The scale on which steps are sampled; and the prior is that of the level over time, of which the level
    that is sampled, over the events, is moved away by the steps."""
    step, level = place["step"], place[LEVEL_AT_EVENTS]
    information, tied = np.zeros(n), np.zeros((n, n))
    information[step] = assumptions.step_information(data, hazard)
    tied[level[..., None], step] = level_shift(data, hazard)
    return {"information": information} | matrix("tied", tied, "tied_to", "tied_by")


def _elements(data: AnyExposure, hazard: Hazard, shape: Layout, place: Mapping) -> dict:
    """Log hazards by stratum and interval, slopes by arm and stretch of intervals, effects of covariates, of
    each pattern or each covariate; and the events and exposure that they meet."""
    size, whole = sum(p.size for p in place.values()), data
    log_hazard = _log_hazard(data, hazard, place, size)
    slope_rows, slope = _stretches(slope_map(data, hazard, place, size))
    covariates = np.zeros((len(data.covariate_names), size))
    if data.covariate_names:
        covariates[:, place[COVARIATE_EFFECT]] = np.eye(len(covariates))
    rows, cells = [log_hazard.reshape(-1, size), slope_rows], log_hazard.shape[0] * log_hazard.shape[1]
    slope = np.where(slope < 0, -1, slope + cells)
    if isinstance(data, Exposure):
        data = known_days(data)
    hits = [data.events_by_stratum.ravel(), _score_hits(data, slope, len(slope_rows), cells)]
    base = cells + len(slope_rows)
    if shape.compressed:
        patterns = np.array(shape.patterns)
        offsets, fields = patterns[:, 1:] @ covariates, _nodes(patterns, slope, base, shape.nodes(data))
    else:
        offsets, fields = covariates, _pieces(data, slope)
    design = np.concatenate([*rows, offsets])
    events = np.concatenate([*hits, np.zeros(len(offsets))])
    if data.covariate_names:
        # each covariate is an element that its events hit, the last of all; patterns have elements that are
        # sums of covariates
        if shape.compressed:
            design, events = (
                np.concatenate([design, covariates]),
                np.append(events, np.zeros(len(covariates))),
            )
        events[-len(covariates) :] = data.covariate_events
        fields["covariate_element"] = np.arange(len(design) - len(covariates), len(design))
    if isinstance(whole, Exposure):
        fields |= _windows(whole, slope)
    return fields | {
        "intercept": np.zeros(len(design)),
        **matrix("design", design, "design_effect", "design_by"),
        "hits": events,
    }


def _log_hazard(data: AnyExposure, hazard: Hazard, place: Mapping, size: int) -> np.ndarray:
    """Map from effects to log hazards, (stratum, interval, effect)."""
    intervals, strata = data.n_intervals, list(np.ndindex(data.strata))
    found, at = np.zeros((len(strata), intervals, size)), assumptions.centre(hazard, data)
    every = np.arange(intervals)
    walks = hazard.smoothing == RW1 and intervals > 1
    walk: Any = walk_basis(data.cuts) - level_shift(data, hazard)[..., None, :] if walks else None
    for s, (*study, a) in enumerate(strata):
        own = (*study, a) if hazard.baseline == PER_ARM else tuple(study)
        if hazard.smoothing == INDEPENDENT:
            found[s, every, place["log_baseline"][own]] = 1.0
        else:
            found[s, :, place[LEVEL_AT_EVENTS if walks else LEVEL][own]] = 1.0
            if walks:
                found[s][:, place["step"][own]] = walk[own]
        if hazard.baseline == assumptions.SHARED and len(data.arms) > 1:
            found[s][:, place[ARM_EFFECT]] = at.contrasts[a]
    of_arm = [a for *_, a in strata]
    found -= at.score * slope_map(data, hazard, place, size)[of_arm]
    if data.covariate_names:
        found[..., place[COVARIATE_EFFECT]] -= at.covariates[of_arm, None]
    return found


def slope_map(data: AnyExposure, hazard: Hazard, place: Mapping, size: int) -> np.ndarray:
    """Map from effects to slopes, (arm, interval, effect): 0 where the score has none."""
    found = np.zeros((len(data.arms), data.n_intervals, size))
    if hazard.slopes == COMMON:
        found[:, :, place["common_slope"]] = 1.0
    elif hazard.slopes != NONE:
        for a in range(len(data.arms)):
            found[a, :, place[SLOPE][a]] = 1.0
            if "slope_step" in place:
                found[a][:, place["slope_step"][a]] = walk_basis(data.cuts)
    return found


def _stretches(slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different slopes of an arm's neighbouring intervals, (stretch, effect), and which one each arm and
    interval has, -1: none."""
    rows, which = [], np.full(slopes.shape[:2], -1)
    for a, arm in enumerate(slopes):
        for k, row in enumerate(arm):
            if row.any():
                if k == 0 or which[a, k - 1] < 0 or (row != arm[k - 1]).any():
                    rows.append(row)
                which[a, k] = len(rows) - 1
    return np.array(rows).reshape(len(rows), slopes.shape[2]), which


def _score_hits(data: AnyExposure, slope: np.ndarray, stretches: int, cells: int) -> np.ndarray:
    """Sum of the scores of the events of each stretch."""
    found = np.zeros(stretches)
    for a, own in enumerate(slope):
        used = np.unique(own[own >= 0])
        if len(used) > 1:
            np.add.at(found, own - cells, data.score_events_by_interval[a])
        else:
            found[used - cells] = data.score_events[a]
    return found


def _nodes(patterns: np.ndarray, slope: np.ndarray, base: int, nodes: Nodes) -> dict:
    """Cells of patterns and intervals with their nodes; those without exposure are left out."""
    months, score = nodes.weight, nodes.score
    stratum, intervals = patterns[:, 0].astype(int), months.shape[1]
    arm = stratum % len(slope)
    pattern, interval = np.nonzero((months > 0).any(axis=2))
    held = months[pattern, interval] > 0
    offset = base + pattern if patterns.shape[1] > 1 else np.full(len(pattern), -1)
    return {
        "cell_hazard": stratum[pattern] * intervals + interval,
        "cell_offset": offset,
        "cell_slope": slope[arm[pattern], interval],
        "cell_nodes": np.cumsum([0, *held.sum(axis=1)]),
        "node_score": score[pattern, interval][held],
        "node_months": months[pattern, interval][held],
    }


def _pieces(data: Any, slope: np.ndarray) -> dict:
    """Follow-up of each patient, in pieces of one slope each."""
    arms, intervals = slope.shape
    width = np.append(np.diff(data.starts), 0.0)
    strata = int(np.prod(data.strata))
    first = np.zeros((strata, intervals), bool)
    first[:, 0] = True
    # who enters late is not at risk from the beginning of an interval: that is taken off again
    entry = np.zeros(data.rows) if data.entry is None else data.entry
    entered = np.searchsorted(data.cuts, entry, side="left")
    missed = entry - data.starts[entered]
    # a piece begins where its arm's slope changes, and ends there or in the patient's last interval
    changes = np.column_stack([np.ones(arms, bool), slope[:, 1:] != slope[:, :-1]])
    pieces = []
    for a in range(arms):
        begins = np.flatnonzero(changes[a])
        for begin, end in zip(begins, [*begins[1:], intervals], strict=True):
            own = np.flatnonzero((data.arm == a) & (data.interval >= begin) & (entered < end))
            last = data.interval[own] < end
            stop = np.where(last, data.interval[own], end - 1)
            months = np.where(last, data.since_start[own], width[end - 1])
            pieces.append(np.stack([own, np.maximum(begin, entered[own]), stop, months]))
    late = np.flatnonzero(missed > 0)
    pieces.append(np.stack([late, entered[late], entered[late], -missed[late]]))
    who, begin, stop, months = np.concatenate(pieces, axis=1)
    who, begin, stop = (x.astype(int) for x in (who, begin, stop))
    order = np.argsort(who, kind="stable")
    who, begin, stop, months = who[order], begin[order], stop[order], months[order]
    cell = data.stratum[who] * intervals
    return {
        "width": np.tile(width, strata),
        "first": first,
        "piece_start": cell + begin,
        "piece_end": cell + stop,
        "piece_slope": slope[data.arm[who], begin],
        "piece_score": data.score[who],
        "piece_months": months,
        "piece_covariates": data.covariates[who],
    }


def _windows(data: Exposure, slope: np.ndarray) -> dict:
    """Events between two assessments, with the months of each interval that lie there."""
    months, own = months_between(data), data.between
    which, interval = np.nonzero(months)
    arm = data.arm[own][which]
    return {
        "window": np.cumsum([0, *(months > 0).sum(axis=1)]),
        "window_hazard": data.stratum[own][which] * data.n_intervals + interval,
        "window_slope": slope[arm, interval],
        "window_months": months[which, interval],
        "window_score": data.score[own],
        "window_covariates": data.covariates[own],
    }


# --- scores that are known with error ---------------------------------------------------------------------


def uncertain_posterior(data: UncertainExposure, hazard: Hazard | None = None) -> Posterior:
    """The posterior of ``data``: that of the patients as measured, in which the term of each patient's time
    at risk, and of its event, is the average over the nodes of its true score."""
    hazard, measured = hazard or Hazard(), data.measured
    plain = Layout(data.arms, data.covariate_names, data.n_intervals, data.studies)
    found = patients_posterior(measured, hazard, shape=plain)
    place = _places({name: each for name, each in found.variables.items() if not each.log})
    size = sum(each.size for each in place.values())
    rows, slope = _stretches(slope_map(data, hazard, place, size))
    cells = int(np.prod(data.strata)) * data.n_intervals
    hits = np.array(found.fields["hits"], float)
    hits[cells : cells + len(rows)] = 0.0  # scores of events are in the average
    kept = {
        name: each
        for name, each in found.fields.items()
        if not name.startswith(("piece_", "window")) and name not in ("width", "first")
    }
    return replace(
        found, fields=kept | {"hits": hits} | _at_nodes(data, np.where(slope < 0, -1, slope + cells))
    )


def _at_nodes(data: UncertainExposure, slope: np.ndarray) -> dict[str, Any]:
    """Nodes of all patients in levels, patients with most nodes first; and each one's months in each
    interval: at risk, then between two assessments. ``slope`` is the element by arm and interval."""
    held = data.node_weight > 0
    count = held.sum(axis=1)
    order = np.argsort(-count, kind="stable")
    level, who = np.nonzero(np.arange(held.shape[1])[:, None] < count[order])
    at = order[who], np.argsort(~held, axis=1, kind="stable")[order[who], level]
    months, window = months_without(data)[order], np.empty(0)
    if data.between.any():
        between = np.zeros((data.rows, data.n_intervals))
        between[data.between] = months_between(data)
        months = np.concatenate([months, between[order]])
        window = np.where(data.between, 0.0, -1000.0)[order]
    stretch = np.cumsum(np.diff(slope, axis=1, prepend=slope[:, :1]) != 0, axis=1)
    slopes = np.full((stretch.max() + 1, len(slope)), -1)
    slopes[stretch, np.arange(len(slope))[:, None]] = slope
    known = (data.event == 1) & ~data.between
    of_arm = np.arange(np.prod(data.strata, dtype=int)) % len(slope)
    return {
        "true": np.cumsum([0, *np.bincount(level)]),
        "true_log_weight": _bits(data.log_weight[at]),
        "true_score": _bits(data.node_score[at]),
        "true_event": np.where(known, slope[data.arm, data.interval], -1)[order],
        "true_slope": slopes[:, data.arm[order]],
        "true_stretch": stretch[of_arm],
        "true_first": data.stratum[order] * data.n_intervals,
        "true_intervals": [data.n_intervals],
        "true_months": _bits(months),
        "true_window": _bits(window),
        "true_covariates": _bits(data.covariates[order]),
    }


def _bits(values: np.ndarray) -> np.ndarray:
    """Real numbers as the whole numbers with the same bits: a block keeps what it is not told to be real as
    whole, and the code reads it as either."""
    return np.ascontiguousarray(values, float).ravel().view(np.int64)
