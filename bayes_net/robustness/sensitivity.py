"""Running the scenarios of a specification, and writing what they say together."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.checks.tipping import FACTORS, censoring_tipping, with_words
from bayes_net.errors import InputError, SpecificationError
from bayes_net.figures.scenarios import draw_censoring, draw_scenarios
from bayes_net.report.scenarios import SCENARIOS
from bayes_net.results.columns import KEYS
from bayes_net.results.publishing import publish
from bayes_net.results.scenarios import strongest, summary, troubles, usable
from bayes_net.robustness.audit import LEFT_OUT, WEAKENED
from bayes_net.robustness.scenarios import Scenario, plan, run_scenarios
from bayes_net.schema import AS_SPECIFIED, ERROR, FAILED, PASSED, PER_1_POINT
from bayes_net.specification.base import Plan
from bayes_net.specification.sections import ScenarioSection
from bayes_net.workflow.analysis import Progress
from bayes_net.workflow.jobs import censoring_of
from bayes_net.workflow.write import write_report

FACTOR = "censoring.factor"


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """What a grid of scenarios found.

    ``hazard_ratios``: one row a scenario and hazard ratio; ``changes``: scenario, key, value;
    ``summary``: per hazard ratio as specified, range over scenarios, and other conclusions; ``audit``: what
    each prior alone, and each study, does to each (empty without an audit); ``folder``: where the results
    were written, if anywhere. Of scenarios of informative censoring, ``censoring`` has the hazard ratios over
    the factor, ``tipping`` where each word is lost (``censoring_tipping``), and ``assumed`` what the factor
    is about; otherwise they are empty.
    """

    hazard_ratios: pd.DataFrame
    changes: pd.DataFrame
    summary: pd.DataFrame
    audit: pd.DataFrame
    folder: Path | None = None
    censoring: pd.DataFrame = field(default_factory=pd.DataFrame)
    tipping: pd.DataFrame = field(default_factory=pd.DataFrame)
    assumed: str = ""

    @property
    def troubles(self) -> pd.DataFrame:
        """Scenarios that failed their gate or could not be fitted."""
        return troubles(self.hazard_ratios)


def sensitivity(
    specification: Plan,
    out: Path | str | None = None,
    *,
    only: Sequence[str] = (),
    audit: bool = False,
    censoring: bool = False,
    engine: str = "numba",
    jobs: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Sensitivity:
    """Fit every scenario of a specification; with ``out`` results, figures and report are written there.

    ``censoring`` adds scenarios of informative censoring, 0.25 to 4 times the model's hazard after it.

    ``engine`` is that of the ``Sampler``. ``jobs`` processes on this machine, or the workers of the dask
    ``scheduler``: the results are the same.
    What is finished is kept in a folder beside ``out`` named ``.unfinished`` until all is; ``resume`` goes on
    with it.

    ``audit`` adds scenarios in which one stated prior alone is weakened (four times its SD) or moved (its
    mean by one SD; a prior of a standard deviation is narrowed), and, of a synthesis, one study left out.

    Raises
    ------
    InputError
        A scenario is not usable (found before the first fit), or ``out`` has unfinished scenarios and
        ``resume`` is not set.
    """
    wanted = with_factors(specification) if censoring else specification
    scenarios = plan(wanted, only=only, audit=audit)
    how: dict[str, Any] = {"engine": engine, "jobs": jobs, "scheduler": scheduler, "progress": progress}
    if out is None:
        with TemporaryDirectory(prefix="bayes-net-scenarios-") as store:
            return _together(scenarios, run_scenarios(scenarios, Path(store), **how))
    out = Path(out)
    store = _store(out, resume)
    found = _together(scenarios, run_scenarios(scenarios, store, **how))
    fine = found.troubles.empty
    folder = publish(out, lambda fresh: _write(found, specification, fresh, engine), gate_passed=fine)
    if not (found.hazard_ratios["gate"] == ERROR).any():
        shutil.rmtree(store)
    return replace(found, folder=folder)


def _together(scenarios: Sequence[Scenario], table: pd.DataFrame) -> Sensitivity:
    rows = [(s.name, key, value) for s in scenarios for key, value in s.changes_in_words.items()]
    changes = pd.DataFrame(rows, columns=["scenario", "key", "value"])
    curve = curve_of(scenarios, table)
    start = len(curve) and curve["as_specified"].any()
    return Sensitivity(
        table,
        changes,
        summary(table),
        audit_table(scenarios, table),
        censoring=curve,
        tipping=censoring_tipping(curve) if start else pd.DataFrame(),
        assumed=assumed(scenarios),
    )


def _store(out: Path, resume: bool) -> Path:
    store = out.with_name(f"{out.name}.unfinished")
    if (done := len(list(store.glob("*.parquet")))) and not resume:
        raise InputError(
            f"{store} holds {done} finished scenarios of an earlier grid; go on with them by --resume "
            "(resume=True), or remove the folder"
        )
    return store


def _write(found: Sensitivity, specification: Plan, folder: Path, engine: str) -> None:
    figures = chain(draw_censoring(found.censoring), draw_scenarios(found.hazard_ratios, found.changes))
    always = {"scenarios": found.hazard_ratios, "changes": found.changes, "summary": found.summary}
    tables = always | {"audit": found.audit, "censoring": found.censoring, "censoring_tipping": found.tipping}
    provenance = {
        "title": specification.title,
        "specification_sha256": specification.digest,
        "seed": str(specification.sampling.seed),
        "engine": engine,
        "gate": PASSED if found.troubles.empty else FAILED,
    }
    words = {
        "level": specification.report.level,
        "synthetic": bool(found.hazard_ratios["synthetic"].any()),
        "censoring": found.assumed,
    }
    write_report(
        folder,
        specification,
        kind=SCENARIOS,
        tables={name: table for name, table in tables.items() if len(table) or name in always},
        figures=figures,
        words=words,
        provenance=provenance,
    )


def with_factors(specification: Plan, factors: Sequence[float] = FACTORS) -> Plan:
    """The specification with a scenario for each factor that its own scenarios and grid do not try."""
    if not hasattr(specification, "censoring"):
        raise SpecificationError("censoring can be imputed in analyses of patients, and this is a synthesis")
    tried = [section.change[FACTOR] for section in specification.scenarios if [*section.change] == [FACTOR]]
    tried += specification.grid[FACTOR] if [*specification.grid] == [FACTOR] else []
    added = [
        ScenarioSection(name=f"censoring factor {factor:g}", change={FACTOR: factor})
        for factor in factors
        if factor not in tried
    ]
    return specification.model_copy(update={"scenarios": (*specification.scenarios, *added)})


def _of_the_factor(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Those that change the factor of informative censoring, and nothing else."""
    return [scenario for scenario in scenarios if [*scenario.changes] == [FACTOR]]


