"""Running the scenarios of a specification, and writing what they say together."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from bayes_net import plots
from bayes_net._audit_table import audit_table
from bayes_net._censoring_scenarios import assumed, curve_of, tipping_of, with_factors
from bayes_net._publishing import publish
from bayes_net._scenario_tables import summary, troubles
from bayes_net.censoring_figures import draw_censoring
from bayes_net.errors import InputError
from bayes_net.result_folder import REPORT, Illustration, write_content, write_manifest
from bayes_net.scenario_figures import draw_scenarios
from bayes_net.scenario_report import SCENARIOS, scenario_page
from bayes_net.scenarios import ERROR, AnySpecification, Progress, Scenario, plan, run_scenarios

UNFINISHED = ".unfinished"


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
    specification: AnySpecification,
    out: Path | str | None = None,
    *,
    only: Sequence[str] = (),
    audit: bool = False,
    censoring: bool = False,
    jobs: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Sensitivity:
    """Fit every scenario of a specification; with ``out`` results, figures and report are written there.

    ``censoring`` adds scenarios of informative censoring, 0.25 to 4 times the model's hazard after it.

    ``jobs`` processes on this machine, or the workers of the dask ``scheduler``: the results are the same.
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
    how = {"jobs": jobs, "scheduler": scheduler, "progress": progress}
    if out is None:
        with TemporaryDirectory(prefix="bayes-net-scenarios-") as store:
            return _together(scenarios, run_scenarios(scenarios, Path(store), **how))
    out = Path(out)
    store = _store(out, resume)
    found = _together(scenarios, run_scenarios(scenarios, store, **how))
    fine = found.troubles.empty
    folder = publish(out, lambda fresh: _write(found, specification, fresh), gate_passed=fine)
    if not (found.hazard_ratios["gate"] == ERROR).any():
        shutil.rmtree(store)
    return replace(found, folder=folder)


def _together(scenarios: Sequence[Scenario], table: pd.DataFrame) -> Sensitivity:
    rows = [(each.name, key, value) for each in scenarios for key, value in each.told.items()]
    changes = pd.DataFrame(rows, columns=["scenario", "key", "value"])
    curve = curve_of(scenarios, table)
    return Sensitivity(
        table,
        changes,
        summary(table),
        audit_table(scenarios, table),
        censoring=curve,
        tipping=tipping_of(curve),
        assumed=assumed(scenarios),
    )


def _store(out: Path, resume: bool) -> Path:
    store = out.with_name(out.name + UNFINISHED)
    if (done := len(list(store.glob("*.parquet")))) and not resume:
        raise InputError(
            f"{store} holds {done} finished scenarios of an earlier grid; go on with them by --resume "
            "(resume=True), or remove the folder"
        )
    return store


def _write(found: Sensitivity, specification: AnySpecification, folder: Path) -> None:
    (folder / "figures").mkdir()
    drawn = {}
    for section, figures in (
        ("censoring", draw_censoring(found.censoring)),
        ("figures", draw_scenarios(found.hazard_ratios, found.changes)),
    ):
        for name, axes, caption, alt in figures:
            svg, _ = plots.save(axes, folder / "figures" / name)
            drawn[name] = Illustration(section, svg.read_text(encoding="utf-8"), caption, alt)
    passed = "passed" if found.troubles.empty else "failed"
    told = {
        "title": specification.title,
        "specification_sha256": specification.digest,
        "seed": str(specification.sampling.seed),
        "gate": passed,
    }
    result = write_content(
        folder,
        kind=SCENARIOS,
        tables=_tables(found),
        figures=drawn,
        words={
            "title": specification.title,
            "level": specification.report.level,
            "synthetic": bool(found.hazard_ratios["synthetic"].any()),
            "censoring": found.assumed,
            "provenance": told,
        },
        specification=specification.public_toml(),
    )
    (folder / REPORT).write_text(scenario_page(result), encoding="utf-8")
    write_manifest(folder, told)


def _tables(found: Sensitivity) -> dict[str, pd.DataFrame]:
    always = {"scenarios": found.hazard_ratios, "changes": found.changes, "summary": found.summary}
    asked = {"audit": found.audit, "censoring": found.censoring, "censoring_tipping": found.tipping}
    return always | {name: table for name, table in asked.items() if len(table)}
