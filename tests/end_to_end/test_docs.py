"""The documentation builds without a warning, asks for nothing from outside, and what it shows is true."""

import ast
import inspect
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import warnings
import zlib
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fake_pool
import pytest
import typer
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser
from typer.testing import CliRunner

import bayes_net as bn
from bayes_net.cli.app import app
from bayes_net.errors import SpecificationError
from bayes_net.specification.read import parse_specification
from bayes_net.specification.shipped import TEMPLATES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from live import generated, pictures, reference  # noqa: E402

PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEEDED = ("sphinx", "furo", "myst_nb", "latex2mathml")
SPHINX = (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html")
IN_CSS = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")]+)")


# --- the built pages ----------------------------------------------------------------------------------


@dataclass
class Html(HTMLParser):
    """What a page loads, where its links lead, and the places in it that links may lead to."""

    loaded: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    inline: str = ""
    within: str = ""

    def __post_init__(self):
        super().__init__()

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.within = tag
        self.places |= {given[name] for name in ("id", "name") if name in given}
        self.inline += given.get("style", "")
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif "href" in given:
            self.loaded.append(given["href"])
        self.loaded += [given[name] for name in ("src", "srcset", "data", "poster") if name in given]

    def handle_data(self, data):
        if self.within in ("script", "style"):
            self.inline += data


