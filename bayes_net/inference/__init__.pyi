from .imputation import (
    Censoring as Censoring,
    concerned_patients as concerned_patients,
    fit_imputed as fit_imputed,
    impute_censored as impute_censored,
)
from .missing import (
    Imputation as Imputation,
    expose_imputed as expose_imputed,
    fit_completed as fit_completed,
)
from .patients import (
    fit as fit,
    fit_with_error as fit_with_error,
    stack as stack,
)
from .sampling import (
    Sampler as Sampler,
    compile_model as compile_model,
    sample as sample,
)
from .synthesis import fit_synthesis as fit_synthesis
