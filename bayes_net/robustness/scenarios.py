"""Would the answer change? Every scenario of a specification planned, validated and refitted.

A scenario is the specification with some keys changed. All are validated, data included, before the first
fit; each is stored as soon as it is done, so that a killed grid goes on where it stood; and each has the
seeds of an ordinary run, so that where and in which order it is computed changes nothing.
"""

from __future__ import annotations

import copy
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from bayes_net.data.cohort import Cohort
from bayes_net.errors import InputError, SpecificationError, listed
from bayes_net.files.writing import write_whole
from bayes_net.numbers import significant
from bayes_net.results.columns import hazard_ratio_columns
from bayes_net.robustness.audit import Step, audit_steps
from bayes_net.schema import AS_SPECIFIED, ERROR
from bayes_net.specification.base import Plan
from bayes_net.specification.fields import repeated
from bayes_net.specification.read import parse_specification
from bayes_net.specification.sections import without_identifiers
from bayes_net.workflow.analysis import Prepared, Progress, fit_models, prepare

MOST_SCENARIOS = 10_000
"""Combinations of a grid: more would take weeks to fit."""

_PATIENCE = 10
"""Seconds in which a scheduler is to answer."""


@dataclass(frozen=True, eq=False)
class Scenario:
    """A specification with some keys changed; ``changes`` holds the keys, with dots, and their values.

    ``step`` is that of the audit that made it.
    """

    name: str
    changes: Mapping[str, Any]
    specification: Plan
    step: Step | None = None

    @property
    def changes_in_words(self) -> dict[str, str]:
        """The changes as text, identifiers of patients withheld."""
        return {key: in_words(value) for key, value in without_identifiers(_plain(self.changes)).items()}


def plan(specification: Plan, *, only: Sequence[str] = (), audit: bool = False) -> tuple[Scenario, ...]:
    """All scenarios: the specification itself, its named changes, and every combination of its grid.

    ``audit`` adds every prior weakened and moved, and every study left out (``audit_steps``). ``only`` keeps
    the named ones, and the specification itself.

    Raises
    ------
    SpecificationError
        There is none, two have the same name, a changed key does not exist or has a value that is not
        allowed, or ``only`` names none. Every problem is told, with its scenario.
    """
    wanted: list[tuple[str, Mapping[str, Any], Step | None]] = [
        (section.name, section.change, None) for section in specification.scenarios
    ]
    grid = specification.grid
    if (n := prod(map(len, grid.values()))) > MOST_SCENARIOS:
        raise SpecificationError(
            f"the grid has {significant(n, 3)} scenarios; expected at most {MOST_SCENARIOS}. List fewer"
        )
    combinations = [dict(zip(grid, values, strict=True)) for values in product(*grid.values()) if values]
    wanted += [(_named(changes), changes, None) for changes in combinations]
    wanted += [(step.name, step.change, step) for step in (audit_steps(specification) if audit else ())]
    if not wanted:
        raise SpecificationError(
            "the specification has no scenarios; add [[scenarios]] with name and change, or a [grid], or ask "
            "for the audit of its priors"
        )
    names = [AS_SPECIFIED, *(name for name, _, _ in wanted)]
    if twice := sorted(set(repeated(names))):
        raise SpecificationError(f"scenarios {listed(twice)} come twice; give each a name of its own")
    if unknown := [name for name in only if name not in names]:
        raise SpecificationError(f"no scenario {listed(unknown)}; there are {listed(names, limit=20)}")
    scenarios, problems = [], []
    for name, changes, step in [(AS_SPECIFIED, {}, None), *wanted]:
        if only and name not in (*only, AS_SPECIFIED):
            continue
        try:
            scenarios.append(Scenario(name, changes, _changed(specification, changes, name), step))
        except InputError as problem:
            problems.append(str(problem))
    if problems:
        raise SpecificationError("\n".join(problems), problems=problems)
    return tuple(scenarios)


def _named(changes: Mapping[str, Any]) -> str:
    public = without_identifiers(_plain(changes))
    return ", ".join(f"{key.rpartition('.')[2]} {in_words(value)}" for key, value in public.items())


