"""Tidy results as tables to read: every number with the digits that its Monte-Carlo error supports."""

from __future__ import annotations

import math

import pandas as pd

from bayes_net import schema
from bayes_net.errors import InputError
from bayes_net.estimands.summary import direction
from bayes_net.numbers import (
    MISSING,
    MONTH_DECIMALS,
    MOST_DECIMALS,
    error_text,
    format_count,
    format_interval,
    format_probability,
    interval_label,
    plain,
    rounded,
    significant,
)
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.schema import (
    ARM,
    NO_LIMIT,
    OBSERVED,
    PREDICTED,
    WITHOUT_BIAS,
    landmark_label,
    landmark_names,
    words,
)

_PRINTED = "Printed HR (limits)"
_IN_MONTHS = ("median", "rmst")


def hazard_ratio_table(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Landmark, arm, patients, events, hazard ratio with interval, and its Monte-Carlo error, as text."""
    rows = list(hazard_ratios.itertuples(index=False))
    return pd.DataFrame(
        {
            **_where(hazard_ratios),
            "Patients": [format_count(count) for count in hazard_ratios["n"]],
            "Events": [format_count(count) for count in hazard_ratios["events"]],
            f"HR ({interval_label(hazard_ratios)})": _intervals(rows),
            "MCSE": [error_text(row.mcse_hr) for row in rows],
            "Gate": list(hazard_ratios["gate"]),
        }
    )


def over_time_table(ratios: pd.DataFrame) -> pd.DataFrame:
    """Landmark, arm, months since the landmark, events, hazard ratio with interval, its error, as text."""
    rows = list(ratios.itertuples(index=False))
    return pd.DataFrame(
        {
            **_where(ratios),
            "Months": [f"{significant(row.start)} to {significant(row.end)}" for row in rows],
            "Events": [format_count(count) for count in ratios["events"]],
            f"HR ({interval_label(ratios)})": _intervals(rows),
            "MCSE": [error_text(row.mcse_hr) for row in rows],
            "Gate": list(ratios["gate"]),
        }
    )


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


def ratio_table(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Landmark, arm, posterior and (if there is any) printed hazard ratio, status, contraction, MCSE."""
    hazard_ratios = by_landmark(hazard_ratios)
    rows = list(hazard_ratios.itertuples(index=False))
    table = pd.DataFrame(
        {
            **_where(hazard_ratios),
            f"Posterior HR ({interval_label(hazard_ratios)})": _intervals(rows),
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


def arm_table(arms: pd.DataFrame) -> pd.DataFrame:
    """Arms' hazard ratios, which are compared within studies, and studies' levels, which are not."""
    rows = list(arms.itertuples(index=False))
    return pd.DataFrame(
        {
            "Endpoint": [words(row.endpoint) for row in rows],
            "Comparison": [
                with_signs(row.comparison) if row.estimand == ARM else row.estimand for row in rows
            ],
            "Study": [row.study for row in rows],
            f"HR ({interval_label(arms)})": _intervals(rows),
            "Pr(HR < 1)": [format_probability(row.prob_below_1) for row in rows],
            "In words": [_arm_words(row) for row in rows],
            "Contraction": [rounded(row.contraction) for row in rows],
        }
    )


def _arm_words(row) -> str:
    if row.gate == schema.PASSED and row.estimand != ARM:
        return "not interpreted (time zero and selection differ)"
    return _in_words(row)


def probability_table(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Landmark, arm, the posterior probabilities of three regions, and the first one in words."""
    regions = {"HR < 1": "prob_below_1", "HR < 0.8": "prob_below_0.8", "0.9 < HR < 1.11": "prob_0.9_to_1.11"}
    hazard_ratios = by_landmark(hazard_ratios)
    readings = [_in_words(row) for row in hazard_ratios.itertuples(index=False)]
    return pd.DataFrame(
        {
            **_where(hazard_ratios),
            **{
                f"Pr({name})": [format_probability(p) for p in hazard_ratios[column]]
                for name, column in regions.items()
            },
            "Time to event, with more shrinkage": readings,
        }
    )


def _in_words(row) -> str:
    if row.biased or row.gate != schema.PASSED:
        why = "the bias is assumed" if row.landmark == WITHOUT_BIAS else "biased"
        return f"not interpreted ({why if row.biased else 'gate failed'})"
    if row.contraction < LEAST_CONTRACTION:
        return "not interpreted (this is the prior)"
    return " ".join(direction(row.prob_below_1)).strip()


def survival_table(survival: pd.DataFrame) -> pd.DataFrame:
    """One row per landmark, arm and profile; one column per quantity and time, estimate with interval.

    What lies ``beyond_follow_up`` (an optional column) is marked as extrapolated.
    """
    rows = list(survival.itertuples(index=False))
    keys = [(landmark_label(row.landmark, row.biased), row.arm, row.profile) for row in rows]
    quantities = [_quantity(row.quantity, row.time) for row in rows]
    cells: dict[tuple, dict[str, str]] = {key: {} for key in keys}
    for key, quantity, row in zip(keys, quantities, rows, strict=True):
        most = MONTH_DECIMALS if row.quantity in _IN_MONTHS else MOST_DECIMALS
        if quantity in cells[key]:
            raise InputError(f"two rows for {quantity}, {', '.join(key)}; expected one analysis per table")
        text = format_interval(row.estimate, row.lower, row.upper, row.mcse, most=most)
        cells[key][quantity] = text + (" extrapolated" if getattr(row, "beyond_follow_up", False) else "")
    columns = list(dict.fromkeys(quantities))
    body = [[*key, *(found.get(column, MISSING) for column in columns)] for key, found in cells.items()]
    return pd.DataFrame(body, columns=["Landmark", "Arm", "Profile", *columns])


def predictive_table(ppc: pd.DataFrame) -> pd.DataFrame:
    """One row per fit and arm, one column per time: observed survival; replicated, with interval; p."""
    body: dict[tuple[str, str], dict[str, str]] = {}
    for row in ppc.itertuples(index=False):
        line = body.setdefault((row.fit, row.arm), {"Fit": row.fit, "Arm": row.arm})
        replicated = format_interval(row.replicated, row.lower, row.upper, math.nan, most=2)
        cell = f"{rounded(row.observed)}; {replicated}; p\N{NO-BREAK SPACE}{format_probability(row.p)}"
        line[f"At {significant(row.months)} mo"] = cell
    return pd.DataFrame(body.values()).fillna(MISSING)


def loo_table(loo: pd.DataFrame) -> pd.DataFrame:
    """One row per fit: expected log predictive density, effective parameters, and how Pareto k behaved."""
    rows = list(loo.itertuples(index=False))
    return pd.DataFrame(
        {
            "Fit": [row.fit for row in rows],
            "Patients": [format_count(row.n) for row in rows],
            "elpd": [rounded(row.elpd, 1) for row in rows],
            "SE": [rounded(row.elpd_se, 1) for row in rows],
            "Effective parameters": [rounded(row.p_loo, 1) for row in rows],
            "Worst Pareto k": [rounded(row.worst_pareto_k) for row in rows],
            "Patients with k above 0.7": [format_count(row.n_high_pareto_k) for row in rows],
        }
    )


_PRIOR_OF = "prior of "
_PRIORS = {
    "slope": "the slope",
    "common_slope": "the slope",
    "level": "the baseline",
    "log_baseline": "the baseline",
    "step_sd": "change over time",
    schema.ARM_EFFECT: "the arm",
    schema.COVARIATE_EFFECT: "covariates",
}


def sensitivity_table(power_scaling: pd.DataFrame, tipping: pd.DataFrame | None) -> pd.DataFrame:
    """Per landmark and arm: sensitivity to data and priors, the prior that moves it most, and the bias that
    would change the verbal conclusion."""
    keys = ["endpoint", "population", "measure", "landmark", "arm"]
    factors = {} if tipping is None else tipping.set_index(keys)["factor"].to_dict()
    rows = []
    for key, own in power_scaling.groupby(keys, sort=False):
        part, biased = own.set_index("component"), bool(own["biased"].iloc[0])
        priors = part.loc[part.index.str.startswith(_PRIOR_OF), "sensitivity"]
        strongest = priors.idxmax().removeprefix(_PRIOR_OF) if len(priors) else ""
        factor = factors.get(key, math.nan)
        rows.append(
            {
                "Landmark": landmark_label(key[3], biased),
                "Arm": plain(key[4], 3),
                "Data": rounded(part["sensitivity"].get("likelihood", math.nan)),
                "Priors": rounded(part["sensitivity"].get("all priors", math.nan)),
                "Prior that moves it most": _PRIORS.get(strongest, strongest) or MISSING,
                "Reading": own["reading"].iloc[0],
                "Bias that would change the conclusion": MISSING
                if math.isnan(factor) or biased
                else f"× {rounded(factor)}",
            }
        )
    return pd.DataFrame(rows)


def influence_table(influence: pd.DataFrame) -> pd.DataFrame:
    """Per landmark and arm: the hazard ratio with all patients and without the one who moves it most."""
    rows = list(influence.itertuples(index=False))
    return pd.DataFrame(
        {
            **_where(influence),
            "HR": [f"{rounded(row.hr)} → {rounded(row.hr_without)}" for row in rows],
            "Moved": [_moved(row) for row in rows],
            "Pr(HR < 1)": [
                f"{format_probability(row.prob_below_1)} → {format_probability(row.prob_below_1_without)}"
                for row in rows
            ],
            "Pareto k": [_reliance(row) for row in rows],
        }
    ).replace(f"{MISSING} → {MISSING}", MISSING)


def _moved(row) -> str:
    before, after = abs(math.log(row.hr)), abs(math.log(row.hr_without))
    if math.isnan(after):
        return MISSING
    if (row.hr < 1) != (row.hr_without < 1):
        return "across 1"
    return "towards 1" if after < before else "away from 1"


def _reliance(row) -> str:
    """The k of the patient who moves it most, and of how many others the change is not known."""
    own = rounded(row.pareto_k) + ", refitted" * bool(row.refitted)
    return f"{own}; {row.n_unreliable} not known" if row.n_unreliable else own


def _intervals(rows: list) -> list[str]:
    return [format_interval(row.hr, row.lower, row.upper, row.mcse_hr) for row in rows]


def with_signs(label: str) -> str:
    """``≥ 30`` for ``>=30``."""
    return label.replace(">=", "≥ ").replace("<", "< ")


def _where(table: pd.DataFrame) -> dict[str, list[str]]:
    places = zip(table["landmark"], table["biased"], strict=True)
    return {
        "Landmark": [landmark_label(label, biased) for label, biased in places],
        "Arm": [plain(arm, 3) for arm in table["arm"]],
    }


def _quantity(quantity: str, time: float) -> str:
    names = {
        "survival": "Survival",
        "median": "Median, months",
        "rmst": "RMST, months",
        "conditional": "Conditional",
    }
    name = names.get(quantity, quantity)
    return name if quantity == "median" or math.isnan(time) else f"{name} (at {significant(time)} mo)"
