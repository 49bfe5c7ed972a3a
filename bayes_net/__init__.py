"""Bayesian landmark survival models for neuroendocrine tumours.

Does tumour shrinkage tell how long a patient stays free of progression, and alive? Read a cohort,
take landmarks, fit piecewise-exponential models and report posterior hazard ratios:

>>> import bayes_net as bn
>>> cohort = bn.read_cohort("patients.csv", "scans.csv", time_unit="days", size_unit="mm")  # doctest: +SKIP
>>> landmarks = bn.landmark(cohort, ["150d", "36w", "no limit"])                            # doctest: +SKIP

What the main jobs need stands here; the rest in ``data``, ``simulate``, ``evidence``, ``assumptions``,
``priors``, ``model``, ``inference``, ``estimands``, ``checks``, ``specification``, ``results``, ``plots``,
``paper``, ``workflow`` and ``robustness``. Their ``__init__.pyi`` list the names, which are imported on first
use: reading data and results does not wait for PyMC.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
