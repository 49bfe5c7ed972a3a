"""The compiled density as a model that nutpie samples.

The one module that knows nutpie's inner workings: its public way for functions of one's own calls Python at
every step, and lets one chain run at a time. This hands over addresses, as nutpie does with what it compiles
for PyMC; ``tests/fits/engine/test_engine.py`` fails when a new version of nutpie does it otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow

from bayes_net.compiled.code import code
from bayes_net.engine.posterior import Posterior


class _Later(ModuleType):
    """ArviZ as nutpie sees it: loaded at its first use, for traces that are not raw. It takes half a second
    and 70 MB, which draws of the density do without."""

    InferenceData = object
    """Stands in hints of nutpie's functions."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get("arviz") is self:
            del sys.modules["arviz"]
        import arviz

        return getattr(arviz, name)


def _imported() -> Any:
    stands_in = sys.modules.setdefault("arviz", _Later("arviz"))
    import nutpie

    if isinstance(stands_in, _Later) and sys.modules.get("arviz") is stands_in:
        del sys.modules["arviz"]
    return nutpie


_library = _imported()
CompiledPyMCModel = _library.compile_pymc.CompiledPyMCModel


class _Nutpie:
    """Of nutpie what is used, without its answer to Ctrl-C: the draws so far, as if they were all."""

    compile_pymc_model = staticmethod(_library.compile_pymc_model)

    @staticmethod
    def sample(model: Any, **settings: Any) -> Any:
        running = _library.sample(model, blocking=False, **settings)
        try:
            return running.wait()
        except BaseException:
            running.cancel()
            raise


nutpie = _Nutpie()
VECTOR = "x"
"""The one variable of the draws: the sampler's vector."""


def nuts_model(posterior: Posterior) -> Any:
    """The model to hand to ``nutpie.sample``; its draws have one variable, ``x``."""
    size, functions = posterior.size, code()
    given = {
        "_n_dim": size,
        "dims": {},
        "_coords": {},
        "_shapes": {VECTOR: (size,)},
        "compiled_logp_func": functions.log_density,
        "compiled_expand_func": functions.expand,
        "initial_point_func": posterior.first_point,
        "shared_data": {},
        "shared_var_keys": {},  # since nutpie 0.16.11
        "user_data": posterior.block,
        "n_expanded": size,
        "shape_info": ([VECTOR], [slice(0, size)], [(size,)]),
        "logp_func": None,
        "expand_func": None,
    }
    known = {each.name for each in fields(CompiledPyMCModel)}
    return CompiledPyMCModel(**{name: value for name, value in given.items() if name in known})


def columns(trace: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
    """What a raw trace of ``nutpie.sample`` holds under these names after tuning, (chain, draw, ...): without
    a table of everything else that it holds, which takes as long as a tenth of the sampling."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for parts in zip(*trace.get_arrow_trace(), strict=True):
        kept = ~_values(parts[1], "tuning")
        for name in names:
            part = next(part for part in parts if name in part.column_names)
            found[name].append(_values(part, name)[kept])
    return {name: np.stack(chains) for name, chains in found.items()}


def _values(batch: pyarrow.RecordBatch, name: str) -> np.ndarray:
    column = pyarrow.array(batch.column(name))
    flat = column.flatten() if pyarrow.types.is_nested(column.type) else column
    return flat.to_numpy(zero_copy_only=False).reshape(len(column), *([-1] if flat is not column else []))
