"""The command line: exit codes, messages for people, and nothing that they did not ask for."""

import json
import os
import pty
import re
import subprocess
import sys
import tomllib

import pandas as pd
import pytest
from command_line import invoke, modules_after
from small_trial import MARKER, QUICK, tables, written

PROGRAM = "import sys; from bayes_net.cli.app import app; app(sys.argv[1:])"


def test_help_and_version_import_next_to_nothing():
    begin = os.times()
    text, end = modules_after("--help")
    done = os.times()  # processor time, which other processes do not lengthen by much
    assert done.children_user + done.children_system - begin.children_user - begin.children_system < 2
    assert end == "0 [] []"
    for command in ("run", "check", "models", "init", "simulate"):
        assert f" {command} " in text
    text, end = modules_after("--version")
    assert text.startswith("bayes-net 0.")
    assert end == "0 [] []"


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
    assert all(pd.read_csv(table)["quick"].all() for table in out.glob("*.csv"))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<th[^>]*>quick", page)
    assert invoke("tables", out, "--out", tmp_path / "paper", "--format", "html")[0] == 0
    made = list((tmp_path / "paper").glob("*.html"))
    assert len(made) > 5
    assert all("QUICK LOOK: short chains" in each.read_text(encoding="utf-8") for each in made)
    assert "QUICK LOOK: A small trial" in (out / "report.html").read_text(encoding="utf-8")
    stored = tomllib.loads((out / "specification.toml").read_text(encoding="utf-8"))
    assert stored["sampling"]["draws"] == 500
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
    assert b" - " in shown  # as it is on a typewriter
    code, shown, error = in_shell("bayes-net check plan.toml --json", tmp_path, PYTHONIOENCODING=encoding)
    assert (code, error) == (0, "")
    assert json.loads(shown)["specification"] == "神经内分泌 – é"


@pytest.mark.parametrize(
    ("command", "expected", "said"),
    [
        ("bayes-net models > /dev/full", 1, "error: the output cannot be written (No space left"),
        ("bayes-net check plan.toml --json > /dev/full", 1, "error: the output cannot be written"),
        ("bayes-net models >&-", 0, ""),
        ("bayes-net models | head -c 1", 0, ""),
    ],
)
def test_output_that_nothing_takes_is_no_traceback(tmp_path, command, expected, said):
    code, _, error = in_shell(command, tmp_path)
    assert code == expected
    assert error.startswith(said)
    assert "Traceback" not in error
    assert "Exception ignored" not in error
