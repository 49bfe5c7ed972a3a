"""From a plan to results, in one way for patients and published numbers: prepare, fit, check, tabulate."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import singledispatch
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from threadpoolctl import threadpool_limits

from bayes_net.checks.gate import Gate, gate, loo
from bayes_net.data.cohort import Origin
from bayes_net.errors import InputError
from bayes_net.specification.base import Plan
from bayes_net.tables.notes import Note

if TYPE_CHECKING:
    from bayes_net.data.cohort import Cohort
    from bayes_net.inference.sampling import Sampler


DIAGNOSTICS = "diagnostics"
"""Table of every check of every fit: fit, check, worst, threshold, passed, where."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""


class Steps:
    """Counts the steps of a run for a ``Progress``, if there is one."""

    def __init__(self, progress: Progress | None = None, total: int = 0) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def next(self, label: str) -> None:
        """Say what comes next."""
        if self._progress:
            self._progress(label, self._done, self._total)
        self._done += 1


class FittedModel(Protocol):
    """A fit and its gate, with what else a line needs for its tables."""

    @property
    def fit(self) -> xr.DataTree:
        """The posterior with all that belongs to it."""

    @property
    def gate(self) -> Gate:
        """Whether it can be believed."""


Fits = TypeVar("Fits", bound=FittedModel)


@dataclass(frozen=True, eq=False)
class ModelToFit:
    """One model of a plan.

    ``fit(sampler, seed)`` samples it. ``reported(tree)`` are the draws behind what will be reported, at which
    the gate looks. ``finished(tree, gate)`` is the fit from which tables are made. Models of one
    ``shape_key`` share a compiled model. One that is ``alone`` in its run has the run's own seed
    (``seed_of``).
    """

    label: str
    shape_key: tuple
    fit: Callable[[Sampler, int], xr.DataTree]
    reported: Callable[[xr.DataTree], dict[str, xr.DataArray]]
    finished: Callable[[xr.DataTree, Gate], FittedModel]
    alone: bool = False

    def judged(self, tree: xr.DataTree) -> Gate:
        """The gate of the model and of what it reports."""
        return gate(tree, self.reported(tree))


