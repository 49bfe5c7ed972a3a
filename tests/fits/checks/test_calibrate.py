"""Calibration of a user's own design: uniform ranks and coverage, and planted errors that show."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from exposures import patients
from scipy.stats import binom
from typer.testing import CliRunner

import bayes_net as bn
from bayes_net.assumptions.priors import Flat, Priors
from bayes_net.checks.calibrate import NO_ASSOCIATION, calibrate, calibration_summary, simulated
from bayes_net.cli.app import app
from bayes_net.errors import InputError
from bayes_net.inference.closed_form import draw_prior

REPLICATES, FEWER = 120, 60
"""Trials; fewer where what is wrong shows in most of them."""
QUICK = bn.Sampler(draws=200, tune=250, chains=2)


@pytest.fixture(scope="module")
def design():
    return patients(80, cuts=(3.0,))


@pytest.fixture(scope="module")
def sound(design):
    return calibrate(design, seed=1, replicates=REPLICATES, sampler=QUICK)


def test_ranks_are_uniform_and_intervals_cover(sound):
    table = calibration_summary(sound)
    fewest, most = binom.ppf([1e-4, 1 - 1e-4], REPLICATES, 0.95) / REPLICATES
    assert (table["ranks_p"] > 1e-4).all()
    assert table["covered"].between(fewest, most).all()
    assert (table["bias"].abs() < 4 * table["bias_se"]).all()


def test_bias_is_the_mean_less_the_truth(sound):
    """And a probability counts whichever direction it is of."""
    moved = sound.assign(mean=sound["truth"] + 0.5, prob_below_1=[0.85, 0.15] * REPLICATES)
    table = calibration_summary(moved)
    np.testing.assert_allclose(table["bias"], 0.5)
    assert (table["probably"] == 1).all()
    assert (table["very_probably"] == 0).all()


def test_a_planted_error_shows(design, monkeypatch):
    """Scores with the wrong sign in the fit, and not in the data."""
    from bayes_net.inference import patients as inference

    right = inference.fit

    def wrong(trial, *args, **more):
        return right(replace(trial, score=-trial.score), *args, **more)

    monkeypatch.setattr(inference, "fit", wrong)
    table = calibration_summary(calibrate(design, seed=1, replicates=FEWER, sampler=QUICK))
    assert (table["ranks_p"] < 1e-6).all()
    assert (table["covered"] < 0.8).all()


def test_without_association_one_is_rarely_found(design):
    rows = calibrate(design, seed=2, replicates=FEWER, sampler=QUICK, truth=NO_ASSOCIATION)
    assert (rows["truth"] == 0).all()
    table = calibration_summary(rows)
    most = binom.ppf(1 - 1e-4, FEWER, 0.1) / FEWER
    assert (table["very_probably"] <= most).all()


def test_trials_are_of_the_design(design):
    one = draw_prior(bn.Hazard(), design, draws=1, seed=3)
    trial = simulated(design, one, seed=3)
    for name in ("arm", "score", "covariates", "cuts"):
        np.testing.assert_array_equal(getattr(trial, name), getattr(design, name))
    assert (trial.time > 0).all()
    censored = (design.event == 0) & (trial.event == 0)
    np.testing.assert_array_equal(trial.time[censored], design.time[censored])
    visits = replace(design, last_assessment=design.time - 2.0, assessed_before=np.full(design.n, 3.0))
    seen = simulated(visits, one, seed=3)
    own = seen.event == 1
    assert (seen.time - seen.last_known)[own].max() <= 2.0 + 1e-9
    assert seen.between.sum() == own.sum()
    # the same seed draws the same events, and they lie between the two
    true = trial.time[own]
    assert (trial.event[own] == 1).all()
    assert ((seen.last_known[own] < true) & (true <= seen.time[own])).all()


def test_ranks_are_uniform_where_progression_lies_between_scans(design):
    visits = replace(
        design, last_assessment=np.maximum(design.time - 4.0, 0.0), assessed_before=np.zeros(design.n)
    )
    table = calibration_summary(calibrate(visits, seed=1, replicates=REPLICATES, sampler=QUICK))
    fewest, most = binom.ppf([1e-4, 1 - 1e-4], REPLICATES, 0.95) / REPLICATES
    assert (table["ranks_p"] > 1e-4).all()
    assert table["covered"].between(fewest, most).all()


@pytest.mark.parametrize(
    ("hazard", "more"),
    [
        (bn.Hazard(slopes="none"), {}),
        (bn.Hazard(priors=Priors(slope=Flat())), {}),
        (bn.Hazard(), {"truth": "none"}),
    ],
)
def test_what_cannot_be_calibrated_is_refused(design, hazard, more):
    with pytest.raises(InputError, match="expected"):
        calibrate(design, hazard, seed=1, **more)


def test_the_command_shows_every_model_and_writes_every_trial(tmp_path):
    spec = tmp_path / "design.toml"
    spec.write_text(
        'title = "T"\n[data]\nsynthetic = true\nsynthetic_seed = 1\n'
        '[landmarks]\ntimes = ["150d", "no limit"]\n'
        '[baseline]\ncuts = ["6mo"]\n[sampling]\nseed = 1\n'
    )
    done = CliRunner().invoke(
        app, ["calibrate", str(spec), "--replicates", "2", "--csv", str(tmp_path / "trials.csv")]
    )
    assert done.exit_code == 0, done.output
    assert "PFS, shrinkage, 150 d" in done.output
    assert "no limit" not in done.output
    table = pd.read_csv(tmp_path / "trials.csv")
    assert len(table) == 2 * 2 * 2  # arms, truths, replicates
    refused = CliRunner().invoke(app, ["calibrate", "prrt_pooled", "--replicates", "2"])
    assert refused.exit_code == 2
