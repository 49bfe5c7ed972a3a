"""The report of a run on patients: its sections, the answer first and then the doubts."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pandas as pd
from markupsafe import Markup

from bayes_net import schema
from bayes_net.checks.conflict import MEDIAN
from bayes_net.data.landmarks import attrition_table
from bayes_net.estimands.arms import STATES
from bayes_net.estimands.ratios import OVER_TIME
from bayes_net.labels import landmark_label
from bayes_net.numbers import (
    Cell,
    capitalised,
    counted,
    cross_table,
    evenly_rounded,
    format_count,
    format_interval,
    format_posterior,
    format_probability,
    format_ratio,
    listed_and,
    plain,
    rounded,
    significant,
    text_table,
)
from bayes_net.report.page import NOTHING_BUT_FIGURES, Section, render
from bayes_net.report.tables import reported_ratios, thresholds
from bayes_net.report.words import (
    analysed,
    answer,
    failed_rows,
    primary_rows,
    question,
    rests_on,
    short_answer,
)
from bayes_net.results.columns import judged, tails_of_words
from bayes_net.results.folder import ResultFolder
from bayes_net.results.states import ALIKE, ALIVE, EVERYONE, NOT_RANDOMISED, OWN, STANDARDISED
from bayes_net.schema import BRIER, PER_1_POINT, words

LANDMARKS = "landmarks"
"""Kind of the results of landmark models, which ``patients_page`` knows."""
CENSORING = "Informative censoring"
"""Heading in the model's words of what is assumed where censoring is informative."""
CHANGES = "Hazard ratio over time"
"""Heading in the model's words of what hazard ratios mean where they vary over time."""
SENSITIVITY = ("power_scaling", "prior_conflict", "influence", "sensitivity")
"""Tables of the section on sensitivity."""
SECTIONS = (
    Section("answer", "Answer"),
    Section("data", "Data and flow of patients"),
    Section("model", "Model and priors", folded=True),
    Section("hazard-ratios", "Hazard ratios"),
    Section("probabilities", "Probabilities"),
    Section("survival", "Survival", needs=("survival",)),
    Section("states", "From state to state", needs=("states",)),
    Section("arms", "Arms", needs=("arms",)),
    Section("baseline-hazard", "Baseline hazard", needs=NOTHING_BUT_FIGURES, folded=True),
    Section("waterfall", "Best change of each patient", needs=NOTHING_BUT_FIGURES),
    Section("diagnostics", "Diagnostics", folded=True),
    Section("ppc", "Posterior-predictive check", needs=("predictive_check",), folded=True),
    Section("loo", "Leave-one-out cross-validation", needs=("loo",), folded=True),
    Section("prediction", "Does shrinkage predict?", needs=("prediction",)),
    Section("sensitivity", "Sensitivity", needs=SENSITIVITY, folded=True),
    Section("limitations", "Limitations"),
    Section("glossary", "Terms"),
    Section("provenance", "Provenance and specification", folded=True),
    Section("regulators", "For regulators", folded=True),
    Section("checklists", "Reporting checklists", folded=True),
)
"""Every section, in the order of reading."""


def patients_page(result: ResultFolder) -> str:
    """The whole report as one HTML page: no request to any address, no script."""
    gate, ratios = result.tables["diagnostics"], result.tables["hazard_ratios"]
    failed = failed_rows(gate)
    alarm = gate.empty or len(failed) > 0
    return render(
        "patients",
        result,
        SECTIONS,
        heading=result.words["title"],
        signs=["GATE FAILED"] * alarm,
        synthetic="These patients were" if result.words["synthetic"] else "",
        footer="Association, not effect." if of_shrinkage(ratios) else "Arms are compared as observed.",
        alarm=alarm,
        failed=failed,
        CHANGES=CHANGES,
        OVER_TIME=OVER_TIME,
        CENSORING=CENSORING,
        primary_rows=primary_rows,
        analysed=analysed,
        answer=answer,
        question=question,
        rests_on=rests_on,
        short_answer=short_answer,
        answer_table=answer_table,
        of_shrinkage=of_shrinkage(ratios),
        flows=flows,
        reported_ratios=lambda ratios: beside_landmarks(reported_ratios(ratios)),
        judged_ratios=judged_ratios,
        beside_landmarks=beside_landmarks,
        tails=tails_of_words(ratios),
        any_time=bool((ratios["landmark"] == schema.ANY_TIME).any()),
        thresholds=thresholds,
        prediction_in_words=prediction_in_words,
        arms_in_words=arms_in_words,
        states_in_words=states_in_words,
        transition_table=transition_table,
        state_table=state_table,
        associations=associations,
        across_table=across_table,
        conflict_in_words=conflict_in_words,
    )


