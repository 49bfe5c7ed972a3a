"""A cohort: a table of patients and one of scans, read, checked, and in one set of names and units."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bayes_net import schema
from bayes_net.display import notebook_html
from bayes_net.errors import CohortWarning, InputError, listed
from bayes_net.numbers import counted
from bayes_net.options import Scalar, Values, refuse_types
from bayes_net.tables import reading, rules
from bayes_net.tables.columns import patient_table, prepared_scans, scan_table
from bayes_net.tables.conventions import (
    CHANGE_UNITS,
    Conventions,
    as_event_values,
    as_texts,
    conventional,
    counted_from_dates,
    unknown_columns,
)
from bayes_net.tables.doubts import Tables
from bayes_net.tables.follow_up import censored_at_death
from bayes_net.tables.notes import (
    EXCLUDED_PATIENTS,
    HANDLED,
    WARNING,
    Note,
    accepted,
    judgement_calls,
    new_therapy_note,
    reconstructed_note,
)
from bayes_net.tables.plausibility import implausible


class Origin(NamedTuple):
    """Where a field comes from: the data set (its file), the variable or PARAMCD, and by what rule."""

    field: str
    data_set: str
    variable: str
    rule: str = ""


MISSING_COVARIATES = ("refuse", "keep")
"""What may become of covariates that are missing of some patients."""


@dataclass(frozen=True, eq=False, repr=False)
class Cohort:
    """Patients and their scans, times in months, sizes in mm, the reference arm first.

    ``patients`` has one row a patient: patient, study, arm, pfs_time and pfs_event, pfs_left where that was
    given, os_time and os_event where overall survival is known, new_therapy_time where that was given, then
    the covariates. ``scans`` has one row a
    scan: patient, time, baseline, pchg (percent change from baseline, 0 at the baseline scan; not where
    responses alone were read), new_lesion, response and, where sizes were read, sld in mm. Two cohorts are
    equal when their content is, whatever the row order.
    """

    patients: pd.DataFrame
    scans: pd.DataFrame
    arms: tuple[str, ...]
    covariates: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    synthetic: bool = False
    origin: tuple[Origin, ...] = ()
    """Where each field comes from, of a cohort from ADaM."""
    reasons: pd.DataFrame | None = None
    """Why follow-up ended: patient, pfs_reason and os_reason as text, of a cohort from ADaM."""
    reconstructed: tuple[str, ...] = ()
    """Patients who are nobody's data, but were made of a published curve."""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Those that are known: ``("pfs",)``, ``("pfs", "os")`` or ``("os",)``."""
        return tuple(name for name in schema.ENDPOINTS if f"{name}_time" in self.patients)

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies that patients come from."""
        return tuple(sorted(self.patients["study"].unique()))

    @property
    def sized(self) -> bool:
        """Whether scans say how much tumours shrank, and not the category of response alone."""
        return "pchg" in self.scans

    @property
    def digest(self) -> str:
        """The sha256 of both tables' values, which row and column order do not change."""
        content = hashlib.sha256()
        for table in (self.patients, self.scans):
            columns = sorted(table.columns)
            rows = table[columns].sort_values(columns, kind="stable")
            content.update(rows.to_csv(index=False, lineterminator="\n").encode())
        return content.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cohort) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple:
        return self.digest, self.arms, self.covariates, self.synthetic, self.reconstructed

    def __repr__(self) -> str:
        sizes = self.patients["arm"].value_counts()
        arms = ", ".join(f"{arm} {sizes.get(arm, 0)}" for arm in self.arms)
        endpoints = " and ".join(schema.ENDPOINT_LABELS[name] for name in self.endpoints)
        return f"<{self._kind}: {len(self.patients)} patients ({arms}), {len(self.scans)} scans, {endpoints}>"

    @property
    def _kind(self) -> str:
        """What the patients are, where they are nobody's data."""
        if self.synthetic:
            return "synthetic cohort"
        some = "" if len(self.reconstructed) == len(self.patients) else "partly "
        return f"{some}reconstructed cohort" if self.reconstructed else "cohort"

    def _repr_html_(self) -> str:
        sizes = "sizes as percent change from baseline" if self.sized else "responses without sizes"
        sizes = "sizes in mm" if "sld" in self.scans else sizes
        facts = [
            f"Study: {listed(self.patients['study'].unique())}",
            f"Units: time in months, {sizes}",
            f"Covariates: {', '.join(self.covariates) or 'none'}",
            *(f"{note.kind.capitalize()}: {note.message}" for note in self.notes),
        ]
        return notebook_html(self._kind.capitalize(), facts, tables={"": self._by_arm})

    @property
    def _by_arm(self) -> pd.DataFrame:
        """Counts of patients, events and scans, one row an arm."""
        arm_of = self.patients.set_index("patient")["arm"]
        counts = {"Patients": arm_of.value_counts()}
        for name in self.endpoints:
            events = self.patients.groupby("arm")[f"{name}_event"].sum()
            counts[f"{schema.ENDPOINT_LABELS[name]} events"] = events
        counts["Scans"] = self.scans["patient"].map(arm_of).value_counts()
        table = pd.DataFrame(counts).reindex(list(self.arms)).fillna(0).astype(int)
        return table.rename_axis("Arm").reset_index()


