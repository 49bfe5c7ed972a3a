"""The tables of a synthesis as tables to read; every function takes tidy tables and returns text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.checks.power import ABOUT, ALL_PRIORS, LIKELIHOOD, SENSITIVE
from bayes_net.labels import WITHOUT_BIAS, landmark_label
from bayes_net.numbers import (
    MISSING,
    Cell,
    cross_table,
    format_interval,
    format_posterior,
    format_probability,
    format_ratio,
    interval_label,
    percent,
    plain,
    rounded,
    significant,
    text_table,
    unbroken,
)
from bayes_net.report.synthesis_words import (
    WHOLE,
    describe,
    inside,
    of_new_study,
    parameter_label,
    response_label,
)
from bayes_net.report.tables import PRIOR_OF, sensitivities, strongest
from bayes_net.report.words import failed_rows
from bayes_net.results.columns import LEAST_CONTRACTION, PARAMETER_KEYS
from bayes_net.schema import ARM, BIAS_TAKEN_OFF, words
from bayes_net.statistics.base import Row
from bayes_net.statistics.kinds import kind_of

KINDS = {
    "slope": "Slope of shrinkage (log HR per 10 points)",
    "bias": "Bias of no limit (log HR per 10 points)",
    "arm_effect": "Arm effect (log HR)",
    "arm_effect_mean": "Arm effect, pooled mean (log HR)",
    "study_level": "Study’s hazard against the reference (log)",
    "response": "Response (log odds)",
    "completion": "Response at completion (log odds ratio)",
}
"""The parameters that say something to a reader, in the order of reading."""
_USES = {"likelihood": "in the fit", "check": "held out", "record": "record only"}

response_table = partial(
    text_table,
    columns={
        "Study and arm": lambda row: f"{response_label(row)}{' (predicted)' * of_new_study(row)}",
        "Probability ({interval})": lambda row: format_posterior(row, most=2),
        "Contraction": ("contraction", rounded),
    },
)
"""Probability of response by study and arm."""


unprinted_table = partial(
    text_table,
    columns={
        "Row": ("row", str),
        "Of": lambda row: ", ".join(filter(None, [words(row.endpoint), row.arm, str(row.landmark)])),
        "The paper says": ("said", str),
        "It can lie at ({interval})": lambda row: format_posterior(row, most=2),
    },
)
"""Estimates that are not printed: what is said of each, and where it can lie."""


def virtual_table(virtual_trials: pd.DataFrame) -> pd.DataFrame:
    """What was printed beside what virtual trials would print, and what is not matched."""
    return text_table(
        virtual_trials,
        {
            "Arm": ("arm", plain),
            "Printed": lambda row: f"{row.margin}: {rounded(row.printed)}",
            "Virtual trials (90 %)": lambda row: (
                f"{rounded(row.median)} ({rounded(row.lower)} to {rounded(row.upper)})"
            ),
            "": lambda row: "" if row.inside else "not matched",
        },
    )


virtual_without_table = partial(
    text_table,
    columns={
        "Without": ("without", str),
        "Arm": ("arm", plain),
        "Of": lambda row: f"{row.quantity}, {unbroken(row.landmark)}",
        "Matched to all (SD)": lambda row: f"{rounded(row.value)} ({rounded(row.sd)})",
        "Without (SD)": lambda row: f"{rounded(row.value_without)} ({rounded(row.sd_without)})",
    },
)
"""What virtual trials tell, and what they tell if they are matched without a study; SDs of standard errors
are of their logarithms."""


def survival_table(survival: pd.DataFrame) -> pd.DataFrame:
    """Predicted survival of whole arms at a few months; marked where no evidence speaks."""
    times = np.sort(survival["time"].unique())
    step = next((s for s in (1, 2, 3, 6, 12, 24, 60) if times[-1] / s <= 6), 120)
    wanted = [t for t in np.arange(step, times[-1] + 1e-9, step) if np.isclose(t, times).any()]
    at_times = survival[[bool(np.isclose(t, wanted or times[-1:]).any()) for t in survival["time"]]]
    return _over_time(at_times, lambda row: ({"Months": f"{row.time:g}"}, "Survival"))


def profile_table(profiles: pd.DataFrame) -> pd.DataFrame:
    """Predicted survival a year after each landmark, or as late as there is, one column a profile; marked
    where no evidence speaks."""
    month = min(12.0, profiles.groupby("landmark")["time"].max().min())
    at_month = profiles[profiles["time"] == profiles.loc[profiles["time"] <= month, "time"].max()]
    return _over_time(
        at_month,
        lambda row: ({"Landmark": row.landmark, "Months after it": f"{row.time:g}"}, row.profile),
    )


def _over_time(survival: pd.DataFrame, place: Callable[[Any], tuple[dict[str, str], str]]) -> pd.DataFrame:
    """Survival by study and arm, and by the labels and in the column that ``place`` makes of a row."""

    def cell(row: Any) -> Cell:
        labels, column = place(row)
        about = {"Study and arm": f"{row.study}, {row.arm}"} | labels
        about["Evidence"] = "beyond the data" * bool(row.beyond_data)
        return about, column, format_interval(row.estimate, row.lower, row.upper, 0.0, most=2)

    table = cross_table(map(cell, survival.itertuples()))
    evidence = table.pop("Evidence")
    return table.assign(Evidence=evidence) if evidence.any() else table


def interpretable(parameters: pd.DataFrame) -> pd.DataFrame:
    """The parameters of ``KINDS``, in that order; a pooled mean that repeats the only study is left out."""
    means = parameters.loc[parameters["parameter"] == "arm_effect_mean", "mean"].round(9)
    effects = parameters.loc[parameters["parameter"] == "arm_effect", "mean"].round(9)
    kinds = [kind for kind in KINDS if kind != "arm_effect_mean" or not set(means) <= set(effects)]
    kept = parameters[parameters["parameter"].isin(kinds)]
    return kept.sort_values("parameter", key=lambda names: names.map(kinds.index), kind="stable").reset_index(
        drop=True
    )


def parameter_table(parameters: pd.DataFrame) -> pd.DataFrame:
    """Prior SD, posterior SD and contraction of the parameters that say something to a reader."""
    return text_table(
        interpretable(parameters),
        {
            "Parameter": ("parameter", KINDS.__getitem__),
            "Of": lambda row: parameter_label(row) or MISSING,
            "Prior SD": ("prior_sd", rounded),
            "Posterior SD": ("sd", rounded),
            "Contraction": ("contraction", rounded),
            "": ("contraction", lambda share: "the prior speaks" * (share < LEAST_CONTRACTION)),
        },
    )


def movement_table(influence: pd.DataFrame, *, sources: Sequence[str], failed: set[str]) -> pd.DataFrame:
    """By how many posterior SDs each mean moved without each source; bracketed if it is the source's own."""
    rows = influence[influence["parameter"].isin(("slope", "arm_effect", "response"))]
    body = []
    for _, moved in rows.groupby(PARAMETER_KEYS, sort=False, dropna=False):
        by_fit, first = moved.set_index("fit")["moved_by_sd"], next(moved.itertuples())
        line = {"Parameter": KINDS[first.parameter], "Of": parameter_label(first)}
        for source in sources:
            fit = f"without {source}"
            value = "gate failed" if fit in failed else rounded(by_fit.get(fit, np.nan), sign="+")
            line[f"Without {source}"] = f"[{value}]" if source == first.study else value
        body.append(line)
    order = {text: i for i, text in enumerate(KINDS.values())}
    return pd.DataFrame(body).sort_values("Parameter", key=lambda names: names.map(order), kind="stable")


