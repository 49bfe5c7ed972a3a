"""A test is found by the folder of what it tests, and by its name."""

import tomllib
from collections import Counter
from pathlib import Path

import pytest

import bayes_net as bn

PACKAGE, TESTS = Path(bn.__file__).parent, Path(__file__).parents[1]
WITHOUT_PACKAGE = {"calibration"}
"""Stored calibrations, which are of no one folder."""
SAMPLED = {"model", "engine", "inference"}
"""Folders of which nothing can be tested without a model that is compiled: theirs are in tests/fits."""


def folders(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir() and list(path.glob("*.py"))}


def test_tests_mirror_the_folders_of_the_package():
    package, unit, fits = folders(PACKAGE), folders(TESTS / "unit"), folders(TESTS / "fits")
    assert unit == package - SAMPLED | WITHOUT_PACKAGE
    assert SAMPLED <= fits <= package


def test_no_two_files_of_tests_have_one_name():
    names = Counter(path.name for path in TESTS.rglob("*.py") if path.name != "__init__.py")
    assert [name for name, n in names.items() if n > 1] == []


def test_every_folder_of_tests_can_be_imported_from():
    """So that a helper is imported by its name, wherever pytest was started."""
    settings = TESTS.parent / "pyproject.toml"
    if not settings.is_file():
        pytest.skip("tests without their repository")
    paths = tomllib.loads(settings.read_text("utf-8"))["tool"]["pytest"]["ini_options"]["pythonpath"]
    found = {path.parent.relative_to(TESTS.parent).as_posix() for path in TESTS.rglob("test_*.py")}
    assert sorted(found - set(paths)) == []
    assert [path for path in paths if not (TESTS.parent / path).is_dir()] == []
    assert len(set(paths)) == len(paths)
