"""A table for a paper or a submission, and its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bayes_net.errors import InputError
from bayes_net.files.writing import write_whole
from bayes_net.paper.formats import FORMATS, needing, printable

if TYPE_CHECKING:
    from great_tables import GT


@dataclass(frozen=True, eq=False)
class PaperTable:
    """A table of texts with its title and notes.

    Rows that share their text in the column ``grouped_by`` stand together under that text ("": no groups).
    """

    title: str
    frame: pd.DataFrame
    grouped_by: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = list(self.frame.columns)
        if twice := sorted({str(name) for name in names if names.count(name) > 1}):
            raise InputError(f"{self.title}: columns {', '.join(twice)} come twice; expected each once")
        if self.grouped_by and self.grouped_by not in names:
            raise InputError(f"{self.title}: no column {self.grouped_by!r}; expected one of {names}")

    def marked(self, sign: str, reason: str) -> PaperTable:
        """The same table with ``sign`` before its title and as its first note, with the reason."""
        notes = (f"{sign}: {reason}.", *self.notes)
        return replace(self, title=f"{sign}: {self.title}", notes=notes)

    @property
    def columns(self) -> pd.DataFrame:
        """The frame without the column that heads the rows."""
        return self.frame.drop(columns=self.grouped_by) if self.grouped_by else self.frame

    @property
    def row_groups(self) -> list[tuple[str, list[tuple[str, ...]]]]:
        """The heading and the rows of every group, in the order in which they first appear."""
        if not self.grouped_by:
            return [("", list(self.frame.itertuples(index=False, name=None)))]
        return [
            (label, list(self.columns.loc[rows.index].itertuples(index=False, name=None)))
            for label, rows in self.frame.groupby(self.grouped_by, sort=False)
        ]

    def to_great_table(self) -> GT:
        """The table as great-tables has it, for a notebook or to be styled further."""
        with needing("great-tables"):
            from great_tables import GT

        table = self._printable()
        styled = GT(table.frame, groupname_col=table.grouped_by or None, id="paper-table")
        styled = styled.tab_header(table.title).tab_options(
            heading_align="left", row_group_font_weight="bold", table_font_size="14px"
        )
        for note in table.notes:
            styled = styled.tab_source_note(note)
        return styled

    def save(self, path: str | Path) -> Path:
        """Write the table in the format that the suffix names: .html, .tex, .docx, .rtf or .csv.

        Raises
        ------
        InputError
            The suffix is unknown, what makes the format is not installed, or the file cannot be written.
        """
        path = Path(path)
        write_whole(path, self._as(path.suffix))
        return path

    def _as(self, suffix: str) -> bytes:
        if suffix.lower() not in FORMATS:
            raise InputError(f"format {suffix!r} is unknown; expected one of {', '.join(FORMATS)}")
        return FORMATS[suffix.lower()](self._printable())

    def _printable(self) -> PaperTable:
        frame = self.frame.map(printable).rename(columns=printable)
        notes = tuple(printable(note) for note in self.notes)
        return replace(
            self,
            title=printable(self.title),
            frame=frame,
            grouped_by=printable(self.grouped_by),
            notes=notes,
        )


def save_tables(tables: Mapping[str, PaperTable], folder: str | Path, formats: Iterable[str]) -> list[Path]:
    """Write every table in every format, such as ``["docx", "html"]``, and return the files.

    Nothing is written unless all of them can be made.

    Raises
    ------
    InputError
        As ``PaperTable.save``.
    """
    wanted = [formats] if isinstance(formats, str) else list(formats)
    suffixes = [f".{name.lower().removeprefix('.')}" for name in wanted]
    folder = Path(folder)
    contents = {
        folder / f"{name}{suffix}": table._as(suffix) for name, table in tables.items() for suffix in suffixes
    }
    for path, content in contents.items():
        write_whole(path, content)
    return list(contents)
