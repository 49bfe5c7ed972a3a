"""Landmarks together: what patients in several of them do to the error, and the normal model around it."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from exposures import patients
from invented_fits import invented
from test_reference_modes import FLAT

import bayes_net as bn
from bayes_net.assumptions.priors import Flat, Normal
from bayes_net.data.intervals import equal_event_cuts
from bayes_net.errors import InputError
from bayes_net.inference.across_landmarks import _SPREADS, ACROSS, SPREAD, _drawn, across_landmarks

N = 60


def normal_fit(values: np.ndarray, *, seed: int, prior: Normal | None = None):
    """Draws of the mean of normal values with a standard deviation of 1, and each value's log density."""
    rng = np.random.default_rng(seed)
    precision, at = len(values) + (prior.sd**-2 if prior else 0.0), values.sum()
    at = (at + (prior.mean * prior.sd**-2 if prior else 0.0)) / precision
    mean = rng.normal(at, precision**-0.5, (4, 4000))
    fit = invented(np.zeros((4, 4000, 1, 1)), mean[..., None], arms=("a",))
    logs = -0.5 * (values - mean[..., None]) ** 2
    coords = {"chain": np.arange(4), "draw": np.arange(4000)}
    fit["log_likelihood"] = xr.DataTree(
        xr.Dataset({"patients": (("chain", "draw", "patient"), logs)}, coords)
    )
    return fit


@pytest.fixture(scope="module")
def values():
    """Two values of each patient, which go together; the spread is not that of the model."""
    rng = np.random.default_rng(2)
    shared = rng.normal(size=N)
    return 1.5 * shared, shared + 0.5 * rng.normal(size=N)


@pytest.mark.parametrize("prior", [Flat(), Normal(3.0, 0.2)])
def test_a_common_slope_has_the_error_of_the_mean_of_correlated_values(values, prior):
    own = None if isinstance(prior, Flat) else prior
    first, second = (normal_fit(x, seed=i, prior=own) for i, x in enumerate(values))
    who = [f"p{i}" for i in range(N)]
    found = across_landmarks({"1": first, "2": second}, {"1": who, "2": who}, prior, seed=1)
    covariance = np.cov(*values) / N  # of the two means
    robust = np.sqrt(covariance.sum()) / 2  # both have the same weight
    naive = np.sqrt(1 / (2 * N))  # each mean has a variance of 1 / N
    assert float(found.ratio[0]) == pytest.approx(robust / naive, rel=0.03)
    # of the values alone: the prior of each fit is taken off, and holds of their mean once
    expected, _ = _drawn(np.mean(values, axis=1), covariance, prior, np.random.default_rng(1))
    assert float(found.slopes.sel(landmark=ACROSS).mean()) == pytest.approx(expected[:, 0].mean(), abs=0.05)


def test_patients_who_are_others_are_not_counted_once(values):
    first, again = (normal_fit(values[0], seed=i) for i in range(2))
    who, others = [f"p{i}" for i in range(N)], [f"q{i}" for i in range(N)]
    same = across_landmarks({"1": first, "2": again}, {"1": who, "2": who}, Flat(), seed=1).ratio
    apart = across_landmarks({"1": first, "2": again}, {"1": who, "2": others}, Flat(), seed=1).ratio
    # halves of the patients who do not move a landmark cost a degree of freedom less
    expected = np.sqrt(2 * (N / (N - 1)) / (2 * N / (2 * N - 1)))
    assert float(same[0] / apart[0]) == pytest.approx(expected, rel=0.02)


