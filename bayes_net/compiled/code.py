"""The machine code of the log density: compiled once, then read from a folder of the user's.

The folder is named by everything that the code depends on: versions and the source itself. Numba writes its
files whole or not at all, so two first runs at once, or one that is killed, leave nothing broken; a file that
cannot be read is compiled anew. Where no folder can be written to, code is compiled for the process alone.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import sys
import tempfile
import threading
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import carray, cfunc, types

from bayes_net.compiled import density, fields, laws, likelihood, normal, uncertain, unprinted, vectors
from bayes_net.compiled.density import uncertain_density
from bayes_net.compiled.fields import WORK_SIZE
from bayes_net.statistics import association

CACHE_VARIABLE = "BAYES_NET_CACHE"
"""Environment variable: the folder in which compiled code is kept; empty: none."""
_LOCK = threading.Lock()
_BROKEN = (
    OSError,
    EOFError,
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ImportError,
)
"""What reading a file that is cut short, or was written by something else, ends in."""
_REAL, _PLACE = types.CPointer(types.double), types.voidptr
_DENSITY = types.int64(types.uint64, _REAL, _REAL, _REAL, _PLACE)
_EXPAND = types.int64(types.uint64, types.uint64, _REAL, _REAL, _PLACE)


def _log_density(size, x, gradient, value, block):
    """What nutpie calls: 0, or what is not finite: 3 the gradient, 4 the value."""
    length = carray(block, (1,), np.int64)[0]
    slots, values = carray(block, (length,), np.int64), carray(block, (length,), np.float64)
    found = carray(gradient, (size,))
    work = np.empty(slots[1 + WORK_SIZE])
    total = uncertain_density(carray(x, (size,)), found, work, slots[1:], values[1:])
    carray(value, (1,))[0] = total
    for i in range(len(found)):
        if not np.isfinite(found[i]):
            return 3
    return 0 if np.isfinite(total) else 4


def _copy(size, expanded, x, out, block):  # of as many numbers
    """Draws are kept as the sampler has them."""
    for i in range(size):
        out[i] = x[i]
    return 0


@dataclass(frozen=True)
class Code:
    """The two functions that a sampler calls, and whether they came from the folder."""

    log_density: Any
    expand: Any
    cached: bool


@cache
def code() -> Code:
    """The machine code, of this process's first call on."""
    with _LOCK:
        folder = cache_folder()
        try:
            return _compile(folder)
        except _BROKEN as problem:
            if folder is None:
                raise
            _warn(f"compiled code in {folder} cannot be read ({problem}); delete the folder")
            return _compile(None)


def _compile(folder: Path | None) -> Code:
    kept = numba.config.CACHE_DIR
    # Numba reads its setting when a function is declared, and has no argument for it.
    numba.config.CACHE_DIR = "" if folder is None else str(folder)
    try:
        options = {"cache": folder is not None, "error_model": "numpy"}
        functions = (
            cfunc(_DENSITY, **options)(_log_density),
            cfunc(_EXPAND, **options)(_copy),
        )
    finally:
        numba.config.CACHE_DIR = kept
    return Code(*functions, cached=all(function.cache_hits for function in functions))


def cache_folder() -> Path | None:
    """The folder of this version's code, which can be written to; None where there is none, with a warning
    unless none is wanted."""
    root = os.environ.get(CACHE_VARIABLE)
    if root == "":
        return None
    try:
        folder = (Path(root) if root else _home()) / _version_key()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError) as problem:  # no home, or a disk that is full or cannot be written to
        _warn(f"compiled code cannot be kept ({problem}); name a folder in {CACHE_VARIABLE}")
        return None


def _warn(problem: str) -> None:
    warnings.warn(
        f"{problem}. Compiling for this process alone, half a minute.", RuntimeWarning, stacklevel=3
    )


def _home() -> Path:
    if sys.platform == "win32" and "LOCALAPPDATA" in os.environ:
        return Path(os.environ["LOCALAPPDATA"]) / "bayes-net"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "bayes-net"


def _version_key() -> str:
    """Versions in words, and a digest of the sources: numba looks at one file's date only."""
    names = ("bayes-net", "numba", "llvmlite", "numpy")
    parts = [platform.python_implementation(), platform.python_version()]
    parts += [f"{name}-{version(name)}" for name in names]
    modules = (
        density.__file__,
        association.__file__,  # its nodes are constants of the code
        fields.__file__,
        laws.__file__,
        likelihood.__file__,
        normal.__file__,
        uncertain.__file__,
        unprinted.__file__,
        vectors.__file__,
        __file__,
    )
    sources = [Path(module).read_bytes() for module in modules]
    digest = hashlib.sha256(b"\0".join([*sources, "\0".join(parts).encode()])).hexdigest()
    return f"{version('bayes-net')}-python{platform.python_version()}-numba{version('numba')}-{digest[:16]}"
