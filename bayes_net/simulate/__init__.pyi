from .cohort import (
    simulate_cohort as simulate_cohort,
    write_cohort as write_cohort,
)
from .plan import SimulationPlan as SimulationPlan
