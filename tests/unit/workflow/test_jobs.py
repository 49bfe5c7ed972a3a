"""Which models a specification of patients has beside those of its landmarks."""

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
