"""A check tells everything that is wrong with a specification and its data."""

from command_line import invoke
from small_trial import tables, written


def test_every_mistake_of_a_specification_is_shown(tmp_path):
    path = written(tmp_path, sampling={"drws": 3}, landmarks={"times": ["150"]})
    code, _, error = invoke("check", path)
    assert code == 2
    assert "sampling.drws: unknown key; did you mean draws?" in error
    assert "landmarks.times.1: duration '150' is not understood" in error


def test_missing_and_unreadable_files_are_named(tmp_path):
    path = written(tmp_path)
    (tmp_path / "scans.csv").unlink()
    code, _, error = invoke("check", path)
    assert code == 2
    assert "scans.csv: there is no such file" in error
    (tmp_path / "scans.csv").mkdir()
    code, _, error = invoke("check", path)
    assert code == 2
    assert "scans.csv" in error


def test_an_endpoint_that_the_table_lacks_is_refused(tmp_path):
    patients, scans = tables()
    trial = patients.drop(columns=["os_time", "os_event"]), scans
    code, _, error = invoke("check", written(tmp_path, trial=trial, landmarks={"endpoints": ["pfs", "os"]}))
    assert code == 2
    assert "the patient table has no os_time and os_event" in error
