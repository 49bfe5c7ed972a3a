from . import (
    assumptions as assumptions,
    checks as checks,
    data as data,
    estimands as estimands,
    evidence as evidence,
    inference as inference,
    model as model,
    paper as paper,
    results as results,
    robustness as robustness,
    schema as schema,
    simulate as simulate,
    specification as specification,
    workflow as workflow,
)
from .adam.read import read_adam as read_adam
from .adam.write import write_adam as write_adam
from .assumptions import (
    Assumptions as Assumptions,
    Hazard as Hazard,
    Network as Network,
    Participants as Participants,
    combine_network as combine_network,
    priors as priors,
)
from .assumptions.priors import (
    HalfNormal as HalfNormal,
    Normal as Normal,
    Priors as Priors,
    hazard_change_prior as hazard_change_prior,
    hazard_ratio_prior as hazard_ratio_prior,
    median_survival_prior as median_survival_prior,
)
from .checks import gate as gate
from .data import (
    Cohort as Cohort,
    Covariate as Covariate,
    Exposure as Exposure,
    Response as Response,
    Shrinkage as Shrinkage,
    expose as expose,
    landmark as landmark,
    long_form as long_form,
    read_cohort as read_cohort,
)
from .engine.layout import layout as layout
from .errors import (
    CohortError as CohortError,
    CohortWarning as CohortWarning,
    InputError as InputError,
    SpecificationError as SpecificationError,
)
from .estimands import (
    arm_hazard_ratio as arm_hazard_ratio,
    contrast as contrast,
    hazard_ratio as hazard_ratio,
    hazard_ratio_by_time as hazard_ratio_by_time,
    median_survival as median_survival,
    probability as probability,
    rmst as rmst,
    summarise as summarise,
    survival as survival,
)
from .evidence import (
    Evidence as Evidence,
    EvidenceError as EvidenceError,
    read_evidence as read_evidence,
)
from .figures import plots as plots
from .inference import (
    Censoring as Censoring,
    Sampler as Sampler,
    compile_model as compile_model,
    fit as fit,
    fit_synthesis as fit_synthesis,
    sample as sample,
)
from .model import (
    hazard_model as hazard_model,
    synthesis_model as synthesis_model,
)
from .results import (
    fitted as fitted,
    hazard_ratio_table as hazard_ratio_table,
    read_result as read_result,
    survival_curves as survival_curves,
)
from .robustness import (
    compare as compare,
    sensitivity as sensitivity,
)
from .schema import Duration as Duration, duration as duration
from .simulate import (
    SimulationPlan as SimulationPlan,
    simulate_cohort as simulate_cohort,
)
from .specification import (
    read_specification as read_specification,
    write_specification as write_specification,
)
from .workflow import (
    explain as explain,
    analyse as analyse,
    prepare as prepare,
    run as run,
    write as write,
)
