"""Tidy results as tables to read: every number with the digits that its Monte-Carlo error supports."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from bayes_net import schema
from bayes_net.errors import InputError

MOST_DECIMALS = 3
MONTH_DECIMALS = 1
"""A tenth of a month is three days, finer than any visit schedule."""
BIASED = "biased: conditions on the future"
WITHOUT_BIAS = f"{schema.NO_LIMIT}, {schema.BIAS_TAKEN_OFF}"
BIAS_ASSUMED = "the size of the bias is assumed"
NOT_REACHED = "not reached"
MISSING = "–"
PASSED = "passed"

_IN_MONTHS = ("median", "rmst")

STRENGTHS = ((0.99, "almost certainly"), (0.95, "very probably"), (0.80, "probably"))
"""Smallest posterior probability of a direction that earns each word; below the last it is unclear."""
UNCLEAR = "unclear"


def decimals(value: float, mcse: float, *, most: int = MOST_DECIMALS) -> int:
    """How many decimals to print: those with half a unit of the last >= MCSE, but two significant digits.

    d = floor(−log10(2·MCSE)), raised to two significant digits of ``value`` and at most ``most``. An
    unknown error (NaN) supports nothing beyond the two significant digits.
    """
    if math.isnan(mcse):
        supported = 0
    elif mcse <= 0:
        supported = most
    else:
        supported = math.floor(-math.log10(2 * mcse) + 1e-9)  # 2 × 0.005 must give 2, not 1.9999
    significant = 1 - math.floor(math.log10(abs(value))) if value else 2
    return max(0, min(most, max(supported, significant)))


def format_estimate(value: float, mcse: float) -> str:
    """``value`` with the decimals that its Monte-Carlo standard error supports; see ``decimals``."""
    return _fixed(value, decimals(value, mcse) if math.isfinite(value) else 0)


def format_interval(
    estimate: float, lower: float, upper: float, mcse: float, *, most: int = MOST_DECIMALS
) -> str:
    """``0.85 (0.72–1.01)``: estimate and limits with the same decimals."""
    places = decimals(estimate, mcse, most=most) if math.isfinite(estimate) else 1
    dash = " to " if lower < 0 else "–"  # a dash before a minus sign is misread
    return f"{_fixed(estimate, places)} ({_fixed(lower, places)}{dash}{_fixed(upper, places)})"


def format_probability(probability: float) -> str:
    """Two decimals; a finite number of draws never shows a probability of 0 or 1."""
    if math.isnan(probability):
        return MISSING
    return {"0.00": "< 0.01", "1.00": "> 0.99"}.get(f"{probability:.2f}", f"{probability:.2f}")


def format_plainly(value: float) -> str:
    """Two significant digits without an exponent; what is below 0.001 is not told further."""
    return "< 0.001" if 0 <= value < 0.001 else f"{float(f'{value:.2g}'):g}"


def format_count(count: float) -> str:
    """A whole number, or a dash where there is none."""
    return MISSING if pd.isna(count) else f"{count:.0f}"


def direction(prob_below_1: float) -> tuple[str, str]:
    """The word for the probability of the likelier direction, and that direction of time to event.

    A hazard ratio below 1 goes with ``"longer"`` time. ``(UNCLEAR, "")`` when neither direction
    reaches the lowest band. The unrounded probability decides.
    """
    for smallest, word in STRENGTHS:
        if prob_below_1 >= smallest:
            return word, "longer"
        if 1 - prob_below_1 >= smallest:
            return word, "shorter"
    return UNCLEAR, ""


def interval_label(table: pd.DataFrame) -> str:
    """``95 % CrI`` (equal-tailed) or ``95 % HDI``, from the columns ``level`` and ``interval``."""
    kinds = {"equal-tailed": "CrI", "hdi": "HDI"}
    pairs = table[["level", "interval"]].drop_duplicates().itertuples(index=False, name=None)
    return " / ".join(f"{100 * level:.3g} % {kinds.get(kind, kind)}" for level, kind in pairs)


def landmark_names(hazard_ratios: pd.DataFrame) -> pd.Series:
    """Each row's landmark; ``no limit`` of a synthesis says so where its bias was taken off."""
    if "status" not in hazard_ratios:
        return hazard_ratios["landmark"]
    return hazard_ratios["landmark"].mask(hazard_ratios["status"] == schema.BIAS_TAKEN_OFF, WITHOUT_BIAS)


def landmark_label(label: str, biased: bool | None = None) -> str:
    """The landmark's name, which for ``no limit`` always says that it is biased, or that a bias of assumed
    size was taken off; ``biased`` is seen from the name where it is not given."""
    if label == WITHOUT_BIAS:
        return f"{label} ({BIAS_ASSUMED})"
    if biased is None:
        biased = label in (schema.NO_LIMIT, schema.OBSERVED)
    return f"{label} ({BIASED})" if biased else label


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
            "MCSE": [_error(row.mcse_hr) for row in rows],
            "Gate": list(hazard_ratios["gate"]),
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
    if row.biased or row.gate != PASSED:
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


def attrition_table(attrition: pd.DataFrame) -> pd.DataFrame:
    """Per landmark, one row per reason in flow order and one column of counts per arm."""
    arms = list(attrition["arm"].unique())
    counts = attrition.set_index(["landmark", "reason", "arm"])["n"]
    steps = attrition[["landmark", "reason"]].drop_duplicates().itertuples(index=False, name=None)
    body = [
        [landmark_label(landmark, landmark == schema.NO_LIMIT), reason]
        + [str(int(counts.get((landmark, reason, arm), 0))) for arm in arms]
        for landmark, reason in steps
    ]
    return pd.DataFrame(body, columns=["Landmark", "Reason", *arms])


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
                "Arm": _plain(key[4], 3),
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


def plain_table(table: pd.DataFrame, *, digits: int = 3) -> pd.DataFrame:
    """Any table as text: ``digits`` significant digits, yes and no, a dash where there is nothing."""
    return pd.DataFrame(
        {_heading(name): [_plain(value, digits) for value in table[name]] for name in table.columns}
    )


def _heading(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _where(table: pd.DataFrame) -> dict[str, list[str]]:
    places = zip(table["landmark"], table["biased"], strict=True)
    return {
        "Landmark": [landmark_label(label, biased) for label, biased in places],
        "Arm": [_plain(arm, 3) for arm in table["arm"]],
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


def _error(mcse: float) -> str:
    if not math.isfinite(mcse):
        return MISSING
    return np.format_float_positional(mcse, precision=1, fractional=False, trim="-")


def _fixed(value: float, places: int) -> str:
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return NOT_REACHED
    text = f"{value:.{places}f}"
    if value and float(text) == 0:
        return f"<{10**-places:.{places}f}" if value > 0 else f"{0:.{places}f}"
    return text


def _plain(value, digits: int) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    return f"{value:.{digits}g}" if isinstance(value, float | np.floating) else str(value)
