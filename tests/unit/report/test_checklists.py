"""Every item of the checklists leads to a section that is there, or is said not to be answered."""

import re
from dataclasses import replace
from html import unescape

import fake_pool
import fake_results
import pytest

from bayes_net.report import synthesis
from bayes_net.report.checklists import BARG, ITEMS, ROBUST, checklists
from bayes_net.report.patients import SECTIONS, patients_page
from bayes_net.report.synthesis import synthesis_page
from bayes_net.results.submission import statements

KNOWN = {section.key for section in (*SECTIONS, *synthesis.SECTIONS)}
PAGES = {
    "patients": lambda **absent: patients_page(fake_results.content(found=fake_results.tables(**absent))),
    "synthesis": lambda **absent: synthesis_page(fake_pool.content(found=fake_pool.tables(**absent))),
}


def items(page: str) -> dict[str, str]:
    """Each item and the cell beside it, of the appendix."""
    appendix = page[page.index('<section id="checklists"') :]
    rows = re.findall(r'<th scope="row">(.*?)</th>\s*<td[^>]*>(.*?)</td>', appendix)
    return {unescape(asks): answer for asks, answer in rows}


def test_items_name_sections_that_exist():
    named = {key for own in ITEMS.values() for item in own for key in item.sections}
    assert named <= KNOWN
    assert len(ITEMS[ROBUST]) == 7
    assert {item.asks[0] for item in ITEMS[BARG] if item.asks[0].isdigit()} == set("123456")


@pytest.mark.parametrize("kind", PAGES)
def test_every_item_links_to_a_section_of_the_page_or_says_why_not(kind):
    page = PAGES[kind]()
    found, there = items(page), set(re.findall(r'<section id="([^"]+)"', page))
    assert set(found) == {item.asks for own in ITEMS.values() for item in own}
    for asks, answer in found.items():
        links = re.findall(r'href="#([^"]+)"', answer)
        assert set(links) <= there, asks
        assert links or answer.startswith(("Not answered", "Does not apply")), asks


@pytest.mark.parametrize(
    ("kind", "absent"), [("patients", {"predictive_check": None}), ("synthesis", {"checks": None})]
)
def test_an_item_whose_section_is_absent_is_not_answered(kind, absent):
    asks = "3. Posterior-predictive check"
    assert "href" in items(PAGES[kind]())[asks]
    assert items(PAGES[kind](**absent))[asks].startswith("Not answered")


def test_sensitivity_is_answered_once_it_is_a_section():
    for sections, answered in ((["model"], []), (["model", "sensitivity"], ["sensitivity"])):
        found = {asks: keys for _, rows in checklists(sections) for asks, keys, _ in rows}
        assert found["Sensitivity to the prior"] == answered


@pytest.mark.parametrize("kind", PAGES)
def test_what_a_regulator_asks_is_on_the_page_with_what_shows_it(kind):
    page = PAGES[kind]()
    section = page[page.index('<section id="regulators"') : page.index('<section id="checklists"')]
    found = {unescape(text) for text in re.findall(r'<th scope="row">(.*?)</th>', section)}
    content = {"patients": fake_results, "synthesis": fake_pool}[kind].content()
    assert found == {item.asks for item in statements(content)}
    links = set(re.findall(r'href="#([^"]+)"', section))
    assert {"model", "sensitivity", "diagnostics", "provenance"} <= links
    assert links <= set(re.findall(r'<section id="([^"]+)"', page))
    for cell in re.findall(r"<td[^>]*>(.*?)</td>", section, re.DOTALL):
        assert not ("Shown in" in cell and cell.strip().startswith("Not stated")), cell


@pytest.mark.parametrize("kind", PAGES)
def test_a_justified_prior_is_answered_in_the_section_for_regulators(kind):
    source, page = {
        "patients": (fake_results, patients_page), "synthesis": (fake_pool, synthesis_page)
    }[kind]  # fmt: skip
    content = source.content()
    assert "Not justified by this run:" in page(content)
    assert items(page(content))["Prior justified"].startswith("Not answered")
    said = '[justification]\npriors = "From <the> registry."\n'
    written = page(replace(content, specification=f"{content.specification}\n{said}"))
    assert items(written)["Prior justified"] == '<a href="#regulators">For regulators</a>'
    assert items(written)["1. Priors, justified"] == '<a href="#regulators">For regulators</a>'
    assert "words: From &lt;the&gt; registry." in written
    assert "why the priors were chosen" not in written
