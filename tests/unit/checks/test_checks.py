"""The gate on draws made to fail, leave-one-out against a conjugate model, replicates of known hazards."""

import numpy as np
import pytest
import xarray as xr
from arviz_stats import loo_pit
from invented_fits import draws, invented, patients
from lifelines import KaplanMeierFitter
from scipy.special import gammaln
from scipy.stats import kstest, norm

from bayes_net.checks import predictive
from bayes_net.checks.gate import gate, loo
from bayes_net.checks.predictive import (
    for_loo_pit,
    kaplan_meier,
    posterior_predictive,
    replicate,
    step_values,
    survival_at,
)
from bayes_net.errors import InputError
from bayes_net.estimands import diagnostics
from bayes_net.inference.closed_form import event_times, hazards_by_stratum, log_likelihood, parameters

CHAINS, DRAWS = 4, 500
PLACE = "slope[treated]"


def fit(rng, **spoilt) -> xr.DataTree:
    """A good fit, in which the treated arm's slope or the statistics are replaced."""
    slope = draws(rng, 2, chains=CHAINS, n=DRAWS)
    if "slope" in spoilt:
        slope[..., 1] = spoilt["slope"]
    log_hazard = draws(rng, 2, 2, chains=CHAINS, n=DRAWS, mean=-3)
    return invented(log_hazard, slope, cuts=(6.0,), stats=spoilt.get("stats", {}))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def failed(checked) -> dict[str, str]:
    rows = checked.table[~checked.table["passed"]]
    assert checked.passed is rows.empty
    return dict(zip(rows["check"], rows["where"], strict=True))


def test_a_good_fit_passes_and_every_check_is_in_the_table(rng):
    checked = gate(fit(rng))
    assert failed(checked) == {}
    assert checked.table["check"].tolist() == ["R-hat", "bulk ESS", "tail ESS", "divergences", "E-BFMI"]
    assert checked.table["threshold"].tolist() == [1.01, 400, 400, 0, 0.3]


def walk(rng, correlation):
    """Chains whose draws remember the draw before."""
    steps = rng.normal(size=(CHAINS, DRAWS))
    for t in range(1, DRAWS):
        steps[:, t] += correlation * steps[:, t - 1]
    return steps


def stuck(rng):
    steps = rng.normal(size=(CHAINS, DRAWS))
    steps[1] = steps[1, 0]
    return steps


def one_missing(rng):
    steps = rng.normal(size=(CHAINS, DRAWS))
    steps[2, 7] = np.nan
    return steps


def lumpy_tail(rng):
    """Good in the bulk; its large values come in a few long visits."""
    steps = rng.normal(size=(CHAINS, DRAWS))
    steps[:, 100:120] = 3 + 0.01 * steps[:, 100:120]
    return steps


@pytest.mark.parametrize(
    ("spoil", "checks"),
    [
        (lambda rng: rng.normal(size=(CHAINS, DRAWS)) + 0.5 * np.arange(CHAINS)[:, None], {"R-hat"}),
        (lambda rng: rng.normal(size=(CHAINS, DRAWS)) * (1 + 2 * np.arange(CHAINS))[:, None], {"R-hat"}),
        (stuck, {"R-hat"}),
        (lambda rng: walk(rng, 0.9), {"bulk ESS"}),
        (lumpy_tail, {"tail ESS"}),
        (one_missing, {"R-hat", "bulk ESS", "tail ESS"}),
    ],
    ids=["chains apart", "chains of other spread", "one stuck chain", "slow chains", "lumpy tail", "missing"],
)
def test_bad_draws_fail_and_the_gate_names_where(rng, spoil, checks):
    found = failed(gate(fit(rng, slope=spoil(rng))))
    assert set(found) >= checks
    assert set(found.values()) == {PLACE}


def test_one_divergence_is_one_too_many(rng):
    diverging = np.zeros((CHAINS, DRAWS), bool)
    diverging[3, 17] = True
    assert failed(gate(fit(rng, stats={"diverging": diverging}))) == {"divergences": "most in chain 3"}


