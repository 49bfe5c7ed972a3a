"""Small good files of every format, and ways to damage their bytes."""

import gzip
import io
import json
import random
import resource
import signal
import sys
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyreadstat

from bayes_net.adam.read import read_adam
from bayes_net.data.cohort import read_cohort
from bayes_net.errors import InputError
from bayes_net.files.formats import read_file

MOST_SECONDS, MOST_MEMORY = 10, 1 << 30
"""In which a file is to be read or refused."""

TABLE = pd.DataFrame(
    {
        "patient": ["P1", "P2", "P3", "P4"],
        "arm": ["a", "b", "a", "b"],
        "pfs_time": [120.0, 30.5, 400.0, 250.0],
        "pfs_event": [1.0, 0.0, 1.0, 1.0],
    }
)
ENDINGS = (
    *(".csv", ".tsv", ".txt", ".parquet", ".xlsx", ".xpt", ".sas7bdat", ".dta", ".sav"),
    *(".json", ".ndjson", ".dsjc"),
)
_NUMBERS = (b"\xff" * 4, b"\x7f" + b"\xff" * 3, b"\xff" * 8, b"\x00" * 8, b"\x80" * 8)
"""Sizes that a header might declare."""


def _dataset_json() -> dict:
    columns = [{"name": name, "dataType": "string"} for name in TABLE]
    return {"datasetJSONVersion": "1.1.0", "records": len(TABLE), "columns": columns,
            "rows": TABLE.to_numpy().tolist()}  # fmt: skip


def good(ending: str, folder: Path) -> bytes:
    """A file of four patients; of .sas7bdat, which nothing here writes, five rows that SAS wrote."""
    path = folder / f"good{ending}"
    if ending == ".parquet":
        TABLE.to_parquet(path, index=False)
    elif ending == ".xlsx":
        TABLE.to_excel(path, index=False)
    elif ending == ".xpt":
        pyreadstat.write_xport(
            TABLE.rename(columns=lambda c: c[:8]), str(path), table_name="ADSL", file_format_version=5
        )
    elif ending in (".dta", ".sav"):
        (pyreadstat.write_dta if ending == ".dta" else pyreadstat.write_sav)(TABLE, str(path))
    elif ending == ".sas7bdat":
        path.write_bytes(gzip.decompress((Path(__file__).parent / "sas" / "whole.sas7bdat.gz").read_bytes()))
    elif ending == ".json":
        path.write_text(json.dumps(_dataset_json()))
    elif ending in (".ndjson", ".dsjc"):
        whole = _dataset_json()
        lines = "\n".join(json.dumps(each) for each in (whole | {"rows": None}, *whole["rows"]))
        path.write_bytes(lines.encode() if ending == ".ndjson" else zlib.compress(lines.encode()))
    else:
        path.write_text(TABLE.to_csv(index=False, sep="," if ending == ".csv" else "\t"))
    return path.read_bytes()


def bombs(ending: str) -> Iterator[bytes]:
    """Files that are small and claim, or hold, far more than any table."""
    deep = b"[" * 200_000
    if ending in (".json", ".ndjson"):
        yield from (deep, b"{" + b'"a":{' * 100_000, b'{"columns": [{"name": "a"}], "rows": ' + deep)
        yield b'{"columns": [{"name": "a"}], "rows": [[' + b"1" * 100_000 + b"]]}"
        yield b'{"columns": [{"name": "a"}], "records": 1e999, "rows": [[NaN], [1e999]]}'
        yield b'{"columns": [{"name": {"a": []}}, {"name": "\\ud800"}], "rows": [["\\ud800", [1]]]}'
    if ending == ".dsjc":
        zeros = zlib.compress(bytes(50_000_000), 9)
        yield from (zeros, gzip.compress(zeros), zlib.compress(b"[" * 10_000_000, 9))
    if ending == ".xlsx":
        yield from (_workbook(bomb) for bomb in ("zeros", "entities", "cell", "deep"))
    if ending in (".csv", ".tsv", ".txt"):
        yield from (b"\0" * 1_000_000, b"a" * 5_000_000, b'"' * 100_001, b'a,b\n"' + b"x" * 1_000_000)
        yield from (b"a,b\n" + b"1," * 200_000, b"\xff\xfea", b"\xfe\xff\x00", b"\n" * 1_000_000)


