"""Informative censoring. Follow-up after censoring is imputed under a stated departure.

Until it is censored a patient has the model's hazard; from then on, ``factor`` times it. A factor of 1 is
censoring at random, and gives the ordinary posterior back. Multiple imputation of censored event times under
departures from independent censoring: Jackson et al. 2014, doi:10.1002/sim.6274; Zhao et al. 2014,
doi:10.1080/10543406.2013.860769.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.assumptions.hazard import Hazard
from bayes_net.data.exposure import Exposure, refuse_stretches
from bayes_net.data.gauss import refuse_error
from bayes_net.data.landmarks import response
from bayes_net.data.terms import Shrinkage
from bayes_net.engine.layout import layout
from bayes_net.errors import InputError, listed
from bayes_net.inference.closed_form import event_times, hazards_by_stratum, parameters
from bayes_net.numbers import significant
from bayes_net.schema import ARM, CHAIN, DRAW, IMPUTATION, POINTS_PER_UNIT, SAMPLE_DIMS

if TYPE_CHECKING:
    from bayes_net.inference.sampling import Sampler


@dataclass(frozen=True)
class Censoring:
    """What is assumed of patients after their censoring, and of which patients.

    ``factor`` times the model's hazard from the time of censoring on: of all censored patients, or of those
    in ``arms`` whose best shrinkage in points is ``shrinkage_at_least`` or ``shrinkage_below``, and who were
    censored for one of ``reasons``. Follow-up is
    completed ``imputations`` times, up to the arm's longest follow-up or to ``horizon`` months, whichever is
    earlier: beyond its own data a hazard would be extrapolated.
    """

    factor: float = 1.0
    imputations: int = 20
    arms: tuple[str, ...] = ()
    shrinkage_at_least: float | None = None
    shrinkage_below: float | None = None
    horizon: float | None = None
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (
            isinstance(self.factor, bool)
            or not isinstance(self.factor, Real)
            or not 0 <= self.factor < np.inf
        ):
            raise InputError(
                f"factor is {self.factor!r}; expected a finite number from 0, 1 for no departure"
            )
        whole = isinstance(self.imputations, Integral) and not isinstance(self.imputations, bool)
        if not whole or self.imputations < 2:
            raise InputError(f"imputations is {self.imputations!r}; expected a whole number from 2")
        if self.horizon is not None and not 0 < self.horizon < np.inf:
            raise InputError(f"horizon is {self.horizon!r}; expected months after the landmark, above 0")
        limits = self.shrinkage_at_least, self.shrinkage_below
        if any(limit is not None and not np.isfinite(limit) for limit in limits):
            raise InputError(f"shrinkage_at_least and shrinkage_below are {limits}; expected points")
        if None not in limits and not limits[0] < limits[1]:
            raise InputError(
                f"no shrinkage is at least {limits[0]:g} and below {limits[1]:g} points; expected a lower "
                "shrinkage_at_least than shrinkage_below"
            )

    @property
    def whose(self) -> str:
        """Whose censoring is concerned, in words."""
        arms = f" of {listed(self.arms, limit=len(self.arms))}" if self.arms else ""
        limits = [
            f"{word} {points:g}"
            for word, points in (("at least", self.shrinkage_at_least), ("below", self.shrinkage_below))
            if points is not None
        ]
        shrunk = f" with a shrinkage of {' and '.join(limits)} points" if limits else ""
        why = f", censored for {listed(map(repr, self.reasons), limit=9)}" if self.reasons else ""
        return f"censored patients{arms}{shrunk}{why}"

    def assumed(self, factor: str) -> str:
        """What is assumed, in sentences that call the factor ``factor``."""
        until = "the arm’s longest follow-up"
        anyone = "" if self.reasons else ", whether lost or still followed when the data were closed"
        if self.horizon is not None:
            until = f"{significant(self.horizon)} months after the landmark, or {until} if that is earlier"
        return (
            f"Assumed of {self.whose}{anyone}: from censoring until {until}, their hazard is the model’s "
            f"times {factor}. Above 1, those who were censored would have had their events sooner than "
            f"others like them; below 1, later. {self.imputations} imputations."
        )


def concerned_patients(
    data: Exposure,
    censoring: Censoring,
    *,
    shrinkage: Sequence[float] | None = None,
    reasons: Sequence[str] | None = None,
) -> np.ndarray:
    """Whether each patient was censored and is one of those whose censoring is in question.

    ``shrinkage`` in points, needed when the exposure knows response alone; unknown values (NaN) count as
    ``below``, as they count as no response. ``reasons`` has why each patient's follow-up ended, needed where
    the censoring in question is of some reasons only.

    Raises
    ------
    InputError
        An arm does not exist, or shrinkage or reasons are needed.
    """
    if unknown := [arm for arm in censoring.arms if arm not in data.arms]:
        raise InputError(f"censoring.arms has {listed(unknown)}; the arms are {', '.join(data.arms)}")
    chosen = data.event == 0
    if censoring.arms:
        chosen &= np.isin(np.array(data.arms)[data.arm], censoring.arms)
    for points, reached in ((censoring.shrinkage_at_least, 1), (censoring.shrinkage_below, 0)):
        if points is not None:
            chosen &= (
                response(pd.DataFrame({"shrinkage": _shrinkage(data, shrinkage)}), points) == reached
            ).to_numpy()
    if censoring.reasons:
        if reasons is None:
            raise InputError(
                "censoring.reasons needs to know why follow-up ended; read the patients from ADaM"
            )
        chosen &= pd.Series(reasons).isin(censoring.reasons).to_numpy()
    return chosen


def _shrinkage(data: Exposure, shrinkage: Sequence[float] | None) -> np.ndarray:
    if shrinkage is not None:
        return np.asarray(shrinkage, float)
    if not isinstance(data.measure, Shrinkage):
        raise InputError(
            f"an exposure of {data.measure.label} does not know its patients' shrinkage; give shrinkage="
        )
    return data.score * POINTS_PER_UNIT + data.measure.reference


def impute_censored(
    data: Exposure,
    fit: xr.DataTree,
    censoring: Censoring,
    *,
    seed: int,
    concerned: np.ndarray | None = None,
) -> tuple[Exposure, ...]:
    """The exposure with follow-up after censoring completed, once for each imputation.

    Each imputation takes one draw of the posterior in ``fit``, the ordinary fit of ``data``. With H the
    cumulative hazard of that draw, c the time of censoring and E standard exponential, the event time T
    solves H(T) - H(c) = E / factor; it is censored at the end of follow-up that ``Censoring`` states. E
    depends on ``seed`` alone, so that other factors move the same patients' times up or down.

    ``concerned`` says whose follow-up is completed (by default ``concerned_patients``).

    Raises
    ------
    InputError
        ``fit`` has fewer draws than there are imputations, or is of other arms.
    """
    refuse_stretches(data, "imputed follow-up")
    refuse_error(data, "imputed follow-up")
    posterior = fit["posterior"].to_dataset()
    chains, draws = (posterior.sizes[dim] for dim in SAMPLE_DIMS)
    if chains * draws < censoring.imputations:
        raise InputError(
            f"{censoring.imputations} imputations need a draw each; the fit has {chains * draws}"
        )
    if list(posterior[ARM].values) != list(data.arms):
        raise InputError(f"the fit has arms {listed(posterior[ARM].values)}, the data {listed(data.arms)}")
    if concerned is None:
        concerned = concerned_patients(data, censoring)
    concerned = np.asarray(concerned)
    if concerned.shape != (data.n,) or concerned.dtype != bool or (concerned & (data.event == 1)).any():
        raise InputError(
            f"concerned has shape {concerned.shape} and type {concerned.dtype}; expected true or false for "
            f"each of {data.n} patients, and false for those with an event"
        )
    until, last = follow_up_ends(data, censoring), data.last_assessment
    chosen = concerned & (data.time < until)
    which = np.random.default_rng([seed, 0]).permutation(chains * draws)[: censoring.imputations]
    completed = []
    for number, place in enumerate(which, start=1):
        chain, draw = divmod(int(place), draws)
        one = posterior.isel({CHAIN: [chain], DRAW: [draw]})
        residual = np.random.default_rng([seed, number]).standard_exponential(data.n)
        latent = _event_times(data, one, residual, censoring.factor)
        completed.append(
            replace(
                data,
                time=np.where(chosen, np.minimum(latent, until), data.time),
                event=np.where(chosen, latent <= until, data.event).astype(float),
                # imputed follow-up ends on a known day
                last_assessment=None if last is None else np.where(chosen, np.nan, last),
            )
        )
    return tuple(completed)


def follow_up_ends(data: Exposure, censoring: Censoring) -> np.ndarray:
    """Until when each patient's follow-up is completed, months after the landmark."""
    longest = data.last_follow_up[data.arm]
    return longest if censoring.horizon is None else np.minimum(longest, censoring.horizon)


