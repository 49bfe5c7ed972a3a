"""Bayesian landmark survival models for neuroendocrine tumours.

Does tumour shrinkage tell how long a patient stays free of progression, and alive? Read a cohort,
take landmarks, fit piecewise-exponential models and report posterior hazard ratios:

>>> import bayes_net as bn
>>> cohort = bn.read_cohort("patients.csv", "scans.csv", time_unit="days", size_unit="mm")  # doctest: +SKIP
>>> landmarks = bn.landmark(cohort, ["150d", "36w", "no limit"])                            # doctest: +SKIP

Names are imported on first use, so that reading data and results does not pay for PyMC.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "errors": ("CohortError", "CohortWarning", "InputError", "SpecificationError"),
    "schema": ("Duration", "duration"),
    "cohort": ("Cohort", "Note", "read_cohort"),
    "landmarks": ("Landmark", "LandmarkSet", "landmark"),
    "exposure": (
        "Covariate",
        "Exposure",
        "Response",
        "Shrinkage",
        "collapsed_form",
        "equal_event_cuts",
        "expose",
        "grid_cuts",
        "long_form",
    ),
    "aggregated": ("AggregatedExposure", "aggregate"),
    "registry": ("expose_registry",),
    "priors": (
        "Flat",
        "HalfNormal",
        "Normal",
        "Priors",
        "hazard_change_prior",
        "hazard_ratio_prior",
        "median_survival_prior",
    ),
    "structure": ("Hazard", "layout"),
    "hazard": ("hazard_model",),
    "sampling": ("Sampler", "compile_model", "fit", "sample", "stack"),
    "checks": ("Gate", "gate", "kaplan_meier", "loo", "posterior_predictive"),
    "estimands": (
        "arm_hazard_ratio",
        "baseline_hazard",
        "conditional_survival",
        "contrast",
        "covariate_hazard_ratio",
        "cumulative_hazard",
        "hazard_ratio",
        "interaction",
        "median_survival",
        "probability",
        "rmst",
        "standardised_survival",
        "summarise",
        "survival",
    ),
    "censoring": ("Censoring", "concerned_patients", "fit_imputed", "impute_censored"),
    "tipping": ("censoring_curve", "censoring_tipping"),
    "power": ("power_scaling", "tipping_factor"),
    "patient_influence": ("influence",),
    "results": ("Fitted", "fitted", "hazard_ratio_table", "survival_table"),
    "figures": ("survival_curves",),
    "evidence": ("Evidence", "EvidenceError", "read_evidence"),
    "assumptions": ("Assumptions", "Borrowing", "Fixed", "HalfCauchy", "SlopePrior", "probability_prior"),
    "borrowing": ("NormalMixture", "elir", "fit_mixture", "robustify", "update"),
    "pool": ("Pool", "PooledCohort", "pooled"),
    "synthesis": ("synthesis_model",),
    "pooling": ("fit_pool", "leave_one_number_out", "left_out"),
    "pool_power": ("pooled_power_scaling", "study_influence"),
    "pool_specification": ("PoolSpecification",),
    "pool_analysis": ("PoolAnalysis", "analyse_pool", "prepare_pool"),
    "pool_output": ("write_pool",),
    "specification": ("Specification", "parse_specification", "read_specification"),
    "analysis": ("Analysis", "prepare", "run"),
    "output": ("write_analysis",),
    "result_folder": ("ResultFolder", "read_result"),
    "rebuilding": ("rebuild_report",),
    "paper": ("PaperTable", "paper_tables", "save_paper_tables"),
    "comparison": ("Comparison", "compare"),
    "scenario_output": ("Sensitivity", "sensitivity"),
    "simulate": ("SimulationPlan", "simulate_cohort", "write_cohort"),
}
_MODULES = ("plots",)
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, *_MODULES])


def __getattr__(name: str):
    if name in _MODULES:
        return import_module(f"bayes_net.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bayes_net' has no attribute {name!r}")
    return getattr(import_module(f"bayes_net.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
