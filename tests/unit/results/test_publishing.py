"""Results appear whole or not at all: kills, full disks, foreign files, and several runs at once."""

import errno
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from bayes_net.errors import InputError
from bayes_net.results.publishing import (
    MANIFEST,
    check_destination,
    gate_failed,
    passed,
    publish,
    read_manifest,
    tidy,
)

TOKEN = "token.txt"


def result(token: str, *, gate="passed"):
    """A writer of a small result of two files and a manifest."""

    def write(folder: Path) -> None:
        for name in (TOKEN, "again.txt"):
            (folder / name).write_text(token)
        manifest = {"specification_sha256": "x", "gate": gate, "files": {TOKEN: "", "again.txt": ""}}
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return write


@pytest.fixture
def out(tmp_path) -> Path:
    folder = tmp_path / "results" / "trial"
    publish(folder, result("first"))
    return folder


def token(folder: Path) -> str:
    return (folder / TOKEN).read_text()


def neighbours(folder: Path) -> set[str]:
    return set(os.listdir(folder.parent))


def gone_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_result_takes_the_place_of_the_one_before(out):
    assert token(out) == "first"
    check_destination(out)
    assert publish(out, result("second")) == out
    assert token(out) == "second"
    assert neighbours(out) == {"trial"}


def test_folders_on_the_way_are_made_and_can_be_read_by_others(tmp_path):
    out = tmp_path / "a" / "b" / "trial"
    check_destination(out)
    assert not (tmp_path / "a").exists()  # a check leaves nothing
    publish(out, result("first"))
    plain = tmp_path / "plain"
    plain.mkdir()
    assert out.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left on device"), ValueError("other")])
def test_a_failed_write_changes_nothing_and_leaves_nothing(out, problem):
    def write(folder):
        result("second")(folder)
        raise problem

    expected = InputError if isinstance(problem, OSError) else ValueError
    with pytest.raises(expected) as caught:
        publish(out, write)
    if expected is InputError:
        assert "trial: the results could not be written (No space left on device)" in str(caught.value)
    assert token(out) == "first"
    assert neighbours(out) == {"trial"}


def test_an_exchange_that_fails_halfway_puts_the_earlier_result_back(out, monkeypatch):
    replace = os.replace

    def refuse_the_new_one(source, destination):
        if ".partial-" in Path(source).name:
            raise OSError(errno.EIO, "Input/output error")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", refuse_the_new_one)
    with pytest.raises(InputError, match="Input/output error"):
        publish(out, result("second"))
    assert token(out) == "first"
    assert neighbours(out) == {"trial"}


PUBLISH = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_publishing import result
from bayes_net.results import publishing

def slow(folder):
    result("half")(folder)
    (folder / "manifest.json").unlink()
    print("writing", flush=True)
    time.sleep(60)

def killed_after(replace, times):
    def wrapped(*args):
        replace(*args)
        wrapped.done += 1
        if wrapped.done == times:
            os.kill(os.getpid(), signal.SIGKILL)
    wrapped.done = 0
    return wrapped

out, how = Path(sys.argv[1]), sys.argv[2]
if how == "writing":
    publishing.publish(out, slow)
else:
    publishing.os.replace = killed_after(os.replace, int(how))
    publishing.publish(out, result("second"))
