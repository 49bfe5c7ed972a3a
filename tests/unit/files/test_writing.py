"""New files appear together, or none of them does, and no file is lost."""

import os

import pytest

from bayes_net.errors import InputError
from bayes_net.files.writing import write_new


def test_files_appear_with_what_they_hold(tmp_path):
    files = {tmp_path / "new" / "a": b"1", tmp_path / "new" / "b": b"2"}
    write_new(files)
    assert {path: path.read_bytes() for path in (tmp_path / "new").iterdir()} == files


def test_one_that_is_there_already_keeps_the_others_away(tmp_path):
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"b exists already and is left as it is"):
        write_new({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_bytes() == b"mine"


def test_one_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    link = os.link

    def late(beside, path):
        if path.name == "b":
            path.write_bytes(b"theirs")
        link(beside, path)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(InputError, match="b exists already"):
        write_new({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_bytes() == b"theirs"


def test_a_disk_without_links_and_a_place_that_is_none(tmp_path, monkeypatch):
    def none(beside, path):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "link", none)
    write_new({tmp_path / "a": b"1"})
    assert (tmp_path / "a").read_bytes() == b"1"
    with pytest.raises(InputError, match="cannot be written"):
        write_new({tmp_path / "a" / "b": b"1"})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
