"""Prediction of patients who were left out: scores against plain sums, and what a strong and no association
do to them."""

from dataclasses import replace

import numpy as np
import pytest
from exposures import followed
from scipy.stats import mannwhitneyu

import bayes_net as bn
from bayes_net.checks.prediction import AUC, BRIER, _weights, auc, brier, out_of_sample, prediction
from bayes_net.errors import InputError

QUICK = bn.Sampler(draws=200, tune=300, chains=2)


def trial(slope: float, n: int = 400, seed: int = 1):
    """Exponential times of two arms, and censoring that does not depend on them."""
    rng = np.random.default_rng(seed)
    arm, score = np.repeat([0, 1], n // 2), rng.normal(0, 1, n)
    event = rng.exponential(10 * np.exp(-slope * score) * np.where(arm == 1, 1.6, 1.0))
    return followed(event, rng.uniform(4, 30, n), arm, score, [6.0]), event


def test_without_censoring_scores_are_plain():
    rng = np.random.default_rng(0)
    status, survival = rng.integers(0, 2, 300).astype(float), rng.random(300).round(2)
    ones = np.ones(300)
    assert brier(status, survival, ones) == pytest.approx(((status - survival) ** 2).mean())
    pairs = mannwhitneyu(survival[status == 1], survival[status == 0]).statistic
    assert auc(status, survival, ones) == pytest.approx(pairs / (status.sum() * (1 - status).sum()))
    assert np.isnan(auc(ones, survival, ones))


def test_weights_give_what_would_be_without_censoring():
    """Over many patients the weighted scores are those of the uncensored times."""
    data, event = trial(0.5, n=40_000)
    rng = np.random.default_rng(3)
    survival, t = np.clip(rng.random(data.n) * 0.4 + 0.4 * (event > 9), 0, 1), 9.0
    weights = _weights(data, np.array([t]))[:, 0]
    assert weights.sum() == pytest.approx(data.n, rel=0.02)
    status, true = (data.time > t).astype(float), (event > t).astype(float)
    few = np.arange(data.n) % 10 == 0  # the AUC compares all pairs
    for score, own, error in ((brier, np.ones(data.n, bool), 0.004), (auc, few, 0.02)):
        expected = score(true[own], survival[own], np.ones(own.sum()))
        assert score(status[own], survival[own], weights[own]) == pytest.approx(expected, abs=error)
    # a patient who is censored before is not counted as one who lived, or not
    naive = brier(status, survival, np.ones(data.n))
    assert abs(naive - brier(true, survival, np.ones(data.n))) > 0.01


def test_a_strong_association_predicts_and_none_does_not():
    strong = prediction(trial(1.0)[0], seed=1, sampler=QUICK).scores.set_index(["time", "score"])
    none = prediction(trial(0.0)[0], seed=1, sampler=QUICK).scores.set_index(["time", "score"])
    for found in (strong, none):
        np.testing.assert_allclose(found["difference"], found["with_shrinkage"] - found["without"])
        assert found["difference"].between(found["lower"], found["upper"]).all()
    for t in (6.0, 12.0):
        assert strong.loc[(t, BRIER), "upper"] < 0
        assert strong.loc[(t, AUC), "lower"] > 0
        assert none.loc[(t, BRIER), "lower"] < 0.002
        assert none.loc[(t, BRIER), "upper"] > -0.002
        assert none.loc[(t, AUC), "lower"] < 0.02
    # without shrinkage the arms alone tell patients apart
    assert 0.5 < strong.loc[(6.0, AUC), "without"] < strong.loc[(6.0, AUC), "with_shrinkage"]


def test_thirds_of_predicted_risk_are_calibrated():
    data, _ = trial(1.0, n=1200)
    table = prediction(data, seed=1, sampler=QUICK, times=(6.0,)).calibration
    error = np.sqrt(table["observed"] * (1 - table["observed"]) / table["n"])
    assert ((table["predicted"] - table["observed"]).abs() < 4 * error).all()
    assert table["predicted"].is_monotonic_decreasing
    assert table["n"].tolist() == [400, 400, 400]


def test_a_patient_is_predicted_by_the_others():
    """Whatever happened to the patients of a fold changes nothing of what is predicted for them."""
    data, _ = trial(1.0, n=60)
    times = np.array([6.0])
    first = out_of_sample(data, bn.Hazard(), times, folds=2, seed=4, sampler=QUICK)
    order = np.random.default_rng(4).permutation(data.n)
    order = order[np.lexsort((data.event[order], data.arm[order]))]
    fold = np.empty(data.n, int)
    fold[order] = np.arange(data.n) % 2
    later = np.where((fold == 0) & (data.event == 1), data.time * 1.5, data.time)
    again = out_of_sample(replace(data, time=later), bn.Hazard(), times, folds=2, seed=4, sampler=QUICK)
    np.testing.assert_allclose(again[fold == 0], first[fold == 0])
    assert not np.allclose(again[fold == 1], first[fold == 1])


def test_times_beyond_follow_up_and_models_without_slopes():
    data, _ = trial(0.5, n=60)
    assert prediction(data, seed=1, sampler=QUICK, times=(500.0,)).scores.empty
    with pytest.raises(InputError, match="expected slopes"):
        prediction(data, bn.Hazard(slopes="none"), seed=1)
    with pytest.raises(InputError, match="at least two patients in each"):
        prediction(data, seed=1, folds=40)