def curve_of(scenarios: Sequence[Scenario], table: pd.DataFrame) -> pd.DataFrame:
    """The hazard ratios of scenarios that change the factor alone, with the factor; empty if none does."""
    factors = {scenario.name: scenario.changes[FACTOR] for scenario in _of_the_factor(scenarios)}
    if not factors:
        return pd.DataFrame()
    base = censoring_of(scenarios[0].specification)
    factors[AS_SPECIFIED] = 1.0 if base is None else base.factor
    rows = table[
        table["scenario"].isin(factors) & (table["gate"] != ERROR) & (table["measure"] != PER_1_POINT)
    ]
    rows = rows.assign(
        factor=rows["scenario"].map(factors).astype(float), as_specified=rows["scenario"] == AS_SPECIFIED
    )
    columns = [*(key for key in KEYS if key != "study"), "biased", "factor", "as_specified"]
    columns += ["hr", "lower", "upper", "level", "interval", "log_sd", "prob_below_1", "mcse_hr", "gate"]
    return with_words(rows[columns].reset_index(drop=True))


def assumed(scenarios: Sequence[Scenario]) -> str:
    """What the factor is about, in a sentence; empty if no scenario changes it alone."""
    changed = _of_the_factor(scenarios)
    base = censoring_of(changed[0].specification) if changed else None
    return base.assumed("the factor") if base else ""


_CHANGES = ("hr", "shift", "width", "mcse_shift")


def audit_table(scenarios: Sequence[Scenario], found: pd.DataFrame) -> pd.DataFrame:
    """What each prior alone, and each study, does: one row a block and hazard ratio, strongest block first.

    Columns: ``block`` (a prior, or a study) and ``kind`` (prior, study); what the hazard ratio is about;
    ``hr``, ``lower``, ``upper``, ``mcse_hr`` as specified; with the prior weakened or the study left out
    ``hr_weakened``, ``shift_weakened``, by how many posterior SDs the log hazard ratio moves,
    ``width_weakened``, the ratio of the intervals' widths, and ``mcse_shift_weakened``; ``other`` (moved,
    narrowed) and the same four of it; ``change``, the largest of the shifts and of the logarithms of the
    width ratios. A scenario that failed leaves its columns missing.
    """
    rows = usable(found)
    steps = [(scenario.name, scenario.step) for scenario in scenarios if scenario.step]
    if rows.empty or not steps:
        return pd.DataFrame()
    by_scenario = {name: of_it.set_index(KEYS) for name, of_it in rows.groupby("scenario")}
    base = by_scenario.get(AS_SPECIFIED, rows.iloc[:0].set_index(KEYS))
    weakened, other = ([f"{name}_{end}" for name in _CHANGES] for end in ("weakened", "other"))
    parts: dict[str, pd.DataFrame] = {}
    for name, step in steps:
        block, how = step.block, step.how
        part = parts.setdefault(block, base[["biased", "hr", "lower", "upper", "mcse_hr"]].copy())
        if "block" not in part:
            part[["block", "kind", "other"]] = block, "study" if how == LEFT_OUT else "prior", ""
            part[[*weakened, *other]] = np.nan
        first = how in (WEAKENED, LEFT_OUT)
        if not first:
            part["other"] = how
        moved = _moved(base, by_scenario.get(name, base.iloc[:0]))
        part[weakened if first else other] = moved.reindex(part.index).to_numpy()
    table = pd.concat([part.reset_index() for part in parts.values()], ignore_index=True)
    sizes = table[["shift_weakened", "shift_other"]].abs()
    sizes = sizes.join(np.log(table[["width_weakened", "width_other"]]).abs())
    table = table.assign(change=sizes.max(axis=1))
    order = strongest(table)["block"].tolist()
    table = table.assign(rank=table["block"].map(order.index))
    table = table.sort_values(["rank", "change"], ascending=[True, False], kind="stable", ignore_index=True)
    first = ["block", "kind", *KEYS, "biased", "hr", "lower", "upper", "mcse_hr"]
    return table[[*first, *weakened, "other", *other, "change"]]


def _moved(base: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Hazard ratio, shift in posterior SDs, ratio of interval widths, Monte-Carlo error of the shift."""
    errors = np.hypot(base["mcse_hr"] / base["hr"], after["mcse_hr"] / after["hr"])
    widths = [np.log(x["upper"] / x["lower"]) for x in (base, after)]
    columns = (after["hr"], np.log(after["hr"] / base["hr"]) / base["log_sd"], widths[1] / widths[0])
    columns += (errors / base["log_sd"],)
    return pd.concat(dict(zip(_CHANGES, columns, strict=True)), axis=1)
