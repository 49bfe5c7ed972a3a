"""Reports in a browser: nothing is asked of the network, every figure is drawn, and all of it can be read.

Reports of invented content, and (slow) that of every shipped analysis, run by the command line.

Needs Playwright and a Chromium of the system (Debian: ``chromium``); skipped where one is missing. Rules of
accessibility are those of axe-core (``npm install axe-core``), whose ``axe.min.js`` is named by
``BAYES_NET_AXE``. Where
pages break in print is seen with ``pdftotext`` (Debian: ``poppler-utils``).
"""

import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

import fake_pool
import fake_results
import pandas as pd
import pytest
from scenario_plans import CHANGES, invented
from typer.testing import CliRunner

from bayes_net.cli.app import app
from bayes_net.report.patients import patients_page
from bayes_net.report.synthesis import synthesis_page
from bayes_net.results.scenarios import summary
from bayes_net.robustness.sensitivity import Sensitivity, _write
from bayes_net.specification.read import read_specification
from bayes_net.specification.shipped import shipped_models

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
    # Playwright's transport closes its loop late, which is none of the report's doing.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
LONG = "神経内分泌腫瘍 <script>alert('x')</script> \"quoted\" & " + "very-long-name" * 14


def scenarios(name: str = "a") -> str:
    """The page of an invented grid, one of whose scenarios has this name."""
    rows, changes = (
        table.replace({"scenario": {"a": name}}) for table in (invented(synthetic=True), CHANGES)
    )
    found = Sensitivity(rows, changes, summary(rows), audit=pd.DataFrame())
    with TemporaryDirectory() as folder:
        _write(found, read_specification(shipped_models()["netter1_synthetic"]), Path(folder), "numba")
        return (Path(folder) / "report.html").read_text(encoding="utf-8")


