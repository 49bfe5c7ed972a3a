"""Small specifications to change and to spoil."""

import copy
import tomllib
from pathlib import Path

from bayes_net.specification.patients import PatientsPlan
from bayes_net.specification.read import parse_specification

MINIMAL = """
title = "A trial"
[data]
patients = "patients.csv"
scans = "scans.csv"
time_unit = "days"
[landmarks]
times = ["150d", "no limit"]
[baseline]
cuts = ["3mo"]
[sampling]
seed = 1
"""
SYNTHETIC = {
    "data": {"synthetic": True, "synthetic_seed": 4, "patients": None, "scans": None, "time_unit": None}
}


def values(**changes) -> dict:
    """A minimal specification with keys of its sections replaced; None takes a key out."""
    base = tomllib.loads(MINIMAL)
    for section, keys in changes.items():
        if isinstance(keys, dict):
            merged = base.get(section, {}) | keys
            base[section] = {name: value for name, value in merged.items() if value is not None}
        else:
            base[section] = keys
    return base


def parse(base: dict, where="plan.toml") -> PatientsPlan:
    return parse_specification(copy.deepcopy(base), where=Path(where))


OTHER_VALUES = {
    "grid": {"slopes": ["per arm", "common"]},
    "scenarios": [{"name": "common", "change": {"slopes": "common"}}],
    "title": "Another",
    "description": "of it",
    "slopes": "common",
    "covariates": [{"name": "age", "reference": 60}],
    "data": {
        "patients": "p.csv",
        "scans": "s.csv",
        "time_unit": "months",
        "size_unit": "mm",
        "patient_columns": {"patient": "id"},
        "scan_columns": {"patient": "id"},
        "arms": ["a", "b"],
        "baseline_window": "7d",
        "scans_after_death": "drop",
        "scan_visits": {"week8": 56.0},
        "adam": "study",
        "adam_parameters": {"pfs": "PFSINV"},
        "adam_where": {"adtr": {"PARCAT2": "x"}},
        "event_is": {"pfs": ("0",)},
        "missing_codes": {"pfs_time": ("999",)},
        "change_unit": "fraction",
        "pfs_censored_at_death": "event",
        "accept": ["pfs-is-os"],
        "exclude_patients": ["12"],
        "study": "A",
        "synthetic_seed": 3,
        "synthetic": True,
    },
    "landmarks": {
        "times": ["180d"],
        "endpoints": ["pfs", "os"],
        "os_population": "alive",
        "progression_scans": False,
        "shrinkage_reference": 10,
        "thresholds": [50],
        "intention_to_treat": True,
        "confirmed_after": "4w",
        "scan_window": "14d",
        "new_therapy": "censored",
        "progression": "at the scan",
        "visit": "7d",
        "joint": "none",
        "transitions": True,
    },
    "baseline": {
        "studies": "shared",
        "arms": "shared",
        "smoothing": "independent",
        "cuts": ["4mo"],
        "intervals": 3,
        "grid_width": "1mo",
        "grid_until": "9mo",
    },
    "priors": {
        "probability": 0.9,
        "median_months": "flat",
        "hazard_change_per_year": 3,
        "log_hazard": [-3, 1],
        "hazard_ratio_per_10_points": [0.6, 1.5],
        "hazard_ratio_response": "flat",
        "hazard_ratio_arm": [0.2, 5],
        "hazard_ratio_covariate": [0.3, 3],
        "hazard_ratio_change_per_year": 1.5,
    },
    "missing": {"imputations": 5, "numbers": "normal"},
    "measurement": {"sd": 0.1},
    "censoring": {
        "factor": 0.5,
        "imputations": 5,
        "arms": ["a"],
        "shrinkage_at_least": 10,
        "reasons": ["Lost"],
        "shrinkage_below": 40,
        "horizon": "18mo",
    },
    "justification": {
        "priors": "From the registry of 2019.",
        "conflict": "The priors are weakened.",
        "success": "HR below 1 with 0.975: type I error 2.5 %.",
        "operating_characteristics": "Simulated, see appendix 2.",
        "comparability": "The same centres and scanners.",
        "fixed": "Protocol 1.2, 3 March 2026.",
    },
    "design": {
        "sample_sizes": [50, 60],
        "accrual": "2mo",
        "follow_up": "3mo",
        "endpoint": "pfs",
        "landmark": "150d",
        "rule": "interval excludes",
        "hazard_ratio": 0.9,
        "certainty": 0.9,
        "truths": [0.5],
        "dropout_per_year": 0.1,
        "simulations": 20,
    },
    "sampling": {
        "seed": 2,
        "draws": 500,
        "tune": 300,
        "chains": 2,
        "target_accept": 0.9,
        "retry": False,
        "method": "laplace",
    },
    "report": {
        "level": 0.89,
        "interval": "hdi",
        "survival_times": ["3mo"],
        "horizon": "6mo",
        "arms_over": "same shrinkage",
        "profiles": [-10],
        "patient_level_figures": True,
        "prediction": True,
    },
}
_ADAM = {"adam": "study", "patients": None, "scans": None, "patient_columns": None, "scan_columns": None}
_DESIGN = {"sample_sizes": [100], "accrual": "12mo", "follow_up": "6mo"}
COMPANIONS = {
    **dict.fromkeys(("sample_sizes", "accrual", "follow_up", "endpoint", "landmark", "rule"), _DESIGN),
    **dict.fromkeys(("hazard_ratio", "certainty", "truths", "dropout_per_year", "simulations"), _DESIGN),
    "adam": _ADAM,
    "adam_parameters": _ADAM,
    "adam_where": _ADAM,
    "synthetic": SYNTHETIC["data"],
    "synthetic_seed": SYNTHETIC["data"],
    "intention_to_treat": {"thresholds": [30]},
    "progression_scans": {"endpoints": ["pfs", "os"], "os_population": "alive"},
    "transitions": {"endpoints": ["pfs", "os"]},
    "confirmed_after": {"thresholds": [30]},
    "intervals": {"cuts": None},
    "grid_width": {"cuts": None, "grid_until": "6mo"},
    "grid_until": {"cuts": None, "grid_width": "3mo"},
}
"""What a key needs beside it, in its own section."""
