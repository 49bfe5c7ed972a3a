"""The tidy tables: whom each number is about, what is left out, and what the gate looks at."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from invented_fits import ARMS, draws, invented, patients

from bayes_net.assumptions.priors import Normal
from bayes_net.checks.gate import Gate, gate
from bayes_net.data.landmarks import Landmark
from bayes_net.data.terms import Covariate, Response, Shrinkage
from bayes_net.estimands.arms import arm_differences
from bayes_net.results.columns import HAZARD_RATIO_COLUMNS, hazard_ratio_columns
from bayes_net.results.curves import slope_densities
from bayes_net.results.fits import Fitted, Job, hazard_ratio_table, profile_label, reported_quantities
from bayes_net.results.patients import (
    diagnostics_table,
    gate_table,
    of_last,
    over_time_tables,
    primary,
    survival_quantities,
    survival_table,
)
from bayes_net.results.states import ALIKE, NOT_RANDOMISED, OWN, STANDARDISED, arm_difference_table

N = 400
LIMITS = {"times": [6.0, 24.0], "horizon": 12.0, "profiles": [0.0, 30.0], "ci_prob": 0.95}


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def job(landmark="150 d", *, measure=None, endpoint="pfs", arm=(0, 0, 0, 1, 1), arms=ARMS) -> Job:
    data = patients(
        [3, 9, 14, 20, 30][: len(arm)], [1, 1, 0, 1, 0][: len(arm)], arm=arm, measure=measure, arms=arms
    )
    months, limit = (0.0, np.inf) if landmark == "no limit" else (5.0, 5.0)
    return Job(endpoint, "pfs risk set", Landmark(landmark, months, limit), data.measure, data)


def fitted(rng, about: Job, *, slope=None, **more) -> Fitted:
    arms = about.data.arms
    slope = draws(rng, len(arms), chains=4, n=N, sd=0.1) if slope is None else slope
    follow_up = [about.data.time[about.data.arm == a].max(initial=0.0) for a in range(len(arms))]
    fit = invented(
        draws(rng, len(arms), 1, chains=4, n=N, mean=-3.2, sd=0.1),
        slope,
        arms=arms,
        measure=about.measure,
        last_follow_up=follow_up,
        **more,
    )
    return Fitted(about, fit, gate(fit, reported_quantities(fit)), {"elpd": -10.0})


def test_survival_is_drawn_once_for_gate_and_table(rng):
    f, asked = fitted(rng, job()), []
    limits = {name: LIMITS[name] for name in ("times", "horizon", "profiles")}
    survived = of_last(lambda fit: asked.append(fit) or survival_quantities(f.job, fit, **limits))
    again = replace(f, survival=survived(f.fit))
    assert survived(f.fit) is again.survival
    assert len(asked) == 1
    how = LIMITS | {"interval": "equal-tailed"}
    pd.testing.assert_frame_equal(survival_table([again], **how), survival_table([f], **how))
    other = fitted(rng, job())
    assert survived(other.fit) is not again.survival
    doubled = {name: 2 * x for name, x in again.survival.items()}
    assert not survival_table([replace(f, survival=doubled)], **how).equals(survival_table([f], **how))


def common(rng, about: Job) -> Fitted:
    one = draws(rng, chains=4, n=N, sd=0.1)
    result = fitted(rng, about, slope=np.stack([one, one], axis=-1))
    result.fit["posterior"]["common_slope"] = (("chain", "draw"), one)
    return result


def ratios(*fits, ci_prob=0.95):
    return hazard_ratio_table(fits, ci_prob=ci_prob, interval="equal-tailed")


def test_a_common_slope_has_no_interaction_to_report(rng):
    """It would be 1 by assumption, and look like a finding."""
    own, shared = fitted(rng, job()), common(rng, job())
    assert "interaction" in set(ratios(own)["estimand"])
    table = ratios(shared)
    assert set(table["estimand"]) == {"association"}
    assert table["hr"].nunique() == 2  # per 10 points and per point, the same in both arms
    assert "ratio of hazard ratios" not in reported_quantities(shared.fit)


def test_patients_and_events_are_of_the_arm_or_of_the_whole(rng):
    table = ratios(fitted(rng, job())).set_index(["measure", "estimand", "arm"])[["n", "events"]]
    per_10 = table.loc["shrinkage, per 10 points"]
    assert per_10.loc["association", "control"].tolist() == [3, 2]
    assert per_10.loc["association", "treated"].tolist() == [2, 1]
    assert per_10.loc["interaction", "treated"].tolist() == [5, 3]


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        (Shrinkage(), "at size unchanged"),
        (Shrinkage(20.0), "at 20 % smaller"),
        (Response(30.0), "without response, >= 30 %"),
    ],
)
def test_the_arms_hazard_ratio_says_at_which_shrinkage(rng, measure, said):
    effect = draws(rng, 1, chains=4, n=N, mean=-0.5, sd=0.1)
    own = fitted(rng, job(measure=measure), arm_effect=effect)
    table = ratios(own)
    row = table[table["estimand"] == "arm"].iloc[0]
    assert (row["measure"], row["arm"]) == (said, "treated")
    log_hazard = own.fit["posterior"]["log_hazard"].isel(interval=0)
    assert row["hr"] == pytest.approx(float(np.exp(log_hazard[..., 1] - log_hazard[..., 0]).median()))


def test_the_arms_hazard_ratio_says_which_covariates_it_depends_on(rng):
    about = job()
    terms = (Covariate("age", reference=60.0, arms=ARMS), Covariate("sex"), Covariate("grade", arms=ARMS))
    about = replace(about, data=replace(about.data, terms=terms))
    own = fitted(rng, about, arm_effect=draws(rng, 1, chains=4, n=N))
    table = ratios(own).set_index("estimand")
    assert table.loc["arm", "measure"] == "at size unchanged, age and grade at reference"


def test_covariates_are_named_in_the_place_of_the_arm(rng):
    effects = {"age": draws(rng, chains=4, n=N), "grade: G2": draws(rng, chains=4, n=N)}
    of = job()
    covariates = rng.standard_normal((of.data.n, 2))
    of = replace(of, data=replace(of.data, covariates=covariates, covariate_names=tuple(effects)))
    about = fitted(rng, of, covariates=effects)
    table = ratios(about)
    own = table[table["estimand"] == "covariate"]
    assert own["arm"].tolist() == ["age", "grade: G2"]
    assert "covariate hazard ratio" in reported_quantities(about.fit)


def test_one_arm_alone_has_associations_only(rng):
    table = ratios(fitted(rng, job(arm=(0, 0, 0), arms=("only",))))
    assert set(table["estimand"]) == {"association"}


def test_probabilities_are_of_the_stated_regions(rng):
    slope = draws(rng, 2, chains=4, n=N, sd=0.2)
    table = ratios(fitted(rng, job(), slope=slope))
    row = table[(table["arm"] == "treated") & (table["measure"] == "shrinkage, per 10 points")].iloc[0]
    hr = np.exp(slope[..., 1])
    assert row["prob_below_1"] == pytest.approx((hr < 1).mean())
    assert row["prob_below_0.8"] == pytest.approx((hr < 0.8).mean())
    assert row["prob_0.9_to_1.11"] == pytest.approx(((hr > 0.9) & (hr < 1.11)).mean())


def survival(*fits):
    return survival_table(fits, interval="equal-tailed", **LIMITS)


def test_an_arm_without_patients_at_a_landmark_has_no_survival(rng):
    gone = survival(fitted(rng, job(arm=(0, 0, 0))))
    assert set(gone["arm"]) == {"control"}
    assert set(survival(fitted(rng, job()))["arm"]) == set(ARMS)


def test_nothing_is_told_beyond_follow_up_but_medians_that_say_so(rng):
    table = survival(fitted(rng, job()))  # control is followed for 14 months, treated for 30
    times = table[table["quantity"] == "survival"].groupby("arm")["time"].apply(set)
    assert times.to_dict() == {"control": {6.0}, "treated": {6.0, 24.0}}
    medians = table[table["quantity"] == "median"].set_index(["arm", "profile"])
    assert medians.loc["control", "beyond_follow_up"].all()  # log 2 / exp(-3.2) = 17
    assert not medians.loc["treated", "beyond_follow_up"].any()
    late = survival_table([fitted(rng, job())], interval="hdi", **LIMITS | {"horizon": 20.0})
    assert set(late.loc[late["quantity"] == "rmst", "arm"]) == {"treated"}
    assert set(late["interval"]) == {"hdi"}


def test_the_gate_can_see_every_survival_that_is_reported(rng):
    wanted = {"times": [6.0, 24.0], "horizon": 12.0, "profiles": [0.0, 30.0]}
    about = fitted(rng, job())
    drawn = survival_quantities(about.job, about.fit, **wanted)
    assert {name: x.sizes["shrinkage"] for name, x in drawn.items()} == dict.fromkeys(
        ("survival", "rmst", "median"), 2
    )
    response = fitted(rng, job(measure=Response(30.0)))
    drawn = survival_quantities(response.job, response.fit, **wanted)
    assert drawn["median"]["shrinkage"].values.tolist() == [0.0, 30.0]  # without and with response


@pytest.mark.parametrize(
    ("measure", "points", "said"),
    [
        (Shrinkage(), 0.0, "size unchanged"),
        (Shrinkage(), 30.0, "30 % smaller"),
        (Shrinkage(), -12.5, "12.5 % larger"),
        (Response(30.0), 30.0, ">= 30 % smaller"),
        (Response(30.0), 0.0, "< 30 % smaller"),
    ],
)
def test_profiles_are_said_in_words(measure, points, said):
    assert profile_label(measure, points) == said


def test_true_landmarks_come_before_no_limit_among_the_primary_fits(rng):
    fits = [
        fitted(rng, job("no limit")),
        fitted(rng, job("150 d", measure=Response(30.0))),
        fitted(rng, job("150 d")),
        fitted(rng, job("150 d", endpoint="os")),
    ]
    assert [f.job.landmark.label for f in primary(fits)] == ["150 d", "no limit"]
    assert [f.job.endpoint for f in primary(fits, "os")] == ["os"]


def test_one_failed_check_marks_its_own_fit_and_no_other(rng):
    good, bad = fitted(rng, job("150 d")), fitted(rng, job("36 w"))
    table = bad.gate.table.assign(passed=[False, True, True, True, True])
    bad = Fitted(bad.job, bad.fit, Gate(table), bad.loo)
    rows = ratios(good, bad)
    assert rows.groupby("landmark")["gate"].unique().map(list).to_dict() == {
        "150 d": ["passed"],
        "36 w": ["failed"],
    }
    assert diagnostics_table([good, bad])["gate"].tolist() == ["passed", "FAILED"]
    every = gate_table([good, bad])
    assert every["fit"].tolist() == ["PFS, shrinkage, 150 d"] * 5 + ["PFS, shrinkage, 36 w"] * 5
    assert every["passed"].sum() == 9


def test_tables_of_hazard_ratios_have_one_set_of_columns(rng):
    """Pinned: whoever reads hazard_ratios.csv relies on them."""
    names = (
        "endpoint population study measure estimand landmark arm status biased n events hr lower upper level"
    )
    names += " interval log_mean log_sd prior_sd contraction prob_below_1 prob_below_0.8 prob_0.9_to_1.11"
    names += " mcse_hr mcse_lower mcse_upper ess_bulk ess_tail rhat gate"
    assert list(HAZARD_RATIO_COLUMNS) == names.split()
    assert list(ratios(fitted(rng, job()))) == names.split()
    found = hazard_ratio_columns(pd.DataFrame({"hr": [0.5], "row": ["N1"]}), more=["row"])
    assert list(found) == [*HAZARD_RATIO_COLUMNS, "row"]
    [row] = found.to_dict("records")
    assert (row["hr"], row["row"], row["study"], row["gate"], row["biased"]) == (0.5, "N1", "", "", False)
    assert np.isnan([row["n"], row["contraction"], row["log_sd"]]).all()


def test_hazard_ratios_over_time_are_tabulated_with_their_months_and_events(rng):
    data = patients([3, 9, 14, 20, 30], [1, 1, 0, 1, 0], arm=[0, 0, 0, 1, 1], cuts=(6.0, 18.0))
    about = Job("pfs", "pfs risk set", Landmark("150 d", 5.0, 5.0), data.measure, data)
    slope = draws(rng, 2, 3, chains=4, n=N, sd=0.1)
    fit = invented(
        draws(rng, 2, 3, chains=4, n=N, mean=-3.2, sd=0.1), slope.mean(axis=-1), cuts=(6.0, 18.0),
        slope_by_interval=slope, last_follow_up=[14.0, 30.0],
    )  # fmt: skip
    known = reported_quantities(fit)
    found = Fitted(about, fit, gate(fit, known), {})
    assert "log hazard ratio by time" in known
    [(name, table)] = over_time_tables([found, fitted(rng, job())], ci_prob=0.9, interval="equal-tailed")
    assert name == "hazard_ratio_by_time"
    assert table[["arm", "start", "end", "events"]].values.tolist() == [
        ["control", 0, 6, 1],
        ["control", 6, 14, 1],
        ["treated", 0, 6, 0],
        ["treated", 6, 18, 0],
        ["treated", 18, 30, 1],
    ]
    medians = np.median(np.exp(slope), axis=(0, 1))
    np.testing.assert_allclose(table["hr"], [*medians[0, :2], *medians[1]])
    np.testing.assert_allclose(table["upper"].iloc[4], np.quantile(np.exp(slope[..., 1, 2]), 0.95))
    [(_, table)] = over_time_tables([fitted(rng, job())], ci_prob=0.9, interval="equal-tailed")
    assert table.empty


def test_densities_are_those_of_the_draws_and_of_the_prior(rng):
    """On one grid: the posterior has the draws' median and all of its weight, the prior its own density."""
    slope = draws(rng, 2, chains=4, n=N, mean=np.array([-0.5, 0.1]), sd=0.1)
    fits = [fitted(rng, job(), slope=slope), fitted(rng, job("no limit"), slope=slope - 0.2)]
    prior = Normal(0.0, 0.35)
    table = slope_densities(fits, prior)
    assert table.groupby(["landmark", "arm"], sort=False).ngroups == 4
    assert len(set(table.groupby(["landmark", "arm"])["hr"].agg(tuple))) == 1
    for (landmark, arm), own in table.groupby(["landmark", "arm"]):
        logs = np.log(own["hr"].to_numpy())
        share = own["posterior"].to_numpy() * np.diff(logs)[0]
        assert share.sum() == pytest.approx(1, abs=0.01)
        centre = {"control": -0.5, "treated": 0.1}[arm] - 0.2 * (landmark == "no limit")
        assert (share * logs).sum() == pytest.approx(centre, abs=0.02)
        np.testing.assert_allclose(own["prior"], np.exp(prior.logpdf(logs)))
        assert own["biased"].eq(landmark == "no limit").all()
    assert table["hr"].min() < np.exp(-0.8)  # far enough to see the prior
    bad = Gate(fits[0].gate.table.assign(passed=False))
    failed = slope_densities([replace(fits[0], gate=bad)], prior)
    assert set(failed["gate"]) == {"failed"}


