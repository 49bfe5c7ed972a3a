"""A result is its folder: what is read back is what was written, and the report is made from that alone."""

import functools
import json
import random
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import fake_pool
import fake_results
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from damage import damaged
from typer.testing import CliRunner

from bayes_net.cli.app import app
from bayes_net.errors import InputError
from bayes_net.report.patients import LANDMARKS, patients_page
from bayes_net.report.scenarios import SCENARIOS, scenario_page
from bayes_net.report.synthesis import SYNTHESIS, synthesis_page
from bayes_net.results.columns import hazard_ratio_columns
from bayes_net.results.folder import Illustration, read_result, write_content, write_manifest
from bayes_net.results.scenarios import summary
from bayes_net.robustness.sensitivity import Sensitivity

TOLD = {"specification_sha256": "0f" * 32, "gate": "passed", "data_sha256": "a" * 64, "version pymc": "6.1"}
SPECIFICATION = 'title = "A"\nslopes = "per arm"\n[sampling]\nseed = 5\n[[covariates]]\nname = "age"\n'
AWKWARD = ["NA", "1.0", "", "None", 'a "quoted", comma', "<b>", "神経内分泌腫瘍", "nan"]
PAGES = {LANDMARKS: patients_page, SYNTHESIS: synthesis_page}
BARE = ("diagnostics", "evidence", "priors", "sensitivity")


def written(folder, *, kind=LANDMARKS, content=None, told=TOLD, specification=SPECIFICATION):
    """A finished result of invented numbers in ``folder``."""
    if content is None and told is TOLD and specification is SPECIFICATION:
        content, files = whole(kind)
        for name, read in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(read)
        return content
    content = content or invented(kind)
    (folder / "figures").mkdir(parents=True)
    for name, figure in content.figures.items():
        (folder / "figures" / f"{name}.svg").write_text(figure.svg, encoding="utf-8")
    tables = dict(content.tables)
    if kind == SYNTHESIS:
        tables = {name: t if name in BARE else t.assign(gate="passed") for name, t in tables.items()}
    result = write_content(
        folder,
        kind=kind,
        tables=tables,
        figures=content.figures,
        words=content.words,
        specification=specification,
    )
    (folder / "report.html").write_text(PAGES[kind](result), encoding="utf-8")
    write_manifest(folder, told)
    return content


def invented(kind):
    return {LANDMARKS: fake_results, SYNTHESIS: fake_pool}[kind].content(draw=True)


