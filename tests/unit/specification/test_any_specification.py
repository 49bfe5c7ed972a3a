"""Whatever stands in a specification, it is a plan or refused in words."""

import math
import tomllib
from contextlib import suppress
from datetime import date

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import MINIMAL, OTHER_VALUES, parse

from bayes_net.errors import SpecificationError
from bayes_net.specification.base import Plan
from bayes_net.specification.read import read_specification
from bayes_net.specification.synthesis import SynthesisPlan

TEXTS = st.sampled_from(
    [
        "",
        "no limit",
        "150d",
        "0d",
        "9" * 400 + "y",
        "0.0000001d",
        "1y ",
        "flat",
        "a.b",
        "\0",
        "\ud800",
        "²d",
        "none",
    ]
) | st.text(st.characters(), max_size=8)
NUMBERS = st.sampled_from(
    [0, -1, 1, 10**20, 10**400, 10**4000, math.nan, math.inf, -math.inf, 1e308, 5e-324, 0.5]
)
CELLS = TEXTS | NUMBERS | st.integers() | st.floats() | st.booleans() | st.none() | st.just(date(2026, 1, 1))
VALUES = st.recursive(
    CELLS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
SECTIONS = {name: [*OTHER_VALUES[name]] for name in OTHER_VALUES if isinstance(OTHER_VALUES[name], dict)}
KEYS = st.sampled_from(
    [(section, key) for section, keys in SECTIONS.items() for key in keys]
    + [(None, name) for name in OTHER_VALUES]
    + [(None, name) for name in SynthesisPlan.model_fields]
)
FEW = settings(deadline=5000, max_examples=400, suppress_health_check=[HealthCheck.too_slow])


def attempt(values: dict) -> None:
    """A plan that can be written and hashed, or one clear error."""
    try:
        plan = parse(values)
    except SpecificationError:
        return
    assert isinstance(plan, Plan)
    assert len(plan.digest) == 64
    assert tomllib.loads(plan.public_toml())["title"] == plan.title
    repr(plan)


@FEW
@given(st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=4))
def test_any_value_of_any_key_is_a_plan_or_refused(changes):
    values = tomllib.loads(MINIMAL)
    for (section, key), value in changes:
        table = values if section is None else values.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
    attempt(values)


@FEW
@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_any_table_is_a_plan_or_refused(values):
    attempt(values)


@FEW
@given(st.data())
def test_any_bytes_are_a_plan_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    content = bytearray(MINIMAL.encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    path.write_bytes(bytes(content))
    with suppress(SpecificationError):
        read_specification(path).public_toml()