def _event_times(data: Exposure, draw: xr.Dataset, residual: np.ndarray, factor: float) -> np.ndarray:
    """When each patient's cumulative hazard has grown by ``residual`` since its time, at ``factor`` times it.

    Infinite when it never does.
    """
    times = np.empty(data.n)
    for _, own, baseline, added in hazards_by_stratum(parameters(draw), data):
        at = {"since": data.time[own], "factor": factor}
        times[own] = event_times(baseline[0, 0], added[0, 0], data.starts, residual[own], **at)
    return np.maximum(times, data.time)  # rounding must not take a patient back behind its censoring


def fit_imputed(
    data: Exposure,
    fit: xr.DataTree,
    censoring: Censoring,
    hazard: Hazard | None = None,
    *,
    seed: int,
    sampler: Sampler | None = None,
    concerned: np.ndarray | None = None,
    beside: Sequence[Exposure] = (),
    passes: Callable[[xr.DataTree], bool] | None = None,
) -> xr.DataTree:
    """The posterior under informative censoring: the mixture of fits to each completed data set.

    ``fit`` is the ordinary fit of ``data`` with the same ``hazard``. Draws of all imputations stand side by
    side along ``chain``, as many of each, with a coordinate ``imputation`` by which ``gate`` and
    ``summarise`` keep them apart. Groups: ``posterior``, ``sample_stats``, ``prior``, and of the observed
    data ``observed_data`` and ``constant_data``, the latter with ``n_concerned`` and ``imputed_events`` (mean
    over imputations) by arm.

    ``beside`` are exposures that share the compiled model. A fit that does not satisfy ``passes`` is sampled
    once more, more carefully.
    """
    from bayes_net.inference.patients import fit as refit
    from bayes_net.inference.sampling import Sampler, careful

    sampler = sampler or Sampler()
    if concerned is None:
        concerned = concerned_patients(data, censoring)
    completed = impute_censored(data, fit, censoring, seed=seed, concerned=concerned)
    shape = layout([data, *beside, *completed])
    trees = []
    for own, own_seed in zip(completed, seeds_of(seed, censoring.imputations), strict=True):

        def sampled(how: Sampler, seed: int, own: Exposure = own) -> xr.DataTree:
            return brief_fit(refit(own, hazard, seed=seed, sampler=how, shape=shape))

        seeds = [own_seed] if passes is None else [own_seed, seeds_of(own_seed, 2)[0]]
        trees.append(careful(sampled, passes or (lambda _: True), sampler=sampler, seeds=seeds))
    return _pooled(fit, trees, data, completed, concerned, censoring)


