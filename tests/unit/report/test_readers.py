"""Three readers' questions: each is answered where the report says so, and its first screen can be read."""

import re
from html import unescape

import fake_pool
import fake_results
import pytest

from bayes_net.report.patients import patients_page
from bayes_net.report.synthesis import synthesis_page

PAGES = {
    "patients": lambda: patients_page(fake_results.content(draw=True)),
    "synthesis": lambda: synthesis_page(fake_pool.content(draw=True)),
}
QUESTIONS = {
    # a clinician
    "Does shrinkage go with longer survival?": ("answer", r"Does .*shrinkage.* go with longer .*\?"),
    "On how many patients or numbers does that rest?": ("answer", r"Rests on"),
    "Does shrinking the tumour prolong life?": (
        "answer",
        r"(do not show|not) that shrinking a tumour changes",
    ),
    "How many are alive or without progression later?": ("survival", r"0\.\d\d \("),
    "Do the arms differ?": ("arms", r"(Each arm minus the first|Arms are compared)"),
    # a statistician
    "What is the hazard ratio at each landmark?": ("hazard-ratios", r"150.d.*\d\.\d+ \(\d\.\d+–\d\.\d+\)"),
    "Which model and which priors?": ("model", r"Priors, and what they imply"),
    "Did the chains agree?": ("diagnostics", r"R-hat"),
    "Would other priors, or a study less, change it?": ("sensitivity", r"raised to a power"),
    # a regulator
    "Why these priors?": ("regulators", r"Why each prior was chosen"),
    "What decides success?": ("regulators", r"The criterion, and the posterior probability that it needs"),
    "Can I run it again?": ("provenance", r"bayes-net run specification\.toml"),
}
PRIVATE = ("MCSE", "contraction", "elpd", "Pareto", "R-hat", "gate", "posterior SD", "log hazard", "draws")
MOST_WORDS = 32
"""Of a sentence of the first screen; a list of landmarks counts as one."""


@pytest.fixture(scope="module", params=PAGES)
def page(request) -> str:
    return PAGES[request.param]()


def text(html: str) -> str:
    html = re.sub(r"<img[^>]*>|<style.*?</style>", "", html, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split()).replace(" .", ".")


def section(page: str, key: str) -> str:
    return text(re.search(rf'<section id="{key}".*?</section>', page, re.S)[0])


def test_three_readers_have_twelve_questions():
    assert len(QUESTIONS) == 12


@pytest.mark.parametrize("asked", QUESTIONS)
def test_a_reader_finds_the_answer_in_a_section_that_the_contents_lead_to(page, asked):
    key, answer = QUESTIONS[asked]
    contents = re.search(r'<nav aria-label="Contents">.*?</nav>', page, re.S)[0]
    assert f'href="#{key}"' in contents
    assert re.search(answer, section(page, key)), section(page, key)[:500]


def first_screen(page: str) -> list[str]:
    """The sentences beside the first figure."""
    html = re.search(r'<div class="first-screen">\n<div>(.*?)</div>', page, re.S)[1]
    return [
        sentence
        for part in re.split(r"</li>|</p>", html)
        for sentence in re.split(r"(?<=[.?])\s+(?=[A-Z0-9])", text(part))
    ]


def test_the_first_screen_has_short_sentences_without_private_terms(page):
    said = first_screen(page)
    assert sum(len(each.split()) for each in said) > 15
    assert [term for term in PRIVATE if any(term.lower() in each.lower() for each in said)] == []
    assert [each for each in said if len(each.split()) > MOST_WORDS] == []


def test_terms_lead_to_their_entries_where_they_are_first_needed(page):
    linked = set(re.findall(r'href="#(term-[^"]+)"', page))
    entries = re.findall(r'<dt id="(term-[^"]+)">', page)
    assert len(entries) == len(set(entries))
    assert linked <= set(entries)
    assert {"term-cri", "term-mcse", "term-r-hat", "term-elpd", "term-pareto-k"} <= linked
    before = page[: page.index('<section id="glossary"')]
    for name in ("MCSE", "contraction", "elpd", "Pareto k"):
        used = [m.start() for m in re.finditer(rf"\b{name}\b", text(before), re.I)]
        link = f'href="#term-{name.lower().replace(" ", "-")}"'
        assert not used or link in before, name
