"""Tables for papers: what must be said is said in the table, and texts arrive as texts in every format."""

import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import fake_pool
import fake_results
import numpy as np
import pandas as pd
import pytest
from docx import Document
from docx.oxml.ns import qn

from bayes_net import paper
from bayes_net.data.landmarks import attrition_table
from bayes_net.errors import InputError
from bayes_net.paper import PaperTable
from bayes_net.paper.formats import FORMATS, LATEX_PACKAGES
from bayes_net.report.evidence_tables import check_table, evidence_table, refit_table
from bayes_net.report.tables import hazard_ratio_table, ratio_table, survival_table
from bayes_net.results.submission import statements

SUFFIXES = (".html", ".tex", ".docx", ".rtf", ".csv")
MODULES = {".html": "great_tables", ".tex": "great_tables", ".docx": "docx", ".rtf": "rtflite"}
NASTY = (
    r"""<script>alert(1)</script> & 50 % _a^b~ {{x^2}} $y$ #1 \alpha \par {\b "q"} 's' [1] **md** Zürich""",
    "日本の腕 𝒳 ≥ 30 − 1",
    "A label that goes on and on " * 8,
)


def as_csv(found: dict) -> dict:
    """The tables as somebody reads them from the folder of a run."""
    return {name: pd.read_csv(io.StringIO(table.to_csv(index=False))) for name, table in found.items()}


def gate(failed=(), fits=None) -> pd.DataFrame:
    labels = [f"PFS, shrinkage, {at}" for at in fake_results.LANDMARKS] if fits is None else fits
    checks = (("R-hat", 1.003, 1.01), ("divergences", 0.0, 0.0))
    rows = [
        (fit, check, worst, limit, not (fit in failed and check == "R-hat"), "slope")
        for fit in labels
        for check, worst, limit in checks
    ]
    return pd.DataFrame(rows, columns=["fit", "check", "worst", "threshold", "passed", "where"])


def patients(*, arms=fake_results.ARMS, **changes) -> dict:
    """The CSV files of a patient-level run: PFS per 10 points and per 1, the latter with an interaction."""
    ratios = fake_results.hazard_ratios(arms)
    per_1 = ratios.assign(measure="shrinkage, per 1 point")
    interaction = per_1[per_1["arm"] == arms[1]].assign(estimand="interaction")
    survival = fake_results.survival_quantities(arms)
    found = {
        "hazard_ratios": pd.concat([ratios, per_1, interaction], ignore_index=True),
        "survival": survival.assign(population="pfs risk set", measure="shrinkage"),
        "attrition": fake_results.attrition(arms),
        "diagnostics": gate(),
    }
    return as_csv(found | changes)


def marked(made: dict[str, PaperTable], sign: str) -> set[str]:
    """Names of the tables that say ``sign`` in both their title and their notes."""
    in_title = {name for name, table in made.items() if sign in table.title}
    assert in_title == {name for name, table in made.items() if sign in " ".join(table.notes)}
    return in_title


def test_a_patient_level_run_has_a_table_of_each_kind():
    assert list(paper.tables(patients())) == [
        "hazard_ratios_pfs_shrinkage_per_10_points",
        "hazard_ratios_pfs_shrinkage_per_1_point",
        "hazard_ratios_pfs_shrinkage_per_1_point_interaction",
        "attrition_pfs",
        "survival_pfs_shrinkage",
        "survival_times_pfs_shrinkage",
        "diagnostics_of_every_fit",
    ]


def test_a_synthesis_has_a_table_of_each_kind():
    assert list(paper.tables(as_csv(fake_pool.tables()))) == [
        "hazard_ratios_pfs_shrinkage_per_10_points",
        "hazard_ratios_pfs_shrinkage_per_1_point",
        "arms_and_studies",
        "responses",
        "survival_pfs",
        "profiles_pfs",
        "checks",
        "evidence",
        "diagnostics",
        "diagnostics_of_every_refit",
    ]


def test_what_a_run_does_not_have_is_left_out():
    found = {"diagnostics": gate(), "hazard_ratios": fake_results.hazard_ratios(), "survival": pd.DataFrame()}
    assert [name.partition("_pfs")[0] for name in paper.tables(found)] == [
        "hazard_ratios",
        "diagnostics_of_every_fit",
    ]


