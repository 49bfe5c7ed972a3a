"""The command line: exit codes, messages for people, and nothing that they did not ask for."""

import json
import os
import pty
import subprocess
import sys
import time
import tomllib

import pandas as pd
import pytest
from small_trial import MARKER, QUICK, tables, written
from typer.testing import CliRunner

from bayes_net.cli.app import app
from bayes_net.specification.read import read_specification

PROGRAM = "import sys; from bayes_net.cli.app import app; app(sys.argv[1:])"
TELL_MODULES = """
import sys
from bayes_net.cli.app import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    heavy = {"pymc", "pytensor", "nutpie", "numba", "arviz"} & set(sys.modules)
    light = {"pandas", "matplotlib", "scipy"} & set(sys.modules)
    print(f"\\nEND {end.code} {sorted(heavy)} {sorted(light)}")
"""


def invoke(*arguments):
    """Exit code, standard output and standard error; a traceback fails the test."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "300"})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert "Traceback" not in done.stderr
    return done.exit_code, done.stdout, done.stderr


def modules_after(*arguments) -> tuple[str, str]:
    """What a process of its own printed, and the line about its exit code and its modules."""
    command = [sys.executable, "-c", TELL_MODULES, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text, _, end = done.stdout.rpartition("END ")
    return text + done.stderr, end.strip()


def test_help_and_version_import_next_to_nothing():
    begin = time.perf_counter()
    text, end = modules_after("--help")
    assert time.perf_counter() - begin < 5
    assert end == "0 [] []"
    for command in ("run", "check", "models", "init", "simulate"):
        assert f" {command} " in text
    text, end = modules_after("--version")
    assert text.startswith("bayes-net 0.")
    assert end == "0 [] []"


def test_the_help_of_run_tells_the_default_folder():
    assert "[default: (results/NAME)]" in invoke("run", "--help")[1]


def test_check_shows_who_is_at_risk_and_does_not_import_pymc(tmp_path):
    text, end = modules_after("check", written(tmp_path))
    assert end.startswith("0 []")
    assert "2 patients excluded as the specification says" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["PFS", "120", "d", "control", "54", "36"] in lines
    assert "The specification and its data are usable." in text


def test_bad_data_are_refused_before_anything_is_compiled(tmp_path):
    patients, scans = tables()
    patients.loc[4, "pfs_event"] = 2
    path = written(tmp_path, trial=(patients, scans), data={"exclude_patients": None})
    text, end = modules_after("run", path, "--out", tmp_path / "out")
    assert end.startswith("2 []")
    assert text.strip().startswith("error:")
    assert "pfs_event" in text
    assert "row 6" in text
    assert "Traceback" not in text
    assert not (tmp_path / "out").exists()


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


def test_every_mistake_of_a_specification_is_shown(tmp_path):
    path = written(tmp_path, sampling={"drws": 3}, landmarks={"times": ["150"]})
    code, _, error = invoke("check", path)
    assert code == 2
    assert "sampling.drws: unknown key; did you mean draws?" in error
    assert "landmarks.times.0: duration '150' is not understood" in error


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


def test_a_landmark_without_an_event_is_refused_by_name(tmp_path):
    path = written(tmp_path, landmarks={"times": ["120d", "1390d"]})
    code, _, error = invoke("run", path)
    assert code == 2
    assert "landmark '1390 d', PFS" in error
    assert "Leave this landmark out" in error


def test_an_endpoint_that_the_table_lacks_is_refused(tmp_path):
    patients, scans = tables()
    trial = patients.drop(columns=["os_time", "os_event"]), scans
    code, _, error = invoke("check", written(tmp_path, trial=trial, landmarks={"endpoints": ["pfs", "os"]}))
    assert code == 2
    assert "the patient table has no os_time and os_event" in error


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


def test_markup_emoji_and_control_codes_in_names_are_printed_as_they_are(tmp_path):
    arms = ("[red]control[/]", ":smile:\x1b[31m[/b]")
    title = "Trial [bold]X[/] [/] :warning: \x1b[2J"
    path = written(
        tmp_path,
        trial=tables(arms=arms),
        title=title,
        data={"arms": list(arms), "exclude_patients": None},
    )
    code, shown, _ = invoke("check", path)
    assert code == 0
    assert "Trial [bold]X[/] [/] :warning: \N{REPLACEMENT CHARACTER}[2J" in shown
    assert "[red]control[/]" in shown
    assert ":smile:\N{REPLACEMENT CHARACTER}[31m[/b]" in shown
    assert "\x1b" not in shown
    wrong = written(tmp_path / "other", data={"arms": ["[red]none[/]", "[/]"]})
    code, _, error = invoke("check", wrong)
    assert code == 2
    assert "[red]none[/], [/]" in error


def test_init_writes_a_template_that_can_be_read_and_never_overwrites(tmp_path):
    path = tmp_path / "my [analysis].toml"
    code, shown, _ = invoke("init", path)
    assert code == 0
    assert "my [analysis].toml" in shown
    assert read_specification(path).sampling.seed >= 0
    path.write_text("mine")
    code, _, error = invoke("init", path)
    assert code == 2
    assert "exists already" in error
    assert path.read_text() == "mine"


def test_init_of_a_folder_writes_into_it_what_its_tables_say(tmp_path):
    assert invoke("simulate", "--seed", 1, "--out", tmp_path / "trial")[0] == 0
    code, shown, error = invoke("init", tmp_path / "trial")
    assert (code, error) == (0, "")
    assert "unsure" not in shown
    code, shown, error = invoke("check", tmp_path / "trial" / "analysis.toml")
    assert (code, error) == (0, "")
    assert "are usable" in shown
    before = (tmp_path / "trial" / "analysis.toml").read_bytes()
    code, _, error = invoke("init", tmp_path / "trial")
    assert code == 2
    assert "exists already and is left as it is" in error
    assert (tmp_path / "trial" / "analysis.toml").read_bytes() == before


def test_init_of_a_synthesis_writes_its_example_evidence_and_never_overwrites(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke("init", "--synthesis")[0] == 0
    code, shown, _ = invoke("check", "synthesis.toml")
    assert code == 0
    assert "N10" in shown
    (tmp_path / "synthesis.toml").unlink()
    (tmp_path / "evidence.csv").write_text("mine")
    code, _, error = invoke("init", "--synthesis")
    assert code == 2
    assert "evidence.csv exists already" in error
    assert not (tmp_path / "synthesis.toml").exists()


def test_models_lists_what_is_shipped():
    code, shown, _ = invoke("models")
    assert code == 0
    assert any(line.split()[:1] == ["netter1_synthetic"] for line in shown.splitlines())


def test_simulated_files_are_labelled_and_can_be_analysed(tmp_path):
    code, shown, _ = invoke("simulate", "--seed", 3, "--out", tmp_path / "made up")
    assert code == 0
    assert "SYNTHETIC" in shown
    files = sorted((tmp_path / "made up").iterdir())
    assert [file.name for file in files] == ["synthetic_patients.csv", "synthetic_scans.csv"]
    assert all(pd.read_csv(file)["synthetic"].all() for file in files)
    path = written(
        tmp_path,
        data={
            "patients": "made up/synthetic_patients.csv",
            "scans": "made up/synthetic_scans.csv",
            "time_unit": "months",
            "arms": ["control", "177Lu-DOTATATE"],
            "exclude_patients": None,
            "patient_columns": {"pfs_time": "pfs_months", "os_time": "os_months"},
            "scan_columns": {"time": "scan_months", "size": "sum_of_diameters_mm"},
        },
        covariates=None,
    )
    code, shown, _ = invoke("check", path)
    assert code == 0
    assert "231 patients (control 114, 177Lu-DOTATATE 117)" in shown
    assert invoke("simulate", "--out", tmp_path)[0] == 2  # a seed has to be given


@pytest.mark.parametrize("seed", ["-1", "1.5", "x"])
def test_a_seed_is_a_whole_number(tmp_path, seed):
    code, _, error = invoke("run", written(tmp_path), "--seed", seed)
    assert code == 2
    assert "--seed" in error


def on_a_terminal(*arguments) -> tuple[int, str, str]:
    """Exit code, standard output (a pipe) and standard error (a terminal) of a process."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True)
    os.close(theirs)
    seen = []
    try:
        while part := os.read(ours, 4096):
            seen.append(part)
    except OSError:  # how Linux says that the other side has gone
        pass
    shown = process.stdout.read()
    process.stdout.close()
    os.close(ours)
    return process.wait(), shown, b"".join(seen).decode()


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    """A run with too few draws: exit code, output, what the terminal saw, and the folder."""
    folder = tmp_path_factory.mktemp("failing")
    path = written(folder, **QUICK, landmarks={"times": ["120d", "no limit"], "thresholds": []})
    return *on_a_terminal("run", path, "--out", folder / "out", "--seed", 77), folder / "out"


