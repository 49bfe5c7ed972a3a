"""The report of a synthesis says what the numbers say, in the right order, and asks nothing of the net."""

import re
from dataclasses import replace
from itertools import pairwise
from urllib.parse import unquote

import fake_pool
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from test_report import Page, body

from bayes_net.errors import InputError
from bayes_net.evidence.virtual import SHARE
from bayes_net.figures.forest import forest
from bayes_net.figures.style import ARM_COLOURS, GREYS, svg
from bayes_net.figures.synthesis import (
    checks_plot,
    contraction_plot,
    draw_synthesis,
    response_plot,
    synthesis_survival,
    unprinted_plot,
)
from bayes_net.report.evidence_tables import (
    decided_table,
    evidence_table,
    without_table,
)
from bayes_net.report.synthesis import SECTIONS, synthesis_page
from bayes_net.report.synthesis_answer import answer, first_answer, first_screen_rows, question, rests_on
from bayes_net.report.synthesis_words import (
    PRIOR,
    judged,
    movement_sentences,
    slope_sentences,
    tails,
    virtual_without_sentences,
)
from bayes_net.report.tables import arm_table, by_landmark, probability_table, ratio_table
from bayes_net.results.folder import Illustration
from bayes_net.schema import HELD_OUT, IN_PRINT, PREDICTED, SAID


@pytest.fixture(scope="module")
def page() -> str:
    return synthesis_page(fake_pool.content(draw=True))


def plain(sentences: list[str]) -> str:
    return " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ")


def text_of(html: str) -> str:
    return " ".join(Page(body(html)).text.split())


def drawn(axes, gid: str) -> np.ndarray:
    """x-data of the lines with this id, in the order of drawing."""
    return np.array(
        [np.asarray(line.get_xdata(), float) for line in axes.get_lines() if line.get_gid() == gid]
    )


# --- sentences ----------------------------------------------------------------------------------------


def slopes(**changes) -> str:
    rows = fake_pool.hazard_ratios(arms=("A",))
    first = rows[(rows["landmark"] == "150 d") & (rows["measure"] == "shrinkage, per 10 points")]
    return plain(slope_sentences(first.assign(**changes)))


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (0.995, "almost certainly (150 d) associated with longer PFS"),
        (0.9949, "very probably (150 d) associated with longer PFS"),
        (0.975, "very probably (150 d) associated with longer PFS"),
        (0.9749, "probably (150 d) associated with longer PFS"),
        (0.90, "probably (150 d) associated with longer PFS"),
        (0.8999, "direction of the association with PFS is unclear at 150 d"),
        (0.0999, "probably (150 d) associated with shorter PFS"),
        (0.0049, "almost certainly (150 d) associated with shorter PFS"),
    ],
)
@pytest.mark.parametrize(
    ("status", "lead"),
    [
        ("in print", "In print:"),
        (HELD_OUT, "In print but held out:"),
    ],
)
def test_words_of_slopes_follow_probability_and_status(probability, said, status, lead):
    sentence = slopes(prob_below_1=probability, status=status, tails=2.0)
    assert lead in sentence
    assert said in sentence


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (1 - 0.20 / 6, "probably"),
        (1 - 0.20 / 6 - 1e-6, "direction unclear"),
        (1 - 0.05 / 6, "very probably"),
        (1 - 0.01 / 6, "almost certainly"),
        (1 - 0.01 / 6 - 1e-6, "very probably"),
    ],
)
def test_words_need_the_more_certainty_the_more_ratios_of_shrinkage_and_of_arms_get_one(probability, words):
    """One slope in print, and two ratios of arms: six directions. Neither what is said, predicted, biased or
    of studies is judged, nor the same ratio per point once more."""
    found = fake_pool.tables()
    arms = found["arms_and_studies"]
    (between,) = arms.index[arms["estimand"] == "arm"][:1]
    other = arms.loc[[between]].assign(endpoint="os", hr=0.9)
    arms = pd.concat([arms[arms["estimand"] != "arm"], arms.loc[[between]], other], ignore_index=True)
    slopes = found["hazard_ratios"].copy()
    numbered = (slopes["status"] == IN_PRINT) & ~slopes["biased"].astype(bool)
    assert set(slopes.loc[numbered, "landmark"]) == {"150 d"}
    slopes.loc[numbered, "prob_below_1"] = probability
    arms["prob_below_1"] = arms["prob_below_1"].mask(arms["estimand"] == "arm", probability)
    found |= {"hazard_ratios": slopes, "arms_and_studies": arms}
    assert tails(found) == 6
    said = plain(answer(found))
    assert f"other landmarks: {words}" in said
    outcome = f"{words} longer" if words != "direction unclear" else words
    assert said.count(f", {outcome}") == 2
    judgements = plain(slope_sentences(judged(found, "hazard_ratios")))
    assert (f"{words} (150 d)" in judgements) == (words != "direction unclear")
    assert f"probably: {1 - 0.20 / 6:.4g} or more" in text_of(synthesis_page(fake_pool.content(found=found)))
    assert "Here the answer is about 3" in text_of(synthesis_page(fake_pool.content(found=found)))


