"""Scenarios of informative censoring: the factors to try, and the curve and tipping points that they give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bayes_net._judgement import counted
from bayes_net._scenario_tables import keys_of
from bayes_net._sections import ScenarioSection
from bayes_net._wording import PER_1_POINT, words
from bayes_net.errors import SpecificationError
from bayes_net.pool_specification import PoolSpecification
from bayes_net.preparation import censoring_of
from bayes_net.report import grouped
from bayes_net.scenarios import AS_SPECIFIED, ERROR, AnySpecification, Scenario
from bayes_net.specification import Specification
from bayes_net.tables import MISSING, format_probability
from bayes_net.tipping import FACTORS, KEYS, censoring_tipping, with_words

FACTOR = "censoring.factor"


def with_factors(specification: AnySpecification, factors: Sequence[float] = FACTORS) -> Specification:
    """The specification with a scenario for each factor that its own scenarios and grid do not try.

    Raises
    ------
    SpecificationError
        It is a synthesis: published numbers have no censored patients to impute.
    """
    if isinstance(specification, PoolSpecification):
        raise SpecificationError("censoring can be imputed in analyses of patients, and this is a synthesis")
    known = [section.change[FACTOR] for section in specification.scenarios if [*section.change] == [FACTOR]]
    known += specification.grid[FACTOR] if [*specification.grid] == [FACTOR] else []
    added = [
        ScenarioSection(name=f"censoring factor {factor:g}", change={FACTOR: factor})
        for factor in factors
        if factor not in known
    ]
    return specification.model_copy(update={"scenarios": (*specification.scenarios, *added)})


def curve_of(scenarios: Sequence[Scenario], table: pd.DataFrame) -> pd.DataFrame:
    """The hazard ratios of scenarios that change the factor alone, with the factor; empty if none does."""
    factors = {each.name: each.changes[FACTOR] for each in scenarios if [*each.changes] == [FACTOR]}
    if not factors:
        return pd.DataFrame()
    base = censoring_of(scenarios[0].specification)
    factors = {AS_SPECIFIED: 1.0 if base is None else base.factor} | factors
    rows = table[table["scenario"].isin(factors) & (table["gate"] != ERROR)]
    rows = rows[rows["measure"] != PER_1_POINT] if "measure" in rows else rows
    rows = rows.assign(
        factor=rows["scenario"].map(factors).astype(float), as_specified=rows["scenario"] == AS_SPECIFIED
    )
    columns = [*(key for key in keys_of(rows) if key != "study"), "biased", "factor", "as_specified"]
    columns += ["hr", "lower", "upper", "level", "interval", "log_sd", "prob_below_1", "mcse_hr", "gate"]
    return with_words(rows[[name for name in columns if name in rows]].reset_index(drop=True))


def tipping_of(curve: pd.DataFrame) -> pd.DataFrame:
    """``censoring_tipping`` of the curve; empty where there is none, or nothing to start at."""
    return censoring_tipping(curve) if len(curve) and curve["as_specified"].any() else pd.DataFrame()


def assumed(scenarios: Sequence[Scenario]) -> str:
    """What the factor is about, in a sentence; empty if no scenario changes it alone."""
    changed = [each for each in scenarios if [*each.changes] == [FACTOR]]
    if not changed:
        return ""
    return censoring_of(changed[0].specification).assumed("the factor")


def _told(tipping: pd.DataFrame) -> pd.DataFrame:
    """Rows about shrinkage and the arms; those of covariates are for the file."""
    return tipping[tipping["estimand"] != "covariate"] if len(tipping) else tipping.reindex(columns=KEYS)


def tipping_to_read(tipping: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """``tipping_of`` as text: a caption and a table of each endpoint, measure and estimand but covariates."""
    for caption, own in grouped(_told(tipping), by=["endpoint", "population", "measure", "estimand"]):
        rows = [
            {
                "Landmark": row.landmark,
                "Arm": row.arm,
                "As specified": " ".join([row.word, row.time, f"({format_probability(row.prob)})"])
                if row.time
                else row.word,
                "Lost below": _end(row, "below", row.lowest),
                "Lost above": _end(row, "above", row.highest),
            }
            for row in own.itertuples()
        ]
        yield caption, pd.DataFrame(rows)


def _end(row, side: str, tried: float) -> str:
    if not row.time:
        return MISSING
    at, nearest, farthest = (getattr(row, f"{side}{end}") for end in ("", "_nearest", "_farthest"))
    if pd.isna(at):
        perhaps = "" if pd.isna(nearest) else f" (or lost at {nearest:.2g})"
        return f"holds to × {tried:.3g}{perhaps}"
    far = f"beyond {tried:.3g}" if pd.isna(farthest) else f"{farthest:.2g}"
    return f"× {at:.2g} ({nearest:.2g} to {far})"


def said_of_tipping(tipping: pd.DataFrame) -> list[str]:
    """How many words are lost within the factors tried, and which is lost soonest."""
    known = _told(tipping)
    known = known[known["time"] != ""] if len(known) else known
    if not len(known):
        return []
    sides = ["below", "above"]
    away = np.abs(np.log(known[sides].div(known["factor"], axis=0)).to_numpy(float))
    tried = f"{known['lowest'].min():.3g} to {known['highest'].max():.3g}"
    lost = int((~np.isnan(away)).any(axis=1).sum())
    said = f"Informative censoring: of {counted(len(known), 'verbal conclusion')},"
    if not lost:
        return [f"{said} none is lost at factors from {tried}."]
    row, side = np.unravel_index(np.nanargmin(away), away.shape)
    soonest = known.iloc[row]
    where = ", ".join(words(part) for part in (soonest["endpoint"], soonest["landmark"], soonest["arm"]))
    return [
        f"{said} {lost} would be lost at some factor from {tried}; the soonest "
        f"({where}, {soonest['measure']}) at × {soonest[sides[side]]:.2g}."
    ]
