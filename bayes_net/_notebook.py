"""What a notebook shows of an object: a title, facts and small tables, all of it escaped.

There are no colours and no widths: the notebook's own theme, light or dark, decides. Objects show counts
and results, never a patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from bayes_net._pages import template


def shown(
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