@dataclass(frozen=True, eq=False)
class Prepared(ABC, Generic[Fits]):
    """A validated plan with its data, laid out: all that sampling needs. ``notes`` call for judgement;
    ``engine`` is that of its ``sampler``."""

    plan: Plan
    notes: tuple[Note, ...]
    engine: str = field(default="numba", kw_only=True)
    kind: ClassVar[str]
    """Kind of the result's report."""

    @property
    @abstractmethod
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of all data, by name."""

    @property
    @abstractmethod
    def synthetic(self) -> bool:
        """Whether patients are simulated."""

    @property
    @abstractmethod
    def origin(self) -> Sequence[Origin]:
        """Where each field of the patients comes from, where that is known."""

    @abstractmethod
    def models(self, *, brief: bool = False) -> tuple[ModelToFit, ...]:
        """Every model to fit; a ``brief`` one reports hazard ratios alone, as a scenario does."""

    @property
    def n_refits(self) -> int:
        """Steps of a run in which models are fitted anew with something left out."""
        return 0

    @abstractmethod
    def tables(self, fits: Sequence[Fits], steps: Steps) -> dict[str, pd.DataFrame]:
        """Every table of a run, by file name; ``DIAGNOSTICS`` is among them."""

    @abstractmethod
    def ratios(self, fits: Sequence[Fits]) -> pd.DataFrame:
        """All hazard ratios of brief fits, one row each, with their ``gate``."""

    @abstractmethod
    def posterior(self, fits: Sequence[Fits]) -> xr.DataTree:
        """What ``posterior.nc`` holds of the fits: nothing in it belongs to a single patient."""

    @property
    def shape(self) -> str:
        """Plans of the same text are likely to share their compiled models."""
        return repr([model.shape_key for model in self.models(brief=True)])

    @property
    def key(self) -> str:
        """What a stored result belongs to: plan, data, and versions of what computes it."""
        versions = [version(name) for name in ("bayes-net", "pymc", "nutpie", "numpy")]
        text = "\n".join([self.plan.digest, *self.digests.values(), *versions, self.engine])
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    @property
    def sampler(self) -> Sampler:
        """How the plan wants to be sampled."""
        from bayes_net.inference.sampling import Sampler

        wanted = self.plan.sampling
        how = wanted.model_dump(include={"draws", "tune", "chains", "target_accept", "method"})
        return Sampler(**how, engine=self.engine)


@dataclass(frozen=True, eq=False)
class Analysis:
    """A finished run: its fits, and its tables by the names of their files.

    ``folder`` is where the results were written, if anywhere.
    """

    prepared: Prepared
    fits: tuple[Any, ...]
    tables: Mapping[str, pd.DataFrame] = field(repr=False)
    folder: Path | None = None

    @property
    def gate(self) -> pd.DataFrame:
        """Every check of every fit: fit, check, worst, threshold, passed, where."""
        return self.tables[DIAGNOSTICS]

    @property
    def passed(self) -> bool:
        """Whether every fit, also with something left out, passed its gate."""
        return bool(self.gate["passed"].all())

    @property
    def provenance(self) -> dict[str, str]:
        """Where the result comes from, as plain text attributes."""
        prepared, plan, attributes = self.prepared, self.prepared.plan, [f.fit.attrs for f in self.fits]
        methods = Counter(str(own["method"]) for own in attributes)
        return {
            "title": plan.title,
            "synthetic": "yes: patients are simulated" if prepared.synthetic else "no",
            "specification_sha256": plan.digest,
            **prepared.digests,
            "seed": str(plan.sampling.seed),
            "attempts": str(max(own["attempts"] for own in attributes)),
            "engine": prepared.engine,
            "method": "; ".join(f"{how} ({n} of {len(attributes)})" for how, n in methods.items()),
            "gate": "passed" if self.passed else "failed",
            "specification": plan.public_toml(),
        } | {name: str(value) for name, value in attributes[0].items() if name.startswith("version ")}


def prepare(
    plan: Plan,
    *,
    cohorts: dict[str, Cohort] | None = None,
    patients: pd.DataFrame | None = None,
    scans: pd.DataFrame | None = None,
) -> Prepared:
    """Read and validate a plan's data and lay out every model to fit; nothing is sampled.

    ``cohorts`` keeps the patients that were read, and gives them to other plans of the same patients.
    ``patients`` and ``scans`` are tables in the place of the files that a plan of patients names.

    Raises
    ------
    InputError
        The data break a rule, or do not fit the models.
    """
    given = {"patients": patients, "scans": scans}
    tables = {name: table for name, table in given.items() if table is not None}
    return laid_out(plan, {} if cohorts is None else cohorts, tables)


@singledispatch
def laid_out(plan: Plan, cohorts: dict[str, Cohort], tables: Mapping[str, pd.DataFrame]) -> Prepared:
    """What ``prepare`` gives, of each kind of plan."""
    raise InputError(f"{plan!r} is no specification; expected what read_specification gives")


def analyse(prepared: Prepared, *, progress: Progress | None = None) -> Analysis:
    """Fit and check what was prepared, leave out what the plan leaves out, and tabulate.

    A model that cannot be sampled fails the gate, and the others are kept.

    Raises
    ------
    InputError
        No model could be sampled.
    """
    steps = Steps(progress, len(prepared.models()) + prepared.n_refits)
    lost: list[pd.DataFrame] = []
    fits = fit_models(prepared, steps=steps, lost=lost)
    if not fits:
        raise InputError("no model could be sampled: " + "; ".join(lost[0]["fit"] + ": " + lost[0]["where"]))
    with one_thread():
        tables = {name: table for name, table in prepared.tables(fits, steps).items() if len(table)}
    tables[DIAGNOSTICS] = pd.concat([tables[DIAGNOSTICS], *lost], ignore_index=True)
    if prepared.synthetic:
        tables = {name: table.assign(synthetic=True) for name, table in tables.items()}
    return Analysis(prepared, fits, tables)


def one_thread() -> AbstractContextManager[object]:
    """Linear algebra in one thread: matrices are small, and threads that wait for each other take ten times
    the processor's time."""
    return threadpool_limits(1, user_api="blas")


