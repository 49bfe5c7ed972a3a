"""A model's log density as one block of numbers, and how its sampler's vector reads."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

from bayes_net.compiled.code import code
from bayes_net.compiled.fields import FIELDS, sizes_of_work

REALS = {
    "mean", "unit", "information", "prior_mean", "prior_root", "tied_by", "mixed_ratio", "mixed_weight",
    "sd_scale", "constant", "intercept", "design_by", "hits", "node_score", "node_months", "width",
    "piece_score", "piece_months", "piece_covariates", "window_months", "window_score", "window_covariates",
    "row_value", "row_se", "row_power", "row_student",
    "row_published", "curve_months", "root_by", "said_se", "said_root_power", "said_limits", "said_own",
    "before_by", "response_counts", "law_shift", "law_loss", "shrinkage_counts", "ranges", "pair_start",
    "turn_by", "turn_centre",
}  # fmt: skip
"""Fields of real numbers; the others are of whole ones."""

STARTS_MATRIX = {"tied", "design", "cell_nodes", "window", "row_curve", "root", "said_before", "turn"}
"""Fields that say where rows begin: of no rows there is one entry, 0."""


class Variable(NamedTuple):
    """A free variable of the sampler's vector: its shape, and whether its log is what is sampled."""

    shape: tuple[int, ...]
    log: bool = False

    @property
    def size(self) -> int:
        """How many numbers it is."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Posterior:
    """A log posterior density: ``fields`` are all that the compiled code reads, ``variables`` are in the
    order of the sampler's vector.

    Chains start within 1 of ``start`` in every direction, or, where there is a ``spread``, at normal draws
    around it with these SDs. ``turn``: centre and root, where the variables are centre + root @ vector.
    """

    variables: Mapping[str, Variable]
    start: np.ndarray
    fields: Mapping[str, np.ndarray] = field(repr=False)
    spread: np.ndarray | None = None
    turn: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)

    @cached_property
    def block(self) -> np.ndarray:
        """The fields as one block of memory."""
        return packed(self.fields)

    @property
    def size(self) -> int:
        """Length of the sampler's vector."""
        return len(self.start)

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density and gradient at ``x``, a vector of all free variables on the sampler's scale."""
        x = np.ascontiguousarray(x, float)
        if x.shape != (self.size,):
            raise ValueError(f"point has shape {x.shape}; expected ({self.size},)")
        gradient, value = np.empty(self.size), np.empty(1)
        code().log_density.ctypes(
            self.size, *(a.ctypes.data_as(_REAL) for a in (x, gradient, value)), self.block.ctypes.data
        )
        return float(value[0]), gradient

    def first_point(self, seed: int) -> np.ndarray:
        """Where a chain starts."""
        rng = np.random.default_rng(seed)
        if self.spread is None:
            return self.start + rng.uniform(-1.0, 1.0, self.size)
        return self.start + self.spread * rng.standard_normal(self.size)

    def starting_near(self, centre: np.ndarray, spread: np.ndarray) -> Posterior:
        """The same with chains that start around ``centre``, SDs ``spread``."""
        return replace(self, start=centre, spread=spread)

    def turned(self, centre: np.ndarray, root: np.ndarray, *, spread: float) -> Posterior:
        """The same of a vector u with x = ``centre`` + ``root`` @ u for this one's x; chains start at normal
        draws around the centre, ``spread`` roots away."""
        turn = matrix("turn", root, "turn_column", "turn_by")
        fields = {**self.fields, **turn, "turn_centre": centre}
        start, spreads = np.zeros(self.size), np.full(self.size, spread)
        return replace(self, start=start, fields=fields, spread=spreads, turn=(centre, root))

    def named(self, draws: np.ndarray) -> dict[str, np.ndarray]:
        """The free variables, (..., *shape), of draws (..., size) of the sampler's vector."""
        found, end = {}, 0
        if self.turn:
            centre, root = self.turn
            draws = centre + draws @ root.T
        for name, (shape, log) in self.variables.items():
            start, end = end, end + int(np.prod(shape))
            part = draws[..., start:end].reshape(*draws.shape[:-1], *shape)
            found[name] = np.exp(part) if log else part
        return found


_REAL = ctypes.POINTER(ctypes.c_double)


def packed(fields: Mapping[str, np.ndarray]) -> np.ndarray:
    """``fields`` as one block: its length, the places of fields and of what is
    computed, the fields; those not given are empty."""
    unknown = set(fields) - set(FIELDS)
    if unknown:
        raise ValueError(f"fields {sorted(unknown)} are unknown")
    parts = []
    for name in FIELDS:
        given = np.zeros(1 if name in STARTS_MATRIX else 0) if fields.get(name) is None else fields[name]
        part = np.ascontiguousarray(given, np.float64 if name in REALS else np.int64).ravel()
        parts.append(part.view(np.int64))
    work = sizes_of_work(dict(zip(FIELDS, map(len, parts), strict=True))).values()
    work_at = np.cumsum([0, *work])
    # places are counted from the first of them, as the compiled code does
    at = len(FIELDS) + 1 + len(work_at) + np.cumsum([0, *map(len, parts)])
    return np.concatenate([[at[-1] + 1], at, work_at, *parts]).astype(np.int64)


def matrix(name: str, dense: np.ndarray, columns: str, by: str) -> dict[str, np.ndarray]:
    """The three fields of a sparse matrix."""
    found = sparse.csr_array(dense)
    found.sort_indices()
    return {name: found.indptr, columns: found.indices, by: found.data}
