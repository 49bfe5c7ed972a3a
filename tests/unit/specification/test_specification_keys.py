"""What is written about the keys (template, README) is complete and true; shipped models are valid."""

import re
import tomllib
from pathlib import Path

import pytest
from plans import COMPANIONS, MINIMAL, SYNTHETIC, parse, values

from bayes_net.errors import SpecificationError
from bayes_net.robustness.scenarios import _prepare_all, plan
from bayes_net.specification.data import DataSection
from bayes_net.specification.patients import PatientsPlan
from bayes_net.specification.read import parse_specification, read_specification
from bayes_net.specification.shipped import TEMPLATES, find_specification, shipped_models
from bayes_net.specification.synthesis import BorrowSections, SynthesisPlan
from bayes_net.tables.shipped import models_folder

SECTIONS = PatientsPlan.sections()
LISTS = ("covariates", "cohorts", "scenarios")
"""Sections that may come several times."""


def keys() -> list[tuple[str, str]]:
    top = [("", name) for name in PatientsPlan.model_fields if name not in SECTIONS]
    return top + [(name, key) for name, model in SECTIONS.items() for key in model.model_fields]


def template_lines() -> dict[str, list[str]]:
    """The template's lines by section, with the mark of a comment taken off lines that say a key."""
    sections, now = {"": []}, ""
    for line in (TEMPLATES / "specification.toml").read_text(encoding="utf-8").splitlines():
        bare = re.sub(r"^# (?=\w+ = |\[)", "", line)
        if heading := re.match(r"\[+(\w+)\]+", bare):
            now = heading[1]
            sections.setdefault(now, [])
        elif not bare.startswith("#"):
            sections[now].append(bare)
    return sections


@pytest.mark.parametrize(("section", "key"), keys())
def test_the_template_has_every_key_in_its_section(section, key):
    said = [line for line in template_lines()[section] if line.startswith(f"{key} = ")]
    assert len(said) == (2 if (section, key) == ("covariates", "name") else 1)


def test_the_template_has_no_key_that_does_not_exist():
    for section, lines in template_lines().items():
        model = SECTIONS.get(section, PatientsPlan)
        assert {line.split(" = ")[0] for line in lines if " = " in line} <= set(model.model_fields)


def test_the_template_is_a_usable_specification():
    specification = read_specification(TEMPLATES / "specification.toml")
    assert specification.data.arms == ("control", "treated")
    assert specification.landmarks.thresholds == (30.0,)


@pytest.mark.parametrize(("section", "key"), [k for k in keys() if k[0] not in LISTS])
def test_what_the_template_shows_in_a_comment_is_the_default_or_is_allowed(section, key):
    text = next(line for line in template_lines()[section] if line.startswith(f"{key} = "))
    shown = tomllib.loads(text)[key]
    if (section, key) in (("data", "synthetic"), ("data", "synthetic_seed")):
        keys_alone = SYNTHETIC["data"] | {"synthetic_seed": 1}
        assert parse(values(data=keys_alone)).data.synthetic_seed == 1
        return
    changes = {section: COMPANIONS.get(key, {}) | {key: shown}} if section else {key: shown}
    given = parse(values(**changes))
    commented = f"# {text}" in (TEMPLATES / "specification.toml").read_text(encoding="utf-8")
    model = SECTIONS.get(section, PatientsPlan)
    field = model.model_fields[key]
    default = None if field.is_required() else field.default
    if commented and default is not None and key != "grid":
        assert getattr(getattr(given, section) if section else given, key) == default