def test_the_texts_are_those_of_the_report():
    found = patients()
    made = paper.tables(found)
    ratios, survival = found["hazard_ratios"], found["survival"]
    per_10 = ratios[ratios["measure"] == "shrinkage, per 10 points"]
    pd.testing.assert_frame_equal(
        made["hazard_ratios_pfs_shrinkage_per_10_points"].frame, hazard_ratio_table(per_10)
    )
    pd.testing.assert_frame_equal(made["attrition_pfs"].frame, attrition_table(found["attrition"]))
    whole = survival_table(survival)
    for name in ("survival_pfs_shrinkage", "survival_times_pfs_shrinkage"):
        pd.testing.assert_frame_equal(made[name].frame, whole[list(made[name].frame)])
    shown = set(made["survival_pfs_shrinkage"].frame) | set(made["survival_times_pfs_shrinkage"].frame)
    assert shown == set(whole)


def test_the_texts_of_a_synthesis_are_those_of_the_report():
    found = as_csv(fake_pool.tables())
    made = paper.tables(found)
    rows = found["hazard_ratios"]
    expected = ratio_table(rows[rows["measure"].str.contains("10")])
    pd.testing.assert_frame_equal(made["hazard_ratios_pfs_shrinkage_per_10_points"].frame, expected)
    assert "Printed HR (limits)" in expected
    pd.testing.assert_frame_equal(made["checks"].frame, check_table(found["checks"]))
    pd.testing.assert_frame_equal(made["evidence"].frame, evidence_table(found["evidence"]))
    refits = refit_table(found["diagnostics"])
    pd.testing.assert_frame_equal(made["diagnostics_of_every_refit"].frame, refits)
    assert made["responses"].frame["Study and arm"].iloc[-1] == "new study (predicted)"


def test_intervals_say_their_level_and_kind():
    found = patients()
    found = {
        name: table.assign(interval="hdi", level=0.89) if "interval" in table else table
        for name, table in found.items()
    }
    made = paper.tables(found)
    assert "HR (89 % HDI)" in made["hazard_ratios_pfs_shrinkage_per_10_points"].frame
    assert "89 % HDI" in made["survival_pfs_shrinkage"].title
    note = "Estimates: posterior median (89 % HDI). HDI: highest-density interval."
    assert note in made["survival_pfs_shrinkage"].notes
    assert "95 % CrI" in paper.tables(as_csv(fake_pool.tables()))["survival_pfs"].title


def test_the_bias_of_no_limit_is_said_by_row_and_note():
    made = paper.tables(patients())
    told = {name for name, table in made.items() if any("biased" in note for note in table.notes)}
    assert told == set(made) - {"diagnostics_of_every_fit"}
    for name in told - {"attrition_pfs"}:
        assert "no limit (biased: conditions on the future)" in set(made[name].frame["Landmark"])
    assert "no limit (biased)" in made["attrition_pfs"].frame


def test_the_bias_is_not_claimed_where_there_is_no_such_row():
    found = {
        name: table[table["landmark"] != "no limit"] if "landmark" in table else table
        for name, table in patients().items()
    }
    assert not [t for t in paper.tables(found).values() if "biased" in " ".join(t.notes)]


def test_numbers_of_a_synthesis_that_condition_on_the_future_are_said_to():
    made = paper.tables(as_csv(fake_pool.tables()))
    assert "bias taken off" in " ".join(made["hazard_ratios_pfs_shrinkage_per_10_points"].notes)
    assert "at risk at the landmark" in " ".join(made["profiles_pfs"].notes)
    evidence = fake_pool.evidence()
    evidence.loc[0, "landmark"], evidence.loc[1, "subgroup"] = "no limit", ">=30"
    made = paper.tables(as_csv(fake_pool.tables(evidence=evidence)))
    assert "No limit is biased" in " ".join(made["evidence"].notes)
    assert "known only afterwards" in " ".join(made["evidence"].notes)
    # of the two rows only C1, the second, is checked against its prediction
    assert "No limit is biased" not in " ".join(made["checks"].notes)
    assert "known only afterwards" in " ".join(made["checks"].notes)


def test_a_held_out_number_without_a_prediction_is_named():
    made = paper.tables(as_csv(fake_pool.tables()))
    assert "Held out, but without a prediction: C3." in made["checks"].notes