def decided_table(power_scaling: pd.DataFrame) -> pd.DataFrame:
    """Per hazard ratio: sensitivity to data and priors, and the study and the prior that move it most."""
    study = "Study that moves it most"
    table = pd.DataFrame(
        {
            "Hazard ratio": _reported(row),
            "Data": rounded(sensitivity[LIKELIHOOD]),
            study: strongest(sensitivity, f"{LIKELIHOOD} of ", least=SENSITIVE) or MISSING,
            "Priors": rounded(sensitivity[ALL_PRIORS]),
            "Prior that moves it most": strongest(sensitivity, PRIOR_OF, least=SENSITIVE) or MISSING,
            "Reading": row.reading,
        }
        for row, sensitivity in sensitivities(power_scaling, ABOUT)
    )
    return table if (table[study] != MISSING).any() else table.drop(columns=study)


def _reported(row: Any) -> str:
    """``PFS, control, 150 d``, or ``PFS, arms, NETTER-1``."""
    if row.measure == ARM:
        return f"{words(row.endpoint)}, arms, {row.study}"
    label = WITHOUT_BIAS if row.status == BIAS_TAKEN_OFF else row.landmark
    return f"{words(row.endpoint)}, {row.arm}, {landmark_label(label, row.biased)}"


def without_table(study_influence: pd.DataFrame) -> pd.DataFrame:
    """Each hazard ratio with all evidence and without each study; none of which the evidence says nothing."""
    informed = study_influence[study_influence["contraction"] >= LEAST_CONTRACTION]
    label = f"HR ({interval_label(study_influence)})"
    return pd.DataFrame(
        {"Hazard ratio": _reported(rows.iloc[0]), label: format_ratio(rows.iloc[0])}
        | {f"Without {row.without}": _without(row) for row in rows.itertuples()}
        for _, rows in informed.groupby(list(ABOUT), sort=False, dropna=False)
    )