def seeds_of(seed: int, count: int) -> list[int]:
    """A seed for each of so many fits."""
    return [int(s) for s in np.random.SeedSequence([seed, 1]).generate_state(count, np.uint64) >> 1]


def brief_fit(tree: xr.DataTree) -> xr.DataTree:
    """What is pooled: of completed data, log-likelihoods and events say nothing about patients."""
    kept = {name: tree[name].to_dataset() for name in ("posterior", "sample_stats", "constant_data")}
    # log_hazard has what the steps of the walk say
    kept["posterior"] = kept["posterior"].drop_dims("boundary", errors="ignore")
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=tree.attrs), **kept}, name="fit")


def pooled(trees: Sequence[xr.DataTree]) -> dict[str, xr.Dataset]:
    """Draws of all imputations side by side along ``chain``, with a coordinate ``imputation``."""
    groups = {}
    for name in ("posterior", "sample_stats"):
        joined = xr.concat([tree[name].to_dataset() for tree in trees], dim=CHAIN)
        each = joined.sizes[CHAIN] // len(trees)
        number = np.repeat(np.arange(1, len(trees) + 1), each)
        groups[name] = joined.assign_coords(
            {CHAIN: np.arange(joined.sizes[CHAIN]), IMPUTATION: (CHAIN, number)}
        )
    return groups


def _pooled(
    fit: xr.DataTree,
    trees: Sequence[xr.DataTree],
    data: Exposure,
    completed: Sequence[Exposure],
    concerned: np.ndarray,
    censoring: Censoring,
) -> xr.DataTree:
    groups = pooled(trees)
    groups |= {name: fit[name].to_dataset() for name in ("prior", "observed_data") if name in fit.children}
    events = np.mean([own.events.sum(axis=1) for own in completed], axis=0) - data.events.sum(axis=1)
    counted = np.bincount(data.arm[concerned], minlength=len(data.arms))
    groups["constant_data"] = (
        fit["constant_data"].to_dataset().assign(n_concerned=(ARM, counted), imputed_events=(ARM, events))
    )
    attrs = fit.attrs | {"censoring_factor": float(censoring.factor), "imputations": censoring.imputations}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **groups}, name="fit")
