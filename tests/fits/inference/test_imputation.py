"""Informative censoring: imputed times follow the law, factor 1 changes nothing, a known factor is undone."""

from dataclasses import replace

import numpy as np
import nutpie
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from exposures import followed
from scipy.integrate import quad
from scipy.stats import kstest, norm
from scipy.stats import t as student

import bayes_net as bn
from bayes_net.assumptions.hazard import Hazard
from bayes_net.assumptions.priors import Normal, Priors
from bayes_net.checks.gate import gate, worst_of
from bayes_net.data.exposure import Exposure
from bayes_net.data.terms import Response, Shrinkage
from bayes_net.engine.layout import layout
from bayes_net.errors import InputError
from bayes_net.estimands.ratios import hazard_ratio, interaction
from bayes_net.estimands.summary import mixture_errors, summarise
from bayes_net.estimands.survival import median_survival, rmst, survival
from bayes_net.inference.imputation import Censoring, concerned_patients, fit_imputed, impute_censored
from bayes_net.inference.patients import fit
from bayes_net.inference.sampling import Sampler

CUTS = np.array([2.0, 5.0, 9.0])
LOG_HAZARD = np.log([[0.20, 0.05, 0.10, 0.02], [0.04, 0.15, 0.03, 0.08]])
SLOPES = np.array([-0.3, 0.1])
EFFECT = 0.5


def draws_of(log_hazard=LOG_HAZARD, slopes=SLOPES, *, chains=2, draws=10) -> xr.DataTree:
    """A posterior in which every draw is the same, so that the law of what is imputed is known."""
    posterior = xr.Dataset(
        {
            "log_hazard": (("arm", "interval"), log_hazard),
            "slope": (("arm",), slopes),
            "log_hr_covariate": (("covariate",), [EFFECT]),
        },
        {"arm": ["control", "treated"], "covariate": ["age"]},
    ).expand_dims(chain=chains, draw=draws)
    return xr.DataTree.from_dict({"posterior": posterior})


def censored(n=4000, *, last=1e5, seed=3) -> Exposure:
    """Patients censored anywhere, some exactly on a cut-point; an event of each arm at ``last`` months."""
    rng = np.random.default_rng(seed)
    time = rng.choice([0.3, 1.0, 2.0, 3.0, 5.0, 7.7, 9.0, 12.0], n)
    event = (rng.random(n) < 0.2).astype(float)
    arm, score = rng.integers(0, 2, n), rng.normal(2, 2, n)
    time[:2], event[:2], arm[:2] = last, 1.0, [0, 1]
    return Exposure(
        time=time,
        event=event,
        arm=arm,
        score=score,
        covariates=rng.normal(size=(n, 1)),
        cuts=CUTS,
        arms=("control", "treated"),
        covariate_names=("age",),
    )


def cumulative(time: float, hazard: np.ndarray) -> float:
    """The hazard added up piece by piece."""
    edges = [0.0, *CUTS, np.inf]
    return sum(
        h * max(0.0, min(time, end) - start)
        for h, start, end in zip(hazard, edges[:-1], edges[1:], strict=True)
    )


def residuals(before: Exposure, after: Exposure) -> np.ndarray:
    """What the cumulative hazard of each censored patient grew by until the imputed event."""
    own = np.flatnonzero(before.event == 0)
    eta = SLOPES[before.arm] * before.score + EFFECT * before.covariates[:, 0]
    hazards = np.exp(LOG_HAZARD)[before.arm]
    grown = [cumulative(after.time[i], hazards[i]) - cumulative(before.time[i], hazards[i]) for i in own]
    return np.exp(eta[own]) * np.array(grown)


# --- the law ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
def test_the_residual_cumulative_hazard_is_exponential_at_the_factor(factor):
    data = censored()
    first, second = impute_censored(data, draws_of(), Censoring(factor, imputations=2), seed=8)
    assert (first.event == 1).all()  # the end of follow-up is far away
    for completed in (first, second):
        assert kstest(factor * residuals(data, completed), "expon").pvalue > 0.001
        late = completed.time[(data.event == 0) & (data.time < 2)]
        assert (np.histogram(late, [0, *CUTS, np.inf])[0] > 5).all()  # events in every interval
    assert not np.allclose(first.time, second.time)


def test_another_factor_stretches_the_same_residuals():
    data, fitted = censored(), draws_of()
    ordinary, doubled = (
        impute_censored(data, fitted, Censoring(f, imputations=2), seed=8)[1] for f in (1, 2)
    )
    np.testing.assert_allclose(residuals(data, doubled), residuals(data, ordinary) / 2, rtol=1e-6, atol=1e-7)