@functools.cache
def whole(kind):
    """What is written by default, and its files; a report is made once for all tests of a process."""
    content = invented(kind)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        written(made, kind=kind, content=content)
        files = {path.relative_to(made): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    return content, files


@pytest.fixture
def folder(tmp_path):
    written(tmp_path / "first")
    return tmp_path / "first"


def command(*arguments):
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    return done.exit_code, done.stdout, done.stderr


# --- tables and pages ---------------------------------------------------------------------------------


def test_a_table_is_read_back_as_it_was_written(tmp_path):
    table = pd.DataFrame(
        {
            "text": AWKWARD,
            "number": [1 / 3, np.pi * 1e-12, np.nan, np.inf, -np.inf, 0.1 + 0.2, -0.0, 5e-324],
            "whole": np.arange(8),
            "yes": [True, False] * 4,
            "empty": [np.nan] * 8,
        }
    )
    told = {"kind": LANDMARKS, "figures": {}, "words": {}, "specification": ""}
    found = write_content(tmp_path, tables={"odd": table, "none": table[:0]}, **told)
    pd.testing.assert_frame_equal(found.tables["odd"], table, check_exact=True)
    assert found.tables["none"].empty
    assert list(found.tables["none"]) == list(table)


@pytest.mark.parametrize("kind", [LANDMARKS, SYNTHESIS])
def test_the_page_made_from_the_folder_is_the_page_of_the_content(tmp_path, kind):
    content = written(tmp_path / "a", kind=kind)
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    expected = PAGES[kind](content)
    assert page.replace(SPECIFICATION.replace('"', "&#34;"), "") == expected.replace(
        content.specification.replace('"', "&#34;"), ""
    )


@pytest.mark.parametrize("kind", [LANDMARKS, SYNTHESIS])
def test_the_report_is_made_anew_from_the_folder_alone(tmp_path, kind):
    written(tmp_path / "a", kind=kind)
    report = tmp_path / "a" / "report.html"
    before = report.read_bytes()
    report.write_text("lost")
    code, said, _ = command("report", tmp_path / "a")
    assert (code, said.strip()) == (0, f"Report: {report}")
    assert report.read_bytes() == before
    read_result(tmp_path / "a")
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["gate"] == "passed"


def test_numbers_that_were_changed_by_hand_are_not_reported(folder):
    csv = folder / "hazard_ratios.csv"
    before = (folder / "report.html").read_bytes()
    csv.write_text(csv.read_text().replace("0.95", "0.90", 1))
    code, _, said = command("report", folder)
    assert code == 2
    assert "hazard_ratios.csv" in said
    assert "changed after the run" in said
    assert (folder / "report.html").read_bytes() == before


def of_version_0_1(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["format"]
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: shutil.rmtree(f), "no finished result"),
        (lambda f: (f / "manifest.json").unlink(), "no finished result"),
        (of_version_0_1, "another version of bayes-net"),
        (lambda f: (f / "survival.csv").unlink(), "has lost survival.csv"),
        (lambda f: shutil.rmtree(f / "figures"), "has lost figures/"),
    ],
)
def test_a_folder_that_is_no_whole_result_is_refused(folder, spoil, said):
    spoil(folder)
    with pytest.raises(InputError, match=said):
        read_result(folder)
    assert command("report", folder)[0] == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("content.json", b"{"),
        ("content.json", b"[]"),
        ("content.json", b'{"kind": "landmarks", "tables": [], "figures": {}, "words": {}}'),
        ("content.json", b"\xff\xfe"),
        ("specification.toml", b"\x80"),
        ("specification.toml", b"title = "),
        ("hazard_ratios.csv", b"\xff\xfe\x80\x80,"),
        ("survival.csv", b"a,b\n1\n"),
        ("figures/forest.svg", b"\x80"),
    ],
)
def test_a_damaged_file_is_refused_even_if_the_manifest_knows_it(folder, name, content):
    (folder / name).write_bytes(content)
    write_manifest(folder, TOLD)
    with pytest.raises(InputError, match="cannot be read as what a run writes"):
        read_result(folder)
    for done in (command("report", folder), command("compare", folder, folder), command("tables", folder)):
        assert done[0] == 2
        assert "Traceback" not in done[2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of h5py, as it closes
def test_damaged_draws_are_refused(folder):
    good = xr.DataTree.from_dict({"posterior": xr.Dataset({"x": (("chain", "draw"), np.ones((2, 50)))})})
    good.to_netcdf(folder / "posterior.nc", engine="h5netcdf")
    whole = (folder / "posterior.nc").read_bytes()
    write_manifest(folder, TOLD)
    assert read_result(folder).posterior()["posterior"]["x"].shape == (2, 50)
    rng = random.Random(1)
    for content in (b"", b"\x80", *(damaged(whole, rng) for _ in range(20))):
        (folder / "posterior.nc").write_bytes(content)
        write_manifest(folder, TOLD)
        with suppress(InputError):
            assert isinstance(read_result(folder).posterior(), xr.DataTree)


def test_a_result_of_an_unknown_kind_is_refused(folder):
    content = json.loads((folder / "content.json").read_text())
    (folder / "content.json").write_text(json.dumps(content | {"kind": "horoscope"}))
    write_manifest(folder, TOLD)
    code, _, said = command("report", folder)
    assert code == 2
    assert "horoscope" in said


def scenarios_of(folder, told=TOLD, *, gate="passed"):
    """A result of scenarios with one figure."""
    rows = pd.DataFrame(
        {"scenario": ["as specified", "a"], "gate": gate, "error": "", "endpoint": "pfs", "arm": "A"}
        | {
            "estimand": "association",
            "measure": "m",
            "landmark": "150 d",
            "hr": [0.7, 1.2],
            "lower": 0.5,
            "upper": 1.5,
        }
        | {"mcse_hr": 0.002, "prob_below_1": [0.97, 0.4]}
    )
    rows = hazard_ratio_columns(rows, more=["scenario", "error"])
    changes = pd.DataFrame({"scenario": ["a"], "key": ["p.x"], "value": ["<b>1</b>"]})
    found = Sensitivity(rows.assign(synthetic=False), changes, summary(rows), pd.DataFrame())
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "curve.svg").write_text("<svg>drawn</svg>", encoding="utf-8")
    (folder / "figures" / "curve.png").write_bytes(b"PNG")
    made = write_content(
        folder,
        kind=SCENARIOS,
        tables={"scenarios": found.hazard_ratios, "changes": changes, "summary": found.summary},
        figures={
            "curve": Illustration("figures", "<svg>drawn</svg>", "All scenarios.", "From 0.70 to 1.20.")
        },
        words={"title": "T", "level": 0.95, "synthetic": False, "provenance": {"seed": "1"}},
        specification=SPECIFICATION,
    )
    (folder / "report.html").write_text(scenario_page(made), encoding="utf-8")
    write_manifest(folder, told)
    return folder


