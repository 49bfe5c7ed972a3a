"""The tables of a synthesis as tables to read; every function takes tidy tables and returns text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayes_net import schema
from bayes_net.checks.power import ABOUT, ALL_PRIORS, LIKELIHOOD, SENSITIVE
from bayes_net.estimands.summary import direction
from bayes_net.evidence.kinds import kind_of
from bayes_net.numbers import (
    MISSING,
    error_text,
    format_interval,
    format_probability,
    percent,
    rounded,
    significant,
)
from bayes_net.report import tables
from bayes_net.report.synthesis_words import LEAST_CONTRACTION, WHOLE, describe, inside, slope_label
from bayes_net.report.words import failed_rows
from bayes_net.results.synthesis import PREDICTED
from bayes_net.schema import (
    ARM,
    BIAS_TAKEN_OFF,
    NO_LIMIT,
    OBSERVED,
    WITHOUT_BIAS,
    landmark_label,
    landmark_names,
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


_PRINTED = "Printed HR (limits)"


_USES = {"likelihood": "in the fit", "check": "held out", "record": "record only"}


def by_landmark(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Rows of one endpoint and measure, arms together; "no limit" last: as observed, then without bias."""
    order = {name: i for i, name in enumerate(hazard_ratios["landmark"].unique())}
    order |= {OBSERVED: len(order), NO_LIMIT: len(order) + 1}
    rows = hazard_ratios.sort_values("landmark", key=lambda names: names.map(order), kind="stable")
    return rows.assign(landmark=landmark_names(rows))


def plain_interval(estimate: float, lower: float, upper: float) -> str:
    """A printed hazard ratio with its limits, if it has any."""
    if pd.isna(estimate):
        return MISSING
    return rounded(estimate, 3) if pd.isna(lower) else format_interval(estimate, lower, upper, 0.0)


def ratio_table(hazard_ratios: pd.DataFrame, *, label: str) -> pd.DataFrame:
    """Landmark, arm, posterior and (if there is any) printed hazard ratio, status, contraction, MCSE."""
    rows = list(by_landmark(hazard_ratios).itertuples(index=False))
    table = pd.DataFrame(
        {
            "Landmark": [landmark_label(row.landmark, row.biased) for row in rows],
            "Arm": [row.arm for row in rows],
            f"Posterior HR ({label})": [
                format_interval(row.hr, row.lower, row.upper, row.mcse_hr) for row in rows
            ],
            _PRINTED: [plain_interval(row.printed, row.printed_lower, row.printed_upper) for row in rows],
            "Status": [_status(row) for row in rows],
            "Contraction": [rounded(row.contraction) for row in rows],
            "MCSE": [error_text(row.mcse_hr) for row in rows],
        }
    )
    return table if hazard_ratios["printed"].notna().any() else table.drop(columns=_PRINTED)


def _status(row) -> str:
    if row.status == PREDICTED:
        return (
            "predicted: only the prior" if row.contraction < LEAST_CONTRACTION else "predicted, not in print"
        )
    return f"{row.status}; the prior speaks" if row.contraction < LEAST_CONTRACTION else row.status


def probability_table(hazard_ratios: pd.DataFrame, *, failed: bool) -> pd.DataFrame:
    """Posterior probabilities in words; none where the prior speaks, the row is biased or the gate failed."""
    gate = "failed" if failed else schema.PASSED
    rows = by_landmark(hazard_ratios).assign(gate=gate)
    table = tables.probability_table(rows)
    silent = (rows["contraction"] < LEAST_CONTRACTION).to_numpy() & ~rows["biased"].to_numpy(bool)
    if not failed:
        table.loc[silent, table.columns[-1]] = "not interpreted (this is the prior)"
    return table


def arm_table(arms: pd.DataFrame, *, label: str, comparison: str, failed: bool) -> pd.DataFrame:
    """Arms' hazard ratios, which are compared within studies, and studies' levels, which are not."""
    rows = list(arms.itertuples(index=False))
    return pd.DataFrame(
        {
            "Endpoint": [words(row.endpoint) for row in rows],
            "Comparison": [comparison if row.estimand == "arm" else row.estimand for row in rows],
            "Study": [row.study for row in rows],
            f"HR ({label})": [format_interval(row.hr, row.lower, row.upper, row.mcse_hr) for row in rows],
            "Pr(HR < 1)": [format_probability(row.prob_below_1) for row in rows],
            "In words": [_arm_words(row, failed) for row in rows],
            "Contraction": [rounded(row.contraction) for row in rows],
        }
    )


def _arm_words(row, failed: bool) -> str:
    if failed or row.estimand != "arm":
        return f"not interpreted ({'gate failed' if failed else 'time zero and selection differ'})"
    if row.contraction < LEAST_CONTRACTION:
        return "not interpreted (this is the prior)"
    return " ".join(direction(row.prob_below_1)).strip()


def response_table(responses: pd.DataFrame, *, label: str) -> pd.DataFrame:
    """Probability of response by study and arm."""
    rows = list(responses.itertuples(index=False))
    values = [format_interval(r.estimate, r.lower, r.upper, r.mcse, most=2) for r in rows]
    names = [f"{r.response_group} (predicted)" * (r.response_group == "new study") for r in rows]
    return pd.DataFrame(
        {
            "Study and arm": [name or r.response_group for name, r in zip(names, rows, strict=True)],
            f"Probability ({label})": values,
            "Contraction": [rounded(row.contraction) for row in rows],
        }
    )


def survival_table(survival: pd.DataFrame) -> pd.DataFrame:
    """Predicted survival at a few months, one column a profile; marked where no evidence speaks."""
    times = np.sort(survival["time"].unique())
    step = next((s for s in (1, 2, 3, 6, 12, 24, 60) if times[-1] / s <= 6), 120)
    wanted = [t for t in np.arange(step, times[-1] + 1e-9, step) if np.isclose(t, times).any()]
    shown = survival[[bool(np.isclose(t, wanted or times[-1:]).any()) for t in survival["time"]]]
    body: dict[tuple, dict[str, str]] = {}
    for row in shown.itertuples():
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
            "Of": [_of(row.label) for row in rows],
            "Prior SD": [rounded(row.prior_sd) for row in rows],
            "Posterior SD": [rounded(row.sd) for row in rows],
            "Contraction": [rounded(row.contraction) for row in rows],
            "": ["the prior speaks" if row.contraction < LEAST_CONTRACTION else "" for row in rows],
        }
    )


def _of(label: str) -> str:
    return MISSING if label == "completion" else slope_label(label)


def movement_table(influence: pd.DataFrame, *, sources: Sequence[str], failed: set[str]) -> pd.DataFrame:
    """By how many posterior SDs each mean moved without each source; bracketed if it is the source's own."""
    rows = influence[influence["parameter"].isin(("slope", "arm_effect", "response"))]
    body = []
    for (kind, label), own in rows.groupby(["parameter", "label"], sort=False):
        moved = own.set_index("fit")["moved_by_sd"]
        line = {"Parameter": KINDS[kind], "Of": _of(label)}
        for source in sources:
            fit = f"without {source}"
            its_own = any(
                source == part for part in (label, label.rpartition(" ")[0], label.partition(" ")[2])
            )
            value = "gate failed" if fit in failed else rounded(moved.get(fit, float("nan")), sign="+")
            line[f"Without {source}"] = f"[{value}]" if its_own else value
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
    told = study_influence[study_influence["contraction"] >= LEAST_CONTRACTION]
    label = f"HR ({percent(study_influence['level'].iloc[0])} CrI)"
    rows = []
    for about, own in told.groupby(list(ABOUT), sort=False, dropna=False):
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
