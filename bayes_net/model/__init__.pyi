from . import priors as priors
from .assumptions import (
    Assumptions as Assumptions,
    Hazard as Hazard,
    SlopePrior as SlopePrior,
)
from .hazard import hazard_model as hazard_model
from .network import (
    Network as Network,
    combine_network as combine_network,
)
from .participants import Participants as Participants
from .synthesis import synthesis_model as synthesis_model
