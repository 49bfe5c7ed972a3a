"""The report answers first, never says more than the probabilities, and treats data as text."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import fake_results
import numpy as np
import pandas as pd
import pytest

from bayes_net.assumptions.hazard import SLOPE_FORMS, TIME_VARYING
from bayes_net.errors import InputError
from bayes_net.figures.captions import PATIENTS
from bayes_net.numbers import format_estimate
from bayes_net.report.patients import (
    CHANGES,
    SECTIONS,
    arms_in_words,
    conflict_in_words,
    judged_ratios,
    patients_page,
)
from bayes_net.report.tables import hazard_ratio_table, probability_table
from bayes_net.report.words import answer, failed_rows, question, rests_on, short_answer
from bayes_net.results.columns import judged
from bayes_net.results.folder import Illustration
from bayes_net.results.states import EVERYONE, OWN
from bayes_net.schema import ANY_TIME

KEYS = {section.key for section in SECTIONS}
FIRST, SECOND = fake_results.ARMS
HOSTILE = ("<script>alert(1)</script> & \"q\" 'x'", "ルテチウム " + "long" * 50)


@pytest.fixture(scope="module")
def page() -> str:
    return patients_page(fake_results.content(draw=True))


class Page(HTMLParser):
    """Visible text, elements with their attributes, and the links of a page."""

    def __init__(self, html: str):
        super().__init__()
        self.text, self.elements = "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def body(html: str) -> str:
    return html[html.index("<body>") :]


def plain(sentences: list[str]) -> str:
    return " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ")


def one_row(probability: float, **changes) -> pd.DataFrame:
    ratios = fake_results.hazard_ratios(arms=("A",), landmarks=("150 d",))
    return ratios.assign(prob_below_1=probability, **changes)


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        # of one hazard ratio there are two directions, which share 20 %, 5 % and 1 %
        (0.995, "greater shrinkage is almost certainly (150 d) associated with longer PFS"),
        (0.9949, "greater shrinkage is very probably (150 d) associated with longer PFS"),
        (0.975, "greater shrinkage is very probably (150 d) associated with longer PFS"),
        (0.9749, "greater shrinkage is probably (150 d) associated with longer PFS"),
        (0.90, "greater shrinkage is probably (150 d) associated with longer PFS"),
        (0.8999, "the direction of the association with PFS is unclear at 150 d"),
        (0.1001, "the direction of the association with PFS is unclear at 150 d"),
        (0.0999, "greater shrinkage is probably (150 d) associated with shorter PFS"),
        (0.0249, "greater shrinkage is very probably (150 d) associated with shorter PFS"),
        (0.0049, "greater shrinkage is almost certainly (150 d) associated with shorter PFS"),
    ],
)
def test_wording_follows_the_probability_with_both_signs(probability, said):
    assert plain(answer(one_row(probability))[:1]) == f"A: {said}."


def test_the_sizes_say_on_how_many_events_they_rest():
    (row,) = one_row(0.99).itertuples()
    ratio = format_estimate(row.hr, row.mcse_hr)
    said = f"(shrinkage, per 10 points) is {ratio} (A, 150 d), from {row.events} events."
    assert plain(answer(one_row(0.99))).endswith(said)
    events = fake_results.hazard_ratios().query("not biased")["events"]
    assert f"each from {events.min()} to {events.max()} events." in plain(
        answer(fake_results.hazard_ratios())
    )


def test_the_answer_has_a_sentence_per_arm_and_one_for_the_size():
    sentences = answer(fake_results.hazard_ratios())
    assert len(sentences) == 3
    assert plain(sentences[:1]) == (
        "177Lu-Dotatate: greater shrinkage is very probably (150 d) and probably (180 d) associated with "
        "longer PFS; the direction of the association with PFS is unclear at 36 w, 48 w and 72 w."
    )
    assert "run from 0.70 (177Lu-Dotatate, 150 d) to 1.04 (octreotide LAR, 72 w)" in plain(sentences)


def test_every_endpoint_that_was_analysed_is_in_the_answer():
    pfs = fake_results.hazard_ratios()
    both = pd.concat([pfs.assign(endpoint="os", prob_below_1=0.996), pfs], ignore_index=True)
    sentences = answer(both)
    assert len(sentences) == 6
    # of twenty hazard ratios each needs 1 - 0.2 / 40 = 0.995
    assert plain(sentences[:1]).startswith(
        "177Lu-Dotatate: greater shrinkage is very probably (150 d) and probably (180 d) associated with"
    )
    assert plain(sentences[3:4]).endswith(
        "probably (150 d, 180 d, 36 w, 48 w, 72 w) associated with longer OS."
    )
    assert plain(sentences[5:]).startswith("OS: Posterior median hazard ratios")


def test_differences_of_arms_are_no_randomised_comparison():
    html = body(patients_page(fake_results.content()))
    label = "<strong>Not a randomised comparison</strong>: patients were selected by reaching the landmark."
    assert label in html
    # percentage points, months
    assert "+5.2 (−4.8 to +15.2), Pr(&gt; 0) 0.91; 46.8 against 41.6 %" in html
    assert "+0.8 (+0.7 to +0.9), Pr(&gt; 0) 0.91; 7.6 against 6.7<" in html


def test_over_whom_arms_are_averaged_is_said():
    own = fake_results.arm_differences()
    (whole, label) = arms_in_words(own)
    assert whole.startswith(
        "Averaged over the covariates of all patients and each arm's own shrinkage: the whole"
    )
    assert "Not a randomised" in label
    mixed = own.assign(averaged_over=own["averaged_over"].where(own["landmark"] == "150 d", OWN))
    assert [text.split(":")[0] for text in arms_in_words(mixed)[:2]] == [
        "Averaged over the covariates of all patients and each arm's own shrinkage (150 d)",
        "Averaged over each arm's own patients (no limit)",
    ]
    at_zero = own.assign(note="", averaged_over=EVERYONE)
    assert arms_in_words(at_zero)[1:] == [
        "From randomisation (0 d) it compares treatments, if patients were randomised."
    ]


def test_the_short_answer_is_a_sentence_per_endpoint_treated_arm_first():
    ratios = one_row(0.992, arm="B", endpoint="pfs")
    ratios = pd.concat([one_row(0.97, arm="A"), ratios, one_row(0.6, arm="B").assign(landmark="36 w")])
    assert plain(short_answer(ratios)) == (
        "Greater shrinkage goes with longer PFS: very probably in B (150 d), probably in A (150 d); "
        "elsewhere the direction is unclear."
    )
    opposed = pd.concat([one_row(0.998, arm="A"), one_row(0.01, arm="B")])
    assert plain(short_answer(opposed)) == (
        "Greater shrinkage goes with longer PFS: almost certainly in A (150 d); with shorter PFS: very "
        "probably in B (150 d)."
    )
    both = pd.concat([ratios, one_row(0.5).assign(endpoint="os")])
    assert plain(short_answer(both)[1:]) == (
        "Whether greater shrinkage goes with longer or shorter OS is unclear at 150 d."
    )


def test_the_short_answer_has_no_word_for_what_failed_is_biased_or_is_the_prior():
    failed = pd.concat([one_row(0.97, gate="failed"), one_row(0.97).assign(endpoint="os", contraction=0.0)])
    assert plain(short_answer(failed)) == (
        "Whether greater shrinkage goes with longer or shorter OS is unclear at 150 d. Estimates whose gate "
        "failed are not summarised (PFS)."
    )
    only = one_row(0.99, landmark="no limit", biased=True)
    assert plain(short_answer(only)) == "PFS: only “no limit” was analysed, which is biased."
    arms = pd.concat([one_row(0.99).assign(estimand="arm", measure=f"B{i}", arm=f"B{i}") for i in range(5)])
    assert len(short_answer(arms)) <= 3


def test_what_the_answer_rests_on_are_its_patients_and_events_and_the_prior():
    ratios = fake_results.hazard_ratios()
    own = ratios[~ratios["biased"]]
    span = (
        f"{own['n'].min()} to {own['n'].max()} patients with {own['events'].min()} to {own['events'].max()}"
    )
    assert rests_on(ratios) == f"Rests on, in each arm at each landmark: {span} events (PFS)."
    silent = one_row(0.97, contraction=0.0, n=12, events=1)
    assert plain([rests_on(silent)]) == (
        "Rests on, in each arm: 12 patients with 1 event (PFS), but the prior alone at 150 d (A)."
    )
    assert rests_on(one_row(0.9, gate="failed")) == "Rests on no estimate that can be used."


def test_the_question_is_of_what_was_analysed():
    assert question(one_row(0.9)) == "Does greater shrinkage by a landmark go with longer PFS?"
    arms = one_row(0.9, estimand="arm", measure="arm", endpoint="os")
    assert question(arms) == "Does OS differ between arms?"


def test_what_only_the_prior_says_has_no_word_in_the_answer():
    ratios = fake_results.hazard_ratios(arms=("A",), landmarks=("150 d", "180 d")).assign(
        prob_below_1=[0.99, 0.99], contraction=[0.5, 0.02]
    )
    assert plain(answer(ratios)[:1]) == (
        "A: greater shrinkage is very probably (150 d) associated with longer PFS; "
        "the data say next to nothing at 180 d, where the hazard ratio is the prior’s."
    )


def test_arms_whose_landmarks_point_both_ways_say_both():
    ratios = fake_results.hazard_ratios(arms=("A",), landmarks=("150 d", "180 d")).assign(
        prob_below_1=[0.99, 0.04]
    )
    assert plain(answer(ratios)[:1]) == (
        "A: greater shrinkage is very probably (150 d) associated with longer PFS; "
        "greater shrinkage is probably (180 d) associated with shorter PFS."
    )


def test_no_limit_never_enters_the_answer():
    only = fake_results.hazard_ratios(landmarks=("no limit",))
    assert plain(answer(only)) == "Only “no limit” was analysed, which is biased: it allows no conclusion."
    assert "no limit" not in plain(answer(fake_results.hazard_ratios()))


def test_a_failed_fit_is_named_and_not_summarised():
    said = plain(answer(one_row(0.999, gate="failed")))
    assert said == "Not summarised, because the gate failed: 150 d (A)."


def test_response_is_called_by_its_name():
    said = plain(answer(one_row(0.98, measure="response, >= 30 %", endpoint="os")))
    assert said.startswith("A: response >= 30 % is very probably (150 d) associated with longer OS.")


def with_any_time(*probabilities: float, endpoints=("pfs",)) -> pd.DataFrame:
    """Landmarks of two arms, and models of all follow-up with these probabilities by endpoint and arm."""
    ratios = fake_results.hazard_ratios()
    parts, rest = [], iter(probabilities)
    for endpoint in endpoints:
        joint = ratios[:2].assign(landmark=ANY_TIME, population="scanned", hr=0.77, n=111, events=66)
        joint["prob_below_1"] = [next(rest), next(rest)]
        joint["hr"] += [len(parts) / 10, len(parts) / 10 + 0.05]
        parts += [ratios, joint]
        parts[-2:] = [part.assign(endpoint=endpoint) for part in parts[-2:]]
    return pd.concat(parts, ignore_index=True)


def test_words_are_about_all_follow_up_where_there_is_a_model_of_it():
    ratios = with_any_time(0.5, 0.96)
    assert question(ratios) == "Does greater shrinkage go with longer PFS from then on?"
    assert plain(short_answer(ratios)) == (
        "Greater shrinkage goes with longer PFS: probably in 177Lu-Dotatate; elsewhere the direction is "
        "unclear."
    )
    assert plain(answer(ratios)[:2]) == (
        "177Lu-Dotatate: greater shrinkage is probably associated with longer PFS. octreotide LAR: the "
        "direction of the association with PFS is unclear."
    )
    assert "run from 0.70 (177Lu-Dotatate, 150 d) to 1.04" in plain(answer(ratios)[2:])
    assert rests_on(ratios).startswith("Rests on, in each arm: 111 patients with 66 events (PFS).")
    assert plain(short_answer(with_any_time(0.5, 0.5))) == (
        "Whether greater shrinkage goes with longer or shorter PFS is unclear."
    )
    failed = ratios.assign(gate=["failed" if x == ANY_TIME else "passed" for x in ratios["landmark"]])
    assert "probably" not in plain(answer(failed)) + plain(short_answer(failed))


@pytest.mark.parametrize(("endpoints", "bar"), [(("pfs",), 0.95), (("pfs", "os"), 0.975)])
def test_the_bar_of_a_word_rises_with_the_hazard_ratios_that_are_judged(endpoints, bar):
    others = [0.5] * (2 * len(endpoints) - 1)
    assert "probably" in plain(short_answer(with_any_time(bar, *others, endpoints=endpoints)))
    assert "probably" not in plain(short_answer(with_any_time(bar - 1e-4, *others, endpoints=endpoints)))


def test_landmarks_beside_a_model_of_all_follow_up_have_no_words():
    rows = judged_ratios(with_any_time(0.5, 0.996))
    table = probability_table(rows).set_index(["Landmark", "Arm"])
    (words,) = (table[name] for name in table if name.startswith("Time to event"))
    assert words["any time", SECOND] == "very probably longer"
    assert {word.split()[0] for (landmark, _), word in words.items() if landmark != ANY_TIME} == {"not"}


def test_any_time_stands_first_in_the_table_of_its_landmarks():
    ratios = with_any_time(0.5, 0.5, 0.5, 0.5, endpoints=("pfs", "os"))
    page = Page(body(patients_page(fake_results.content(found=fake_results.tables(hazard_ratios=ratios)))))
    captions = [attrs["aria-label"] for _, attrs in page.elements if "aria-label" in attrs]
    own = [each for each in captions if each.endswith("association within each arm")]
    assert len(own) == 4  # hazard ratios and probabilities, of PFS and of OS
    assert all("event-free at the landmark" in each for each in own)
    table = page.text[page.text.index(own[0]) :]
    assert table.index("any time") < table.index("150 d")


def test_where_nothing_is_put_into_words_their_meaning_is_that_of_one_direction():
    only = fake_results.hazard_ratios(landmarks=("no limit",))
    text = Page(body(patients_page(fake_results.content(found=fake_results.tables(hazard_ratios=only))))).text
    assert "probably: 0.8 or more" in text
    assert "nan" not in text.lower().split()


def test_slopes_that_are_one_by_assumption_are_judged_once():
    apart = with_any_time(0.5, 0.5)
    common = apart.assign(hr=0.8, lower=0.6, upper=1.1)
    joint = apart["landmark"] == ANY_TIME
    assert set(judged(apart)[joint]) == {4.0}
    assert set(judged(common)[joint]) == {2.0}


def test_only_association_is_claimed(page):
    prose = re.sub(r"association, not effect", "", Page(body(page)).text, flags=re.IGNORECASE)
    assert not re.search(r"\b(effects?|causes?|improves?|prolongs?|benefits?|due to)\b", prose, re.IGNORECASE)


def test_a_failed_gate_is_the_first_thing_seen():
    html = body(patients_page(fake_results.content(found=fake_results.tables(failing=True), synthetic=True)))
    seen = Page(html).text.split("Skip to the answer")[1].strip()
    assert seen.startswith("GATE FAILED. 2 of 30 convergence checks did not pass")
    assert "PFS, 48 w: R-hat 1.0313, threshold 1.01" in seen.replace("pfs", "PFS")
    assert html.index("GATE FAILED") < html.index("SYNTHETIC DATA") < html.index("<h1>")


def test_a_gate_that_checked_nothing_failed():
    html = patients_page(
        fake_results.content(found=fake_results.tables(diagnostics=fake_results.gate().iloc[:0]))
    )
    assert "No convergence check was made" in html
    assert "<title>GATE FAILED: " in html


def test_an_unknown_result_of_a_check_is_a_failure():
    gate = fake_results.gate().astype({"passed": object})
    gate.loc[3, "passed"] = None
    assert failed_rows(gate).index.tolist() == [3]
    page = patients_page(fake_results.content(found=fake_results.tables(diagnostics=gate)))
    assert "<title>GATE FAILED: " in page


def test_endpoints_with_one_flow_of_patients_share_its_table():
    flow = fake_results.attrition()
    both = pd.concat([flow, flow.assign(endpoint="os")], ignore_index=True)
    assert "Flow of patients: PFS and OS; event-free at the landmark" in patients_page(
        fake_results.content(found=fake_results.tables(attrition=both))
    )
    apart = pd.concat([flow, flow.assign(endpoint="os", n=flow["n"] + 1)], ignore_index=True)
    html = patients_page(fake_results.content(found=fake_results.tables(attrition=apart)))
    assert html.count('aria-label="Flow of patients: ') == 2


def test_per_1_point_is_the_same_in_other_units_and_not_shown():
    per_10 = fake_results.hazard_ratios()
    more = [
        per_10.assign(measure=measure, estimand=estimand)
        for measure in ("shrinkage, per 10 points", "shrinkage, per 1 point")
        for estimand in ("association", "interaction")
    ]
    html = patients_page(
        fake_results.content(found=fake_results.tables(hazard_ratios=pd.concat(more, ignore_index=True)))
    )
    captions = re.findall(r'aria-label="([^"]*shrinkage, per 1[^"]*)" tabindex="0">', html)
    shown = [caption for caption in captions if "each arm" in caption or "ratio of" in caption]
    shown = [caption for caption in shown if caption.startswith("PFS; ")]
    assert [caption.split("; ", 2)[2] for caption in shown] == [
        "shrinkage, per 10 points; association within each arm",
        "shrinkage, per 10 points; ratio of the arm&#39;s hazard ratio to that of the first arm",
    ]
    assert "Per 1 point of shrinkage: <code>hazard_ratios.csv</code>" in html


def test_failed_checks_are_listed_beside_the_worst_values():
    passed, failed = (
        patients_page(fake_results.content(found=fake_results.tables(failing=failing)))
        for failing in (False, True)
    )
    assert "Checks that did not pass, and where" in failed
    assert "Checks that did not pass, and where" not in passed
    assert "Thresholds: R-hat 1.01, " in passed


def test_banners_stay_away_when_all_is_well(page):
    assert "GATE FAILED" not in page
    assert "SYNTHETIC" not in page


def test_synthetic_data_are_announced_before_the_answer():
    html = patients_page(fake_results.content(synthetic=True))
    assert body(html).index("SYNTHETIC DATA") < body(html).index("<h1>")
    assert "<title>SYNTHETIC: " in html


def test_every_hazard_ratio_of_the_table_is_on_the_page(page):
    text = Page(page).text
    ratios = fake_results.hazard_ratios()
    for row, shown in zip(ratios.itertuples(), hazard_ratio_table(ratios)["HR (95 % CrI)"], strict=True):
        estimate, lower, upper = (float(number) for number in re.findall(r"\d+\.\d+", shown))
        np.testing.assert_allclose((estimate, lower, upper), (row.hr, row.lower, row.upper), atol=0.005)
        assert text.count(shown) >= 2  # in the answer and in the full table


def test_no_limit_is_called_biased_in_every_table(page):
    headers = re.findall(r"<th scope=\"row(?:group)?\"[^>]*>(no limit.*?)</th>", page)
    assert len(headers) == 7
    assert all("biased: conditions on the future" in header for header in headers)
    columns = re.findall(r"<th scope=\"col\"[^>]*>(no limit.*?)</th>", page)
    assert columns == ["no limit (biased)"]


def test_the_page_asks_nothing_of_any_other_address(page):
    elements = Page(page).elements
    addresses = [
        v for _, attrs in elements for k, v in attrs.items() if k in ("src", "href", "action", "srcset")
    ]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"@import|url\(", page[: page.index("</style>")])
    assert not [tag for tag, _ in elements if tag in ("script", "iframe", "object", "embed")]


def test_links_lead_to_sections_that_exist(page):
    parsed = Page(page)
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {attrs["href"][1:] for attrs in parsed.all("a")}
    assert links <= set(ids)
    assert set(ids) >= KEYS


def test_sections_without_content_are_left_out_of_the_contents():
    without = ["survival", "loo", "predictive_check", "sensitivity", "power_scaling", "influence"]
    without.extend(["prior_conflict", "prediction", "prediction_calibration", "transitions", "states"])
    html = patients_page(fake_results.content(found=fake_results.tables(**dict.fromkeys(without))))
    ids = {attrs.get("id") for attrs in Page(html).all("section")}
    assert ids == KEYS - {
        "survival",
        "loo",
        "ppc",
        "sensitivity",
        "baseline-hazard",
        "waterfall",
        "prediction",
        "states",
    }
    entries = {attrs["id"] for attrs in Page(html).all("dt") if "id" in attrs}
    assert {attrs["href"][1:] for attrs in Page(html).all("a")} <= ids | entries


def test_a_conflict_of_priors_and_data_is_said_in_a_sentence(page):
    assert "Priors and data do not contradict each other: of 12 comparisons the smallest p-value is" in page
    table = fake_results.prior_conflict()
    table = table[table["measure"] == table.loc[0, "measure"]]
    looked = 2  # arms; the landmarks have the same patients
    at = table.index[-1]
    for p, said in ((0.9 * 0.05 / looked, "The data are above"), (1.1 * 0.05 / looked, "do not contradict")):
        told = conflict_in_words(table.assign(p=table["p"].mask(table.index == at, p), z=2.2))
        assert said in told
        assert f"{table.loc[at, 'landmark']}, {table.loc[at, 'arm']})" in told
    low = conflict_in_words(table.assign(p=1e-6))
    assert low.startswith("The data are below what the prior expected of the hazard ratio of shrinkage (")
    assert f"and {len(table) - 1} more" in low
    assert "say too little" in conflict_in_words(table.assign(p=np.nan))


def test_what_one_patient_does_stands_in_the_section_on_sensitivity(page):
    section = page[page.index('<section id="sensitivity"') :]
    section = section[: section.index("</section>")]
    assert "One patient left out: " in section
    text = " ".join(re.sub("<[^>]+>", " ", section).split())
    assert "0.90 → 0.94 towards 1 0.97 → 0.90 0.31" in text
    assert "0.90 → 1.02 across 1" in text


def test_what_knowing_shrinkage_adds_is_one_sentence_an_endpoint(page):
    section = page[page.index('<section id="prediction"') :]
    section = " ".join(re.sub("<[^>]+>", " ", section[: section.index("</section>")]).split())
    assert "predicts better at 150 d; makes no clear difference at" in section
    assert "−0.012 (−0.020 to −0.004)" in section
    assert "lowest third" in section


def test_figures_have_texts_that_state_the_finding(page):
    images = Page(page).all("img")
    assert len(images) == 9
    alts = " ".join(image["alt"] for image in images)
    assert "landmark hazard ratios run from 0.70 (177Lu-Dotatate, 150 d)" in alts.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert "bar chart of patients analysed out of all; 150 d, octreotide LAR: 94 of 116" in alts
    assert all(image["alt"].startswith("PFS: ") for image in images)


def test_table_headers_have_a_scope(page):
    headers = Page(page).all("th")
    assert {header["scope"] for header in headers} == {"col", "row", "rowgroup"}
    assert {region["tabindex"] for region in Page(page).all("div") if region.get("class") == "scroll"} == {
        "0"
    }


def test_fields_of_patients_have_a_table_only_where_they_are_known_to_come_from_somewhere():
    origin = [
        ["pfs_time", "adtte.xpt", "AVAL, PARAMCD PFS", "days by AVALU"],
        ["arm", "adsl.xpt", "TRT01P", ""],
    ]
    said = "Where each field of the patients comes from"
    text = Page(patients_page(fake_results.content(origin=origin))).text
    assert "adtte.xpt" in text[text.index(said) :]
    for content in (fake_results.content(), fake_results.content(origin=[])):
        assert said not in patients_page(content)


def test_names_from_data_are_text_on_the_page_and_in_figures():
    arms = HOSTILE
    content = fake_results.content(
        arms,
        draw=True,
        title="<b>t</b>",
        notes=[("warning", "<img src=x onerror=alert(1)>")],
        specification='name = "</code><script>alert(2)</script>"',
        provenance={"<i>k": "<i>v"},
    )
    html = patients_page(content)
    parsed = Page(html)
    assert not [tag for tag, _ in parsed.elements if tag in ("script", "b", "i")]
    assert len(parsed.all("img")) == len(content.figures)
    assert arms[0] in parsed.text
    assert arms[1] in parsed.text
    for image in parsed.all("img"):
        svg = unquote(image["src"].partition(",")[2])
        assert svg.startswith("<svg")
        assert "<script" not in svg
        assert "&lt;script&gt;alert(1)" in svg


def test_figures_stay_searchable_in_the_file(page):
    assert "177Lu-Dotatate" in next(i["src"] for i in Page(page).all("img") if "forest" in i["alt"])


def test_the_same_content_gives_the_same_page(page):
    fake_results.drawn.cache_clear()
    assert patients_page(fake_results.content(draw=True)) == page


def test_the_specification_is_on_the_page_as_it_is(page):
    assert fake_results.SPECIFICATION in Page(page).text


def test_the_bands_of_the_words_are_stated(page):
    text = Page(page).text  # of ten hazard ratios
    for bar, word in ((0.9995, "almost certainly"), (0.9975, "very probably"), (0.99, "probably")):
        assert f"{word}: {bar:g} or more" in text
    assert "Here the answer is about 10: 20 %, 5 % and 1 % are shared out evenly over their 20" in text


def test_a_figure_for_an_unknown_section_is_refused():
    with pytest.raises(InputError, match="no section"):
        patients_page(
            fake_results.content(figures={"a": Illustration("nowhere", "<svg/>", "caption", "alt")})
        )


def test_a_forest_without_passed_fits_says_so():
    failed = fake_results.hazard_ratios(gate="failed")
    assert PATIENTS["forest"].finding(failed).endswith("because the gate failed.")


def test_every_analysis_of_a_table_gets_its_own_caption():
    ratios = fake_results.hazard_ratios()
    both = pd.concat([ratios, ratios.assign(endpoint="os", estimand="interaction")], ignore_index=True)
    text = Page(patients_page(fake_results.content(found=fake_results.tables(hazard_ratios=both)))).text
    assert "PFS; event-free at the landmark; shrinkage, per 10 points; association within each arm" in text
    assert "OS; event-free at the landmark; shrinkage, per 10 points; ratio of the arm's hazard ratio" in text


def test_hazard_ratios_that_change_over_time_are_called_averages():
    model = {CHANGES: SLOPE_FORMS[TIME_VARYING].over_time}
    found = fake_results.tables(hazard_ratio_by_time=fake_results.over_time())
    page = patients_page(fake_results.content(found=found, model=model))
    assert "what follows is about their averages over time" in page
    assert "per 10 points, averaged over time" in page
    assert "By months from the landmark" in page
    assert "3 to 6" in page
    assert "as constant in time" not in page
    assert "averaged over time" not in patients_page(fake_results.content())
