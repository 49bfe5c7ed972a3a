"""Power-scaling against the closed form of a conjugate case, and tipping factors against quantiles."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from bayes_net.checks.power import ALPHAS, components, power_scaling, tipping_factor
from bayes_net.errors import InputError

N, MEAN, PRIOR = 12, 0.8, stats.norm(-0.2, 0.5)
"""Twelve observations N(theta, 1) with this mean, and the prior of theta."""


def posterior(prior_power=1.0, data_power=1.0, *, n=N, prior=PRIOR):
    """The conjugate posterior when prior and likelihood are raised to powers."""
    tau, precision = prior_power / prior.std() ** 2, data_power * n
    return stats.norm((tau * prior.mean() + precision * MEAN) / (tau + precision), (tau + precision) ** -0.5)


def fit(n=N, prior=PRIOR, draws=20_000, **more) -> xr.DataTree:
    """Independent draws of the conjugate posterior, with the densities that belong to them."""
    theta = posterior(n=n, prior=prior).rvs((4, draws // 4), random_state=np.random.default_rng(1))
    dims = ("chain", "draw")
    patients = np.repeat(-0.5 * (MEAN - theta[..., None]) ** 2, n, axis=-1)
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"slope": ((*dims, "arm"), theta[..., None])}, {"arm": ["A"]}),
            "log_prior": xr.Dataset({"slope": (dims, prior.logpdf(theta))} | more),
            "log_likelihood": xr.Dataset({"patients": ((*dims, "patient"), patients)}),
        }
    )


def distance(p, q, lowest, highest) -> float:
    """Cumulative Jensen-Shannon distance on an interval, the larger of both directions."""
    x = np.linspace(lowest, highest, 200_001)

    def one_way(first, second):
        def part(a, b):
            return a * (np.log2(a) - np.log2((a + b) / 2))

        with np.errstate(divide="ignore", invalid="ignore"):
            total = np.nan_to_num(part(first, second) + part(second, first))
        # the terms in the difference of the integrals cancel in the sum of both
        return np.sqrt(np.trapezoid(total, x) / np.trapezoid(first + second, x))

    return max(one_way(p.cdf(x), q.cdf(x)), one_way(p.sf(x), q.sf(x)))


@pytest.mark.parametrize(
    ("component", "powers"), [("prior of slope", "prior_power"), ("likelihood", "data_power")]
)
def test_sensitivity_is_that_of_the_conjugate_posterior(component, powers):
    found = power_scaling(tree := fit()).set_index("component")
    ends = (tree["posterior"]["slope"].min().item(), tree["posterior"]["slope"].max().item())
    moved = [distance(posterior(), posterior(**{powers: alpha}), *ends) for alpha in ALPHAS]
    exact = np.mean([m / abs(np.log2(alpha)) for m, alpha in zip(moved, ALPHAS, strict=True)])
    # with twelve seeds the SD of the estimate was 0.9 % of it for the prior, 1.5 % for the likelihood
    assert found.loc[component, "sensitivity"] == pytest.approx(exact, rel=0.06)


@pytest.mark.parametrize(
    ("component", "powers"), [("prior of slope", "prior_power"), ("likelihood", "data_power")]
)
def test_the_shift_is_the_derivative_of_the_conjugate_mean(component, powers):
    step = 1e-4
    ends = [posterior(**{powers: 2.0**side}).mean() for side in (-step, step)]
    exact = (ends[1] - ends[0]) / (2 * step) / posterior().std()
    found = power_scaling(fit()).set_index("component").loc[component, "shift"]
    # the error of a covariance of 20,000 draws, in SDs, is at most that of a product of two normals
    scale = np.log(2) * np.std(
        fit()["log_prior"]["slope"] if "prior" in component else components(fit())["likelihood"]
    )
    assert found == pytest.approx(exact, abs=4 * np.sqrt(2) * float(scale) / np.sqrt(20_000))
    assert np.sign(exact) == (-1 if "prior" in component else 1)


def test_one_prior_is_all_priors_and_another_adds_nothing_to_what_it_does_not_touch():
    other = np.random.default_rng(2).normal(size=(4, 5000))
    tree = fit(other=(("chain", "draw"), stats.norm.logpdf(other)), step=(("chain", "draw"), other))
    found = power_scaling(tree).set_index("component")
    assert list(found.index) == ["likelihood", "all priors", "prior of slope", "prior of other"]
    assert found.loc["prior of other", "sensitivity"] < 0.02
    assert abs(found.loc["prior of other", "shift"]) < 0.03
    alone = power_scaling(fit()).set_index("component")
    assert alone.loc["all priors", "sensitivity"] == alone.loc["prior of slope", "sensitivity"]


@pytest.mark.parametrize(
    ("n", "prior", "reading"),
    [
        (12, stats.norm(-0.2, 0.5), "priors and data both move it"),
        (2000, stats.norm(0.0, 5.0), "little depends on the priors"),
        (1, stats.norm(0.8, 0.05), "priors are strong, or data weak"),
    ],
)
def test_readings_name_what_decides(n, prior, reading):
    assert set(power_scaling(fit(n=n, prior=prior))["reading"]) == {reading}


def test_every_quantity_and_label_has_its_rows():
    tree = fit()
    two = xr.concat([tree["posterior"]["slope"], -tree["posterior"]["slope"]], "landmark")
    named = two.assign_coords(landmark=["150 d", "36 w"])
    found = power_scaling(tree, {"slope": named, "mean": named.mean(("landmark", "arm"))})
    assert found.groupby("quantity", sort=False)["label"].unique().map(list).to_dict() == {
        "slope": ["150 d, A", "36 w, A"],
        "mean": [""],
    }
    own = found[found["quantity"] == "slope"].pivot(index="component", columns="label", values="shift")
    np.testing.assert_allclose(own["150 d, A"], -own["36 w, A"])


def test_a_fit_without_its_densities_is_refused():
    bare = xr.DataTree.from_dict({"posterior": fit()["posterior"].to_dataset()})
    with pytest.raises(InputError, match="no group log_prior, log_likelihood"):
        power_scaling(bare)


@pytest.mark.parametrize(("shift", "side"), [(-0.5, 1), (0.5, -1)])
def test_a_bias_of_the_tipping_factor_takes_the_direction_to_its_edge(shift, side):
    logs = np.random.default_rng(3).normal(shift, 0.2, (4, 5000))
    ratios = xr.DataArray(np.exp(logs), dims=("chain", "draw"))
    factor = float(tipping_factor(ratios, 0.95))
    assert np.sign(np.log(factor)) == side
    biased = (ratios * factor < 1).mean().item()
    assert (biased if side > 0 else 1 - biased) == pytest.approx(0.95, abs=1e-3)
    exact = -(stats.norm.ppf(0.95) * 0.2 * side + shift)
    assert np.log(factor) == pytest.approx(exact, abs=4 * 0.2 * 2.1 / np.sqrt(20_000))


def test_without_a_direction_there_is_nothing_to_tip():
    ratios = xr.DataArray(np.exp(np.linspace(-1, 1, 4000)).reshape(4, 1000), dims=("chain", "draw"))
    assert np.isnan(tipping_factor(ratios, 0.8))
