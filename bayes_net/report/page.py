"""A report: sections whose parts stand in the order of reading, and the one page on which they are set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import pandas as pd
from markupsafe import Markup

from bayes_net import schema
from bayes_net.display import template
from bayes_net.errors import InputError
from bayes_net.estimands.summary import STRENGTHS, UNCLEAR
from bayes_net.numbers import MISSING, format_probability, plain_table
from bayes_net.report.checklists import checklists
from bayes_net.results.folder import ResultFolder
from bayes_net.schema import words

GROUP = ("endpoint", "population", "measure", "estimand")


@dataclass(frozen=True)
class Part:
    """One piece of a section; ``kind`` is how the template sets ``content``. Text is escaped unless it is
    ``Markup``."""

    kind: str
    content: Any = None
    caption: str = ""


FIGURES = Part("figures")
"""Where the figures of the section stand."""
text = partial(Part, "text")
"""A paragraph."""
note = partial(Part, "note")
"""A paragraph in small print."""
subheading = partial(Part, "subheading")
"""A heading within the section."""
model_terms = partial(Part, "terms")
"""The model by heading; one that begins with "Equation" is set as mathematics."""


def bullets(items: Iterable[str]) -> Part:
    """A list; nothing of a sentence that is empty."""
    return Part("bullets", [item for item in items if item])


def table(caption: str, frame: pd.DataFrame) -> Part:
    """A table of texts with its caption; rows that share their first cell stand together."""
    return Part("table", frame, caption)


@dataclass(frozen=True)
class Section:
    """A section of a report: anchor, heading, what it shows of a result, and what it ``needs``.

    ``needs`` are the tables of the result of which one must be there, unless a figure of the section is; a
    section without needs always stands.
    """

    key: str
    heading: str
    parts: Callable[[ResultFolder], Iterable[Part]]
    needs: tuple[str, ...] = ()

    def figures(self, result: ResultFolder) -> list:
        """The figures of the result that belong here."""
        return [figure for figure in result.figures.values() if figure.section == self.key]

    def stands(self, result: ResultFolder) -> bool:
        """Whether the result has what the section needs."""
        there = any(name in result.tables for name in self.needs)
        return not self.needs or there or bool(self.figures(result))


NOTHING_BUT_FIGURES = ("figures",)
"""What a section needs that stands only if it has figures."""


def render(
    result: ResultFolder,
    sections: Sequence[Section],
    *,
    heading: str,
    alarm: Sequence[Part],
    signs: Sequence[str],
    synthetic: str,
    footer: str,
    description: str = "",
) -> str:
    """The whole report as one HTML page: no request to any address, no script.

    The first section, which has no visible heading, is the answer. ``alarm`` is the banner above everything
    else (empty: all is well), ``signs`` stand before the title of the window, and ``synthetic`` says which
    patients were generated ("": none).

    Raises
    ------
    InputError
        A figure belongs to no section.
    """
    keys = [section.key for section in sections]
    if astray := {figure.section for figure in result.figures.values()} - set(keys):
        raise InputError(f"no section {sorted(astray)} in the report; expected one of {keys}")
    signs = [*signs, *(["SYNTHETIC"] if synthetic else [])]
    return template("report.html.j2").render(
        window="".join(f"{sign}: " for sign in signs) + heading,
        heading=heading,
        description=description,
        alarm=alarm,
        synthetic=synthetic,
        sections=[
            (section, list(section.parts(result)), section.figures(result))
            for section in sections
            if section.stands(result)
        ],
        footer=" ".join(filter(None, ["Synthetic data." if synthetic else "", footer])),
        biased=schema.BIASED,
        row_groups=row_groups,
    )


def grouped(frame: pd.DataFrame | None, *, by: Sequence[str] = GROUP) -> Iterator[tuple[str, pd.DataFrame]]:
    """Caption and rows of every part of a tidy table, in its own order; none if there is no table."""
    if frame is not None:
        for keys, rows in frame.groupby(list(by), sort=False, dropna=False):
            yield "; ".join(words(key) for key in keys if key), rows


def row_groups(presentation: pd.DataFrame) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Rows of a presentation table that share their first cell: that cell, and the rest of each row."""
    rows = presentation.itertuples(index=False, name=None)
    return [(label, [row[1:] for row in same]) for label, same in groupby(rows, key=itemgetter(0))]


