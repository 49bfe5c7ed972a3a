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
    "errors": (
        "CohortError",
        "CohortWarning",
        "InputError",
        "SpecificationError",
    ),
    "schema": (
        "Duration",
        "duration",
    ),
    "data.aggregated": (
        "AggregatedExposure",
        "aggregate",
    ),
    "data.cohort": (
        "Cohort",
        "read_cohort",
    ),
    "data.exposure": (
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
    "data.landmarks": (
        "Landmark",
        "LandmarkSet",
        "landmark",
    ),
    "data.notes": ("Note",),
    "data.registry": ("expose_registry",),
    "simulate.cohort": (
        "simulate_cohort",
        "write_cohort",
    ),
    "simulate.plan": ("SimulationPlan",),
    "evidence.table": (
        "Evidence",
        "EvidenceError",
        "read_evidence",
    ),
    "model.assumptions": (
        "Assumptions",
        "Hazard",
        "SlopePrior",
    ),
    "model.hazard": ("hazard_model",),
    "model.network": (
        "Network",
        "combine_network",
    ),
    "model.participants": ("Participants",),
    "model.priors": (
        "Borrowing",
        "Fixed",
        "Flat",
        "HalfCauchy",
        "HalfNormal",
        "Normal",
        "Priors",
        "hazard_change_prior",
        "hazard_ratio_prior",
        "median_survival_prior",
        "probability_prior",
        "slope_change_prior",
    ),
    "model.synthesis": ("synthesis_model",),
    "engine.layout": ("layout",),
    "inference.imputation": (
        "Censoring",
        "concerned_patients",
        "fit_imputed",
        "impute_censored",
    ),
    "inference.patients": (
        "fit",
        "stack",
    ),
    "inference.sampling": (
        "Sampler",
        "compile_model",
        "sample",
    ),
    "inference.synthesis": ("fit_synthesis",),
    "estimands.mixtures": (
        "NormalMixture",
        "elir",
        "fit_mixture",
        "robustify",
        "update",
    ),
    "estimands.summary": (
        "contrast",
        "probability",
        "summarise",
    ),
    "estimands.survival": (
        "arm_hazard_ratio",
        "baseline_hazard",
        "conditional_survival",
        "covariate_hazard_ratio",
        "cumulative_hazard",
        "hazard_ratio",
        "hazard_ratio_by_time",
        "interaction",
        "median_survival",
        "rmst",
        "standardised_survival",
        "survival",
    ),
    "specification.patients": ("PatientsPlan",),
    "specification.read": (
        "parse_specification",
        "read_specification",
    ),
    "specification.synthesis": ("SynthesisPlan",),
    "checks.gate": (
        "Gate",
        "gate",
        "loo",
    ),
    "checks.influence": (
        "influence",
        "leave_one_number_out",
        "left_out",
        "study_influence",
    ),
    "checks.power": (
        "power_scaling",
        "synthesis_power_scaling",
        "tipping_factor",
    ),
    "checks.predictive": (
        "kaplan_meier",
        "posterior_predictive",
    ),
    "checks.tipping": (
        "censoring_curve",
        "censoring_tipping",
    ),
    "results.curves": ("survival_curves",),
    "results.fits": (
        "Fitted",
        "fitted",
        "hazard_ratio_table",
    ),
    "results.folder": (
        "ResultFolder",
        "read_result",
    ),
    "results.patients": ("survival_table",),
    "paper.content": ("paper_tables",),
    "paper.tables": (
        "PaperTable",
        "save_paper_tables",
    ),
    "workflow.analysis": (
        "Analysis",
        "analyse",
        "prepare",
    ),
    "workflow.compare": (
        "Comparison",
        "compare",
    ),
    "workflow.sensitivity": (
        "Sensitivity",
        "sensitivity",
    ),
    "workflow.write": (
        "rebuild_report",
        "run",
        "write",
    ),
}
_MODULES = {"plots": "figures.plots"}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, *_MODULES])


def __getattr__(name: str):
    if name in _MODULES:
        return import_module(f"bayes_net.{_MODULES[name]}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bayes_net' has no attribute {name!r}")
    return getattr(import_module(f"bayes_net.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
