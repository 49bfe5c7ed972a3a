"""``python -m bayes_net`` is the command line."""

from bayes_net.cli.app import app

app(prog_name="bayes-net")
