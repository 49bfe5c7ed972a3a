"""The tables of a synthesis as tables to read; every function takes tidy tables and returns text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayes_net.checks.power import ABOUT, ALL_PRIORS, LIKELIHOOD, SENSITIVE
from bayes_net.evidence.kinds import kind_of
from bayes_net.numbers import (
    MISSING,
    format_interval,
    format_probability,
    percent,
    rounded,
    significant,
)
from bayes_net.report.synthesis_words import (
    WHOLE,
    describe,
    inside,
    of_new_study,
    parameter_label,
    response_labels,
)
from bayes_net.report.words import failed_rows
from bayes_net.results.columns import LEAST_CONTRACTION, PARAMETER_KEYS
from bayes_net.schema import (
    ARM,
    BIAS_TAKEN_OFF,
    WITHOUT_BIAS,
    landmark_label,
    words,
)

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


def credible_label(table: pd.DataFrame) -> str:
    """``95 % CrI`` of a table whose intervals are all equal-tailed."""
    return f"{percent(table['level'].iloc[0])} CrI"


def response_table(responses: pd.DataFrame) -> pd.DataFrame:
    """Probability of response by study and arm."""
    rows = list(responses.itertuples(index=False))
    values = [format_interval(r.estimate, r.lower, r.upper, r.mcse, most=2) for r in rows]
    return pd.DataFrame(
        {
            "Study and arm": [
                f"{label} (predicted)" if new else label
                for label, new in zip(response_labels(responses), of_new_study(responses), strict=True)
            ],
            f"Probability ({credible_label(responses)})": values,
            "Contraction": [rounded(row.contraction) for row in rows],
        }
    )


def survival_table(survival: pd.DataFrame) -> pd.DataFrame:
    """Predicted survival at a few months, one column a profile; marked where no evidence speaks."""
    times = np.sort(survival["time"].unique())
    step = next((s for s in (1, 2, 3, 6, 12, 24, 60) if times[-1] / s <= 6), 120)
    wanted = [t for t in np.arange(step, times[-1] + 1e-9, step) if np.isclose(t, times).any()]
    at_times = survival[[bool(np.isclose(t, wanted or times[-1:]).any()) for t in survival["time"]]]
    body: dict[tuple, dict[str, str]] = {}
    for row in at_times.itertuples():
        line = body.setdefault(
            (row.study, row.arm, row.time),
            {"Study and arm": f"{row.study}, {row.arm}", "Months": f"{row.time:g}"},
        )
        line[row.profile] = format_interval(row.estimate, row.lower, row.upper, 0.0, most=2)
        line["Evidence"] = "beyond the data" if row.beyond_data else ""
    table = pd.DataFrame(body.values())
    last = ["Evidence"] if table["Evidence"].any() else []
    return table[[name for name in table if name != "Evidence"] + last].fillna(MISSING)


def interpretable(parameters: pd.DataFrame) -> pd.DataFrame:
    """The parameters of ``KINDS``, in that order; a pooled mean that repeats the only study is left out."""
    means = parameters.loc[parameters["parameter"] == "arm_effect_mean", "mean"].round(9)
    effects = parameters.loc[parameters["parameter"] == "arm_effect", "mean"].round(9)
    kinds = [kind for kind in KINDS if kind != "arm_effect_mean" or not set(means) <= set(effects)]
    kept = parameters[parameters["parameter"].isin(kinds)]
    rank = kept["parameter"].map(kinds.index)
    return kept.iloc[np.argsort(rank.to_numpy(), kind="stable")].reset_index(drop=True)


def parameter_table(parameters: pd.DataFrame) -> pd.DataFrame:
    """Prior SD, posterior SD and contraction of the parameters that say something to a reader."""
    rows = list(interpretable(parameters).itertuples(index=False))
    return pd.DataFrame(
        {
            "Parameter": [KINDS[row.parameter] for row in rows],
            "Of": [parameter_label(row) or MISSING for row in rows],
            "Prior SD": [rounded(row.prior_sd) for row in rows],
            "Posterior SD": [rounded(row.sd) for row in rows],
            "Contraction": [rounded(row.contraction) for row in rows],
            "": ["the prior speaks" if row.contraction < LEAST_CONTRACTION else "" for row in rows],
        }
    )


def movement_table(influence: pd.DataFrame, *, sources: Sequence[str], failed: set[str]) -> pd.DataFrame:
    """By how many posterior SDs each mean moved without each source; bracketed if it is the source's own."""
    rows = influence[influence["parameter"].isin(("slope", "arm_effect", "response"))]
    body = []
    for _, own in rows.groupby(PARAMETER_KEYS, sort=False, dropna=False):
        moved, first = own.set_index("fit")["moved_by_sd"], next(own.itertuples())
        line = {"Parameter": KINDS[first.parameter], "Of": parameter_label(first)}
        for source in sources:
            fit = f"without {source}"
            value = "gate failed" if fit in failed else rounded(moved.get(fit, float("nan")), sign="+")
            line[f"Without {source}"] = f"[{value}]" if source == first.study else value
        body.append(line)
    order = {KINDS[kind]: i for i, kind in enumerate(KINDS)}
    return pd.DataFrame(body).sort_values("Parameter", key=lambda names: names.map(order), kind="stable")


