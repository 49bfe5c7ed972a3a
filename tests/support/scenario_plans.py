"""Scenarios of the small trial, and an invented table of what some gave."""

import tomllib

import pandas as pd
import small_trial
import tomli_w

from bayes_net.results.columns import hazard_ratio_columns
from bayes_net.schema import AS_SPECIFIED

SLOPE = "priors.hazard_ratio_per_10_points"


QUICK = small_trial.QUICK | {"landmarks": {"times": ["120d"], "thresholds": None}}


NAMED = {"scenarios": [{"name": "sceptical", "change": {SLOPE: [0.8, 1.25]}}]}


GRID = {"grid": {SLOPE: [[0.5, 2.0], [0.9, 1.11]], "priors.median_months": [[2, 80], [4, 40]]}}


def written(folder, **changes):
    """The small trial's specification with brief chains and these scenarios."""
    path = small_trial.written(
        folder, **(QUICK | {k: v for k, v in changes.items() if k not in ("scenarios", "grid")})
    )
    extra = {k: v for k, v in changes.items() if k in ("scenarios", "grid")}
    path.write_text(tomli_w.dumps(tomllib.loads(path.read_text()) | extra))
    return path


def invented(**changes) -> pd.DataFrame:
    """Three scenarios of two hazard ratios; the second flips the first arm's conclusion."""
    rows = []
    for name, hr, prob in ((AS_SPECIFIED, 0.7, 0.97), ("a", 1.2, 0.3), ("b", 0.6, 0.96)):
        for arm, shift in (("A", 1.0), ("B", 1.5)):
            rows.append((name, arm, hr * shift, prob if arm == "A" else 0.5))
    table = pd.DataFrame(rows, columns=["scenario", "arm", "hr", "prob_below_1"])
    table["lower"], table["upper"] = table["hr"] / 1.4, table["hr"] * 1.4
    common = {"endpoint": "pfs", "measure": "shrinkage, per 10 points", "landmark": "150 d", "mcse_hr": 0.002}
    table = table.assign(**(common | {"gate": "passed", "error": "", "estimand": "association"} | changes))
    own = [name for name in ("scenario", "error", "synthetic") if name in table]
    return hazard_ratio_columns(table, more=own)


CHANGES = pd.DataFrame(
    [("a", "p.x", "1"), ("a", "p.y", "1"), ("b", "p.x", "2"), ("b", "p.y", "1")],
    columns=["scenario", "key", "value"],
)
