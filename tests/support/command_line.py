"""The command line, in this process or in one of its own."""

import subprocess
import sys

from typer.testing import CliRunner

from bayes_net.cli.app import app

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
