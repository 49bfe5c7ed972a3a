"""A result whose values were altered, and whose manifest knows it, ends in a page or in one clear error."""

import csv
import io
import json
import random
import shutil
from collections import Counter

import pytest
from test_result_folder import TOLD, written

import bayes_net as bn
from bayes_net.errors import InputError
from bayes_net.paper.content import tables
from bayes_net.report.patients import LANDMARKS
from bayes_net.report.synthesis import SYNTHESIS
from bayes_net.results.folder import as_written, read_result, write_manifest
from bayes_net.workflow.write import rebuild_report

VALUES = [None, True, -1, 0, 1e308, 10**30, 0.5, "", "x", "<b>", "nan", "1e400", [], ["a"], {}, {"a": 1}]
CELLS = [
    "",
    "x",
    "-1",
    "0",
    "1e308",
    "inf",
    "-inf",
    "nan",
    "True",
    "150 d",
    "no limit",
    "passed",
    "\u200b",
    "9" * 40,
]
TYPES = ["bool", "int64", "float64", "str", "object", "datetime64[ns]", "complex", 7]
FEW, MANY = 16, 500


def places(value, at=()):
    """Every place in a tree of JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*at, key)
        yield from places(each, (*at, key))


def altered_json(content: str, rng: random.Random, values=VALUES) -> str:
    """JSON with one to three of its values replaced or gone."""
    tree = json.loads(content)
    for _ in range(rng.randint(1, 3)):
        *path, last = rng.choice(list(places(tree)))
        inner = tree
        for key in path:
            inner = inner[key]
        if rng.random() < 0.25:
            del inner[last]
        else:
            inner[last] = json.loads(json.dumps(rng.choice(values)))
    return json.dumps(tree)


def altered_table(content: str, rng: random.Random) -> str:
    """CSV with other cells, or with rows or a column gone, twice or in another order."""
    header, *rows = list(csv.reader(io.StringIO(content)))
    how = rng.randrange(6)
    if how == 0:
        rows = rows[: rng.randint(0, 1)]
    elif how == 1:
        rows = rows + rows[:2]
    elif how == 2:
        at = rng.randrange(len(header))
        header, rows = header[:at] + header[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]
    elif how == 3:
        at = rng.randrange(len(header))
        cell = rng.choice(CELLS)
        rows = [[*row[:at], cell, *row[at + 1 :]] for row in rows]
    elif how == 4:
        rng.shuffle(header)
    else:
        for _ in range(rng.randint(1, 4)):
            if rows:
                row = rng.choice(rows)
                row[rng.randrange(len(row))] = rng.choice(CELLS)
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerows([header, *rows])
    return made.getvalue()


def altered_text(content: str, rng: random.Random) -> str:
    """TOML with another value in a line."""
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = (
        lines[at].partition("=")[0]
        + "= "
        + rng.choice(["1", '"x"', "[]", "{}", "-1e308", "inf", "2026-03-01"])
    )
    return "\n".join(lines)


def alter(folder, rng: random.Random) -> str:
    """Change one file of a result, and have the manifest know it; says which."""
    told, kind = dict(TOLD), rng.randrange(6)
    path = folder / "content.json"
    if kind <= 1:
        path.write_text(altered_json(path.read_text("utf-8"), rng), "utf-8")
    elif kind == 2:
        content = json.loads(path.read_text("utf-8"))
        types = rng.choice(list(content["tables"].values()))
        types[rng.choice(list(types))] = rng.choice(TYPES)
        path.write_text(json.dumps(content), "utf-8")
    elif kind == 3:
        path = folder / "specification.toml"
        path.write_text(altered_text(path.read_text("utf-8"), rng), "utf-8")
    elif kind == 4:
        path = rng.choice(sorted(folder.glob("*.csv")))
        path.write_text(altered_table(path.read_text("utf-8"), rng), "utf-8")
    else:
        told = json.loads(altered_json(json.dumps(told), rng))
    write_manifest(folder, told)
    if kind == 5 and rng.random() < 0.5:
        path = folder / "manifest.json"
        path.write_text(altered_json(path.read_text("utf-8"), rng), "utf-8")
    return path.name


def paper_tables(folder):
    """What `bayes-net tables` makes."""
    found = read_result(folder)
    with as_written(folder):
        return tables(found.tables)


def attack(whole, folder, n: int, seed: int) -> tuple[Counter, list[str]]:
    """How often each of the uses of an altered result went well or was refused, and what ended otherwise."""
    counts, bad, rng = Counter(), [], random.Random(seed)
    for i in range(n):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        name = alter(folder, rng)
        uses = {
            "read": lambda: read_result(folder),
            "compare": lambda: bn.compare([whole, folder]).to_read(),
            "tables": lambda: paper_tables(folder),
            "report": lambda: rebuild_report(folder),
        }
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for use, made in uses.items():
            try:
                made()
                counts[use, "well"] += 1
            except InputError:
                counts[use, "refused"] += 1
                if before != {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}:
                    bad.append(f"{i} {name} {use}: the folder was changed")
            except Exception as reason:
                bad.append(f"{i} {name} {use}: {type(reason).__name__}: {reason}"[:300])
    return counts, bad


@pytest.mark.parametrize("name", ["\0", "x" * 5000, "a/b.csv"])
def test_a_manifest_that_names_what_no_file_can_be_called_is_refused(tmp_path, name):
    written(tmp_path / "whole")
    manifest = json.loads((tmp_path / "whole" / "manifest.json").read_text("utf-8"))
    manifest["files"][name] = "0f" * 32
    (tmp_path / "whole" / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(InputError, match=r"cannot be read as what a run writes|has lost"):
        read_result(tmp_path / "whole")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [LANDMARKS, SYNTHESIS])
def test_altered_results_end_in_a_page_or_in_one_clear_error(tmp_path, kind, n):
    written(tmp_path / "whole", kind=kind)
    counts, bad = attack(tmp_path / "whole", tmp_path / "altered", n, seed=n)
    assert not bad, "\n".join(bad[:20])
    for use in ("read", "compare", "tables", "report"):
        assert counts[use, "well"] > n / 6, counts
        assert counts[use, "refused"] > n / 20, counts