def failed_list(failed: pd.DataFrame, *, with_fit: bool) -> Part:
    """The first six checks that did not pass."""
    return bullets(
        (f"{row['Fit']}: " if with_fit else "")
        + f"{row['Check']} {row['Worst']}, threshold {row['Threshold']}"
        + (f" ({row['Where']})" if row["Where"] not in ("", MISSING) else "")
        for row in plain_table(failed, digits=5).head(6).to_dict("records")
    )


def plain(caption: str, frame: pd.DataFrame, *, digits: int = 3) -> Part:
    """A table of results as it is; that patients are synthetic is said above all tables."""
    return table(caption, plain_table(frame.drop(columns="synthetic", errors="ignore"), digits=digits))


def data_notes(result: ResultFolder) -> Iterator[Part]:
    """What was handled and noticed in the data."""
    if result.words["notes"]:
        yield subheading("Handled and noticed in the data")
        mark = Markup('<span class="mark">{}:</span> {}')
        yield bullets(mark.format(kind.capitalize(), message) for kind, message in result.words["notes"])


def meaning_of_words() -> Iterator[Part]:
    """From which posterior probability on each word is used."""
    yield subheading("What the words mean")
    yield text(
        "The word belongs to the posterior probability of the likelier direction (hazard ratio below 1: "
        "longer; above 1: shorter), before rounding. Nothing stronger is said anywhere in this report."
    )
    weakest = format_probability(STRENGTHS[-1][0])
    yield bullets(
        [
            *(f"{word}: {format_probability(smallest)} or more" for smallest, word in STRENGTHS),
            f"{UNCLEAR}: neither direction reaches {weakest}",
        ]
    )


EQUIVALENCE = "0.9 < HR < 1.11 is the region of practical equivalence: an association too small to matter."
ASSOCIATION = (
    "Association, not effect: shrinkage is measured after treatment began, and whatever makes a tumour "
    "shrink may also delay progression. Nothing here says what would happen if a tumour were made to shrink "
    "more."
)
POWER_SCALING = (
    "ow far each hazard ratio’s distribution moves when the likelihood, or the priors, are raised to a power "
    "(cumulative Jensen–Shannon distance per doubling; below 0.05: hardly; Kallioinen et al. 2024, "
    "doi:10.1007/s11222-023-10366-5)."
)
SCENARIO_RANGE = "As specified, and the range over scenarios that passed their gate"
NO_SAMPLE = (
    "Scenarios are choices, not a sample: how many change a conclusion says nothing about how probable "
    "that is."
)


def scenario_parts(result: ResultFolder) -> Iterator[Part]:
    """What a grid of scenarios found, in the report of the run that it was about."""
    if "sensitivity" in result.tables:
        yield subheading("Scenarios")
        yield bullets(result.words.get("sensitivity", ()))
        yield note(NO_SAMPLE)
        yield table(SCENARIO_RANGE, result.tables["sensitivity"])


def provenance(result: ResultFolder) -> Iterator[Part]:
    """Where the result comes from, and how to repeat it."""
    if rows := [(key, _entry(value)) for key, value in result.words["provenance"].items()]:
        yield table("Provenance", pd.DataFrame(rows, columns=["", ""]))
    yield subheading("Specification")
    yield text(
        Markup(
            "To repeat the analysis, save this as <code>specification.toml</code> in the folder where its "
            "data files are (identifiers of excluded patients, if any, are withheld here) and run "
            "<code>bayes-net run specification.toml</code>. To make this report anew from the result’s own "
            "folder: <code>bayes-net report FOLDER</code>."
        )
    )
    yield Part("code", result.specification, "Specification")


def _entry(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return str(value)


def checklist_parts(result: ResultFolder, sections: Sequence[Section]) -> Iterator[Part]:
    """Two reporting guidelines, and the section that answers each of their items."""
    yield text(
        "Where this report answers what two guidelines ask of a Bayesian analysis, and what it does not "
        "answer."
    )
    headings = {section.key: section.heading for section in sections if section.stands(result)}
    link = Markup('<a href="#{}">{}</a>')
    for name, items in checklists(headings):
        rows = [
            (asks, Markup(", ").join(link.format(key, headings[key]) for key in keys) or otherwise)
            for asks, keys, otherwise in items
        ]
        yield table(name, pd.DataFrame(rows, columns=["Item", "Answered in"]))