def test_a_synthesis_that_puts_nothing_into_words_has_one_direction():
    rows = fake_pool.hazard_ratios(status=PREDICTED)
    assert tails({"hazard_ratios": rows}) == tails({}) == 1


@pytest.mark.parametrize(("status", "words"), [(PREDICTED, ""), (SAID, "not significant; about 1.0")])
def test_a_row_without_a_number_of_its_own_gets_no_more_than_the_papers_words(status, words):
    rows = fake_pool.hazard_ratios(arms=("A",), status=status, said=words, prob_below_1=0.999)
    sentence = plain(slope_sentences(rows[~rows["biased"].astype(bool)]))
    assert "associated" not in sentence
    assert words.replace(";", ",") in sentence
    assert "0.53 (95 % CrI 0.33–0.90) at 150 d" in sentence
    assert "per 30 points 0.15 (0.04–0.73)" in sentence
    table = probability_table(rows.assign(gate="passed"))
    assert not table.iloc[:, -1].str.contains("longer").any()


def test_what_virtual_trials_tell_without_a_study_is_said_and_shown():
    row = {"without": "Mid", "arm": "B", "landmark": "150d", "quantity": SHARE, "value": 1.06, "sd": 0.27}
    row |= {"value_without": 0.97, "sd_without": 0.25}
    other = row | {"landmark": "36w", "value_without": 1.10}
    error = row | {"landmark": "36w", "quantity": "standard error", "value": 9.0}
    table = pd.DataFrame([other, row, error])
    (sentence,) = virtual_without_sentences(table)
    assert "matched to Mid too" in sentence
    assert "from 1.06 to 0.97 at 150d (B)" in sentence
    margin = {"arm": "B", "margin": "any shrinkage", "printed": 78, "median": 77, "lower": 60, "upper": 90}
    margins = pd.DataFrame([margin | {"inside": True}])
    found = fake_pool.tables(virtual_trials=margins, virtual_without=table)
    text = text_of(synthesis_page(fake_pool.content(found=found)))
    assert sentence.replace("\N{NO-BREAK SPACE}", " ") in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "share of the slope on final shrinkage, 36w1.06 (0.27)1.10 (0.25)" in text


def test_several_landmarks_are_read_together():
    together = pd.DataFrame(
        [{"endpoint": "pfs", "arm": "A", "landmarks": 5, "prob_all_below_1": 0.61, "prob_all_above_1": 0.05}]
    )
    sentence = plain(slope_sentences(fake_pool.hazard_ratios(arms=("A",)), together))
    assert (
        "All 5 landmarks together: the hazard ratio is below 1 at each of them with probability 0.61"
        in sentence
    )
    assert "stands out by chance" in sentence
    alone = plain(slope_sentences(fake_pool.hazard_ratios(arms=("A",)), together.assign(landmarks=1)))
    assert "together" not in alone


@pytest.mark.parametrize(("contraction", "silent"), [(0.0999, True), (0.1, False), (-0.3, True)])
@pytest.mark.parametrize("status", ["in print", HELD_OUT])
def test_below_a_tenth_of_contraction_the_prior_speaks(contraction, silent, status):
    sentence = slopes(contraction=contraction, prob_below_1=0.999, status=status)
    assert (PRIOR in sentence) == silent
    assert ("almost certainly" in sentence) != silent


