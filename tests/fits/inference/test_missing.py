"""Missing covariates: truth is found again from a generator that is no model of the package, and draws pool
by Rubin's rules."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import binom, t
from small_trial import tables, written

import bayes_net as bn
import bayes_net.engine.imputation as imputation
import bayes_net.inference.missing as missing
from bayes_net.data.cohort import read_cohort
from bayes_net.data.exposure import Exposure, expose
from bayes_net.data.landmarks import landmark
from bayes_net.data.terms import Covariate
from bayes_net.errors import CohortError, CohortWarning, InputError
from bayes_net.inference.missing import (
    Imputation,
    expose_imputed,
    fit_completed,
    impute_covariates,
    nelson_aalen,
)
from bayes_net.inference.patients import fit
from bayes_net.inference.sampling import Sampler
from bayes_net.results.states import arm_difference_table
from bayes_net.schema import COVARIATE_EFFECT, IMPUTATION

LEVELS = Covariate("x", levels=("0", "1", "2"))
NUMBER = Covariate("x")
SLOPE, TRUTH = -0.2, {NUMBER: [0.5], LEVELS: [0.5, 0.9]}
QUICK = Sampler(draws=400, tune=300, chains=2, target_accept=0.9)


def simulated(rng, term, n=300):
    """A trial with Weibull times, in which x is known of half, rarely after an event or little shrinkage."""
    arm, s = rng.integers(0, 2, n), rng.normal(2, 2, n)
    if term.levels:
        odds = np.exp(np.column_stack([np.zeros(n), 0.2 + 0.15 * (s - 2), -0.3 - 0.2 * (s - 2)]))
        x = (odds.cumsum(1) / odds.sum(1)[:, None] < rng.random(n)[:, None]).sum(1)
        effect = np.array([0.0, *TRUTH[term]])[x]
    else:
        x = rng.normal(0, 1, n) + 0.3 * (s - 2)
        effect = TRUTH[term][0] * x
    event_time = 12 * (rng.exponential(size=n) * np.exp(0.2 * (s - 2) - effect + 0.3 * arm)) ** (1 / 1.3)
    end = rng.uniform(6, 36, n)
    event, time = (event_time <= end) * 1.0, np.minimum(event_time, end)
    lacks = rng.random(n) < 1 / (1 + np.exp(0.6 - 1.2 * (2 * event - 1) + 0.5 * (s - 2)))
    column = pd.Series(x.astype(str) if term.levels else x.astype(float)).mask(lacks)
    data = Exposure(
        time=time,
        event=event,
        arm=arm,
        score=s,
        covariates=np.empty((n, 0)),
        cuts=np.array([]),
        arms=("a", "b"),
    )
    return data, pd.DataFrame({"x": column})


def cox(time, event, x):
    """Coefficients and their variances by Newton steps on Breslow's partial likelihood, without ties."""
    order = np.argsort(-time)
    d, x, b = event[order], x[order], np.zeros(x.shape[1])
    for _ in range(7):
        w = np.exp(x @ b)
        total, first = np.cumsum(w), np.cumsum(w[:, None] * x, 0)
        second = np.cumsum(w[:, None, None] * x[:, :, None] * x[:, None, :], 0)
        mean = first / total[:, None]
        spread = second / total[:, None, None] - mean[:, :, None] * mean[:, None, :]
        information = (d[:, None, None] * spread).sum(0)
        b = b + np.linalg.solve(information, (d[:, None] * (x - mean)).sum(0))
    return b, np.diag(np.linalg.inv(information))


