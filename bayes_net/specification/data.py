"""The tables [data] and [[covariates]] of a specification: where patients come from, and what they have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from bayes_net.data.cohort import Cohort
from bayes_net.data.terms import QUANTILES, Covariate
from bayes_net.schema import Duration
from bayes_net.specification.fields import (
    Flag,
    Length,
    Number,
    Positive,
    Whole,
)
from bayes_net.specification.sections import Section
from bayes_net.tables.conventions import as_event_values, as_texts
from bayes_net.tables.notes import WARNINGS

Codes = Annotated[tuple[str, ...], BeforeValidator(as_texts), WithJsonSchema({"format": "list of values"})]


EventValues = Annotated[
    dict[str, tuple[str, ...]],
    BeforeValidator(as_event_values),
    WithJsonSchema({"format": "value, list of values, or a table of them by endpoint"}),
]


ADAM_KEYS = ("pfs", "os", "new_therapy", "tumour", "response", "arm", "population", "analysis_flag")


class DataSection(Section):
    """Where the patients come from: two tables, or the built-in generator of a synthetic cohort."""

    synthetic: Flag = False
    """Generate the patients instead of reading tables. Remove the other keys of `[data]` then."""
    synthetic_seed: Annotated[Whole, Field(ge=0)] | None = None
    """Seed of the generator. Required with `synthetic`."""
    patients: Path | None = None
    """One row a patient: text (`.csv`, `.tsv`, `.txt`), `.parquet`, `.xlsx` (`"study.xlsx#Patients"` names a
    sheet), SAS (`.xpt`, `.sas7bdat`), Stata (`.dta`), SPSS (`.sav`) or Dataset-JSON (`.json`, `.ndjson`,
    `.dsjc`). Required, unless `synthetic`. Paths start at the folder of the specification."""
    scans: Path | None = None
    """One row a scan, in a file of the same kinds. Required, unless `synthetic` or `slopes = "none"`."""
    adam: Path | None = None
    """Folder of ADaM data sets (ADSL, ADTTE, and where there ADTR and ADRS), or a pattern of their files such
    as `"study/*.xpt"`, in the place of `patients` and `scans`. Units are read from it."""
    adam_parameters: dict[Literal[ADAM_KEYS], str] = {}
    """What is meant in ADaM where it is not the usual: PARAMCD of `pfs`, `os`, `tumour`, `response` and, read
    only if it is named, of time to a `new_therapy`; variable of the `arm`, flag of the `population` (`""`:
    everyone) and `analysis_flag` of tumour rows."""
    adam_where: dict[str, dict[str, str]] = {}
    """Rows that are kept, by data set: `{adtr = {PARCAT2 = "Investigator"}}`."""
    time_unit: Literal["days", "weeks", "months", "years"] | None = None
    """Unit of every time in both tables. Required, unless `synthetic` or `adam`."""
    size_unit: Literal["mm", "cm"] | None = None
    """Unit of the sum of diameters. Leave it out if scans have the percent change `pchg`."""
    patient_columns: dict[str, str] = {}
    """Your own names of the columns of the patient table, where they differ from `patient`, `arm`,
    `pfs_time`, `pfs_event`, `os_time`, `os_event` and `study`; `new_therapy_time`, when a new anticancer
    therapy began, empty if none did; and `time_zero`, the date from which dates count."""
    scan_columns: dict[str, str] = {}
    """The same for the scan table: `patient`, `time`, `size` or `pchg`, `new_lesion`, `response`."""
    arms: tuple[str, ...] = ()
    """Every arm, the reference first. `[]`: in alphabetical order."""
    baseline_window: Length = Duration(0.0, "d")
    """Scans until then are baseline candidates; the last of them is the baseline."""
    scans_after_death: Literal["refuse", "drop"] = "refuse"
    """Refuse the tables, or drop such scans and count them in the report."""
    exclude_patients: tuple[str, ...] = ()
    """Identifiers in quotes; counted in the report, never named in it."""
    study: str | None = None
    """Name of the study, if the patient table has no column of it."""
    scan_visits: dict[str, Number] = {}
    """Of a scan table with one row a patient and one column a visit: the time of each column, such as
    `{baseline = 0, week8 = 56}`. The columns hold sizes with `size_unit`, and percent changes without."""
    event_is: EventValues = {}
    """Values that mean an event, if they are not 1: `0` (of a column of censoring), `["yes", "dead"]`, or for
    each endpoint its own, such as `{pfs = 0, os = "dead"}`. All other values are censored."""
    missing_codes: dict[str, Codes] = {}
    """By column the values that stand for a missing one, such as `{age = [999, -9]}`; names of columns are
    those before `patient_columns` and `scan_columns`."""
    change_unit: Literal["percent", "fraction"] | None = None
    """Unit of `pchg`: a tumour that is 46 % smaller has -46, or the fraction -0.46."""
    pfs_censored_at_death: Literal["warn", "event", "censored"] = "warn"
    """PFS that is censored on the day of death: warn of it, count it as an event, or leave it censored."""
    accept: tuple[Literal[tuple(WARNINGS)], ...] = ()
    """Warnings that are meant so, by the code that `bayes-net check` shows; the report still counts them."""

    @property
    def telling(self) -> tuple[str, ...]:
        """Of ADaM, scans after death are dropped where nothing is said of them."""
        return () if self.adam is None else ("scans_after_death",)

    @model_serializer(mode="wrap")
    def _as_said(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unsaid = {*self.telling} - self.model_fields_set
        return {key: value for key, value in values(self).items() if key not in unsaid}

    @property
    def lacks_scans(self) -> bool:
        """Whether no scan of these patients is given."""
        return self.scans is None and self.adam is None and not self.synthetic

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if self.adam is not None:
            tables: dict[str, Any] = {
                "patients": self.patients,
                "scans": self.scans,
                "synthetic": self.synthetic or None,
            }
            tables |= {
                "patient_columns": self.patient_columns or None,
                "scan_columns": self.scan_columns or None,
            }
            if given := [name for name, value in tables.items() if value is not None]:
                raise ValueError(f"adam has the patients and their scans: remove {', '.join(given)}")
            return self
        if self.adam_parameters or self.adam_where:
            raise ValueError("adam_parameters and adam_where are about adam, which is missing")
        needed = {"patients": self.patients, "time_unit": self.time_unit}
        missing = [name for name, value in needed.items() if value is None]
        if self.synthetic and (len(missing) < len(needed) or self.scans is not None):
            raise ValueError("synthetic = true generates its patients: remove patients, scans and time_unit")
        if self.synthetic and self.synthetic_seed is None:
            raise ValueError("synthetic = true needs synthetic_seed, a whole number")
        if not self.synthetic and missing:
            raise ValueError(f"missing: {', '.join(missing)}")
        return self


class CovariateSection(Section):
    """A further covariate: numeric (per ``scale``, from ``reference``) or with ``levels``."""

    name: str
    """Column of the patient table, or its name before `patient_columns`."""
    reference: Number | None = None
    """For numbers: the covariate enters as (value − reference) / scale."""
    scale: Positive = 1.0
    """For numbers: the hazard ratio is per so much."""
    knots: Annotated[Whole, Field(ge=min(QUANTILES), le=max(QUANTILES))] | None = None
    """For numbers: a natural cubic spline with so many knots, at quantiles of all patients, the same at every
    landmark; hazard ratios are between knots. Left out: the log hazard is a straight line in the number."""
    by_arm: Flag = False
    """Each arm has hazard ratios of the covariate of its own (an interaction with the arm)."""
    levels: tuple[str, ...] = ()
    """For categories: all levels, the reference first. Every other level gets a hazard ratio."""

    @model_validator(mode="after")
    def _one_kind(self) -> CovariateSection:
        if bool(self.levels) == (self.reference is not None):
            raise ValueError("give either reference (numeric) or levels (categories, reference level first)")
        if self.levels and (len(self.levels) < 2 or len(set(self.levels)) < len(self.levels)):
            raise ValueError("levels needs at least two different levels")
        if self.knots is not None and (self.levels or self.scale != 1.0):
            raise ValueError(
                "knots are of numbers with a reference, and hazard ratios of a spline are between its knots: "
                "leave out levels and scale"
            )
        return self

    def value(self, cohort: Cohort) -> Covariate:
        """The covariate as the exposure takes it, with knots at quantiles of all patients."""
        arms = cohort.arms if self.by_arm and len(cohort.arms) > 1 else ()
        kind = Covariate(self.name, self.reference or 0.0, self.scale, self.levels, self.knots or (), arms)
        return kind.with_knots(cohort.patients[self.name])
