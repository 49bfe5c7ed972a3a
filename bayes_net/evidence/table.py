"""Published numbers as evidence: one row a number, with its source, and what it may be used for."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bayes_net.display import notebook_html
from bayes_net.errors import CohortError, InputError, listed, refuse
from bayes_net.evidence.pairs import correlation_problems, declared_correlations, matrix_problems, uneven
from bayes_net.evidence.rules import USES, identity_problems, row_problems
from bayes_net.evidence.virtual import completed
from bayes_net.options import refuse_types
from bayes_net.simulate.ensemble import VirtualTrials, virtual_trials, without_study
from bayes_net.statistics.base import Row
from bayes_net.statistics.kinds import kind_of
from bayes_net.statistics.rounding import p_range
from bayes_net.tables.reading import Table, cell_problems, problem, read_table
from bayes_net.tables.values import parsed, quoted, text

COLUMNS = (
    *("id", "study", "cohort_id", "arm", "reference_arm", "subgroup", "endpoint", "statistic"),
    *("value", "lower", "upper", "level", "p", "n", "unit", "time", "landmark", "threshold"),
    *("said", "se", "se_log_sd", "se_tilt", "events", "sd", "publishing", "virtual_trials"),
    *("review", "cutoff", "correlated_with", "correlation", "use", "source", "section", "note"),
)
"""The columns of an evidence file; times are months, ``level`` is in percent."""
REQUIRED = (
    "id",
    "study",
    "cohort_id",
    "arm",
    "subgroup",
    "endpoint",
    "statistic",
    "value",
    "use",
    "source",
    "section",
)
"""Those that every row needs; a file may lack the others, which are then empty."""
NUMBERS = ("value", "lower", "upper", "level", "n", "time", "threshold", "se", "se_log_sd", "se_tilt")
NUMBERS += ("events", "sd")
PRINTED = ("printed_value", "printed_lower", "printed_upper")
"""The same numbers as text, since 0.60 is rounded otherwise than 0.6."""


class EvidenceError(InputError):
    """Published numbers break a rule, or two of them tell the same thing."""


@dataclass(frozen=True, eq=False, repr=False)
class Evidence:
    """Published numbers, checked: ``table`` has one row a number.

    Its columns are those of the files, numbers as floats (NaN where empty) and the rest as text ("" where
    empty), followed by printed_value, printed_lower and printed_upper, the numbers letter by letter. A
    row's ``use`` is likelihood, check (held out and predicted) or record.
    """

    table: pd.DataFrame
    virtual: VirtualTrials | None = None
    """The virtual trials that rows name."""

    @property
    def digest(self) -> str:
        """The sha256 of the content, which the order of rows does not change."""
        content = self.table.sort_values("id").to_csv(index=False, lineterminator="\n")
        return hashlib.sha256(content.encode()).hexdigest()

    def rows(self, use: str) -> pd.DataFrame:
        """The rows of one use: likelihood, check or record."""
        if use not in USES:
            raise EvidenceError(f"use {use!r} is unknown; expected one of {', '.join(USES)}")
        return self.table[self.table["use"] == use].reset_index(drop=True)

    def choose(self, uses: Mapping[str, str]) -> Evidence:
        """The same numbers with other uses, by id; the rules are checked after all of them are set."""
        return _checked(_chosen(self.table, uses), virtual=self.virtual)

    def correlate(self, a: str, b: str, value: float | str) -> Evidence:
        """The same numbers with this correlation of the errors of ``a`` and ``b``, or "curve" or "arms"."""
        return _checked(_correlated(self.table, a, b, value), virtual=self.virtual)

    def without(self, ids: Iterable[str]) -> Evidence:
        """The other numbers: rows left out, and correlations with them too."""
        out = {ids} if isinstance(ids, str) else set(ids)
        _check_ids(self.table, out)
        table = _uncorrelated(self.table, lambda one, other: bool({one, other} & out))
        return _checked(table[~table["id"].isin(out)].reset_index(drop=True), virtual=self.virtual)

    def __str__(self) -> str:
        uses = ", ".join(f"{(self.table['use'] == use).sum()} {use}" for use in USES)
        return f"{len(self.table)} published numbers ({uses}) of {listed(dict.fromkeys(self.table['study']))}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def _repr_html_(self) -> str:
        counts = pd.crosstab(self.table["study"], self.table["use"])
        counts = counts.reindex(index=self.table["study"].unique(), columns=list(USES), fill_value=0)
        columns = ["id", "study", "arm", "subgroup", "endpoint", "statistic", "landmark", "use"]
        rows = self.table[columns].rename(columns=str.capitalize)
        rows.insert(6, "As printed", [_as_printed(row) for row in self.table.itertuples()])
        by_use = counts.rename_axis(columns=None).reset_index().rename(columns=str.capitalize)
        return notebook_html(str(self), tables={"": by_use}, folded={"Every number": rows})


def read_evidence(
    *paths: str | Path | pd.DataFrame,
    use: Mapping[str, str] | None = None,
    correlation: Mapping[tuple[str, str], float | str] | None = None,
    only: Sequence[str] = (),
    statements: bool = True,
    se_factor: float = 1.0,
    correlated: bool = True,
    virtual_without: str = "",
) -> Evidence:
    """The evidence in one or more CSV files or DataFrames with the columns ``COLUMNS``; only ``REQUIRED``
    must be there. A DataFrame best holds texts (``dtype=str``): as a number, 0.60 has lost a printed digit.

    Before the rows are judged they get other uses, by id (``use``), and correlations of their errors, numbers
    or "curve" or "arms" by pair of ids (``correlation``). Rows of endpoints that are not among ``only``
    become records, unless ``use`` names them; by default all endpoints are used. Without ``statements`` so
    do rows that have a statement in place of a number. Rows may name a file of virtual trials, which stands
    beside theirs (of a DataFrame: in the working folder, or with its path) and gives the standard errors
    (times ``se_factor``) and correlations (none, if not ``correlated``) that are not in the table; those
    trials that are matched without the numbers of the study ``virtual_without``, where the file has such.

    Raises
    ------
    EvidenceError
        Anything that makes a number unusable, and rows of one cohort that inform the same parameter
        without a declared correlation: all of it in one message, with the rows.
    """
    refuse_types(read_evidence, {name: value for name, value in locals().items() if name != "paths"})
    if not paths:
        raise EvidenceError("no file is given; expected CSV files or DataFrames of published numbers")
    try:
        tables = [read_table(path, "published number") for path in paths]
    except CohortError as reason:
        raise EvidenceError(str(reason), problems=reason.problems) from reason
    _refuse([wrong for table in tables for wrong in (*_column_problems(table), *cell_problems(table))])
    typed, found = zip(*(_typed(table) for table in tables), strict=True)
    files = [table.name for table in tables for _ in range(len(table.frame))]
    table = pd.concat(typed, ignore_index=True)
    if only:
        table["use"] = table["use"].where(table["endpoint"].isin(only), "record")
    if not statements:
        table["use"] = table["use"].where(table["said"] == "", "record")
    table = _chosen(table, use or {})
    virtual = None
    if not uneven(table):  # what cannot be read as pairs is refused below
        for pair, value in (correlation or {}).items():
            table = _correlated(table, *pair, value)
        folders = [Path() if isinstance(path, pd.DataFrame) else Path(path).parent for path in paths]
        virtual = _virtual(table, folders, virtual_without)
        if virtual is not None:
            table = completed(table, virtual, se_factor=se_factor, correlated=correlated)
    return _checked(table, files, [wrong for some in found for wrong in some], virtual=virtual)


def _virtual(table: pd.DataFrame, folders: Sequence[Path], without: str) -> VirtualTrials | None:
    """The virtual trials that rows name, ``without`` a study; None where none does."""
    names = [name for name in dict.fromkeys(table["virtual_trials"]) if name]
    if len(names) > 1:
        raise EvidenceError(f"rows name virtual trials {listed(names)}; expected one file for all")
    there = [folder / name for name in names for folder in folders if _is_file(folder / name)]
    if names and not there:
        raise EvidenceError(f"virtual trials {names[0]} are named by rows; expected that file beside theirs")
    try:
        own = without_study(without, there[0]) if there and without else None
        return own or (virtual_trials(there[0]) if there else None)
    except InputError as reason:
        raise EvidenceError(str(reason)) from reason


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def _check_ids(table: pd.DataFrame, ids: Iterable[str]) -> None:
    there = list(table["id"])
    unknown = [name for name in ids if name not in there]
    if unknown:
        close = [match for name in unknown for match in difflib.get_close_matches(name, there, n=5)]
        hint = f" (did you mean {listed(dict.fromkeys(close))}?)" if close else ""
        raise EvidenceError(f"rows {listed(unknown)} are not in the evidence{hint}; it has {listed(there)}")


def _chosen(table: pd.DataFrame, uses: Mapping[str, str]) -> pd.DataFrame:
    _check_ids(table, uses)
    return table.assign(use=[uses.get(row.id, row.use) for row in table.itertuples()])


def _correlated(table: pd.DataFrame, a: str, b: str, value: float | str) -> pd.DataFrame:
    _check_ids(table, [a, b])
    table = _uncorrelated(table, lambda one, other: {one, other} == {a, b})
    at = table["id"] == a
    for column, new in (("correlated_with", b), ("correlation", str(value))):
        old = table.loc[at, column].iloc[0]
        table.loc[at, column] = f"{old};{new}" if old else new
    return table


def _column_problems(table: Table) -> list[str]:
    there = list(table.frame.columns)
    missing, unknown = [c for c in REQUIRED if c not in there], [c for c in there if c not in COLUMNS]
    got = " and ".join(
        f"{what} columns {listed(names, limit=30)}"
        for what, names in (("missing", missing), ("unknown", unknown))
        if names
    )
    optional = ",".join(c for c in COLUMNS if c not in REQUIRED)
    todo = f"Of the others take those that the numbers need: {optional}."
    return [problem(table.name, got, f"the columns {','.join(REQUIRED)}", todo)] if got else []


_NOT_ZERO = "^[^eE]*[1-9]"
"""A text that does not say 0; what reads as 0 all the same is smaller than any number in print."""


def _typed(table: Table) -> tuple[pd.DataFrame, list[str]]:
    """The table with its numbers as floats, and what could not be read as a number."""
    texts = table.frame.reindex(columns=list(COLUMNS)).apply(text).fillna("")
    typed, found = texts.copy(), []
    for column in NUMBERS:
        typed[column], wrong = parsed(texts[column])
        wrong |= (typed[column] == 0) & texts[column].str.contains(_NOT_ZERO)
        found += _unread(table.name, texts, column, wrong, "plain numbers, or nothing")
    for name in PRINTED:
        typed[name] = texts[name.removeprefix("printed_")]
    unclear = ~texts["p"].map(_is_p)
    found += _unread(table.name, texts, "p", unclear, "a p-value such as 0.03 or <0.0001, or nothing")
    typed.loc[unclear, "p"] = ""
    return typed, found


def _unread(name: str, texts: pd.DataFrame, column: str, wrong: pd.Series, expected: str) -> list[str]:
    rows = [f"{row['id']} ({column} {quoted(row[column])})" for _, row in texts[wrong].iterrows()]
    todo = "A cell holds one number, with a decimal point. Words belong in note; "
    todo += "a median that is not reached has an empty value and its lower limit."
    return [problem(name, f"{column} is not readable", expected, todo, rows)] if rows else []


def _is_p(p: str) -> bool:
    try:
        low, high = p_range(p)
    except (ArithmeticError, TypeError, ValueError):  # Decimal and float each have their own
        return False
    return 0 <= low < high <= 1 and not math.isnan(low + high)


def _checked(
    table: pd.DataFrame,
    files: Sequence[str] = (),
    found: Sequence[str] = (),
    *,
    virtual: VirtualTrials | None = None,
) -> Evidence:
    files = files or ["evidence"] * len(table)
    problems = [*found, *identity_problems(table, files), *row_problems(table, files)]
    problems += correlation_problems(table)
    _refuse(problems or matrix_problems(table))
    return Evidence(table, virtual)


def _refuse(problems: Sequence[str]) -> None:
    refuse(problems, kind=EvidenceError, heading="problems in the evidence")


def _as_printed(row: Row) -> str:
    """Value and limits as they stand in the file, with the number of patients of a count."""
    value, lower, upper = row.printed_value, row.printed_lower, row.printed_upper
    if lower and not upper:
        return f"{value} (≥ {lower})" if value else f"≥ {lower}"
    text = f"{value} ({lower} to {upper})" if lower else value
    return kind_of(row).as_printed(row, text)


def _uncorrelated(table: pd.DataFrame, leave_out: Callable[[str, str], bool]) -> pd.DataFrame:
    """The table without the declared correlations for which ``leave_out(id, other)`` is true."""
    kept: dict[str, list[tuple[str, str]]] = {name: [] for name in table["id"]}
    for one, other, value in declared_correlations(table):
        kept[one] += [] if leave_out(one, other) else [(other, value)]
    return table.assign(
        correlated_with=[";".join(other for other, _ in kept[name]) for name in table["id"]],
        correlation=[";".join(value for _, value in kept[name]) for name in table["id"]],
    )