def studied(term, *, numbers="matching", trials=100, imputations=5):
    """Errors of slope and covariate's log hazard ratios, whether 95 % intervals hold the truth, and
    the errors of complete cases, one row a trial."""
    rng, truth, found = np.random.default_rng(7), np.array([SLOPE, *TRUTH[term]]), []
    k = len(truth)
    for seed in range(trials):
        data, table = simulated(rng, term)
        how = Imputation(imputations, numbers)
        completed = impute_covariates(table, data, [term], how, seed=seed)
        design = [np.column_stack([data.score, term.values(own), data.arm]) for own in completed]
        fits = [cox(data.time, data.event, x) for x in design]
        each, within = np.array([b for b, _ in fits]), np.mean([v for _, v in fits], axis=0)
        between = (1 + 1 / imputations) * each.var(axis=0, ddof=1)
        reach = t.ppf(0.975, (imputations - 1) * (1 + within / between) ** 2) * np.sqrt(within + between)
        error, ok = each.mean(axis=0)[:k] - truth, table["x"].notna().to_numpy()
        whole, _ = cox(data.time[ok], data.event[ok], design[0][ok])
        found.append((error, np.abs(error) < reach[:k], whole[:k] - truth))
    return [np.array(part) for part in zip(*found, strict=True)]


@pytest.mark.parametrize(
    ("term", "numbers"), [(NUMBER, "matching"), (NUMBER, "normal"), (LEVELS, "matching")], ids=str
)
def test_imputed_hazard_ratios_cover_the_truth_and_complete_cases_are_biased(term, numbers):
    error, covered, complete = studied(term, numbers=numbers)
    # at most 2 points less than 95 %, for the imputation model is an approximation; binomial bound
    assert (covered.sum(axis=0) >= binom.ppf(0.001, len(covered), 0.93)).all(), covered.mean(axis=0)
    # the approximation draws hazard ratios a little to 1: under a tenth and a bit of the truth
    truth = np.array([SLOPE, *TRUTH[term]])
    assert (np.abs(error.mean(axis=0)) < 0.13 * np.abs(truth)).all(), error.mean(axis=0)
    far = np.abs(complete.mean(axis=0)) / (complete.std(axis=0) / np.sqrt(len(complete)))
    assert far.max() > 5
    assert np.abs(complete.mean(axis=0))[0] > 2 * np.abs(error.mean(axis=0))[0]


def test_without_the_outcome_among_the_predictors_hazard_ratios_shrink(monkeypatch):
    monkeypatch.setattr(missing, "_predictors", lambda data, *, by_arm: data.score[:, None])
    monkeypatch.setattr(missing, "COMPATIBLE", 0)
    error, covered, _ = studied(NUMBER, trials=40)
    assert error.mean(axis=0)[1] < -0.13 * TRUTH[NUMBER][0]
    assert covered.mean(axis=0)[1] < 0.85


def test_the_cumulative_hazard_is_of_the_arm_at_the_end_of_follow_up():
    data, _ = simulated(np.random.default_rng(1), NUMBER, n=5)
    time, event = np.array([1.0, 2.0, 2.0, 3.0, 9.0]), np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    own = bn.data.Exposure(**{**vars(data), "time": time, "event": event, "arm": np.array([0, 0, 0, 0, 1])})
    np.testing.assert_allclose(nelson_aalen(own), [1 / 4, 7 / 12, 7 / 12, 19 / 12, 1], rtol=1e-12)


def test_hazards_are_drawn_around_those_of_a_regression():
    """With one interval a draw has the mean and covariance of exponential regression with a weak prior."""
    rng = np.random.default_rng(9)
    data, _ = simulated(rng, NUMBER, n=400)
    columns = np.column_stack([data.score, rng.normal(3, 1, 400)])
    follow_up = imputation.FollowUp(data.event, data.interval, data.months, data.stratum)
    drawn = [imputation.drawn_hazards(follow_up, columns, rng) for _ in range(400)]
    log_hr = np.array([own.log_hr for own in drawn])
    hazards = np.exp(columns @ log_hr.mean(axis=0))
    for a in (0, 1):
        own = data.arm == a
        rates = [each.cumulative[own][0] / data.time[own][0] for each in drawn]
        middle = np.exp(drawn[0].middle @ log_hr.mean(axis=0))
        expected = data.event[own].sum() / (data.time * hazards)[own].sum() * middle
        assert np.mean(rates) == pytest.approx(expected, rel=0.05)
    exact = np.column_stack([columns, np.eye(2)[data.arm]])
    b = np.array([0.0, 0.0, -3.0, -3.0])
    for _ in range(30):
        h = data.time * np.exp(exact @ b)
        information = (exact * h[:, None]).T @ exact
        b = b + np.linalg.solve(information, exact.T @ (data.event - h))
    error = np.sqrt(np.diag(np.linalg.inv(information)))[:2]
    np.testing.assert_array_less(np.abs(log_hr.mean(axis=0) - b[:2]), 4 * error / np.sqrt(400) + 0.02 * error)
    np.testing.assert_allclose(log_hr.std(axis=0), error, rtol=4 / np.sqrt(800))


