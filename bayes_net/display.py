"""What a notebook shows of an object: a title, facts and small tables, all of it escaped.

There are no colours and no widths: the notebook's own theme, light or dark, decides. Objects show counts
and results, never a patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from jinja2 import Template


def notebook_html(
    title: str,
    facts: Iterable[str] = (),
    *,
    tables: Mapping[str, pd.DataFrame] | None = None,
    folded: Mapping[str, pd.DataFrame | str] | None = None,
) -> str:
    """HTML of a title, lines of facts, tables by caption, and what is folded away by its summary."""
    return template("notebook.html.j2").render(
        title=title, facts=list(facts), tables=tables or {}, folded=folded or {}
    )


@cache
def template(name: str) -> Template:
    """The template ``name`` of the package; jinja2 is imported on first use."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("bayes_net.report"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