def _without(row: Any) -> str:
    if not row.reliable:
        return "not known: needs a refit"
    if row.contraction_without < LEAST_CONTRACTION:
        return "only the prior"
    return format_interval(row.hr_without, row.lower_without, row.upper_without, row.mcse_hr)


def number_table(loo: pd.DataFrame, evidence: pd.DataFrame | None) -> pd.DataFrame:
    """How well each number is predicted from all others."""
    named = {} if evidence is None else {row.id: describe(row) for row in evidence.itertuples()}
    return text_table(
        loo,
        {
            "Row": ("row", str),
            "What": ("row", lambda row: named.get(row, MISSING)),
            "elpd": ("elpd", rounded),
            "Pareto k": ("pareto_k", rounded),
            "How": ("how", str),
        },
    )


def check_table(checks: pd.DataFrame) -> pd.DataFrame:
    """Printed against predicted, with the predictive p-value."""
    return text_table(
        checks.assign(inside=inside(checks)),
        {
            "Row": ("row", str),
            "What": describe,
            "Printed (limits)": lambda row: as_printed(row.printed, row.printed_lower, row.printed_upper),
            f"Predicted ({percent(checks['level'].iloc[0])} predictive interval)": lambda row: (
                format_interval(row.predicted, row.lower, row.upper, np.nan)
            ),
            "p": ("p_value", format_probability),
            "Inside": ("inside", plain),
        },
    )


def evidence_table(evidence: pd.DataFrame) -> pd.DataFrame:
    """Every row of the evidence, those in the fit first: its use, its value, where it is printed, and what to
    know of it."""
    order = {use: place for place, use in enumerate(_USES)}
    return text_table(
        evidence.sort_values("use", key=lambda uses: uses.map(order), kind="stable"),
        {
            "Row": ("id", str),
            "Use": ("use", lambda use: str(_USES.get(use, use))),
            "What": _evidence_what,
            "Value (limits)": _evidence_value,
            "Source": _source,
            "Note": _evidence_note,
        },
    )


def _text(value: object) -> str:
    return "" if pd.isna(value) else str(value).strip()


def _source(row: Row) -> str:
    """Where a number is printed; a section that the source already ends with is not repeated."""
    source, section = _text(row.source), _text(row.section)
    return source if source.endswith(section) else f"{source}, {section}".removeprefix(", ")


def _evidence_what(row: Row) -> str:
    threshold = f"≥ {row.threshold:g} points" if row.threshold > 0 else "any shrinkage" * (row.threshold == 0)
    against = f"against {row.reference_arm}" if _text(row.reference_arm) else ""
    return ", ".join(filter(None, (describe(row), against, _text(row.landmark), threshold)))


def as_printed(value: float, lower: float, upper: float) -> str:
    """The digits of a publication, with its limits if it gives any."""
    if pd.isna(value):
        return MISSING if pd.isna(lower) else f"≥ {lower:g}"
    if pd.isna(lower):
        return f"{value:g}"
    return f"{value:g} ({lower:g} to {upper:g})" if pd.notna(upper) else f"{value:g} (≥ {lower:g})"


def _evidence_value(row: Row) -> str:
    text = kind_of(row).as_printed(row, as_printed(row.value, row.lower, row.upper))
    p = _text(row.p)
    return f"{text}; p {p if p.startswith('<') else '= ' + p}" if p else text


def _evidence_note(row: Row) -> str:
    tie = f"correlated with {row.correlated_with}: {row.correlation}" if _text(row.correlated_with) else ""
    return "; ".join(filter(None, (tie, _text(row.note)))) or MISSING


def refit_table(diagnostics: pd.DataFrame) -> pd.DataFrame:
    """One line per refit: its worst value of every check, and whether it passed."""
    refits = diagnostics[diagnostics["fit"] != WHOLE]
    failed = set(failed_rows(refits)["fit"])
    table = cross_table(
        ({"Fit": row.fit}, row.check, significant(row.worst, 4)) for row in refits.itertuples()
    )
    return table.assign(Passed=["no" if fit in failed else "yes" for fit in table["Fit"]])
