from .arms import (
    arm_differences as arm_differences,
    state_probabilities as state_probabilities,
)
from .mixtures import (
    NormalMixture as NormalMixture,
    binomial_information as binomial_information,
    elir as elir,
    fit_mixture as fit_mixture,
    robustify as robustify,
    update as update,
)
from .ratios import (
    arm_hazard_ratio as arm_hazard_ratio,
    covariate_hazard_ratio as covariate_hazard_ratio,
    hazard_ratio as hazard_ratio,
    hazard_ratio_by_time as hazard_ratio_by_time,
    hazard_ratio_under_frailty as hazard_ratio_under_frailty,
    interaction as interaction,
)
from .summary import (
    contrast as contrast,
    probability as probability,
    summarise as summarise,
)
from .survival import (
    baseline_hazard as baseline_hazard,
    conditional_survival as conditional_survival,
    cumulative_hazard as cumulative_hazard,
    median_survival as median_survival,
    rmst as rmst,
    standardised_survival as standardised_survival,
    survival as survival,
)
