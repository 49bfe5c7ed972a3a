"""What stands in cells: read one way whatever the file, compared, and quoted in messages."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.errors import listed

MISSING = frozenset({"", "NA", "NaN", "nan", "."})
"""Texts that mean a missing value, as R, pandas and SAS write it."""


TRUTH = {"true": 1.0, "false": 0.0}


YES_NO = TRUTH | {"yes": 1.0, "y": 1.0, "no": 0.0, "n": 0.0}


ALMOST_ZERO = 1e-70
"""Numbers nearer to 0 are 0: pandas reads the zeros of a SAS transport file as 5.4e-79."""


_DATES = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?:[T ].*)?"
    r"|(?P<day2>\d{1,2})\.(?P<month2>\d{1,2})\.(?P<year2>\d{4})"
    r"|(?P<day3>\d{1,2})[- ]?(?P<name>[A-Za-z]{3})[- ]?(?P<year3>\d{4})"
)
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905


def iso_date(value: object) -> str | None:
    """``2026-03-01`` of a date that can be read one way only, with or without a time of day: 2026-03-01,
    01.03.2026 or 01MAR2026, not 03/01/2026; None of anything else."""
    found = _DATES.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    if found["name"]:
        month = 1 + _MONTHS.index(found["name"].lower()) if found["name"].lower() in _MONTHS else 0
    else:
        month = int(found["month"] or found["month2"])
    year, day = (int(found[key] or found[f"{key}2"] or found[f"{key}3"]) for key in ("year", "day"))
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def is_plain(value: object) -> bool:
    """Whether a value is a single one, and can be read and written."""
    if isinstance(value, str) and value.isascii():
        return True
    try:
        (_text(value) or "").encode()
    except (ArithmeticError, TypeError, ValueError):
        return False
    return bool(pd.api.types.is_scalar(value)) and not isinstance(value, bytes)


_COMPARABLE = ("string", "categorical", "empty", "integer", "floating", "boolean", "date", "datetime64")
"""Kinds of columns whose values are the same where they are equal; of others, 1 and True would be one."""


def text(values: pd.Series) -> pd.Series:
    """The values as stripped text, None where missing; a whole number has no decimal point."""
    return each_value(values, _text).astype(object)


def each_value(values: pd.Series, function: Callable[[Any], Any]) -> pd.Series:
    """What ``function`` makes of every value, worked out once for each that occurs."""
    if pd.api.types.infer_dtype(values, skipna=True) in _COMPARABLE:
        places, distinct = pd.factorize(values, use_na_sentinel=False)
        results = np.empty(len(distinct), dtype=object)
        results[:] = [function(value) for value in distinct]
        return pd.Series(results[places], index=values.index, dtype=object)
    return pd.Series([function(value) for value in values], index=values.index, dtype=object)


def matching(values: pd.Series, codes: Sequence[str]) -> pd.Series:
    """Which values are one of the codes, as text whatever its case or as a number."""
    texts = {code.casefold() for code in codes}
    numbers = {number for code in codes if (number := _number(code, {})) is not None}

    def match(value: object) -> bool:
        label = _text(value)
        return label is not None and (label.casefold() in texts or _number(label, {}) in numbers)

    return each_value(values, match).astype(bool)


def as_levels(values: Iterable[object]) -> list[str]:
    """Values of a category as they can be compared: 1, 1.0 and "1" are one, and TRUE, true and True."""
    found = []
    for value in values:
        label = _text(value) or ""
        number = _number(label, TRUTH)
        if number is not None and not math.isnan(number):
            label = repr(int(number) if number.is_integer() else number)
        found.append(label)
    return found


def strange_characters(value: str, *, seen: bool = True) -> list[str]:
    """The characters that look like others or are not seen, by code and name: ``U+2212 MINUS SIGN``; without
    those that are ``seen``, the invisible ones alone."""
    if value.isascii() and value.isprintable():
        return []
    odd = dict.fromkeys(
        c
        for c in value
        if (not c.isascii() and not c.isalnum() and seen)
        or (c != " " and not c.isprintable())
        or c == "\u00ad"
    )
    return [f"U+{ord(c):04X} {unicodedata.name(c, 'a control character')}" for c in odd]


def quoted(value: str) -> str:
    """A value as messages quote it, with its strange characters by name."""
    odd = strange_characters(value)
    return repr(value) + (f", which has {listed(odd)}" if odd else "")


def _text(value: object) -> str | None:
    if not isinstance(value, str):  # most are, and to ask a text whether it is missing takes long
        if pd.isna(value):
            return None
        if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
            return str(int(value)) if float(value).is_integer() else str(value)
    stripped = str(value).strip()
    return None if stripped in MISSING else stripped


def parsed(values: pd.Series, words: Mapping[str, float] | None = None) -> tuple[pd.Series, pd.Series]:
    """The values as floats (NaN where missing or not a number), and which are not numbers."""
    if values.dtype == np.float64 or values.dtype.kind in "iu":
        numbers = values.astype(float)
    else:

        def number(value: object) -> float:
            found = _number(_text(value), words or {})
            return math.inf if found is None else found

        numbers = each_value(values, number).astype(float)
    infinite = np.isinf(numbers)
    return numbers.mask(infinite).mask(numbers.abs() < ALMOST_ZERO, 0.0), infinite


def _number(value: str | None, words: Mapping[str, float]) -> float | None:
    if value is None:
        return math.nan
    if value.lower() in words:
        return words[value.lower()]
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number) or "_" in value:
        return None
    return number if abs(number) >= ALMOST_ZERO else 0.0
