"""The synthesis model's equations. All its quantities are linear in one vector of effects.

An *effect* is a free normal variable on its own scale: mean + SD * z, times the heterogeneity it belongs
to. Log hazards of curves, log hazard ratios, slopes, logits and laws of shrinkage are sums of effects
(``derive``); only what a row makes of them is not linear. So the graph needs one matrix (``design``), read
off ``derive`` itself, and is small enough to compile quickly. ``Maths`` names the few operations in
which numpy (draws) and PyTensor (graph) differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from bayes_net._information import information
from bayes_net._pool_inputs import COUNTED, LARGEST_SHRINKAGE, SMALLEST_SHRINKAGE
from bayes_net.assumptions import EXCHANGEABLE, FULL, Borrowing, Fixed, HalfCauchy
from bayes_net.compression import NODES, compress
from bayes_net.pool import Pool
from bayes_net.priors import HalfNormal
from bayes_net.published import CURVES, EFFECTS, SLOPES, STUDENT_DF
from bayes_net.schema import NO_LIMIT

TINY = 1e-12
"""Keeps the log of a probability finite where a chain visits laws of shrinkage that exclude a group."""
FARTHEST = 1e3
"""Stands for the logit of 0 and 1."""
SCALED_BY = {
    "step": "step_sd",
    "arm_effect_z": "arm_effect_sd",
    "study_level_z": "study_level_sd",
    "slope_z": "slope_sd",
    "response_difference_z": "response_difference_sd",
    "landmark_step": "landmark_step_sd",
    "slope_study_z": "slope_between_sd",
}
"""Standardised effects, and the free standard deviation that each is multiplied by where there is one."""


@dataclass(frozen=True)
class Maths:
    """The operations of one library."""

    exp: Callable
    log: Callable
    erf: Callable
    softplus: Callable


NUMPY = Maths(np.exp, np.log, special.erf, lambda x: np.logaddexp(0.0, x))
Values = Mapping[str, Any]


def selection(labels: tuple[str, ...], wanted: list[str | None]) -> np.ndarray:
    """0/1 matrix (wanted, labels) that picks the label of each row; None picks nothing."""
    return np.array([[label == name for label in labels] for name in wanted], float).reshape(
        len(wanted), len(labels)
    )


def is_scale(prior) -> bool:
    """Whether a free variable is a standard deviation, and no effect."""
    return isinstance(prior, HalfNormal | HalfCauchy)


def effect_names(pool: Pool) -> list[str]:
    """Free variables that are effects, in the order of the vector."""
    return [name for name, variable in pool.free.items() if not is_scale(variable.prior)]


def scale_names(pool: Pool) -> list[str]:
    """Free variables that are standard deviations, in the order of theirs."""
    return [name for name, variable in pool.free.items() if is_scale(variable.prior)]


def split(vector: np.ndarray, names: list[str], pool: Pool) -> dict[str, np.ndarray]:
    """A vector (..., element) as the variables that it strings together."""
    found, start = {}, 0
    for name in names:
        shape = pool.free[name].shape
        end = start + int(np.prod(shape))
        found[name] = vector[..., start:end].reshape(*vector.shape[:-1], *shape)
        start = end
    return found


def join(values: Values, names: list[str], pool: Pool) -> np.ndarray:
    """The variables as one vector, (..., element)."""
    parts = [np.asarray(values[name]) for name in names]
    flat = [
        x.reshape(*x.shape[: x.ndim - len(pool.free[n].dims)], -1) for n, x in zip(names, parts, strict=True)
    ]
    return np.concatenate(flat, axis=-1)


def effect_labels(pool: Pool) -> list[str]:
    """A name for every element of the vector of effects."""
    return [label for name in effect_names(pool) for label in _labels(name, pool)]


def scale_labels(pool: Pool) -> list[str]:
    """A name for every standard deviation."""
    return [label for name in scale_names(pool) for label in _labels(name, pool)]


def _labels(name: str, pool: Pool) -> list[str]:
    labels = [""]
    for own in pool.free[name].dims.values():
        labels = [f"{before}, {label}" if before else label for before in labels for label in own]
    return [f"{name}[{label}]" for label in labels]


def scaling(pool: Pool) -> np.ndarray:
    """0/1 matrix (effect, standard deviation): by which each effect is multiplied; a row of 0: by none."""
    columns, rows = scale_labels(pool), []
    for name in effect_names(pool):
        sd = SCALED_BY.get(name)
        own = pool.free[name]
        shared = sd in pool.free and list(pool.free[sd].dims) == ["one"]
        for position in np.ndindex(*own.shape):
            row = np.zeros(len(columns))
            if sd in pool.free:
                # a standard deviation is shared by all, or belongs to the label of the first dim
                labels = _labels(sd, pool)
                at = 0 if shared else _owner(pool, name, sd, position)
                row[columns.index(labels[at])] = 1.0
            rows.append(row)
    return np.array(rows).reshape(len(rows), len(columns))


def _owner(pool: Pool, name: str, sd: str, position: tuple[int, ...]) -> int:
    label = next(iter(pool.free[name].dims.values()))[position[0]]
    owners = next(iter(pool.free[sd].dims.values()))
    return owners.index(label) if label in owners else owners.index(label.split(" ")[0])


def scaled(free: Values, pool: Pool) -> dict[str, np.ndarray]:
    """The effects of draws of the free variables: standardised ones times their standard deviation."""
    names, scales = effect_names(pool), scale_names(pool)
    effects = join(free, names, pool)
    if scales:
        by = scaling(pool)
        factor = join(free, scales, pool) @ by.T
        effects = effects * np.where(by.any(axis=1), factor, 1.0)
    return split(effects, names, pool)


def conditional_scale(factor, learned, root: Callable = np.sqrt):
    """Scale on which standardised effects are sampled, given the deviations ``factor`` that multiply them (0:
    none) and the ``information`` on them at a deviation of 1."""
    return root(1.0 + factor**2 * learned)


# --- everything linear --------------------------------------------------------------------------------


def derive(effects: Values, pool: Pool) -> dict[str, np.ndarray]:
    """What rows and patients are about, from the effects; see ``derived_dims`` for names and dims."""
    found = _curves(effects, pool) | _slopes(effects, pool) | _responses(effects, pool)
    if pool.landmark_cohorts:
        names = ("landmark_level", "landmark_step")
        found["landmark_log_hazard"] = _walk(effects, pool.landmark_basis, names)
        found["study_slope"] = _study_slopes(effects, found, pool)
    return found


def derived_dims(pool: Pool) -> dict[str, dict[str, tuple[str, ...]]]:
    """Dims and labels of everything that ``derive`` can return."""
    a, intervals = pool.assumptions, tuple(str(k) for k in range(pool.n_intervals))
    strata = tuple(f"{c.study} {arm}" for c in pool.landmark_cohorts for arm in a.arms)
    after = len(pool.landmark_basis) if pool.landmark_cohorts else 0
    later = tuple(str(k) for k in range(after))
    return {
        "log_hazard": {"curve": tuple(map(" ".join, pool.curves)), "interval": intervals},
        "arm_effect": {"effect": pool.effects},
        "study_level": {"level_of": pool.levels},
        "slope": {"slope_of": pool.slope_groups, "landmark": pool.landmarks},
        "bias": {"bias_of": pool.biased_groups},
        "response": {"response_group": pool.groups("response")},
        "landmark_log_hazard": {"stratum": strata, "landmark_interval": later},
        "study_slope": {"stratum": strata},
    }


def _difference(effects: Values, name: str, borrowing: Borrowing):
    """Differences between studies; None where there are none."""
    if borrowing.kind == FULL:
        return None
    return effects.get(f"{name}_z" if borrowing.kind == EXCHANGEABLE else name)


def _curves(effects: Values, pool: Pool) -> dict[str, np.ndarray]:
    a, found = pool.assumptions, {}
    if pool.effects:
        of = [effect.split(" ")[0] for effect in pool.effects]
        mean = effects["arm_effect_mean"] @ selection(pool.effect_endpoints, of).T
        found["arm_effect"] = mean + _heterogeneous(effects, "arm_effect_z", a.arm_heterogeneity)
    level = _difference(effects, "study_level", a.study_level)
    if level is not None:
        found["study_level"] = level
    if not pool.baselines:
        return found
    stands_on = [f"{e} {pool.baseline_study(s)}" for e, s, _ in pool.curves]
    log_hazard = selection(pool.baselines, stands_on) @ _baselines(effects, pool)
    if pool.effects:
        treated = [pool.effect_of(e, s) if arm != a.arms[0] else None for e, s, arm in pool.curves]
        log_hazard = log_hazard + (found["arm_effect"] @ selection(pool.effects, treated).T)[..., None]
    if level is not None:
        of = [f"{e} {s}" for e, s, _ in pool.curves]
        log_hazard = log_hazard + (level @ selection(pool.levels, of).T)[..., None]
    return found | {"log_hazard": log_hazard}


def _heterogeneous(effects: Values, name: str, prior):
    """Deviations of studies from their mean: already scaled, or times a heterogeneity that is known."""
    if name not in effects:
        return 0.0
    return effects[name] * (prior.value if isinstance(prior, Fixed) else 1.0)


def _baselines(effects: Values, pool: Pool) -> np.ndarray:
    if "log_baseline" in effects:
        return effects["log_baseline"]
    return _walk(effects, pool.basis, ("level", "step"))


def _walk(effects: Values, basis: np.ndarray, names: tuple[str, str]) -> np.ndarray:
    """A random walk of the log hazard around its level, (..., group, interval)."""
    level, step = effects[names[0]], effects.get(names[1])
    flat = level[..., None] * np.ones(len(basis))
    return flat if step is None else flat + step @ basis.T


def _slopes(effects: Values, pool: Pool) -> dict[str, np.ndarray]:
    if not pool.slope_groups:
        return {}
    if "slope_mean" in effects:
        slope = effects["slope_mean"][..., None] + effects["slope_z"]
    else:
        slope = pool.assumptions.slopes.prior.mean + effects["slope_z"] @ pool.slope_factor.T
    found = {"slope": slope}
    if "bias_z" in effects:
        found["bias"] = pool.bias_prior[:, 0] + pool.bias_prior[:, 1] * effects["bias_z"]
    return found


def _responses(effects: Values, pool: Pool) -> dict[str, np.ndarray]:
    """Logits of response by study and arm: exchangeable in the last arm, by itself elsewhere."""
    groups = pool.groups("response")
    if not groups:
        return {}
    pooled, place = pool.pooled_responses, np.eye(len(groups))
    logits = 0.0
    if pooled.any():
        logits = effects["response_mean"] * pooled.astype(float)
        own = _difference(effects, "response_difference", pool.assumptions.response)
        logits = logits if own is None else logits + own @ place[pooled]
    if (~pooled).any():
        logits = logits + effects["response_alone"] @ place[~pooled]
    return {"response": logits}


def _study_slopes(effects: Values, derived: Values, pool: Pool) -> np.ndarray:
    """Slopes of the patients' strata (study and arm) at their landmark, (..., stratum)."""
    columns = [
        derived["slope"][
            ..., pool.slope_groups.index(f"{c.endpoint} {arm}"), pool.landmarks.index(c.landmark)
        ]
        for c in pool.landmark_cohorts
        for arm in pool.assumptions.arms
    ]
    own = _heterogeneous(effects, "slope_study_z", pool.assumptions.slopes.between_studies)
    return np.stack(columns, axis=-1) + own


