"""What the true best shrinkage of patients may be, given scans that measure sums of diameters with error.

Of each scan, the baseline too, log measured sum = log true sum + e, with e independent and normal of mean 0
and a stated SD. True log sums of an arm's patients, as changes r from the baseline, are

    r(t) = (m1 + b1) (1 - exp(-t / 3 months)) + (m2 + b2) t + Brownian motion,

with b1 and b2 normal of mean 0: an early change that each patient has more or less of, and growth or
shrinkage that goes on. Means, and the SDs of b1, b2 and of the Brownian motion over a year, are those of
highest likelihood among the arm's patients at the landmark, by their scans until then: who is at risk there
is not like everybody (risk-set regression calibration: Xie, Wang and Prentice 2001, Journal of the Royal
Statistical Society B 63:855-870). Given these, true changes at a patient's scans are normal, and best
shrinkage is the largest of them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg, optimize

from bayes_net.data.assessments import shown_scans
from bayes_net.data.cohort import Cohort
from bayes_net.data.exposure import Exposure, refuse_stretches
from bayes_net.data.gauss import UncertainExposure, at_nodes
from bayes_net.data.landmarks import LandmarkSet
from bayes_net.data.terms import TrueShrinkage
from bayes_net.errors import InputError

MOST_NODES = 9
"""Of each patient's true score: with hazard ratios from 0.5 to 2 they give its likelihood to 1e-5 where it is
known to within 10 points (SD), and to 1e-3 to within 20."""
DRAWS = 2000
"""True paths of each patient, of which nodes are made; in pairs that mirror each other."""
EARLY = 3.0
"""Months in which an early change has happened to 63 %."""
MOST_GONE = 99.95
"""Percent of shrinkage from which a tumour has disappeared: there is nothing to measure with error."""
_MEAN_SD = 2.0
"""A tumour does not change by more than so many logs of its size, so that a mean is known where scans are all
of one time."""
_LEAST, _MOST = 1e-3, 5.0
_START = (0.3, 0.2, 0.3)


class Changes(NamedTuple):
    """Law of an arm's true changes: ``mean`` of the early change and of that of a year, ``sd`` of both
    between patients, and of the Brownian motion over a year."""

    mean: np.ndarray
    sd: np.ndarray


def expose_with_error(
    data: Exposure,
    cohort: Cohort,
    landmarks: LandmarkSet,
    label: str,
    *,
    sd: float,
    seed: int,
    progression_scans: bool = True,
) -> UncertainExposure:
    """``data``, the exposure to shrinkage of the patients at the landmark ``label``, with what each one's
    true best shrinkage may be, given its scans by the landmark and an SD ``sd`` of the log of a sum.

    Who is at risk, and what is progression, stay as they were read. A tumour that has disappeared by the
    landmark has shrunk by 100 %, without error. ``progression_scans`` is that of ``landmark``; the same
    ``seed`` gives the same nodes. ``fit_with_error`` fits what comes back.

    Raises
    ------
    InputError
        ``sd`` is not above 0 and at most 0.5, sizes of scans are not known, or the exposure is not that of
        these patients' shrinkage.
    """
    if not 0 < sd <= 0.5:
        raise InputError(
            f"sd is {sd!r}; expected the SD of the log of a sum of diameters, such as 0.07 for 7 %"
        )
    refuse_stretches(data, "scores with error")
    table, measure = landmarks.at(label), data.measure
    reference = getattr(measure, "reference", None)
    if not cohort.sized or reference is None or len(table) != data.n:
        raise InputError(
            f"{measure.label} of {data.n} patients, of {len(table)} at {label}; expected the exposure of "
            "their shrinkage, and scans with sizes"
        )
    scans = _scans(cohort, table, landmarks.landmark(label).limit, progression_scans)
    rng, values = np.random.default_rng(seed), [np.empty(0)] * data.n
    true = TrueShrinkage(reference, sd)
    for arm in range(len(data.arms)):
        own = np.flatnonzero(data.arm == arm)
        months, change = (_padded([scans[i][column] for i in own]) for column in (0, 1))
        law = law_of_changes(months, change, sd=sd)
        for i, best in zip(own, _best(months, change, law, sd, rng), strict=True):
            gone = table["shrinkage"].iloc[i] >= MOST_GONE
            values[i] = true.score(np.array([100.0]) if gone else best)
    found = at_nodes(data, values, nodes=[nodes_of(own) for own in values])
    return replace(found, measure=true)


def nodes_of(score: np.ndarray) -> int:
    """How many nodes are enough, by the SD of what a patient's true ``score`` may be: with hazard ratios from
    0.5 to 2 they give its likelihood to 2e-5 as a rule and 4e-4 at worst, which is less than the draws do."""
    return min(math.ceil(2 + 6 * score.std()), MOST_NODES)


def _scans(
    cohort: Cohort, table: pd.DataFrame, limit: float, progression_scans: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every patient of ``table`` months and log change of the scans by the landmark at which there is
    something left to measure."""
    shown = shown_scans(cohort)
    shown = shown[(shown["time"] <= limit) & (shown["pchg"] > -MOST_GONE)]
    if not progression_scans:
        shown = shown[~shown["progression"]]
    shown = shown.assign(change=np.log1p(shown["pchg"] / 100)).sort_values(["place", "time"], kind="stable")
    of_patient = dict(list(shown.groupby("place")))
    places = pd.Index(cohort.patients["patient"]).get_indexer(table["patient"])
    none = shown.iloc[:0]
    parts = [of_patient.get(place, none) for place in places]
    return [(part["time"].to_numpy(float), part["change"].to_numpy(float)) for part in parts]