def test_an_energy_that_crawls_fails(rng):
    energy = rng.normal(size=(CHAINS, DRAWS))
    energy[2] = np.cumsum(energy[2])
    assert failed(gate(fit(rng, stats={"energy": energy}))) == {"E-BFMI": "chain 2"}


def test_an_energy_that_is_not_a_number_fails(rng):
    energy = np.full((CHAINS, DRAWS), np.nan)
    assert set(failed(gate(fit(rng, stats={"energy": energy})))) == {"E-BFMI"}


def test_reported_quantities_are_gated_by_name_and_label(rng):
    bad = xr.DataArray(
        np.stack([rng.normal(size=(CHAINS, DRAWS)), walk(rng, 0.97)], axis=-1),
        dims=("chain", "draw", "time"),
        coords={"time": [6.0, 12.0]},
    )
    found = failed(gate(fit(rng), {"survival": bad}))
    assert set(found.values()) == {"survival[12.0]"}


def test_a_quantity_that_never_varies_is_nothing_to_diagnose(rng):
    constant = xr.DataArray(np.ones((CHAINS, DRAWS)), dims=("chain", "draw"))
    good = xr.DataArray(rng.normal(size=(CHAINS, DRAWS)), dims=("chain", "draw"))
    assert gate(fit(rng), {"constant": constant, "good": good}).passed
    assert not gate(fit(rng), {"constant": constant}).passed  # nothing reported varies: nothing is known


def test_landmarks_side_by_side_are_gated_together(rng):
    from bayes_net.inference.patients import stack

    energy = rng.normal(size=(CHAINS, DRAWS))
    energy[1] = np.cumsum(energy[1])
    both = stack({"150 d": fit(rng), "36 w": fit(rng, stats={"energy": energy})}, dim="landmark")
    assert failed(gate(both)) == {"E-BFMI": "chain 1"}
    worse = stack({"150 d": fit(rng), "36 w": fit(rng, slope=walk(rng, 0.97))}, dim="landmark")
    assert set(failed(gate(worse)).values()) == {"slope[36 w, treated]"}


# Leave-one-out.


def exponential(n, *, seed, draws=1000):
    """An exponential hazard with a gamma prior, whose posterior and leave-one-out are known exactly."""
    rng = np.random.default_rng(seed)
    latent, censor = rng.exponential(12, n), rng.uniform(5, 25, n)
    data = patients(np.minimum(latent, censor), latent <= censor, arms=("only",))
    shape, rate = 2.0 + data.event.sum(), 20.0 + data.time.sum()
    log_rate = np.log(rng.gamma(shape, 1 / rate, size=(4, draws, 1, 1)))
    tree = invented(log_rate, arms=("only",))
    posterior = tree["posterior"].to_dataset()
    tree["log_likelihood"] = xr.DataTree(log_likelihood(posterior, data).to_dataset())
    return tree, data, shape, rate


@pytest.fixture(scope="module")
def conjugate():
    return exponential(40, seed=8)


def test_leave_one_out_is_the_exact_predictive_density_of_the_others(conjugate):
    tree, data, shape, rate = conjugate
    got = loo(tree)
    less_shape, less_rate = shape - data.event, rate - data.time
    exact = gammaln(shape) - gammaln(less_shape) + less_shape * np.log(less_rate) - shape * np.log(rate)
    # Independent draws: log of a mean of 1/p has a relative error sd(1/p) / mean(1/p) / sqrt(draws). The
    # patients' errors share the draws, so the sum's error is at most the sum of theirs.
    inverse = np.exp(-tree["log_likelihood"]["patients"].values.reshape(4000, -1))
    error = (inverse.std(axis=0) / inverse.mean(axis=0) / np.sqrt(4000)).sum()
    assert error < 0.1  # else the test would not tell anything
    assert got["elpd"] == pytest.approx(exact.sum(), abs=norm.ppf(1 - 0.0005) * error)
    assert got["elpd_se"] == pytest.approx(np.sqrt(40 * exact.var()), rel=0.02)
    assert got["n"] == 40
    assert got["n_high_pareto_k"] == 0
    within = float(np.log(np.exp(tree["log_likelihood"]["patients"]).mean(("chain", "draw"))).sum())
    assert got["p_loo"] == pytest.approx(within - got["elpd"], rel=1e-6)
    assert 0.5 < got["p_loo"] < 2  # one parameter


