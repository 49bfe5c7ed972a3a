"""Commands and snippets of README and of the pages work in the environment that README's own install makes.

Not part of the usual tests, since it installs from a package index: ``python -m pytest -m install``. A clone
is installed by README's command, with the packages that README names for more formats; what the pages print
is run by the installed package in another folder. README's snippet is run whole; of those of pages, imports
and names are tried, since ``test_docs.py`` runs them and compares what they print.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_trial import QUICK, planned_study

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)]
OFFLINE = re.compile(r"Temporary failure|Connection|Could not find a version|Network is unreachable|No route")

pytestmark = [pytest.mark.install, pytest.mark.slow]


def _sh(where, *command, **more):
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [*map(str, command)], cwd=where, env=env, capture_output=True, text=True, check=False, **more
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder of programs of README's install, in a clone without anything that git does not know."""
    (command,) = re.findall(r"<!-- run command -->\n```sh\n(.*?)\n```", README, re.S)
    *install, run = command.split(" && ")
    assert run == ".venv/bin/bayes-net run prrt_pooled"
    clone = tmp_path_factory.mktemp("readme") / "clone"
    done = _sh(ROOT, "git", "clone", "-q", ROOT, clone)
    if done.returncode:
        pytest.skip(f"needs the repository, of which README's install takes a clone: {done.stderr}")
    (formats,) = re.findall(r"`(pip install openpyxl[^`]*)`", README)
    for line in [*install, f".venv/bin/{formats} -c constraints.txt"]:
        done = _sh(clone, "sh", "-c", line.replace("python3 ", f"{sys.executable} ", 1))
        if done.returncode and OFFLINE.search(done.stderr):
            pytest.skip(f"needs a package index: {done.stderr[-200:]}")
        assert done.returncode == 0, done.stderr
    return clone / ".venv" / "bin"


@pytest.fixture(scope="module")
def trial(tmp_path_factory) -> Path:
    """A folder with what commands of the pages name: a specification, tables, finished results."""
    folder = tmp_path_factory.mktemp("elsewhere")
    made = planned_study(folder, **QUICK, landmarks={"times": ["120d", "no limit"], "thresholds": None})
    shutil.copy(made, folder / "analysis.toml")
    (folder / "trial").mkdir()
    for name in ("patients", "scans"):
        text = (folder / f"{name}.csv").read_text()
        columns = {"pfs_time": "pfs_days", "os_time": "os_days", ",time": ",scan_days", ",size": ",sld_mm"}
        for old, new in columns.items():
            text = text.replace(old, new, 1)
        (folder / "trial" / f"{name}.csv").write_text(text)
    return folder


def test_the_package_is_the_installed_one(installed, trial):
    found = _sh(trial, installed / "python", "-c", "import bayes_net; print(bayes_net.__file__)")
    assert str(installed.parent) in found.stdout, found.stderr


LONG = ("--jobs 2", "scenarios prrt_pooled", "scenarios netter1_synthetic", "calibrate")
"""Commands of an hour: their options are tested by ``test_docs.py``, their like by a smaller one below."""


def steps(page: Path):
    """What a page does, in its order: the name and text of a file that it writes, or "" and a command line of
    bayes-net, without comments."""
    blocks = r"<!-- file: (\S+) -->\n```\w+\n(.*?)```|```(?:sh|bash|console)\n(.*?)```"
    for name, text, lines in re.findall(blocks, page.read_text(encoding="utf-8"), re.S):
        found = re.findall(r"bayes-net (.*)", lines)
        yield from [(name, text)] if name else [("", line.split(" #")[0].strip()) for line in found]


def test_every_command_that_is_printed_works(installed, trial):
    """In the order of the pages, each once; results that they name are made by the ones before."""
    first = ["run netter1_os --out RESULT_A", "run netter1_os --seed 7 --out RESULT_B"]
    first += ["run netter1_os --out results/netter1_pfs", "run netter1_os --seed 7 --out results/prrt_pooled"]
    failed, done = [_failure(installed, trial, line) for line in first], set()
    for page in PAGES:
        before = {}
        for name, text in steps(page):
            if name:
                file = trial / name
                before.setdefault(file, file.read_bytes() if file.exists() else None)
                file.write_text(text, encoding="utf-8")
            elif text not in done:
                done.add(text)
                failed.append(_failure(installed, trial, text))
        for file, content in before.items():  # each page begins anew
            file.unlink(missing_ok=True)
            if content is not None:
                file.write_bytes(content)
    assert not any(failed), "\n".join(filter(None, failed))


def _failure(installed: Path, trial: Path, line: str) -> str:
    """What went wrong with a command, "" if nothing did."""
    wanted = line.replace("RESULT ", "RESULT_A ") if line.split()[-1] != "RESULT" else f"{line}_A"
    wanted = wanted.replace("run prrt_pooled", "run prrt_pooled --quick --out pooled")
    if any(each in wanted for each in LONG) or wanted.startswith(("scenarios", "design")):
        wanted = f"check {wanted.split()[1]}"
    if wanted.startswith("init --synthesis"):  # it overwrites nothing
        for made in ("synthesis.toml", "evidence.csv"):
            (trial / made).unlink(missing_ok=True)
    done = _sh(trial, installed / "bayes-net", *wanted.split())
    return "" if done.returncode in (0, 3) else f"{wanted}: {done.returncode} {done.stderr[-300:]}"


def test_the_snippet_of_the_readme_prints_hazard_ratios(installed, trial, tmp_path):
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.S)
    for name in ("patients.csv", "scans.csv"):
        text = (trial / name).read_text().replace(",treated,", ",PRRT,")
        (tmp_path / name).write_text(text)
    done = _sh(tmp_path, installed / "python", "-W", "ignore", "-c", snippet)
    assert done.returncode == 0, done.stderr
    assert "PRRT" in done.stdout


def snippets():
    for page in PAGES:
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
        if blocks:
            yield pytest.param(blocks, id=str(page.relative_to(ROOT)))


@pytest.mark.parametrize("blocks", list(snippets()))
def test_every_import_of_a_snippet_is_installed(installed, trial, blocks):
    """With names that the package does not have, or a package that is not there, a snippet ends at once."""
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    imports = [line for line in lines if re.match(r"(import|from) \w", line)]
    names = sorted({name for line in lines for name in re.findall(r"\bbn(?:\.\w+)+", line)})
    text = "\n".join(["import bayes_net as bn", *imports, *names])
    done = _sh(trial, installed / "python", "-W", "ignore", "-c", text)
    if "lifelines" in text:  # which the page says is a package of its own
        text = re.sub(r"(?m)^.*lifelines.*$", "", text)
        done = _sh(trial, installed / "python", "-W", "ignore", "-c", text)
    assert done.returncode == 0, done.stderr