COMPARED = {"times": [6.0], "horizon": 12.0, "ci_prob": 0.95, "interval": "equal-tailed"}


def graded(rng, grade, landmark="150 d", n=60):
    """A fit with a covariate, of which every second patient is of the later arm."""
    about = job(landmark)
    data = patients(
        rng.exponential(20, n) + 12,
        np.ones(n),
        arm=np.arange(n) % 2,
        score=rng.normal(2, 1, n),
        covariates=grade[:, None],
        names=("grade",),
    )
    effect = {"grade": draws(rng, chains=4, n=N, sd=0.1, mean=1.0)}
    return fitted(rng, replace(about, data=data), covariates=effect)


@pytest.mark.parametrize(
    ("over", "said"),
    {"own shrinkage": STANDARDISED, "same shrinkage": ALIKE, "own patients": OWN}.items(),
)
def test_arms_are_compared_over_whom_it_is_asked(rng, over, said):
    one = graded(rng, (rng.random(60) < np.where(np.arange(60) % 2, 0.7, 0.3)).astype(float))
    table = arm_difference_table([one], over=over, **COMPARED).set_index("quantity")
    found = arm_differences(one.fit, one.job.data, [6.0], horizon=12.0, over=over, seed=1)
    for quantity in ("survival", "rmst"):
        row = table.loc[quantity]
        assert (row["averaged_over"], row["note"]) == (said, NOT_RANDOMISED)
        for column, name in (("estimate", ""), ("of_arm", "_later"), ("of_against", "_first")):
            assert row[column] == pytest.approx(float(found[quantity + name].median()), rel=1e-9)
        assert row["of_arm_lower"] < row["of_arm"] < row["of_arm_upper"]
        assert row["n_arm"] == pytest.approx(found["n_later"].item())


def test_arms_without_like_patients_are_compared_as_they_are_and_it_is_said(rng):
    apart = graded(rng, (np.arange(60) % 2).astype(float))
    table = arm_difference_table([apart], **COMPARED)
    assert set(table["averaged_over"]) == {OWN}
    by_own = arm_difference_table([apart], over="own patients", **COMPARED)
    pd.testing.assert_frame_equal(table, by_own)


def test_what_conditions_on_the_future_is_no_randomised_comparison_either(rng):
    table = arm_difference_table([fitted(rng, job("no limit"))], **COMPARED)
    assert set(table["note"]) == {NOT_RANDOMISED}
    at_zero = replace(job(), landmark=Landmark("0 d", 0.0, 0.0))
    assert set(arm_difference_table([fitted(rng, at_zero)], **COMPARED)["note"]) == {""}
