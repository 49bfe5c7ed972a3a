"""The report of a grid of scenarios: would the answer change?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from markupsafe import Markup

from bayes_net.checks.tipping import KEYS
from bayes_net.numbers import (
    MISSING,
    counted,
    format_interval,
    format_probability,
    listed_and,
    percent,
    rounded,
    significant,
)
from bayes_net.report.page import (
    FIGURES,
    NO_SAMPLE,
    NOTHING_BUT_FIGURES,
    SCENARIO_RANGE,
    Part,
    Section,
    bullets,
    grouped,
    note,
    provenance,
    render,
    table,
    text,
)
from bayes_net.results.folder import ResultFolder
from bayes_net.results.scenarios import LARGE, MODERATE, strongest, subject, summary_table, troubles
from bayes_net.schema import AS_SPECIFIED, words

SCENARIOS = "scenarios"
"""Kind of the results that ``scenario_page`` knows."""
MOST_TROUBLES = 6
"""The banner names so many scenarios that failed."""


def scenario_page(result: ResultFolder) -> str:
    """The whole report as one HTML page: no request to any address, no script."""
    alarm = list(_alarm(troubles(result.tables["scenarios"])))
    return render(
        result,
        SECTIONS,
        heading=f"Would the answer change? {result.words['title']}",
        alarm=alarm,
        signs=["SOME SCENARIOS FAILED"] if alarm else [],
        synthetic="Some or all of the patients were" if result.words["synthetic"] else "",
        footer="Association, not effect.",
    )


def _alarm(failed: pd.DataFrame) -> Iterator[Part]:
    if len(failed):
        yield text(Markup("<strong>SOME SCENARIOS FAILED.</strong> What they would say is missing below:"))
        more = len(failed) - MOST_TROUBLES
        named = [f"{name}: {what}" for name, what in failed.head(MOST_TROUBLES).itertuples(index=False)]
        yield bullets([*named, f"and {more} more" if more > 0 else ""])


def _answer(result: ResultFolder) -> Iterator[Part]:
    yield bullets(answer_of(result))
    yield note(
        "A conclusion is the word that a report gives to the likelier direction (almost certainly 0.99, very "
        f"probably 0.95, probably 0.80, else unclear). {NO_SAMPLE}"
    )


def _audit(result: ResultFolder) -> Iterator[Part]:
    yield text(
        Markup(
            "One stated prior at a time was weakened (its SD times 4), and then moved (its mean up by one "
            "SD) or, where it is about a standard deviation, narrowed (SD divided by 4); of several studies "
            "each was left out. Shown is the hazard ratio that changes most, and its shift in posterior SDs "
            "of its logarithm as specified. “Negligible”: less than 0.1 SD, and intervals within 10 %; "
            "“large”: half an SD, or an interval 1.65 times as wide or as narrow. A prior that is about "
            "something else and still moves a hazard ratio leaks into it. <code>audit.csv</code> has every "
            "hazard ratio."
        )
    )
    yield table(
        "Each prior and each study by itself, the strongest first", audit_to_read(result.tables["audit"])
    )


def _summary(result: ResultFolder) -> Iterator[Part]:
    yield table(SCENARIO_RANGE, summary_to_read(result))


def _censoring(result: ResultFolder) -> Iterator[Part]:
    yield text(
        f"{result.words['censoring']} This is an assumption: no data can tell the factor (Jackson et al. "
        "2014, doi:10.1002/sim.6274)."
    )
    yield FIGURES
    if lost := list(tipping_to_read(result.tables.get("censoring_tipping", pd.DataFrame()))):
        yield text(
            "From which factor on does each conclusion lose its word? Interpolated between the factors "
            "tried; in brackets, one Monte-Carlo standard error to either side. Never quoted for no limit, "
            "which is biased."
        )
    for caption, rows in lost:
        yield table(f"Factor at which the word is lost: {caption}", rows)


def _figures(result: ResultFolder) -> Iterator[Part]:
    yield text(Markup("Of the first landmark of each endpoint; <code>scenarios.csv</code> has all."))
    yield FIGURES


def _changes(result: ResultFolder) -> Iterator[Part]:
    rows = result.tables["changes"].rename(columns={"scenario": "Scenario", "key": "Key", "value": "Value"})
    first = pd.DataFrame([(AS_SPECIFIED, MISSING, MISSING)], columns=rows.columns)
    yield table("What each scenario changes", pd.concat([first, rows], ignore_index=True))


SECTIONS = (
    Section("answer", "Answer", _answer),
    Section("audit", "What each prior does by itself", _audit, needs=("audit",)),
    Section("summary", "Every hazard ratio over the scenarios", _summary),
    Section("censoring", "Informative censoring", _censoring, needs=("censoring", "censoring_tipping")),
    Section("figures", "Figures", _figures, needs=NOTHING_BUT_FIGURES),
    Section("changes", "Scenarios", _changes),
    Section("provenance", "Provenance and specification", provenance),
)
"""Every section, in the order of reading."""


def summary_to_read(result: ResultFolder) -> pd.DataFrame:
    """Every hazard ratio as specified and over the scenarios, as text."""
    label = f"{percent(result.words['level'])} CrI"
    return summary_table(result.tables["summary"], label=label)


def answer_of(result: ResultFolder) -> list[str]:
    """What a finished grid says, in sentences; of informative censoring also what was assumed."""
    found, assumed = result.tables, result.words.get("censoring", "")
    sentences = answer(found) + tipping_sentences(found.get("censoring_tipping", pd.DataFrame()))
    return [*sentences, assumed] if assumed else sentences


def answer(found: Mapping[str, pd.DataFrame]) -> list[str]:
    """How many scenarios there are, whether any conclusion depends on them, and which priors matter."""
    summary, scenarios = found["summary"], found["scenarios"]
    names = scenarios["scenario"].nunique()
    sentences = [f"{counted(names - 1, 'scenario')} beside the analysis as specified."]
    known = summary[summary["other_conclusion"].notna()] if len(summary) else summary
    if known.empty:
        return [
            *sentences,
            "Nothing can be compared: the analysis as specified has no hazard ratio that passed.",
        ]
    moved = known[known["other_conclusion"].astype(float) > 0]
    if moved.empty:
        sentences.append(f"None of the {len(known)} verbal conclusions changes in any of them.")
    else:
        sentences.append(
            f"{len(moved)} of {len(known)} verbal conclusions change in at least one of them; the table "
            "below says which, and in how many."
        )
    if "audit" in found:
        sentences.append(audit_sentence(found["audit"]))
    failed = troubles(scenarios)
    if len(failed):
        sentences.append(
            f"Without a usable result for some or all hazard ratios: {counted(len(failed), 'scenario')}."
        )
    return sentences


def audit_to_read(audit: pd.DataFrame) -> pd.DataFrame:
    """The strongest row of each block as text."""
    return pd.DataFrame(
        {
            "Prior, or study": f"without {row.block}" if row.kind == "study" else row.block,
            "Effect on the hazard ratio": _reading(row.change),
            "Hazard ratio most affected": f"{words(row.endpoint)}, {subject(row)}",
            "HR as specified": format_interval(row.hr, row.lower, row.upper, row.mcse_hr),
            "Weakened, or left out": _told(row.hr_weakened, row.shift_weakened),
            "Interval": MISSING if np.isnan(row.width_weakened) else f"× {rounded(row.width_weakened)}",
            "Moved, or narrowed": _told(row.hr_other, row.shift_other) if row.other else MISSING,
            "± MCSE": _error(row.mcse_shift_weakened, row.mcse_shift_other),
        }
        for row in strongest(audit).itertuples()
    )


def _reading(change: float) -> str:
    if np.isnan(change):
        return "not known"
    return "large" if change >= LARGE else "moderate" if change >= MODERATE else "negligible"


def _told(hr: float, shift: float) -> str:
    """``0.61 (+0.25 SD)``."""
    return "not known" if np.isnan(hr) else f"{rounded(hr)} ({rounded(shift, sign='+')} SD)"


def _error(*errors: float) -> str:
    known = [error for error in errors if not np.isnan(error)]
    return rounded(max(known)) if known else MISSING


def audit_sentence(audit: pd.DataFrame) -> str:
    """Which priors, and which studies, have more than a negligible effect."""
    top = strongest(audit)
    clauses = []
    for kind, many in (("prior", "stated priors"), ("study", "studies")):
        own = top[top["kind"] == kind]
        names = own.loc[own["change"] >= MODERATE, "block"]
        if len(own):
            which = listed_and(list(names)) if len(names) else "none"
            clauses.append(
                f"of {len(own)} {many}, one at a time, these have more than a negligible effect: {which}"
            )
    whole = "; ".join(clauses)
    return f"{whole[:1].upper()}{whole[1:]}."


def _factor_text(tipping: pd.DataFrame) -> pd.DataFrame:
    """Rows about shrinkage and the arms; those of covariates are for the file."""
    return tipping[tipping["estimand"] != "covariate"] if len(tipping) else tipping.reindex(columns=KEYS)


def tipping_to_read(tipping: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """``tipping_of`` as text: a caption and a table of each endpoint, measure and estimand but covariates."""
    for caption, own in grouped(_factor_text(tipping)):
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
        perhaps = "" if pd.isna(nearest) else f" (or lost at {significant(nearest, 2)})"
        return f"holds to × {significant(tried)}{perhaps}"
    far = f"beyond {significant(tried)}" if pd.isna(farthest) else significant(farthest, 2)
    return f"× {significant(at, 2)} ({significant(nearest, 2)} to {far})"


def tipping_sentences(tipping: pd.DataFrame) -> list[str]:
    """How many words are lost within the factors tried, and which is lost soonest."""
    known = _factor_text(tipping)
    known = known[known["time"] != ""] if len(known) else known
    if not len(known):
        return []
    sides = ["below", "above"]
    away = np.abs(np.log(known[sides].div(known["factor"], axis=0)).to_numpy(float))
    tried = f"{significant(known['lowest'].min())} to {significant(known['highest'].max())}"
    lost = int((~np.isnan(away)).any(axis=1).sum())
    lead = f"Informative censoring: of {counted(len(known), 'verbal conclusion')},"
    if not lost:
        return [f"{lead} none is lost at factors from {tried}."]
    row, side = np.unravel_index(np.nanargmin(away), away.shape)
    soonest = known.iloc[row]
    where = ", ".join(words(part) for part in (soonest["endpoint"], soonest["landmark"], soonest["arm"]))
    return [
        f"{lead} {lost} would be lost at some factor from {tried}; the soonest "
        f"({where}, {soonest['measure']}) at × {significant(soonest[sides[side]], 2)}."
    ]
