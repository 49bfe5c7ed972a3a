"""What is wrong with a specification, in words: the key, what was got, and what is allowed there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from pydantic import BaseModel

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
_NUMERIC = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


def complaints(
    errors: Iterable[Mapping], *, top: type[BaseModel], sections: Mapping[str, type[BaseModel]]
) -> list[str]:
    """One line for each of pydantic's errors: ``sections`` are the tables within ``top``, by name."""
    # a list whose only entry is wrong counts as too short as well: the entry says it all
    told = [e for e in errors if not (e["type"] == "too_short" and e["input"])]
    return [_complaint(error, top, sections) for error in told]


def _complaint(error: Mapping, top: type[BaseModel], sections: Mapping[str, type[BaseModel]]) -> str:
    where = tuple(error["loc"])
    key = ".".join(str(part) for part in where) or "specification"
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
    if error["type"] == "value_error" and (isinstance(got, dict) or repr(got) in message):
        return ""
    return f" (got {got!r})"


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