def linear_parts(effects: Values, pool: Pool) -> dict[str, np.ndarray]:
    """What the likelihood reads, each (..., element).

    ``location`` and ``log_inflation`` of every row (0 where it has none), ``response`` (a logit),
    ``shrinkage_location`` and ``shrinkage_log_spread`` of every count, and flat over rows or curves and
    intervals the log hazards ``curve_rows`` and ``curves``; of patients after their landmark ``after_slope``
    (stratum) and ``after``.
    """
    derived, found = derive(effects, pool), {}
    first = next(iter(effects))
    lead = effects[first].shape[: effects[first].ndim - len(pool.free[first].dims)]
    if len(pool.rows):
        found["location"] = np.zeros((*lead, len(pool.rows))) + _locations(derived, effects, pool)
        found["log_inflation"] = _log_inflation(effects, pool, lead)
    if pool.groups("response"):
        found["response"] = derived["response"][..., count_rows(pool, "response").group]
    if pool.groups("shrinkage"):
        own = count_rows(pool, "shrinkage").group
        for name in ("shrinkage_location", "shrinkage_log_spread"):
            found[name] = effects[name][..., own]
    if pool.curve_rows:
        found["curve_rows"] = derived["log_hazard"][..., [pool.curves.index(c) for c in pool.curve_rows], :]
    if pool.has_curve_patients:
        found["curves"] = derived["log_hazard"]
    if pool.landmark_cohorts:
        found["after_slope"], found["after"] = derived["study_slope"], derived["landmark_log_hazard"]
    return {name: value.reshape(*lead, -1) for name, value in found.items()}


