"""Fits made of draws that a test invents, so that nothing has to be sampled."""

import numpy as np
import xarray as xr

from bayes_net.data.exposure import Exposure
from bayes_net.data.terms import Shrinkage, measure_attrs

ARMS = ("control", "treated")


def draws(rng, *shape, chains=2, n=5, mean=0.0, sd=1.0) -> np.ndarray:
    return rng.normal(mean, sd, (chains, n, *shape))


def invented(log_hazard, slope=None, *, cuts=(), arms=ARMS, measure=None, **more) -> xr.DataTree:
    """A fit of the given draws: ``log_hazard`` (chain, draw, arm, interval), ``slope`` (chain, draw, arm).

    ``more``: ``slope_by_interval`` (chain, draw, arm, interval), ``arm_effect`` (chain, draw, contrast),
    ``covariates`` {name: (chain, draw)}, ``n``, ``last_follow_up`` (arm) and ``stats``, a dictionary of
    sample statistics (chain, draw).
    """
    log_hazard = np.asarray(log_hazard, float)
    variables = {"log_hazard": (("chain", "draw", "arm", "interval"), log_hazard)}
    coords = {"arm": list(arms), "interval": np.arange(log_hazard.shape[-1])}
    if slope is not None:
        variables["slope"] = (("chain", "draw", "arm"), np.asarray(slope, float))
    if "slope_by_interval" in more:
        variables["slope_by_interval"] = (("chain", "draw", "arm", "interval"), more["slope_by_interval"])
    if "arm_effect" in more:
        variables["log_hr_arm"] = (("chain", "draw", "contrast"), more["arm_effect"])
        coords["contrast"] = list(arms[1:])
    if "covariates" in more:
        effects = np.stack(list(more["covariates"].values()), axis=-1)
        variables["log_hr_covariate"] = (("chain", "draw", "covariate"), effects)
        coords["covariate"] = list(more["covariates"])
    shape = log_hazard.shape[:2]
    stats = {"diverging": np.zeros(shape, bool), "energy": np.random.default_rng(0).normal(size=shape)}
    stats |= more.get("stats", {})
    coords |= {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
    constants = {
        "interval_start": ("interval", np.array([0.0, *cuts])),
        "interval_end": ("interval", np.array([*cuts, np.inf])),
        "last_follow_up": ("arm", np.asarray(more.get("last_follow_up", [60.0] * len(arms)))),
    }
    groups = {
        "/": xr.Dataset(attrs={"seed": 1} | measure_attrs(measure or Shrinkage())),
        "posterior": xr.Dataset(variables, coords),
        "sample_stats": xr.Dataset({name: (("chain", "draw"), value) for name, value in stats.items()}),
        "constant_data": xr.Dataset(constants, {name: coords[name] for name in ("arm", "interval")}),
    }
    return xr.DataTree.from_dict(groups)


def patients(
    time, event, *, arm=None, score=None, covariates=None, names=(), cuts=(), arms=ARMS, measure=None
):
    """An exposure of patients given as plain lists."""
    n = len(time)
    return Exposure(
        time=np.asarray(time, float),
        event=np.asarray(event, float),
        arm=np.zeros(n, int) if arm is None else np.asarray(arm, int),
        score=np.zeros(n) if score is None else np.asarray(score, float),
        covariates=np.empty((n, 0)) if covariates is None else np.asarray(covariates, float),
        cuts=np.asarray(cuts, float),
        arms=tuple(arms),
        covariate_names=tuple(names),
        measure=measure or Shrinkage(),
    )