def test_swapping_the_arms_numbers_swaps_their_words():
    ratios = fake_pool.hazard_ratios()
    swapped = ratios.assign(arm=ratios["arm"].map({"control": "177Lu", "177Lu": "control"}))
    said, other = (slope_sentences(rows) for rows in (ratios, swapped))
    assert [line.partition(", ")[2] for line in said] == [line.partition(", ")[2] for line in other]
    assert [line.partition(",")[0] for line in other] == ["control", "177Lu"]


def test_no_limit_is_never_summarised():
    said = plain(slope_sentences(fake_pool.hazard_ratios()))
    assert "(no limit" not in said
    assert "biased and not summarised" in said
    assert "0.75" not in said


def test_studies_without_which_nothing_moves_are_named_together():
    table = fake_pool.tables()["answer"]
    same = [table[table["without"] == ""].assign(without=name) for name in ("One", "Two")]
    said = plain(answer(fake_pool.tables(answer=pd.concat([table, *same]))))
    assert "Without One and Two, each by itself, nothing here moves." in said
    assert said.count("nothing here moves") == 1


def test_the_answer_is_what_a_clinician_asks():
    said = [plain([sentence]) for sentence in answer(fake_pool.tables())]
    assert said[0].startswith(
        "177Lu, PFS after 150 d: hazard ratio of shrinkage 1.01 (95 % CrI 0.63–1.72) per 10"
    )
    assert "It rests on the prior" in said[0]
    assert "0.53 (95 % CrI 0.33–0.90) per 10 points and 0.15 (0.04–0.73) per 30" in said[1]
    assert "printed as 0.919 per point, 0.43 per 10" in said[1]
    assert "very probably associated with longer PFS" in said[1]
    assert "Response at completion (Series, 177Lu): probability 0.87 (95 % CrI 0.57–0.98)" in said[2]
    assert "Without Series, hazard ratio per 10 points 0.53 → 0.70 (control)" in said[3]
    assert "the rest cannot be told" in said[3]
    assert said[4] == "177Lu against control: PFS (Trial) hazard ratio 0.20 (95 % CrI 0.12–0.31), " + (
        "almost certainly longer PFS (the study prints 0.18 (0.11 to 0.29), "
        "which the prior and its other numbers move)."
    )
    assert "run from 0.16 (Trial 177Lu) to 0.41 (Series 177Lu)" in said[5]
    assert len(said) == 6


@pytest.mark.parametrize(
    ("status", "words", "basis"),
    [
        (
            SAID,
            "not significant; about 1.0",
            "rests on what the paper says without printing a number: not",
        ),
        (PREDICTED, "", "It is predicted, no printed number."),
    ],
)
def test_the_answer_names_what_a_hazard_ratio_rests_on(status, words, basis):
    rows = fake_pool.hazard_ratios(status=status, said=words, contraction=0.5, printed=np.nan)
    said = plain(answer(fake_pool.tables(hazard_ratios=rows)))
    assert basis in said
    assert "associated" not in said.partition("Response at completion")[0]


@pytest.mark.parametrize("table", ["arms_and_studies", "responses"])
def test_arms_and_responses_that_are_the_prior_say_so(table):
    silent = getattr(fake_pool, table)(contraction=0.05)
    said = plain(answer(fake_pool.tables(hazard_ratios=None, **{table: silent})))
    assert PRIOR in said


@pytest.mark.parametrize(("moved", "said"), [(0.04, "did not move the slopes"), (-0.6, "moved the slopes")])
def test_movement_by_the_single_arm_study_is_told_with_its_size(moved, said):
    sentences = movement_sentences(fake_pool.tables(influence=fake_pool.influence(moved)))
    assert len(sentences) == 1
    assert (
        f"Leaving out Series, a single-arm study, {said}: the largest movement is {abs(moved):.2f}"
        in (sentences[0])
    )


def test_a_failed_refit_is_not_summarised():
    found = fake_pool.tables(diagnostics=fake_pool.diagnostics(("without Series",)))
    assert movement_sentences(found) == []
    assert "gate failed" in synthesis_page(fake_pool.content(found=found))


# --- the page -----------------------------------------------------------------------------------------


def test_sections_come_in_order(page):
    assert re.findall(r'<section id="([^"]+)"', page) == [section.key for section in SECTIONS]


