"""The kinds of value that a specification's keys take, each refused in words that say what is expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from bayes_net.errors import InputError, listed
from bayes_net.schema import ENDPOINTS, NO_LIMIT, Duration, duration

MOST_INTERVALS = 50
MOST_IMPUTATIONS = 1000


def _landmark(value: Any) -> str:
    return NO_LIMIT if value == NO_LIMIT else str(_positive_duration(value))


def _landmark_or_zero(value: Any) -> str:
    return NO_LIMIT if value == NO_LIMIT else str(duration(value))


def _positive_duration(value: Any) -> Duration:
    length = duration(value)
    if not length.days > 0:
        raise InputError(f"duration {value!r} is no time at all; expected more than 0")
    return length


def _limits(value: object) -> object:
    """Two rising positive numbers, or "flat": one message for both ways to be wrong."""
    pair = list(value) if isinstance(value, list | tuple) else []
    numbers = [x for x in pair if isinstance(x, int | float) and not isinstance(x, bool)]
    rising = len(pair) == len(numbers) == 2 and 0 < numbers[0] < numbers[1] < float("inf")
    if value != "flat" and not rising:
        raise InputError('expected two positive numbers, the smaller first, such as [0.5, 2], or "flat"')
    return value


def _cuts(value: object) -> object:
    """Cut-points of all endpoints, or of each by name."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        unknown = [str(name) for name in value if name not in ENDPOINTS]
        if unknown:
            raise InputError(f"unknown endpoint {listed(unknown)}; expected {' or '.join(ENDPOINTS)}")
        return {name: _rising(cuts) for name, cuts in value.items()}
    return _rising(value)


def _rising(value: object) -> tuple[Duration, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError('expected a list of durations, such as ["3mo", "6mo"], or one for each endpoint')
    cuts = tuple(_positive_duration(cut) for cut in value)
    for earlier, later in pairwise(cuts):
        if not later.days > earlier.days:
            raise InputError(f"{later} does not come after {earlier}; expected rising durations")
    if len(cuts) >= MOST_INTERVALS:
        raise InputError(f"{len(cuts)} cut-points; expected fewer than {MOST_INTERVALS}")
    return cuts


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Whole = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
"""A whole number as TOML has them."""
Flag = Annotated[bool, Field(strict=True)]


def _words(text: str) -> WithJsonSchema:
    """What the documentation says of the values of a type that JSON has no name for."""
    return WithJsonSchema({"format": text})


Length = Annotated[Duration, BeforeValidator(duration), PlainSerializer(str), _words("duration")]
PositiveLength = Annotated[
    Duration, BeforeValidator(_positive_duration), PlainSerializer(str), _words("duration above 0")
]
LandmarkText = Annotated[str, BeforeValidator(_landmark), _words('duration, or `"no limit"`')]
LandmarkOrZero = Annotated[str, BeforeValidator(_landmark_or_zero), _words('duration, or `"no limit"`')]
Share = Annotated[float, Field(strict=True, ge=0.5, le=0.999)]
"""A probability: a fraction of 1, not of 100, and not so near to 1 that nothing is left outside."""
_AnyLimits = tuple[float, float] | Literal["flat"]
Limits = Annotated[
    _AnyLimits, BeforeValidator(_limits), _words('two numbers above 0, the smaller first, or `"flat"`')
]
_Lengths = tuple[Length, ...]
Cuts = Annotated[
    dict[str, _Lengths] | _Lengths | None, BeforeValidator(_cuts), _words("list of rising durations")
]


def shared_months(cuts: Cuts) -> tuple[float, ...]:
    """Cut-points in months, where they are not by endpoint."""
    return tuple(cut.months for cut in cuts) if isinstance(cuts, tuple) else ()


def repeated(values: Iterable[Any]) -> list[str]:
    """What occurs more than once, as text."""
    seen, twice = set(), []
    for value in values:
        if value in seen:
            twice.append(str(value))
        seen.add(value)
    return twice


_EXPECTED = {
    "tuple_type": "expected a list in square brackets",
    "string_type": "expected text in quotes",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "path_type": "expected a file name in quotes",
    "dict_type": 'expected a table, such as {patient = "id"}',
    "model_type": "expected a section",
    "too_short": "expected at least one entry",
    "missing": "missing; it has no default",
}
_MOST_SHOWN = 1000
_NUMERIC = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


def complaints(
    errors: Iterable[Mapping], *, top: type[BaseModel], sections: Mapping[str, type[BaseModel]]
) -> list[str]:
    """One line for each of pydantic's errors: ``sections`` are the tables within ``top``, by name."""
    # a list whose only entry is wrong counts as too short as well: the entry says it all
    relevant = [e for e in errors if not (e["type"] == "too_short" and e["input"])]
    return [_complaint(error, top, sections) for error in relevant]


def _complaint(error: Mapping, top: type[BaseModel], sections: Mapping[str, type[BaseModel]]) -> str:
    where = tuple(error["loc"])
    # entries count from 1, as in paths of scenarios
    parts = (str(part + 1) if isinstance(part, int) else str(part) for part in where)
    key = ".".join(parts) or "specification"
    if error["type"] == "extra_forbidden":
        return f"{key}: {_unknown_key(where, top, sections)}"
    message = _EXPECTED.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    if error["type"] in _NUMERIC:
        message = message.replace("Input should be", "expected a number")
    message = message.replace("Input should be", "expected")
    return f"{key}: {message}{_got(error, message)}"


def _got(error: Mapping, message: str) -> str:
    """What was found there, unless the message says so or it is a whole section."""
    got = error["input"]
    if error["type"] == "missing" or isinstance(got, BaseModel):
        return ""
    if error["type"] == "value_error" and (isinstance(got, dict) or _quoted(got) in message):
        return ""
    return f" (got {_quoted(got)})"


def _quoted(got: Any) -> str:
    """A value as messages quote it, of which a page is enough."""
    try:
        text = repr(got)
    except (ValueError, RecursionError):
        return f"a {type(got).__name__} too large to show"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} …"


def _unknown_key(where: tuple, top: type[BaseModel], sections: Mapping[str, type[BaseModel]]) -> str:
    section = sections.get(where[0], top) if len(where) > 1 else top
    name, allowed = str(where[-1]), list(section.model_fields)
    homes = [
        f"in {_heading(home)}" if home else "at the top of the file, before the first [section]"
        for home, model in {"": top, **sections}.items()
        if name in model.model_fields and model is not section
    ]
    nearest = get_close_matches(name, allowed, n=1, cutoff=0.6)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    if homes and not get_close_matches(name, allowed, n=1, cutoff=0.8):
        hint = f"; it belongs {' or '.join(homes)}"
    return f"unknown key{hint}; the keys here are {', '.join(allowed)}"


def _heading(section: str) -> str:
    return "[[covariates]]" if section == "covariates" else f"[{section}]"
