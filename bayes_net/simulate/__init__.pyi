from .cohort import (
    simulate_cohort as simulate_cohort,
    write_cohort as write_cohort,
)
from .ensemble import (
    VirtualArm as VirtualArm,
    VirtualTrials as VirtualTrials,
    virtual_trials as virtual_trials,
)
from .plan import SimulationPlan as SimulationPlan