def read_cohort(
    patients: str | Path | pd.DataFrame,
    scans: str | Path | pd.DataFrame | None,
    *,
    time_unit: str,
    patient_columns: Mapping[str, str] | None = None,
    scan_columns: Mapping[str, str] | None = None,
    size_unit: str | None = None,
    arms: Sequence[Scalar] | None = None,
    covariates: Sequence[str] = (),
    baseline_window: str | schema.Duration = "0d",
    scans_after_death: str = "refuse",
    exclude_patients: str | Iterable[Scalar] = (),
    study: str | None = None,
    synthetic: bool | None = False,
    event_is: Values | Mapping[str, Values] | None = None,
    missing_codes: Mapping[str, Values] | None = None,
    change_unit: str | None = None,
    pfs_censored_at_death: str = "warn",
    pfs_after_os: str = "refuse",
    accept: str | Sequence[str] = (),
    scan_visits: Mapping[str, float] | None = None,
    missing_covariates: str = "refuse",
) -> Cohort:
    """The cohort of a patient table and a scan table, each a file or a DataFrame.

    ``patient_columns`` and ``scan_columns`` map canonical names to the tables' own, for example
    ``{"patient": "id", "pfs_time": "pfs_day"}``; a name left out is looked for as it is. Patients need
    patient, arm, pfs_time and pfs_event, and may have os_time with os_event, study, ``covariates``,
    new_therapy_time, the day on which a new anticancer therapy began, empty of who had none: scans after it
    show no shrinkage (``data.assessments.censor_at_new_therapy`` ends follow-up there too); and
    pfs_left, the last assessment before a progression that did not show it (pfs_time is then the first that
    did); without it, scans say which that is (``data.assessments``).
    Scans need patient, time and either size (with ``size_unit``) or pchg, and may have new_lesion and
    response; or patient, time and response alone, of which CR and PR say that shrinkage reached 30 %; None
    for a study without scans. The baseline is the last scan at or before
    ``baseline_window``; earlier ones are left out. ``arms`` puts the reference first; without it arms are
    in alphabetical order. Messages count the rows of a CSV file with the header as row 1; rows of Parquet
    and of DataFrames go by their index label.

    Times may be ISO dates where the patients have a column ``time_zero`` of dates: they are counted in days
    from it. ``scan_visits`` reads a scan table with one row a patient and one column a visit:
    ``{"week8": 56}`` has the time of each column. Patients may have overall survival alone.

    What is written otherwise than usual is declared: ``event_is``, the values that are events (``0``, or
    ``{"pfs": "yes", "os": ["dead", "died"]}``); ``missing_codes``, by column the values that stand for
    nothing; ``change_unit``, "percent" or "fraction"; ``pfs_censored_at_death``, whether PFS that is censored
    on the day of death is an "event", "censored" or warned of; ``pfs_after_os``, whether to "refuse" PFS that
    ends later than OS, or to "keep" it with a warning; ``accept``, codes of warnings that are meant so.
    ``missing_covariates`` are a reason to "refuse", or "keep" them for ``expose_imputed``.
    ``synthetic`` says that the patients are nobody's; None: if a column of that name says so of all.

    Raises
    ------
    InputError
        An option is of a wrong type, or is none of its values.
    CohortError
        Anything that no analysis can work around, every kind of it in one message, with the rows.
    """
    refuse_types(read_cohort, {k: v for k, v in locals().items() if k not in ("patients", "scans")})
    per_unit = schema.months_per(time_unit)
    window = schema.duration(baseline_window)
    arms = None if arms is None else tuple(str(arm) for arm in arms)
    reading.check_options(size_unit, covariates, scans_after_death)
    if missing_covariates not in MISSING_COVARIATES:
        raise InputError(
            f"missing_covariates is {missing_covariates!r}; expected one of {', '.join(MISSING_COVARIATES)}"
        )
    how = Conventions(
        as_event_values(event_is),
        {column: as_texts(codes) for column, codes in (missing_codes or {}).items()},
        change_unit,
        pfs_censored_at_death,
        pfs_after_os,
        (accept,) if isinstance(accept, str) else tuple(accept),
    )
    people, visits = reading.selected_tables(
        patients, scans, patient_columns, scan_columns, covariates, size_unit, study, scan_visits
    )
    people, visits, notes, problems = _without(people, visits, exclude_patients)
    people, visits, declared, undeclared = _conventional(people, visits, how)
    people, visits, dated, undated = counted_from_dates(people, visits, per_unit * schema.DAYS_PER_MONTH)
    people, found = rules.typed_patients(
        people, covariates, per_unit, keep_missing=missing_covariates == "keep"
    )
    visits, found_in_scans = rules.typed_scans(visits, per_unit, CHANGE_UNITS[change_unit or "percent"])
    people, at_death = _death_ends_pfs(people, how)
    visits, dropped = prepared_scans(
        visits, people, reading.months_on_grid(window.months), drop_late=scans_after_death == "drop"
    )

    def in_unit(months: float) -> str:
        return f"{months / per_unit:g} {time_unit}"

    tables = Tables(people, visits, time_unit, arms, covariates, how, size_unit, patient_columns or {})
    odd, impossible = implausible(tables)
    problems += (
        undeclared
        + undated
        + found
        + found_in_scans
        + rules.patient_problems(people, arms, in_unit, pfs_after_os)
    )
    problems += [*rules.scan_problems(visits, people, str(window), in_unit), *impossible]
    reading.refuse(problems, accepted(odd, how.accept))
    table = patient_table(people.frame, covariates, study)
    scans_by_patient = scan_table(visits.frame, size_unit)
    calls = judgement_calls(table, scans_by_patient, tuple(covariates))
    cohort = Cohort(
        patients=table,
        scans=scans_by_patient.astype({"patient": object, "response": object}),
        arms=tuple(arms or sorted(set(people.frame["arm"]))),
        covariates=tuple(covariates),
        synthetic=bool(_is_marked(people.frame, reading.SYNTHETIC).all()) if synthetic is None else synthetic,
        reconstructed=_reconstructed(people.frame),
    )
    notes += new_therapy_note(table, scans_by_patient)
    notes += reconstructed_note(len(cohort.reconstructed), len(table))
    return _with_notes(cohort, notes + declared + dated + at_death + dropped, odd + calls, how)