def test_a_candidate_has_the_likelihood_of_its_hazard():
    hazards = imputation.Hazards(np.array([0.7]), np.array([1.0]), np.array([0.2, 0.9]))
    found = hazards.log_likelihood(np.array([1.0, 0.0]), np.array([0, 1]), np.array([[[1.0], [2.0]]] * 2))
    first = found[0, 1] - found[0, 0]
    assert first == pytest.approx(0.7 - 0.2 * (np.exp(0.7) - 1))
    assert found[1, 1] - found[1, 0] == pytest.approx(-0.9 * (np.exp(0.7) - 1))


def test_known_values_stay_and_a_seed_repeats_its_draws():
    data, table = simulated(np.random.default_rng(3), NUMBER)
    first, second, other = (
        impute_covariates(table, data, [NUMBER], Imputation(3), seed=seed) for seed in (1, 1, 2)
    )
    known = table["x"].notna()
    for own, again in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(own, again)
        pd.testing.assert_series_equal(own["x"][known], table["x"][known])
        assert own["x"].isin(table["x"][known]).all()  # matching lends what occurs
    assert not first[0].equals(first[1])
    assert not first[0].equals(other[0])


def trial(*, age=0.3, grade=0.2):
    patients, scans = tables()
    rng = np.random.default_rng(1)
    patients["age"] = pd.Series(rng.normal(60, 9, len(patients)).round(1)).mask(
        rng.random(len(patients)) < age
    )
    patients["grade"] = patients["grade"].mask(rng.random(len(patients)) < grade)
    return patients, scans


def landmarks_of(both):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        cohort = read_cohort(
            *both,
            time_unit="days",
            size_unit="mm",
            covariates=["age", "grade"],
            missing_covariates="keep",
        )
    return landmark(cohort, ["120d"])


TERMS = [
    Covariate("age", 60, 10, knots=3),
    Covariate("grade", levels=("G1", "G2"), arms=("control", "treated")),
]
HOW = {"cuts": [4.0, 9.0], "covariates": TERMS}


def test_several_covariates_are_completed_before_splines_and_interactions():
    completed = expose_imputed(landmarks_of(trial()), "120 d", seed=2, how=Imputation(3), **HOW)
    assert len(completed) == 3
    for own in completed:
        assert np.isfinite(own.covariates).all()
        grade = own.covariates[:, -2:]
        assert set(np.unique(grade)) == {0.0, 1.0}
        assert (grade[np.arange(own.n), 1 - own.arm] == 0).all()
        # a spline is a function of one number: as many rows as there are ages
        ages = landmarks_of(trial()).at("120 d")["age"].dropna()
        assert len(np.unique(own.covariates[:, :2].round(9), axis=0)) <= ages.nunique()


def test_with_nothing_missing_exposure_and_fit_are_the_ordinary_ones():
    chosen = landmarks_of(trial(age=0, grade=0))
    (own,) = expose_imputed(chosen, "120 d", seed=2, **HOW)
    ordinary = expose(chosen, "120 d", **HOW)
    np.testing.assert_array_equal(own.covariates, ordinary.covariates)
    quick = Sampler(draws=100, tune=100, chains=2)
    same = fit_completed([own], seed=3, sampler=quick)["posterior"].to_dataset()
    assert same.equals(fit(ordinary, seed=3, sampler=quick)["posterior"].to_dataset())


