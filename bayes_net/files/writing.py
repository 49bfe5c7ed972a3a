"""Files that appear whole or not at all; new ones all or none, and never in the place of another."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bayes_net.errors import InputError, listed


def write_whole(path: Path, content: bytes) -> None:
    """Write a single file, which appears whole or not at all; folders above it are made."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError as problem:
        raise InputError(f"{path} cannot be written ({problem.strerror}); choose another place") from problem
    finally:
        with suppress(OSError):
            beside.unlink()


def write_new(files: Mapping[Path, bytes]) -> None:
    """Write files that are not there yet, all of them or none; folders above them are made."""
    if there := [path for path in files if path.exists()]:
        raise _taken(there)
    beside = {path: path.with_name(f".{path.name}.{secrets.token_hex(4)}") for path in files}
    given: list[Path] = []
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside[path].write_bytes(content)
        for path in files:
            _name(beside[path], path)
            given.append(path)
    except OSError as reason:
        for path in given:
            path.unlink()
        if there := [path for path in files if path not in given and path.exists()]:
            raise _taken(there) from None
        raise InputError(
            f"{listed(files)} cannot be written ({reason.strerror or reason}); expected a folder that can be "
            "written to"
        ) from None
    finally:
        for path in beside.values():
            with suppress(OSError):
                path.unlink()


def _taken(there: list[Path]) -> InputError:
    return InputError(f"{listed(there)} exists already and is left as it is; expected names of new files")


def _name(beside: Path, path: Path) -> None:
    """Give a file its name, unless another one has got it meanwhile."""
    try:
        os.link(beside, path)  # unlike a renaming, it refuses to take the place of a file
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links
        if path.exists():
            raise FileExistsError(path) from None
        os.replace(beside, path)
