"""The report of a run on patients: its sections, the answer first and then the doubts."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from markupsafe import Markup

from bayes_net import schema
from bayes_net.data.landmarks import attrition_table
from bayes_net.estimands.survival import OVER_TIME
from bayes_net.numbers import MISSING, format_probability, interval_label, listed_and
from bayes_net.report.page import (
    ASSOCIATION,
    EQUIVALENCE,
    FIGURES,
    NOTHING_BUT_FIGURES,
    POWER_SCALING,
    Part,
    Section,
    bullets,
    checklist_parts,
    data_notes,
    failed_list,
    grouped,
    meaning_of_words,
    model_terms,
    note,
    plain,
    provenance,
    render,
    scenario_parts,
    table,
    text,
)
from bayes_net.report.tables import (
    hazard_ratio_table,
    influence_table,
    loo_table,
    over_time_table,
    predictive_table,
    probability_table,
    sensitivity_table,
    survival_table,
)
from bayes_net.report.words import answer, failed_rows, primary_rows
from bayes_net.results.folder import ResultFolder
from bayes_net.schema import NO_LIMIT_WARNING, PER_1_POINT, PER_10_POINTS, words

LANDMARKS = "landmarks"
"""Kind of the results of landmark models, which ``patients_page`` knows."""
CENSORING = "Informative censoring"
"""Heading in the model's words of what is assumed if censoring tells something."""
CHANGES = "Hazard ratio over time"
"""Heading in the model's words of what hazard ratios mean where they vary over time."""
_ANALYSIS = ("endpoint", "population", "measure")


def patients_page(result: ResultFolder) -> str:
    """The whole report as one HTML page: no request to any address, no script."""
    alarm = list(_alarm(result.tables["diagnostics"]))
    return render(
        result,
        SECTIONS,
        heading=result.words["title"],
        alarm=alarm,
        signs=["GATE FAILED"] if alarm else [],
        synthetic="These patients were" if result.words["synthetic"] else "",
        footer="Association, not effect.",
    )


def _alarm(gate: pd.DataFrame) -> Iterator[Part]:
    sign = Markup("<strong>GATE FAILED.</strong> {}")
    failed = failed_rows(gate)
    if gate.empty:
        yield text(sign.format("No convergence check was made: do not use these numbers."))
    elif len(failed):
        count = f"{len(failed)} of {len(gate)} convergence checks did not pass"
        yield text(sign.format(f"{count}: do not use the numbers they concern."))
        yield failed_list(failed, with_fit=True)
        yield text(Markup('<a href="#diagnostics">All checks</a>'))


def _answer(result: ResultFolder) -> Iterator[Part]:
    ratios = result.tables["hazard_ratios"]
    primary = primary_rows(ratios)
    over_time = result.words["model"].get(CHANGES)
    averages = "Hazard ratios change over time in this model; what follows is about their averages over time."
    yield bullets([averages if over_time else "", *answer(ratios)])
    caption = f"{words(primary['endpoint'].iloc[0])}: posterior median hazard ratio"
    caption = f"{caption} ({interval_label(primary)}), {primary['measure'].iloc[0]}{_averaged(result)}"
    yield table(caption, answer_table(primary))
    yield note(
        Markup(
            "A hazard ratio below 1 goes with longer time to event. These are associations among the "
            "patients analysed at each landmark. They do not show that shrinking a tumour changes the "
            'outcome. What the words mean: <a href="#probabilities">probabilities</a>.'
        )
    )
    if over_time:
        lead = "<strong>Averages over time.</strong> {} Each interval’s: {}."
        yield note(Markup(lead).format(over_time, Markup('<a href="#hazard-ratios">hazard ratios</a>')))
    if assumed := result.words["model"].get(CENSORING):
        lead = Markup("<strong>Under informative censoring, not the ordinary analysis.</strong> {}")
        yield note(lead.format(assumed))


def _averaged(result: ResultFolder) -> str:
    """What the caption of a table of slopes' hazard ratios says more where they vary over time."""
    return ", averaged over time" if CHANGES in result.words["model"] else ""


def answer_table(primary: pd.DataFrame) -> pd.DataFrame:
    """A row per landmark and a column per arm: hazard ratio, Pr(HR < 1) and counts; "no limit" and what
    failed its gate are marked."""
    texts = hazard_ratio_table(primary)
    interval = f"HR ({interval_label(primary)})"
    body: dict[str, dict[str, str]] = {}
    for row, (_, cells) in zip(primary.itertuples(), texts.iterrows(), strict=True):
        mark = Markup("<small> {}</small>").format(schema.BIASED) if row.biased else ""
        line = body.setdefault(row.landmark, {"Landmark": Markup("{}{}").format(row.landmark, mark)})
        line[row.arm] = _answer_cell(row, cells[interval], cells["Patients"], cells["Events"])
    return pd.DataFrame(body.values()).fillna(MISSING)


