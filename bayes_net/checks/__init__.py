"""What guards an answer: gate, predictions, power-scaling, influence, tipping points."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