@pytest.mark.parametrize(
    "missing",
    [
        "hazard_ratios",
        "responses",
        "checks",
        "survival",
        "evidence",
        "influence",
        "loo",
        "parameters",
        "slope_densities",
    ],
)
def test_a_missing_table_leaves_the_rest(missing):
    page = synthesis_page(fake_pool.content(found=fake_pool.tables(**{missing: None}), draw=True))
    assert "Diagnostics" in page


def test_without_diagnostics_there_is_no_report():
    with pytest.raises(InputError, match="expected diagnostics"):
        synthesis_page(fake_pool.content(found=fake_pool.tables(diagnostics=None)))


def test_a_figure_for_an_unknown_section_is_refused():
    with pytest.raises(InputError, match="no section"):
        synthesis_page(fake_pool.content(figures={"x": Illustration("nowhere", "<svg/>", "", "")}))


def test_a_failed_fit_is_the_first_thing_seen_and_nothing_is_summarised():
    found = fake_pool.tables(diagnostics=fake_pool.diagnostics(("all evidence", "without P0")))
    page = synthesis_page(fake_pool.content(found=found, draw=True))
    text = text_of(page)
    assert text.index("GATE FAILED") < text.index("An invented synthesis")
    assert "R-hat 1.02, threshold 1.01" in text
    assert "Refits failed too: without P0" in text
    assert "Nothing is summarised" in text
    assert "almost certainly longer" not in text
    assert "<img" not in page


def test_failed_refits_are_named_and_the_answer_stays():
    found = fake_pool.tables(diagnostics=fake_pool.diagnostics(("without P0",)))
    text = text_of(synthesis_page(fake_pool.content(found=found)))
    assert "REFITS FAILED: without P0" in text
    assert "the fit of all evidence passed" in text
    assert "GATE FAILED" not in text
    assert "very probably (150" in text


def test_a_fit_that_nobody_checked_failed():
    found = fake_pool.tables(diagnostics=fake_pool.diagnostics().iloc[:0])
    assert "No convergence check of the fit of all evidence was made" in synthesis_page(
        fake_pool.content(found=found)
    )


def test_banners_stay_away_when_all_is_well(page):
    assert 'class="banner' not in page


def test_a_table_of_checks_does_not_say_in_every_row_that_patients_are_synthetic():
    found = fake_pool.tables()
    found["diagnostics"] = found["diagnostics"].assign(synthetic=True)
    assert ">Synthetic</th>" not in synthesis_page(fake_pool.content(found=found, synthetic=True))


def test_synthetic_patients_are_announced_before_the_answer():
    text = text_of(synthesis_page(fake_pool.content(synthetic=True)))
    assert text.index("SYNTHETIC DATA") < text.index("almost certainly")


def test_no_limit_is_called_biased_as_observed_and_resting_on_an_assumption_without_its_bias(page):
    headers = re.findall(r'<th scope="row[^>]*>(no limit[^<]*)</th>', page)
    assert set(headers) == {
        "no limit, as observed (biased: conditions on the future)",
        "no limit, bias taken off (the size of the bias is assumed)",
    }
    words = probability_table(fake_pool.hazard_ratios())
    said = words[words["Landmark"].isin(headers)].groupby("Landmark", sort=False).last().iloc[:, -1]
    assert list(said) == ["not interpreted (biased)", "not interpreted (the bias is assumed)"]