def _reconstructed(frame: pd.DataFrame) -> tuple[str, ...]:
    """Patients whom ``files.curves.reconstruct`` made of a figure, as their table says."""
    marked = _is_marked(frame, reading.RECONSTRUCTED)
    return tuple(sorted(frame["patient"][marked].astype(str)))


def _is_marked(frame: pd.DataFrame, name: str) -> pd.Series:
    """Which patients a column of marks says are so; without the column none."""
    if name not in frame:
        return pd.Series(False, index=frame.index)
    return frame[name].astype(str).str.strip().str.lower() == "true"


def _conventional(
    people: reading.Table, visits: reading.Table, how: Conventions
) -> tuple[reading.Table, reading.Table, tuple[Note, ...], list[str]]:
    """Both tables with declared codes taken for what they mean, notes of it, and what was declared in
    vain."""
    notes = [Note(HANDLED, "as-read", f"{t.name}: {each}", 1) for t in (people, visits) for each in t.handled]
    problems = unknown_columns(how, (people, visits))
    people, declared, wrong = conventional(people, how)
    visits, also, wrong_too = conventional(visits, how)
    return people, visits, (*notes, *declared, *also), [*problems, *wrong, *wrong_too]


def _death_ends_pfs(people: reading.Table, how: Conventions) -> tuple[reading.Table, tuple[Note, ...]]:
    """Patients whose PFS is censored on the day of death, with an event then if that is declared."""
    if how.pfs_censored_at_death == "warn" or not {"pfs_time", "os_time"} <= set(people.frame):
        return people, ()
    at = censored_at_death(people.frame)
    n, as_event = int(at.sum()), how.pfs_censored_at_death == "event"
    if as_event:
        people = replace(people, frame=people.frame.assign(pfs_event=people.frame["pfs_event"].mask(at, 1.0)))
    taken = "counted as an event" if as_event else "left censored"
    message = f"PFS of {counted(n, 'patient')} censored on the day of death, {taken} as declared"
    return people, (Note(HANDLED, "pfs-censored-at-death", message, n),) if n else ()