def parsed(path: Path) -> Html:
    page = Html()
    page.feed(path.read_text(encoding="utf-8"))
    return page


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of the built pages."""
    for name in NEEDED:
        pytest.importorskip(name, reason=f"needs {name} to build the documentation: install the extra docs")
    folder = tmp_path_factory.mktemp("docs")
    made = subprocess.run(
        [*SPHINX, "-d", folder / "doctrees", DOCS, folder / "html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(built) -> dict[Path, Html]:
    return {path: parsed(path) for path in sorted(built.rglob("*.html"))}


def test_every_page_and_notebook_is_built(pages, built):
    written = {path.relative_to(DOCS).with_suffix(".html") for path in PAGES}
    notebooks = {Path("notebooks") / f"{path.stem}.html" for path in NOTEBOOKS}
    assert (written - {Path("README.html")}) | notebooks <= {path.relative_to(built) for path in pages}


def test_built_pages_ask_for_nothing_from_outside(pages, built):
    outside = re.compile(r"^(?:https?:)?//")
    asked = [(path.name, got) for path, page in pages.items() for got in page.loaded if outside.match(got)]
    asked += [(path.name, "inline") for path, page in pages.items() if "//" in _code(page.inline)]
    for path in built.rglob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
        asked += [(path.name, got) for got in IN_CSS.findall(text)]
    assert not asked


def _code(text: str) -> str:
    """Scripts and styles without their comments."""
    return re.sub(r"/\*.*?\*/|^\s*//.*?$", "", text, flags=re.S | re.M)


def test_every_local_link_leads_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            known = pages[target].places if target in pages else set()
            if not target.is_file() or (place and place not in known):
                broken.append((path.name, link))
    assert not broken


def test_every_public_name_has_an_entry_in_the_reference(built):
    inventory = (built / "objects.inv").read_bytes().split(b"\n", 4)[4]
    entries = {line.split(" ")[0] for line in zlib.decompress(inventory).decode().splitlines()}
    names = [f"bayes_net.{name}" for name in reference.faces()]
    names += [f"bayes_net.plots.{name}" for name in bn.plots.__all__]
    assert not [name for name in names if name not in entries]


def test_equations_are_mathml(built):
    methods = (built / "methods" / "patients.html").read_text(encoding="utf-8")
    assert methods.count("<math ") > 50
    assert "\\frac" not in methods


# --- what stands in them ------------------------------------------------------------------------------


def comment_above(example: Example) -> str:
    """What a block is: executed, output (of the executed block before it), or file: NAME."""
    found = re.search(r"<!-- ([^>]*) -->\n$", example.document.text[: example.start])
    return found[1] if found else ""


def python(example: Example) -> None:
    """It compiles and calls what there is; what is executed keeps what it prints."""
    for node in ast.walk(ast.parse(example.parsed)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "bn":
            assert node.attr in bn.__all__
        if isinstance(node, ast.Call) and (called := _public(node.func)) is not None:
            given = {keyword.arg: None for keyword in node.keywords if keyword.arg}
            starred = any(isinstance(argument, ast.Starred) for argument in node.args)
            inspect.signature(called).bind_partial(*[None] * len(node.args), **given)
            if not starred and len(given) == len(node.keywords):
                inspect.signature(called).bind(*[None] * len(node.args), **given)
    if example.namespace["sampling"] or comment_above(example) == "executed":
        with redirect_stdout(io.StringIO()) as out:
            PythonEvaluator()(example)
        example.namespace["printed"] = out.getvalue()


def _public(function: ast.expr):
    """The object that ``bn.name`` or ``bn.plots.name`` is, or None."""
    words = ast.unparse(function).split(".")
    if words[0] != "bn" or not all(word.isidentifier() for word in words):
        return None
    found = bn
    for word in words[1:]:
        found = getattr(found, word)
    return found


def console(example: Example) -> None:
    """Commands that are executed keep what they print."""
    if comment_above(example) == "executed":
        commands = re.findall(r"^\$ bayes-net (.*)$", example.parsed, re.M)
        results = [CliRunner().invoke(app, shlex.split(command)) for command in commands]
        for problem in (result.exception for result in results):
            if problem and not isinstance(problem, SystemExit):
                raise problem
        example.namespace["printed"] = "".join(result.output for result in results)


def text(example: Example) -> None:
    """What is shown is what is printed; UPDATE_DOCS=1 writes it anew. A file is written."""
    mark = comment_above(example)
    if mark.startswith("file: "):
        Path(mark.removeprefix("file: ")).write_text(example.parsed, encoding="utf-8")
    if mark == "output":
        lines = example.namespace["printed"].strip("\n").splitlines()
        printed = "".join(f"{line.rstrip()}\n" for line in lines)
        if os.environ.get("UPDATE_DOCS"):
            page = Path(example.path)
            page.write_text(page.read_text("utf-8").replace(example.parsed, printed, 1), encoding="utf-8")
        else:
            assert printed == example.parsed, "UPDATE_DOCS=1 writes what is printed now"


def toml(example: Example) -> None:
    """It is what a specification takes, whole or as a part of one."""
    text(example)
    given, problems = tomllib.loads(example.parsed), []
    for template, parse in (
        ("specification.toml", parse_specification),
        ("synthesis.toml", parse_specification),
    ):
        whole = tomllib.loads((TEMPLATES / template).read_text(encoding="utf-8"))
        for values in (given, whole | given, _merged(whole, given)):
            try:
                parse(values, where=Path("docs.toml"))
            except SpecificationError as problem:
                problems.append(str(problem))
            else:
                return
    pytest.fail("\n".join(problems))


EXAMPLES = Sybil([CodeBlockParser(each.__name__, each) for each in (python, console, text, toml)])


@pytest.mark.parametrize("sampling", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_are_valid_and_print_what_is_shown(page, sampling, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = EXAMPLES.parse(page)
    document.namespace.update(__name__="page", sampling=sampling)
    for example in document:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                example.evaluate()
            except BaseException as problem:
                problem.add_note(f"{page}:{example.line}")
                raise


def _merged(whole: dict, given: dict) -> dict:
    """The template with the given keys put into its sections."""
    return whole | {
        name: whole[name] | value if isinstance(value, dict) and isinstance(whole.get(name), dict) else value
        for name, value in given.items()
    }


def _commands(text: str) -> list[str]:
    return re.findall(r"(?:\$ |\.venv/bin/|`)bayes-net ([a-z]+[^`\n]*)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_exist_with_their_options(page):
    known = typer.main.get_command(app).commands
    for line in _commands(page.read_text(encoding="utf-8")):
        name, *words = line.split()
        assert name in known, line
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_the_commands_of_the_readme_are_those_of_the_first_page():
    readme, first = (path.read_text(encoding="utf-8") for path in (ROOT / "README.md", DOCS / "index.md"))
    commands = re.findall(r"<!-- (?:run|test) command -->\n```sh\n(.*?)\n```", readme, re.S)
    assert len(commands) == 2
    assert all(f"```sh\n{command}\n```" in first for command in commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_generated_parts_stand_in_the_markdown_too(page):
    """UPDATE_DOCS=1 writes them anew."""
    text = page.read_text(encoding="utf-8")
    now = generated.stored(text)
    if os.environ.get("UPDATE_DOCS") and now != text:
        page.write_text(now, encoding="utf-8")
        text = now
    assert text == now, "UPDATE_DOCS=1 writes what the package says now"


def test_links_of_the_markdown_lead_to_files_of_the_repository():
    broken = []
    for page in [ROOT / "README.md", *PAGES]:
        for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" in link or link.startswith("mailto:"):
                continue
            target = (page.parent / link).resolve()
            if not target.exists() or target.match("docs/notebooks/*.ipynb"):  # copies, which git ignores
                broken.append((page.name, link))
    assert not broken


def test_pictures_are_of_runs_of_what_is_there_now():
    told = json.loads((DOCS / "pictures" / "made_from.json").read_text(encoding="utf-8"))
    todo = (
        "pictures are of other specifications or published numbers; docs/README.md says how to make them anew"
    )
    assert told == pictures.made_from(), todo


def test_the_files_of_a_synthesis_are_told_of():
    text = (DOCS / "guide" / "reporting.md").read_text(encoding="utf-8")
    assert not [name for name in fake_pool.tables() if f"`{name}.csv`" not in text]


def test_pages_name_no_machine():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert str(ROOT) not in text
        assert not re.search(r"/(?:root|home|tmp|work)/", text)
