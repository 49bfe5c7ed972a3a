"""Weights with which patients of one group stand for another: alike in the means of their covariates."""

from __future__ import annotations

import numpy as np

ITERATIONS, TOLERANCE = 200, 1e-10
LEAST_SPREAD = 1e-9
"""SD, of columns that have one of 1, from which on a direction tells patients apart."""


def balancing_weights(columns: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Weights, (patient,), that add up to 1 and with which the means of ``columns`` (patient, column) are the
    ``target`` (column): those nearest to equal ones (entropy balancing, Hainmueller 2012,
    doi:10.1093/pan/mpr025). None: no positive weights have these means.

    They are proportional to exp(columns @ b), as if the logit of being in one group or the other were linear
    in the columns. With indicators of the levels of one category they are shares of the target's levels over
    shares of the patients': direct standardisation.
    """
    spread = columns.std(axis=0)
    spread = np.where(spread > 0, spread, np.maximum(np.abs(target), 1.0))
    away = (columns - target) / spread
    # directions in which patients differ; in the others they have to be at the target already
    _, sizes, directions = np.linalg.svd(away - away.mean(axis=0), full_matrices=False)
    scores = away @ directions[sizes > LEAST_SPREAD * np.sqrt(len(away))].T
    b, weights = np.zeros(scores.shape[1]), np.full(len(away), 1.0 / len(away))
    for _ in range(ITERATIONS):
        gradient = weights @ scores
        if np.abs(weights @ away).max(initial=0.0) < TOLERANCE:
            return weights
        curvature = (scores * weights[:, None]).T @ scores - np.outer(gradient, gradient)
        step = np.linalg.lstsq(curvature, -gradient, rcond=None)[0]
        size, start = 1.0, _log_mean(scores, b)
        while _log_mean(scores, b + size * step) > start + 1e-4 * size * (gradient @ step) + 1e-14:
            size /= 2
            if size < 1e-10:
                return None
        b = b + size * step
        weights = np.exp(scores @ b - (scores @ b).max())
        weights /= weights.sum()
    return None


def balanced_again(columns: np.ndarray, target: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``balancing_weights`` of patients who each count so often: proportional to counts * exp(columns @ b),
    (draw, patient), of ``counts`` (draw, patient) and the ``target`` of each draw, (draw, column). Where no
    positive weights have these means, they come as near as in ``ITERATIONS`` steps."""
    middle, spread = columns.mean(axis=0), columns.std(axis=0)
    away = (columns - middle) / np.where(spread > 0, spread, 1.0)
    _, sizes, directions = np.linalg.svd(away, full_matrices=False)
    directions = directions[sizes > LEAST_SPREAD * np.sqrt(len(away))].T
    scores, wanted = away @ directions, ((target - middle) / np.where(spread > 0, spread, 1.0)) @ directions
    squares = (scores[:, :, None] * scores[:, None, :]).reshape(len(scores), -1)
    b, size, logs = np.zeros(wanted.shape), np.ones(len(wanted)), np.log(counts)

    def weighted(b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights, and what is least where the weighted means are those that are wanted."""
        powers = logs + b @ scores.T
        most = powers.max(axis=1, keepdims=True)
        weights = np.exp(powers - most)
        sums = weights.sum(axis=1, keepdims=True)
        return weights / sums, (most + np.log(sums))[:, 0] - (b * wanted).sum(axis=1)

    weights, height = weighted(b)
    for _ in range(ITERATIONS):
        means = weights @ scores
        if np.abs(means - wanted).max(initial=0.0) < TOLERANCE:
            break
        curvature = (weights @ squares).reshape(*means.shape, -1) - means[:, :, None] * means[:, None, :]
        ridge = 1e-12 * np.eye(scores.shape[1])
        step = np.linalg.solve(curvature + ridge, (wanted - means)[:, :, None])[:, :, 0]
        tried, new = weighted(b + size[:, None] * step)
        better = new <= height + 1e-12 * np.abs(height)
        b = np.where(better[:, None], b + size[:, None] * step, b)
        weights, height = np.where(better[:, None], tried, weights), np.where(better, new, height)
        size = np.where(better, 1.0, size / 4)
    return weights


def _log_mean(scores: np.ndarray, b: np.ndarray) -> float:
    """Convex in ``b``, and least where the weighted means are 0."""
    return float(np.logaddexp.reduce(scores @ b))


def effective_number(weights: np.ndarray) -> float:
    """How many patients with equal weights tell as much (Kish 1965): all of them, if theirs are equal."""
    return float(weights.sum() ** 2 / np.square(weights).sum()) if len(weights) else 0.0