def readme_tables() -> dict[str, str]:
    text = (models_folder() / "README.md").read_text(encoding="utf-8")
    parts = re.split(
        r"^(?:`\[+(\w+)\]+`|At the top)",
        text.split("## Keys of a patient-level specification")[1],
        flags=re.M,
    )
    return {name or "": body for name, body in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize(("section", "key"), keys())
def test_the_readme_has_every_key_in_the_table_of_its_section(section, key):
    rows = [line for line in readme_tables()[section].splitlines() if line.startswith("|")]
    assert any(f"`{key}`" in row.split("|")[1] for row in rows)


@pytest.mark.parametrize(("section", "key"), keys())
def test_the_readme_tells_the_default(section, key):
    field = SECTIONS.get(section, PatientsPlan).model_fields[key]
    rows = [line.split("|") for line in readme_tables()[section].splitlines() if line.startswith("|")]
    told = next(row[3] for row in rows if f"`{key}`" in row[1])
    if field.is_required():
        assert "*required*" in told
    elif isinstance(field.default, bool):
        assert f"`{str(field.default).lower()}`" in told
    elif isinstance(field.default, int | float):
        assert f"`{field.default:g}`" in told


# --- of a synthesis -----------------------------------------------------------------------------------

SYNTHESIS_SECTIONS = {
    name: model for name, model in SynthesisPlan.sections().items() if name != "borrowing"
} | {f"borrowing.{name}": field.annotation for name, field in BorrowSections.model_fields.items()}
OF_DATA = set(DataSection.model_fields) - {"study", "patients", "scans", "time_unit"}
"""Keys of patients' tables, which are told of once, in the patient-level specification."""


def synthesis_keys() -> list[tuple[str, str]]:
    top = [("", "title"), ("", "description"), ("", "grid")]
    return top + [
        (name, key)
        for name, model in SYNTHESIS_SECTIONS.items()
        for key in model.model_fields
        if not (name == "cohorts" and key in OF_DATA)
    ]


def synthesis_template() -> dict[str, dict[str, tuple[object, bool]]]:
    """Section, key, the value that is shown, and whether its line is a comment."""
    found, now = {"": {}}, ""
    for line in (TEMPLATES / "synthesis.toml").read_text(encoding="utf-8").splitlines():
        bare = re.sub(r"^# (?=\w+ = |\[\[)", "", line)
        if heading := re.match(r"\[+([\w.]+)\]+", bare):
            now = heading[1]
            found.setdefault(now, {})
        elif not bare.startswith("#") and bare.strip():
            [(key, value)] = tomllib.loads(bare).items()
            assert key not in found[now]
            found[now][key] = (value, bare != line)
    return found


def test_the_synthesis_template_has_every_key_and_no_other():
    shown = {(section, key) for section, lines in synthesis_template().items() for key in lines}
    assert shown == set(synthesis_keys()) | {("cohorts", key) for key in ("patients", "scans", "time_unit")}


@pytest.mark.parametrize(("section", "key"), [k for k in synthesis_keys() if k[0] not in LISTS])
def test_what_the_synthesis_template_shows_in_a_comment_is_the_default_or_is_allowed(section, key):
    shown, commented = synthesis_template()[section][key]
    path = TEMPLATES / "synthesis.toml"
    plain = parse_specification(tomllib.loads(path.read_text(encoding="utf-8")), where=path)
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    inner = values
    for name in filter(None, section.split(".")):
        inner = inner.setdefault(name, {})
    inner[key] = shown
    given = parse_specification(values, where=path)
    if commented and key not in ("use", "only", "subgroups_of", "no_limit_at", "by_arm", "grid"):
        assert given.digest == plain.digest


@pytest.mark.parametrize(("section", "key"), [k for k in synthesis_keys() if k[0]])
def test_the_readme_tells_every_key_of_a_synthesis_and_its_default(section, key):
    text = (models_folder() / "README.md").read_text(encoding="utf-8")
    part = text.split("## Keys of a synthesis")[1].split("## Keys of a patient-level specification")[0]
    parts = re.split(r"^(?=`\[)", part, flags=re.M)[1:]
    own = next(p for p in parts if f"[{section}]" in p.split("\n", 1)[0])
    rows = [line.split("|") for line in own.splitlines() if line.startswith("|")]
    if (section, key) in {("cohorts", k) for k in ("study", "patients", "scans", "time_unit")}:
        assert "[data]" in own
        return
    told = next(row[3] for row in rows if f"`{key}`" in row[1])
    field = SYNTHESIS_SECTIONS[section].model_fields[key]
    default = field.default
    if field.is_required():
        assert "*required*" in told
    elif isinstance(default, bool):
        assert f"`{str(default).lower()}`" in told
    elif isinstance(default, int | float):
        assert f"`{default:g}`" in told
    elif isinstance(default, tuple) and default and isinstance(default[0], float):
        assert f"`[{', '.join(f'{x:g}' for x in default)}]`" in told
    elif isinstance(default, str):
        assert f'`"{default}"`' in told


def test_the_readme_tells_of_every_shipped_model():
    text = (models_folder() / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in shipped_models())


def test_a_shipped_analysis_is_read_by_its_name_unless_a_file_has_it(tmp_path, monkeypatch):
    for name, path in shipped_models().items():
        assert read_specification(name).digest == read_specification(path).digest
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prrt_pooled").write_text(shipped_models()["netter1_pfs"].read_text("utf-8"), "utf-8")
    assert read_specification("prrt_pooled").title == read_specification("netter1_pfs").title
    with pytest.raises(SpecificationError, match="prrt_pool: cannot be read"):
        read_specification("prrt_pool")


def test_every_shipped_model_is_valid():
    assert shipped_models()
    for path in shipped_models().values():
        assert read_specification(path).title


@pytest.mark.parametrize("name", ["netter1_synthetic", "prrt_pooled"])
def test_shipped_scenarios_can_all_be_fitted(name):
    scenarios = plan(read_specification(shipped_models()[name]))
    assert len(scenarios) > 4
    assert len(_prepare_all(scenarios)) == len(scenarios)


def test_a_model_is_found_by_its_name_or_by_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_specification("netter1_synthetic").is_file()
    (tmp_path / "plan.toml").write_text(MINIMAL)
    assert find_specification("plan.toml") == Path("plan.toml")
    with pytest.raises(
        SpecificationError, match=r"neither a file nor a shipped model; did you mean netter1_syn"
    ):
        find_specification("netter1_synthetc.toml")
    with pytest.raises(
        SpecificationError, match=r"neither a file nor a shipped model\. Shipped models: netter1"
    ):
        find_specification("zzz")
    with pytest.raises(SpecificationError, match="is a folder"):
        find_specification(str(tmp_path))
