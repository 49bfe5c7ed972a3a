from .aggregated import (
    AggregatedExposure as AggregatedExposure,
    aggregate as aggregate,
)
from .assessments import censor_at_new_therapy as censor_at_new_therapy
from .cohort import (
    Cohort as Cohort,
    Note as Note,
    read_cohort as read_cohort,
)
from .exposure import (
    Exposure as Exposure,
    collapsed_form as collapsed_form,
    expose as expose,
    long_form as long_form,
)
from .follow_up import (
    time_dependent as time_dependent,
    transitions as transitions,
)
from .intervals import (
    equal_event_cuts as equal_event_cuts,
    grid_cuts as grid_cuts,
)
from .landmarks import (
    Landmark as Landmark,
    LandmarkSet as LandmarkSet,
    landmark as landmark,
)
from .registry import expose_registry as expose_registry
from .terms import (
    Covariate as Covariate,
    Response as Response,
    Shrinkage as Shrinkage,
    WithoutShrinkage as WithoutShrinkage,
)
