"""ADaM data sets as they come in files, and what their variables say: parameters, units, dates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.errors import CohortError, listed, problem
from bayes_net.files.formats import READERS, read_file
from bayes_net.schema import DAYS_PER_MONTH
from bayes_net.tables.values import parsed, text

DATASETS = ("adsl", "adtte", "adtr", "adrs")
_UNIT_DAYS = {"day": 1.0, "week": 7.0, "month": DAYS_PER_MONTH, "year": 12 * DAYS_PER_MONTH}
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
ORIGINS = ("STARTDT", "RANDDT", "TRTSDT", "TRTSDTM")
"""Variables of the date from which time counts, the first that is filled."""


@dataclass(frozen=True)
class Dataset:
    """One data set with upper-case names of variables, whose index counts the rows of its file."""

    name: str
    file: str
    frame: pd.DataFrame

    def values(self, name: str) -> pd.Series:
        """A variable as text, None where empty or absent."""
        absent = pd.Series(None, index=self.frame.index, dtype=object)
        return text(self.frame[name]) if name in self.frame else absent

    def numbers(self, name: str) -> pd.Series:
        """A variable as numbers, NaN where empty or absent."""
        return parsed(self.frame[name])[0] if name in self.frame else pd.Series(np.nan, self.frame.index)

    def where(self, keep: pd.Series) -> Dataset:
        """The rows that are kept."""
        return replace(self, frame=self.frame[keep.to_numpy(bool)])

    def one_a_patient(self, code: str) -> Dataset:
        """The rows of a parameter, of which each patient has at most one."""
        rows = self.where(self.values("PARAMCD").eq(code))
        if several := int(rows.values("USUBJID").duplicated().sum()):
            got, expected = (
                f"{several} patients have several rows of {code}",
                "one row a patient and parameter",
            )
            raise self.refuse(got, expected, "Choose rows by where, for example a PARCAT.")
        return rows

    def refuse(self, got: str, expected: str, todo: str) -> CohortError:
        """An error about this data set."""
        return CohortError(problem(self.file, got, expected, todo))


def datasets(source: Any, where: Mapping[str, Mapping[str, Any]]) -> dict[str, Dataset]:
    """The data sets by name."""
    if isinstance(source, Mapping):
        found = {str(name).lower(): given for name, given in source.items()}
        if unknown := sorted(set(found) - set(DATASETS)):
            raise CohortError(
                problem("ADaM", f"data sets {listed(unknown)}", ", ".join(DATASETS), "Rename them.")
            )
    else:
        found = _files(source)
    if missing := [name for name in ("adsl", "adtte") if name not in found]:
        got = f"no {' and no '.join(name.upper() for name in missing)}"
        todo = 'Name the files: {"adsl": …, "adtte": …}.'
        raise CohortError(problem(f"ADaM ({source})" if isinstance(source, str | Path) else "ADaM", got,
                                  "ADSL and ADTTE, and where there ADTR and ADRS", todo))  # fmt: skip
    sets = {name: _dataset(name, given) for name, given in found.items()}
    if strange := [name for name in where if name.lower() not in sets]:
        raise CohortError(
            problem("ADaM", f"where is about {listed(strange)}", f"some of {listed(sets)}", "Correct where.")
        )
    for name, conditions in where.items():
        for variable, value in conditions.items():
            one = sets[name.lower()]
            sets[name.lower()] = one.where(one.values(variable.upper()).eq(str(value)))
    return sets


def _files(source: Any) -> dict[str, Path]:
    """Which file holds which data set: the one whose name has the data set's in it."""
    several = _found(Path(source)) if isinstance(source, str | Path) else [Path(each) for each in source]
    files = [path for path in several if path.suffix.lower() in READERS]
    found: dict[str, Path] = {}
    for name in DATASETS:
        own = [path for path in files if name in path.stem.lower()]
        if len(own) > 1:
            got = f"{name.upper()} could be {listed(p.name for p in own)}"
            todo = 'Say which: "study/*.xpt", or by name.'
            raise CohortError(problem(f"ADaM ({source})", got, "one file of each data set", todo))
        if own:
            found[name] = own[0]
    return found


def _found(path: Path) -> list[Path]:
    """What is in a folder, or fits a pattern."""
    try:
        return sorted(path.iterdir()) if path.is_dir() else sorted(path.parent.glob(path.name))
    except (OSError, ValueError, NotImplementedError) as reason:  # names that no file can have
        got = f"no files can be looked for ({str(reason)[:80]})"
        expected = "a folder, or a pattern of files"
        raise CohortError(problem("ADaM", got, expected, 'Write it as "study/*.xpt".')) from reason


