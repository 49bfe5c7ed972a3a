"""A table for a paper as the bytes of a file: web page, LaTeX, Word, RTF, CSV.

``table`` is a ``PaperTable``. Whatever is in its title, cells and notes is text: each format escapes
it in its own way.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.errors import InputError
from bayes_net.numbers import rounded

PORTRAIT = 80
"""Characters that fit on a line of an upright page; wider tables lie on their side."""
MOST_OF_A_COLUMN = 40
"""A column with longer texts is no wider than one with texts of so many characters: they are wrapped."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MOST_KEPT_TOGETHER = 15
"""Rows of a group that a page break does not part; longer groups may be."""
LATEX_PACKAGES = ("array", "booktabs", "caption", "longtable", "pdflscape")
_LATEX_PREAMBLE = f"""\
% \\usepackage{{{", ".join(LATEX_PACKAGES)}}} and \\usepackage[T1]{{fontenc}};
% with letters that are not Latin, XeLaTeX or LuaLaTeX and a font that has them.
"""
_LATEX_SIGNS = {"≥": "$\\geq$", "≤": "$\\leq$", "−": "$-$", "\N{NO-BREAK SPACE}": "~"}
"""What pdfLaTeX does not know without further packages."""
_RTF_ROWS = {True: 46, False: 30}
"""Lines of a letter page with margins of an inch, upright or on its side, under a title of two lines."""
Printed = Any
"""A ``PaperTable``, which is made of these formats."""


@contextmanager
def needing(package: str) -> Iterator[None]:
    """Name the command that installs what is missing."""
    try:
        yield
    except ModuleNotFoundError as problem:
        raise InputError(
            f"this format needs {package} (no module {problem.name}); install it with pip install {package}"
        ) from problem


def printable(text: object) -> str:
    """Text without control characters, which XML and RTF cannot hold."""
    return _CONTROL.sub(" ", str(text))


def is_wide(table: Printed) -> bool:
    """Whether the table needs a page on its side."""
    return sum(_column_widths(table)) > PORTRAIT


def shares(table: Printed) -> list[float]:
    """The columns' shares of the page's width, by their longest texts."""
    lengths = _column_widths(table)
    return [length / sum(lengths) for length in lengths]


def _longest_texts(table: Printed) -> list[int]:
    return [max(len(text) for text in (heading, *column)) for heading, column in table.columns.items()]


def _column_widths(table: Printed) -> list[int]:
    return [min(max(length + 5, 13), MOST_OF_A_COLUMN) for length in _longest_texts(table)]


def html_page(table: Printed) -> bytes:
    """One page with its style in it, as great-tables makes it."""
    return table.to_great_table().as_raw_html(make_page=True).encode()


def latex(table: Printed) -> bytes:
    """A long table, as great-tables makes it, with its header row on every page.

    A wide table lies on its side. Where lines have to be broken, columns get widths. The rows of a group stay
    on one page.
    """
    text = table.to_great_table().tab_options(table_font_size="9pt").as_latex(use_longtable=True)
    broken = is_wide(table) or max(_longest_texts(table)) > MOST_OF_A_COLUMN
    text = _with_latex_pages(text, table, broken=broken)
    if broken:
        columns = "".join(
            rf">{{\raggedright\arraybackslash}}p{{\dimexpr {rounded(share, 4)}\linewidth-2\tabcolsep\relax}}"
            for share in shares(table)
        )
        text = re.sub(r"(?<=\\begin{longtable}{)[lcr]+(?=})", lambda _: columns, text, count=1)
    if is_wide(table):
        text = f"\\begin{{landscape}}\n{text}\n\\end{{landscape}}\n"
    for sign, command in _LATEX_SIGNS.items():
        text = text.replace(sign, command)
    return (_LATEX_PREAMBLE + text).encode()


def _with_latex_pages(text: str, table: Printed, *, broken: bool) -> str:
    """What great-tables leaves out: a header row on every page, whole groups, notes at the table's edge."""
    start, head, body = re.split(
        r"(\\toprule\n.*?\\midrule\\addlinespace\[2.5pt\]\n)", text, maxsplit=1, flags=re.DOTALL
    )
    span = r"p{\dimexpr\linewidth-2\tabcolsep\relax}" if broken else "l"
    body = re.sub(
        r"\\multicolumn{(\d+)}{l}{(.*)} \\\\\[2.5pt\] \n\\midrule\\addlinespace\[2.5pt\]\n",
        lambda found: rf"\multicolumn{{{found[1]}}}{{{span}}}{{\textbf{{{found[2]}}}}} \\*" "\n",
        body,
    )
    if table.grouped_by and max(len(rows) for _, rows in table.row_groups) <= MOST_KEPT_TOGETHER:
        body = re.sub(r" \\\\\n(?!\\(midrule|bottomrule))", r" \\\\*\n", body)
    body = body.replace(r"\begin{minipage}", "\\par\\smallskip\\noindent\n\\begin{minipage}")
    edge = "\\setlength{\\LTleft}{0pt}\n\\setlength{\\LTcapwidth}{\\linewidth}\n"
    edge += "\\captionsetup{justification=raggedright, singlelinecheck=false}\n\\begin{longtable}"
    start = start.replace(r"\begin{longtable}", edge)
    return f"{start}{head}\\endfirsthead\n{head}\\endhead\n{body}"


