"""What is read of the stored virtual trials is what stands there, by the names that the evidence gives."""

import json
from math import log

import numpy as np
import pytest
from calibration.virtual_trials import STORED

import bayes_net as bn
from bayes_net.errors import InputError
from bayes_net.simulate.ensemble import without_study
from bayes_net.simulate.trials import LABELS, PRIORS

ARMS = ("control", "177Lu")


@pytest.fixture(scope="module")
def trials():
    return bn.simulate.virtual_trials()


@pytest.fixture(scope="module")
def stored():
    return json.loads(STORED.read_text(encoding="utf-8"))["arms"]


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_reads_what_is_stored(trials, stored, arm):
    own, rows = trials.arm(arm), {row["landmark"]: row for row in stored[arm]["landmarks"]}
    assert own.bias == (rows["no limit"]["null"], rows["no limit"]["null_sd"])
    assert own.bias_change == (rows["no limit"]["bias_change"], rows["no limit"]["bias_change_sd"])
    for label, row in rows.items():
        for name in ("carried", "tracking", "events", "at_risk"):
            assert getattr(own, name)(label) == (row[name], row[f"{name}_sd"])
    assert np.array_equal(own.correlation, stored[arm]["correlation"]["mean"])
    assert np.array_equal(own.correlation_sd, stored[arm]["correlation"]["sd"])
    assert list(own.correlation.index) == list(own.correlation.columns) == list(LABELS)
    assert list(own.parameters) == list(PRIORS)
    assert len(own.parameters) == own.trials == stored[arm]["trials"]


def test_landmarks_are_found_as_durations_are_written(trials):
    control = trials.arm("control")
    assert control.carried("252 d") == control.carried("36w")
    with pytest.raises(
        InputError, match="landmark '37w'; expected one of 150d, 180d, 36w, 48w, 72w, no limit"
    ):
        control.carried("37w")
    with pytest.raises(InputError, match="landmark 'whenever'"):
        control.events("whenever")
    with pytest.raises(InputError, match="arm 'placebo'; expected one of control, 177Lu"):
        trials.arm("placebo")


def test_variances_are_those_stored_at_the_slopes_stored_and_between_them_smooth(trials, stored):
    control, row = trials.arm("control"), stored["control"]["landmarks"][0]
    for slope in (-0.5, 0.0, 0.5):
        found = control.variance("150d", slope)
        assert found.median == pytest.approx(row[f"variance_at_{slope:g}"])
        assert found.log_sd == pytest.approx(row[f"variance_at_{slope:g}_log_sd"])
    assert row["variance_at_-0.5"] < control.variance("150d", -0.2).median < row["variance_at_0"]


def test_standard_errors_are_of_events_and_variance(trials, stored):
    control, row = trials.arm("control"), stored["control"]["landmarks"][0]
    variance, events = control.variance("150d"), control.events("150d")
    found, known = control.standard_error("150d"), control.standard_error("150d", events=64)
    assert found == pytest.approx((row["expected_se_at_0"], row["expected_se_at_0_log_sd"]))
    assert found.median == pytest.approx((events.value * variance.median) ** -0.5, rel=0.1)
    assert known.median == pytest.approx((64 * variance.median) ** -0.5)
    assert known.log_sd == pytest.approx(variance.log_sd / 2)


def test_without_a_study_the_arm_that_it_informs_is_another(trials, stored):
    without = without_study("Halperin 2024")
    anew = json.loads(STORED.read_text(encoding="utf-8"))["without"]["Halperin 2024"]["177Lu"]
    rows = {row["landmark"]: row for row in anew["landmarks"]}
    assert without.arm("177Lu").carried("150d") == (rows["150d"]["carried"], rows["150d"]["carried_sd"])
    assert without.arm("177Lu").carried("150d") != trials.arm("177Lu").carried("150d")
    assert without.arm("control").landmarks.equals(trials.arm("control").landmarks)
    own, whole = (each.matched().set_index(["arm", "margin"]) for each in (without, trials))
    assert set(own.index) == set(whole.index)
    assert own.loc["control"].equals(whole.loc["control"])
    assert not own.loc["177Lu"].equals(whole.loc["177Lu"])


def test_the_methods_say_how_far_the_mid_treatment_cohort_moves_what_the_trials_tell(trials):
    arms = [each.arm("177Lu") for each in (trials, without_study("Halperin 2024"))]
    assert [round(arm.carried("150d").value, 2) for arm in arms] == [1.06, 0.97]
    assert [round(arm.bias.value, 2) for arm in arms] == [-0.13, -0.14]
    for label in LABELS[1:]:
        assert abs(arms[0].carried(label).value - arms[1].carried(label).value) < 0.025


@pytest.mark.parametrize("study", ["NETTER-1", "Halperin"])
def test_of_a_study_that_informs_no_arm_there_is_none(study):
    assert without_study(study) is None


def test_an_ensemble_shows_itself_in_a_line(trials):
    assert repr(trials).startswith("<virtual trials of 20")
    assert repr(trials.arm("control")) == "<virtual trials of the arm control: 400, at 6 landmarks>"


@pytest.mark.parametrize(
    ("arm", "landmark", "per_point", "printed"),
    [
        ("control", "150d", 0.918, 0.303),
        ("control", "no limit", 0.967, 0.125),
        ("177Lu", "no limit", 1.002, 0.079),
    ],
)
def test_printed_standard_errors_are_expected_at_their_slopes(trials, arm, landmark, per_point, printed):
    expected = trials.arm(arm).standard_error(landmark, 10 * log(per_point))
    assert abs(log(printed / expected.median)) < 1.96 * expected.log_sd


def test_matched_has_every_printed_number_and_names_those_outside(trials):
    table = trials.matched()
    assert list(dict.fromkeys(table["arm"])) == list(ARMS)
    inside = (table["lower"] <= table["printed"]) & (table["printed"] <= table["upper"])
    assert (table["inside"] == inside).all()
    named = [f"{row.arm}: {row.margin}" for row in table[~table["inside"]].itertuples()]
    assert named == json.loads(STORED.read_text(encoding="utf-8"))["outside"]
