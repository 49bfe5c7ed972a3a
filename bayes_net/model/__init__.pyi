from .hazard import (
    hazard_model as hazard_model,
    hazard_model_with_error as hazard_model_with_error,
)
from .synthesis import synthesis_model as synthesis_model