@pytest.mark.parametrize("kind", [LANDMARKS, SYNTHESIS])
def test_scenarios_become_a_section_of_the_report(tmp_path, kind):
    fake = {LANDMARKS: fake_results, SYNTHESIS: fake_pool}[kind]
    absent = dict.fromkeys(("sensitivity", "power_scaling", "prior_conflict", "influence", "study_influence"))
    written(tmp_path / "a", kind=kind, content=fake.content(draw=True, found=fake.tables(**absent)))
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert 'id="sensitivity"' not in page
    assert "Not answered: scenarios were not run" in page
    grid = scenarios_of(tmp_path / "grid")
    assert command("report", tmp_path / "a", "--scenarios", grid)[0] == 0
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="sensitivity"') :]
    assert "1 of 1 verbal conclusions change" in section
    assert "0.70 (as specified) to 1.20 (a)" in section
    assert 'alt="From 0.70 to 1.20."' in section
    assert "scenarios were not run" not in page
    # it stays when the report is made anew, and the result is whole
    assert command("report", tmp_path / "a")[0] == 0
    assert (tmp_path / "a" / "report.html").read_text(encoding="utf-8") == page
    assert "sensitivity" in read_result(tmp_path / "a").tables


def test_scenarios_of_which_none_passed_become_a_section_too(tmp_path):
    written(tmp_path / "a", kind=LANDMARKS, content=fake_results.content())
    grid = scenarios_of(tmp_path / "grid", gate="failed")
    assert command("report", tmp_path / "a", "--scenarios", grid)[0] == 0
    assert read_result(tmp_path / "a").tables["sensitivity"].empty
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert "Nothing can be compared" in page[page.index('<section id="sensitivity"') :]


def test_scenarios_of_another_specification_or_of_no_grid_are_refused(folder, tmp_path):
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    other = scenarios_of(tmp_path / "grid", told=TOLD | {"specification_sha256": "1e" * 32})
    for result, scenarios, said in (
        (folder, other, "another specification"),
        (folder, folder, "of kind landmarks"),
        (other, other, "of kind scenarios"),
    ):
        code, _, told = command("report", result, "--scenarios", scenarios)
        assert code == 2
        assert said in told
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


# --- tables for a paper -------------------------------------------------------------------------------


def test_the_tables_of_a_result_are_written_in_the_formats_asked_for(folder, tmp_path):
    code, said, _ = command("tables", folder, "--format", "csv", "--format", "html", "--out", tmp_path / "t")
    assert code == 0
    written_files = {path.suffix for path in (tmp_path / "t").iterdir()}
    assert written_files == {".csv", ".html"}
    assert f"Wrote {len(list((tmp_path / 't').iterdir()))} files" in said
    assert command("tables", folder, "--format", "csv")[0] == 0
    assert (folder.parent / "first-tables").is_dir()
    code, _, told = command("tables", folder, "--format", "xlsx", "--out", tmp_path / "u")
    assert code == 2
    assert "docx" in told
    assert not (tmp_path / "u").exists()