"""


def kill(out: Path, how: str) -> None:
    command = [sys.executable, "-c", PUBLISH, str(out), how, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if how == "writing":
            assert process.stdout.readline() == "writing\n"
            process.kill()
    assert process.returncode == -9


def test_a_run_killed_while_writing_leaves_the_earlier_result_and_the_next_run_tidies_up(out):
    kill(out, "writing")
    assert token(out) == "first"
    assert passed(out)
    left = neighbours(out) - {"trial"}
    assert len(left) == 1  # hidden, and under no final name
    assert all(name.startswith(".trial.partial-") for name in left)
    check_destination(out)
    assert neighbours(out) == {"trial"}


def test_a_run_killed_while_exchanging_loses_neither_result(out):
    kill(out, "1")  # the earlier result is aside, the new one has no name yet
    assert not out.exists()
    check_destination(out)
    assert token(out) == "first"
    assert neighbours(out) == {"trial"}


def test_a_run_killed_after_exchanging_has_won(out):
    kill(out, "2")
    assert token(out) == "second"
    assert len(neighbours(out)) == 2
    check_destination(out)
    assert neighbours(out) == {"trial"}
    publish(out, result("third"))
    assert token(out) == "third"


def test_what_a_living_process_writes_is_left_alone(out):
    host = next(iter(_names(out)))
    living, dead = (
        out.with_name(f".trial.partial-{host}-{pid}-ab12") for pid in (os.getpid(), gone_process())
    )
    elsewhere = out.with_name(f".trial.partial-another_host-{gone_process()}-ab12")
    other = out.with_name(f".trial2.partial-{host}-{gone_process()}-ab12")
    for folder in (living, dead, elsewhere, other):
        folder.mkdir()
    tidy(out)
    assert neighbours(out) == {"trial", living.name, elsewhere.name, other.name}


def _names(out: Path) -> set[str]:
    """The name that this machine has in hidden folders."""
    seen = set()
    publish(out, lambda folder: seen.add(folder.name.split("partial-")[1].split("-")[0]))
    publish(out, result("first"))
    return seen


def test_of_several_interrupted_exchanges_the_newest_result_comes_back(out):
    host = next(iter(_names(out)))
    for age, name in enumerate(("new", "old")):
        aside = out.with_name(f".trial.previous-{host}-{gone_process()}-ab1{age}")
        publish(aside, result(name))
        os.utime(aside, (1e9 - age, 1e9 - age))
    os.replace(out, out.with_name("moved"))
    tidy(out)
    assert token(out) == "new"
    assert neighbours(out) == {"trial", "moved"}


# What is refused before any sampling.


def refused(out: Path) -> str:
    with pytest.raises(InputError) as caught:
        check_destination(out)
    return str(caught.value)


def test_a_file_is_no_folder_for_results(tmp_path):
    (tmp_path / "trial").write_text("mine")
    assert "trial is a file; expected a folder" in refused(tmp_path / "trial")
    assert "cannot be written (Not a directory)" in refused(tmp_path / "trial" / "below")
    assert (tmp_path / "trial").read_text() == "mine"


def test_a_folder_with_other_files_is_refused(tmp_path):
    folder = tmp_path / "thesis"
    (folder / "chapters").mkdir(parents=True)
    (folder / "chapters" / "one.tex").write_text("")
    assert "thesis holds files that are not a result of bayes-net (chapters/one.tex)" in refused(folder)
    (folder / MANIFEST).write_text('{"name": "a web page"}')
    assert "(chapters/one.tex, manifest.json)" in refused(folder).replace(
        "manifest.json, ", "manifest.json, "
    )
    (folder / MANIFEST).write_text("[1, 2]")
    refused(folder)


def test_an_empty_folder_is_welcome(tmp_path):
    check_destination(tmp_path)


def test_a_file_put_beside_earlier_results_is_not_lost(out):
    (out / ".DS_Store").write_text("")
    check_destination(out)
    (out / "my notes.docx").write_text("")
    assert "(my notes.docx)" in refused(out)
    # also when it appears while the run is sampling
    with pytest.raises(InputError, match="my notes"):
        publish(out, result("second"))
    assert token(out) == "first"
    assert neighbours(out) == {"trial"}


def test_the_folder_beside_for_a_failed_gate_is_checked_as_well(out):
    beside = gate_failed(out)
    beside.mkdir()
    (beside / "thesis.tex").write_text("")
    assert "trial-gate-failed holds files" in refused(out)


def test_the_working_folder_is_not_taken(out, monkeypatch):
    monkeypatch.chdir(out)
    assert "is the folder you are working in" in refused(Path())
    assert "or above it" in refused(Path(".."))
    check_destination(Path("new"))


def test_a_mounted_volume_is_not_taken(out, monkeypatch):
    monkeypatch.setattr(Path, "is_mount", lambda path: path == out)
    assert "is a mounted volume" in refused(out)


def test_a_write_protected_result_is_left_as_it_is(out, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != out)
    assert "is write-protected" in refused(out)


def test_a_place_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    assert "cannot be written (File name too long)" in refused(tmp_path / ("x" * 250))

    def denied(*_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    assert "cannot be written (Permission denied)" in refused(tmp_path / "trial")


def test_a_link_to_a_folder_is_followed(out):
    link = out.with_name("link")
    link.symlink_to(out, target_is_directory=True)
    check_destination(link)
    assert publish(link, result("second")) == out
    assert link.is_symlink()
    assert token(link) == token(out) == "second"


# The gate, and several runs.


def test_a_failed_gate_never_replaces_a_passed_one(out):
    assert publish(out, result("bad", gate="failed"), gate_passed=False) == gate_failed(out)
    assert token(out) == "first"
    assert read_manifest(gate_failed(out))["gate"] == "failed"
    publish(out, result("worse", gate="failed"), gate_passed=False)
    assert token(gate_failed(out)) == "worse"


def test_a_gate_that_another_run_passed_in_the_meantime_counts(out):
    """The first run found nothing worth keeping, but a second finished while it was writing."""
    publish(out, result("bad", gate="failed"))

    def while_another_finishes(folder):
        publish(out, result("good"))
        result("bad again", gate="failed")(folder)

    assert publish(out, while_another_finishes, gate_passed=False) == gate_failed(out)
    assert token(out) == "good"


def read_together(folder: Path) -> set[bytes]:
    """What both files of one and the same folder say, whatever its name is by then; empty if it is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return set()
    found = set()
    for name in (TOKEN, "again.txt"):
        with suppress(FileNotFoundError):  # it is being removed
            file = os.open(name, os.O_RDONLY, dir_fd=handle)
            found.add(os.read(file, 100))
            os.close(file)
    os.close(handle)
    return found


def test_several_runs_into_one_folder_leave_one_whole_result(out):
    done, mixed = threading.Event(), []

    def write(name):
        for number in range(30):
            publish(out, result(f"{name}-{number}"))

    def watch():
        while not done.is_set():
            if len(contents := read_together(out)) > 1:
                mixed.append(contents)

    watcher = threading.Thread(target=watch)
    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in (watcher, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    watcher.join()
    assert mixed == []
    assert token(out).endswith("-29")
    assert neighbours(out) == {"trial"}
