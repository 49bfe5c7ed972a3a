"""Texts of files are shown on a terminal as they are."""

from command_line import invoke
from small_trial import tables, written


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