def _log_inflation(effects: Values, pool: Pool, lead: tuple[int, ...]) -> np.ndarray:
    """Log of the factor on each row's standard error."""
    if "log_inflation" not in effects:
        return np.zeros((*lead, len(pool.rows)))
    inflated = [d.inflated for d in pool.data]
    return effects["log_inflation"] @ np.eye(len(pool.rows))[inflated]


def _locations(derived: Values, effects: Values, pool: Pool):
    """Model value of rows that are effects or slopes on the log scale, (..., row); 0 for the others."""
    total = 0.0
    for i, row in enumerate(pool.rows.itertuples()):
        place = np.eye(len(pool.rows))[i]
        if row.statistic in EFFECTS:
            value = derived["arm_effect"][..., pool.effects.index(f"{row.endpoint} {row.study}")]
        elif row.statistic in SLOPES:
            group = f"{row.endpoint} {row.arm}"
            value = derived["slope"][..., pool.slope_groups.index(group), pool.landmarks.index(row.landmark)]
            if row.landmark == NO_LIMIT and group in pool.biased_groups:
                value = value + derived["bias"][..., pool.biased_groups.index(group)]
        elif row.statistic == "odds ratio":
            value = effects["completion"][..., 0]
        else:
            continue
        total = total + value[..., None] * place
    return total