def test_only_what_is_biased_is_banded_in_the_forest():
    ax = forest(fake_pool.hazard_ratios())
    band = next(patch for patch in ax.patches if patch.get_facecolor()[:3] == to_rgb("#eeeeee"))
    below, above = sorted((band.get_y(), band.get_y() + band.get_height()))
    places = dict(zip([t.get_text() for t in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    assert below < places["no limit,\nas observed"] < above
    assert not below < places["no limit,\nbias taken off"] < above


def test_where_patients_inform_a_landmark_the_answer_says_so_and_nothing_is_called_printed():
    rows = fake_pool.hazard_ratios(printed=np.nan, printed_lower=np.nan, printed_upper=np.nan)
    rows = rows[~rows["biased"]]
    rows["status"] = np.where(rows["landmark"] == "150 d", "from patients", PREDICTED)
    said = plain(slope_sentences(rows))
    assert "In words: greater shrinkage is almost certainly (150 d) associated with longer PFS." in said
    assert (
        "From patients: posterior median hazard ratio per 10 points 0.53 (95 % CrI 0.33–0.90) at 150 d"
        in said
    )
    assert "Printed HR (limits)" not in ratio_table(rows)
    ax = forest(rows)
    assert not [text for text in ax.get_legend().get_texts() if text.get_text() == "printed"]
    assert "printed" not in [text.get_text() for text in ax.texts]
    page = synthesis_page(fake_pool.content(found=fake_pool.tables(hazard_ratios=rows)))
    assert "No limit is biased" not in page


def test_what_is_beyond_the_data_is_marked(page):
    assert page.count(">beyond the data</td>") == 2 * 3  # two late months of three curves


def test_a_held_out_row_without_prediction_is_named(page):
    assert "Held out, but without a prediction, since the model has no such curve or limit: C3." in text_of(
        page
    )


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "腫瘍縮小試験", "x" * 200, "$\\frac{1}{2$", "_a & b"]
)
def test_names_from_data_are_text_on_the_page_and_in_figures(name):
    found = {
        key: table.replace({"control": name, "Trial": name}) for key, table in fake_pool.tables().items()
    }
    found["responses"] = found["responses"].replace({"Trial 177Lu": name})
    found["influence"] = found["influence"].replace({"pfs Trial": f"pfs {name}"})
    page = synthesis_page(fake_pool.content(found=found, draw=True, title=name, description=name))
    assert "<script" not in page
    assert "<script" not in unquote(page)
    assert name in Page(page).text


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("hazard_ratios", "shrinkage is measured after treatment began"),
        ("responses", "The pool of responses"),
        ("survival", "Beyond the last month"),
    ],
)
def test_limitations_are_of_what_is_there(missing, said):
    whole = fake_pool.content()
    without = {name: table for name, table in whole.tables.items() if name != missing}
    assert said in limitations(whole)
    assert said not in limitations(replace(whole, tables=without))


@pytest.mark.parametrize(
    ("column", "was", "now", "said"),
    [
        ("arm", "177Lu", "177Lu >=30", "favours the responders"),
        ("statistic", "hazard ratio", "hazard ratio per point", "significance filter"),
        ("statistic", "count", "median", "Medians printed without limits"),
        ("correlated_with", "", "P0", "Their correlations are not in print"),
    ],
)
def test_limitations_follow_the_evidence(column, was, now, said):
    other, content = fake_pool.evidence().replace({column: {was: now}}), fake_pool.content()
    assert said in limitations(replace(content, tables=content.tables | {"evidence": other}))
    assert said not in limitations(content)


def limitations(content) -> str:
    return synthesis_page(content).split('id="limitations"')[1].split("</section>")[0]


def test_what_decides_is_told_with_the_study_and_the_prior_that_decide():
    table = decided_table(fake_pool.power_scaling()).set_index("Hazard ratio")
    assert list(table.index) == ["PFS, control, 150 d", "PFS, 177Lu, 150 d", "PFS, arms, Trial"]
    assert list(table.columns) == [
        "Data",
        "Study that moves it most",
        "Priors",
        "Prior that moves it most",
        "Reading",
    ]
    assert list(table["Study that moves it most"]) == ["Trial", "–", "Trial"]
    assert list(table["Prior that moves it most"]) == ["slope", "slope", "–"]
    assert table.loc["PFS, 177Lu, 150 d", "Reading"] == "priors are strong, or data weak"
    alone = fake_pool.power_scaling()
    alone = alone[~alone["component"].str.startswith("likelihood of")]
    assert "Study that moves it most" not in decided_table(alone)


def test_without_a_study_says_what_is_left_and_what_is_not_known():
    table = without_table(fake_pool.study_influence()).set_index("Hazard ratio")
    assert list(table.index) == ["PFS, control, 150 d", "PFS, arms, Trial"]
    assert list(table["HR (95 % CrI)"]) == ["0.53 (0.31–0.91)"] * 2
    assert list(table["Without Trial"]) == ["only the prior", "not known: needs a refit"]
    assert list(table["Without Series"]) == ["0.55 (0.30–0.95)"] * 2


def test_both_stand_in_the_section_on_sensitivity(page):
    section = page[page.index('<section id="sensitivity"') :]
    section = section[: section.index("</section>")]
    places = [section.index(t) for t in ("What decides each hazard ratio", "without each study", "Scenarios")]
    assert places == sorted(places)


