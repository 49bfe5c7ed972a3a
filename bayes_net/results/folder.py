"""A result as it stands in its folder: tables, figures and words. The report is made from these alone."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import xarray as xr

from bayes_net.errors import InputError, listed
from bayes_net.options import refuse_types
from bayes_net.results.publishing import MANIFEST, read_manifest

CONTENT, SPECIFICATION = "content.json", "specification.toml"
POSTERIOR, REPORT = "posterior.nc", "report.html"
FORMAT = 1
"""Stands in the manifest, and counts up with every change after which older results cannot be read."""
_TYPES = {"b": "bool", "i": "int64", "u": "int64", "f": "float64"}
"""What a column of each kind of NumPy type is read back as; all others are text."""


@dataclass(frozen=True)
class Illustration:
    """A figure as SVG text, the report's section where it belongs, its caption and its finding."""

    section: str
    svg: str
    caption: str
    alt: str

    @property
    def source(self) -> str:
        """The SVG as a data URI: an image cannot run anything, nor clash with the page's ids.

        Percent-encoded and not base64, so that a search of the file for a word still sees the
        figures' texts.
        """
        return "data:image/svg+xml;charset=utf-8," + quote(self.svg, safe=" =:;/,.()-_!*'?@$|^{}[]")


@dataclass(frozen=True, eq=False)
class ResultFolder:
    """What a finished run left in its folder.

    ``kind`` is that of its report. ``tables`` are the CSV files by their stem, ``figures`` by file name,
    ``words`` what else the report says. ``specification`` is TOML, ``provenance`` where it is from.
    """

    path: Path
    kind: str
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, Illustration]
    words: Mapping[str, Any]
    specification: str
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gate_passed(self) -> bool:
        """Whether every fit passed its diagnostics gate."""
        return self.provenance.get("gate") == "passed"

    def posterior(self) -> xr.DataTree:
        """The draws, read from ``posterior.nc``.

        Raises
        ------
        InputError
            The file is not there, or no longer what the run wrote.
        """
        path = self.path / POSTERIOR
        with as_written(path), xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()


def write_content(
    folder: Path,
    *,
    kind: str,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Illustration],
    words: Mapping[str, Any],
    specification: str,
) -> ResultFolder:
    """Write what a report is made of, and return it as it is read back.

    The figures' files, ``figures/NAME.svg``, must be there.
    """
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    content = {
        "kind": kind,
        "tables": {
            name: {str(column): _TYPES.get(kind.kind, "str") for column, kind in table.dtypes.items()}
            for name, table in tables.items()
        },
        "figures": {
            name: {key: text for key, text in asdict(figure).items() if key != "svg"}
            for name, figure in figures.items()
        },
        "words": dict(words),
    }
    (folder / CONTENT).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / SPECIFICATION).write_text(specification, encoding="utf-8")
    return read_content(folder)


def read_content(folder: Path) -> ResultFolder:
    """What ``write_content`` wrote, whole or not: ``read_result`` asks whether it is."""
    content = json.loads((folder / CONTENT).read_text(encoding="utf-8"))
    return ResultFolder(
        path=folder,
        kind=content["kind"],
        tables={
            name: _read_table(folder / f"{name}.csv", types) for name, types in content["tables"].items()
        },
        figures={
            name: Illustration(svg=(folder / "figures" / f"{name}.svg").read_text(encoding="utf-8"), **texts)
            for name, texts in content["figures"].items()
        },
        words=content["words"],
        specification=(folder / SPECIFICATION).read_text(encoding="utf-8"),
    )


def _read_table(path: Path, types: Mapping[str, str]) -> pd.DataFrame:
    """The table that was written, to the last digit; a missing text is an empty one."""
    if strange := set(types.values()) - {*_TYPES.values(), "str"}:
        raise ValueError(f"columns of {path.name} are of type {listed(strange)}")
    texts = [name for name, kind in types.items() if kind == "str"]
    table = pd.read_csv(
        path, dtype=dict(types), keep_default_na=False, na_values=[""], float_precision="round_trip"
    )
    return table.assign(**{name: table[name].astype(object).fillna("") for name in texts})


def write_manifest(folder: Path, provenance: Mapping[str, str]) -> None:
    """What the folder holds and where it comes from; its presence says that the result is whole."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    manifest = dict(provenance) | {
        "format": FORMAT,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {path.relative_to(folder).as_posix(): _sha256(path) for path in files},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_result(path: Path | str, *, unaltered: bool = True) -> ResultFolder:
    """The result of a finished run.

    Raises
    ------
    InputError
        The folder holds no result, or files of it are gone or are no longer what the run wrote (with
        ``unaltered`` False only the former).
    """
    refuse_types(read_result, locals())
    folder = Path(path)
    manifest = read_manifest(folder)
    if manifest is None:
        raise InputError(
            f"{folder} holds no finished result of bayes-net; expected a folder that a run wrote"
        )
    if manifest.get("format") != FORMAT:
        raise InputError(f"{folder} was written by another version of bayes-net; run it again with this one")
    with as_written(folder):
        if gone := [name for name in manifest["files"] if not (folder / name).is_file()]:
            raise InputError(f"{folder} has lost {listed(gone)}; run it again")
        # the report may be made anew at any time
        hashes = {name: digest for name, digest in manifest["files"].items() if name != REPORT and unaltered}
        if altered := [name for name, digest in hashes.items() if _sha256(folder / name) != digest]:
            raise InputError(
                f"{folder}: {listed(altered)} changed after the run wrote the result, so its numbers cannot "
                "be vouched for; restore the files or run it again"
            )
    provenance = {key: value for key, value in manifest.items() if key != "files"}
    with as_written(folder):
        found = read_content(folder)
        tomllib.loads(found.specification)
    return replace(found, provenance=provenance)


@contextmanager
def as_written(path: Path | str) -> Iterator[None]:
    """Refuse, in words, files that were damaged or altered: what reads them, and what makes pages and tables
    of them, raises whatever it stumbles over."""
    try:
        yield
    except InputError:
        raise
    except Exception as reason:
        raise InputError(
            f"{path} cannot be read as what a run writes ({type(reason).__name__}: {str(reason)[:200]}); "
            "restore the files or run it again"
        ) from reason


def short_names(folders: Sequence[ResultFolder]) -> list[str]:
    """A name for each of several results: the folder's own, with as many parents as tell them apart."""
    parts = [folder.path.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return names
