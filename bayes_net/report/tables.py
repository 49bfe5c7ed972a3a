"""Tidy results as tables to read: every number with the digits that its Monte-Carlo error supports."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd

from bayes_net import schema
from bayes_net.estimands.summary import direction
from bayes_net.labels import WITHOUT_BIAS, landmark_label, landmark_names
from bayes_net.numbers import (
    MISSING,
    MONTH_DECIMALS,
    MOST_DECIMALS,
    Cell,
    Column,
    alike,
    cross_table,
    error_text,
    format_count,
    format_interval,
    format_posterior,
    format_probability,
    format_ratio,
    plain,
    rounded,
    significant,
    text_table,
)
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.schema import (
    ANY_TIME,
    ARM,
    NO_LIMIT,
    OBSERVED,
    PER_1_POINT,
    PER_10_POINTS,
    PREDICTED,
    SAID,
    words,
)

PRIOR_OF = "prior of "
"""How the component of one stated prior begins in a table of power-scaling."""
_WHERE: dict[str, Column] = {
    "Landmark": lambda row: landmark_label(row.landmark, row.biased),
    "Arm": ("arm", plain),
}
_ESTIMATED: dict[str, Column] = {
    "Events": ("events", format_count),
    "HR ({interval})": format_ratio,
    "MCSE": ("mcse_hr", error_text),
    "Gate": ("gate", str),
}
hazard_ratio_table = partial(text_table, columns=_WHERE | {"Patients": ("n", format_count)} | _ESTIMATED)
"""Landmark, arm, patients, events, hazard ratio with interval, and its Monte-Carlo error, as text."""
over_time_table = partial(
    text_table,
    columns=_WHERE
    | {"Months": lambda row: f"{significant(row.start)} to {significant(row.end)}"}
    | _ESTIMATED,
)
"""Landmark, arm, months since the landmark, events, hazard ratio with interval, its error, as text."""


def by_landmark(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Rows of one endpoint and measure, arms together; all follow-up first, "no limit" last: as observed,
    then without bias."""
    order = {name: i for i, name in enumerate(hazard_ratios["landmark"].unique())} | {ANY_TIME: -1}
    order |= {OBSERVED: len(order), NO_LIMIT: len(order) + 1}
    rows = hazard_ratios.sort_values("landmark", key=lambda names: names.map(order), kind="stable")
    return rows.assign(landmark=landmark_names(rows))