def test_a_failed_gate_is_said_by_the_tables_that_it_concerns():
    ratios = patients()["hazard_ratios"]
    bad = (ratios["landmark"] == "48 w") & (ratios["measure"] == "shrinkage, per 10 points")
    ratios = ratios.assign(gate=np.where(bad, "failed", "passed"))
    made = paper.tables(patients(hazard_ratios=ratios, diagnostics=gate(["PFS, shrinkage, 48 w"])))
    concerned = {"hazard_ratios_pfs_shrinkage_per_10_points", "diagnostics_of_every_fit"}
    assert marked(made, "GATE FAILED") == concerned  # the survival table has no landmark at 48 w
    table = made["hazard_ratios_pfs_shrinkage_per_10_points"]
    assert table.notes[0] == "GATE FAILED: 48 w: do not use these numbers."
    assert set(table.frame.loc[table.frame["Landmark"] == "48 w", "Gate"]) == {"failed"}


def test_survival_whose_fit_failed_or_was_never_checked_is_marked():
    both = {"survival_pfs_shrinkage", "survival_times_pfs_shrinkage"}
    found = patients(diagnostics=gate(["PFS, shrinkage, 150 d"]))
    assert both < marked(paper.tables(found), "GATE FAILED")
    assert "150 d: do not use" in paper.tables(found)["survival_pfs_shrinkage"].notes[0]
    for unchecked in (gate(fits=[]), gate(fits=["PFS, shrinkage, 150 d"])):
        assert marked(paper.tables(patients(diagnostics=unchecked)), "GATE FAILED") == both


def test_a_failed_fit_of_all_evidence_marks_every_table_of_it():
    found = fake_pool.tables(diagnostics=fake_pool.diagnostics(failed=("all evidence",)))
    made = paper.tables(as_csv(found))
    assert marked(made, "GATE FAILED") == set(made) - {"diagnostics_of_every_refit"}
    assert set(made["arms_and_studies"].frame["In words"].str.slice(0, 15)) == {"not interpreted"}


def test_a_fit_of_all_evidence_that_was_never_checked_has_failed():
    diagnostics = fake_pool.diagnostics()
    refits = diagnostics[diagnostics["fit"] != "all evidence"]
    made = paper.tables(as_csv(fake_pool.tables(diagnostics=refits)))
    assert "diagnostics" not in made
    assert marked(made, "GATE FAILED") == set(made) - {"diagnostics_of_every_refit"}


def test_a_failed_refit_marks_the_table_of_refits():
    found = fake_pool.tables(diagnostics=fake_pool.diagnostics(failed=("without Series",)))
    made = paper.tables(as_csv(found))
    assert marked(made, "GATE FAILED") == {"diagnostics_of_every_refit"}
    assert "without Series: do not use" in made["diagnostics_of_every_refit"].notes[0]


@pytest.mark.parametrize("found", [patients(), fake_pool.tables()], ids=["patients", "synthesis"])
def test_a_quick_look_is_said_by_every_table(found):
    made = paper.tables(as_csv({name: table.assign(quick=True) for name, table in found.items()}))
    assert marked(made, "QUICK LOOK") == set(made)
    assert not [name for name, table in made.items() if "quick" in table.frame]


@pytest.mark.parametrize("found", [patients(), fake_pool.tables()], ids=["patients", "synthesis"])
def test_synthetic_patients_are_said_by_every_table(found):
    assert not marked(paper.tables(as_csv(found)), "SYNTHETIC DATA")
    made = paper.tables(as_csv({name: table.assign(synthetic=True) for name, table in found.items()}))
    assert marked(made, "SYNTHETIC DATA") == set(made)
    assert not [name for name, table in made.items() if "Synthetic" in table.frame]
    real = paper.tables(as_csv({name: table.assign(synthetic=False) for name, table in found.items()}))
    assert not marked(real, "SYNTHETIC DATA")


def test_without_diagnostics_there_is_no_table():
    with pytest.raises(InputError, match=r"tables has hazard_ratios; expected diagnostics"):
        paper.tables({"hazard_ratios": fake_results.hazard_ratios()})


# Formats


def nasty_table() -> PaperTable:
    """Two groups that come mixed, and every kind of text in every place."""
    a, b, c = NASTY
    frame = pd.DataFrame(
        {"Group": [a, b, a], f"Arm {a}": [a, "2", "<NA>"], f"{b} 名": ["nan", b, "–"], "x": [c, "", "0.5"]}
    )
    return PaperTable(f"GATE FAILED: {a} {b}", frame, "Group", (f"SYNTHETIC DATA: {a}", b, c.strip()))