def test_the_page_asks_nothing_of_any_other_address(page):
    elements = Page(page).elements
    links = [attrs[key] for _, attrs in elements for key in ("src", "href") if key in attrs]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "default-src 'none'" in page
    assert "url(" not in re.sub(r'src="data:[^"]*"', "", page)
    assert not [tag for tag, _ in elements if tag in ("script", "iframe", "object", "embed")]


def test_links_lead_to_sections_that_exist(page):
    elements = Page(page).elements
    ids = {attrs.get("id") for _, attrs in elements}
    assert {attrs["href"][1:] for tag, attrs in elements if tag == "a"} <= ids


def test_the_first_screen_asks_answers_and_says_what_the_answer_rests_on():
    found = fake_pool.tables()
    assert question(found) == "Does greater shrinkage go with longer PFS?"
    assert first_answer(found) == answer(found)[:2]  # an arm each
    rows = first_screen_rows(found)
    assert set(rows["landmark"]) == {"150 d", "36 w"}
    assert not rows["biased"].any()
    printed, predicted = (int((rows["status"] == status).sum()) for status in (IN_PRINT, PREDICTED))
    assert rests_on(found) == (
        f"Rests on {len(rows)} hazard ratios at landmarks: {printed} with a number in print or from patients "
        f"and {predicted} of which no paper says anything; for 2 only the prior speaks."
    )
    said = found["hazard_ratios"].assign(status=SAID)
    assert f"{len(rows)} of which a paper says something without a number" in rests_on(
        found | {"hazard_ratios": said}
    )
    assert rests_on({"diagnostics": fake_pool.diagnostics()}) == ""
    assert question({}) == "What do published numbers say together?"


def arms_only(**changes) -> dict:
    """A synthesis of arms alone: two studies, their mean, and a new study, which only the prior tells of."""
    rows = fake_pool.arms_and_studies().iloc[[0] * 4].reset_index(drop=True)
    rows = rows.assign(
        study=["Trial", "Series", "(pooled mean)", "(new study)"],
        hr=[0.2, 0.5, 0.4, 0.41],
        contraction=[0.85, 0.8, 0.7, 0.05],
    )
    absent = dict.fromkeys(("hazard_ratios", "slope_densities", "answer", "responses", "unprinted"))
    return fake_pool.tables(**absent, arms_and_studies=rows, **changes)


@pytest.mark.parametrize(
    "changes", [{"study": "Series"}, {"endpoint": "os"}, {"arm": "X"}, {"use": "record"}]
)
def test_what_another_row_prints_is_not_quoted_of_the_arms(changes):
    evidence = fake_pool.evidence()
    evidence.loc[evidence["id"] == "P0", list(changes)] = list(changes.values())
    assert "the study prints" not in plain(answer(fake_pool.tables(evidence=evidence)))
    assert "the study prints 0.18" in plain(answer(fake_pool.tables()))


def test_the_answer_rounds_a_ratio_as_its_table_does():
    """One row whose limit is less certain rounds the limits of all."""
    rows = fake_pool.arms_and_studies(upper=[1.153, 2.134], mcse_lower=0.001, mcse_upper=[0.001, 0.04])
    table = arm_table(judged(fake_pool.tables(arms_and_studies=rows), "arms_and_studies"))
    assert table.filter(regex="HR").iloc[0, 0] == "0.20 (0.12–1.2)"
    assert "0.12–1.2)" in plain(answer(fake_pool.tables(arms_and_studies=rows)))