def test_a_failed_gate_is_exit_code_3_and_everything_is_marked(failing):
    code, shown, error, out = failing
    assert code == 3
    assert "The diagnostics gate failed" in error
    assert "PFS, shrinkage, 120 d: bulk ESS" in error
    assert "threshold 400" in error
    assert " at " in error.split("bulk ESS")[1].splitlines()[0]  # the gate names where
    assert "failed" in shown
    rows = pd.read_csv(out / "hazard_ratios.csv")
    assert set(rows["gate"]) == {"failed"}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["gate"] == "failed"
    assert "gate failed" in (out / "report.html").read_text(encoding="utf-8").lower()


def test_a_quick_look_is_short_and_says_so_wherever_it_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "trial", landmarks={"times": ["120d"], "thresholds": []})
    code, shown, error = invoke("run", path, "--quick")
    assert code in (0, 3)  # as its gate says
    out = tmp_path / "results" / "trial-quick"
    assert str(out.relative_to(tmp_path)) in shown.replace("\n", "")
    assert "A quick look with short chains" in error
    assert "QUICK LOOK: A small trial" in (out / "report.html").read_text(encoding="utf-8")
    stored = tomllib.loads((out / "specification.toml").read_text(encoding="utf-8"))
    assert stored["sampling"]["draws"] == 250
    assert stored["title"].startswith("QUICK LOOK")