def prediction_in_words(scores: pd.DataFrame) -> list[str]:
    """What knowing shrinkage adds, a sentence for each endpoint and measure, at the latest time."""
    found = []
    for (endpoint, measure), rows in scores.groupby(["endpoint", "measure"], sort=False):
        own = rows[(rows["score"] == BRIER) & (rows["time"] == rows["time"].max())]
        parts = {
            "predicts better": own["upper"] < 0,
            "predicts worse": own["lower"] > 0,
            "makes no clear difference": (own["upper"] >= 0) & (own["lower"] <= 0),
        }
        places = {what: list(own["landmark"][at]) for what, at in parts.items() if at.any()}
        gains = [f"{what} at {listed_and(where)}" for what, where in places.items()]
        months = significant(rows["time"].max())
        found.append(
            f"{words(endpoint)}, {measure}: knowing it {'; '.join(gains)} (Brier score {months} months after "
            "the landmark)."
        )
    return found


def states_in_words(states: pd.DataFrame) -> list[str]:
    """Of 100 patients at the first landmark, how many live until the latest time, by shrinkage: a sentence
    for each arm, treated ones first."""
    first = states[(states["landmark"] == states["landmark"].iloc[0]) & (states["gate"] == schema.PASSED)]
    found = []
    for arm, rows in reversed(list(first.groupby("arm", sort=False))):
        last = rows[rows["time"] == rows["time"].max()]
        groups = last.groupby("profile", sort=False)
        parts = [_alive_in_words(profile, own.set_index("state")) for profile, own in groups]
        found.append(
            f"{arm}: of 100 patients without progression at {first['landmark'].iloc[0]}, "
            f"{significant(last['time'].iloc[0])} months later {'; and '.join(parts)}."
        )
    return found


def _alive_in_words(profile: str, at: pd.DataFrame) -> str:
    low, middle, high = (format_count(100 * at.loc[ALIVE, name]) for name in ("lower", "estimate", "upper"))
    without = format_count(100 * at.loc[STATES[0], "estimate"])
    size = profile.replace("size unchanged", "of unchanged size")
    size = size.replace(">=", "at least").replace("<", "less than")
    alive = f"{middle} ({low} to {high}) are alive if the tumour was {size}"
    return f"{alive}, {without} of them without progression"


across_table = partial(
    text_table,
    columns={
        "Landmark": ("landmark", plain),
        "Arm": ("arm", plain),
        "HR ({interval})": lambda row: format_interval(row.hr, row.lower, row.upper, math.nan, most=2),
        "Pr(HR < 1)": ("prob_below_1", format_probability),
        "SD over landmarks": ("spread", rounded),
        "Standard error, × naive": ("robust_to_naive", rounded),
    },
)
"""Landmarks together: hazard ratios, and what patients in several landmarks do to the error, as text."""


def transition_table(transitions: pd.DataFrame) -> pd.DataFrame:
    """One row per landmark and arm; one column per step from state to state, hazard ratio with interval and
    events."""
    return cross_table(map(_transition_cell, transitions.itertuples(index=False)))


def _transition_cell(row: Any) -> Cell:
    text = f"{format_ratio(row)}, {counted(int(row.events), 'event')}"
    place = {"Landmark": landmark_label(row.landmark, row.biased), "Arm": plain(row.arm)}
    return place, capitalised(row.transition), text if row.gate == schema.PASSED else "gate failed"


def state_table(states: pd.DataFrame) -> pd.DataFrame:
    """One row per landmark, arm and profile; one column per time: the probability of being alive with its
    interval, and that of being so without progression."""
    rows = states.set_index([*(name for name in states if name in _PLACE), "time", "state"])
    alive, without = (rows.xs(name, level="state").reset_index() for name in (ALIVE, STATES[0]))
    both = alive.assign(without=without["estimate"])
    return cross_table(map(_state_cell, both.itertuples(index=False)))


_PLACE = ("landmark", "arm", "profile")


def _state_cell(row: Any) -> Cell:
    place = {"Landmark": row.landmark, "Arm": row.arm, "Profile": row.profile}
    text = f"{format_posterior(row, most=2)}; {rounded(row.without)}"
    name = f"At {significant(row.time)} mo"
    return place, name, text if row.gate == schema.PASSED else "gate failed"


_AVERAGED = {
    EVERYONE: "every patient is put into each arm",
    STANDARDISED: "the whole difference after the landmark, what goes through shrinkage with the rest; an "
    "arm's patients are weighted until the means of their covariates are those of all",
    ALIKE: "every patient is put into each arm: what differs between arms at equal shrinkage. It is a "
    "controlled contrast, and not the part of an effect that does not go through shrinkage",
    OWN: "the whole difference after the landmark, of patients whose covariates, in the model or not, may "
    "differ",
}
"""What it means to average arms over whom."""


