"""Fixtures that several test files use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data and reference answers that are not part of the repository."""
    folder = Path(os.environ.get("BAYES_NET_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not folder.is_dir():
        pytest.skip("needs the shared data: set BAYES_NET_SHARED to their folder")
    return folder


SLOW_FOLDERS = ("fits", "end_to_end")


def pytest_collection_modifyitems(items):
    """What compiles, samples or runs whole commands is marked by its folder; -m "not fits" leaves it out."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in SLOW_FOLDERS or item.get_closest_marker("slow"):
            item.add_marker("fits")
