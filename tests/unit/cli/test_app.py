"""Commands and their options, before anything is sampled: exit codes, and messages for people."""

import pytest
from command_line import invoke
from small_trial import written


def test_the_help_of_run_tells_the_default_folder():
    assert "[default: (results/NAME)]" in invoke("run", "--help")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["run", "no_such.toml"],
            "'no_such.toml' is neither a file nor a shipped model. Shipped models: netter1",
        ),
        (["check", "netter1_sintetic"], "did you mean netter1_synthetic?"),
        (["check", "."], "'.' is a folder; expected a specification file"),
        (["init", "nowhere/analysis.toml"], "there is no folder"),
    ],
)
def test_what_cannot_be_found_is_one_clear_error(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, shown, error = invoke(*arguments)
    assert (code, shown) == (2, "")
    assert error.startswith("error: ")
    assert said in error


def test_a_landmark_without_an_event_is_refused_by_name(tmp_path):
    path = written(tmp_path, landmarks={"times": ["120d", "1390d"]})
    code, _, error = invoke("run", path)
    assert code == 2
    assert "landmark '1390 d', PFS" in error
    assert "Leave this landmark out" in error


def test_a_folder_for_results_that_would_lose_files_is_refused_before_sampling(tmp_path, monkeypatch):
    monkeypatch.setattr("bayes_net.workflow.analysis.analyse", lambda *_, **__: pytest.fail("sampled"))
    path = written(tmp_path / "trial")
    code, _, error = invoke("run", path, "--out", path.parent)
    assert code == 2
    assert "holds files that are not a result of bayes-net (patients.csv, scans.csv, trial.toml)" in error
    monkeypatch.chdir(path.parent)
    code, _, error = invoke("run", path, "--out", ".")
    assert code == 2
    assert "is the folder you are working in" in error


def test_models_lists_what_is_shipped():
    code, shown, _ = invoke("models")
    assert code == 0
    assert any(line.split()[:1] == ["netter1_synthetic"] for line in shown.splitlines())


@pytest.mark.parametrize("seed", ["-1", "1.5", "x"])
def test_a_seed_is_a_whole_number(tmp_path, seed):
    code, _, error = invoke("run", written(tmp_path), "--seed", seed)
    assert code == 2
    assert "--seed" in error


@pytest.mark.parametrize("command", ["run", "scenarios"])
def test_an_engine_that_there_is_not_is_refused(command):
    code, _, error = invoke(command, "netter1_synthetic", "--engine", "stan")
    assert code == 2
    assert "'stan' is not one of 'numba', 'pymc'" in error