def test_every_imputation_takes_a_draw_of_its_own():
    fitted = draws_of(chains=1, draws=3)
    shift = xr.DataArray([0.0, -8.0, -16.0], dims="draw")
    fitted["posterior"]["log_hazard"] = fitted["posterior"]["log_hazard"] + shift
    data = censored(last=1e12)
    completed = impute_censored(data, fitted, Censoring(imputations=3), seed=1)
    months = sorted(np.median(each.time[data.event == 0]) for each in completed)
    assert months[2] / months[1] > 100
    assert months[1] / months[0] > 100


def test_a_factor_of_nothing_and_a_huge_one_are_the_limits():
    data, fitted = censored(last=30.0), draws_of()
    open_ended = data.event == 0
    for each in impute_censored(data, fitted, Censoring(0.0, imputations=2), seed=2):
        np.testing.assert_array_equal(each.time, np.where(open_ended, 30.0, data.time))
        np.testing.assert_array_equal(each.event, data.event)
    for each in impute_censored(data, fitted, Censoring(1e12, imputations=2), seed=2):
        np.testing.assert_allclose(each.time, data.time, rtol=1e-6)
        assert (each.event == 1).all()


def test_follow_up_ends_with_the_arm_or_at_the_horizon():
    data = censored(last=30.0)
    data.time[1] = 15.0  # the treated arm's last
    [first, _] = impute_censored(data, draws_of(), Censoring(0.0, imputations=2), seed=2)
    assert set(first.time[data.event == 0]) == {30.0, 15.0}
    [first, _] = impute_censored(data, draws_of(), Censoring(0.0, imputations=2, horizon=8.0), seed=2)
    own = data.event == 0
    np.testing.assert_array_equal(first.time[own], np.maximum(data.time[own], 8.0))
    late = own & (data.time >= 8)
    assert late.any()
    [first, _] = impute_censored(data, draws_of(), Censoring(5.0, imputations=2, horizon=8.0), seed=2)
    assert not first.event[late].any()
    assert first.event[own & ~late].mean() > 0.3
    assert first.time[own & ~late].max() == 8.0


# --- who it is about ----------------------------------------------------------------------------------


def test_only_those_who_are_named_are_concerned():
    data = censored()
    open_ended, points = data.event == 0, data.score * 10
    for censoring, who in (
        (Censoring(), open_ended),
        (Censoring(arms=("treated",)), open_ended & (data.arm == 1)),
        (Censoring(shrinkage_at_least=20), open_ended & (points >= 20)),
        (Censoring(shrinkage_below=20), open_ended & (points < 20)),
        (Censoring(shrinkage_at_least=0, shrinkage_below=30), open_ended & (points >= 0) & (points < 30)),
    ):
        found = concerned_patients(data, censoring)
        assert 0 < found.sum() < data.n
        np.testing.assert_array_equal(found, who)
        [first, _] = impute_censored(data, draws_of(), replace(censoring, imputations=2, factor=2), seed=4)
        np.testing.assert_array_equal(first.time != data.time, who)
    moved = replace(data, measure=Shrinkage(reference=5.0))
    expected = open_ended & (points + 5 >= 20)
    np.testing.assert_array_equal(concerned_patients(moved, Censoring(shrinkage_at_least=20)), expected)


