"""Damaged files of every format, and paths that are tricks: read, or refused in one clear error."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import damage
import pytest

from bayes_net.adam.read import read_adam
from bayes_net.data.cohort import read_cohort
from bayes_net.errors import InputError
from bayes_net.files import formats
from bayes_net.files.formats import READERS, read_file

SEED = 20261128


def attacked(folder, n, *endings, seconds):
    """What became of ``n`` damaged files and more of each format, in a process that may crash."""
    command = [sys.executable, "-X", "faulthandler", damage.__file__, folder, n, SEED, *endings]
    done = subprocess.run(
        [str(a) for a in command], capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def judge(found, n):
    for each in found:
        assert each["bad"] == [], each["bad"][0]
        assert each["files"] >= n
        assert each["slowest"] < damage.MOST_SECONDS


def test_every_reader_is_attacked():
    assert set(damage.ENDINGS) == set(READERS)


def test_good_files_are_read(tmp_path):
    for ending in damage.ENDINGS:
        damage.good(ending, tmp_path)
        rows = 5 if ending == ".sas7bdat" else len(damage.TABLE)
        assert len(read_file(tmp_path / f"good{ending}")[1]) == rows


def test_damaged_files_are_read_or_refused(tmp_path):
    found = attacked(tmp_path, 30, *damage.ENDINGS, seconds=120)
    assert len(found) == len(READERS)
    judge(found, 30)


@pytest.mark.slow
@pytest.mark.parametrize("ending", damage.ENDINGS)
def test_five_hundred_damaged_files_are_read_or_refused(ending, tmp_path):
    judge(attacked(tmp_path, 500, ending, seconds=900), 500)


def tricks(folder: Path) -> list[Path]:
    """Paths that lead nowhere, or to something else than a file."""
    (folder / "folder.csv").mkdir()
    (folder / "empty").mkdir()
    (folder / "nowhere.csv").symlink_to(folder / "gone.csv")
    (folder / "round.csv").symlink_to(folder / "round.csv")
    os.mkfifo(folder / "pipe.csv")
    damage.good(".xlsx", folder)
    names = [
        "folder.csv",
        "empty",
        "nowhere.csv",
        "round.csv",
        "pipe.csv",
        "../x",
        "../x.csv",
        "x.csv/../y.csv",
    ]
    names += [
        "good.xlsx#Nosuch",
        "#.xlsx",
        "x#y.xlsx#z",
        ".xlsx#",
        "good.xlsx#../x",
        "good.xlsx#\0",
    ]
    names += [
        "\0.csv",
        "a\0.parquet",
        "\ud800.json",
        "x" * 300 + ".csv",
        "~.csv",
        "*.csv",
        ".csv",
        ".",
        "..",
        "a b",
    ]
    return [folder / name for name in names] + [
        Path(),
        Path("/dev/zero"),
        Path("/dev/full.csv"),
        Path("/proc"),
    ]


def test_paths_that_are_tricks_are_refused_or_have_no_rows(tmp_path):
    for path in tricks(tmp_path):
        with suppress(InputError):
            assert not len(read_file(path)[1]), path
        for read in (read_adam, lambda path: read_adam({"adsl": path, "adtte": path})):
            with pytest.raises(InputError):
                read(path)
        with pytest.raises(InputError):
            read_cohort(path, path, time_unit="days")


def test_a_folder_with_a_hash_in_its_name_is_no_sheet(tmp_path):
    folder = tmp_path / "a#b"
    folder.mkdir()
    damage.good(".xlsx", folder)
    assert len(read_file(folder / "good.xlsx")[1]) == 4
    assert len(read_file(folder / "good.xlsx#Sheet1")[1]) == 4


def test_a_workbook_that_unpacks_to_more_than_memory_is_refused(tmp_path, monkeypatch):
    damage.good(".xlsx", tmp_path)
    monkeypatch.setattr(formats, "MOST_BYTES", 1 << 10)
    with pytest.raises(InputError, match=r"good\.xlsx: it unpacks to"):
        read_file(tmp_path / "good.xlsx")
