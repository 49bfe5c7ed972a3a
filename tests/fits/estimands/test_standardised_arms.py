"""Arms that differ in their covariates, against the truth of a generator that is not the model."""

import numpy as np
import pytest
from invented_fits import patients

from bayes_net import Hazard, Sampler, fit
from bayes_net.estimands import arm_differences

AT, HORIZON = 12.0, 18.0
LAPLACE = Sampler(draws=500, tune=200, chains=2, method="laplace")
SHAPE, SCALE = (0.8, 1.3), (26.0, 30.0)
"""Of Weibull times, an arm each: their hazards cross."""


def shrinkage(arm, old, grade, rng):
    """Points, bounded and skew; the later arm shrinks more, who is older or of the high grade less."""
    mean = 1 / (1 + np.exp(0.4 + 0.5 * old + 0.8 * grade - 0.9 * arm))
    return 100 * rng.beta(4 * mean, 4 * (1 - mean)) - 20


def log_relative(points, old, grade):
    return -0.02 * points + 0.3 * old + 0.7 * grade


def survival(time, arm, points, old, grade):
    shape, scale = np.take(SHAPE, arm), np.take(SCALE, arm)
    return np.exp(-((time / scale) ** shape) * np.exp(log_relative(points, old, grade)))


def of_cohort(n, rng):
    """Covariates of patients at risk at a landmark, and their arms, which go with the covariates."""
    old, grade = rng.normal(size=n), (rng.random(n) < 0.4).astype(float)
    arm = (rng.random(n) < 1 / (1 + np.exp(-0.7 * old - 1.0 * grade + 0.4))).astype(int)
    return arm, old, grade


def trial(n, rng):
    arm, old, grade = of_cohort(n, rng)
    points = shrinkage(arm, old, grade, rng)
    shape, scale = np.take(SHAPE, arm), np.take(SCALE, arm)
    time = scale * (rng.exponential(size=n) * np.exp(-log_relative(points, old, grade))) ** (1 / shape)
    until = rng.uniform(18, 40, n)
    return patients(
        np.minimum(time, until),
        (time <= until).astype(float),
        arm=arm,
        score=points / 10,
        covariates=np.column_stack([old, grade]),
        names=("old", "grade"),
        cuts=(1.0, 3.0, 6.0, 12.0, 18.0),
    )


def truth(n=400_000):
    """Differences of survival at ``AT`` and of the restricted mean, by whom arms are averaged over."""
    rng = np.random.default_rng(0)
    arm, old, grade = of_cohort(n, rng)
    own = [shrinkage(a, old, grade, rng) for a in (0, 1)]  # of each in each arm
    seen = np.where(arm == 1, own[1], own[0])
    nodes, weights = np.polynomial.legendre.leggauss(12)
    times = np.append((nodes + 1) * HORIZON / 2, AT)
    averages = {
        "own shrinkage": lambda a, t: survival(t, a, own[a], old, grade).mean(),
        "same shrinkage": lambda a, t: survival(t, a, seen, old, grade).mean(),
        "own patients": lambda a, t: survival(t, a, seen, old, grade)[arm == a].mean(),
    }
    found = {}
    for over, average in averages.items():
        curve = np.array([average(1, t) - average(0, t) for t in times])
        found[over] = {"survival": curve[-1], "rmst": curve[:-1] @ weights * HORIZON / 2}
    return found


@pytest.fixture(scope="module")
def found():
    """The differences of one large trial, and the truth."""
    data = trial(6000, np.random.default_rng(3))
    tree, true = fit(data, Hazard(), seed=1, sampler=LAPLACE, brief=True), truth()
    return {over: arm_differences(tree, data, [AT], horizon=HORIZON, over=over) for over in true}, true


@pytest.mark.parametrize("quantity", ["survival", "rmst"])
def test_standardised_differences_are_those_of_the_generator(found, quantity):
    """Within 3 SDs: of the posterior, and of the mean of 6000 patients."""
    drawn, true = found
    for over, expected in true.items():
        own = drawn[over][quantity]
        assert abs(float(own.mean()) - expected[quantity]) < 3 * float(own.std()) * 1.2, over
    plain, whole = (float(drawn[over][quantity].mean()) for over in ("own patients", "own shrinkage"))
    spread = float(drawn["own shrinkage"][quantity].std())
    assert abs(plain - whole) > 5 * spread  # patients as they are say something else
    assert abs(whole - float(drawn["same shrinkage"][quantity].mean())) > 3 * spread


def test_one_for_all_weights_are_worth_fewer_patients(found):
    drawn, _ = found
    assert float(drawn["own shrinkage"]["n_later"].item()) < float(drawn["own patients"]["n_later"].item())