def test_the_normal_model_is_that_of_a_quadrature():
    estimate, prior = np.array([-0.5, -0.1]), Normal(0.0, 0.35)
    covariance = np.array([[0.02, 0.012], [0.012, 0.03]])
    found, spread = _drawn(estimate, covariance, prior, np.random.default_rng(3))
    mean = np.linspace(-2, 2, 801)[:, None]
    height = np.empty((801, len(_SPREADS)))
    for j, s in enumerate(_SPREADS):
        total = covariance + s**2 * np.eye(2)
        off = estimate - mean
        height[:, j] = -0.5 * np.einsum("ni,ij,nj->n", off, np.linalg.inv(total), off)
        height[:, j] += -0.5 * np.log(np.linalg.det(total)) - 0.5 * (s / SPREAD) ** 2
    height += -0.5 * (mean / prior.sd) ** 2
    share = np.exp(height - height.max())
    share /= share.sum()
    expected = (share * mean).sum()
    sd = np.sqrt((share * mean**2).sum() - expected**2)
    error = sd / np.sqrt(len(found))
    assert found[:, 0].mean() == pytest.approx(expected, abs=4 * error)
    assert found[:, 0].std() == pytest.approx(sd, rel=0.05)
    assert spread.mean() == pytest.approx((share.sum(axis=0) * _SPREADS).sum(), rel=0.05)
    # landmarks lie between their own estimate and the mean
    assert estimate[0] < found[:, 1].mean() < found[:, 0].mean() < found[:, 2].mean() < estimate[1]


def test_fits_of_patients_go_together_and_what_is_missing_is_said():
    data = patients(n=50, seed=4)
    fit = bn.fit(data, seed=1, sampler=bn.Sampler(200, 200, 2, 0.9))
    who = [f"p{i}" for i in range(data.n)]
    found = across_landmarks({"a": fit, "b": fit}, {"a": who, "b": who}, bn.Priors().slope, seed=1)
    assert found.slopes["landmark"].values.tolist() == [ACROSS, "a", "b"]
    assert found.slopes.dims == ("chain", "draw", "arm", "landmark")
    with pytest.raises(InputError, match="expected those of two or more"):
        across_landmarks({"a": fit}, {"a": who}, Flat(), seed=1)
    with pytest.raises(InputError, match="49 patients given for b, and its fit has 50"):
        across_landmarks({"a": fit, "b": fit}, {"a": who, "b": who[1:]}, Flat(), seed=1)
    brief = bn.fit(data, seed=1, sampler=bn.Sampler(200, 200, 2, 0.9), brief=True)
    with pytest.raises(InputError, match="no log-likelihood of patients"):
        across_landmarks({"a": fit, "b": brief}, {"a": who, "b": who}, Flat(), seed=1)


# R 4.2.2, survival 3.5-3, of the rows below: coxph(Surv(time, event) ~ stage + strata(landmark) +
# cluster(id), ties = "breslow"), robust and naive standard error
COXPH = {"rows": 2787, "events": 251, "robust": 0.2945807988, "naive": 0.1285989711}


def test_patients_at_several_landmarks_cost_as_much_as_in_rs_sandwich(shared):
    """Relapses within 60 months of seven landmarks of one cohort. The influence on posterior means with flat
    priors, each landmark with a slope of its own, is that on a common one of partial likelihoods but for some
    per cent."""
    cohort = pd.read_csv(shared / "data" / "published" / "dynamicLM_relapse.csv").drop_duplicates("ID")
    fits, who, rows, events = {}, {}, 0, 0.0
    for months in range(0, 37, 6):
        own = cohort[cohort["Time"] > months]
        time = np.minimum(own["Time"].to_numpy() - months, 60.0)
        event = ((own["event"] == 1) & (own["Time"] <= months + 60)).to_numpy(float)
        cuts = equal_event_cuts(time, event, intervals=10)
        stage, none = own["stage"].to_numpy(float), np.empty((len(own), 0))
        data = bn.Exposure(time, event, np.zeros(len(own), int), stage, none, cuts, ("all",))
        hazard = bn.Hazard("per arm", "independent", "per arm", FLAT)
        fits[str(months)] = bn.fit(data, hazard, seed=months, sampler=bn.Sampler(1000, 500, 4, 0.9))
        who[str(months)] = own["ID"].tolist()
        rows, events = rows + len(own), events + event.sum()
    assert (rows, events) == (COXPH["rows"], COXPH["events"])
    ratio = float(across_landmarks(fits, who, Flat(), seed=1).ratio[0])
    assert ratio == pytest.approx(COXPH["robust"] / COXPH["naive"], rel=0.05)
