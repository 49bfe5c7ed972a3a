"""The one place where PyMC is imported, so that its import is quiet on every machine.

Sampling runs on PyTensor's numba backend, which needs neither a C++ compiler nor a BLAS of its own.
PyTensor would search for both, and warn that its C backend will be slow without: not true of anything
here. Its cache of compiled pieces on disk is left out as well: code that is partly read from there and
partly compiled rounds differently, and then one seed gives different draws. Whoever sets these flags
themselves, or imports PyTensor first, keeps what they chose.
"""

from __future__ import annotations

import os
import shutil
import sys
import warnings


def _quiet_flags() -> str:
    """PYTENSOR_FLAGS with what numba has no use for left out, and the cache that changes draws."""
    given = os.environ.get("PYTENSOR_FLAGS", "")
    flags = [given] if given else []
    if "blas__ldflags" not in given:
        flags.append("blas__ldflags=")
    if "numba__cache" not in given:
        flags.append("numba__cache=False")
    if "cxx" not in given and shutil.which("g++") is None:
        flags.append("cxx=")
    return ",".join(flags)


if "pytensor" not in sys.modules:
    os.environ["PYTENSOR_FLAGS"] = _quiet_flags()

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
    import pymc as pm
    import pytensor.tensor as pt


__all__ = ["pm", "pt"]


def times(matrix, vector):
    """Matrix times vector: ``pt.dot`` would take longer to compile than everything else together."""
    return pt.sum(matrix * vector[..., None, :], axis=-1)
