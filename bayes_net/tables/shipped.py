"""Where the files are that the package brings with it."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def models_folder() -> Path:
    """The folder of shipped specifications: inside an installed wheel, or beside the package in a clone."""
    packaged = PACKAGE / "models"
    return packaged if packaged.is_dir() else PACKAGE.parent / "models"
