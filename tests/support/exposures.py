"""Exposures to test with: random patients, the classic trials, and FFCD 2000-05 by landmark."""

import json
import warnings
from functools import lru_cache

import numpy as np
import pandas as pd
from test_ffcd_landmarks import read

from bayes_net.data.exposure import Exposure, expose
from bayes_net.data.landmarks import landmark
from bayes_net.data.terms import Covariate
from bayes_net.errors import CohortWarning
from bayes_net.schema import duration

ENDPOINTS = {"pfs": "pfs", "os_pfsrisk": "os"}
CUTS = (2.0, 5.0, 9.0)
SHAPES = {"grade: II": [0.0, 1.0], "age": [-1.0, 0.0, 1.5]}
"""Covariates and the values they take: few, so that patterns of patients repeat."""


def patients(n=60, *, seed=1, arms=("control", "treated"), cuts=CUTS, covariates=(), studies=()) -> Exposure:
    """Random patients; follow-up on a grid of half a month, so that many events sit on a cut-point."""
    rng = np.random.default_rng(seed)
    columns = [rng.choice(SHAPES[name], n) for name in covariates]
    return Exposure(
        time=np.ceil(rng.exponential(14, n)) / 2,
        event=(rng.random(n) < 0.75).astype(float),
        arm=np.concatenate([np.arange(len(arms)), rng.integers(0, len(arms), n)])[:n],
        score=np.round(rng.normal(2, 2.5, n), 3),
        covariates=np.column_stack(columns) if columns else np.empty((n, 0)),
        cuts=np.array(cuts, float),
        arms=tuple(arms),
        covariate_names=tuple(covariates),
        study=rng.integers(0, len(studies), n) if studies else None,
        studies=tuple(studies),
    )


def _veteran(table):
    kinds = Covariate("celltype", levels=("squamous", "smallcell", "adeno", "large"))
    return table["time"], table["status"], table["trt"] == 2, [Covariate("karno"), kinds]


def _gbsg2(table):
    grade = Covariate("tgrade", levels=("I", "II", "III"))
    numeric = [Covariate(name) for name in ("pnodes", "progrec", "tsize")]
    return table["time"], table["cens"], table["horTh"] == "yes", [*numeric, grade]


def _rossi(table):
    return table["week"], table["arrest"], table["fin"] == 1, [Covariate("age"), Covariate("prio")]


def _lung(table):
    return table["time"], table["status"] - 1, table["sex"] == 2, [Covariate("age"), Covariate("ph.ecog")]


CLASSIC = {
    # file, columns, unit of the file's times in units of the reference's
    "veteran": ("r_survival_veteran.csv", _veteran, 1.0),
    "gbsg2": ("lifelines_gbsg2.csv", _gbsg2, 365.25),
    "rossi": ("lifelines_rossi.csv", _rossi, 1.0),
    "lung": ("r_survival_lung.csv", _lung, 30.4375),
}


def classic(shared, name, *, cuts) -> Exposure:
    """A classic trial with its first reference term as the arm and the others as covariates."""
    file, columns, unit = CLASSIC[name]
    table = pd.read_csv(shared / "data" / "classic" / file)
    table = table[table["ph.ecog"].notna()] if name == "lung" else table
    time, event, second, covariates = columns(table)
    return Exposure(
        time=time.to_numpy(float) / unit,
        event=event.to_numpy(float),
        arm=second.to_numpy(int),
        score=np.zeros(len(table)),
        covariates=np.hstack([covariate.values(table) for covariate in covariates]),
        cuts=np.array(cuts, float) / unit,
        arms=("first", "second"),
        covariate_names=tuple(column for covariate in covariates for column in covariate.columns),
    )


@lru_cache
def reference(shared, name) -> dict:
    """Answers that were computed elsewhere."""
    return json.loads((shared / "reference" / f"{name}.json").read_text())


@lru_cache
def ffcd(shared, label, endpoint) -> Exposure:
    """FFCD 2000-05 at a landmark, with the cut-points of the reference: 90, 180 and 365 days."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        cohort = read(shared, scans_after_death="drop")
    cuts = [duration(f"{days}d") for days in (90, 180, 365)]
    return expose(landmark(cohort, ["122d", "no limit"], endpoint=endpoint), label, cuts=cuts)


def followed(event_time, end, arm, score, cuts) -> Exposure:
    """Two arms of patients who have their event, or leave before it at ``end``."""
    return Exposure(
        time=np.minimum(event_time, end),
        event=(event_time <= end).astype(float),
        arm=arm,
        score=score,
        covariates=np.empty((len(arm), 0)),
        cuts=np.asarray(cuts, float),
        arms=("control", "treated"),
    )


def two_groups(time, event, second, cuts) -> Exposure:
    """Two groups without a score."""
    n = len(time)
    arrays = {"time": time, "event": event, "score": np.zeros(n)}
    return Exposure(
        **{name: np.asarray(value, float) for name, value in arrays.items()},
        arm=np.asarray(second, int),
        covariates=np.empty((n, 0)),
        cuts=np.asarray(cuts, float),
        arms=("first", "second"),
    )