def decided_table(power_scaling: pd.DataFrame) -> pd.DataFrame:
    """Per hazard ratio: sensitivity to data and priors, and the study and the prior that move it most."""
    rows = []
    for about, own in power_scaling.groupby(list(ABOUT), sort=False, dropna=False):
        part = own.set_index("component")["sensitivity"]
        rows.append(
            {
                "Hazard ratio": _reported(dict(zip(ABOUT, about, strict=True))),
                "Data": rounded(part[LIKELIHOOD]),
                "Study that moves it most": _strongest(part, _LIKELIHOOD_OF),
                "Priors": rounded(part[ALL_PRIORS]),
                "Prior that moves it most": _strongest(part, _PRIOR_OF),
                "Reading": own["reading"].iloc[0],
            }
        )
    table = pd.DataFrame(rows)
    return (
        table
        if (table["Study that moves it most"] != MISSING).any()
        else table.drop(columns="Study that moves it most")
    )


_LIKELIHOOD_OF, _PRIOR_OF = f"{LIKELIHOOD} of ", "prior of "


def _strongest(sensitivity: pd.Series, kind: str) -> str:
    """The component of this kind that moves it most, if any is not weak."""
    own = sensitivity[sensitivity.index.str.startswith(kind)]
    own = own[own >= SENSITIVE]
    return own.idxmax().removeprefix(kind) if len(own) else MISSING


def _reported(about: Mapping[str, object]) -> str:
    """``PFS, control, 150 d``, or ``PFS, arms, NETTER-1``."""
    endpoint = words(about["endpoint"])
    if about["measure"] == ARM:
        return f"{endpoint}, arms, {about['study']}"
    label = WITHOUT_BIAS if about["status"] == BIAS_TAKEN_OFF else about["landmark"]
    return f"{endpoint}, {about['arm']}, {landmark_label(label, about['biased'])}"


def without_table(study_influence: pd.DataFrame) -> pd.DataFrame:
    """Each hazard ratio with all evidence and without each study; none of which the evidence says nothing."""
    informed = study_influence[study_influence["contraction"] >= LEAST_CONTRACTION]
    label = f"HR ({credible_label(study_influence)})"
    rows = []
    for about, own in informed.groupby(list(ABOUT), sort=False, dropna=False):
        first = own.iloc[0]
        rows.append(
            {
                "Hazard ratio": _reported(dict(zip(ABOUT, about, strict=True))),
                label: format_interval(*first[["hr", "lower", "upper", "mcse_hr"]]),
            }
            | {f"Without {row.without}": _without(row) for row in own.itertuples()}
        )
    return pd.DataFrame(rows)


def _without(row) -> str:
    if not row.reliable:
        return "not known: needs a refit"
    if row.contraction_without < LEAST_CONTRACTION:
        return "only the prior"
    return format_interval(row.hr_without, row.lower_without, row.upper_without, row.mcse_hr)