PAGES = {
    "patients": lambda: patients_page(fake_results.content(draw=True)),
    "patients, gate failed": lambda: patients_page(
        fake_results.content(draw=True, found=fake_results.tables(failing=True), synthetic=True)
    ),
    "patients, awkward names": lambda: patients_page(
        fake_results.content((LONG, "B & <b>C</b>"), draw=True, title=LONG)
    ),
    "synthesis": lambda: synthesis_page(fake_pool.content(draw=True)),
    "synthesis, awkward names": lambda: synthesis_page(
        fake_pool.content(
            found=fake_pool.tables(hazard_ratios=fake_pool.hazard_ratios((LONG, "B & <b>C</b>"))), draw=True
        )
    ),
    "scenarios": scenarios,
    "scenarios, awkward names": lambda: scenarios(LONG),
}
SHIPPED = [pytest.param(name, marks=pytest.mark.slow) for name in shipped_models()]
MOST_PAGES = {True: 10, False: 14}
"""Of A4 that the report of invented content, which is short, and of a shipped analysis take in print."""
SMALLEST = 11.5
"""CSS pixels of the smallest text of a figure, on any screen."""
CONTRAST = """() => {
    const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
    const parts = text => text.match(/[\\d.]+/g).map(Number);
    const ground = node => {
        for (let n = node; n; n = n.parentElement) {
            const c = parts(getComputedStyle(n).backgroundColor);
            if (c.length < 4 || c[3] > 0) return c.slice(0, 3);
        }
        return [255, 255, 255];
    };
    const low = [];
    const names = 'h1,h2,h3,p,li,th,td,caption span,figcaption,dt,dd,a,small,code,footer p';
    for (const node of document.querySelectorAll(names)) {
        if (!node.textContent.trim() || !node.getClientRects().length) continue;
        const text = light(parts(getComputedStyle(node).color).slice(0, 3));
        const [a, b] = [text, light(ground(node))].sort((x, y) => y - x);
        const ratio = (a + .05) / (b + .05);
        if (ratio < 4.5) low.push(`${node.tagName} ${ratio.toFixed(2)} ${node.textContent.slice(0, 40)}`);
    }
    return low;
}"""
"""Text whose contrast with what is behind it is below WCAG's AA for small text."""
MARKED = """() => {
    // Tiny words at both ends of what must stay on one page in print; which belong together is returned.
    let count = 0;
    const together = [];
    const mark = (node, where) => {
        const word = document.createElement('span');
        word.textContent = `zq${count}q`;
        word.style.fontSize = '1px';
        node[where](word);
        return count++;
    };
    const keep = (what, marks) => together.push([what, marks]);
    const all = names => [...document.querySelectorAll(names)].filter(n => n.getClientRects().length);
    const said = node => node.textContent.trim().replace(/zq\\d+q/g, '').slice(0, 40);
    for (const row of all('tbody tr'))
        keep(`row ${said(row)}`, [...row.children].filter(c => c.getClientRects().length)
            .flatMap(c => [mark(c, 'prepend'), mark(c, 'append')]));
    for (const table of all('table:has(caption)'))
        keep(`table ${said(table)}`, [mark(table.caption, 'append'),
            mark(table.rows[table.tHead ? 1 : 0].cells[0], 'prepend')]);
    for (const figure of all('figure')) {
        const [card, caption] = figure.children;
        keep(`figure ${said(figure)}`,
            [mark(card, 'prepend'), mark(caption, 'prepend'), mark(caption, 'append')]);
    }
    for (const heading of all('h2,h3,dt')) {
        let next = (heading.closest('summary') ?? heading).nextElementSibling;
        while (!next.getClientRects().length) next = next.nextElementSibling;
        const first = next.querySelector('caption, li, .card') ?? next;
        keep(`heading ${said(heading)}`, [mark(heading, 'append'), mark(first, 'prepend')]);
    }
    return together;
}"""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module", params=[*PAGES, *SHIPPED])
def path(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    if request.param not in PAGES:
        done = CliRunner().invoke(app, ["run", request.param, "--out", str(folder / "result")])
        assert done.exit_code == 0, done.output
        return folder / "result" / "report.html"
    written = folder / "report.html"
    written.write_text(PAGES[request.param](), encoding="utf-8")
    return written


@pytest.fixture
def opened(browser, path):
    """Opens the page of this size and colour scheme, with what is folded unless it is to stay so; what it
    says and asks for is in ``heard``."""
    contexts = []

    def open_page(width=1280, scheme="light", height=900, *, folded=False):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page, page.heard = context.new_page(), []
        page.on("console", lambda message: page.heard.append(message.text))
        page.on("pageerror", lambda error: page.heard.append(str(error)))
        page.on(
            "request", lambda asked: asked.url.startswith(("file:", "data:")) or page.heard.append(asked.url)
        )
        page.route(lambda url: not url.startswith(("file:", "data:")), lambda route: route.abort())
        page.goto(path.as_uri(), wait_until="load")
        if not folded:
            page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_nothing_is_asked_of_the_network_and_nothing_goes_wrong(opened):
    page = opened()
    assert page.heard == []
    assert page.evaluate("document.scripts.length") == 0


def test_every_figure_is_drawn_and_says_what_it_shows(opened):
    images = opened().locator("img")
    assert images.count() >= 2
    for image in images.all():
        assert image.evaluate("i => i.complete && i.naturalWidth > 100 && i.naturalHeight > 50")
        assert len(image.get_attribute("alt")) > 30


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_page_is_never_wider_than_the_screen(opened, width):
    page = opened(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # what scrolls sideways is a table in a region of its own, which the keyboard reaches
    wide = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(n => n.scrollWidth > n.clientWidth + 1 && "
        "getComputedStyle(n).overflowX === 'auto').map(n => n.tabIndex)"
    )
    assert set(wide) <= {0}


def test_no_table_or_text_is_wider_than_the_column_that_shows_it(opened):
    """What is wider scrolls within itself, and lines of the specification break."""
    page = opened(1280)
    wide = page.evaluate(
        "[...document.querySelectorAll('table, pre')]"
        ".filter(n => n.scrollWidth > n.parentElement.clientWidth)"
        ".map(n => [n.tagName, getComputedStyle(n.parentElement).overflowX])"
    )
    assert [each for each in wide if each != ["TABLE", "auto"]] == []


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_first_screen_of_patients_asks_answers_and_shows(opened, width, height):
    """Question, answer, what it rests on and the figure are seen without scrolling either way."""
    page = opened(width, height=height)
    if page.locator(".first-screen").count() == 0:
        pytest.skip("not a report of patients")
    awkward = len(page.locator("h1").inner_text()) > 150
    assert 1 <= page.locator(".answer li").count() <= 3
    figure = page.locator("#answer figure")
    assert figure.count() == 1
    for what in (".question", ".answer", ".rests-on", "#answer .card"):
        box = page.locator(what).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        # under the alarm of a failed gate, a phone shows only the top of the figure
        cut = width == 390 and what == "#answer .card" and page.locator(".banner.failed").count()
        assert awkward or box["y"] + box["height"] * (not cut) < height, what
    assert figure.locator(".card").evaluate("c => c.scrollWidth <= c.clientWidth")


def test_the_reasons_of_a_flow_of_patients_stay_in_sight_on_a_phone(opened):
    page = opened(390)
    flow = page.locator(".scroll:has(.flow)")
    if flow.count() == 0:
        pytest.skip("only patients have a flow")
    flow.first.evaluate("f => { f.scrollLeft = f.scrollWidth }")
    heads = flow.first.locator("tbody tr:nth-child(2) th, tbody tr:first-child span")
    assert heads.count() >= 2
    for head in heads.all():
        assert head.bounding_box()["x"] >= 0
    counts = flow.first.locator("tbody tr:nth-child(2) td")
    last = counts.last.bounding_box()
    assert last["x"] >= heads.nth(1).bounding_box()["x"] + heads.nth(1).bounding_box()["width"] - 1


@pytest.mark.parametrize("width", [390, 1280])
def test_the_text_of_figures_can_be_read(opened, width):
    """The whole width of a figure is on the screen, with text large enough."""
    page = opened(width)
    for image in page.locator("figure img").all():
        drawn = unquote(image.get_attribute("src"))
        across = float(re.search(r'viewBox="0 0 ([\d.]+) ', drawn)[1])
        smallest = min(map(float, re.findall(r"font[^;\"']*?([\d.]+)px", drawn)))
        assert smallest * image.evaluate("i => i.clientWidth") / across >= SMALLEST
        box = image.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    cards = page.locator("figure .card")
    assert cards.evaluate_all("all => all.every(c => c.scrollWidth <= c.clientWidth)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out(opened, scheme):
    page = opened(scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_rules_of_accessibility_find_nothing(opened, scheme, width):
    script = os.environ.get("BAYES_NET_AXE")
    if not script:
        pytest.skip("BAYES_NET_AXE names no axe.min.js")
    page = opened(width, scheme)
    page.evaluate(Path(script).read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    assert [(each["id"], each["impact"], each["nodes"][0]["html"][:120]) for each in found] == []


def test_every_link_leads_somewhere_on_the_page(opened):
    page = opened()
    links = page.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert len(links) > 5
    assert all(link.startswith("#") and page.locator(link).count() == 1 for link in links)
    assert page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map(n => n.id)).size"
    ) == page.evaluate("document.querySelectorAll('[id]').length")


def test_a_screen_reader_finds_headings_tables_and_a_way_past_the_head(opened):
    page = opened()
    assert page.evaluate("document.documentElement.lang") == "en"
    levels = page.locator("h1,h2,h3").evaluate_all("all => all.map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(b - a for a, b in pairwise(levels)) <= 1
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("th:not([scope])").count() == 0
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    assert focused.get_attribute("href") == "#answer"
    assert focused.bounding_box()["x"] >= 0


def test_nothing_is_cut_off_in_print(opened):
    page = opened(width=794)  # A4 at 96 dots an inch
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    assert page.pdf(format="A4").startswith(b"%PDF")


def printed(page, folder) -> list[str]:
    """The text of every page of the print."""
    pdf = folder / "report.pdf"
    page.pdf(path=pdf, format="A4", prefer_css_page_size=True)
    text = subprocess.run(["pdftotext", "-raw", pdf, "-"], capture_output=True, check=True).stdout
    return text.decode("utf-8").split("\f")[:-1]


def test_a_table_that_is_not_printed_is_named_with_a_file_and_is_on_the_screen(opened):
    page = opened()
    hidden, named = page.locator(".screen-only"), page.locator(".print-only:has(code)")
    files = named.locator("code").all_inner_texts() if hidden.count() else []
    on_screen = hidden.evaluate_all("all => all.map(n => n.getClientRects().length > 0)")
    assert all(on_screen)
    assert not any(named.evaluate_all("all => all.map(n => n.getClientRects().length > 0)"))
    assert all(file.endswith(".csv") for file in files)
    page.emulate_media(media="print")
    assert not any(hidden.evaluate_all("all => all.map(n => n.getClientRects().length > 0)"))
    captions = [text.removeprefix("Not printed: ") for text in named.all_inner_texts()]
    for table in hidden.all():
        label = table.get_attribute("aria-label")
        assert any(caption.startswith(f"{label} (") for caption in captions), label


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="there is no pdftotext on this machine")
def test_what_statisticians_look_up_is_folded_until_a_link_leads_there_and_printed(opened, tmp_path):
    page = opened(folded=True)
    if page.locator("details").count() == 0:
        pytest.skip("a report of scenarios folds nothing")
    seen = "key => document.querySelector(`#${key} details > :not(summary)`).checkVisibility()"
    keys = page.evaluate("[...document.querySelectorAll('section:has(details)')].map(s => s.id)")
    assert {"model", "diagnostics", "provenance", "regulators"} <= set(keys)
    assert not {"answer", "hazard-ratios", "survival", "limitations"} & set(keys)
    assert not any(page.evaluate(seen, key) for key in keys)
    page.locator("nav a[href='#model']").click()
    assert page.evaluate(seen, "model")
    assert not page.evaluate(seen, "provenance")
    whole = opened(width=794)
    words = [" ".join(printed(each, tmp_path)).split() for each in (opened(794, folded=True), whole)]
    assert words[0] == words[1]


def test_the_contents_stay_in_sight_beside_the_text(opened):
    page = opened(1280, folded=True)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    box, text = page.locator("nav").bounding_box(), page.locator("main section").last.bounding_box()
    if page.locator("details").count() == 0:
        pytest.skip("a report of scenarios is short")
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= text["x"]
    assert 0 <= box["y"] < 900


def test_the_first_column_of_a_table_stays_in_sight_on_a_phone(opened):
    page = opened(390)
    for table in page.locator(".scroll:has(tbody th):not(:has(.flow))").all():
        table.evaluate("t => { t.scrollLeft = t.scrollWidth }")
        assert table.locator("tbody th").first.bounding_box()["x"] >= 0


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="there is no pdftotext on this machine")
def test_no_row_figure_or_heading_is_torn_in_print(opened, path, tmp_path):
    page = opened(width=794)
    pages = printed(page, tmp_path)
    invented = path.parent.name != "result"
    assert 2 <= len(pages) <= MOST_PAGES[invented]
    assert [len(text.split()) for text in pages if len(text.split()) < 25] == []
    page.emulate_media(media="print")
    together = page.evaluate(MARKED)
    found = [set(map(int, re.findall(r"zq(\d+)q", text))) for text in printed(page, tmp_path)]
    torn = [what for what, marks in together if not any(set(marks) <= here for here in found)]
    assert len(together) > 20
    assert torn == []