def fit_models(
    prepared: Prepared,
    *,
    brief: bool = False,
    steps: Steps | None = None,
    lost: list[pd.DataFrame] | None = None,
) -> tuple[FittedModel, ...]:
    """Sample and check every model; one that fails its gate is sampled once more and more carefully, unless
    the plan says otherwise, and that result stands. Of one that cannot be sampled the failed check goes to
    ``lost``; without that, what it raised is raised."""
    from bayes_net.inference.sampling import seed_of

    wanted, steps, fits = prepared.plan.sampling, steps or Steps(), []
    for model in prepared.models(brief=brief):
        steps.next(model.label)
        label = None if model.alone else model.label
        seeds = [seed_of(wanted.seed, attempt, label=label) for attempt in range(1, 2 + wanted.retry)]
        try:
            with one_thread():
                tree_and_gate = sampled(model.fit, model.judged, sampler=prepared.sampler, seeds=seeds)
        except CANNOT_SAMPLE as reason:
            if lost is None:
                raise
            lost.append(_failed("sampling", reason).assign(fit=model.label))
        else:
            fits.append(model.finished(*tree_and_gate))
    return tuple(fits)


def sampled(
    fit: Callable[[Sampler, int], xr.DataTree],
    judge: Callable[[xr.DataTree], Gate],
    *,
    sampler: Sampler,
    seeds: Sequence[int],
) -> tuple[xr.DataTree, Gate]:
    """A fit that is sampled anew with each further seed until its gate passes, and that gate."""
    from bayes_net.inference.sampling import careful

    gates: list[Gate] = []

    def passes(tree: xr.DataTree) -> bool:
        gates.append(judge(tree))
        return gates[-1].passed

    return careful(fit, passes, sampler=sampler, seeds=seeds), gates[-1]


CANNOT_COMPUTE = (ArithmeticError, ValueError, IndexError, np.linalg.LinAlgError)
"""What a diagnostic raises of draws that it cannot use."""
CANNOT_SAMPLE = (RuntimeError, *CANNOT_COMPUTE)
"""What a sampler raises of a posterior in which no chain can start."""


def with_leave_one_out(tree: xr.DataTree, judged: Gate) -> tuple[dict[str, float], Gate]:
    """Leave-one-patient-out and the gate, which fails where it cannot be computed."""
    try:
        return loo(tree), judged
    except CANNOT_COMPUTE as reason:
        return {}, Gate(pd.concat([judged.table, _failed("leave-one-out", reason)], ignore_index=True))


def _failed(check: str, reason: Exception) -> pd.DataFrame:
    """The row of a check that could not be made."""
    row = {"check": check, "worst": np.nan, "threshold": np.nan, "passed": False}
    return pd.DataFrame([row | {"where": f"not computed: {reason}"}])


def diagnosed_tables(
    tables: Mapping[str, Callable[[], pd.DataFrame]],
) -> tuple[dict[str, pd.DataFrame], list[pd.DataFrame]]:
    """Tables of diagnostics by name, and for each that could not be computed a failed check: what was sampled
    is never lost with it."""
    found, failed = {}, []
    for name, compute in tables.items():
        try:
            found[name] = compute()
        except CANNOT_COMPUTE as reason:
            failed.append(_failed(name.replace("_", " "), reason).assign(fit="all fits"))
    return found, failed
