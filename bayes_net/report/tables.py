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
)
from bayes_net.schema import WITHOUT_BIAS, landmark_label

_IN_MONTHS = ("median", "rmst")


def hazard_ratio_table(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Landmark, arm, patients, events, hazard ratio with interval, and its Monte-Carlo error, as text."""
    rows = list(hazard_ratios.itertuples(index=False))
    texts = [format_interval(row.hr, row.lower, row.upper, row.mcse_hr) for row in rows]
    return pd.DataFrame(
        {
            **_where(hazard_ratios),
            "Patients": [format_count(count) for count in hazard_ratios["n"]],
            "Events": [format_count(count) for count in hazard_ratios["events"]],
            f"HR ({interval_label(hazard_ratios)})": texts,
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
            "Months": [f"{row.start:.3g} to {row.end:.3g}" for row in rows],
            "Events": [format_count(count) for count in ratios["events"]],
            f"HR ({interval_label(ratios)})": [
                format_interval(row.hr, row.lower, row.upper, row.mcse_hr) for row in rows
            ],
            "MCSE": [error_text(row.mcse_hr) for row in rows],
            "Gate": list(ratios["gate"]),
        }
    )


def probability_table(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Landmark, arm, the posterior probabilities of three regions, and the first one in words."""
    regions = {"HR < 1": "prob_below_1", "HR < 0.8": "prob_below_0.8", "0.9 < HR < 1.11": "prob_0.9_to_1.11"}
    words = [_in_words(row) for row in hazard_ratios.itertuples(index=False)]
    return pd.DataFrame(
        {
            **_where(hazard_ratios),
            **{
                f"Pr({name})": [format_probability(p) for p in hazard_ratios[column]]
                for name, column in regions.items()
            },
            "Time to event, with more shrinkage": words,
        }
    )


def _in_words(row) -> str:
    if row.biased or row.gate != schema.PASSED:
        why = "the bias is assumed" if row.landmark == WITHOUT_BIAS else "biased"
        return f"not interpreted ({why if row.biased else 'gate failed'})"
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
        told = f"{row.observed:.2f}; {replicated}; p\N{NO-BREAK SPACE}{format_probability(row.p)}"
        line[f"At {row.months:.3g} mo"] = told
    return pd.DataFrame(body.values()).fillna(MISSING)


def loo_table(loo: pd.DataFrame) -> pd.DataFrame:
    """One row per fit: expected log predictive density, effective parameters, and how Pareto k behaved."""
    rows = list(loo.itertuples(index=False))
    return pd.DataFrame(
        {
            "Fit": [row.fit for row in rows],
            "Patients": [format_count(row.n) for row in rows],
            "elpd": [f"{row.elpd:.1f}".replace("-", "−") for row in rows],
            "SE": [f"{row.elpd_se:.1f}" for row in rows],
            "Effective parameters": [f"{row.p_loo:.1f}" for row in rows],
            "Worst Pareto k": [f"{row.worst_pareto_k:.2f}" for row in rows],
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
    """Per landmark and arm: sensitivity to data and priors, the prior that moves it most, and what bias it
    would take to lose its word."""
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
                "Data": _sense(part["sensitivity"].get("likelihood")),
                "Priors": _sense(part["sensitivity"].get("all priors")),
                "Most by that of": _PRIORS.get(strongest, strongest) or MISSING,
                "Reading": own["reading"].iloc[0],
                "Word lost at bias": MISSING if math.isnan(factor) or biased else f"× {factor:.2f}",
            }
        )
    return pd.DataFrame(rows)


def influence_table(influence: pd.DataFrame) -> pd.DataFrame:
    """Per landmark and arm: the hazard ratio with all patients and without the one who moves it most."""
    rows = list(influence.itertuples(index=False))
    return pd.DataFrame(
        {
            **_where(influence),
            "HR": [f"{row.hr:.2f} → {row.hr_without:.2f}" for row in rows],
            "Moved": [_moved(row) for row in rows],
            "Pr(HR < 1)": [
                f"{format_probability(row.prob_below_1)} → {format_probability(row.prob_below_1_without)}"
                for row in rows
            ],
            "Pareto k": [_reliance(row) for row in rows],
        }
    ).replace("nan → nan", MISSING)


def _moved(row) -> str:
    before, after = abs(math.log(row.hr)), abs(math.log(row.hr_without))
    if math.isnan(after):
        return MISSING
    if (row.hr < 1) != (row.hr_without < 1):
        return "across 1"
    return "towards 1" if after < before else "away from 1"


def _reliance(row) -> str:
    """The k of the patient who moves it most, and of how many others the change is not known."""
    own = MISSING if math.isnan(row.pareto_k) else f"{row.pareto_k:.2f}" + ", refitted" * bool(row.refitted)
    return f"{own}; {row.n_unreliable} not known" if row.n_unreliable else own


def _sense(value: float | None) -> str:
    return MISSING if value is None or math.isnan(value) else f"{value:.2f}"


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
    return name if quantity == "median" or math.isnan(time) else f"{name} (at {time:.3g} mo)"
