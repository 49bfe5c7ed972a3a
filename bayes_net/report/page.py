"""A report: sections in the order of reading, and the one page on which they are set.

The text of a section is a block of the report's template, named like the section.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import pandas as pd
from markupsafe import Markup

from bayes_net import schema
from bayes_net.display import template
from bayes_net.errors import InputError
from bayes_net.estimands.summary import UNCLEAR, bars
from bayes_net.labels import QUICK
from bayes_net.numbers import counted, format_probability, interval_label, listed_and, plain_table
from bayes_net.report import tables
from bayes_net.report.checklists import checklists
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.results.folder import ResultFolder
from bayes_net.results.submission import GUIDANCE, SOURCES, VERSION, justified, statements, unjustified
from bayes_net.schema import words


@dataclass(frozen=True)
class Section:
    """A section of a report: anchor, heading, and what it ``needs``.

    ``needs`` are the tables of the result of which one must be there, unless a figure of the section is; a
    section without needs always stands. What only statisticians look up is ``folded``: closed on screen until
    somebody opens it or follows a link to it, and open in print.
    """

    key: str
    heading: str
    needs: tuple[str, ...] = ()
    folded: bool = False

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
    name: str,
    result: ResultFolder,
    sections: Sequence[Section],
    *,
    heading: str,
    signs: Sequence[str],
    synthetic: str,
    footer: str,
    **own: Any,
) -> str:
    """The whole report as one HTML page: no request to any address, no script.

    The first section, which has no visible heading, is the answer. ``name`` is that of the template, and
    ``own`` what it needs besides: ``alarm``, whether its banner stands above everything else, and tables and
    functions. ``signs`` stand before the title of the window, and ``synthetic`` says which patients were
    generated ("": none).
    """
    keys = [section.key for section in sections]
    if astray := {figure.section for figure in result.figures.values()} - set(keys):
        raise InputError(f"no section {sorted(astray)} in the report; expected one of {keys}")
    standing = [section for section in sections if section.stands(result)]
    drawn = {section.key: section.figures(result) for section in sections}
    signs = [*signs, *(["SYNTHETIC"] if synthetic else [])]
    return template(f"{name}.html.j2").render(
        _FOR_EVERY_REPORT
        | {
            "window": "".join(f"{sign}: " for sign in signs) + heading,
            "heading": heading,
            "synthetic": synthetic,
            "sections": standing,
            "drawn": drawn.get,
            "footer": " ".join(filter(None, ["Synthetic data." if synthetic else "", footer])),
            "checklist_tables": partial(checklist_tables, standing, justified(result)),
            "regulators_tables": partial(regulators_tables, result, standing),
            "unjustified": listed_and(unjustified(result)),
            "found": result.tables,
            "words": result.words,
            "specification": result.specification,
        }
        | own
    )


def grouped(frame: pd.DataFrame | None, *, by: Sequence[str] = ()) -> Iterator[tuple[str, pd.DataFrame]]:
    """Caption and rows of every part of a tidy table, in its own order; none if there is no table."""
    if frame is not None:
        by = list(by) or ["endpoint", "population", "measure", "estimand"]
        for keys, rows in frame.groupby(by, sort=False, dropna=False):
            yield "; ".join(words(key) for key in keys if key), rows


def row_groups(presentation: pd.DataFrame) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Rows of a presentation table that share their first cell: that cell, and the rest of each row."""
    rows = presentation.itertuples(index=False, name=None)
    return [(label, [row[1:] for row in same]) for label, same in groupby(rows, key=itemgetter(0))]


def plain(frame: pd.DataFrame, *, digits: int = 3) -> pd.DataFrame:
    """A table of results as it is, as text; that patients are synthetic is said above all tables."""
    return plain_table(frame.drop(columns=["synthetic", QUICK], errors="ignore"), digits=digits)


def provenance_rows(entries: Mapping[str, str]) -> pd.DataFrame:
    """A table of keys and values, with all versions in one row."""
    versions = {key.removeprefix(VERSION): text for key, text in entries.items() if key.startswith(VERSION)}
    rows = {key: text for key, text in entries.items() if not key.startswith(VERSION)}
    if versions:
        rows["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return pd.DataFrame(rows.items(), columns=["", ""])


def fields_of(origin: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Where each field of patients from ADaM comes from."""
    return pd.DataFrame(origin, columns=["Field", "Data set", "Variable, PARAMCD", "Rule"])


def checklist_tables(
    standing: Sequence[Section], justified: Collection[str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Reporting guidelines: their items, and links to the sections that answer each of them."""
    headings = {section.key: section.heading for section in standing}
    for name, items in checklists(headings, justified):
        rows = [(asks, _links(keys, headings) or otherwise) for asks, keys, otherwise in items]
        yield name, pd.DataFrame(rows, columns=["Item", "Answered in"])


def regulators_tables(
    result: ResultFolder, standing: Sequence[Section]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """What a regulator asks for, topic by topic: what the run states of it, and links to what shows it."""
    headings = {section.key: section.heading for section in standing}
    for topic, items in groupby(statements(result), key=attrgetter("topic")):
        rows = []
        for item in items:
            shown = _links(item.sections if item.stated else (), headings)
            where = Markup("<small>Shown in: {}</small>").format(shown) if shown else ""
            rows.append((item.asks, Markup("{}{}").format(item.states, where)))
        yield topic, pd.DataFrame(rows, columns=["Asked for", "This run states"])


def _links(keys: Iterable[str], headings: Mapping[str, str]) -> Markup:
    """Links to those sections that are there."""
    link = Markup('<a href="#{}">{}</a>')
    return Markup(", ").join(link.format(key, headings[key]) for key in keys if key in headings)


_FOR_EVERY_REPORT = {
    "GUIDANCE": GUIDANCE,
    "SOURCES": SOURCES,
    "LEAST_CONTRACTION": LEAST_CONTRACTION,
    "NO_LIMIT_WARNING": schema.NO_LIMIT_WARNING,
    "bars": bars,
    "UNCLEAR": UNCLEAR,
    "biased": schema.BIASED,
    "counted": counted,
    "format_probability": format_probability,
    "grouped": grouped,
    "in_words": words,
    "interval_label": interval_label,
    "listed_and": listed_and,
    "plain": plain,
    "row_groups": row_groups,
    "tables": tables,
    "provenance_rows": provenance_rows,
    "fields_of": fields_of,
}
"""What every template may use."""