def word(table: Printed) -> bytes:
    """A Word document: caption, table whose header row stands on every page, notes."""
    with needing("python-docx"):
        from docx import Document
        from docx.enum.section import WD_ORIENT
        from docx.shared import Pt, RGBColor

    document = Document()
    about, style, page = document.core_properties, document.styles["Normal"], document.sections[0]
    about.title, about.author = table.title[:255], ""  # Word's own limit
    style.font.size, style.paragraph_format.space_after = Pt(9), Pt(3)
    document.styles["Caption"].font.color.rgb = RGBColor(0, 0, 0)
    if is_wide(table):
        page.orientation = WD_ORIENT.LANDSCAPE
        page.page_width, page.page_height = page.page_height, page.page_width
    document.add_paragraph(table.title, style="Caption").paragraph_format.keep_with_next = True
    _fill_word_table(document, table, page.page_width - page.left_margin - page.right_margin)
    for note in table.notes:
        document.add_paragraph(note).paragraph_format.keep_with_next = note != table.notes[-1]
    content = io.BytesIO()
    document.save(content)
    return content.getvalue()


def _fill_word_table(document: Any, table: Printed, width: int) -> None:
    rows = [("head", table.columns.columns)]
    for heading, of_group in table.row_groups:
        kept = "kept row" if heading and len(of_group) <= MOST_KEPT_TOGETHER else "row"
        rows += [("group", [heading])] * bool(heading)
        rows += [*((kept, texts) for texts in of_group[:-1]), *(("row", texts) for texts in of_group[-1:])]
    if table.notes:
        rows[-1] = ("kept row", rows[-1][1])
    grid = document.add_table(len(rows), table.columns.shape[1], style="Table Grid")
    grid.autofit = False
    for column, share in zip(grid.columns, shares(table), strict=True):  # LibreOffice asks the column,
        column.width = int(width * share)  # Word the cell
    for line, (kind, texts) in zip(grid.rows, rows, strict=True):
        cells = line.cells
        for cell, share in zip(cells, shares(table), strict=True):
            cell.width = int(width * share)
        if kind == "group":
            cells = [cells[0].merge(cells[-1])]
        for cell, text in zip(cells, texts, strict=True):
            cell.paragraphs[0].add_run(text).bold = kind in ("head", "group") or None
            cell.paragraphs[0].paragraph_format.keep_with_next = kind != "row" or None
        _mark_word_row(line, "w:cantSplit", *["w:tblHeader"] * (kind == "head"))


def _mark_word_row(line: Any, *marks: str) -> None:
    from docx.oxml import OxmlElement

    for mark in marks:
        line._tr.get_or_add_trPr().append(OxmlElement(mark))


def rtf(table: Printed) -> bytes:
    """A document in rich text format, as rtflite makes it, with the header row on every page."""
    with needing("rtflite"):
        from polars import DataFrame  # rtflite has no other frames
        from rtflite import RTFBody, RTFColumnHeader, RTFDocument, RTFFootnote, RTFPage, RTFTitle

    rows = [[label, *texts] for label, of_group in table.row_groups for texts in of_group]
    grouped, parts = bool(table.grouped_by), shares(table)
    names = [f"column {i}" for i in range(len(parts) + grouped)]
    body = DataFrame(
        [[_rtf_text(text) for text in row[not grouped :]] for row in rows], schema=names, orient="row"
    )
    as_it_is = {"text_convert": False, "text_justification": "l"}
    unruled = {"border_left": "", "border_right": ""}
    upright, inch = not is_wide(table), 1.0
    document = RTFDocument(
        df=body,
        rtf_page=RTFPage(
            orientation="portrait" if upright else "landscape",
            margin=[inch] * 4 + [inch / 2] * 2,
            col_width=(8.5 if upright else 11.0) - 2 * inch,
            nrow=_RTF_ROWS[upright],
            border_first="single",
            border_last="single",
        ),
        rtf_title=RTFTitle(text=[_rtf_text(table.title)], **as_it_is),
        rtf_column_header=[
            RTFColumnHeader(
                text=[_rtf_text(t) for t in table.columns],
                col_rel_width=parts,
                text_format="b",
                border_bottom="single",
                **unruled,
                **as_it_is,
            )
        ],
        rtf_body=RTFBody(
            page_by=[body.columns[0]] if grouped else None,
            col_rel_width=[parts[0], *parts] if grouped else parts,
            text_format=["b", *[""] * len(parts)] if grouped else "",
            **unruled,
            **as_it_is,
        ),
        rtf_footnote=RTFFootnote(text=[_rtf_text(note) for note in table.notes], **unruled, **as_it_is),
    )
    return document.rtf_encode().encode("ascii")


def _rtf_text(text: str) -> str:
    """The text with RTF's own signs escaped, and all but ASCII as UTF-16 numbers: rtflite does neither."""
    escaped = re.sub(r"([\\{}])", r"\\\1", text)
    return re.sub(r"[^\x00-\x7f]", lambda found: _rtf_numbers(found[0]), escaped)


def _rtf_numbers(letter: str) -> str:
    numbers = np.frombuffer(letter.encode("utf-16-le"), "<i2")
    return "".join(rf"\uc1\u{number}?" for number in numbers)


def csv(table: Printed) -> bytes:
    """The texts, with title and notes in columns of their own: a table that is sorted or cut keeps them."""
    about = pd.DataFrame({"Table": table.title, "Notes": " ".join(table.notes)}, index=table.frame.index)
    return pd.concat([table.frame, about], axis=1).to_csv(index=False, lineterminator="\n").encode()


FORMATS = {".html": html_page, ".tex": latex, ".docx": word, ".rtf": rtf, ".csv": csv}
"""What makes the bytes of a file, by its suffix."""
