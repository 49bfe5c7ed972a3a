"""Which models a specification of patients has beside those of its landmarks."""

import numpy as np
import small_trial

import bayes_net as bn
from bayes_net.schema import ANY_TIME
from bayes_net.workflow.analysis import prepare


def jobs(folder, **changes):
    path = small_trial.written(folder, **changes)
    return prepare(bn.read_specification(path)).jobs


def test_a_model_of_all_follow_up_stands_beside_two_landmarks_or_more(tmp_path):
    several = {"times": ["120d", "180d"], "thresholds": None}
    labels = [job.landmark.label for job in jobs(tmp_path / "a", landmarks=several)]
    assert labels == ["120 d", "180 d", ANY_TIME]
    for k, landmarks in enumerate(({"times": ["120d", "no limit"]}, several | {"joint": "none"})):
        assert not any(job.joint for job in jobs(tmp_path / str(k), landmarks=landmarks))


def test_an_interval_before_anybody_is_at_risk_is_none(tmp_path):
    baseline = {"cuts": ["2w", "6mo"]}
    *separate, joint = jobs(
        tmp_path, landmarks={"times": ["120d", "180d"], "thresholds": None}, baseline=baseline
    )
    assert all(job.data.n_intervals == 3 for job in separate)
    assert joint.data.entry.min() > separate[0].data.cuts[0]
    assert joint.data.cuts.tolist() == separate[0].data.cuts[1:].tolist()


def test_points_between_responders_and_others_are_those_of_the_landmarks(tmp_path):
    own = {"times": ["120d", "180d"], "thresholds": [30], "joint": "none"}
    path = small_trial.written(tmp_path, landmarks=own)
    prepared = prepare(bn.read_specification(path))
    found, weights = [], []
    for label in ("120 d", "180 d"):
        shrinkage = prepared.sets["pfs", False].at(label)["shrinkage"]
        responded = shrinkage >= 30
        found.append(shrinkage[responded].mean() - shrinkage[~responded].mean())
        weights.append(responded.sum())
    assert {job.apart for job in prepared.jobs} == {float(round(np.average(found, weights=weights)))}
    assert not told_of(prepared)


def test_priors_in_python_are_those_of_the_specification(tmp_path):
    own = {"times": ["120d", "180d"], "thresholds": [30], "joint": "none"}
    prepared = prepare(bn.read_specification(small_trial.written(tmp_path, landmarks=own)))
    landmarks = prepared.sets["pfs", False]
    for job in prepared.jobs:
        data = bn.expose(landmarks, job.landmark.label, cuts=[6.0], measure=type(job.measure)())
        found, expected = bn.Priors().of_measure(data.measure).slope, prepared.hazard(job).priors.slope
        assert (found.mean, found.sd, found.statement) == (expected.mean, expected.sd, expected.statement)
    assert bn.priors.per_ten_points_prior(0.5, 2.0).sd < found.sd  # the last is of response
    given = bn.Priors(slope=bn.hazard_ratio_prior(0.5, 2.0))
    assert given.of_measure(data.measure) == given


def test_priors_that_contradict_each_other_are_told_of(tmp_path):
    both = {"hazard_ratio_per_10_points": [0.5, 2], "hazard_ratio_response": [0.8, 1.25]}
    for k, thresholds in enumerate(([30], None)):
        own = {"times": ["120d"], "thresholds": thresholds}
        path = small_trial.written(tmp_path / str(k), landmarks=own, priors=both)
        told = told_of(prepare(bn.read_specification(path)))
        assert len(told) == bool(thresholds)  # without a model of response there is nothing to contradict


def told_of(prepared):
    return [note for note in prepared.notes if note.code == "contradicting-priors"]
