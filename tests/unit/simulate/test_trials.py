"""Virtual trials: estimates are Cox's, and the association that is put in comes back, or none."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from scipy.stats import norm
from test_simulate import cox_slope

from bayes_net.data.cohort import read_cohort
from bayes_net.data.landmarks import landmark
from bayes_net.errors import CohortWarning
from bayes_net.simulate.trials import (
    AT,
    LABELS,
    NAMES,
    PRIORS,
    cox,
    draw,
    odds_ratio,
    parameters,
    risk_sets,
    summary,
    survival,
)

TRIALS, PATIENTS = 400, 117


def z_for(comparisons):
    """The normal quantile that one run in a thousand exceeds somewhere among the comparisons."""
    return norm.ppf(1 - 0.001 / (2 * comparisons))


def several(trials=TRIALS, **values):
    """The parameters of as many trials: medians of the priors but for ``values``."""
    return {
        name: np.full((trials, 1), value)
        for name, value in ({name: prior.quantile(0.0) for name, prior in PRIORS.items()} | values).items()
    }


EXACTLY = {"precision": 1e-12, "r_precision": 1e-15}
SEEN_AT_ONCE = {
    "months": 0.05,
    "months_spread": 0.0,
    "growth": 0.0,
    "noise": 0.0,
    "prompt": 1.0,
    "death": 1e-9,
}
"""Every scan shows the final depth, and progression when it happens: proportional hazards at every landmark,
and no guarantee-time bias."""


def of(trials, quantity):
    return summary(trials)[..., NAMES.index(quantity)]


def mean_z(values, truth):
    """Monte-Carlo errors between the mean over trials, the first axis, and the truth."""
    n = (~np.isnan(values)).sum(0)
    return (np.nanmean(values, axis=0) - truth) / (np.nanstd(values, axis=0, ddof=1) / np.sqrt(n))


@pytest.fixture(scope="module")
def unrelated():
    return draw(several(slope=0.0), PATIENTS, np.random.default_rng(1))


def test_priors_hold_95_percent_between_their_limits():
    for prior in PRIORS.values():
        limits = prior.quantile(np.array([norm.ppf(0.025), norm.ppf(0.975)]))
        assert np.allclose(limits, [prior.lower, prior.upper])
    z = np.random.default_rng(1).standard_normal((3, len(PRIORS)))
    assert {values.shape for values in parameters(z).values()} == {(3, 1)}


def test_estimates_are_those_of_lifelines():
    trials = draw(several(3), PATIENTS, np.random.default_rng(2))
    best, entered = risk_sets(trials)
    found = summary(trials)
    for i, (start, label) in enumerate(zip(AT, LABELS, strict=True)):
        for trial in range(3):
            rows = entered[i, trial]
            time, event = trials.pfs[trial] - start, trials.event[trial]
            table = pd.DataFrame({"x": best[i, trial] / 10, "time": time, "event": event})[rows]
            fitted = CoxPHFitter().fit(table, "time", "event", fit_options=EXACTLY)
            expected = [fitted.params_["x"], fitted.standard_errors_["x"], rows.sum()]
            assert np.allclose(found[trial, i, :3], expected, rtol=1e-5), label


def test_ties_are_breslows():
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {"shrinkage": rng.normal(5, 10, 90), "time": rng.integers(1, 9, 90), "event": rng.random(90) < 0.7}
    )
    expected, error = cox_slope(table)
    beta, information = cox(*(table[name].to_numpy()[None] for name in table), np.ones((1, 90), bool))
    assert np.allclose([beta[0], information[0] ** -0.5], [expected, error], rtol=1e-7)


def test_information_at_a_slope_is_the_curvature_there(unrelated):
    few = unrelated.some(np.arange(TRIALS) < 4)
    best, entered = risk_sets(few)
    beta, information = cox(best, few.pfs, few.event, entered)
    again = [cox(best, few.pfs, few.event, entered, at=value)[1] for value in beta.ravel()]
    assert np.allclose([found.ravel()[i] for i, found in enumerate(again)], information.ravel(), rtol=1e-6)


def test_a_risk_set_that_only_one_order_fits_has_no_estimate():
    time, best = np.arange(1.0, 7)[None], np.arange(6.0)[None]
    beta, information = cox(best * 10, time, np.ones((1, 6), bool), np.ones((1, 6), bool))
    assert np.isnan(beta).all()
    assert np.isnan(information).all()


def test_survival_is_kaplan_meiers(unrelated):
    members = unrelated.depth > 5
    found = survival(unrelated.pfs, unrelated.event, 12.0, members)
    for trial in range(3):
        chosen = members[trial]
        curve = KaplanMeierFitter().fit(unrelated.pfs[trial, chosen], unrelated.event[trial, chosen])
        assert np.isclose(found[trial], curve.predict(12.0))


def test_the_odds_ratio_is_that_of_the_table():
    early = np.array([[9.0, 8, 7, 6, 1, 2, 3, 4, np.nan, 50]])
    late = np.array([[9.0, 8, 7, 1, 6, 2, 3, 4, 50, np.nan]])
    # of eight with both, four are to respond early, and late the same but for one
    assert np.isclose(odds_ratio(early, late, (0.5, 0.5))[0], np.log(3.5 * 3.5 / (1.5 * 1.5)))


def test_without_association_landmarks_show_none_and_no_limit_does(unrelated):
    z = mean_z(of(unrelated, "estimate"), 0.0)
    assert (np.abs(z[:-1]) < z_for(6)).all()
    assert z[-1] < -z_for(6)


@pytest.mark.parametrize("slope", [-0.3, 0.2])
def test_a_slope_that_all_landmarks_see_comes_back(slope):
    trials = draw(several(100, slope=slope, **SEEN_AT_ONCE), 1000, np.random.default_rng(5))
    assert (np.abs(mean_z(of(trials, "estimate"), slope)) < z_for(12)).all()
    assert np.allclose(of(trials, "tracking"), 1, atol=1e-6)


def test_progression_is_seen_at_a_scan_unless_prompt():
    trials = draw(
        several(20, prompt=0.0, death=1e-9, leaving=1e-9, unscanned=0.0), 50, np.random.default_rng(6)
    )
    at_scan = (trials.at == trials.pfs[..., None]).any(-1)
    assert (at_scan == trials.event).all()
    prompt = draw(several(20, prompt=1.0), 50, np.random.default_rng(6))
    assert not (prompt.at == prompt.pfs[..., None]).any()


def test_best_shrinkage_is_never_that_of_regrown_targets_nor_of_later_scans(unrelated):
    after = unrelated.at > unrelated.pfs[..., None]
    assert (unrelated.reading[after] == -np.inf).all()
    assert not unrelated.clear[after].any()
    best, entered = risk_sets(unrelated)
    assert (np.diff(best[:-1], axis=0)[entered[:-2]] >= 0).all()
    assert ((best[entered] > -20) & (best[entered] < 100)).all()
    grown = draw(several(20, new_lesions=0.0), 50, np.random.default_rng(7))
    seen = grown.at == grown.pfs[..., None]
    assert seen.any()
    assert (grown.reading[seen] == -np.inf).all()


def test_risk_sets_are_those_of_landmarking():
    trials = draw(several(1), PATIENTS, np.random.default_rng(8))
    months = trials.at
    patient, visit = np.nonzero(((trials.reading > -np.inf) | (months == trials.pfs[..., None]))[0])
    clear, reading = trials.clear[0, patient, visit], trials.reading[0, patient, visit]
    scans = pd.DataFrame(
        {
            "patient": patient,
            "time": months[0, patient, visit],
            "pchg": np.where(np.isinf(reading), 25.0, -reading),
            "response": np.where(clear, "SD", "PD"),
        }
    )
    baseline = pd.DataFrame({"patient": range(PATIENTS), "time": 0.0, "pchg": 0.0, "response": "SD"})
    patients = pd.DataFrame({"pfs_time": trials.pfs[0], "pfs_event": trials.event[0].astype(int), "arm": "a"})
    with pytest.warns(CohortWarning):
        cohort = read_cohort(
            patients.rename_axis("patient").reset_index(), pd.concat([baseline, scans]), time_unit="months"
        )
    sets = landmark(cohort, list(LABELS))
    best, entered = risk_sets(trials)
    for i, each in enumerate(sets.landmarks):
        rows = sets.at(each.label).astype({"patient": int}).sort_values("patient")
        assert rows["patient"].tolist() == np.flatnonzero(entered[i, 0]).tolist()
        assert np.allclose(rows["shrinkage"], best[i, 0, entered[i, 0]])
        assert np.allclose(rows["time"], trials.pfs[0, entered[i, 0]] - AT[i])
