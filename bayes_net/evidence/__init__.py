"""Published numbers in: a table with its sources, its rules, and which rows tell the same thing."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