def _answer_cell(row, ratio: str, patients: str, events: str) -> str:
    failed = row.gate != schema.PASSED
    style = "value failed-value" if failed else "value"
    mark = Markup(' <span class="mark">gate failed</span>') if failed else ""
    about = f"Pr(HR < 1) {format_probability(row.prob_below_1)} · {patients} patients, {events} events"
    return Markup('<span class="{}">{}</span>{}<small>{}</small>').format(style, ratio, mark, about)


def _data(result: ResultFolder) -> Iterator[Part]:
    yield from data_notes(result)
    yield FIGURES
    for caption, rows in _flows(result.tables["attrition"]):
        yield table(f"Flow of patients: {caption}", rows)


def _flows(attrition: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Caption and table of every flow of patients; endpoints with the same flow share one."""
    found: dict[tuple[str, str], tuple[pd.DataFrame, list[str]]] = {}
    for (endpoint, population), rows in attrition.groupby(["endpoint", "population"], sort=False):
        flow = attrition_table(rows)
        same = found.setdefault((population, flow.to_csv()), (flow, []))
        same[1].append(words(endpoint))
    return [
        (f"{listed_and(endpoints)}; {words(population)}", flow)
        for (population, _), (flow, endpoints) in found.items()
    ]


def _model(result: ResultFolder) -> Iterator[Part]:
    yield model_terms(result.words["model"])
    yield plain("Priors, and what they imply", result.tables["priors"])
    yield FIGURES


def _hazard_ratios(result: ResultFolder) -> Iterator[Part]:
    ratios = result.tables["hazard_ratios"]
    yield text(
        "Estimates are posterior medians; the interval’s level and kind stand in the heading (CrI: "
        "equal-tailed; HDI: highest density). Digits follow the Monte-Carlo standard error (MCSE). Landmarks "
        "share patients, so their rows are not independent."
    )
    yield FIGURES
    # per 1 point only what publications print: ratios of hazard ratios are there per 10 points
    association, per_1 = ratios["estimand"] == schema.ASSOCIATION, ratios["measure"] == PER_1_POINT
    for caption, rows in grouped(ratios[association | ~per_1 | ~(ratios["measure"] == PER_10_POINTS).any()]):
        of_slopes = rows["estimand"].iloc[0] in (schema.ASSOCIATION, "interaction")
        yield table(f"{caption}{_averaged(result) if of_slopes else ''}", hazard_ratio_table(rows))
    for quantity in OVER_TIME:
        for caption, rows in grouped(result.tables.get(quantity.name), by=_ANALYSIS):
            yield table(f"By months from the landmark: {caption}", over_time_table(rows))
    if ratios["biased"].any():
        yield note(Markup("<strong>No limit is biased</strong>: it {}.").format(NO_LIMIT_WARNING))


def _probabilities(result: ResultFolder) -> Iterator[Part]:
    ratios = result.tables["hazard_ratios"]
    # on the scale on which the regions 0.8 and 0.9 to 1.11 were chosen
    wanted = (ratios["estimand"] == schema.ASSOCIATION) & (ratios["measure"] != PER_1_POINT)
    for caption, rows in grouped(ratios[wanted]):
        yield table(f"Posterior probabilities: {caption}", probability_table(rows))
    yield from meaning_of_words()
    yield text(f"{EQUIVALENCE} Biased rows and rows whose gate failed are given no words.")


def _survival(result: ResultFolder) -> Iterator[Part]:
    yield FIGURES
    for caption, rows in grouped(result.tables.get("survival"), by=_ANALYSIS):
        about = f"posterior median ({interval_label(rows)}), months from the landmark"
        yield table(f"{caption}: {about}", survival_table(rows))


def _baseline_hazard(result: ResultFolder) -> Iterator[Part]:
    yield FIGURES


def _waterfall(result: ResultFolder) -> Iterator[Part]:
    yield note("Patient-level figure, drawn on request.")
    yield FIGURES


def _diagnostics(result: ResultFolder) -> Iterator[Part]:
    gate = result.tables["diagnostics"]
    failed = failed_rows(gate)
    limits = gate.drop_duplicates("check")
    thresholds = ", ".join(f"{row.check} {row.threshold:g}" for row in limits.itertuples())
    verdict = "It failed." if gate.empty or len(failed) else "Every fit passed."
    yield text(
        "The gate asks of every fit that its chains agree and hold enough independent draws. "
        f"{verdict} Thresholds: {thresholds}."
    )
    if len(failed):
        yield plain("Checks that did not pass, and where", failed, digits=5)
    yield plain("Worst value of each check in every fit", result.tables["sampling"], digits=4)
    yield FIGURES


def _predictive_check(result: ResultFolder) -> Iterator[Part]:
    yield text(
        "Data sets replicated by the fitted model, with the observed censoring, should look like the "
        "observed one."
    )
    yield FIGURES
    if "predictive_check" in result.tables:
        caption = (
            "Survival observed; replicated, median (interval); p: probability of a replicate at or above the "
            "observed"
        )
        yield table(caption, predictive_table(result.tables["predictive_check"]))


def _loo(result: ResultFolder) -> Iterator[Part]:
    yield text(
        "Each patient is predicted from all others (Pareto-smoothed importance sampling). A Pareto k above "
        "0.7 means that the approximation fails for that patient."
    )
    if "loo" in result.tables:
        caption = "Expected log predictive density, leaving a patient out"
        yield table(caption, loo_table(result.tables["loo"]))
    yield FIGURES


def _sensitivity(result: ResultFolder) -> Iterator[Part]:
    found = result.tables
    if "power_scaling" in found:
        yield text(
            f"H{POWER_SCALING} The last column is the factor by which a hazard ratio would have to be biased "
            "for its direction to fall out of the band whose word it has: × 1.10 means that hazard ratios "
            "truly 1.10 times larger would just do so."
        )
        for caption, rows in grouped(found["power_scaling"], by=_ANALYSIS):
            frame = sensitivity_table(rows, found.get("tipping_points"))
            yield table(f"What decides: {caption}", frame)
    if "influence" in found:
        yield text(
            "The posterior median hazard ratio with all patients, and without the one patient who moves it "
            "most, found by leaving out each in turn (importance sampling; refitted where Pareto k exceeds "
            "0.7). “Not known” counts patients whose own change neither can tell."
        )
        for caption, rows in grouped(found["influence"], by=_ANALYSIS):
            yield table(f"One patient left out: {caption}", influence_table(rows))
    yield from scenario_parts(result)
    yield FIGURES


def _limitations(result: ResultFolder) -> Iterator[Part]:
    generated = "The data are synthetic: the results describe the generator, not patients."
    no_limit = f"No limit {NO_LIMIT_WARNING}. It is shown for comparison with published analyses only."
    assumed = "How informative censoring is was assumed, not learnt."
    ignored = "Censoring is taken as uninformative given arm, shrinkage and covariates."
    proportional = (
        "The log hazard is taken as linear in shrinkage and the hazard ratio as constant in time, unless the "
        "model section says otherwise."
    )
    varying = (
        "The log hazard is taken as linear in shrinkage, and the hazard ratio as constant within intervals. "
        "Later hazard ratios are among those who are still at risk, whom shrinkage may have selected."
    )
    yield bullets(
        [
            generated if result.words["synthetic"] else "",
            ASSOCIATION,
            "Each landmark describes only patients who were still at risk and assessed by then; it says "
            "nothing about those who left before.",
            no_limit if result.tables["hazard_ratios"]["biased"].any() else "",
            "Landmarks reuse the same patients. Several agreeing landmarks are not several confirmations, "
            "and no correction for looking at several was made.",
            varying if CHANGES in result.words["model"] else proportional,
            "Tumour size is measured with error, which draws the hazard ratio towards 1; progression is "
            "dated at the scan that shows it, not when it happened.",
            assumed if CENSORING in result.words["model"] else ignored,
            "With few events the result depends on the priors: compare them with the posteriors above.",
        ]
    )


SECTIONS = (
    Section("answer", "Answer", _answer),
    Section("data", "Data and flow of patients", _data),
    Section("model", "Model and priors", _model),
    Section("hazard-ratios", "Hazard ratios", _hazard_ratios),
    Section("probabilities", "Probabilities", _probabilities),
    Section("survival", "Survival", _survival, needs=("survival",)),
    Section("baseline-hazard", "Baseline hazard", _baseline_hazard, needs=NOTHING_BUT_FIGURES),
    Section("waterfall", "Best change of each patient", _waterfall, needs=NOTHING_BUT_FIGURES),
    Section("diagnostics", "Diagnostics", _diagnostics),
    Section("ppc", "Posterior-predictive check", _predictive_check, needs=("predictive_check",)),
    Section("loo", "Leave-one-out cross-validation", _loo, needs=("loo",)),
    Section("sensitivity", "Sensitivity", _sensitivity, needs=("power_scaling", "influence", "sensitivity")),
    Section("limitations", "Limitations", _limitations),
    Section("provenance", "Provenance and specification", provenance),
    Section("checklists", "Reporting checklists", lambda result: checklist_parts(result, SECTIONS)),
)
"""Every section, in the order of reading."""
