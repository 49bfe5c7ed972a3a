from .calibrate import (
    calibrate as calibrate,
    calibration_summary as calibration_summary,
)
from .conflict import (
    prior_conflict as prior_conflict,
)
from .design import (
    Design as Design,
    design_summary as design_summary,
    operating_characteristics as operating_characteristics,
)
from .gate import (
    Gate as Gate,
    gate as gate,
    loo as loo,
)
from .influence import (
    influence as influence,
    leave_one_number_out as leave_one_number_out,
    left_out as left_out,
    study_influence as study_influence,
)
from .power import (
    power_scaling as power_scaling,
    synthesis_power_scaling as synthesis_power_scaling,
    tipping_factor as tipping_factor,
)
from .prediction import (
    Prediction as Prediction,
    prediction as prediction,
)
from .predictive import (
    for_loo_pit as for_loo_pit,
    kaplan_meier as kaplan_meier,
    posterior_predictive as posterior_predictive,
)
from .tipping import (
    censoring_curve as censoring_curve,
    censoring_tipping as censoring_tipping,
)
