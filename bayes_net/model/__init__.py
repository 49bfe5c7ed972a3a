"""The model that follows: its equations, log densities, and definitions in PyMC."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
