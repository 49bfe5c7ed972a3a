from . import priors as priors
from .combine import combine_network as combine_network
from .hazard import Hazard as Hazard
from .measurement import expose_with_error as expose_with_error
from .network import Network as Network
from .participants import Participants as Participants
from .synthesis import (
    Assumptions as Assumptions,
    SlopePrior as SlopePrior,
)