def test_an_unknown_shrinkage_counts_as_less_and_the_limit_itself_as_reached():
    data = censored(n=5)
    data = replace(data, event=np.zeros(5), measure=Response(30))
    given = {"shrinkage": [30.0, 29.999, np.nan, 100 * (1 - 0.7), -10]}
    found = [
        concerned_patients(data, censoring, **given).tolist()
        for censoring in (Censoring(shrinkage_at_least=30), Censoring(shrinkage_below=30))
    ]
    assert found == [[True, False, False, True, False], [False, True, True, False, True]]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"factor": -1}, "factor is -1; expected a finite number from 0"),
        ({"factor": np.inf}, "factor is inf"),
        ({"factor": np.nan}, "factor is nan"),
        ({"factor": True}, "factor is True"),
        ({"imputations": 1}, "imputations is 1; expected a whole number from 2"),
        ({"imputations": 2.0}, "imputations is 2.0"),
        ({"horizon": 0.0}, "horizon is 0.0; expected months"),
        ({"shrinkage_at_least": np.nan}, "expected points"),
        ({"shrinkage_at_least": 30, "shrinkage_below": 30}, "no shrinkage is at least 30 and below 30"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        Censoring(**wrong)


def test_what_does_not_fit_the_data_is_refused():
    data = censored(50)
    with pytest.raises(InputError, match=r"censoring\.arms has placebo; the arms are control, treated"):
        concerned_patients(data, Censoring(arms=("placebo", "control")))
    with pytest.raises(InputError, match="does not know its patients' shrinkage"):
        concerned_patients(replace(data, measure=Response(30)), Censoring(shrinkage_below=10))
    with pytest.raises(InputError, match="30 imputations need a draw each; the fit has 20"):
        impute_censored(data, draws_of(), Censoring(imputations=30), seed=1)
    for concerned in (np.ones(50, bool), np.zeros(49, bool), np.zeros(50)):
        with pytest.raises(InputError, match="each of 50 patients, and false for those with an event"):
            impute_censored(data, draws_of(), Censoring(), seed=1, concerned=concerned)
    with pytest.raises(InputError, match="the fit has arms control, treated, the data a, b"):
        impute_censored(replace(data, arms=("a", "b")), draws_of(), Censoring(), seed=1)


# --- the posterior ------------------------------------------------------------------------------------

BRIEF = Sampler(draws=200, tune=250, chains=2, target_accept=0.9)
IMPUTATIONS = 40


def trial(n=240, *, seed=5) -> Exposure:
    """Hazards that change over time and differ by shrinkage, and much censoring that tells nothing."""
    rng = np.random.default_rng(seed)
    arm, score = np.arange(n) % 2, rng.normal(2, 2, n)
    needed = rng.exponential(size=n) / np.exp(-0.2 * score)
    event_time = np.where(needed < 0.3, needed / 0.10, 3 + (needed - 0.3) / 0.05)
    leaves = np.minimum(rng.exponential(9, n), rng.uniform(12, 20, n))
    return followed(event_time, leaves, arm, score, [3.0])


@pytest.fixture(scope="module")
def data() -> Exposure:
    return trial()


@pytest.fixture(scope="module")
def ordinary(data) -> xr.DataTree:
    return fit(data, seed=1, sampler=replace(BRIEF, draws=3000))


@pytest.fixture(scope="module")
def at_one(data, ordinary) -> xr.DataTree:
    return fit_imputed(data, ordinary, Censoring(1.0, imputations=IMPUTATIONS), seed=2, sampler=BRIEF)


def by_imputation(x: xr.DataArray) -> np.ndarray:
    """Draws as (imputation, draw)."""
    return x.transpose("chain", "draw").values.reshape(IMPUTATIONS, -1)


def test_factor_one_gives_the_ordinary_posterior_back(data, ordinary, at_one):
    """Mean and variance of slopes and log hazards, each within the error over imputations (Student's t)."""
    assert (data.event == 0).mean() > 0.4
    quantities = [
        (tree["posterior"]["slope"].isel(arm=a), tree["posterior"]["log_hazard"].isel(arm=a, interval=k))
        for tree in (ordinary, at_one)
        for a, k in ((0, 0), (1, 1))
    ]
    pairs = [
        (before, after)
        for one, other in zip(quantities[:2], quantities[2:], strict=True)
        for before, after in zip(one, other, strict=True)
    ]
    allowed = student.isf(0.001 / (4 * len(pairs)), IMPUTATIONS - 1)
    for before, after in pairs:
        x = by_imputation(after)
        means = x.mean(axis=1)
        between = means.var(ddof=1)
        known = summarise(before)
        error = np.hypot(np.sqrt(between / IMPUTATIONS), float(known["mcse"].iloc[0]))
        assert abs(x.mean() - float(before.mean())) < allowed * error
        # the mixture of finitely many lacks 1/M of the variance between them
        spread = x.var(axis=1) + (means - means.mean()) ** 2 * IMPUTATIONS / (IMPUTATIONS - 1)
        error = np.hypot(spread.std(ddof=1) / np.sqrt(IMPUTATIONS), float(before.var()) * np.sqrt(2 / 3000))
        assert abs(spread.mean() - float(before.var())) < allowed * error
        # and imputing is not idle: a good part of what is known comes and goes with what was imputed
        assert between > 0.1 * float(before.var())


def test_no_model_is_compiled_for_completed_follow_up(data, ordinary, monkeypatch):
    monkeypatch.setattr(nutpie, "compile_pymc_model", None)
    few = Censoring(2.0, imputations=2)
    assert layout([data]).compressed
    assert layout([data, *impute_censored(data, ordinary, few, seed=2)]) == layout([data])
    first, again, other = (fit_imputed(data, ordinary, few, seed=seed, sampler=BRIEF) for seed in (2, 2, 3))
    assert first.identical(again)
    assert not first["posterior"].equals(other["posterior"])
    more = fit_imputed(data, ordinary, replace(few, imputations=3), seed=2, sampler=BRIEF)
    xr.testing.assert_equal(
        more["posterior"].to_dataset().isel(chain=slice(0, 4)), first["posterior"].to_dataset()
    )


def test_the_pooled_fit_holds_equal_shares_and_nothing_of_a_patient(data, ordinary, at_one):
    number = at_one["posterior"]["imputation"]
    assert number.dims == ("chain",)
    np.testing.assert_array_equal(number, np.repeat(np.arange(1, IMPUTATIONS + 1), BRIEF.chains))
    sizes = {dim for node in at_one.subtree for dim in node.sizes}
    assert "patient" not in sizes
    known = at_one["constant_data"]
    np.testing.assert_array_equal(known["n_events"], ordinary["constant_data"]["n_events"])
    np.testing.assert_array_equal(known["n_concerned"], data.n_by_arm - data.events.sum(axis=1))
    assert (known["imputed_events"] > 0).all()
    assert (known["imputed_events"] < known["n_concerned"]).all()
    assert at_one.attrs["censoring_factor"] == 1.0
    # every reported quantity knows its imputation, so that no error forgets it
    for values in (
        hazard_ratio(at_one),
        interaction(at_one),
        survival(at_one, [6.0]),
        median_survival(at_one),
        rmst(at_one, horizon=6.0),
    ):
        assert "imputation" in values.coords


def test_a_fit_that_does_not_pass_is_sampled_more_carefully_once(data, ordinary):
    asked = []
    few = Censoring(2.0, imputations=2)
    plain = fit_imputed(data, ordinary, few, seed=2, sampler=BRIEF)
    again = fit_imputed(
        data, ordinary, few, seed=2, sampler=BRIEF, passes=lambda tree: asked.append(tree) or len(asked) > 1
    )
    assert len(asked) == 3  # of the first imputation twice
    assert again.sizes == plain.sizes
    same = plain["posterior"].to_dataset() == again["posterior"].to_dataset()
    assert same["slope"].isel(chain=slice(2, 4)).all()
    assert not same["slope"].isel(chain=slice(0, 2)).any()


# --- informative censoring that is known --------------------------------------------------------------

TRUE_FACTOR, STUDY_ENDS, LEAVING = 3.0, 24.0, 0.06
RATES = (0.08, 0.04)
"""Hazard while under observation, without response and with it."""


def informative(n=6000, *, seed=11) -> Exposure:
    """Responders who leave have three times the hazard from then on; others who leave do not differ."""
    rng = np.random.default_rng(seed)
    responds = np.arange(n) % 2
    leaves = rng.exponential(1 / LEAVING, n)
    event_time = rng.exponential(1 / np.array(RATES)[responds])
    ends = np.minimum(leaves, STUDY_ENDS)
    return Exposure(
        time=np.minimum(event_time, ends),
        event=(event_time <= ends).astype(float),
        arm=np.zeros(n, int),
        score=responds.astype(float),
        covariates=np.empty((n, 0)),
        cuts=np.array([]),
        arms=("all",),
        measure=Response(30.0),
    )


def events_per_month(rate: float, factor: float) -> float:
    """Expected events over expected months in the study, with ``factor`` on the hazard after leaving."""

    def surviving(t: float) -> float:
        # stayed until t, or left at some c < t
        left = quad(lambda c: LEAVING * np.exp(-(LEAVING + rate) * c - factor * rate * (t - c)), 0, t)[0]
        return np.exp(-(LEAVING + rate) * t) + left

    return (1 - surviving(STUDY_ENDS)) / quad(surviving, 0, STUDY_ENDS)[0]


def test_known_informative_censoring_misleads_at_factor_one_and_is_undone_at_its_factor():
    truth = np.log(events_per_month(RATES[1], TRUE_FACTOR) / events_per_month(RATES[0], 1.0))
    data = informative()
    wide = Priors(level=Normal(-3.0, 10.0), slope=Normal(0.0, 10.0))
    model = Hazard(smoothing="independent", priors=wide)
    plain = fit(data, model, seed=1, sampler=BRIEF)
    responders = concerned_patients(
        data, Censoring(shrinkage_at_least=30), shrinkage=np.where(data.score == 1, 50.0, 0.0)
    )

    def estimate(tree) -> tuple[float, float]:
        slope = tree["posterior"]["slope"]
        return float(slope.mean()), float(slope.std())

    mean, sd = estimate(plain)
    # the ordinary analysis is right of those under observation, and wrong of all
    assert abs(mean - np.log(RATES[1] / RATES[0])) < norm.isf(0.0005) * sd
    assert abs(mean - truth) > 6 * sd
    known = Censoring(TRUE_FACTOR, imputations=12)
    mean, sd = estimate(fit_imputed(data, plain, known, model, seed=2, sampler=BRIEF, concerned=responders))
    assert abs(mean - truth) < norm.isf(0.0005) * sd


# --- errors and gate ----------------------------------------------------------------------------------


def test_errors_hold_the_variance_between_imputations():
    """Over many mixtures: the stated errors are the spread of what they are errors of."""
    rng = np.random.default_rng(6)
    m, chains, draws, between = 10, 2, 50, 0.5
    labels = np.repeat(np.arange(m), chains)
    medians, lowers, errors = [], [], []
    for _ in range(300):
        centre = rng.normal(0, between, m)[labels][:, None]
        x = centre + rng.normal(size=(m * chains, draws))
        medians.append(np.median(x))
        lowers.append(np.quantile(x, 0.025))
        errors.append(mixture_errors(x, labels, (0.025, 0.975)))
    # relative error of an SD of 300 values: 1/sqrt(600) = 4 %; of a mean of errors, less
    stated = {name: np.sqrt(np.mean([e[name] ** 2 for e in errors])) for name in ("mcse", "mcse_lower")}
    assert np.std(medians) == pytest.approx(stated["mcse"], rel=0.15)
    assert np.std(lowers) == pytest.approx(stated["mcse_lower"], rel=0.15)
    size = np.mean([e["ess_bulk"] for e in errors])
    expected = (1 + between**2) / (between**2 / m + 1 / (m * chains * draws))
    # the mean of 1/chi-square of 9 degrees of freedom is 9/7 of the inverse
    assert size == pytest.approx(expected * 9 / 7, rel=0.15)
    long = rng.normal(0, between, m)[labels][:, None] + rng.normal(size=(m * chains, 3000))
    assert array_stats.rhat(long) > 1.05  # imputations differ, the chains of one agree
    assert mixture_errors(long, labels, (0.025, 0.975))["rhat"] < 1.01


def pooled_fit(slope: np.ndarray, *, diverging=0) -> xr.DataTree:
    chains, draws = slope.shape
    rng = np.random.default_rng(0)
    coords = {"chain": np.arange(chains), "imputation": ("chain", np.repeat([1, 2], chains // 2))}
    stats = {
        "diverging": (("chain", "draw"), np.zeros((chains, draws), bool)),
        "energy": (("chain", "draw"), rng.normal(size=(chains, draws))),
    }
    stats["diverging"][1][-1, :diverging] = True
    groups = {
        "posterior": xr.Dataset({"slope": (("chain", "draw"), slope)}, coords),
        "sample_stats": xr.Dataset(stats, coords),
    }
    return xr.DataTree.from_dict(groups)


def test_the_gate_asks_each_imputation_and_the_worst_stands():
    rng = np.random.default_rng(1)
    slope = rng.normal(size=(8, 1000))
    apart = slope + np.repeat([0.0, 5.0], 4)[:, None]  # imputations may differ as they like
    tree = pooled_fit(apart)
    assert gate(tree).passed
    assert gate(tree, {"slope": tree["posterior"]["slope"]}).passed
    assert not gate(pooled_fit(apart, diverging=1)).passed
    stuck = apart.copy()
    stuck[6] += 1.0  # a chain of the second imputation disagrees with its own
    failed = gate(pooled_fit(stuck)).table.set_index("check")
    assert not failed.loc["R-hat", "passed"]
    assert failed.loc["R-hat", "where"].startswith("imputation 2: slope")
    assert failed.loc["divergences", "passed"]


def test_the_worst_of_several_gates_is_the_largest_or_smallest_by_check():
    rng = np.random.default_rng(2)
    good, bad = (gate(pooled_fit(rng.normal(size=(8, draws)))) for draws in (2000, 50))
    worst = worst_of({"a": good, "b": bad}).table.set_index("check")
    assert worst.loc["bulk ESS", "worst"] == bad.table.set_index("check").loc["bulk ESS", "worst"]
    assert worst.loc["bulk ESS", "where"].startswith("b: imputation")
    assert not worst.loc["bulk ESS", "passed"]
    unknown = good.table.assign(worst=np.nan, passed=False)
    assert not worst_of({"a": good, "b": replace(good, table=unknown)}).table["passed"].any()


def test_the_public_names_are_those_of_the_modules():
    assert bn.inference.fit_imputed is fit_imputed
    assert bn.Censoring is Censoring
