"""Survival of events between two assessments: Turnbull's estimate."""

from dataclasses import replace

import numpy as np
import pytest
from exposures import patients
from invented_fits import invented

from bayes_net.checks.predictive import kaplan_meier, replicate, step_values, survival_steps, turnbull

INF = np.inf
LEFT = [0, 15, 12, 17, 13, 0, 6, 0, 14, 12, 13, 12, 12, 0, 0, 0, 0, 3, 4, 1, 13, 0, 0, 6, 0, 2, 1, 0, 0, 2]
RIGHT = [16, INF, INF, INF, INF, 24, INF, 15, INF, INF, INF, INF, INF, 18, 14, 17, 15, INF, INF, 11, 19, 6]
RIGHT += [11, INF, 6, 12, 17, 14, 25, 11]
"""Months to drug resistance of patients with AIDS (Lindsey and Ryan 1998, Stat Med 17:219)."""


def observed(left, right):
    left, right = np.asarray(left, float), np.asarray(right, float)
    event = np.isfinite(right)
    n = len(left)
    base = patients(n=n, arms=("only",))
    return replace(
        base,
        time=np.where(event, right, left),
        event=event.astype(float),
        arm=np.zeros(n, int),
        last_assessment=np.where(event, left, np.nan),
    )


def test_no_estimate_is_likelier():
    """Of a concave likelihood a maximum is known by its derivatives: n in every stretch that has mass, and no
    more in any stretch between two endpoints."""
    data = observed(LEFT, RIGHT)
    begin, end, mass = turnbull(data)
    assert mass.sum() == pytest.approx(1)
    left, right = np.maximum(data.last_known, 0.0), np.where(data.event == 1, data.time, np.inf)

    def inside(a, b):
        return (a >= left[:, None]) & (b <= right[:, None])

    probability = inside(begin, end) @ mass
    points = np.unique(np.concatenate([LEFT, [r for r in RIGHT if r < INF], [30.0]]))
    derivative = (inside(points[:-1], points[1:]) / probability[:, None]).sum(axis=0)
    assert derivative.max() <= data.n * (1 + 1e-4)
    own = (inside(begin, end) / probability[:, None]).sum(axis=0)
    np.testing.assert_allclose(own[mass > 1e-3], data.n, rtol=1e-4)


def test_events_on_known_days_give_kaplan_and_meiers_curve():
    data = replace(patients(n=80, arms=("only",)), arm=np.zeros(80, int))
    _, end, mass = turnbull(data)
    curve = kaplan_meier(data.time, data.event)
    for t, survival in zip(curve["time"], curve["survival"], strict=True):
        assert 1 - mass[end <= t].sum() == pytest.approx(survival, abs=1e-6)
    assert survival_steps(data).equals(curve)


def test_a_known_event_inside_anothers_stretch_takes_its_mass():
    data = observed([2.0, 5.0], [8.0, 5.0])
    begin, end, mass = turnbull(data)
    assert (begin.tolist(), end.tolist(), mass.tolist()) == ([5.0], [5.0], [1.0])


def test_survival_falls_in_the_middle_and_numbers_at_risk_are_of_the_table():
    data = observed([2.0, 5.0, 3.0], [4.0, 9.0, np.inf])
    steps = survival_steps(data)
    assert {3.0, 3.5, 4.0, 9.0} <= set(steps["time"])
    assert steps["at_risk"].iloc[0] == 3
    assert steps["n_censored"].sum() == 1
    assert (np.diff(steps["survival"]) <= 1e-12).all()


def test_replicated_events_are_seen_late_as_those_of_the_data_were():
    n = 4000
    data = replace(
        patients(n=n, arms=("a", "b"), cuts=()),
        time=np.full(n, 500.0),
        event=np.ones(n),
        score=np.zeros(n),
        last_assessment=np.full(n, 497.0),
    )
    fit = invented(np.full((1, 1, 2, 1), np.log(0.1)), np.zeros((1, 1, 2)), cuts=(), arms=("a", "b"))
    late, _ = replicate(fit, data, draws=1, seed=1)
    exact, _ = replicate(fit, replace(data, last_assessment=None), draws=1, seed=1)
    # half of 3 months, within 4 standard errors
    assert late.mean() - exact.mean() == pytest.approx(1.5, abs=4 * np.sqrt(0.75 / n))


def test_a_scan_after_the_landmark_may_show_what_happened_before_it():
    """Constant hazard and visits that straddle the landmark: forced behind it, events come too early."""
    rng, n = np.random.default_rng(4), 500
    event, before = rng.exponential(6.0, n), rng.uniform(0.0, 3.0, n)  # counted from the last assessment
    visits = np.ceil(event / 3.0) * 3.0
    base = patients(n=n, arms=("only",))
    data = replace(
        base, time=visits - before, event=np.ones(n), arm=np.zeros(n, int), assessed_before=before,
        last_assessment=visits - 3.0 - before,
    )  # fmt: skip
    forced = replace(data, assessed_before=None, last_assessment=np.maximum(data.last_known, 0))
    at = np.arange(1.0, 13.0)
    gaps = [np.abs(step_values(survival_steps(x), at) - np.exp(-at / 6.0)).mean() for x in (data, forced)]
    # the estimate falls at once within stretches, so that neither gap is 0
    assert gaps[0] < 0.08
    assert gaps[0] < 0.6 * gaps[1]
