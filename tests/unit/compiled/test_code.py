"""Where machine code is kept; that it is kept safely is in test_engine.py."""

import numba
import pytest

from bayes_net.compiled import code as engine_code


def test_a_folder_that_cannot_be_written_to_is_warned_of(monkeypatch):
    monkeypatch.setenv(engine_code.CACHE_VARIABLE, "/dev/null/nowhere")
    with pytest.warns(
        RuntimeWarning, match=r"compiled code cannot be kept .*name a folder in BAYES_NET_CACHE"
    ):
        assert engine_code.cache_folder() is None


def test_no_folder_is_none_without_a_warning(monkeypatch):
    monkeypatch.setenv(engine_code.CACHE_VARIABLE, "")
    assert engine_code.cache_folder() is None


def test_what_is_wrong_with_the_code_itself_is_no_matter_of_the_folder(tmp_path, monkeypatch):
    def fails(folder):
        raise numba.core.errors.TypingError("no such function")

    monkeypatch.setenv(engine_code.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(engine_code, "_compile", fails)
    with pytest.raises(numba.core.errors.TypingError):
        engine_code.code.__wrapped__()


def test_code_has_a_folder_for_every_version(tmp_path, monkeypatch):
    monkeypatch.setenv(engine_code.CACHE_VARIABLE, str(tmp_path))
    one = engine_code.cache_folder()
    assert one.parent == tmp_path
    assert one.stat().st_mode & 0o077 == 0
    known = engine_code.version
    monkeypatch.setattr(engine_code, "version", lambda name: "9.9" if name == "numba" else known(name))
    assert engine_code.cache_folder() not in (None, one)


def test_the_folder_is_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv(engine_code.CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert engine_code.cache_folder().parent == tmp_path / "cache" / "bayes-net"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert engine_code.cache_folder().parent == tmp_path / "home" / ".cache" / "bayes-net"