def test_the_first_screen_of_arms_alone_asks_answers_and_shows_them():
    found = arms_only()
    page = synthesis_page(fake_pool.content(found=found, draw=True))
    assert question(found) == "Is PFS longer or shorter in one of the arms (177Lu against control)?"
    (sentence,) = first_answer(found)
    assert sentence.startswith("177Lu against control: PFS (pooled mean) hazard ratio 0.4")
    assert "PFS (new study): no evidence narrows it" in sentence
    assert rests_on(found) == (
        "Rests on 1 published number of Trial; arms are compared within a study that has both; for 1 only "
        "the prior speaks."
    )
    (image,) = [attrs for attrs in Page(page[: page.index("</section>")]).all("img")]
    assert "PFS, Trial 0.20 (0.12 to 0.31); PFS, Series 0.50" in image["alt"]
    (figure,) = [each for each in draw_synthesis(found) if each.section == "answer"]
    rows = first_screen_rows(found)
    drawn = [line for line in figure.axes.lines if line.get_gid() == "interval"]
    assert [list(line.get_xdata()) for line in drawn] == rows[["lower", "upper"]].to_numpy().tolist()
    assert [line.get_linestyle() for line in drawn] == ["-", "-", "-", ":"]
    names = [label.get_text() for label in figure.axes.get_yticklabels()]
    assert names == ["Trial", "Series", "pooled mean", "new study"]


def test_arms_of_a_failed_fit_are_not_drawn_on_the_first_screen():
    found = arms_only(diagnostics=fake_pool.diagnostics(("all evidence",)))
    assert rests_on(found) == ""
    assert list(draw_synthesis(found)) == []


def test_figures_have_texts_that_state_the_finding(page):
    texts = [attrs["alt"] for attrs in Page(page).all("img")]
    assert len(texts) == 7
    assert texts[0].startswith("Shrinkage, per 10 points: PFS, ")
    assert (
        "of 4, 0 rest on what a paper says without a number, 3 are predicted, and 2 are the prior" in texts[1]
    )
    assert "new study 0.22 (0.03 to 0.77)" in texts[2]
    assert "Trial control 0.17 at 18 months" in texts[3]
    assert "control, 150 d: 1.00 to 0.53, 48 % narrower" in texts[4]
    assert "the data hardly change the prior of 177Lu, 150 d; " in texts[4]
    assert "the prior speaks for slope pfs 177Lu, 150 d." in texts[5]
    assert "1 of 2 lie inside their predictive interval; outside: C2" in texts[6]


def test_the_same_content_gives_the_same_page(page):
    fake_pool.drawn_of.cache_clear()
    assert synthesis_page(fake_pool.content(draw=True)) == page


# --- figures ------------------------------------------------------------------------------------------


def test_the_forest_draws_the_table():
    table = fake_pool.hazard_ratios()
    table = table[table["measure"] == "shrinkage, per 10 points"]
    rows = by_landmark(table)
    axes = forest(table)
    np.testing.assert_array_equal(drawn(axes, "estimate").ravel(), rows["hr"])
    np.testing.assert_array_equal(drawn(axes, "interval"), rows[["lower", "upper"]])
    np.testing.assert_array_equal(drawn(axes, "printed").ravel(), rows["printed"].dropna())
    lines = [line for line in axes.get_lines() if line.get_gid() == "estimate"]
    grey = [to_hex(line.get_color()) == GREYS[1] for line in lines]
    assert grey == (rows["status"] == PREDICTED).tolist()


def test_the_forest_keeps_an_arms_colour_when_another_arm_comes_first():
    rows = fake_pool.hazard_ratios(arms=("B",), status="in print")
    axes = forest(rows[rows["measure"] == "shrinkage, per 10 points"], arms=("A", "B"))
    colours = {to_hex(line.get_color()) for line in axes.get_lines() if line.get_gid() == "estimate"}
    assert colours == {ARM_COLOURS[1].lower()}


def test_the_contraction_plot_draws_shares_of_the_prior():
    shown = fake_pool.parameters().iloc[[2, 3, 4, 6]]
    shares = drawn(contraction_plot(fake_pool.parameters()), "share").ravel()
    np.testing.assert_allclose(shares, shown["sd"] / shown["prior_sd"], rtol=1e-12)


def unprinted() -> pd.DataFrame:
    rows = [("control", "150 d", 0.7, 0.5, 0.9), ("177Lu", "36 w", 1.0, 0.8, 1.2)]
    table = pd.DataFrame(rows, columns=["arm", "landmark", "estimate", "lower", "upper"])
    return table.assign(level=0.95, said="not significant, about 1.0, and not above that at 150 d")