def texts_of(table: PaperTable) -> list[str]:
    """Every text that a reader must find, in order of reading."""
    rows = [[heading, *(text for row in own for text in row)] for heading, own in table.row_groups]
    headings = [str(name) for name in table.columns]
    return [table.title, *headings, *(text for row in rows for text in row if text), *table.notes]


class Reader(HTMLParser):
    """The texts of a page, its elements, and the values of attributes that can ask for something."""

    def __init__(self, page: str):
        super().__init__()
        self.found, self.elements, self.asks = [], set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.asks += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.asks += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.found += [data.strip()] if data.strip() else []


def html_texts(content: bytes) -> list[str]:
    return [text for text in Reader(content.decode()).found if not text.startswith("#")]


def word_texts(content: bytes) -> list[str]:
    document = Document(io.BytesIO(content))
    caption, *notes = [paragraph.text for paragraph in document.paragraphs]
    rows = [list(dict.fromkeys(cell._tc for cell in row.cells)) for row in document.tables[0].rows]
    cells = ["".join(t.text or "" for t in cell.iter(qn("w:t"))) for row in rows for cell in row]
    return [text.strip() for text in (caption, *cells, *notes) if text]


def rtf_texts(content: bytes) -> list[str]:
    """The document's texts: control words taken away, escapes undone, ends of cells and lines kept."""
    text = content.decode("ascii")
    text = text[text.index(r"\paperw") :]
    out, position = [], 0
    escape, end = r"\\uc1\\u(-?\d+)\?|\\([\\{}])", r"\\(cell|par|line)(?![a-z])"
    token = re.compile(rf"{escape}|{end}|\\[a-z]+-?\d* ?|[{{}}]|(.)", re.S)
    for found in token.finditer(text):
        assert found.start() == position, f"not RTF: {text[position : found.start()]!r}"
        position = found.end()
        if found[1]:
            out.append((int(found[1]) % 65536).to_bytes(2, "little"))
        else:
            out.append((found[2] or ("\n" if found[3] else found[4] or "")).encode("utf-16-le"))
    lines = b"".join(out).decode("utf-16-le").split("\n")
    return [line.strip() for line in lines if line.strip()]


READERS = {".html": html_texts, ".docx": word_texts, ".rtf": rtf_texts}


@pytest.mark.parametrize("suffix", READERS)
def test_every_text_arrives_as_text(suffix, tmp_path):
    table = nasty_table()
    content = table.save(tmp_path / f"table{suffix}").read_bytes()
    assert READERS[suffix](content) == [text.strip() for text in texts_of(table)]


def test_a_page_runs_nothing_and_asks_for_nothing(tmp_path):
    page = nasty_table().save(tmp_path / "table.html").read_text("utf-8")
    read = Reader(page)
    assert not read.elements & {"script", "link", "img", "iframe", "b"}
    assert not read.asks
    assert not re.search(r"https?:|@import|url\(", page)


def test_latex_escapes_every_sign(tmp_path):
    text = nasty_table().save(tmp_path / "table.tex").read_text("utf-8")
    escaped = (
        r"\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{} \& 50 \% "
        r"\_a\textasciicircum{}b\textasciitilde{} \{\{x\textasciicircum{}2\}\} \$y\$ \#1 "
        r"""\textbackslash{}alpha \textbackslash{}par \{\textbackslash{}b "q"\} 's' [1] **md** Zürich"""
    )
    assert text.count(escaped) == 6  # title, heading of the first and of later pages, group, cell, note
    assert text.count(r"日本の腕 𝒳 $\geq$ 30 $-$ 1") == 6
    assert NASTY[2].strip() in text
    for line in text.splitlines():
        assert not re.search(r"(?<!\\)[#$%]", line.replace(r"$\geq$", "").replace("$-$", "").lstrip("%"))
    # the columns of a wide table have widths, which leave no room unused and take no more than there is
    widths = re.search(r"\\begin{longtable}{(.+)}\n", text)[1]
    assert sum(map(float, re.findall(r"([0-9.]+)\\linewidth", widths))) == pytest.approx(1, abs=0.002)
    assert widths.count("p{") == 3


