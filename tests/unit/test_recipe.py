"""The recipe for conda asks for what pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONDA = {"matplotlib": "matplotlib-base"}
"""Names that conda has for packages: matplotlib without a window system."""


@pytest.fixture(scope="module")
def project():
    if not (ROOT / "recipe").is_dir():
        pytest.skip("tests without their repository")
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_recipe_requires_what_the_project_requires(project):
    yaml = pytest.importorskip("yaml")
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text("utf-8"))
    expected = {f"python {project['requires-python']}"}
    for each in project["dependencies"]:
        name, limits = re.match(r"([\w-]+)(?:\[[^\]]*\])?([^;]*)", each).groups()
        if name != "pymc":
            expected.add(f"{CONDA.get(name, name)} {limits.strip()}")
    # conda has no markers of Python's version: the range from the least to the most
    pymc = [each.partition(";")[0] for each in project["dependencies"] if each.startswith("pymc")]
    (low, _), (_, high) = (re.fullmatch(r"pymc(>=[\d.]+),(<\d+)", each).groups() for each in pymc)
    assert set(recipe["requirements"]["run"]) == expected | {f"pymc {low},{high}"}
    assert recipe["context"]["version"] == project["version"]
    scripts = [f"{name} = {what}" for name, what in project["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts
    assert recipe["about"]["summary"] == project["description"]