def test_draws_are_pooled_by_rubins_rules():
    terms = [Covariate("age", 60, 10), Covariate("grade", levels=("G1", "G2"))]
    completed = expose_imputed(
        landmarks_of(trial()), "120 d", seed=2, how=Imputation(6), cuts=[4.0, 9.0], covariates=terms
    )
    tree = fit_completed(completed, seed=3, sampler=QUICK)
    assert "log_likelihood" not in tree.children
    draws = tree["posterior"][COVARIATE_EFFECT]
    own = [fit(each, seed=9, sampler=QUICK, brief=True)["posterior"][COVARIATE_EFFECT] for each in completed]
    means = np.array([x.mean(("chain", "draw")) for x in own])
    within = np.mean([x.var(("chain", "draw"), ddof=1) for x in own], axis=0)
    assert (means.std(axis=0, ddof=1) > 0.1 * np.sqrt(within)).all()  # imputations differ
    per_imputation = draws.groupby(IMPUTATION).mean(("chain", "draw")).transpose(IMPUTATION, ...).values
    # means are moved apart, so that six imputations have the variance of many
    moved = means.mean(axis=0) + (means - means.mean(axis=0)) * np.sqrt(7 / 5)
    # 6 x 2 means of 800 draws each in either sampling, of which every third is worth one
    assert np.abs(per_imputation - moved).max() < 4 * np.sqrt(2 * within.max() * 3 / 800)
    total = within + (1 + 1 / 6) * means.var(axis=0, ddof=1)
    np.testing.assert_allclose(draws.var(("chain", "draw")), total, rtol=0.15)
    b, w = bn.estimands.summary.imputation_variances(draws)[::-1]
    np.testing.assert_allclose(w, within, rtol=0.15)
    np.testing.assert_allclose(b * 5 / 7 + w, within + means.var(axis=0, ddof=1), rtol=0.15)


def test_widened_draws_have_the_variance_of_rubins_rules_and_move_log_hazards_together():
    rng, count = np.random.default_rng(8), 4
    number = np.repeat(np.arange(count), 2)
    effect = rng.normal(size=count)[number, None] + rng.normal(size=(8, 50))
    posterior = xr.Dataset(
        {"log_hr_covariate": (("chain", "draw"), effect), "log_hazard": (("chain", "draw"), 1 - 2 * effect)},
        {"imputation": ("chain", number)},
    ).assign(step_sd=(("chain", "draw"), np.exp(effect)))
    found = missing.widened(posterior)
    each = effect.reshape(count, -1)
    expected = each.var(axis=1).mean() + (1 + 1 / count) * each.mean(axis=1).var(ddof=1)
    assert float(found["log_hr_covariate"].var()) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(found["log_hazard"], 1 - 2 * found["log_hr_covariate"], rtol=1e-12)
    xr.testing.assert_equal(found["step_sd"], posterior["step_sd"])


def test_a_cohort_with_missing_covariates_is_refused_with_the_key_that_imputes_them():
    both = trial()
    with pytest.raises(CohortError, match=r"missing values of age.*\[missing\]"):
        read_cohort(*both, time_unit="days", size_unit="mm", covariates=["age"])
    with pytest.raises(InputError, match="'age' is missing of"):
        expose(landmarks_of(both), "120 d", cuts=[], covariates=TERMS[:1])
    few = both[0].assign(age=both[0]["age"].where(np.arange(len(both[0])) < 6))
    with pytest.raises(InputError, match="landmark '120 d': covariate 'age' is known of"):
        expose_imputed(landmarks_of((few, both[1])), "120 d", seed=1, **HOW)


RUN = {
    "landmarks": {"times": ["100d", "120d"], "thresholds": None},
    "covariates": [
        {"name": "grade", "levels": ["G1", "G2"]},
        {"name": "age", "reference": 60.0, "scale": 10.0},
    ],
    "sampling": {"seed": 5, "draws": 100, "tune": 100, "chains": 2, "retry": False},
    "missing": {"imputations": 3},
}