@dataclass(frozen=True, eq=False)
class Design:
    """``linear_parts`` as one affine map of the vector of effects: ``matrix`` (element, effect) and
    ``intercept``, and where each part is found in its result."""

    matrix: np.ndarray
    intercept: np.ndarray
    parts: Mapping[str, slice]


def design(pool: Pool) -> Design:
    """The affine map, read off ``linear_parts`` at the unit vectors."""
    names, size = effect_names(pool), len(effect_labels(pool))
    at = linear_parts(split(np.vstack([np.zeros(size), np.eye(size)]), names, pool), pool)
    ends = np.cumsum([value.shape[1] for value in at.values()])
    parts = {name: slice(int(end) - at[name].shape[1], int(end)) for name, end in zip(at, ends, strict=True)}
    whole = np.concatenate(list(at.values()), axis=1)
    return Design((whole[1:] - whole[0]).T.copy(), whole[0], parts)


# --- what the likelihood makes of it ------------------------------------------------------------------


def inputs(pool: Pool) -> dict[str, np.ndarray]:
    """The numbers that a compiled model takes anew: rows, weights, hyperparameters, patients."""
    linear = design(pool)
    arrays = {
        "design": linear.matrix,
        "intercept": linear.intercept,
        "hyperparameters": hyperparameters(pool),
    }
    if len(pool.rows):
        located = [d.kind != "binomial" for d in pool.data]
        arrays["rows"] = np.array(
            [
                [d.value if u else 0.0 for d, u in zip(pool.data, located, strict=True)],
                [d.se if u else 1.0 for d, u in zip(pool.data, located, strict=True)],
                pool.power,
                ~pool.is_of(CURVES),
            ],
            float,
        )
        arrays["root"] = precision_root(pool)
    for endpoint in COUNTED:
        if pool.groups(endpoint):
            counts = count_rows(pool, endpoint)
            arrays[f"{endpoint}_counts"] = np.vstack([counts.array, pool.power[counts.rows]])
    if "curve_rows" in linear.parts:
        arrays["row_months"] = row_months(pool)
    arrays |= _patient_inputs(pool)
    if scale_names(pool):
        arrays["scale_sd"] = scale_hyperparameters(pool)
        sd = arrays["hyperparameters"][1]
        arrays["information"] = information(linear.matrix, linear.parts, arrays, sd, pool)
    return arrays


def precision_root(pool: Pool) -> np.ndarray:
    """Matrix R, (row, row), with R' R the precision of the rows' standardised residuals."""
    root, used = np.zeros_like(pool.precision), np.diag(pool.precision) > 0
    root[np.ix_(used, used)] = np.linalg.cholesky(pool.precision[np.ix_(used, used)]).T
    return root