def test_tables_of_the_command_line_take_the_place_of_those_of_the_specification(tmp_path):
    path = written(tmp_path / "trial", **QUICK, landmarks={"times": ["120d"], "thresholds": []})
    patients, scans = tables(n=100, seed=7)
    patients.to_csv(tmp_path / "p.csv", index=False)
    scans.to_csv(tmp_path / "s.csv", index=False)
    given = ["--patients", tmp_path / "p.csv", "--scans", tmp_path / "s.csv"]
    invoke("run", path, *given, "--out", tmp_path / "out")
    flow = pd.read_csv(tmp_path / "out" / "attrition.csv")
    assert flow.loc[flow["reason"] == "all patients", "n"].sum() == 100
    code, _, error = invoke("run", path, "--patients", tmp_path / "no.csv", "--out", tmp_path / "other")
    assert code == 2
    assert "no.csv" in error
    assert not (tmp_path / "other").exists()


def test_the_seed_of_the_command_line_is_the_one_that_counts(failing):
    out = failing[-1]
    assert json.loads((out / "manifest.json").read_text())["seed"] == "77"
    assert "seed = 77" in (out / "specification.toml").read_text()


def test_progress_is_for_terminals_and_leaves_nothing_in_a_pipe(failing):
    _, shown, error, _ = failing
    assert "starting" in error
    assert "PFS, shrinkage, no limit" in error
    assert "\x1b" in error
    assert "\x1b" not in shown
    assert "starting" not in shown


def test_nothing_shown_names_a_patient(failing):
    _, shown, error, _ = failing
    assert MARKER not in shown + error


def test_a_shell_completes_the_commands():
    """What bash asks after ``bayes-net ch``."""
    asked = {"COMP_WORDS": "bayes-net ch", "COMP_CWORD": "1", "_BAYES_NET_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-m", "bayes_net", "ch"],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["check"]


@pytest.mark.parametrize("module", ["bayes_net", "bayes_net.cli.app"])
def test_the_package_and_the_module_are_the_command_line(module):
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("bayes-net 0.")


@pytest.mark.parametrize("command", ["run", "scenarios"])
def test_an_engine_that_there_is_not_is_refused(command):
    code, _, error = invoke(command, "netter1_synthetic", "--engine", "stan")
    assert code == 2
    assert "'stan' is not one of 'numba', 'pymc'" in error


CHINESE = """title = "神经内分泌 – é"
slopes = "none"
data = {synthetic = true, synthetic_seed = 4}
landmarks = {times = ["150d"]}
baseline = {cuts = ["3mo"], arms = "shared"}
sampling = {seed = 1}
"""


def in_shell(command, folder, **environment):
    """Exit code and standard error of a command, in a process whose output the shell leads elsewhere."""
    (folder / "plan.toml").write_text(CHINESE, encoding="utf-8")
    line = command.replace("bayes-net", f"{sys.executable} -m bayes_net")
    done = subprocess.run(
        line, shell=True, cwd=folder, env=os.environ | environment, capture_output=True, check=False
    )
    return done.returncode, done.stdout, done.stderr.decode("ascii", "replace")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_a_terminal_has_no_characters_for_is_shown_by_its_code(tmp_path, encoding):
    code, shown, error = in_shell("bayes-net check plan.toml", tmp_path, PYTHONIOENCODING=encoding)
    assert (code, error) == (0, "")
    assert b"\\u795e\\u7ecf" in shown
    assert b"\\u2013" in shown
    code, shown, error = in_shell("bayes-net check plan.toml --json", tmp_path, PYTHONIOENCODING=encoding)
    assert (code, error) == (0, "")
    assert json.loads(shown)["specification"] == "神经内分泌 – é"


@pytest.mark.parametrize(
    ("command", "expected", "said"),
    [
        ("bayes-net check plan.toml > /dev/full", 1, "error: the output cannot be written (No space left"),
        ("bayes-net check plan.toml --json > /dev/full", 1, "error: the output cannot be written"),
        ("bayes-net check plan.toml >&-", 0, ""),
        ("bayes-net check plan.toml | head -c 1", 0, ""),
    ],
)
def test_output_that_nothing_takes_is_no_traceback(tmp_path, command, expected, said):
    code, _, error = in_shell(command, tmp_path)
    assert code == expected
    assert error.startswith(said)
    assert "Traceback" not in error
    assert "Exception ignored" not in error