def test_a_run_tells_what_is_missing_and_compares_arms_over_completed_patients(tmp_path):
    prepared = bn.prepare(bn.read_specification(written(tmp_path, trial=trial(), **RUN)))
    assert {job.landmark.label for job in prepared.jobs} == {"100 d", "120 d"}  # none of all follow-up
    found = bn.analyse(prepared)
    rows = found.tables["missing"].set_index(["landmark", "covariate", "arm"])
    at = prepared.sets["pfs", False].at("120 d")
    lacks = at["age"].isna() & (at["arm"] == "treated")
    assert rows.loc[("120 d", "age", "treated"), "missing"] == lacks.sum() > 0
    unknown = found.tables["missing_information"].query("landmark == '120 d' and arm == 'age'")
    assert 0.02 < float(unknown["missing_information"].iloc[0]) < 0.95
    assert {"loo", "influence", "power_scaling", "predictive_check"}.isdisjoint(found.tables)
    one = found.fits[-1]
    how = {"times": [6.0], "horizon": 12.0, "ci_prob": 0.95, "interval": "equal-tailed"}
    (by_own,) = arm_difference_table([one], **how).query("quantity == 'survival'")["estimate"]
    parts = [tree for tree, _ in missing_parts(one)]
    each = [
        float(bn.estimands.arms.arm_differences(tree, data, [6.0], horizon=12.0)["survival"].median())
        for tree, data in zip(parts, one.job.completed, strict=True)
    ]
    assert min(each) <= by_own <= max(each)


def missing_parts(fitted):
    from bayes_net.checks.gate import by_imputation

    return by_imputation(fitted.fit, {}).values()


def test_a_run_without_missing_values_is_the_ordinary_one_to_the_digit(tmp_path):
    whole = trial(age=0, grade=0)
    ratios = [
        bn.analyse(
            bn.prepare(
                bn.read_specification(written(tmp_path / name, trial=whole, **(RUN | {"missing": section})))
            )
        ).tables["hazard_ratios"]
        for name, section in (("with", {"imputations": 3}), ("without", None))
    ]
    pd.testing.assert_frame_equal(*ratios)


MICE = {  # R 4.2.2, mice 3.15.0, survival 3.5-3: m = 2000, maxit = 1, seed = 1, all but time as predictors;
    # coxph(Surv(time, d) ~ s + x, ties = "breslow"): mean, variance within and variance between, of s and x
    "normal": [(-0.2043708, 0.394111), (0.001977986, 0.005759956), (0.001370523, 0.00572554)],
    "matching": [(-0.1677088, 0.3572315), (0.001769396, 0.006211006), (0.0007236855, 0.004648018)],
}


@pytest.mark.parametrize("numbers", MICE)
def test_pooled_results_are_those_of_mice(numbers, monkeypatch):
    """Of the same patients and predictors: x, s, s * H, d, H and arm, H by ``nelson_aalen``. Both have an
    error of imputing so many times. In mice all donors are there in every imputation, and the outcome is a
    predictor only."""
    monkeypatch.setattr(imputation, "donors", lambda n, rng: np.arange(n))
    monkeypatch.setattr(missing, "COMPATIBLE", 0)
    data, table = simulated(np.random.default_rng(12), NUMBER)
    completed = impute_covariates(table, data, [NUMBER], Imputation(400, numbers), seed=1)
    fits = [cox(data.time, data.event, np.column_stack([data.score, own["x"]])) for own in completed]
    estimates, variances = (np.array(each) for each in zip(*fits, strict=True))
    mean, within, between = (np.array(each) for each in MICE[numbers])
    error = np.sqrt(between * (1 / 400 + 1 / 2000))
    np.testing.assert_array_less(np.abs(estimates.mean(axis=0) - mean), 4 * error)
    np.testing.assert_allclose(variances.mean(axis=0), within, rtol=0.03)
    # four standard errors of the ratio of two variances
    spread = 4 * np.sqrt(2 / 400 + 2 / 2000)
    np.testing.assert_allclose(estimates.var(axis=0, ddof=1), between, rtol=spread)