def row_months(pool: Pool) -> np.ndarray:
    """Matrix from hazards of ``curve_rows`` to cumulative hazards of all rows, (row, row and interval)."""
    n, k = pool.curve_months.shape
    spread = np.zeros((len(pool.rows), n, k))
    spread[np.flatnonzero(pool.is_of(CURVES)), np.arange(n)] = pool.curve_months
    return spread.reshape(len(pool.rows), n * k)


def row_location(parts: Values, pool: Pool) -> np.ndarray:
    """What each row is expected to be, on its scale: (..., row)."""
    location = parts["location"].copy()
    if "curve_rows" in parts:
        own = pool.is_of(CURVES)
        location[..., own] = np.log(np.exp(parts["curve_rows"]) @ row_months(pool)[own].T)
    return location


def hyperparameters(pool: Pool) -> np.ndarray:
    """Mean, SD, vague SD and weight of every effect, (4, effect); of one component: its SD twice and 1."""
    columns = []
    for name in effect_names(pool):
        prior, n = pool.free[name].prior, int(np.prod(pool.free[name].shape))
        if isinstance(prior, Borrowing):
            columns += [(0.0, prior.sd, prior.vague_sd, prior.weight)] * n
        else:
            columns += [(prior.mean, prior.sd, prior.sd, 1.0)] * n
    return np.array(columns).T


def scale_hyperparameters(pool: Pool) -> np.ndarray:
    """Scale of the prior of every standard deviation."""
    values = []
    for name in scale_names(pool):
        prior = pool.free[name].prior
        scale = prior.scale if isinstance(prior, HalfCauchy) else prior.sd
        values += [scale] * int(np.prod(pool.free[name].shape))
    return np.array(values)


def _patient_inputs(pool: Pool) -> dict[str, np.ndarray]:
    arrays = {}
    if pool.has_curve_patients:
        curves = np.zeros((2, len(pool.curves), pool.n_intervals))
        for cohort in pool.cohorts:
            for a, arm in enumerate(pool.assumptions.arms):
                if cohort.person_time[a].any():
                    at = pool.curves.index((cohort.endpoint, cohort.study, arm))
                    curves[:, at] = cohort.weight * np.stack([cohort.events[a], cohort.person_time[a]])
        arrays["curve_patients"] = curves.reshape(2, -1)
    if pool.landmark_cohorts:
        arrays |= _landmark_inputs(pool)
    return arrays


def _landmark_inputs(pool: Pool) -> dict[str, np.ndarray]:
    """Events, score of the events, and nodes of exposure, stratum by stratum (study, then arm)."""
    events, scores, nodes = [], [], []
    for cohort in pool.landmark_cohorts:
        data, arms = cohort.exposure, np.arange(len(pool.assumptions.arms))
        rule = compress(data, patterns=arms[:, None].astype(float))
        events.append(cohort.weight * data.events)
        scores.append(cohort.weight * data.score_events)
        nodes.append(np.stack([cohort.weight * rule.weight, rule.score]))
    return {
        "after_events": np.concatenate(events).ravel(),
        "after_scores": np.concatenate(scores),
        "after_nodes": np.concatenate(nodes, axis=1).reshape(2, -1, NODES),
    }


def log_cumulative_hazard(log_hazard: np.ndarray, months: np.ndarray) -> np.ndarray:
    """log H of curves, (..., row), at times that spent ``months`` (row, interval) in each interval;
    ``log_hazard`` (..., row, interval)."""
    return np.log((np.exp(log_hazard) * months).sum(axis=-1))


def student_rows(pool: Pool) -> np.ndarray:
    """1 for rows with a Student-t likelihood, else 0."""
    return np.array([d.kind == "student" for d in pool.data], float)