def _plain(value: Any) -> Any:
    """Lists instead of tuples, as TOML and JSON have them."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def in_words(value: Any) -> str:
    """A value of a specification on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {in_words(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return "–".join(map(in_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _changed(specification: Plan, changes: Mapping[str, Any], name: str) -> Plan:
    values = specification.values
    # a name is no path: relative files start at the specification's folder whatever it holds
    where = specification.folder / f"scenario {name!r}".replace("/", "\N{DIVISION SLASH}")
    for key, value in changes.items():
        _set_key(values, key, value, where)
    return parse_specification(values, where=where)


def _set_key(values: dict, key: str, value: Any, where: Path) -> None:
    """Set ``a.b`` in nested tables; entries of a list of tables count from 1: ``cohorts.1.weight``."""
    *path, last = key.split(".")
    at: Any = values
    for part in path:
        at = _entry(at, part, key, where) if isinstance(at, list) else at.setdefault(part, {})
        if not isinstance(at, dict | list):
            raise SpecificationError(f"{where}: {key} leads through {part}, which is no table")
    if isinstance(at, list):
        raise SpecificationError(f"{where}: {key} ends in a list of tables; name one by its number")
    at[last] = copy.deepcopy(value)


def _entry(entries: list, number: str, key: str, where: Path) -> Any:
    if number not in map(str, range(1, len(entries) + 1)):
        raise SpecificationError(f"{where}: {key}: {number!r} is no entry; expected 1 to {len(entries)}")
    return entries[int(number) - 1]


def run_scenarios(
    scenarios: Sequence[Scenario],
    store: Path,
    *,
    engine: str = "numba",
    jobs: int = 1,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Fit every scenario that ``store`` does not hold yet, and return the hazard ratios of all.

    One row a scenario and hazard ratio, in the order of ``scenarios``; ``gate`` is passed, failed or error
    (then ``error`` says why, and there is no number). Each result is written to ``store`` when it is there.

    Raises
    ------
    InputError
        A scenario's data break a rule: found before the first fit.
    """
    store.mkdir(parents=True, exist_ok=True)
    errors: dict[str, str] = {}
    with _workers(jobs, scheduler) as compute:
        prepared = [replace(ready, engine=engine) for ready in _prepare_all(scenarios)]
        by_name = {each.name: ready for each, ready in zip(scenarios, prepared, strict=True)}
        files = {name: store / f"{ready.key}.parquet" for name, ready in by_name.items()}
        todo = [pair for pair in by_name.items() if not files[pair[0]].exists()]
        todo.sort(key=lambda pair: pair[1].shape)
        known = len(scenarios) - len(todo)
        for done, (name, table, error) in enumerate(compute(todo), start=known + 1):
            if table is None:
                errors[name] = error
            else:
                write_whole(files[name], table.to_parquet(index=False))
            if progress:
                progress(name, done, len(scenarios))
    parts = [_result_of(each, files[each.name], errors.get(each.name, "")) for each in scenarios]
    return pd.concat(parts, ignore_index=True)


def _prepare_all(scenarios: Sequence[Scenario]) -> list[Prepared]:
    cohorts: dict[str, Cohort] = {}
    prepared, problems = [], []  # most scenarios have the same patients: they are read once
    for each in scenarios:
        try:
            prepared.append(prepare(each.specification, cohorts=cohorts))
        except InputError as problem:
            problems.append(f"scenario {each.name!r}: {problem}")
    if problems:
        raise InputError("\n".join(problems))
    return prepared


Outcome = tuple[str, pd.DataFrame | None, str]


@contextmanager
def _workers(jobs: int, scheduler: str | None) -> Iterator[Callable[[list], Iterator[Outcome]]]:
    """What fits prepared scenarios, in whatever order they are done.

    Processes of this machine start, and import what fits need, while the grid is still being validated.
    """
    if jobs == 1 and scheduler is None:
        yield lambda todo: (_fitted(name, ready) for name, ready in todo)
        return
    from joblib import Parallel, delayed

    how = {"n_jobs": -1 if scheduler else jobs, "return_as": "generator_unordered", "batch_size": 1}
    with _backend(scheduler), Parallel(**how) as parallel:
        started = parallel(delayed(_import)() for _ in range(0 if scheduler else jobs))

        def compute(todo: list) -> Iterator[Outcome]:
            tuple(started)
            return parallel(delayed(_fitted)(name, ready) for name, ready in todo)

        try:
            yield compute
        finally:
            tuple(started)  # joblib warns of what it has to give up


def _import() -> None:
    import bayes_net.inference.patients  # noqa: F401


@contextmanager
def _backend(scheduler: str | None) -> Iterator[None]:
    if scheduler is None:
        yield
        return
    try:
        from dask.distributed import Client
        from joblib import parallel_config
    except ImportError as problem:
        raise InputError("a scheduler needs dask: pip install 'dask[dataframe]' distributed") from problem
    _refuse_unreachable(scheduler)
    with Client(scheduler, timeout=_PATIENCE), parallel_config(backend="dask"):
        yield


def _refuse_unreachable(address: str) -> None:
    """Refuse an address at which nobody answers: dask itself tries for long, and leaves threads behind."""
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        if parts.scheme not in ("tcp", "tls") or not parts.hostname or not parts.port:
            raise ValueError("it has no host and port")
        socket.create_connection((parts.hostname, parts.port), timeout=_PATIENCE).close()
    except (OSError, ValueError) as problem:
        raise InputError(
            f"the scheduler {address!r} cannot be reached ({problem}); expected one that runs, "
            "such as tcp://127.0.0.1:8786"
        ) from problem


def _fitted(name: str, prepared: Prepared) -> Outcome:
    """A scenario's hazard ratios, or what went wrong: one that fails must not take the others with it."""
    try:
        ratios = prepared.ratios(fit_models(prepared, brief=True))
        return name, ratios.assign(synthetic=prepared.synthetic), ""
    except Exception as problem:
        return name, None, f"{type(problem).__name__}: {problem}"


def _result_of(scenario: Scenario, path: Path, error: str) -> pd.DataFrame:
    if error:
        table = hazard_ratio_columns(pd.DataFrame({"gate": [ERROR]})).assign(synthetic=False)
    else:
        table = pd.read_parquet(path)
    table.insert(0, "scenario", scenario.name)
    return table.assign(error=error)
