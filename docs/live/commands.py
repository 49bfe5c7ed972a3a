"""The command line, from the application itself."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from bayes_net.cli.app import app
from live.markdown import first_line, table


def commands() -> str:
    """Every command with its arguments and options."""
    whole = typer.main.get_command(app)
    options = [(f"`{', '.join(p.opts)}`", p.help) for p in whole.params]
    parts = [table(("Option", "Meaning"), [*options, ("`--help`", "Show help and exit.")])]
    for name, command in whole.commands.items():
        parts.append(f"## `{name}`\n\n```text\n{_usage(name, command)}\n```\n\n{first_line(command.help)}")
        if command.params:
            parts.append(table(("Argument or option", "Meaning", "Default"), list(_parameters(command))))
    return "\n\n".join(parts)


def _usage(name: str, command) -> str:
    arguments = [p for p in command.params if not _is_option(p)]
    shown = [_name(p) if p.required else f"[{_name(p)}]" for p in arguments]
    return " ".join(["bayes-net", name, *shown, *["[OPTIONS]"] * (len(command.params) > len(arguments))])


def _is_option(parameter) -> bool:
    return parameter.opts[0].startswith("-")


def _name(parameter) -> str:
    return parameter.metavar or parameter.name.upper()


def _parameters(command) -> Iterator[tuple[str, str, str]]:
    for p in command.params:
        shown = _name(p)
        if _is_option(p):
            shown = p.opts[0] if p.is_flag else f"{p.opts[0]} {shown}"
        yield f"`{shown}`", p.help or "", "*required*" if p.required else _default(p)


def _default(parameter) -> str:
    if isinstance(parameter.show_default, str):
        return f"`{parameter.show_default}`"
    if parameter.default is None:
        return "none"
    return "off" if parameter.default is False else f"`{parameter.default}`"
