"""What is assumed: priors, hazards, and what informs what among published numbers and patients."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
