"""Preparing, running, writing and comparing analyses."""

# what reads and fits each kind of plan registers itself with ``analysis.prepare``
from bayes_net.workflow import patients, synthesis  # noqa: F401