def with_likelihood(values) -> xr.DataTree:
    tree = invented(np.full((4, 500, 1, 1), -3.0), arms=("only",))
    values = xr.DataArray(values, dims=("chain", "draw", "patient"))
    tree["log_likelihood"] = xr.DataTree(values.rename("patients").to_dataset())
    return tree


def test_patients_who_tell_nothing_or_are_next_to_impossible_break_nothing(rng):
    noise = rng.random((4, 500))
    columns = [np.zeros((4, 500)), -1e-16 * noise, -1000 - noise, -2 - 0.1 * noise]
    got = loo(with_likelihood(np.stack(columns, axis=-1)))
    assert got["n"] == 4
    assert got["elpd"] == pytest.approx(-1000.5 - 2.05, abs=0.1)


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_a_patient_on_whom_the_posterior_hangs_is_counted_as_unreliable(rng, weight):
    heavy = -np.exp(weight * rng.normal(size=(4, 500)))
    got = loo(with_likelihood(np.stack([heavy, -2 - 0.1 * rng.random((4, 500))], axis=-1)))
    assert got["n_high_pareto_k"] == 1


# Kaplan-Meier.


@pytest.fixture
def tied(rng):
    """Events and censorings on the same few days, one of them at the very end."""
    return np.ceil(rng.exponential(6, 80)), (rng.random(80) < 0.6).astype(float)


def test_kaplan_meier_curves_agree_with_lifelines_at_ties(tied):
    time, event = tied
    assert any(len(set(event[time == t])) == 2 for t in time)
    curve, lifelines = kaplan_meier(time, event), KaplanMeierFitter().fit(time, event)
    at = np.concatenate([[0.0, 0.5], np.unique(time), np.unique(time) + 0.25, np.unique(time) - 0.25])
    expected = lifelines.predict(at).to_numpy()
    np.testing.assert_allclose(step_values(curve, at), expected, rtol=1e-12)
    replicated = survival_at(np.stack([time[::-1], time]), np.stack([event[::-1], event]), at)
    np.testing.assert_allclose(replicated, [expected, expected], rtol=1e-12)
    assert curve["time"].iloc[0] == 0
    assert curve["survival"].iloc[0] == 1
    assert curve["at_risk"].iloc[0] == 80
    assert curve["n_censored"].sum() == (event == 0).sum()
    for row in curve.itertuples():
        assert row.at_risk == (time >= row.time).sum()
        assert row.n_censored == ((time == row.time) & (event == 0)).sum()


def test_a_curve_without_an_event_stays_at_one():
    assert set(kaplan_meier(np.array([2.0, 5.0]), np.zeros(2))["survival"]) == {1.0}


# Replicates.


def cohort(rng, n=150):
    """Patients of a known two-step hazard with a slope, censored at times of their own."""
    cuts, log_hazard, slope = np.array([5.0]), np.log([[0.04, 0.15], [0.10, 0.05]]), np.array([-0.2, 0.1])
    arm, score = np.repeat([0, 1], n), rng.normal(1, 2, 2 * n)
    target = rng.exponential(size=2 * n) / np.exp(slope[arm] * score)
    rates = np.exp(log_hazard)[arm]
    early = target / rates[:, 0]
    latent = np.where(early <= 5, early, 5 + (target - 5 * rates[:, 0]) / rates[:, 1])
    censor = rng.uniform(2, 40, 2 * n)
    data = patients(np.minimum(latent, censor), latent <= censor, arm=arm, score=score, cuts=cuts)
    shape = (2, 100)
    tree = invented(
        np.broadcast_to(log_hazard, (*shape, 2, 2)), np.broadcast_to(slope, (*shape, 2)), cuts=cuts
    )
    return tree, data


def shifted(tree, by: float) -> xr.DataTree:
    changed = tree.copy()
    posterior = tree["posterior"].to_dataset()
    changed["posterior"] = xr.DataTree(posterior.assign(log_hazard=posterior["log_hazard"] + by))
    return changed