def _workbook(bomb: str) -> bytes:
    """A workbook whose sheet unpacks to much, expands to much, ends far away, or lies deep."""
    made = io.BytesIO()
    TABLE.to_excel(made, index=False)
    result = io.BytesIO()
    name = "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.namelist():
            if each != name:
                new.writestr(each, old.read(each))
        sheet = old.read(name)
        if bomb == "zeros":
            sheet = sheet + b" " * 50_000_000
        elif bomb == "entities":
            entities = b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 10))
            head = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "lol">' + entities + b"]>"
            sheet = head + sheet[sheet.index(b"<worksheet") :].replace(b"<sheetData>", b"<sheetData>&a9;", 1)
        elif bomb == "cell":
            sheet = sheet.replace(b'r="A1"', b'r="XFD1048576"', 1)
        else:
            sheet = sheet.replace(b"<sheetData>", b"<sheetData>" + b"<row>" * 100_000, 1)
        new.writestr(name, sheet)
    return result.getvalue()


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The bytes cut off, flipped, with others put in, left out or in their place, or sizes overwritten."""
    made = bytearray(content)
    how = rng.randrange(8)
    at = rng.randrange(len(made))
    if how == 0:
        return bytes(made[:at])
    if how == 1:
        for _ in range(rng.choice((1, 3, 30))):
            made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    elif how == 2:
        made[at:at] = rng.randbytes(rng.choice((1, 7, 300)))
    elif how == 3:
        del made[at : at + rng.choice((1, 4, 80))]
    elif how == 4:
        declared = rng.choice(_NUMBERS)
        made[at : at + len(declared)] = declared
    elif how == 5:
        other = rng.randrange(len(made))
        made[at : at + 40] = made[other : other + 40]
    elif how == 6:
        made = bytearray(rng.randbytes(rng.randrange(200))) + made[:at] * 2
    else:
        made = made[: rng.choice((100, 200, 300))] + rng.randbytes(rng.randrange(2000))
    return bytes(made)


def inputs(ending: str, folder: Path, n: int, seed: int) -> Iterator[bytes]:
    """``n`` damaged files of a format: empty, those of the other formats, bombs, and damage by chance."""
    yield from (b"", b"\0", b"\n", b" ")
    others = [each for each in ENDINGS if each != ending]
    yield from (good(other, folder) for other in others)
    yield from bombs(ending)
    rng, content = random.Random(f"{ending} {seed}"), good(ending, folder)
    for _ in range(n):
        yield damaged(content, rng)


class TooLongError(BaseException):
    """What no reader catches."""


def _ring(*_: object) -> None:
    raise TooLongError


def ends_well(read: Callable[[], object]) -> bool:
    """Whether something was read; a clear error is none. Anything else is raised."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_MEMORY, -1))
    signal.alarm(MOST_SECONDS)
    try:
        read()
    except InputError as refused:
        if isinstance(refused.__cause__, MemoryError):
            raise refused.__cause__ from None
        return False
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    return True


def attack(ending: str, folder: Path, n: int, seed: int) -> dict:
    """How many damaged files of a format were read, and what ended otherwise than well."""
    path, bad, counts, slowest = folder / f"damaged{ending}", [], {"files": 0, "read": 0}, 0.0
    readers = (
        lambda: read_file(path),
        lambda: read_cohort(path, None, time_unit="days"),
        lambda: read_adam({"adsl": path, "adtte": path}),
    )
    for i, content in enumerate(inputs(ending, folder, n, seed)):
        path.write_bytes(content)
        print(f"{ending} {i}", file=sys.stderr, flush=True)  # the last one, should the process crash
        counts["files"] += 1
        begin = time.perf_counter()
        try:
            known = ends_well(readers[0])
            counts["read"] += known
            for read in readers[1:] if known or i % 25 == 0 else ():
                ends_well(read)
        except BaseException:
            bad.append(f"{ending} {i}: {traceback.format_exc()[-600:]}")
        slowest = max(slowest, time.perf_counter() - begin)
    return counts | {"ending": ending, "bad": bad, "slowest": slowest}


if __name__ == "__main__":  # a process of its own: C code may crash it
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _ring)
    _, where, number, start, *wanted = sys.argv
    for each in wanted:
        print(json.dumps(attack(each, Path(where), int(number), int(start))), flush=True)
