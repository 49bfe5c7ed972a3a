"""What the audit of priors found: what each alone, and each study, does to every hazard ratio."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayes_net import tables
from bayes_net._scenario_tables import keys_of, subject, usable
from bayes_net._wording import listed_and, words
from bayes_net.audit import LEFT_OUT, MOVED, NARROWED, WEAKENED
from bayes_net.scenarios import AS_SPECIFIED, Scenario

STILL, MUCH = 0.1, 0.5
"""Posterior SDs: by less than the first nothing moved to speak of; by the second half the uncertainty did."""
BIAS = "bias of no limit"
_FIRST, _SECOND = (WEAKENED, LEFT_OUT), (MOVED, NARROWED)
COLUMNS = ("hr", "shift", "width", "mcse_shift")


def audit_table(scenarios: Sequence[Scenario], found: pd.DataFrame) -> pd.DataFrame:
    """What each prior alone, and each study, does: one row a block and hazard ratio, strongest block first.

    Columns: ``block`` (a prior, or a study) and ``kind`` (prior, study); what the hazard ratio is about;
    ``hr``, ``lower``, ``upper``, ``mcse_hr`` as specified; with the prior weakened or the study left out
    ``hr_weakened``, ``shift_weakened``, by how many posterior SDs the log hazard ratio moves,
    ``width_weakened``, the ratio of the intervals' widths, and ``mcse_shift_weakened``; ``other`` (moved,
    narrowed) and the same four of it; ``change``, the largest of the shifts and of the logarithms of the
    width ratios. A scenario that failed leaves its columns missing.
    """
    rows = usable(found)
    if "hr" not in rows or not any(each.step for each in scenarios):
        return pd.DataFrame()
    keys = keys_of(rows)
    rows = rows.assign(**{key: rows[key].fillna("") for key in keys})
    rows = rows.assign(biased=rows["biased"].eq(True)) if "biased" in rows else rows.assign(biased=False)
    base = rows[rows["scenario"] == AS_SPECIFIED].set_index(keys)
    sd = base["posterior_sd" if "posterior_sd" in base else "log_sd"]
    parts = []
    for block in dict.fromkeys(each.step.block for each in scenarios if each.step):
        own = [each for each in scenarios if each.step and each.step.block == block]
        part = base[["biased", "hr", "lower", "upper", "mcse_hr"]].copy()
        part["block"], part["other"] = block, ""
        part["kind"] = "study" if own[0].step.how == LEFT_OUT else "prior"
        part[[f"{c}_{end}" for end in ("weakened", "other") for c in COLUMNS]] = np.nan
        for each in own:
            end = "weakened" if each.step.how in _FIRST else "other"
            if end == "other":
                part["other"] = each.step.how
            moved = _moved(base, rows[rows["scenario"] == each.name].set_index(keys), sd)
            part[[f"{c}_{end}" for c in COLUMNS]] = moved.reindex(part.index).to_numpy()
        parts.append(part.reset_index())
    table = pd.concat(parts, ignore_index=True)
    sizes = table[["shift_weakened", "shift_other"]].abs()
    sizes = sizes.join(np.log(table[["width_weakened", "width_other"]]).abs())
    table = table.assign(change=sizes.max(axis=1))
    order = strongest(table)["block"].tolist()
    table = table.assign(rank=table["block"].map(order.index))
    table = table.sort_values(["rank", "change"], ascending=[True, False], kind="stable", ignore_index=True)
    first = ["block", "kind", *keys, "biased", "hr", "lower", "upper", "mcse_hr"]
    first += [f"{c}_weakened" for c in COLUMNS] + ["other"] + [f"{c}_other" for c in COLUMNS]
    return table[[*first, "change"]]


def _moved(base: pd.DataFrame, after: pd.DataFrame, sd: pd.Series) -> pd.DataFrame:
    """Hazard ratio, shift in posterior SDs, ratio of interval widths, Monte-Carlo error of the shift."""
    errors = np.hypot(base["mcse_hr"] / base["hr"], after["mcse_hr"] / after["hr"])
    widths = [np.log(x["upper"] / x["lower"]) for x in (base, after)]
    columns = (after["hr"], np.log(after["hr"] / base["hr"]) / sd, widths[1] / widths[0], errors / sd)
    return pd.concat(dict(zip(COLUMNS, columns, strict=True)), axis=1)


def strongest(audit: pd.DataFrame) -> pd.DataFrame:
    """The row of each block's hazard ratio that it changes most, the strongest block first.

    Levels of studies are not among them, nor, but for the prior of its bias, what is biased.
    """
    rows = audit[audit["estimand"] != "study against reference"] if "estimand" in audit else audit
    true = rows[~rows["biased"] | (rows["block"] == BIAS)]
    rows = true if len(true) else rows
    top = rows.assign(rank=rows["change"].fillna(np.inf)).sort_values("rank", ascending=False, kind="stable")
    return top.drop_duplicates("block").drop(columns="rank").reset_index(drop=True)


def audit_to_read(audit: pd.DataFrame) -> pd.DataFrame:
    """The strongest row of each block as text."""
    return pd.DataFrame(
        {
            "Prior, or study": f"without {row.block}" if row.kind == "study" else row.block,
            "Does": _reading(row.change),
            "Most to": f"{words(row.endpoint)}, {subject(row)}",
            "HR as specified": tables.format_interval(row.hr, row.lower, row.upper, row.mcse_hr),
            "Weakened, or left out": _told(row.hr_weakened, row.shift_weakened),
            "Interval": tables.MISSING if np.isnan(row.width_weakened) else f"× {row.width_weakened:.2f}",
            "Moved, or narrowed": _told(row.hr_other, row.shift_other) if row.other else tables.MISSING,
            "± MCSE": _error(row.mcse_shift_weakened, row.mcse_shift_other),
        }
        for row in strongest(audit).itertuples()
    )


def _reading(change: float) -> str:
    if np.isnan(change):
        return "not known"
    return "much" if change >= MUCH else "something" if change >= STILL else "hardly anything"


def _told(hr: float, shift: float) -> str:
    """``0.61 (+0.25 SD)``."""
    return "not known" if np.isnan(hr) else f"{hr:.2f} ({round(shift, 2) + 0.0:+.2f} SD)".replace("-", "−")


def _error(*errors: float) -> str:
    known = [error for error in errors if not np.isnan(error)]
    return f"{max(known):.2f}" if known else tables.MISSING


def audit_sentence(audit: pd.DataFrame) -> str:
    """Which priors, and which studies, do something."""
    top = strongest(audit)
    said = []
    for kind, many in (("prior", "stated priors"), ("study", "studies")):
        own = top[top["kind"] == kind]
        names = own.loc[own["change"] >= STILL, "block"]
        if len(own):
            which = listed_and(list(names)) if len(names) else "none"
            said.append(f"of {len(own)} {many}, one at a time, these do something: {which}")
    whole = "; ".join(said)
    return f"{whole[:1].upper()}{whole[1:]}."
