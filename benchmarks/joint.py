"""CPU seconds of the models that stand beside the separate landmarks: ``python benchmarks/joint.py``.

Fits alone, of the synthetic cohort and both endpoints, after a first round that loads and compiles.
"""

from __future__ import annotations

import time
import warnings

import bayes_net as bn
from bayes_net.workflow.analysis import fit_models, prepare

FORMS: dict[str, dict] = {
    "separate landmarks": {"landmarks": {"joint": "none"}},
    "and all follow-up in one model": {"landmarks": {"joint": "time-dependent"}},
    "and all landmarks together": {"landmarks": {"joint": "hierarchical"}},
    "and steps from state to state": {"landmarks": {"joint": "none", "transitions": True}},
    "and true shrinkage, measured with error": {
        "landmarks": {"joint": "none"},
        "measurement": {"sd": 0.07},
    },
}
ALL = {"thresholds": None, "endpoints": ["pfs", "os"]}


def fits(landmarks: dict, **sections: dict) -> tuple[int, float]:
    """How many models were fitted, and their CPU seconds."""
    plan = bn.read_specification("netter1_synthetic").with_(landmarks=ALL | landmarks, **sections)
    prepared = prepare(plan)
    start = time.process_time()
    return len(fit_models(prepared)), time.process_time() - start


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    fits({"joint": "none"})
    for name, sections in FORMS.items():
        models, seconds = fits(**sections)
        print(f"| {name} | {models} | {seconds:.1f} |")