@pytest.mark.parametrize("draw", [contraction_plot, response_plot, unprinted_plot])
def test_no_label_of_a_row_is_cut_or_lies_over_another(draw):
    table = {
        contraction_plot: fake_pool.parameters().assign(study="A cohort in the middle of treatment, 2024"),
        response_plot: fake_pool.responses().assign(arm="177Lu-DOTATATE and everolimus"),
        unprinted_plot: unprinted(),
    }[draw]
    ax = draw(table)
    FigureCanvasAgg(ax.figure).draw()
    labels = [label for label in ax.get_yticklabels() if label.get_text()]
    assert not any("…" in label.get_text() for label in labels)
    assert any("\n" in label.get_text() for label in labels)
    boxes = [label.get_window_extent() for label in labels]
    assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


def test_every_check_has_a_panel_of_its_own():
    table = fake_pool.checks()
    panels = checks_plot(table)
    assert [panel.get_xscale() for panel in panels] == ["linear", "log"]
    for panel, row in zip(panels, table.itertuples(), strict=True):
        np.testing.assert_array_equal(drawn(panel, "band"), [[row.lower, row.upper]])
        assert drawn(panel, "predicted").item() == row.predicted
        assert drawn(panel, "printed").item() == row.printed


def test_survival_is_grey_beyond_the_data():
    panels = synthesis_survival(fake_pool.survival())
    assert [panel.get_title(loc="left") for panel in panels] == ["Trial", "Series"]
    ends = [(line.get_xdata().max(), line.get_linestyle()) for line in panels[1].get_lines()]
    assert ends == [(18.0, "-"), (30.0, "--")]
    estimates = fake_pool.survival().query("study == 'Series'")["estimate"]
    # from randomisation, when all are alive
    np.testing.assert_array_equal(panels[1].get_lines()[0].get_ydata(), [1.0, *estimates[:3]])
    assert panels[1].get_lines()[0].get_xdata()[0] == 0
    np.testing.assert_array_equal(panels[1].get_lines()[1].get_ydata(), estimates[2:])


def test_responses_are_drawn_with_the_new_study_in_grey():
    table = fake_pool.responses()
    axes = response_plot(table)
    np.testing.assert_array_equal(drawn(axes, "interval"), table[["lower", "upper"]])
    marks = [line for line in axes.get_lines() if line.get_gid() == "estimate"]
    assert [to_hex(line.get_color()) == GREYS[1] for line in marks] == [False, False, False, True]


def test_a_failed_fit_is_not_drawn():
    assert list(draw_synthesis(fake_pool.tables(diagnostics=fake_pool.diagnostics(("all evidence",))))) == []


def test_figures_of_the_same_table_have_the_same_bytes():
    first, second = (svg(checks_plot(fake_pool.checks())[0]) for _ in range(2))
    assert first == second


def test_figure_names_are_different_and_fit_for_files():
    names = [name for name, *_ in draw_synthesis(fake_pool.tables())]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)


def test_one_row_is_enough_for_every_figure():
    one = {name: table.iloc[:1] for name, table in fake_pool.tables().items() if name != "diagnostics"}
    one["parameters"] = pd.concat([fake_pool.parameters().iloc[2:3]])
    assert len(list(draw_synthesis(one | {"diagnostics": fake_pool.diagnostics()}))) == 7


def test_what_is_in_the_fit_stands_first_in_the_evidence():
    evidence = fake_pool.tables()["evidence"].copy()
    evidence["use"] = (["record", "check", "likelihood"] * len(evidence))[: len(evidence)]
    uses = list(evidence_table(evidence)["Use"])
    assert list(dict.fromkeys(uses)) == ["in the fit", "held out", "record only"]
    assert uses == sorted(uses, key=["in the fit", "held out", "record only"].index)


def test_what_a_hazard_ratio_means_is_said_of_what_was_analysed():
    said = "Association, not effect"
    whole = fake_pool.tables()
    assert f"{said}: a hazard ratio of shrinkage below 1" in text_of(
        synthesis_page(fake_pool.content(found=whole))
    )
    arms = {name: table for name, table in whole.items() if name != "hazard_ratios"}
    page = text_of(synthesis_page(fake_pool.content(found=arms)))
    assert "A hazard ratio below 1 goes with longer time to event in the arm that is named first." in page
    assert said not in page
    groups = arms["evidence"].assign(arm="177Lu >=30", use="likelihood")
    page = text_of(synthesis_page(fake_pool.content(found=arms | {"evidence": groups})))
    assert f"{said}: who responds is known only afterwards" in page
