"""Preparing, running and writing analyses."""

from lazy_loader import attach_stub

# what reads and fits each kind of plan registers itself with ``analysis.prepare``
from bayes_net.workflow import patients, synthesis  # noqa: F401

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
