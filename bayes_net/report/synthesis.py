"""The report of a synthesis of published numbers: its sections, with what is printed, what is predicted and
what is only the prior shown apart from each other."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from bayes_net.errors import InputError
from bayes_net.numbers import listed_and
from bayes_net.report.evidence_tables import (
    check_table,
    credible_label,
    decided_table,
    evidence_table,
    movement_table,
    number_table,
    parameter_table,
    refit_table,
    response_table,
    survival_table,
    without_table,
)
from bayes_net.report.page import (
    ASSOCIATION,
    EQUIVALENCE,
    FIGURES,
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
from bayes_net.report.synthesis_words import (
    WHOLE,
    answer,
    contents,
    judged,
    movement_sentences,
    unpredicted,
    whole_failed,
)
from bayes_net.report.tables import arm_table, probability_table, ratio_table
from bayes_net.report.words import failed_rows
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.results.folder import ResultFolder
from bayes_net.schema import NO_LIMIT_WARNING, PER_10_POINTS, words

SYNTHESIS = "synthesis"
"""Kind of the results that ``synthesis_page`` knows."""


def synthesis_page(result: ResultFolder) -> str:
    """The whole report as one HTML page: no request to any address, no script.

    Raises
    ------
    InputError
        The table ``diagnostics`` is missing.
    """
    if "diagnostics" not in result.tables:
        raise InputError(
            f"tables has {', '.join(result.tables) or 'nothing'}; expected diagnostics among them, since a "
            "report must say whether its numbers can be used"
        )
    about = contents(result.tables)
    return render(
        result,
        SECTIONS,
        heading=result.words["title"],
        description=result.words["description"],
        alarm=list(_alarm(result)),
        signs=["GATE FAILED"] if whole_failed(result.tables) else [],
        synthetic="Some or all of the patients in this synthesis were" if result.words["synthetic"] else "",
        footer="Association, not effect." if about["slopes"] or about["response_arms"] else "",
    )


def _alarm(result: ResultFolder) -> Iterator[Part]:
    failed, whole = failed_rows(result.tables["diagnostics"]), whole_failed(result.tables)
    own, refits = failed[failed["fit"] == WHOLE], failed_refits(result)
    sign = Markup("<strong>GATE FAILED.</strong> {}: do not use these numbers.")
    if whole and own.empty:
        yield text(sign.format("No convergence check of the fit of all evidence was made"))
    elif whole:
        checks = f"{len(own)} convergence check{'s' * (len(own) > 1)}"
        yield text(sign.format(f"The fit of all evidence did not pass {checks}"))
        yield failed_list(own, with_fit=False)
    if refits:
        lead = "Refits failed too" if whole else "REFITS FAILED"
        end = "." if whole else "; the fit of all evidence passed."
        useless = f"{listed_and(refits)}. What they say about leaving something out cannot be used{end}"
        yield text(Markup("<strong>{}:</strong> {}").format(lead, useless))
    if whole or refits:
        yield text(Markup('<a href="#diagnostics">All checks</a>'))


def failed_refits(result: ResultFolder) -> list[str]:
    """Names of the refits that failed a check."""
    failed = failed_rows(result.tables["diagnostics"])["fit"]
    return [name for name in dict.fromkeys(failed) if name != WHOLE]


def _answer(result: ResultFolder) -> Iterator[Part]:
    about = contents(result.tables)
    yield bullets(answer(result.tables, ci_prob=result.words["level"]))
    meaning = "A hazard ratio below 1 goes with longer time to event in the arm that is named first."
    if about["slopes"]:
        meaning = (
            "Association, not effect: a hazard ratio of shrinkage below 1 means that greater shrinkage goes "
            "with longer time to event, not that shrinking a tumour changes the outcome."
        )
    elif about["response_arms"]:
        meaning = (
            "Association, not effect: who responds is known only afterwards, and a hazard ratio below 1 does "
            "not mean that responding changes the outcome."
        )
    where = Markup('{} What the words mean: <a href="#probabilities">probabilities</a>.')
    yield note(where.format(meaning) if "hazard_ratios" in result.tables else meaning)


def _hazard_ratios(result: ResultFolder) -> Iterator[Part]:
    about = contents(result.tables)
    beside = (
        ", beside the printed hazard ratios. A publication prints one per point; per 10 points it is its "
        "tenth power"
    )
    yield text(
        f"Posterior medians with equal-tailed credible intervals{beside * about['printed_slopes']}. "
        "“Predicted” rows have no printed number: they are what the model expects at a landmark that nobody "
        "printed. Contraction is 1 − posterior SD / prior SD of the log hazard ratio; below "
        f"{LEAST_CONTRACTION} the evidence says nothing and the row is “only the prior”."
    )
    yield FIGURES
    for caption, rows in grouped(result.tables.get("hazard_ratios"), by=("endpoint", "measure")):
        yield table(caption, ratio_table(rows))
    if about["no_limit"]:
        yield note(
            Markup(
                "<strong>No limit is biased</strong>: it {}. “As observed” is what a publication prints. "
                "“Bias taken off” subtracts a guarantee-time bias whose size comes from simulation, not from "
                "these numbers."
            ).format(NO_LIMIT_WARNING)
        )


def _probabilities(result: ResultFolder) -> Iterator[Part]:
    yield FIGURES
    ratios = judged(result.tables, "hazard_ratios")
    rows = ratios[ratios["measure"] == PER_10_POINTS]
    for caption, own in grouped(rows, by=("endpoint", "measure")):
        yield table(f"Posterior probabilities: {caption}", probability_table(own))
    yield from meaning_of_words()
    yield text(
        f"{EQUIVALENCE} Rows that are biased or rest on an assumed bias, that are the prior, or whose gate "
        "failed are given no words."
    )


def _arms(result: ResultFolder) -> Iterator[Part]:
    yield text(
        "Arms are compared within a study that has both. A study’s level is its hazard against that of the "
        "reference study in the same arm; it mixes case mix, time zero and selection, and is no comparison "
        "of treatments."
    )
    yield FIGURES
    caption = "Hazard ratios between arms, and hazard levels between studies"
    yield table(caption, arm_table(judged(result.tables, "arms_and_studies")))


def _response(result: ResultFolder) -> Iterator[Part]:
    yield text(
        "Response by study and arm, as each study defines it. “New study” is the prediction for a further "
        "study of the last arm: its width is the difference between the studies seen."
    )
    yield FIGURES
    yield table("Probability of response", response_table(result.tables["responses"]))


def _survival(result: ResultFolder) -> Iterator[Part]:
    yield text(
        "Curves of whole arms, and of patients who will turn out to have shrunk by so many points at best: "
        "the latter condition on the future, with the slope of “no limit” as observed, and cannot be known "
        "at the start. “Beyond the data” marks months of which no printed number speaks."
    )
    yield FIGURES
    for endpoint, rows in result.tables["survival"].groupby("endpoint", sort=False):
        caption = f"{words(endpoint)} from randomisation or start of treatment: posterior median"
        yield table(f"{caption} ({credible_label(rows)})", survival_table(rows))


def _model(result: ResultFolder) -> Iterator[Part]:
    yield model_terms(result.words["model"])
    yield FIGURES
    yield plain("Priors, and what they imply", result.tables["priors"][["parameter", "statement", "implies"]])


def _learnt(result: ResultFolder) -> Iterator[Part]:
    yield text(
        "A contraction near 1 means that the evidence decides, near 0 that the prior does; small negative "
        f"values are Monte-Carlo error. Below {LEAST_CONTRACTION} the prior speaks. Every other parameter is "
        "in the table of parameters."
    )
    yield FIGURES
    yield table("Prior and posterior standard deviations", parameter_table(result.tables["parameters"]))


def _left_out(result: ResultFolder) -> Iterator[Part]:
    influence, loo = result.tables.get("influence"), result.tables.get("loo")
    if influence is not None and (sentences := movement_sentences(result.tables)):
        yield bullets(sentences)
    yield text(
        "Movement is (mean without − mean with) / posterior SD with all evidence. In square brackets: "
        "parameters of the source itself, which fall back on the other studies and the prior without it. "
        "Where a Pareto k exceeds 0.5, importance sampling cannot be relied on and the number was left out "
        "by refitting. An elpd compares with others on the same scale of measurement only."
    )
    yield FIGURES
    numbers = set() if loo is None else set(loo["row"])
    refits = [] if influence is None else influence["fit"].unique()
    if sources := [source for fit in refits if (source := fit.removeprefix("without ")) not in numbers]:
        moved = movement_table(influence, sources=sources, failed=set(failed_refits(result)))
        yield table("Movement of posterior means without a source, in posterior SDs", moved)
    if loo is not None:
        frame = number_table(loo, result.tables.get("evidence"))
        yield table("Each number predicted from all others", frame)


def _checks(result: ResultFolder) -> Iterator[Part]:
    yield text(
        "These numbers are in print but were kept out of the fit. The predictive interval is what a study of "
        "the same size would print; p is the smaller tail, doubled."
    )
    yield FIGURES
    yield table("Held-out numbers against their predictions", check_table(result.tables["checks"]))
    if absent := unpredicted(result.tables):
        lead = "Held out, but without a prediction, since the model has no such curve or limit"
        yield text(f"{lead}: {listed_and(absent)}.")


def _sensitivity(result: ResultFolder) -> Iterator[Part]:
    found = result.tables
    if "power_scaling" in found:
        yield text(
            f"What decides: h{POWER_SCALING} Beside each the study, and the stated prior, that move it most "
            "by themselves."
        )
        yield table("What decides each hazard ratio", decided_table(found["power_scaling"]))
    if "study_influence" in found:
        yield text(
            "Without a study: “only the prior” means that nothing else in the evidence speaks about that "
            "hazard ratio; rows that are the prior already are left out."
        )
        frame = without_table(found["study_influence"])
        if len(frame):
            yield table("Each hazard ratio without each study", frame)
    yield from scenario_parts(result)
    yield FIGURES


def _evidence(result: ResultFolder) -> Iterator[Part]:
    yield FIGURES
    yield table("Every printed number", evidence_table(result.tables["evidence"]))


def _diagnostics(result: ResultFolder) -> Iterator[Part]:
    diagnostics, refits = result.tables["diagnostics"], failed_refits(result)
    verdict = "failed" if whole_failed(result.tables) else "passed"
    named = f"; failed refits: {listed_and(refits)}" if refits else ""
    yield text(
        "The gate asks of every fit that its chains agree and hold enough independent draws; refits need "
        f"fewer. The fit of all evidence {verdict}{named}."
    )
    yield from data_notes(result)
    yield FIGURES
    whole = diagnostics[diagnostics["fit"] == WHOLE]
    yield plain("Gate of the fit of all evidence", whole, digits=4)
    if len(whole) < len(diagnostics):
        yield table("Worst value of each check in every refit", refit_table(diagnostics))


_LIMITATIONS = {
    "slopes": ASSOCIATION,
    "response_arms": "The groups that are compared are made by response, which is known only afterwards: who "
    "responded had to live without progression until then (guarantee-time bias), so the comparison favours "
    "the responders. It is an association, and no effect of responding.",
    "no_limit": f"No limit {NO_LIMIT_WARNING}. The bias that is taken off was sized by simulation of one "
    "trial design; if it is wrong, so is the row “bias taken off”, and the printed numbers cannot tell.",
    "printed_slopes": "Only striking hazard ratios are in print. Of many landmarks, those with a small "
    "p-value were reported with numbers (significance filter), so that printed hazard ratios tend to lie too "
    "far from 1, and so do the posteriors that rest on them.",
    "predicted": "Between landmarks with data, slopes are what a smooth prior makes of their neighbours: the "
    "word for a predicted landmark is a statement about that prior too.",
    "correlated": "The same patients stand behind several numbers. Their correlations are not in print; they "
    "are assumed, as the evidence table says.",
    "bare_medians": "Medians printed without limits enter with an assumed standard error.",
    "single_arm": "Single-arm studies differ in time zero and in who was selected for treatment; no slope or "
    "arm comparison should rest on them.",
    "responses": "The pool of responses mixes definitions of response, times of assessment and reviewers.",
    "survival": "Beyond the last month of the evidence a curve is an extrapolation of the smooth hazard.",
}
"""What limits a synthesis that has this in it (``contents``)."""


def _limitations(result: ResultFolder) -> Iterator[Part]:
    about = contents(result.tables)
    generated = "Some patients are synthetic: the results describe the generator, not patients."
    yield bullets(
        [
            generated if result.words["synthetic"] else "",
            *(sentence for name, sentence in _LIMITATIONS.items() if about[name]),
        ]
    )


SECTIONS = (
    Section("answer", "Answer", _answer),
    Section("hazard-ratios", "Hazard ratios of shrinkage", _hazard_ratios, needs=("hazard_ratios",)),
    Section("probabilities", "Probabilities", _probabilities, needs=("hazard_ratios",)),
    Section("arms", "Arms and studies", _arms, needs=("arms_and_studies",)),
    Section("response", "Response", _response, needs=("responses",)),
    Section("survival", "Predicted survival", _survival, needs=("survival",)),
    Section("model", "Model and priors", _model, needs=("priors",)),
    Section("learnt", "What the evidence says about what", _learnt, needs=("parameters",)),
    Section("left-out", "Leave one out", _left_out, needs=("influence", "loo")),
    Section("checks", "Held-out checks", _checks, needs=("checks",)),
    Section(
        "sensitivity", "Sensitivity", _sensitivity, needs=("power_scaling", "study_influence", "sensitivity")
    ),
    Section("evidence", "Evidence", _evidence, needs=("evidence",)),
    Section("diagnostics", "Diagnostics", _diagnostics),
    Section("limitations", "Limitations", _limitations),
    Section("provenance", "Provenance and specification", provenance),
    Section("checklists", "Reporting checklists", lambda result: checklist_parts(result, SECTIONS)),
)
"""Every section, in the order of reading."""
