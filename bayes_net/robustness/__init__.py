"""Would the answer change? Scenarios, an audit of priors, results side by side, a design's calibration."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
