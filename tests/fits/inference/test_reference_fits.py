"""Posteriors are the exact ones, computed elsewhere by quadrature.

Two compiled models serve all of them: one for FFCD, one for the rats and the leukaemia trial.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from exposures import ENDPOINTS, ffcd, reference, two_groups

from bayes_net.assumptions.hazard import Hazard
from bayes_net.assumptions.priors import Flat, Normal, Priors
from bayes_net.data.exposure import Exposure
from bayes_net.engine.layout import layout
from bayes_net.inference.patients import fit
from bayes_net.inference.sampling import Sampler
from bayes_net.schema import LAPLACE, NUTS

MANY = Sampler(draws=4000, tune=1000, chains=4, target_accept=0.95)


def mcse_of_sd(x: np.ndarray) -> float:
    """Monte-Carlo standard error of a standard deviation, by that of the variance (delta method).

    ``array_stats.mcse(x, method="sd")`` takes the effective size of x for that of (x - mean)^2; NUTS draws
    are antithetic for the mean but not for the spread, and it comes out up to half as large as it is.
    """
    return array_stats.mcse((x - x.mean()) ** 2, method="mean") / (2 * x.std())


def deviations(draws: xr.DataArray, expected: dict) -> dict[str, float]:
    """(Draws' statistic - exact) / its Monte-Carlo standard error, by name of the statistic."""
    x = draws.transpose("chain", "draw").values
    found = {"mean": (x.mean(), array_stats.mcse(x, method="mean")), "sd": (x.std(ddof=1), mcse_of_sd(x))}
    if "prob_below_0" in expected:
        below = (x < 0).astype(float)
        found["prob_below_0"] = (below.mean(), array_stats.mcse(below, method="mean"))
    for prob in (0.025, 0.25, 0.5, 0.75, 0.975):
        found[prob] = (np.quantile(x, prob), array_stats.mcse(x, method="quantile", prob=prob))
    return {name: float((found[name][0] - exact) / found[name][1]) for name, exact in expected.items()}


def assert_exact(deviations: dict) -> None:
    """Every statistic within 4 Monte-Carlo standard errors."""
    worst = max(deviations, key=lambda name: abs(deviations[name]))
    print(f"largest |error| / MCSE of {len(deviations)}: {abs(deviations[worst]):.2f} ({worst})")
    assert abs(deviations[worst]) < 4, worst


def tagged(tag: str, values: dict) -> dict:
    return {(tag, name): value for name, value in values.items()}


@pytest.mark.parametrize("method", [NUTS, LAPLACE])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_posteriors_of_ffcd_are_the_exact_ones(shared, endpoint, method):
    answers = reference(shared, "bayes_landmark_reference")["fits"]["ffcd"]["day122"][endpoint]
    priors = Priors(level=Normal(np.log(0.05), 2.0), arm_effect=Normal(0.0, 1.0), slope=Normal(0.0, 0.5))
    hazard = Hazard("shared", "independent", "common", priors)
    both = ffcd(shared, "122 d", ENDPOINTS[endpoint])
    # An arm by itself, as the reference arm: nobody is in the other, whose effect keeps its prior. So
    # one compiled model serves all three.
    data = {"arm + shrinkage": both} | {arm: only(both, a) for a, arm in enumerate(both.arms)}
    found = {}
    for name, exposure in data.items():
        expected = answers[name]
        assert (exposure.n, exposure.event.sum()) == (expected["n"], expected["events"])
        sampler = replace(MANY, method=method)
        tree = fit(exposure, hazard, seed=20, sampler=sampler, shape=layout([both]))
        assert tree.attrs["method"] == method
        posterior = tree["posterior"]
        draws = {"log_hr_arm": posterior["log_hr_arm"][..., 0], "log_hr_shrink10": posterior["slope"][..., 0]}
        for term, x in draws.items():
            exact = expected["posterior"].get(
                term, {"mean": 0.0, "sd": 1.0, "quantiles": {}, "prob_below_0": 0.5}
            )
            quantiles = {float(p): q for p, q in exact["quantiles"].items() if p not in ("0.05", "0.95")}
            wanted = {key: exact[key] for key in ("mean", "sd", "prob_below_0")} | quantiles
            found |= tagged(f"{name}: {term}", deviations(x, wanted))
            assert array_stats.ess(x.values, method="mean") > 4000
    assert_exact(found)


def only(data: Exposure, arm: int) -> Exposure:
    own = data.arm == arm
    rows = {name: getattr(data, name)[own] for name in ("time", "event", "score", "covariates")}
    return replace(data, **rows, arm=np.zeros(own.sum(), int))


NINE_MORE = 400.0 + 100.0 * np.arange(9)
"""Cut-points after the last rat: they give the rats as many intervals as the leukaemia trial."""


def fit_two_groups(data: Exposure, centre: float) -> xr.Dataset:
    """Posterior with a flat arm effect and log hazards that are flat but for N(centre, 100).

    That prior moves a posterior mean by less than 0.001 of its SD, and is proper in intervals that
    nobody enters.
    """
    priors = Priors(level=Normal(centre, 100.0), arm_effect=Flat())
    tree = fit(data, Hazard("shared", "independent", "none", priors), seed=30, sampler=MANY)
    return tree["posterior"].to_dataset()


def test_the_posterior_of_the_sas_rats_is_the_exact_one(shared):
    target = reference(shared, "published_targets")["sas_phreg_rats"]
    exact = dict(target["exact_posterior"]["improper_1_over_lambda"])
    rats = pd.read_csv(shared / "data" / "published" / "sas_phreg_rats.csv")
    cuts = [*target["cutpoints"], *NINE_MORE]
    posterior = fit_two_groups(two_groups(rats["days"], rats["status"], rats["group"], cuts), centre=-4.0)
    effect, log_hazard = posterior["log_hr_arm"][..., 0], posterior["log_hazard"].isel(arm=0)
    draws = {"Group": effect, "HR": np.exp(effect)}
    draws |= {f"Lambda{k + 1}": np.exp(log_hazard.isel(interval=k)) for k in range(8)}
    names = {"q025": 0.025, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q975": 0.975}
    exact["Group"] = exact["Group"] | {"prob_below_0": exact.pop("Pr_Group_lt_0")}
    assert set(exact) == set(draws)
    found = {}
    for name, x in draws.items():
        found |= tagged(
            name, deviations(x, {names.get(key, key): value for key, value in exact[name].items()})
        )
    # the intervals that nobody enters keep their prior
    for k in range(8, 17):
        found |= tagged(f"empty {k}", deviations(log_hazard.isel(interval=k), {"mean": -4.0, "sd": 100.0}))
    assert_exact(found)


def test_the_posterior_of_the_bugs_leukaemia_trial_is_the_exact_one(shared):
    target = reference(shared, "published_targets")["bugs_leuk"]
    exact = dict(target["exact"])
    leuk = pd.read_csv(shared / "data" / "published" / "bugs_leuk.csv")
    jumps = np.unique(leuk["time"][leuk["status"] == 1])
    assert len(jumps) == 17
    # A clock that ticks at failure times: who is at risk at one is exposed to it for one tick.
    ticks = np.searchsorted(jumps, leuk["time"], side="right")
    data = two_groups(ticks, leuk["status"], leuk["z"] > 0, np.arange(1, 17))
    posterior = fit_two_groups(data, centre=-2.5)
    beta = exact.pop("beta")
    wanted = {
        "mean": beta["mean"],
        "sd": beta["sd"],
        0.025: beta["q2.5"],
        0.5: beta["q50"],
        0.975: beta["q97.5"],
    }
    found = tagged("beta", deviations(posterior["log_hr_arm"][..., 0], wanted))
    survival = np.exp(-np.exp(posterior["log_hazard"]).cumsum("interval"))
    for name, expected in exact.items():
        arm, k = name[2:-1].split("[")
        x = survival.isel(arm=["treat", "placebo"].index(arm), interval=int(k) - 1)
        found |= tagged(name, deviations(x, {key: expected[key] for key in ("mean", "sd")}))
    assert_exact(found)
