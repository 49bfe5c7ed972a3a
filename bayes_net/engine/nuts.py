"""The compiled density as a model that nutpie samples.

The one module that knows nutpie's inner workings: its public way for functions of one's own calls Python at
every step, and lets one chain run at a time. This hands over addresses, as nutpie does with what it compiles
for PyMC; ``tests/test_engine.py`` fails when a new version of nutpie does it otherwise.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from nutpie.compile_pymc import CompiledPyMCModel

from bayes_net.engine.code import code
from bayes_net.engine.posterior import Posterior

VECTOR = "x"
"""The one variable of the draws: the sampler's vector."""


def nuts_model(posterior: Posterior, *, start: np.ndarray | None = None, spread=None):
    """The model to hand to ``nutpie.sample``; its draws have one variable, ``x``.

    Chains start within 1 of ``posterior.start`` in every direction, or, with ``spread``, at normal draws
    around ``start`` with these SDs.
    """
    centre = posterior.start if start is None else np.asarray(start, float)

    def point(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        if spread is None:
            return centre + rng.uniform(-1.0, 1.0, len(centre))
        return centre + spread * rng.standard_normal(len(centre))

    size, functions = posterior.size, code()
    given = {
        "_n_dim": size,
        "dims": {},
        "_coords": {},
        "_shapes": {VECTOR: (size,)},
        "compiled_logp_func": functions.log_density,
        "compiled_expand_func": functions.expand,
        "initial_point_func": point,
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
