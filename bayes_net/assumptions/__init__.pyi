from . import priors as priors
from .assumptions import (
    Assumptions as Assumptions,
    Hazard as Hazard,
    SlopePrior as SlopePrior,
)
from .network import (
    Network as Network,
    combine_network as combine_network,
)
from .participants import Participants as Participants