def test_latex_of_a_narrow_table_keeps_its_columns(tmp_path):
    table = PaperTable("T", pd.DataFrame({"a": ["x"], "b": ["1"]}))
    text = table.save(tmp_path / "t.tex").read_text("utf-8")
    assert r"\begin{longtable}{lr}" in text
    assert "landscape}\n" not in text


def compiled(folder, *names: str) -> str:
    """What pdfLaTeX says of an article with these tables and no more packages than their heads name."""
    head = (folder / f"{names[0]}.tex").read_text("utf-8").splitlines()[0]
    used = re.findall(r"\\usepackage(?:\[.*?\])?{.*?}", head)
    inputs = [rf"\input{{{name}}}\clearpage" for name in names]
    lines = [r"\documentclass[a4paper]{article}", *used, r"\begin{document}", *inputs, r"\end{document}"]
    (folder / "article.tex").write_text("\n".join(lines), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "article.tex"]
    for _ in range(2):  # a long table knows its widths the second time
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
        said = done.stdout.decode("utf-8", "replace")
        assert done.returncode == 0, said[-2000:]
    return said


def no_latex() -> str:
    """Why LaTeX cannot be run here, if it cannot."""
    if not shutil.which("pdflatex") or not shutil.which("kpsewhich"):
        return "there is no pdflatex on this machine"
    files = [f"{name}.sty" for name in LATEX_PACKAGES]
    found = subprocess.run(["kpsewhich", *files], capture_output=True, text=True, check=False).stdout
    missing = [file for file in files if file not in found]
    return f"LaTeX has no {', '.join(missing)}" if missing else ""


@pytest.mark.skipif(bool(no_latex()), reason=no_latex() or "never")
@pytest.mark.parametrize("kind", ["patients", "synthesis"])
def test_latex_compiles_and_nothing_sticks_out(kind, tmp_path):
    arms = ("control", "177Lu-DOTATATE")
    found = patients(arms=arms) if kind == "patients" else as_csv(fake_pool.tables())
    made = paper.tables(found)
    nasty = "50 % & #1 $y$ {x^2} a_b ~ \\\\alpha <i> ≥ 30 − 1 – Zürich “q”"
    frame = pd.DataFrame({nasty: [nasty, "a"], "group": [nasty, "b"], "value": ["1", nasty]})
    made["nasty"] = PaperTable(nasty, frame, grouped_by="group", notes=(nasty,))
    paper.save_tables(made, tmp_path, ["tex"])
    said = compiled(tmp_path, *made)
    too_wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([0-9.]+)pt", said)]
    assert max(too_wide, default=0) < 10, said


@pytest.mark.skipif(bool(no_latex()), reason=no_latex() or "never")
def test_latex_pages_have_the_header_row_and_whole_groups(tmp_path):
    frame = pd.DataFrame({"of": [f"group {i}" for i in range(30) for _ in range(4)], "Value": "1"})
    table = PaperTable("Title", frame, grouped_by="of", notes=("note",))
    pages = []
    for size, rows in (("all", frame), ("page", frame[:4])):
        replace(table, frame=rows).save(tmp_path / f"{size}.tex")
        pages.append(int(re.search(r"\((\d+) pages?", compiled(tmp_path, size))[1]))
    assert pages[0] > 2
    assert pages[1] == 1
    text = (tmp_path / "all.tex").read_text("utf-8")
    first, rest = text.split(r"\endfirsthead")
    again, body = rest.split(r"\endhead")
    assert first.count("Value") == again.count("Value") == 1
    # a row ends with a star, which forbids a break after it, unless its group ends there
    assert body.count(r"\\*") == 30 * 4
    assert len(re.findall(r"\\\\\n\\(?:midrule|bottomrule)", body)) == 30


def test_a_word_table_repeats_its_header_row_and_breaks_no_row(tmp_path):
    wide = Document(nasty_table().save(tmp_path / "wide.docx"))
    narrow = PaperTable("Title", pd.DataFrame({"a": ["x" * 40, "y"], "b": ["1", "2"]}), notes=("note",))
    upright = Document(narrow.save(tmp_path / "narrow.docx"))
    for document in (wide, upright):
        first, *rows = document.tables[0].rows
        assert first._tr.find(f".//{qn('w:tblHeader')}") is not None
        assert not [row for row in rows if row._tr.find(f".//{qn('w:tblHeader')}") is not None]
        assert not [row for row in rows if row._tr.find(f".//{qn('w:cantSplit')}") is None]
        page, cells = document.sections[0], rows[-1].cells
        room = page.page_width - page.left_margin - page.right_margin
        assert sum(cell.width for cell in cells) == pytest.approx(room, rel=0.01)
        assert document.paragraphs[0].style.name == "Caption"
        assert document.paragraphs[0].paragraph_format.keep_with_next
    long, short = upright.tables[0].rows[0].cells
    assert long.width > 3 * short.width  # by the longest text below the heading
    assert len({cell._tc for cell in wide.tables[0].rows[1].cells}) == 1  # the heading of a group
    assert wide.sections[0].page_width > wide.sections[0].page_height
    assert upright.sections[0].page_width < upright.sections[0].page_height


