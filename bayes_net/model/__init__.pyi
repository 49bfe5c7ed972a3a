from .hazard import hazard_model as hazard_model
from .synthesis import synthesis_model as synthesis_model