def student_log_density(z, maths: Maths = NUMPY):
    """Log density of Student's t with ``STUDENT_DF`` degrees of freedom, without its constant."""
    return -0.5 * (STUDENT_DF + 1) * maths.log(1.0 + z**2 / STUDENT_DF)


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of one endpoint: their places among all rows, the group of each, and ``array``: successes and
    numbers, (2, count), and of shrinkage the places of the threshold, the next higher and the next lower.

    Places are logits of the way from -20 to 100 points.
    """

    rows: np.ndarray
    group: np.ndarray
    array: np.ndarray


def count_rows(pool: Pool, endpoint: str, *, given_lower: bool = False) -> Counts:
    """The counts of ``endpoint``. Nested thresholds become successive ones: of those below the next higher
    threshold, how many reach the lower; a count of power 0 is passed over.

    ``given_lower`` conditions on the next lower count too: then each count is given all the others.
    """
    printed, higher, lower = _nested(pool, endpoint)
    k, n, threshold = printed.array
    if endpoint != "shrinkage":
        return replace(printed, array=printed.array[:2])
    above, aside = _of_next(threshold, higher, LARGEST_SHRINKAGE), _of_next(k, higher, 0.0)
    under, whole = np.full(len(n), SMALLEST_SHRINKAGE), n
    if given_lower:
        under, whole = _of_next(threshold, lower, SMALLEST_SHRINKAGE), _of_next(k, lower, n)
    places = (_place(x) for x in (threshold, above, under))
    return replace(printed, array=np.stack([k - aside, whole - aside, *places]))


def _of_next(values: np.ndarray, following: list[int | None], otherwise) -> np.ndarray:
    """The value of each one's next count, or ``otherwise`` where it has none."""
    fallback = np.broadcast_to(otherwise, values.shape)
    return np.array([fallback[i] if j is None else values[j] for i, j in enumerate(following)], float)


def _nested(pool: Pool, endpoint: str) -> tuple[Counts, list[int | None], list[int | None]]:
    """The counts as printed (successes, numbers, thresholds), and the place of each one's next higher and
    next lower count of the same patients."""
    own = np.flatnonzero(
        ((pool.rows["endpoint"] == endpoint) & (pool.rows["statistic"] == "count")).to_numpy()
    )
    labels, table = pool.groups(endpoint), pool.rows.iloc[own]
    group = np.array([labels.index(f"{row.study} {row.arm}") for row in table.itertuples()], int)
    k = np.array([pool.data[i].successes for i in own], float)
    n = np.array([pool.data[i].n for i in own], float)
    threshold = table["threshold"].to_numpy(float)
    known = pool.power[own] > 0

    def nearest(i: int, step: float) -> int | None:
        beyond = (group == group[i]) & known & (step * (threshold - threshold[i]) > 0)
        return min(np.flatnonzero(beyond), key=lambda j: step * threshold[j], default=None)

    nested = endpoint == "shrinkage"
    higher, lower = ([nearest(i, step) if nested else None for i in range(len(own))] for step in (1.0, -1.0))
    return Counts(own, group, np.stack([k, n, threshold])), higher, lower


def _place(shrinkage: np.ndarray) -> np.ndarray:
    """Logit of the way from the smallest to the largest shrinkage."""
    with np.errstate(divide="ignore"):
        way = np.clip((shrinkage - SMALLEST_SHRINKAGE) / (LARGEST_SHRINKAGE - SMALLEST_SHRINKAGE), 0.0, 1.0)
        return np.clip(special.logit(way), -FARTHEST, FARTHEST)


def below(shrinkage: np.ndarray, location, spread, maths: Maths = NUMPY):
    """Probability of a best shrinkage below ``shrinkage`` points, whose place between -20 and 100 points is
    logit-normal."""
    return _below(_place(shrinkage), location, spread, maths)


def _below(place, location, spread, maths: Maths):
    return 0.5 * (1.0 + maths.erf((place - location) / (spread * np.sqrt(2.0))))


def count_log_likelihood(parts: Values, counted, endpoint: str, maths: Maths = NUMPY):
    """Binomial log-likelihood of each count of ``endpoint``, without the binomial coefficient.

    ``parts`` are those of ``linear_parts``; ``counted`` begins with the array of ``count_rows``.
    """
    k, n = counted[0], counted[1]
    if endpoint == "response":
        logit = parts["response"]
        return -k * maths.softplus(-logit) - (n - k) * maths.softplus(logit)
    location, spread = parts["shrinkage_location"], maths.exp(parts["shrinkage_log_spread"])
    at, upper, lower = (_below(counted[i], location, spread, maths) for i in (2, 3, 4))
    return (
        k * maths.log(upper - at + TINY)
        + (n - k) * maths.log(at - lower + TINY)
        - n * maths.log(upper - lower + TINY)
    )
