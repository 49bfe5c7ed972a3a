"""Giving a folder of results its name: all files appear at once, or the earlier result stays.

Files are written to a hidden folder beside the destination, whose name says which process writes it,
and renamed at the end. What a killed process left behind is tidied up by the next run.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bayes_net.errors import InputError, listed

if sys.platform != "win32":
    import fcntl


MANIFEST = "manifest.json"
GATE_FAILED_SUFFIX = "-gate-failed"
PARTIAL, PREVIOUS = "partial", "previous"
_DROPPINGS = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""Files that file managers leave wherever they look."""


def check_destination(out: Path) -> None:
    """Refuse a folder that cannot take results, before any time is spent on sampling.

    What earlier, killed runs left beside it is tidied up first.

    Raises
    ------
    InputError
        ``out`` is a file, holds files that no run wrote, is the working folder or a mounted volume, or
        cannot be written to.
    """
    out = out.resolve()
    tidy(out)
    _refuse_unusable(out)
    _refuse_foreign_files(out)
    if passed(out):
        _refuse_foreign_files(gate_failed(out))
    _refuse_unwritable(out)


def gate_failed(out: Path) -> Path:
    """Where a run whose gate failed goes when ``out`` holds a result whose gate passed."""
    return out.with_name(out.name + GATE_FAILED_SUFFIX)


def passed(out: Path) -> bool:
    """Whether ``out`` holds a result whose gate passed."""
    manifest = read_manifest(out)
    return manifest is not None and manifest.get("gate") == "passed"


def read_manifest(folder: Path) -> dict | None:
    """The manifest of a finished result, or None where there is none (other programs have manifests too)."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(manifest, dict) and "specification_sha256" in manifest
    return manifest if ours and isinstance(manifest.get("files"), dict) else None


def _refuse_unusable(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; expected a folder for the results. Choose another --out")
    if out == Path.cwd() or out in Path.cwd().parents:
        raise InputError(
            f"{out} is the folder you are working in, or above it; a result takes a whole folder of its own. "
            "Choose another --out"
        )
    if out.is_mount():
        raise InputError(f"{out} is a mounted volume and cannot be exchanged. Choose a folder in it as --out")
    if out.is_dir() and not os.access(out, os.W_OK):
        raise InputError(f"{out} is write-protected and is left as it is. Choose another --out")


def _refuse_foreign_files(out: Path) -> None:
    if not out.is_dir():
        return
    manifest = read_manifest(out)
    known = {MANIFEST, *manifest["files"]} if manifest else set()
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    foreign = sorted(name for name in found - known if Path(name).name not in _DROPPINGS)
    if foreign:
        raise InputError(
            f"{out} holds files that are not a result of bayes-net ({listed(foreign)}); "
            "they would be lost. Move them, or choose another --out"
        )


def _refuse_unwritable(out: Path) -> None:
    """Try it out: permissions, read-only disks and names that are too long all show by doing."""
    parent = out.parent
    while not parent.exists():
        parent = parent.parent
    trial = parent / _hidden(out, PARTIAL)
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as problem:
        raise InputError(f"{out} cannot be written ({problem.strerror}); choose another --out") from problem


def publish(out: Path, write: Callable[[Path], None], *, gate_passed: bool = True) -> Path:
    """Let ``write`` fill a hidden folder beside ``out``, then give it the name ``out``; returns where it is.

    A result whose gate failed never takes the place of one whose gate passed: it goes beside it. An
    earlier folder is kept aside until the new one has its name, and put back by the next run should the
    exchange itself be interrupted.

    Raises
    ------
    InputError
        The disk is full, or refuses for another reason; an earlier result is as it was.
    """
    out = out.resolve()
    staging = out.with_name(_hidden(out, PARTIAL))
    try:
        staging.mkdir(parents=True)
        write(staging)
        with _alone_in(out.parent):
            # asked now and not before: another run may have finished in the meantime
            destination = gate_failed(out) if passed(out) and not gate_passed else out
            _refuse_foreign_files(destination)
            _exchange(staging, destination)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise InputError(
            f"{out}: the results could not be written ({reason}); nothing there was changed"
        ) from problem
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return destination


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait for other runs that exchange results in this folder; a killed one holds nothing up.

    Where folders cannot be locked (Windows, some network disks) two runs that finish in the same instant
    may refuse one of them; neither result is lost or mixed.
    """
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _exchange(staging: Path, out: Path) -> None:
    aside = staging.with_name(staging.name.replace(f".{PARTIAL}-", f".{PREVIOUS}-"))
    try:
        if out.exists():
            os.replace(out, aside)
        os.replace(staging, out)
    finally:
        if aside.exists() and not out.exists():
            os.replace(aside, out)
        shutil.rmtree(aside, ignore_errors=True)


def tidy(out: Path) -> None:
    """Put back a result whose exchange was interrupted, and remove what killed runs left beside ``out``."""
    if not out.parent.is_dir():
        return
    with _alone_in(out.parent):
        for left in _left_behind(out, PREVIOUS):
            if out.exists():
                shutil.rmtree(left, ignore_errors=True)
            else:
                os.replace(left, out)
        for left in _left_behind(out, PARTIAL):
            shutil.rmtree(left, ignore_errors=True)


def _left_behind(out: Path, kind: str) -> Iterator[Path]:
    """Hidden folders of this destination whose process is gone; newest first."""
    name = re.compile(rf"\.{re.escape(out.name)}\.{kind}-{re.escape(_host())}-(\d+)-[0-9a-f]+")
    found = [(path, name.fullmatch(path.name)) for path in out.parent.iterdir()]
    ours = [path for path, match in found if match and not _is_alive(int(match[1]))]
    yield from sorted(ours, key=lambda path: path.stat().st_mtime, reverse=True)


def _hidden(out: Path, kind: str) -> str:
    return f".{out.name}.{kind}-{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


def _host() -> str:
    """The machine: a process number means nothing on another one that shares the disk."""
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())


def _is_alive(pid: int) -> bool:
    if os.name == "nt":  # there, signal 0 is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
