"""A number is rounded for a reader in numbers.py and nowhere else."""

import ast
import re
from pathlib import Path

import pytest

import bayes_net as bn

PACKAGE = Path(bn.__file__).parent
MAY_ROUND = {
    "numbers.py",
    "estimands/new_study.py",  # mixtures of normals in a column for programs: an ASCII minus sign
    *("figures/scenarios.py", "figures/style.py", "figures/synthesis.py"),  # ticks, by matplotlib
}
PRECISION = re.compile(r"%[-+ 0#]*\d*\.\d+[efgd]|\{[^{}]*:[^{}]*\.\d+[efg%]?\}")
"""A precision in a text that ``%`` or ``str.format`` fills in."""


def rounding(source: str) -> list[int]:
    """Lines on which a number is printed with a precision; ``:g`` prints what was given as it is."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FormattedValue):
            rounds = node.format_spec is not None and "." in ast.unparse(node.format_spec)
        elif isinstance(node, ast.Call):
            rounds = ast.unparse(node.func) == "format"
        else:
            text = getattr(node, "value", "")
            rounds = isinstance(text, str) and PRECISION.search(text)
        if rounds:
            found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    "source", ["f'{x:.2f}'", "f'{x:+.{n}g}'", "'%.3g' % x", "'{:.1f}'.format(x)", "format(x, '.2f')"]
)
def test_every_way_to_round_is_seen(source):
    assert rounding(source)


def test_what_is_printed_as_it_is_given_is_not_rounding():
    assert not rounding("f'{x:g} of {n:06d} {name}'; '95 % of them'; '{:g}'.format(x)")


def test_numbers_are_rounded_in_one_place():
    files = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    assert {name for name, source in files.items() if rounding(source)} == MAY_ROUND