def _without(
    people: reading.Table, visits: reading.Table, excluded: str | Iterable[Scalar]
) -> tuple[reading.Table, reading.Table, tuple[Note, ...], list[str]]:
    """Both tables without the excluded patients, a note that counts them, and the ones that are not there."""
    names = {str(name).strip() for name in ([excluded] if isinstance(excluded, str) else excluded)}
    ids = reading.text(people.frame["patient"])
    absent = sorted(names - set(ids.dropna()))
    problems = []
    if absent:
        got = f"patients to exclude that do not occur: {listed(absent)}"
        problems = [reading.problem(people.name, got, "patients of this table", "Correct exclude_patients.")]
    out = ids.isin(names)
    if out.all():
        todo = "Exclude fewer patients."
        problems.append(
            reading.problem(people.name, "every patient is excluded", "patients to analyse", todo)
        )
    if not names:
        return people, visits, (), problems
    kept = people.where(~out), visits.where(~reading.text(visits.frame["patient"]).isin(names))
    arms = reading.text(people.frame["arm"])[out & ~ids.duplicated()].value_counts().sort_index()
    if not out.any():
        return *kept, (), problems
    by_arm = tuple((str(arm), int(n)) for arm, n in arms.items())
    n = len(names) - len(absent)
    note = Note(
        HANDLED, EXCLUDED_PATIENTS, f"{counted(n, 'patient')} excluded as the specification says", n, by_arm
    )
    return *kept, (note,), problems


def _with_notes(cohort: Cohort, handled: tuple[Note, ...], odd: tuple[Note, ...], how: Conventions) -> Cohort:
    """The cohort with its notes; those that call for judgement are warned of, once."""
    if not len(cohort.scans):  # then nobody has one, which needs no saying
        odd = tuple(note for note in odd if note.code != "no-post-baseline-scan")
    notes = accepted(odd, how.accept)
    if warned := [note.message for note in notes if note.kind == WARNING]:
        message = "; ".join(warned)
        warnings.warn(f"the cohort calls for judgement: {message}", CohortWarning, stacklevel=3)
    return replace(cohort, notes=handled + notes)
