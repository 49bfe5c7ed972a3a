from .curves import survival_curves as survival_curves
from .fits import (
    Fitted as Fitted,
    fitted as fitted,
    hazard_ratio_table as hazard_ratio_table,
)
from .folder import (
    ResultFolder as ResultFolder,
    read_result as read_result,
)
from .patients import survival_table as survival_table
