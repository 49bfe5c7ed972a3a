"""What is poor about columns of covariates, before anything is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bayes_net.data.exposure import Exposure
from bayes_net.data.intervals import one_hot
from bayes_net.data.terms import Covariate
from bayes_net.errors import listed
from bayes_net.numbers import counted, percent

COLLINEAR = 0.98
"""Share of a covariate's variance from which the others tell it."""


def poor_column(data: Exposure, j: int, name: str) -> Iterator[tuple[str, str]]:
    """What is poor about one column of covariates, by code."""
    values = data.covariates[:, j]
    terms = [each for each in data.terms for _ in each.columns]
    of_term = [each.name for each in terms] or list(data.covariate_names)
    own = [i for i, other in enumerate(of_term) if other == of_term[j]]
    if terms and terms[j].levels and j == own[0] and (unused := _unused_reference(data, own, terms[j])):
        yield "constant-covariate", unused
    if np.ptp(values) == 0:
        how = "is the same in all patients"
        if terms and terms[j].levels:
            how = "is of all patients" if values.any() else "is of no patient"
        yield "constant-covariate", f"{name} {how}, so no hazard ratio of it is printed"
        return
    if set(np.unique(values)) == {0.0, 1.0}:
        for value, whose in ((1.0, "with"), (0.0, "without")):
            if not data.event[values == value].any():
                n = counted(int((values == value).sum()), "patient")
                yield (
                    "covariate-without-events",
                    f"no event in the {n} {whose} {name}: the prior limits its hazard ratio",
                )
    others = [i for i in range(len(of_term)) if i not in own]
    study = np.zeros(data.rows, int) if data.study is None else data.study
    known = {
        "arm": one_hot(data.arm, len(data.arms))[:, 1:],
        "study": one_hot(study, max(len(data.studies), 1))[:, 1:],
        "shrinkage": data.score[:, None],
    }
    columns = np.column_stack([*known.values(), data.covariates[:, others]])
    names = [name for name, part in known.items() for _ in range(part.shape[1])]
    names += [data.covariate_names[i] for i in others]
    if len(values) >= 10 + columns.shape[1]:
        share, by = straight_line(columns, names, values)
        if share >= COLLINEAR:
            message = (
                f"{name} follows from {by} ({percent(share)} of its variance): the data cannot part their "
                "effects, "
                "and their hazard ratios rest on priors"
            )
            yield "collinear-covariate", message


def _unused_reference(data: Exposure, own: Sequence[int], term: Covariate) -> str:
    """That nobody has the level that all others are compared with; "" where somebody has, in each arm that
    has hazard ratios of its own."""
    if not (data.covariates[:, own].sum(axis=1) == 1).all():
        return ""
    return (
        f"{term.name}: no patient has {term.levels[0]}, the level that others are compared with: their "
        "hazard ratios rest on the prior. Put a level first that patients have"
    )


def straight_line(columns: np.ndarray, names: Sequence[str], target: np.ndarray) -> tuple[float, str]:
    """R² of ``target`` (row,) on ``columns`` (row, column) with an intercept, and the fewest that do as
    well."""

    def fit(chosen: Sequence[int]) -> float:
        x = np.column_stack([np.ones(len(target)), columns[:, list(chosen)]])
        left = target - x @ np.linalg.lstsq(x, target, rcond=None)[0]
        return float(1 - (left**2).sum() / ((target - target.mean()) ** 2).sum())

    whole = fit(range(columns.shape[1]))
    groups = sorted(set(names), key=list(names).index)
    for group in groups:
        if fit([i for i, name in enumerate(names) if name == group]) >= whole - 0.005:
            return whole, group
    return whole, listed(groups)