def arms_in_words(arms: pd.DataFrame) -> list[str | Markup]:
    """Over whom arms are averaged, what that means, and what kind of comparison it is."""
    ways = list(arms["averaged_over"].unique())
    said: list[str | Markup] = []
    for way in ways:
        where = arms.loc[arms["averaged_over"] == way, "landmark"].unique()
        at = f" ({', '.join(where)})" if len(ways) > 1 else ""
        said.append(f"Averaged over {way}{at}: {_AVERAGED[way]}.")
    if (arms["note"] == NOT_RANDOMISED).any():
        kind, why = capitalised(NOT_RANDOMISED).split(": ")
        said.append(Markup("<strong>{}</strong>: {}.").format(kind, why))
    if (arms["note"] != NOT_RANDOMISED).any():
        said.append("From randomisation (0 d) it compares treatments, if patients were randomised.")
    return said


SURPRISING = 0.05
"""Below this share of a p-value, split over what is looked at, data are said to contradict a prior."""


def conflict_in_words(conflict: pd.DataFrame) -> str:
    """Whether the data lie where the stated priors expected them, in a sentence.

    Landmarks have the same patients: each statement of an endpoint, measure and arm counts once when 0.05 is
    split over what is looked at.
    """
    known = conflict.dropna(subset=["p"])
    if known.empty:
        return "The data say too little to be set against any prior."
    looked = len(known.drop_duplicates(["endpoint", "measure", "statement", "arm"]))
    bar = SURPRISING / looked
    least, found = known.loc[known["p"].idxmin()], known[known["p"] < bar]
    if found.empty:
        return (
            f"Priors and data do not contradict each other: of {format_count(len(known))} comparisons the "
            f"smallest p-value is {significant(least.p, 2)}, for {_where(least)}."
        )
    more = f" and {format_count(len(found) - 1)} more" if len(found) > 1 else ""
    side = "above" if least.z > 0 else "below"
    return (
        f"The data are {side} what the prior expected of {_where(least)}{more} "
        f"(p = {significant(least.p, 1)}, less than {significant(bar, 2)}): ask which of the two is "
        "wrong, and what a wider prior says."
    )


def _where(row: Any) -> str:
    arm = f", {row.arm}" if row.arm else ""
    what = "the log hazard behind median survival" if row.statement == MEDIAN else f"the {row.statement}"
    return f"{what} ({words(row.endpoint)}, {row.measure}, {row.landmark}{arm})"


def of_shrinkage(hazard_ratios: pd.DataFrame) -> bool:
    """Whether shrinkage is in the models, or arms and covariates alone."""
    return bool((hazard_ratios["estimand"] == schema.ASSOCIATION).any())


def answer_table(primary: pd.DataFrame) -> pd.DataFrame:
    """A row per landmark and a column per arm: hazard ratio, Pr(HR < 1) and counts; "no limit" and what
    failed its gate are marked."""
    return cross_table(map(_answer_cell, evenly_rounded(primary).itertuples()))


def _answer_cell(row: Any) -> Cell:
    biased = Markup("<small> {}</small>").format(schema.BIASED) if row.biased else ""
    style, failed = "value", ""
    if row.gate != schema.PASSED:
        style, failed = "value failed-value", Markup(' <span class="mark">gate failed</span>')
    counts = f"{format_count(row.n)} patients, {format_count(row.events)} events"
    cell = Markup('<span class="{}">{}</span>{}<small>Pr(HR &lt; 1) {} · {}</small>').format(
        style, format_ratio(row), failed, format_probability(row.prob_below_1), counts
    )
    return {"Landmark": Markup("{}{}").format(row.landmark, biased)}, row.arm, cell


def flows(attrition: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Caption and table of every flow of patients; endpoints with the same flow share one."""
    found: dict[tuple[str, str], tuple[pd.DataFrame, list[str]]] = {}
    for (endpoint, population), rows in attrition.groupby(["endpoint", "population"], sort=False):
        flow = attrition_table(rows)
        found.setdefault((population, flow.to_csv()), (flow, []))[1].append(words(endpoint))
    return [
        (f"{listed_and(endpoints)}; {words(population)}", flow)
        for (population, _), (flow, endpoints) in found.items()
    ]


def beside_landmarks(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """The rows, where those of all follow-up go into the tables of the landmarks of their endpoint; who they
    are about the model's words say."""
    joint = hazard_ratios["landmark"] == schema.ANY_TIME
    of = hazard_ratios[~joint].groupby(["endpoint", "measure"])["population"].first()
    own = hazard_ratios.join(of.rename("own"), on=["endpoint", "measure"])["own"]
    return hazard_ratios.assign(population=hazard_ratios["population"].mask(joint & own.notna(), own))


def judged_ratios(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Those on the scale on which the regions 0.8 and 0.9 to 1.11 were chosen; without shrinkage, all."""
    hazard_ratios = beside_landmarks(hazard_ratios.assign(tails=judged(hazard_ratios)))
    if not of_shrinkage(hazard_ratios):
        return hazard_ratios
    return associations(hazard_ratios)


def associations(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Hazard ratios of shrinkage, per 10 points or of response."""
    association = hazard_ratios["estimand"] == schema.ASSOCIATION
    return hazard_ratios[association & (hazard_ratios["measure"] != PER_1_POINT)]