def _padded(rows: list[np.ndarray]) -> np.ndarray:
    """Rows of different lengths as an array (patient, scan); NaN where there is no scan."""
    found = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
    for i, row in enumerate(rows):
        found[i, : len(row)] = row
    return found


def law_of_changes(months: np.ndarray, change: np.ndarray, *, sd: float) -> Changes:
    """The law of highest likelihood of log changes from the baseline measured after ``months``, (patient,
    scan) each, with NaN where there is no scan, and an SD ``sd`` of the log of every measured sum."""
    held = ~np.isnan(months)
    if not held.any():
        return Changes(np.zeros(2), np.full(3, _LEAST))
    basis, measured = _basis(months), np.where(held, change, 0.0)

    def mean_and_height(log_sd: np.ndarray) -> tuple[np.ndarray, float]:
        whole = _true_covariance(months, np.exp(log_sd)) + _error_covariance(held, sd)
        root = np.linalg.cholesky(whole + np.eye(whole.shape[-1]) * ~held[:, :, None])
        white_basis, white = np.linalg.solve(root, basis), np.linalg.solve(root, measured[..., None])[..., 0]
        information = np.einsum("ijp,ijq->pq", white_basis, white_basis) + np.eye(2) / _MEAN_SD**2
        score = np.einsum("ijp,ij->p", white_basis, white)
        mean = np.linalg.solve(information, score)
        log_det = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum()
        return mean, -0.5 * float((white**2).sum() - score @ mean + log_det)

    found = optimize.minimize(
        lambda x: -mean_and_height(x)[1],
        np.log(_START),
        method="L-BFGS-B",
        bounds=[(np.log(_LEAST), np.log(_MOST))] * 3,
    )
    return Changes(mean_and_height(found.x)[0], np.exp(found.x))


def _basis(months: np.ndarray) -> np.ndarray:
    """Early change and years, (patient, scan, 2); 0 where there is no scan."""
    t = np.nan_to_num(months)
    return np.stack([-np.expm1(-t / EARLY), t / 12], axis=-1)


def _true_covariance(months: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Covariance of true changes at a patient's scans, (patient, scan, scan)."""
    basis, t = _basis(months) * sd[:2], np.nan_to_num(months)
    return basis @ np.swapaxes(basis, 1, 2) + sd[2] ** 2 / 12 * np.minimum(t[:, :, None], t[:, None, :])


def _error_covariance(held: np.ndarray, sd: float) -> np.ndarray:
    """Covariance of errors of measured changes: all of a patient share that of its baseline."""
    both = held[:, :, None] & held[:, None, :]
    return sd**2 * (both + np.eye(held.shape[1]) * held[:, :, None])


def _best(
    months: np.ndarray, change: np.ndarray, law: Changes, sd: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Draws of each patient's true best shrinkage in points, given its measured changes."""
    found = []
    for t, measured in zip(months, change, strict=True):
        held = ~np.isnan(t)
        if not held.any():
            found.append(np.empty(0))
            continue
        t, measured = t[held][None], measured[held]
        true = _true_covariance(t, law.sd)[0]
        whole = true + _error_covariance(held[held][None], sd)[0]
        gain = linalg.solve(whole, true, assume_a="pos").T
        expected = _basis(t)[0] @ law.mean
        mean, left = expected + gain @ (measured - expected), true - gain @ true
        variance, axes = np.linalg.eigh((left + left.T) / 2)
        noise = rng.standard_normal((DRAWS // 2, len(measured))) * np.sqrt(np.maximum(variance, 0.0))
        moved = np.concatenate([noise, -noise]) @ axes.T
        found.append(-100 * np.expm1((mean + moved).min(axis=1)))
    return found
