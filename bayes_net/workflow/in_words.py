"""A fit, a run or a stored result in words: what was asked, found and assumed, as its report says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net import schema
from bayes_net.checks.gate import gate
from bayes_net.display import template
from bayes_net.errors import InputError
from bayes_net.estimands.ratios import hazard_ratio
from bayes_net.estimands.summary import direction, probability, summarise
from bayes_net.labels import about
from bayes_net.numbers import capitalised, counted, format_posterior, listed_and, percent, significant
from bayes_net.report import synthesis_answer, words
from bayes_net.report.patients import LANDMARKS
from bayes_net.report.synthesis import SYNTHESIS
from bayes_net.results.folder import ResultFolder
from bayes_net.schema import ARM, COMPARISON, SLOPE
from bayes_net.tables.notes import WARNING
from bayes_net.workflow.analysis import Analysis
from bayes_net.workflow.describe import model_in_words
from bayes_net.workflow.synthesis import reported

PASSED_CHECKS = "Every convergence check was passed."
_SHRINKAGE = ("shrinkage", "trueshrinkage")
FAILED_CHECKS = "Convergence checks did not pass: do not use these numbers."


@dataclass(frozen=True)
class Explanation:
    """Sentences by heading, as text and in a notebook."""

    title: str
    sections: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        parts = [self.title]
        for heading, lines in self.sections.items():
            parts += ["", f"{heading}:", *(f"  {line}" for line in lines)]
        return "\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return template("explanation.html.j2").render(title=self.title, sections=self.sections)


@singledispatch
def explain(of: object) -> Explanation:
    """What was asked, what was found, what it rests on, and what was assumed, in sentences.

    Of an ``Analysis`` (``bn.run``) or a ``ResultFolder`` (``bn.read_result``) they are those of the report.
    Of a fit of patients (``bn.fit``) it is the hazard ratio of each arm, with a word for its direction that
    takes all arms of the fit into account, and what the fit holds of the model. Of a fit of published numbers
    (``bn.fit_synthesis``) it is the hazard ratio between the arms in each study and over the studies, and
    that of shrinkage at each landmark, if there are any.

    Raises
    ------
    InputError
        It is none of these.
    """
    raise InputError(f"{type(of).__name__} given; expected an Analysis, a ResultFolder or a fit")


@explain.register
def _of_analysis(of: Analysis) -> Explanation:
    prepared = of.prepared
    warnings = [note.message for note in prepared.notes if note.kind == WARNING]
    model = model_in_words(prepared, of.fits)
    return _explained(prepared.plan.title, prepared.kind, of.tables, model, warnings)


@explain.register
def _of_result(of: ResultFolder) -> Explanation:
    warnings = [message for kind, message in of.words.get("notes", ()) if kind == WARNING]
    return _explained(of.words["title"], of.kind, of.tables, of.words.get("model", {}), warnings)


def first_words(analysis: Analysis) -> tuple[str, list[str], str]:
    """The question of a run, the first sentences of its answer, and what they rest on: the first screen of
    its report."""
    tables = analysis.tables
    if analysis.prepared.kind == LANDMARKS:
        ratios = tables["hazard_ratios"]
        return words.question(ratios), words.short_answer(ratios), words.rests_on(ratios)
    found = synthesis_answer.first_answer(tables)
    return synthesis_answer.question(tables), found, synthesis_answer.rests_on(tables)


def _explained(
    title: str,
    kind: str,
    tables: Mapping[str, pd.DataFrame],
    model: Mapping[str, str],
    warnings: list[str],
) -> Explanation:
    if kind == LANDMARKS:
        ratios = tables["hazard_ratios"]
        question, found, rests_on = words.question(ratios), words.answer(ratios), words.rests_on(ratios)
    elif kind == SYNTHESIS:
        question, found = synthesis_answer.question(tables), synthesis_answer.answer(tables)
        rests_on = synthesis_answer.rests_on(tables)
    else:
        raise InputError(f"a result of kind {kind!r}; expected one of a run of patients or of a synthesis")
    failed = words.failed_rows(tables["diagnostics"])
    checks = PASSED_CHECKS
    if len(failed):
        names = listed_and(list(dict.fromkeys(failed["fit"])))
        checks = (
            f"{counted(len(failed), 'convergence check')} did not pass ({names}): do not use those numbers."
        )
    sections = {
        "Question": [question],
        "Found": found,
        "Rests on": [capitalised(rests_on.removeprefix("Rests on").lstrip(", "))] if rests_on else [],
        "Checks": [checks],
        "Called for judgement": warnings,
        "Assumed": [f"{heading}: {' '.join(text.split())}" for heading, text in model.items()],
    }
    return Explanation(title, {name: tuple(lines) for name, lines in sections.items() if lines})


@explain.register
def _of_fit(of: xr.DataTree) -> Explanation:
    posterior = of.get("posterior", {})
    if COMPARISON in of.attrs and "arm_effect" in posterior:
        return _of_synthesis_fit(of)
    if "measure" not in of.attrs or SLOPE not in posterior:
        raise InputError(
            "this tree is no fit of patients with slopes of shrinkage, and none of published numbers that "
            "compare arms; expected one of bayes_net.fit or bayes_net.fit_synthesis. Of a run explain what "
            "bn.run or bn.read_result gives"
        )
    ratios, known = hazard_ratio(of), of["constant_data"].to_dataset()
    judged = gate(of, {"hazard ratio": ratios})
    sections = {
        "Found": tuple(_found_in_arms(of, ratios)) if judged.passed else (),
        "Checks": (PASSED_CHECKS if judged.passed else FAILED_CHECKS,),
        "Assumed": (
            f"The hazard is constant in {counted(known.sizes['interval'], 'interval')}, which begin at "
            f"{listed_and([significant(start) for start in known['interval_start'].values])} months.",
            "Its logarithm is linear in shrinkage."
            if of.attrs["measure"] in _SHRINKAGE
            else "It is one with a response and another without.",
        ),
    }
    return Explanation("A fit of patients", {name: lines for name, lines in sections.items() if lines})


def _found_in_arms(fit: xr.DataTree, ratios: xr.DataArray) -> Iterator[str]:
    table = summarise(ratios).set_index(ARM)
    below, known = probability(ratios, below=1.0), fit["constant_data"]
    what = "10 points of shrinkage" if fit.attrs["measure"] in _SHRINKAGE else "a response"
    for arm in ratios[ARM].values:
        word, longer = direction(float(below.sel({ARM: arm})), 2.0 * len(table))
        reading = f"{word} associated with {longer} time to event" if longer else "the direction is unclear"
        n, events = (int(known[name].sel({ARM: arm})) for name in ("n", "n_events"))
        row = next(table.loc[[arm]].itertuples())
        yield (
            f"{arm}: hazard ratio of {what} {format_posterior(row, most=2)} ({percent(row.level)} CrI), "
            f"{reading}; {counted(n, 'patient')}, {counted(events, 'event')}."
        )


def _of_synthesis_fit(fit: xr.DataTree) -> Explanation:
    """A fit of published numbers of arms: their hazard ratio by endpoint and study, and of shrinkage."""
    draws = fit["posterior"].to_dataset()
    judged = gate(fit, reported(fit))
    found: list[str] = []
    effects = {"arm_effect_mean": "mean over the studies", "arm_effect": ""}
    tails = 2.0 * sum(len(about(draws[name])) for name in effects if name in draws)
    for name, where in effects.items():
        if name in draws:
            found += _found_in_studies(draws[name], where, fit.attrs[COMPARISON], tails)
    if SLOPE in draws:
        found += _found_of_slopes(draws[SLOPE])
    n, interval = len(set(draws["effect_study"].values.tolist())), fit["constant_data"]["interval_start"]
    starts = listed_and([significant(start) for start in interval.values])
    pooled = "arm_effect_mean" in draws
    sections = {
        "Found": tuple(found) if judged.passed else (),
        "Rests on": (f"Comparisons of the arms within {'1 study' if n == 1 else f'{n} studies'}.",),
        "Checks": (PASSED_CHECKS if judged.passed else FAILED_CHECKS,),
        "Assumed": (
            f"The hazard of each arm is constant in {counted(interval.size, 'interval')}, which begin at "
            f"{starts} months.",
            "The arms’ hazards are proportional within a study.",
            *(["Hazard ratios of the studies are exchangeable: they share a mean."] if pooled else []),
        ),
    }
    kept = {name: lines for name, lines in sections.items() if lines}
    return Explanation("A fit of published numbers", kept)


def _found_in_studies(logs: xr.DataArray, where: str, comparison: str, tails: float) -> Iterator[str]:
    table, of = summarise(np.exp(logs)), about(logs)
    below = probability(np.exp(logs), below=1.0).values.ravel()
    for row, place, prob in zip(table.itertuples(), of.itertuples(index=False), below, strict=True):
        endpoint = schema.words(place[0])
        word, longer = direction(float(prob), tails)
        reading = f"{word} {longer} {endpoint}" if longer else "the direction is unclear"
        yield (
            f"{endpoint}, {where or place[1]}: hazard ratio of {comparison} {format_posterior(row, most=2)} "
            f"({percent(row.level)} CrI), {reading}."
        )


def _found_of_slopes(slopes: xr.DataArray) -> Iterator[str]:
    true = [at for at in slopes[schema.LANDMARK].values if at != schema.NO_LIMIT]
    logs = slopes.sel({schema.LANDMARK: true})
    table, of = summarise(np.exp(logs)), about(logs)
    for row, place in zip(table.itertuples(), of.itertuples(), strict=True):
        yield (
            f"{place.arm}, {schema.words(place.endpoint)} after {place.landmark}: hazard ratio of 10 points "
            f"of shrinkage {format_posterior(row, most=2)} ({percent(row.level)} CrI)."
        )
