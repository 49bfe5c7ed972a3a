"""What is possible, but hardly meant: wrong units, inverted events, codes for nothing, labels that differ
by a slip.

A check that can be certain gives a problem; one that cannot gives a warning ``Note``, which counts and
names rows, and which a specification can declare to be meant (``accept``).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import numpy as np
import pandas as pd

from bayes_net.errors import problem
from bayes_net.numbers import counted, significant
from bayes_net.tables import follow_up
from bayes_net.tables.doubts import FEWEST, Found, Tables, warn
from bayes_net.tables.notes import Note
from bayes_net.tables.reading import SIZE_UNITS
from bayes_net.tables.values import each_value, strange_characters

SENTINELS = tuple(sign * float(digit * n) for digit in "987" for n in range(1, 6) for sign in (1, -1))
"""Numbers that tables have for nothing: 9, 99, 999 … and their like."""
FRACTION_BELOW = 1.5
"""Changes that are all smaller are fractions: not one tumour changed by 2 %."""


def implausible(tables: Tables) -> tuple[tuple[Note, ...], list[str]]:
    """Everything that is hardly meant: warnings, and what cannot be right."""
    found = [each for check in _CHECKS for each in check(tables)]
    return tuple(x for x in found if isinstance(x, Note)), [x for x in found if isinstance(x, str)]


def _sentinel_values(tables: Tables) -> Found:
    """Values such as 999 or -99 that are far from all others, or repeated at the edge."""
    people, scans = tables.people.frame, tables.visits.frame
    numbers = {f"{name}_time": (tables.people, tables.times(f"{name}_time")) for name in tables.endpoints}
    numbers |= {
        name: (tables.people, people[name])
        for name in tables.covariates
        if name in people and people[name].dtype.kind == "f"
    }
    numbers |= {name: (tables.visits, scans[name]) for name in ("size", "pchg") if name in scans}
    for name, (table, values) in numbers.items():
        if codes := sentinels(values.to_numpy(float)):
            texts = [f"{code:g}" for code in codes]
            at = values.isin(codes)
            message = (
                f"{counted(int(at.sum()), 'value')} of {name} ({', '.join(texts)}) stand apart from the "
                f"others (which are {values[~at].min():g} to {values[~at].max():g}), as codes for a missing "
                f"value do: say missing_codes = {{{name} = [{', '.join(texts)}]}} if they are"
            )
            yield from warn("missing-code", table, at, message)


def sentinels(values: np.ndarray) -> list[float]:
    """Which of the usual codes for a missing value are among ``values`` and do not belong to them."""
    values = values[np.isfinite(values)]
    codes = [code for code in SENTINELS if (values == code).any()]
    rest = values[~np.isin(values, codes)]
    if len(rest) < FEWEST:
        return []
    low, high = rest.min(), rest.max()
    spread, found = high - low, []
    for code in codes:
        gap = low - code if code < low else code - high
        apart = gap > max(spread, 1.0) or (code < 0 <= low)
        repeated = (values == code).sum() >= 3 and gap > 0.1 * spread > 0
        found += [code] if gap > 0 and (apart or repeated) else []
    return found


def _changes(tables: Tables) -> Found:
    """Fractions for percent, and shrinkage for change."""
    scans = tables.visits.frame
    if "pchg" not in scans:
        return
    after = ~scans["is_baseline"] & scans["pchg"].notna()
    changes = scans["pchg"][after]
    small = changes.abs().max() < FRACTION_BELOW if len(changes) >= FEWEST else False
    if small and (changes != 0).any() and tables.how.change_unit is None:
        got = f"all {len(changes)} changes are below {FRACTION_BELOW:g} (up to {changes.abs().max():g})"
        todo = (
            'Say change_unit = "fraction" (-0.46 is 46 % smaller), or "percent" if they are as small as that.'
        )
        yield problem(
            tables.visits.name,
            got,
            "percent, such as -46",
            todo,
            tables.visits.rows(after & (scans["pchg"] != 0)),
        )
    shrunk = scans["response"].isin(["CR", "PR"]) & after
    if shrunk.sum() >= FEWEST and (scans["pchg"][shrunk] > 0).mean() > 0.5:
        message = (
            f"{int((scans['pchg'][shrunk] > 0).sum())} of {int(shrunk.sum())} scans read as CR or PR have a "
            "pchg above 0, which is growth: is its sign reversed?"
        )
        yield from warn("sign-of-change", tables.visits, shrunk & (scans["pchg"] > 0), message)


def _size_unit(tables: Tables) -> Found:
    scans = tables.visits.frame
    if "size" not in scans or tables.size_unit is None:
        return
    baseline = scans["size"][scans["is_baseline"]].dropna() * SIZE_UNITS[tables.size_unit]
    if len(baseline) >= FEWEST and not 8 <= baseline.median() <= 800:
        message = (
            f"the middle sum of diameters at baseline is {significant(baseline.median(), 2)} mm: is "
            f"size_unit = {tables.size_unit!r} right?"
        )
        yield from warn("size-unit", tables.visits, scans["is_baseline"], message)


def _labels(tables: Tables) -> Found:
    """Arms, studies and categories that differ by case, space or marks alone."""
    frame = tables.people.frame
    texts = [name for name in tables.covariates if name in frame and frame[name].dtype.kind == "O"]
    for name in ("arm", "study", *texts):
        if name not in frame:
            continue
        alike = alike_labels(frame[name])
        at = frame[name].isin([label for group in alike for label in group[1:]])
        if not alike:
            continue
        named = "; ".join(" and ".join(_counted(frame[name], label) for label in group) for group in alike)
        got = f"{name}s that differ only in case, space or marks: {named}"
        if name == "arm" and tables.arms is None:
            todo = "Correct them; or, if they are different arms, name every one in arms."
            yield problem(
                tables.people.name, got, "each arm written in one way", todo, tables.people.rows(at)
            )
        else:
            yield from warn("labels-alike", tables.people, at, got)


def _counted(values: pd.Series, label: str) -> str:
    return f"{label!r} ({int((values == label).sum())})"


def alike_labels(values: pd.Series) -> list[list[str]]:
    """Groups of labels that differ only in case, space or marks, the most frequent first."""
    groups: dict[str, list[str]] = {}
    for label in values.dropna().astype(str).value_counts().index:
        bare = "".join(c for c in unicodedata.normalize("NFKD", label).casefold() if c.isalnum())
        groups.setdefault(bare or label, []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def _characters(tables: Tables) -> Found:
    """Characters that nobody sees, in identifiers and labels."""
    for table, names in ((tables.people, ("patient", "arm", "study")), (tables.visits, ("patient",))):
        for name in names:
            if name in table.frame:
                values = table.frame[name].dropna()
                if not _unseen("".join(values.unique())):
                    continue
                if name == "arm" and tables.arms is not None:
                    values = values[~values.isin(tables.arms)]  # named as it is written
                odd = each_value(values, _unseen).astype(bool)
                if odd.any():
                    found = sorted({c for value in values[odd] for c in _unseen(value)})
                    got = f"values of {name} with characters that cannot be seen: {', '.join(found)}"
                    at = odd.reindex(table.frame.index, fill_value=False)
                    yield problem(
                        table.name, got, "letters, digits and signs", "Remove them.", table.rows(at)
                    )


def _unseen(value: str) -> list[str]:
    return strange_characters(value, seen=False)


_CHECKS: tuple[Callable[[Tables], Found], ...] = (
    _characters,
    _labels,
    *follow_up.CHECKS,
    _sentinel_values,
    _changes,
    _size_unit,
)