def reported_ratios(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Those that a report shows: per 10 points, since those per 1 point are the same in other units."""
    per_1 = hazard_ratios["measure"] == PER_1_POINT
    return hazard_ratios[~(per_1 & (hazard_ratios["measure"] == PER_10_POINTS).any())]


def ratio_table(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Landmark, arm, posterior and (if there is any) printed hazard ratio, status, contraction, MCSE."""
    printed = {"Printed HR (limits)": format_printed} if hazard_ratios["printed"].notna().any() else {}
    return text_table(
        by_landmark(hazard_ratios),
        _WHERE
        | {"Posterior HR ({interval})": format_ratio}
        | printed
        | {"Status": _status, "Contraction": ("contraction", rounded), "MCSE": ("mcse_hr", error_text)},
    )


def format_printed(row: Any) -> str:
    """A printed hazard ratio with its limits, if it has any."""
    if pd.isna(row.printed) or pd.isna(row.printed_lower):
        return rounded(row.printed, 3)
    return format_interval(row.printed, row.printed_lower, row.printed_upper, 0.0)


def _status(row: Any) -> str:
    silent = row.contraction < LEAST_CONTRACTION
    if row.status == SAID:
        return f"said: {row.said}{'; the prior speaks' * silent}"
    if row.status == PREDICTED:
        return f"predicted{': only the prior' if silent else ', not in print'}"
    return f"{row.status}{'; the prior speaks' * silent}"


def _arm_words(row: Any) -> str:
    if row.gate == schema.PASSED and row.estimand != ARM:
        return "not interpreted (time zero and selection differ)"
    return _in_words(row)


arm_table = partial(
    text_table,
    columns={
        "Endpoint": ("endpoint", words),
        "Comparison": lambda row: with_signs(row.comparison) if row.estimand == ARM else row.estimand,
        "Study": ("study", str),
        "HR ({interval})": format_ratio,
        "Pr(HR < 1)": ("prob_below_1", format_probability),
        "In words": _arm_words,
        "Contraction": ("contraction", rounded),
    },
)
"""Arms' hazard ratios, which are compared within studies, and studies' levels, which are not."""


def probability_table(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Landmark, arm, the posterior probabilities of three regions, and the first one in words."""
    regions = {"HR < 1": "prob_below_1", "HR < 0.8": "prob_below_0.8", "0.9 < HR < 1.11": "prob_0.9_to_1.11"}
    probabilities = {f"Pr({region})": (column, format_probability) for region, column in regions.items()}
    with_more = (hazard_ratios["estimand"] == schema.ASSOCIATION).any()
    reading = {f"Time to event{', with more shrinkage' * bool(with_more)}": _in_words}
    return text_table(by_landmark(hazard_ratios), _WHERE | probabilities | reading)


def _in_words(row: Any) -> str:
    if row.biased or row.gate != schema.PASSED:
        why = "the bias is assumed" if row.landmark == WITHOUT_BIAS else "biased"
        return f"not interpreted ({why if row.biased else 'gate failed'})"
    if row.contraction < LEAST_CONTRACTION:
        return "not interpreted (this is the prior)"
    if row.status == SAID:
        return f"the paper: {row.said}"
    if row.status == PREDICTED:
        return "not interpreted (no number and no statement of its own)"
    tails = getattr(row, "tails", 1.0)
    if math.isnan(tails):
        return "not put into words (see any time)"
    return " ".join(direction(row.prob_below_1, tails)).strip()


def survival_table(survival: pd.DataFrame) -> pd.DataFrame:
    """One row per landmark, arm and profile; one column per quantity and time, estimate with interval.

    What lies ``beyond_follow_up`` (an optional column) is marked as extrapolated.
    """
    errors = survival.groupby("quantity")["mcse"].transform(alike)
    return cross_table(map(_survival_cell, survival.assign(mcse=errors).itertuples(index=False)))


def _survival_cell(row: Any) -> Cell:
    most = MONTH_DECIMALS if row.quantity in ("median", "rmst") else MOST_DECIMALS
    estimate = format_posterior(row, most=most)
    place = {"Landmark": landmark_label(row.landmark, row.biased), "Arm": row.arm, "Profile": row.profile}
    extrapolated = " extrapolated" if getattr(row, "beyond_follow_up", False) else ""
    return place, _quantity(row.quantity, row.time), estimate + extrapolated


def arm_difference_table(arms: pd.DataFrame) -> pd.DataFrame:
    """One row per landmark and later arm; one column per quantity and time, the difference from the first arm
    with its interval and the probability that it is above 0, and what is compared."""
    return cross_table(map(_difference_cell, arms.itertuples(index=False)))


def _difference_cell(row: Any) -> Cell:
    place = {"Landmark": landmark_label(row.landmark, row.biased), "Arm": f"{row.arm} − {row.against}"}
    scale, unit = (100, "points") if row.quantity == "survival" else (1, "months")
    middle, lower, upper = (rounded(scale * x, 1, sign="+") for x in (row.estimate, row.lower, row.upper))
    own, first = (rounded(scale * x, 1) for x in (row.of_arm, row.of_against))
    text = f"{middle} ({lower} to {upper}), Pr(> 0) {format_probability(row.prob_above_0)}"
    text += f"; {own} against {first}{' %' if row.quantity == 'survival' else ''}"
    name = "Survival" if row.quantity == "survival" else "RMST"
    shown = text if row.gate == schema.PASSED else "gate failed"
    return place, f"{name} at {significant(row.time)} mo, {unit}", shown


def _quantity(quantity: str, time: float) -> str:
    names = {
        "survival": "Survival",
        "median": "Median, months",
        "rmst": "RMST, months",
        "conditional": "Conditional",
    }
    name = names.get(quantity, quantity)
    return name if quantity == "median" or math.isnan(time) else f"{name} (at {significant(time)} mo)"


def predictive_table(ppc: pd.DataFrame) -> pd.DataFrame:
    """One row per fit and arm, one column per time: observed survival; replicated, with interval; p."""

    def cell(row: Any) -> Cell:
        replicated = format_interval(row.replicated, row.lower, row.upper, math.nan, most=2)
        text = f"{rounded(row.observed)}; {replicated}; p\N{NO-BREAK SPACE}{format_probability(row.p)}"
        return {"Fit": row.fit, "Arm": row.arm}, f"At {significant(row.months)} mo", text

    return cross_table(map(cell, ppc.itertuples(index=False)))


_TENTHS = partial(rounded, places=1)
loo_table = partial(
    text_table,
    columns={
        "Fit": ("fit", str),
        "Patients": ("n", format_count),
        "elpd": ("elpd", _TENTHS),
        "SE": ("elpd_se", _TENTHS),
        "Effective parameters": ("p_loo", _TENTHS),
        "Worst Pareto k": ("worst_pareto_k", rounded),
        "Patients with k above 0.7": ("n_high_pareto_k", format_count),
    },
)
"""One row per fit: expected log predictive density, effective parameters, and how Pareto k behaved."""


_PRIORS = {
    "slope": "the slope",
    "common_slope": "the slope",
    "level": "the baseline",
    "log_baseline": "the baseline",
    "step_sd": "change over time",
    schema.ARM_EFFECT: "the arm",
    schema.COVARIATE_EFFECT: "covariates",
}


def sensitivities(power_scaling: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[pd.Series, pd.Series]]:
    """Of every hazard ratio its first row, which says what it is about, and the sensitivity by component."""
    for _, rows in power_scaling.groupby(list(by), sort=False, dropna=False):
        yield rows.iloc[0], rows.set_index("component")["sensitivity"]


def strongest(sensitivity: pd.Series, prefix: str, *, least: float = 0.0) -> str:
    """The component that begins so and moves the hazard ratio most; "" if none does by ``least``."""
    rows = sensitivity[sensitivity.index.str.startswith(prefix)]
    return rows.idxmax().removeprefix(prefix) if (rows >= least).any() else ""


def sensitivity_table(power_scaling: pd.DataFrame, tipping: pd.DataFrame | None) -> pd.DataFrame:
    """Per landmark and arm: sensitivity to data and priors, the prior that moves it most, and the bias that
    would change the verbal conclusion."""
    keys = ["endpoint", "population", "measure", "landmark", "arm"]
    factors = {} if tipping is None else tipping.set_index(keys)["factor"].to_dict()
    rows = []
    for row, sensitivity in sensitivities(power_scaling, keys):
        factor, prior = factors.get(tuple(row[keys]), math.nan), strongest(sensitivity, PRIOR_OF)
        rows.append(
            {
                "Landmark": landmark_label(row.landmark, row.biased),
                "Arm": plain(row.arm),
                "Data": rounded(sensitivity.get("likelihood", math.nan)),
                "Priors": rounded(sensitivity.get("all priors", math.nan)),
                "Prior that moves it most": _PRIORS.get(prior, prior) or MISSING,
                "Reading": row.reading,
                "Bias that would change the conclusion": MISSING
                if math.isnan(factor) or row.biased
                else f"× {rounded(factor)}",
            }
        )
    return pd.DataFrame(rows)


def thresholds(gate: pd.DataFrame) -> str:
    """``R-hat 1.01, bulk ESS 400``: what each check of a gate asks."""
    return ", ".join(f"{row.check} {row.threshold:g}" for row in gate.drop_duplicates("check").itertuples())


_AFTER: dict[str, Column] = {"Landmark": _WHERE["Landmark"], "Months after": ("time", significant)}
prediction_table = partial(
    text_table,
    columns=_AFTER
    | {
        "Score": ("score", str),
        "With": lambda row: rounded(row.with_shrinkage, 3),
        "Without": lambda row: rounded(row.without, 3),
        "Difference (interval)": lambda row: (
            f"{rounded(row.difference, 3)} ({rounded(row.lower, 3)} to {rounded(row.upper, 3)})"
        ),
    },
)
"""Scores of patients who were left out, with shrinkage and without, as text."""
calibration_table = partial(
    text_table,
    columns=_AFTER
    | {
        "Predicted risk": ("group", str),
        "Patients": ("n", format_count),
        "Predicted survival": lambda row: rounded(row.predicted),
        "Observed": lambda row: rounded(row.observed),
    },
)
"""Predicted and observed survival, as text."""


def influence_table(influence: pd.DataFrame) -> pd.DataFrame:
    """Per landmark and arm: the hazard ratio with all patients and without the one who moves it most."""
    columns = {
        "HR": lambda row: f"{rounded(row.hr)} → {rounded(row.hr_without)}",
        "Moved": _moved,
        "Pr(HR < 1)": lambda row: (
            f"{format_probability(row.prob_below_1)} → {format_probability(row.prob_below_1_without)}"
        ),
        "Pareto k": _reliance,
    }
    return text_table(influence, _WHERE | columns).replace(f"{MISSING} → {MISSING}", MISSING)


def _moved(row: Any) -> str:
    before, after = abs(math.log(row.hr)), abs(math.log(row.hr_without))
    if math.isnan(after):
        return MISSING
    if (row.hr < 1) != (row.hr_without < 1):
        return "across 1"
    return "towards 1" if after < before else "away from 1"


def _reliance(row: Any) -> str:
    """The k of the patient who moves it most, and of how many others the change is not known."""
    k = rounded(row.pareto_k) + ", refitted" * bool(row.refitted)
    return f"{k}; {row.n_unreliable} not known" if row.n_unreliable else k


def with_signs(label: str) -> str:
    """``≥ 30`` for ``>=30``."""
    return label.replace(">=", "≥ ").replace("<", "< ")