def number_table(loo: pd.DataFrame, evidence: pd.DataFrame | None) -> pd.DataFrame:
    """How well each number is predicted from all others."""
    named = {} if evidence is None else {row.id: describe(row) for row in evidence.itertuples()}
    return pd.DataFrame(
        {
            "Row": loo["row"].astype(str),
            "What": [named.get(row, MISSING) for row in loo["row"]],
            "elpd": [rounded(value) for value in loo["elpd"]],
            "Pareto k": [rounded(value) for value in loo["pareto_k"]],
            "How": ["refitted without it" if exact else "importance sampling" for exact in loo["exact"]],
        }
    )


def check_table(checks: pd.DataFrame) -> pd.DataFrame:
    """Printed against predicted, with the predictive p-value."""
    rows, within = list(checks.itertuples(index=False)), inside(checks)
    label = percent(rows[0].level)
    return pd.DataFrame(
        {
            "Row": [row.row for row in rows],
            "What": [describe(row) for row in rows],
            "Printed (limits)": [
                _as_printed(row.printed, row.printed_lower, row.printed_upper) for row in rows
            ],
            f"Predicted ({label} predictive interval)": [
                format_interval(row.predicted, row.lower, row.upper, float("nan")) for row in rows
            ],
            "p": [format_probability(row.p_value) for row in rows],
            "Inside": ["yes" if fits else "no" for fits in within],
        }
    )


def evidence_table(evidence: pd.DataFrame) -> pd.DataFrame:
    """Every row of the evidence, those in the fit first: its use, its value, where it is printed, and what to
    know of it."""
    by_use = evidence["use"].map({use: place for place, use in enumerate(_USES)})
    rows = list(evidence.iloc[np.argsort(by_use.to_numpy(), kind="stable")].itertuples(index=False))
    return pd.DataFrame(
        {
            "Row": [row.id for row in rows],
            "Use": [_USES.get(row.use, row.use) for row in rows],
            "What": [_evidence_what(row) for row in rows],
            "Value (limits)": [_evidence_value(row) for row in rows],
            "Source": [_source(row) for row in rows],
            "Note": [_evidence_note(row) for row in rows],
        }
    )


def _text(value) -> str:
    return "" if pd.isna(value) else str(value).strip()


def _source(row) -> str:
    """Where a number is printed; a section that the source already ends with is not repeated."""
    source, section = _text(row.source), _text(row.section)
    return source if source.endswith(section) else f"{source}, {section}".removeprefix(", ")


def _evidence_what(row) -> str:
    threshold = f"≥ {row.threshold:g} points" if row.threshold > 0 else "any shrinkage" * (row.threshold == 0)
    against = f"against {row.reference_arm}" if _text(row.reference_arm) else ""
    return ", ".join(filter(None, (describe(row), against, _text(row.landmark), threshold)))


def _as_printed(value: float, lower: float, upper: float) -> str:
    """The digits of a publication, with its limits if it gives any."""
    if pd.isna(value):
        return MISSING if pd.isna(lower) else f"≥ {lower:g}"
    if pd.isna(lower):
        return f"{value:g}"
    return f"{value:g} ({lower:g} to {upper:g})" if pd.notna(upper) else f"{value:g} (≥ {lower:g})"


def _evidence_value(row) -> str:
    text = kind_of(row).as_printed(row, _as_printed(row.value, row.lower, row.upper))
    p = _text(row.p)
    return f"{text}; p {p if p.startswith('<') else '= ' + p}" if p else text


def _evidence_note(row) -> str:
    tie = f"correlated with {row.correlated_with}: {row.correlation}" if _text(row.correlated_with) else ""
    return "; ".join(filter(None, (tie, _text(row.note)))) or MISSING


def refit_table(diagnostics: pd.DataFrame) -> pd.DataFrame:
    """One line per refit: its worst value of every check, and whether it passed."""
    refits = diagnostics[diagnostics["fit"] != WHOLE]
    failed = set(failed_rows(refits)["fit"])
    body = []
    for fit, own in refits.groupby("fit", sort=False):
        values = {row.check: significant(row.worst, 4) for row in own.itertuples()}
        body.append({"Fit": fit} | values | {"Passed": "no" if fit in failed else "yes"})
    return pd.DataFrame(body).fillna(MISSING)
