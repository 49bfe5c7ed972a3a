"""Arms compared by their patients' averages: differences of survival and of restricted means.

Hazards of arms with baselines of their own have no single ratio; these differences are defined whatever the
hazards do (Royston and Parmar 2013, doi:10.1186/1471-2288-13-152).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_net import schema
from bayes_net.data.exposure import Exposure, person_time
from bayes_net.errors import InputError
from bayes_net.estimands.diagnostics import blocks
from bayes_net.estimands.survival import average_survival, standardised_survival
from bayes_net.inference.closed_form import hazards_by_arm, parameters
from bayes_net.schema import ARM, SAMPLE_DIMS


def arm_differences(
    fit: xr.DataTree,
    data: Exposure,
    times: Sequence[float] | np.ndarray,
    *,
    horizon: float,
    everyone: bool = False,
) -> xr.Dataset:
    """Each later arm minus the first: ``survival`` (chain, draw, arm, time) at ``times`` and ``rmst`` (chain,
    draw, arm), in months, until ``horizon``; both in months after the landmark.

    Each arm is averaged over its own patients, as a Kaplan-Meier curve is; with ``everyone`` over the
    covariates of all patients, as if all were in it (g-computation), which a model without shrinkage allows.
    After a landmark neither is a randomised comparison: patients were selected by reaching it.

    Raises
    ------
    InputError
        There is one arm, or somebody's shrinkage, which an arm shapes, would be given to another arm.
    """
    if len(data.arms) == 1:
        raise InputError(f"the only arm is {data.arms[0]}; a difference of arms needs two")
    if everyone and schema.SLOPE in fit["posterior"]:
        raise InputError("everyone=True needs a model without shrinkage, which an arm shapes; leave it out")
    curves, means = [], []
    for a in range(len(data.arms)):
        of = replace(data, arm=np.full(data.n, a)) if everyone else data
        curves.append(standardised_survival(fit, of, times).isel({ARM: a}, drop=True))
        means.append(_standardised_rmst(fit, of, a, horizon))
    later = {ARM: list(data.arms[1:])}
    return xr.Dataset(
        {
            name: xr.concat([x - own[0] for x in own[1:]], dim=ARM)
            .assign_coords(later)
            .transpose(*SAMPLE_DIMS, ARM, ...)
            for name, own in (("survival", curves), ("rmst", means))
        }
    )


def _standardised_rmst(fit: xr.DataTree, data: Exposure, arm: int, horizon: float) -> xr.DataArray:
    """Restricted mean survival time averaged over an arm's patients, (chain, draw); missing without any."""
    drawn = parameters(fit["posterior"].to_dataset())
    months = person_time(np.array([horizon]), data.cuts)[0]
    total = np.full(drawn.baseline.shape[:2], np.nan)
    for a, own, baseline, added in hazards_by_arm(drawn, data):
        if a != arm:
            continue
        sums = np.zeros(total.shape)
        relative = np.moveaxis(added, 2, 0)
        for rows in blocks(relative):  # the hazards of all would be as large as the draws
            pieces = np.exp(baseline + relative[rows]) * months
            at_start = np.exp(pieces - pieces.cumsum(axis=-1))
            sums += (at_start * average_survival(pieces) * months).sum(axis=-1).sum(axis=0)
        total = sums / own.sum()
    coords = {dim: fit["posterior"][dim].values for dim in SAMPLE_DIMS}
    return xr.DataArray(total, coords, SAMPLE_DIMS)