def test_replicates_respect_censoring(rng):
    tree, data = cohort(rng)
    times, events = replicate(tree, data, draws=120, seed=1)
    assert times.shape == events.shape == (120, data.n)
    assert set(np.unique(events)) == {0.0, 1.0}
    censored = data.event == 0
    assert (times[:, censored] <= data.time[censored]).all()
    unreached = events[:, censored] == 0
    assert (np.where(unreached, times[:, censored] == data.time[censored], True)).all()
    for arm in (0, 1):
        assert times[:, data.arm == arm].max() <= data.time[data.arm == arm].max()
    assert (times > 0).all()


def test_replicates_repeat_with_their_seed(rng):
    tree, data = cohort(rng, n=20)
    one, again, other = (replicate(tree, data, draws=20, seed=s)[0] for s in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


def test_latent_times_follow_the_hazard_of_their_draw():
    """Uncensored within a long follow-up: the cumulative hazard of a latent time is standard exponential."""
    n, slope = 4000, 0.3
    score = np.tile([0.0, 2.0], n // 2)
    data = patients(np.full(n, 500.0), np.zeros(n), score=score, cuts=(4.0,), arms=("only",))
    log_hazard = np.log(np.array([[0.05, 0.2]]))
    tree = invented(
        np.broadcast_to(log_hazard, (1, 3, 1, 2)), np.full((1, 3, 1), slope), cuts=(4.0,), arms=("only",)
    )
    times, events = replicate(tree, data, draws=1, seed=5)
    t = times[0]
    cumulative = np.exp(slope * score) * (0.05 * np.minimum(t, 4) + 0.2 * np.maximum(t - 4, 0))
    assert events.all()
    grid = np.linspace(0.01, 5, 200)
    distance = np.abs((cumulative[:, None] <= grid).mean(axis=0) - (1 - np.exp(-grid))).max()
    assert distance < 1.95 / np.sqrt(n)  # Kolmogorov-Smirnov, level 0.001


@pytest.mark.parametrize("block", [1, 1000])
def test_latent_times_of_all_draws_are_those_of_each_by_itself(rng, monkeypatch, block):
    tree, data = cohort(rng, n=20)
    drawn = parameters(tree["posterior"].to_dataset().isel(chain=[0]))
    monkeypatch.setattr(diagnostics, "_BLOCK", block)
    found = predictive.latent_times(drawn, data, np.random.default_rng(4))
    residual = np.random.default_rng(4).exponential(size=found.shape)
    for _, own, baseline, added in hazards_by_stratum(drawn, data):
        for i, times in enumerate(found[:, own]):
            alone = event_times(baseline[0, i], added[0, i], data.starts, residual[i, own])
            np.testing.assert_array_equal(times, alone)


def test_leave_one_out_pit_is_the_exact_distribution_of_the_others():
    """Few patients, so that leaving one out, and with it the order of draws, matters."""
    tree, data, shape, rate = exponential(6, seed=3, draws=4000)
    pit = loo_pit(for_loo_pit(tree, data, seed=1))["patients"].values
    ended = (data.event == 1) & (data.time < data.time.max())
    exact = 1 - ((rate - data.time) / rate) ** (shape - data.event)
    # A weighted mean of 0s and 1s: its error is that of as many draws as the weights are worth.
    weights = np.exp(-tree["log_likelihood"]["patients"].values.reshape(16_000, -1))
    worth = weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)
    z = norm.ppf(1 - 0.0005 / ended.sum())
    assert (np.abs(pit - exact)[ended] < z * np.sqrt(exact * (1 - exact) / worth)[ended]).all()
    assert (pit[~ended] > (exact - z * 0.5 / np.sqrt(worth))[~ended]).all()


@pytest.mark.parametrize(("factor", "uniform"), [(1.0, True), (1.5, False)])
def test_leave_one_out_pit_is_uniform_where_the_model_holds(factor, uniform):
    tree, data, *_ = exponential(500, seed=9, draws=100)
    pit = loo_pit(for_loo_pit(shifted(tree, np.log(factor)), data, seed=1))["patients"].values
    # Kolmogorov-Smirnov, level 0.001; a share of 400 replicates is a multiple of 1/400
    distance = kstest(pit, "uniform").statistic
    assert bool(distance < 1.95 / np.sqrt(data.n) + 1 / 400) is uniform


def test_leave_one_out_pit_needs_the_patients_of_the_fit(conjugate):
    tree, data, *_ = conjugate
    for wrong in (tree.drop_nodes("log_likelihood"), with_likelihood(np.zeros((4, 500, 41)))):
        with pytest.raises(InputError, match="these 40 patients, with a log-likelihood of each"):
            for_loo_pit(wrong, data, seed=1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_true_hazard_is_not_called_a_misfit(seed):
    tree, data = cohort(np.random.default_rng(seed))
    table = posterior_predictive(tree, data, np.arange(1, 30, 2.0), draws=200, seed=seed)
    assert table["arm"].unique().tolist() == ["control", "treated"]
    inside = (table["observed"] >= table["lower"]) & (table["observed"] <= table["upper"])
    assert inside.mean() > 0.85  # 95 % pointwise; neighbouring times move together
    assert table["p_value"].between(0.003, 0.997).all()
    assert ((table["lower"] <= table["estimate"]) & (table["estimate"] <= table["upper"])).all()


@pytest.mark.parametrize(("factor", "side"), [(3.0, 0.0), (1 / 3, 1.0)])
def test_a_hazard_threefold_off_is_flagged_on_its_side(rng, factor, side):
    tree, data = cohort(rng)
    table = posterior_predictive(shifted(tree, np.log(factor)), data, np.array([6.0, 10.0]), seed=1)
    assert table["p_value"].tolist() == pytest.approx([side] * 4, abs=0.01)


def test_replicated_curves_that_equal_the_observed_one_count_half(rng):
    """Nobody has an event in either: every curve is 1, and no probability leaves [0, 1]."""
    tree, data = cohort(rng, n=30)
    table = posterior_predictive(shifted(tree, -40), data, np.array([1.0, 5.0]), seed=1)
    # where events were observed and none replicated, every replicate lies above
    assert table["p_value"].tolist() == np.where(table["observed"] < 1, 1.0, 0.5).tolist()
    assert (table["observed"] < 1).any()
    quiet = patients(data.time, np.zeros(data.n), arm=data.arm, score=data.score, cuts=data.cuts)
    table = posterior_predictive(shifted(tree, -40), quiet, np.array([1.0, 5.0]), seed=1)
    assert (table["p_value"] == 0.5).all()


def test_ties_broken_by_rounding_only_still_count_half(tied, monkeypatch):
    """Replicates that are the data themselves: two ways to multiply differ in the last digit."""
    time, event = tied
    data = patients(time, event, arms=("only",))
    same = np.tile(time, (50, 1)), np.tile(event, (50, 1))
    monkeypatch.setattr(predictive, "replicate", lambda *_, **__: same)
    at = np.unique(time)
    apart = survival_at(time[None], event[None], at)[0] != step_values(kaplan_meier(time, event), at)
    assert apart.any()
    table = posterior_predictive(invented(np.zeros((1, 2, 1, 1)), arms=("only",)), data, at, seed=1)
    assert set(table["p_value"]) == {0.5}


def test_an_arm_without_patients_is_left_out_of_the_check(rng):
    tree, data = cohort(rng, n=30)
    alone = patients(data.time, data.event, score=data.score, cuts=data.cuts)
    table = posterior_predictive(tree, alone, np.array([3.0, 6.0]), seed=1)
    assert set(table["arm"]) == {"control"}


def test_times_beyond_follow_up_are_left_out(rng):
    tree, data = cohort(rng, n=30)
    table = posterior_predictive(tree, data, np.array([3.0, 400.0]), seed=1)
    assert table["time"].tolist() == [3.0, 3.0]
    none = posterior_predictive(tree, data, np.array([400.0]), seed=1)
    assert none.empty
    assert list(none.columns) == list(table.columns)
