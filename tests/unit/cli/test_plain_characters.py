"""What a terminal has no characters for is shown by plain ones, and a file is there whole or not at all."""

import bayes_net.cli.terminal  # noqa: F401 (registers how characters are replaced)
from bayes_net.files import writing


def test_a_terminal_without_a_character_shows_a_plain_one():
    shown = "0.63 (0.29–1.14), −0.4 SD, response ≥ 30 %: “greater” …"
    assert shown.encode("ascii", "plain") == b'0.63 (0.29-1.14), -0.4 SD, response >= 30 %: "greater" ...'
    assert "腫瘍 ½".encode("latin-1", "plain") == b"\\u816b\\u760d \xbd"


def test_a_full_disk_leaves_no_empty_specification(tmp_path, monkeypatch):
    from command_line import invoke

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.Path, "write_bytes", full)
    code, _, error = invoke("init", tmp_path / "a.toml")
    assert code == 2
    assert "No space left on device" in error
    assert list(tmp_path.iterdir()) == []