def test_rtf_has_title_and_header_row_on_every_page_and_notes_at_the_end(tmp_path):
    frame = pd.DataFrame({"Row": [f"row {i}" for i in range(100)], "Value": "1"})
    texts = rtf_texts(PaperTable("Title", frame, notes=("note",)).save(tmp_path / "t.rtf").read_bytes())
    pages = texts.count("Title")
    assert pages > 1
    assert texts.count("Row") == texts.count("Value") == pages
    assert [text for text in texts if text.startswith("row ")] == list(frame["Row"])
    assert texts[-1] == "note"


def test_csv_keeps_title_and_notes_beside_the_texts(tmp_path):
    table = nasty_table()
    content = table.save(tmp_path / "table.csv").read_bytes()
    read = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, encoding="utf-8")
    pd.testing.assert_frame_equal(read[list(table.frame)], table.frame)
    assert set(read["Table"]) == {table.title}
    assert set(read["Notes"]) == {" ".join(table.notes)}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("found", [patients(), fake_pool.tables()], ids=["patients", "synthesis"])
def test_every_file_of_synthetic_and_failed_runs_says_so(suffix, found, tmp_path):
    found = {name: table.assign(synthetic=True) for name, table in found.items()}
    found["diagnostics"] = found["diagnostics"].assign(passed=False)
    found["hazard_ratios"] = found["hazard_ratios"].assign(gate="failed")
    made = paper.tables(as_csv(found))
    files = paper.save_tables(made, tmp_path, [suffix])
    assert len(files) == len(made)
    for name, path in zip(made, files, strict=True):
        content = path.read_bytes()
        text = " ".join(READERS[suffix](content)) if suffix in READERS else content.decode()
        assert "SYNTHETIC DATA" in text
        assert "GATE FAILED" in text or name.startswith("attrition")
        if name.startswith("hazard_ratios"):
            assert "biased: conditions on the future" in text


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s != ".csv"])
def test_control_characters_do_not_break_a_file(suffix, tmp_path):
    table = PaperTable("a\x00b", pd.DataFrame({"c\x07": ["d\ne", "f\x1bg"]}), "", ("h\x0b",))
    content = table.save(tmp_path / f"t{suffix}").read_bytes()
    assert not re.search(rb"[\x00\x07\x0b\x1b]", content) or suffix == ".docx"  # that one is compressed
    assert "\x07" not in table.to_great_table().as_raw_html()
    if suffix in READERS:
        assert READERS[suffix](content) == ["a b", "c", "d e", "f g", "h"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_without_rows_or_notes_and_with_a_long_title_is_written(suffix, tmp_path):
    empty = PaperTable("A title of many words " * 20, pd.DataFrame({"a": [], "b": []}))
    assert len(empty.save(tmp_path / f"t{suffix}").read_bytes()) > 2


def test_suffixes_are_known_in_any_case_and_unknown_ones_refused(tmp_path):
    table = nasty_table()
    assert table.save(tmp_path / "t.CSV").read_bytes() == table.save(tmp_path / "t.csv").read_bytes()
    for name in ("t.xlsx", "t"):
        with pytest.raises(InputError, match=r"expected one of \.html, \.tex, \.docx, \.rtf, \.csv"):
            table.save(tmp_path / name)


@pytest.mark.parametrize("suffix", MODULES)
def test_a_missing_extra_names_the_command_that_installs_it(suffix, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, MODULES[suffix], None)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(InputError, match="install it with pip install"):
        nasty_table().save(tmp_path / f"t{suffix}")
    assert not list(tmp_path.iterdir())
    assert nasty_table().save(tmp_path / "t.csv").exists()


def test_a_file_that_cannot_be_written_leaves_the_earlier_one(tmp_path, monkeypatch):
    path = PaperTable("old", pd.DataFrame({"a": ["1"]})).save(tmp_path / "t.csv")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left on device"):
        nasty_table().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        nasty_table().save(tmp_path / "file" / "t.csv")


def test_tables_are_saved_in_every_format_or_not_at_all(tmp_path, monkeypatch):
    made = {"one": nasty_table(), "two": PaperTable("Two", pd.DataFrame({"a": ["1"]}))}
    folder = tmp_path / "new" / "tables"
    with pytest.raises(InputError, match=r"'\.pdf' is unknown"):
        paper.save_tables(made, folder, ["csv", "pdf"])
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "docx", None)
        with pytest.raises(InputError, match="python-docx"):
            paper.save_tables(made, folder, ["csv", "docx"])
    assert not folder.exists()
    files = paper.save_tables(made, folder, ("csv", ".HTML"))
    assert [path.name for path in files] == ["one.csv", "one.html", "two.csv", "two.html"]
    assert sorted(folder.iterdir()) == sorted(files)
    assert paper.save_tables(made, folder, "csv") == [folder / "one.csv", folder / "two.csv"]