def _dataset(name: str, given: Any) -> Dataset:
    if isinstance(given, pd.DataFrame):
        file, frame = name.upper(), given
    else:
        file, (_, frame) = Path(given).name, read_file(Path(given))
    frame = frame.rename(columns=lambda column: str(column).strip().upper())
    one = Dataset(name, file, frame)
    if "USUBJID" not in frame or (name != "adsl" and "PARAMCD" not in frame):
        raise one.refuse(
            f"it has {listed(frame.columns, limit=8)}", "USUBJID, and PARAMCD but in ADSL", "Is it ADaM?"
        )
    return one.where(one.values("USUBJID").notna())


def parameter(one: Dataset, asked: str | None, usual: str, *, required: bool = True) -> str | None:
    """The PARAMCD that is meant: the one asked for, the usual one, or the only one that begins with it."""
    there = sorted(set(one.values("PARAMCD").dropna()))
    if asked is not None:
        if asked not in there:
            raise one.refuse(
                f"there is no PARAMCD {asked!r}", f"one of {listed(there, limit=30)}", "Correct it."
            )
        return asked
    close = [usual] if usual in there else [code for code in there if code.startswith(usual)]
    if len(close) == 1:
        return close[0]
    if close or required:
        got = f"PARAMCD is {listed(there, limit=30)}" if not close else f"{usual} could be {listed(close)}"
        raise one.refuse(got, f"one parameter {usual}", f"Name it: {usual.lower()} = …")
    return None


def coded(
    one: Dataset, asked: str | None, usual: Sequence[str], pattern: re.Pattern[str], what: str, option: str
) -> str:
    """The parameter that is meant, by its code or, if there is one alone, by its description."""
    there = set(one.values("PARAMCD").dropna())
    if asked is not None:
        return parameter(one, asked, asked) or asked
    close = [code for code in usual if code in there]
    if not close:
        described = one.values("PARAM").fillna("").str.contains(pattern)
        close = sorted(set(one.values("PARAMCD")[described].dropna()))
    if len(close) != 1:
        got = f"{what} could be {listed(close)}" if close else f"PARAMCD is {listed(sorted(there), limit=30)}"
        raise one.refuse(got, f"one parameter of {what}", f"Name it: {option} = …")
    return close[0]


def unit_in_days(rows: Dataset, asked: str | None, elapsed: pd.Series) -> tuple[float, str]:
    """Days in the unit of AVAL, and who says so: the caller, AVALU, PARAM, or the dates."""
    stated = [("as given", asked)] if asked else []
    stated += [
        (name, value) for name in ("AVALU", "PARAM") for value in sorted(set(rows.values(name).dropna()))
    ]
    for source, value in stated:
        units = [
            days
            for unit, days in _UNIT_DAYS.items()
            if re.search(rf"\b{unit}s?\b", str(value), re.IGNORECASE)
        ]
        if len(units) == 1:
            return units[0], source
    ratio = (elapsed / rows.numbers("AVAL"))[elapsed > 30].replace([np.inf, -np.inf], np.nan).dropna()
    for days in _UNIT_DAYS.values():
        if len(ratio) and abs(np.log(ratio.median() / days)) < 0.1:
            return days, "ADT − STARTDT"
    got = "no unit of time in AVALU or PARAM, nor dates to tell it"
    raise rows.refuse(got, "days, weeks, months or years", "Say time_unit.")


def dates_of(one: Dataset, names: Sequence[str]) -> pd.Series:
    """Days since 1960 of the first of these variables that is filled, NaN where none is or only in part."""
    found = pd.Series(np.nan, index=one.frame.index)
    for name in names:
        if name not in one.frame:
            continue
        given = one.frame[name]
        if given.dtype.kind in "if":
            days = given.astype(float).where(given.abs() < 1e5, given / 86400.0)  # of date-times, seconds
        else:
            texts = given.map(lambda value: None if pd.isna(value) else str(value)[:10])
            whole = texts.where(texts.fillna("").str.fullmatch(_ISO_DATE))
            days = (pd.to_datetime(whole, errors="coerce") - pd.Timestamp("1960-01-01")).dt.days.astype(float)
        found = found.fillna(days)
    return found


def elapsed_days(one: Dataset, origins: pd.Series | None = None) -> pd.Series:
    """Days from time zero to each row's analysis date."""
    zero = dates_of(one, ORIGINS)
    if origins is not None:
        zero = zero.fillna(one.values("USUBJID").map(origins))
    return np.floor(dates_of(one, ("ADT", "ADTM"))) - np.floor(zero)


def unit_name(days: float) -> str:
    """The unit that has so many days, in the plural."""
    return f"{next(unit for unit, own in _UNIT_DAYS.items() if own == days)}s"