def test_rows_of_a_group_stand_together_in_the_order_of_appearance():
    frame = pd.DataFrame({"g": ["b", "a", "b"], "x": ["1", "2", "3"]})
    assert PaperTable("T", frame, "g").row_groups == [("b", [("1",), ("3",)]), ("a", [("2",)])]
    assert PaperTable("T", frame).row_groups == [("", [("b", "1"), ("a", "2"), ("b", "3")])]


def test_a_table_that_cannot_be_shown_is_refused():
    twice = pd.DataFrame([["1", "2"]], columns=["a", "a"])
    with pytest.raises(InputError, match="columns a come twice"):
        PaperTable("T", twice)
    with pytest.raises(InputError, match="no column 'b'"):
        PaperTable("T", pd.DataFrame({"a": ["1"]}), "b")


def test_a_great_table_can_be_styled_further():
    table = nasty_table().to_great_table()
    assert table.tab_stubhead("Stub").as_raw_html().count("SYNTHETIC DATA") == 1


def test_the_extras_are_not_loaded_until_they_are_needed(tmp_path):
    names = {"great_tables", "docx", "rtflite", "polars", "lxml"}
    code = (
        "import sys, bayes_net as bn, pandas; "
        f"bn.paper.PaperTable('t', pandas.DataFrame({{'a': ['1']}})).save({str(tmp_path / 't.csv')!r}); "
        "print(*{n.split('.')[0] for n in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not names & set(done.stdout.split())


def test_every_format_is_documented():
    for suffix in FORMATS:
        assert suffix in PaperTable.save.__doc__


@pytest.mark.parametrize("kind", [fake_results, fake_pool])
def test_the_appendix_for_regulators_is_a_word_document_with_every_item(kind, tmp_path):
    result = kind.content()
    made = paper.appendix(result)
    assert {"regulators", "checklists"} <= set(made)
    document = Document(made["regulators"].save(tmp_path / "regulators.docx"))
    cells = {cell.text for row in document.tables[0].rows for cell in row.cells}
    for item in statements(result):
        assert item.asks in cells
        assert any(text.startswith(item.states) for text in cells)
    assert "FDA-2025-D-3217" in made["regulators"].title
    links = made["checklists"].frame["Section of the report"]
    assert "Model and priors" in set(links)
    assert not links.str.contains("href").any()


def test_the_appendix_says_what_all_tables_must():
    failing = fake_results.tables(failing=True)
    failing["hazard_ratios"] = failing["hazard_ratios"].assign(synthetic=True)
    made = paper.appendix(fake_results.content(found=failing))
    assert marked(made, "GATE FAILED") == marked(made, "SYNTHETIC DATA") == set(made)
    assert paper.appendix(replace(fake_results.content(), kind="scenarios")) == {}


def test_attributes_of_the_estimand_are_a_table_of_the_appendix():
    model = {"Estimand: population": "Patients at risk.", "Hazard": "Constant."}
    made = paper.appendix(replace(fake_pool.content(), words={**fake_pool.content().words, "model": model}))
    assert list(made["estimand"].frame.itertuples(index=False, name=None)) == [
        ("Population", "Patients at risk.")
    ]
